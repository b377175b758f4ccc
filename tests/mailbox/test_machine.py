"""The state machine of a bucket, against a dumb twin and by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jindimail.errors import Corrupt
from jindimail.mailbox import entries as e
from jindimail.mailbox.answer import answer
from jindimail.mailbox.machine import MailMachine
from jindimail.mailbox.outcomes import (
    Copied,
    Done,
    Expunged,
    Filed,
    FlagsStored,
    Locked,
    MailboxMade,
    Refused,
    Steps,
)
from jindimail.mailbox.queries import FindAccount, ListMailboxes, ReadChanges, ReadOctets, ReadRows
from jindimail.mailbox.step import CHANGES_KEPT, flagNames
from jindimail.model import DELETED, SEEN, UidSet, Vanished, bucketOf, digestOf
from jindimail.store.bodies import putBody
from jindimail.store.keys import (
    BODY,
    BODYREF,
    CHANGE,
    MAILBOX,
    MESSAGE,
    SUMMARY,
    USER,
    uidValidityFloorKey,
)
from jindimail.store.memory import MemoryRows
from jindimail.store.records import PopLockRecord

ADDRESS = "alice@example.org"
BUCKET = bucketOf(ADDRESS)
GROUP = BUCKET + 1
ACCOUNT = 7
NOW = 1_800_000_000


class Log:
    """Applies entries to rows in memory, one index after the other."""

    def __init__(self) -> None:
        self.rows = MemoryRows()
        self.machine = MailMachine()
        self.index = 0
        self.events = []

    def apply(self, entry, body: bytes | None = None):
        """Apply an entry, a body in the same transaction."""
        self.index += 1
        with self.rows.transaction():
            if body is not None:
                putBody(self.rows, BUCKET, entry.bodyId, body)
            outcome, events = self.machine.apply(self.rows, GROUP, self.index, e.encodeEntry(entry))
        self.events.extend(events)
        return outcome

    def ask(self, query):
        """Ask the bucket."""
        return answer(self.rows, BUCKET, query)

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return len(self.rows.snapshot()[table])

    def createAccount(self, **given):
        """Create the account."""
        fields = {
            "seconds": NOW,
            "accountId": ACCOUNT,
            "addresses": (ADDRESS,),
            "credential": "",
            "quotaOctets": 0,
            "quotaMessages": 0,
            "mailboxes": (("Sent", "\\Sent"), ("Trash", "\\Trash")),
            "uidValidity": NOW,
        }
        return self.apply(e.CreateAccount(**{**fields, **given}))

    def deliver(
        self, name: int, octets: bytes = b"x: y\r\n\r\nbody\r\n", *, filings=None, seconds: int = NOW
    ):
        """Deliver a body named by a number."""
        bodyId = name.to_bytes(16, "big")
        entry = e.Deliver(
            seconds=seconds,
            deliveryId=bodyId,
            bodyId=bodyId,
            size=len(octets),
            digest=digestOf(octets),
            keepers=(1,),
            summary=b"summary",
            filings=filings or (e.Filing(accountId=ACCOUNT, prefix=b"P: q\r\n"),),
        )
        return self.apply(entry, octets)

    def mailbox(self, name: str):
        """A mailbox's summary by name."""
        found = [m for m in self.ask(ListMailboxes(accountId=ACCOUNT)).mailboxes if m.name == name]
        return found[0] if found else None

    def messages(self, name: str):
        """A mailbox's message rows."""
        return self.ask(ReadRows(mailboxId=self.mailbox(name).mailboxId))


@pytest.fixture
def log() -> Log:
    """A bucket with one account."""
    made = Log()
    assert made.createAccount() == Done()
    return made


def test_anAccountBeginsWithItsMailboxes(log: Log) -> None:
    found = log.ask(ListMailboxes(accountId=ACCOUNT))
    assert [(m.name, m.specialUse, m.subscribed) for m in found.mailboxes] == [
        ("INBOX", "", True),
        ("Sent", "\\Sent", True),
        ("Trash", "\\Trash", True),
    ]
    assert len({m.uidValidity for m in found.mailboxes}) == 3


