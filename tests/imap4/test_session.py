"""Scripts of whole sessions."""

from __future__ import annotations

import pytest

from jindimail.model import KEYWORDS_MAX
from tests.imap4.node import LOGIN, SELECTED, Node

SIMPLE = b"From: a@b.example\r\nTo: anna@example.org\r\nSubject: Hello\r\nDate: Mon, 7 Feb 1994 21:52:25 -0800\r\n\r\nHello, Anna\r\n"


@pytest.fixture
def node() -> Node:
    """An account with two messages."""
    node = Node()
    node.append(SIMPLE)
    node.append(b"Subject: two\r\n\r\nsecond\r\n", flags=("\\Seen", "$Label"))
    return node


def test_selectTellsAllThatAClientNeeds(node: Node) -> None:
    node.run(
        LOGIN
        + r"""
C: a1 SELECT inbox
S: * FLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft $Label)
S: * OK [PERMANENTFLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft $Label \\*)] flags that are kept
S: * 2 EXISTS
S: * 0 RECENT
S: * OK [UNSEEN 1] first unseen
S/ \* OK \[UIDVALIDITY \d+\] UIDs are valid
S: * OK [UIDNEXT 3] next UID
S: * OK [HIGHESTMODSEQ 3] highest
S: a1 OK [READ-WRITE] selected
C: a2 EXAMINE INBOX
S: * FLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft $Label)
S: * OK [PERMANENTFLAGS ()] flags that are kept
S* a2 OK [READ-ONLY] examined
"""
    )


def test_fetchAnswersWhatIsAsked(node: Node) -> None:
    node.run(
        SELECTED
        + rf"""
C: a2 FETCH 1:2 (UID FLAGS RFC822.SIZE INTERNALDATE)
S: * 1 FETCH (UID 1 FLAGS () RFC822.SIZE {len(SIMPLE)} INTERNALDATE " 9-Sep-2001 01:46:40 +0000")
S: * 2 FETCH (UID 2 FLAGS (\\Seen $Label) RFC822.SIZE 24 INTERNALDATE " 9-Sep-2001 01:46:40 +0000")
S: a2 OK FETCH completed
C: a3 UID FETCH 1:* FLAGS
S: * 1 FETCH (UID 1 FLAGS ())
S: * 2 FETCH (UID 2 FLAGS (\\Seen $Label))
S: a3 OK FETCH completed
C: a4 FETCH 2 BODY.PEEK[]
S: * 2 FETCH (BODY[] {{24}}
S: Subject: two
S:
S: second
S: )
S: a4 OK FETCH completed
C: a5 FETCH 1 ENVELOPE
S: * 1 FETCH (ENVELOPE ("Mon, 7 Feb 1994 21:52:25 -0800" "Hello" ((NIL NIL "a" "b.example")) ((NIL NIL "a" "b.example")) ((NIL NIL "a" "b.example")) ((NIL NIL "anna" "example.org")) NIL NIL NIL NIL))
S: a5 OK FETCH completed
C: a6 FETCH 1 (BODY BODYSTRUCTURE)
S: * 1 FETCH (BODY ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 13 1) BODYSTRUCTURE ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 13 1 NIL NIL NIL NIL))
S: a6 OK FETCH completed
C: a7 FETCH 1 BODY[HEADER.FIELDS (subject X-None)]
S: * 1 FETCH (BODY[HEADER.FIELDS (subject X-None)] {{18}}
S: Subject: Hello
S:
S:  FLAGS (\\Seen))
S: a7 OK FETCH completed
C: a8 FETCH 1 (FLAGS BODY.PEEK[TEXT]<7.100>)
S: * 1 FETCH (FLAGS (\\Seen) BODY[TEXT]<7> {{6}}
S: Anna
S: )
S: a8 OK FETCH completed
"""
    )


def test_storeAppendCopyMoveExpunge(node: Node) -> None:
    node.run(
        SELECTED
        + r"""
C: a2 STORE 1 +FLAGS (\\Flagged custom)
S: * FLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft $Label custom)
S: * 1 FETCH (FLAGS (\\Flagged custom))
S: a2 OK STORE completed
C: a3 UID STORE 2 FLAGS.SILENT \\Deleted
S: a3 OK STORE completed
C: a4 APPEND INBOX (\\Draft) " 9-Sep-2001 01:46:40 +0000" {11}
S: + OK
C: A: 1
C:
C> Abc
C:
S: * 3 EXISTS
S/ a4 OK \[APPENDUID \d+ 3\] APPEND completed
C: a5 COPY 1,3 Archive
S/ a5 OK \[COPYUID \d+ 1,3 1:2\] COPY completed
C: a6 COPY 1 Nowhere
S: a6 NO [TRYCREATE] no such mailbox
C: a7 SEARCH ALL
S: * SEARCH 1 2 3
S: a7 OK SEARCH completed
C: a8 SEARCH SUBJECT nothing
DO turn
S: * SEARCH
S: a8 OK SEARCH completed
C: a9 MOVE 1 Trash
S/ \* OK \[COPYUID \d+ 1 1\] moved
S: * 1 EXPUNGE
S: a9 OK MOVE completed
C: b1 EXPUNGE
S: * 1 EXPUNGE
S: b1 OK EXPUNGE completed
C: b2 FETCH 1 (UID FLAGS)
S: * 1 FETCH (UID 3 FLAGS (\\Draft))
S: b2 OK FETCH completed
C: b3 LOGOUT
S: * BYE see you
S: b3 OK LOGOUT completed
CLOSED
"""
    )


def test_aMailboxWithoutRoomForKeywordsSaysSo(node: Node) -> None:
    node.append(SIMPLE, flags=tuple(f"k{number}" for number in range(KEYWORDS_MAX - 1)))
    node.run(
        LOGIN
        + r"""
C: a1 SELECT INBOX
S/ \* FLAGS .*
S/ \* OK \[PERMANENTFLAGS \([^*]* k54\)\] flags that are kept
S* a1 OK [READ-WRITE] selected
C: a2 STORE 1 +FLAGS (another)
S: a2 NO [LIMIT] limit reached
"""
    )


def test_aUserWithTooManySessionsIsToldToComeLater() -> None:
    node = Node()
    node.world.sessions.bound(100, 100, 1)
    login = b'a LOGIN anna@example.org "se\\"cret\\\\"\r\n'
    (first, firstWire), (second, secondWire) = node.connect(), node.connect()
    first.dataReceived(login)
    assert b"\r\na OK " in firstWire.value()
    second.dataReceived(login)
    assert secondWire.value().endswith(b"a NO [LIMIT] too many sessions of this user, try later\r\n")
    first.connectionLost()
    second.dataReceived(login)
    assert b"\r\na OK " in secondWire.value()
