"""
TLS between nodes: 1.3 only, both sides with certificates of the array's authority, and one exception.

The exception is the node that joins: it has no certificate yet, so that the server's side asks for one without insisting, and says by
ALPN which of the two protocols it serves (`door`). Without a certificate there is nothing but the join exchange.
"""

from __future__ import annotations

import os
import ssl
from ssl import SSLContext

from cryptography import x509

from jindimail.cluster.authority import Credentials, loadCertificate
from jindimail.errors import ConfigError

LINK = "jindimail-link"
JOIN = "jindimail-join"


class Contexts:
    """
    What both sides of connections between nodes are made with, from the credentials as they were last given.

    @ivar server, client: for connections that begin now.
    """

    def __init__(self, credentials: Credentials) -> None:
        self.renew(credentials)

    def renew(self, credentials: Credentials) -> None:
        """
        Speak with other credentials from now on; connections under way keep theirs.

        @raise ConfigError: they cannot be used; the old ones stay.
        """
        server, client = (_context(isServer=isServer) for isServer in (True, False))
        for context in (server, client):
            _believe(context, credentials)
        server.verify_mode = ssl.CERT_OPTIONAL  # who joins has none: `Links` lets nobody else in without one
        client.verify_mode = ssl.CERT_REQUIRED
        server.set_alpn_protocols([LINK, JOIN])
        client.set_alpn_protocols([LINK])
        self.credentials = credentials
        self.authority = loadCertificate(credentials.authority)
        self.server, self.client = server, client


def joinContext() -> SSLContext:
    """
    What a node that joins connects with: without a certificate, and without an authority to believe yet.

    OpenSSL proves that the server has the key of the certificate that it shows; whose certificate that is has to be
    checked by the caller before it says anything (`joining`).
    """
    context = _context(isServer=False)
    context.set_alpn_protocols([JOIN])
    return context


def peerChain(tls: ssl.SSLObject) -> list[x509.Certificate]:
    """The certificates that the peer showed, its own first; none if it showed none."""
    own = tls.getpeercert(binary_form=True)
    if own is None:
        return []
    chain = [own, *(each for each in _shown(tls) if each != own)]
    return [x509.load_der_x509_certificate(each) for each in chain]


def _shown(tls: ssl.SSLObject) -> list[bytes]:
    """All certificates that the peer showed. Python has a public name for that since 3.13."""
    if hasattr(tls, "get_unverified_chain"):
        return tls.get_unverified_chain()  # type: ignore[no-any-return]
    chain = tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in chain or ()]


def _context(*, isServer: bool) -> SSLContext:
    context = SSLContext(ssl.PROTOCOL_TLS_SERVER if isServer else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET
    context.check_hostname = False  # the name is in the certificate, and no host's: `authority.identityOf`
    context.verify_mode = ssl.CERT_NONE
    if isServer:
        context.num_tickets = 0
    return context


def _believe(context: SSLContext, credentials: Credentials) -> None:
    """Speak with a node's credentials, and believe the array's authority alone: its signature, valid now."""
    try:
        _load(context, credentials.key + b"\n" + credentials.certificate + b"\n" + credentials.authority)
        context.load_verify_locations(cadata=credentials.authority.decode("ascii"))
    except (OSError, ValueError) as problem:
        raise ConfigError(("cluster: the node's certificate and key cannot be used",)) from problem


def _load(context: SSLContext, pem: bytes) -> None:
    """Key and certificates from memory: `ssl` reads them from files only, and the key shall stand in no other."""
    descriptor = os.memfd_create("credentials")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=_noPassphrase)
    finally:
        os.close(descriptor)


def _noPassphrase() -> bytes:
    raise ValueError("a passphrase would have to be asked for")
