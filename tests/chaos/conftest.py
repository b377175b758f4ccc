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
    """Makes arrays, not founded yet: in namespaces where this process may make them, else on loopback."""
    made: list[RealArray] = []

    def make(names: list[str]) -> RealArray:
        isFree = mayMakeNamespaces()
        network = Namespaces(names) if isFree else Loopback()
        array = RealArray(Path(tempfile.mkdtemp(prefix="jn-")), network, hasSmallDisks=isFree)
        made.append(array)
        return array

    yield make
    for array in made:
        print(array.log())  # seen when the test failed
        array.close()
        array.network.close()
        shutil.rmtree(array.directory, ignore_errors=True)
