"""
Connections that send at once what can be sent at once.

Twisted's transport asks epoll before each write: two system calls and a turn of the reactor for every reply of a protocol
that waits for its client's next word. Here a write goes to the kernel directly when nothing waits before it; whatever the kernel does not
take, and every error, goes Twisted's own way. TLS (eagertls.py) stands on the same. Measured in docs/performance.md.
"""

from __future__ import annotations

import socket
from typing import Any, Final

from twisted.internet import tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

_ACCEPTS_MAX: Final = 32  # connections in one turn

_log = Logger()
_DONE = Failure(ConnectionDone())


class EagerConnection(tcp.Connection):
    """
    Either side of a TCP connection.

    With a pull producer there is no short cut: it is asked for more only after a write that the reactor has done. A streaming
    producer is paused when what the kernel does not take fills the buffer, and resumed by the reactor, as ever.
    `server` counts the octets (`receivedOctets`, `sentOctets`).
    """

    reactor: Any
    server: Any
    protocol: Any

    def doRead(self) -> Any:
        """See `IReadDescriptor.doRead`: what has come, in one piece."""
        try:
            data = self.socket.recv(self.bufferSize)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self.server.receivedOctets += len(data)
        self.received(data)
        return None

    def received(self, data: bytes) -> None:
        """Octets came from the network."""
        self.protocol.dataReceived(data)

    def write(self, data: bytes) -> None:
        """See `ITransport.write`."""
        self.send(data)

    def writeSequence(self, pieces: Any) -> None:
        """See `ITransport.writeSequence`."""
        self.write(b"".join(pieces))

    def send(self, data: bytes) -> None:
        """Let octets leave for the network: at once, if nothing waits before them; else Twisted's way."""
        isIdle = not (
            self.dataBuffer or self._tempDataBuffer or self.disconnecting or self._writeDisconnected
        )
        producer = self.producer
        isAsked = producer is not None and (not self.streamingProducer or self.producerPaused)
        if not isIdle or isAsked or not self.connected or not data:
            FileDescriptor.write(self, data)
            return
        try:
            sent = self.socket.send(data)
            self.server.sentOctets += sent
        except OSError:
            sent = 0  # it is full; or the reactor meets the same error, and ends the connection as it always does
        if sent < len(data):
            FileDescriptor.write(self, data[sent:])

    def writeSomeData(self, data: bytes) -> Any:
        """Send what the kernel takes; see `FileDescriptor.writeSomeData`."""
        sent = super().writeSomeData(data)
        if isinstance(sent, int):
            self.server.sentOctets += sent
        return sent

    def loseConnection(self) -> None:
        """See `ITransport.loseConnection`; where nothing waits, that is at the end of this turn."""
        isIdle = not (self.dataBuffer or self._tempDataBuffer or self.producer)
        if not isIdle or not self.connected or self.disconnecting or self._writeDisconnected:
            super().loseConnection()  # type: ignore[no-untyped-call]
            return
        self.disconnecting = True
        self.stopReading()  # type: ignore[no-untyped-call]
        self.reactor.callLater(0, self._ended)

    def _ended(self) -> None:
        if not self.connected or not self.disconnecting:
            return
        if self.dataBuffer or self._tempDataBuffer or self.producer is not None:
            self.reactor._disconnectSelectable(self, CONNECTION_DONE, False)
            return
        # As `connectionLost`, where nothing is read or written any more.
        self.connected, self.disconnected = 0, 1
        protocol, descriptor = self.protocol, self.socket
        del self.protocol, self.socket, self.fileno
        descriptor.close()
        protocol.connectionLost(_DONE)


