"""The options of `twistd jindimail`, and all that can be checked of a configuration before its node starts."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from twisted.python import usage

from jindimail.admin.certificates import contextOf
from jindimail.admin.endpoints import checkEndpoints
from jindimail.admin.founded import requireFounded
from jindimail.config import Configuration, load
from jindimail.errors import ConfigError
from jindimail.store.environment import storePath


class Options(usage.Options):
    """The options of `twistd jindimail`."""

    synopsis = "[--config FILE]"
    longdesc = (
        "Run a node of a jindimail mail array: SMTP, LMTP, POP3 and IMAP4 at its edge, replicated storage below. "
        "`jindictl init` founds a node, `jindictl config example` prints a configuration."
    )
    optParameters = [["config", "c", None, "The node's configuration file (node.ini); it must be given."]]

    def postOptions(self) -> None:
        """Read and check the configuration; with problems, list all of them and exit before anything listens."""
        if self["config"] is None:
            raise usage.UsageError("--config FILE must be given")
        try:
            self["configuration"] = checkedConfiguration(self["config"])
        except ConfigError as error:
            lines = [f"jindimail: {self['config']}: {problem}" for problem in error.problems]
            raise SystemExit("\n".join(lines)) from None


def checkedConfiguration(path: str) -> Configuration:
    """
    The configuration in a file, with all checked that can be before the node starts.

    @raise ConfigError: with all problems.
    """
    problems: list[str] = []
    try:
        configuration = load(path)
    except ConfigError as error:
        if not isinstance(error.remains, Configuration):
            raise
        configuration = error.remains
        problems.extend(error.problems)
    for check in (checkEndpoints, _checkUser, requireFounded, _checkTls):
        try:
            check(configuration)
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(tuple(problems))
    return configuration


def _checkUser(configuration: Configuration) -> None:
    user = configuration.node.user
    if not user:
        return
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise ConfigError((f"node.user: no user {user} on this machine",)) from None
    if os.geteuid() not in (0, entry.pw_uid):
        raise ConfigError((f"node.user: only root can become {user}",))


def _checkTls(configuration: Configuration) -> None:
    directory = Path(configuration.node.dataDirectory)
    if Path(configuration.tls.certificate).parent == directory and not storePath(directory).is_dir():
        return  # it is made with the store
    contextOf(configuration.tls)
    user, key = configuration.node.user, configuration.tls.key
    if user and os.geteuid() == 0 and not mayRead(user, key):
        raise ConfigError((f"tls.key: {key}: {user} may not read it, and could not reread it on SIGHUP",))


def mayRead(user: str, path: str) -> bool:
    """Whether a user may read a file, by its mode and owner; True for users that are not there."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return True
    status = os.stat(path)
    if status.st_uid == entry.pw_uid:
        return bool(status.st_mode & stat.S_IRUSR)
    if status.st_gid in os.getgrouplist(user, entry.pw_gid):
        return bool(status.st_mode & stat.S_IRGRP)
    return bool(status.st_mode & stat.S_IROTH)
