"""CPU time of everything that a server starts, children that come and go included.

Each server runs in a control group of its own: the kernel charges every thread there to the group, whoever forks it
and however short it lives. Version 1 (``cpuacct``) and version 2 (``cpu.stat``, which needs no controller) both do.
`verify` holds the account against a burner whose consumption is known from ``wait4``.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_ROOTS_V1 = (Path("/sys/fs/cgroup/cpuacct"), Path("/sys/fs/cgroup/cpu,cpuacct"))
_ROOTS_V2 = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))

# Three generations: children that end before their parent, one orphan that outlives it by a moment.
_BURNER = """
import os, time
def burn(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
for turn in range(5):
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            burn(0.05)
            os._exit(0)
        os.wait()
        burn(0.05)
        os._exit(0)
    os.waitpid(child, 0)
burn(0.1)
"""


class MeterUnavailable(Exception):
    """No control group can be made here: not root, or none mounted."""


class Meter:
    """The CPU account of one server: start processes through `wrap`, read `cpuSeconds`, `close` when they are gone."""

    def __init__(self, name: str) -> None:
        self.path = _makeGroup(f"jindimail-bench-{os.getpid()}-{name}")

    def wrap(self, argv: list[str]) -> list[str]:
        """`argv` such that it and all its descendants are charged here."""
        procs = self.path / "cgroup.procs"
        return ["/bin/sh", "-c", f'echo $$ >{procs}; exec "$@"', "meter", *argv]

    def cpuSeconds(self) -> float:
        """User and system time used so far by all who ever were in the group."""
        usage = self.path / "cpuacct.usage"
        if usage.exists():
            return int(usage.read_text()) / 1e9
        for line in (self.path / "cpu.stat").read_text().splitlines():
            if line.startswith("usage_usec "):
                return int(line.split()[1]) / 1e6
        raise MeterUnavailable(f"{self.path} keeps no account")

    def processes(self) -> list[int]:
        """Who is in the group now."""
        return [int(word) for word in (self.path / "cgroup.procs").read_text().split()]

    def close(self) -> None:
        """Remove the group; what is still in it is killed, since the bench started it."""
        for _ in range(100):
            for pid in self.processes():
                _kill(pid)
            try:
                self.path.rmdir()
                return
            except OSError:
                time.sleep(0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What the burner used by its own account (`expectedSeconds`) and by the meter's."""

    expectedSeconds: float
    meteredSeconds: float

    @property
    def isTrue(self) -> bool:
        return abs(self.meteredSeconds - self.expectedSeconds) <= 0.05 * self.expectedSeconds + 0.01


def verify() -> Verified:
    """Burn a known amount of CPU in children and grandchildren, and see whether the meter finds all of it."""
    meter = Meter("burner")
    try:
        before = os.times()
        subprocess.run(meter.wrap([sys.executable, "-S", "-c", _BURNER]), check=True)
        after = os.times()
        expected = (after.children_user - before.children_user) + (
            after.children_system - before.children_system
        )
        return Verified(expectedSeconds=expected, meteredSeconds=meter.cpuSeconds())
    finally:
        meter.close()


def _makeGroup(name: str) -> Path:
    for root in _ROOTS_V1:
        if (root / "cpuacct.usage").exists():
            return _made(root / name)
    for root in _ROOTS_V2:
        if (root / "cgroup.procs").exists() and (root / "cgroup.controllers").exists():
            return _made(root / name)
    raise MeterUnavailable("no cgroup hierarchy that accounts CPU is mounted")


def _made(path: Path) -> Path:
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise MeterUnavailable(f"cannot make the control group {path}: {error.strerror}") from error
    return path


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 9)
