"""What must be so of whole nodes: in every log, and in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jindimail.errors import Corrupt
from jindimail.mailbox import entries
from jindimail.mailbox.outcomes import Filed
from jindimail.mailbox.queries import ReadOctets
from jindimail.model import ARRAY_GROUP
from jindimail.replication.outputs import Role
from jindimail.store.keys import BODYREF, bucketKey, unpackBodyKey
from jindimail.store.records import BodyrefRecord, decode
from tests.simulation.checkers import checkAgreement, checkKept, checkMailboxes, checkReferences
from tests.simulation.watch import AppliedLogs, Violation

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.whole import WholeArray


class WholeLogs(AppliedLogs):
    """
    Checker: as `AppliedLogs`; but nodes may propose a request again until they know its outcome, so that it may stand at
    several places, with one effect.
    """

    def __init__(self, first: Any) -> None:
        super().__init__(first)
        self.outcomes: dict[tuple[int, int], list[Any]] = {}
        self.filed: dict[tuple[int, bytes], int] = {}  # (group, delivery id): where it was filed

    def _appliedFirst(self, group: int, index: int, entry: bytes, outcome: Any) -> None:
        if group == ARRAY_GROUP:
            return
        decoded = entries.decodeEntry(entry)
        if isinstance(decoded, entries.Once):
            decoded = entries.decodeEntry(decoded.entry)
        self.outcomes.setdefault((group, decoded.seconds), []).append(outcome)
        if isinstance(decoded, entries.Deliver) and isinstance(outcome, Filed) and not outcome.repeated:
            before = self.filed.setdefault((group, decoded.deliveryId), index)
            if before != index:
                raise Violation("deliveredOnce", f"group {group}: {before} and {index}")
        self._first(group, decoded, outcome)

    def outcomesOf(self, group: int, seconds: int) -> list[Any]:
        """The outcomes of the entry of this time, wherever it was applied."""
        return self.outcomes.get((group, seconds), [])


def isSettled(array: WholeArray) -> bool:
    """Whether every group has the members and the leader that are wished for, and all of them everything."""
    return all(_isSettled(array, group) for group in array.numbers)


def _isSettled(array: WholeArray, group: int) -> bool:
    if not all(node.isUp for node in array.nodes.values()):
        return False
    wish = array.nodes[1].driver.share.userMap.wish(group)
    leader = array.leaderOf(group)
    raft = leader.raft(group) if leader is not None else None
    if wish is None or raft is None or leader is None or leader.number != wish.voters[0]:
        return False
    members = raft.configuration.members
    if {member.node for member in members if member.voter} != set(wish.voters):
        return False
    if {member.node for member in members if not member.voter} != set(wish.learners):
        return False
    replicas = [array.nodes[member.node].raft(group) for member in members]
    return all(each is not None and each.applying == raft.log.commit for each in replicas)


def checkWhole(array: WholeArray) -> None:
    """Everything that must be so after calm."""
    for group in array.numbers:
        holders = membersOf(array, group)
        checkAgreement(group, holders)
        if group != ARRAY_GROUP:
            checkReferences(group, holders[0])
            checkMailboxes(array, group, holders[0])
            checkBodies(array, group, holders[0])
            checkReadable(array, group)


def membersOf(array: WholeArray, group: int) -> list[Node]:
    """The nodes that have replicas of a group; it has one leader."""
    leaders = [
        node for node in array.nodes.values() if (raft := node.raft(group)) and raft.role is Role.LEADER
    ]
    if len(leaders) != 1:
        raise Violation("livenessAfterCalm", f"group {group}: {len(leaders)} leaders")
    raft = leaders[0].raft(group)
    assert raft is not None
    return [array.nodes[member.node] for member in raft.configuration.members]


def checkBodies(array: WholeArray, group: int, node: Node) -> None:
    """Each keeper that a body's record names has it."""
    bucket = group - 1
    for key, value in node.disk.rows.scan(BODYREF, bucketKey(bucket), bucketKey(bucket + 1)):
        bodyId, record = unpackBodyKey(key)[1], decode(value, BodyrefRecord)
        checkKept(array, group, bodyId, record.keepers, "copiesAreThere")


def checkReadable(array: WholeArray, group: int) -> None:
    """What was acknowledged and not removed can be read at every node that serves clients."""
    for (mine, _), mailbox in array.model.mailboxes.items():
        if mine != group:
            continue
        for uid in sorted(mailbox.acknowledged - mailbox.maybeGone - mailbox.gone):
            bodyId = mailbox.bodies[uid]
            node = array.chance.choice(
                [node for number, node in array.nodes.items() if array.weights[number]]
            )
            if _readNow(array, group, bodyId, node) != array.model.bodies[bodyId]:
                raise Violation("bodyIsTheOneSent", f"group {group}: UID {uid} at node {node.number}")


def _readNow(array: WholeArray, group: int, bodyId: bytes, node: Node) -> bytes | None:
    size = len(array.model.bodies[bodyId])
    query = ReadOctets(bodyId=bodyId, prefix=0, start=0, stop=size)
    found: list[Any] = []
    asked = array.clients[0].ask(node, lambda each: each.driver.share.buckets.query(group - 1, query, False))
    asked.addBoth(found.append)
    while not found:
        array.runUntil(array.heap.now + 0.05)
    if isinstance(found[0], bytes):
        return found[0]
    problem = found[0].value
    name = "bodyIsReadable"
    assert isinstance(problem, Corrupt | Exception)
    raise Violation(name, f"group {group}: {bodyId.hex()} at node {node.number}: {problem!r}")
