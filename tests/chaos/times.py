"""How long writes wait when a node of a real array fails: `python -m tests.chaos.times --kills 200` prints the table of docs/availability.md.

Accounts in buckets of all leaders are written to, each over LMTP at a node that is not the one to fail; the gap is the longest time
between two acknowledgements of one account from the moment of the failure on, so that it contains the pause between two messages.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bench.target import Account
from bench.wire import SmtpClient, WireError
from jindimail.model import bucketGroup, bucketOf
from tests.chaos.array import RealArray
from tests.chaos.network import Namespaces
from tests.support.node import HOST, NodeFailed

ACCOUNTS = 9
PAUSE_SECONDS = 0.1
WARM_MESSAGES = 4
WATCH_SECONDS = 2.0
PATIENCE_SECONDS = 20.0
_MESSAGE = b"Subject: how long\r\n\r\n" + b"nothing but a line of text to keep\r\n" * 20


class Prober:
    """Writes to one account at one node, again and again; `acknowledged` has when each message was sent and answered 250."""

    def __init__(self, array: RealArray, name: str, account: Account) -> None:
        self._array, self._name, self._account = array, name, account
        self._stopping = threading.Event()
        self.acknowledged: list[tuple[float, float]] = []
        self.refused = 0
        self.lost: list[str] = []  # sessions
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let it end."""
        self._stopping.set()
        self._thread.join(PATIENCE_SECONDS * 2)

    def gap(self, since: float, until: float) -> float:
        """The longest time without an acknowledgement between these."""
        times = [end for _, end in self.acknowledged if end <= until]
        before = max((end for end in times if end <= since), default=since)
        moments = [before, *(end for end in times if end > since), until]
        return max(later - earlier for earlier, later in itertools.pairwise(moments))

    def latest(self, since: float, until: float) -> float:
        """The longest that a message waited for its acknowledgement."""
        return max(
            (end - begin for begin, end in self.acknowledged if end > since and begin < until), default=0.0
        )

    def _live(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._array.inside(self._name):
                    client = SmtpClient(
                        HOST, self._array.port(self._name, "lmtp"), PATIENCE_SECONDS, lmtp=True
                    )
                with client:
                    while not self._stopping.is_set():
                        self._send(client)
            except (OSError, WireError) as error:
                self.lost.append(f"{self._name}: {error}")
                self._stopping.wait(PAUSE_SECONDS)

    def _send(self, client: SmtpClient) -> None:
        begin = time.monotonic()
        answer = client.transact(b"probe@elsewhere.test", self._account.address.encode(), _MESSAGE)
        if answer.startswith(b"250"):
            self.acknowledged.append((begin, time.monotonic()))
        else:
            self.refused += 1
        self._stopping.wait(PAUSE_SECONDS)


@dataclass(slots=True)
class Times:
    """What was measured of one kind of failure, in seconds."""

    affected: list[float] = field(default_factory=list)
    affectedLatest: list[float] = field(default_factory=list)  # of the affected buckets' messages
    others: list[float] = field(default_factory=list)
    othersLatest: list[float] = field(default_factory=list)
    count: int = 0
    refused: int = 0

    def line(self, what: str) -> str:
        """A row of the table."""
        measured = (self.affected, self.affectedLatest, self.others, self.othersLatest)
        return f"| {what} | {self.count} | {' | '.join(_quantiles(each) for each in measured)} | {self.refused} |"


class Stopwatch:
    """An array and what is measured on it."""

    def __init__(self, array: RealArray, seed: int) -> None:
        self.array = array
        self._chance = Random(seed)
        self.accounts: list[Account] = []

    def prepare(self, names: list[str]) -> None:
        """Found, join, make the accounts."""
        self.array.found(names)
        self.accounts = self.array.addAccounts(ACCOUNTS)
        self.array.awaitSettled()

    def leaders(self) -> dict[str, set[int]]:
        """Which of the accounts' groups each node leads."""
        wanted = {bucketGroup(bucketOf(account.address)) for account in self.accounts}
        return {
            name: {group for group, row in self.array.groups(name).items() if row["role"] == "leader"}
            & wanted
            for name in self.array.alive
        }

    def measure(self, times: Times, victim: str, fail: Callable[[], object], groups: set[int]) -> None:
        """Let a node fail while all accounts are written to at the others; `groups` are those that it leads."""
        others = [name for name in self.array.alive if name != victim]
        probers = {
            account.address: Prober(self.array, self._chance.choice(others), account)
            for account in self.accounts
        }
        warm = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < warm and any(
            len(each.acknowledged) < WARM_MESSAGES for each in probers.values()
        ):
            time.sleep(0.05)
        since = time.monotonic()
        fail()
        until = since + WATCH_SECONDS
        time.sleep(WATCH_SECONDS)
        while time.monotonic() < since + PATIENCE_SECONDS and not all(
            prober.acknowledged and prober.acknowledged[-1][0] > since for prober in probers.values()
        ):
            time.sleep(0.05)
            until = time.monotonic()
        for prober in probers.values():
            prober.stop()
        times.count += 1
        for address, prober in probers.items():
            times.refused += prober.refused
            for lost in prober.lost:
                print(f"a session at {lost}", file=sys.stderr)
            if bucketGroup(bucketOf(address)) in groups:
                times.affected.append(prober.gap(since, until))
                times.affectedLatest.append(prober.latest(since, until))
            else:
                times.others.append(prober.gap(since, until))
                times.othersLatest.append(prober.latest(since, until))

    # --- kinds of failure ----------------------------------------------------------------------------------

    def nothing(self, times: Times) -> None:
        """No failure: what the machine itself adds."""
        victim = self._chance.choice(self.array.alive)
        self.measure(times, victim, lambda: None, self.leaders()[victim])

    def killed(self, times: Times) -> None:
        """kill -9 of the node that leads most."""
        leaders = self.leaders()
        victim = max(leaders, key=lambda name: len(leaders[name]))
        self.measure(times, victim, lambda: self.array.kill(victim), leaders[victim])
        self._begin(victim)

    def paused(self, times: Times) -> None:
        """SIGSTOP of the node that leads most, longer than it takes to notice."""
        leaders = self.leaders()
        victim = max(leaders, key=lambda name: len(leaders[name]))
        self.measure(times, victim, lambda: self.array.pause(victim), leaders[victim])
        self.array.resume(victim)
        self._awaitWhole()

    def stopped(self, times: Times) -> None:
        """A node is stopped in order, as for an upgrade: its groups are handed over."""
        leaders = self.leaders()
        victim = max(leaders, key=lambda name: len(leaders[name]))
        process = self.array.members[victim].process
        self.measure(times, victim, lambda: process.signal(15), leaders[victim])
        process.wait()
        self._begin(victim)

    def _begin(self, name: str) -> None:
        self.array.start(name)
        self._awaitWhole()

    def _awaitWhole(self) -> None:
        """Until the array takes every node for up: what fails before that is a second failure beside the first."""
        self.array.awaitSettled()
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            nodes = self.array.ask(self.array.someAlive(), "cluster status")["nodes"]
            if all(node["member"] == "up" for node in nodes):
                return
            time.sleep(0.2)
        raise NodeFailed("a node is not up again")


_COLUMNS = " | ".join(
    f"{whose}: p50 | p99 | most"
    for whose in ("affected buckets' gap", "their latest answer", "others' gap", "their latest answer")
)
HEAD = f"| failure | times | {_COLUMNS} | refused |\n|{'---|' * 15}"  # ms
KINDS = {
    "nothing": Stopwatch.nothing,
    "killed": Stopwatch.killed,
    "paused": Stopwatch.paused,
    "stopped": Stopwatch.stopped,
}


def _quantiles(seconds: list[float]) -> str:
    if not seconds:
        return "- | - | -"
    ordered = sorted(seconds)
    found = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99, 1.0)]
    return " | ".join(f"{1000 * each:.0f}" for each in found)


def main(arguments: list[str]) -> int:
    """Measure; print the table."""
    parser = argparse.ArgumentParser(prog="tests.chaos.times", description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    names = ["node1", "node2", "node3"]
    network = Namespaces(names)
    directory = Path(tempfile.mkdtemp(prefix="jn-"))
    array = RealArray(directory, network, hasShims=False)
    try:
        stopwatch = Stopwatch(array, options.seed)
        stopwatch.prepare(names)
        print(HEAD, flush=True)
        for kind in options.kinds.split(","):
            times = Times()
            with contextlib.suppress(KeyboardInterrupt):
                for _ in range(options.kills):
                    KINDS[kind](stopwatch, times)
                    print(times.line(kind), file=sys.stderr, flush=True)
            print(times.line(kind), flush=True)
    finally:
        array.close()
        network.close()
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
