"""The verbs of accounts and of the node, on the real use-cases in memory."""

from __future__ import annotations

from typing import Any

import pytest

from jindimail.admin import accountverbs, nodeverbs
from jindimail.admin.verb import VerbRefused
from jindimail.directory.everybucket import AT_ONCE
from jindimail.errors import AddressTaken, NoSuchAlias, NoSuchDomain, NoSuchUser, NotAllowed
from jindimail.model import BUCKET_COUNT
from tests.admin.live import Asker
from tests.support.world import World


@pytest.fixture
def ask() -> Asker:
    return Asker(World())


def test_domainIsAddedShownChangedAndRemoved(ask: Asker) -> None:
    added = ask("domain add", domain="Example.NET", postmaster="ada@example.org")
    assert added == {"domain": "example.net", "catchAll": "", "postmaster": "ada@example.org"}
    assert (
        ask("domain set", domain="example.net", catchAll="all@example.org")["postmaster"] == "ada@example.org"
    )
    assert ask("domain show", domain="example.net")["catchAll"] == "all@example.org"
    assert ask("domain set", domain="example.net", catchAll="")["catchAll"] == ""
    assert [row["domain"] for row in ask("domain list")["rows"]] == ["example.net", "example.org"]
    assert ask("domain remove", domain="example.net") == {"removed": "example.net"}
    with pytest.raises(NoSuchDomain):
        ask("domain show", domain="example.net")


def test_domainThatIsThereIsRefused(ask: Asker) -> None:
    with pytest.raises(AddressTaken):
        ask("domain add", domain="example.org")


def test_userIsAddedShownChangedAndRemoved(ask: Asker) -> None:
    added = ask("user add", address="ada@example.org", password="long enough", quotaOctets="1K")
    assert (added["address"], added["quotaOctets"], added["enabled"]) == ("ada@example.org", 1024, True)
    assert "credential" not in added
    assert ask("user set", address="ada@example.org", enabled=False)["enabled"] is False
    assert ask("user show", address="ada@example.org")["quotaOctets"] == 1024
    assert [row["address"] for row in ask("user list")["rows"]] == ["ada@example.org"]
    assert ask("user remove", address="ada@example.org") == {"removed": "ada@example.org"}
    with pytest.raises(NoSuchUser):
        ask("user show", address="ada@example.org")


def test_passwordIsChangedAndShortOnesAreRefused(ask: Asker) -> None:
    ask("user add", address="ada@example.org", password="long enough")
    assert ask("user passwd", address="ada@example.org", password="another one") == {
        "changed": "ada@example.org"
    }
    with pytest.raises(NotAllowed):
        ask("user passwd", address="ada@example.org", password="short")


def test_quotaIsShownAndChanged(ask: Asker) -> None:
    ask("user add", address="ada@example.org", password="long enough")
    assert ask("quota", address="ada@example.org")["quotaOctets"] == 0
    changed = ask("quota", address="ada@example.org", quotaOctets="5G", quotaMessages=9)
    assert (changed["quotaOctets"], changed["quotaMessages"]) == (5 << 30, 9)
    assert ask("quota", address="ada@example.org", quotaMessages=0)["quotaOctets"] == 5 << 30


def test_aliasIsAddedShownChangedAndRemoved(ask: Asker) -> None:
    targets = ["ada@example.org", "bob@example.org"]
    assert ask("alias add", address="sales@example.org", targets=targets)["targets"] == tuple(targets)
    assert ask("alias set", address="sales@example.org", targets=targets[1:])["targets"] == (
        "bob@example.org",
    )
    assert ask("alias show", address="sales@example.org")["targets"] == ("bob@example.org",)
    assert len(ask("alias list", domain="example.org")["rows"]) == 1
    ask("alias remove", address="sales@example.org")
    with pytest.raises(NoSuchAlias):
        ask("alias show", address="sales@example.org")


