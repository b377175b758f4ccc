"""
Perspective Broker as node links use it: basic types only, one root object a connection, no exceptions on the wire.

Twisted's `SecurityOptions` are not relied on: whatever they allow, a class that anybody in the process has registered for unjellying
under a name with a dot is made from what comes in. Here nothing is ever unjellied but bytes, integers, tuples and lists.

Whatever breaks these rules ends the connection: a peer that does so has a certificate of this array, and a bug.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.spread import pb
from twisted.spread.jelly import InsecureJelly
from zope.interface import implementer

from jindimail.cluster.banana import NOT_BASIC, Decoder, Violation, encode, jelly, unjelly
from jindimail.errors import ProtocolError

Method = Callable[..., Any]


class Broker(pb.Broker):
    """A broker that hangs up on what it may not unserialize, and on errors, which nobody sends here."""

    log = Logger()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        pb.Broker.__init__(self, *arguments, **options)
        self._decoder = Decoder()
        self._isOver = False

    def dataReceived(self, data: bytes) -> None:
        """See IProtocol; `banana` says why not as Twisted does."""
        if self._isOver:
            return
        try:
            expressions = self._decoder.feed(data)
        except Violation as violation:
            self.violated(str(violation))
            return
        broker: Any = self
        for expression in expressions:
            if self._isOver:
                break
            try:
                broker.callExpressionReceived(expression)
            except Exception as problem:  # of Twisted's broker, for what it does not expect
                self.violated(type(problem).__name__)

    def sendEncoded(self, value: Any) -> None:
        """See `twisted.spread.banana.Banana`."""
        try:
            octets = encode(value, self.currentDialect == b"pb")
        except TypeError:
            pb.Broker.sendEncoded(self, value)
        else:
            transport: Any = self.transport
            transport.write(octets)

    def serialize(
        self, object: Any, perspective: Any = None, method: Any = None, args: Any = None, kw: Any = None
    ) -> Any:
        """
        Jelly a value.

        @raise InsecureJelly: it is not of bytes, integers, tuples and lists.
        """
        if isinstance(object, Deferred):
            return pb.Broker.serialize(self, object, perspective, method, args, kw)
        jellied = jelly(object)
        if jellied is NOT_BASIC:
            raise InsecureJelly("links carry bytes, integers, tuples and lists")
        return jellied

    def unserialize(self, sexp: Any, perspective: Any = None) -> Any:
        """A value of bytes, integers, tuples and lists; None, and the end of the connection, for anything else."""
        value = unjelly(sexp)
        if value is NOT_BASIC:
            self.violated("jelly")
            return None
        return value

    def proto_error(self, requestID: Any, fail: Any) -> None:
        """An answer that is no answer; who waits for it learns that from the end of the connection."""
        self.violated("error")

    def proto_didNotUnderstand(self, command: Any) -> None:
        """The peer did not understand a command."""
        self.violated("didNotUnderstand")

    def violated(self, what: str) -> None:
        """Hang up."""
        self._isOver = True
        self.log.warn("a node does not keep to the protocol ({what}), the connection ends", what=what)
        transport: Any = self.transport
        transport.abortConnection()


class Root:
    """The only object that a peer can call: a table of methods, whose arguments they check themselves."""

    def __init__(self, methods: dict[str, Method]) -> None:
        self._methods = methods

    def remoteMessageReceived(self, broker: Any, message: str, args: Any, kw: Any) -> Any:
        """See `twisted.spread.flavors.IReferenceable`. A method refuses what it does not understand by ProtocolError."""
        arguments = broker.unserialize(args)
        method = self._methods.get(message)
        if type(arguments) is not tuple or method is None:
            broker.violated(message[:20])
            raise pb.Error("refused")
        try:
            answer = method(*arguments)
        except (ProtocolError, TypeError) as problem:
            broker.violated(message)
            raise pb.Error("refused") from problem
        return broker.serialize(answer)


@implementer(pb.IPBRoot)
class _RootFactory:
    def __init__(self, root: Root) -> None:
        self._root = root

    def rootObject(self, broker: pb.Broker) -> Root:
        return self._root


class _Server(pb.PBServerFactory):
    protocol = Broker


class _Client(pb.PBClientFactory):
    protocol = Broker
    noisy = False


def serverBroker(root: Root) -> Broker:
    """The accepting side of one connection."""
    factory: Any = _Server(_RootFactory(root))  # type: ignore[no-untyped-call]
    broker: Broker = factory.buildProtocol(None)
    return broker


def clientBroker(ready: Callable[[pb.RemoteReference], object]) -> Broker:
    """The dialling side of one connection; `ready` is given the other side's root when both have begun."""
    factory: Any = _Client()  # type: ignore[no-untyped-call]
    broker: Broker = factory.buildProtocol(None)
    factory.getRootObject().addCallbacks(ready, lambda _: None)
    return broker
