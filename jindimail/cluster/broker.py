"""
Perspective Broker as node links use it: basic types only, one root object a connection, no exceptions on the wire.

Twisted's `SecurityOptions` are not relied on: whatever they allow, a class that anybody in the process has registered for unjellying
under a name with a dot is made from what comes in. Here nothing is ever unjellied but bytes, integers, tuples and lists.

Whatever breaks these rules ends the connection: a peer that does so has a certificate of this array, and a bug.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.spread import pb
from twisted.spread.jelly import InsecureJelly

from jindimail.cluster.banana import NOT_BASIC, Decoder, Violation, encode, jelly, unjelly
from jindimail.errors import ProtocolError

ROOT = b"root"
_NO_NAMES = [b"dictionary"]  # of arguments

Method = Callable[..., Any]


class Broker(pb.Broker):
    """
    A broker that hangs up on what it may not unserialize, and on errors, which nobody sends here.

    Its one object is the root: a table of methods, which check their arguments themselves.
    """

    log = Logger()

    def __init__(
        self,
        methods: Mapping[bytes, Method],
        ready: Callable[[pb.RemoteReference], object] | None = None,
    ) -> None:
        """
        @param methods: what the peer may call; each refuses what it does not understand by ProtocolError.
        @param ready: this is the dialling side, and is given the other's root when both have begun.
        """
        pb.Broker.__init__(self, isClient=ready is not None)
        self._methods = methods
        self._ready = ready
        self._decoder = Decoder()
        self._isOver = False

    def connectionReady(self) -> None:
        """See `twisted.spread.banana.Banana`; there is no factory that would have to be told."""
        self.sendCall(b"version", self.version)  # type: ignore[no-untyped-call]
        if self._ready is not None:
            self._ready(self.remoteForName(ROOT))  # type: ignore[no-untyped-call]

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

    def expressionReceived(self, sexp: Any) -> None:
        """See `pb.Broker`; nearly all are messages, and come in without a detour."""
        if type(sexp) is list and len(sexp) == 7 and sexp[0] == b"message":
            self.proto_message(*sexp[1:])
        else:
            pb.Broker.expressionReceived(self, sexp)

    def proto_message(
        self, requestID: Any, objectID: Any, message: Any, answerRequired: Any, netArgs: Any, netKw: Any
    ) -> None:
        """See `pb.Broker`: a call of the root's method."""
        arguments = unjelly(netArgs)
        method = self._methods.get(message) if type(message) is bytes and objectID == ROOT else None
        if method is None or type(arguments) is not tuple or netKw != _NO_NAMES:
            self.violated("message")
            return
        try:
            answer = method(*arguments)
        except (ProtocolError, TypeError):
            self.violated(message.decode("ascii"))
            return
        if not answerRequired:
            return
        broker: Any = self
        if isinstance(answer, Deferred):
            answer.addCallback(self.serialize)
            answer.addCallbacks(broker._sendAnswer, lambda _: self.violated("answer"), (requestID,))
        else:
            broker._sendAnswer(self.serialize(answer), requestID)

    def tell(self, method: bytes, strings: list[bytes]) -> None:
        """Call a method of the peer's root with byte strings; no answer is wanted. What `callRemote` sends, for half of the work."""
        message = (
            b"message",
            self.newRequestID(),  # type: ignore[no-untyped-call]
            ROOT,
            method,
            0,
            (b"tuple", (b"list", *strings)),
            _NO_NAMES,
        )
        transport: Any = self.transport
        transport.write(encode(message, True))

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
