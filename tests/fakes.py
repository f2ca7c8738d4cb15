"""Stand-ins that more than one test module needs."""

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 20, 3, 10, tzinfo=UTC)


class FakeClock:
    """A clock that stands still until `advance`; implements bridge.clock.Clock."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now
        self._monotonic = 1000.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []
        self._arrived = asyncio.Condition()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def elapsed(self) -> float:
        return self._monotonic

    async def wait(self, seconds: float) -> None:
        """Returns once `advance` has moved that far; at once for zero and less."""
        if seconds <= 0:
            return
        sleeper = (self._monotonic + seconds, asyncio.Event())
        self._sleepers.append(sleeper)
        try:
            async with self._arrived:
                self._arrived.notify_all()
            await sleeper[1].wait()
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    def advance(self, seconds: float) -> None:
        """Both clocks move; whoever's wait is over runs at the next await of the test."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
        for sleeper in [s for s in self._sleepers if s[0] <= self._monotonic]:
            self._sleepers.remove(sleeper)
            sleeper[1].set()

    def jump(self, seconds: float) -> None:
        """The wall clock is set forward or back; the monotonic one does not notice."""
        self._now += timedelta(seconds=seconds)

    @property
    def waiters(self) -> int:
        """How many waits are pending."""
        return len(self._sleepers)

    async def waiting(self, count: int = 1) -> None:
        """Return once at least so many waits are pending."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: self.waiters >= count)
