"""
`jindictl backup` and `jindictl restore`: a hot, compacted copy of a store beside a manifest that verifies it.

Both are for a thread. A backup is `data.mdb` and `manifest.json` in a directory of its own; it appears whole or not at all.

A restored node is who it was, with a greater incarnation. Mail that came after the backup is gone, but clients may have
seen its UIDs and MODSEQs: so each mailbox's UIDNEXT and HIGHESTMODSEQ leap ahead, and its changes are forgotten (a client
resynchronises once). UIDs thus never come to mean other messages, and UIDVALIDITY stays.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from threading import Thread

import lmdb
import msgspec
from msgspec.structs import replace

from jindimail.errors import ConfigError, Corrupt
from jindimail.interfaces import IKeys
from jindimail.store.environment import (
    FORMAT_VERSION,
    UNTOLD,
    Environment,
    StorePresent,
    nextLife,
    openLmdb,
    openTables,
    publish,
    readMeta,
    storePath,
    syncDirectory,
    writeMeta,
    writeRows,
)
from jindimail.store.keys import CHANGE, MAILBOX
from jindimail.store.overlay import Changes
from jindimail.store.records import MailboxRecord, MetaRecord, decode, encode
from jindimail.store.rows import CommittedRows

DATA_NAME = "data.mdb"
MANIFEST_NAME = "manifest.json"
UID_LEAP = 1 << 20
MODSEQ_LEAP = 1 << 32
_UID_NEXT_MAX = 0xFFFFFFFF
_PIECE_OCTETS = 1 << 20
_MAILBOXES_PER_TRANSACTION = 1000

Progress = Callable[[int, int, str], None]  # octets done, octets in all (0: not known), what is being done
Revive = Callable[[IKeys, MetaRecord], tuple[MetaRecord, Changes]]


class BackupUnusable(ConfigError):
    """A backup that cannot be restored, and why."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself."""

    format: int
    arrayId: str  # hexadecimal
    node: int
    name: str
    incarnation: int
    octets: int  # of data.mdb
    digest: str  # BLAKE2b of data.mdb, 32 octets in hexadecimal
    others: tuple[str, ...] = ()  # the array's other nodes; the store itself has the last word


