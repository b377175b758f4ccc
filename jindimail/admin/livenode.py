"""The running node as its operators see it: what the verbs and the manhole work on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isinf
from typing import Any

from jindimail.config import Configuration
from jindimail.delivery.counted import CountedDelivery
from jindimail.mailbox.sessions import Sessions

STARTING, SERVING, STOPPING = "starting", "serving", "stopping"
# Serves no clients: keeps no mail; is not in the array any more; was restored, and the array has yet to be founded anew from it.
WITNESS, REMOVED, ALONE = "witness", "removed", "alone"


@dataclass(slots=True, kw_only=True)
class LiveNode:
    """The parts of a running node, filled in by the composition root."""

    configuration: Configuration
    meta: Any  # store.records.MetaRecord
    store: Any  # IStore
    groups: Any  # IGroups
    share: Any  # cluster.share.Share
    links: Any  # cluster.links.Links
    buckets: Any  # IBuckets
    directory: Any  # directory.accounts.Directory
    sessions: Sessions
    seconds: Callable[[], float]
    startedSeconds: int
    inThread: Callable[[Callable[[], Any]], Any]  # awaitable result of a job, run in the thread pool
    fromThread: Callable[..., Any]  # has the reactor call a function
    sight: Any = None  # admin.websight.Sight: what this node and the others say of themselves
    checker: Any = None  # directory.checker.PasswordChecker
    deliveries: dict[str, CountedDelivery] = field(default_factory=dict)  # by kind: smtp, submission, lmtp
    certificateEnds: Callable[[], int | None] = lambda: None  # in seconds since the epoch
    octets: Callable[[], dict[str, tuple[int, int]]] = dict  # received and sent, by service
    state: str = STARTING
    longWork: str = ""  # the backup or check that is under way
    listening: dict[str, tuple[str, ...]] = field(default_factory=dict)  # service: addresses

    @property
    def hearsMajority(self) -> bool:
        """See `cluster.share.Share.hearsMajority`."""
        return self.share is None or self.share.hearsMajority()

    def unheardSeconds(self, number: int) -> int | None:
        """For how long this node itself has heard nothing of another; None if it never did."""
        seconds: float = self.groups.unheardSeconds(number)
        return None if isinf(seconds) else int(seconds)

    def ownReport(self) -> Any:
        """What this node last said of itself to the array (`cluster.load.Report`); None before it said anything."""
        return None if self.share is None else self.share.gossip.fresh().get(self.meta.node)
