"""
Links in memory, for tests and simulations of what is built upon them: the contract of `links` without TLS, PB and bounds.

What is sent arrives after a delay, in order on each channel; a connection can be cut, which both sides notice at once, or stalled, which nobody
notices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from jindimail.cluster.answerers import Answerer, Answerers
from jindimail.cluster.payloads import PAYLOAD_OCTETS_MAX, PIECE_OCTETS, errorName, errorOf
from jindimail.errors import OutcomeUnknown, Unavailable
from jindimail.interfaces import ILinks, INodeLink

Took = Callable[[int, list[bytes]], object]


class Fabric:
    """
    What connects the nodes of a test.

    @ivar delaySeconds: of everything.
    @ivar isStalled: what is sent is lost, and nobody is told.
    @ivar lives: how often each node came up, which is its incarnation.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock
        self.delaySeconds = 0.001
        self.isStalled: Callable[[int, int], bool] = lambda source, target: False
        self.lives: dict[int, int] = {}
        self._nodes: dict[int, MemoryLinks] = {}
        self._cut: set[tuple[int, int]] = set()

    def add(self, node: int) -> MemoryLinks:
        """A node comes up, perhaps again."""
        self.remove(node)
        self.lives[node] = self.lives.get(node, 0) + 1
        links = self._nodes[node] = MemoryLinks(self, node)
        for other in self._nodes.values():
            other.changed(node, True)
            links.changed(other.node, True)
        return links

    def remove(self, node: int) -> None:
        """A node is gone; nothing of it arrives anywhere any more."""
        links = self._nodes.pop(node, None)
        if links is not None:
            links.isOver = True
            for other in self._nodes.values():
                other.changed(node, False)

    def cut(self, one: int, other: int) -> None:
        """The two lose their connections."""
        self._cut.add((min(one, other), max(one, other)))
        self._tell(one, other, False)

    def heal(self) -> None:
        """All connections are back."""
        cut, self._cut = self._cut, set()
        for one, other in cut:
            self._tell(one, other, True)

    def connected(self, source: int, target: int) -> MemoryLinks | None:
        """The target, if there is a connection to it."""
        isCut = (min(source, target), max(source, target)) in self._cut
        return None if isCut else self._nodes.get(target)

    def _tell(self, one: int, other: int, isUp: bool) -> None:
        for node, peer in ((one, other), (other, one)):
            if node in self._nodes and peer in self._nodes:
                self._nodes[node].changed(peer, isUp)


@implementer(INodeLink)
class _Link:
    def __init__(self, links: MemoryLinks, node: int) -> None:
        self._links = links
        self._node = node

    def send(self, messages: list[bytes]) -> None:
        self._links.send(self._node, messages)

    def sendBulk(self, messages: list[bytes]) -> None:
        self._links.sendBulk(self._node, messages)


