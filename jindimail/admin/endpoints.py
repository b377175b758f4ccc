"""Endpoint strings as Twisted reads them: whether they make endpoints, and the listening ports that they make."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint

from jindimail.config import Configuration, Listen, keys
from jindimail.errors import ConfigError
from jindimail.kinds import unixPath

SERVICES = tuple(each.name for _, each in keys(Listen) if each.name != "manholeKeys")


def serverEndpoints(listen: Listen, reactor: Any) -> dict[str, list[IStreamServerEndpoint]]:
    """
    The endpoints of each service.

    @raise ConfigError: with every string that makes none.
    """
    problems: list[str] = []
    made: dict[str, list[IStreamServerEndpoint]] = {}
    for service in SERVICES:
        for string in getattr(listen, service):
            try:
                made.setdefault(service, []).append(serverFromString(reactor, string))
            except Exception as problem:
                problems.append(f"listen.{service}: {string}: {problem}")
    if problems:
        raise ConfigError(tuple(problems))
    return made


def checkEndpoints(configuration: Configuration) -> None:
    """
    Make the endpoints and throw them away.

    @raise ConfigError: with every string that makes none.
    """
    serverEndpoints(configuration.listen, None)


def removeStaleSocket(endpoint: str) -> None:
    """Remove the socket file that a killed node left behind; one that somebody listens on stays, so that binding fails."""
    path = unixPath(endpoint)
    if path is None or not os.path.exists(path) or not stat.S_ISSOCK(os.stat(path).st_mode):
        return
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.settimeout(1)
        probe.connect(path)
    except OSError as problem:
        if problem.errno == errno.ECONNREFUSED:
            os.unlink(path)
    finally:
        probe.close()
