"""Many lives of a real bridge process, each ended by kill -9 or SIGTERM, while webhooks and API sends keep coming.

Whoever sends repeats until it is answered, as Alertmanager does; the simulated Mobizon stays up and knows the truth.
By hand: python -m tests.faults.kill --kills 1000 --messages 20000, with --gently for SIGTERM, or with --planted to
see it turn red.
"""

import argparse
import asyncio
import logging
import os
import random
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path

import aiohttp

from bridge.domain.notification import State, lost_token
from tests.world import AIGERIM, World, firing

ROOT = Path(__file__).parents[2]
_EACH = 100  # messages to one number; Mobizon is asked for its last 500 when one of them is lost
_PATIENCE = 30.0  # seconds for a bridge to come up; it takes a third of one
_CLIMBS = 5  # of so many people one is paged in two steps, the second a moment after the first
_POSTING = 0.15  # seconds of a life in which requests come
_STARTING = 0.3  # seconds that a life takes to be up
_LATENCY = 0.03  # of Mobizon, between carrying out and answering: where a death leaves nobody knowing
_BEFORE_IT_IS_UP = 0.2  # of all kills
_MARK = re.compile(r"m\d{6}")

_CONFIG = """
server: {listen: "127.0.0.1:PORT"}
storage: {url: sqlite:bridge.db}
mobizon: {base_url: MOBIZON, api_key: demo}
people:
  aigerim: {phone: "+77010000001", telegram_id: 111111111, role: operator}
  PEOPLE
policies: {POLICIES}
sources: {alertmanager: {token: am-secret}}
routes: [ROUTES]
sms: {default_region: KZ, allowed_regions: [KZ]}
limits: {per_person: {1h: 1000000}, total: {1h: 1000000}, typed_share: 100%}
storm: "off"
api: {tokens: {scripts: {token: api-secret, role: operator}}}
"""

# Imports cost a second and more of each life, so they are paid once: each life is forked off a process that
# has done nothing but import, and runs the whole of `sms-bridge run` from there.
_NURSERY = """
import os, sys
import bridge.app, bridge.cli, bridge.cli.verbs, bridge.logs, uvloop
for line in sys.stdin:
    if not (pid := os.fork()):
        os.dup2(2, 1)
        sys.argv = ["sms-bridge", "run", "--config", line.strip()]
        bridge.cli.main()
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


@dataclass(frozen=True)
class Bug:
    """A mistake that a harness has to find: in a copy of `file`, `old` is replaced by `new`, and `also` others."""

    file: str
    old: str
    new: str
    more_old: str = ""
    more_new: str = ""
    also: tuple["Bug", ...] = ()


TRUSTS_ITS_DATABASE = Bug("bridge/sender.py", "if await self.sent_before(row):", "if False:")
"""After a kill, what is planned is looked for before it is sent: that hides other mistakes, so it goes with them."""


BUGS = {
    "answers-before-the-commit": Bug(
        "bridge/dispatcher.py",
        "tx.keep_receipt(source, route, headers, body, now)\n\n        return await self._store.write(keep)",
        "tx.keep_receipt(source, route, headers, body, now)\n\n"
        "        import asyncio\n"
        "        asyncio.get_running_loop().call_later(\n"
        "            0.05, lambda: asyncio.ensure_future(self._store.write(keep)))\n"
        "        return 0",
    ),
    "sends-again-what-was-on-the-wire": Bug(
        "bridge/outbox.py",
        'lost = _lost(row, "we stopped while it was being sent", now)',
        "lost = row.becomes(Event.UNREACHABLE, due_at=now, claimed_at=None, lease_until=None)",
        also=(TRUSTS_ITS_DATABASE,),
    ),
    "climbs-from-the-top": Bug(
        "bridge/domain/escalation.py",
        "for number, step in enumerate(policy.steps, start=1):",
        "for number, step in enumerate(reversed(policy.steps), start=1):",
    ),
    "stops-without-waiting-for-answers": Bug(
        "bridge/app.py",
        "        await asyncio.wait({asyncio.create_task(bridge.sender.drain())}, timeout=max(0.0, left))\n",
        "        for sending in bridge.sender.in_flight:\n            sending.cancel()\n",
    ),
}


@dataclass
class Tally:
    """What was tried, and what Mobizon's ledger and the database say of it."""

    kills: int = 0
    while_starting: int = 0
    at_work: int = 0  # requests were on their way in
    repeated: int = 0  # requests that a kill left without an answer
    accepted: int = 0
    uncertain: int = 0  # rows whose fate a kill left open
    settled_by_hand: int = 0  # typed ones that Mobizon did not list
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    climbed: int = 0  # pages that went to two people, one after the other
    out_of_turn: list[str] = field(default_factory=list)
    unfinished: dict[str, int] = field(default_factory=dict)
    resent: set[str | None] = field(default_factory=set, repr=False)  # references of what was lost, and sent once more
    more: dict[str | None, set[str]] = field(default_factory=dict, repr=False)  # what an SMS tells of as well

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.twice or self.unexpected or self.out_of_turn or self.unfinished)

    def __str__(self) -> str:
        return (
            f"{self.kills} ends ({self.while_starting} while starting, {self.at_work} with requests coming in), "
            f"{self.accepted} messages accepted, {self.climbed} of them climbed, "
            f"{self.repeated} requests left without an answer and repeated, {self.uncertain} sends uncertain, "
            f"{self.settled_by_hand} sent again by hand: {len(self.lost)} lost, {len(self.twice)} twice, "
            f"{len(self.unexpected)} unexpected, {len(self.out_of_turn)} out of turn, "
            f"unfinished {self.unfinished or 'none'}"
        )


