"""The factory of IMAP sessions."""

from __future__ import annotations

from typing import Any

from jindimail.delivery.spool import Spool
from jindimail.edge.connections import MailboxService
from jindimail.edge.peers import Peer
from jindimail.imap4.limits import Limits
from jindimail.imap4.session import ImapSession
from jindimail.interfaces import IDelivery
from jindimail.mailbox.sessions import Session


class ImapFactory(MailboxService[ImapSession, Limits]):
    """Makes IMAP sessions; `delivery` and `spool` are for APPEND."""

    service = "imap4"

    def __init__(
        self, *, delivery: IDelivery, spool: Spool, limits: Limits | None = None, **common: Any
    ) -> None:
        super().__init__(limits=limits or Limits(), **common)
        self.delivery = delivery
        self.spool = spool

    def sessionOf(self, session: Session | None, peer: Peer) -> ImapSession:
        """An IMAP session."""
        return ImapSession(self, session, peer)
