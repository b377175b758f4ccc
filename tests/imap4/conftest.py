"""Nothing that fails may go unheard: an error nobody takes up fails the test that left it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.logger import LogLevel, globalLogPublisher


@pytest.fixture(autouse=True)
def _noErrorUnheard(request: pytest.FixtureRequest) -> Iterator[None]:
    errors: list[Any] = []

    def listen(event: Any) -> None:
        if event.get("log_level") is LogLevel.critical:
            errors.append(event.get("log_failure") or event.get("log_format"))

    globalLogPublisher.addObserver(listen)
    yield
    gc.collect(0)
    globalLogPublisher.removeObserver(listen)
    assert not errors or request.node.name.startswith("test_stockBreaks")
