"""Mail out: every program gives every message as it is stored, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.target import Account
from tests.clients import corpus
from tests.clients.corpus import differences
from tests.clients.fetchers import FETCHERS, Fetcher
from tests.clients.server import Server


@pytest.fixture(scope="module")
def filled(server: Server) -> tuple[Account, list[bytes]]:
    """An account with all messages, and what is stored in it."""
    account = server.newAccount()
    server.fill(account, corpus.ALL)
    stored = server.stored(account)
    assert [octets[-len(each.octets) :] for octets, each in zip(stored, corpus.ALL, strict=True)] == [
        each.octets for each in corpus.ALL
    ]
    return account, stored


@pytest.mark.parametrize("fetcher", FETCHERS, ids=lambda fetcher: fetcher.name)
def test_messagesComeOutAsTheyAreStored(
    server: Server, filled: tuple[Account, list[bytes]], tmp_path: Path, fetcher: Fetcher
) -> None:
    account, stored = filled
    got = [fetcher.withoutAdded(octets) for octets in fetcher.fetch(server, account, tmp_path)]
    expected = [fetcher.expected(octets) for octets in stored]
    assert differences(expected, got, fetcher.spoils) == []
