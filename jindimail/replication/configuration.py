"""
The members of a group: who votes, who learns, whose id is spent (dissertation §4).

Pure. The group's own log is the only truth about its members: a `CONFIGURATION` entry holds the whole new
configuration, which is in force in each replica as soon as it stands in that replica's log, committed or not, and until
it is truncated. Two neighbouring configurations differ in at most one voter, so that their majorities overlap.

A replica id is taken from `nextId` and never given twice: an id below `nextId` that is no member's has been removed
for ever, so that the set of tombstones needs no list.
"""

from __future__ import annotations

import msgspec

from jindimail.errors import Corrupt, Refusal


class ChangeRefused(Refusal):
    """The change of members is not possible now, or makes no sense."""


class Member(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One replica of the group."""

    replicaId: int
    node: int
    voter: bool
    witness: bool = False  # keeps no bodies, serves nobody, leads only to hand over (design §5)


class Configuration(msgspec.Struct, frozen=True, array_like=True):
    """The members of a group, by ascending replica id."""

    members: tuple[Member, ...] = ()
    nextId: int = 1

    def member(self, replicaId: int) -> Member | None:
        """The member with this id, if it is one."""
        for member in self.members:
            if member.replicaId == replicaId:
                return member
        return None

    def voters(self) -> tuple[int, ...]:
        """The ids of those whose votes and copies of the log count."""
        return tuple(member.replicaId for member in self.members if member.voter)

    def isRemoved(self, replicaId: int) -> bool:
        """Whether this id was a member's once and is a tombstone now."""
        return replicaId < self.nextId and self.member(replicaId) is None

    def withLearner(self, node: int, *, witness: bool = False) -> Configuration:
        """A new replica at a node that has none, under an id never used before; it learns and does not vote."""
        if any(member.node == node for member in self.members):
            raise ChangeRefused("the node has a replica of this group")
        member = Member(self.nextId, node, voter=False, witness=witness)
        return Configuration((*self.members, member), self.nextId + 1)

    def withVoter(self, replicaId: int) -> Configuration:
        """A learner becomes a voter."""
        member = self.member(replicaId)
        if member is None or member.voter:
            raise ChangeRefused("no learner has this id")
        return self._replaced(replicaId, (msgspec.structs.replace(member, voter=True),))

    def withoutVote(self, replicaId: int) -> Configuration:
        """A voter learns from now on, with all that it has. The last one that is no witness stays."""
        member = self.member(replicaId)
        if member is None or not member.voter:
            raise ChangeRefused("no voter has this id")
        self._requireVoterBesides(replicaId)
        return self._replaced(replicaId, (msgspec.structs.replace(member, voter=False),))

    def asWitness(self, replicaId: int, isWitness: bool) -> Configuration:
        """A member is a witness from now on, or a full one; of the voters one is full."""
        member = self.member(replicaId)
        if member is None or member.witness == isWitness:
            raise ChangeRefused("no other member has this id")
        if isWitness:
            self._requireVoterBesides(replicaId)
        return self._replaced(replicaId, (msgspec.structs.replace(member, witness=isWitness),))

    def without(self, replicaId: int) -> Configuration:
        """A replica is removed; its id becomes a tombstone. The last voter that is no witness stays."""
        if self.member(replicaId) is None:
            raise ChangeRefused("no member has this id")
        self._requireVoterBesides(replicaId)
        return self._replaced(replicaId, ())

    def _requireVoterBesides(self, replicaId: int) -> None:
        if not any(each.voter and not each.witness and each.replicaId != replicaId for each in self.members):
            raise ChangeRefused("the last full voter stays")

    def isStepFrom(self, before: Configuration) -> bool:
        """Whether this may follow `before`: at most one voter differs, and no id comes back."""
        voters, earlier = set(self.voters()), set(before.voters())
        fresh = [member.replicaId for member in self.members if before.member(member.replicaId) is None]
        return (
            len(voters ^ earlier) <= 1
            and bool(voters)
            and self.nextId >= before.nextId
            and all(before.nextId <= replicaId < self.nextId for replicaId in fresh)
        )

    def _replaced(self, replicaId: int, by: tuple[Member, ...]) -> Configuration:
        kept: list[Member] = []
        for member in self.members:
            kept.extend(by if member.replicaId == replicaId else (member,))
        return Configuration(tuple(kept), self.nextId)


def foundingConfiguration(node: int) -> Configuration:
    """The configuration of a group with one replica, a voter, at one node."""
    return Configuration((Member(1, node, voter=True),), nextId=2)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Configuration).decode


def encodeConfiguration(configuration: Configuration) -> bytes:
    """A configuration as an entry's octets."""
    return _encode(configuration)


def decodeConfiguration(octets: bytes) -> Configuration:
    """
    A configuration from an entry's octets.

    @raise Corrupt: it is none.
    """
    try:
        return _decode(octets)
    except msgspec.MsgspecError as problem:
        raise Corrupt("configuration does not decode") from problem
