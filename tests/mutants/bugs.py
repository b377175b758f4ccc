"""
The planted bugs. `old` must stand in the file exactly once; `checks` are what must find the bug, the first that does is named.

The rules: figure 2 of the Raft paper, the dissertation, and the sections of the design that are marked § there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bug:
    """One line that is wrong."""

    name: str
    rule: str
    path: str
    old: str
    new: str
    checks: tuple[str, ...] = ()


RAFT = "replication/raft.py"
LOG = "replication/log.py"
LEADERSHIP = "replication/leadership.py"
DRIVER = "replication/driver.py"
CONVERSATION = "replication/conversation.py"
TURN = "replication/turn.py"

BUGS = (
    # --- elections (figure 2: RequestVote)
    Bug(
        "voteTwice",
        "figure 2, RequestVote 2",
        RAFT,
        "            or (self.vote == 0 and self.leader == 0)\n",
        "            or self.leader == 0\n",
    ),
    Bug(
        "voteNotDurable",
        "figure 2, votedFor is persistent",
        RAFT,
        "if handed.term == self.term and handed.vote == self.vote:",
        "if handed.term == self.term:",
    ),
    Bug(
        "voteForAnyLog",
        "figure 2, RequestVote 2",
        RAFT,
        "granted = free and self.log.isUpToDate(message.lastIndex, message.lastTerm)",
        "granted = free",
    ),
    Bug(
        "longerLogWins",
        "paper §5.4.1",
        LOG,
        "return (lastTerm, lastIndex) >= (self.lastTerm, self.lastIndex)",
        "return (lastIndex, lastTerm) >= (self.lastIndex, self.lastTerm)",
    ),
    Bug(
        "halfIsAMajority",
        "paper §5.2",
        "replication/quorum.py",
        "return voters // 2 + 1",
        "return (voters + 1) // 2",
    ),
    Bug(
        "candidateCountsItselfBeforeItIsDurable",
        "design §5: count self after fsync",
        RAFT,
        "            self.vote = self.replicaId\n        if self._isSole:",
        "            self.vote = self.replicaId\n            self._ballots[self.replicaId] = True\n        if self._isSole:",
    ),
    Bug(
        "staleMessagesAreTaken",
        "figure 2, AppendEntries 1, RequestVote 1",
        RAFT,
        "            self._answerLowerTerm(message)\n            return\n",
        "            self._answerLowerTerm(message)\n",
    ),
    Bug(
        "termIsNotAdopted",
        "figure 2, all servers 2",
        RAFT,
        "        self._follow(message.term, message.sender if isLeaders else 0)\n        return True",
        "        if isLeaders:\n            self._follow(message.term, message.sender)\n        return isLeaders",
    ),
    Bug(
        "voteKeptIntoTheNextTerm",
        "figure 2, votedFor is of the current term",
        RAFT,
        "            self.term = term\n            self.vote = 0\n",
        "            self.term = term\n",
    ),
    Bug(
        "oldPreVotesCount",
        "dissertation §9.6",
        RAFT,
        "if message.pre and message.granted and message.term != self.term + 1:",
        "if False:",
    ),
    Bug(
        "campaignsDisruptALeader",
        "dissertation §4.2.3",
        RAFT,
        "if self._hearsLeader and not message.transfer:",
        "if False:",
    ),
    Bug(
        "leaderWithoutAMajorityStays",
        "dissertation §6.2",
        LEADERSHIP,
        "return hasMajority(self.voters, active | {self._replicaId})",
        "return True",
    ),
    Bug(
        "undurableTermIsHeard",
        "figure 2, currentTerm is persistent",
        RAFT,
        "if now and self._durableTerm != self.term:",
        "if False:",
    ),
    # --- the log (figure 2: AppendEntries)
    Bug(
        "acknowledgedBeforeFsync",
        "design §5: persist, then send",
        RAFT,
        "now, after = self._now, self._after\n",
        "now, after = self._now + self._after, []\n",
    ),
    Bug(
        "leaderCountsItselfBeforeFsync",
        "design §5: count self after fsync",
        LEADERSHIP,
        "log.persisted if voter == self._replicaId else",
        "log.lastIndex if voter == self._replicaId else",
    ),
    Bug(
        "placeIsNotCompared",
        "figure 2, AppendEntries 2",
        RAFT,
        "if log.term(message.prevIndex) != message.prevTerm:",
        "if log.term(message.prevIndex) is None:",
    ),
    Bug(
        "conflictsStay",
        "figure 2, AppendEntries 3",
        LOG,
        "if self.term(entry.index) == entry.term or entry.index <= self.baseIndex:",
        "if self.term(entry.index):",
    ),
    Bug(
        "lateAppendsCut",
        "figure 2, AppendEntries 3",
        LOG,
        "if self.term(entry.index) == entry.term or entry.index <= self.baseIndex:",
        "if entry.index <= max(self.commit, self.baseIndex):",
    ),
    Bug(
        "commitBeyondTheAppend",
        "figure 2, AppendEntries 5",
        RAFT,
        "log.commitTo(min(message.commit, agreed))",
        "log.commitTo(min(message.commit, log.lastIndex))",
    ),
    Bug(
        "ownTailIsAcknowledged",
        "figure 2, AppendEntries",
        RAFT,
        "agreed = message.prevIndex + len(message.entries)",
        "agreed = log.lastIndex",
    ),
    Bug(
        "figureEight",
        "figure 2, leaders 4; figure 8",
        RAFT,
        "if index > self.log.commit and self.log.term(index) == self.term:",
        "if index > self.log.commit:",
    ),
    Bug(
        "beatCommitsWhatMayBeMissing",
        "paper §5.3",
        LEADERSHIP,
        "commit = min(progress.match, self._log.commit)",
        "commit = self._log.commit",
    ),
    Bug(
        "cutRowsStay",
        "figure 2, log[] is persistent",
        TURN,
        "if outputs.truncateFrom:",
        "if not outputs:",
    ),
    Bug(
        "persistedTermIsNotCompared",
        "design §5: count self after fsync",
        LOG,
        "if index > self.persisted and self.term(index) == term:",
        "if index > self.persisted and index <= self.lastIndex:",
    ),
    Bug(
        "cutIsStillCountedDurable",
        "design §5: count self after fsync",
        LOG,
        "self.persisted = min(self.persisted, index - 1)",
        "pass",
    ),
    # --- reads
    Bug(
        "readsAreNotConfirmed",
        "design §5: read index",
        "replication/reads.py",
        "        upTo = committedIndex(\n            self.round if voter == ownId else self._answered.get(voter, 0) for voter in voters\n        )\n",
        "        upTo = self.round\n",
    ),
    Bug(
        "readBeforeTheOwnTerm",
        "design §5: a new leader answers nothing before its own entry",
        LEADERSHIP,
        "        if readable and self.reads.areWaiting:\n            self.reads.begin",
        "        if self.reads.areWaiting:\n            self.reads.begin",
    ),
    Bug(
        "laterReadsJoinAnEarlierRound",
        "dissertation §6.4",
        "replication/reads.py",
        "        self._waiting.append((context, replicaId))",
        "        (self._rounds[-1][2] if self._rounds else self._waiting).append((context, replicaId))",
    ),
    Bug(
        "readIsNotWaitedFor",
        "design §8: a read waits until its index is applied",
        DRIVER,
        "ready = [done for index, done in replica.readable if index <= replica.applied]",
        "ready = [done for index, done in replica.readable]",
    ),
    # --- members
    Bug(
        "changeBeforeTheOwnTerm",
        "design §5: membership",
        RAFT,
        "if not self.isReadable or self.history.latestIndex > self.log.commit:",
        "if self.history.latestIndex > self.log.commit:",
    ),
    Bug(
        "twoChangesAtOnce",
        "dissertation §4.1",
        RAFT,
        "if not self.isReadable or self.history.latestIndex > self.log.commit:",
        "if not self.isReadable:",
    ),
    Bug(
        "twoVotersAtOnce",
        "dissertation §4.1",
        "replication/configuration.py",
        "len(voters ^ earlier) <= 1",
        "len(voters ^ earlier) <= 2",
    ),
    Bug(
        "replicaIdsAreReused",
        "design §5: ids are never reused",
        "replication/configuration.py",
        "return Configuration((*self.members, member), self.nextId + 1)",
        "return Configuration((*self.members, member), self.nextId)",
    ),
    Bug(
        "cutChangeStaysInForce",
        "dissertation §4.1",
        RAFT,
        "changed = self.history.cut(cut) if cut else False",
        "changed = False",
    ),
    Bug(
        "changeIsInForceOnlyWhenCommitted",
        "dissertation §4.1",
        RAFT,
        "return self.history.latest\n",
        "return self.history.at(self.log.commit)[1]\n",
    ),
    Bug(
        "removedLeaderStays",
        "dissertation §4.2.2",
        RAFT,
        "if own is None or not own.voter:",
        "if self.replicaId == 0:",
    ),
    Bug(
        "laggingLearnerVotes",
        "design §5: learners",
        RAFT,
        "if not match or self.log.commit - match > self._settings.promotionLagMax:",
        "if match < 0:",
    ),
    Bug(
        "blankReplicaIsRevived",
        "design §5: only a learner's first append creates a replica",
        CONVERSATION,
        "isFirst = isinstance(message, Append | Install) and message.learner",
        "isFirst = isinstance(message, Append | Install)",
    ),
    Bug(
        "tombstoneIsForgotten",
        "design §5: a removed id stays as a tombstone",
        DRIVER,
        "if record.replicaId or record.installing or replicaId <= record.tombstone:",
        "if record.replicaId or record.installing:",
    ),
    Bug(
        "tombstonesMayVote",
        "design §5: a removed id stays as a tombstone",
        RAFT,
        "if isinstance(message, Campaign | AskRead) and self._isTombstone(message.sender):",
        "if message.sender == 0:",
    ),
    # --- transfer, witnesses
    Bug(
        "proposalsDuringATransfer",
        "dissertation §3.10",
        RAFT,
        "if leadership is None or leadership.transferee or self._isWitness:",
        "if leadership is None or self._isWitness:",
    ),
    Bug(
        "witnessTakesProposals",
        "design §5: a witness only hands over",
        RAFT,
        "if leadership is None or leadership.transferee or self._isWitness:",
        "if leadership is None or leadership.transferee:",
    ),
    Bug(
        "transfereeLags",
        "dissertation §3.10",
        LEADERSHIP,
        "not self._transferSent and transferee.match == self._log.lastIndex",
        "not self._transferSent",
    ),
    # --- the driver
    Bug(
        "appliedIndexIsNotWrittenWithItsRows",
        "design §5: applied index and rows share a transaction",
        TURN,
        "        if work.hard is not None:\n            put(HARD",
        "        if outputs.mustPersist:\n            put(HARD",
    ),
    Bug(
        "turnBehindALostOneIsWritten",
        "design §4: after a commit error",
        TURN,
        "if work.hard is not None and rows.get(HARD, groupKey(work.group)) != work.expected:",
        "if work.works if hasattr(work, 'works') else False:",
    ),
    Bug(
        "restartInsideTheTimeoutIsNotNoticed",
        "design §5: a new incarnation wakes the group",
        CONVERSATION,
        "            if known:\n                self._begunAnew(neighbour)",
        "            if known < 0:\n                self._begunAnew(neighbour)",
    ),
    Bug(
        "nobodyCampaignsForQuietGroups",
        "design §5: batched campaigns",
        CONVERSATION,
        "            replica.raft.leaderSilent()\n            replica.raft.campaign()\n            self._turns.touch(replica)",
        "            self._turns.touch(replica)",
    ),
    Bug(
        "digestsAreNotCompared",
        "design §5: digests of quiet groups",
        CONVERSATION,
        "if beat.quietDigest != neighbour.vouched.digest:",
        "if beat.quietDigest is None:",
    ),
    Bug(
        "oldIncarnationIsHeard",
        "design §4: an old disk image",
        "replication/neighbours.py",
        "if beat.incarnation < neighbour.incarnation:",
        "if beat.incarnation < 0:",
    ),
    Bug(
        "stuckDiskKeepsLeading",
        "design §5: the age of the oldest commit",
        CONVERSATION,
        "if age > COMMIT_AGE_SECONDS_MAX:",
        "if age < 0:",
    ),
    Bug(
        "entryBeforeItsBody",
        "design §6: body first",
        DRIVER,
        "if before is not None and not replica.raft.isSoleVoter:",
        "if before is not None and replica.raft.leadership is None:",
    ),
    Bug(
        "lateOutcomeOfAnotherTerm",
        "design §5: an entry is known by index and term",
        DRIVER,
        "elif term != waiter.term:",
        "elif term < 0:",
    ),
    # --- snapshots
    Bug(
        "halfASnapshotIsServed",
        "design §5: commits `installing` before it erases",
        "replication/installing.py",
        "await store.write(_putHard(group, msgspec.structs.replace(record, installing=True)))",
        "await store.write(_putHard(group, record))",
    ),
    Bug(
        "snapshotDoesNotErase",
        "design §5: snapshots",
        "replication/installing.py",
        "    await erase(store, group)\n    while True:",
        "    while True:",
    ),
    Bug(
        "snapshotOverTwoReads",
        "design §5: one read transaction",
        "replication/transfers.py",
        "            with self._place.read() as rows:\n                return writeSnapshot(rows, outgoing.replica.group, file), file",
        "            with self._place.read() as rows:\n                writeSnapshot(rows, outgoing.replica.group, file)\n            with self._place.read() as rows:\n                return snapshotOf(rows, outgoing.replica.group), file",
    ),
    Bug(
        "snapshotOverANewerLog",
        "design §5: snapshots",
        RAFT,
        "if snapshot.index <= log.commit:",
        "if snapshot.index < 0:",
    ),
    Bug(
        "pieceIsMissing",
        "design §5: snapshots",
        "replication/transfers.py",
        "isNext = incoming is not None and piece.number == incoming.pieces + 1",
        "isNext = incoming is not None",
    ),
    # --- apply
    Bug(
        "deliveredAgain",
        "design §7: exactly once for one delivery id",
        "mailbox/applymessages.py",
        "    if stored is not None:\n        return _repeated",
        "    if stored is None and not rows:\n        return _repeated",
    ),
    Bug(
        "uidsAreReused",
        "design §5: UIDs are computed when applied",
        "mailbox/applymessages.py",
        "grown = replace(counted(mailbox, (row,), 1), uidNext=uid + 1, keywords=keywords)",
        "grown = replace(counted(mailbox, (row,), 1), uidNext=mailbox.messages + 2, keywords=keywords)",
    ),
    Bug(
        "modSeqStands",
        "design §1: MODSEQ never goes back",
        "mailbox/step.py",
        "bucket, modSeq = self.bucket, record.highestModSeq + 1",
        "bucket, modSeq = self.bucket, record.highestModSeq",
    ),
    Bug(
        "expungedIsStillReferred",
        "design §6: the last reference and the deletion are one step",
        "mailbox/step.py",
        "if left > 0:",
        "if left >= 0:",
    ),
    Bug(
        "copiesAreNotReferred",
        "design §6: references",
        "mailbox/applymessages.py",
        "        step.refer(row.bodyId, 1)",
        "        step.refer(row.bodyId, 0)",
    ),
    Bug(
        "voidIsDelivered",
        "design §6: a late delivery that meets `void` is refused",
        "mailbox/applymessages.py",
        "    if record.void:\n",
        "    if record.void and not record.filed and False:\n",
    ),
    Bug(
        "voidForgetsTheOutcome",
        "design §6: `void` for an id that has none",
        "mailbox/applymessages.py",
        "if step.rows.get(DELIVERY, key) is None:",
        "if key:",
    ),
    Bug(
        "keepersAreNotCompared",
        "design §6: compare-and-set",
        "mailbox/applymessages.py",
        "if record is not None and record.keepers == entry.old:",
        "if record is not None:",
    ),
)
