"""Checking the octets of bodies against their `bodyref`s. Pure."""

from __future__ import annotations

from jindimail.errors import Corrupt
from jindimail.interfaces import IReadRows
from jindimail.model import digesting
from jindimail.store.bodies import chunkCount
from jindimail.store.finding import Finding, Kind
from jindimail.store.keys import (
    BODY,
    BODYREF,
    CHUNK_OCTETS,
    after,
    bodyKey,
    bucketKey,
    chunkKey,
    unpackChunkKey,
)
from jindimail.store.records import BodyrefRecord, decode


def checkBodies(
    rows: IReadRows, bucket: int, node: int, *, afterId: bytes = b"", octetsMax: int = 64 << 20
) -> tuple[list[Finding], bytes | None]:
    """
    Read the bodies of a bucket whose id is greater than `afterId`, until about `octetsMax` octets are read.

    What another keeps is not this node's to judge, were it half a copy: one that was given up when its node was slow lies there until it is swept.
    Answers what is wrong, and the id to go on after (None: that was all).
    """
    walk = _Walk(rows, bucket, node)
    return walk.run(after(bodyKey(bucket, afterId)) if afterId else bucketKey(bucket), octetsMax)


class _Walk:
    """Two scans side by side, both by body id: bodyrefs and chunks."""

    def __init__(self, rows: IReadRows, bucket: int, node: int) -> None:
        self._rows = rows
        self._bucket = bucket
        self._node = node
        self._findings: list[Finding] = []

    def run(self, start: bytes, octetsMax: int) -> tuple[list[Finding], bytes | None]:
        stop = bucketKey(self._bucket) + b"\xff" * 32
        references = self._rows.scan(BODYREF, start, stop)
        chunks = self._rows.scan(BODY, start, stop)
        reference, chunk = next(references, None), next(chunks, None)
        octets = 0
        last = None
        while reference is not None or chunk is not None:
            bodyId = min(_idOf(reference), _idOf(chunk))
            if octets > octetsMax:
                return self._findings, last
            mine: bytes | None = None
            if _idOf(reference) == bodyId and reference is not None:
                mine, reference = reference[1], next(references, None)
            record = None if mine is None else _decoded(mine)
            body = _Found(None if record is None else record.digest)
            while chunk is not None and _idOf(chunk) == bodyId:
                body.add(chunk)
                octets += len(chunk[1])
                chunk = next(chunks, None)
            self._compare(bodyId, record, body, isNamed=mine is not None)
            last = bodyId
        return self._findings, None

    def _compare(self, bodyId: bytes, record: BodyrefRecord | None, body: _Found, *, isNamed: bool) -> None:
        if not isNamed:
            self._add(Kind.BODY_ORPHAN, bodyId, f"{body.octets} octets that no bodyref knows", body.first)
            return
        if record is None:
            return  # damaged, which is found with the records
        if not record.keepers:
            self._add(Kind.KEEPERS_MISSING, bodyId, "its bodyref names no keeper", 0)
        if self._node not in record.keepers:
            return  # what lies there is on its way, or goes with the next sweep
        wanted = chunkCount(record.size)
        missing = set(range(wanted)) - set(body.numbers)
        for number in sorted(missing):
            self._add(Kind.CHUNK_MISSING, bodyId, f"chunk {number} of {wanted}", number)
        for number in body.numbers:
            if number >= wanted:
                self._add(Kind.CHUNK_EXTRA, bodyId, f"chunk {number}; the body has {wanted}", number)
        if body.isOdd:
            self._add(Kind.UNDECODABLE, bodyId, "a chunk's key has the wrong length", 0)
        if missing or len(body.numbers) > wanted:
            return
        if body.octets != record.size:
            self._add(Kind.BODY_DAMAGED, bodyId, f"{body.octets} octets instead of {record.size}", 0)
        elif body.hasShortChunk(wanted):
            self._add(Kind.BODY_DAMAGED, bodyId, "a chunk is not full", 0)
        elif body.digest.digest() != record.digest:
            self._add(Kind.BODY_DAMAGED, bodyId, "the octets are not those of its digest", 0)

    def _add(self, kind: Kind, bodyId: bytes, text: str, number: int) -> None:
        where = f"bucket {self._bucket}, body {bodyId.hex()}"
        self._findings.append(Finding(kind, BODY, chunkKey(self._bucket, bodyId, number), where, text))


class _Found:
    """The chunks that are there of one body."""

    __slots__ = ("digest", "isOdd", "numbers", "octets", "shorts")

    def __init__(self, digest: bytes | None) -> None:
        self.digest = digesting(digest)
        self.numbers: list[int] = []
        self.octets = 0
        self.shorts: list[int] = []
        self.isOdd = False

    @property
    def first(self) -> int:
        """The number of the first chunk there is."""
        return self.numbers[0] if self.numbers else 0

    def add(self, row: tuple[bytes, bytes]) -> None:
        """Count one in."""
        key, octets = row
        if len(key) != 22:
            self.isOdd = True
            return
        number = unpackChunkKey(key)[2]
        self.numbers.append(number)
        self.octets += len(octets)
        self.digest.update(octets)
        if len(octets) != CHUNK_OCTETS:
            self.shorts.append(number)

    def hasShortChunk(self, wanted: int) -> bool:
        """Whether a chunk before the last is not full."""
        return any(number < wanted - 1 for number in self.shorts)


def _decoded(reference: bytes) -> BodyrefRecord | None:
    try:
        return decode(reference, BodyrefRecord)
    except Corrupt:
        return None


def _idOf(row: tuple[bytes, bytes] | None) -> bytes:
    return b"\xff" * 17 if row is None else row[0][2:18]
