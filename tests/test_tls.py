"""One side of a TLS connection between two buffers: what comes together is delivered together."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jindimail.admin.certificates import ReloadableCertificate, selfSigned
from jindimail.config import Tls
from jindimail.tls import TlsSide


class Side(TlsSide):
    """Keeps what it is told; what it sends waits for the client."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.told: list[bytes | str] = []
        self.sent = b""
        self.wearTls(context, isServer=True)

    def send(self, data: bytes) -> None:
        """To the network."""
        self.sent += data

    def deliver(self, octets: bytes) -> None:
        """To the protocol."""
        self.told.append(octets)

    def isDeaf(self) -> bool:
        """It is not, before it was told of an end."""
        return "parted" in self.told or "broken" in self.told

    def shaken(self) -> None:
        """Nothing follows."""

    def parted(self) -> None:
        """See `TlsSide`."""
        self.told.append("parted")

    def broken(self) -> None:
        """See `TlsSide`."""
        self.told.append("broken")


class Client:
    """The other side, by the `ssl` module alone."""

    def __init__(self, side: Side) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        for _ in range(4):
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                side.decrypt(self.outgoing.read())
                self.incoming.write(side.sent)
                side.sent = b""
        side.decrypt(self.outgoing.read())

    def record(self, octets: bytes) -> bytes:
        """One record."""
        self.tls.write(octets)
        return self.outgoing.read()

    def farewell(self) -> bytes:
        """The last one."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self.outgoing.read()


@pytest.fixture
def side(tmp_path: Path) -> Side:
    """A server's side."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    chain, private = selfSigned("node1.example.org", datetime.now(UTC))
    certificate.write_bytes(chain)
    key.write_bytes(private)
    loaded = ReloadableCertificate(Tls(certificate=str(certificate), key=str(key)))
    return Side(loaded.context)


def test_recordsThatComeTogetherAreDeliveredTogether(side: Side) -> None:
    client = Client(side)
    side.decrypt(client.record(b"one ") + client.record(b"two"))
    assert side.told == [b"one two"]


def test_aRecordThatIsNotThereAsAWholeWaitsForItsRest(side: Side) -> None:
    client = Client(side)
    octets = client.record(b"one ") + client.record(b"two")
    side.decrypt(octets[:-1])
    side.decrypt(octets[-1:])
    assert side.told == [b"one ", b"two"]


def test_whatComesBeforeAFarewellIsDeliveredAndNothingAfterIt(side: Side) -> None:
    client = Client(side)
    side.decrypt(client.record(b"one ") + client.record(b"two") + client.farewell() + b"more")
    side.decrypt(b"more")
    assert side.told == [b"one two", "parted"]


def test_whatComesBeforeARecordThatIsNotToBeTrustedIsDelivered(side: Side) -> None:
    client = Client(side)
    forged = bytearray(client.record(b"one") + client.record(b"two"))
    forged[-1] ^= 1
    side.decrypt(bytes(forged))
    assert side.told == [b"one", "broken"]
