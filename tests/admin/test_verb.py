"""What a verb takes: every kind of argument, given right and wrong."""

from __future__ import annotations

import pytest

from jindimail.admin.verb import (
    NUMBER,
    OCTETS,
    PATH,
    SECRET,
    SWITCH,
    TEXT,
    TEXTS,
    Argument,
    VerbRefused,
    verb,
)
from jindimail.admin.verbs import VERBS


@verb(
    "thing do",
    Argument(name="what", doc="what"),
    Argument(name="often", doc="o", kind=NUMBER, option=True, default=1),
)
async def doThing(node, report, *, what, often):  # type: ignore[no-untyped-def]
    """Do
    a thing."""


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        (TEXT, "ada@example.org", "ada@example.org"),
        (TEXT, "", ""),
        (NUMBER, 0, 0),
        (OCTETS, "2K", 2048),
        (OCTETS, 17, 17),
        (SWITCH, False, False),
        (TEXTS, ["a", "b"], ("a", "b")),
        (SECRET, "päss word\t", "päss word\t"),
        (PATH, "/backup", "/backup"),
    ],
)
def test_argumentIsRead(kind: str, value: object, read: object) -> None:
    assert Argument(name="x", doc="x", kind=kind).read(value) == read


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (TEXT, 1),
        (TEXT, None),
        (TEXT, "a\nb"),
        (TEXT, "x" * 1001),
        (NUMBER, "1"),
        (NUMBER, True),
        (NUMBER, -1),
        (NUMBER, 1 << 62),
        (OCTETS, "2X"),
        (SWITCH, 1),
        (TEXTS, []),
        (TEXTS, "ab"),
        (TEXTS, ["a", 1]),
        (TEXTS, ["a"] * 1001),
        (SECRET, 5),
        (SECRET, "x" * 1001),
        (SECRET, "not UTF-8 \udcff"),
        (SECRET, "not\0sayable"),
        (PATH, "relative"),
    ],
)
def test_argumentOfAnotherKindIsRefused(kind: str, value: object) -> None:
    with pytest.raises(VerbRefused) as caught:
        Argument(name="x", doc="x", kind=kind).read(value)
    assert caught.value.code == "usage"


def test_optionThatIsNotGivenHasItsDefault() -> None:
    assert doThing.settle({"what": "it"}) == {"what": "it", "often": 1}


@pytest.mark.parametrize("words", VERBS)
def test_whatJindictlSendsWhereAnOptionIsNotGivenIsAccepted(words: str) -> None:
    for argument in VERBS[words].arguments:
        if argument.option and argument.default is not None:
            assert argument.read(argument.default) == argument.default, argument.name


def test_missingAndUnknownArgumentsAreRefused() -> None:
    with pytest.raises(VerbRefused):
        doThing.settle({})
    with pytest.raises(VerbRefused, match="no such argument: which"):
        doThing.settle({"what": "it", "which": 1})


def test_verbTakesItsNameAndDocumentationFromTheFunction() -> None:
    assert (doThing.words, doThing.name, doThing.doc) == (("thing", "do"), "doThing", "Do a thing.")


def test_everyVerbIsDocumentedWithAnExampleOfItsOwn() -> None:
    for words, each in VERBS.items():
        assert each.doc, words
        assert each.examples, words
        for example in each.examples:
            assert example.replace("--json ", "").startswith(f"jindictl {words.removesuffix(' list')}"), (
                example
            )


def test_everythingTheIssueNamesIsThere() -> None:
    for noun in ("domain", "user", "alias"):
        for action in ("add", "list", "show", "set", "remove"):
            assert f"{noun} {action}" in VERBS
    assert {"user passwd", "quota", "status", "sessions list", "backup", "check"} <= set(VERBS)


def test_namesInTheManholeAreUnique() -> None:
    assert len({each.name for each in VERBS.values()}) == len(VERBS)
