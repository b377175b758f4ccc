"""Who a node is to the others: its credentials at each start, and what it tells the array of itself."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jindimail.admin.identity import credentialsFor, introduce
from jindimail.admin.nodefiles import AUTHORITY_KEY, CREDENTIALS, readPeers, writePeers
from jindimail.cluster.arrayentries import SetAuthority
from jindimail.cluster.arrayrecords import readAuthority, readNodes
from jindimail.cluster.authority import Authority, Identity, identityOf, loadCertificate, verifyNode
from jindimail.cluster.peer import Peer
from jindimail.config import Configuration, read
from jindimail.errors import ConfigError
from jindimail.replication.durable import foundGroups
from jindimail.store.memory import MemoryRows
from jindimail.store.records import MetaRecord
from tests.support.world import World, now

NOW = datetime(2026, 11, 26, tzinfo=UTC)
SECONDS = 1_795_000_000


def metaOf(node: int = 1) -> MetaRecord:
    return MetaRecord(arrayId=b"a" * 16, node=node, name=f"node{node}", format=1, incarnation=3)


def foundedRows() -> MemoryRows:
    rows = MemoryRows()
    with rows.transaction() as writing:
        foundGroups(writing, (0,), 1)
    return rows


def test_theFirstNodeMakesAnAuthorityAndKeepsWhatItMade(tmp_path: Path) -> None:
    rows = foundedRows()
    made = credentialsFor(tmp_path, metaOf(), rows, NOW)
    identity = verifyNode(loadCertificate(made.certificate), loadCertificate(made.authority), NOW)
    assert identity == Identity(arrayId=b"a" * 16, node=1, name="node1")
    assert credentialsFor(tmp_path, metaOf(), rows, NOW) == made
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in (CREDENTIALS, AUTHORITY_KEY)} == {
        0o600
    }


def test_aNodeThatLostItsCredentialsGetsNewOnesFromTheAuthorityInItsRows(tmp_path: Path) -> None:
    world = World()
    first = credentialsFor(tmp_path, metaOf(), foundedRows(), NOW)
    key = (tmp_path / AUTHORITY_KEY).read_bytes()
    now(world.buckets.propose(None, SetAuthority(seconds=1, certificate=first.authority, key=key)))
    other = tmp_path / "other"
    other.mkdir()
    with world.store.read() as rows:
        found = credentialsFor(other, metaOf(7), rows, NOW)
    assert found.authority == first.authority
    assert identityOf(loadCertificate(found.certificate)).node == 7
    assert not (other / AUTHORITY_KEY).exists()


def test_whatIsOverIsRenewedAtTheStart(tmp_path: Path) -> None:
    world = World()
    first = credentialsFor(tmp_path, metaOf(), foundedRows(), NOW)
    key = (tmp_path / AUTHORITY_KEY).read_bytes()
    later = NOW + timedelta(days=365)
    with world.store.read() as rows:
        assert credentialsFor(tmp_path, metaOf(), rows, later) == first, "there is no authority here to ask"
    now(world.buckets.propose(None, SetAuthority(seconds=1, certificate=first.authority, key=key)))
    with world.store.read() as rows:
        assert credentialsFor(tmp_path, metaOf(), rows, NOW) == first
        renewed = credentialsFor(tmp_path, metaOf(), rows, later)
    assert verifyNode(loadCertificate(renewed.certificate), loadCertificate(first.authority), later).node == 1


@pytest.mark.parametrize(("node", "rows"), [(2, foundedRows()), (1, MemoryRows())])
def test_aNodeThatJoinedNeverMakesAnAuthority(tmp_path: Path, node: int, rows: MemoryRows) -> None:
    with pytest.raises(ConfigError, match="join again"):
        credentialsFor(tmp_path, metaOf(node), rows, NOW)


def test_damagedCredentialsAreToldAndNotReplaced(tmp_path: Path) -> None:
    (tmp_path / CREDENTIALS).write_text("junk")
    with pytest.raises(ConfigError, match=CREDENTIALS):
        credentialsFor(tmp_path, metaOf(), foundedRows(), NOW)


def test_peersAreRemembered(tmp_path: Path) -> None:
    assert readPeers(tmp_path) == ()
    peers = (
        Peer(node=2, name="b", addresses=("b.test:7400",)),
        Peer(node=3, name="c", addresses=("[::1]:1",)),
    )
    writePeers(tmp_path, peers)
    assert readPeers(tmp_path) == peers


# --- what the array is told ------------------------------------------------------------------------------


def configured(directory: Path, extra: str = "") -> Configuration:
    return read(f"[node]\nname = node1\nhost-name = mx.test\ndata-directory = {directory}\n{extra}", "/")


def told(world: World, configuration: Configuration, level: int = 1) -> Any:
    directory = Path(configuration.node.dataDirectory)
    with world.store.read() as rows:
        credentials = credentialsFor(directory, metaOf(), rows, NOW)
    now(
        introduce(
            configuration,
            buckets=world.buckets,
            store=world.store,
            credentials=credentials,
            seconds=SECONDS,
            level=level,
        )
    )
    return dict(readNodes(world.rows))[1]


def test_theFirstNodeIsAdmittedAndItsAuthoritysKeyStandsInTheArrayAlone(tmp_path: Path) -> None:
    world = World()
    credentialsFor(tmp_path, metaOf(), foundedRows(), NOW)
    record = told(world, configured(tmp_path, "[listen]\ncluster = tcp:7400\n"))
    assert (record.name, record.addresses, record.host, record.weight) == (
        "node1",
        ("mx.test:7400",),
        "node1",
        100,
    )
    authority = readAuthority(world.rows)
    assert authority is not None and Authority(authority.certificate, authority.key)
    assert not (tmp_path / AUTHORITY_KEY).exists()


def test_whatTheConfigurationChangesIsToldAtTheNextStartAndTheWeightIsNot(tmp_path: Path) -> None:
    world = World()
    credentialsFor(tmp_path, metaOf(), foundedRows(), NOW)
    told(world, configured(tmp_path))
    changed = "[listen]\ncluster = tcp:7401\n[cluster]\nhost = rack2\nweight = 5\naddress = 10.0.0.1:7402\n"
    record = told(world, configured(tmp_path, changed), level=2)
    assert (record.addresses, record.host, record.weight, record.level) == (
        ("10.0.0.1:7402",),
        "rack2",
        100,
        2,
    )
