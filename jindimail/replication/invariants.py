"""
What must hold in every state of a group, whatever is lost, delayed, repeated or restarted (paper, figure 3).

Pure. One `Invariants` watches all replicas of one group: tests and simulations show it each replica after each step, each
batch that became durable, each message as it leaves, each entry as it is applied. It remembers what it saw, and raises
`InvariantBroken` with the name of the rule:

====================  ======================================================================================
electionSafety        at most one leader a term
leaderAppendOnly      a leader never cuts or changes its log
logMatching           a place (index, term) holds one entry and one predecessor, in all logs for ever
leaderCompleteness    a leader has every entry that was committed before its term
stateMachineSafety    an index is applied with one entry, in order, by all replicas for ever
quorumDurability      what becomes committed is durable on a majority of the voters in force
oneVoteATerm          a replica votes for one candidate a term, over all its restarts
ownTermCommit         a leader commits by counting only an entry of its own term, and what stands before it
honestAcknowledgement  what a replica acknowledges agrees with the leader's log
durableBeforeHeard    no message tells a term, vote or acknowledgement that is not durable
monotony              term, commit and applied index never fall, over all restarts of what is durable
boundaries            base <= applied <= commit <= last, persisted <= last
neighbours            successive configurations differ in at most one voter; no id comes back
====================  ======================================================================================
"""

from __future__ import annotations

from typing import Protocol

from jindimail.replication.configuration import Configuration, decodeConfiguration
from jindimail.replication.entries import CONFIGURATION, Entry
from jindimail.replication.messages import Appended, Ballot, Message
from jindimail.replication.outputs import HardState, Role
from jindimail.replication.quorum import majority
from jindimail.replication.raft import Raft


