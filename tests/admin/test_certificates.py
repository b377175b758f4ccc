"""The certificate that all services speak TLS with."""

from __future__ import annotations

import contextlib
import os
import ssl
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from jindimail.admin.certificates import (
    ReloadableCertificate,
    contextOf,
    replacePrivately,
    selfSigned,
    writePrivately,
)
from jindimail.config import Tls
from jindimail.errors import ConfigError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def tlsIn(directory: Path, name: str = "mail.example.org", **more: str) -> Tls:
    certificate, key = selfSigned(name, NOW)
    (directory / f"{name}.pem").write_bytes(certificate)
    (directory / f"{name}.key").write_bytes(key)
    return Tls(certificate=str(directory / f"{name}.pem"), key=str(directory / f"{name}.key"), **more)


def handshake(
    server: ssl.SSLContext, version: ssl.TLSVersion | None = None, ciphers: str = "DEFAULT"
) -> ssl.SSLObject:
    """A client's connection after a handshake in memory."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers(ciphers + ":@SECLEVEL=0")
    if version is not None:
        context.minimum_version = context.maximum_version = version
    toServer, toClient = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(toClient, toServer)
    other = server.wrap_bio(toServer, toClient, server_side=True)
    for _ in range(4):
        for each in (client, other):
            with contextlib.suppress(ssl.SSLWantReadError):
                each.do_handshake()
    return client


def subjectOf(client: ssl.SSLObject) -> str:
    octets = client.getpeercert(binary_form=True)
    assert octets is not None
    return x509.load_der_x509_certificate(octets).subject.rfc4514_string().removeprefix("CN=")


def test_selfSignedCertificateIsForTheHostAndLoopback() -> None:
    certificate = x509.load_pem_x509_certificate(selfSigned("mail.example.org", NOW)[0])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mail.example.org", "localhost"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_modernVersionsAreSpoken(tmp_path: Path, version: ssl.TLSVersion) -> None:
    assert subjectOf(handshake(contextOf(tlsIn(tmp_path)), version)) == "mail.example.org"


def test_oldVersionsAreRefused(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLError):
        handshake(contextOf(tlsIn(tmp_path)), ssl.TLSVersion.TLSv1_1)
    with pytest.raises(ssl.SSLError):
        handshake(contextOf(tlsIn(tmp_path, minimumVersion="1.3")), ssl.TLSVersion.TLSv1_2)


def test_ciphersWithoutForwardSecrecyOrAuthenticationAreRefused(tmp_path: Path) -> None:
    for ciphers in ("AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "AECDH-AES128-SHA"):
        with pytest.raises(ssl.SSLError):
            handshake(contextOf(tlsIn(tmp_path)), ssl.TLSVersion.TLSv1_2, ciphers)


def test_aKeyWithAPassphraseIsNamedAndNobodyIsAskedForIt(tmp_path: Path) -> None:
    tls = tlsIn(tmp_path)
    key = serialization.load_pem_private_key(Path(tls.key).read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    Path(tls.key).write_bytes(pem)
    with pytest.raises(ConfigError, match=r"^tls\.key: "):
        contextOf(tls)


def test_theHandshakeIsTheLastThatIsSentUnasked(tmp_path: Path) -> None:
    client = handshake(contextOf(tlsIn(tmp_path)), ssl.TLSVersion.TLSv1_3)
    assert client.session is None or not client.session.has_ticket
    with pytest.raises(ssl.SSLWantReadError):
        client.read(1)
    assert client.session is None or not client.session.has_ticket


def test_reloadHoldsForConnectionsMadeAfterwards(tmp_path: Path) -> None:
    certificate = ReloadableCertificate(tlsIn(tmp_path, "old.example.org"))
    assert subjectOf(handshake(certificate.context)) == "old.example.org"
    certificate.reload(tlsIn(tmp_path, "new.example.org"))
    assert subjectOf(handshake(certificate.context)) == "new.example.org"


def test_badReloadKeepsWhatThereIs(tmp_path: Path) -> None:
    certificate = ReloadableCertificate(tlsIn(tmp_path, "old.example.org"))
    (tmp_path / "junk.pem").write_text("junk")
    with pytest.raises(ConfigError):
        certificate.reload(Tls(certificate=str(tmp_path / "junk.pem"), key=str(tmp_path / "junk.pem")))
    assert subjectOf(handshake(certificate.context)) == "old.example.org"


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


def test_aFileThatTwoThreadsReplaceAtOnceIsWholeAndNeitherFails(tmp_path: Path) -> None:
    path, wholes = tmp_path / "peers.json", [bytes([letter]) * 10_000 for letter in b"ab"]
    with ThreadPoolExecutor(len(wholes)) as pool:
        list(pool.map(lambda whole: replacePrivately(path, whole), wholes * 50))
    assert path.read_bytes() in wholes
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
