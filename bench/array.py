"""`python -m bench.array`: what a delivered message costs on one node, on an array, and on Postfix with Dovecot, by turns.

The array's CPU time is the sum over its nodes; records stand on all three of them, bodies on two. Connections are spread
over the nodes, and know nothing of who leads what. Beside the costs stand counters per delivered message: what the nodes
wrote and said to each other, heartbeats included, so that the figures of few messages a second are the higher ones.

`--nodes 2` is two nodes with mail and a witness, which has the records and no bodies, and serves no clients.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from zope.interface import implementer

from bench import pair, report
from bench.cell import Cell, Score, measure
from bench.meter import Meter, MeterUnavailable, verify
from bench.node import Node
from bench.pair import ACCOUNTS
from bench.scrape import COUNTED, counted
from bench.scratch import Scratch, waitUntil
from bench.target import HOST, Account, ITarget, freePorts
from tests.chaos.array import Member, RealArray
from tests.chaos.network import Loopback

_NODES_MIN = 2
_WITNESS = "witness"
_WITNESS_SECONDS = 120.0
_PEERS = (("array", "node"), ("pair", "array"), ("pair", "node"))


class _MeteredArray(RealArray):
    """An array whose nodes run under meters of their own, and tell what they count."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, Loopback(), hasShims=False)
        self.meters: dict[str, Meter] = {}

    def _make(self, name: str) -> Member:
        member = super()._make(name)
        self.meters[name] = meter = Meter(name)
        member.process.wrap = meter.wrap
        member.process.ports["web"] = freePorts(1)[0]
        return member


@implementer(ITarget)
class ArrayTarget:
    """Several nodes on loopback, as `jindictl init` and `jindictl join` leave them; beside two of them a witness."""

    name = "array"
    host = HOST
    isLmtp = False

    def __init__(self, nodes: int) -> None:
        self._scratch = Scratch()
        self._names = [f"node{number}" for number in range(1, nodes + 1)]
        self._array = _MeteredArray(self._scratch.path)
        self.accounts: list[Account] = []

    @property
    def deliveryPorts(self) -> list[int]:
        """The SMTP ports of all nodes."""
        return [self._array.port(name, "smtp") for name in self._names]

    @property
    def pop3Port(self) -> int:
        """The first node's."""
        return self._array.port(self._names[0], "pop3")

    def start(self) -> None:
        """See `ITarget.start`; every bucket has all its replicas when it returns."""
        witnesses = [] if len(self._names) > _NODES_MIN else [_WITNESS]
        self._array.found([*self._names, *witnesses])
        self.accounts = self._array.addAccounts(ACCOUNTS)
        for name in witnesses:
            self._array.ctl(self._names[0], "cluster", "weight", name, "0", "--json")
            waitUntil(partial(self._isWitness, name), f"{name} is one", _WITNESS_SECONDS)
        self._array.awaitSettled()

    def _isWitness(self, name: str) -> bool:
        """Whether a node leads nothing, and everything has come to where it shall be."""
        status = self._array.ask(name, "status")
        isAside = status["state"] == _WITNESS and not status["groups"]["leading"]
        return isAside and self._array.ask(self._names[0], "cluster status")["isWhole"]

    def stop(self) -> None:
        """See `ITarget.stop`."""
        self._array.close()
        for meter in self._array.meters.values():
            meter.close()
        self._scratch.remove()

    def cpuSeconds(self) -> Mapping[str, float]:
        """See `ITarget.cpuSeconds`: of all nodes together, and of each."""
        used = {name: meter.cpuSeconds() for name, meter in self._array.meters.items()}
        return {"total": sum(used.values()), **used}

    def counts(self) -> Mapping[str, float]:
        """See `ITarget.counts`: of all nodes together."""
        processes = [member.process for member in self._array.members.values()]
        return counted(
            [process.ports["web"] for process in processes], [process.control() for process in processes]
        )

    def isSettled(self) -> bool:
        """Always: 250 means that the message is in the mailbox."""
        return True

    def settings(self) -> str:
        """The first node's configuration."""
        return self._array.members[self._names[0]].process.configuration.read_text()


