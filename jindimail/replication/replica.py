"""
One replica as its node's driver holds it: the Raft machine, who waits for it, and how much of its log is kept.

No I/O: the driver carries out what stands in the `Work` that it gives.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from jindimail.replication.durable import HardRecord, Loaded, encodeHard
from jindimail.replication.raft import Raft
from jindimail.replication.turn import Before, Work

KEPT_ENTRIES = 64  # a log keeps between one and two of these generations of applied entries,
KEPT_OCTETS = 256 * 1024  # or of these


class Replica:
    """
    One group's replica at this node.

    @ivar applied: the applied index that is durable.
    @ivar failures: how often in a row its turns could not be written, for whatever reason but a full disk.
    @ivar waiting: the proposals made here, by index: the term they were made in, and who waits.
    @ivar reads: who waits for a read index, by context.
    @ivar readable: confirmed reads that wait for their index to be applied.
    """

    __slots__ = (
        "_base",
        "_generation",
        "_generationOctets",
        "_hard",
        "_tombstone",
        "applied",
        "befores",
        "failures",
        "group",
        "raft",
        "readable",
        "reads",
        "waiting",
    )

    def __init__(self, loaded: Loaded, raft: Raft) -> None:
        self.group = loaded.group
        self.raft = raft
        self.applied = loaded.record.applied
        self.waiting: dict[int, tuple[int, Deferred[Any]]] = {}
        self.befores: dict[int, Before] = {}
        self.reads: dict[int, Deferred[int]] = {}
        self.readable: list[tuple[int, Deferred[int]]] = []
        self.failures = 0
        self._hard = encodeHard(loaded.record)
        self._tombstone = loaded.record.tombstone
        self._base = loaded.log.baseIndex
        self._generation = loaded.record.applied
        self._generationOctets = 0

    def work(self) -> Work:
        """Take the machine's outputs, with what has to be written for them."""
        raft = self.raft
        outputs = raft.outputs()
        for entry in outputs.entries:
            self._generationOctets += len(entry.data)
        dropFrom, dropTo = self._dropped()
        expected, hard = self._hard, None
        if outputs.mustPersist or outputs.apply or dropFrom:
            hard = self._hard = self._hardRow()
        befores, self.befores = self.befores, {}
        return Work(
            group=self.group,
            outputs=outputs,
            expected=expected,
            hard=hard,
            dropFrom=dropFrom,
            dropTo=dropTo,
            befores=befores,
        )

    def _dropped(self) -> tuple[int, int]:
        """The oldest generation of log rows, once there is a whole younger one; (0, 0): nothing."""
        applying, base = self.raft.applying, self._base
        if applying - self._generation < KEPT_ENTRIES and self._generationOctets < KEPT_OCTETS:
            return 0, 0
        last, self._generation, self._generationOctets = self._generation, applying, 0
        last = min(last, self.raft.log.commit)
        if last <= base:
            return 0, 0
        self.raft.compacted(last)
        self._base = last
        return base + 1, last

    def _hardRow(self) -> bytes:
        raft = self.raft
        log = raft.log
        configurationIndex, configuration = raft.history.at(raft.applying)
        return encodeHard(
            HardRecord(
                replicaId=raft.replicaId,
                term=raft.term,
                vote=raft.vote,
                applied=raft.applying,
                baseIndex=log.baseIndex,
                baseTerm=log.baseTerm,
                configurationIndex=configurationIndex,
                configuration=configuration,
                tombstone=self._tombstone,
                lastIndex=log.lastIndex,
            )
        )