def test_anAccountOrAddressIsMadeOnce(log: Log) -> None:
    assert log.createAccount() == Refused("exists")
    assert log.createAccount(accountId=8) == Refused("exists")


def test_aDeliveryIsFiledOnceForOneId(log: Log) -> None:
    first = log.deliver(1)
    before = log.rows.snapshot()
    again = log.deliver(1)
    assert isinstance(first, Filed)
    assert again == Filed(filings=first.filings, repeated=True)
    assert log.rows.snapshot() == before


def test_aRepetitionAfterTheExpungeBringsNothingBack(log: Log) -> None:
    log.deliver(1)
    inbox = log.mailbox("INBOX").mailboxId
    log.apply(e.Expunge(seconds=NOW, mailboxId=inbox, ranges=((1, 1),), onlyDeleted=False))
    assert log.deliver(1).repeated
    assert log.messages("INBOX") == ()
    assert log.count(BODY) == 0


def test_oneBodyServesAllRecipientsEachWithItsOwnPrefix(log: Log) -> None:
    filings = tuple(
        e.Filing(accountId=ACCOUNT, prefix=prefix) for prefix in (b"To: a\r\n", b"To: bb\r\n", b"To: a\r\n")
    )
    log.deliver(1, b"body\r\n", filings=filings)
    rows = log.messages("INBOX")
    read = [log.ask(ReadOctets(bodyId=r.bodyId, prefix=r.prefix, start=0, stop=r.size)) for r in rows]
    assert read == [b"To: a\r\nbody\r\n", b"To: bb\r\nbody\r\n", b"To: a\r\nbody\r\n"]
    assert [r.size for r in rows] == [len(octets) for octets in read]
    assert log.count(BODY) == 1


@pytest.mark.parametrize("start,stop", [(0, 3), (2, 9), (6, 7), (6, 12), (7, 8), (11, 99), (99, 120)])
def test_partsOfAMessageCrossFromPrefixToBody(log: Log, start: int, stop: int) -> None:
    log.deliver(1, b"body\r\n", filings=(e.Filing(accountId=ACCOUNT, prefix=b"P: q\r\n"),))
    whole = b"P: q\r\nbody\r\n"
    row = log.messages("INBOX")[0]
    assert (
        log.ask(ReadOctets(bodyId=row.bodyId, prefix=row.prefix, start=start, stop=stop)) == whole[start:stop]
    )


def test_aFlippedOctetIsCorrupt(log: Log) -> None:
    log.deliver(1, b"body\r\n")
    row = log.messages("INBOX")[0]
    putBody(log.rows, BUCKET, row.bodyId, b"bodY\r\n")
    with pytest.raises(Corrupt):
        log.ask(ReadOctets(bodyId=row.bodyId, prefix=row.prefix, start=0, stop=row.size))


def test_aMissingChunkIsCorrupt(log: Log) -> None:
    log.deliver(1, b"x" * 200_000)
    row = log.messages("INBOX")[0]
    log.rows.delete(BODY, max(log.rows.snapshot()[BODY]))
    with pytest.raises(Corrupt):
        log.ask(ReadOctets(bodyId=row.bodyId, prefix=row.prefix, start=0, stop=row.size))


def test_quotaIsComputedWhenTheEntryIsApplied() -> None:
    log = Log()
    log.createAccount(quotaMessages=1)
    assert not log.deliver(1).filings[0].refused
    assert log.deliver(2).filings[0].refused == "overQuota"
    assert log.count(BODY) == log.count(BODYREF) == 1
    assert log.deliver(2).filings[0].refused == "overQuota"


def test_octetQuotaCountsThePrefix() -> None:
    log = Log()
    log.createAccount(quotaOctets=10)
    assert (
        log.deliver(1, b"1234", filings=(e.Filing(accountId=ACCOUNT, prefix=b"1234567"),)).filings[0].refused
    )
    assert (
        not log.deliver(2, b"1234", filings=(e.Filing(accountId=ACCOUNT, prefix=b"123456"),))
        .filings[0]
        .refused
    )


def test_aDisabledAccountTakesNoMailButKeepsIts(log: Log) -> None:
    log.deliver(1)
    log.apply(e.SetAccount(seconds=NOW, accountId=ACCOUNT, enabled=False))
    assert log.deliver(2).filings[0].refused == "disabled"
    assert len(log.messages("INBOX")) == 1


