"""Header fields: where they are, what they say, and choosing some of them (RFC 5322 §2.2, RFC 2047).

A *header* here is a slice of octets that holds whole lines and, if the message has one, the blank
line that ends it. A *field* is a line that does not begin with white space, with all lines after it
that do. A line without a proper name and colon is a field with an empty name: nothing in a header is
ever lost. Lines end in CRLF or in a bare LF.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from jindimail.message import bounds

# A possessive group must not fail once it has taken something: Python before 3.11.5 goes on from there (gh-106052). These cannot.
_FIELD = re.compile(
    rb"(?!\r?\n|\Z)(?:([!-9;-~\x80-\xff]++)[ \t]*+:)?[^\n]*+(?:\n|\Z)(?:[ \t][^\n]*+(?:\n|\Z))*+"
)
_WHOLE_FIELD = re.compile(b"(" + _FIELD.pattern + b")")
_DESTINATIONS = frozenset({b"to", b"cc", b"bcc"})
_COUNTED_OCTETS = 256 * 1024  # at a time, so that a large message is not copied


_FIELD_ALONE = re.compile(rb"[!-9;-~\x80-\xff]++[ \t]*+:[^\n]*+(?:\n|\Z)(?:[ \t][^\n]*+(?:\n|\Z))*+")


class Field(NamedTuple):
    """One field: its name as written (empty for a line that is not a field) and its place, folds and line end included."""

    name: bytes
    start: int
    end: int


def lineEnds(octets: bytes, start: int, end: int) -> int:
    """How many lines end in *octets* from *start* to *end*; they are taken out by memchr, which is five times quicker than `bytes.count`."""
    found = 0
    for at in range(start, end, _COUNTED_OCTETS):
        piece = octets[at : min(end, at + _COUNTED_OCTETS)]
        found += len(piece) - len(piece.replace(b"\n", b""))
    return found


def headerEnd(octets: bytes, start: int, end: int) -> int:
    """The offset just after the blank line that ends the header beginning at *start*.

    Without a blank line the header ends before the first line that is no field, or at *end*.
    """
    if octets.startswith(b"\r\n", start, end):
        return start + 2
    if octets.startswith(b"\n", start, end):
        return start + 1
    blank = octets.find(b"\n\r\n", start, end)
    bare = octets.find(b"\n\n", start, end if blank < 0 else blank + 1)
    if bare >= 0:
        return bare + 2
    return blank + 3 if blank >= 0 else _endOfFields(octets, start, end)


def _endOfFields(octets: bytes, start: int, end: int) -> int:
    limit = min(end, start + bounds.headerOctetsMax)
    stop = start
    while stop < limit and (match := _FIELD_ALONE.match(octets, stop, limit)):
        stop = match.end()
    return stop if stop < limit else end


def scanFields(header: bytes) -> Iterator[Field]:
    """All fields of *header* in their order, names in their case, duplicates kept; the blank line is no field."""
    for match in _FIELD.finditer(header, 0, headerEnd(header, 0, len(header))):
        yield Field(match[1] or b"", match.start(), match.end())


def readFields(header: bytes) -> dict[bytes, bytes]:
    """
    The first value of each field by lower-case name, unfolded and stripped. For reading meaning, hence bounded.

    Several To, Cc or Bcc are one list (RFC 5322 §4.5.3).
    """
    text = header.replace(b"\r\n", b"\n").replace(b"\n ", b" ").replace(b"\n\t", b"\t")
    fields: dict[bytes, bytes] = {}
    more: dict[bytes, list[bytes]] = {}
    for line in text.split(b"\n", bounds.fieldsMax)[: bounds.fieldsMax]:
        name, colon, value = line.partition(b":")
        if colon:
            name = name.rstrip().lower()
            if name not in fields:
                fields[name] = value.strip()
            elif name in _DESTINATIONS:
                more.setdefault(name, [fields[name]]).append(value.strip())
    for name, values in more.items():
        fields[name] = b", ".join(values)
    return fields


def fieldValues(header: bytes, name: bytes) -> list[bytes]:
    """The unfolded, stripped values of all fields called *name* (in any case), in their order."""
    wanted = name.lower()
    return [
        unfold(whole.partition(b":")[2])
        for whole, found in _WHOLE_FIELD.findall(header, 0, headerEnd(header, 0, len(header)))
        if found.lower() == wanted
    ]


def fieldsByName(header: bytes) -> dict[bytes, list[bytes]]:
    """The values of all fields as they stand, folds and all, in their order, by lower-case name."""
    values: dict[bytes, list[bytes]] = {}
    for whole, name in _WHOLE_FIELD.findall(header, 0, headerEnd(header, 0, len(header))):
        values.setdefault(name.lower(), []).append(whole.partition(b":")[2])
    return values


def unfold(value: bytes) -> bytes:
    """*value* on one line: line ends go, the white space that folded it stays, and the ends are stripped (RFC 5322 §2.2.3)."""
    if b"\n" in value:
        value = value.replace(b"\r\n", b"").replace(b"\n", b"")
    return value.strip()


def selectFields(header: bytes, names: Iterable[bytes], negate: bool = False) -> bytes:
    """The fields of *header* that are (with *negate*: are not) among *names*, as in HEADER.FIELDS[.NOT] (RFC 9051 §6.4.5).

    Names match in any case; fields keep their octets and their order. The blank line follows, unless
    the header has none (a message without a body).
    """
    wanted = {name.lower() for name in names}
    end = headerEnd(header, 0, len(header))
    chosen = [
        whole
        for whole, name in _WHOLE_FIELD.findall(header, 0, end)
        if (name.lower() in wanted) is not negate
    ]
    if header.endswith((b"\n\r\n", b"\n\n"), 0, end) or header.startswith((b"\r\n", b"\n")):
        chosen.append(b"\r\n")
    return b"".join(chosen)
