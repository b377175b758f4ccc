"""A short plain-text preview of a message (RFC 8970): the first octets of its first text part, as one line."""

from collections.abc import Iterable

from jindimail.message import bounds
from jindimail.message.structure import Part
from jindimail.message.text import partText, plainOfHtml

_ENOUGH = bounds.previewChars * 3 // 2
_WINDOW = bounds.previewOctetsMax
_FIRST = 2 * bounds.previewChars  # which is mostly enough


def preview(part: Part, octets: bytes) -> str:
    """At most 200 characters of the message's text with white space collapsed; empty if it has no text."""
    chosen = _firstText(part)
    if chosen is None:
        return ""
    if chosen.subtype == b"html":
        return _line(plainOfHtml(partText(chosen, octets, bounds.previewOctetsMax)))
    return _line([partText(chosen, octets, bounds.previewOctetsMax // 8)])


def _firstText(part: Part) -> Part | None:
    """The first text part that is not an attachment, plain text before HTML."""
    first = None
    for each in part.walk():
        if each.mediaType == b"text" and each.end > each.bodyStart and not _isAttached(each):
            if each.subtype == b"plain":
                return each
            first = first or each
    return first


def _isAttached(part: Part) -> bool:
    disposition = part.fields.get(b"content-disposition")
    return disposition is not None and disposition[:10].lower() == b"attachment"


def _line(pieces: Iterable[str]) -> str:
    gathered: list[str] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece.strip())
        if size >= _ENOUGH:
            break
    text = "".join(gathered).replace("\0", "")
    line = " ".join(text[:_FIRST].split())
    if len(line) < bounds.previewChars:
        line = " ".join(text[:_WINDOW].split())
    return line[: bounds.previewChars].rstrip()
