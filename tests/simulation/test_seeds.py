"""
A range of seeds: `SEEDS` of them (40 by default, 500 in the gate) from `FROM` on.

One test per block of seeds, so that they share the cores.
"""

from __future__ import annotations

import os
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.array import Array
from tests.simulation.run import missing, runRange

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

    def test_aSeedIsReplayedExactly(self) -> None:
        """Two runs of a seed say the same, line by line."""
        said: list[list[str]] = [[], []]
        counted: list[Counter[str]] = []
        for lines in said:
            array = Array(FROM, say=lines.append)
            array.run()
            counted.append(array.watch.counters)
        self.assertGreater(len(said[0]), 100)
        self.assertEqual(said[0], said[1])
        self.assertEqual(counted[0], counted[1])
