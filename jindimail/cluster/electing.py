"""
Who shall lead which bucket: the first voter of its wish (design §9). Pure.

Leaders follow weights like replicas, and stay where they are while they can: only one that is away, or no member any more, is
replaced at once; for balance a bounded number moves in a round, and only between nodes that differ enough (`unequal`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Protocol

from msgspec.structs import replace

from jindimail.cluster.arrayrecords import UP, WishRecord

LEADERS_MOVED_MAX = 32  # in one round, for balance only
HYSTERESIS = (
    1.5  # by more than this two nodes must differ in what they have beyond their shares; a move takes 2
)
PAIRS_TRIED = 4


class ILeadable(Protocol):
    """What is to be known of a node here (`planner.PlannedNode`)."""

    @property
    def weight(self) -> int: ...

    @property
    def state(self) -> str: ...

    @property
    def leaderShare(self) -> float: ...


def unequal(over: Mapping[int, float]) -> Iterator[tuple[int, int]]:
    """
    The pairs of nodes, the most unequal first, between which a move makes both more alike.

    @param over: by node, what it has beyond its share.
    """
    ordered = sorted(over, key=lambda node: (over[node], node))
    for heavy, light in product(ordered[: -PAIRS_TRIED - 1 : -1], ordered[:PAIRS_TRIED]):
        if over[heavy] - over[light] > HYSTERESIS:
            yield heavy, light


def electLeaders(
    nodes: Mapping[int, ILeadable],
    before: Mapping[int, WishRecord],
    wished: Mapping[int, WishRecord],
    leaders: Mapping[int, int],
) -> dict[int, WishRecord]:
    """
    The wishes with their leaders in front.

    @param before: the wishes so far: who led stays.
    @param leaders: who leads really, as far as is known.
    """
    willing = {
        node: known.weight * known.leaderShare
        for node, known in nodes.items()
        if known.state == UP and known.weight > 0 and known.leaderShare > 0
    }
    able = willing or {
        node: float(known.weight) for node, known in nodes.items() if known.state == UP and known.weight > 0
    }
    chosen: dict[int, int] = {}
    counts = dict.fromkeys(able, 0)
    for group, wish in wished.items():
        old = before.get(group)
        if old is not None and old.voters[0] in wish.voters and old.voters[0] in able:
            chosen[group] = old.voters[0]
            counts[old.voters[0]] += 1
    fair = len(wished) / sum(able.values())
    for group, wish in wished.items():
        if group in chosen:
            continue
        free = [node for node in wish.voters if node in able]
        actual = leaders.get(group)
        if actual in free and counts[actual] < fair * able[actual]:
            chosen[group] = actual
        elif free:
            chosen[group] = min(free, key=lambda node: ((counts[node] + 1) / able[node], node))
        else:
            continue  # whoever votes is away: nothing to wish for
        counts[chosen[group]] += 1
    _balance(able, counts, chosen, wished)
    return {group: _ledBy(wish, chosen.get(group)) for group, wish in wished.items()}


def _balance(
    able: Mapping[int, float],
    counts: dict[int, int],
    chosen: dict[int, int],
    wished: Mapping[int, WishRecord],
) -> None:
    fair = sum(counts.values()) / sum(able.values())
    for _ in range(LEADERS_MOVED_MAX):
        over = {node: counts[node] - fair * weight for node, weight in able.items()}
        move = next(
            (
                (group, heavy, light)
                for heavy, light in unequal(over)
                for group, leader in chosen.items()
                if leader == heavy and light in wished[group].voters
            ),
            None,
        )
        if move is None:
            return
        group, heavy, light = move
        chosen[group] = light
        counts[heavy] -= 1
        counts[light] += 1


def _ledBy(wish: WishRecord, leader: int | None) -> WishRecord:
    if leader is None:
        return wish
    others = tuple(node for node in wish.voters if node != leader)
    return replace(wish, voters=(leader, *others))
