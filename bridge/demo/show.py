"""The demo: the whole bridge between a simulated Mobizon and a simulated Telegram, told live in the terminal.

No account, no money, and no SMS leaves the machine. The simulators are slowed down so that a person can
follow each SMS from the plan to the handset.
"""

import asyncio
import signal
import tempfile
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from bridge import __version__
from bridge.app import Bridge, beating, build
from bridge.clock import Clock, SystemClock
from bridge.config import load_config
from bridge.demo.mobizon import Happening, SimulatedMobizon
from bridge.demo.playground import Playground
from bridge.demo.telegram import SimulatedMessage, SimulatedTelegram
from bridge.domain.incident import Incident, IncidentState
from bridge.domain.notification import Notification, State
from bridge.ports import Transaction

PORT, PLAYGROUND_PORT = 9877, 9879
OPS = -1001234567890
AIGERIM = 111111111
PHONES = {"aigerim": "+77010000001", "jonas": "+4915112345678"}
_PACE = 1.5  # seconds more on each leg than the simulators take by themselves
_WAIT = timedelta(seconds=20)  # until the next is called: nobody watches a demo for five minutes
_FIRST_ACT = 60.0  # seconds that the opening scene may take before `--once` calls it failed

_CONFIG = """
time_zone: {zone}
server: {{listen: "{listen}"}}
storage: {{url: "sqlite:{folder}/bridge.db"}}
mobizon: {{base_url: {mobizon}, api_key: demo, sender_id: MyAlpha}}
telegram: {{token: "{token}", api_url: {telegram}}}
chats: {{ops: {{id: -1001234567890, page: critical}}}}
people:
  aigerim: {{phone: "+77010000001", telegram_id: 111111111, role: operator}}
  jonas: {{phone: "+4915112345678", telegram_id: 222222222, role: responder}}
policies:
  critical:
    steps:
      - {{notify: [aigerim], wait: {wait:.0f}s, deliver_within: "off"}}
      - {{notify: [jonas], wait: {wait:.0f}s, deliver_within: "off"}}
sources:
  alertmanager: {{token: demo}}
  generic: {{token: demo}}
routes:
  - {{name: critical, matchers: ['severity="critical"'], policy: critical, chat: ops, priority: critical}}
  - {{name: rest, chat: ops}}
sms: {{default_region: KZ, allowed_regions: [KZ, DE], prices: {{KZ: 20.50 KZT, DE: 20.50 KZT}}}}
api: {{tokens: {{demo: {{token: demo, role: operator}}}}}}
"""


async def play(listen: str | None = None, data: Path | None = None, *, once: bool = False) -> bool:
    """Run the demo until Ctrl-C, or with `once` until its first SMS have arrived; whether they did.

    `listen` is HOST:PORT of the bridge (any free port when the usual one is taken); `data` keeps the
    database there, else it lives in a temporary folder and is gone afterwards.
    """
    print("sms-bridge demo: no account, no money, no SMS leaves this machine.\n")
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sms-bridge-demo-")))
        folder.mkdir(parents=True, exist_ok=True)
        stage = await _set_the_stage(stack, folder, listen)
        _print_what_to_try(stage)
        opening = asyncio.create_task(stage.opening())
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait({opening, stop}, return_when=asyncio.FIRST_COMPLETED)
        if stop.done():
            opening.cancel()
            await asyncio.wait({opening})
            return False
        if once:
            stop.cancel()
            return opening.result()
        print(f"\nIt stays up. Ctrl-C ends it{'' if data else ' and leaves nothing behind'}.\n", flush=True)
        await stop
    print("\nEnded." if data else "\nEnded, and nothing is left behind.")
    return True


