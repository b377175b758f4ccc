"""What clients were promised and what they saw, held against each other while an array is in trouble.

Messages bear numbers (tests/support/ledger.py). The book knows of each place that a message may be in (an account's mailbox) how many copies
must be there and how many may be: an operation widens that when it begins and narrows it when it is acknowledged; one that is never answered
leaves it wide. Mail for a bucket that does not answer waits in another's queue, acknowledged (design §7): until the array is calm, what nobody has seen yet may be
there (`mayWait`). Every event has a number, so that a reading can be judged fairly: it must show what was settled before it began, and
must not show what was over by then; of what happened meanwhile nothing is said. What one reading saw binds all later ones, whatever node they ask: a UID means
one message for ever, what is gone stays gone, UIDNEXT and MODSEQ never fall.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

INBOX = "INBOX"
PROBLEMS_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One message as a reading showed it; a `number` of None is a message that nobody sent, or with other octets."""

    uid: int
    number: int | None
    flags: frozenset[str] = frozenset()
    modseq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One whole mailbox as a session saw it after SELECT."""

    uidValidity: int
    uidNext: int
    highestModseq: int
    rows: Sequence[Row]


@dataclass(slots=True)
class _Place:
    """How many copies of a message must and may be in a mailbox, each since which event, and with which flags."""

    least: int = 0
    leastAt: int = 0
    most: int = 0
    mostAt: int = 0
    marks: dict[str, int] = field(default_factory=dict)  # acknowledged, and since when
    marksMay: set[str] = field(default_factory=set)
    isSeen: bool = False


@dataclass(slots=True)
class _Mailbox:
    """What all readings together know of a mailbox."""

    uidValidity: int | None = None
    uidNext: int = 0
    highestModseq: int = 0
    coveredTo: int = 0  # all UIDs below were either shown or gone
    numbers: dict[int, tuple[int | None, int]] = field(default_factory=dict)  # UID: number, first seen
    gone: dict[int, int] = field(default_factory=dict)  # UID: since when
    modseqs: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A reading that has begun: what is known by now binds it."""

    address: str
    mailbox: str
    where: str
    at: int
    uidNext: int
    highestModseq: int
    coveredTo: int
    modseqs: dict[int, int]


