"""The selected mailbox: its view kept current by the stream of changes, and what of it the client is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from jindimail.imap4 import answers
from jindimail.imap4.view import Spans, View
from jindimail.mailbox.outcomes import FlagsStored
from jindimail.model import KEYWORDS_SHIFT, SEEN, SYSTEM_FLAGS, Added, FlagsChanged, MailboxSummary, UidSet
from jindimail.store.records import MessageRow

CHANGES_PER_QUERY = 1000


class Selection:
    """An open mailbox as one session sees it."""

    def __init__(self, mailbox: Any, summary: MailboxSummary) -> None:
        self.mailbox = mailbox
        self.uidValidity = summary.uidValidity
        self.keywords = summary.keywords
        self.isExamined: bool = mailbox.readOnly
        self.view = View((), summary.highestModSeq)
        self.uidNext = summary.uidNext
        self.isCondstore = False
        self._isStale = False
        self._hasNewKeywords = False
        self._texts: dict[int, bytes] = {}
        self._changed: Deferred[None] | None = None
        mailbox.follow(self._changeSeen)

    @classmethod
    async def open(cls, mailbox: Any, breathe: Callable[[], Awaitable[None]]) -> Selection:
        """
        The selection of a mailbox just opened. What changes meanwhile comes again as a change, and does no harm.

        @param breathe: lets other sessions go first, between the parts of a large mailbox.
        """
        summary: MailboxSummary = await mailbox.summary()
        selection = cls(mailbox, summary)
        view = selection.view
        async for rows in mailbox.parts():
            if view.uids:
                await breathe()
            view.load(rows)
        selection.uidNext = max(summary.uidNext, view.lastUid + 1)
        selection._isStale = True
        return selection

    def close(self) -> None:
        """No more is learnt of the mailbox."""
        self.mailbox.close()
        self._changed = None

    def enableCondstore(self) -> None:
        """From now on FETCH responses tell MODSEQs (RFC 7162 §3.1)."""
        self.isCondstore = True
        self.view.tellsModSeqs = True

    # --- staying current

    def _changeSeen(self) -> None:
        self._isStale = True
        waiting, self._changed = self._changed, None
        if waiting is not None:
            waiting.callback(None)

    def changed(self) -> Deferred[None]:
        """Fires when there is something to `refresh`; only the last one asked for does."""
        waiting: Deferred[None] = Deferred()
        self._changed = waiting
        if self._isStale:
            self._changeSeen()
        return waiting

    def changedHere(self) -> None:
        """This session has changed the mailbox: the next `refresh` takes that in, also where this node was not told of it yet."""
        self._isStale = True

    async def learnStored(self, spans: Spans, applied: Callable[[int], int], outcome: FlagsStored) -> None:
        """
        Take in flags that this session has stored: what follows from them need not be told, and this node may not have been told of it yet.

        @param applied: a message's flags after it, by those before.
        """
        view, flags = self.view, self.view.flags
        hasChanged = bool(outcome.changed) and not self.isCondstore  # else told anyway, for their MODSEQs
        for start, stop in view.spansOfUids(outcome.changed.ranges) if hasChanged else ():
            for position in range(start, stop):
                view.expect(position, applied(flags[position]))
        if self.isCondstore or self._isBehind(spans, applied, frozenset(outcome.modified)):
            self.changedHere()
        await self.refresh()

    def _isBehind(self, spans: Spans, applied: Callable[[int], int], refused: frozenset[int]) -> bool:
        """Whether messages had these flags already, and the view does not know."""
        view, flags = self.view, self.view.flags
        return any(
            applied(flags[position]) != flags[position]
            and view.uids[position] not in refused
            and not view.isGone(position)
            for start, stop in spans
            for position in range(start, stop)
        )

    async def refresh(self, isFresh: bool = False) -> None:
        """
        Take in what happened; with `isFresh`, everything acknowledged anywhere before the call.

        @raise MailboxGone
        """
        if isFresh:
            await self.mailbox.summary()
            self._isStale = True
        while self._isStale:
            self._isStale = False
            try:
                await self._takeChanges()
            except BaseException:
                self._isStale = True
                raise

    async def require(self) -> None:
        """
        Look whether the mailbox is still the one that was selected, if something happened to it: under another UIDVALIDITY its UIDs
        may be those of other messages. The view stays as it is.

        @raise MailboxGone
        """
        if self._isStale:
            await self.mailbox.changes(self.view.modSeq)

    async def _takeChanges(self) -> None:
        view = self.view
        while True:
            found = await self.mailbox.changes(view.modSeq)
            if not found.resumable:
                await self._restart()
                return
            uids = UidSet.ofRanges(
                span
                for change in found.changes
                if isinstance(change, Added | FlagsChanged)
                for span in change.uids.ranges
            )
            rows = await self.mailbox.rowsOf(uids) if uids else ()
            await self._learnKeywords(rows)
            view.apply(found.changes, rows, found.modSeq)
            if len(found.changes) < CHANGES_PER_QUERY:
                return

    async def _restart(self) -> None:
        """The changes since are no longer kept: compare with the whole mailbox."""
        summary = await self.mailbox.summary()
        rows = await self.mailbox.rows()
        await self._learnKeywords(rows)
        self.view.restart(rows, summary.highestModSeq)

    async def _learnKeywords(self, rows: Sequence[MessageRow]) -> None:
        """Before the rows are taken in: what was told without its keywords would not be told again."""
        union = 0
        for row in rows:
            union |= row.flags
        if union >> KEYWORDS_SHIFT >> len(self.keywords):
            await self.refreshKeywords()

    async def refreshKeywords(self) -> None:
        """Another session, or this one, made a keyword."""
        keywords = (await self.mailbox.summary()).keywords
        if keywords != self.keywords:
            self.keywords = keywords
            self._hasNewKeywords = True
            self._texts.clear()

    # --- flags

    def flagText(self, flags: int) -> bytes:
        """A message's flags on the wire."""
        text = self._texts.get(flags)
        if text is None:
            text = self._texts[flags] = answers.flagList(self.keywords, flags)
        return text

    def bitOf(self, flag: str) -> int:
        """A flag's bit; 0 for a keyword that no message of the mailbox ever had."""
        bit = SYSTEM_FLAGS.get(flag)
        if bit is not None:
            return bit
        wanted = flag.lower()
        for at, keyword in enumerate(self.keywords):
            if keyword.lower() == wanted:
                return 1 << KEYWORDS_SHIFT + at
        return 0

    def firstUnseen(self) -> int:
        """The number of the first message without \\Seen, 0 if there is none."""
        return next((number for number, flags in enumerate(self.view.flags, 1) if not flags & SEEN), 0)

    # --- what the client is told

    def updates(self, *, mayExpunge: bool) -> Iterator[bytes]:
        """The responses that tell what the client does not know yet."""
        yield from self.newKeywords()
        told = self.view.take(mayExpunge=mayExpunge)
        for number in told.expunged:
            yield b"* %d EXPUNGE\r\n" % number
        if told.exists is not None:
            yield b"* %d EXISTS\r\n" % told.exists
        for position in told.changed:
            yield self.flagsResponse(position, withUid=True)

    def newKeywords(self) -> Iterator[bytes]:
        """The FLAGS response, if there are keywords that the client has not heard of (§7.2.6)."""
        if self._hasNewKeywords:
            self._hasNewKeywords = False
            yield b"* FLAGS " + answers.allFlags(self.keywords) + b"\r\n"

    def flagsResponse(self, position: int, *, withUid: bool) -> bytes:
        """A FETCH response with a message's flags, and its MODSEQ if the client wants to know."""
        view = self.view
        uid = b"UID %d " % view.uids[position] if withUid else b""
        modSeq = b" MODSEQ (%d)" % view.modSeqs[position] if self.isCondstore else b""
        return b"* %d FETCH (%bFLAGS %b%b)\r\n" % (
            position + 1,
            uid,
            self.flagText(view.flags[position]),
            modSeq,
        )
