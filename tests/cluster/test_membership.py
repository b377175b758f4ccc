"""Who the array's nodes are, as the entries of its own group make them."""

from __future__ import annotations

from typing import Any

import pytest

from jindimail.cluster.arrayentries import AddInvite, AdmitNode, SetAuthority, SetNode, SetWish
from jindimail.cluster.arrayrecords import (
    DOWN,
    DRAINING,
    GONE,
    JOINING,
    UP,
    WishRecord,
    readAuthority,
    readInvites,
    readNodes,
    readWishes,
)
from jindimail.cluster.membership import (
    INVITES_MAX,
    SPENT_INVITE,
    STATE_CHANGED,
    TOO_OLD,
    Admitted,
    Agreed,
    Declined,
)
from jindimail.mailbox.entries import decodeEntry, encodeEntry
from jindimail.mailbox.machine import MailMachine
from jindimail.mailbox.outcomes import Refused
from jindimail.model import ARRAY_GROUP
from jindimail.store.memory import MemoryRows

NOW = 1_800_000_000
SECRET = b"s" * 16


class Array:
    """The array's own group."""

    def __init__(self) -> None:
        self.rows = MemoryRows()
        self.index = 0
        self.events: list[Any] = []

    def apply(self, entry: Any, group: int = ARRAY_GROUP) -> Any:
        """Apply an entry, by way of its octets."""
        self.index += 1
        assert decodeEntry(encodeEntry(entry)) == entry
        outcome, events = MailMachine().apply(self.rows, group, self.index, encodeEntry(entry))
        self.events.extend(events)
        return outcome

    def invite(self, secretHash: bytes = SECRET, expires: int = NOW + 60) -> Any:
        """Invite a node."""
        return self.apply(AddInvite(seconds=NOW, secretHash=secretHash, expiresSeconds=expires))

    def admit(
        self,
        name: str,
        secretHash: bytes = SECRET,
        seconds: int = NOW,
        requestHash: bytes = b"k",
        level: int = 1,
    ) -> Any:
        """Let a node join."""
        entry = AdmitNode(
            seconds=seconds,
            secretHash=secretHash,
            name=name,
            addresses=("192.0.2.1:7000",),
            host=name,
            weight=100,
            level=level,
            requestHash=requestHash,
        )
        return self.apply(entry)


@pytest.fixture
def array() -> Array:
    """An array of one node."""
    made = Array()
    assert made.admit("one", b"") == Admitted(1)
    return made


def test_theFoundingNodeIsUpAndOthersJoin(array: Array) -> None:
    array.invite()
    assert array.admit("two") == Admitted(2)
    nodes = dict(readNodes(array.rows))
    assert [(node.name, node.state) for node in nodes.values()] == [("one", UP), ("two", JOINING)]
    assert array.events[-1].topic == ("array",)


def test_anInvitationIsForOneNode(array: Array) -> None:
    array.invite()
    assert array.admit("two") == Admitted(2)
    assert isinstance(array.admit("three"), Declined)
    assert array.admit("two") == Admitted(2), "the same node, asking again, gets the same answer"
    assert len(dict(readNodes(array.rows))) == 2


def test_aSpentInvitationIsNoUseToAnotherKey(array: Array) -> None:
    array.invite()
    assert array.admit("two", requestHash=b"mine") == Admitted(2)
    assert array.admit("two", requestHash=b"thief's") == Declined(SPENT_INVITE)
    assert array.admit("two", requestHash=b"mine") == Admitted(2)


def test_aNodeThatWouldNotKnowTheLogsEntriesIsNotAdmitted(array: Array) -> None:
    array.apply(SetNode(seconds=NOW, node=1, level=2))
    array.invite()
    assert array.admit("two") == Declined(TOO_OLD)
    assert array.admit("two", level=2) == Admitted(2)


