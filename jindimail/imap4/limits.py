"""The bounds of the IMAP4 edge, with their defaults (config [limits])."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jindimail.edge.limits import ConnectionLimits

MIB = 1024 * 1024
STRANGERS_OCTETS_MAX = 16_384  # of a command before the login: room for a line of SASL


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(ConnectionLimits):
    """What one connection may cost."""

    loginSeconds: int = 60
    idleSeconds: int = 1_800  # RFC 3501 §5.4: at least 30 minutes
    closeSeconds: int = 30
    outputOctets: int = 65_536
    badCommandsMax: int = 20
    lineOctetsMax: int = 65_536
    literalOctetsMax: int = 65_536  # of a string held in memory
    commandOctetsMax: int = 262_144  # of one command's text and its strings
    messageOctetsMax: int = 64 * MIB  # APPENDLIMIT (RFC 7889)
    discardOctetsMax: int = 256 * MIB  # of refused octets read to stay in step; beyond it the connection ends
    lineDiscardOctetsMax: int = MIB  # of a line without end

    def ofStrangers(self) -> Limits:
        """The bounds until the login: what nobody answers for may keep little in memory."""
        most = STRANGERS_OCTETS_MAX
        return replace(self, lineOctetsMax=most, literalOctetsMax=most, commandOctetsMax=most)
