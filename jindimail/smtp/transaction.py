"""One mail transaction: its envelope, and its message on the way into the spool."""

from __future__ import annotations

from hashlib import blake2b

from jindimail.delivery.spool import Spool, Spooled
from jindimail.errors import StorageFull
from jindimail.model import Body, Envelope, Recipient
from jindimail.smtp.data import Content
from jindimail.smtp.header import Top
from jindimail.smtp.partial import Key
from jindimail.smtp.syntax import Mail


class Transaction:
    """
    From MAIL to the end of the message, or to whatever ends it before.

    @ivar targets: how many accounts its recipients lead to, those that several lead to counted for each.
    """

    __slots__ = (
        "_digest",
        "_spooled",
        "_top",
        "content",
        "deliveryId",
        "held",
        "mail",
        "recipients",
        "targets",
    )

    def __init__(self, mail: Mail) -> None:
        self.mail = mail
        self.recipients: list[Recipient] = []
        self.targets = 0
        self.deliveryId = b""
        self.held = b""
        """What a BDAT chunk left for the next one."""
        self.content: Content | None = None
        self._spooled: Spooled | None = None
        self._top: Top | None = None
        self._digest: blake2b | None = None

    def add(self, recipient: Recipient) -> None:
        """One more recipient."""
        self.recipients.append(recipient)
        self.targets += len(recipient.targets)

    def digestContent(self) -> None:
        """Have a key when the message is there."""
        self._digest = blake2b(digest_size=16)

    @property
    def key(self) -> Key | None:
        """What tells this message when it comes again, if that was asked for."""
        return None if self._digest is None else (self.mail.sender, self._digest.digest())

    def receive(
        self,
        spool: Spool,
        deliveryId: bytes,
        received: bytes,
        octetsMax: int,
        added: tuple[bytes, bytes] | None,
    ) -> Content:
        """
        Make ready for the message, and put the `Received` field before it.

        Without room it comes into being with a fault, and takes octets all the same.
        """
        self.deliveryId = deliveryId
        self.content = Content(self._write, octetsMax)
        try:
            self._spooled = spool.begin(deliveryId)
            self._spooled.write(received)
            self._top = Top(self._spooled.write, added)
        except StorageFull:
            self.content.fault = StorageFull
        return self.content

    def finish(self) -> Body | None:
        """The message, to be delivered; None if the content has a fault."""
        content, spooled, top = self.content, self._spooled, self._top
        assert content is not None, "finished before it was received"
        if content.fault is not None or spooled is None or top is None:
            return None
        try:
            top.finish()
        except StorageFull:
            content.fault = StorageFull
            return None
        return spooled.finish()

    def envelope(self, without: frozenset[str] = frozenset()) -> Envelope:
        """The envelope, without those recipients that need no delivery."""
        recipients = tuple(each for each in self.recipients if each.address not in without)
        return Envelope(deliveryId=self.deliveryId, sender=self.mail.sender, recipients=recipients)

    def discard(self) -> None:
        """Give the spool its room back; harmless twice."""
        if self._spooled is not None:
            self._spooled.discard()

    def _write(self, octets: bytes) -> None:
        assert self._top is not None
        if self._digest is not None:
            self._digest.update(octets)
        self._top.write(octets)
