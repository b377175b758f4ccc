"""How loaded nodes are, and where new bodies go by it."""

from __future__ import annotations

from collections import Counter
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jindimail.cluster.arrayrecords import UP, WishRecord
from jindimail.cluster.load import (
    FRESH_SECONDS,
    SHED_SECONDS,
    STUCK_PART,
    TAKE_BACK_SECONDS,
    LeaderShares,
    Loads,
    Measures,
    Report,
    atOnce,
    decodeReports,
    encodeReports,
)
from jindimail.cluster.planner import PlannedNode, plan
from jindimail.cluster.spill import apart, candidates, homeOf, spreadOf
from tests.cluster.mail import MailWorld


def report(node: int, load: float = 0.0, **fields: float) -> Report:
    return Report(node=node, stamp=1, load=load, **fields)  # type: ignore[arg-type]


def test_aLoadIsWhateverIsScarcestAndSmoothed() -> None:
    measures = Measures()
    measures.add(cpu=1.0, waited=0.0, lagSeconds=0.0, commitSeconds=0.0, queue=0)
    assert 0.1 < measures.load < 0.3
    for _ in range(30):
        measures.add(cpu=0.1, waited=0.0, lagSeconds=0.0, commitSeconds=0.4, queue=10)
    assert measures.load > 0.95


def test_onlyNewerReportsAreTakenAndOldOnesSayNothing() -> None:
    loads = Loads()
    loads.take([Report(node=1, stamp=5, load=0.5)], 10.0)
    loads.take([Report(node=1, stamp=4, load=0.9)], 11.0)
    assert loads.fresh(12.0)[1].load == 0.5
    assert not loads.fresh(10.1 + FRESH_SECONDS)
    loads.keepOnly([2])
    assert not loads.all()


def test_aNodeThatWasStartedAgainWithItsClockSetBackIsHeardAgain() -> None:
    loads = Loads()
    loads.take([Report(node=1, stamp=3_600_000, load=0.5)], 10.0)
    loads.take([Report(node=1, stamp=1, load=0.9)], 10.1 + FRESH_SECONDS)
    assert loads.fresh(10.2 + FRESH_SECONDS)[1].load == 0.9


def test_reportsTravelInMessagesOfABoundedSize() -> None:
    every = [report(node, 0.25) for node in range(1, 451)]
    messages = encodeReports(every)
    assert len(messages) == 3 and max(map(len, messages)) < 64 * 1024
    assert [each for octets in messages for each in decodeReports(octets)] == every


def test_aNodeAboveTheOthersLeadsLessAfterAWhileAndMoreAgainMuchLater() -> None:
    shares = LeaderShares()
    hot = {1: report(1, 0.9), 2: report(2, 0.2), 3: report(3, 0.2)}
    shares.look(hot, 0.0)
    shares.look(hot, SHED_SECONDS - 1)
    assert shares.of(1) == 1.0
    shares.look(hot, SHED_SECONDS)
    assert shares.of(1) == 0.75 and shares.of(2) == 1.0
    calm = {node: report(node, 0.2) for node in hot}
    shares.look(calm, 100.0)
    shares.look(calm, 99.0 + TAKE_BACK_SECONDS)
    assert shares.of(1) == 0.75
    shares.look(calm, 100.0 + TAKE_BACK_SECONDS)
    assert shares.of(1) == 1.0


def leadingFor(seconds: int, shares: LeaderShares, leads: float, begins: int = 0) -> list[float]:
    """The shares of a node that half as much work loads as much as the two others, as they change in so many seconds in which all have so much to lead."""
    seen = [shares.of(1)]
    for second in range(begins, begins + seconds):
        mine, theirs = (part / (seen[-1] + 2) for part in (seen[-1], 1.0))
        loads = {1: 0.1 + leads * mine, 2: 0.1 + leads / 2 * theirs, 3: 0.1 + leads / 2 * theirs}
        shares.look({node: report(node, load) for node, load in loads.items()}, float(second))
        if shares.of(1) != seen[-1]:
            seen.append(shares.of(1))
    return seen


