"""
How a new node gets into the array: with a token, over TLS, before it has a certificate (design §9).

The node connects, checks that the server's certificate was issued by the authority whose fingerprint stands in the token, and only then
sends the secret, its name and a request for a certificate. The answer brings all that it needs to be a node. One request, one answer, each
a length and a MessagePack array.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure

from jindimail.cluster.authority import (
    Credentials,
    NotNow,
    NotOurs,
    certificateHash,
    fingerprintOf,
    loadCertificate,
    newRequest,
    requestHash,
    verifyNode,
)
from jindimail.cluster.contexts import joinContext, peerChain
from jindimail.cluster.door import Calling, Door
from jindimail.cluster.hello import LEVELS
from jindimail.cluster.peer import Peer
from jindimail.cluster.token import Token
from jindimail.errors import ProtocolError, Refusal, Unavailable

REQUEST_OCTETS_MAX = 16 * 1024
ANSWER_OCTETS_MAX = 1024 * 1024
JOIN_SECONDS = 30.0


class NoEntry(Enum):
    """Why a node is not let in: what is sent, and what its operator is told."""

    UNKNOWN = "the array does not know this token"
    EXPIRED = "the token has expired; make another with `jindictl cluster invite`"
    USED = "the token has been used by another node"
    NAME = "a node of this name is or was in the array; names are never used again"
    REQUEST = "the array does not understand the request"
    LEVEL = "the versions are too far apart"


class JoinRefused(Refusal):
    """The array does not let this node in."""

    def __init__(self, reason: NoEntry) -> None:
        super().__init__(reason.value)
        self.reason = reason


class JoinRequest(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What a new node says. `labels` are wishes that the array may grant (`host`, `weight`)."""

    secret: bytes
    name: str
    addresses: tuple[str, ...]
    request: bytes
    levels: tuple[int, int] = LEVELS
    labels: dict[str, str] = {}


class Admission(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What a new node is given. `peers` are all other nodes, as far as the answering one knows."""

    arrayId: bytes
    node: int
    certificate: bytes
    authority: bytes
    peers: tuple[Peer, ...]


class JoinAnswer(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """An admission, or the name of a `NoEntry`; neither: try again."""

    admission: Admission | None = None
    reason: str = ""


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """A node that was let in: its place, and what it speaks with."""

    admission: Admission
    credentials: Credentials


async def join(
    token: Token,
    *,
    name: str,
    addresses: tuple[str, ...],
    clock: IReactorTime,
    endpoint: Callable[[str], IStreamClientEndpoint],
    now: datetime,
    labels: dict[str, str] | None = None,
    request: tuple[bytes, bytes] | None = None,
) -> Joined:
    """
    Join the array of a token; its addresses are tried in turn.

    @param addresses: where the others can reach this node's cluster endpoint.
    @param request: request and key of an attempt whose answer was lost (`authority.newRequest`).
    @raise JoinRefused: the array says no.
    @raise NotOurs: whoever answers is not the token's array.
    @raise Unavailable: nobody answers.
    """
    asked, key = request or newRequest(name)
    joinRequest = JoinRequest(
        secret=token.secret, name=name, addresses=addresses, request=asked, labels=labels or {}
    )
    problem: Exception = Unavailable("the token has no addresses")
    for address in token.addresses:
        try:
            admission = await _Exchange(clock, token, joinRequest, now).start(endpoint(address))
        except (Unavailable, NotOurs) as error:
            problem = error
            continue
        _check(admission, token, joinRequest, now)
        credentials = Credentials(certificate=admission.certificate, key=key, authority=admission.authority)
        return Joined(admission=admission, credentials=credentials)
    raise problem


def _check(admission: Admission, token: Token, request: JoinRequest, now: datetime) -> None:
    authority, certificate = (loadCertificate(each) for each in (admission.authority, admission.certificate))
    identity = verifyNode(certificate, authority, now)
    isMine = certificateHash(certificate) == requestHash(request.request)
    isRight = (identity.arrayId, identity.node, identity.name) == (
        admission.arrayId,
        admission.node,
        request.name,
    )
    if fingerprintOf(authority) != token.fingerprint or not isMine or not isRight:
        raise NotOurs("an admission for somebody else")


class _Asker(Int32StringReceiver):
    """The new node's side of the exchange."""

    MAX_LENGTH = ANSWER_OCTETS_MAX

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    def connectionMade(self) -> None:
        self.sendString(msgspec.msgpack.encode(self._exchange.request))  # type: ignore[no-untyped-call]

    def stringReceived(self, string: bytes) -> None:
        self._exchange.answered(string)

    def lengthLimitExceeded(self, length: int) -> None:
        self._exchange.answered(b"")


class _Exchange:
    """One attempt at one address, with a deadline."""

    def __init__(self, clock: IReactorTime, token: Token, request: JoinRequest, now: datetime) -> None:
        self.request = request
        self._clock = clock
        self._token = token
        self._now = now
        self._done: Deferred[Admission] = Deferred()
        self._door = Door(
            clock, joinContext(), self._enter, lambda door, reason: self._fail(Unavailable("hung up"))
        )
        self._connecting: Deferred[Any] | None = None

    def start(self, endpoint: IStreamClientEndpoint) -> Deferred[Admission]:
        deadline = self._clock.callLater(JOIN_SECONDS, self._fail, Unavailable("no answer"))
        self._connecting = endpoint.connect(Calling(self._door))
        self._connecting.addCallbacks(lambda _: None, self._notConnected)
        return self._done.addBoth(self._end, deadline)

    def _notConnected(self, failure: Failure) -> None:
        isNamed = failure.check(DNSLookupError) is None
        self._fail(Unavailable("not reachable" if isNamed else "this machine finds no address for that name"))

    def _enter(self, door: Door) -> _Asker | None:
        chain = peerChain(door.tls)
        try:
            authority = next(each for each in chain if fingerprintOf(each) == self._token.fingerprint)
            verifyNode(chain[0], authority, self._now)
        except NotNow as problem:
            self._fail(problem)
            return None
        except (StopIteration, NotOurs):
            self._fail(NotOurs("whoever answers is not of the token's array"))
            return None
        door.welcome()
        return _Asker(self)

    def answered(self, octets: bytes) -> None:
        try:
            answer = msgspec.msgpack.decode(octets, type=JoinAnswer)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self._fail(ProtocolError("no answer to a join"))
            return
        if answer.admission is not None:
            if not self._done.called:
                self._done.callback(answer.admission)
        elif answer.reason in NoEntry.__members__:
            self._fail(JoinRefused(NoEntry[answer.reason]))
        else:
            self._fail(Unavailable("the array cannot let anybody in now"))

    def _fail(self, problem: Exception) -> None:
        if not self._done.called:
            self._done.errback(problem)

    def _end(self, result: Any, deadline: Any) -> Any:
        if deadline.active():
            deadline.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
        self._door.hangUp()
        return result
