"""Clients are let in up to where the process can open files for all else, too."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from jindimail.admin.openfiles import SPARE, roomForSessions
from tests.support.node import HOST, ROOT, NodeProcess

LETTER = b"Subject: x\r\n\r\n" + (b"x" * 76 + b"\r\n") * 10_000  # too large to be kept in memory


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    process = NodeProcess(tmp_path, wrap=lambda argv: ["prlimit", "--nofile=200:200", *argv])
    yield process
    process.close()


def limitsAfter(files: int, most: int, sessions: int) -> list[int]:
    """The room for sessions, and the files that may be open then, of a process that was started with these limits."""
    program = (
        "import resource\nfrom jindimail.admin.openfiles import roomForSessions\n"
        f"print(roomForSessions({sessions}), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    argv = ["prlimit", f"--nofile={files}:{most}", sys.executable, "-c", program]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return [int(word) for word in done.stdout.split()]


def test_limitOfOpenFilesIsRaisedToWhatSessionsNeed() -> None:
    assert limitsAfter(256, 4_000, 2_000) == [2_000, 2_000 + SPARE, 4_000]


def test_limitThatIsHighEnoughStays() -> None:
    assert limitsAfter(3_500, 4_000, 2_000) == [2_000, 3_500, 4_000]


def test_fewerSessionsAreLetInWhereTheSystemAllowsFewFiles() -> None:
    assert limitsAfter(256, 4_000, 10_000) == [4_000 - SPARE, 4_000, 4_000]
    assert limitsAfter(256, 256, 10_000) == [128, 256, 256]


def test_askingAgainChangesNothing() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    roomForSessions(1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_clientsDoNotTakeAllFilesOfANode(node: NodeProcess) -> None:
    """They did: then no message found a file to be kept in, no new client got an answer, and no operator."""
    node.found()
    node.start()
    (account,) = node.addAccounts(1)
    with ExitStack() as stack:
        sender = stack.enter_context(node.smtp())
        idle = [
            stack.enter_context(socket.create_connection((HOST, node.ports["smtp"]), 30)) for _ in range(250)
        ]
        greetings = [client.recv(100)[:3] for client in idle]
        assert set(greetings) == {b"220", b"421"}
        assert sender.transact(b"a@elsewhere.test", account.address.encode(), LETTER).startswith(b"250")
        node.control().close()
