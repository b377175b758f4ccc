"""
Reading a node's metrics: one `Reading` for each scrape, and how each kind of number is got at.

What counts is elsewhere (counts.py); nothing here is kept from one scrape to the next.
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

import twisted
from jindimail.admin.livenode import LiveNode
from jindimail.admin.nodeverbs import versionText
from jindimail.cluster.arrayrecords import STATES
from jindimail.counts import Histogram
from jindimail.replication.status import GroupStatus

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


Read = Callable[[Reading], Iterable[Sample]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMetric:
    """One metric: its name without the prefix (counters end in `_total`), its unit last."""

    name: str
    kind: str
    doc: str
    read: Read
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


def gauge(name: str, doc: str, read: Read, *labels: str) -> NodeMetric:
    """A metric that goes up and down."""
    return NodeMetric(name=name, kind=GAUGE, doc=doc, read=read, labels=labels)


def counter(name: str, doc: str, read: Read, *labels: str) -> NodeMetric:
    """A metric that only grows while the process lives."""
    return NodeMetric(name=name, kind=COUNTER, doc=doc, read=read, labels=labels)


def histogram(name: str, doc: str, read: Read, *labels: str) -> NodeMetric:
    """A metric that counts durations in classes."""
    return NodeMetric(name=name, kind=HISTOGRAM, doc=doc, read=read, labels=labels)


def _addHistogram(family: HistogramMetricFamily, values: tuple[str, ...], histogram: Histogram) -> None:
    ends = [("+Inf" if end == float("inf") else repr(end), count) for end, count in histogram.cumulative()]
    family.add_metric(values, ends, histogram.sum)


def buildInfo(reading: Reading) -> Iterator[Sample]:
    """The versions that run."""
    yield (versionText(), platform.python_version(), twisted.__version__), 1


def nodeInfo(reading: Reading) -> Iterator[Sample]:
    """Which node this is."""
    node = reading.node
    yield (node.configuration.node.name, str(node.meta.node), node.meta.arrayId.hex()), 1


def sessions(reading: Reading) -> Iterator[Sample]:
    """Client connections by protocol."""
    counts: dict[str, int] = dict.fromkeys(("imap4", "pop3", *reading.node.deliveries), 0)
    for session in reading.node.sessions:
        counts[session.protocol] = counts.get(session.protocol, 0) + 1
    for protocol, count in counts.items():
        yield (protocol,), count


def recipients(reading: Reading) -> Iterator[Sample]:
    """Recipients by protocol and outcome."""
    for protocol, delivery in reading.node.deliveries.items():
        for outcome, count in delivery.outcomes.items():
            yield (protocol, outcome), count


def logins(reading: Reading) -> Iterator[Sample]:
    """Logins by outcome."""
    checker = reading.node.checker
    for outcome, count in checker.outcomes.items() if checker is not None else ():
        yield (outcome,), count


def ofNode(value: Callable[[LiveNode], Any]) -> Read:
    """One value."""
    return lambda reading: [((), value(reading.node))]


def ofStore(name: str) -> Read:
    """A number of the writer."""
    return ofNode(lambda node: getattr(node.store, name, 0))


def ofGroups(count: Callable[[GroupStatus], int]) -> Read:
    """A sum over this node's replicas."""
    return lambda reading: [((), sum(map(count, reading.groups)))]


def ofChannels(name: str) -> Read:
    """A counter of all channels to all peers."""

    def read(reading: Reading) -> Iterator[Sample]:
        for peer in reading.peers:
            for channel, counters in peer.counters.items():
                yield (peer.name, channel), counters[name]

    return read


def ofDeliveries(name: str) -> Read:
    """A number of what each protocol delivered."""

    def read(reading: Reading) -> Iterator[Sample]:
        for protocol, delivery in reading.node.deliveries.items():
            yield (protocol,), getattr(delivery, name)

    return read


def ofServices(at: int) -> Read:
    """Octets of each service: received (0) or sent (1)."""

    def read(reading: Reading) -> Iterator[Sample]:
        for service, both in reading.node.octets().items():
            yield (service,), both[at]

    return read


def ofSpace(name: str) -> Read:
    """A number of the disk's space."""

    def read(reading: Reading) -> Iterator[Sample]:
        if reading.space is not None:
            yield (), getattr(reading.space, name)

    return read


def ofTable(table: str) -> Read:
    """The rows of a table."""

    def read(reading: Reading) -> Iterator[Sample]:
        with reading.node.store.readDurable() as rows:
            if hasattr(rows, "entries"):
                yield (), rows.entries(table)

    return read


def usedOctets(reading: Reading) -> Iterator[Sample]:
    """What the store holds."""
    if reading.environment is not None:
        yield (), reading.environment.usedOctets()


def ofPeers(name: str) -> Read:
    """A number of each other node."""

    def read(reading: Reading) -> Iterator[Sample]:
        for peer in reading.peers:
            yield (peer.name,), getattr(peer, name)

    return read


def trips(reading: Reading) -> Iterator[Sample]:
    """The round trips to other nodes."""
    for peer in reading.peers:
        for channel, seconds in peer.trips.items():
            yield (peer.name, channel), seconds


def certificateEnd(reading: Reading) -> Iterator[Sample]:
    """When the certificate that clients see ends."""
    ends = reading.node.certificateEnds()
    if ends is not None:
        yield (), ends


def bodies(reading: Reading) -> Iterator[Sample]:
    """What was done with bodies."""
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


def arrayWork(reading: Reading) -> Iterator[Sample]:
    """What was asked for buckets, wherever they are."""
    if reading.node.share is not None:
        for name in ("errands", "retries", "unknown", "passed", "queries", "waits", "told", "heard"):
            yield (name,), getattr(reading.node.share.counters, name)


def ofReport(name: str) -> Read:
    """A number that this node tells the array of itself."""

    def read(reading: Reading) -> Iterator[Sample]:
        report = reading.node.ownReport()
        if report is not None:
            yield (), getattr(report, name)

    return read


def nodes(reading: Reading) -> Iterator[Sample]:
    """Nodes by their state."""
    if reading.node.share is not None:
        states = Counter(record.state for record in reading.node.share.userMap.nodes.values())
        for state in STATES:
            yield (state,), states[state]


def events(reading: Reading) -> Iterator[Sample]:
    """Events that were seen."""
    if reading.node.share is not None:
        yield (), reading.node.share.events.total


def cpuSeconds(reading: Reading) -> Iterator[Sample]:
    """CPU time of the process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    yield (), used.ru_utime + used.ru_stime


def openFiles(reading: Reading) -> Iterator[Sample]:
    """Open file descriptors."""
    yield (), len(os.listdir("/proc/self/fd")) - 1  # less the one that lists them
