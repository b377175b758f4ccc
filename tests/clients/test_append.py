"""Messages that only IMAP can bring in: without a last line end, beginning with a dot, with octets of any kind."""

from __future__ import annotations

import imaplib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.target import Account
from tests.clients import corpus
from tests.clients.fetchers import (
    curlImap,
    curlPop3,
    maildir,
    makeMaildir,
    mbsyncSettings,
    mpop,
    pythonImap,
    pythonPop3,
)
from tests.clients.program import run
from tests.clients.server import Server

ODD = (
    b"X-Corpus: noEnd\r\n\r\nno end",
    b"X-Corpus: noEndDot\r\n\r\nx\r\n.",
    b"X-Corpus: noBody\r\n",
    b"X-Corpus: noBodyNoEnd",
    b".X-Corpus: firstDot\r\n\r\n.\r\n",
    b"X-Corpus: crEnd\r\n\r\nx\r\n\r\n",
)


def python(server: Server, account: Account, file: Path) -> None:
    """imaplib; it makes CRLF of all line ends, which these messages have anyway."""
    client = imaplib.IMAP4(server.host, int(server.port("imap")), 60)
    client.login(account.login, account.password)
    status, _ = client.append("INBOX", "", None, file.read_bytes())  # type: ignore[arg-type]
    assert status == "OK"
    client.logout()


def curl(server: Server, account: Account, file: Path) -> None:
    """curl's upload to a mailbox, which is APPEND."""
    run(
        *("curl", "-sS", "--user", f"{account.login}:{account.password}", "--upload-file", file),
        f"imap://{server.host}:{server.port('imap')}/INBOX",
        home=file.parent,
    )


APPENDERS = [python, curl]


@pytest.mark.parametrize("append", APPENDERS, ids=lambda append: append.__name__)
def test_appendedMessagesComeOutAsTheyWentIn(
    server: Server, tmp_path: Path, append: Callable[[Server, Account, Path], None]
) -> None:
    account = server.newAccount()
    messages = [*ODD, *(each.octets for each in corpus.ALL)]
    file = tmp_path / "message"
    for octets in messages:
        file.write_bytes(octets)
        append(server, account, file)
    assert corpus.differences(messages, pythonImap(server, account, tmp_path)) == []
    ended = [octets if octets.endswith(b"\r\n") else octets + b"\r\n" for octets in messages]
    assert corpus.differences(ended, pythonPop3(server, account, tmp_path)) == []


def test_otherProgramsOnOddMessages(server: Server, tmp_path: Path) -> None:
    account = server.newAccount()
    for octets in ODD:
        (tmp_path / "message").write_bytes(octets)
        python(server, account, tmp_path / "message")
    ended = [octets if octets.endswith(b"\r\n") else octets + b"\r\n" for octets in ODD]
    assert corpus.differences(list(ODD), curlImap(server, account, tmp_path)) == []
    assert corpus.differences(ended, curlPop3(server, account, tmp_path)) == []
    lines = [octets.replace(b"\r\n", b"\n") for octets in ended]
    assert corpus.differences(lines, mpop(server, account, tmp_path)) == []


def test_mbsyncPushesAMaildir(server: Server, tmp_path: Path) -> None:
    """Both ways; mbsync adds X-TUID to what it pushes, and takes CRLF for LF."""
    account = server.newAccount()
    box = makeMaildir(tmp_path / "box")
    for number, each in enumerate(corpus.ALL):
        (box / "new" / f"{number}.test").write_bytes(each.octets.replace(b"\r\n", b"\n"))
    settings = mbsyncSettings(server, account, tmp_path, "Push")
    run("mbsync", "-q", "-c", settings, "c", home=tmp_path)
    arrived = pythonImap(server, account, tmp_path)
    assert all(b"\r\nX-TUID: " in octets for octets in arrived)
    stripped = [corpus.withoutField(octets, b"X-TUID") for octets in arrived]
    assert corpus.differences([each.octets for each in corpus.ALL], stripped) == []


def test_mbsyncCarriesFlagsAndDeletions(server: Server, tmp_path: Path) -> None:
    account = server.newAccount()
    server.fill(account, corpus.SMALL[:3])
    settings = mbsyncSettings(server, account, tmp_path, "All", "Expunge Both\n")
    makeMaildir(tmp_path / "box")
    run("mbsync", "-q", "-c", settings, "c", home=tmp_path)
    files = sorted((tmp_path / "box" / "new").iterdir())
    plain, dot, dots = (
        next(f for f in files if corpus.nameOf(f.read_bytes()) == n) for n in ("plain", "dot", "dots")
    )
    cur = tmp_path / "box" / "cur"
    os.rename(plain, cur / (plain.name.partition(":")[0] + ":2,FS"))
    os.rename(dot, cur / (dot.name.partition(":")[0] + ":2,T"))
    os.rename(dots, cur / (dots.name.partition(":")[0] + ":2,"))
    run("mbsync", "-q", "-c", settings, "c", home=tmp_path)
    client = imaplib.IMAP4(server.host, int(server.port("imap")), 60)
    client.login(account.login, account.password)
    client.select("INBOX", readonly=True)
    _, answers = client.fetch("1:*", "(FLAGS)")
    client.logout()
    flags = [set(imaplib.ParseFlags(answer)) - {b"\\Recent"} for answer in answers]
    assert flags == [{b"\\Flagged", b"\\Seen"}, set()]
    assert len(maildir(tmp_path / "box")) == 2
