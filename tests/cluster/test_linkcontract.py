"""What every provider of `ILinks` promises: the real links, and those in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from jindimail.cluster.memorylinks import Fabric
from jindimail.errors import JindimailError, NoSuchUser, OutcomeUnknown, Unavailable
from jindimail.interfaces import ILinks, INodeLink
from jindimail.replication.frames import Unpacker, packFrames
from jindimail.replication.nodemessages import NodeBeat, PutBody, encodeTraffic
from tests.cluster.wires import Array


class Contract:
    """Two nodes, 1 and 2, that are connected."""

    def here(self) -> Any:
        raise NotImplementedError

    def there(self) -> Any:
        raise NotImplementedError

    def run_(self, seconds: float) -> None:
        raise NotImplementedError

    def stall(self) -> None:
        """Nothing gets through, and nobody is told."""
        raise NotImplementedError

    def kill(self) -> None:
        """Node 2 dies."""
        raise NotImplementedError

    def revive(self) -> Any:
        """Node 2 is started again."""
        raise NotImplementedError

    def prepare(self: Any) -> None:
        self.got: list[Any] = []
        self.there().attend(
            lambda node, messages: self.got.append((node, messages)),
            lambda node, messages: self.got.append((-node, messages)),
        )

    def result(self: Any, deferred: Deferred[Any]) -> Any:
        self.run_(0.5)
        return self.successResultOf(deferred)

    def error(self: Any, deferred: Deferred[Any]) -> type[BaseException]:
        return type(self.failureResultOf(deferred).value)

    def test_providesTheInterfaces(self: Any) -> None:
        verifyObject(ILinks, self.here())
        verifyObject(INodeLink, self.here().link(2))
        self.assertEqual((self.here().node, self.there().node), (1, 2))

    def test_framesOfReplicationArriveAsTheyLeft(self: Any) -> None:
        """What a driver sends: heartbeats, and messages longer than a frame."""
        messages = [NodeBeat(1, 2, 3, 4, 5, b"d"), PutBody(1, b"id", 0, bytes(100_000))]
        self.here().link(2).send(packFrames(map(encodeTraffic, messages)))
        self.run_(0.5)
        unpacker = Unpacker()
        ((node, frames),) = self.got
        self.assertEqual(node, 1)
        self.assertEqual([each for frame in frames for each in unpacker.unpack(frame)], messages)

    def test_messagesArriveInOrderOnEachChannel(self: Any) -> None:
        for number in range(50):
            self.here().send(2, [b"%d" % number])
            self.here().sendBulk(2, [b"%d" % number])
        self.run_(0.5)
        for sign in (1, -1):
            mine = [messages[0] for node, messages in self.got if node == sign]
            self.assertEqual(mine, [b"%d" % number for number in range(50)])

    def test_listGivenToSendMayBeChangedAfterwards(self: Any) -> None:
        messages = [b"a"]
        self.here().send(2, messages)
        messages.clear()
        self.run_(0.5)
        self.assertEqual(self.got, [(1, [b"a"])])

    def test_nothingIsSentByAnEmptyList(self: Any) -> None:
        self.here().send(2, [])
        self.here().sendBulk(2, [])
        self.run_(0.5)
        self.assertEqual(self.got, [])

    def test_messagesToNobodyAreLost(self: Any) -> None:
        self.here().send(9, [b"a"])
        self.here().link(9).send([b"a"])
        self.here().sendBulk(9, [b"a"])

    def test_callsAreAnswered(self: Any) -> None:
        async def answer(node: int, payload: bytes, seconds: float) -> bytes:
            return b"%d %s %.0f" % (node, payload, seconds)

        self.there().serve("m", answer)
        self.assertEqual(self.result(self.here().call(2, "m", b"p", 3.0)), b"1 p 3")

    def test_callOfItselfIsAnswered(self: Any) -> None:
        self.here().serve("m", lambda node, payload, seconds: payload)
        self.assertEqual(self.result(self.here().call(1, "m", b"p", 3.0)), b"p")

    def test_methodIsServedOnce(self: Any) -> None:
        self.here().serve("m", lambda node, payload, seconds: payload)
        self.assertRaises(ValueError, self.here().serve, "m", lambda node, payload, seconds: payload)

    def test_errorsAreMapped(self: Any) -> None:
        class Nearer(NoSuchUser):
            pass

        async def ours(node: int, payload: bytes, seconds: float) -> bytes:
            raise Nearer("secret")

        self.there().serve("ours", ours)
        done = self.here().call(2, "ours", b"", 3.0)
        self.run_(0.5)
        failure = self.failureResultOf(done)
        self.assertIs(type(failure.value), NoSuchUser)
        self.assertEqual(str(failure.value), "")

    def test_strangeErrorsAreInternalErrors(self: Any) -> None:
        async def strange(node: int, payload: bytes, seconds: float) -> bytes:
            raise ZeroDivisionError

        self.there().serve("strange", strange)
        done = self.here().call(2, "strange", b"", 3.0)
        self.run_(0.5)
        self.assertIs(self.error(done), JindimailError)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_tooLargePayloadsAreTheCallersMistake(self: Any) -> None:
        self.assertRaises(ValueError, self.here().call, 2, "m", bytes(4 * 1024 * 1024 + 1), 1.0)

    def test_whatIsNotServedIsUnavailable(self: Any) -> None:
        done = self.here().call(2, "nothing", b"", 3.0)
        self.run_(0.5)
        self.assertIs(self.error(done), Unavailable)

    def test_nobodyIsUnavailable(self: Any) -> None:
        self.assertIs(self.error(self.here().call(9, "m", b"", 3.0)), Unavailable)

    def test_noAnswerIsUnknownAtTheDeadline(self: Any) -> None:
        self.stall()
        done = self.here().call(2, "m", b"", 1.0)
        self.run_(0.9)
        self.assertNoResult(done)
        self.run_(0.2)
        self.assertIs(self.error(done), OutcomeUnknown)

    def test_deathIsUnknownForWhatWasSentAndThenUnavailable(self: Any) -> None:
        self.there().serve("m", lambda node, payload, seconds: Deferred())
        done = self.here().call(2, "m", b"", 60.0)
        self.run_(0.5)
        self.kill()
        self.run_(0.5)
        self.assertIs(self.error(done), OutcomeUnknown)
        self.assertIs(self.error(self.here().call(2, "m", b"", 60.0)), Unavailable)
        self.assertFalse(self.here().isUp(2))

    def test_listenersAreToldOfDeathAndReturn(self: Any) -> None:
        seen: list[Any] = []
        self.here().listen(lambda node, isUp: seen.append((node, isUp)))
        self.kill()
        self.run_(0.5)
        self.revive()
        self.run_(3)
        self.assertEqual(seen, [(2, False), (2, True)])
        self.assertTrue(self.here().isUp(2))


class RealLinks(Contract, SynchronousTestCase):
    """TLS and Perspective Broker over a network in memory."""

    def setUp(self) -> None:
        self.array = Array()
        self.array.run(1)
        self.prepare()

    def here(self) -> Any:
        return self.array.nodes[1]

    def there(self) -> Any:
        return self.array.nodes[2]

    def run_(self, seconds: float) -> None:
        self.array.run(seconds)

    def stall(self) -> None:
        self.array.network.blackhole("1:1", "2:1")

    def kill(self) -> None:
        self.array.crash(2)

    def revive(self) -> Any:
        return self.array.start(2)


class LinksInMemory(Contract, SynchronousTestCase):
    """`memorylinks`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.fabric = Fabric(self.clock)
        self.nodes = {node: self.fabric.add(node) for node in (1, 2)}
        self.prepare()

    def here(self) -> Any:
        return self.nodes[1]

    def there(self) -> Any:
        return self.nodes[2]

    def run_(self, seconds: float) -> None:
        self.clock.pump([0.005] * round(seconds / 0.005))

    def stall(self) -> None:
        self.fabric.isStalled = lambda source, target: True

    def kill(self) -> None:
        self.fabric.remove(2)

    def revive(self) -> Any:
        return self.fabric.add(2)

    def test_nothingOfADeadNodeArrives(self) -> None:
        there = self.there()
        self.here().attend(lambda node, messages: self.got.append(messages), lambda node, messages: None)
        self.kill()
        there.send(1, [b"a"])
        self.assertIs(self.error(there.call(1, "m", b"", 1.0)), Unavailable)
        self.run_(0.1)
        self.assertEqual(self.got, [])

    def test_cutIsNoticedAndHealed(self) -> None:
        self.fabric.cut(2, 1)
        self.assertFalse(self.here().isUp(2))
        self.assertIs(self.error(self.here().call(2, "m", b"", 1.0)), Unavailable)
        self.fabric.heal()
        self.assertTrue(self.there().isUp(1))
