"""How many sessions there may be: of a node, of an address, of a user."""

from __future__ import annotations

import pytest

from jindimail.errors import TooManySessions
from jindimail.mailbox.sessions import Sessions


def made(**bounds: int) -> Sessions:
    return Sessions(seconds=lambda: 0.0, **{"sessionsMax": 9, "sessionsPerPeerMax": 9, **bounds})


def test_aNodeAndAnAddressHaveABound() -> None:
    sessions = made(sessionsMax=3, sessionsPerPeerMax=2)
    first = sessions.admit("pop3", "a")
    assert first is not None and sessions.admit("imap4", "a") is not None
    assert sessions.admit("pop3", "a") is None
    assert sessions.admit("pop3", "b") is not None
    assert sessions.admit("pop3", "c") is None
    first.end()
    first.end()
    assert sessions.admit("pop3", "c") is not None
    assert sessions.admit("pop3", "a") is None


def test_theAddressesOfOneIPv6NetworkAreOnePeer() -> None:
    sessions = made(sessionsPerPeerMax=2)
    first, second = (sessions.admit("imap4", f"2001:db8:0:1::{number}") for number in (1, 2))
    assert first is not None and second is not None and first.peer != second.peer
    assert sessions.admit("imap4", "2001:db8:0:1::3") is None
    assert sessions.admit("imap4", "2001:db8:0:2::3") is not None
    first.end()
    assert sessions.admit("imap4", "2001:db8:0:1::3") is not None


def test_whoComesByALocalSocketIsBoundedByTheTotalOnly() -> None:
    sessions = made(sessionsMax=3, sessionsPerPeerMax=1)
    assert all(sessions.admit("lmtp", "") is not None for _ in range(3))
    assert sessions.admit("lmtp", "") is None


def test_aUserHasABoundOverAllProtocolsAndAddresses() -> None:
    sessions = made(sessionsPerUserMax=2)
    two = [sessions.admit(protocol, "a") for protocol in ("pop3", "imap4")]
    for each in two:
        assert each is not None
        each.login("anna")
    other, late = sessions.admit("imap4", "b"), sessions.admit("imap4", "b")
    assert other is not None and late is not None
    with pytest.raises(TooManySessions):
        other.login("anna")
    other.login("bob")
    assert (other.user, late.user) == ("bob", "")
    assert two[0] is not None
    two[0].end()
    late.login("anna")
    assert late.user == "anna"


def test_aSessionThatEndedMeanwhileIsNobodys() -> None:
    sessions = made(sessionsPerUserMax=1)
    gone, next_ = sessions.admit("pop3", "a"), sessions.admit("pop3", "a")
    assert gone is not None and next_ is not None
    gone.end()
    gone.login("anna")
    next_.login("anna")


def test_aSessionThatLogsInAgainDoesNotCountAgainstItself() -> None:
    sessions = made(sessionsPerUserMax=1)
    first, second = sessions.admit("pop3", "a"), sessions.admit("pop3", "a")
    assert first is not None and second is not None
    for _ in range(2):  # the first time the maildrop was in use
        first.login("anna")
    with pytest.raises(TooManySessions):
        second.login("anna")
    first.end()
    second.login("anna")
