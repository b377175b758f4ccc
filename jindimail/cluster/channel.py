"""
This node's side of one connection to another node: it dials, dials again, and sends.

Perspective Broker has no deadlines and no back-pressure; both are here. One-way messages are counted until the peer acknowledges a mark
that was sent after them; a call is counted until it is answered. What exceeds the bound is lost (one-way) or waits (calls).
A mark that is not answered while nothing else comes ends the connection: that is how a dead one is noticed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from jindimail.cluster.dial import Dial
from jindimail.cluster.hello import CHANNELS, Unwelcome
from jindimail.cluster.payloads import outcomeOf, slicePayload
from jindimail.deadlines import Deadlines
from jindimail.errors import JindimailError, OutcomeUnknown, Unavailable

MESSAGE_OCTETS_MAX = 64 * 1024
BATCH_OCTETS = 256 * 1024  # of one-way messages in one call of PB
MARK_OCTETS = 256 * 1024  # between marks
MARK_SECONDS = 1.0
SILENCE_SECONDS = 5.0
OCTETS_MAX = 8 * 1024 * 1024  # in flight
CALLS_MAX = 4096  # in flight
WAITING_MAX = 1024  # calls for room
WAITING_OCTETS_MAX = 32 * 1024 * 1024
CALL_OVERHEAD_OCTETS = 128
BACKOFF_MILLISECONDS = (100, 2000)


@dataclass(slots=True, kw_only=True)
class Counters:
    """What has happened on a channel since the node started."""

    connected: int = 0
    failed: int = 0
    silences: int = 0
    batches: int = 0
    messages: int = 0
    octets: int = 0
    lostMessages: int = 0
    calls: int = 0
    callOctets: int = 0
    answerOctets: int = 0
    overdue: int = 0

    def asMap(self) -> dict[str, int]:
        """By name."""
        return asdict(self)


class _Call:
    """A call under way, or waiting for room; the broker calls it back."""

    __slots__ = ("_channel", "_dial", "deadline", "done", "isSent", "method", "octets", "payload")

    def __init__(self, channel: Channel, method: bytes, payload: bytes, deadline: float) -> None:
        self._channel = channel
        self._dial: Dial | None = None
        self.method = method
        self.payload = payload
        self.octets = len(payload) + CALL_OVERHEAD_OCTETS
        self.deadline = deadline
        self.isSent = False
        self.done: Deferred[bytes] | None = Deferred(self._cancelled)

    def sent(self, dial: Dial | None) -> None:
        """It leaves on this connection."""
        self.isSent = True
        self.payload = b""
        self._dial = dial

    def callback(self, answer: Any) -> None:
        """See `IsWaiting`."""
        self._channel.answered(answer, self, self._dial)

    def errback(self, failure: Failure) -> None:
        """See `IsWaiting`."""
        self._channel.ended(self, OutcomeUnknown("the connection was lost"))

    def overdue(self) -> None:
        """See `IsUnderWay`."""
        self._channel.overdue(self)

    def _cancelled(self, _: object) -> None:
        self.done = None
        self._channel.withdraw(self)


class Channel:
    """
    One of the two channels to a peer.

    @ivar trouble: why there is no connection, in a word or two; "" while there is one.
    @ivar tripSeconds: how long the last answer to a mark took to come, with what left before it; None: none came yet (docs/adr/0037).
    """

    log = Logger()

    def __init__(
        self,
        *,
        clock: IReactorTime,
        node: int,
        kind: int,
        dial: Callable[[int], Dial],
        endpoint: Callable[[], IStreamClientEndpoint],
        draw: Callable[[int, int], int],
        changed: Callable[[], object],
    ) -> None:
        """
        @param dial: makes an attempt for a channel of this kind.
        @param endpoint: where to try next.
        @param draw: gives an integer between its arguments, both included.
        @param changed: called when `isUp` has changed.
        """
        self._clock = clock
        self._node = node
        self._kind = kind
        self._dial = dial
        self._endpoint = endpoint
        self._draw = draw
        self._changed = changed
        self._running = False
        self._attempt: Dial | None = None
        self._retry: IDelayedCall | None = None
        self._failures = 0
        self._waiting: deque[_Call] = deque()
        self._waitingOctets = 0
        self._deadlines = Deadlines(clock)
        self._reset(None)
        self.trouble = "not tried yet"
        self.counters = Counters()

    def _reset(self, dial: Dial | None) -> None:
        self._up = dial
        self._root: Any = None if dial is None else dial.root
        now = self._clock.seconds()
        self._sentOctets = self._ackedOctets = self._markedOctets = 0
        self._marks = 0  # that are not answered
        self._markedAt = self._heardAt = now
        self.tripSeconds: float | None = None
        self._isMarkDue = False
        self._calls = 0
        self._callOctets = 0

    # --- the connection

    @property
    def isUp(self) -> bool:
        """Whether the peer is there and believed."""
        return self._up is not None

    @property
    def level(self) -> int:
        """The protocol level that the two have in common; 0 while there is no connection."""
        return self._up.level if self._up is not None else 0

    @property
    def octetsInFlight(self) -> int:
        """Octets sent and not acknowledged."""
        return self._sentOctets - self._ackedOctets + self._callOctets

    @property
    def callsInFlight(self) -> int:
        """Calls sent and not answered."""
        return self._calls

    @property
    def callsWaiting(self) -> int:
        """Calls that wait for room."""
        return len(self._waiting)

    def start(self) -> None:
        """Keep a connection from now on."""
        self._running = True
        self._try()

    def stop(self) -> None:
        """End it for good."""
        self._running = False
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        attempt, self._attempt = self._attempt, None
        for dial in (attempt, self._up):
            if dial is not None:
                dial.stop()
        self._refuseWaiting()
        self._deadlines.stop()

    def poke(self) -> None:
        """The peer is there, as it seems: try now, whatever the back-off says."""
        self._failures = 0
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
            self._try()

    def drop(self) -> None:
        """End the connection and make another."""
        if self._up is not None:
            self._up.stop()

    def _try(self) -> None:
        self._retry = None
        if self._running and self._attempt is None and self._up is None:
            attempt = self._attempt = self._dial(self._kind)
            attempt.start(self._endpoint()).addCallbacks(self._connected, self._failed)

    def _connected(self, dial: Dial) -> None:
        self._attempt = None
        if not self._running:
            dial.stop()
            return
        dial.lost = self._lost
        self._failures = 0
        self.trouble = ""
        self.counters.connected += 1
        self._reset(dial)
        self._changed()

    def _failed(self, failure: Failure) -> None:
        self._attempt = None
        error = failure.value
        trouble = error.reason.name if isinstance(error, Unwelcome) else str(error)
        if trouble != self.trouble:
            self.trouble = trouble
            self.log.info(
                "no {channel} connection to node {node}: {trouble}",
                channel=CHANNELS[self._kind],
                node=self._node,
                trouble=trouble,
            )
        self.counters.failed += 1
        self._again()

    def _lost(self) -> None:
        if self._up is not None:
            self._reset(None)
            self.trouble = "connection lost"
            self._refuseWaiting()
            self._changed()
            self._again()

    def _again(self) -> None:
        if self._running and self._retry is None:
            low, high = BACKOFF_MILLISECONDS
            longest = min(high, low << min(self._failures, 10))
            self._failures += 1
            self._retry = self._clock.callLater(self._draw(longest // 2, longest) / 1000, self._try)

    # --- one-way messages

    def send(self, messages: list[bytes]) -> bool:
        """Send messages, in order; False if they are lost at once."""
        octets = sum(map(len, messages))
        inFlight = self._sentOctets - self._ackedOctets
        if self._root is None or (inFlight and inFlight + octets > OCTETS_MAX):
            self.counters.lostMessages += len(messages)
            return False
        self.counters.messages += len(messages)
        self.counters.octets += octets
        if octets <= BATCH_OCTETS:
            self._sendBatch(messages, octets)
            return True
        batch: list[bytes] = []
        octets = 0
        for message in messages:
            if octets + len(message) > BATCH_OCTETS:
                self._sendBatch(batch, octets)
                batch, octets = [], 0
            batch.append(message)
            octets += len(message)
        self._sendBatch(batch, octets)
        return True

    def _sendBatch(self, batch: list[bytes], octets: int) -> None:
        assert octets <= MESSAGE_OCTETS_MAX or all(len(message) <= MESSAGE_OCTETS_MAX for message in batch)
        self._sentOctets += octets
        self.counters.batches += 1
        if self._sentOctets - self._markedOctets < MARK_OCTETS and not self._isMarkDue:
            self._root.broker.tell(batch)
        else:
            self._mark(batch)

    def _mark(self, batch: list[bytes]) -> None:
        now = self._clock.seconds()
        if not self._marks:
            self._heardAt = now
        self._marks += 1
        self._markedAt = now
        self._isMarkDue = False
        self._markedOctets = self._sentOctets
        marked: Deferred[Any] = self._root.callRemote("take", batch)
        marked.addCallbacks(
            self._acknowledged, lambda _: None, callbackArgs=(self._up, self._sentOctets, now)
        )

    def _acknowledged(self, _: object, dial: Dial, octets: int, markedAt: float) -> None:
        if dial is self._up:
            self._marks -= 1
            self._ackedOctets = octets
            self._heardAt = self._clock.seconds()
            self.tripSeconds = self._heardAt - markedAt

    def look(self, now: float, wasAway: bool) -> None:
        """
        Called every now and then: is the peer still there?

        @param wasAway: this node did not run for a while, so that silence proves nothing.
        """
        if self._up is None:
            return
        if wasAway:
            self._heardAt = now
        if self._marks and now - self._heardAt > SILENCE_SECONDS:
            self.counters.silences += 1
            self.drop()
        elif self._isMarkDue:
            self._mark([])
        elif not self._marks and now - self._markedAt >= MARK_SECONDS:
            self._isMarkDue = True  # what leaves before the next look takes it along

    # --- calls

    def call(self, method: str, payload: bytes, seconds: float) -> Deferred[bytes]:
        """See `ILinks.call`."""
        if self._root is None or len(self._waiting) >= WAITING_MAX or seconds <= 0:
            return fail(Unavailable("the node is away, or too busy, or it is too late"))
        call = _Call(self, method.encode("ascii"), payload, self._clock.seconds() + seconds)
        pieces = slicePayload(payload)
        mayGo = not self._waiting and self._hasRoom(call)
        if not mayGo and self._waitingOctets + call.octets > WAITING_OCTETS_MAX:
            return fail(Unavailable("too much waits for the node"))
        self._deadlines.add(call, seconds)
        assert call.done is not None
        done = call.done
        self.counters.calls += 1
        self.counters.callOctets += len(payload)
        if mayGo:
            self._send(call, pieces, seconds)
        else:
            self._waiting.append(call)
            self._waitingOctets += call.octets
        return done

    def _hasRoom(self, call: _Call) -> bool:
        isFull = self._callOctets + call.octets > OCTETS_MAX or self._calls >= CALLS_MAX
        return not isFull or not self._calls

    def _send(self, call: _Call, pieces: list[bytes], seconds: float) -> None:
        call.sent(self._up)
        self._calls += 1
        self._callOctets += call.octets
        self._root.broker.ask(call.method, int(seconds * 1000), pieces, call)

    def answered(self, answer: Any, call: _Call, dial: Dial | None) -> None:
        """A call is answered, on a connection that may be over by now."""
        if dial is self._up:
            self._heardAt = self._clock.seconds()
            self._calls -= 1
            self._callOctets -= call.octets
            if self._waiting:
                self._sendWaiting()
        try:
            payload = outcomeOf(answer)
        except JindimailError as problem:
            self.ended(call, problem)
            return
        self.counters.answerOctets += len(payload)
        self._deadlines.drop(call)
        done, call.done = call.done, None
        if done is not None:
            done.callback(payload)

    def overdue(self, call: _Call) -> None:
        """A call's deadline has come."""
        self.counters.overdue += 1
        isSent = call.isSent
        self.withdraw(call)
        self.ended(call, OutcomeUnknown("no answer in time") if isSent else Unavailable("no room in time"))

    def withdraw(self, call: _Call) -> None:
        """Nobody waits for a call any more; what was sent of it stays counted until it is answered."""
        self._deadlines.drop(call)
        if not call.isSent and call in self._waiting:
            self._waiting.remove(call)
            self._waitingOctets -= call.octets

    def _sendWaiting(self) -> None:
        while self._waiting and self._root is not None and self._hasRoom(self._waiting[0]):
            call = self._waiting.popleft()
            self._waitingOctets -= call.octets
            seconds = max(0.001, call.deadline - self._clock.seconds())
            self._send(call, slicePayload(call.payload), seconds)

    def _refuseWaiting(self) -> None:
        waiting, self._waiting, self._waitingOctets = self._waiting, deque(), 0
        for call in waiting:
            self.ended(call, Unavailable("the node went away"))

    def ended(self, call: _Call, problem: JindimailError) -> None:
        """A call comes to nothing; who waits for it hears so, once."""
        self._deadlines.drop(call)
        done, call.done = call.done, None
        if done is not None:
            done.errback(problem)
