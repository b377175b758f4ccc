"""
Copies that were found sound lately: a body that is read in pieces is verified as a whole before the first of them (design §6).

Each keeper reads its own copy, so that a large body does not cross twice to be read once; what it then sends is guarded by TLS.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jindimail.errors import Corrupt, ProtocolError
from jindimail.interfaces import ILinks, IStore
from jindimail.model import digesting
from jindimail.store.bodies import chunkCount
from jindimail.store.keys import BODY, chunkKey

METHOD: Final = "sound"
REMEMBERED_MAX: Final = 4096
REMEMBERED_SECONDS: Final = 600.0
CHUNKS_AT_ONCE: Final = 32  # two MiB, about three milliseconds
ANSWER_SECONDS: Final = 10.0  # of another keeper, whose disk may have to read all of it
_YES, _NO = b"y", b"n"


class AskSound(msgspec.Struct, frozen=True, array_like=True):
    """Whether a node's copy of a body is sound."""

    bucket: int
    bodyId: bytes
    size: int
    digest: bytes


class Verified:
    """A bounded memory of what was verified, here and at other nodes."""

    def __init__(self, *, clock: IReactorTime, store: IStore, links: ILinks) -> None:
        self._clock = clock
        self._store = store
        self._links = links
        self._since: OrderedDict[tuple[int, int, bytes], float] = OrderedDict()
        links.serve(METHOD, self._asked)

    async def require(self, node: int, body: AskSound) -> None:
        """
        Have a node's copy of a body verified, if it was not lately.

        @raise Corrupt: it is damaged, or not there.
        @raise Unavailable: the node does not answer.
        """
        key = node, body.bucket, body.bodyId
        now = self._clock.seconds()
        if now - self._since.get(key, -REMEMBERED_SECONDS) < REMEMBERED_SECONDS:
            return
        if node == self._links.node:
            isSound = await self._isSound(body)
        else:
            asked = msgspec.msgpack.encode(body)
            isSound = await self._links.call(node, METHOD, asked, ANSWER_SECONDS) == _YES
        if not isSound:
            raise Corrupt("body has another digest")
        self._since[key] = now
        self._since.move_to_end(key)
        if len(self._since) > REMEMBERED_MAX:
            self._since.popitem(last=False)

    def doubt(self, node: int, bucket: int, bodyId: bytes) -> None:
        """A copy that was sound is no more."""
        self._since.pop((node, bucket, bodyId), None)

    async def _asked(self, node: int, payload: bytes, seconds: float) -> bytes:
        try:
            body = msgspec.msgpack.decode(payload, type=AskSound)
        except msgspec.MsgspecError as problem:
            raise ProtocolError from problem
        try:
            await self.require(self._links.node, body)
        except Corrupt:
            return _NO
        return _YES

    async def _isSound(self, body: AskSound) -> bool:
        hasher = digesting(body.digest)
        chunks = chunkCount(body.size)
        for first in range(0, chunks, CHUNKS_AT_ONCE):
            if first:
                await self._breathe()
            with self._store.read() as rows:
                for number in range(first, min(chunks, first + CHUNKS_AT_ONCE)):
                    hasher.update(rows.get(BODY, chunkKey(body.bucket, body.bodyId, number)) or b"")
        return hasher.digest() == body.digest

    def _breathe(self) -> Deferred[None]:
        pause: Deferred[None] = Deferred()
        self._clock.callLater(0, pause.callback, None)
        return pause
