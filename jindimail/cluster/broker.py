"""
Perspective Broker as node links use it: basic types only, one root object a connection, no exceptions on the wire.

Twisted's `SecurityOptions` are not relied on: whatever they allow, a class that anybody in the process has registered for unjellying
under a name with a dot is made from what comes in. Here nothing is ever unjellied but bytes, integers, tuples and lists.

Whatever breaks these rules ends the connection: a peer that does so has a certificate of this array, and a bug.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.spread import pb
from twisted.spread.jelly import InsecureJelly

from jindimail.cluster import phrases
from jindimail.cluster.banana import NOT_BASIC, Decoder, Violation, encode, jelly, unjelly
from jindimail.cluster.phrases import ROOT
from jindimail.errors import ProtocolError

_NO_NAMES = [b"dictionary"]  # of arguments
_REQUESTS = 2**31 - 1

Method = Callable[..., Any]


class IsWaiting(Protocol):
    """Who waits for an answer."""

    def callback(self, answer: tuple[int, list[bytes]]) -> None:
        """It came."""
        ...

    def errback(self, failure: Failure) -> None:
        """It will not come: the connection is lost."""
        ...


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
        """See IProtocol; `banana` and `phrases` say why not as Twisted does."""
        position = 0
        while self._decoder.isBetween and position < len(data) and not self._isOver:
            found = phrases.read(data, position)
            if found is None:
                break
            phrase, position = found
            self._phraseReceived(*phrase)
        if position == len(data) or self._isOver:
            return
        try:
            expressions = self._decoder.feed(data[position:] if position else data)
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

    def _phraseReceived(self, kind: int, request: int, arguments: tuple[Any, ...]) -> None:
        if kind == phrases.ANSWER:
            broker: Any = self
            waiting: IsWaiting | None = broker.waitingForAnswers.pop(request, None)
            if waiting is None:
                self.violated("answer")
            else:
                waiting.callback(arguments)
            return
        if kind == phrases.TAKE:
            self._carryOut(b"take", arguments, None)
        else:
            self._carryOut(b"call", arguments, partial(self._answer, request))

    def _answer(self, request: int, answer: tuple[int, list[bytes]]) -> None:
        if not self._isOver:
            transport: Any = self.transport
            transport.write(phrases.answer(request, *answer))

    def _carryOut(
        self, name: bytes, arguments: tuple[Any, ...], answer: Callable[[Any], object] | None
    ) -> None:
        """Call a method of the root; `answer` is given what it gives, where an answer is wanted."""
        method = self._methods.get(name)
        if method is None:
            self.violated("message")
            return
        try:
            given = method(*arguments)
        except (ProtocolError, TypeError):
            self.violated(name.decode("ascii"))
            return
        if answer is None:
            return
        if isinstance(given, Deferred):
            given.addCallback(answer).addErrback(lambda _: self.violated("answer"))
        else:
            answer(given)

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
        isCall = type(message) is bytes and objectID == ROOT and netKw == _NO_NAMES
        if not isCall or type(arguments) is not tuple:
            self.violated("message")
            return
        broker: Any = self
        answer = partial(self._serialized, broker, requestID) if answerRequired else None
        self._carryOut(message, arguments, answer)

    def _serialized(self, broker: Any, request: Any, answer: Any) -> None:
        broker._sendAnswer(self.serialize(answer), request)

    def tell(self, strings: list[bytes]) -> None:
        """Call the peer's `take`; no answer is wanted."""
        transport: Any = self.transport
        transport.write(phrases.take(self.newRequestID(), strings))

    def ask(self, method: bytes, milliseconds: int, strings: list[bytes], waiting: IsWaiting) -> None:
        """Call the peer's `call`; who waits is called back with the answer, or when the connection is lost."""
        if self.disconnected:
            waiting.errback(Failure(pb.DeadReferenceError("the connection is over")))
            return
        request = self.newRequestID()
        broker: Any = self
        broker.waitingForAnswers[request] = waiting
        transport: Any = self.transport
        transport.write(phrases.call(request, method, milliseconds, strings))

    def newRequestID(self) -> int:
        """See `pb.Broker`; numbers come again after 2**31."""
        self.currentRequestID: int = (self.currentRequestID + 1) & _REQUESTS
        return self.currentRequestID

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
