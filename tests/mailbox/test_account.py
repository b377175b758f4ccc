"""Accounts as sessions have them, on a mail system in memory."""

from __future__ import annotations

import pytest
from twisted.internet.defer import fail

from jindimail.errors import (
    MailboxExists,
    MailboxGone,
    MailboxInUse,
    NoSuchMailbox,
    NotAllowed,
    OutcomeUnknown,
    OverQuota,
    StorageFull,
    Unavailable,
)
from jindimail.mailbox import applymailboxes
from jindimail.mailbox.entries import ADD, CopyMessages, DropPopLock, RenewUidValidities
from jindimail.mailbox.opened import portions
from jindimail.mailbox.poplock import RETRY_SECONDS
from jindimail.model import MailboxSummary, UidSet
from tests.support.world import World, now

OCTETS = b"s: t\r\n\r\nbody\r\n"


@pytest.fixture
def world() -> World:
    """A mail system."""
    return World()


def test_aLockIsExclusiveUntilItIsGivenBack(world: World) -> None:
    user = world.addUser()
    first, second = world.account(user), world.account(user)
    now(first.lockPop("a"))
    with pytest.raises(MailboxInUse):
        now(second.lockPop("b"))
    now(first.unlockPop("a"))
    now(second.lockPop("b"))
    second.logout()
    now(first.lockPop("c"))


def test_aSessionThatWasRefusedTheLockTakesNobodysAway(world: World) -> None:
    user = world.addUser()
    first, second = world.account(user), world.account(user)
    now(first.lockPop("a"))
    with pytest.raises(MailboxInUse):
        now(second.lockPop("b"))
    second.logout()
    with pytest.raises(MailboxInUse):
        now(world.account(user).lockPop("c"))


def test_aLockIsGivenBackThoughTheDiskWasFull(world: World) -> None:
    user = world.addUser()
    account = world.account(user)
    now(account.lockPop("a"))
    real, refused = world.buckets.propose, []

    def full(bucket, entry, body=None):
        if isinstance(entry, DropPopLock) and len(refused) < 3:
            refused.append(entry)
            return fail(StorageFull())
        return real(bucket, entry, body)

    world.buckets.propose = full
    account.logout()
    with pytest.raises(MailboxInUse):
        now(world.account(user).lockPop("b"))
    for _ in range(3):
        world.clock.advance(RETRY_SECONDS)
    assert len(refused) == 3
    now(world.account(user).lockPop("b"))


@pytest.mark.parametrize("name", ["", "a//b", "/a", "a\x00b", "x" * 401, "\udc80"])
def test_badNamesAreRefused(world: World, name: str) -> None:
    with pytest.raises(NotAllowed):
        now(world.account(world.addUser()).create(name))


def test_inboxIsOneMailboxInAnyCase(world: World) -> None:
    account = world.account(world.addUser())
    with pytest.raises(MailboxExists):
        now(account.create("inbox"))
    assert now(account.status("iNbOx")).name == "INBOX"
    with pytest.raises(NotAllowed):
        now(account.delete("Inbox"))


def test_renamingInboxMovesItsMessages(world: World) -> None:
    account = world.account(world.addUser())
    now(account.append("INBOX", world.body(OCTETS)))
    now(account.rename("inbox", "old"))
    assert now(account.status("INBOX")).messages == 0
    assert now(account.status("old")).messages == 1


def test_appendSaysWhereItWent(world: World) -> None:
    account = world.account(world.addUser())
    validity, uid = now(account.append("Sent", world.body(OCTETS), ["\\Seen", "work"], 1_000_000))
    mailbox = now(account.open("Sent"))
    row = now(mailbox.rows())[0]
    assert (mailbox.uidValidity, row.uid, row.internalSeconds) == (validity, uid, 1_000_000)
    assert mailbox.flagNames(row) == ("\\Seen", "work")
    assert now(mailbox.octets(row)) == OCTETS


def test_appendIsRefusedBeforeAnythingIsStored(world: World) -> None:
    account = world.account(world.addUser(quotaOctets=10))
    with pytest.raises(NoSuchMailbox):
        now(account.append("nothing", world.body(OCTETS)))
    with pytest.raises(OverQuota):
        now(account.append("INBOX", world.body(OCTETS)))


