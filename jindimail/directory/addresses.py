"""Addresses as the directory keeps them: local part in NFC and lower case, domain as lower-case A-labels (RFC 5890). Pure."""

from __future__ import annotations

import re
import unicodedata

import idna

from jindimail.errors import BadAddress

LOCAL_OCTETS_MAX = 64  # RFC 5321 §4.5.3.1.1
DOMAIN_OCTETS_MAX = 255
TAG_DELIMITER = "+"
_PLAIN = re.compile(r"[a-z0-9.!#$%&'*/=?^_`{|}~+-]{1,64}@[a-z0-9.-]{1,255}")
_ATEXT = "[A-Za-z0-9!#$%&'*/=?^_`{|}~+\u00a1-\U0010ffff-]+"  # RFC 6531 §3.3
_DOTTED = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~\u00a1-\U0010ffff]|\\[ -~])+)"')
_ESCAPED = re.compile(r"\\(.)")


def canonicalDomain(domain: str) -> str:
    """
    A domain as it is kept.

    @raise BadAddress: it is not a domain name.
    """
    name = unicodedata.normalize("NFC", domain).lower().rstrip(".")
    try:
        if not name.isascii() or "xn--" in name:
            name = idna.encode(name, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise BadAddress from None
    labels = name.split(".")
    if len(name) > DOMAIN_OCTETS_MAX or not all(
        re.fullmatch(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", part) for part in labels
    ):
        raise BadAddress
    return name


def canonicalAddress(address: str) -> str:
    """
    An address as it is kept and looked up.

    @raise BadAddress: no local part or no domain, too long, or not of the form that mail could come to.
    """
    lowered = address.lower()
    if _PLAIN.fullmatch(lowered) and "xn--" not in lowered and ".." not in lowered:
        local, _, domain = lowered.rpartition("@")
        if local[0] != "." and local[-1] != "." and domain[0] not in ".-" and domain[-1] not in ".-":
            return lowered
    local, _, domain = address.rpartition("@")
    if not local.isprintable():
        raise BadAddress
    local = _plainest(_caseless(local))
    if len(local.encode()) > LOCAL_OCTETS_MAX:
        raise BadAddress
    return f"{local}@{canonicalDomain(domain)}"


def _caseless(local: str) -> str:
    """NFC in lower case; what lower case makes is not always NFC."""
    lowered = unicodedata.normalize("NFC", local).lower()
    return unicodedata.normalize("NFC", lowered)


def _plainest(local: str) -> str:
    """A local part without quotes and backslashes that it can do without (RFC 5321 §4.1.2), as SMTP gives it."""
    if _DOTTED.fullmatch(local):
        return local
    quoted = _QUOTED.fullmatch(local)
    if quoted is None:
        raise BadAddress
    bare = _ESCAPED.sub(r"\1", quoted[1])
    if _DOTTED.fullmatch(bare):
        return bare
    return '"' + bare.replace("\\", "\\\\").replace('"', '\\"') + '"'


def untagged(address: str) -> str:
    """A canonical address without its `+tag`; the same if it has none."""
    local, _, domain = address.rpartition("@")
    base = local.partition(TAG_DELIMITER)[0]
    return f"{base}@{domain}" if base else address


def domainOf(address: str) -> str:
    """The domain of a canonical address."""
    return address.rpartition("@")[2]
