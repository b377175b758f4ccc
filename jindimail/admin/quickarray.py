"""
`make array`: an array of several nodes on this machine, on loopback only; founded on first use, kept ever after.

Each node is a process of its own in `run/array/nodeN`. Those that run already, from another `make array`, are left alone: so a
second one starts what was killed, or with a larger NODES adds nodes to an array that runs. What scripts need stands in
`run/array.json` (mode 600), rewritten whenever it changes.
"""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from jindimail.admin.certificates import replacePrivately
from jindimail.admin.client import ControlClient, NotReachable, Refused, Silent
from jindimail.admin.livenode import STARTING
from jindimail.admin.quickstart import DOMAIN, HOST, USER, addDirectory, bindable, logEnd, portsOf, statusOf
from jindimail.cluster.arrayrecords import GONE
from jindimail.config import Configuration, load
from jindimail.errors import ConfigError
from jindimail.store.environment import storePath

NODES_MAX = 9
FIRST_PORT = 20_000  # node n listens on 20000 + 100 n + these, or some thousands higher
BLOCKS = 12
PORTS = {
    "smtp": 25,
    "submission": 87,
    "submissions": 65,
    "lmtp": 24,
    "pop3": 10,
    "pop3s": 95,
    "imap": 43,
    "imaps": 93,
    "web": 80,
    "cluster": 0,
}
START_SECONDS = 60
WHOLE_SECONDS = 300
LOOK_SECONDS = 0.2


def main(arguments: Sequence[str]) -> int:
    """Run an array in the directory that is named, of so many nodes; the exit status."""
    parser = argparse.ArgumentParser(
        "quickarray",
        description="Found an array of nodes in a directory on first use, and run it: `make array`.",
    )
    addDirectory(parser)
    parser.add_argument("nodes", nargs="?", default="3", help=f"how many: 1 to {NODES_MAX} (default: 3)")
    options = parser.parse_args(arguments)
    directory = Path(options.directory).resolve()
    count = int(options.nodes) if options.nodes.isdecimal() else 0
    if not 1 <= count <= NODES_MAX:
        sys.stdout.write(f"NODES: 1 to {NODES_MAX}\n")
        return 2
    try:
        array = Array(directory, count, sys.stdout)
        try:
            return array.run()
        finally:
            array.stop()
    except (ConfigError, Failed, NotReachable, Refused) as problem:
        sys.stdout.write(f"{problem}\n")
        return 1


class Failed(Exception):
    """Something did not come about; the text says what, and where to look."""


class Stopped(Exception):
    """Ctrl-C, or SIGTERM."""


@dataclass(slots=True)
class Site:
    """One node's directory, and its process if this program started it."""

    number: int
    directory: Path
    configuration: Configuration
    process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The node's name."""
        return self.configuration.node.name

    @property
    def isFounded(self) -> bool:
        """Whether it has a store."""
        return storePath(Path(self.configuration.node.dataDirectory)).is_dir()

    def status(self) -> dict[str, Any] | None:
        """What it says of itself, if it runs and answers."""
        with suppress(Silent):
            return statusOf(self.configuration)
        return None

    @property
    def isOurs(self) -> bool:
        """Whether it is a process of this program's, and has not ended."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it, out of reach of this terminal's Ctrl-C: it is stopped in order, by SIGTERM."""
        twistd = str(Path(sys.executable).parent / "twistd")
        command = [twistd, "-n", "--pidfile=", "--logfile=node.log", "jindimail", "--config", "node.ini"]
        self.process = subprocess.Popen(  # noqa: S603  nothing of it comes from outside
            command, cwd=self.directory, start_new_session=True, stdin=subprocess.DEVNULL
        )

    def ask(self, verb: str, **arguments: Any) -> Any:
        """The result of a verb."""
        client = ControlClient(self.configuration.controlPath)
        try:
            return client.ask(verb, arguments)
        finally:
            client.close()


