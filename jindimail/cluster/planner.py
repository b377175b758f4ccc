"""
Which nodes shall have which group's replicas, and which shall lead: a plan from the nodes and the wishes so far (design §9). Pure.

Replicas and leaders follow weights; a group's replicas stand on different hosts where there are any; what stands well stays. A node that
joins takes about its share, and nothing else moves: replicas move from more to less loaded nodes, a few a round, and only if
they differ enough (`electing.unequal`: the hysteresis). `electing` chooses the leaders, which move first, since that costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from jindimail.cluster.arrayrecords import DOWN, DRAINING, GONE, JOINING, UP, NodeRecord, WishRecord
from jindimail.cluster.downtime import DownSeconds
from jindimail.cluster.electing import electLeaders, unequal
from jindimail.model import ARRAY_GROUP

ARRAY_VOTERS_MAX = 5
# So many nodes share buckets with each other all alike, more of them with few peers each.
SPREAD_NODES_MAX = 7
MOVES_MAX = 64  # replicas that move only for balance, in one round
PEERS_MAX = 8  # nodes that share buckets with a node, where that can be: heartbeats cost by the pair


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedNode:
    """
    What the plan needs to know of a node.

    @ivar weight: 0 for a witness.
    @ivar downSeconds: for how long it has been down, or is joining.
    @ivar leaderShare: the part of its weight with which it leads: less for one that is loaded above the others, 0 for one that
        should lead nothing (its disk is full or stuck).
    """

    weight: int
    host: str
    state: str
    downSeconds: float = 0.0
    leaderShare: float = 1.0


@dataclass(slots=True)
class _Plan:
    nodes: Mapping[int, PlannedNode]
    repairSeconds: float
    counts: dict[int, int] = field(default_factory=dict)
    peers: dict[int, dict[int, int]] = field(default_factory=dict)  # node → peer → groups shared
    isSmall: bool = False

    def isKept(self, node: int) -> bool:
        """Whether a replica there is left where it is: a node that is down for a moment comes back."""
        known = self.nodes.get(node)
        return known is not None and (
            known.state in (UP, JOINING) or (known.state == DOWN and known.downSeconds < self.repairSeconds)
        )

    def isStale(self, node: int) -> bool:
        """Whether another takes a node's place as soon as there is one: it is down for long, or to go when one that joins is up."""
        known = self.nodes.get(node)
        if known is None:
            return False
        return (known.state == DOWN and not self.isKept(node)) or (
            known.state == DRAINING and self.awaitsAnother()
        )

    def awaitsAnother(self) -> bool:
        """Whether a node that may keep bodies has just been admitted, and is not up yet."""
        return any(
            known.state == JOINING and known.weight > 0 and known.downSeconds < self.repairSeconds
            for known in self.nodes.values()
        )

    def mayAgree(self, wish: WishRecord | None, leader: int | None) -> bool:
        """
        Whether a group may carry a wish out: it has a leader, or not most of those that were to vote are down. Of one that can't, who goes by the wish
        shall see that it can't: it stays as it is until one of them is back, or given up.
        """
        known = None if leader is None else self.nodes.get(leader)
        if wish is None or (known is not None and known.state == UP):
            return True
        down = sum(node in self.nodes and self.nodes[node].state == DOWN for node in wish.voters)
        return 2 * down < len(wish.voters)

    def isFull(self, node: int) -> bool:
        """Whether a node may keep bodies."""
        return self.nodes[node].weight > 0

    def share(self, node: int) -> float:
        """Replicas by weight: the measure that is made equal."""
        return self.counts.get(node, 0) / max(1, self.nodes[node].weight)

    def full(self) -> list[int]:
        """The nodes that new replicas may go to."""
        return [node for node, known in self.nodes.items() if known.state == UP and known.weight > 0]

    def witness(self) -> int | None:
        """A node that may vote beside two full ones."""
        return next((node for node in self.nodes if not self.isFull(node) and self.isKept(node)), None)

    def put(self, node: int, others: Iterable[int], change: int = 1) -> None:
        """A replica comes to a node (or, -1, goes), beside these others."""
        self.counts[node] = self.counts.get(node, 0) + change
        for other in others:
            for one, two in ((node, other), (other, node)):
                shared = self.peers.setdefault(one, {})
                shared[two] = shared.get(two, 0) + change
                if not shared[two]:
                    del shared[two]

    def strangers(self, node: int, others: Collection[int]) -> int:
        """How many peers beyond the bound a replica at a node would make, beside these others."""
        peers = self.peers.get(node, {})
        fresh = [other for other in others if other not in peers]
        mine = max(0, len(peers) + len(fresh) - PEERS_MAX) if fresh else 0
        return mine + sum(len(self.peers.get(other, {})) >= PEERS_MAX for other in fresh)

    def shared(self, node: int, others: Iterable[int]) -> int:
        """
        How many groups a node has in common with these others: the fewer, the less stands still when it is lost together with one of them. Not
        looked at in a large array, where a node shall have few peers.
        """
        if not self.isSmall:
            return 0
        peers = self.peers.get(node, {})
        return sum(peers.get(other, 0) for other in others)

    def best(self, taken: Collection[int]) -> int | None:
        """The least loaded node for one more replica, on a host of its own if there is one."""
        hosts = {self.nodes[node].host for node in taken if node in self.nodes}
        free = [node for node in self.full() if node not in taken]
        return min(
            free,
            key=lambda node: (
                self.nodes[node].host in hosts,
                self.strangers(node, taken),
                (self.counts.get(node, 0) + 1) / self.nodes[node].weight,
                self.shared(node, taken),
                node,
            ),
            default=None,
        )


