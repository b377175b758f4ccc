"""The node's client sessions: who is connected, with bounds on how many (config [limits]); that of a user counts sessions at other nodes, too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count

from zope.interface import implementer

from jindimail.errors import TooManySessions
from jindimail.interfaces import ISessions
from jindimail.networks import network

CROWD_PART = 8  # with so many parts of a user's bound at one node, the other nodes are told


def _nothing() -> None:
    """The disconnect of a session that has none yet."""


class Session:
    """One client connection, as `jindictl sessions` shows it."""

    __slots__ = ("_registry", "activity", "disconnect", "id", "peer", "protocol", "startedSeconds", "user")

    def __init__(self, registry: Sessions, number: int, protocol: str, peer: str, seconds: int) -> None:
        self.id = f"{registry.prefix}{number:x}"
        self.protocol = protocol
        self.peer = peer
        self.user = ""
        self.activity = "connected"
        self.startedSeconds = seconds
        self.disconnect: Callable[[], None] = _nothing
        self._registry = registry

    def login(self, user: str) -> None:
        """
        The session is a user's from now on.

        @raise TooManySessions: the user has as many as one may have.
        """
        self._registry.loggedIn(self, user)

    def end(self) -> None:
        """The connection is over; harmless twice."""
        self._registry.ended(self)


@implementer(ISessions)
class Sessions:
    """
    All sessions of this node, bounded in total, per peer address (of IPv6: per /64, whose addresses are one customer's) and per user. Who comes by a
    local socket, whose rights say who may, has no address and no bound per peer.

    @ivar elsewhere: how many of a user are known to be at other nodes.
    @ivar crowdChanged: is called when `crowds` are others.
    """

    def __init__(
        self,
        *,
        seconds: Callable[[], float],
        sessionsMax: int,
        sessionsPerPeerMax: int,
        sessionsPerUserMax: int = 100,
        prefix: str = "",
    ) -> None:
        self.prefix = prefix
        self.elsewhere: Callable[[str], int] = lambda user: 0
        self.crowdChanged: Callable[[], object] = _nothing
        self._seconds = seconds
        self._sessionsMax = sessionsMax
        self._sessionsPerPeerMax = sessionsPerPeerMax
        self._sessionsPerUserMax = sessionsPerUserMax
        self._numbers = count(1)
        self._sessions: dict[str, Session] = {}
        self._peers: Counter[str] = Counter()
        self._users: Counter[str] = Counter()

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(tuple(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)

    def isThere(self, name: str) -> bool:
        """Whether a session of this node is not over, by its id."""
        return name in self._sessions

    def bound(self, sessionsMax: int, sessionsPerPeerMax: int, sessionsPerUserMax: int) -> None:
        """Other bounds, for sessions that come from now on."""
        self._sessionsMax = sessionsMax
        self._sessionsPerPeerMax = sessionsPerPeerMax
        self._sessionsPerUserMax = sessionsPerUserMax
        self.crowdChanged()

    def admit(self, protocol: str, peer: str) -> Session | None:
        """A new session, or None when the node or this peer has too many."""
        isCrowded = bool(peer) and self._peers[network(peer)] >= self._sessionsPerPeerMax
        if len(self._sessions) >= self._sessionsMax or isCrowded:
            return None
        session = Session(self, next(self._numbers), protocol, peer, int(self._seconds()))
        self._sessions[session.id] = session
        self._peers[network(peer)] += 1
        return session

    def loggedIn(self, session: Session, user: str) -> None:
        """A session becomes a user's; see `Session.login`."""
        others = self._users[user] - (session.user == user)
        if others + self.elsewhere(user) >= self._sessionsPerUserMax:
            raise TooManySessions
        if session.id in self._sessions:
            self._lessOf(session.user)
            session.user = user
            self._users[user] += 1
            if self._users[user] >= self._crowd:
                self.crowdChanged()

    @property
    def _crowd(self) -> int:
        return max(1, self._sessionsPerUserMax // CROWD_PART)

    def crowds(self) -> dict[str, int]:
        """How many each user has here who has enough of them for other nodes to know."""
        return {user: count for user, count in self._users.items() if count >= self._crowd}

    def _lessOf(self, user: str) -> None:
        if self._users[user] >= self._crowd:
            self.crowdChanged()
        _countOut(self._users, user)

    def ended(self, session: Session) -> None:
        """Forget a session."""
        if self._sessions.pop(session.id, None) is None:
            return
        _countOut(self._peers, network(session.peer))
        self._lessOf(session.user)


def _countOut(counts: Counter[str], name: str) -> None:
    counts[name] -= 1
    if counts[name] <= 0:
        del counts[name]
