"""
The seams between the layers, each with a contract test that its real provider and its in-memory fake both pass.

A method documented as *awaitable* returns a coroutine or Deferred. Every wait for another node has a deadline and ends in
`Unavailable` or `OutcomeUnknown`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import Attribute, Interface


class IReadRows(Interface):
    """Ordered rows of the store's tables (store/keys.py), as of one moment. Pure code reads through this."""

    def get(table: str, key: bytes) -> bytes | None:
        """The value of a key, or None. The octets are a copy; they outlive the transaction."""

    def scan(table: str, start: bytes, stop: bytes, reverse: bool = False) -> Any:
        """
        Iterate `(key, value)` with start <= key < stop, ascending or descending.

        The rows must not be changed while the iterator is in use: collect first, then write.
        """


class IKeys(IReadRows):
    """Committed rows, whose keys can be read without their values."""

    def keys(table: str, start: bytes, stop: bytes) -> Any:
        """Iterate the keys alone with start <= key < stop, ascending."""


class IRows(IReadRows):
    """Rows inside a write transaction: reads see its own writes."""

    def put(table: str, key: bytes, value: bytes) -> None:
        """Write a value, replacing any."""

    def delete(table: str, key: bytes) -> bool:
        """Delete a key; whether it was there."""


class IStore(Interface):
    """One node's durable rows: a single writer that commits groups, and short readers (design §4)."""

    freeLevel = Attribute(
        "`store.space.Level` of free disk space: PLENTY, NO_BODIES (<10 %), ONLY_EXPUNGES (<5 %)."
    )

    def write(job: Any, bodyOctets: int = 0, ran: Any = None, mayWait: bool = False) -> Any:
        """
        Run `job(rows: IRows) -> T` in the writer's next transaction; a Deferred of T after the fsync.

        `ran(result)` is for jobs whose effect is certain before it is durable here, since it will be repeated after a crash (applying
        what is committed): it is called as soon as the job has run, and from then on `read` shows what the job changed.
        Such a job that `mayWait` costs no transaction of its own: it is committed with the next that may not, or within half a second.

        Jobs run in the order of `write`, but those with `bodyOctets` (bare bodies, at most 1 MiB each) may be
        overtaken by those without. Many jobs share one commit, so a job must touch nothing but its rows, and may be run
        again if another job of the same commit raised. What a job raises reaches only its own Deferred, with none of its
        rows written. After a failed commit every waiting and later write fails with `OutcomeUnknown` and `Unavailable`,
        and the store is fatal (`failed` fires): the node stops.
        """

    def begin() -> None:
        """A hint: nothing more is written this turn, so what waits need not wait for its end."""

    def whenFree(told: Callable[[], object]) -> bool:
        """
        If a transaction is under way, call back once when it is over, before the next begins: nothing written until then would begin
        earlier. False, and no call, if there is none.
        """

    def read() -> Any:
        """
        A context manager of `IReadRows`: what is committed, and what jobs with `ran` have changed since. Close it within the reactor turn.

        @raise Unavailable: on entering it, when the store is closed.
        """

    def readDurable() -> Any:
        """The same without what is not durable yet: for what is told to others as kept."""

    def failed() -> Any:
        """A Deferred that fires once, with the reason, when the store can no longer be written."""

    def close() -> Any:
        """A Deferred: all accepted writes are committed, the environment is closed."""


class IStateMachine(Interface):
    """What a replicated group keeps (pure)."""

    def apply(rows: Any, group: int, index: int, entry: bytes) -> Any:
        """
        Apply a committed entry to the rows; `(outcome, events)`. Never raises for any entry of a known kind;
        deterministic in (rows, group, index, entry). Each event has a `topic`, a tuple that `IBuckets.follow` knows.
        """

    def answer(rows: Any, group: int, query: Any) -> Any:
        """
        Evaluate a query on a replica's rows.

        @raise Corrupt: what it needs is damaged or missing.
        """

    def encode(entry: Any, keepers: Any = ()) -> Any:
        """An entry's octets, as they stand in the log; of a delivery, with the nodes that keep its body."""

    def level(entry: Any) -> int:
        """The level that brought an entry's kind: nodes of a lower one do not know it."""

    def decode(octets: bytes) -> Any:
        """
        An entry.

        @raise Corrupt: it is none of a known kind.
        """


