"""`jindictl check --cluster`: all replicas of all groups compared, all copies of bodies read where they are kept, and bodies found that nobody keeps any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jindimail.admin.livenode import LiveNode
from jindimail.admin.verb import SHOWN_MAX, Report
from jindimail.cluster.comparing import Compared, Comparing
from jindimail.cluster.foretelling import LostBodies
from jindimail.errors import JindimailError
from jindimail.model import ARRAY_GROUP, BUCKET_COUNT, bucketGroup
from jindimail.replication.digests import Difference, TableDigest

REPLICAS_DIFFER = "replicas-differ"
GROUP_LOST, BODIES_LOST = "group-lost", "bodies-lost"
NODE_SILENT, REPLICA_ABSENT, GROUP_UNDECIDED = "node-silent", "replica-absent", "group-undecided"
BODIES_UNCOUNTED = "bodies-uncounted"
BUCKETS = tuple(range(BUCKET_COUNT))


class Findings:
    """What was found so far, bounded as it is shown."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self.problems: list[dict[str, str]] = []
        self.warnings: list[dict[str, str]] = []
        self.count = self.groups = self.bodies = self.octets = 0
        self._names = names

    def name(self, node: int) -> str:
        """A node's name."""
        return self._names.get(node, f"node {node}")

    def problem(self, kind: str, where: str, what: str, table: str = "") -> None:
        """Something is wrong."""
        self.count += 1
        if len(self.problems) < SHOWN_MAX:
            self.problems.append({"kind": kind, "where": where, "what": what, "table": table})

    def warn(self, kind: str, where: str, what: str) -> None:
        """Something could not be seen."""
        if len(self.warnings) < SHOWN_MAX:
            self.warnings.append({"kind": kind, "where": where, "what": what})

    def result(self) -> dict[str, Any]:
        """As it is shown."""
        return {
            "isSound": not self.count,
            "count": self.count,
            "groups": self.groups,
            "bodies": self.bodies,
            "octets": self.octets,
            "problems": self.problems,
            "warnings": self.warnings,
        }


async def checkCluster(node: LiveNode, report: Report) -> dict[str, Any]:
    """
    Compare the array's replicas, and read all copies at their keepers, while it serves.

    A replica that differs is a problem, and so is a copy that its keeper does not have sound, and a body that only nodes kept which are gone. What could not be compared (a node that does not
    answer, a bucket that changes too fast) is a warning: nothing is said to be sound that was not seen.
    """
    comparing: Comparing = node.share.comparing
    userMap = node.share.userMap
    living = userMap.living() or (node.meta.node,)
    names = {number: record.name for number, record in userMap.nodes.items()}
    findings = Findings({node.meta.node: node.meta.name} | names)
    groups = (ARRAY_GROUP, *map(bucketGroup, BUCKETS))
    total = len(groups) + len(BUCKETS)
    places: dict[int, int] = {}
    for done, group in enumerate(groups):
        compared = await comparing.compare(group, userMap.membersOf(group))
        if not compared.index and not compared.silent:
            compared = await comparing.compare(group, userMap.membersOf(group))
        _tellCompared(findings, compared)
        if group != ARRAY_GROUP and compared.nodes:
            places[group - 1] = compared.nodes[0]
        report(done + 1, total, "comparing replicas")
    gone = tuple(number for number in userMap.nodes if userMap.isGone(number))
    for bucket, lost in (await node.share.foretelling.count(gone, places) if gone else {}).items():
        _tellLost(findings, bucket, lost)
    for done, bucket in enumerate(BUCKETS):
        for number in living:
            await _readCopies(findings, comparing, bucket, number)
        report(len(groups) + done + 1, total, "reading copies")
    return findings.result()


def _tellLost(findings: Findings, bucket: int, lost: LostBodies | None) -> None:
    """What went with nodes that were given up is refused to clients as damaged, and nothing brings it back."""
    where = f"bucket {bucket}"
    if lost is None:
        findings.warn(BODIES_UNCOUNTED, where, "what only nodes kept that are gone could not be counted")
    elif lost.bodies:
        examples = ", ".join(
            f"{each.messageId or each.bodyId.hex()} {each.address}".rstrip() for each in lost.examples
        )
        what = f"{lost.messages} messages ({lost.octets} octets) were kept only by nodes that are gone: {examples}"
        findings.problem(BODIES_LOST, where, what, "bodyref")


def _tellCompared(findings: Findings, compared: Compared) -> None:
    where = _where(compared.group)
    for node in compared.silent:
        findings.warn(NODE_SILENT, where, f"{findings.name(node)} does not answer")
    if not compared.nodes and not compared.silent:
        findings.problem(GROUP_LOST, where, "no node has a replica")
        return
    for node in compared.absent:
        findings.warn(
            REPLICA_ABSENT, where, f"{findings.name(node)} should have a replica, and has none (yet)"
        )
    if not compared.index:
        if compared.nodes:
            findings.warn(GROUP_UNDECIDED, where, "changes too fast to be compared; check again")
        return
    findings.groups += 1
    for difference in compared.differences:
        what = _partiesText(findings, difference)
        findings.problem(REPLICAS_DIFFER, f"{where}, table {difference.table}", what, difference.table)


def _partiesText(findings: Findings, difference: Difference) -> str:
    return "; ".join(_partyText(findings, digest, nodes) for digest, nodes in difference.parties)


def _partyText(findings: Findings, digest: TableDigest, nodes: tuple[int, ...]) -> str:
    names = " and ".join(map(findings.name, nodes))
    return f"{names}: {digest.rows} rows, digest {digest.digest.hex()[:8]}"


async def _readCopies(findings: Findings, comparing: Comparing, bucket: int, node: int) -> None:
    where = f"bucket {bucket}"
    try:
        found = await comparing.copies(bucket, node)
    except JindimailError:
        findings.warn(NODE_SILENT, where, f"{findings.name(node)} does not answer for its copies")
        return
    findings.bodies += found.bodies
    findings.octets += found.octets
    for wrong in found.wrong:
        place = f"{where}, body {wrong.bodyId.hex()}, {findings.name(node)}"
        findings.problem(wrong.kind, place, wrong.text, "body")


def _where(group: int) -> str:
    return "the array's own group" if group == ARRAY_GROUP else f"bucket {group - 1}"
