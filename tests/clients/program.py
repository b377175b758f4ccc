"""Running a program: in a directory of its own, with nothing of the user's settings, within a time."""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import struct
import subprocess
import termios
from collections.abc import Mapping
from pathlib import Path
from threading import Timer

SECONDS_MAX = 120  # a bound for what hangs; the slowest takes 5 s on a quiet machine


class ProgramFailed(AssertionError):
    """The program is missing, failed or took too long; the text holds what it said."""


def run(
    *argv: str | Path, home: Path, input: bytes | None = None, environment: Mapping[str, str] | None = None
) -> bytes:
    """
    Run a program with `home` as its home; what it wrote to its standard output.

    @raise ProgramFailed: it is not installed, exits with another code than 0, or takes too long.
    """
    words = [str(word) for word in argv]
    program = _found(words[0])
    try:
        done = subprocess.run(
            [program, *words[1:]],
            cwd=home,
            env={**_environment(home), **(environment or {})},
            input=input,
            stdin=None if input is not None else subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise ProgramFailed(f"{words[0]}: not within {SECONDS_MAX} s\n{late.stderr!r}") from None
    if done.returncode != 0:
        said = (done.stdout[-2000:] + done.stderr[-2000:]).decode(errors="replace")
        raise ProgramFailed(f"{' '.join(words)}: exit {done.returncode}\n{said}")
    return done.stdout


def _found(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise ProgramFailed(f"{name} is not installed: run tests/support/packages.sh client")
    return path


def _environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}


def runOnTerminal(*argv: str | Path, home: Path) -> None:
    """
    Run a program that wants a terminal on a pseudo-terminal of its own.

    @raise ProgramFailed: as `run`.
    """
    near, far = pty.openpty()
    try:
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        process = subprocess.Popen(
            [_found(str(argv[0])), *map(str, argv[1:])],
            cwd=home,
            env={**_environment(home), "TERM": "xterm"},
            stdin=far,
            stdout=far,
            stderr=far,
            start_new_session=True,
        )
    finally:
        os.close(far)
    screen = _drained(near, process)
    if process.wait() != 0:
        raise ProgramFailed(f"{argv[0]}: exit {process.returncode}\n{screen[-2000:]!r}")


def _drained(near: int, process: subprocess.Popen[bytes]) -> bytes:
    """What the program writes to its terminal, until it closes it."""
    late = Timer(SECONDS_MAX, process.kill)
    late.start()
    screen = b""
    try:
        while octets := os.read(near, 65536):
            screen = (screen + octets)[-65536:]
    except OSError:  # the other end is closed
        pass
    finally:
        late.cancel()
        os.close(near)
    return screen


def write(path: Path, text: str) -> Path:
    """A settings file that only its owner may read."""
    path.write_text(text)
    path.chmod(0o600)
    return path
