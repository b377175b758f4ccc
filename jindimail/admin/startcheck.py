"""All that can be checked of a configuration before its node starts."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from jindimail.admin.certificates import contextOf
from jindimail.admin.endpoints import checkEndpoints
from jindimail.admin.founded import requireFounded
from jindimail.config import Configuration, load
from jindimail.errors import ConfigError
from jindimail.store.environment import storePath


def checkedConfiguration(path: str, *, isFounded: bool = True) -> Configuration:
    """
    The configuration in a file, with all checked that can be before the node starts; for a node that need not be founded yet without
    what its founding makes.

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
    checks = (checkEndpoints, _checkUser, *((requireFounded,) if isFounded else ()), _checkTls)
    for check in checks:
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
