"""
The grammar of SMTP commands (RFC 5321 §4.1), with internationalised addresses (RFC 6531). Pure.

Text comes in decoded from UTF-8. Everything here raises `ProtocolError`s that carry their wire answer, and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import msgspec

from jindimail.errors import ProtocolError

addressOctetsMax: Final = 254
"""Octets of an address (RFC 5321 §4.5.3.1.3: a path has at most 256, its brackets included)."""

nameOctetsMax: Final = 255
"""Octets of the name in EHLO (RFC 5321 §4.5.3.1.2)."""


class BadSyntax(ProtocolError):
    """The verb is known, but its arguments are not of its form."""

    smtpCode = 501
    smtpEnhanced = "5.5.4"
    smtpText = "syntax error in arguments"


class BadSender(BadSyntax):
    """The reverse-path cannot be read."""

    smtpEnhanced = "5.1.7"
    smtpText = "bad sender address syntax"


class BadRecipient(BadSyntax):
    """The forward-path cannot be read."""

    smtpEnhanced = "5.1.3"
    smtpText = "bad recipient address syntax"


class UnknownParameter(BadSyntax):
    """A parameter of MAIL or RCPT that belongs to no extension offered (RFC 5321 §4.1.1.11)."""

    smtpCode = 555
    smtpText = "parameter not recognised"


class NeedsUtf8(BadSyntax):
    """An address beyond ASCII in a transaction without SMTPUTF8 (RFC 6531 §3.5)."""

    smtpCode = 553
    smtpEnhanced = "5.6.7"
    smtpText = "address is not ASCII and SMTPUTF8 was not requested"


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of MAIL."""

    sender: str
    """The reverse-path's address; empty for the null path."""

    sizeOctets: int = 0
    """What SIZE declares (RFC 1870); 0 if it does not."""

    isUtf8: bool = False
    """Whether SMTPUTF8 was requested (RFC 6531)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The arguments of BDAT (RFC 3030 §2)."""

    octets: int
    isLast: bool


_BEYOND = "\u00a1-\U0010ffff"  # RFC 6531 §3.3, without C1 controls and the no-break space
_ATEXT = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{_BEYOND}-]"
_DOTTED = rf"{_ATEXT}++(?:\.{_ATEXT}++)*"
_QUOTED = rf'"(?:[ !#-\[\]-~{_BEYOND}]|\\[ -~])+"'
_LABEL = rf"[A-Za-z0-9_{_BEYOND}](?:[A-Za-z0-9_{_BEYOND}-]{{0,61}}[A-Za-z0-9_{_BEYOND}])?"
_NAME = rf"{_LABEL}(?:\.{_LABEL})*"
_LITERAL = r"\[[!-Z^-~]{1,100}\]"
_MAILBOX = rf"({_DOTTED}|{_QUOTED})@({_NAME}|{_LITERAL})"
_ROUTE = rf"(?:@{_NAME}(?:,@{_NAME})*:)?"
_PATH = rf"(?:<{_ROUTE}{_MAILBOX}>|{_MAILBOX}(?![^ ]))"
_REST = r"(?: +(.*))?\Z"

_MAIL = re.compile(rf"[Ff][Rr][Oo][Mm]: *(?:<>|{_PATH}){_REST}", re.DOTALL)
_RCPT = re.compile(rf"[Tt][Oo]: *(?:<([Pp][Oo][Ss][Tt][Mm][Aa][Ss][Tt][Ee][Rr])>|{_PATH}){_REST}", re.DOTALL)
_PARAMETER = re.compile(rf"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~{_BEYOND}]+))?\Z")
_DOTTED_ALONE = re.compile(rf"{_DOTTED}\Z")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+\Z")
_SIZE = re.compile(r"[0-9]{1,20}\Z")
_CHUNK = re.compile(r"([0-9]{1,20})( +[Ll][Aa][Ss][Tt])?\Z")
_GENERAL_LITERAL = re.compile(r"[A-Za-z0-9-]*[A-Za-z0-9]:[!-Z^-~]+\Z")


def parseName(text: str) -> str:
    """
    The client's name in HELO, EHLO or LHLO, as it says it is.

    Names that are not quite domains are taken, for many honest clients send them (RFC 5321 §4.1.4).
    """
    if not text or " " in text or len(text.encode("utf-8")) > nameOctetsMax:
        raise BadSyntax
    return text


