"""Lines made quickly are the lines that Twisted makes."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from twisted.logger import FileLogObserver, Logger, LogLevel, LogPublisher, textFileLogObserver
from twisted.python.failure import Failure

from jindimail.admin.logline import QuickLine, quicken

_PLAIN = {"log_namespace": "jindimail.smtp", "log_level": LogLevel.info, "log_time": 1_700_000_000.75}


def _line(event: dict[str, Any]) -> tuple[str | None, str | None]:
    """An event's line as made quickly, and as Twisted makes it."""
    slowly = textFileLogObserver(StringIO()).formatEvent
    quick = QuickLine(slowly)
    quick(dict(event))  # the second time it is known
    return quick(dict(event)), slowly(dict(event))


@pytest.mark.parametrize(
    "event",
    [
        _PLAIN | {"log_format": "nothing to fill in"},
        _PLAIN | {"log_format": "{session}: {octets} octets", "session": "s1", "octets": 12},
        _PLAIN | {"log_format": "100 % of {what}, {{braces}}", "what": "%s {x}"},
        _PLAIN | {"log_format": "{what}", "what": b"octets"},
        _PLAIN | {"log_format": "{what}", "what": None},
        _PLAIN | {"log_format": "{what}", "what": "two\nlines"},
        _PLAIN | {"log_format": "{what!r} and {what}", "what": "quoted"},
        _PLAIN | {"log_format": "{share:.1f} %", "share": 1.25},
        _PLAIN | {"log_format": "{call()}", "call": lambda: "called"},
        _PLAIN | {"log_format": "{what.real}", "what": 3},
        _PLAIN | {"log_format": "{missing}"},
        _PLAIN | {"log_format": "{", "x": 1},
        _PLAIN | {"log_format": None},
        _PLAIN | {"log_format": "{x}", "x": 1, "log_system": "old"},
        _PLAIN | {"log_format": "{x}", "x": 1, "log_level": LogLevel.critical, "log_time": 1_700_000_001.0},
        {"log_format": "{x}", "x": 1},
        {},
    ],
)
def test_theLineIsTheSame(event: dict[str, Any]) -> None:
    made, expected = _line(event)
    assert made == expected


def test_aFailureKeepsItsTraceback() -> None:
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        made, expected = _line(_PLAIN | {"log_format": "it broke", "log_failure": Failure()})
    assert made == expected
    assert made is not None and "Traceback" in made


def test_theStampFollowsTheClock() -> None:
    quick = QuickLine(lambda event: None)
    lines = [
        quick(_PLAIN | {"log_format": "x", "log_time": seconds})
        for seconds in (1_700_000_000.0, 1_700_000_061.9)
    ]
    assert len({(line or "").split()[0] for line in lines}) == 2


def test_onlyObserversThatWriteTextAreQuickened() -> None:
    out = StringIO()
    seen: list[Any] = []
    publisher = LogPublisher(textFileLogObserver(out), seen.append)
    quicken(publisher)
    Logger(namespace="here", observer=publisher).info("hello {name}", name="you")
    observer = publisher._observers[0]
    assert isinstance(observer, FileLogObserver) and isinstance(observer.formatEvent, QuickLine)
    assert out.getvalue().endswith(" [here#info] hello you\n")
    assert len(seen) == 1