def backup(
    environment: Environment, target: Path, progress: Progress | None = None, others: tuple[str, ...] = ()
) -> Manifest:
    """
    Copy the last committed state to a directory that must not exist yet, or be empty.

    @param others: for the manifest.
    @raise BackupUnusable: there is something in it.
    @raise OSError, lmdb.Error: it could not be written; nothing is left behind.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BackupUnusable((f"{target} is not empty",))
    target.parent.mkdir(parents=True, exist_ok=True)
    making = target.with_name(target.name + ".partial")
    try:
        making.mkdir(mode=0o700)
    except FileExistsError as problem:
        raise BackupUnusable((f"{making} is there: another backup runs, or remove it",)) from problem
    try:
        manifest = _copyInto(environment, making, progress or _silent, others)
        if target.exists():
            target.rmdir()
        publish(making, target)
    except BaseException:
        for leftover in making.iterdir() if making.exists() else ():
            leftover.unlink()
        if making.exists():
            making.rmdir()
        raise
    return manifest


def _copyInto(
    environment: Environment, making: Path, progress: Progress, others: tuple[str, ...]
) -> Manifest:
    octets, digest = _stream(environment, making / DATA_NAME, progress)
    meta = environment.meta
    manifest = Manifest(
        format=FORMAT_VERSION,
        arrayId=meta.arrayId.hex(),
        node=meta.node,
        name=meta.name,
        incarnation=meta.incarnation,
        octets=octets,
        digest=digest,
        others=others,
    )
    text = json.dumps(msgspec.to_builtins(manifest), indent=2) + "\n"
    with _create(making / MANIFEST_NAME) as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    return manifest


def _stream(environment: Environment, path: Path, progress: Progress) -> tuple[int, str]:
    """Let LMDB write its compacted copy into a pipe, and hash it on its way to the file."""
    reading, writing = os.pipe()
    problems: list[BaseException] = []

    def send() -> None:
        try:
            environment.copyTo(writing)
        except BaseException as problem:
            problems.append(problem)
        finally:
            os.close(writing)

    sender = Thread(target=send, name="store backup", daemon=True)
    sender.start()
    total = environment.usedOctets()
    hashing, octets = blake2b(digest_size=32), 0
    try:
        with _create(path) as file:
            while piece := os.read(reading, _PIECE_OCTETS):
                file.write(piece)
                hashing.update(piece)
                octets += len(piece)
                progress(octets, max(total, octets), "copying")
            file.flush()
            os.fsync(file.fileno())
    finally:
        os.close(reading)
        sender.join()
    if problems:
        raise problems[0]
    return octets, hashing.hexdigest()


def _create(path: Path):  # type: ignore[no-untyped-def]
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def readManifest(source: Path) -> Manifest:
    """
    What a backup says of itself.

    @raise BackupUnusable: there is no readable manifest, or of a format that this version does not know.
    """
    try:
        manifest = msgspec.json.decode((source / MANIFEST_NAME).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as problem:
        raise BackupUnusable((f"{source} holds no backup: no readable {MANIFEST_NAME}",)) from problem
    if manifest.format != FORMAT_VERSION:
        raise BackupUnusable(
            (f"{source}: format {manifest.format}; this version knows format {FORMAT_VERSION}",)
        )
    return manifest


def restore(
    source: Path, directory: Path, progress: Progress | None = None, revive: Revive | None = None
) -> MetaRecord:
    """
    Verify a backup and make it the store of an empty (or absent) data directory.

    @param revive: gives, for the rows and whose they are (with the new incarnation), whose they shall be and what else changes; what it
        raises is raised, and nothing is restored.
    @raise BackupUnusable: it is not what its manifest says.
    @raise StorePresent: the data directory is not empty.
    """
    manifest = readManifest(source)
    if storePath(directory).exists() or (directory.exists() and any(directory.iterdir())):
        raise StorePresent(directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    making = directory / "store.new"
    making.mkdir(mode=0o700)
    try:
        _copyVerified(source / DATA_NAME, making / DATA_NAME, manifest, progress or _silent)
        meta = _revive(making, directory, manifest, revive or _unchanged)
        publish(making, storePath(directory))
    except BaseException:
        for leftover in making.iterdir():
            leftover.unlink()
        making.rmdir()
        raise
    syncDirectory(directory.parent)
    return meta


def _copyVerified(source: Path, target: Path, manifest: Manifest, progress: Progress) -> None:
    hashing, octets = blake2b(digest_size=32), 0
    if not source.is_file():
        raise BackupUnusable((f"{source} is not there",))
    with open(source, "rb") as file, _create(target) as copy:
        while piece := file.read(_PIECE_OCTETS):
            copy.write(piece)
            hashing.update(piece)
            octets += len(piece)
            progress(octets, manifest.octets, "verifying and copying")
        copy.flush()
        os.fsync(copy.fileno())
    if octets != manifest.octets:
        raise BackupUnusable((f"{source} has {octets} octets instead of {manifest.octets}",))
    if hashing.hexdigest() != manifest.digest:
        raise BackupUnusable((f"{source} is damaged: its digest is not that of its manifest",))


def _revive(making: Path, directory: Path, manifest: Manifest, revive: Revive) -> MetaRecord:
    """Let the copy begin a life of its own: a new incarnation, and numbers that nobody has seen."""
    environment = openLmdb(making)
    try:
        meta = readMeta(environment, directory)
        if (meta.arrayId.hex(), meta.node) != (manifest.arrayId, manifest.node):
            raise BackupUnusable((f"the store is not of node {manifest.name} of the manifest's array",))
        tables = openTables(environment, create=True)
        with environment.begin() as transaction:
            rows = CommittedRows(transaction, tables)
            risen, changes = revive(rows, nextLife(meta, UNTOLD))
        _leap(environment)
        with environment.begin(write=True) as transaction:
            for table, puts, deletes in changes:
                writeRows(transaction, tables[table], puts, deletes)
        writeMeta(environment, risen)
    except (lmdb.Error, Corrupt) as problem:
        raise BackupUnusable((f"the store of node {manifest.name} cannot be read",)) from problem
    finally:
        environment.close()
    return risen


def _leap(environment: lmdb.Environment) -> None:
    """Lift every mailbox's UIDNEXT and HIGHESTMODSEQ, a thousand mailboxes a transaction, and forget changes."""
    changes = environment.open_db(CHANGE.encode())
    mailboxes = environment.open_db(MAILBOX.encode())
    with environment.begin(write=True) as transaction:
        transaction.drop(changes, delete=False)
    start: bytes | None = b"\x00"
    while start is not None:
        with environment.begin(write=True) as transaction:
            start = _leapSome(transaction, mailboxes, start)


def _leapSome(transaction: lmdb.Transaction[bytes], mailboxes: lmdb._Database, start: bytes) -> bytes | None:
    cursor = transaction.cursor(mailboxes)
    some: list[tuple[bytes, bytes]] = []
    if cursor.set_range(start):
        for key, value in cursor.iternext():
            if len(some) == _MAILBOXES_PER_TRANSACTION:
                start = key
                break
            some.append((key, encode(_leapt(decode(value, MailboxRecord)))))
        else:
            start = b""
    else:
        start = b""
    cursor.putmulti(some)
    return start or None


def _leapt(record: MailboxRecord) -> MailboxRecord:
    modSeq = record.highestModSeq + MODSEQ_LEAP
    return replace(
        record,
        uidNext=min(record.uidNext + UID_LEAP, _UID_NEXT_MAX),
        highestModSeq=modSeq,
        changeFloor=modSeq,
    )


def _unchanged(rows: IKeys, meta: MetaRecord) -> tuple[MetaRecord, Changes]:
    return meta, []


def _silent(done: int, total: int, what: str) -> None:
    """Tell nobody."""
