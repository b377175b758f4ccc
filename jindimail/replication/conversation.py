"""
What a node's groups say to other nodes, and when: messages, heartbeats, quiet groups, elections of many groups at once.

The rules (design §5): a group is ticked only while it has something to do or is in dispute; of a quiet group the leader's node
vouches for the leader, by one heartbeat for all. When a node falls silent, this node campaigns for all the groups that it
led, in one turn. A node that starts anew, or answers again, wakes the groups that are shared with it.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from jindimail.replication.lag import LAGS_IN_A_SILENCE, stretched, stretchedByCommits
from jindimail.replication.messages import Append, Appended, AskRead, Beat, Install, Message
from jindimail.replication.neighbours import BEAT_SECONDS, COMMIT_AGE_SECONDS_MAX, Neighbour, Neighbours
from jindimail.replication.nodemessages import (
    AllQuiet,
    AnyTraffic,
    AskQuiet,
    NodeBeat,
    NodeMessage,
    NoReplica,
    Quiet,
    QuietGroup,
    Wake,
)
from jindimail.replication.replica import Replica
from jindimail.replication.turns import Turns

DISPUTES_MAX = 5  # beats in a row with another digest, before the list is no longer waited for
_OF_LEADERS = (Append, Beat)
_OF_LOGS = (Append, Appended)  # what they bring about is written, or news of it
SLEPT_SECONDS = 0.3  # a tick that comes so late means that this node slept, unless it always is late


class Conversation:
    """
    All that is said between this node's replicas and others'.

    @param replicas: the node's replicas by group, shared with the driver.
    @param create: makes a replica for a learner's first message, if that may be.
    @param failed: is given a replica whose machine raised.
    @param others: takes messages that are not the groups' (snapshots, bodies).
    @param awoke: is called when a group ticks where none did.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        node: int,
        replicas: dict[int, Replica],
        turns: Turns,
        neighbours: Neighbours,
        create: Callable[[Message], Replica | None],
        failed: Callable[[Replica], None],
        others: Callable[[int, NodeMessage], None],
        awoke: Callable[[], None],
    ) -> None:
        self._node = node
        self._replicas = replicas
        self._turns = turns
        self._neighbours = neighbours
        self._create = create
        self._failed = failed
        self._others = others
        self._takes: dict[type[AnyTraffic], Callable[..., None]] = {
            NodeBeat: self._heardBeat,
            Quiet: lambda neighbour, message, now: self._vouched(neighbour, message.groups),
            AskQuiet: lambda neighbour, message, now: neighbour.send(AllQuiet(list(neighbour.led))),
            AllQuiet: lambda neighbour, message, now: self._settleDispute(neighbour, message.groups),
            NoReplica: lambda neighbour, message, now: self._lacks(neighbour.node, message),
            Wake: lambda neighbour, message, now: self._disagrees(message.groups),
        }
        self._awoke = awoke
        self._ticking: dict[int, Replica] = {}

    # --- out

    def send(self, replica: Replica, messages: list[Message], now: float) -> None:
        """Messages of a replica leave with this turn."""
        for message in messages:
            if not message.recipient:  # a question to whatever replica of the group another node has
                for neighbour in self._neighbours:
                    neighbour.send(message)
                continue
            node = replica.nodeOf(message.recipient)
            if node is not None and node != self._node:
                self._neighbours.at(node, now).send(message)

    # --- in

    def received(self, node: int, frames: list[bytes], now: float, *, bulk: bool = False) -> None:
        """Frames of another node came in, on one of the two channels."""
        neighbour = self._neighbours.at(node, now)
        for message in self._neighbours.heard(neighbour, frames, now, bulk=bulk):
            kind = type(message)
            if isinstance(message, Message):
                self._stepSafely(node, message)
                if kind in _OF_LEADERS and not self._hasReplica(message):
                    neighbour.send(NoReplica(message.group, message.recipient))
            elif kind in self._takes:
                self._takes[kind](neighbour, message, now)
            else:
                self._others(node, message)
        neighbour.flush(now)

    def _stepSafely(self, node: int, message: Message) -> None:
        """An error of one group's machine stops its replica here, and no other's."""
        try:
            self.step(node, message)
        except Exception:
            self._log.failure("the replica of group {group} failed", group=message.group)
            replica = self._replicas.get(message.group)
            if replica is not None:
                self._failed(replica)

    def step(self, node: int, message: Message) -> None:
        """A message of another node's replica came in."""
        replica = self._replicas.get(message.group)
        if replica is None or replica.raft.replicaId != message.recipient:
            isFirst = isinstance(message, Append | Install) and message.learner
            if replica is not None and not replica.installing and replica.raft.tellRemoved(message):
                replica.routes[message.sender] = node
                self._turns.touch(replica)
                return
            replica = self._create(message) if isFirst else None
            if replica is None:
                return
            self.keepTicking(replica)
        known = replica.raft.configuration.member(message.sender)
        if replica.installing or (known is not None and known.node != node):
            return
        replica.routes[message.sender] = node
        replica.missing.discard(message.sender)
        replica.raft.step(message)
        if isinstance(message, AskRead):
            self.keepTicking(replica)  # until it is answered: the beat that asks may be lost
        self.stepped(replica, mayWait=type(message) in _OF_LOGS)

    def _disagrees(self, groups: list[int]) -> None:
        """A node does not agree that these groups are quiet."""
        for group in groups:
            self.wake(self._replicas.get(group))

    def _hasReplica(self, message: Message) -> bool:
        replica = self._replicas.get(message.group)
        return replica is not None and replica.raft.replicaId == message.recipient

    def _lacks(self, node: int, message: NoReplica) -> None:
        """A node has no such replica: the group may be quiet without it. Whether it comes to have one is seen by its messages."""
        replica = self._replicas.get(message.group)
        if replica is not None and replica.raft.leadership is not None:
            member = replica.raft.configuration.member(message.replicaId)
            if member is not None and member.node == node:
                replica.missing.add(message.replicaId)

    def stepped(self, replica: Replica, *, mayWait: bool = False) -> None:
        """
        Something happened to a replica: it may have outputs, and be quiet no longer.

        @param mayWait: there is nothing in them that could be done before the store is free.
        """
        if replica.raft.isRemoved or replica.raft.hasOutputs():
            touch = self._turns.touchWhenFree if mayWait else self._turns.touch
            touch(replica)
        if replica.quiet is not None and not replica.agrees(replica.quiet):
            self.wake(replica)

    # --- quiet groups

    def wake(self, replica: Replica | None) -> None:
        """A replica is ticked from now on."""
        if replica is None or self._replicas.get(replica.group) is not replica:
            return
        self.forget(replica)
        replica.tickedIndex = replica.raft.log.commit
        self.keepTicking(replica)

    def forget(self, replica: Replica) -> None:
        """A replica is neither quiet nor ticked any more."""
        replica.isTold = False
        if self._ticking.get(replica.group) is replica:
            del self._ticking[replica.group]
        if replica.quiet is not None:
            replica.quiet = None
            for neighbour in self._neighbours:
                neighbour.led.discard(replica.group)
                neighbour.vouched.discard(replica.group)

    def keepTicking(self, replica: Replica) -> None:
        """A replica has something to repeat until it is answered, quiet or not."""
        if not self._ticking:
            self._awoke()
        self._ticking[replica.group] = replica

    def _quieten(self, replica: Replica, now: float) -> None:
        raft = replica.raft
        quiet = QuietGroup(replica.group, raft.replicaId, raft.term, raft.log.commit)
        self.forget(replica)
        replica.quiet = quiet
        replica.isTold = True
        absent = self._absent(replica)
        for member in raft.configuration.members:
            if member.node != self._node and member.replicaId not in absent:
                self._neighbours.at(member.node, now).quieten(quiet)

    def _vouched(self, neighbour: Neighbour, groups: list[QuietGroup]) -> None:
        disputed = [quiet.group for quiet in groups if not self._accept(neighbour, quiet)]
        if disputed:
            neighbour.send(Wake(disputed))

    def _accept(self, neighbour: Neighbour, quiet: QuietGroup) -> bool:
        """Whether this replica is where the neighbour says that everybody is; if so, it is quiet, too."""
        replica = self._replicas.get(quiet.group)
        if replica is None or replica.raft.leadership is not None or not replica.agrees(quiet):
            return False
        if replica.nodeOf(quiet.leader) != neighbour.node:
            return False
        self.forget(replica)
        replica.quiet = quiet
        replica.raft.leaderAlive()
        neighbour.vouched.add(quiet)
        return True

    def _settleDispute(self, neighbour: Neighbour, groups: list[QuietGroup]) -> None:
        """The neighbour's whole list: what is not on it, or not so, ticks on its own until both agree."""
        neighbour.disputes = 0
        listed = {quiet.group: quiet for quiet in groups}
        for quiet in neighbour.vouched:
            if listed.get(quiet.group) != quiet:
                self.wake(self._replicas.get(quiet.group))
        self._vouched(neighbour, [quiet for quiet in groups if quiet.group not in neighbour.vouched])

    # --- nodes

    def _heardBeat(self, neighbour: Neighbour, beat: NodeBeat, now: float) -> None:
        known = neighbour.incarnation
        if not self._neighbours.heardBeat(neighbour, beat, now):
            return
        if beat.incarnation != known:
            neighbour.incarnation = beat.incarnation
            if known:
                self._begunAnew(neighbour)
        if beat.quietDigest == neighbour.vouched.digest:
            neighbour.disputes = 0
            return
        neighbour.send(AskQuiet())
        neighbour.disputes += 1
        if neighbour.disputes >= DISPUTES_MAX:  # it does not hear the question: it vouches for nothing
            neighbour.disputes = 0
            for quiet in neighbour.vouched:
                self.wake(self._replicas.get(quiet.group))

    def _begunAnew(self, neighbour: Neighbour) -> None:
        """It forgot what was not durable; nobody may wait for a leader that it no longer is."""
        for replica in list(self._replicas.values()):
            if replica.raft.leader and replica.nodeOf(replica.raft.leader) == neighbour.node:
                replica.raft.leaderSilent()
                self.wake(replica)
        self._wakeLed(neighbour)

    def _wakeLed(self, neighbour: Neighbour) -> None:
        """Groups that this node leads and shares with the neighbour: look what it has."""
        for replica in list(self._replicas.values()):
            raft = replica.raft
            if raft.leadership is None:
                continue
            for member in raft.configuration.members:
                if member.node == neighbour.node:
                    raft.unreachable(member.replicaId)
                    self.wake(replica)
                    self._turns.touch(replica)

    def _fellSilent(self, neighbour: Neighbour) -> None:
        """Campaign for all quiet groups that it led; those that tick find out for themselves."""
        for quiet in neighbour.vouched:
            replica = self._replicas.get(quiet.group)
            if replica is None:
                continue
            self.wake(replica)
            replica.raft.leaderSilent()
            replica.raft.campaign()
            self._turns.touch(replica)
        for quiet in neighbour.led:
            self.wake(self._replicas.get(quiet.group))

    # --- time

    @property
    def isAtRest(self) -> bool:
        """Whether no group ticks here: all are quiet, or alone."""
        return not self._ticking

    def start(self) -> None:
        """Begin with all replicas that others share in dispute."""
        for replica in self._replicas.values():
            self.admit(replica)

    def admit(self, replica: Replica) -> None:
        """A replica that was loaded, or made, ticks until it is known to be quiet; one that is alone never needs to."""
        raft = replica.raft
        if not raft.isSoleVoter or len(raft.configuration.members) != 1:
            self.keepTicking(replica)

    def tick(self, now: float, lateSeconds: float) -> None:
        """One tick of the node, and how late it came."""
        lag = self._neighbours.lag
        if lateSeconds > SLEPT_SECONDS * stretched(lag.seconds):
            self._slept(now)
        lag.late(lateSeconds, now)
        self._tickGroups(now)
        self.look(now)
        # A commit is taken in by the loop, after the loop has made it: a disk is stuck only if it takes longer than that.
        age = max(0.0, self._turns.ageSeconds(now) - LAGS_IN_A_SILENCE * lag.worst)
        self._neighbours.commits.took(age, now)
        if age > COMMIT_AGE_SECONDS_MAX:
            self._handOver(now)
        self._neighbours.beat(now, age)

    def look(self, now: float) -> None:
        """See which nodes have fallen silent, and which live again."""
        fell, rose = self._neighbours.changes(now)
        for neighbour in fell:
            self._fellSilent(neighbour)
        for neighbour in rose:
            self._wakeLed(neighbour)

    def _tickGroups(self, now: float) -> None:
        """
        Groups in which nothing is left to do go quiet; the others tick, those that lead only if somebody did not hear of them anyway.

        A tick is a beat to each member and its answer: in a busy group as dear as a message.
        """
        isStirred = False
        areQuick = self._neighbours.areQuick(now)
        for replica in list(self._ticking.values()):
            raft = replica.raft
            isSettled = isHeard = False
            if raft.leadership is not None:
                isSettled, isHeard = raft.isSettled(self._absent(replica)), replica.isHeard()
            if isSettled and (isHeard or replica.isTold):
                if replica.quiet is not None:
                    self._ticking.pop(replica.group, None)
                else:
                    self._quieten(replica, now)
                continue
            if not isSettled and raft.leadership is not None and replica.isOnlyHolding():
                raft.leadership.spread()
                self.stepped(replica)
                replica.tickedIndex = raft.log.lastIndex - 1
                isStirred = True
                continue
            replica.tickedIndex = raft.log.lastIndex
            replica.isTold = isSettled
            if not isHeard:
                raft.tick(counts=self._counts(replica, now, areQuick))
                # A quiet leader that waits for reads may step down: its node vouches for it no more.
                self.stepped(replica)
        if isStirred:  # ahead of the beat, whose digest tells of it
            self._turns.turn()

    def _counts(self, replica: Replica, now: float, areQuick: bool) -> bool:
        """Whether the time since a replica's last tick counts: less often, where who should be heard is late, or this node."""
        leader = 0 if replica.raft.leadership is not None else replica.nodeOf(replica.raft.leader)
        lag = self._neighbours.lagOf(*((leader,) if leader else replica.nodes(self._node)))
        times = stretched(lag)
        if not areQuick:
            commits = self._neighbours.commitSeconds(replica.votersElsewhere(self._node), now)
            times = max(times, stretchedByCommits(commits))
        if times > 1 and 0 <= now - replica.countedAt < BEAT_SECONDS * (times - 0.5):
            return False
        replica.countedAt = now
        return True

    def forgetStrangers(self, now: float) -> None:
        """Nodes that share no group any more, and are silent, get no more beats; and those without their replicas are asked again."""
        for replica in list(self._replicas.values()):
            if replica.missing:
                replica.missing.clear()
                self.wake(replica)
        nodes = {
            member.node
            for replica in self._replicas.values()
            for member in replica.raft.configuration.members
        }
        self._neighbours.keepOnly(nodes, now)

    def _absent(self, replica: Replica) -> frozenset[int]:
        return frozenset(
            member.replicaId
            for member in replica.raft.configuration.members
            if self._neighbours.isSilent(member.node) or member.replicaId in replica.missing
        )

    def _slept(self, now: float) -> None:
        """This node was paused: it does not know who leads, nor whether it still does."""
        self._neighbours.forgive(now)
        for replica in list(self._replicas.values()):
            if replica.quiet is not None:
                self.wake(replica)

    def _handOver(self, now: float) -> None:
        """This node's disk is stuck: let others lead, whose are quicker."""
        slow = self._neighbours.slow(now)
        for replica in list(self._replicas.values()):
            leadership = replica.raft.leadership
            if leadership is None or leadership.transferee or not leadership.progress:
                continue
            members = replica.raft.configuration.members
            away = self._absent(replica).union(each.replicaId for each in members if each.node in slow)
            successor = leadership.successor(away)
            if successor:
                replica.raft.transfer(successor)
                self.wake(replica)
                self._turns.touch(replica)
