"""The edges on the real delivery, directory and state machine, in memory: from the wire to the mailbox."""

from __future__ import annotations

from base64 import b64encode
from itertools import count
from pathlib import Path

import pytest
from twisted.internet.address import IPv4Address

from jindimail.delivery.spool import Spool
from jindimail.edge.connection import TURN_SECONDS
from jindimail.smtp.factory import SmtpFactory
from tests.smtp.fakes import FakeTransport, codes
from tests.support.world import PASSWORD, World, now

MESSAGE = (
    b"From: a@b.c\r\nSubject: x\r\nDate: y\r\nMessage-ID: z\r\n\r\n.\r\n\xff\r\n" + b"x" * 3000 + b"\r\n"
)
STUFFED = MESSAGE.replace(b"\r\n.", b"\r\n..")


class Client:
    def __init__(self, world: World, directory: Path, service: str) -> None:
        self.factory = SmtpFactory(
            service=service,
            delivery=world.delivery,
            spool=Spool(str(directory / "spool")),
            sessions=world.sessions,
            reactor=world.clock,
            seconds=world.clock.seconds,
            hostName="mx.example.org",
            portal=world.portal,
            plaintextPasswords=True,
        )
        self.transport = FakeTransport(peer=IPv4Address("TCP", "127.0.0.1", 1))
        self.protocol = self.factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        self.transport.clear()

    def say(self, octets: bytes) -> list[str]:
        self.protocol.dataReceived(octets)
        said = self.transport.value()
        self.transport.clear()
        return codes(said)

    def ask(self, *lines: bytes) -> list[str]:
        return self.say(b"".join(line + b"\r\n" for line in lines))


@pytest.fixture
def world() -> World:
    world = World()
    world.addUser("alice@example.org", PASSWORD)
    world.addUser("bob@example.org")
    return world


def test_aStrangersRecipientCountsAsOftenAsItLeadsToAnAccount(world: World, tmp_path: Path) -> None:
    members = [f"member{number}@example.org" for number in range(300)]
    for member in members:
        world.addUser(member)
    now(world.directory.aliases.add("all@example.org", members))
    client = Client(world, tmp_path, "smtp")
    client.ask(b"EHLO client.example.net", b"MAIL FROM:<sender@example.net>")
    asked = [b"RCPT TO:<all+%d@example.org>" % number for number in range(6)]
    assert client.ask(*asked) == ["250 2.1.5"] * 4 + ["452 4.5.3"] * 2
    trusted = Client(world, tmp_path, "lmtp")
    trusted.ask(b"LHLO client.example.net", b"MAIL FROM:<sender@example.net>")
    assert trusted.ask(*asked) == ["250 2.1.5"] * 6


