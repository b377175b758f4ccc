"""What the bench measures: a mail server that it starts, asks about its CPU time, and stops."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass

from zope.interface import Attribute, Interface

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A mailbox that mail is sent to and read from."""

    address: str
    login: str
    password: str


class ITarget(Interface):
    """A mail server under measurement. `name` heads its column."""

    name = Attribute("short name, the column's head")
    host = Attribute("where it listens: a loopback address")
    deliveryPorts = Attribute("list of ports for deliveries, which connections take by turns")
    pop3Port = Attribute("POP3 with STLS")
    isLmtp = Attribute("deliveries speak LMTP instead of SMTP")
    accounts = Attribute("list of Account")

    def start() -> None:
        """Start with an empty store and wait until all ports answer."""

    def stop() -> None:
        """Stop all processes and remove the scratch directory."""

    def cpuSeconds() -> Mapping[str, float]:
        """CPU time used so far, by part (`total` is always there)."""

    def counts() -> Mapping[str, float]:
        """What it has counted so far, by name (`bench.scrape`); empty for servers that are not asked."""

    def isSettled() -> bool:
        """Whether nothing that was acknowledged is still on its way to a mailbox; asking costs the server nothing."""

    def settings() -> str:
        """The configuration in force, as the server's own tool prints it."""


def freePorts(count: int) -> list[int]:
    """Loopback ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def isListening(host: str, port: int) -> bool:
    """Whether a connection to the port succeeds now."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
