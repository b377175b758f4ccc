"""
What nodes tell of themselves, and what one of them gathers of all: for the status page and `jindictl cluster status`. Pure.

They cross between nodes as JSON. A field is only ever added, with a default: nodes of two versions understand each other.
"""

from __future__ import annotations

import msgspec

from jindimail.admin.webhistory import Slot
from jindimail.model import ARRAY_GROUP, BUCKET_COUNT


class EventStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, as a node saw it."""

    seconds: int
    node: str
    kind: str
    text: str


class LedGroup(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A group as its leader knows it: the nodes that vote in it, and those that learn."""

    group: int
    term: int
    voters: tuple[int, ...] = ()
    learners: tuple[int, ...] = ()


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a node tells of itself.

    @ivar hearsMajority: whether it hears so many nodes that the array can agree on anything.
    @ivar leads: the groups that it leads.
    @ivar load: as the array measures it; None while it does not.
    @ivar cpuShare: of one core, lately.
    @ivar groupsIncomplete: led here, without all the members that are wished for.
    @ivar copiesOwed: bodies of groups led here that have fewer copies than they should; None if not known.
    @ivar bodiesMoved: to other keepers, or repaired, since it started.
    @ivar certificateEnds: the one that clients see, in seconds since the epoch.
    @ivar trips: by the name of another node, the last round trip to it in seconds.
    """

    node: str
    number: int
    state: str = ""
    hearsMajority: bool = True
    version: str = ""
    incarnation: int = 0
    uptimeSeconds: int = 0
    weight: int = 100
    load: float | None = None
    cpuShare: float = 0.0
    residentOctets: int = 0
    freeOctets: int = 0
    sizeOctets: int = 0
    storage: str = ""
    replicas: int = 0
    leaderless: int = 0
    waiting: int = 0
    leads: tuple[LedGroup, ...] = ()
    sessions: dict[str, int] = {}
    copiesOwed: int | None = None
    bodiesMoved: int = 0
    groupsIncomplete: int = 0
    peersDown: tuple[str, ...] = ()
    trips: dict[str, float] = {}
    certificateEnds: int | None = None
    events: tuple[EventStatus, ...] = ()
    slots: tuple[Slot, ...] = ()


class SilentNode(msgspec.Struct, frozen=True, kw_only=True):
    """
    A node of the array that did not answer in time.

    @ivar state: what the array has agreed on, as far as the node that asked knows.
    @ivar unheardSeconds: for how long that node has heard nothing of it; None if it never did.
    """

    node: str
    number: int
    state: str
    unheardSeconds: int | None = None

    @property
    def words(self) -> str:
        """For how long, for people."""
        return "never heard" if self.unheardSeconds is None else f"not heard for {self.unheardSeconds} s"


class ArrayStatus(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, as one node gathered it."""

    seconds: float
    asked: str
    nodes: tuple[NodeStatus, ...]
    silent: tuple[SilentNode, ...] = ()


def leaders(array: ArrayStatus) -> dict[int, tuple[NodeStatus, LedGroup]]:
    """
    Who leads each group, and its word on it, as those that lead say themselves. Of two that say so the one of the later term does: the
    other has not heard of it yet.
    """
    found: dict[int, tuple[NodeStatus, LedGroup]] = {}
    for status in array.nodes:
        for led in status.leads:
            known = found.get(led.group)
            if known is None or known[1].term < led.term:
                found[led.group] = status, led
    return found


def copiesOwed(array: ArrayStatus) -> int | None:
    """
    How many copies bodies lack, as far as their buckets' leaders have counted. None: no leader misses any, and not all have told: a node has not
    counted yet, or a bucket has no leader.
    """
    counts = [status.copiesOwed for status in array.nodes]
    owed = sum(count for count in counts if count is not None)
    isKnown = None not in counts and len(leaders(array).keys() - {ARRAY_GROUP}) >= BUCKET_COUNT
    return owed if owed or isKnown else None


def ledBuckets(status: NodeStatus) -> int:
    """How many buckets a node leads."""
    return sum(led.group != ARRAY_GROUP for led in status.leads)
