"""Places for stores on disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import mkdtemp

from twisted.trial.unittest import SkipTest, SynchronousTestCase

_MEMORY = "/dev/shm"  # these tests are not about what a disk does


def temporaryPath(test: SynchronousTestCase) -> Path:
    """A path where nothing is yet, cleared away after the test."""
    place = mkdtemp(prefix="jindimail-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None)
    test.addCleanup(shutil.rmtree, place, ignore_errors=True)
    return Path(place) / "data"


def smallDisk(test: SynchronousTestCase, octets: int) -> Path:
    """A file system of that size of its own, or the test is skipped."""
    place = mkdtemp(prefix="jindimail-")
    test.addCleanup(shutil.rmtree, place, ignore_errors=True)
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={octets},mode=700", "tmpfs", place]
    if subprocess.run(mounting, capture_output=True, check=False).returncode:
        raise SkipTest("a tmpfs cannot be mounted here")
    test.addCleanup(subprocess.run, ["umount", "--lazy", place], check=True)
    return Path(place)
