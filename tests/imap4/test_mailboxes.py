"""Mailboxes by name: LIST, LSUB, CREATE, RENAME, DELETE, STATUS, NAMESPACE."""

from __future__ import annotations

from tests.imap4.node import LOGIN, SELECTED, Node


def test_listTellsNamesAttributesAndChildren() -> None:
    Node().run(
        LOGIN
        + r"""
C: a1 LIST "" ""
S: * LIST (\\Noselect) "/" ""
S: a1 OK LIST completed
C: a2 CREATE "Work/2024"
S: a2 OK CREATE completed
C: a3 CREATE Entw&APw-rfe
S: a3 OK CREATE completed
C: a4 LIST "" "*"
S: * LIST (\\HasNoChildren) "/" "INBOX"
S: * LIST (\\HasNoChildren \\Archive) "/" "Archive"
S: * LIST (\\HasNoChildren \\Drafts) "/" "Drafts"
S: * LIST (\\HasNoChildren) "/" "Entw&APw-rfe"
S: * LIST (\\HasNoChildren \\Junk) "/" "Junk"
S: * LIST (\\HasNoChildren \\Sent) "/" "Sent"
S: * LIST (\\HasNoChildren \\Trash) "/" "Trash"
S: * LIST (\\HasChildren) "/" "Work"
S: * LIST (\\HasNoChildren) "/" "Work/2024"
S: a4 OK LIST completed
C: a5 LIST "Work/" %
S: * LIST (\\HasNoChildren) "/" "Work/2024"
S: a5 OK LIST completed
C: a6 LIST (SPECIAL-USE) "" T*
S: * LIST (\\HasNoChildren \\Trash) "/" "Trash"
S: a6 OK LIST completed
C: a7 LIST "" {4+}
C> Work
C:
S: * LIST (\\HasChildren) "/" "Work"
S: a7 OK LIST completed
C: a8 LIST "" inbox RETURN (CHILDREN SPECIAL-USE SUBSCRIBED)
S/ \* LIST \(\\HasNoChildren.*\) "/" "INBOX"
S: a8 OK LIST completed
C: a9 LIST (RECURSIVEMATCH) "" *
S: a9 BAD syntax error
"""
    )


def test_subscriptions() -> None:
    Node().run(
        LOGIN
        + r"""
C: a1 CREATE Work/2024
S: a1 OK CREATE completed
C: a2 SUBSCRIBE Work/2024
S: a2 OK completed
C: a3 LSUB "" Work/*
S: * LSUB () "/" "Work/2024"
S: a3 OK LSUB completed
C: a4 LSUB "" Wo%
S: * LSUB (\\Noselect) "/" "Work"
S: a4 OK LSUB completed
C: a5 LIST (SUBSCRIBED) "" Work*
S: * LIST (\\HasNoChildren \\Subscribed) "/" "Work/2024"
S: a5 OK LIST completed
C: a6 DELETE Work/2024
S: a6 OK DELETE completed
C: a7 LSUB "" Work/*
S: * LSUB (\\Noselect) "/" "Work/2024"
S: a7 OK LSUB completed
C: a8 UNSUBSCRIBE Work/2024
S: a8 OK completed
C: a9 LSUB "" Work*
S: a9 OK LSUB completed
"""
    )


def test_createDeleteRenameAndTheirRefusals() -> None:
    Node().run(
        LOGIN
        + r"""
C: a1 CREATE inbox
S: a1 NO [ALREADYEXISTS] mailbox exists already
C: a2 CREATE "bad//name"
S: a2 NO [CANNOT] not possible
C: a3 CREATE X (USE (\\Flagged))
S: a3 NO [USEATTR] special use not supported
C: a4 CREATE Old (USE (\\Archive))
S/ a4 (OK CREATE completed|NO .*)
C: a4 CREATE Plain (USE ())
S: a4 OK CREATE completed
C: a4 CREATE Odd (SIZE 5)
S: a4 BAD syntax error
C: a5 CREATE a/b
S: a5 OK CREATE completed
C: a6 DELETE a
S: a6 NO [HASCHILDREN] there are mailboxes below it, delete those first
C: a7 DELETE INBOX
S: a7 NO [CANNOT] not possible
C: a8 DELETE Nowhere
S: a8 NO [NONEXISTENT] no such mailbox
C: a9 RENAME a x
S: a9 OK RENAME completed
C: b1 STATUS x/b (UIDNEXT)
S: * STATUS "x/b" (UIDNEXT 1)
S: b1 OK STATUS completed
C: b2 RENAME Nowhere y
S: b2 NO [NONEXISTENT] no such mailbox
C: b3 CREATE \xc3\xa9
S: b3 BAD syntax error
C: b4 SELECT &AGE-
S: b4 NO [CANNOT] not a mailbox name in modified UTF-7
"""
    )


