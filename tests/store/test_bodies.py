"""Bodies: chunks, ranges, verification."""

from __future__ import annotations

from hashlib import blake2b

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from jindimail.errors import Corrupt
from jindimail.model import digestOf, isDigestOf
from jindimail.store.bodies import chunkCount, deleteBody, putBody, readOctets, verify
from jindimail.store.keys import BODY, CHUNK_OCTETS, chunkKey
from jindimail.store.memory import MemoryRows

ID, OTHER_ID = b"i" * 16, b"o" * 16
LARGE = bytes(range(256)) * 800  # a little over three chunks
SIZES = (0, 1, CHUNK_OCTETS - 1, CHUNK_OCTETS, CHUNK_OCTETS + 1, 2 * CHUNK_OCTETS, len(LARGE))


class BodyTests(SynchronousTestCase):
    """Bodies on rows in memory."""

    def setUp(self) -> None:
        self.rows = MemoryRows()

    def test_bodyOfAnOlderStoreIsVerifiedByTheDigestThatItHas(self) -> None:
        older = blake2b(LARGE, digest_size=16).digest()
        putBody(self.rows, 3, ID, LARGE)
        verify(self.rows, 3, ID, len(LARGE), older)
        self.assertTrue(isDigestOf(older, LARGE))
        self.assertFalse(isDigestOf(older, LARGE + b"x"))

    def test_bodiesOfEverySizeComeBack(self) -> None:
        for size in SIZES:
            octets = LARGE[:size]
            putBody(self.rows, 3, ID, octets)
            self.assertEqual(readOctets(self.rows, 3, ID, 0, size), octets)
            verify(self.rows, 3, ID, size, digestOf(octets))
            self.assertEqual(deleteBody(self.rows, 3, ID), chunkCount(size))
            self.assertEqual(list(self.rows.scan(BODY, b"", b"\xff")), [])

    @given(st.integers(0, len(LARGE)), st.integers(0, len(LARGE)))
    @settings(max_examples=100, deadline=None)
    def test_everyRangeIsThatOfTheOctets(self, start: int, stop: int) -> None:
        rows = MemoryRows()
        putBody(rows, 3, ID, LARGE)
        self.assertEqual(readOctets(rows, 3, ID, start, stop), LARGE[start:stop])

    def test_rangesAroundChunkEnds(self) -> None:
        putBody(self.rows, 3, ID, LARGE)
        for edge in (CHUNK_OCTETS, 2 * CHUNK_OCTETS, 3 * CHUNK_OCTETS, len(LARGE)):
            for start in (edge - 2, edge - 1, edge):
                for stop in (edge - 1, edge, edge + 1):
                    if stop <= len(LARGE):
                        self.assertEqual(readOctets(self.rows, 3, ID, start, stop), LARGE[start:stop])

    def test_largeBodyMayComeInPieces(self) -> None:
        putBody(self.rows, 3, ID, LARGE[: 2 * CHUNK_OCTETS])
        putBody(self.rows, 3, ID, LARGE[2 * CHUNK_OCTETS :], firstChunk=2)
        verify(self.rows, 3, ID, len(LARGE), digestOf(LARGE))

    def test_readingWhatIsNotThereIsCorrupt(self) -> None:
        putBody(self.rows, 3, ID, LARGE)
        for bodyId, stop in ((OTHER_ID, 1), (ID, len(LARGE) + 1), (ID, 10 * CHUNK_OCTETS)):
            with self.assertRaises(Corrupt):
                readOctets(self.rows, 3, bodyId, 0, stop)
        self.rows.delete(BODY, chunkKey(3, ID, 1))
        with self.assertRaises(Corrupt):
            readOctets(self.rows, 3, ID, 0, len(LARGE))
        self.assertEqual(readOctets(self.rows, 3, ID, 0, 100), LARGE[:100])

    def test_verifyFindsWhateverDiffers(self) -> None:
        digest = digestOf(LARGE)
        changes = {
            "wrong digest": (2, LARGE[2 * CHUNK_OCTETS : 3 * CHUNK_OCTETS - 1] + b"?"),
            "extra chunk": (4, b"more"),
            "octets": (1, b"short"),
            "missing": (3, None),
            "instead of": (3, LARGE[3 * CHUNK_OCTETS :] + b"longer"),
        }
        for text, (number, octets) in changes.items():
            putBody(self.rows, 3, ID, LARGE)
            if octets is None:
                self.rows.delete(BODY, chunkKey(3, ID, number))
            else:
                self.rows.put(BODY, chunkKey(3, ID, number), octets)
            with self.assertRaises(Corrupt) as caught:
                verify(self.rows, 3, ID, len(LARGE), digest)
            self.assertIn(text, str(caught.exception))
            self.rows = MemoryRows()

    def test_deletingOneBodyLeavesItsNeighbours(self) -> None:
        for bucket, bodyId in ((3, ID), (3, OTHER_ID), (4, ID)):
            putBody(self.rows, bucket, bodyId, LARGE)
        deleteBody(self.rows, 3, ID)
        for bucket, bodyId in ((3, OTHER_ID), (4, ID)):
            verify(self.rows, bucket, bodyId, len(LARGE), digestOf(LARGE))
