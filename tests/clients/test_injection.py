"""Commands slipped in before TLS are not taken for commands inside it, by any of the three protocols."""

from __future__ import annotations

import pytest

from bench.wire import Line
from tests.clients.server import Server


def connected(server: Server, service: str, *greeting: bytes) -> Line:
    """A connection, with the greeting and what these commands bring read."""
    line = Line(server.host, int(server.port(service)), 30)
    line.line()
    for command in greeting:
        line.write(command)
        while line.line()[3:4] == b"-":
            pass
    return line


@pytest.mark.parametrize(
    ("service", "greeting", "injected", "inside", "answer"),
    [
        ("pop3", (), b"STLS\r\nUSER a\r\n", b"PASS b\r\n", b"-ERR USER first"),
        ("pop3", (b"USER a\r\n",), b"STLS\r\n", b"PASS b\r\n", b"-ERR USER first"),
        ("smtp", (b"EHLO x.example\r\n",), b"STARTTLS\r\nRSET\r\n", b"RCPT TO:<a@bench.test>\r\n", b"503"),
        (
            "smtp",
            (b"EHLO x.example\r\n", b"MAIL FROM:<a@example.org>\r\n"),
            b"STARTTLS\r\n",
            b"RCPT TO:<a@bench.test>\r\n",
            b"503",
        ),
        ("imap", (), b"a STARTTLS\r\nb NOOP\r\n", b"c NOOP\r\n", b"c OK"),
    ],
)
def test_whatCameBeforeTlsIsForgotten(
    server: Server, service: str, greeting: tuple[bytes, ...], injected: bytes, inside: bytes, answer: bytes
) -> None:
    with connected(server, service, *greeting) as line:
        line.write(injected)
        line.line()
        line.startTls()
        line.write(inside)
        assert line.line().startswith(answer)


@pytest.mark.parametrize("service", ["pop3s", "imaps", "submissions"])
def test_greetingsAreInsideImplicitTls(server: Server, service: str) -> None:
    with Line(server.host, int(server.port(service)), 30, tls=True) as line:
        assert line.line()[:4] in (b"+OK ", b"* OK", b"220 ")
