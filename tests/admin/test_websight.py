"""What the status page shows: this node's history, other nodes' answers, and the view of all of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from jindimail.admin.webhistory import (
    CLASSES,
    NOTHING,
    SLOT_SECONDS,
    SLOTS_MAX,
    History,
    Slot,
    Totals,
    share,
    together,
)
from jindimail.admin.webpage import statusPage
from jindimail.admin.websight import ASK_SECONDS, FRESH_SECONDS, METHOD, Sight
from jindimail.admin.webstatus import ArrayStatus, EventStatus, LedGroup, NodeStatus, SilentNode, leaders
from jindimail.admin.webview import BAD, CHART_HEIGHT, GOOD, NODE_COLUMNS, WARN, viewOf
from jindimail.admin.webwords import timeText
from jindimail.cluster.arrayrecords import DOWN, GONE, UP, NodeRecord
from jindimail.cluster.load import Report
from jindimail.errors import OutcomeUnknown
from jindimail.model import BUCKET_COUNT, bucketGroup
from tests.admin.live import liveNode
from tests.support.world import World, now

NOW = 1_800_000_000.0


def classes(**at: int) -> tuple[int, ...]:
    """Classes of a histogram; `c3=5` is five in the fourth."""
    found = list(NOTHING)
    for name, count in at.items():
        found[int(name[1:])] = count
    return tuple(found)


# --- history -----------------------------------------------------------------------------------------------


def test_slotHoldsWhatCameSinceTheLast() -> None:
    history = History(Totals(filed=10, commit=classes(c0=7)))
    history.sample(100, Totals(filed=12, commit=classes(c0=7, c2=1)))
    history.sample(105, Totals(filed=15, commit=classes(c0=7, c2=1)))
    assert [(slot.number, slot.filed, slot.commit) for slot in history.slots] == [
        (20, 2, classes(c2=1)),
        (21, 3, NOTHING),
    ]


def test_twoSamplesWithinASlotAreOne() -> None:
    history = History(Totals())
    history.sample(100, Totals(filed=1))
    history.sample(104, Totals(filed=3))
    assert [(slot.number, slot.filed) for slot in history.slots] == [(20, 3)]


def test_historyIsBounded() -> None:
    history = History(Totals())
    for number in range(SLOTS_MAX + 5):
        history.sample(number * SLOT_SECONDS, Totals(filed=number))
    assert len(history.slots) == SLOTS_MAX


def test_nodesAreAddedSlotBySlotAndGapsAreEmpty() -> None:
    one = [Slot(number=10, filed=1, delivery=classes(c0=1)), Slot(number=12, filed=3)]
    two = [Slot(number=10, filed=5, delivery=classes(c1=1))]
    found = together([one, two], 12)
    assert len(found) == SLOTS_MAX
    assert [(slot.number, slot.filed) for slot in found[-3:]] == [(10, 6), (11, 0), (12, 3)]
    assert found[-3].delivery == classes(c0=1, c1=1)


def test_shareIsToldOverAllSlots() -> None:
    assert share([classes(c0=50), classes(c0=49, c5=1)], 0.5) <= 0.001
    assert share([classes(c0=50), classes(c0=40, c5=10)], 0.99) > 0.025
    assert share([NOTHING], 0.5) == 0


# --- gathering ---------------------------------------------------------------------------------------------


class Links:
    """Links whose answers a test gives."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, str, float, Deferred[bytes]]] = []
        self.served: dict[str, Any] = {}

    def call(self, node: int, method: str, payload: bytes, deadlineSeconds: float) -> Deferred[bytes]:
        done: Deferred[bytes] = Deferred()
        self.calls.append((node, method, deadlineSeconds, done))
        return done

    def serve(self, method: str, answerer: Any) -> None:
        self.served[method] = answerer

    def peers(self) -> tuple[Any, ...]:
        return ()


class Share:
    """A share that knows nodes and no events."""

    class userMap:
        nodes = {
            1: NodeRecord(name="one", addresses=(), host="one", state=UP),
            2: NodeRecord(name="two", addresses=(), host="two", state=UP),
            3: NodeRecord(name="three", addresses=(), host="three", state=DOWN),
            4: NodeRecord(name="four", addresses=(), host="four", state=GONE),
        }

    class gossip:
        reports = {1: Report(node=1, stamp=1, load=0.1, cpu=0.05, waited=0.2, owed=3, missing=2)}

        @classmethod
        def fresh(cls) -> dict[int, Report]:
            return cls.reports

    events: tuple[Any, ...] = ()

    def hearsMajority(self) -> bool:
        return False