def test_aMailboxIsDeletedThoughItCannotBeEmptiedNow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applymailboxes, "MESSAGES_PER_STEP", 1)
    account = world.account(world.addUser())
    for _ in range(2):
        now(account.append("Sent", world.body(OCTETS)))
    real, proposed = world.buckets.propose, []

    def once(bucket, entry, body=None):
        proposed.append(entry)
        return real(bucket, entry, body) if len(proposed) == 1 else fail(OutcomeUnknown())

    world.buckets.propose = once
    now(account.delete("Sent"))
    with pytest.raises(NoSuchMailbox):
        now(account.status("Sent"))


def test_aMailboxThatIsRenamedMeanwhileIsNotDeleted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    account = world.account(world.addUser())
    now(account.create("here"))
    status = account.status

    async def statusAndRename(name: str) -> MailboxSummary:
        found = await status(name)
        await account.rename("here", "there")
        return found

    monkeypatch.setattr(account, "status", statusAndRename)
    with pytest.raises(NoSuchMailbox):
        now(account.delete("here"))
    assert now(status("there")).name == "there"


def test_aDeletedMailboxIsGoneForWhoHasItOpen(world: World) -> None:
    account = world.account(world.addUser())
    now(account.create("a"))
    mailbox = now(account.open("a"))
    heard: list[int] = []
    mailbox.follow(lambda: heard.append(1))
    now(account.delete("a"))
    assert heard
    for waiting in (mailbox.changes(1), mailbox.summary(), mailbox.storeFlags(UidSet.of([1]), ADD, ["x"])):
        with pytest.raises(MailboxGone):
            now(waiting)


def test_aMailboxOfAnotherUidValidityIsGoneForWhoHasItOpen(world: World) -> None:
    user = world.addUser()
    account = world.account(user)
    mailbox, other = now(account.open("INBOX")), now(account.open("INBOX"))
    heard: list[int] = []
    mailbox.follow(lambda: heard.append(1))
    floor = mailbox.uidValidity + 1
    now(world.buckets.propose(user.bucket, RenewUidValidities(seconds=1, floor=floor)))
    assert heard
    for waiting in (mailbox.changes(1), other.summary()):
        with pytest.raises(MailboxGone):
            now(waiting)
    again = now(account.open("INBOX"))
    assert again.uidValidity >= floor and now(again.changes(1)).exists


def test_aMoveInPortionsThatEndsHalfWayLosesNothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jindimail.mailbox.opened.UIDS_PER_ENTRY_MAX", 2)
    account = world.account(world.addUser())
    for _ in range(5):
        now(account.append("INBOX", world.body(OCTETS)))
    inbox = now(account.open("INBOX"))
    real, moved = world.buckets.propose, []

    def once(bucket, entry, body=None):
        isMove = isinstance(entry, CopyMessages)
        if isMove and moved:
            return fail(Unavailable())
        moved.extend([entry] * isMove)
        return real(bucket, entry, body)

    monkeypatch.setattr(world.buckets, "propose", once)
    with pytest.raises(Unavailable):
        now(inbox.copy(UidSet(((1, 5),)), "Sent", move=True))
    monkeypatch.undo()
    assert [row.uid for row in now(inbox.rows())] == [3, 4, 5]
    assert now(account.status("Sent")).messages == 2


def test_newUidValiditiesRiseForEachMailboxAndForThoseMadeLater(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applymailboxes, "MAILBOXES_PER_STEP", 2)
    user = world.addUser()
    account = world.account(user)
    names = [each.name for each in now(account.mailboxes()).mailboxes]
    entry = RenewUidValidities(seconds=1, floor=now(account.status("INBOX")).uidValidity + 1000)
    while now(world.buckets.propose(user.bucket, entry)).remaining:
        pass
    renewed = {now(account.status(name)).uidValidity for name in names}
    assert len(renewed) == len(names) > 4 and min(renewed) >= entry.floor
    now(account.delete("Trash"))
    assert now(account.create("Trash")).uidValidity > max(renewed)


