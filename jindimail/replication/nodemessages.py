"""
What nodes say to each other beside the groups' own messages: heartbeats, quiet groups, snapshots.

Pure. One heartbeat speaks for all groups of a node (design §5). A group in which everybody has everything goes *quiet*: its
leader says so once (`Quiet`), and from then on the leader's node vouches for it, by a digest of all its quiet groups in each
heartbeat. When the digests differ, the list is exchanged, and the groups in dispute tick on their own until they agree.
"""

from __future__ import annotations

import msgspec

from jindimail.errors import Corrupt
from jindimail.replication.messages import AnyMessage, Message


class NodeMessage(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The base of all messages between nodes."""


class NodeBeat(NodeMessage, frozen=True, tag=40, gc=False):
    """The sender lives. Times are of the sender's own clock; the echo is the recipient's, as the sender heard it last."""

    incarnation: int
    sentMilliseconds: int
    echoMilliseconds: int
    heldMilliseconds: int  # since the echoed beat came in
    commitAgeMilliseconds: int  # of the sender's oldest unfinished commit, less what its loop's lag explains
    quietDigest: bytes  # of the quiet groups that the sender leads and the recipient shares
    lagMilliseconds: int = 0  # how late the sender's loop is


class QuietGroup(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A quiet group: who leads it, and the place where everybody is."""

    group: int
    leader: int  # replica id
    term: int
    commit: int


class Quiet(NodeMessage, frozen=True, tag=41, gc=False):
    """These groups are quiet from now on; the sender's node vouches for their leaders."""

    groups: list[QuietGroup]


class AskQuiet(NodeMessage, frozen=True, tag=42, gc=False):
    """The digests differ: which groups are quiet?"""


class AllQuiet(NodeMessage, frozen=True, tag=43, gc=False):
    """All quiet groups that the sender leads and the recipient shares."""

    groups: list[QuietGroup]


class Wake(NodeMessage, frozen=True, tag=44, gc=False):
    """The sender does not agree that these groups are quiet: tick."""

    groups: list[int]


class NoReplica(NodeMessage, frozen=True, tag=45, gc=False):
    """The sender has no replica of this group under this id: it is not to be waited for. Only a hint."""

    group: int
    replicaId: int


class SnapshotPiece(NodeMessage, frozen=True, tag=50, gc=False):
    """
    A piece of a snapshot on its way to a replica, in order.

    The last carries the encoded `Install`, and no octets.
    """

    group: int
    sender: int
    recipient: int
    stream: int  # the sender's number of this sending
    number: int
    octets: bytes
    install: bytes = b""


class SnapshotTaken(NodeMessage, frozen=True, tag=51, gc=False):
    """A piece is written down at its receiver; `refused`: give up (another stream, a gap, no room)."""

    group: int
    stream: int
    number: int
    refused: bool = False


class PutBody(NodeMessage, frozen=True, tag=60, gc=False):
    """A chunk of a body to keep; its answer comes when it is durable."""

    bucket: int
    bodyId: bytes
    number: int  # of the chunk
    octets: bytes
    attempt: int = (
        0  # of the sender; the answer repeats it, so that a late one is not taken for a later attempt's
    )


class BodyPut(NodeMessage, frozen=True, tag=61, gc=False):
    """The chunk is durable at the sender; or it was `refused` (no room, no store)."""

    bucket: int
    bodyId: bytes
    number: int
    refused: bool = False
    attempt: int = 0


class AskBody(NodeMessage, frozen=True, tag=62, gc=False):
    """Send a chunk of a body that the recipient keeps."""

    bucket: int
    bodyId: bytes
    number: int


class TellBody(NodeMessage, frozen=True, tag=63, gc=False):
    """The chunk; `missing`: it is not kept here."""

    bucket: int
    bodyId: bytes
    number: int
    octets: bytes
    missing: bool = False


class AskKept(NodeMessage, frozen=True, tag=64, gc=False):
    """A keeper asks the bucket's leader which of these bodies it shall go on keeping."""

    bucket: int
    bodyIds: list[bytes]
    question: int = 0


class TellKept(NodeMessage, frozen=True, tag=65, gc=False):
    """The named bodies may be deleted by the recipient: void, gone, or kept by others. The answer to a question, and to no later one."""

    bucket: int
    free: list[bytes]
    question: int = 0


class Gossip(NodeMessage, frozen=True, tag=66, gc=False):
    """What nodes report of themselves (cluster/load.py); means nothing to groups."""

    reports: bytes


class TellTopics(NodeMessage, frozen=True, tag=67, gc=False):
    """
    Topics of what was committed at an index of a group, for a node that follows it; none: of everything.

    `count` is that of the sender's messages of this kind to this node.
    """

    group: int
    index: int
    count: int
    topics: tuple[tuple[str | int, ...], ...]


Traffic = (
    AnyMessage
    | NodeBeat
    | Quiet
    | AskQuiet
    | AllQuiet
    | Wake
    | NoReplica
    | SnapshotPiece
    | SnapshotTaken
    | PutBody
    | BodyPut
    | AskBody
    | TellBody
    | AskKept
    | TellKept
    | TellTopics
    | Gossip
)

AnyTraffic = Message | NodeMessage
BULK = (PutBody, TellBody, SnapshotPiece)  # large, and in no hurry

_encode = msgspec.msgpack.Encoder().encode
_decodeMany = msgspec.msgpack.Decoder(list[Traffic]).decode


def encodeTraffic(message: AnyTraffic) -> bytes:
    """One message as it travels."""
    return _encode(message)


def decodeTraffic(octets: bytes | memoryview) -> list[AnyTraffic]:
    """
    An array of messages from the wire.

    @raise Corrupt: it is none that this version knows.
    """
    try:
        messages: list[AnyTraffic] = list(_decodeMany(octets))
    except msgspec.MsgspecError as problem:
        raise Corrupt("traffic does not decode") from problem
    return messages
