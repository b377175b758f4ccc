"""Checker: what readers of a node see is whole, and never older than it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jindimail.interfaces import IReadRows
from jindimail.replication.durable import hardRecord
from jindimail.replication.replica import Replica
from jindimail.store.keys import MAILBOX, MESSAGE, bucketKey, mailboxKey, unpackMailboxKey
from jindimail.store.records import MailboxRecord, decode
from tests.simulation.watch import Violation

if TYPE_CHECKING:
    from tests.simulation.node import Node


EVERY = 7  # it is dear; of so many indexes one is looked at


class Readers:
    """
    Looks with the eyes of readers, whenever a replica says that it has applied more.

    An entry that is seen without one before it leaves a mailbox whose counts and rows do not agree.
    """

    def __init__(self) -> None:
        self._shown: dict[int, tuple[Replica, int]] = {}  # by group, of one incarnation of a node

    def look(self, node: Node, groups: list[int]) -> None:
        """Something happened at a node, to these groups."""
        for group in groups:
            replica = node.driver.replicas[group]
            index = 0 if replica.installing or replica.applied < replica.shown else replica.applied
            before, shown = self._shown.get(group, (replica, 0))
            if not index or (index == shown and before is replica):
                continue
            self._shown[group] = replica, index
            if index < shown and before.raft.replicaId == replica.raft.replicaId:
                raise Violation("readBackwards", f"node {node.number}, group {group}: {index}, was {shown}")
            if group and index % EVERY == 0:
                with node.store.read() as rows:
                    _requireWhole(rows, node.number, group, index)


def _requireWhole(rows: IReadRows, node: int, group: int, index: int) -> None:
    if hardRecord(rows, group).applied < index:
        raise Violation("readersSeeApplied", f"node {node}, group {group}: not {index}")
    bucket = group - 1
    for key, value in rows.scan(MAILBOX, bucketKey(bucket), bucketKey(group)):
        record = decode(value, MailboxRecord)
        start = mailboxKey(*unpackMailboxKey(key))
        uids = [
            int.from_bytes(each[len(start) :], "big")
            for each in rows.keys(MESSAGE, start, start + b"\xff" * 9)
        ]
        if len(uids) != record.messages or (uids and uids[-1] >= record.uidNext):
            raise Violation("readersSeeWhole", f"node {node}, group {group}: {uids} in {record}")
