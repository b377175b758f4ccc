"""
The carrying out of a search: cheap facts of all messages first, then dear ones of those still undecided (`criteria`).

Reads are bounded and pause for the reactor; a client that goes away ends them.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from jindimail.errors import Corrupt
from jindimail.imap4.criteria import HEADER, MESSAGE, ROW, VIEW, Criterion, bind, leaves, levelsOf
from jindimail.imap4.selection import Selection
from jindimail.message.dates import parseDate
from jindimail.message.headers import fieldValues, headerEnd
from jindimail.message.search import SoughtHeader, foldedBody, foldedParts
from jindimail.message.structure import parse
from jindimail.model import UidSet
from jindimail.store.records import MessageRow

if TYPE_CHECKING:
    from jindimail.imap4.session import ImapSession

VIEW_BATCH = 5_000
FEW_CONDITIONS = 20  # with more, there are more pauses
ROWS_BATCH = 500
READ_BATCH_OCTETS = 512 * 1024  # read between pauses
SOUGHT_OCTETS = 8 * 1024 * 1024  # looked through between pauses, for one condition after the other
STEPS_BATCH = 8
PIECE_OCTETS = 1024 * 1024
MESSAGE_OCTETS_MAX = 8 * 1024 * 1024  # of one message that are looked at
_HEADER_GUESS_OCTETS = 4096
_DAY_SECONDS = 86_400


class MessageFacts:
    """What is known of a message so far (`criteria.Facts`); what was sought in its texts once is remembered."""

    __slots__ = (
        "_body",
        "_header",
        "_inBody",
        "_inField",
        "_inHeader",
        "_inParts",
        "_parts",
        "flags",
        "internalDay",
        "level",
        "modSeq",
        "position",
        "sentDay",
        "size",
        "uid",
    )

    def __init__(self) -> None:
        self.level = VIEW
        self.position = self.uid = self.flags = self.modSeq = 0
        self.size = self.internalDay = 0
        self.sentDay: int | None = None
        self._header = SoughtHeader(b"")
        self._body: list[str] = []
        self._inField: dict[tuple[bytes, str], bool] = {}  # by needle, as the next two
        self._inHeader: dict[str, bool] = {}
        self._inBody: dict[str, bool] = {}
        self._parts: list[str] = []
        self._inParts: dict[str, bool] = {}

    def look(self, selection: Selection, position: int) -> None:
        """Begin with a message."""
        view = selection.view
        self.level = VIEW
        self.position = position
        self.uid, self.flags, self.modSeq = view.uids[position], view.flags[position], view.modSeqs[position]

    def learnRow(self, row: MessageRow) -> None:
        """ROW."""
        self.level = ROW
        self.size = row.size
        self.internalDay = row.internalSeconds // _DAY_SECONDS

    def learnHeader(self, header: bytes) -> None:
        """SUMMARY and HEADER."""
        self._header = SoughtHeader(header)
        dates = fieldValues(header, b"date")
        sent = parseDate(dates[0]) if dates else None
        self.sentDay = None if sent is None else sent.day
        self.level = HEADER

    def learnMessage(self, body: list[str], parts: list[str]) -> None:
        """MESSAGE, by the folded texts of its body, and the fields of its parts."""
        self._body, self._parts = body, parts
        self.level = MESSAGE

    def fieldHolds(self, name: bytes, needle: str) -> bool:
        """See `criteria.Facts`."""
        held = self._inField.get((name, needle))
        if held is None:
            held = self._inField[name, needle] = self._header.fieldHolds(name, needle)
        return held

    def headerHolds(self, needle: str) -> bool:
        """See `criteria.Facts`."""
        held = self._inHeader.get(needle)
        if held is None:
            held = self._inHeader[needle] = self._header.holds(needle)
        return held

    def bodyHolds(self, needle: str) -> bool:
        """See `criteria.Facts`."""
        held = self._inBody.get(needle)
        if held is None:
            held = self._inBody[needle] = any(needle in text for text in self._body)
        return held

    def partsHold(self, needle: str) -> bool:
        """See `criteria.Facts`."""
        held = self._inParts.get(needle)
        if held is None:
            held = self._inParts[needle] = any(needle in text for text in self._parts)
        return held

    def forget(self) -> None:
        """Let go of what is large."""
        self._header = SoughtHeader(b"")
        self._body, self._parts = [], []
        self._inField, self._inHeader, self._inBody, self._inParts = {}, {}, {}, {}


async def search(session: ImapSession, selection: Selection, criterion: Criterion) -> list[int]:
    """The positions of the messages that meet a criterion, ascending."""
    bound = bind(criterion, selection.view, selection.bitOf)
    found, undecided = await _byView(session, selection, bound)
    if undecided:
        for start in range(0, len(undecided), ROWS_BATCH):
            found += await _byReading(session, selection, bound, undecided[start : start + ROWS_BATCH])
        found.sort()
    return found


async def _byView(
    session: ImapSession, selection: Selection, criterion: Criterion
) -> tuple[list[int], list[int]]:
    """The positions that the view alone decides for, and those it cannot decide."""
    found: list[int] = []
    undecided: list[int] = []
    facts, count, isGone = MessageFacts(), len(selection.view), selection.view.isGone
    batch = VIEW_BATCH * FEW_CONDITIONS // max(FEW_CONDITIONS, sum(1 for _ in leaves(criterion)))
    for position in range(count):
        facts.look(selection, position)
        answer = criterion.test(facts)
        if answer:
            found.append(position)
        elif answer is None and not isGone(position):
            undecided.append(position)
        if position % batch == batch - 1:
            await session.breathe()
    return found, undecided


async def _byReading(
    session: ImapSession, selection: Selection, criterion: Criterion, positions: Sequence[int]
) -> list[int]:
    """Which of the undecided positions meet the criterion."""
    view, found, facts, readOctets = selection.view, [], MessageFacts(), 0
    levels = levelsOf(criterion)
    sought = [leaf for leaf in leaves(criterion) if leaf.level >= HEADER]
    rows: list[MessageRow] = await selection.mailbox.rowsOf(UidSet.of(view.uids[at] for at in positions))
    for row in rows:
        position = view.position(row.uid)
        if position is None:
            continue
        facts.look(selection, position)
        facts.learnRow(row)
        answer = criterion.test(facts)
        if answer is None:
            try:
                readOctets += await _learn(session, selection, criterion, facts, row, levels, sought)
                answer = criterion.test(facts)
            except Corrupt:
                answer = False
            facts.forget()
        if answer:
            found.append(position)
        if readOctets >= READ_BATCH_OCTETS:
            readOctets = 0
            await session.breathe()
        await session.share()
    await session.breathe()
    return found


async def _learn(
    session: ImapSession,
    selection: Selection,
    criterion: Criterion,
    facts: MessageFacts,
    row: MessageRow,
    levels: Sequence[int],
    sought: Sequence[Criterion],
) -> int:
    """Read the header, and then, if that decides nothing, the message; how much was read, as often as it is looked through."""
    often = max(1, len(sought) // FEW_CONDITIONS)
    header = await _readHeader(selection, row)
    facts.learnHeader(header)
    await _seek(session, facts, sought, len(header))
    if MESSAGE not in levels or criterion.test(facts) is not None:
        return len(header) * often
    octets = await _read(selection, row, min(row.size, MESSAGE_OCTETS_MAX))
    if len(octets) > READ_BATCH_OCTETS:
        await session.breathe()
    part = parse(octets)
    body = await _stepped(session, foldedBody(part, octets))
    facts.learnMessage(body, await _stepped(session, foldedParts(part, octets)))
    await _seek(session, facts, sought, len(octets))
    return len(octets) * often


async def _seek(session: ImapSession, facts: MessageFacts, sought: Sequence[Criterion], octets: int) -> None:
    """Where all conditions about texts at once would take long: one by one, with pauses; the facts remember what was found."""
    if len(sought) * octets <= SOUGHT_OCTETS:
        return
    lookedThrough = 0
    for condition in sought:
        condition.test(facts)
        lookedThrough += octets
        if lookedThrough >= SOUGHT_OCTETS:
            lookedThrough = 0
            await session.breathe()


async def _stepped(session: ImapSession, steps: Generator[None, None, list[str]]) -> list[str]:
    """The texts that come of so many steps, made with pauses."""
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            texts: list[str] = end.value
            return texts
        count += 1
        if count % STEPS_BATCH == 0:
            await session.breathe()


async def _readHeader(selection: Selection, row: MessageRow) -> bytes:
    """The header with its blank line; most are short."""
    guess = min(row.size, _HEADER_GUESS_OCTETS)
    octets = await _read(selection, row, guess)
    end = headerEnd(octets, 0, len(octets))
    if end < len(octets) or guess == row.size:
        return octets[:end]
    octets = await _read(selection, row, min(row.size, PIECE_OCTETS))
    return octets[: headerEnd(octets, 0, len(octets))]


async def _read(selection: Selection, row: MessageRow, stop: int) -> bytes:
    pieces: list[bytes] = []
    start = 0
    while start < stop:
        piece: bytes = await selection.mailbox.octets(row, start, min(stop, start + PIECE_OCTETS))
        if not piece:
            raise Corrupt("body is short")
        pieces.append(piece)
        start += len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
