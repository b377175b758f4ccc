"""
`make run`: found a node in a directory on first use, start it, and say how to connect.

The node listens on loopback only: on the standard ports where root runs it and they are free, else on high ones. What scripts
need stands in `account.json` (mode 600), rewritten when the node serves.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from jindimail.admin.certificates import replacePrivately
from jindimail.admin.client import ControlClient, NotReachable, Silent
from jindimail.admin.founding import First, foundNode
from jindimail.admin.offline import withReactor
from jindimail.config import Configuration, load
from jindimail.errors import ConfigError
from jindimail.store.environment import storePath

HOST = "127.0.0.1"
DOMAIN = "example.org"
USER = f"first@{DOMAIN}"
START_SECONDS = 60
LOG_LINES = 15
PORTS = {  # service: standard, high
    "smtp": (25, 2525),
    "submission": (587, 2587),
    "submissions": (465, 2465),
    "lmtp": (24, 2424),
    "pop3": (110, 2110),
    "pop3s": (995, 2995),
    "imap": (143, 2143),
    "imaps": (993, 2993),
    "web": (8080, 8080),
}


def main(arguments: list[str]) -> int:
    """Run a node in the directory that is named; the exit status."""
    parser = argparse.ArgumentParser(
        "quickstart", description="Found a node in a directory on first use, and run it: `make run`."
    )
    addDirectory(parser)
    directory = Path(parser.parse_args(arguments).directory).resolve()
    out = sys.stdout
    try:
        configuration = prepared(directory, out)
    except ConfigError as error:
        out.write("".join(f"{problem}\n" for problem in error.problems))
        return 2
    try:
        isRunning = statusOf(configuration) is not None
    except Silent as problem:
        out.write(f"{problem}\n")
        return 1
    if isRunning:
        out.write(f"A node is running in {directory} already.\n")
        return 1
    return run(directory, configuration, out)


def addDirectory(parser: argparse.ArgumentParser) -> None:
    """Where it is founded."""
    parser.add_argument("directory", nargs="?", default="run", help="where all of it is (default: ./run)")


# --- founding ----------------------------------------------------------------------------------------------


def prepared(directory: Path, out: TextIO) -> Configuration:
    """The configuration of the node in a directory, founded if there is none."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / "node.ini"
    if not path.exists():
        path.write_text(configurationText(freePorts()), encoding="utf-8")
    configuration = load(str(path))
    if not storePath(Path(configuration.node.dataDirectory)).is_dir():
        out.write(f"Founding a node in {directory}\n")
        password = secrets.token_urlsafe(12)
        first = First(domain=DOMAIN, user=USER, password=password)
        withReactor(lambda reactor: foundNode(configuration, first, reactor, lambda what: None))
        writeAccount(directory, configuration, password, None)
    return configuration


def freePorts() -> dict[str, int]:
    """A port for each service: the standard one for root, the high one otherwise, any other where that is taken."""
    isRoot = os.geteuid() == 0
    chosen: dict[str, int] = {}
    for service, (standard, high) in PORTS.items():
        wanted = (standard, high, 0) if isRoot else (high, 0)
        chosen[service] = next(port for port in map(bindable, wanted) if port)
    return chosen