def test_wildcardsMayStandInNames() -> None:
    """Folders called `50% off` come along from other servers."""
    Node().run(
        LOGIN
        + r"""
C: a1 CREATE "50% off*"
S: a1 OK CREATE completed
C: a2 LIST "" "50% off*"
S: * LIST (\\HasNoChildren) "/" "50% off*"
S: a2 OK LIST completed
C: a3 SUBSCRIBE "50% off*"
S: a3 OK completed
C: a4 RENAME "50% off*" "%/*"
S: a4 OK RENAME completed
C: a5 LIST "" "%/%"
S: * LIST (\\HasNoChildren) "/" "%/*"
S: a5 OK LIST completed
C: a6 DELETE "%/*"
S: a6 OK DELETE completed
"""
    )


def test_statusAndNamespace() -> None:
    node = Node()
    node.append(b"x\r\n")
    node.append(b"x\r\n", flags=("\\Seen",))
    node.run(
        LOGIN
        + r"""
C: a1 STATUS inBOX (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)
S/ \* STATUS "INBOX" \(MESSAGES 2 RECENT 0 UIDNEXT 3 UIDVALIDITY \d+ UNSEEN 1\)
S: a1 OK STATUS completed
C: a2 STATUS INBOX (MESSAGES FOO)
S: a2 BAD syntax error
C: a3 STATUS Nowhere (MESSAGES)
S: a3 NO [NONEXISTENT] no such mailbox
C: a4 NAMESPACE
S: * NAMESPACE (("" "/")) NIL NIL
S: a4 OK NAMESPACE completed
C: a5 STATUS INBOX (APPENDLIMIT)
S: * STATUS "INBOX" (APPENDLIMIT 67108864)
S: a5 OK STATUS completed
"""
    )


def test_renamingTheInboxMovesItsMessages() -> None:
    node = Node()
    node.append(b"x\r\n")
    node.run(
        SELECTED
        + r"""
C: a2 RENAME INBOX Old
S: * 1 EXPUNGE
S: a2 OK RENAME completed
C: a3 STATUS Old (MESSAGES)
S: * STATUS "Old" (MESSAGES 1)
S: a3 OK STATUS completed
"""
    )


def test_closeRemovesInSilenceAndUnselectRemovesNothing() -> None:
    node = Node()
    for flags in ((), ("\\Deleted",), ("\\Deleted",)):
        node.append(b"x\r\n", flags=flags)
    node.run(
        SELECTED
        + r"""
C: a2 UNSELECT
S: a2 OK UNSELECT completed
C: a3 EXAMINE INBOX
S* a3 OK [READ-ONLY] examined
C: a4 STORE 1 +FLAGS \\Seen
S: a4 NO mailbox is read-only
C: a5 EXPUNGE
S: a5 NO mailbox is read-only
C: a6 MOVE 1 Trash
S: a6 NO mailbox is read-only
C: a7 FETCH 1 BODY[]
S: * 1 FETCH (BODY[] {3}
S: x
S: )
S: a7 OK FETCH completed
C: a8 CLOSE
S: a8 OK CLOSE completed
C: a9 SELECT INBOX
S* a9 OK [READ-WRITE] selected
C: b1 CLOSE
S: b1 OK CLOSE completed
C: b2 STATUS INBOX (MESSAGES UNSEEN)
S: * STATUS "INBOX" (MESSAGES 1 UNSEEN 1)
S: b2 OK STATUS completed
"""
    )
