"""
When a node looks at its groups and at the other nodes.

On a grid of the clock's, so that what the nodes of one machine send one another finds them awake: every `BEAT_SECONDS` while a
group ticks here, every `REST_SECONDS` while none does (docs/adr/0028). The end of a silence is looked for when it comes.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from jindimail.counts import Histogram
from jindimail.replication.conversation import Conversation
from jindimail.replication.neighbours import BEAT_SECONDS, Neighbours

REST_SECONDS = 2 * BEAT_SECONDS  # two of them make a silence at the least


def untilTick(now: float, seconds: float = BEAT_SECONDS) -> float:
    """The time to the next tick of those that come every so many seconds."""
    return seconds * round(now / seconds + 1) - now


class Ticks:
    """
    The ticks of one node.

    @ivar lagSeconds: how late they came: the lag of the reactor's loop. The one measurement of it.
    """

    _tickCall: IDelayedCall | None = None
    _lookCall: IDelayedCall | None = None

    def __init__(
        self,
        clock: IReactorTime,
        conversation: Conversation,
        neighbours: Neighbours,
        ticked: Callable[[float], None],
        flush: Callable[[], None],
    ) -> None:
        """
        @param ticked: is given the time after each tick, before what it has to say leaves.
        @param flush: sends what is to be said.
        """
        self._clock = clock
        self._conversation = conversation
        self._neighbours = neighbours
        self._ticked = ticked
        self._flush = flush
        self._expected = 0.0
        self.lagSeconds = Histogram()

    def start(self) -> None:
        """The first comes after `BEAT_SECONDS`."""
        self._again(self._clock.seconds(), BEAT_SECONDS)

    def stop(self) -> None:
        """There are no more."""
        _cancel(self._tickCall)
        _cancel(self._lookCall)

    def hasten(self) -> None:
        """A group begins to tick: the next comes as if this node had not rested."""
        now = self._clock.seconds()
        seconds = untilTick(now)
        if self._tickCall is not None and self._tickCall.active() and self._expected - now > seconds:
            self._again(now, seconds)

    def tick(self, now: float) -> None:
        """One tick, at this time."""
        late = max(0.0, now - self._expected)
        if now < self._expected - 2 * BEAT_SECONDS:
            self._neighbours.rewind(now)
        seconds = untilTick(now, self._pace())
        self._again(now, seconds)
        self.lagSeconds.observe(late)
        self._conversation.tick(now, late)
        silence = self._neighbours.untilSilence(now)
        if 0 < silence < seconds:
            _cancel(self._lookCall)
            self._lookCall = self._clock.callLater(silence, self._look)
        self._ticked(now)
        self._flush()

    def _pace(self) -> float:
        """How far apart the ticks are: a node that is late says less, and the others know why."""
        if self._conversation.isAtRest:
            return REST_SECONDS
        return BEAT_SECONDS * max(1, round(self._neighbours.lag.seconds / BEAT_SECONDS))

    def _again(self, now: float, seconds: float) -> None:
        _cancel(self._tickCall)
        self._expected = now + seconds
        self._tickCall = self._clock.callLater(seconds, self._tick)

    def _tick(self) -> None:
        self.tick(self._clock.seconds())

    def _look(self) -> None:
        self._conversation.look(self._clock.seconds())
        self._flush()


def _cancel(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()
