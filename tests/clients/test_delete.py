"""Programs that fetch and delete: what they have taken is gone, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients import corpus, fetchers
from tests.clients.server import Server

TAKERS: list[Callable[..., list[bytes]]] = [
    fetchers.mpop,
    fetchers.getmailPop3,
    fetchers.fetchmailPop3,
    fetchers.getmailImap,
    fetchers.fetchmailImap,
]


@pytest.mark.parametrize("take", TAKERS, ids=lambda take: take.__name__)
def test_whatIsTakenIsGone(server: Server, tmp_path: Path, take: Callable[..., list[bytes]]) -> None:
    account = server.newAccount()
    server.fill(account, corpus.SMALL)
    taken = take(server, account, tmp_path, deletes=True)
    assert len(taken) == len(corpus.SMALL)
    assert server.stored(account) == []


def test_curlDeletesTheOneItIsToldTo(server: Server, tmp_path: Path) -> None:
    account = server.newAccount()
    server.fill(account, corpus.SMALL[:3])
    before = server.stored(account)
    fetchers.curlPop3Command(server, account, tmp_path, "DELE 2")
    assert server.stored(account) == [before[0], before[2]]
