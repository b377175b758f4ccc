"""An array of real processes that is shared by the tests of one file, its accounts, and what was promised to them."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.target import Account
from bench.wire import SmtpClient
from jindimail.model import bucketGroup, bucketOf
from tests.chaos.array import RealArray
from tests.chaos.imap import Imap
from tests.chaos.network import Namespaces
from tests.chaos.promises import INBOX, Promises
from tests.chaos.workload import TROUBLE
from tests.faults.shim import Sync
from tests.support.ledger import letter
from tests.support.node import HOST

PATIENCE_SECONDS = 90.0
TIMEOUT_SECONDS = 40.0


class Scene:
    """The array, its accounts, and what was promised to them."""

    def __init__(self, array: RealArray) -> None:
        self.array = array
        self.promises = Promises(array.mayWait)
        self.accounts: list[Account] = []

    def prepare(self, names: Sequence[str], accounts: int) -> None:
        """Found it with these nodes, and file a message for each of so many accounts."""
        self.array.found(names)
        self.accounts = self.array.addAccounts(accounts)
        for account in self.accounts:
            self.deliver(names[0], account)

    def heal(self) -> None:
        """What was broken, and can be healed, works again."""
        self.array.network.heal()
        for name, member in self.array.members.items():
            member.shim.syncs(Sync.REAL)
            if member.disk is not None:
                with suppress(FileNotFoundError):
                    member.disk.relieve()
            if member.process.isAlive:
                self.array.resume(name)

    def leaders(self) -> dict[str, str]:
        """The node that leads each account's bucket, by address; "" for nobody."""
        terms: dict[int, tuple[int, str]] = {}
        for name in self.array.alive:
            for group, row in self.array.groups(name).items():
                if row["role"] == "leader":
                    terms[group] = max(terms.get(group, (0, "")), (row["term"], name))
        groups = {account.address: bucketGroup(bucketOf(account.address)) for account in self.accounts}
        return {address: terms.get(group, (0, ""))[1] for address, group in groups.items()}

    def terms(self) -> int:
        """How many terms there ever were, of all groups."""
        newest: dict[int, int] = {}
        for name in self.array.alive:
            for group, row in self.array.groups(name).items():
                newest[group] = max(newest.get(group, 0), row["term"])
        return sum(newest.values())

    def ledBy(self, name: str) -> list[Account]:
        """The accounts whose buckets a node leads, once all have a leader."""
        self.until(lambda: all(self.leaders().values()), "every bucket has a leader")
        leaders = self.leaders()
        return [account for account in self.accounts if leaders[account.address] == name]

    def busiest(self) -> str:
        """The node that leads most of the accounts' buckets."""
        return max(self.array.alive, key=lambda name: len(self.ledBy(name)))

    def others(self, name: str) -> list[str]:
        """All nodes but this."""
        return [each for each in self.array.names if each != name]

    # --- clients -------------------------------------------------------------------------------------------

    def send(self, name: str, account: Account) -> bytes:
        """The answer to one message, sent over SMTP; the book knows what it means."""
        number = self.promises.sent([account.address])
        with self.array.inside(name):
            client = SmtpClient(HOST, self.array.port(name, "smtp"), TIMEOUT_SECONDS)
        with client:
            answer = client.transact(b"sender@elsewhere.test", account.address.encode(), letter(number))
        if answer.startswith(b"250"):
            self.promises.delivered(number, account.address)
        return answer

    def deliver(self, name: str, account: Account) -> None:
        """Send until it is taken, as a mail server does."""
        self.until(
            lambda: self.send(name, account).startswith(b"250"), f"{name} takes mail for {account.address}"
        )

    def imap(self, name: str, account: Account) -> Imap:
        """A logged-in session."""
        with self.array.inside(name):
            return Imap(HOST, self.array.port(name, "imap"), account.login, account.password, TIMEOUT_SECONDS)

    def read(self, name: str, account: Account) -> list[int | None]:
        """The numbers of all messages in INBOX, held against the book."""
        look = self.promises.look(account.address, INBOX, name)
        with self.imap(name, account) as client:
            reading = client.reading(INBOX, octets=True)
        self.promises.saw(look, reading)
        return [row.number for row in reading.rows]

    def until(self, isSo: Callable[[], object], what: str) -> None:
        """Try until it is so, within bounded time; what is refused or cut off is tried again."""
        end = time.monotonic() + PATIENCE_SECONDS
        last = ""
        while time.monotonic() < end:
            try:
                if isSo():
                    return
            except TROUBLE as error:
                last = f"{type(error).__name__}: {error}"
            time.sleep(0.1)
        raise AssertionError(f"not in time: {what} {last}")

    def requireWhole(self) -> None:
        """Every account is read at every node, and shows what was promised."""
        self.array.awaitSettled()
        for name in self.array.alive:
            for account in self.accounts:
                self.until(
                    lambda name=name, account=account: self.read(name, account) or True,
                    f"{name} serves {account.address}",
                )
        assert self.promises.problems == []


@contextmanager
def sharedScene(names: Sequence[str], accounts: int) -> Iterator[Scene]:
    """An array with these nodes, each in a namespace of its own, and so many accounts; all of it is gone afterwards."""
    with builtScene(names, lambda made: made.prepare(names, accounts), hasSmallDisks=True) as made:
        yield made


@contextmanager
def builtScene(names: Sequence[str], build: Callable[[Scene], object], **options: bool) -> Iterator[Scene]:
    """
    A scene that `build` founds.

    @param options: of the `RealArray`.
    """
    directory = Path(tempfile.mkdtemp(prefix="jn-"))
    network = Namespaces(names)
    array = RealArray(directory, network, **options)
    made = Scene(array)
    try:
        build(made)
        yield made
    finally:
        print(array.log())  # seen when a test failed
        array.close()
        network.close()
        shutil.rmtree(directory, ignore_errors=True)
