"""A Mobizon that fails at random, and a town that sends through it: three requests in ten go wrong, each its own way.

What is left out: codes that refuse a message for good, which are an end of their own, told at once.
By hand: python -m tests.faults.chaos --messages 100000, or with --planted to see it turn red.
"""

import argparse
import asyncio
import logging
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from aiohttp import web

from bridge.demo.mobizon import Fault, SimulatedMobizon
from bridge.domain.notification import Notification, State, lost_token
from bridge.mobizon import Mobizon
from bridge.ports import Lost, Outgoing, SendOutcome, Transaction, Unreachable
from bridge.sender import Sender
from tests.fakes import FakeClock
from tests.world import AIGERIM, CONFIG, World, firing

_SHARE = 0.3  # of requests go wrong
_BATCH = 40  # messages that come at once
_EACH = 40  # messages to one number
_IN_CHAT = 20  # one message in so many is typed in a chat, and has a card there
_MARK = re.compile(r"m\d{6}")

_HTML = b"<html><h1>Bad Gateway</h1></html>"
_GARBAGE = (b"", b"null", b"[]", b"{}", b"42", b'"ok"', b'{"code":0', b'{"code":"x"}', b'{"code":0,"data":[]}', b"\xff")
_SAY_NOTHING = (3, 7, 10, 15, 31, 98, 99, 100, 500, 999)  # codes after which nobody knows
_NOT_TAKEN = (8, 9, 14, 30)  # codes that promise that nothing was done

_reference: ContextVar[str] = ContextVar("reference", default="")


class FailingMobizon(SimulatedMobizon):
    """While it fails, a share of requests meets one of F15 to F25. `late` are the references performed late."""

    def __init__(self, clock: FakeClock, chance: random.Random) -> None:
        super().__init__(clock, balance=Decimal(10**9))
        self.share = 0.0
        self.only: Collection[str] = ()  # these faults and no others, if any are named
        self.tried: Counter[str] = Counter()
        self.late: set[str] = set()
        self.stalled: set[str] = set()  # references of sends that wait for the clock, or for whoever holds them
        self.another_stalled = asyncio.Event()
        self._fake_clock = clock
        self._chance = chance

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        reference = str((await request.post()).get("params[name]", ""))
        _reference.set(reference)
        if not self.only and self._chance.random() < self.share / 6:
            self.tried["slow"] += 1
            if reference:
                with self._stalling(reference):
                    await self._clock.wait(self._chance.uniform(1, 30))
            else:  # whoever asks waits in the middle of a tick, where no test can move the clock
                self._fake_clock.advance(self._chance.uniform(1, 30))
        return await super()._handle(request)

    def _fault(self, method: str) -> Fault:
        if self._chance.random() >= self.share:
            return Fault(carries_out=True)
        sending = method.endswith("sendsmsmessage")
        kinds = _OF_SENDS if sending else _OF_QUESTIONS
        possible = [kind for kind in sorted(kinds) if not self.only or kind in self.only]
        if not possible:
            return Fault(carries_out=True)
        kind = self._chance.choice(possible)
        self.tried[f"{kind} of a {'send' if sending else 'question'}"] += 1
        fault = kinds[kind](self._chance)
        if fault.late is not None or (fault.holds and not fault.carries_out):
            self.late.add(_reference.get())
        return fault

    async def _hold(self) -> bool:
        with self._stalling(_reference.get()):
            return await super()._hold()

    async def _drip(self, request: web.Request, answer: bytes, part: str) -> web.Response:
        with self._stalling(_reference.get()):
            return await super()._drip(request, answer, part)

    @contextmanager
    def _stalling(self, reference: str) -> Iterator[None]:
        self.stalled.add(reference)
        self.another_stalled.set()
        try:
            yield
        finally:
            self.stalled.discard(reference)


def _coin(chance: random.Random) -> bool:
    return chance.random() < 0.5


