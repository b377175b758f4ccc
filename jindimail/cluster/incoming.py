"""
Another node's side of a connection: what it may ask of this node, on this connection, once it has said hello.

Every call is answered, at the latest when the caller no longer waits. Answers that the caller does not read are bounded: beyond a bound
its further calls are refused, and beyond another, since to refuse is to answer, the connection ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from jindimail.cluster.authority import Identity
from jindimail.cluster.broker import Broker
from jindimail.cluster.door import Door
from jindimail.cluster.hello import CHANNELS, CONTROL, DATA, Hello, Reason, Unwelcome, decodeHello
from jindimail.cluster.payloads import DONE, FAILED, arePieces, errorName, joinPayload, slicePayload
from jindimail.deadlines import Deadlines
from jindimail.errors import JindimailError, OutcomeUnknown, ProtocolError, Unavailable

ANSWERING_MAX = 1024  # calls of one connection
ANSWERING_OCTETS_MAX = 16 * 1024 * 1024  # of their payloads: twice what a caller has in flight
UNREAD_OCTETS_MAX = 16 * 1024 * 1024
UNREAD_OCTETS_END = 4 * UNREAD_OCTETS_MAX  # what was under way when calls began to be refused is answered
ANSWER_OVERHEAD_OCTETS = 256  # in memory
MILLISECONDS_MAX = 3_600_000

Answer = tuple[int, list[bytes]]


class IsHost(Protocol):
    """What the node has to say to others' connections."""

    def greet(self, incoming: Incoming, hello: Hello) -> Hello:
        """This node's own hello; raises Unwelcome."""

    def took(self, node: int, channel: int, messages: list[bytes]) -> None:
        """One-way messages came in."""

    def answer(self, node: int, method: str, payload: bytes, seconds: float) -> Deferred[bytes]:
        """Answer a call."""


