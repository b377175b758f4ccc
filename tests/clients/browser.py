"""A headless Chromium, led over its debugging pipe (Chrome DevTools Protocol: messages of JSON, each ended by NUL)."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from base64 import b64decode
from pathlib import Path
from typing import Any

PROGRAM = "chromium"
PATIENCE_SECONDS = 60.0  # an array on a busy machine
ANSWER_OCTETS_MAX = 64 << 20


class BrowserFailed(Exception):
    """The browser ended, refused, or took too long."""


class Browser:
    """One browser with one page. Certificates are not checked: the nodes' are their own."""

    def __init__(self, width: int = 1280, height: int = 1000) -> None:
        self._directory = tempfile.mkdtemp(prefix="jn-browser-")
        toBrowser, self._write = os.pipe()
        self._read, fromBrowser = os.pipe()
        self._number = 0
        self._buffer = b""
        self._session = ""
        self.messages: list[str] = []  # what pages complain of: policy violations, errors of scripts
        arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--ignore-certificate-errors",
            "--remote-debugging-pipe",
            f"--user-data-dir={self._directory}",
            f"--window-size={width},{height}",
            "about:blank",
        ]
        # The pipe's ends are 3 and 4 in the browser.
        shell = f'exec 3<&{toBrowser} 4>&{fromBrowser}; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, PROGRAM, PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(toBrowser, fromBrowser),
        )
        os.close(toBrowser)
        os.close(fromBrowser)
        target = self._page()
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def _page(self) -> str:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for target in self.ask("Target.getTargets")["targetInfos"]:
                if target["type"] == "page":
                    return str(target["targetId"])
            select.select([], [], [], 0.05)
        raise BrowserFailed("no page")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)
        shutil.rmtree(self._directory, ignore_errors=True)

    # --- what it is told

    def ask(self, method: str, **parameters: Any) -> Any:
        """A command's result."""
        self._number += 1
        request: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            request["sessionId"] = self._session
        os.write(self._write, json.dumps(request).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            message = self._next(deadline)
            if message.get("id") == self._number:
                if "error" in message:
                    raise BrowserFailed(f"{method}: {message['error']}")
                return message["result"]
            self._note(message)

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            octets = os.read(self._read, 1 << 16) if ready else b""
            if not octets or len(self._buffer) > ANSWER_OCTETS_MAX:
                raise BrowserFailed("no answer in time" if not ready else "the browser ended")
            self._buffer += octets
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        if message.get("method") == "Log.entryAdded":
            self.messages.append(parameters["entry"]["text"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.messages.append(json.dumps(parameters["exceptionDetails"]))

    def open(self, address: str) -> None:
        """Load a page, to its end."""
        problem = self.ask("Page.navigate", url=address).get("errorText")
        if problem:
            raise BrowserFailed(f"{address}: {problem}")
        self.until("document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        """What a JavaScript expression comes to on the page."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserFailed(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true on the page, whatever page that is by then."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                if self.value(expression):
                    return
            except BrowserFailed:  # between two pages
                pass
            select.select([], [], [], 0.05)
        raise BrowserFailed(f"never true: {expression}")

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.ask("Input.insertText", text=text)

    def press(self, key: str, code: int) -> None:
        """Press a key: `Tab` 9, `Enter` 13."""
        text = {"Enter": "\r"}.get(key, "")
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **common)

    def prefer(self, scheme: str) -> None:
        """Light or dark."""
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def shape(self, width: int, height: int) -> None:
        """Another size of the window."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def withoutScripts(self, isOff: bool) -> None:
        """Scripts of pages do not run."""
        self.ask("Emulation.setScriptExecutionDisabled", value=isOff)

    def picture(self, path: Path) -> None:
        """The whole page as a PNG."""
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(b64decode(shot["data"]))
