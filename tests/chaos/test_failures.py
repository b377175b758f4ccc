"""The table of failures (design §10), line by line, on one array of three real nodes that is whole again after each test.

The tests of this file share the array and run in their order; the last one loses a majority for good. How long things take is measured in times.py, not here.
"""

from __future__ import annotations

import poplib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import lmdb
import pytest

from bench.target import Account
from bench.wire import WireError
from jindimail.model import BUCKET_COUNT
from jindimail.store.environment import storePath
from jindimail.store.keys import BODY
from tests.chaos.imap import ImapRefused
from tests.chaos.network import Namespaces
from tests.chaos.promises import INBOX
from tests.chaos.scene import TIMEOUT_SECONDS, Scene, sharedScene
from tests.faults.shim import Sync
from tests.support.node import HOST, NodeFailed, NotReachable

NAMES = ("node1", "node2", "node3")
ACCOUNTS = 9
ELECTIONS_MAX = 2 * (BUCKET_COUNT + 1)  # each group may have one, and one more


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with sharedScene(NAMES, ACCOUNTS) as made:
        yield made


@pytest.fixture(autouse=True)
def whole(scene: Scene) -> Iterator[None]:
    """Each test begins with an array that is whole, and heals what it broke."""
    yield
    scene.heal()


def test_aLeadersDeathIsNotNoticedByTheSessionsOfOtherNodes(scene: Scene) -> None:
    victim = scene.busiest()
    accounts = scene.ledBy(victim)
    survivor = scene.others(victim)[0]
    sessions = [scene.imap(survivor, account) for account in accounts]
    for session in sessions:
        session.choose(INBOX)
        session.learnUids()
    scene.array.kill(victim)
    for account, session in zip(accounts, sessions, strict=True):
        before = list(session.view)
        scene.deliver(survivor, account)
        session.command(b"NOOP")
        session.learnUids()
        assert len(session.view) == len(before) + 1
        assert session.view[: len(before)] == before
        assert session.wrong == []
        session.logout()
    scene.array.start(victim)
    scene.requireWhole()


def test_aFollowersDeathRefusesNothing(scene: Scene) -> None:
    victim = min(scene.array.alive, key=lambda name: len(scene.ledBy(name)))
    accounts = [account for account in scene.accounts if account not in scene.ledBy(victim)]
    ingress = scene.others(victim)[0]
    scene.array.kill(victim)
    answers = [scene.send(ingress, account) for account in accounts]
    assert {answer[:3] for answer in answers} == {b"250"}
    scene.array.start(victim)
    scene.requireWhole()


def test_anIngressThatDiesTakesItsConnectionsAndNothingElse(scene: Scene) -> None:
    ingress = scene.array.names[0]
    account = scene.accounts[0]
    session = scene.imap(ingress, account)
    session.choose(INBOX)
    scene.deliver(ingress, account)
    scene.array.kill(ingress)
    with pytest.raises((OSError, WireError)):
        session.command(b"NOOP")
    other = scene.others(ingress)[0]
    scene.until(lambda: scene.read(other, account) or True, "another node serves")
    scene.array.start(ingress)
    scene.requireWhole()


def test_aMinorityAnswersLaterAndNeverShowsWhatIsStale(scene: Scene) -> None:
    alone = scene.array.names[2]
    account = scene.accounts[1]
    session = scene.imap(alone, account)
    session.choose(INBOX)
    assert isinstance(scene.array.network, Namespaces)
    scene.array.network.isolate(alone)
    majority = scene.others(alone)[0]
    scene.deliver(majority, account)  # from now on what the minority has is stale
    assert scene.send(alone, account)[:3] == b"451"
    with pytest.raises(ImapRefused, match=r"NO \[UNAVAILABLE\]"):
        session.choose(INBOX)
    with scene.array.inside(alone):
        pop3 = poplib.POP3(HOST, scene.array.port(alone, "pop3"), TIMEOUT_SECONDS)
    with pytest.raises(poplib.error_proto, match=r"-ERR \[SYS/TEMP\]"):
        pop3.user(account.login)
        pop3.pass_(account.password)
    pop3.close()
    scene.array.network.heal()
    scene.until(lambda: session.choose(INBOX), "the session goes on where it was")
    session.logout()
    scene.requireWhole()


def test_aStuckDiskLosesItsLeaderships(scene: Scene) -> None:
    victim = scene.busiest()
    accounts = scene.ledBy(victim)
    ingress = scene.others(victim)[0]
    scene.array.members[victim].shim.syncs(Sync.HANG)
    for account in accounts:
        scene.deliver(ingress, account)
        scene.until(
            lambda account=account: scene.leaders()[account.address] not in ("", victim), "another node leads"
        )
    scene.array.members[victim].shim.syncs(Sync.REAL)
    scene.requireWhole()


