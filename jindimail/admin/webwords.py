"""Numbers, times and amounts as the status page writes them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from jindimail.admin.webhistory import SLOT_SECONDS, Classes, Slot, share

ENDING_SECONDS = 14 * 86_400


def timeText(seconds: float) -> str:
    """A moment, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def isoText(seconds: float) -> str:
    """A moment as machines read it (RFC 3339)."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")


def endingText(endsSeconds: float | None, seconds: float) -> str:
    """That something ends within two weeks, or has ended; nothing of what lasts longer, or for ever."""
    if endsSeconds is None or endsSeconds - seconds > ENDING_SECONDS:
        return ""
    return f"{'ends' if endsSeconds > seconds else 'ended'} at {timeText(endsSeconds)} UTC"


def countText(number: int, noun: str) -> str:
    """So many of something."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def numberText(value: float) -> str:
    """A number with as many digits as matter."""
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def rateText(slots: Sequence[Slot]) -> str:
    """Messages filed a second, over some slots."""
    return numberText(sum(slot.filed for slot in slots) / (len(slots) * SLOT_SECONDS))


def secondsText(value: float) -> str:
    """A time."""
    if value >= 1:
        return f"{value:.1f} s"
    return f"{value * 1000:.0f} ms" if value >= 0.01 else f"{value * 1000:.1f} ms"


def shareText(classes: Iterable[Classes], part: float) -> str:
    """The time within which this part of what was counted was done; a dash for nothing."""
    value = share(classes, part)
    return secondsText(value) if value else "–"


def octetsText(octets: int) -> str:
    """An amount of storage."""
    value, unit = float(octets), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"


def durationText(seconds: int) -> str:
    """A long time, roughly."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