@implementer(ILinks)
class MemoryLinks:
    """One node's links."""

    def __init__(self, fabric: Fabric, node: int) -> None:
        self.node = node
        self.isOver = False
        self._fabric = fabric
        self._answerers = Answerers()
        self._seen: dict[int, int] = {}
        self._took: list[Took] = [lambda node, messages: None] * 2
        self._listeners: list[Callable[[int, bool], object]] = []
        self._asked: dict[_Asked, None] = {}

    def link(self, node: int) -> INodeLink:
        """See `ILinks`."""
        return _Link(self, node)

    def incarnationOf(self, node: int) -> int:
        """See `ILinks`; one that comes up is seen at once by those that it is connected with."""
        if self._fabric.connected(self.node, node) is not None:
            self._seen[node] = self._fabric.lives[node]
        return self._seen.get(node, -1)

    def send(self, node: int, messages: list[bytes]) -> None:
        """See `ILinks`."""
        self._leave(node, messages, 0)

    def sendBulk(self, node: int, messages: list[bytes]) -> None:
        """See `ILinks`."""
        self._leave(node, messages, 1)

    def _leave(self, node: int, messages: list[bytes], channel: int) -> None:
        assert all(len(message) <= PIECE_OCTETS for message in messages)
        fabric, target = self._fabric, self._fabric.connected(self.node, node)
        if messages and target is not None and not self.isOver and not fabric.isStalled(self.node, node):
            fabric.clock.callLater(fabric.delaySeconds, self._arrive, target, list(messages), channel)

    def _arrive(self, target: MemoryLinks, messages: list[bytes], channel: int) -> None:
        if not target.isOver and self._fabric.connected(self.node, target.node) is target:
            target._took[channel](self.node, messages)

    def attend(self, took: Took, tookBulk: Took) -> None:
        """See `ILinks`."""
        self._took = [took, tookBulk]

    def serve(self, method: str, answerer: Answerer) -> None:
        """See `ILinks`."""
        self._answerers.serve(method, answerer)

    def call(self, node: int, method: str, payload: bytes, deadlineSeconds: float) -> Deferred[bytes]:
        """See `ILinks`."""
        if len(payload) > PAYLOAD_OCTETS_MAX:
            raise ValueError("a payload is at most 4 MiB")
        if node == self.node:
            return self._answerers.answer(node, method, payload, deadlineSeconds)
        fabric, target = self._fabric, self._fabric.connected(self.node, node)
        if target is None or self.isOver:
            return fail(Unavailable("the node is away"))
        asked = _Asked(self, node)
        self._asked[asked] = None
        asked.timer = fabric.clock.callLater(deadlineSeconds, asked.lost)
        if not fabric.isStalled(self.node, node):
            fabric.clock.callLater(
                fabric.delaySeconds, self._ask, target, asked, method, payload, deadlineSeconds
            )
        return asked.done

    def _ask(self, target: MemoryLinks, asked: _Asked, method: str, payload: bytes, seconds: float) -> None:
        if target.isOver or self._fabric.connected(self.node, target.node) is not target:
            return
        answering = target._answerers.answer(self.node, method, payload, seconds)
        answering.addBoth(self._answered, target, asked)

    def _answered(self, result: Any, target: MemoryLinks, asked: _Asked) -> None:
        fabric = self._fabric
        isLost = target.isOver or fabric.isStalled(target.node, self.node)
        if not isLost and fabric.connected(self.node, target.node) is target:
            fabric.clock.callLater(fabric.delaySeconds, asked.fire, result)

    def asked(self, asked: _Asked) -> None:
        """A call is over."""
        self._asked.pop(asked, None)

    def isUp(self, node: int) -> bool:
        """See `ILinks`."""
        return node != self.node and self._fabric.connected(self.node, node) is not None

    def listen(self, listener: Callable[[int, bool], object]) -> None:
        """See `ILinks`."""
        self._listeners.append(listener)

    def changed(self, node: int, isUp: bool) -> None:
        """A connection has come up, or gone."""
        if node == self.node or self.isOver:
            return
        if not isUp:
            for asked in [each for each in self._asked if each.node == node]:
                asked.lost()
        for listener in self._listeners:
            listener(node, isUp)


class _Asked:
    """A call that waits for its answer."""

    def __init__(self, links: MemoryLinks, node: int) -> None:
        self.node = node
        self.done: Deferred[bytes] = Deferred(lambda _: self._end())
        self.timer: IDelayedCall | None = None
        self._links = links

    def lost(self) -> None:
        self.fire(Failure(OutcomeUnknown("no answer")))

    def fire(self, result: Any) -> None:
        if self.done.called:
            return
        self._end()
        if isinstance(result, Failure):
            self.done.errback(errorOf(errorName(result.value)))
        elif isinstance(result, bytes):
            self.done.callback(result)
        else:
            self.done.errback(errorOf(b"JindimailError"))

    def _end(self) -> None:
        self._links.asked(self)
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
