"""The harness of powercut.c: compiles it, runs a program under it, changes its behaviour, cuts the power.

`cut` is called when the process is dead. What was written and not synced is then lost entirely (`Cut.ALL`), or each
sector of it may have reached the disk or not, by a seed (`Cut.SOME`): a disk keeps no order among unsynced writes.
"""

from __future__ import annotations

import enum
import errno
import hashlib
import mmap
import os
import random
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PAGE = 4096
SECTOR = 512
_SOURCE = Path(__file__).with_name("powercut.c")
_RECORD = struct.Struct("=c7xQQ")
_FIELDS = (
    "syncMode",
    "delayMs",
    "writeErrno",
    "writeLeft",
    "syncs",
    "writes",
    "failures",
    "waiting",
    "strikes",
)


class Sync(enum.IntEnum):
    """What fsync, fdatasync and synchronous writes do; LIE reports success and makes nothing durable."""

    REAL = 0
    EIO_ONCE = 1
    EIO = 2
    DELAY = 3
    HANG = 4
    LIE = 5


class Strikes(enum.IntEnum):
    """Which sync EIO_ONCE lets fail: whichever comes first, fsync and fdatasync, or a synchronous write."""

    ANY = 0
    CALL = 1
    WRITE = 2


class Cut(enum.Enum):
    """How much of what was not synced a power cut loses."""

    ALL = "all"
    SOME = "some"


def library() -> Path:
    """The compiled shim; compiled once for each version of its source."""
    digest = hashlib.blake2b(_SOURCE.read_bytes(), digest_size=8).hexdigest()
    path = Path(tempfile.gettempdir()) / f"powercut-{os.getuid()}-{digest}.so"
    if not path.exists():
        made = path.with_suffix(f".{os.getpid()}")
        argv = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(made), str(_SOURCE)]
        subprocess.run([*argv, "-ldl", "-lpthread"], check=True)
        made.rename(path)
    return path


@dataclass(slots=True)
class Loss:
    """What a power cut took: how many pages were not durable, how many sectors of them were put back."""

    pagesUnsynced: int = 0
    sectorsLost: int = 0


@dataclass(slots=True)
class _Unsynced:
    """One file's state by its undo records: old octets of each page that is not durable, and the durable size."""

    inode: int = 0
    size: int | None = None
    sizeWritten: int = 0  # synchronous writes made the file at least so long, or as long as it is
    pages: dict[int, bytes] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)


