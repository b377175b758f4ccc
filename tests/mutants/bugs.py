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
ELECTION = "replication/election.py"
LOG = "replication/log.py"
LEADERSHIP = "replication/leadership.py"
DRIVER = "replication/driver.py"
LOADING = "replication/loading.py"
WAITING = "replication/waiting.py"
CONVERSATION = "replication/conversation.py"
TURN = "replication/turn.py"
COPIES = "replication/copies.py"
REPAIR = "replication/repair.py"
SWEEP = "replication/sweep.py"

RAFT_TESTS = "tests/replication/test_raft.py::"
GROUP_TESTS = "tests/replication/test_groups.py::"
NODE_TESTS = "tests/replication/test_nodes.py::"
SNAPSHOT_TESTS = "tests/replication/test_snapshots.py::"
COPY_TESTS = "tests/replication/test_copies.py::"
RANDOM = "tests/replication/test_random.py"
MACHINE_TESTS = "tests/mailbox/test_machine.py::"
SCENES = "tests/simulation/test_scenarios.py::"
FOUND = "tests/simulation/test_found.py::FoundBySeeds::"

BUGS = (
    # --- the array tends itself
    Bug(
        "replicaOfALostStore",
        "design §4: a node that comes back without its store takes nothing under an old id",
        DRIVER,
        "            if row is None and rows.get(META, REJOINING_KEY) is not None:\n",
        "            if row is None and rows.get(META, REJOINING_KEY) == b'no':\n",
        checks=("tests/cluster/test_rejoining.py::test_nothingIsTakenInUnderAnIdOfThePast",),
    ),
    Bug(
        "neededVoteRemoved",
        "design §5: never below a live majority",
        "cluster/steps.py",
        "        if not member.voter or _canAgree(configuration.without(member.replicaId), caughtUp):\n",
        "        if not member.voter or _canAgree(configuration, caughtUp) or True:\n",
        checks=("tests/cluster/test_steps.py::test_nobodyGoesWhoseVoteTheRestWouldNeed",),
    ),
    Bug(
        "keeperForgottenTooEarly",
        "design §6: a keeper goes only by the entry that names its fsynced replacement",
        REPAIR,
        "        new += tuple(old[: max(0, wanted.copies - len(new))])",
        "        new += tuple(old[:0])",
        checks=(COPY_TESTS + "CopiesTests::test_nobodyIsForgottenBeforeThereAreEnoughOthers",),
    ),
    Bug(
        "pausedLeaderDeclaresAllDown",
        "design §5: a node that slept knows nothing of others",
        "cluster/liveness.py",
        "if self._begunAt is None or now - self._lookedAt > PAUSE_SECONDS or now < self._lookedAt:",
        "if self._begunAt is None:",
        checks=("tests/cluster/test_liveness.py::test_aLeaderThatWasPausedSaysNothingAboutOthers",),
    ),
    # --- elections (figure 2: RequestVote)
    Bug(
        "voteTwice",
        "figure 2, RequestVote 2",
        ELECTION,
        "            or (self.vote == 0 and self.leader == 0)\n",
        "            or self.leader == 0\n",
        checks=(RAFT_TESTS + "Elections::test_voterRefusesASecondCandidateOfTheTerm",),
    ),
    Bug(
        "voteNotDurable",
        "figure 2, votedFor is persistent",
        RAFT,
        "if handed.term == self.term and handed.vote == self.vote:",
        "if handed.term == self.term:",
        checks=(
            RAFT_TESTS + "Elections::test_restartBetweenVoteAndSendKeepsTheVote",
            RANDOM,
        ),
    ),
    Bug(
        "voteForAnyLog",
        "figure 2, RequestVote 2",
        ELECTION,
        "granted = free and self.log.isUpToDate(message.lastIndex, message.lastTerm)",
        "granted = free",
        checks=(RAFT_TESTS + "Elections::test_voterRefusesALogThatIsNotUpToDate",),
    ),
    Bug(
        "longerLogWins",
        "paper §5.4.1",
        LOG,
        "return (lastTerm, lastIndex) >= (self.lastTerm, self.lastIndex)",
        "return (lastIndex, lastTerm) >= (self.lastIndex, self.lastTerm)",
        checks=(RAFT_TESTS + "Elections::test_voterRefusesALogThatIsNotUpToDate",),
    ),
    Bug(
        "halfIsAMajority",
        "paper §5.2",
        "replication/quorum.py",
        "return voters // 2 + 1",
        "return (voters + 1) // 2",
        checks=(RAFT_TESTS + "Elections::test_evenSplitIsResolvedByAnotherElection",),
    ),
    Bug(
        "staleMessagesAreTaken",
        "figure 2, AppendEntries 1, RequestVote 1",
        RAFT,
        "            self._answerLowerTerm(message)\n            return\n",
        "            self._answerLowerTerm(message)\n",
        checks=(RAFT_TESTS + "Elections::test_ballotOfAnEarlierTermDoesNotCount",),
    ),
    Bug(
        "termIsNotAdopted",
        "figure 2, all servers 2",
        ELECTION,
        "        self._follow(message.term, message.sender if isLeaders else 0)\n        return True",
        "        if isLeaders:\n            self._follow(message.term, message.sender)\n        return isLeaders",
        checks=(RAFT_TESTS + "Elections::test_leaderHearsOfALaterTermFromAnAnswer",),
    ),
    Bug(
        "voteKeptIntoTheNextTerm",
        "figure 2, votedFor is of the current term",
        ELECTION,
        "            self.term = term\n            self.vote = 0\n",
        "            self.term = term\n",
        checks=(NODE_TESTS + "ManyGroups::test_writesToAllGroupsSurviveAFailover",),
    ),
    Bug(
        "oldPreVotesCount",
        "dissertation §9.6",
        ELECTION,
        "if message.pre and message.granted and message.term != self.term + 1:",
        "if False:",
        checks=(RAFT_TESTS + "Elections::test_preVoteOfAnEarlierTermDoesNotCount",),
    ),
    Bug(
        "campaignsDisruptALeader",
        "dissertation §4.2.3",
        ELECTION,
        "if self._hearsLeader and not message.transfer:",
        "if False:",
        checks=(RAFT_TESTS + "Elections::test_followerThatHearsItsLeaderIgnoresCampaigns",),
    ),
    Bug(
        "leaderWithoutAMajorityStays",
        "dissertation §6.2",
        LEADERSHIP,
        "return hasMajority(self.voters, active | {self._replicaId})",
        "return True",
        checks=(RAFT_TESTS + "Elections::test_leaderWithoutAMajorityStepsDown",),
    ),
    Bug(
        "undurableTermIsHeard",
        "figure 2, currentTerm is persistent",
        RAFT,
        "if now and self._durableTerm != self.term:",
        "if False:",
        checks=(RAFT_TESTS + "Members::test_learnerHearsNothingOfAnUndurableTerm",),
    ),
    # --- the log (figure 2: AppendEntries)
    Bug(
        "acknowledgedBeforeFsync",
        "design §5: persist, then send",
        RAFT,
        "now, after = self._now, self._after\n",
        "now, after = self._now + self._after, []\n",
        checks=(RAFT_TESTS + "Replication::test_followerAcknowledgesOnlyWhatIsDurable",),
    ),
    Bug(
        "leaderCountsItselfBeforeFsync",
        "design §5: count self after fsync",
        LEADERSHIP,
        "log.persisted if voter == self._replicaId else",
        "log.lastIndex if voter == self._replicaId else",
        checks=(RAFT_TESTS + "Replication::test_leaderDoesNotCountItselfBeforeItIsDurable",),
    ),
    Bug(
        "placeIsNotCompared",
        "figure 2, AppendEntries 2",
        RAFT,
        "if log.term(message.prevIndex) != message.prevTerm:",
        "if log.term(message.prevIndex) is None:",
        checks=(RAFT_TESTS + "Replication::test_appendBehindAnUnknownPlaceIsRefusedWithAHint",),
    ),
    Bug(
        "conflictsStay",
        "figure 2, AppendEntries 3",
        LOG,
        "if self.term(entry.index) == entry.term or entry.index <= self.baseIndex:",
        "if self.term(entry.index):",
        checks=(RAFT_TESTS + "Replication::test_divergedTailsAreRepaired",),
    ),
    Bug(
        "lateAppendsCut",
        "figure 2, AppendEntries 3",
        LOG,
        "if self.term(entry.index) == entry.term or entry.index <= self.baseIndex:",
        "if entry.index <= max(self.commit, self.baseIndex):",
        checks=(RAFT_TESTS + "Replication::test_lateAppendDoesNotCutWhatCameAfterIt",),
    ),
    Bug(
        "commitBeyondTheAppend",
        "figure 2, AppendEntries 5",
        RAFT,
        "log.commitTo(min(message.commit, agreed))",
        "log.commitTo(min(message.commit, log.lastIndex))",
        checks=(
            RAFT_TESTS + "Replication::test_followerDoesNotAcknowledgeItsOwnTail",
            RAFT_TESTS + "Replication::test_beatDoesNotCommitWhatTheFollowerMayLack",
            NODE_TESTS + "ThreeNodes::test_isolatedLeaderConfirmsNeitherReadsNorWrites",
        ),
    ),
    Bug(
        "ownTailIsAcknowledged",
        "figure 2, AppendEntries",
        RAFT,
        "agreed = message.prevIndex + len(message.entries)",
        "agreed = log.lastIndex",
        checks=(RAFT_TESTS + "Replication::test_followerDoesNotAcknowledgeItsOwnTail",),
    ),
    Bug(
        "figureEight",
        "figure 2, leaders 4; figure 8",
        RAFT,
        "if index > self.log.commit and self.log.term(index) == self.term:",
        "if index > self.log.commit:",
        checks=(RAFT_TESTS + "Replication::test_figureEight",),
    ),
    Bug(
        "beatCommitsWhatMayBeMissing",
        "paper §5.3",
        LEADERSHIP,
        "commit = min(progress.match, self._log.commit)",
        "commit = self._log.commit",
        checks=(RAFT_TESTS + "Replication::test_beatDoesNotCommitWhatTheFollowerMayLack",),
    ),
    Bug(
        "cutRowsStay",
        "figure 2, log[] is persistent",
        TURN,
        "if outputs.truncateFrom:",
        "if not outputs:",
        checks=(SCENES + "Partitions::test_aTailThatWasCutStaysCutAfterARestart",),
    ),
    Bug(
        "cutIsStillCountedDurable",
        "design §5: count self after fsync",
        LOG,
        "self.persisted = min(self.persisted, index - 1)",
        "pass",
        checks=(RAFT_TESTS + "Replication::test_divergedTailsAreRepaired",),
    ),
    # --- reads
    Bug(
        "readsAreNotConfirmed",
        "design §5: read index",
        "replication/reads.py",
        "        upTo = committedIndex(\n            self.round if voter == ownId else self._answered.get(voter, 0) for voter in voters\n        )\n",
        "        upTo = self.round\n",
        checks=(RAFT_TESTS + "Reads::test_isolatedLeaderConfirmsNothing",),
    ),
    Bug(
        "readBeforeTheOwnTerm",
        "design §5: a new leader answers nothing before its own entry",
        LEADERSHIP,
        "        if readable and self.reads.areWaiting:\n            self.reads.begin",
        "        if self.reads.areWaiting:\n            self.reads.begin",
        checks=(RAFT_TESTS + "Reads::test_readBeforeAnEntryOfTheOwnTermWaits",),
    ),
    Bug(
        "laterReadsJoinAnEarlierRound",
        "dissertation §6.4",
        "replication/reads.py",
        "        self._waiting.append((context, replicaId))",
        "        (self._rounds[-1][2] if self._rounds else self._waiting).append((context, replicaId))",
        checks=(
            RAFT_TESTS + "Reads::test_answerToAnEarlierRoundDoesNotConfirm",
            RANDOM,
        ),
    ),
    Bug(
        "readIsNotWaitedFor",
        "design §8: a read waits until its index is applied",
        WAITING,
        "replica.readable.extend((index, done) for done in asked.dones)",
        "replica.readable.extend((0, done) for done in asked.dones)",
        checks=(
            SCENES + "Partitions::test_readsAtAllNodesSeeWhatWasAcknowledged",
            "seeds 0-20",
        ),
    ),
    # --- members
    Bug(
        "changeBeforeTheOwnTerm",
        "design §5: membership",
        RAFT,
        "if not self.isReadable or self.history.latestIndex > self.log.commit:",
        "if self.history.latestIndex > self.log.commit:",
        checks=(RAFT_TESTS + "Members::test_noChangeBeforeAnEntryOfTheOwnTermIsCommitted",),
    ),
    Bug(
        "twoChangesAtOnce",
        "dissertation §4.1",
        RAFT,
        "if not self.isReadable or self.history.latestIndex > self.log.commit:",
        "if not self.isReadable:",
        checks=(RAFT_TESTS + "Members::test_oneChangeAtATime",),
    ),
    Bug(
        "twoVotersAtOnce",
        "dissertation §4.1",
        "replication/configuration.py",
        "len(voters ^ earlier) <= 1",
        "len(voters ^ earlier) <= 2",
        checks=(RAFT_TESTS + "Configurations::test_stepsDifferInOneVoter",),
    ),
    Bug(
        "replicaIdsAreReused",
        "design §5: ids are never reused",
        "replication/configuration.py",
        "return Configuration((*self.members, member), self.nextId + 1)",
        "return Configuration((*self.members, member), self.nextId)",
        checks=(RAFT_TESTS + "Configurations::test_idsAreNeverReused",),
    ),
    Bug(
        "cutChangeStaysInForce",
        "dissertation §4.1",
        RAFT,
        "changed = self.history.cut(cut) if cut else False",
        "changed = False",
        checks=(RAFT_TESTS + "Members::test_changeOverlappingALeaderChangeIsTakenBack",),
    ),
    Bug(
        "changeIsInForceOnlyWhenCommitted",
        "dissertation §4.1",
        ELECTION,
        "return self.history.latest\n",
        "return self.history.at(self.log.commit)[1]\n",
        checks=(
            RAFT_TESTS + "Members::test_fromOneToThreeAndBackToOne",
            RAFT_TESTS + "Members::test_learnerIsMadeByItsFirstAppendAndCatchesUp",
        ),
    ),
    Bug(
        "removedLeaderStays",
        "dissertation §4.2.2",
        RAFT,
        "if not self._isVoter and self.history.latestIndex <= self.log.commit:",
        "if self.replicaId == 0:",
        checks=(RAFT_TESTS + "Members::test_removedLeaderCommitsItsRemovalAndStepsDown",),
    ),
    Bug(
        "laggingLearnerVotes",
        "design §5: learners",
        RAFT,
        "if not match or self.log.commit - match > self._settings.promotionLagMax:",
        "if match < 0:",
        checks=(RAFT_TESTS + "Members::test_laggingLearnerIsNotPromoted",),
    ),
    Bug(
        "blankReplicaIsRevived",
        "design §5: only a learner's first append creates a replica",
        CONVERSATION,
        "isFirst = isinstance(message, Append | Install) and message.learner",
        "isFirst = isinstance(message, Append | Install)",
        checks=(
            NODE_TESTS + "ThreeNodes::test_voterThatLostItsStoreIsNotRevived",
            NODE_TESTS + "ThreeNodes::test_onlyALearnersAppendMakesAReplica",
        ),
    ),
    Bug(
        "tombstoneIsForgotten",
        "design §5: a removed id stays as a tombstone",
        LOADING,
        "if record.replicaId or record.installing or replicaId <= record.tombstone:",
        "if record.replicaId or record.installing:",
        checks=(
            NODE_TESTS + "ThreeNodes::test_removedNodeComesBackUnderANewId",
            NODE_TESTS + "ThreeNodes::test_removedReplicaLeavesATombstone",
        ),
    ),
    Bug(
        "tombstonesMayVote",
        "design §5: a removed id stays as a tombstone",
        RAFT,
        "        if self.tellRemoved(message):\n            return\n        if message.term",
        "        if message.term",
        checks=(RAFT_TESTS + "Members::test_removedReplicaGetsNoVotes",),
    ),
    # --- transfer, witnesses
    Bug(
        "proposalsDuringATransfer",
        "dissertation §3.10",
        RAFT,
        "if leadership is None or leadership.transferee or self._isWitness:",
        "if leadership is None or self._isWitness:",
        checks=(RAFT_TESTS + "Transfers::test_proposalsAreRefusedDuringATransfer",),
    ),
    Bug(
        "witnessTakesProposals",
        "design §5: a witness only hands over",
        RAFT,
        "if leadership is None or leadership.transferee or self._isWitness:",
        "if leadership is None or leadership.transferee:",
        checks=(RAFT_TESTS + "Witnesses::test_witnessThatLeadsHandsOver",),
    ),
    Bug(
        "transfereeLags",
        "dissertation §3.10",
        LEADERSHIP,
        "not self._transferSent and transferee.match == self._log.lastIndex",
        "not self._transferSent",
        checks=(RAFT_TESTS + "Transfers::test_laggingTransfereeIsBroughtUpToDateFirst",),
    ),
    # --- the driver
    Bug(
        "appliedIndexIsNotWrittenWithItsRows",
        "design §5: applied index and rows share a transaction",
        TURN,
        "        if work.hard is not None:\n            put(HARD",
        "        if outputs.mustPersist:\n            put(HARD",
        checks=(
            GROUP_TESTS + "OneVoterGroupsTests::test_nothingIsAppliedTwiceByARestart",
            NODE_TESTS + "ThreeNodes::test_bodyIsDurableBeforeItsEntryIsProposed",
            "seeds 0-10",
        ),
    ),
    Bug(
        "turnBehindALostOneIsWritten",
        "design §4: after a commit error",
        TURN,
        "if work.hard is not None and rows.get(HARD, groupKey(work.group)) != work.expected:",
        "if work.works if hasattr(work, 'works') else False:",
        checks=(GROUP_TESTS + "OneVoterGroupsTests::test_turnBehindOneThatWasNotWrittenIsNotWrittenEither",),
    ),
    Bug(
        "restartInsideTheTimeoutIsNotNoticed",
        "design §5: a new incarnation wakes the group",
        CONVERSATION,
        "            if known:\n                self._begunAnew(neighbour)",
        "            if known < 0:\n                self._begunAnew(neighbour)",
        checks=(
            NODE_TESTS + "Durability::test_newIncarnationWakesWhatItsNodeLed",
            NODE_TESTS + "ThreeNodes::test_quickRestartOfALeaderIsNoticed",
        ),
    ),
    Bug(
        "nobodyCampaignsForQuietGroups",
        "design §5: batched campaigns",
        CONVERSATION,
        "            replica.raft.leaderSilent()\n            replica.raft.campaign()\n            self._turns.touch(replica)",
        "            self._turns.touch(replica)",
        checks=(NODE_TESTS + "ManyGroups::test_groupsOfASilentNodeAreCampaignedForTogether",),
    ),
    Bug(
        "digestsAreNotCompared",
        "design §5: digests of quiet groups",
        CONVERSATION,
        "if beat.quietDigest == neighbour.vouched.digest:",
        "if beat.quietDigest:",
        checks=(NODE_TESTS + "Durability::test_differentDigestsAreSettledByTheList",),
    ),
    Bug(
        "oldIncarnationIsHeard",
        "design §4: an old disk image",
        "replication/neighbours.py",
        "if beat.incarnation < neighbour.incarnation:",
        "if beat.incarnation < 0:",
        checks=(SCENES + "Nodes::test_anEarlierIncarnationIsNotBelieved",),
    ),
    Bug(
        "stuckDiskKeepsLeading",
        "design §5: the age of the oldest commit",
        CONVERSATION,
        "if age > COMMIT_AGE_SECONDS_MAX:",
        "if age < 0:",
        checks=(NODE_TESTS + "Durability::test_leaderWithAStuckDiskHandsOverUnasked",),
    ),
    Bug(
        "entryBeforeItsBody",
        "design §6: body first",
        DRIVER,
        "if before is not None and not replica.raft.isSoleVoter:",
        "if before is not None and replica.raft.leadership is None:",
        checks=(NODE_TESTS + "ThreeNodes::test_bodyIsDurableBeforeItsEntryIsProposed",),
    ),
    Bug(
        "lateOutcomeOfAnotherTerm",
        "design §5: an entry is known by index and term",
        WAITING,
        "elif term != waiter.term:",
        "elif term < 0:",
        checks=("seeds 0-30",),
    ),
    # --- snapshots
    Bug(
        "halfASnapshotIsServed",
        "design §5: commits `installing` before it erases",
        "replication/installing.py",
        "await store.write(_putHard(group, msgspec.structs.replace(record, installing=True)))",
        "await store.write(_putHard(group, record))",
        checks=(SCENES + "Snapshots::test_aCrashAtAnyStepOfAnInstallationLeavesNothingHalf",),
    ),
    Bug(
        "snapshotDoesNotErase",
        "design §5: snapshots",
        "replication/installing.py",
        "    await erase(store, group)\n    while True:",
        "    while True:",
        checks=(SNAPSHOT_TESTS + "BetweenNodes::test_whatIsNotInTheSnapshotIsErased",),
    ),
    Bug(
        "snapshotOverTwoReads",
        "design §5: one read transaction",
        "replication/transfers.py",
        "            with self._place.read() as rows:\n                return writeSnapshot(rows, outgoing.replica.group, file), file",
        "            with self._place.read() as rows:\n                writeSnapshot(rows, outgoing.replica.group, file)\n            with self._place.read() as rows:\n                return snapshotOf(rows, outgoing.replica.group), file",
        checks=(SNAPSHOT_TESTS + "BetweenNodes::test_crashAtAnyStepOfAnInstallationIsRepaired",),
    ),
    Bug(
        "snapshotOverANewerLog",
        "design §5: snapshots",
        RAFT,
        "if snapshot.index <= log.commit:",
        "if snapshot.index < 0:",
        checks=(RAFT_TESTS + "Snapshots::test_snapshotRacingWithAppendsIsNotInstalledOverThem",),
    ),
    Bug(
        "pieceIsMissing",
        "design §5: snapshots",
        "replication/transfers.py",
        "isNext = incoming is not None and piece.number == incoming.pieces + 1",
        "isNext = incoming is not None",
        checks=(SNAPSHOT_TESTS + "BetweenNodes::test_pieceOutOfOrderIsRefused",),
    ),
    # --- apply
    Bug(
        "deliveredAgain",
        "design §7: exactly once for one delivery id",
        "mailbox/applymessages.py",
        "        if record.void or record.filed:\n",
        "        if record.void:\n",
        checks=(MACHINE_TESTS + "test_aDeliveryIsFiledOnceForOneId",),
    ),
    Bug(
        "uidsAreReused",
        "design §5: UIDs are computed when applied",
        "mailbox/applymessages.py",
        "grown = replace(counted(mailbox, (row,), 1), uidNext=uid + 1, keywords=keywords)",
        "grown = replace(counted(mailbox, (row,), 1), uidNext=mailbox.messages + 2, keywords=keywords)",
        checks=(
            "seeds 0-5",
            MACHINE_TESTS[:-2],
        ),
    ),
    Bug(
        "modSeqStands",
        "design §1: MODSEQ never goes back",
        "mailbox/step.py",
        "bucket, modSeq = self.bucket, record.highestModSeq + 1",
        "bucket, modSeq = self.bucket, record.highestModSeq",
        checks=(
            "seeds 0-5",
            MACHINE_TESTS[:-2],
        ),
    ),
    Bug(
        "expungedIsStillReferred",
        "design §6: the last reference and the deletion are one step",
        "mailbox/step.py",
        "if left > 0:",
        "if left >= 0:",
        checks=(MACHINE_TESTS + "test_aRepetitionAfterTheExpungeBringsNothingBack",),
    ),
    Bug(
        "copiesAreNotReferred",
        "design §6: references",
        "mailbox/applymessages.py",
        "        step.refer(row.bodyId, 1)",
        "        step.refer(row.bodyId, 0)",
        checks=(
            "seeds 0-5",
            MACHINE_TESTS[:-2],
        ),
    ),
    Bug(
        "voidIsDelivered",
        "design §6: a late delivery that meets `void` is refused",
        "mailbox/applymessages.py",
        "    if record.void:\n",
        "    if record.void and not record.filed and False:\n",
        checks=(MACHINE_TESTS + "test_aVoidDeliveryIsRefusedForEver",),
    ),
    Bug(
        "voidForgetsTheOutcome",
        "design §6: `void` for an id that has none",
        "mailbox/applymessages.py",
        "if step.rows.get(DELIVERY, key) is None:",
        "if key:",
        checks=(MACHINE_TESTS + "test_voidDoesNothingToWhatWasDelivered",),
    ),
    Bug(
        "keepersAreNotCompared",
        "design §6: compare-and-set",
        "mailbox/applymessages.py",
        "if record is not None and record.keepers == entry.old:",
        "if record is not None:",
        checks=(SCENES + "Bodies::test_theSecondOfTwoChangesOfKeepersDoesNothing",),
    ),
    # --- copies of bodies
    Bug(
        "keptBeforeFsync",
        "design §6: an entry names only keepers whose copy is fsynced",
        COPIES,
        "written = self.write(bucket, bodyId, number, message.octets)",
        "self.write(bucket, bodyId, number, message.octets); written = Deferred(); written.callback(None)",
        checks=(COPY_TESTS + "CopiesTests::test_keeperDoesNotAcknowledgeBeforeItsCommit",),
    ),
    Bug(
        "sweepWithoutVoid",
        "design §6: a late delivery meets `void`",
        SWEEP,
        "if known is None and not hasOutcome:",
        "if known is None and hasOutcome:",
        checks=(COPY_TESTS + "CopiesTests::test_bodyWithoutAnEntryIsSweptAfterItsDeliveryIsVoid",),
    ),
    Bug(
        "sweepOnItsOwnKnowledge",
        "design §6: a keeper never sweeps on its own knowledge",
        SWEEP,
        "                self.received(self._node, AskKept(bucket, doubtful))\n",
        "                self._free(bucket, doubtful)\n",
        checks=("seeds 0-20",),
    ),
    Bug(
        "sweptAlthoughPutAgain",
        "design §6: no put has come since it asked",
        SWEEP,
        "if self._copies.takeSuspect(bucket, bodyId):",
        "if self._copies.takeSuspect(bucket, bodyId) or True:",
        checks=(COPY_TESTS + "CopiesTests::test_bodyPutAgainMeanwhileIsNotDeleted",),
    ),
    Bug(
        "staleLeaderFrees",
        "design §6: the leader answers, confirmed",
        SWEEP,
        "        await self._groups.readIndex(group)\n        free",
        "        free",
        checks=(COPY_TESTS + "CopiesTests::test_leaderOfThePastFreesNothing",),
    ),
    Bug(
        "implicitHome",
        "design §6: keepers are always explicit",
        SWEEP,
        "if known is None or node not in known.keepers:",
        "if known is None or node != self._node:",
        checks=(
            COPY_TESTS + "CopiesTests::test_namedKeeperSweepsNothing",
            COPY_TESTS + "CopiesTests::test_keeperThatIsNotNamedDeletes",
        ),
    ),
    Bug(
        "keeperNamedBeforeItsCopy",
        "design §6: a keeper goes only by the entry that names its fsynced replacement",
        REPAIR,
        "made = await self._copies.put(bucket, bodyId, octets, fresh, missing)",
        "made = tuple(fresh[:missing])",
        checks=(COPY_TESTS + "CopiesTests::test_lostCopyIsRestoredElsewhere",),
    ),
    Bug(
        "digestIsNotVerified",
        "design §6: a wrong digest counts as missing",
        COPIES,
        "if len(octets) == size and digestOf(octets) == digest:",
        "if len(octets) == size:",
        checks=(
            COPY_TESTS + "CopiesTests::test_bodyThatNobodyHasSoundIsCorrupt",
            COPY_TESTS + "CopiesTests::test_bodyIsReadFromTheNextKeeperIfOneIsGoneOrDamaged",
        ),
    ),
    Bug(
        "slowKeeperIsWaitedFor",
        "design §6: a slow keeper is replaced before the entry exists",
        "replication/putting.py",
        "        self._next()\n        self._fill()\n",
        "        self._fill()\n",
        checks=(COPY_TESTS + "CopiesTests::test_slowKeeperIsReplaced",),
    ),
    Bug(
        "copyOfAnotherTermIsNamed",
        "design §6: an entry names only keepers whose copy is fsynced",
        REPAIR,
        "if not term or self._groups.leadingTerm(group) != term:",
        "if not term:",
        checks=(FOUND + "test_copyThatAnotherLeaderFreedIsNotNamed",),
    ),
    Bug(
        "lateAnswersCount",
        "design §6: an entry names only keepers whose copy is fsynced",
        COPIES,
        "        attempt = next(self._attempts)\n",
        "        attempt = 0\n",
        checks=(FOUND + "test_lateAnswerToAnEarlierPutDoesNotCount",),
    ),
    # --- quiet groups
    Bug(
        "quietWithoutAMajority",
        "dissertation §6.2",
        LEADERSHIP,
        "if not hasMajority(self.voters, set(self.voters) - absent):",
        "if not self.voters:",
        checks=(SCENES + "Partitions::test_aLeaderThatIsHeardButHearsNobodyIsReplaced",),
    ),
    Bug(
        "disputesNeverEnd",
        "design §5: groups in dispute tick on their own",
        CONVERSATION,
        "if neighbour.disputes >= DISPUTES_MAX:",
        "if neighbour.disputes < 0:",
        checks=(SCENES + "Partitions::test_aLeaderThatIsHeardButHearsNobodyIsReplaced",),
    ),
    Bug(
        "tombstoneIsNotWrittenLater",
        "design §5: a removed id stays as a tombstone",
        "replication/restoring.py",
        "            self._clock.callLater(RETRY_SECONDS, self._writeTombstone, group, replicaId)",
        "            pass",
        checks=(SCENES + "Disks::test_aTombstoneThatFoundNoRoomIsWrittenLater",),
    ),
    Bug(
        "tombstonesWithoutAcquaintancesStay",
        "design §5: a removed id stays as a tombstone",
        CONVERSATION,
        "if replica is not None and not replica.installing and replica.raft.tellRemoved(message):",
        "if replica is not None and not replica:",
        checks=(FOUND + "test_tombstoneAllOfWhoseAcquaintancesWereReplacedIsToldSo",),
    ),
    Bug(
        "removedLearnersStay",
        "design §5: a removed id stays as a tombstone",
        ELECTION,
        "                self._askWhetherRemoved()\n",
        "                pass\n",
        checks=(FOUND + "test_removedLearnerFindsOut",),
    ),
    # --- the store
    Bug(
        "fullDiskIsTakenForDataLoss",
        "design §4: a full disk looks like a failed fsync",
        "store/writer.py",
        "        elif self._survives(problem):\n",
        "        elif isinstance(problem, OSError) and self._survives(problem):\n",
        checks=("tests/store/test_writer.py",),
    ),
    Bug(
        "failedCommitIsTriedAgain",
        "design §4: after a commit error the node stops",
        "store/writer.py",
        "        self._reason = problem\n",
        "        self._reason = None\n",
        checks=("tests/store/test_writer.py",),
    ),
    Bug(
        "answeredBeforeTheCommit",
        "design §4: ack before fsync",
        "store/writer.py",
        "            self._handover.put(changes)\n        else:",
        "            self._handover.put(changes)\n            self._deliver(group)\n            self._group = []\n        else:",
        checks=("tests/store/test_writer.py",),
    ),
    Bug(
        "commitsAreNotSynced",
        "design §4: `sync` on",
        "store/environment.py",
        "map_size=MAP_OCTETS,",
        "map_size=MAP_OCTETS, sync=False,",
        checks=("tests/store/test_environment.py",),
    ),
    # --- found by mutants that nobody had thought of
    Bug(
        "wakeIsIgnored",
        "design §5: groups in dispute tick until they agree",
        CONVERSATION,
        "                for group in message.groups:\n                    self.wake(self._replicas.get(group))\n",
        "                pass\n",
        checks=(NODE_TESTS + "ThreeNodes::test_groupThatWentQuietAheadOfAFollowerIsWokenByIt",),
    ),
    Bug(
        "lostSnapshotIsNotSentAgain",
        "design §5: a snapshot arrives in bounded time",
        "replication/transfers.py",
        "                replica.raft.snapshotFailed(replicaId)\n",
        "                pass\n",
        checks=(
            SNAPSHOT_TESTS + "BetweenNodes::test_snapshotOfWhichAPieceWasLostIsSentAgainByTheSameLeader",
        ),
    ),
    Bug(
        "failedInstallationIsNotNoticed",
        "design §5: half a snapshot is no replica",
        "replication/transfers.py",
        "                self._failed.append((now + PATIENCE_SECONDS, outgoing.replica, outgoing.replicaId))\n                self._end",
        "                self._end",
        checks=(SNAPSHOT_TESTS + "BetweenNodes::test_snapshotThatCouldNotBeInstalledIsSentAgain",),
    ),
    Bug(
        "appendBehindTheCommitIsRefused",
        "figure 2, AppendEntries: what is committed agrees",
        RAFT,
        "        if message.prevIndex < log.commit:\n            self._acknowledge(message.sender, log.commit)\n",
        "        if message.prevIndex < log.baseIndex:\n            self._acknowledge(message.sender, log.commit)\n",
        checks=(RAFT_TESTS + "Replication::test_appendBehindTheCommitIndexIsAnsweredWithIt",),
    ),
    # --- whole nodes
    Bug(
        "outcomeIsRepeatedWithoutItsBody",
        "design §6: before repeating a stored outcome the leader checks that the keepers still hold the body",
        "cluster/placing.py",
        'if getattr(outcome, "repeated", False):',
        "if outcome is None:",
        checks=(
            "tests/cluster/test_delivering.py::test_aRepeatedDeliveryBringsBackTheBodyThatItsKeepersLost",
        ),
    ),
    Bug(
        "leadershipIsNotLookedAtAfterPlacing",
        "design §6: another leader did not know of the copies, and may have freed them",
        "cluster/placing.py",
        "if self._groups.leadingTerm(group) != term:",
        "if term < 0:",
        checks=(
            "tests/cluster/test_delivering.py::test_aLeaderThatLostItsLeadershipWhilePlacingProposesNothing",
        ),
    ),
    Bug(
        "nodeWithoutItsStoreTakesAnyReplica",
        "design §4: it rejoins under new replica ids, after the old ids have been removed",
        LOADING,
        "if row is None and rows.get(META, REJOINING_KEY) is not None:",
        "if row is None and rows.get(META, REJOINING_KEY) is group:",
        checks=("tests/cluster/test_rejoining.py::test_nothingIsTakenInUnderAnIdOfThePast",),
    ),
)
