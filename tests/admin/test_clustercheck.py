"""`jindictl check --cluster` on an array in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import replace as replaceFields
from twisted.internet.defer import Deferred

from jindimail.admin import clustercheck
from jindimail.admin.livenode import LiveNode
from jindimail.admin.verb import VerbRefused
from jindimail.admin.verbs import VERBS
from jindimail.cluster.arrayrecords import GONE
from jindimail.store.keys import BODY, BODYREF, MESSAGE, SUMMARY, bodyrefKey, chunkKey, summaryKey
from jindimail.store.records import BodyrefRecord, decode, encode
from tests.admin.live import liveNode
from tests.cluster.mail import BUCKET, MailWorld, bodyName
from tests.support.world import World

OCTETS = bytes(200_000)


class Checked:
    """The verb asked at node 1 of an array of three with a message."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clustercheck, "BUCKETS", (BUCKET,))  # the others have no groups here
        self.world = MailWorld()
        self.world.result(self.world.deliver(1, 1, OCTETS))
        self.world.run(0.5)
        self.node: LiveNode = replace(liveNode(World()), share=self.world.shares[1])
        self.progress: list[tuple[int, int, str]] = []

    def __call__(self) -> Any:
        run = VERBS["check"].run(self.node, lambda *step: self.progress.append(step), cluster=True)  # type: ignore[arg-type]
        return self.world.result(Deferred.fromCoroutine(run))  # type: ignore[arg-type]


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Checked:
    return Checked(monkeypatch)


def test_soundArrayIsSaidToBeSoundWithWhatWasSeen(checked: Checked) -> None:
    result = checked()
    assert (result["isSound"], result["count"], result["problems"]) == (True, 0, [])
    assert result["groups"] == 2
    assert (result["bodies"], result["octets"]) == (2, 2 * len(OCTETS))
    done, total, _ = checked.progress[-1]
    assert done == total


def test_replicaThatDiffersIsNamedWithBucketTableAndNodes(checked: Checked) -> None:
    rows = checked.world.rows[2]
    key, value = next(iter(rows.scan(MESSAGE, b"", b"\xff" * 32)))
    rows.put(MESSAGE, key, value[:-1] + bytes([value[-1] ^ 1]))
    result = checked()
    assert not result["isSound"]
    (problem,) = result["problems"]
    assert (problem["kind"], problem["where"]) == ("replicas-differ", f"bucket {BUCKET}, table message")
    assert problem["what"].startswith("n1 and n3: 1 rows, digest ")
    assert "; n2: 1 rows, digest " in problem["what"]


def test_damagedCopyIsNamedWithBodyAndNode(checked: Checked) -> None:
    checked.world.rows[2].put(BODY, chunkKey(BUCKET, bodyName(1), 0), b"?")
    (problem,) = checked()["problems"]
    assert problem["kind"] == "body-damaged"
    assert problem["where"] == f"bucket {BUCKET}, body {bodyName(1).hex()}, n2"


def test_bodiesThatOnlyNodesKeptWhichAreGoneAreLost(checked: Checked) -> None:
    """As after a recovery by force: no keeper is left that could be asked."""
    gone, key = 9, bodyrefKey(BUCKET, bodyName(1))
    for share in checked.world.shares.values():
        record = replaceFields(share.userMap.nodes[3], state=GONE)
        share.userMap.update({**share.userMap.nodes, gone: record}, {})
    for rows in checked.world.rows.values():
        record = decode(rows.get(BODYREF, key) or b"", BodyrefRecord)
        rows.put(BODYREF, key, encode(replaceFields(record, keepers=(gone,))))
        rows.delete(SUMMARY, summaryKey(BUCKET, bodyName(1)))  # which is none here
    (problem,) = checked()["problems"]
    assert (problem["kind"], problem["where"]) == ("bodies-lost", f"bucket {BUCKET}")
    assert problem["what"].startswith(
        f"1 messages ({len(OCTETS)} octets) were kept only by nodes that are gone: "
    )


def test_whatCouldNotBeSeenIsAWarning(checked: Checked) -> None:
    checked.world.kill(3)
    result = checked()
    assert result["isSound"]
    assert {warning["kind"] for warning in result["warnings"]} == {"node-silent"}
    assert any("n3 does not answer" in warning["what"] for warning in result["warnings"])


def test_groupThatNobodyHasIsLost(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustercheck, "BUCKETS", (BUCKET, BUCKET + 1))
    result = checked()
    assert [(each["kind"], each["where"]) for each in result["problems"]] == [
        ("group-lost", f"bucket {BUCKET + 1}")
    ]


def test_oneCheckAtATime(checked: Checked) -> None:
    checked.node.longWork = "a backup"
    with pytest.raises(VerbRefused):
        checked()
