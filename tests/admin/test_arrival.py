"""Joining an array from the new node's side, the array's answer being made up."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from jindimail.admin.arrival import REQUEST, joinArray, requireJoinable
from jindimail.admin.nodefiles import readCredentials, readPeers
from jindimail.admin.offline import readToken
from jindimail.cluster.authority import Credentials
from jindimail.cluster.joining import Admission, Joined
from jindimail.cluster.peer import Peer
from jindimail.cluster.token import Token, printToken
from jindimail.config import Configuration, read
from jindimail.errors import ConfigError, Unavailable
from jindimail.store.environment import Environment
from tests.support.world import now

TOKEN = Token(addresses=("a.test:7400",), fingerprint=b"f" * 32, secret=b"s" * 20, expirySeconds=9)
PEERS = (Peer(node=1, name="node1", addresses=("a.test:7400",)),)
PEM = b"-----BEGIN %s-----\nAA==\n-----END %s-----\n"


def pem(kind: bytes) -> bytes:
    return PEM % (kind, kind)


def configured(directory: Path, extra: str = "[listen]\ncluster = tcp:7400\n") -> Configuration:
    return read(f"[node]\nname = node2\nhost-name = b.test\ndata-directory = {directory}/data\n{extra}", "/")


class MadeUpArray:
    """Answers, or loses its answers, and remembers what it was asked."""

    def __init__(self, lost: int = 0) -> None:
        self.lost = lost
        self.asked: list[dict[str, Any]] = []

    async def ask(self, token: Token, **asked: Any) -> Joined:
        self.asked.append(asked)
        if len(self.asked) <= self.lost:
            raise Unavailable("the answer is lost")
        admission = Admission(arrayId=b"a" * 16, node=2, certificate=b"", authority=b"", peers=PEERS)
        key = asked["request"][1]
        credentials = Credentials(certificate=pem(b"CERTIFICATE"), key=key, authority=pem(b"CERTIFICATE"))
        return Joined(admission=admission, credentials=credentials)


def test_aNodeThatWasLetInHasAStoreItsCredentialsAndItsPeers(tmp_path: Path) -> None:
    array = MadeUpArray()
    now(
        joinArray(
            configured(tmp_path, "[listen]\ncluster = tcp:1\n[cluster]\nweight = 0\n"), TOKEN, None, array.ask
        )
    )
    data = tmp_path / "data"
    environment = Environment(data)
    assert (environment.meta.node, environment.meta.name, environment.meta.arrayId) == (2, "node2", b"a" * 16)
    environment.close()
    assert readPeers(data) == PEERS
    credentials = readCredentials(data)
    assert credentials is not None and credentials.key == array.asked[0]["request"][1]
    assert not (data / REQUEST).exists()
    assert array.asked[0]["addresses"] == ("b.test:1",)
    assert array.asked[0]["labels"] == {"host": "node2", "weight": "0"}


def test_anAttemptWhoseAnswerWasLostIsRepeatedWithTheSameKey(tmp_path: Path) -> None:
    array = MadeUpArray(lost=2)
    for _ in range(2):
        with pytest.raises(Unavailable):
            now(joinArray(configured(tmp_path), TOKEN, None, array.ask))
    now(joinArray(configured(tmp_path), TOKEN, None, array.ask))
    assert len({asked["request"] for asked in array.asked}) == 1


def test_theTokenMayComeWhereNoOtherUserSeesIt() -> None:
    text = printToken(TOKEN)
    assert readToken("-", StringIO(text + "\n")) == readToken(text, StringIO("")) == TOKEN
    assert readToken("-", StringIO(f"token: {text}\n")) == TOKEN  # all that `cluster invite` prints


def test_aNodeThatJoinedDoesNotJoinAgain(tmp_path: Path) -> None:
    now(joinArray(configured(tmp_path), TOKEN, None, MadeUpArray().ask))
    with pytest.raises(ConfigError, match="not empty"):
        requireJoinable(configured(tmp_path))


def test_allThatKeepsANodeFromJoiningIsTold(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "something").touch()
    with pytest.raises(ConfigError) as caught:
        requireJoinable(configured(tmp_path, ""))
    assert [problem.split(": ")[0] for problem in caught.value.problems] == [
        "node.data-directory",
        "listen.cluster",
    ]
