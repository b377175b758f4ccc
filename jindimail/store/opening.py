"""
Opening the store of a node that starts.

After a run that ended with a failed commit, the store is verified before it is used, and that is an alarm (design §4: a
one-voter group restarts on its own store). On a full disk the start itself may need the reserve.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import lmdb
from twisted.logger import Logger

from jindimail.errors import ConfigError
from jindimail.store.check import Progress, check
from jindimail.store.environment import SUSPECT, UNTOLD, Environment, forgetCached, storePath
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
) -> Writer:
    """
    Open a node's store and count its incarnation (`writer.environment.meta`). May take long after a failed commit.

    @param life: what was drawn for this incarnation.

    @raise StoreAbsent, StoreInUse, StoreUnknown, StoreDamaged: all are ConfigErrors.
    """
    if (storePath(directory) / SUSPECT).exists():
        forgetCached(storePath(directory))
    environment = Environment(directory)
    try:
        verifyIfSuspect(environment, progress)
        space = Space(environment.path, insideOctets=environment.freeOctets)
        beginWithReserve(environment, space, life)
    except BaseException:
        environment.close()
        raise
    return Writer(environment, space, reactor=reactor, limits=limits)


def verifyIfSuspect(environment: Environment, progress: Progress | None = None) -> None:
    """
    Check the whole store if the last run left word that a commit failed.

    @raise StoreDamaged: something is wrong with it; the word stays.
    """
    suspect = environment.suspectPath
    if not suspect.exists():
        return
    _log.critical("the last run ended with a failed commit; verifying {path}", path=str(environment.path))
    damage = (finding for finding in check(environment.snapshot, progress) if not finding.kind.isWarning)
    named = [str(finding) for finding in islice(damage, FINDINGS_NAMED_MAX)]
    if named:
        raise StoreDamaged(
            (
                f"{environment.directory}: the last run ended with a failed commit, and the store is damaged; "
                f"restore a backup, or remove {suspect} to start all the same",
                *named,
            )
        )
    suspect.unlink()
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
