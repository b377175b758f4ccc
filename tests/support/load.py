"""Load that keeps a ledger: senders (SMTP, LMTP, IMAP) that note each answer, drainers that delete what they read."""

from __future__ import annotations

import imaplib
import threading
from collections.abc import Callable, Mapping
from functools import partial

from bench.target import Account
from bench.wire import Pop3Client, SmtpClient, WireError
from tests.support.ledger import Ledger, State, letter, numberOf

SESSION_MESSAGES = 20
_PAUSE_SECONDS = 0.02


class Load:
    """Threads that send to and drain accounts of a node until `stop`; a dead node is tried again and again."""

    def __init__(self, ledger: Ledger, host: str, ports: Mapping[str, int]) -> None:
        self._ledger = ledger
        self._host, self._ports = host, ports
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.refusals: list[bytes] = []
        self.problems: list[str] = []

    def send(self, accounts: list[Account], connections: int) -> None:
        """Start `connections` senders, every other one over LMTP, each to all accounts by turns."""
        for which in range(connections):
            self._start(partial(self._sendSession, accounts, which, isLmtp=which % 2 == 1))

    def append(self, account: Account) -> None:
        """Start a client that files its own letters with IMAP's APPEND."""
        self._start(partial(self._appendSession, account))

    def drain(self, account: Account) -> None:
        """Start a drainer of one account, which holds its POP3 lock most of the time."""
        self._start(partial(self._drainSession, account))

    def stop(self) -> None:
        """Let all threads end and wait for them."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def _start(self, session: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._repeat, args=(session,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _repeat(self, session: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                session()
            except (OSError, WireError, imaplib.IMAP4.error):
                self._stopping.wait(_PAUSE_SECONDS)

    def _sendSession(self, accounts: list[Account], which: int, *, isLmtp: bool) -> None:
        port = self._ports["lmtp" if isLmtp else "smtp"]
        with SmtpClient(self._host, port, 20.0, lmtp=isLmtp) as client:
            for turn in range(SESSION_MESSAGES):
                if self._stopping.is_set():
                    return
                address = accounts[(turn + which) % len(accounts)].address
                number = self._ledger.sent(address)
                answer = client.transact(b"sender@elsewhere.test", address.encode(), letter(number))
                if answer.startswith(b"250"):
                    self._ledger.note([number], State.ACKNOWLEDGED)
                elif not answer.startswith(b"451"):  # 451 may mean: outcome unknown
                    self._ledger.note([number], State.REFUSED)
                    self.refusals.append(answer)

    def _appendSession(self, account: Account) -> None:
        with imaplib.IMAP4(self._host, self._ports["imap"], timeout=20) as client:
            client.login(account.login, account.password)
            for _ in range(SESSION_MESSAGES):
                if self._stopping.is_set():
                    return
                number = self._ledger.sent(account.address)
                answer, _text = client.append("INBOX", "", "", letter(number))
                if answer == "OK":
                    self._ledger.note([number], State.ACKNOWLEDGED)

    def _drainSession(self, account: Account) -> None:
        with Pop3Client(self._host, self._ports["pop3"], account.login, account.password, 20.0) as client:
            taken = []
            messages = list(client.messages())
            for number, message in enumerate(messages, 1):
                known = numberOf(message)
                if known is None or not message.endswith(letter(known)):
                    self.problems.append(f"{account.address}: other octets than were sent: {message[:200]!r}")
                    continue
                client.command(b"DELE %d\r\n" % number)
                taken.append(known)
            self._ledger.note(taken, State.DELETING)
            client.command(b"QUIT\r\n")
            self._ledger.note(taken, State.DELETED)
        self._stopping.wait(_PAUSE_SECONDS)
