"""Clients that stop reading in the middle of a large message: the node's memory does not grow with them. And those that stop sending: they are answered."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.target import Account
from bench.wire import Line, stuffed
from tests.clients.corpus import LARGE
from tests.clients.server import Server

CLIENTS = 8
GROWTH_OCTETS_MAX = 8 << 20
READ_OCTETS = 1 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A node of its own, since what others did would leave it memory that is free and still counted."""
    running = Server()
    try:
        running.start()
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def accounts(server: Server) -> list[Account]:
    """Accounts with one large message each, delivered at once."""
    made = [server.newAccount() for _ in range(CLIENTS)]
    recipients = b"".join(b"RCPT TO:<%b>\r\n" % account.address.encode() for account in made)
    with server.node.smtp() as client:
        client.command(b"MAIL FROM:<sender@example.org>\r\n", b"250")
        client.write(recipients + b"DATA\r\n")
        for _ in made:
            client.expect(b"250")
        client.expect(b"354")
        client.write(stuffed(LARGE.octets))
        client.expect(b"250")
    return made


def begun(server: Server, account: Account, protocol: str) -> Line:
    """A client that has asked for the message, and has read the first of it."""
    line = Line(server.host, int(server.port(protocol)), 60)
    line.line()
    login, password = account.login.encode(), account.password.encode()
    if protocol == "pop3":
        line.write(b"USER %b\r\nPASS %b\r\nRETR 1\r\n" % (login, password))
    else:
        line.write(b'a LOGIN %b "%b"\r\nb EXAMINE INBOX\r\nc FETCH 1 BODY.PEEK[]\r\n' % (login, password))
    read = 0
    while read < READ_OCTETS:
        octets = line.socket.recv(65536)
        assert octets
        read += len(octets)
    return line


def ownMemory(server: Server) -> int:
    """Octets resident that are the node's own: without the pages of the store, which the kernel takes back as it likes."""
    status = Path(f"/proc/{server.node.pid}/status").read_text()
    (kibibytes,) = re.findall(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kibibytes) * 1024


@pytest.mark.parametrize("protocol", ["pop3", "imap"])
def test_largeMessagesToSlowClientsTakeLittleMemory(
    server: Server, accounts: list[Account], protocol: str
) -> None:
    server.restart()
    for account in accounts:  # what is taken once and for good: argon2's memory above all
        begun(server, account, protocol).socket.close()
    before = ownMemory(server)
    clients = [begun(server, account, protocol) for account in accounts]
    grown = ownMemory(server) - before
    for client in clients:
        client.socket.close()
    assert grown < GROWTH_OCTETS_MAX, f"{grown / 2**20:.1f} MiB for {CLIENTS} clients"


@pytest.mark.parametrize(
    ("protocol", "commands", "end"),
    [
        ("imap", b'a LOGIN %b "%b"\r\nb SELECT INBOX\r\nc FETCH 1 BODY.PEEK[]\r\nd LOGOUT\r\n', b"d OK"),
        ("imap", b'a LOGIN %b "%b"\r\nb SELECT INBOX\r\nc FETCH 1 BODY.PEEK[]\r\n', b"c OK"),
        ("pop3", b"USER %b\r\nPASS %b\r\nRETR 1\r\nQUIT\r\n", b"+OK"),
        ("pop3", b"USER %b\r\nPASS %b\r\nRETR 1\r\n", b"\r\n.\r\n"),
    ],
)
def test_whoSendsNoMoreGetsAllAnswers(
    server: Server, accounts: list[Account], protocol: str, commands: bytes, end: bytes
) -> None:
    account = accounts[0]
    with socket.create_connection((server.host, int(server.port(protocol))), 60) as client:
        client.sendall(commands % (account.login.encode(), account.password.encode()))
        client.shutdown(socket.SHUT_WR)
        answers = b"".join(iter(lambda: client.recv(65536), b""))
    assert len(answers) > len(LARGE.octets)
    assert end in answers[-100:]
