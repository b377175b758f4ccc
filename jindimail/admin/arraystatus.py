"""The state of the whole array, put together from what its nodes say. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jindimail.cluster.arrayrecords import GONE, UP, NodeRecord, WishRecord

SHOWN_MAX = 20
_OF_STATUS = ("state", "version", "incarnation", "uptimeSeconds", "load", "storage", "freeOctets")


def nodeRows(
    nodes: Mapping[int, NodeRecord], statuses: Mapping[int, Any], leading: Mapping[int, int]
) -> list[dict[str, Any]]:
    """A row for each node that is not gone: what the array says of it, and what it says of itself."""
    rows = []
    for number, record in sorted(nodes.items()):
        status = statuses.get(number)
        if record.state == GONE:
            continue
        told = {name: status[name] for name in _OF_STATUS} if status else dict.fromkeys(_OF_STATUS)
        rows.append(
            {
                "node": number,
                "name": record.name,
                "member": record.state,
                **told,
                "weight": record.weight,
                "host": record.host,
                "level": record.level,
                "replicas": status["groups"]["total"] if status else None,
                "leading": leading.get(number, 0) if status else None,
                "sessions": status["sessions"]["total"] if status else None,
            }
        )
    return rows


def leaders(groups: Mapping[int, Any]) -> dict[int, dict[str, Any]]:
    """The leader's word on each group, with its `node`; where two think that they lead, the later term's."""
    found: dict[int, dict[str, Any]] = {}
    for node, answer in groups.items():
        for row in answer["rows"]:
            known = found.get(row["group"])
            if row["role"] == "leader" and (known is None or known["term"] < row["term"]):
                found[row["group"]] = {**row, "node": node}
    return found


def unsettled(
    leading: Mapping[int, dict[str, Any]], wishes: Mapping[int, WishRecord], total: int
) -> dict[str, Any]:
    """What the groups lack: leaders, replicas that are wished for; and replicas that are still to go."""
    leaderless = [group for group in range(total) if group not in leading]
    missing = surplus = 0
    for group, row in leading.items():
        wish = wishes.get(group)
        if wish is None:
            continue
        members = {node: isVoter for _, node, isVoter, _ in row["members"]}
        missing += sum(not members.get(node) for node in wish.voters)
        missing += sum(node not in members for node in wish.learners)
        surplus += sum(node not in (*wish.voters, *wish.learners) for node in members)
    return {
        "total": total,
        "withoutLeader": len(leaderless),
        "leaderless": leaderless[:SHOWN_MAX],
        "replicasMissing": missing,
        "replicasSurplus": surplus,
    }


def isWhole(
    nodes: Mapping[int, NodeRecord], answered: Mapping[int, Any], groups: dict[str, Any], copiesOwed: int
) -> bool:
    """Whether nothing is amiss: all nodes are up and answer, groups have leaders and all their replicas, bodies all their copies."""
    living = {number for number, record in nodes.items() if record.state != GONE}
    areUp = all(nodes[number].state == UP for number in living)
    lacks = groups["withoutLeader"] or groups["replicasMissing"] or groups["replicasSurplus"]
    return areUp and living <= set(answered) and not lacks and not copiesOwed
