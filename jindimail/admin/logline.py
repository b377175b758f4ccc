"""
The lines of the log, made quickly.

Twisted's own formatting takes 30 microseconds a line, most of them to allow for formats that we do not write. Lines of plain fields are made
here, in the same form; everything else (failures, other formats, other people's events) goes to what was there before.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from string import Formatter
from typing import Any

from twisted.logger import FileLogObserver, LogPublisher

_FORMATS_MAX = 512

Line = Callable[[dict[str, Any]], str | None]
_Shape = tuple[str, tuple[str, ...]] | None  # for %, and the fields that it takes; None: not plain


def quicken(publisher: LogPublisher) -> None:
    """Have those of a publisher's observers that write text to files make their lines here."""
    for observer in publisher._observers:
        if type(observer) is FileLogObserver and not isinstance(observer.formatEvent, QuickLine):
            observer.formatEvent = QuickLine(observer.formatEvent)


class QuickLine:
    """Makes `2026-01-02T03:04:05+0000 [namespace#level] text` of an event, as `textFileLogObserver` does."""

    def __init__(self, slowly: Line) -> None:
        self._slowly = slowly
        self._shapes: dict[tuple[Any, ...], _Shape] = {}
        self._second = -1
        self._stamp = ""

    def __call__(self, event: dict[str, Any]) -> str | None:
        """The line with its end."""
        if "log_failure" in event or "log_system" in event:
            return self._slowly(event)
        try:
            key = (event["log_format"], event["log_namespace"], event["log_level"].name)
            shape = self._shapes[key] if key in self._shapes else self._learn(key)
            if shape is None:
                return self._slowly(event)
            template, fields = shape
            text = template % tuple([event[field] for field in fields])
            seconds = event["log_time"]
        except Exception:  # not an event of ours, or one with an error in it: that shall be told
            return self._slowly(event)
        if int(seconds) != self._second:
            self._second = int(seconds)
            self._stamp = _stampOf(self._second)
        if "\n" in text:
            text = text.replace("\n", "\n\t")
        return f"{self._stamp} {text}\n"

    def _learn(self, key: tuple[Any, ...]) -> _Shape:
        shape = _shapeOf(*key)
        if len(self._shapes) < _FORMATS_MAX:
            self._shapes[key] = shape
        return shape


def _shapeOf(format: str | None, namespace: str, level: str) -> _Shape:
    if not isinstance(format, str) or not format:
        return None
    template = f"[{namespace}#{level}] ".replace("%", "%%")
    fields: list[str] = []
    for literal, field, spec, conversion in Formatter().parse(format):
        template += literal.replace("%", "%%")
        if field is None:
            continue
        if not field.isidentifier() or spec or conversion:
            return None
        template += "%s"
        fields.append(field)
    return template, tuple(fields)


def _stampOf(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%dT%H:%M:%S%z")
