"""What a storm costs at sizes that no town has: the real door and outbox on SQLite, and a gateway that takes all."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from bridge.admission import Parsed
from bridge.dispatcher import Dispatcher
from bridge.domain.alert import Alert, AlertStatus, Report
from bridge.domain.escalation import Policy, Step
from bridge.domain.house import House, Person, SmsRules
from bridge.domain.incident import STORM, Incident
from bridge.domain.phone import PhoneNumber
from bridge.domain.routing import Route
from bridge.domain.throttle import Limits, Window
from bridge.metrics import Metrics
from bridge.outbox import Outbox
from bridge.ports import Duplicate, Live, Receipt, Store, Submitted, Transaction
from storage import open_store
from tests.fakes import FakeClock
from tests.faults.tracing import LONG

T = TypeVar("T")
GROUPS = 10_000 if LONG or os.environ.get("CI") else 600
_A_SLICE = 200
_DAY = timedelta(days=1)
HOUSE = House(
    people={
        "aigerim": Person("aigerim", PhoneNumber("+77010000001")),
        "jonas": Person("jonas", PhoneNumber("+77010000002")),
    },
    policies={"climb": Policy("climb", (Step(("aigerim",)), Step(("jonas",))), repeat=1)},
    routes=(Route("all", policy="climb"),),
    sms=SmsRules(allowed_regions=frozenset({"KZ"})),
    limits=Limits((Window(_DAY, 10**6),), (Window(_DAY, 10**6),)),
)


class Sound:
    """A transaction as it is; those below have one mistake each."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)


class KeepsThePlans(Sound):
    """What is part of a storm is called about by itself as well."""

    def cancel_planned(self, incident_ids: Collection[int], reason: str, now: datetime) -> int:
        return 0

    def incidents_by_id(self, ids: Collection[int]) -> dict[int, Incident]:
        return {number: replace(one, storm=None) for number, one in self._tx.incidents_by_id(ids).items()}


class CountsAlerts(Sound):
    def opened_alone(self, route: str, after: datetime) -> list[Incident]:
        return [one for one in self._tx.opened_alone(route, after) for _ in range(one.firing)]


class ForgetsItsStorm(Sound):
    """Opens another one, past the promise of the database."""

    def open_incidents(self, groups: Collection[tuple[str, str]]) -> list[Incident]:
        return [one for one in self._tx.open_incidents(groups) if not one.is_storm]

    def add_incidents(self, incidents: Iterable[Incident]) -> None:
        self._tx.add_incidents(map(self._hidden, incidents))

    def save_incidents(self, incidents: Iterable[Incident]) -> None:
        self._tx.save_incidents(map(self._hidden, incidents))

    def _hidden(self, one: Incident) -> Incident:
        return replace(one, group_key=f"{one.route} {one.id}") if one.is_storm else one


class GathersNothing(Sound):
    def paged_lately(self, after: datetime) -> list[Any]:
        return []


class Scene:
    """A door, an outbox and a gateway's ledger: who was told what, at which step."""

    def __init__(self, store: Store, kind: type[Sound]) -> None:
        self._store, self._kind = store, kind
        self.clock = FakeClock()
        self._dispatcher = Dispatcher(cast("Store", self), self.clock, Live(HOUSE), Metrics())
        self._outbox = Outbox(cast("Store", self), self.clock, Live(HOUSE), Metrics())
        self._told = 0
        self.sent: list[tuple[str, int, str]] = []

    async def write(self, fn: Callable[[Transaction], T], *, heavy: bool = False) -> T:
        return await self._store.write(lambda tx: fn(cast("Transaction", self._kind(tx))), heavy=heavy)

    async def read(self, fn: Callable[[Transaction], T]) -> T:
        return await self._store.read(fn)

    async def hears(self, *sizes: int) -> None:
        """Webhooks of new groups with so many alerts each, understood in one transaction; then what is due leaves."""
        arrived = []
        for size in sizes:
            self._told += 1
            now = self.clock.now()
            alerts = [Alert(f"{self._told}-{n}", AlertStatus.FIRING, now, f"Trouble{n}") for n in range(size)]
            number = await self._dispatcher.keep_webhook("am", None, {}, b"{}")
            arrived.append(Parsed(Receipt(number, "am", now, b"{}"), Report(f"group {self._told}", alerts)))
        await self._dispatcher.accept(arrived)
        await self.sends()

    async def sends(self) -> None:
        while rows := await self._outbox.claim(16):
            for row in rows:
                self.sent.append((row.person or "", row.step, row.text or ""))
                await self._outbox.record(row, Submitted(f"message {len(self.sent)}"))

    async def goes_on(self, seconds: int, every: int = 5) -> None:
        for _ in range(0, seconds, every):
            self.clock.advance(every)
            await self.sends()

    async def storms(self) -> int:
        return sum(one.source == STORM for one in await self._store.read(lambda tx: tx.incidents(limit=10**6)))

    def per_person_and_step(self) -> Counter[tuple[str, int]]:
        return Counter((person, step) for person, step, _ in self.sent)


async def _in_a_burst(scene: Scene, groups: int) -> None:
    await scene.hears(1)
    for first in range(1, groups, _A_SLICE):
        scene.clock.advance(0.05)
        await scene.hears(*[1] * min(_A_SLICE, groups - first))
    await scene.goes_on(290)


