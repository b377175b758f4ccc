"""The verbs about the array: its nodes, what they hold, who comes and who goes. Each works at any node."""

from __future__ import annotations

from typing import Any

from jindimail.admin.livenode import LiveNode
from jindimail.admin.verb import NUMBER, Argument, Report, VerbRefused, verb
from jindimail.cluster.arrayrecords import readNodes

HOURS_MAX = 24 * 14


@verb(
    "cluster invite",
    Argument(name="hours", doc="how long the token is good", kind=NUMBER, option=True, default=1),
    examples=("jindictl cluster invite", "jindictl --json cluster invite --hours 24"),
)
async def invite(node: LiveNode, report: Report, *, hours: int) -> dict[str, Any]:
    """Print a token that lets one new node join: `jindictl join TOKEN` on its machine."""
    if not 1 <= hours <= HOURS_MAX:
        raise VerbRefused(f"hours: 1 to {HOURS_MAX}", "usage")
    token: str = await node.share.operations.invite(hours * 3600)
    return {"token": token}


@verb(
    "cluster nodes",
    columns=("node", "name", "state", "weight", "host", "addresses", "linked"),
    examples=("jindictl cluster nodes",),
)
async def nodes(node: LiveNode, report: Report) -> dict[str, Any]:
    """The nodes of the array, as this node knows them."""
    with node.store.read() as rows:
        found = dict(readNodes(rows))
    return {
        "rows": [
            {
                "node": number,
                "name": record.name,
                "state": record.state,
                "weight": record.weight,
                "host": record.host,
                "addresses": list(record.addresses),
                "linked": number == node.meta.node or node.links.isUp(number),
            }
            for number, record in found.items()
        ],
        "after": None,
    }
