"""
One side of a TLS connection between two buffers of OpenSSL's, worn by what has a network below and a protocol above.

Theory of operation. What the network brings is put into the one buffer, decrypted until there is no whole record left, and
delivered as one: what the other side said in one turn is read in one piece, however many records it made. What the protocol writes is encrypted into the other, which leaves when all the input has been worked on, or when it holds much: what one piece of
input brings about is one write. Twisted's own layer does the same for four times the calls: it makes a protocol and a producer's membrane
for each connection, and pyOpenSSL checks each call's result in Python. Measured in docs/performance.md.

A side that ends says so (`close_notify`); nobody waits for the other's farewell (RFC 8446 §6.1).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress

_READ_OCTETS = 65536
_WRITE_OCTETS = 65536
_HELD_OCTETS_MAX = 8192  # with a full record still less than what one flush takes


class TlsSide:
    """
    What wears TLS. It has no `__init__`, so that a connection may become secure in mid-life: `wearTls` begins it.

    Who wears it has `send`, to the network, and `deliver`, to the protocol; it says by `isDeaf` that nothing more shall be delivered, and is told
    when the handshake is over (`shaken`), when the other side has said farewell (`parted`), and when what comes is not TLS, or not to be trusted (`broken`).

    @ivar flaw: why it is broken, in OpenSSL's words.
    """

    flaw = ""
    tls: ssl.SSLObject
    send: Callable[[bytes], None]
    _in: ssl.MemoryBIO
    _out: ssl.MemoryBIO
    _isEstablished: bool
    _isHolding: bool

    def wearTls(self, context: ssl.SSLContext, *, isServer: bool) -> None:
        """Encrypt from here on; the handshake is the client's to begin (`decrypt(b"")`)."""
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_side=isServer)
        self._isEstablished = self._isHolding = False

    def deliver(self, octets: bytes) -> None:
        """The other side's octets, in the clear."""
        raise NotImplementedError

    def isDeaf(self) -> bool:
        """Whether nothing more shall be delivered."""
        raise NotImplementedError

    def shaken(self) -> None:
        """The handshake is over."""
        raise NotImplementedError

    def parted(self) -> None:
        """The other side writes nothing more."""
        raise NotImplementedError

    def broken(self) -> None:
        """The other side does not speak TLS, is not trusted, or has ended it without a word; it has been told why."""
        raise NotImplementedError

    def decrypt(self, octets: bytes) -> None:
        """Take octets from the network; what they bring about is sent when all is done, but for what is much."""
        self._in.write(octets)
        self._isHolding = True
        try:
            self._decrypt()
        except ssl.SSLError as error:
            self.flaw = getattr(error, "verify_message", "") or error.reason or ""
            self._isHolding = False
            self._flush()
            self.broken()
        finally:
            self._isHolding = False
            self._flush()

    def _decrypt(self) -> None:
        tls, waiting = self.tls, self._in
        if not self._isEstablished:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                return
            self._isEstablished = True
            self.shaken()
        if self.isDeaf():
            return
        records: list[bytes] = []
        try:
            while waiting.pending or tls.pending():
                records.append(tls.read(_READ_OCTETS))
                if not records[-1]:
                    break
        except ssl.SSLWantReadError:
            pass
        finally:  # what came before something that is not to be trusted
            octets = records[0] if len(records) == 1 else b"".join(records)
            if octets:
                self.deliver(octets)
        if records and not records[-1] and not self.isDeaf():
            self.parted()

    def encrypt(self, data: bytes) -> None:
        """Send octets to the other side, once the handshake is over."""
        for piece in (data,) if len(data) <= _WRITE_OCTETS else _pieces(data):
            self.tls.write(piece)
            if not self._isHolding or self._out.pending > _HELD_OCTETS_MAX:
                self._flush()

    def bidFarewell(self) -> None:
        """Say that nothing more will be written."""
        if self._isEstablished:
            with suppress(ssl.SSLError):  # it waits for the other side's, which we do not
                self.tls.unwrap()
            self._flush()

    def _flush(self) -> None:
        if self._out.pending:
            self.send(self._out.read())


def _pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _WRITE_OCTETS):
        yield data[start : start + _WRITE_OCTETS]
