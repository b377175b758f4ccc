"""
What an idle array costs: `python -m bench.idle run/array.json`, beside a `make array` that nobody uses.

The CPU time of each node's process over a while, as the kernel counts it (`/proc/PID/stat`), in percent of a core.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpuSeconds(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="CPU time of an idle array.")
    parser.add_argument("array", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args(arguments)
    nodes = {node["name"]: node["pid"] for node in json.loads(options.array.read_text())["nodes"]}
    before = {name: cpuSeconds(pid) for name, pid in nodes.items()}
    began = time.monotonic()
    time.sleep(options.seconds)
    elapsed = time.monotonic() - began
    for name, pid in nodes.items():
        print(f"{name}: {100 * (cpuSeconds(pid) - before[name]) / elapsed:.2f} % of a core")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
