"""Tick: notices that somebody set the clock, and moves along whatever waits by our own choice.

A retry in five minutes stays a retry in five minutes. What a person named by the wall (`at=18:00`) stays where it is,
and what waits for the hours of its route waits for them by the wall.
"""

import logging
from datetime import datetime, timedelta

from bridge import escalator, watch
from bridge.caretaker import LAST_ALIVE, last_alive
from bridge.clock import SteadyClock
from bridge.domain.house import House
from bridge.ports import Live, NotStored, Store, Transaction
from bridge.texts import length

log = logging.getLogger(__name__)

_WORTH_TELLING = timedelta(seconds=30)


class Timekeeper:
    """Reads both clocks each second; the database is only touched when they disagree."""

    name = "timekeeper"

    def __init__(self, store: Store, clock: SteadyClock, house: Live[House]) -> None:
        self._store = store
        self._clock = clock
        self._house = house

    async def run(self) -> None:
        """Adopt what the clock was set by."""
        jump = self._clock.jump()
        if not jump:
            return
        old = self._clock.now()
        # Adopted and queued with nothing between: what was dated before stands before us in the queue, and is
        # moved; what is dated from here on comes after us, and is not.
        self._clock.adopt(jump)
        try:
            await self._store.write(lambda tx: self._moved(tx, old, jump), in_turn=True)
        except NotStored:
            self._clock.adopt(-jump)  # as if nobody had noticed yet
            raise
        log.warning("the clock was set %s by %s", _side(jump), length(abs(jump)))

    async def catch_up(self) -> None:
        """At a start. A database that was in use in the future was so by a clock that has been set back since.

        How long nobody used it is not known then, so its waits go on as if it had been no time. A clock set forward
        between two lives cannot be told from a long pause, and is taken for one.
        """
        old, now = await self._store.read(last_alive), self._clock.now()
        if old is not None and old > now:
            await self._store.write(lambda tx: self._moved(tx, old, now - old))

    def _moved(self, tx: Transaction, old: datetime, jump: timedelta) -> None:
        house, now = self._house.value, old + jump
        tx.move_waits(jump, claimed_after=old - house.counts_back)
        escalator.date_anew(tx, house, now, by=jump)
        tx.set_meta(LAST_ALIVE, now.isoformat())
        if abs(jump) >= _WORTH_TELLING:
            text = (
                f"the clock of this machine was set {_side(jump)} by {length(abs(jump))}: what waits here waits as long"
                " as before, hours that people named stay"
            )
            watch.begin(tx, house, "clock_set", text, now)
        tx.wake("sender", "finder", "tracker", "timers", "reporter")


def _side(jump: timedelta) -> str:
    return "forward" if jump > timedelta(0) else "back"
