"""A bucket whose replicas are gone keeps nobody's mail from being taken: it waits in another bucket, and comes once."""

from __future__ import annotations

from contextlib import nullcontext

from jindimail.cluster.arrayrecords import UP, NodeRecord, WishRecord
from jindimail.errors import Unavailable
from jindimail.mailbox.queries import ListQueue
from jindimail.model import ARRAY_GROUP, bucketGroup, bucketOf
from jindimail.store.check import check
from tests.cluster.edges import Edges
from tests.cluster.world import World

ANNA, BOB = "anna@example.org", "bob@example.org"
HERS, HIS = bucketOf(ANNA), bucketOf(BOB)
GROUPS = (ARRAY_GROUP, bucketGroup(HERS), bucketGroup(HIS))
MESSAGE = b"Received: from a by b\r\nSubject: x\r\n\r\nhello\r\n"
LARGE = MESSAGE + b"0123456789abcdef\r\n" * 30_000


class Array:
    """Four nodes. Anna's bucket is at 1, 2 and 3, Bob's at 1, 3 and 4."""

    places = {ARRAY_GROUP: (1, 2, 3), GROUPS[1]: (1, 2, 3), GROUPS[2]: (1, 3, 4)}

    def __init__(self) -> None:
        self.world = World(groups=GROUPS)
        self.world.found()
        for node in (2, 3, 4):
            self.world.start(node)
        for group, places in self.places.items():
            for node in places[1:]:
                self.world.grow(group, node)
        self.edges = {}
        for node in (1, 2, 3, 4):
            self.edges[node] = Edges(self.world, node)
        self.know()
        directory = self.edges[1].directory
        self.world.result(directory.addDomain("example.org"))
        for user in (ANNA, BOB):
            self.world.result(directory.addUser(user))

    def know(self) -> None:
        """What group 0 would say."""
        nodes = {
            node: NodeRecord(name=f"n{node}", addresses=(), host=f"h{node}", state=UP)
            for node in (1, 2, 3, 4)
        }
        wishes = {group: WishRecord(voters=places) for group, places in self.places.items()}
        for share in self.world.shares.values():
            share.userMap.update(nodes, wishes)

    def kill(self, *nodes: int) -> None:
        """Processes end."""
        for node in nodes:
            self.edges.pop(node)
            self.world.kill(node)

    def start(self, *nodes: int) -> None:
        """They come back."""
        for node in nodes:
            self.world.start(node)
            self.edges[node] = Edges(self.world, node)
        self.know()

    def messages(self, node: int, user: str) -> int:
        """How many a user has, as a POP3 client at a node is told."""
        client = self.edges[node].pop3(user)
        answer = client.answer
        assert answer.startswith(b"+OK "), answer
        assert client.ask(b"QUIT") == b"+OK bye\r\n"
        return int(answer.split()[1])

    def waiting(self, node: int) -> list[int]:
        """The buckets that mail waits for in Anna's."""
        query = self.edges[node].buckets.query(HERS, ListQueue(), fresh=True)
        return [row.target for row in self.world.result(query)]

    def verify(self) -> None:
        """All stores are sound; bodies that nobody names any more are warnings."""
        for node, rows in self.world.rows.items():
            found = [each for each in check(lambda rows=rows: nullcontext(rows)) if not each.kind.isWarning]
            assert not [str(each) for each in found if each.table not in ("meta", "log")], node


def test_mailForACutOffBucketIsTakenAndComesOnceWhenItIsBack() -> None:
    array = Array()
    array.kill(3, 4)
    array.world.run(3)
    for octets in (MESSAGE, LARGE):
        assert array.edges[2].deliver(octets, BOB, ANNA) == [None, None]
    assert array.messages(2, ANNA) == 2
    assert array.waiting(1) == [HIS, HIS]
    array.world.run(60)
    assert array.waiting(1) == [HIS, HIS]
    array.verify()
    array.start(3, 4)
    array.world.until(lambda: not array.waiting(2))
    assert array.messages(4, BOB) == 2
    assert array.messages(4, ANNA) == 2
    array.world.run(5)
    array.verify()


def test_theQueuesLeaderMayDieMeanwhile() -> None:
    array = Array()
    array.kill(3, 4)
    array.world.run(3)
    assert array.edges[1].deliver(MESSAGE, ANNA, BOB) == [None, None]
    array.start(3, 4)
    array.world.run(0.3)
    leader = array.world.leader(GROUPS[1])
    array.kill(leader)
    array.world.run(1)
    array.start(leader)
    array.world.until(lambda: not array.waiting(leader))
    assert array.messages(3, BOB) == 1
    assert array.messages(3, ANNA) == 1


def test_aNodeThatIsCutOffFromAllTakesNothing() -> None:
    array = Array()
    anna = array.world.result(array.edges[2].delivery.resolve(ANNA))
    assert anna
    for node in (1, 3, 4):
        array.world.fabric.cut(2, node)
    for _ in range(2):
        began = array.world.heap.now
        (error,) = array.edges[2].deliver(MESSAGE, ANNA)
        assert isinstance(error, Unavailable)
        assert array.world.heap.now - began < 5, "and says so soon"
