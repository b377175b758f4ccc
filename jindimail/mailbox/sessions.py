"""The node's client sessions: who is connected, with bounds on how many (RFC-less; config [limits])."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from zope.interface import implementer

from jindimail.interfaces import ISessions


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

    def end(self) -> None:
        """The connection is over; harmless twice."""
        self._registry.ended(self)


@implementer(ISessions)
class Sessions:
    """All sessions of this node, bounded in total and per peer address."""

    def __init__(
        self, *, seconds: Callable[[], float], sessionsMax: int, sessionsPerPeerMax: int, prefix: str = ""
    ) -> None:
        self.prefix = prefix
        self._seconds = seconds
        self._sessionsMax = sessionsMax
        self._sessionsPerPeerMax = sessionsPerPeerMax
        self._numbers = count(1)
        self._sessions: dict[str, Session] = {}
        self._peers: dict[str, int] = {}

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(tuple(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)

    def bound(self, sessionsMax: int, sessionsPerPeerMax: int) -> None:
        """Other bounds, for sessions admitted from now on."""
        self._sessionsMax = sessionsMax
        self._sessionsPerPeerMax = sessionsPerPeerMax

    def admit(self, protocol: str, peer: str) -> Session | None:
        """A new session, or None when the node or this peer has too many."""
        ofPeer = self._peers.get(peer, 0)
        if len(self._sessions) >= self._sessionsMax or ofPeer >= self._sessionsPerPeerMax:
            return None
        session = Session(self, next(self._numbers), protocol, peer, int(self._seconds()))
        self._sessions[session.id] = session
        self._peers[peer] = ofPeer + 1
        return session

    def ended(self, session: Session) -> None:
        """Forget a session."""
        if self._sessions.pop(session.id, None) is None:
            return
        left = self._peers[session.peer] - 1
        if left:
            self._peers[session.peer] = left
        else:
            del self._peers[session.peer]
