"""
Listening: ports are bound early, while the process may still be root, and accept late, when the node is ready.

Between the two the kernel queues the clients; none of them is greeted, or refused, by a node that cannot yet serve. A service that is closed
refuses its clients, and keeps its ports: who opens it again need not be root.
"""

from __future__ import annotations

import socket
from collections.abc import Collection
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocol, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from jindimail.admin.eager import makeEager
from jindimail.admin.endpoints import removeStaleSocket

# Clients that the kernel keeps waiting, if net.core.somaxconn lets it. One too many believes that it is connected, and waits for a greeting from
# nobody. Twisted's own 50 are spent by a burst, and by a node that starts while all the world has mail for it.
BACKLOG: Final = 1024


class Gate(Factory):
    """What a port is bound with before there is a factory to serve it."""

    noisy = False

    def __init__(self) -> None:
        self.inner: Any = None

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:  # type: ignore[override]
        """The inner factory's protocol; nothing before it is there."""
        return None if self.inner is None else self.inner.buildProtocol(addr)


class Listening:
    """All listening ports of the node by service."""

    _log = Logger()

    def __init__(self) -> None:
        self._gates: dict[str, Gate] = {}
        self._ports: dict[str, list[Any]] = {}
        self._closed: set[str] = set()

    async def bind(self, service: str, endpoint: IStreamServerEndpoint, string: str) -> None:
        """
        Bind a service to an endpoint, without accepting anything yet.

        @raise twisted.internet.error.CannotListenError: somebody else has it.
        """
        removeStaleSocket(string)
        gate = self._gates.setdefault(service, Gate())
        port: Any = await endpoint.listen(gate)
        port.stopReading()
        _listen(port)
        makeEager(port)
        self._ports.setdefault(service, []).append(port)

    def accept(self, service: str, factory: Any) -> None:
        """Serve a service's connections from now on."""
        if service not in self._ports:
            return
        gate = self._gates[service]
        gate.inner = factory
        factory.doStart()
        for port in self._ports[service]:
            if service in self._closed and _isInternet(port):
                _listen(port)
            port.startReading()
        self._closed.discard(service)

    def close(self, services: Collection[str]) -> None:
        """Refuse these services' connections until they are accepted again."""
        for service in set(services) & set(self._ports) - self._closed:
            self._closed.add(service)
            self._gates[service].inner = None
            for port in self._ports[service]:
                if _isInternet(port):
                    port.stopReading()
                    port.socket.shutdown(socket.SHUT_RD)  # bound as before, and refusing (Linux)
                else:
                    port.startReading()  # a UNIX socket could not be taken up again: it hangs up

    def addresses(self) -> dict[str, tuple[str, ...]]:
        """Where each service listens, as an operator reads it."""
        return {
            service: tuple(addressText(port.getHost()) for port in ports)
            for service, ports in self._ports.items()
            if service not in self._closed
        }

    def octets(self) -> dict[str, tuple[int, int]]:
        """Octets received and sent by service over TCP, TLS included; UNIX sockets are not counted."""
        return {
            service: (
                sum(getattr(port, "receivedOctets", 0) for port in ports),
                sum(getattr(port, "sentOctets", 0) for port in ports),
            )
            for service, ports in self._ports.items()
        }

    async def stop(self, besides: Collection[str] = ()) -> None:
        """
        Accept nothing more, but for some services, and give the ports back. A UNIX socket whose file is gone, or belongs to another user, does not:
        it ends with the process, and keeps nothing else from its end.
        """
        stopped = [service for service in self._ports if service not in besides]
        ports: list[IListeningPort] = [port for service in stopped for port in self._ports.pop(service)]
        stopping: list[Deferred[Any]] = [maybeDeferred(port.stopListening) for port in ports]
        for isStopped, result in await DeferredList(stopping, consumeErrors=True):
            if not isStopped:
                self._log.warn("a port cannot be given back: {problem}", problem=result.getErrorMessage())


def _listen(port: Any) -> None:
    """Have clients wait in a queue that is long enough, or as long as the endpoint's `backlog` says."""
    port.socket.listen(max(BACKLOG, port.backlog))


def _isInternet(port: Any) -> bool:
    return port.socket.family in (socket.AF_INET, socket.AF_INET6)


def addressText(address: Any) -> str:
    """`127.0.0.1:25`, `[::1]:25` or a socket's path."""
    if hasattr(address, "host"):
        host = f"[{address.host}]" if ":" in address.host else address.host
        return f"{host}:{address.port}"
    name = address.name
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
