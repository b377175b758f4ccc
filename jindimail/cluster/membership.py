"""
Applying the entries about the array itself: who its nodes are. Pure.

Numbers and names of nodes are never given twice, also not after a node is gone: a disk that comes back from the past must not
be taken for a node of the present.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from jindimail.cluster.arrayentries import (
    AddInvite,
    AdmitNode,
    ArrayEntry,
    SetArraySetting,
    SetAuthority,
    SetNode,
    SetWish,
)
from jindimail.cluster.arrayrecords import (
    AUTHORITY_KEY,
    GONE,
    JOINING,
    STATES,
    UP,
    AuthorityRecord,
    InviteRecord,
    NodeRecord,
    WishRecord,
    inviteKey,
    levelOf,
    nodeKey,
    readAuthority,
    readInvites,
    readNodes,
    wishKey,
)
from jindimail.cluster.settings import BOUNDS
from jindimail.interfaces import IRows
from jindimail.store.keys import ARRAY, settingKey
from jindimail.store.records import decode, encode

NODES_MAX = 1_000
INVITES_MAX = 100

# why a node is not admitted
UNKNOWN_INVITE = "the invitation is unknown or over"
SPENT_INVITE = "the invitation is spent"
NAME_TAKEN = "a node had this name"
TOO_OLD = "the array's log holds entries that this node would not know"

# why one is not changed
STATE_CHANGED = "its state has changed meanwhile: look again"


class Agreed(msgspec.Struct, frozen=True, tag=True):
    """It is so now."""


class Admitted(msgspec.Struct, frozen=True, tag=True):
    """The number of the node that joined."""

    node: int


class Declined(msgspec.Struct, frozen=True, tag=True):
    """Nothing was changed, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class ArrayChanged:
    """The array's nodes or wishes changed."""

    @property
    def topic(self) -> tuple[object, ...]:
        """What one follows to hear of it."""
        return ("array",)


Answer = Agreed | Admitted | Declined


def applyArray(rows: IRows, entry: ArrayEntry) -> tuple[Answer, list[ArrayChanged]]:
    """Apply an entry of the array's own group."""
    answer = _STEPS[type(entry)](rows, entry)
    return answer, [] if isinstance(answer, Declined) else [ArrayChanged()]


def _setAuthority(rows: IRows, entry: SetAuthority) -> Answer:
    if readAuthority(rows) is not None:
        return Declined("there is an authority")
    rows.put(ARRAY, AUTHORITY_KEY, encode(AuthorityRecord(certificate=entry.certificate, key=entry.key)))
    return Agreed()


def _addInvite(rows: IRows, entry: AddInvite) -> Answer:
    """Invitations that are over are forgotten by the way; a spent one only then, so that its answer can be repeated."""
    invites = list(readInvites(rows))
    for secretHash, invite in invites:
        if invite.expiresSeconds < entry.seconds:
            rows.delete(ARRAY, inviteKey(secretHash))
    if sum(invite.expiresSeconds >= entry.seconds for _, invite in invites) >= INVITES_MAX:
        return Declined("there are too many invitations")
    rows.put(ARRAY, inviteKey(entry.secretHash), encode(InviteRecord(expiresSeconds=entry.expiresSeconds)))
    return Agreed()


def _admitNode(rows: IRows, entry: AdmitNode) -> Answer:
    nodes = dict(readNodes(rows))
    invite: InviteRecord | None = None
    same = next((number for number, node in nodes.items() if node.name == entry.name), 0)
    if nodes:
        octets = rows.get(ARRAY, inviteKey(entry.secretHash))
        invite = None if octets is None else decode(octets, InviteRecord)
        if invite is None or invite.expiresSeconds < entry.seconds:
            return Declined(UNKNOWN_INVITE)
        if invite.usedBy:
            isRepeated = (invite.usedBy, invite.requestHash) == (same, entry.requestHash)
            return Admitted(same) if isRepeated else Declined(SPENT_INVITE)
    if same:
        return Declined(NAME_TAKEN)
    if entry.level < levelOf(nodes):
        return Declined(TOO_OLD)
    if len(nodes) >= NODES_MAX:
        return Declined("there are too many nodes")
    number = max(nodes, default=0) + 1
    record = NodeRecord(
        name=entry.name,
        addresses=entry.addresses,
        host=entry.host,
        weight=entry.weight,
        level=entry.level,
        state=JOINING if nodes else UP,
        sinceSeconds=entry.seconds,
    )
    rows.put(ARRAY, nodeKey(number), encode(record))
    if nodes:
        assert invite is not None
        spent = replace(invite, usedBy=number, requestHash=entry.requestHash)
        rows.put(ARRAY, inviteKey(entry.secretHash), encode(spent))
    return Admitted(number)


def _setNode(rows: IRows, entry: SetNode) -> Answer:
    octets = rows.get(ARRAY, nodeKey(entry.node))
    if octets is None:
        return Declined("no such node")
    record = decode(octets, NodeRecord)
    if record.state == GONE:
        return Declined("the node is gone")
    if entry.was is not None and entry.was != record.state:
        return Declined(STATE_CHANGED)
    if entry.state is not None and entry.state not in STATES:
        return Declined("no such state")
    if entry.level is not None and entry.level < min(record.level, levelOf(dict(readNodes(rows)))):
        return Declined(TOO_OLD)
    names = ("addresses", "host", "weight", "state", "level")
    changes = {name: getattr(entry, name) for name in names if getattr(entry, name) is not None}
    if changes.get("state", record.state) != record.state:
        changes["sinceSeconds"] = entry.seconds
    rows.put(ARRAY, nodeKey(entry.node), encode(replace(record, **changes)))
    return Agreed()


def _setWish(rows: IRows, entry: SetWish) -> Answer:
    nodes = dict(readNodes(rows))
    wished = (*entry.voters, *entry.learners)
    if not entry.voters or len(set(wished)) != len(wished):
        return Declined("a group has at least one voter, and a node one replica")
    if any(node not in nodes or nodes[node].state == GONE for node in wished):
        return Declined("no such node")
    rows.put(ARRAY, wishKey(entry.group), encode(WishRecord(voters=entry.voters, learners=entry.learners)))
    return Agreed()


def _setSetting(rows: IRows, entry: SetArraySetting) -> Answer:
    low, high = BOUNDS.get(entry.name, (1, 0))
    if not low <= entry.value <= high:
        return Declined("no such setting, or out of bounds")
    rows.put(ARRAY, settingKey(entry.name), b"%d" % entry.value)
    return Agreed()


_STEPS: dict[type[ArrayEntry], Callable[[IRows, Any], Answer]] = {
    SetAuthority: _setAuthority,
    AddInvite: _addInvite,
    AdmitNode: _admitNode,
    SetNode: _setNode,
    SetWish: _setWish,
    SetArraySetting: _setSetting,
}
