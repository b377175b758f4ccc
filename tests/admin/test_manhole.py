"""The manhole: who is let in, what the shell shows, and a whole SSH session in memory."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from twisted.conch.ssh.channel import SSHChannel
from twisted.conch.ssh.common import NS
from twisted.conch.ssh.connection import SSHConnection
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.transport import SSHClientTransport
from twisted.conch.ssh.userauth import SSHUserAuthClient
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, globalLogPublisher
from twisted.test.iosim import FakeTransport, IOPump

from jindimail.admin import interpreter
from jindimail.admin.certificates import privatePem
from jindimail.admin.founding import MANHOLE_HOST_KEY
from jindimail.admin.livenode import LiveNode
from jindimail.admin.manhole import (
    CONNECTIONS_MAX,
    LOGIN_SECONDS,
    AuthorizedKeys,
    manholeFactory,
    namespaceOf,
)
from jindimail.admin.verbs import VERBS
from jindimail.config import read
from tests.admin.live import liveNode
from tests.support.world import World, now


def newKey() -> Key:
    return Key(ec.generate_private_key(ec.SECP256R1()))


def authorised(key: Key, comment: str = "") -> str:
    return key.public().toString("openssh", comment=comment.encode()).decode() + "\n"


class Authentication(SSHUserAuthClient):
    """Offers one key, then a password."""

    def __init__(self, key: Key, connection: SSHConnection) -> None:
        super().__init__(b"anyone", connection)
        self.key: Key | None = key

    def getPublicKey(self) -> Any:
        key, self.key = self.key, None
        self.private = key or getattr(self, "private", None)
        return key.public() if key else None

    def getPrivateKey(self) -> Any:
        return succeed(self.private)

    def getPassword(self, prompt: object = None) -> Any:
        return succeed(b"guessed")


class ShellChannel(SSHChannel):
    """A shell without a terminal."""

    name = b"session"
    output = b""
    isClosed = isRefused = False

    def closed(self) -> None:
        self.isClosed = True

    def channelOpen(self, data: bytes) -> None:
        self.conn.sendRequest(self, b"shell", b"", wantReply=1)

    def dataReceived(self, data: bytes) -> None:
        self.output += data


class CommandChannel(ShellChannel):
    """A command, which the manhole refuses, with nothing to read."""

    def channelOpen(self, data: bytes) -> None:
        self.conn.sendRequest(self, b"exec", NS(b"id"), wantReply=1).addErrback(self.refused)
        self.conn.sendEOF(self)

    def refused(self, _: object) -> None:
        self.isRefused = True


class Connection(SSHConnection):
    """Opens one shell."""

    kind: type[ShellChannel] = ShellChannel
    shell: ShellChannel | None = None

    def serviceStarted(self) -> None:
        super().serviceStarted()
        self.shell = self.kind(conn=self)
        self.openChannel(self.shell)


class Client(SSHClientTransport):
    """An SSH client with one key."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.connection = Connection()

    def verifyHostKey(self, hostKey: bytes, fingerprint: bytes) -> Any:
        self.hostKey = hostKey
        return succeed(1)

    def connectionSecure(self) -> None:
        self.requestService(Authentication(self.key, self.connection))


class Session:
    """A client at a manhole, over a network in memory."""

    def __init__(self, node: LiveNode, key: Key, clock: Clock | None = None) -> None:
        factory = manholeFactory(node, VERBS, clock or Clock())
        factory.doStart()
        self.client = Client(key)
        server = factory.buildProtocol(None)
        ends = FakeTransport(self.client, False), FakeTransport(server, True)
        self.client.makeConnection(ends[0])
        server.makeConnection(ends[1])
        self.pump = IOPump(self.client, server, *ends, False)
        self.pump.flush()

    @property
    def isIn(self) -> bool:
        return self.client.connection.shell is not None

    def type(self, line: str) -> str:
        """Type a line; what the shell wrote, without the terminal's control sequences."""
        shell = self.client.connection.shell
        assert shell is not None
        shell.output = b""
        shell.write(line.encode() + b"\r")
        self.pump.flush()
        return re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|.)", "", shell.output.decode())


