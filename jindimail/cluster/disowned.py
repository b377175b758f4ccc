"""
Whether the array knows this node no more, as far as other nodes' refusals tell (docs/adr/0020): a node that was removed while it could not be reached has rows that say otherwise.

Pure. Nodes that cannot be reached say nothing, or one that is dead for good would let a removed node take clients for ever whom it has nothing
to give. A node that has just joined may not be known yet where the array's own group is late, which is not so at most of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from jindimail.cluster.hello import CHANNELS, Reason

UNKNOWN_SECONDS = 10.0


class Disowned:
    """For how long most others have refused this node."""

    def __init__(self) -> None:
        self._since: float | None = None

    def look(self, troubles: Sequence[Collection[str]], now: float) -> bool:
        """
        Whether it is so by now; to be asked every few seconds.

        @param troubles: for each other node, why there is no connection, by channel; less than two of them where there is one.
        """
        isKnown = any(len(trouble) < len(CHANNELS) for trouble in troubles)
        refusals = sum(set(trouble) == {Reason.UNKNOWN_NODE.name} for trouble in troubles)
        if isKnown or 2 * refusals <= len(troubles):
            self._since = None
        elif self._since is None:
            self._since = now
        return self._since is not None and now - self._since >= UNKNOWN_SECONDS
