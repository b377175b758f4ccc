"""
One attempt to reach a node on one of its channels: connect, handshake, hello; with one deadline for all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from jindimail.cluster.authority import Identity, NotOurs, identityOf
from jindimail.cluster.broker import Broker
from jindimail.cluster.contexts import Contexts, peerChain
from jindimail.cluster.door import Calling, Door
from jindimail.cluster.hello import Hello, Reason, Unwelcome, decodeHello
from jindimail.errors import JindimailError, ProtocolError, Unavailable

ATTEMPT_SECONDS = 5.0

Believe = Callable[[Identity, Hello], int]


class Dial:
    """
    An attempt. `done` fires with this object when the peer has said hello and is believed, or fails with a JindimailError.

    @ivar root: the peer's root object.
    @ivar level: the protocol level to speak.
    @ivar lost: called when a connection that was `done` is over.
    """

    def __init__(
        self, *, clock: IReactorTime, contexts: Contexts, channel: int, mine: Hello, believe: Believe
    ) -> None:
        """
        @param believe: gives the level for a peer's identity and hello; raises Unwelcome.
        """
        self.done: Deferred[Dial] = Deferred(lambda _: self.stop())
        self.lost: Callable[[], object] = lambda: None
        self.level = 0
        self.root: Any = None
        self._clock = clock
        self._channel = channel
        self._mine = mine
        self._believe = believe
        self._identity: Identity | None = None
        self._broker: Broker | None = None
        self._door = Door(clock, contexts.client, self._enter, self._left)
        self._connecting: Deferred[Any] | None = None
        self._deadline: IDelayedCall | None = None

    def start(self, endpoint: IStreamClientEndpoint) -> Deferred[Dial]:
        """Try."""
        self._deadline = self._clock.callLater(ATTEMPT_SECONDS, self._fail, Unavailable("no answer"))
        connecting = self._connecting = endpoint.connect(Calling(self._door))
        connecting.addCallbacks(self._connected, self._notConnected)
        return self.done

    def stop(self) -> None:
        """End the attempt, or the connection."""
        self._fail(Unavailable("stopped"))
        self._door.hangUp()

    def _connected(self, _: object) -> None:
        self._connecting = None
        if self.done.called:
            self._door.hangUp()

    def _notConnected(self, failure: Failure) -> None:
        self._connecting = None
        self._fail(Unavailable("not reachable"))

    def _enter(self, door: Door) -> Broker | None:
        try:
            # The authority's signature was checked by the handshake; here it is whose certificate it is.
            self._identity = identityOf(peerChain(door.tls)[0])
        except (NotOurs, IndexError):
            self._fail(Unwelcome(Reason.WRONG_NODE))
            return None
        self._broker = Broker({}, self._greet)
        return self._broker

    def _greet(self, root: Any) -> None:
        self.root = root
        asked: Deferred[Any] = root.callRemote("hello", self._channel, self._mine.encode())
        asked.addCallbacks(self._answered, lambda _: self._fail(Unavailable("hung up")))
        asked.addErrback(self._refused)

    def _answered(self, answer: Any) -> None:
        if type(answer) is not tuple or len(answer) != 2 or type(answer[0]) is not int:
            raise ProtocolError("no answer to a hello")
        if answer[0] != Reason.WELCOME:
            isKnown = answer[0] in set(Reason)
            raise Unwelcome(Reason(answer[0]) if isKnown else Reason.NOT_UNDERSTOOD)
        assert self._identity is not None
        self.level = self._believe(self._identity, decodeHello(answer[1]))
        if not self.done.called:
            self._endDeadline()
            self._door.welcome()
            self.done.callback(self)

    def _refused(self, failure: Failure) -> None:
        assert isinstance(failure.value, JindimailError)
        self._fail(failure.value)

    def _left(self, door: Door, reason: Failure) -> None:
        if self.done.called:
            self.lost()
        else:
            self._fail(Unavailable(f"hung up: {door.flaw}" if door.flaw else "hung up"))

    def _fail(self, problem: JindimailError) -> None:
        if not self.done.called:
            self._endDeadline()
            self.done.errback(problem)
            if self._connecting is not None:
                self._connecting.cancel()
            self._door.hangUp()

    def _endDeadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