def test_aVoidDeliveryIsRefusedForEver(log: Log) -> None:
    name = (1).to_bytes(16, "big")
    log.apply(e.VoidDelivery(seconds=NOW, deliveryId=name))
    assert log.deliver(1) == Refused("void")
    assert log.count(BODY) == 0


def test_voidDoesNothingToWhatWasDelivered(log: Log) -> None:
    first = log.deliver(1)
    log.apply(e.VoidDelivery(seconds=NOW, deliveryId=(1).to_bytes(16, "big")))
    assert log.deliver(1).filings == first.filings


def test_keepersChangeOnlyFromWhatTheyWere(log: Log) -> None:
    log.deliver(1)
    name = (1).to_bytes(16, "big")
    log.apply(e.SetKeepers(seconds=NOW, bodyId=name, old=(2,), new=(3,)))
    before = log.rows.snapshot()[BODYREF]
    log.apply(e.SetKeepers(seconds=NOW, bodyId=name, old=(1,), new=(2, 3)))
    assert log.rows.snapshot()[BODYREF] != before
    log.apply(e.SetKeepers(seconds=NOW, bodyId=b"?" * 16, old=(), new=(3,)))
    assert log.count(BODYREF) == 1


def test_uidsAreNeverGivenTwice(log: Log) -> None:
    log.deliver(1)
    inbox = log.mailbox("INBOX").mailboxId
    log.apply(e.Expunge(seconds=NOW, mailboxId=inbox, ranges=((1, 9),), onlyDeleted=False))
    assert log.deliver(2).filings[0].uid == 2


def test_aNewMailboxOfAnOldNameHasAHigherUidValidity(log: Log) -> None:
    first = log.apply(
        e.CreateMailbox(seconds=NOW, accountId=ACCOUNT, name="a", specialUse="", uidValidity=NOW)
    )
    assert log.apply(e.DeleteMailbox(seconds=NOW, accountId=ACCOUNT, mailboxId=first.mailboxId)) == Steps(
        remaining=0
    )
    again = log.apply(
        e.CreateMailbox(seconds=NOW, accountId=ACCOUNT, name="a", specialUse="", uidValidity=NOW)
    )
    assert again.uidValidity > first.uidValidity
    assert again.mailboxId != first.mailboxId


def test_superiorsAreMade(log: Log) -> None:
    made = log.apply(
        e.CreateMailbox(seconds=NOW, accountId=ACCOUNT, name="a/b/c", specialUse="\\Junk", uidValidity=NOW)
    )
    assert isinstance(made, MailboxMade)
    assert log.mailbox("a/b/c").mailboxId == made.mailboxId
    assert log.mailbox("a/b/c").uidValidity == made.uidValidity
    assert [log.mailbox(name).specialUse for name in ("a", "a/b", "a/b/c")] == ["", "", "\\Junk"]


def test_aLargeMailboxIsEmptiedStepByStep(log: Log) -> None:
    made = log.apply(
        e.CreateMailbox(seconds=NOW, accountId=ACCOUNT, name="a", specialUse="", uidValidity=NOW)
    )
    filings = (e.Filing(accountId=ACCOUNT, mailboxId=made.mailboxId),) * 1500
    log.deliver(1, filings=filings)
    assert log.ask(FindAccount(accountId=ACCOUNT)).usage.messages == 1500
    delete = e.DeleteMailbox(seconds=NOW, accountId=ACCOUNT, mailboxId=made.mailboxId)
    assert log.apply(delete) == Steps(remaining=500)
    assert log.mailbox("a") is None
    assert log.deliver(2, filings=filings[:1]).filings[0].refused == "noMailbox"
    assert log.apply(delete) == Steps(remaining=0)
    assert log.ask(FindAccount(accountId=ACCOUNT)).usage.messages == 0
    assert [log.count(table) for table in (MESSAGE, BODY, BODYREF, SUMMARY, CHANGE)] == [0] * 5


