"""The bounds that all connections of mailbox protocols have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What one client may take of the server. Times in seconds, sizes in octets."""

    loginSeconds: int
    """Until the login."""
    idleSeconds: int
    """Without a command, once logged in."""
    closeSeconds: int
    """From our closing of the connection until it is cut off: for the last octets to leave."""
    inputOctetsMax: int = 65_536
    """Commands that wait for their turn; beyond it the connection is not read."""
    outputOctets: int
    """Written at once."""
    badCommandsMax: int
    """After so many syntax errors in a row the connection is closed."""
    loginFailuresMax: int = 5
    """After so many failed logins the connection is closed."""
