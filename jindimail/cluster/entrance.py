"""
How nodes come into the array, at any of its nodes: inviting one, letting it in, giving it a certificate (design §9).

Every node's rows of the array's own group hold the authority, so that any node can issue; what decides is the entry that the group
commits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from jindimail.cluster.arrayentries import AddInvite, AdmitNode
from jindimail.cluster.arrayrecords import GONE, inviteKey, readAuthority, readNodes
from jindimail.cluster.authority import Authority, Identity, fingerprintOf, utc
from jindimail.cluster.inviter import Applicant
from jindimail.cluster.joining import Admission, JoinRefused, NoEntry
from jindimail.cluster.membership import NAME_TAKEN, SPENT_INVITE, TOO_OLD, UNKNOWN_INVITE, Admitted, Agreed
from jindimail.cluster.peer import Peer
from jindimail.cluster.token import ADDRESSES_MAX, SECRET_OCTETS, Token, printToken, secretHash
from jindimail.errors import NotAllowed, Refusal, Unavailable
from jindimail.interfaces import IReadRows
from jindimail.store.keys import ARRAY

INVITE_SECONDS = 3600
WEIGHT_MAX = 10_000
_REASONS = {
    UNKNOWN_INVITE: NoEntry.UNKNOWN,
    SPENT_INVITE: NoEntry.USED,
    NAME_TAKEN: NoEntry.NAME,
    TOO_OLD: NoEntry.LEVEL,
}


class Entrance:
    """The array's entrance at one node."""

    def __init__(
        self,
        *,
        node: int,
        arrayId: bytes,
        propose: Callable[[Any], Any],
        read: Callable[[], AbstractContextManager[IReadRows]],
        seconds: Callable[[], float],
        draw: Callable[[int, int], int],
    ) -> None:
        """
        @param propose: an awaitable outcome of an entry of the array's own group.
        @param read: this node's rows as last committed.
        @param seconds: the wall clock.
        @param draw: gives an integer between its arguments, both included, that nobody can guess.
        """
        self._node = node
        self._arrayId = arrayId
        self._propose = propose
        self._read = read
        self._seconds = seconds
        self._draw = draw
        self._askedAt = -1  # about an unknown token; in seconds

    async def invite(self, expiresSeconds: int = INVITE_SECONDS) -> str:
        """
        A join token, good for one node and so many seconds.

        @raise NotAllowed: there are too many, or nobody could reach this array.
        """
        authority = self._authority()
        addresses = self._addresses()
        if not addresses:
            raise NotAllowed("no node of this array listens for others ([listen] cluster)")
        now = int(self._seconds())
        secret = bytes(self._draw(0, 255) for _ in range(SECRET_OCTETS))
        entry = AddInvite(seconds=now, secretHash=secretHash(secret), expiresSeconds=now + expiresSeconds)
        if not isinstance(await self._propose(entry), Agreed):
            raise NotAllowed("there are too many invitations")
        token = Token(
            addresses=tuple(addresses[:ADDRESSES_MAX]),
            fingerprint=fingerprintOf(authority.certificate),
            secret=secret,
            expirySeconds=now + expiresSeconds,
        )
        return printToken(token)

    async def admit(self, applicant: Applicant) -> Admission:
        """
        Let a node in (`Inviter(admit=...)`); the same one asking again gets the same number.

        @raise JoinRefused: its invitation is none, or spent, or its name was another's.
        @raise Unavailable: of an invitation that is not known here the array was asked a moment ago.
        """
        entry = AdmitNode(
            seconds=int(self._seconds()),
            secretHash=applicant.secretHash,
            name=applicant.name,
            addresses=applicant.addresses,
            host=applicant.labels.get("host", "")[:255] or applicant.name,
            weight=_weight(applicant.labels.get("weight", "")),
            level=applicant.level,
            requestHash=applicant.requestHash,
        )
        self._checkPace(applicant.secretHash, entry.seconds)
        outcome = await self._propose(entry)
        if not isinstance(outcome, Admitted):
            raise JoinRefused(_REASONS.get(outcome.reason, NoEntry.REQUEST))
        authority = self._authority()
        identity = Identity(arrayId=self._arrayId, node=outcome.node, name=applicant.name)
        return Admission(
            arrayId=self._arrayId,
            node=outcome.node,
            certificate=authority.issue(applicant.request, identity, utc(self._seconds())),
            authority=authority.certificate,
            peers=self.peers(besides=outcome.node),
        )

    async def issue(self, node: int, request: bytes) -> bytes:
        """
        A new certificate for a node of the array (`renewal.serveRenewal`), PEM.

        @raise Refusal: it is gone.
        """
        with self._read() as rows:
            record = dict(readNodes(rows)).get(node)
        if record is None or record.state == GONE:
            raise Refusal("no such node")
        identity = Identity(arrayId=self._arrayId, node=node, name=record.name)
        return self._authority().issue(request, identity, utc(self._seconds()))

    def peers(self, besides: int) -> tuple[Peer, ...]:
        """All nodes but one, as far as this node knows."""
        with self._read() as rows:
            return tuple(
                Peer(node=node, name=record.name, addresses=record.addresses)
                for node, record in readNodes(rows)
                if node != besides and record.state != GONE and record.addresses
            )

    def _checkPace(self, secretHash: bytes, now: int) -> None:
        """A token that this node does not know may be new; but no stranger makes the array commit entry after entry by wrong ones."""
        with self._read() as rows:
            if rows.get(ARRAY, inviteKey(secretHash)) is not None:
                return
        if now == self._askedAt:
            raise Unavailable("too many unknown tokens")
        self._askedAt = now

    def _addresses(self) -> Sequence[str]:
        """Where the array can be reached: at this node first."""
        peers = sorted(self.peers(besides=0), key=lambda peer: peer.node != self._node)
        return [address for peer in peers for address in peer.addresses]

    def _authority(self) -> Authority:
        with self._read() as rows:
            record = readAuthority(rows)
        if record is None:
            raise Unavailable("the array's authority is not known here yet")
        return Authority(record.certificate, record.key)


def _weight(text: str) -> int:
    isNumber = text.isascii() and text.isdecimal() and len(text) <= 5
    return min(int(text), WEIGHT_MAX) if isNumber else 100