_OF_QUESTIONS = {
    "cut": lambda chance: Fault(cuts=True),
    "bad gateway": lambda chance: Fault(status=chance.choice((500, 502, 503, 504)), body=_HTML),
    "garbage": lambda chance: Fault(body=chance.choice(_GARBAGE)),
    "patience by HTTP": lambda chance: Fault(status=429, body=b"slow down", headers={"Retry-After": "7"}),
    "refusing code": lambda chance: Fault(body=_code(chance.choice(_NOT_TAKEN))),
    "code that says nothing": lambda chance: Fault(body=_code(chance.choice(_SAY_NOTHING))),
}
_OF_SENDS = _OF_QUESTIONS | {
    "cut": lambda chance: Fault(cuts=True, carries_out=_coin(chance)),
    "bad gateway": lambda chance: Fault(
        status=chance.choice((500, 502, 503, 504)), body=_HTML, carries_out=_coin(chance)
    ),
    "garbage": lambda chance: Fault(body=chance.choice(_GARBAGE), carries_out=_coin(chance)),
    "code that says nothing": lambda chance: Fault(body=_code(chance.choice(_SAY_NOTHING)), carries_out=_coin(chance)),
    "silence": lambda chance: Fault(holds=True, carries_out=_coin(chance)),
    "drip": lambda chance: Fault(carries_out=True, drips=chance.choice(("headers", "body"))),
    "late": lambda chance: Fault(cuts=True, late=timedelta(seconds=chance.uniform(1, 600))),
}


def _code(code: int) -> bytes:
    return b'{"code":%d,"data":null,"message":"no"}' % code


class HastyMobizon(Mobizon):
    """The planted bug: whoever heard nothing in time says that nothing was sent."""

    async def send(self, outgoing: Outgoing, *, not_after: float | None = None) -> SendOutcome:
        outcome = await super().send(outgoing, not_after=not_after)
        if isinstance(outcome, Lost) and "no answer within" in outcome.reason:
            return Unreachable(outcome.reason)
        return outcome


class Town(World):
    """A world whose sends may hang while others go on. `hasty`: its bridge has the planted bug."""

    def __init__(self, folder: Path, config: str, chance: random.Random, *, hasty: bool) -> None:
        super().__init__(folder, config)
        self.mobizon = self.failing = FailingMobizon(self.clock, chance)
        self._hasty = hasty

    async def wakes(self) -> None:
        await super().wakes()
        bridge = self.bridge
        # Nothing is forgotten within hours, and at every settling its commit would be a third of all.
        bridge.ticks = [tick for tick in bridge.ticks if tick.name != "retention"]
        if self._hasty:
            settings = bridge.config.value.mobizon
            gateway = await self._life.enter_async_context(HastyMobizon(settings, self.clock, bridge.metrics))
            hasty = Sender(bridge.outbox, gateway, self.clock, settings.concurrency)
            bridge.ticks[bridge.ticks.index(bridge.sender)] = hasty
            bridge.sender = hasty

    async def _sent_something(self) -> bool:
        """Wait for what is on the wire, but for what waits for the clock."""
        some = False
        while flying := set(self.bridge.sender.in_flight):
            self.failing.another_stalled.clear()
            sending = await self.bridge.store.read(lambda tx: tx.sending())
            if sending and all(row.reference in self.failing.stalled for row in sending):
                break
            stall = asyncio.create_task(self.failing.another_stalled.wait())
            done, _ = await asyncio.wait({*flying, stall}, return_when=asyncio.FIRST_COMPLETED)
            stall.cancel()
            some = some or bool(done - {stall})
        return some

    async def goes_on(self, seconds: float) -> None:
        """Let time pass in steps coarser than a story's."""
        for _ in range(max(1, round(seconds / 5))):
            self.clock.advance(5)
            await self.settle()


@asynccontextmanager
async def a_town(folder: Path, config: str, chance: random.Random, *, hasty: bool) -> AsyncIterator[Town]:
    town = Town(folder, config, chance, hasty=hasty)
    await town.telegram.start()
    try:
        async with town.mobizon:
            await town.wakes()
            try:
                yield town
            finally:
                town.mobizon.recovers()
                await town.sleeps()
    finally:
        await town.telegram.stop()


