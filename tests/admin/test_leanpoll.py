"""A lean turn of the reactor serves descriptors as Twisted's own does."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.testing import MemoryReactorClock

from jindimail.admin.leanpoll import makeLean


class Ear:
    """A descriptor that notes what happens to it."""

    def __init__(self, reactor: Any, problem: Any = None) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.fileno = self.near.fileno
        self.heard: list[bytes] = []
        self.ends: list[Any] = []
        self.rids: list[Ear] = []
        self._reactor = reactor
        self._problem = problem
        reactor.addReader(self)

    def logPrefix(self) -> str:
        """As every descriptor of Twisted's."""
        return "ear"

    def doRead(self) -> Any:
        """Note what came; then do what the test wants."""
        self.heard.append(self.near.recv(100))
        for other in self.rids:
            self._reactor.removeReader(other)
        if isinstance(self._problem, type):
            raise self._problem
        return self._problem

    def connectionLost(self, reason: Any) -> None:
        """Note why."""
        self.ends.append(reason)


@pytest.fixture
def reactor() -> Any:
    """A reactor that is not installed, made lean."""
    made = EPollReactor()
    makeLean(made)
    return made


def test_inputIsHandedToWhomItCameFor(reactor: Any) -> None:
    one, other = Ear(reactor), Ear(reactor)
    one.far.send(b"hello")
    reactor.doIteration(0.5)
    assert (one.heard, other.heard) == ([b"hello"], [])


def test_aDescriptorThatSaysItHasEndedIsDisconnected(reactor: Any) -> None:
    ear = Ear(reactor, CONNECTION_DONE)
    ear.far.send(b"bye")
    reactor.doIteration(0.5)
    assert [end.type for end in ear.ends] == [ConnectionDone]
    assert ear not in reactor.getReaders()


def test_oneThatRaisesIsDisconnectedAndHarmsNoOther(reactor: Any) -> None:
    bad, good = Ear(reactor, ZeroDivisionError), Ear(reactor)
    bad.far.send(b"x")
    good.far.send(b"x")
    reactor.doIteration(0.5)
    assert [end.type for end in bad.ends] == [ZeroDivisionError]
    assert good.heard == [b"x"]


def test_oneThatAnotherRemovedInTheSameTurnIsNotRead(reactor: Any) -> None:
    one, other = Ear(reactor), Ear(reactor)
    one.rids, other.rids = [other], [one]
    one.far.send(b"x")
    other.far.send(b"x")
    reactor.doIteration(0.5)
    assert len(one.heard) + len(other.heard) == 1


def test_aHangUpWithoutInputEndsTheConnection(reactor: Any) -> None:
    ear = Ear(reactor)
    ear.near.shutdown(socket.SHUT_RDWR)
    ear.far.close()
    for _ in range(3):
        reactor.doIteration(0.5)
        if ear.ends or b"" in ear.heard:
            break
    assert ear.ends or ear.heard == [b""]


def test_aReactorOfAnotherKindIsLeftAsItIs() -> None:
    other = MemoryReactorClock()
    makeLean(other)
    assert not hasattr(other, "doIteration")


def test_whatIsToBeDoneAtOnceIsDoneWithoutALookAtTheTimers(reactor: Any) -> None:
    done: list[str] = []
    reactor.callLater(0, done.append, "first")
    reactor.callLater(0, done.append, "second")
    assert len(reactor.getDelayedCalls()) == 2
    reactor.doIteration(0)
    assert done == ["first", "second"]
    assert reactor.getDelayedCalls() == []


def test_whatThatBringsAboutIsDoneNextAndWithoutWaiting(reactor: Any) -> None:
    done: list[str] = []
    reactor.callLater(0, lambda: reactor.callLater(0, done.append, "later"))
    reactor.doIteration(None)  # for ever, if it waited
    assert done == ["later"]


def test_whatIsToBeDoneAtOnceCanBeCancelledAndPutOff(reactor: Any) -> None:
    done: list[str] = []
    cancelled = reactor.callLater(0, done.append, "cancelled")
    later = reactor.callLater(0, done.append, "put off")
    cancelled.cancel()
    later.reset(100)
    reactor.doIteration(0)
    assert done == []
    assert later.active()
    assert reactor.getDelayedCalls() == [later]
    assert later.getTime() > reactor.seconds()


def test_whatIsToBeDoneAtOnceMayFailAndHarmsNothingElse(reactor: Any) -> None:
    done: list[str] = []
    reactor.callLater(0, lambda: 1 // 0)
    reactor.callLater(0, done.append, "done")
    reactor.doIteration(0)
    assert done == ["done"]


def test_inputThatBringsAboutMoreInputIsServedInOneGo(reactor: Any) -> None:
    reactor.running = reactor._started = True
    first, second = Ear(reactor), Ear(reactor)
    first.heard = _Passing(second.far)
    first.far.send(b"x")
    reactor.callLater(0.05, lambda: None)
    reactor.runUntilCurrent()
    reactor.doIteration(0.05)
    assert second.heard == [b"x"]


class _Passing(list[bytes]):
    """What is noted is sent on."""

    def __init__(self, far: socket.socket) -> None:
        self._far = far

    def append(self, octets: bytes) -> None:
        """Send it on."""
        self._far.send(octets)


def test_aTimerThatIsDueEndsTheTurns(reactor: Any) -> None:
    reactor.running = reactor._started = True
    done: list[str] = []
    reactor.callLater(0.01, done.append, "due")
    reactor.runUntilCurrent()
    reactor.callLater(0, lambda: None)  # goes on, until
    reactor.doIteration(0.02)
    reactor.runUntilCurrent()
    assert done == ["due"]
