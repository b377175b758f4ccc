"""Telling somebody of mail that was taken and could not be filed: its sender, if that is one of ours, else the postmaster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from twisted.logger import Logger

from jindimail.delivery.spool import Spooled
from jindimail.errors import Corrupt, Refusal, Unavailable
from jindimail.interfaces import IDelivery
from jindimail.mailbox.queries import Queued
from jindimail.model import Body, Envelope
from jindimail.queue.bounce import bounce, bounceId

_PIECE_OCTETS: Final = 1 << 19
_DAMAGED: Final = b"Subject: (damaged)\r\n\r\nThe message itself is damaged.\r\n"

Reasons = dict[str, str]
"""Why a recipient did not get it, by address: an enhanced status code, a space, a text."""


class Notices:
    """
    Makes and delivers them, each once.

    @param fetch: the octets of a queued message, in the spool.
    """

    log = Logger()

    def __init__(
        self,
        *,
        delivery: IDelivery,
        fetch: Callable[[int, Queued], Awaitable[Spooled]],
    ) -> None:
        self._delivery = delivery
        self._fetch = fetch

    async def tell(self, bucket: int, row: Queued, reasons: Reasons, body: Body | None = None) -> None:
        """
        Tell the sender, if it is one of ours, else the postmaster; with nobody to tell, the log.

        @param body: the message, if it is at hand: another node that believes to lead may have been done with it, and then it is in no queue.
        """
        self.log.error(
            "message {delivery} from <{sender}>: {count} recipients of bucket {target} did not get it: {reasons}",
            delivery=row.bodyId.hex(),
            sender=row.record.sender,
            count=len(reasons),
            target=row.target,
            reasons=sorted(set(reasons.values())),
        )
        for to in (row.record.sender, "postmaster"):
            if to and await self._sendNotice(bucket, row, reasons, to, body):
                return
        self.log.critical("message {delivery}: nobody could be told", delivery=row.bodyId.hex())

    async def _sendNotice(
        self, bucket: int, row: Queued, reasons: Reasons, to: str, body: Body | None
    ) -> bool:
        try:
            recipient = await self._delivery.resolve(to)
        except Refusal:
            return False
        about = row.record.deliveryId, row.target, row.record.sinceSeconds
        octets = bounce(
            noticeId=bounceId(*about),
            to=recipient.targets[0].address,
            reasons=reasons,
            original=await self._original(bucket, row) if body is None else _octetsOf(body),
            sinceSeconds=row.record.sinceSeconds,
        )
        notice = Body.ofOctets(bounceId(*about, octets), octets)
        envelope = Envelope(deliveryId=notice.bodyId, sender="", recipients=(recipient,))
        (error,) = await self._delivery.deliver(envelope, notice)
        if isinstance(error, Unavailable):
            raise error
        return error is None

    async def _original(self, bucket: int, row: Queued) -> bytes:
        """The message; of one that nobody can read any more, that it is so."""
        try:
            spooled = await self._fetch(bucket, row)
        except Corrupt:
            return _DAMAGED
        try:
            return _octetsOf(spooled.finish())
        finally:
            spooled.discard()


def _octetsOf(body: Body) -> bytes:
    return b"".join(body.source.pieces(_PIECE_OCTETS))
