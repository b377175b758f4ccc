"""
The status page as tables, cells and lines: what is shown where, in which words and tones. Pure.

The page that the server writes (webpage.py) and the script that refreshes it (static/status.js) draw the same view, so that what is said, and how,
stands here once.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence

import msgspec

from jindimail.admin.webhistory import SLOT_SECONDS, SLOTS_MAX, Classes, Slot, share, together
from jindimail.admin.webstatus import ArrayStatus, NodeStatus, SilentNode, copiesOwed, leaders, ledBuckets
from jindimail.admin.webwords import (
    countText,
    durationText,
    endingText,
    isoText,
    numberText,
    octetsText,
    rateText,
    secondsText,
    shareText,
    timeText,
)
from jindimail.model import BUCKET_COUNT, bucketGroup

GOOD, WARN, BAD, QUIET = "good", "warn", "bad", "quiet"
COLOURS = 12  # of nodes in the map; a thirteenth has that of the first, and its own number
EVENTS_SHOWN = 40
RECENT_SLOTS = 6  # what "now" means: the last half minute
CHART_HEIGHT = 40
MINUTES = SLOTS_MAX * SLOT_SECONDS // 60
_AT_WORK = ("serving", "witness")  # states of a node that is as it shall be

NODE_COLUMNS = (
    "Node",
    "State",
    "Load",
    "Loop lag",
    "Round trip",
    "Commit",
    "Free space",
    "Leads",
    "Replicas",
    "Sessions",
    "Messages/s",
)


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A number at the top of the page."""

    id: str
    label: str
    value: str
    note: str = ""
    tone: str = GOOD


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell of a table: a text, perhaps with a note, and a bar of 0 to 1."""

    text: str
    note: str = ""
    tone: str = ""
    bar: float | None = None


class BucketCell(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket in the map: the number of its leader, and what is said about it."""

    text: str
    title: str
    colour: int | None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a chart, as points of an SVG polyline in SLOTS_MAX by CHART_HEIGHT."""

    label: str
    points: str


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """A chart over the last minutes."""

    id: str
    title: str
    top: str
    words: str
    lines: tuple[Line, ...]


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """An event."""

    time: str
    iso: str
    node: str
    text: str


class View(msgspec.Struct, frozen=True, kw_only=True):
    """The whole page."""

    title: str
    asked: str
    time: str
    alerts: tuple[str, ...]
    figures: tuple[Figure, ...]
    nodes: tuple[tuple[Cell, ...], ...]
    legend: tuple[BucketCell, ...]
    buckets: tuple[BucketCell, ...]
    charts: tuple[Chart, ...]
    events: tuple[EventRow, ...]


def viewOf(array: ArrayStatus) -> View:
    """The page of an array."""
    until = int(array.seconds // SLOT_SECONDS) - 1
    slots = together((status.slots for status in array.nodes), until)
    leading = {group: status.node for group, (status, _) in leaders(array).items()}
    leaderless = _leaderless(leading)
    places = _places(array)
    return View(
        title=f"{len(places)} nodes" if len(places) > 1 else "one node",
        asked=array.asked,
        time=timeText(array.seconds),
        alerts=alerts(array),
        figures=_figures(array, slots, leaderless),
        nodes=tuple(_rows(array, until)),
        legend=_legend(array, places),
        buckets=tuple(_bucket(bucket, leading, places) for bucket in range(BUCKET_COUNT)),
        charts=_charts(slots),
        events=_events(array.nodes),
    )


# --- the top -----------------------------------------------------------------------------------------------


def _leaderless(leading: Container[int]) -> int:
    """How many buckets have no leader that answers."""
    return sum(bucketGroup(bucket) not in leading for bucket in range(BUCKET_COUNT))


def alerts(array: ArrayStatus) -> tuple[str, ...]:
    """What somebody should look at, in sentences."""
    found = [
        f"{status.node} hears no majority of the array: nothing can be changed there, mail waits or is refused, and what it tells of others may be old."
        for status in array.nodes
        if not status.hearsMajority
    ]
    found += [f"{each.node} does not answer, {each.words}." for each in array.silent]
    if leaderless := _leaderless(leaders(array)):
        found.append(f"{countText(leaderless, 'bucket')} without a leader: mail for their users waits.")
    for status in array.nodes:
        if status.storage == "no_bodies":
            found.append(f"{status.node} has less than 10 % free space and takes no new messages.")
        elif status.storage == "only_expunges":
            found.append(f"{status.node} has less than 5 % free space: only expunges are possible there.")
        if status.state == "alone":
            found.append(
                f"{status.node} was restored alone: `jindictl cluster recover` founds the array anew from it."
            )
        elif status.state not in _AT_WORK:
            found.append(f"{status.node} is {status.state}.")
        if words := endingText(status.certificateEnds, array.seconds):
            found.append(f"{status.node}: the certificate that clients see {words}.")
        away = [name for name in status.peersDown if name not in {each.node for each in array.silent}]
        if away:
            found.append(f"{status.node} has no connection to {', '.join(away)}.")
    versions = sorted({status.version for status in array.nodes})
    if len(versions) > 1:
        found.append(f"Versions differ: {', '.join(versions)}.")
    return tuple(found)


def _figures(array: ArrayStatus, slots: Sequence[Slot], leaderless: int) -> tuple[Figure, ...]:
    recent = slots[-RECENT_SLOTS:]
    answering, known = len(array.nodes), len(array.nodes) + len(array.silent)
    delivery = [slot.delivery for slot in recent]
    commit = [slot.commit for slot in recent]
    sessions = sum(sum(status.sessions.values()) for status in array.nodes)
    owed = copiesOwed(array)
    incomplete = sum(status.groupsIncomplete for status in array.nodes)
    return (
        Figure(
            id="nodes",
            label="Nodes",
            value=f"{answering} of {known}" if known > 1 else "1",
            note="answer" if known > 1 else "alone",
            tone=GOOD if answering == known else BAD,
        ),
        Figure(
            id="buckets",
            label="Buckets led",
            value=str(BUCKET_COUNT - leaderless),
            note=f"of {BUCKET_COUNT}" + (f", {incomplete} lack replicas" if incomplete else ""),
            tone=BAD if leaderless else WARN if incomplete else GOOD,
        ),
        Figure(
            id="copies",
            label="Copies owed",
            value="–" if owed is None else str(owed),
            note="not known" if owed is None else "are being restored" if owed else "",
            tone=GOOD if owed == 0 else WARN,
        ),
        Figure(id="rate", label="Messages/s", value=rateText(recent), note="filed, last 30 s"),
        Figure(
            id="delivery",
            label="Delivery",
            value=shareText(delivery, 0.5),
            note=f"99 %: {shareText(delivery, 0.99)}",
        ),
        Figure(
            id="commit",
            label="Commit",
            value=shareText(commit, 0.5),
            note=f"99 %: {shareText(commit, 0.99)}",
        ),
        Figure(id="sessions", label="Sessions", value=str(sessions), note=_sessionWords(array.nodes)),
    )


def _sessionWords(nodes: Iterable[NodeStatus]) -> str:
    sums: dict[str, int] = {}
    for status in nodes:
        for protocol, count in status.sessions.items():
            sums[protocol] = sums.get(protocol, 0) + count
    return ", ".join(f"{count} {protocol}" for protocol, count in sorted(sums.items()))


# --- the nodes ---------------------------------------------------------------------------------------------


def _rows(array: ArrayStatus, until: int) -> Iterable[tuple[Cell, ...]]:
    rows = {status.number: _row(status, until) for status in array.nodes}
    rows |= {silent.number: _silentRow(silent) for silent in array.silent}
    return (row for _, row in sorted(rows.items()))


def _row(status: NodeStatus, until: int) -> tuple[Cell, ...]:
    recent = together([status.slots], until)[-RECENT_SLOTS:]
    used = 1 - status.freeOctets / status.sizeOctets if status.sizeOctets else None
    load = status.cpuShare if status.load is None else status.load
    return (
        Cell(text=status.node, note=f"{status.version}, start {status.incarnation}"),
        Cell(
            text=status.state,
            note=f"for {durationText(status.uptimeSeconds)}" + (", witness" if not status.weight else ""),
            tone=GOOD if status.state in _AT_WORK else WARN,
        ),
        Cell(text=f"{load:.0%}", note=f"{octetsText(status.residentOctets)} memory", bar=min(1.0, load)),
        Cell(text=shareText([slot.lag for slot in recent], 0.99), note="99 %"),
        _tripCell(status),
        Cell(
            text=shareText([slot.commit for slot in recent], 0.5),
            note=f"99 %: {shareText([slot.commit for slot in recent], 0.99)}",
        ),
        Cell(
            text=octetsText(status.freeOctets),
            note=f"of {octetsText(status.sizeOctets)}",
            tone={"plenty": "", "no_bodies": WARN}.get(status.storage, BAD),
            bar=used,
        ),
        Cell(text=str(ledBuckets(status)), note="buckets"),
        Cell(
            text=str(status.replicas),
            note=f"{status.leaderless} leaderless" if status.leaderless else "",
            tone=WARN if status.leaderless else "",
        ),
        Cell(text=str(sum(status.sessions.values()))),
        Cell(text=rateText(recent)),
    )


def _tripCell(status: NodeStatus) -> Cell:
    """The longest, and to whom."""
    if not status.trips:
        return Cell(text="–", tone=QUIET)
    name = max(status.trips, key=lambda each: status.trips[each])
    return Cell(text=secondsText(status.trips[name]), note=f"to {name}")


def _silentRow(silent: SilentNode) -> tuple[Cell, ...]:
    empty = Cell(text="–", tone=QUIET)
    name, state = Cell(text=silent.node), Cell(text=silent.words, note=f"array: {silent.state}", tone=BAD)
    return (name, state, *([empty] * (len(NODE_COLUMNS) - 2)))


# --- the map -----------------------------------------------------------------------------------------------


def _places(array: ArrayStatus) -> dict[str, tuple[int, int]]:
    """Each node's number and colour, by name."""
    known = {status.number: status.node for status in array.nodes}
    known |= {silent.number: silent.node for silent in array.silent}
    return {name: (number, place % COLOURS) for place, (number, name) in enumerate(sorted(known.items()))}


