"""
What entries do never changes within a level (design §5): replicas of two versions that apply one log hold the same rows.

`meaning.txt` has digests of the rows that long random logs of all kinds make. If one of them changes, so does what nodes of an array make of the same entries
while it is upgraded: give what is new a kind of its own, with the level that brings it (docs/adr/0040); a field with a default that comes later is
left out here (`_isGiven`), so that the draws stay the same. Until level 1 is released, `python -m tests.test_meaning` may write the digests anew.
"""

from __future__ import annotations

import types
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, Union, get_args, get_origin

import msgspec
import pytest

from jindimail.cluster.arrayentries import ArrayEntry
from jindimail.cluster.arrayrecords import DOWN, DRAINING, GONE, UP
from jindimail.mailbox.entries import (
    LEVELS,
    AnyEntry,
    Noop,
    Once,
    RemoveDomain,
    SetDomain,
    SetSetting,
    encodeEntry,
)
from jindimail.mailbox.machine import MailMachine
from jindimail.mailbox.outcomes import Refused
from jindimail.model import ARRAY_GROUP, bucketGroup, bucketOf
from jindimail.store.keys import MAILBOX
from jindimail.store.memory import MemoryRows

KNOWN = Path(__file__).with_name("meaning.txt")
ENTRIES = 6000
BEGAN = 1_800_000_000

ADDRESSES = ("anna@example.org", "bob@example.org", "sales@example.org", "Łukasz@example.org")
NAMES = ("INBOX", "Sent", "a", "a/b", "a/b/c", "d", "Büro", "50% off")
FLAGS = ("\\Seen", "\\Deleted", "\\Flagged", "\\Answered", "work", "$Junk")

POOLS: dict[str, Sequence[Any]] = {
    "accountId": (7, 7, 7, 8, 9),
    "action": (0, 1, 2),
    "address": ADDRESSES,
    "addresses": (*((each,) for each in ADDRESSES), ADDRESSES[:2], ()),
    "bodyId": tuple(number.to_bytes(16, "big") for number in range(40)),
    "bucket": (0, 1, bucketOf(ADDRESSES[0])),
    "catchAll": ("", *ADDRESSES),
    "deliveryId": tuple(number.to_bytes(16, "big") for number in range(40)),
    "dueSeconds": tuple(range(BEGAN, BEGAN + 5)),
    "expiresSeconds": tuple(range(BEGAN, BEGAN + 20_000, 500)),
    "flags": ((), *((flag,) for flag in FLAGS), FLAGS[:3], FLAGS[2:]),
    "floor": (BEGAN, BEGAN + 50),
    "group": (0, 1, 2, 256),
    "host": ("", "rack1", "rack2"),
    "incarnation": (1, 2),
    "internalSeconds": (0, BEGAN),
    "keepers": ((1,), (1, 2), (2, 3)),
    "learners": ((), (3,)),
    "level": (1, 2),
    "mailboxes": ((), (("Sent", "\\Sent"), ("Trash", "\\Trash"))),
    "name": NAMES,
    "new": ((1,), (1, 2), (2, 3)),
    "newName": NAMES,
    "nextSeconds": tuple(range(BEGAN, BEGAN + 5)),
    "node": (1, 2, 3),
    "old": ((1,), (1, 2), (2, 3)),
    "oldName": NAMES,
    "postmaster": ("", *ADDRESSES),
    "quotaMessages": (0, 0, 20),
    "quotaOctets": (0, 0, 5000),
    "ranges": (((1, 1),), ((1, 3),), ((2, 2), (4, 9)), ((1, 1000),)),
    "requestId": tuple((BEGAN + number).to_bytes(8, "big") + bytes(8) for number in range(30)),
    "sender": ("", "x@elsewhere.test"),
    "session": ("s1", "s2"),
    "size": (1, 100, 3000),
    "specialUse": ("", "\\Archive"),
    "state": (UP, DOWN, DRAINING, GONE),
    "target": (0, 1),
    "targets": ((), ADDRESSES[:1], ADDRESSES[:2]),
    "unchangedSince": (0, 5, 1000),
    "uidValidity": (BEGAN, BEGAN + 1),
    "voters": ((1,), (1, 2, 3)),
    "was": (UP, DOWN, "a", "b"),
    "weight": (0, 50, 100),
}
"""Values by the names of fields; few, so that entries meet each other's rows."""

WEIGHTS = {
    "CreateAccount": 100,
    "Deliver": 600,
    "StoreFlags": 300,
    "CopyMessages": 300,
    "Expunge": 200,
    "RemoveAccount": 1,
}
"""How often kinds come, where not as the others (50): an account that is removed is gone for long. Integers: sums of others depend on the interpreter."""


