"""Any node proposes and asks for any bucket, wherever its replicas are, and sees what it has seen before."""

from __future__ import annotations

import pytest

from jindimail.errors import Unavailable
from jindimail.mailbox.entries import ADD, Noop, SetAccount, StoreFlags
from jindimail.mailbox.outcomes import Done, MailboxMade, Refused
from jindimail.mailbox.queries import FindAccount, FindMailbox, ListMailboxes
from jindimail.replication.durable import blankReplica
from jindimail.replication.storedlog import StoredLog
from jindimail.store.keys import REQUEST
from jindimail.store.memory import MemoryStore
from tests.cluster.mail import BUCKET, GROUP, NOW, MailWorld, account, mailbox


def grown(nodes: tuple[int, ...] = (1, 2, 3), others: tuple[int, ...] = (4,)) -> MailWorld:
    return MailWorld(nodes, others, hasAccount=False)


@pytest.mark.parametrize("node", [1, 2, 4])
def test_anyNodeProposesAndSeesItsOwnChangesAtOnce(node: int) -> None:
    world = grown()
    assert world.propose(node, account()) == Done()
    assert world.names(node) == ["INBOX"]
    assert isinstance(world.propose(node, mailbox("a")), MailboxMade)
    assert world.names(node) == ["INBOX", "a"]
    assert world.propose(node, mailbox("a")) == Refused("exists")


@pytest.mark.parametrize(("writer", "reader"), [(1, 2), (2, 4), (4, 3), (3, 2)])
def test_aFreshReadSeesWhatWasAcknowledgedAnywhere(writer: int, reader: int) -> None:
    world = grown()
    world.propose(writer, account())
    for number in range(5):
        world.propose(writer, mailbox(str(number)))
        assert str(number) in world.names(reader, fresh=True)
        assert str(number) in world.names(reader)


def test_aFollowerThatIsBehindIsNotRead() -> None:
    world = grown()
    world.propose(2, account())
    assert world.leader(GROUP) == 1
    world.fabric.isStalled = lambda source, target: (source, target) == (1, 3)  # appends to 3 are lost
    world.propose(2, mailbox("a"))
    share = world.shares[3]
    share.router.seen.saw(GROUP, world.shares[2].groups.appliedIndex(GROUP))
    assert world.names(3) == ["INBOX", "a"]


@pytest.mark.parametrize("node", [2, 3, 4])
def test_commandsUnderWaySurviveTheDeathOfTheLeader(node: int) -> None:
    world = grown()
    world.propose(node, account())
    leader = world.leader(GROUP)
    assert leader == 1
    waiting = [world.shares[node].buckets.propose(BUCKET, mailbox(str(number))) for number in range(20)]
    world.run(0.0025)
    world.kill(leader)
    made = [world.result(each) for each in waiting]
    assert all(isinstance(each, MailboxMade) for each in made)
    assert len({each.mailboxId for each in made}) == 20
    assert len(world.names(node)) == 21
    world.start(1)
    world.until(lambda: len(world.names(1, fresh=True)) == 21)


def test_anOutcomeThatWasLostIsTheFirstOnes() -> None:
    world = grown()
    world.propose(2, account())
    waiting = world.shares[2].buckets.propose(BUCKET, mailbox("a"))
    world.fabric.isStalled = lambda source, target: (source, target) == (1, 2)
    world.run(3.0)
    world.fabric.isStalled = lambda source, target: False
    made = world.result(waiting)
    found = world.result(world.shares[2].buckets.query(BUCKET, FindMailbox(accountId=1, name="a"), True))
    assert made.mailboxId == found.mailboxId
    assert world.shares[2].counters.unknown


def test_whatIsAskedForAgainUndoesNothingThatOthersSetMeanwhile() -> None:
    world = grown()
    world.propose(2, account())
    world.fabric.isStalled = lambda source, target: (source, target) == (1, 2)
    first = SetAccount(seconds=NOW, accountId=1, credential="first")
    waiting = world.shares[2].buckets.propose(BUCKET, first)
    world.run(1.0)
    assert world.propose(3, SetAccount(seconds=NOW, accountId=1, credential="second")) == Done()
    world.run(2.0)
    world.fabric.isStalled = lambda source, target: False
    assert world.result(waiting) == Done()
    assert world.shares[2].counters.unknown
    assert world.query(3, FindAccount(accountId=1), fresh=True).record.credential == "second"


def test_aLeaderThatCannotBeReachedIsReachedThroughAnother() -> None:
    world = grown()
    world.propose(2, account())
    world.fabric.cut(2, 1)
    assert isinstance(world.propose(2, mailbox("a")), MailboxMade)
    assert world.names(2) == ["INBOX", "a"]
    assert world.leader(GROUP) != 1 or world.shares[3].counters.passed


def test_aMinorityAnswersNothingFreshAndTakesNothing() -> None:
    world = grown(others=())
    world.propose(1, account())
    for other in (2, 3):
        world.fabric.cut(1, other)
    waiting = world.shares[1].buckets.propose(BUCKET, mailbox("a"))
    asked = world.shares[1].buckets.query(BUCKET, ListMailboxes(accountId=1), fresh=True)
    with pytest.raises(Unavailable):
        world.result(asked)
    with pytest.raises(Unavailable):
        world.result(waiting)
    world.fabric.heal()
    world.until(lambda: world.names(2, fresh=True) == world.names(1, fresh=True))


def test_aNodeWithABlankReplicaDoesNotAnswerFromIt() -> None:
    world = grown((1, 2), (3,))
    world.propose(1, account())
    share = world.shares[3]
    share.groups._loading.adopt(blankReplica(GROUP, 9, None, StoredLog(MemoryStore(), GROUP)))
    assert share.groups.appliedIndex(GROUP) == 0
    assert world.result(share.buckets.query(BUCKET, FindAccount(accountId=1))) is not None


def test_whatIsTheSameTwiceCostsNoRowOfItsOwn() -> None:
    world = grown()
    world.propose(2, account())
    before = len(world.rows[1].snapshot()[REQUEST])
    world.propose(2, Noop(seconds=NOW))
    assert len(world.rows[1].snapshot()[REQUEST]) == before
    world.propose(2, StoreFlags(seconds=NOW, mailboxId=1, ranges=((1, 1),), action=ADD, flags=()))
    assert len(world.rows[1].snapshot()[REQUEST]) == before + 1


@pytest.mark.parametrize("node", [1, 2, 4])
def test_whatWasSeenOfALostPastIsForgottenByTheNextFreshRead(node: int) -> None:
    """A group that was founded anew, by force, from what survived begins behind what some node has seen."""
    world = grown()
    world.propose(1, account())
    world.shares[node].router.seen.saw(GROUP, 1_000_000)
    assert world.names(node, fresh=True) == ["INBOX"]
    before = world.heap.now
    assert world.names(node) == ["INBOX"]
    assert world.heap.now - before < 0.1


def test_aFreshReadDoesNotWaitForAReplicaThatIsFarBehind() -> None:
    world = grown(others=())
    world.propose(1, account())
    share = world.shares[3]
    share.groups._turns.touch = lambda replica: None  # type: ignore[method-assign]  # it applies nothing any more
    world.propose(2, mailbox("a"))
    before = world.heap.now
    assert world.names(3, fresh=True) == ["INBOX", "a"]
    assert world.heap.now - before < 1.6
