"""The control socket: who is let in, what is answered, what is bounded."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from jindimail.admin.control import (
    BEAT_SECONDS,
    CONNECTIONS_MAX,
    IDLE_SECONDS,
    REQUEST_OCTETS_MAX,
    ControlFactory,
    ControlProtocol,
    peerUser,
)
from jindimail.admin.verb import Argument, Verb, VerbRefused, verb
from jindimail.errors import NoSuchUser, Unavailable
from jindimail.replication.raft import NotLeader


@verb("echo", Argument(name="text", doc="text"))
async def echo(node: Any, report: Any, *, text: str) -> Any:
    """Say it again."""
    return {"node": node, "text": text}


@verb("wait")
async def wait(node: Any, report: Any) -> Any:
    """Report, and wait."""
    for done in range(5):
        report(done, 5, "waiting")
    return await waiting[-1]


@verb("ponder")
async def ponder(node: Any, report: Any) -> Any:
    """Wait, and say nothing."""
    return await waiting[-1]


@verb("fail", Argument(name="how", doc="how"))
async def fail(node: Any, report: Any, *, how: str) -> Any:
    """Fail."""
    raise {
        "refused": VerbRefused("not today", "closed"),
        "noUser": NoSuchUser("ada@example.org"),
        "away": Unavailable(),
        "leaderless": NotLeader(),
        "bug": RuntimeError("secret"),
    }[how]


VERBS: dict[str, Verb] = {"echo": echo, "wait": wait, "ponder": ponder, "fail": fail}
waiting: list[Deferred[Any]] = []


class Operator:
    """One connection to a factory."""

    def __init__(self, factory: ControlFactory, user: int = 0) -> None:
        factory.userOf = lambda transport: user
        protocol = factory.buildProtocol(None)
        assert protocol is not None
        self.protocol: ControlProtocol = protocol
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)

    def send(self, octets: bytes) -> None:
        self.protocol.dataReceived(octets)

    def ask(self, verb: str, **arguments: object) -> list[Any]:
        self.send(json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n")
        return self.answers()

    def answers(self) -> list[Any]:
        answers = [json.loads(line) for line in self.transport.value().splitlines()]
        self.transport.clear()
        return answers


def factoryOf(clock: Clock | None = None) -> ControlFactory:
    return ControlFactory(node="N", verbs=VERBS, reactor=clock or Clock())  # type: ignore[arg-type]


def test_requestIsAnsweredWithItsResult() -> None:
    assert Operator(factoryOf()).ask("echo", text="ä") == [{"result": {"node": "N", "text": "ä"}}]


def test_requestsAreAnsweredAtEverySplitPoint() -> None:
    line = b'{"verb": "echo", "arguments": {"text": "x"}}\n'
    for at in range(len(line)):
        operator = Operator(factoryOf())
        operator.send(line[:at])
        operator.send(line[at:])
        assert operator.answers() == [{"result": {"node": "N", "text": "x"}}]


def test_onlyTheNodesUserAndRootAreLetIn() -> None:
    factory = factoryOf()
    assert {0, os.geteuid()} == set(factory.users)
    stranger = Operator(factory, user=4711)
    assert stranger.transport.disconnected
    assert stranger.ask("echo", text="x") == []


def test_kernelTellsWhoConnected() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)

    class Transport:
        def getHandle(self) -> socket.socket:
            return ours

    with ours, theirs:
        assert peerUser(Transport()) == os.geteuid()


def test_refusalsAreAnsweredWithCodeAndText() -> None:
    operator = Operator(factoryOf())
    assert operator.ask("fail", how="refused") == [{"error": {"code": "closed", "text": "not today"}}]
    assert operator.ask("fail", how="noUser")[0]["error"] == {
        "code": "noSuchUser",
        "text": "no such user here: ada@example.org",
    }
    assert operator.ask("fail", how="away")[0]["error"]["code"] == "unavailable"
    assert "cluster status" in operator.ask("fail", how="leaderless")[0]["error"]["text"]


def test_textOfAnUnexpectedErrorStaysHere() -> None:
    (answer,) = Operator(factoryOf()).ask("fail", how="bug")
    assert answer["error"]["code"] == "failed"
    assert "secret" not in json.dumps(answer)


def test_whatIsNoRequestIsRefused() -> None:
    operator = Operator(factoryOf())
    for line in (
        b"x",
        b"[]",
        b"1",
        b'{"verb": "no"}',
        b'{"verb": "echo", "arguments": []}',
        b"\xff",
        b"[" * 5000,
    ):
        operator.send(line + b"\n")
        assert [answer["error"]["code"] for answer in operator.answers()] == ["usage"], line


def test_tooLongRequestEndsTheConnection() -> None:
    operator = Operator(factoryOf())
    operator.send(b"x" * (REQUEST_OCTETS_MAX + 10))
    assert operator.answers()[0]["error"]["text"] == "request too long"
    assert operator.transport.disconnecting


def test_progressComesBeforeTheResultAndNotTooOften() -> None:
    waiting.append(Deferred())
    operator = Operator(factoryOf())
    assert operator.ask("wait") == [{"progress": {"done": 0, "total": 5, "what": "waiting"}}]
    waiting[-1].callback("done")
    assert operator.answers() == [{"result": "done"}]


def test_nodeAtWorkSaysSoEveryOtherSecondUntilItIsDone() -> None:
    clock = Clock()
    held: Deferred[Any] = Deferred()
    waiting.append(held)
    operator = Operator(factoryOf(clock))
    operator.ask("wait")
    clock.pump([1.0] * 5)
    assert operator.answers() == [{"progress": {"done": 4, "total": 5, "what": "waiting"}}] * 2
    held.callback("done")
    clock.advance(BEAT_SECONDS)
    assert operator.answers() == [{"result": "done"}]


def test_nodeThatReportsNothingSaysForHowLongItHasBeenAtWork() -> None:
    clock = Clock()
    waiting.append(Deferred())
    operator = Operator(factoryOf(clock))
    operator.ask("ponder")
    clock.pump([1.0] * 4)
    assert [answer["progress"]["done"] for answer in operator.answers()] == [2, 4]
    operator.protocol.connectionLost()
    assert not clock.getDelayedCalls()


def test_oneRequestAtATime() -> None:
    waiting.append(Deferred())
    operator = Operator(factoryOf())
    operator.ask("wait")
    assert operator.ask("echo", text="x")[0]["error"]["text"] == "one request at a time"
    assert operator.transport.disconnecting


def test_silentOperatorIsDisconnectedButNotAWaitingOne() -> None:
    clock = Clock()
    waiting.append(Deferred())
    operator, patient = Operator(factoryOf(clock)), Operator(factoryOf(clock))
    patient.ask("wait")
    clock.advance(IDLE_SECONDS + 1)
    assert operator.transport.disconnecting
    assert not patient.transport.disconnecting
    waiting[-1].callback(None)
    clock.advance(IDLE_SECONDS + 1)
    assert patient.transport.disconnecting


def test_numberOfConnectionsIsBounded() -> None:
    factory = factoryOf()
    operators = [Operator(factory) for _ in range(CONNECTIONS_MAX)]
    assert Operator(factory).transport.disconnected
    operators[0].protocol.connectionLost()
    assert not Operator(factory).transport.disconnected


def test_closingWaitsForTheAnswerThatIsDue() -> None:
    factory = factoryOf()
    waiting.append(Deferred())
    idle, busy = Operator(factory), Operator(factory)
    busy.ask("wait")
    closed: list[object] = []
    factory.closeWhenIdle().addCallback(closed.append)
    assert idle.transport.disconnecting
    assert not busy.transport.disconnecting
    assert factory.buildProtocol(None) is None
    waiting[-1].callback("last")
    assert busy.answers()[-1] == {"result": "last"}
    assert busy.transport.disconnecting
    assert closed == []
    idle.protocol.connectionLost()
    busy.protocol.connectionLost()
    assert closed == [None]


def test_operatorWhoLeftDoesNotDisturbTheWork() -> None:
    waiting.append(Deferred())
    operator = Operator(factoryOf())
    operator.ask("wait")
    operator.protocol.connectionLost()
    waiting[-1].callback("done")
    assert operator.answers() == []
