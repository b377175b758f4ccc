"""For how long nodes have been down, whatever becomes of the wall clock."""

from __future__ import annotations

from msgspec.structs import replace
from twisted.internet.task import Clock

from jindimail.cluster.arrayrecords import DOWN, UP, NodeRecord
from jindimail.cluster.downtime import Downtime

NOON = 1_800_000_000
RECORD = NodeRecord(name="n2", addresses=(), host="h2", state=UP, sinceSeconds=NOON)


class Watch:
    """A node that looks."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ahead = 0.0
        self.downtime = Downtime(
            steady=self.clock.seconds, seconds=lambda: NOON + self.clock.seconds() + self.ahead
        )

    def fallen(self) -> NodeRecord:
        """The node is down, as this one's clock says."""
        return replace(RECORD, state=DOWN, sinceSeconds=int(NOON + self.clock.seconds() + self.ahead))


def test_aNodeIsDownFromWhenItFell() -> None:
    watch = Watch()
    assert watch.downtime.of(2, RECORD) == 0
    watch.clock.advance(10)
    fallen = watch.fallen()
    assert watch.downtime.of(2, fallen) == 0
    watch.clock.advance(7)
    assert watch.downtime.of(2, fallen) == 7
    again = watch.fallen()
    assert watch.downtime.of(2, again) == 0, "it was up between two looks"
    assert watch.downtime.of(2, RECORD) == 0


def test_aClockThatIsSetMakesNobodysTimeLongerOrShorter() -> None:
    for ahead in (3600.0, -3600.0, -10 * 365 * 86_400.0):
        watch = Watch()
        watch.downtime.of(2, RECORD)
        fallen = watch.fallen()
        watch.downtime.of(2, fallen)
        watch.ahead = ahead
        watch.clock.advance(60)
        assert watch.downtime.of(2, fallen) == 60


def test_ofANodeThatWasDownBeforeTheFirstLookTheRecordedTimeCounts() -> None:
    watch = Watch()
    fallen = watch.fallen()
    watch.clock.advance(100)
    assert watch.downtime.of(2, fallen) == 100
    watch.ahead = -3600.0
    assert Downtime(steady=watch.clock.seconds, seconds=lambda: NOON - 3600.0).of(2, fallen) == 0
    watch.clock.advance(60)
    assert watch.downtime.of(2, fallen) == 160
