"""Implicit TLS (RFC 8314), with a real handshake in memory."""

from __future__ import annotations

import ssl
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from jindimail.admin.certificates import selfSigned
from tests.smtp.fakes import Bed, FakeTransport, codes


@implementer(IOpenSSLServerConnectionCreator)
class Certificate:
    def __init__(self) -> None:
        pair = selfSigned("mx.example.org", datetime(2027, 1, 1, tzinfo=UTC))
        certificate, key = sorted(pair, key=lambda pem: b"PRIVATE" in pem)
        self.context = SSL.Context(SSL.TLS_METHOD)
        self.context.use_certificate(load_pem_x509_certificate(certificate))
        self.context.use_privatekey(load_pem_private_key(key, None))

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        return SSL.Connection(self.context, None)


class Handle:
    """The part of `ssl.SSLObject` that tells what is spoken."""

    def __init__(self, connection: SSL.Connection) -> None:
        self.version = connection.get_protocol_version_name
        self.cipher = lambda: (connection.get_cipher_name(), "", 0)


class TlsLayer(TLSMemoryBIOProtocol):
    """Twisted's layer, with the handle that our transports have."""

    def getHandle(self) -> Handle:
        return Handle(self._tlsConnection)


class TlsWire:
    """A client of Python's own `ssl`, connected to the service through octets in memory."""

    def __init__(self, bed: Bed) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.toClient, self.toServer = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = context.wrap_bio(self.toClient, self.toServer)
        self.transport = FakeTransport()
        self.clock = bed.clock
        layer = TLSMemoryBIOFactory(Certificate(), False, bed.factory, bed.clock)
        layer.protocol = TlsLayer  # type: ignore[assignment]
        self.protocol = layer.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def exchange(self) -> None:
        """Carry octets to and fro until there are none; what cannot be read by a paused server stays where it is."""
        while True:
            self.clock.advance(0)
            said = self.transport.value()
            self.transport.clear()
            self.toClient.write(said)
            octets = self.toServer.read() if self.transport.producerState == "producing" else b""
            if octets:
                self.protocol.dataReceived(octets)
            elif not said:
                return

    def handshake(self) -> None:
        for _ in range(10):
            try:
                self.client.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.exchange()
        self.exchange()

    def ask(self, *lines: bytes) -> bytes:
        self.client.write(b"".join(line + b"\r\n" for line in lines))
        self.exchange()
        return self.read()

    def read(self) -> bytes:
        said = b""
        while True:
            try:
                said += self.client.read(65536)
            except ssl.SSLWantReadError:
                return said


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path, service="submission")


@pytest.fixture
def wire(bed: Bed) -> TlsWire:
    wire = TlsWire(bed)
    wire.handshake()
    return wire


def test_theGreetingComesAfterTheHandshake(wire: TlsWire) -> None:
    assert wire.client.version() == "TLSv1.3"
    assert wire.read() == b"220 mx.example.org ESMTP jindimail\r\n"


def test_authIsOfferedAndStarttlsIsNot(wire: TlsWire) -> None:
    wire.read()
    said = wire.ask(b"EHLO a")
    assert b"AUTH PLAIN LOGIN" in said
    assert b"STARTTLS" not in said
    assert codes(wire.ask(b"STARTTLS")) == ["503 5.5.1"]


def test_aMessageTellsOfItsTls(bed: Bed, wire: TlsWire) -> None:
    wire.read()
    wire.ask(b"EHLO a", b"AUTH PLAIN " + b64encode(b"\0joe@example.org\0secret"))
    wire.ask(b"MAIL FROM:<joe@example.org>", b"RCPT TO:<ann@example.org>", b"DATA")
    assert codes(wire.ask(b"Subject: x", b"", b"y" * 300_000, b".")) == ["250 2.0.0"]
    ((_, octets),) = bed.delivery.delivered
    assert octets.split(b"\r\n")[1].startswith(b"\tby mx.example.org with ESMTPSA (TLSv1.3 TLS_")
    assert octets.endswith(b"\r\n\r\n" + b"y" * 300_000 + b"\r\n")


def test_manyRepliesAtOnceComeThrough(wire: TlsWire) -> None:
    wire.read()
    assert codes(wire.ask(*[b"HELP"] * 5000)) == ["214 2.0.0"] * 5000
