"""What a node's buckets have done in the array since it started, counted for administrators."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(slots=True, kw_only=True)
class BucketCounters:
    """Counts; octets are of bodies."""

    errands: int = 0  # asked of leaders, here or elsewhere
    retries: int = 0  # of them, attempts after the first
    unknown: int = 0  # attempts whose outcome was not known
    passed: int = 0  # errands of others that were passed on from here
    queries: int = 0  # asked of other nodes
    waits: int = 0  # queries that waited for this node's replica
    deliveries: int = 0  # placed here, as the leader
    restored: int = 0  # copies that were missing when a delivery was repeated
    fetched: int = 0  # bodies, or chunks of large ones, read from other nodes
    octetsFetched: int = 0
    cached: int = 0  # reads answered from bodies that were fetched before
    damaged: int = 0  # copies found damaged or missing
    told: int = 0  # topics told to nodes that follow
    heard: int = 0  # topics that other nodes told

    def asMap(self) -> dict[str, int]:
        """By name."""
        return asdict(self)
