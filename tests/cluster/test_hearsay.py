"""Failed logins count at all nodes, whichever they were tried at."""

from __future__ import annotations

from twisted.internet.defer import maybeDeferred

from jindimail.cluster.hearsay import ITEMS_MAX, TELL_SECONDS, Hearsay
from jindimail.cluster.memorylinks import Fabric
from jindimail.directory.attempts import USER_BURST, Attempts
from jindimail.directory.checker import PasswordChecker
from jindimail.directory.credentials import PeerPassword
from jindimail.directory.passwords import Passwords
from jindimail.errors import AuthenticationFailed, TooManyAttempts
from tests.simulation.clock import HeapClock
from tests.support.world import World, now


class Node:
    """A node's checker of passwords; all of them know the same users."""

    def __init__(self, fabric: Fabric, clock: HeapClock, node: int, users: World) -> None:
        self.heard: list[tuple[str, ...]] = []
        self.talk = Hearsay(
            links=fabric.add(node),
            clock=clock,
            subject="failedLogins",
            nodes=lambda: (1, 2, 3),
            hear=self.hear,
        )
        self.checker = PasswordChecker(
            resolver=users.resolver,
            passwords=Passwords(inThread=maybeDeferred, key=b"k"),
            attempts=Attempts(),
            seconds=clock.seconds,
            tell=self.talk.tell,
        )

    def hear(self, failure: tuple[str, ...]) -> None:
        self.heard.append(failure)
        self.checker.heard(failure)


def test_failuresAtOneNodeCountAtAllThatAreConnected() -> None:
    clock = HeapClock()
    fabric = Fabric(clock)
    users = World()
    first, second, third = (Node(fabric, clock, node, users) for node in (1, 2, 3))
    fabric.cut(1, 3)
    for number in range(USER_BURST):
        first.talk.tell((f"192.0.2.{number}", "anna@example.org"))
    guess = PeerPassword(b"anna@example.org", b"wrong", "198.51.100.1")
    clock.runUntil(clock.now + TELL_SECONDS + 0.1)
    assert len(second.heard) == USER_BURST
    assert not third.heard
    try:
        now(second.checker.requestAvatarId(guess))
    except TooManyAttempts:
        pass
    else:
        raise AssertionError("it may be tried at another node")
    try:
        now(third.checker.requestAvatarId(guess))
    except AuthenticationFailed:
        pass
    else:
        raise AssertionError("a wrong password was right")


def test_moreThanCanBeToldInASecondIsNotTold() -> None:
    clock = HeapClock()
    fabric = Fabric(clock)
    users = World()
    first, second = (Node(fabric, clock, node, users) for node in (1, 2))
    for number in range(3 * ITEMS_MAX):
        first.talk.tell(("192.0.2.1", str(number)))
    clock.runUntil(clock.now + TELL_SECONDS + 0.1)
    assert len(second.heard) == ITEMS_MAX
    first.talk.tell(("192.0.2.1", "late"))
    clock.runUntil(clock.now + TELL_SECONDS + 0.1)
    assert second.heard[-1] == ("192.0.2.1", "late")
