"""
Programs that bring mail in: each sends one message, which stands in a file, to an account.

What a program does to the octets is said beside it; none of them is allowed anything else.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
from pathlib import Path

from bench.target import Account
from tests.clients.program import run, write
from tests.clients.server import Reached, Server

Send = Callable[[Server, Account, Path], None]
SENDER = "sender@example.org"


def swaks(server: Reached, account: Account, file: Path) -> None:
    """swaks; with -ndf it sends the file as it stands, so it gets the stuffed octets with their final dot."""
    octets = file.read_bytes().replace(b"\r\n.", b"\r\n..")
    wire = file.with_suffix(".wire")
    wire.write_bytes(octets + b".")
    run(
        *("swaks", "--server", server.host, "--port", server.port("smtp"), "--silent", "2"),
        *(
            "--helo",
            "client.example",
            "--from",
            SENDER,
            "--to",
            account.address,
            "-ndf",
            "--data",
            f"@{wire}",
        ),
        home=file.parent,
    )


def msmtp(server: Server, account: Account, file: Path) -> None:
    """msmtp, over SMTP without TLS."""
    run(
        *("msmtp", f"--host={server.host}", f"--port={server.port('smtp')}", "--tls=off", "--auth=off"),
        *(f"--from={SENDER}", "--", account.address),
        home=file.parent,
        input=file.read_bytes(),
    )


def msmtpSubmission(server: Server, account: Account, file: Path) -> None:
    """msmtp as a user's program: STARTTLS with the certificate verified, AUTH PLAIN, the user's own address."""
    settings = write(
        file.with_suffix(".msmtprc"),
        f"account a\nhost {server.host}\nport {server.port('submission')}\ntls on\ntls_starttls on\n"
        f"tls_trust_file {server.certificate}\nauth plain\nuser {account.login}\npassword {account.password}\n"
        f"from {account.address}\naccount default : a\n",
    )
    run("msmtp", "-C", settings, account.address, home=file.parent, input=file.read_bytes())


def curl(server: Server, account: Account, file: Path) -> None:
    """curl, over SMTP without TLS."""
    run(
        *("curl", "-sS", f"smtp://{server.host}:{server.port('smtp')}/client.example"),
        *("--mail-from", SENDER, "--mail-rcpt", account.address, "--upload-file", file),
        home=file.parent,
    )


def curlSubmission(server: Server, account: Account, file: Path) -> None:
    """curl with STARTTLS, the certificate verified, and a password."""
    run(
        *("curl", "-sS", "--ssl-reqd", "--cacert", server.certificate, "--user", _login(account)),
        *(f"smtp://{server.host}:{server.port('submission')}/client.example", "--mail-from", account.address),
        *("--mail-rcpt", account.address, "--upload-file", file),
        home=file.parent,
    )


def curlSubmissions(server: Server, account: Account, file: Path) -> None:
    """curl over implicit TLS."""
    run(
        *("curl", "-sS", "--cacert", server.certificate, "--user", _login(account)),
        *(
            f"smtps://{server.host}:{server.port('submissions')}/client.example",
            "--mail-from",
            account.address,
        ),
        *("--mail-rcpt", account.address, "--upload-file", file),
        home=file.parent,
    )


def pythonSmtp(server: Server, account: Account, file: Path) -> None:
    """smtplib.SMTP."""
    with smtplib.SMTP(server.host, int(server.port("smtp")), "client.example", 60) as client:
        client.sendmail(SENDER, [account.address], file.read_bytes(), ["BODY=8BITMIME"])


def pythonSubmission(server: Server, account: Account, file: Path) -> None:
    """smtplib.SMTP with STARTTLS, the certificate verified, and AUTH."""
    with smtplib.SMTP(server.host, int(server.port("submission")), "client.example", 60) as client:
        client.starttls(context=ssl.create_default_context(cafile=server.certificate))
        client.login(account.login, account.password)
        client.sendmail(account.address, [account.address], file.read_bytes(), ["BODY=8BITMIME"])


def pythonLmtp(server: Server, account: Account, file: Path) -> None:
    """smtplib.LMTP."""
    with smtplib.LMTP(server.host, int(server.port("lmtp")), "client.example") as client:
        client.sendmail(SENDER, [account.address], file.read_bytes(), ["BODY=8BITMIME"])


def _login(account: Account) -> str:
    return f"{account.login}:{account.password}"


SENDERS: tuple[Send, ...] = (
    swaks,
    msmtp,
    msmtpSubmission,
    curl,
    curlSubmission,
    curlSubmissions,
    pythonSmtp,
    pythonSubmission,
    pythonLmtp,
)
