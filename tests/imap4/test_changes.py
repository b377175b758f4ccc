"""Several sessions on one mailbox: who is told what, and when (RFC 3501 §7, RFC 2177)."""

from __future__ import annotations

import gc
import re
from collections.abc import AsyncIterator

import pytest

from jindimail.errors import Unavailable
from jindimail.mailbox import step
from jindimail.mailbox.entries import ADD, REMOVE, RenewUidValidities
from jindimail.model import UidSet
from tests.imap4.node import GREETING, SELECTED, Node, countPauses
from tests.support.world import now

SECOND = r"""
SESSION 2
""" + SELECTED.replace("a0", "b0").replace("a1", "b1")


@pytest.fixture
def node() -> Node:
    """An account with three messages."""
    node = Node()
    for number in range(1, 4):
        node.append(b"Subject: %d\r\n\r\nbody\r\n" % number)
    return node


def test_anotherSessionsChangesAreToldBeforeTheTaggedAnswer(node: Node) -> None:
    node.run(
        SELECTED
        + SECOND
        + r"""
C: b2 STORE 1 +FLAGS (\\Seen)
S: * 1 FETCH (FLAGS (\\Seen))
S: b2 OK STORE completed
C: b3 UID EXPUNGE 1:3
S: b3 OK EXPUNGE completed
SESSION 1
C: a2 NOOP
S: * 1 FETCH (UID 1 FLAGS (\\Seen))
S: a2 OK completed
SESSION 2
C: b4 STORE 2 +FLAGS.SILENT \\Deleted
S: b4 OK STORE completed
C: b5 EXPUNGE
S: * 2 EXPUNGE
S: b5 OK EXPUNGE completed
C: b6 NOOP
S: b6 OK completed
SESSION 1
C: a3 NOOP
S: * 2 EXPUNGE
S: a3 OK completed
"""
    )


def test_expungesAreNotToldWhileNumbersAreInUse(node: Node) -> None:
    """RFC 3501 §7.4.1: not in FETCH, STORE, SEARCH; UID commands may."""
    node.run(
        SELECTED
        + SECOND
        + r"""
C: b2 UID MOVE 1 Trash
S/ \* OK \[COPYUID \d+ 1 1\] moved
S: * 1 EXPUNGE
S: b2 OK MOVE completed
SESSION 1
C: a2 FETCH 1:3 UID
S: * 1 FETCH (UID 1)
S: * 2 FETCH (UID 2)
S: * 3 FETCH (UID 3)
S: a2 OK FETCH completed
C: a3 FETCH 1:2 RFC822.SIZE
S: * 2 FETCH (RFC822.SIZE 20)
S: a3 OK [EXPUNGEISSUED] FETCH completed; some messages are gone
C: a4 STORE 1:2 +FLAGS \\Flagged
S: * 2 FETCH (FLAGS (\\Flagged))
S: a4 OK [EXPUNGEISSUED] STORE completed; some messages are gone
C: a5 SEARCH UID 2:3
S: * SEARCH 2 3
S: a5 OK SEARCH completed
C: a6 COPY 1:2 Archive
S/ a6 OK \[COPYUID \d+ 2 1\] COPY completed
C: a7 UID FETCH 2 FLAGS
S: * 2 FETCH (UID 2 FLAGS (\\Flagged))
S: * 1 EXPUNGE
S: a7 OK FETCH completed
C: a8 FETCH 3 UID
S: a8 BAD no such message number
"""
    )


def test_newMailIsToldWithTheNextCommand(node: Node) -> None:
    node.run(
        SELECTED
        + r"""
DO deliver
C: a2 FETCH 1 FLAGS
S: * 1 FETCH (FLAGS ())
S: * 4 EXISTS
S: a2 OK FETCH completed
C: a3 FETCH 4 UID
S: * 4 FETCH (UID 4)
S: a3 OK FETCH completed
""",
        {"deliver": lambda: node.append(b"x\r\n")},
    )


