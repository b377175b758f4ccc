"""
The web listener: metrics, health and readiness for machines, and the console for people (`[listen] web` and `webs`).

`/health` and `/ready` are open to whoever reaches the port, `/metrics` to whoever reaches `web`: they tell numbers and states, nobody's address or mail. `webs` may stand on
the public side, so `/metrics` needs a login there, but from this machine.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.web.server import Site

from jindimail.admin import webmetrics
from jindimail.admin.livenode import LiveNode
from jindimail.admin.webconsole import Console
from jindimail.admin.weblogin import Logins
from jindimail.admin.webready import whyNotReady
from jindimail.admin.webrequest import (
    JSON,
    REQUEST_SECONDS,
    TEXT,
    Answer,
    Asked,
    BoundedRequest,
    Channel,
    Page,
    Root,
)
from jindimail.admin.websight import Sight
from jindimail.edge.connections import Connections
from jindimail.edge.peers import peerOf
from jindimail.networks import network

CONNECTIONS_MAX = 256
CONNECTIONS_PER_PEER_MAX = 64


class WebSite(Connections[Channel], Site):
    """
    The site of a node.

    There is no access log: logins are logged by who checks them, and the rest is asked for every few seconds.
    """

    noisy = False
    requestFactory = BoundedRequest
    protocol = Channel  # type: ignore[assignment]

    def __init__(self, root: Root, reactor: IReactorTime) -> None:
        Connections.__init__(self)
        Site.__init__(self, root, timeout=REQUEST_SECONDS, reactor=reactor, parsePOSTFormSubmission=False)
        self._ofPeer: Counter[str] = Counter()

    def startFactory(self) -> None:
        """No log to open."""

    def stopFactory(self) -> None:
        """No log to close."""

    def log(self, request: Any) -> None:
        """No access log."""

    def buildProtocol(self, addr: IAddress | None) -> Channel | None:  # type: ignore[override]
        """A connection, unless there are too many, or the node stops."""
        peer = network(peerOf(addr).address)
        isFull = len(self._connections) >= CONNECTIONS_MAX
        if self.isLeaving or isFull or self._ofPeer[peer] >= CONNECTIONS_PER_PEER_MAX:
            return None
        channel: Channel = Site.buildProtocol(self, addr)
        channel.peer = peer
        self._ofPeer[peer] += 1
        return self.added(channel)

    def connectionEnded(self, connection: Channel) -> None:
        """A connection is lost."""
        self._ofPeer[connection.peer] -= 1
        self._ofPeer += Counter()  # without those that have none left
        Connections.connectionEnded(self, connection)


class Machines:
    """The pages for machines."""

    def __init__(self, node: LiveNode, logins: Logins) -> None:
        self._node = node
        self._logins = logins

    async def metrics(self, asked: Asked) -> Answer:
        """Prometheus' text format."""
        isPublic = asked.isSecure and not asked.peer.isLoopback
        if isPublic and await self._logins.session(asked) is None:
            return Answer(code=401, contentType=TEXT, octets=b"log in, or scrape [listen] web\n")
        return Answer(contentType=webmetrics.CONTENT_TYPE, octets=webmetrics.exposition(self._node))

    async def health(self, asked: Asked) -> Answer:
        """The process lives, and its loop turns: whether it serves is another question."""
        return _told(200, {"state": self._node.state, "hearsMajority": self._node.hearsMajority})

    async def ready(self, asked: Asked) -> Answer:
        """Whether clients should be sent here."""
        reason = whyNotReady(self._node)
        if reason is None:
            return _told(200, {"ready": True})
        return _told(503, {"ready": False, "reason": reason})


def _told(code: int, what: dict[str, Any]) -> Answer:
    return Answer(code=code, contentType=JSON, octets=json.dumps(what).encode() + b"\n")


def webFactory(node: LiveNode, sight: Sight, *, reactor: IReactorTime) -> WebSite:
    """The site of a node; where TLS is spoken, the listener puts it around."""
    logins = Logins(
        nodeName=node.configuration.node.name,
        checker=node.checker,
        directory=node.directory,
        seconds=reactor.seconds,
    )
    machines = Machines(node, logins)
    console = Console(nodeName=node.configuration.node.name, logins=logins, sight=sight)
    pages = console.pages() | {
        "metrics": Page(GET=machines.metrics),
        "health": Page(GET=machines.health),
        "ready": Page(GET=machines.ready),
    }
    return WebSite(Root(pages), reactor)
