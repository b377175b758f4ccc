"""Content-Transfer-Encoding undone, tolerantly (RFC 2045 §6); nothing here raises."""

import binascii
from typing import Final

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_ALPHABET: Final = bytes(octet for octet in range(256) if octet not in _ALPHABET)


def decodeTransfer(octets: bytes, encoding: bytes) -> bytes:
    """*octets* with the lower-case *encoding* undone; an unknown encoding is taken as identity."""
    if encoding == b"quoted-printable":
        return binascii.a2b_qp(octets)
    if encoding == b"base64":
        return decodeBase64(octets)
    return octets


def decodeBase64(octets: bytes) -> bytes:
    """The octets of base64 text; anything outside the alphabet is skipped, a broken end is cut off."""
    try:
        return binascii.a2b_base64(octets)
    except binascii.Error:
        text = octets.translate(None, _NOT_ALPHABET)
        text = text[: len(text) - (len(text) % 4 == 1)]
        return binascii.a2b_base64(text + b"=" * (-len(text) % 4))
