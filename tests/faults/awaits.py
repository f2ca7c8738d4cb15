"""A bridge killed at every place where a task of it waits: as it begins to wait, and as it goes on.

A life runs one way through the bridge on an event loop that knows where in our own code each task stands, and ends
itself by SIGKILL at one such place. Mobizon, Telegram and the clock belong to whoever gave it its orders, so they
outlive it. What is left on the disk is lived on with, and compared with what both saw.

By hand: python -m tests.faults.awaits, with --every to try one place in so many, or --planted to see it turn red.
"""

import argparse
import asyncio
import json
import logging
import mmap
import os
import random
import re
import shutil
import signal
import sqlite3
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from contextvars import Context
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVarTuple

import aiohttp

import bridge as _bridge
from bridge.app import Bridge, build
from bridge.config import load_config
from bridge.demo.mobizon import Fault, SimulatedMobizon
from bridge.demo.telegram import SimulatedMessage, SimulatedTelegram
from bridge.domain.escalation import rung_of
from bridge.domain.notification import Notification, State, lost_token
from tests.fakes import START, FakeClock
from tests.faults.kill import TRUSTS_ITS_DATABASE, Bug, with_bug
from tests.faults.life import SAID, serve
from tests.faults.tracing import ROOT, Lives, lives
from tests.world import AIGERIM, CONFIG, OPS, PHONES, TOPIC, World, firing, resolved

TREE = Path(_bridge.__file__).parents[1]
"""Where the bridge that lives comes from: not ours when it has a planted bug."""
OURS = tuple(str(TREE / package) + os.sep for package in ("bridge", "bot", "storage"))
LIVING = "living"
POINTS = "points"
_MARK = re.compile(r"m\d{6}")
Ts = TypeVarTuple("Ts")
_END = 480  # seconds that a climb takes: its chat has rung twice by then, also when an SMS was lost and looked for
_AT_MOST = 2  # cards of one thing: an answer of Telegram's that was lost leaves a second one

Point = tuple[str, str, int]
"""What the task does there ("waits" or "goes on"), our frames down to the place, and which time it is."""


