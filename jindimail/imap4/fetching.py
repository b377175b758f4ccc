"""
The answers to FETCH, in batches (RFC 3501 §7.4.2).

Attributes of many messages become columns, and one template joins them: no coroutine and no write per message. Sections of
messages are read and sent piece by piece, as fast as the client takes them, so that no message is ever in memory whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from jindimail.errors import Corrupt, JindimailError
from jindimail.imap4.items import FROM_SUMMARY, FROM_VIEW, Plan, Section
from jindimail.imap4.selection import Selection
from jindimail.imap4.view import Spans
from jindimail.mailbox.entries import ADD
from jindimail.message.bounds import headerOctetsMax
from jindimail.message.dates import formatInternalDate
from jindimail.message.headers import selectFields
from jindimail.message.imapform import bodyOf
from jindimail.message.sections import section as findSection
from jindimail.model import SEEN, UidSet
from jindimail.store.records import MessageRow, SummaryRecord

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession

BATCH_MESSAGES = 500
BATCH_SUMMARIES = 100
PIECE_OCTETS = 256 * 1024
SMALL_OCTETS = 64 * 1024
VERIFIED_OCTETS_MAX = (
    1024 * 1024
)  # a message that all of is read for the sake of a small part, so that damage is noticed
AHEAD_OCTETS_MAX = 256 * 1024  # of one message's small sections, read before its response begins

_FORMATS = {
    b"FLAGS": b"FLAGS %b",
    b"UID": b"UID %d",
    b"MODSEQ": b"MODSEQ (%d)",
    b"RFC822.SIZE": b"RFC822.SIZE %d",
}


class Fetch:
    """One FETCH being answered."""

    def __init__(self, session: ImapSession, selection: Selection, plan: Plan) -> None:
        self._session = session
        self._selection = selection
        self._plan = plan
        self._error: JindimailError | None = None
        self.hasMissed = False  # messages that another session expunged meanwhile

    async def run(self, spans: Spans) -> None:
        """
        Send everything.

        @raise Corrupt: some of it could not be read; what could was sent.
        """
        batch = BATCH_SUMMARIES if self._plan.needsSummaries else BATCH_MESSAGES
        for positions in _batches(spans, batch):
            if self._plan.needsRows:
                await self._sendBatch(positions)
            else:
                self._sendColumns(positions, ())
            await self._session.room()
        if self._error is not None:
            raise self._error

    # --- attributes

    async def _sendBatch(self, wanted: Sequence[int]) -> None:
        selection, view = self._selection, self._selection.view
        rows: list[MessageRow] = await selection.mailbox.rowsOf(view.uidsAt(wanted))
        if len(rows) < len(wanted):
            self.hasMissed = True
        positions = [at for row in rows if (at := view.position(row.uid)) is not None]
        if len(positions) < len(rows):
            rows = [row for row in rows if view.position(row.uid) is not None]
        if self._plan.sections:
            await self._sendMessages(positions, rows)
        elif self._plan.needsSummaries:
            summaries = await self._summaries(rows)
            known = [at for at, summary in enumerate(summaries) if summary is not None]
            self._sendColumns(
                [positions[at] for at in known],
                [rows[at] for at in known],
                [summary for summary in summaries if summary is not None],
            )
        else:
            self._sendColumns(positions, rows)

    async def _summaries(self, rows: Sequence[MessageRow]) -> list[SummaryRecord | None]:
        found: list[SummaryRecord | None] = []
        for row in rows:
            try:
                found.append(await self._selection.mailbox.summaryOf(row))
            except Corrupt as error:
                await self._lacks(row, error)
                found.append(None)
        return found

    async def _lacks(self, row: MessageRow, error: Corrupt) -> None:
        """A message cannot be read: it is damaged, or its body went with it, since another session removed it after its row was read."""
        selection, view = self._selection, self._selection.view
        await selection.refresh(isFresh=True)
        position = view.position(row.uid)
        if position is None or view.isGone(position):
            self.hasMissed = True
        else:
            self._error = error

    def _sendColumns(
        self, positions: Sequence[int], rows: Sequence[MessageRow], summaries: Sequence[SummaryRecord] = ()
    ) -> None:
        if not positions:
            return
        names = [item for item in self._plan.items if isinstance(item, bytes)]
        template = b"* %%d FETCH (%b)\r\n" % b" ".join([_FORMATS.get(name, name + b" %b") for name in names])
        columns: list[Iterable[object]] = [[position + 1 for position in positions]]
        columns.extend(self._column(name, positions, rows, summaries) for name in names)
        self._session.send(b"".join([template % values for values in zip(*columns, strict=True)]))
        if b"FLAGS" in names:
            self._selection.view.told(positions)

    def _column(
        self,
        name: bytes,
        positions: Sequence[int],
        rows: Sequence[MessageRow],
        summaries: Sequence[SummaryRecord],
    ) -> Iterable[object]:
        """The values of one attribute, in the order of the positions."""
        if name in FROM_VIEW:
            return self._viewColumn(name, positions)
        if name in FROM_SUMMARY:
            return [_ofSummary(name, summary) for summary in summaries]
        if name == b"RFC822.SIZE":
            return [row.size for row in rows]
        return [b'"' + formatInternalDate(row.internalSeconds) + b'"' for row in rows]

    def _viewColumn(self, name: bytes, positions: Sequence[int]) -> Iterable[object]:
        view = self._selection.view
        source = view.uids if name == b"UID" else view.modSeqs if name == b"MODSEQ" else view.flags
        dense = isinstance(positions, range)
        values: Iterable[int] = (
            source[positions.start : positions.stop]  # type: ignore[attr-defined]
            if dense
            else [source[position] for position in positions]
        )
        return map(self._selection.flagText, values) if name == b"FLAGS" else values

    # --- sections

    async def _sendMessages(self, positions: Sequence[int], rows: Sequence[MessageRow]) -> None:
        nowSeen = await self._setSeen(positions) if self._plan.setsSeen else frozenset[int]()
        for position, row in zip(positions, rows, strict=True):
            try:
                summary = await self._selection.mailbox.summaryOf(row)
                parts = await self._parts(position, row, summary, isNowSeen=position in nowSeen)
            except Corrupt as error:
                await self._lacks(row, error)
                continue
            await self._sendMessage(position, row, parts)

    async def _setSeen(self, positions: Sequence[int]) -> frozenset[int]:
        """Set \\Seen where it is not set; the positions where it was not."""
        selection, view = self._selection, self._selection.view
        if selection.isExamined:
            return frozenset()
        unseen = [at for at in positions if not view.flags[at] & SEEN and not view.isGone(at)]
        if not unseen:
            return frozenset()
        uids = UidSet.of(view.uids[at] for at in unseen)
        outcome = await selection.mailbox.storeFlags(uids, ADD, ("\\Seen",))
        spans = tuple((at, at + 1) for at in unseen)
        await selection.learnStored(spans, SEEN.__or__, outcome)
        return frozenset(unseen)

    async def _parts(
        self, position: int, row: MessageRow, summary: SummaryRecord, *, isNowSeen: bool
    ) -> list[bytes | tuple[int, int]]:
        """The response in order: octets, and ranges of the message that are too large to read ahead."""
        parts: list[bytes | tuple[int, int]] = []
        hasFlags = b"FLAGS" in self._plan.items
        for item in self._plan.items:
            parts.append(b" " if parts else b"* %d FETCH (" % (position + 1))
            if isinstance(item, Section):
                isSmall = sum(len(part) for part in parts if isinstance(part, bytes)) < AHEAD_OCTETS_MAX
                parts.extend(await self._sectionParts(item, row, summary, readsAhead=isSmall))
            else:
                column = self._column(item, (position,), (row,), (summary,))
                parts.extend(_FORMATS.get(item, item + b" %b") % value for value in column)
        if isNowSeen:
            parts.append(self._newFlags(position, hasFlags=hasFlags))
        parts.append(b")\r\n")
        if hasFlags or isNowSeen:
            self._selection.view.told((position,))
        return parts

    def _newFlags(self, position: int, *, hasFlags: bool) -> bytes:
        """What the client must know of a message that this FETCH has just set \\Seen of (RFC 3501 §6.4.5, RFC 7162 §3.1)."""
        selection, view = self._selection, self._selection.view
        flags = b"" if hasFlags else b" FLAGS " + selection.flagText(view.flags[position])
        tellsModSeq = selection.isCondstore and b"MODSEQ" not in self._plan.items
        return flags + (b" MODSEQ (%d)" % view.modSeqs[position] if tellsModSeq else b"")

    async def _sectionParts(
        self, wanted: Section, row: MessageRow, summary: SummaryRecord, *, readsAhead: bool
    ) -> list[bytes | tuple[int, int]]:
        span = locate(wanted, row, summary)
        if span is None:
            return [wanted.label + b" NIL"]
        start, stop = span
        if wanted.hasFields:
            octets = _cut(await self._readFields(row, start, stop, wanted), wanted)
            return [wanted.label + b" {%d}\r\n" % len(octets), octets]
        start = min(start + wanted.offset, stop)
        if wanted.count is not None:
            stop = min(stop, start + wanted.count)
        announcement = wanted.label + b" {%d}\r\n" % (stop - start)
        if readsAhead and stop - start <= SMALL_OCTETS:
            isVerified = not wanted.isOfHeader and stop - start < row.size <= VERIFIED_OCTETS_MAX
            return [announcement, await self._read(row, start, stop, isVerified)]
        # The size of a literal is a promise (RFC 3501 §4.3): before it is made, some of it is read, for which all of it must be sound.
        if not readsAhead:
            if start < stop:
                await self._piece(row, stop - 1, stop, isPiece=True)
            return [announcement, (start, stop)]
        first = await self._piece(row, start, stop, isPiece=True)
        return [announcement, first, (start + len(first), stop)]

    async def _readFields(self, row: MessageRow, start: int, stop: int, wanted: Section) -> bytes:
        """The fields that are wanted, of a header that is read up to a bound; whoever wants more reads all of it."""
        end = min(stop, start + headerOctetsMax)
        header = await self._read(row, start, end)
        if end < stop:
            header = header[: header.rfind(b"\n") + 1] + b"\r\n"
        if len(header) > SMALL_OCTETS:
            await self._session.breathe()
        return selectFields(header, wanted.fields, wanted.isNegated)

    async def _read(self, row: MessageRow, start: int, stop: int, isPiece: bool = False) -> bytes:
        pieces = []
        while start < stop:
            piece = await self._piece(row, start, stop, isPiece)
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)

    async def _piece(self, row: MessageRow, start: int, stop: int, isPiece: bool = False) -> bytes:
        mailbox, end = self._selection.mailbox, min(stop, start + PIECE_OCTETS)
        octets: bytes = await mailbox.octets(row, start, end, isPiece=isPiece)
        if not octets:
            raise Corrupt("body is short")
        return octets

    async def _sendMessage(
        self, position: int, row: MessageRow, parts: Sequence[bytes | tuple[int, int]]
    ) -> None:
        session = self._session
        for part in parts:
            if isinstance(part, bytes):
                session.send(part)
            else:
                await self._stream(row, *part)
        await session.share()

    async def _stream(self, row: MessageRow, start: int, stop: int) -> None:
        try:
            while start < stop:
                piece = await self._session.patiently(partial(self._piece, row, start, stop, isPiece=True))
                self._session.send(piece)
                start += len(piece)
                await self._session.room()
        except BaseException:
            self._session.cutOff()
            raise


def locate(wanted: Section, row: MessageRow, summary: SummaryRecord) -> tuple[int, int] | None:
    """Where a section lies in the message as clients see it, its per-recipient prefix included; None: there is no such part."""
    if not wanted.path and not wanted.kind:
        return 0, row.size
    whole = findSection(summary.parts, ())
    assert whole is not None
    return findSection(summary.parts, wanted.path, wanted.kind, row.size - whole[1])  # type: ignore[arg-type]


def _cut(octets: bytes, wanted: Section) -> bytes:
    """The part of a section that `<origin.count>` asks for."""
    stop = None if wanted.count is None else wanted.offset + wanted.count
    return octets[wanted.offset : stop]


def _ofSummary(name: bytes, summary: SummaryRecord) -> bytes:
    if name == b"ENVELOPE":
        return summary.envelope
    return summary.bodyStructure if name == b"BODYSTRUCTURE" else bodyOf(summary.bodyStructure)


def _batches(spans: Spans, messagesMax: int) -> Iterator[Sequence[int]]:
    """The positions of the spans, so many at a time at most."""
    gathered: list[int] = []
    for start, stop in spans:
        while start < stop:
            if not gathered and stop - start >= messagesMax:
                yield range(start, start + messagesMax)
                start += messagesMax
                continue
            end = min(stop, start + messagesMax - len(gathered))
            gathered.extend(range(start, end))
            start = end
            if len(gathered) == messagesMax:
                yield gathered
                gathered = []
    if gathered:
        yield gathered
