"""
Recovery by force, when a majority of nodes is lost for good (design §10): what is left is looked at, and groups that can agree no more are founded anew
from the most advanced replica within reach (`replication.refounding`).

Every node that is not given up has to answer: one that only seems lost could have what nobody else has. Group 0 comes first, so that the lost nodes are gone
before anything else; replicas and copies are then made again as after any loss.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from jindimail.cluster.arrayentries import SetNode
from jindimail.cluster.arrayrecords import GONE, UP
from jindimail.cluster.events import Events
from jindimail.cluster.foretelling import Foretelling, LostBodies, Told
from jindimail.cluster.revival import isAlone
from jindimail.cluster.usermap import UserMap
from jindimail.cluster.validities import Validities
from jindimail.errors import Corrupt, JindimailError, NotAllowed, Unavailable
from jindimail.interfaces import ILinks, IStore
from jindimail.model import ARRAY_GROUP, bucketGroup
from jindimail.replication.driver import Groups
from jindimail.replication.status import Standing
from jindimail.store.keys import ALONE_KEY, META

LOOK, FOUND = "recovery.look", "recovery.found"
ASK_SECONDS = 10.0
GROUPS_AT_ONCE = 16
LEAD_SECONDS = 20.0  # for a group that was founded anew to be led, and to be known to be
PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """
    What a forced recovery will lose, or has lost.

    @ivar groups: that cannot form a majority and are founded anew, with the index of what survives.
    @ivar hopeless: groups without any surviving replica within reach.
    @ivar nodes: that are given up for good.
    @ivar bodies: by bucket, what of its mail only these nodes keep; None where that could not be counted. Buckets without a loss stand not here.
    """

    groups: dict[int, int]
    hopeless: tuple[int, ...]
    nodes: tuple[int, ...]
    bodies: dict[int, LostBodies | None] = field(default_factory=dict)

    @property
    def mail(self) -> LostBodies:
        """All bodies that are known to be lost."""
        return sum((each for each in self.bodies.values() if each), LostBodies())

    @property
    def uncounted(self) -> tuple[int, ...]:
        """Buckets whose bodies could not be counted, all those without any replica among them."""
        unknown = [bucketGroup(bucket) for bucket, each in self.bodies.items() if each is None]
        return tuple(sorted(group - 1 for group in {*unknown, *self.hopeless} - {ARRAY_GROUP}))


class Founding(msgspec.Struct, frozen=True, array_like=True):
    """The replica that a group is to be founded anew from."""

    group: int
    replicaId: int
    term: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """
    What is left.

    @ivar chosen: by group, the node to found it anew at, and how.
    @ivar places: by group, the node with its most advanced replica.
    @ivar left: the nodes that are not lost.
    """

    loss: Loss
    left: tuple[int, ...]
    chosen: dict[int, tuple[int, Founding]]
    places: dict[int, int]


_decodeStandings = msgspec.msgpack.Decoder(list[Standing]).decode
_decodeFounding = msgspec.msgpack.Decoder(Founding).decode


class Recovery:
    """
    One node's part: what it is asked, and what it asks of the others when an operator wants it.

    @ivar validities: gives what was founded anew here new UIDVALIDITYs; to be started and stopped.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: IStore,
        links: ILinks,
        groups: Groups,
        userMap: UserMap,
        events: Events,
        foretelling: Foretelling,
        numbers: Collection[int],
        propose: Callable[[int | None, Any], Any],
        renewal: Callable[[int], Any],
        seconds: Callable[[], float],
    ) -> None:
        """
        @param numbers: of all groups of the array.
        @param propose: an awaitable outcome of an entry of a bucket, or of the array's own group (None).
        @param renewal: the entry that gives a bucket's mailboxes UIDVALIDITYs above a floor, some at a time.
        @param seconds: the wall clock.
        """
        self._clock = clock
        self._store = store
        self._links = links
        self._groups = groups
        self._userMap = userMap
        self._events = events
        self._foretelling = foretelling
        self._numbers = tuple(numbers)
        self._propose = propose
        self._seconds = seconds
        self.validities = Validities(
            clock=clock, store=store, links=links, propose=propose, renewal=renewal, seconds=seconds
        )
        links.serve(LOOK, self._looked)
        links.serve(FOUND, self._found)

    # --- what is asked here

    def _looked(self, node: int, payload: bytes, deadlineSeconds: float) -> bytes:
        standings = (self._groups.standing(group) for group in self._groups.groups())
        return msgspec.msgpack.encode([each for each in standings if each is not None])

    async def _found(self, node: int, payload: bytes, deadlineSeconds: float) -> bytes:
        try:
            founding = _decodeFounding(payload)
        except msgspec.MsgspecError as problem:
            raise Corrupt("no founding") from problem
        if founding.group != ARRAY_GROUP:
            await self.validities.mark(founding.group - 1)
        await self._groups.refound(founding.group, founding.replicaId, founding.term)
        return b""

    # --- what is asked of the others

    async def survey(self, lost: Iterable[int]) -> Survey:
        """
        What is left without these nodes. Nothing is changed.

        @raise NotAllowed: one of them is there, or one that is not among them does not answer.
        """
        gone = frozenset(lost)
        isAlone = self._isAlone()
        if isAlone:
            self._requireAll(gone)
        for node in sorted(gone):
            self._requireLost(node, mayBeHeard=not isAlone)
        left = [node for node in self._userMap.living() or (self._userMap.node,) if node not in gone]
        return _surveyOf(self._numbers, gone, left, {node: await self._standingsOf(node) for node in left})

    async def foreseen(self, lost: Iterable[int], told: Told = lambda done, total: None) -> Loss:
        """
        What `recover` would lose.

        @param told: how far it is with counting.
        @raise NotAllowed: as `survey`.
        """
        survey = await self.survey(lost)
        return await self._counted(survey, survey.loss.nodes, told)

    async def foreseenOf(self, node: int, told: Told = lambda done, total: None) -> Loss:
        """
        What would be lost, now or with what went before, if this node alone never came back; others may be silent, and are not given up.
        `groups` are those that could never agree again without force.
        """
        left = [each for each in self._userMap.living() if each != node]
        standings = {}
        for each in left:
            if each == self._userMap.node or self._links.isUp(each):
                with suppress(NotAllowed):
                    standings[each] = await self._standingsOf(each)
        survey = _surveyOf(self._numbers, frozenset((node,)), left, standings)
        return await self._counted(survey, (node,), told)

    async def _counted(self, survey: Survey, nodes: tuple[int, ...], told: Told) -> Loss:
        places = {group - 1: node for group, node in survey.places.items() if group != ARRAY_GROUP}
        found = await self._foretelling.count(nodes, places, told)
        losses = {bucket: lost for bucket, lost in found.items() if lost is None or lost.bodies}
        return replace(survey.loss, bodies=losses)

    def _requireLost(self, node: int, *, mayBeHeard: bool) -> None:
        record = self._userMap.nodes.get(node)
        if record is None:
            raise NotAllowed(f"there is no node {node}")
        isHeard = self._links.isUp(node) or (record.state == UP and self._groups.silenceSeconds(node) < 2.0)
        if node == self._userMap.node or (mayBeHeard and isHeard):
            raise NotAllowed(f"node {node} ({record.name}) is there")

    def _isAlone(self) -> bool:
        with self._store.read() as rows:
            return isAlone(rows)

    def _requireAll(self, gone: frozenset[int]) -> None:
        """A node that was restored from a backup asks nobody: what it could be told by nodes of the present would not fit to what it is."""
        others = set(self._userMap.living()) - gone - {self._userMap.node}
        if others:
            names = ", ".join(self._userMap.nodes[node].name for node in sorted(others))
            raise NotAllowed(
                f"this node was restored alone: {names} must be given up, too, and has to be named"
            )

    async def _standingsOf(self, node: int) -> list[Standing]:
        try:
            octets: bytes = await self._links.call(node, LOOK, b"", ASK_SECONDS)
            return _decodeStandings(octets)
        except (JindimailError, msgspec.MsgspecError) as problem:
            raise NotAllowed(
                f"node {node} does not answer; if it is lost for good, too, it has to be named"
            ) from problem

    async def recover(self, lost: Iterable[int], told: Told = lambda done, total: None) -> Loss:
        """
        Found anew what lost its majority, and dismiss the lost nodes; what was lost.

        @param told: how far it is with counting that, in the end.
        @raise NotAllowed: as `survey`.
        @raise Unavailable: it was not finished; asking again goes on with it.
        """
        survey = await self.survey(lost)
        if ARRAY_GROUP in survey.chosen:
            await self._foundAnew(*survey.chosen[ARRAY_GROUP])
        for node in survey.loss.nodes:
            await self._patiently(None, SetNode(seconds=int(self._seconds()), node=node, state=GONE))
        groups = [group for group in survey.chosen if group != ARRAY_GROUP]
        for start in range(0, len(groups), GROUPS_AT_ONCE):
            some = [
                Deferred.fromCoroutine(self._foundAnew(*survey.chosen[group]))
                for group in groups[start : start + GROUPS_AT_ONCE]
            ]
            results = await DeferredList(some, consumeErrors=True)
            if not all(isDone for isDone, _ in results):
                raise Unavailable("not all groups could be founded anew; ask again")
        for node in survey.left:
            await self.validities.renewed(node, LEAD_SECONDS)
        self._events.add("groupsRecovered", groups=len(survey.chosen), hopeless=len(survey.loss.hopeless))
        if self._isAlone():
            await self._store.write(lambda rows: rows.delete(META, ALONE_KEY))
        return await self._counted(survey, survey.loss.nodes, told)

    async def _foundAnew(self, node: int, founding: Founding) -> None:
        await self._links.call(node, FOUND, msgspec.msgpack.encode(founding), ASK_SECONDS)

    async def _patiently(self, bucket: int | None, entry: Any) -> Any:
        """Propose an entry (which may be applied twice) until its group, just founded, answers."""
        until = self._clock.seconds() + LEAD_SECONDS
        while True:
            try:
                return await self._propose(bucket, entry)
            except Unavailable:
                if self._clock.seconds() >= until:
                    raise
            await deferLater(self._clock, PAUSE_SECONDS)


