"""The factory of POP3 sessions."""

from __future__ import annotations

from typing import Any

from jindimail.edge.connections import MailboxService
from jindimail.edge.peers import Peer
from jindimail.mailbox.sessions import Session
from jindimail.pop3.limits import Limits
from jindimail.pop3.session import Pop3


class Pop3Factory(MailboxService[Pop3, Limits]):
    """Makes POP3 sessions."""

    service = "pop3"

    def __init__(self, *, limits: Limits | None = None, **common: Any) -> None:
        super().__init__(limits=limits or Limits(), **common)

    def sessionOf(self, session: Session | None, peer: Peer) -> Pop3:
        """A POP3 session."""
        return Pop3(self, session, peer)
