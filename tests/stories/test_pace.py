"""How intake makes way for senders, and when a slot of the sender is free."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from bridge.admission import Parsed
from bridge.clock import SystemClock
from bridge.dispatcher import Dispatcher
from bridge.domain.alert import Alert, AlertStatus, Report
from bridge.domain.escalation import Policy, Step
from bridge.domain.house import House, Person, Role, SmsRules
from bridge.domain.notification import Notification, State
from bridge.domain.routing import Route
from bridge.intake import Intake
from bridge.metrics import Metrics
from bridge.outbox import Outbox
from bridge.ports import Live, Outgoing, Receipt, SendOutcome, SmsGateway, Store, Submitted
from bridge.sender import Sender
from bridge.ticker import Ticker
from storage import open_store
from tests.fakes import FakeClock
from tests.storage.values import NOW, NUMBER, claimed, typed


class Backlog:
    """Store, door and clock of an intake. A webhook takes a second of `work`; `slices` says when how many began."""

    def __init__(self, arrivals: Sequence[float], work: Sequence[float]) -> None:
        self._arrivals = arrivals
        self._work = work
        self._time = 0.0
        self._understood: set[int] = set()
        self.slices: list[tuple[float, list[int]]] = []

    async def read(self, fn: Callable[[Any], Any]) -> Any:
        return fn(self)

    def receipts_waiting(self, limit: int) -> list[Receipt]:
        here = [n for n, at in enumerate(self._arrivals) if at <= self._time and n not in self._understood]
        if len(here) > limit:
            here = here[: limit - limit // 2] + here[-(limit // 2) :]
        return [Receipt(n + 1, "alertmanager", NOW + timedelta(seconds=self._arrivals[n]), b"{}") for n in here]

    async def accept(self, arrived: Sequence[Parsed]) -> None:
        numbers = [parsed.receipt.id - 1 for parsed in arrived]
        self.slices.append((self._time, numbers))
        self._understood.update(numbers)
        self._time += sum(self._work[n] for n in numbers)

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self._time)

    def monotonic(self) -> float:
        return self._time

    async def wait(self, seconds: float) -> None:
        self._time += seconds

    async def understand(self, kind: type[Intake] = Intake) -> float:
        """Run an intake whenever something waits, as its commits would; when all is understood."""

        def parse(kind: str, receipt: Receipt) -> Report:
            raise ValueError("never asked: the house has no sources")

        clock = cast("SystemClock", self)
        intake = kind(cast("Store", self), cast("Dispatcher", self), parse, Live(House()), clock)
        while len(self._understood) < len(self._arrivals):
            if not self.receipts_waiting(1):
                self._time = min(at for at in self._arrivals if at > self._time)
            await intake.run()
        return self._time


class Greedy(Intake):
    """The planted bug: never makes way."""

    def _arriving(self, receipts: Sequence[Receipt]) -> bool:
        return False


async def test_a_flood_leaves_most_of_the_time_to_those_who_knock() -> None:
    arrivals = [n / 4000 for n in range(4000)]
    backlog, greedy = Backlog(arrivals, [0.0005] * 4000), Backlog(arrivals, [0.0005] * 4000)
    ended = await backlog.understand()
    await greedy.understand(Greedy)

    during, greedily = ([n for at, n in one.slices if at < arrivals[-1]] for one in (backlog, greedy))
    assert 0.15 < 0.0005 * sum(map(len, during)) < 0.21
    assert max(map(len, during)) <= 40, "so few that nobody waits long for them"
    assert 0.0005 * sum(map(len, greedily)) > 0.9, "a greedy one is found out"
    assert ended - arrivals[-1] < 2 - 0.15 + 0.1, "what is left is understood without a rest"
    assert max(len(numbers) for _, numbers in backlog.slices) == 200


@pytest.mark.parametrize(
    ("arrivals", "work", "began"),
    [
        ([0.01 * n for n in range(50)], 0.005, [0.01 * n for n in range(50)]),
        ([0.5] * 10, 0.005, [0.5]),
        ([0.0, 0.001], 2.0, [0.0, 2.0 + 0.02]),
    ],
    ids=["one after the other", "ten at once", "one in the shadow of a giant"],
)
async def test_what_is_no_flood_is_understood_at_once(arrivals: list[float], work: float, began: list[float]) -> None:
    backlog = Backlog(arrivals, [work] * len(arrivals))
    await backlog.understand()
    assert [at for at, _ in backlog.slices] == pytest.approx(began)


class Wire:
    """Outbox and gateway of a sender: answers come when the test says so, and so do the commits."""

    def __init__(self, rows: Sequence[Notification]) -> None:
        self._rows = list(rows)
        self.answered, self.on_disk = asyncio.Semaphore(0), asyncio.Event()
        self.asked: list[str] = []
        self.recorded: list[int] = []
        self.looks = 0

    async def claim(self, limit: int) -> list[Notification]:
        taken, self._rows = self._rows[:limit], self._rows[limit:]
        return taken

    async def expire_leases(self) -> int:
        self.looks += 1
        return 0

    async def send(self, outgoing: Outgoing, *, not_after: float | None = None) -> SendOutcome:
        self.asked.append(outgoing.reference)
        await self.answered.acquire()
        return Submitted(outgoing.reference)

    async def record(self, row: Notification, outcome: SendOutcome) -> None:
        await self.on_disk.wait()
        self.recorded.append(row.id)


async def test_a_slot_is_free_once_the_gateway_answered_and_not_before() -> None:
    clock = SystemClock()
    rows = [claimed(typed(number, reference=f"sb{number}"), at=clock.now()) for number in (1, 2)]
    wire = Wire(rows)
    sender = Sender(cast("Outbox", wire), cast("SmsGateway", wire), clock, slots=1)
    free = asyncio.Event()
    sender.on_free = free.set

    await sender.run()
    await asyncio.sleep(0)
    await sender.run()
    assert wire.asked == ["sb1"]

    wire.answered.release()
    await free.wait()
    await sender.run()
    await asyncio.sleep(0)
    assert (wire.asked, wire.recorded) == (["sb1", "sb2"], [])

    wire.answered.release()
    wire.on_disk.set()
    await sender.drain()
    assert sorted(wire.recorded) == [1, 2]


async def test_leases_are_looked_at_once_a_second_however_often_there_is_something_to_claim() -> None:
    clock, wire = FakeClock(), Wire([])
    sender = Sender(cast("Outbox", wire), cast("SmsGateway", wire), clock, slots=1)
    looks = []
    for seconds in (0, 0, 0.5, 0.5, 0.9, 0.1, 60):
        clock.advance(seconds)
        await sender.run()
        looks.append(wire.looks)
    assert looks == [1, 1, 1, 2, 2, 3, 4]


class Noon(SystemClock):
    """Stands still."""

    def now(self) -> datetime:
        return NOW


async def test_a_row_that_nobody_wants_hides_no_other(tmp_path: Path) -> None:
    house = House(sms=SmsRules(allowed_regions=frozenset({"KZ"})), scripts={"scripts": Role.OPERATOR})
    rows = [typed(n, asked_by="api:scripts", expires_at=NOW) for n in range(1, 30)]
    async with open_store(tmp_path / "bridge.db") as store:
        await store.write(lambda tx: tx.add_notifications([*rows, typed(99, asked_by="api:scripts")]))

        claimed = await Outbox(store, Noon(), Live(house), Metrics()).claim(2)

        assert [row.id for row in claimed] == [99]


async def test_an_sms_is_planned_and_claimed_in_one_commit(tmp_path: Path) -> None:
    """Two ticks, one sync of the disk: intake writes the plan, and the sender that it woke claims right behind it."""
    house = House(
        people={"jonas": Person("jonas", number=NUMBER)},
        policies={"all": Policy("all", (Step(("jonas",)),))},
        routes=(Route("all", policy="all"),),
        sms=SmsRules(allowed_regions=frozenset({"KZ"})),
    )
    clock, metrics = SystemClock(), Metrics()
    async with open_store(tmp_path / "bridge.db") as store:
        live = Live(house)
        dispatcher, outbox = Dispatcher(store, clock, live, metrics), Outbox(store, clock, live, metrics)
        taken: list[Notification] = []

        class Claiming:
            name = "sender"

            async def run(self) -> None:
                taken.extend(await outbox.claim(16))

        ticker = Ticker([Claiming()], {"sender": timedelta(hours=1)}, clock, metrics)
        ticker.start()
        await asyncio.sleep(0)  # it finds nothing at the start
        await store.write(lambda tx: tx.set_meta("started", "yes"))
        dispatcher.on_accept = lambda: ticker.wake(["sender"])
        before = store.commits
        number = await dispatcher.keep_webhook("alertmanager", None, {}, b"{}")
        receipt = Receipt(number, "alertmanager", clock.now(), b"{}")
        alert = Alert("a", AlertStatus.FIRING, clock.now(), "DiskFull")
        await dispatcher.accept([Parsed(receipt, Report("group", [alert]))])
        assert store.commits - before == 2
        await ticker.stop(within=10)
        assert [(row.state, row.incident_id, row.text is not None) for row in taken] == [(State.SENDING, 1, True)]
