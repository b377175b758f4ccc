"""A user's session by imaplib: two connections to one account, one changes what the other sees."""

from __future__ import annotations

import imaplib
import re
from collections.abc import Iterator

import pytest

from bench.target import Account
from tests.clients import corpus
from tests.clients.server import Server


@pytest.fixture
def account(server: Server) -> Account:
    """An account with four messages."""
    made = server.newAccount()
    server.fill(made, corpus.SMALL[:4])
    return made


@pytest.fixture
def client(server: Server, account: Account) -> Iterator[imaplib.IMAP4]:
    """A connection with INBOX selected."""
    connection = imaplib.IMAP4(server.host, int(server.port("imap")), 60)
    connection.login(account.login, account.password)
    assert connection.select() == ("OK", [b"4"])
    yield connection
    connection.logout()


def flagsOf(client: imaplib.IMAP4) -> list[set[bytes]]:
    """The flags of all messages, without \\Recent."""
    _, answers = client.fetch("1:*", "(FLAGS)")
    return [set(imaplib.ParseFlags(answer)) - {b"\\Recent"} for answer in answers if answer]


def test_searchesByFlagHeaderSizeAndText(client: imaplib.IMAP4) -> None:
    client.store("2", "+FLAGS", r"(\Flagged)")
    assert client.search(None, "FLAGGED") == ("OK", [b"2"])
    assert client.search(None, "NOT", "FLAGGED", "HEADER", "X-Corpus", "dots") == ("OK", [b"3"])
    assert client.search(None, "SUBJECT", '"plain"') == ("OK", [b"1"])
    assert client.search(None, "TEXT", '"this is it"') == ("OK", [b"1"])
    assert client.search(None, "SMALLER", "10") == ("OK", [b""])


def test_flagsAreAddedReplacedAndRemoved(client: imaplib.IMAP4) -> None:
    client.store("1", "+FLAGS", r"(\Seen $Forwarded)")
    client.store("1:2", "+FLAGS", r"(\Answered)")
    client.store("2", "FLAGS", r"(\Draft)")
    client.store("1", "-FLAGS", r"(\Answered)")
    assert flagsOf(client) == [{b"\\Seen", b"$Forwarded"}, {b"\\Draft"}, set(), set()]


def test_readingSetsSeenAndPeekingDoesNot(client: imaplib.IMAP4) -> None:
    client.fetch("1", "(BODY.PEEK[])")
    client.fetch("2", "(BODY[])")
    assert flagsOf(client) == [set(), {b"\\Seen"}, set(), set()]


def test_expungeRemovesWhatIsDeleted(client: imaplib.IMAP4, server: Server, account: Account) -> None:
    before = server.stored(account)
    client.store("2,4", "+FLAGS", r"(\Deleted)")
    status, gone = client.expunge()
    assert (status, gone) == ("OK", [b"2", b"3"])
    assert server.stored(account) == [before[0], before[2]]


def test_copiesAndMovesKeepTheOctets(client: imaplib.IMAP4, server: Server, account: Account) -> None:
    before = server.stored(account)
    assert client.create('"Two words/Sub"')[0] == "OK"
    assert client.copy("1:2", '"Two words/Sub"')[0] == "OK"
    assert client._simple_command("MOVE", "3:4", '"Two words/Sub"')[0] == "OK"  # type: ignore[attr-defined]
    client.select('"Two words/Sub"', readonly=True)
    _, answers = client.fetch("1:*", "(BODY.PEEK[])")
    assert [answer[1] for answer in answers if isinstance(answer, tuple)] == before
    assert server.stored(account) == before[:2]
    client.select()


def test_specialMailboxesAreThere(client: imaplib.IMAP4) -> None:
    _, lines = client.list()
    listed = b"\n".join(line for line in lines if isinstance(line, bytes))
    for name in (b"INBOX", b"Sent", b"Drafts", b"Trash", b"Junk", b"Archive"):
        assert re.search(rb'"?%b"?$' % name, listed, re.MULTILINE), listed


def test_anIdleSessionHearsOfNewMail(client: imaplib.IMAP4, server: Server, account: Account) -> None:
    tag = client._new_tag()  # type: ignore[attr-defined]
    client.send(tag + b" IDLE\r\n")
    assert client.readline().startswith(b"+")
    server.fill(account, corpus.SMALL[4:5])
    heard = client.readline()
    while not heard.startswith(b"* 5 EXISTS"):
        heard = client.readline()
    client.send(b"DONE\r\n")
    while not heard.startswith(tag):
        heard = client.readline()
    assert heard.startswith(tag + b" OK")


def test_popDeletionsAreSeenByImap(client: imaplib.IMAP4, server: Server, account: Account) -> None:
    with server.node.pop3(account) as pop:
        pop.command(b"DELE 1\r\n")
        pop.quit()
    assert client.noop()[0] == "OK"
    assert client.response("EXPUNGE") == ("EXPUNGE", [b"1"])
    assert client.search(None, "ALL") == ("OK", [b"1 2 3"])
