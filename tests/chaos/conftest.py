"""Fixtures: arrays of real processes that end with their test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.array import RealArray
from tests.chaos.network import Loopback, Namespaces, mayMakeNamespaces

MakeArray = Callable[..., RealArray]


@pytest.fixture
def makeArray() -> Iterator[MakeArray]:
    """Makes arrays: `makeArray(names, onLoopback=False)`; not founded yet."""
    made: list[RealArray] = []

    def make(names: list[str], *, onLoopback: bool = False) -> RealArray:
        if not onLoopback and not mayMakeNamespaces():
            pytest.skip("only root can make network namespaces")
        directory = Path(tempfile.mkdtemp(prefix="jn-"))
        network = Loopback() if onLoopback else Namespaces(names)
        array = RealArray(directory, network, hasSmallDisks=not onLoopback)
        made.append(array)
        return array

    yield make
    for array in made:
        print(array.log())  # seen when the test failed
        array.close()
        array.network.close()
        shutil.rmtree(array.directory, ignore_errors=True)