class SharedClock(FakeClock):
    """A clock that processes share through a file: it outlives whoever moved it."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(struct.pack("d", 0.0))
        with file.open("r+b") as shared:
            self._passed = mmap.mmap(shared.fileno(), 8)
        super().__init__()

    @property
    def seconds(self) -> float:
        (passed,) = struct.unpack("d", self._passed[:])
        return float(passed)

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._passed[:] = struct.pack("d", self.seconds + seconds)
        super().advance(seconds)


class Watched(asyncio.SelectorEventLoop):
    """While it is `armed`, notes every place where a task of ours waits; at `fatal` the process ends."""

    def __init__(self, fatal: Point | None) -> None:
        super().__init__()
        self.armed = False
        self.met: list[Point] = []
        self._fatal = fatal
        self._times: Counter[tuple[str, str]] = Counter()

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        if isinstance(task := getattr(callback, "__self__", None), asyncio.Task):
            return super().call_soon(self._step, task, callback, *args, context=context)
        return super().call_soon(callback, *args, context=context)

    def _step(self, task: asyncio.Task[Any], callback: Callable[[*Ts], object], *args: *Ts) -> None:
        self._at("goes on", task)
        callback(*args)
        self._at("waits", task)

    def _at(self, does: str, task: asyncio.Task[Any]) -> None:
        if not self.armed or task.done() or not (place := stands(task)):
            return
        self._times[does, place] += 1
        point = (does, place, self._times[does, place])
        self.met.append(point)
        if point == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)


def stands(task: asyncio.Task[Any]) -> str:
    """The frames of ours in which this task waits, the innermost last; empty for other people's tasks."""
    # What awaits an async context manager cannot be looked into; all of `build` is one place, at many times.
    places = ["starting or stopping"] if task.get_name() == LIVING else []
    waits: Any = task.get_coro()
    while waits is not None:
        for kind in ("cr", "ag", "gi"):
            if (frame := getattr(waits, f"{kind}_frame", None)) is not None:
                if frame.f_code.co_filename.startswith(OURS):
                    file = Path(frame.f_code.co_filename).relative_to(TREE)
                    places.append(f"{file}:{frame.f_lineno} {frame.f_code.co_name}")
                waits = getattr(waits, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")
                break
        else:
            break
    return " > ".join(places)


class Life:
    """One life in one folder; `orders` say what it does, step by step, and where it ends."""

    def __init__(self, folder: Path, orders: Mapping[str, Any]) -> None:
        self._folder = folder
        self._orders = orders
        self._woken: set[str] = set()
        self._clock = SharedClock(folder.with_suffix(".clock"))
        self._said = os.open(folder / SAID, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def live(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Watched)
        loop.armed = bool(self._orders["from_the_start"])
        living = asyncio.current_task()
        assert living is not None
        living.set_name(LIVING if loop.armed else "life")
        async with build(load_config(self._folder / "config.yaml"), self._clock) as bridge:
            bridge.store.on_commit(self._woken.update)
            async with aiohttp.ClientSession(f"http://127.0.0.1:{bridge.ports[0]}") as http:
                loop.armed = True
                for step in self._orders["steps"]:
                    await self._do(bridge, http, step)
                loop.armed = bool(self._orders["from_the_start"])
        loop.armed = False
        (self._folder / POINTS).write_text(json.dumps(loop.met))

    async def _do(self, bridge: Bridge, http: aiohttp.ClientSession, step: Sequence[Any]) -> None:
        match step:
            case ["ask", *marks]:
                await asyncio.gather(*(self._ask(http, mark) for mark in marks))
            case ["pass", seconds]:
                self._clock.advance(seconds)
        await self._settle(bridge)

    async def _ask(self, http: aiohttp.ClientSession, mark: str) -> None:
        path, headers, body = request(mark)
        async with http.post(path, json=body, headers=headers) as answer:
            assert answer.status in (200, 202), await answer.text()
        os.write(self._said, f"kept {mark}\n".encode())

    async def _settle(self, bridge: Bridge) -> None:
        """Let everything that is due now happen."""
        quiet = False
        while not quiet:
            self._woken.clear()
            if bridge.bot is not None:
                await bridge.bot.poller.poll_patiently(timeout=0)
            for tick in bridge.ticks:
                if tick.name not in ("caretaker", "retention"):
                    await tick.run()
            flying = bool(bridge.sender.in_flight)
            await bridge.sender.drain()
            quiet = not flying and not self._woken


def request(mark: str) -> tuple[str, dict[str, str], Any]:
    """Who sends this one, and how: path, headers and body."""
    if mark == TAKES:
        return "/api/v1/incidents/1/acknowledge", {"Authorization": "Bearer api-secret"}, None
    number = int(mark[1:])
    if number % 2:
        build_body = resolved if number >= RESOLVED else firing
        body = build_body(name := f"m{number % RESOLVED:06}", name=name)
        return "/webhooks/alertmanager", {"Authorization": "Bearer am-secret"}, body
    return (
        "/api/v1/sms",
        {"Authorization": "Bearer api-secret"},
        {"to": "aigerim", "text": mark, "idempotency_key": mark},
    )


RESOLVED = 1000
"""m001001 says that m000001 is over."""
TAKES = "takes"
"""A script says that it has #1."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One way through the bridge. `steps` belong to the life that is killed; `before` is what had happened by then."""

    steps: Sequence[Sequence[Any]] = ()
    typed: str = ""  # in the chat, before the life begins
    fault: Fault | None = None  # which Mobizon's first send meets
    before: Sequence[Sequence[Any]] = ()  # steps of an earlier life, which ends well
    dies_in: str = ""  # or is killed, on its last way through this function
    presses: str = ""  # this button, between the two
    and_presses: str = ""  # this one too, once the first has had its effect
    from_the_start: bool = False  # die while starting and stopping too
    policy: str = ""  # the steps by which m000001 climbs, when it is not for both at once
    refuses: str = ""  # whose phone takes no SMS
    leaves: str = ""  # of a climb: what became of each rung, of the incident, and how often the chat rang

    def asked(self) -> set[str]:
        """The marks of what machines ask for; those that were not taken are asked again."""
        return {mark for step in (*self.before, *self.steps) if step[0] == "ask" for mark in step[1:]}

    def owed(self) -> set[tuple[str, str]]:
        """(number, mark) of every SMS that somebody wants, and one of each."""
        owed = {(PHONES["dana"], self.typed)} if self.typed else set()
        for mark in self.asked():
            people = ("aigerim", "jonas") if int(mark[1:]) % 2 else ("aigerim",)
            owed |= {(PHONES[name], f"m{int(mark[1:]) % RESOLVED:06}") for name in people}
        return owed


def _climb(first: str, second: str = "1m") -> str:
    """Aigerim, who has so long to answer, then Jonas. Only news and answers count, not how long an SMS takes."""
    return f'steps: [{{notify: [aigerim], wait: {first}, deliver_within: "off"}}, {{notify: [jonas], wait: {second}}}]'


_LOOKS = (["pass", 31], ["pass", 95], ["pass", 185])
_ARRIVES = ["pass", 5]
FLOWS = {
    "a start on nothing": Flow(from_the_start=True),
    "two alerts and a script at once": Flow([["ask", "m000001", "m000003", "m000002"], _ARRIVES]),
    "the same alert again, then over": Flow([["ask", "m000001"], ["ask", "m000001"], _ARRIVES, ["ask", "m001001"]]),
    "typed": Flow([["look"], _ARRIVES], typed="m000004"),
    "an answer lost, the SMS found": Flow(
        [["ask", "m000001"], _LOOKS[0], _ARRIVES], fault=Fault(carries_out=True, cuts=True)
    ),
    "a page lost, sent once more": Flow([["ask", "m000001"], *_LOOKS, _ARRIVES], fault=Fault(cuts=True)),
    "a typed one lost, and asked about": Flow([["look"], *_LOOKS], typed="m000004", fault=Fault(cuts=True)),
    "send again is pressed": Flow(
        [["look"], _ARRIVES],
        typed="m000004",
        fault=Fault(cuts=True),
        before=[["look"], *_LOOKS],
        presses="Send again",
    ),
    "a start after a kill on the wire": Flow(
        [["look"]], before=[["ask", "m000001", "m000002"]], dies_in="_asked", from_the_start=True
    ),
    "the first is called": Flow(
        [["ask", "m000001"], _ARRIVES],
        policy=_climb("1m"),
        leaves="aigerim delivered, jonas delivered; triggered, rang 2 times",
    ),
    "nobody answers, the next is called": Flow(
        [["pass", 61], _ARRIVES],
        before=[["ask", "m000001"], _ARRIVES],
        policy=_climb("1m"),
        leaves="aigerim delivered, jonas delivered; triggered, rang 2 times",
    ),
    "nobody has it, the chat rings": Flow(
        [["pass", 61]],
        before=[["ask", "m000001"], _ARRIVES, ["pass", 61], _ARRIVES],
        policy=_climb("1m"),
        leaves="aigerim delivered, jonas delivered; triggered, rang 2 times",
    ),
    "it does not arrive, the next is called": Flow(
        [["pass", 5]],
        before=[["ask", "m000001"]],
        policy=_climb("30m"),
        refuses="aigerim",
        leaves="aigerim undelivered, jonas delivered; triggered, rang 2 times",
    ),
    "somebody takes it": Flow(
        [["look"], ["pass", 61]],
        before=[["ask", "m000001"], _ARRIVES],
        presses="Acknowledge",
        policy=_climb("1m"),
        leaves="aigerim delivered, jonas cancelled; acknowledged, rang 0 times",
    ),
    "a script takes it": Flow(
        [["ask", TAKES], ["pass", 61]],
        before=[["ask", "m000001"], _ARRIVES],
        policy=_climb("1m"),
        leaves="aigerim delivered, jonas cancelled; acknowledged, rang 0 times",
    ),
    "somebody takes it after the chat rang": Flow(
        [["look"]],
        before=[["ask", "m000001"], _ARRIVES, ["pass", 61], _ARRIVES, ["pass", 61]],
        presses="Acknowledge",
        policy=_climb("1m"),
        leaves="aigerim delivered, jonas delivered; acknowledged, rang 1 times",
    ),
    "over before the next is called": Flow(
        [["ask", "m001001"], ["pass", 61]],
        before=[["ask", "m000001"], _ARRIVES],
        policy=_climb("1m"),
        leaves="aigerim delivered, jonas cancelled; resolved, rang 0 times",
    ),
    "passed on": Flow(
        [["look"], _ARRIVES],
        before=[["ask", "m000001"], _ARRIVES],
        presses="Pass on",
        policy=_climb("30m"),
        leaves="aigerim delivered, jonas delivered; triggered, rang 2 times",
    ),
    "handed back": Flow(
        [["look"], _ARRIVES],
        before=[["ask", "m000001"], _ARRIVES],
        presses="Acknowledge",
        and_presses="Hand back",
        policy=_climb("30m"),
        leaves="aigerim delivered, jonas cancelled, jonas delivered; triggered, rang 2 times",
    ),
}


def drawn(chance: random.Random) -> Flow:
    """Something else each time: what comes, in which order, and what goes wrong."""
    marks = [f"m{number:06}" for number in range(1, 9) if number != 4]
    chance.shuffle(marks)
    steps: list[list[Any]] = []
    while marks and len(steps) < 3:
        many = chance.randint(1, 3)
        steps.append(["ask", *marks[:many]])
        del marks[:many]
        if chance.random() < 0.5:
            steps.append(["pass", chance.choice((1, 5, 31, 95))])
    fault = chance.choice((None, Fault(cuts=True), Fault(carries_out=True, cuts=True), Fault(status=502, body=b"no")))
    return Flow([*steps, *_LOOKS, _ARRIVES], typed=chance.choice(("", "m000004")), fault=fault)


BUGS: Mapping[str, tuple[str, str, Bug]] = {
    "answers before the commit": (
        "two alerts and a script at once",
        "was accepted and never sent",
        Bug(
            "bridge/dispatcher.py",
            "tx.keep_receipt(source, route, headers, body, now)\n\n        return await self._store.write(keep)",
            "tx.keep_receipt(source, route, headers, body, now)\n\n"
            "        import asyncio\n"
            "        asyncio.get_running_loop().call_later(\n"
            "            0.05, lambda: asyncio.ensure_future(self._store.write(keep)))\n"
            "        return 0",
        ),
    ),
    "sends before it is committed": (
        "two alerts and a script at once",
        "was sent 2 times",
        Bug(
            "bridge/outbox.py",
            "        kept = tx.save_notifications(pairs)\n        mine =",
            "        held = globals().setdefault('_unsaved', {})\n"
            "        kept = [(row.id, row.attempt) not in held for _, row in pairs]\n"
            "        held.update({(row.id, row.attempt): (ready, row) for ready, row in pairs})\n"
            "        mine =",
            "        row = tx.notification(sent.id)\n        assert row is not None\n",
            "        tx.save_notifications([globals()['_unsaved'].pop((sent.id, sent.attempt - 1))])\n"
            "        row = tx.notification(sent.id)\n        assert row is not None\n",
            also=(TRUSTS_ITS_DATABASE,),
        ),
    ),
    "tries a lost one again": (
        "an answer lost, the SMS found",
        "was sent 2 times",
        Bug(
            "bridge/outbox.py",
            "changed = _lost(row, reason, now) if row.state is State.SENDING else row",
            "changed = self._not_sent(tx, row, Unreachable(reason), now)",
        ),
    ),
    "the plan follows in a commit of its own": (
        "it does not arrive, the next is called",
        "jonas planned",
        Bug(
            "bridge/outbox.py",
            "        await self._store.write(lambda tx: self._report(tx, house, asked, reports, set(missing), now))\n",
            "        told = []\n"
            "        self._tell = lambda tx, *rest: told.append(rest)\n"
            "        await self._store.write(lambda tx: self._report(tx, house, asked, reports, set(missing), now))\n"
            "        del self._tell\n"
            "        await self._store.write(lambda tx: [self._tell(tx, *rest) for rest in told])\n",
        ),
    ),
    "drops a timer before it rings": (
        "nobody has it, the chat rings",
        "rang 0 times",
        Bug(
            "bridge/timers.py",
            "                rang = await self._rang(timer)\n",
            "                await self._settle(timer, None)\n                rang = await self._rang(timer)\n",
        ),
    ),
}


class Town(World):
    """A world whose bridge may also live in another process."""

    def __init__(self, folder: Path, policy: str = "") -> None:
        both = "steps: [{notify: [aigerim, jonas]}]"
        assert both in CONFIG
        super().__init__(folder, CONFIG.replace(both, policy or both))
        self.clock = self.shared_clock = SharedClock(folder.with_suffix(".clock"))
        self.mobizon = SimulatedMobizon(self.clock)
        self.telegram = SimulatedTelegram(clock=self.clock)

    def write_config(self) -> None:
        text = self.config_text.replace("MOBIZON", self.mobizon.base_url).replace("TELEGRAM", self.telegram.url)
        self.config_file.write_text(text.replace("TOKEN", self.telegram.token))
        self.config_file.chmod(0o600)

    def state(self) -> str:
        """Everything that what comes next depends on, as one word."""
        digest = sha256(repr(self.shared_clock.seconds).encode())
        if (database := self.folder / "bridge.db").exists():
            with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as file:
                for line in file.iterdump():
                    digest.update(line.encode())
        sends = sum(request.method.endswith("sendsmsmessage") for request in self.mobizon.requests)
        chats = [(message.id, message.text, message.buttons) for message in self.ops.messages + self.watch.messages]
        sent = [(sms.to, sms.text, sms.reference) for sms in self.mobizon.sent]
        digest.update(repr((sends, sent, chats, len(self.telegram._updates))).encode())
        return digest.hexdigest()


@dataclass
class Findings:
    """What was tried, and what Mobizon, the chats and the database say of it."""

    points: Counter[str] = field(default_factory=Counter)
    killed: int = 0
    accepted: int = 0
    sent: int = 0
    states: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.points.total()} places in {len(self.points)} flows, {self.killed} lives killed there, "
            f"{self.accepted} requests accepted; {len(self.states)} different ends, {self.sent} SMS sent from there "
            f"or before; wrong: {'; '.join(self.wrong) or 'nothing'}"
        )


