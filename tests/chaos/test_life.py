"""What an array lives through while mail flows: witnesses made and unmade, growth, buckets without a majority, locks of the dead, nodes replaced.

The tests of this file share an array and run in their order; it grows from three nodes to five.
"""

from __future__ import annotations

import contextlib
import poplib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations

import pytest

from bench.target import Account, isListening
from bench.wire import SmtpClient, stuffed
from jindimail.model import BUCKET_COUNT, bucketOf
from tests.chaos.judge import Judge, pop3Session
from tests.chaos.promises import INBOX
from tests.chaos.scene import TIMEOUT_SECONDS, Scene, sharedScene
from tests.chaos.watch import Watchers
from tests.chaos.workload import MAILBOXES, Workload
from tests.support.ledger import letter
from tests.support.node import HOST, NodeFailed

NAMES = ("node1", "node2", "node3")
ACCOUNTS = 9
BUSY = 6  # of them, that the clients of `traffic` use
SEED = 4
REST_SECONDS = 25.0  # longer than leaders wait after elections before they hand over, and their successors before they look where bodies are


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with sharedScene(NAMES, ACCOUNTS) as made:
        for account in made.accounts[:BUSY]:
            with made.imap(NAMES[0], account) as client:
                for mailbox in MAILBOXES[1:]:
                    client.command(b"CREATE %s" % mailbox.encode())
        yield made


@pytest.fixture(autouse=True)
def whole(scene: Scene) -> Iterator[None]:
    """Each test begins with an array that is whole, and heals what it broke."""
    yield
    scene.heal()


@contextlib.contextmanager
def traffic(scene: Scene, mayBeLost: tuple[str, ...] = (), *, isLast: bool = False) -> Iterator[Workload]:
    """
    Clients of all kinds at every node that there is now, while it lasts; then all that they were promised is held against what is there.

    @param mayBeLost: nodes whose sessions may end meanwhile.
    @param isLast: wait until nothing moves any more, and compare all replicas and copies.
    """
    accounts = scene.accounts[:BUSY]
    workload = Workload(scene.array, scene.promises, accounts, SEED)
    watchers = Watchers(scene.array, scene.promises, accounts, SEED)
    workload.start(scene.array.alive, perNode=1)
    watchers.start(scene.array.alive)
    try:
        yield workload
    finally:
        workload.stop()
        watchers.stop()
    judge = Judge(scene.array, scene.promises, accounts)
    judge.awaitCalm(scene.array.alive)
    watchers.settle(mayBeLost)
    watchers.close()
    scene.array.awaitSettled()
    judge.judge(scene.array.alive)
    if isLast:
        judge.judgeStores(scene.array.alive[-1])
    print(f"slowest {workload.slowest}, failed {dict(workload.failures)}")
    assert scene.promises.problems == []


def test_aNodeBecomesAWitnessAndServesAgainWhileItRuns(scene: Scene) -> None:
    array, witness = scene.array, "node3"
    array.ctl("node2", "cluster", "weight", witness, "0", "--json")
    scene.until(lambda: not isServing(scene, witness), "the witness refuses clients")
    scene.until(lambda: array.ask(witness, "status")["state"] == "witness", "it says what it is")
    scene.until(lambda: witnesses(scene) == {witness}, "it is a witness of every bucket")
    scene.until(lambda: array.ask("node1", "cluster status")["isWhole"], "the array is whole with a witness")
    for account in scene.accounts:
        scene.deliver("node1", account)
    scene.until(lambda: not array.ask(witness, "status")["groups"]["leading"], "others lead")

    array.kill("node1")  # one of the two that have mail; the other and the witness are a majority
    for account in scene.accounts:
        scene.deliver("node2", account)
        scene.read("node2", account)
    array.start("node1")

    array.ctl("node1", "cluster", "weight", witness, "100", "--json")
    scene.until(lambda: isServing(scene, witness), "it serves clients")
    scene.until(lambda: not witnesses(scene), "it is a full member of every bucket")
    scene.until(lambda: array.ask(witness, "status")["groups"]["leading"], "it leads again")
    scene.requireWhole()
    scene.until(lambda: array.ask("node1", "cluster status")["isWhole"], "the array is whole")


def test_anArrayGrowsUnderLoad(scene: Scene) -> None:
    with traffic(scene):
        for name in ("node4", "node5"):
            scene.array.network.add(name)
            scene.array.join(name)
        scene.until(
            lambda: all(scene.array.ask(name, "status")["groups"]["leading"] for name in scene.array.names),
            "the new nodes lead, too",
        )


