"""
Whether enough of a group's members are heard for it to be of any use to wait for an answer (design §10: a minority says so soon).

Members of a group exchange heartbeats; a node without a replica of it only knows whether its links are up, which takes longer to notice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Protocol

from jindimail.interfaces import ILinks

SILENT_SECONDS = 2.0  # as long as it takes until a node is down for the array


class IHearing(Protocol):
    """This node's share in the groups."""

    def leaderOf(self, group: int) -> int | None:
        """The node that leads a group, as far as is known here."""
        ...

    def appliedIndex(self, group: int) -> int:
        """See `IGroups`."""
        ...

    def silenceSeconds(self, node: int) -> float:
        """For how long nothing has been heard of a node; infinite if it never was."""
        ...


class Hearing:
    """What this node hears of groups."""

    def __init__(
        self,
        *,
        links: ILinks,
        groups: IHearing,
        membersOf: Callable[[int], Sequence[int]],
        votersOf: Callable[[int], Sequence[int]],
    ) -> None:
        """@param membersOf, votersOf: of a group, as the array's own group has it."""
        self._links = links
        self._groups = groups
        self._membersOf = membersOf
        self._votersOf = votersOf

    def mayAgree(self, group: int) -> bool:
        """Whether a group may have a leader that can be reached: another node that is heard, or so many voters are that they can elect one."""
        leader = self._groups.leaderOf(group)
        if leader and leader != self._links.node and self._isHeard(group, leader):
            return True
        voters = self._votersOf(group)
        return 2 * sum(self._isHeard(group, node) for node in voters) > len(voters)

    def mayAnswer(self, group: int) -> bool:
        """Whether any member is there that may answer a query from its rows."""
        return any(self._isHeard(group, node) for node in self._membersOf(group))

    def _isHeard(self, group: int, node: int) -> bool:
        if node == self._links.node:
            return True
        if not self._links.isUp(node):
            return False
        # Of a node that had nothing to say yet, only that its links are up is known: members that lead nothing do not speak to each other.
        isNeighbour = bool(self._groups.appliedIndex(group))
        return not (isNeighbour and SILENT_SECONDS < self._groups.silenceSeconds(node) < inf)
