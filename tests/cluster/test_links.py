"""Node links with real TLS and Perspective Broker, over a network in memory and a clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.spread import pb
from twisted.spread.jelly import DummySecurityOptions, InsecureJelly, SecurityOptions
from twisted.trial.unittest import SynchronousTestCase

from jindimail.cluster.acquaintance import Acquaintance, Met
from jindimail.cluster.authority import Authority, foundAuthority
from jindimail.cluster.channel import MARK_OCTETS, OCTETS_MAX, SILENCE_SECONDS, WAITING_OCTETS_MAX
from jindimail.cluster.contexts import Contexts
from jindimail.cluster.dial import Dial
from jindimail.cluster.door import STRANGERS_MAX
from jindimail.cluster.hello import CONTROL, DATA, Hello, Reason, Unwelcome
from jindimail.cluster.incoming import ANSWERING_OCTETS_MAX
from jindimail.cluster.links import INCOMING_SILENCE_SECONDS
from jindimail.cluster.payloads import FAILED
from jindimail.cluster.peer import Peer
from jindimail.errors import JindimailError, NoSuchUser, OutcomeUnknown, StorageFull, Unavailable
from tests.cluster.wires import ARRAY_ID, CERTIFIED_AT, Array, End

KIB = 1024


def stockBroker(broker: Any) -> Any:
    """Jellies what a broker of ours would not, in its name."""
    stock = pb.Broker(security=Everything())
    stock.registerReference = broker.registerReference  # type: ignore[method-assign]
    return stock


class Everything(DummySecurityOptions):  # type: ignore[misc]
    """Allows all."""

    def isClassAllowed(self, klass: type) -> bool:
        return True


def waitsForEver(node: int, payload: bytes, seconds: float) -> Deferred[bytes]:
    return Deferred()


class Meeting(SynchronousTestCase):
    """Who is let in, and who is not."""

    def setUp(self) -> None:
        self.array = Array()

    def refused(self, reason: Reason, **options: Any) -> None:
        """Node 2 starts otherwise than it should, and neither side believes it."""
        self.array.crash(2)
        self.array.start(2, **options)
        self.array.run(3)
        self.assertFalse(self.array.nodes[1].isUp(2))
        self.assertFalse(self.array.nodes[2].isUp(1))
        self.assertEqual(self.array.trouble(2, 1), dict.fromkeys(("control", "data"), reason.name))
        self.array.nodes[1].send(2, [b"no"])
        self.array.nodes[2].send(1, [b"no"])
        self.array.run(1)
        self.assertEqual(self.array.got, [])

    def test_nodesOfOneArrayFindEachOther(self) -> None:
        seen: list[tuple[int, bool]] = []
        self.array.nodes[1].listen(lambda node, isUp: seen.append((node, isUp)))
        self.array.run(1)
        self.assertEqual(seen, [(2, True)])
        for node, other in ((1, 2), (2, 1)):
            self.assertTrue(self.array.nodes[node].isUp(other))
            self.assertEqual(self.array.trouble(node, other), {})
            self.assertEqual(self.array.nodes[node].incarnationOf(other), 1)
        self.assertEqual(self.array.network.raised, [])

    def test_certificateOfAnotherAuthorityIsRefused(self) -> None:
        other = Authority(*foundAuthority(ARRAY_ID, CERTIFIED_AT))
        self.array.crash(2)
        self.array.start(2, credentials=self.array.credentials(2, authority=other))
        self.array.run(3)
        self.assertFalse(self.array.nodes[1].isUp(2))
        self.assertFalse(self.array.nodes[2].isUp(1))

    def test_expiredCertificateIsRefused(self) -> None:
        old = self.array.credentials(2, at=CERTIFIED_AT - timedelta(days=91))
        self.array.crash(2)
        self.array.start(2, credentials=old)
        self.array.run(3)
        self.assertFalse(self.array.nodes[1].isUp(2))
        self.assertFalse(self.array.nodes[2].isUp(1))
        self.assertEqual(self.array.trouble(1, 2)["control"], "hung up: certificate has expired")
        self.assertIn("EXPIRED", self.array.trouble(2, 1)["control"])

    def test_renewedCertificateIsSpokenWithNext(self) -> None:
        old = self.array.credentials(2, at=CERTIFIED_AT - timedelta(days=91))
        self.array.crash(2)
        links = self.array.start(2, credentials=old)
        self.array.run(3)
        links.renew(self.array.credentials(2))
        self.array.run(3)
        self.assertTrue(self.array.nodes[1].isUp(2))
        self.assertTrue(self.array.nodes[2].isUp(1))

    def test_certificateOfAnotherNodeIsRefused(self) -> None:
        self.refused(Reason.WRONG_NODE, credentials=self.array.credentials(3))
        self.assertEqual(self.array.trouble(1, 2)["control"], "WRONG_NODE")

    def test_certificateOfTheRightNumberAndAnotherNameIsRefused(self) -> None:
        self.refused(Reason.WRONG_NODE, credentials=self.array.credentials(2, name="other"))
        self.assertEqual(self.array.trouble(1, 2)["control"], "WRONG_NODE")

    def test_certificateOfAnotherArrayIsRefused(self) -> None:
        """Of the same authority, as a bug would have it."""
        self.refused(Reason.WRONG_ARRAY, credentials=self.array.credentials(2, arrayId=bytes(16)))

    def test_helloOfAnotherArrayIsRefused(self) -> None:
        self.refused(Reason.WRONG_ARRAY, arrayId=bytes(16))

    def test_incarnationOlderThanSeenIsRefused(self) -> None:
        self.array.run(1)
        self.array.crash(2)
        self.array.start(2, incarnation=5)
        self.array.run(1)
        self.refused(Reason.OLD_INCARNATION, incarnation=4)
        self.assertEqual(self.array.trouble(1, 2)["data"], "OLD_INCARNATION")

    def test_secondLifeOfOneIncarnationIsRefused(self) -> None:
        """A disk image of a node that was down, started after the node itself."""
        self.array.run(1)
        self.refused(Reason.TWO_LIVES, incarnation=1)

    def test_copyOfThePastIsRefusedAlsoByAPeerThatWasRestarted(self) -> None:
        met: Met = {}
        remembering = Acquaintance(
            met,
            lambda node, incarnation, life, commits: met.update({node: (incarnation, life, commits)}),
        )
        self.array.crash(1)
        self.array.start(1, acquaintance=remembering)
        self.array.run(1)
        self.assertEqual(met[2][0], 1)
        self.array.crash(1)
        self.array.start(1, acquaintance=Acquaintance(met))
        self.refused(Reason.TWO_LIVES, incarnation=1)
        self.refused(Reason.TWO_LIVES, incarnation=2, lives=b"anothers")
        self.array.crash(2)
        self.array.start(2, incarnation=2, lives=met[2][1])
        self.array.run(3)
        self.assertTrue(self.array.nodes[1].isUp(2) and self.array.nodes[2].isUp(1))

    def test_levelsThatDoNotMeetAreRefused(self) -> None:
        self.refused(Reason.NO_LEVEL, levels=(3, 4))

    def test_adjacentLevelsMeetAtTheLower(self) -> None:
        self.array.crash(2)
        self.array.start(2, levels=(1, 2))
        self.array.run(1)
        self.assertEqual([each.level for each in self.array.nodes[1].peers()], [1])

    def test_nodeThatWasRemovedIsRefused(self) -> None:
        self.array.run(1)
        self.array.nodes[1].setPeers([])
        self.array.run(3)
        self.assertFalse(self.array.nodes[2].isUp(1))
        self.assertEqual(self.array.trouble(2, 1)["control"], "UNKNOWN_NODE")
        self.assertEqual(self.array.nodes[1].peers(), ())

    def test_nodeThatWasGivenUpIsToldSo(self) -> None:
        self.array.run(1)
        self.array.nodes[1].setPeers([], {2})
        self.array.run(3)
        self.assertFalse(self.array.nodes[2].isUp(1))
        self.assertEqual(self.array.trouble(2, 1)["control"], "GONE")

    def test_nothingPassesBetweenANodeAndOneThatItHoldsForGone(self) -> None:
        """Whatever the other holds of it: a node that was given up may live, and know nothing of that."""
        self.array.run(1)
        self.array.nodes[1].setPeers([])
        self.array.run(1)
        self.array.network.factories.pop("2:1")
        attempts = self.array.network.attempts
        self.array.nodes[1].send(2, [b"no"])
        self.array.nodes[2].send(1, [b"no"])
        for node, other in ((1, 2), (2, 1)):
            asked = self.array.nodes[node].call(other, "echo", b"", 1.0)
            with self.assertRaises(Unavailable):
                self.array.result(asked)
        self.array.nodes[2].stop()
        self.array.run(3)
        self.assertEqual(self.array.got, [])
        self.assertEqual(self.array.network.attempts, attempts, "it is not dialled either")

    def test_peerAtANewAddressIsFound(self) -> None:
        self.array.run(1)
        self.array.network.factories["2:2"] = self.array.network.factories.pop("2:1")
        self.array.network.died("2:1")
        self.array.nodes[1].setPeers([Peer(node=2, name="n2", addresses=("2:1", "2:2"))])
        self.array.run(3)
        self.assertTrue(self.array.nodes[1].isUp(2))

    def test_peerThatMovedWhileItWasAwayIsFoundWhereItSaysThatItIs(self) -> None:
        """It reaches the others, and cannot have the array agree on its new address before they reach it."""
        self.array.run(1)
        self.array.crash(2)
        moved = self.array.start(2, addresses=("2:2",))
        self.array.network.factories["2:2"] = self.array.network.factories.pop("2:1")
        self.array.run(3)
        self.assertTrue(self.array.nodes[1].isUp(2) and moved.isUp(1))

    def test_peerThatSaysWhereItIsNotIsFoundWhereTheArrayHasIt(self) -> None:
        self.array.run(1)
        self.array.crash(2)
        said = self.array.start(2, addresses=("2:2",))
        self.array.run(3)
        self.assertTrue(self.array.nodes[1].isUp(2) and said.isUp(1))

    def test_peerThatNeverAnswersAHelloIsGivenUp(self) -> None:
        """As one does that was stopped: its kernel accepts, and nothing follows."""
        self.array.run(1)
        self.array.crash(2)
        self.array.network.factories["2:1"] = self.array.nodes[1].factory  # somebody who answers TLS
        self.array.network.delaySeconds = 100.0
        before = self.array.network.attempts
        self.array.run(12)
        self.assertGreaterEqual(self.array.network.attempts, before + 4)
        self.assertEqual(self.array.trouble(1, 2)["control"], "no answer")

    def test_refusedPeerDoesNotHang(self) -> None:
        """The client's side of TLS 1.3 is done before the server has looked at its certificate."""
        other = Authority(*foundAuthority(ARRAY_ID, CERTIFIED_AT))
        stranger = self.array.credentials(2, authority=other)
        trusting = type(stranger)(
            certificate=stranger.certificate, key=stranger.key, authority=stranger.authority
        )
        contexts = Contexts(trusting)
        contexts.client.load_verify_locations(cadata=self.array.authority.certificate.decode())
        mine = Hello(arrayId=ARRAY_ID, node=2, incarnation=1, life=bytes(8))
        dial = Dial(
            clock=self.array.clock,
            contexts=contexts,
            channel=CONTROL,
            mine=mine,
            believe=lambda identity, hello: 1,
        )
        done = dial.start(self.array.network.endpoint("9:1")("1:1"))
        self.array.run(6)
        self.failureResultOf(done, Unavailable)

    def test_strangersAreBounded(self) -> None:
        endpoint = self.array.network.endpoint("9:1")("1:1")
        from twisted.internet.protocol import Factory, Protocol

        ended: list[object] = []

        class Silent(Protocol):
            def connectionLost(self, reason: object = None) -> None:
                ended.append(reason)

        for _ in range(STRANGERS_MAX + 10):
            endpoint.connect(Factory.forProtocol(Silent))
        self.array.run(0.1)
        self.assertGreaterEqual(len(ended), 10)
        self.assertLessEqual(len(ended), 14)  # node 2 has a connection or two
        self.array.run(6)
        self.assertEqual(len(ended), STRANGERS_MAX + 10)

    def test_strangersThatHoldAllPlacesKeepNoNodeOut(self) -> None:
        from twisted.internet.protocol import Factory, Protocol

        self.array.run(1)
        self.array.crash(2)
        for _ in range(STRANGERS_MAX):
            self.array.network.endpoint("9:1")("1:1").connect(Factory.forProtocol(Protocol))
        self.array.run(0.1)
        self.array.start(2)
        self.array.run(1)
        self.assertTrue(self.array.nodes[2].isUp(1))

    def test_aCrowdOfOneNetworkGivesWayAndNoOther(self) -> None:
        doors = self.array.nodes[1].factory
        before = len(doors._open)
        other = doors.buildProtocol(IPv4Address("TCP", "192.0.2.9", 1))
        for port in range(2 * STRANGERS_MAX):
            doors.buildProtocol(IPv6Address("TCP", f"2001:db8::{port:x}", port))
        self.assertIn(other, doors._open)
        self.assertLessEqual(len(doors._open), before + STRANGERS_MAX)

    def test_silentAttemptsEndAtTheDeadline(self) -> None:
        self.array.network.blackhole("1:1", "2:1")
        links = self.array.nodes[1]
        links.setPeers([])
        links.setPeers(self.array.peers)
        self.array.run(6)
        self.assertEqual(self.array.trouble(1, 2)["data"], "no answer")


