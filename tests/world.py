"""The small town: the real bridge on a fake clock, between a simulated Mobizon and a simulated Telegram.

Nothing beats here by itself: `settle` runs every tick until none has anything left to do, and `advance`
moves the clock from one due time to the next, settling at each.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp

from bridge.app import Bridge, build
from bridge.config import load_config
from bridge.demo.mobizon import SimulatedMobizon, SimulatedPhone
from bridge.demo.telegram import Press, SimulatedChat, SimulatedMessage, SimulatedTelegram
from tests.fakes import FakeClock

OPS, WATCH = -1001234567890, -1009876543210
TOPIC = 7
AIGERIM, JONAS, DANA, STRANGER = 111111111, 222222222, 333333333, 999999999
PHONES = {"aigerim": "+77010000001", "jonas": "+4915112345678", "dana": "+77010000002", "magnum": "+77010000003"}

CONFIG = """
time_zone: Asia/Almaty
server: {listen: "127.0.0.1:0"}
storage: {url: sqlite:bridge.db}
mobizon: {base_url: MOBIZON, api_key: demo, sender_id: MyAlpha}
telegram: {token: "TOKEN", api_url: TELEGRAM}
chats:
  ops: {id: -1001234567890, topic: 7}
  watch: {id: -1009876543210}
people:
  aigerim: {phone: "+77010000001", telegram_id: 111111111, role: operator}
  jonas: {phone: "+4915112345678", telegram_id: 222222222, role: responder}
  dana: {phone: "+77010000002", telegram_id: 333333333}
  magnum: {phone: "+77010000003"}
policies:
  critical:
    steps: [{notify: [aigerim, jonas]}]
  one:
    steps: [{notify: [aigerim]}]
sources:
  alertmanager: {token: am-secret}
  generic: {token: generic-secret}
routes:
  - {name: critical, matchers: ['severity="critical"'], policy: critical, chat: ops, priority: critical}
  - {name: rest, chat: ops, silent: true}
sms: {default_region: KZ, allowed_regions: [KZ, DE]}
watch: {chat: watch, notify: [aigerim]}
api: {tokens: {scripts: {token: api-secret, role: operator}, sight: {token: sight-secret, role: observer}}}
"""
_STEP = timedelta(minutes=1)
_AWAKE = timedelta(seconds=20)  # where a source has to beat: looked at less often, the machine would have slept


class World:
    """What a story may do and see."""

    def __init__(self, folder: Path, config: str) -> None:
        self.clock = FakeClock()
        self.mobizon = SimulatedMobizon(self.clock)
        self.telegram = SimulatedTelegram(clock=self.clock)
        self.config_text = config
        self.folder = folder
        self.config_file = folder / "config.yaml"
        self.bridge: Bridge
        self.http: aiohttp.ClientSession
        self._life = AsyncExitStack()
        self._woken: set[str] = set()

    # --- its life

    async def wakes(self) -> None:
        """Start the bridge, on the database it had before if there was one."""
        text = self.config_text.replace("MOBIZON", self.mobizon.base_url).replace("TELEGRAM", self.telegram.url)
        self.config_file.write_text(text.replace("TOKEN", self.telegram.token))
        self.config_file.chmod(0o600)
        self._life = AsyncExitStack()
        config = load_config(self.config_file)
        self.bridge = await self._life.enter_async_context(build(config, self.clock, self.config_file))
        self.bridge.store.on_commit(self._woken.update)
        self.http = await self._life.enter_async_context(
            aiohttp.ClientSession(f"http://127.0.0.1:{self.bridge.ports[0]}")
        )

    async def sleeps(self) -> None:
        """Stop the bridge; the database stays."""
        await self._life.aclose()

    async def settle(self) -> None:
        """Let everything that is due now happen."""
        quiet = False
        while not quiet:
            self._woken.clear()
            if self.bridge.bot is not None:
                await self.bridge.bot.poller.poll_patiently(timeout=0)
            for tick in self.bridge.ticks:
                if tick.name != "caretaker":
                    await tick.run()
                if tick.name == "bot" and self.bridge.bot is not None:
                    await self.bridge.bot.voice.silent()
            quiet = not await self._sent_something() and not self._woken

    async def _sent_something(self) -> bool:
        """Wait for what is on the wire, unless Mobizon holds all of it."""
        flying = set(self.bridge.sender.in_flight)
        if not flying:
            return False
        holding = asyncio.create_task(self.mobizon.holding(len(flying)))
        done, _ = await asyncio.wait({*flying, holding}, return_when=asyncio.FIRST_COMPLETED)
        holding.cancel()
        return bool(done - {holding})

    async def advance(self, **time: float) -> None:
        """Let time pass, in the steps at which something is due."""
        end = self.clock.now() + timedelta(**time)
        await self.settle()
        longest = _AWAKE if any(one.every for one in self.bridge.house.value.sources.values()) else _STEP
        while (now := self.clock.now()) < end:
            due = await self.bridge.store.read(lambda tx: tx.next_due())
            ahead = [at for at in due.values() if at > now]
            late = any(at <= now for at in due.values())
            step = min([end - now, timedelta(seconds=1) if late else longest, *(at - now for at in ahead)])
            self.clock.advance(step.total_seconds())
            await self.settle()

    async def looks_after_itself(self) -> None:
        """The caretaker's minute."""
        await next(tick for tick in self.bridge.ticks if tick.name == "caretaker").run()
        await self.settle()

    # --- what people and machines do

    async def post(
        self, source: str, body: Any, *, token: str | None = None, route: str | None = None, status: int = 202
    ) -> Any:
        """A webhook; `body` is bytes or what becomes JSON. Checks the status, returns the answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        address = f"/webhooks/{source}" + (f"/{route}" if route else "")
        headers = {
            "Authorization": f"Bearer {token or ('am-secret' if source == 'alertmanager' else 'generic-secret')}"
        }
        async with self.http.post(address, data=data, headers=headers, allow_redirects=False) as answer:
            told = await answer.json()
            assert answer.status == status, told
        await self.settle()
        return told

    async def api(
        self, method: str, path: str, body: Any = None, *, token: str = "api-secret", status: int = 200
    ) -> Any:
        """A call of the HTTP API; checks the status, returns the answer."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.request(method, f"/api/v1{path}", json=body, headers=headers) as answer:
            told = await answer.json()
            assert answer.status == status, told
        await self.settle()
        return told

    async def types(
        self, text: str, *, by: int = AIGERIM, chat: int = OPS, topic: int | None = TOPIC, **how: Any
    ) -> None:
        """Somebody types in a chat."""
        self.telegram.type(by, chat, text, topic=topic if chat == OPS else None, **how)
        await self.settle()

    async def press(self, label: str, *, by: int = AIGERIM, chat: int = OPS) -> Press:
        """Somebody presses a button."""
        press = self.telegram.press(label, by, chat)
        await self.settle()
        return press

    # --- what can be seen

    def phone(self, number: str) -> SimulatedPhone:
        """A handset, by number or by the name of its owner."""
        return self.mobizon.phone(PHONES.get(number, number))

    @property
    def ops(self) -> SimulatedChat:
        return self.telegram.chat(OPS)

    @property
    def watch(self) -> SimulatedChat:
        return self.telegram.chat(WATCH)

    @property
    def card(self) -> SimulatedMessage:
        """The newest message of the bot in the ops chat."""
        return self.ops.last

    async def metrics(self) -> str:
        async with self.http.get("/metrics") as answer:
            return await answer.text()