def test_recipientsOfABucketWithoutAMajorityWaitAndGetTheirMailOnce(scene: Scene) -> None:
    homes: dict[str, set[str]] = {}
    found: list[tuple[Account, set[str]]] = []
    scene.until(rest(scene), "bodies have followed their buckets home: others' keepers do not die together")
    scene.until(lambda: findLonely(scene, homes, found), "enough buckets have moved to the new nodes")
    lost, dead = found[0]
    others = [account for account in scene.accounts if len(homes[account.address] & dead) < 2]
    ingress, asked = [name for name in scene.array.names if name not in dead][:2]
    for name in dead:
        scene.array.kill(name)
    scene.until(lambda: all(scene.read(ingress, each) for each in others), "the others have leaders")

    addresses = [account.address for account in (lost, *others)]
    number = scene.promises.sent(addresses)
    with scene.array.inside(ingress):
        client = SmtpClient(HOST, scene.array.port(ingress, "smtp"), TIMEOUT_SECONDS)
    with client:
        began = time.monotonic()
        answer = sendTo(client, addresses, letter(number))
        print(f"answered after {time.monotonic() - began:.1f} s")
    assert answer.startswith(b"250"), answer
    for each in others:
        scene.promises.delivered(number, each.address)
        assert number in scene.read(asked, each)
    waiting = scene.array.ask(asked, "queue list")
    assert [row["for"] for row in waiting["rows"]] == [bucketOf(lost.address)]
    assert bucketOf(lost.address) in waiting["silentBuckets"]

    scene.array.start(min(dead))
    scene.until(lambda: number in scene.read(ingress, lost), "what waited is filed")
    scene.promises.delivered(number, lost.address)
    scene.array.start(max(dead))
    scene.until(lambda: not scene.array.ask(asked, "queue list")["rows"], "nothing waits")
    scene.requireWhole()


def test_thePop3LockOfADeadNodeIsTakenOver(scene: Scene) -> None:
    holder, other = scene.array.names[0], scene.array.names[1]
    account = scene.accounts[0]
    held = pop3(scene, holder, account)
    with pytest.raises(poplib.error_proto, match=r"\[IN-USE\]"):
        pop3(scene, other, account)
    scene.array.kill(holder)
    began = time.monotonic()
    taken: list[poplib.POP3] = []
    scene.until(lambda: taken.append(pop3(scene, other, account)) or taken, "the lock is taken over")
    print(f"taken over after {time.monotonic() - began:.1f} s")
    held.close()
    scene.array.start(holder)
    with pytest.raises(poplib.error_proto, match=r"\[IN-USE\]"):
        pop3(scene, holder, account)  # its new life has the lock no more
    taken[0].quit()
    pop3(scene, holder, account).quit()


def test_sessionsAtOtherNodesDoNotNoticeALeadersDeath(scene: Scene) -> None:
    victim = scene.busiest()
    account = scene.ledBy(victim)[0]
    idling, ingress = scene.others(victim)[:2]
    session = scene.imap(idling, account)
    session.choose(INBOX)
    session.learnUids()
    drop = pop3(scene, ingress, account)
    count = drop.stat()[0]
    before = len(session.view)
    assert before == count

    scene.array.kill(victim)
    scene.deliver(ingress, account)
    end = time.monotonic() + TIMEOUT_SECONDS
    while len(session.view) == before and time.monotonic() < end:
        session.idle(0.5)
    assert len(session.view) == before + 1, "IDLE tells of what came under the new leader"
    for number in range(1, count + 1):
        drop.retr(number)
    mine = scene.promises.claim(
        account.address, INBOX, (each for each in scene.read(idling, account) if each), 1
    )
    drop.dele(1 + scene.read(idling, account).index(mine[0]))
    scene.promises.removing(account.address, INBOX, mine)
    assert drop.quit().startswith(b"+OK")
    scene.promises.removed(account.address, INBOX, mine)
    assert session.wrong == []
    session.logout()
    scene.array.start(victim)
    scene.requireWhole()


def test_aDeadNodeIsReplacedAndAnotherDrainedUnderLoad(scene: Scene) -> None:
    dead, leaving = scene.array.names[-1], scene.array.names[1]
    with traffic(scene, mayBeLost=(dead, leaving), isLast=True):
        scene.array.kill(dead)
        scene.until(lambda: scene.array.stateOf("node1", dead) == "down", "the array knows that it is down")
        scene.array.ctl("node1", "cluster", "remove", dead, "--yes", "--json")
        scene.array.forget(dead)
        scene.array.joinFresh()
        scene.array.drain(leaving)