class Kills:
    """Kills lives at points of flows. `each_end`: live on after every kill, not once from each state left behind."""

    def __init__(self, nursery: Lives, folder: Path, *, each_end: bool = False) -> None:
        self._nursery = nursery
        self._folder = folder
        self._empty = folder / "empty.db"  # most lives need not make the tables anew
        self._each_end = each_end
        self._number = 0
        self.trusting = False  # a planted mistake: what a kill left behind is taken for the whole truth
        self.found = Findings()

    async def prepare(self) -> None:
        """A database that has been started on once."""
        async with self._a_town(Flow()) as town:
            await self._lives_to_the_end(town, Flow())
            (town.folder / "bridge.db").replace(self._empty)

    async def points(self, name: str, flow: Flow) -> list[Point]:
        """All places of a life that nobody kills. It is clean too, or nothing that follows says anything."""
        async with self._a_town(flow) as town:
            points = await self._lives_to_the_end(town, flow)
            await self._check(f"{name}, not killed", town, flow)
        return points

    async def at(self, name: str, flow: Flow, points: Collection[Point]) -> None:
        for point in points:
            async with self._a_town(flow) as town:
                status = await self._life(town, flow, fatal=point)
                self.found.points[name] += 1
                self.found.killed += status == -signal.SIGKILL
                self.found.files |= set(re.findall(r"\S+(?=:\d)", point[1]))
                self.found.accepted += len(_kept(town.folder))
                if (state := f"{name} {town.state()}") in self.found.states and not self._each_end:
                    continue
                self.found.states.add(state)
                await self._check(f"{name}, killed as it {' '.join(map(str, point))}", town, flow)

    @asynccontextmanager
    async def _a_town(self, flow: Flow) -> AsyncIterator[Town]:
        """Everything in it as it is when the life to be killed begins."""
        self._number += 1
        folder = self._folder / f"town{self._number}"
        folder.mkdir()
        town = Town(folder, flow.policy)
        if flow.refuses:
            town.phone(flow.refuses).is_landline()
        await town.telegram.start()
        try:
            async with town.mobizon:
                town.write_config()
                if self._empty.exists() and not (flow.from_the_start and not flow.steps):
                    shutil.copy(self._empty, folder / "bridge.db")
                if flow.typed:
                    town.telegram.type(AIGERIM, OPS, f"/sms dana {flow.typed}", topic=TOPIC)
                if flow.fault:
                    town.mobizon.goes_wrong(flow.fault, 1, "sendsmsmessage")
                if flow.before:
                    await self._what_was_before(town, flow)
                yield town
        finally:
            await town.telegram.stop()
            shutil.rmtree(folder)
            folder.with_suffix(".clock").unlink()

    async def _what_was_before(self, town: Town, flow: Flow) -> None:
        earlier = Flow(flow.before, policy=flow.policy, refuses=flow.refuses)
        if flow.dies_in:
            async with self._a_town(earlier) as other:
                points = await self._lives_to_the_end(other, earlier)
            dies_at = next(point for point in reversed(points) if flow.dies_in in point[1] and point[0] == "goes on")
            assert await self._life(town, earlier, fatal=dies_at) == -signal.SIGKILL
        else:
            await self._lives_to_the_end(town, earlier)
        if flow.presses:
            town.telegram.press(flow.presses, AIGERIM, OPS)
        if flow.and_presses:
            await self._lives_to_the_end(town, replace(earlier, steps=[["look"]]))
            town.telegram.press(flow.and_presses, AIGERIM, OPS)

    async def _lives_to_the_end(self, town: Town, flow: Flow) -> list[Point]:
        assert await self._life(town, flow, fatal=None) == 0
        points = json.loads((town.folder / POINTS).read_text())
        return [(does, place, time) for does, place, time in points]

    async def _life(self, town: Town, flow: Flow, fatal: Point | None) -> int:
        ended = await self._nursery.live(
            town.folder, steps=list(flow.steps), from_the_start=flow.from_the_start, fatal=fatal
        )
        return ended.status

    async def _ask(self, town: Town, marks: Collection[str]) -> None:
        for mark in sorted(marks):
            path, headers, body = request(mark)
            async with town.http.post(path, json=body, headers=headers) as answer:
                assert answer.status in (200, 202), await answer.text()
            await town.settle()

    async def _check(self, when: str, town: Town, flow: Flow) -> None:
        """Live on, ask again for what was not taken, let time pass; then each SMS is there once, and told of."""
        if self.trusting:
            with closing(sqlite3.connect(town.folder / "bridge.db")) as database, database:
                database.execute("UPDATE meta SET value = 'yes' WHERE key = 'stopped_well'")
        untaken = flow.asked() - _kept(town.folder)
        # A fault that the killed life never met would meet the second send, and two lost in a row end otherwise.
        town.mobizon.recovers()
        await town.wakes()
        try:
            await town.settle()
            if flow.policy:
                await self._ask(town, untaken)
                await town.advance(seconds=_END - town.shared_clock.seconds)
                self.found.wrong += [f"{when}: {what}" for what in await _climbed_wrong(town, flow)]
                self.found.sent += len(town.mobizon.sent)
                return
            await self._ask(town, {mark for mark in untaken if int(mark[1:]) < RESOLVED})
            await town.advance(minutes=10)
            rows = await town.bridge.store.read(lambda tx: tx.find_notifications(limit=1000))
            for row in rows:
                if row.state is State.UNCERTAIN and row.asked_at is not None:
                    await town.bridge.dispatcher.settle_lost(row.id, lost_token(row), AIGERIM, AIGERIM, again=True)
            # What is over while its SMS is being looked for is rightly not sent again: so that comes last.
            await self._ask(town, {mark for mark in untaken if int(mark[1:]) >= RESOLVED})
            await town.advance(minutes=2)
            self.found.wrong += [f"{when}: {what}" for what in await _wrong(town, flow)]
            self.found.sent += len(town.mobizon.sent)
        finally:
            await town.sleeps()


