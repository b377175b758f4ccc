"""
Programs that take mail out: each gives all messages of an account's INBOX, and leaves them there.

A program that writes files for this machine turns CRLF into LF; nothing else may differ. Where a program adds fields of its own, it is told
not to.
"""

from __future__ import annotations

import imaplib
import poplib
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.target import Account
from tests.clients.program import run, runOnTerminal, write
from tests.clients.server import Server

Fetch = Callable[[Server, Account, Path], list[bytes]]


@dataclass(frozen=True)
class Fetcher:
    """A program and what it makes of line ends."""

    fetch: Fetch
    keepsCrlf: bool
    spoils: frozenset[str] = frozenset()
    """Messages that come, but that the program itself spoils: what it does is said beside it."""
    adds: bytes = b""
    """The pattern of what the program itself adds at the end of each header."""

    @property
    def name(self) -> str:
        """What the test is called."""
        return self.fetch.__name__

    def expected(self, stored: bytes) -> bytes:
        """A stored message as this program gives it."""
        return stored if self.keepsCrlf else stored.replace(b"\r\n", b"\n")

    def withoutAdded(self, got: bytes) -> bytes:
        """A message as the program gave it, without what it added; it must have added it."""
        if not self.adds:
            return got
        header, blank, body = got.partition(b"\n\n")
        header, count = re.subn(b"\n" + self.adds + b"$", b"", header)
        assert count == 1, got[:1000]
        return header + blank + body


def maildir(place: Path) -> list[bytes]:
    """The messages of a Maildir."""
    return [file.read_bytes() for sub in ("new", "cur") for file in sorted((place / sub).iterdir())]


def box(place: Path) -> Path:
    """A directory for one file a message."""
    made = place / "box"
    made.mkdir(exist_ok=True)
    return made


def filesOf(place: Path) -> list[bytes]:
    """What is in it."""
    return [file.read_bytes() for file in sorted((place / "box").iterdir())]


def makeMaildir(place: Path) -> Path:
    """An empty Maildir."""
    for sub in ("new", "cur", "tmp"):
        (place / sub).mkdir(parents=True)
    return place


# --- POP3 ---------------------------------------------------------------------------------------------------


def pythonPop3(server: Server, account: Account, place: Path) -> list[bytes]:
    """poplib; it takes lines of at most 2048 octets unless told otherwise."""
    poplib._MAXLINE = 1_000_000  # type: ignore[attr-defined]
    client = poplib.POP3(server.host, int(server.port("pop3")), 60)
    client.user(account.login)
    client.pass_(account.password)
    messages = []
    for number in range(1, client.stat()[0] + 1):
        _, lines, _ = client.retr(number)
        messages.append(b"".join(line + b"\r\n" for line in lines))
    client.quit()
    return messages


def pythonPop3Tls(server: Server, account: Account, place: Path) -> list[bytes]:
    """poplib with STLS, the certificate verified; TOP of all lines must be the message too."""
    poplib._MAXLINE = 1_000_000  # type: ignore[attr-defined]
    client = poplib.POP3(server.host, int(server.port("pop3")), 60)
    client.stls(ssl.create_default_context(cafile=server.certificate))
    client.user(account.login)
    client.pass_(account.password)
    messages = []
    for number in range(1, client.stat()[0] + 1):
        _, lines, _ = client.top(number, 10_000_000)
        messages.append(b"".join(line + b"\r\n" for line in lines))
    client.quit()
    return messages


def curlPop3(server: Server, account: Account, place: Path) -> list[bytes]:
    """curl, over POP3 without TLS."""
    return _curlPop3(server, account, place, "pop3")


def curlPop3s(server: Server, account: Account, place: Path) -> list[bytes]:
    """curl, over POP3 with implicit TLS."""
    return _curlPop3(server, account, place, "pop3s")


def _curlPop3(server: Server, account: Account, place: Path, scheme: str) -> list[bytes]:
    curl = _curl(server, account)
    address = f"{scheme}://{server.host}:{server.port(scheme)}"
    count = len(run(*curl, f"{address}/", home=place).splitlines())
    run(*curl, f"{address}/[1-{count}]", "-o", "#1", home=place)
    return [(place / str(number)).read_bytes() for number in range(1, count + 1)]


