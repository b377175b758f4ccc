"""Mail that no keeper has sound: its client is told so before a size is promised, and its session goes on."""

from __future__ import annotations

import pytest

from jindimail.cluster.reading import WHOLE_OCTETS_MAX
from jindimail.model import ARRAY_GROUP, bucketGroup, bucketOf
from jindimail.store.keys import BODY
from tests.cluster.edges import Edges
from tests.cluster.world import World

ANNA = "anna@example.org"
GROUPS = (ARRAY_GROUP, bucketGroup(bucketOf(ANNA)))
LINE = b"0123456789abcdef\r\n"
SMALL = b"Subject: small\r\n\r\n" + LINE
PIECES = b"Subject: some pieces\r\n\r\n" + LINE * 40_000
GIANT = b"Subject: many pieces\r\n\r\n" + LINE * (WHOLE_OCTETS_MAX // len(LINE) + 10_000)
SIZES = pytest.mark.parametrize("octets", [SMALL, PIECES, GIANT], ids=["small", "pieces", "giant"])
NODES = pytest.mark.parametrize("node", [1, 3, 4], ids=["keeper", "replica", "elsewhere"])


class Array:
    """Anna's bucket at three of four nodes; her first message is damaged in its last chunk at some of them."""

    def __init__(self, octets: bytes, *damaged: int) -> None:
        world = self.world = World(groups=GROUPS)
        world.found()
        world.spread((1, 2, 3), GROUPS, others=(4,))
        self.edges = {node: Edges(world, node) for node in (1, 2, 3, 4)}
        world.result(self.edges[1].directory.addDomain("example.org"))
        world.result(self.edges[1].directory.addUser(ANNA))
        assert self.edges[1].deliver(octets, ANNA) == [None]
        world.run(0.5)
        for node in damaged:
            chunks = [key for key, _ in world.rows[node].scan(BODY, b"", b"\xff")]
            if chunks:
                whole = world.rows[node].get(BODY, chunks[-1])
                assert whole is not None
                world.rows[node].put(BODY, chunks[-1], bytes([whole[0] ^ 1]) + whole[1:])
        assert self.edges[1].deliver(SMALL, ANNA) == [None]


@NODES
@SIZES
def test_imapSaysNoAndGoesOn(node: int, octets: bytes) -> None:
    client = Array(octets, 1, 2, 3).edges[node].imap(ANNA)
    client.ask(b"SELECT INBOX")
    for wanted in (b"BODY.PEEK[]", b"BODY.PEEK[TEXT]", b"(UID BODY.PEEK[HEADER] RFC822 BODY.PEEK[])"):
        answer = client.ask(b"FETCH 1:2 " + wanted)
        assert b"* 1 FETCH" not in answer
        assert b"* 2 FETCH (" in answer
        assert b" NO [CORRUPTION] " in answer
        assert client.isConnected
    assert b" OK " in client.ask(b"NOOP")


@NODES
@SIZES
def test_pop3RefusesAndGoesOn(node: int, octets: bytes) -> None:
    client = Array(octets, 1, 2, 3).edges[node].pop3(ANNA)
    assert client.answer.startswith(b"+OK")
    assert client.ask(b"RETR 1").startswith(b"-ERR")
    if octets is not SMALL:
        assert client.ask(b"TOP 1 1000000").startswith(b"-ERR")
    assert client.ask(b"RETR 2").startswith(b"+OK")
    assert client.isConnected


@NODES
@SIZES
def test_aSoundCopyIsReadWhoeverElseHasADamagedOne(node: int, octets: bytes) -> None:
    client = Array(octets, 1).edges[node].imap(ANNA)
    client.ask(b"SELECT INBOX")
    answer = client.ask(b"FETCH 1 BODY.PEEK[]")
    assert octets in answer
    assert b" OK " in answer
