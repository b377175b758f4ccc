"""
What this node has shown, was answered or had committed of each group: what it reads later must not be older.

Pure. Deliveries may lag at a node that did not make them committed (docs/adr/0051); they are kept apart, so that who only looks up
recipients need not wait for the mail that came in before.
"""

from __future__ import annotations


class Seen:
    """Applied indexes, by group; 0: nothing was seen."""

    def __init__(self) -> None:
        self._indexes: dict[int, int] = {}
        self._lagging: dict[int, int] = {}

    def index(self, group: int, *, mayLag: bool = False) -> int:
        """What has to be applied where the group is read, with (or, if they may lag, without) this node's deliveries."""
        seen = self._indexes.get(group, 0)
        return seen if mayLag else max(seen, self._lagging.get(group, 0))

    def saw(self, group: int, index: int, *, mayLag: bool = False) -> None:
        """Something was true of this applied index: of a delivery, if it may lag."""
        indexes = self._lagging if mayLag else self._indexes
        if index > indexes.get(group, 0):
            indexes[group] = index

    def confirmed(self, group: int, index: int) -> None:
        """
        A majority confirmed that nothing acknowledged is above this index, though more was seen.

        So the group was founded anew by force, from what survived: what was seen is forgotten.
        """
        self._indexes[group] = index
        self._lagging.pop(group, None)
