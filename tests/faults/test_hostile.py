"""Hostile clients on real sockets: refused, in bounded memory, and the node serves on."""

from __future__ import annotations

import contextlib
import select
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.target import Account
from bench.wire import Line, WireError
from tests.support.node import HOST, PASSWORD, NodeProcess

_GROWTH_OCTETS_MAX = 16 << 20
_GIGABYTE = 1 << 30
_BLOCK = b"a" * (1 << 20)


class Victim:
    """A running node whose resident memory is watched from the moment it is warm."""

    def __init__(self, node: NodeProcess) -> None:
        self.node = node
        node.start()
        (self.account,) = node.addAccounts(1)
        self._delivers(3)
        self.imap().close()
        node.messages(self.account)
        node.forgetPeak()
        self._before = node.resident()

    def line(self, service: str) -> Line:
        return Line(HOST, self.node.ports[service], 30.0)

    def imap(self) -> Imap:
        return Imap(self.line("imap"), self.account)

    def survived(self) -> None:
        """Memory stayed bounded, the process is the same and delivers."""
        growth = self.node.residentPeak() - self._before
        assert growth <= _GROWTH_OCTETS_MAX, f"resident memory grew by {growth >> 20} MiB"
        self._delivers(1)
        assert self.node.isAlive

    def _delivers(self, count: int) -> None:
        with self.node.smtp() as client:
            for _ in range(count):
                answer = client.transact(
                    b"a@elsewhere.test", self.account.address.encode(), b"Subject: x\r\n\r\nx\r\n"
                )
                assert answer.startswith(b"250")


class Imap:
    """A logged-in IMAP connection, raw."""

    def __init__(self, line: Line, account: Account) -> None:
        self.line = line
        line.line()
        answer = self.command(b"a LOGIN %s %s" % (account.login.encode(), PASSWORD.encode()))
        assert answer.startswith(b"a OK")

    def command(self, octets: bytes) -> bytes:
        """Send a command tagged a; its tagged answer."""
        self.line.write(octets + b"\r\n")
        while not (answer := self.line.line()).startswith((b"a ", b"* BYE", b"* BAD")):
            pass
        return answer

    def close(self) -> None:
        self.line.socket.close()


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    """One node for all tests here: what they cost it adds up, and the sum is bounded."""
    place = Path(tempfile.mkdtemp(prefix="jn-"))
    node = NodeProcess(place)
    try:
        node.found()
        yield Victim(node)
        assert node.stop() == 0
        assert node.check().returncode == 0
    finally:
        node.close()
        shutil.rmtree(place)


def flood(line: Line, octets: int) -> bool:
    """Send so many octets without a line end; whether the server closed before it had read them all."""
    try:
        for _ in range(octets // len(_BLOCK)):
            line.write(_BLOCK)
            if select.select([line.socket], [], [], 0)[0] and line.socket.recv(65536) == b"":
                return True
    except OSError:
        return True
    return False


@pytest.mark.parametrize("service", ["smtp", "submission", "lmtp", "pop3", "imap"])
def test_gigabyteWithoutLineEndAsCommandEndsTheConnection(victim: Victim, service: str) -> None:
    with victim.line(service) as line:
        line.line()
        assert flood(line, _GIGABYTE)
    victim.survived()


def test_gigabyteWithoutLineEndAsMessageIsRefused(victim: Victim) -> None:
    held = len(victim.node.messages(victim.account))
    with victim.node.smtp() as client:
        client.command(b"MAIL FROM:<a@elsewhere.test>\r\n", b"250")
        client.command(b"RCPT TO:<%s>\r\n" % victim.account.address.encode(), b"25")
        client.command(b"DATA\r\n", b"354")
        if not flood(client, _GIGABYTE):
            client.write(b"\r\n.\r\n")
            assert client.answer().startswith(b"5")
    victim.survived()
    assert len(victim.node.messages(victim.account)) == held + 1


@pytest.mark.parametrize("size", [b"99000000000", b"99999999999999999999"])
def test_hugeAnnouncedSizeIsRefusedAtMail(victim: Victim, size: bytes) -> None:
    with victim.node.smtp() as client:
        client.write(b"MAIL FROM:<a@elsewhere.test> SIZE=%s\r\n" % size)
        assert client.answer()[:3] in (b"552", b"501")
    victim.survived()


def test_hugeChunkIsRefused(victim: Victim) -> None:
    with victim.node.smtp() as client:
        client.command(b"MAIL FROM:<a@elsewhere.test>\r\n", b"250")
        client.command(b"RCPT TO:<%s>\r\n" % victim.account.address.encode(), b"25")
        client.write(b"BDAT 99000000000 LAST\r\n")
        assert flood(client, 2 * _GIGABYTE)
    victim.survived()


@pytest.mark.parametrize("literal", [b"{99000000000}", b"{99000000000+}"])
def test_hugeLiteralBeforeLoginIsRefused(victim: Victim, literal: bytes) -> None:
    with victim.line("imap") as line:
        line.line()
        line.write(b"a LOGIN " + literal + b"\r\n")
        assert _isRefusal(line.line())
    victim.survived()


@pytest.mark.parametrize("command", [b"a APPEND INBOX ", b"a SELECT ", b"a SEARCH SUBJECT "])
@pytest.mark.parametrize("literal", [b"{99000000000}", b"{99000000000+}"])
def test_hugeLiteralAfterLoginIsRefused(victim: Victim, command: bytes, literal: bytes) -> None:
    client = victim.imap()
    assert _isRefusal(client.command(command + literal))
    if literal.endswith(b"+}"):
        flood(client.line, 64 << 20)  # it comes unasked: closed or thrown away
    client.close()
    victim.survived()


def _isRefusal(answer: bytes) -> bool:
    return answer.startswith((b"a NO", b"a BAD", b"* BYE", b"* BAD"))


@pytest.mark.parametrize("command", [b"SEARCH ", b"FETCH 1 ", b"STATUS INBOX ", b"STORE 1 FLAGS ", b"LIST "])
@pytest.mark.parametrize("closes", [True, False])
def test_deepParenthesesAreRefused(victim: Victim, command: bytes, closes: bool) -> None:
    client = victim.imap()
    client.command(b"a SELECT INBOX")
    nested = b"(" * 100_000 + (b"ALL" + b")" * 100_000 if closes else b"")
    # The line is longer than a command may be: hanging up is a refusal too.
    with contextlib.suppress(OSError, WireError):
        assert _isRefusal(client.command(b"a " + command + nested))
    client.close()
    victim.survived()


_DEEP: dict[str, Callable[[], bytes]] = {
    "comments": lambda: (
        b"From: %s x@y.test\r\nTo: %s\r\nSubject: deep\r\n\r\nx\r\n" % (_folded(b"("), _folded(b"("))
    ),
    "closed comments": lambda: b"From: %s%s x@y.test\r\n\r\nx\r\n" % (_folded(b"("), _folded(b")")),
    "groups": lambda: b"To: %s;\r\n\r\nx\r\n" % _folded(b"a:"),
    "content type": lambda: b"Content-Type: text/plain %s\r\n\r\nx\r\n" % _folded(b"("),
    "multiparts": lambda: b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
        for level in range(10_000)
    ),
    "messages": lambda: b"Content-Type: message/rfc822\r\n\r\n" * 10_000,
}