def parseMail(text: str) -> Mail:
    """What follows `MAIL ` (RFC 5321 §4.1.1.2)."""
    found = _MAIL.match(text)
    if found is None:
        raise BadSender
    local, domain, bareLocal, bareDomain, rest = found.groups()
    if bareLocal is not None:
        local, domain = bareLocal, bareDomain
    sender = "" if local is None else _address(local, domain, BadSender)
    if rest is None:
        mail = Mail(sender=sender)
    else:
        mail = _mailParameters(sender, rest)
    if not mail.isUtf8 and not sender.isascii():
        raise NeedsUtf8
    return mail


def parseRcpt(text: str, isUtf8: bool) -> str:
    """The address of what follows `RCPT `; `postmaster` may stand alone (RFC 5321 §4.1.1.3)."""
    found = _RCPT.match(text)
    if found is None:
        raise BadRecipient
    postmaster, local, domain, bareLocal, bareDomain, rest = found.groups()
    if rest is not None and rest.strip():
        _parameters(rest)
        raise UnknownParameter
    if postmaster is not None:
        return "postmaster"
    if bareLocal is not None:
        local, domain = bareLocal, bareDomain
    address = _address(local, domain, BadRecipient)
    if not isUtf8 and not address.isascii():
        raise NeedsUtf8
    return address


def parseChunk(text: str) -> Chunk:
    """What follows `BDAT `."""
    found = _CHUNK.match(text)
    if found is None:
        raise BadSyntax
    return Chunk(octets=int(found.group(1)), isLast=found.group(2) is not None)


def parseAuth(text: str) -> tuple[str, bytes | None]:
    """The mechanism and the initial response of what follows `AUTH ` (RFC 4954 §4)."""
    words = text.split()
    if not 1 <= len(words) <= 2:
        raise BadSyntax
    return words[0], words[1].encode("utf-8") if len(words) == 2 else None


def _mailParameters(sender: str, rest: str) -> Mail:
    """SIZE, BODY, SMTPUTF8 and AUTH; each at most once."""
    size, isUtf8 = 0, False
    for keyword, value in _parameters(rest).items():
        if keyword == "SIZE":
            size = int(_valid(_SIZE, value))
        elif keyword == "BODY":
            if value is None or value.upper() not in ("7BIT", "8BITMIME"):
                raise BadSyntax
        elif keyword == "SMTPUTF8":
            if value is not None:
                raise BadSyntax
            isUtf8 = True
        elif keyword == "AUTH":
            if value != "<>":
                _valid(_XTEXT, value)
        else:
            raise UnknownParameter
    return Mail(sender=sender, sizeOctets=size, isUtf8=isUtf8)


def _valid(pattern: re.Pattern[str], value: str | None) -> str:
    """A parameter's value, if it is there and of its form."""
    if value is None or pattern.match(value) is None:
        raise BadSyntax
    return value


def _parameters(rest: str) -> dict[str, str | None]:
    """Parameters by upper-case keyword, in order."""
    parameters: dict[str, str | None] = {}
    for word in rest.split():
        found = _PARAMETER.match(word)
        if found is None:
            raise BadSyntax
        keyword = found.group(1).upper()
        if keyword in parameters:
            raise BadSyntax
        parameters[keyword] = found.group(2)
    return parameters


def _address(local: str, domain: str, error: type[BadSyntax]) -> str:
    """A mailbox in its plainest form: quotes that are not needed are dropped (RFC 5321 §4.1.2)."""
    if local[0] == '"':
        local = _unquoted(local)
    if domain[0] == "[" and not _isLiteral(domain[1:-1]):
        raise error
    address = f"{local}@{domain}"
    octets = len(address) if address.isascii() else len(address.encode("utf-8"))
    if octets > addressOctetsMax:
        raise error
    return address


def _unquoted(local: str) -> str:
    """A quoted local part as a dotted one, or with as few backslashes as can be."""
    plain = _ESCAPED.sub(r"\1", local[1:-1])
    if _DOTTED_ALONE.match(plain):
        return plain
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _isLiteral(text: str) -> bool:
    """Whether it is an address literal's inside (RFC 5321 §4.1.3)."""
    try:
        if text[:5].upper() == "IPV6:":
            return bool(IPv6Address(text[5:]).packed)
        if ":" in text:
            return _GENERAL_LITERAL.match(text) is not None
        return bool(IPv4Address(text).packed)
    except ValueError:
        return False
