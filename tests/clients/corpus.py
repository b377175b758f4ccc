"""The messages: everything that a line-wise protocol, a chunk boundary or a careless client could spoil."""

from __future__ import annotations

import random
import re
from base64 import encodebytes
from collections.abc import Container
from dataclasses import dataclass

_NAME = re.compile(rb"X-Corpus: ([A-Za-z0-9]+)")
_NAMED_WITHIN = 4096
_LARGE_OCTETS = 25_000_000
_DOTTY_OCTETS = 70_000  # beyond the 64 KiB chunks of the store and the 16 KiB of careless programs


@dataclass(frozen=True)
class Message:
    """A message, named in a header field of its own."""

    name: str
    octets: bytes

    @property
    def isSevenBit(self) -> bool:
        """Whether it is ASCII without NUL."""
        return self.octets.isascii()


def nameOf(octets: bytes) -> str:
    """The name of a message wherever it went; "" for one that carries none."""
    match = _NAME.search(octets, 0, _NAMED_WITHIN)
    return match.group(1).decode() if match else ""


def _message(name: str, body: bytes, header: bytes = b"") -> Message:
    # With Date and Message-ID, lest a submission server or a client add them.
    head = (
        b"X-Corpus: %b\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nFrom: Anna <anna@example.org>\r\n"
        b"To: you@bench.test\r\nMessage-ID: <%b@example.org>\r\nSubject: %b\r\n%b\r\n"
    )
    return Message(name, head % (name.encode(), name.encode(), name.encode(), header) + body)


def _dotted(shift: int) -> Message:
    """Nothing but dots on lines of their own; with the shifts 0 to 2, every offset of a message is a dot of a line of one."""
    return _message(f"dotted{shift}", b"x" * shift + b"\r\n" + b".\r\n" * (_DOTTY_OCTETS // 3))


def _dotty(shift: int) -> Message:
    """All kinds of lines with dots."""
    chance = random.Random(shift)
    lines = [b".\r\n", b"..\r\n", b"...\r\n", b".x\r\n", b"\r\n", b"x.\r\n"]
    dots = b"".join(chance.choices(lines, k=_DOTTY_OCTETS // 3))
    return _message(f"dotty{shift}", b"x" * shift + b"\r\n" + dots)


def _large() -> Message:
    chance = random.Random(25)
    part = encodebytes(chance.randbytes(750_000)).replace(b"\n", b"\r\n")
    body = part * (_LARGE_OCTETS // len(part) + 1)
    return _message("large", body[: body.rindex(b"\r\n", 0, _LARGE_OCTETS) + 2])


def _octets() -> bytes:
    """All octets but NUL, CR and LF, on lines of their own kind."""
    return b"".join(
        bytes(octet for octet in range(start, start + 16) if octet not in (0, 10, 13)) + b"\r\n"
        for start in range(0, 256, 16)
    )


_UTF8_HEADER = "X-Greeting: Grüße an Jörg 你好\r\n".encode()
_MIME = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="=_x"\r\n'
_EIGHT_BIT = (
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
)

SMALL = (
    _message("plain", b"Hello,\r\n\r\nthis is it.\r\n"),
    _message("dot", b".\r\n"),
    _message("dots", b".\r\n..\r\n...\r\n.\r\n\r\n.x\r\n.\r\n"),
    _message("emptyBody", b""),
    _message("blankLines", b"\r\n\r\n\r\nx\r\n\r\n\r\n"),
    _message("blanks", b"trailing  \r\n\ttab\t\r\n \r\n  x\r\n"),
    _message("fromLines", b"From anna\r\n>From anna\r\nFrom anna Mon Nov 23 10:00:00 2026\r\n\r\nFrom x\r\n"),
    _message("lines998", b"a" * 998 + b"\r\n" + b"." * 998 + b"\r\n" + b"b" * 999 + b"\r\n"),
    _message("lines5000", b"d" * 5000 + b"\r\n." + b"e" * 4999 + b"\r\n"),
    _message("longLine", b"." + b"c" * 100_000 + b"\r\n.\r\n"),
    _message("mime", b"--=_x\r\n\r\n.\r\n--=_x\r\n\r\nx\r\n--=_x--\r\n", _MIME),
    _message("eightBit", "Grüße, 你好\r\n.ü\r\n".encode() * 50, _EIGHT_BIT),
    _message("latin1", "Grüße\r\n".encode("latin-1") * 3),
    _message("octets", _octets()),
    _message("utf8Header", b"x\r\n", _UTF8_HEADER),
)
DOTTY = (*map(_dotted, range(3)), *map(_dotty, range(3)))
LARGE = _large()
ALL = (*SMALL, *DOTTY, LARGE)


def differences(expected: list[bytes], got: list[bytes], spoils: Container[str] = ()) -> list[str]:
    """What is missing, surplus or spoilt, and where; the order does not matter, nor what is in the messages `spoils`."""
    byName = {nameOf(octets): octets for octets in expected}
    assert len(byName) == len(expected), "two messages of one name"
    found = []
    for octets in got:
        wanted = byName.pop(nameOf(octets), None)
        if wanted is None:
            found.append(f"{nameOf(octets) or octets[:60]!r}: surplus")
        elif wanted != octets and nameOf(octets) not in spoils:
            found.append(_difference(wanted, octets))
    return found + [f"{name}: missing" for name in byName]


def withoutField(octets: bytes, name: bytes) -> bytes:
    """The message without a header field of one line."""
    header, blank, body = octets.partition(b"\r\n\r\n")
    lines = header.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.startswith(name + b": ")) + blank + body


def _difference(wanted: bytes, octets: bytes) -> str:
    at = next((at for at, (a, b) in enumerate(zip(wanted, octets, strict=False)) if a != b), -1)
    low = max(0, at - 20)
    sizes = f"{len(octets)} octets instead of {len(wanted)}"
    return (
        f"{nameOf(wanted)}: {sizes}, at {at} {octets[low : at + 40]!r} instead of {wanted[low : at + 40]!r}"
    )
