"""One account and its mail in an array in memory, for tests of what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from jindimail.mailbox.entries import CreateAccount, CreateMailbox, Deliver, Filing
from jindimail.mailbox.queries import FindMailbox, ListMailboxes, ReadOctets, ReadRows
from jindimail.model import ARRAY_GROUP, Body, MailboxSummary, bucketGroup, bucketOf
from jindimail.replication.repair import bodyref
from jindimail.store.bodies import chunkCount
from jindimail.store.keys import BODY, chunkKey
from jindimail.store.records import BodyrefRecord, MessageRow
from tests.cluster.world import World

ADDRESS = "a@example.org"
BUCKET = bucketOf(ADDRESS)
GROUP = bucketGroup(BUCKET)
GROUPS = (ARRAY_GROUP, GROUP)
NOW = 1_800_000_000


def account() -> CreateAccount:
    """The account."""
    return CreateAccount(
        seconds=NOW,
        accountId=1,
        addresses=(ADDRESS,),
        credential="",
        quotaOctets=0,
        quotaMessages=0,
        mailboxes=(),
        uidValidity=NOW,
    )


def mailbox(name: str) -> CreateMailbox:
    """A further mailbox."""
    return CreateMailbox(seconds=NOW, accountId=1, name=name, specialUse="", uidValidity=NOW)


def bodyName(number: int) -> bytes:
    """A body's id."""
    return number.to_bytes(16, "big")


def delivery(number: int, octets: bytes) -> tuple[Deliver, Body]:
    """A delivery to the account, and its body."""
    body = Body.ofOctets(bodyName(number), octets)
    entry = Deliver(
        seconds=NOW,
        deliveryId=body.bodyId,
        bodyId=body.bodyId,
        size=body.size,
        digest=body.digest,
        keepers=(),
        summary=b"summary",
        filings=(Filing(accountId=1),),
    )
    return entry, body


class MailWorld(World):
    """An array whose bucket of that account has voters at some nodes, and is led by the first of them."""

    def __init__(
        self,
        voters: tuple[int, ...] = (1, 2, 3),
        others: tuple[int, ...] = (),
        *,
        hasAccount: bool = True,
    ) -> None:
        super().__init__(groups=GROUPS)
        self.voters, self.others = voters, others
        self.found()
        self.spread(voters, GROUPS, others)
        if hasAccount:
            self.propose(1, account())

    def isDown(self, *nodes: int) -> None:
        """Group 0 has agreed that these nodes are down, and no others."""
        self.know(self.voters, GROUPS, self.others, nodes)

    def back(self, node: int) -> None:
        """A node's process comes up again."""
        self.start(node)
        self.isDown()

    def propose(self, node: int, entry: Any) -> Any:
        """An entry's outcome, asked for at a node."""
        return self.result(self.shares[node].buckets.propose(BUCKET, entry))

    def query(self, node: int, query: Any, *, fresh: bool = False) -> Any:
        """A query's answer, asked for at a node."""
        return self.result(self.shares[node].buckets.query(BUCKET, query, fresh))

    def names(self, node: int, *, fresh: bool = False) -> list[str]:
        """The account's mailboxes."""
        return sorted(
            each.name for each in self.query(node, ListMailboxes(accountId=1), fresh=fresh).mailboxes
        )

    def deliver(self, node: int, number: int, octets: bytes) -> Deferred[Any]:
        """A delivery under way at a node."""
        entry, body = delivery(number, octets)
        delivered: Deferred[Any] = self.shares[node].buckets.propose(BUCKET, entry, body)
        return delivered

    def inbox(self, node: int) -> MailboxSummary:
        """The account's INBOX."""
        found: MailboxSummary = self.query(node, FindMailbox(accountId=1, name="INBOX"), fresh=True)
        return found

    def messages(self, node: int) -> list[MessageRow]:
        """What stands in INBOX."""
        return list(self.query(node, ReadRows(mailboxId=self.inbox(node).mailboxId), fresh=True))

    def read(self, node: int, number: int, size: int) -> bytes:
        """A body's octets, read in pieces as large as may be."""
        read = b""
        while len(read) < size:
            query = ReadOctets(bodyId=bodyName(number), prefix=0, start=len(read), stop=size)
            read += self.query(node, query)
        return read

    def reference(self, node: int, number: int) -> BodyrefRecord:
        """What a node's rows say of a body."""
        record = bodyref(self.rows[node], BUCKET, bodyName(number))
        assert record is not None
        return record

    def holds(self, node: int, number: int, size: int) -> bool:
        """Whether a node's disk has all chunks of a body."""
        return all(
            self.rows[node].get(BODY, chunkKey(BUCKET, bodyName(number), chunk)) is not None
            for chunk in range(chunkCount(size))
        )

    def checkNamed(self, number: int, size: int) -> None:
        """Each keeper that the rows name has the body."""
        keepers = self.reference(self.leader(GROUP), number).keepers
        assert all(self.holds(node, number, size) for node in keepers), keepers


def settled(
    world: World, waiting: list[Deferred[Any]], isEnough: Callable[[], bool] | None = None
) -> list[Any]:
    """What all of these came to: results, or exceptions."""
    found: list[Any] = []
    for each in waiting:
        each.addBoth(found.append)
    world.until(isEnough or (lambda: len(found) == len(waiting)))
    return [each.value if isinstance(each, Failure) else each for each in found]
