"""
Answers as they stand on the wire (RFC 3501 §7): errors, flags, strings, mailbox names.

Pure.
"""

from __future__ import annotations

import re

from jindimail.errors import JindimailError
from jindimail.imap4.names import encodeName
from jindimail.model import KEYWORDS_SHIFT, SYSTEM_FLAGS

_SPECIAL = re.compile(rb'["\\]')
_SYSTEM = tuple((bit, name.encode("ascii")) for name, bit in SYSTEM_FLAGS.items())


def status(error: JindimailError) -> tuple[bytes, bytes]:
    """`NO` or `BAD`, and the text with its response code; never the exception's own."""
    code = b"[%b] " % error.imapCode.encode("ascii") if error.imapCode else b""
    return error.imapStatus.encode("ascii"), code + error.imapText.encode("ascii")


def quoted(octets: bytes) -> bytes:
    """A quoted string; the octets hold neither line ends nor NUL."""
    return b'"' + _SPECIAL.sub(rb"\\\g<0>", octets) + b'"'


def mailbox(name: str) -> bytes:
    """A mailbox name."""
    return quoted(encodeName(name))


def flagList(keywords: tuple[str, ...], flags: int) -> bytes:
    """A message's flags in parentheses; bits of keywords that are not known here are left out."""
    names = [name for bit, name in _SYSTEM if flags & bit]
    bits = flags >> KEYWORDS_SHIFT
    if bits:
        names.extend(keyword.encode("ascii") for at, keyword in enumerate(keywords) if bits >> at & 1)
    return b"(" + b" ".join(names) + b")"


def allFlags(keywords: tuple[str, ...], *more: bytes) -> bytes:
    """The flags that there are in a mailbox, in parentheses."""
    names = [name for _, name in _SYSTEM]
    return b"(" + b" ".join([*names, *(keyword.encode("ascii") for keyword in keywords), *more]) + b")"
