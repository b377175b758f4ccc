"""
Join tokens: what `jindictl cluster invite` prints and `jindictl join` is given (design §9).

Pure. A token says where the array can be reached, which authority it must prove to be (SHA-256 of its certificate), and a secret
that is good for one node and a short time. The array keeps an `InviteRecord` with the secret's hash, never the secret.
"""

from __future__ import annotations

from base64 import b32decode, b32encode
from binascii import Error as BinasciiError
from dataclasses import dataclass
from hashlib import blake2b

from jindimail.errors import ProtocolError

FORMAT = 1
SECRET_OCTETS = 20  # 160 bits
FINGERPRINT_OCTETS = 32
ADDRESSES_MAX = 8
ADDRESS_OCTETS_MAX = 255
TOKEN_CHARACTERS_MAX = 4096
_CHECK_OCTETS = 4
_FIXED_OCTETS = 1 + 5 + FINGERPRINT_OCTETS + SECRET_OCTETS


class BadToken(ProtocolError):
    """Not a join token, or mistyped, or cut short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """
    A join token.

    @ivar addresses: of cluster endpoints of the array, `host:port`, the best first.
    @ivar expirySeconds: since the epoch; only the array's clock counts.
    """

    addresses: tuple[str, ...]
    fingerprint: bytes
    secret: bytes
    expirySeconds: int


def printToken(token: Token) -> str:
    """A token as people carry it: lower-case letters and digits, so that a double click marks all of it."""
    assert len(token.secret) == SECRET_OCTETS and len(token.fingerprint) == FINGERPRINT_OCTETS
    assert 1 <= len(token.addresses) <= ADDRESSES_MAX
    octets = bytes((FORMAT,)) + token.expirySeconds.to_bytes(5, "big") + token.fingerprint + token.secret
    for address in token.addresses:
        encoded = address.encode("utf-8")
        assert 0 < len(encoded) <= ADDRESS_OCTETS_MAX
        octets += bytes((len(encoded),)) + encoded
    return b32encode(octets + _check(octets)).decode("ascii").rstrip("=").lower()


def parseToken(text: str) -> Token:
    """
    A token from its text; blanks and line breaks in it do not matter.

    @raise BadToken: it is none.
    """
    letters = "".join(text.split()).upper()
    if len(letters) > TOKEN_CHARACTERS_MAX:
        raise BadToken("too long")
    try:
        octets = b32decode(letters + "=" * (-len(letters) % 8))
    except (BinasciiError, ValueError) as problem:
        raise BadToken("not a token") from problem
    content, check = octets[:-_CHECK_OCTETS], octets[-_CHECK_OCTETS:]
    if len(content) <= _FIXED_OCTETS or check != _check(content):
        raise BadToken("mistyped or cut short")
    if content[0] != FORMAT:
        raise BadToken("a token of another version")
    return Token(
        addresses=_addresses(content[_FIXED_OCTETS:]),
        fingerprint=content[6 : 6 + FINGERPRINT_OCTETS],
        secret=content[6 + FINGERPRINT_OCTETS : _FIXED_OCTETS],
        expirySeconds=int.from_bytes(content[1:6], "big"),
    )


def secretHash(secret: bytes) -> bytes:
    """What the array keeps of a secret: BLAKE2b, 32 octets. Secrets are random, so nothing slower is needed."""
    return blake2b(secret, digest_size=32, person=b"jindimail-join").digest()


def _check(octets: bytes) -> bytes:
    return blake2b(octets, digest_size=_CHECK_OCTETS, person=b"jindimail-token").digest()


def _addresses(octets: bytes) -> tuple[str, ...]:
    addresses: list[str] = []
    while octets:
        size = octets[0]
        if not size or len(octets) <= size or len(addresses) >= ADDRESSES_MAX:
            raise BadToken("no good addresses")
        try:
            addresses.append(octets[1 : 1 + size].decode("utf-8"))
        except UnicodeDecodeError as problem:
            raise BadToken("no good addresses") from problem
        octets = octets[1 + size :]
    return tuple(addresses)
