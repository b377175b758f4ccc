"""Who is up and who is down, by what one leader hears."""

from __future__ import annotations

from jindimail.cluster.arrayrecords import DOWN, DRAINING, JOINING, UP
from jindimail.cluster.liveness import CALM_SECONDS, UP_SECONDS_MAX, Liveness

STEP = 0.25


class Leader:
    """One leader's judgement about nodes 1 (itself), 2 and 3, on a clock of its own."""

    def __init__(self) -> None:
        self.liveness = Liveness()
        self.now = 100.0
        self.states = {1: UP, 2: UP, 3: UP}
        self.silentSince: dict[int, float] = {}
        self.patience = 0.0
        self.current = {1, 2, 3}
        self.changes: list[tuple[float, int, str]] = []

    def look(self) -> None:
        unheard = {node: self.now - self.silentSince.get(node, self.now) for node in self.states}
        silences = {node: max(0.0, each - self.patience) for node, each in unheard.items()}
        for node, state in self.liveness.look(self.now, self.states, silences, unheard, self.current).items():
            self.states[node] = state
            self.changes.append((self.now, node, state))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += STEP
            self.look()

    def silence(self, *nodes: int) -> None:
        for node in nodes:
            self.silentSince[node] = self.now

    def hear(self, *nodes: int) -> None:
        for node in nodes:
            del self.silentSince[node]


def test_aSilentNodeIsDownAfterTwoSecondsAndUpOneSecondAfterItIsHeard() -> None:
    leader = Leader()
    leader.run(5)
    leader.silence(2)
    leader.run(1.75)
    assert not leader.changes
    leader.run(0.5)
    assert [change[1:] for change in leader.changes] == [(2, DOWN)]
    leader.run(10)
    leader.hear(2)
    leader.run(0.75)
    assert leader.states[2] == DOWN
    leader.run(0.5)
    assert leader.states[2] == UP and len(leader.changes) == 2


def test_aDeadNodeIsNotUpBecauseItsSilenceIsExplainedByLag() -> None:
    leader = Leader()
    leader.run(5)
    leader.silence(2)
    leader.run(2.5)
    leader.patience = 4.6
    leader.run(4)
    assert [change[1:] for change in leader.changes] == [(2, DOWN)]
    leader.hear(2)
    leader.run(1.5)
    assert leader.states[2] == UP, "though the leader is late"


def test_aNodeIsNotUpBeforeItHasTheArraysLog() -> None:
    leader = Leader()
    leader.states[3] = JOINING
    leader.current = {1, 2}
    leader.run(10)
    assert leader.states[3] == JOINING
    leader.current = {1, 2, 3}
    leader.run(0.5)
    assert leader.states[3] == UP


def test_aLeaderThatWasPausedSaysNothingAboutOthers() -> None:
    leader = Leader()
    leader.run(5)
    leader.silence(2, 3)
    leader.now += 30
    leader.look()
    assert not leader.changes
    leader.hear(2, 3)
    leader.run(10)
    assert not leader.changes


def test_aNewLeaderListensFirst() -> None:
    leader = Leader()
    leader.silence(2)
    leader.now += 30
    leader.look()
    leader.run(1.75)
    assert not leader.changes
    leader.run(0.5)
    assert leader.states[2] == DOWN
    leader.liveness.reset()
    leader.silence(3)
    leader.now += 0.25
    leader.look()
    leader.run(1.75)
    assert leader.states[3] == UP


def test_aNodeThatComesAndGoesIsBelievedLaterEachTimeUntilItIsCalm() -> None:
    leader = Leader()
    leader.run(5)
    waits = []
    for _ in range(7):
        leader.silence(2)
        leader.run(3)
        leader.hear(2)
        heard = leader.now
        while leader.states[2] == DOWN:
            leader.run(STEP)
        waits.append(leader.now - heard)
    assert waits == sorted(waits) and waits[-1] >= 4 * waits[0] and max(waits) <= UP_SECONDS_MAX + 1
    leader.run(CALM_SECONDS + 1)
    leader.silence(2)
    leader.run(3)
    leader.hear(2)
    leader.run(1.5)
    assert leader.states[2] == UP


def test_shortGapsAreNothing() -> None:
    leader = Leader()
    leader.run(5)
    for _ in range(20):
        leader.silence(2)
        leader.run(1.5)
        leader.hear(2)
        leader.run(0.5)
    assert not leader.changes


def test_aNodeThatIsBeingEmptiedStaysSo() -> None:
    leader = Leader()
    leader.states[2] = DRAINING
    leader.silence(2)
    leader.run(10)
    assert leader.states[2] == DRAINING and not leader.changes
