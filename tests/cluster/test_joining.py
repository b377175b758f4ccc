"""The join exchange, over real TLS and a network in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from struct import pack
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import DNSLookupError
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase

from jindimail.cluster.authority import (
    Authority,
    Identity,
    NotOurs,
    fingerprintOf,
    foundAuthority,
    identityOf,
    loadCertificate,
    newRequest,
)
from jindimail.cluster.contexts import joinContext
from jindimail.cluster.door import Calling, Door
from jindimail.cluster.inviter import HEARD_MAX, Applicant, Inviter
from jindimail.cluster.joining import (
    REQUEST_OCTETS_MAX,
    Admission,
    JoinAnswer,
    Joined,
    JoinRefused,
    JoinRequest,
    NoEntry,
    join,
)
from jindimail.cluster.peer import Peer
from jindimail.cluster.token import Token, secretHash
from jindimail.errors import Unavailable
from tests.cluster.wires import ARRAY_ID, CERTIFIED_AT, Array

SECRET = bytes(range(20))


class Unconnected:
    """An endpoint that connects nowhere."""

    def __init__(self, problem: Exception) -> None:
        self._problem = problem

    def connect(self, factory: object) -> Deferred[Any]:
        """Fail."""
        return fail(self._problem)


class Joining(SynchronousTestCase):
    """Node 1 lets a third node in, or does not."""

    def setUp(self) -> None:
        self.array = Array((2,))
        self.applicants: list[Applicant] = []
        self.inviter = Inviter(self.array.clock, self.admit)
        self.array.peers.append(Peer(node=1, name="n1", addresses=("1:1",)))
        self.array.start(1, joining=self.inviter)
        self.refusal: Exception | None = None
        self.admission: dict[str, Any] = {}
        self.token = Token(
            addresses=("1:1",),
            fingerprint=fingerprintOf(self.array.authority.certificate),
            secret=SECRET,
            expirySeconds=0,
        )

    async def admit(self, applicant: Applicant) -> Admission:
        self.applicants.append(applicant)
        if self.refusal is not None:
            raise self.refusal
        identity = Identity(arrayId=ARRAY_ID, node=3, name=applicant.name)
        admission = Admission(
            arrayId=ARRAY_ID,
            node=3,
            certificate=self.array.authority.issue(applicant.request, identity, CERTIFIED_AT),
            authority=self.array.authority.certificate,
            peers=tuple(self.array.peers),
        )
        return msgspec.structs.replace(admission, **self.admission)

    def ask(self, token: Token | None = None, **options: Any) -> Deferred[Joined]:
        return Deferred.fromCoroutine(
            join(
                token or self.token,
                name="n3",
                addresses=("3:1",),
                clock=self.array.clock,
                **{"now": CERTIFIED_AT, "endpoint": self.array.network.endpoint("3:1"), **options},
            )
        )

    def test_whoseClockIsWrongIsNotToldOfImpostors(self) -> None:
        for days in (-7, 200):
            asked = self.ask(now=CERTIFIED_AT + timedelta(days=days))
            with self.assertRaisesRegex(NotOurs, "not valid now, by this machine's clock"):
                self.array.result(asked)
        self.assertEqual(self.applicants, [])

    def test_nodeWithATokenGetsIn(self) -> None:
        joined = self.array.result(self.ask(labels={"host": "rack 2"}))
        self.assertEqual(joined.admission.peers, tuple(self.array.peers))
        self.assertEqual(identityOf(loadCertificate(joined.credentials.certificate)).node, 3)
        (applicant,) = self.applicants
        self.assertEqual(
            (applicant.secretHash, applicant.name, applicant.addresses, applicant.labels),
            (secretHash(SECRET), "n3", ("3:1",), {"host": "rack 2"}),
        )
        self.assertEqual(self.inviter.counts, {"admitted": 1, "refused": 0})

    def test_nodeThatGotInMeetsTheOthers(self) -> None:
        joined = self.array.result(self.ask())
        me = Peer(node=3, name="n3", addresses=("3:1",))
        for node in (1, 2):
            self.array.nodes[node].setPeers([*self.array.peers, me])
        self.array.start(3, credentials=joined.credentials)
        self.array.run(1)
        self.assertTrue(self.array.nodes[3].isUp(1))
        self.assertTrue(self.array.nodes[3].isUp(2))
        self.assertTrue(self.array.nodes[1].isUp(3))

    def test_refusalsSayWhy(self) -> None:
        for reason in NoEntry:
            self.refusal = JoinRefused(reason)
            with self.assertRaises(JoinRefused) as caught:
                self.array.result(self.ask())
            self.assertIs(caught.exception.reason, reason)

    def test_otherFailuresSayNothingButTryAgain(self) -> None:
        self.refusal = Unavailable("secret")
        with self.assertRaises(Unavailable):
            self.array.result(self.ask())
        self.refusal = ZeroDivisionError("secret")
        with self.assertRaises(Unavailable):
            self.array.result(self.ask())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_addressesAreTriedInTurn(self) -> None:
        token = replace(self.token, addresses=("8:1", "9:1", "1:1"))
        self.assertEqual(self.array.result(self.ask(token)).admission.node, 3)

    def test_secretIsNotSaidToAnotherArray(self) -> None:
        other = foundAuthority(ARRAY_ID, CERTIFIED_AT)[0]
        token = replace(self.token, fingerprint=fingerprintOf(other))
        with self.assertRaises(NotOurs):
            self.array.result(self.ask(token))
        self.assertEqual(self.applicants, [])

    def test_secretIsNotSaidToSomebodyWhoShowsTheAuthorityBesideAnotherCertificate(self) -> None:
        """The authority's certificate is public; what counts is who signed the server's own."""
        other = Authority(*foundAuthority(ARRAY_ID, CERTIFIED_AT))
        mine = self.array.credentials(1, authority=other)
        mixed = replace(mine, certificate=mine.certificate + self.array.authority.certificate)
        self.array.crash(1)
        self.array.start(1, joining=self.inviter, credentials=mixed)
        with self.assertRaises(NotOurs):
            self.array.result(self.ask())
        self.assertEqual(self.applicants, [])

    def test_admissionForSomebodyElseIsNotBelieved(self) -> None:
        request = newRequest("n3")[0]
        identity = Identity(arrayId=ARRAY_ID, node=3, name="n3")
        wrong = [
            {"node": 4},
            {"arrayId": bytes(16)},
            {"authority": foundAuthority(ARRAY_ID, CERTIFIED_AT)[0]},
            {"certificate": self.array.authority.issue(request, identity, CERTIFIED_AT)},
        ]
        for self.admission in wrong:
            with self.assertRaises(NotOurs):
                self.array.result(self.ask())

    def test_lostAnswerCanBeAskedForAgainWithTheSameKey(self) -> None:
        request = newRequest("n3")
        self.array.result(self.ask(request=request))
        self.array.result(self.ask(request=request))
        one, two = self.applicants
        self.assertEqual(one.requestHash, two.requestHash)
        self.array.result(self.ask())
        self.assertNotEqual(self.applicants[-1].requestHash, one.requestHash)

    def test_silentArrayIsGivenUp(self) -> None:
        self.array.network.blackhole("1:1", "3:1")
        with self.assertRaises(Unavailable):
            self.array.result(self.ask(), 40)

    def test_aNameThatIsNotKnownHereIsToldFromANodeThatIsAway(self) -> None:
        for problem, told in (
            (DNSLookupError(), "no address for that name"),
            (ConnectionRefusedError(), "not reachable"),
        ):
            asked = self.ask(endpoint=lambda address, problem=problem: Unconnected(problem))
            with self.assertRaisesRegex(Unavailable, told):
                self.array.result(asked)

    def test_nodeThatDoesNotInviteLetsNobodyIn(self) -> None:
        with self.assertRaises(Unavailable):
            self.array.result(self.ask(replace(self.token, addresses=("2:1",))))

    def test_nameOfNoNodeIsRefused(self) -> None:
        asked = JoinRequest(secret=SECRET, name="No Name", addresses=("a:1",), request=newRequest("n")[0])
        self.assertEqual(self.say(msgspec.msgpack.encode(asked)), NoEntry.REQUEST.name)
        self.assertEqual(self.applicants, [])

    def test_requestsThatAreNoneAreRefused(self) -> None:
        good = JoinRequest(secret=SECRET, name="n3", addresses=("a:1",), request=newRequest("n")[0])
        self.assertEqual(self.say(msgspec.msgpack.encode(good)), "")
        for change in (
            {"secret": b"short"},
            {"addresses": ()},
            {"addresses": ("a",) * 9},
            {"addresses": ("a" * 256,)},
            {"request": b"none"},
        ):
            bad = msgspec.structs.replace(good, **change)
            self.assertEqual(self.say(msgspec.msgpack.encode(bad)), NoEntry.REQUEST.name)
        self.assertEqual(self.say(b"\xc1"), NoEntry.REQUEST.name)
        far = msgspec.structs.replace(good, levels=(7, 9))
        self.assertEqual(self.say(msgspec.msgpack.encode(far)), NoEntry.LEVEL.name)
        self.assertEqual(len(self.applicants), 1)

    def test_requestThatIsTooLongIsNotRead(self) -> None:
        stranger = self.stranger(pack(">I", REQUEST_OCTETS_MAX + 1))
        self.array.run(0.5)
        self.assertEqual(stranger.got, b"")
        self.assertTrue(stranger.isOver)

    def test_silentStrangerIsHungUpOn(self) -> None:
        stranger = self.stranger(pack(">I", 100) + b"never more")
        self.array.run(6)
        self.assertTrue(stranger.isOver)

    def test_fewStrangersAreHeardAtATime(self) -> None:
        self.admit = lambda applicant: Deferred()  # type: ignore[method-assign, assignment, misc]
        self.inviter._admit = self.admit
        asked = JoinRequest(secret=SECRET, name="n3", addresses=("a:1",), request=newRequest("n")[0])
        octets = msgspec.msgpack.encode(asked)
        strangers = [self.stranger(pack(">I", len(octets)) + octets) for _ in range(HEARD_MAX + 2)]
        self.array.run(1)
        self.assertEqual(sum(each.isOver for each in strangers), 2)
        self.array.run(35)
        self.assertEqual(sum(each.isOver for each in strangers), HEARD_MAX + 2)
        self.assertEqual(self.inviter._heard, 0)

    def test_silentStrangersKeepNobodyFromBeingHeard(self) -> None:
        silent = [self.stranger(b"") for _ in range(HEARD_MAX + 2)]
        asked = JoinRequest(secret=SECRET, name="n3", addresses=("a:1",), request=newRequest("n")[0])
        octets = msgspec.msgpack.encode(asked)
        stranger = self.stranger(pack(">I", len(octets)) + octets)
        self.array.run(1)
        self.assertTrue(stranger.got)
        self.assertFalse(any(each.isOver for each in silent))

    def stranger(self, octets: bytes) -> Any:
        """Somebody without a certificate who says something after the handshake."""

        class Stranger(Protocol):
            got = b""
            isOver = False

            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(octets)

            def dataReceived(self, data: bytes) -> None:
                self.got += data

            def connectionLost(self, reason: Any = None) -> None:
                self.isOver = True

        stranger = Stranger()
        door = Door(self.array.clock, joinContext(), lambda door: stranger, lambda door, reason: None)  # type: ignore[arg-type]
        self.array.network.endpoint("9:9")("1:1").connect(Calling(door))
        return stranger

    def say(self, octets: bytes) -> str:
        """What a stranger is answered."""
        stranger = self.stranger(pack(">I", len(octets)) + octets)
        self.array.run(1)
        self.assertTrue(stranger.isOver)
        return msgspec.msgpack.decode(stranger.got[4:], type=JoinAnswer).reason
