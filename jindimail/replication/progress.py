"""
What a leader knows of one other replica's log, and how much it may send to it.

Pure. The states are etcd's:

=========  =============================================================================================
PROBE      where the logs agree is not known: one append at a time, until it is answered
REPLICATE  they agree: appends are sent ahead of their answers, within the bounds of what is in flight
SNAPSHOT   the log no longer reaches back: nothing is sent until the snapshot is installed, or failed
=========  =============================================================================================
"""

from __future__ import annotations

import enum
from collections import deque


class Pace(enum.Enum):
    """How fast entries are sent."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


class Progress:
    """
    One follower or learner, as its leader sees it.

    @ivar match: its log is known to agree, durably, up to here.
    @ivar next: the first entry to be sent to it.
    @ivar commitSent: the commit index it was told last.
    @ivar isRepeated: the last probe was not answered; the next carries no entries, since nobody may be there.
    @ivar recentlyActive: it answered since the last check of the quorum.
    @ivar since: nothing is sent before this index is committed.
    @ivar awaited: a snapshot that is waited for reaches at least to here.
    """

    __slots__ = (
        "_inflight",
        "_inflightOctets",
        "awaited",
        "commitSent",
        "isRepeated",
        "match",
        "next",
        "pace",
        "probeSent",
        "recentlyActive",
        "since",
    )

    def __init__(self, nextIndex: int, since: int = 0) -> None:
        self.since = since
        self.awaited = 0
        self.match = 0
        self.next = nextIndex
        self.pace = Pace.PROBE
        self.probeSent = False
        self.isRepeated = False
        self.recentlyActive = False
        self.commitSent = 0
        self._inflight: deque[tuple[int, int]] = deque()  # (last index, octets) of each append under way
        self._inflightOctets = 0

    def mayGetEntries(self, messagesMax: int, octetsMax: int) -> bool:
        """Whether an append with entries may leave now."""
        if self.pace is Pace.REPLICATE:
            return len(self._inflight) < messagesMax and self._inflightOctets < octetsMax
        return self.pace is Pace.PROBE and not self.probeSent

    def sent(self, lastIndex: int, octets: int) -> None:
        """An append whose last entry is `lastIndex` has been sent."""
        if self.pace is Pace.REPLICATE:
            if lastIndex >= self.next:
                self.next = lastIndex + 1
                self._inflight.append((lastIndex, octets))
                self._inflightOctets += octets
        else:
            self.probeSent = True

    def acknowledged(self, index: int) -> bool:
        """The log agrees up to `index`; whether that was news."""
        self._release(index)
        self.next = max(self.next, index + 1)
        if index <= self.match:
            return False
        self.match = index
        return True

    def toProbe(self) -> None:
        """Go back to looking for the place of agreement."""
        self._reset(Pace.PROBE)
        self.next = self.match + 1

    def toReplicate(self) -> None:
        """The logs agree up to `match`: send ahead."""
        self._reset(Pace.REPLICATE)
        self.next = self.match + 1

    def toSnapshot(self, baseIndex: int) -> None:
        """Wait for a snapshot, which is made from now on and so reaches at least to where the log begins."""
        self._reset(Pace.SNAPSHOT)
        self.awaited = baseIndex

    @property
    def isInstalled(self) -> bool:
        """Whether the snapshot is there that was waited for. The log may begin behind it by now: then another is needed."""
        return self.pace is Pace.SNAPSHOT and self.match >= self.awaited

    def isNear(self, commit: int, lagMax: int) -> bool:
        """Whether it lacks at most so many committed entries, and these need no snapshot: so it could soon help to commit."""
        return self.match > 0 and self.pace is not Pace.SNAPSHOT and commit - self.match <= lagMax

    def probeAgain(self) -> None:
        """A while has passed: a probe that is still not answered may leave again."""
        if self.pace is Pace.PROBE and self.probeSent:
            self.probeSent = False
            self.isRepeated = True

    def unreachable(self) -> None:
        """What was sent lately may be lost."""
        if self.pace is Pace.REPLICATE:
            self.toProbe()
        self.probeSent = False

    def refused(self, index: int, maybeAgreed: int) -> bool:
        """
        An append behind `index` was refused, and the logs may agree at `maybeAgreed`; whether to try again there.

        Late refusals, of appends sent before the current ones, are told apart by their index. A replica whose installation
        of a snapshot was cut short has nothing left of what it acknowledged; believing it costs a probe at most.
        """
        if maybeAgreed < self.match and self.pace is not Pace.SNAPSHOT:
            self.match = 0
            self._reset(Pace.PROBE)
            self.next = maybeAgreed + 1
            return True
        if self.pace is Pace.REPLICATE:
            if index <= self.match:
                return False
            self.toProbe()
            return True
        if self.pace is Pace.SNAPSHOT or self.next - 1 != index:
            return False
        self.next = max(min(index, maybeAgreed + 1), self.match + 1)
        self.probeSent = False
        self.isRepeated = False
        return True

    def answeredBeat(self) -> None:
        """A `Beaten` came: what was under way may be lost, so one more append may leave."""
        self.probeSent = False
        self.isRepeated = False
        if self._inflight:
            _, octets = self._inflight.popleft()
            self._inflightOctets -= octets

    def _reset(self, pace: Pace) -> None:
        self.pace = pace
        self.probeSent = False
        self.isRepeated = False
        self.commitSent = 0
        self._inflight.clear()
        self._inflightOctets = 0

    def _release(self, index: int) -> None:
        inflight = self._inflight
        while inflight and inflight[0][0] <= index:
            _, octets = inflight.popleft()
            self._inflightOctets -= octets
