"""Certificates that renew themselves, over links in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jindimail.cluster.authority import (
    Authority,
    Credentials,
    Identity,
    NotOurs,
    foundAuthority,
    isDue,
    loadCertificate,
    newRequest,
    utc,
)
from jindimail.cluster.memorylinks import Fabric
from jindimail.cluster.renewal import LOOK_SECONDS, Renewal, serveRenewal
from jindimail.errors import Unavailable

ARRAY_ID = bytes(16)
FOUNDED = 1_800_000_000
DAY = 86_400


class Renewing(SynchronousTestCase):
    """Node 1 asks nodes 2 and 3."""

    def setUp(self) -> None:
        self.clock = Clock()
        fabric = Fabric(self.clock)
        self.nodes = {node: fabric.add(node) for node in (1, 2, 3)}
        self.authority = Authority(*foundAuthority(ARRAY_ID, utc(FOUNDED)))
        self.identity = Identity(arrayId=ARRAY_ID, node=1, name="n1")
        self.issuedTo = self.identity
        request, key = newRequest("n1")
        self.old = Credentials(
            certificate=self.authority.issue(request, self.identity, utc(FOUNDED)),
            key=key,
            authority=self.authority.certificate,
        )
        self.kept: list[Credentials] = []
        self.asked: list[int] = []
        self.day = 0.0
        serveRenewal(self.nodes[2], self.refuse)
        serveRenewal(self.nodes[3], self.issue)
        self.renewal = Renewal(
            clock=self.clock,
            seconds=lambda: FOUNDED + self.day * DAY,
            links=self.nodes[1],
            credentials=self.old,
            ask=lambda: (2, 3),
            keep=self.keep,
        )

    async def refuse(self, node: int, request: bytes) -> bytes:
        raise Unavailable

    async def issue(self, node: int, request: bytes) -> bytes:
        self.asked.append(node)
        return self.authority.issue(request, self.issuedTo, utc(FOUNDED + self.day * DAY))

    async def keep(self, credentials: Credentials) -> None:
        self.kept.append(credentials)

    def run_(self, seconds: float) -> None:
        self.clock.pump([0.01] * round(seconds / 0.01))

    def test_freshCertificateStays(self) -> None:
        self.renewal.start()
        self.day = 59
        self.clock.advance(LOOK_SECONDS + 1)
        self.run_(0.1)
        self.assertEqual(self.asked, [])

    def test_certificateIsRenewedWhenItIsDue(self) -> None:
        self.renewal.start()
        self.day = 61
        self.clock.advance(LOOK_SECONDS + 1)
        self.run_(0.1)
        self.assertEqual(self.asked, [1])
        (fresh,) = self.kept
        self.assertIs(self.renewal.credentials, fresh)
        self.assertFalse(isDue(fresh.certificate, utc(FOUNDED + self.day * DAY)))
        self.assertNotEqual(fresh.key, self.old.key)
        loadCertificate(fresh.certificate)

    def test_failureIsTriedAgain(self) -> None:
        self.day = 61
        self.issuedTo = Identity(arrayId=ARRAY_ID, node=2, name="n2")
        self.renewal.start()
        self.run_(0.1)
        self.assertEqual(self.kept, [])
        self.issuedTo = self.identity
        self.clock.advance(LOOK_SECONDS + 1)
        self.run_(0.1)
        self.assertEqual(len(self.kept), 1)

    def test_certificateForSomebodyElseIsNotKept(self) -> None:
        self.issuedTo = Identity(arrayId=ARRAY_ID, node=2, name="n2")
        done: Deferred[Any] = Deferred.fromCoroutine(self.renewal.renew())
        self.run_(0.1)
        self.failureResultOf(done, NotOurs)
        self.assertEqual(self.kept, [])

    def test_certificateForAnotherKeyIsNotKept(self) -> None:
        async def issue(node: int, request: bytes) -> bytes:
            return self.authority.issue(newRequest("n1")[0], self.identity, utc(FOUNDED))

        self.nodes[3]._answerers._answerers.clear()
        serveRenewal(self.nodes[3], issue)
        done: Deferred[Any] = Deferred.fromCoroutine(self.renewal.renew())
        self.run_(0.1)
        self.failureResultOf(done, NotOurs)
        self.assertEqual(self.kept, [])

    def test_stopEndsIt(self) -> None:
        self.renewal.start()
        self.renewal.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
