"""The credentials that the edges hand to the portal (`twisted.cred`)."""

from __future__ import annotations

from twisted.cred.credentials import ICredentials
from zope.interface import Attribute, implementer


class IPeerPassword(ICredentials):
    """A user name and password, and where they came from."""

    username = Attribute("bytes, UTF-8")
    password = Attribute("bytes")
    peer = Attribute("The peer's address (str), for the rate limit.")
    mayLag = Attribute("Whether it suffices what this node knows of the account, where no majority answers.")


@implementer(IPeerPassword)
class PeerPassword:
    """
    A user name and password with the peer's address, which the checker's rate limit needs.

    `portal.login(PeerPassword(…), None, IAccount)` fires with `(IAccount, account, logout)`, or fails with
    `errors.AuthenticationFailed`, `TooManyAttempts`, `UserDisabled` or `Unavailable`.
    """

    __slots__ = ("mayLag", "password", "peer", "username")

    def __init__(self, username: bytes, password: bytes, peer: str, *, mayLag: bool = False) -> None:
        self.username = username
        self.password = password
        self.peer = peer
        self.mayLag = mayLag

    def __repr__(self) -> str:
        return f"<PeerPassword of {self.username!r} from {self.peer}>"
