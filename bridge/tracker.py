"""Tick: asks the gateway what became of submitted rows, a hundred ids a call."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from bridge.clock import Clock
from bridge.domain.notification import Notification
from bridge.domain.retry import next_attempt
from bridge.outbox import Outbox
from bridge.ports import Failure, Refused, SmsGateway, Statuses, Store, Unreachable

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
        self._not_before: float | None = None  # monotonic

    async def run(self) -> None:
        """Until nobody is due to be asked about, or the gateway cannot be asked."""
        while self._not_before is None or self._clock.monotonic() >= self._not_before:
            due = await self._due(self._clock.now())
            if not due:
                return
            if failure := await self._ask(due):
                self._failures += 1
                asked = failure.wait if isinstance(failure, Unreachable) else None
                now = self._clock.now()
                patience = max(next_attempt(self._failures, now) - now, asked or timedelta(0))
                self._not_before = self._clock.monotonic() + patience.total_seconds()
                return
            self._failures, self._not_before = 0, None

    async def _ask(self, rows: Sequence[Notification]) -> Failure | None:
        """Ask about these and record the answer; a refused question is halved until it is the one bad id."""
        answer = await self._gateway.statuses([row.message_id for row in rows if row.message_id])
        if isinstance(answer, Statuses):
            await self._outbox.report(rows, dict(answer.reports), answer.missing)
            return None
        if not isinstance(answer, Refused):
            return answer
        if len(rows) == 1:
            await self._outbox.report(rows, {}, [row.message_id for row in rows if row.message_id])
            return None
        half = len(rows) // 2
        return await self._ask(rows[:half]) or await self._ask(rows[half:])

    async def _due(self, now: datetime) -> list[Notification]:
        return await self._store.read(lambda tx: tx.polls_due(now, _A_CALL))
