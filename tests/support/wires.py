"""A transport for protocol tests: `StringTransport` that knows TLS and TCP, and a client that may stop reading."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.interfaces import ISSLTransport, ITCPTransport
from twisted.internet.testing import StringTransport
from zope.interface import directlyProvides, implementer


@implementer(ITCPTransport)
class Wire(StringTransport):
    """
    Remembers what was written and asked for.

    With `windowOctets` its streaming producer is paused, as by a real transport, when so much was written and not `drain`ed.
    """

    def __init__(self, *, isTls: bool = False, windowOctets: int | None = None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.noDelay = False
        self.startedTls: list[Any] = []
        self.aborted = False
        self.writes = 0
        self._windowOctets = windowOctets
        self._drained = 0
        self._isFull = False
        if isTls:
            directlyProvides(self, ISSLTransport)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """See `ITCPTransport`."""
        self.noDelay = bool(enabled)

    def startTLS(self, contextFactory: Any, normal: bool = True) -> bool:
        """From now on a TLS transport."""
        self.startedTls.append(contextFactory)
        directlyProvides(self, ISSLTransport)
        return True

    def loseConnection(self) -> None:
        """See `ITransport`. A real transport with a paused producer would wait for ever."""
        assert self.producer is None, "the producer is still registered"
        super().loseConnection()

    def abortConnection(self) -> None:
        """See `ITCPTransport`."""
        self.aborted = True
        self.disconnecting = True

    def write(self, data: bytes) -> None:
        """Take octets, and pause the producer when the window is full."""
        self.writes += 1
        super().write(data)
        self._measure()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """One write."""
        self.write(b"".join(data))

    def drain(self) -> None:
        """The client has read everything."""
        self._drained = len(self.value())
        if self._isFull:
            self._isFull = False
            if self.producer is not None:
                self.producer.resumeProducing()

    @property
    def bufferedOctets(self) -> int:
        """Written and not drained."""
        return len(self.value()) - self._drained

    def _measure(self) -> None:
        if self._windowOctets is None or self._isFull or self.producer is None:
            return
        if self.bufferedOctets > self._windowOctets:
            self._isFull = True
            self.producer.pauseProducing()
