"""Sessions outlive the leader of their bucket, and hear of what happens at other nodes at once."""

from __future__ import annotations

import re

import pytest

from jindimail.model import ARRAY_GROUP, bucketGroup, bucketOf
from tests.cluster.edges import Edges, ImapClient
from tests.cluster.world import World

ANNA = "anna@example.org"
GROUP = bucketGroup(bucketOf(ANNA))
GROUPS = (ARRAY_GROUP, GROUP)
NODES = (1, 2, 3)
ALL = (1, 2, 3, 4)  # the last has no replica
MESSAGE = b"Received: from a by b\r\nSubject: x\r\n\r\nhello\r\n"
LARGE = MESSAGE + b"0123456789abcdef\r\n" * 60_000
SOON_SECONDS = 0.5


class Array:
    """Four nodes, three of which have Anna's bucket, and Anna with three messages, one of them large."""

    def __init__(self) -> None:
        self.world = World(groups=GROUPS)
        self.world.found()
        self.world.spread(NODES, GROUPS, others=(4,))
        self.edges = {node: Edges(self.world, node) for node in ALL}
        self.world.result(self.edges[1].directory.addDomain("example.org"))
        self.world.result(self.edges[1].directory.addUser(ANNA))
        for octets in (MESSAGE, LARGE, MESSAGE):
            assert self.edges[1].deliver(octets, ANNA) == [None]

    def ingresses(self) -> list[int]:
        """Nodes that do not lead Anna's bucket: a follower, and one without a replica."""
        return [next(node for node in NODES if node != self.leader()), 4]

    def leader(self) -> int:
        """The node that leads Anna's bucket."""
        return self.world.leader(GROUP)

    def killLeader(self) -> None:
        """The leader's process ends."""
        leader = self.leader()
        self.edges.pop(leader)
        self.world.kill(leader)

    def selected(self, node: int) -> ImapClient:
        """A client that has selected INBOX."""
        client = self.edges[node].imap(ANNA)
        assert b" OK [READ-WRITE]" in client.ask(b"SELECT INBOX")
        return client


@pytest.fixture
def array() -> Array:
    """An array."""
    return Array()


@pytest.mark.parametrize("at", [0, 1], ids=["follower", "stranger"])
def test_aStoreOutlivesTheLeader(array: Array, at: int) -> None:
    client = array.selected(array.ingresses()[at])
    tag = client.start(b"STORE 1:3 +FLAGS (\\Flagged $Work)")
    array.killLeader()
    said = client.end(tag)
    assert tag + b" OK" in said
    assert said.count(b"\\Flagged $Work") >= 3
    assert client.ask(b"SEARCH FLAGGED KEYWORD $Work").startswith(b"* SEARCH 1 2 3\r\n")
    assert client.isConnected


@pytest.mark.parametrize("at", [0, 1], ids=["follower", "stranger"])
def test_anAppendOutlivesTheLeaderAndIsThereOnce(array: Array, at: int) -> None:
    client = array.selected(array.ingresses()[at])
    tag = client.start(b"APPEND INBOX (\\Seen) {%d+}\r\n%b" % (len(MESSAGE), MESSAGE))
    array.killLeader()
    said = client.end(tag)
    assert re.search(tag + rb" OK \[APPENDUID \d+ 4\]", said), said
    assert b"* 4 EXISTS" in said + client.ask(b"NOOP")
    assert b"* SEARCH 1 2 3 4\r\n" in client.ask(b"SEARCH ALL")


@pytest.mark.parametrize("at", [0, 1], ids=["follower", "stranger"])
def test_aFetchOfALargeMessageOutlivesTheLeader(array: Array, at: int) -> None:
    client = array.selected(array.ingresses()[at])
    tag = client.start(b"FETCH 2 BODY.PEEK[]")
    array.killLeader()
    said = client.end(tag)
    assert tag + b" OK" in said
    assert LARGE in said
    assert client.isConnected


@pytest.mark.parametrize("at", [0, 1], ids=["follower", "stranger"])
def test_anIdleSessionOutlivesTheLeaderAndHearsOn(array: Array, at: int) -> None:
    client = array.selected(array.ingresses()[at])
    tag = client.start(b"IDLE")
    assert client.hear(lambda said: said.endswith(b"+ idling\r\n"))
    array.killLeader()
    array.world.run(0.2)
    other = next(iter(array.edges))
    assert array.edges[other].deliver(MESSAGE, ANNA) == [None]
    assert b"* 4 EXISTS" in client.hear(lambda said: b"EXISTS" in said)
    assert array.edges[other].deliver(MESSAGE, ANNA) == [None]
    array.world.run(SOON_SECONDS)
    assert b"* 5 EXISTS" in client.said()
    client.protocol.dataReceived(b"DONE\r\n")
    assert tag + b" OK" in client.end(tag)
    assert client.isConnected


@pytest.mark.parametrize("reader", ALL)
def test_sessionsAtAllNodesSeeEachOthersChangesAtOnce(array: Array, reader: int) -> None:
    writer = array.selected(array.leader())
    client = array.selected(reader)
    tag = client.start(b"IDLE")
    assert client.hear(lambda said: said.endswith(b"+ idling\r\n"))
    assert b"OK" in writer.ask(b"STORE 1 +FLAGS (\\Deleted)")
    array.world.run(SOON_SECONDS)
    assert re.search(rb"\* 1 FETCH \(.*\\Deleted", client.said())
    assert b"OK" in writer.ask(b"EXPUNGE")
    array.world.run(SOON_SECONDS)
    assert client.said() == b"* 1 EXPUNGE\r\n"
    client.protocol.dataReceived(b"DONE\r\n")
    assert tag + b" OK" in client.end(tag)
    assert b"OK" in client.ask(b"STORE 1 +FLAGS (\\Answered)")
    assert b"\\Answered" in writer.ask(b"NOOP")


