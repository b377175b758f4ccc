"""The parts of a message and where they lie (RFC 2045, RFC 2046 §5, RFC 6532).

`parse` reads the header of every part and finds the boundaries between parts; it decodes nothing and
keeps no copy of any body. Offsets count from the first octet given. Delimiter lines are sought in one
whole container at a time, so that an outer boundary always ends inner parts (§5.1.2; but see `_ranges`),
and compared whole, so that a boundary may be the beginning of another. What cannot be read as a container, and what
exceeds a bound (`bounds`), is a leaf: a broken multipart is text/plain, one nested too deep is
application/octet-stream.
"""

import re
from collections.abc import Iterator

import msgspec

from jindimail.message import bounds
from jindimail.message.headers import headerEnd, lineEnds, readFields
from jindimail.message.parameters import (
    Parameters,
    parameterOctets,
    parameterText,
    parseParameters,
    withoutComments,
)

_PLAIN_TEXT = (b"text", b"plain", ((b"charset", b"us-ascii"),))
_MESSAGE = (b"message", b"rfc822", ())
_OPAQUE = (b"application", b"octet-stream", ())
_TYPE = re.compile(rb"([!-.0-~]+)[ \t]*/[ \t]*([!-~]+)")
_MESSAGES = frozenset({b"rfc822", b"global"})
_IDENTITY = frozenset({b"7bit", b"8bit", b"binary"})

ContentType = tuple[bytes, bytes, Parameters]


class Part(msgspec.Struct, frozen=True):
    """One part of a message, or the message itself, which is its own outermost part.

    Its header is `[start, bodyStart)` with the blank line, its body `[bodyStart, end)` without the line
    end that belongs to the delimiter after it. `lines` counts the line ends of the body of a text or
    message part, and is 0 for others. A multipart has its parts as children, a message/rfc822 the one
    message in it. `fields` are the first values of the header's fields by lower-case name.
    """

    start: int
    bodyStart: int
    end: int
    mediaType: bytes
    subtype: bytes
    parameters: Parameters
    fields: dict[bytes, bytes]
    lines: int = 0
    children: tuple["Part", ...] = ()

    @property
    def octets(self) -> int:
        """Size of the body as it stands, not decoded."""
        return self.end - self.bodyStart

    @property
    def isMultipart(self) -> bool:
        """Whether the children are parts in a row."""
        return self.mediaType == b"multipart"

    @property
    def isMessage(self) -> bool:
        """Whether the one child is a message in a part."""
        return self.mediaType == b"message" and bool(self.children)

    @property
    def encoding(self) -> bytes:
        """Content-Transfer-Encoding in lower case; `7bit` if there is none (RFC 2045 §6.1)."""
        return _encoding(self.fields)

    @property
    def contentId(self) -> bytes | None:
        """Content-ID with its angle brackets."""
        return self.fields.get(b"content-id")

    @property
    def description(self) -> bytes | None:
        """Content-Description, encoded words left alone."""
        return self.fields.get(b"content-description")

    @property
    def location(self) -> bytes | None:
        """Content-Location (RFC 2557)."""
        return self.fields.get(b"content-location")

    @property
    def disposition(self) -> tuple[bytes, Parameters] | None:
        """Content-Disposition: its lower-case kind and parameters (RFC 2183)."""
        value = self.fields.get(b"content-disposition")
        if not value:
            return None
        kind, parameters = parseParameters(value)
        return (kind, parameters) if kind else None

    @property
    def language(self) -> tuple[bytes, ...]:
        """The tags of Content-Language (RFC 3282)."""
        value = withoutComments(self.fields.get(b"content-language", b""))
        return tuple(tag.strip() for tag in value.split(b",", bounds.parametersMax) if tag.strip())

    def walk(self) -> Iterator["Part"]:
        """This part and all below it, parents first, in their order."""
        yield self
        for child in self.children:
            yield from child.walk()


def parse(octets: bytes | bytearray | memoryview) -> Part:
    """The tree of parts of a message. Takes anything, raises nothing; other types than bytes are copied once."""
    whole = octets if isinstance(octets, bytes) else bytes(octets)
    return _Reader(whole).part(0, len(whole), 0, _PLAIN_TEXT)


