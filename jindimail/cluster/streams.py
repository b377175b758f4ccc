"""
Bodies on their way between nodes: larger than a call may be, in pieces of at most 64 KiB, a bounded number ahead (design §5).

A stream is a row of calls: `begin` with a head, pieces in order, `end`, which is answered. A piece is answered when the receiver has taken it, so
that who receives sets the pace, and nobody holds more than the window. A stream that breaks anywhere is gone as a whole.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import count
from struct import Struct
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from jindimail.errors import OutcomeUnknown, ProtocolError, Unavailable
from jindimail.interfaces import ILinks

PIECE_OCTETS = 64 * 1024
PIECES_AHEAD = 16
PATIENCE_SECONDS = 15.0  # for one piece
INCOMING_MAX = 64  # of one node

_BEGIN = Struct(">QH")
_PIECE = Struct(">QI")
_END = Struct(">QI")


class IsReceiver(Protocol):
    """What takes a stream's pieces; whatever it raises ends the stream, and reaches the sender as its nearest class."""

    def take(self, octets: bytes) -> Awaitable[object] | None:
        """Take the next piece; the one after comes only when the awaitable (if any) is done, however long that takes."""

    def end(self) -> Awaitable[bytes] | bytes:
        """There is no more: the answer for the sender."""

    def lost(self) -> None:
        """The stream broke; neither of the others is called any more."""


Begin = Callable[[int, bytes], IsReceiver]


class _Incoming:
    """A stream that comes in."""

    __slots__ = ("isEnded", "pieces", "receiver", "timer", "turn")

    def __init__(self, receiver: IsReceiver) -> None:
        self.receiver = receiver
        self.pieces = 0
        self.isEnded = False
        self.timer: IDelayedCall | None = None
        self.turn: Deferred[Any] | None = None  # of the piece being taken