def test_silentStoreTellsWhatAnotherSessionAdded(node: Node) -> None:
    node.run(
        SELECTED
        + SECOND
        + r"""
C: b2 STORE 1:2 +FLAGS.SILENT \\Flagged
S: b2 OK STORE completed
SESSION 1
C: a2 STORE 1 +FLAGS.SILENT \\Seen
S: * 1 FETCH (UID 1 FLAGS (\\Seen \\Flagged))
S: * 2 FETCH (UID 2 FLAGS (\\Flagged))
S: a2 OK STORE completed
SESSION 2
C: b3 NOOP
S: * 1 FETCH (UID 1 FLAGS (\\Seen \\Flagged))
S: b3 OK completed
"""
    )


def test_keywordsOfAnotherSessionAreIntroduced(node: Node) -> None:
    node.run(
        SELECTED
        + SECOND
        + r"""
C: b2 STORE 1 +FLAGS.SILENT $New
S: * FLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft $New)
S: b2 OK STORE completed
SESSION 1
C: a2 NOOP
S: * FLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft $New)
S: * 1 FETCH (UID 1 FLAGS ($New))
S: a2 OK completed
C: a3 SEARCH KEYWORD $new UNKEYWORD $other
S: * SEARCH 1
S: a3 OK SEARCH completed
"""
    )


def test_idlePushesWhatHappens(node: Node) -> None:
    node.run(
        SELECTED
        + r"""
C: a2 IDLE
S: + idling
"""
        + SECOND
        + r"""
C: b2 STORE 2 FLAGS (\\Deleted)
S: * 2 FETCH (FLAGS (\\Deleted))
S: b2 OK STORE completed
SESSION 1
S: * 2 FETCH (UID 2 FLAGS (\\Deleted))
SESSION 2
C: b3 EXPUNGE
S: * 2 EXPUNGE
S: b3 OK EXPUNGE completed
SESSION 1
S: * 2 EXPUNGE
DO deliver
S: * 3 EXISTS
C: done
S: a2 OK IDLE completed
C: a3 IDLE
S: + idling
C: NOOP
S: a3 BAD syntax error
C: a4 NOOP
S: a4 OK completed
""",
        {"deliver": lambda: node.append(b"x\r\n")},
    )


def test_idleMayBePipelinedAndNeedsNoMailbox() -> None:
    node = Node()
    node.run(
        GREETING
        + r"""
C: a0 LOGIN anna@example.org "se\\"cret\\\\"
C: a1 IDLE
C: DONE
C: a2 NOOP
S/ a0 OK .*
S: + idling
S: a1 OK IDLE completed
S: a2 OK completed
"""
    )


def test_idleTellsLaterWhatCannotBeReadNow(node: Node) -> None:
    """A bucket that changes its leader is not the client's business (design §8)."""
    protocol, wire = node.connect()
    protocol.dataReceived(b'a0 LOGIN anna@example.org "se\\"cret\\\\"\r\na1 SELECT INBOX\r\na2 IDLE\r\n')
    wire.clear()
    mailbox, changes = protocol.selection.mailbox, protocol.selection.mailbox.changes

    async def unavailable(modSeq: int) -> object:
        raise Unavailable

    mailbox.changes = unavailable
    node.append(b"x\r\n")
    assert wire.value() == b""
    mailbox.changes = changes
    node.clock.advance(2)
    assert wire.value() == b"* 4 EXISTS\r\n"
    protocol.dataReceived(b"DONE\r\n")
    assert wire.value().endswith(b"a2 OK IDLE completed\r\n")


def test_aDeletedMailboxEndsItsSessions(node: Node) -> None:
    node.run(
        SELECTED
        + r"""
C: a2 SELECT Junk
S* a2 OK [READ-WRITE] selected
"""
        + SECOND
        + r"""
C: b2 DELETE Junk
S: b2 OK DELETE completed
SESSION 1
C: a3 NOOP
S: a3 NO [NONEXISTENT] mailbox deleted
S: * BYE [NONEXISTENT] the selected mailbox is gone
CLOSED
"""
    )


