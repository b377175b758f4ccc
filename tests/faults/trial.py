"""A trial: a node under load dies again and again, and after each death its mailboxes are held against the ledger."""

from __future__ import annotations

import imaplib
import random
import time
from collections.abc import Callable

from bench.target import Account
from bench.wire import Pop3Client
from tests.support.ledger import Ledger, State, numberOf
from tests.support.load import Load
from tests.support.node import HOST, NodeProcess

ACCOUNTS = 4
SENDERS = 6
LIFE_SECONDS_MAX = 10.0


class Trial:
    """The first account is drained all the time; the others are only sent to while the node lives."""

    def __init__(self, node: NodeProcess, seed: int = 1) -> None:
        self.node = node
        self.ledger = Ledger()
        self._chance = random.Random(seed)
        self.accounts: list[Account] = []
        self.load: Load | None = None

    def prepare(self) -> None:
        """Make the accounts in a life of their own that ends in order."""
        self.node.start()
        self.accounts = self.node.addAccounts(ACCOUNTS)
        self.node.stop()

    def beginLoad(self) -> Load:
        """Senders on all accounts, a drainer on the first, an IMAP client that appends to the second."""
        self.load = Load(self.ledger, HOST, self.node.ports)
        self.load.send(self.accounts, SENDERS)
        self.load.append(self.accounts[1])
        self.load.drain(self.accounts[0])
        return self.load

    def live(self, beforeKill: Callable[[], None] = lambda: None) -> None:
        """Start, load until some dozens more are acknowledged, and kill -9 in the middle of it."""
        self.node.start()
        self.beginLoad()
        self.awaitAcknowledged(self._chance.randrange(10, 150))
        beforeKill()
        self.node.kill()
        self.endLoad()

    def awaitAcknowledged(self, more: int) -> None:
        """Wait until so many more messages are acknowledged, within bounded time."""
        wanted = self._taken() + more
        until = time.monotonic() + LIFE_SECONDS_MAX
        while self._taken() < wanted and time.monotonic() < until and self.node.isAlive:
            time.sleep(0.002)

    def endLoad(self) -> None:
        """Stop the threads; what they saw goes to the next `violations`."""
        assert self.load is not None
        self.load.stop()

    def violations(self) -> list[str]:
        """What is wrong now, on the running node, with what was promised."""
        wrong = list(self.load.problems) if self.load is not None else []
        for account in self.accounts:
            wrong += self.ledger.violations(account.address, self.node.messages(account))
        return wrong

    def imapViolations(self) -> list[str]:
        """The same, read over IMAP, which needs no lock and so no commit."""
        wrong = []
        for account in self.accounts:
            wrong += self.ledger.violations(account.address, self.imapMessages(account))
        return wrong

    def imapMessages(self, account: Account) -> list[bytes]:
        """All messages of an account's INBOX, over IMAP."""
        with imaplib.IMAP4(HOST, self.node.ports["imap"], timeout=30) as client:
            client.login(account.login, account.password)
            client.select("INBOX", readonly=True)
            _, found = client.uid("FETCH", "1:*", "(UID BODY.PEEK[])")
            return [part[1] for part in found if isinstance(part, tuple)]

    def empty(self, account: Account) -> None:
        """Delete all of an account's messages in one session and note it."""
        with self.node.pop3(account) as client:
            numbers = _deleted(client)
            self.ledger.note(numbers, State.DELETING)
            client.quit()
            self.ledger.note(numbers, State.DELETED)

    def audit(self) -> None:
        """On the running node: no violations, also not after one account in turn is emptied."""
        assert self.violations() == []
        self.empty(self._chance.choice(self.accounts))

    def _taken(self) -> int:
        return sum(self.ledger.count(state) for state in (State.ACKNOWLEDGED, State.DELETING, State.DELETED))


def _deleted(client: Pop3Client) -> list[int]:
    numbers = []
    for position, message in enumerate(list(client.messages()), 1):
        number = numberOf(message)
        if number is not None:
            client.command(b"DELE %d\r\n" % position)
            numbers.append(number)
    return numbers
