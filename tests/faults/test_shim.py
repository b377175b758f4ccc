"""The shim itself: what it loses, what it keeps, and the faults it injects."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.shim import Cut, Shim, Strikes, Sync

# Runs under the shim and dies as by kill -9, so that nothing is written at exit.
_HEAD = """
import errno, os, signal, sys
where = sys.argv[1]
def opened(name, flags=0):
    return os.open(os.path.join(where, name), os.O_RDWR | os.O_CREAT | flags, 0o600)
def die():
    os.kill(os.getpid(), signal.SIGKILL)
"""


class Disk:
    """A directory under the shim, and programs that run on it."""

    def __init__(self, path: Path) -> None:
        self.data = path / "data"
        self.data.mkdir()
        self.shim = Shim(self.data, path / "state")

    def start(self, program: str) -> subprocess.Popen[str]:
        environment = os.environ | self.shim.environment()
        argv = [sys.executable, "-c", _HEAD + program, str(self.data)]
        return subprocess.Popen(
            argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, program: str) -> str:
        out, err = self.start(program + "\ndie()").communicate(timeout=30)
        assert err == ""
        return out

    def read(self, name: str = "file") -> bytes:
        return (self.data / name).read_bytes()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_unsyncedWriteIsLost(disk: Disk) -> None:
    (disk.data / "file").write_bytes(b"old" * 3000)
    disk.run("fd = opened('file'); os.pwrite(fd, b'new' * 100, 5000)")
    assert b"new" in disk.read()
    loss = disk.shim.cut()
    assert disk.read() == b"old" * 3000
    assert (loss.pagesUnsynced, loss.sectorsLost) == (1, 8)


@pytest.mark.parametrize("call", ["fsync", "fdatasync"])
def test_syncedWriteStays(disk: Disk, call: str) -> None:
    disk.run(f"fd = opened('file'); os.write(fd, b'kept'); os.{call}(fd)")
    disk.shim.cut()
    assert disk.read() == b"kept"


def test_syncReachesWritesOfOtherDescriptors(disk: Disk) -> None:
    disk.run("one = opened('file'); two = opened('file'); os.pwrite(one, b'kept', 0); os.fsync(two)")
    disk.shim.cut()
    assert disk.read() == b"kept"


def test_rewriteAfterSyncIsLostToWhatWasSynced(disk: Disk) -> None:
    disk.run("fd = opened('file'); os.pwrite(fd, b'first', 0); os.fsync(fd); os.pwrite(fd, b'again', 0)")
    disk.shim.cut()
    assert disk.read() == b"first"


def test_unsyncedGrowthIsLost(disk: Disk) -> None:
    disk.run("fd = opened('file'); os.write(fd, b'a' * 10); os.fsync(fd); os.write(fd, b'b' * 9000)")
    disk.shim.cut()
    assert disk.read() == b"a" * 10


def test_unsyncedTruncationIsUndone(disk: Disk) -> None:
    (disk.data / "file").write_bytes(b"octets" * 2000)
    disk.run("fd = opened('file'); os.ftruncate(fd, 7)")
    disk.shim.cut()
    assert disk.read() == b"octets" * 2000


def test_renamedFileIsFoundAgain(disk: Disk) -> None:
    disk.run(
        "fd = opened('new'); os.write(fd, b'lost'); os.rename(os.path.join(where, 'new'), os.path.join(where, 'file'))"
    )
    disk.shim.cut()
    assert disk.read() == b""


def test_appendAndVectorWritesAreSeen(disk: Disk) -> None:
    disk.run(
        "fd = opened('file', os.O_APPEND); os.write(fd, b'kept'); os.fsync(fd); os.write(fd, b'lost');"
        "os.writev(fd, [b'lost', b'too']); os.pwritev(opened('other'), [b'x'], 9000)"
    )
    disk.shim.cut()
    assert (disk.read(), disk.read("other")) == (b"kept", b"")


def test_synchronousDescriptorMakesOnlyItsOwnPageDurable(disk: Disk) -> None:
    disk.run(
        "fd = opened('file'); os.write(fd, bytes(8192)); os.fsync(fd)\n"
        "meta = os.open(os.path.join(where, 'file'), os.O_WRONLY | os.O_DSYNC)\n"
        "os.pwrite(fd, b'data', 4096); os.pwrite(meta, b'meta', 0)"
    )
    disk.shim.cut()
    assert disk.read() == b"meta".ljust(8192, b"\0")


def test_partialCutKeepsSomeSectorsAndIsReplayable(disk: Disk, tmp_path: Path) -> None:
    (disk.data / "file").write_bytes(b"o" * 65536)
    disk.run("fd = opened('file'); os.pwrite(fd, b'n' * 65536, 0)")
    undo = {path: path.read_bytes() for path in disk.shim.state.glob("*.undo")}
    outcomes = []
    for seed in (1, 1, 2):
        (disk.data / "file").write_bytes(b"n" * 65536)
        for path, octets in undo.items():
            path.write_bytes(octets)
        disk.shim.cut(Cut.SOME, seed)
        outcomes.append(disk.read())
        assert {b"o", b"n"} == {bytes([octet]) for octet in disk.read()}
        assert all(len(set(disk.read()[at : at + 512])) == 1 for at in range(0, 65536, 512))
    assert outcomes[0] == outcomes[1] != outcomes[2]


def test_copyInsideTheKernelFallsBackToWrites(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * 10000)
    disk.run(f"import shutil; shutil.copyfile({str(tmp_path / 'source')!r}, os.path.join(where, 'file'))")
    assert len(disk.read()) == 10000
    disk.shim.cut()
    assert disk.read() == b""


def test_filesElsewhereAreLeftAlone(disk: Disk, tmp_path: Path) -> None:
    disk.shim.writesFail()
    disk.run(f"fd = os.open({str(tmp_path / 'other')!r}, os.O_WRONLY | os.O_CREAT); os.write(fd, b'kept')")
    disk.shim.cut()
    assert (tmp_path / "other").read_bytes() == b"kept"


def test_reusedDescriptorIsRecognisedAnew(disk: Disk, tmp_path: Path) -> None:
    disk.run(
        f"fd = os.open({str(tmp_path / 'other')!r}, os.O_WRONLY | os.O_CREAT); os.write(fd, b'kept'); os.close(fd)\n"
        "again = opened('file'); assert again == fd; os.write(again, b'lost')"
    )
    disk.shim.cut()
    assert disk.read() == b""


_PRINTED = """
def tried(call, *arguments):
    try:
        call(*arguments)
        return 'worked'
    except OSError as error:
        return errno.errorcode[error.errno]
