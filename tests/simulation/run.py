"""
Runs seeds: `python -m tests.simulation.run --seeds 500 --from 0`, or `--seed 7 --trace` for one, exactly as it was; `--whole` for
arrays of whole nodes.

Seeds run on all cores; the counters of all are printed, and those that a check depends on must not be zero.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial

from twisted.logger import globalLogBeginner

from tests.simulation.array import Array
from tests.simulation.whole import WholeArray

REQUIRED = (
    "elections",
    "conflicting tails truncated",
    "snapshots installed",
    "membership changes",
    "transfers",
    "partitions",
    "crashes",
    "acknowledged writes",
    "reads checked",
    "keepers replaced",
    "bodies swept",
)
REQUIRED_OF_WHOLE = (
    "elections",
    "conflicting tails truncated",
    "transfers",
    "partitions",
    "one-way partitions",
    "broken connections",
    "crashes",
    "acknowledged writes",
    "reads checked",
    "bodies read",
)
REQUIRED_FROM_SEEDS = 20  # fewer need not show everything
REQUIRED_FROM_WHOLE = 12


def quietly() -> None:
    """Log nothing to the terminal; what is logged as a failure is looked at."""
    if not _begun:
        _begun.append(True)
        globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)


_begun: list[bool] = []


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect no garbage before the end, and then only what came up meanwhile: a seed is over before its garbage matters."""
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.enable()
        gc.unfreeze()


def runSeed(seed: int, trace: bool = False, whole: bool = False) -> tuple[int, str, Counter[str], float]:
    """(seed, what was found or "", counters, CPU seconds)."""
    quietly()
    began = time.process_time()
    with uncollected():
        found, counters = _runSeed(seed, trace, WholeArray if whole else Array)
    return seed, found, counters, time.process_time() - began


def _runSeed(seed: int, trace: bool, kind: type[Array]) -> tuple[str, Counter[str]]:
    array = kind(seed, say=(lambda line: print(line, flush=True)) if trace else None)
    found = ""
    try:
        array.run()
    except Exception as problem:
        found = f"{type(problem).__name__}: {problem}"
        if trace:
            raise
    return found, array.watch.counters


def runRange(
    first: int, count: int, processes: int, *, onlyFirst: bool = False, whole: bool = False
) -> tuple[dict[int, str], Counter[str], float]:
    """What was found by seed, the counters of all, their CPU seconds; `onlyFirst`: end with the first find."""
    found: dict[int, str] = {}
    counters: Counter[str] = Counter()
    total = 0.0
    seeds = range(first, first + count)
    run = partial(runSeed, whole=whole)
    if processes == 1:
        results = map(run, seeds)
    else:
        pool = ProcessPoolExecutor(processes)
        results = pool.map(run, seeds, chunksize=1 if whole else 4)
    for seed, problem, counted, seconds in results:
        counters.update(counted)
        total += seconds
        if problem:
            found[seed] = problem
            print(f"seed {seed}: {problem}", flush=True)
            if onlyFirst:
                break
    return found, counters, total


def missing(counters: Counter[str], seeds: int, *, whole: bool = False) -> list[str]:
    """What never happened, and so was never checked."""
    required, least = (REQUIRED_OF_WHOLE, REQUIRED_FROM_WHOLE) if whole else (REQUIRED, REQUIRED_FROM_SEEDS)
    return [name for name in required if not counters[name]] if seeds >= least else []


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Simulate arrays.")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--whole", action="store_true", help="arrays of whole nodes")
    parser.add_argument(
        "--until-found", action="store_true", dest="onlyFirst", help="end with the first find"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    if options.seed is not None:
        seed, found, counters, seconds = runSeed(options.seed, options.trace, options.whole)
        print(f"seed {seed}: {found or 'good'}, {seconds:.2f} s of CPU")
        print(dict(sorted(counters.items())))
        return 1 if found else 0
    began = time.monotonic()
    found, counters, total = runRange(
        options.first, options.seeds, options.processes, onlyFirst=options.onlyFirst, whole=options.whole
    )
    for name, count in sorted(counters.items()):
        print(f"{count:10} {name}")
    never = missing(counters, options.seeds, whole=options.whole)
    print(
        f"{options.seeds} seeds from {options.first}, {len(found)} failed, {time.monotonic() - began:.0f} s, "
        f"{total:.0f} s of CPU; never: {never or 'nothing'}"
    )
    return 1 if found or (never and not options.onlyFirst) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