class Senders:
    """Alertmanager and a script: they repeat each message until it is taken, and remember what was."""

    def __init__(self, messages: int, people: int, base_url: str) -> None:
        self.waiting = deque(range(messages))
        self._people = people
        self.accepted: set[str] = set()
        self.repeated = 0
        self._base_url = base_url

    async def send(self, numbers: Sequence[int], spread: Sequence[float]) -> None:
        """Each once, so many seconds from now; what is not taken waits again."""
        async with aiohttp.ClientSession(self._base_url) as http:

            async def one(number: int, after: float) -> None:
                await asyncio.sleep(after)
                if await self._taken(http, number):
                    self.accepted.add(mark(number))
                else:
                    self.waiting.append(number)

            await asyncio.gather(*(one(number, after) for number, after in zip(numbers, spread, strict=True)))

    def called(self, number: int) -> list[int]:
        """Whom this one comes to, in this order."""
        person = number % self._people
        return rungs(person, self._people) if number % 2 else [person]

    async def _taken(self, http: aiohttp.ClientSession, number: int) -> bool:
        name, person = mark(number), f"p{number % self._people}"
        if number % 2:
            path, token, body = f"/webhooks/alertmanager/{person}", "am-secret", firing(name, name=name)
        else:
            path, token = "/api/v1/sms", "api-secret"
            body = {"to": person, "text": name, "idempotency_key": name}
        try:
            async with http.post(path, json=body, headers={"Authorization": f"Bearer {token}"}) as answer:
                return answer.status in (200, 202)
        except (aiohttp.ClientError, OSError):
            self.repeated += 1
            return False


