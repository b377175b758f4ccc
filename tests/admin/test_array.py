"""`make array` for real: three processes, mail in at one and out at another, one killed, a fourth added."""

from __future__ import annotations

import imaplib
import json
import os
import poplib
import signal
import smtplib
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jindimail.admin import quickarray
from jindimail.admin.client import ControlClient
from jindimail.admin.quickarray import configurationText, freePorts, walkThrough
from jindimail.config import read
from tests.support.damage import ruin
from tests.support.node import HOST, ROOT

PATIENCE_SECONDS = 180
Told = dict[str, Any]


class MakeArray:
    """One `make array` in a directory."""

    def __init__(self, directory: Path, nodes: int, levels: str) -> None:
        self.directory = directory
        self.log = directory / f"make{nodes}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jindimail.admin.quickarray", str(directory / "run"), str(nodes)],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT), "JINDIMAIL_TEST_LEVELS": levels},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def awaitServing(self) -> Told:
        """array.json, once it says how to connect."""
        self.until(lambda: "Ctrl-C stops the nodes" in self.log.read_text())
        told: Told = json.loads((self.directory / "run" / "array.json").read_text())
        return told

    def until(self, isSo: Callable[[], object]) -> None:
        """Wait until it is so."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not isSo():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.1)

    def stop(self) -> int:
        """As Ctrl-C does; the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., MakeArray]]:
    """Runs `make array`, its nodes as if of a version that speaks these levels; whatever is left at the end is stopped."""
    made: list[MakeArray] = []

    def start(nodes: int, levels: str = "") -> MakeArray:
        made.append(MakeArray(tmp_path, nodes, levels))
        return made[-1]

    yield start
    for each in made:
        if each.process.poll() is None:
            each.stop()


def deliver(told: Told, at: int, subject: str) -> None:
    """Mail for the first account comes in at a node."""
    with smtplib.SMTP(HOST, told["nodes"][at]["ports"]["smtp"], timeout=30) as client:
        user = told["accounts"][0]["user"]
        client.sendmail("a@example.net", [user], f"Subject: {subject}\r\n\r\nbody of {subject}\r\n")


def subjectsByImap(told: Told, at: int) -> dict[int, str]:
    """What the first account's INBOX holds, UID and subject, at a node."""
    account = told["accounts"][0]
    client = imaplib.IMAP4(HOST, told["nodes"][at]["ports"]["imap"], timeout=30)
    client.login(account["user"], account["password"])
    client.select("INBOX", readonly=True)
    _, rows = client.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    client.logout()
    pairs = [row for row in rows if isinstance(row, tuple)]
    return {int(head.split(b"UID ")[1].split()[0]): text.decode().split()[1] for head, text in pairs}


def isTurnedAway(told: Told, at: int) -> bool:
    """Whether the first account has too many sessions to be let in at a node."""
    try:
        subjectsByImap(told, at)
    except imaplib.IMAP4.error as problem:
        return "too many" in str(problem)
    return False


def boundSessions(told: Told, most: int) -> None:
    """All nodes let each user have so many sessions, from now on."""
    for node in told["nodes"]:
        path = Path(node["config"])
        path.write_text(path.read_text() + f"\n[limits]\nsessions-per-user = {most}\n")
        os.kill(node["pid"], signal.SIGHUP)


def bodiesByPop3(told: Told, at: int) -> list[str]:
    """The last lines of the first account's messages, at a node."""
    account = told["accounts"][0]
    client = poplib.POP3(HOST, told["nodes"][at]["ports"]["pop3"], timeout=30)
    client.user(account["user"])
    client.pass_(account["password"])
    found = [client.retr(number + 1)[1][-1].decode() for number in range(client.stat()[0])]
    client.quit()
    return found


def ask(told: Told, at: int, verb: str, **arguments: Any) -> Any:
    """A verb at a node."""
    client = ControlClient(str(Path(told["nodes"][at]["data"]) / "control"))
    try:
        return client.ask(verb, arguments)
    finally:
        client.close()