async def _wrong(town: Town, flow: Flow) -> list[str]:
    """Against the ledger, the database and the chat, in this order."""
    rows = await town.bridge.store.read(lambda tx: tx.find_notifications(limit=1000))
    # Lost a second time, when it was sent once more: nobody can know, so it is given up, and its card says so.
    given_up = {(row.number.e164, _marks(row.text or "")) for row in rows if row.number and _is_given_up(row)}
    owed, wrong = flow.owed(), []
    assert all(any(mark in card.text and "not known" in card.text for card in town.ops.cards) for _, mark in given_up)
    sent = Counter((f"+{sms.to}", _marks(sms.text)) for sms in town.mobizon.sent)
    wrong += [f"{mark} to {to[-2:]} was accepted and never sent" for to, mark in sorted(owed - sent.keys() - given_up)]
    wrong += [f"{mark} to {to[-2:]} was sent {n} times" for (to, mark), n in sent.items() if n > 1]
    wrong += [f"{mark or 'something'} to {to[-2:]}: nobody asked for it" for to, mark in sorted(sent.keys() - owed)]

    states = Counter(row.state for row in rows if not _is_given_up(row))
    owed -= given_up
    if states != Counter({State.DELIVERED: len(owed)}):
        wrong.append(f"the database ends with {dict(states)} for {len(owed)} SMS")

    # A script has no chat. What rings in the chat is a message of its own beside the card.
    shown = {mark for _, mark in owed if int(mark[1:]) % 2 or mark == flow.typed}
    for mark in sorted(shown):
        names = {mark, *(f"#{row.id} " for row in rows if mark in (row.text or "") and not row.is_page)}
        cards = [card.text for card in _cards(town) if any(name in card.text for name in names)]
        if not any(card.count("on the handset") == len([one for one in owed if one[1] == mark]) for card in cards):
            wrong.append(f"no card says that {mark} arrived: {cards}")
        if len(cards) > _AT_MOST:
            wrong.append(f"{mark} has {len(cards)} cards")
    return wrong


