"""LMDB itself under power cuts: what it committed with sync stays, without sync the same run loses.

The second half matters as much as the first: a test that could not see a loss would prove nothing.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from tests.faults.shim import Cut, Shim

_ROUNDS = int(os.environ.get("POWERCUT_ROUNDS", "12"))

# Commits for ever: each transaction puts a number and 0 to 40 KB under it, and deletes now and then, so that pages are
# reused; after each commit it says so on standard output.
_WRITER = """
import lmdb, os, random, sys
where, sync, seed = sys.argv[1], sys.argv[2] == "sync", int(sys.argv[3])
chance = random.Random(seed)
store = lmdb.open(where, map_size=1 << 32, sync=sync, max_dbs=2)
table = store.open_db(b"table")
with store.begin(db=table) as rows:
    number = max((int(key) for key in rows.cursor().iternext(values=False)), default=0)
while True:
    number += 1
    with store.begin(write=True, db=table) as rows:
        rows.put(b"%09d" % number, bytes([number % 251]) * chance.randrange(40000))
        if number > 40 and chance.random() < 0.9:
            rows.delete(b"%09d" % (number - 40))
    os.write(1, b"%d\\n" % number)
"""


class Round:
    """One life of the writer: it runs until `commits` acknowledgements have been read, is killed, and the power goes."""

    def __init__(self, shim: Shim, sync: str, seed: int) -> None:
        self.shim, self.seed, self._syncs = shim, seed, sync == "sync"
        argv = [sys.executable, "-c", _WRITER, str(shim.directory), sync, str(seed)]
        self._writer = subprocess.Popen(argv, stdout=subprocess.PIPE, env=os.environ | shim.environment())

    def killAfter(self, commits: int) -> int:
        """The last number that was acknowledged."""
        assert self._writer.stdout is not None
        acknowledged = 0
        for _ in range(commits):
            acknowledged = int(self._writer.stdout.readline())
        if self.seed % 4 and self._syncs:
            self.shim.awaitSync()
        self._writer.kill()
        rest = self._writer.stdout.read().split(b"\n")[:-1]
        self._writer.wait(30)
        return int(rest[-1]) if rest else acknowledged


def holds(directory: Path) -> set[int]:
    """The numbers in the table, each with sound octets."""
    store = lmdb.open(str(directory), map_size=1 << 32, max_dbs=2)
    try:
        table = store.open_db(b"table", create=False)
        with store.begin(db=table) as rows:
            found = set()
            for key, value in rows.cursor():
                assert value == bytes([int(key) % 251]) * len(value)
                found.add(int(key))
            return found
    finally:
        store.close()


@pytest.mark.parametrize("how", list(Cut))
def test_committedRowsSurviveEachPowerCut(tmp_path: Path, how: Cut) -> None:
    (tmp_path / "data").mkdir()
    shim = Shim(tmp_path / "data", tmp_path / "state")
    chance = random.Random(7)
    unsynced = 0
    for seed in range(_ROUNDS):
        acknowledged = Round(shim, "sync", seed).killAfter(chance.randrange(1, 60))
        unsynced += shim.cut(how, seed).pagesUnsynced
        found = holds(shim.directory)
        assert max(found) in (acknowledged, acknowledged + 1)
        # The commit that was under way may have deleted one more.
        assert found >= set(range(max(1, acknowledged - 38), acknowledged + 1))
    # If no kill ever fell between a write and its sync, nothing was tested.
    assert unsynced > 0


@pytest.mark.parametrize("how", list(Cut))
def test_withoutSyncTheSameRunLoses(tmp_path: Path, how: Cut) -> None:
    (tmp_path / "data").mkdir()
    shim = Shim(tmp_path / "data", tmp_path / "state")
    acknowledged = Round(shim, "nosync", 1).killAfter(50)
    assert shim.cut(how, 1).pagesUnsynced > 50
    # In a process of its own: pages that point nowhere may well end it by a signal.
    argv = [sys.executable, "-m", "tests.faults.test_lmdb", str(shim.directory)]
    look = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert look.returncode != 0 or acknowledged not in {int(word) for word in look.stdout.split()}


if __name__ == "__main__":
    print(*holds(Path(sys.argv[1])))
