"""The view: numbers as one client believes in them, whatever other sessions do."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jindimail.imap4.syntax import STAR
from jindimail.imap4.view import Updates, View
from jindimail.model import Added, Change, FlagsChanged, UidSet, Vanished
from jindimail.store.records import MessageRow


def row(uid: int, flags: int = 0, modSeq: int = 1) -> MessageRow:
    return MessageRow(
        uid=uid, bodyId=b"", prefix=0, size=1, internalSeconds=0, savedSeconds=0, flags=flags, modSeq=modSeq
    )


def viewOf(*uids: int) -> View:
    return View([row(uid) for uid in uids], 1)


def vanish(view: View, *uids: int, modSeq: int = 2) -> None:
    view.apply([Vanished(modSeq=modSeq, uids=UidSet.of(uids))], [], modSeq)


def test_numbersMeanPositions() -> None:
    view = viewOf(10, 20, 30, 40)
    assert view.spansOfNumbers(((1, 2), (4, STAR))) == ((0, 2), (3, 4))
    assert view.spansOfNumbers(((STAR, 3),)) == ((2, 4),)
    assert view.spansOfNumbers(((5, 5),)) is None
    assert view.spansOfExistingNumbers(((3, 9), (7, 8))) == ((2, 4),)


def test_numbersOfAnEmptyMailboxMeanNothing() -> None:
    view = viewOf()
    assert view.spansOfNumbers(((1, STAR),)) is None
    assert view.spansOfNumbers(((STAR, STAR),)) is None
    assert view.spansOfExistingNumbers(((1, STAR),)) == ()
    assert view.spansOfUids(((1, STAR),)) == ()
    assert view.everything() == ()


def test_uidsMeanThePositionsThatThereAre() -> None:
    view = viewOf(10, 20, 30, 40)
    assert view.spansOfUids(((15, 35),)) == ((1, 3),)
    assert view.spansOfUids(((10, 10), (11, 20), (40, 40))) == ((0, 2), (3, 4))
    assert view.spansOfUids(((559, STAR),)) == ((3, 4),)
    assert view.uidSet(((0, 2), (3, 4))) == UidSet.of([10, 20, 40])


def test_expungedKeepTheirNumbersUntilItMayBeTold() -> None:
    view = viewOf(10, 20, 30)
    vanish(view, 10)
    assert view.take(mayExpunge=False) == Updates((), None, ())
    assert view.spansOfNumbers(((2, 2),)) == ((1, 2),)
    assert view.isGone(0)
    assert view.uidSet(((0, 3),)) == UidSet.of([20, 30])
    assert view.take(mayExpunge=True) == Updates((1,), None, ())
    assert view.spansOfNumbers(((3, 3),)) is None
    assert list(view.uids) == [20, 30]


def test_eachExpungeCountsTheOnesBefore() -> None:
    view = viewOf(10, 20, 30, 40, 50)
    vanish(view, 10, 30, 50)
    assert view.take(mayExpunge=True).expunged == (1, 2, 3)


def test_newMessagesAreToldAfterExpunges() -> None:
    view = viewOf(10, 20)
    view.apply(
        [Vanished(modSeq=2, uids=UidSet.of([10])), Added(modSeq=3, uids=UidSet.of([30]))], [row(30)], 3
    )
    assert view.take(mayExpunge=True) == Updates((1,), 2, ())


def test_aMessageThatCameAndWentIsNeverTold() -> None:
    view = viewOf(10)
    view.apply([Added(modSeq=2, uids=UidSet.of([20, 30]))], [row(20, modSeq=2), row(30, modSeq=2)], 2)
    vanish(view, 20, modSeq=3)
    assert view.take(mayExpunge=False) == Updates((), 2, ())
    assert list(view.uids) == [10, 30]


def test_flagsAreToldOnceAndOnlyIfTheyDiffer() -> None:
    view = viewOf(10, 20)
    change = FlagsChanged(modSeq=2, uids=UidSet.of([10, 20]))
    view.apply([change], [row(10, 1, 2), row(20, 0, 2)], 2)
    assert view.take(mayExpunge=False).changed == (0,)
    view.apply([change], [row(10, 1, 2), row(20, 0, 2)], 2)
    assert not view.take(mayExpunge=False)


def test_withCondstoreANewModSeqIsTold() -> None:
    view = viewOf(10)
    view.tellsModSeqs = True
    view.apply([FlagsChanged(modSeq=2, uids=UidSet.of([10]))], [row(10, 0, 2)], 2)
    assert view.take(mayExpunge=False).changed == (0,)


def test_whatTheClientExpectsIsNotTold() -> None:
    view = viewOf(10)
    view.expect(0, 1)
    view.apply([FlagsChanged(modSeq=2, uids=UidSet.of([10]))], [row(10, 1, 2)], 2)
    assert not view.take(mayExpunge=False)


def test_anotherSessionsFlagUnderAnExpectedOneIsTold() -> None:
    view = viewOf(10)
    view.expect(0, 1)
    view.apply([FlagsChanged(modSeq=3, uids=UidSet.of([10]))], [row(10, 5, 3)], 3)
    assert view.take(mayExpunge=False).changed == (0,)


def test_restartComparesWithTheWholeMailbox() -> None:
    view = viewOf(10, 20, 30)
    view.restart([row(20, 4, 90), row(30, 0, 1), row(40, 0, 80)], 99)
    assert view.modSeq == 99
    assert view.take(mayExpunge=True) == Updates((1,), 3, (0,))


# --- the twin: a mailbox, and a client that believes what it is told ----------------------------------------


@dataclass
class Client:
    """Keeps a list of UIDs and flags by the rules of RFC 3501 §7, from responses alone."""

    known: list[tuple[int, int] | None] = field(default_factory=list)  # None: it has not been fetched

    def hear(self, updates: Updates, view: View) -> None:
        for number in updates.expunged:
            assert 1 <= number <= len(self.known), "EXPUNGE of a number that the client does not have"
            del self.known[number - 1]
        if updates.exists is not None:
            assert updates.exists > len(self.known), "EXISTS never shrinks"
            self.known += [None] * (updates.exists - len(self.known))
        for position in updates.changed:
            assert position < len(self.known), "FETCH of a number that the client does not have"
            self.known[position] = (view.uids[position], view.flags[position])
        for position, message in enumerate(self.known):
            if message is None:  # it asks
                self.known[position] = (view.uids[position], view.flags[position])


class Mailbox:
    """The dumb twin: rows and changes."""

    def __init__(self) -> None:
        self.rows: dict[int, MessageRow] = {}
        self.changes: list[Change] = []
        self.modSeq = 1
        self.uidNext = 1

    def add(self) -> None:
        self.modSeq += 1
        self.rows[self.uidNext] = row(self.uidNext, 0, self.modSeq)
        self.changes.append(Added(modSeq=self.modSeq, uids=UidSet.of([self.uidNext])))
        self.uidNext += 1

    def flag(self, pick: int) -> None:
        if self.rows:
            uid = sorted(self.rows)[pick % len(self.rows)]
            self.modSeq += 1
            self.rows[uid] = row(uid, self.rows[uid].flags ^ (1 << pick % 3), self.modSeq)
            self.changes.append(FlagsChanged(modSeq=self.modSeq, uids=UidSet.of([uid])))

    def remove(self, pick: int) -> None:
        if self.rows:
            uid = sorted(self.rows)[pick % len(self.rows)]
            self.modSeq += 1
            del self.rows[uid]
            self.changes.append(Vanished(modSeq=self.modSeq, uids=UidSet.of([uid])))


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "flag", "remove", "refresh", "late", "restart", "take", "expunge"]),
        st.integers(0, 20),
    ),
    max_size=40,
)


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 5), _STEPS)
def test_theClientEndsUpWithTheMailboxWhateverHappens(count: int, steps: list[tuple[str, int]]) -> None:
    mailbox = Mailbox()
    for _ in range(count):
        mailbox.add()
    view = View(list(mailbox.rows.values()), mailbox.modSeq)
    client = Client([(uid, message.flags) for uid, message in mailbox.rows.items()])

    def refresh(upTo: int) -> None:
        """Changes up to a MODSEQ, with rows as they are now (perhaps newer, perhaps gone)."""
        changes = [change for change in mailbox.changes if view.modSeq < change.modSeq <= upTo]
        uids = {uid for change in changes if not isinstance(change, Vanished) for uid in change.uids}
        view.apply(
            changes,
            [mailbox.rows[uid] for uid in sorted(uids) if uid in mailbox.rows],
            max(upTo, view.modSeq),
        )

    def take(mayExpunge: bool) -> None:
        before = len(client.known)
        updates = view.take(mayExpunge=mayExpunge)
        assert mayExpunge or not updates.expunged
        client.hear(updates, view)
        assert len(client.known) == len(view) >= before - len(updates.expunged)
        for position, message in enumerate(client.known):
            assert message is not None
            assert message[0] == view.uids[position], "a number that means another message"

    for step, pick in steps:
        if step == "add":
            mailbox.add()
        elif step == "flag":
            mailbox.flag(pick)
        elif step == "remove":
            mailbox.remove(pick)
        elif step == "refresh":
            refresh(mailbox.modSeq)
        elif step == "late":
            refresh(max(view.modSeq, mailbox.modSeq - pick))
        elif step == "restart":
            view.restart([mailbox.rows[uid] for uid in sorted(mailbox.rows)], mailbox.modSeq)
        else:
            take(mayExpunge=step == "expunge")

    refresh(mailbox.modSeq)
    take(mayExpunge=True)
    assert client.known == [(uid, mailbox.rows[uid].flags) for uid in sorted(mailbox.rows)]


@pytest.mark.parametrize("gone", [(1,), (1, 2, 3), (5,), (3, 5)])
def test_removalKeepsTheArraysTogether(gone: tuple[int, ...]) -> None:
    view = View([row(uid, uid, uid) for uid in range(1, 6)], 9)
    vanish(view, *gone, modSeq=10)
    view.take(mayExpunge=True)
    left = [uid for uid in range(1, 6) if uid not in gone]
    assert list(view.uids) == list(view.flags) == list(view.modSeqs) == left


def test_flagsOfAnUntoldMessageAreNoNews() -> None:
    view = viewOf(10)
    view.apply([Added(modSeq=2, uids=UidSet.of([20]))], [row(20, 0, 2)], 2)
    view.apply([FlagsChanged(modSeq=3, uids=UidSet.of([20]))], [row(20, 1, 3)], 3)
    assert view.take(mayExpunge=False) == Updates((), 2, ())


def test_anOlderRowChangesNothing() -> None:
    view = View([row(10, 1, 5)], 5)
    view.apply([FlagsChanged(modSeq=4, uids=UidSet.of([10]))], [row(10, 2, 4)], 5)
    assert not view.take(mayExpunge=False)
    assert list(view.flags) == [1]


def test_nothingIsToldOfAMessageThatIsGone() -> None:
    view = viewOf(10, 20)
    view.apply([FlagsChanged(modSeq=2, uids=UidSet.of([10]))], [row(10, 1, 2)], 2)
    vanish(view, 10, modSeq=3)
    assert not view.take(mayExpunge=False)
    assert view.take(mayExpunge=True) == Updates((1,), None, ())
