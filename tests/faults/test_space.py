"""A full disk: 452, nothing lost, reads and expunges go on, and delivery works again when there is room."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.wire import WireError
from tests.faults.trial import Trial
from tests.support.disk import SmallDisk
from tests.support.ledger import State, letter
from tests.support.node import NodeProcess


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    if os.getuid() != 0:
        pytest.skip("only root can mount a small disk")
    place = Path(tempfile.mkdtemp(prefix="jn-"))
    small = SmallDisk(place / "disk")
    yield small
    small.close()
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def trial(disk: SmallDisk, place: Path) -> Iterator[Trial]:
    """A running node with accounts whose data are on the small disk."""
    node = NodeProcess(place, data=disk.path / "data")
    node.found()
    made = Trial(node, seed=6)
    made.prepare()
    node.start()
    yield made
    node.close()
    print(node.log()[-6000:])  # seen when the test failed


def _sent(trial: Trial) -> bytes:
    """The answer to one more message of 60 KB or less; the ledger knows what it means."""
    address = trial.accounts[1].address
    number = trial.ledger.sent(address)
    with trial.node.smtp() as client:
        answer = client.transact(b"sender@elsewhere.test", address.encode(), letter(number))
    if answer.startswith(b"250"):
        trial.ledger.note([number], State.ACKNOWLEDGED)
    elif not answer.startswith(b"451"):
        trial.ledger.note([number], State.REFUSED)
    return answer


def _mayRead(trial: Trial) -> bool:
    """Whether all accounts can be read; while the store makes room for itself they cannot, for a moment."""
    try:
        assert trial.violations() == []
    except WireError:
        return False
    return True


def test_slowlyFilledDiskRefusesWith452AndGoesOnWhenThereIsRoom(disk: SmallDisk, trial: Trial) -> None:
    node = trial.node
    disk.fill(leaveOctets=70 << 20)
    load = trial.beginLoad()
    node.waitUntil(lambda: any(answer.startswith(b"452") for answer in load.refusals), "452", 60)
    trial.endLoad()
    assert {answer[:3] for answer in load.refusals} == {b"452"}
    assert _sent(trial).startswith(b"452")
    trial.audit()  # reads everything and expunges one account
    assert trial.violations() == []
    disk.relieve()
    node.waitUntil(lambda: _sent(trial).startswith(b"250"), "room is noticed", 10)
    assert trial.violations() == []
    assert node.stop() == 0
    assert node.check().returncode == 0


def test_suddenlyFullDiskLosesNothingAndIsSurvived(disk: SmallDisk, trial: Trial) -> None:
    node = trial.node
    assert _sent(trial).startswith(b"250")
    load = trial.beginLoad()
    trial.awaitAcknowledged(30)
    disk.fill(leaveOctets=0)
    node.waitUntil(lambda: bool(load.refusals), "a refusal", 30)
    trial.endLoad()
    assert {answer[:3] for answer in load.refusals} <= {b"452", b"451"}
    node.waitUntil(lambda: _mayRead(trial), "reads go on", 10)
    trial.audit()
    disk.relieve()
    node.waitUntil(lambda: _sent(trial).startswith(b"250"), "room is noticed", 10)
    assert trial.violations() == []
    assert node.stop() == 0
    assert node.check().returncode == 0


def test_expungingMakesRoom(disk: SmallDisk, trial: Trial) -> None:
    node = trial.node
    disk.fill(leaveOctets=70 << 20)
    load = trial.beginLoad()
    node.waitUntil(lambda: any(answer.startswith(b"452") for answer in load.refusals), "452", 60)
    trial.endLoad()
    for account in trial.accounts:
        trial.empty(account)
    node.waitUntil(lambda: _sent(trial).startswith(b"250"), "the room of expunged messages is used", 10)
    assert trial.violations() == []
