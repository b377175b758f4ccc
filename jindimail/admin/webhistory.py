"""
The last minutes of a node, in slots of a few seconds: messages filed, and how long things took. Pure.

Times are kept as classes of a histogram (counts.py), so that those of several nodes can be added and the share of any of them be told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from jindimail.counts import SECONDS_BOUNDS, quantile

SLOT_SECONDS = 5
SLOTS_MAX = 120
CLASSES = len(SECONDS_BOUNDS) + 1
NOTHING = (0,) * CLASSES

Classes = tuple[int, ...]


class Slot(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What happened within one slot; `number` counts slots since the epoch."""

    number: int
    filed: int = 0
    delivery: Classes = NOTHING
    commit: Classes = NOTHING
    lag: Classes = NOTHING


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What a node has counted since it started."""

    filed: int = 0
    delivery: Classes = NOTHING
    commit: Classes = NOTHING
    lag: Classes = NOTHING


class History:
    """The slots of one node, oldest first."""

    def __init__(self, totals: Totals) -> None:
        """Begin where the counts stand."""
        self._last = totals
        self._slots: deque[Slot] = deque(maxlen=SLOTS_MAX)

    def sample(self, seconds: float, totals: Totals) -> None:
        """Close the slot that ends now. Two samples within one slot are one."""
        last, self._last = self._last, totals
        slot = Slot(
            number=int(seconds // SLOT_SECONDS),
            filed=totals.filed - last.filed,
            delivery=_less(totals.delivery, last.delivery),
            commit=_less(totals.commit, last.commit),
            lag=_less(totals.lag, last.lag),
        )
        if self._slots and self._slots[-1].number == slot.number:
            slot = _both(self._slots.pop(), slot)
        self._slots.append(slot)

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All of them."""
        return tuple(self._slots)


def together(histories: Iterable[Sequence[Slot]], until: int) -> list[Slot]:
    """The sums of several nodes' slots: exactly SLOTS_MAX of them, up to and with the number `until`; gaps are empty."""
    sums: dict[int, Slot] = {}
    for history in histories:
        for slot in history:
            known = sums.get(slot.number)
            sums[slot.number] = slot if known is None else _both(known, slot)
    return [sums.get(number, Slot(number=number)) for number in range(until - SLOTS_MAX + 1, until + 1)]


def share(classes: Iterable[Classes], part: float) -> float:
    """The time that this part of all that was counted did not exceed, in seconds."""
    total = NOTHING
    for each in classes:
        total = _sum(total, each)
    return quantile(SECONDS_BOUNDS, total, part)


def _both(one: Slot, other: Slot) -> Slot:
    return Slot(
        number=one.number,
        filed=one.filed + other.filed,
        delivery=_sum(one.delivery, other.delivery),
        commit=_sum(one.commit, other.commit),
        lag=_sum(one.lag, other.lag),
    )


def _sum(one: Classes, other: Classes) -> Classes:
    return tuple(map(int.__add__, one, other))


def _less(one: Classes, other: Classes) -> Classes:
    return tuple(map(int.__sub__, one, other))
