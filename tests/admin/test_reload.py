"""What SIGHUP takes over, and what waits for a restart."""

from __future__ import annotations

from jindimail.admin.reload import changedKeys, reread
from jindimail.config import read

OLD = read("[node]\nname = one\ndata-directory = /d\n", "/")
NEW = read(
    "[node]\nname = two\ndata-directory = /d\n[limits]\nsessions = 5\n[tls]\nminimum-version = 1.3\n"
    "[listen]\nsmtp = tcp:25\n",
    "/",
)


def test_liveKeysAreTakenOverAndTheOthersAreNot() -> None:
    found = reread(OLD, NEW)
    assert (found.limits.sessions, found.tls.minimumVersion) == (5, "1.3")
    assert (found.node.name, found.listen.smtp) == ("one", ())


def test_changedKeysAreNamed() -> None:
    assert changedKeys(OLD, NEW, live=True) == ["tls.minimum-version", "limits.sessions"]
    assert changedKeys(OLD, NEW, live=False) == [
        "node.name",
        "node.host-name",
        "listen.smtp",
        "cluster.host",
    ]
    assert changedKeys(OLD, OLD, live=True) == []