def _curl(server: Server, account: Account) -> tuple[str, ...]:
    login = f"{account.login}:{account.password}"
    return ("curl", "-sS", "--cacert", server.certificate, "--user", login)


def curlPop3Command(server: Server, account: Account, place: Path, command: str) -> None:
    """curl, sending a command of one's own."""
    address = f"pop3://{server.host}:{server.port('pop3')}/"
    login = f"{account.login}:{account.password}"
    run("curl", "-sS", "--user", login, "--head", "--request", command, address, home=place)


def mpop(server: Server, account: Account, place: Path, deletes: bool = False) -> list[bytes]:
    """mpop with STLS and pipelining into a Maildir, without its Received field."""
    inbox = makeMaildir(place / "box")
    settings = write(
        place / "mpoprc",
        f"account a\nhost {server.host}\nport {server.port('pop3')}\ntls on\ntls_starttls on\n"
        f"tls_trust_file {server.certificate}\nuser {account.login}\npassword {account.password}\nkeep {'off' if deletes else 'on'}\n"
        f"pipelining on\nreceived_header off\nuidls_file {place / 'uidls'}\ndelivery maildir {inbox}\naccount default : a\n",
    )
    run("mpop", "-C", settings, home=place)
    return maildir(inbox)


def getmailPop3(server: Server, account: Account, place: Path, deletes: bool = False) -> list[bytes]:
    """getmail, which hands each message to a program, without its Delivered-To and Received fields."""
    return _getmail(server, account, place, "SimplePOP3Retriever", server.port("pop3"), deletes)


def fetchmailPop3(server: Server, account: Account, place: Path, deletes: bool = False) -> list[bytes]:
    """fetchmail with STLS, the certificate verified (by DNS name only), which hands each message to a program."""
    options = f"sslproto 'auto' sslcertck sslcertfile '{server.certificate}'"
    return _fetchmail(server, account, place, "pop3", server.port("pop3"), options, deletes)


# --- IMAP ---------------------------------------------------------------------------------------------------


def pythonImap(server: Server, account: Account, place: Path) -> list[bytes]:
    """imaplib with STARTTLS, the certificate verified: all messages in one FETCH."""
    client = imaplib.IMAP4(server.host, int(server.port("imap")), 60)
    client.starttls(ssl.create_default_context(cafile=server.certificate))
    client.login(account.login, account.password)
    client.select("INBOX", readonly=True)
    _, answers = client.fetch("1:*", "(BODY.PEEK[])")
    client.logout()
    return [answer[1] for answer in answers if isinstance(answer, tuple)]


def pythonImapParts(server: Server, account: Account, place: Path) -> list[bytes]:
    """imaplib without TLS: the header and the text of each message, and the text in pieces around 16 KiB."""
    client = imaplib.IMAP4(server.host, int(server.port("imap")), 60)
    client.login(account.login, account.password)
    count = int(client.select("INBOX", readonly=True)[1][0] or b"")
    messages = []
    for number in range(1, count + 1):
        items = "(BODY.PEEK[HEADER] BODY.PEEK[TEXT]<0.16383> BODY.PEEK[TEXT]<16383.3> BODY.PEEK[TEXT]<16386.99999999>)"
        _, answers = client.fetch(str(number), items)
        messages.append(b"".join(answer[1] for answer in answers if isinstance(answer, tuple)))
    client.logout()
    return messages


def curlImap(server: Server, account: Account, place: Path) -> list[bytes]:
    """curl, over IMAP without TLS."""
    return _curlImap(server, account, place, "imap")


def curlImaps(server: Server, account: Account, place: Path) -> list[bytes]:
    """curl, over IMAP with implicit TLS."""
    return _curlImap(server, account, place, "imaps")