@pytest.fixture
def node(tmp_path: Path) -> LiveNode:
    found = liveNode(World())
    text = f"[node]\nname = one\ndata-directory = {tmp_path}\n"
    found.configuration = read(text, "/")
    (tmp_path / MANHOLE_HOST_KEY).write_bytes(privatePem(ec.generate_private_key(ec.SECP256R1())))
    return found


@pytest.fixture
def key(node: LiveNode) -> Key:
    key = newKey()
    Path(node.configuration.listen.manholeKeys).write_text(authorised(key, "ada@laptop"))
    return key


def test_authorisedKeyGetsAShellThatSaysWhatThereIs(node: LiveNode, key: Key) -> None:
    session = Session(node, key)
    assert session.isIn
    shown = session.type("help()")
    for name in ("status()", "users()", "sessions()", "buckets()"):
        assert name in shown


def test_otherKeyIsRefusedAndNoPasswordHelps(node: LiveNode, key: Key) -> None:
    assert not Session(node, newKey()).isIn


def test_keysOfEveryKindMaySign(node: LiveNode, key: Key) -> None:
    rsaKey = Key(rsa.generate_private_key(65537, 2048))
    Path(node.configuration.listen.manholeKeys).write_text(authorised(key) + authorised(rsaKey, "bob"))
    session = Session(node, rsaKey)
    assert session.isIn
    algorithms = session.client.peerExtensions[b"server-sig-algs"].split(b",")
    assert {b"rsa-sha2-512", b"rsa-sha2-256", b"ssh-ed25519", b"ecdsa-sha2-nistp256"} <= set(algorithms)
    assert b"ssh-rsa" not in algorithms


def test_missingFileOfKeysLetsNobodyIn(node: LiveNode) -> None:
    assert not Session(node, newKey()).isIn


def test_keysAreReadAtEachLogin(node: LiveNode, key: Key) -> None:
    Path(node.configuration.listen.manholeKeys).write_text("# none\n")
    assert not Session(node, key).isIn


def test_hostKeyIsTheNodesOwn(node: LiveNode, key: Key) -> None:
    assert Session(node, key).client.hostKey == Session(node, key).client.hostKey


def test_coroutinesAreAwaitedAndShown(node: LiveNode, key: Key) -> None:
    session = Session(node, key)
    assert "'state': 'serving'" in session.type("status()")
    assert "'domain': 'example.org'" in session.type("domains()")
    assert "1" in session.type("len(await domains())")
    session.type("found = await domains()")
    assert "example.org" in session.type("found[0]['domain']")


def test_deferredsAreAwaitedAndShownLater(node: LiveNode, key: Key) -> None:
    session = Session(node, key)
    node.buckets = later = Deferred()
    assert "kept" not in session.type("node.buckets")
    later.callback("kept")
    session.pump.flush()
    assert b"kept" in session.client.connection.shell.output  # type: ignore[union-attr]


def test_errorsAreShownAndTheShellGoesOn(node: LiveNode, key: Key) -> None:
    session = Session(node, key)
    assert "NoSuchUser" in session.type("user('nobody@example.org')")
    assert "ZeroDivisionError" in session.type("1 / 0")
    assert "NameError" in session.type("x = await nothing()")
    assert "2" in session.type("1 + 1")


class Endless:
    def __repr__(self) -> str:
        while True:
            pass


