"""The `Received` field that this server puts before every message (RFC 5321 §4.4). Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

import msgspec

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._:\[\]-]")
_UNSAFE_UTF8: Final = re.compile(r"[^A-Za-z0-9._:\[\]\u00a1-\U0010ffff-]")


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """How a message came to this server, apart from what differs by message."""

    client: str
    """What the client calls itself; empty if it did not say."""

    peer: str
    """The client's address; empty for a local socket."""

    hostName: str
    protocol: str
    """SMTP, ESMTP or LMTP; what else is in the word follows from the rest."""

    tls: str = ""
    """Version and cipher, if the connection is encrypted."""

    isAuthenticated: bool = False


def date(seconds: float) -> str:
    """A moment as a header date (RFC 5322 §3.3), in UTC."""
    at = datetime.fromtimestamp(int(seconds), UTC)
    day = f"{_DAYS[at.weekday()]}, {at.day} {_MONTHS[at.month - 1]} {at.year}"
    return f"{day} {at.hour:02}:{at.minute:02}:{at.second:02} +0000"


def protocolWord(passage: Passage, isUtf8: bool) -> str:
    """The registered word for `with` (RFC 3848, RFC 6531 §4.3): ESMTPSA, UTF8LMTP…"""
    if passage.protocol == "SMTP":
        return "SMTP"
    word = passage.protocol
    if isUtf8:
        word = f"UTF8{word.removeprefix('E')}"
    return word + ("S" if passage.tls else "") + ("A" if passage.isAuthenticated else "")


def received(passage: Passage, deliveryId: bytes, isUtf8: bool, seconds: float) -> bytes:
    """The field with its line ends; whatever the client called itself, it stays a field of three lines."""
    literal = f"IPv6:{passage.peer}" if ":" in passage.peer else passage.peer
    source = f"([{literal}])" if literal else "(local socket)"
    client = (_UNSAFE_UTF8 if isUtf8 else _UNSAFE).sub("?", passage.client) or "unknown"
    tls = f" ({passage.tls})" if passage.tls else ""
    return (
        f"Received: from {client} {source}\r\n"
        f"\tby {passage.hostName} with {protocolWord(passage, isUtf8)}{tls}\r\n"
        f"\tid {deliveryId.hex()}; {date(seconds)}\r\n"
    ).encode()
