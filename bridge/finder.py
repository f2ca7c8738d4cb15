"""Tick: looks in the gateway's list for sends whose answer was lost, before anything is sent again.

Recognised by our reference, which the gateway keeps as the campaign's name; where it lists no names, by the
exact text and number among ids that we do not know. One look is a few pages of what went to that number.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import count

from bridge.clock import Clock
from bridge.domain.notification import Notification
from bridge.domain.phone import PhoneNumber
from bridge.domain.retry import next_attempt
from bridge.outbox import Outbox, references
from bridge.ports import ListedMessage, MessagePage, MessageQuery, SmsGateway, Store

log = logging.getLogger(__name__)

_A_ROUND = 20
_PAGE = 100
_AROUND = timedelta(hours=36)  # the list's clock has no zone, and without a range it leaves old SMS out
_TIME = "%Y-%m-%d %H:%M:%S"


class Finder:
    """Only answered looks count: a gateway that cannot be asked has not said that it does not have it."""

    name = "finder"

    def __init__(self, store: Store, outbox: Outbox, gateway: SmsGateway, clock: Clock) -> None:
        self._store = store
        self._outbox = outbox
        self._gateway = gateway
        self._clock = clock
        self._failures = 0
        self._not_before: float | None = None  # monotonic

    async def run(self) -> None:
        """Until no look is due, or the gateway cannot be asked."""
        while self._not_before is None or self._clock.monotonic() >= self._not_before:
            now = self._clock.now()
            due = await self._store.read(lambda tx: tx.looks_due(now, _A_ROUND))  # noqa: B023 - read at once
            if not due:
                return
            for row in due:
                if not await self._look(row):
                    return

    async def _look(self, row: Notification) -> bool:
        """One look for one row; False when the gateway did not answer it."""
        listed = await self._listed(row)
        if listed is None:
            self._failures += 1
            now = self._clock.now()
            patience = max(next_attempt(self._failures, now) - now, timedelta(seconds=30))
            self._not_before = self._clock.monotonic() + patience.total_seconds()
            return False
        self._failures, self._not_before = 0, None
        installation = await self._store.read(lambda tx: tx.meta("installation") or "")
        mine = by_reference(listed, references(row, installation))
        if not mine and not await self._ambiguous(row):
            mine = _by_text(row, listed)
        await self._outbox.looked(row, mine)
        return True

    async def _ambiguous(self, row: Notification) -> bool:
        assert row.number is not None and row.text is not None
        number, text = row.number.e164, row.text
        return await self._store.read(lambda tx: tx.is_unsettled(number, text, row.id))

    async def _listed(self, row: Notification) -> list[ListedMessage] | None:
        assert row.number is not None and row.lost_at is not None
        listed = await listed_to(self._gateway, row.number, row.lost_at, self._clock.now())
        if listed is None:
            log.warning("a lost SMS could not be looked up", extra={"notification": row.id})
        return listed


async def listed_to(
    gateway: SmsGateway, number: PhoneNumber, since: datetime, now: datetime
) -> list[ListedMessage] | None:
    """What the gateway lists to this number around those hours, all of it; None when it cannot be asked."""
    error = gateway.ahead
    found = await listed_between(gateway, number, since - error, now - error)
    if abs(gateway.ahead - error) > _AROUND / 3:  # we asked for other days than we meant
        found = await listed_between(gateway, number, since - gateway.ahead, now - gateway.ahead)
    return found


async def listed_between(
    gateway: SmsGateway, number: PhoneNumber, since: datetime, until: datetime
) -> list[ListedMessage] | None:
    """As above, the hours as the gateway's clock reads them."""
    criteria: Mapping[str, str] = {
        "to": number.digits,
        "campaignCreateTsFrom": (since - _AROUND).strftime(_TIME),
        "campaignCreateTsTo": (until + _AROUND).strftime(_TIME),
    }
    found: dict[str, ListedMessage] = {}
    total = 0
    for page in count():
        answer = await gateway.messages(MessageQuery(criteria, page=page, page_size=_PAGE, sort={"campaignId": "DESC"}))
        if not isinstance(answer, MessagePage):
            return None
        before, grew = len(found), answer.total > total
        total = answer.total
        found |= {sms.id: sms for sms in answer.items}  # what comes meanwhile pushes some onto the next page as well
        if not answer.items or len(found) >= total:
            break
        if len(found) == before and not grew:
            return None  # the same page again, and more is said to follow: that is no answer
    return [sms for sms in found.values() if _digits(sms.to) == number.digits]  # the criterion is a substring


def by_reference(listed: Iterable[ListedMessage], known: Mapping[str, int]) -> list[ListedMessage]:
    """Those listed under one of our attempts, the newest attempt first."""
    mine = [sms for sms in listed if sms.campaign_name in known]
    return sorted(mine, key=lambda sms: -known[sms.campaign_name or ""])


def _by_text(row: Notification, listed: Iterable[ListedMessage]) -> list[ListedMessage]:
    """Those without a name that carry exactly this text: all there is to go by when names are not listed."""
    return [sms for sms in listed if not sms.campaign_name and sms.text == row.text]


def _digits(written: str) -> str:
    return "".join(sign for sign in written if sign.isdigit())
