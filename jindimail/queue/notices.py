"""
Telling somebody of mail that was taken and could not be filed: its sender, if that is one of ours, else the postmaster.

Notices have no sender, as all mail that nobody shall answer. So a notice that could not be filed goes to the postmaster, and one that the postmaster did not
get is told to nobody any more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from twisted.logger import Logger

from jindimail.delivery.spool import Spooled
from jindimail.directory.resolver import POSTMASTER
from jindimail.errors import Corrupt, LargerThanQuota, OverQuota, Refusal, Unavailable, UserDisabled
from jindimail.interfaces import IDelivery
from jindimail.mailbox.queries import Queued
from jindimail.model import Body, Envelope, Recipient
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

    async def tell(
        self, bucket: int, row: Queued, reasons: Reasons, body: Body | None = None, *, mayWait: bool
    ) -> bool:
        """
        Tell the sender, if it is one of ours, else the postmaster; with nobody to tell, the log. Whether that is done.

        @param body: the message, if it is at hand: another node that believes to lead may have been done with it, and then it is in no queue.
        @param mayWait: not to do it while the postmaster's mailbox is full.
        """
        try:
            isTold = await self._isTold(bucket, row, reasons, body)
        except (OverQuota, UserDisabled) as refusal:
            if mayWait and not isinstance(refusal, LargerThanQuota):
                return False
            isTold = False
        self.log.error(
            "message {delivery} from <{sender}>: {count} recipients of bucket {target} did not get it: {reasons}",
            delivery=row.bodyId.hex(),
            sender=row.record.sender,
            count=len(reasons),
            target=row.target,
            reasons=sorted(set(reasons.values())),
        )
        if not isTold:
            self.log.critical("message {delivery}: nobody could be told", delivery=row.bodyId.hex())
        return True

    async def _isTold(self, bucket: int, row: Queued, reasons: Reasons, body: Body | None) -> bool:
        """@raise OverQuota, UserDisabled: the postmaster would have to hear of it, and takes no mail now."""
        with suppress(OverQuota, UserDisabled):
            if row.record.sender and await self._sendNotice(bucket, row, reasons, row.record.sender, body):
                return True
        return await self._sendNotice(bucket, row, reasons, POSTMASTER, body)

    async def _sendNotice(
        self, bucket: int, row: Queued, reasons: Reasons, to: str, body: Body | None
    ) -> bool:
        try:
            recipient = await self._delivery.resolve(to)
            if not row.record.sender and _isLost(recipient, row, reasons):
                return False
            notice = await self._notice(bucket, row, reasons, recipient, body)
            await self._delivery.resolve(to, notice.size)  # what was once refused under its id is for ever
        except (OverQuota, UserDisabled):
            raise
        except Refusal:
            return False
        envelope = Envelope(deliveryId=notice.bodyId, sender="", recipients=(recipient,))
        (error,) = await self._delivery.deliver(envelope, notice)
        if isinstance(error, Unavailable):
            raise error
        return error is None

    async def _notice(
        self, bucket: int, row: Queued, reasons: Reasons, recipient: Recipient, body: Body | None
    ) -> Body:
        about = row.record.deliveryId, row.target, row.record.sinceSeconds
        octets = bounce(
            noticeId=bounceId(*about),
            to=recipient.targets[0].address,
            reasons=reasons,
            original=await self._original(bucket, row) if body is None else _octetsOf(body),
            sinceSeconds=row.record.sinceSeconds,
        )
        return Body.ofOctets(bounceId(*about, octets), octets)

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


def _isLost(recipient: Recipient, row: Queued, reasons: Reasons) -> bool:
    """Whether a recipient of a notice is whom the message did not reach."""
    lost = {(row.target, each.accountId) for each in row.record.waiting if each.address in reasons}
    return any((target.bucket, target.accountId) in lost for target in recipient.targets)


def _octetsOf(body: Body) -> bytes:
    return b"".join(body.source.pieces(_PIECE_OCTETS))
