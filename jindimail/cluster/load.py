"""
How loaded nodes are: what each measures of itself, smoothed, and what is known of all (design §6). Pure.

A load is the largest of four shares, so that whatever is scarce on a machine speaks: of the processor, and of what is bearable as loop lag, as the
age of the oldest unfinished commit, and as a queue. 1 is a node that can bear no more; unequal machines need no configuration. Beside other
nodes the time counts, too, in which it waited for the processor: one that may use a tenth of it never takes more (docs/adr/0061).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from jindimail.errors import Corrupt

LAG_SECONDS = 0.25  # what is bearable
COMMIT_SECONDS = 0.4
QUEUE_PROPOSALS = 1_000
SMOOTHING = 0.2  # the weight of the last second
FRESH_SECONDS = 5.0  # a report that is older says nothing
REPORTS_AT_ONCE = 200  # in one message


class Report(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False):
    """What a node says of itself once a second."""

    node: int
    stamp: int  # grows with each report of the node, over its restarts, too
    load: float = 0.0
    cpu: float = 0.0
    lagSeconds: float = 0.0
    commitSeconds: float = 0.0
    queue: int = 0
    freeShare: float = 1.0  # of its disk
    freeLevel: int = 2  # store.space.Level
    led: int = 0  # groups that it leads
    missing: int = 0  # of them, those that do not have the members that are wished for
    owed: int = 0  # copies that bodies of its led buckets lack
    moved: int = 0  # bodies that it moved or repaired since it started
    revision: int = 0  # of group 0, as applied there
    holding: tuple[tuple[int, int], ...] = ()  # (node that shall leave, led groups that still need it)
    incarnation: int = 0
    commits: int = 0  # that its store has seen (acquaintance.py)
    waited: float = 0.0  # the share of time in which it waited for the processor

    @property
    def strain(self) -> float:
        """The load beside that of others: as much of what this node gets of its machine as it needs."""
        return max(self.load, min(1.0, round(self.cpu + self.waited, 3)))


class Measures:
    """One node's own, smoothed."""

    def __init__(self) -> None:
        self.cpu = self.waited = self.lagSeconds = self.commitSeconds = self.queue = 0.0

    def add(self, *, cpu: float, waited: float, lagSeconds: float, commitSeconds: float, queue: int) -> None:
        """Another second's."""
        self.cpu += SMOOTHING * (cpu - self.cpu)
        self.waited += SMOOTHING * (waited - self.waited)
        self.lagSeconds += SMOOTHING * (lagSeconds - self.lagSeconds)
        self.commitSeconds += SMOOTHING * (commitSeconds - self.commitSeconds)
        self.queue += SMOOTHING * (queue - self.queue)

    @property
    def load(self) -> float:
        """0: idle; 1: as much as it can bear."""
        return max(
            self.cpu,
            self.lagSeconds / LAG_SECONDS,
            self.commitSeconds / COMMIT_SECONDS,
            self.queue / QUEUE_PROPOSALS,
        )


class Loads:
    """What this node knows of all nodes, itself among them."""

    def __init__(self) -> None:
        self._heard: dict[int, tuple[float, Report]] = {}

    def take(self, reports: Iterable[Report], now: float) -> None:
        """
        Reports came in; one that is no newer than what was heard lately is ignored. A node that was silent may have been started again meanwhile, with
        a clock that was set back.
        """
        for report in reports:
            known = self._heard.get(report.node)
            if known is None or known[1].stamp < report.stamp or now - known[0] > FRESH_SECONDS:
                self._heard[report.node] = now, report

    def keepOnly(self, nodes: Collection[int]) -> None:
        """Nodes that are gone have no load."""
        for node in self._heard.keys() - set(nodes):
            del self._heard[node]

    def fresh(self, now: float) -> dict[int, Report]:
        """By node, what was heard lately."""
        return {
            node: report for node, (heardAt, report) in self._heard.items() if now - heardAt <= FRESH_SECONDS
        }

    def all(self) -> dict[int, Report]:
        """By node, what was heard last, however long ago."""
        return {node: report for node, (_, report) in self._heard.items()}


BUSY = 0.6  # from this load on, only the least is done of what can wait


def atOnce(load: float, most: int, least: int) -> int:
    """How much is done at a time of what can wait, from the most at rest to the least where it is busy: clients come first."""
    return max(least, round(most * (1 - load / BUSY)))


def meanLoad(reports: Mapping[int, Report]) -> float:
    """The array's mean."""
    return sum(report.load for report in reports.values()) / max(1, len(reports))


def meanStrain(reports: Mapping[int, Report]) -> float:
    """The mean of what single nodes are held against."""
    return sum(report.strain for report in reports.values()) / max(1, len(reports))


