"""
`python -m bench.entries`: CPU per committed entry of the replication alone, with stores and links in memory.

One node whose groups have one voter, and three nodes with all groups on each. What is counted: the driver, the Raft machines, the log's
rows, and what goes between nodes, encoded and decoded; not what is applied, LMDB, Perspective Broker or TLS, for which see
`bench.array`. On three nodes the figure is the sum of all.
"""

from __future__ import annotations

import argparse
import sys
from time import process_time
from typing import Any

from twisted.internet.defer import Deferred

from tests.replication.nodes import Array

GROUPS = range(1, 17)
IN_FLIGHT = (1, 8, 64)
ENTRY = bytes(600)
STEP_SECONDS = 0.0005
STEPS_MAX = 1_000_000


class Nothing:
    """A state machine that keeps nothing."""

    def apply(self, rows: Any, group: int, index: int, entry: bytes) -> tuple[Any, Any]:
        """See `IStateMachine`."""
        return index, ()


class Run:
    """Keeps so many proposals under way until enough are committed."""

    def __init__(self, nodes: int, inFlight: int) -> None:
        self.array = Array(range(1, nodes + 1), groups=GROUPS)
        self.array.machine = Nothing
        self.array.grown()
        self.array.run(1.0)
        self.inFlight = inFlight
        self.proposed = self.done = self.total = 0

    def entries(self, count: int) -> tuple[float, float, float]:
        """CPU microseconds, transactions and calls between nodes for each of so many entries."""
        array = self.array
        self.proposed, self.done, self.total = 0, 0, count
        commits, calls = sum(store.commits for store in array.stores.values()), array.calls
        for _ in range(self.inFlight):
            self._propose(None)
        began = process_time()
        for _ in range(STEPS_MAX):
            if self.done >= count:
                break
            array.clock.advance(STEP_SECONDS)
        used = process_time() - began
        commits = sum(store.commits for store in array.stores.values()) - commits
        return 1e6 * used / count, commits / count, (array.calls - calls) / count

    def _propose(self, _: object) -> None:
        if self.proposed < self.total:
            group = GROUPS[self.proposed % len(GROUPS)]
            self.proposed += 1
            done: Deferred[Any] = self.array.nodes[1].propose(group, ENTRY)
            done.addCallback(self._committed)

    def _committed(self, outcome: object) -> None:
        self.done += 1
        self.array.clock.callLater(0, self._propose, None)


def main(argv: list[str]) -> int:
    """Print a line for each number of nodes and of entries in flight: the median of some rounds."""
    parser = argparse.ArgumentParser(prog="python -m bench.entries", description=__doc__.split("\n")[1])
    parser.add_argument("--entries", type=int, default=2000, help="a round (default 2000)")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    options = parser.parse_args(argv)
    for nodes in (1, 3):
        for inFlight in IN_FLIGHT:
            run = Run(nodes, inFlight)
            rounds = sorted(run.entries(options.entries) for _ in range(options.rounds))
            used, commits, calls = rounds[len(rounds) // 2]
            print(
                f"{nodes} nodes, {inFlight:3} in flight: {used:7.1f} µs an entry, {commits:.2f} transactions, {calls:.2f} calls"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