class Gathering:
    def __init__(self) -> None:
        self.clock = Clock()
        self.node = liveNode(World())
        self.links = Links()
        self.node.links, self.node.share = self.links, Share()
        self.sight = Sight(self.node, clock=self.clock)
        self.sight.start()

    def answer(self) -> None:
        """Node two answers, node three does not."""
        two = NodeStatus(node="two", number=2, state="serving", leads=(LedGroup(9, 4),))
        (_, _, _, second), (_, _, _, third) = self.links.calls[-2:]
        second.callback(msgspec.json.encode(two))
        third.errback(OutcomeUnknown())


@pytest.fixture
def gathering() -> Gathering:
    return Gathering()


def test_allNodesThatAreNotGoneAreAskedAtOnceWithADeadline(gathering: Gathering) -> None:
    gathering.sight.array()
    assert [call[:3] for call in gathering.links.calls] == [
        (2, METHOD, ASK_SECONDS),
        (3, METHOD, ASK_SECONDS),
    ]


def test_nodeThatDoesNotAnswerIsShownAsSilent(gathering: Gathering) -> None:
    found = gathering.sight.array()
    gathering.answer()
    array = now(found)
    assert [status.node for status in array.nodes] == ["one", "two"]
    assert array.silent == (SilentNode(node="three", number=3, state=DOWN, unheardSeconds=12),)


def test_answerThatCannotBeReadCountsAsNone(gathering: Gathering) -> None:
    found = gathering.sight.array()
    for _, _, _, done in gathering.links.calls:
        done.callback(b'{"node": 7}')
    assert {silent.node for silent in now(found).silent} == {"two", "three"}


def test_oneGatheringServesAllWhoAskWithinASecond(gathering: Gathering) -> None:
    first, second = gathering.sight.array(), gathering.sight.array()
    assert len(gathering.links.calls) == 2
    gathering.answer()
    third = gathering.sight.array()
    assert now(first) is now(second) is now(third)
    gathering.clock.advance(FRESH_SECONDS)
    gathering.sight.array()
    assert len(gathering.links.calls) == 4


def test_nodeAnswersOthersWithWhatItTellsOfItself(gathering: Gathering) -> None:
    told = msgspec.json.decode(gathering.links.served[METHOD](2, b"", 1.0), type=NodeStatus)
    assert (told.node, told.number, told.state, told.replicas) == ("one", 1, "serving", 2)
    assert told.leads == (LedGroup(0, 1, (1,)),)


def test_loadAndDebtsAreThoseThatTheArrayIsTold(gathering: Gathering) -> None:
    own = gathering.sight.own()
    assert (own.load, own.copiesOwed, own.groupsIncomplete) == (0.25, 3, 2)


def test_nodeOfALaterVersionIsUnderstood() -> None:
    later = b'{"node": "two", "number": 2, "somethingNew": [1]}'
    assert msgspec.json.decode(later, type=NodeStatus).node == "two"


def test_historyIsSampledWhileTheNodeRuns(gathering: Gathering) -> None:
    for _ in range(3):
        gathering.clock.advance(SLOT_SECONDS)
    assert len(gathering.sight.own().slots) >= 1
    gathering.sight.stop()
    assert not gathering.clock.getDelayedCalls()


# --- the view ----------------------------------------------------------------------------------------------


def status(number: int, **more: Any) -> NodeStatus:
    """A node that serves."""
    fields: dict[str, Any] = {"state": "serving", "version": "1", "storage": "plenty"} | more
    return NodeStatus(node=f"node{number}", number=number, **fields)


def allLed(term: int = 1) -> tuple[LedGroup, ...]:
    """All groups, led."""
    return tuple(LedGroup(group, term) for group in range(BUCKET_COUNT + 1))


def arrayOf(*nodes: NodeStatus, silent: tuple[SilentNode, ...] = ()) -> ArrayStatus:
    return ArrayStatus(seconds=NOW, asked="node1", nodes=nodes, silent=silent)


def test_ofTwoThatSayTheyLeadTheLaterTermIsBelieved() -> None:
    array = arrayOf(
        status(1, leads=(LedGroup(5, 7),)),
        status(2, leads=(LedGroup(5, 9),)),
        status(3, leads=(LedGroup(5, 8),)),
    )
    assert {group: status.node for group, (status, _) in leaders(array).items()} == {5: "node2"}


