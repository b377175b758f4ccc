"""
What nodes tell of themselves, and what one of them gathers of all: the values of the status page. Pure.

They cross between nodes as JSON. A field is only ever added, with a default: nodes of two versions understand each other.
"""

from __future__ import annotations

import msgspec

from jindimail.admin.webhistory import Slot
from jindimail.model import ARRAY_GROUP


class EventStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, as a node saw it."""

    seconds: int
    node: str
    kind: str
    text: str


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a node tells of itself.

    @ivar leads: the groups that it leads, each with the term.
    @ivar load: as the array measures it; None while it does not.
    @ivar cpuShare: of one core, lately.
    @ivar groupsIncomplete: led here, without all the members that are wished for.
    @ivar copiesOwed: bodies of groups led here that have fewer copies than they should; None if not known.
    """

    node: str
    number: int
    state: str = ""
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
    leads: tuple[tuple[int, int], ...] = ()
    sessions: dict[str, int] = {}
    copiesOwed: int | None = None
    groupsIncomplete: int = 0
    peersDown: tuple[str, ...] = ()
    events: tuple[EventStatus, ...] = ()
    slots: tuple[Slot, ...] = ()


class SilentNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node of the array that did not answer in time; `state` is what the array has agreed on."""

    node: str
    number: int
    state: str


class ArrayStatus(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, as one node gathered it."""

    seconds: float
    asked: str
    nodes: tuple[NodeStatus, ...]
    silent: tuple[SilentNode, ...] = ()


def leaderOf(array: ArrayStatus) -> dict[int, str]:
    """
    The node that leads each group, as those that lead say themselves. Of two that say so the one of the later term does: the
    other has not heard of it yet.
    """
    found: dict[int, tuple[int, str]] = {}
    for status in array.nodes:
        for group, term in status.leads:
            if term > found.get(group, (-1, ""))[0]:
                found[group] = (term, status.node)
    return {group: name for group, (_, name) in found.items()}


def ledBuckets(status: NodeStatus) -> int:
    """How many buckets a node leads."""
    return sum(group != ARRAY_GROUP for group, _ in status.leads)
