"""
What replicas of one group say to each other.

Pure. Every message carries the group, the ids of both replicas (never reused) and the sender's term. On the wire a message
is a MessagePack array that begins with its tag; new fields are only added at the end, with a default.

=============  ==============================================================================================
`Campaign`     a candidate asks for a vote; `pre`: whether it would be given (dissertation §3.4, §9.6)
`Ballot`       the answer
`Append`       the leader's entries behind a place of the log, and how far it is committed (§3.5)
`Appended`     how far the follower's log agrees and is durable, or where to look for the agreement
`Beat`         the leader lives, and asks whether it still leads, for reads (§6.4)
`Beaten`       it does
`Install`      a snapshot, complete at the receiver: it takes the place of the log before it (§7)
`TransferNow`  campaign at once, with the leader's consent (§3.10)
`AskRead`      a follower asks for a read index
`TellRead`     the confirmed read index
`Removed`      the recipient's id is a tombstone
=============  ==============================================================================================
"""

from __future__ import annotations

import msgspec

from jindimail.errors import Corrupt
from jindimail.replication.entries import Entry, Snapshot


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The base of all messages."""

    group: int
    sender: int
    recipient: int  # 0: whoever has a replica of the group
    term: int


class Campaign(Message, tag=1, frozen=True, gc=False):
    """A request for a vote in `term`, by a candidate whose log ends at (lastIndex, lastTerm)."""

    lastIndex: int
    lastTerm: int
    pre: bool
    transfer: bool  # the leader itself asked for this election


class Ballot(Message, tag=2, frozen=True, gc=False):
    """A vote, given or refused. A granted pre-vote carries the term asked for, everything else the voter's own."""

    pre: bool
    granted: bool


class Append(Message, tag=3, frozen=True, gc=False):
    """Entries that follow (prevIndex, prevTerm); none: a probe, or (`isNews`) only the commit index, which nobody acknowledges."""

    prevIndex: int
    prevTerm: int
    commit: int
    entries: list[Entry]
    learner: bool  # in the leader's log the recipient does not vote: only such an append may create a replica
    isNews: bool = False


class Appended(Message, tag=4, frozen=True, gc=False):
    """
    The log agrees with the leader's, durably, up to `index`; or `refused`: not at `index`.

    A refusal hints where they may agree: the last place up to there whose term is not above the leader's.
    """

    index: int
    refused: bool = False
    hintIndex: int = 0
    hintTerm: int = 0


class Beat(Message, tag=5, frozen=True, gc=False):
    """The leader lives; `commit` is at most what the recipient's log is known to hold."""

    commit: int
    round: int  # of read confirmations; the answer repeats it


class Beaten(Message, tag=6, frozen=True, gc=False):
    """The answer to a `Beat`."""

    round: int


class Install(Message, tag=7, frozen=True, gc=False):
    """A snapshot whose rows have all arrived at the recipient."""

    snapshot: Snapshot
    learner: bool  # as in `Append`


class TransferNow(Message, tag=8, frozen=True, gc=False):
    """Start an election at once."""


class AskRead(Message, tag=9, frozen=True, gc=False):
    """A follower's request for a read index."""

    context: int


class TellRead(Message, tag=10, frozen=True, gc=False):
    """A read index, confirmed by a majority after it was asked for."""

    context: int
    index: int


class Removed(Message, tag=11, frozen=True, gc=False):
    """The recipient's id is no member's any more, by a committed configuration."""


AnyMessage = (
    Campaign
    | Ballot
    | Append
    | Appended
    | Beat
    | Beaten
    | Install
    | TransferNow
    | AskRead
    | TellRead
    | Removed
)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(AnyMessage).decode


def encodeMessage(message: Message) -> bytes:
    """A message as it travels."""
    return _encode(message)


def decodeMessage(octets: bytes) -> Message:
    """
    A message from the wire.

    @raise Corrupt: it is none that this version knows.
    """
    try:
        message: Message = _decode(octets)
    except msgspec.MsgspecError as problem:
        raise Corrupt("replication message does not decode") from problem
    return message
