"""`python -m bench.run`: durable delivery and POP3 drain, this node and its peers by turns.

The two figures that count are messages per second *in the mailbox* and the server's CPU time per message; both come
from the same run. See bench/README.md for what they mean and `bench.meter` for how CPU time is charged.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import pair, report
from bench.cell import Cell, Score, empty, fill, measure
from bench.meter import MeterUnavailable, verify
from bench.node import Node, NodeLmtp

TARGETS = ("node", "pair", "lmtp")
BUSY_LOAD = 0.7


def arguments(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--targets",
        default=",".join(TARGETS),
        help="which of node, pair, lmtp (Dovecot's alone), nlmtp (the node's); default: the first three",
    )
    parser.add_argument("--kinds", default="deliver,drain", help="deliver, drain or both")
    parser.add_argument("--sizes", default="1,10,100", help="message sizes in KB")
    parser.add_argument("--tls", default="no,yes", help="without, with, or both")
    parser.add_argument("--sessions", default="many,one", help="messages a session")
    parser.add_argument("--connections", default="1,8", help="how many at once")
    parser.add_argument("--messages", type=int, default=200, help="at most so many a round (default 200)")
    parser.add_argument("--seconds", type=float, default=2.0, help="at most so long a round (default 2)")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each target in each cell (default 2)")
    parser.add_argument(
        "--json", type=Path, default=Path("bench/results/latest.json"), help="where to put the JSON"
    )
    return parser.parse_args(argv)


def cells(options: argparse.Namespace) -> Iterator[Cell]:
    """The cells asked for; each size is delivered in all ways, then drained."""
    kinds = options.kinds.split(",")
    tlsChoices = [word == "yes" for word in options.tls.split(",")]
    connections = [int(word) for word in options.connections.split(",")]
    sessions = options.sessions.split(",")
    for octets, kind in itertools.product((1000 * int(word) for word in options.sizes.split(",")), kinds):
        for tls, session, count in itertools.product(tlsChoices, sessions, connections):
            yield Cell(kind=kind, octets=octets, tls=tls, connections=count, onePerSession=session == "one")


def started(names: list[str], stack: ExitStack) -> list[Any]:
    """The targets that were asked for and can run here, listening; `stack` stops them."""
    targets: list[Any] = []
    if not {"node", "nlmtp"}.isdisjoint(names):
        node = Node()
        targets += [node] if "node" in names else [_Hidden(node)]
        targets += [NodeLmtp(node)] if "nlmtp" in names else []
    if not {"pair", "lmtp"}.isdisjoint(names):
        if not pair.isInstalled():
            sys.exit("bench: postfix and dovecot are not here: tests/support/packages.sh bench installs them")
        both = pair.Pair()
        targets += [both] if "pair" in names else [_Hidden(both)]
        targets += [pair.DovecotAlone(both)] if "lmtp" in names else []
    for target in targets:
        stack.callback(target.stop)
        target.start()
    return [target for target in targets if not isinstance(target, _Hidden)]


class _Hidden:
    """Started and stopped, but not measured."""

    def __init__(self, target: Any) -> None:
        self.start, self.stop = target.start, target.stop


def scored(cell: Cell, targets: list[Any], options: argparse.Namespace) -> dict[str, Score]:
    """Measure one cell; what is to be drained is put there first, round by round."""
    if cell.kind == "deliver":
        return measure(
            cell, targets, rounds=options.rounds, messagesMax=options.messages, secondsMax=options.seconds
        )
    boxes = [target for target in targets if not target.isLmtp]
    for target in boxes:
        empty(target)
        fill(target, cell.octets, options.messages)
    return measure(cell, boxes, rounds=1, messagesMax=options.messages, secondsMax=2 * options.seconds)


def main(argv: list[str]) -> int:
    """Check the accounting, start the targets, print each cell as it comes, leave the JSON."""
    options = arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # stops the servers on the way out
    begun = time.monotonic()
    try:
        account = verify()
    except MeterUnavailable as error:
        sys.exit(f"bench: CPU time cannot be accounted here: {error}")
    print(
        f"accounting: a burner used {account.expectedSeconds:.2f} s, the meter says {account.meteredSeconds:.2f} s"
    )
    load = os.getloadavg()[0]
    if load > BUSY_LOAD:
        print(f"the machine is busy (load {load:.1f}): trust the CPU times, and less the rates")
    if not account.isTrue:
        sys.exit("bench: the accounting of CPU time is wrong here")
    results: list[tuple[Cell, dict[str, Score]]] = []
    with ExitStack() as stack:
        targets = started(options.targets.split(","), stack)
        settings = {target.name: target.settings() for target in targets}
        for name, text in settings.items():
            print(f"--- settings of {name} ---\n{text}" if text else "", end="")
        print(report.header([target.name for target in targets]))
        for cell in cells(options):
            results.append((cell, scored(cell, targets, options)))
            print(report.row(*results[-1]), flush=True)
    machine = {
        "cores": os.cpu_count(),
        "loadBefore": load,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
    report.write(options.json, machine | {"settings": settings, "meter": account.meteredSeconds}, results)
    print(f"{len(results)} cells in {time.monotonic() - begun:.0f} s; {options.json}")
    isSound = not any(score.errors or score.missing for _, scores in results for score in scores.values())
    return 0 if isSound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
