"""
What clients know, by what they were answered, and what must follow from it: a model that sees no log and no replica.

Each mailbox has its own `MailboxModel`. What was asked and not answered may have happened, at any time until the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from jindimail.model import MailboxSummary
from jindimail.store.records import MessageRow
from tests.simulation.watch import Violation


@dataclass(frozen=True)
class Known:
    """What was known when a read began."""

    uids: frozenset[int]
    gone: frozenset[int]
    uidNext: int
    modSeq: int
    flags: dict[int, int] = field(default_factory=dict)


class MailboxModel:
    """
    One mailbox.

    @ivar bodies: UID: body id, for ever, of all that was ever seen.
    @ivar acknowledged: UIDs whose delivery or copy was acknowledged.
    @ivar maybeGone: UIDs that somebody asked to expunge or move.
    @ivar gone: UIDs whose removal was acknowledged or seen.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.bodies: dict[int, bytes] = {}
        self.acknowledged: set[int] = set()
        self.maybeGone: set[int] = set()
        self.gone: set[int] = set()
        self.uidNext = 0
        self.modSeq = 0
        self.flags: dict[int, int] = {}

    def placed(self, uid: int, bodyId: bytes) -> None:
        """A UID was seen with a body."""
        known = self.bodies.setdefault(uid, bodyId)
        if known != bodyId:
            raise Violation("uidNamesOneBody", f"{self.name}: UID {uid} is {known.hex()} and {bodyId.hex()}")

    def filed(self, uid: int, bodyId: bytes) -> None:
        """A message's arrival was acknowledged."""
        self.placed(uid, bodyId)
        self.acknowledged.add(uid)
        self.uidNext = max(self.uidNext, uid + 1)

    def removing(self, uids: Iterable[int]) -> None:
        """A removal was asked for."""
        self.maybeGone.update(uids)

    def removed(self, uids: Iterable[int], modSeq: int) -> None:
        """A removal was acknowledged."""
        self.gone.update(uids)
        self.modSeq = max(self.modSeq, modSeq)

    def flagged(self, uids: Iterable[int], bits: int, modSeq: int) -> None:
        """Flags were acknowledged to be set."""
        self.modSeq = max(self.modSeq, modSeq)
        for uid in uids:
            self.flags[uid] = self.flags.get(uid, 0) | bits

    def known(self) -> Known:
        """What a read that begins now must see."""
        return Known(
            frozenset(self.acknowledged),
            frozenset(self.gone),
            self.uidNext,
            self.modSeq,
            dict(self.flags),
        )

    def read(self, before: Known, summary: MailboxSummary, rows: Iterable[MessageRow], who: str) -> None:
        """Check what a read answered against what was known when it began."""
        seen = {row.uid: row for row in rows}
        for uid, row in seen.items():
            self.placed(uid, row.bodyId)
            if before.flags.get(uid, 0) & ~row.flags:
                raise Violation(
                    "readSeesAcknowledged", f"{who} {self.name}: flags of UID {uid} are not there"
                )
        missing = before.uids - seen.keys() - self.maybeGone
        if missing:
            raise Violation(
                "readSeesAcknowledged", f"{who} {self.name}: UIDs {sorted(missing)} are not there"
            )
        returned = before.gone & seen.keys()
        if returned:
            raise Violation("expungedNeverReturns", f"{who} {self.name}: UIDs {sorted(returned)}")
        if summary.uidNext < before.uidNext or (seen and max(seen) >= summary.uidNext):
            raise Violation("uidNextNeverFalls", f"{who} {self.name}: {summary.uidNext}")
        if summary.highestModSeq < before.modSeq:
            raise Violation(
                "modSeqNeverFalls", f"{who} {self.name}: {summary.highestModSeq} < {before.modSeq}"
            )
        self.uidNext = max(self.uidNext, summary.uidNext)
        self.modSeq = max(self.modSeq, summary.highestModSeq)
        self.gone.update(uid for uid in before.uids if uid not in seen)


class Model:
    """All mailboxes, and all deliveries."""

    def __init__(self) -> None:
        self.mailboxes: dict[tuple[int, int], MailboxModel] = {}
        self.refused: list[tuple[int, int]] = []  # (group, an entry's own time) that must not have happened
        self.bodies: dict[bytes, bytes] = {}  # the octets of what was sent, by delivery id

    def mailbox(self, group: int, mailboxId: int) -> MailboxModel:
        """A mailbox of a group."""
        key = group, mailboxId
        found = self.mailboxes.get(key)
        if found is None:
            found = self.mailboxes[key] = MailboxModel(f"group {group} mailbox {mailboxId}")
        return found
