"""
The links of a node to all others: Perspective Broker over mutual TLS (design §5, §9; docs/adr/0013-node-links.md).

Each node dials each other on two channels, control and data, and uses what it has dialled for what it sends and asks; what others
have dialled carries what they send and ask. So no connection is shared and nothing has to be agreed on, and a hello that
comes in is the sign to dial back at once. The certificate says who the peer is; the hello, which life of it this is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from zope.interface import implementer

from jindimail.cluster.acquaintance import Acquaintance
from jindimail.cluster.answerers import Answerer, Answerers
from jindimail.cluster.authority import Credentials, Identity, NotOurs, identityOf
from jindimail.cluster.broker import Broker
from jindimail.cluster.contexts import JOIN, LINK, Contexts, peerChain
from jindimail.cluster.dial import Dial
from jindimail.cluster.door import Door, Doors
from jindimail.cluster.hello import CONTROL, Hello, Reason, Unwelcome, judgeHello
from jindimail.cluster.incoming import Incoming
from jindimail.cluster.peer import Peer, PeerLinks, PeerStatus
from jindimail.cluster.pulse import Pulse
from jindimail.errors import Unavailable
from jindimail.interfaces import ILinks, INodeLink

LOOK_SECONDS = 0.5
AWAY_SECONDS = 2.0  # between two looks: this node was paused
INCOMING_SILENCE_SECONDS = 15.0  # others mark once a second

Took = Callable[[int, list[bytes]], object]


@implementer(INodeLink)
class _Link:
    """The link to a node that may come and go."""

    __slots__ = ("_links", "_node")

    def __init__(self, links: Links, node: int) -> None:
        self._links = links
        self._node = node

    def send(self, messages: list[bytes]) -> None:
        """See `INodeLink`."""
        self._links.send(self._node, messages)

    def sendBulk(self, messages: list[bytes]) -> None:
        """See `PeerLinks.sendBulk`."""
        self._links.sendBulk(self._node, messages)


@implementer(ILinks)
class Links:
    """
    All links of this node.

    @ivar factory: what to listen with; it speaks TLS itself.
    """

    log = Logger()

    def __init__(
        self,
        *,
        clock: IReactorTime,
        mine: Hello,
        credentials: Credentials,
        endpoint: Callable[[str], IStreamClientEndpoint],
        draw: Callable[[int, int], int],
        joining: Callable[[Door], Protocol | None] | None = None,
        acquaintance: Acquaintance | None = None,
    ) -> None:
        """
        @param mine: this node's hello (array, number, incarnation, a life drawn anew).
        @param endpoint: an endpoint that connects to an address (`host:port`), with a time-out of its own or without.
        @param draw: gives an integer between its arguments, both included.
        @param joining: makes the protocol for a node that has no certificate yet (`joining.Inviter`).
        @param acquaintance: what this node has met before; nobody, if it is not given.
        """
        self._clock = clock
        self._mine = mine
        self._endpoint = endpoint
        self._draw = draw
        self._joining = joining
        self._contexts = Contexts(credentials)
        self._peers: dict[int, PeerLinks] = {}
        self._gone: Collection[int] = ()
        self._incoming: dict[tuple[int, int], Incoming] = {}
        self._acquaintance = acquaintance or Acquaintance()
        self._answerers = Answerers()
        self._took: list[Took] = [lambda node, messages: None] * 2
        self._listeners: list[Callable[[int, bool], object]] = []
        self._isUp: dict[int, bool] = {}
        self._running = False
        self._pulse = Pulse(clock, LOOK_SECONDS, self._look)
        self._lookedAt = clock.seconds()
        self.factory = Doors(clock, self._contexts, self._enter)
        self.node = mine.node

    # --- life

    def start(self) -> None:
        """Keep connections to all peers from now on."""
        self._running = True
        self._lookedAt = self._clock.seconds()
        self._pulse.start()
        for links in self._peers.values():
            links.start()

    def stop(self) -> None:
        """End all connections. Who listens has to stop listening."""
        self._running = False
        self._pulse.stop()
        for links in self._peers.values():
            links.stop()
        self.factory.hangUp()

    def renew(self, credentials: Credentials) -> None:
        """
        Speak with a new certificate from now on; connections that are up stay as they are.

        @raise ConfigError: it cannot be used; the old one stays.
        """
        self._contexts.renew(credentials)

    # --- who there is

    def setPeers(self, peers: Iterable[Peer], gone: Collection[int] = ()) -> None:
        """
        All other nodes that this node shall have links to, and shall accept. Others' connections end.

        @param gone: of these, those that are told that they were given up for good.
        """
        self._gone = gone
        wanted = {peer.node: peer for peer in peers if peer.node != self.node and peer.addresses}
        for node in set(self._peers) - set(wanted):
            self._peers.pop(node).stop()
            self._changed(node)
            self._hangUp(node)
        for node, peer in wanted.items():
            if node in self._peers:
                self._peers[node].moved(peer)
            else:
                self._add(peer)

    def _add(self, peer: Peer) -> None:
        links = self._peers[peer.node] = PeerLinks(
            peer,
            clock=self._clock,
            dial=self._dial,
            endpoint=self._endpoint,
            draw=self._draw,
            changed=self._changed,
        )
        if self._running:
            links.start()

    def incarnationOf(self, node: int) -> int:
        """The latest incarnation of a node that was seen; -1 for none."""
        return self._acquaintance.incarnation(node)

    def told(self, node: int, incarnation: int, commits: int) -> None:
        """A node said how many commits its store has seen in this life."""
        self._acquaintance.told(node, incarnation, commits)

    def isUp(self, node: int) -> bool:
        """See `ILinks`."""
        links = self._peers.get(node)
        return links is not None and links.isUp

    def peers(self) -> tuple[PeerStatus, ...]:
        """What there is to say of each peer."""
        return tuple(
            self._peers[node].status(self._acquaintance.incarnation(node)) for node in sorted(self._peers)
        )

    def listen(self, listener: Callable[[int, bool], object]) -> None:
        """See `ILinks`."""
        self._listeners.append(listener)

    def _changed(self, node: int) -> None:
        isUp = self.isUp(node)
        if self._isUp.get(node, False) != isUp:
            self._isUp[node] = isUp
            if not isUp:
                self._acquaintance.parted(node)
            for listener in self._listeners:
                listener(node, isUp)

    # --- what is sent and asked

    def link(self, node: int) -> INodeLink:
        """The link to a node, known yet or not (`Groups(link=...)`)."""
        return _Link(self, node)

    def send(self, node: int, messages: list[bytes]) -> None:
        """See `ILinks`."""
        links = self._peers.get(node)
        if links is not None:
            links.send(messages)

    def sendBulk(self, node: int, messages: list[bytes]) -> None:
        """See `ILinks`."""
        links = self._peers.get(node)
        if links is not None:
            links.sendBulk(messages)

    def call(self, node: int, method: str, payload: bytes, deadlineSeconds: float) -> Deferred[bytes]:
        """See `ILinks`."""
        if node == self.node:
            return self._answerers.answer(node, method, payload, deadlineSeconds)
        links = self._peers.get(node)
        if links is None:
            return fail(Unavailable("no such node"))
        return links.call(method, payload, deadlineSeconds)

    def serve(self, method: str, answerer: Answerer) -> None:
        """See `ILinks`."""
        self._answerers.serve(method, answerer)

    def attend(self, took: Took, tookBulk: Took) -> None:
        """See `ILinks`."""
        self._took = [took, tookBulk]

    # --- both sides of a hello

    def _dial(self, peer: Peer, channel: int) -> Dial:
        return Dial(
            clock=self._clock,
            contexts=self._contexts,
            channel=channel,
            mine=self._mine,
            believe=partial(self._believe, peer),
        )

    def _believe(self, peer: Peer, identity: Identity, hello: Hello) -> int:
        level = judgeHello(self._mine, hello, identity)
        if (identity.node, identity.name) != (peer.node, peer.name):
            raise Unwelcome(Reason.WRONG_NODE)
        self._acquaintance.meet(hello)
        return level

    def _enter(self, door: Door) -> Broker | Protocol | None:
        protocol = door.tls.selected_alpn_protocol()
        if protocol == JOIN and self._joining is not None:
            return self._joining(door)
        try:
            identity = identityOf(peerChain(door.tls)[0])
        except (NotOurs, IndexError):
            return None
        if protocol != LINK:
            return None
        return Incoming(clock=self._clock, door=door, identity=identity, host=self).broker

    def greet(self, incoming: Incoming, hello: Hello) -> Hello:
        """See `IsHost`."""
        links = self._peers.get(hello.node)
        judgeHello(self._mine, hello, incoming.identity)
        if links is None:
            raise Unwelcome(Reason.GONE if hello.node in self._gone else Reason.UNKNOWN_NODE)
        isNew = self._acquaintance.isNew(hello)
        self._believe(links.peer, incoming.identity, hello)
        key = hello.node, incoming.channel
        old = self._incoming.get(key)
        self._incoming[key] = incoming
        incoming.whenOver(lambda: self._ended(key, incoming))
        if old is not None:
            old.hangUp()
        if isNew:
            links.drop()  # what is connected to its former life is dead, noticed or not
        links.told(hello.addresses)
        links.poke()
        return self._mine

    def took(self, node: int, channel: int, messages: list[bytes]) -> None:
        """See `IsHost`."""
        took = self._took[0 if channel == CONTROL else 1]
        try:
            took(node, messages)
        except Exception:  # what is wrong with one message must not cost the connection
            self.log.failure("messages of node {node} failed", node=node)

    def answer(self, node: int, method: str, payload: bytes, seconds: float) -> Deferred[bytes]:
        """See `IsHost`."""
        return self._answerers.answer(node, method, payload, seconds)

    def _ended(self, key: tuple[int, int], incoming: Incoming) -> None:
        if self._incoming.get(key) is incoming:
            del self._incoming[key]

    # --- time

    def _look(self) -> None:
        now = self._clock.seconds()
        wasAway = not 0 <= now - self._lookedAt <= AWAY_SECONDS
        self._lookedAt = now
        for links in list(self._peers.values()):
            links.look(now, wasAway)
        for incoming in list(self._incoming.values()):
            if wasAway:
                incoming.heardAt = now
            elif now - incoming.heardAt > INCOMING_SILENCE_SECONDS:
                incoming.hangUp()

    def _hangUp(self, node: int) -> None:
        for (other, _), incoming in list(self._incoming.items()):
            if other == node:
                incoming.hangUp()
