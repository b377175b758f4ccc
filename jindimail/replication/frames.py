"""
Messages packed into the byte strings that travel: at most 64 KiB each (design §5).

Pure. A frame is one octet and then: for `WHOLE` a MessagePack array of messages; for `PART` and `LAST` a slice of such an
array that is too long for one frame. The slices of one array follow each other in order; a gap drops the array.
"""

from __future__ import annotations

from collections.abc import Iterable

from jindimail.errors import Corrupt
from jindimail.replication.nodemessages import AnyTraffic, decodeTraffic

FRAME_OCTETS_MAX = 64 * 1024
ARRAY_OCTETS_MAX = 8 * 1024 * 1024  # of an array in slices

WHOLE, FIRST, PART, LAST = 0, 1, 2, 3
_ROOM = FRAME_OCTETS_MAX - 6


def packFrames(messages: Iterable[bytes]) -> list[bytes]:
    """The frames of these encoded messages, in order."""
    frames: list[bytes] = []
    batch: list[bytes] = []
    octets = 0
    for message in messages:
        if batch and octets + len(message) > _ROOM:
            frames.append(_whole(batch))
            batch, octets = [], 0
        if len(message) > _ROOM:
            frames.extend(_sliced(message))
            continue
        batch.append(message)
        octets += len(message)
    if batch:
        frames.append(_whole(batch))
    return frames


def _array(messages: list[bytes]) -> bytes:
    return b"\xdd" + len(messages).to_bytes(4, "big") + b"".join(messages)


def _whole(messages: list[bytes]) -> bytes:
    return b"\x00" + _array(messages)


def _sliced(message: bytes) -> list[bytes]:
    array = _array([message])
    size = FRAME_OCTETS_MAX - 1
    slices = [array[start : start + size] for start in range(0, len(array), size)]
    kinds = [FIRST, *[PART] * (len(slices) - 2), LAST]
    return [bytes((kind,)) + each for kind, each in zip(kinds, slices, strict=True)]


class Unpacker:
    """Reads the frames of one peer, which arrive in order but perhaps not all."""

    __slots__ = ("_octets", "_slices")

    def __init__(self) -> None:
        self._slices: list[bytes] = []
        self._octets = 0

    def unpack(self, frame: bytes) -> list[AnyTraffic]:
        """
        The messages that a frame completes.

        @raise Corrupt: it is no frame.
        """
        if not frame or frame[0] > LAST:
            raise Corrupt("no frame")
        kind = frame[0]
        if kind == WHOLE:
            self._drop()
            return decodeTraffic(memoryview(frame)[1:])
        if kind == FIRST:
            self._drop()
        elif not self._slices:
            return []  # its beginning was lost
        self._slices.append(frame[1:])
        self._octets += len(frame)
        if self._octets > ARRAY_OCTETS_MAX:
            self._drop()
            return []
        if kind != LAST:
            return []
        whole = b"".join(self._slices)
        self._drop()
        return decodeTraffic(whole)

    def _drop(self) -> None:
        self._slices = []
        self._octets = 0
