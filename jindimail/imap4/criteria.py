"""
What SEARCH asks: a tree of criteria, evaluated with what is known of a message (RFC 3501 §6.4.4, RFC 7162 §3.1.5).

Criteria stand on levels of what they cost to know: what the view holds, the hot row, the summary, the header, the whole
message. A criterion that needs a level that is not loaded answers None: unknown. Often the cheap ones decide alone, and AND and OR
ask them first, so that few messages are ever read.

Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from jindimail.imap4.syntax import Ranges
from jindimail.imap4.view import Spans, View

VIEW, ROW, SUMMARY, HEADER, MESSAGE = range(5)


class Facts(Protocol):
    """What is known of one message, up to a level."""

    level: int
    position: int
    uid: int
    flags: int
    modSeq: int
    size: int  # ROW
    internalDay: int  # ROW
    sentDay: int | None  # SUMMARY

    def fieldHolds(self, name: bytes, needle: str) -> bool:
        """HEADER: whether a field of this lower-case name holds the folded needle."""
        ...

    def headerHolds(self, needle: str) -> bool:
        """HEADER: whether the header does."""
        ...

    def bodyHolds(self, needle: str) -> bool:
        """MESSAGE: whether the body does."""
        ...

    def partsHold(self, needle: str) -> bool:
        """MESSAGE: whether the headers of its parts do."""
        ...


class Criterion(Protocol):
    """One condition."""

    @property
    def level(self) -> int:
        """What must be known to decide it."""
        ...

    def test(self, facts: Facts) -> bool | None:
        """Whether a message meets it; None: unknown on this level of facts."""
        ...


@dataclass(frozen=True, slots=True)
class Always:
    """ALL and OLD; not so: NEW, RECENT."""

    answer: bool
    level: int = VIEW

    def test(self, facts: Facts) -> bool:
        """The same for every message."""
        return self.answer


@dataclass(frozen=True, slots=True)
class HasFlags:
    """All these flag bits are set (SEEN…), or none of them (UNSEEN…)."""

    bits: int
    isSet: bool
    level: int = VIEW

    def test(self, facts: Facts) -> bool:
        """By the flags."""
        return (facts.flags & self.bits != 0) is self.isSet


@dataclass(frozen=True, slots=True)
class HasKeyword:
    """A keyword is set or not; its bit is found when the search begins."""

    keyword: str
    isSet: bool
    level: int = VIEW

    def test(self, facts: Facts) -> bool:
        """Never asked: `bind` replaces it."""
        raise AssertionError("unbound")


@dataclass(frozen=True, slots=True)
class InNumbers:
    """A set of message sequence numbers."""

    ranges: Ranges
    level: int = VIEW

    def test(self, facts: Facts) -> bool:
        """Never asked: `bind` replaces it."""
        raise AssertionError("unbound")


@dataclass(frozen=True, slots=True)
class InUids:
    """A set of UIDs."""

    ranges: Ranges
    level: int = VIEW

    def test(self, facts: Facts) -> bool:
        """Never asked: `bind` replaces it."""
        raise AssertionError("unbound")


@dataclass(frozen=True, slots=True)
class InSpans:
    """A set of positions."""

    starts: tuple[int, ...]
    stops: tuple[int, ...]
    level: int = VIEW

    @classmethod
    def of(cls, spans: Spans) -> InSpans:
        """The criterion of these positions."""
        return cls(tuple(start for start, _ in spans), tuple(stop for _, stop in spans))

    def test(self, facts: Facts) -> bool:
        """By the position."""
        at = bisect_right(self.starts, facts.position) - 1
        return at >= 0 and facts.position < self.stops[at]


@dataclass(frozen=True, slots=True)
class ModSeqFrom:
    """MODSEQ: changed at or after."""

    modSeq: int
    level: int = VIEW

    def test(self, facts: Facts) -> bool:
        """By the MODSEQ."""
        return facts.modSeq >= self.modSeq


@dataclass(frozen=True, slots=True)
class Sized:
    """LARGER and SMALLER, both exclusive."""

    octets: int
    isLarger: bool
    level: int = ROW

    def test(self, facts: Facts) -> bool | None:
        """By the size."""
        if facts.level < ROW:
            return None
        return facts.size > self.octets if self.isLarger else facts.size < self.octets


@dataclass(frozen=True, slots=True)
class Arrived:
    """BEFORE, ON and SINCE: days from `first` up to, not including, `stop`."""

    first: int
    stop: int
    level: int = ROW

    def test(self, facts: Facts) -> bool | None:
        """By the internal date, in UTC as it is shown."""
        return None if facts.level < ROW else self.first <= facts.internalDay < self.stop


@dataclass(frozen=True, slots=True)
class Sent:
    """SENTBEFORE, SENTON and SENTSINCE; a message without a Date is in none of them."""

    first: int
    stop: int
    level: int = SUMMARY

    def test(self, facts: Facts) -> bool | None:
        """By the day in the Date field, as written there."""
        if facts.level < SUMMARY:
            return None
        return facts.sentDay is not None and self.first <= facts.sentDay < self.stop


@dataclass(frozen=True, slots=True)
class InField:
    """SUBJECT, FROM, HEADER…: an empty needle asks whether there is such a field."""

    name: bytes
    needle: str
    level: int = HEADER

    def test(self, facts: Facts) -> bool | None:
        """By the decoded field."""
        return None if facts.level < HEADER else facts.fieldHolds(self.name, self.needle)


@dataclass(frozen=True, slots=True)
class InBody:
    """BODY."""

    needle: str
    level: int = MESSAGE

    def test(self, facts: Facts) -> bool | None:
        """By the decoded text parts."""
        return None if facts.level < MESSAGE else facts.bodyHolds(self.needle)


@dataclass(frozen=True, slots=True)
class InText:
    """TEXT: the header, those of the parts, or the body."""

    needle: str
    level: int = HEADER

    def test(self, facts: Facts) -> bool | None:
        """The header may be enough."""
        if facts.level < HEADER:
            return None
        if facts.headerHolds(self.needle):
            return True
        return None if facts.level < MESSAGE else facts.partsHold(self.needle) or facts.bodyHolds(self.needle)


@dataclass(frozen=True, slots=True)
class Not:
    """NOT."""

    criterion: Criterion
    level: int

    def test(self, facts: Facts) -> bool | None:
        """The opposite; unknown stays unknown."""
        found = self.criterion.test(facts)
        return None if found is None else not found


@dataclass(frozen=True, slots=True)
class AllOf:
    """Several criteria at once, the cheapest first."""

    criteria: tuple[Criterion, ...]
    level: int

    def test(self, facts: Facts) -> bool | None:
        """One no is enough."""
        answer: bool | None = True
        for criterion in self.criteria:
            found = criterion.test(facts)
            if found is False:
                return False
            if found is None:
                answer = None
        return answer


@dataclass(frozen=True, slots=True)
class AnyOf:
    """OR, the cheapest first."""

    criteria: tuple[Criterion, ...]
    level: int

    def test(self, facts: Facts) -> bool | None:
        """One yes is enough."""
        answer: bool | None = False
        for criterion in self.criteria:
            found = criterion.test(facts)
            if found:
                return True
            if found is None:
                answer = None
        return answer


def allOf(criteria: list[Criterion]) -> Criterion:
    """All of them."""
    if len(criteria) == 1:
        return criteria[0]
    ordered = sorted(criteria, key=lambda criterion: criterion.level)
    return AllOf(tuple(ordered), ordered[0].level if ordered else VIEW)


def anyOf(criteria: list[Criterion]) -> Criterion:
    """One of them."""
    ordered = sorted(criteria, key=lambda criterion: criterion.level)
    return AnyOf(tuple(ordered), ordered[0].level)


def negate(criterion: Criterion) -> Criterion:
    """The opposite."""
    return criterion.criterion if isinstance(criterion, Not) else Not(criterion, criterion.level)


def bind(criterion: Criterion, view: View, keywordBit: Callable[[str], int]) -> Criterion:
    """The criterion with numbers and keywords replaced by what they mean in a view now."""
    match criterion:
        case HasKeyword(keyword, isSet):
            return HasFlags(keywordBit(keyword), isSet)
        case InNumbers(ranges):
            return InSpans.of(view.spansOfExistingNumbers(ranges))
        case InUids(ranges):
            return InSpans.of(view.spansOfUids(ranges))
        case Not(inner):
            return negate(bind(inner, view, keywordBit))
        case AllOf(criteria):
            return allOf([bind(inner, view, keywordBit) for inner in criteria])
        case AnyOf(criteria):
            return anyOf([bind(inner, view, keywordBit) for inner in criteria])
        case _:
            return criterion


def leaves(criterion: Criterion) -> Iterator[Criterion]:
    """All conditions in a tree that are no combinations."""
    waiting = [criterion]
    while waiting:
        found = waiting.pop()
        if isinstance(found, Not):
            waiting.append(found.criterion)
        elif isinstance(found, AllOf | AnyOf):
            waiting.extend(found.criteria)
        else:
            yield found


def levelsOf(criterion: Criterion) -> tuple[int, ...]:
    """The levels above VIEW that some condition may need, ascending."""
    levels: set[int] = set()
    for leaf in leaves(criterion):
        levels.add(leaf.level)
        if isinstance(leaf, InText):
            levels.add(MESSAGE)
    return tuple(sorted(levels - {VIEW}))
