"""The stack: upkeep that lets clients go first, and hashing in few threads."""

from __future__ import annotations

import os
import subprocess
import sys
from threading import Semaphore, get_ident
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from jindimail.admin.stack import HASHING_THREADS_MAX, PAUSE_SECONDS, Unhurried, hashingThreads
from jindimail.mailbox.queries import ListDomains
from jindimail.mailbox.upkeep import Upkeep
from jindimail.model import BUCKET_COUNT
from tests.support.world import World


def test_upkeepAsksOneBucketATimeWithAPauseBeforeEach() -> None:
    world, clock = World(), Clock()
    asked: list[Any] = []
    query = world.buckets.query

    def counting(bucket: int | None, what: Any, fresh: bool = False) -> Any:
        asked.append(bucket)
        return query(bucket, what, fresh)

    world.buckets.query = counting
    upkeep = Upkeep(
        buckets=Unhurried(world.buckets, clock), leads=lambda bucket: bucket != 7, seconds=world.clock.seconds
    )
    done: list[object] = []
    Deferred.fromCoroutine(upkeep.finish()).addCallback(done.append)
    assert asked == []
    led = [bucket for bucket in range(BUCKET_COUNT) if bucket != 7]
    for count in range(1, len(led) + 1):
        clock.advance(PAUSE_SECONDS)
        assert asked == led[:count]
    assert done == [None]


def test_upkeepThatANodesEndOvertakesFindsNothingMoreAndEnds() -> None:
    world, clock = World(), Clock()
    upkeep = Upkeep(
        buckets=Unhurried(world.buckets, clock), leads=lambda _: True, seconds=world.clock.seconds
    )
    ended: list[Any] = []
    Deferred.fromCoroutine(upkeep.finish()).addBoth(ended.append)
    clock.advance(PAUSE_SECONDS)
    world.store.close()
    assert not ended
    clock.pump([PAUSE_SECONDS] * BUCKET_COUNT)
    assert ended == [None]


def test_unhurriedQueryHasTheSameAnswer() -> None:
    world, clock = World(), Clock()
    answers: list[Any] = []
    Deferred.fromCoroutine(Unhurried(world.buckets, clock).query(None, ListDomains())).addCallback(
        answers.append
    )
    clock.advance(PAUSE_SECONDS)
    assert [name for name, _ in answers[0]] == ["example.org"]


def test_aStormOfLoginsHashesInFewThreads() -> None:
    pool, done = hashingThreads(), Semaphore(0)
    threads: set[int] = set()

    def job() -> None:
        threads.add(get_ident())
        done.release()

    for _ in range(50):
        pool.callInThread(job)
    assert all(done.acquire(timeout=10) for _ in range(50))
    pool.stop()
    assert 1 <= len(threads) <= min(HASHING_THREADS_MAX, len(os.sched_getaffinity(0)))


def test_whoSharesACoreHasWaitedForIt() -> None:
    """Two processes that want all of one core for a while: each waits about as long as the other runs."""
    program = (
        "import os, time\n"
        "from jindimail.admin.stack import waitedSeconds\n"
        f"os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})\n"
        "print('ready', flush=True); input()\n"
        "before = waitedSeconds()\n"
        "while time.process_time() < 3.0: pass\n"
        "print(waitedSeconds() - before)\n"
    )
    argv = [sys.executable, "-c", program]
    rivals = [
        subprocess.Popen(argv, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)
    ]
    for rival in rivals:
        assert rival.stdout is not None and rival.stdout.readline() == "ready\n"
    for rival in rivals:
        assert rival.stdin is not None
        rival.stdin.write("\n")
        rival.stdin.flush()
    assert all(float(rival.communicate()[0]) > 0.1 for rival in rivals)
