"""The judge of a calm array: what every node shows, held against the promises and against what the others show.

Trust between checkers is small on purpose: POP3 and IMAP are read by different clients (poplib; imaplib and our own), at every node, every octet.
"""

from __future__ import annotations

import hashlib
import imaplib
import poplib
import re
import time
from collections.abc import Callable, Sequence

from bench.target import Account
from tests.chaos.array import PLAN_SECONDS, RealArray
from tests.chaos.imap import Imap, soundNumber
from tests.chaos.promises import INBOX, Promises, Row
from tests.chaos.workload import MAILBOXES, TROUBLE, readMaildrop
from tests.support.node import HOST

CALM_SECONDS = 60.0
WHOLE_SECONDS = 60.0
_TIMEOUT_SECONDS = 20.0
_LOOK_SECONDS = 0.1
_UID = re.compile(rb"UID (\d+)")


class Judge:
    """Reads everything at every node of a calm array and notes what is wrong in the book of promises."""

    def __init__(self, array: RealArray, promises: Promises, accounts: Sequence[Account]) -> None:
        self._array, self._promises, self._accounts = array, promises, accounts

    def awaitCalm(self, names: Sequence[str], seconds: float = CALM_SECONDS) -> float:
        """Until every node serves every account, by IMAP and POP3, takes mail for it, and no mail waits in a queue; how long that took.

        What is not so in time is a problem: a healed array must come back by itself.
        """
        began = time.monotonic()
        for name in names:
            for account in self._accounts:
                self._await(
                    lambda name=name, account=account: self._serve(name, account),
                    f"{name} serves {account.address}",
                    began + seconds,
                )
        self._await(lambda: self._requireEmptyQueues(names[0]), "no mail waits in a queue", began + seconds)
        self._array.isCalm()
        return time.monotonic() - began

    def _requireEmptyQueues(self, name: str) -> None:
        found = self._array.ask(name, "queue list")
        if found["rows"] or found["silentBuckets"]:
            raise ConnectionRefusedError(f"{found['rows'][:3]}, silent: {found['silentBuckets'][:3]}")

    def _await(self, act: Callable[[], object], what: str, until: float) -> None:
        while True:
            try:
                act()
                return
            except TROUBLE as error:
                if time.monotonic() > until:
                    self._promises.problem(f"not in time: {what}: {type(error).__name__}: {str(error)[:300]}")
                    return
                time.sleep(_LOOK_SECONDS)

    def _serve(self, name: str, account: Account) -> None:
        with self._array.inside(name):
            client = self._imap(name, account)
            with client:
                client.choose(INBOX)
                client.command(b"STATUS Later (MESSAGES)")
                client.logout()
            drop = self._pop3(name, account)
            drop.quit()

    def judge(self, names: Sequence[str]) -> None:
        """The array is calm and nobody else changes anything."""
        for account in self._accounts:
            shown = [self._readAll(name, account) for name in names]
            for name, other in zip(names[1:], shown[1:], strict=True):
                if other != shown[0]:
                    self._promises.problem(
                        f"{account.address}: {names[0]} and {name} differ: {_difference(shown[0], other)}"
                    )

    def judgeStores(self, name: str, seconds: float = WHOLE_SECONDS) -> None:
        """
        What the array says of itself, asked at one node: nothing is amiss, no copy is owed, all replicas are alike and all copies sound.

        It has so many seconds to come nearer to that, again and again: a large array on a busy machine moves its replicas for minutes.
        """
        began = nearedAt = time.monotonic()
        least = 1 << 62
        while not (status := self._array.ask(name, "cluster status"))["isWhole"]:
            now, groups = time.monotonic(), status["groups"]
            counts = ("withoutLeader", "replicasMissing", "replicasSurplus", "movesToCome")
            amiss = sum(groups[each] for each in counts) + (status["copies"]["owed"] or 0)
            if amiss < least:
                least, nearedAt = amiss, now
            if now > min(nearedAt + seconds, began + PLAN_SECONDS):
                self._promises.problem(
                    f"not whole after {now - began:.0f} s: {groups} {status['copies']} {self._array.events(name)}"
                )
                break
            time.sleep(0.5)
        checked = self._array.ask(name, "check", cluster=True)
        if not checked["isSound"] or checked["warnings"]:
            self._promises.problem(f"check --cluster: {checked['problems'][:5]} {checked['warnings'][:5]}")

    def _readAll(self, name: str, account: Account) -> dict[str, dict[int, tuple[Row, bytes]]]:
        """All mailboxes of an account at a node: by UID the row, and a digest of the octets."""
        try:
            with self._array.inside(name):
                return self._read(name, account)
        except TROUBLE as error:
            self._promises.problem(
                f"{account.address} cannot be read at {name}: {type(error).__name__}: {str(error)[:300]}"
            )
            return {}

    def _read(self, name: str, account: Account) -> dict[str, dict[int, tuple[Row, bytes]]]:
        shown: dict[str, dict[int, tuple[Row, bytes]]] = {}
        numbers: list[int] = []
        with self._imap(name, account) as client:
            for mailbox in MAILBOXES:
                look = self._promises.look(account.address, mailbox, name)
                reading = client.reading(mailbox, octets=True)
                self._promises.saw(look, reading)
                digests = self._digests(name, account, mailbox)
                if sorted(digests) != [row.uid for row in reading.rows]:
                    self._promises.problem(f"{account.address} {mailbox} at {name}: imaplib reads other UIDs")
                shown[mailbox] = {row.uid: (row, digests.get(row.uid, b"")) for row in reading.rows}
                numbers += [row.number for row in reading.rows if row.number is not None]
        self._promises.sawWhole(account.address, name, numbers)
        look = self._promises.look(account.address, INBOX, name)
        drop = self._pop3(name, account)
        messages = readMaildrop(drop)
        drop.quit()
        self._promises.sawMaildrop(look, messages)
        if sorted(number for _, number in messages if number) != sorted(
            row.number or 0 for row, _ in shown[INBOX].values()
        ):
            self._promises.problem(f"{account.address} at {name}: POP3 and IMAP show different messages")
        return shown

    def _digests(self, name: str, account: Account, mailbox: str) -> dict[int, bytes]:
        """A digest of every message's octets by UID, read with Python's own client."""
        found = {}
        with imaplib.IMAP4(HOST, self._array.port(name, "imap"), timeout=_TIMEOUT_SECONDS) as client:
            client.login(account.login, account.password)
            client.select(mailbox, readonly=True)
            _, parts = client.uid("FETCH", "1:*", "(UID BODY.PEEK[])")
            for part in parts:
                if isinstance(part, tuple) and (uid := _UID.search(part[0])) is not None:
                    found[int(uid[1])] = hashlib.blake2b(part[1], digest_size=8).digest()
                    if soundNumber(part[1]) is None:
                        self._promises.problem(
                            f"{account.address} {mailbox} at {name}: UID {int(uid[1])} is not sound"
                        )
        return found

    def _imap(self, name: str, account: Account) -> Imap:
        return Imap(HOST, self._array.port(name, "imap"), account.login, account.password, _TIMEOUT_SECONDS)

    def _pop3(self, name: str, account: Account) -> poplib.POP3:
        return pop3Session(self._array.port(name, "pop3"), account, _TIMEOUT_SECONDS)


def pop3Session(port: int, account: Account, seconds: float) -> poplib.POP3:
    """A logged-in session; none is left behind where the login is refused."""
    client = poplib.POP3(HOST, port, seconds)
    try:
        client.user(account.login)
        client.pass_(account.password)
    except BaseException:
        client.close()
        raise
    return client


def _difference(
    one: dict[str, dict[int, tuple[Row, bytes]]], other: dict[str, dict[int, tuple[Row, bytes]]]
) -> str:
    for mailbox in MAILBOXES:
        for uid in sorted(one.get(mailbox, {}).keys() | other.get(mailbox, {}).keys()):
            here, there = one.get(mailbox, {}).get(uid), other.get(mailbox, {}).get(uid)
            if here != there:
                return f"{mailbox} UID {uid}: {here} / {there}"
    return "they are alike"
