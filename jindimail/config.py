"""
The configuration of a node: `node.ini` into frozen dataclasses.

Each key is a field that carries its type, default and documentation; the parser here, the example file and the manual page
(admin/manual.py) read them from there and from nowhere else. `read` finds all problems of a file at once. What only Twisted
can judge (whether an endpoint string really makes an endpoint) is judged in admin/endpoints.py, before anything listens.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from jindimail.errors import ConfigError
from jindimail.kinds import (
    ADDRESS,
    CONTROL,
    ENDPOINTS,
    HOST,
    NAME,
    NEAR_ENDPOINTS,
    PATH,
    TEXT,
    Kind,
    choice,
    endpointParts,
    number,
    octets,
    quoted,
    readControl,
    seconds,
    unixPath,
    writeOctets,
)

DEFAULT_PATH = "/etc/jindimail/node.ini"
FILE_OCTETS_MAX = 1 << 20


def _key(
    kind: Kind,
    doc: str,
    default: Any = MISSING,
    *,
    otherwise: str = "",
    example: str = "",
    live: bool = False,
) -> Any:
    """A field for a key: `otherwise` says in words what stands for an empty value; `live` keys are reread on SIGHUP."""
    metadata = {"kind": kind, "doc": doc, "otherwise": otherwise, "example": example, "live": live}
    return field(default=default, metadata=metadata)


# --- the sections ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What this node is and where it lives."""

    name: str = _key(
        NAME, "The node's name in the array: unique, and never used again for another node.", example="node1"
    )
    hostName: str = _key(
        HOST,
        "The name that the node greets with and writes into Received fields; clients' certificates checks need it in the certificate.",
        "",
        otherwise="the node's name",
        example="mail.example.org",
    )
    dataDirectory: str = _key(
        PATH,
        "Where the node keeps everything: its store, its control socket, its keys. "
        "The node never starts on an empty one; `jindictl init` founds it.",
        example="/var/lib/jindimail",
    )
    user: str = _key(
        TEXT,
        "The user that the node becomes after its ports are open, when it is started as root.",
        "",
        otherwise="the user it was started as",
        example="jindimail",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """
    Where each service listens: Twisted endpoint strings (tcp:PORT, tcp:PORT:interface=ADDRESS, tcp6:PORT, unix:PATH, systemd:…),
    several of them separated by blanks or on lines of their own. A service without one is off. tcp:PORT is for IPv4 only, tcp6:PORT for IPv6 and
    IPv4 (on Linux, unless net.ipv6.bindv6only says otherwise), so that it stands alone and not beside a tcp: of the same port.
    """

    smtp: tuple[str, ...] = _key(
        ENDPOINTS, "SMTP from other servers (RFC 5321), with STARTTLS.", (), example="tcp:25"
    )
    submission: tuple[str, ...] = _key(
        ENDPOINTS, "Message submission by users (RFC 6409), with STARTTLS.", (), example="tcp:587"
    )
    submissions: tuple[str, ...] = _key(
        ENDPOINTS, "Message submission over implicit TLS (RFC 8314).", (), example="tcp:465"
    )
    lmtp: tuple[str, ...] = _key(
        NEAR_ENDPOINTS,
        "Local delivery from a server in front (RFC 2033). It trusts its clients.",
        (),
        example="tcp:24",
    )
    pop3: tuple[str, ...] = _key(ENDPOINTS, "POP3 (RFC 1939), with STLS.", (), example="tcp:110")
    pop3s: tuple[str, ...] = _key(ENDPOINTS, "POP3 over implicit TLS.", (), example="tcp:995")
    imap: tuple[str, ...] = _key(ENDPOINTS, "IMAP4rev1 (RFC 3501), with STARTTLS.", (), example="tcp:143")
    imaps: tuple[str, ...] = _key(ENDPOINTS, "IMAP4rev1 over implicit TLS.", (), example="tcp:993")
    cluster: tuple[str, ...] = _key(
        ENDPOINTS,
        "The other nodes of the array (TLS of the array's own authority). Without it the node stays alone.",
        (),
        example="tcp:7400",
    )
    web: tuple[str, ...] = _key(
        NEAR_ENDPOINTS,
        "The web console, metrics (`/metrics`), `/health` and `/ready`.",
        (),
        example="tcp:8080",
    )
    webs: tuple[str, ...] = _key(
        ENDPOINTS,
        "The same over TLS. From other machines an administrator can log in here only.",
        (),
        example="tcp:8443",
    )
    control: tuple[str, ...] = _key(
        CONTROL, "The control socket, which jindictl talks to.", (), otherwise="unix:DATA-DIRECTORY/control"
    )
    manhole: tuple[str, ...] = _key(
        NEAR_ENDPOINTS,
        "An SSH shell into the live node, for its operators (public keys only).",
        (),
        example="tcp:2222",
    )
    manholeKeys: str = _key(
        PATH,
        "The public keys of the operators that the manhole lets in, one a line (authorized_keys); reread at each login.",
        "",
        otherwise="manhole-keys in the data directory",
        example="/etc/jindimail/manhole-keys",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS for all services (STARTTLS, STLS and implicit). Certificate and key are reread on SIGHUP."""

    certificate: str = _key(
        PATH,
        "The certificate and its chain (PEM, leaf first).",
        "",
        otherwise="certificate.pem in the data directory, made by jindictl init",
        example="/etc/jindimail/certificate.pem",
        live=True,
    )
    key: str = _key(
        PATH,
        "The private key (PEM); readable by the node's user.",
        "",
        otherwise="key.pem in the data directory, made by jindictl init",
        example="/etc/jindimail/key.pem",
        live=True,
    )
    minimumVersion: str = _key(
        choice("1.2", "1.3"), "The lowest TLS version that is spoken.", "1.2", live=True
    )
    plaintextPasswords: str = _key(
        choice("never", "loopback"),
        "Whether a password is taken without TLS: never, or from clients on loopback only.",
        "never",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what clients may use. Those reread on SIGHUP hold for connections made afterwards."""

    messageOctets: int = _key(
        octets(65536, 1 << 30), "The largest message that is accepted.", 50 << 20, live=True
    )
    recipients: int = _key(
        number(100, 100_000),
        "Recipients of one message (RFC 5321 §4.5.3.1.8); from other servers an alias counts for as many as it leads to.",
        1000,
        live=True,
    )
    sessions: int = _key(
        number(1, 1_000_000),
        "Client connections of the node; fewer where the system does not let it open a thousand files more (LimitNOFILE).",
        10_000,
        live=True,
    )
    sessionsPerPeer: int = _key(
        number(1, 1_000_000), "Client connections from one address, or one /64 of IPv6.", 500, live=True
    )
    sessionsPerUser: int = _key(
        number(1, 1_000_000),
        "Sessions of one user, of all protocols and at all nodes together.",
        100,
        live=True,
    )
    failedLogins: int = _key(
        number(1, 1000), "Failed logins of a connection before it is closed.", 5, live=True
    )
    refusedRecipients: int = _key(
        number(1, 100_000),
        "Refused recipients of an SMTP connection before it is closed: who asks for many harvests addresses.",
        50,
        live=True,
    )
    smtpIdle: int = _key(
        seconds(10, 86400), "An SMTP client that says nothing this long is disconnected.", 300, live=True
    )
    pop3Idle: int = _key(
        seconds(10, 86400), "The same for POP3 (RFC 1939 §3 asks for ten minutes).", 600, live=True
    )
    imapIdle: int = _key(
        seconds(10, 86400), "The same for IMAP (RFC 9051 §5.4 asks for thirty minutes).", 1800, live=True
    )
    stopDeadline: int = _key(
        seconds(0, 600), "How long a stopping node lets its clients finish what is under way.", 20, live=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The node's place in the array. All else of the array is replicated and changed through it, not here."""

    address: str = _key(
        ADDRESS,
        "Where the other nodes reach this node's cluster endpoint.",
        "",
        otherwise="the node's host name, with the port of the first cluster endpoint",
        example="node1.example.org:7400",
    )
    host: str = _key(
        TEXT,
        "The machine, rack or site that fails as one with this node: copies go to different hosts where there are any.",
        "",
        otherwise="the node's name",
        example="rack1",
    )
    weight: int = _key(
        number(0, 10_000),
        "The node's share of the array's mail, beside the others'; 0 makes it a witness, which keeps no mail. "
        "Used when it joins; later `jindictl cluster weight` changes it.",
        100,
    )
    waitingEntries: int = _key(
        number(64, 1_000_000),
        "Changes of one bucket that may wait for their commit; clients with more are asked to try again.",
        4096,
    )
    logMemory: int = _key(
        octets(16 << 10, 64 << 20),
        "Octets of each bucket's log that are kept in memory for members that lag.",
        256 << 10,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """All of a node's configuration; `path` is where it was read from ("" for none)."""

    node: Node
    listen: Listen
    tls: Tls
    limits: Limits
    cluster: Cluster
    path: str = ""

    @property
    def controlPath(self) -> str:
        """The path of the (first) control socket."""
        return unixPath(self.listen.control[0]) or ""


SECTIONS: dict[str, type[Any]] = {
    "node": Node,
    "listen": Listen,
    "tls": Tls,
    "limits": Limits,
    "cluster": Cluster,
}


def keyName(attribute: str) -> str:
    """A field's key in the file: `dataDirectory` is `data-directory`."""
    return re.sub(r"([A-Z])", lambda match: "-" + match[1].lower(), attribute)


def keys(section: type[Any]) -> Iterator[tuple[str, Field[Any]]]:
    """The keys of a section in order, with their fields."""
    for each in fields(section):
        yield keyName(each.name), each


# --- reading -----------------------------------------------------------------------------------------------


def load(path: str) -> Configuration:
    """
    The configuration in a file.

    @raise ConfigError: with all its problems.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(FILE_OCTETS_MAX + 1)
        if len(content) > FILE_OCTETS_MAX:
            raise ConfigError((f"{path}: larger than {writeOctets(FILE_OCTETS_MAX)}",))
        if b"\0" in content:
            raise ConfigError((f"{path}: holds NUL",))
        text = content.decode("utf-8-sig")  # some editors put a mark before it
    except OSError as problem:
        raise ConfigError((f"{path}: {problem.strerror}",)) from problem
    except UnicodeDecodeError as problem:
        raise ConfigError((f"{path}: not UTF-8",)) from problem
    base = str(Path(path).resolve().parent)
    return replace(read(text, base), path=os.path.abspath(path))


def read(text: str, base: str) -> Configuration:
    """
    The configuration in a text; relative paths start at the directory `base`.

    @raise ConfigError: with all its problems, each `section.key: what is wrong`.
    """
    problems: list[str] = []
    values = _values(text, problems)
    sections: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        sections[name] = _section(name, section, values.pop(name, {}), base, problems)
    problems.extend(f"{name}: no such section (they are {', '.join(SECTIONS)})" for name in values)
    settled = _settled(Configuration(**sections), problems)
    if problems:
        raise ConfigError(tuple(problems), settled)
    return settled


def _values(text: str, problems: list[str]) -> dict[str, dict[str, str]]:
    """The keys and values of each section, as text; lines that are no INI go to the problems with their numbers."""
    parser = ConfigParser(delimiters=("=",), interpolation=None, strict=False, default_section="")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string("\n".join(_soundLines(text, problems)))
    return {
        name: {key: " ".join(value.split()) for key, value in parser[name].items()}
        for name in parser.sections()
    }


def _soundLines(text: str, problems: list[str]) -> Iterator[str]:
    section, given = "", set[tuple[str, str]]()
    mayContinue = False
    for lineNumber, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        key, equals, _ = line.partition("=")
        if not stripped or stripped[0] in "#;" or (line[0].isspace() and mayContinue):
            yield line
        elif re.fullmatch(r"\[[^\]]+\]", stripped):
            section, mayContinue = stripped[1:-1], False
            yield stripped
        elif not equals or not key.strip() or not section:
            problems.append(
                f"line {lineNumber}: {'`key = value` expected' if section else 'stands before any [section]'}"
            )
        elif (section, key.strip()) in given:
            problems.append(f"{section}.{key.strip()}: given again in line {lineNumber}")
        else:
            given.add((section, key.strip()))
            mayContinue = True
            yield line.lstrip()


def _section(name: str, section: type[Any], values: dict[str, str], base: str, problems: list[str]) -> Any:
    found: dict[str, Any] = {}
    for key, each in keys(section):
        text = values.pop(key, "")
        if text:
            try:
                found[each.name] = each.metadata["kind"].read(text, base)
            except ValueError as problem:
                problems.append(f"{name}.{key}: {problem}")
                if each.default is MISSING:
                    found[each.name] = text
        elif each.default is MISSING:
            problems.append(f"{name}.{key}: must be given")
            found[each.name] = ""
    problems.extend(
        f"{name}.{key}: no such key (they are {', '.join(k for k, _ in keys(section))})" for key in values
    )
    return section(**found)


def _settled(read: Configuration, problems: list[str]) -> Configuration:
    """The configuration with the defaults that depend on other keys, and the checks between keys."""
    node, listen, tls = read.node, read.listen, read.tls
    inData = Path(node.dataDirectory).joinpath
    try:
        control = listen.control or readControl(f"unix:{quoted(str(inData('control')))}", "")
    except ValueError as problem:
        problems.append(f"listen.control: {problem}")
        control = ()
    if bool(tls.certificate) != bool(tls.key):
        problems.append(f"tls.{'key' if tls.certificate else 'certificate'}: must be given with the other")
    _findClashes(listen, problems)
    return replace(
        read,
        cluster=_settledCluster(read, problems),
        node=replace(node, hostName=node.hostName or node.name),
        listen=replace(
            listen, control=control, manholeKeys=listen.manholeKeys or str(inData("manhole-keys"))
        ),
        tls=replace(
            tls,
            certificate=tls.certificate or str(inData("certificate.pem")),
            key=tls.key or str(inData("key.pem")),
        ),
    )


def _settledCluster(read: Configuration, problems: list[str]) -> Cluster:
    cluster, node = read.cluster, read.node
    address = cluster.address
    if read.listen.cluster and not address:
        what, *rest = endpointParts(read.listen.cluster[0])
        address = f"{node.hostName or node.name}:{rest[0].removeprefix('port=')}"
        if what not in ("tcp", "tcp6") or address.endswith(":0"):
            problems.append("cluster.address: must be given, since the endpoint names no port")
    return replace(cluster, address=address, host=cluster.host or node.name)


def _findClashes(listen: Listen, problems: list[str]) -> None:
    """Two services cannot listen on one endpoint."""
    taken: dict[str, str] = {}
    for key, each in keys(Listen):
        for endpoint in getattr(listen, each.name) if each.name != "manholeKeys" else ():
            if endpoint.startswith(("tcp:0", "tcp6:0")):
                continue
            if endpoint in taken:
                problems.append(f"listen.{key}: {endpoint} is taken by {taken[endpoint]}")
            taken.setdefault(endpoint, key)