@pytest.mark.parametrize("isHalfClosed", [False, True])
def test_manyCommandsAreAnsweredInTurnsAndInOrder(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isHalfClosed: bool
) -> None:
    client = Client(world, tmp_path, "smtp")
    client.ask(b"EHLO client.example.net")
    seconds, passed = world.clock.seconds, count()
    monkeypatch.setattr(world.clock, "seconds", lambda: seconds() + next(passed) * TURN_SECONDS / 3)
    commands = [b"MAIL FROM:<>", b"RCPT TO:<alice@example.org>", b"NOOP", b"RSET"] * 10
    answers = client.ask(*commands)
    assert 1 <= len(answers) <= 4
    if isHalfClosed:
        client.protocol.readConnectionLost()
    else:
        answers += client.ask(*commands)
        commands *= 2
    for _ in commands:
        world.clock.advance(0)
    answers += codes(client.transport.value())
    assert answers == ["250 2.1.0", "250 2.1.5", "250 2.0.0", "250 2.0.0"] * (len(commands) // 4)
    assert client.transport.disconnecting is isHalfClosed


def messages(world: World, address: str) -> list[bytes]:
    user = now(world.directory.user(address))
    mailbox = now(world.account(user).open("INBOX"))
    return [now(mailbox.octets(row)) for row in now(mailbox.rows())]


def test_oneMessageForTwoComesOutOctetForOctet(world: World, tmp_path: Path) -> None:
    client = Client(world, tmp_path, "smtp")
    envelope = (
        b"MAIL FROM:<s@b.c>",
        b"RCPT TO:<Alice+tag@example.org>",
        b"RCPT TO:<bob@example.org>",
        b"DATA",
    )
    assert client.ask(b"EHLO a", *envelope) == ["250", "250 2.1.0", "250 2.1.5", "250 2.1.5", "354"]
    assert client.say(STUFFED + b".\r\n") == ["250 2.0.0"]
    for address, named in (
        ("alice@example.org", b"Alice+tag@example.org"),
        ("bob@example.org", b"bob@example.org"),
    ):
        (octets,) = messages(world, address)
        prefix = (
            b"Return-Path: <s@b.c>\r\nDelivered-To: "
            + named
            + b"\r\nReceived: from a ([127.0.0.1])\r\n\tby mx"
        )
        assert octets.startswith(prefix)
        assert octets.partition(b"+0000\r\n")[2] == MESSAGE


@pytest.mark.parametrize(
    ("recipient", "expected"),
    [
        (b"nobody@example.org", "550 5.1.1"),
        (b"alice@elsewhere.net", "550 5.7.1"),
        (b"alice%elsewhere.net@example.org", "550 5.1.1"),
        (b"elsewhere.net!alice@example.org", "550 5.1.1"),
        (b'"alice@elsewhere.net"@example.org', "550 5.1.1"),
        (b"alice@[127.0.0.1]", "550 5.1.1"),
        (b'"alice"@example.org', "250 2.1.5"),
    ],
)
def test_thereIsNoRelay(world: World, tmp_path: Path, recipient: bytes, expected: str) -> None:
    client = Client(world, tmp_path, "smtp")
    assert client.ask(b"EHLO a", b"MAIL FROM:<>", b"RCPT TO:<%s>" % recipient)[-1] == expected


def test_submission(world: World, tmp_path: Path) -> None:
    client = Client(world, tmp_path, "submission")
    login = b"AUTH PLAIN " + b64encode(b"\0alice@example.org\0" + PASSWORD.encode())
    assert client.ask(b"EHLO a", login) == ["250", "235 2.7.0"]
    assert client.ask(b"MAIL FROM:<bob@example.org>") == ["553 5.7.1"]
    envelope = client.ask(b"MAIL FROM:<alice@example.org>", b"RCPT TO:<bob@example.org>", b"DATA")
    assert envelope == ["250 2.1.0", "250 2.1.5", "354"]
    assert client.say(STUFFED + b".\r\n") == ["250 2.0.0"]
    (octets,) = messages(world, "bob@example.org")
    assert b"with ESMTPA\r\n" in octets
    assert octets.endswith(MESSAGE)


def test_aWrongPassword(world: World, tmp_path: Path) -> None:
    client = Client(world, tmp_path, "submission")
    wrong = b"AUTH PLAIN " + b64encode(b"\0alice@example.org\0wrong")
    unknown = b"AUTH PLAIN " + b64encode(b"\0carol@example.org\0wrong")
    assert client.ask(b"EHLO a", wrong, unknown) == ["250", "535 5.7.8", "535 5.7.8"]


def test_lmtpWithOneRecipientOverQuota(world: World, tmp_path: Path) -> None:
    world.addUser("full@example.org", quotaOctets=1000)
    client = Client(world, tmp_path, "lmtp")
    envelope = (b"MAIL FROM:<>", b"RCPT TO:<full@example.org>", b"RCPT TO:<bob@example.org>", b"DATA")
    assert client.ask(b"LHLO a", *envelope)[-3:] == ["250 2.1.5", "250 2.1.5", "354"]
    assert client.say(STUFFED + b".\r\n") == ["552 5.2.3", "250 2.0.0"]
    assert len(messages(world, "bob@example.org")) == 1
    assert messages(world, "full@example.org") == []


def test_rcptKnowsTheQuotaAndTheSizeThatMailTold(world: World, tmp_path: Path) -> None:
    world.addUser("small@example.org", quotaOctets=1000)
    client = Client(world, tmp_path, "smtp")
    client.ask(b"EHLO a", b"MAIL FROM:<> SIZE=1001")
    assert client.ask(b"RCPT TO:<small@example.org>", b"RSET") == ["552 5.2.3", "250 2.0.0"]
    client.ask(b"MAIL FROM:<> SIZE=400")
    assert client.ask(b"RCPT TO:<small@example.org>", b"DATA") == ["250 2.1.5", "354"]
    client.say(b"S: x\r\n\r\n" + b"y" * 380 + b"\r\n.\r\n")
    client.ask(b"MAIL FROM:<> SIZE=700")
    assert client.ask(b"RCPT TO:<small@example.org>") == ["452 4.2.2"]


def test_aLoopEnds(world: World, tmp_path: Path) -> None:
    client = Client(world, tmp_path, "smtp")
    client.ask(b"EHLO a", b"MAIL FROM:<>", b"RCPT TO:<bob@example.org>", b"DATA")
    assert client.say(b"Received: here\r\n" * 101 + b"\r\n.\r\n") == ["554 5.4.6"]
    assert messages(world, "bob@example.org") == []
