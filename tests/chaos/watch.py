"""Sessions that stay: IDLE at every node through all trouble, which must be told everything and notice nothing of other nodes' deaths."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from random import Random

from bench.target import Account
from tests.chaos.array import RealArray
from tests.chaos.imap import Imap, ImapRefused
from tests.chaos.promises import INBOX, Promises
from tests.chaos.workload import TROUBLE
from tests.support.node import HOST

_TIMEOUT_SECONDS = 30.0
_PAUSE_SECONDS = 0.2


class Watchers:
    """One session at each node, on an account's INBOX, opened again only when it is lost; `settle` judges them."""

    def __init__(self, array: RealArray, promises: Promises, accounts: Sequence[Account], seed: int) -> None:
        self._array, self._promises, self._accounts = array, promises, accounts
        self._seed = seed
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._sessions: dict[str, tuple[Account, Imap]] = {}
        self._lost: dict[str, list[str]] = {}

    def start(self, names: Sequence[str]) -> None:
        """A session at each of these nodes; those that are open already go on."""
        self._stopping.clear()
        for name in names:
            thread = threading.Thread(target=self._watch, args=(name,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Let the sessions stand still, open."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(_TIMEOUT_SECONDS * 3)
        self._threads.clear()

    def settle(self, mayBeLost: Sequence[str]) -> None:
        """In a calm array: each session's view is what a new one sees, and none was lost but at nodes that were themselves in trouble."""
        for name, reasons in self._lost.items():
            if name not in mayBeLost:
                for reason in reasons:
                    self._promises.problem(f"a session at {name} was lost: {reason}")
        self._lost.clear()
        for name, (account, client) in list(self._sessions.items()):
            try:
                client.command(b"NOOP")
                client.learnUids()
                with self._array.inside(name):
                    fresh = self._open(name, account)
                fresh.choose(INBOX)
                fresh.learnUids()
                fresh.logout()
            except TROUBLE as error:
                del self._sessions[name]
                if name not in mayBeLost:
                    self._promises.problem(f"{account.address} at {name}: the session ended: {error!s:.200}")
                continue
            if client.view != fresh.view:
                self._promises.problem(
                    f"{account.address} at {name}: a session sees {client.view}, a new one {fresh.view}"
                )
            for wrong in client.wrong:
                self._promises.problem(f"{account.address} at {name}: {wrong}")
            client.wrong.clear()

    def close(self) -> None:
        """End all sessions."""
        for _, client in self._sessions.values():
            client.socket.close()

    def _open(self, name: str, account: Account) -> Imap:
        return Imap(HOST, self._array.port(name, "imap"), account.login, account.password, _TIMEOUT_SECONDS)

    def _watch(self, name: str) -> None:
        chance = Random(f"{self._seed} watch {name}")
        while not self._stopping.is_set():
            if name not in self._sessions:
                self._begin(name, chance)
                continue
            account, client = self._sessions[name]
            try:
                client.idle(chance.uniform(0.1, 0.5))
                if chance.random() < 0.3:
                    client.learnUids()
            except ImapRefused:
                self._stopping.wait(_PAUSE_SECONDS)  # NO: not now; the session stays
            except TROUBLE as error:
                self._lost.setdefault(name, []).append(
                    f"{account.address}: {type(error).__name__}: {error!s:.200}"
                )
                client.socket.close()
                del self._sessions[name]

    def _begin(self, name: str, chance: Random) -> None:
        account = chance.choice(self._accounts)
        try:
            with self._array.inside(name):
                client = self._open(name, account)
            client.choose(INBOX)
            client.learnUids()
            self._sessions[name] = (account, client)
        except TROUBLE:
            self._stopping.wait(_PAUSE_SECONDS)
