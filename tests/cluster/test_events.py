"""What happened to the array, for its operators."""

from __future__ import annotations

import pytest

from jindimail.cluster.events import Event, Events
from jindimail.cluster.settings import ArraySettings, readSettings
from jindimail.store.keys import ARRAY, settingKey
from jindimail.store.memory import MemoryRows


def test_theNewestEventComesFirstAndTheOldestGoes() -> None:
    now = [100.7]
    events = Events(node=3, seconds=lambda: now[0], eventsMax=2)
    for other in (1, 2, 4):
        events.add("nodeDown", node=other)
        now[0] += 1
    assert list(events) == [
        Event(102, 3, "nodeDown", {"node": 4}),
        Event(101, 3, "nodeDown", {"node": 2}),
    ]
    assert events.total == 3


def test_anEventSaysInWordsWhatItIs() -> None:
    assert Event(1, 1, "nodeDown", {"node": 4}).text == "the array agreed that a node is away: node=4"


def test_anUnknownKindIsAnErrorOfTheProgram() -> None:
    with pytest.raises(AssertionError):
        Events(node=1, seconds=lambda: 0.0).add("somethingElse")


@pytest.mark.parametrize(
    ("name", "octets", "value"),
    [("copies", b"3", 3), ("copies", b"0", 1), ("replicas", b"99", 7), ("repairSeconds", b"soon", 60)],
)
def test_aSettingIsReadWithinItsBounds(name: str, octets: bytes, value: int) -> None:
    rows = MemoryRows()
    assert readSettings(rows) == ArraySettings()
    rows.put(ARRAY, settingKey(name), octets)
    assert getattr(readSettings(rows), name) == value
