"""
HTTP as the console speaks it: requests that are small and come in time, answers that a browser cannot be made to misuse.

Twisted's channel restarts its clock with every octet and keeps a body of any size in a file. Here a request has one deadline from
its connection, or from the answer before it, to its last octet, and its header and body are bounded; so is the number of connections.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from jindimail.edge.peers import Peer, peerOf

BODY_OCTETS_MAX = 8192
FIELDS_MAX = 16
HEADER_OCTETS_MAX = 16_384
HEADERS_MAX = 100
REQUEST_SECONDS = 30
ABORT_SECONDS = 5

HTML, JSON, TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, read."""

    peer: Peer
    method: str = "GET"
    isSecure: bool = False
    host: str = ""
    origin: str | None = None
    cookies: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is answered; `headers` besides those that all answers have."""

    code: int = 200
    contentType: str = HTML
    octets: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    mayKeep: bool = False  # whether a browser may keep it, asking each time whether it still holds


def seeOther(path: str, **headers: str) -> Answer:
    """Go there with a GET."""
    return Answer(code=303, contentType=TEXT, headers={"Location": path, **headers})


NOT_FOUND = Answer(code=404, contentType=TEXT, octets=b"not found\n")
NOT_ALLOWED = Answer(code=405, contentType=TEXT, octets=b"method not allowed\n")
FAILED = Answer(code=500, contentType=TEXT, octets=b"failed; the node's log says why\n")

Answering = Callable[[Asked], Awaitable[Answer]]


class Page(Resource):
    """One path: an answer by method. HEAD is a GET whose body is left away."""

    isLeaf = True
    _log = Logger()

    def __init__(self, **answers: Answering) -> None:
        Resource.__init__(self)
        self._answers = answers

    def render(self, request: BoundedRequest) -> int:
        """See `IResource`."""
        method = request.method.decode("ascii", "replace")
        answering = self._answers.get("GET" if method == "HEAD" else method)
        if answering is None:
            request.answer(NOT_ALLOWED)
        else:
            answered: Deferred[Answer] = Deferred.fromCoroutine(_await(answering, request.asked()))
            answered.addErrback(self._failed, request.path).addCallback(request.answer)
        return NOT_DONE_YET

    def _failed(self, failure: Failure, path: bytes) -> Answer:
        self._log.failure("the page {path} failed", failure, path=path.decode("ascii", "replace"))
        return FAILED


async def _notFound(asked: Asked) -> Answer:
    return NOT_FOUND


_MISSING = Page(GET=_notFound)


async def _await(answering: Answering, asked: Asked) -> Answer:
    return await answering(asked)


class Root(Resource):
    """All pages by their path; what has no page is not found."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        Resource.__init__(self)
        self._pages = pages

    def getChild(self, path: bytes, request: Any) -> Resource:
        """See `IResource`."""
        rest, request.postpath = request.postpath, []
        return self._pages.get(_text(b"/".join([path, *rest])), _MISSING)


class BoundedRequest(Request):
    """A request whose body is bounded."""

    content: Any
    _isRefused = False

    def gotLength(self, length: int | None) -> None:
        """The header is read; `length` is None for a body that comes in chunks."""
        self.content = BytesIO()
        if (length or 0) > BODY_OCTETS_MAX:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body."""
        if self._isRefused:
            return
        if self.content.tell() + len(data) > BODY_OCTETS_MAX:
            self._refuse()
        else:
            self.content.write(data)

    def _refuse(self) -> None:
        self._isRefused = True
        channel: Any = self.channel
        channel.refuse()

    def process(self) -> None:
        """All of it is here."""
        if not self._isRefused:
            Request.process(self)

    def asked(self) -> Asked:
        """The request, as pages read it."""
        me: Any = self  # Twisted's methods have no types
        self.content.seek(0)
        form: Mapping[str, str] = {}
        if self.method == b"POST":
            form = _form(self.content.read())
        cookies = {_text(name): _text(value) for name, value in self.received_cookies.items()}
        return Asked(
            peer=peerOf(me.getClientAddress()),
            method=_text(self.method),
            isSecure=bool(me.isSecure()),
            host=me.getHeader("host") or "",
            origin=me.getHeader("origin"),
            cookies=cookies,
            form=form,
        )

    def answer(self, answer: Answer) -> None:
        """Send an answer, if the client is still there."""
        if self._disconnected or self.finished:
            return
        me: Any = self
        me.setResponseCode(answer.code)
        headers = {**SECURITY_HEADERS, "Server": "jindimail", "Content-Type": answer.contentType}
        headers["Cache-Control"] = "no-cache" if answer.mayKeep else "no-store"
        headers["Content-Length"] = str(len(answer.octets))
        for name, value in (headers | dict(answer.headers)).items():
            me.setHeader(name, value)
        digest = hashlib.blake2b(answer.octets, digest_size=12).hexdigest()
        if answer.mayKeep and me.setETag(f'"{digest}"'.encode()) is not None:
            self.responseHeaders.removeHeader("Content-Length")  # 304
        elif self.method != b"HEAD":
            me.write(answer.octets)
        me.finish()


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _form(octets: bytes) -> Mapping[str, str]:
    """The fields of a form (application/x-www-form-urlencoded); nothing, if it is none."""
    try:
        return dict(
            parse_qsl(
                octets.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict"
            )
        )
    except ValueError:
        return {}


class Channel(HTTPChannel):
    """A connection. Its clock is not restarted by octets: a client that sends them one by one has no more time."""

    maxHeaders = HEADERS_MAX
    totalHeadersSize = HEADER_OCTETS_MAX
    abortTimeout = ABORT_SECONDS
    timeOut = REQUEST_SECONDS
    site: Any
    peer = ""
    _isRefused = False

    def dataReceived(self, data: bytes) -> None:
        """See `IProtocol`."""
        if not self._isRefused:
            HTTPChannel.dataReceived(self, data)

    def refuse(self) -> None:
        """The body is too large: say so, and read nothing more."""
        self._isRefused = True
        transport: Any = self.transport
        transport.write(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.loseConnection()  # type: ignore[no-untyped-call]

    def resetTimeout(self) -> None:
        """Not for octets."""

    def timeoutConnection(self) -> None:
        """The deadline passed; nothing to log, since every connection that is kept open ends so."""
        self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)  # type: ignore[no-untyped-call]
        self.loseConnection()  # type: ignore[no-untyped-call]

    def closeWhenIdle(self) -> None:
        """Close now, or after the answer that is under way."""
        if self._handlingRequest:
            self.persistent = 0
        else:
            self.loseConnection()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See `IProtocol`."""
        HTTPChannel.connectionLost(self, reason)
        self.site.connectionEnded(self)
