"""
Certificates that renew themselves: a node asks another for a new one when two thirds of the old one's life are over.

Whoever can issue answers (`serveRenewal`); the connection says which node asks, so that it gets a certificate for itself and nobody else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from jindimail.cluster.authority import (
    Credentials,
    NotOurs,
    certificateHash,
    identityOf,
    isDue,
    loadCertificate,
    newRequest,
    requestHash,
    utc,
    verifyNode,
)
from jindimail.errors import JindimailError, Unavailable
from jindimail.interfaces import ILinks

METHOD = "certificate.renew"
LOOK_SECONDS = 3600.0
ASK_SECONDS = 10.0


def serveRenewal(links: ILinks, issue: Callable[[int, bytes], Awaitable[bytes]]) -> None:
    """
    Issue new certificates to nodes that ask.

    @param issue: gives a node's certificate (PEM) for a request; raises Unavailable where there is no authority.
    """
    links.serve(METHOD, lambda node, request, seconds: issue(node, request))


class Renewal:
    """
    Keeps this node's certificate fresh.

    @ivar credentials: as they are now.
    """

    log = Logger()

    def __init__(
        self,
        *,
        clock: IReactorTime,
        seconds: Callable[[], float],
        links: ILinks,
        credentials: Credentials,
        ask: Callable[[], Iterable[int]],
        keep: Callable[[Credentials], Awaitable[None]],
    ) -> None:
        """
        @param seconds: the wall clock.
        @param ask: the nodes to ask, the best first; this node may be among them.
        @param keep: stores new credentials, durably, and has the links speak with them.
        """
        self._clock = clock
        self._seconds = seconds
        self._links = links
        self._ask = ask
        self._keep = keep
        self._call: IDelayedCall | None = None
        self._running = False
        self.credentials = credentials

    def start(self) -> None:
        """Look now, and then once an hour."""
        self._running = True
        self._look()

    def stop(self) -> None:
        """Look no more."""
        self._running = False
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _look(self) -> None:
        if isDue(self.credentials.certificate, utc(self._seconds())):
            renewed: Deferred[Any] = Deferred.fromCoroutine(self.renew())
            renewed.addErrback(self._failed).addBoth(lambda _: self._again())
        else:
            self._again()

    def _again(self) -> None:
        if self._running:
            self._call = self._clock.callLater(LOOK_SECONDS, self._look)

    async def renew(self) -> None:
        """
        Get a new certificate now, whether it is time or not.

        @raise Unavailable: nobody could give one.
        """
        mine = identityOf(loadCertificate(self.credentials.certificate))
        request, key = newRequest(mine.name)
        problem: JindimailError = Unavailable("nobody to ask")
        for node in self._ask():
            try:
                certificate: bytes = await self._links.call(node, METHOD, request, ASK_SECONDS)
                self._check(certificate, request)
            except JindimailError as error:
                problem = error
                continue
            credentials = Credentials(certificate=certificate, key=key, authority=self.credentials.authority)
            await self._keep(credentials)
            self.credentials = credentials
            self.log.info("this node's certificate was renewed")
            return
        raise problem

    def _check(self, certificate: bytes, request: bytes) -> None:
        fresh, old = (loadCertificate(each) for each in (certificate, self.credentials.certificate))
        identity = verifyNode(fresh, loadCertificate(self.credentials.authority), utc(self._seconds()))
        if identity != identityOf(old) or certificateHash(fresh) != requestHash(request):
            raise NotOurs("a certificate for somebody else")

    def _failed(self, failure: Failure) -> None:
        if failure.check(JindimailError):
            self.log.warn("this node's certificate could not be renewed; it is tried again")
        else:
            self.log.failure("this node's certificate could not be renewed", failure)
