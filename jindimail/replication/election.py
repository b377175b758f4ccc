"""
Who leads: terms, votes, and the change of roles (dissertation §3.4, §4.2.3, §9.6).

The half of the Raft machine that decides who leads; `raft.Raft` is the other, which replicates. A follower that hears no leader asks whether it
could win (`PRECANDIDATE`), then, in a new term, for votes (`CANDIDATE`); with a majority it leads. Its own vote counts once it is
durable, which `Raft.persisted` says.
"""

from __future__ import annotations

from collections.abc import Callable

from jindimail.replication.configuration import decodeConfiguration
from jindimail.replication.entries import CONFIGURATION, EMPTY, Entry, Snapshot
from jindimail.replication.history import ConfigurationHistory
from jindimail.replication.leadership import Leadership
from jindimail.replication.log import Log
from jindimail.replication.messages import (
    Append,
    Appended,
    AskRead,
    Ballot,
    Beat,
    Campaign,
    Install,
    Message,
    Removed,
    TransferNow,
)
from jindimail.replication.outputs import HardState, Role, Settings
from jindimail.replication.quorum import Verdict, verdictOf

STAND_VOTERS_MAX = 3


class Elector:
    """
    One replica of one group, as a voter and as a candidate.

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
        self.leader = self._lastLeader = 0
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

    # --- time

    def tick(self, *, counts: bool = True) -> None:
        """
        One tick of the driver's clock passed.

        @param counts: towards timeouts, and not only as a moment to say something again: who is late is waited for longer.
        """
        if self.leadership is not None:
            if not self.leadership.tick(counts=counts):
                self._follow(self.term, 0)
            elif self._isWitness and not self.leadership.transferee:
                self.leadership.beginTransfer(self.leadership.successor())
            return
        self._electionElapsed += counts
        if counts and self._electionElapsed >= self._electionTimeout:
            if self.mayCampaign:
                self.campaign()
            else:
                self._askWhetherRemoved()

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

    def _askWhetherRemoved(self) -> None:
        """
        A learner that hears nobody was removed perhaps, of which nobody tells it unasked. It has no leader now: where its
        promotion is not committed yet, its vote may be the one that is needed.

        The voters that its log knows may be those of long ago, if it was removed while it was being told, or it may know none: who led it last is
        asked, too, and, of whatever replica of the group (0) they have, all other nodes.
        """
        self._electionElapsed = 0
        self.leader = 0
        self._drawTimeout()
        if self.isRemoved or self.installing is not None:
            return
        for voter in {*self._voters, self._lastLeader, 0} - {self.replicaId}:
            self._after.append(AskRead(self.group, self.replicaId, voter, self.term, 0))

    def leaderSilent(self) -> None:
        """The leader's node has been silent for an election timeout: votes may be given again (quiet groups)."""
        if self.leadership is None:
            self.leader = 0

    def leaderAlive(self) -> None:
        """The leader's node has vouched for the leader (quiet groups)."""
        if self.leader:
            self._electionElapsed = 0

    # --- votes

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
        if free and not granted and message.pre and not self._hearsLeader:
            self._standInstead()

    def _standInstead(self) -> None:
        """
        Whoever asked lacks entries that stand here; it need not be waited for that this replica, too, finds no leader (docs/adr/0051).

        Not where several would stand at the same instant, each for itself.
        """
        if self.role is Role.FOLLOWER and not self._isWitness and len(self._voters) <= STAND_VOTERS_MAX:
            self.campaign()

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

    def _stepTransferNow(self, message: TransferNow) -> None:
        if self.leadership is None:
            self.campaign(pre=False, transfer=True)

    @property
    def _hearsLeader(self) -> bool:
        if self.leadership is not None:
            return True
        return self.leader != 0 and self._electionElapsed < self._settings.electionTicks

    # --- terms

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

    def _hear(self, leader: int) -> None:
        assert self.leadership is None, "two leaders in one term"
        self._electionElapsed = 0
        self.leader = self._lastLeader = leader
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
            history=self.history,
        )
        self._append(Entry(self.log.lastIndex + 1, self.term, EMPTY, b""))

    # --- tombstones

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

    # --- inside

    def _reply(self, message: Message) -> None:
        self._after.append(message)

    def _append(self, entry: Entry) -> None:
        self.log.append(entry)
        if entry.kind == CONFIGURATION:
            self.history.add(entry.index, decodeConfiguration(entry.data))
            self._configured()
        if self.leadership is not None:
            self.leadership.hasten(entry.index)

    def _configured(self) -> None:
        configuration = self.configuration = self.history.latest
        own = configuration.member(self.replicaId)
        self._voters = configuration.voters()
        self._isVoter = own is not None and own.voter
        self._isWitness = own is not None and own.witness
        self._isSole = self._voters == (self.replicaId,)
        self._memoryOctets = self._settings.memoryOctetsMax if len(configuration.members) > 1 else 0
        if self.leadership is not None:
            self.leadership.configure(self.history)

    def _drawTimeout(self) -> None:
        ticks = self._settings.electionTicks
        self._electionTimeout = self._draw(ticks, 2 * ticks - 1) + (ticks if self._isWitness else 0)