class IGroups(Interface):
    """The replicated groups of this node (replication/driver.py)."""

    def propose(group: int, entry: bytes, before: Any = None, mayLag: bool = False) -> Any:
        """
        A Deferred of the outcome, once the entry is committed and applied here.

        `before(rows)` runs in the transaction of the log row, ahead of it (the leader's own copy of a body). What `mayLag` is applied at other
        members some time later; nothing that is read there after a readIndex, or after an entry that may not, is older.

        @raise Unavailable: it was not proposed (no leader, shutting down).
        @raise OutcomeUnknown: it may still be committed.
        """

    def readIndex(group: int) -> Any:
        """A Deferred of an applied index, confirmed by a majority, that covers everything acknowledged before the call."""

    def isAlone(group: int) -> bool:
        """Whether this node's replica is the group's only voter."""

    def appliedIndex(group: int) -> int:
        """Up to where this node's rows of a group are complete; 0: there are none, or a snapshot is taking their place."""

    def lastIndex(group: int) -> int:
        """The last index in the log of this node's replica, committed or not; 0: there is none."""

    def whenApplied(group: int, index: int) -> Any:
        """A Deferred of the applied index, once it is at least this one; it may be cancelled."""

    def leaderOf(group: int) -> Any:
        """The node that leads a group, as far as is known here, or None."""

    def leadingTerm(group: int) -> int:
        """The term in which this node leads a group; 0: it does not. While it stays the same, nobody else led."""

    def listen(listener) -> None:  # type: ignore[no-untyped-def]
        """Call `listener(group, index, events)` on the reactor after every commit that had events."""


class IBuckets(Interface):
    """
    The array's buckets, wherever their replicas are: all that the mailbox, directory and delivery layers know of it.

    `bucket` is 0…255, or `None` for the array's own group (domains and settings).
    """

    node = Attribute("This node's number (int).")
    incarnation = Attribute("This node's incarnation (int).")

    def propose(bucket: Any, entry: Any, body: Any = None) -> Any:
        """
        Awaitable `Outcome` (mailbox/outcomes.py) of an entry (mailbox/entries.py), committed and applied.

        `body` (`model.Body`) is that of a `Deliver` entry, whose keepers are settled here: it is durable at each before the
        entry is proposed.
        """

    def query(bucket: Any, query: Any, fresh: bool = False, mayLag: bool = False) -> Any:
        """
        Awaitable answer of a query (mailbox/queries.py).

        With `fresh` the answer reflects everything acknowledged anywhere before the call (read index); without, it may be a
        moment old, but never older than any outcome, answer or event of the bucket that this node has had before; with `mayLag`,
        deliveries are excepted (docs/adr/0051).
        """

    def follow(bucket: int, mailboxId: int, listener: Any) -> Any:
        """
        Call `listener()` after a mailbox changed or was removed; several changes may come as one call.

        The listener then reads `ReadChanges` after the MODSEQ it knows. Returns an object with `stop()`.
        """

    def followTopic(topic: Any, listener: Any) -> Any:
        """Like `follow`, for any event's topic (`("domains",)`, `("names", bucket, accountId)`, …)."""

    def isOver(node: int, incarnation: int) -> bool:
        """Whether that process of a node is known to have ended: the array has agreed so, or a later one was seen."""

    def isReachable(bucket: int) -> bool:
        """Whether so many of a bucket's nodes are heard that it may answer now."""

    def mayBeOld(bucket: int) -> bool:
        """Whether what this node knows of a bucket may be older than a moment: its replica hears no leader, though there may be one."""

    def led() -> Any:
        """The buckets that this node leads now, ascending."""

    def maySpool() -> bool:
        """Whether there is room for new messages (`StorageFull` otherwise)."""


