"""What must be so in the end, when it has been calm for a while: looked up on the disks alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.errors import Corrupt
from jindimail.mailbox.entries import Deliver, decodeEntry
from jindimail.mailbox.outcomes import Filed
from jindimail.mailbox.queries import ReadMailbox, ReadRows
from jindimail.model import digestOf
from jindimail.replication.outputs import Role
from jindimail.replication.snapshots import stateRows
from jindimail.store.bodies import verify
from jindimail.store.checkbucket import BucketCheck
from jindimail.store.keys import BODY, BODYREF, bucketKey, unpackBodyKey, unpackChunkKey
from jindimail.store.records import BodyrefRecord, decode
from tests.simulation.keeping import COPIES
from tests.simulation.node import Node
from tests.simulation.watch import Violation

if TYPE_CHECKING:
    from tests.simulation.array import Array


def checkEnd(array: Array) -> None:
    """Everything that must be so after calm."""
    for group in array.groups:
        holders = checkConvergence(array, group)
        checkAgreement(group, holders)
        checkReferences(group, holders[0])
        checkMailboxes(array, group, holders[0])
        checkDeliveries(array, group)
        checkCopies(array, group, holders[0])
    checkRefused(array)


def checkConvergence(array: Array, group: int) -> list[Node]:
    """One leader, whose members have all that it has; the nodes that have replicas."""
    leaders = [
        node for node in array.nodes.values() if (raft := node.raft(group)) and raft.role is Role.LEADER
    ]
    if len(leaders) != 1:
        raise Violation("livenessAfterCalm", f"group {group}: {len(leaders)} leaders")
    leader = leaders[0].raft(group)
    assert leader is not None
    members = {member.node: member.replicaId for member in leader.configuration.members}
    if set(members) != array.wishes[group]:
        raise Violation("livenessAfterCalm", f"group {group} is at {members}, not {array.wishes[group]}")
    for number, replicaId in members.items():
        raft = array.nodes[number].raft(group)
        if raft is None or raft.replicaId != replicaId or raft.log.commit != leader.log.commit:
            here = "is not there" if raft is None else f"is replica {raft.replicaId} at {raft.log.commit}"
            raise Violation(
                "livenessAfterCalm",
                f"group {group}: node {number} {here}, not replica {replicaId} at {leader.log.commit}",
            )
    return [array.nodes[number] for number in sorted(members)]


def checkAgreement(group: int, holders: list[Node]) -> None:
    """All replicas have the same applied rows."""
    wanted = list(stateRows(holders[0].disk.rows, group))
    for node in holders[1:]:
        rows = list(stateRows(node.disk.rows, group))
        if rows != wanted:
            different = [row[:2] for row in set(rows) ^ set(wanted)]
            raise Violation(
                "replicasAgree", f"group {group}: nodes {holders[0].number}, {node.number}: {different}"
            )


def checkReferences(group: int, node: Node) -> None:
    """Counts, references and changes are what the rows say."""
    for finding in BucketCheck(node.disk.rows, group - 1).run():
        raise Violation("referencesEqualRows", f"group {group}: {finding}")


def checkMailboxes(array: Array, group: int, node: Node) -> None:
    """What was acknowledged is there, what was expunged is not, as a last read sees it."""
    for (mine, mailboxId), mailbox in array.model.mailboxes.items():
        if mine == group:
            rows = node.disk.rows
            summary = node.machine.answer(rows, group, ReadMailbox(mailboxId=mailboxId))
            found = node.machine.answer(rows, group, ReadRows(mailboxId=mailboxId))
            mailbox.read(mailbox.known(), summary, found, f"the end at node {node.number}")


def checkDeliveries(array: Array, group: int) -> None:
    """Each delivery id filed its message at most once."""
    filed: dict[bytes, int] = {}
    for (mine, index), (octets, outcome) in array.watch.logs.entries.items():
        if mine != group or not isinstance(outcome, Filed) or outcome.repeated:
            continue
        entry = decodeEntry(octets)
        assert isinstance(entry, Deliver)
        if entry.deliveryId in filed:
            raise Violation("deliveredOnce", f"group {group}: {filed[entry.deliveryId]} and {index}")
        filed[entry.deliveryId] = index


def checkRefused(array: Array) -> None:
    """What was refused did not happen."""
    for group, seconds in array.model.refused:
        if (group, seconds) in array.watch.logs.places:
            raise Violation("refusedDidNotHappen", f"group {group}: the entry of {seconds}")


def checkKept(array: Array, group: int, bodyId: bytes, keepers: tuple[int, ...], name: str) -> None:
    """Each named keeper has the whole body, durably, unless its disk was set aside."""
    octets = array.model.bodies[bodyId]
    for number in keepers:
        try:
            verify(array.nodes[number].disk.rows, group - 1, bodyId, len(octets), digestOf(octets))
        except Corrupt as problem:
            if array.emptiedAt.get(number, -1.0) < array.sentAt(bodyId):
                raise Violation(
                    name, f"group {group}: {bodyId.hex()} at node {number}: {problem}"
                ) from problem


def checkCopies(array: Array, group: int, node: Node) -> None:
    """Every body has its copies again, and nobody keeps one in vain."""
    bucket = group - 1
    start, stop = bucketKey(bucket), bucketKey(bucket + 1)
    kept: dict[int, set[bytes]] = {number: set() for number in array.nodes}
    wanted = min(COPIES, len(array.wishes[group]))
    for key, value in node.disk.rows.scan(BODYREF, start, stop):
        bodyId, record = unpackBodyKey(key)[1], decode(value, BodyrefRecord)
        checkKept(array, group, bodyId, record.keepers, "copiesAreThere")
        for number in record.keepers:
            kept[number].add(bodyId)
            if (group, number) in array.emptied:
                raise Violation("copiesAreRestored", f"group {group}: {bodyId.hex()} at {record.keepers}")
        if len(record.keepers) < wanted:
            raise Violation("copiesAreRestored", f"group {group}: {bodyId.hex()} only at {record.keepers}")
    for number, each in array.nodes.items():
        held = {unpackChunkKey(key)[1] for key in each.disk.rows.keys(BODY, start, stop)}
        vain = sorted(held - kept[number])
        if vain:
            raise Violation(
                "bodiesAreSwept", f"group {group}: node {number} keeps {len(vain)}, {vain[0].hex()} first"
            )
