"""A directory that several users may enter, a certificate in it, and a process that stands in a meter's group."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path


class NotReady(Exception):
    """A server did not do in time what it was started for; the text says which and shows its log."""


class Scratch:
    """A short-named directory (UNIX socket paths are at most 107 octets) that `remove` deletes."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="jb-"))
        self.path.chmod(0o755)

    def write(self, name: str, text: str) -> Path:
        """Make the file `name` under the directory."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def folder(self, name: str, uid: int = 0, gid: int = 0, mode: int = 0o755) -> Path:
        """Make a directory that belongs to `uid`."""
        path = self.path / name
        path.mkdir()
        os.chown(path, uid, gid)
        path.chmod(mode)
        return path

    def certificate(self) -> tuple[Path, Path]:
        """A self-signed P-256 certificate and its key; all targets use the same kind."""
        certificate, key = self.path / "cert.pem", self.path / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
            + ["-days", "30", "-subj", "/CN=bench.test", "-addext", "subjectAltName=DNS:bench.test"]
            + ["-keyout", str(key), "-out", str(certificate)],
            check=True,
            capture_output=True,
        )
        return certificate, key

    def remove(self) -> None:
        """Delete the directory and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def waitUntil(
    isSo: Callable[[], bool], what: str, deadlineSeconds: float, pauseSeconds: float = 0.02
) -> None:
    """Look again and again; `NotReady` after the deadline."""
    until = time.monotonic() + deadlineSeconds
    while not isSo():
        if time.monotonic() > until:
            raise NotReady(f"not within {deadlineSeconds:g} s: {what}")
        time.sleep(pauseSeconds)