def _folded(octets: bytes) -> bytes:
    """100,000 times `octets`, in lines of legal length."""
    return b"\r\n ".join([octets * 400] * (100_000 // 400))


@pytest.mark.parametrize("kind", list(_DEEP))
def test_deepMessagesAreTakenOrRefusedAndReadable(victim: Victim, kind: str) -> None:
    with victim.node.smtp() as client:
        answer = client.transact(b"a@elsewhere.test", victim.account.address.encode(), _DEEP[kind]())
        assert answer[:1] in (b"2", b"5")
    client2 = victim.imap()
    client2.command(b"a SELECT INBOX")
    for item in (b"ENVELOPE", b"BODYSTRUCTURE", b"BODY.PEEK[1.1.1.1]"):
        assert client2.command(b"a FETCH 1:* (UID %s)" % item).startswith(b"a OK")
    client2.close()
    victim.survived()


def test_tenThousandRecipientsAreRefusedBeyondTheLimit(victim: Victim) -> None:
    with victim.node.smtp() as client:
        client.command(b"MAIL FROM:<a@elsewhere.test>\r\n", b"250")
        answers = []
        for number in range(10_000):
            tagged = victim.account.address.replace("@", f"+{number}@").encode()
            client.write(b"RCPT TO:<%s>\r\n" % tagged)
            answers.append(client.answer()[:3])
            if answers[-1] == b"421":
                break
        assert answers[:100] == [b"250"] * 100  # RFC 5321 §4.5.3.1.8
        assert set(answers[1000:]) <= {b"452", b"421", b"552"}
        assert len(answers) > 1000
    victim.survived()


def test_tenThousandPipelinedRecipientsAreRefusedBeyondTheLimit(victim: Victim) -> None:
    with victim.node.smtp() as client:
        client.command(b"MAIL FROM:<a@elsewhere.test>\r\n", b"250")
        try:
            client.write(b"".join(b"RCPT TO:<nobody%d@bench.test>\r\n" % number for number in range(10_000)))
            codes = {client.answer()[:1] for _ in range(1000)}
            assert codes <= {b"5", b"4"}
        except (OSError, WireError):
            pass  # hanging up on so many unknown recipients is a refusal too
    victim.survived()


def test_flagFloodIsRefusedOrBounded(victim: Victim) -> None:
    client = victim.imap()
    client.command(b"a SELECT INBOX")
    for start in range(0, 10_000, 100):
        keywords = b" ".join(b"keyword%d" % number for number in range(start, start + 100))
        client.command(b"a STORE 1 +FLAGS.SILENT (%s)" % keywords)
    client.close()
    victim.survived()


def test_linesOfDotsAndOfNothingInDataKeepMemoryBounded(victim: Victim) -> None:
    with victim.node.smtp() as client:
        answer = client.transact(
            b"a@elsewhere.test",
            victim.account.address.encode(),
            b"Subject: x\r\n\r\n" + b".\r\n\r\n" * 400_000,
        )
        assert answer[:1] in (b"2", b"5")
    victim.survived()
