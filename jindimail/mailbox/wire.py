"""
Entries, queries and what is answered to them, as octets that cross between nodes. Pure.

An answer's type follows from its query's, so that it bears no tag of its own; outcomes are a tagged union.
"""

from __future__ import annotations

from typing import Any

import msgspec

from jindimail.cluster.membership import Answer as ArrayOutcome
from jindimail.errors import Corrupt
from jindimail.mailbox import queries
from jindimail.mailbox.answer import portionOf as portionOf
from jindimail.mailbox.outcomes import Outcome
from jindimail.mailbox.repetition import repeatable as repeatable
from jindimail.model import MailboxSummary, UidSet
from jindimail.store.records import AddressRecord, DomainRecord, MessageRow, SummaryRecord

_ANSWERS: dict[type[queries.Query], Any] = {
    queries.FindAddress: AddressRecord | None,
    queries.FindAccount: queries.Account | None,
    queries.ListAccounts: tuple[queries.Account, ...],
    queries.ListAddresses: tuple[tuple[str, AddressRecord], ...],
    queries.ListMailboxes: queries.Mailboxes,
    queries.FindMailbox: MailboxSummary | None,
    queries.ReadMailbox: MailboxSummary | None,
    queries.ReadRows: tuple[MessageRow, ...],
    queries.ReadRowsOf: tuple[MessageRow, ...],
    queries.ReadChanges: queries.Changes,
    queries.ReadSummary: SummaryRecord | None,
    queries.ReadOctets: bytes,
    queries.FindBody: queries.FoundBody | None,
    queries.FindLeftovers: queries.Leftovers,
    queries.ListQueue: tuple[queries.Queued, ...],
    queries.ListDomains: tuple[tuple[str, DomainRecord], ...],
    queries.ReadSetting: str,
}


def _plain(value: Any) -> Any:
    """The one class of ours that MessagePack does not know."""
    if isinstance(value, UidSet):
        return value.ranges
    raise NotImplementedError(type(value).__name__)


def _ours(kind: type[Any], value: Any) -> Any:
    if kind is UidSet:
        return UidSet(tuple((int(low), int(high)) for low, high in value))
    raise NotImplementedError(kind.__name__)


_encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
_queryDecoder: msgspec.msgpack.Decoder[queries.AnyQuery] = msgspec.msgpack.Decoder(queries.AnyQuery)
_outcomeDecoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(
    Outcome | ArrayOutcome, dec_hook=_ours
)
_answerDecoders = {kind: msgspec.msgpack.Decoder(answer, dec_hook=_ours) for kind, answer in _ANSWERS.items()}


def encodeQuery(query: queries.AnyQuery) -> bytes:
    """A query's octets."""
    return _encode(query)


def decodeQuery(octets: bytes) -> queries.AnyQuery:
    """
    A query.

    @raise Corrupt: it is of no kind that this version knows.
    """
    return _decoded(_queryDecoder, octets)  # type: ignore[no-any-return]


def encodeAnswer(answer: queries.Answer) -> bytes:
    """An answer's octets."""
    return _encode(answer)


def decodeAnswer(query: queries.AnyQuery, octets: bytes) -> Any:
    """
    The answer of this query.

    @raise Corrupt: it is no answer of this query.
    """
    return _decoded(_answerDecoders[type(query)], octets)


def bodyQuery(query: queries.AnyQuery) -> queries.FindBody | None:
    """What tells where the octets are that a query asks for; None if it asks for no octets."""
    if isinstance(query, queries.ReadOctets):
        return queries.FindBody(bodyId=query.bodyId, prefix=query.prefix)
    return None


def isPiece(query: queries.AnyQuery) -> bool:
    """Whether a query asks for a piece of a body that must be sound as a whole."""
    return type(query) is queries.ReadOctets and query.isPiece


def encodeOutcome(outcome: Outcome | ArrayOutcome) -> bytes:
    """An outcome's octets."""
    return _encode(outcome)


def decodeOutcome(octets: bytes) -> Any:
    """
    An outcome.

    @raise Corrupt: it is of no kind that this version knows.
    """
    return _decoded(_outcomeDecoder, octets)


def _decoded(decoder: msgspec.msgpack.Decoder[Any], octets: bytes) -> Any:
    try:
        return decoder.decode(octets)
    except msgspec.MsgspecError as problem:
        raise Corrupt("does not decode") from problem
