"""
The control socket: what jindictl talks to.

A UNIX socket for the node's own user and root, checked by file mode and by the kernel's word for who connected. Lines of
JSON: a request `{"verb": "user add", "arguments": {…}}` is answered by any number of `{"progress": {…}}` and then by one
`{"result": …}` or `{"error": {"code": …, "text": …}}`. While a request is under way there is some progress every other second, so that a node that
hangs is told from one that works. One request at a time; line, wait and number of connections are bounded.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from jindimail.admin.verb import Verb, VerbRefused
from jindimail.errors import JindimailError
from jindimail.replication.raft import NotLeader

REQUEST_OCTETS_MAX = 65_536
CONNECTIONS_MAX = 32
IDLE_SECONDS = 60
PROGRESS_INTERVAL_SECONDS = 0.2
BEAT_SECONDS = 2.0

_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid


def peerUser(transport: Any) -> int:
    """The user id at the other end of a UNIX socket, by the kernel's word (SO_PEERCRED, unix(7))."""
    credentials = transport.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return int(_PEER.unpack(credentials)[1])


class ControlProtocol(LineOnlyReceiver):
    """One operator's connection."""

    delimiter = b"\n"
    MAX_LENGTH = REQUEST_OCTETS_MAX
    _log = Logger()

    factory: ControlFactory
    transport: Any

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._user = -1
        self._isBusy = False
        self._isOver = False
        self._progressSeconds = -1.0
        self._progress: dict[str, Any] | None = (
            None  # of the request that is under way, as it was last reported
        )
        self._askedAt = 0.0
        self._call: IDelayedCall | None = (
            None  # the end of waiting for a request, or the next beat of one under way
        )

    def connectionMade(self) -> None:
        """Let in the node's own user and root, nobody else."""
        self._user = self.factory.userOf(self.transport)
        if self._user not in self.factory.users or len(self.factory.connections) >= CONNECTIONS_MAX:
            self._log.warn("control: refused user {user}", user=self._user)
            self._isOver = True
            self.transport.abortConnection()
            return
        self.factory.connections.add(self)
        self._wait()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The operator is gone; what was asked goes on to its end."""
        self._isOver = True
        self._stopWaiting()
        self.factory.connections.discard(self)
        self.factory.idle()

    def lineReceived(self, line: bytes) -> None:
        """Do what a line asks for; the next one is read when that is answered."""
        if self._isOver:
            return
        if self._isBusy:
            self._answer({"error": {"code": "usage", "text": "one request at a time"}})
            self.transport.loseConnection()
            return
        self._isBusy = True
        self._stopWaiting()
        self._progress = None
        self._askedAt = self._reactor.seconds()
        self._call = self._reactor.callLater(BEAT_SECONDS, self._beat)
        Deferred.fromCoroutine(self._do(line)).addCallback(self._done)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Nobody asks anything that long."""
        self._answer({"error": {"code": "usage", "text": "request too long"}})
        self.transport.loseConnection()

    def _wait(self) -> None:
        self._stopWaiting()
        self._call = self._reactor.callLater(IDLE_SECONDS, self.transport.loseConnection)

    def _stopWaiting(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _beat(self) -> None:
        """What was asked takes long: say that it is still being done."""
        seconds = int(self._reactor.seconds() - self._askedAt)
        self._answer({"progress": self._progress or {"done": seconds, "total": 0, "what": "seconds at work"}})
        self._call = self._reactor.callLater(BEAT_SECONDS, self._beat)

    async def _do(self, line: bytes) -> dict[str, Any]:
        words = "?"
        try:
            verb, given = self._read(line)
            words = " ".join(verb.words)
            result = await verb.run(self.factory.node, self._report, **verb.settle(given))
        except VerbRefused as refusal:
            return self._refused(words, refusal.code, refusal.text)
        except JindimailError as error:
            name = type(error).__name__
            return self._refused(words, name[0].lower() + name[1:], _textOf(error))
        except Exception:
            self._log.failure("control: {verb} failed", verb=words)
            return self._refused(words, "failed", "failed; the node's log says why")
        self._log.info("control: {verb} by user {user}", verb=words, user=self._user)
        return {"result": result}

    def _refused(self, words: str, code: str, text: str) -> dict[str, Any]:
        self._log.info("control: {verb} by user {user}: {code}", verb=words, user=self._user, code=code)
        return {"error": {"code": code, "text": text}}

    def _read(self, line: bytes) -> tuple[Verb, dict[str, object]]:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            raise VerbRefused("the request is not JSON", "usage") from None
        if not isinstance(request, dict) or not isinstance(request.get("arguments", {}), dict):
            raise VerbRefused("the request is not {verb, arguments}", "usage")
        verb = self.factory.verbs.get(str(request.get("verb")))
        if verb is None:
            raise VerbRefused("this node knows no such verb", "usage")
        return verb, request.get("arguments", {})

    def _report(self, done: int, total: int, what: str) -> None:
        now = self._reactor.seconds()
        self._progress = {"done": done, "total": total, "what": what}
        if now - self._progressSeconds >= PROGRESS_INTERVAL_SECONDS or done == total:
            self._progressSeconds = now
            self._answer({"progress": self._progress})

    def _done(self, answer: dict[str, Any]) -> None:
        self._isBusy = False
        self._stopWaiting()
        self._answer(answer)
        if self._isOver:
            self.factory.idle()
        elif self.factory.isStopping:
            self.transport.loseConnection()
        else:
            self._wait()

    def _answer(self, answer: dict[str, Any]) -> None:
        if not self._isOver:
            self.transport.write(json.dumps(answer, ensure_ascii=True).encode("ascii") + b"\n")

    def closeWhenIdle(self) -> None:
        """Close now, or after the answer that is due."""
        if not self._isBusy:
            self.transport.loseConnection()


def _textOf(error: JindimailError) -> str:
    """An error for the operator: what the directory says it is about comes after what it is."""
    if isinstance(error, NotLeader):
        return f"{error.smtpText}: too few nodes answer to lead a group (`jindictl cluster status`)"
    about = "; ".join(str(each) for each in error.args)
    return f"{error.smtpText}: {about}" if about else error.smtpText


class ControlFactory(Factory):
    """Makes the operators' connections to one node."""

    noisy = False

    def __init__(self, *, node: Any, verbs: Mapping[str, Verb], reactor: IReactorTime) -> None:
        self.node = node
        self.verbs = verbs
        self.users = frozenset({0, os.geteuid()})
        self.userOf = peerUser
        self.connections: set[ControlProtocol] = set()
        self.isStopping = False
        self._reactor = reactor
        self._idle: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> ControlProtocol | None:  # type: ignore[override]
        """A protocol for a connection, unless the node is stopping."""
        if self.isStopping:
            return None
        protocol = ControlProtocol(self._reactor)
        protocol.factory = self
        return protocol

    def closeWhenIdle(self) -> Deferred[None]:
        """Close the connections as soon as what is under way is answered."""
        self.isStopping = True
        self._idle = Deferred()
        for connection in tuple(self.connections):
            connection.closeWhenIdle()
        waiting = self._idle
        self.idle()
        return waiting

    def idle(self) -> None:
        """A connection is over: when it was the last of a stopping node, say so."""
        if self._idle is not None and not self.connections:
            waiting, self._idle = self._idle, None
            waiting.callback(None)
