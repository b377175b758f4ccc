"""The bounds of one SMTP, submission or LMTP connection."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpLimits:
    """What one connection may ask for; the defaults are an ordinary server's."""

    messageOctetsMax: int = 64 * 1024**2
    """Octets of a message as it comes in, told to the client with SIZE (RFC 1870)."""

    recipientsMax: int = 1000
    """Recipients of a transaction (RFC 5321 §4.5.3.1.8 asks for 100); a stranger's count as often as they lead to an account. More get 452."""

    badCommandsMax: int = 10
    """Commands that cannot be understood, or out of order, before the connection ends with 421."""

    refusedRecipientsMax: int = 50
    """Refused recipients of a connection without login before it ends with 421 (harvesting of addresses)."""

    failedLoginsMax: int = 5
    """Failed logins of a connection before it ends with 421."""

    idleSeconds: float = 300
    """Seconds without a command from the client (RFC 5321 §4.5.3.2.7 asks for five minutes), or enough of a message (edge/pace.py)."""

    errandSeconds: float = 3600
    """Seconds of commands without a message, from a client without login."""

    closeSeconds: float = 10
    """Seconds that a connection may take to close before it is aborted."""

    commandOctetsMax: int = 2048
    """Octets of a command line, CRLF included (RFC 5321 §4.5.3.1.4 asks for 512, plus what the extensions add)."""

    authOctetsMax: int = 12_288
    """Octets of a line of an AUTH exchange, CRLF included (RFC 4954 §4)."""

    junkOctetsMax: int = 1024**2
    """Octets without a line end among commands before the connection ends with 421."""

    overrunOctetsMax: int = 1024**3
    """Octets of a refused message that are read and thrown away before the connection ends."""

    pipelineOctetsMax: int = 64 * 1024
    """Octets of commands that wait while an earlier one is being worked on, before reading stops."""
