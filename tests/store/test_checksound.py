"""Whatever the state machine does, the check has nothing to say."""

from __future__ import annotations

from contextlib import nullcontext
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from jindimail.mailbox import entries
from jindimail.mailbox.outcomes import Filed, MailboxMade, Steps
from jindimail.store.check import check
from jindimail.store.environment import NODE_KEY
from jindimail.store.keys import ARRAY, CHANGE, DELIVERY, HARD, LOG, MESSAGE, META, USER
from jindimail.store.memory import MemoryRows
from jindimail.store.records import MetaRecord, encode
from tests.store.sound import ACCOUNT_ID, ADDRESS, BUCKET, NODE, Array

FLAGS = ("\\Seen", "\\Deleted", "\\Flagged", "$Work", "$Home")


class Life:
    """Random entries on one account."""

    def __init__(self, rows: MemoryRows, seed: int) -> None:
        self.rows = rows
        self.random = Random(seed)
        meta = MetaRecord(arrayId=b"a" * 16, node=NODE, name="n", format=1, incarnation=1)
        rows.put(META, NODE_KEY, encode(meta))
        self.array = Array(rows)
        self.mailboxes = [1 << 8]
        self.names = ["INBOX"]
        self.bodies = 0
        self.array.apply(None, entries.SetDomain(seconds=0, name=ADDRESS.partition("@")[2]))
        self.apply(
            entries.CreateAccount,
            accountId=ACCOUNT_ID,
            addresses=(ADDRESS,),
            credential="",
            quotaOctets=5000,
            quotaMessages=40,
            mailboxes=(),
            uidValidity=1,
        )

    def apply(self, kind: type[entries.Entry], **fields: object) -> object:
        return self.array.apply(BUCKET, kind(seconds=self.bodies, **fields))  # type: ignore[call-arg, arg-type]

    def ranges(self) -> tuple[tuple[int, int], ...]:
        low = self.random.randint(1, 20)
        return ((low, low + self.random.randint(0, 5)), (low + 10, low + 12))

    def step(self) -> None:
        choose = self.random.choice
        getattr(
            self, choose(["deliver", "deliver", "flags", "copy", "expunge", "mailbox", "rename", "delete"])
        )()

    def deliver(self) -> None:
        self.bodies += 1
        filings = tuple(
            entries.Filing(
                accountId=ACCOUNT_ID,
                mailboxId=self.random.choice([0, *self.mailboxes]),
                prefix=self.random.choice([b"", b"A: b\r\n", b"C: d\r\n"]),
                flags=tuple(self.random.sample(FLAGS, self.random.randint(0, 3))),
            )
            for _ in range(self.random.randint(1, 3))
        )
        octets = self.random.randbytes(self.random.choice([0, 10, 300]))
        outcome = self.array.deliver(self.bodies.to_bytes(16, "big"), octets, filings)
        assert isinstance(outcome, Filed)

    def flags(self) -> None:
        self.apply(
            entries.StoreFlags,
            mailboxId=self.random.choice(self.mailboxes),
            ranges=self.ranges(),
            action=self.random.randint(0, 2),
            flags=tuple(self.random.sample(FLAGS, 2)),
        )

    def copy(self) -> None:
        self.apply(
            entries.CopyMessages,
            sourceId=self.random.choice(self.mailboxes),
            ranges=self.ranges(),
            targetId=self.random.choice(self.mailboxes),
            move=self.random.random() < 0.5,
        )

    def expunge(self) -> None:
        self.apply(
            entries.Expunge,
            mailboxId=self.random.choice(self.mailboxes),
            ranges=self.ranges(),
            onlyDeleted=self.random.random() < 0.5,
        )

    def mailbox(self) -> None:
        name = "/".join(self.random.sample("abc", self.random.randint(1, 3)))
        made = self.apply(
            entries.CreateMailbox, accountId=ACCOUNT_ID, name=name, specialUse="", uidValidity=5
        )
        if isinstance(made, MailboxMade):
            self.mailboxes.append(made.mailboxId)
            self.names.append(name)

    def rename(self) -> None:
        self.apply(
            entries.RenameMailbox,
            accountId=ACCOUNT_ID,
            oldName=self.random.choice(self.names),
            newName="/".join(self.random.sample("defg", 2)),
            uidValidity=9,
        )

    def delete(self) -> None:
        if self.random.random() < 0.3:
            self.apply(
                entries.DeleteMailbox, accountId=ACCOUNT_ID, mailboxId=self.random.choice(self.mailboxes)
            )

    def remove(self) -> object:
        return self.apply(entries.RemoveAccount, accountId=ACCOUNT_ID)


class SoundLivesTests(SynchronousTestCase):
    """Many lives of an account."""

    def test_checkIsSilentAfterEveryLife(self) -> None:
        for seed in range(25):
            rows = MemoryRows()
            life = Life(rows, seed)
            for number in range(60):
                life.step()
                if number % 20 == 19:
                    self.verify(rows, seed)
            self.assertTrue(rows.snapshot()[MESSAGE] and rows.snapshot()[CHANGE], f"seed {seed}")

    def test_checkIsSilentAtEveryStepOfARemoval(self) -> None:
        for seed in range(5):
            rows = MemoryRows()
            life = Life(rows, seed)
            for _ in range(40):
                life.step()
            life.apply(
                entries.SetAddress,
                address=ADDRESS,
            )
            for _ in range(100):
                outcome = life.remove()
                self.verify(rows, seed)
                if outcome == Steps(remaining=0):
                    break
            left = {table for table, values in rows.snapshot().items() if values}
            self.assertEqual(left, {META, HARD, LOG, DELIVERY, ARRAY, USER}, f"seed {seed}")

    def test_checkIsSilentAboutAMailboxThatIsEmptiedAfterItsAccountWent(self) -> None:
        rows = MemoryRows()
        life = Life(rows, 1)
        life.apply(entries.SetAccount, accountId=ACCOUNT_ID, quotaOctets=0, quotaMessages=0)
        life.mailbox()
        mailboxId = life.mailboxes[-1]
        filings = (entries.Filing(accountId=ACCOUNT_ID, mailboxId=mailboxId),) * 1100
        life.array.deliver(bytes(16), b"x", filings)
        delete = {"accountId": ACCOUNT_ID, "mailboxId": mailboxId}
        self.assertEqual(life.apply(entries.DeleteMailbox, **delete), Steps(remaining=100))
        while life.remove() != Steps(remaining=0):
            pass
        self.verify(rows, 1)
        self.assertEqual(life.apply(entries.DeleteMailbox, **delete), Steps(remaining=0))
        self.verify(rows, 1)

    def verify(self, rows: MemoryRows, seed: int) -> None:
        found = [str(finding) for finding in check(lambda: nullcontext(rows))]
        self.assertEqual(found, [], f"seed {seed}")
