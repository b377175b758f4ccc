"""Addresses beyond ASCII (SMTPUTF8, RFC 6531), by the programs that know them."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.target import Account
from tests.clients import corpus
from tests.clients.fetchers import curlImap, curlPop3
from tests.clients.program import run
from tests.clients.server import Server

SENDER = "grüße@exämple.org"


def python(server: Server, account: Account, file: Path) -> None:
    """smtplib."""
    with smtplib.SMTP(server.host, int(server.port("smtp")), "client.example", 60) as client:
        client.ehlo()
        assert client.has_extn("SMTPUTF8")
        options = ["SMTPUTF8", "BODY=8BITMIME"]
        client.sendmail(SENDER, [account.address], file.read_bytes(), options)


def curl(server: Server, account: Account, file: Path) -> None:
    """curl."""
    run(
        *("curl", "-sS", f"smtp://{server.host}:{server.port('smtp')}/client.example"),
        *("--mail-from", SENDER, "--mail-rcpt", account.address, "--upload-file", file),
        home=file.parent,
    )


@pytest.mark.parametrize("send", [python, curl], ids=lambda send: send.__name__)
def test_utf8AddressesAreTakenAndShown(
    server: Server, tmp_path: Path, send: Callable[[Server, Account, Path], None]
) -> None:
    account = server.newAccount(f"jörg.{send.__name__}")
    file = tmp_path / "utf8Header"
    message = next(each for each in corpus.SMALL if each.name == "utf8Header")
    file.write_bytes(message.octets)
    send(server, account, file)
    (delivered,) = server.delivered(account)
    assert delivered.sent == message.octets
    assert b"Delivered-To: " + account.address.encode() + b"\r\n" in delivered.prefix
    assert b"Return-Path: <" in delivered.prefix


@pytest.mark.parametrize("fetch", [curlPop3, curlImap], ids=lambda fetch: fetch.__name__)
def test_utf8NamesLogIn(server: Server, tmp_path: Path, fetch: Callable[..., list[bytes]]) -> None:
    account = server.newAccount(f"björn.{fetch.__name__}")
    (tmp_path / "in").write_bytes(corpus.SMALL[0].octets)
    python(server, account, tmp_path / "in")
    assert fetch(server, account, tmp_path) == server.stored(account)
