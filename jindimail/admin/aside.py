"""
A node's store when it starts; one of an array's member that is damaged after a commit error is set aside, and the node rejoins with an empty one.

After a commit error a store goes on, verified, like after a power cut (store/opening.py; docs/adr/0048): all nodes' commits may have failed at once. Only where its replicas cannot
go on with it they are given up as a whole, and the array makes the node new ones under new ids: a voter that forgot its vote and its log would break the quorum. The
old store is kept until an operator deletes it. It is done only where every one of its groups has a majority without this node, and no body is kept here alone; else
nothing is done without an operator.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import lmdb
from twisted.logger import Logger

from jindimail.errors import Corrupt
from jindimail.interfaces import IReadRows
from jindimail.replication.durable import HardRecord, hardRecords, loadReplica
from jindimail.replication.quorum import majority
from jindimail.store.environment import Environment, makeStore, makingPath, publish, storePath
from jindimail.store.keys import BODYREF, KEY_OCTETS_MAX, REJOINING_KEY
from jindimail.store.opening import StoreDamaged, openStore
from jindimail.store.records import BodyrefRecord, decode
from jindimail.store.writer import Writer

_log = Logger()


def openOrReplaceStore(directory: Path, *, reactor: Any, life: bytes) -> Writer:
    """
    Open a node's store; if it was damaged when a commit failed, and the array can do without it, an empty one in its place.

    The node keeps its number and name, and its incarnation goes on.

    @raise StoreAbsent, StoreInUse, StoreUnknown, StoreDamaged: all are ConfigErrors.
    """
    try:
        return openStore(directory, reactor=reactor, life=life, isMended=_hasOthers)
    except StoreDamaged as damaged:
        if not _canGo(directory):
            raise
        _log.critical(
            "{aside}: {problem}; this node rejoins",
            aside=str(_setAside(directory)),
            problem="; ".join(damaged.problems),
        )
    return openStore(directory, reactor=reactor, life=life)


def _hasOthers(rows: IReadRows) -> bool:
    """Whether this node's replicas are not the only ones."""
    try:
        return any(len(record.configuration.members) > 1 for _, record in hardRecords(rows))
    except Corrupt:
        return False


def _canGo(directory: Path) -> bool:
    """Whether the array can do without the store, as far as it can be read."""
    environment = Environment(directory)
    try:
        node = environment.meta.node
        with environment.snapshot() as rows:
            return not _keepsAlone(rows, node) and all(
                _isElsewhere(rows, group, record, node) for group, record in hardRecords(rows)
            )
    except (Corrupt, lmdb.Error):
        return False
    finally:
        environment.close()


def _setAside(directory: Path) -> Path:
    environment = Environment(directory)
    environment.close()
    aside = directory / f"store.aside-{environment.meta.incarnation}"
    makeStore(directory, environment.meta, {REJOINING_KEY: b"\x01"})
    storePath(directory).rename(aside)
    finishReplacing(directory)
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
