"""Opening the store of a node that starts."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import lmdb
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from jindimail.errors import OutcomeUnknown
from jindimail.store import opening
from jindimail.store.environment import Environment, StoreAbsent, StoreInUse, StoreUnknown
from jindimail.store.keys import BODY, META, chunkKey
from jindimail.store.opening import StoreDamaged, openStore
from jindimail.store.writer import Writer
from tests.store.places import temporaryPath
from tests.store.sound import BUCKET, LARGE_ID, SMALL_ID
from tests.store.test_check import change, drop, put, soundStore


class OpeningTests(TestCase):
    """A node's starts, one after the other."""

    def setUp(self) -> None:
        self.directory, self.environment = soundStore(self)

    def open(self) -> Writer:
        self.environment.close()
        store = openStore(self.directory, reactor=reactor)
        self.addCleanup(store.close)
        return store

    async def test_everyStartCountsTheIncarnation(self) -> None:
        for expected in (1, 2):
            store = self.open()
            self.assertEqual(store.environment.meta.incarnation, expected)
            await store.close()

    async def test_openedStoreIsWritten(self) -> None:
        store = self.open()
        await store.write(lambda rows: rows.put(META, b"k", b"v"))
        with store.read() as rows:
            self.assertEqual(rows.get(META, b"k"), b"v")

    async def test_failedCommitIsVerifiedAtTheNextStartAndThenForgotten(self) -> None:
        store = self.open()
        self.patch(store.environment, "commit", _failing)
        with self.assertRaises(OutcomeUnknown):
            await store.write(lambda rows: rows.put(META, b"k", b"v"))
        suspect = store.environment.suspectPath
        self.assertTrue(suspect.exists())
        await store.close()
        store = self.open()
        self.assertFalse(suspect.exists())
        await store.write(lambda rows: rows.put(META, b"k", b"v"))

    def test_damageAfterAFailedCommitKeepsTheNodeFromStarting(self) -> None:
        change(self.environment, drop(BODY, chunkKey(BUCKET, SMALL_ID, 0)))
        self.environment.markSuspect()
        for _ in range(2):
            with self.assertRaises(StoreDamaged) as caught:
                self.open()
            self.assertIn(str(self.environment.suspectPath), caught.exception.problems[0])
            self.assertIn(SMALL_ID.hex(), caught.exception.problems[1])
        self.environment.suspectPath.unlink()
        self.open()

    def test_leftoversOfACrashAreNoDamage(self) -> None:
        change(self.environment, put(BODY, chunkKey(BUCKET, b"z" * 16, 0), b"on its way"))
        self.environment.markSuspect()
        self.open()

    def test_storeIsNotWalkedWithoutNeed(self) -> None:
        change(self.environment, drop(BODY, chunkKey(BUCKET, LARGE_ID, 0)))
        self.open()

    def test_refusedStoreIsLeftUnlocked(self) -> None:
        self.environment.markSuspect()
        change(self.environment, drop(BODY, chunkKey(BUCKET, SMALL_ID, 0)))
        with self.assertRaises(StoreDamaged):
            self.open()
        Environment(self.directory).close()

    def test_absentAndUsedStoresAreRefused(self) -> None:
        with self.assertRaises(StoreInUse):
            openStore(self.directory, reactor=reactor)
        with self.assertRaises(StoreAbsent):
            openStore(temporaryPath(self), reactor=reactor)

    def test_startOnAFullDiskUsesTheReserve(self) -> None:
        class FailsOnce(Environment):
            failures = 1

            def begin(self, life):  # type: ignore[no-untyped-def]
                if self.failures:
                    self.failures -= 1
                    raise lmdb.DiskError("put", errno.ENOSPC)
                return super().begin(life)

        self.patch(opening, "Environment", FailsOnce)
        self.patch(opening.Space, "isExhausted", lambda space: True)
        store = self.open()
        self.assertEqual(store.environment.meta.incarnation, 1)

    def test_otherFailuresAtTheStartAreRaisedAndTheNextVerifiesAgain(self) -> None:
        for _ in range(2):
            self.environment.close()
            self.patch(Environment, "begin", _failing)
            with self.assertRaises(lmdb.Error):
                openStore(self.directory, reactor=reactor)
            self.assertTrue(self.environment.suspectPath.exists())

    def test_aSuspectStoreIsWrittenAndForgottenBeforeItIsRead(self) -> None:
        self.environment.close()
        self.environment.markSuspect()
        done: list[str] = []
        self.patch(os, "fsync", _noting(done, "fsync", os.fsync, failures=1))
        self.patch(os, "posix_fadvise", _noting(done, "fadvise", os.posix_fadvise))
        self.patch(opening, "Environment", _noting(done, "open", Environment))
        self.open()
        self.assertEqual(done[:4], ["fsync", "fsync", "fadvise", "open"])

    def test_whatTheDiskDoesNotTakeYetOrCannotGiveBackIsNotOpened(self) -> None:
        self.environment.markSuspect()
        for call in ("fsync", "read"):
            with self.assertRaises(StoreUnknown):
                self.patch(os, call, _noting([], call, getattr(os, call), failures=2))
                self.open()
            self.assertTrue(self.environment.suspectPath.exists())


def _failing(*arguments: object) -> None:
    raise lmdb.Error("commit", errno.EIO)


def _noting(done: list[str], name: str, really: Callable[..., Any], failures: int = 0) -> Callable[..., Any]:
    """Do it, after so many failures, and note each time."""
    left = [failures]

    def noted(*arguments: object) -> Any:
        done.append(name)
        if left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "Input/output error")
        return really(*arguments)

    return noted
