"""Laws of the heartbeat: whatever happens, in whatever order, a silence is called about in time, and not before.

The model counts down the time in which the source could have been heard. It knows nothing of clocks and timers.
"""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from bridge import beats
from bridge.clock import SteadyClock
from bridge.dispatcher import Dispatcher
from bridge.domain.alert import Report
from bridge.domain.escalation import Policy, Step
from bridge.domain.house import House, Role, SourceRules
from bridge.domain.incident import NO_BEAT, Incident
from bridge.domain.routing import Route
from bridge.domain.storm import StormRules
from bridge.intake import Intake
from bridge.metrics import Metrics
from bridge.ports import Live, Receipt, Timer, Transaction
from bridge.requests import Asker
from bridge.sources import parse
from bridge.timekeeper import Timekeeper
from bridge.timers import Timers
from tests.fakes import FakeClock
from tests.faults.tracing import LONG
from tests.fuzz.test_limits import a_database
from tests.stories.test_any_climb import Inline, Tampered

T = TypeVar("T")
EXAMPLES, STEPS = (10_000, 60) if LONG else (100, 40)
PACE = 5  # seconds between two looks at the timers
EVERY = st.sampled_from([30, 60, 80])
AIGERIM = Asker("aigerim", Role.OPERATOR)


class Days(RuleBasedStateMachine):
    """One source that has to be heard, and everything that can happen around it."""

    connection: sqlite3.Connection
    door_of: type[Dispatcher] = Dispatcher
    tamper: Callable[[Transaction], Transaction] = staticmethod(lambda tx: tx)

    @initialize(every=EVERY)
    def it_begins(self, every: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.machine = FakeClock()
        self.house = Live(
            House(
                policies={"p": Policy("p", (Step(("aigerim",)),))},
                routes=(Route("all", policy="p"),),
                sources={"alerts": SourceRules("alerts", "generic")},
                storm=StormRules(alerts=3),
            )
        )
        self.connection.execute("BEGIN")
        self.store = Inline(self.connection, self.tamper)
        self.told = 0
        self.left: int | None = None  # seconds; None: it was called about
        self.is_open = self.waits = False
        self.wakes()
        self.every = 0
        self.config_says(every)

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.connection.execute("ROLLBACK")
            self.loop.close()

    def do(self, what: Awaitable[T]) -> T:
        return self.loop.run_until_complete(cast("Coroutine[Any, Any, T]", what))

    def wakes(self) -> None:
        self.clock = SteadyClock(self.machine)
        self.door = self.door_of(self.store, self.clock, self.house, Metrics())
        self.keeper = Timekeeper(self.store, self.clock, self.house)
        self.timers = Timers(self.store, self.door, self.clock)
        self.intake = Intake(self.store, self.door, _parse, self.house, self.clock)

    def look(self) -> None:
        """All ticks once; intake last, so that what was stored before has waited for it."""
        self.do(self.keeper.run())
        self.do(self.timers.run())
        if self.left is not None and self.left <= 0 and not self.waits:
            self.left, self.is_open = None, True
        self.do(self.intake.run())
        if self.waits:
            self.left, self.is_open, self.waits = self.every, False, False

    def posts(self, source: str, body: object) -> None:
        self.do(self.door.keep_webhook(source, None, {}, json.dumps(body).encode()))

    # --- what happens

    @rule(busy=st.booleans())
    def it_beats(self, busy: bool) -> None:
        """Where the bridge is busy, so late that the source's time is over when it is understood."""
        self.posts("dog", {})
        self.waits = True
        while busy and self.left is not None and self.left > 0:
            self.machine.advance(PACE)
            self.left -= PACE
            self.do(self.timers.run())
        self.look()

    @rule()
    def its_alert_has_ended(self) -> None:
        self.posts("dog", {"alerts": [], "status": "resolved"})
        self.look()

    @rule(looks=st.integers(1, 20), dies=st.booleans())
    def time_passes(self, looks: int, dies: bool) -> None:
        """Where the bridge dies, it does so between what a timer causes and the end of that timer."""
        for _ in range(looks):
            self.machine.advance(PACE)
            if self.left is not None:
                self.left -= PACE
            if dies:
                self.do(self.door.beat_is_due("dog"))
            self.look()
            self.the_source_is_called_about_in_time()

    @rule(seconds=st.integers(1, 100_000), often=st.integers(1, 3))
    def the_bridge_is_away(self, seconds: int, often: int) -> None:
        for _ in range(often):
            self.machine.advance(seconds)
            self.wakes()
            self.do(self.door.make_up_for(timedelta(seconds=seconds)))
            self.do(self.door.follow_beats())
        self.look()

    @rule(seconds=st.integers(26, 100_000))
    def the_machine_sleeps(self, seconds: int) -> None:
        self.machine.advance(seconds)
        self.look()

    @rule(seconds=st.sampled_from([-86_400, -3600, -60, 60, 3600, 86_400]))
    def somebody_sets_the_clock(self, seconds: int) -> None:
        self.machine.jump(seconds)
        self.look()

    @rule(every=EVERY)
    def config_says(self, every: int) -> None:
        dog = SourceRules("dog", "heartbeat", every=timedelta(seconds=every), route="all")
        self.house.value = replace(self.house.value, sources={**self.house.value.sources, "dog": dog})
        self.do(self.door.follow_beats())
        if not self.every:
            self.left = every
        elif self.left is not None and every != self.every:
            self.left = self.left + every - self.every
            self.left = self.left if self.left > 0 else every
        self.every = every

    @rule()
    def config_has_it_no_more_and_again(self) -> None:
        sources = self.house.value.sources
        self.do(self.intake.run())
        self.house.value = replace(self.house.value, sources={"alerts": sources["alerts"]})
        self.do(self.door.follow_beats())
        assert self.silences() == []
        self.house.value = replace(self.house.value, sources=sources)
        self.do(self.door.follow_beats())
        self.left, self.is_open, self.waits = self.every, False, False

    @rule()
    def somebody_ends_it(self) -> None:
        for incident in self.silences():
            self.do(self.door.resolve(incident.id, AIGERIM))
        self.is_open = False

    @rule(count=st.integers(1, 4))
    def others_fire(self, count: int) -> None:
        for _ in range(count):
            self.told += 1
            self.posts("alerts", {"message": f"trouble {self.told}"})
        self.look()

    # --- the law

    def silences(self) -> list[Incident]:
        return self.do(self.store.read(lambda tx: tx.open_incidents([("dog", NO_BEAT)])))

    @invariant()
    def the_source_is_called_about_in_time(self) -> None:
        if hasattr(self, "loop"):
            found = [(one.storm, one.firing) for one in self.silences()]
            assert found == [(None, 1)] * self.is_open, f"{self.left} s left"


def _parse(kind: str, receipt: Receipt) -> Report:
    return parse(kind, receipt.body, receipt.received_at)


# --- planted


class BeatsInVain(Tampered):
    """Planted: a beat does not move what is due."""

    def set_timer(self, timer: Timer) -> None:
        known = self.tx.timer(timer.kind, timer.subject)
        if timer.kind != beats.NEXT_BEAT or known is None:
            self.tx.set_timer(timer)


class CountsItsBeatsOnly(Tampered):
    """Planted: nothing is due until a first beat came."""

    def meta(self, key: str) -> str | None:
        return self.tx.meta(key) if key != "heartbeats" else '{"dog": 30}'


class StaysBehind(Tampered):
    """Planted: what is due stays where it was when the clock is set."""

    def move_waits(self, by: timedelta, claimed_after: datetime) -> None:
        pass


class SwallowsIt(Tampered):
    """Planted: a storm takes in silences as well."""

    def opened_alone(self, route: str, after: datetime) -> list[Incident]:
        silences = [one for one in self.tx.open_incidents([("dog", NO_BEAT)]) if one.opened_at > after]
        return [*self.tx.opened_alone(route, after), *silences]


class RingsTwice(Tampered):
    """Planted: what rings once more after a crash is told once more."""

    def drop_timer(self, kind: str, subject: str, due_at: datetime | None = None) -> bool:
        return due_at is not None and self.tx.drop_timer(kind, subject, due_at)


class NeverMindsTheBacklog(Tampered):
    """Planted: a beat that waits to be understood is held against its source."""

    def receipt_waits(self, source: str) -> bool:
        return False


class HoldsItAgainstThem(Dispatcher):
    """Planted: the time in which nobody could have been heard counts."""

    async def make_up_for(self, away: timedelta) -> None:
        pass


class GivesAllOfItAgain(Dispatcher):
    """Planted: each start gives a source all of its time."""

    async def make_up_for(self, away: timedelta) -> None:
        await super().make_up_for(timedelta(days=999))


def run_days(
    tamper: Callable[[Transaction], Any] = lambda tx: tx,
    door: type[Dispatcher] = Dispatcher,
    examples: int = EXAMPLES,
) -> None:
    with a_database() as database:
        parts = {"connection": database, "door_of": door, "tamper": staticmethod(tamper)}
        machine = type("Days", (Days,), parts)
        how = settings(
            max_examples=examples, phases=(Phase.generate,), stateful_step_count=STEPS, deadline=None, database=None,
            suppress_health_check=list(HealthCheck), derandomize=not LONG, report_multiple_bugs=False,
        )  # fmt: skip
        run_state_machine_as_test(machine, settings=how)


@pytest.mark.timeout(7200 if LONG else 240)
def test_a_source_is_called_about_when_it_had_its_time_and_not_before() -> None:
    run_days()


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "broken", [BeatsInVain, CountsItsBeatsOnly, StaysBehind, SwallowsIt, RingsTwice, NeverMindsTheBacklog]
)
def test_a_silence_that_is_not_called_about_in_time_is_found(broken: type[Tampered]) -> None:
    with pytest.raises(AssertionError):
        run_days(broken, examples=300)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("broken", [HoldsItAgainstThem, GivesAllOfItAgain])
def test_a_start_that_rings_or_forgets_is_found(broken: type[Dispatcher]) -> None:
    with pytest.raises(AssertionError):
        run_days(door=broken, examples=300)