def test_aNodeGoesBackToAnEarlierLevelOnlyWhileTheArrayIsThere(array: Array) -> None:
    array.invite()
    array.admit("two")
    assert array.apply(SetNode(seconds=NOW, node=1, level=2)) == Agreed()
    assert array.apply(SetNode(seconds=NOW, node=1, level=1)) == Agreed(), "node 2 is still at level 1"
    for node in (1, 2):
        assert array.apply(SetNode(seconds=NOW, node=node, level=2)) == Agreed()
    assert array.apply(SetNode(seconds=NOW, node=1, level=1)) == Declined(TOO_OLD)


def test_anInvitationEnds(array: Array) -> None:
    array.invite(expires=NOW + 60)
    assert isinstance(array.admit("two", seconds=NOW + 61), Declined)
    assert isinstance(array.admit("two", secretHash=b"unknown"), Declined)


def test_invitationsAreBoundedAndForgotten(array: Array) -> None:
    for number in range(INVITES_MAX):
        assert array.invite(b"%d" % number) == Agreed()
    assert isinstance(array.invite(b"more"), Declined)
    late = AddInvite(seconds=NOW + 61, secretHash=b"late", expiresSeconds=NOW + 99)
    assert array.apply(late) == Agreed()
    assert [secretHash for secretHash, _ in readInvites(array.rows)] == [b"late"]


def test_namesAndNumbersAreNeverReused(array: Array) -> None:
    array.invite()
    array.admit("two")
    array.apply(SetNode(seconds=NOW, node=2, state=GONE))
    array.invite(b"again")
    assert isinstance(array.admit("two", b"again"), Declined)
    assert array.admit("three", b"again") == Admitted(3)
    assert isinstance(array.apply(SetNode(seconds=NOW, node=2, state=UP)), Declined)


def test_aNodeChangesOnlyWhatIsGiven(array: Array) -> None:
    before = dict(readNodes(array.rows))[1]
    assert array.apply(SetNode(seconds=NOW + 5, node=1, weight=0)) == Agreed()
    after = dict(readNodes(array.rows))[1]
    assert (after.weight, after.state, after.sinceSeconds) == (0, UP, before.sinceSeconds)
    array.apply(SetNode(seconds=NOW + 9, node=1, state="down"))
    assert dict(readNodes(array.rows))[1].sinceSeconds == NOW + 9
    assert isinstance(array.apply(SetNode(seconds=NOW, node=1, state="asleep")), Declined)
    assert isinstance(array.apply(SetNode(seconds=NOW, node=7, weight=1)), Declined)


def test_aStateChangesOnlyFromTheOneThatWasSeen(array: Array) -> None:
    array.apply(SetNode(seconds=NOW, node=1, state=DRAINING))
    assert array.apply(SetNode(seconds=NOW, node=1, was=UP, state=DOWN)) == Declined(STATE_CHANGED)
    assert dict(readNodes(array.rows))[1].state == DRAINING
    assert array.apply(SetNode(seconds=NOW, node=1, was=DRAINING, state=GONE)) == Agreed()


def test_thereIsOneAuthority(array: Array) -> None:
    assert array.apply(SetAuthority(seconds=NOW, certificate=b"c", key=b"k")) == Agreed()
    assert isinstance(array.apply(SetAuthority(seconds=NOW, certificate=b"d", key=b"l")), Declined)
    assert readAuthority(array.rows).key == b"k"


@pytest.mark.parametrize("voters,learners", [((), ()), ((1, 1), ()), ((1,), (1,)), ((1, 9), ())])
def test_impossibleWishesAreDeclined(
    array: Array, voters: tuple[int, ...], learners: tuple[int, ...]
) -> None:
    assert isinstance(array.apply(SetWish(seconds=NOW, group=5, voters=voters, learners=learners)), Declined)
    assert array.apply(SetWish(seconds=NOW, group=5, voters=(1,))) == Agreed()
    assert dict(readWishes(array.rows)) == {5: WishRecord(voters=(1,))}


def test_theyAreEntriesOfTheArraysOwnGroupOnly(array: Array) -> None:
    before = array.rows.snapshot()
    assert array.apply(SetWish(seconds=NOW, group=5, voters=(1,)), group=7) == Refused("notAllowed")
    assert array.rows.snapshot() == before
