"""
The user map as this node knows it: the array's nodes, and which of them have which group's replicas (design §2). A cache.

It is filled from the rows of the array's own group (`Tending` reads them again whenever they change). Who really is a member of a
group stands in the group's own log, and who leads it is known from answers; so what stands here is where to begin to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jindimail.cluster.arrayrecords import DOWN, DRAINING, GONE, UP, NodeRecord, WishRecord, levelOf
from jindimail.cluster.settings import ArraySettings
from jindimail.model import bucketGroup

Listener = Callable[[], object]


class UserMap:
    """
    Nodes and groups, as last read.

    @ivar node: this node's number.
    @ivar nodes: all nodes there ever were, by number.
    @ivar settings: what the array goes by.
    @ivar level: of the log's entries that all nodes know.
    @ivar areAnyDown: whether the array takes any node for down.
    """

    def __init__(self, node: int) -> None:
        self.node = node
        self.nodes: Mapping[int, NodeRecord] = {}
        self.settings = ArraySettings()
        self.level = levelOf(self.nodes)
        self.areAnyDown = False
        self._wishes: Mapping[int, WishRecord] = {}
        self._listeners: list[Listener] = []

    def update(
        self,
        nodes: Mapping[int, NodeRecord],
        wishes: Mapping[int, WishRecord],
        settings: ArraySettings | None = None,
    ) -> None:
        """The array's rows as they are now; who listens is told if they differ from those before."""
        settings = settings or self.settings
        if (nodes, wishes, settings) == (self.nodes, self._wishes, self.settings):
            return
        self.nodes, self._wishes, self.settings = nodes, wishes, settings
        self.level = levelOf(nodes)
        self.areAnyDown = any(record.state == DOWN for record in nodes.values())
        for listener in self._listeners:
            listener()

    def listen(self, listener: Listener) -> None:
        """Call `listener()` after each change."""
        self._listeners.append(listener)

    def wish(self, group: int) -> WishRecord | None:
        """Which replicas a group shall have, if anything was wished."""
        return self._wishes.get(group)

    def membersOf(self, group: int) -> tuple[int, ...]:
        """The nodes that may have a group's replicas, those to ask first in front; this node where nothing is known."""
        wish = self._wishes.get(group)
        if wish is not None:
            return (*wish.voters, *wish.learners)
        return self.living() or (self.node,)

    def votersOf(self, group: int) -> tuple[int, ...]:
        """Those of `membersOf` that vote."""
        wish = self._wishes.get(group)
        return self.membersOf(group) if wish is None else wish.voters

    def home(self, bucket: int) -> tuple[int, ...]:
        """The first choice for a bucket's bodies: its full members that are up, the wished leader first; never empty."""
        members = self.membersOf(bucketGroup(bucket))
        full = tuple(node for node in members if self.isFull(node))
        return tuple(node for node in full if self.nodes[node].state == UP) or full or (self.node,)

    def downAtHome(self, bucket: int) -> tuple[int, ...]:
        """A bucket's full members that the array takes for down; some may be back already, which it agrees on a second or two later."""
        members = self.membersOf(bucketGroup(bucket))
        return tuple(node for node in members if self.isFull(node) and self.nodes[node].state == DOWN)

    def living(self) -> tuple[int, ...]:
        """All nodes that are not gone."""
        return tuple(node for node, record in self.nodes.items() if record.state != GONE)

    def upAndFull(self) -> tuple[int, ...]:
        """All nodes that may keep new bodies."""
        return tuple(node for node, record in self.nodes.items() if record.state == UP and record.weight > 0)

    def draining(self) -> tuple[int, ...]:
        """The nodes that are being emptied."""
        return tuple(node for node, record in self.nodes.items() if record.state == DRAINING)

    def hostOf(self, node: int) -> str:
        """What fails together with a node, as far as is known."""
        record = self.nodes.get(node)
        return f"node {node}" if record is None else record.host

    def isFull(self, node: int) -> bool:
        """Whether a node keeps bodies and serves clients: it is there, and no witness."""
        record = self.nodes.get(node)
        return record is not None and record.state != GONE and record.weight > 0

    def isLeaving(self, node: int) -> bool:
        """Whether what a node has must be had elsewhere: it is being emptied, or gone."""
        record = self.nodes.get(node)
        return record is None or record.state in (DRAINING, GONE)

    def isGone(self, node: int) -> bool:
        """Whether a node has left for good, or was given up."""
        record = self.nodes.get(node)
        return record is not None and record.state == GONE

    def isAway(self, node: int) -> bool:
        """Whether the array has agreed that a node is down, or gone."""
        record = self.nodes.get(node)
        return record is None or record.state in (DOWN, GONE)
