"""
The array's certificate authority, and the certificates by which nodes know each other (design §9).

ECDSA on P-256 throughout. A node's certificate says in a URI which node of which array it is (`Identity`); that is the only
login between nodes. Keys and certificates come in and go out as PEM; nothing is stored here, and the time is passed in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jindimail.errors import ConfigError, Refusal

AUTHORITY_DAYS = 25 * 365
NODE_DAYS = 90
DUE_SHARE = 2 / 3  # of a certificate's life; then it is renewed
SKEW = timedelta(days=1)  # by which clocks may be slow
NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
_URI = re.compile(r"jindimail://([0-9a-f]{32})/([1-9][0-9]{0,8})/([a-z0-9.-]{1,63})")


class NotOurs(Refusal):
    """A certificate, or a request for one, that this array does not accept."""


class NotNow(NotOurs):
    """It is the array's, and not valid by this machine's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which node of which array a certificate stands for."""

    arrayId: bytes
    node: int
    name: str

    def uri(self) -> str:
        """As it stands in the certificate's subject alternative name."""
        return f"jindimail://{self.arrayId.hex()}/{self.node}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a node speaks with: its certificate and key, and its array's authority; all PEM."""

    certificate: bytes
    key: bytes
    authority: bytes


def foundAuthority(arrayId: bytes, now: datetime) -> tuple[bytes, bytes]:
    """A new array's authority: its certificate and its private key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"jindimail array {arrayId.hex()}")])
    builder = _builder(name, name, key.public_key(), now, AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(isAuthority=True), critical=True)
    return _pem(builder.sign(key, hashes.SHA256())), _keyPem(key)


def newRequest(name: str) -> tuple[bytes, bytes]:
    """A node's request for a certificate (PKCS #10), and the private key that never leaves it: PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM), _keyPem(key)


def requestHash(request: bytes) -> bytes:
    """
    SHA-256 of a request's public key: the same for a request that is repeated.

    @raise NotOurs: it is no request, or not signed with its key.
    """
    return sha256(_publicOctets(_keyOf(request))).digest()


def certificateHash(certificate: x509.Certificate) -> bytes:
    """`requestHash` of the request that a certificate was issued for."""
    return sha256(_publicOctets(certificate.public_key())).digest()


class Authority:
    """The array's authority, with its key: what issues certificates."""

    def __init__(self, certificate: bytes, key: bytes) -> None:
        """
        @raise ConfigError: the two are not PEM, or do not belong together.
        """
        try:
            self._certificate = x509.load_pem_x509_certificate(certificate)
            loaded = serialization.load_pem_private_key(key, None)
        except (ValueError, TypeError) as problem:
            raise ConfigError(("authority: certificate or key cannot be read",)) from problem
        isPair = isinstance(loaded, ec.EllipticCurvePrivateKey) and _publicOctets(
            loaded.public_key()
        ) == _publicOctets(self._certificate.public_key())
        if not isPair or not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ConfigError(("authority: the key does not belong to the certificate",))
        self._key = loaded
        self.certificate = certificate

    def issue(self, request: bytes, identity: Identity, now: datetime) -> bytes:
        """
        A node's certificate for the key of a request, PEM. Whether the node may have it is the caller's decision.

        @raise NotOurs: the request is none, or the name is none that a node may have.
        """
        if NODE_NAME.fullmatch(identity.name) is None or _URI.fullmatch(identity.uri()) is None:
            raise NotOurs("no name or number for a node")
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, identity.name)])
        key = _keyOf(request)
        builder = _builder(subject, self._certificate.subject, key, now, NODE_DAYS)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(isAuthority=False), critical=True)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity.uri())]), critical=False
        )
        return _pem(builder.sign(self._key, hashes.SHA256()))


# --- looking at certificates


def fingerprintOf(certificate: x509.Certificate | bytes) -> bytes:
    """SHA-256 of a certificate (given parsed, or as PEM): what a join token names an authority by."""
    parsed = loadCertificate(certificate) if isinstance(certificate, bytes) else certificate
    return parsed.fingerprint(hashes.SHA256())


def loadCertificate(certificate: bytes) -> x509.Certificate:
    """
    A certificate from its PEM.

    @raise NotOurs: it is none.
    """
    try:
        return x509.load_pem_x509_certificate(certificate)
    except ValueError as problem:
        raise NotOurs("no certificate") from problem


def identityOf(certificate: x509.Certificate) -> Identity:
    """
    Whose certificate it is, by its own word: believe it only once the authority's signature has been checked.

    @raise NotOurs: it names no node.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, ValueError) as problem:
        raise NotOurs("a certificate that names no node") from problem
    match = _URI.fullmatch(uris[0]) if len(uris) == 1 else None
    if match is None:
        raise NotOurs("a certificate that names no node")
    return Identity(arrayId=bytes.fromhex(match[1]), node=int(match[2]), name=match[3])


def verifyNode(certificate: x509.Certificate, authority: x509.Certificate, now: datetime) -> Identity:
    """
    Whose certificate it is, if the authority issued it to a node and it is valid now.

    @raise NotOurs: it is not.
    """
    try:
        certificate.verify_directly_issued_by(authority)
        constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound) as problem:
        raise NotOurs("not issued by the array's authority") from problem
    for each in (certificate, authority):
        if not each.not_valid_before_utc <= now <= each.not_valid_after_utc:
            raise NotNow("a certificate that is not valid now, by this machine's clock: is that right?")
    if not constraints.ca:
        raise NotOurs("not issued by an authority")
    return identityOf(certificate)


def isDue(certificate: bytes, now: datetime) -> bool:
    """
    Whether it is time to renew a node's certificate (PEM): two thirds of its life are over, or that has not begun. A clock that was ahead gave such
    a one, and the others will not have it for as long.
    """
    parsed = loadCertificate(certificate)
    begin = parsed.not_valid_before_utc + SKEW
    isOver = now >= begin + (parsed.not_valid_after_utc - begin) * DUE_SHARE
    return isOver or now < parsed.not_valid_before_utc


def utc(seconds: float) -> datetime:
    """The time that this module wants, from seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)


# --- making them


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, isAuthority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not isAuthority,
        key_cert_sign=isAuthority,
        crl_sign=isAuthority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _keyOf(request: bytes) -> ec.EllipticCurvePublicKey:
    """The key of a request that is signed with it."""
    try:
        parsed = x509.load_pem_x509_csr(request)
        isSigned = parsed.is_signature_valid
        key = parsed.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as problem:
        raise NotOurs("no request for a certificate") from problem
    if not isSigned or not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise NotOurs("a request that is not signed with a key of P-256")
    return key


def _publicOctets(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined, no-any-return]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _keyPem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
