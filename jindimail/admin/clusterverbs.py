"""The verbs about the array: its nodes, what they hold, who comes and who goes. Each works at any node."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from jindimail.admin.arraystatus import isWhole, movesToCome, nodeRows, unsettled
from jindimail.admin.asking import askAll
from jindimail.admin.livenode import LiveNode
from jindimail.admin.verb import NUMBER, SWITCH, TEXTS, Argument, Report, VerbRefused, verb
from jindimail.admin.webstatus import ArrayStatus, copiesOwed, leaders
from jindimail.admin.webview import alerts
from jindimail.cluster.arrayrecords import GONE, readNodes, readWishes
from jindimail.cluster.foretelling import EXAMPLES_MAX, LostBodies, Told
from jindimail.cluster.recovery import Loss
from jindimail.cluster.settings import BOUNDS, readSettings
from jindimail.model import BUCKET_COUNT, bucketGroup

HOURS_MAX = 24 * 14
_NODE = Argument(name="name", doc="the node's name or number")


async def _numberOf(node: LiveNode, given: str) -> int:
    """The number of a node given by name or number."""
    await node.share.catchUp()
    with node.store.read() as rows:
        for number, record in readNodes(rows):
            if given in (record.name, str(number)):
                return number
    raise VerbRefused(f"no node {given}", "noSuchNode")


@verb("cluster status", examples=("jindictl cluster status", "jindictl --json cluster status"))
async def arrayStatus(node: LiveNode, report: Report) -> dict[str, Any]:
    """How the array is: its nodes with what they hold and lead, what is missing, and whether all is as it should be."""
    await node.share.catchUp()
    array: ArrayStatus = await node.sight.array()
    with node.store.read() as rows:
        nodes, wishes, settings = dict(readNodes(rows)), dict(readWishes(rows)), readSettings(rows)
    statuses = {status.number: status for status in array.nodes}
    leading = leaders(array)
    groups = range(BUCKET_COUNT + 1)
    found = unsettled({group: led for group, (_, led) in leading.items()}, wishes, groups)
    found["movesToCome"] = movesToCome(nodes, wishes, groups, settings, node.seconds())
    owed = copiesOwed(array)
    return {
        "array": node.meta.arrayId.hex(),
        "askedAt": node.meta.name,
        "isWhole": isWhole(nodes, statuses, found, owed),
        "hearsMajority": node.hearsMajority,
        "alerts": list(alerts(array)),
        "groups": found,
        "copies": {"owed": owed, "moved": sum(status.bodiesMoved for status in array.nodes)},
        "nodes": nodeRows(nodes, array, Counter(status.number for status, _ in leading.values())),
    }


@verb(
    "cluster nodes",
    columns=("node", "name", "state", "weight", "host", "addresses", "linked", "unheardSeconds"),
    examples=("jindictl cluster nodes",),
)
async def nodes(node: LiveNode, report: Report) -> dict[str, Any]:
    """All nodes that there ever were, as this node knows them, and whether this node has links to them."""
    await node.share.catchUp()
    with node.store.read() as rows:
        found = dict(readNodes(rows))
    return {
        "rows": [
            {
                "node": number,
                "name": record.name,
                "state": record.state,
                "since": _time(record.sinceSeconds),
                "weight": record.weight,
                "host": record.host,
                "level": record.level,
                "addresses": list(record.addresses),
                "linked": number == node.meta.node or node.links.isUp(number),
                "unheardSeconds": None if number == node.meta.node else node.unheardSeconds(number),
            }
            for number, record in found.items()
        ],
        "after": None,
    }


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


@verb("cluster drain", _NODE, examples=("jindictl cluster drain node3",))
async def drain(node: LiveNode, report: Report, *, name: str) -> dict[str, Any]:
    """Empty a node: what it has moves to others, and then it is gone. Until then `cluster undrain` takes it back."""
    number = await _numberOf(node, name)
    await node.share.operations.drain(number)
    return {"draining": number}


@verb("cluster undrain", _NODE, examples=("jindictl cluster undrain node3",))
async def undrain(node: LiveNode, report: Report, *, name: str) -> dict[str, Any]:
    """A node that was to be emptied stays."""
    number = await _numberOf(node, name)
    await node.share.operations.undrain(number)
    return {"stays": number}


@verb(
    "cluster remove",
    _NODE,
    Argument(
        name="force",
        doc="also if mail is lost, or may be, that no other node keeps",
        kind=SWITCH,
        option=True,
        default=False,
    ),
    confirm="Remove {name} for good? It can never come back.",
    examples=("jindictl cluster remove node3 --yes", "jindictl cluster remove node3 --force"),
)
async def remove(node: LiveNode, report: Report, *, name: str, force: bool) -> dict[str, Any]:
    """
    Give up a node that is dead for good: what it had is restored elsewhere at once, and it may never come back. Where mail would be
    lost, since no other node keeps it, that is said and nothing is done without `--force`.
    """
    number = await _numberOf(node, name)
    lost = await node.share.operations.remove(number, force, _told(report))
    return {"removed": number, "lost": _mailRow(lost)}


@verb(
    "cluster weight",
    _NODE,
    Argument(
        name="weight",
        doc="100 is usual; 0 makes a witness of a node, whose mail moves to the others",
        kind=NUMBER,
    ),
    examples=("jindictl cluster weight node3 200",),
)
async def setWeight(node: LiveNode, report: Report, *, name: str, weight: int) -> dict[str, Any]:
    """Set how much a node shall bear, beside the others."""
    number = await _numberOf(node, name)
    await node.share.operations.setWeight(number, weight)
    return {"node": number, "weight": weight}


@verb(
    "cluster set",
    Argument(name="setting", doc="replicas, copies, minCopies, spread, repairSeconds or scrubDays"),
    Argument(name="value", doc="a number", kind=NUMBER),
    examples=("jindictl cluster set copies 3",),
)
async def setSetting(node: LiveNode, report: Report, *, setting: str, value: int) -> dict[str, Any]:
    """Change a setting of the whole array."""
    if setting not in BOUNDS:
        raise VerbRefused(f"no setting {setting} (they are {', '.join(BOUNDS)})", "usage")
    low, high = BOUNDS[setting]
    if not low <= value <= high:
        raise VerbRefused(f"{setting}: {low} to {high}", "usage")
    await node.share.operations.setSetting(setting, value)
    return {setting: value}


@verb("cluster settings", examples=("jindictl cluster settings",))
async def settings(node: LiveNode, report: Report) -> dict[str, Any]:
    """The settings of the whole array."""
    await node.share.catchUp()
    with node.store.read() as rows:
        return asdict(readSettings(rows))


@verb(
    "cluster recover",
    Argument(name="lost", doc="the nodes that are lost for good", kind=TEXTS),
    confirm=(
        "Found {foundedAnew} groups anew, without {lost}? {messages} messages ({octets} octets) that only they keep are lost for"
        " ever, and whatever else only they had; the mailboxes get new UIDVALIDITYs."
    ),
    foreseen="cluster loss",
    examples=("jindictl cluster recover node2 node3",),
)
async def recover(node: LiveNode, report: Report, *, lost: tuple[str, ...]) -> dict[str, Any]:
    """
    By force, after a majority of nodes is lost for good: found anew, from the best replica that is left, every group that cannot
    elect a leader any more. What only the lost nodes had is lost; mailboxes of these buckets get new UIDVALIDITYs. `cluster loss` says
    beforehand what would be lost.
    """
    numbers = tuple([await _numberOf(node, each) for each in lost])
    return _lossRow(await node.share.operations.recover(numbers, _told(report)))


@verb(
    "cluster loss",
    Argument(name="lost", doc="the nodes that are lost for good", kind=TEXTS),
    examples=("jindictl cluster loss node2 node3",),
)
async def loss(node: LiveNode, report: Report, *, lost: tuple[str, ...]) -> dict[str, Any]:
    """
    What `cluster recover` would lose, if these nodes never came back. Nothing is changed. `foundedAnew` groups cannot elect a leader
    without them, of the `hopeless` nothing is left; `messages` are kept by these nodes alone, in all buckets but the `uncounted`, with a few `examples`.
    """
    numbers = tuple([await _numberOf(node, each) for each in lost])
    return _lossRow(await node.share.operations.foreseen(numbers, _told(report)))


def _lossRow(found: Loss) -> dict[str, Any]:
    """What it comes to first; of the groups only those whose mail loses something, or may."""
    return {
        "nodes": list(found.nodes),
        "foundedAnew": len(found.groups),
        "hopeless": list(found.hopeless),
        **_mailRow(found),
        "groups": [
            {"group": bucketGroup(bucket), "index": found.groups.get(bucketGroup(bucket)), **_countRow(lost)}
            for bucket, lost in sorted(found.bodies.items())
        ],
    }


def _mailRow(found: Loss) -> dict[str, Any]:
    return {
        **_countRow(found.mail),
        "uncounted": list(found.uncounted),
        "examples": [
            {
                "bucket": bucket,
                "body": example.bodyId.hex(),
                "octets": example.size,
                "account": example.address,
                "mailbox": example.mailbox,
                "messageId": example.messageId,
            }
            for bucket, lost in found.bodies.items()
            for example in (lost.examples if lost else ())
        ][:EXAMPLES_MAX],
    }


def _countRow(lost: LostBodies | None) -> dict[str, int | None]:
    """Nothing stands where it could not be counted."""
    return {name: getattr(lost, name, None) for name in ("messages", "bodies", "octets")}


def _told(report: Report) -> Told:
    """Counting takes a while where there is much mail."""
    return lambda done, total: report(done, total, "buckets counted")


@verb(
    "cluster map",
    Argument(name="bucket", doc="only this bucket", kind=NUMBER, option=True),
    columns=("bucket", "leader", "voters", "learners", "wished"),
    examples=("jindictl cluster map", "jindictl cluster map --bucket 17"),
)
async def clusterMap(node: LiveNode, report: Report, *, bucket: int | None) -> dict[str, Any]:
    """The user map: which nodes have which bucket's replicas, who leads it, and what is wished for."""
    if bucket is not None and bucket >= BUCKET_COUNT:
        raise VerbRefused(f"bucket: 0 to {BUCKET_COUNT - 1}", "usage")
    await node.share.catchUp()
    leading = leaders(await node.sight.array())
    with node.store.read() as rows:
        names = {number: record.name for number, record in readNodes(rows) if record.state != GONE}
        wishes = dict(readWishes(rows))
    buckets = range(BUCKET_COUNT) if bucket is None else (bucket,)
    found = []
    for each in buckets:
        known, wish = leading.get(bucketGroup(each)), wishes.get(bucketGroup(each))
        found.append(
            {
                "bucket": each,
                "leader": known[0].node if known else None,
                "voters": [names.get(at, at) for at in known[1].voters] if known else [],
                "learners": [names.get(at, at) for at in known[1].learners] if known else [],
                "wished": [names.get(at, at) for at in (*wish.voters, *wish.learners)] if wish else None,
            }
        )
    return {"rows": found, "after": None}


