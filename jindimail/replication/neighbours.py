"""
The other nodes as this node's groups see them: what is to be sent to each in this turn, whether it lives, which quiet groups
it and this node vouch for.

No I/O but `INodeLink`; time is passed in. A node lives as long as anything is heard from it; one whose oldest
unfinished commit is too old counts as silent, since its disk is stuck (design §5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf

from zope.interface import implementer

from jindimail.errors import Corrupt
from jindimail.interfaces import INodeLink
from jindimail.replication.frames import Unpacker, packFrames
from jindimail.replication.lag import (
    LAG_SECONDS_MAX,
    SILENCE_SECONDS_MIN,
    Commits,
    Lag,
    patienceSeconds,
    stretchedByCommits,
)
from jindimail.replication.nodemessages import BULK, AnyTraffic, NodeBeat, Quiet, QuietGroup, encodeTraffic
from jindimail.replication.quiet import QuietGroups
from jindimail.replication.quorum import majority

BEAT_SECONDS = 0.1
DIGEST_SECONDS = 1.0  # a beat leaves at least so often, however busy the link is
SILENCE_MILLISECONDS = (round(1000 * SILENCE_SECONDS_MIN), 800)  # drawn for each silence
COMMIT_AGE_SECONDS_MAX = 0.4
STRANGER_SECONDS = 10.0  # a node that shares no group is forgotten after such a silence
INSTANT_SECONDS = 0.001  # sums of floating times may fall short of a deadline
OUTBOX_OCTETS_MAX = 8 * 1024 * 1024  # of one turn to one node; what is beyond is lost, as on a bad link


class Outbox:
    """What leaves for a node with this turn, on one channel."""

    __slots__ = ("messages", "octets")

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.octets = 0

    def add(self, octets: bytes) -> None:
        """One more message, if there is room."""
        if self.octets + len(octets) <= OUTBOX_OCTETS_MAX:
            self.octets += len(octets)
            self.messages.append(octets)

    def take(self) -> list[bytes]:
        """The frames of everything in it."""
        messages, self.messages, self.octets = self.messages, [], 0
        return packFrames(messages)


class Neighbour:
    """
    One other node. What is large (`BULK`) goes the data channel's way, so that it delays no heartbeat.

    @ivar led: quiet groups that this node leads and the neighbour shares.
    @ivar vouched: quiet groups that the neighbour leads and vouches for.
    @ivar disputes: beats in a row whose digest was another.
    @ivar hasTraffic: something waits to leave.
    @ivar lastHeardAt: when it was heard last before it fell silent.
    """

    __slots__ = (
        "_bulk",
        "_outbox",
        "_quiet",
        "beatAt",
        "bulkUnpacker",
        "commitAgeSeconds",
        "commits",
        "disputes",
        "echoMilliseconds",
        "hasTraffic",
        "heardAt",
        "incarnation",
        "isSilent",
        "lagSeconds",
        "lastHeardAt",
        "led",
        "link",
        "node",
        "sentAt",
        "silenceSeconds",
        "unpacker",
        "vouched",
    )

    def __init__(self, node: int, link: INodeLink, now: float) -> None:
        self.node = node
        self.link = link
        self.led = QuietGroups()
        self.vouched = QuietGroups()
        self.unpacker, self.bulkUnpacker = Unpacker(), Unpacker()
        self.heardAt = self.lastHeardAt = now
        self.sentAt = self.beatAt = now - DIGEST_SECONDS
        self.silenceSeconds = SILENCE_MILLISECONDS[1] / 1000
        self.incarnation = 0
        self.isSilent = False
        self.disputes = 0
        self.commitAgeSeconds = 0.0
        self.commits = Commits()
        self.lagSeconds = 0.0
        self.echoMilliseconds = 0
        self.hasTraffic = False
        self._outbox, self._bulk = Outbox(), Outbox()
        self._quiet: list[QuietGroup] = []

    def send(self, message: AnyTraffic) -> None:
        """A message leaves with this turn."""
        outbox = self._bulk if isinstance(message, BULK) else self._outbox
        outbox.add(encodeTraffic(message))
        self.hasTraffic = True

    def quieten(self, quiet: QuietGroup) -> None:
        """A group that this node leads goes quiet."""
        self.led.add(quiet)
        self._quiet.append(quiet)
        self.hasTraffic = True

    def tellQuiet(self) -> None:
        """Tell of the groups that went quiet, ahead of a digest that holds them."""
        if self._quiet:
            quiet = [each for each in self._quiet if self.led.get(each.group) == each]
            self._quiet = []
            self.send(Quiet(quiet))

    def flush(self, now: float) -> None:
        """Everything of this turn leaves, in one call a channel."""
        if self._quiet:
            self.tellQuiet()
        self.hasTraffic = False
        if self._outbox.messages:
            self.sentAt = now
            self.link.send(self._outbox.take())
        if self._bulk.messages:
            self.link.sendBulk(self._bulk.take())

    def mayBeSilent(self, now: float, lagSeconds: float) -> bool:
        """Whether it has been silent for long enough, or cannot finish its commits."""
        return self.isUnheard(now, lagSeconds) or self.commitAgeSeconds > COMMIT_AGE_SECONDS_MAX

    def isUnheard(self, now: float, lagSeconds: float) -> bool:
        """Whether nothing has been heard of it for long enough."""
        return now - self.heardAt > self.patience(lagSeconds)

    def patience(self, lagSeconds: float) -> float:
        """How long a silence of its is, where this node's loop is so late, and its own as late as it says."""
        return self.silenceSeconds + patienceSeconds(max(lagSeconds, self.lagSeconds))


