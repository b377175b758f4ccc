"""A logged-in user's account: the avatar that POP3 and IMAP sessions work with (use-cases over `IBuckets`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from zope.interface import implementer

from jindimail.directory.addresses import canonicalAddress, untagged
from jindimail.errors import (
    BadAddress,
    HasInferiors,
    JindimailError,
    MailboxExists,
    NoSuchMailbox,
    NoSuchUser,
    NotAllowed,
    OverQuota,
    StorageFull,
)
from jindimail.interfaces import IAccount, IBuckets
from jindimail.mailbox.entries import (
    CreateMailbox,
    DeleteMailbox,
    Filing,
    RenameMailbox,
    Subscribe,
)
from jindimail.mailbox.filing import deliverEntry, summaryOf
from jindimail.mailbox.names import canonical, valid
from jindimail.mailbox.opened import OpenMailbox
from jindimail.mailbox.outcomes import REFUSALS, MailboxMade, Outcome, Refused
from jindimail.mailbox.poplock import PopLocks
from jindimail.mailbox.queries import Account as AccountAnswer
from jindimail.mailbox.queries import FindAccount, FindAddress, FindMailbox, ListMailboxes, Mailboxes
from jindimail.model import INBOX, Body, MailboxSummary, UidSet, bucketOf
from jindimail.store.records import AddressRecord, UsageRecord


@implementer(IAccount)
class Account:
    """See `IAccount`. One object a session; it caches nothing of the account but its name and addresses."""

    def __init__(
        self,
        *,
        buckets: IBuckets,
        locks: PopLocks,
        seconds: Callable[[], float],
        bucket: int,
        accountId: int,
        addresses: Sequence[str],
    ) -> None:
        self.bucket = bucket
        self.accountId = accountId
        self.name = addresses[0]
        self.addresses = tuple(addresses)
        self._buckets = buckets
        self._locks = locks
        self._seconds = seconds
        self._opened: WeakSet[OpenMailbox] = WeakSet()  # a session may open many, one after the other
        self._popSession = ""
        self._isOver = False

    async def mailboxes(self) -> Mailboxes:
        """See `IAccount`."""
        found: Mailboxes = await self._query(ListMailboxes(accountId=self.accountId), fresh=True)
        return found

    async def status(self, name: str) -> MailboxSummary:
        """See `IAccount`."""
        found: MailboxSummary | None = await self._query(
            FindMailbox(accountId=self.accountId, name=canonical(name)), fresh=True
        )
        if found is None:
            raise NoSuchMailbox
        return found

    async def open(self, name: str, readOnly: bool = False) -> OpenMailbox:
        """See `IAccount`."""
        summary = await self.status(name)
        mailbox = OpenMailbox(
            buckets=self._buckets,
            seconds=self._seconds,
            account=self,
            summary=summary,
            readOnly=readOnly,
        )
        self._opened.add(mailbox)
        if self._isOver:  # by now: whoever asked for it is gone, and will not close it
            mailbox.close()
        return mailbox

    async def create(self, name: str, specialUse: str = "") -> MailboxMade:
        """See `IAccount`."""
        name = valid(name)
        if name == INBOX:
            raise MailboxExists
        made = await self._propose(
            CreateMailbox(
                seconds=self._now(),
                accountId=self.accountId,
                name=name,
                specialUse=specialUse,
                uidValidity=self._now(),
            )
        )
        assert isinstance(made, MailboxMade)
        return made

    async def delete(self, name: str) -> None:
        """See `IAccount`."""
        summary = await self.status(name)
        if summary.name == INBOX:
            raise NotAllowed
        entry = DeleteMailbox(
            seconds=self._now(), accountId=self.accountId, mailboxId=summary.mailboxId, name=summary.name
        )
        try:
            steps: Any = await self._propose(entry)
        except NotAllowed:
            raise HasInferiors from None
        with suppress(JindimailError):  # the name is gone: what cannot be emptied now is left to upkeep
            while steps.remaining:
                steps = await self._propose(entry)

    async def rename(self, oldName: str, newName: str) -> None:
        """See `IAccount`."""
        oldName, newName = canonical(oldName), valid(newName)
        if newName == INBOX:
            raise MailboxExists
        if oldName == INBOX:
            await self._moveInbox(newName)
            return
        await self._propose(
            RenameMailbox(
                seconds=self._now(),
                accountId=self.accountId,
                oldName=oldName,
                newName=newName,
                uidValidity=self._now(),
            )
        )

    async def _moveInbox(self, newName: str) -> None:
        """Renaming INBOX makes a mailbox and moves the messages there (RFC 9051 §6.3.6)."""
        await self.create(newName)
        inbox = await self.open(INBOX)
        rows = await inbox.rows()
        await inbox.copy(UidSet.of(row.uid for row in rows), newName, move=True)
        inbox.close()

    async def subscribe(self, name: str, subscribed: bool) -> None:
        """See `IAccount`."""
        name = valid(name) if subscribed else canonical(name)
        await self._propose(
            Subscribe(seconds=self._now(), accountId=self.accountId, name=name, subscribed=subscribed)
        )

    async def append(
        self, name: str, body: Body, flags: Sequence[str] = (), internalSeconds: int | None = None
    ) -> tuple[int, int]:
        """See `IAccount`."""
        mailbox = await self.status(name)
        await self.mayAppend(body.size)
        filing = Filing(
            accountId=self.accountId,
            mailboxId=mailbox.mailboxId,
            flags=tuple(flags),
            internalSeconds=internalSeconds,
        )
        entry = deliverEntry(body, summaryOf(body), (filing,), self._now())
        outcome: Any = await self._propose(entry, body)
        filed = outcome.filings[0]
        if filed.refused:
            raise REFUSALS[filed.refused]
        return filed.uidValidity, filed.uid

    async def mayAppend(self, octets: int) -> None:
        """Refuse early what could not be filed: OverQuota, StorageFull."""
        if not self._buckets.maySpool():
            raise StorageFull
        usage, quotaOctets, quotaMessages = await self.quota()
        if quotaOctets and usage.octets + octets > quotaOctets:
            raise OverQuota
        if quotaMessages and usage.messages + 1 > quotaMessages:
            raise OverQuota

    async def owns(self, address: str) -> bool:
        """See `IAccount`."""
        try:
            address = canonicalAddress(address)
        except BadAddress:
            return False
        if address in self.addresses:
            return True
        if untagged(address) not in self.addresses:
            return False
        taken: AddressRecord | None = await self._buckets.query(
            bucketOf(address), FindAddress(address=address)
        )
        return taken is None or (taken.bucket, taken.accountId) == (self.bucket, self.accountId)

    async def quota(self) -> tuple[UsageRecord, int, int]:
        """See `IAccount`."""
        found: AccountAnswer | None = await self._query(FindAccount(accountId=self.accountId))
        if found is None:
            raise NoSuchUser
        return found.usage, found.record.quotaOctets, found.record.quotaMessages

    async def lockPop(self, session: str) -> None:
        """See `IAccount`."""
        self._popSession = (
            session  # before the answer: a session that dies meanwhile gives the lock back all the same
        )
        await self._locks.take(self.bucket, self.accountId, session)

    async def unlockPop(
        self, session: str, mailbox: OpenMailbox | None = None, uids: UidSet | None = None
    ) -> None:
        """See `IAccount`."""
        if mailbox is not None and uids:
            await mailbox.expunge(uids, onlyDeleted=False, lock=self._locks.of(session))
            self._popSession = ""
        else:
            self._popSession = ""
            await self._locks.drop(self.bucket, self.accountId, session)

    def logout(self) -> None:
        """See `IAccount`."""
        self._isOver = True
        for mailbox in tuple(self._opened):
            mailbox.close()
        self._opened.clear()
        if self._popSession:
            session, self._popSession = self._popSession, ""
            self._locks.drop(self.bucket, self.accountId, session)

    async def _propose(self, entry: Any, body: Body | None = None) -> Outcome:
        outcome: Outcome = await self._buckets.propose(self.bucket, entry, body)
        if isinstance(outcome, Refused):
            raise outcome.error()
        return outcome

    async def _query(self, query: Any, fresh: bool = False) -> Any:
        return await self._buckets.query(self.bucket, query, fresh)

    def _now(self) -> int:
        return int(self._seconds())
