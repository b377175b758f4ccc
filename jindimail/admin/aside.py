"""
After a commit error a member of an array sets its store aside and rejoins with an empty one (design §4).

What its next commit would say cannot be trusted, and a voter that forgot its vote and its log would break the quorum: so its replicas are given up as
a whole, and the array makes it new ones under new ids. The old store is kept until an operator deletes it. It is done only where every one of
its groups has a majority without this node, and no body is kept here alone; a node that is needed goes on with its own store, verified (store/opening.py).

Whether those majorities are there, too, shows only when the node asks for them (cluster/sparing.py). If they are not, the old store takes its place again at
the next start: commits may have failed at all nodes at once, and a store that was not written to is as good as its last commit that did not fail.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from shutil import rmtree

import lmdb
from twisted.logger import Logger

from jindimail.errors import Corrupt
from jindimail.interfaces import IReadRows
from jindimail.replication.durable import HardRecord, hardRecords, loadReplica
from jindimail.replication.quorum import majority
from jindimail.store.environment import (
    NEEDED,
    SUSPECT,
    Environment,
    continueAs,
    forgetCached,
    makeStore,
    makingPath,
    publish,
    storePath,
    syncDirectory,
)
from jindimail.store.keys import BODYREF, KEY_OCTETS_MAX, REJOINING_KEY
from jindimail.store.records import BodyrefRecord, decode

RETURN = "return"  # in an empty store: the name of the one that shall take its place again
EMPTY = "store.empty"  # what stood in for that

_log = Logger()


def setAsideIfSuspect(directory: Path) -> Path | None:
    """
    Replace the store whose last run ended with a failed commit, if the array can do without it; where the old one is now.

    The node keeps its number and name, and its incarnation goes on.
    """
    suspect = storePath(directory) / SUSPECT
    if not suspect.exists() or suspect.read_bytes() == NEEDED:
        return None
    environment = Environment(directory)
    try:
        meta = environment.meta
        with environment.snapshot() as rows:
            replicas = {group: record for group, record in hardRecords(rows) if record.replicaId}
            canGo = not _keepsAlone(rows, meta.node) and all(
                _isElsewhere(rows, group, record, meta.node) for group, record in replicas.items()
            )
    finally:
        environment.close()
    if not canGo:
        return None
    aside = directory / f"store.aside-{meta.incarnation}"
    makeStore(directory, meta, {REJOINING_KEY: b"\x01"})
    storePath(directory).rename(aside)
    finishReplacing(directory)
    _log.critical(
        "the last run ended with a failed commit: the store is now {aside}, and this node rejoins",
        aside=str(aside),
    )
    return aside


def finishReplacing(directory: Path) -> None:
    """Give a store its place; also after a crash between the one rename and the other."""
    making, path, empty = makingPath(directory), storePath(directory), directory / EMPTY
    if not path.exists() and making.is_dir() and any(directory.glob("store.aside-*")):
        publish(making, path)
    if not path.exists() and (empty / RETURN).exists():
        publish(directory / (empty / RETURN).read_text(), path)
    if path.exists() and empty.exists():
        rmtree(empty)


def askBack(directory: Path) -> None:
    """The array cannot do without the store that was set aside last: it takes its place again at the next start."""
    aside = max(directory.glob("store.aside-*"), key=_incarnationOf)
    (storePath(directory) / RETURN).write_text(aside.name)
    syncDirectory(storePath(directory))


def takeBackIfAsked(directory: Path) -> None:
    """Give the store its place again that was set aside, if that was asked for; its incarnation is that of the one that stood in for it."""
    path = storePath(directory)
    if not (path / RETURN).exists():
        return
    aside = directory / (path / RETURN).read_text()
    environment = Environment(directory)
    try:
        forgetCached(aside)
        continueAs(aside, environment.meta)
    except (Corrupt, OSError, lmdb.Error) as problem:
        _log.critical("{aside} cannot be taken back: {problem}", aside=str(aside), problem=problem)
        (path / RETURN).unlink()
        return
    finally:
        environment.close()
    (aside / SUSPECT).write_bytes(NEEDED)
    path.rename(directory / EMPTY)
    finishReplacing(directory)
    _log.critical("the array cannot do without {aside}: it is this node's store again", aside=str(aside))


def _incarnationOf(aside: Path) -> int:
    return int(aside.name.rpartition("-")[2])


def _keepsAlone(rows: IReadRows, node: int) -> bool:
    """Whether there is a body that no other node keeps, as far as this one knows."""
    for _, octets in rows.scan(BODYREF, b"", b"\xff" * KEY_OCTETS_MAX):
        with suppress(Corrupt):
            if decode(octets, BodyrefRecord).keepers == (node,):
                return True
    return False


def _isElsewhere(rows: IReadRows, group: int, record: HardRecord, node: int) -> bool:
    """
    Whether a group has its majority without this node's replica, so that it can be removed there: by the latest configuration in its
    log, since what is applied lags behind. Where the log cannot be read, the one that was applied has to do.
    """
    try:
        configuration = loadReplica(rows, group, record, None).history.latest
    except Corrupt:
        configuration = record.configuration
    voters = [member for member in configuration.members if member.voter]
    return sum(member.node != node for member in voters) >= majority(len(voters))