@implementer(INodeLink)
class NoLink:
    """The link of a node that has no neighbours."""

    def send(self, messages: list[bytes]) -> None:
        """Everything is lost."""

    sendBulk = send


class Neighbours:
    """All other nodes that share a group with this one."""

    def __init__(
        self,
        *,
        incarnation: int,
        link: Callable[[int], INodeLink],
        draw: Callable[[int, int], int],
    ) -> None:
        self._incarnation = incarnation
        self._link = link
        self._draw = draw
        self._neighbours: dict[int, Neighbour] = {}
        self.lag = Lag()
        self.commits = Commits()

    def __iter__(self) -> Iterator[Neighbour]:
        return iter(list(self._neighbours.values()))

    def at(self, node: int, now: float) -> Neighbour:
        """A node, known or not."""
        neighbour = self._neighbours.get(node)
        if neighbour is None:
            neighbour = self._neighbours[node] = Neighbour(node, self._link(node), now)
            self._drawSilence(neighbour)
        return neighbour

    def isSilent(self, node: int) -> bool:
        """Whether a node is known to be silent."""
        neighbour = self._neighbours.get(node)
        return neighbour is not None and neighbour.isSilent

    def silenceSeconds(self, node: int, now: float) -> float:
        """For how long nothing has been heard of a node, less what is explained by how late it and this node are."""
        return max(0.0, self.unheardSeconds(node, now) - patienceSeconds(self.lagOf(node)))

    def unheardSeconds(self, node: int, now: float) -> float:
        """For how long nothing has been heard of a node, whatever explains it."""
        neighbour = self._neighbours.get(node)
        return inf if neighbour is None else now - neighbour.heardAt

    def lagOf(self, *nodes: int) -> float:
        """How late the latest of these nodes is, or this one."""
        lags = [self._neighbours[node].lagSeconds for node in nodes if node in self._neighbours]
        return max(self.lag.seconds, *lags) if lags else self.lag.seconds

    def commitSeconds(self, voters: list[int], now: float) -> float:
        """How long the commits take of those nodes that it needs to agree: of the quickest majority of those that are heard, with this node."""
        found = [self.commits.seconds(now)]
        for node in voters:
            neighbour = self._neighbours.get(node)
            if neighbour is not None and not neighbour.isUnheard(now, self.lag.worst):
                found.append(neighbour.commits.seconds(now))
        return sorted(found)[: majority(len(voters) + 1)][-1]

    def areQuick(self, now: float) -> bool:
        """Whether no commits, here or elsewhere, make any election longer."""
        commits = (self.commits, *(each.commits for each in self._neighbours.values()))
        return stretchedByCommits(max(each.seconds(now) for each in commits)) == 1.0

    def slow(self, now: float) -> set[int]:
        """The nodes whose commits are not much quicker than this node's."""
        bound = self.commits.seconds(now) / 2
        return {each.node for each in self._neighbours.values() if each.commits.seconds(now) > bound}

    def heard(self, neighbour: Neighbour, frames: list[bytes], now: float, *, bulk: bool) -> list[AnyTraffic]:
        """Frames came in; their messages. What does not decode is dropped with its frame."""
        neighbour.heardAt = now
        unpacker = neighbour.bulkUnpacker if bulk else neighbour.unpacker
        messages: list[AnyTraffic] = []
        for frame in frames:
            try:
                messages.extend(unpacker.unpack(frame))
            except Corrupt:
                continue
        return messages

    def heardBeat(self, neighbour: Neighbour, beat: NodeBeat, now: float) -> bool:
        """A beat came in; False if it is of an earlier incarnation than is known (an old disk image)."""
        if beat.incarnation < neighbour.incarnation:
            return False
        neighbour.commitAgeSeconds = beat.commitAgeMilliseconds / 1000
        neighbour.commits.took(neighbour.commitAgeSeconds, now)
        neighbour.lagSeconds = min(LAG_SECONDS_MAX, beat.lagMilliseconds / 1000)
        neighbour.echoMilliseconds = beat.sentMilliseconds
        return True

    def beat(self, now: float, commitAgeSeconds: float) -> None:
        """Send a beat to each node that has heard nothing for a while."""
        for neighbour in self._neighbours.values():
            isDue = now - neighbour.sentAt >= BEAT_SECONDS * 0.8 or now - neighbour.beatAt >= DIGEST_SECONDS
            if not isDue and commitAgeSeconds <= COMMIT_AGE_SECONDS_MAX:
                continue
            neighbour.beatAt = now
            held = int((now - neighbour.heardAt) * 1000) if neighbour.echoMilliseconds else 0
            neighbour.tellQuiet()
            neighbour.send(
                NodeBeat(
                    self._incarnation,
                    int(now * 1000),
                    neighbour.echoMilliseconds,
                    held,
                    int(commitAgeSeconds * 1000),
                    neighbour.led.digest,
                    int(self.lag.seconds * 1000),
                )
            )

    def changes(self, now: float) -> tuple[list[Neighbour], list[Neighbour]]:
        """(nodes that fell silent, nodes that live again) since the last call. Lag keeps nodes from falling; it raises none."""
        fell, rose = [], []
        for neighbour in self._neighbours.values():
            isSilent = neighbour.mayBeSilent(now, self.lag.worst)
            if neighbour.isSilent:
                if not isSilent and neighbour.heardAt > neighbour.lastHeardAt:
                    neighbour.isSilent = False
                    rose.append(neighbour)
                    self._drawSilence(neighbour)
            elif isSilent:
                neighbour.isSilent = True
                neighbour.lastHeardAt = neighbour.heardAt
                fell.append(neighbour)
        return fell, rose

    def untilSilence(self, now: float) -> float:
        """
        For how long nobody can fall silent yet; not above 0: somebody may have. A silence has a length of its own at each node:
        if its end were looked for at ticks only, nodes that tick together would campaign together.
        """
        return INSTANT_SECONDS + min(
            (
                each.heardAt + each.patience(self.lag.worst) - now
                for each in self._neighbours.values()
                if not each.isSilent
            ),
            default=inf,
        )

    def keepOnly(self, nodes: set[int], now: float) -> None:
        """Forget the nodes that are none of these and have not been heard for a while."""
        for node, neighbour in list(self._neighbours.items()):
            if node not in nodes and now - neighbour.heardAt > STRANGER_SECONDS:
                del self._neighbours[node]

    def forgive(self, now: float) -> None:
        """This node slept itself: what it did not hear meanwhile says nothing of others."""
        for neighbour in self._neighbours.values():
            neighbour.heardAt = max(neighbour.heardAt, now)

    def rewind(self, now: float) -> None:
        """The clock was set back: nothing was heard or sent later than now."""
        for neighbour in self._neighbours.values():
            neighbour.heardAt = min(neighbour.heardAt, now)
            neighbour.lastHeardAt = min(neighbour.lastHeardAt, now)
            neighbour.sentAt = min(neighbour.sentAt, now)
            neighbour.beatAt = min(neighbour.beatAt, now)

    def flush(self, now: float) -> None:
        """Everything of this turn leaves."""
        for neighbour in self._neighbours.values():
            if neighbour.hasTraffic:
                neighbour.flush(now)

    def _drawSilence(self, neighbour: Neighbour) -> None:
        neighbour.silenceSeconds = self._draw(*SILENCE_MILLISECONDS) / 1000