def arguments(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.array", description=__doc__.split("\n")[0])
    parser.add_argument("--nodes", type=int, default=3, help="of the array (default 3)")
    parser.add_argument(
        "--targets", default="node,array,pair", help="which of node, array, pair (default all)"
    )
    parser.add_argument("--size", type=int, default=10, help="KB a message (default 10)")
    parser.add_argument("--connections", default="1,8,64", help="messages in flight (default 1,8,64)")
    parser.add_argument("--messages", type=int, default=300, help="at most so many a round (default 300)")
    parser.add_argument("--seconds", type=float, default=4.0, help="at most so long a round (default 4)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each target in each cell (default 3)")
    parser.add_argument(
        "--json", type=Path, default=Path("bench/results/array.json"), help="where to put the JSON"
    )
    return parser.parse_args(argv)


def started(options: argparse.Namespace, stack: ExitStack) -> list[Any]:
    """The targets, listening; `stack` stops them."""
    makers = {"node": Node, "array": lambda: ArrayTarget(options.nodes), "pair": pair.Pair}
    targets = []
    for name in options.targets.split(","):
        if name == "pair" and not pair.isInstalled():
            sys.exit("bench: postfix and dovecot are not here: tests/support/packages.sh bench installs them")
        target = makers[name]()
        stack.callback(target.stop)
        target.start()
        targets.append(target)
    return targets


def told(cell: Cell, scores: Mapping[str, Score]) -> str:
    """One cell: rate and cost of each target, how they compare, and what was counted per message."""
    lines = [cell.title]
    for name, score in scores.items():
        costs = score.cpuMilliseconds
        parts = " + ".join(f"{each:.2f}" for part, each in costs.items() if part != "total")
        lines.append(
            f"  {name:6} {score.perSecond:7.1f} msg/s  {costs.get('total', 0.0):7.3f} ms CPU/msg"
            + (f"  ({parts})" if parts else "")
            + (f"  !! {score.missing} missing {score.errors[:1]}" if score.missing or score.errors else "")
        )
        if score.counts and score.messages:
            each = "  ".join(f"{what} {score.counts[what] / score.messages:.2f}" for what in COUNTED)
            lines.append(f"         per message: {each}")
    ratios = [
        f"{one}/{other} {scores[one].cpuMilliseconds['total'] / scores[other].cpuMilliseconds['total']:.2f}"
        for one, other in _PEERS
        if all(each in scores and scores[each].messages for each in (one, other))
    ]
    return "\n".join([*lines, f"  CPU: {'  '.join(ratios)}"])


def main(argv: list[str]) -> int:
    """Check the accounting, start the targets, print each cell as it comes, leave the JSON."""
    options = arguments(argv)
    if options.nodes < _NODES_MIN:
        sys.exit("bench: an array has two nodes (and a witness) at least")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # stops the servers on the way out
    try:
        account = verify()
    except MeterUnavailable as error:
        sys.exit(f"bench: CPU time cannot be accounted here: {error}")
    if not account.isTrue:
        sys.exit("bench: the accounting of CPU time is wrong here")
    witness = " and a witness" if options.nodes == _NODES_MIN else ""
    print(
        f"{options.nodes} nodes{witness}; load {os.getloadavg()[0]:.1f}; each transaction is synced twice (data, meta page)"
    )
    results = []
    with ExitStack() as stack:
        targets = started(options, stack)
        for count in map(int, options.connections.split(",")):
            cell = Cell(kind="deliver", octets=1000 * options.size, tls=False, connections=count)
            scores = measure(
                cell, targets, rounds=options.rounds, messagesMax=options.messages, secondsMax=options.seconds
            )
            results.append((cell, scores))
            print(told(cell, scores), flush=True)
    report.write(options.json, {"cores": os.cpu_count(), "nodes": options.nodes}, results)
    isSound = not any(score.errors or score.missing for _, scores in results for score in scores.values())
    return 0 if isSound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