def plannedNodes(
    nodes: Mapping[int, NodeRecord],
    downSeconds: DownSeconds,
    leaderShareOf: Callable[[int], float] = lambda node: 1.0,
) -> dict[int, PlannedNode]:
    """What the plan needs to know of the array's nodes."""
    return {
        node: PlannedNode(
            weight=record.weight,
            host=record.host,
            state=record.state,
            downSeconds=downSeconds(node, record),
            leaderShare=leaderShareOf(node),
        )
        for node, record in nodes.items()
    }


def membersOf(wish: WishRecord) -> set[int]:
    """The nodes that are wished to have a replica, whether they vote or learn."""
    return {*wish.voters, *wish.learners}


def plan(
    nodes: Mapping[int, PlannedNode],
    wishes: Mapping[int, WishRecord],
    groups: Collection[int],
    *,
    replicas: int,
    repairSeconds: float = 60.0,
    movesMax: int = MOVES_MAX,
    leaders: Mapping[int, int] | None = None,
) -> dict[int, WishRecord]:
    """
    The wishes that differ from those so far, by group; empty when all is well.

    Where no full node is left, nothing is wished: there is nowhere to go. Nor is it for a bucket whose majority is down.

    @param movesMax: how many replicas may be moved for balance only.
    @param leaders: who leads which group now, as far as is known: kept where a new leader has to be wished for.
    """
    made = _Plan(nodes, repairSeconds)
    if not made.full():
        return {}
    made.isSmall = len(made.full()) <= SPREAD_NODES_MAX
    buckets = [group for group in groups if group != ARRAY_GROUP]
    placed = {group: _kept(made, wishes.get(group)) for group in buckets}
    for members in placed.values():
        for place, node in enumerate(members):
            made.put(node, members[:place])
    leaders = leaders or {}
    placed = {
        group: members
        for group, members in placed.items()
        if made.mayAgree(wishes.get(group), leaders.get(group))
    }
    for group in placed:
        _fill(made, placed[group], wishes.get(group), replicas)
    _balance(made, placed, movesMax)
    wished = {group: _wish(made, members) for group, members in placed.items()}
    wished = electLeaders(nodes, wishes, wished, leaders)
    if ARRAY_GROUP in groups:
        wished[ARRAY_GROUP] = _arrayWish(made, wishes.get(ARRAY_GROUP))
    return {group: wish for group, wish in wished.items() if not _isSame(wish, wishes.get(group))}


def _kept(made: _Plan, wish: WishRecord | None) -> list[int]:
    members = () if wish is None else (*wish.voters, *wish.learners)
    return [node for node in members if made.isKept(node) and made.isFull(node)]


def _fill(made: _Plan, members: list[int], wish: WishRecord | None, replicas: int) -> None:
    """As many members as there shall be; those that are stale stay only where nobody can take their place."""
    while len(members) > replicas:
        surplus = max(members, key=lambda node: (made.share(node), node))
        members.remove(surplus)
        made.put(surplus, members, -1)
    while len(members) < replicas:
        node = made.best(members)
        if node is None:
            break
        made.put(node, members)
        members.append(node)
    stale = [] if wish is None else [node for node in wish.voters if made.isStale(node) and made.isFull(node)]
    for node in stale[: replicas - len(members)]:
        made.put(node, members)
        members.append(node)


