"""
The kinds of values that a configuration file holds: how each is read from text, and written.

Pure. `read(text, base)` raises ValueError with what is wrong; `base` is the directory that relative paths start at.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LOOPBACK = {"tcp": "127.0.0.1", "tcp6": "::1"}
UNIX_PATH_OCTETS_MAX = 107  # sun_path, less its NUL


@dataclass(frozen=True, slots=True)
class Kind:
    """How a value is written: `read(text, baseDirectory)` raises ValueError with what is wrong."""

    words: str
    read: Callable[[str, str], Any]
    write: Callable[[Any], str] = str


_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HOST = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_BRACKETED = re.compile(r"\[[0-9A-Fa-f:.]{2,45}\]")
_OCTETS = re.compile(r"(\d{1,18})\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_SECONDS = re.compile(r"(\d{1,9})\s*([smhd]?)")
_OCTET_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SECOND_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _readText(text: str, base: str) -> str:
    return text


def _readName(text: str, base: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("must be lower-case letters, digits and hyphens, at most 63")
    return text


def _readHost(text: str, base: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError(f"{text!r} is not a host name")
    return text


def readAddress(text: str, base: str = "") -> str:
    """A place on the network, `host:port`; an IPv6 address stands in brackets."""
    host, _, port = text.rpartition(":")
    isPort = port.isascii() and port.isdecimal() and len(port) <= 5 and 0 < int(port) <= 65535
    if not isPort or not (_HOST.fullmatch(host) or _BRACKETED.fullmatch(host)):
        raise ValueError(f"{text!r} is not host:port")
    return text


def _readPath(text: str, base: str) -> str:
    return os.path.normpath(os.path.join(base, os.path.expanduser(text))) if text else ""


def readOctets(text: str, base: str = "") -> int:
    """A number of octets, `50M` say (K, M, G, T are powers of 1024)."""
    match = _OCTETS.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not a number of octets (such as 1048576, 512K, 50M)")
    return int(match[1]) * _OCTET_UNITS[match[2].upper()]


def writeOctets(octets: int) -> str:
    """The shortest exact way of writing a number of octets."""
    for unit in "TGMK":
        if octets and octets % _OCTET_UNITS[unit] == 0:
            return f"{octets // _OCTET_UNITS[unit]}{unit}"
    return str(octets)


def _readSeconds(text: str, base: str) -> int:
    match = _SECONDS.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not a time (such as 30s, 10m, 1h)")
    return int(match[1]) * _SECOND_UNITS[match[2]]


def _writeSeconds(seconds: int) -> str:
    for unit in "dhm":
        if seconds and seconds % _SECOND_UNITS[unit] == 0:
            return f"{seconds // _SECOND_UNITS[unit]}{unit}"
    return f"{seconds}s"


def _bounded(kind: Kind, low: int, high: int) -> Kind:
    def readBounded(text: str, base: str) -> int:
        value: int = kind.read(text, base)
        if not low <= value <= high:
            raise ValueError(f"must be between {kind.write(low)} and {kind.write(high)}")
        return value

    return Kind(f"{kind.words}, {kind.write(low)} to {kind.write(high)}", readBounded, kind.write)


def choice(*words: str) -> Kind:
    """One of these words."""

    def readChoice(text: str, base: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text

    return Kind(" or ".join(words), readChoice)


def _readNumber(text: str, base: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 12:
        raise ValueError(f"{text!r} is not a number")
    return int(text)


def number(low: int, high: int) -> Kind:
    """A number within inclusive bounds."""
    return _bounded(Kind("number", _readNumber), low, high)


def octets(low: int, high: int) -> Kind:
    """A number of octets within inclusive bounds."""
    return _bounded(Kind("octets", readOctets, writeOctets), low, high)


def seconds(low: int, high: int) -> Kind:
    """A time in seconds within inclusive bounds."""
    return _bounded(Kind("time", _readSeconds, _writeSeconds), low, high)


# --- endpoints ---------------------------------------------------------------------------------------------


def endpointParts(endpoint: str) -> list[str]:
    """The colon-separated parts of an endpoint string, unescaped (Twisted's syntax)."""
    parts = re.split(r"(?<!\\)((?:\\\\)*):", endpoint)
    joined = [parts[at] + (parts[at + 1] if at + 1 < len(parts) else "") for at in range(0, len(parts), 2)]
    return [re.sub(r"\\(.)", r"\1", part) for part in joined]


def quoted(text: str) -> str:
    """A text as an argument of an endpoint string."""
    return re.sub(r"([\\:])", r"\\\1", text)


def unixPath(endpoint: str) -> str | None:
    """The path of a `unix:` endpoint string; None of others."""
    parts = endpointParts(endpoint)
    return parts[1].removeprefix("address=") if parts[0] == "unix" and len(parts) > 1 else None


def _readEndpoint(endpoint: str, base: str) -> str:
    parts = endpointParts(endpoint)
    what = parts[0]
    if what not in ("tcp", "tcp6", "unix", "systemd") or len(parts) < 2:
        raise ValueError(f"{endpoint!r} is not tcp:PORT, tcp6:PORT, unix:PATH or systemd:…")
    if what in ("tcp", "tcp6"):
        port = parts[1].removeprefix("port=")
        if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 65535):
            raise ValueError(f"{endpoint!r}: {port!r} is not a port")
    path = unixPath(endpoint)
    if path is None:
        return endpoint
    path = _readPath(path, base)
    if len(os.fsencode(path)) > UNIX_PATH_OCTETS_MAX:
        raise ValueError(f"{path!r} is longer than the {UNIX_PATH_OCTETS_MAX} octets of a UNIX socket's path")
    rest = re.match(r"unix:(?:\\.|[^\\:])*", endpoint)
    return f"unix:{quoted(path)}{endpoint[rest.end() :] if rest else ''}"


def _readEndpoints(text: str, base: str) -> tuple[str, ...]:
    return tuple(_readEndpoint(endpoint, base) for endpoint in text.split())


def _readNear(text: str, base: str) -> tuple[str, ...]:
    """Endpoints that are on loopback unless they name an interface."""
    return tuple(_near(endpoint) for endpoint in _readEndpoints(text, base))


def _near(endpoint: str) -> str:
    what, *rest = endpointParts(endpoint)
    if what not in LOOPBACK or any(part.startswith("interface=") for part in rest) or len(rest) > 2:
        return endpoint
    return f"{endpoint}:interface={quoted(LOOPBACK[what])}"


def readControl(text: str, base: str) -> tuple[str, ...]:
    """Endpoints that are all UNIX sockets, for their owner only unless they name a mode."""
    endpoints = _readEndpoints(text, base)
    for endpoint in endpoints:
        if unixPath(endpoint) is None:
            raise ValueError(f"{endpoint!r}: the control socket is always unix:PATH")
    return tuple(_ownersOnly(endpoint) for endpoint in endpoints)


def _ownersOnly(endpoint: str) -> str:
    isTold = any(part.startswith("mode=") for part in endpointParts(endpoint))
    return endpoint if isTold else f"{endpoint}:mode=600"


TEXT = Kind("text", _readText)
NAME = Kind("name", _readName)
HOST = Kind("host name", _readHost)
ADDRESS = Kind("host:port", readAddress)
PATH = Kind("path, relative to this file", _readPath)
NEAR_ENDPOINTS = Kind("endpoints, on loopback unless they name an interface", _readNear, " ".join)
ENDPOINTS = Kind("endpoints, separated by blanks", _readEndpoints, " ".join)
CONTROL = Kind("unix: endpoint", readControl, " ".join)