class Nursery:
    """Where the bridge processes come from; one lives at a time."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self._port = port
        self._pid = 0

    async def bears(self, config: Path) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{config}\n".encode())
        self._pid = await self._hears()

    async def is_up(self) -> None:
        """Return once it listens."""
        async with asyncio.timeout(_PATIENCE):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                except OSError:
                    await asyncio.sleep(0.005)
                else:
                    writer.close()
                    return

    async def kills(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        status = await self._hears()
        assert status == signal.SIGKILL, f"it ended by itself, with wait status {status}"

    async def asks_to_stop(self, again_after: float | None, *, is_up: bool) -> None:
        """SIGTERM, and a second one so many seconds later. Before it can hear, it may just end by the first."""
        os.kill(self._pid, signal.SIGTERM)
        if again_after is not None:
            await asyncio.sleep(again_after)
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)
        status = await self._hears()
        assert status == 0 or (status == signal.SIGTERM and not is_up), f"asked to stop, its wait status is {status}"

    async def _hears(self) -> int:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), _PATIENCE)
        assert line, "the nursery ended; what it said stands above"
        return int(line)


@asynccontextmanager
async def a_nursery(tree: Path, port: int, **environment: str) -> AsyncIterator[Nursery]:
    """`tree` is the source tree whose bridge lives."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _NURSERY),
        cwd=tree,
        env={**os.environ, "LOG_LEVEL": "ERROR", "PYTHONPATH": str(tree), **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    nursery = Nursery(process, port)
    try:
        yield nursery
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def torture(
    folder: Path, kills: int, messages: int, seed: int = 1, bug: Bug | None = None, *, gently: bool = False
) -> Tally:
    """Kill so often, or ask to stop, while so many messages come; then live on in peace and count."""
    chance, port, people, tally = random.Random(seed), _free_port(), max(20, messages // _EACH), Tally()
    world = World(folder, _config(port, people))
    world.clock.jump((datetime.now(UTC) - world.clock.now()).total_seconds())
    world.mobizon.latency = _LATENCY
    world.mobizon.balance = Decimal(100 * messages)
    senders = Senders(messages, people, f"http://127.0.0.1:{port}")
    async with world.mobizon, a_nursery(with_bug(bug, folder) if bug else ROOT, port) as nursery:
        world.config_file.write_text(world.config_text.replace("MOBIZON", world.mobizon.base_url))
        world.config_file.chmod(0o600)
        going = asyncio.create_task(_goes_along(world))

        async def ends(is_up: bool) -> None:
            if gently:
                again_after = chance.uniform(0, _LATENCY) if chance.random() < 0.5 else None
                await nursery.asks_to_stop(again_after, is_up=is_up)
            else:
                await nursery.kills()

        for left in range(kills, 0, -1):
            await nursery.bears(world.config_file)
            tally.kills += 1
            if chance.random() < _BEFORE_IT_IS_UP:
                tally.while_starting += 1
                await asyncio.sleep(chance.uniform(0, _STARTING))
                await ends(is_up=False)
            else:
                await nursery.is_up()
                share = [senders.waiting.popleft() for _ in range(-(-len(senders.waiting) // left))]
                await _work(world, senders, partial(ends, is_up=True), share, chance, tally)
        going.cancel()
        world.mobizon.latency = 0
        await _live_on(world, senders, tally)
        _count(world, senders, tally)
    return tally


async def _work(
    world: World,
    senders: Senders,
    ends: Callable[[], Awaitable[None]],
    share: Sequence[int],
    chance: random.Random,
    tally: Tally,
) -> None:
    """Send these, and end it in the middle: measured in what reached Mobizon, for a busy machine is a slow one."""
    enough = len(world.mobizon.requests) + chance.randint(0, len(share))
    async with asyncio.timeout(_PATIENCE), asyncio.TaskGroup() as tasks:
        posting = tasks.create_task(senders.send(share, [chance.uniform(0, _POSTING) for _ in share]))
        reached = tasks.create_task(world.mobizon.has_seen(enough))
        await asyncio.wait({posting, reached}, return_when=asyncio.FIRST_COMPLETED)
        reached.cancel()
        await asyncio.sleep(chance.uniform(0, _LATENCY))
        tally.at_work += not posting.done()
        await ends()


async def _goes_along(world: World) -> None:
    """Mobizon's clock goes as the machine's does, while real processes run."""
    while True:
        await asyncio.sleep(0.01)
        world.clock.advance(0.01)


async def _live_on(world: World, senders: Senders, tally: Tally) -> None:
    """The last life is lived in this process on the world's clock: the looks for what was lost take minutes."""
    await world.wakes()
    try:
        counts = await world.bridge.store.read(lambda tx: tx.outbox_counts())
        tally.uncertain = counts.get(State.UNCERTAIN, 0)
        rest = list(senders.waiting)
        senders.waiting.clear()
        await senders.send(rest, [0] * len(rest))
        await world.advance(minutes=10)
        rows = await world.bridge.store.read(lambda tx: tx.find_notifications(state=State.UNCERTAIN, limit=10**6))
        for row in rows:
            assert row.asked_at is not None, f"#{row.id} is uncertain, and nobody is asked about it"
            await world.bridge.dispatcher.settle_lost(row.id, lost_token(row), AIGERIM, AIGERIM, again=True)
        tally.settled_by_hand = len(rows)
        await world.advance(minutes=2)
        left = await world.bridge.store.read(lambda tx: tx.outbox_counts())
        tally.unfinished = {str(state): count for state, count in left.items() if count and state != State.DELIVERED}
        await _look_up(world, tally)
        tally.repeated = senders.repeated
        tally.accepted = len(senders.accepted)
    finally:
        await world.sleeps()


async def _look_up(world: World, tally: Tally) -> None:
    """What the ledger does not say of an SMS: what it tells of and does not name, and whether it was lost before."""
    rows = await world.bridge.store.read(lambda tx: tx.find_notifications(limit=10**6))
    incidents = await world.bridge.store.read(lambda tx: tx.incidents_by_id({row.incident_id or 0 for row in rows}))
    references = {row.id: row.reference for row in rows}
    tally.resent = {row.reference for row in rows if row.resent}
    for row in rows:
        if row.is_carried:
            told = tally.more.setdefault(references[row.carried_by or 0], set())
            told.add(incidents[row.incident_id or 0].title)


def _count(world: World, senders: Senders, tally: Tally) -> None:
    owed = {(name, phone(person)) for name in senders.accepted for person in senders.called(int(name[1:]))}
    ledger, again = [], set()
    for sms in world.mobizon.sent:
        told = [(name, f"+{sms.to}") for name in {*_MARK.findall(sms.text)} | tally.more.get(sms.reference, set())]
        ledger += told or [(sms.text, f"+{sms.to}")]
        again |= set(told) if sms.reference in tally.resent else set()
    tally.lost = sorted(f"{name} to {to}" for name, to in owed - set(ledger))
    tally.unexpected = sorted(f"{name} to {to}" for name, to in set(ledger) - owed)
    tally.twice = sorted(f"{name} to {to}" for (name, to), count in Counter(ledger).items() if count > 1)
    places = {rung: place for place, rung in enumerate(ledger)}
    for name in sorted(senders.accepted):
        rungs = [(name, phone(person)) for person in senders.called(int(name[1:]))]
        tally.climbed += len(rungs) > 1
        # What may have left calls the next at once, and is sent after that if it had not.
        turns = [places[rung] for rung in rungs if rung in places and rung not in again]
        if turns != sorted(turns):
            tally.out_of_turn.append(name)


def mark(number: int) -> str:
    """What a message is recognised by, in Mobizon's ledger too."""
    return f"m{number:06}"


def rungs(person: int, many: int) -> list[int]:
    """Whom this person's policy calls, one after the other."""
    return [person, (person + 1) % many] if person % _CLIMBS == 0 else [person]


def phone(person: int) -> str:
    return f"+7701{10_000 + person:07}"


def _config(port: int, many: int) -> str:
    people = "\n  ".join(f'p{person}: {{phone: "{phone(person)}"}}' for person in range(many))
    steps = {n: ", ".join(f"{{notify: [p{one}], wait: 1s}}" for one in rungs(n, many)) for n in range(many)}
    policies = ", ".join(f"p{person}: {{steps: [{steps[person]}]}}" for person in range(many))
    routes = ", ".join(f"{{name: p{person}, policy: p{person}}}" for person in range(many))
    text = _CONFIG.replace("PEOPLE", people).replace("POLICIES", policies).replace("ROUTES", routes)
    return text.replace("PORT", str(port))


def with_bug(bug: Bug, folder: Path) -> Path:
    """A copy of the program with one mistake in it."""
    tree = folder / "planted"
    for package in ("bot", "bridge", "storage"):
        shutil.copytree(ROOT / package, tree / package)  # with what is compiled: only the mistake is not
    for mistake in (bug, *bug.also):
        file = tree / mistake.file
        text = file.read_text(encoding="utf-8")
        for old, new in ((mistake.old, mistake.new), (mistake.more_old, mistake.more_new)):
            assert not old or text.count(old) == 1, f"{mistake.file}: what the planted bug replaces is not there"
            text = text.replace(old, new) if old else text
        file.write_text(text, encoding="utf-8")
    return tree


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill a real bridge again and again while it works.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gently", action="store_true", help="ask to stop by SIGTERM instead of killing")
    parser.add_argument("--planted", choices=sorted(BUGS), help="let a bridge live that has this bug")
    asked = parser.parse_args()
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # Mobizon's, about those who died as they spoke
    with tempfile.TemporaryDirectory() as folder:
        bug = BUGS[asked.planted] if asked.planted else None
        tally = asyncio.run(torture(Path(folder), asked.kills, asked.messages, asked.seed, bug, gently=asked.gently))
    print(tally)
    sys.exit(not tally.is_clean)


if __name__ == "__main__":
    main()
