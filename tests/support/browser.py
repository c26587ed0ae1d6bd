"""A real Chromium, driven over a pipe by its DevTools protocol."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Chromium reads from descriptor 3 and writes to 4 (--remote-debugging-pipe).
LIMIT = 60.0


class Browser:
    """One tab of a browser.

    Attributes:
        asked: the URLs that it asked for.
        problems: what its console said of errors, refusals of its content policy included.
    """

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive, self._rest = send, receive, b""
        self._ids = itertools.count(1)
        self._session = ""
        self._scripts_allowed = True
        self.asked: list[str] = []
        self.problems: list[str] = []

    def attach(self) -> None:
        """Take the tab that the browser opened."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; its result."""
        number = next(self._ids)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._send, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return dict(answer["result"])
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._receive], [], [], LIMIT)
            assert ready, "the browser is silent"
            part = os.read(self._receive, 1 << 20)
            assert part, "the browser is gone"
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(line))

    def _note(self, event: dict[str, Any]) -> None:
        told = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"])
        if event.get("method") == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.problems.append(f"{told['entry']['text']} ({told['entry'].get('url', '')})")
        if event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(told["exceptionDetails"]))

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is awaited."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def open(self, url: str) -> None:
        """Go to a page."""
        self.call("Page.navigate", url=url)
        self.settled()

    def settled(self) -> None:
        """Wait until a page is there."""
        self.until(lambda: self.run("document.readyState") == "complete", "a page is loaded")

    def until(self, condition: Callable[[], Any], what: str, limit: float = LIMIT) -> Any:
        """Wait until something is true of the page; what was found."""
        end = time.monotonic() + limit
        while True:
            try:
                found = condition()
            except AssertionError as error:  # the page went away meanwhile
                found = None
                if "context" not in str(error) and "null" not in str(error):
                    raise
            if found:
                return found
            assert time.monotonic() < end, f"not within {limit:g} s: {what}\n{self.text()}"
            time.sleep(0.1)

    def text(self) -> str:
        """What a person reads on the page."""
        return str(self.run("document.body ? document.body.innerText : ''"))

    def _place(self, selector: str) -> tuple[float, float]:
        found = self.run(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
            " if (!one) return null; one.scrollIntoView({block: 'center', behavior: 'instant'});"
            " const box = one.getBoundingClientRect();"
            " return [box.left + box.width / 2, box.top + box.height / 2]; })()"
        )
        assert found, f"there is no {selector} on the page\n{self.text()}"
        return float(found[0]), float(found[1])

    def mouse(self, kind: str, x: float, y: float) -> None:
        """Press, move or release the mouse."""
        pressed = {"button": "left", "buttons": 1, "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **pressed)

    def click(self, selector: str) -> None:
        """Click an element, as a person does; a page that follows is waited for."""
        x, y = self._place(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y)
        time.sleep(0.3)
        self.settled()

    def type(self, selector: str, text: str) -> None:
        """Replace what stands in a field."""
        self._place(selector)
        self.run(
            f"(document.querySelector({json.dumps(selector)}).select(),"
            f" document.querySelector({json.dumps(selector)}).focus())"
        )
        self.call("Input.insertText", text=text)

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in a field for files."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    @property
    def scripts_allowed(self) -> bool:
        """Whether pages may run scripts."""
        return self._scripts_allowed

    @scripts_allowed.setter
    def scripts_allowed(self, allowed: bool) -> None:
        self._scripts_allowed = allowed
        self.call("Emulation.setScriptExecutionDisabled", value=not allowed)

    def address(self) -> str:
        """Where it is."""
        return str(self.run("location.href"))

    def value(self, selector: str) -> str:
        """The text of an element."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).textContent"))

    def count(self, selector: str) -> int:
        """How many such elements the page has."""
        return int(self.run(f"document.querySelectorAll({json.dumps(selector)}).length"))

    def screen(self, width: int, height: int = 900, dark: bool = False) -> None:
        """The size of the window, in CSS pixels, and what its person prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.call("Emulation.setEmulatedMedia", features=[scheme, still])

    def picture(self, path: Path, whole: bool = True, most: int = 2400) -> None:
        """A picture of the page, as a PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        view = self.call("Page.getLayoutMetrics")["cssLayoutViewport"]
        height = min(size["height"], most) if whole else view["clientHeight"]
        clip = {"x": 0, "y": 0, "width": view["clientWidth"], "height": height, "scale": 1}
        shot = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with an empty profile in this folder."""
    to_read, to_write = os.pipe(), os.pipe()
    line = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    line += ["--disable-dev-shm-usage", "--no-proxy-server", "--hide-scrollbars"]
    line += ["--remote-debugging-pipe", f"--user-data-dir={folder}", "about:blank"]
    # Its descriptors 3 and 4, whatever numbers these have here.
    shell = ["bash", "-c", f'exec "$@" 3<&{to_read[0]} 4>&{to_write[1]}', "bash", *line]
    given = (to_read[0], to_write[1])
    started = subprocess.Popen(
        shell, pass_fds=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for end in given:
        os.close(end)
    try:
        opened = Browser(to_read[1], to_write[0])
        opened.attach()
        yield opened
    finally:
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
        os.close(to_read[1])
        os.close(to_write[0])
