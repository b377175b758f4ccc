"""A bounded number of rounds of trouble (tests/chaos/run.py has the theory); `ROUNDS` and `SEED` steer them."""

from __future__ import annotations

import os
import time

from tests.chaos.conftest import MakeArray
from tests.chaos.run import Rounds

_ROUNDS = int(os.environ.get("ROUNDS", "2"))
_SEED = int(os.environ.get("SEED") or time.time_ns() % 1_000_000)


def test_aNodeAloneKeepsItsPromisesInTrouble(makeArray: MakeArray) -> None:
    rounds = Rounds(makeArray(["node1"]), _SEED)
    rounds.prepare(["node1"])
    for _ in range(_ROUNDS):
        print(rounds.one())
        assert rounds.promises.problems == [], f"SEED={_SEED}"
    rounds.finish()
    assert rounds.promises.problems == [], f"SEED={_SEED}"
