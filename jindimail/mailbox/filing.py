"""From a body and the rows it shall have to the entry that files it: all that is uncertain is settled here, once."""

from __future__ import annotations

from jindimail.mailbox.entries import Deliver, Filing
from jindimail.message.summary import summarise
from jindimail.model import Body
from jindimail.store.records import SummaryRecord, encode


def summaryOf(body: Body) -> bytes:
    """The encoded summary of a body: read once, where the octets arrive (design §7), and as one piece, so that it is in memory once."""
    octets = b"".join(body.source.pieces(max(1, body.size)))
    summary = summarise(octets)
    return encode(
        SummaryRecord(
            envelope=summary.envelope,
            bodyStructure=summary.bodyStructure,
            headerOctets=summary.headerOctets,
            messageId=summary.messageId,
            sentSeconds=summary.sentDate,
            preview=summary.preview,
            parts=summary.parts,
        )
    )


def deliverEntry(body: Body, summary: bytes, filings: tuple[Filing, ...], seconds: int) -> Deliver:
    """The entry that files a body; the body's id is its delivery's. Who keeps it is settled when it is proposed."""
    return Deliver(
        seconds=seconds,
        deliveryId=body.bodyId,
        bodyId=body.bodyId,
        size=body.size,
        digest=body.digest,
        keepers=(),
        summary=summary,
        filings=filings,
    )
