"""
Connections that send at once what can be sent at once.

Twisted's transport asks epoll before each write: two system calls and a turn of the reactor for every reply of a protocol
that waits for its client's next word. Here a write goes to the kernel directly when nothing waits before it; whatever the kernel does not
take, and every error, goes Twisted's own way. Measured in docs/adr/.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp


class EagerServer(tcp.Server):
    """
    A server's side of a TCP connection.

    With a producer there is no short cut: it is asked for more only after a write that the reactor has done.
    """

    def write(self, data: bytes) -> None:
        """See `ITransport.write`."""
        isIdle = not (
            self.dataBuffer or self._tempDataBuffer or self.disconnecting or self._writeDisconnected
        )
        if not isIdle or self.producer is not None or not self.connected or not data:
            tcp.Server.write(self, data)
            return
        sent = self.writeSomeData(data)
        if not isinstance(sent, int):
            sent = 0  # the reactor meets the same error, and ends the connection as it always does
        if sent < len(data):
            tcp.Server.write(self, data[sent:])


def makeEager(port: Any) -> None:
    """Let a listening port accept eager connections, if it is one of plain TCP; UNIX ports are a kind of TCP ports."""
    if isinstance(port, tcp.Port) and port.transport is tcp.Server:
        port.transport = EagerServer
