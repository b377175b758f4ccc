"""A mailbox opened by one session (use-cases over `IBuckets`); it keeps no messages in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Protocol

from zope.interface import implementer

from jindimail.errors import Corrupt, JindimailError, MailboxGone, NotAllowed
from jindimail.interfaces import IBuckets, IMailbox
from jindimail.mailbox.entries import UIDS_PER_ENTRY_MAX, CopyMessages, Expunge, Ranges, StoreFlags
from jindimail.mailbox.outcomes import Copied, Expunged, FlagsStored, Outcome, Refused
from jindimail.mailbox.queries import (
    ROWS_PER_QUERY_MAX,
    Changes,
    ReadChanges,
    ReadMailbox,
    ReadOctets,
    ReadRows,
    ReadRowsOf,
    ReadSummary,
)
from jindimail.mailbox.step import flagNames
from jindimail.model import MailboxSummary, UidSet
from jindimail.store.records import MessageRow, PopLockRecord, SummaryRecord

UID_MAX = 0xFFFFFFFF
ROWS_PER_PART = 2_000  # a few milliseconds


class IOwner(Protocol):
    """What an open mailbox needs of its account."""

    bucket: int
    accountId: int

    async def status(self, name: str) -> MailboxSummary:
        """See `IAccount`."""
        ...


@implementer(IMailbox)
class OpenMailbox:
    """See `IMailbox`."""

    def __init__(
        self,
        *,
        buckets: IBuckets,
        seconds: Callable[[], float],
        account: IOwner,
        summary: MailboxSummary,
        readOnly: bool,
    ) -> None:
        self.mailboxId = summary.mailboxId
        self.uidValidity = summary.uidValidity
        self.name = summary.name
        self.readOnly = readOnly
        self.opened = summary
        self._keywords = summary.keywords
        self._bucket = account.bucket
        self._account = account
        self._buckets = buckets
        self._seconds = seconds
        self._followings: list[Any] = []
        self._isClosed = False

    async def summary(self) -> MailboxSummary:
        """See `IMailbox`."""
        found: MailboxSummary | None = await self._query(ReadMailbox(mailboxId=self.mailboxId), fresh=True)
        if found is None or found.uidValidity != self.uidValidity:
            raise MailboxGone
        self._keywords = found.keywords
        return found

    async def rows(self, lowUid: int = 1, highUid: int = UID_MAX) -> list[MessageRow]:
        """See `IMailbox`."""
        return [row async for part in self.parts(lowUid, highUid) for row in part]

    async def parts(self, lowUid: int = 1, highUid: int = UID_MAX) -> AsyncIterator[Sequence[MessageRow]]:
        """See `IMailbox`."""
        while lowUid <= highUid:
            query = ReadRows(mailboxId=self.mailboxId, lowUid=lowUid, highUid=highUid, limit=ROWS_PER_PART)
            part = await self._query(query)
            yield part
            if len(part) < ROWS_PER_PART:
                break
            lowUid = part[-1].uid + 1

    async def rowsOf(self, uids: UidSet) -> list[MessageRow]:
        """See `IMailbox`."""
        found: list[MessageRow] = []
        for ranges in portions(uids, ROWS_PER_QUERY_MAX):
            found.extend(await self._query(ReadRowsOf(mailboxId=self.mailboxId, ranges=ranges)))
        return found

    async def changes(self, afterModSeq: int) -> Changes:
        """See `IMailbox`."""
        query = ReadChanges(mailboxId=self.mailboxId, afterModSeq=afterModSeq, uidValidity=self.uidValidity)
        found: Changes = await self._query(query)
        if not found.exists:
            raise MailboxGone
        return found

    def follow(self, listener: Callable[[], None]) -> Any:
        """See `IMailbox`."""
        following = self._buckets.follow(self._bucket, self.mailboxId, listener)
        self._followings.append(following)
        if self._isClosed:
            following.stop()
        return following

    async def summaryOf(self, row: MessageRow) -> SummaryRecord:
        """See `IMailbox`."""
        found: SummaryRecord | None = await self._query(ReadSummary(bodyId=row.bodyId))
        if found is None:
            raise Corrupt("summary missing")
        return found

    def octets(self, row: MessageRow, start: int = 0, stop: int | None = None, isPiece: bool = False) -> Any:
        """See `IMailbox`."""
        return self._query(
            ReadOctets(
                bodyId=row.bodyId,
                prefix=row.prefix,
                start=start,
                stop=row.size if stop is None else stop,
                isPiece=isPiece,
            )
        )

    async def storeFlags(
        self, uids: UidSet, action: int, flags: Sequence[str], unchangedSince: int | None = None
    ) -> FlagsStored:
        """See `IMailbox`."""
        self._mayWrite()
        changed: list[tuple[int, int]] = []
        modified: list[tuple[int, int]] = []
        modSeq = 0
        for ranges in portions(uids, UIDS_PER_ENTRY_MAX):
            entry = StoreFlags(
                seconds=self._now(),
                mailboxId=self.mailboxId,
                ranges=ranges,
                action=action,
                flags=tuple(flags),
                unchangedSince=unchangedSince,
            )
            outcome: Any = await self._propose(entry)
            changed.extend(outcome.changed.ranges)
            modified.extend(outcome.modified.ranges)
            modSeq = max(modSeq, outcome.modSeq)
        if modSeq and any(not flag.startswith("\\") for flag in flags):
            await self.summary()
        return FlagsStored(
            changed=UidSet.ofRanges(changed), modified=UidSet.ofRanges(modified), modSeq=modSeq
        )

    async def copy(self, uids: UidSet, targetName: str, move: bool = False) -> Copied:
        """
        See `IMailbox`. More than UIDS_PER_ENTRY_MAX messages go in portions: when one is refused, the copies made before it are
        taken back (RFC 3501 §6.4.7), while what was moved stays moved (RFC 6851 §3.3).
        """
        if move:
            self._mayWrite()
        target = await self._account.status(targetName)
        sources: list[tuple[int, int]] = []
        targets: list[tuple[int, int]] = []
        modSeq = 0
        for ranges in portions(uids, UIDS_PER_ENTRY_MAX):
            entry = CopyMessages(
                seconds=self._now(),
                sourceId=self.mailboxId,
                ranges=ranges,
                targetId=target.mailboxId,
                move=move,
            )
            try:
                outcome: Any = await self._propose(entry)
            except JindimailError:
                if targets and not move:
                    await self._takeBack(target.mailboxId, UidSet.ofRanges(targets))
                raise
            sources.extend(outcome.sources.ranges)
            targets.extend(outcome.targets.ranges)
            modSeq = max(modSeq, outcome.modSeq)
        return Copied(
            uidValidity=target.uidValidity,
            sources=UidSet.ofRanges(sources),
            targets=UidSet.ofRanges(targets),
            modSeq=modSeq,
        )

    async def _takeBack(self, mailboxId: int, uids: UidSet) -> None:
        """Remove the copies of a COPY that failed, as far as that can be done now."""
        with suppress(JindimailError):
            for ranges in portions(uids, UIDS_PER_ENTRY_MAX):
                await self._propose(
                    Expunge(seconds=self._now(), mailboxId=mailboxId, ranges=ranges, onlyDeleted=False)
                )

    async def expunge(
        self, uids: UidSet | None = None, onlyDeleted: bool = True, lock: PopLockRecord | None = None
    ) -> Expunged:
        """See `IMailbox`. With `lock`, only while that is held; it is given back with the last portion."""
        self._mayWrite()
        if uids is None:
            uids = UidSet.of(row.uid for row in await self.rows())
        gone: list[tuple[int, int]] = []
        modSeq = 0
        last = uids.ranges[-1][1] if uids else 0
        for ranges in portions(uids, UIDS_PER_ENTRY_MAX):
            entry = Expunge(
                seconds=self._now(),
                mailboxId=self.mailboxId,
                ranges=ranges,
                onlyDeleted=onlyDeleted,
                lock=lock,
                unlock=lock is not None and ranges[-1][1] == last,
            )
            outcome: Any = await self._propose(entry)
            gone.extend(outcome.uids.ranges)
            modSeq = max(modSeq, outcome.modSeq)
        return Expunged(uids=UidSet.ofRanges(gone), modSeq=modSeq)

    def flagNames(self, row: MessageRow) -> tuple[str, ...]:
        """See `IMailbox`."""
        return flagNames(self._keywords, row.flags)

    def close(self) -> None:
        """See `IMailbox`."""
        self._isClosed = True
        for following in self._followings:
            following.stop()
        self._followings.clear()

    def _mayWrite(self) -> None:
        if self.readOnly:
            raise NotAllowed

    async def _propose(self, entry: Any) -> Outcome:
        outcome: Outcome = await self._buckets.propose(self._bucket, entry)
        if isinstance(outcome, Refused):
            raise outcome.error()
        return outcome

    def _query(self, query: Any, fresh: bool = False) -> Any:
        return self._buckets.query(self._bucket, query, fresh)

    def _now(self) -> int:
        return int(self._seconds())


def portions(uids: UidSet, uidsMax: int) -> Iterator[Ranges]:
    """The ranges of a set, cut into portions that name at most `uidsMax` UIDs each."""
    portion: list[tuple[int, int]] = []
    room = uidsMax
    for low, high in uids.ranges:
        while low <= high:
            top = min(high, low + room - 1)
            portion.append((low, top))
            room -= top - low + 1
            low = top + 1
            if not room:
                yield tuple(portion)
                portion, room = [], uidsMax
    if portion:
        yield tuple(portion)
