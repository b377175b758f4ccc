"""What an array lives through while mail flows: witnesses made and unmade, …

The tests of this file share an array and run in their order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from bench.target import isListening
from jindimail.model import BUCKET_COUNT
from tests.chaos.scene import Scene, sharedScene
from tests.support.node import HOST

NAMES = ("node1", "node2", "node3")
ACCOUNTS = 9


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with sharedScene(NAMES, ACCOUNTS) as made:
        yield made


@pytest.fixture(autouse=True)
def whole(scene: Scene) -> Iterator[None]:
    """Each test begins with an array that is whole, and heals what it broke."""
    yield
    scene.heal()


def test_aNodeBecomesAWitnessAndServesAgainWhileItRuns(scene: Scene) -> None:
    array, witness = scene.array, "node3"
    array.ctl("node2", "cluster", "weight", witness, "0", "--json")
    scene.until(lambda: not isServing(scene, witness), "the witness refuses clients")
    scene.until(lambda: array.ask(witness, "status")["state"] == "witness", "it says what it is")
    scene.until(lambda: witnesses(scene) == {witness}, "it is a witness of every bucket")
    scene.until(lambda: array.ask("node1", "cluster status")["isWhole"], "the array is whole with a witness")
    for account in scene.accounts:
        scene.deliver("node1", account)
    scene.until(lambda: not array.ask(witness, "status")["groups"]["leading"], "others lead")

    array.kill("node1")  # one of the two that have mail; the other and the witness are a majority
    for account in scene.accounts:
        scene.deliver("node2", account)
        scene.read("node2", account)
    array.start("node1")

    array.ctl("node1", "cluster", "weight", witness, "100", "--json")
    scene.until(lambda: isServing(scene, witness), "it serves clients")
    scene.until(lambda: not witnesses(scene), "it is a full member of every bucket")
    scene.until(lambda: array.ask(witness, "status")["groups"]["leading"], "it leads again")
    scene.requireWhole()
    scene.until(lambda: array.ask("node1", "cluster status")["isWhole"], "the array is whole")


def witnesses(scene: Scene) -> set[str] | None:
    """The nodes that are witnesses of all buckets; None: there are some that are of a few."""
    found: Counter[int] = Counter()
    for row in scene.array.groups("node1").values():
        found.update(node for _, node, _, isWitness in row["members"] if isWitness and row["group"])
    return {f"node{node}" for node in found} if set(found.values()) <= {BUCKET_COUNT} else None


def isServing(scene: Scene, name: str) -> bool:
    """Whether a node takes clients' connections."""
    with scene.array.inside(name):
        return isListening(HOST, scene.array.port(name, "smtp"))
