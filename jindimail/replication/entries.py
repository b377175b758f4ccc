"""
Entries of a group's log, and snapshots that stand in for a prefix of it.

Pure. An entry's octets are opaque here; their meaning belongs to the state machine above.
"""

from __future__ import annotations

import msgspec

from jindimail.replication.configuration import Configuration

# The kinds of entries, stored in each log row and never renumbered.
NORMAL = 0  # a request for the state machine
EMPTY = 1  # the entry with which a leader begins its term (dissertation §6.4)
CONFIGURATION = 2  # the group's members from here on, in force as soon as it stands in a log (§4.1)


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One place of the log."""

    index: int
    term: int
    kind: int
    data: bytes


class Snapshot(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a snapshot stands for: the applied state after an entry, and the members at that place."""

    index: int
    term: int
    configurationIndex: int
    configuration: Configuration
