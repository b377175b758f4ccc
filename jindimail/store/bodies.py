"""
A body's octets in the rows: chunks of CHUNK_OCTETS under (bucket, body id, chunk number). Pure.

A body that was only partly written is never named by a committed entry: its `bodyref` comes with the entry, after the octets.
"""

from __future__ import annotations

from jindimail.interfaces import IReadRows, IRows
from jindimail.store.keys import BODY, CHUNK_OCTETS, after, bodyKey, chunkKey


def putBody(rows: IRows, bucket: int, bodyId: bytes, octets: bytes, firstChunk: int = 0) -> None:
    """Write octets from chunk `firstChunk` on; all pieces of a body but the last are whole chunks."""
    if len(octets) <= CHUNK_OCTETS:
        rows.put(BODY, chunkKey(bucket, bodyId, firstChunk), octets)
        return
    view = memoryview(octets)
    for number, start in enumerate(range(0, len(octets), CHUNK_OCTETS), firstChunk):
        rows.put(BODY, chunkKey(bucket, bodyId, number), bytes(view[start : start + CHUNK_OCTETS]))


def readOctets(rows: IReadRows, bucket: int, bodyId: bytes, start: int, stop: int) -> bytes:
    """Octets [start, stop) as far as they are there; fewer if a chunk is missing."""
    first, last = start // CHUNK_OCTETS, (stop - 1) // CHUNK_OCTETS
    pieces = []
    for number in range(first, last + 1):
        chunk = rows.get(BODY, chunkKey(bucket, bodyId, number))
        if chunk is None:
            break
        offset = number * CHUNK_OCTETS
        pieces.append(chunk[max(0, start - offset) : stop - offset])
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def deleteBody(rows: IRows, bucket: int, bodyId: bytes) -> None:
    """Delete all chunks of a body; harmless if there are none."""
    prefix = bodyKey(bucket, bodyId)
    for key, _ in list(rows.scan(BODY, prefix, after(prefix))):
        rows.delete(BODY, key)
