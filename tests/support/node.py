"""A node as a process of its own: founded in a directory, started, asked, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.target import Account, freePorts, isListening
from bench.wire import Pop3Client, SmtpClient
from jindimail.admin.client import ControlClient, NotReachable

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
DOMAIN = "bench.test"
PASSWORD = "only-for-tests"
SERVICES = ("smtp", "submission", "lmtp", "pop3", "imap")
START_SECONDS = 60  # on a machine that does much else
PATIENCE_SECONDS = 120.0  # with a node that may be paused just now
TWISTD: Sequence[str] = ("-c", "from twisted.scripts.twistd import run; run()")

_CONFIGURATION = """\
[node]
name = {name}
host-name = {name}.bench.test
data-directory = {data}

[listen]
{listen}

[tls]
plaintext-passwords = loopback

[limits]
sessions-per-peer = 2000
"""


class NodeFailed(Exception):
    """The node did not start or ended by itself; the text holds the end of its log."""


class NodeProcess:
    """One node under `directory`: `found` once, then `start` and `stop` or `kill` as often as wanted.

    `environment` is added to the process's own (the power-cut shim, say), `program` are the interpreter's arguments
    ahead of twistd's, `wrap` puts the whole command under something else. With a `cluster` address (HOST:PORT) it can be one of several.
    """

    def __init__(
        self,
        directory: Path,
        *,
        name: str = "node1",
        cluster: str = "",
        data: Path | None = None,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = TWISTD,
        wrap: Callable[[list[str]], list[str]] = list,
    ) -> None:
        self.name, self.cluster = name, cluster
        self.directory = directory
        self.data = data or directory / "data"
        self.environment = dict(environment or {})
        self.program = program
        self.ports = dict(zip(SERVICES, freePorts(len(SERVICES)), strict=True))
        self.configuration = directory / "node.ini"
        self.logPath = directory / "node.log"
        self.wrap = wrap
        self._process: subprocess.Popen[bytes] | None = None

    # --- life ----------------------------------------------------------------------------------------------

    def found(self, extra: str = "") -> None:
        """Write the configuration (`extra` is appended) and found the array of one node."""
        self.configure(extra)
        self.jindictl("init", "--config", str(self.configuration))

    def join(self, token: str, extra: str = "") -> None:
        """Write the configuration (`extra` is appended) and join the array that the token invites to."""
        self.configure(extra)
        self.jindictl("join", token, "--config", str(self.configuration))

    def configure(self, extra: str = "") -> None:
        """Write the configuration; `extra` is appended."""
        listen = [f"{service} = tcp:{port}:interface={HOST}" for service, port in self.ports.items()]
        if self.cluster:
            host, _, port = self.cluster.rpartition(":")
            listen.append(f"cluster = tcp:{port}:interface={host}")
            extra += f"\n[cluster]\naddress = {self.cluster}\n"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.configuration.write_text(
            _CONFIGURATION.format(name=self.name, data=self.data, listen="\n".join(listen)) + extra
        )

    def start(self, *, waits: bool = True) -> None:
        """Start the process; by default wait until all its ports listen.

        @raise NodeFailed: it ended, or does not listen within `START_SECONDS`.
        """
        argv = [
            sys.executable,
            *self.program,
            "-n",
            "--pidfile=",
            "jindimail",
            "--config",
            str(self.configuration),
        ]
        with self.logPath.open("ab") as log:
            self._process = subprocess.Popen(
                self.wrap(argv),
                cwd=ROOT,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if waits:
            self.waitUntil(self.isListening, "listens")

    def isListening(self) -> bool:
        """Whether it serves: the control socket answers, and every service's port takes connections."""
        try:
            self.control().close()
        except NotReachable:
            return False
        return all(isListening(HOST, port) for port in self.ports.values())

    def waitUntil(self, isSo: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
        """Look again and again until it is so.

        @raise NodeFailed: the process ended or the time is up.
        """
        until = time.monotonic() + seconds
        while not isSo():
            if not self.isAlive:
                raise NodeFailed(f"the node ended before: {what}\n{self.log()[-4000:]}")
            if time.monotonic() > until:
                raise NodeFailed(f"not within {seconds:g} s: {what}\n{self.log()[-4000:]}")
            time.sleep(0.01)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code. twistd ends itself by that signal once all is stopped in order, which counts as 0."""
        self.signal(signal.SIGTERM)
        code = self.wait()
        return 0 if code == -signal.SIGTERM and "Server Shut Down." in self.log()[-2000:] else code

    def wait(self, seconds: float = 40) -> int:
        """Wait for its end; the exit code."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise NodeFailed(f"the node did not end\n{self.log()[-4000:]}") from None

    def close(self) -> None:
        """End it if it still runs, whatever state it is in."""
        if self.isAlive:
            self.kill()

    @property
    def isAlive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    # --- talk ----------------------------------------------------------------------------------------------

    def smtp(self, *, tls: bool = False) -> SmtpClient:
        """A session on the SMTP port."""
        return SmtpClient(HOST, self.ports["smtp"], tls=tls)

    def pop3(self, account: Account) -> Pop3Client:
        """A logged-in POP3 session."""
        return Pop3Client(HOST, self.ports["pop3"], account.login, account.password)

    def control(self) -> ControlClient:
        """A connection to the control socket."""
        return ControlClient(str(self.data / "control"), timeoutSeconds=PATIENCE_SECONDS)

    def addAccounts(self, count: int, first: int = 1) -> list[Account]:
        """Make the domain if it is not there, and `count` users in it."""
        client = self.control()
        if DOMAIN not in [row["domain"] for row in client.ask("domain list", {})["rows"]]:
            client.ask("domain add", {"domain": DOMAIN})
        accounts = []
        for number in range(first, first + count):
            address = f"u{number}@{DOMAIN}"
            client.ask("user add", {"address": address, "password": PASSWORD})
            accounts.append(Account(address=address, login=address, password=PASSWORD))
        client.close()
        return accounts

    def messages(self, account: Account) -> list[bytes]:
        """All messages of an account's INBOX, over POP3."""
        with self.pop3(account) as client:
            found = list(client.messages())
            client.quit()
            return found

    def jindictl(self, *arguments: str, mayFail: bool = False) -> subprocess.CompletedProcess[str]:
        """Run the command; its output. Unless it may fail, a non-zero exit raises NodeFailed."""
        argv = [sys.executable, "-m", "jindimail.admin.jindictl", *arguments]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0 and not mayFail:
            raise NodeFailed(
                f"jindictl {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done

    def check(self) -> subprocess.CompletedProcess[str]:
        """`jindictl check` on the stopped or running node."""
        return self.jindictl("check", "--config", str(self.configuration), mayFail=True)

    # --- look ----------------------------------------------------------------------------------------------

    def log(self) -> str:
        """All it ever printed."""
        return self.logPath.read_text(errors="replace") if self.logPath.exists() else ""

    def resident(self) -> int:
        """Octets resident now."""
        return self._status("VmRSS")

    def residentPeak(self) -> int:
        """Octets resident at most since `forgetPeak`."""
        return self._status("VmHWM")

    def forgetPeak(self) -> None:
        """Let `residentPeak` begin anew (proc(5), clear_refs)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _status(self, field: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
        raise NodeFailed(f"no {field}: the process is gone")


__all__ = ["DOMAIN", "HOST", "PASSWORD", "ROOT", "NodeFailed", "NodeProcess", "NotReachable"]
