"""Whether a node is ready: whether a load balancer should send clients to it."""

from __future__ import annotations

from jindimail.admin.livenode import SERVING, LiveNode

STUCK_SECONDS = 5.0  # a commit that takes longer


def whyNotReady(node: LiveNode) -> str | None:
    """
    The reason, in one word; None for a node that is ready.

    `starting`, `stopping`; `store`: it can no longer be written; `disk`: a commit hangs; `groups`: they have stopped;
    `majority`: too few other nodes are heard for the array to agree on anything; `leaderless`: most groups of this node know no leader. A few such
    groups are no reason: when a node dies, all others have some for a moment, and must not all be left at once.
    """
    if node.state != SERVING:
        return node.state
    if getattr(node.store, "isBroken", False):
        return "store"
    if getattr(node.store, "commitAgeSeconds", float)() > STUCK_SECONDS:
        return "disk"
    if getattr(node.groups, "failure", None) is not None:
        return "groups"
    if not node.hearsMajority:
        return "majority"
    found = [status for status in map(node.groups.status, node.groups.groups()) if status is not None]
    leaderless = sum(not status.leader for status in found)
    return "leaderless" if not found or 2 * leaderless > len(found) else None
