"""A node's threads interrupt nobody, unless somebody has chosen otherwise."""

from __future__ import annotations

import os
from threading import Thread

import pytest

from jindimail.admin.politeness import interruptNobody


def policyAfter(chosen: int) -> int:
    """Of a thread that was started by one with a policy that interrupts nobody."""
    found: list[int] = []

    def look() -> None:
        found.append(os.sched_getscheduler(0))

    def start() -> None:
        os.sched_setscheduler(0, chosen, os.sched_param(0))
        interruptNobody()
        child = Thread(target=look)
        child.start()
        child.join()

    thread = Thread(target=start)
    thread.start()
    thread.join()
    return found[0]


def test_threadsThatAreStartedFromThenOnAreLikeIt() -> None:
    assert policyAfter(os.SCHED_OTHER) == os.SCHED_BATCH


def test_policyThatSomebodyChoseStays() -> None:
    assert policyAfter(os.SCHED_IDLE) == os.SCHED_IDLE


def test_refusalIsNoReasonNotToStart(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "no")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    interruptNobody()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
