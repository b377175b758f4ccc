"""
The node's metrics for Prometheus: what each is called, and what it counts.

Everything is read from the node when a scraper asks (webreading.py); what is counted is counted as plain numbers where it happens (counts.py).
docs/metrics.md is made from METRICS.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from jindimail.admin.livenode import SERVING, LiveNode
from jindimail.admin.nodeverbs import residentOctets
from jindimail.admin.webreading import (
    COUNTER,
    GAUGE,
    HISTOGRAM,
    PREFIX,
    NodeMetric,
    Reading,
    arrayWork,
    bodies,
    buildInfo,
    cpuSeconds,
    events,
    logins,
    nodeInfo,
    nodes,
    ofDeliveries,
    ofPeers,
    ofReport,
    ofServices,
    ofSpace,
    ofTable,
    openFiles,
    recipients,
    sessions,
    usedOctets,
)
from jindimail.counts import Histogram
from jindimail.store.keys import LOG, QUEUE

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def exposition(node: LiveNode) -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(_Collector(node))


class _Collector:
    """What `generate_latest` asks, in the place of a registry."""

    def __init__(self, node: LiveNode) -> None:
        self._node = node

    def collect(self) -> Iterator[Metric]:
        """All families."""
        reading = Reading(self._node)
        for metric in METRICS:
            yield metric.family(reading)


METRICS: tuple[NodeMetric, ...] = (
    NodeMetric(
        name="build_info",
        kind=GAUGE,
        doc="Always 1; the labels say which versions run.",
        labels=("version", "python", "twisted"),
        read=buildInfo,
    ),
    NodeMetric(
        name="node_info",
        kind=GAUGE,
        doc="Always 1; the labels say which node this is, and of which array.",
        labels=("node", "number", "array"),
        read=nodeInfo,
    ),
    NodeMetric(
        name="serving",
        kind=GAUGE,
        doc="1 while the node serves clients, 0 while it starts or stops.",
        read=lambda reading: [((), int(reading.node.state == SERVING))],
    ),
    NodeMetric(
        name="incarnation",
        kind=GAUGE,
        doc="How often this node has been started.",
        read=lambda reading: [((), reading.node.meta.incarnation)],
    ),
    NodeMetric(
        name="start_time_seconds",
        kind=GAUGE,
        doc="When the process started, in seconds since the epoch.",
        read=lambda reading: [((), reading.node.startedSeconds)],
    ),
    # clients
    NodeMetric(
        name="sessions",
        kind=GAUGE,
        doc="Client connections.",
        labels=("protocol",),
        read=sessions,
    ),
    NodeMetric(
        name="recipients_total",
        kind=COUNTER,
        doc="Recipients of mail that came in, by what became of them: `filed`, or the name of the refusal.",
        labels=("protocol", "outcome"),
        read=recipients,
    ),
    NodeMetric(
        name="messages_filed_total",
        kind=COUNTER,
        doc="Messages that were filed for at least one recipient.",
        labels=("protocol",),
        read=ofDeliveries("messages"),
    ),
    NodeMetric(
        name="messages_filed_octets_total",
        kind=COUNTER,
        doc="Octets of these messages.",
        labels=("protocol",),
        read=ofDeliveries("octets"),
    ),
    NodeMetric(
        name="delivery_seconds",
        kind=HISTOGRAM,
        doc="From a message's last octet to its answer: copies kept, records committed.",
        labels=("protocol",),
        read=ofDeliveries("seconds"),
    ),
    NodeMetric(
        name="logins_total",
        kind=COUNTER,
        doc="Logins of all protocols by outcome: `ok`, or the name of the refusal.",
        labels=("outcome",),
        read=logins,
    ),
    NodeMetric(
        name="received_octets_total",
        kind=COUNTER,
        doc="Octets received over TCP, TLS included.",
        labels=("service",),
        read=ofServices(0),
    ),
    NodeMetric(
        name="sent_octets_total",
        kind=COUNTER,
        doc="Octets sent over TCP, TLS included.",
        labels=("service",),
        read=ofServices(1),
    ),
    # groups
    NodeMetric(
        name="groups",
        kind=GAUGE,
        doc="Replicas of groups on this node.",
        read=lambda reading: reading.ofGroups(lambda group: 1),
    ),
    NodeMetric(
        name="groups_leading",
        kind=GAUGE,
        doc="Groups that this node leads.",
        read=lambda reading: reading.ofGroups(lambda group: group.role == "leader"),
    ),
    NodeMetric(
        name="groups_leaderless",
        kind=GAUGE,
        doc="Groups of this node whose leader it does not know.",
        read=lambda reading: reading.ofGroups(lambda group: not group.leader),
    ),
    NodeMetric(
        name="proposals_waiting",
        kind=GAUGE,
        doc="Proposals that wait for their commit.",
        read=lambda reading: reading.ofGroups(lambda group: group.waiting),
    ),
    NodeMetric(
        name="entries_unapplied",
        kind=GAUGE,
        doc="Committed entries that are not applied here yet.",
        read=lambda reading: reading.ofGroups(lambda group: max(0, group.commit - group.applied)),
    ),
    NodeMetric(
        name="log_entries",
        kind=GAUGE,
        doc="Entries in all logs of this node.",
        read=ofTable(LOG),
    ),
    NodeMetric(
        name="loop_lag_seconds",
        kind=HISTOGRAM,
        doc="How late the reactor's loop came to what was due, measured ten times a second.",
        read=lambda reading: [((), getattr(reading.node.groups, "lagSeconds", None) or Histogram())],
    ),
    NodeMetric(
        name="queue_entries",
        kind=GAUGE,
        doc="Mail that waits for a bucket that did not answer, in the replicas of this node: each entry is counted at each of its replicas.",
        read=ofTable(QUEUE),
    ),
    # store
    NodeMetric(
        name="store_free_octets",
        kind=GAUGE,
        doc="Free octets of the disk that holds the store.",
        read=ofSpace("freeOctets"),
    ),
    NodeMetric(
        name="store_size_octets",
        kind=GAUGE,
        doc="The size of that disk, as far as it can be used.",
        read=ofSpace("totalOctets"),
    ),
    NodeMetric(
        name="store_used_octets",
        kind=GAUGE,
        doc="Octets of the store that hold something; its file may be larger.",
        read=usedOctets,
    ),
    NodeMetric(
        name="store_level",
        kind=GAUGE,
        doc="2: room for everything; 1: no new bodies (below 10 % free); 0: only expunges (below 5 %).",
        read=lambda reading: [((), int(reading.node.store.freeLevel))],
    ),
    NodeMetric(
        name="store_commits_total",
        kind=COUNTER,
        doc="Transactions committed, each with one sync of the disk.",
        read=lambda reading: reading.store("commits"),
    ),
    NodeMetric(
        name="store_jobs_total",
        kind=COUNTER,
        doc="Writes done in these transactions.",
        read=lambda reading: reading.store("jobs"),
    ),
    NodeMetric(
        name="store_rows_total",
        kind=COUNTER,
        doc="Rows put or deleted in these transactions.",
        read=lambda reading: reading.store("rowsWritten"),
    ),
    NodeMetric(
        name="store_jobs_waiting",
        kind=GAUGE,
        doc="Writes that wait for their transaction.",
        read=lambda reading: reading.store("waiting"),
    ),
    NodeMetric(
        name="commit_seconds",
        kind=HISTOGRAM,
        doc="How long a transaction took to be written and synced.",
        read=lambda reading: [((), getattr(reading.node.store, "commitSeconds", None) or Histogram())],
    ),
    # other nodes
    NodeMetric(
        name="peer_up",
        kind=GAUGE,
        doc="1 if both connections to the other node are up.",
        labels=("peer",),
        read=ofPeers("isUp"),
    ),
    NodeMetric(
        name="peer_in_flight_octets",
        kind=GAUGE,
        doc="Octets sent to the other node and not acknowledged.",
        labels=("peer",),
        read=ofPeers("octetsInFlight"),
    ),
    NodeMetric(
        name="peer_calls_in_flight",
        kind=GAUGE,
        doc="Calls to the other node that are not answered.",
        labels=("peer",),
        read=ofPeers("callsInFlight"),
    ),
    NodeMetric(
        name="peer_calls_waiting",
        kind=GAUGE,
        doc="Calls to the other node that wait for room.",
        labels=("peer",),
        read=ofPeers("callsWaiting"),
    ),
    *(
        NodeMetric(
            name=f"peer_{name}_total",
            kind=COUNTER,
            doc=doc,
            labels=("peer", "channel"),
            read=lambda reading, counter=counter: reading.ofChannels(counter),  # type: ignore[misc]
        )
        for name, counter, doc in (
            ("connections", "connected", "Connections made to the other node."),
            ("connections_failed", "failed", "Attempts to connect that failed."),
            ("connections_silent", "silences", "Connections ended because nothing came back."),
            ("batches", "batches", "Calls of Perspective Broker with one-way messages."),
            ("messages", "messages", "One-way messages sent: heartbeats, log rows, bodies."),
            (
                "messages_lost",
                "lostMessages",
                "One-way messages dropped: no connection, or too much in flight.",
            ),
            ("messages_octets", "octets", "Octets of the one-way messages."),
            ("calls", "calls", "Calls made to the other node."),
            ("calls_octets", "callOctets", "Octets of the calls."),
            ("answers_octets", "answerOctets", "Octets of their answers."),
            ("calls_overdue", "overdue", "Calls not answered within their deadline."),
        )
    ),
    # the array
    NodeMetric(
        name="nodes",
        kind=GAUGE,
        doc="Nodes that the array has or had, by the state that it has agreed on.",
        labels=("state",),
        read=nodes,
    ),
    NodeMetric(
        name="load",
        kind=GAUGE,
        doc="This node's load as the array measures it; 1 is as much as it can bear.",
        read=ofReport("load"),
    ),
    NodeMetric(
        name="groups_incomplete",
        kind=GAUGE,
        doc="Groups led here that do not have the members that are wished for.",
        read=ofReport("missing"),
    ),
    NodeMetric(
        name="copies_owed",
        kind=GAUGE,
        doc="Copies that bodies of buckets led here lack.",
        read=ofReport("owed"),
    ),
    NodeMetric(
        name="bodies_total",
        kind=COUNTER,
        doc=(
            "Bodies by what was done: `put` at keepers, `replaced` (another keeper for one that was slow), `restored` before a delivery was repeated, "
            "`moved` (repaired, or given other keepers), `swept` (nobody named them), `scrubbed`, found `damaged`, `fetched` from other nodes."
        ),
        labels=("what",),
        read=bodies,
    ),
    NodeMetric(
        name="array_work_total",
        kind=COUNTER,
        doc=(
            "What was asked for buckets, wherever they are: `errands` of leaders, `retries` of them, `unknown` outcomes, `passed` on for others, "
            "`queries` of other nodes, `waits` for this node's replica, changes `told` to nodes that follow, and `heard`."
        ),
        labels=("what",),
        read=arrayWork,
    ),
    NodeMetric(
        name="events_total",
        kind=COUNTER,
        doc="Events of the array that this node saw (`jindictl cluster events`).",
        read=events,
    ),
    # the process
    NodeMetric(
        name="resident_octets",
        kind=GAUGE,
        doc="Memory that the process holds.",
        read=lambda reading: [((), residentOctets())],
    ),
    NodeMetric(
        name="cpu_seconds_total",
        kind=COUNTER,
        doc="CPU time that the process has used, user and system.",
        read=cpuSeconds,
    ),
    NodeMetric(
        name="open_files",
        kind=GAUGE,
        doc="Open file descriptors.",
        read=openFiles,
    ),
)


def page() -> str:
    """docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "What a node says at `/metrics` of its `[listen] web` in Prometheus' text format. Made by `make docs`.",
        "",
        "| metric | kind | labels | what it is |",
        "|---|---|---|---|",
    ]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{PREFIX}{metric.name}` | {metric.kind} | {labels} | {metric.doc} |")
    return "\n".join(lines) + "\n"
