"""Founding a node: its configuration file, data directory, store, keys, and if asked for a first domain and user."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.defer import Deferred

from jindimail.admin.certificates import privatePem, selfSigned, writePrivately
from jindimail.admin.stack import ALL_GROUPS, Stack
from jindimail.admin.steadyclock import wallSeconds
from jindimail.config import Configuration
from jindimail.directory.accounts import PASSWORD_CHARACTERS_MIN
from jindimail.directory.addresses import canonicalAddress, canonicalDomain, domainOf
from jindimail.errors import BadAddress, ConfigError
from jindimail.interfaces import IRows
from jindimail.replication.durable import foundGroups
from jindimail.store.environment import Environment, found
from jindimail.store.space import Space
from jindimail.store.writer import Writer

SERVICE_USER = "jindimail"
MANHOLE_HOST_KEY = "manhole-host-key.pem"
_STANDARD_PORTS = {
    "smtp": 25,
    "submission": 587,
    "submissions": 465,
    "pop3": 110,
    "pop3s": 995,
    "imap": 143,
    "imaps": 993,
    "cluster": 7400,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """The first domain and user of an array; empty for none."""

    domain: str = ""
    user: str = ""
    password: str = ""


def newConfigurationFile(*, name: str, hostName: str, dataDirectory: str, user: str = "") -> str:
    """A configuration for a new node on the standard ports."""
    become = f"user = {user}\n" if user else ""
    listen = "\n".join(f"{service} = tcp:{port}" for service, port in _STANDARD_PORTS.items())
    return (
        "# `jindictl config example` names and explains every key.\n\n"
        f"[node]\nname = {name}\nhost-name = {hostName}\ndata-directory = {dataDirectory}\n{become}\n"
        f"[listen]\n{listen}\n"
    )


def serviceUser() -> str:
    """Whom a node shall become that root founds: the system's user for it, where there is one, as packages and the guide make it; else nobody."""
    if os.geteuid() != 0:
        return ""
    try:
        return pwd.getpwnam(SERVICE_USER).pw_name
    except KeyError:
        return ""


def nodeName(hostName: str) -> str:
    """A node name from a host's: its first label, with what a node name cannot have left out."""
    return re.sub(r"[^a-z0-9-]", "", hostName.partition(".")[0].lower()).strip("-")[:63] or "node1"


def requireUnfounded(configuration: Configuration) -> None:
    """
    Nothing is ever founded over something.

    @raise ConfigError: the data directory is not empty.
    """
    directory = Path(configuration.node.dataDirectory)
    if directory.exists() and any(directory.iterdir()):
        raise ConfigError((f"node.data-directory: {directory} is not empty; nothing is founded over it",))


def layFoundations(configuration: Configuration) -> None:
    """Make the data directory with the store and the keys, for the node's user."""
    requireUnfounded(configuration)
    directory = Path(configuration.node.dataDirectory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    makeKeys(configuration)
    found(directory, name=configuration.node.name)


def makeKeys(configuration: Configuration) -> None:
    """Make a self-signed certificate, unless others are configured, and the manhole's host key, where there are none."""
    tls, directory = configuration.tls, Path(configuration.node.dataDirectory)
    isOurs = Path(tls.certificate).parent == directory == Path(tls.key).parent
    if isOurs and not os.path.exists(tls.certificate) and not os.path.exists(tls.key):
        certificate, key = selfSigned(configuration.node.hostName, datetime.now(UTC))
        writePrivately(tls.certificate, certificate, 0o644)
        writePrivately(tls.key, key)
    hostKey = os.path.join(configuration.node.dataDirectory, MANHOLE_HOST_KEY)
    if not os.path.exists(hostKey):
        writePrivately(hostKey, privatePem(ec.generate_private_key(ec.SECP256R1())))


async def foundNode(
    configuration: Configuration, first: First, reactor: Any, report: Callable[[str], None]
) -> None:
    """
    Found the configured node.

    @raise ConfigError: there is something already.
    """
    requireSound(first)
    report("making the store and the keys")
    layFoundations(configuration)
    report(f"making {len(ALL_GROUPS)} groups")
    environment = Environment(Path(configuration.node.dataDirectory))
    store = Writer(environment, Space(environment.path), reactor=reactor)

    def make(rows: IRows) -> None:
        foundGroups(rows, ALL_GROUPS, environment.meta.node)

    made: Deferred[None] = store.write(make)
    await made
    await store.close()
    report("making the array")
    await _makeFirst(configuration, first, reactor)
    giveAway(configuration)


def requireSound(first: First) -> None:
    """
    What cannot become a first domain and user is refused before anything is made.

    @raise ConfigError: with what is wrong.
    """
    problems = []
    try:
        if first.domain:
            canonicalDomain(first.domain)
        if first.user and domainOf(canonicalAddress(first.user)) != canonicalDomain(first.domain):
            problems.append(f"user: {first.user} is not in {first.domain}")
    except BadAddress:
        problems.append(f"{first.user or first.domain}: not an address or domain")
    if first.user and len(first.password) < PASSWORD_CHARACTERS_MIN:
        problems.append(f"password: at least {PASSWORD_CHARACTERS_MIN} characters")
    if problems:
        raise ConfigError(tuple(problems))


async def _makeFirst(configuration: Configuration, first: First, reactor: Any) -> None:
    stack = Stack(configuration, reactor=reactor, seconds=wallSeconds, chance=SystemRandom())
    try:
        await stack.start()
        await stack.ready()
        if first.domain:
            await stack.directory.addDomain(first.domain)
        if first.user:
            await stack.directory.addUser(first.user, first.password, mayAdminister=True)
    finally:
        await stack.close()


def giveAway(configuration: Configuration) -> None:
    """When root founds a node for another user, that user owns all of it."""
    user = configuration.node.user
    if not user or os.geteuid() != 0:
        return
    entry = pwd.getpwnam(user)
    directory = configuration.node.dataDirectory
    os.chown(directory, entry.pw_uid, entry.pw_gid)
    for parent, directories, files in os.walk(directory):
        for name in directories + files:
            os.chown(os.path.join(parent, name), entry.pw_uid, entry.pw_gid)