def _surveyOf(
    numbers: Iterable[int], lost: frozenset[int], left: Collection[int], told: dict[int, list[Standing]]
) -> Survey:
    """
    What is left, by what nodes told of their replicas.

    @param left: the nodes that are not lost, whether or not they told anything.
    """
    standings: dict[int, list[tuple[int, Standing]]] = {group: [] for group in numbers}
    for node, each in told.items():
        for standing in each:
            standings.setdefault(standing.group, []).append((node, standing))
    best = {group: max(found, key=_advance) for group, found in standings.items() if found}
    silent = set(left) - told.keys()
    chosen: dict[int, tuple[int, Founding]] = {}
    for group, (node, standing) in best.items():
        if not _mayAgree(standing, silent.union(holder for holder, _ in standings[group])):
            term = max(each.term for _, each in standings[group]) + 1
            chosen[group] = node, Founding(group, standing.replicaId, term)
    hopeless = tuple(group for group, found in standings.items() if not found)
    groups = {group: best[group][1].lastIndex for group in chosen}
    loss = Loss(groups=groups, hopeless=hopeless, nodes=tuple(sorted(lost)))
    places = {group: node for group, (node, _) in best.items()}
    return Survey(loss=loss, left=tuple(left), chosen=chosen, places=places)


def _mayAgree(best: Standing, holders: Collection[int]) -> bool:
    """Whether those that have a replica, as far as is known, may form a majority, as the most advanced of them sees it."""
    return 2 * sum(voter in holders for voter in best.voters) > len(best.voters)


def _advance(each: tuple[int, Standing]) -> tuple[int, int, int]:
    return each[1].lastTerm, each[1].lastIndex, -each[0]