class Sending(SynchronousTestCase):
    """One-way messages."""

    def setUp(self) -> None:
        self.array = Array()
        self.array.run(1)

    def test_messagesArriveInOrder(self) -> None:
        link = self.array.nodes[1].link(2)
        link.send([b"a", b"b"])
        link.send([b"c"])
        self.array.run(0.1)
        self.assertEqual(self.array.got, [(1, 2, [b"a", b"b"]), (1, 2, [b"c"])])

    def test_bulkArrivesInOrderAndApart(self) -> None:
        self.array.nodes[1].sendBulk(2, [b"a"])
        self.array.nodes[1].sendBulk(2, [b"b"])
        self.array.run(0.1)
        self.assertEqual(self.array.gotBulk, [(1, 2, [b"a"]), (1, 2, [b"b"])])
        self.assertEqual(self.array.got, [])

    def test_messagesOfOneTurnAreOneCall(self) -> None:
        self.array.nodes[1].send(2, [bytes(1000)] * 200)
        self.assertEqual(self.array.nodes[1].peers()[0].counters["control"]["batches"], 1)

    def test_whatIsSaidInOneTurnLeavesTogether(self) -> None:
        written: list[int] = []
        real = End.write
        self.patch(End, "write", lambda end, data: (written.append(len(data)), real(end, data)))
        for _ in range(5):
            self.array.nodes[1].send(2, [bytes(100)])
        self.array.run(0.0)
        self.assertEqual(len(written), 1)
        self.array.nodes[1].send(2, [bytes(60 * KIB)])
        self.assertGreater(sum(written[1:]), 60 * KIB)  # so much does not wait
        self.array.run(0.1)
        self.assertEqual(self.array.got, [(1, 2, [bytes(100)])] * 5 + [(1, 2, [bytes(60 * KIB)])])

    def test_manyLargeMessagesAreSeveralCalls(self) -> None:
        self.array.nodes[1].send(2, [bytes(64 * KIB)] * 32)
        self.array.run(1)
        self.assertEqual(sum(len(messages) for _, _, messages in self.array.got), 32)
        self.assertEqual(self.array.nodes[1].peers()[0].counters["control"]["batches"], 8)
        self.array.run(2)
        self.assertEqual(self.array.nodes[1].peers()[0].octetsInFlight, 0)

    def test_messagesToANodeThatIsAwayAreLost(self) -> None:
        self.array.crash(2)
        self.array.run(1)
        self.array.nodes[1].send(2, [b"a"])
        self.array.nodes[1].send(7, [b"a"])
        self.assertEqual(self.array.nodes[1].peers()[0].counters["control"]["lostMessages"], 1)

    def test_octetsInFlightAreKnownSoon(self) -> None:
        """Marks go along with the traffic, not only with the time."""
        for _ in range(40):
            self.array.nodes[1].send(2, [bytes(50 * KIB)])
        self.array.run(0.2)
        self.assertEqual(len(self.array.got), 40)
        self.assertLessEqual(self.array.nodes[1].peers()[0].octetsInFlight, MARK_OCTETS)

    def test_roundTripIsThatOfTheLastMark(self) -> None:
        self.array.run(3)
        quick = self.array.nodes[1].peers()[0].trips
        self.assertEqual(sorted(quick), ["control", "data"])
        self.array.network.delaySeconds = 0.05
        self.array.run(3)
        slow = self.array.nodes[1].peers()[0].trips
        for channel in quick:
            self.assertLess(quick[channel], 0.05)
            self.assertGreaterEqual(slow[channel], 0.1)
            self.assertLess(slow[channel], 0.2)
        self.array.crash(2)
        self.array.run(1)
        self.assertEqual(self.array.nodes[1].peers()[0].trips, {})

    def test_octetsInFlightAreBounded(self) -> None:
        self.array.network.blackhole("1:1", "2:1")
        for _ in range(100):
            self.array.nodes[1].send(2, [bytes(60 * KIB)] * 8)
        status = self.array.nodes[1].peers()[0]
        self.assertLessEqual(status.octetsInFlight, OCTETS_MAX)
        self.assertGreater(status.octetsInFlight, OCTETS_MAX - 600 * KIB)
        self.assertGreater(status.counters["control"]["lostMessages"], 0)
        self.array.network.heal()
        self.array.run(2)
        self.array.nodes[1].send(2, [b"last"])
        self.array.run(1)
        self.assertEqual(self.array.got[-1], (1, 2, [b"last"]))

    def test_oneTurnLargerThanTheBoundGoesWhenNothingElseDoes(self) -> None:
        self.array.nodes[1].send(2, [bytes(64 * KIB)] * 140)
        self.array.run(2)
        self.assertEqual(sum(len(messages) for _, _, messages in self.array.got), 140)

    def test_largeMessagesDoNotDelayControlTraffic(self) -> None:
        links = self.array.nodes[1]
        self.array.nodes[2].serve("big", lambda node, payload, seconds: b"")
        for _ in range(4):
            links.call(2, "big", bytes(2 * KIB * KIB), 30.0)
        links.sendBulk(2, [bytes(64 * KIB)] * 100)
        links.send(2, [b"beat"])
        self.array.run(0.02)
        self.assertEqual(self.array.got, [(1, 2, [b"beat"])])
        self.assertEqual(self.array.gotBulk, [])

    def test_whatAReceiverRaisesCostsNotTheConnection(self) -> None:
        def raises(node: int, messages: list[bytes]) -> None:
            raise ZeroDivisionError

        self.array.nodes[2].attend(raises, raises)
        self.array.nodes[1].send(2, [b"a"])
        self.array.run(1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(self.array.nodes[1].isUp(2))
        self.assertEqual(self.array.nodes[1].peers()[0].counters["control"]["connected"], 1)


class Calling(SynchronousTestCase):
    """Calls and their answers."""

    def setUp(self) -> None:
        self.array = Array()
        self.array.run(1)
        self.here, self.there = self.array.nodes[1], self.array.nodes[2]

    def failed(self, deferred: Deferred[Any]) -> type[BaseException]:
        return type(self.failureResultOf(deferred).value)

    def test_callIsAnswered(self) -> None:
        self.there.serve("echo", lambda node, payload, seconds: b"%d %s" % (node, payload))
        self.assertEqual(self.array.result(self.here.call(2, "echo", b"hello", 1.0)), b"1 hello")

    def test_emptyPayloadsAreCarried(self) -> None:
        self.there.serve("nothing", lambda node, payload, seconds: payload)
        self.assertEqual(self.array.result(self.here.call(2, "nothing", b"", 1.0)), b"")

    def test_largePayloadsAreCarriedBothWays(self) -> None:
        payload = bytes(range(256)) * 16 * KIB  # 4 MiB
        self.there.serve("echo", lambda node, payload, seconds: payload)
        self.assertEqual(self.array.result(self.here.call(2, "echo", payload, 5.0)), payload)
        self.assertRaises(ValueError, self.here.call, 2, "echo", payload + b"x", 5.0)

    def test_callOfANodeItselfIsAnswered(self) -> None:
        self.here.serve("echo", lambda node, payload, seconds: b"%d" % node)
        self.assertEqual(self.successResultOf(self.here.call(1, "echo", b"", 1.0)), b"1")

    def test_answererMayBeACoroutineAndKnowsTheDeadline(self) -> None:
        async def answer(node: int, payload: bytes, seconds: float) -> bytes:
            return b"%.1f" % seconds

        self.there.serve("slow", answer)
        self.assertEqual(self.array.result(self.here.call(2, "slow", b"", 2.5)), b"2.5")

    def test_errorsTravelAsTheNearestClassOfOurs(self) -> None:
        class NotHere(StorageFull):
            pass

        for error, expected in (
            (NoSuchUser("secret"), NoSuchUser),
            (NotHere("secret"), StorageFull),
            (OutcomeUnknown(), OutcomeUnknown),
        ):

            async def answer(node: int, payload: bytes, seconds: float, error: Exception = error) -> bytes:
                raise error

            self.there.serve(repr(error), answer)
            try:
                self.array.result(self.here.call(2, repr(error), b"", 1.0))
            except JindimailError as problem:
                self.assertIs(type(problem), expected)
                self.assertEqual(str(problem), "")
            else:
                self.fail("no error")

    def test_errorsThatAreNotOursAreLoggedThereAndInternalHere(self) -> None:
        async def answer(node: int, payload: bytes, seconds: float) -> bytes:
            raise ZeroDivisionError("secret")

        self.there.serve("broken", answer)
        self.there.serve("broken at once", lambda node, payload, seconds: 1 / 0)
        for method in ("broken", "broken at once"):
            done = self.here.call(2, method, b"", 1.0)
            self.array.run(0.1)
            self.assertIs(self.failed(done), JindimailError)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_answerThatIsNotOctetsIsAnInternalError(self) -> None:
        self.there.serve("odd", lambda node, payload, seconds: {"a": 1})
        done = self.here.call(2, "odd", b"", 1.0)
        self.array.run(0.1)
        self.assertIsInstance(self.failureResultOf(done).value, JindimailError)
        self.flushLoggedErrors()
        self.assertTrue(self.here.isUp(2))

    def test_methodThatIsNotServedIsUnavailable(self) -> None:
        done = self.here.call(2, "unknown", b"", 1.0)
        self.array.run(0.1)
        self.assertIs(self.failed(done), Unavailable)

    def test_callOfANodeThatIsAwayIsUnavailableAtOnce(self) -> None:
        self.array.crash(2)
        self.array.run(0.1)
        self.assertIs(self.failed(self.here.call(2, "x", b"", 1.0)), Unavailable)
        self.assertIs(self.failed(self.here.call(7, "x", b"", 1.0)), Unavailable)

    def test_callWithoutAnswerIsUnknownAtItsDeadline(self) -> None:
        self.there.serve("never", waitsForEver)
        self.array.network.blackhole("1:1", "2:1")
        done = self.here.call(2, "never", b"", 1.0)
        self.array.run(0.9)
        self.assertNoResult(done)
        self.array.run(0.2)
        self.assertIs(self.failed(done), OutcomeUnknown)

    def test_answererThatNeverAnswersIsAnsweredFor(self) -> None:
        self.there.serve("never", waitsForEver)
        for _ in range(20):
            self.here.call(2, "never", bytes(KIB), 1.0).addErrback(lambda _: None)
        self.array.run(0.1)
        self.assertEqual(self.here.peers()[0].callsInFlight, 20)
        self.array.run(1.5)
        self.assertEqual(self.here.peers()[0].callsInFlight, 0)
        self.assertEqual(self.here.peers()[0].octetsInFlight, 0)

    def test_lateAnswerHarmsNobody(self) -> None:
        late: Deferred[bytes] = Deferred()
        self.there.serve("late", lambda node, payload, seconds: late)
        done = self.here.call(2, "late", b"", 0.5)
        self.array.run(1)
        self.assertIs(self.failed(done), OutcomeUnknown)
        late.callback(b"at last")
        self.array.run(0.5)
        self.assertTrue(self.here.isUp(2))

    def test_callThatWasSentIsUnknownWhenTheNodeDies(self) -> None:
        self.there.serve("never", waitsForEver)
        done = self.here.call(2, "never", b"", 10.0)
        self.array.run(0.1)
        self.array.crash(2)
        self.array.run(0.1)
        self.assertIs(self.failed(done), OutcomeUnknown)

    def test_callMayBeRepeatedFromItsOwnFailure(self) -> None:
        """Whoever is told that a connection was lost does not meet it again."""
        self.there.serve("never", waitsForEver)
        done = self.here.call(2, "never", b"", 10.0)
        again = done.addErrback(lambda _: self.here.call(2, "never", b"", 10.0))
        self.array.run(0.1)
        self.array.crash(2)
        self.array.run(0.1)
        self.assertIs(self.failed(again), Unavailable)

    def test_callsBeyondTheBoundWaitForRoom(self) -> None:
        answers: list[Deferred[bytes]] = []

        def answer(node: int, payload: bytes, seconds: float) -> Deferred[bytes]:
            answers.append(Deferred())
            return answers[-1]

        self.there.serve("hold", answer)
        calls = [self.here.call(2, "hold", bytes(3 * KIB * KIB), 60.0) for _ in range(4)]
        self.array.run(1)
        status = self.here.peers()[0]
        self.assertEqual((status.callsInFlight, status.callsWaiting), (2, 2))
        self.assertLessEqual(status.octetsInFlight, OCTETS_MAX)
        while len(answers) < 4:
            for each in answers:
                if not each.called:
                    each.callback(b"done")
            self.array.run(1)
        answers[-1].callback(b"done")
        answers[-2].callback(b"done")
        self.array.run(1)
        self.assertEqual([self.successResultOf(call) for call in calls], [b"done"] * 4)

    def test_payloadsThatAreBeingAnsweredAreBounded(self) -> None:
        """Whatever the other node's own bounds are."""
        held: list[Deferred[bytes]] = []
        self.there.serve("hold", lambda node, payload, seconds: held.append(Deferred()) or held[-1])  # type: ignore[func-returns-value]
        broker: Any = self.here._peers[2].channels[DATA]._up._broker  # type: ignore[union-attr]
        piece, answers = [bytes(64 * KIB)] * 64, []
        for _ in range(5):
            answers.append(Deferred())
            broker.ask(b"hold", 60_000, piece, answers[-1])
            self.array.run(0.5)
        self.assertEqual(len(held), ANSWERING_OCTETS_MAX // (4 * KIB * KIB))
        self.assertEqual(self.successResultOf(answers[-1]), (FAILED, [b"Unavailable"]))
        held[0].callback(b"")
        self.array.run(0.1)
        broker.ask(b"hold", 60_000, piece, Deferred())
        self.array.run(0.5)
        self.assertEqual(len(held), 5)

    def test_callWhoseTimeIsOverIsNotSent(self) -> None:
        """Nor counted: another node's call that is passed on may have had none to begin with."""
        seen: list[float] = []
        self.there.serve("echo", lambda node, payload, seconds: seen.append(seconds) or payload)  # type: ignore[func-returns-value]
        self.assertIs(self.failed(self.here.call(2, "echo", b"late", -1.0)), Unavailable)
        status = self.here.peers()[0]
        self.assertEqual((status.callsInFlight, status.octetsInFlight), (0, 0))
        self.here._peers[2].channels[DATA]._root.callRemote("call", b"echo", -5, [b"x"])
        self.array.run(0.1)
        self.assertEqual(seen, [0.0])

    def test_callThatFoundNoRoomUntilItsDeadlineWasNotSent(self) -> None:
        seen: list[bytes] = []

        def answer(node: int, payload: bytes, seconds: float) -> Deferred[bytes]:
            seen.append(payload)
            return Deferred()

        self.there.serve("hold", answer)
        for _ in range(2):
            self.here.call(2, "hold", bytes(4 * KIB * KIB - 140), 60.0).addErrback(lambda _: None)
        done = self.here.call(2, "hold", b"small but late", 1.0)
        self.array.run(2)
        self.assertIs(self.failed(done), Unavailable)
        self.assertEqual(len(seen), 2)
        self.assertEqual(self.here.peers()[0].callsWaiting, 0)

    def test_whatWaitsForRoomIsBounded(self) -> None:
        self.there.serve("hold", waitsForEver)
        calls = [self.here.call(2, "hold", bytes(4 * KIB * KIB), 60.0) for _ in range(16)]
        refused = [call for call in calls if call.called]
        self.assertGreaterEqual(len(refused), 5)
        for call in refused:
            self.assertIs(self.failed(call), Unavailable)
        waiting = self.here.peers()[0].callsWaiting
        self.assertLessEqual(waiting * 4 * KIB * KIB, WAITING_OCTETS_MAX)
        for call in calls:
            call.addErrback(lambda _: None)

    def test_cancelledCallThatWaitsIsNotSent(self) -> None:
        seen: list[bytes] = []

        def answer(node: int, payload: bytes, seconds: float) -> bytes:
            seen.append(payload[:4])
            return b""

        self.there.serve("hold", answer)
        self.here.call(2, "hold", bytes(4 * KIB * KIB), 60.0)
        self.here.call(2, "hold", bytes(4 * KIB * KIB), 60.0)
        waiting = self.here.call(2, "hold", b"never sent", 60.0)
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        self.array.run(2)
        self.assertEqual(seen, [bytes(4)] * 2)

    def test_callsOnTheControlChannelAreAgainstTheProtocol(self) -> None:
        control = self.here._peers[2].channels[CONTROL]
        control.call("x", b"", 1.0).addErrback(lambda _: None)
        self.array.run(0.3)
        self.assertEqual(control.counters.connected, 2)


class Losing(SynchronousTestCase):
    """Connections that end, and come back."""

    def setUp(self) -> None:
        self.array = Array()
        self.array.run(1)

    def test_peerThatWasRestartedIsFoundAgainSoon(self) -> None:
        seen: list[tuple[int, bool]] = []
        self.array.nodes[1].listen(lambda node, isUp: seen.append((node, isUp)))
        self.array.crash(2)
        self.array.run(20)  # the back-off is at its longest
        self.array.start(2)
        self.array.run(0.2)
        self.assertEqual(seen, [(2, False), (2, True)])
        self.array.nodes[1].send(2, [b"again"])
        self.array.run(0.1)
        self.assertEqual(self.array.got, [(1, 2, [b"again"])])
        self.assertEqual(self.array.nodes[1].incarnationOf(2), 2)

    def test_newLifeReplacesTheOldThatNobodySawDie(self) -> None:
        """A machine lost its power, and is back before its connections were missed."""
        self.array.network.blackhole("1:1", "2:1")
        self.array.crash(2)
        self.array.network.heal()
        self.assertTrue(self.array.nodes[1].isUp(2))
        self.array.start(2)
        self.array.run(0.3)
        self.array.nodes[1].send(2, [b"again"])
        self.array.run(0.1)
        self.assertEqual(self.array.got, [(1, 2, [b"again"])])
        self.assertEqual(len(self.array.nodes[1].factory._open), 2)

    def test_callsThatWaitAreRefusedWhenTheNodeGoes(self) -> None:
        self.array.nodes[2].serve("hold", waitsForEver)
        for _ in range(2):
            self.array.nodes[1].call(2, "hold", bytes(4 * KIB * KIB), 60.0).addErrback(lambda _: None)
        waiting = self.array.nodes[1].call(2, "hold", b"", 60.0)
        waiting.addErrback(lambda failure: failure.trap(Unavailable))
        self.array.run(0.1)
        self.array.crash(2)
        self.array.run(0.1)
        self.assertIs(self.successResultOf(waiting), Unavailable)
        self.assertEqual(self.array.nodes[1].peers()[0].callsWaiting, 0)

    def test_attemptsBackOff(self) -> None:
        self.array.crash(2)
        self.array.run(10)
        before = self.array.network.attempts
        self.array.run(20)
        self.assertLessEqual(self.array.network.attempts - before, 2 * 20 + 2)
        self.assertGreaterEqual(self.array.network.attempts - before, 2 * 9)

    def test_deadConnectionIsNoticedWithoutTraffic(self) -> None:
        self.array.network.blackhole("1:1", "2:1")
        self.array.run(SILENCE_SECONDS + 2.5)
        self.assertFalse(self.array.nodes[1].isUp(2))
        self.assertFalse(self.array.nodes[2].isUp(1))
        self.assertEqual(self.array.nodes[1].peers()[0].counters["control"]["silences"], 1)
        self.array.network.heal()
        self.array.run(12)
        self.assertTrue(self.array.nodes[1].isUp(2))
        self.assertTrue(self.array.nodes[2].isUp(1))

    def test_connectionsOfOthersThatFellSilentEnd(self) -> None:
        self.array.network.blackhole("1:1", "2:1")
        self.array.run(INCOMING_SILENCE_SECONDS + 1)
        self.assertEqual(self.array.nodes[1]._incoming, {})
        self.assertEqual(len(self.array.nodes[1].factory._open), 0)

    def test_idleConnectionStays(self) -> None:
        self.array.run(60)
        self.assertEqual(self.array.nodes[1].peers()[0].counters["control"]["connected"], 1)
        self.assertEqual(self.array.nodes[1].peers()[0].counters["data"]["connected"], 1)

    def test_nodeThatWasPausedBelievesNotInSilence(self) -> None:
        """What the others said meanwhile has not been read yet."""
        self.array.network.delaySeconds = 1.0
        self.array.run(1.2)
        self.assertGreater(self.array.nodes[1]._peers[2].channels[CONTROL]._marks, 0)
        self.array.clock.advance(SILENCE_SECONDS * 4)
        self.array.run(3)
        for node in (1, 2):
            self.assertEqual(self.array.nodes[node].peers()[0].counters["control"]["silences"], 0)

    def test_nodeThatIsTakenOffThePeersIsDisconnected(self) -> None:
        self.array.nodes[1].setPeers([])
        self.array.run(0.1)
        self.assertEqual(self.array.nodes[1]._incoming, {})

    def test_stopEndsEverything(self) -> None:
        waiting = self.array.nodes[1].call(2, "unserved", b"", 5.0).addErrback(lambda _: None)
        for node in (1, 2):
            self.array.nodes[node].stop()
        self.array.run(1)
        self.assertTrue(waiting.called)
        self.assertEqual(self.array.network.ends, {})
        self.assertEqual([call for call in self.array.clock.getDelayedCalls() if call.active()], [])


class Instance(pb.Copyable):  # type: ignore[misc]
    """Something that Perspective Broker would carry elsewhere."""


class Copied(pb.RemoteCopy):  # type: ignore[misc]
    """What it would make of it, since somebody in the process has allowed that."""

    made = 0

    def setCopyableState(self, state: Any) -> None:
        Copied.made += 1


pb.setUnjellyableForClass("tests.Instance", Copied)


class Types(SynchronousTestCase):
    """What may travel."""

    def setUp(self) -> None:
        self.array = Array()
        self.array.run(1)
        self.there = self.array.nodes[2]
        self.seen: list[Any] = []
        self.there.serve("echo", lambda node, payload, seconds: self.seen.append(payload) or b"")  # type: ignore[func-returns-value]

    def ends(self, kind: int, method: str, *arguments: Any) -> None:
        """A call ends the connection, and reaches nobody. It is jellied as Twisted would, since ours refuses to."""
        channel = self.array.nodes[1]._peers[2].channels[kind]
        broker: Any = channel._up._broker  # type: ignore[union-attr]
        jellied = pb.Broker.serialize(stockBroker(broker), arguments)
        broker.sendCall(b"message", 99, b"root", method.encode(), 1, jellied, [b"dictionary"])
        self.array.run(0.05)
        self.assertFalse(channel.isUp)
        self.array.run(1)
        self.assertTrue(channel.isUp)
        self.assertEqual(self.seen, [])
        self.assertEqual(self.array.got, [])
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.array.network.raised, [])

    def test_instancesAreRefused(self) -> None:
        self.ends(DATA, "call", b"echo", 1000, [Instance()])

    def test_instancesInMessagesAreRefused(self) -> None:
        self.ends(CONTROL, "take", [b"a", Instance()])

    def test_instancesAreNotSent(self) -> None:
        channel = self.array.nodes[1]._peers[2].channels[DATA]
        for value in (Instance(), "text", None, 1.5, {b"a": 1}):
            self.failureResultOf(channel._root.callRemote("call", value), InsecureJelly)
        self.assertTrue(channel.isUp)

    def test_instancesAreNotEvenMade(self) -> None:
        """Twisted's options allow, whatever they say, what anybody in the process has registered."""
        self.assertTrue(SecurityOptions().isTypeAllowed(b"tests.Instance"))
        channel = self.array.nodes[1]._peers[2].channels[DATA]
        jellied = [b"tuple", b"echo", 1000, [b"list", [b"tests.Instance", [b"dictionary"]]]]
        broker: Any = channel._up._broker  # type: ignore[union-attr]
        broker.sendCall(b"message", 99, b"root", b"call", 0, jellied, [b"dictionary"])
        self.array.run(0.05)
        self.assertFalse(channel.isUp)
        self.assertEqual(Copied.made, 0)

    def test_referencesAreRefused(self) -> None:
        self.ends(DATA, "call", b"echo", 1000, pb.Root())

    def test_otherTypesThanExpectedAreRefused(self) -> None:
        for arguments in ((b"echo", 1000, b""), (b"echo", 1.5, []), ("echo", 1, []), (), (b"echo", 1, [1])):
            self.ends(DATA, "call", *arguments)

    def test_tooLargePiecesAreRefused(self) -> None:
        self.ends(DATA, "call", b"echo", 1000, [bytes(64 * KIB + 1)])
        self.ends(CONTROL, "take", [bytes(64 * KIB + 1)])

    def test_unknownMethodsAreRefused(self) -> None:
        self.ends(DATA, "shutdown")

    def test_whatIsNoProtocolAtAllIsRefused(self) -> None:
        for octets in (b"\x05\x81", b"\xff", b"\x01\x80\x01\x1b\x87", b"\x02\x80\x1b\x87\x05\x81"):
            channel = self.array.nodes[1]._peers[2].channels[DATA]
            channel._up._broker.transport.write(octets)  # type: ignore[union-attr]
            self.array.run(0.05)
            self.assertFalse(channel.isUp)
            self.array.run(1)
        self.assertEqual(self.array.network.raised, [])

    def test_secondHelloIsRefused(self) -> None:
        self.ends(DATA, "hello", DATA, ())

    def test_nothingIsTakenBeforeAHello(self) -> None:
        """A peer with a good certificate that says no hello."""
        self.array.crash(1)
        contexts = Contexts(self.array.credentials(1))
        mine = Hello(arrayId=ARRAY_ID, node=1, incarnation=9, life=bytes(8))
        dial = Dial(
            clock=self.array.clock, contexts=contexts, channel=CONTROL, mine=mine, believe=lambda *_: 1
        )
        dial._greet = lambda root: root.callRemote("take", [b"early"], pbanswer=False)  # type: ignore[assignment]
        done = dial.start(self.array.network.endpoint("1:1")("2:1"))
        self.array.run(0.1)
        self.failureResultOf(done, Unavailable)
        self.assertEqual(self.array.got, [])

    def test_helloThatIsNoneIsRefused(self) -> None:
        self.array.crash(1)
        contexts = Contexts(self.array.credentials(1))
        mine = Hello(arrayId=b"short", node=1, incarnation=9, life=bytes(8))
        dial = Dial(
            clock=self.array.clock, contexts=contexts, channel=CONTROL, mine=mine, believe=lambda *_: 1
        )
        done = dial.start(self.array.network.endpoint("1:1")("2:1"))
        self.array.run(0.1)
        error = self.failureResultOf(done, Unwelcome).value
        self.assertIs(error.reason, Reason.NOT_UNDERSTOOD)
