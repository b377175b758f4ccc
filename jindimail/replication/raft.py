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
from jindimail.replication.entries import CONFIGURATION, EMPTY, NORMAL, Entry, Snapshot
from jindimail.replication.history import ConfigurationHistory
from jindimail.replication.leadership import Leadership
from jindimail.replication.log import Log
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
from jindimail.replication.outputs import HardState, Mark, Outputs, Role, Settings
from jindimail.replication.quorum import Verdict, verdictOf


class NotLeader(Unavailable):
    """This replica does not lead, or is about to hand over; `leader` may (0: not known)."""

    def __init__(self, leader: int = 0) -> None:
        super().__init__(f"not the leader, which may be {leader}")
        self.leader = leader


class TooManyProposals(Unavailable):
    """More proposals are uncommitted than the bound allows."""


class NotPossible(Refusal):
    """A request that makes no sense in the replica's present state."""


class Raft:
    """
    One replica of one group.

    @ivar term, vote: what the hard state will be once all batches are durable.
    @ivar leader: the replica id of the term's leader; 0: not known.
    @ivar applying: everything up to here has been handed out to be applied.
    @ivar isRemoved: another replica said that this one's id is a tombstone; it does nothing any more.
    """

    def __init__(
        self,
        *,
        group: int,
        replicaId: int,
        hard: HardState,
        log: Log,
        history: ConfigurationHistory,
        draw: Callable[[int, int], int],
        settings: Settings | None = None,
    ) -> None:
        """
        A replica as the store has it; `log.commit` is its applied index.

        @param draw: gives an integer between its arguments, both included.
        """
        self.group = group
        self.replicaId = replicaId
        self.term = hard.term
        self.vote = hard.vote
        self.log = log
        self.history = history
        self.role = Role.FOLLOWER
        self.leader = 0
        self.leadership: Leadership | None = None
        self.applying = log.commit
        self.isRemoved = False
        self.installing: Snapshot | None = None
        self._settings = settings or Settings()
        self._draw = draw
        self._handedHard = hard
        self._durableTerm = hard.term
        self._electionElapsed = 0
        self._electionTimeout = 0
        self._ballots: dict[int, bool] = {}
        self._now: list[Message] = []
        self._after: list[Message] = []
        self._reads: list[tuple[int, int]] = []
        self._install: Snapshot | None = None
        self._configured()
        self._drawTimeout()

    # --- what it is

    @property
    def configuration(self) -> Configuration:
        """The configuration in force."""
        return self.history.latest

    @property
    def mayCampaign(self) -> bool:
        """
        Whether this replica may stand for election: a voter, complete, not removed.

        One that is a voter no more by a change that is not committed yet may, too: it may be the only one that has
        the entry of that change, without which nobody could be elected (dissertation §4.2.2).
        """
        if self.isRemoved or self.installing is not None:
            return False
        return self._isVoter or self.replicaId in self.history.at(self.log.commit)[1].voters()

    @property
    def isSoleVoter(self) -> bool:
        """Whether this replica alone is the majority: what is durable here is committed."""
        return self._isSole

    @property
    def isReadable(self) -> bool:
        """Whether it leads and an entry of its own term is committed."""
        return self.leadership is not None and self.log.term(self.log.commit) == self.term

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

    def propose(self, data: bytes) -> int:
        """
        Append an entry; its index. It is committed if this index is ever applied with the present term.

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
            match = leadership.progress[replicaId].match if replicaId in leadership.progress else 0
            if not match or self.log.commit - match > self._settings.promotionLagMax:
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

    def leaderSilent(self) -> None:
        """The leader's node has been silent for an election timeout: votes may be given again (quiet groups)."""
        if self.leadership is None:
            self.leader = 0

    def leaderAlive(self) -> None:
        """The leader's node has vouched for the leader (quiet groups)."""
        if self.leader:
            self._electionElapsed = 0

    # --- time

    def tick(self) -> None:
        """One tick of the driver's clock passed."""
        if self.leadership is not None:
            if not self.leadership.tick():
                self._follow(self.term, 0)
            elif self._isWitness and not self.leadership.transferee:
                self.leadership.beginTransfer(self.leadership.successor())
            return
        self._electionElapsed += 1
        if self._electionElapsed >= self._electionTimeout:
            if self.mayCampaign:
                self.campaign()
            else:
                self._askWhetherRemoved()

    def _askWhetherRemoved(self) -> None:
        """
        A learner that hears nobody was removed perhaps, of which nobody tells it unasked. It has no leader now: where its
        promotion is not committed yet, its vote may be the one that is needed.
        """
        self._electionElapsed = 0
        self.leader = 0
        self._drawTimeout()
        for voter in self._voters:
            if voter != self.replicaId and not self.isRemoved and self.installing is None:
                self._after.append(AskRead(self.group, self.replicaId, voter, self.term, 0))

    def campaign(self, *, pre: bool = True, transfer: bool = False) -> None:
        """
        Stand for election: ask first whether it could be won (`pre`), then in a new term.

        A sole voter leads at once; nothing of that leaves before it is durable.
        """
        if not self.mayCampaign or self.leadership is not None:
            return
        pre = pre and not self._isSole
        self._electionElapsed = 0
        self._drawTimeout()
        self._ballots = {}
        self.leader = 0
        if pre:
            self.role = Role.PRECANDIDATE
            self._ballots[self.replicaId] = True
        else:
            self.role = Role.CANDIDATE
            self.term += 1
            self.vote = self.replicaId
        if self._isSole:
            self._lead()
            return
        term = self.term + 1 if pre else self.term
        log = self.log
        for voter in self._voters:
            if voter != self.replicaId:
                self._after.append(
                    Campaign(
                        self.group,
                        self.replicaId,
                        voter,
                        term,
                        log.lastIndex,
                        log.lastTerm,
                        pre,
                        transfer,
                    )
                )

    # --- messages

    def step(self, message: Message) -> None:
        """Take a message, which must be for this group and replica."""
        assert message.group == self.group and message.recipient == self.replicaId
        if self.isRemoved or self.installing is not None:
            return
        if self.tellRemoved(message):
            return
        if message.term > self.term:
            if not self._takeHigherTerm(message):
                return
        elif message.term < self.term:
            self._answerLowerTerm(message)
            return
        self._steps[type(message)](self, message)

    def tellRemoved(self, message: Message) -> bool:
        """
        Whether a campaign or a question comes from a tombstone, which is told so then.

        It may be meant for another replica: all that a tombstone knows of may have been replaced.
        """
        if not (isinstance(message, Campaign | AskRead) and self._isTombstone(message.sender)):
            return False
        self._reply(Removed(self.group, self.replicaId, message.sender, self.term))
        return True

    def _isTombstone(self, replicaId: int) -> bool:
        return self.history.at(self.log.commit)[1].isRemoved(replicaId)

    def _takeHigherTerm(self, message: Message) -> bool:
        """Adopt a later term, where the message calls for it; whether to go on with the message."""
        if isinstance(message, Campaign):
            if self._hearsLeader and not message.transfer:
                return False  # a leader is alive here: the campaign is a disruption (dissertation §4.2.3)
            if message.pre:
                return True
        if isinstance(message, Ballot) and message.pre and message.granted:
            return True
        isLeaders = isinstance(message, Append | Beat | Install)
        self._follow(message.term, message.sender if isLeaders else 0)
        return True

    def _answerLowerTerm(self, message: Message) -> None:
        if isinstance(message, Append | Beat | Install):
            # A leader of an earlier term, or one whom this replica left alone in a later term: tell it.
            self._reply(Appended(self.group, self.replicaId, message.sender, self.term, 0))
        elif isinstance(message, Campaign) and message.pre:
            self._reply(Ballot(self.group, self.replicaId, message.sender, self.term, True, False))

    @property
    def _hearsLeader(self) -> bool:
        if self.leadership is not None:
            return True
        return self.leader != 0 and self._electionElapsed < self._settings.electionTicks

    def _stepCampaign(self, message: Campaign) -> None:
        free = (
            self.vote == message.sender
            or (self.vote == 0 and self.leader == 0)
            or (message.pre and message.term > self.term)
        )
        granted = free and self.log.isUpToDate(message.lastIndex, message.lastTerm)
        term = message.term if granted else self.term
        if granted and not message.pre:
            self.vote = message.sender
            self._electionElapsed = 0
        self._reply(Ballot(self.group, self.replicaId, message.sender, term, message.pre, granted))

    def _stepBallot(self, message: Ballot) -> None:
        awaited = Role.PRECANDIDATE if message.pre else Role.CANDIDATE
        if self.role is not awaited:
            return
        if message.pre and message.granted and message.term != self.term + 1:
            return  # the answer to an earlier question
        self._ballots.setdefault(message.sender, message.granted)
        self._countBallots()

    def _countBallots(self) -> None:
        verdict = verdictOf(self._voters, self._ballots)
        if verdict is Verdict.WON and self.role is Role.PRECANDIDATE:
            self.campaign(pre=False)
        elif verdict is Verdict.WON:
            self._lead()
        elif verdict is Verdict.LOST:
            self._follow(self.term, 0)

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

    def _stepTransferNow(self, message: TransferNow) -> None:
        if self.leadership is None:
            self.campaign(pre=False, transfer=True)

    def _stepAskRead(self, message: AskRead) -> None:
        if self.leadership is not None:
            self.leadership.reads.add(message.context, message.sender)
            self._confirmReads()

    def _stepTellRead(self, message: TellRead) -> None:
        if message.context:  # 0: nobody waits, see `_askWhetherRemoved`
            self._reads.append((message.context, message.index))

    def _stepRemoved(self, message: Removed) -> None:
        self.isRemoved = True

    _steps: dict[type[Message], Callable[..., None]] = {
        Campaign: _stepCampaign,
        Ballot: _stepBallot,
        Append: _stepAppend,
        Appended: _stepAppended,
        Beat: _stepBeat,
        Beaten: _stepBeaten,
        Install: _stepInstall,
        TransferNow: _stepTransferNow,
        AskRead: _stepAskRead,
        TellRead: _stepTellRead,
        Removed: _stepRemoved,
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

    def onlyApplies(self) -> bool:
        """Whether all that `outputs` would hold is entries to apply, of a follower: that may wait for company."""
        return (
            self.leadership is None
            and self.applying < self.log.commit
            and not (self._now or self._after or self._reads or self._install or self.log.hasUnhanded())
            and self._handedHard.term == self.term
            and self._handedHard.vote == self.vote
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

    def _reply(self, message: Message) -> None:
        self._after.append(message)

    def _acknowledge(self, leader: int, index: int) -> None:
        self._reply(Appended(self.group, self.replicaId, leader, self.term, index))

    def _hear(self, leader: int) -> None:
        assert self.leadership is None, "two leaders in one term"
        self._electionElapsed = 0
        self.leader = leader
        self.role = Role.FOLLOWER

    def _follow(self, term: int, leader: int) -> None:
        if term != self.term:
            assert term > self.term, "a term never falls"
            self.term = term
            self.vote = 0
        self.role = Role.FOLLOWER
        self.leader = leader
        self.leadership = None
        self._ballots = {}
        self._electionElapsed = 0
        self._drawTimeout()

    def _lead(self) -> None:
        self.role = Role.LEADER
        self.leader = self.replicaId
        self._electionElapsed = 0
        self.leadership = Leadership(
            group=self.group,
            replicaId=self.replicaId,
            term=self.term,
            log=self.log,
            settings=self._settings,
            configuration=self.configuration,
        )
        self._append(Entry(self.log.lastIndex + 1, self.term, EMPTY, b""))

    def _append(self, entry: Entry) -> None:
        self.log.append(entry)
        if entry.kind == CONFIGURATION:
            self.history.add(entry.index, decodeConfiguration(entry.data))
            self._configured()

    def _configured(self) -> None:
        configuration = self.configuration
        own = configuration.member(self.replicaId)
        self._voters = configuration.voters()
        self._isVoter = own is not None and own.voter
        self._isWitness = own is not None and own.witness
        self._isSole = self._voters == (self.replicaId,)
        self._memoryOctets = self._settings.memoryOctetsMax if len(configuration.members) > 1 else 0
        if self.leadership is not None:
            self.leadership.configure(configuration)

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

    def _drawTimeout(self) -> None:
        ticks = self._settings.electionTicks
        self._electionTimeout = self._draw(ticks, 2 * ticks - 1) + (ticks if self._isWitness else 0)
