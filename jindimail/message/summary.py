"""All that is kept of a message's shape, made in one pass where its octets arrive (design §7)."""

from dataclasses import dataclass

from jindimail.message import bounds, imapform
from jindimail.message.dates import parseDate
from jindimail.message.headers import lineEnds
from jindimail.message.preview import preview
from jindimail.message.sections import partTable
from jindimail.message.structure import parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What FETCH, SEARCH and SORT ask of a message most often, in a flat form to be stored.

    `envelope` and `bodyStructure` are ready for the wire; `imapform.bodyOf` makes BODY of the latter.
    `headerOctets` is the length of the header with its blank line. `parts` is the table that
    `sections.section` finds BODY[1.2] in. `sentDate` is in seconds since 1970, None if the message bears
    no date that can be read; `sentZoneMinutes` is the zone it was written in (SENTON compares local days).
    `messageId` is empty if there is none. `lines` counts all line ends of the message.
    """

    envelope: bytes
    bodyStructure: bytes
    parts: bytes
    headerOctets: int
    lines: int
    preview: str
    messageId: bytes
    sentDate: int | None
    sentZoneMinutes: int


def summarise(octets: bytes | bytearray | memoryview) -> Summary:
    """The summary of a message. Takes anything, raises nothing, and does bounded work (`bounds`)."""
    whole = octets if isinstance(octets, bytes) else bytes(octets)
    part = parse(whole)
    fields = part.fields
    sent = parseDate(fields.get(b"date", b""))
    return Summary(
        envelope=imapform.envelope(fields),
        bodyStructure=imapform.bodystructure(part),
        parts=partTable(part),
        headerOctets=part.bodyStart,
        lines=lineEnds(whole, 0, part.bodyStart)
        + (part.lines or lineEnds(whole, part.bodyStart, len(whole))),
        preview=preview(part, whole),
        messageId=fields.get(b"message-id", b"")[: bounds.messageIdOctetsMax],
        sentDate=None if sent is None else sent.epochSeconds,
        sentZoneMinutes=0 if sent is None else sent.zoneMinutes,
    )