def test_whatIsDoneIsDoneThoughTheSelectedMailboxIsGone(node: Node) -> None:
    """A client that is told NO sends its message again."""
    protocol, wire = node.login()
    protocol.dataReceived(b"a SELECT Junk\r\n")
    now(node.account.delete("Junk"))
    wire.clear()
    protocol.dataReceived(b"b APPEND INBOX {3+}\r\nx\r\n\r\n")
    node.turn()
    assert re.fullmatch(
        rb"b OK \[APPENDUID \d+ 4\] APPEND completed\r\n"
        rb"\* BYE \[NONEXISTENT\] the selected mailbox is gone\r\n",
        wire.value(),
    )
    assert wire.disconnecting


@pytest.mark.parametrize(
    "command",
    [
        "FETCH 1 FLAGS",
        "UID STORE 1 +FLAGS \\\\Deleted",
        "SEARCH ALL",
        "UID COPY 1 Junk",
        "MOVE 1 Junk",
        "EXPUNGE",
        "CLOSE",
    ],
)
def test_aNewUidValidityEndsTheSessionBeforeItDoesAnything(node: Node, command: str) -> None:
    node.run(
        SELECTED
        + "C: a2 STORE 2 +FLAGS.SILENT (\\\\Deleted)\nS: a2 OK STORE completed\n"
        + "DO renew\n"
        + f"C: a3 {command}\n"
        + "S: a3 NO [NONEXISTENT] mailbox deleted\nS: * BYE [NONEXISTENT] the selected mailbox is gone\nCLOSED\n",
        {"renew": lambda: renew(node)},
    )
    inbox = now(node.account.open("INBOX"))
    assert [inbox.flagNames(row) for row in now(inbox.rows())] == [(), ("\\Deleted",), ()]


def test_aNewUidValidityEndsIdleSessions(node: Node) -> None:
    node.run(
        SELECTED
        + r"""
C: a2 IDLE
S: + idling
DO renew
DO turn
S: a2 NO [NONEXISTENT] mailbox deleted
S: * BYE [NONEXISTENT] the selected mailbox is gone
CLOSED
""",
        {"renew": lambda: renew(node)},
    )


def renew(node: Node) -> None:
    """What a forced recovery does to a bucket's mailboxes."""
    inbox = now(node.account.open("INBOX"))
    floor = RenewUidValidities(seconds=1, floor=inbox.uidValidity + 1)
    now(node.world.buckets.propose(node.account.bucket, floor))


def test_deletingTheSelectedMailboxSelectsNone(node: Node) -> None:
    node.run(
        SELECTED
        + r"""
C: a2 SELECT Junk
S* a2 OK [READ-WRITE] selected
C: a3 DELETE Junk
S: a3 OK DELETE completed
C: a4 FETCH 1 UID
S: a4 BAD not in this state
C: a5 NOOP
S: a5 OK completed
"""
    )


def test_changesNoLongerKeptAreFoundByComparing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "CHANGES_KEPT", 100)

    def many() -> None:
        box = now(node.account.open("INBOX"))
        while now(box.changes(4)).resumable:
            now(box.storeFlags(UidSet.of([2]), REMOVE, ["\\Flagged"]))
            now(box.storeFlags(UidSet.of([2]), ADD, ["\\Flagged"]))
        now(box.expunge(UidSet.of([1]), onlyDeleted=False))
        box.close()

    node.run(
        SELECTED
        + r"""
DO many
C: a2 NOOP
S: * 1 EXPUNGE
S: * 1 FETCH (UID 2 FLAGS (\\Flagged))
S: a2 OK completed
C: a3 UID FETCH 1:* UID
S: * 1 FETCH (UID 2)
S: * 2 FETCH (UID 3)
S: a3 OK FETCH completed
""",
        {"many": many},
    )