def test_twoSlowDisksOfThreeMakeMailSlowAndKeepNobodyFromLeading(scene: Scene) -> None:
    """Whatever is agreed on waits for half a second's commit: so did each vote, for longer than an election lasted (docs/adr/0056)."""
    for name in scene.others(scene.busiest()):
        scene.array.members[name].shim.syncs(Sync.DELAY, delayMs=250)
    before = scene.terms()
    for account in scene.accounts:
        scene.deliver(scene.array.names[0], account)
    assert scene.terms() - before <= ELECTIONS_MAX
    for name in scene.array.names:
        scene.array.members[name].shim.syncs(Sync.REAL)
    scene.requireWhole()


def test_aNodeWhoseNetworkLosesAllLargePacketsKeepsNobodyFromServing(scene: Scene) -> None:
    """As behind a tunnel whose MTU nobody was told: beats and votes arrive, bodies and entries do not."""
    victim = scene.busiest()
    network = scene.array.network
    assert isinstance(network, Namespaces)
    for other in scene.others(victim):
        network.spoil(victim, other, "meta length > 600")
        network.spoil(other, victim, "meta length > 600")
    for account in scene.accounts:
        for ingress in scene.others(victim):
            scene.deliver(ingress, account)
            scene.read(ingress, account)
    assert scene.send(victim, scene.accounts[0])[:3] in (b"250", b"451")
    network.heal()
    scene.requireWhole()


def test_aPausedNodeShowsNothingStaleOnWaking(scene: Scene) -> None:
    victim = scene.busiest()
    account = scene.ledBy(victim)[0]
    session = scene.imap(victim, account)
    scene.array.pause(victim)
    scene.deliver(scene.others(victim)[0], account)
    scene.array.resume(victim)
    look = scene.promises.look(account.address, INBOX, victim)
    try:
        scene.promises.saw(look, session.reading(INBOX, octets=True))
    except (OSError, WireError) as error:
        assert "[UNAVAILABLE]" in f"{error} {session.goodbye!r}"
    session.socket.close()
    assert scene.promises.problems == []
    scene.requireWhole()


def test_aFullDiskTakesNoBodiesAndStillReadsAndExpunges(scene: Scene) -> None:
    victim = scene.array.names[1]
    disk = scene.array.members[victim].disk
    assert disk is not None
    disk.fill(leaveOctets=0)
    other = scene.others(victim)[0]
    for account in scene.accounts:
        scene.deliver(other, account)
    account = scene.accounts[2]
    (number,) = scene.promises.claim(
        account.address, INBOX, (each for each in scene.read(victim, account) if each), 1
    )
    with scene.imap(victim, account) as session:
        uid = next(row.uid for row in session.reading(INBOX, octets=False).rows if row.number == number)
        session.choose(INBOX)
        scene.promises.marking(account.address, INBOX, [number], "\\Deleted")
        scene.promises.removing(account.address, INBOX, [number])
        session.command(b"UID STORE %d +FLAGS (\\Deleted)" % uid)
        session.command(b"UID EXPUNGE %d" % uid)
        scene.promises.removed(account.address, INBOX, [number])
    disk.relieve()
    scene.deliver(victim, account)
    scene.requireWhole()


def test_aCorruptCopyIsReadFromAnotherKeeperAndMended(scene: Scene) -> None:
    victim = scene.array.names[0]
    assert scene.array.stop(victim) == 0
    damaged = _corruptBodies(scene.array.members[victim].process.data)
    assert damaged > 0
    scene.array.start(victim)
    scene.requireWhole()  # every message is read there, octet for octet

    def told(kind: str) -> list[dict[str, object]]:
        rows = scene.array.ask(victim, "cluster events", limit=1000)["rows"]
        return [row for row in rows if row["kind"] == kind]

    assert told("bodyDamaged")
    scene.until(lambda: told("bodyMended"), "the copies are mended")


@pytest.mark.parametrize("count", [3, 2])
def test_commitsThatFailAtMostNodesAtOnceLoseNothingAndAreForgottenByOneStart(
    scene: Scene, count: int
) -> None:
    before = {account.address: scene.read(scene.array.names[0], account) for account in scene.accounts}
    validities = [_validity(scene, scene.array.names[0], account) for account in scene.accounts]
    names = scene.array.names[:count]
    for name in names:
        scene.array.members[name].shim.syncs(Sync.EIO)

    def attempt(name: str) -> None:
        with suppress(OSError, WireError):
            scene.send(name, scene.accounts[0])

    # At once: who is left alone by the others has nothing to write any more, and does not stop.
    with ThreadPoolExecutor() as pool:
        list(pool.map(attempt, names * 4))
    scene.until(lambda: not set(names) & set(scene.array.alive), "they stop")
    scene.heal()
    for name in reversed(names):
        scene.array.members[name].shim.carry()
        scene.array.start(name, waits=False)
    for name in names:
        scene.array.awaitListening(name)
    scene.deliver(names[-1], scene.accounts[1])
    scene.requireWhole()
    for account in scene.accounts:
        numbers = scene.read(scene.array.names[1], account)
        assert numbers[: len(before[account.address])] == before[account.address]
    assert [_validity(scene, names[1], account) for account in scene.accounts] == validities