class IAccount(Interface):
    """
    A logged-in user's account: the avatar of the realm (`twisted.cred`). Methods are awaitable; names are str (not UTF-7).

    Raises the refusals of `errors`.
    """

    name = Attribute("The login name, a normalised address.")
    addresses = Attribute("All addresses that belong to the account.")
    accountId = Attribute("int")
    bucket = Attribute("int")

    def mailboxes() -> Any:
        """`queries.Mailboxes`, fresh: all mailboxes by name with counts, and the subscribed names."""

    def status(name: str) -> Any:
        """`model.MailboxSummary`, fresh. INBOX in any case."""

    def open(name: str, readOnly: bool = False) -> Any:
        """An `IMailbox`."""

    def create(name: str, specialUse: str = "") -> Any:
        """Create a mailbox and its missing superiors; `outcomes.MailboxMade`."""

    def delete(name: str) -> Any:
        """Delete a mailbox; one with inferiors is refused (HasInferiors), INBOX too (NotAllowed)."""

    def rename(oldName: str, newName: str) -> Any:
        """Rename with inferiors; renaming INBOX moves its messages (RFC 9051 §6.3.6)."""

    def subscribe(name: str, subscribed: bool) -> Any:
        """Subscribe or unsubscribe."""

    def append(name: str, body: Any, flags: Any = (), internalSeconds: Any = None) -> Any:
        """
        File a body (`model.Body`, made with `newBody`) in a mailbox; `(uidValidity, uid)`.

        Refused before anything is stored: NoSuchMailbox, OverQuota, StorageFull.
        """

    def mayAppend(octets: int) -> Any:
        """Refuse early what `append` of so many octets would refuse: OverQuota, StorageFull."""

    def owns(address: str) -> Any:
        """Whether an address (a sender's, say), or the one before its `+tag`, belongs to the account and to nobody else."""

    def quota() -> Any:
        """`(UsageRecord, quotaOctets, quotaMessages)`."""

    def lockPop(session: str) -> Any:
        """
        Take the exclusive POP3 lock (MailboxInUse), under a name that no other login has (mailbox/poplock.py); `unlockPop` of that gives it
        back.
        """

    def unlockPop(session: str, mailbox: Any = None, uids: Any = None) -> Any:
        """
        Give the lock back; harmless if it is not held.

        With an `IMailbox` and a UidSet these messages go with it, in one commit (a bound on what an entry may hold cuts it into
        several), and only while the lock is held (LockLost).
        """

    def logout() -> None:
        """The session is over: mailboxes opened by it are closed, its lock is given back."""


class IMailbox(Interface):
    """
    A mailbox opened by one session. It keeps no messages in memory; views (sequence numbers) are the edges' own.

    Awaitables unless said otherwise. A mailbox that was deleted meanwhile, or has another UIDVALIDITY, raises `MailboxGone`.
    """

    mailboxId = Attribute("int")
    uidValidity = Attribute("int")
    readOnly = Attribute("bool")
    name = Attribute("str")

    def summary() -> Any:
        """`model.MailboxSummary`, fresh."""

    def rows(lowUid: int = 1, highUid: int = 0xFFFFFFFF) -> Any:
        """All `MessageRow`s of the UID range, as a list (read in bounded queries)."""

    def parts(lowUid: int = 1, highUid: int = 0xFFFFFFFF) -> Any:
        """The same rows as an asynchronous iterator of parts, each of which is read in a few milliseconds."""

    def rowsOf(uids: Any) -> Any:
        """The `MessageRow`s of those of a UidSet that exist, as a list."""

    def changes(afterModSeq: int) -> Any:
        """`queries.Changes` after a MODSEQ, at most 1000."""

    def follow(listener: Any) -> Any:
        """Synchronous: call `listener()` after changes; returns an object with `stop()`."""

    def summaryOf(row: Any) -> Any:
        """The `SummaryRecord` of a row."""

    def octets(row: Any, start: int = 0, stop: int | None = None, isPiece: bool = False) -> Any:
        """
        Octets [start, stop) of the message as clients see it (with its prefix); at most 1 MiB a call.

        A body that is read whole is verified; `isPiece` says that these octets are one piece of a body that is read so.
        """

    def storeFlags(uids: Any, action: int, flags: Any, unchangedSince: Any = None) -> Any:
        """`outcomes.FlagsStored`; action is `entries.REPLACE`, `ADD` or `REMOVE`; flags are names (`\\Seen`, keywords)."""

    def copy(uids: Any, targetName: str, move: bool = False) -> Any:
        """`outcomes.Copied`; NoSuchMailbox if there is no target."""

    def expunge(uids: Any = None, onlyDeleted: bool = True) -> Any:
        """`outcomes.Expunged`; None means all. Durable when it answers."""

    def flagNames(row: Any) -> Any:
        """Synchronous: the tuple of a row's flag names, by the keywords known from the last `summary`/`storeFlags`."""

    def close() -> None:
        """Synchronous: no listeners are called any more, nor those of a later `follow`."""


