"""
Plants each bug in a copy of the package and has its checks find it: `python -m tests.mutants.run [NAME...]`.

A mutant is killed by the first of its checks that fails; what killed it is printed. A mutant that survives, whose text is not
found exactly once, or a check that fails without any mutant, is an error. `--search` tries all tests and seeds instead of the named ones.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.bugs import BUGS, Bug

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 300
SEARCHED = (
    "tests/replication",
    "tests/mailbox/test_machine.py",
    "tests/simulation/test_scenarios.py",
    "seeds 0-40",
    "tests/store",
)
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", "clients", "faults", "imap4", "smtp", "pop3")


def copyTree(place: Path) -> None:
    """A copy of what is mutated and what checks it."""
    for name in ("jindimail", "tests"):
        shutil.copytree(ROOT / name, place / name, ignore=_IGNORED)
    for name in ("jindimail/imap4", "jindimail/smtp", "jindimail/pop3"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, place / name)


def check(place: Path, words: str) -> str:
    """Run a check: "seeds 3-9", or tests as pytest names them; what it found, or ""."""
    if words.startswith("seeds "):
        first, _, last = words[6:].partition("-")
        count = str(int(last or first) - int(first) + 1)
        command = [
            "-m",
            "tests.simulation.run",
            "--seeds",
            count,
            "--from",
            first,
            "--processes",
            "1",
            "--until-found",
        ]
    else:
        command = ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=line", *words.split()]
    environment = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{words}: does not end"
    if done.returncode == 0:
        return ""
    return what(words, done.stdout + done.stderr)


def what(words: str, output: str) -> str:
    """The line of a check's output that says what it found, and the invariant's name if one was broken."""
    broken = re.search(r"InvariantBroken: (\w+)", output)
    name = f" [invariant {broken[1]}]" if broken else ""
    for pattern in (r"^seed \d+: .*", r"^FAILED .*", r"^ERROR .*"):
        found = re.search(pattern, output, re.MULTILINE)
        if found:
            return found[0].removeprefix("FAILED ")[:160] + name
    return f"{words}: {output.strip()[-160:]}"


def plant(bug: Bug, place: Path) -> None:
    """
    Replace the bug's text.

    @raise LookupError: it does not stand there exactly once.
    """
    path = place / "jindimail" / bug.path
    text = path.read_text()
    if text.count(bug.old) != 1:
        raise LookupError(f"{bug.name}: its text stands in {bug.path} {text.count(bug.old)} times")
    path.write_text(text.replace(bug.old, bug.new))


def tryBug(bug: Bug, checks: Sequence[str]) -> str:
    """What killed the bug; "" if it survived."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        copyTree(place)
        plant(bug, place)
        for words in checks:
            found = check(place, words)
            if found:
                return found
    return ""


def control(checks: Sequence[str]) -> list[str]:
    """Checks that fail with no bug planted."""
    tests = [words for words in checks if not words.startswith("seeds ")]
    seeds = [words for words in checks if words.startswith("seeds ")]
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        copyTree(place)
        found = [check(place, " ".join(sorted(set(tests))))] if tests else []
        found += [check(place, words) for words in sorted(set(seeds))]
    return [each for each in found if each]


def main(arguments: list[str]) -> int:
    """The command."""
    search = "--search" in arguments
    names = [each for each in arguments if not each.startswith("-")]
    bugs = [bug for bug in BUGS if not names or bug.name in names]
    began = time.monotonic()
    survived: list[str] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        tried = [pool.submit(tryBug, bug, SEARCHED if search else bug.checks) for bug in bugs]
        for bug, result in zip(bugs, tried, strict=True):
            try:
                found = result.result()
            except LookupError as problem:
                found, survived = "", [*survived, str(problem)]
                print(f"{bug.name}: NOT PLANTED: {problem}", flush=True)
                continue
            if found:
                print(f"{bug.name} ({bug.rule}): killed by {found}", flush=True)
            else:
                survived.append(bug.name)
                print(f"{bug.name} ({bug.rule}): SURVIVED", flush=True)
    failed = [] if search else control([words for bug in bugs for words in bug.checks])
    for line in failed:
        print(f"CONTROL: without a bug fails {line}")
    print(
        f"{len(bugs)} planted bugs, {len(bugs) - len(survived)} killed, {len(survived)} not; "
        f"control {'FAILED' if failed else 'green'}; {time.monotonic() - began:.0f} s"
    )
    return 1 if survived or failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
