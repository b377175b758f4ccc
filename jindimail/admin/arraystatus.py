"""The state of the whole array, put together from what its nodes say. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from jindimail.admin.webstatus import ArrayStatus, LedGroup
from jindimail.cluster.arrayrecords import GONE, UP, NodeRecord, WishRecord
from jindimail.cluster.downtime import byTheClock
from jindimail.cluster.planner import membersOf, plan, plannedNodes
from jindimail.cluster.settings import ArraySettings

SHOWN_MAX = 20
_OF_STATUS = ("state", "version", "incarnation", "uptimeSeconds", "load", "storage", "freeOctets", "replicas")


def nodeRows(
    nodes: Mapping[int, NodeRecord], array: ArrayStatus, leading: Mapping[int, int]
) -> list[dict[str, Any]]:
    """A row for each node that is not gone: what the array says of it, what it says of itself, or for how long it has not been heard."""
    statuses = {status.number: status for status in array.nodes}
    unheard = {silent.number: silent.unheardSeconds for silent in array.silent}
    rows = []
    for number, record in sorted(nodes.items()):
        status = statuses.get(number)
        if record.state == GONE:
            continue
        told = {name: getattr(status, name) for name in _OF_STATUS} if status else dict.fromkeys(_OF_STATUS)
        rows.append(
            {
                "node": number,
                "name": record.name,
                "member": record.state,
                **told,
                "unheardSeconds": unheard.get(number),
                "weight": record.weight,
                "host": record.host,
                "level": record.level,
                "leading": leading.get(number, 0) if status else None,
                "sessions": sum(status.sessions.values()) if status else None,
            }
        )
    return rows


def unsettled(
    leading: Mapping[int, LedGroup], wishes: Mapping[int, WishRecord], groups: Collection[int]
) -> dict[str, Any]:
    """What the groups lack: leaders, replicas that are wished for; and replicas that are still to go."""
    leaderless = [group for group in groups if group not in leading]
    missing = surplus = 0
    for group, led in leading.items():
        wish = wishes.get(group)
        if wish is None:
            continue
        members = {*led.voters, *led.learners}
        missing += len(set(wish.voters) - set(led.voters)) + len(set(wish.learners) - members)
        surplus += len(members - membersOf(wish))
    return {
        "total": len(groups),
        "withoutLeader": len(leaderless),
        "leaderless": leaderless[:SHOWN_MAX],
        "replicasMissing": missing,
        "replicasSurplus": surplus,
    }


def movesToCome(
    nodes: Mapping[int, NodeRecord],
    wishes: Mapping[int, WishRecord],
    groups: Collection[int],
    settings: ArraySettings,
    seconds: float,
) -> int:
    """
    How many groups are to get other members that nobody has wished for yet: the planner has not looked since a node came or went, or
    moves the rest later, a few groups at a time.
    """
    planned = plan(
        plannedNodes(nodes, byTheClock(seconds)),
        wishes,
        groups,
        replicas=settings.replicas,
        repairSeconds=settings.repairSeconds,
        movesMax=len(groups) * settings.replicas,
    )
    return sum(
        group not in wishes or membersOf(wishes[group]) != membersOf(wish) for group, wish in planned.items()
    )


def isWhole(
    nodes: Mapping[int, NodeRecord],
    answered: Collection[int],
    groups: Mapping[str, Any],
    copiesOwed: int | None,
) -> bool:
    """
    Whether nothing is amiss: all nodes are up and answer, groups have leaders and all the replicas that they are to have, bodies all
    their copies (`copiesOwed` None: a node does not know yet).
    """
    living = {number for number, record in nodes.items() if record.state != GONE}
    areUp = all(nodes[number].state == UP for number in living)
    lacks = (
        groups["withoutLeader"]
        or groups["replicasMissing"]
        or groups["replicasSurplus"]
        or groups["movesToCome"]
    )
    return areUp and living <= set(answered) and not lacks and copiesOwed == 0
