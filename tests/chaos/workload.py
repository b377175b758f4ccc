"""Clients at every node: mail in by SMTP, LMTP, submission and APPEND, mail read, marked, copied, moved and removed by POP3 and IMAP.

Every request goes into the book of promises before it leaves and when it is answered; an answer that never comes leaves its outcome
open. A node that is dead or answers "later" is tried again after a pause. The rate is bounded, so that two cores carry an array and its clients.
"""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random

from bench.target import Account
from bench.wire import SmtpClient, WireError
from tests.chaos.array import RealArray
from tests.chaos.imap import Imap, soundNumber, uidSet
from tests.chaos.promises import INBOX, Promises
from tests.support.ledger import letter
from tests.support.node import HOST

MAILBOXES = (INBOX, "Kept", "Later")
MARKS = ("\\Flagged", "\\Answered", "$Chaos")
SENDER = "sender@elsewhere.test"
TROUBLE = (OSError, WireError, imaplib.IMAP4.error, poplib.error_proto, smtplib.SMTPException)
TIMEOUT_SECONDS = 30.0
_PAUSE_SECONDS = 0.15
_BUSY_MESSAGES = 30  # an account with more is drained first


class Workload:
    """
    Threads with clients at the nodes of an array, until `stop`.

    @ivar failures: how often each kind of session failed at each node, for people.
    @ivar slowest: the longest time that each kind of request took to be acknowledged, in seconds.
    """

    def __init__(self, array: RealArray, promises: Promises, accounts: Sequence[Account], seed: int) -> None:
        self._array, self._promises, self._accounts = array, promises, accounts
        self._seed = seed
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.failures: Counter[str] = Counter()
        self.slowest: dict[str, float] = {}

    def start(self, names: Sequence[str], perNode: int = 2) -> None:
        """So many clients at each of these nodes."""
        for name in names:
            for which in range(perNode):
                chance = Random(f"{self._seed} {name} {which}")
                thread = threading.Thread(target=self._live, args=(name, chance), daemon=True)
                self._threads.append(thread)
                thread.start()

    def stop(self) -> None:
        """Let all sessions come to their end."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(TIMEOUT_SECONDS * 4)
            if thread.is_alive():
                self._promises.problem("a client did not come to its end")
        self._threads.clear()

    def _live(self, name: str, chance: Random) -> None:
        kinds = (self._smtp, self._submission, self._lmtp, self._append, self._pop3, self._imap, self._imap)
        while not self._stopping.is_set():
            kind = chance.choice(kinds)
            try:
                with self._array.inside(name):
                    kind(name, chance)
            except TROUBLE as error:
                self.failures[f"{name} {kind.__name__.strip('_')} {type(error).__name__}"] += 1
            self._stopping.wait(_PAUSE_SECONDS * chance.uniform(0.2, 2))

    @contextlib.contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.slowest[what] = max(self.slowest.get(what, 0.0), time.monotonic() - began)

    # --- in ------------------------------------------------------------------------------------------------

    def _targets(self, chance: Random, countMax: int) -> list[str]:
        return [account.address for account in chance.sample(self._accounts, chance.randint(1, countMax))]

    def _smtp(self, name: str, chance: Random) -> None:
        with smtplib.SMTP(HOST, self._array.port(name, "smtp"), "chaos.test", TIMEOUT_SECONDS) as client:
            self._sendSome(client, SENDER, chance)

    def _submission(self, name: str, chance: Random) -> None:
        account = chance.choice(self._accounts)
        port = self._array.port(name, "submission")
        with smtplib.SMTP(HOST, port, "chaos.test", TIMEOUT_SECONDS) as client:
            client.login(account.login, account.password)
            self._sendSome(client, account.address, chance)

    def _sendSome(self, client: smtplib.SMTP, sender: str, chance: Random) -> None:
        for _ in range(chance.randint(1, 3)):
            targets = self._targets(chance, 3)
            number = self._promises.sent(targets)
            try:
                with self._timed("send"):
                    refused = client.sendmail(sender, targets, letter(number))
            except (
                smtplib.SMTPRecipientsRefused
            ) as error:  # with a 421 it says nothing of those not yet tried
                refused = dict.fromkeys(targets, (451, b"")) | error.recipients
            except smtplib.SMTPDataError as error:
                refused = dict.fromkeys(targets, (error.smtp_code, b""))
            for target in targets:
                code = refused.get(target, (250, b""))[0]
                self._note(number, target, code)

    def _note(self, number: int, target: str, code: int) -> None:
        if code // 100 == 2:
            self._promises.delivered(number, target)
        elif code // 100 == 5:
            self._promises.refused(number, target)
            self._promises.problem(f"message {number} to {target} was refused for good: {code}")

    def _lmtp(self, name: str, chance: Random) -> None:
        port = self._array.port(name, "lmtp")
        with SmtpClient(HOST, port, TIMEOUT_SECONDS, lmtp=True) as client:
            for _ in range(chance.randint(1, 3)):
                (target,) = self._targets(chance, 1)
                number = self._promises.sent([target])
                answer = client.transact(SENDER.encode(), target.encode(), letter(number))
                self._note(number, target, int(answer[:3]))

    def _append(self, name: str, chance: Random) -> None:
        account = chance.choice(self._accounts)
        client = self._open(name, account)
        with client:
            for _ in range(chance.randint(1, 3)):
                number = self._promises.sent([account.address])
                with self._timed("append"):
                    client.append(INBOX, letter(number))
                self._promises.delivered(number, account.address)
            client.logout()

    # --- POP3 ----------------------------------------------------------------------------------------------

    def _pop3(self, name: str, chance: Random) -> None:
        account = chance.choice(self._accounts)
        look = self._promises.look(account.address, INBOX, name)
        client = poplib.POP3(HOST, self._array.port(name, "pop3"), TIMEOUT_SECONDS)
        try:
            client.user(account.login)
            client.pass_(account.password)
            numbers = readMaildrop(client)
            self._promises.sawMaildrop(look, numbers)
            sound = [number for _, number in numbers if number is not None]
            wanted = len(sound) // 2 if len(sound) > _BUSY_MESSAGES else chance.randint(0, 2)
            mine = self._promises.claim(account.address, INBOX, sound, wanted)
            try:
                self._delete(client, account, [number for _, number in numbers], mine)
            finally:
                self._promises.release(account.address, INBOX, mine)
        finally:
            client.close()

    def _delete(
        self, client: poplib.POP3, account: Account, numbers: list[int | None], mine: list[int]
    ) -> None:
        for number in mine:
            client.dele(numbers.index(number) + 1)
        self._promises.removing(account.address, INBOX, mine)
        with self._timed("quit"):
            client.quit()
        self._promises.removed(account.address, INBOX, mine)

    # --- IMAP ----------------------------------------------------------------------------------------------

    def _open(self, name: str, account: Account) -> Imap:
        return Imap(HOST, self._array.port(name, "imap"), account.login, account.password, TIMEOUT_SECONDS)

    def _imap(self, name: str, chance: Random) -> None:
        account = chance.choice(self._accounts)
        client = self._open(name, account)
        try:
            for _ in range(chance.randint(1, 3)):
                self._visit(name, client, account, chance)
            client.logout()
        finally:
            client.socket.close()
            for wrong in client.wrong:
                self._promises.problem(f"{account.address} at {name}: {wrong}")

    def _visit(self, name: str, client: Imap, account: Account, chance: Random) -> None:
        mailbox = chance.choice(MAILBOXES)
        look = self._promises.look(account.address, mailbox, name)
        reading = client.reading(mailbox, octets=chance.random() < 0.3)
        self._promises.saw(look, reading)
        client.choose(mailbox)
        uids = {row.number: row.uid for row in reading.rows if row.number is not None}
        for _ in range(chance.randint(0, 2)):
            operation = chance.choice((self._mark, self._copy, self._move, self._expunge))
            wanted = len(uids) // 2 if len(uids) > _BUSY_MESSAGES else chance.randint(1, 3)
            candidates = chance.sample(sorted(uids), len(uids))
            mine = self._promises.claim(account.address, mailbox, candidates, wanted)
            try:
                if mine:
                    operation(client, account.address, mailbox, {each: uids[each] for each in mine}, chance)
            finally:
                self._promises.release(account.address, mailbox, mine)
        if chance.random() < 0.3:
            client.idle(chance.uniform(0.05, 0.5))

    def _mark(self, client: Imap, address: str, mailbox: str, uids: dict[int, int], chance: Random) -> None:
        flag = chance.choice(MARKS)
        self._promises.marking(address, mailbox, uids, flag)
        self._store(client, list(uids.values()), flag)
        self._promises.marked(address, mailbox, uids, flag)

    def _store(self, client: Imap, uids: list[int], flag: str) -> None:
        with self._timed("store"):
            client.command(b"UID STORE %s +FLAGS (%s)" % (uidSet(uids), flag.encode()))

    def _copy(self, client: Imap, address: str, mailbox: str, uids: dict[int, int], chance: Random) -> None:
        target = chance.choice([each for each in MAILBOXES if each != mailbox])
        fresh = self._promises.copying(address, mailbox, target, uids)
        if fresh:
            with self._timed("copy"):
                client.command(b"UID COPY %s %s" % (uidSet([uids[each] for each in fresh]), target.encode()))
            self._promises.copied(address, mailbox, target, fresh)

    def _move(self, client: Imap, address: str, mailbox: str, uids: dict[int, int], chance: Random) -> None:
        target = chance.choice([each for each in MAILBOXES if each != mailbox])
        fresh = self._promises.copying(address, mailbox, target, uids)
        if fresh:
            self._promises.moving(address, mailbox, fresh)
            with self._timed("move"):
                client.command(b"UID MOVE %s %s" % (uidSet([uids[each] for each in fresh]), target.encode()))
            self._promises.moved(address, mailbox, target, fresh)

    def _expunge(
        self, client: Imap, address: str, mailbox: str, uids: dict[int, int], chance: Random
    ) -> None:
        if mailbox == INBOX and len(uids) < _BUSY_MESSAGES and chance.random() < 0.5:
            return  # otherwise little would be left to judge
        self._promises.marking(address, mailbox, uids, "\\Deleted")
        self._store(client, list(uids.values()), "\\Deleted")
        self._promises.removing(address, mailbox, uids)
        with self._timed("expunge"):
            client.command(b"UID EXPUNGE %s" % uidSet(list(uids.values())))
        self._promises.removed(address, mailbox, uids)


def readMaildrop(client: poplib.POP3) -> list[tuple[str, int | None]]:
    """The UIDL and number of each message of a logged-in session, every octet compared."""
    listed = [line.decode().split(maxsplit=1) for line in client.uidl()[1]]
    found = []
    for at, uidl in listed:
        lines = client.retr(at)[1]
        found.append((uidl, soundNumber(b"\r\n".join(lines) + b"\r\n")))
    return found
