"""
Snapshots on their way between nodes (design §5).

A leader's node writes a snapshot to a file, in a thread, one at a time, and sends it in pieces, a bounded number ahead of
their answers. The receiver keeps the pieces in a file; the last brings the `Install` message, which its Raft machine judges as
it would any other. A sending that does not get on is given up; the machine asks for another when it is still needed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from io import BytesIO
from itertools import count
from typing import Any, BinaryIO

import msgspec
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from jindimail.errors import Corrupt
from jindimail.interfaces import IReadRows, IStore
from jindimail.replication.entries import Snapshot
from jindimail.replication.messages import Install, decodeMessage, encodeMessage
from jindimail.replication.neighbours import Neighbours
from jindimail.replication.nodemessages import SnapshotPiece, SnapshotTaken
from jindimail.replication.replica import Replica
from jindimail.replication.snapshots import writeSnapshot

PIECE_OCTETS = 48 * 1024
PIECES_AHEAD = 16
PATIENCE_SECONDS = 5.0  # without progress
RETRY_SECONDS = 1.0  # before a snapshot that failed may be asked for again
WAITING_MAX = 1024
INCOMING_MAX = 4
INCOMING_OCTETS_MAX = 8 << 30


class SnapshotPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where snapshots are made and kept meanwhile; given by who composes a node."""

    read: Callable[[], AbstractContextManager[IReadRows]]  # one long read, to be used in the thread
    inThread: Callable[[Callable[[], Any]], Deferred[Any]]
    newFile: Callable[[], BinaryIO]  # a temporary file that goes when it is closed


def placeInMemory(store: IStore) -> SnapshotPlace:
    """Where snapshots are made at once and in memory."""
    return SnapshotPlace(
        read=store.read,
        inThread=maybeDeferred,
        newFile=BytesIO,
    )


class Outgoing:
    """A snapshot that is being sent."""

    __slots__ = (
        "file",
        "node",
        "progressAt",
        "replica",
        "replicaId",
        "sent",
        "snapshot",
        "stream",
        "taken",
        "wholeAt",
    )

    def __init__(self, replica: Replica, replicaId: int, node: int, stream: int, now: float) -> None:
        self.replica = replica
        self.replicaId = replicaId
        self.node = node
        self.stream = stream
        self.progressAt = now
        self.file: BinaryIO | None = None
        self.snapshot: Snapshot | None = None
        self.sent = self.taken = 0
        self.wholeAt = 0  # how many pieces there are, once that is known


class Incoming:
    """A snapshot that is being received."""

    __slots__ = ("file", "node", "octets", "pieces", "progressAt", "recipient", "stream")

    def __init__(self, node: int, piece: SnapshotPiece, file: BinaryIO) -> None:
        self.node = node
        self.stream = piece.stream
        self.recipient = piece.recipient
        self.file = file
        self.pieces = 0
        self.octets = 0
        self.progressAt = 0.0


