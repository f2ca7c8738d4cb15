"""Beats the ticks: at once when a commit asks for it, and every so often in case nothing did.

Each tick is one task that waits for its event, clears it and runs until nothing is due. APScheduler and
the commit hook only set the event, so no beat is lost while a run is on and no two runs overlap.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from bridge.clock import Clock
from bridge.metrics import Metrics

log = logging.getLogger(__name__)

_STUCK = 120.0  # seconds; a run that fails or takes longer than this is nobody's passing trouble
_PULSE = 1.0  # seconds
_SET = timedelta(seconds=1)  # more than this between two pulses, and somebody set the clock
_TIMEKEEPER = "timekeeper"
"""The tick that has to hear of a clock that was set, and so cannot be beaten by that clock."""
_MANNERS = 5.0  # seconds that a stop waits for those it may interrupt


class Tick(Protocol):
    """One pass over what is due."""

    @property
    def name(self) -> str: ...
    async def run(self) -> None:
        """Run until nothing is due."""
        ...


class Ticker:
    """Runs ticks until stopped. `every` is the safety net's pace, by tick name."""

    def __init__(self, ticks: Sequence[Tick], every: Mapping[str, timedelta], clock: Clock, metrics: Metrics) -> None:
        self._ticks = ticks
        self._every = every
        self._clock = clock
        self._metrics = metrics
        self._events = {tick.name: asyncio.Event() for tick in ticks}
        self._stopping = False
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._pulse: asyncio.Task[None] | None = None
        self._last_good: dict[str, float] = {}  # by tick name, monotonic; from the start on
        # A late or overlapping beat costs nothing here: it only sets an event that is set already.
        self._scheduler = AsyncIOScheduler(
            timezone="UTC", job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
        )

    def wake(self, names: Collection[str]) -> None:
        """Run these ticks as soon as they can; names of ticks that are not here are nobody's business."""
        for name in names:
            if event := self._events.get(name):
                event.set()

    async def _wake_here(self, name: str) -> None:
        """As `wake`. APScheduler calls what is no coroutine in a thread, where nobody may touch an event."""
        self.wake([name])

    def start(self) -> None:
        """Beat from now on; every tick runs once at the start."""
        for tick in self._ticks:
            self._events[tick.name].set()
            self._last_good[tick.name] = self._clock.monotonic()
            self._tasks[tick.name] = asyncio.create_task(self._beat(tick), name=f"tick {tick.name}")
            self._scheduler.add_job(self._wake_here, self._pace(tick), args=[tick.name], id=tick.name)
        self._scheduler.start()
        self._pulse = asyncio.create_task(self._beat_by_the_second(), name="pulse")

    def stuck(self) -> set[str]:
        """Ticks that have not ended a run well for two minutes, by name; none before the start."""
        now = self._clock.monotonic()
        return {name for name, good in self._last_good.items() if now - good >= _STUCK}

    async def stop(self, *, interrupt: Collection[str] = (), within: float) -> None:
        """No new runs; those that run may finish `within` so many seconds, ticks to `interrupt` within five."""
        self._stopping = True
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        if self._pulse is not None:
            self._pulse.cancel()
            await asyncio.wait({self._pulse})
        self.wake(list(self._events))
        await self._leave(list(self._tasks.values()), _MANNERS)
        for name in self._tasks.keys() & set(interrupt):
            self._tasks[name].cancel()
        await self._leave(list(self._tasks.values()), within - _MANNERS)
        for name, task in self._tasks.items():
            if task.cancel():
                log.error("the %s tick did not end in time and was interrupted", name)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _beat_by_the_second(self) -> None:
        """APScheduler dates its beats on the wall: set back by two hours, they would all stay away for two hours."""
        while True:
            began, steady = self._clock.now(), self._clock.monotonic()
            await self._clock.wait(_PULSE)
            self.wake([_TIMEKEEPER])
            passed = timedelta(seconds=self._clock.monotonic() - steady)
            if abs(self._clock.now() - began - passed) > _SET:
                for tick in self._ticks:
                    self._scheduler.reschedule_job(tick.name, trigger=self._pace(tick))

    def _pace(self, tick: Tick) -> IntervalTrigger:
        return IntervalTrigger(seconds=self._every[tick.name].total_seconds(), timezone="UTC")

    async def _leave(self, tasks: Collection[asyncio.Task[None]], seconds: float) -> None:
        """Wait for these to end, at most so long."""
        if not tasks:
            return
        ended = asyncio.create_task(asyncio.wait(tasks))
        late = asyncio.create_task(self._clock.wait(seconds))
        await asyncio.wait({ended, late}, return_when=asyncio.FIRST_COMPLETED)
        for waiting in (ended, late):
            waiting.cancel()

    async def _beat(self, tick: Tick) -> None:
        event = self._events[tick.name]
        while True:
            await event.wait()
            event.clear()
            if self._stopping:
                return
            await self.run_once(tick)

    async def run_once(self, tick: Tick) -> None:
        """One run; what goes wrong in it is logged, and the next beat tries again."""
        began = self._clock.monotonic()
        try:
            await tick.run()
        except Exception:
            log.exception("the %s tick failed", tick.name)
        else:
            self._last_good[tick.name] = self._clock.monotonic()
            self._metrics.tick_success.labels(tick.name).set(self._clock.now().timestamp())
        self._metrics.tick_seconds.labels(tick.name).observe(self._clock.monotonic() - began)
