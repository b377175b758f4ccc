"""The ledger sees what it is there to see."""

from __future__ import annotations

import pytest

from tests.support.ledger import Ledger, State, letter, numberOf

ADDRESS = "u@bench.test"


@pytest.mark.parametrize(
    ("state", "copies", "isWrong"),
    [
        (State.SENT, 0, False),
        (State.SENT, 1, False),
        (State.SENT, 2, True),
        (State.ACKNOWLEDGED, 0, True),
        (State.ACKNOWLEDGED, 1, False),
        (State.ACKNOWLEDGED, 2, True),
        (State.DELETING, 0, False),
        (State.DELETING, 1, False),
        (State.DELETED, 0, False),
        (State.DELETED, 1, True),
        (State.REFUSED, 1, True),
    ],
)
def test_copiesAreJudgedByWhatWasPromised(state: State, copies: int, isWrong: bool) -> None:
    ledger = Ledger()
    number = ledger.sent(ADDRESS)
    ledger.note([number], state)
    assert bool(ledger.violations(ADDRESS, [b"Received: here\r\n" + letter(number)] * copies)) is isWrong


def test_changedForeignAndUnknownMessagesAreFound() -> None:
    ledger = Ledger()
    number, other = ledger.sent(ADDRESS), ledger.sent("other@bench.test")
    changed = letter(number)[:-3] + b"?\r\n"
    for message in (changed, letter(other), letter(99), b"no subject\r\n"):
        assert len(ledger.violations(ADDRESS, [message])) == 1


def test_lettersAreDifferentAndStable() -> None:
    letters = [letter(number) for number in range(1, 50)]
    assert letters == [letter(number) for number in range(1, 50)]
    assert [numberOf(each) for each in letters] == list(range(1, 50))
    assert any(b"\r\n." in each for each in letters)
    assert not any(line.strip(b"\r").count(b"\r") for each in letters for line in each.split(b"\n"))