@pytest.mark.timeout(600)
async def test_thousands_of_groups_cost_two_sms_a_person_and_step(tmp_path: Path) -> None:
    async with open_store(tmp_path / "bridge.db") as store:
        scene = Scene(store, Sound)
        await _in_a_burst(scene, GROUPS)
        assert scene.per_person_and_step() == {("aigerim", 1): 2}
        assert f"{GROUPS} alerts" in scene.sent[1][2]
        await scene.goes_on(1200, 20)  # all the rungs
        assert scene.per_person_and_step() == {("aigerim", 1): 3, ("jonas", 2): 2}  # and once more, for the storm
        assert await scene.storms() == 1


@pytest.mark.parametrize("kind", [KeepsThePlans, ForgetsItsStorm])
async def test_it_shows_storms_that_cost_more(tmp_path: Path, kind: type[Sound]) -> None:
    async with open_store(tmp_path / "bridge.db") as store:
        scene = Scene(store, kind)
        for _ in range(60):  # one after the other: each has its plan before the storm is one
            scene.clock.advance(0.1)
            await scene.hears(1)
        await scene.goes_on(1500, 20)
        sound = scene.per_person_and_step() == {("aigerim", 1): 3, ("jonas", 2): 2} and await scene.storms() == 1
        assert not sound


async def test_the_same_one_after_the_other_costs_no_more(tmp_path: Path) -> None:
    async with open_store(tmp_path / "bridge.db") as store:
        scene = Scene(store, Sound)
        for _ in range(60):
            scene.clock.advance(0.1)
            await scene.hears(1)
        await scene.goes_on(1500, 20)
        assert scene.per_person_and_step() == {("aigerim", 1): 3, ("jonas", 2): 2}
        assert await scene.storms() == 1


async def _over_time(scene: Scene, opened: Sequence[tuple[int, int]], seconds: int) -> None:
    """So many incidents at these seconds, and on until then."""
    due = dict(opened)
    for second in range(seconds):
        if second in due:
            await scene.hears(*[1] * due[second])
        await scene.sends()
        scene.clock.advance(1)


@pytest.mark.parametrize(
    ("opened", "most"),
    [
        ([(0, 1), (5, 4), (15, 4), (25, 4), (35, 4), (45, 600)], 2),
        ([(second, 1) for second in range(0, 57, 3)] + [(57, 200)], 2),
        ([(0, 1), (3, 1), (6, 3), (9, 200)], 2),
        ([(0, 1), (16, 1), (32, 1), (48, 1), (58, 200)], 3),  # nothing told of a storm before it was there
    ],
)
async def test_a_storm_that_begins_slowly_costs_no_more(
    tmp_path: Path, opened: Sequence[tuple[int, int]], most: int
) -> None:
    async with open_store(tmp_path / "bridge.db") as store:
        scene = Scene(store, Sound)
        await _over_time(scene, opened, 250)
        within = [text for person, step, text in scene.sent if (person, step) == ("aigerim", 1)]
        assert len(within) <= most
        assert "alerts" in within[-1]
        assert await scene.storms() == 1


async def test_few_are_told_of_soon_and_none_waits_longer_than_a_minute(tmp_path: Path) -> None:
    async with open_store(tmp_path / "bridge.db") as store:
        scene = Scene(store, Sound)
        await _over_time(scene, [(0, 1), (4, 2)], 11)
        assert len(scene.sent) == 2
        await _over_time(scene, [(0, 4), (30, 4)], 50)
        assert len(scene.sent) == 3
        assert await scene.storms() == 0


@pytest.mark.parametrize(("kind", "storms"), [(Sound, 0), (CountsAlerts, 1)])
async def test_incidents_are_counted_and_not_their_alerts(tmp_path: Path, kind: type[Sound], storms: int) -> None:
    async with open_store(tmp_path / "bridge.db") as store:
        scene = Scene(store, kind)
        for size in (5, 5, 5, 5, 5):
            await scene.hears(size)
        assert await scene.storms() == storms


@pytest.mark.parametrize(("kind", "most"), [(Sound, range(2, 3)), (GathersNothing, range(9, 11))])
async def test_ten_in_a_few_seconds_are_two_sms(tmp_path: Path, kind: type[Sound], most: Sequence[int]) -> None:
    async with open_store(tmp_path / "bridge.db") as store:
        scene = Scene(store, kind)
        for _ in range(10):
            await scene.hears(1)
            scene.clock.advance(0.5)
        await scene.goes_on(60)
        assert scene.per_person_and_step()["aigerim", 1] in most


async def test_the_database_holds_one_open_storm_a_route(tmp_path: Path) -> None:
    """Whatever the program forgets."""
    async with open_store(tmp_path / "bridge.db") as store:
        scene = Scene(store, Sound)
        await scene.hears(*[1] * 25)
        (storm,) = [one for one in await store.read(lambda tx: tx.incidents(limit=100)) if one.is_storm]
        with pytest.raises(Duplicate):
            await store.write(lambda tx: tx.add_incidents([replace(storm, id=storm.id + 1000)]))
