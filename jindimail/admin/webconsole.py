"""The console's pages for people: login, status, and the files that they need."""

from __future__ import annotations

from pathlib import Path

import msgspec

from jindimail.admin.weblogin import LONELY, NEEDS_TLS, LoginRefused, Logins, mayLogIn
from jindimail.admin.webpage import loginPage, statusPage
from jindimail.admin.webrequest import JSON, TEXT, Answer, Asked, Page, seeOther
from jindimail.admin.websight import Sight
from jindimail.admin.webview import viewOf

_TYPES = {
    "status.css": "text/css; charset=utf-8",
    "status.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
# Read at once, since the node's later user may not be able to read where the program is installed.
STATIC = {
    name: Answer(
        contentType=kind, octets=Path(__file__).with_name("static").joinpath(name).read_bytes(), mayKeep=True
    )
    for name, kind in _TYPES.items()
}

_encode = msgspec.json.Encoder().encode


class Console:
    """The pages of a node."""

    def __init__(self, *, nodeName: str, logins: Logins, sight: Sight) -> None:
        self._nodeName = nodeName
        self._logins = logins
        self._sight = sight

    async def status(self, asked: Asked) -> Answer:
        """The status page, or the way to the login."""
        session = await self._logins.session(asked)
        if session is None:
            return seeOther("/login")
        view = viewOf(await self._sight.array())
        return Answer(octets=statusPage(view, session.administrator.address))

    async def statusJson(self, asked: Asked) -> Answer:
        """The same for scripts: `status` as it was told, and `view` as the page draws it."""
        if await self._logins.session(asked) is None:
            return Answer(code=401, contentType=TEXT, octets=b"log in\n")
        array = await self._sight.array()
        return Answer(contentType=JSON, octets=_encode({"status": array, "view": viewOf(array)}))

    async def loginForm(self, asked: Asked) -> Answer:
        """The form; not where a password may not cross the connection."""
        isOpen = mayLogIn(asked)
        problem = NEEDS_TLS if not isOpen else "" if self._sight.hearsMajority else LONELY
        return Answer(octets=loginPage(self._nodeName, problem=problem, isOpen=isOpen))

    async def logIn(self, asked: Asked) -> Answer:
        """The form, sent."""
        try:
            cookie = await self._logins.logIn(asked)
        except LoginRefused as refused:
            page = loginPage(
                self._nodeName,
                problem=refused.text,
                address=asked.form.get("address", ""),
                isOpen=mayLogIn(asked),
            )
            return Answer(code=refused.code, octets=page)
        return seeOther("/", **{"Set-Cookie": cookie})

    async def logOut(self, asked: Asked) -> Answer:
        """The session ends."""
        try:
            cookie = self._logins.logOut(asked)
        except LoginRefused as refused:
            return Answer(code=refused.code, contentType=TEXT, octets=refused.text.encode() + b"\n")
        return seeOther("/login", **{"Set-Cookie": cookie})

    def pages(self) -> dict[str, Page]:
        """All of them by path."""
        found = {
            "": Page(GET=self.status),
            "status.json": Page(GET=self.statusJson),
            "login": Page(GET=self.loginForm, POST=self.logIn),
            "logout": Page(POST=self.logOut),
        }
        return found | {f"static/{name}": staticPage(name) for name in STATIC}


def staticPage(name: str) -> Page:
    """A file that comes with the package."""

    async def get(asked: Asked) -> Answer:
        return STATIC[name]

    return Page(GET=get)
