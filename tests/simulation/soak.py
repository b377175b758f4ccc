"""
A long range of seeds that may be interrupted: `python -m tests.simulation.soak DIRECTORY --seeds 20000 --from 100000`.

Ranges are run one after another, and each that ended leaves a file with what it found and counted; those that have one are skipped
the next time. In the end all are added up. Code must stay as it is meanwhile: run it in a clone of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from pathlib import Path

from tests.simulation.run import missing, runRange

RANGE = 100


def soak(directory: Path, first: int, seeds: int, processes: int, *, whole: bool) -> int:
    """Run what is missing, then tell all."""
    directory.mkdir(parents=True, exist_ok=True)
    for at in range(first, first + seeds, RANGE):
        path = directory / f"{'whole' if whole else 'seeds'}-{at}.json"
        if path.exists():
            continue
        count = min(RANGE, first + seeds - at)
        found, counters, seconds = runRange(at, count, processes, whole=whole)
        path.write_text(
            json.dumps({"seeds": count, "found": found, "counters": counters, "seconds": seconds})
        )
        print(f"{at}: {count} seeds, {len(found)} failed", flush=True)
    return tell(directory, whole=whole)


def tell(directory: Path, *, whole: bool) -> int:
    """Add up what the files say."""
    counters: Counter[str] = Counter()
    found: dict[str, str] = {}
    seeds, seconds = 0, 0.0
    for path in sorted(directory.glob("whole-*.json" if whole else "seeds-*.json")):
        one = json.loads(path.read_text())
        counters.update(one["counters"])
        found.update(one["found"])
        seeds += one["seeds"]
        seconds += one["seconds"]
    for name, count in sorted(counters.items()):
        print(f"{count:10} {name}")
    for seed, problem in found.items():
        print(f"seed {seed}: {problem}")
    never = missing(counters, seeds, whole=whole)
    print(f"{seeds} seeds, {len(found)} failed, {seconds:.0f} s of CPU; never: {never or 'nothing'}")
    return 1 if found or never else 0


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Simulate arrays for long.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seeds", type=int, default=20_000)
    parser.add_argument("--from", type=int, default=100_000, dest="first")
    parser.add_argument("--whole", action="store_true", help="arrays of whole nodes")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    return soak(options.directory, options.first, options.seeds, options.processes, whole=options.whole)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
