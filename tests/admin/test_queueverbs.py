"""The verbs about mail that waits."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from jindimail.admin.verb import VerbRefused
from jindimail.errors import Unavailable
from jindimail.mailbox.entries import Enqueue
from jindimail.mailbox.queries import ListQueue
from jindimail.model import bucketOf
from tests.admin.live import Asker
from tests.support.world import World, now

ALICE, BOB = "alice@example.org", "bob@example.org"
OCTETS = b"Received: from a by b\r\nSubject: hello\r\n\r\nbody\r\n"


@pytest.fixture
def ask() -> Asker:
    """A node with a message that waits for Bob's bucket, which does not answer."""
    world = World()
    world.addUser(ALICE)
    world.addUser(BOB)
    real = world.buckets.propose

    def propose(bucket: Any, entry: Any, body: Any = None) -> Deferred[Any]:
        return fail(Unavailable()) if bucket == bucketOf(BOB) else real(bucket, entry, body)

    world.buckets.propose = propose  # type: ignore[method-assign]
    assert world.deliver(OCTETS, ALICE, BOB) == [None, None]
    return Asker(world)


def test_whatWaitsIsListedAndShown(ask: Asker) -> None:
    (row,) = ask("queue list")["rows"]
    assert (row["sender"], row["recipients"], row["for"]) == ("sender@example.net", 1, bucketOf(BOB))
    assert row["reason"] == "the bucket does not answer"
    shown = ask("queue show", message=row["message"])
    assert shown["recipients"] == [BOB]
    assert shown["octets"] == len(OCTETS)


def test_aRetryIsDueNowAndARemovedMessageIsGone(ask: Asker) -> None:
    (row,) = ask("queue list")["rows"]
    assert row["due"] <= ask.node.seconds()
    ask("queue retry", message=row["message"])
    (again,) = ask("queue list")["rows"]
    assert again["delivery"] == row["delivery"]
    assert ask("queue remove", message=again["message"]) == {"removed": again["message"]}
    assert ask("queue list")["rows"] == []
    with pytest.raises(VerbRefused):
        ask("queue show", message=again["message"])


@pytest.mark.parametrize("message", ["", "nonsense", "00ff", "ab" * 60])
def test_whatDoesNotWaitIsSaidSo(ask: Asker, message: str) -> None:
    for words in ("queue show", "queue retry", "queue remove"):
        with pytest.raises(VerbRefused):
            ask(words, message=message)


def test_bucketsThatDoNotAnswerAreNamed(ask: Asker) -> None:
    real = ask.node.buckets.query

    def query(bucket: Any, query: Any, fresh: bool = False, mayLag: bool = False) -> Deferred[Any]:
        return fail(Unavailable()) if bucket == 7 else real(bucket, query, fresh)

    ask.node.buckets.query = query
    found = ask("queue list")
    assert found["silentBuckets"] == [7]
    assert len(found["rows"]) == 1


def test_longQueuesComeInPages(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jindimail.admin.queueverbs.PAGE_ROWS", 2)
    (first,) = ask("queue list")["rows"]
    bucket = first["bucket"]
    (row,) = now(ask.node.buckets.query(bucket, ListQueue()))
    for number in range(1, 5):
        now(ask.node.buckets.propose(bucket, _copyOf(row, number), None))
    seen, after = [], ""
    while after is not None:
        page = ask("queue list", after=after)
        seen += [each["message"] for each in page["rows"]]
        after = page["after"]
    assert len(seen) == len(set(seen)) == 5


def _copyOf(row: Any, number: int) -> Any:
    return Enqueue(
        seconds=1,
        bodyId=number.to_bytes(16, "big"),
        size=row.size,
        digest=row.digest,
        keepers=(1,),
        summary=b"",
        target=row.target,
        sender="",
        waiting=row.record.waiting,
        dueSeconds=row.dueSeconds + number,
    )