def test_everyBucketShowsItsLeaderInItsColourAndItsNumber() -> None:
    view = viewOf(
        arrayOf(
            status(1, leads=(LedGroup(bucketGroup(0), 1),)), status(5, leads=(LedGroup(bucketGroup(1), 1),))
        )
    )
    assert [(cell.text, cell.colour) for cell in view.buckets[:3]] == [("1", 0), ("5", 1), ("–", None)]
    assert view.buckets[1].title == "bucket 1: node5"
    assert [cell.title for cell in view.legend] == ["node1 leads 1 bucket", "node5 leads 1 bucket"]


def test_soundArrayHasNoAlerts() -> None:
    assert viewOf(arrayOf(status(1, leads=allLed()), status(2))).alerts == ()


def test_aWitnessIsAsItShallBe() -> None:
    view = viewOf(arrayOf(status(1, leads=allLed()), status(2, state="witness")))
    assert view.alerts == ()
    assert [row[1].tone for row in view.nodes] == [GOOD, GOOD]


def test_whatSomebodyShouldLookAtIsSaidInSentences() -> None:
    silent = (
        SilentNode(node="node3", number=3, state=DOWN, unheardSeconds=12),
        SilentNode(node="node4", number=4, state=DOWN),
    )
    view = viewOf(
        arrayOf(
            status(1, leads=allLed()[:-2], storage="no_bodies"),
            status(2, version="2", state="stopping", peersDown=("node3", "node1")),
            silent=silent,
        )
    )
    assert view.alerts == (
        "node3 does not answer, not heard for 12 s.",
        "node4 does not answer, never heard.",
        "2 buckets without a leader: mail for their users waits.",
        "node1 has less than 10 % free space and takes no new messages.",
        "node2 is stopping.",
        "node2 has no connection to node1.",
        "Versions differ: 1, 2.",
    )
    tones = {figure.id: figure.tone for figure in view.figures}
    assert (tones["nodes"], tones["buckets"]) == (BAD, BAD)


def test_aCertificateThatEndsWithinTwoWeeksIsAnAlert() -> None:
    day = 86_400
    array = arrayOf(
        status(1, leads=allLed(), certificateEnds=int(NOW) + 13 * day),
        status(2, certificateEnds=int(NOW) - day),
        status(3, certificateEnds=int(NOW) + 15 * day),
    )
    assert viewOf(array).alerts == (
        f"node1: the certificate that clients see ends at {timeText(NOW + 13 * day)} UTC.",
        f"node2: the certificate that clients see ended at {timeText(NOW - day)} UTC.",
    )


def test_aNodeTellsWhenItsCertificateEnds(gathering: Gathering) -> None:
    gathering.node.certificateEnds = lambda: 7
    assert gathering.sight.own().certificateEnds == 7


def test_aNodeThatHearsNoMajoritySaysSoFirst() -> None:
    silent = (SilentNode(node="node2", number=2, state=UP, unheardSeconds=7),)
    view = viewOf(arrayOf(status(1, leads=allLed(), hearsMajority=False), silent=silent))
    assert view.alerts[0].startswith("node1 hears no majority of the array")
    assert view.alerts[1] == "node2 does not answer, not heard for 7 s."
    assert view.nodes[1][1].text == "not heard for 7 s"


def test_aNodeTellsThatItHearsNoMajority(gathering: Gathering) -> None:
    assert not gathering.sight.own().hearsMajority


def test_aNodeThatWasRestoredAloneSaysWhatItWaitsFor() -> None:
    (alert,) = viewOf(arrayOf(status(1, leads=allLed(), state="alone"))).alerts
    assert "node1 was restored alone" in alert and "jindictl cluster recover" in alert


def test_rowsHaveACellForEachColumnAndStandInTheOrderOfNumbers() -> None:
    silent = (SilentNode(node="node2", number=2, state=DOWN),)
    view = viewOf(arrayOf(status(1), status(3), silent=silent))
    assert [len(row) for row in view.nodes] == [len(NODE_COLUMNS)] * 3
    assert [row[0].text for row in view.nodes] == ["node1", "node2", "node3"]
    assert view.nodes[1][1].note == "array: down"


