"""Tick: numbers, texts and bodies that are older than the config keeps them are forgotten."""

from collections.abc import Callable
from datetime import timedelta

from bridge.clock import Clock
from bridge.ports import Store

_AT_ONCE = 500  # rows of each kind in one transaction: others want to write too


class Retention:
    """What is forgotten is gone from the database; times, counts and cost stay for the statistics."""

    name = "retention"

    def __init__(self, store: Store, clock: Clock, keep: Callable[[], timedelta]) -> None:
        self._store = store
        self._clock = clock
        self._keep = keep

    async def run(self) -> None:
        """Until nothing is left that is too old."""
        now = self._clock.now()
        before = now - self._keep()
        while await self._store.write(lambda tx: tx.forget(before, now, _AT_ONCE)):
            pass
