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
from tests.storage.values import NOW, NUMBER, claimed, typed


class Backlog:
    """Store, door and clock of an intake: each slice takes a tenth of a second to understand."""

    def __init__(self, slices: Sequence[Sequence[int]]) -> None:
        self._slices = iter([*slices, ()])
        self._time = 0.0
        self.understood: list[int] = []
        self.rests: list[float] = []

    async def read(self, fn: Callable[[Any], Any]) -> Any:
        return fn(self)

    def receipts_waiting(self, limit: int) -> list[Receipt]:
        return [Receipt(number, "alertmanager", NOW, b"{}") for number in next(self._slices)]

    async def accept(self, arrived: Sequence[Parsed]) -> None:
        self.understood += [parsed.receipt.id for parsed in arrived]
        self._time += 0.1

    def monotonic(self) -> float:
        return self._time

    async def wait(self, seconds: float) -> None:
        self.rests.append(seconds)
        self._time += seconds


@pytest.mark.parametrize(
    ("slices", "rests"),
    [
        ([range(1, 201), range(201, 401), range(401, 600)], [0.4, 0.4]),
        ([[*range(1, 101), *range(901, 1001)], [*range(101, 201), *range(801, 901)], range(201, 301)], [0.4]),
        ([range(1, 17)], []),
    ],
    ids=["more arrive all the time", "nothing more arrives", "a few"],
)
async def test_intake_rests_while_webhooks_keep_arriving(slices: list[list[int]], rests: list[float]) -> None:
    backlog = Backlog(slices)

    def parse(kind: str, receipt: Receipt) -> Report:
        raise ValueError("never asked: the house has no sources")

    intake = Intake(
        cast("Store", backlog), cast("Dispatcher", backlog), parse, Live(House()), cast("SystemClock", backlog)
    )
    await intake.run()

    assert backlog.rests == pytest.approx(rests)
    assert backlog.understood == [number for part in slices for number in part]


class Wire:
    """Outbox and gateway of a sender: answers come when the test says so, and so do the commits."""

    def __init__(self, rows: Sequence[Notification]) -> None:
        self._rows = list(rows)
        self.answered, self.on_disk = asyncio.Semaphore(0), asyncio.Event()
        self.asked: list[str] = []
        self.recorded: list[int] = []

    async def claim(self, limit: int) -> list[Notification]:
        taken, self._rows = self._rows[:limit], self._rows[limit:]
        return taken

    async def expire_leases(self) -> int:
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
