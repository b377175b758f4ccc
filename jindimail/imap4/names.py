"""
Mailbox names on the wire: modified UTF-7, and the patterns of LIST (RFC 3501 §5.1, §6.3.8).

Inside they are str, INBOX in upper case. The codec is Twisted's; what it lets pass that RFC 3501 §5.1.3 forbids is refused here.
Imports of Twisted are confined to the codec: this module is pure otherwise.
"""

from __future__ import annotations

import re
import unicodedata

from twisted.mail.imap4 import decoder, encoder

from jindimail.errors import Refusal
from jindimail.model import HIERARCHY_DELIMITER, INBOX

NAME_OCTETS_MAX = 1024


class NoName(Refusal):
    """No mailbox can have this name: it is too long, or `R&D` where modified UTF-7 says `R&-D`."""

    imapText = "not a mailbox name in modified UTF-7"


def decodeName(octets: bytes) -> str:
    """
    The mailbox name that a client sent.

    @raise NoName: it is not modified UTF-7 in its one proper form.
    """
    if len(octets) > NAME_OCTETS_MAX:
        raise NoName
    if octets.upper() == b"INBOX":
        return INBOX
    try:
        name: str = decoder(octets)[0]
        if name.isascii() and b"&" not in octets:
            return _withInbox(name)
        if encoder(name)[0] != octets:
            raise NoName
        name.encode("utf-8")
    except UnicodeError:
        raise NoName from None
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
    """A LIST pattern: `*` matches anything, `%` anything but the delimiter. Matching takes time that is linear in the name, whatever the pattern."""

    def __init__(self, reference: bytes, pattern: bytes) -> None:
        """@raise NoName: too long, or not modified UTF-7."""
        text = _patternText(reference + pattern)
        self._names = _Matcher(text)
        self._inbox = _Matcher(text.upper())
        first = re.split("[*%]", text)[0][: len(INBOX)]
        self._belowInbox = _Matcher(first.upper() + text[len(first) :])

    def matches(self, name: str) -> bool:
        """Whether a name matches; INBOX in any case, also as the superior that a pattern begins with."""
        if self._names.matches(name):
            return True
        if name == INBOX:
            return self._inbox.matches(name)
        return name.startswith(INBOX + HIERARCHY_DELIMITER) and self._belowInbox.matches(name)


class _Matcher:
    """
    The places in a pattern that a name's characters so far can have reached, as bits of a number: all of them go on at once with each
    character (Baeza-Yates and Gonnet's shift-and). No two wildcards stand side by side.
    """

    def __init__(self, text: str) -> None:
        self._literals: dict[str, int] = {}
        self._any = wildcards = 0
        for at, character in enumerate(text):
            if character in "*%":
                wildcards |= 1 << at
                self._any |= (character == "*") << at
            else:
                self._literals[character] = self._literals.get(character, 0) | 1 << at
        self._wildcards = wildcards
        self._end = 1 << len(text)
        self._rest = self._any & self._end >> 1  # a last `*`, which takes whatever comes

    def matches(self, name: str) -> bool:
        """Whether all of a name brings to the end of the pattern."""
        literals, wildcards = self._literals.get, self._wildcards
        places = 1 | (1 & wildcards) << 1
        for character in name:
            if not places or places & self._rest:
                break
            staying = self._any if character == HIERARCHY_DELIMITER else wildcards
            places = (places & literals(character, 0)) << 1 | places & staying
            places |= (places & wildcards) << 1
        return bool(places & (self._end | self._rest))


def _patternText(octets: bytes) -> str:
    """A pattern as text, in the form of stored names (NFC), with one wildcard where several stand side by side."""
    if len(octets) > NAME_OCTETS_MAX:
        raise NoName
    try:
        text: str = decoder(octets)[0]
        text.encode("utf-8")
    except UnicodeError:
        raise NoName from None
    text = unicodedata.normalize("NFC", text)
    return re.sub("[*%]+", lambda run: "*" if "*" in run[0] else "%", text)
