"""The verbs about the array: what they ask of it, and of other nodes."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from jindimail.admin.asking import METHOD, serveVerbs
from jindimail.admin.verb import VerbRefused
from jindimail.admin.verbs import VERBS
from jindimail.admin.websight import METHOD as STATUS
from jindimail.admin.websight import Sight
from jindimail.admin.webstatus import NodeStatus
from jindimail.cluster.answerers import Answerers
from jindimail.cluster.arrayentries import AddInvite, AdmitNode
from jindimail.cluster.arrayrecords import readNodes
from jindimail.cluster.events import Events
from jindimail.cluster.foretelling import Example, LostBodies
from jindimail.cluster.recovery import Loss
from jindimail.cluster.usermap import UserMap
from jindimail.errors import NotAllowed, Unavailable
from tests.admin.live import Asker
from tests.support.world import World, now

SECONDS = 1_800_000_000


class Links:
    """Node 2 answers as node 1 does, but leads nothing; node 3 does not answer."""

    def __init__(self) -> None:
        self._answerers = Answerers()
        self.serve = self._answerers.serve

    def isUp(self, node: int) -> bool:
        return node == 2

    def peers(self) -> tuple[()]:
        return ()

    def call(self, node: int, method: str, payload: bytes, seconds: float) -> Deferred[bytes]:
        if node == 3:
            return fail(Unavailable("away"))
        if node == 2 and method == STATUS:
            return succeed(msgspec.json.encode(NodeStatus(node="node2", number=2, state="serving")))
        return self._answerers.answer(node, method, payload, seconds)


EXAMPLE = Example(bodyId=b"\1" * 16, size=30, messageId="<1@x>", address="ada@example.org", mailbox="INBOX")
LOSS = Loss(
    groups={7: 99},
    hopeless=(8,),
    nodes=(2, 3),
    bodies={
        6: LostBodies(bodies=1, octets=10, messages=2),
        3: LostBodies(bodies=2, octets=50, messages=2, examples=(EXAMPLE,)),
        5: None,
    },
)


class Operations:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        async def ask(*arguments: Any) -> Any:
            self.asked.append((name, *(each for each in arguments if not callable(each))))
            if name in ("foreseen", "recover", "remove"):
                return LOSS
            return "token" if name == "invite" else None

        return ask


@pytest.fixture
def ask() -> Asker:
    """A node of an array of three."""
    world = World()
    for number in (1, 2, 3):
        hashed = bytes((number,)) * 32
        now(
            world.buckets.propose(
                None, AddInvite(seconds=SECONDS, secretHash=hashed, expiresSeconds=SECONDS + 9)
            )
        )
        admit = AdmitNode(
            seconds=SECONDS,
            secretHash=hashed,
            name=f"node{number}",
            addresses=("h:1",),
            host="h",
            weight=100,
            level=1,
        )
        now(world.buckets.propose(None, admit))
    asker = Asker(world)
    node = asker.node
    node.links = Links()
    userMap = UserMap(1)
    userMap.update(dict(readNodes(world.rows)), {})
    node.share = SimpleNamespace(
        operations=Operations(),
        userMap=userMap,
        events=Events(node=1, seconds=lambda: SECONDS),
        gossip=SimpleNamespace(fresh=dict),
        catchUp=lambda: succeed(None),
        hearsMajority=lambda: True,
    )
    node.sight = Sight(node, clock=Clock())
    serveVerbs(node, VERBS)
    return asker


@pytest.mark.parametrize(
    ("words", "given", "asked"),
    [
        ("cluster drain", {"name": "node3"}, ("drain", 3)),
        ("cluster undrain", {"name": "3"}, ("undrain", 3)),
        ("cluster remove", {"name": "node2"}, ("remove", 2, False)),
        ("cluster remove", {"name": "node2", "force": True}, ("remove", 2, True)),
        ("cluster weight", {"name": "node2", "weight": 50}, ("setWeight", 2, 50)),
        ("cluster set", {"setting": "copies", "value": 3}, ("setSetting", "copies", 3)),
        ("cluster invite", {"hours": 2}, ("invite", 7200)),
        ("cluster recover", {"lost": ["node2", "3"]}, ("recover", (2, 3))),
        ("cluster loss", {"lost": ["node2"]}, ("foreseen", (2,))),
    ],
)
def test_whatIsAskedOfTheArray(ask: Asker, words: str, given: dict[str, Any], asked: Any) -> None:
    ask(words, **given)
    assert ask.node.share.operations.asked == [asked]


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("cluster drain", {"name": "node9"}),
        ("cluster set", {"setting": "colour", "value": 3}),
        ("cluster set", {"setting": "copies", "value": 300}),
        ("cluster invite", {"hours": 0}),
        ("cluster map", {"bucket": 256}),
    ],
)
def test_whatMakesNoSenseIsRefusedBeforeTheArrayIsAsked(
    ask: Asker, words: str, given: dict[str, Any]
) -> None:
    with pytest.raises(VerbRefused):
        ask(words, **given)
    assert ask.node.share.operations.asked == []


def test_aForcedRecoveryShowsFirstWhatItWillLose() -> None:
    verb = VERBS["cluster recover"]
    assert verb.confirm and VERBS[verb.foreseen].arguments == verb.arguments


def test_theLossIsToldAltogetherAndThenByGroupsThatLoseSomething(ask: Asker) -> None:
    told = ask("cluster loss", lost=["node2", "3"])
    assert told["groups"] == [
        {"group": 4, "index": None, "messages": 2, "bodies": 2, "octets": 50},
        {"group": 6, "index": None, "messages": None, "bodies": None, "octets": None},
        {"group": 7, "index": 99, "messages": 2, "bodies": 1, "octets": 10},
    ]
    assert (told["foundedAnew"], told["hopeless"], told["nodes"]) == (1, [8], [2, 3])
    assert (told["bodies"], told["octets"], told["messages"]) == (3, 60, 4)
    assert told["uncounted"] == [5, 7], "of a bucket without any replica, too, nothing is known"
    assert told["examples"] == [
        {
            "bucket": 3,
            "body": "01" * 16,
            "octets": 30,
            "account": "ada@example.org",
            "mailbox": "INBOX",
            "messageId": "<1@x>",
        }
    ]
    assert list(told)[-1] == "groups", "what it comes to stands before the long list"
    assert ask("cluster remove", name="2")["lost"]["messages"] == 4


def test_theQuestionBeforeARecoverySaysHowMuchMailItLoses(ask: Asker) -> None:
    told = ask("cluster loss", lost=["node2", "3"])
    question = VERBS["cluster recover"].confirm.format(**told, lost="node2 node3")
    assert "1 groups anew, without node2 node3?" in question and "4 messages (60 octets)" in question


def test_statusCountsTheNodesThatDoNotAnswer(ask: Asker) -> None:
    told = ask("cluster status")
    assert [(row["name"], row["state"]) for row in told["nodes"]] == [
        ("node1", "serving"),
        ("node2", "serving"),
        ("node3", None),
    ]
    assert not told["isWhole"]
    assert told["groups"]["withoutLeader"] == 256, "the fake node leads group 0 alone"
    assert told["copies"]["owed"] is None, "no node has reported yet"
    assert told["hearsMajority"] and told["nodes"][2]["unheardSeconds"] == 12
    assert told["alerts"][0] == "node3 does not answer, not heard for 12 s."


def test_aNodeThatHearsNoMajoritySaysSoInItsAndTheArraysStatus(ask: Asker) -> None:
    ask.node.share.hearsMajority = lambda: False
    told = ask("cluster status")
    assert not told["hearsMajority"] and "hears no majority" in told["alerts"][0]
    own = ask("status")
    assert (own["state"], own["hearsMajority"], own["notReady"]) == ("serving", False, "majority")
    assert [row["unheardSeconds"] for row in ask("cluster nodes")["rows"]] == [None, 12, 12]


def test_sessionsOfAllNodesAreOneList(ask: Asker) -> None:
    assert ask("sessions list", all=True) == {"rows": [], "after": None}


def test_eventsOfAllNodesAreInTheirOrder(ask: Asker) -> None:
    ask.node.share.events.add("nodeUp", node=2)
    rows = ask("cluster events")["rows"]
    assert [row["kind"] for row in rows] == ["nodeUp", "nodeUp"], "one from each node that answers"


def test_otherNodesMayAskOnlyWhatIsMeantForThem(ask: Asker) -> None:
    payload = json.dumps({"verb": "user remove", "arguments": {"address": "a@b.test"}}).encode()
    with pytest.raises(NotAllowed):
        now(ask.node.links.call(2, METHOD, payload, 1.0))
    events = json.dumps({"verb": "events", "arguments": {"limit": 1}}).encode()
    assert json.loads(now(ask.node.links.call(2, METHOD, events, 1.0)))["rows"] == []
