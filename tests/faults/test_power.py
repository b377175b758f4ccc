"""Power cuts under load: what was not synced is lost, and nothing of it had been acknowledged.

The last test is the proof of the others: the same trial on a store that does not sync must see the loss.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.wire import WireError
from tests.faults.shim import Cut, Shim
from tests.faults.trial import Trial
from tests.support.ledger import State
from tests.support.node import TWISTD, NodeFailed, NodeProcess

_ROUNDS = int(os.environ.get("POWERCUT_ROUNDS", "12"))
_TRIES = 5


def test_acknowledgedMailSurvivesEachPowerCut(shimmed: tuple[NodeProcess, Shim]) -> None:
    node, shim = shimmed
    trial = Trial(node, seed=2)
    trial.prepare()
    shim.settle()
    unsynced = 0
    for seed in range(_ROUNDS):
        # Every other kill falls between a write and its sync, the others anywhere.
        trial.live(beforeKill=shim.awaitSync if seed % 4 < 2 else lambda: None)
        unsynced += shim.cut(Cut.SOME if seed % 2 else Cut.ALL, seed).pagesUnsynced
        node.start()
        trial.audit()
        node.kill()
        shim.cut(Cut.ALL)
    node.start()
    assert trial.violations() == []
    assert node.stop() == 0
    checked = node.check()
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert unsynced > 0, "no kill fell between a write and its sync: nothing was tested"


def test_foundingSurvivesAPowerCut(place: Path) -> None:
    node = NodeProcess(place)
    node.data.mkdir(mode=0o700)
    shim = Shim(node.data, place / "shim")
    node.environment = shim.environment()
    node.found()
    shim.cut(Cut.ALL)
    try:
        node.start()
        assert node.stop() == 0
    finally:
        node.close()


def test_theSameTrialSeesTheLossOfAMetaPageThatWasNotSynced(shimmed: tuple[NodeProcess, Shim]) -> None:
    node, shim = shimmed
    trial = Trial(node, seed=8)
    trial.prepare()
    shim.settle()
    for _ in range(_TRIES):  # a transaction that nobody waited for may be the one that is lost
        node.program = ("-m", "tests.faults.unsynced", "metasync")
        trial.live(beforeKill=shim.awaitSync)
        assert shim.cut(Cut.ALL).pagesUnsynced > 0
        node.program = TWISTD
        if _seesLoss(trial):
            return
        node.kill()
        shim.cut(Cut.ALL)
    pytest.fail("the meta page was not synced, and the trial saw nothing")


@pytest.mark.parametrize("how", list(Cut))
def test_theSameTrialSeesTheLossOnAStoreThatDoesNotSync(shimmed: tuple[NodeProcess, Shim], how: Cut) -> None:
    node, shim = shimmed
    trial = Trial(node, seed=3)
    trial.prepare()
    shim.settle()
    node.program = ("-m", "tests.faults.unsynced", "sync")
    trial.live()
    assert trial.ledger.count(State.ACKNOWLEDGED) > 0
    assert shim.cut(how, 3).pagesUnsynced > 0
    node.program = TWISTD
    assert _seesLoss(trial, mayBreak=how is Cut.SOME), "the store did not sync, and the trial saw nothing"


def _seesLoss(trial: Trial, *, mayBreak: bool = False) -> bool:
    """Whether acknowledged mail is missing; with sectors lost at random the store itself may be broken as well."""
    try:
        trial.node.start()
        return any("was acknowledged and is not there" in wrong for wrong in trial.violations())
    except (NodeFailed, OSError, WireError):
        return mayBreak
