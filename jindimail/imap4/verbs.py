"""What every command is made of: its request, its place in the table of commands, its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jindimail.errors import ProtocolError, Refusal
from jindimail.imap4.syntax import Cursor

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession

NOT_AUTHENTICATED, AUTHENTICATED, SELECTED = 1, 2, 4
LOGGED_IN = AUTHENTICATED | SELECTED
ANY = NOT_AUTHENTICATED | LOGGED_IN


@dataclass(frozen=True, slots=True)
class Request:
    """A command being carried out: its tag, its arguments after the name and a space, and whether it is a UID command."""

    tag: bytes
    arguments: Cursor
    byUid: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The text of a tagged OK, with its response code if there is one."""

    text: bytes
    isAnswered: bool = False  # the command has sent its tagged response itself


Run = Callable[["ImapSession", Request], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Verb:
    """One command: what carries it out, and the states in which it is valid (RFC 3501 §3)."""

    run: Run
    states: int
    byUid: bool = False
    mayExpunge: bool = True  # EXPUNGE may be told before its tagged answer (§7.4.1)
    isAboutMessages: bool = False  # names messages, by numbers of the mailbox as it was selected
    isOnceForAll: bool = (
        False  # clients take NO for the message's own fault, and never ask again (docs/adr/0053)
    )


class UnknownCommand(ProtocolError):
    """No such command."""

    imapText = "unknown command"


class WrongState(ProtocolError):
    """The command is not valid in this state."""

    imapText = "not in this state"


class BadNumber(ProtocolError):
    """A message sequence number that no message has."""

    imapText = "no such message number"


class ReadOnly(Refusal):
    """The mailbox was opened with EXAMINE."""

    imapCode = ""
    imapText = "mailbox is read-only"


class TlsRequired(Refusal):
    """No password in clear text."""

    imapCode = "PRIVACYREQUIRED"
    imapText = "use STARTTLS first"
