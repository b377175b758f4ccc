"""
What the leader of the array's own group does: it says who is up, and wishes for replicas and leaders (design §9).

`liveness` and `planner` decide; here they are asked, and what they decide is proposed. Whoever does not lead forgets everything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from twisted.internet.defer import DeferredList
from twisted.internet.interfaces import IReactorTime

from jindimail.cluster.arrayentries import ArrayEntry, SetNode, SetWish
from jindimail.cluster.arrayrecords import DRAINING, GONE
from jindimail.cluster.downtime import DownSeconds
from jindimail.cluster.events import Events
from jindimail.cluster.liveness import Liveness
from jindimail.cluster.load import LeaderShares, Report, atOnce, meanLoad
from jindimail.cluster.planner import MOVES_MAX, membersOf, plan, plannedNodes
from jindimail.cluster.pulse import Pulse
from jindimail.cluster.usermap import UserMap
from jindimail.interfaces import IStateMachine
from jindimail.model import ARRAY_GROUP
from jindimail.replication.driver import Groups

LOOK_SECONDS = 0.3
EMPTY_SECONDS = 3.0  # for so long a node must have been empty before it is gone
UNHEARD_SECONDS = 3.0  # after which what was wished for shows in the reports
BUSY_MOVES_MAX = (
    2  # replicas that move at a time for balance only, while the array is busy; at rest `MOVES_MAX`
)
PLAN_SECONDS = 1.0  # between plans of an array that did not change: as often as reports come


class _Drained:
    """
    What is known of a node that is to be emptied.

    @ivar revision: of group 0, by which everybody knows that it is.
    """

    __slots__ = ("emptySince", "revision")

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self.emptySince: float | None = None


class _Moved(NamedTuple):
    """
    Replicas that were wished elsewhere.

    @ivar revision: of group 0; reports that know it tell of those that are still under way.
    """

    at: float
    replicas: int
    revision: int


class Governing:
    """One node's part in it."""

    def __init__(
        self,
        *,
        clock: IReactorTime,
        groups: Groups,
        machine: IStateMachine,
        userMap: UserMap,
        events: Events,
        refresh: Callable[[], None],
        seconds: Callable[[], float],
        numbers: Collection[int],
        reports: Callable[[], Mapping[int, Report]],
        downSeconds: DownSeconds,
    ) -> None:
        """
        @param refresh: brings the user map up to what is applied here.
        @param seconds: the wall clock.
        @param numbers: of all groups of the array.
        @param reports: what nodes said of themselves lately.
        @param downSeconds: for how long a node has been down.
        """
        self._clock = clock
        self._groups = groups
        self._machine = machine
        self._userMap = userMap
        self._events = events
        self._refresh = refresh
        self._seconds = seconds
        self._numbers = tuple(numbers)
        self._reports = reports
        self._downSeconds = downSeconds
        self._leaderShares = LeaderShares()
        self._liveness = Liveness()
        self._term = 0
        self._planAt = 0.0
        self._knownInVain: dict[str, Any] = {}  # what was planned with last, if nothing came of it
        self._moved: list[_Moved] = []
        self._drained: dict[int, _Drained] = {}
        self._pulse = Pulse(clock, LOOK_SECONDS, self._look)
        userMap.listen(self.planSoon)

    def start(self) -> None:
        """Begin."""
        self._pulse.start()

    def stop(self) -> None:
        """End."""
        self._pulse.stop()

    def planSoon(self) -> None:
        """Something changed that the plan may depend on."""
        self._planAt = 0.0

    async def _look(self) -> None:
        term = self._groups.leadingTerm(ARRAY_GROUP)
        if not term:
            self._term = 0
            self._drained.clear()
            self._liveness.reset()
            return
        if term != self._term:
            await self._groups.readIndex(ARRAY_GROUP)  # the rows are those of all earlier leaders, too
            self._term = term
            self._planAt = 0.0
        self._refresh()
        await self._judge()
        await self._dismiss()
        now = self._clock.seconds()
        if now >= self._planAt:
            self._planAt = now + PLAN_SECONDS
            await self._plan()

    async def _judge(self) -> None:
        """Say who is up and who is down."""
        nodes = self._userMap.nodes
        states = {node: record.state for node, record in nodes.items() if record.state != GONE}
        silences = self._ofOthers(states, self._groups.silenceSeconds)
        unheard = self._ofOthers(states, self._groups.unheardSeconds)
        verdicts = self._liveness.look(self._clock.seconds(), states, silences, unheard, self._current())
        now = int(self._seconds())
        await self._propose(
            [
                SetNode(seconds=now, node=node, was=states[node], state=state)
                for node, state in verdicts.items()
            ]
        )

    def _ofOthers(self, nodes: Iterable[int], seconds: Callable[[int], float]) -> dict[int, float]:
        return {node: 0.0 if node == self._userMap.node else seconds(node) for node in nodes}

    def _current(self) -> set[int]:
        """The nodes that have about all of group 0's log."""
        configuration, near = self._groups.configurationOf(ARRAY_GROUP), self._groups.caughtUp(ARRAY_GROUP)
        assert configuration is not None
        return {member.node for member in configuration.members if member.replicaId in near}

    async def _dismiss(self) -> None:
        """
        Nodes that are to be emptied, and are empty, are gone: every group's leader has said so, knowing that they are to be emptied, twice.
        """
        reports = self._reports()
        isComplete = sum(report.led for report in reports.values()) >= len(self._numbers)
        applied, now = self._groups.appliedIndex(ARRAY_GROUP), self._clock.seconds()
        for node in self._drained.keys() - set(self._userMap.draining()):
            del self._drained[node]
        gone: list[ArrayEntry] = []
        for node in self._userMap.draining():
            known = self._drained.setdefault(node, _Drained(applied))
            isEmpty = isComplete and all(
                report.revision >= known.revision and dict(report.holding).get(node) == 0
                for report in reports.values()
            )
            if not isEmpty:
                known.emptySince = None
            elif known.emptySince is None:
                known.emptySince = now
            elif now - known.emptySince >= EMPTY_SECONDS:
                gone.append(SetNode(seconds=int(self._seconds()), node=node, was=DRAINING, state=GONE))
        await self._propose(gone)

    async def _plan(self) -> None:
        """Wish for what the plan says."""
        nodes, settings = self._userMap.nodes, self._userMap.settings
        now, reports = self._seconds(), self._reports()
        self._leaderShares.look(reports, self._clock.seconds())
        wishes = {group: wish for group in self._numbers if (wish := self._userMap.wish(group)) is not None}
        known: dict[str, Any] = {
            "nodes": plannedNodes(nodes, self._downSeconds, self._leaderShares.of),
            "wishes": wishes,
            "replicas": settings.replicas,
            "repairSeconds": settings.repairSeconds,
            "movesMax": self._movesMax(reports),
            "leaders": {group: leader for group in self._numbers if (leader := self._groups.leaderOf(group))},
        }
        if known == self._knownInVain:
            return
        changes = plan(groups=self._numbers, **known)
        self._knownInVain = {} if changes else known
        if changes:
            moved = sum(
                group not in wishes or membersOf(wish) != membersOf(wishes[group])
                for group, wish in changes.items()
            )
            self._events.add("wishesChanged", groups=len(changes), moved=moved)
            await self._propose(
                [
                    SetWish(seconds=int(now), group=group, voters=wish.voters, learners=wish.learners)
                    for group, wish in changes.items()
                ]
            )
            self._moved.append(_Moved(self._clock.seconds(), moved, self._groups.appliedIndex(ARRAY_GROUP)))

    def _movesMax(self, reports: Mapping[int, Report]) -> int:
        """How many replicas may move for balance now: clients come first."""
        now = self._clock.seconds()
        heard = min((report.revision for report in reports.values()), default=0)
        self._moved = [
            moved for moved in self._moved if now - moved.at < UNHEARD_SECONDS and heard < moved.revision
        ]
        underWay = sum(report.missing for report in reports.values())
        unheard = sum(moved.replicas for moved in self._moved)
        return max(0, atOnce(meanLoad(reports), MOVES_MAX, BUSY_MOVES_MAX) - max(underWay, unheard))

    async def _propose(self, entries: list[ArrayEntry]) -> None:
        """Propose them together, and wait until all are applied, or have failed: then they are planned again."""
        if entries:
            proposals = [self._groups.propose(ARRAY_GROUP, self._machine.encode(entry)) for entry in entries]
            await DeferredList(proposals, consumeErrors=True)
            self._refresh()
