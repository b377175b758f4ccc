"""What goes wrong for whole nodes, by chance."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.troubles import Troubles
from tests.simulation.wholenode import addressOf

if TYPE_CHECKING:
    from tests.simulation.whole import WholeArray


class WholeTroubles(Troubles):
    """Processes, links, disks and leaderships; the network is TCP's, so that nothing is lost on a connection that stays."""

    def __init__(self, array: WholeArray, chance: Random, meanSeconds: float) -> None:
        super().__init__(array, chance, meanSeconds)
        self.network = array.network
        self.kinds: list[tuple[int, Callable[[], None]]] = [
            (14, self.crash),
            (1, self.powerCut),
            (6, self.pause),
            (10, self.partition),
            (4, self.slowLinks),
            (6, self.breakConnections),
            (4, self.slowDisk),
            (3, self.stuckDisk),
            (3, self.fullDisk),
            (1, self.jumpClock),
            (6, self.transfer),
        ]

    def partition(self) -> None:
        """Some are cut off from the others, one way or both."""
        numbers = sorted(self.array.nodes)
        some = set(self.chance.sample(numbers, self.chance.randrange(1, len(numbers) + 1)))
        both = self.chance.random() < 0.6
        self.network.cutOff(some, set(numbers) - some, bothWays=both)
        self.array.trace("cut off: {}{}", some, "" if both else " one way")
        self.count("partitions" if both else "one-way partitions")
        self.later(0.3, 4.0, self.heal)

    def breakConnections(self) -> None:
        """All connections between two nodes break, and are made anew."""
        if len(self.array.nodes) > 1:
            one, other = self.chance.sample(sorted(self.array.nodes), 2)
            self.array.trace("connections between {} and {} break", one, other)
            self.count("broken connections")
            self.network.reset(addressOf(one), addressOf(other))