@implementer(IPushProducer)
class Incoming:
    """
    One connection that another node has opened.

    @ivar channel: CONTROL or DATA, once it has said so.
    @ivar heardAt: when anything came last.
    """

    log = Logger()

    def __init__(self, *, clock: IReactorTime, door: Door, identity: Identity, host: IsHost) -> None:
        self._clock = clock
        self._door = door
        self._host = host
        self._answering: set[_Answering] = set()
        self._answeringOctets = 0
        self._deadlines = Deadlines(clock)
        self._unreadOctets = 0
        self._isPaused = False
        self.identity = identity
        self.channel = CONTROL
        self.isWelcome = False
        self.heardAt = clock.seconds()
        self.broker = Broker({b"hello": self._hello, b"take": self._take, b"call": self._call})
        self.whenOver(self._isOver)

    def hangUp(self) -> None:
        """End the connection."""
        self._door.hangUp()

    def whenOver(self, told: Callable[[], object]) -> None:
        """Call `told()` when the connection is over."""
        broker: Any = self.broker
        broker.notifyOnDisconnect(told)

    # --- what the other node calls

    def _hello(self, channel: Any, fields: Any) -> tuple[int, Any]:
        if self.isWelcome:
            raise ProtocolError("a second hello")
        try:
            if type(channel) is not int or channel not in CHANNELS:
                raise ProtocolError("no such channel")
            self.channel = channel
            mine = self._host.greet(self, decodeHello(fields))
        except ProtocolError:
            return self._refused(Reason.NOT_UNDERSTOOD)
        except Unwelcome as unwelcome:
            return self._refused(unwelcome.reason)
        self.isWelcome = True
        self._door.welcome()
        transport: Any = self.broker.transport
        transport.registerProducer(self, True)
        return int(Reason.WELCOME), mine.encode()

    def _refused(self, reason: Reason) -> tuple[int, Any]:
        self.log.info(
            "node {node} ({name}) is refused: {reason}",
            node=self.identity.node,
            name=self.identity.name,
            reason=reason.name,
        )
        transport: Any = self.broker.transport
        self._clock.callLater(0, transport.loseConnection)
        return int(reason), ()

    def _take(self, messages: Any) -> int:
        self._heard()
        if not arePieces(messages):
            raise ProtocolError("no messages")
        if messages:
            self._host.took(self.identity.node, self.channel, messages)
        if self._isPaused:
            self._unread(0)  # a mark may be answered
        return 0

    def _call(self, method: Any, milliseconds: Any, pieces: Any) -> Any:
        self._heard()
        if self.channel != DATA or type(method) is not bytes or type(milliseconds) is not int:
            raise ProtocolError("no call")
        payload = joinPayload(pieces)
        if not self._hasRoom(len(payload)):
            self._unread(0)
            return FAILED, [errorName(Unavailable())]
        name = method.decode("ascii", "replace")
        seconds = max(0, min(milliseconds, MILLISECONDS_MAX)) / 1000
        answering = _Answering(self, name, len(payload))
        self._answering.add(answering)
        self._answeringOctets += answering.octets
        payloads = self._host.answer(self.identity.node, name, payload, seconds)
        if not payloads.called:
            self._deadlines.add(answering, seconds)
        return answering.start(payloads)

    def _hasRoom(self, octets: int) -> bool:
        return (
            len(self._answering) < ANSWERING_MAX
            and self._answeringOctets + octets <= ANSWERING_OCTETS_MAX
            and self._unreadOctets <= UNREAD_OCTETS_MAX
        )

    def _heard(self) -> None:
        if not self.isWelcome:
            raise ProtocolError("no hello")
        self.heardAt = self._clock.seconds()

    def answered(self, answering: _Answering, answer: Answer) -> None:
        """An answer leaves."""
        self._answering.discard(answering)
        self._answeringOctets -= answering.octets
        self._deadlines.drop(answering)
        self._unread(sum(map(len, answer[1])))

    def _unread(self, octets: int) -> None:
        """Another answer goes to where the last ones may not have been read."""
        if self._isPaused:
            self._unreadOctets += octets + ANSWER_OVERHEAD_OCTETS
            if self._unreadOctets > UNREAD_OCTETS_END:
                self.log.warn("node {node} reads no answers, the connection ends", node=self.identity.node)
                self.hangUp()

    def _isOver(self) -> None:
        """Nobody waits for the answers any more."""
        self._deadlines.stop()

    # --- IPushProducer

    def pauseProducing(self) -> None:
        """The other node does not read as fast as this one answers."""
        self._isPaused = True

    def resumeProducing(self) -> None:
        """Everything has been read."""
        self._isPaused = False
        self._unreadOctets = 0

    def stopProducing(self) -> None:
        """The connection is over."""


class _Answering:
    """A call being answered: once, whatever comes first."""

    __slots__ = ("_done", "_incoming", "_method", "octets")

    def __init__(self, incoming: Incoming, method: str, octets: int) -> None:
        self._incoming = incoming
        self._method = method
        self.octets = octets
        self._done: Deferred[Answer] | None = None

    def start(self, answering: Deferred[bytes]) -> Deferred[Answer]:
        """The answer, from what will be the payload."""
        done = self._done = Deferred()
        answering.addCallbacks(self._succeeded, self._failed)
        return done

    def _succeeded(self, payload: bytes) -> None:
        try:
            self._finish((DONE, slicePayload(payload)))
        except ValueError:  # larger than an answer may be: an error of this program
            self._failed(Failure())

    def _failed(self, failure: Failure) -> None:
        if failure.check(JindimailError) is None:
            self._incoming.log.failure(
                "the answer to {method} for node {node} failed",
                failure,
                method=self._method,
                node=self._incoming.identity.node,
            )
        self._finish((FAILED, [errorName(failure.value)]))

    def overdue(self) -> None:
        """See `IsUnderWay`."""
        self._finish((FAILED, [errorName(OutcomeUnknown())]))

    def _finish(self, answer: Answer) -> None:
        done, self._done = self._done, None
        if done is not None:
            self._incoming.answered(self, answer)
            done.callback(answer)