def test_aLostMajorityIsUnavailableAndInventsNothing(scene: Scene) -> None:
    survivor, *lost = scene.array.names
    account = scene.accounts[0]
    for name in lost:
        scene.array.kill(name)
    assert scene.send(survivor, account)[:3] == b"451"
    with pytest.raises(ImapRefused, match="UNAVAILABLE"), scene.imap(survivor, account) as session:
        session.choose(INBOX)
    scene.array.start(lost[0])
    scene.deliver(survivor, account)
    scene.array.start(lost[1])
    scene.requireWhole()


def test_aForcedRecoveryKeepsWhatSurvivedUnderNewUidvaliditiesAndLosesWhatItForetold(scene: Scene) -> None:
    survivor, *lost = scene.array.names
    scene.requireWhole()
    before = {account.address: _validity(scene, survivor, account) for account in scene.accounts}
    for name in lost:
        for account in scene.accounts:
            scene.deliver(name, account)  # where one of these leads, the other is its keeper
    scene.until(lambda: not scene.array.ask(survivor, "queue list")["rows"], "all of it is in mailboxes")
    for name in lost:
        scene.array.kill(name)
    foreseen = _foreseen(scene, survivor, lost)
    assert foreseen["foundedAnew"] == 257 and foreseen["messages"] > 0 and foreseen["uncounted"] == []
    told = scene.array.ctl(survivor, "cluster", "recover", *lost, "--yes", "--json")
    assert told["messages"] == foreseen["messages"]
    found = scene.array.ask(survivor, "check", cluster=True)
    assert {each["kind"] for each in found["problems"]} == {"bodies-lost"}
    for name in lost:
        scene.array.start(name, waits=False)  # they live after all, and are a majority of what they were
    for name in lost:
        scene.until(lambda name=name: _isRemoved(scene, name), "who was given up stays so")
    scene.array.kill(survivor)
    for name in lost:
        scene.array.kill(name)
        scene.array.start(name, waits=False)
    for name in lost:
        scene.until(lambda name=name: _isRemoved(scene, name), "though nobody can say it again")
        scene.array.forget(name)
    scene.array.start(survivor)
    for account in scene.accounts:
        scene.promises.forgetValidity(account.address)
        scene.until(lambda account=account: _validity(scene, survivor, account), "what survived is served")
        assert _validity(scene, survivor, account) > before[account.address]
        scene.deliver(survivor, account)
    token = scene.array.ctl(survivor, "cluster", "invite", "--json")["token"]
    fresh = scene.array.joinFresh(token)
    with pytest.raises(NodeFailed, match="used by another node"):
        scene.array.joinFresh(token)
    scene.array.forget(scene.array.names[-1])
    scene.array.joinFresh()
    scene.array.awaitSettled()  # it has grown again; bodies that only the lost nodes kept stay lost
    for name in scene.array.alive:
        for account in scene.accounts:
            scene.deliver(name, account)
            scene.until(
                lambda name=name, account=account: _validity(scene, name, account), "it is served there"
            )
            assert _validity(scene, name, account) > before[account.address]
    assert _damaged(scene, fresh) == foreseen["messages"]  # that node remembers nothing from before
    scene.until(lambda: scene.array.ask(survivor, "cluster status")["isWhole"], "the array is whole again")


def _foreseen(scene: Scene, survivor: str, lost: list[str]) -> dict[str, Any]:
    """What a recovery would lose; it is refused while the survivor has heard of a lost node within two seconds."""
    foreseen: list[dict[str, Any]] = []

    def foresee() -> bool:
        with suppress(NodeFailed):
            foreseen.append(scene.array.ctl(survivor, "cluster", "loss", *lost, "--json"))
        return bool(foreseen)

    scene.until(foresee, "the lost are known to be silent")
    return foreseen[0]


def _isRemoved(scene: Scene, name: str) -> bool:
    """Whether a node that was just started says that it is of the array no more."""
    with suppress(NotReachable):
        return bool(scene.array.ask(name, "status")["state"] == "removed")
    return False


def _damaged(scene: Scene, name: str) -> int:
    """How many messages of all accounts are damaged, as a node tells its clients."""
    count = 0
    for account in scene.accounts:
        with scene.imap(name, account) as session:
            count += session.damaged(INBOX)
            assert session.wrong == []
    return count


def _validity(scene: Scene, name: str, account: Account) -> int:
    with scene.imap(name, account) as session:
        return session.choose(INBOX)[0]


def _corruptBodies(data: Path) -> int:
    """Change an octet in every body of a stopped node's store; how many."""
    environment = lmdb.open(str(storePath(data)), max_dbs=64, map_size=1 << 40)
    with environment.begin(write=True) as transaction:
        table = environment.open_db(BODY.encode(), transaction, create=False)
        rows = list(transaction.cursor(table))
        for key, value in rows:
            transaction.put(key, value[:-3] + bytes([value[-3] ^ 1]) + value[-2:], db=table)
    environment.close()
    return len(rows)
