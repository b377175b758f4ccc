"""
Opening the store of a node that starts.

A run that ended with a failed commit ended like one whose machine lost power: what was acknowledged had been synced, and of the last transaction the disk has all
or nothing (docs/adr/0048). That is made sure of before the store is used: it is read from the disk and verified, and it is an alarm. On a full disk the
start itself may need the reserve.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
from twisted.logger import Logger

from jindimail.errors import ConfigError
from jindimail.interfaces import IReadRows
from jindimail.store.check import Progress, check
from jindimail.store.environment import (
    SUSPECT,
    UNTOLD,
    Environment,
    StoreUnknown,
    settle,
    storePath,
    syncDirectory,
)
from jindimail.store.space import Space
from jindimail.store.writer import Writer, WriterLimits

FINDINGS_NAMED_MAX = 10

_log = Logger()


class StoreDamaged(ConfigError):
    """The last run ended with a failed commit, and the store is not sound."""


def openStore(
    directory: Path,
    *,
    reactor: Any,
    life: bytes = UNTOLD,
    limits: WriterLimits | None = None,
    progress: Progress | None = None,
    isMended: Callable[[IReadRows], bool] = lambda rows: False,
) -> Writer:
    """
    Open a node's store and count its incarnation (`writer.environment.meta`). May take long after a failed commit.

    @param life: what was drawn for this incarnation.
    @param isMended: whether others have all that the store has, so that only what its replicas stand on must be sound.

    @raise StoreAbsent, StoreInUse, StoreUnknown, StoreDamaged: all are ConfigErrors.
    @raise lmdb.Error: the start itself could not be committed.
    """
    path = storePath(directory)
    if (path / SUSPECT).exists() and (path / "data.mdb").exists():
        try:
            settle(path)
        except OSError as problem:
            raise StoreUnknown(directory, f"a commit failed, and still: {problem}") from problem
    environment = Environment(directory)
    try:
        isSuspect = environment.suspectPath.exists()
        if isSuspect:
            _verify(environment, progress, isMended)
        space = Space(environment.path, insideOctets=environment.freeOctets)
        try:
            beginWithReserve(environment, space, life)
        except lmdb.Error:
            environment.markSuspect()
            raise
        if isSuspect:  # not before: until then the next start has the same to fear
            environment.suspectPath.unlink()
            syncDirectory(path)
    except BaseException:
        environment.close()
        raise
    return Writer(environment, space, reactor=reactor, limits=limits)


def _verify(
    environment: Environment, progress: Progress | None, isMended: Callable[[IReadRows], bool]
) -> None:
    """
    Check the whole store.

    @raise StoreDamaged: something is wrong with it that nobody mends.
    """
    _log.critical("the last run ended with a failed commit; verifying {path}", path=str(environment.path))
    with environment.snapshot() as rows:
        canBeMended = isMended(rows)
    named: list[str] = []
    mended = 0
    for finding in check(environment.snapshot, progress):
        if finding.kind.isWarning:
            continue
        if canBeMended and not finding.kind.isOfReplicas:
            mended += 1
            if mended <= FINDINGS_NAMED_MAX:
                _log.error("found, and left to the array to mend: {finding}", finding=str(finding))
        elif len(named) < FINDINGS_NAMED_MAX:
            named.append(str(finding))
    if named:
        raise StoreDamaged(
            (
                f"{environment.directory}: the last run ended with a failed commit, and the store is damaged; restore a "
                f"backup, or remove {environment.suspectPath} to start all the same",
                *named,
            )
        )
    _log.critical("{path} is sound, going on", path=str(environment.path))


def beginWithReserve(environment: Environment, space: Space, life: bytes) -> None:
    """Count the incarnation, if need be in the reserve's room."""
    try:
        environment.begin(life)
    except lmdb.Error:
        if not space.isExhausted() or not space.dropReserve():
            raise
        environment.reopen()
        space.refresh()
        environment.begin(life)
