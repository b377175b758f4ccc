"""Notices about mail that could not be filed (RFC 3464)."""

from __future__ import annotations

import email

from jindimail.queue.bounce import bounce


def test_recipientsBeyondAsciiAreNamedInAscii() -> None:
    notice = bounce(
        noticeId=b"\1\2",
        to="jörg@example.org",
        reasons={
            "a+x=y@example.org": "5.1.1 no such user here",
            "jörg+x=\\@example.org": "5.2.2 mailbox full",
        },
        original=b"Subject: x\r\n\r\nbody\r\n",
        sinceSeconds=0,
    )
    report = email.message_from_bytes(notice)
    _, status, original = report.get_payload()
    assert status.get_content_type() == "message/delivery-status"
    groups = status.get_payload()
    assert [group["Final-Recipient"] for group in groups] == [
        None,
        "rfc822; a+x=y@example.org",
        "utf-8; j\\x{F6}rg\\x{2B}x\\x{3D}\\x{5C}@example.org",
    ]
    assert [group["Status"] for group in groups] == [None, "5.1.1", "5.2.2"]
    assert original.get_payload(0)["Subject"] == "x"
