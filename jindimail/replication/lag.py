"""
How late a node's loop is, and how long its commits take, and how much longer others are waited for because of it. Pure.

A node that has too little of the processor does all it does, but late. Whoever takes that for death makes elections, which cost more of what is
scarce, so that everybody is later still (docs/adr/0047). So each node says with its heartbeats how late it is, and a silence lasts
at least five times that, of who listens and of who is listened to.
"""

from __future__ import annotations

SILENCE_SECONDS_MIN = 0.4
LAGS_IN_A_SILENCE = 5  # a silence is at least so many lags
LAG_SECONDS_MAX = 1.0  # later than this counts as this: the dead are missed within bounds
HALF_SECONDS = 2.0  # half of what a loop was late, or of what a commit took, is forgotten after such a time
COMMITS_IN_AN_ELECTION = (
    3  # a vote waits for the commit under way and for its own, and the leader's first word for one more
)
COMMIT_SECONDS_MAX = 2.0  # commits that take longer count as this


class Lag:
    """
    One node's: the worst of lately, but for what happened once. A tick that is late among others in time says that the node slept, or was
    held up; if others were told to wait for it, they would wait for longer when it dies next.

    @ivar seconds: how late it is, as others are told.
    @ivar worst: the same, and the last tick: what this node did not hear meanwhile.
    """

    __slots__ = ("_before", "_lookedAt", "seconds", "worst")

    def __init__(self) -> None:
        self.seconds = self.worst = 0.0
        self._before = (0.0, 0.0)
        self._lookedAt = 0.0

    def late(self, seconds: float, now: float) -> None:
        """A tick came so late."""
        again = sorted((*self._before, seconds))[1]
        faded = self.seconds * 0.5 ** (max(0.0, now - self._lookedAt) / HALF_SECONDS)
        self.seconds = min(LAG_SECONDS_MAX, max(again, faded))
        self.worst = min(LAG_SECONDS_MAX, max(seconds, self.seconds))
        self._before = self._before[1], seconds
        self._lookedAt = now


class Commits:
    """One node's: how long they take, as the worst of lately."""

    __slots__ = ("_lookedAt", "_seconds")

    def __init__(self) -> None:
        self._seconds = self._lookedAt = 0.0

    def took(self, seconds: float, now: float) -> None:
        """One that takes so long, so far."""
        self._seconds = max(min(seconds, COMMIT_SECONDS_MAX), self.seconds(now))
        self._lookedAt = now

    def seconds(self, now: float) -> float:
        """The worst of lately."""
        faded: float = self._seconds * 0.5 ** (max(0.0, now - self._lookedAt) / HALF_SECONDS)
        return faded


def patienceSeconds(lagSeconds: float) -> float:
    """For how much longer than usual a node is waited for where a loop is so late."""
    return max(0.0, LAGS_IN_A_SILENCE * lagSeconds - SILENCE_SECONDS_MIN)


def stretched(lagSeconds: float) -> float:
    """How many times longer than usual an election timeout lasts there."""
    return 1.0 + patienceSeconds(lagSeconds) / SILENCE_SECONDS_MIN


def stretchedByCommits(seconds: float) -> float:
    """The same where the commits of those whose votes are needed take so long."""
    return max(1.0, COMMITS_IN_AN_ELECTION * seconds / SILENCE_SECONDS_MIN)
