"""The other end of the control socket, blocking: what jindictl and scripts ask a running node with."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

ANSWER_OCTETS_MAX = 64 << 20
SILENT_SECONDS = 10.0  # a node at work says so every other second (control.py), whatever it is asked

Progress = Callable[[int, int, str], None]  # done, total, what


class NotReachable(Exception):
    """No node listens on the control socket, or it went away before it answered."""


class Silent(NotReachable):
    """A node is there, and says nothing: it hangs, or its machine does."""


class Refused(Exception):
    """The node answered with an error."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class ControlClient:
    """One connection to a node's control socket."""

    def __init__(self, path: str, *, timeoutSeconds: float = SILENT_SECONDS) -> None:
        self._path = path
        self._seconds = timeoutSeconds
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeoutSeconds)
        try:
            self._socket.connect(path)
        except (TimeoutError, BlockingIOError) as problem:  # it takes no more connections
            self._socket.close()
            raise self._silent() from problem
        except OSError as problem:
            self._socket.close()
            raise NotReachable(f"{path}: {problem.strerror or problem}") from problem
        self._reader = self._socket.makefile("rb")

    def ask(self, verb: str, arguments: dict[str, object], progress: Progress | None = None) -> Any:
        """
        The result of a verb; `progress(done, total, what)` is called meanwhile.

        @raise Refused: the node says no.
        @raise NotReachable: it is gone.
        @raise Silent: it says nothing.
        """
        request = json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n"
        try:
            self._socket.sendall(request)
            while True:
                answer = self._line()
                if "progress" not in answer:
                    break
                if progress is not None:
                    step = answer["progress"]
                    progress(step["done"], step["total"], step["what"])
        except TimeoutError as problem:
            raise self._silent() from problem
        except (OSError, ValueError) as problem:
            raise NotReachable(f"the node did not answer: {problem}") from problem
        if "error" in answer:
            raise Refused(answer["error"]["code"], answer["error"]["text"])
        return answer["result"]

    def _silent(self) -> Silent:
        return Silent(f"{self._path}: the node has said nothing for {self._seconds:.0f} s")

    def _line(self) -> dict[str, Any]:
        line = self._reader.readline(ANSWER_OCTETS_MAX)
        if not line.endswith(b"\n"):
            raise NotReachable("the node closed the connection before it answered")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Hang up."""
        self._reader.close()
        self._socket.close()