@pytest.mark.parametrize("at", [0, 1], ids=["follower", "stranger"])
def test_whatASessionChangedItIsToldBeforeTheAnswerAlsoWhereTheNodeHearsOfItLater(
    array: Array, at: int
) -> None:
    client = array.selected(array.ingresses()[at])
    highest = _number(rb"HIGHESTMODSEQ (\d+)", client.ask(b"SELECT INBOX (CONDSTORE)"))
    assert _number(rb"MODSEQ \((\d+)\)", client.ask(b"STORE 1 +FLAGS (\\Deleted)")) > highest
    assert b"* 1 EXPUNGE\r\n" in client.ask(b"EXPUNGE")
    assert b"* 1 EXPUNGE\r\n" in client.ask(b"MOVE 1 Trash")
    assert b"* 2 EXISTS\r\n" in client.ask(b"COPY 1 INBOX")
    assert b"* 3 EXISTS\r\n" in client.ask(b"APPEND INBOX {%d+}\r\n%b" % (len(MESSAGE), MESSAGE))


def test_aMailboxIsListedAtOnceAtANodeThatIsBehind(array: Array) -> None:
    leader, reader = array.leader(), array.ingresses()[0]
    client, writer = array.selected(reader), array.selected(leader)
    array.world.fabric.isStalled = lambda source, target: (source, target) == (leader, reader)
    assert b" OK " in writer.ask(b"CREATE Made")
    assert b" OK " in writer.ask(b"DELETE Drafts")
    listed = client.ask(b'LIST "" *')
    assert b'"/" "Made"\r\n' in listed
    assert b"Drafts" not in listed


def _number(pattern: bytes, said: bytes) -> int:
    found = re.search(pattern, said)
    assert found, said
    return int(found[1])


def test_whenNobodyAnswersCommandsAreRefusedAndTheConnectionStaysUnlessClientsWouldNeverAskAgain(
    array: Array,
) -> None:
    client, reader = array.selected(4), array.selected(4)
    pop = array.edges[4].pop3(ANNA)
    assert pop.answer == b"+OK 3 messages\r\n"
    assert pop.ask(b"DELE 1") == b"+OK\r\n"
    for node in NODES:
        array.world.fabric.cut(4, node)
    assert b" NO [UNAVAILABLE]" in client.ask(b"STORE 1 +FLAGS (\\Seen)")
    reader.start(b"FETCH 1 (ENVELOPE)")
    assert reader.hear(lambda said: said.endswith(b"\r\n")).startswith(b"* BYE [UNAVAILABLE]")
    assert not reader.isConnected
    assert pop.ask(b"RETR 1").startswith(b"-ERR")
    assert pop.ask(b"RETR 2").startswith(b"-ERR [SYS/TEMP]")
    assert array.edges[4].pop3(ANNA).answer.startswith(b"-ERR [SYS/TEMP]")
    assert client.isConnected and pop.isConnected
    array.world.fabric.heal()
    array.world.run(1)
    assert b"OK" in client.ask(b"STORE 1 +FLAGS (\\Seen)")
    assert pop.ask(b"RETR 3").startswith(b"+OK")


def test_aMessageThatIsBeingSentWaitsForItsBucketToAnswerAgain(array: Array) -> None:
    client = array.selected(4)
    pop = array.edges[4].pop3(ANNA)
    assert pop.answer == b"+OK 3 messages\r\n"
    size = len(LARGE) + 100
    tag = client.start(b"FETCH 2 BODY.PEEK[]")
    pop.protocol.dataReceived(b"RETR 2\r\n")
    while min(len(client.wire.value()), len(pop.wire.value())) < 1000:
        array.world.run(0.001)
    assert max(len(client.wire.value()), len(pop.wire.value())) < size
    for node in NODES:
        array.world.fabric.cut(4, node)
    array.world.run(25)
    array.world.fabric.heal()
    said = client.end(tag)
    assert LARGE in said and tag + b" OK" in said
    assert LARGE in pop.hear(lambda said: said.endswith(b"\r\n.\r\n"))
    assert client.isConnected and pop.isConnected


def test_quitOutlivesTheLeader(array: Array) -> None:
    pop = array.edges[array.ingresses()[0]].pop3(ANNA)
    assert pop.answer == b"+OK 3 messages\r\n"
    assert pop.ask(b"DELE 2") == b"+OK\r\n"
    pop.protocol.dataReceived(b"QUIT\r\n")
    array.killLeader()
    assert pop.hear(lambda said: said.endswith(b"\r\n")) == b"+OK bye\r\n"
    assert next(iter(array.edges.values())).pop3(ANNA).answer == b"+OK 2 messages\r\n"


def test_aClientThatIsGoneBeforeItsMessageIsAskedForTakesNoRoomInTheSpool(array: Array) -> None:
    for node in array.ingresses():
        for milliseconds in range(6):
            client = array.edges[node].imap(ANNA)
            client.start(b"APPEND INBOX {10}")
            array.world.run(milliseconds / 1000)
            client.lose()
            array.world.run(1)
        assert array.edges[node].spool.messages == 0
