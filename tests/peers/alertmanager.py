"""The real Alertmanager on loopback, alone or as a pair, and an ear that hears what it posts."""

import asyncio
import json
import shutil
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

PATIENCE = 30  # seconds, for what usually takes one


def program() -> str:
    """The program, as Debian or as its makers name it; without it the test is left out."""
    for name in ("prometheus-alertmanager", "alertmanager"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Alertmanager on PATH; tests/prepare.sh installs it")


@dataclass(frozen=True)
class Webhook:
    """Where Alertmanager posts, and how eagerly. Durations as Alertmanager writes them."""

    url: str
    token_file: Path | None = None
    group_by: Sequence[str] = ("alertname",)
    group_wait: str = "100ms"
    group_interval: str = "1s"
    repeat_interval: str = "1h"

    def config(self) -> str:
        """The alertmanager.yml that makes it so; JSON is YAML."""
        webhook: dict[str, Any] = {"url": self.url, "send_resolved": True}
        if self.token_file:
            webhook["http_config"] = {
                "authorization": {"type": "Bearer", "credentials_file": str(self.token_file)},
            }
        route = {
            "receiver": "sms",
            "group_by": list(self.group_by),
            "group_wait": self.group_wait,
            "group_interval": self.group_interval,
            "repeat_interval": self.repeat_interval,
        }
        return json.dumps({"route": route, "receivers": [{"name": "sms", "webhook_configs": [webhook]}]})


class Alertmanagers:
    """All members of one cluster; alerts go to each, as Prometheus sends them."""

    def __init__(self, urls: Sequence[str], http: aiohttp.ClientSession) -> None:
        self.urls = urls
        self._http = http
        self._began: dict[str, datetime] = {}

    async def fire(self, alertname: str, annotations: Mapping[str, str] | None = None, **labels: str) -> None:
        await self._post(alertname, labels, annotations or {}, over=False)

    async def resolve(self, alertname: str, annotations: Mapping[str, str] | None = None, **labels: str) -> None:
        await self._post(alertname, labels, annotations or {}, over=True)

    async def _post(
        self, alertname: str, labels: Mapping[str, str], annotations: Mapping[str, str], *, over: bool
    ) -> None:
        now = datetime.now(UTC)
        named = {"alertname": alertname, **labels}
        began = self._began.setdefault(json.dumps(named, sort_keys=True), now)
        alert = {"labels": named, "annotations": dict(annotations), "startsAt": began.isoformat()}
        if over:
            alert["endsAt"] = now.isoformat()
        for url in self.urls:
            async with self._http.post(f"{url}/api/v2/alerts", json=[alert]) as response:
                assert response.status == 200, await response.text()

    async def _until_ready(self) -> None:
        async with asyncio.timeout(PATIENCE):
            for url in self.urls:
                while not await self._is_ready(url):  # noqa: ASYNC110 - another program: only asking tells
                    await asyncio.sleep(0.05)

    async def _is_ready(self, url: str) -> bool:
        try:
            async with self._http.get(f"{url}/api/v2/status") as response:
                cluster = (await response.json())["cluster"]
        except aiohttp.ClientConnectionError:
            return False
        return len(self.urls) == 1 or (cluster["status"] == "ready" and len(cluster["peers"]) == len(self.urls))


@asynccontextmanager
async def alertmanagers(
    folder: Path, webhook: Webhook, *, members: int = 1, peer_timeout: str = "15s"
) -> AsyncIterator[Alertmanagers]:
    """So many members that know each other, ready; gone at the end. Their logs stay in the folder."""
    binary = program()
    ports = _free_ports(2 * members)
    web_ports, cluster_ports = ports[:members], ports[members:]
    async with AsyncExitStack() as stack:
        for number, (web_port, cluster_port) in enumerate(zip(web_ports, cluster_ports, strict=True)):
            own = folder / f"member{number}"
            own.mkdir(parents=True)
            (own / "alertmanager.yml").write_text(webhook.config(), encoding="utf-8")
            cluster = [
                f"--cluster.listen-address=127.0.0.1:{cluster_port}" if members > 1 else "--cluster.listen-address="
            ]
            if members > 1:
                cluster += [
                    f"--cluster.advertise-address=127.0.0.1:{cluster_port}",
                    *(f"--cluster.peer=127.0.0.1:{port}" for port in cluster_ports if port != cluster_port),
                    f"--cluster.peer-timeout={peer_timeout}",
                    "--cluster.gossip-interval=20ms",
                    "--cluster.pushpull-interval=200ms",
                    "--cluster.settle-timeout=5s",
                ]
            await stack.enter_async_context(
                _running(
                    binary,
                    f"--config.file={own / 'alertmanager.yml'}",
                    f"--storage.path={own / 'data'}",
                    f"--web.listen-address=127.0.0.1:{web_port}",
                    *cluster,
                    log=own / "log",
                )
            )
        http = await stack.enter_async_context(aiohttp.ClientSession())
        cluster_of_them = Alertmanagers([f"http://127.0.0.1:{port}" for port in web_ports], http)
        await cluster_of_them._until_ready()
        yield cluster_of_them


@asynccontextmanager
async def _running(*command: str, log: Path) -> AsyncIterator[None]:
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(*command, stdout=out, stderr=out)
        try:
            yield
        finally:
            process.kill()  # it keeps nothing that anybody will read again
            await process.wait()


def _free_ports(count: int) -> list[int]:
    """Free a moment ago: held all at once, so that they differ, then let go."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [server.getsockname()[1] for server in held]
    finally:
        for server in held:
            server.close()


@dataclass(frozen=True)
class Post:
    """One request as it came."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def group(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed

    @property
    def alerts(self) -> set[tuple[str, str]]:
        """Which instance is how."""
        return {(alert["labels"].get("instance", ""), alert["status"]) for alert in self.group["alerts"]}


@dataclass
class Ear:
    """Hears what is posted and answers as it is told: the codes in `answers` first, then 202."""

    url: str = ""
    posts: list[Post] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)  # cleared: nobody gets an answer
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def heard(self, count: int) -> list[Post]:
        """The posts, as soon as there are so many."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: len(self.posts) >= count)
        return self.posts

    async def hear(self, request: web.Request) -> web.Response:
        post = Post(dict(request.headers), await request.read())
        async with self._news:
            self.posts.append(post)
            self._news.notify_all()
        status = self.answers.pop(0) if self.answers else 202
        await self.open.wait()
        return web.Response(status=status)


@asynccontextmanager
async def ear() -> AsyncIterator[Ear]:
    """An ear on loopback."""
    listening = Ear()
    listening.open.set()
    app = web.Application()
    app.router.add_post("/hook", listening.hear)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    listening.url = f"http://{host}:{port}/hook"
    try:
        yield listening
    finally:
        listening.open.set()
        await runner.cleanup()
