"""The web listener over real loopback connections: what machines ask, and what hostile clients get."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from jindimail.admin import webmetrics
from jindimail.admin.livenode import STOPPING
from jindimail.admin.web import CONNECTIONS_PER_PEER_MAX
from jindimail.admin.webreading import COUNTER
from jindimail.admin.webrequest import BODY_OCTETS_MAX, HEADER_OCTETS_MAX, REQUEST_SECONDS
from jindimail.cluster.peer import PeerStatus
from tests.admin.webworld import Address, Client, WebWorld
from tests.cluster.mail import MailWorld

PEER = "192.0.2.7"


@pytest.fixture
def web() -> Iterator[WebWorld]:
    yield WebWorld()


def test_healthIsToldWhateverTheNodeDoes(web: WebWorld) -> None:
    web.node.state = STOPPING
    answer = web.get("/health")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'{"state": "stopping", "hearsMajority": true}' in answer


def test_nodeThatServesIsReady(web: WebWorld) -> None:
    answer = web.get("/ready")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"ready": true' in answer


def test_nodeThatStopsIsNotReadyAndSaysWhy(web: WebWorld) -> None:
    web.node.state = STOPPING
    answer = web.get("/ready")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'{"ready": false, "reason": "stopping"}' in answer


@pytest.mark.parametrize(
    ("part", "name", "value", "reason"),
    [
        ("store", "isBroken", True, b"store"),
        ("store", "commitAgeSeconds", lambda: 6.0, b"disk"),
        ("groups", "failure", RuntimeError("no"), b"groups"),
        ("groups", "groups", list, b"leaderless"),
    ],
)
def test_nodeThatCannotServeIsNotReady(
    web: WebWorld, part: str, name: str, value: Any, reason: bytes
) -> None:
    setattr(getattr(web.node, part), name, value)
    assert b'"reason": "%s"' % reason in web.get("/ready")


def test_nodeThatHearsNoMajorityLivesAndSaysSoWhereverItIsAsked(web: WebWorld) -> None:
    web.node.share = SimpleNamespace(hearsMajority=lambda: False)
    health = web.get("/health")
    assert health.startswith(b"HTTP/1.1 200 ") and b'"hearsMajority": false' in health
    ready = web.get("/ready")
    assert ready.startswith(b"HTTP/1.1 503 ") and b'"reason": "majority"' in ready
    assert b"hears no majority" in web.get("/login")


def test_everyMetricIsExportedUnderItsDocumentedName(web: WebWorld) -> None:
    exported = {
        line.split()[2] for line in web.get("/metrics").decode().splitlines() if line.startswith("# TYPE ")
    }
    documented = {
        row.split("`")[1] for row in webmetrics.page().splitlines() if row.startswith("| `jindimail_")
    }
    assert exported == documented
    assert len(documented) == len(webmetrics.METRICS) > 30


def test_metricsCarryWhatTheNodeCounted(web: WebWorld) -> None:
    web.node.sessions.admit("imap4", "192.0.2.1")
    web.node.certificateEnds = lambda: 1_800_000_000
    text = web.get("/metrics").decode()
    assert 'jindimail_sessions{protocol="imap4"} 1.0' in text
    assert "jindimail_incarnation 7.0" in text
    assert "jindimail_certificate_end_time_seconds 1.8e+09" in text
    assert "jindimail_groups_leading 1.0" in text
    assert "jindimail_proposals_waiting 6.0" in text


def test_metricsOfAnArrayCarryWhatItsPartsCounted(web: WebWorld) -> None:
    world = MailWorld()
    world.result(world.deliver(1, 1, b"x" * 1000))
    share = world.shares[1]
    share.events.add("nodeUp", name="n2")
    peer = PeerStatus(
        node=2,
        name="n2",
        addresses=(),
        isUp=True,
        level=1,
        incarnation=1,
        octetsInFlight=0,
        callsInFlight=0,
        callsWaiting=0,
        trouble={},
        counters={},
        trips={"control": 0.25},
    )
    web.node.share, web.node.links = share, SimpleNamespace(peers=lambda: (peer,))
    text = web.get("/metrics").decode()
    trips = [line for line in text.splitlines() if line.startswith("jindimail_peer_trip_seconds{")]
    assert trips == ['jindimail_peer_trip_seconds{channel="control",peer="n2"} 0.25']
    assert 'jindimail_nodes{state="up"} 3.0' in text
    assert "jindimail_events_total 1.0" in text
    puts = [line for line in text.splitlines() if line.startswith('jindimail_bodies_total{what="put"}')]
    assert float(puts[0].split()[1]) == share.copies.puts > 0
    assert 'jindimail_array_work_total{what="errands"}' in text


def test_metricNamesKeepPrometheusRules() -> None:
    for metric in webmetrics.METRICS:
        assert (metric.kind == COUNTER) == metric.name.endswith("_total"), metric.name
        assert metric.doc.endswith("."), metric.name


def test_unknownPathsAreNotFoundAndOtherMethodsNotAllowed(web: WebWorld) -> None:
    assert web.get("/nothing").startswith(b"HTTP/1.1 404 ")
    assert web.get("/health/more").startswith(b"HTTP/1.1 404 ")
    answer = Client(web.site, PEER).send(b"DELETE /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405 ")


def test_headIsAGetWithoutABody(web: WebWorld) -> None:
    answer = Client(web.site, PEER).send(b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")


def test_everyAnswerForbidsWhatABrowserCouldBeMisusedFor(web: WebWorld) -> None:
    for path in ("/health", "/nothing"):
        answer = web.get(path)
        assert b"Content-Security-Policy: default-src 'none'; script-src 'self'" in answer
        assert b"X-Content-Type-Options: nosniff" in answer
        assert b"TwistedWeb" not in answer


# --- hostile clients ---------------------------------------------------------------------------------------


def test_headerThatIsTooLongIsRefused(web: WebWorld) -> None:
    client = Client(web.site, PEER)
    line = b"X-Long: " + b"x" * 1000 + b"\r\n"
    client.send(b"GET /health HTTP/1.1\r\nHost: x\r\n" + line * (HEADER_OCTETS_MAX // 1000 + 1))
    assert client.isClosed
    assert b" 200 " not in client.answered


def test_lineWithoutAnEndIsRefused(web: WebWorld) -> None:
    client = Client(web.site, PEER)
    client.send(b"GET /" + b"x" * 20_000)
    assert client.isClosed


def test_manyHeadersAreRefused(web: WebWorld) -> None:
    client = Client(web.site, PEER)
    client.send(b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200)
    assert client.isClosed


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 100000000\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n"
        + b"1000\r\n"
        + b"x" * 4096
        + b"\r\n1000\r\n"
        + b"x" * 4096
        + b"\r\n10\r\n"
        + b"x" * 16
        + b"\r\n",
    ],
    ids=["declared", "chunked"],
)
def test_bodyThatIsTooLargeIsRefusedAndNotKept(web: WebWorld, body: bytes) -> None:
    client = Client(web.site, PEER)
    answer = client.send(b"POST /login HTTP/1.1\r\nHost: x\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert client.isClosed
    client.channel.dataReceived(b"x" * 100_000)
    assert client.channel.requests[0].content.tell() <= BODY_OCTETS_MAX


def test_clientThatSendsOctetByOctetHasNoMoreTimeThanOthers(web: WebWorld) -> None:
    client = Client(web.site, PEER)
    for octet in b"GET /health HTTP/1.1\r\nX":
        client.send(bytes([octet]))
        web.clock.advance(1)
    assert not client.isClosed
    web.clock.advance(REQUEST_SECONDS)
    assert client.isClosed


def test_clientThatSaysNothingIsDisconnected(web: WebWorld) -> None:
    client = Client(web.site, PEER)
    web.clock.advance(REQUEST_SECONDS + 1)
    assert client.isClosed


def test_connectionThatIsUsedStaysOpen(web: WebWorld) -> None:
    client = Client(web.site, PEER)
    for _ in range(5):
        client.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        web.clock.advance(REQUEST_SECONDS - 1)
    assert not client.isClosed
    assert client.answered.count(b"HTTP/1.1 200 ") == 5


def test_onePeerHasSoManyConnectionsAndNoMore(web: WebWorld) -> None:
    clients = [Client(web.site, PEER) for _ in range(CONNECTIONS_PER_PEER_MAX)]
    assert web.site.buildProtocol(Address(PEER)) is None  # type: ignore[arg-type]
    clients[0].channel.connectionLost()
    assert web.site.buildProtocol(Address(PEER)) is not None  # type: ignore[arg-type]


def test_theAddressesOfOneIPv6NetworkAreOnePeer(web: WebWorld) -> None:
    clients = [Client(web.site, f"2001:db8::{number:x}") for number in range(CONNECTIONS_PER_PEER_MAX)]
    assert web.site.buildProtocol(Address("2001:db8::ffff")) is None  # type: ignore[arg-type]
    clients[0].channel.connectionLost()
    assert web.site.buildProtocol(Address("2001:db8::ffff")) is not None  # type: ignore[arg-type]


def test_siteThatCloses(web: WebWorld) -> None:
    client = Client(web.site, PEER)
    gone: list[None] = []
    web.site.closeWhenIdle().addCallback(gone.append)
    assert client.isClosed
    assert gone == []
    client.channel.connectionLost()
    assert gone == [None]
    assert web.site.buildProtocol(Address(PEER)) is None  # type: ignore[arg-type]
