"""
The server's side of SASL PLAIN (RFC 4616) and LOGIN, one implementation for SMTP, POP3 and IMAP.

Pure: `begin(mechanism)` gives an exchange; `step(response)` takes one base64 line of the client (or None, when the
command carried no initial response) and answers the next `Challenge`, or the `Credentials` when it is done. Whether they are
right is the portal's to say.
"""

from __future__ import annotations

import unicodedata
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass, field
from typing import Final, Protocol

from jindimail.errors import AuthenticationFailed, ProtocolError, Refusal

MECHANISMS: Final = ("PLAIN", "LOGIN")
"""The mechanisms offered, best first."""

fieldOctetsMax: Final = 1024
"""Octets of a user name or password (RFC 4616 §2 asks for at least 255)."""

lineOctetsMax: Final = 12_288
"""Octets of a base64 line (RFC 4954 §4)."""


class BadResponse(ProtocolError):
    """The client's response is not base64, not UTF-8, or not of the mechanism's form."""

    smtpCode = 501
    smtpText = "cannot decode response"
    imapText = "cannot decode response"
    pop3Text = "cannot decode response"


class Cancelled(ProtocolError):
    """The client gave the exchange up with `*` (RFC 4954 §4, RFC 9051 §6.2.2, RFC 5034 §4)."""

    smtpCode = 501
    smtpEnhanced = "5.7.0"
    smtpText = "authentication cancelled"
    imapText = "authentication cancelled"
    pop3Text = "authentication cancelled"


class UnknownMechanism(Refusal):
    """The mechanism is not offered."""

    smtpCode = 504
    smtpEnhanced = "5.5.4"
    smtpText = "unrecognized authentication type"
    imapText = "unsupported authentication mechanism"
    pop3Code = ""
    pop3Text = "unrecognized authentication type"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What the client is to answer next; `line` is base64 as it goes on the wire (perhaps empty)."""

    line: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What the client claims: the user name as NFC in UTF-8, the password as sent."""

    username: bytes
    password: bytes = field(repr=False)


class Exchange(Protocol):
    """One authentication under way."""

    def step(self, response: bytes | None) -> Challenge | Credentials:
        """
        Take the next base64 line of the client, without its line end; `=` is the empty initial response.

        @raise ProtocolError: it cannot be read, or the client cancelled; the exchange is over.
        @raise AuthenticationFailed: it asks to act for another user.
        """
        ...


def begin(mechanism: str) -> Exchange:
    """
    A new exchange of the mechanism, named in any case.

    @raise UnknownMechanism: it is not one of `MECHANISMS`.
    """
    exchange = _EXCHANGES.get(mechanism.upper())
    if exchange is None:
        raise UnknownMechanism
    return exchange()


class _Plain:
    """PLAIN: `[authzid] NUL authcid NUL passwd` in one response (RFC 4616 §2)."""

    def step(self, response: bytes | None) -> Challenge | Credentials:
        if response is None:
            return Challenge(b"")
        fields = _decoded(response).split(b"\0")
        if len(fields) != 3:
            raise BadResponse
        actingFor, username, password = fields
        normalised = _username(username)
        if actingFor and _username(actingFor) != normalised:
            raise AuthenticationFailed
        return Credentials(username=normalised, password=_password(password))


class _Login:
    """LOGIN (draft-murchison-sasl-login): the name and the password, each on its own."""

    def __init__(self) -> None:
        self._username: bytes | None = None

    def step(self, response: bytes | None) -> Challenge | Credentials:
        if response is None:
            return Challenge(b64encode(b"Username:"))
        octets = _decoded(response)
        if b"\0" in octets:
            raise BadResponse
        if self._username is None:
            self._username = _username(octets)
            return Challenge(b64encode(b"Password:"))
        return Credentials(username=self._username, password=_password(octets))


_EXCHANGES: Final[dict[str, type[_Plain] | type[_Login]]] = {"PLAIN": _Plain, "LOGIN": _Login}


def _decoded(response: bytes) -> bytes:
    """The octets of a base64 line."""
    if response == b"*":
        raise Cancelled
    if response == b"=":
        return b""
    if len(response) > lineOctetsMax:
        raise BadResponse
    try:
        return b64decode(response, validate=True)
    except (Base64Error, ValueError):
        raise BadResponse from None


def _username(octets: bytes) -> bytes:
    """A user name in NFC (the part of SASLprep, RFC 4013 §2.2, that real keyboards need)."""
    return unicodedata.normalize("NFC", _text(octets)).encode("utf-8")


def _password(octets: bytes) -> bytes:
    """A password, octet for octet."""
    _text(octets)
    return octets


def _text(octets: bytes) -> str:
    """A field that must be there, be UTF-8, and be of a decent length."""
    if not octets or len(octets) > fieldOctetsMax:
        raise BadResponse
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise BadResponse from None