@asynccontextmanager
async def a_world(
    folder: Path, config: str = CONFIG, *, changes: Collection[tuple[str, str]] = ()
) -> AsyncIterator[World]:
    """A town that is awake; `changes` are replacements in the config's text."""
    for old, new in changes:
        assert old in config
        config = config.replace(old, new)
    world = World(folder, config)
    await world.telegram.start()
    try:
        async with world.mobizon:
            await world.wakes()
            try:
                yield world
            finally:
                world.mobizon.recovers()
                await world.sleeps()
    finally:
        await world.telegram.stop()


def firing(*places: str, name: str = "HostOutOfDiskSpace", severity: str = "critical", **more: Any) -> dict[str, Any]:
    """What Alertmanager posts when these places fire; `more` overrides the envelope."""
    return group([alert(place, name=name, severity=severity) for place in places], name=name) | more


def resolved(*places: str, name: str = "HostOutOfDiskSpace", severity: str = "critical", **more: Any) -> dict[str, Any]:
    """What Alertmanager posts when these, the whole group, are over."""
    alerts = [alert(place, name=name, severity=severity, status="resolved") for place in places]
    return group(alerts, name=name) | {"status": "resolved"} | more


def alert(
    place: str,
    *,
    name: str = "HostOutOfDiskSpace",
    severity: str = "critical",
    status: str = "firing",
    starts_at: str = "2026-11-20T03:09:30Z",
) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": name, "instance": f"{place}.example.net:9100", "severity": severity},
        "annotations": {
            "summary": f"Host out of disk space (instance {place})",
            "description": "Disk is almost full (< 10% left)\n  VALUE = 3",
        },
        "startsAt": starts_at,
        "endsAt": "0001-01-01T00:00:00Z" if status == "firing" else "2026-11-20T03:31:00Z",
        "generatorURL": "http://prometheus.example.net/graph",
        "fingerprint": f"{abs(hash_of(name + place)):016x}",
    }


def group(alerts: list[dict[str, Any]], name: str = "HostOutOfDiskSpace") -> dict[str, Any]:
    """The envelope around alerts of one group."""
    return {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{name}"}}',
        "status": "firing",
        "receiver": "bridge",
        "groupLabels": {"alertname": name},
        "commonLabels": {"alertname": name},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example.net:9093",
        "truncatedAlerts": 0,
        "alerts": alerts,
    }


def hash_of(text: str) -> int:
    """A number that is the same in every run."""
    return int.from_bytes(text.encode()[-8:], "big")
