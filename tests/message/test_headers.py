"""Fields of a header: found, chosen, unfolded, with nothing lost."""

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jindimail.message.headers import (
    Field,
    fieldValues,
    headerEnd,
    readFields,
    scanFields,
    selectFields,
    unfold,
)
from tests.message import samples

HEADER = b"Received: a\r\n\tb\r\nSubject : one\r\nreceived: c\r\nX-Empty:\r\nnot a field\r\nSUBJECT:two\r\n three\r\n\r\n"


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"", 0),
        (b"\r\nbody", 2),
        (b"\nbody", 1),
        (b"a: b\r\n\r\nbody", 8),
        (b"a: b\n\nbody", 6),
        (b"a: b\n\r\nbody", 7),
        (b"a: b\r\n\nbody", 7),
        (b"a: b\r\n \r\nc: d\r\n\r\nbody", 17),
        (b"a: b\n\nbody\r\n\r\n", 6),
        (b"a: b\r\n\r\nbody\n\n", 8),
        (b"a: b\r\n", 6),
        (b"a: b", 4),
        (b"a: b\r\n c\r\nD :\r\nno field\r\ne: f\r\n", 15),
        (b"no field", 0),
        (b"no field\r\na: b\r\n\r\n", 18),
        (b"\r\r\n\r\n", 5),
        (b"a\n\n\r\nbody", 3),
    ],
)
def test_headerEndsAfterItsBlankLine(octets: bytes, expected: int) -> None:
    assert headerEnd(octets, 0, len(octets)) == expected


def test_fieldsKeepOrderCaseAndDuplicates() -> None:
    fields = list(scanFields(HEADER))
    assert [field.name for field in fields] == [
        b"Received",
        b"Subject",
        b"received",
        b"X-Empty",
        b"",
        b"SUBJECT",
    ]
    assert fields[0] == Field(b"Received", 0, 17)
    assert b"".join(HEADER[field.start : field.end] for field in fields) + b"\r\n" == HEADER


def test_firstValuesAreReadUnfolded() -> None:
    assert readFields(HEADER) == {b"received": b"a\tb", b"subject": b"one", b"x-empty": b""}


def test_severalFieldsOfRecipientsAreOneList() -> None:
    header = b"To: a@x\r\nCc: b@x\r\nTO: c@x,\r\n d@x\r\nFrom: e@x\r\nFrom: f@x\r\nto: g@x\r\n\r\n"
    assert readFields(header) == {b"to": b"a@x, c@x, d@x, g@x", b"cc": b"b@x", b"from": b"e@x"}


def test_allValuesOfAName() -> None:
    assert fieldValues(HEADER, b"SubJect") == [b"one", b"two three"]
    assert fieldValues(HEADER, b"X-None") == []
    assert fieldValues(b"a: b\r\n\r\nsubject: in the body\r\n", b"subject") == []


def test_unfoldingKeepsTheWhiteSpaceThatFolded() -> None:
    assert unfold(b" a\r\n  b\n\tc \r\n") == b"a  b\tc"


@pytest.mark.parametrize(
    ("names", "negate", "expected"),
    [
        ([b"subject"], False, b"Subject : one\r\nSUBJECT:two\r\n three\r\n\r\n"),
        ([b"RECEIVED", b"X-empty"], False, b"Received: a\r\n\tb\r\nreceived: c\r\nX-Empty:\r\n\r\n"),
        ([b"nothing"], False, b"\r\n"),
        ([], False, b"\r\n"),
        ([], True, HEADER),
        ([b"subject", b"received"], True, b"X-Empty:\r\nnot a field\r\n\r\n"),
    ],
)
def test_selectedFieldsAsTheyStand(names: list[bytes], negate: bool, expected: bytes) -> None:
    assert selectFields(HEADER, names, negate) == expected


def test_messageWithoutBlankLineGetsNone() -> None:
    assert selectFields(b"a: b\r\nc: d\r\n", [b"a"]) == b"a: b\r\n"
    assert selectFields(b"", [b"a"]) == b""
    assert selectFields(b"\r\n", [b"a"]) == b"\r\n"


@given(
    st.one_of(
        samples.mutatedMessages(),
        st.lists(st.sampled_from([b"a: b", b"\r\n", b"\n", b" ", b"B:c", b"\r", b":", b"\0"])).map(b"".join),
    ),
    st.lists(st.sampled_from([b"a", b"b", b"from", b"Content-Type", b""])),
)
def test_chosenAndNotChosenTogetherAreAllFields(octets: bytes, names: list[bytes]) -> None:
    header = octets[: headerEnd(octets, 0, len(octets))]
    fields = list(scanFields(header))
    wanted = {name.lower() for name in names}
    chosen, rest = selectFields(header, names), selectFields(header, names, negate=True)
    blank = (
        b"\r\n"
        if chosen.endswith(b"\r\n") and rest.endswith(b"\r\n") and header.endswith((b"\n\n", b"\n\r\n"))
        else b""
    )
    if header in (b"\n", b"\r\n"):
        blank = b"\r\n"
    assert chosen == b"".join(header[f.start : f.end] for f in fields if f.name.lower() in wanted) + blank
    assert rest == b"".join(header[f.start : f.end] for f in fields if f.name.lower() not in wanted) + blank
    at = 0
    for field in fields:
        assert field.start == at
        at = field.end
    assert header[at:] in (b"", b"\n", b"\r\n")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["From", "X-a", "x-A", "Subject"]),
            st.lists(
                st.text("ab :=;", min_size=1, max_size=5).map(lambda s: "v" + s), min_size=1, max_size=3
            ),
        ),
        min_size=1,
    )
)
def test_valuesAreThoseThatCPythonReads(fields: list[tuple[str, list[str]]]) -> None:
    octets = (
        b"".join(
            f"{name}: {chr(13) + chr(10) + ' '}".encode()[:-3] + "\r\n ".join(lines).encode() + b"\r\n"
            for name, lines in fields
        )
        + b"\r\n"
    )
    message = email.message_from_bytes(octets, policy=email.policy.compat32)
    for name in {name for name, _ in fields}:
        expected = [value.replace("\r\n", "").strip().encode() for value in message.get_all(name) or []]
        assert fieldValues(octets, name.encode()) == expected
        assert readFields(octets)[name.lower().encode()] == expected[0]
