"""Tick: due rows go to the gateway, at most so many at once, and what it said is recorded."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from bridge.clock import Clock
from bridge.domain.notification import Notification
from bridge.outbox import LEASE, OPERATOR_WAIT, Outbox
from bridge.ports import Lost, NotStored, Outgoing, SendOutcome, SmsGateway, Unreachable

log = logging.getLogger(__name__)

_FENCE = timedelta(seconds=20)  # with less of the lease left than a send may take, not a byte leaves

_BETWEEN_LOOKS = 1.0  # seconds, from one look for leases that are over to the next
_RECORD_AGAIN = 1.0  # seconds
_TOO_MANY_LOST = 5


class Sender:
    """Sends what is due. `on_free` is called when a slot is free again.

    `sent_before` is asked of each row that was claimed: whether an earlier life sent it, and it is recorded so.
    """

    name = "sender"

    def __init__(self, outbox: Outbox, gateway: SmsGateway, clock: Clock, slots: int) -> None:
        self._outbox = outbox
        self._gateway = gateway
        self._clock = clock
        self._slots = slots
        self._paused_until: float | None = None  # monotonic
        self._look_at_leases = clock.monotonic()
        self._lost_in_a_row = 0
        self._on_the_wire = 0
        self._stopping = False
        self.in_flight: set[asyncio.Task[None]] = set()
        self.on_free = _nobody
        self.sent_before: Callable[[Notification], Awaitable[bool]] = _never

    async def run(self) -> None:
        """Until nothing is due or every slot is taken."""
        while free := self._free():
            # Counted before the claim dates the lease, and not on the wall: that may be set while a send waits.
            leave_by = self._clock.elapsed() + (LEASE - _FENCE).total_seconds()
            claimed = await self._outbox.claim(free)
            for row in claimed:
                self._on_the_wire += 1
                task = asyncio.create_task(self._send(row, leave_by), name=f"send {row.id}")
                self.in_flight.add(task)
                task.add_done_callback(self._done)
            if len(claimed) < free:
                break
        # Once a second is soon enough for a lease of a minute. After every claim it kept us from joining the commit
        # that plans the next page, and that page waited for one sync more.
        if self._clock.monotonic() >= self._look_at_leases:
            self._look_at_leases = self._clock.monotonic() + _BETWEEN_LOOKS
            await self._outbox.expire_leases()

    def stop(self) -> None:
        """Claim nothing more; what is on the wire goes on."""
        self._stopping = True

    async def drain(self) -> None:
        """Wait until what is on the wire is answered and recorded."""
        while self.in_flight:
            await asyncio.wait(self.in_flight)

    def _free(self) -> int:
        """How many may be claimed now; one as a probe while the gateway cannot be used."""
        if self._stopping:
            return 0
        if self._paused_until is not None:
            return 1 if self._clock.monotonic() >= self._paused_until and not self._on_the_wire else 0
        return self._slots - self._on_the_wire

    async def _send(self, row: Notification, leave_by: float) -> None:
        try:
            if await self.sent_before(row):
                return
            outcome = await self._asked(row, leave_by)
        finally:
            # Free before its answer is on disk: the next claim shares the answer's commit, or fails with it.
            self._on_the_wire -= 1
            self.on_free()
        while not await self._recorded(row, outcome):
            await self._clock.wait(_RECORD_AGAIN)
        if isinstance(outcome, Lost) and self._lost_in_a_row >= _TOO_MANY_LOST:
            await self._outbox.answers_lost(self._lost_in_a_row, outcome.reason)

    async def _asked(self, row: Notification, leave_by: float) -> SendOutcome:
        assert row.number is not None and row.text is not None and row.reference is not None
        outgoing = Outgoing(
            row.number,
            row.text,
            row.reference,
            sender_id=row.sender_id,
            validity=row.validity,
            mclass=0 if row.flash else None,
            shorten_links=row.shorten_links,
            defer_to=row.gateway_defer,
        )
        outcome = await self._gateway.send(outgoing, not_after=leave_by)
        self._pace(outcome)
        return outcome

    def _pace(self, outcome: SendOutcome) -> None:
        """One probe a minute while the gateway cannot be used, or while its answers get lost."""
        self._lost_in_a_row = self._lost_in_a_row + 1 if isinstance(outcome, Lost) else 0
        pause: timedelta | None = None
        if isinstance(outcome, Unreachable):
            pause = OPERATOR_WAIT if outcome.needs_operator else outcome.wait
        elif self._lost_in_a_row >= _TOO_MANY_LOST:
            pause = OPERATOR_WAIT
        self._paused_until = self._clock.monotonic() + pause.total_seconds() if pause else None

    async def _recorded(self, row: Notification, outcome: SendOutcome) -> bool:
        """Whether the answer is on disk; it is held in memory while the database cannot take it."""
        try:
            await self._outbox.record(row, outcome)
        except NotStored:
            log.exception("an answer waits for the database", extra={"notification": row.id, "attempt": row.attempt})
            return False
        return True

    def _done(self, task: asyncio.Task[None]) -> None:
        self.in_flight.discard(task)
        if not task.cancelled() and (error := task.exception()):
            # The row stays `sending` until its lease runs out, and is uncertain then.
            log.error("a send could not be recorded", exc_info=error)


async def _never(_: Notification) -> bool:
    """What there is to know of earlier lives until somebody doubts them."""
    return False


def _nobody() -> None:
    """Who is told of a free slot until the ticker is there."""
