"""Free disk space: its levels, and the reserve file that a full disk is freed with (design §4)."""

from __future__ import annotations

from enum import IntEnum


class Level(IntEnum):
    """What there is room for; a higher level has room for all that a lower one has."""

    ONLY_EXPUNGES = 0  # below 5 % free: expunges, votes and configuration
    NO_BODIES = 1  # below 10 % free: no new bodies
    PLENTY = 2
