"""Rounds of trouble for a real array: `python -m tests.chaos.run --rounds 5 --seed 7` (`make chaos ROUNDS=5 SEED=7`).

A round is: clients at every node, one to three troubles at once or one after the other, calm, judgement. The seed draws the troubles and what clients
do; processes and disks keep their own time, so that a seed replays a plan, not a history.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from bench.target import Account
from tests.chaos.array import RealArray
from tests.chaos.imap import Imap
from tests.chaos.judge import Judge
from tests.chaos.network import Loopback, Namespaces, mayMakeNamespaces
from tests.chaos.promises import Promises
from tests.chaos.troubles import Trouble, troublesOf
from tests.chaos.watch import Watchers
from tests.chaos.workload import MAILBOXES, Workload
from tests.support.node import HOST, NodeFailed

ACCOUNTS = 6
WARM_SECONDS = 1.0
TROUBLES_MAX = 3


class Rounds:
    """An array, its clients and its judge."""

    def __init__(self, array: RealArray, seed: int) -> None:
        self.array = array
        self.promises = Promises(array.mayWait)
        self.accounts: list[Account] = []
        self._seed = seed
        self._round = 0

    def prepare(self, names: Sequence[str]) -> None:
        """Found the array with these nodes, and make the accounts."""
        self.array.found(names)
        self.array.ctl(names[0], "cluster", "set", "repairSeconds", "5", "--json")
        self.accounts = self.array.addAccounts(ACCOUNTS)
        for account in self.accounts:
            with self.array.inside(names[0]):
                client = Imap(HOST, self.array.port(names[0], "imap"), account.login, account.password)
            for mailbox in MAILBOXES[1:]:
                client.command(b"CREATE %s" % mailbox.encode())
            client.logout()
        self.judge = Judge(self.array, self.promises, self.accounts)
        self.watchers = Watchers(self.array, self.promises, self.accounts, self._seed)

    def one(self, only: Sequence[str] = ()) -> str:
        """One round; what happened in a line. What is wrong stands in `promises.problems`."""
        self._round += 1
        chance = Random(f"{self._seed} round {self._round}")
        troubles = troublesOf(self.array)
        wanted = [troubles[each] for each in only] or list(troubles.values())
        chosen = [chance.choice(wanted) for _ in range(chance.randint(1, TROUBLES_MAX))]
        workload = Workload(self.array, self.promises, self.accounts, self._seed * 1000 + self._round)
        workload.start(self.array.names)
        self.watchers.start(self.array.names)
        time.sleep(WARM_SECONDS)
        began = time.monotonic()
        hurt = self._suffer(chosen, chance)
        seconds = time.monotonic() - began
        workload.stop()
        self.watchers.stop()
        self.array.requireAlive(self.array.names)
        calm = self.judge.awaitCalm(self.array.names)
        self.watchers.settle(sorted(hurt))
        try:
            calm += self.array.awaitSettled()
        except NodeFailed as error:
            self.promises.problem(str(error))
        self.judge.judge(self.array.names)
        self.judge.judgeStores(chance.choice(self.array.names))
        names = " ".join(each.__name__ for each in chosen)
        slowest = " ".join(f"{what} {took:.1f}" for what, took in sorted(workload.slowest.items()))
        return f"round {self._round}: {names} ({seconds:.0f} s, hurt: {' '.join(sorted(hurt))}); calm after {calm:.1f} s; slowest: {slowest}; failed: {dict(workload.failures)}"

    def finish(self) -> None:
        """Stop all nodes in order and check each store by itself."""
        self.watchers.close()
        for name in self.array.names:
            code = self.array.stop(name)
            if code != 0:
                self.promises.problem(f"{name} did not stop in order: {code}")
        for name in self.array.names:
            checked = self.array.members[name].process.check()
            if checked.returncode != 0:
                self.promises.problem(f"{name}: {checked.stdout}{checked.stderr}")

    def _suffer(self, troubles: Sequence[Trouble], chance: Random) -> set[str]:
        hurt: set[str] = set()
        for each in troubles:
            with each(self.array, chance) as names:
                hurt.update(names)
            time.sleep(chance.uniform(0, 2))
        return hurt


def main(arguments: list[str]) -> int:
    """Run rounds; 0 when nothing is wrong."""
    parser = argparse.ArgumentParser(prog="tests.chaos.run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=None, help="drawn and printed when not given")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--only", default="", help="names of troubles, with commas")
    parser.add_argument("--loopback", action="store_true", help="no namespaces, and so no partitions")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else time.time_ns() % 1_000_000
    only = [each for each in options.only.split(",") if each]
    print(f"seed {seed}", flush=True)
    names = [f"node{number}" for number in range(1, options.nodes + 1)]
    isLoopback = options.loopback or not mayMakeNamespaces()
    network = Loopback() if isLoopback else Namespaces(names)
    directory = Path(tempfile.mkdtemp(prefix="jn-"))
    array = RealArray(directory, network, hasSmallDisks=not isLoopback)
    isGood = False
    try:
        isGood = _rounds(Rounds(array, seed), names, options.rounds, only)
    finally:
        array.close()
        network.close()
        if isGood:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            print(f"seed {seed}; logs are in {directory}", flush=True)
    return 0 if isGood else 1


def _rounds(rounds: Rounds, names: list[str], count: int, only: list[str]) -> bool:
    rounds.prepare(names)
    for _ in range(count):
        print(rounds.one(only), flush=True)
        if rounds.promises.problems:
            break
    else:
        rounds.finish()
    if rounds.promises.problems:
        print("\n".join(rounds.promises.problems), flush=True)
        return False
    print(f"{count} rounds, nothing wrong: {dict(rounds.promises.counts)}", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
