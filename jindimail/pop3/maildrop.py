"""
The maildrop: the messages of INBOX as they were at the login, numbered for one session (RFC 1939 §4). Pure.

A message takes 64 octets here: a maildrop of 100,000 messages takes 6.4 MB.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Iterator
from typing import Final

from jindimail.errors import ProtocolError, Refusal
from jindimail.model import UidSet
from jindimail.store.records import MessageRow, packRow, unpackRow

_LISTED_AT_ONCE: Final = 2000
_NUMBER_DIGITS_MAX: Final = 10
_DELETED, _VANISHED = 1, 2
_UNDELETE: Final = bytes(mark & ~_DELETED for mark in range(256))


class BadNumber(ProtocolError):
    """An argument that must be a number is none."""

    pop3Text = "bad number"


class NoSuchMessage(Refusal):
    """The message number is beyond the maildrop, the message is marked as deleted, or another session removed it."""

    pop3Code = ""
    pop3Text = "no such message"


def number(argument: bytes) -> int:
    """
    A decimal number as RFC 1939 §3 has it: digits and nothing else.

    @raise BadNumber: it is none, or far beyond any maildrop.
    """
    if not argument.isdigit() or len(argument) > _NUMBER_DIGITS_MAX:
        raise BadNumber
    return int(argument)


class Maildrop:
    """The numbered messages, with those marked as deleted. `count` and `octets` are without the deleted ones."""

    def __init__(self, uidValidity: int, rows: Iterable[MessageRow]) -> None:
        packed = bytearray()
        self._uids = array("I")
        self._sizes = array("Q")
        for row in rows:
            packed += packRow(row)
            self._uids.append(row.uid)
            self._sizes.append(row.size)
        self._uidValidity = uidValidity
        self._packed = bytes(packed)
        self._packedOctets = len(packed) // len(self._uids) if self._uids else 0
        self._marks = bytearray(len(self._uids))
        self._restore()

    def row(self, argument: bytes) -> MessageRow:
        """
        The row of a message by its number.

        @raise BadNumber, NoSuchMessage
        """
        index = self._index(argument)
        if self._marks[index] & _VANISHED:
            raise NoSuchMessage
        start = index * self._packedOctets
        return unpackRow(self._uids[index], self._packed[start : start + self._packedOctets])

    def delete(self, argument: bytes) -> None:
        """Mark a message as deleted (RFC 1939 §5, DELE)."""
        index = self._index(argument)
        self._marks[index] |= _DELETED
        self.count -= 1
        self.octets -= self._sizes[index]

    def reset(self) -> None:
        """Unmark all (RFC 1939 §5, RSET)."""
        if self.count < len(self._uids):
            self._marks = self._marks.translate(_UNDELETE)
            self._restore()

    @property
    def deletedCount(self) -> int:
        """How many messages are marked as deleted."""
        return len(self._uids) - self.count

    def deletedUids(self) -> UidSet:
        """The UIDs of the messages marked as deleted."""
        return UidSet.of(uid for uid, mark in zip(self._uids, self._marks, strict=True) if mark & _DELETED)

    def vanish(self, uids: UidSet) -> None:
        """Another session removed these: they keep their numbers, and cannot be read any more."""
        for low, high in uids.ranges:
            for index in range(bisect_left(self._uids, low), bisect_right(self._uids, high)):
                self._marks[index] |= _VANISHED

    def keepOnly(self, uids: Container[int]) -> None:
        """All but these were removed by other sessions."""
        for index, uid in enumerate(self._uids):
            if uid not in uids:
                self._marks[index] |= _VANISHED

    def listing(self, argument: bytes) -> bytes:
        """A message's scan listing (RFC 1939 §5, LIST)."""
        index = self._index(argument)
        return b"%d %d" % (index + 1, self._sizes[index])

    def uniqueId(self, argument: bytes) -> bytes:
        """A message's unique-id listing (RFC 1939 §7, UIDL): the same in every session, for ever."""
        index = self._index(argument)
        return b"%d %d.%d" % (index + 1, self._uidValidity, self._uids[index])

    def listings(self) -> Iterator[bytes]:
        """All scan listings, as lines in pieces of bounded size."""
        for indices in self._indices():
            yield b"".join(b"%d %d\r\n" % (index + 1, self._sizes[index]) for index in indices)

    def uniqueIds(self) -> Iterator[bytes]:
        """All unique-id listings, as lines in pieces of bounded size."""
        for indices in self._indices():
            yield b"".join(
                b"%d %d.%d\r\n" % (index + 1, self._uidValidity, self._uids[index]) for index in indices
            )

    def _indices(self) -> Iterator[list[int]]:
        for start in range(0, len(self._uids), _LISTED_AT_ONCE):
            stop = min(start + _LISTED_AT_ONCE, len(self._uids))
            yield [index for index in range(start, stop) if not self._marks[index] & _DELETED]

    def _index(self, argument: bytes) -> int:
        index = number(argument) - 1
        if not 0 <= index < len(self._uids) or self._marks[index] & _DELETED:
            raise NoSuchMessage
        return index

    def _restore(self) -> None:
        self.count = len(self._uids)
        self.octets = sum(self._sizes)