def _balance(made: _Plan, placed: Mapping[int, list[int]], movesMax: int) -> None:
    """Move replicas of buckets from the more to the less loaded, while that makes them more alike."""
    full = made.full()
    held = sum(made.counts.get(node, 0) for node in full)
    shares = _shares({node: made.nodes[node].weight for node in full}, held, len(placed))
    for _ in range(movesMax):
        over = {node: made.counts.get(node, 0) - shares[node] for node in full}
        if not any(_move(made, placed, heavy, light) for heavy, light in unequal(over)):
            return


def _shares(weights: Mapping[int, int], held: int, groups: int) -> dict[int, float]:
    """How many of the replicas each node should have by its weight; none more than one of each group."""
    shares: dict[int, float] = {}
    rest = dict(weights)
    while rest:
        each = (held - len(shares) * groups) / sum(rest.values())
        capped = [node for node, weight in rest.items() if weight * each >= groups]
        if not capped:
            return shares | {node: weight * each for node, weight in rest.items()}
        for node in capped:
            shares[node] = float(groups)
            del rest[node]
    return shares


def _move(made: _Plan, placed: Mapping[int, list[int]], heavy: int, light: int) -> bool:
    """
    Move one replica, of the group that makes the fewest new peers, and spreads best what two nodes have in common; whether there was any that may.
    """
    best: tuple[tuple[int, int], list[int]] | None = None
    for members in placed.values():
        if heavy not in members or light in members:
            continue
        others = [node for node in members if node != heavy]
        hosts = {made.nodes[node].host for node in others}
        if made.nodes[light].host in hosts and made.nodes[heavy].host not in hosts:
            continue
        cost = made.strangers(light, others), made.shared(light, others) - made.shared(heavy, others)
        if best is None or cost < best[0]:
            best = cost, members
        if cost == (0, 0):
            break
    if best is None:
        return False
    members = best[1]
    others = [node for node in members if node != heavy]
    members[members.index(heavy)] = light
    made.put(heavy, others, -1)
    made.put(light, others)
    return True


def _wish(made: _Plan, members: list[int]) -> WishRecord:
    """An odd number of voters; two full nodes vote together only with a witness, else the second one learns."""
    if len(members) % 2:
        return WishRecord(voters=tuple(members))
    witness = made.witness()
    if witness is not None:
        return WishRecord(voters=(*members, witness))
    return WishRecord(voters=tuple(members[:-1]), learners=tuple(members[-1:]))


def _arrayWish(made: _Plan, before: WishRecord | None) -> WishRecord:
    """
    The array's own group: an odd number of voters, at most five, the weightiest on hosts of their own, and everybody else learns.

    What it leads to stays, too: a voter is replaced only when it is down for long, or to go.
    """
    nodes = made.nodes
    voters = _kept(made, None if before is None else WishRecord(voters=before.voters))
    voters = [node for node in voters if nodes[node].state != JOINING][:ARRAY_VOTERS_MAX]
    while len(voters) < ARRAY_VOTERS_MAX:
        hosts = {nodes[node].host for node in voters}
        free = [node for node in made.full() if node not in voters]
        if not free:
            break
        voters.append(min(free, key=lambda node: (nodes[node].host in hosts, -nodes[node].weight, node)))
    stale = () if before is None else before.voters
    voters += [node for node in stale if made.isStale(node) and made.isFull(node)][
        : ARRAY_VOTERS_MAX - len(voters)
    ]
    wish = _wish(made, voters)
    voters = list(wish.voters)
    voters.sort(
        key=lambda node: nodes[node].state != UP or not made.isFull(node)
    )  # stable: who leads stays in front
    others = [node for node, known in nodes.items() if known.state != GONE and node not in voters]
    return WishRecord(voters=tuple(voters), learners=tuple(sorted(others)))


def _isSame(wish: WishRecord, before: WishRecord | None) -> bool:
    return (
        before is not None
        and wish.voters[0] == before.voters[0]
        and set(wish.voters) == set(before.voters)
        and set(wish.learners) == set(before.learners)
    )