class Shim:
    """The shim over the files under `directory`, with its undo and control files under `state`."""

    def __init__(self, directory: Path, state: Path) -> None:
        self.directory, self.state = directory, state
        state.mkdir(parents=True, exist_ok=True)
        self._control = state / "control"
        self._control.write_bytes(bytes(64))
        with self._control.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), 64)

    def environment(self) -> dict[str, str]:
        """What to add to the environment of the process."""
        return {
            "LD_PRELOAD": str(library()),
            "POWERCUT_DIRECTORY": str(self.directory),
            "POWERCUT_STATE": str(self.state),
            "POWERCUT_CONTROL": str(self._control),
        }

    def syncs(self, mode: Sync, *, delayMs: int = 0, strikes: Strikes = Strikes.ANY) -> None:
        """From now on syncs do this; `delayMs` is for DELAY, `strikes` for EIO_ONCE."""
        self._set("delayMs", delayMs)
        self._set("strikes", strikes)
        self._set("syncMode", mode)

    def writesFail(self, number: int = errno.ENOSPC, count: int = -1) -> None:
        """The next `count` writes fail with this errno (all of them when negative); 0 lets them work again."""
        self._set("writeLeft", count)
        self._set("writeErrno", number)

    def counted(self, name: str) -> int:
        """A counter: syncs, writes, failures, waiting."""
        (value,) = struct.unpack_from("=i", self._map, 4 * _FIELDS.index(name))
        return int(value)

    def awaitSync(self, secondsMax: float = 5.0) -> None:
        """Return when the next sync has begun and takes a while: the process is between a write and its sync."""
        self.syncs(Sync.DELAY, delayMs=50)
        until = time.monotonic() + secondsMax
        before = self.counted("syncs")
        while self.counted("syncs") == before and time.monotonic() < until:
            pass

    def unsyncedPages(self) -> int:
        """How many pages would be lost if the power went now; exact when the process is dead or idle."""
        return sum(len(each.pages) for each in self._files())

    def cut(self, how: Cut = Cut.ALL, seed: int = 0) -> Loss:
        """Make the files what a power cut may leave, and forget undo records and faults. The process must be dead."""
        chance = random.Random(seed)
        loss = Loss()
        paths = {path.stat().st_ino: path for path in self.directory.rglob("*") if path.is_file()}
        for each in self._newest():
            if each.size is not None and each.inode in paths:
                _restore(paths[each.inode], each, how, chance, loss)
        self.settle()
        self.syncs(Sync.REAL)
        self.writesFail(0)
        return loss

    def settle(self) -> None:
        """Forget the undo records: the power stayed on, and the kernel wrote everything in the end."""
        for path in self.state.glob("*.undo"):
            path.unlink()

    def carry(self) -> int:
        """The process is dead, the power stayed on: all is written in the end but what a failed sync lost for good.

        That stays lost for the next process, unless it writes those pages again. Returns how many pages that are.
        """
        records = [each for each in self._files() if each.lost]
        self.settle()
        for each in records:
            octets = _RECORD.pack(b"F", each.inode, 0) + _RECORD.pack(b"B", each.size or 0, 0)
            for page in each.lost:
                octets += _RECORD.pack(b"P", page, len(each.pages[page])) + each.pages[page]
            (self.state / f"{each.inode}.carry").write_bytes(octets + _RECORD.pack(b"E", 0, 0))
        return sum(len(each.lost) for each in records)

    def _set(self, name: str, value: int) -> None:
        struct.pack_into("=i", self._map, 4 * _FIELDS.index(name), value)

    def _newest(self) -> list[_Unsynced]:
        """One state for each file. Two processes that both left pages need `settle` or `carry` between them."""
        states: dict[int, _Unsynced] = {}
        for each in self._files():
            known = states.get(each.inode)
            assert known is None or not (known.pages and each.pages), "settle or carry after each process"
            if known is None or each.pages:
                states[each.inode] = each
        return list(states.values())

    def _files(self) -> Iterator[_Unsynced]:
        for path in sorted(self.state.glob("*.undo")):
            yield _replayed(path.read_bytes())


def _replayed(octets: bytes) -> _Unsynced:
    unsynced = _Unsynced()
    at = 0
    while at + _RECORD.size <= len(octets):
        kind, number, length = _RECORD.unpack_from(octets, at)
        content = octets[at + _RECORD.size : at + _RECORD.size + length]
        at += _RECORD.size + length
        if len(content) < length:
            break  # killed while it was written: the data write had not begun
        match kind:
            case b"F":
                unsynced.inode = number
            case b"B":
                unsynced.size = number
            case b"P":
                unsynced.pages[number] = content
            case b"W":
                unsynced.lost.discard(number)
            case b"D":
                unsynced.pages.pop(number, None)
                unsynced.lost.discard(number)
                unsynced.sizeWritten = max(unsynced.sizeWritten, (number + 1) * PAGE)
            case b"S":
                unsynced.pages = {page: old for page, old in unsynced.pages.items() if page in unsynced.lost}
                unsynced.size = number
            case b"E":
                unsynced.lost = set(unsynced.pages)
            case _:
                raise AssertionError(f"unknown undo record {kind!r}")
    return unsynced


def _restore(path: Path, unsynced: _Unsynced, how: Cut, chance: random.Random, loss: Loss) -> None:
    with path.open("r+b") as file:
        sizeNow = file.seek(0, os.SEEK_END)
        size = max(unsynced.size or 0, min(unsynced.sizeWritten, sizeNow))
        if how is Cut.SOME and chance.random() < 0.5:
            size = sizeNow
        for page, old in unsynced.pages.items():
            loss.pagesUnsynced += 1
            for sector in range(0, PAGE, SECTOR):
                if how is Cut.ALL or page in unsynced.lost or chance.random() < 0.5:
                    file.seek(page * PAGE + sector)
                    file.write(old.ljust(PAGE, b"\0")[sector : sector + SECTOR])
                    loss.sectorsLost += 1
        file.truncate(size)