class _Stage:
    """The bridge and its two simulated neighbours, with a narrator beside them."""

    def __init__(self, bridge: Bridge, telegram: SimulatedTelegram, mobizon: SimulatedMobizon, narrator: "_Narrator"):
        self.bridge = bridge
        self.telegram = telegram
        self.mobizon = mobizon
        self.narrator = narrator
        self.playground_port = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.bridge.ports[0]}"

    async def opening(self) -> bool:
        """Alertmanager posts, nobody or somebody takes it, somebody types; whether every SMS reached its handset."""
        narrator = self.narrator
        await self._alertmanager_posts()
        if not await narrator.hears(lambda: narrator.arrived("aigerim") > 0):
            return False
        next_call = narrator.called_at("jonas")
        if next_call is not None:
            narrator.say(
                "waiting",
                f"press Acknowledge, or see Jonas called at {next_call.astimezone():%H:%M:%S} "
                f"(the demo waits {_WAIT.seconds} s, not 5 min)",
            )
        if not await narrator.hears(lambda: narrator.arrived("jonas") > 0 or narrator.is_taken):
            return False
        text = "/sms jonas the disk of db1 is yours, thank you"
        narrator.say("chat", f"Aigerim types: {text}")
        before = narrator.arrived("jonas")
        self.telegram.type(AIGERIM, OPS, text)
        return await narrator.hears(lambda: narrator.arrived("jonas") > before) and await self._cards_say_so()

    async def _cards_say_so(self) -> bool:
        """Wait until the chat has heard of it too."""
        return await self.narrator.hears(
            lambda: all("on the handset" in card.text for card in self.telegram.chat(OPS).cards)
        )

    async def _alertmanager_posts(self) -> None:
        began = self.bridge.clock.monotonic()
        async with aiohttp.ClientSession() as http:
            headers = {"Authorization": "Bearer demo"}
            async with http.post(
                f"{self.address}/webhooks/alertmanager", json=_disk_full(self.bridge.clock.now()), headers=headers
            ) as answer:
                assert answer.status == 202
        took = (self.bridge.clock.monotonic() - began) * 1000
        self.narrator.say("webhook", f"alertmanager: HostOutOfDiskSpace db1 firing, stored in {took:.0f} ms")


class _Narrator:
    """Prints each thing once, when it happens."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.bridge: Bridge | None = None
        self._rows: dict[int, Notification] = {}
        self._incidents: dict[int, Incident] = {}
        self._cards: dict[int, str] = {}
        self._arrived = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def say(self, who: str, what: str) -> None:
        print(f"{self._clock.now().astimezone():%H:%M:%S}  {who:<9} {what}", flush=True)

    def committed(self, _ticks: Collection[str]) -> None:
        task = asyncio.get_running_loop().create_task(self._look())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self) -> None:
        assert self.bridge is not None
        rows, incidents = await self.bridge.store.read(_newest)
        for incident in reversed(incidents):
            known, self._incidents[incident.id] = self._incidents.get(incident.id), incident
            if known is None:
                planned = sum(row.incident_id == incident.id for row in rows)
                where = f" on route {incident.route}" if incident.route else ""
                self.say("incident", f"#{incident.id} opened{where}; {planned} SMS planned")
            elif (incident.state, incident.rings) != (known.state, known.rings):
                self._tell_answer(incident)
        for row in reversed(rows):
            before, self._rows[row.id] = self._rows.get(row.id), row
            if before is None or row.state is not before.state:
                self._tell(row, before)
        async with self._arrived:
            self._arrived.notify_all()

    def _tell_answer(self, incident: Incident) -> None:
        match incident.state:
            case IncidentState.ACKNOWLEDGED:
                name = (incident.acknowledged_by or "somebody").capitalize()
                self.say("incident", f"#{incident.id}: {name} has it, nobody else is called")
            case IncidentState.RESOLVED:
                self.say("incident", f"#{incident.id} is over")
            case IncidentState.TRIGGERED if incident.rings:
                self.say("incident", f"#{incident.id}: nobody has it, so the chat rings")
            case IncidentState.TRIGGERED:
                self.say("incident", f"#{incident.id}: nobody has it any more")

    def _tell(self, row: Notification, before: Notification | None) -> None:
        name = (row.person or row.target).capitalize()
        if before is None:
            later = f" for {row.due_at.astimezone():%H:%M:%S}" if row.due_at > row.created_at else ""
            self.say("sms", f"{name:<8} planned{later}")
        match row.state:
            case State.SUBMITTED:
                self.say("sms", f"{name:<8} accepted by Mobizon")
            case State.DELIVERED:
                assert row.ended_at is not None
                took = (row.ended_at - row.created_at).total_seconds()
                since = "the alert" if row.is_page else "it was asked for"
                self.say("sms", f"{name:<8} on the handset, {took:.0f} s after {since}")
            case State.FAILED | State.UNDELIVERED | State.UNCERTAIN | State.CANCELLED:
                self.say("sms", f"{name:<8} {row.state}: {row.reason}")
            case _:
                pass

    def at_mobizon(self, happening: Happening) -> None:
        if happening.what == "at the operator":
            owner = next((name for name, number in PHONES.items() if number[1:] == happening.sms.to), "somebody")
            self.say("operator", f"{owner.capitalize():<8} has it at the operator")

    def in_chat(self, what: str, message: SimulatedMessage) -> None:
        if not message.by_bot or what not in ("sent", "edited") or self._cards.get(message.id) == message.text:
            return
        self._cards[message.id] = message.text
        lines = message.text.splitlines()
        self.say("chat", f"card {what}:")
        for line in lines:
            print(f"{'':>19} │ {line}", flush=True)
        self.committed(())  # whoever waits for the chat looks again

    def arrived(self, name: str) -> int:
        """How many SMS this person has on the handset."""
        return sum(row.person == name and row.state is State.DELIVERED for row in self._rows.values())

    def called_at(self, name: str) -> datetime | None:
        """When this person's turn comes, if it is still ahead."""
        rows = self._rows.values()
        return next((row.due_at for row in rows if row.target == name and row.state is State.PLANNED), None)

    @property
    def is_taken(self) -> bool:
        """Whether somebody has answered for what the demo opened."""
        return any(incident.state is not IncidentState.TRIGGERED for incident in self._incidents.values())

    async def hears(self, true: Callable[[], bool]) -> bool:
        """Wait until it is true; False when it takes too long."""
        async with self._arrived:
            try:
                await asyncio.wait_for(self._arrived.wait_for(true), _FIRST_ACT)
            except TimeoutError:
                return False
        return True


