"""A learner that is removed while its node is down, before it knew its group."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.mail import GROUP, MailWorld, mailbox


def test_aLearnerThatIsRemovedWhileItsNodeIsDownGoesWhenThatIsBack(monkeypatch: pytest.MonkeyPatch) -> None:
    world = MailWorld((1, 2, 3), (4,))
    for number in range(3):
        world.propose(1, mailbox(f"m{number}"))
    world.shares[1].groups.transfer(GROUP, 2)
    world.run(3)
    leader = world.shares[2].groups
    world.result(leader.change(GROUP, lambda members: members.without(1)))
    world.run(30)

    def replica() -> Any:
        return world.shares[1].groups._replicas.get(GROUP) if 1 in world.shares else None

    assert replica() is None
    world.fabric.isStalled = lambda node, other: other == 1 and replica() is not None
    world.result(leader.change(GROUP, lambda members: members.withLearner(1)))
    learner = next(each.replicaId for each in leader.configurationOf(GROUP).members if each.node == 1)
    for _ in range(4000):
        world.run(0.0001)
        if replica() is not None:
            break
    world.run(0.05)
    assert replica().raft.log.lastIndex == 0
    world.fabric.isStalled = lambda node, other: False
    world.kill(1)
    world.result(leader.change(GROUP, lambda members: members.without(learner)))
    world.run(5)
    world.back(1)
    world.run(300)
    assert replica() is None