async def _climbed_wrong(town: Town, flow: Flow) -> list[str]:
    """The climb of #1: each rung in its turn and once, and it ends as it ends in a life that nobody kills."""
    incident = await town.bridge.store.read(lambda tx: tx.incident(1))
    timeline = await town.bridge.store.read(lambda tx: tx.timeline(1))
    rows = sorted(
        await town.bridge.store.read(lambda tx: tx.notifications_of([1])), key=lambda row: (*rung_of(row), row.id)
    )
    rings = sum(entry.what == "nobody has it: the chat rings" for entry in timeline)
    became = ", ".join(f"{row.target} {row.state}" for row in rows)
    left, wrong = f"{became}; {incident and incident.state}, rang {rings} times", []
    if left != flow.leaves:
        wrong.append(f"it left {left}")

    called = [row for row in rows if row.state is not State.CANCELLED]
    ledger = {sms.reference: f"+{sms.to}" for sms in town.mobizon.sent}
    if Counter(ledger.values()) != Counter(row.number.e164 for row in called if row.number):
        wrong.append(f"was sent: {ledger}")
    # What may have left calls the next at once; it is looked for, and sent after that if it had not.
    in_turn = [row.reference for row in called if row.reference in ledger and not row.resent]
    if in_turn != [reference for reference in ledger if reference in in_turn]:
        wrong.append("the rungs were called in another order")

    told = sum("NOBODY HAS IT" in card.revisions[0] for card in town.ops.cards)
    if not rings <= told <= rings + 1:  # an answer of Telegram's that was lost
        wrong.append(f"the chat rang {told} times")
    if len(cards := _cards(town)) not in (1, _AT_MOST):
        wrong.append(f"there are {len(cards)} cards")
    return wrong


