"""
The Raft machine of one replica (Ongaro's dissertation; shaped after etcd's raft).

Theory of operation. The machine has no clock, no chance, no disk and no network. It takes messages (`step`), ticks
(`tick`) and requests (`propose`, `read`, ...), changes its own memory, and collects what must follow in a batch
(`outputs`): what to make durable, what to send at once, what to send only when that is durable, what to apply. Batches may be
taken while earlier ones are still being written; the store writes them in order, and `persisted` tells the machine when one
is durable. The rules that safety hangs on:

- A term, a vote and an acknowledgement leave only in `after`: they are durable before anyone can hear of them.
- A replica counts its own vote and its own copy of an entry only in `persisted`.
- Only entries of the leader's own term are committed by counting (§3.6.2); those before them follow.
- The configuration in force is the last in the log; a leader begins no change before the last is committed and an entry
  of its own term is.
- A leader answers no read before an entry of its own term is committed, and none without a majority's confirmation.

The sole voter of a group has its entries in `apply` of the very batch that persists them, since being durable is being
committed; one transaction holds log row and applied rows.

A quiet group is not ticked: its driver vouches for the leader's node instead (`leaderSilent` takes that back).
"""

from __future__ import annotations

from collections.abc import Callable

from jindimail.errors import Refusal, Unavailable
from jindimail.replication.configuration import (
    ChangeRefused,
    Configuration,
    decodeConfiguration,
    encodeConfiguration,
)
from jindimail.replication.election import Elector
from jindimail.replication.entries import CONFIGURATION, NORMAL, Entry, Snapshot
from jindimail.replication.history import ConfigurationHistory
from jindimail.replication.messages import (
    Append,
    Appended,
    AskRead,
    Ballot,
    Beat,
    Beaten,
    Campaign,
    Install,
    Message,
    Removed,
    TellRead,
    TransferNow,
)
from jindimail.replication.outputs import HardState, Mark, Outputs, Role


class NotLeader(Unavailable):
    """This replica does not lead, or is about to hand over; `leader` may (0: not known)."""

    def __init__(self, leader: int = 0) -> None:
        super().__init__(f"not the leader, which may be {leader}")
        self.leader = leader


class TooManyProposals(Unavailable):
    """More proposals are uncommitted than the bound allows."""


class NotPossible(Refusal):
    """A request that makes no sense in the replica's present state."""


