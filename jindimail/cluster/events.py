"""
What happened to the array, as this node saw it: a bounded ring for its operators (`jindictl cluster events`, the status page).

Pure. The kinds are few, and their names stand in documentation: `KINDS`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

EVENTS_MAX = 1_000

KINDS = {
    "nodeJoined": "a node was admitted",
    "nodeUp": "a node serves, for the first time or again",
    "nodeDown": "the array agreed that a node is away",
    "nodeDraining": "a node is being emptied",
    "nodeGone": "a node has left for good",
    "wishesChanged": "the planner wants replicas or leaders elsewhere",
    "leadersMoved": "this node took over the leadership of groups",
    "leadersHandedOver": "this node handed the leadership of groups over",
    "replicasAdded": "groups led here got a replica at a node",
    "replicasRemoved": "groups led here removed a node's replica",
    "replicasForgotten": "a node came back without its replicas; they were removed, to be made anew",
    "copiesRepaired": "bodies of buckets led here were given new keepers",
    "bodiesMoved": "bodies of buckets led here moved to other keepers",
    "bodiesSwept": "bodies that nobody names were deleted here",
    "bodyDamaged": "a copy of a body was found damaged or missing",
    "bodyMended": "a damaged copy was replaced from another keeper",
    "bodiesLost": "bodies of buckets led here were kept only by nodes that are gone for good",
    "bodyLost": "no sound copy of a body is left",
    "certificateEnding": "the certificate that clients see at a node has to be replaced",
    "groupsRecovered": "groups were founded anew, by force, from what survived",
}

Field = str | int


@dataclass(frozen=True, slots=True)
class Event:
    """
    One event.

    @ivar seconds: of the wall clock.
    @ivar node: where it was seen.
    @ivar kind: one of `KINDS`.
    """

    seconds: int
    node: int
    kind: str
    fields: dict[str, Field]

    @property
    def text(self) -> str:
        """The event for people to read, without its time."""
        told = " ".join(f"{name}={value}" for name, value in self.fields.items())
        return f"{KINDS[self.kind]}: {told}" if told else KINDS[self.kind]


class Events:
    """The last events, newest first when iterated."""

    def __init__(self, *, node: int, seconds: Callable[[], float], eventsMax: int = EVENTS_MAX) -> None:
        """
        @param seconds: the wall clock.
        """
        self._node = node
        self._seconds = seconds
        self._ring: deque[Event] = deque(maxlen=eventsMax)
        self.total = 0

    def add(self, kind: str, **fields: Field) -> None:
        """Something happened; the oldest event may go for it."""
        assert kind in KINDS, kind
        self._ring.append(Event(int(self._seconds()), self._node, kind, fields))
        self.total += 1

    def __iter__(self) -> Iterator[Event]:
        return iter(tuple(reversed(self._ring)))

    def __len__(self) -> int:
        return len(self._ring)
