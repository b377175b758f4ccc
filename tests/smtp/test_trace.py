from __future__ import annotations

from email import message_from_bytes
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from jindimail.smtp import trace

PASSAGE = trace.Passage(client="a", peer="10.0.0.1", hostName="mx.example.org", protocol="ESMTP")


@pytest.mark.parametrize(
    ("protocol", "isUtf8", "tls", "isAuthenticated", "expected"),
    [
        ("SMTP", False, "", False, "SMTP"),
        ("SMTP", False, "TLSv1.3 X", False, "SMTP"),
        ("ESMTP", False, "", False, "ESMTP"),
        ("ESMTP", False, "TLSv1.3 X", False, "ESMTPS"),
        ("ESMTP", False, "", True, "ESMTPA"),
        ("ESMTP", False, "TLSv1.3 X", True, "ESMTPSA"),
        ("ESMTP", True, "", False, "UTF8SMTP"),
        ("ESMTP", True, "TLSv1.3 X", True, "UTF8SMTPSA"),
        ("LMTP", False, "", False, "LMTP"),
        ("LMTP", False, "TLSv1.3 X", False, "LMTPS"),
        ("LMTP", True, "", False, "UTF8LMTP"),
    ],
)
def test_theWordIsTheRegisteredOne(
    protocol: str, isUtf8: bool, tls: str, isAuthenticated: bool, expected: str
) -> None:
    passage = replace(PASSAGE, protocol=protocol, tls=tls, isAuthenticated=isAuthenticated)
    assert trace.protocolWord(passage, isUtf8) == expected


@given(st.text(max_size=300), st.booleans())
@settings(max_examples=200, deadline=None)
def test_whateverTheClientSaysTheFieldStaysOne(client: str, isUtf8: bool) -> None:
    field = trace.received(replace(PASSAGE, client=client), b"\x01" * 16, isUtf8, 0)
    assert isUtf8 or field.isascii()
    assert field.count(b"\r\n") == 3
    assert field.endswith(b"\r\n")
    assert message_from_bytes(field + b"\r\n").keys() == ["Received"]
    assert not set('()<>;"\\') & set(field.split(b" ([")[0].decode())


@given(st.integers(0, 4_000_000_000))
@settings(max_examples=200, deadline=None)
def test_theDateIsTheMoment(seconds: int) -> None:
    assert parsedate_to_datetime(trace.date(seconds)).timestamp() == seconds