class Streams:
    """
    The streams of a node.

    @ivar sent, received: how many were completed.
    """

    log = Logger()

    def __init__(self, *, clock: IReactorTime, links: ILinks) -> None:
        self._clock = clock
        self._links = links
        self._numbers = count(1)
        self._methods: dict[str, Begin] = {}
        self._incoming: dict[tuple[int, int], _Incoming] = {}
        self.sent = self.received = 0
        links.serve("stream.begin", self._begin)
        links.serve("stream.piece", self._piece)
        links.serve("stream.end", self._end)
        links.serve("stream.break", self._broken)

    # --- sending

    async def send(
        self, node: int, method: str, head: bytes, pieces: Iterable[bytes], deadlineSeconds: float
    ) -> bytes:
        """
        Send a stream, and give its receiver's answer to the end.

        @param pieces: of any size; they are read as they are sent.
        @param deadlineSeconds: for the answer to the end; a piece that is not taken in time breaks the stream.
        @raise Unavailable: it broke before its end was sent.
        @raise OutcomeUnknown: the end was sent and not answered in time.
        @raise JindimailError: what the receiver raised.
        """
        number = next(self._numbers)
        name = method.encode("ascii")
        await self._ask(node, "begin", _BEGIN.pack(number, len(name)) + name + head)
        ahead: list[Deferred[bytes]] = []
        sequence = 0
        try:
            for piece in _cut(pieces):
                if len(ahead) >= PIECES_AHEAD:
                    await ahead.pop(0)
                ahead.append(self._ask(node, "piece", _PIECE.pack(number, sequence) + piece))
                sequence += 1
            while ahead:
                await ahead.pop(0)
        except BaseException as problem:
            for each in [*ahead, self._ask(node, "break", _END.pack(number, 0))]:
                each.addErrback(lambda _: None)
            if isinstance(problem, OutcomeUnknown):
                raise Unavailable("the stream broke") from problem
            raise
        answer: bytes = await self._links.call(
            node, "stream.end", _END.pack(number, sequence), deadlineSeconds
        )
        self.sent += 1
        return answer

    def _ask(self, node: int, step: str, payload: bytes) -> Deferred[bytes]:
        asked: Deferred[bytes] = self._links.call(node, f"stream.{step}", payload, PATIENCE_SECONDS)
        return asked

    # --- receiving

    def serve(self, method: str, begin: Begin) -> None:
        """Receive streams of a method: `begin(node, head)` gives the receiver, or raises."""
        self._methods[method] = begin

    @property
    def incoming(self) -> int:
        """Streams that are coming in."""
        return len(self._incoming)

    def _begin(self, node: int, payload: bytes, seconds: float) -> bytes:
        number, size = _unpack(_BEGIN, payload)
        name, head = payload[_BEGIN.size :][:size], payload[_BEGIN.size + size :]
        begin = self._methods.get(name.decode("ascii", "replace"))
        self._break(node, number)  # of a former life of the node
        isFull = sum(other == node for other, _ in self._incoming) >= INCOMING_MAX
        if begin is None or isFull:
            raise Unavailable("no such stream, or too many")
        incoming = self._incoming[node, number] = _Incoming(begin(node, head))
        self._wait(node, number, incoming)
        return b""

    async def _piece(self, node: int, payload: bytes, seconds: float) -> bytes:
        number, sequence = _unpack(_PIECE, payload)
        incoming = await self._turn(node, number)
        if sequence != incoming.pieces:
            self._break(node, number)
            raise Unavailable("a gap in the stream")
        incoming.pieces += 1
        await self._guarded(node, number, incoming, incoming.receiver.take, payload[_PIECE.size :])
        return b""

    async def _end(self, node: int, payload: bytes, seconds: float) -> bytes:
        number, pieces = _unpack(_END, payload)
        incoming = await self._turn(node, number)
        if pieces != incoming.pieces:
            self._break(node, number)
            raise Unavailable("a gap in the stream")
        incoming.isEnded = True
        self._stopWaiting(incoming)
        answer: bytes = await self._guarded(node, number, incoming, incoming.receiver.end)
        self._incoming.pop((node, number), None)
        self.received += 1
        return answer

    def _broken(self, node: int, payload: bytes, seconds: float) -> bytes:
        self._break(node, _unpack(_END, payload)[0])
        return b""

    async def _turn(self, node: int, number: int) -> _Incoming:
        """The stream, when the pieces before have been taken."""
        incoming = self._incoming.get((node, number))
        while incoming is not None and incoming.turn is not None:
            await _after(incoming.turn)
            incoming = self._incoming.get((node, number))
        if incoming is None or incoming.isEnded:
            raise Unavailable("no such stream")
        return incoming

    async def _guarded(
        self, node: int, number: int, incoming: _Incoming, step: Callable[..., Any], *arguments: bytes
    ) -> Any:
        """One step of a receiver; if it raises, the stream is gone."""
        turn = incoming.turn = Deferred()
        self._stopWaiting(incoming)
        try:
            result = step(*arguments)
            return result if result is None or isinstance(result, bytes) else await result
        except BaseException:
            self._break(node, number)
            raise
        finally:
            incoming.turn = None
            if not incoming.isEnded and self._incoming.get((node, number)) is incoming:
                self._wait(node, number, incoming)
            turn.callback(None)

    def _wait(self, node: int, number: int, incoming: _Incoming) -> None:
        incoming.timer = self._clock.callLater(PATIENCE_SECONDS, self._break, node, number)

    def _stopWaiting(self, incoming: _Incoming) -> None:
        if incoming.timer is not None and incoming.timer.active():
            incoming.timer.cancel()

    def _break(self, node: int, number: int) -> None:
        incoming = self._incoming.pop((node, number), None)
        if incoming is not None:
            self._stopWaiting(incoming)
            try:
                incoming.receiver.lost()
            except Exception:  # the stream is gone whatever its receiver makes of that
                self.log.failure("the receiver of a broken stream of node {node} failed", node=node)

    def stop(self) -> None:
        """Break what is coming in."""
        for node, number in list(self._incoming):
            self._break(node, number)


def _cut(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), PIECE_OCTETS):
            yield piece[start : start + PIECE_OCTETS]


def _unpack(layout: Struct, payload: bytes) -> tuple[int, int]:
    if len(payload) < layout.size:
        raise ProtocolError("no stream")
    first, second = layout.unpack_from(payload)
    return first, second


def _after(turn: Deferred[Any]) -> Deferred[None]:
    """Fires when a turn is over, and leaves it to the others that wait."""
    waiting: Deferred[None] = Deferred()

    def over(result: Any) -> Any:
        waiting.callback(None)
        return result

    turn.addBoth(over)
    return waiting
