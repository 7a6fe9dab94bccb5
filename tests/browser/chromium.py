"""Headless Chromium over its DevTools pipe: no package, no port, no network."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 60.0


def found() -> str | None:
    """Where Chromium is, None where it is not."""
    return next(filter(None, map(shutil.which, COMMANDS)), None)


class Chromium:
    """A browser; every page it opens tells what went wrong in it."""

    def __init__(self, program: str, profile: Path):
        to_child, self.writer = os.pipe()
        self.reader, from_child = os.pipe()
        # Chromium reads 3 and writes 4: ours are moved out of their way first.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_child, from_child)]

        def place():
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self.process = subprocess.Popen(
            [
                program,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--no-first-run",
                f"--user-data-dir={profile}",
                "--remote-debugging-pipe",
                "about:blank",
            ],
            preexec_fn=place,
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (to_child, from_child, *ends):
            os.close(end)
        self.number, self.events, self.rest = 0, [], b""

    def close(self):
        """End the browser and wait for it."""
        try:
            self.call("Browser.close")
            self.process.wait(10)
        except (OSError, TimeoutError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self.writer)
        os.close(self.reader)

    def call(self, method, session=None, **parameters):
        """Send a command, return its result; events meanwhile are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.writer, json.dumps(message).encode() + b"\0")
        answer = self.until(lambda m: m.get("id") == self.number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def until(self, wanted):
        """Read messages until one is wanted."""
        end = time.monotonic() + PATIENCE
        while True:
            while b"\0" in self.rest:
                raw, self.rest = self.rest.split(b"\0", 1)
                message = json.loads(raw)
                self.events.append(message)
                if wanted(message):
                    return message
            ready, _, _ = select.select([self.reader], [], [], end - time.monotonic())
            if not ready:
                raise TimeoutError("Chromium does not answer")
            block = os.read(self.reader, 1 << 20)
            if not block:
                raise OSError("Chromium has ended")
            self.rest += block


class Page:
    """A file opened at a width, in light or dark."""

    def __init__(self, browser: Chromium, path: Path, width: int, scheme: str):
        self.browser, self.url, self.width = browser, path.resolve().as_uri(), width
        browser.events.clear()
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.call("Target.attachToTarget", targetId=target, flatten=True)
        self.target, self.session = target, attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.call("Page.navigate", url=self.url)
        browser.until(lambda m: m.get("method") == "Page.loadEventFired")

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def evaluate(self, expression):
        """The value of an expression of JavaScript."""
        done = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def complaints(self):
        """Errors of the console, exceptions, and whatever else the browser objects to."""
        said = []
        for event in self.browser.events:
            name, what = event.get("method"), event.get("params", {})
            if name == "Runtime.exceptionThrown":
                said.append(what["exceptionDetails"])
            elif name == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning"):
                said.append(what["args"])
            elif name == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
                said.append(what["entry"])
        return said

    def requests(self):
        """Everything that was fetched besides the page and what it holds itself."""
        urls = [
            event["params"]["request"]["url"]
            for event in self.browser.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
        assert self.url in urls, "the browser does not tell what it fetches"
        return [url for url in urls if url != self.url and not url.startswith("data:")]

    def screenshot(self):
        """The whole page as PNG, base64."""
        return self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)


if __name__ == "__main__":  # is there a browser?
    sys.exit(found() is None)