async def _set_the_stage(stack: AsyncExitStack, folder: Path, listen: str | None) -> _Stage:
    clock = SystemClock()
    narrator = _Narrator(clock)
    mobizon = SimulatedMobizon(clock, on_event=narrator.at_mobizon)
    for number in PHONES.values():
        mobizon.phone(number).is_slow(2 + _PACE)
    telegram = SimulatedTelegram(clock=clock, on_event=narrator.in_chat)
    await stack.enter_async_context(mobizon)
    await telegram.start()
    stack.push_async_callback(telegram.stop)
    bridge = await _open(stack, folder, listen, mobizon, telegram)
    narrator.bridge = bridge
    bridge.store.on_commit(narrator.committed)
    await stack.enter_async_context(beating(bridge))
    stage = _Stage(bridge, telegram, mobizon, narrator)
    playground = Playground(telegram, mobizon, OPS, AIGERIM, PHONES)
    stage.playground_port = await playground.start(PLAYGROUND_PORT)
    stack.push_async_callback(playground.stop)
    return stage


async def _open(
    stack: AsyncExitStack, folder: Path, listen: str | None, mobizon: SimulatedMobizon, telegram: SimulatedTelegram
) -> Bridge:
    """The bridge on the wished address; without a wish on the usual port, or on any if that is taken."""
    file = folder / "config.yaml"
    for address in (listen,) if listen else (f"127.0.0.1:{PORT}", "127.0.0.1:0"):
        text = _CONFIG.format(
            zone=_zone(),
            wait=_WAIT.total_seconds(),
            listen=address,
            folder=folder,
            mobizon=mobizon.base_url,
            token=telegram.token,
            telegram=telegram.url,
        )
        file.write_text(text, encoding="utf-8")
        file.chmod(0o600)
        try:
            return await stack.enter_async_context(build(load_config(file), SystemClock(), file))
        except OSError:
            if listen or address.endswith(":0"):
                raise
    raise AssertionError("unreachable")


def _print_what_to_try(stage: _Stage) -> None:
    play = f"http://127.0.0.1:{stage.playground_port}"
    print(
        f"""
Try, in another terminal:

  curl -H 'Authorization: Bearer demo' {stage.address}/webhooks/generic \\
       -d '{{"message": "Backup failed on db2", "severity": "critical"}}'     # a webhook
  curl --data-urlencode 'text=/ack' {play}/chat                  # type in the chat
  curl {play}/phones                                             # look at the phones

or look at it all, and press its buttons, in a browser: {play}
sms-bridge {__version__}
""",
        flush=True,
    )


def _newest(tx: Transaction) -> tuple[list[Notification], list[Incident]]:
    return tx.find_notifications(limit=50), tx.incidents(open_only=False, limit=20)


def _zone() -> str:
    """The machine's time zone when it has a name, else UTC."""
    link = Path("/etc/localtime")
    name = str(link.resolve()).partition("zoneinfo/")[2] if link.exists() else ""
    return name if name.count("/") == 1 else "UTC"


def _disk_full(now: datetime) -> dict[str, Any]:
    """A body as Alertmanager posts it."""
    began = now - timedelta(seconds=30)
    labels = {"alertname": "HostOutOfDiskSpace", "instance": "db1.example.net:9100", "severity": "critical"}
    return {
        "version": "4",
        "groupKey": '{}:{alertname="HostOutOfDiskSpace"}',
        "status": "firing",
        "receiver": "sms-bridge",
        "groupLabels": {"alertname": "HostOutOfDiskSpace"},
        "commonLabels": labels,
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example.net:9093",
        "truncatedAlerts": 0,
        "alerts": [
            {
                "status": "firing",
                "labels": labels,
                "annotations": {
                    "summary": "Host out of disk space (instance db1.example.net:9100)",
                    "description": "Disk is almost full (< 10% left)",
                },
                "startsAt": began.isoformat(),
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://prometheus.example.net:9090/graph",
                "fingerprint": "9f3c0d7a51b2e846",
            }
        ],
    }
