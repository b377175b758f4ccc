"""The snapshot of a maildrop."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jindimail.errors import ProtocolError
from jindimail.model import UidSet
from jindimail.pop3.maildrop import Maildrop, NoSuchMessage, number
from jindimail.store.records import MessageRow


def rowOf(uid: int, size: int = 10) -> MessageRow:
    return MessageRow(
        uid=uid,
        bodyId=uid.to_bytes(16, "big"),
        prefix=uid % 7,
        size=size,
        internalSeconds=1,
        savedSeconds=2,
        flags=3,
        modSeq=uid,
    )


@given(st.sets(st.integers(1, 0xFFFFFFFF), max_size=20))
def test_aRowComesBackAsItWas(uids: set[int]) -> None:
    rows = [rowOf(uid) for uid in sorted(uids)]
    maildrop = Maildrop(1, rows)
    assert [maildrop.row(b"%d" % n) for n in range(1, len(rows) + 1)] == rows


@given(st.lists(st.one_of(st.none(), st.integers(1, 5)), max_size=20))
def test_theCountsFollowTheMarks(steps: list[int | None]) -> None:
    maildrop = Maildrop(1, [rowOf(uid, uid * 100) for uid in (3, 5, 6, 9, 11)])
    kept = {1: 300, 2: 500, 3: 600, 4: 900, 5: 1100}
    left = dict(kept)
    for step in steps:
        if step is None:
            maildrop.reset()
            left = dict(kept)
        elif step in left:
            maildrop.delete(b"%d" % step)
            del left[step]
        else:
            with pytest.raises(NoSuchMessage):
                maildrop.delete(b"%d" % step)
        assert (maildrop.count, maildrop.octets) == (len(left), sum(left.values()))
        assert len(maildrop.deletedUids()) == 5 - len(left)
        assert b"".join(maildrop.listings()) == b"".join(b"%d %d\r\n" % pair for pair in left.items())


def test_aVanishedMessageKeepsItsNumber() -> None:
    maildrop = Maildrop(1, [rowOf(uid) for uid in (3, 5, 6)])
    maildrop.vanish(UidSet(((1, 3), (4, 4), (6, 0xFFFFFFFF))))
    assert maildrop.row(b"2").uid == 5
    for gone in (b"1", b"3"):
        with pytest.raises(NoSuchMessage):
            maildrop.row(gone)
    maildrop.delete(b"1")
    maildrop.reset()
    assert maildrop.count == 3
    with pytest.raises(NoSuchMessage):
        maildrop.row(b"1")


def test_longListingsComeInPieces() -> None:
    maildrop = Maildrop(7, [rowOf(uid) for uid in range(1, 4502)])
    pieces = list(maildrop.uniqueIds())
    assert len(pieces) == 3
    assert b"".join(pieces).splitlines()[4499] == b"4500 7.4500"


@pytest.mark.parametrize("argument", [b"", b"x", b"1x", b"-1", b"+1", b"1_0", b" 1", b"\xb2", b"1" * 11])
def test_whatIsNoNumber(argument: bytes) -> None:
    with pytest.raises(ProtocolError):
        number(argument)
