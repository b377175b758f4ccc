"""`python -m bench.profile`: where this node's CPU time goes in one cell of the bench."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from bench.cell import Cell, Score, empty, fill, measure
from bench.node import Node
from bench.scratch import waitUntil

_SHOWN = 30


def main(argv: list[str]) -> int:
    """Run one cell on a sampled node and print what the samples say."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--kind", default="deliver", choices=("deliver", "drain"))
    parser.add_argument("--size", type=int, default=10, help="KB a message (default 10)")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--one", action="store_true", help="one message a session")
    options = parser.parse_args(argv)
    cell = Cell(
        kind=options.kind,
        octets=1000 * options.size,
        tls=options.tls,
        connections=options.connections,
        onePerSession=options.one,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # stops the node on the way out
    node = Node()
    report = node.scratch.path / "samples.json"
    node.process.program = ("-m", "bench.sampled", str(report))
    try:
        _show(cell, *_measured(node, cell, options.messages, report))
    finally:
        node.stop()
    return 0


def _measured(node: Node, cell: Cell, messages: int, report: Path) -> tuple[Score, dict[str, Any]]:
    node.start()
    # Warm: caches are filled, and the first password of each account is hashed.
    fill(node, cell.octets, messages if cell.kind == "drain" else 50)
    if cell.kind == "deliver":
        empty(node)
    _collect(node, report)
    score = measure(cell, [node], rounds=1, messagesMax=messages, secondsMax=20)["node"]
    return score, _collect(node, report)


def _collect(node: Node, report: Path) -> dict[str, Any]:
    """What was sampled since the last time."""
    node.process.signal(signal.SIGUSR2)
    waitUntil(report.exists, "the samples are written", 10)
    found: dict[str, Any] = json.loads(report.read_text())
    report.unlink()
    return found


def _show(cell: Cell, score: Score, found: dict[str, Any]) -> None:
    samples = sum(found["own"].values())
    each = score.cpuMilliseconds["total"]
    print(
        f"{cell.title}: {score.messages} messages, {score.perSecond:.0f}/s, {each:.3f} ms CPU each (while sampled)"
    )
    seconds = sum(found["threads"].values())
    for name, used in sorted(found["threads"].items(), key=lambda item: -item[1]):
        print(f"  thread {name:24} {used:6.2f} s  {used / seconds:5.1%}")
    packages: Counter[str] = Counter()
    for name, count in found["own"].items():
        packages[".".join(name.split(":")[0].split(".")[:2])] += count
    _table("package (own time)", packages, samples)
    _table("function (own time)", Counter(found["own"]), samples)
    _table("function (with all it calls)", Counter(found["under"]), samples)


def _table(title: str, counts: Counter[str], samples: int) -> None:
    print(f"--- share of the main thread by {title}")
    for name, count in counts.most_common(_SHOWN):
        print(f"  {count / samples:6.1%}  {name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
