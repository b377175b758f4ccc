"""The network of whole nodes: TCP as `tests.cluster.wires` has it, with the troubles of `Troubles`."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.cluster.wires import MemoryNetwork
from tests.simulation.clock import HeapClock
from tests.simulation.wholenode import addressOf


class WholeNetwork(MemoryNetwork):
    """
    All connections. A cut keeps back what is under way, as TCP does; a connection may notice that, and break.

    @ivar receivers: as `network.Network` has them; here, connections bring what comes.
    """

    def __init__(self, clock: HeapClock, chance: Random, delaySeconds: float) -> None:
        super().__init__(clock, chance)
        self.delaySeconds = delaySeconds
        self.receivers: dict[int, Any] = {}

    def cutOff(self, sources: set[int], targets: set[int], *, bothWays: bool = True) -> None:
        """Nothing that the ones say arrives at the others."""
        for source in sorted(sources):
            for target in sorted(targets - {source}):
                self.cuts.add((addressOf(source), addressOf(target)))
                if bothWays:
                    self.cuts.add((addressOf(target), addressOf(source)))

    def slow(self, source: int, target: int, seconds: float) -> None:
        """Everything from one to the other takes about this much longer."""
        self.slowSeconds[addressOf(source), addressOf(target)] = seconds
