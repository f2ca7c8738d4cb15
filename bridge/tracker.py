"""Tick: asks the gateway what became of submitted rows, a hundred ids a call."""

from datetime import datetime, timedelta

from bridge.clock import Clock
from bridge.domain.notification import Notification
from bridge.domain.retry import next_attempt
from bridge.outbox import Outbox
from bridge.ports import SmsGateway, Statuses, Store, Unreachable

_A_CALL = 100


class Tracker:
    """Follows SMS to their end: seconds apart while fresh, minutes when old, until validity + 24 h."""

    name = "tracker"

    def __init__(self, store: Store, outbox: Outbox, gateway: SmsGateway, clock: Clock) -> None:
        self._store = store
        self._outbox = outbox
        self._gateway = gateway
        self._clock = clock
        self._failures = 0
        self._not_before: datetime | None = None

    async def run(self) -> None:
        """Until nobody is due to be asked about, or the gateway cannot be asked."""
        while self._not_before is None or self._clock.now() >= self._not_before:
            due = await self._due(self._clock.now())
            if not due:
                return
            answer = await self._gateway.statuses([row.message_id for row in due if row.message_id])
            if isinstance(answer, Statuses):
                self._failures, self._not_before = 0, None
                await self._outbox.report(due, dict(answer.reports), answer.missing)
            else:
                self._failures += 1
                self._not_before = self._patience(answer.wait if isinstance(answer, Unreachable) else None)

    async def _due(self, now: datetime) -> list[Notification]:
        return await self._store.read(lambda tx: tx.polls_due(now, _A_CALL))

    def _patience(self, asked: timedelta | None) -> datetime:
        now = self._clock.now()
        return max(next_attempt(self._failures, now), now + (asked or timedelta(0)))
