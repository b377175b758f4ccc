"""
Bodies as rows: chunks of up to `CHUNK_OCTETS`, numbered from 0, all full but the last (design §4).

Pure. How long a body is and what its digest is stands in its `bodyref`, not here.
"""

from __future__ import annotations

from jindimail.errors import Corrupt
from jindimail.interfaces import IReadRows, IRows
from jindimail.model import digesting
from jindimail.store.keys import (
    BODY,
    CHUNK_OCTETS,
    chunkKey,
)


def chunkCount(size: int) -> int:
    """How many chunks a body of this size has; an empty body has none."""
    return -(-size // CHUNK_OCTETS)


def putBody(rows: IRows, bucket: int, bodyId: bytes, octets: bytes, firstChunk: int = 0) -> None:
    """
    Keep a body's octets from chunk `firstChunk` on.

    A large body is kept by several transactions, each with a piece; all pieces but the last are whole chunks.
    """
    if len(octets) <= CHUNK_OCTETS:
        if octets:
            rows.put(BODY, chunkKey(bucket, bodyId, firstChunk), octets)
        return
    for number, start in enumerate(range(0, len(octets), CHUNK_OCTETS), firstChunk):
        rows.put(BODY, chunkKey(bucket, bodyId, number), octets[start : start + CHUNK_OCTETS])


def readOctets(rows: IReadRows, bucket: int, bodyId: bytes, start: int, stop: int) -> bytes:
    """
    Octets [start, stop) of a body; `stop` is at most its size.

    @raise Corrupt: some of them are missing.
    """
    if start >= stop:
        return b""
    first = start // CHUNK_OCTETS
    chunks = [_chunk(rows, bucket, bodyId, number) for number in range(first, chunkCount(stop))]
    octets = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    offset = first * CHUNK_OCTETS
    if len(octets) < stop - offset:
        raise Corrupt("a body is shorter than it should be")
    return octets if len(octets) == stop - start else octets[start - offset : stop - offset]


def deleteBody(rows: IRows, bucket: int, bodyId: bytes, size: int | None = None) -> int:
    """
    Delete a body's chunks; how many there were.

    Without its size a gap ends it. What is left behind, which only damage explains, is left to the sweep.
    """
    if size is not None:
        return sum(rows.delete(BODY, chunkKey(bucket, bodyId, number)) for number in range(chunkCount(size)))
    number = 0
    while rows.delete(BODY, chunkKey(bucket, bodyId, number)):
        number += 1
    return number


def verify(rows: IReadRows, bucket: int, bodyId: bytes, size: int, digest: bytes) -> None:
    """
    Read a body chunk by chunk and compare it with what its `bodyref` says.

    @raise Corrupt: it differs, or a chunk is missing, or there are more.
    """
    hashing = digesting(digest)
    count = chunkCount(size)
    found = 0
    for number in range(count):
        chunk = _chunk(rows, bucket, bodyId, number)
        found += len(chunk)
        if number < count - 1 and len(chunk) != CHUNK_OCTETS:
            raise Corrupt(f"chunk {number} has {len(chunk)} octets")
        hashing.update(chunk)
    if found != size:
        raise Corrupt(f"{found} octets instead of {size}")
    if rows.get(BODY, chunkKey(bucket, bodyId, count)) is not None:
        raise Corrupt(f"extra chunk {count}")
    if hashing.digest() != digest:
        raise Corrupt("wrong digest")


def _chunk(rows: IReadRows, bucket: int, bodyId: bytes, number: int) -> bytes:
    chunk: bytes | None = rows.get(BODY, chunkKey(bucket, bodyId, number))
    if chunk is None:
        raise Corrupt(f"chunk {number} is missing")
    return chunk
