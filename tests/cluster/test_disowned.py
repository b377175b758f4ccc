"""Whether the array knows this node no more, as other nodes' refusals tell."""

from __future__ import annotations

import pytest

from jindimail.cluster.disowned import UNKNOWN_SECONDS, Disowned

UNKNOWN = ("UNKNOWN_NODE", "UNKNOWN_NODE")
SILENT = ("not reachable", "no answer")
CONNECTED = ()
HALF = ("UNKNOWN_NODE",)


def isDisowned(*troubles: tuple[str, ...]) -> bool:
    """After it was so for long enough."""
    disowned = Disowned()
    assert not disowned.look(troubles, 100.0)
    assert not disowned.look(troubles, 100.0 + UNKNOWN_SECONDS - 0.1)
    return disowned.look(troubles, 100.0 + UNKNOWN_SECONDS)


def test_aNodeThatAllOthersRefuseIsDisowned() -> None:
    assert isDisowned(UNKNOWN, UNKNOWN)


def test_aRemovedNodeFindsOutThoughAnotherCannotBeReached() -> None:
    assert isDisowned(UNKNOWN, SILENT, UNKNOWN)


@pytest.mark.parametrize(
    "troubles",
    [
        (),
        (SILENT,),
        (UNKNOWN, SILENT),
        (UNKNOWN, SILENT, SILENT),
        (UNKNOWN, UNKNOWN, CONNECTED),
        (UNKNOWN, UNKNOWN, HALF),
        (UNKNOWN, ("UNKNOWN_NODE", "connection lost")),
    ],
)
def test_aNodeIsNotDisownedByAHalfNorWhereAnyOtherKnowsIt(troubles: tuple[tuple[str, ...], ...]) -> None:
    assert not isDisowned(*troubles)


def test_whoWasGivenUpKnowsItAtOnceWhoeverElseIsThere() -> None:
    """Two of three that were given up by force, and live after all, are a majority among themselves."""
    given = ("GONE", "GONE")
    assert Disowned().look([given, CONNECTED], 0.0)
    assert Disowned().look([SILENT, given, CONNECTED], 0.0)


def test_whoWasKnownInBetweenIsNotDisownedYet() -> None:
    disowned = Disowned()
    for seconds, troubles in ((0.0, UNKNOWN), (6.0, CONNECTED), (7.0, UNKNOWN), (16.9, UNKNOWN)):
        assert not disowned.look([troubles], seconds)
    assert disowned.look([UNKNOWN], 17.0)
