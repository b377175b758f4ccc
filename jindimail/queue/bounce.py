"""Telling a sender that a message which was taken could not be filed after all (RFC 3464). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b

from jindimail.message.dates import formatDate

_TEXT = (
    "This mail server took your message and could not deliver it to these recipients:\r\n\r\n"
    "{recipients}\r\n"
    "The message is attached. Nothing will be tried any more.\r\n"
)


_NOT_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")


def bounceId(deliveryId: bytes, target: int, sinceSeconds: int, octets: bytes = b"") -> bytes:
    """
    The id of the notice about a delivery's recipients in a bucket; with its octets, the delivery id: made twice alike, it is filed once, and
    what is not alike never goes under one id.
    """
    digest = blake2b(deliveryId + target.to_bytes(2, "big") + octets, digest_size=10).digest()
    return (sinceSeconds * 1000).to_bytes(6, "big") + digest


def bounce(
    *, noticeId: bytes, to: str, reasons: Mapping[str, str], original: bytes, sinceSeconds: int
) -> bytes:
    """
    The notice, with the message that it is about: the same octets, whichever node makes it, and when.

    @param reasons: why, by recipient: an enhanced status code, a space, a text.
    @param sinceSeconds: when that message was taken.
    """
    name = noticeId.hex()
    hostName = to.rpartition("@")[2]
    listed = "".join(f"  {recipient}: {reason}\r\n" for recipient, reason in reasons.items())
    fields = "".join(
        f"\r\nFinal-Recipient: {_typed(recipient)}\r\nAction: failed\r\nStatus: {reason.partition(' ')[0]}\r\n"
        for recipient, reason in reasons.items()
    )
    date = formatDate(sinceSeconds).decode("ascii")
    head = (
        f"Received: by {hostName} (queue) id {name}; {date}\r\n"
        f"From: Mail delivery <postmaster@{hostName}>\r\n"
        f"To: <{to}>\r\n"
        "Subject: Your message could not be delivered\r\n"
        f"Date: {date}\r\n"
        f"Message-ID: <{name}@{hostName}>\r\n"
        "Auto-Submitted: auto-replied\r\n"
        "MIME-Version: 1.0\r\n"
        f'Content-Type: multipart/report; report-type=delivery-status; boundary="{name}"\r\n'
        "Content-Transfer-Encoding: 8bit\r\n\r\n"
        f"--{name}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        f"{_TEXT.format(recipients=listed)}\r\n"
        f"--{name}\r\nContent-Type: message/delivery-status\r\n\r\n"
        f"Reporting-MTA: dns; {hostName}\r\n{fields}\r\n"
        f"--{name}\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    )
    return head.encode() + original + f"\r\n--{name}--\r\n".encode()


def _typed(address: str) -> str:
    """An address with its type, in ASCII as message/delivery-status must be (RFC 6533 §3)."""
    if address.isascii():
        return f"rfc822; {address}"
    return "utf-8; " + _NOT_QCHAR.sub(lambda match: f"\\x{{{ord(match[0]):X}}}", address)
