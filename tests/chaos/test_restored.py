"""
Nodes that come back from the past: from a copy of their data directory, which the others refuse, and from a backup, when all others are lost.

The tests of this file share an array and run in their order; the last one loses all of it but a backup.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from bench.target import Account, isListening
from tests.chaos.promises import INBOX
from tests.chaos.scene import Scene, builtScene
from tests.support.node import NodeFailed, NotReachable

FIRST, *OTHERS = NAMES = ("node1", "node2", "node3")
ACCOUNTS = 4
REPORT_SECONDS = 3.0


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with builtScene(NAMES, _found, hasShims=False) as made:
        yield made


def _found(made: Scene) -> None:
    """Three nodes that keep everything, and a message for each account."""
    array = made.array
    array.found(NAMES)
    array.ctl(FIRST, "cluster", "set", "copies", "3", "--json")
    made.until(
        lambda: all(array.ask(name, "cluster settings")["copies"] == 3 for name in NAMES), "all know that"
    )
    made.accounts = array.addAccounts(ACCOUNTS)
    for account in made.accounts:
        made.deliver(FIRST, account)


def messages(scene: Scene, name: str) -> dict[str, list[bytes]]:
    """What every account has, by POP3 at a node."""
    with scene.array.inside(name):
        return {each.address: scene.array.members[name].process.messages(each) for each in scene.accounts}


def numbers(scene: Scene, name: str, account: Account) -> list[int | None]:
    """Which messages an account's INBOX has, octet for octet what was sent, by IMAP at a node."""
    with scene.imap(name, account) as client:
        return [row.number for row in client.reading(INBOX, octets=True).rows]


def stateOf(scene: Scene, name: str) -> str:
    """What a node says of itself; "" while it says nothing."""
    with suppress(NotReachable):
        return str(scene.array.ask(name, "status")["state"])
    return ""


def awaitWhole(scene: Scene) -> None:
    """Until nothing is amiss, and still is not by what all nodes say a little later: what one owes it tells the others once a second."""
    for pause in (REPORT_SECONDS, 0):
        scene.until(lambda: scene.array.ask(FIRST, "cluster status")["isWhole"], "the array is whole")
        time.sleep(pause)


def linkedAt(scene: Scene, name: str) -> dict[str, bool]:
    """Which nodes a node has links to."""
    return {row["name"]: row["linked"] for row in scene.array.ask(name, "cluster nodes")["rows"]}


def listens(scene: Scene, name: str, at: str) -> bool:
    """Whether anybody takes connections at an address, as seen from a node's host."""
    host, _, port = at.rpartition(":")
    with scene.array.inside(name):
        return isListening(host, int(port))


def refusals(scene: Scene, name: str, reason: str) -> int:
    """How often a node has logged that a life is refused for a reason."""
    return scene.array.members[name].process.log().count(reason)


def requireRefused(scene: Scene, old: str, reason: str) -> None:
    """A node that is started is refused by all, and logs why; it is killed again."""
    before = {name: refusals(scene, name, reason) for name in NAMES}
    scene.array.start(old, waits=False)
    scene.until(
        lambda: all(refusals(scene, name, reason) > before[name] for name in NAMES),
        "all say in their logs why it is refused",
    )
    scene.until(lambda: linkedAt(scene, FIRST) == {name: name != old for name in NAMES}, "it has no links")
    scene.array.kill(old)


def test_aDataDirectoryOfThePastIsRefusedHoweverOftenItsNodeAndAllOthersAreStarted(scene: Scene) -> None:
    array, old = scene.array, NAMES[-1]
    data, copy, present = (
        array.members[old].process.data.with_name(each) for each in ("data", "copy", "present")
    )
    assert array.stop(old) == 0
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("control"))
    array.start(old)
    for account in scene.accounts:
        scene.deliver(old, account)
    array.kill(old)
    data.rename(present)
    copy.rename(data)

    requireRefused(scene, old, "TWO_LIVES")
    requireRefused(scene, old, "TWO_LIVES")  # its next start has a number that nobody has seen
    for name in NAMES[:-1]:
        array.kill(name)
    for name in NAMES[:-1]:
        array.start(name, waits=False)  # none of them serves without the other
    for name in NAMES[:-1]:
        array.awaitListening(name)
    requireRefused(scene, old, "TWO_LIVES")  # the others are new, too, and remember
    for account in scene.accounts:
        scene.read(FIRST, account)
    shutil.rmtree(data)
    present.rename(data)
    array.start(old)
    scene.requireWhole()


