"""
What FETCH asks for: attributes, macros and sections (RFC 3501 §6.4.5, §9 fetch-att; RFC 7162 §3.1.4).

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from jindimail.imap4.syntax import NUMBER_MAX, Cursor, Malformed

ITEMS_MAX = 500
FIELDS_MAX = 16  # sections of chosen header fields: each may take as much memory as a header
PATH_DEPTH_MAX = 60

FROM_VIEW = frozenset({b"FLAGS", b"UID", b"MODSEQ"})
FROM_ROW = frozenset({b"INTERNALDATE", b"RFC822.SIZE"})
FROM_SUMMARY = frozenset({b"ENVELOPE", b"BODYSTRUCTURE", b"BODY"})
_PLAIN = FROM_VIEW | FROM_ROW | FROM_SUMMARY

_MACROS = {
    b"FAST": (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE"),
    b"ALL": (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE"),
    b"FULL": (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE", b"BODY"),
}
_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9.]*")
_PATH = re.compile(rb"[1-9]\d{0,9}(?:\.[1-9]\d{0,9})*")
_KIND = re.compile(rb"HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME", re.IGNORECASE)
_PARTIAL = re.compile(rb"<(\d{1,19})\.([1-9]\d{0,18})>")
_FIELD_NAME = re.compile(rb"[!-9;-~]+\Z")
_NEEDS_QUOTES = re.compile(rb"[(){%*\"\\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Octets of a message: `BODY[1.2.HEADER.FIELDS (FROM)]<0.100>`, or the older names of three of them."""

    label: bytes  # as it stands in the response, with the origin
    path: tuple[int, ...] = ()
    kind: str = ""  # "", HEADER, TEXT, MIME
    fields: tuple[bytes, ...] = ()  # of HEADER
    isNegated: bool = False
    offset: int = 0
    count: int | None = None
    isPeek: bool = False

    @property
    def hasFields(self) -> bool:
        """Whether only some fields of the header are wanted."""
        return bool(self.fields)

    @property
    def isOfHeader(self) -> bool:
        """Whether no content is wanted."""
        return self.kind in ("HEADER", "MIME")


Item = bytes | Section


@dataclass(frozen=True, slots=True)
class Plan:
    """The items of a FETCH, in the order asked, each once."""

    items: tuple[Item, ...]
    needsRows: bool
    needsSummaries: bool
    sections: tuple[Section, ...]
    setsSeen: bool

    @classmethod
    def of(cls, items: Iterable[Item]) -> Plan:
        """The plan of these items."""
        unique = tuple(dict.fromkeys(items))
        sections = tuple(item for item in unique if isinstance(item, Section))
        summaries = bool(sections) or any(item in FROM_SUMMARY for item in unique)
        return cls(
            items=unique,
            needsRows=summaries or any(item in FROM_ROW for item in unique),
            needsSummaries=summaries,
            sections=sections,
            setsSeen=any(not section.isPeek for section in sections),
        )

    def withItem(self, name: bytes) -> Plan:
        """The plan with one more attribute in front, if it lacks it."""
        return self if name in self.items else Plan.of([name, *self.items])


def parsePlan(cursor: Cursor) -> Plan:
    """The items of a FETCH at the cursor."""
    if not cursor.has(b"("):
        return _parseOne(cursor)
    items = cursor.listOf(_parseItem)
    if not 0 < len(items) <= ITEMS_MAX:
        raise Malformed
    plan = Plan.of(items)
    if sum(section.hasFields for section in plan.sections) > FIELDS_MAX:
        raise Malformed
    return plan


def _parseOne(cursor: Cursor) -> Plan:
    start = cursor.at
    macro = _MACROS.get(cursor.match(_NAME)[0].upper())
    if macro is not None:
        return Plan.of(macro)
    cursor.at = start
    return Plan.of([_parseItem(cursor)])


def _parseItem(cursor: Cursor) -> Item:
    name = cursor.match(_NAME)[0].upper()
    if name in (b"BODY", b"BODY.PEEK") and cursor.skip(b"["):
        return _parseSection(cursor, isPeek=name == b"BODY.PEEK")
    if name in _PLAIN:
        return name
    if name == b"RFC822":
        return Section(label=name)
    if name == b"RFC822.HEADER":
        return Section(label=name, kind="HEADER", isPeek=True)
    if name == b"RFC822.TEXT":
        return Section(label=name, kind="TEXT")
    raise Malformed


def _parseSection(cursor: Cursor, *, isPeek: bool) -> Section:
    path = _parsePath(cursor)
    kind, label = "", ".".join(map(str, path)).encode("ascii")
    fields: tuple[bytes, ...] = ()
    if not cursor.has(b"]"):
        if path:
            cursor.expect(b".")
            label += b"."
        kind = cursor.match(_KIND)[0].upper().decode("ascii")
        label += kind.encode("ascii")
        if kind == "MIME" and not path:
            raise Malformed
        if kind.startswith("HEADER.FIELDS"):
            cursor.space()
            fields = _parseFieldNames(cursor)
            label += b" (" + b" ".join(map(_astring, fields)) + b")"
    cursor.expect(b"]")
    label = b"BODY[" + label + b"]"
    offset, count = 0, None
    if cursor.has(b"<"):
        partial = cursor.match(_PARTIAL)
        offset, count = int(partial[1]), int(partial[2])
        label += b"<%d>" % offset
    return Section(
        label=label,
        path=path,
        kind="HEADER" if fields else kind,
        fields=fields,
        isNegated=kind == "HEADER.FIELDS.NOT",
        offset=offset,
        count=count,
        isPeek=isPeek,
    )


def _parsePath(cursor: Cursor) -> tuple[int, ...]:
    match = _PATH.match(cursor.text, cursor.at)
    if match is None:
        return ()
    cursor.at = match.end()
    path = tuple(map(int, match[0].split(b".")))
    if len(path) > PATH_DEPTH_MAX or max(path) > NUMBER_MAX:
        raise Malformed
    return path


def _parseFieldNames(cursor: Cursor) -> tuple[bytes, ...]:
    names = cursor.astrings()
    if not 0 < len(names) <= ITEMS_MAX or not all(map(_FIELD_NAME.match, names)):
        raise Malformed
    return names


def _astring(name: bytes) -> bytes:
    """A field name as an astring."""
    if _NEEDS_QUOTES.search(name) is None:
        return name
    return b'"' + name.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
