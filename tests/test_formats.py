"""
What nodes tell each other and what stands in stores is read by the versions before and after: fields are only ever added, at the end, with a default.

`formats.txt` says in which order the fields of each kind stood so far; those in brackets may be missing. `python -m tests.test_formats` adds what is new.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jindimail.cluster.arrayentries import SetNode
from jindimail.cluster.arrayrecords import DRAINING, UP
from jindimail.mailbox import wire
from jindimail.mailbox.entries import FORMAT, SetDomain, decodeEntry, encodeEntry
from jindimail.mailbox.queries import ReadChanges
from jindimail.store.records import RequestRecord, decode, encode

KNOWN = Path(__file__).with_name("formats.txt")
PACKAGES = tuple(f"jindimail.{name}" for name in ("cluster", "directory", "mailbox", "replication", "store"))

Fields = tuple[msgspec.structs.FieldInfo, ...]


def kinds() -> dict[str, type[msgspec.Struct]]:
    """Everything that is encoded by its fields' places, by name."""
    for package in PACKAGES:
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            importlib.import_module(module.name)
    waiting: list[type[msgspec.Struct]] = [msgspec.Struct]
    found: dict[str, type[msgspec.Struct]] = {}
    while waiting:
        below = waiting.pop().__subclasses__()
        waiting += below
        for kind in below:
            if kind.__struct_config__.array_like and kind.__module__.rpartition(".")[0] in PACKAGES:
                found[f"{kind.__module__}.{kind.__qualname__}"] = kind
    return found


def formats() -> dict[str, Fields]:
    """Their fields."""
    return {name: msgspec.structs.fields(kind) for name, kind in kinds().items()}


def line(name: str, fields: Fields) -> str:
    """As it stands in `formats.txt`: fields in brackets may be missing."""
    shown = [field.name if field.required else f"[{field.name}]" for field in fields]
    return f"{name}: {' '.join(shown)}".rstrip()


def known() -> dict[str, list[str]]:
    """The fields of each kind so far."""
    pairs = [each.split(":") for each in KNOWN.read_text().splitlines()]
    return {name: fields.split() for name, fields in pairs}


def test_fieldsAreOnlyAddedAtTheEndAndMayBeMissing() -> None:
    now = formats()
    for name, before in known().items():
        if name in now:  # a kind may go
            fields = line(name, now[name]).partition(":")[2].split()
            assert fields[: len(before)] == before, name
            assert all(field.startswith("[") for field in fields[len(before) :]), name


def test_nothingRefusesFieldsThatALaterVersionAdds() -> None:
    assert not [name for name, kind in kinds().items() if kind.__struct_config__.forbid_unknown_fields]


class ReadChangesBefore(msgspec.Struct, array_like=True, tag_field="kind", tag=22, kw_only=True):
    """As it was before it told the UIDVALIDITY."""

    mailboxId: int
    afterModSeq: int
    limit: int = 1000


class RequestRecordBefore(msgspec.Struct, array_like=True):
    """As it was before it told the entry's index."""

    outcome: bytes


class SetNodeBefore(msgspec.Struct, array_like=True, tag_field="kind", tag=63, kw_only=True):
    """As it was before it told upon which state it was decided."""

    seconds: int
    node: int
    addresses: tuple[str, ...] | None = None
    host: str | None = None
    weight: int | None = None
    state: str | None = None
    level: int | None = None


class SetDomainBefore(msgspec.Struct, array_like=True, tag_field="kind", tag=50, kw_only=True):
    """As it was before it told what it changes."""

    seconds: int
    name: str
    catchAll: str = ""
    postmaster: str = ""
    onlyNew: bool = False


PAIRS: list[tuple[Any, Any, Any]] = [
    (
        ReadChangesBefore(mailboxId=1, afterModSeq=2, limit=3),
        ReadChanges(mailboxId=1, afterModSeq=2, limit=3),
        ReadChanges(mailboxId=1, afterModSeq=2, limit=3, uidValidity=4),
    ),
    (RequestRecordBefore(b"o"), RequestRecord(outcome=b"o"), RequestRecord(outcome=b"o", index=7)),
    (
        SetNodeBefore(seconds=1, node=2, state=UP),
        SetNode(seconds=1, node=2, state=UP),
        SetNode(seconds=1, node=2, state=UP, was=DRAINING),
    ),
    (
        SetDomainBefore(seconds=1, name="a.test", catchAll="b@a.test"),
        SetDomain(seconds=1, name="a.test", catchAll="b@a.test"),
        SetDomain(seconds=1, name="a.test", catchAll="b@a.test", was=("", "")),
    ),
]


def octetsOf(value: Any) -> bytes:
    if isinstance(value, ReadChanges):
        return wire.encodeQuery(value)
    if isinstance(value, RequestRecord):
        return encode(value)[1:]
    return encodeEntry(value)[1:]


def readBy(kind: type[Any], octets: bytes) -> Any:
    if kind is ReadChanges:
        return wire.decodeQuery(octets)
    if kind is RequestRecord:
        return decode(encode(RequestRecord(outcome=b""))[:1] + octets, RequestRecord)
    return decodeEntry(FORMAT + octets)


@pytest.mark.parametrize("before,same,later", PAIRS, ids=lambda value: type(value).__name__)
def test_eachOfTwoVersionsReadsWhatTheOtherWrites(before: Any, same: Any, later: Any) -> None:
    assert readBy(type(same), msgspec.msgpack.encode(before)) == same
    for value in (same, later):
        assert msgspec.msgpack.decode(octetsOf(value), type=type(before)) == before


def main() -> None:
    """Write `formats.txt` anew; what was there may only have grown."""
    KNOWN.write_text("".join(line(name, fields) + "\n" for name, fields in sorted(formats().items())))


if __name__ == "__main__":
    main()
