"""The load, in a process of its own: `python -m bench.load` reads a job as one line of JSON, prepares, and says ready.

Then it waits for one more line, runs, and prints its result as JSON. One thread a connection, blocking raw sockets,
envelopes and bodies built beforehand: what it costs is small and is not charged to the server.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from bench.wire import Pop3Client, SmtpClient, WireError, stuffed

_SENDER = b"sender@elsewhere.test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one load process does: `kind` is deliver or drain; bounded by `messagesMax` and by `secondsMax`."""

    kind: str
    host: str
    ports: list[int]  # the connections take them by turns
    tls: bool
    connections: int
    messagesMax: int
    secondsMax: float
    accounts: list[tuple[str, str, str]]  # address, login, password
    lmtp: bool = False
    octets: int = 0
    messagesPerSession: int = 0  # 0: as many as the job has


@dataclass(slots=True, kw_only=True)
class Result:
    """What came of it: acknowledged messages in all and by address, the first errors, seconds from go to the end."""

    messages: int = 0
    octets: int = 0
    seconds: float = 0.0
    clientCpuSeconds: float = 0.0
    byAddress: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    latencyMilliseconds: dict[str, float] = field(default_factory=dict)


class LoadProcess:
    """A prepared load: `run` lets it go and returns its result."""

    def __init__(self, job: Job) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._deadlineSeconds = job.secondsMax + 90
        self._say(json.dumps(asdict(job)))
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise WireError("the load process did not start")

    def run(self) -> Result:
        """Say go, wait for the end."""
        out, _ = self._process.communicate("go\n", timeout=self._deadlineSeconds)
        if self._process.returncode != 0:
            raise WireError("the load process failed")
        return Result(**json.loads(out))

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


class Tally:
    """Counts shared by the connections of a job."""

    def __init__(self, job: Job) -> None:
        self._lock = threading.Lock()
        self._left = job.messagesMax
        self._until = time.monotonic() + job.secondsMax
        self.byAddress: Counter[str] = Counter()
        self.errors: list[str] = []
        self.latencies: list[float] = []
        self.octets = 0

    def take(self) -> bool:
        """Whether one more message may be begun."""
        with self._lock:
            if self._left <= 0 or time.monotonic() > self._until or len(self.errors) >= 5:
                return False
            self._left -= 1
            return True

    def done(self, address: str, octets: int, seconds: float) -> None:
        """One message is acknowledged."""
        with self._lock:
            self.byAddress[address] += 1
            self.octets += octets
            self.latencies.append(seconds)

    def failed(self, error: str) -> None:
        """Note an error; after five the job ends."""
        with self._lock:
            self.errors.append(error)


def letter(octets: int, number: int) -> bytes:
    """A plain message of about `octets` octets, different for each `number`."""
    head = (
        f"From: Sender <sender@elsewhere.test>\r\nTo: Recipient <recipient@bench.test>\r\n"
        f"Subject: bench message {number}\r\nDate: Mon, 02 Jan 2023 03:04:05 +0000\r\n"
        f"Message-ID: <{number}.{time.time_ns()}@elsewhere.test>\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
    ).encode()
    lines = b"".join(
        b"%08d the quick brown fox jumps over the lazy dog, again and again.\r\n" % i for i in range(8)
    )
    count = max(1, (octets - len(head)) // len(lines))
    return head + lines * count


def _deliverer(job: Job, tally: Tally, which: int) -> None:
    template = stuffed(letter(job.octets, 0))
    headEnd = template.index(b"\r\nMIME-Version")
    tail = template[headEnd:]
    number = which * 1_000_000
    while tally.take():
        client = SmtpClient(job.host, job.ports[which % len(job.ports)], lmtp=job.lmtp, tls=job.tls)
        inSession = 0
        while True:
            number += 1
            inSession += 1
            address = job.accounts[number % len(job.accounts)][0]
            envelope = b"MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n" % (_SENDER, address.encode())
            octets = (
                b"Subject: bench %d\r\nMessage-ID: <%d.%d@elsewhere.test>" % (number, number, time.time_ns())
                + tail
            )
            begun = time.monotonic()
            answer = client.deliver(envelope, octets)
            if not answer.startswith(b"250"):
                raise WireError(f"the message was answered {answer!r}")
            tally.done(address, len(octets), time.monotonic() - begun)
            if inSession == job.messagesPerSession or not tally.take():
                break
        client.quit()


def _drainer(job: Job, tally: Tally, which: int) -> None:
    for account in job.accounts[which :: job.connections]:
        while _drainSession(job, tally, job.ports[which % len(job.ports)], *account):
            pass


def _drainSession(job: Job, tally: Tally, port: int, address: str, login: str, password: str) -> bool:
    """One login: read and delete what the session may carry; whether there is more."""
    begun = time.monotonic()
    client = Pop3Client(job.host, port, login, password, tls=job.tls)
    held = client.count()
    wanted = min(held, job.messagesPerSession or held)
    for number in range(1, wanted + 1):
        if not tally.take():
            wanted = held
            break
        octets = len(client.retrieve(number))
        client.command(b"DELE %d\r\n" % number)
        tally.done(address, octets, time.monotonic() - begun)
        begun = time.monotonic()
    client.quit()
    return wanted < held


def perform(job: Job) -> Result:
    """Run the job on its connections, one thread each."""
    tally = Tally(job)
    body = {"deliver": _deliverer, "drain": _drainer}[job.kind]
    threads = [threading.Thread(target=_guarded, args=(body, job, tally, n)) for n in range(job.connections)]
    begun, cpu = time.monotonic(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Result(
        messages=tally.byAddress.total(),
        octets=tally.octets,
        seconds=time.monotonic() - begun,
        clientCpuSeconds=time.process_time() - cpu,
        byAddress=dict(tally.byAddress),
        errors=tally.errors,
        latencyMilliseconds=_quantiles(tally.latencies),
    )


def _guarded(body: Callable[[Job, Tally, int], None], job: Job, tally: Tally, which: int) -> None:
    try:
        body(job, tally, which)
    except (OSError, WireError) as error:
        tally.failed(f"{type(error).__name__}: {error}")


def _quantiles(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    ordered = sorted(seconds)
    return {
        name: round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))], 3)
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }


def main() -> None:
    """Read the job, say ready, await go, print the result."""
    job = Job(**json.loads(sys.stdin.readline()))
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asdict(perform(job))))


if __name__ == "__main__":
    main()
