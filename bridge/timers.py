"""Tick: every due time that is not an SMS, a question to the gateway or a card; it only calls the door."""

from collections.abc import Awaitable, Callable, Mapping

from bridge.clock import Clock
from bridge.dispatcher import Dispatcher
from bridge.ports import Store, Timer
from bridge.watch import TROUBLE_OVER

_A_ROUND = 100


class Timers:
    """What a timer's kind means, in one table."""

    name = "timers"

    def __init__(self, store: Store, dispatcher: Dispatcher, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._ring: Mapping[str, Callable[[str], Awaitable[None]]] = {
            "question": lambda subject: dispatcher.expire_question(int(subject)),
            TROUBLE_OVER: lambda subject: dispatcher.end_trouble(*subject.split(":", 1)),
        }

    async def run(self) -> None:
        """Until nothing is due. A timer is dropped after it rang: a crash in between rings it again, harmlessly."""
        now = self._clock.now()
        while due := await self._store.read(lambda tx: tx.timers_due(now, _A_ROUND)):
            for timer in due:
                await self._ring[timer.kind](timer.subject)
                await self._drop(timer)

    async def _drop(self, timer: Timer) -> None:
        await self._store.write(lambda tx: tx.drop_timer(timer.kind, timer.subject))
