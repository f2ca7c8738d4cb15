"""Tick: every due time that is not an SMS, a question to the gateway or a card; it only calls the door."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta

from bridge import beats, escalator, storms
from bridge.caretaker import LAST_ALIVE
from bridge.clock import Clock
from bridge.dispatcher import Dispatcher
from bridge.ports import NotStored, Store, Timer, Transaction
from bridge.watch import TROUBLE_OVER

log = logging.getLogger(__name__)

_A_ROUND = 100
# Seconds between two runs, which follow each other in five: the machine slept meanwhile. Less than the shortest `every`
# of a source, or a short sleep were its silence; more than the watchdog gives a loop that is blocked.
_ASLEEP = 25.0
_ALIVE_EVERY = 4.0  # seconds; so that each run of five does it, also one that is early
_RING_AGAIN = timedelta(minutes=5)


class Timers:
    """What a timer's kind means, in one table."""

    name = "timers"

    def __init__(self, store: Store, dispatcher: Dispatcher, clock: Clock) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._clock = clock
        self._ran = clock.elapsed()
        self._stamped: float | None = None  # on that clock
        self._ring: Mapping[str, Callable[[str], Awaitable[None]]] = {
            "question": lambda subject: dispatcher.expire_question(int(subject)),
            escalator.DEADLINE: dispatcher.deadline,
            escalator.NOBODY: lambda subject: dispatcher.nobody_has_it(int(subject)),
            escalator.ACK_OVER: lambda subject: dispatcher.acknowledgement_over(int(subject)),
            storms.CALM: lambda subject: dispatcher.storm_is_calm(int(subject)),
            storms.DISSOLVED: lambda subject: dispatcher.dissolved_storm_asks(int(subject)),
            beats.NEXT_BEAT: dispatcher.beat_is_due,
            TROUBLE_OVER: lambda subject: dispatcher.end_trouble(*subject.split(":", 1)),
        }

    async def run(self) -> None:
        """Until nothing is due. A timer is dropped after it rang: a crash in between rings it again, harmlessly."""
        now, slept = self._clock.now(), self._clock.elapsed() - self._ran
        if slept > _ASLEEP:
            await self._dispatcher.make_up_for(timedelta(seconds=slept))
        self._ran += slept
        await self.say_alive()
        while due := await self._store.read(lambda tx: tx.timers_due(now, _A_ROUND)):
            for timer in due:
                rang = await self._rang(timer)
                await self._settle(timer, None if rang else replace(timer, due_at=now + _RING_AGAIN))

    async def say_alive(self) -> None:
        """While a silence may be the alarm: what is not known to be a life counts as a time when nobody listened.

        With the caretaker's stamp alone, lives of less than its minute would never count, and hide every silence.
        """
        elapsed = self._clock.elapsed()
        if self._stamped is not None and elapsed - self._stamped < _ALIVE_EVERY:
            return
        if await self._store.read(beats.expects_any):
            stamp = self._clock.now().isoformat()
            await self._store.write(lambda tx: tx.set_meta(LAST_ALIVE, stamp))
        self._stamped = elapsed

    async def _rang(self, timer: Timer) -> bool:
        """Ring it; False: it broke, and has to ring again. No timer may hold up the others."""
        ring = self._ring.get(timer.kind)
        if ring is None:  # of a newer version, before a downgrade
            log.error("a timer of an unknown kind is dropped", extra={"kind": timer.kind})
            return True
        try:
            await ring(timer.subject)
        except NotStored:
            raise
        except Exception:
            log.exception("a timer broke while it rang", extra={"kind": timer.kind})
            return False
        return True

    async def _settle(self, timer: Timer, again: Timer | None) -> None:
        """Drop it, or put it off; what was set anew while it rang stays as it was set."""

        def settle(tx: Transaction) -> None:
            if tx.drop_timer(timer.kind, timer.subject, timer.due_at) and again is not None:
                tx.set_timer(again)

        await self._store.write(settle)
