"""
Which nodes shall have which group's replicas: a plan from the nodes and the wishes so far (design §9). Pure.

Replicas follow weights; a group's replicas stand on different hosts where there are any; what stands well stays. A node that
joins takes about its share, and nothing else moves: only the most and the least loaded exchange replicas, a few a round, and only if
they differ by more than one replica from their shares (the hysteresis).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from jindimail.cluster.arrayrecords import DOWN, JOINING, UP, WishRecord
from jindimail.model import ARRAY_GROUP

ARRAY_VOTERS_MAX = 5
MOVES_MAX = 8  # replicas that move only for balance, in one round
HYSTERESIS = 1.0  # replicas beyond the share


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedNode:
    """What the plan needs to know of a node."""

    weight: int  # 0: a witness
    host: str
    state: str
    downSeconds: float = 0.0


@dataclass(slots=True)
class _Plan:
    nodes: Mapping[int, PlannedNode]
    repairSeconds: float
    counts: dict[int, int] = field(default_factory=dict)

    def isKept(self, node: int) -> bool:
        """Whether a replica there is left where it is: a node that is down for a moment comes back."""
        known = self.nodes.get(node)
        return known is not None and (
            known.state in (UP, JOINING) or (known.state == DOWN and known.downSeconds < self.repairSeconds)
        )

    def share(self, node: int) -> float:
        """Replicas by weight: the measure that is made equal."""
        return self.counts.get(node, 0) / max(1, self.nodes[node].weight)

    def full(self) -> list[int]:
        """The nodes that new replicas may go to."""
        return [node for node, known in self.nodes.items() if known.state == UP and known.weight > 0]

    def best(self, taken: Collection[int]) -> int | None:
        """The least loaded node for one more replica, on a host of its own if there is one."""
        hosts = {self.nodes[node].host for node in taken if node in self.nodes}
        free = [node for node in self.full() if node not in taken]
        return min(
            free,
            key=lambda node: (
                self.nodes[node].host in hosts,
                (self.counts.get(node, 0) + 1) / self.nodes[node].weight,
                node,
            ),
            default=None,
        )


def plan(
    nodes: Mapping[int, PlannedNode],
    wishes: Mapping[int, WishRecord],
    groups: Collection[int],
    *,
    replicas: int,
    repairSeconds: float = 60.0,
) -> dict[int, WishRecord]:
    """
    The wishes that differ from those so far, by group; empty when all is well.

    Where no full node is left, nothing is wished: there is nowhere to go.
    """
    made = _Plan(nodes, repairSeconds)
    if not made.full():
        return {}
    placed = {group: _kept(made, wishes.get(group)) for group in groups}
    for members in placed.values():
        for node in members:
            made.counts[node] = made.counts.get(node, 0) + 1
    for group in groups:
        _fill(made, placed[group], ARRAY_VOTERS_MAX if group == ARRAY_GROUP else replicas)
    _balance(made, placed)
    wished = {group: _wish(made, members) for group, members in placed.items()}
    return {group: wish for group, wish in wished.items() if not _isSame(wish, wishes.get(group))}


def _kept(made: _Plan, wish: WishRecord | None) -> list[int]:
    if wish is None:
        return []
    full = (node for node in (*wish.voters, *wish.learners) if made.isKept(node))
    return [node for node in full if made.nodes[node].weight > 0]


def _fill(made: _Plan, members: list[int], replicas: int) -> None:
    while len(members) > replicas:
        surplus = max(members, key=lambda node: (made.share(node), node))
        members.remove(surplus)
        made.counts[surplus] -= 1
    while len(members) < replicas:
        node = made.best(members)
        if node is None:
            return
        members.append(node)
        made.counts[node] = made.counts.get(node, 0) + 1


def _balance(made: _Plan, placed: Mapping[int, list[int]]) -> None:
    """Move replicas of buckets from the most to the least loaded, while that makes them more alike."""
    for _ in range(MOVES_MAX):
        full = made.full()
        heavy, light = max(full, key=made.share), min(full, key=made.share)
        total = sum(made.nodes[node].weight for node in full)
        held = sum(made.counts.get(node, 0) for node in full)
        ideal = {node: held * made.nodes[node].weight / total for node in (heavy, light)}
        over = made.counts.get(heavy, 0) - ideal[heavy]
        under = ideal[light] - made.counts.get(light, 0)
        if over <= HYSTERESIS or under <= HYSTERESIS or not _move(made, placed, heavy, light):
            return


def _move(made: _Plan, placed: Mapping[int, list[int]], heavy: int, light: int) -> bool:
    for group, members in placed.items():
        if group == ARRAY_GROUP or heavy not in members or light in members:
            continue
        others = {made.nodes[node].host for node in members if node != heavy}
        isWorse = made.nodes[light].host in others and made.nodes[heavy].host not in others
        if not isWorse:
            members[members.index(heavy)] = light
            made.counts[heavy] -= 1
            made.counts[light] = made.counts.get(light, 0) + 1
            return True
    return False


def _wish(made: _Plan, members: list[int]) -> WishRecord:
    """An odd number of voters; two full nodes vote together only with a witness, else the second one learns."""
    if len(members) % 2:
        return WishRecord(voters=tuple(members))
    witness = next(
        (node for node, known in made.nodes.items() if known.weight == 0 and made.isKept(node)), None
    )
    if witness is not None:
        return WishRecord(voters=(*members, witness))
    return WishRecord(voters=tuple(members[:-1]), learners=tuple(members[-1:]))


def _isSame(wish: WishRecord, before: WishRecord | None) -> bool:
    return (
        before is not None
        and set(wish.voters) == set(before.voters)
        and set(wish.learners) == set(before.learners)
    )
