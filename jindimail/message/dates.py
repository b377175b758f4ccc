"""Dates and times of mail, read and written by arithmetic alone: no clock, no locale.

Times are whole seconds since 1970 (UTC) with the zone in minutes east of it; days are counted from 1970-01-01.
"""

import re
from datetime import date
from typing import Final, NamedTuple

_MONTHS: Final = (
    b"Jan",
    b"Feb",
    b"Mar",
    b"Apr",
    b"May",
    b"Jun",
    b"Jul",
    b"Aug",
    b"Sep",
    b"Oct",
    b"Nov",
    b"Dec",
)
_MONTH_NUMBER: Final = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}
_WEEKDAYS: Final = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_ZONES: Final = {
    b"ut": 0, b"gmt": 0, b"utc": 0, b"z": 0, b"est": -300, b"edt": -240, b"cst": -360, b"cdt": -300,
    b"mst": -420, b"mdt": -360, b"pst": -480, b"pdt": -420, b"cet": 60, b"cest": 120, b"bst": 60,
}  # fmt: skip
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_LAST_DAY: Final = date.max.toordinal()
_FIELD_OCTETS_MAX: Final = 256

_COMMENT = re.compile(rb"\([^()]*+\)")
_FIELD = re.compile(
    rb"(?:[a-z]{3,9}\.?[ ,]+)?(\d{1,2})[ -]+([a-z]{3})[a-z]*\.?,?[ -]+(\d{2,5})"
    rb"[ ,]+(\d{1,2}) ?[:.] ?(\d{1,2})(?: ?[:.] ?(\d{1,2})(?:[.,]\d+)?)?(?: ?([+-]\d{4}|[+-]\d\d:\d\d|[a-z]{1,5}))?"
)
_CTIME = re.compile(
    rb"(?:[a-z]{3,9}[ ,]+)?([a-z]{3})[a-z]*\.? (\d{1,2}),? (?:(\d{4}) )?(\d{1,2}):(\d\d)(?::(\d\d))?"
    rb"(?: ([+-]\d{4}|[a-z]{1,5}))?(?: (\d{4}))?"
)
_INTERNAL = re.compile(rb"([ \d]?\d)-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)")
_SEARCH = re.compile(rb"(\d{1,2})-([A-Za-z]{3})-(\d{4})")


class Instant(NamedTuple):
    """A point in time and the zone it was written in."""

    epochSeconds: int
    zoneMinutes: int

    @property
    def day(self) -> int:
        """The day as written, whatever the zone: what SENTON and ON compare (RFC 9051 §6.4.4)."""
        return (self.epochSeconds + 60 * self.zoneMinutes) // 86400


def parseDate(value: bytes) -> Instant | None:
    """The instant in a Date field (RFC 5322 §3.3, obsolete §4.3, and common errors), or None."""
    text = value[:_FIELD_OCTETS_MAX].lower()
    if b"(" in text:
        text = _COMMENT.sub(b" ", text)
    text = b" ".join(text.split())
    match = _FIELD.match(text)
    if match:
        day, month, year, hour, minute, second, zone = match.groups()
        return _instant(_year(year), month, day, hour, minute, second, _zoneMinutes(zone))
    match = _CTIME.match(text)
    if match:
        month, day, early, hour, minute, second, zone, late = match.groups()
        if early or late:
            return _instant(int(early or late), month, day, hour, minute, second, _zoneMinutes(zone))
    return None


def _year(digits: bytes) -> int:
    """RFC 5322 §4.3: two digits below 50 are 20xx; other two or three digits count from 1900."""
    year = int(digits)
    if len(digits) == 2 and year < 50:
        return 2000 + year
    return 1900 + year if len(digits) < 4 else year


def _zoneMinutes(zone: bytes | None) -> int:
    if not zone:
        return 0
    if zone[:1] in b"+-":
        digits = zone[1:].replace(b":", b"")
        minutes = int(digits[:2]) * 60 + int(digits[2:])
        return 0 if minutes >= 1440 else -minutes if zone[:1] == b"-" else minutes
    return _ZONES.get(zone, 0)


def _instant(
    year: int, month: bytes, day: bytes, hour: bytes, minute: bytes, second: bytes | None, zoneMinutes: int
) -> Instant | None:
    days = _days(year, month, int(day))
    seconds = int(second or 0)
    if days is None or int(hour) > 23 or int(minute) > 59 or seconds > 60:
        return None
    return Instant(days * 86400 + int(hour) * 3600 + (int(minute) - zoneMinutes) * 60 + seconds, zoneMinutes)


def _days(year: int, month: bytes, day: int) -> int | None:
    number = _MONTH_NUMBER.get(month.lower())
    if number is None:
        return None
    try:
        return date(year, number, day).toordinal() - _EPOCH_DAY
    except ValueError:
        return None


def parseInternalDate(text: bytes) -> Instant | None:
    """
    The instant in an IMAP date-time without its quotes, `17-Jul-1996 02:44:25 -0700`, or None (RFC 9051 §9).

    A day of one digit need not have the space before it: Apple's Mail forgets it.
    """
    match = _INTERNAL.fullmatch(text)
    if match is None:
        return None
    day, month, year, hour, minute, second, sign, zoneHour, zoneMinute = match.groups()
    zoneMinutes = int(zoneHour) * 60 + int(zoneMinute)
    if int(zoneMinute) > 59 or zoneMinutes >= 1440:
        return None
    return _instant(
        int(year), month, day, hour, minute, second, -zoneMinutes if sign == b"-" else zoneMinutes
    )


def parseSearchDate(text: bytes) -> int | None:
    """The day that an IMAP search date without quotes, `1-Feb-1994`, names; None if it names none."""
    match = _SEARCH.fullmatch(text)
    return None if match is None else _days(int(match[3]), match[2], int(match[1]))


def formatInternalDate(epochSeconds: int, zoneMinutes: int = 0) -> bytes:
    """An IMAP date-time without its quotes: ` 7-Jul-1996 02:44:25 -0700`."""
    day, clock, zone = _local(epochSeconds, zoneMinutes)
    return b"%2d-%b-%04d %b %b" % (day.day, _MONTHS[day.month - 1], day.year, clock, zone)


def formatDate(epochSeconds: int, zoneMinutes: int = 0) -> bytes:
    """A date-time of RFC 5322 §3.3: `Wed, 17 Jul 1996 02:44:25 -0700`."""
    day, clock, zone = _local(epochSeconds, zoneMinutes)
    weekday, month = _WEEKDAYS[day.weekday()], _MONTHS[day.month - 1]
    return b"%b, %d %b %04d %b %b" % (weekday, day.day, month, day.year, clock, zone)


def _local(epochSeconds: int, zoneMinutes: int) -> tuple[date, bytes, bytes]:
    """Day, `hh:mm:ss` and `+zzzz`; a time outside the years 1 to 9999 is moved to their edge."""
    days, seconds = divmod(epochSeconds + zoneMinutes * 60, 86400)
    day = date.fromordinal(min(max(days + _EPOCH_DAY, 1), _LAST_DAY))
    minutes, second = divmod(seconds, 60)
    zone = b"%c%02d%02d" % (b"-" if zoneMinutes < 0 else b"+", *divmod(abs(zoneMinutes), 60))
    return day, b"%02d:%02d:%02d" % (*divmod(minutes, 60), second), zone
