"""What real clients say, in their own spelling, pipelining and order (taken from their logs, shortened)."""

from __future__ import annotations

import pytest

from tests.imap4.node import Node
from tests.support.script import Script

MESSAGE = b"From: Bob <bob@example.net>\r\nSubject: Lunch\r\nMessage-ID: <1@x>\r\n\r\nToday?\r\n"

THUNDERBIRD = r"""
S/ \* OK .*
C: 1 capability
S/ \* CAPABILITY IMAP4rev1 .*AUTH=PLAIN AUTH=LOGIN
S: 1 OK CAPABILITY completed
C: 2 authenticate PLAIN AGFubmFAZXhhbXBsZS5vcmcAc2UiY3JldFw=
S/ 2 OK .*
C: 3 capability
S/ \* CAPABILITY IMAP4rev1 .*
S: 3 OK CAPABILITY completed
C: 4 ID ("name" "Thunderbird" "version" "128.0")
S: * ID ("name" "jindimail")
S: 4 OK ID completed
C: 5 namespace
S: * NAMESPACE (("" "/")) NIL NIL
S: 5 OK NAMESPACE completed
C: 6 lsub "" "*"
S* 6 OK LSUB completed
C: 7 list "" "INBOX"
S: * LIST (\\HasNoChildren) "/" "INBOX"
S: 7 OK LIST completed
C: 8 select "INBOX" (CONDSTORE)
S* * OK [HIGHESTMODSEQ 2] highest
S: 8 OK [READ-WRITE] selected
C: 9 UID fetch 1:* (FLAGS)
S: * 1 FETCH (UID 1 FLAGS ())
S: 9 OK FETCH completed
C: 10 UID fetch 1 (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Subject Date Message-ID)])
S: * 1 FETCH (UID 1 RFC822.SIZE 74 FLAGS () BODY[HEADER.FIELDS (From To Subject Date Message-ID)] {66}
S: From: Bob <bob@example.net>
S: Subject: Lunch
S: Message-ID: <1@x>
S:
S: )
S: 10 OK FETCH completed
C: 11 IDLE
S: + idling
C: DONE
C: 12 UID fetch 1 (UID RFC822.SIZE BODY.PEEK[])
S: 11 OK IDLE completed
S: * 1 FETCH (UID 1 RFC822.SIZE 74 BODY[] {74}
S: From: Bob <bob@example.net>
S: Subject: Lunch
S: Message-ID: <1@x>
S:
S: Today?
S: )
S: 12 OK FETCH completed
C: 13 uid store 1 +Flags (\\Seen)
S: * 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ (3))
S: 13 OK STORE completed
C: 14 uid store 1 +FLAGS ($label1)
S: * FLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft $label1)
S: * 1 FETCH (UID 1 FLAGS (\\Seen $label1) MODSEQ (4))
S: 14 OK STORE completed
C: 15 UID SEARCH UNDELETED UNSEEN
S: * SEARCH
S: 15 OK SEARCH completed
C: 16 uid copy 1 "Archive"
S/ 16 OK \[COPYUID \d+ 1 1\] COPY completed
C: 17 append "Sent" (\\Seen) {12}
S: + OK
C: Subject: x
C:
S/ 17 OK \[APPENDUID \d+ 1\] APPEND completed
C: 18 uid move 1 "Trash"
S/ \* OK \[COPYUID \d+ 1 1\] moved
S: * 1 EXPUNGE
S: 18 OK MOVE completed
C: 19 STATUS "Trash" (UIDNEXT MESSAGES UNSEEN RECENT)
S: * STATUS "Trash" (UIDNEXT 2 MESSAGES 1 UNSEEN 0 RECENT 0)
S: 19 OK STATUS completed
C: 20 close
S: 20 OK CLOSE completed
C: 21 logout
S: * BYE see you
S: 21 OK LOGOUT completed
CLOSED
"""

