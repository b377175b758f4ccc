"""
The states of an SMTP session and the commands that each allows (RFC 5321 §4.1.4). Pure.

A session is NEW until the client has greeted, then READY; MAIL has a sender, RCPT a recipient too, BDAT has had a first chunk.
RSET, a new greeting and the end of a message lead back to READY; STARTTLS leads back to NEW.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from jindimail.smtp import reply

NEW: Final = 1
READY: Final = 2
MAIL: Final = 4
RCPT: Final = 8
BDAT: Final = 16

ANY: Final = NEW | READY | MAIL | RCPT | BDAT


@dataclass(frozen=True, slots=True)
class Rule:
    """In which states a command is allowed, and what it answers in each of the others."""

    states: int
    otherwise: dict[int, bytes]


def _rule(states: int, **otherwise: bytes) -> Rule:
    """A rule whose refusals are named by state; those not named follow from who comes first."""
    replies = {NEW: reply.GREET_FIRST, READY: reply.MAIL_FIRST, MAIL: reply.RCPT_FIRST}
    replies |= {RCPT: reply.IN_TRANSACTION, BDAT: reply.AFTER_CHUNK}
    named = {"NEW": NEW, "READY": READY, "MAIL": MAIL, "RCPT": RCPT}
    replies |= {named[name]: text for name, text in otherwise.items()}
    return Rule(states, {state: text for state, text in replies.items() if not state & states})


_GREETING: Final = _rule(ANY)

CHUNK: Final = _rule(RCPT | BDAT)
"""Where a BDAT chunk belongs; elsewhere its octets are read and thrown away."""

RULES: Final = {
    "MAIL": _rule(READY, MAIL=reply.NESTED_MAIL, RCPT=reply.NESTED_MAIL),
    "RCPT": _rule(MAIL | RCPT),
    "DATA": _rule(RCPT),
    "BDAT": _rule(ANY),  # its octets must be read in any state
    "RSET": _rule(ANY),
    "NOOP": _rule(ANY),
    "QUIT": _rule(ANY),
    "HELP": _rule(ANY),
    "VRFY": _rule(ANY),
    "EXPN": _rule(ANY),
    "STARTTLS": _rule(ANY),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One of the three services: what sets its sessions apart."""

    name: str
    rules: dict[str, Rule]

    greetingWord: str
    """What the greeting calls the protocol."""

    needsLogin: bool = False
    """Whether mail is taken from logged-in clients only, and then from their own addresses (RFC 6409)."""

    answersPerRecipient: bool = False
    """Whether the end of a message is answered once for each recipient (RFC 2033 §4.2)."""

    isTrusted: bool = False
    """Whether clients are mail servers of our own, which need not be kept from harvesting addresses."""


SMTP: Final = Service(
    name="smtp", greetingWord="ESMTP", rules={"EHLO": _GREETING, "HELO": _GREETING, **RULES}
)
SUBMISSION: Final = Service(
    name="submission",
    greetingWord="ESMTP",
    rules={
        "EHLO": _GREETING,
        "HELO": _GREETING,
        "AUTH": _rule(READY, MAIL=reply.IN_TRANSACTION),
        **RULES,
    },
    needsLogin=True,
)
LMTP: Final = Service(
    name="lmtp",
    greetingWord="LMTP",
    rules={"LHLO": _GREETING, **RULES},
    answersPerRecipient=True,
    isTrusted=True,
)
SERVICES: Final = {service.name: service for service in (SMTP, SUBMISSION, LMTP)}