def test_theLongestRoundTripIsShownAndToWhom() -> None:
    view = viewOf(arrayOf(status(1, trips={"node2": 0.0012, "node3": 0.034}), status(2)))
    column = NODE_COLUMNS.index("Round trip")
    assert [(row[column].text, row[column].note) for row in view.nodes] == [
        ("34 ms", "to node3"),
        ("–", ""),
    ]


def test_whatTheArrayOwesIsSummedOverItsLeaders() -> None:
    view = viewOf(
        arrayOf(status(1, leads=allLed(), copiesOwed=2, groupsIncomplete=1), status(2, copiesOwed=3))
    )
    figures = {figure.id: figure for figure in view.figures}
    assert (figures["copies"].value, figures["copies"].tone) == ("5", WARN)
    assert (figures["buckets"].note, figures["buckets"].tone) == ("of 256, 1 lack replicas", WARN)


def test_whatTheArrayOwesIsNotKnownWhereALeaderHasNotToldOrIsMissing() -> None:
    def shown(*statuses: NodeStatus) -> tuple[str, str]:
        (figure,) = (each for each in viewOf(arrayOf(*statuses)).figures if each.id == "copies")
        return figure.value, figure.tone

    assert shown(status(1, leads=allLed(), copiesOwed=0), status(2, copiesOwed=0)) == ("0", GOOD)
    assert shown(status(1, leads=allLed(), copiesOwed=0), status(2, copiesOwed=None)) == ("–", WARN)
    assert shown(status(1, leads=allLed()[:-1], copiesOwed=0)) == ("–", WARN)
    assert shown(status(1, leads=allLed()[:-1], copiesOwed=3)) == ("3", WARN)


def test_ratesAndTimesAreOfTheWholeArray() -> None:
    last = int(NOW // SLOT_SECONDS) - 1
    slots = tuple(Slot(number=last - back, filed=50, delivery=classes(c3=50)) for back in range(6))
    figures = {
        figure.id: figure
        for figure in viewOf(arrayOf(status(1, slots=slots), status(2, slots=slots))).figures
    }
    assert figures["rate"].value == "20"
    assert figures["delivery"].value == "7.5 ms"


def test_chartsStayWithinTheirPicture() -> None:
    last = int(NOW // SLOT_SECONDS) - 1
    slots = tuple(
        Slot(number=last - back, filed=back * 7, delivery=classes(c3=back, c9=1)) for back in range(60)
    )
    for chart in viewOf(arrayOf(status(1, slots=slots))).charts:
        for line in chart.lines:
            points = [tuple(map(float, point.split(","))) for point in line.points.split()]
            assert [x for x, _ in points] == list(range(SLOTS_MAX))
            assert all(0 <= y <= CHART_HEIGHT for _, y in points)


def test_whatSeveralNodesSawIsToldOnceTheLatestFirst() -> None:
    old = EventStatus(seconds=100, node="node1", kind="nodeUp", text="a node serves: name=x")
    new = [
        EventStatus(seconds=201, node=name, kind="nodeDown", text="a node is away")
        for name in ("node1", "node2")
    ]
    view = viewOf(arrayOf(status(1, events=(old, new[0])), status(2, events=(new[1],))))
    assert [(event.node, event.text) for event in view.events] == [
        ("node1", "a node is away"),
        ("node1", "a node serves: name=x"),
    ]


def test_whatNodesTellIsTextAndNeverMarkup() -> None:
    evil = "<img src=x onerror=alert(1)>"
    event = EventStatus(seconds=1, node=evil, kind="x", text=evil)
    array = arrayOf(
        NodeStatus(node=evil, number=1, state=evil, version=evil, events=(event,), leads=allLed()),
        silent=(SilentNode(node=evil, number=2, state=evil),),
    )
    page = statusPage(viewOf(array), evil)
    assert b"<img" not in page
    assert b"&lt;img src=x onerror=alert(1)&gt;" in page


def test_pageHasNothingInlineThatThePolicyForbids() -> None:
    page = statusPage(viewOf(arrayOf(status(1))), "ada@example.org").decode()
    assert "style=" not in page
    assert "<style" not in page
    assert "onclick" not in page
    assert page.count("<script") == page.count('<script src="/static/status.js" defer></script>') == 1


def test_shorterHistogramsOfOtherVersionsAreTaken() -> None:
    slots = (Slot(number=int(NOW // SLOT_SECONDS) - 1, delivery=(1, 2)),)
    assert viewOf(arrayOf(status(1, slots=slots))).charts
    assert CLASSES > 2