@pytest.mark.parametrize(
    "line",
    [
        "while True: pass\r",
        "while True:\r  try: 1 / 0\r  except Exception: pass\r",
        "await status(); [x for x in iter(int, 1)]",
        "import time; time.sleep(1000)",
        "node.buckets[0]",
        "node.buckets[1]",
    ],
)
def test_whatHoldsTheNodeIsBrokenOff(
    node: LiveNode, key: Key, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """It held the node for ever, which then served nobody, and heard no SIGTERM."""
    monkeypatch.setattr(interpreter, "HELD_SECONDS_MAX", 0.05)
    session = Session(node, key)
    node.buckets = Endless(), succeed(Endless())
    assert "HeldTooLong" in session.type(line)
    assert "2" in session.type("1 + 1")
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@pytest.mark.parametrize("line", ["exit()", "raise SystemExit", "await status(); exit()"])
def test_exitEndsTheShellAndNothingElse(node: LiveNode, key: Key, line: str) -> None:
    session = Session(node, key)
    session.type(line)
    assert session.client.connection.shell.isClosed  # type: ignore[union-attr]
    assert Session(node, key).isIn


def test_aCommandIsRefusedAndNoErrorOfOurs(node: LiveNode, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "kind", CommandChannel)
    with logged() as events:
        command = Session(node, key).client.connection.shell
    assert command is not None
    assert (command.output, command.isRefused) == (b"", True)
    assert [event for event in events if "log_failure" in event] == []


@contextmanager
def logged() -> Iterator[list[LogEvent]]:
    """What is logged meanwhile."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(events.append)


def test_everyLineIsLoggedWithItsOperator(node: LiveNode, key: Key) -> None:
    with logged() as events:
        Session(node, key).type("node.state")
    lines = [
        (event["operator"], event["line"]) for event in events if "line" in event and "operator" in event
    ]
    assert lines == [("ada@laptop", "node.state")]


def test_passwordsHaveNoPlaceInAShellThatIsLogged(node: LiveNode) -> None:
    namespace = namespaceOf(node, VERBS)
    assert not {"addUser", "setPassword"} & set(namespace)
    assert {"status", "users", "sessions", "buckets", "kick", "help", "node"} <= set(namespace)
    assert all(namespace[name].__doc__ for name in namespace if name != "node")


def test_argumentsByPlaceAndByName(node: LiveNode) -> None:
    namespace = namespaceOf(node, VERBS)
    assert now(namespace["domain"]("example.org"))["domain"] == "example.org"
    assert now(namespace["domain"](domain="example.org"))["domain"] == "example.org"
    with pytest.raises(TypeError):
        now(namespace["domain"]("example.org", "more"))


def test_operatorIsCalledByTheKeysComment(tmp_path: Path) -> None:
    one, other = newKey(), newKey()
    path = tmp_path / "keys"
    path.write_text(
        "\n# operators\nnonsense\nssh-rsa AAAA broken\n" + authorised(one, "ada at work") + authorised(other)
    )
    assert set(AuthorizedKeys(str(path)).operators().values()) == {
        "ada at work",
        other.public().fingerprint(),
    }


def connected(factory: Any) -> Any:
    """A connection that says nothing."""
    protocol = factory.buildProtocol(None)
    transport = StringTransport()
    transport.connected = True
    protocol.makeConnection(transport)
    return protocol


def test_strangersAreBoundedAndTheOldestGivesWay(node: LiveNode) -> None:
    factory = manholeFactory(node, VERBS, Clock())
    factory.doStart()
    strangers = [connected(factory) for _ in range(CONNECTIONS_MAX + 1)]
    assert [each.transport.disconnecting for each in strangers] == [True, *[False] * CONNECTIONS_MAX]


def test_operatorsDoNotGiveWay(node: LiveNode) -> None:
    factory = manholeFactory(node, VERBS, Clock())
    factory.doStart()
    for _ in range(CONNECTIONS_MAX):
        connected(factory).isIn = True
    assert factory.buildProtocol(None) is None


def test_whoDoesNotLogInIsHungUpOn(node: LiveNode) -> None:
    clock = Clock()
    factory = manholeFactory(node, VERBS, clock)
    factory.doStart()
    stranger = connected(factory)
    clock.advance(LOGIN_SECONDS - 1)
    assert not stranger.transport.disconnecting
    clock.advance(1)
    assert stranger.transport.disconnecting


def test_whoIsInHasNoDeadline(node: LiveNode, key: Key) -> None:
    clock = Clock()
    session = Session(node, key, clock)
    assert session.isIn and not clock.getDelayedCalls()