class Transfers:
    """
    All snapshots of a node that are under way.

    @param arrived: is given the node, the `Install` and the file of a snapshot that is complete.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        place: SnapshotPlace,
        neighbours: Neighbours,
        replicas: dict[int, Replica],
        arrived: Callable[[int, Install, BinaryIO], None],
    ) -> None:
        self._place = place
        self._neighbours = neighbours
        self._replicas = replicas
        self._arrived = arrived
        self._streams = count(1)
        self._waiting: deque[tuple[Replica, int]] = deque()
        self._outgoing: Outgoing | None = None
        self._incoming: dict[int, Incoming] = {}
        self._failed: list[tuple[float, Replica, int]] = []
        self.sent = self.received = 0

    # --- sending

    def wanted(self, replica: Replica, replicaId: int, now: float) -> None:
        """A replica's machine wants a snapshot sent to another."""
        if len(self._waiting) < WAITING_MAX:
            self._waiting.append((replica, replicaId))
            self._next(now)
        else:
            self._failed.append((now + RETRY_SECONDS, replica, replicaId))

    def _next(self, now: float) -> None:
        while self._outgoing is None and self._waiting:
            replica, replicaId = self._waiting.popleft()
            node = replica.nodeOf(replicaId)
            if not self._leads(replica) or node is None:
                continue
            if self._neighbours.isSilent(node):
                self._failed.append((now + RETRY_SECONDS, replica, replicaId))
                continue
            outgoing = self._outgoing = Outgoing(replica, replicaId, node, next(self._streams), now)
            made = self._place.inThread(partial(self._make, outgoing))
            made.addCallbacks(self._made, self._notMade, (outgoing,), {}, (outgoing,))

    def _make(self, outgoing: Outgoing) -> tuple[Snapshot, BinaryIO]:
        """In a thread: everything from one read transaction."""
        file = self._place.newFile()
        try:
            with self._place.read() as rows:
                return writeSnapshot(rows, outgoing.replica.group, file), file
        except BaseException:
            file.close()
            raise

    def _made(self, made: tuple[Snapshot, BinaryIO], outgoing: Outgoing) -> None:
        outgoing.snapshot, outgoing.file = made
        if self._outgoing is not outgoing:
            outgoing.file.close()
            return
        self._send(outgoing)
        self._neighbours.at(outgoing.node, outgoing.progressAt).flush(outgoing.progressAt)

    def _notMade(self, failure: Failure, outgoing: Outgoing) -> None:
        self._log.failure("no snapshot of group {group}", failure, group=outgoing.replica.group)
        if self._outgoing is outgoing:
            self._end(outgoing, outgoing.progressAt, failed=True)

    def _send(self, outgoing: Outgoing) -> None:
        """Send pieces, as far ahead of the answers as is allowed."""
        assert outgoing.file is not None and outgoing.snapshot is not None
        replica = outgoing.replica
        raft = replica.raft
        neighbour = self._neighbours.at(outgoing.node, outgoing.progressAt)
        while not outgoing.wholeAt and outgoing.sent < outgoing.taken + PIECES_AHEAD:
            octets = outgoing.file.read(PIECE_OCTETS)
            install = b""
            outgoing.sent += 1
            if not octets:
                outgoing.wholeAt = outgoing.sent
                isLearner = outgoing.replicaId not in raft.configuration.voters()
                install = encodeMessage(
                    Install(
                        replica.group,
                        raft.replicaId,
                        outgoing.replicaId,
                        raft.term,
                        outgoing.snapshot,
                        isLearner,
                    )
                )
            neighbour.send(
                SnapshotPiece(
                    replica.group,
                    raft.replicaId,
                    outgoing.replicaId,
                    outgoing.stream,
                    outgoing.sent,
                    octets,
                    install,
                )
            )

    def taken(self, node: int, message: SnapshotTaken, now: float) -> None:
        """A piece was written down by its receiver, or refused."""
        outgoing = self._outgoing
        if outgoing is None or outgoing.file is None:
            return
        if (outgoing.node, outgoing.stream, outgoing.replica.group) != (node, message.stream, message.group):
            return
        if message.refused:
            self._end(outgoing, now, failed=True)
        elif message.number > outgoing.taken:
            outgoing.taken = message.number
            outgoing.progressAt = now
            if outgoing.taken == outgoing.wholeAt:
                self.sent += 1
                # If its installation fails over there, nobody tells: the machine is asked again after a while.
                self._failed.append((now + PATIENCE_SECONDS, outgoing.replica, outgoing.replicaId))
                self._end(outgoing, now, failed=False)
            elif self._leads(outgoing.replica):
                self._send(outgoing)
            else:
                self._end(outgoing, now, failed=False)

    def _end(self, outgoing: Outgoing, now: float, *, failed: bool) -> None:
        if outgoing.file is not None:
            outgoing.file.close()
        self._outgoing = None
        if failed:
            self._failed.append((now + RETRY_SECONDS, outgoing.replica, outgoing.replicaId))
        self._next(now)

    def _leads(self, replica: Replica) -> bool:
        return self._replicas.get(replica.group) is replica and replica.raft.leadership is not None

    # --- receiving

    def piece(self, node: int, piece: SnapshotPiece, now: float) -> None:
        """A piece came in."""
        incoming = self._incoming.get(piece.group)
        if incoming is None or (incoming.node, incoming.stream) != (node, piece.stream):
            incoming = self._begin(node, piece, incoming)
        isNext = incoming is not None and piece.number == incoming.pieces + 1
        if incoming is None or not isNext or incoming.octets + len(piece.octets) > INCOMING_OCTETS_MAX:
            self._refuse(node, piece)
            return
        incoming.progressAt = now
        incoming.pieces += 1
        incoming.octets += len(piece.octets)
        incoming.file.write(piece.octets)
        self._neighbours.at(node, now).send(SnapshotTaken(piece.group, piece.stream, piece.number))
        if piece.install:
            del self._incoming[piece.group]
            self._complete(node, incoming, piece)

    def _begin(self, node: int, piece: SnapshotPiece, old: Incoming | None) -> Incoming | None:
        if piece.number != 1 or (old is None and len(self._incoming) >= INCOMING_MAX):
            return None
        if old is not None:
            old.file.close()
        incoming = self._incoming[piece.group] = Incoming(node, piece, self._place.newFile())
        return incoming

    def _refuse(self, node: int, piece: SnapshotPiece) -> None:
        incoming = self._incoming.get(piece.group)
        if incoming is not None and incoming.stream == piece.stream and incoming.node == node:
            del self._incoming[piece.group]
            incoming.file.close()
        neighbour = next((each for each in self._neighbours if each.node == node), None)
        if neighbour is not None:
            neighbour.send(SnapshotTaken(piece.group, piece.stream, piece.number, True))

    def _complete(self, node: int, incoming: Incoming, piece: SnapshotPiece) -> None:
        try:
            message = decodeMessage(piece.install)
        except Corrupt:
            incoming.file.close()
            return
        if not isinstance(message, Install) or message.group != piece.group:
            incoming.file.close()
            return
        self.received += 1
        incoming.file.seek(0)
        self._arrived(node, message, incoming.file)

    # --- time

    def tick(self, now: float) -> None:
        """Give up what does not get on, and let machines ask again."""
        outgoing = self._outgoing
        if outgoing is not None and outgoing.file is not None:
            isStuck = now - outgoing.progressAt > PATIENCE_SECONDS
            if isStuck or not self._leads(outgoing.replica):
                self._end(outgoing, now, failed=True)
        for group, incoming in list(self._incoming.items()):
            if now - incoming.progressAt > PATIENCE_SECONDS:
                incoming.file.close()
                del self._incoming[group]
        due = [each for each in self._failed if each[0] <= now]
        self._failed = [each for each in self._failed if each[0] > now]
        for _, replica, replicaId in due:
            if self._leads(replica):
                replica.raft.snapshotFailed(replicaId)
        self._next(now)

    def stop(self) -> None:
        """Close all files."""
        for incoming in self._incoming.values():
            incoming.file.close()
        self._incoming.clear()
        if self._outgoing is not None and self._outgoing.file is not None:
            self._outgoing.file.close()
        self._outgoing = None