def test_condstore(node: Node) -> None:
    node.run(
        SELECTED
        + r"""
C: a2 ENABLE CONDSTORE X-FOO
S: * OK [HIGHESTMODSEQ 4] highest
S: * ENABLED CONDSTORE
S: a2 OK ENABLE completed
C: a3 FETCH 1:* (UID) (CHANGEDSINCE 2)
S: * 2 FETCH (MODSEQ (3) UID 2)
S: * 3 FETCH (MODSEQ (4) UID 3)
S: a3 OK FETCH completed
C: a4 STORE 1 (UNCHANGEDSINCE 1) +FLAGS \\Seen
S: a4 OK [MODIFIED 1] STORE completed; some messages had changed
C: a5 UID STORE 1 (UNCHANGEDSINCE 2) +FLAGS.SILENT \\Seen
S: * 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ (5))
S: a5 OK STORE completed
C: a6 SEARCH MODSEQ 4
S: * SEARCH 1 3 (MODSEQ 5)
S: a6 OK SEARCH completed
C: a7 STATUS INBOX (HIGHESTMODSEQ MESSAGES)
S: * STATUS "INBOX" (HIGHESTMODSEQ 5 MESSAGES 3)
S: a7 OK STATUS completed
C: a8 FETCH 3 (MODSEQ)
S: * 3 FETCH (MODSEQ (4))
S: a8 OK FETCH completed
"""
    )


def test_enabledBeforeTheMailboxIsSelected(node: Node) -> None:
    said = node.dialogue(b"a ENABLE CONDSTORE\r\nb SELECT INBOX\r\nc STORE 1 FLAGS \\Seen\r\n")
    assert b"* 1 FETCH (FLAGS (\\Seen) MODSEQ (5))\r\n" in said


def test_oneAnswerForOnesOwnAndAnothersFlags(node: Node) -> None:
    node.run(
        SELECTED
        + SECOND
        + r"""
C: b2 STORE 1 +FLAGS.SILENT \\Flagged
S: b2 OK STORE completed
SESSION 1
C: a2 STORE 1 +FLAGS \\Seen
S: * 1 FETCH (FLAGS (\\Seen \\Flagged))
S: a2 OK STORE completed
"""
    )


@pytest.mark.parametrize("condstore", ["", " (CONDSTORE)"])
@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("STORE 2 +FLAGS \\Seen", rb"\* 2 FETCH \(FLAGS \(\\Seen\)(| MODSEQ \(\d+\))\)"),
        ("STORE 2 +FLAGS.SILENT \\Seen", rb"(|\* 2 FETCH \(UID 2 FLAGS \(\\Seen\)(| MODSEQ \(\d+\))\))"),
        ("FETCH 2 BODY[]", rb"\* 2 FETCH \(BODY\[\] \{.* FLAGS \(\\Seen\)(| MODSEQ \(\d+\))\)"),
    ],
)
def test_whatAnotherSessionHasStoredAlreadyIsKnownAfterOnesOwnStore(
    node: Node, condstore: str, command: str, answer: bytes
) -> None:
    """Also at a node that was not told of it yet: nothing was changed by the second of them."""
    protocol, wire = node.login()
    protocol.dataReceived(f"a SELECT INBOX{condstore}\r\n".encode())
    now(now(node.account.open("INBOX")).storeFlags(UidSet.of([2]), ADD, ("\\Seen",)))
    protocol.selection._isStale = False
    wire.clear()
    protocol.dataReceived(f"b {command}\r\n".encode())
    assert re.fullmatch(answer + rb"(\r\n)?b OK .* completed\r\n", wire.value(), re.DOTALL)
    wire.clear()
    protocol.dataReceived(b"c FETCH 2 FLAGS\r\n")
    assert wire.value() == b"* 2 FETCH (FLAGS (\\Seen))\r\nc OK FETCH completed\r\n"


