"""
Where the octets of a message wait while it comes in: memory up to a bound, then a file.

A spooled message is not durable; what makes it so is the store. Its file loses its name as soon as it is open, so that
nothing is left behind whatever ends the process; a name that is left all the same is removed at the next start. The file lives as
long as a `model.Body` that reads from it, so that a writer that is late never reads another message's octets.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BytesIO
from typing import Final

from jindimail.errors import StorageFull
from jindimail.model import Body, OctetPieces, digesting, digestOf

SUFFIX: Final = ".spool"


class Spool:
    """All messages of this node that are coming in, with bounds on their number and their octets."""

    def __init__(
        self,
        directory: str,
        *,
        memoryOctetsMax: int = 256 * 1024,
        memoryOctetsTotalMax: int = 64 * 1024**2,
        octetsMax: int = 4 * 1024**3,
        messagesMax: int = 10_000,
    ) -> None:
        """Make the directory if need be, readable by its owner only, and clear it of leftovers."""
        self.directory = directory
        self.octets = 0
        self.memoryOctets = 0
        self.messages = 0
        self._memoryOctetsMax = memoryOctetsMax
        self._memoryOctetsTotalMax = memoryOctetsTotalMax
        self._octetsMax = octetsMax
        self._messagesMax = messagesMax
        os.makedirs(directory, mode=0o700, exist_ok=True)
        for name in os.listdir(directory):
            if name.endswith(SUFFIX):
                os.unlink(os.path.join(directory, name))

    def begin(self, bodyId: bytes) -> Spooled:
        """
        A new message, named by the delivery that brings it.

        @raise StorageFull: there are too many already.
        """
        if self.messages >= self._messagesMax or self.octets >= self._octetsMax:
            raise StorageFull
        self.messages += 1
        return Spooled(self, bodyId)

    def reserve(self, octets: int) -> None:
        """Count octets in, or refuse them."""
        if self.octets + octets > self._octetsMax:
            raise StorageFull
        self.octets += octets

    def mayStayInMemory(self, octets: int) -> bool:
        """Whether a message that has grown to this size may stay in memory."""
        return octets <= self._memoryOctetsMax and self.memoryOctets <= self._memoryOctetsTotalMax

    def release(self, octets: int) -> None:
        """Count a message and its octets out."""
        self.messages -= 1
        self.octets -= octets


class Spooled:
    """
    One message on its way in: `write` its octets, `finish` it, and `discard` it when all is done.

    `discard` may come at any time, and more than once.
    """

    __slots__ = ("_digest", "_file", "_memory", "_memoryOctets", "_spool", "bodyId", "size")

    def __init__(self, spool: Spool, bodyId: bytes) -> None:
        self.bodyId = bodyId
        self.size = 0
        self._spool: Spool | None = spool
        self._memory = BytesIO()
        self._memoryOctets = 0
        self._file: _File | None = None
        self._digest = digesting()

    def write(self, octets: bytes) -> None:
        """
        Add octets at the end. After a refusal the message can only be discarded.

        @raise StorageFull: the spool or its disk is full.
        """
        spool = self._spool
        assert spool is not None, "written to after discard"
        count = len(octets)
        spool.reserve(count)
        self.size += count
        if self._file is not None:
            self._writeFile(octets)
            return
        self._memory.write(octets)
        self._memoryOctets += count
        spool.memoryOctets += count
        if not spool.mayStayInMemory(self.size):
            self._spill(spool)

    def finish(self) -> Body:
        """The message, to be read as often as needed until it is discarded."""
        assert self._spool is not None, "finished after discard"
        if self._file is not None:
            return Body(
                bodyId=self.bodyId,
                size=self.size,
                digest=self._digest.digest(),
                source=_FilePieces(self._file),
            )
        octets = self._memory.getvalue()
        return Body(bodyId=self.bodyId, size=self.size, digest=digestOf(octets), source=OctetPieces(octets))

    def discard(self) -> None:
        """The message is filed, or is not wanted: give its room back."""
        spool, self._spool = self._spool, None
        if spool is not None:
            self._takeMemory(spool)
            spool.release(self.size)
            self._file = None

    def _takeMemory(self, spool: Spool) -> bytes:
        """What stands in memory, which it leaves."""
        octets = self._memory.getvalue()
        self._memory = BytesIO()
        spool.memoryOctets -= self._memoryOctets
        self._memoryOctets = 0
        return octets

    def _spill(self, spool: Spool) -> None:
        """Move what stands in memory to a file."""
        octets = self._takeMemory(spool)
        try:
            self._file = _File(os.path.join(spool.directory, self.bodyId.hex() + SUFFIX))
        except OSError:
            raise StorageFull from None
        self._writeFile(octets)

    def _writeFile(self, octets: bytes) -> None:
        """Add octets to the file; a full disk is a refusal like another."""
        assert self._file is not None
        try:
            self._file.write(octets)
        except OSError:
            raise StorageFull from None
        self._digest.update(octets)


class _File:
    """An open file without a name, closed when nobody refers to it any more."""

    __slots__ = ("descriptor", "size")

    def __init__(self, path: str) -> None:
        self.descriptor = -1
        self.size = 0
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.unlink(path)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)

    def write(self, octets: bytes) -> None:
        """Add all octets at the end."""
        view = memoryview(octets)
        while view:
            written = os.write(self.descriptor, view)
            self.size += written
            view = view[written:]

    def read(self, start: int, octets: int) -> bytes:
        """Exactly these octets, or those up to the end; from any thread."""
        pieces = []
        while octets:
            piece = os.pread(self.descriptor, octets, start)
            if not piece:
                break
            pieces.append(piece)
            start += len(piece)
            octets -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class _FilePieces:
    """The octets of a spooled file, as `model.IPieces`."""

    __slots__ = ("_file",)

    def __init__(self, file: _File) -> None:
        self._file = file

    def pieces(self, octetsMax: int) -> Iterator[bytes]:
        """Yield the file in order."""
        for start in range(0, self._file.size, octetsMax):
            yield self._file.read(start, octetsMax)
