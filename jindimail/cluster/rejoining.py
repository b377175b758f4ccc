"""
A node that comes back without its store: how it gets replicas again, safely (design §4; docs/adr/0018-coming-back-without-a-store.md).

The store was set aside, because a commit failed or the disk was lost, and a new one made under the same node number, marked `rejoining`. Its old replicas
must not come to life again empty: one that voted, or acknowledged entries, and has forgotten it would break what a majority relies upon. So a
rejoining node makes no replica of a group, whatever is sent to it, before it has *renounced*: it asks the group's leader, which removes any
replica of that node through the log, confirms that it leads, and answers with the highest replica id that was ever given. That stands as a
tombstone in the new store from then on, and only a higher id, which was given after the removal, is ever taken. The array's own group comes first, since the user map is
in it; from there on wishes bring replicas back like those of any other node.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from jindimail.cluster.events import Events
from jindimail.cluster.pulse import Pulse
from jindimail.cluster.usermap import UserMap
from jindimail.errors import Corrupt, JindimailError, Refusal, Unavailable
from jindimail.interfaces import ILinks, IRows, IStore
from jindimail.model import ARRAY_GROUP
from jindimail.replication.configuration import Configuration
from jindimail.replication.driver import Groups
from jindimail.replication.durable import buriedRecord, encodeHard
from jindimail.store.keys import HARD, META, REJOINING_KEY, groupKey

RENOUNCE = "replica.renounce"
ASK_SECONDS = 3.0
LOOK_SECONDS = 0.1
GROUPS_AT_ONCE = 32
ROUNDS_MAX = 3  # of removals at the leader, if a replica is added meanwhile


class Renounced(msgspec.Struct, frozen=True, array_like=True):
    """
    The answer.

    @ivar highest: the highest replica id that was ever given, -1 if the asked node does not lead; then `leader` may (0: not known).
    """

    highest: int
    leader: int = 0


class Rejoining:
    """
    Both sides of it at one node.

    @ivar isUnderWay: whether this node has yet to renounce what it had in some group.
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
        numbers: Collection[int],
        peers: Callable[[], Iterable[int]],
        renounced: Callable[[int, int], object],
        finished: Callable[[], object],
    ) -> None:
        """
        @param numbers: of all groups of the array.
        @param peers: the other nodes, as far as they are known before the array has been heard.
        @param renounced: called at a group's leader with the group and the node that has lost what it had of it.
        @param finished: called when this node has renounced everything.
        """
        self._store = store
        self._links = links
        self._groups = groups
        self._userMap = userMap
        self._events = events
        self._numbers = tuple(numbers)
        self._peers = peers
        self._renounced = renounced
        self._finished = finished
        self._hints: dict[int, int] = {}
        self._asking: set[int] = set()
        self._last = -1  # the group that was asked for last: those that nobody leads keep no other waiting
        self._pulse = Pulse(clock, LOOK_SECONDS, self._look)
        self.isUnderWay = False
        links.serve(RENOUNCE, self._answer)

    def start(self) -> None:
        """Begin, if this node's store is a new one in an old one's place."""
        with self._store.read() as rows:
            self.isUnderWay = rows.get(META, REJOINING_KEY) is not None
        if self.isUnderWay:
            self._pulse.start()

    def stop(self) -> None:
        """End for now."""
        self._pulse.stop()

    # --- the node that comes back

    async def _look(self) -> None:
        with self._store.read() as rows:
            missing = [group for group in self._numbers if rows.get(HARD, groupKey(group)) is None]
        if ARRAY_GROUP in missing:
            missing = [ARRAY_GROUP]
        elif missing and not self._userMap.nodes:
            return  # the array's own group has not come yet
        if not missing:
            await self._store.write(lambda rows: rows.delete(META, REJOINING_KEY))
            self.isUnderWay = False
            self._pulse.stop()
            self._finished()
            return
        for group in sorted(missing, key=lambda group: group <= self._last):
            if group not in self._asking and len(self._asking) < GROUPS_AT_ONCE:
                self._last = group
                self._asking.add(group)
                asking = Deferred.fromCoroutine(self._renounce(group))
                asking.addErrback(lambda failure: failure.trap(JindimailError) and None)
                asking.addBoth(self._asked, group)

    def _asked(self, _: object, group: int) -> None:
        self._asking.discard(group)

    async def _renounce(self, group: int) -> None:
        """Have the group's leader remove what this node had of it, and remember up to which id."""
        payload = msgspec.msgpack.encode(group)
        for node in self._whoMayLead(group):
            try:
                octets: bytes = await self._links.call(node, RENOUNCE, payload, ASK_SECONDS)
                answer = msgspec.msgpack.decode(octets, type=Renounced)
            except JindimailError:
                continue
            if answer.highest >= 0:
                await self._store.write(partial(_bury, group, answer.highest))
                return
            self._hints[group] = answer.leader
            if answer.leader:
                return  # it is asked next time

    def _whoMayLead(self, group: int) -> Iterator[int]:
        hint = self._hints.pop(group, 0)
        members = self._userMap.membersOf(group) if self._userMap.nodes else ()
        order = dict.fromkeys((hint, *members, *self._peers()))
        return (node for node in order if node and node != self._userMap.node)

    # --- the leader

    async def _answer(self, node: int, payload: bytes, deadlineSeconds: float) -> bytes:
        try:
            group = msgspec.msgpack.decode(payload, type=int)
        except msgspec.MsgspecError as problem:
            raise Corrupt("no group") from problem
        if not self._groups.leadingTerm(group):
            leader = self._groups.leaderOf(group) or 0
            return msgspec.msgpack.encode(Renounced(-1, 0 if leader == node else leader))
        return msgspec.msgpack.encode(Renounced(await self._remove(group, node)))

    async def _remove(self, group: int, node: int) -> int:
        """
        Remove a node's replica through the log, if there is any; the highest id that was ever given.

        @raise Unavailable: not now: nobody could confirm, or another change is under way.
        """
        for _ in range(ROUNDS_MAX):
            term = self._groups.leadingTerm(group)
            await self._groups.readIndex(group)  # a leader of the past would know of too few ids
            configuration = self._groups.configurationOf(group)
            if configuration is None or self._groups.isChanging(group):
                break
            member = next((each for each in configuration.members if each.node == node), None)
            if member is None:
                if self._groups.leadingTerm(group) != term:
                    break
                self._renounced(group, node)
                return configuration.nextId - 1
            try:
                await self._groups.change(group, partial(Configuration.without, replicaId=member.replicaId))
            except Refusal as refusal:
                raise Unavailable("its replica cannot be removed now") from refusal
            self._events.add("replicasForgotten", node=node, group=group)
        raise Unavailable("another change is under way")


def _bury(group: int, highest: int, rows: IRows) -> None:
    rows.put(HARD, groupKey(group), encodeHard(buriedRecord(highest, erasing=False)))