class InvariantBroken(AssertionError):
    """A rule does not hold."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


class IDurable(Protocol):
    """What of a replica would survive a crash at this moment."""

    hard: HardState
    applied: int

    def term(self, index: int) -> int | None:
        """The term of a durable place (the base is one); None: it is not durable. All up to `applied` is."""
        ...


class Invariants:
    """Watches the replicas of one group."""

    def __init__(self) -> None:
        self._leaders: dict[int, int] = {}  # term: replica id
        self._entries: dict[
            tuple[int, int], tuple[int, Entry]
        ] = {}  # (index, term): predecessor's term, entry
        self._committed: dict[int, tuple[int, int]] = {}  # index: term, and the leader's that committed it
        self._committedLast = 0
        self._applied: dict[int, Entry] = {}
        self._votes: dict[tuple[int, int], int] = {}  # (replica, term): candidate
        self._known: dict[int, dict[int, int]] = {}  # replica: index: term, as checked
        self._knownLast: dict[int, int] = {}  # replica: nothing is known behind this
        self._agreed: dict[int, int] = {}  # replica: up to here its log was compared with what is committed
        self._led: dict[int, tuple[int, int, int]] = {}  # replica: term that it leads, last index, commit
        self._terms: dict[int, int] = {}
        self._durable: dict[int, IDurable] = {}
        self._appliedBy: dict[int, int] = {}

    def observe(self, raft: Raft, durable: IDurable) -> None:
        """A replica after a step."""
        self._durable[raft.replicaId] = durable
        self._checkBoundaries(raft)
        self._checkLog(raft)
        self._checkLeader(raft)
        self._checkCommit(raft)

    def persisted(self, replicaId: int, durable: IDurable) -> None:
        """A batch of a replica became durable, or it restarts from what is."""
        self._durable[replicaId] = durable
        hard = durable.hard
        self._require("monotony", hard.term >= self._terms.get(replicaId, 0), replicaId, "durable term fell")
        self._terms[replicaId] = hard.term
        if hard.vote:
            self._recordVote(replicaId, hard.term, hard.vote)

    def sent(self, message: Message) -> None:
        """A message is about to leave."""
        durable = self._durable[message.sender]
        hard = durable.hard
        if message.term > hard.term and not getattr(message, "pre", False):  # a pre-vote promises nothing
            raise InvariantBroken("durableBeforeHeard", f"replica {message.sender}: term of {message}")
        if isinstance(message, Ballot) and message.granted and not message.pre:
            self._recordVote(message.sender, message.term, message.recipient)
            kept = hard.term > message.term or hard.vote == message.recipient
            self._require("durableBeforeHeard", kept, message.sender, "vote")
        elif isinstance(message, Appended) and not message.refused and hard.term == message.term:
            kept = message.index <= durable.applied or durable.term(message.index) is not None
            self._require("durableBeforeHeard", kept, message.sender, f"acknowledged {message.index}")
            self._checkAgreement(message, durable)

    def applied(self, replicaId: int, entry: Entry) -> None:
        """A replica applies an entry; what a crash undid may be applied again."""
        known = self._applied.setdefault(entry.index, entry)
        self._require("stateMachineSafety", known == entry, replicaId, f"{known} and {entry}")
        last = self._appliedBy.get(replicaId, 0)
        self._require("stateMachineSafety", entry.index <= last + 1, replicaId, f"gap before {entry.index}")
        self._appliedBy[replicaId] = entry.index

    def installed(self, replicaId: int, index: int) -> None:
        """A replica's state is now a snapshot's, or what was durable when it restarted."""
        self._appliedBy[replicaId] = index
        self._known.pop(replicaId, None)
        self._agreed.pop(replicaId, None)
        self._led.pop(replicaId, None)

    # --- the rules

    def _checkBoundaries(self, raft: Raft) -> None:
        log = raft.log
        holds = log.baseIndex <= log.commit <= log.lastIndex and log.persisted <= log.lastIndex
        sole = raft.isSoleVoter and raft.role is Role.LEADER
        holds = (
            holds
            and log.baseIndex <= raft.applying
            and (sole or raft.applying <= max(log.commit, raft.applying))
        )
        self._require("boundaries", holds, raft.replicaId, f"{log.baseIndex} {log.commit} {log.lastIndex}")

    def _isUnheard(self, raft: Raft) -> bool:
        """Whether it leads in a term that nobody can have heard of, as a sole voter may: a crash or a full disk undoes it."""
        return raft.role is Role.LEADER and raft.term > self._durable[raft.replicaId].hard.term

    def _checkLog(self, raft: Raft) -> None:
        log = raft.log
        if self._isUnheard(raft):
            return
        known = self._known.setdefault(raft.replicaId, {})
        index = log.lastIndex
        for stale in range(index + 1, self._knownLast.get(raft.replicaId, index) + 1):
            known.pop(stale, None)
        self._knownLast[raft.replicaId] = index
        while index > log.baseIndex:
            term = log.term(index) or 0
            if known.get(index) == term:
                break
            self._checkPlace(raft, index, term)
            known[index] = term
            index -= 1

    def _checkPlace(self, raft: Raft, index: int, term: int) -> None:
        predecessor = raft.log.term(index - 1) or 0
        try:
            entry = raft.log.between(index, index + 1)[0]
        except AssertionError:
            return  # applied and no longer in memory: it was seen when it came
        first = self._entries.setdefault((index, term), (predecessor, entry))
        self._require(
            "logMatching", first == (predecessor, entry), raft.replicaId, f"place {index}, term {term}"
        )
        if entry.kind == CONFIGURATION:
            self._checkConfiguration(raft, index, decodeConfiguration(entry.data))

    def _checkConfiguration(self, raft: Raft, index: int, configuration: Configuration) -> None:
        before = raft.history.at(index - 1)[1]
        if before.members:
            holds = configuration.isStepFrom(before)
            self._require("neighbours", holds, raft.replicaId, f"{before} then {configuration}")

    def _checkLeader(self, raft: Raft) -> None:
        replicaId = raft.replicaId
        if raft.role is not Role.LEADER or self._isUnheard(raft):
            self._led.pop(replicaId, None)
            return
        leader = self._leaders.setdefault(raft.term, replicaId)
        self._require(
            "electionSafety", leader == replicaId, replicaId, f"term {raft.term} has leader {leader}"
        )
        term, last, commit = self._led.get(replicaId, (0, 0, raft.log.commit))
        if term == raft.term:
            self._require("leaderAppendOnly", raft.log.lastIndex >= last, replicaId, f"cut behind {last}")
            own = raft.log.commit == commit or raft.log.term(raft.log.commit) == raft.term
            self._require("ownTermCommit", own, replicaId, f"committed {raft.log.commit} in term {raft.term}")
        else:
            self._checkCompleteness(raft)
        self._led[replicaId] = raft.term, raft.log.lastIndex, raft.log.commit

    def _checkAgreement(self, message: Appended, durable: IDurable) -> None:
        led = self._led.get(message.recipient)
        if led is None or led[0] != message.term:
            return
        wanted = self._known.get(message.recipient, {}).get(message.index)
        has = durable.term(message.index)
        holds = wanted is None or has is None or wanted == has
        self._require("honestAcknowledgement", holds, message.sender, f"{message.index}: {has}, not {wanted}")

    def _checkCompleteness(self, raft: Raft) -> None:
        for index in range(self._committedLast, raft.log.baseIndex, -1):
            has = raft.log.term(index)
            # A candidate whose last ballot comes late leads a term that is over: it need not have what was committed since.
            wanted, committedIn = self._committed.get(index, (None, 0))
            if wanted is not None and committedIn < raft.term:
                self._require(
                    "leaderCompleteness", has == wanted, raft.replicaId, f"entry {index}: {has}, not {wanted}"
                )

    def _checkCommit(self, raft: Raft) -> None:
        log = raft.log
        for index in range(max(self._committedLast, log.baseIndex) + 1, log.commit + 1):
            term = log.term(index) or 0
            self._committed[index] = term, raft.term  # the leader is the first to know
            self._committedLast = index
        if log.commit == self._committedLast and raft.role is Role.LEADER and raft.isReadable:
            self._checkQuorum(raft)
        # Where the last place agrees, all before it do (logMatching, and they were compared when they became committed).
        agreed = min(self._agreed.get(raft.replicaId, 0), log.commit - 1)
        for index in range(max(log.baseIndex, agreed) + 1, log.commit + 1):
            wanted, _ = self._committed.get(index, (None, 0))
            holds = wanted is None or log.term(index) == wanted
            self._require("stateMachineSafety", holds, raft.replicaId, f"committed {index} with two terms")
        self._agreed[raft.replicaId] = log.commit

    def _checkQuorum(self, raft: Raft) -> None:
        index = raft.log.commit
        term = raft.log.term(index)
        voters = raft.configuration.voters()
        if raft.history.latestIndex > index:
            # The change is not committed yet, and the index may have been committed under the configuration before it.
            return
        durable = [self._durable.get(voter) for voter in voters]
        holding = sum(
            1 for each in durable if each is not None and (each.applied >= index or each.term(index) == term)
        )
        self._require(
            "quorumDurability", holding >= majority(len(voters)), raft.replicaId, f"{index} on {holding}"
        )

    def _recordVote(self, replicaId: int, term: int, candidate: int) -> None:
        known = self._votes.setdefault((replicaId, term), candidate)
        self._require("oneVoteATerm", known == candidate, replicaId, f"term {term}: {known} and {candidate}")

    def _require(self, name: str, holds: bool, replicaId: int, text: str) -> None:
        if not holds:
            raise InvariantBroken(name, f"replica {replicaId}: {text}")
