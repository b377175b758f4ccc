"""
A range of seeds: `SEEDS` of them (40 by default, 500 in the gate) from `FROM` on; and a thirtieth as many of whole nodes.

One test per block of seeds, so that they share the cores.
"""

from __future__ import annotations

import os
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.array import Array
from tests.simulation.run import missing, runRange
from tests.simulation.whole import WholeArray

SEEDS = int(os.environ.get("SEEDS", "40"))
FROM = int(os.environ.get("FROM", "0"))
PROCESSES = int(os.environ.get("PROCESSES", str(os.cpu_count() or 1)))


class Seeds(SynchronousTestCase):
    """Arrays in trouble."""

    timeout = 3600

    def test_nothingIsFoundInAnySeed(self) -> None:
        found, counters, _ = runRange(FROM, SEEDS, PROCESSES)
        for name, count in sorted(counters.items()):
            print(f"{count:10} {name}")
        self.assertEqual(found, {})
        self.assertEqual(missing(counters, SEEDS), [])

    def test_nothingIsFoundInAnySeedOfWholeNodes(self) -> None:
        seeds = max(4, SEEDS // 30)
        found, counters, _ = runRange(FROM, seeds, PROCESSES, whole=True)
        for name, count in sorted(counters.items()):
            print(f"{count:10} {name}")
        self.assertEqual(found, {})
        self.assertEqual(missing(counters, seeds, whole=True), [])

    def test_aSeedIsReplayedExactly(self) -> None:
        """Two runs of a seed say the same, line by line."""
        self._checkReplay(Array)

    def test_aSeedOfWholeNodesIsReplayedExactly(self) -> None:
        """Whatever TLS draws, it changes nothing that is told."""
        self._checkReplay(WholeArray)

    def _checkReplay(self, kind: type[Array]) -> None:
        said: list[list[str]] = [[], []]
        counted: list[Counter[str]] = []
        for lines in said:
            array = kind(FROM, say=lines.append)
            array.run()
            counted.append(array.watch.counters)
        self.assertGreater(len(said[0]), 100)
        self.assertEqual(said[0], said[1])
        self.assertEqual(counted[0], counted[1])
