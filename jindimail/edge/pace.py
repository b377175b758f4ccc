"""The pace that a client must keep: a single octet is no sign of life. Pure."""

from __future__ import annotations

from typing import Final

OCTETS_PER_SECOND_MIN: Final = 500


class Pace:
    """
    Whether octets that make no whole command come in fast enough to be waited for.

    Who sends them one by one, to hold a connection, gets no more time by them than who sends none.
    """

    __slots__ = ("_enoughOctets", "_octets")

    def __init__(self, seconds: float) -> None:
        """`seconds` is what a client may take without a word."""
        self._enoughOctets = seconds * OCTETS_PER_SECOND_MIN
        self._octets = 0

    def isKept(self, octets: int) -> bool:
        """Whether, with these, enough have come in since that was so."""
        self._octets += octets
        if self._octets < self._enoughOctets:
            return False
        self._octets = 0
        return True
