"""
What operators ask of the array, and nodes that join or renew: use-cases over its own group (design §9).

Each works at any node: entries go to group 0's leader, wherever that is.
"""

from __future__ import annotations

from dataclasses import dataclass

from jindimail.cluster.entrance import Entrance


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """
    What a forced recovery will lose, or has lost.

    @ivar groups: that cannot form a majority and are founded anew here, with the index of what survives.
    @ivar hopeless: groups without any surviving replica within reach.
    @ivar nodes: that are given up for good.
    """

    groups: dict[int, int]
    hopeless: tuple[int, ...]
    nodes: tuple[int, ...]


class Operations(Entrance):
    """
    `share.operations`.

    All are coroutines; they raise `NotAllowed` (with a reason for operators) and `Unavailable`.
    """

    async def drain(self, node: int) -> None:
        """Empty a node; it is gone by itself when it holds nothing any more. `undrain` takes it back until then."""
        raise NotImplementedError

    async def undrain(self, node: int) -> None:
        """A node that was to be emptied stays."""
        raise NotImplementedError

    async def remove(self, node: int) -> None:
        """A node that is dead for good: what it had is replaced at once, and it may never come back."""
        raise NotImplementedError

    async def setWeight(self, node: int, weight: int) -> None:
        """How much a node shall bear; 100 is usual, 0 makes a witness of one that holds nothing yet."""
        raise NotImplementedError

    async def setSetting(self, name: str, value: int) -> None:
        """One of `settings.ArraySettings`."""
        raise NotImplementedError

    async def foreseen(self, lost: tuple[int, ...]) -> Loss:
        """What `recover` would do if these nodes never came back: to be shown before it is asked for."""
        raise NotImplementedError

    async def recover(self, lost: tuple[int, ...]) -> Loss:
        """
        Forced: found every group anew that lost its majority with these nodes, from the most advanced replica within reach.

        What only the lost nodes had is lost. Mailboxes of these buckets get new UIDVALIDITYs.
        """
        raise NotImplementedError