class Maker:
    """Draws entries of any kind by their fields."""

    def __init__(self, seed: int, rows: MemoryRows) -> None:
        self._rows = rows
        self._chance = Random(seed)
        self._began = 0
        self._kinds = [kind for kind in get_args(AnyEntry) if kind is not Once]

    def one(self, among: Callable[[type], bool]) -> Any:
        """An entry of one of the kinds."""
        self._began += 1
        weights = {kind: WEIGHTS.get(kind.__name__, 50) for kind in self._kinds if among(kind)}
        kind = self._pick([kind for kind, weight in weights.items() for _ in range(weight)])
        entry = self._struct(kind)
        if self._chance.random() < 0.2:
            return Once(
                seconds=entry.seconds, requestId=self._pick(POOLS["requestId"]), entry=encodeEntry(entry)
            )
        return entry

    def _struct(self, kind: type[msgspec.Struct]) -> Any:
        values = {
            field.name: self._value(field) for field in msgspec.structs.fields(kind) if self._isGiven(field)
        }
        return kind(**values)

    def _isGiven(self, field: msgspec.structs.FieldInfo) -> bool:
        return field.required or self._chance.random() < 0.5

    def _value(self, field: msgspec.structs.FieldInfo) -> Any:
        if field.name == "seconds":
            return BEGAN + self._began
        kind = field.type
        if get_origin(kind) in (Union, types.UnionType):
            kind = next(each for each in get_args(kind) if each is not type(None))
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self._struct(kind)
        inner = get_args(kind)[0] if get_origin(kind) is tuple else None
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            return tuple(self._struct(inner) for _ in range(1 + int(self._chance.random() * 2)))
        if field.name == "was" and kind is not str:
            return ("", self._pick(ADDRESSES))
        if field.name == "value":
            return self._pick((1, 2, 5, 3600)) if kind is int else self._pick(("", "1", "x"))
        if field.name in ("mailboxId", "sourceId", "targetId"):
            return self._pick(
                (0, *(int.from_bytes(key[-8:], "big") for key in self._rows.snapshot()[MAILBOX]))
            )
        if field.name in POOLS:
            return self._pick(POOLS[field.name])
        plain: Mapping[Any, Any] = {bytes: b"octets", str: "text", bool: self._chance.random() < 0.5}
        return plain[kind]

    def _pick(self, values: Sequence[Any]) -> Any:
        return values[int(self._chance.random() * len(values))]


@cache
def applied(group: int, seed: int) -> tuple[list[str], Counter[str]]:
    """The digests of the rows after each part of a log, and how often each kind did something."""
    rows, machine = MemoryRows(), MailMachine()
    maker = Maker(seed, rows)
    found: list[str] = []
    done: Counter[str] = Counter()
    for index in range(1, ENTRIES + 1):
        entry = maker.one(lambda kind: isOf(kind, group) and kind not in LEVELS)
        with rows.transaction():
            outcome, _ = machine.apply(rows, group, index, encodeEntry(entry))
        if not isinstance(outcome, Refused):
            done[type(entry).__name__] += 1
        if index % (ENTRIES // 4) == 0:
            found.append(sha256(repr(sorted(stored(rows))).encode()).hexdigest()[:32])
    return found, done


def isOf(kind: type, group: int) -> bool:
    """Whether a group takes entries of a kind."""
    isArrays = issubclass(kind, (ArrayEntry, SetDomain, RemoveDomain, SetSetting))
    return kind is Noop or isArrays == (group == ARRAY_GROUP)


def stored(rows: MemoryRows) -> list[tuple[str, list[tuple[bytes, bytes]]]]:
    """All rows."""
    return [(table, sorted(content.items())) for table, content in rows.snapshot().items() if content]


LOGS = {"bucket": bucketGroup(bucketOf(ADDRESSES[0])), "array": ARRAY_GROUP}


@pytest.mark.parametrize("name", LOGS)
def test_entriesMeanWhatTheyMeant(name: str) -> None:
    known = dict(line.split(": ") for line in KNOWN.read_text().splitlines())
    found, _ = applied(LOGS[name], 1)
    assert found == known[name].split()


def test_allKindsAreAmongThem() -> None:
    done = sum((applied(group, 1)[1] for group in LOGS.values()), Counter())
    assert not [
        kind.__name__ for kind in get_args(AnyEntry) if not done[kind.__name__] and kind not in LEVELS
    ]


if __name__ == "__main__":
    KNOWN.write_text("".join(f"{name}: {' '.join(applied(group, 1)[0])}\n" for name, group in LOGS.items()))
