"""
After a commit error a member of an array sets its store aside and rejoins with an empty one (design §4).

What its next commit would say cannot be trusted, and a voter that forgot its vote and its log would break the quorum: so its replicas are given up as
a whole, and the array makes it new ones under new ids. The old store is kept until an operator deletes it. It is done only where every one of
its groups has a majority without this node, and no body is kept here alone; a node that is needed goes on with its own store, verified (store/opening.py).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from twisted.logger import Logger

from jindimail.errors import Corrupt
from jindimail.interfaces import IReadRows
from jindimail.replication.durable import HardRecord, hardRecords, loadReplica
from jindimail.replication.quorum import majority
from jindimail.store.environment import SUSPECT, Environment, makeStore, makingPath, publish, storePath
from jindimail.store.keys import BODYREF, KEY_OCTETS_MAX, REJOINING_KEY
from jindimail.store.records import BodyrefRecord, decode

_log = Logger()


def setAsideIfSuspect(directory: Path) -> Path | None:
    """
    Replace the store whose last run ended with a failed commit, if the array can do without it; where the old one is now.

    The node keeps its number and name, and its incarnation goes on.
    """
    if not (storePath(directory) / SUSPECT).exists():
        return None
    environment = Environment(directory)
    try:
        meta = environment.meta
        with environment.snapshot() as rows:
            canGo = not _keepsAlone(rows, meta.node) and all(
                _isElsewhere(rows, group, record, meta.node) for group, record in hardRecords(rows)
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
    """Give a new store its place; also after a crash between the one rename and the other."""
    making = makingPath(directory)
    if not storePath(directory).exists() and making.is_dir() and any(directory.glob("store.aside-*")):
        publish(making, storePath(directory))


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
    if not record.replicaId:
        return True
    try:
        configuration = loadReplica(rows, group, record, None).history.latest
    except Corrupt:
        configuration = record.configuration
    voters = [member for member in configuration.members if member.voter]
    return sum(member.node != node for member in voters) >= majority(len(voters))