MBSYNC = r"""
S/ \* OK .*
C: 1 AUTHENTICATE PLAIN AGFubmFAZXhhbXBsZS5vcmcAc2UiY3JldFw=
S/ 1 OK .*
C: 2 NAMESPACE
S: * NAMESPACE (("" "/")) NIL NIL
S: 2 OK NAMESPACE completed
C: 3 LIST "" "*"
S* 3 OK LIST completed
C: 4 SELECT "INBOX"
S* 4 OK [READ-WRITE] selected
C: 5 UID FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (X-TUID MESSAGE-ID)])
S: * 1 FETCH (UID 1 FLAGS () BODY[HEADER.FIELDS (X-TUID MESSAGE-ID)] {21}
S: Message-ID: <1@x>
S:
S: )
S: 5 OK FETCH completed
C: 6 UID FETCH 1 (BODY.PEEK[])
C: 7 APPEND "INBOX" (\\Flagged) {5+}
C: abc
C:
C: 8 UID STORE 1 +FLAGS.SILENT (\\Deleted)
S: * 1 FETCH (UID 1 BODY[] {74}
S* 6 OK FETCH completed
S: * 2 EXISTS
S/ 7 OK \[APPENDUID \d+ 2\] APPEND completed
S: 8 OK STORE completed
C: 9 UID EXPUNGE 1
S: * 1 EXPUNGE
S: 9 OK EXPUNGE completed
C: 10 CLOSE
S: 10 OK CLOSE completed
C: 11 LOGOUT
S: * BYE see you
S: 11 OK LOGOUT completed
"""

FETCHMAIL = r"""
S/ \* OK .*
C: A0001 CAPABILITY
S* A0001 OK CAPABILITY completed
C: A0002 LOGIN "anna@example.org" "se\\"cret\\\\"
S/ A0002 OK .*
C: A0003 SELECT "INBOX"
S* A0003 OK [READ-WRITE] selected
C: A0004 EXPUNGE
S: A0004 OK EXPUNGE completed
C: A0005 SEARCH UNSEEN
S: * SEARCH 1
S: A0005 OK SEARCH completed
C: A0006 FETCH 1 RFC822.SIZE
S: * 1 FETCH (RFC822.SIZE 74)
S: A0006 OK FETCH completed
C: A0007 FETCH 1 RFC822.HEADER
S: * 1 FETCH (RFC822.HEADER {66}
S* A0007 OK FETCH completed
C: A0008 FETCH 1 BODY.PEEK[TEXT]
S: * 1 FETCH (BODY[TEXT] {8}
S: Today?
S: )
S: A0008 OK FETCH completed
C: A0009 STORE 1 +FLAGS (\\Seen \\Deleted)
S: * 1 FETCH (FLAGS (\\Seen \\Deleted))
S: A0009 OK STORE completed
C: A0010 EXPUNGE
S: * 1 EXPUNGE
S: A0010 OK EXPUNGE completed
C: A0011 LOGOUT
S: * BYE see you
S: A0011 OK LOGOUT completed
"""

BLANKS = r"""
S/ \* OK .*
C: 1 LOGIN "anna@example.org" "se\\"cret\\\\"
S/ 1 OK .*
C: 2 ID ( "name" "aioimaplib" )
S: * ID ("name" "jindimail")
S: 2 OK ID completed
C: 3 APPEND "INBOX" ( $Forwarded) "01-Jan-2020 00:00:00 +0000" {6+}
C: a: b
C:
S/ 3 OK \[APPENDUID \d+ 2\] APPEND completed
C: 4 STATUS INBOX ( MESSAGES UNSEEN )
S: * STATUS "INBOX" (MESSAGES 2 UNSEEN 2)
S: 4 OK STATUS completed
C: 5 SELECT "INBOX"\x20
S* 5 OK [READ-WRITE] selected
C: 6 SEARCH  ( UNSEEN )\x20
S: * SEARCH 1 2
S: 6 OK SEARCH completed
C: 7 FETCH 2 ( FLAGS  UID )\x20
S: * 2 FETCH (FLAGS ($Forwarded) UID 2)
S: 7 OK FETCH completed
C: 8 STORE 1 FLAGS ( \\Seen )\x20
S: * 1 FETCH (FLAGS (\\Seen))
S: 8 OK STORE completed
C: 9 FETCH 1 BODY.PEEK[HEADER.FIELDS ( Subject )]
S: * 1 FETCH (BODY[HEADER.FIELDS (Subject)] {18}
S: Subject: Lunch
S:
S: )
S: 9 OK FETCH completed
"""


@pytest.mark.parametrize(
    "dialogue", [THUNDERBIRD, MBSYNC, FETCHMAIL, BLANKS], ids=["thunderbird", "mbsync", "fetchmail", "blanks"]
)
def test_clientsAreAnsweredAsTheyExpect(dialogue: str) -> None:
    node = Node()
    node.append(MESSAGE)
    Script(node.connect).run(dialogue)
