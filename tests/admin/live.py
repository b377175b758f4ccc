"""A live node whose parts are in memory, and verbs asked of it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import maybeDeferred

from jindimail.admin.livenode import SERVING, LiveNode
from jindimail.admin.verbs import VERBS
from jindimail.config import read
from jindimail.replication.status import GroupStatus
from jindimail.store.records import MetaRecord
from tests.support.world import World, now

CONFIGURATION = "[node]\nname = one\ndata-directory = /\n"


class TwoGroups:
    """Two replicas, one of which leads."""

    def groups(self) -> list[int]:
        return [0, 5]

    def unheardSeconds(self, node: int) -> float:
        return 12.5

    def status(self, group: int) -> GroupStatus:
        role = "follower" if group else "leader"
        return GroupStatus(
            group=group,
            replicaId=1,
            role=role,
            leader=1,
            term=1,
            lastIndex=9,
            commit=9,
            applied=9,
            waiting=3,
            quiet=False,
            members=((1, 1, True, False),),
        )


def liveNode(world: World) -> LiveNode:
    """A node over a world in memory."""
    return LiveNode(
        configuration=read(CONFIGURATION, "/"),
        meta=MetaRecord(arrayId=b"a" * 16, node=1, name="one", format=1, incarnation=7),
        store=world.store,
        groups=TwoGroups(),
        share=None,
        links=None,
        buckets=world.buckets,
        directory=world.directory,
        sessions=world.sessions,
        seconds=world.clock.seconds,
        startedSeconds=int(world.clock.seconds()) - 60,
        inThread=maybeDeferred,
        fromThread=lambda function, *arguments: function(*arguments),
        state=SERVING,
        listening={"smtp": ("127.0.0.1:25",)},
    )


class Asker:
    """Asks a node's verbs as the control socket does, without the socket."""

    def __init__(self, world: World) -> None:
        self.node = liveNode(world)
        self.progress: list[tuple[int, int, str]] = []

    def __call__(self, words: str, **given: Any) -> Any:
        verb = VERBS[words]
        return now(
            verb.run(self.node, lambda *step: self.progress.append(step), **verb.settle(given))  # type: ignore[arg-type]
        )
