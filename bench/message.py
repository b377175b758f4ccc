"""Time to summarise messages of typical kinds, in microseconds: `python bench/message.py`. Bounded to a few seconds."""

import base64
import timeit
from collections.abc import Callable

from jindimail.message import headers, imapform, sections
from jindimail.message.dates import parseDate
from jindimail.message.preview import preview
from jindimail.message.structure import parse
from jindimail.message.summary import summarise

HEADER = (
    b"Return-Path: <ada@example.org>\r\n"
    b"Received: from mx1.example.net (mx1.example.net [192.0.2.7])\r\n"
    b"\tby mail.example.com with ESMTPS id 4f2d1c; Wed, 17 Jul 2024 02:44:26 -0700\r\n"
    b"Received: from laptop.example.org (unknown [198.51.100.23])\r\n"
    b"\tby mx1.example.net (Postfix) with ESMTPSA id 7A1B2C3D4E\r\n"
    b"\tfor <bob@example.com>; Wed, 17 Jul 2024 02:44:25 -0700 (PDT)\r\n"
    b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org;\r\n"
    b"\ts=sel; t=1721209465; h=from:to:subject:date:message-id;\r\n"
    b"\tbh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n"
    b"\tb=" + base64.b64encode(bytes(range(192)))[:250] + b"\r\n"
    b"Date: Wed, 17 Jul 2024 02:44:25 -0700\r\n"
    b"From: Ada Lovelace <ada@example.org>\r\n"
    b'To: "Bob Builder" <bob@example.com>, Carol <carol@example.com>\r\n'
    b"Cc: dave@example.net\r\n"
    b"Subject: =?utf-8?Q?Notes_on_the_analytical_engine?=\r\n"
    b"Message-ID: <20240717094425.4f2d1c@example.org>\r\n"
    b"In-Reply-To: <20240716094425.aaaa@example.com>\r\n"
    b"References: <20240715094425.bbbb@example.com>\r\n\t<20240716094425.aaaa@example.com>\r\n"
    b"User-Agent: Example/1.0 (Linux)\r\n"
    b"X-Spam-Status: No, score=-1.9\r\n"
    b"List-Unsubscribe: <https://example.org/u?1234>\r\n"
    b"MIME-Version: 1.0\r\n"
)
LINE = b"The engine weaves algebraic patterns, just as the loom weaves flowers.\r\n"


def text(octets: int) -> bytes:
    return (LINE * (octets // len(LINE) + 1))[: octets - 2] + b"\r\n"


def single(octets: int) -> bytes:
    return HEADER + b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + text(octets - len(HEADER))


def alternative(octets: int) -> bytes:
    half = (octets - len(HEADER)) // 2
    return (
        HEADER
        + b'Content-Type: multipart/alternative; boundary="----=_Part_12_345.678"\r\n\r\n'
        + b"------=_Part_12_345.678\r\nContent-Type: text/plain; charset=utf-8\r\n"
        + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        + text(half)
        + b"\r\n------=_Part_12_345.678\r\nContent-Type: text/html; charset=utf-8\r\n"
        + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n<html><body><p>"
        + text(half)
        + b"</p></body></html>\r\n------=_Part_12_345.678--\r\n"
    )


def htmlOnly(octets: int) -> bytes:
    style = b"<html><head><style>" + b".a { color: red; margin: 0 } " * 100 + b"</style></head><body><table>"
    rows = b"<tr><td class=x><b>Offer</b> &amp; more <a href=https://example.org/>here</a></td></tr>\r\n" * 60
    return HEADER + b"Content-Type: text/html; charset=utf-8\r\n\r\n" + style + rows


def attachment(octets: int) -> bytes:
    coded = base64.encodebytes(bytes(range(256)) * (octets * 3 // 4 // 256)).replace(b"\n", b"\r\n")
    return (
        HEADER
        + b"Content-Type: multipart/mixed; boundary=outer\r\n\r\n--outer\r\n"
        + b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
        + text(1000)
        + b"\r\n--outer\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n"
        + b"Content-Disposition: attachment; filename=a.pdf\r\n\r\n"
        + coded
        + b"--outer--\r\n"
    )


def report(name: str, work: Callable[[], object], budget: int | None = None) -> None:
    count = 200
    best = min(timeit.repeat(work, number=count, repeat=15)) / count * 1e6
    print(f"{name:<44}{best:8.1f} µs" + (f"   (budget {budget})" if budget else ""))


def main() -> None:
    messages = [
        ("single part, 10 KB", single(10_000), 120),
        ("multipart/alternative, 10 KB", alternative(10_000), 200),
        ("HTML only, 9 KB", htmlOnly(10_000), None),
        ("attachment in base64, 100 KB", attachment(100_000), 300),
        ("attachment in base64, 5 MB", attachment(5_000_000), None),
    ]
    for name, octets, budget in messages[:4]:
        report(f"summarise: {name}", lambda octets=octets: summarise(octets), budget)  # type: ignore[misc]
    name, octets, _ = messages[4]
    best = min(timeit.repeat(lambda: summarise(octets), number=3, repeat=3)) / 3 * 1e6
    print(f"{'summarise: ' + name:<44}{best:8.1f} µs")
    octets = alternative(10_000)
    part, summary = parse(octets), summarise(octets)
    header = octets[: summary.headerOctets]
    names = [b"From", b"To", b"Cc", b"Subject", b"Date", b"Message-ID", b"References", b"Content-Type"]
    report("  parse", lambda: parse(octets))
    report("  header fields", lambda: headers.readFields(header))
    report("  envelope", lambda: imapform.envelope(part.fields))
    report("  bodystructure", lambda: imapform.bodystructure(part))
    report("  part table", lambda: sections.partTable(part))
    report("  preview", lambda: preview(part, octets))
    report("  date", lambda: parseDate(part.fields[b"date"]))
    report("HEADER.FIELDS", lambda: headers.selectFields(header, names))
    report("BODY from BODYSTRUCTURE", lambda: imapform.bodyOf(summary.bodyStructure))
    report("section 1.2", lambda: sections.section(summary.parts, (2,)))


if __name__ == "__main__":
    main()
