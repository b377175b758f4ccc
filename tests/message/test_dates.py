"""Dates and times: tables, and CPython's email package and datetime as judges."""

import email.utils
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jindimail.message.dates import (
    Instant,
    formatDate,
    formatInternalDate,
    parseDate,
    parseInternalDate,
    parseSearchDate,
)

GRAY = Instant(837595405, -420)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)", GRAY),
        (b"17 Jul 1996 02:23:25 -0700", GRAY),
        (b"Wed,17 JUL 1996 02:23:25 PDT", GRAY),
        (b"  Wed, 17\r\n Jul 1996\t02:23:25 (a) -0700", GRAY),
        (b"Wednesday, 17-Jul-96 02:23:25 -0700", GRAY),
        (b"Wed, 17 July 1996 02:23:25 -07:00", GRAY),
        (b"Wed, 17 Jul 1996 2.23.25 -0700", GRAY),
        (b"Wed Jul 17 02:23:25 1996", Instant(837595405 - 420 * 60, 0)),
        (b"Wed Jul 17 02:23:25 PDT 1996", GRAY),
        (b"Wed Jul 17 1996 02:23:25 -0700", GRAY),
        (b"17 Jul 1996 02:23 -0700", Instant(837595380, -420)),
        (b"17 Jul 1996 02:23:25", Instant(837595405 - 420 * 60, 0)),
        (b"17 Jul 1996 02:23:25 -0000", Instant(837595405 - 420 * 60, 0)),
        (b"17 Jul 1996 02:23:25 A", Instant(837595405 - 420 * 60, 0)),
        (b"17 Jul 1996 02:23:25 -9959", Instant(837595405 - 420 * 60, 0)),
        # RFC 5322 Appendix A
        (b"Fri, 21 Nov 1997 09:55:06 -0600", Instant(880127706, -360)),
        (b"Thu, 13 Feb 1969 23:32 -0330", Instant(-27723480, -210)),
        (
            b"Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n               -0330 (Newfoundland Time)",
            Instant(-27723480, -210),
        ),
        (b"21 Nov 97 09:55:06 GMT", Instant(880106106, 0)),
        (b"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", Instant(880127706, -360)),
        (b"1 Jan 00 00:00:00 +0000", Instant(946684800, 0)),
        (b"31 Dec 49 23:59:59 GMT", Instant(2524607999, 0)),
        (b"1 Jan 50 00:00:00 GMT", Instant(-631152000, 0)),
        (b"1 Jan 100 00:00:00 +0000", Instant(946684800, 0)),
        (b"31 Dec 1998 23:59:60 +0000", Instant(915148800, 0)),
        (b"30 Feb 2000 00:00:00 +0000", None),
        (b"1 Foo 2000 00:00:00 +0000", None),
        (b"1 Jan 2000 24:00:00 +0000", None),
        (b"1 Jan 2000 00:60:00 +0000", None),
        (b"1 Jan 99999 00:00:00 +0000", None),
        (b"0 Jan 2000 00:00:00 +0000", None),
        (b"yesterday", None),
        (b"", None),
        (b"\xff\0", None),
    ],
)
def test_dateFieldIsRead(value: bytes, expected: Instant | None) -> None:
    assert parseDate(value) == expected


INSTANTS = st.builds(Instant, st.integers(-62_000_000_000, 253_000_000_000), st.integers(-1439, 1439))


@given(INSTANTS)
def test_internalDateIsReadAsWritten(instant: Instant) -> None:
    assert parseInternalDate(formatInternalDate(*instant)) == instant


@given(INSTANTS)
def test_dateFieldIsReadAsWritten(instant: Instant) -> None:
    assert parseDate(formatDate(*instant)) == instant


