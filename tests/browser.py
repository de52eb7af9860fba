"""Debian's Chromium, driven through its DevTools protocol: real key presses, a phone's screen, the accessibility tree.

with browser.opened(page.as_uri(), folder) as tab:
    tab.press("Tab", times=2)
    tab.type("albedo")
    assert tab.evaluate("document.activeElement.value") == "albedo"
"""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from websockets.sync.client import ClientConnection, connect

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
WITHOUT = "the page is not tried in a browser: install the package chromium"
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowUp": 38, "ArrowDown": 40}
"""Keys that write nothing, or more than they write, and their Windows codes, by which Chromium knows them."""
SHIFT = 8
PATIENCE = 30.0
"""Seconds until the browser must have done what it was asked for."""


class Node(NamedTuple):
    """A part of the page as a screen reader is told of it."""

    role: str
    name: str
    properties: dict[str, Any]
    """Level of a heading, `live` of a status, and others that the role has."""
    parents: list[str]
    """Roles of what it lies in, from the page inwards."""


class Tab:
    """One open page."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._asked = socket, 0
        self.errors: list[str] = []
        """Exceptions of the page's own script."""
        for domain in ("Page", "Runtime", "Accessibility"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """What the browser answers to a command of the protocol.

        Raises:
            AssertionError: it refuses.
        """
        self._asked += 1
        self._socket.send(json.dumps({"id": self._asked, "method": method, "params": params}))
        while True:
            said = json.loads(self._socket.recv(timeout=PATIENCE))
            if said.get("method") == "Runtime.exceptionThrown":
                self.errors.append(said["params"]["exceptionDetails"].get("text", "an exception"))
            if said.get("id") == self._asked:
                assert "error" not in said, said["error"]
                result: dict[str, Any] = said["result"]
                return result

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page, which must be JSON."""
        said = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def go(self, address: str) -> None:
        """Loads the page at `address` anew."""
        self.evaluate("window.left = true")
        self.ask("Page.navigate", url="about:blank")
        self.ask("Page.navigate", url=address)
        self.wait(f"!window.left && location.href === {json.dumps(address)} && document.readyState === 'complete'")

    def wait(self, expression: str) -> None:
        """Until the expression is true."""
        ends = time.monotonic() + PATIENCE
        while not self.evaluate(f"!!({expression})"):
            assert time.monotonic() < ends, f"not true within {PATIENCE:g} seconds: {expression}"
            time.sleep(0.02)

    def screen(self, width: int, height: int, *, phone: bool = False) -> None:
        """The window's size in CSS pixels; a phone widens its page where something does not fit."""
        scale = 3 if phone else 1
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )

    def press(self, key: str, *, times: int = 1, shift: bool = False) -> None:
        """A key, down and up."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        more = {"text": text} if text else {}
        for _ in range(times):
            for event in ("keyDown", "keyUp"):
                self.ask(
                    "Input.dispatchKeyEvent",
                    type=event if text or event == "keyUp" else "rawKeyDown",
                    key=key,
                    code="Space" if key == " " else key,
                    windowsVirtualKeyCode=KEYS[key],
                    modifiers=SHIFT if shift else 0,
                    **(more if event == "keyDown" else {}),
                )

    def type(self, text: str) -> None:
        """Letters and digits, each by its key."""
        for letter in text:
            for event in ("keyDown", "keyUp"):
                self.ask("Input.dispatchKeyEvent", type=event, key=letter, text=letter if event == "keyDown" else "")

    def tab_to(self, selector: str, *, most: int = 400) -> int:
        """Presses Tab until the focus is where `selector` says; gives how often."""
        for pressed in range(1, most + 1):
            self.press("Tab")
            if self.evaluate(f"document.activeElement.matches({json.dumps(selector)})"):
                return pressed
        raise AssertionError(f"{most} times Tab do not lead to {selector}")

    def tree(self) -> list[Node]:
        """The accessibility tree in the order of the page, without what is hidden from it."""
        nodes = {node["nodeId"]: node for node in self.ask("Accessibility.getFullAXTree")["nodes"]}
        found: list[Node] = []
        root = next(node for node in nodes.values() if "parentId" not in node)
        ahead: list[tuple[dict[str, Any], list[str]]] = [(root, [])]
        while ahead:
            node, parents = ahead.pop()
            role = node.get("role", {}).get("value", "none")
            if not node["ignored"]:
                properties = {row["name"]: row["value"].get("value") for row in node.get("properties", [])}
                found.append(Node(role, node.get("name", {}).get("value", ""), properties, parents))
            inner = parents if node["ignored"] else [*parents, role]
            ahead += [(nodes[child], inner) for child in reversed(node.get("childIds", [])) if child in nodes]
        return found


@contextmanager
def opened(address: str, folder: Path) -> Iterator[Tab]:
    """The page at `address` in a browser of its own, which keeps what it writes below `folder`."""
    home = folder / "browser"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0"]
    command += [f"--user-data-dir={home}", "about:blank"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        pages = httpx.get(f"http://127.0.0.1:{_port(home, process)}/json/list", timeout=PATIENCE, trust_env=False)
        place = next(page["webSocketDebuggerUrl"] for page in pages.json() if page["type"] == "page")
        with connect(place, max_size=None, proxy=None, open_timeout=PATIENCE) as socket:
            tab = Tab(socket)
            tab.go(address)
            yield tab
    finally:
        process.terminate()
        try:
            process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(home: Path, process: "subprocess.Popen[bytes]") -> int:
    """The port on which the browser listens, once it does."""
    file, ends = home / "DevToolsActivePort", time.monotonic() + PATIENCE
    while not (file.exists() and file.read_text().count("\n")):
        assert process.poll() is None, f"{BROWSER} ended by itself with exit status {process.returncode}"
        assert time.monotonic() < ends, f"{BROWSER} did not start within {PATIENCE:g} seconds"
        time.sleep(0.02)
    return int(file.read_text().splitlines()[0])