class Raft(Elector):
    """One replica of one group: what it replicates, on top of who leads."""

    # --- what it is

    def isSettled(self, absent: frozenset[int] = frozenset()) -> bool:
        """Whether it leads and everyone but the absent has everything, so that the group may be quiet."""
        return self.leadership is not None and self.isReadable and self.leadership.isSettled(absent)

    @property
    def isBuried(self) -> bool:
        """Whether this replica's id is a tombstone, by a configuration that it has been told to apply or by another's word."""
        return self.isRemoved or self.history.at(self.applying)[1].isRemoved(self.replicaId)

    def leastMatch(self) -> int:
        """Up to where all members have the log, as far as this replica knows; what it leads not, it does not hold back."""
        if self.leadership is None or not self.leadership.progress:
            return self.log.lastIndex
        return min(progress.match for progress in self.leadership.progress.values())

    # --- requests

    def propose(self, data: bytes, *, mayLag: bool = False) -> int:
        """
        Append an entry; its index. It is committed if this index is ever applied with the present term.

        @param mayLag: others than a majority, and news of its commit, may have to wait until what is held back is spread.

        @raise NotLeader, TooManyProposals: nothing was appended.
        """
        leadership = self.leadership
        if leadership is None or leadership.transferee or self._isWitness:
            raise NotLeader(0 if leadership is not None else self.leader)
        log = self.log
        if log.lastIndex - log.commit >= self._settings.uncommittedEntriesMax:
            raise TooManyProposals
        index = log.lastIndex + 1
        log.append(Entry(index, self.term, NORMAL, data))
        if not mayLag:
            leadership.hasten(index)
        return index

    def proposeConfiguration(self, configuration: Configuration) -> int:
        """
        Append a configuration one step from the present one; its index. It is in force at once.

        @raise NotLeader: nothing was appended.
        @raise ChangeRefused: the last change is not committed, none may begin yet, a learner lags, or it is no step.
        """
        leadership = self.leadership
        if leadership is None or leadership.transferee:
            raise NotLeader(self.leader)
        if not self.isReadable or self.history.latestIndex > self.log.commit:
            raise ChangeRefused("an earlier change or the term's first entry is not committed")
        if not configuration.isStepFrom(self.configuration):
            raise ChangeRefused("more than one voter would change, or an id would come back")
        for replicaId in set(configuration.voters()) - set(self.configuration.voters()):
            progress = leadership.progress.get(replicaId)
            if progress is None or not progress.isNear(self.log.commit, self._settings.promotionLagMax):
                raise ChangeRefused("the learner is not there yet, or not caught up")
        index = self.log.lastIndex + 1
        self._append(Entry(index, self.term, CONFIGURATION, encodeConfiguration(configuration)))
        return index

    def read(self, context: int) -> None:
        """
        Ask for a read index; it comes in `Outputs.reads` under this context, unless leader or term change or a message is lost.

        @raise NotLeader: there is nobody to ask.
        """
        if self.leadership is not None:
            self.leadership.reads.add(context, self.replicaId)
            self._confirmReads()
        elif self.leader:
            self._now.append(AskRead(self.group, self.replicaId, self.leader, self.term, context))
        else:
            raise NotLeader

    def transfer(self, replicaId: int) -> None:
        """
        Hand the leadership over to another voter; proposals are refused meanwhile (dissertation §3.10).

        @raise NotPossible: this replica does not lead, or the other is no voter.
        """
        if self.leadership is None or replicaId not in self.leadership.progress:
            raise NotPossible("not the leader, or no such member")
        if replicaId not in self.leadership.voters:
            raise NotPossible("a learner cannot lead")
        self.leadership.beginTransfer(replicaId)

    def unreachable(self, replicaId: int) -> None:
        """What was sent to a replica may be lost: look anew for the place of agreement."""
        progress = self.leadership.progress.get(replicaId) if self.leadership else None
        if progress is not None:
            progress.unreachable()

    def snapshotFailed(self, replicaId: int) -> None:
        """The snapshot did not arrive; if it is still needed, it will be asked for again."""
        progress = self.leadership.progress.get(replicaId) if self.leadership else None
        if progress is not None:
            progress.toProbe()

    # --- messages

    def step(self, message: Message) -> None:
        """Take a message, which must be for this group and replica."""
        assert message.group == self.group and message.recipient == self.replicaId
        if self.isRemoved or self.installing is not None:
            return
        if self.tellRemoved(message):
            return
        if isinstance(message, Removed):  # in whatever term: it is committed
            self.isRemoved = True
            return
        if message.term > self.term:
            if not self._takeHigherTerm(message):
                return
        elif message.term < self.term:
            self._answerLowerTerm(message)
            return
        self._steps[type(message)](self, message)

    def _stepAppend(self, message: Append) -> None:
        self._hear(message.sender)
        log = self.log
        if message.prevIndex < log.commit:
            self._acknowledge(message.sender, log.commit)
            return
        if log.term(message.prevIndex) != message.prevTerm:
            hint = log.agreeableIndex(message.prevIndex, message.prevTerm)
            hintTerm = log.term(hint) or 0
            self._reply(
                Appended(
                    self.group,
                    self.replicaId,
                    message.sender,
                    self.term,
                    message.prevIndex,
                    True,
                    hint,
                    hintTerm,
                )
            )
            return
        self._merge(message.entries)
        agreed = message.prevIndex + len(message.entries)
        log.commitTo(min(message.commit, agreed))
        if not message.isNews:
            self._acknowledge(message.sender, agreed)

    def _merge(self, entries: list[Entry]) -> None:
        known = self.log.lastIndex
        cut = self.log.merge(entries)
        changed = self.history.cut(cut) if cut else False
        for entry in entries:
            if entry.kind == CONFIGURATION and entry.index > (cut - 1 if cut else known):
                self.history.add(entry.index, decodeConfiguration(entry.data))
                changed = True
        if changed:
            self._configured()

    def _stepAppended(self, message: Appended) -> None:
        if self.leadership is not None and self.leadership.appended(message):
            self._commitByCounting()

    def _stepBeat(self, message: Beat) -> None:
        self._hear(message.sender)
        if (
            message.commit <= self.log.lastIndex
        ):  # or else this replica was made blank, and the leader will find out
            self.log.commitTo(message.commit)
        self._reply(Beaten(self.group, self.replicaId, message.sender, self.term, message.round))

    def _stepBeaten(self, message: Beaten) -> None:
        if self.leadership is not None:
            self.leadership.beaten(message.sender, message.round)
            self._confirmReads()

    def _stepInstall(self, message: Install) -> None:
        self._hear(message.sender)
        snapshot, log = message.snapshot, self.log
        if snapshot.index <= log.commit:
            self._acknowledge(message.sender, log.commit)
        elif log.term(snapshot.index) == snapshot.term:
            log.commitTo(snapshot.index)
            self._acknowledge(message.sender, snapshot.index)
        else:
            self.installing = self._install = snapshot

    def _stepAskRead(self, message: AskRead) -> None:
        if self.leadership is not None:
            self.leadership.reads.add(message.context, message.sender)
            self._confirmReads()

    def _stepTellRead(self, message: TellRead) -> None:
        if message.context:  # 0: nobody waits, see `_askWhetherRemoved`
            self._reads.append((message.context, message.index))

    _steps: dict[type[Message], Callable[..., None]] = {
        Campaign: Elector._stepCampaign,
        Ballot: Elector._stepBallot,
        Append: _stepAppend,
        Appended: _stepAppended,
        Beat: _stepBeat,
        Beaten: _stepBeaten,
        Install: _stepInstall,
        TransferNow: Elector._stepTransferNow,
        AskRead: _stepAskRead,
        TellRead: _stepTellRead,
    }

    # --- outputs

    def hasOutputs(self) -> bool:
        """Whether `outputs` would hold anything."""
        leadership = self.leadership
        return bool(
            self.log.hasUnhanded()
            or self._now
            or self._after
            or self._reads
            or self._install
            or self.applying < self.log.commit
            or self._handedHard.term != self.term
            or self._handedHard.vote != self.vote
            or (leadership is not None and leadership.hasMessages(self.isReadable))
            or (leadership is not None and leadership.snapshotsWanted and self._durableTerm == self.term)
        )

    def outputs(self) -> Outputs:
        """Take what is to be done; every batch must be carried out, in order."""
        self._confirmReads()
        log = self.log
        now, after = self._now, self._after
        self._now, self._after = [], []
        snapshots: list[int] = []
        leadership = self.leadership
        if leadership is not None and leadership.progress:
            now += leadership.messages(self.isReadable)
            if self._durableTerm == self.term:
                snapshots, leadership.snapshotsWanted = leadership.snapshotsWanted, snapshots
        if now and self._durableTerm != self.term:
            now, after = [], now + after  # nobody may hear of a term that is not durable
        cut, entries = log.takeUnhanded()
        apply = self._takeApplicable()
        reads, self._reads = self._reads, []
        install, self._install = self._install, None
        outputs = Outputs(
            mark=Mark(self.term, log.lastIndex, log.lastTerm, self.applying),
            hard=self._takeHard(),
            truncateFrom=cut,
            entries=entries,
            now=now,
            after=after,
            apply=apply,
            isCommitted=self.applying <= log.commit,
            reads=reads,
            snapshots=snapshots,
            install=install,
        )
        if leadership is not None:
            self._stepDownIfRemoved()
        return outputs

    def persisted(self, mark: Mark) -> None:
        """A batch is durable, and so are all before it; `mark` is that batch's."""
        log = self.log
        log.commitTo(mark.commit)
        if mark.term != self.term:
            return
        self._durableTerm = mark.term
        log.persistedTo(mark.index, mark.indexTerm)
        if self.role is Role.CANDIDATE and self.replicaId not in self._ballots:
            self._ballots[self.replicaId] = True
            self._countBallots()
        if self.leadership is not None:
            self._commitByCounting()
        log.trim(self.applying, self._memoryOctets)

    def installed(self, snapshot: Snapshot) -> None:
        """The rows of the snapshot in `Outputs.install` are durable and complete."""
        assert self.installing == snapshot
        self.installing = None
        self.log.reset(snapshot.index, snapshot.term)
        self.history = ConfigurationHistory(snapshot.configurationIndex, snapshot.configuration)
        self.applying = snapshot.index
        self._configured()
        if self.leader:
            self._acknowledge(self.leader, snapshot.index)

    def compacted(self, index: int) -> None:
        """The store will not have the log rows up to `index` any more, all of them applied."""
        self.log.compact(index)
        self.history.forgetBefore(index)

    def _takeHard(self) -> HardState | None:
        handed = self._handedHard
        if handed.term == self.term and handed.vote == self.vote:
            return None
        self._handedHard = HardState(self.term, self.vote)
        return self._handedHard

    def _takeApplicable(self) -> list[Entry]:
        log = self.log
        until = log.lastIndex if self._isSole and self.leadership is not None else log.commit
        if until <= self.applying:
            return []
        entries = log.between(self.applying + 1, until + 1)
        self.applying = until
        return entries

    # --- inside

    def _acknowledge(self, leader: int, index: int) -> None:
        self._reply(Appended(self.group, self.replicaId, leader, self.term, index))

    def _commitByCounting(self) -> None:
        assert self.leadership is not None
        index = self.leadership.commitIndex()
        if index > self.log.commit and self.log.term(index) == self.term:
            self.log.commitTo(index)

    def _confirmReads(self) -> None:
        leadership = self.leadership
        if leadership is None or not leadership.reads:
            return
        if self._isSole and leadership.reads.areWaiting and self.isReadable:
            leadership.reads.begin(self.log.commit)
        for (context, replicaId), index in leadership.reads.confirmed(leadership.voters, self.replicaId):
            if replicaId == self.replicaId:
                self._reads.append((context, index))
            else:
                self._now.append(TellRead(self.group, self.replicaId, replicaId, self.term, context, index))

    def _stepDownIfRemoved(self) -> None:
        """A leader that is a voter no more leads until that is committed (§4.2.2)."""
        if not self._isVoter and self.history.latestIndex <= self.log.commit:
            self._follow(self.term, 0)
