"""
Mailbox names on the wire: modified UTF-7, and the patterns of LIST (RFC 3501 §5.1, §6.3.8).

Inside they are str, INBOX in upper case. The codec is Twisted's; what it lets pass that RFC 3501 §5.1.3 forbids is refused here.
Imports of Twisted are confined to the codec: this module is pure otherwise.
"""

from __future__ import annotations

import re

from twisted.mail.imap4 import decoder, encoder

from jindimail.imap4.syntax import Malformed
from jindimail.model import HIERARCHY_DELIMITER, INBOX

NAME_OCTETS_MAX = 1024
_WILDCARDS_MAX = 32


def decodeName(octets: bytes) -> str:
    """
    The mailbox name that a client sent.

    @raise Malformed: it is not modified UTF-7 in its one proper form.
    """
    if len(octets) > NAME_OCTETS_MAX:
        raise Malformed
    if octets.upper() == b"INBOX":
        return INBOX
    try:
        name: str = decoder(octets)[0]
        if name.isascii() and b"&" not in octets:
            return _withInbox(name)
        if encoder(name)[0] != octets:
            raise Malformed
        name.encode("utf-8")
    except UnicodeError:
        raise Malformed from None
    return _withInbox(name)


def _withInbox(name: str) -> str:
    """INBOX in any case is the superior of its inferiors too."""
    if name[:6].upper() == INBOX + HIERARCHY_DELIMITER:
        return INBOX + name[5:]
    return name


def encodeName(name: str) -> bytes:
    """A mailbox name in modified UTF-7, not yet quoted."""
    encoded: bytes = encoder(name)[0]
    return encoded


class Pattern:
    """
    A LIST pattern: `*` matches anything, `%` anything but the delimiter. Matching takes bounded time.

    @ivar steps: what it takes to match a name, as a number to compare.
    """

    def __init__(self, reference: bytes, pattern: bytes) -> None:
        """@raise Malformed: too many wildcards."""
        whole = re.sub(rb"\*[*%]+|%+\*[*%]*", b"*", reference + pattern)
        whole = re.sub(rb"%+", b"%", whole)
        if len(whole) > NAME_OCTETS_MAX or whole.count(b"*") + whole.count(b"%") > _WILDCARDS_MAX:
            raise Malformed
        first, *others = re.split(r"([*%])", _patternText(whole))
        self._pieces = (first, *others)
        self._belowInbox = (first[:5].upper() + first[5:], *others)
        self.steps = len(self._pieces)

    def matches(self, name: str) -> bool:
        """Whether a name matches; INBOX in any case, also as the superior that a pattern begins with."""
        if _matches(self._pieces, name):
            return True
        if name == INBOX:
            return _matches(tuple(piece.upper() for piece in self._pieces), name)
        return name.startswith(INBOX + HIERARCHY_DELIMITER) and _matches(self._belowInbox, name)


def _matches(pieces: tuple[str, ...], name: str) -> bool:
    """The set of places that the first pieces can reach, piece by piece: time pieces × length."""
    places = {0}
    for piece in pieces:
        if piece == "*":
            places = set(range(min(places), len(name) + 1))
        elif piece == "%":
            places = _withoutDelimiter(name, places)
        elif piece:
            places = {place + len(piece) for place in places if name.startswith(piece, place)}
        if not places:
            return False
    return len(name) in places


def _withoutDelimiter(name: str, places: set[int]) -> set[int]:
    """From each of the places up to the next delimiter. Of all before the same one, the first reaches what the others do."""
    reached: set[int] = set()
    end = -1
    for place in sorted(places):
        if place > end:
            end = name.find(HIERARCHY_DELIMITER, place)
            end = end if end >= 0 else len(name)
            reached.update(range(place, end + 1))
    return reached


def _patternText(octets: bytes) -> str:
    try:
        text: str = decoder(octets)[0]
        text.encode("utf-8")
    except UnicodeError:
        raise Malformed from None
    return text
