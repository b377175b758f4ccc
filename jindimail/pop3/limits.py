"""The bounds of a POP3 connection; config.py maps them to `[limits]`."""

from __future__ import annotations

from dataclasses import dataclass

from jindimail.edge.limits import ConnectionLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(ConnectionLimits):
    """What one client may take of the server. Times in seconds, sizes in octets."""

    loginSeconds: int = 180
    """From the connection until the login. (RFC 1939 §3's ten minutes are the *auto-logout*'s.)"""
    idleSeconds: int = 600
    """Without a command, once logged in; RFC 1939 §3 asks for at least ten minutes."""
    closeSeconds: int = 10
    outputOctets: int = 32_768
    badCommandsMax: int = 50
    lineOctetsMax: int = 512
    """A command with its line end; RFC 2449 §4 asks for at least 255. AUTH's lines have a bound of their own."""
    wholeOctetsMax: int = 262_144
    """Messages up to this size are read and sent whole; at most 1 MiB."""
    pieceOctets: int = 131_072
    """Larger ones go in pieces of this size: a client that reads slowly holds a few of them in the server's memory."""
