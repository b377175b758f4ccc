"""
New UIDVALIDITYs for what was founded anew (design §10): UIDs that were lost are given again, so that no client may take them for those it knew.

The node that a bucket is founded anew at marks it before, gives its mailboxes new ones as soon as it is led, and only then takes the mark away: so it does whoever asked for the recovery and whether or not that came to its end,
and again after a start. The new ones are above all that any mailbox of the bucket has, whatever clock gave them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from jindimail.cluster.pulse import Pulse
from jindimail.errors import Unavailable
from jindimail.interfaces import ILinks, IStore
from jindimail.model import BUCKET_COUNT
from jindimail.store.keys import MAILBOX, META, OWING_TAG, after, bucketKey, owingKey
from jindimail.store.records import MailboxRecord, decode

OWING = "recovery.owing"
ASK_SECONDS = 10.0
LOOK_SECONDS = 0.1
BUCKETS_AT_ONCE = 16
AHEAD_SECONDS = 86_400  # of the clock: others' may be ahead, too


class Validities:
    """One node's part: what it owes, and what it asks of the others when an operator founds anew."""

    _log = Logger()

    def __init__(
        self,
        *,
        clock: IReactorTime,
        store: IStore,
        links: ILinks,
        propose: Callable[[int, Any], Awaitable[Any]],
        renewal: Callable[[int], Any],
        seconds: Callable[[], float],
    ) -> None:
        """
        @param propose: the outcome of a bucket's entry, which may be proposed twice.
        @param renewal: the entry that gives a bucket's mailboxes UIDVALIDITYs above a floor, some at a time.
        @param seconds: the wall clock.
        """
        self._clock = clock
        self._store = store
        self._links = links
        self._propose = propose
        self._renewal = renewal
        self._seconds = seconds
        self._owed: set[int] = set()
        self._pulse = Pulse(clock, LOOK_SECONDS, self._look)
        links.serve(OWING, self._owing)

    # --- the node that owes them

    def start(self) -> None:
        """Go on with what is owed."""
        with self._store.read() as rows:
            marks = rows.scan(META, OWING_TAG, after(OWING_TAG))
            self._owed = {int.from_bytes(key[len(OWING_TAG) :], "big") for key, _ in marks}
        self._renewSoon()

    def stop(self) -> None:
        """End for now."""
        self._pulse.stop()

    async def mark(self, bucket: int) -> None:
        """A bucket is about to be founded anew here."""
        await self._store.write(lambda rows: rows.put(META, owingKey(bucket), b""))
        self._owed.add(bucket)
        self._renewSoon()

    def _renewSoon(self) -> None:
        if self._owed and not self._pulse.isRunning:
            self._pulse.start()

    async def _look(self) -> None:
        owed = sorted(self._owed)
        for start in range(0, len(owed), BUCKETS_AT_ONCE):  # whatever becomes of those before
            part = owed[start : start + BUCKETS_AT_ONCE]
            await DeferredList(
                [Deferred.fromCoroutine(self._renew(bucket)).addErrback(self._notYet) for bucket in part]
            )
        if not self._owed:
            self._pulse.stop()

    def _notYet(self, failure: Failure) -> None:
        if not failure.check(Unavailable):  # nobody leads it yet
            self._log.failure("mailboxes of a bucket that was founded anew keep old UIDVALIDITYs", failure)

    async def _renew(self, bucket: int) -> None:
        """Give all mailboxes of a bucket new UIDVALIDITYs."""
        # With an entry's outcome all that the log had before it is applied, new mailboxes among it.
        await self._propose(bucket, self._renewal(0))
        with self._store.read() as rows:
            found = rows.scan(MAILBOX, bucketKey(bucket), bucketKey(bucket + 1))
            highest = max((decode(octets, MailboxRecord).uidValidity for _, octets in found), default=0)
        entry = self._renewal(max(int(self._seconds()) + AHEAD_SECONDS, highest + 1))
        while (await self._propose(bucket, entry)).remaining:
            pass
        await self._store.write(lambda rows: rows.delete(META, owingKey(bucket)))
        self._owed.discard(bucket)

    def _owing(self, node: int, payload: bytes, deadlineSeconds: float) -> bytes:
        return msgspec.msgpack.encode(sorted(self._owed))

    # --- what is asked of the others

    async def renewed(self, node: int, seconds: float) -> None:
        """
        Wait until a node owes nothing any more.

        @raise Unavailable: for so many seconds it did not come nearer to that, or does not say.
        """
        until, least = self._clock.seconds() + seconds, BUCKET_COUNT
        while True:
            octets = await self._links.call(node, OWING, b"", ASK_SECONDS)
            left = len(msgspec.msgpack.decode(octets, type=list[int]))
            if not left:
                return
            if left < least:
                until, least = self._clock.seconds() + seconds, left
            if self._clock.seconds() >= until:
                raise Unavailable("not all mailboxes have new UIDVALIDITYs yet")
            await deferLater(self._clock, LOOK_SECONDS)