def bindable(port: int) -> int:
    """The port if it can be bound on loopback (for 0: some free one), else 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return 0
        return int(probe.getsockname()[1])


def configurationText(ports: dict[str, int]) -> str:
    """The configuration of a node to try things with."""
    listen = "\n".join(f"{service} = tcp:{port}:interface={HOST}" for service, port in ports.items())
    return (
        "# Written by `make run`. `jindictl config example` names and explains every key.\n\n"
        "[node]\nname = node1\nhost-name = localhost\ndata-directory = data\n\n"
        f"[listen]\n{listen}\n\n"
        "[tls]\nplaintext-passwords = loopback\n"
    )


# --- running -----------------------------------------------------------------------------------------------


def run(directory: Path, configuration: Configuration, out: TextIO) -> int:
    """Start the node, say how to connect, and wait for its end; the exit status."""
    twistd = str(Path(sys.executable).parent / "twistd")
    command = [twistd, "-n", "--pidfile=", "--logfile=node.log", "jindimail", "--config", "node.ini"]
    node = subprocess.Popen(command, cwd=directory)  # noqa: S603  nothing of it comes from outside
    stopping = _stopWith(node)
    if not _awaitServing(configuration, node):
        node.wait()
        out.write(
            ""
            if stopping
            else f"The node did not start; {directory / 'node.log'} says why:\n{logEnd(directory)}\n"
        )
        return 0 if stopping else 1
    account = writeAccount(directory, configuration, None, node.pid)
    out.write(howToConnect(directory, account))
    out.flush()
    status = node.wait()
    writeAccount(directory, configuration, None, None)
    if stopping or status in (-signal.SIGTERM, -signal.SIGINT):
        out.write("\nThe node has stopped; `make run` starts it again with everything it holds.\n")
        return 0
    out.write(
        f"The node ended by itself ({status}); {directory / 'node.log'} says why:\n{logEnd(directory)}\n"
    )
    return 1


def _stopWith(node: subprocess.Popen[bytes]) -> list[int]:
    """Hand Ctrl-C and SIGTERM on to the node, once; the list has the signals that came."""
    came: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if not came:
            node.send_signal(signal.SIGTERM)
        came.append(number)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    return came


def _awaitServing(configuration: Configuration, node: subprocess.Popen[bytes]) -> bool:
    """Whether the node serves in time; it has ended if it does not."""
    until = time.monotonic() + START_SECONDS
    while node.poll() is None:
        with suppress(Silent):
            status = statusOf(configuration)
            if status is not None and status["state"] == "serving":
                return True
        if time.monotonic() > until:
            node.terminate()
        time.sleep(0.05)
    return False


def statusOf(configuration: Configuration) -> dict[str, Any] | None:
    """
    What the running node says of itself; None if none is there.

    @raise Silent: one is, and says nothing.
    """
    try:
        client = ControlClient(configuration.controlPath, timeoutSeconds=5)
        try:
            status: dict[str, Any] = client.ask("status", {})
            return status
        finally:
            client.close()
    except Silent:
        raise
    except NotReachable:
        return None


def logEnd(directory: Path) -> str:
    """Why a node could not start, as its log says last; else the last lines of the log."""
    path = directory / "node.log"
    lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
    reasons = [line for line in lines[-LOG_LINES:] if "the node cannot start" in line]
    return "\n".join(reasons[-1:] or lines[-LOG_LINES:])


# --- telling -----------------------------------------------------------------------------------------------


def writeAccount(
    directory: Path, configuration: Configuration, password: str | None, pid: int | None
) -> dict[str, Any]:
    """Write account.json whole, for its owner only; without a password the one that stands there is kept."""
    path = directory / "account.json"
    if password is None and path.exists():
        password = json.loads(path.read_text("utf-8")).get("password")
    account = {"host": HOST, "ports": portsOf(configuration), "user": USER, "password": password, "pid": pid}
    replacePrivately(path, (json.dumps(account, indent=2) + "\n").encode())
    return account


def portsOf(configuration: Configuration, services: Iterable[str] = PORTS) -> dict[str, int]:
    """The TCP port of each service."""
    ports: dict[str, int] = {}
    for service in services:
        for endpoint in getattr(configuration.listen, service):
            if endpoint.startswith("tcp:"):
                ports.setdefault(service, int(endpoint.split(":")[1]))
    return ports


def howToConnect(directory: Path, account: dict[str, Any]) -> str:
    """What a person needs to send and read mail."""
    ports, host = account["ports"], account["host"]
    password = account["password"] or "(not known here; jindictl user passwd sets another)"
    rows = [
        ("SMTP, mail to this server", "smtp", "STARTTLS"),
        ("LMTP", "lmtp", ""),
        ("SMTP, mail from its users", "submission", "STARTTLS, login"),
        ("", "submissions", "TLS, login"),
        ("IMAP", "imap", "STARTTLS, login"),
        ("", "imaps", "TLS, login"),
        ("POP3", "pop3", "STLS, login"),
        ("", "pop3s", "TLS, login"),
        ("HTTP, status and metrics", "web", "login"),
    ]
    lines = [
        f"  {what:<27} {host}:{ports[name]:<6} {how}".rstrip() for what, name, how in rows if name in ports
    ]
    smtp = f"{host}:{ports.get('smtp')}"
    return "\n".join(
        [
            "",
            f"The node serves (pid {account['pid']}):",
            "",
            *lines,
            "",
            f"  user      {account['user']}",
            f"  password  {password}",
            "",
            "The certificate is self-signed: tell your client to accept it. On loopback passwords are taken without TLS, too.",
            "",
            "Try it:",
            f"  swaks --server {smtp} --to {account['user']}",
            f"  curl --user '{account['user']}:{password}' 'imap://{host}:{ports.get('imap')}/INBOX;MAILINDEX=1'",
            f"  {Path(sys.executable).parent / 'jindictl'} --config {directory / 'node.ini'} status",
            "",
            f"All of it stands in {directory / 'account.json'} for scripts; the log is {directory / 'node.log'}. Ctrl-C stops the node.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
