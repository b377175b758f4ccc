"""
What a replica knows and does only while it leads: the others' progress, reads, a transfer under way.

Pure. It is made when an election is won and thrown away with the term, so that nothing of it can outlive its leadership.
Appends are not made when entries are proposed but once a turn, by `messages`: that is what batches them.

An entry that may lag goes at once to so many voters as make a majority, the *first*. The others get it, and all the news that it is committed,
when what is held back is spread: some time later, or when anything is to be told that may not lag (docs/adr/0051).
"""

from __future__ import annotations

from jindimail.replication.configuration import Member
from jindimail.replication.entries import Entry
from jindimail.replication.history import ConfigurationHistory
from jindimail.replication.log import Log
from jindimail.replication.messages import Append, Appended, Beat, Message, TransferNow
from jindimail.replication.outputs import Settings
from jindimail.replication.progress import Pace, Progress
from jindimail.replication.quorum import committedIndex, hasMajority, majority
from jindimail.replication.reads import Reads


class Leadership:
    """
    One replica's leadership in one term.

    @ivar progress: by replica id, of all members but the leader.
    @ivar transferee: who shall lead instead; 0: nobody.
    @ivar snapshotsWanted: replicas to which the log no longer reaches back.
    """

    def __init__(
        self,
        *,
        group: int,
        replicaId: int,
        term: int,
        log: Log,
        settings: Settings,
        history: ConfigurationHistory,
    ) -> None:
        self._group = group
        self._replicaId = replicaId
        self._term = term
        self._log = log
        self._settings = settings
        self._configuration = history.latest
        self._ticksToQuorum = 0
        self._ticksToBeat = 0
        self._ticksToAbort = 0
        self._beatDue = False
        self._transferSent = False
        self._due = log.lastIndex  # entries up to this go to all,
        self._newsDue = log.commit  # and so does the news that those up to this are committed
        self._first: frozenset[int] = frozenset()
        self.progress: dict[int, Progress] = {}
        self.voters: tuple[int, ...] = ()
        self.reads = Reads()
        self.transferee = 0
        self.snapshotsWanted: list[int] = []
        self.configure(history)

    def configure(self, history: ConfigurationHistory) -> None:
        """
        Another configuration is in force.

        A learner hears nothing before the entry that adds it is committed: its first message makes a replica, under an id that
        would be given again, perhaps at another node, if that entry were cut off.
        """
        configuration = self._configuration = history.latest
        self.voters = configuration.voters()
        committed = history.at(self._log.commit)[1]
        present = {member.replicaId: member for member in configuration.members}
        present.pop(self._replicaId, None)
        for replicaId in present.keys() - self.progress.keys():
            isSure = present[replicaId].voter or committed.member(replicaId) is not None
            self.progress[replicaId] = Progress(self._log.lastIndex + 1, 0 if isSure else history.latestIndex)
            self.progress[replicaId].recentlyActive = True  # a new member is not counted as silent at once
        for replicaId in self.progress.keys() - present.keys():
            del self.progress[replicaId]
        if self.transferee not in self.voters:
            self.transferee = 0
        self._chooseFirst()

    def _chooseFirst(self) -> None:
        """
        Those that are to make a majority: of the voters that have all that is committed, and rather not witnesses; of equal ones not the same in every group.

        One that does not answer falls behind the others, to which is spread what it was sent.
        """
        others = [
            member
            for member in self._configuration.members
            if member.replicaId in self.progress and member.voter
        ]
        turn = self._group % max(1, len(others))
        others = sorted(others[turn:] + others[:turn], key=self._remoteness)
        wanted = majority(len(self.voters)) - (self._replicaId in self.voters)
        self._first = frozenset([member.replicaId for member in others[:wanted]])

    def _remoteness(self, member: Member) -> tuple[bool, bool, bool, int, bool]:
        progress = self.progress[member.replicaId]
        return (
            progress.pace is not Pace.REPLICATE,
            progress.match < self._log.commit,
            member.witness,
            -progress.match,
            # Who was slow once is not asked first again because it has caught up.
            member.replicaId not in self._first,
        )

    # --- answers

    def appended(self, message: Appended) -> bool:
        """A follower's answer to an append; whether the commit index may have moved."""
        progress = self.progress.get(message.sender)
        if progress is None:
            return False
        progress.recentlyActive = True
        if message.refused:
            agreed = self._log.agreeableIndex(message.hintIndex, message.hintTerm)
            progress.refused(message.index, agreed)
            return False
        if message.index > self._log.lastIndex:
            return False  # it speaks of another leader's log; its term would have told if that led
        news = progress.acknowledged(message.index)
        if progress.pace is Pace.PROBE or progress.isInstalled:
            progress.toReplicate()
        return news

    def beaten(self, replicaId: int, number: int) -> None:
        """A replica's answer to a beat."""
        progress = self.progress.get(replicaId)
        if progress is None:
            return
        progress.recentlyActive = True
        progress.answeredBeat()
        if progress.match < self._log.lastIndex:
            progress.commitSent = -1  # makes one more append leave, which finds out what was lost
        self.reads.answered(replicaId, number)

    def commitIndex(self) -> int:
        """What a majority of the voters holds durably. The leader counts only what is durable in its own log."""
        log, progress = self._log, self.progress
        return committedIndex(
            log.persisted if voter == self._replicaId else progress[voter].match for voter in self.voters
        )

    # --- time

    def tick(self, *, counts: bool = True) -> bool:
        """A tick passed, that counts or not; False if a majority has been silent for an election timeout (dissertation §6.2)."""
        self.spread()
        self._ticksToBeat += 1
        if self._ticksToBeat >= self._settings.heartbeatTicks:
            self._ticksToBeat = 0
            self._beatDue = True
            for progress in self.progress.values():
                progress.probeAgain()
        if not counts:
            return True
        if self.transferee:
            self._ticksToAbort -= 1
            if self._ticksToAbort <= 0:
                self.transferee = 0
        self._ticksToQuorum += 1
        if self._ticksToQuorum < self._settings.electionTicks:
            return True
        self._ticksToQuorum = 0
        active = {replicaId for replicaId, progress in self.progress.items() if progress.recentlyActive}
        for progress in self.progress.values():
            progress.recentlyActive = False
        return hasMajority(self.voters, active | {self._replicaId})

    def hasten(self, index: int) -> None:
        """The entry at an index may not lag, nor those before it."""
        self._due = self._newsDue = max(self._due, index)

    def isHolding(self) -> bool:
        """Whether anything is held back that `spread` would release."""
        last, commit = self._log.lastIndex, self._log.commit
        return any(
            progress.pace is Pace.REPLICATE
            and progress.since <= commit
            and (
                self._newsDue <= progress.commitSent < commit
                or self._until(replicaId) < progress.next <= last
            )
            for replicaId, progress in self.progress.items()
        )

    def spread(self) -> None:
        """What is held back has waited for long enough: it goes to all, committed or not."""
        self._chooseFirst()
        self._due = self._log.lastIndex
        self._newsDue = max(self._newsDue, self._log.commit)

    def beginTransfer(self, replicaId: int) -> None:
        """Let another voter lead; given up after an election timeout."""
        self.spread()
        self.transferee = replicaId
        self._transferSent = False
        self._ticksToAbort = self._settings.electionTicks

    def successor(self, absent: frozenset[int] = frozenset()) -> int:
        """The voter, no witness and not absent, whose log is the longest; 0: none."""
        full = [
            (self.progress[member.replicaId].match, member.replicaId)
            for member in self._configuration.members
            if member.voter
            and not member.witness
            and member.replicaId in self.progress
            and member.replicaId not in absent
        ]
        return max(full)[1] if full else 0

    # --- what is to be sent

    def hasMessages(self, readable: bool) -> bool:
        """Whether `messages` would give any."""
        return bool(self.progress) and (
            self._beatDue
            or (readable and self.reads.areWaiting)
            or self._mayTransfer()
            or any(self._wants(replicaId, progress) for replicaId, progress in self.progress.items())
        )

    def messages(self, readable: bool) -> list[Message]:
        """
        The turn's appends and beats.

        @param readable: an entry of this term is committed, so that the commit index is the leader's to tell.
        """
        sent: list[Message] = []
        if readable and self.reads.areWaiting:
            self.reads.begin(self._log.commit)
            self._beatDue = True
            self.spread()  # whoever reads waits until it has applied that
        for replicaId, progress in self.progress.items():
            if self._wants(replicaId, progress):
                self._append(replicaId, progress, sent)
            if self._beatDue and progress.since <= self._log.commit:
                commit = min(progress.match, self._log.commit)
                sent.append(
                    Beat(self._group, self._replicaId, replicaId, self._term, commit, self.reads.round)
                )
        self._beatDue = False
        if self._mayTransfer():
            sent.append(TransferNow(self._group, self._replicaId, self.transferee, self._term))
            self._transferSent = True
        return sent

    def isSettled(self, absent: frozenset[int] = frozenset()) -> bool:
        """
        Whether everyone (but the absent) has everything, so that the group may be quiet.

        Not while a majority is absent: a quiet leader does not look whether it still leads.
        """
        log = self._log
        if not hasMajority(self.voters, set(self.voters) - absent):
            return False
        return not (self.reads or self.transferee) and all(
            progress.match == log.lastIndex == log.commit == progress.commitSent
            for replicaId, progress in self.progress.items()
            if replicaId not in absent
        )

    def _until(self, replicaId: int) -> int:
        """The last entry that a replica whose log agrees may be sent now; nobody waits for one whose log may not agree."""
        if replicaId in self._first:
            return self._log.lastIndex
        for each in self._first:
            if self.progress[each].pace is not Pace.REPLICATE:
                return self._log.lastIndex
        return self._due

    def _wants(self, replicaId: int, progress: Progress) -> bool:
        commit = self._log.commit
        if progress.since > commit:
            return False
        if progress.pace is Pace.REPLICATE:
            if progress.commitSent < commit and progress.commitSent < self._newsDue:
                return True
            if progress.next > self._until(replicaId):
                return False
        return progress.mayGetEntries(self._settings.inflightMessagesMax, self._settings.inflightOctetsMax)

    def _mayTransfer(self) -> bool:
        transferee = self.progress.get(self.transferee)
        return transferee is not None and not self._transferSent and transferee.match == self._log.lastIndex

    def _append(self, replicaId: int, progress: Progress, sent: list[Message]) -> None:
        log, settings = self._log, self._settings
        before, until = len(sent), self._until(replicaId)
        while True:
            prevTerm = log.term(progress.next - 1)
            if prevTerm is None:  # the log no longer reaches back so far
                progress.toSnapshot(log.baseIndex)
                self.snapshotsWanted.append(replicaId)
                return
            if not progress.mayGetEntries(settings.inflightMessagesMax, settings.inflightOctetsMax):
                break
            entries = [] if progress.isRepeated else log.entriesFrom(progress.next, settings.appendOctetsMax)
            if progress.pace is Pace.REPLICATE and entries and entries[-1].index > until:
                entries = entries[: max(0, until + 1 - progress.next)]
            if not entries and progress.pace is Pace.REPLICATE:
                break
            sent.append(self._appendOf(replicaId, progress, prevTerm, entries))
        isNews = progress.pace is Pace.REPLICATE and progress.commitSent < min(log.commit, self._newsDue)
        if len(sent) == before and isNews:
            # After an unanswered beat (commitSent < 0) it is a probe, whose answer tells what was lost.
            sent.append(self._appendOf(replicaId, progress, prevTerm, [], isNews=progress.commitSent >= 0))

    def _appendOf(
        self,
        replicaId: int,
        progress: Progress,
        prevTerm: int,
        entries: list[Entry],
        *,
        isNews: bool = False,
    ) -> Append:
        prevIndex = progress.next - 1
        member = self._configuration.member(replicaId)
        append = Append(
            self._group,
            self._replicaId,
            replicaId,
            self._term,
            prevIndex,
            prevTerm,
            self._log.commit,
            entries,
            member is not None and not member.voter,
            isNews,
        )
        lastIndex = entries[-1].index if entries else prevIndex
        progress.sent(lastIndex, sum(len(entry.data) for entry in entries))
        progress.commitSent = self._log.commit
        return append