class Array:
    """The array of a directory."""

    def __init__(self, directory: Path, count: int, out: TextIO) -> None:
        self._path = directory / "array.json"
        self._out = out
        sites = directory / "array"
        known = [path for path in sites.glob("node[1-9]") if (path / "node.ini").exists()]
        numbers = {*range(1, count + 1), *(int(path.name[4:]) for path in known)}
        self._sites = [prepared(sites, number) for number in sorted(numbers)]
        self._signals: list[int] = []

    # --- life

    def run(self) -> int:
        """Found what is not there, start what does not run, and wait for the end."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stopped)
        try:
            self._bringUp()
            self._tell()
            self._watch()
        except Stopped:
            pass
        return 0

    def _stopped(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)
        if len(self._signals) == 1:
            raise Stopped

    def stop(self) -> None:
        """Stop the nodes that this program started."""
        mine = [site for site in self._sites if site.isOurs]
        for site in mine:
            assert site.process is not None
            site.process.terminate()
            site.process.send_signal(signal.SIGCONT)  # whoever paused it to see what happens
        for site in mine:
            assert site.process is not None
            site.process.wait()
        if mine:
            if (
                self._path.exists()
            ):  # else nobody can make the first account any more, and what went wrong is to be said
                self._write()
            self._say("\nThe nodes have stopped; `make array` starts them again with everything they hold.\n")

    def _bringUp(self) -> None:
        for site in self._sites:
            if site.isFounded and statusOf(site.configuration) is None:
                site.start()
        if not any(site.isFounded for site in self._sites):
            first = self._sites[0]
            self._say("Founding the array\n")
            jindictl(first, "init")
            first.start()
        for site in self._sites:
            if site.isFounded:
                self._await(site)
        self._leaveOutGone()
        for site in self._sites:
            if not site.isFounded:
                self._join(site)
        for site in self._sites:
            self._await(site)
        self._awaitWhole()
        self._write()

    def _join(self, site: Site) -> None:
        inviting = next(each for each in self._sites if each.isFounded)
        self._await(inviting)
        self._say(f"{site.name} joins\n")
        jindictl(site, "join", inviting.ask("cluster invite")["token"])
        site.start()

    def _await(self, site: Site) -> None:
        """Wait until a node serves."""
        until = time.monotonic() + START_SECONDS
        while (status := site.status()) is None or status["state"] == STARTING:
            hasEnded = site.process is not None and site.process.poll() is not None
            if hasEnded or time.monotonic() > until:
                raise Failed(
                    f"{site.name} does not serve; {site.directory}/node.log says why:\n{logEnd(site.directory)}"
                )
            time.sleep(LOOK_SECONDS)

    def _leaveOutGone(self) -> None:
        """Stop the nodes that the array has given up: they never come back, and it is whole without them."""
        told: list[dict[str, Any]] = []
        for site in self._sites:
            with suppress(Refused, NotReachable):  # one that is gone can confirm nothing
                told += site.ask("cluster nodes")["rows"] if site.isFounded else []
        gone = {row["name"] for row in told if row["state"] == GONE}
        for site in [each for each in self._sites if each.name in gone]:
            self._say(f"{site.name} was removed from the array, and stays off\n")
            if site.process is not None:
                site.process.terminate()
                site.process.wait()
            self._sites.remove(site)

    def _awaitWhole(self) -> None:
        """Wait until every bucket has its replicas."""
        until = time.monotonic() + WHOLE_SECONDS
        shown = ""
        while not (status := self._arrayStatus())["isWhole"] or len(status["nodes"]) < len(self._sites):
            groups = status["groups"]
            toCome = groups["replicasMissing"] + groups["movesToCome"]
            line = f"Placing replicas: {toCome} to come, {groups['withoutLeader']} groups without a leader"
            if line != shown and self._out.isatty():
                self._say("\r" + line.ljust(len(shown)))
                shown = line
            if time.monotonic() > until:
                raise Failed(f"the array does not get whole: {json.dumps(status)}")
            time.sleep(LOOK_SECONDS)
        if shown:
            self._say("\n")

    def _arrayStatus(self) -> Any:
        for site in self._sites:
            try:
                return site.ask("cluster status")
            except (NotReachable, Refused):
                continue
        raise Failed("no node answers")

    def _watch(self) -> None:
        """Until all nodes that this program started have ended, or are to end."""
        running = {site.number for site in self._sites if site.process is not None}
        if not running:
            self._say("All nodes run already; nothing was started here.\n")
        while running:
            time.sleep(LOOK_SECONDS)
            for site in self._sites:
                status = site.process.poll() if site.process is not None else None
                if status is not None and site.number in running:
                    running.discard(site.number)
                    self._write()
                    self._say(
                        f"{site.name} ended ({status}). `make array` in another terminal starts it again.\n"
                    )

    # --- telling

    def _say(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()

    def _write(self) -> None:
        """Write array.json, with a first account if there is none yet."""
        accounts = json.loads(self._path.read_text())["accounts"] if self._path.exists() else []
        statuses = [site.status() for site in self._sites]
        if not accounts:
            accounts = [self._makeAccount()]
        nodes = [
            {
                "name": site.name,
                "pid": site.process.pid
                if site.process and site.isOurs
                else status["pid"]
                if status
                else None,
                "ports": portsOf(site.configuration, PORTS),
                "data": site.configuration.node.dataDirectory,
                "config": str(site.directory / "node.ini"),
            }
            for site, status in zip(self._sites, statuses, strict=True)
        ]
        text = json.dumps({"host": HOST, "nodes": nodes, "accounts": accounts}, indent=2) + "\n"
        replacePrivately(self._path, text.encode())

    def _makeAccount(self) -> dict[str, str]:
        first = self._sites[0]
        password = secrets.token_urlsafe(12)
        if DOMAIN not in [row["domain"] for row in first.ask("domain list")["rows"]]:
            first.ask("domain add", domain=DOMAIN)
        try:
            first.ask("user add", address=USER, password=password, mayAdminister=True)
        except Refused:  # made by a run that was killed before it wrote it down
            first.ask("user passwd", address=USER, password=password)
        return {"user": USER, "password": password}

    def _tell(self) -> None:
        self._say(walkThrough(json.loads(self._path.read_text()), self._path))


def prepared(sites: Path, number: int) -> Site:
    """A node's directory, with a configuration if it had none."""
    directory = sites / f"node{number}"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / "node.ini"
    if not path.exists():
        path.write_text(configurationText(number, freePorts(number)), encoding="utf-8")
    return Site(number=number, directory=directory, configuration=load(str(path)))


