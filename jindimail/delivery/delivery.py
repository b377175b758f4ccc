"""
Filing mail that came in (design §7): per bucket one entry for all its recipients, with one body; an outcome per recipient.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from zope.interface import implementer

from jindimail.directory.resolver import Resolver
from jindimail.errors import JindimailError, MailLoop, OutcomeUnknown, StorageFull, Unavailable
from jindimail.interfaces import IBuckets, IDelivery
from jindimail.mailbox.entries import Filing
from jindimail.mailbox.filing import deliverEntry, summaryOf
from jindimail.mailbox.outcomes import REFUSALS, Filed
from jindimail.model import Body, Envelope, Recipient, Target
from jindimail.queue.deferral import Deferral
from jindimail.store.records import WaitingRecord

BUCKETS_AT_ONCE = 16
EARLY_SECONDS = 5.0  # whoever says before that a bucket does not answer has not waited for it
HOPS_MAX = 100  # RFC 5321 §6.3: "normally at least 100"
_HEADER_OCTETS_MAX = 256 * 1024
_RECEIVED = re.compile(rb"^received:", re.IGNORECASE | re.MULTILINE)
_DELIVERED_TO = re.compile(rb"^delivered-to:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_HEADER_END = b"\r\n\r\n"


Answers = dict[tuple[int, int], JindimailError | None]  # by bucket and account


@implementer(IDelivery)
class Delivery:
    """
    See `IDelivery`. `randomOctets(n)` gives n random octets.

    A recipient that leads to several accounts is filed if any of them took the message; the others' refusals are logged.
    But what may be well when it is tried again is told, nobody's message is lost for it; and the recipients of a bucket that does not answer
    wait in another one's queue, which is as good as filed.
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
        self._deferral = Deferral(buckets=buckets, seconds=seconds)

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
        answers: Answers = {}
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
            await self._fileAll(envelope.sender, byBucket, body, answers)
        return [self._answer(recipient, answers) for recipient in envelope.recipients]

    async def _fileAll(
        self, sender: str, byBucket: dict[int, list[Filing]], body: Body, answers: Answers
    ) -> None:
        """All buckets at once; those that do not answer come later, from a queue."""
        summary = summaryOf(body)
        buckets = list(byBucket)
        began = self._seconds()
        silent = await self._fileIn(buckets, byBucket, body, summary, answers)
        if (
            self._seconds() - began < EARLY_SECONDS
        ):  # too few of their nodes were heard: of some, enough may be now
            back = [bucket for bucket in silent if self._buckets.isReachable(bucket)]
            stillSilent = await self._fileIn(back, byBucket, body, summary, answers)
            silent = [bucket for bucket in silent if bucket not in back or bucket in stillSilent]
        answering = [bucket for bucket in buckets if bucket not in silent]
        for bucket in silent:
            waiting = tuple(waitingOf(filing) for filing in byBucket[bucket])
            isQueued = await self._deferral.defer(
                body=body,
                summary=summary,
                sender=sender,
                target=bucket,
                waiting=waiting,
                answering=answering,
            )
            if not isQueued:
                break  # nobody takes anything: the sender tries again
            answers.update({(bucket, each.accountId): None for each in waiting})

    async def _fileIn(
        self,
        buckets: Sequence[int],
        byBucket: dict[int, list[Filing]],
        body: Body,
        summary: bytes,
        answers: Answers,
    ) -> list[int]:
        """File in these buckets, and say which of them do not answer."""
        for start in range(0, len(buckets), BUCKETS_AT_ONCE):
            part = buckets[start : start + BUCKETS_AT_ONCE]
            await together([self._file(bucket, byBucket[bucket], body, summary, answers) for bucket in part])
        return [bucket for bucket in buckets if isDeferrable(answers[bucket, byBucket[bucket][0].accountId])]

    async def _file(
        self, bucket: int, filings: list[Filing], body: Body, summary: bytes, answers: Answers
    ) -> None:
        entry = deliverEntry(body, summary, tuple(filings), int(self._seconds()))
        answers.update({(bucket, filing.accountId): None for filing in filings})
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

    def _answer(self, recipient: Recipient, answers: Answers) -> JindimailError | None:
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


def isDeferrable(error: JindimailError | None) -> bool:
    """Whether a bucket's error is that it does not answer."""
    return isinstance(error, Unavailable) and not isinstance(error, StorageFull)


async def together(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Do all of them at once; what one of them raises is raised when all are done."""
    if len(works) == 1:
        await works[0]
        return
    waits = [Deferred.fromCoroutine(work) for work in works]
    done: list[tuple[bool, Any]] = await DeferredList(waits, consumeErrors=True)
    for isWell, result in done:
        if not isWell:
            result.raiseException()


def waitingOf(filing: Filing) -> WaitingRecord:
    """A filing that waits; whom it is for stands at the end of its prefix."""
    address = filing.prefix.rpartition(b"Delivered-To: ")[2].strip().decode("utf-8", "replace")
    return WaitingRecord(accountId=filing.accountId, prefix=filing.prefix, address=address)


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
    return len(_RECEIVED.findall(header))


def deliveredTo(header: bytes) -> frozenset[str]:
    """The addresses, in lower case, that a message was delivered to before."""
    found: Iterable[bytes] = _DELIVERED_TO.findall(header)
    return frozenset(address.strip().decode("utf-8", "replace").lower() for address in found)
