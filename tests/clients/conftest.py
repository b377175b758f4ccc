"""One node for all programs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.server import Server


@pytest.fixture(scope="package")
def server() -> Iterator[Server]:
    """A node's process, ended well afterwards."""
    running = Server()
    try:
        running.start()
        yield running
    finally:
        running.close()
