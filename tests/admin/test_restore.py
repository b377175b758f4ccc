"""`jindictl restore` of a node that was one of several."""

from __future__ import annotations

import io
import json
from pathlib import Path

import msgspec
import pytest

from jindimail.admin.offline import OthersThere, restore
from jindimail.admin.output import Output
from jindimail.cluster.arrayrecords import GONE, UP, NodeRecord, nodeKey
from jindimail.cluster.revival import isAlone
from jindimail.config import Configuration, read
from jindimail.replication.configuration import foundingConfiguration
from jindimail.replication.durable import HardRecord, encodeHard
from jindimail.store.backup import MANIFEST_NAME, backup
from jindimail.store.environment import Environment, found
from jindimail.store.keys import ARRAY, GIVEN_UP_KEY, HARD, META, groupKey
from jindimail.store.records import MetaRecord, encode

ARRAY_ID = b"a" * 16


def backedUp(
    place: Path, states: tuple[str, ...], others: tuple[str, ...], *, isGivenUp: bool = False
) -> Path:
    """A backup of node 1 of an array with nodes in these states; the manifest names `others`."""
    found(place / "first", name="node1", arrayId=ARRAY_ID)
    environment = Environment(place / "first")
    environment.begin()
    nodes = [
        (nodeKey(number), encode(NodeRecord(name=f"node{number}", addresses=(), host="h", state=state)))
        for number, state in enumerate(states, 1)
    ]
    hard = encodeHard(HardRecord(1, 1, 0, 0, 0, 0, 0, foundingConfiguration(1)))
    marks = [(GIVEN_UP_KEY, b"\x01")] if isGivenUp else []
    environment.commit([(ARRAY, nodes, []), (HARD, [(groupKey(0), hard)], []), (META, marks, [])])
    backup(environment, place / "backup", others=others)
    environment.close()
    return place / "backup"


def configured(place: Path) -> Configuration:
    return read(f"[node]\nname = node1\nhost-name = n.test\ndata-directory = {place / 'data'}\n", str(place))


def restored(place: Path, source: Path, *, isAlone: bool) -> dict[str, object]:
    """What the command prints."""
    shown = io.StringIO()
    output = Output(isJson=True, isQuiet=True, out=shown, err=io.StringIO())
    assert restore(configured(place), str(source), output, isAlone=isAlone) == 0
    found: dict[str, object] = json.loads(shown.getvalue())
    return found


def storeOf(place: Path) -> tuple[MetaRecord, bool]:
    """Whose the restored store is, and whether it is marked."""
    environment = Environment(place / "data")
    try:
        with environment.read() as rows:
            return environment.meta, isAlone(rows)
    finally:
        environment.close()


@pytest.mark.parametrize(
    "others", [("node2", "node3"), ()], ids=["the manifest says so", "the store says so"]
)
def test_aMemberOfAnArrayDoesNotComeBackFromThePast(tmp_path: Path, others: tuple[str, ...]) -> None:
    source = backedUp(tmp_path, (UP, UP, UP), others)
    with pytest.raises(OthersThere) as caught:
        restored(tmp_path, source, isAlone=False)
    text = "; ".join(caught.value.problems)
    assert "node2, node3" in text and "cluster remove node1" in text
    assert "restore DIR --alone" in text and "cluster recover node2 node3" in text
    assert not (tmp_path / "data" / "store").exists()
    assert restored(tmp_path, source, isAlone=True)["node"] == "node1", "nothing that was left is in the way"


def test_whatANodeThatWasGivenUpHadCanBeRestoredAlone(tmp_path: Path) -> None:
    restored(tmp_path, backedUp(tmp_path, (UP, UP), (), isGivenUp=True), isAlone=True)
    environment = Environment(tmp_path / "data")
    with environment.read() as rows:
        assert rows.get(META, GIVEN_UP_KEY) is None
    environment.close()


def test_whatIsRestoredAloneIsMarkedAndOfAnotherArray(tmp_path: Path) -> None:
    shown = restored(tmp_path, backedUp(tmp_path, (UP, UP, GONE), ()), isAlone=True)
    meta, marked = storeOf(tmp_path)
    assert marked and (meta.node, meta.name, meta.incarnation) == (1, "node1", 2)
    assert meta.arrayId != ARRAY_ID
    assert str(shown["next"]).endswith("jindictl cluster recover node2")


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("states", [(UP,), (UP, GONE)])
def test_aNodeThatHasNoOthersIsRestoredAsItWas(tmp_path: Path, states: tuple[str, ...], asked: bool) -> None:
    shown = restored(tmp_path, backedUp(tmp_path, states, ()), isAlone=asked)
    meta, marked = storeOf(tmp_path)
    assert not marked and meta.arrayId == ARRAY_ID and "next" not in shown


def test_aBackupOfAnOlderVersionSaysNothingOfOthersInItsManifest(tmp_path: Path) -> None:
    source = backedUp(tmp_path, (UP, UP), ("node2",))
    path = source / MANIFEST_NAME
    manifest = json.loads(path.read_text())
    assert manifest.pop("others") == ["node2"]
    path.write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(OthersThere):
        restored(tmp_path, source, isAlone=False)
