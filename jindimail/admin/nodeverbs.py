"""The verbs about the node itself: its state, its sessions, its store."""

from __future__ import annotations

import os
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from jindimail.admin.asking import askAll
from jindimail.admin.livenode import LiveNode
from jindimail.admin.verb import PAGE_ROWS, SWITCH, Argument, Report, VerbRefused, verb
from jindimail.admin.webready import whyNotReady
from jindimail.admin.webwords import isoText
from jindimail.mailbox.sessions import Session


@verb("status", examples=("jindictl status", "jindictl --json status"))
async def status(node: LiveNode, report: Report) -> dict[str, Any]:
    """How the node is: its state, services, sessions, groups and free space."""
    counts: dict[str, int] = {}
    for session in node.sessions:
        counts[session.protocol] = counts.get(session.protocol, 0) + 1
    return {
        "node": node.configuration.node.name,
        "state": node.state,
        "hearsMajority": node.hearsMajority,
        "notReady": whyNotReady(node),
        "version": versionText(),
        "pid": os.getpid(),
        "incarnation": node.meta.incarnation,
        "uptimeSeconds": int(node.seconds()) - node.startedSeconds,
        "certificateEnds": _certificateEnds(node),
        "services": {name: list(addresses) for name, addresses in node.listening.items()},
        "sessions": {"total": len(node.sessions), **counts},
        "groups": _groups(node),
        "storage": node.store.freeLevel.name.lower(),
        "load": _load(node),
        "freeOctets": _freeOctets(node.configuration.node.dataDirectory),
        "residentOctets": residentOctets(),
    }


def _certificateEnds(node: LiveNode) -> str | None:
    """When the certificate that clients see ends."""
    ends = node.certificateEnds()
    return None if ends is None else isoText(ends)


def _groups(node: LiveNode) -> dict[str, int]:
    """How many replicas there are, how many of them lead, and how many proposals wait for their commit."""
    found = [each for each in map(node.groups.status, node.groups.groups()) if each is not None]
    return {
        "total": len(found),
        "leading": sum(each.role == "leader" for each in found),
        "waiting": sum(each.waiting for each in found),
    }


def _load(node: LiveNode) -> float | None:
    """How loaded the node finds itself; 1 is as much as it can bear."""
    report = node.ownReport()
    return None if report is None else round(report.strain, 2)


@cache
def versionText() -> str:
    """The installed version; a source tree that was not installed has none."""
    try:
        return version("jindimail")
    except PackageNotFoundError:
        return "source"


versionText()  # read at once: the node's later user may not be able to


def _freeOctets(path: str) -> int:
    space = os.statvfs(path)
    return space.f_bavail * space.f_frsize


def residentOctets() -> int:
    """Memory that the process holds."""
    pages = Path("/proc/self/statm").read_bytes().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


@verb(
    "sessions list",
    Argument(name="user", doc="only this user's", option=True, default=""),
    Argument(name="after", doc="the page after this session id", option=True, default=""),
    Argument(name="all", doc="at all nodes", kind=SWITCH, option=True, default=False),
    columns=("id", "node", "protocol", "peer", "user", "activity", "seconds"),
    examples=(
        "jindictl sessions",
        "jindictl sessions list --user ada@example.org",
        "jindictl sessions list --all",
    ),
    isFar=True,
)
async def sessions(
    node: LiveNode, report: Report, *, user: str = "", after: str = "", all: bool = False
) -> dict[str, Any]:
    """Who is connected to this node, or with --all to any of the array's, and what they are doing."""
    if all:
        answers = await askAll(node, "sessions list", user=user)
        return {"rows": [row for answer in answers.values() for row in answer["rows"]], "after": None}
    now = int(node.seconds())
    # Ids grow, and a session may have ended since it was the last of a page.
    begins = len(after), after
    found = [each for each in node.sessions if not user or each.user == user]
    rest = [each for each in found if (len(each.id), each.id) > begins]
    page = rest[:PAGE_ROWS]
    rows = [{"id": each.id, "node": node.meta.name, **_sessionRow(each, now)} for each in page]
    return {"rows": rows, "after": page[-1].id if len(rest) > PAGE_ROWS else None}


def _sessionRow(session: Session, now: int) -> dict[str, Any]:
    return {
        "protocol": session.protocol,
        "peer": session.peer,
        "user": session.user,
        "activity": session.activity,
        "seconds": now - session.startedSeconds,
    }


@verb(
    "sessions kick",
    Argument(name="session", doc="the session's id, or a user's address for all of the user's"),
    Argument(name="all", doc="at all nodes", kind=SWITCH, option=True, default=False),
    examples=("jindictl sessions kick 1a", "jindictl sessions kick ada@example.org --all"),
    isFar=True,
)
async def kick(node: LiveNode, report: Report, *, session: str, all: bool = False) -> dict[str, Any]:
    """Disconnect a session, or all of a user's."""
    if all:
        kicked = [
            each
            for far in (await askAll(node, "sessions kick", session=session)).values()
            for each in far["kicked"]
        ]
        if not kicked:
            raise VerbRefused(f"no session {session}", "noSuchSession")
        return {"kicked": kicked}
    found = [each for each in node.sessions if session in (each.id, each.user)]
    if not found:
        raise VerbRefused(f"no session {session}", "noSuchSession")
    for each in found:
        each.disconnect()
    return {"kicked": [each.id for each in found]}


@verb(
    "buckets",
    Argument(name="after", doc="the page after this group", option=True, default=""),
    columns=("group", "role", "term", "lastIndex", "commit", "applied", "waiting"),
    examples=("jindictl buckets",),
)
async def buckets(node: LiveNode, report: Report, *, after: str = "") -> dict[str, Any]:
    """The replicated groups of this node: 0 is the array's own, bucket b is group b + 1."""
    groups = [group for group in node.groups.groups() if group > int(after if after.isdecimal() else -1)]
    page = groups[:PAGE_ROWS]
    found = [node.groups.status(group) for group in page]
    rows = [msgspec.to_builtins(each) for each in found if each is not None]
    return {"rows": rows, "after": str(page[-1]) if len(groups) > PAGE_ROWS else None}
