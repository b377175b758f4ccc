"""The node that the programs talk to, and a reader that is trusted to say what arrived there."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Protocol

from bench.target import Account, freePorts
from bench.wire import stuffed
from tests.clients.corpus import Message
from tests.support.node import DOMAIN, HOST, PASSWORD, NodeProcess

_IMPLICIT_TLS = ("submissions", "pop3s", "imaps")
_PREFIX = re.compile(
    rb"Return-Path: <[^\r\n]*>\r\n"
    rb"Delivered-To: [^\r\n]+\r\n"
    rb"Received: from [^\r\n]+\r\n(?:[\t ][^\r\n]+\r\n)*"
)


@dataclass(frozen=True)
class Delivered:
    """A message as the node keeps it: the octets that were sent, under the fields that the node added."""

    prefix: bytes
    sent: bytes


class Reached(Protocol):
    """Where a program reaches a node."""

    @property
    def host(self) -> str:
        """Its address."""
        ...

    def port(self, service: str) -> str:
        """A service's port, as programs take it."""
        ...


class Server:
    """A node in a process of its own; every test takes accounts of its own."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="jn-"))
        self.node = NodeProcess(self.directory)
        self.node.ports |= dict(zip(_IMPLICIT_TLS, freePorts(len(_IMPLICIT_TLS)), strict=True))
        self.host = HOST
        self._numbers = count(1)

    def start(self) -> None:
        """Found the node and wait until it serves."""
        self.node.found()
        self._start()
        self._ask("domain add", domain=DOMAIN)

    def restart(self) -> None:
        """End the node's process and start another on its store."""
        assert self.node.stop() == 0, self.node.log()[-4000:]
        self._start()

    def _start(self) -> None:
        self.node.start()
        self.node.waitUntil((self.node.data / "control").exists, "the control socket is there")

    def close(self) -> None:
        """End the node; a node that did not end well is an error."""
        try:
            assert self.node.stop() == 0, self.node.log()[-4000:]
        finally:
            self.node.close()
            shutil.rmtree(self.directory, ignore_errors=True)

    def newAccount(self, localPart: str = "") -> Account:
        """An account of its own for a test."""
        address = f"{localPart or f'user{next(self._numbers)}'}@{DOMAIN}"
        self._ask("user add", address=address, password=PASSWORD)
        return Account(address=address, login=address, password=PASSWORD)

    def _ask(self, verb: str, **arguments: str) -> None:
        client = self.node.control()
        client.ask(verb, arguments)
        client.close()

    def port(self, service: str) -> str:
        """A service's port, as programs take it."""
        return str(self.node.ports[service])

    @property
    def certificate(self) -> str:
        """The file of the certificate, for programs to trust."""
        return str(self.node.data / "certificate.pem")

    def fill(self, account: Account, messages: tuple[Message, ...]) -> None:
        """Deliver messages over a plain socket, dots stuffed by the simplest code there is."""
        with self.node.smtp() as client:
            for message in messages:
                envelope = b"MAIL FROM:<sender@example.org>\r\nRCPT TO:<%b>\r\nDATA\r\n"
                answer = client.deliver(envelope % account.address.encode(), stuffed(message.octets))
                assert answer.startswith(b"250"), (message.name, answer)
            client.quit()

    def stored(self, account: Account) -> list[bytes]:
        """The messages as the node gives them out, over a plain socket."""
        return self.node.messages(account)

    def delivered(self, account: Account) -> list[Delivered]:
        """The same, taken apart."""
        return [_takenApart(octets) for octets in self.stored(account)]


def _takenApart(octets: bytes) -> Delivered:
    match = _PREFIX.match(octets)
    assert match is not None, octets[:500]
    return Delivered(octets[: match.end()], octets[match.end() :])
