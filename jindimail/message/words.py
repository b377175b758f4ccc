"""Encoded words in header fields made readable (RFC 2047), tolerantly; nothing here raises."""

import binascii
import re

from jindimail.message import charsets, transfer

_WORD = re.compile(rb"=\?([^?*\s]{1,64})(?:\*[^?\s]{0,64})?\?([bBqQ])\?([^?]*+)\?=")


def decodeWords(value: bytes) -> str:
    """The text of an unfolded field value, for searching and showing. Raw 8-bit octets are read as UTF-8, else windows-1252.

    White space between neighbouring encoded words goes (§6.2), and a character that was split over
    two words of one character set is put together again.
    """
    if b"=?" not in value:
        return charsets.decode(value)
    pieces: list[str] = []
    run: list[bytes] = []
    charset, at = b"", 0
    for match in _WORD.finditer(value):
        between = value[at : match.start()]
        spaced = not between.strip()
        if not spaced or match[1].lower() != charset:
            pieces.append(_decodeRun(run, charset))
            run.clear()
        if not spaced:
            pieces.append(charsets.decode(between))
        run.append(_wordOctets(match[2], match[3]))
        charset, at = match[1].lower(), match.end()
    pieces.append(_decodeRun(run, charset))
    pieces.append(charsets.decode(value[at:]))
    return "".join(pieces)


def _decodeRun(run: list[bytes], charset: bytes) -> str:
    return charsets.decode(b"".join(run), charset.decode("latin-1"))


def _wordOctets(kind: bytes, text: bytes) -> bytes:
    if kind in b"bB":
        return transfer.decodeBase64(text)
    return binascii.a2b_qp(text, header=True)