def _cards(town: Town) -> list[SimulatedMessage]:
    """Without what rings beside them: by how it began, for later it may say that it is over."""
    rings = re.compile("^#|NOBODY HAS IT|may not have left|handed it back")
    return [card for card in town.ops.cards if not rings.search(card.revisions[0])]


def _is_given_up(row: Notification) -> bool:
    return row.state is State.FAILED and row.resent and row.is_page


def _marks(text: str) -> str:
    return found[0] if (found := _MARK.search(text)) else ""


def _kept(folder: Path) -> set[str]:
    said = folder / SAID
    return {line.split()[1] for line in said.read_text().splitlines()} if said.exists() else set()


@asynccontextmanager
async def a_killer(folder: Path, *, each_end: bool = False, bug: Bug | None = None) -> AsyncIterator[Kills]:
    tree = with_bug(bug, folder) if bug else ROOT
    async with lives("tests.faults.awaits", tree) as nursery:
        kills = Kills(nursery, folder, each_end=each_end)
        await kills.prepare()
        yield kills


def ends(points: Sequence[Point]) -> list[Point]:
    """Of every place the first time and the last: between them are mostly rounds in which nothing was due."""
    last = {(does, place): time for does, place, time in points}
    return [point for point in points if point[2] in (1, last[point[:2]]) or "starting" in point[1]]