class EagerServer(EagerConnection, tcp.Server):
    """A server's side; its port counts the octets. It has no log prefix: nothing here logs by one."""

    def __init__(  # type: ignore[no-untyped-def]
        self, sock: socket.socket, protocol: Any, client: Any, server: Any, sessionno: int, reactor
    ) -> None:
        """As `tcp.Server`, without what it says of itself to logs."""
        tcp.Connection.__init__(self, sock, protocol, reactor)
        if len(client) != 2:
            self._addressType = IPv6Address
        self.server = server
        self.client = client
        self.sessionno = sessionno
        self.hostname = client[0]
        self.startReading()  # type: ignore[no-untyped-call]
        self.connected = 1

    def __repr__(self) -> str:
        """Which connection of which port."""
        return f"<{type(self).__name__} #{self.sessionno} on {self.server._realPortNumber}>"

    def logPrefix(self) -> str:
        """See `ILoggingContext`."""
        return f"{type(self).__name__},{self.sessionno},{self.hostname}"

    def startTLS(self, ctx: Any, normal: bool = True) -> None:
        """See `ITLSTransport.startTLS`; `ctx` is as in `eagertls.startTls`. A client's side of TLS is Twisted's own."""
        from jindimail.admin.eagertls import startTls

        if normal:
            startTls(self, ctx)
        else:
            tcp.Server.startTLS(self, ctx, normal)


class _Dialled:
    """Counts the octets of all clients' sides together."""

    receivedOctets = sentOctets = 0


class EagerClient(EagerConnection, tcp.Client):
    """A client's side. A TCP connection of Twisted's until it was made."""

    server = _Dialled()


@implementer(IStreamClientEndpoint)
class EagerEndpoint:
    """Another endpoint, whose connections become eager when they are made."""

    def __init__(self, inner: IStreamClientEndpoint) -> None:
        self._inner = inner

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """See `IStreamClientEndpoint.connect`."""
        connecting: Deferred[Any] = self._inner.connect(protocolFactory)
        return connecting.addCallback(_eager)


def _eager(protocol: Any) -> Any:
    transport = protocol.transport
    if type(transport) is tcp.Client and transport.connected:
        transport.__class__ = EagerClient
        transport.protocol = protocol  # without what the endpoint stood between
    return protocol


class EagerPort(tcp.Port):
    """
    A listening port that accepts one connection a turn where they come one by one, and more where more were waiting the last time.

    A TCP port until `makeEager` made it so. What is wrong with accepting, Twisted's own way knows.
    """

    reactor: Any
    factory: Any
    receivedOctets: int
    sentOctets: int
    accepts: int  # of the next turn

    def doRead(self) -> None:
        """See `IReadDescriptor.doRead`. A turn may be long; clients who wait for it one by one would be too many for the kernel's queue."""
        for _ in range(self.accepts):
            if not self._accept():
                self.accepts = 1
                return
        self.accepts = min(2 * self.accepts, _ACCEPTS_MAX)

    def _accept(self) -> bool:
        """Take a connection that waits; whether there may be another."""
        try:
            descriptor, address = self.socket._accept()  # type: ignore[union-attr]
        except BlockingIOError:
            return False
        except OSError:
            tcp.Port.doRead(self)
            return False
        try:
            # `socket.accept` asks for family, kind and default timeout anew, through enumerations made for each.
            accepted = socket.socket(self.addressFamily, socket.SOCK_STREAM, 0, descriptor)
            self._take(accepted, address)
        except Exception:  # the port goes on
            _log.failure("a connection could not be taken")
        return bool(self.connected)

    def _take(self, accepted: socket.socket, address: Any) -> None:
        if len(address) == 4 and address[3]:  # a link-local address is told with its link
            numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
            address = (socket.getnameinfo(address, numeric)[0], *address[1:])
        protocol = self.factory.buildProtocol(self._buildAddr(address))  # type: ignore[no-untyped-call]
        if protocol is None:
            accepted.close()
            return
        number = self.sessionno
        self.sessionno = number + 1
        protocol.makeConnection(EagerServer(accepted, protocol, address, self, number, self.reactor))


def makeEager(port: Any) -> None:
    """Let a listening port accept eager connections, if it is one of plain TCP; UNIX ports are a kind of TCP ports."""
    if type(port) is tcp.Port and port.transport is tcp.Server:
        eager: Any = port
        eager.__class__ = EagerPort
        eager.transport = EagerServer  # what Twisted's own way makes
        eager.receivedOctets = eager.sentOctets = 0
        eager.accepts = 1