def test_aMailboxThatIsCalledOtherwiseByNowIsNotDeleted(log: Log) -> None:
    made = log.apply(
        e.CreateMailbox(seconds=NOW, accountId=ACCOUNT, name="a", specialUse="", uidValidity=NOW)
    )
    log.apply(e.RenameMailbox(seconds=NOW, accountId=ACCOUNT, oldName="a", newName="b", uidValidity=NOW))
    delete = e.DeleteMailbox(seconds=NOW, accountId=ACCOUNT, mailboxId=made.mailboxId, name="a")
    assert log.apply(delete) == Refused("noMailbox")
    assert log.mailbox("b").mailboxId == made.mailboxId


def test_anAccountIsRemovedWhileASessionDeletesItsMailbox(log: Log) -> None:
    made = log.apply(
        e.CreateMailbox(seconds=NOW, accountId=ACCOUNT, name="Archived", specialUse="", uidValidity=NOW)
    )
    log.deliver(1, filings=(e.Filing(accountId=ACCOUNT, mailboxId=made.mailboxId),) * 2100)
    remove = e.RemoveAccount(seconds=NOW, accountId=ACCOUNT)
    delete = e.DeleteMailbox(seconds=NOW, accountId=ACCOUNT, mailboxId=made.mailboxId, name="Archived")
    assert log.apply(remove) == Steps(remaining=1101)
    assert log.apply(delete) == Steps(remaining=100)
    assert log.apply(delete) == Steps(remaining=0)
    assert log.apply(remove).remaining  # its INBOX is left
    for _ in range(10):
        if not log.apply(remove).remaining:
            break
    assert log.apply(remove) == Refused("noAccount")
    assert [log.count(table) for table in (MESSAGE, BODY, BODYREF, MAILBOX)] == [0] * 4


def test_mailboxesWithInferiorsAndInboxAreNotDeleted(log: Log) -> None:
    log.apply(e.CreateMailbox(seconds=NOW, accountId=ACCOUNT, name="a/b", specialUse="", uidValidity=NOW))
    for name in ("a", "INBOX"):
        delete = e.DeleteMailbox(seconds=NOW, accountId=ACCOUNT, mailboxId=log.mailbox(name).mailboxId)
        assert log.apply(delete) == Refused("notAllowed")


def test_renameTakesInferiorsAlong(log: Log) -> None:
    log.apply(e.CreateMailbox(seconds=NOW, accountId=ACCOUNT, name="a/b/c", specialUse="", uidValidity=NOW))
    was = log.mailbox("a/b/c")
    rename = e.RenameMailbox(seconds=NOW, accountId=ACCOUNT, oldName="a/b", newName="x/y", uidValidity=NOW)
    assert log.apply(rename) == Done()
    assert log.mailbox("a/b/c") is None
    assert log.mailbox("x/y/c").mailboxId == was.mailboxId
    assert log.mailbox("x") is not None


@pytest.mark.parametrize(
    "old,new,code",
    [
        ("a", "a/b/c", "notAllowed"),
        ("a", "Sent", "exists"),
        ("nothing", "b", "noMailbox"),
        ("INBOX", "b", "notAllowed"),
        ("a", "b/" + "n" * 400, "limit"),
    ],
)
def test_renameIsRefused(log: Log, old: str, new: str, code: str) -> None:
    log.apply(e.CreateMailbox(seconds=NOW, accountId=ACCOUNT, name="a", specialUse="", uidValidity=NOW))
    before = log.rows.snapshot()
    rename = e.RenameMailbox(seconds=NOW, accountId=ACCOUNT, oldName=old, newName=new, uidValidity=NOW)
    assert log.apply(rename) == Refused(code)
    assert log.rows.snapshot() == before


def test_keywordsHaveABound(log: Log) -> None:
    log.deliver(1)
    inbox = log.mailbox("INBOX").mailboxId
    names = tuple(f"k{number}" for number in range(56))
    store = e.StoreFlags(seconds=NOW, mailboxId=inbox, ranges=((1, 1),), action=e.ADD, flags=names)
    assert isinstance(log.apply(store), FlagsStored)
    assert flagNames(log.mailbox("INBOX").keywords, log.messages("INBOX")[0].flags) == names
    more = e.StoreFlags(seconds=NOW, mailboxId=inbox, ranges=((1, 1),), action=e.ADD, flags=("onemore",))
    assert log.apply(more) == Refused("limit")


