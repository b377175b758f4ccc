"""The certificate that all services speak TLS with."""

from __future__ import annotations

import contextlib
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from OpenSSL import SSL

from jindimail.admin.certificates import ReloadableCertificate, contextOf, selfSigned, writePrivately
from jindimail.config import Tls
from jindimail.errors import ConfigError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def tlsIn(directory: Path, name: str = "mail.example.org", **more: str) -> Tls:
    certificate, key = selfSigned(name, NOW)
    (directory / f"{name}.pem").write_bytes(certificate)
    (directory / f"{name}.key").write_bytes(key)
    return Tls(certificate=str(directory / f"{name}.pem"), key=str(directory / f"{name}.key"), **more)


def handshake(server: SSL.Context, version: int | None = None, ciphers: bytes = b"DEFAULT") -> SSL.Connection:
    """A client's connection after a handshake in memory."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_cipher_list(ciphers + b":@SECLEVEL=0")
    if version is not None:
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
    client, other = SSL.Connection(context, None), SSL.Connection(server, None)
    client.set_connect_state()
    other.set_accept_state()
    for _ in range(8):
        for one, peer in ((client, other), (other, client)):
            with contextlib.suppress(SSL.WantReadError):
                one.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                peer.bio_write(one.bio_read(65536))
    return client


def subjectOf(client: SSL.Connection) -> str:
    certificate = client.get_peer_certificate()
    assert certificate is not None
    return certificate.to_cryptography().subject.rfc4514_string().removeprefix("CN=")


def test_selfSignedCertificateIsForTheHostAndLoopback() -> None:
    certificate = x509.load_pem_x509_certificate(selfSigned("mail.example.org", NOW)[0])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mail.example.org", "localhost"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_modernVersionsAreSpoken(tmp_path: Path, version: int) -> None:
    assert subjectOf(handshake(contextOf(tlsIn(tmp_path)), version)) == "mail.example.org"


def test_oldVersionsAreRefused(tmp_path: Path) -> None:
    with pytest.raises(SSL.Error):
        handshake(contextOf(tlsIn(tmp_path)), SSL.TLS1_1_VERSION)
    with pytest.raises(SSL.Error):
        handshake(contextOf(tlsIn(tmp_path, minimumVersion="1.3")), SSL.TLS1_2_VERSION)


def test_ciphersWithoutForwardSecrecyOrAuthenticationAreRefused(tmp_path: Path) -> None:
    for ciphers in (b"AES128-GCM-SHA256", b"ECDHE-ECDSA-AES128-SHA", b"AECDH-AES128-SHA"):
        with pytest.raises(SSL.Error):
            handshake(contextOf(tlsIn(tmp_path)), SSL.TLS1_2_VERSION, ciphers)


def test_reloadHoldsForConnectionsMadeAfterwards(tmp_path: Path) -> None:
    certificate = ReloadableCertificate(tlsIn(tmp_path, "old.example.org"))
    assert subjectOf(handshake(certificate.getContext())) == "old.example.org"
    certificate.reload(tlsIn(tmp_path, "new.example.org"))
    assert subjectOf(handshake(certificate.getContext())) == "new.example.org"


def test_badReloadKeepsWhatThereIs(tmp_path: Path) -> None:
    certificate = ReloadableCertificate(tlsIn(tmp_path, "old.example.org"))
    (tmp_path / "junk.pem").write_text("junk")
    with pytest.raises(ConfigError):
        certificate.reload(Tls(certificate=str(tmp_path / "junk.pem"), key=str(tmp_path / "junk.pem")))
    assert subjectOf(handshake(certificate.getContext())) == "old.example.org"


def test_allThatIsWrongIsNamed(tmp_path: Path) -> None:
    (tmp_path / "junk.pem").write_text("junk")
    with pytest.raises(ConfigError) as caught:
        contextOf(Tls(certificate=str(tmp_path / "junk.pem"), key=str(tmp_path / "none.pem")))
    first, second = caught.value.problems
    assert first.startswith(f"tls.certificate: {tmp_path / 'junk.pem'}: ")
    assert second == f"tls.key: {tmp_path / 'none.pem'}: No such file or directory"


def test_keyOfAnotherCertificateIsNamed(tmp_path: Path) -> None:
    one, other = tlsIn(tmp_path, "one.example.org"), tlsIn(tmp_path, "other.example.org")
    with pytest.raises(ConfigError, match=r"^tls\.key: "):
        contextOf(Tls(certificate=one.certificate, key=other.key))


def test_writtenKeysAreTheirOwnersOnlyAndNeverReplaced(tmp_path: Path) -> None:
    path = str(tmp_path / "key.pem")
    writePrivately(path, b"one")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with pytest.raises(FileExistsError):
        writePrivately(path, b"two")