def _curlImap(server: Server, account: Account, place: Path, scheme: str) -> list[bytes]:
    curl = _curl(server, account)
    address = f"{scheme}://{server.host}:{server.port(scheme)}/INBOX"
    count = len(run(*curl, f"{address}?ALL", home=place).replace(b"* SEARCH", b"").split())
    run(*curl, f"{address};MAILINDEX=[1-{count}]", "-o", "#1", home=place)
    return [(place / str(number)).read_bytes() for number in range(1, count + 1)]


def getmailImap(server: Server, account: Account, place: Path, deletes: bool = False) -> list[bytes]:
    """getmail over IMAP; it has no way to leave \\Seen alone, nor need it."""
    return _getmail(
        server, account, place, "SimpleIMAPRetriever", server.port("imap"), deletes, "mailboxes = ('INBOX',)"
    )


def fetchmailImap(server: Server, account: Account, place: Path, deletes: bool = False) -> list[bytes]:
    """fetchmail over IMAP with STARTTLS."""
    options = f"sslproto 'auto' sslcertck sslcertfile '{server.certificate}'"
    return _fetchmail(server, account, place, "imap", server.port("imap"), options, deletes)


def mbsync(server: Server, account: Account, place: Path) -> list[bytes]:
    """mbsync with STARTTLS, the certificate verified (by DNS name only), into a Maildir."""
    settings = mbsyncSettings(server, account, place, "Pull")
    run("mbsync", "-q", "-c", settings, "c", home=place)
    return maildir(place / "box")


def mbsyncSettings(server: Server, account: Account, place: Path, direction: str, more: str = "") -> Path:
    """Settings of a channel `c` between INBOX and the Maildir `box`."""
    return write(
        place / "mbsyncrc",
        f"IMAPStore far\nHost localhost\nPort {server.port('imap')}\nUser {account.login}\n"
        f"Pass {account.password}\nSSLType STARTTLS\nCertificateFile {server.certificate}\n\n"
        f"MaildirStore near\nInbox {place / 'box'}\nPath {place}/\n\n"
        f"Channel c\nFar :far:\nNear :near:\nPatterns INBOX\nSync {direction}\nCreate Near\n{more}SyncState *\n",
    )


def mutt(server: Server, account: Account, place: Path) -> list[bytes]:
    """mutt over IMAP, driven by its keys, copies all messages into a Maildir."""
    return _mutt(server, account, place, "mutt", "imap")


def muttPop3(server: Server, account: Account, place: Path) -> list[bytes]:
    """mutt over POP3."""
    return _mutt(server, account, place, "mutt", "pop")


def neomutt(server: Server, account: Account, place: Path) -> list[bytes]:
    """neomutt over IMAP."""
    return _mutt(server, account, place, "neomutt", "imap")


def _mutt(server: Server, account: Account, place: Path, program: str, scheme: str) -> list[bytes]:
    inbox = makeMaildir(place / "box")
    at = f"{server.host}:{server.port('pop3' if scheme == 'pop' else scheme)}"
    settings = write(
        place / "muttrc",
        f'set spoolfile="{scheme}://{at}/{"INBOX" if scheme == "imap" else ""}"\nset folder="{place}"\n'
        f'set {scheme}_user="{account.login}"\nset {scheme}_pass="{account.password}"\nset ssl_starttls=no\n'
        "set ssl_force_tls=no\nset copy=no\nset confirmappend=no\nset mbox_type=Maildir\nset mark_old=no\n"
        "set header_cache=\nset quit=yes\nset delete=no\nset wait_key=no\n",
    )
    keys = f"<tag-pattern>~A<enter><tag-prefix><copy-message>{inbox}<enter><exit>"
    runOnTerminal(program, "-n", "-F", settings, "-R", "-e", f'push "{keys}"', home=place)
    return maildir(inbox)


