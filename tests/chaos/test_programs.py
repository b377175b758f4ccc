"""Programs that people run, at an array in trouble: they believe an exit code, keep state of their own, and know nothing of nodes.

The tests of this file share an array and run in their order; it grows from three nodes to four.
"""

from __future__ import annotations

import itertools
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.target import Account
from tests.chaos.network import Namespaces
from tests.chaos.promises import INBOX
from tests.chaos.scene import Scene, sharedScene
from tests.clients.fetchers import maildir, makeMaildir
from tests.clients.program import ProgramFailed, run, write
from tests.clients.senders import swaks
from tests.support.ledger import letter, numberOf
from tests.support.node import HOST, NodeFailed

NAMES = ("node1", "node2", "node3")
TURNS = 12
MANY, FEW = 400, 5


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with sharedScene(NAMES, 2) as made:
        yield made


@pytest.fixture(autouse=True)
def whole(scene: Scene) -> Iterator[None]:
    """Each test begins with an array that is whole, and heals what it broke."""
    yield
    scene.heal()


def shown(scene: Scene, name: str, account: Account) -> list[int | None]:
    """The numbers of all messages in INBOX, whatever fields a program has added to them."""
    with scene.imap(name, account) as client:
        return [row.number for row in client.reading(INBOX, octets=False).rows]


class Mirror:
    """A Maildir that mbsync keeps like an account's INBOX, both ways, by one node after the other."""

    def __init__(self, scene: Scene, account: Account, place: Path) -> None:
        self._scene, self._account, self._place = scene, account, place
        place.mkdir()
        self._inbox = makeMaildir(place / "box")

    def put(self, number: int) -> None:
        """A message of this side's own, as mail programs leave one."""
        fresh = self._inbox / "tmp" / f"{number}"
        fresh.write_bytes(letter(number).replace(b"\r\n", b"\n"))
        fresh.rename(self._inbox / "new" / f"{1_700_000_000 + number}.{number}.here")

    def sync(self, name: str) -> None:
        """
        Once, at a node.

        @raise ProgramFailed: it complained.
        """
        with self._scene.array.inside(name):
            run("mbsync", "-q", "-c", self._settings(name), "c", home=self._place)

    def begin(self, name: str) -> subprocess.Popen[bytes]:
        """Once, at a node, under way."""
        with self._scene.array.inside(name):
            return subprocess.Popen(
                ["mbsync", "-q", "-c", self._settings(name), "c"], cwd=self._place, stderr=subprocess.PIPE
            )

    def _settings(self, name: str) -> Path:
        return write(
            self._place / "mbsyncrc",
            f"IMAPStore far\nHost {HOST}\nPort {self._scene.array.port(name, 'imap')}\nUser {self._account.login}\n"
            f"Pass {self._account.password}\nSSLType None\nAuthMechs LOGIN\nPipelineDepth 1\n\n"
            f"MaildirStore near\nInbox {self._inbox}\nPath {self._place}/\n\n"
            "Channel c\nFar :far:\nNear :near:\nPatterns INBOX\nSync All\nSyncState *\n",
        )

    def both(self, name: str, number: int) -> None:
        """A message of this side's own, and once at a node."""
        self.put(number)
        self.sync(name)

    def numbers(self) -> Counter[int | None]:
        """How often it holds each message."""
        return Counter(numberOf(message.replace(b"\n", b"\r\n")) for message in maildir(self._inbox))


@dataclass(frozen=True)
class At:
    """A node of the array, as programs reach it from its own host."""

    scene: Scene
    name: str
    host: str = HOST

    def port(self, service: str) -> str:
        """A service's port, as programs take it."""
        return str(self.scene.array.port(self.name, service))


def test_mbsyncAtTwoNodesAndSwaksDoNotNoticeThatALeaderDies(scene: Scene, tmp_path: Path) -> None:
    victim = scene.busiest()
    account = scene.ledBy(victim)[0]
    scene.accounts.remove(account)  # mbsync adds a field to what it puts there: not for the book
    others = scene.others(victim)
    mirrors = [Mirror(scene, account, tmp_path / name) for name in others]
    expected = Counter(shown(scene, victim, account))
    complaints: list[str] = []
    isUnderWay = threading.Barrier(len(mirrors) + 2)

    def live(act: Callable[[str, int], object]) -> None:
        try:
            for turn, name in zip(range(TURNS), itertools.cycle(others), strict=False):
                if turn == TURNS // 3:
                    isUnderWay.wait(60)
                number = scene.promises.sent([account.address])
                act(name, number)
                expected[number] += 1
        except (ProgramFailed, threading.BrokenBarrierError) as error:
            complaints.append(str(error))
            isUnderWay.abort()

    def send(name: str, number: int) -> None:
        file = tmp_path / f"{number}"
        file.write_bytes(letter(number))
        with scene.array.inside(name):
            swaks(At(scene, name), account, file)

    acts = [send, *(each.both for each in mirrors)]
    threads = [threading.Thread(target=live, args=(act,), daemon=True) for act in acts]
    for thread in threads:
        thread.start()
    with suppress(threading.BrokenBarrierError):  # then there are complaints
        isUnderWay.wait(60)
    scene.array.kill(victim)
    for thread in threads:
        thread.join(120)
    scene.array.start(victim)
    assert complaints == []

    scene.requireWhole()
    for name in scene.array.names:
        assert Counter(shown(scene, name, account)) == expected
    for mirror in mirrors:
        mirror.sync(victim)
        assert mirror.numbers() == expected


def test_mbsyncAtANodeThatIsCutOffComplainsAndFetchesTheRestLater(scene: Scene, tmp_path: Path) -> None:
    account = scene.accounts[0]
    leader = scene.leaders()[account.address]
    ingress, lonely = scene.others(leader)
    assert isinstance(scene.array.network, Namespaces)
    for _ in range(MANY):  # bodies stay at the leader and where they came in
        scene.deliver(ingress, account)
    mirror = Mirror(scene, account, tmp_path / "mirror")
    with mirror.begin(lonely) as mbsync:
        scene.until(lambda: mirror.numbers().total() >= FEW, "mbsync is at work")
        mbsync.send_signal(signal.SIGSTOP)
        scene.array.network.isolate(lonely)
        mbsync.send_signal(signal.SIGCONT)
        complaint = mbsync.communicate(timeout=120)[1]
    # Of NO to one FETCH it would only warn, and never ask for that message again (docs/adr/0053).
    assert mbsync.returncode == 1
    assert b"BYE response: [UNAVAILABLE]" in complaint
    assert mirror.numbers().total() < MANY
    scene.heal()
    scene.requireWhole()
    expected = Counter(shown(scene, lonely, account))
    mirror.sync(lonely)
    assert mirror.numbers() == expected


def test_aNodeJoinsWhileAnotherIsCutOff(scene: Scene) -> None:
    array, lonely = scene.array, "node3"
    assert isinstance(array.network, Namespaces)
    array.network.add("node4")
    early = array.ctl(lonely, "cluster", "invite", "--json")["token"]
    array.network.isolate(lonely)
    with pytest.raises(NodeFailed, match="try again"):
        array.ctl(lonely, "cluster", "invite", "--json")
    array.join("node4", early)  # one of the token's addresses is dead
    for account in scene.accounts:
        scene.deliver("node4", account)
        scene.read("node4", account)
    scene.heal()
    scene.requireWhole()