class _Reader:
    """Reads one message and holds what is left of its bounds."""

    __slots__ = ("delimitersLeft", "headerLeft", "octets", "partsLeft", "scanLeft")

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.partsLeft = bounds.partsMax - 1
        self.delimitersLeft = bounds.delimitersMax
        self.headerLeft = bounds.headerOctetsTotalMax
        self.scanLeft = bounds.scanFactorMax * len(octets) + bounds.scanOctetsMin

    def part(self, start: int, end: int, depth: int, default: ContentType) -> Part:
        bodyStart = headerEnd(self.octets, start, end)
        fields = self._fields(start, bodyStart)
        value = fields.get(b"content-type")
        contentType = parseContentType(value, default) if value else default
        children: tuple[Part, ...] = ()
        if contentType[0] == b"multipart" or contentType[0] == b"message":
            contentType, children = self._contain(contentType, fields, bodyStart, end, depth)
        mediaType, subtype, parameters = contentType
        lines = 0
        if mediaType == b"text" or mediaType == b"message":
            lines = lineEnds(self.octets, bodyStart, end)
        return Part(start, bodyStart, end, mediaType, subtype, parameters, fields, lines, children)

    def _fields(self, start: int, bodyStart: int) -> dict[bytes, bytes]:
        size = min(bodyStart - start, bounds.headerOctetsMax, self.headerLeft)
        self.headerLeft -= size
        return readFields(self.octets[start : start + size])

    def _contain(
        self, contentType: ContentType, fields: dict[bytes, bytes], start: int, end: int, depth: int
    ) -> tuple[ContentType, tuple[Part, ...]]:
        """The content type to present, and the parts in a container's body; no parts if it must be a leaf."""
        mediaType, subtype, parameters = contentType
        if mediaType == b"message":
            if subtype not in _MESSAGES:
                return contentType, ()
            if _encoding(fields) not in _IDENTITY:
                return _OPAQUE, ()
        self.scanLeft -= end - start
        if depth >= bounds.depthMax or self.scanLeft < 0 or self.partsLeft <= 0:
            return _OPAQUE, ()
        if mediaType == b"message":
            self.partsLeft -= 1
            return contentType, (self.part(start, end, depth + 1, _PLAIN_TEXT),)
        boundary = _boundary(parameters)
        ranges = self._ranges(boundary, start, end) if boundary else []
        if not ranges:
            return _PLAIN_TEXT, ()
        default = _MESSAGE if subtype == b"digest" else _PLAIN_TEXT
        return contentType, tuple(self.part(first, last, depth + 1, default) for first, last in ranges)

    def _ranges(self, boundary: bytes, start: int, end: int) -> list[tuple[int, int]]:
        """Where the parts between the delimiter lines of *boundary* begin and end (RFC 2046 §5.1.1).

        Some senders give a multipart the boundary of the one around it, which §5.1.2 forbids. Where more delimiter lines
        follow the closing one, the parts are looked at for that: the end of an inner multipart must not hide what is after it.
        """
        ranges, isFollowed = self._parted(boundary, start, end)
        if isFollowed:
            self.scanLeft -= end - start
            if self.scanLeft >= 0:
                ranges, _ = self._parted(boundary, start, end, heedsInner=True)
        self.partsLeft -= len(ranges)
        return ranges

    def _parted(
        self, boundary: bytes, start: int, end: int, heedsInner: bool = False
    ) -> tuple[list[tuple[int, int]], bool]:
        """The ranges, and whether a delimiter line may follow the closing one."""
        octets, mark = self.octets, b"\n--" + boundary
        ranges: list[tuple[int, int]] = []
        begin, inner = -1, 0  # inner: how many multiparts of this boundary are open within the part
        at = octets.find(mark, max(start - 1, 0), end)
        while at >= 0 and self.delimitersLeft > 0 and (begin < 0 or self.partsLeft - len(ranges) > 1):
            self.delimitersLeft -= 1
            after = at + len(mark)
            lineEnd = octets.find(b"\n", after, end)
            if lineEnd < 0:
                lineEnd = end
            tail = octets[after:lineEnd].rstrip()
            following = octets.find(mark, lineEnd, end)
            if tail and tail != b"--":
                at = following
                continue
            if not inner:
                if 0 <= begin <= at:  # a delimiter right after another parts nothing
                    ranges.append((begin, at - octets.startswith(b"\r", at - 1)))
                if tail:
                    return ranges, following >= 0
                begin = min(lineEnd + 1, end)
            if tail:
                inner -= 1
            elif heedsInner:
                inner += self._isParted(boundary, min(lineEnd + 1, end), end if following < 0 else following)
            at = following
        if 0 <= begin < end:
            ranges.append((begin, end))
        return ranges, False

    def _isParted(self, boundary: bytes, start: int, end: int) -> bool:
        """Whether the part that begins here, or the message in it, is a multipart of this boundary."""
        for _ in range(bounds.depthMax):
            bodyStart = headerEnd(self.octets, start, end)
            value = self._fields(start, bodyStart).get(b"content-type", b"")
            mediaType, subtype, parameters = parseContentType(value, _PLAIN_TEXT)
            if mediaType != b"message" or subtype not in _MESSAGES:
                return mediaType == b"multipart" and _boundary(parameters) == boundary
            start = bodyStart
        return False


def _encoding(fields: dict[bytes, bytes]) -> bytes:
    value = fields.get(b"content-transfer-encoding")
    return (withoutComments(value).partition(b";")[0].strip().lower() if value else b"") or b"7bit"


def _boundary(parameters: Parameters) -> bytes:
    """The boundary of a multipart, also where it was written in the extended form of RFC 2231, which it need not be."""
    plain = parameterOctets(parameters, b"boundary")
    return plain or (parameterText(parameters, b"boundary") or "").encode("utf-8", "replace")


def parseContentType(value: bytes, default: ContentType) -> ContentType:
    """Type, subtype and parameters of a Content-Type; *default* if it is not of the form `type/subtype`."""
    full, parameters = parseParameters(value)
    match = _TYPE.fullmatch(full)
    return default if match is None else (match[1], match[2], parameters)
