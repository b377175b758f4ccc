"""This node as a target: founded in a scratch directory, started under the meter, with the store's durability as it is."""

from __future__ import annotations

from collections.abc import Mapping

from zope.interface import implementer

from bench.meter import Meter
from bench.pair import ACCOUNTS
from bench.scrape import counted
from bench.scratch import Scratch
from bench.target import Account, ITarget, freePorts
from tests.support.node import HOST, NodeProcess


@implementer(ITarget)
class Node:
    """One node with the default configuration but loopback ports; passwords are taken without TLS on loopback."""

    name = "node"
    host = HOST
    isLmtp = False

    def __init__(self) -> None:
        self.scratch = Scratch()
        self._meter = Meter("node")
        self.process = NodeProcess(self.scratch.path / "node", wrap=self._meter.wrap)
        self.process.ports["web"] = freePorts(1)[0]
        self.deliveryPorts = [self.process.ports["smtp"]]
        self.pop3Port = self.process.ports["pop3"]
        self.accounts: list[Account] = []

    def start(self) -> None:
        """See `ITarget.start`."""
        self.process.found()
        self.process.start()
        self.accounts = self.process.addAccounts(ACCOUNTS)

    def stop(self) -> None:
        """See `ITarget.stop`."""
        if self.process.isAlive:
            self.process.stop()
        self._meter.close()
        self.scratch.remove()

    def cpuSeconds(self) -> Mapping[str, float]:
        """See `ITarget.cpuSeconds`."""
        return {"total": self._meter.cpuSeconds()}

    def counts(self) -> Mapping[str, float]:
        """See `ITarget.counts`."""
        return counted([self.process.ports["web"]], [self.process.control()])

    def isSettled(self) -> bool:
        """Always: 250 means that the message is in the mailbox."""
        return True

    def settings(self) -> str:
        """The node's configuration."""
        return self.process.configuration.read_text()


@implementer(ITarget)
class NodeLmtp:
    """The LMTP of a running `Node`, the counterpart of Dovecot's LMTP alone."""

    name = "nlmtp"
    host = HOST
    isLmtp = True

    def __init__(self, node: Node) -> None:
        self._node = node
        self.deliveryPorts = [node.process.ports["lmtp"]]
        self.pop3Port = node.pop3Port

    @property
    def accounts(self) -> list[Account]:
        """The node's."""
        return self._node.accounts

    def counts(self) -> Mapping[str, float]:
        """The node's."""
        return self._node.counts()

    def start(self) -> None:
        """Nothing: the node is started as a target of its own."""

    def stop(self) -> None:
        """Nothing: the node stops by itself."""

    def cpuSeconds(self) -> Mapping[str, float]:
        """See `ITarget.cpuSeconds`."""
        return self._node.cpuSeconds()

    def isSettled(self) -> bool:
        """Always."""
        return True

    def settings(self) -> str:
        """Nothing to add to the node's."""
        return ""
