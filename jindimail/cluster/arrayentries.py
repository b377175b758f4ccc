"""
The entries about the array itself: nodes, wishes, invitations, the authority (design §9). Their tags are from 60 on.

Pure. They stand in the same union as the mail's entries (mailbox/entries.py), so the same rules hold: everything uncertain is
settled by the proposer, and a tag's meaning never changes.
"""

from __future__ import annotations

import msgspec


class ArrayEntry(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False, tag_field="kind"):
    """The base of these entries; `seconds` is the proposer's clock."""

    seconds: int


class SetAuthority(ArrayEntry, frozen=True, kw_only=True, tag=60):
    """The array's authority; declined if there is one."""

    certificate: bytes
    key: bytes


class AddInvite(ArrayEntry, frozen=True, kw_only=True, tag=61):
    """An invitation for one node."""

    secretHash: bytes
    expiresSeconds: int


class AdmitNode(ArrayEntry, frozen=True, kw_only=True, tag=62):
    """
    A node joins under a name that no node ever had. It is given the next number, and spends an invitation; the
    founding node, the first of all, needs none. An invitation admits one key: whoever asks again with it gets the same answer.

    @ivar requestHash: of the key that the node's certificate is for.
    """

    secretHash: bytes
    name: str
    addresses: tuple[str, ...]
    host: str
    weight: int
    level: int
    requestHash: bytes = b""


class SetNode(ArrayEntry, frozen=True, kw_only=True, tag=63):
    """
    Change what is not None of a node; one that is gone stays gone.

    @ivar was: the state that this was decided upon; declined if it is another by now.
    """

    node: int
    addresses: tuple[str, ...] | None = None
    host: str | None = None
    weight: int | None = None
    state: str | None = None
    level: int | None = None
    was: str | None = None


class SetWish(ArrayEntry, frozen=True, kw_only=True, tag=64):
    """Which nodes shall have a group's replicas."""

    group: int
    voters: tuple[int, ...]
    learners: tuple[int, ...] = ()


class SetArraySetting(ArrayEntry, frozen=True, kw_only=True, tag=65):
    """One of the settings that the array goes by (settings.py), within its bounds."""

    name: str
    value: int


AnyArrayEntry = SetAuthority | AddInvite | AdmitNode | SetNode | SetWish | SetArraySetting
