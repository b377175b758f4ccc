"""Where the nodes of an array live: hosts of their own (network namespaces on a bridge), or all on loopback.

A namespace's loopback is its own, so that every node may have the same ports there, and clients that are to talk to a node
enter its namespace first (`inside`). Between nodes only the bridge leads; packets from one host to another are dropped where
they arrive (nftables), so that the sender sees silence, as with a dead cable, and each direction is cut by itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

_CLONE_NEWNET = 0x40000000
_RULES = """\
table inet chaos {
  set lost {
    type ipv4_addr
  }
  chain arriving {
    type filter hook input priority 0
    ip saddr @lost drop
  }
  chain spoilt {
    type filter hook input priority 1
  }
}
"""
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)


class INetwork(Protocol):
    """What an array needs of its network."""

    def address(self, host: str) -> str:
        """The address at which the other nodes reach this one."""
        ...

    def inside(self, host: str) -> contextlib.AbstractContextManager[None]:
        """Within it, this thread's new sockets and processes are that host's."""
        ...

    def add(self, host: str) -> None:
        """One more host."""
        ...

    def heal(self) -> None:
        """Undo all cuts."""
        ...

    def close(self) -> None:
        """Remove what was made."""
        ...


class Loopback:
    """All nodes on this machine's loopback; nothing can be cut."""

    def address(self, host: str) -> str:
        """See `INetwork`."""
        return "127.0.0.1"

    def inside(self, host: str) -> contextlib.AbstractContextManager[None]:
        """See `INetwork`."""
        return contextlib.nullcontext()

    def add(self, host: str) -> None:
        """Nothing to make."""

    def heal(self) -> None:
        """Nothing was cut."""

    def close(self) -> None:
        """Nothing was made."""


class Namespaces:
    """Hosts as network namespaces, joined by a bridge in a namespace of its own: nothing of it touches this machine's own network."""

    def __init__(self, hosts: Sequence[str]) -> None:
        """Make them; root only. Names hold the process id, so that several runs go side by side."""
        self._prefix = f"jn{os.getpid()}x{next(_numbers)}"
        self._hub = f"{self._prefix}hub"
        self._hosts: list[str] = []
        self._cuts: set[tuple[str, str]] = set()
        self._spoilt: set[str] = set()
        try:
            _ip("netns", "add", self._hub)
            self._inHub("link", "add", "br0", "type", "bridge")
            self._inHub("link", "set", "br0", "up")
            for host in hosts:
                self.add(host)
        except BaseException:
            self.close()
            raise

    def add(self, host: str) -> None:
        """One more host."""
        self._hosts.append(host)
        space, port = self.space(host), f"port{len(self._hosts)}"
        _ip("netns", "add", space)
        self._inHub("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
        self._inHub("link", "set", port, "master", "br0", "up")
        _ip("-n", space, "link", "set", "lo", "up")
        _ip("-n", space, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
        _ip("-n", space, "link", "set", "eth0", "up")
        self._filter(host, _RULES)

    def close(self) -> None:
        """Remove them; what still runs in one keeps it until it ends."""
        for space in (self._hub, *map(self.space, self._hosts)):
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)

    def space(self, host: str) -> str:
        """The name of a host's namespace."""
        return self._prefix + host

    def address(self, host: str) -> str:
        """See `INetwork`."""
        return f"10.97.0.{self._hosts.index(host) + 1}"

    @contextlib.contextmanager
    def inside(self, host: str) -> Iterator[None]:
        """See `INetwork`. A namespace is a thread's; a socket stays where it was made, and a process inherits its parent thread's."""
        with open("/proc/thread-self/ns/net", "rb") as before:
            with Path("/run/netns", self.space(host)).open("rb") as there:
                _enter(there.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())

    # --- trouble -------------------------------------------------------------------------------------------

    def lose(self, source: str, target: str) -> None:
        """From now on nothing from `source` arrives at `target`; the other direction is as it was."""
        if (source, target) not in self._cuts:
            self._cuts.add((source, target))
            self._filter(target, f"add element inet chaos lost {{ {self.address(source)} }}\n")

    def part(self, side: Iterable[str], others: Iterable[str]) -> None:
        """Cut all between two sides, both ways."""
        for one, other in itertools.product(side, list(others)):
            self.lose(one, other)
            self.lose(other, one)

    def isolate(self, host: str) -> None:
        """Cut a host off from all others."""
        self.part([host], [each for each in self._hosts if each != host])

    def unplug(self, host: str) -> None:
        """Take the host's cable out: its own end is down, which its processes may notice."""
        _ip("-n", self.space(host), "link", "set", "eth0", "down")

    def spoil(self, source: str, target: str, rule: str) -> None:
        """From now on an nftables `rule` says which packets from `source` do not arrive at `target`: some, or large ones, or too many a second."""
        self._spoilt.add(target)
        self._filter(target, f"add rule inet chaos spoilt ip saddr {self.address(source)} {rule} drop\n")

    def heal(self) -> None:
        """All is joined again."""
        for target in self._spoilt:
            self._filter(target, "flush chain inet chaos spoilt\n")
        self._spoilt.clear()
        for target in {target for _, target in self._cuts}:
            self._filter(target, "flush set inet chaos lost\n")
        self._cuts.clear()
        for host in self._hosts:
            _ip("-n", self.space(host), "link", "set", "eth0", "up")

    def _filter(self, host: str, rules: str) -> None:
        with self.inside(host):
            subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)

    def _inHub(self, *words: str) -> None:
        _ip("-n", self._hub, *words)


def mayMakeNamespaces() -> bool:
    """Whether this process may and can make namespaces and cut what is between them."""
    if os.geteuid() != 0:
        return False
    try:
        Namespaces(["probe"]).close()
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
