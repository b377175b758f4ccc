"""APPEND: what is refused before it is sent, what is kept, octet for octet (RFC 3501 §6.3.11, RFC 4315, RFC 7888, RFC 7889)."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from jindimail.errors import OutcomeUnknown, StorageFull, Unavailable
from jindimail.imap4.limits import Limits
from tests.imap4.node import LOGIN, SELECTED, Node
from tests.support.world import now


def stored(node: Node, mailbox: str = "INBOX") -> list[bytes]:
    """All messages of a mailbox."""
    box = now(node.account.open(mailbox))
    return [
        b"".join(now(box.octets(row, at, at + 900_000)) for at in range(0, row.size, 900_000))
        for row in now(box.rows())
    ]


def test_literalsOfBothKinds() -> None:
    node = Node()
    node.run(
        LOGIN
        + r"""
C: a1 APPEND INBOX {3}
S: + OK
C> abc
C:
S/ a1 OK \[APPENDUID \d+ 1\] APPEND completed
C: a2 APPEND INBOX (\\Seen $x) " 9-Sep-2001 03:46:40 +0200" {3+}
C> d\xff\xe9
C:
C: a3 NOOP
S/ a2 OK \[APPENDUID \d+ 2\] APPEND completed
S: a3 OK completed
C: a4 APPEND {5}
S: + OK
C: Trash {5+}
C: xyz
C:
S/ a4 OK \[APPENDUID \d+ 1\] APPEND completed
C: a5 EXAMINE INBOX
S* a5 OK [READ-ONLY] examined
C: a6 FETCH 2 (FLAGS INTERNALDATE)
S: * 2 FETCH (FLAGS (\\Seen $x) INTERNALDATE " 9-Sep-2001 01:46:40 +0000")
S: a6 OK FETCH completed
"""
    )
    assert stored(node) == [b"abc", b"d\xff\xe9"]
    assert stored(node, "Trash") == [b"xyz\r\n"]
    assert node.factory.spool.messages == 0


def test_refusedBeforeItIsSent() -> None:
    node = Node(Limits(messageOctetsMax=1000, discardOctetsMax=2000))
    node.run(
        LOGIN
        + r"""
