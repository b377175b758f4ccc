"""
Carrying wishes out: each group's leader takes one step at a time towards what is wished for it (design §5, §9; `steps`).

A bounded number of groups is under way at once, group 0 always; one that waits for a learner to catch up for too long lets another go
first. When a group has the members that it shall have, its leadership goes to the wished leader, a few groups at a time, and not soon after an
election: an array that has just healed is left in peace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from jindimail.cluster.arrayrecords import UP, WishRecord
from jindimail.cluster.events import Events
from jindimail.cluster.load import atOnce
from jindimail.cluster.pulse import Pulse
from jindimail.cluster.steps import (
    AddLearner,
    Demote,
    HandOver,
    MemberStep,
    Promote,
    Relabel,
    Remove,
    nextStep,
)
from jindimail.cluster.usermap import UserMap
from jindimail.errors import JindimailError
from jindimail.model import ARRAY_GROUP
from jindimail.replication.configuration import Configuration, Member
from jindimail.replication.driver import Groups

LOOK_SECONDS = 0.1  # while steps are under way
SCAN_SECONDS = 0.5  # while nothing is known to be wanted
ALONE_SCAN_SECONDS = 5.0  # the same where there is no other node, to or from which anything could move
GROUPS_AT_ONCE = 64  # at rest
BUSY_GROUPS_AT_ONCE = 16
STEP_SECONDS = 20.0  # without any step, then another group goes first
SETTLE_SECONDS = 10.0  # after an election, before its winner hands over
HAND_OVERS_AT_ONCE = 4
AGAIN_SECONDS = 3.0  # after a hand-over that came to nothing
TELL_SECONDS = 1.0  # steps of so long become one event


class _Led:
    """
    What is known of a group that is led here, in one term.

    @ivar changing: whether a step is being committed.
    @ivar stepAt: when the last step was done, or the group was given its turn.
    @ivar settledAt: not before this is its leadership handed over because another is wished for.
    @ivar againAt: not before this is it tried again.
    """

    __slots__ = (
        "againAt",
        "changing",
        "configuration",
        "isFulfilled",
        "settledAt",
        "stepAt",
        "term",
        "wish",
        "witnesses",
    )

    def __init__(self, term: int, now: float, settledAt: float) -> None:
        self.term = term
        self.configuration: Configuration | None = None
        self.wish: WishRecord | None = None
        self.witnesses: frozenset[int] = frozenset()
        self.isFulfilled = False
        self.changing = False
        self.stepAt = now
        self.settledAt = settledAt
        self.againAt = now


class Stepping:
    """
    All groups that this node leads.

    @ivar missing: how many of them do not have the members that are wished for.
    """

    log = Logger()

    def __init__(
        self,
        *,
        clock: IReactorTime,
        groups: Groups,
        userMap: UserMap,
        events: Events,
        load: Callable[[], float],
    ) -> None:
        """@param load: of this node, 0 to 1."""
        self._clock = clock
        self._groups = groups
        self._userMap = userMap
        self._events = events
        self._load = load
        self._led: dict[int, _Led] = {}
        self._underWay: dict[int, None] = {}
        self._told: Counter[tuple[str, int]] = Counter()
        self._tellAt = 0.0
        self._isFirst = True
        self._witnesses: frozenset[int] = frozenset()
        self._pulse = Pulse(clock, LOOK_SECONDS, self._look)
        userMap.listen(self._pulse.soon)
        self.missing = 0
        self.steps = 0

    def start(self) -> None:
        """Begin."""
        self._pulse.start()

    def stop(self) -> None:
        """End."""
        self._pulse.stop()

    @property
    def led(self) -> list[int]:
        """The groups that this node leads."""
        return list(self._led)

    def needs(self, node: int) -> int:
        """In how many of the buckets led here a node has a replica; of group 0 it keeps one to the end."""
        configurations = (self._groups.configurationOf(group) for group in self._led if group != ARRAY_GROUP)
        return sum(
            any(member.node == node for member in configuration.members)
            for configuration in configurations
            if configuration is not None
        )

    def _look(self) -> None:
        if not self._userMap.nodes:
            return
        now = self._clock.seconds()
        self._seeLed(now)
        self._witnesses = frozenset(node for node, record in self._userMap.nodes.items() if not record.weight)
        wanting = [group for group, led in self._led.items() if not self._isFulfilled(group, led)]
        self.missing = len(wanting)
        self._choose(wanting, now)
        for group in list(self._underWay):
            led = self._led[group]
            if not led.changing:
                self._step(group, led, now)
        self._handOver(now)
        if self._told and now >= self._tellAt:
            for (kind, node), count in self._told.items():
                self._events.add(kind, node=node, groups=count)
            self._told.clear()
        isAlone = len(self._userMap.nodes) == 1
        self._pulse.seconds = (
            LOOK_SECONDS if self._underWay else ALONE_SCAN_SECONDS if isAlone else SCAN_SECONDS
        )

    def _seeLed(self, now: float) -> None:
        """Which groups are led here; those that were not before are elections won, or hand-overs."""
        leading = self._groups.leading()
        for group in self._led.keys() - leading.keys():
            del self._led[group]
        for group, term in leading.items():
            led = self._led.get(group)
            if led is None or led.term != term:
                self._led[group] = _Led(term, now, now if self._isFirst else now + SETTLE_SECONDS)
                self._tell("leadersMoved", self._userMap.node, now)
        self._isFirst = False

    def _isFulfilled(self, group: int, led: _Led) -> bool:
        """Whether a group's members are those wished for; looked at anew only when either changed."""
        configuration, wish = self._groups.configurationOf(group), self._userMap.wish(group)
        witnesses = self._witnesses
        if configuration is led.configuration and wish is led.wish and witnesses == led.witnesses:
            return led.isFulfilled
        led.configuration, led.wish, led.witnesses = configuration, wish, witnesses
        led.isFulfilled = wish is None or (
            configuration is not None
            and {member.node for member in configuration.members if member.voter} == set(wish.voters)
            and {member.node for member in configuration.members if not member.voter} == set(wish.learners)
            and all(member.witness == (member.node in witnesses) for member in configuration.members)
        )
        return led.isFulfilled

    def _choose(self, wanting: list[int], now: float) -> None:
        """Which groups are under way: those that were, unless they only wait; then those that have waited for longest."""
        wants = set(wanting)
        for group in list(self._underWay):
            led = self._led.get(group)
            if led is None or (group not in wants and not led.changing):
                del self._underWay[group]
            elif not led.changing and now - led.stepAt > STEP_SECONDS:
                led.stepAt = now
                del self._underWay[group]
        waiting = sorted(wants - self._underWay.keys(), key=lambda group: (self._led[group].stepAt, group))
        most = atOnce(self._load(), GROUPS_AT_ONCE, BUSY_GROUPS_AT_ONCE)
        for group in waiting:
            if group == ARRAY_GROUP or len(self._underWay) < most:
                self._underWay[group] = None
                self._led[group].stepAt = now

    # --- steps

    def _step(self, group: int, led: _Led, now: float) -> None:
        configuration, wish = led.configuration, led.wish
        if configuration is None or wish is None:
            return
        step = nextStep(
            configuration,
            wish,
            leader=next(
                (member.replicaId for member in configuration.members if member.node == self._userMap.node), 0
            ),
            caughtUp=self._groups.caughtUp(group),
            witnesses=self._witnesses,
        )
        if isinstance(step, HandOver):
            # Its members are whole: this node leaves it now, since as long as it stays, the group keeps others waiting.
            if now >= led.againAt:
                self._transfer(group, led, step.node, now)
        elif step is not None:
            led.changing = True
            change: Deferred[Configuration] = self._groups.change(group, partial(_stepped, step))
            member = configuration.member(step.replicaId) if isinstance(step, Remove) else None
            change.addCallbacks(self._done, self._notDone, (led, step, member), {}, (led,))
            change.addErrback(lambda failure: self.log.failure("a step failed", failure))

    def _done(self, _: Configuration, led: _Led, step: MemberStep, removed: Member | None) -> None:
        now = self._clock.seconds()
        led.changing = False
        led.stepAt = now
        self.steps += 1
        if isinstance(step, AddLearner):
            self._tell("replicasAdded", step.node, now)
        elif removed is not None:
            self._tell("replicasRemoved", removed.node, now)

    def _notDone(self, failure: Any, led: _Led) -> None:
        """An earlier change is not committed yet, or this node leads no more: it is looked at again."""
        led.changing = False
        failure.trap(JindimailError)

    def _tell(self, kind: str, node: int, now: float) -> None:
        if not self._told:
            self._tellAt = now + TELL_SECONDS
        self._told[kind, node] += 1

    # --- leadership

    def _handOver(self, now: float) -> None:
        """Hand groups over to their wished leaders, where these can lead."""
        begun = 0
        for group, led in self._led.items():
            wish = led.wish
            if (
                wish is None
                or led.changing
                or now < max(led.settledAt, led.againAt)
                or wish.voters[0] == self._userMap.node
            ):
                continue
            node = wish.voters[0]
            record = self._userMap.nodes.get(node)
            if record is not None and record.state == UP and self._canLead(group, led, node):
                self._transfer(group, led, node, now)
                begun += 1
                if begun == HAND_OVERS_AT_ONCE:
                    return

    def _canLead(self, group: int, led: _Led, node: int) -> bool:
        members = () if led.configuration is None else led.configuration.members
        near = self._groups.caughtUp(group)
        return any(
            each.node == node and each.voter and not each.witness and each.replicaId in near
            for each in members
        )

    def _transfer(self, group: int, led: _Led, node: int, now: float) -> None:
        led.againAt = now + AGAIN_SECONDS
        try:
            self._groups.transfer(group, node)
        except JindimailError:
            return
        self._tell("leadersHandedOver", node, now)


def _stepped(step: MemberStep, configuration: Configuration) -> Configuration:
    """The configuration after a step."""
    if isinstance(step, AddLearner):
        return configuration.withLearner(step.node, witness=step.witness)
    if isinstance(step, Promote):
        return configuration.withVoter(step.replicaId)
    if isinstance(step, Demote):
        return configuration.withoutVote(step.replicaId)
    if isinstance(step, Relabel):
        return configuration.asWitness(step.replicaId, step.witness)
    assert isinstance(step, Remove)
    return configuration.without(step.replicaId)
