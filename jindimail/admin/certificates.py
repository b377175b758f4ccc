"""
Certificates: the one that all services speak TLS with, reread while the node runs, and the one made at the founding.

TLS 1.2 at least, no compression, no renegotiation; with TLS 1.2 only forward-secret AEAD suites (RFC 9325 §4.2).
"""

from __future__ import annotations

import os
import ssl
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from ssl import SSLContext, TLSVersion
from threading import Lock

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jindimail.config import Tls
from jindimail.errors import ConfigError
from jindimail.store.environment import syncDirectory

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL:!MD5"
MINIMUM_VERSIONS = {"1.2": TLSVersion.TLSv1_2, "1.3": TLSVersion.TLSv1_3}
SELF_SIGNED_DAYS = 3650

_replacing = Lock()  # two threads that replace one file would take each other's new one


class ReloadableCertificate:
    """
    The context of server connections, with the certificate as it was last read.

    It serves STARTTLS and implicit TLS, so one `reload` is enough for all services; connections under
    way keep what they began with.

    @ivar endsSeconds: when the certificate ends, since the epoch; None: it cannot be told.
    """

    def __init__(self, tls: Tls) -> None:
        self.reload(tls)

    def reload(self, tls: Tls) -> None:
        """
        Read certificate and key again; the old ones stay if these are no good.

        @raise ConfigError: they are no good.
        """
        self.context = contextOf(tls)
        self.endsSeconds = endOf(tls)


def contextOf(tls: Tls) -> SSLContext:
    """
    A server context with the configured certificate chain and key.

    With TLS 1.3 no tickets: they cost each handshake a send of their own, and hold at one node only.

    @raise ConfigError: they cannot be read, or do not belong together.
    """
    context = SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = MINIMUM_VERSIONS[tls.minimumVersion]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    context.set_ciphers(CIPHERS)
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=_noPassphrase)
    except (OSError, ValueError) as error:
        raise ConfigError(_problems(tls, error)) from None
    return context


def endOf(tls: Tls) -> int | None:
    """When the configured certificate ends, in seconds since the epoch: the first of its chain. None: OpenSSL takes it, but it is too odd to be read here."""
    try:
        first, *_ = x509.load_pem_x509_certificates(Path(tls.certificate).read_bytes())
    except ValueError:
        return None
    return int(first.not_valid_after_utc.timestamp())


def _noPassphrase() -> bytes:
    raise ValueError("a passphrase would have to be asked for")


def _problems(tls: Tls, error: Exception) -> tuple[str, ...]:
    """What is wrong with a certificate and a key that do not go together."""
    problems = []
    for key, path, read in (
        ("certificate", tls.certificate, x509.load_pem_x509_certificates),
        ("key", tls.key, lambda octets: serialization.load_pem_private_key(octets, None)),
    ):
        problem = _unreadable(path)
        if problem is None:
            try:
                read(Path(path).read_bytes())
            except (ValueError, TypeError, UnsupportedAlgorithm):
                problem = "not PEM of the right kind"
        if problem is not None:
            problems.append(f"tls.{key}: {path}: {problem}")
    if not problems and getattr(error, "reason", "") in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
        problems.append(f"tls.key: {tls.key}: does not belong to the certificate {tls.certificate}")
    return tuple(problems) or (
        f"tls.certificate: {tls.certificate}: {getattr(error, 'reason', 'not usable')}",
    )


def _unreadable(path: str) -> str | None:
    try:
        with open(path, "rb"):
            return None
    except OSError as problem:
        return problem.strerror or "not readable"


def selfSigned(hostName: str, now: datetime) -> tuple[bytes, bytes]:
    """A self-signed certificate (ECDSA, P-256) for a host name and loopback, and its key: both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostName[:64])])
    alternatives = [x509.DNSName(hostName)]
    if hostName != "localhost":
        alternatives.append(x509.DNSName("localhost"))
    loopback = [x509.IPAddress(ip_address(address)) for address in ("127.0.0.1", "::1")]
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName([*alternatives, *loopback]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usages, critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), privatePem(key)


def privatePem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PKCS #8 PEM, without a passphrase."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def writePrivately(path: str, octets: bytes, mode: int = 0o600) -> None:
    """Write a new file that nobody else may read, durably; FileExistsError if it is there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())


def replacePrivately(path: Path, octets: bytes) -> None:
    """Write a file that nobody else may read, whole and durably, in place of any before."""
    new = path.with_name(path.name + ".new")
    with _replacing:
        new.unlink(missing_ok=True)
        writePrivately(str(new), octets)
        new.rename(path)
        syncDirectory(path.parent)