C: a1 APPEND Nowhere {3}
C: a2 APPEND INBOX {1001}
C: a3 APPEND INBOX (\\Recent) {3}
C: a4 APPEND INBOX "not a date" {3}
C: a5 APPEND INBOX
C: a6 APPEND INBOX "abc"
C: a7 APPEND INBOX ~{3}
C: a8 APPEND INBOX {999999999999999999999}
C: a9 APPEND INBOX {0}
S: a1 NO [TRYCREATE] no such mailbox
S: a2 NO [TOOBIG] message too large
S: a3 BAD syntax error
S: a4 BAD syntax error
S: a5 BAD syntax error
S: a6 BAD syntax error
S: a7 BAD syntax error
S: a8 BAD syntax error
S: a9 NO [CANNOT] an empty message cannot be appended
OPEN
"""
    )
    assert stored(node) == []
    assert node.factory.spool.messages == 0


def test_whatComesUnaskedAndIsRefusedIsReadOver() -> None:
    node = Node(Limits(messageOctetsMax=1000, discardOctetsMax=2000))
    for octets, answer in (
        (b"a APPEND Nowhere {15+}\r\nx DELETE Junk\r\n\r\n", b"a NO [TRYCREATE] no such mailbox\r\n"),
        (
            b"a APPEND INBOX {1500+}\r\n" + b"x DELETE Junk\r\n" * 100 + b"\r\n",
            b"a NO [TOOBIG] message too large\r\n",
        ),
        (b"a APPEND INBOX (\\Foo) {3+}\r\nxyz\r\n", b"a BAD syntax error\r\n"),
        (b"a APPEND INBOX {0+}\r\n\r\n", b"a NO [CANNOT] an empty message cannot be appended\r\n"),
    ):
        assert node.dialogue(octets + b"b NOOP\r\n") == answer + b"b OK completed\r\n"


def test_absurdLiteralsEndTheConnection() -> None:
    node = Node()
    assert node.dialogue(b"a APPEND INBOX {99000000000+}\r\nxxx") == b"* BYE [TOOBIG] that is too much\r\n"


def test_moreThanOneMessageIsNotTaken() -> None:
    """MULTIAPPEND is not offered; none of the messages is filed."""
    node = Node()
    said = node.dialogue(
        b"a APPEND INBOX {3+}\r\nabc {3+}\r\ndef\r\nb NOOP\r\nc APPEND INBOX {3+}\r\nabcd\r\nd NOOP\r\n"
    )
    assert said == b"a BAD syntax error\r\nb OK completed\r\nc BAD syntax error\r\nd OK completed\r\n"
    assert stored(node) == []
    assert node.factory.spool.messages == 0


def test_nulIsRefused() -> None:
    """RFC 3501 §9, CHAR8."""
    node = Node()
    assert node.dialogue(b"a APPEND INBOX {3+}\r\na\0b\r\nb NOOP\r\n") == (
        b"a NO [CANNOT] the message holds a NUL octet\r\nb OK completed\r\n"
    )


def test_aFullQuotaIsToldBefore() -> None:
    node = Node()
    user = node.world.addUser("bob@example.org", quotaOctets=10)
    node.checker.avatarId = (user.bucket, user.accountId, user.addresses)
    assert node.dialogue(b"a APPEND INBOX {11}\r\n") == b"a NO [OVERQUOTA] quota exceeded\r\n"
    assert node.dialogue(b"a APPEND INBOX {10+}\r\n0123456789\r\n").startswith(b"a OK")
    assert node.dialogue(b"a APPEND INBOX {1+}\r\nx\r\n") == b"a NO [OVERQUOTA] quota exceeded\r\n"


def test_aSpoolThatFillsUpLosesStepNowhere() -> None:
    node = Node()
    node.factory.spool._octetsMax = 100_000
    said = node.dialogue(b"a APPEND INBOX {200000+}\r\n" + b"x NOOP\r\n" * 25_000 + b"\r\nb NOOP\r\n")
    assert said == b"a NO [OVERQUOTA] insufficient storage\r\nb OK completed\r\n"
    assert (node.factory.spool.messages, node.factory.spool.octets) == (0, 0)


@pytest.mark.parametrize("size", [1, 65_536, 300_000, 1_500_000])
@pytest.mark.parametrize("chunk", [1_000, 65_536])
def test_largeMessagesComeBackOctetForOctet(size: int, chunk: int) -> None:
    node = Node()
    message = (b"a0 LOGOUT\r\n\x80\xff.\r\n\r\n" * (size // 16 + 1))[:size]
    protocol, wire = node.connect()
    protocol.dataReceived(b'a0 LOGIN anna@example.org "se\\"cret\\\\"\r\n')
    octets = b"a APPEND INBOX {%d+}\r\n%b\r\nb NOOP\r\n" % (size, message)
    for at in range(0, len(octets), chunk):
        protocol.dataReceived(octets[at : at + chunk])
    assert wire.value().endswith(b"APPEND completed\r\nb OK completed\r\n")
    assert stored(node) == [message]


def test_theAnswerComesWhenTheMessageIsFiled() -> None:
    """Design §1: an answer means safe."""
    node = Node()
    protocol, wire = node.connect()
    protocol.dataReceived(b'a0 LOGIN anna@example.org "se\\"cret\\\\"\r\n')
    waiting: Deferred[None] = Deferred()
    append = protocol.account.append

    async def later(*arguments: object) -> object:
        await waiting
        return await append(*arguments)

    protocol.account.append = later
    wire.clear()
    protocol.dataReceived(b"a APPEND INBOX {3+}\r\nabc\r\nb NOOP\r\n")
    assert wire.value() == b""
    waiting.callback(None)
    assert wire.value().startswith(b"a OK [APPENDUID ")
    assert wire.value().endswith(b"b OK completed\r\n")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unavailable(), b"* BYE [UNAVAILABLE] temporarily unavailable, try again\r\n"),
        (OutcomeUnknown(), b"* BYE [UNAVAILABLE] temporarily unavailable, try again\r\n"),
        (StorageFull(), b"a NO [OVERQUOTA] insufficient storage\r\n"),
    ],
)
def test_whatCannotBeFiledNowEndsTheSessionUnlessItNeverCan(error: Exception, said: bytes) -> None:
    protocol, wire = Node().login()

    async def refuse(*_: object) -> object:
        raise error

    protocol.account.append = refuse
    protocol.dataReceived(b"a APPEND INBOX {3+}\r\nabc\r\n")
    assert wire.value() == said
    assert wire.disconnecting == said.startswith(b"*")


def test_anAppendThatCannotBeJudgedNowEndsTheSession() -> None:
    protocol, wire = Node().login()

    async def away(*_: object) -> object:
        raise Unavailable

    protocol.account.status = away
    protocol.dataReceived(b"a APPEND INBOX {3}\r\n")
    assert wire.value() == b"* BYE [UNAVAILABLE] temporarily unavailable, try again\r\n"
    assert wire.disconnecting


def test_theSelectedMailboxHearsOfIt() -> None:
    Node().run(
        SELECTED
        + r"""
C: a2 APPEND INBOX {3+}
C> abc
C:
S: * 1 EXISTS
S/ a2 OK .*
C: a3 APPEND Trash {3+}
C> abc
C:
S/ a3 OK .*
"""
    )