def _legend(array: ArrayStatus, places: dict[str, tuple[int, int]]) -> tuple[BucketCell, ...]:
    led = {status.node: ledBuckets(status) for status in array.nodes}
    return tuple(
        BucketCell(
            text=str(number), title=f"{name} leads {countText(led.get(name, 0), 'bucket')}", colour=colour
        )
        for name, (number, colour) in places.items()
    )


def _bucket(bucket: int, leading: dict[int, str], places: dict[str, tuple[int, int]]) -> BucketCell:
    leader = leading.get(bucketGroup(bucket))
    if leader is None:
        return BucketCell(text="–", title=f"bucket {bucket}: no leader", colour=None)
    number, colour = places[leader]
    return BucketCell(text=str(number), title=f"bucket {bucket}: {leader}", colour=colour)


# --- over time ---------------------------------------------------------------------------------------------


def _charts(slots: Sequence[Slot]) -> tuple[Chart, ...]:
    rates = [slot.filed / SLOT_SECONDS for slot in slots]
    return (
        _chart("rateChart", "Messages filed per second", [("messages/s", rates)], numberText),
        _chart("deliveryChart", "Delivery time", _parts(slots, lambda slot: slot.delivery), secondsText),
        _chart("commitChart", "Commit time", _parts(slots, lambda slot: slot.commit), secondsText),
    )


