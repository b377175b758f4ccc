"""Address lists: the RFCs' examples, what senders really write, and garbage."""

import email.utils

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jindimail.message import bounds
from jindimail.message.addresses import Address, groupEnd, parseAddresses


def person(name: str | None, mailbox: str, host: str, route: str | None = None) -> Address:
    return Address(
        name.encode() if name else None, route.encode() if route else None, mailbox.encode(), host.encode()
    )


def group(name: str) -> Address:
    return Address(None, None, name.encode(), None)


CASES: list[tuple[str, list[Address]]] = [
    # RFC 5322 Appendix A
    ("John Doe <jdoe@machine.example>", [person("John Doe", "jdoe", "machine.example")]),
    (
        '"Joe Q. Public" <john.q.public@example.com>',
        [person("Joe Q. Public", "john.q.public", "example.com")],
    ),
    (
        "Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
        [person("Mary Smith", "mary", "x.test"), person(None, "jdoe", "example.org"), person("Who?", "one", "y.test")],
    ),
    (
        '<boss@nil.test>, "Giant; \\"Big\\" Box" <sysservices@example.net>',
        [person(None, "boss", "nil.test"), person('Giant; "Big" Box', "sysservices", "example.net")],
    ),
    (
        "A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
        [
            group("A Group"), person("Ed Jones", "c", "a.test"), person(None, "joe", "where.test"),
            person("John", "jdoe", "one.test"), groupEnd,
        ],
    ),
    ("Undisclosed recipients:;", [group("Undisclosed recipients"), groupEnd]),
    (
        "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
        [person("Pete", "pete", "silly.test")],
    ),
    (
        "A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n joe@example.org,\r\n"
        "  John <jdoe@one.test> (my dear friend); (the end of the group)",
        [
            group("A Group"), person("Chris Jones", "c", "public.example"), person(None, "joe", "example.org"),
            person("John", "jdoe", "one.test"), groupEnd,
        ],
    ),
    ("(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", [group("Hidden recipients"), groupEnd]),
    ("Joe Q. Public <john.q.public@example.com>", [person("Joe Q. Public", "john.q.public", "example.com")]),
    (
        "Mary Smith <@node.test:mary@example.net>, , jdoe@test   . example",
        [person("Mary Smith", "mary", "example.net", "@node.test"), person(None, "jdoe", "test.example")],
    ),
    ("<@a.test,@b.test:c@d.test>", [person(None, "c", "d.test", "@a.test,@b.test")]),
    # the oldest form, quoting, literals, UTF-8
    ("pete@silly.test (Pete Peterson)", [person("Pete Peterson", "pete", "silly.test")]),
    ('"joe q"@example.org', [person(None, "joe q", "example.org")]),
    ('<"a\\"b@c"@example.org>', [person(None, 'a"b@c', "example.org")]),
    ("Ed <ed@[192.0.2.1]>", [person("Ed", "ed", "[192.0.2.1]")]),
    ("ed@[IPv6:2001:db8::1]", [person(None, "ed", "[IPv6:2001:db8::1]")]),
    ("Pelé <pelé@exämple.org>", [person("Pelé", "pelé", "exämple.org")]),
    ("=?utf-8?q?Ren=C3=A9?= <r@x>", [person("=?utf-8?q?Ren=C3=A9?=", "r", "x")]),
    # not quite right
    ("root", [person(None, "root", "")]),
    ("<root>", [person(None, "root", "")]),
    ("Undisclosed recipients", [person(None, "Undisclosed recipients", "")]),
    ("a@b; c@d", [person(None, "a", "b"), person(None, "c", "d")]),
    ("a@b <a@b>", [person("a@b", "a", "b")]),
    ("Doe, John <jd@x>", [person(None, "Doe", ""), person("John", "jd", "x")]),
    ("Name <>", [person("Name", "", "")]),
    ("<>", []),
    ("", []),
    (" ,, ", []),
    ("Open <a@b", [person("Open", "a", "b")]),
    ('"open <a@b>', [person(None, "open <a@b>", "")]),
    ("(open a@b", []),
    ("G: a@b", [group("G"), person(None, "a", "b"), groupEnd]),
    ("a@b, G: c@d;, e@f", [person(None, "a", "b"), group("G"), person(None, "c", "d"), groupEnd, person(None, "e", "f")]),
    ("a@b@c", [person(None, "a@b", "c")]),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), CASES)
def test_listIsRead(value: str, expected: list[Address]) -> None:
    assert parseAddresses(value.encode()) == expected


@pytest.mark.parametrize(("value", "expected"), CASES)
def test_slowReaderAgreesWithTheFastOne(value: str, expected: list[Address]) -> None:
    """An empty group first sends the whole list to the slower reader."""
    assert parseAddresses(b"G:;, " + value.encode()) == [group("G"), groupEnd, *expected]


_NAMES = st.one_of(
    st.just(""), st.text("ab é.", min_size=1, max_size=8).map(str.strip), st.text('ab,;<>@()\\" ', max_size=8)
)
_WORDS = st.from_regex(r"[a-z0-9+_-]{1,8}(\.[a-z]{1,5})?", fullmatch=True)


@given(st.lists(st.tuples(_NAMES, _WORDS, _WORDS), min_size=1, max_size=5))
def test_whatCPythonFormatsIsReadBack(people: list[tuple[str, str, str]]) -> None:
    people = [(" ".join(name.split()), mailbox, host) for name, mailbox, host in people]
    value = ", ".join(
        f'"{email.utils.quote(name)}" <{mailbox}@{host}>' if name else f"{mailbox}@{host}"
        for name, mailbox, host in people
    )
    assert parseAddresses(value.encode()) == [
        person(name or None, mailbox, host) for name, mailbox, host in people
    ]


@given(
    st.one_of(
        st.binary(),
        st.lists(
            st.sampled_from(
                [
                    b'"',
                    b"\\",
                    b"(",
                    b")",
                    b"<",
                    b">",
                    b"@",
                    b",",
                    b";",
                    b":",
                    b"a",
                    b" ",
                    b".",
                    b"[",
                    b"]",
                    b"\xff",
                    b"\0",
                    b"\r\n",
                ]
            )
        ).map(b"".join),
    )
)
@settings(max_examples=300)
def test_anyListIsReadWithGroupsInBalance(value: bytes) -> None:
    inGroup = False
    for address in parseAddresses(value):
        if address == groupEnd:
            assert inGroup
            inGroup = False
        elif address.host is None:
            assert not inGroup and address.mailbox is not None
            inGroup = True
        else:
            assert address.mailbox is not None
    assert not inGroup


@pytest.mark.parametrize("value", [b"a@b, ", b'"a\\"" <b@c>,', b"root, "])
def test_numberIsBounded(value: bytes) -> None:
    assert len(parseAddresses(value * 5000)) == bounds.addressesMax


def test_boundedListEndsItsGroup() -> None:
    for value in (b"G: " + b"a@b, " * 5000, b"G: " + b"a@b, " * (bounds.addressesMax - 2) + b"c@d;, e@f"):
        found = parseAddresses(value)
        assert len(found) == bounds.addressesMax + 1 and found[-1] == groupEnd


def test_octetsReadAreBounded() -> None:
    (found,) = parseAddresses(b"a@" + b"b" * 1_000_000)
    assert found.host is not None and len(found.host) == bounds.valueOctetsMax - 2
