"""Tokens: what the grammar allows and nothing else, in linear time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jindimail.errors import JindimailError
from jindimail.imap4.items import FIELDS_MAX, Plan, Section, parsePlan
from jindimail.imap4.limits import Limits
from jindimail.imap4.names import NoName, Pattern, decodeName, encodeName
from jindimail.imap4.program import BadCharset, Program, parseProgram
from jindimail.imap4.reader import Command, Reader
from jindimail.imap4.syntax import NUMBER_MAX, STAR, Cursor, Malformed, parseSequenceSet, resolveRanges
from jindimail.imap4.uploads import parseStart


def cursor(*segments: bytes) -> Cursor:
    return Cursor(segments)


def whole(read: Callable[[Cursor], Any], *segments: bytes) -> Any:
    """What is read, if nothing is left."""
    at = Cursor(segments)
    found = read(at)
    at.end()
    return found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"atom]", b"atom]"),
        (b'"quoted (string) {3}"', b"quoted (string) {3}"),
        (rb'"a\"b\\c"', rb'a"b\c'),
        (b'""', b""),
        (b'"\xc3\xa9"', b"\xc3\xa9"),
    ],
)
def test_astring(text: bytes, value: bytes) -> None:
    assert whole(Cursor.astring, text) == value


def test_astringLiterals() -> None:
    at = cursor(b"{3}", b"a\r\n", b" {0+}", b"", b" z")
    assert at.astring() == b"a\r\n"
    at.space()
    assert at.astring() == b""
    at.space()
    assert at.astring() == b"z"
    assert at.isAtEnd


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'"a',
        rb'"a\b"',
        rb'"a\"',
        b'"a\r"',
        b"{3}",
        b"{3",
        b"\xc3\xa9",
        b"%",
        b"*",
        b"\\x",
        b"(",
        b'a"',
    ],
)
def test_notAnAstring(text: bytes) -> None:
    with pytest.raises(Malformed):
        whole(Cursor.astring, text)


def test_quotedStringsAreReadInLinearTime() -> None:
    assert len(whole(Cursor.astring, b'"' + rb"\"" * 30_000 + b'"')) == 30_000
    with pytest.raises(Malformed):
        cursor(b'"' + rb"\\" * 30_000).astring()


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        (b"1", ((1, 1),)),
        (b"1:*", ((1, STAR),)),
        (b"*", ((STAR, STAR),)),
        (b"*:*", ((STAR, STAR),)),
        (b"5:2,*:7,4294967295", ((5, 2), (STAR, 7), (NUMBER_MAX, NUMBER_MAX))),
    ],
)
def test_sequenceSet(text: bytes, ranges: tuple[tuple[int, int], ...]) -> None:
    assert whole(Cursor.sequenceSet, text) == ranges


@pytest.mark.parametrize(
    "text", [b"", b"0", b"1,", b",1", b"1:", b"1:2:3", b"4294967296", b"-1", b"1 :2", b"**", b"01", b"1:0"]
)
def test_notASequenceSet(text: bytes) -> None:
    with pytest.raises(Malformed):
        whole(Cursor.sequenceSet, text)


def test_rangesAreSettledWhateverTheirOrder() -> None:
    assert resolveRanges(((5, 2), (STAR, 7), (6, 6)), 9) == ((2, 9),)
    assert resolveRanges(((559, STAR),), 500) == ((500, 559),)
    assert resolveRanges(((STAR, STAR),), 0) == ((0, 0),)


def test_hugeSetsAreReadAtOnce() -> None:
    text = b",".join(b"%d" % number for number in range(1, 65_000, 3))
    assert len(resolveRanges(parseSequenceSet(text), 70_000)) == 21_667
    assert resolveRanges(parseSequenceSet(b",".join([b"1:4294967295"] * 5000)), 3) == ((1, NUMBER_MAX),)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=10), st.integers(1, 30)
)
def test_settledRangesMeanTheSameNumbers(ranges: list[tuple[int, int]], highest: int) -> None:
    wanted = {
        number
        for first, last in ranges
        for number in range(
            min(first or highest, last or highest), max(first or highest, last or highest) + 1
        )
    }
    settled = resolveRanges(tuple(ranges), highest)
    assert {number for low, high in settled for number in range(low, high + 1)} == wanted
    assert all(high + 1 < low for (_, high), (low, _) in pairwise(settled))


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (b"(\\seen \\FLAGGED $Label)", ("\\Seen", "\\Flagged", "$Label")),
        (b"()", ()),
        (b"\\Seen a \\Seen", ("\\Seen", "a")),
        (b"( $Label)", ("$Label",)),  # as Dovecot's imapc appends a message that has keywords only
        (b"( a  b ) ", ("a", "b")),
        (b"(  )", ()),
        (b" a ", ("a",)),
    ],
)
def test_flags(text: bytes, flags: tuple[str, ...]) -> None:
    assert whole(Cursor.flags, text) == flags


@pytest.mark.parametrize(
    "text", [b"", b"(", b"(\\Seen", b"(\\Recent)", b"(\\*)", b"\\", b"(  ", b"((a))", b"(a,\xff)"]
)
def test_notFlags(text: bytes) -> None:
    with pytest.raises(Malformed):
        whole(Cursor.flags, text)


def test_dateTimes() -> None:
    for text in (
        b'" 9-Sep-2001 03:46:40 +0200"',
        b'"09-Sep-2001 03:46:40 +0200"',
        b'"9-Sep-2001 03:46:40 +0200"',
    ):
        assert whole(Cursor.dateTime, text) == 1_000_000_000
    with pytest.raises(Malformed):
        whole(Cursor.dateTime, b'"31-Feb-2001 03:46:40 +0200"')


@pytest.mark.parametrize("text", [b'"01-Jan-1970 00:00:00 +0100"', b'" 9-Sep-1901 03:46:40 +0200"'])
def test_datesBeforeTheEpochAreTheEpoch(text: bytes) -> None:
    """Programs that copy mail send such for messages without a date, and lose the message if it is refused."""
    assert whole(Cursor.dateTime, text) == 0


# --- FETCH --------------------------------------------------------------------------------------------------


def section(text: bytes) -> Section:
    plan: Plan = whole(parsePlan, text)
    (found,) = plan.sections
    return found


def test_macrosStandForTheirItems() -> None:
    assert whole(parsePlan, b"fast").items == (b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE")
    assert whole(parsePlan, b"ALL").items[-1] == b"ENVELOPE"
    assert whole(parsePlan, b"FULL").items[-1] == b"BODY"
    with pytest.raises(Malformed):
        whole(parsePlan, b"(FAST UID)")


def test_eachItemIsAnsweredOnce() -> None:
    assert whole(parsePlan, b"(UID flags UID)").items == (b"UID", b"FLAGS")
    assert whole(parsePlan, b"FLAGS").withItem(b"UID").items == (b"UID", b"FLAGS")


@pytest.mark.parametrize(
    ("text", "label", "path", "kind", "peeks"),
    [
        (b"BODY[]", b"BODY[]", (), "", False),
        (b"body.peek[text]", b"BODY[TEXT]", (), "TEXT", True),
        (b"BODY[1.2.MIME]", b"BODY[1.2.MIME]", (1, 2), "MIME", False),
        (b"BODY.PEEK[3.HEADER]", b"BODY[3.HEADER]", (3,), "HEADER", True),
        (b"RFC822", b"RFC822", (), "", False),
        (b"RFC822.HEADER", b"RFC822.HEADER", (), "HEADER", True),
        (b"RFC822.TEXT", b"RFC822.TEXT", (), "TEXT", False),
    ],
)
def test_sections(text: bytes, label: bytes, path: tuple[int, ...], kind: str, peeks: bool) -> None:
    found = section(text)
    assert (found.label, found.path, found.kind, found.isPeek) == (label, path, kind, peeks)


def test_sectionsOfHeaderFields() -> None:
    found = section(b'BODY.PEEK[1.HEADER.FIELDS.NOT (From "X\\"Y" to)]<5.10>')
    assert found.label == b'BODY[1.HEADER.FIELDS.NOT (From "X\\"Y" to)]<5>'
    assert (found.kind, found.fields, found.isNegated) == ("HEADER", (b"From", b'X"Y', b"to"), True)
    assert (found.offset, found.count) == (5, 10)
    at = cursor(b"BODY[HEADER.FIELDS ({4}", b"From", b")]")
    assert parsePlan(at).sections[0].fields == (b"From",)


def test_choicesOfHeaderFieldsAreBounded() -> None:
    """Each may be as large as a header, and all of them are one answer."""
    choices = [b"BODY.PEEK[HEADER.FIELDS.NOT (X-%d)]" % number for number in range(FIELDS_MAX + 1)]
    assert len(whole(parsePlan, b"(" + b" ".join(choices[1:] * 2) + b" BODY[])").sections) == FIELDS_MAX + 1
    with pytest.raises(Malformed):
        whole(parsePlan, b"(" + b" ".join(choices) + b")")


@pytest.mark.parametrize(
    "text",
    [b"", b"()", b"(", b"(FLAGS", b"FLAGS)", b"BODY[", b"BODY[MIME]", b"BODY[0]", b"BODY[1.]", b"BODY[.1]", b"BODY[1]<0.0>", b"BODY[1]<5>",
     b"BODY[HEADER.FIELDS ()]", b"BODY[HEADER.FIELDS]", b"BODY[HEADER.FIELDS (a:b)]", b"BODY[FOO]", b"X-UNKNOWN", b"BODY.PEEK",
     b"BODY[" + b"1." * 100 + b"1]", b"BODY[99999999999]", b"(" * 100_000, b"(" + b"BODY[] " * 5000 + b"BODY[])"],
)  # fmt: skip
def test_notFetchItems(text: bytes) -> None:
    with pytest.raises(Malformed):
        whole(parsePlan, text)


# --- SEARCH -------------------------------------------------------------------------------------------------


def program(*segments: bytes) -> Program:
    found: Program = parseProgram(Cursor(segments))
    return found


def test_searchPrograms() -> None:
    for text in (
        b"ALL",
        b"1:5,* UNSEEN",
        b" ( ALL  SEEN ) ",
        b'CHARSET UTF-8 SUBJECT "x"',
        b"NOT (OR SEEN (FLAGGED DRAFT)) UID 5:*",
        b'HEADER "X-Y" "" SINCE 1-Feb-1994 SENTBEFORE "3-Mar-2020" LARGER 5 KEYWORD $x',
        b'MODSEQ "/flags/\\\\draft" all 620162338 ALL',
    ):
        program(text)
    assert program(b"MODSEQ 5").asksModSeq
    assert not program(b"ALL").asksModSeq
    program(b"SUBJECT {2}", b"ab", b" FROM {1+}", b"c", b"")


@pytest.mark.parametrize(
    "text",
    [b"", b"FOO", b"()", b"(ALL", b"ALL)", b"NOT", b"OR ALL", b"SINCE 1", b"SINCE 31-Feb-2020", b"LARGER x", b"UID", b"0",
     b"SUBJECT", b'SUBJECT "\xff"', b"HEADER x", b"KEYWORD \\Seen", b"CHARSET UTF-8", b'SUBJECT "' + b"x" * 5000 + b'"', b"MODSEQ x",
     b"(" * 60_000, b"(" * 100_000 + b"ALL" + b")" * 100_000, b"NOT (" * 10_000, b"OR (" * 10_000, b"OR OR " * 10_000, b"ALL " * 3000 + b"ALL"],
)  # fmt: skip
def test_notSearchPrograms(text: bytes) -> None:
    with pytest.raises(Malformed):
        program(text)


def test_longChainsOfOrAndNotAreNoNesting() -> None:
    text = b"OR SUBJECT x " * 1500 + b"SUBJECT y"
    assert len(program(text).criterion.criteria) == 1501  # type: ignore[attr-defined]
    assert program(b"NOT " * 10_001 + b"SEEN") != program(b"NOT " * 10_000 + b"SEEN")


def test_unknownCharsetsAreRefused() -> None:
    with pytest.raises(BadCharset):
        program(b"CHARSET KOI8-R SUBJECT x")
    with pytest.raises(Malformed):
        program(b'CHARSET US-ASCII SUBJECT "\xc3\xa9"')


# --- names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (b"inBox", "INBOX"),
        (b"inbox/Sub", "INBOX/Sub"),
        (b"Entw&APw-rfe", "Entwürfe"),
        (b"R&-D", "R&D"),
        (b"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
        (b"&2D3cqQ-", "\U0001f4a9"),
    ],
)
def test_mailboxNames(octets: bytes, name: str) -> None:
    assert decodeName(octets) == name
    assert decodeName(encodeName(name)) == name


@pytest.mark.parametrize(
    "octets", [b"&AGE-", b"&", b"&AP", b"&!!-", b"\xc3\xa9", b"&2D0-", b"x" * 2000, b"&APw-&APw-"]
)
def test_improperMailboxNames(octets: bytes) -> None:
    with pytest.raises(NoName):
        decodeName(octets)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_mailboxNamesComeBack(name: str) -> None:
    encoded = encodeName(name)
    assert encoded.isascii()
    if all(character.isprintable() or character == " " for character in name) and not name.upper().startswith(
        "INBOX"
    ):
        assert decodeName(encoded) == name


@pytest.mark.parametrize(
    ("reference", "pattern", "name", "matches"),
    [
        (b"", b"*", "a/b/c", True),
        (b"", b"%", "a/b", False),
        (b"", b"%", "a", True),
        (b"", b"a/%", "a/b", True),
        (b"a/", b"%", "a/b", True),
        (b"", b"a*c", "a/b/c", True),
        (b"", b"%/%", "a/b", True),
        (b"", b"%/%", "a/b/c", False),
        (b"", b"a%*", "ab/c", True),
        (b"", b"inbox", "INBOX", True),
        (b"", b"InB*", "INBOX", True),
        (b"", b"sent", "Sent", False),
        (b"", b"e&AwE-t%", "\u00e9t\u00e9", True),
        (b"", b"inbox/%", "INBOX/Sub", True),
        (b"Inbox/", b"S%", "INBOX/Sub", True),
        (b"", b"inbox*", "INBOX/Sub", True),
        (b"", b"inbox*", "inboxes", True),
        (b"", b"inbox/s%", "INBOX/Sub", False),
        (b"", b"sent/%", "Sent/Sub", False),
        (b"", b"Entw&APw-%", "Entwürfe", True),
        (b"", b"a", "ab", False),
    ],
)
def test_listPatterns(reference: bytes, pattern: bytes, name: str, matches: bool) -> None:
    assert Pattern(reference, pattern).matches(name) is matches


def matchesSlowly(pattern: str, name: str) -> bool:
    """What a pattern means, said as simply as can be (RFC 3501 §6.3.8)."""
    if not pattern:
        return not name
    first, rest = pattern[0], pattern[1:]
    if first not in "*%":
        return name[:1] == first and matchesSlowly(rest, name[1:])
    isMore = bool(name) and (first == "*" or name[0] != "/")
    return matchesSlowly(rest, name) or (isMore and matchesSlowly(pattern, name[1:]))


@settings(max_examples=500, deadline=None)
@given(st.text("ab/*%", max_size=9), st.text("ab/", max_size=9))
def test_listPatternsMeanWhatTheySay(pattern: str, name: str) -> None:
    assert Pattern(b"", pattern.encode()).matches(name) is matchesSlowly(pattern, name)


def test_aLongPatternTakesNoLongerThanAShortOne() -> None:
    name = "a" * 400
    for pattern in (b"*a" * 511 + b"b", b"%a" * 511 + b"b", b"*a%a" * 255 + b"b"):
        assert not Pattern(b"", pattern).matches(name)
    assert Pattern(b"", b"*%" * 512).matches(name)
    assert Pattern(b"", b"%" * 1023 + b"/").matches(name + "/")
    with pytest.raises(NoName):
        Pattern(b"*" * 1000, b"*" * 25)


# --- anything -----------------------------------------------------------------------------------------------

_WORDS = st.sampled_from(
    [b"(", b")", b" ", b" ", b'"', b"\\", b"BODY[", b"]", b"<0.5>", b"HEADER.FIELDS", b"NOT", b"OR", b"1:*", b"ALL", b"{3}", b"a", b"UID",
     b"SUBJECT", b"x", b"\\Seen", b"*", b"CHARSET", b"UTF-8", b"SINCE", b"1-Feb-1994", b"MODSEQ", b"5", b"\xff", b"INBOX", b"&"]
)  # fmt: skip
_READERS: tuple[Callable[[Cursor], Any], ...] = (
    Cursor.astring,
    Cursor.listMailbox,
    Cursor.flags,
    Cursor.sequenceSet,
    Cursor.words,
    Cursor.astrings,
    Cursor.attributes,
    Cursor.dateTime,
    Cursor.date,
    Cursor.number,
    parsePlan,
    parseProgram,
    parseStart,
    lambda at: decodeName(at.astring()),
    lambda at: Pattern(b"", at.listMailbox()),
)


@settings(max_examples=600, deadline=None)
@given(st.lists(st.one_of(_WORDS, st.binary(max_size=4)), max_size=15).map(b"".join))
def test_nothingButErrorsOfOursComesOfAnyOctets(octets: bytes) -> None:
    reader = Reader(Limits())
    reader.feed(b"a X " + octets.replace(b"\n", b"") + b"\r\n")
    event = reader.next()
    if isinstance(event, Command):
        for read in _READERS:
            try:
                read(Cursor(event.segments))
            except JindimailError:
                continue


def test_keywordsHaveABound() -> None:
    assert whole(Cursor.flags, b"x" * 255) == ("x" * 255,)
    with pytest.raises(Malformed):
        whole(Cursor.flags, b"x" * 256)