@given(st.integers(0, 4_000_000_000), st.integers(-1439, 1439))
def test_dateFieldIsWrittenAsCPythonDoes(epochSeconds: int, zoneMinutes: int) -> None:
    moment = datetime.fromtimestamp(epochSeconds, timezone(timedelta(minutes=zoneMinutes)))
    standard = email.utils.format_datetime(moment).encode()
    day = b"%d" % moment.day
    assert formatDate(epochSeconds, zoneMinutes) == standard.replace(b", 0" + day, b", " + day)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)), st.integers(-1439, 1439))
def test_dateFieldIsReadAsCPythonDoes(moment: datetime, zoneMinutes: int) -> None:
    moment = moment.replace(tzinfo=timezone(timedelta(minutes=zoneMinutes)), microsecond=0)
    found = parseDate(email.utils.format_datetime(moment).encode())
    assert found == Instant(int(moment.timestamp()), zoneMinutes)
    assert found is not None and found.day == moment.date().toordinal() - date(1970, 1, 1).toordinal()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"17-Jul-1996 02:23:25 -0700", GRAY),
        (b" 1-Jan-1970 00:00:00 +0000", Instant(0, 0)),
        (b"01-JAN-1970 00:00:00 +0000", Instant(0, 0)),
        (b"1-Jan-1970 00:00:00 +0000", Instant(0, 0)),
        (b" 1-Jan-1970 00:00:00 GMT", None),
        (b"31-Feb-1996 00:00:00 +0000", None),
        (b"17-Jul-1996 02:23:25 +0060", None),
        (b"17-Jul-1996 02:23:25 +2400", None),
        (b"17-Jul-1996 02:23:25 +0000 ", None),
        (b"17-Jul-1996 02:23:25 +0000\n", None),
        (b'"17-Jul-1996 02:23:25 +0000"', None),
        (b"17-Jul-0000 02:23:25 +0000", None),
        (b"", None),
    ],
)
def test_internalDateIsReadStrictlyButForTheSpaceBeforeOneDigit(
    text: bytes, expected: Instant | None
) -> None:
    assert parseInternalDate(text) == expected


def test_internalDateIsWritten() -> None:
    assert formatInternalDate(GRAY.epochSeconds, -420) == b"17-Jul-1996 02:23:25 -0700"
    assert formatInternalDate(0) == b" 1-Jan-1970 00:00:00 +0000"
    assert formatInternalDate(-1, 330) == b" 1-Jan-1970 05:29:59 +0530"


@pytest.mark.parametrize("epochSeconds", [-(10**18), 10**18])
def test_timesBeyondTheCalendarAreStillWritten(epochSeconds: int) -> None:
    assert parseInternalDate(formatInternalDate(epochSeconds)) is not None
    assert parseDate(formatDate(epochSeconds)) is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"1-Jan-1970", 0),
        (b"01-jan-1970", 0),
        (b"1-Feb-1994", (datetime(1994, 2, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days),
        (b"31-Dec-1969", -1),
        (b"29-Feb-1900", None),
        (b"001-Jan-1970", None),
        (b"1-Jan-70", None),
        (b"1 Jan 1970", None),
        (b"", None),
    ],
)
def test_searchDateIsRead(text: bytes, expected: int | None) -> None:
    assert parseSearchDate(text) == expected


@given(
    st.one_of(
        st.binary(),
        st.lists(
            st.sampled_from(
                [
                    b"1",
                    b"17",
                    b"Jul",
                    b"1996",
                    b"02:23",
                    b":",
                    b"-",
                    b"+",
                    b" ",
                    b"(",
                    b")",
                    b"9999",
                    b"+9999",
                    b"Wed,",
                ]
            )
        ).map(b" ".join),
    )
)
def test_anyOctetsAreADateOrNone(value: bytes) -> None:
    for instant in (parseDate(value), parseInternalDate(value)):
        if instant is not None:
            assert abs(instant.zoneMinutes) < 1440
            assert parseInternalDate(formatInternalDate(*instant)) is not None
    parseSearchDate(value)