def freePorts(number: int) -> dict[str, int]:
    """A port for each service of a node: all its own, or those of another thousand where one is taken."""
    for block in range(BLOCKS):
        base = FIRST_PORT + 1000 * block + 100 * number
        ports = {service: bindable(base + port) for service, port in PORTS.items()}
        if all(ports.values()):
            return ports
    raise Failed(f"no free ports for node {number} from {FIRST_PORT} on")


def configurationText(number: int, ports: dict[str, int]) -> str:
    """The configuration of a node of an array to try things with."""
    listen = "\n".join(f"{service} = tcp:{port}:interface={HOST}" for service, port in ports.items())
    return (
        "# Written by `make array`. `jindictl config example` names and explains every key.\n\n"
        f"[node]\nname = node{number}\nhost-name = localhost\ndata-directory = data\n\n"
        f"[listen]\n{listen}\n\n"
        f"[cluster]\naddress = {HOST}:{ports['cluster']}\n\n"
        "[tls]\nplaintext-passwords = loopback\n"
    )


def jindictl(site: Site, *arguments: str) -> None:
    """Run a command for a node that does not run."""
    command = [sys.executable, "-m", "jindimail.admin.jindictl", "--config", str(site.directory / "node.ini")]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise Failed(f"jindictl {arguments[0]} for {site.name}: {done.stderr.strip()}")


def walkThrough(told: dict[str, Any], path: Path) -> str:
    """What a person needs to use the array, and to see it survive."""
    nodes, account = told["nodes"], told["accounts"][0]
    user, password = account["user"], account["password"]
    rows = [
        f"  {node['name']:<7} SMTP {node['ports']['smtp']}  LMTP {node['ports']['lmtp']}  IMAP {node['ports']['imap']}"
        f"  POP3 {node['ports']['pop3']}  web {node['ports']['web']}  pid {node['pid']}"
        for node in nodes
    ]
    one, other, victim = nodes[0], nodes[1 % len(nodes)], nodes[-1]
    command = f"{Path(sys.executable).parent / 'jindictl'} --config {one['config']}"
    deliver = (
        f"  printf 'Subject: hello\\n\\nhow are you?\\n' | curl --crlf smtp://{HOST}:{one['ports']['smtp']}"
        f" --mail-from you@example.net --mail-rcpt {user} -T -"
    )
    return "\n".join(
        [
            "",
            f"An array of {len(nodes)} nodes serves on {HOST}:",
            "",
            *rows,
            "",
            f"  user      {user}",
            f"  password  {password}",
            "",
            "Deliver at one node, read at another:",
            deliver,
            f"  curl --user '{user}:{password}' 'imap://{HOST}:{other['ports']['imap']}/INBOX;MAILINDEX=1'",
            "",
            "Kill a node, deliver again, watch the array heal:",
            f"  kill -9 {victim['pid']}",
            deliver,
            f"  {command} cluster status",
            "",
            "Start it again, or with one node more (in another terminal):",
            "  make array",
            f"  make array NODES={min(len(nodes) + 1, NODES_MAX)}",
            "",
            f"The array at a glance, in a browser: http://{HOST}:{one['ports']['web']}/ (log in as {user})",
            "",
            f"All of it stands in {path} for scripts. Ctrl-C stops the nodes.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
