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
    PREFIX,
    NodeMetric,
    Reading,
    arrayWork,
    bodies,
    buildInfo,
    certificateEnd,
    counter,
    cpuSeconds,
    events,
    gauge,
    histogram,
    logins,
    nodeInfo,
    nodes,
    ofChannels,
    ofDeliveries,
    ofGroups,
    ofNode,
    ofPeers,
    ofReport,
    ofServices,
    ofSpace,
    ofStore,
    ofTable,
    openFiles,
    recipients,
    sessions,
    trips,
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


# fmt: off
METRICS: tuple[NodeMetric, ...] = (
    gauge("build_info", "Always 1; the labels say which versions run.", buildInfo, "version", "python", "twisted"),
    gauge("node_info", "Always 1; the labels say which node this is, and of which array.", nodeInfo, "node", "number", "array"),
    gauge("serving", "1 while the node serves clients, 0 while it starts or stops.", ofNode(lambda node: int(node.state == SERVING))),
    gauge("incarnation", "How often this node has been started.", ofNode(lambda node: node.meta.incarnation)),
    gauge("start_time_seconds", "When the process started, in seconds since the epoch.", ofNode(lambda node: node.startedSeconds)),
    gauge("certificate_end_time_seconds", "When the certificate that clients see ends, in seconds since the epoch.", certificateEnd),
    # clients
    gauge("sessions", "Client connections.", sessions, "protocol"),
    counter("recipients_total", "Recipients of mail that came in, by what became of them: `filed`, or the name of the refusal.", recipients, "protocol", "outcome"),
    counter("messages_filed_total", "Messages that were filed for at least one recipient.", ofDeliveries("messages"), "protocol"),
    counter("messages_filed_octets_total", "Octets of these messages.", ofDeliveries("octets"), "protocol"),
    histogram("delivery_seconds", "From a message's last octet to its answer: copies kept, records committed.", ofDeliveries("seconds"), "protocol"),
    counter("logins_total", "Logins of all protocols by outcome: `ok`, or the name of the refusal.", logins, "outcome"),
    counter("received_octets_total", "Octets received over TCP, TLS included.", ofServices(0), "service"),
    counter("sent_octets_total", "Octets sent over TCP, TLS included.", ofServices(1), "service"),
    # groups
    gauge("groups", "Replicas of groups on this node.", ofGroups(lambda group: 1)),
    gauge("groups_leading", "Groups that this node leads.", ofGroups(lambda group: group.role == "leader")),
    gauge("hears_majority", "1 if so many nodes are heard that the array can agree on anything.", ofNode(lambda node: int(node.hearsMajority))),
    gauge("groups_leaderless", "Groups of this node whose leader it does not know.", ofGroups(lambda group: not group.leader)),
    gauge("proposals_waiting", "Proposals that wait for their commit.", ofGroups(lambda group: group.waiting)),
    gauge("entries_unapplied", "Committed entries that are not applied here yet.", ofGroups(lambda group: max(0, group.commit - group.applied))),
    gauge("log_entries", "Entries in all logs of this node.", ofTable(LOG)),
    histogram("loop_lag_seconds", "How late the reactor's loop came to what was due, measured five to ten times a second.", ofNode(lambda node: getattr(node.groups, "lagSeconds", None) or Histogram())),
    gauge("queue_entries", "Mail that waits for a bucket that did not answer, in the replicas of this node: each entry is counted at each of its replicas.", ofTable(QUEUE)),
    # store
    gauge("store_free_octets", "Free octets of the disk that holds the store.", ofSpace("freeOctets")),
    gauge("store_size_octets", "The size of that disk, as far as it can be used.", ofSpace("totalOctets")),
    gauge("store_used_octets", "Octets of the store that hold something; its file may be larger.", usedOctets),
    gauge("store_level", "2: room for everything; 1: no new bodies (below 10 % free); 0: only expunges (below 5 %).", ofNode(lambda node: int(node.store.freeLevel))),
    counter("store_commits_total", "Transactions committed, each with one sync of the disk.", ofStore("commits")),
    counter("store_jobs_total", "Writes done in these transactions.", ofStore("jobs")),
    counter("store_rows_total", "Rows put or deleted in these transactions.", ofStore("rowsWritten")),
    gauge("store_jobs_waiting", "Writes that wait for their transaction.", ofStore("waiting")),
    histogram("commit_seconds", "How long a transaction took to be written and synced.", ofNode(lambda node: getattr(node.store, "commitSeconds", None) or Histogram())),
    # other nodes
    gauge("peer_up", "1 if both connections to the other node are up.", ofPeers("isUp"), "peer"),
    gauge("peer_in_flight_octets", "Octets sent to the other node and not acknowledged.", ofPeers("octetsInFlight"), "peer"),
    gauge("peer_calls_in_flight", "Calls to the other node that are not answered.", ofPeers("callsInFlight"), "peer"),
    gauge("peer_calls_waiting", "Calls to the other node that wait for room.", ofPeers("callsWaiting"), "peer"),
    gauge("peer_trip_seconds", "How long the last mark sent to the other node took to be answered, about once a second: the network, what waited before it, and both nodes' loops.", trips, "peer", "channel"),
    counter("peer_connections_total", "Connections made to the other node.", ofChannels("connected"), "peer", "channel"),
    counter("peer_connections_failed_total", "Attempts to connect that failed.", ofChannels("failed"), "peer", "channel"),
    counter("peer_connections_silent_total", "Connections ended because nothing came back.", ofChannels("silences"), "peer", "channel"),
    counter("peer_batches_total", "Calls of Perspective Broker with one-way messages.", ofChannels("batches"), "peer", "channel"),
    counter("peer_messages_total", "One-way messages sent: heartbeats, log rows, bodies.", ofChannels("messages"), "peer", "channel"),
    counter("peer_messages_lost_total", "One-way messages dropped: no connection, or too much in flight.", ofChannels("lostMessages"), "peer", "channel"),
    counter("peer_messages_octets_total", "Octets of the one-way messages.", ofChannels("octets"), "peer", "channel"),
    counter("peer_calls_total", "Calls made to the other node.", ofChannels("calls"), "peer", "channel"),
    counter("peer_calls_octets_total", "Octets of the calls.", ofChannels("callOctets"), "peer", "channel"),
    counter("peer_answers_octets_total", "Octets of their answers.", ofChannels("answerOctets"), "peer", "channel"),
    counter("peer_calls_overdue_total", "Calls not answered within their deadline.", ofChannels("overdue"), "peer", "channel"),
    # the array
    gauge("nodes", "Nodes that the array has or had, by the state that it has agreed on.", nodes, "state"),
    gauge("load", "This node's load as the array measures it; 1 is as much as it can bear.", ofReport("strain")),
    gauge("groups_incomplete", "Groups led here that do not have the members that are wished for.", ofReport("missing")),
    gauge("copies_owed", "Copies that bodies of buckets led here lack.", ofReport("owed")),
    counter("bodies_total", "Bodies by what was done: `put` at keepers, `replaced` (another keeper for one that was slow), `restored` before a delivery was repeated, `moved` (repaired, or given other keepers), `swept` (nobody named them), `scrubbed`, found `damaged`, `fetched` from other nodes.", bodies, "what"),
    counter("array_work_total", "What was asked for buckets, wherever they are: `errands` of leaders, `retries` of them, `unknown` outcomes, `passed` on for others, `queries` of other nodes, `waits` for this node's replica, changes `told` to nodes that follow, and `heard`.", arrayWork, "what"),
    counter("events_total", "Events of the array that this node saw (`jindictl cluster events`).", events),
    # the process
    gauge("resident_octets", "Memory that the process holds.", ofNode(lambda node: residentOctets())),
    counter("cpu_seconds_total", "CPU time that the process has used, user and system.", cpuSeconds),
    gauge("open_files", "Open file descriptors.", openFiles),
)
# fmt: on


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
