"""
The replicated settings that the array itself goes by, read from group 0's rows. Pure.

They are set like any other (`SetSetting`); what is not set, or makes no sense, is as by default.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from jindimail.interfaces import IReadRows
from jindimail.store.keys import ARRAY, settingKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySettings:
    """
    What the array goes by.

    @ivar replicas: of a bucket's records.
    @ivar copies: of a body.
    @ivar minCopies: with fewer live keepers a delivery is not taken.
    @ivar spread: to how many nodes besides home a user's bodies may spill.
    @ivar repairSeconds: for so long a node is waited for before what it had is restored elsewhere.
    @ivar scrubDays: within so many days each node reads all its bodies.
    """

    replicas: int = 3
    copies: int = 2
    minCopies: int = 1
    spread: int = 2
    repairSeconds: int = 60
    scrubDays: int = 30


# The bounds of each: a slip of the pen must not make an array drop its copies.
BOUNDS = {
    "replicas": (1, 7),
    "copies": (1, 5),
    "minCopies": (1, 5),
    "spread": (0, 16),
    "repairSeconds": (5, 30 * 86_400),
    "scrubDays": (1, 3_650),
}


def readSettings(rows: IReadRows) -> ArraySettings:
    """The settings as group 0's rows have them."""
    found = {field.name: _number(rows, field.name) for field in fields(ArraySettings)}
    return ArraySettings(**{name: value for name, value in found.items() if value is not None})


def _number(rows: IReadRows, name: str) -> int | None:
    octets: bytes | None = rows.get(ARRAY, settingKey(name))
    if octets is None or not octets.isdigit():
        return None
    low, high = BOUNDS[name]
    return min(high, max(low, int(octets)))