def test_aRollingUpgradeGoesNodeByNodeWithMailFlowing(scene: Scene) -> None:
    array, (first, *others) = scene.array, scene.array.names
    for name in (first, *others):
        assert array.stop(name) == 0
        array.members[name].process.program = ("-m", "tests.chaos.nextversion")
        for account in scene.accounts:
            scene.deliver(scene.others(name)[0], account)
        array.start(name)
        scene.deliver(name, scene.accounts[0])
        if name == first:
            with pytest.raises(NodeFailed, match="unavailable"):  # what the older ones would not know
                array.ctl(name, "postmaster", "--address", scene.accounts[0].address, "--json")
    scene.until(
        lambda: {row["level"] for row in array.ask(first, "cluster status")["nodes"]} == {2}, "all are new"
    )
    array.ctl(first, "postmaster", "--address", scene.accounts[0].address, "--json")
    array.network.add("late")
    with pytest.raises(NodeFailed, match="too far apart"):
        array.join("late")  # of the old version
    array.forget("late")
    scene.requireWhole()


def test_certificatesRenewThemselves(scene: Scene) -> None:
    array = scene.array

    def renewals(name: str) -> int:
        return array.members[name].process.log().count("certificate was renewed")

    before = {name: renewals(name) for name in array.names}
    scene.until(
        lambda: all(renewals(name) >= before[name] + 2 for name in array.names),
        "all have outlived the certificates that they began with",
    )
    assert array.stop(array.names[0]) == 0
    array.start(array.names[0])  # and is believed when it comes anew
    for account in scene.accounts:
        scene.deliver(array.names[0], account)
    scene.requireWhole()


def isServing(scene: Scene, name: str) -> bool:
    """Whether a node takes clients' connections."""
    with scene.array.inside(name):
        return isListening(HOST, scene.array.port(name, "smtp"))


def witnesses(scene: Scene) -> set[str] | None:
    """The nodes that are witnesses of all buckets; None: there are some that are of a few."""
    found: Counter[int] = Counter()
    for row in scene.array.groups("node1").values():
        found.update(node for _, node, _, isWitness in row["members"] if isWitness and row["group"])
    return {f"node{node}" for node in found} if set(found.values()) <= {BUCKET_COUNT} else None


def homeOf(scene: Scene, account: Account) -> set[str]:
    """The nodes that have an account's bucket."""
    (row,) = scene.array.ask("node1", "cluster map", bucket=bucketOf(account.address))["rows"]
    return set(row["voters"])


def rest(scene: Scene) -> Callable[[], bool]:
    """Whether the array is whole, and no body has moved for so long that none is on its way any more."""
    seen = (-1, 0.0)

    def isSo() -> bool:
        nonlocal seen
        status = scene.array.ask(scene.array.names[0], "cluster status")
        moved, now = status["copies"]["moved"], time.monotonic()
        if moved != seen[0]:
            seen = moved, now
        return bool(status["isWhole"]) and now - seen[1] > REST_SECONDS

    return isSo


def findLonely(scene: Scene, homes: dict[str, set[str]], found: list[tuple[Account, set[str]]]) -> bool:
    """Whether there is an account that two nodes can make lonely, none of whose buckets is being moved; they stand in `found` then."""
    homes.update({account.address: homeOf(scene, account) for account in scene.accounts})
    pairs = ((account, lonely(homes, account)) for account in scene.accounts)
    found[:] = [(account, pair) for account, pair in pairs if pair is not None]
    return bool(found) and all(len(home) == 3 for home in homes.values())


def lonely(homes: dict[str, set[str]], account: Account) -> set[str] | None:
    """Two nodes without which an account's bucket has no majority, while the buckets of two other accounts at least have one."""
    for dead in map(set, combinations(sorted(homes[account.address]), 2)):
        if sum(len(home & dead) < 2 for home in homes.values()) >= 2:
            return dead
    return None


def sendTo(client: SmtpClient, addresses: list[str], message: bytes) -> bytes:
    """The answer to one message with several recipients."""
    client.command(b"MAIL FROM:<sender@elsewhere.test>\r\n", b"250")
    for address in addresses:
        client.command(b"RCPT TO:<%s>\r\n" % address.encode(), b"25")
    client.command(b"DATA\r\n", b"354")
    client.write(stuffed(message))
    return client.answer()


def pop3(scene: Scene, name: str, account: Account) -> poplib.POP3:
    """A logged-in POP3 session."""
    with scene.array.inside(name):
        return pop3Session(scene.array.port(name, "pop3"), account, TIMEOUT_SECONDS)