def test_whatQuitDeletesInPortionsItDeletesUnderItsLockToTheEnd(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jindimail.mailbox.opened.UIDS_PER_ENTRY_MAX", 2)
    user = world.addUser()
    account = world.account(user)
    for _ in range(5):
        now(account.append("INBOX", world.body(OCTETS)))
    now(account.lockPop("a"))
    inbox = now(account.open("INBOX"))
    now(account.unlockPop("a", inbox, UidSet(((1, 5),))))
    assert not now(inbox.rows())
    now(world.account(user).lockPop("b"))


def test_aMailboxOpenedToReadIsOnlyRead(world: World) -> None:
    account = world.account(world.addUser())
    now(account.append("INBOX", world.body(OCTETS)))
    mailbox = now(account.open("INBOX", readOnly=True))
    for waiting in (
        mailbox.storeFlags(UidSet.of([1]), ADD, ["x"]),
        mailbox.expunge(),
        mailbox.copy(UidSet.of([1]), "Sent", move=True),
    ):
        with pytest.raises(NotAllowed):
            now(waiting)
    assert len(now(mailbox.copy(UidSet.of([1]), "Sent")).targets) == 1


def test_whoClosedHearsNothing(world: World) -> None:
    account = world.account(world.addUser())
    mailbox = now(account.open("INBOX"))
    heard: list[int] = []
    mailbox.follow(lambda: heard.append(1))
    account.logout()
    now(world.account(now(world.directory.user("alice@example.org"))).append("INBOX", world.body(OCTETS)))
    assert not heard


def test_whatIsOpenedForASessionThatIsOverByThenHearsNothing(world: World) -> None:
    user = world.addUser()
    account = world.account(user)
    heard: list[int] = []
    early = now(account.open("INBOX"))
    account.logout()
    early.follow(lambda: heard.append(1))
    now(account.open("INBOX")).follow(lambda: heard.append(2))
    now(world.account(user).append("INBOX", world.body(OCTETS)))
    assert not heard


def test_longSetsAreCutIntoPortions() -> None:
    uids = UidSet.ofRanges([(1, 12), (20, 20), (30, 33)])
    cut = list(portions(uids, 5))
    assert cut == [((1, 5),), ((6, 10),), ((11, 12), (20, 20), (30, 31)), ((32, 33),)]


def test_aCopyInPortionsThatIsRefusedLeavesNothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jindimail.mailbox.opened.UIDS_PER_ENTRY_MAX", 2)
    account = world.account(world.addUser(quotaMessages=8))
    for _ in range(5):
        now(account.append("INBOX", world.body(OCTETS)))
    mailbox = now(account.open("INBOX"))
    with pytest.raises(OverQuota):
        now(mailbox.copy(UidSet(((1, 5),)), "Sent"))
    assert now(account.status("Sent")).messages == 0
    now(mailbox.expunge(UidSet(((1, 2),)), onlyDeleted=False))
    assert str(now(mailbox.copy(UidSet(((1, 5),)), "Sent")).sources) == "3:5"


@pytest.mark.parametrize("of", ["quotaMessages", "quotaOctets"])
def test_aQuotaBoundsWhatIsCopiedAndNotWhatIsMoved(world: World, of: str) -> None:
    user = world.addUser()
    account = world.account(user)
    for _ in range(2):
        world.deliver(OCTETS, user.address)
    inbox = now(account.open("INBOX"))
    first, second = now(inbox.rows())
    now(world.directory.setUser(user.address, **{of: 3 if of == "quotaMessages" else 3 * first.size}))
    assert now(inbox.copy(UidSet.of([first.uid]), "Trash")).targets
    with pytest.raises(OverQuota):
        now(inbox.copy(UidSet.of([second.uid]), "Trash"))
    assert len(now(inbox.copy(UidSet.of([first.uid, second.uid]), "Trash", move=True)).targets) == 2
    assert not now(inbox.rows())
    assert now(account.quota())[0].messages == 3


def test_aMailboxBelowAnotherLeavesThatAsItIs(world: World) -> None:
    account = world.account(world.addUser())
    now(account.create("a"))
    now(account.append("a", world.body(OCTETS)))
    before = now(account.status("a"))
    now(account.create("a/b"))
    now(account.create("c"))
    now(account.rename("c", "a/c/d"))
    with pytest.raises(NoSuchMailbox):
        now(account.status("c"))
    assert now(account.status("a")) == before
    with pytest.raises(MailboxExists):
        now(account.create("a"))
    with pytest.raises(MailboxExists):
        now(account.rename("a/b", "a/c"))
    assert now(account.status("a")) == before
