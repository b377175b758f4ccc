"""Listeners hear of what happens anywhere, and whatever may have been missed is made good by calling them once more."""

from __future__ import annotations

from typing import Any

import pytest

from jindimail.cluster.subscriptions import HERE, LEASE_SECONDS, RENEW_SECONDS
from jindimail.mailbox.queries import ReadChanges
from jindimail.replication.nodemessages import TellTopics
from jindimail.replication.status import SnapshotInstalled
from tests.cluster.mail import BUCKET, GROUP, MailWorld, mailbox


class Session:
    """A session that reads changes whenever it is called, as sessions do."""

    def __init__(self, world: MailWorld, node: int) -> None:
        self.world, self.node = world, node
        self.inboxId = world.inbox(node).mailboxId
        self.buckets = world.shares[node].buckets
        self.calls = 0
        self.modSeq = 1
        self.following = self.buckets.follow(BUCKET, self.inboxId, self._called)

    def _called(self) -> None:
        self.calls += 1
        asked = self.buckets.query(BUCKET, ReadChanges(mailboxId=self.inboxId, afterModSeq=self.modSeq))
        asked.addCallbacks(self._changed, lambda _: None)

    def _changed(self, changes: Any) -> None:
        self.modSeq = max(self.modSeq, changes.modSeq)


def following(node: int = 4, voters: tuple[int, ...] = (1, 2, 3)) -> tuple[MailWorld, Session]:
    world = MailWorld(voters, others=(4,))
    session = Session(world, node)
    world.run(0.5)
    return world, session


def deliver(world: MailWorld, node: int, number: int) -> int:
    world.result(world.deliver(node, number, b"x: y\r\n\r\nz"))
    return world.inbox(node).highestModSeq


@pytest.mark.parametrize("listener", [1, 2, 3, 4])
@pytest.mark.parametrize("ingress", [1, 3, 4])
def test_aSessionAnywhereSeesTheChangeAtOnce(listener: int, ingress: int) -> None:
    world, session = following(listener)
    modSeq = deliver(world, ingress, 1)
    world.until(lambda: session.modSeq == modSeq, 0.2)


def test_theNodeThatTellsDiesAndAnotherTells() -> None:
    world, session = following()
    teller = world.shares[4].subscriptions.sources[GROUP]
    deliver(world, 4, 1)
    calls = session.calls
    world.kill(teller)
    world.until(lambda: session.calls > calls)
    assert world.shares[4].subscriptions.sources[GROUP] != teller
    ingress = next(node for node in (1, 2, 3) if node != teller)
    modSeq = deliver(world, ingress, 2)
    world.until(lambda: session.modSeq == modSeq, 0.2)


def test_whatHappenedWhileTheLinkWasLostIsNotMissed() -> None:
    world, session = following()
    teller = world.shares[4].subscriptions.sources[GROUP]
    for node in (1, 2, 3):
        world.fabric.cut(4, node)
    modSeq = deliver(world, teller, 1)
    world.run(1.0)
    assert session.modSeq < modSeq
    world.fabric.heal()
    world.until(lambda: session.modSeq == modSeq, 1.0)


@pytest.mark.parametrize("isFollowed", [True, False], ids=["by another", "by none"])
def test_aTopicThatWasLostOnItsWayIsNotMissed(isFollowed: bool) -> None:
    world, session = following()
    teller = world.shares[world.shares[4].subscriptions.sources[GROUP]].subscriptions
    real, dropped = teller._send, []

    def send(node: int, message: Any) -> None:
        if isinstance(message, TellTopics) and not dropped:
            dropped.append(message)
        else:
            real(node, message)

    teller._send = send
    modSeq = deliver(world, 1, 1)
    if isFollowed:
        world.propose(1, mailbox("a"))  # tells of something else, and by its count of what was lost
    world.until(lambda: session.modSeq == modSeq, 0.3 if isFollowed else 2.5 * RENEW_SECONDS)
    assert dropped


def test_aMemberThatHearsOfNoLeaderIsLeft() -> None:
    world, session = following()
    teller = world.shares[4].subscriptions.sources[GROUP]
    others = [node for node in (1, 2, 3) if node != teller]
    for node in others:
        world.fabric.cut(teller, node)
    world.run(3 * RENEW_SECONDS)
    assert world.shares[4].subscriptions.sources[GROUP] in others
    modSeq = deliver(world, 4, 1)
    world.until(lambda: session.modSeq == modSeq, 0.3)


def test_nobodyIsToldWhoNoLongerFollows() -> None:
    world, session = following()
    session.following.stop()
    world.run(LEASE_SECONDS + 2 * RENEW_SECONDS)
    told = sum(share.counters.told for share in world.shares.values())
    deliver(world, 1, 1)
    assert sum(share.counters.told for share in world.shares.values()) == told
    assert world.shares[4].subscriptions.sources == {}


def test_aReplicaThatAppearsTakesOverFromTheNodeThatTold() -> None:
    world, session = following(voters=(1, 2, 3))
    calls = session.calls
    world.grow(GROUP, 4)
    world.until(lambda: session.calls > calls)
    assert world.shares[4].subscriptions.sources[GROUP] == HERE
    modSeq = deliver(world, 1, 1)
    world.until(lambda: session.modSeq == modSeq, 0.2)


@pytest.mark.parametrize("listener", [1, 4])
def test_aSnapshotInThePlaceOfEverythingIsToldToAllWhoFollow(listener: int) -> None:
    world, session = following(listener)
    calls = session.calls
    share = world.shares[1]
    for told in share.groups._waiting.listeners:
        told(GROUP, share.groups.appliedIndex(GROUP), (SnapshotInstalled(GROUP),))
    world.until(lambda: session.calls > calls, 0.2)


def test_sessionsOfTwoNodesSeeEachOthersMailboxes() -> None:
    world = MailWorld(others=(4,))
    heard: list[int] = []
    world.shares[4].buckets.followTopic(("names", BUCKET, 1), lambda: heard.append(1))
    world.run(0.5)
    before = len(heard)
    world.propose(2, mailbox("a"))
    world.until(lambda: len(heard) > before, 0.2)
    assert world.names(4) == ["INBOX", "a"]
