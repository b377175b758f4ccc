"""The console's login: who is let in, for how long, and who is not."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from twisted.internet.defer import fail

from jindimail.admin import weblogin
from jindimail.admin.weblogin import IDLE_SECONDS, RECHECK_SECONDS, SESSION_SECONDS
from jindimail.directory.attempts import PEER_BURST
from jindimail.errors import Unavailable
from tests.admin.webworld import HOST, PASSWORD, Client, WebWorld, cookieOf
from tests.support.world import now

ELSEWHERE = "192.0.2.7"


@pytest.fixture
def web() -> WebWorld:
    return WebWorld()


def isIn(web: WebWorld, cookie: str) -> bool:
    """Whether a cookie opens the status page; the two addresses must agree."""
    page = web.get("/", cookie=cookie)
    data = web.get("/status.json", cookie=cookie)
    if page.startswith(b"HTTP/1.1 200 "):
        assert data.startswith(b"HTTP/1.1 200 ")
        return True
    assert page.startswith(b"HTTP/1.1 303 ")
    assert b"Location: /login" in page
    assert data.startswith(b"HTTP/1.1 401 ")
    return False


def test_administratorIsLetInAndOutAgain(web: WebWorld) -> None:
    answer = web.logIn()
    assert answer.startswith(b"HTTP/1.1 303 ")
    cookie = cookieOf(answer)
    assert isIn(web, cookie)
    assert b"ada@example.org" in web.get("/", cookie=cookie)
    out = web.post("/logout", cookie=cookie)
    assert out.startswith(b"HTTP/1.1 303 ")
    assert b"Max-Age=0" in out
    assert not isIn(web, cookie)


def test_nobodyIsInWithoutACookieOrWithAnInventedOne(web: WebWorld) -> None:
    web.cookie()
    assert not isIn(web, "")
    assert not isIn(web, "jindimail-one=" + "A" * 43)


def test_cookieIsForThisSiteAndNotForScripts(web: WebWorld) -> None:
    line = re.search(rb"Set-Cookie: ([^\r]*)", web.logIn())
    assert line is not None
    assert line[1].startswith(b"jindimail-one=")
    for attribute in (b"HttpOnly", b"SameSite=Strict", b"Path=/", b"Max-Age=43200"):
        assert attribute in line[1]


def test_tokensAreNotKeptThemselves(web: WebWorld) -> None:
    token = web.cookie().partition("=")[2]
    logins = web.site.resource._pages[""]._answers["GET"].__self__._logins
    assert len(logins) == 1
    assert token not in repr(logins._sessions)
    assert token.encode() not in next(iter(logins._sessions))


def test_userWhoMayNotAdministerIsToldSo(web: WebWorld) -> None:
    answer = web.logIn("bob@example.org")
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert weblogin.NOT_ADMINISTRATOR.encode() in answer
    assert b"Set-Cookie" not in answer


@pytest.mark.parametrize(
    ("address", "password"),
    [("ada@example.org", "wrong one"), ("nobody@example.org", PASSWORD), ("", ""), ("no address", PASSWORD)],
)
def test_wrongAddressesAndPasswordsGetOneAnswer(web: WebWorld, address: str, password: str) -> None:
    answer = web.logIn(address, password)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert weblogin.WRONG.encode() in answer


def test_guessingIsSlowedDownAsForAllProtocols(web: WebWorld) -> None:
    answers = [web.logIn(password=f"wrong {number}") for number in range(int(PEER_BURST) + 1)]
    assert answers[-2].startswith(b"HTTP/1.1 403 ")
    assert answers[-1].startswith(b"HTTP/1.1 429 ")
    assert weblogin.TOO_MANY.encode() in answers[-1]


def test_whatWasTypedIsShownAsTextOnly(web: WebWorld) -> None:
    answer = web.logIn('"><script>alert(1)</script>', "wrong one")
    assert b"<script>alert" not in answer
    assert b"&lt;script&gt;" in answer


def test_passwordIsNotTakenOverPlainHttpFromElsewhere(web: WebWorld) -> None:
    assert b"<form" not in web.get("/login", peer=ELSEWHERE)
    answer = web.logIn(peer=ELSEWHERE)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert weblogin.NEEDS_TLS.encode() in answer
    assert b"<form" not in answer
    assert web.node.checker.outcomes == {}


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", f"http://{HOST}.evil.example", "http://[x"]
)
def test_formsOfOtherSitesAreRefused(web: WebWorld, origin: str) -> None:
    assert web.logIn(origin=origin).startswith(b"HTTP/1.1 403 ")
    cookie = web.cookie()
    assert web.post("/logout", cookie=cookie, origin=origin).startswith(b"HTTP/1.1 403 ")
    assert isIn(web, cookie)


def test_programsThatNameNoOriginMayLogIn(web: WebWorld) -> None:
    assert isIn(web, cookieOf(web.logIn(origin=None)))


def test_logoutByALinkDoesNothing(web: WebWorld) -> None:
    cookie = web.cookie()
    assert web.get("/logout", cookie=cookie).startswith(b"HTTP/1.1 405 ")
    assert isIn(web, cookie)


def test_sessionThatIsNotUsedEnds(web: WebWorld) -> None:
    cookie = web.cookie()
    web.clock.advance(IDLE_SECONDS - 1)
    assert isIn(web, cookie)
    web.clock.advance(IDLE_SECONDS)
    assert not isIn(web, cookie)


def test_sessionEndsAfterADayHoweverMuchItIsUsed(web: WebWorld) -> None:
    cookie = web.cookie()
    for _ in range(SESSION_SECONDS // 1000):
        assert isIn(web, cookie)
        web.clock.advance(1000)
    web.clock.advance(1000)
    assert not isIn(web, cookie)


@pytest.mark.parametrize("change", ["right", "password", "disabled", "removed"])
def test_sessionEndsSoonAfterTheAccountChanges(web: WebWorld, change: str) -> None:
    cookie, directory = web.cookie(), web.world.directory
    if change == "right":
        now(directory.setUser("ada@example.org", mayAdminister=False))
    elif change == "password":
        now(directory.setPassword("ada@example.org", "another one"))
    elif change == "disabled":
        now(directory.setUser("ada@example.org", enabled=False))
    else:
        now(directory.removeUser("ada@example.org"))
    web.clock.advance(RECHECK_SECONDS)
    assert not isIn(web, cookie)


def test_sessionGoesOnWhileTheAccountsBucketIsAway(web: WebWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = web.cookie()

    async def away(address: str) -> None:
        raise Unavailable

    monkeypatch.setattr(web.world.directory, "administrator", away)
    web.clock.advance(RECHECK_SECONDS)
    assert isIn(web, cookie)


def test_loginTakesWhatTheNodeKnowsWhileNoMajorityAnswers(
    web: WebWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = web.world.buckets.query

    def onlyWhatIsHere(bucket: int | None, asked: Any, fresh: bool = False, **more: Any) -> Any:
        return fail(Unavailable()) if fresh else query(bucket, asked, **more)

    monkeypatch.setattr(web.world.buckets, "query", onlyWhatIsHere)
    assert b"303 See Other" in web.logIn()
    assert b"403 Forbidden" in web.logIn(password="another one")


def test_sessionsAreBoundedTheOldestGoesFirst(web: WebWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weblogin, "SESSIONS_MAX", 3)
    cookies = [web.cookie() for _ in range(4)]
    assert [isIn(web, cookie) for cookie in cookies] == [False, True, True, True]


def test_statusForScriptsSaysWhatThePageSays(web: WebWorld) -> None:
    answer = web.get("/status.json", cookie=web.cookie())
    found = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert [node["node"] for node in found["status"]["nodes"]] == ["one"]
    assert found["view"]["nodes"][0][0]["text"] == "one"
    assert len(found["view"]["buckets"]) == 256


def test_filesOfThePageMayBeKeptAsLongAsTheyAreTheSame(web: WebWorld) -> None:
    answer = web.get("/static/status.css")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Type: text/css" in answer
    tag = re.search(rb"ETag: ([^\r]*)", answer, re.IGNORECASE)
    assert tag is not None
    again = Client(web.site).send(
        b"GET /static/status.css HTTP/1.1\r\nHost: x\r\nIf-None-Match: " + tag[1] + b"\r\n\r\n"
    )
    assert again.startswith(b"HTTP/1.1 304 ")
    assert again.endswith(b"\r\n\r\n")
    assert web.get("/static/../web.py").startswith(b"HTTP/1.1 404 ")
