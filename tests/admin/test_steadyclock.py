"""Timers run on whatever is done to the wall clock."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from twisted.internet.selectreactor import SelectReactor

from jindimail.admin import steadyclock


class Wall:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def seconds(self) -> float:
        return self.now


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """The machine's own clock, as the test moves it."""
    clock = Wall()
    clock.now = 500.0
    monkeypatch.setattr(steadyclock, "steadySeconds", clock.seconds)
    return clock


def test_aClockSetBackStallsNoTimer(steady: Wall) -> None:
    wall, made = Wall(), []
    reactor: Any = SelectReactor()
    reactor.seconds = wall.seconds
    steadyclock.makeSteady(reactor)
    reactor.callLater(5, made.append, "later")
    wall.now -= 3600
    steady.now += 5
    reactor.runUntilCurrent()
    assert made == ["later"]


def test_whatWasPlannedBeforeComesWhenItWouldHave(steady: Wall) -> None:
    wall, made = Wall(), []
    reactor: Any = SelectReactor()
    reactor.seconds = wall.seconds
    reactor.callLater(10, made.append, "planned")
    wall.now += 4
    steadyclock.makeSteady(reactor)
    steady.now += 5.9
    reactor.runUntilCurrent()
    assert not made
    steady.now += 0.2
    reactor.runUntilCurrent()
    assert made == ["planned"]


def test_theMachinesClockGoesOn() -> None:
    first = steadyclock.steadySeconds()
    assert 0 < first <= steadyclock.steadySeconds()


def test_theNodesReactorIsMadeSteadyBeforeAnythingWaits() -> None:
    script = (
        "from twisted.internet import reactor\n"
        "from jindimail import service\n"
        "from jindimail.config import read\n"
        "from jindimail.admin.steadyclock import steadySeconds\n"
        "service.NodeService = lambda configuration, reactor: reactor\n"
        "made = service.makeService({'configuration': None})\n"
        "assert made is reactor and reactor.seconds is steadySeconds\n"
        "print('steady')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "steady\n", done.stderr
