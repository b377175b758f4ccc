"""Cheap raw-socket clients: SMTP/LMTP and POP3, as little work per message as Python allows.

They are for measuring and for tests that must see each answer; they check codes and nothing else.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from types import TracebackType
from typing import Self

_READ_OCTETS = 65536


class WireError(Exception):
    """The server answered something else than was expected, or closed the connection."""


class Line:
    """A blocking line-wise connection with one read buffer; `startTls` wraps it in place."""

    def __init__(self, host: str, port: int, timeoutSeconds: float, *, tls: bool = False) -> None:
        self.socket: socket.socket = socket.create_connection((host, port), timeout=timeoutSeconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        if tls:
            self.startTls()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def startTls(self) -> None:
        """Hand the socket to TLS; the certificate is not verified, it is the bench's own."""
        self.socket = _clientContext().wrap_socket(self.socket)

    def write(self, octets: bytes) -> None:
        """Send all of `octets`."""
        self.socket.sendall(octets)

    def line(self) -> bytes:
        """The next line without its CRLF."""
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._more()
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        return line

    def until(self, mark: bytes) -> bytes:
        """All octets up to and including `mark`."""
        octets = bytearray(self._buffer)
        searched = 0
        while (end := octets.find(mark, searched)) < 0:
            searched = max(0, len(octets) - len(mark))
            self._buffer = b""
            self._more()
            octets += self._buffer
        self._buffer = bytes(octets[end + len(mark) :])
        return bytes(octets[: end + len(mark)])

    def _more(self) -> None:
        octets = self.socket.recv(_READ_OCTETS)
        if not octets:
            raise WireError("the server closed the connection")
        self._buffer += octets


class SmtpClient(Line):
    """One SMTP or LMTP session: greeting, EHLO or LHLO, STARTTLS when asked for (RFC 5321, RFC 2033, RFC 3207)."""

    def __init__(
        self, host: str, port: int, timeoutSeconds: float = 60.0, *, lmtp: bool = False, tls: bool = False
    ) -> None:
        super().__init__(host, port, timeoutSeconds)
        self._hello = b"LHLO bench.test\r\n" if lmtp else b"EHLO bench.test\r\n"
        self.expect(b"220")
        self.command(self._hello, b"250")
        if tls:
            self.command(b"STARTTLS\r\n", b"220")
            self.startTls()
            self.command(self._hello, b"250")

    def answer(self) -> bytes:
        """The last line of the next answer."""
        line = self.line()
        while line[3:4] == b"-":
            line = self.line()
        return line

    def expect(self, code: bytes) -> bytes:
        """The next answer, which must begin with `code`."""
        answer = self.answer()
        if not answer.startswith(code):
            raise WireError(f"expected {code.decode()}, got {answer!r}")
        return answer

    def command(self, octets: bytes, code: bytes) -> bytes:
        """Send a command and await its answer."""
        self.write(octets)
        return self.expect(code)

    def deliver(self, envelope: bytes, stuffed: bytes) -> bytes:
        """One pipelined transaction with one recipient: `envelope` from MAIL to DATA, `stuffed` with its final dot.

        Returns the answer to the data.
        """
        self.write(envelope)
        self.expect(b"250")
        self.expect(b"25")
        self.expect(b"354")
        self.write(stuffed)
        return self.answer()

    def transact(self, sender: bytes, recipient: bytes, message: bytes) -> bytes:
        """One transaction, command by command: the first answer that refuses, or the answer to the data.

        `message` is as the user wrote it; after a refusal the session can be used again.
        """
        for command, code in (
            (b"MAIL FROM:<%s>\r\n" % sender, b"250"),
            (b"RCPT TO:<%s>\r\n" % recipient, b"25"),
            (b"DATA\r\n", b"354"),
        ):
            self.write(command)
            answer = self.answer()
            if not answer.startswith(code):
                self.command(b"RSET\r\n", b"250")
                return answer
        self.write(stuffed(message))
        return self.answer()

    def quit(self) -> None:
        """Say QUIT and close."""
        self.command(b"QUIT\r\n", b"221")
        self.socket.close()


class Pop3Client(Line):
    """One POP3 session, logged in with USER and PASS (RFC 1939), under STLS when asked for (RFC 2595)."""

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        password: str,
        timeoutSeconds: float = 60.0,
        *,
        tls: bool = False,
    ) -> None:
        super().__init__(host, port, timeoutSeconds)
        self.expectOk()
        if tls:
            self.command(b"STLS\r\n")
            self.startTls()
        self.command(b"USER %s\r\n" % user.encode())
        self.command(b"PASS %s\r\n" % password.encode())

    def expectOk(self) -> bytes:
        """The next answer, which must be +OK."""
        line = self.line()
        if not line.startswith(b"+OK"):
            raise WireError(f"expected +OK, got {line!r}")
        return line

    def command(self, octets: bytes) -> bytes:
        """Send a command and await its +OK."""
        self.write(octets)
        return self.expectOk()

    def count(self) -> int:
        """How many messages the mailbox holds (STAT)."""
        return int(self.command(b"STAT\r\n").split()[1])

    def retrieve(self, number: int) -> bytes:
        """The message as sent on the wire: dot-stuffed, with the final CRLF, without the closing dot."""
        self.command(b"RETR %d\r\n" % number)
        # An empty message has its dot directly after the answer's line; none is sent here.
        return self.until(b"\r\n.\r\n")[:-3]

    def messages(self) -> Iterator[bytes]:
        """Each message of the mailbox with its dots unstuffed."""
        for number in range(1, self.count() + 1):
            yield unstuffed(self.retrieve(number))

    def quit(self) -> None:
        """Commit deletions with QUIT and close."""
        self.command(b"QUIT\r\n")
        self.socket.close()


def stuffed(message: bytes) -> bytes:
    """`message` (CRLF lines) as DATA wants it, with its final dot (RFC 5321 §4.5.2)."""
    if message.startswith(b"."):
        message = b"." + message
    return message.replace(b"\r\n.", b"\r\n..") + b".\r\n"


def unstuffed(wire: bytes) -> bytes:
    """The inverse of `stuffed`, without the final dot."""
    if wire.startswith(b"."):
        wire = wire[1:]
    return wire.replace(b"\r\n..", b"\r\n.")


def _clientContext() -> ssl.SSLContext:
    global _context
    if _context is None:
        _context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _context.check_hostname = False
        _context.verify_mode = ssl.CERT_NONE
    return _context


_context: ssl.SSLContext | None = None
