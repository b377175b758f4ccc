"""How many failed logins a peer and an account may have: token buckets, bounded in number. Pure."""

from __future__ import annotations

from collections import OrderedDict

from jindimail.networks import network

PEER_BURST, PEER_PER_SECOND = 20, 1 / 15
USER_BURST, USER_PER_SECOND = 60, 1 / 10
DEBT_MAX = 256.0  # as many as can be looked at together: guessing at once is no quicker than guessing in turn
TRACKED_MAX = 50_000


class _Buckets:
    """Token buckets by name; the least recently used are forgotten first."""

    def __init__(self, burst: float, perSecond: float) -> None:
        self._burst = burst
        self._perSecond = perSecond
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def level(self, name: str, seconds: float) -> float:
        """How many failures are left."""
        level, since = self._levels.get(name, (self._burst, seconds))
        return min(self._burst, level + (seconds - since) * self._perSecond)

    def take(self, name: str, seconds: float) -> None:
        """One failure; those that were tried at once make a debt."""
        self._levels[name] = (max(-DEBT_MAX, self.level(name, seconds) - 1), seconds)
        self._levels.move_to_end(name)
        if len(self._levels) > TRACKED_MAX:
            self._levels.popitem(last=False)


class Attempts:
    """Failed logins by peer network and by user name."""

    def __init__(self) -> None:
        self._peers = _Buckets(PEER_BURST, PEER_PER_SECOND)
        self._users = _Buckets(USER_BURST, USER_PER_SECOND)

    def mayTry(self, peer: str, user: str, seconds: float) -> bool:
        """Whether another attempt is looked at."""
        return self._peers.level(network(peer), seconds) >= 1 and self._users.level(user, seconds) >= 1

    def failed(self, peer: str, user: str, seconds: float) -> None:
        """An attempt failed."""
        self._peers.take(network(peer), seconds)
        self._users.take(user, seconds)
