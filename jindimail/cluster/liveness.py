"""
Who is up and who is down, as the leader of the array's own group judges by what it hears (design §5: down after about 2 s). Pure.

A node that comes and goes is believed later each time. A leader that was paused itself knows nothing of others: it begins to listen
anew, as one does that was just elected.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from jindimail.cluster.arrayrecords import DOWN, JOINING, UP

DOWN_SECONDS = 2.0  # of silence
GAP_SECONDS = 0.5  # a node that is silent for longer is not heard without a break
UP_SECONDS = 1.0  # without a break, before a node is up again
UP_SECONDS_MAX = 30.0
CALM_SECONDS = 120.0  # after which a node's earlier falls are forgotten
PAUSE_SECONDS = 1.0  # between two looks: this node was paused


class _Known:
    """What is remembered of one node."""

    __slots__ = ("fallenAt", "falls", "heardSince")

    def __init__(self, now: float) -> None:
        self.heardSince = now
        self.fallenAt = now
        self.falls = 0


class Liveness:
    """One leader's judgement."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._begunAt: float | None = None
        self._lookedAt = 0.0

    def reset(self) -> None:
        """This node does not lead (any more)."""
        self._begunAt = None

    def look(
        self,
        now: float,
        states: Mapping[int, str],
        silences: Mapping[int, float],
        unheard: Mapping[int, float],
        current: Collection[int],
    ) -> dict[int, str]:
        """
        The states that are to change, by node.

        @param silences: for how long each node has not been heard, less what lag explains.
        @param unheard: the same, whatever explains it: lag excuses a silence, but nobody is up who was not heard.
        @param current: the nodes that have about all of group 0's log.
        """
        if self._begunAt is None or now - self._lookedAt > PAUSE_SECONDS or now < self._lookedAt:
            self._begunAt = now
            for known in self._known.values():
                known.heardSince = now
        self._lookedAt = now
        verdicts: dict[int, str] = {}
        for node, state in states.items():
            verdict = self._judge(now, node, state, silences[node], unheard[node], node in current)
            if verdict is not None:
                verdicts[node] = verdict
        return verdicts

    def _judge(
        self, now: float, node: int, state: str, silence: float, unheard: float, isCurrent: bool
    ) -> str | None:
        assert self._begunAt is not None
        known = self._known.setdefault(node, _Known(now))
        if silence > GAP_SECONDS:
            known.heardSince = now
        if known.falls and now - known.fallenAt > CALM_SECONDS:
            known.falls = 0
        if state == UP and min(silence, now - self._begunAt) >= DOWN_SECONDS:
            known.falls += 1
            known.fallenAt = now
            return DOWN
        wait = min(UP_SECONDS_MAX, UP_SECONDS * 2.0 ** max(0, known.falls - 1))
        heardFor = now - known.heardSince
        if state in (DOWN, JOINING) and isCurrent and heardFor >= wait and unheard < heardFor:
            return UP
        return None
