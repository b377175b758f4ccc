"""Sessions fed with anything, cut anywhere: protocol errors and nothing else, one answer for each line."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pop3.fakes import Bed

COMMANDS = [
    b"STAT", b"LIST", b"LIST 1", b"UIDL", b"UIDL 2", b"RETR 1", b"RETR 2", b"RETR 9", b"TOP 1 1", b"TOP 2 0", b"DELE 1",
    b"RSET", b"NOOP", b"CAPA", b"AUTH", b"AUTH PLAIN", b"AUTH PLAIN AGFubmEAIGEgIHNlY3JldA==", b"USER anna", b"*",
    b"PASS  a  secret", b"PASS x", b"QUIT", b"LAST", b"APOP", b"", b" ", b"\x00", b"\xff\xfe", b"RETR \x00", b"TOP",
]  # fmt: skip
MESSAGES = (b"A: 1\r\n\r\n.\r\none\r\n", b".")


def answered(octets: bytes, cuts: list[int], isHolding: bool = False) -> bytes:
    bed = Bed(*MESSAGES)
    protocol, wire = bed.connect()
    edges = sorted({0, len(octets), *(cut % (len(octets) + 1) for cut in cuts)})
    if isHolding:
        bed.store.hold()
    for low, high in pairwise(edges):
        if wire.disconnecting:
            break
        protocol.dataReceived(octets[low:high])
        if isHolding:
            bed.store.release()
            bed.store.hold()
    bed.store.release()
    value: bytes = wire.value()
    return value


SCRIPTS = st.lists(st.sampled_from(COMMANDS), max_size=12).map(
    lambda lines: b"".join(line + b"\r\n" for line in lines)
)


@settings(max_examples=150, deadline=None)
@given(SCRIPTS, st.lists(st.integers(min_value=0), max_size=8))
def test_theAnswersDoNotDependOnTheSplitPoints(octets: bytes, cuts: list[int]) -> None:
    whole = answered(octets, [])
    assert b"internal error" not in whole
    assert answered(octets, cuts) == whole
    assert answered(octets, cuts, isHolding=True) == whole


def test_everySplitPointOfASession() -> None:
    octets = b"USER anna\r\nPASS  a  secret\r\nSTAT\r\nRETR 1\r\nTOP 1 1\r\nNOPE\r\nDELE 1\r\nQUIT\r\n"
    whole = answered(octets, [])
    assert whole.endswith(b"-ERR unknown command\r\n+OK\r\n+OK bye\r\n")
    for at in range(len(octets)):
        assert answered(octets, [at]) == whole
        assert answered(octets, [at], isHolding=True) == whole


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.booleans(), st.lists(st.integers(min_value=0), max_size=4))
def test_arbitraryOctetsGetOnlyErrors(octets: bytes, isLoggedIn: bool, cuts: list[int]) -> None:
    login = b"USER anna\r\nPASS  a  secret\r\n" if isLoggedIn else b""
    answers = answered(login + octets.replace(b"QUIT", b""), cuts)
    assert b"internal error" not in answers
    lines = answers.split(b"\r\n")
    assert lines[-1] == b""
    assert all(line[:3] == b"+OK" or line[:5] == b"-ERR " for line in lines[:-1] if b"." not in line)
