"""
What nodes tell each other of themselves once a second (`load.Report`), one-way: each tells the leader of the array's own group, which tells all.

So it costs two small messages a node and second, however many nodes there are, and nobody waits for any.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from jindimail.cluster.load import Loads, Measures, Report, decodeReports, encodeReports
from jindimail.cluster.pulse import Pulse
from jindimail.cluster.usermap import UserMap
from jindimail.errors import Corrupt
from jindimail.interfaces import IStore
from jindimail.model import ARRAY_GROUP
from jindimail.replication.driver import Groups
from jindimail.replication.nodemessages import Gossip as GossipMessage
from jindimail.replication.nodemessages import NodeMessage

TELL_SECONDS = 1.0


class Gossip:
    """
    One node's part in it.

    @ivar loads: what is known of all nodes.
    @ivar describe: adds to a report what other parts know.
    @ivar heard: is called with each report of another node.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: IStore,
        groups: Groups,
        userMap: UserMap,
        seconds: Callable[[], float],
        cpuSeconds: Callable[[], float],
        waitedSeconds: Callable[[], float],
        freeShare: Callable[[], float],
        commits: Callable[[], tuple[int, int]],
    ) -> None:
        """
        @param seconds: the wall clock: reports of a restarted node must be newer than those before.
        @param cpuSeconds: the processor time that this process has taken.
        @param waitedSeconds: for how long its reactor has waited for the processor.
        @param freeShare: of the store's disk.
        @param commits: this node's incarnation, and how many commits its store has seen.
        """
        self._clock = clock
        self._store = store
        self._groups = groups
        self._userMap = userMap
        self._seconds = seconds
        self._cpuSeconds = cpuSeconds
        self._waitedSeconds = waitedSeconds
        self._freeShare = freeShare
        self._commits = commits
        self._measures = Measures()
        self._lookedAt = clock.seconds()
        self._cpuAt, self._waitedAt = cpuSeconds(), waitedSeconds()
        self._lags = (0, 0.0)
        self._stamp = 0
        self._pulse = Pulse(clock, TELL_SECONDS, self._tell)
        self.loads = Loads()
        self.describe: Callable[[Report], Report] = lambda report: report
        self.heard: Callable[[Report], object] = lambda report: None
        groups.attend((GossipMessage,), self._received)

    def start(self) -> None:
        """Begin."""
        self._lookedAt = self._clock.seconds()
        self._pulse.start()

    def stop(self) -> None:
        """End."""
        self._pulse.stop()

    def fresh(self) -> dict[int, Report]:
        """By node, what was heard lately."""
        return self.loads.fresh(self._clock.seconds())

    def ownLoad(self) -> float:
        """How loaded this node is, 0 to 1 and beyond."""
        return self._measures.load

    def _tell(self) -> None:
        now = self._clock.seconds()
        self.loads.take([self._measure(now)], now)
        leader = self._groups.leaderOf(ARRAY_GROUP)
        others = [node for node in self._userMap.living() if node != self._userMap.node]
        self.loads.keepOnly((*others, self._userMap.node))
        if leader == self._userMap.node:
            messages = encodeReports(self.fresh().values())
            for node in others:
                self._send(node, messages)
        elif leader:
            self._send(leader, encodeReports([self.loads.all()[self._userMap.node]]))

    def _send(self, node: int, messages: list[bytes]) -> None:
        if self._groups.silenceSeconds(node) < 2 * TELL_SECONDS:
            for octets in messages:
                self._groups.send(node, GossipMessage(octets))

    def _measure(self, now: float) -> Report:
        """This second's report."""
        passed = max(0.001, now - self._lookedAt)
        cpu, waited = self._cpuSeconds(), self._waitedSeconds()
        self._measures.add(
            cpu=min(1.0, (cpu - self._cpuAt) / passed),
            waited=min(1.0, (waited - self._waitedAt) / passed),
            lagSeconds=self._lagSeconds(),
            commitSeconds=self._groups.commitAgeSeconds,
            queue=self._groups.proposals,
        )
        self._lookedAt, self._cpuAt, self._waitedAt = now, cpu, waited
        self._stamp = max(self._stamp + 1, int(self._seconds() * 1000))
        measures = self._measures
        incarnation, commits = self._commits()
        return self.describe(
            Report(
                node=self._userMap.node,
                stamp=self._stamp,
                load=round(measures.load, 3),
                cpu=round(measures.cpu, 3),
                lagSeconds=round(measures.lagSeconds, 4),
                commitSeconds=round(measures.commitSeconds, 4),
                queue=int(measures.queue),
                freeShare=round(self._freeShare(), 3),
                freeLevel=int(self._store.freeLevel),
                incarnation=incarnation,
                commits=commits,
                waited=round(measures.waited, 3),
            )
        )

    def _lagSeconds(self) -> float:
        """The mean lag of the loop since it was last asked, as the groups' ticks measure it."""
        lags = self._groups.lagSeconds
        (total, seconds), self._lags = self._lags, (lags.total, lags.sum)
        return (lags.sum - seconds) / max(1, lags.total - total)

    def _received(self, node: int, message: NodeMessage) -> None:
        """Reports came in: a node's own, or, from the leader, everybody's."""
        assert isinstance(message, GossipMessage)
        try:
            reports = decodeReports(message.reports)
        except Corrupt:
            return
        isLeaders = node == self._groups.leaderOf(ARRAY_GROUP)
        now = self._clock.seconds()
        others = [
            report
            for report in reports
            if report.node != self._userMap.node and (isLeaders or report.node == node)
        ]
        self.loads.take(others, now)
        for report in others:
            self.heard(report)
