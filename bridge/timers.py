"""Tick: every due time that is not an SMS, a question to the gateway or a card; it only calls the door."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta

from bridge import beats, escalator, storms
from bridge.clock import Clock
from bridge.dispatcher import Dispatcher
from bridge.ports import NotStored, Store, Timer, Transaction
from bridge.watch import TROUBLE_OVER

log = logging.getLogger(__name__)

_A_ROUND = 100
_ASLEEP = 90.0  # seconds between two runs, which follow each other in five: the machine slept meanwhile
_RING_AGAIN = timedelta(minutes=5)


class Timers:
    """What a timer's kind means, in one table."""

    name = "timers"

    def __init__(self, store: Store, dispatcher: Dispatcher, clock: Clock) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._clock = clock
        self._ran = clock.elapsed()
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
        while due := await self._store.read(lambda tx: tx.timers_due(now, _A_ROUND)):
            for timer in due:
                rang = await self._rang(timer)
                await self._settle(timer, None if rang else replace(timer, due_at=now + _RING_AGAIN))

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