def test_anArrayOfThreeSurvivesOneAndGrowsToFourOfTwoLevels(make: Callable[..., MakeArray]) -> None:
    array = make(3)
    told = array.awaitServing()
    deliver(told, 0, "one")
    deliver(told, 1, "two")
    assert subjectsByImap(told, 2) == {1: "one", 2: "two"}
    assert bodiesByPop3(told, 1) == ["body of one", "body of two"]

    os.kill(told["nodes"][2]["pid"], signal.SIGKILL)
    deliver(told, 0, "three")
    deliver(told, 1, "four")
    expected = {1: "one", 2: "two", 3: "three", 4: "four"}
    assert subjectsByImap(told, 1) == subjectsByImap(told, 0) == expected
    array.until(lambda: not ask(told, 0, "cluster status")["groups"]["withoutLeader"])
    array.until(lambda: ask(told, 1, "cluster status")["nodes"][2]["member"] == "down")

    data = Path(told["nodes"][2]["data"])
    ruin(data)
    grown = make(4, levels="1-2").awaitServing()
    assert len(list(data.glob("store.aside-*"))) == 1
    assert [node["pid"] for node in grown["nodes"][:2]] == [node["pid"] for node in told["nodes"][:2]]
    assert len(grown["nodes"]) == 4 and grown["accounts"] == told["accounts"]
    assert all(subjectsByImap(grown, at) == expected for at in range(4))
    rows = partial(ask, grown, 0, "cluster nodes")
    array.until(lambda: [row["level"] for row in rows()["rows"]] == [1, 1, 2, 2])
    ask(grown, 3, "user add", address="ada@example.org", password="only-for-tests")
    assert "ada@example.org" in json.dumps(ask(grown, 2, "user list"))

    boundSessions(grown, 2)
    two = [imaplib.IMAP4(HOST, grown["nodes"][at]["ports"]["imap"], timeout=30) for at in (0, 3)]
    for each in two:
        each.login(grown["accounts"][0]["user"], grown["accounts"][0]["password"])
    array.until(lambda: isTurnedAway(grown, 1))
    two[0].logout()
    array.until(lambda: not isTurnedAway(grown, 1))
    two[1].logout()


def test_aSecondRunKeepsEverything(make: Callable[..., MakeArray]) -> None:
    array = make(2)
    told = array.awaitServing()
    deliver(told, 0, "one")
    os.kill(told["nodes"][1]["pid"], signal.SIGSTOP)
    second = make(1)
    assert second.process.wait(PATIENCE_SECONDS) == 1, (
        "no other process is started on the store of one that hangs"
    )
    assert "node2/data/control: the node has said nothing" in second.log.read_text()
    assert array.stop() == 0, "it is woken to be stopped"
    again = make(2).awaitServing()
    assert again["accounts"] == told["accounts"]
    assert [node["ports"] for node in again["nodes"]] == [node["ports"] for node in told["nodes"]]
    assert subjectsByImap(again, 1) == {1: "one"}
    mode = stat.S_IMODE((array.directory / "run" / "array.json").stat().st_mode)
    assert mode == 0o600


def test_aNodeThatWasDrainedIsLeftOut(make: Callable[..., MakeArray]) -> None:
    array = make(3)
    told = array.awaitServing()
    deliver(told, 0, "one")
    ask(told, 1, "cluster drain", name="node1")
    array.until(lambda: ask(told, 1, "cluster nodes")["rows"][0]["state"] == "gone")
    assert array.stop() == 0
    again = make(2)
    left = again.awaitServing()
    assert [node["name"] for node in left["nodes"]] == ["node2", "node3"]
    assert "node1 was removed" in again.log.read_text()
    assert subjectsByImap(left, 0) == {1: "one"}


def test_whatKeepsANodeFromServingIsSaidWhereTheArrayIsFoundedToo(
    make: Callable[..., MakeArray], tmp_path: Path
) -> None:
    site = tmp_path / "run" / "array" / "node2"
    site.mkdir(mode=0o700, parents=True)
    ports = freePorts(2)
    (site / "node.ini").write_text(configurationText(2, ports))
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of an array before this one
        other.bind(("127.0.0.1", ports["pop3"]))
        other.listen()
        array = make(2)
        assert array.process.wait(PATIENCE_SECONDS) == 1
    assert "node2 does not serve" in array.log.read_text()
    assert "Address already in use" in array.log.read_text()


@pytest.mark.parametrize("nodes", ["0", "10", "-1", "many", ""])
def test_aNumberOfNodesThatIsNoneIsRefused(
    nodes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quickarray.main([str(tmp_path), nodes]) == 2
    assert capsys.readouterr().out == "NODES: 1 to 9\n"
    assert not list(tmp_path.iterdir())


def test_theConfigurationOfANodeListensOnLoopbackOnly() -> None:
    found = read(configurationText(2, freePorts(2)), "/")
    assert found.node.name == "node2"
    assert found.cluster.address.startswith("127.0.0.1:")
    endpoints = [*found.listen.smtp, *found.listen.cluster, *found.listen.web, *found.listen.lmtp]
    assert all("interface=127.0.0.1" in endpoint for endpoint in endpoints)


def test_theWalkThroughNamesPortsAndThePassword() -> None:
    ports = {"smtp": 1, "lmtp": 2, "imap": 3, "pop3": 4, "web": 5}
    nodes = [{"name": f"node{number}", "ports": ports, "pid": number, "config": "c"} for number in (1, 2, 3)]
    text = walkThrough({"nodes": nodes, "accounts": [{"user": "u@d", "password": "secret"}]}, Path("a.json"))
    assert "kill -9 3" in text and "secret" in text and "NODES=4" in text
