import gc
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jindimail.delivery.spool import Spool
from jindimail.errors import StorageFull
from jindimail.model import digestOf

BODY_ID = b"0123456789abcdef"


def openFiles() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_aSmallMessageStaysInMemory(tmp_path: Path) -> None:
    files = openFiles()
    spooled = Spool(str(tmp_path / "spool"), memoryOctetsMax=10).begin(BODY_ID)
    spooled.write(b"12345")
    spooled.write(b"67890")
    body = spooled.finish()
    assert openFiles() == files
    assert (body.bodyId, body.size, body.digest) == (BODY_ID, 10, digestOf(b"1234567890"))
    assert list(body.source.pieces(4)) == [b"1234", b"5678", b"90"]


def test_aLargeMessageGoesToAFileWithoutAName(tmp_path: Path) -> None:
    files = openFiles()
    spooled = Spool(str(tmp_path), memoryOctetsMax=10).begin(BODY_ID)
    spooled.write(b"1234567890")
    spooled.write(b"a")
    assert openFiles() == files + 1
    assert os.listdir(tmp_path) == []
    spooled.write(b"bc")
    body = spooled.finish()
    assert (body.size, body.digest) == (13, digestOf(b"1234567890abc"))
    assert list(body.source.pieces(6)) == [b"123456", b"7890ab", b"c"]
    assert b"".join(body.source.pieces(64)) == b"1234567890abc"


def test_theFileLivesAsLongAsItsBody(tmp_path: Path) -> None:
    files = openFiles()
    spooled = Spool(str(tmp_path), memoryOctetsMax=1).begin(BODY_ID)
    spooled.write(b"still here")
    body = spooled.finish()
    spooled.discard()
    assert b"".join(body.source.pieces(64)) == b"still here"
    del body, spooled
    gc.collect()
    assert openFiles() == files


def test_manyMessagesTogetherLeaveMemorySooner(tmp_path: Path) -> None:
    files = openFiles()
    spool = Spool(str(tmp_path), memoryOctetsMax=10, memoryOctetsTotalMax=15)
    first, second = spool.begin(b"1"), spool.begin(b"2")
    first.write(b"x" * 10)
    second.write(b"y" * 5)
    assert openFiles() == files
    second.write(b"y")
    assert openFiles() == files + 1
    assert b"".join(second.finish().source.pieces(64)) == b"yyyyyy"
    assert spool.memoryOctets == 10
    first.discard()
    assert spool.memoryOctets == 0


def test_theBoundOnOctetsHolds(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), octetsMax=10)
    first, second = spool.begin(b"1"), spool.begin(b"2")
    first.write(b"12345678")
    with pytest.raises(StorageFull):
        second.write(b"abc")
    first.discard()
    first.discard()
    second.write(b"abc")
    second.discard()
    assert (spool.octets, spool.messages) == (0, 0)


def test_theBoundOnMessagesHolds(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), messagesMax=1)
    first = spool.begin(b"1")
    with pytest.raises(StorageFull):
        spool.begin(b"2")
    first.discard()
    spool.begin(b"2")


def test_leftoversAreClearedAtStart(tmp_path: Path) -> None:
    (tmp_path / "old.spool").write_bytes(b"old")
    (tmp_path / "other").write_bytes(b"not ours")
    Spool(str(tmp_path))
    assert os.listdir(tmp_path) == ["other"]


def test_aDiskThatRefusesIsFullStorage(tmp_path: Path) -> None:
    directory = tmp_path / "gone"
    spool = Spool(str(directory), memoryOctetsMax=1)
    directory.rmdir()
    spooled = spool.begin(BODY_ID)
    with pytest.raises(StorageFull):
        spooled.write(b"abc")
    spooled.discard()
    assert (spool.octets, spool.messages, spool.memoryOctets) == (0, 0, 0)


def test_theDirectoryIsTheOwnersOnly(tmp_path: Path) -> None:
    Spool(str(tmp_path / "a" / "spool"))
    assert (tmp_path / "a" / "spool").stat().st_mode & 0o777 == 0o700


@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(1, 50), st.integers(1, 100))
@settings(max_examples=100, deadline=None)
def test_whateverThePiecesTheOctetsAreTheSame(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], octetsMax: int, memoryOctetsMax: int
) -> None:
    directory = tmp_path_factory.getbasetemp() / "shared"
    spooled = Spool(str(directory), memoryOctetsMax=memoryOctetsMax).begin(BODY_ID)
    for piece in pieces:
        spooled.write(piece)
    body = spooled.finish()
    whole = b"".join(pieces)
    assert (body.size, body.digest) == (len(whole), digestOf(whole))
    out = list(body.source.pieces(octetsMax))
    assert b"".join(out) == whole
    assert all(len(piece) == octetsMax for piece in out[:-1])
