"""
The array's side of the join exchange (`joining`): one bounded request of a stranger, one answer.

Whether a node is let in is for `admit` to decide, which asks the array. Few strangers are heard at a time; one that says nothing is not heard, and only waits at the
door (`door.Doors`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure

from jindimail.cluster.authority import NODE_NAME, NotOurs, requestHash
from jindimail.cluster.door import Door
from jindimail.cluster.hello import LEVELS
from jindimail.cluster.joining import (
    JOIN_SECONDS,
    REQUEST_OCTETS_MAX,
    Admission,
    JoinAnswer,
    JoinRefused,
    JoinRequest,
    NoEntry,
)
from jindimail.cluster.token import ADDRESS_OCTETS_MAX, ADDRESSES_MAX, SECRET_OCTETS, secretHash
from jindimail.errors import JindimailError

HEARD_MAX = 4  # at a time
LINGER_SECONDS = 2.0  # for the answer to be read


class Applicant(msgspec.Struct, frozen=True, kw_only=True):
    """
    A node that wants to be let in.

    @ivar secretHash: names the invitation.
    @ivar requestHash: of the request's key; which is what the invitation then is used by.
    @ivar labels: wishes, not verified.
    """

    secretHash: bytes
    requestHash: bytes
    request: bytes
    name: str
    addresses: tuple[str, ...]
    labels: dict[str, str]
    level: int = 1  # the highest that it speaks


Admit = Callable[[Applicant], Awaitable[Admission]]


class Inviter:
    """
    Makes the protocols for strangers: `Links(joining=inviter)`.

    @ivar counts: of nodes let in and refused.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, admit: Admit) -> None:
        """
        @param admit: gives the admission, or raises JoinRefused; what else it raises means: try again.
        """
        self._clock = clock
        self._admit = admit
        self._heard = 0
        self.counts = {"admitted": 0, "refused": 0}

    def __call__(self, door: Door) -> Int32StringReceiver:
        """The protocol for a stranger."""
        return _Stranger(self._clock, door, self)

    def mayAsk(self) -> bool:
        """Whether there is room for another request; it counts from now on."""
        if self._heard >= HEARD_MAX:
            return False
        self._heard += 1
        return True

    def gone(self) -> None:
        """The connection of a stranger who was heard is over."""
        self._heard -= 1

    async def answer(self, octets: bytes) -> JoinAnswer:
        """The answer to a request."""
        try:
            applicant = _applicant(octets)
            admission = await self._admit(applicant)
        except JoinRefused as refused:
            self.counts["refused"] += 1
            self.log.warn("a node is not let in: {reason}", reason=refused.reason.name)
            return JoinAnswer(reason=refused.reason.name)
        except NotOurs:
            self.counts["refused"] += 1
            return JoinAnswer(reason=NoEntry.REQUEST.name)
        except JindimailError:
            return JoinAnswer()
        self.counts["admitted"] += 1
        self.log.info("node {node} ({name}) joins", node=admission.node, name=applicant.name)
        return JoinAnswer(admission=admission)


class _Stranger(Int32StringReceiver):
    """One stranger's connection."""

    MAX_LENGTH = REQUEST_OCTETS_MAX

    def __init__(self, clock: IReactorTime, door: Door, inviter: Inviter) -> None:
        self._clock = clock
        self._door = door
        self._inviter = inviter
        self._answering: Deferred[Any] | None = None
        self._deadline: IDelayedCall | None = None

    def stringReceived(self, string: bytes) -> None:
        if self._answering is None:
            if not self._inviter.mayAsk():
                self._door.hangUp()
                return
            self._door.welcome()
            self._deadline = self._clock.callLater(JOIN_SECONDS, self._door.hangUp)
            self._answering = Deferred.fromCoroutine(self._inviter.answer(string))
            self._answering.addCallbacks(self._answered, self._failed)

    def lengthLimitExceeded(self, length: int) -> None:
        self._door.hangUp()

    def _answered(self, answer: JoinAnswer) -> None:
        if self._door.isOpen:
            self.sendString(msgspec.msgpack.encode(answer))  # type: ignore[no-untyped-call]
            assert self.transport is not None
            self.transport.loseConnection()
            self._endDeadline()
            self._deadline = self._clock.callLater(LINGER_SECONDS, self._door.hangUp)

    def _failed(self, failure: Failure) -> None:
        self._inviter.log.failure("a node's request to join failed", failure)
        self._door.hangUp()

    def connectionLost(self, reason: Any = None) -> None:
        self._endDeadline()
        if self._answering is not None:
            self._inviter.gone()

    def _endDeadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()


def _applicant(octets: bytes) -> Applicant:
    """A request that is well-formed, whoever sent it."""
    try:
        asked = msgspec.msgpack.decode(octets, type=JoinRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
        raise JoinRefused(NoEntry.REQUEST) from problem
    isGood = (
        len(asked.secret) == SECRET_OCTETS
        and NODE_NAME.fullmatch(asked.name) is not None
        and 0 < len(asked.addresses) <= ADDRESSES_MAX
        and all(0 < len(each.encode("utf-8", "replace")) <= ADDRESS_OCTETS_MAX for each in asked.addresses)
    )
    if not isGood:
        raise JoinRefused(NoEntry.REQUEST)
    if min(asked.levels[1], LEVELS[1]) < max(asked.levels[0], LEVELS[0]):
        raise JoinRefused(NoEntry.LEVEL)
    return Applicant(
        secretHash=secretHash(asked.secret),
        requestHash=requestHash(asked.request),
        request=asked.request,
        name=asked.name,
        addresses=asked.addresses,
        labels=asked.labels,
        level=asked.levels[1],
    )