@dataclass
class Tally:
    """What was tried, and what the ledger, the database and the chat say of it."""

    messages: int = 0
    requests: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    performed_late: int = 0
    found: int = 0  # sends whose answer was lost, found in the list
    resent: int = 0  # pages that were not listed, and went out once more
    asked: int = 0  # typed ones that were not listed, and asked about
    given_up: int = 0  # pages lost twice over; the incident says that nobody knows
    page_twice: list[str] = field(default_factory=list)  # performed after it was not listed for five minutes
    wrong: list[str] = field(default_factory=list)  # everything that must not be

    def __str__(self) -> str:
        faults = ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items()))
        return (
            f"{self.messages} messages in {self.requests} requests, {self.faults.total()} went wrong ({faults}): "
            f"{self.found} found in the list, {self.resent} pages sent once more, {self.asked} asked about, "
            f"{self.given_up} pages given up on aloud, {len(self.page_twice)} of {self.performed_late} performed late "
            f"made a page twice; wrong: {'; '.join(self.wrong) or 'nothing'}"
        )


async def torment(
    folder: Path,
    messages: int,
    seed: int = 1,
    *,
    hasty: bool = False,
    only: Collection[str] = (),
    share: float = _SHARE,
) -> Tally:
    """Send so many messages through a failing Mobizon, let it recover, and count."""
    chance, tally = random.Random(seed), Tally(messages)
    people = max(20, messages // _EACH)
    async with a_town(folder, _config(people), chance, hasty=hasty) as town:
        town.failing.share, town.failing.only = share, only
        for first in range(0, messages, _BATCH):
            await _come(town, range(first, min(first + _BATCH, messages)), people)
            town.failing.list_lag = timedelta(seconds=0 if only else chance.choice((0, 0, 20, 60, 120)))
            if not only and chance.random() < 0.1:
                town.failing.tried["closed port"] += 1
                await town.failing.stop()
                await town.goes_on(chance.uniform(5, 60))
                await town.failing.start()
            await town.goes_on(chance.uniform(5, 60))
            if _coin(chance):
                town.failing.answers_held()
        town.failing.share, town.failing.list_lag = 0, timedelta(0)
        town.failing.recovers()
        await town.advance(hours=1)
        await _count(town, tally)
    return tally


async def _come(town: Town, numbers: Sequence[int], people: int) -> None:
    async def one(number: int) -> None:
        mark, person = f"m{number:06}", f"p{number % people}"
        if number % _IN_CHAT == 0:
            return
        if number % 2:
            path, token, body = f"/webhooks/alertmanager/{person}", "am-secret", firing(mark, name=mark)
        else:
            path, token, body = "/api/v1/sms", "api-secret", {"to": person, "text": mark}
        async with town.http.post(path, json=body, headers={"Authorization": f"Bearer {token}"}) as answer:
            assert answer.status == 202, await answer.text()

    for number in numbers:
        if number % _IN_CHAT == 0:
            await town.types(f"/sms p{number % people} m{number:06}")
    await asyncio.gather(*map(one, numbers))
    await town.settle()


async def _count(town: Town, tally: Tally) -> None:
    rows = {row.id: row for row in await _rows(town)}
    marks = {row.id: found[0] for row in rows.values() if row.text and (found := _MARK.search(row.text))}
    ledger, late = _ledger(town), _late(town)
    tally.requests, tally.faults = len(town.mobizon.requests), town.failing.tried
    tally.performed_late = len(late)
    told = await town.metrics()
    tally.found = _resolved(told, "found")
    tally.resent = _resolved(told, "resent")
    for number, mark in marks.items():
        row, count = rows[number], ledger[mark]
        if count > 1 and row.is_page and count == 2 and row.resent and mark in late:
            tally.page_twice.append(mark)
        elif count > 1:
            tally.wrong.append(f"{mark} came {count} times")
        elif count == 0 and row.is_page and row.state is State.FAILED and row.resent:
            tally.given_up += 1
        elif count == 0 and row.is_carried and row.state is State.DELIVERED:
            pass  # counted in an SMS that had no room for its name
        elif count == 0 and (row.state is not State.UNCERTAIN or row.asked_at is None):
            tally.wrong.append(f"{mark} is {row.state}, and nobody has it")
    tally.wrong += [f"{mark} came from nowhere" for mark in ledger.keys() - set(marks.values())]
    if len(marks) != tally.messages:
        tally.wrong.append(f"{len(marks)} rows for {tally.messages} messages")
    await _settle_by_hand(town, tally)


async def _settle_by_hand(town: Town, tally: Tally) -> None:
    """Somebody presses *Send again* under each that is asked about: then all have come, and none twice."""
    asked = [row for row in await _rows(town) if row.state is State.UNCERTAIN and row.asked_at is not None]
    tally.asked = len(asked)
    for row in asked:
        if row.chat is not None:
            card = next(card for card in town.ops.cards if f"#{row.id} " in card.text and card.buttons)
            town.telegram.press_data(card.keyboard[0][0]["callback_data"], AIGERIM, card)
        else:
            await town.bridge.dispatcher.settle_lost(row.id, lost_token(row), AIGERIM, AIGERIM, again=True)
    await town.advance(minutes=10)
    ledger = _ledger(town)
    for row in await _rows(town):
        found = _MARK.search(row.text or "")
        if row.is_page or found is None:
            continue
        if ledger[found[0]] != 1 or row.state is not State.DELIVERED:
            tally.wrong.append(f"typed {found[0]} came {ledger[found[0]]} times and is {row.state}")
    for card in town.ops.cards:
        if "on the handset" not in card.text:
            tally.wrong.append(f"a card ends with {card.text!r}")


async def _rows(town: Town) -> list[Notification]:
    """All of them; what left with others is known by its incident, for one text tells of several."""

    def look(tx: Transaction) -> list[Notification]:
        rows = tx.find_notifications(limit=10**7)
        titles = {n: i.title for n, i in tx.incidents_by_id({row.incident_id or 0 for row in rows}).items()}
        return [replace(row, text=titles[row.incident_id or 0]) if row.carried_by else row for row in rows]

    return await town.bridge.store.read(look)


def _ledger(town: Town) -> Counter[str]:
    return Counter(mark for sms in town.mobizon.sent for mark in set(_MARK.findall(sms.text)))


def _late(town: Town) -> set[str]:
    """Marks of the messages that had an attempt performed late."""
    late = town.failing.late
    return {found[0] for sms in town.mobizon.sent if sms.reference in late and (found := _MARK.search(sms.text))}


def _resolved(metrics: str, how: str) -> int:
    found = re.search(rf'sms_bridge_uncertain_total{{resolution="{how}"}} (\S+)', metrics)
    return int(float(found[1])) if found else 0


def _config(many: int) -> str:
    names = [f"p{number}" for number in range(many)]
    people = "".join(f'  {name}: {{phone: "+7701{10_000 + number:07}"}}\n' for number, name in enumerate(names))
    policies = "".join(f"  {name}: {{steps: [{{notify: [{name}]}}]}}\n" for name in names)
    routes = "".join(f"  - {{name: {name}, policy: {name}}}\n" for name in names)
    limits = 'limits: {per_person: {1h: 1000000}, total: {1h: 1000000}, typed_share: 100%}\nstorm: "off"\n'
    text = CONFIG
    for after, more in (("people:\n", people), ("policies:\n", policies), ("routes:\n", routes)):
        text = text.replace(after, after + more)
    return text.replace("sms: {default", f"{limits}sms: {{default")


def main() -> None:
    parser = argparse.ArgumentParser(description="Send through a Mobizon that fails at random.")
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--planted", action="store_true", help="let a bridge send that takes silence for not sent")
    asked = parser.parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        tally = asyncio.run(torment(Path(folder), asked.messages, asked.seed, hasty=asked.planted))
    print(tally)
    sys.exit(bool(tally.wrong))


if __name__ == "__main__":
    main()
