"""The commands of jindictl that open a store themselves, because no node runs on it."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TextIO

from msgspec.structs import replace
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import react
from twisted.python.failure import Failure

from jindimail.admin.arrival import joinArray, requireJoinable
from jindimail.admin.client import Refused
from jindimail.admin.commands import START_COMMAND
from jindimail.admin.founded import requireFounded
from jindimail.admin.founding import (
    First,
    foundNode,
    giveAway,
    makeKeys,
    newConfigurationFile,
    nodeName,
    requireSound,
    requireUnfounded,
    serviceUser,
)
from jindimail.admin.output import Output, readPassword
from jindimail.admin.storeverbs import resultOf
from jindimail.cluster.authority import NotOurs
from jindimail.cluster.joining import JoinRefused
from jindimail.cluster.revival import forgetApplied, othersOf
from jindimail.cluster.token import TOKEN_CHARACTERS_MAX, BadToken, Token, parseToken
from jindimail.config import Configuration, load, read
from jindimail.errors import ConfigError, Unavailable
from jindimail.interfaces import IKeys
from jindimail.store.backup import readManifest
from jindimail.store.backup import restore as restoreStore
from jindimail.store.check import check as findAll
from jindimail.store.environment import Environment
from jindimail.store.keys import ALONE_KEY, GIVEN_UP_KEY, META
from jindimail.store.overlay import Changes
from jindimail.store.records import MetaRecord


class OthersThere(ConfigError):
    """A backup whose node was not alone in its array."""

    def __init__(self, name: str, others: tuple[str, ...]) -> None:
        super().__init__(
            (
                f"the array of this backup has other nodes, {', '.join(others)}: as long as they live, {name} must not come back from the past",
                f"if they do: `jindictl cluster remove {name}` at one of them, and let a new node join, under a new name",
                "if all of them are lost for good: `jindictl restore DIR --alone`, start it, and "
                f"`jindictl cluster recover {' '.join(others)}`",
            )
        )


def withReactor(job: Callable[[Any], Awaitable[Any]]) -> Any:
    """The result of a coroutine that needs a reactor; it may be called once in a process."""
    results: list[Any] = []

    def run(reactor: Any) -> Deferred[Any]:
        return ensureDeferred(job(reactor)).addBoth(results.append)  # type: ignore[arg-type]

    try:
        react(run, ())
    except SystemExit:
        if not results:
            raise
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]


def init(options: argparse.Namespace, configPath: str, output: Output) -> int:
    """Found a node; see `jindictl init --help`."""
    if options.user and not options.domain:
        options.domain = options.user.rpartition("@")[2]
    configuration, text = _configurationOf(options, configPath)
    requireUnfounded(configuration)
    password = readPassword(options.password_stdin, sys.stdin) if options.user else ""
    first = First(domain=options.domain, user=options.user, password=password)
    requireSound(first)
    if text:
        _writeConfiguration(configPath, text)
    withReactor(
        lambda reactor: foundNode(configuration, first, reactor, lambda what: output.progress(0, 0, what))
    )
    output.result(
        {
            "founded": configuration.node.dataDirectory,
            "config": os.path.abspath(configPath),
            "certificate": configuration.tls.certificate,
            "start": START_COMMAND.format(path=configPath),
        }
    )
    return 0


def readToken(given: str, source: TextIO) -> Token:
    """
    The token given on the command line, or on `source` if that is `-`; also as `jindictl cluster invite` prints it.

    @raise BadToken: it is none.
    """
    text = source.read(TOKEN_CHARACTERS_MAX + 1) if given == "-" else given
    return parseToken(text.removeprefix("token:"))


def join(options: argparse.Namespace, configPath: str, output: Output) -> int:
    """Join an array; see `jindictl join --help`."""
    try:
        token = readToken(options.token, sys.stdin)
    except BadToken as problem:
        raise ValueError(f"TOKEN: {problem}") from problem
    configuration, text = _configurationOf(options, configPath)
    requireJoinable(configuration)
    if text:
        _writeConfiguration(configPath, text)
    try:
        joined = withReactor(lambda reactor: joinArray(configuration, token, reactor))
    except Unavailable as problem:
        places = ", ".join(token.addresses)
        raise Refused("notReachable", f"the array cannot be reached at {places}: {problem}") from problem
    except (JoinRefused, NotOurs) as problem:
        raise Refused("notAdmitted", f"not admitted: {problem}") from problem
    output.result(
        {
            "joined": configuration.node.dataDirectory,
            "config": os.path.abspath(configPath),
            "node": joined.admission.node,
            "peers": [peer.name for peer in joined.admission.peers],
            "start": START_COMMAND.format(path=configPath),
        }
    )
    return 0


def _writeConfiguration(configPath: str, text: str) -> None:
    os.makedirs(os.path.dirname(os.path.abspath(configPath)), exist_ok=True)
    Path(configPath).write_text(text, encoding="utf-8")


def _configurationOf(options: argparse.Namespace, path: str) -> tuple[Configuration, str]:
    """The configuration in the file, or a new one with the text to be written there."""
    if os.path.exists(path):
        configuration = load(path)
        wanted = os.path.abspath(options.directory) if options.directory else configuration.node.dataDirectory
        if wanted != configuration.node.dataDirectory:
            raise ConfigError((f"node.data-directory: {path} says {configuration.node.dataDirectory}",))
        return configuration, ""
    if not options.directory:
        raise ConfigError((f"{path}: no such file, and no data directory is named",))
    hostName = options.hostName or socket.getfqdn()
    text = newConfigurationFile(
        name=options.name or nodeName(hostName),
        hostName=hostName,
        dataDirectory=os.path.abspath(options.directory),
        user=serviceUser(),
    )
    return read(text, os.path.dirname(os.path.abspath(path))), text


def restore(configuration: Configuration, source: str, output: Output, *, isAlone: bool) -> int:
    """
    Make a backup the store of an empty data directory, with keys of its own where none are configured elsewhere.

    @param isAlone: all other nodes of the array are lost.
    """
    directory = Path(configuration.node.dataDirectory)
    requireUnfounded(configuration)
    manifest = readManifest(Path(source))
    if manifest.name != configuration.node.name:
        raise ConfigError((f"node.name: the backup is of node {manifest.name}",))
    if manifest.others and not isAlone:
        raise OthersThere(manifest.name, manifest.others)  # before it is copied, which may take long
    others: tuple[str, ...] = ()

    def revive(rows: IKeys, meta: MetaRecord) -> tuple[MetaRecord, Changes]:
        nonlocal others
        others = othersOf(rows, meta.node)
        if not others:
            return meta, forgetApplied(rows)
        if not isAlone:
            raise OthersThere(meta.name, others)
        # Another array: what is left of the one that it was never believes it.
        founder = replace(meta, arrayId=os.urandom(16))
        return founder, [*forgetApplied(rows), (META, [(ALONE_KEY, b"\x01")], [GIVEN_UP_KEY])]

    meta = restoreStore(Path(source), directory, output.progress, revive)
    makeKeys(configuration)
    giveAway(configuration)
    result: dict[str, Any] = {"restored": str(directory), "node": meta.name, "incarnation": meta.incarnation}
    if others:
        result["next"] = f"start it, and found the array anew: jindictl cluster recover {' '.join(others)}"
    output.result(result)
    return 0


def check(configuration: Configuration, output: Output) -> dict[str, Any]:
    """What a check of the configured store finds, while no node runs on it."""
    requireFounded(configuration)
    environment = Environment(Path(configuration.node.dataDirectory))
    try:
        return resultOf(findAll(environment.snapshot, output.progress))
    finally:
        environment.close()
