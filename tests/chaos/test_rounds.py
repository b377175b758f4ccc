"""A bounded number of rounds of trouble (tests/chaos/run.py has the theory); `ROUNDS` and `SEED` steer them."""

from __future__ import annotations

import os

from tests.chaos.conftest import MakeArray
from tests.chaos.run import Rounds

NAMES = ["node1", "node2", "node3"]
_ROUNDS = int(os.environ.get("ROUNDS", "2"))
_SEED = int(os.environ.get("SEED", "1"))


def test_anArrayKeepsItsPromisesInTrouble(makeArray: MakeArray) -> None:
    trial = Rounds(makeArray(NAMES), _SEED)
    trial.prepare(NAMES)
    for _ in range(_ROUNDS):
        print(trial.one())
        assert trial.promises.problems == [], f"SEED={_SEED}"
    trial.finish()
    assert trial.promises.problems == [], f"SEED={_SEED}"
