"""
Which recipients have a message already whose sender was told to send it again. Pure.

SMTP has one answer for all recipients. When one of them could not be served (over quota, say), the sender is asked to try again, lest
the message be lost for that one; what it then sends is told by its sender and content, and those who have it are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

keepSeconds: Final = 6 * 86400
"""Longer than senders try (RFC 5321 §4.5.4.1: four to five days)."""

addressesMax: Final = 50_000
"""Addresses remembered in all; the oldest messages are forgotten first, at the cost of a second copy."""

Key = tuple[str, bytes]
"""The sender's address and the digest of the content as it came in."""


class PartlyFiled:
    """A bounded memory of messages that were filed for some of their recipients only."""

    def __init__(self) -> None:
        self._messages: dict[Key, tuple[float, frozenset[str]]] = {}
        self._addresses = 0

    def __bool__(self) -> bool:
        return bool(self._messages)

    def recipientsOf(self, key: Key, seconds: float) -> frozenset[str]:
        """The addresses that the message is filed for, as of now."""
        since, addresses = self._messages.get(key, (seconds, frozenset()))
        return addresses if seconds - since < keepSeconds else frozenset()

    def remember(self, key: Key, addresses: Iterable[str], seconds: float) -> None:
        """The message is filed for these addresses, but their sender was told to send it again."""
        self._set(key, seconds, self.recipientsOf(key, seconds).union(addresses))
        while self._addresses > addressesMax:
            self._set(next(iter(self._messages)), seconds, frozenset())

    def forget(self, key: Key, addresses: Iterable[str]) -> None:
        """The sender was told that the message is filed for these addresses, and will not send it to them again."""
        known = self._messages.get(key)
        if known is not None:
            since, kept = known
            self._set(key, since, kept.difference(addresses))

    def _set(self, key: Key, seconds: float, addresses: frozenset[str]) -> None:
        known = self._messages.pop(key, None)
        if known is not None:
            self._addresses -= len(known[1])
        if addresses:
            self._messages[key] = (seconds, addresses)
            self._addresses += len(addresses)
