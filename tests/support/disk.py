"""A small disk of its own for one node's data."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

_DISK_MEGABYTES = 512  # a tenth of it lasts longer than the second in which the node looks again


class SmallDisk:
    """A tmpfs of its own, which can be filled by a file and made larger."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MEGABYTES}m", "tmpfs", str(path)], check=True
        )

    def fill(self, leaveOctets: int) -> None:
        """Let a file take all room but `leaveOctets`; others may write meanwhile."""
        with (self.path / "ballast").open("ab") as file:
            taken = 0
            while (free := self.freeOctets() - leaveOctets) >= 4096:
                step = min(free, max(4096, free // 2))
                with contextlib.suppress(OSError):
                    os.posix_fallocate(file.fileno(), taken, step)
                    taken += step

    def freeOctets(self) -> int:
        """What is free now."""
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize

    def relieve(self) -> None:
        """Remove that file."""
        (self.path / "ballast").unlink()

    def close(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", "-l", str(self.path)], check=True)
