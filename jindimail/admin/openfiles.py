"""
How many files the process may have open: enough for all clients that it lets in, and then some.

Each connection is an open file to the system, as are those to other nodes and large messages on their way. Where clients can take all that there may be,
nodes lose each other, and nobody's mail is taken; so they get some fewer.
"""

from __future__ import annotations

import resource
from contextlib import suppress

from twisted.logger import Logger

SPARE = 1000  # the store, links, messages on their way, operators

_log = Logger()


def roomForSessions(sessions: int) -> int:
    """
    How many client connections fit, of those that are wanted.

    The process's own limit is raised as far as is needed and the system lets it.
    """
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = sessions + SPARE
    if files < needed:
        files = min(needed, most)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
        files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = files - min(SPARE, files // 2)
    if room >= sessions:
        return sessions
    _log.warn(
        "limits.sessions: the system lets this process open {files} files, so {room} clients are let in, not {sessions}: raise it (LimitNOFILE, ulimit -n)",
        files=files,
        room=room,
        sessions=sessions,
    )
    return room