class IDelivery(Interface):
    """What the server promises for mail that comes in (design §7). Methods are awaitable."""

    def resolve(address: str, octets: int = 0) -> Any:
        """
        The `model.Recipient` of an envelope address (str; UTF-8 allowed), of a message of so many octets (0: unknown).

        @raise RelayDenied, NoSuchUser, UserDisabled, OverQuota, LargerThanQuota, Unavailable
        """

    def newDeliveryId() -> bytes:
        """A fresh id, 16 octets, time first, never reused."""

    def maySpool() -> bool:
        """Synchronous: whether there is room for new messages (`StorageFull` otherwise); asked at MAIL."""

    def deliver(envelope: Any, body: Any) -> Any:
        """
        File a body (a `model.Body` that starts with the edge's own `Received` field) for an envelope's recipients.

        Answers one `errors.JindimailError | None` per recipient, in order: None is durable. Adds Return-Path and Delivered-To
        per recipient. Never raises for one recipient what concerns another.
        """


class ISessions(Interface):
    """The node's client sessions: who is connected, and the bounds on how many (config [limits])."""

    def admit(protocol: str, peer: str) -> Any:
        """A `Session` (attributes protocol, peer, id, user, activity, close callback), or None when a bound is reached."""


class INodeLink(Interface):
    """One-way and two-way messages to one other node (cluster/)."""

    def send(messages) -> None:  # type: ignore[no-untyped-def]
        """Send a list of byte strings (each at most 64 KiB); lost silently when the peer is away."""

    def sendBulk(messages) -> None:  # type: ignore[no-untyped-def]
        """Like `send`, by another way, so that large messages delay no small ones; the two ways keep no order between them."""


class ILinks(Interface):
    """This node's links to all others (cluster/links.py; in memory: cluster/memorylinks.py)."""

    node = Attribute("This node's number (int).")

    def link(node: int) -> Any:
        """The `INodeLink` of a node, known yet or not."""

    def send(node: int, messages: Any) -> None:
        """Send byte strings of at most 64 KiB each, in order, on the control channel; lost silently when the peer is away."""

    def sendBulk(node: int, messages: Any) -> None:
        """Like `send`, on the data channel: so that large messages delay no small ones. The two channels keep no order between them."""

    def attend(took: Any, tookBulk: Any) -> None:
        """Call `took(node, messages)` with what others `send` here, and `tookBulk` with what they `sendBulk`."""

    def call(node: int, method: str, payload: bytes, deadlineSeconds: float) -> Any:
        """
        A Deferred of the answer (bytes) of a method that the node serves; a call of this node itself goes no way round.

        Payload and answer are at most 4 MiB. Calls beyond what may be in flight wait. Cancelling withdraws a call that waits.

        @raise Unavailable: it was not sent (the node is away, no room until the deadline), or it is not served there.
        @raise OutcomeUnknown: it was sent and not answered in time.
        @raise JindimailError: what it was answered with: the nearest class of `errors`.
        """

    def serve(method: str, answerer: Any) -> None:
        """
        Answer calls of a method with `answerer(node, payload, deadlineSeconds)`: bytes, or an awaitable of bytes.

        What it raises travels as the nearest class of `errors`; what is not ours is logged here and an internal error there.
        """

    def isUp(node: int) -> bool:
        """Whether there are connections to a node."""

    def incarnationOf(node: int) -> int:
        """The latest incarnation of a node that was seen; -1 for none."""

    def listen(listener: Any) -> None:
        """Call `listener(node, isUp)` when the connections to a node have come up, or gone."""
