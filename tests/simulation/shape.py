"""What an array is like: how many nodes, groups and clients, and the bounds of everything, drawn from a seed or set by a scenario."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import ModuleType

from jindimail.replication import installing, snapshots
from jindimail.replication import replica as replicas
from jindimail.replication.outputs import Settings


@dataclass(frozen=True, kw_only=True)
class Shape:
    """
    One array's shape.

    @ivar founders: how many of a group's replicas there are at the beginning; the others are added.
    @ivar troubleMeanSeconds: between two troubles; 0: none.
    @ivar keptEntries, lagEntries: of a log that others may need.
    @ivar hasWitness: whether one node is a witness, in an array of whole nodes.
    @ivar oldSeconds: a body without an entry is doubtful after this; far shorter than in earnest, to race with deliveries.
    """

    nodes: int = 3
    groups: int = 1
    founders: int = 3
    clients: int = 0
    thinkSeconds: float = 0.1
    delaySeconds: float = 0.001
    troubleMeanSeconds: float = 0.0
    keptEntries: int = 64
    lagEntries: int = 1000
    stepRows: int = 500
    stepOctets: int = 512 * 1024
    blockOctets: int = 48 * 1024
    oldSeconds: float = 60.0
    hasWitness: bool = False
    settings: Settings = field(default_factory=Settings)

    @classmethod
    def drawn(cls, chance: Random) -> Shape:
        """A random shape: mostly three nodes, bounds from tiny to real."""
        return cls(
            nodes=chance.choices([1, 2, 3, 4, 5], [3, 4, 58, 15, 20])[0],
            groups=chance.choice([1, 2, 3]),
            founders=1 if chance.random() < 0.3 else 3,
            clients=3,
            thinkSeconds=chance.choice([0.1, 0.3, 0.8]),
            delaySeconds=chance.choice([0.0002, 0.001, 0.01]),
            troubleMeanSeconds=chance.choice([0.4, 1.0, 2.5]),
            keptEntries=chance.choice([4, 12, 64]),
            lagEntries=chance.choice([8, 24, 1000]),
            stepRows=chance.choice([10, 500]),
            stepOctets=chance.choice([1000, 512 * 1024]),
            blockOctets=chance.choice([500, 48 * 1024]),
            oldSeconds=chance.choice([1.0, 4.0]),
            settings=Settings(
                appendOctetsMax=chance.choice([200, 2000, 56 * 1024]),
                memoryOctetsMax=chance.choice([0, 2000, 256 * 1024]),
                inflightMessagesMax=chance.choice([2, 64]),
            ),
        )

    @classmethod
    def drawnWhole(cls, chance: Random) -> Shape:
        """A random shape of an array of whole nodes."""
        return cls(
            nodes=chance.choices([2, 3, 4, 5], [10, 60, 20, 10])[0],
            groups=chance.choice([1, 2, 3]),
            clients=3,
            thinkSeconds=chance.choice([0.1, 0.3, 0.8]),
            delaySeconds=chance.choice([0.0002, 0.001, 0.005]),
            troubleMeanSeconds=chance.choice([0.7, 1.5, 3.0]),
            keptEntries=chance.choice([12, 64]),
            lagEntries=chance.choice([24, 1000]),
            hasWitness=chance.random() < 0.25,
        )

    @contextmanager
    def imposed(self) -> Iterator[None]:
        """While it lasts the bounds that are constants of modules are this shape's."""
        wanted: list[tuple[ModuleType, str, int]] = [
            (replicas, "KEPT_ENTRIES", self.keptEntries),
            (replicas, "SHARED_ENTRIES", self.keptEntries),
            (replicas, "LAG_ENTRIES_MAX", self.lagEntries),
            (installing, "STEP_ROWS", self.stepRows),
            (installing, "STEP_OCTETS", self.stepOctets),
            (snapshots, "BLOCK_OCTETS", self.blockOctets),
        ]
        before = [(module, name, getattr(module, name)) for module, name, _ in wanted]
        try:
            for module, name, value in wanted:
                setattr(module, name, value)
            yield
        finally:
            for module, name, value in before:
                setattr(module, name, value)
