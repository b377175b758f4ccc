"""Fixtures: a short-named directory (UNIX socket paths are at most 107 octets), nodes that end with their test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.shim import Shim, Sync
from tests.support.node import NodeProcess


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="jn-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def node(place: Path) -> Iterator[NodeProcess]:
    """A founded node, not started, under no shim."""
    process = NodeProcess(place)
    process.found()
    yield process
    process.close()
    print(process.log()[-6000:])  # seen when the test failed


@pytest.fixture
def shimmed(place: Path) -> Iterator[tuple[NodeProcess, Shim]]:
    """A founded node, not started, whose disk is the shim's."""
    process = NodeProcess(place)
    process.found()
    shim = Shim(process.data, place / "shim")
    process.environment = shim.environment()
    yield process, shim
    shim.syncs(Sync.REAL)
    process.close()
    print(process.log()[-6000:])  # seen when the test failed