def test_whatWasGivenBackTooOftenIsGivenBackLater() -> None:
    shares = LeaderShares()
    assert len(leadingFor(3600, shares, 3.0)) < 14
    assert len(leadingFor(3600, shares, 3.0, begins=3600)) < 6
    assert leadingFor(3 * 3600, shares, 0.3, begins=2 * 3600)[-1] == 1.0
    assert leadingFor(200, shares, 3.0, begins=5 * 3600)[-2:] == [0.75 * 0.75, 0.75]


@pytest.mark.parametrize("fields", [{"freeLevel": 0}, {"commitSeconds": 1.0, "load": 2.5}])
def test_aFullOrStuckDiskLeadsNothingUntilItHasBeenWellForAWhile(fields: dict[str, float]) -> None:
    shares = LeaderShares()
    assert shares.of(1) == 1.0
    sound = {2: report(2, 0.1), 3: report(3, 0.1)}
    shares.look(sound | {1: report(1, **fields)}, 0.0)
    assert shares.of(1) == 0.0 and shares.of(2) == 1.0
    shares.look(sound, 10.0)
    assert shares.of(1) == 0.0, "who is not heard of has not said that it is well"
    shares.look(sound | {1: report(1, 0.3)}, 20.0)
    shares.look(sound | {1: report(1, 0.3)}, 19.0 + STUCK_PART * TAKE_BACK_SECONDS)
    assert shares.of(1) == 0.0
    shares.look(sound | {1: report(1, 0.3)}, 20.0 + STUCK_PART * TAKE_BACK_SECONDS)
    assert shares.of(1) == 1.0


def test_aDiskThatIsStuckNowAndThenGetsItsGroupsBackLaterEachTime() -> None:
    shares, chance, measures = LeaderShares(), Random(1), Measures()
    seen = [1.0]
    for second in range(4 * 3600):
        isBusy = second % 300 < 60
        age = chance.uniform(0.0, 0.8) if isBusy else 0.0
        measures.add(cpu=0.1, waited=0.0, lagSeconds=0.0, commitSeconds=age, queue=0)
        mine = report(1, measures.load, commitSeconds=measures.commitSeconds)
        shares.look({1: mine, 2: report(2, 0.1), 3: report(3, 0.1)}, float(second))
        if (shares.of(1) == 0.0) != (seen[-1] == 0.0):
            seen.append(shares.of(1))
    assert len(seen) < 12


def starved(node: int, *others: int) -> dict[int, Report]:
    """One that may take a twentieth of a processor, and takes it; the others have what they want."""
    reports = {other: report(other, 0.2, cpu=0.2, waited=0.05) for other in others}
    return reports | {node: report(node, 0.15, cpu=0.05, waited=0.9)}


def test_whoGetsTooLittleOfTheProcessorLeadsLessThanWhoDoesNotWaitForIt() -> None:
    shares = LeaderShares()
    for second in range(int(SHED_SECONDS) + 2):
        shares.look(starved(1, 2, 3), float(second))
    assert shares.of(1) < 1.0 == shares.of(2) == shares.of(3)


def test_whereAllWaitForTheProcessorAlikeNobodyLeadsLess() -> None:
    shares = LeaderShares()
    for second in range(int(SHED_SECONDS) + 2):
        shares.look({node: report(node, 0.3, cpu=0.3, waited=0.6) for node in (1, 2, 3)}, float(second))
    assert shares.of(1) == shares.of(2) == shares.of(3) == 1.0


def test_bodiesSpillFromWhoGetsTooLittleOfTheProcessor() -> None:
    assert chosen(starved(1, 2, 3, 4))[0] == 2 and 1 in chosen(starved(1, 2, 3, 4))[2:]


def chosen(
    reports: dict[int, Report], home: tuple[int, ...] = (1, 2), spread: tuple[int, ...] = (3, 4)
) -> tuple[int, ...]:
    return candidates(home, spread, reports, {}, Random(1).randint)


