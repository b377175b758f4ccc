"""
The configurations that stand in a replica's log.

Pure. The latest is in force, committed or not; when the log is cut, the one before it is again (dissertation §4.1).
"""

from __future__ import annotations

from jindimail.replication.configuration import Configuration


class ConfigurationHistory:
    """Configurations by the index of their entries; the first is the one in force at the applied index."""

    __slots__ = ("_places",)

    def __init__(self, index: int, configuration: Configuration) -> None:
        self._places = [(index, configuration)]

    @property
    def latest(self) -> Configuration:
        """The configuration in force."""
        return self._places[-1][1]

    @property
    def latestIndex(self) -> int:
        """The index of its entry."""
        return self._places[-1][0]

    def at(self, index: int) -> tuple[int, Configuration]:
        """(index, configuration) of the last one at or before a place that is not before the applied index."""
        for place in reversed(self._places):
            if place[0] <= index:
                return place
        return self._places[0]

    def add(self, index: int, configuration: Configuration) -> None:
        """A configuration's entry now stands at the log's end."""
        assert index > self.latestIndex, "configurations come in the order of the log"
        self._places.append((index, configuration))

    def cut(self, index: int) -> bool:
        """The log was cut from `index` on; whether that took a configuration back."""
        before = len(self._places)
        while len(self._places) > 1 and self._places[-1][0] >= index:
            self._places.pop()
        return len(self._places) < before

    def forgetBefore(self, index: int) -> None:
        """Everything up to `index` is applied: only the last configuration up to there is still needed."""
        while len(self._places) > 1 and self._places[1][0] <= index:
            self._places.pop(0)
