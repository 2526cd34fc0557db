"""A browser that tests type into: Chromium's DevTools protocol through a pipe, without a socket."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.browser import BROWSER, FLAGS

__all__ = ["Chromium", "Page", "chromium"]

# The browser reads its file 3 and writes its file 4.
PIPED = 'exec "$@" 3<&0 4>&1 0</dev/null 1>&2'
SECONDS = 20
# No network but this machine; of two such flags the last one counts.
LOCAL = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
# name: (code, key code, what it types)
KEYS = {
    "Enter": ("Enter", 13, "\r"),
    "Tab": ("Tab", 9, ""),
    "Escape": ("Escape", 27, ""),
    " ": ("Space", 32, " "),
    "End": ("End", 35, ""),
    "Home": ("Home", 36, ""),
    "ArrowLeft": ("ArrowLeft", 37, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
    "ArrowRight": ("ArrowRight", 39, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
}
MODIFIERS = {"Alt": 1, "Control": 2, "Meta": 4, "Shift": 8}
# Looks once a frame: what is waited for may be a property, which no observer tells of.
UNTIL = """new Promise((resolve, reject) => {
  const end = performance.now() + %d;
  const look = () => {
    let found;
    try { found = %s; } catch (error) { found = false; }
    if (found) resolve(found);
    else if (performance.now() > end) reject(new Error("waited in vain"));
    else requestAnimationFrame(look);
  };
  look();
})"""


class Chromium:
    """A running browser."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._number = 0
        self._tab: Page | None = None
        self.events: deque[dict[str, Any]] = deque()

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Ask for something and wait for the answer; events before it are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        while True:
            answer = self._read()
            if answer.get("id") != self._number:
                self.events.append(answer)
                continue
            assert "error" not in answer, f"{method}: {answer['error']}"
            result: dict[str, Any] = answer["result"]
            return result

    @contextmanager
    def page(self, url: str, width: int = 1250, height: int = 900) -> Iterator[Page]:
        """Go to a page, in the one tab that there is: another process for each takes a second."""
        if self._tab is None:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            session = self.call("Target.attachToTarget", targetId=target, flatten=True)
            self._tab = Page(self, session["sessionId"])
            for domain in ("Page", "Runtime", "Log"):
                self._tab.call(f"{domain}.enable")
        self._tab.resize(width, height)
        self._tab.prefer()
        self.events.clear()
        self._tab.go(url)
        try:
            yield self._tab
        finally:
            self._tab.go("about:blank")

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        message = bytearray()
        while (byte := self._process.stdout.read(1)) != b"\0":
            assert byte, "the browser is gone"
            message += byte
        read: dict[str, Any] = json.loads(message)
        return read


class Page:
    """A page of a browser."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser = browser
        self._session = session

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the page for something."""
        return self._browser.call(method, self._session, **params)

    def go(self, url: str) -> None:
        """Leave for another page, and wait until it is there with all that it loads."""
        self.call("Page.navigate", url=url)
        self.until(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def run(self, expression: str) -> Any:
        """The value of JavaScript; of a promise what it promises."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, f"{expression}\n{answer}"
        return answer["result"].get("value")

    def until(self, expression: str) -> Any:
        """Wait until JavaScript is true; where it throws it is not yet."""
        return self.run(UNTIL % (SECONDS * 1000, expression))

    def text(self, selector: str) -> str:
        """What an element shows."""
        found: str = self.run(f"document.querySelector({json.dumps(selector)}).innerText")
        return found

    def texts(self, selector: str) -> list[str]:
        """What all such elements hold."""
        query = f"document.querySelectorAll({json.dumps(selector)})"
        found: list[str] = self.run(f"[...{query}].map(node => node.textContent)")
        return found

    def press(self, keys: str) -> None:
        """Press a key, such as ``"Tab"`` or ``"Control+Enter"``."""
        *held, key = keys.split("+")
        code, number, typed = KEYS[key]
        common = {
            "key": key,
            "code": code,
            "windowsVirtualKeyCode": number,
            "modifiers": sum(MODIFIERS[name] for name in held),
        }
        down = {"type": "keyDown", "text": typed} if typed else {"type": "rawKeyDown"}
        self.call("Input.dispatchKeyEvent", **common, **down)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        """Insert text where the focus is, as a paste does."""
        self.call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click on the middle of an element, or on what lies over it."""
        x, y = self.run(
            f"(() => {{ const node = document.querySelector({json.dumps(selector)}); "
            "node.scrollIntoView({block: 'center'}); const box = node.getBoundingClientRect(); "
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def resize(self, width: int, height: int) -> None:
        """Give the window a size, also one below the least of real windows."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def prefer(self, **features: str) -> None:
        """Media features, such as ``prefers_color_scheme="dark"``."""
        chosen = [{"name": k.replace("_", "-"), "value": v} for k, v in features.items()]
        self.call("Emulation.setEmulatedMedia", features=chosen)

    def shoot(self, path: Path) -> None:
        """A picture of what can be seen."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def complaints(self) -> list[str]:
        """Errors and warnings that the page has logged, and exceptions that nobody caught."""
        self.run("0")  # what was logged before has come
        found = []
        for event in self._browser.events:
            if event.get("sessionId") != self._session:
                continue
            told = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(told["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded" and told["entry"]["level"] != "verbose":
                found.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
            elif event["method"] == "Runtime.consoleAPICalled" and told["type"] != "log":
                found.append(str(told["args"]))
        return found


@contextmanager
def chromium(profile: Path) -> Iterator[Chromium]:
    """Start a browser, and end it.

    Args:
        profile: A folder for the browser's own files.
    """
    assert BROWSER is not None
    process = subprocess.Popen(
        [
            *("sh", "-c", PIPED, "sh", BROWSER, *FLAGS, f"--user-data-dir={profile}"),
            *(LOCAL, "--remote-debugging-pipe", "about:blank"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    # A browser that hangs would hang the tests: reading from it has no timeout.
    alarm = threading.Timer(300, process.kill)
    alarm.start()
    try:
        browser = Chromium(process)
        yield browser
        browser.call("Browser.close")
        process.wait(10)
    finally:
        alarm.cancel()
        process.kill()
        process.wait()
