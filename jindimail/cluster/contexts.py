"""
TLS between nodes: 1.3 only, both sides with certificates of the array's authority, and one exception.

The exception is the node that joins: it has no certificate yet, so that the server's side asks for one without insisting, and says by
ALPN which of the two protocols it serves (`door`). Without a certificate there is nothing but the join exchange.
"""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL
from OpenSSL.crypto import X509
from OpenSSL.SSL import Connection, Context
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from jindimail.cluster.authority import Credentials, loadCertificate
from jindimail.errors import ConfigError

LINK = b"jindimail-link"
JOIN = b"jindimail-join"
PROTOCOLS = (LINK, JOIN)
_PASSED = 0


@implementer(IOpenSSLServerConnectionCreator, IOpenSSLClientConnectionCreator)
class Contexts:
    """Makes both sides of connections between nodes, with the credentials as they were last given."""

    def __init__(self, credentials: Credentials) -> None:
        self.renew(credentials)

    def renew(self, credentials: Credentials) -> None:
        """
        Speak with other credentials from now on; connections under way keep theirs.

        @raise ConfigError: they cannot be used; the old ones stay.
        """
        server, client = _nodeContext(credentials), _nodeContext(credentials)
        server.set_alpn_select_callback(_select)
        client.set_alpn_protos([LINK])
        self.credentials = credentials
        self.authority = loadCertificate(credentials.authority)
        self._server, self._client = server, client

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> Connection:
        """See IOpenSSLServerConnectionCreator."""
        return Connection(self._server, None)

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> Connection:
        """See IOpenSSLClientConnectionCreator."""
        return Connection(self._client, None)


@implementer(IOpenSSLClientConnectionCreator)
class JoinContext:
    """
    Makes connections of a node that joins: without a certificate, and without an authority to believe yet.

    OpenSSL proves that the server has the key of the certificate that it shows; whose certificate that is has to be
    checked by the caller before it says anything (`joining`).
    """

    def __init__(self) -> None:
        self._context = _context()
        self._context.set_alpn_protos([JOIN])

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> Connection:
        """See IOpenSSLClientConnectionCreator."""
        return Connection(self._context, None)


def peerChain(transport: TLSMemoryBIOProtocol) -> list[x509.Certificate]:
    """The certificates that the peer showed, its own first; none if it showed none."""
    connection = transport.getHandle()
    own = connection.get_peer_certificate(as_cryptography=True)
    if own is None:
        return []
    chain = connection.get_peer_cert_chain(as_cryptography=True) or []
    return [own, *(each for each in chain if each != own)]


def _context() -> Context:
    context = Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    return context


def _nodeContext(credentials: Credentials) -> Context:
    context = _context()
    try:
        certificate, authority = (
            x509.load_pem_x509_certificate(each) for each in (credentials.certificate, credentials.authority)
        )
        key = serialization.load_pem_private_key(credentials.key, None)
        context.use_certificate(certificate)
        context.use_privatekey(key)  # type: ignore[arg-type]
        context.check_privatekey()
        context.add_extra_chain_cert(authority)
        store = context.get_cert_store()
        assert store is not None
        store.add_cert(X509.from_cryptography(authority))
    except (ValueError, TypeError, SSL.Error) as problem:
        raise ConfigError(("cluster: the node's certificate and key cannot be used",)) from problem
    context.set_verify(SSL.VERIFY_PEER, _verified)
    return context


def _verified(connection: Connection, certificate: X509, error: int, depth: int, isGood: int) -> bool:
    """OpenSSL's word counts: signature by the array's authority, and valid now."""
    return bool(isGood) and error == _PASSED


def _select(connection: Connection, offered: list[bytes]) -> Any:
    for protocol in PROTOCOLS:
        if protocol in offered:
            return protocol
    return SSL.NO_OVERLAPPING_PROTOCOLS