def test_homeComesFirstInItsOrder() -> None:
    assert chosen({node: report(node, 0.3) for node in (1, 2, 3, 4)}) == (1, 2, 3, 4)


def test_whatFailsTogetherComesAfterWhatDoesNot() -> None:
    hosts = {1: "a", 2: "a", 3: "b", 4: "a", 5: "c"}
    assert apart((1, 2, 3, 4, 5), hosts.__getitem__) == (1, 3, 5, 2, 4)
    assert apart((1, 2, 3, 5), hosts.__getitem__, (4,)) == (3, 5, 1, 2)
    assert apart((4, 3, 2, 1), str) == (4, 3, 2, 1)


def test_aLoadedHomeSpillsToTheBetterOfTwo() -> None:
    reports = {1: report(1, 0.9), 2: report(2, 0.1), 3: report(3, 0.3), 4: report(4, 0.2)}
    assert chosen(reports) == (2, 4, 1, 3)


def test_aNearlyFullHomeSpills() -> None:
    reports = {node: report(node, freeShare=0.1 if node == 1 else 0.9) for node in (1, 2, 3, 4)}
    assert chosen(reports)[0] == 2 and chosen(reports)[1] in (3, 4) and 1 in chosen(reports)[2:]


def test_whoHasNoRoomIsNoCandidate() -> None:
    reports = {node: report(node, freeLevel=1 if node in (1, 4) else 2) for node in (1, 2, 3, 4)}
    assert chosen(reports) == (2, 3)


def test_whereNobodyHasRoomHomeIsAskedAllTheSame() -> None:
    assert chosen({node: report(node, freeLevel=0) for node in (1, 2, 3, 4)}) == (1, 2)


def test_wherePlansAreMadeBodiesAreSpreadEvenlyAmongAllNodesThatMailComesInAt() -> None:
    nodes = dict[int, PlannedNode]()
    wishes = dict[int, WishRecord]()
    for number in (1, 2, 3, 4, 5):
        nodes[number] = PlannedNode(weight=100, host=str(number), state=UP)
        while changes := plan(nodes, wishes, range(257), replicas=3):
            wishes |= changes
        kept = Counter[int]()
        for bucket, ingress in product(range(256), nodes):
            home = wishes[bucket + 1].voters
            kept.update(homeOf(bucket, home, (home[0], ingress))[:2])
        assert number < 3 or max(kept.values()) < 1.2 * min(kept.values())


def test_everybodyKnowsTheSameSpread() -> None:
    assert spreadOf(7, [3, 4, 5, 6], 2) == spreadOf(7, [6, 5, 4, 3], 2)
    assert len({spreadOf(bucket, range(10), 2) for bucket in range(50)}) > 20
    assert spreadOf(7, [3], 2) == (3,)


def test_theBusierTheArrayTheLessIsDoneAtATimeOfWhatCanWait() -> None:
    assert [atOnce(load, 64, 2) for load in (0.0, 0.15, 0.3, 0.45, 0.6, 2.0)] == [64, 48, 32, 16, 2, 2]


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(1, 9), max_size=4, unique=True),
    st.dictionaries(
        st.integers(1, 9),
        st.builds(
            report, st.just(1), st.floats(0, 2), freeShare=st.floats(0, 1), freeLevel=st.integers(0, 2)
        ),
    ),
    st.integers(),
)
def test_nobodyIsACandidateTwiceAndSomebodyAlwaysIs(
    home: list[int], spread: list[int], reports: dict[int, Report], seed: int
) -> None:
    found = candidates(home, spread, reports, {}, Random(seed).randint)
    assert found and len(set(found)) == len(found) and set(found) <= {*home, *spread}


def test_theLagThatANodeTellsOfIsTheOneThatItsTicksMeasure() -> None:
    world = MailWorld()
    share = world.shares[1]
    share.gossip.start()
    world.run(3.0)
    before = share.gossip.fresh()[1].lagSeconds
    share.groups.lagSeconds.observe(20.0)
    world.run(1.5)
    assert before < 0.01 < share.gossip.fresh()[1].lagSeconds
