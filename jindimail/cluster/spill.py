"""
Which nodes are to keep a new body: the target-hit strategy (design §6). Pure.

Home first: the bucket's leader, then its other full members. A node of home that is pressed (loaded above the array's mean, or nearly full)
comes later than what the spread offers: the better of two random nodes of it, by load per weight. Nodes without room for bodies are no candidates.
Of nodes that fail together, since they stand on one host, only the first counts before those on other hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b

from jindimail.cluster.load import Report, meanStrain

LOADED_MARGIN = 0.25  # above the mean, and
LOADED = 0.5  # above this
FREE_SHARE_MIN = 0.15
ROOM_LEVEL = 2  # store.space.Level.PLENTY


def spreadOf(bucket: int, nodes: Sequence[int], count: int) -> tuple[int, ...]:
    """The nodes besides home to which a bucket's bodies may spill: few, and the same ones at every node and time."""

    def weigh(node: int) -> bytes:
        return blake2b(b"%d/%d" % (bucket, node), digest_size=8).digest()

    return tuple(sorted(nodes, key=weigh)[:count])


def homeOf(bucket: int, home: Sequence[int], first: Sequence[int]) -> tuple[int, ...]:
    """
    A bucket's home in the order in which its nodes are asked: those that shall be first, the leader, and the others, which are others first from
    bucket to bucket, so that no node keeps more than its part.

    @param home: the leader in front.
    """
    wanted = (node for node in first if node in home)
    return tuple(dict.fromkeys((*wanted, *home[:1], *spreadOf(bucket, home[1:], len(home)))))


def apart(nodes: Iterable[int], hostOf: Callable[[int], str], taken: Iterable[int] = ()) -> tuple[int, ...]:
    """Nodes in their order, but for those on hosts of others before them, or of those that are taken, which come last."""
    hosts = {hostOf(node) for node in taken}
    first: list[int] = []
    last: list[int] = []
    for node in nodes:
        host = hostOf(node)
        (last if host in hosts else first).append(node)
        hosts.add(host)
    return (*first, *last)


def candidates(
    home: Sequence[int],
    spread: Sequence[int],
    reports: Mapping[int, Report],
    weights: Mapping[int, int],
    draw: Callable[[int, int], int],
) -> tuple[int, ...]:
    """
    The nodes to ask, the best first; home itself where nobody has room.

    @param reports: fresh ones; a node without any is taken for idle.
    @param draw: gives an integer between its arguments, both included.
    """
    roomy = [node for node in home if _hasRoom(reports.get(node))]
    mean = meanStrain(reports)
    pressed = [node for node in roomy if _isPressed(reports.get(node), mean)]
    good = [node for node in roomy if node not in pressed]
    others = [node for node in spread if _hasRoom(reports.get(node)) and node not in home]
    if len(good) == len(home):
        return (*good, *others)
    chosen = _betterOfTwo(others, reports, weights, draw)
    ordered = (*good, *chosen, *pressed, *(node for node in others if node not in chosen))
    return ordered or tuple(home)


def _betterOfTwo(
    nodes: Sequence[int],
    reports: Mapping[int, Report],
    weights: Mapping[int, int],
    draw: Callable[[int, int], int],
) -> tuple[int, ...]:
    """One of two random nodes, not always the best of all, or everybody would choose it at once."""
    if not nodes:
        return ()
    first = draw(0, len(nodes) - 1)
    second = (first + draw(1, len(nodes) - 1)) % len(nodes) if len(nodes) > 1 else first

    def perWeight(node: int) -> float:
        report = reports.get(node)
        return (0.0 if report is None else report.strain) / max(1, weights.get(node, 100))

    return (min(nodes[first], nodes[second], key=perWeight),)


def _hasRoom(report: Report | None) -> bool:
    return report is None or report.freeLevel >= ROOM_LEVEL


def _isPressed(report: Report | None, mean: float) -> bool:
    if report is None:
        return False
    return report.freeShare < FREE_SHARE_MIN or (
        report.strain > mean + LOADED_MARGIN and report.strain > LOADED
    )
