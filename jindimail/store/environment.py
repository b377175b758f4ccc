"""
A node's one LMDB environment: founding, opening, reading, committing (design §4).

`<data>/store/` holds LMDB's `data.mdb` and `lock.mdb`, `owner` (locked by the process that writes) and `reserve` (space.py).
Every commit is synced; `writemap` is never used, since it turns a full disk into SIGBUS. The map is made huge once and the
file grows as it is filled. `readahead` is off, since what is read is scattered. Measured from a cold cache, on against off: a row
390 against 35 µs, a 10 KB body 390 against 170 µs; but a chunk of a large body 95 against 800 µs, a backup three times as long.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import lmdb
import msgspec

from jindimail.errors import ConfigError, Corrupt, Unavailable
from jindimail.store.keys import META, REJOINING_KEY, TABLES
from jindimail.store.overlay import Ahead, Changes
from jindimail.store.records import LIFE_OCTETS, LIVES_OCTETS, MetaRecord, decode, encode
from jindimail.store.rows import CommittedRows

FORMAT_VERSION = 1
MAP_OCTETS = 1 << 40
READERS_MAX = 64
READ_OCTETS = 1 << 20
NODE_KEY = b"node"
SUSPECT = "suspect"
UNTOLD = bytes(LIFE_OCTETS)  # the life of an incarnation that no other node hears of


class StoreAbsent(ConfigError):
    """The data directory holds no store. It is never made silently: an unmounted disk must not found a second array."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            (
                f"node.data-directory: {directory} holds no store; is its disk mounted? `jindictl init` founds a new one",
            )
        )


class StorePresent(ConfigError):
    """There is a store, or something else, where a store shall be made."""

    def __init__(self, directory: Path) -> None:
        super().__init__((f"node.data-directory: {directory} is not empty; nothing is made over a store",))


class StoreInUse(ConfigError):
    """Another process writes this store."""

    def __init__(self, directory: Path) -> None:
        super().__init__((f"node.data-directory: {directory} is in use by another process",))


class StoreUnknown(ConfigError):
    """The store is damaged in its first record, or of a format that this version does not know."""

    def __init__(self, directory: Path, problem: str) -> None:
        super().__init__((f"node.data-directory: {directory}: {problem}",))


def storePath(directory: Path) -> Path:
    """Where a data directory keeps its store."""
    return directory / "store"


def found(directory: Path, *, name: str, node: int = 1, arrayId: bytes | None = None) -> MetaRecord:
    """
    Make the store of a new node, whole or not at all, and say who it is. It has not started yet: incarnation 0.

    @raise StorePresent: there is one.
    """
    path = storePath(directory)
    if path.exists():
        raise StorePresent(directory)
    meta = MetaRecord(
        arrayId=os.urandom(16) if arrayId is None else arrayId,
        node=node,
        name=name,
        format=FORMAT_VERSION,
        incarnation=0,
    )
    publish(makeStore(directory, meta), path)
    return meta


def makingPath(directory: Path) -> Path:
    """Where a store is made before it is given its place."""
    return directory / "store.new"


def makeStore(directory: Path, meta: MetaRecord, marks: Mapping[bytes, bytes] | None = None) -> Path:
    """Make an empty store, with marks in META, where it is not yet found; its path there."""
    making = makingPath(directory)
    making.mkdir(mode=0o700, parents=True, exist_ok=True)
    for leftover in making.iterdir():
        leftover.unlink()
    environment = openLmdb(making)
    writeMeta(environment, meta, marks)
    environment.close()
    return making


def publish(making: Path, path: Path) -> None:
    """Give a finished directory its name, durably."""
    syncDirectory(making)
    making.rename(path)
    syncDirectory(path.parent)


def syncDirectory(path: Path) -> None:
    """Make a directory's entries durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def openLmdb(path: Path, *, readOnly: bool = False) -> lmdb.Environment:
    """LMDB's environment in a directory, with the settings that all of ours have."""
    return lmdb.open(
        os.fspath(path),
        map_size=MAP_OCTETS,
        max_dbs=len(TABLES) + 2,
        max_readers=READERS_MAX,
        max_spare_txns=2,
        mode=0o600,
        readonly=readOnly,
        create=not readOnly,
        readahead=False,
    )


