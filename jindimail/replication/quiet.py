"""
Sets of quiet groups with a digest, kept up to date as groups come and go.

Pure. The digest is the exclusive or of a hash of each group's place, so that both sides can keep it without going through
all groups; equal sets have equal digests.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from struct import Struct

from jindimail.replication.nodemessages import QuietGroup

_PLACE = Struct(">HQQQ")


def _hash(quiet: QuietGroup) -> int:
    place = _PLACE.pack(quiet.group, quiet.leader, quiet.term, quiet.commit)
    return int.from_bytes(blake2b(place, digest_size=8).digest(), "big")


class QuietGroups:
    """The quiet groups that one node leads and another shares, as one of the two sees them."""

    __slots__ = ("_digest", "_groups")

    def __init__(self) -> None:
        self._groups: dict[int, tuple[QuietGroup, int]] = {}
        self._digest = 0

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[QuietGroup]:
        return iter([quiet for quiet, _ in self._groups.values()])

    def __contains__(self, group: object) -> bool:
        return group in self._groups

    @property
    def digest(self) -> bytes:
        """The digest of all of them."""
        return self._digest.to_bytes(8, "big")

    def get(self, group: int) -> QuietGroup | None:
        """A group's place, if it is quiet."""
        found = self._groups.get(group)
        return found[0] if found else None

    def add(self, quiet: QuietGroup) -> None:
        """A group is quiet at this place."""
        self.discard(quiet.group)
        hashed = _hash(quiet)
        self._groups[quiet.group] = quiet, hashed
        self._digest ^= hashed

    def discard(self, group: int) -> bool:
        """A group is not quiet; whether it was."""
        found = self._groups.pop(group, None)
        if found is None:
            return False
        self._digest ^= found[1]
        return True
