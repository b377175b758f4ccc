"""
Filing mail that came in (design §7): per bucket one entry for all its recipients, with one body; an outcome per recipient.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from jindimail.directory.resolver import Resolver
from jindimail.errors import JindimailError, MailLoop, OutcomeUnknown, Unavailable
from jindimail.interfaces import IBuckets, IDelivery
from jindimail.mailbox.entries import Filing
from jindimail.mailbox.filing import deliverEntry, summaryOf
from jindimail.mailbox.outcomes import REFUSALS, Filed
from jindimail.model import Body, Envelope, Recipient, Target

HOPS_MAX = 50  # as Postfix; RFC 5321 §6.3 asks for a bound that no honest path reaches
_HEADER_OCTETS_MAX = 256 * 1024
_RECEIVED = re.compile(rb"^received:", re.IGNORECASE | re.MULTILINE)
_DELIVERED_TO = re.compile(rb"^delivered-to:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_HEADER_END = b"\r\n\r\n"


@implementer(IDelivery)
class Delivery:
    """
    See `IDelivery`. `randomOctets(n)` gives n random octets.

    A recipient that leads to several accounts is filed if any of them took the message; the others' refusals are logged.
    But what may be well when it is tried again, a bucket that does not answer, say, is told: nobody's message is lost for it.
    """

    log = Logger()

    def __init__(
        self,
        *,
        buckets: IBuckets,
        resolver: Resolver,
        seconds: Callable[[], float],
        randomOctets: Callable[[int], bytes],
    ) -> None:
        self._buckets = buckets
        self._resolver = resolver
        self._seconds = seconds
        self._randomOctets = randomOctets

    def resolve(self, address: str, octets: int = 0) -> Any:
        """See `IDelivery`."""
        return self._resolver.resolve(address, octets)

    def maySpool(self) -> bool:
        """Whether there is room for new messages."""
        return bool(self._buckets.maySpool())

    def newDeliveryId(self) -> bytes:
        """Milliseconds, then chance: the store's rows of one time stand together, the oldest first."""
        return int(self._seconds() * 1000).to_bytes(6, "big") + self._randomOctets(10)

    async def deliver(self, envelope: Envelope, body: Body) -> list[JindimailError | None]:
        """See `IDelivery`."""
        if body.bodyId != envelope.deliveryId:
            raise ValueError("a body is named by its delivery")
        header = headerOf(body)
        if hopsOf(header) > HOPS_MAX:
            return [MailLoop() for _ in envelope.recipients]
        passed = deliveredTo(header)
        answers: dict[tuple[int, int], JindimailError | None] = {}
        byBucket: dict[int, list[Filing]] = {}
        for recipient in envelope.recipients:
            for target in recipient.targets:
                account = (target.bucket, target.accountId)
                if target.address in passed:
                    answers.setdefault(account, MailLoop())
                elif account not in answers:
                    answers[account] = None
                    filing = Filing(
                        accountId=target.accountId, prefix=prefixFor(envelope.sender, recipient, target)
                    )
                    byBucket.setdefault(target.bucket, []).append(filing)
        if byBucket:
            summary = summaryOf(body)
            for bucket, filings in byBucket.items():
                await self._file(bucket, filings, body, summary, answers)
        return [self._answer(recipient, answers) for recipient in envelope.recipients]

    async def _file(
        self,
        bucket: int,
        filings: list[Filing],
        body: Body,
        summary: bytes,
        answers: dict[tuple[int, int], JindimailError | None],
    ) -> None:
        keepers = self._buckets.keepers(bucket)
        entry = deliverEntry(body, summary, tuple(filings), keepers, int(self._seconds()))
        try:
            outcome = await self._buckets.propose(bucket, entry, body)
        except JindimailError as error:
            answers.update({(bucket, filing.accountId): error for filing in filings})
            return
        if not isinstance(outcome, Filed):
            answers.update({(bucket, filing.accountId): OutcomeUnknown() for filing in filings})
            return
        for filed in outcome.filings:
            if filed.refused:
                answers[(bucket, filed.accountId)] = REFUSALS[filed.refused]()

    def _answer(
        self, recipient: Recipient, answers: dict[tuple[int, int], JindimailError | None]
    ) -> JindimailError | None:
        errors = [answers[(target.bucket, target.accountId)] for target in recipient.targets]
        refused = [error for error in errors if error is not None]
        passing = [error for error in refused if isinstance(error, Unavailable)]
        if passing or len(refused) == len(errors):
            return (passing or refused)[0]
        for error in refused:
            self.log.warn(
                "A target of {address} refused: {reason}",
                address=recipient.address,
                reason=type(error).__name__,
            )
        return None


def prefixFor(sender: str, recipient: Recipient, target: Target) -> bytes:
    """The header lines that differ by recipient (RFC 5321 §4.4): no octet of the sender's message is touched."""
    isDirect = len(recipient.targets) == 1
    address = recipient.address if isDirect and "@" in recipient.address else target.address
    return f"Return-Path: <{sender}>\r\nDelivered-To: {address}\r\n".encode("utf-8", "replace")


def headerOf(body: Body) -> bytes:
    """The header of a body, at most the first 256 KiB."""
    start = next(iter(body.source.pieces(_HEADER_OCTETS_MAX)), b"")
    end = start.find(_HEADER_END)
    return start if end < 0 else start[:end]


def hopsOf(header: bytes) -> int:
    """How many servers a message passed (RFC 5321 §6.3)."""
    return sum(1 for _ in _RECEIVED.finditer(header))


def deliveredTo(header: bytes) -> frozenset[str]:
    """The addresses, in lower case, that a message was delivered to before."""
    found: Iterable[bytes] = _DELIVERED_TO.findall(header)
    return frozenset(address.strip().decode("utf-8", "replace").lower() for address in found)
