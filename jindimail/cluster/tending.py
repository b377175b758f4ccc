"""
Following the array's own group: what its rows say of nodes, wishes and settings becomes the user map (design §9).

Every node has a replica of group 0, so that all of this is read from this node's own rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from jindimail.cluster.arrayrecords import (
    DOWN,
    DRAINING,
    GONE,
    JOINING,
    UP,
    NodeRecord,
    readNodes,
    readWishes,
)
from jindimail.cluster.events import Events
from jindimail.cluster.settings import readSettings
from jindimail.cluster.usermap import UserMap
from jindimail.interfaces import IStore
from jindimail.model import ARRAY_GROUP
from jindimail.replication.driver import Groups

READ_SECONDS = 0.02  # many changes come at once

_EVENTS = {UP: "nodeUp", DOWN: "nodeDown", DRAINING: "nodeDraining", GONE: "nodeGone", JOINING: "nodeJoined"}


class Tending:
    """What keeps this node's picture of the array."""

    def __init__(
        self, *, clock: IReactorTime, store: IStore, groups: Groups, userMap: UserMap, events: Events
    ) -> None:
        self._clock = clock
        self._store = store
        self._userMap = userMap
        self._events = events
        self._call: IDelayedCall | None = None
        self._running = False
        self._isStale = True
        groups.listen(self._committed)

    def start(self) -> None:
        """Read what there is, and follow it from now on."""
        self._running = True
        self.refresh()

    def stop(self) -> None:
        """Follow no more."""
        self._running = False
        if self._call is not None and self._call.active():
            self._call.cancel()

    def refresh(self) -> None:
        """Read group 0's rows now, if they changed."""
        if not self._isStale:
            return
        self._isStale = False
        with self._store.read() as rows:
            nodes, wishes, settings = dict(readNodes(rows)), dict(readWishes(rows)), readSettings(rows)
        self._tell(self._userMap.nodes, nodes)
        self._userMap.update(nodes, wishes, settings)

    def _committed(self, group: int, index: int, events: Any) -> None:
        """Something of group 0 changed, or a snapshot took the place of everything."""
        if group == ARRAY_GROUP:
            self._isStale = True
            if self._running and self._call is None:
                self._call = self._clock.callLater(READ_SECONDS, self._read)

    def _read(self) -> None:
        self._call = None
        self.refresh()

    def _tell(self, before: Mapping[int, NodeRecord], nodes: Mapping[int, NodeRecord]) -> None:
        """What happened to nodes, as events; this node's first sight of the array is none."""
        for node, record in nodes.items() if before else ():
            known = before.get(node)
            if known is None or known.state != record.state:
                self._events.add(_EVENTS[record.state], node=node, name=record.name)
