"""A real Chromium without a screen, led over its DevTools protocol; it reaches loopback and nothing else."""

import asyncio
import base64
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

PATIENCE = 60  # seconds, for what usually takes two
_LISTENS = re.compile(rb"DevTools listening on (ws://\S+)")


def program() -> str:
    """The program, as Debian or as its makers name it; without it the test is left out."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium on PATH; tests/prepare.sh installs it")


class Tab:
    """One page as a phone shows it. Scripts are off, in the page and in what we ask of it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = count(1)
        self._session: str | None = None
        self._events: list[str] = []

    async def opens(self, *, width: int, height: int, dark: bool) -> None:
        target = (await self._asks("Target.createTarget", url="about:blank"))["targetId"]
        self._session = (await self._asks("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        for domain in ("Page", "DOM"):
            await self._asks(f"{domain}.enable")
        await self._asks(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=True
        )
        await self._asks("Emulation.setScriptExecutionDisabled", value=True)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self._asks("Emulation.setEmulatedMedia", features=[scheme])

    async def goes_to(self, url: str) -> None:
        await self._asks("Page.navigate", url=url)
        await self._hears("Page.loadEventFired")

    async def html(self) -> str:
        root = (await self._asks("DOM.getDocument"))["root"]["nodeId"]
        return str((await self._asks("DOM.getOuterHTML", nodeId=root))["outerHTML"])

    async def box(self, selector: str) -> tuple[float, float, float, float]:
        """Where an element stands on the screen: left, top, width, height."""
        root = (await self._asks("DOM.getDocument"))["root"]["nodeId"]
        node = (await self._asks("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        assert node, f"there is no {selector}"
        model = (await self._asks("DOM.getBoxModel", nodeId=node))["model"]
        left, top, *_ = model["border"]
        return left, top, model["width"], model["height"]

    async def presses(self, selector: str) -> None:
        """A click in its middle; waits for the page that comes of it."""
        left, top, width, height = await self.box(selector)
        where = {"x": left + width / 2, "y": top + height / 2, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            await self._asks("Input.dispatchMouseEvent", type=kind, **where)
        await self._hears("Page.loadEventFired")

    async def width(self) -> float:
        """How wide the page is laid out; wider than the screen means scrolling sideways."""
        return float((await self._asks("Page.getLayoutMetrics"))["cssContentSize"]["width"])

    async def pictured(self, file: Path) -> None:
        shot = await self._asks("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(shot["data"]))  # noqa: ASYNC240 - for whoever looks at it afterwards

    async def _asks(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        asked: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session:
            asked["sessionId"] = self._session
        await self._socket.send_json(asked)
        async with asyncio.timeout(PATIENCE):
            while True:
                told = await self._socket.receive_json()
                if told.get("id") == number:
                    assert "error" not in told, told["error"]
                    return dict(told["result"])
                if "method" in told:
                    self._events.append(told["method"])

    async def _hears(self, event: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while event not in self._events:
                told = await self._socket.receive_json()
                if "method" in told:
                    self._events.append(told["method"])
        self._events.clear()


@asynccontextmanager
async def a_phone(folder: Path, *, width: int = 390, height: int = 844, dark: bool = False) -> AsyncIterator[Tab]:
    """A browser of its own with one empty page, as wide as a phone; gone without a trace at the end."""
    process = await asyncio.create_subprocess_exec(
        program(), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", f"--user-data-dir={folder}",
        "--remote-debugging-port=0", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE):
            while not (found := _LISTENS.search(line := await process.stderr.readline())):
                assert line, "Chromium ended before it listened"
        drained = asyncio.create_task(process.stderr.read())
        async with aiohttp.ClientSession() as http, http.ws_connect(found[1].decode(), max_msg_size=0) as socket:
            tab = Tab(socket)
            await tab.opens(width=width, height=height, dark=dark)
            yield tab
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
    await drained