def test_aCopyOfARunningNodeIsRefusedOnceItsNodeHasDoneMore(scene: Scene) -> None:
    old = NAMES[-1]
    data, copy, present = (
        scene.array.members[old].process.data.with_name(each) for each in ("data", "copy", "present")
    )
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("control", "control.lock"))
    for account in scene.accounts:
        scene.deliver(old, account)
    time.sleep(REPORT_SECONDS)  # so that it has told how far it is
    scene.array.kill(old)
    data.rename(present)
    copy.rename(data)
    requireRefused(scene, old, "OLD_COPY")
    requireRefused(scene, old, "OLD_COPY")
    shutil.rmtree(data)
    present.rename(data)
    scene.array.start(old)
    scene.requireWhole()


def test_aBackupOutlivesAllNodesOfItsArray(scene: Scene) -> None:
    array, first = scene.array, scene.array.members[FIRST].process
    for name in NAMES:
        for account in scene.accounts:
            scene.deliver(name, account)
    awaitWhole(scene)
    kept = messages(scene, FIRST)
    shown = [numbers(scene, FIRST, account) for account in scene.accounts]
    assert all(len(each) > len(NAMES) for each in kept.values())
    backup = str(array.directory / "backup")
    array.ctl(FIRST, "backup", backup, "--json")
    for account in scene.accounts:
        scene.deliver(OTHERS[0], account)  # this is lost
    for name in NAMES:
        array.kill(name)

    shutil.rmtree(first.data)
    with pytest.raises(NodeFailed, match="other nodes, node2, node3"):
        array.ctl(FIRST, "restore", backup)
    restored = array.ctl(FIRST, "restore", backup, "--alone", "--json")
    assert restored["next"].endswith("recover node2 node3")
    array.start(OTHERS[0], waits=False)  # it was not lost at all
    array.start(FIRST, waits=False)
    first.waitUntil(lambda: stateOf(scene, FIRST) == "alone", "waits to be told what is lost")
    mine = {row["name"]: row["state"] for row in array.ask(FIRST, "cluster status")["nodes"]}
    assert mine == {"node1": "alone", "node2": None, "node3": None}
    assert not any(listens(scene, FIRST, f"127.0.0.1:{port}") for port in first.ports.values())
    assert not listens(scene, FIRST, first.cluster)
    assert "it was restored alone" in first.log()
    assert array.stop(FIRST) == 0
    array.start(FIRST, waits=False)
    first.waitUntil(lambda: stateOf(scene, FIRST) == "alone", "is alone whenever it is started")
    with pytest.raises(NodeFailed, match="restored alone: node3 must be given up, too"):
        array.ctl(FIRST, "cluster", "recover", OTHERS[0], "--yes")

    told = array.ctl(FIRST, "cluster", "recover", *OTHERS, "--yes", "--json")
    assert (told["foundedAnew"], told["messages"], told["hopeless"]) == (257, 0, [])
    array.awaitListening(FIRST)
    assert messages(scene, FIRST) == kept
    assert [numbers(scene, FIRST, account) for account in scene.accounts] == shown

    scene.until(lambda: "WRONG_ARRAY" in array.members[OTHERS[0]].process.log(), "it is not believed")
    assert linkedAt(scene, OTHERS[0]) == {"node1": False, "node2": True, "node3": False}
    for name in OTHERS:
        array.forget(name)
    for _ in OTHERS:
        array.joinFresh()
    array.awaitSettled()
    awaitWhole(scene)
    for name in array.alive:
        assert messages(scene, name) == kept
    for name in array.alive:
        for account in scene.accounts:
            scene.deliver(name, account)
    checked = array.ask(FIRST, "check", cluster=True)
    assert checked["isSound"] and not checked["warnings"], checked
