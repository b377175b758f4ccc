"""The bench's results as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.cell import Cell, Score

_PARTS = ("postfix", "dovecot")
_COMPARED = (("pair", "node"), ("lmtp", "node"), ("lmtp", "nlmtp"))


def header(names: list[str]) -> str:
    """The table's head: a rate and a cost for each target."""
    columns = "".join(f"| {name:>9} msg/s   CPU ms/msg " for name in names)
    return f"{'cell':28}{columns}| ratio of CPU"


def row(cell: Cell, scores: dict[str, Score]) -> str:
    """One line: for each target its rate, its cost (best round in brackets), then the ratios of the costs."""
    columns = ""
    for score in scores.values():
        cost = score.cpuMilliseconds.get("total", float("nan"))
        columns += f"| {score.perSecond:>10.1f}   {cost:>6.3f} ({score.bestCpuMilliseconds:.3f}) "
    return f"{cell.title:28}{columns}| {_ratios(scores)}{_notes(scores)}"


def _ratios(scores: dict[str, Score]) -> str:
    """How many times the node's cost each peer's is; the LMTP servers are compared with each other."""
    found = []
    for peer, own in _COMPARED:
        if peer in scores and own in scores and scores[peer].messages and scores[own].messages:
            ratio = scores[peer].cpuMilliseconds["total"] / scores[own].cpuMilliseconds["total"]
            found.append(f"{peer}/{own} {ratio:.1f}")
    return "  ".join(found)


def _notes(scores: dict[str, Score]) -> str:
    notes = ""
    for name, score in scores.items():
        parts = [
            f"{part} {score.cpuMilliseconds[part]:.2f}" for part in _PARTS if part in score.cpuMilliseconds
        ]
        notes += f"  [{name}: {' + '.join(parts)}]" if parts else ""
        notes += f"  !! {name}: {score.missing} missing" if score.missing else ""
        notes += f"  !! {name}: {score.errors[0]}" if score.errors else ""
    return notes


def write(path: Path, machine: dict[str, Any], cells: list[tuple[Cell, dict[str, Score]]]) -> None:
    """All of it as JSON: the machine, the settings, and every cell with its scores."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"cell": cell.title.split(), "kind": cell.kind, "octets": cell.octets, "tls": cell.tls}
        | {"connections": cell.connections, "onePerSession": cell.onePerSession}
        | {"targets": {name: score.asJson() for name, score in scores.items()}}
        for cell, scores in cells
    ]
    path.write_text(json.dumps({"machine": machine, "cells": rows}, indent=1) + "\n")
