"""Chromium without a window, driven over two pipes by its DevTools protocol: no network, no driver, no further package."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    *("--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)

LAUNCH = """
import os, sys
pipes = [os.dup(int(number)) for number in sys.argv[1:3]]
for place, pipe in enumerate(pipes, 3):
    os.dup2(pipe, place)
    os.set_inheritable(place, True)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Starts a program that reads what it is told from 3 and writes to 4."""


def found() -> str | None:
    """The path of a Chromium; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """A page of a browser.

    Attributes:
        events: everything that the browser told and was not asked for.
    """

    def __init__(self, reads: int, writes: int, patience: float = 240.0) -> None:
        self.events: list[dict[str, Any]] = []
        self._reads, self._writes, self._patience = reads, writes, patience
        self._heard, self._number, self._session = b"", 0, ""
        os.set_blocking(reads, False)

    def open(self) -> None:
        """Make the page."""
        target = self.say("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.say("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.say(f"{domain}.enable")

    def say(self, method: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401
        """A command and what the browser answers."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writes, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._number:
                assert "error" not in told, (method, told["error"])
                result: dict[str, Any] = told["result"]
                return result
            self.events.append(told)

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + self._patience
        while b"\0" not in self._heard:
            try:
                piece = os.read(self._reads, 1 << 16)
                assert piece, "the browser has gone"
                self._heard += piece
            except BlockingIOError:
                assert time.monotonic() < until, "the browser does not answer"
                time.sleep(0.01)
        message, _, self._heard = self._heard.partition(b"\0")
        told: dict[str, Any] = json.loads(message)
        return told

    def go(self, url: str, width: int = 1280, height: int = 900) -> None:
        """Show a page of this width in CSS pixels."""
        self.say(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        before = len(self.events)
        self.say("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events[before:]):
            self.events.append(self._next())

    def js(self, code: str) -> Any:  # noqa: ANN401 (a value of any shape)
        """What an expression comes to."""
        told = self.say("Runtime.evaluate", expression=code, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def press(self, key: str) -> None:
        """One key: Tab, Enter, Space or ArrowDown."""
        code, text = {"Tab": (9, ""), "Enter": (13, "\r"), "Space": (32, " "), "ArrowDown": (40, "")}[key]
        name = " " if key == "Space" else key
        about = {"key": name, "code": key, "windowsVirtualKeyCode": code}
        self.say("Input.dispatchKeyEvent", type="keyDown", **about, **({"text": text} if text else {}))
        self.say("Input.dispatchKeyEvent", type="keyUp", **about)

    def picture(self, path: Path) -> None:
        """The whole page as PNG."""
        told = self.say("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(told["data"]))


@contextmanager
def browser(program: str) -> Iterator[Page]:
    """A page of a fresh browser, which is ended with the context."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        reads, theirs = os.pipe()
        ours, writes = os.pipe()
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        command = [program, *FLAGS, *sandbox, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, str(ours), str(theirs), *command],
            pass_fds=(ours, theirs),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(ours)
        os.close(theirs)
        try:
            page = Page(reads, writes)
            page.open()
            yield page
        finally:
            process.kill()
            process.wait()
            os.close(reads)
            os.close(writes)
