"""One cell of the bench: the same job on each target, by turns, with the CPU time each used."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.load import Job, LoadProcess, Result
from bench.scratch import waitUntil
from bench.target import ITarget
from bench.wire import Pop3Client

SETTLE_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is asked: `kind` deliver or drain; a session carries one message or all."""

    kind: str
    octets: int
    tls: bool
    connections: int
    onePerSession: bool = False

    @property
    def title(self) -> str:
        session = "one" if self.onePerSession else "many"
        return f"{self.kind:7} {self.octets // 1000:>3} KB {'tls' if self.tls else '   '} {session:4} x{self.connections}"

    def job(self, target: Any, messagesMax: int, secondsMax: float) -> Job:
        """The load that this cell puts on `target`."""
        return Job(
            kind=self.kind,
            host=target.host,
            ports=target.deliveryPorts if self.kind == "deliver" else [target.pop3Port],
            tls=self.tls,
            lmtp=self.kind == "deliver" and target.isLmtp,
            connections=self.connections,
            messagesMax=messagesMax,
            secondsMax=secondsMax,
            accounts=[(each.address, each.login, each.password) for each in target.accounts],
            octets=self.octets,
            messagesPerSession=1 if self.onePerSession else 0,
        )


@dataclass(slots=True, kw_only=True)
class Score:
    """What one target did in a cell, over all its rounds; seconds run until the last message was in its mailbox."""

    messages: int = 0
    seconds: float = 0.0
    clientCpuSeconds: float = 0.0
    cpuSeconds: dict[str, float] = field(default_factory=dict)
    bestCpuMilliseconds: float = float("inf")
    latencyMilliseconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    missing: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def perSecond(self) -> float:
        return self.messages / self.seconds if self.seconds else 0.0

    @property
    def cpuMilliseconds(self) -> dict[str, float]:
        """Server CPU per message, by part."""
        return (
            {part: 1000 * used / self.messages for part, used in self.cpuSeconds.items()}
            if self.messages
            else {}
        )

    def add(self, result: Result, cpu: dict[str, float], settleSeconds: float, missing: int) -> None:
        """Take in one round."""
        self.messages += result.messages
        self.seconds += result.seconds + settleSeconds
        self.clientCpuSeconds += result.clientCpuSeconds
        self.missing += missing
        self.errors += result.errors
        self.latencyMilliseconds = result.latencyMilliseconds
        for part, used in cpu.items():
            self.cpuSeconds[part] = self.cpuSeconds.get(part, 0.0) + used
        if result.messages:
            self.bestCpuMilliseconds = min(self.bestCpuMilliseconds, 1000 * cpu["total"] / result.messages)

    def asJson(self) -> dict[str, Any]:
        return {**asdict(self), "perSecond": self.perSecond, "cpuMilliseconds": self.cpuMilliseconds}


def measure(
    cell: Cell, targets: Sequence[Any], *, rounds: int, messagesMax: int, secondsMax: float
) -> dict[str, Score]:
    """Warm each target up, then give all of them the same load by turns."""
    scores = {target.name: Score() for target in targets}
    if cell.kind == "deliver":
        for target in targets:
            _round(cell, target, 2 * cell.connections, secondsMax, Score())
    for turn in range(rounds):
        for target in targets if turn % 2 == 0 else reversed(targets):
            _round(cell, target, messagesMax, secondsMax, scores[target.name])
    return scores


def _round(cell: Cell, target: Any, messagesMax: int, secondsMax: float, score: Score) -> None:
    assert ITarget.providedBy(target)
    load = LoadProcess(cell.job(target, messagesMax, secondsMax))
    held = mailboxCounts(target) if cell.kind == "deliver" else {}
    counted = target.counts()
    before = dict(target.cpuSeconds())
    result = load.run()
    settleSeconds = _settle(target)
    after = target.cpuSeconds()
    for what, count in target.counts().items():
        score.counts[what] = score.counts.get(what, 0.0) + count - counted[what]
    cpu = {part: after[part] - used for part, used in before.items()}
    missing = _missing(held, target, result) if cell.kind == "deliver" else 0
    score.add(result, cpu, settleSeconds, missing)


def mailboxCounts(target: Any) -> dict[str, int]:
    """How many messages each account holds, asked over POP3."""
    counts = {}
    for account in target.accounts:
        client = Pop3Client(target.host, target.pop3Port, account.login, account.password)
        counts[account.address] = client.count()
        client.quit()
    return counts


def _settle(target: Any) -> float:
    begun = time.monotonic()
    waitUntil(target.isSettled, f"{target.name} has delivered everything", SETTLE_SECONDS, 0.005)
    return time.monotonic() - begun


def _missing(held: dict[str, int], target: Any, result: Result) -> int:
    found = mailboxCounts(target)
    return sum(
        max(0, count - (found[address] - held[address])) for address, count in result.byAddress.items()
    )


def fill(target: Any, octets: int, messages: int) -> None:
    """Put `messages` of `octets` into the accounts, so that there is something to drain."""
    cell = Cell(kind="deliver", octets=octets, tls=False, connections=4)
    LoadProcess(cell.job(target, messages, 60.0)).run()
    _settle(target)


def empty(target: Any) -> None:
    """Take everything out again, unmeasured."""
    cell = Cell(kind="drain", octets=0, tls=False, connections=4)
    LoadProcess(cell.job(target, 1_000_000, 60.0)).run()
