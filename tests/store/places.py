"""Places for stores on disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase


def temporaryPath(test: SynchronousTestCase) -> Path:
    """A path where nothing is yet, cleared away after the test."""
    place = mkdtemp(prefix="jindimail-")
    test.addCleanup(shutil.rmtree, place, ignore_errors=True)
    return Path(place) / "data"
