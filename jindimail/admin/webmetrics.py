"""
The node's metrics for Prometheus: what each is called, what it counts, and how it is read.

Nothing here is kept: everything is read from the node when a scraper asks, and what is counted is counted as plain
numbers where it happens (counts.py). docs/metrics.md is made from METRICS.
"""

from __future__ import annotations

import os
import platform
import resource
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

import twisted
from jindimail.admin.livenode import SERVING, LiveNode
from jindimail.admin.nodeverbs import residentOctets, versionText
from jindimail.cluster.arrayrecords import STATES
from jindimail.counts import Histogram
from jindimail.replication.status import GroupStatus
from jindimail.store.keys import LOG, QUEUE

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
PREFIX = "jindimail_"
COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"

Sample = tuple[tuple[str, ...], Any]  # label values; a number, or a Histogram


class Reading:
    """A node as one scrape reads it: what several metrics need is read once."""

    def __init__(self, node: LiveNode) -> None:
        self.node = node
        found = map(node.groups.status, node.groups.groups())
        self.groups: list[GroupStatus] = [status for status in found if status is not None]
        self.peers = tuple(node.links.peers()) if node.links is not None else ()
        self.space = getattr(node.store, "space", None)
        self.environment = getattr(node.store, "environment", None)

    def store(self, name: str) -> Iterator[Sample]:
        """A number of the writer."""
        yield (), getattr(self.node.store, name, 0)

    def ofGroups(self, isCounted: Callable[[GroupStatus], int]) -> Iterator[Sample]:
        """A sum over this node's replicas."""
        yield (), sum(map(isCounted, self.groups))

    def ofChannels(self, name: str) -> Iterator[Sample]:
        """A counter of all channels to all peers."""
        for peer in self.peers:
            for channel, counters in peer.counters.items():
                yield (peer.name, channel), counters[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMetric:
    """One metric: its name without the prefix (counters end in `_total`), its unit last."""

    name: str
    kind: str
    doc: str
    read: Callable[[Reading], Iterable[Sample]]
    labels: tuple[str, ...] = ()

    def family(self, reading: Reading) -> Metric:
        """Its samples, as Prometheus' client writes them."""
        if self.kind == HISTOGRAM:
            histogram = HistogramMetricFamily(PREFIX + self.name, self.doc, labels=self.labels)
            for values, each in self.read(reading):
                _addHistogram(histogram, values, each)
            return histogram
        kind: Any = CounterMetricFamily if self.kind == COUNTER else GaugeMetricFamily
        family: Any = kind(PREFIX + self.name, self.doc, labels=self.labels)
        for values, number in self.read(reading):
            family.add_metric(values, number)
        return family  # type: ignore[no-any-return]


def _addHistogram(family: HistogramMetricFamily, values: tuple[str, ...], histogram: Histogram) -> None:
    ends = [("+Inf" if end == float("inf") else repr(end), count) for end, count in histogram.cumulative()]
    family.add_metric(values, ends, histogram.sum)


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


# --- how they are read -------------------------------------------------------------------------------------


def _build(reading: Reading) -> Iterator[Sample]:
    yield (versionText(), platform.python_version(), twisted.__version__), 1


def _node(reading: Reading) -> Iterator[Sample]:
    node = reading.node
    yield (node.configuration.node.name, str(node.meta.node), node.meta.arrayId.hex()), 1


def _sessions(reading: Reading) -> Iterator[Sample]:
    counts: dict[str, int] = dict.fromkeys(("imap4", "pop3", *reading.node.deliveries), 0)
    for session in reading.node.sessions:
        counts[session.protocol] = counts.get(session.protocol, 0) + 1
    for protocol, count in counts.items():
        yield (protocol,), count


def _recipients(reading: Reading) -> Iterator[Sample]:
    for protocol, delivery in reading.node.deliveries.items():
        for outcome, count in delivery.outcomes.items():
            yield (protocol, outcome), count


def _logins(reading: Reading) -> Iterator[Sample]:
    checker = reading.node.checker
    for outcome, count in checker.outcomes.items() if checker is not None else ():
        yield (outcome,), count


def _deliveries(name: str) -> Callable[[Reading], Iterator[Sample]]:
    def read(reading: Reading) -> Iterator[Sample]:
        for protocol, delivery in reading.node.deliveries.items():
            yield (protocol,), getattr(delivery, name)

    return read


def _octets(at: int) -> Callable[[Reading], Iterator[Sample]]:
    def read(reading: Reading) -> Iterator[Sample]:
        for service, both in reading.node.octets().items():
            yield (service,), both[at]

    return read


def _space(name: str) -> Callable[[Reading], Iterator[Sample]]:
    def read(reading: Reading) -> Iterator[Sample]:
        if reading.space is not None:
            yield (), getattr(reading.space, name)

    return read


def _entries(table: str) -> Callable[[Reading], Iterator[Sample]]:
    def read(reading: Reading) -> Iterator[Sample]:
        with reading.node.store.read() as rows:
            if hasattr(rows, "entries"):
                yield (), rows.entries(table)

    return read


def _usedOctets(reading: Reading) -> Iterator[Sample]:
    if reading.environment is not None:
        yield (), reading.environment.usedOctets()


def _peers(name: str) -> Callable[[Reading], Iterator[Sample]]:
    def read(reading: Reading) -> Iterator[Sample]:
        for peer in reading.peers:
            yield (peer.name,), getattr(peer, name)

    return read


def _bodies(reading: Reading) -> Iterator[Sample]:
    share = reading.node.share
    if share is not None:
        counters = share.counters
        yield ("put",), share.copies.puts
        yield ("replaced",), share.copies.replaced
        yield ("restored",), counters.restored
        yield ("moved",), share.mending.moved
        yield ("swept",), share.sweep.swept
        yield ("scrubbed",), share.scrub.read
        yield ("damaged",), counters.damaged
        yield ("fetched",), counters.fetched


def _arrayWork(reading: Reading) -> Iterator[Sample]:
    if reading.node.share is not None:
        for name in ("errands", "retries", "unknown", "passed", "queries", "waits", "told", "heard"):
            yield (name,), getattr(reading.node.share.counters, name)


def _reported(name: str) -> Callable[[Reading], Iterator[Sample]]:
    def read(reading: Reading) -> Iterator[Sample]:
        report = reading.node.ownReport()
        if report is not None:
            yield (), getattr(report, name)

    return read


def _nodes(reading: Reading) -> Iterator[Sample]:
    if reading.node.share is not None:
        states = Counter(record.state for record in reading.node.share.userMap.nodes.values())
        for state in STATES:
            yield (state,), states[state]


def _events(reading: Reading) -> Iterator[Sample]:
    if reading.node.share is not None:
        yield (), reading.node.share.events.total


def _cpuSeconds(reading: Reading) -> Iterator[Sample]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    yield (), used.ru_utime + used.ru_stime


def _openFiles(reading: Reading) -> Iterator[Sample]:
    yield (), len(os.listdir("/proc/self/fd")) - 1  # less the one that lists them


# --- what there is -----------------------------------------------------------------------------------------

METRICS: tuple[NodeMetric, ...] = (
    NodeMetric(
        name="build_info",
        kind=GAUGE,
        doc="Always 1; the labels say which versions run.",
        labels=("version", "python", "twisted"),
        read=_build,
    ),
    NodeMetric(
        name="node_info",
        kind=GAUGE,
        doc="Always 1; the labels say which node this is, and of which array.",
        labels=("node", "number", "array"),
        read=_node,
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
        read=_sessions,
    ),
    NodeMetric(
        name="recipients_total",
        kind=COUNTER,
        doc="Recipients of mail that came in, by what became of them: `filed`, or the name of the refusal.",
        labels=("protocol", "outcome"),
        read=_recipients,
    ),
    NodeMetric(
        name="messages_filed_total",
        kind=COUNTER,
        doc="Messages that were filed for at least one recipient.",
        labels=("protocol",),
        read=_deliveries("messages"),
    ),
    NodeMetric(
        name="messages_filed_octets_total",
        kind=COUNTER,
        doc="Octets of these messages.",
        labels=("protocol",),
        read=_deliveries("octets"),
    ),
    NodeMetric(
        name="delivery_seconds",
        kind=HISTOGRAM,
        doc="From a message's last octet to its answer: copies kept, records committed.",
        labels=("protocol",),
        read=_deliveries("seconds"),
    ),
    NodeMetric(
        name="logins_total",
        kind=COUNTER,
        doc="Logins of all protocols by outcome: `ok`, or the name of the refusal.",
        labels=("outcome",),
        read=_logins,
    ),
    NodeMetric(
        name="received_octets_total",
        kind=COUNTER,
        doc="Octets received over TCP, TLS included.",
        labels=("service",),
        read=_octets(0),
    ),
    NodeMetric(
        name="sent_octets_total",
        kind=COUNTER,
        doc="Octets sent over TCP, TLS included.",
        labels=("service",),
        read=_octets(1),
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
        read=_entries(LOG),
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
        read=_entries(QUEUE),
    ),
    # store
    NodeMetric(
        name="store_free_octets",
        kind=GAUGE,
        doc="Free octets of the disk that holds the store.",
        read=_space("freeOctets"),
    ),
    NodeMetric(
        name="store_size_octets",
        kind=GAUGE,
        doc="The size of that disk, as far as it can be used.",
        read=_space("totalOctets"),
    ),
    NodeMetric(
        name="store_used_octets",
        kind=GAUGE,
        doc="Octets of the store that hold something; its file may be larger.",
        read=_usedOctets,
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
        read=_peers("isUp"),
    ),
    NodeMetric(
        name="peer_in_flight_octets",
        kind=GAUGE,
        doc="Octets sent to the other node and not acknowledged.",
        labels=("peer",),
        read=_peers("octetsInFlight"),
    ),
    NodeMetric(
        name="peer_calls_in_flight",
        kind=GAUGE,
        doc="Calls to the other node that are not answered.",
        labels=("peer",),
        read=_peers("callsInFlight"),
    ),
    NodeMetric(
        name="peer_calls_waiting",
        kind=GAUGE,
        doc="Calls to the other node that wait for room.",
        labels=("peer",),
        read=_peers("callsWaiting"),
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
        read=_nodes,
    ),
    NodeMetric(
        name="load",
        kind=GAUGE,
        doc="This node's load as the array measures it; 1 is as much as it can bear.",
        read=_reported("load"),
    ),
    NodeMetric(
        name="groups_incomplete",
        kind=GAUGE,
        doc="Groups led here that do not have the members that are wished for.",
        read=_reported("missing"),
    ),
    NodeMetric(
        name="copies_owed",
        kind=GAUGE,
        doc="Copies that bodies of buckets led here lack.",
        read=_reported("owed"),
    ),
    NodeMetric(
        name="bodies_total",
        kind=COUNTER,
        doc=(
            "Bodies by what was done: `put` at keepers, `replaced` (another keeper for one that was slow), `restored` before a delivery was repeated, "
            "`moved` (repaired, or given other keepers), `swept` (nobody named them), `scrubbed`, found `damaged`, `fetched` from other nodes."
        ),
        labels=("what",),
        read=_bodies,
    ),
    NodeMetric(
        name="array_work_total",
        kind=COUNTER,
        doc=(
            "What was asked for buckets, wherever they are: `errands` of leaders, `retries` of them, `unknown` outcomes, `passed` on for others, "
            "`queries` of other nodes, `waits` for this node's replica, changes `told` to nodes that follow, and `heard`."
        ),
        labels=("what",),
        read=_arrayWork,
    ),
    NodeMetric(
        name="events_total",
        kind=COUNTER,
        doc="Events of the array that this node saw (`jindictl cluster events`).",
        read=_events,
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
        read=_cpuSeconds,
    ),
    NodeMetric(
        name="open_files",
        kind=GAUGE,
        doc="Open file descriptors.",
        read=_openFiles,
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
