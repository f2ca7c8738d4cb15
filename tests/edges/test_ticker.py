"""How ticks stop: what must finish may, and nobody waits for ever for Telegram."""

import asyncio
import threading
from collections.abc import Collection
from datetime import datetime, timedelta

import pytest

from bridge.metrics import Metrics
from bridge.ticker import Ticker
from tests.fakes import FakeClock

EVERY = dict.fromkeys(("reporter", "sender", "timekeeper"), timedelta(hours=1))


class SlowTick:
    """A tick whose run ends when it may."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()
        self.runs = 0
        self.ended = ""

    async def run(self) -> None:
        self.runs += 1
        self.began.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.ended = "interrupted"
            raise
        self.ended = "well"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def _stopping(clock: FakeClock, *ticks: SlowTick) -> asyncio.Task[None]:
    """All of them run, and are asked to stop."""
    ticker = Ticker(ticks, EVERY, clock, Metrics())
    ticker.start()
    for tick in ticks:
        await tick.began.wait()
    ticker.wake([tick.name for tick in ticks])  # another run would be due
    assert ticker._pulse is not None
    stopping = asyncio.create_task(ticker.stop(interrupt={"reporter"}, within=25))
    await asyncio.wait({ticker._pulse})  # it waits on the clock too
    return stopping


async def test_what_runs_may_finish_and_no_run_begins(clock: FakeClock) -> None:
    sender, reporter = SlowTick("sender"), SlowTick("reporter")
    stopping = await _stopping(clock, sender, reporter)
    await clock.waiting()
    sender.may_end.set()
    reporter.may_end.set()
    await stopping
    assert [(tick.runs, tick.ended) for tick in (sender, reporter)] == [(1, "well"), (1, "well")]


async def test_a_beat_comes_in_the_thread_of_the_loop(clock: FakeClock) -> None:
    """In any other, the loop would not hear of it, or an event would be torn."""
    beaten: list[int] = []

    class Beaten(Ticker):
        def wake(self, names: Collection[str]) -> None:
            beaten.append(threading.get_ident())
            super().wake(names)

    tick = SlowTick("sender")
    tick.may_end.set()
    ticker = Beaten([tick], {"sender": timedelta(milliseconds=1)}, clock, Metrics())
    ticker.start()
    while len(beaten) < 3:  # noqa: ASYNC110 - APScheduler's own clock: nothing here can be waited for
        await asyncio.sleep(0.001)
    await ticker.stop(within=0)
    assert set(beaten) == {threading.get_ident()}


async def test_who_only_talks_is_interrupted_after_five_seconds_and_the_others_are_waited_for(clock: FakeClock) -> None:
    sender, reporter = SlowTick("sender"), SlowTick("reporter")
    stopping = await _stopping(clock, sender, reporter)
    await clock.waiting()
    clock.advance(4.9)
    assert (reporter.ended, clock.waiters) == ("", 1)
    clock.advance(0.1)
    await clock.waiting()  # for the rest of the time
    assert (reporter.ended, sender.ended) == ("interrupted", "")
    sender.may_end.set()
    await stopping
    assert sender.ended == "well"


async def test_a_stop_takes_twenty_five_seconds_at_most(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    sender = SlowTick("sender")
    stopping = await _stopping(clock, sender)
    for seconds in (5, 20):
        await clock.waiting()
        clock.advance(seconds)
    await stopping
    assert sender.ended == "interrupted"
    assert "the sender tick did not end in time" in caplog.text


async def test_the_metric_says_when_a_tick_last_ended_well(clock: FakeClock) -> None:
    class Failing:
        name = "sender"

        async def run(self) -> None:
            raise RuntimeError("a mistake of ours")

    metrics = Metrics()
    well, failing = SlowTick("reporter"), Failing()
    ticker = Ticker([well, failing], EVERY, clock, metrics)
    well.may_end.set()
    await ticker.run_once(well)
    await ticker.run_once(failing)
    assert metrics.tick_success.labels("reporter")._value.get() == clock.now().timestamp()
    assert metrics.tick_success.labels("sender")._value.get() == 0


async def test_beats_are_dated_anew_when_the_clock_was_set(clock: FakeClock) -> None:
    sender, timekeeper = SlowTick("sender"), SlowTick("timekeeper")
    sender.may_end.set()
    timekeeper.may_end.set()
    ticker = Ticker([sender, timekeeper], EVERY, clock, Metrics())
    ticker.start()
    scheduler = ticker._scheduler

    async def a_second_later() -> datetime:
        await clock.waiting()
        clock.advance(1)
        await clock.waiting()
        dated: datetime = scheduler.get_job("sender").next_run_time
        return dated

    dated = await a_second_later()
    assert await a_second_later() == dated
    clock.jump(-7200)
    assert await a_second_later() > dated  # by the machine's clock, an hour from now again
    assert (sender.runs, timekeeper.runs) == (1, 4)  # the timekeeper each second, whatever APScheduler thinks
    await ticker.stop(within=25)
