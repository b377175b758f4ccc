"""What has been so for some time, by a clock that nobody sets, each time that it was looked at. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable


class Lasting:
    """
    Of many things, whether something has been so for long enough.

    Those that nobody looks at any more are forgotten in time.
    """

    def __init__(self, *, steady: Callable[[], float], seconds: float) -> None:
        """
        @param steady: a clock that nobody sets.
        @param seconds: for how long it must have been so.
        """
        self._steady = steady
        self._needed = seconds
        self._since: dict[Hashable, tuple[float, float]] = {}  # the first and the last time
        self._forgotAt = steady()

    def holds(self, what: Hashable, isSo: bool) -> bool:
        """It is so now, or is not; whether it has been for long enough."""
        now = self._steady()
        if now - self._forgotAt > self._needed:
            self._forgotAt = now
            self._since = {
                each: times for each, times in self._since.items() if now - times[1] <= self._needed
            }
        if not isSo:
            self._since.pop(what, None)
            return False
        first, last = self._since.get(what, (now, now))
        if now - last > self._needed:  # nobody looked meanwhile
            first = now
        self._since[what] = first, now
        return now - first >= self._needed