def test_unchangedSinceKeepsRowsThatChanged(log: Log) -> None:
    log.deliver(1)
    log.deliver(2)
    inbox = log.mailbox("INBOX").mailboxId
    limit = log.messages("INBOX")[0].modSeq
    store = e.StoreFlags(
        seconds=NOW, mailboxId=inbox, ranges=((1, 2),), action=e.ADD, flags=("\\Seen",), unchangedSince=limit
    )
    outcome = log.apply(store)
    assert (outcome.changed, outcome.modified) == (UidSet.of([1]), UidSet.of([2]))


def test_changesAreBoundedAndTheFloorTells(log: Log) -> None:
    log.deliver(1)
    inbox = log.mailbox("INBOX").mailboxId
    for turn in range(CHANGES_KEPT + 100):
        action = e.ADD if turn % 2 else e.REMOVE
        flags = ("\\Flagged",)
        log.apply(e.StoreFlags(seconds=NOW, mailboxId=inbox, ranges=((1, 1),), action=action, flags=flags))
    assert CHANGES_KEPT <= log.count(CHANGE) < CHANGES_KEPT + 100
    assert not log.ask(ReadChanges(mailboxId=inbox, afterModSeq=1)).resumable
    assert log.ask(ReadChanges(mailboxId=inbox, afterModSeq=200)).resumable


def test_thePopLockIsExclusiveAndEndsWithItsIncarnation(log: Log) -> None:
    def take(session: str, incarnation: int = 1, node: int = 1):
        return log.apply(
            e.TakePopLock(seconds=NOW, accountId=ACCOUNT, node=node, incarnation=incarnation, session=session)
        )

    assert take("a") == Done()
    assert take("a") == Done()
    held = Locked(holder=PopLockRecord(node=1, incarnation=1, session="a"))
    assert take("b") == held
    assert take("b", node=2, incarnation=9) == held
    assert take("b", incarnation=2) == Done()
    drop = e.DropPopLock(seconds=NOW, accountId=ACCOUNT, node=1, incarnation=1, session="a")
    log.apply(drop)
    assert isinstance(take("c", incarnation=2), Locked)


def test_whatIsDeletedUnderALockIsDeletedOnlyWhileItIsHeld(log: Log) -> None:
    log.deliver(1)
    log.deliver(2)
    inbox = log.mailbox("INBOX").mailboxId
    mine = PopLockRecord(node=1, incarnation=1, session="a")

    def delete(uid: int, unlock: bool = False):
        return log.apply(
            e.Expunge(
                seconds=NOW,
                mailboxId=inbox,
                ranges=((uid, uid),),
                onlyDeleted=False,
                lock=mine,
                unlock=unlock,
            )
        )

    take = e.TakePopLock(seconds=NOW, accountId=ACCOUNT, node=1, incarnation=1, session="a")
    assert delete(1) == Refused("lockLost")
    log.apply(take)
    assert delete(1).uids == UidSet(((1, 1),))
    assert delete(9, unlock=True).uids == UidSet()
    assert delete(2) == Refused("lockLost")
    assert log.apply(take) == Done()
    assert len(log.messages("INBOX")) == 1


def test_removingAnAccountLeavesNothing(log: Log) -> None:
    log.deliver(1, filings=(e.Filing(accountId=ACCOUNT),) * 1100)
    remaining, steps = 1, 0
    while remaining:
        remaining = log.apply(e.RemoveAccount(seconds=NOW, accountId=ACCOUNT)).remaining
        steps += 1
        assert log.ask(FindAccount(accountId=ACCOUNT)) is None
    assert steps > 2
    assert [log.count(t) for t in (MAILBOX, MESSAGE, BODY, BODYREF, SUMMARY, CHANGE)] == [0] * 6
    assert list(log.rows.snapshot()[USER]) == [uidValidityFloorKey(BUCKET)]


