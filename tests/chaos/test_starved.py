"""An array that has too little of the processor: it goes on, slower, and loses and doubles nothing (docs/adr/0047)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.chaos.judge import Judge
from tests.chaos.scene import Scene, sharedScene
from tests.chaos.workload import MAILBOXES, TROUBLE

NAMES = ("node1", "node2", "node3")
ACCOUNTS = 12
IN_FLIGHT = 24
RIVALS = 16  # that want all of the one core on which the nodes are
SECONDS = 16
_RIVAL = f"import time\nend = time.monotonic() + {SECONDS + 30}\nwhile time.monotonic() < end: pass"


def confine(pid: int, cores: set[int]) -> None:
    """All threads of a process run on these cores only."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cores)


@contextmanager
def rivals(scene: Scene) -> Iterator[None]:
    """Within it, all nodes share one core with many that do nothing but use it."""
    cores = os.sched_getaffinity(0)
    one = {min(cores)}
    pids = [scene.array.members[name].process.pid for name in NAMES]
    with ExitStack() as stack:
        for pid in pids:
            stack.callback(confine, pid, cores)
            confine(pid, one)
        for _ in range(RIVALS):
            rival = subprocess.Popen([sys.executable, "-c", _RIVAL])
            stack.callback(rival.wait)
            stack.callback(rival.kill)
            confine(rival.pid, one)
        yield


class Senders:
    """So many clients that send one message after the other, to all accounts by turns."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._end = time.monotonic() + SECONDS
        self.answers: Counter[str] = Counter()
        self.late = 0  # that were acknowledged in the second half
        self._threads = [threading.Thread(target=self._run, args=(each,)) for each in range(IN_FLIGHT)]

    def run(self) -> None:
        """Until the time is up, and all have their last answer."""
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        while (left := self._end - time.monotonic()) > 0:
            account = self._scene.accounts[number % ACCOUNTS]
            number += 5
            try:
                answer = self._scene.send(NAMES[number % len(NAMES)], account)[:3].decode()
            except TROUBLE as error:
                answer = type(error).__name__
            self.answers[answer] += 1
            self.late += answer == "250" and left < SECONDS / 2


def test_anArrayWithTooLittleCpuGoesOnAndLosesNothing() -> None:
    with sharedScene(NAMES, ACCOUNTS) as scene:
        for account in scene.accounts:
            with scene.imap(NAMES[0], account) as client:
                for mailbox in MAILBOXES[1:]:
                    client.command(b"CREATE %s" % mailbox.encode())
        scene.array.awaitSettled()
        before = scene.terms()
        senders = Senders(scene)
        with rivals(scene):
            senders.run()
        elections = scene.terms() - before
        print(f"{dict(senders.answers)}, {senders.late} of them late; {elections} elections")
        judge = Judge(scene.array, scene.promises, scene.accounts)
        judge.awaitCalm(NAMES)
        judge.judge(NAMES)
        assert scene.promises.problems == []
        groups = len(scene.array.groups(NAMES[0]))
        assert elections < 2 * groups, "one of each group when it begins, perhaps"
        assert senders.late > IN_FLIGHT, "it goes on"