def _parts(slots: Sequence[Slot], of: Callable[[Slot], Classes]) -> list[tuple[str, list[float]]]:
    half = [share([of(slot)], 0.5) for slot in slots]
    most = [share([of(slot)], 0.99) for slot in slots]
    return [("half within", half), ("99 % within", most)]


def _chart(
    name: str, title: str, lines: Sequence[tuple[str, Sequence[float]]], written: Callable[[float], str]
) -> Chart:
    top = max((max(values) for _, values in lines), default=0.0)
    words = "; ".join(
        f"{label}: now {written(values[-1])}, most {written(max(values))}" for label, values in lines
    )
    return Chart(
        id=name,
        title=title,
        top=written(top),
        words=f"{title}, last {MINUTES} minutes. {words}",
        lines=tuple(Line(label=label, points=_points(values, top)) for label, values in lines),
    )


def _points(values: Sequence[float], top: float) -> str:
    scale = (CHART_HEIGHT - 1) / top if top else 0.0
    return " ".join(f"{x},{CHART_HEIGHT - value * scale:.1f}" for x, value in enumerate(values))


# --- events ------------------------------------------------------------------------------------------------


def _events(nodes: Iterable[NodeStatus]) -> tuple[EventRow, ...]:
    """The latest first; what several nodes saw in the same words is told once."""
    seen: dict[tuple[str, int], EventRow] = {}
    found = sorted((event for status in nodes for event in status.events), key=lambda event: -event.seconds)
    for event in found:
        row = EventRow(
            time=timeText(event.seconds), iso=isoText(event.seconds), node=event.node, text=event.text
        )
        seen.setdefault((event.text, event.seconds // 5), row)
    return tuple(seen.values())[:EVENTS_SHOWN]
