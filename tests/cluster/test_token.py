"""Join tokens and invitations."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jindimail.cluster.token import (
    BadToken,
    Token,
    parseToken,
    printToken,
    secretHash,
)

TOKEN = Token(
    addresses=("mx1.example:2626", "[2001:db8::1]:2626"),
    fingerprint=bytes(range(32)),
    secret=bytes(range(20)),
    expirySeconds=1_800_000_000,
)

tokens = st.builds(
    Token,
    addresses=st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=8).map(tuple),
    fingerprint=st.binary(min_size=32, max_size=32),
    secret=st.binary(min_size=20, max_size=20),
    expirySeconds=st.integers(0, 2**40 - 1),
)


@given(tokens)
def test_tokenIsReadAsItWasPrinted(token: Token) -> None:
    assert parseToken(printToken(token)) == token


def test_tokenIsOneWordThatSurvivesCopying() -> None:
    text = printToken(TOKEN)
    assert re.fullmatch("[a-z2-7]+", text)
    assert parseToken(f"  {text[:40]}\n  {text[40:].upper()}\n") == TOKEN


@given(st.integers(0, 10_000), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_mistypedTokenIsNoticed(place: int, letter: str) -> None:
    text = printToken(TOKEN)
    place %= len(text) - 1
    if text[place] == letter:
        return
    with pytest.raises(BadToken):
        parseToken(text[:place] + letter + text[place + 1 :])


@given(st.integers(0, 200))
def test_tokenThatWasCutShortIsNoticed(size: int) -> None:
    text = printToken(TOKEN)
    with pytest.raises(BadToken):
        parseToken(text[: min(size, len(text) - 2)])


@given(st.text(max_size=300))
def test_whatIsNoTokenIsRefused(text: str) -> None:
    with pytest.raises(BadToken):
        parseToken(text)


def test_secretIsNotItsHash() -> None:
    assert secretHash(TOKEN.secret) not in (TOKEN.secret, secretHash(TOKEN.secret[:-1] + b"x"))
    assert len(secretHash(TOKEN.secret)) == 32
