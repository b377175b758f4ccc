"""
Perspective Broker as node links use it: basic types only, one root object a connection, no exceptions on the wire.

Whatever breaks these rules ends the connection: a peer that does so has a certificate of this array, and a bug.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger
from twisted.spread import pb
from twisted.spread.jelly import SecurityOptions
from zope.interface import implementer

from jindimail.cluster.banana import NOT_BASIC, Decoder, Violation, encode, jelly, unjelly
from jindimail.errors import ProtocolError

SECURITY = SecurityOptions()
SECURITY.allowBasicTypes()

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
        """Jelly a value, quickly if it is one of those that links send."""
        quick = jelly(object)
        if quick is not NOT_BASIC:
            return quick
        return pb.Broker.serialize(self, object, perspective, method, args, kw)

    def unserialize(self, sexp: Any, perspective: Any = None) -> Any:
        """A value of basic types; None, and the end of the connection, for anything else."""
        quick = unjelly(sexp)
        if quick is not NOT_BASIC:
            return quick
        try:
            return pb.Broker.unserialize(self, sexp, perspective)
        except Exception as problem:
            self.violated(type(problem).__name__)
            return None

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
    factory: Any = _Server(_RootFactory(root), security=SECURITY)  # type: ignore[no-untyped-call]
    broker: Broker = factory.buildProtocol(None)
    return broker


def clientBroker(ready: Callable[[pb.RemoteReference], object]) -> Broker:
    """The dialling side of one connection; `ready` is given the other side's root when both have begun."""
    factory: Any = _Client(security=SECURITY)  # type: ignore[no-untyped-call]
    broker: Broker = factory.buildProtocol(None)
    factory.getRootObject().addCallbacks(ready, lambda _: None)
    return broker