async def everywhere(kills: Kills, flows: Mapping[str, Flow], *, every: int = 1, all_times: bool = False) -> Findings:
    """Kill at one place in so many of each flow; flows that are alike are not all killed at the same ones."""
    kills.found = Findings()
    for number, (name, flow) in enumerate(flows.items()):
        points = await kills.points(name, flow)
        await kills.at(name, flow, (points if all_times else ends(points))[5 * number % every :: every])
    return kills.found


async def planted(folder: Path, name: str) -> Findings:
    """Let a bridge live that has this bug, until something is wrong."""
    flow_name, _, bug = BUGS[name]
    flow = FLOWS[flow_name]
    async with a_killer(folder, bug=bug) as kills:
        kills.trusting = TRUSTS_ITS_DATABASE in bug.also
        points = ends(await kills.points(flow_name, flow))
        random.Random(1).shuffle(points)
        points.sort(key=lambda point: bug.file not in point[1])  # sooner or later it is found
        for point in points:
            if kills.found.wrong:
                break
            await kills.at(flow_name, flow, [point])
    return kills.found


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill a bridge at every place where it waits.")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=0, help="so many drawn flows more")
    parser.add_argument("--all-times", action="store_true", help="not only the first and last at each place")
    parser.add_argument("--each-end", action="store_true", help="live on after every kill, not once from each state")
    parser.add_argument("--flow", help="only those with this in their name")
    parser.add_argument("--planted", choices=sorted(BUGS))
    asked = parser.parse_args()
    flows = FLOWS | {f"drawn {seed}": drawn(random.Random(seed)) for seed in range(1, asked.seeds + 1)}
    flows = {name: flow for name, flow in flows.items() if (asked.flow or "") in name}
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if asked.planted:
            found = asyncio.run(planted(place, asked.planted))
        else:
            found = asyncio.run(_by_hand(place, flows, asked))
    print(found, ", ".join(sorted(found.files)), sep="\n")
    sys.exit(bool(found.wrong))


async def _by_hand(folder: Path, flows: Mapping[str, Flow], asked: argparse.Namespace) -> Findings:
    async with a_killer(folder, each_end=asked.each_end) as kills:
        return await everywhere(kills, flows, every=asked.every, all_times=asked.all_times)


async def _warm() -> None:
    """Start and stop once: what is imported, read and built for the first time here, no life pays again."""
    with tempfile.TemporaryDirectory() as folder:
        town = Town(Path(folder) / "warm")
        town.folder.mkdir()
        town.write_config()
        async with build(load_config(town.config_file), town.clock):
            pass


def _lived(orders: Mapping[str, Any]) -> None:
    fatal = orders["fatal"] and tuple(orders["fatal"])
    with asyncio.Runner(loop_factory=lambda: Watched(fatal)) as runner:
        runner.run(Life(Path(orders["folder"]), orders).live())


if __name__ == "__main__":
    if sys.stdin.isatty() or len(sys.argv) > 1:
        main()
    else:
        asyncio.run(_warm())
        serve(_lived)