def test_anAccountMadeAgainBeginsAboveAllUidValiditiesThatWere(log: Log) -> None:
    log.apply(e.CreateMailbox(seconds=NOW, accountId=ACCOUNT, name="a/b", specialUse="", uidValidity=NOW))
    highest = log.mailbox("a/b").uidValidity
    while log.apply(e.RemoveAccount(seconds=NOW, accountId=ACCOUNT)).remaining:
        pass
    assert log.createAccount(accountId=ACCOUNT + 1) == Done()
    made = log.ask(ListMailboxes(accountId=ACCOUNT + 1)).mailboxes
    assert min(mailbox.uidValidity for mailbox in made) > highest


def test_copiesAndDeliveriesLoseTheKeywordsThatThereIsNoRoomFor(log: Log) -> None:
    log.deliver(1)
    inbox, trash = log.mailbox("INBOX").mailboxId, log.mailbox("Trash").mailboxId
    log.apply(e.CopyMessages(seconds=NOW, sourceId=inbox, ranges=((1, 1),), targetId=trash))
    full = tuple(f"k{number}" for number in range(56))
    log.apply(e.StoreFlags(seconds=NOW, mailboxId=trash, ranges=((1, 1),), action=e.ADD, flags=full))
    mixed = ("k7", "new", "\\Flagged")
    log.apply(e.StoreFlags(seconds=NOW, mailboxId=inbox, ranges=((1, 1),), action=e.ADD, flags=mixed))
    copied = log.apply(
        e.CopyMessages(seconds=NOW, sourceId=inbox, ranges=((1, 1),), targetId=trash, move=True)
    )
    assert copied.targets == UidSet(((2, 2),))
    log.deliver(2, filings=(e.Filing(accountId=ACCOUNT, mailboxId=trash, flags=mixed),))
    for row in log.messages("Trash")[1:]:
        assert flagNames(log.mailbox("Trash").keywords, row.flags) == ("\\Flagged", "k7")


def test_aMessageLargerThanTheWholeQuotaIsNotJustTooMuchNow(log: Log) -> None:
    log.apply(e.SetAccount(seconds=NOW, accountId=ACCOUNT, quotaOctets=40))
    assert log.deliver(1, b"x" * 40).filings[0].refused == "tooLarge"
    assert not log.deliver(2, b"x" * 34).filings[0].refused
    assert log.deliver(3, b"x" * 34).filings[0].refused == "overQuota"


@dataclass
class TwinMailbox:
    """What a dumb mailbox would be."""

    uidNext: int = 1
    rows: dict[int, tuple[int, frozenset[str]]] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)  # uid → body for ever


