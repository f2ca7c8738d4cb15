"""Tick: reads the calendars that rotas are booked in, and keeps the last good copy of each."""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from bridge import duty
from bridge.clock import Clock
from bridge.domain.house import House
from bridge.domain.rota import FromCalendar
from bridge.ports import BadCalendar, Live, Reading, Store, Transaction

log = logging.getLogger(__name__)

Read = Callable[[str, datetime, datetime], Awaitable[Reading]]
"""Reads the calendar of a rota, complete from one instant to another. Raises BadCalendar."""
_EVERY = 900.0  # seconds
_SOON = 60.0  # seconds: without any copy nobody is on call
_BEFORE, _AHEAD = timedelta(days=8), timedelta(days=90)  # a copy that is never renewed serves for so long


class Bookings:
    """Every calendar is read at the start, after a reload, and every quarter of an hour; one after the other."""

    name = "bookings"

    def __init__(self, store: Store, clock: Clock, house: Live[House], read: Read) -> None:
        self._store = store
        self._clock = clock
        self._house = house
        self._read = read
        self._read_for: House | None = None
        self._again_at: dict[str, float] = {}  # by rota, monotonic

    async def run(self) -> None:
        """Read those whose time has come."""
        house = self._house.value
        if house is not self._read_for:  # other people, other zones, perhaps another calendar
            self._read_for = house
            self._again_at.clear()
        for rota, booked in house.rotas.items():
            if isinstance(booked, FromCalendar) and self._clock.monotonic() >= self._again_at.get(rota, 0.0):
                has_copy = await self._refresh(house, rota)
                self._again_at[rota] = self._clock.monotonic() + (_EVERY if has_copy else _SOON)

    async def _refresh(self, house: House, rota: str) -> bool:
        """Whether there is a copy now, of today or older."""
        now = self._clock.now()
        try:
            reading = await self._read(rota, now - _BEFORE, now + _AHEAD)
        except BadCalendar as bad:
            why = str(bad)
        except Exception as error:  # somebody else's input must not keep the other calendars from being read
            log.exception("a calendar broke us", extra={"rota": rota})
            why = f"a mistake of ours ({type(error).__name__}); please report it"
        else:

            def keep(tx: Transaction) -> bool:
                duty.calendar_read(tx, house, rota, reading, now)
                return True

            return await self._store.write(keep)
        log.warning("a calendar cannot be read: %s", why, extra={"rota": rota})
        return await self._store.write(lambda tx: duty.calendar_failed(tx, house, rota, why, now))
