"""Mail in: every message by every program arrives as it was, once, in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients import corpus
from tests.clients.senders import SENDERS, Send
from tests.clients.server import Server


@pytest.mark.parametrize("send", SENDERS, ids=lambda send: send.__name__)
def test_messagesArriveAsTheyWereSent(server: Server, tmp_path: Path, send: Send) -> None:
    account = server.newAccount()
    for message in corpus.ALL:
        file = tmp_path / message.name
        file.write_bytes(message.octets)
        send(server, account, file)
    arrived = [each.sent for each in server.delivered(account)]
    assert [corpus.nameOf(octets) for octets in arrived] == [each.name for each in corpus.ALL]
    assert corpus.differences([each.octets for each in corpus.ALL], arrived) == []
