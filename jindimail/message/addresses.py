"""Address lists as senders write them (RFC 5322 §3.4 with the obsolete §4.4, RFC 6532), read tolerantly.

Nearly all addresses are `Name <local@domain>` or `local@domain`: one expression reads those. At the
first that is neither, the rest of the list goes to a slower reader that knows comments, groups, routes,
quoting and garbage. Both are linear in the length of the value.
"""

import re
from typing import NamedTuple

from jindimail.message import bounds


class Address(NamedTuple):
    """An address as IMAP's ENVELOPE presents it (RFC 9051 §7.5.2); unquoted octets, encoded words left alone.

    The start of a group has only a mailbox (the group's name) and no host; its end has neither.
    An address without a domain has an empty host, so that it is not taken for a group.
    """

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None


groupEnd = Address(None, None, None, None)

_PLAIN = re.compile(
    rb"[ \t]*+(?:"
    rb'(?:"([^"\\\r\n]*+)"|([^"\\<>()@,;:\[\]\r\n]*+))[ \t]*+<([^\s<>@,;:"()\\\[\]]++)@([^\s<>@,;:"()\\\[\]]++)>'
    rb'|([^\s<>@,;:"()\\\[\]]++)@([^\s<>@,;:"()\\\[\]]++)'
    rb")[ \t]*+(?:,|\Z)"
)
_TOKEN = re.compile(
    rb'[ \t\r\n]++|"((?:[^"\\]++|\\.)*)"?|(\[[^\]]*+\]?)|([^\s"()<>\[\],;:@.\\]++)|([^\s])', re.DOTALL
)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_COMMENT_MARK = re.compile(rb"\\.|[()]", re.DOTALL)


def parseAddresses(value: bytes) -> list[Address]:
    """All addresses of an unfolded field value, groups included, bounded by `bounds.addressesMax` and `valueOctetsMax`."""
    found: list[Address] = []
    value = value[: bounds.valueOctetsMax]
    at, end = 0, len(value)
    while at < end and len(found) < bounds.addressesMax:
        match = _PLAIN.match(value, at)
        if match is None:
            found += _ListReader(value, at).read(bounds.addressesMax - len(found))
            break
        quoted, phrase, mailbox, host, bareMailbox, bareHost = match.groups()
        if mailbox is None:
            found.append(Address(None, None, bareMailbox, bareHost))
        else:
            name = phrase.strip() if quoted is None else quoted
            found.append(Address(name or None, None, mailbox, host))
        at = match.end()
    return found


class _ListReader:
    """The tolerant reader: collects the words of one address until a comma, semicolon or the end closes it."""

    __slots__ = (
        "angle",
        "at",
        "comments",
        "found",
        "inAngle",
        "inGroup",
        "inRoute",
        "spaced",
        "value",
        "words",
    )

    def __init__(self, value: bytes, at: int) -> None:
        self.value = value
        self.at = at
        self.found: list[Address] = []
        self.inGroup = False
        self._begin()

    def _begin(self) -> None:
        self.words: list[tuple[bytes, bool]] = []  # a token, and whether white space stood before it
        self.angle: list[bytes] | None = None
        self.inAngle = False
        self.inRoute = False  # in angle brackets that begin with an @, before a colon
        self.comments: list[bytes] = []
        self.spaced = False

    def read(self, count: int) -> list[Address]:
        """At most *count* addresses, and the end of the group that the last one is in."""
        value, end = self.value, len(self.value)
        while self.at < end and len(self.found) < count:
            match = _TOKEN.match(value, self.at)
            if match is None:  # cannot be: every octet begins a token
                break
            self.at = match.end()
            quoted, literal, atom, special = match.groups()
            if special is not None:
                self._special(special)
            elif quoted is not None:
                self._word(_unescape(quoted))
            elif literal is not None or atom is not None:
                self._word(literal or atom)
            else:
                self.spaced = True
        self._flush()
        if self.inGroup:
            self.found.append(groupEnd)
        return self.found

    def _word(self, octets: bytes) -> None:
        if self.inAngle and self.angle is not None:
            self.inRoute = octets != b":" and (self.inRoute or (octets == b"@" and not self.angle))
            self.angle.append(octets)
        else:
            self.words.append((octets, self.spaced))
        self.spaced = False

    def _special(self, octet: bytes) -> None:
        if octet == b"(":
            self._comment()
        elif octet == b"<":
            self.angle, self.inAngle, self.inRoute = [], True, False
        elif octet == b">":
            self.inAngle = self.inRoute = False
        elif octet == b"," and not self.inRoute:
            self._flush()
        elif octet == b";":
            self._endGroup()
        elif octet == b":" and not self.inAngle and not self.inGroup:
            self._startGroup()
        elif octet != b")":
            self._word(octet)

    def _hasDomain(self) -> bool:
        return any(word == b"@" for word, _ in self.words)

    def _comment(self) -> None:
        """Skip a comment, nested ones included, and keep its text: in the oldest form it is the name."""
        depth, start = 1, self.at
        for mark in _COMMENT_MARK.finditer(self.value, start):
            if mark[0] == b"(":
                depth = min(depth + 1, bounds.commentDepthMax)
            elif mark[0] == b")":
                depth -= 1
                if depth == 0:
                    self.comments.append(_unescape(self.value[start : mark.start()]).strip())
                    self.at = mark.end()
                    self.spaced = True
                    return
        self.at = len(self.value)

    def _startGroup(self) -> None:
        self.found.append(Address(None, None, _phrase(self.words), None))
        self._begin()
        self.inGroup = True

    def _endGroup(self) -> None:
        self._flush()
        if self.inGroup:
            self.found.append(groupEnd)
        self.inGroup = False

    def _flush(self) -> None:
        if self.angle is not None:
            self._flushAngle(self.angle)
        elif self.words:
            self._flushBare()
        self._begin()

    def _flushAngle(self, tokens: list[bytes]) -> None:
        route = None
        if tokens[:1] == [b"@"] and b":" in tokens:
            colon = tokens.index(b":")
            route, tokens = b"".join(tokens[:colon]), tokens[colon + 1 :]
        mailbox, host = _split(tokens)
        name = _phrase(self.words) or b" ".join(self.comments)
        if name or mailbox or host:
            self.found.append(Address(name or None, route, mailbox, host))

    def _flushBare(self) -> None:
        if self._hasDomain():
            mailbox, host = _split([word for word, _ in self.words])
        else:
            mailbox, host = _phrase(self.words), b""
        self.found.append(Address(b" ".join(self.comments) or None, None, mailbox, host))


def _split(tokens: list[bytes]) -> tuple[bytes, bytes]:
    """Local part and domain, parted at the last `@`."""
    for index in range(len(tokens) - 1, -1, -1):
        if tokens[index] == b"@":
            return b"".join(tokens[:index]), b"".join(tokens[index + 1 :])
    return b"".join(tokens), b""


def _phrase(words: list[tuple[bytes, bool]]) -> bytes:
    return b"".join(b" " + word if spaced else word for word, spaced in words).strip()


def _unescape(octets: bytes) -> bytes:
    return _ESCAPED.sub(rb"\1", octets) if b"\\" in octets else octets
