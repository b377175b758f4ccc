"""Where the sections that IMAP names lie: BODY[], BODY[1.2], BODY[3.HEADER], BODY[4.1.MIME] (RFC 9051 §6.4.5).

The ranges of all parts are kept in a small *part table*, 13 octets a part, made once by `partTable`; no
section needs the message to be read again. HEADER.FIELDS is `headers.selectFields` on the octets of the
section `HEADER`.
"""

import struct
from typing import Final, Literal

from jindimail.message.structure import Part

Kind = Literal["", "HEADER", "TEXT", "MIME"]
"""What of a part is wanted; `""` is its body, or with an empty path the whole message."""

_ROW: Final = struct.Struct(">BIII")  # level and kind, then start of header, start of body, end
_LEAF, _MULTIPART, _MESSAGE = range(3)

_Row = tuple[int, int, int, int]


def partTable(part: Part) -> bytes:
    """The compact table of a message's parts, parents first."""
    rows: list[bytes] = []
    _write(rows, part, 0)
    return b"".join(rows)


def _write(rows: list[bytes], part: Part, level: int) -> None:
    kind = _MULTIPART if part.isMultipart else _MESSAGE if part.isMessage else _LEAF
    rows.append(_ROW.pack(level << 2 | kind, part.start, part.bodyStart, part.end))
    for child in part.children:
        _write(rows, child, level + 1)


def section(
    table: bytes, path: tuple[int, ...], kind: Kind = "", prefixOctets: int = 0
) -> tuple[int, int] | None:
    """The range of a section in the message, or None if there is no such part.

    *prefixOctets* is the size of header fields that stand before the octets that were parsed
    (`Delivered-To`): they belong to the outermost header, and move everything else.
    """
    rows: list[_Row] = list(_ROW.iter_unpack(table))
    index = _find(rows, path)
    if index is None:
        return None
    if kind == "" and path:
        return _shift(rows[index][2], rows[index][3], prefixOctets)
    if kind == "MIME":
        return _header(rows, index, prefixOctets) if path else None
    if path:
        if rows[index][0] & 3 != _MESSAGE:
            return None
        index += 1
    if kind == "":
        return 0, rows[0][3] + prefixOctets
    if kind == "HEADER":
        return _header(rows, index, prefixOctets)
    return _shift(rows[index][2], rows[index][3], prefixOctets)


def _header(rows: list[_Row], index: int, prefixOctets: int) -> tuple[int, int]:
    start, end = rows[index][1], rows[index][2]
    return (0 if index == 0 else start + prefixOctets), end + prefixOctets


def _shift(start: int, end: int, prefixOctets: int) -> tuple[int, int]:
    return start + prefixOctets, end + prefixOctets


def _find(rows: list[_Row], path: tuple[int, ...]) -> int | None:
    """The row that *path* leads to. A message that is no multipart has one part, 1, which is its own body."""
    index, isMessageItself = 0, True
    for number in path:
        if not isMessageItself and rows[index][0] & 3 == _MESSAGE:
            index, isMessageItself = index + 1, True
        if rows[index][0] & 3 == _MULTIPART:
            child = _child(rows, index, number)
            if child is None:
                return None
            index, isMessageItself = child, False
        elif isMessageItself and number == 1:
            isMessageItself = False
        else:
            return None
    return index


def _child(rows: list[_Row], parent: int, number: int) -> int | None:
    level = (rows[parent][0] >> 2) + 1
    for index in range(parent + 1, len(rows)):
        found = rows[index][0] >> 2
        if found < level:
            return None
        if found == level:
            number -= 1
            if number == 0:
                return index
    return None
