"""
How the node shares its machine's processors.

A thread that wakes up usually interrupts who runs, to be quick about a key that was pressed. A mail server is not: it wakes up for octets of hundreds
of connections and for each commit, and takes caches and processor from a neighbour that was just about to have something for it. Under Linux's
policy for batches (sched(7)) it gets its share of time as before, but waits for who runs to come to an end. With more to do than processors, more
is done each time it runs: fewer transactions, fewer messages between nodes (docs/adr/0052).
"""

from __future__ import annotations

import os

from twisted.logger import Logger

_log = Logger()


def interruptNobody() -> None:
    """
    Let this thread, and those that it starts from now on, not interrupt others when they wake up.

    A policy that somebody chose for this process stays, and so does all where the system does not let it be changed.
    """
    try:
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError as problem:
        _log.warn("the policy of scheduling stays as it is: {problem}", problem=repr(problem))
