"""A disk whose syncs fail or hang: the node stops and says why, or waits; it never acknowledges what is not safe."""

from __future__ import annotations

import select
from pathlib import Path

import pytest

from bench.wire import stuffed
from tests.faults.shim import Cut, Shim, Strikes, Sync
from tests.faults.trial import Trial
from tests.support.ledger import State, letter
from tests.support.node import NodeProcess


# LMDB syncs twice a commit, its pages and then its meta page: one after the other fails.
@pytest.mark.parametrize(
    ("mode", "strikes"),
    [(Sync.EIO_ONCE, Strikes.CALL), (Sync.EIO_ONCE, Strikes.WRITE), (Sync.EIO, Strikes.ANY)],
)
def test_failingSyncStopsTheNodeAndTheNextStartHasAllThatWasPromised(
    shimmed: tuple[NodeProcess, Shim], mode: Sync, strikes: Strikes
) -> None:
    node, shim = shimmed
    trial = Trial(node, seed=4)
    trial.prepare()
    shim.settle()
    node.start()
    trial.beginLoad()
    trial.awaitAcknowledged(40)
    shim.syncs(mode, strikes=strikes)
    assert node.wait() != 0
    trial.endLoad()
    assert "Input/output error" in node.log()
    shim.syncs(Sync.REAL)
    shim.cut(Cut.SOME, 4)
    node.start()
    trial.audit()
    assert node.stop() == 0
    assert node.check().returncode == 0


@pytest.mark.parametrize("strikes", [Strikes.CALL, Strikes.WRITE])
def test_whatAFailedSyncLostIsNotBuiltUpon(shimmed: tuple[NodeProcess, Shim], strikes: Strikes) -> None:
    node, shim = shimmed
    trial = Trial(node, seed=9)
    trial.prepare()
    shim.settle()
    node.start()
    trial.beginLoad()
    trial.awaitAcknowledged(40)
    shim.syncs(Sync.EIO_ONCE, strikes=strikes)
    assert node.wait() != 0
    trial.endLoad()
    # The machine stays up: the next start sees pages in memory that never reach the disk. The power goes later.
    # LMDB itself writes its old meta page again when the new one fails; of the other pages nobody knows.
    assert (shim.carry() > 0) is (strikes is Strikes.CALL)
    trial.live(beforeKill=shim.awaitSync)
    shim.cut(Cut.ALL)
    node.start()
    trial.audit()
    assert node.stop() == 0
    assert node.check().returncode == 0


def test_nothingIsAcknowledgedWhileASyncHangs(shimmed: tuple[NodeProcess, Shim]) -> None:
    node, shim = shimmed
    trial = Trial(node, seed=5)
    trial.prepare()
    shim.settle()
    node.start()
    address = trial.accounts[0].address
    number = trial.ledger.sent(address)
    client = node.smtp()
    # Mail that is safe before the disk hangs must stay readable meanwhile.
    assert client.transact(b"a@elsewhere.test", address.encode(), letter(number)).startswith(b"250")
    trial.ledger.note([number], State.ACKNOWLEDGED)
    shim.syncs(Sync.HANG)
    other = trial.ledger.sent(address)
    client.write(b"MAIL FROM:<a@elsewhere.test>\r\nRCPT TO:<%s>\r\nDATA\r\n" % address.encode())
    for code in (b"250", b"25", b"354"):
        client.expect(code)
    client.write(stuffed(letter(other)))
    node.waitUntil(lambda: shim.counted("waiting") > 0, "a sync hangs")
    assert select.select([client.socket], [], [], 0.5)[0] == []
    assert trial.imapViolations() == []
    shim.syncs(Sync.REAL)
    assert client.answer().startswith(b"250")
    trial.ledger.note([other], State.ACKNOWLEDGED)
    client.quit()
    assert trial.violations() == []
    assert node.stop() == 0


def test_nodeOnAHangingDiskEndsWhenAsked(place: Path) -> None:
    node = NodeProcess(place)
    node.found("stop-deadline = 1\n")
    shim = Shim(node.data, place / "shim")
    node.environment = shim.environment()
    trial = Trial(node, seed=10)
    trial.prepare()
    shim.settle()
    node.start()
    trial.beginLoad()
    trial.awaitAcknowledged(40)
    shim.syncs(Sync.HANG)
    node.waitUntil(lambda: shim.counted("waiting") > 0, "a sync hangs")
    try:
        assert node.stop() != 0  # nobody can say that the store is clean
    finally:
        node.close()
        trial.endLoad()
    shim.cut(Cut.SOME, 10)
    node.start()
    trial.audit()
    assert node.stop() == 0