def offlineimap(server: Server, account: Account, place: Path) -> list[bytes]:
    """
    offlineimap over implicit TLS, the certificate verified, into a Maildir.

    Not STARTTLS: on a busy machine its library (imaplib2) now and then ends its reading thread before the answer, and waits for ever.
    """
    settings = write(
        place / "offlineimaprc",
        f"[general]\naccounts = a\nmetadata = {place}/meta\n\n[Account a]\nlocalrepository = near\n"
        f"remoterepository = far\n\n[Repository near]\ntype = Maildir\nlocalfolders = {place}/boxes\n\n"
        f"[Repository far]\ntype = IMAP\nremotehost = localhost\nremoteport = {server.port('imaps')}\n"
        f"remoteuser = {account.login}\nremotepass = {account.password}\nssl = yes\nstarttls = no\n"
        f"sslcacertfile = {server.certificate}\nreadonly = true\nfolderfilter = lambda name: name == 'INBOX'\n",
    )
    run("offlineimap", "-o", "-u", "quiet", "-c", settings, home=place)
    return maildir(place / "boxes" / "INBOX")


# --- both ---------------------------------------------------------------------------------------------------


def _getmail(
    server: Server, account: Account, place: Path, kind: str, port: str, deletes: bool, more: str = ""
) -> list[bytes]:
    (place / "state").mkdir()
    destination = "type = MDA_external\npath = /bin/sh\nunixfrom = false\nallow_root_commands = true\n"
    write(
        place / "state" / "getmailrc",
        f"[retriever]\ntype = {kind}\nserver = {server.host}\nport = {port}\nusername = {account.login}\n"
        f"password = {account.password}\n{more}\n"
        f"[destination]\n{destination}arguments = ('-c', 'cat > {box(place)}/$$')\n\n"
        f"[options]\nread_all = true\ndelete = {str(deletes).lower()}\ndelivered_to = false\nreceived = false\nverbose = 0\n",
    )
    run("getmail", f"--getmaildir={place / 'state'}", home=place)
    return filesOf(place)


def _fetchmail(
    server: Server, account: Account, place: Path, protocol: str, port: str, options: str, deletes: bool
) -> list[bytes]:
    settings = write(
        place / "fetchmailrc",
        f"set invisible\nset no bouncemail\npoll localhost protocol {protocol} port {port}\n"
        f"user '{account.login}' password '{account.password}' {options}\n"
        f"no rewrite pass8bits {'no keep' if deletes else 'keep'} fetchall mda 'cat > {box(place)}/$$'\n",
    )
    environment = {"FETCHMAILHOME": str(place)}
    run("fetchmail", "--silent", "-f", settings, home=place, environment=environment)
    return filesOf(place)


_LENGTHS = rb"Content-Length: \d+\nLines: \d+"

FETCHERS = (
    Fetcher(pythonPop3, keepsCrlf=True),
    Fetcher(pythonPop3Tls, keepsCrlf=True),
    Fetcher(curlPop3, keepsCrlf=True),
    Fetcher(curlPop3s, keepsCrlf=True),
    Fetcher(mpop, keepsCrlf=False),
    Fetcher(getmailPop3, keepsCrlf=False),
    # fetchmail breaks lines of more than its buffer's 8192 octets, with octets of its own between the parts
    Fetcher(fetchmailPop3, keepsCrlf=False, spoils=frozenset({"longLine"})),
    Fetcher(pythonImap, keepsCrlf=True),
    Fetcher(pythonImapParts, keepsCrlf=True),
    Fetcher(curlImap, keepsCrlf=True),
    Fetcher(curlImaps, keepsCrlf=True),
    Fetcher(getmailImap, keepsCrlf=False, adds=rb"X-getmail-retrieved-from-mailbox: INBOX"),
    Fetcher(fetchmailImap, keepsCrlf=False, spoils=frozenset({"longLine"})),
    Fetcher(mbsync, keepsCrlf=False, adds=rb"X-TUID: [A-Za-z0-9+/]{12}"),
    Fetcher(mutt, keepsCrlf=False, adds=_LENGTHS),
    Fetcher(muttPop3, keepsCrlf=False, adds=_LENGTHS),
    Fetcher(neomutt, keepsCrlf=False, adds=_LENGTHS),
    Fetcher(offlineimap, keepsCrlf=False),
)
