"""After a stop in bad order, and on a restored backup: what is to be sent may have been sent already.

The end of the database's log may be gone with it (a disk that lied about its syncs, a damaged file, a backup),
and what a life forgot it does again. So an SMS is looked for in the gateway's list before it leaves: by its
reference, which is made of what is sent to whom, so that an earlier life has used the same.
"""

import asyncio
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bridge import texts
from bridge.clock import Clock, moment_in
from bridge.domain.notification import Notification
from bridge.finder import by_reference, listed_to
from bridge.outbox import Outbox, references
from bridge.ports import ListedMessage, SmsGateway, Store, Transaction

log = logging.getLogger(__name__)

STOPPED_WELL = "stopped_well"
"""In the database: "yes" from the last write of an orderly stop to the next start."""
_UNTIL = "doubted_until"
_ARRIVING = timedelta(minutes=2)
"""What was stored before the stop is understood within that, and what senders and Telegram repeat has come."""
_PATIENCE = 10.0
"""Seconds that an SMS waits for a look at most. Had it been sent, its row would most probably say so, and a page
that waits for a list helps nobody; it also leaves the send more than half a minute of its lease."""
_FRESH = 30.0  # seconds that an answered look serves every SMS to its number
_REST = 30.0  # seconds without a look after one that was not answered
_NEAR = 200  # numbers that an earlier life may have given to a page that arrived among others


def begin_life(tx: Transaction, now: datetime, *, first: bool) -> bool:
    """Whether there was no life before or it stopped well; from here on this one has not."""
    well = first or tx.meta(STOPPED_WELL) == "yes"
    tx.set_meta(STOPPED_WELL, "no")
    if not well:
        doubt_all(tx, now)
    return well


def end_life(tx: Transaction) -> None:
    """The last write of an orderly stop."""
    tx.set_meta(STOPPED_WELL, "yes")


def doubt_all(tx: Transaction, now: datetime) -> None:
    """Look for whatever is planned, and for what arrives soon; kept across restarts, for a row may wait long."""
    tx.set_meta(_UNTIL, (now + _ARRIVING).isoformat())


@dataclass(slots=True)
class _Look:
    """A question that several SMS to one number wait for; its answer is None while Mobizon has not given one."""

    task: "asyncio.Task[list[ListedMessage] | None]"
    answered_at: float | None = None  # monotonic


class Doubt:
    """Asks once a number, at most so long, and never twice in vain: what is doubted is sent all the same."""

    def __init__(self, store: Store, outbox: Outbox, gateway: SmsGateway, clock: Clock) -> None:
        self._store = store
        self._outbox = outbox
        self._gateway = gateway
        self._clock = clock
        self._until: datetime | None = None
        self._installation = ""
        self._looks: dict[tuple[str, object], _Look] = {}
        self._not_before: float | None = None  # monotonic

    async def recall(self) -> None:
        """What is to be doubted, as the database has it."""
        until, self._installation = await self._store.read(lambda tx: (tx.meta(_UNTIL), tx.meta("installation") or ""))
        # A clock that was ahead at that start must not make us look for ever.
        latest = self._clock.now() + _ARRIVING
        self._until = min(moment_in(until) or latest, latest) if until else None

    async def sent_before(self, row: Notification) -> bool:
        """Whether an earlier life has sent this one, just claimed; it is recorded as found then."""
        if self._until is None or row.created_at > self._until:
            return False
        listed = await self._listed(row)
        if listed is None:
            log.warning("an SMS is sent without looking for it first", extra={"notification": row.id})
            return False
        mine = _mine(row, listed, self._installation)
        return bool(mine) and await self._outbox.looked(row, mine)

    async def _listed(self, row: Notification) -> list[ListedMessage] | None:
        assert row.number is not None
        key, now = (row.number.e164, row.created_at.date()), self._clock.monotonic()
        look = self._looks.get(key)
        if look is None or (look.answered_at is not None and now - look.answered_at >= _FRESH):
            if self._not_before is not None and now < self._not_before:
                return None
            look = self._looks[key] = _Look(asyncio.create_task(self._look(row), name=f"doubt {row.id}"))
        patience = asyncio.create_task(self._clock.wait(_PATIENCE))
        # Never cancelled: a request that is cut off costs the client its place in the pool.
        await asyncio.wait({look.task, patience}, return_when=asyncio.FIRST_COMPLETED)
        patience.cancel()
        listed = look.task.result() if look.task.done() else None
        if listed is None:
            self._looks.pop(key, None)
            self._not_before = self._clock.monotonic() + _REST
        elif look.answered_at is None:
            look.answered_at = self._clock.monotonic()
        return listed

    async def _look(self, row: Notification) -> list[ListedMessage] | None:
        """What Mobizon lists to this number and no row of ours has; None when it does not say."""
        assert row.number is not None
        listed = await listed_to(self._gateway, row.number, row.created_at, self._clock.now())
        if listed is None:
            return None
        try:
            known = await self._store.read(lambda tx: tx.by_message_id([sms.id for sms in listed]))
        except Exception:  # one look serves many: none of them may fail for it
            log.exception("what Mobizon lists could not be compared")
            return None
        return [sms for sms in listed if sms.id not in known]


def _mine(row: Notification, listed: Iterable[ListedMessage], installation: str) -> list[ListedMessage]:
    """Those that are this SMS: by its reference; a page also by one that it had under another number."""
    listed = list(listed)
    if mine := by_reference(listed, references(row, installation)):
        return mine
    if not row.is_page:  # the same words may well be meant twice
        return []
    said = _unnumbered(row.text or "")
    same = (sms for sms in listed if _unnumbered(sms.text) == said)
    return next(([sms] for sms in same if _is_ours(row, sms, installation)), [])


def _is_ours(row: Notification, sms: ListedMessage, installation: str) -> bool:
    """Whether we sent it under a number near to the one it names: two bridges may page the same on one account."""
    named = _NUMBER.search(texts.lasting(sms.text))
    if not sms.campaign_name:  # where names are not listed, the text has to be ours to the letter
        return texts.lasting(sms.text) == texts.lasting(row.text or "")
    first = int(named[1]) if named else row.id
    return any(
        sms.campaign_name in _references(row, number, sms.text, installation) for number in range(first, first + _NEAR)
    )


def _references(row: Notification, number: int, text: str, installation: str) -> Mapping[str, int]:
    return references(replace(row, id=number, text=text), installation)


_NUMBER = re.compile(r" #(\d{1,15})$")


def _unnumbered(text: str) -> str:
    """A page without what another life may have written otherwise: its lateness, its link and its number."""
    return _NUMBER.sub("", texts.lasting(text))
