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
    reactor.running = reactor._started = True
    done: list[str] = []

    def later() -> None:
        done.append("later")
        reactor._justStopped = True

    reactor.callLater(0, lambda: reactor.callLater(0, later))
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
    reactor.callLater(0.05, setattr, reactor, "_justStopped", True)
    reactor.doIteration(None)
    assert second.heard == [b"x"]


class _Passing(list[bytes]):
    """What is noted is sent on."""

    def __init__(self, far: socket.socket) -> None:
        self._far = far

    def append(self, octets: bytes) -> None:
        """Send it on."""
        self._far.send(octets)


def test_theTurnsEndWhenTheReactorIsStopped(reactor: Any) -> None:
    reactor.running = reactor._started = True
    done: list[str] = []
    reactor.callLater(0.01, lambda: (done.append("stopped"), setattr(reactor, "_justStopped", True)))
    reactor.callLater(100, done.append, "never")
    reactor.doIteration(None)
    assert done == ["stopped"]


def test_theTurnsEndWhenWhatWasToBeDoneAtOnceIsTheReactorsEnd(reactor: Any) -> None:
    reactor.running = reactor._started = True
    done: list[str] = []
    reactor.callLater(0.2, done.append, "never")
    reactor.callLater(0, reactor.crash)
    reactor.doIteration(None)
    assert done == []


def test_timersAreDoneInTheOrderOfTheirTimes(reactor: Any) -> None:
    done: list[str] = []
    for name, seconds in (("third", 0.003), ("first", 0.001), ("second", 0.002)):
        reactor.callLater(seconds, done.append, name)
    while len(done) < 3:
        reactor.doIteration(1)
    assert done == ["first", "second", "third"]
    assert reactor.getDelayedCalls() == []


def test_aTimerCanBeBroughtForwardPutOffAndCancelled(reactor: Any) -> None:
    done: list[str] = []
    forward = reactor.callLater(100, done.append, "forward")
    forward.reset(50)
    forward.reset(0.001)
    off = reactor.callLater(0.001, done.append, "put off")
    off.reset(100)
    gone = reactor.callLater(0.001, done.append, "cancelled")
    gone.cancel()
    reactor.callLater(0.01, done.append, "last")
    while "last" not in done:
        reactor.doIteration(1)
    assert done == ["forward", "last"]
    assert reactor.getDelayedCalls() == [off]
    off.reset(0.001)
    while len(done) < 3:
        reactor.doIteration(1)
    assert done[2:] == ["put off"]


def test_ofManyCancelledTimersFewStay(reactor: Any) -> None:
    kept = reactor.callLater(100, lambda: None)
    for _ in range(1000):
        reactor.callLater(100, lambda: None).cancel()
    assert reactor.getDelayedCalls() == [kept]
    assert len(reactor.doIteration.__self__._timers) < 200


def test_aTimerThatFailsHarmsNoOther(reactor: Any) -> None:
    done: list[str] = []
    reactor.callLater(0.001, lambda: 1 // 0)
    reactor.callLater(0.002, done.append, "done")
    while not done:
        reactor.doIteration(1)


def test_whatWasPlannedBeforeComesWhenItWouldHave() -> None:
    made: Any = EPollReactor()
    done: list[str] = []
    made.callLater(0.001, done.append, "planned before")
    put = made.callLater(100, done.append, "never")
    makeLean(made)
    while not done:
        made.doIteration(1)
    assert made.getDelayedCalls() == [put]
    put.cancel()
    assert made.getDelayedCalls() == []


def test_whatAnotherThreadAsksForIsDoneWithoutTwistedsOwnLoop(reactor: Any) -> None:
    done: list[str] = []
    reactor.callFromThread(lambda: 1 // 0)
    reactor.callFromThread(done.append, "asked")
    reactor.doIteration(0)
    assert done == ["asked"]


def test_twistedsOwnLoopIsLetAtWhatWasPlannedWithIt(reactor: Any) -> None:
    reactor.running = reactor._started = True
    done: list[str] = []
    EPollReactor.callLater(reactor, 0.001, done.append, "planned there")
    while not done:
        reactor.doIteration(0.001)
        reactor.runUntilCurrent()
    assert done == ["planned there"]