"""


def test_failingSyncLosesForGoodWhatALaterSyncSeemsToSave(disk: Disk) -> None:
    disk.shim.syncs(Sync.EIO_ONCE)
    out = disk.run(
        _PRINTED + "fd = opened('file'); os.pwrite(fd, b'lost', 0); print(tried(os.fsync, fd))\n"
        "os.pwrite(fd, b'kept', 4096); print(tried(os.fsync, fd), flush=True)"
    )
    assert out.split() == ["EIO", "worked"]
    disk.shim.cut()
    assert disk.read() == bytes(4096) + b"kept"


def test_lostPageStaysLostForTheNextProcess(disk: Disk) -> None:
    disk.shim.syncs(Sync.EIO_ONCE)
    disk.run(_PRINTED + "fd = opened('file'); os.write(fd, b'lost' + bytes(8188)); tried(os.fsync, fd)")
    disk.shim.carry()
    disk.run("fd = opened('file'); os.pwrite(fd, b'kept', 4096); os.fsync(fd)")
    assert disk.read()[:4] == b"lost"
    disk.shim.cut()
    assert disk.read() == bytes(4096) + b"kept" + bytes(4092)


def test_whatAnEarlierProcessLeftInOrderDoesNotCount(disk: Disk) -> None:
    # A synchronous write leaves the file's size of that moment in the records, and nothing to lose.
    program = (
        "fd = opened('file'); meta = opened('file', os.O_DSYNC); os.fsync(fd); os.pwrite(meta, b'1', 0)\n"
    )
    disk.run(program)
    disk.run(program + "os.pwrite(fd, b'2' * 9000, 0); os.fsync(fd); os.pwrite(fd, b'lost', 0)")
    disk.shim.cut()
    assert disk.read() == b"2" * 9000


def test_twoProcessesThatLeftPagesAreAnError(disk: Disk) -> None:
    for _ in range(2):
        disk.run("fd = opened('file'); os.write(fd, b'lost')")
    with pytest.raises(AssertionError, match="settle or carry"):
        disk.shim.cut()


def test_lostPageIsSavedByWritingItAgainAndSyncing(disk: Disk) -> None:
    disk.shim.syncs(Sync.EIO_ONCE)
    disk.run(
        _PRINTED + "fd = opened('file'); os.pwrite(fd, b'once', 0); tried(os.fsync, fd)\n"
        "os.pwrite(fd, b'more', 0); os.fsync(fd)"
    )
    disk.shim.cut()
    assert disk.read() == b"more"


def test_everySyncFailsUntilTold(disk: Disk) -> None:
    disk.shim.syncs(Sync.EIO)
    out = disk.run(
        _PRINTED + "fd = opened('file'); os.write(fd, b'x')\n"
        "print(tried(os.fsync, fd), tried(os.fdatasync, fd), flush=True)"
    )
    assert out.split() == ["EIO", "EIO"]
    assert disk.shim.counted("failures") == 2


def test_onlyTheWantedKindOfSyncFails(disk: Disk) -> None:
    program = _PRINTED + (
        "fd = opened('file'); meta = opened('file', os.O_DSYNC)\n"
        "print(tried(os.fsync, fd), tried(os.write, meta, b'x'), tried(os.fdatasync, fd), flush=True)"
    )
    disk.shim.syncs(Sync.EIO_ONCE, strikes=Strikes.WRITE)
    assert disk.run(program).split() == ["worked", "EIO", "worked"]
    disk.shim.syncs(Sync.EIO_ONCE, strikes=Strikes.CALL)
    assert disk.run(program).split() == ["EIO", "worked", "worked"]


def test_failingSynchronousWriteIsAnErrorOfTheWrite(disk: Disk) -> None:
    disk.shim.syncs(Sync.EIO_ONCE)
    out = disk.run(
        _PRINTED + "fd = opened('file', os.O_DSYNC); print(tried(os.write, fd, b'lost'), flush=True)"
    )
    assert out == "EIO\n"
    disk.shim.cut()
    assert disk.read() == b""


def test_lyingSyncLoses(disk: Disk) -> None:
    disk.shim.syncs(Sync.LIE)
    disk.run("fd = opened('file'); os.write(fd, b'lost'); os.fsync(fd)")
    disk.shim.cut()
    assert disk.read() == b""


def test_writesFailAsOftenAsTold(disk: Disk) -> None:
    disk.shim.writesFail(errno.ENOSPC, 2)
    out = disk.run(
        _PRINTED + "fd = opened('file')\nfor _ in range(3):\n print(tried(os.write, fd, b'abc'), flush=True)"
    )
    assert out.split() == ["ENOSPC", "ENOSPC", "worked"]
    assert disk.read() == b"abc"


def test_hangingSyncGoesOnWhenTold(disk: Disk) -> None:
    disk.shim.syncs(Sync.HANG)
    process = disk.start(
        "fd = opened('file'); os.write(fd, b'x'); print('go', flush=True); os.fsync(fd); print('done')"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    while disk.shim.counted("waiting") == 0:
        assert process.poll() is None
    disk.shim.syncs(Sync.REAL)
    assert process.communicate(timeout=30)[0] == "done\n"


def test_delayedSyncSucceeds(disk: Disk) -> None:
    disk.shim.syncs(Sync.DELAY, delayMs=30)
    out = disk.run(
        "import time; fd = opened('file'); os.write(fd, b'kept'); begun = time.monotonic(); os.fsync(fd)\n"
        "print(time.monotonic() - begun >= 0.03, flush=True)"
    )
    assert out == "True\n"
    disk.shim.cut()
    assert disk.read() == b"kept"


def test_writableSharedMappingIsRefused(disk: Disk) -> None:
    program = "import mmap; fd = opened('file'); os.ftruncate(fd, 4096); mmap.mmap(fd, 4096)"
    _, err = disk.start(program).communicate(timeout=30)
    assert "powercut: a shared writable mapping" in err