@pytest.mark.parametrize("command", ["EXPUNGE", "CLOSE", "UID EXPUNGE 2"])
def test_whatAnotherSessionMarkedIsRemovedToo(node: Node, command: str) -> None:
    node.run(
        SELECTED
        + SECOND
        + rf"""
C: b2 STORE 2 +FLAGS.SILENT \\Deleted
S: b2 OK STORE completed
SESSION 1
C: a2 {command}
S* a2 OK {command.split()[-1] if "UID" not in command else "EXPUNGE"} completed
C: a3 STATUS INBOX (MESSAGES)
S: * STATUS "INBOX" (MESSAGES 2)
S: a3 OK STATUS completed
"""
    )


@pytest.mark.parametrize("command", [b"EXPUNGE", b"CLOSE", b"UID EXPUNGE 2"])
def test_whatAnotherSessionMarkedIsRemovedThoughThisNodeWasNotToldYet(node: Node, command: bytes) -> None:
    protocol, wire = node.login()
    protocol.dataReceived(b"a SELECT INBOX\r\n")
    inbox = now(node.account.open("INBOX"))
    now(inbox.storeFlags(UidSet.of([2]), ADD, ("\\Deleted",)))
    protocol.selection._isStale = False
    protocol.dataReceived(b"b " + command + b"\r\n")
    assert b"\r\nb OK" in wire.value()
    assert [row.uid for row in now(inbox.rows())] == [1, 3]


def test_aFailedSelectSelectsNone(node: Node) -> None:
    """RFC 3501 §6.3.1."""
    said = node.dialogue(b"a SELECT INBOX\r\nb SELECT Nowhere\r\nc FETCH 1 UID\r\n")
    assert said.endswith(b"b NO [NONEXISTENT] no such mailbox\r\nc BAD not in this state\r\n")


def test_aLargeMailboxIsSelectedInPartsAndOthersGoFirst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jindimail.mailbox.opened.ROWS_PER_PART", 10)
    node = Node()
    for number in range(35):
        node.append(b"Subject: %d\r\n\r\n" % number)
    protocol, wire = node.connect()
    protocol.dataReceived(b'a0 LOGIN anna@example.org "se\\"cret\\\\"\r\n')
    wire.clear()
    pauses = countPauses(protocol, lambda: node.append(b"meanwhile\r\n"))
    protocol.dataReceived(b"a SELECT INBOX\r\n")
    assert wire.value() == b""
    node.turn()
    assert len(pauses) == 3
    assert wire.value().endswith(b" selected\r\n")
    protocol.dataReceived(b"b UID SEARCH ALL\r\n")
    assert b" 36 37 38\r\n" in wire.value()


def test_whatHappensDuringSelectIsToldWithIt(node: Node) -> None:
    protocol, wire = node.login()
    openNow = protocol.account.open

    async def open(name: str, readOnly: bool = False) -> object:
        mailbox = await openNow(name, readOnly)
        partsNow, summaryNow = mailbox.parts, mailbox.summary

        async def parts() -> AsyncIterator[object]:
            async for found in partsNow():
                yield found
            now(node.account.open("INBOX"))
            node.append(b"after the rows\r\n")

        async def summary() -> object:
            found = await summaryNow()
            mailbox.summary = summaryNow
            node.append(b"after the summary\r\n")
            return found

        mailbox.parts, mailbox.summary = parts, summary
        return mailbox

    protocol.account.open = open
    protocol.dataReceived(b"a SELECT INBOX\r\n")
    said = wire.value()
    assert b"* 4 EXISTS\r\n" in said
    assert b"[UIDNEXT 5]" in said
    assert said.endswith(b"* 5 EXISTS\r\na OK [READ-WRITE] selected\r\n")


