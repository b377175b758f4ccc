"""
The search program read off a command: `CHARSET`, keys, NOT, OR and parentheses (RFC 3501 §6.4.4, §9).

Nesting is bounded; a chain of ORs, as clients write "any of these", is read by a loop and may be long.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jindimail.errors import Refusal
from jindimail.imap4 import criteria
from jindimail.imap4.criteria import Criterion
from jindimail.imap4.syntax import Cursor, Malformed
from jindimail.message.search import fold
from jindimail.model import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN

DEPTH_MAX = 50
KEYS_MAX = 2_000
NEEDLE_OCTETS_MAX = 4_096
_DAYS_END = 1 << 32

_CHARSETS = {b"UTF-8": "utf-8", b"US-ASCII": "ascii", b"ASCII": "ascii"}


class BadCharset(Refusal):
    """The character set is not one that SEARCH takes."""

    imapCode = "BADCHARSET (US-ASCII UTF-8)"
    imapText = "character set not supported"


@dataclass(frozen=True, slots=True)
class Program:
    """What to search for, and whether MODSEQ was asked (then the answer tells the highest, RFC 7162 §3.1.5)."""

    criterion: Criterion
    asksModSeq: bool


_FIXED: dict[bytes, Criterion] = {
    b"ALL": criteria.Always(True),
    b"OLD": criteria.Always(True),
    b"NEW": criteria.Always(False),
    b"RECENT": criteria.Always(False),
    b"ANSWERED": criteria.HasFlags(ANSWERED, True),
    b"UNANSWERED": criteria.HasFlags(ANSWERED, False),
    b"DELETED": criteria.HasFlags(DELETED, True),
    b"UNDELETED": criteria.HasFlags(DELETED, False),
    b"DRAFT": criteria.HasFlags(DRAFT, True),
    b"UNDRAFT": criteria.HasFlags(DRAFT, False),
    b"FLAGGED": criteria.HasFlags(FLAGGED, True),
    b"UNFLAGGED": criteria.HasFlags(FLAGGED, False),
    b"SEEN": criteria.HasFlags(SEEN, True),
    b"UNSEEN": criteria.HasFlags(SEEN, False),
}


def parseProgram(cursor: Cursor) -> Program:
    """The rest of a SEARCH command."""
    codec = "utf-8"
    if cursor.text[cursor.at : cursor.at + 8].upper() == b"CHARSET ":
        cursor.at += 8
        name = _CHARSETS.get(cursor.astring().upper())
        if name is None:
            raise BadCharset
        codec = name
        cursor.space()
    parser = _Parser(cursor, codec)
    criterion = parser.conjunction(0)
    cursor.end()
    return Program(criterion, parser.asksModSeq)


class _Parser:
    """One program being read."""

    def __init__(self, cursor: Cursor, codec: str) -> None:
        self._cursor = cursor
        self._codec = codec
        self._keys = 0
        self.asksModSeq = False

    def conjunction(self, depth: int) -> Criterion:
        """Keys up to `)` or the end: all of them."""
        cursor = self._cursor
        found = [self.key(depth)]
        while not cursor.isAtEnd and not cursor.isAtClosing:
            cursor.space()
            found.append(self.key(depth))
        return criteria.allOf(found)

    def key(self, depth: int) -> Criterion:
        """One search key."""
        cursor = self._cursor
        self._keys += 1
        if depth > DEPTH_MAX or self._keys > KEYS_MAX:
            raise Malformed
        if cursor.skipOpening():
            inner = self.conjunction(depth + 1)
            if not cursor.skipClosing():
                raise Malformed
            return inner
        if cursor.isSequenceSet():
            return criteria.InNumbers(cursor.sequenceSet())
        word = cursor.word()
        fixed = _FIXED.get(word)
        if fixed is not None:
            return fixed
        if word == b"NOT":
            return self._negation(depth)
        if word == b"OR":
            return self._alternatives(depth)
        read = _ARGUMENTS.get(word)
        if read is None:
            raise Malformed
        cursor.space()
        return read(self, word)

    def _negation(self, depth: int) -> Criterion:
        """NOT NOT NOT … is read by a loop."""
        isNegated, cursor = True, self._cursor
        cursor.space()
        while cursor.text[cursor.at : cursor.at + 4].upper() == b"NOT ":
            cursor.at += 4
            isNegated = not isNegated
        inner = self.key(depth + 1)
        return criteria.negate(inner) if isNegated else inner

    def _alternatives(self, depth: int) -> Criterion:
        """OR a OR b OR c d."""
        cursor, found = self._cursor, []
        while True:
            cursor.space()
            found.append(self.key(depth + 1))
            cursor.space()
            if cursor.text[cursor.at : cursor.at + 3].upper() != b"OR ":
                break
            cursor.at += 2
        found.append(self.key(depth + 1))
        return criteria.anyOf(found)

    # --- keys with arguments

    def _text(self) -> str:
        octets = self._cursor.astring()
        if len(octets) > NEEDLE_OCTETS_MAX:
            raise Malformed
        try:
            return fold(octets.decode(self._codec))
        except UnicodeDecodeError:
            raise Malformed from None

    def field(self, word: bytes) -> Criterion:
        """SUBJECT, FROM, TO, CC, BCC."""
        return criteria.InField(word.lower(), self._text())

    def header(self, word: bytes) -> Criterion:
        """HEADER field-name string."""
        name = self._cursor.astring().lower()
        self._cursor.space()
        return criteria.InField(name, self._text())

    def body(self, word: bytes) -> Criterion:
        """BODY."""
        return criteria.InBody(self._text())

    def text(self, word: bytes) -> Criterion:
        """TEXT."""
        return criteria.InText(self._text())

    def keyword(self, word: bytes) -> Criterion:
        """KEYWORD and UNKEYWORD."""
        return criteria.HasKeyword(self._cursor.atom().decode("ascii"), word == b"KEYWORD")

    def size(self, word: bytes) -> Criterion:
        """LARGER and SMALLER."""
        return criteria.Sized(self._cursor.number(), word == b"LARGER")

    def date(self, word: bytes) -> Criterion:
        """BEFORE, ON, SINCE and their SENT forms."""
        day = self._cursor.date()
        kind = criteria.Sent if word.startswith(b"SENT") else criteria.Arrived
        if word.endswith(b"BEFORE"):
            return kind(-_DAYS_END, day)
        return kind(day, day + 1 if word.endswith(b"ON") else _DAYS_END)

    def uid(self, word: bytes) -> Criterion:
        """UID sequence-set."""
        return criteria.InUids(self._cursor.sequenceSet())

    def modSeq(self, word: bytes) -> Criterion:
        """MODSEQ, whose metadata item is read and makes no difference: one MODSEQ stands for all flags."""
        cursor = self._cursor
        if cursor.has(b'"'):
            cursor.string()
            cursor.space()
            if cursor.word() not in (b"PRIV", b"SHARED", b"ALL"):
                raise Malformed
            cursor.space()
        self.asksModSeq = True
        return criteria.ModSeqFrom(cursor.number())


_ARGUMENTS: dict[bytes, Callable[[_Parser, bytes], Criterion]] = {
    b"SUBJECT": _Parser.field,
    b"FROM": _Parser.field,
    b"TO": _Parser.field,
    b"CC": _Parser.field,
    b"BCC": _Parser.field,
    b"HEADER": _Parser.header,
    b"BODY": _Parser.body,
    b"TEXT": _Parser.text,
    b"KEYWORD": _Parser.keyword,
    b"UNKEYWORD": _Parser.keyword,
    b"LARGER": _Parser.size,
    b"SMALLER": _Parser.size,
    b"BEFORE": _Parser.date,
    b"ON": _Parser.date,
    b"SINCE": _Parser.date,
    b"SENTBEFORE": _Parser.date,
    b"SENTON": _Parser.date,
    b"SENTSINCE": _Parser.date,
    b"UID": _Parser.uid,
    b"MODSEQ": _Parser.modSeq,
}
