"""
Majorities (dissertation §3).

Pure.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence


class Verdict(enum.Enum):
    """How a vote stands."""

    PENDING = "pending"
    WON = "won"
    LOST = "lost"


def majority(voters: int) -> int:
    """The smallest number that is more than half of the voters."""
    return voters // 2 + 1


def committedIndex(matches: Iterable[int]) -> int:
    """The highest index that a majority holds, of one match index per voter; 0 for no voters."""
    ordered = sorted(matches, reverse=True)
    return ordered[majority(len(ordered)) - 1] if ordered else 0


def hasMajority(voters: Sequence[int], agreeing: Iterable[int]) -> bool:
    """Whether more than half of the voters agree; others do not count."""
    return len(set(voters).intersection(agreeing)) >= majority(len(voters))


def verdictOf(voters: Sequence[int], ballots: Mapping[int, bool]) -> Verdict:
    """How an election stands, by the ballots that have come in."""
    granted = sum(1 for voter in voters if ballots.get(voter) is True)
    refused = sum(1 for voter in voters if ballots.get(voter) is False)
    if granted >= majority(len(voters)):
        return Verdict.WON
    if len(voters) - refused < majority(len(voters)):
        return Verdict.LOST
    return Verdict.PENDING
