"""Replies as they go on the wire (RFC 5321 §4.2), with enhanced status codes (RFC 2034). Pure."""

from __future__ import annotations

from jindimail.errors import JindimailError


def reply(code: int, enhanced: str, text: str) -> bytes:
    """One line; `enhanced` is empty where RFC 2034 allows none."""
    return f"{code} {enhanced} {text}\r\n".encode() if enhanced else f"{code} {text}\r\n".encode()


def replyLines(code: int, lines: list[str]) -> bytes:
    """A reply of several lines without enhanced codes, as EHLO's."""
    *before, last = lines
    continued = f"\r\n{code}-".join(before)
    return (f"{code}-{continued}\r\n{code} {last}\r\n" if before else f"{code} {last}\r\n").encode()


def replyOf(error: JindimailError | type[JindimailError]) -> bytes:
    """The answer that an error carries."""
    return reply(error.smtpCode, error.smtpEnhanced, error.smtpText)


def isTemporary(error: JindimailError) -> bool:
    """Whether the client is to try again."""
    return error.smtpCode < 500


RESET = reply(250, "2.0.0", "Ok")
SENDER_OK = reply(250, "2.1.0", "sender ok")
RECIPIENT_OK = reply(250, "2.1.5", "recipient ok")
GO_AHEAD = reply(354, "", "end data with <CR><LF>.<CR><LF>")
VERIFY = reply(252, "2.5.0", "cannot verify, but will take mail for the user if there is one")
NO_EXPAND = reply(502, "5.5.1", "EXPN is not offered")
HELP = reply(214, "2.0.0", "see RFC 5321; commands are those that EHLO lists")
READY_FOR_TLS = reply(220, "2.0.0", "ready to start TLS")
NO_TLS = reply(454, "4.7.0", "TLS not available")
ALREADY_TLS = reply(503, "5.5.1", "TLS is active")
AUTHENTICATED = reply(235, "2.7.0", "authentication successful")
ALREADY_AUTHENTICATED = reply(503, "5.5.1", "already authenticated")
NEEDS_LOGIN = reply(530, "5.7.0", "authentication required")
NEEDS_TLS = reply(538, "5.7.11", "encryption required: use STARTTLS first")
LOGIN_TROUBLE = reply(454, "4.7.0", "temporary authentication failure")
NOT_YOURS = reply(553, "5.7.1", "sender address does not belong to you")
NOT_SENT_ON = reply(550, "5.7.1", "relaying denied: this server does not send to other domains yet")
TOO_MANY_RECIPIENTS = reply(452, "4.5.3", "too many recipients")
TOO_MANY_ERRORS = reply(421, "4.7.0", "too many errors, goodbye")
TOO_MUCH = reply(421, "4.7.0", "far too many octets, goodbye")
IDLE = reply(421, "4.4.2", "timeout, goodbye")
LEAVING = reply(421, "4.3.2", "service not available, try again")
BUSY = reply(421, "4.3.2", "too many connections, try again later")
GOODBYE = reply(221, "2.0.0", "goodbye")
DISABLED = reply(525, "5.7.13", "account disabled")
TROUBLE = replyOf(JindimailError)
PARTLY_FILED = reply(451, "4.3.0", "some recipients could not be served, try again")

UNKNOWN_COMMAND = reply(500, "5.5.1", "command not recognised")
NOT_TEXT = reply(500, "5.5.2", "command contains control characters or is not UTF-8")
BARE_LF = reply(500, "5.5.2", "lines must end in CRLF")
LINE_TOO_LONG = reply(500, "5.5.2", "line too long")
NO_ARGUMENTS = reply(501, "5.5.4", "no arguments allowed")
GREET_FIRST = reply(503, "5.5.1", "greet first")
MAIL_FIRST = reply(503, "5.5.1", "need MAIL command")
RCPT_FIRST = reply(503, "5.5.1", "no valid recipients")
NESTED_MAIL = reply(503, "5.5.1", "nested MAIL command")
IN_TRANSACTION = reply(503, "5.5.1", "not during a mail transaction")
AFTER_CHUNK = reply(503, "5.5.1", "not between chunks")