SHED_MARGIN = 0.25  # above the mean of the others, and
SHED_LOAD = 0.5  # above this, for
SHED_SECONDS = 30.0
TAKE_BACK_MARGIN = 0.1
TAKE_BACK_SECONDS = 120.0
TAKE_BACK_SECONDS_MAX = 3600.0
STUCK_PART = 0.25  # of that time for a disk that was stuck or full: that may have been a hiccup, and it leads nothing meanwhile
SHARE_STEP = 0.75
SHARE_MIN = 0.3


class _Leaning:
    """
    What one node leads.

    @ivar isStuck: its disk is full or stuck, or was lately.
    """

    __slots__ = ("_direction", "_isGivenBack", "_part", "_patienceSeconds", "_since", "isStuck")

    def __init__(self) -> None:
        self._part = 1.0
        self.isStuck = False
        self._direction = 0
        self._since = 0.0
        self._isGivenBack = False
        self._patienceSeconds = TAKE_BACK_SECONDS

    @property
    def share(self) -> float:
        """The part of its weight with which it should lead."""
        return 0.0 if self.isStuck else self._part

    def stick(self) -> None:
        """Its disk is full or stuck."""
        self.rest()
        if not self.isStuck:
            self.isStuck = True
            self._taken()

    def shed(self, now: float) -> None:
        """It is loaded above the others."""
        if self.isStuck:
            self.rest()
        elif self._part > SHARE_MIN and self._lasts(-1, SHED_SECONDS, now):
            self._part *= SHARE_STEP
            self._taken()

    def takeBack(self, now: float) -> None:
        """It is loaded as the others are, or less; or not above them by much, and its disk is well."""
        if self.share == 1.0:
            if self._lasts(1, TAKE_BACK_SECONDS_MAX, now):
                self._isGivenBack, self._patienceSeconds = False, TAKE_BACK_SECONDS
        elif self._lasts(1, self._patienceSeconds * (STUCK_PART if self.isStuck else 1.0), now):
            self._isGivenBack = True
            if self.isStuck:
                self.isStuck = False
            else:
                self._part = min(1.0, self._part / SHARE_STEP)

    def rest(self) -> None:
        """It is well as it is."""
        self._direction = 0

    def _taken(self) -> None:
        """It has less to lead than it had; if that was given back to it, too early."""
        if self._isGivenBack:
            self._patienceSeconds = min(TAKE_BACK_SECONDS_MAX, 2 * self._patienceSeconds)
        self._isGivenBack = False

    def _lasts(self, direction: int, seconds: float, now: float) -> bool:
        """Whether it has been so for long enough; then this begins anew."""
        if self._direction == direction and now - self._since < seconds:
            return False
        hasLasted = self._direction == direction
        self._direction, self._since = direction, now
        return hasLasted


class LeaderShares:
    """
    With which part of its weight each node should lead, by its measured load, with hysteresis.

    A node above the others for a while leads a quarter less, and so on; one whose disk is full or stuck leads nothing. It is given back slowly, and each
    time that it was given back too early, the next time is twice as far. A node that is not heard of is judged by what it said last: who commits slowly
    is heard of now and then only. Kept by group 0's leader only: another begins anew.
    """

    def __init__(self) -> None:
        self._leanings: dict[int, _Leaning] = {}

    def look(self, reports: Mapping[int, Report], now: float) -> None:
        """Judge by fresh reports."""
        for node, report in reports.items():
            others = [each.strain for other, each in reports.items() if other != node]
            mean = sum(others) / len(others) if others else report.strain
            leaning = self._leanings.setdefault(node, _Leaning())
            if report.freeLevel == 0 or report.commitSeconds > COMMIT_SECONDS:
                leaning.stick()
            elif report.strain > mean + SHED_MARGIN and report.strain > SHED_LOAD:
                leaning.shed(now)
            elif leaning.isStuck or report.strain < mean + TAKE_BACK_MARGIN:
                leaning.takeBack(now)
            else:
                leaning.rest()
        for node in self._leanings.keys() - reports.keys():
            self._leanings[node].rest()

    def of(self, node: int) -> float:
        """A node's share; 0 for one whose disk is full or stuck."""
        leaning = self._leanings.get(node)
        return 1.0 if leaning is None else leaning.share


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Report]).decode


def encodeReports(reports: Iterable[Report]) -> list[bytes]:
    """Reports as they travel, in messages of a bounded size."""
    every = list(reports)
    return [
        _encode(every[start : start + REPORTS_AT_ONCE]) for start in range(0, len(every), REPORTS_AT_ONCE)
    ]


def decodeReports(octets: bytes) -> list[Report]:
    """
    Reports.

    @raise Corrupt: these are none.
    """
    try:
        return _decode(octets)
    except msgspec.MsgspecError as problem:
        raise Corrupt("reports do not decode") from problem
