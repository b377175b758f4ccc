"""Whatever crosses between nodes comes out as it went in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jindimail.cluster.membership import Admitted, Agreed, Declined
from jindimail.errors import Corrupt
from jindimail.mailbox import outcomes, queries, wire
from jindimail.mailbox.entries import AnyEntry, decodeEntry, encodeEntry
from jindimail.model import Added, FlagsChanged, MailboxSummary, UidSet, Vanished
from jindimail.store.records import FiledRecord, PopLockRecord

UIDS = UidSet.ofRanges([(1, 5), (9, 9), (1000, 4_000_000_000)])

RANGES = st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99)), max_size=4)


@pytest.fixture(autouse=True, scope="module")
def integersOfOurs() -> Iterator[None]:
    """Integers of 64 bits, as records have them, wherever a type asks for one."""
    st.register_type_strategy(int, st.integers(0, (1 << 63) - 1))
    st.register_type_strategy(
        UidSet, RANGES.map(lambda pairs: UidSet.ofRanges((min(p), max(p)) for p in pairs))
    )
    yield
    st.register_type_strategy(int, st.integers())


OUTCOMES: list[Any] = [
    outcomes.Done(),
    outcomes.Refused("overQuota"),
    outcomes.Locked(holder=PopLockRecord(node=1, incarnation=2, session="a")),
    outcomes.Steps(remaining=3),
    outcomes.MailboxMade(mailboxId=1 << 63, uidValidity=7),
    outcomes.Filed(
        filings=(FiledRecord(accountId=1, refused=""), FiledRecord(accountId=2, refused="gone")),
        repeated=True,
    ),
    outcomes.FlagsStored(changed=UIDS, modified=UidSet(), modSeq=1 << 40),
    outcomes.Copied(uidValidity=1, sources=UIDS, targets=UIDS, modSeq=0),
    outcomes.Expunged(uids=UIDS, modSeq=9),
    Agreed(),
    Admitted(3),
    Declined("no"),
]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_outcomesCross(outcome: Any) -> None:
    assert wire.decodeOutcome(wire.encodeOutcome(outcome)) == outcome


def test_noKindOfOutcomeIsForgotten() -> None:
    assert {type(outcome) for outcome in OUTCOMES} == {
        *get_args(outcomes.Outcome),
        Agreed,
        Admitted,
        Declined,
    }


def test_everyQueryHasItsAnswer() -> None:
    assert set(wire._ANSWERS) == set(get_args(queries.AnyQuery))


@settings(deadline=None)
@given(st.data())
def test_queriesAndTheirAnswersCross(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(wire._ANSWERS, key=lambda each: each.__name__)))
    query = data.draw(st.from_type(kind))
    assert wire.decodeQuery(wire.encodeQuery(query)) == query
    answer = data.draw(st.from_type(wire._ANSWERS[kind]))
    assert wire.decodeAnswer(query, wire.encodeAnswer(answer)) == answer


def test_changesKeepTheirKind() -> None:
    changes = tuple(
        kind(modSeq=modSeq, uids=UIDS) for modSeq, kind in enumerate((Added, FlagsChanged, Vanished))
    )
    answer = queries.Changes(changes=changes, modSeq=3, resumable=True)
    query = queries.ReadChanges(mailboxId=1, afterModSeq=0)
    assert wire.decodeAnswer(query, wire.encodeAnswer(answer)) == answer


def test_aSummaryCrosses() -> None:
    summary = MailboxSummary(
        mailboxId=1,
        name="a",
        uidValidity=2,
        uidNext=3,
        highestModSeq=4,
        messages=5,
        unseen=6,
        deleted=7,
        octets=8,
    )
    query = queries.ReadMailbox(mailboxId=1)
    assert wire.decodeAnswer(query, wire.encodeAnswer(summary)) == summary


@settings(deadline=None)
@given(st.sampled_from(sorted(get_args(AnyEntry), key=lambda each: each.__name__)).flatmap(st.from_type))
def test_entriesCross(entry: Any) -> None:
    assert decodeEntry(encodeEntry(entry)) == entry


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_anyOctetsGiveCorruptOrAValue(octets: bytes) -> None:
    for decode in (wire.decodeQuery, wire.decodeOutcome, decodeEntry):
        with suppress(Corrupt):
            decode(octets)