class MailboxTwin(RuleBasedStateMachine):
    """Random entries against dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Log()
        self.log.createAccount()
        self.twins = {"INBOX": TwinMailbox(), "Sent": TwinMailbox()}
        self.ids = {name: self.log.mailbox(name).mailboxId for name in self.twins}
        self.modSeqs = dict.fromkeys(self.twins, 0)
        self.next = 1

    names = st.sampled_from(["INBOX", "Sent"])
    ranges = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 5)), min_size=1, max_size=3).map(
        lambda pairs: UidSet.ofRanges((low, low + more) for low, more in pairs)
    )
    flags = st.frozensets(st.sampled_from(["\\Seen", "\\Deleted", "\\Flagged", "work", "play"]), max_size=3)

    @rule(name=names, flags=flags)
    def deliver(self, name, flags) -> None:
        filing = e.Filing(accountId=ACCOUNT, mailboxId=self.ids[name], flags=tuple(sorted(flags)))
        filed = self.log.deliver(self.next, b"body %d\r\n" % self.next, filings=(filing,)).filings[0]
        twin = self.twins[name]
        assert filed.uid == twin.uidNext
        twin.rows[twin.uidNext] = (self.next, flags)
        twin.seen[twin.uidNext] = self.next
        twin.uidNext += 1
        self.next += 1

    @rule(name=names, uids=ranges, flags=flags, action=st.sampled_from([e.REPLACE, e.ADD, e.REMOVE]))
    def store(self, name, uids, flags, action) -> None:
        outcome = self.log.apply(
            e.StoreFlags(
                seconds=NOW, mailboxId=self.ids[name], ranges=uids.ranges, action=action, flags=tuple(flags)
            )
        )
        changed = set()
        rows = self.twins[name].rows
        for uid in uids:
            if uid in rows:
                body, was = rows[uid]
                new = flags if action == e.REPLACE else was | flags if action == e.ADD else was - flags
                if new != was:
                    changed.add(uid)
                rows[uid] = (body, new)
        assert set(outcome.changed) == changed

    @rule(source=names, onto=names, uids=ranges, move=st.booleans())
    def copy(self, source, onto, uids, move) -> None:
        outcome = self.log.apply(
            e.CopyMessages(
                seconds=NOW,
                sourceId=self.ids[source],
                ranges=uids.ranges,
                targetId=self.ids[onto],
                move=move,
            )
        )
        assert isinstance(outcome, Copied)
        found = [uid for uid in uids if uid in self.twins[source].rows]
        assert list(outcome.sources) == found
        taken = [self.twins[source].rows[uid] for uid in found]
        if move:
            for uid in found:
                del self.twins[source].rows[uid]
        twin = self.twins[onto]
        for uid, row in zip(outcome.targets, taken, strict=True):
            assert uid == twin.uidNext
            twin.rows[uid] = row
            twin.seen[uid] = row[0]
            twin.uidNext += 1

    @rule(name=names, uids=ranges, onlyDeleted=st.booleans())
    def expunge(self, name, uids, onlyDeleted) -> None:
        outcome = self.log.apply(
            e.Expunge(seconds=NOW, mailboxId=self.ids[name], ranges=uids.ranges, onlyDeleted=onlyDeleted)
        )
        assert isinstance(outcome, Expunged)
        rows = self.twins[name].rows
        gone = [uid for uid in uids if uid in rows and (not onlyDeleted or "\\Deleted" in rows[uid][1])]
        assert list(outcome.uids) == gone
        for uid in gone:
            del rows[uid]

    @invariant()
    def rowsAreTheTwins(self) -> None:
        for name, twin in self.twins.items():
            summary = self.log.mailbox(name)
            rows = self.log.messages(name)
            read = {
                row.uid: (
                    int.from_bytes(row.bodyId, "big"),
                    frozenset(flagNames(summary.keywords, row.flags)),
                )
                for row in rows
            }
            assert read == twin.rows
            assert summary.uidNext == twin.uidNext
            assert all(twin.seen[row.uid] == int.from_bytes(row.bodyId, "big") for row in rows)

    @invariant()
    def countsAreTheRows(self) -> None:
        usage = self.log.ask(FindAccount(accountId=ACCOUNT)).usage
        octets = messages = 0
        for name in self.twins:
            summary, rows = self.log.mailbox(name), self.log.messages(name)
            assert summary.messages == len(rows)
            assert summary.unseen == sum(not row.flags & SEEN for row in rows)
            assert summary.deleted == sum(bool(row.flags & DELETED) for row in rows)
            assert summary.octets == sum(row.size for row in rows)
            octets += summary.octets
            messages += summary.messages
        assert (usage.octets, usage.messages) == (octets, messages)

    @invariant()
    def referencesAreTheRows(self) -> None:
        named = {body for twin in self.twins.values() for body, _ in twin.rows.values()}
        assert self.log.count(BODYREF) == self.log.count(SUMMARY) == self.log.count(BODY) == len(named)

    @invariant()
    def changesTellTheWholeStory(self) -> None:
        """Who reads only changes, from any MODSEQ on, ends with the same UIDs; MODSEQs never fall."""
        for name in self.twins:
            summary = self.log.mailbox(name)
            assert summary.highestModSeq >= self.modSeqs[name]
            self.modSeqs[name] = summary.highestModSeq
            known: set[int] = set()
            changes = self.log.ask(ReadChanges(mailboxId=summary.mailboxId, afterModSeq=1))
            assert [change.modSeq for change in changes.changes] == list(range(2, summary.highestModSeq + 1))
            for change in changes.changes:
                known = known - set(change.uids) if isinstance(change, Vanished) else known | set(change.uids)
            assert known == set(self.twins[name].rows)
            latest = {uid: change.modSeq for change in changes.changes for uid in change.uids}
            assert all(row.modSeq == latest[row.uid] for row in self.log.messages(name))


MailboxTwin.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestMailboxTwin = MailboxTwin.TestCase
