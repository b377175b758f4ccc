"""The network of real arrays: hosts reach each other until they are parted, in each direction by itself."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.network import Namespaces

PORT = 2525
_PATIENCE_SECONDS = 0.3


@pytest.fixture
def network() -> Iterator[Namespaces]:
    made = Namespaces(["a", "b", "c"])
    yield made
    made.close()


def boundAt(network: Namespaces, host: str) -> socket.socket:
    """A socket for datagrams at a host: of those each direction is seen by itself."""
    with network.inside(host):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((network.address(host), PORT))
    made.settimeout(_PATIENCE_SECONDS)
    return made


def arrives(network: Namespaces, source: socket.socket, target: socket.socket) -> bool:
    source.sendto(b"news", target.getsockname())
    try:
        return target.recv(16) == b"news"
    except TimeoutError:
        return False


def test_hostsReachEachOtherAndEachItsOwnLoopback(network: Namespaces) -> None:
    with boundAt(network, "a") as a, boundAt(network, "b") as b:
        assert arrives(network, a, b)
        assert arrives(network, b, a)
    servers = {}
    for host in ("a", "b"):
        with network.inside(host):
            servers[host] = socket.create_server(("127.0.0.1", PORT))
    with network.inside("b"), socket.create_connection(("127.0.0.1", PORT), 5):
        servers["b"].settimeout(5)
        servers["b"].accept()[0].close()
    with network.inside("c"), pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", PORT), 5)
    for server in servers.values():
        server.close()


def test_oneDirectionIsLostAloneAndHealed(network: Namespaces) -> None:
    with boundAt(network, "a") as a, boundAt(network, "b") as b, boundAt(network, "c") as c:
        network.lose("a", "b")
        assert not arrives(network, a, b)
        assert arrives(network, b, a)
        assert arrives(network, a, c)
        network.heal()
        assert arrives(network, a, b)


def test_aPartitionLeavesEachSideToItself(network: Namespaces) -> None:
    with boundAt(network, "a") as a, boundAt(network, "b") as b, boundAt(network, "c") as c:
        network.part(["a", "b"], ["c"])
        assert arrives(network, a, b)
        assert not arrives(network, a, c)
        assert not arrives(network, c, b)
        network.heal()
        network.isolate("a")
        assert not arrives(network, b, a)
        assert arrives(network, c, b)


def test_otherThreadsStayWhereTheyAre(network: Namespaces) -> None:
    def where() -> str:
        return os.readlink("/proc/thread-self/ns/net")

    seen: list[str] = []
    entered = threading.Event()
    other = threading.Thread(target=lambda: (entered.wait(5), seen.append(where())))
    other.start()
    home = where()
    with network.inside("a"):
        assert where() != home
        entered.set()
        other.join()
    assert where() == home
    assert seen == [home]


def test_processesThatBeginInsideLiveThere(network: Namespaces) -> None:
    with network.inside("b"):
        process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    space = os.readlink(f"/proc/{process.pid}/ns/net")
    process.communicate(b"")
    with network.inside("b"):
        assert os.readlink("/proc/thread-self/ns/net") == space


def test_nothingIsLeftBehind() -> None:
    network = Namespaces(["a"])
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert network.space("a") in listed
    network.close()
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert network.space("a") not in listed


def test_aSpoiltDirectionLosesWhatTheRuleSaysUntilItIsHealed(network: Namespaces) -> None:
    with boundAt(network, "a") as a, boundAt(network, "b") as b:
        network.spoil("a", "b", "meta length > 600")
        assert arrives(network, a, b)
        a.sendto(bytes(1000), b.getsockname())
        with pytest.raises(TimeoutError):
            b.recv(2000)
        b.sendto(bytes(1000), a.getsockname())
        assert len(a.recv(2000)) == 1000
        network.heal()
        a.sendto(bytes(1000), b.getsockname())
        assert len(b.recv(2000)) == 1000
