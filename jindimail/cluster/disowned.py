"""
Whether the array knows this node no more, as far as other nodes' refusals tell (docs/adr/0020): a node that was removed while it could not be reached has rows that say otherwise.

Pure. Who has it in its records that this node was given up is believed alone, since that is never taken back: nodes that were given up by force (`cluster recover`) and live after all may be
a majority among themselves, and must not go on as another half of the array. Who merely does not know it may be late, and it may have just joined, which is not so at most of them; nodes that cannot be
reached say nothing, or one that is dead for good would let a removed node take clients for ever whom it has nothing to give.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from jindimail.cluster.hello import CHANNELS, Reason

UNKNOWN_SECONDS = 10.0


def isGivenUp(troubles: Sequence[Collection[str]]) -> bool:
    """Whether another node says that this one was given up for good; see `Disowned.look`."""
    return any(Reason.GONE.name in trouble for trouble in troubles)


class Disowned:
    """Whether this node is refused for good, and for how long most others do not know it."""

    def __init__(self) -> None:
        self._since: float | None = None

    def look(self, troubles: Sequence[Collection[str]], now: float) -> bool:
        """
        Whether it is so by now; to be asked every few seconds.

        @param troubles: for each other node, why there is no connection, by channel; less than two of them where there is one.
        """
        if isGivenUp(troubles):
            return True
        isKnown = any(len(trouble) < len(CHANNELS) for trouble in troubles)
        refusals = sum(set(trouble) == {Reason.UNKNOWN_NODE.name} for trouble in troubles)
        if isKnown or 2 * refusals <= len(troubles):
            self._since = None
        elif self._since is None:
            self._since = now
        return self._since is not None and now - self._since >= UNKNOWN_SECONDS
