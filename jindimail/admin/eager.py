"""
Connections that send at once what can be sent at once.

Twisted's transport asks epoll before each write: two system calls and a turn of the reactor for every reply of a protocol
that waits for its client's next word. Here a write goes to the kernel directly when nothing waits before it; whatever the kernel does not
take, and every error, goes Twisted's own way. TLS (eagertls.py) stands on the same. Measured in docs/performance.md.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from zope.interface import directlyProvides

from jindimail.admin.eagertls import EagerTls, tlsFactory


class EagerServer(tcp.Server):
    """
    A server's side of a TCP connection.

    With a pull producer there is no short cut: it is asked for more only after a write that the reactor has done. A streaming
    producer is paused when what the kernel does not take fills the buffer, and resumed by the reactor, as ever.
    Its port counts the octets (`receivedOctets`, `sentOctets`).
    """

    reactor: Any
    server: Any  # its port

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
        self.protocol.dataReceived(data)
        return None

    def loseConnection(self) -> None:
        """See `ITransport.loseConnection`; where nothing waits, that is at the end of this turn."""
        isIdle = not (self.TLS or self.dataBuffer or self._tempDataBuffer or self.producer)
        if not isIdle or not self.connected or self.disconnecting or self._writeDisconnected:
            tcp.Server.loseConnection(self)
            return
        self.disconnecting = True
        self.stopReading()  # type: ignore[no-untyped-call]
        self.reactor.callLater(0, self._ended)

    def _ended(self) -> None:
        if self.connected and self.disconnecting:
            self.reactor._disconnectSelectable(self, CONNECTION_DONE, False)

    def write(self, data: bytes) -> None:
        """See `ITransport.write`; under TLS the octets go through that layer, and nowhere else."""
        if self.TLS:
            tcp.Server.write(self, data)
        else:
            _writeBeneath(self, data)

    def writeSomeData(self, data: bytes) -> Any:
        """Send what the kernel takes; see `FileDescriptor.writeSomeData`."""
        sent = tcp.Server.writeSomeData(self, data)
        if isinstance(sent, int):
            self.server.sentOctets += sent
        return sent

    def startTLS(self, ctx: Any, normal: bool = True) -> None:
        """See `ITLSTransport.startTLS`; a client's side of TLS is Twisted's own."""
        if not normal:
            tcp.Server.startTLS(self, ctx, normal)
            return
        producer, isStreaming = self.producer, self.streamingProducer
        if producer is not None:
            self.unregisterProducer()  # type: ignore[no-untyped-call]
        self.protocol = layer = EagerTls(tlsFactory(ctx), self.protocol, False)  # type: ignore[no-untyped-call]
        directlyProvides(self, ISSLTransport)
        self.TLS = True
        layer.makeConnection(_Beneath(self))
        if producer is not None:
            self.registerProducer(producer, isStreaming)  # type: ignore[no-untyped-call]

    def getHandle(self) -> Any:
        """The TLS connection if there is one, else the socket."""
        layer: Any = getattr(self, "protocol", None)
        return layer.getHandle() if self.TLS and layer else tcp.Server.getHandle(self)

    def getPeerCertificate(self) -> Any:
        """The client's certificate, which we do not ask for."""
        layer: Any = getattr(self, "protocol", None)
        return layer.getPeerCertificate() if self.TLS and layer else None


class _Beneath:
    """What TLS stands on: the connection without its TLS."""

    def __init__(self, connection: EagerServer) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def write(self, data: bytes) -> None:
        """Send octets as they are."""
        _writeBeneath(self._connection, data)

    def writeSequence(self, pieces: Any) -> None:
        """The same."""
        _writeBeneath(self._connection, b"".join(pieces))

    def loseConnection(self) -> None:
        """Close when everything has been written."""
        FileDescriptor.loseConnection(self._connection)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """TLS itself produces."""
        FileDescriptor.registerProducer(self._connection, producer, streaming)

    def unregisterProducer(self) -> None:
        """TLS has nothing more."""
        FileDescriptor.unregisterProducer(self._connection)


def _writeBeneath(connection: EagerServer, data: bytes) -> None:
    """Send at once, if nothing waits before it; the rest goes Twisted's way."""
    isIdle = not (
        connection.dataBuffer
        or connection._tempDataBuffer
        or connection.disconnecting
        or connection._writeDisconnected
    )
    producer = connection.producer
    isAsked = producer is not None and (not connection.streamingProducer or connection.producerPaused)
    if not isIdle or isAsked or not connection.connected or not data:
        FileDescriptor.write(connection, data)
        return
    try:
        sent = connection.socket.send(data)
        connection.server.sentOctets += sent
    except OSError:
        sent = 0  # it is full; or the reactor meets the same error, and ends the connection as it always does
    if sent < len(data):
        FileDescriptor.write(connection, data[sent:])


def makeEager(port: Any) -> None:
    """Let a listening port accept eager connections, if it is one of plain TCP; UNIX ports are a kind of TCP ports."""
    if isinstance(port, tcp.Port) and port.transport is tcp.Server:
        counting: Any = port
        counting.transport = EagerServer
        counting.receivedOctets = counting.sentOctets = 0
