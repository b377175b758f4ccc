"""The planted bugs can still be planted, and what must find them is there (`make mutants` does it)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.mutants.bugs import BUGS

ROOT = Path(__file__).resolve().parents[2]
BUGS_MIN = 30


def test_everyBugStandsExactlyOnceAndIsPython() -> None:
    for bug in BUGS:
        text = (ROOT / "jindimail" / bug.path).read_text()
        assert text.count(bug.old) == 1, bug.name
        ast.parse(text.replace(bug.old, bug.new))


def test_everyBugHasANameOfItsOwnAndAChange() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= BUGS_MIN
    assert all(bug.old != bug.new and bug.rule for bug in BUGS)


def test_everyBugNamesChecksThatAreThere() -> None:
    for bug in BUGS:
        assert bug.checks, bug.name
        for words in bug.checks:
            if re.fullmatch(r"seeds \d+(-\d+)?", words):
                continue
            path, *names = words.split("::")
            text = (ROOT / path).read_text()
            assert all(re.search(rf"(class|def) {name}\b", text) for name in names), (bug.name, words)
