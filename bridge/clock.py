"""What time it is: the only place that asks the system."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_STEP = timedelta(seconds=2)  # what differs by less was slewed, not set
# Laptops sleep, and CLOCK_MONOTONIC sleeps with them: time that passed would look like a clock that was set.
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """Time as an argument; tests bring a clock that they move themselves."""

    def now(self) -> datetime:
        """The instant, aware and in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump; only differences mean anything."""
        ...

    def elapsed(self) -> float:
        """As `monotonic`, but it also goes on while the machine sleeps."""
        ...

    async def wait(self, seconds: float) -> None:
        """Return after so many seconds; for deadlines on the wire only, never for a due time."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def elapsed(self) -> float:
        return time.clock_gettime(_SINCE_BOOT)

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SteadyClock:
    """A clock whose `now` goes on as if nobody had set it, until `adopt`.

    What waits in the database was dated by the clock as it was. So nobody may read the new hour before those dates
    are moved along: whoever does that adopts the jump in the same breath.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._zero = clock.now() - self._elapsed()

    def now(self) -> datetime:
        wall, steady = self._clock.now(), self._zero + self._elapsed()
        return wall if abs(wall - steady) < _STEP else steady

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def elapsed(self) -> float:
        return self._clock.elapsed()

    async def wait(self, seconds: float) -> None:
        await self._clock.wait(seconds)

    def jump(self) -> timedelta:
        """By how much the clock was set and nobody knows yet; zero for less than two seconds."""
        ahead = self._clock.now() - (self._zero + self._elapsed())
        return ahead if abs(ahead) >= _STEP else timedelta(0)

    def adopt(self, jump: timedelta) -> None:
        """From now on `now` is the new hour."""
        self._zero += jump

    def _elapsed(self) -> timedelta:
        return timedelta(seconds=self._clock.elapsed())


def moment_in(written: str | None) -> datetime | None:
    """The moment that was kept as this text; None where a damaged file has none there, or one without a zone."""
    try:
        at = datetime.fromisoformat(written or "")
    except ValueError:
        return None
    return at if at.tzinfo is not None else None
