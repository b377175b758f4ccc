"""
Everything that decides whether this tree is good: `python -m tests.gate` (`make test`).

Each tool counts as one test beside pytest's own. All steps run, whatever fails; the last line is `N passed, N failed`, and the
exit status is not 0 if anything failed. Tests that start processes (faults, clients) run one at a time, the others on two cores.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as Xml
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
PROCESS_TESTS = ("tests/faults", "tests/clients", "tests/chaos", "tests/admin/test_process.py")
SIMULATION = ("tests/simulation/test_seeds.py",)  # uses both cores by itself
SEEDS = "500"
PACKAGES = ("jindimail", "twisted", "tests", "bench")
STEP_SECONDS_MAX = 1500

TOOLS = {
    "ruff format": [str(BIN / "ruff"), "format", "--check", "--quiet", *PACKAGES],
    "ruff check": [str(BIN / "ruff"), "check", "--quiet", *PACKAGES],
    "mypy": [str(BIN / "mypy")],
    "import-linter": [str(BIN / "lint-imports")],
}


def main(arguments: list[str]) -> int:
    """Run all steps; with --quick only the tools."""
    passed = failed = 0
    for name, command in TOOLS.items():
        isGood = step(name, command)
        passed, failed = passed + isGood, failed + (not isGood)
    if "--quick" not in arguments:
        os.environ.setdefault("SEEDS", SEEDS)
        ignored = [f"--ignore={path}" for path in (*PROCESS_TESTS, *SIMULATION)]
        for name, words in (
            ("tests", ["-n", "2", *ignored, "tests"]),
            ("simulation", ["-s", *SIMULATION]),
            ("process tests", [*PROCESS_TESTS]),
        ):
            good, bad = pytest(name, words)
            passed, failed = passed + good, failed + bad
    say(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def step(name: str, command: list[str]) -> bool:
    """Run a command; whether it went well."""
    say(f"--- {name}")
    began = time.monotonic()
    try:
        code = subprocess.run(command, cwd=ROOT, timeout=STEP_SECONDS_MAX, check=False).returncode
    except subprocess.TimeoutExpired:
        code = 124
    say(f"--- {name}: {'good' if code == 0 else f'FAILED ({code})'}, {time.monotonic() - began:.0f} s")
    return code == 0


def pytest(name: str, words: list[str]) -> tuple[int, int]:
    """Run pytest; how many tests passed and failed. A run that does not end in order counts as one more failure."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        isGood = step(name, [sys.executable, "-m", "pytest", "-ra", f"--junitxml={report}", *words])
        if not report.exists():
            return 0, 1
        counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
        for suite in Xml.parse(report).getroot().iter("testsuite"):
            for count in counts:
                counts[count] += int(suite.get(count, 0))
    bad = counts["failures"] + counts["errors"]
    return counts["tests"] - bad - counts["skipped"], bad if isGood or bad else 1


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
