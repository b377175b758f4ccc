"""A bucket that was given up early, since too few of its nodes were heard, and is back a moment later."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail

from jindimail.errors import Unavailable
from jindimail.mailbox.entries import Enqueue
from jindimail.model import bucketOf
from tests.support.world import World

ALICE, BOB = "alice@example.org", "bob@example.org"
OCTETS = b"Received: from a by b\r\nSubject: hello\r\n\r\nbody\r\n"


class Trouble:
    """A world in which buckets are out of reach, for a number of proposals each; what is proposed is remembered."""

    def __init__(self, **silences: int) -> None:
        self.world = World()
        for address in (ALICE, BOB):
            self.world.addUser(address)
        self.silences = {bucketOf(f"{name}@example.org"): count for name, count in silences.items()}
        self.proposed: list[Any] = []
        self._propose = self.world.buckets.propose
        self.world.buckets.propose = self.propose  # type: ignore[method-assign]
        self.world.buckets.isReachable = self.isReachable  # type: ignore[method-assign]

    def propose(self, bucket: Any, entry: Any, body: Any = None) -> Deferred[Any]:
        """`IBuckets`."""
        self.proposed.append(entry)
        if self.silences.get(bucket, 0):
            self.silences[bucket] -= 1
            return fail(Unavailable())
        return self._propose(bucket, entry, body)

    def isReachable(self, bucket: int) -> bool:
        """`IBuckets`."""
        return not self.silences.get(bucket, 0)

    @property
    def queued(self) -> int:
        """How often it was tried to let recipients wait."""
        return sum(isinstance(entry, Enqueue) for entry in self.proposed)


def test_whatIsBackGetsItsMailAtOnceAndNotFromAQueue() -> None:
    trouble = Trouble(bob=1)
    assert trouble.world.deliver(OCTETS, ALICE, BOB) == [None, None]
    assert trouble.queued == 0 and len(trouble.proposed) == 3


def test_whatStaysOutOfReachGetsItFromAQueue() -> None:
    trouble = Trouble(bob=9)
    assert trouble.world.deliver(OCTETS, ALICE, BOB) == [None, None]
    assert trouble.queued == 1 and len(trouble.proposed) == 3


def test_noBucketOutOfReachIsAskedToLetMailWait() -> None:
    trouble = Trouble(alice=9, bob=9)
    trouble.world.buckets.isReachable = lambda bucket: False  # type: ignore[method-assign]
    errors = trouble.world.deliver(OCTETS, ALICE, BOB)
    assert all(isinstance(error, Unavailable) for error in errors)
    assert trouble.queued == 0