def test_whatIsRemovedDuringSelectKeepsItsNumberUntilLater(node: Node) -> None:
    """Programs take the EXISTS of a SELECT for the count (Python's imaplib, and what stands on it)."""
    protocol, wire = node.login()
    openNow = protocol.account.open

    async def open(name: str, readOnly: bool = False) -> object:
        mailbox = await openNow(name, readOnly)
        partsNow = mailbox.parts

        async def parts() -> AsyncIterator[object]:
            async for found in partsNow():
                yield found
            box = await node.account.open("INBOX")
            await box.expunge(UidSet.of([2]), onlyDeleted=False)

        mailbox.parts = parts
        return mailbox

    protocol.account.open = open
    protocol.dataReceived(b"a SELECT INBOX\r\n")
    assert b"* 3 EXISTS\r\n" in wire.value()
    assert b"EXPUNGE" not in wire.value()
    wire.clear()
    protocol.dataReceived(b"b FETCH 3 UID\r\nc NOOP\r\n")
    assert wire.value() == (b"* 3 FETCH (UID 3)\r\nb OK FETCH completed\r\n* 2 EXPUNGE\r\nc OK completed\r\n")


def test_moreChangesThanOneAnswerHoldsAreAllTold(node: Node) -> None:
    protocol, wire = node.login()
    protocol.dataReceived(b"a SELECT INBOX\r\n")
    box = now(node.account.open("INBOX"))
    for number in range(1_050):
        now(box.storeFlags(UidSet.of([1 + number // 1_040]), [REMOVE, ADD][number % 2], ["\\Flagged"]))
    wire.clear()
    protocol.dataReceived(b"b FETCH 3 UID\r\n")
    assert b"* 2 FETCH (UID 2 FLAGS (\\Flagged))\r\n" in wire.value()


def test_noopAsksTheWholeArray(node: Node) -> None:
    """Design §8: confirmed by read index."""
    protocol, _ = node.login()
    protocol.dataReceived(b"a SELECT INBOX\r\n")
    summary, asked = protocol.selection.mailbox.summary, []

    async def counted() -> object:
        asked.append(None)
        return await summary()

    protocol.selection.mailbox.summary = counted
    protocol.dataReceived(b"b FETCH 1 UID\r\n")
    assert not asked
    protocol.dataReceived(b"c NOOP\r\n")
    assert asked


def test_whatIsDoneIsDoneThoughNewsCannotBeHad(node: Node) -> None:
    protocol, wire = node.login()
    protocol.dataReceived(b"a SELECT INBOX\r\n")

    async def unavailable(modSeq: int) -> object:
        raise Unavailable

    changes = protocol.selection.mailbox.changes
    protocol.selection.mailbox.changes = unavailable
    node.append(b"x\r\n")
    wire.clear()
    protocol.dataReceived(b"b COPY 1 Trash\r\nc NOOP\r\n")
    assert b"b OK [COPYUID " in wire.value()
    assert wire.value().endswith(b"c NO [UNAVAILABLE] temporarily unavailable\r\n")
    protocol.selection.mailbox.changes = changes
    protocol.dataReceived(b"d NOOP\r\n")
    assert wire.value().endswith(b"* 4 EXISTS\r\nd OK completed\r\n")


def test_nothingIsToldOfAMessageBeforeItsExists(node: Node) -> None:
    """A command took news in, and could not tell: then the next one does."""
    protocol, wire = node.login()
    protocol.dataReceived(b"a SELECT INBOX\r\n")
    mailbox = protocol.selection.mailbox

    async def goneByNow(uids: UidSet, onlyDeleted: bool) -> object:
        raise Unavailable

    mailbox.expunge = goneByNow
    node.append(b"x\r\n", flags=("\\Deleted",))
    wire.clear()
    protocol.dataReceived(b"b EXPUNGE\r\n")
    assert wire.value() == b"b NO [UNAVAILABLE] temporarily unavailable\r\n"
    wire.clear()
    protocol.dataReceived(b"c UID FETCH 4 FLAGS\r\n")
    assert wire.value() == (b"* 4 EXISTS\r\n* 4 FETCH (UID 4 FLAGS (\\Deleted))\r\nc OK FETCH completed\r\n")


def test_noFlagsAreToldBeforeTheirKeywordsAreKnown(node: Node) -> None:
    protocol, wire = node.login()
    protocol.dataReceived(b"a SELECT INBOX\r\n")
    mailbox = protocol.selection.mailbox
    summary = mailbox.summary

    async def unavailable() -> object:
        raise Unavailable

    mailbox.summary = unavailable
    node.append(b"x\r\n", flags=("new",))
    protocol.dataReceived(b"b FETCH 1 UID\r\n")
    wire.clear()
    protocol.dataReceived(b"c UID FETCH 4 FLAGS\r\n")
    assert b"FETCH (" not in wire.value()
    mailbox.summary = summary
    protocol.dataReceived(b"d NOOP\r\ne FETCH 4 FLAGS\r\n")
    assert b"* 4 EXISTS\r\n" in wire.value()
    assert wire.value().endswith(b"* 4 FETCH (FLAGS (new))\r\ne OK FETCH completed\r\n")


def test_whatIsRemovedWhileItsFlagsAreStoredIsSaidToBeGone(node: Node) -> None:
    protocol, wire = node.login()
    protocol.dataReceived(b"a SELECT INBOX\r\n")
    mailbox, box = protocol.selection.mailbox, now(node.account.open("INBOX"))
    storeFlags = mailbox.storeFlags

    async def late(*arguments: object) -> object:
        await box.expunge(UidSet.of([2]), onlyDeleted=False)
        return await storeFlags(*arguments)

    mailbox.storeFlags = late
    wire.clear()
    protocol.dataReceived(b"b STORE 2 +FLAGS (\\Flagged)\r\n")
    assert wire.value() == b"b OK [EXPUNGEISSUED] STORE completed; some messages are gone\r\n"


def test_flagsAndTheirModSeqAreToldTogether(node: Node) -> None:
    protocol, wire = node.login()
    protocol.dataReceived(b"a SELECT INBOX (CONDSTORE)\r\n")
    mailbox = protocol.selection.mailbox
    changes = mailbox.changes

    async def unavailable(modSeq: int) -> object:
        raise Unavailable

    mailbox.changes = unavailable
    wire.clear()
    protocol.dataReceived(b"b STORE 1 FLAGS \\Seen\r\nc FETCH 1 (FLAGS MODSEQ)\r\n")
    assert b"* 1 FETCH (FLAGS () MODSEQ (2))\r\nc OK" in wire.value()
    mailbox.changes = changes
    protocol.dataReceived(b"d NOOP\r\n")
    assert b"* 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ (5))\r\nd OK" in wire.value()


def test_mailboxesNoLongerSelectedAreNotListenedTo(node: Node) -> None:
    protocol, _ = node.login()
    protocol.dataReceived(b"a SELECT INBOX\r\nb SELECT Trash\r\nc EXAMINE Junk\r\n")
    followings = node.world.buckets._followers._followings
    assert [topic[2] for topic in followings if topic[0] == "mailbox"] == [
        protocol.selection.mailbox.mailboxId
    ]


def test_aClientThatDoesNotReadIsNotToldTooMuch(node: Node) -> None:
    protocol, wire = node.login(windowOctets=100_000)
    protocol.dataReceived(b"a SELECT INBOX\r\n" + b"b COPY 1:* INBOX\r\n" * 12)
    wire.drain()
    assert len(protocol.selection.view) == 3 * 2**12
    box = now(node.account.open("INBOX"))
    now(box.expunge(UidSet(((1, 3 * 2**12),)), onlyDeleted=False))
    protocol.dataReceived(b"c NOOP\r\n")
    assert 100_000 < wire.bufferedOctets < 150_000
    while b"c OK" not in wire.value():
        wire.drain()
    assert wire.value().count(b" EXPUNGE\r\n") == 3 * 2**12


def test_aSessionThatSelectsForEverKeepsOneMailboxOnly(node: Node) -> None:
    protocol, _ = node.login()
    protocol.dataReceived(b"a SELECT INBOX\r\n" * 100)
    gc.collect()
    assert len(protocol.account._opened) == 1
