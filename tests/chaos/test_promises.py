"""The judges themselves: each thing that must not be is seen, and what may be is not held against anyone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.imap import Imap
from tests.chaos.promises import INBOX, Promises, Reading, Row

WHO = "u1@bench.test"


def reading(*rows: Row, uidNext: int = 10, highestModseq: int = 10) -> Reading:
    return Reading(uidValidity=7, uidNext=uidNext, highestModseq=highestModseq, rows=rows)


def row(number: int | None, uid: int = 1, modseq: int = 1, *flags: str) -> Row:
    return Row(uid=uid, number=number, modseq=modseq, flags=frozenset(flags))


def see(promises: Promises, shown: Reading, mailbox: str = INBOX) -> list[str]:
    """What is wrong with a reading, from its beginning to its end in one go."""
    before = len(promises.problems)
    promises.saw(promises.look(WHO, mailbox, "node1"), shown)
    return promises.problems[before:]


@pytest.fixture
def promises() -> Promises:
    """One message was delivered and seen as UID 1."""
    made = Promises()
    assert made.sent([WHO]) == 1
    made.delivered(1, WHO)
    assert see(made, reading(row(1, 1, 5))) == []
    return made


def test_anAcknowledgedMessageMustBeThere(promises: Promises) -> None:
    assert len(see(promises, reading())) == 1


def test_acknowledgedMailMayWaitInAQueueUntilSomebodyHasSeenIt(promises: Promises) -> None:
    promises.mayWait = lambda address: address == WHO
    number = promises.sent([WHO])
    promises.delivered(number, WHO)
    assert see(promises, reading(row(1, 1, 5))) == []
    assert see(promises, reading(row(1, 1, 5), row(number, 10), uidNext=11)) == []
    assert len(see(promises, reading(row(1, 1, 5), uidNext=11))) == 1
    late = promises.sent([WHO])
    promises.delivered(late, WHO)
    promises.mayWait = lambda address: False
    assert len(see(promises, reading(row(1, 1, 5), uidNext=11))) == 2


def test_whatAnotherClientRemovesBeforeItsCopyIsAcknowledgedStaysRemoved(promises: Promises) -> None:
    promises.copying(WHO, INBOX, "Later", [1])
    assert promises.claim(WHO, "Later", [1], 1) == [1]
    promises.removing(WHO, "Later", [1])
    promises.removed(WHO, "Later", [1])
    promises.release(WHO, "Later", [1])
    promises.copied(WHO, INBOX, "Later", [1])
    assert see(promises, reading(), "Later") == []


def test_anUnansweredMessageMayBeThereOnce(promises: Promises) -> None:
    number = promises.sent([WHO])
    assert see(promises, reading(row(1, 1, 5))) == []
    assert see(promises, reading(row(1, 1, 5), row(number, 10), uidNext=11)) == []
    assert see(promises, reading(row(1, 1, 5), row(number, 10), row(number, 11), uidNext=12)) != []


def test_whatIsAcknowledgedWhileAReadingGoesOnMayBeMissingFromIt(promises: Promises) -> None:
    look = promises.look(WHO, INBOX, "node1")
    promises.delivered(promises.sent([WHO]), WHO)
    promises.saw(look, reading(row(1, 1, 5)))
    assert promises.problems == []


def test_aRefusedMessageMustNotBeThere(promises: Promises) -> None:
    number = promises.sent([WHO])
    promises.refused(number, WHO)
    assert see(promises, reading(row(1, 1, 5), row(number, 10), uidNext=11)) != []


def test_aRemovalThatIsNotAnsweredLeavesBothOpenAndOneThatIsDoesNot(promises: Promises) -> None:
    promises.removing(WHO, INBOX, [1])
    assert see(promises, reading(row(1, 1, 5))) == []
    promises.removed(WHO, INBOX, [1])
    assert see(promises, reading(row(1, 1, 5))) != []
    assert see(promises, reading()) == []


def test_whatWasGoneStaysGone(promises: Promises) -> None:
    promises.removing(WHO, INBOX, [1])
    assert see(promises, reading()) == []
    (problem,) = see(promises, reading(row(1, 1, 5)))
    assert "is back" in problem


@pytest.mark.parametrize(
    "shown",
    [
        replace(reading(row(1, 1, 5)), uidValidity=8),
        reading(row(1, 1, 5), uidNext=9),
        reading(row(1, 1, 5), highestModseq=9),
        reading(row(1, 2, 5)),
        reading(row(1, 1, 4)),
        reading(row(None, 1, 5)),
        reading(row(1, 1, 5, "\\Flagged")),
    ],
    ids=["validity", "uidNext", "highestModseq", "uid", "modseq", "octets", "flags"],
)
def test_whatNeverChangesOrFallsIsSeenToChange(promises: Promises, shown: Reading) -> None:
    assert see(promises, shown) != []


def test_aUidThatMeantOneMessageNeverMeansAnother(promises: Promises) -> None:
    promises.removing(WHO, INBOX, [1])
    number = promises.sent([WHO])
    promises.delivered(number, WHO)
    assert any("it was 1" in problem for problem in see(promises, reading(row(number, 1, 6))))


def test_aMessageThatComesBelowUidNextIsLate(promises: Promises) -> None:
    number = promises.sent([WHO])
    (problem,) = see(promises, reading(row(1, 1, 5), row(number, 4)))
    assert "below UIDNEXT" in problem


def test_aFlagThatWasAcknowledgedIsMissed(promises: Promises) -> None:
    promises.marking(WHO, INBOX, [1], "\\Flagged")
    assert see(promises, reading(row(1, 1, 6, "\\Flagged"))) == []
    assert see(promises, reading(row(1, 1, 6))) == []
    promises.marked(WHO, INBOX, [1], "\\Flagged")
    assert see(promises, reading(row(1, 1, 6))) != []


def test_aMoveMayLeaveBothButNeverNeither(promises: Promises) -> None:
    assert promises.copying(WHO, INBOX, "Kept", [1]) == [1]
    promises.moving(WHO, INBOX, [1])
    assert see(promises, reading(row(1, 1, 5))) == []
    assert see(promises, reading(row(1, 1)), "Kept") == []
    promises.sawWhole(WHO, "node1", [1])
    assert promises.problems == []
    promises.sawWhole(WHO, "node1", [])
    assert len(promises.problems) == 1
    promises.moved(WHO, INBOX, "Kept", [1])
    assert see(promises, reading(row(1, 1, 5))) != []
    assert see(promises, reading(), "Kept") != []


def test_noTwoClientsChangeOneMessage(promises: Promises) -> None:
    assert promises.claim(WHO, INBOX, [1, 99], 5) == [1]
    assert promises.claim(WHO, INBOX, [1], 5) == []
    promises.release(WHO, INBOX, [1])
    assert promises.claim(WHO, INBOX, [1], 5) == [1]


def test_aUidlMeansOneMessageForEver(promises: Promises) -> None:
    promises.sawMaildrop(promises.look(WHO, INBOX, "node1"), [("u1", 1)])
    assert promises.problems == []
    promises.delivered(promises.sent([WHO]), WHO)
    promises.sawMaildrop(promises.look(WHO, INBOX, "node2"), [("u1", 2), ("u2", 1)])
    assert any("UIDL u1" in problem for problem in promises.problems)


class Told(Imap):
    """A client that is told lines instead of reading them."""

    def __init__(self, *lines: bytes) -> None:
        self.view, self.wrong = [], []
        for line in lines:
            self._follow(line)


def test_aViewFollowsWhatIsTold() -> None:
    told = Told(
        b"* 3 EXISTS", b"* 1 FETCH (UID 4)", b"* 3 FETCH (UID 9 FLAGS ())", b"* 2 EXPUNGE", b"* 3 EXISTS"
    )
    assert told.view == [4, 9, None]
    assert told.wrong == []
    told._follow(b"* VANISHED 4:5")
    assert told.view == [9, None]


@pytest.mark.parametrize(
    "lines",
    [
        (b"* 2 EXISTS", b"* 1 EXISTS"),
        (b"* 2 EXISTS", b"* 3 EXPUNGE"),
        (b"* 2 EXISTS", b"* 1 FETCH (UID 4)", b"* 1 FETCH (UID 5)"),
        (b"* 2 EXISTS", b"* 1 FETCH (UID 4)", b"* 2 FETCH (UID 3)"),
    ],
)
def test_whatCannotBeToldIsNoted(lines: tuple[bytes, ...]) -> None:
    assert Told(*lines).wrong != []