class Promises:
    """
    Thread-safe.

    @ivar problems: what was seen and must not be, in words; at most `PROBLEMS_MAX`.
    @ivar mayWait: whether mail for an address may wait in a queue.
    """

    def __init__(self, mayWait: Callable[[str], bool] = lambda address: False) -> None:
        self.mayWait = mayWait
        self._lock = threading.RLock()
        self._event = 0
        self._sent = 0
        self._places: dict[tuple[str, str, int], _Place] = defaultdict(_Place)  # address, mailbox, number
        self._kept: set[tuple[str, int]] = set()  # must be in some mailbox of the account
        self._claimed: set[tuple[str, str, int]] = set()
        self._mailboxes: dict[tuple[str, str], _Mailbox] = defaultdict(_Mailbox)
        self._uidls: dict[tuple[str, str], int | None] = {}
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()

    # --- what is asked for and promised --------------------------------------------------------------------

    def sent(self, addresses: Iterable[str]) -> int:
        """A new number for a message that is about to be sent to these."""
        with self._lock:
            self._sent += 1
            for address in addresses:
                self._may(self._place(address, INBOX, self._sent))
            return self._sent

    def delivered(self, number: int, address: str) -> None:
        """It was acknowledged. One that a reader deleted before the sender heard of it stays deleted."""
        with self._lock:
            place = self._place(address, INBOX, number)
            if place.most and (address, INBOX, number) not in self._claimed and place.leastAt == 0:
                self._must(place)
                self._kept.add((address, number))
            self.counts["delivered"] += 1

    def refused(self, number: int, address: str) -> None:
        """It was refused for good: it must not be there."""
        with self._lock:
            self._over(self._place(address, INBOX, number))
            self.counts["refused"] += 1

    def claim(self, address: str, mailbox: str, numbers: Iterable[int], count: int) -> list[int]:
        """Up to `count` of these messages for one client alone to change, until it releases them."""
        with self._lock:
            taken = []
            for number in numbers:
                key = (address, mailbox, number)
                place = self._places.get(key)
                if len(taken) < count and key not in self._claimed and place is not None and place.most:
                    taken.append(number)
                    self._claimed.add(key)
            return taken

    def release(self, address: str, mailbox: str, numbers: Iterable[int]) -> None:
        """The client has its answer, or will never have one."""
        with self._lock:
            self._claimed.difference_update((address, mailbox, number) for number in numbers)

    def removing(self, address: str, mailbox: str, numbers: Iterable[int]) -> None:
        """A client is about to ask that these be removed."""
        with self._lock:
            for number in numbers:
                self._mayNot(self._place(address, mailbox, number))
                self._kept.discard((address, number))

    def removed(self, address: str, mailbox: str, numbers: Iterable[int]) -> None:
        """That was acknowledged."""
        with self._lock:
            for number in numbers:
                self._over(self._place(address, mailbox, number))
                self.counts["removed"] += 1

    def copying(self, address: str, source: str, target: str, numbers: Iterable[int]) -> list[int]:
        """A client is about to copy these; those that may be there already are left out of the answer."""
        with self._lock:
            fresh = [each for each in numbers if (address, target, each) not in self._places]
            for number in fresh:
                place = self._place(address, target, number)
                self._may(place)
                place.marksMay |= self._place(address, source, number).marksMay
            return fresh

    def moving(self, address: str, source: str, numbers: Iterable[int]) -> None:
        """They are also to vanish from their source (after `copying`): they may be in either, and must be in one."""
        with self._lock:
            for number in numbers:
                self._mayNot(self._place(address, source, number))

    def copied(self, address: str, source: str, target: str, numbers: Iterable[int]) -> None:
        """That was acknowledged."""
        with self._lock:
            for number in numbers:
                place = self._place(address, target, number)
                if place.leastAt == 0 and (address, target, number) not in self._claimed:
                    self._must(place)  # or else another client has seen it there, and removes it
                place.marks = dict.fromkeys(self._place(address, source, number).marks, self._event)
                self.counts["copied"] += 1

    def moved(self, address: str, source: str, target: str, numbers: Iterable[int]) -> None:
        """That was acknowledged."""
        with self._lock:
            self.copied(address, source, target, numbers)
            for number in numbers:
                self._over(self._place(address, source, number))
                self.counts["moved"] += 1

    def marking(self, address: str, mailbox: str, numbers: Iterable[int], flag: str) -> None:
        """A client is about to set a flag; flags are never taken off here."""
        with self._lock:
            for number in numbers:
                self._place(address, mailbox, number).marksMay.add(flag)

    def marked(self, address: str, mailbox: str, numbers: Iterable[int], flag: str) -> None:
        """That was acknowledged."""
        with self._lock:
            self._event += 1
            for number in numbers:
                self._place(address, mailbox, number).marks.setdefault(flag, self._event)
                self.counts["marked"] += 1

    # --- what is seen --------------------------------------------------------------------------------------

    def look(self, address: str, mailbox: str, where: str) -> Look:
        """A reading begins at the node `where`, before it asks anything."""
        with self._lock:
            self._event += 1
            known = self._mailboxes[address, mailbox]
            return Look(
                address=address,
                mailbox=mailbox,
                where=where,
                at=self._event,
                uidNext=known.uidNext,
                highestModseq=known.highestModseq,
                coveredTo=known.coveredTo,
                modseqs=dict(known.modseqs),
            )

    def saw(self, look: Look, reading: Reading) -> None:
        """The reading is done: judge it, and learn from it."""
        with self._lock:
            self.counts["readings"] += 1
            self._judgeNumbers(look, reading)
            for row in reading.rows:
                self._judgeRow(look, reading, row)
            self._judgeContent(look, Counter(row.number for row in reading.rows if row.number is not None))
            self._learn(look, reading)

    def sawMaildrop(self, look: Look, messages: Sequence[tuple[str, int | None]]) -> None:
        """The same for POP3: the UIDL and number of each message."""
        with self._lock:
            self.counts["maildrops"] += 1
            for uidl, number in messages:
                if self._uidls.setdefault((look.address, uidl), number) != number:
                    self._wrong(look, f"UIDL {uidl} is message {number} now")
            self._judgeContent(look, Counter(number for _, number in messages if number is not None))
            if any(number is None for _, number in messages):
                self._wrong(look, "a message with other octets than were sent")

    def sawWhole(self, address: str, where: str, numbers: Iterable[int]) -> None:
        """In a calm array: these are in any of the account's mailboxes."""
        with self._lock:
            missing = {number for owner, number in self._kept if owner == address} - set(numbers)
            self.problems += [
                f"{address} at {where}: message {each} is in no mailbox" for each in sorted(missing)
            ]

    def problem(self, text: str) -> None:
        """Something else is wrong."""
        with self._lock:
            if len(self.problems) < PROBLEMS_MAX:
                self.problems.append(text)

    def known(self, address: str, mailbox: str) -> int:
        """How many messages must be there now."""
        with self._lock:
            return sum(
                place.least
                for (owner, name, _), place in self._places.items()
                if (owner, name) == (address, mailbox)
            )

    def forgetValidity(self, address: str) -> None:
        """After a forced recovery all of the account's mailboxes begin anew."""
        with self._lock:
            for owner, mailbox in list(self._mailboxes):
                if owner == address:
                    del self._mailboxes[owner, mailbox]

    # --- judging -------------------------------------------------------------------------------------------

    def _judgeNumbers(self, look: Look, reading: Reading) -> None:
        known = self._mailboxes[look.address, look.mailbox]
        if known.uidValidity not in (None, reading.uidValidity):
            self._wrong(look, f"UIDVALIDITY {reading.uidValidity}, it was {known.uidValidity}")
        if reading.uidNext < look.uidNext:
            self._wrong(look, f"UIDNEXT {reading.uidNext}, it was {look.uidNext}")
        if reading.highestModseq < look.highestModseq:
            self._wrong(look, f"HIGHESTMODSEQ {reading.highestModseq}, it was {look.highestModseq}")
        uids = [row.uid for row in reading.rows]
        if uids != sorted(set(uids)):
            self._wrong(look, f"UIDs do not rise: {uids}")

    def _judgeRow(self, look: Look, reading: Reading, row: Row) -> None:
        known = self._mailboxes[look.address, look.mailbox]
        if row.number is None:
            self._wrong(look, f"UID {row.uid}: other octets than were sent")
            return
        number, firstSeen = known.numbers.get(row.uid, (row.number, self._event + 1))
        if number != row.number:
            self._wrong(look, f"UID {row.uid} is message {row.number}, it was {number}")
        if known.gone.get(row.uid, self._event + 1) <= look.at:
            self._wrong(look, f"UID {row.uid} (message {row.number}) was gone and is back")
        if row.uid < look.coveredTo and firstSeen > look.at:
            self._wrong(look, f"UID {row.uid} (message {row.number}) came below UIDNEXT {look.coveredTo}")
        if row.modseq < look.modseqs.get(row.uid, 0):
            self._wrong(look, f"UID {row.uid}: MODSEQ {row.modseq}, it was {look.modseqs[row.uid]}")
        place = self._places.get((look.address, look.mailbox, row.number), _Place())
        missing = {flag for flag, since in place.marks.items() if since <= look.at} - row.flags
        if missing or row.flags - place.marksMay:
            self._wrong(look, f"message {row.number}: flags {sorted(row.flags)}, not {sorted(place.marks)}")

    def _judgeContent(self, look: Look, found: Counter[int]) -> None:
        for number, count in found.items():
            place = self._places.get((look.address, look.mailbox, number))
            if place is None or (place.most == 0 and place.mostAt <= look.at):
                self._wrong(look, f"message {number} must not be there")
            elif count > 1:
                self._wrong(look, f"message {number} is there {count} times")
            if place is not None:
                place.isSeen = True
        for (address, mailbox, number), place in self._places.items():
            isHere = (address, mailbox) == (look.address, look.mailbox)
            if isHere and number not in found and place.least and place.leastAt <= look.at:
                if place.isSeen or mailbox != INBOX or not self.mayWait(address):
                    self._wrong(look, f"message {number} must be there")
                else:
                    self.counts["late"] += 1

    def _learn(self, look: Look, reading: Reading) -> None:
        self._event += 1
        known = self._mailboxes[look.address, look.mailbox]
        known.uidValidity = reading.uidValidity
        known.uidNext = max(known.uidNext, reading.uidNext)
        known.highestModseq = max(known.highestModseq, reading.highestModseq)
        known.coveredTo = max(known.coveredTo, reading.uidNext)
        for row in reading.rows:
            known.numbers.setdefault(row.uid, (row.number, self._event))
            known.modseqs[row.uid] = max(known.modseqs.get(row.uid, 0), row.modseq)
        shown = {row.uid for row in reading.rows}
        for uid in known.numbers:
            if uid < reading.uidNext and uid not in shown:
                known.gone.setdefault(uid, self._event)

    # --- places --------------------------------------------------------------------------------------------

    def _place(self, address: str, mailbox: str, number: int) -> _Place:
        self._event += 1
        return self._places[address, mailbox, number]

    def _may(self, place: _Place) -> None:
        place.most, place.mostAt = 1, self._event

    def _must(self, place: _Place) -> None:
        place.least, place.leastAt = 1, self._event

    def _mayNot(self, place: _Place) -> None:
        place.least, place.leastAt = 0, self._event

    def _over(self, place: _Place) -> None:
        place.least = place.most = 0
        place.leastAt = place.mostAt = self._event

    def _wrong(self, look: Look, text: str) -> None:
        self.problem(f"{look.address} {look.mailbox} at {look.where}: {text}")