@pytest.mark.parametrize("verb", ["user list", "alias list"])
def test_whatLiesInAllBucketsIsListedPageByPageAndNoBucketAskedForEachOfThem(
    ask: Asker, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(accountverbs, "LISTED_ROWS", 3)
    addresses = [f"u{number:02}@example.org" for number in range(30)]
    for address in addresses:
        if verb == "user list":
            ask("user add", address=address, password="long enough")
        else:
            ask("alias add", address=address, targets=["ada@example.org"])
    asked = list[int]()
    query = ask.node.buckets.query

    async def counted(bucket: int, *arguments: Any, **options: Any) -> Any:
        asked.append(bucket)
        return await query(bucket, *arguments, **options)

    ask.node.buckets.query = counted  # type: ignore[method-assign]
    found, pages, after = list[str](), 0, ""
    while after is not None:
        page = ask(verb, domain="example.org", after=after)
        addressesOfPage = [row["address"] for row in page["rows"]]
        assert addressesOfPage == sorted(addressesOfPage)
        found, after, pages = [*found, *addressesOfPage], page["after"], pages + 1
    assert sorted(found) == addresses and pages > 5
    assert len(asked) <= BUCKET_COUNT + pages * AT_ONCE


def test_removalOfAUserReportsProgress(ask: Asker) -> None:
    world = World()
    asker = Asker(world)
    world.addUser("ada@example.org")
    for _ in range(3):
        world.deliver(b"Subject: x\r\n\r\nx\r\n", "ada@example.org")
    asker("user remove", address="ada@example.org")
    assert asker.progress[-1] == (3, 3, "removing messages")


def test_longListsComeInPages(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accountverbs, "PAGE_ROWS", 2)
    for name in "abcde":
        ask("domain add", domain=f"{name}.example")
    first = ask("domain list")
    second = ask("domain list", after=first["after"])
    third = ask("domain list", after=second["after"])
    names = [row["domain"] for page in (first, second, third) for row in page["rows"]]
    assert names == ["a.example", "b.example", "c.example", "d.example", "e.example", "example.org"]
    assert third["after"] is None


def test_statusSaysHowTheNodeIs(ask: Asker) -> None:
    ask.node.sessions.admit("imap", "192.0.2.1")
    status = ask("status")
    assert status["node"] == "one"
    assert status["state"] == "serving"
    assert status["uptimeSeconds"] == 60
    assert status["incarnation"] == 7
    assert status["services"] == {"smtp": ["127.0.0.1:25"]}
    assert status["sessions"] == {"total": 1, "imap": 1}
    assert status["storage"] == "plenty"
    assert status["certificateEnds"] is None
    ask.node.certificateEnds = lambda: 1_800_000_000
    assert ask("status")["certificateEnds"] == "2027-01-15T08:00:00Z"
    assert status["groups"] == {"total": 2, "leading": 1, "waiting": 6}


def test_sessionsAreListedAndKicked(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    kicked = []
    for user in ("ada@example.org", "bob@example.org", "ada@example.org"):
        session = ask.node.sessions.admit("imap", "192.0.2.1")
        assert session is not None
        session.user = user
        session.disconnect = lambda session=session: kicked.append(session.id)
    assert [row["user"] for row in ask("sessions list")["rows"]] == [
        "ada@example.org",
        "bob@example.org",
        "ada@example.org",
    ]
    assert len(ask("sessions list", user="ada@example.org")["rows"]) == 2
    assert ask("sessions kick", session="2") == {"kicked": ["2"]}
    assert ask("sessions kick", session="ada@example.org") == {"kicked": ["1", "3"]}
    assert kicked == ["2", "1", "3"]
    with pytest.raises(VerbRefused):
        ask("sessions kick", session="99")
    monkeypatch.setattr(nodeverbs, "PAGE_ROWS", 2)
    first = ask("sessions list")
    assert first["after"] == "2"
    assert [row["id"] for row in ask("sessions list", after="2")["rows"]] == ["3"]
    next(iter(ask.node.sessions)).end()
    assert [row["id"] for row in ask("sessions list", after="1")["rows"]] == ["2", "3"], "it has ended since"


def test_longWorkGoesOneAtATime(ask: Asker) -> None:
    ask.node.longWork = "a backup"
    with pytest.raises(VerbRefused) as caught:
        ask("check")
    assert (caught.value.code, caught.value.text) == ("busy", "a backup is under way")
