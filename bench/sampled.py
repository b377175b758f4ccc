"""`twistd` that says where its CPU time goes: python -m bench.sampled REPORT -n jindimail --config node.ini

Each millisecond of CPU time that the process uses, a signal notes the stack of the main thread. SIGUSR2 writes REPORT and
begins the counting anew: CPU time by innermost function and, counted once a stack, by every function; and the CPU time of
each thread since the beginning of the count, from the kernel.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

INTERVAL_SECONDS = 0.001
_TICKS_PER_SECOND = 100


class Sampler:
    """Counts the main thread's stacks; cheap enough to leave the proportions as they are."""

    def __init__(self, report: Path) -> None:
        self._report = report
        self._own: Counter[CodeType] = Counter()
        self._under: Counter[CodeType] = Counter()
        self._threads: dict[str, float] = {}
        self._nanoseconds = time.thread_time_ns()

    def start(self) -> None:
        """Sample from now on."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.signal(signal.SIGUSR2, self._write)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_SECONDS, INTERVAL_SECONDS)

    def _sample(self, number: int, frame: FrameType | None) -> None:
        if frame is None:
            return
        # The timer runs with all threads: a sample weighs what this one has used since the last.
        now = time.thread_time_ns()
        weight, self._nanoseconds = now - self._nanoseconds, now
        self._own[frame.f_code] += weight
        seen: set[CodeType] = set()
        while frame is not None:
            seen.add(frame.f_code)
            frame = frame.f_back
        for code in seen:
            self._under[code] += weight

    def _write(self, number: int, frame: FrameType | None) -> None:
        # The next sample interrupts this too, and shall find counts of its own.
        own, self._own, under, self._under = self._own, Counter(), self._under, Counter()
        now = _threadSeconds()
        threads = {name: used - self._threads.get(name, 0.0) for name, used in now.items()}
        found = {"own": _named(own), "under": _named(under), "threads": threads}
        made = self._report.with_suffix(".new")
        made.write_text(json.dumps(found))
        os.replace(made, self._report)
        self._threads = now


def _named(counts: Counter[CodeType]) -> dict[str, int]:
    named: Counter[str] = Counter()
    for code, count in counts.items():
        named[f"{_module(code.co_filename)}:{code.co_qualname}"] += count
    return dict(named.most_common())


def _module(path: str) -> str:
    """A module's name as its path tells it: what stands after the folder of packages, from `jindimail` on for ours."""
    parts = Path(path).with_suffix("").parts
    if "site-packages" in parts:
        parts = parts[parts.index("site-packages") + 1 :]
    elif "jindimail" in parts:
        parts = parts[len(parts) - 1 - parts[::-1].index("jindimail") :]
    return ".".join(parts[-4:])


def _threadSeconds() -> dict[str, float]:
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    used: Counter[str] = Counter()
    for task in Path("/proc/self/task").iterdir():
        words = (task / "stat").read_text().rpartition(")")[2].split()
        used[names.get(int(task.name), "other")] += int(words[11]) + int(words[12])
    return {name: ticks / _TICKS_PER_SECOND for name, ticks in used.items()}


def main() -> None:
    """Start sampling, be twistd."""
    Sampler(Path(sys.argv.pop(1))).start()
    from twisted.scripts.twistd import run

    run()


if __name__ == "__main__":
    main()
