"""An Alertmanager that is only its API v2: the silences it was asked for, and the alerts that are said to fire."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web

from bridge.clock import Clock


@dataclass
class QuietAlertmanager:
    """`answers` come before its own, a status each; with `hangs_up` it does what it is asked and says nothing."""

    clock: Clock
    url: str = ""
    silences: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    hangs_up: bool = False
    asked: list[str] = field(default_factory=list)
    away: bool = False

    @property
    def in_force(self) -> list[dict[str, Any]]:
        return [silence for silence in self.silences if self._state(silence) == "active"]

    def _state(self, silence: dict[str, Any]) -> str:
        return "active" if datetime.fromisoformat(silence["endsAt"]) > self.clock.now() else "expired"

    async def hear(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path}")
        if self.away:
            self._hang_up(request)
        if self.answers:
            return web.json_response({"code": 1, "message": "not today"}, status=self.answers.pop(0))
        told = await self._do(request)
        if self.hangs_up and request.method != "GET":
            self._hang_up(request)
        return web.json_response(told)

    async def _do(self, request: web.Request) -> Any:
        match request.method, request.path.removeprefix("/am/api/v2").split("/")[1:]:
            case "POST", ["silences"]:
                wish = await request.json()
                self.silences.append(wish | {"id": f"silence-{len(self.silences) + 1}"})
                return {"silenceID": self.silences[-1]["id"]}
            case "DELETE", ["silence", id_]:
                (silence,) = [silence for silence in self.silences if silence["id"] == id_]
                silence["endsAt"] = self.clock.now().isoformat()
                return None
            case "GET", ["silences"]:
                return [silence | {"status": {"state": self._state(silence)}} for silence in self.silences]
            case "GET", ["alerts"]:
                return self.alerts
            case "GET", ["status"]:
                return {"versionInfo": {"version": "0.0.1"}}
        raise web.HTTPNotFound

    def _hang_up(self, request: web.Request) -> None:
        assert request.transport is not None
        request.transport.abort()


@asynccontextmanager
async def quiet_alertmanager(clock: Clock) -> AsyncIterator[QuietAlertmanager]:
    """One on loopback, behind a path of its own."""
    there = QuietAlertmanager(clock)
    app = web.Application()
    app.router.add_route("*", "/am/{rest:.*}", there.hear)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    there.url = f"http://127.0.0.1:{runner.addresses[0][1]}/am"
    try:
        yield there
    finally:
        await runner.cleanup()