def settle(path: Path) -> None:
    """
    After a failed commit: what is read of a store from here on is what the disk has, and it stays there.

    Pages that a failed sync did not write stand in memory as if they had been; what is read from there, and built upon, would be lost with the power. And the
    meta page that LMDB takes back, when writing it failed, may be in memory only: pages that the one on the disk leads to would be written over before it is gone. So
    all is written that can be (a sync tells once of what failed before, and then says the truth), forgotten, and read again to the end: what cannot be
    read that way would end the process when LMDB comes upon it.

    @raise OSError: the disk does not take it, or gives it back.
    """
    descriptor = os.open(path / "data.mdb", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        while os.read(descriptor, READ_OCTETS):
            pass
    finally:
        os.close(descriptor)


def openTables(environment: lmdb.Environment, *, create: bool) -> dict[str, lmdb._Database]:
    """The handles of all tables."""
    return {table: environment.open_db(table.encode(), create=create) for table in TABLES}


def readMeta(environment: lmdb.Environment, directory: Path) -> MetaRecord:
    """
    Who a store belongs to.

    @raise StoreUnknown: it cannot be told, or this version must not touch it.
    """
    try:
        with environment.begin(db=environment.open_db(META.encode(), create=False)) as transaction:
            octets = transaction.get(NODE_KEY)
        meta = decode(octets or b"", MetaRecord)
    except (Corrupt, lmdb.Error) as problem:
        raise StoreUnknown(directory, "its first record is missing or damaged") from problem
    if meta.format != FORMAT_VERSION:
        raise StoreUnknown(directory, f"format {meta.format}; this version knows format {FORMAT_VERSION}")
    return meta


def nextLife(meta: MetaRecord, life: bytes, commits: int = 0) -> MetaRecord:
    """The next incarnation, after one that ended with so many commits."""
    return msgspec.structs.replace(
        meta,
        incarnation=meta.incarnation + 1,
        lives=(meta.lives + life)[-LIVES_OCTETS:],
        ends=(meta.ends + commits.to_bytes(LIFE_OCTETS, "big"))[-LIVES_OCTETS:],
    )


def writeMeta(
    environment: lmdb.Environment, meta: MetaRecord, marks: Mapping[bytes, bytes] | None = None
) -> None:
    """Write and sync who a store belongs to."""
    table = environment.open_db(META.encode())
    with environment.begin(write=True) as transaction:
        for key, value in {NODE_KEY: encode(meta), **(marks or {})}.items():
            transaction.put(key, value, db=table)


class Environment:
    """
    The store of a node, opened by the one process that may write it.

    Reads are for the reactor's thread; `commit` is for the writer's; `snapshot` is for any.
    """

    def __init__(self, directory: Path) -> None:
        """
        Open and lock, writing nothing.

        @raise StoreAbsent, StoreInUse, StoreUnknown
        """
        self.directory = directory
        self.path = storePath(directory)
        if not (self.path / "data.mdb").exists():
            raise StoreAbsent(directory)
        self.meta: MetaRecord
        self.turn = 0  # counted by the writer: no reading may outlive one
        self.baseTransaction = 0  # what the last commit, done or failed, was built on
        self._owner = _lockOwner(self.path, directory)
        try:
            self._open()
        except BaseException:
            self._unlock()
            raise

    def begin(self, life: bytes = UNTOLD) -> MetaRecord:
        """A node starts: count its incarnation, durably, with the life that was drawn for it, and make tables that an older version did not have."""
        with self.read() as rows:
            isNew = rows.get(META, REJOINING_KEY) is not None  # it took another's place, which had seen more
        meta = nextLife(self.meta, life, 0 if isNew else self.lastTransaction())
        writeMeta(self._lmdb, meta)
        self.meta = meta
        return meta

    def read(self, ahead: Ahead | None = None) -> Reading:
        """The rows as last committed, below what is ahead: `with environment.read() as rows`, within one turn of the reactor."""
        return Reading(self, ahead)

    def snapshot(self) -> Snapshot:
        """The rows as last committed, for a thread of its own that may take its time. It keeps pages from reuse: be bounded."""
        return Snapshot(self)

    def commit(self, changes: Changes) -> None:
        """
        Write all changes in one transaction and sync it.

        @raise lmdb.Error, OSError: it is not known what is on the disk.
        """
        transaction = self._lmdb.begin(write=True)
        self.baseTransaction = transaction.id() - 1
        try:
            for table, puts, deletes in changes:
                writeRows(transaction, self._tables[table], puts, deletes)
        except BaseException:
            transaction.abort()
            raise
        transaction.commit()

    def lastTransaction(self) -> int:
        """The number of the last committed transaction."""
        return self._lmdb.info()["last_txnid"]

    def freeOctets(self) -> int:
        """What is free inside the file: pages of deleted rows, to be used again before the file grows."""
        used = 2
        try:
            with self._lmdb.begin() as transaction:
                for table in self._tables.values():
                    stat = transaction.stat(table)
                    used += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        except lmdb.Error:  # after a failed commit
            return 0
        return max(0, (self._lmdb.info()["last_pgno"] + 1 - used) * self._lmdb.stat()["psize"])

    def usedOctets(self) -> int:
        """About how many octets a compacted copy has."""
        info = self._lmdb.info()
        return (info["last_pgno"] + 1) * self._lmdb.stat()["psize"] - self.freeOctets()

    def copyTo(self, descriptor: int) -> None:
        """Write a compacted copy of the last committed state to a file or pipe; for a thread."""
        self._lmdb.copyfd(descriptor, compact=True)

    def reopen(self) -> None:
        """After a failed commit LMDB's state in memory is suspect: read it from the file again."""
        self._lmdb.close()
        self._open()

    @property
    def suspectPath(self) -> Path:
        """A file that is there when the last run ended with a failed commit."""
        return self.path / SUSPECT

    def markSuspect(self) -> None:
        """A commit failed: leave word for the next start, if the disk still takes it."""
        with suppress(OSError):
            os.close(os.open(self.suspectPath, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            syncDirectory(self.path)

    def close(self) -> None:
        """Close; harmless twice."""
        self._lmdb.close()
        self._unlock()

    @property
    def isClosed(self) -> bool:
        """Whether it was closed for good: what still reads then has outlived its node."""
        return self._owner is None

    def _open(self) -> None:
        try:
            self._lmdb = openLmdb(self.path)
        except lmdb.Error as problem:
            raise StoreUnknown(self.directory, "its store cannot be opened") from problem
        try:
            self.meta = readMeta(self._lmdb, self.directory)
            self._tables = openTables(self._lmdb, create=True)
        except BaseException:
            self._lmdb.close()
            raise

    def _unlock(self) -> None:
        if self._owner is not None:
            os.close(self._owner)
            self._owner = None


def _lockOwner(path: Path, directory: Path) -> int | None:
    """A descriptor whose lock lasts as long as this process keeps it open."""
    descriptor = os.open(path / "owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        os.close(descriptor)
        raise StoreInUse(directory) from problem
    return descriptor


def writeRows(
    transaction: lmdb.Transaction[bytes],
    table: lmdb._Database,
    puts: list[tuple[bytes, bytes]],
    deletes: list[bytes],
) -> None:
    """Make changes of one table; puts in ascending order."""
    for key in deletes:
        transaction.delete(key, b"", table)
    if puts:
        with transaction.cursor(table) as cursor:
            cursor.putmulti(puts)


class Reading:
    """A read of the reactor's thread: closed in the turn it was opened in, since an open one makes the file grow for ever."""

    __slots__ = ("_ahead", "_environment", "_rows", "_transaction", "_turn")

    def __init__(self, environment: Environment, ahead: Ahead | None = None) -> None:
        self._environment = environment
        self._ahead = ahead

    def __enter__(self) -> Any:
        environment = self._environment
        self._turn = environment.turn
        try:
            self._transaction = environment._lmdb.begin()
        except lmdb.Error as problem:
            if environment.isClosed:
                raise Unavailable("the store is closed") from problem
            raise
        self._rows = CommittedRows(self._transaction, environment._tables)
        ahead = self._ahead
        return ahead.above(self._rows) if ahead and not ahead.isBelow(self._transaction.id()) else self._rows

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        assert self._turn == self._environment.turn, "a reading was kept open for longer than a turn"

    def _end(self) -> None:
        self._transaction.abort()
        self._rows.forget()
        del self._transaction, self._rows


class Snapshot(Reading):
    """A read of another thread."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