@verb(
    "cluster events",
    Argument(name="limit", doc="so many at most", kind=NUMBER, option=True, default=100),
    columns=("time", "node", "event"),
    examples=("jindictl cluster events", "jindictl --json cluster events --limit 1000"),
)
async def events(node: LiveNode, report: Report, *, limit: int) -> dict[str, Any]:
    """What happened to the array lately, as its nodes saw it, the latest last."""
    told = await askAll(node, "events", limit=limit)
    rows = sorted((row for answer in told.values() for row in answer["rows"]), key=lambda row: row["seconds"])
    return {"rows": rows[-limit:], "after": None}


@verb(
    "events",
    Argument(name="limit", doc="so many at most", kind=NUMBER, option=True, default=100),
    columns=("time", "event"),
    examples=("jindictl events",),
    isFar=True,
)
async def nodeEvents(node: LiveNode, report: Report, *, limit: int) -> dict[str, Any]:
    """What this node saw happen to the array lately, the latest last."""
    rows = [
        {
            "seconds": event.seconds,
            "time": _time(event.seconds),
            "node": node.meta.name,
            "kind": event.kind,
            "event": event.text,
            "fields": event.fields,
        }
        for event in list(node.share.events)[: min(limit, 1000)]
    ]
    return {"rows": rows[::-1], "after": None}


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S") if seconds else ""
