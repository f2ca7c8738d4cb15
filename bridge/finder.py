"""Tick: looks in the gateway's list for sends whose answer was lost, before anything is sent again.

Recognised by our reference, which the gateway keeps as the campaign's name; where it lists no names, by the
exact text and number among ids that we do not know. One look is a few pages of what went to that number.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta

from bridge.clock import Clock
from bridge.domain.notification import Notification
from bridge.domain.retry import next_attempt
from bridge.outbox import Outbox, references
from bridge.ports import ListedMessage, MessagePage, MessageQuery, SmsGateway, Store

log = logging.getLogger(__name__)

_A_ROUND = 20
_PAGE = 100
_MOST_PAGES = 50  # of SMS to one number in those days; what is not read would count as not there
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
        mine = _by_reference(row, listed, references(row, installation))
        if not mine and not await self._ambiguous(row):
            mine = _by_text(row, listed)
        await self._outbox.looked(row, mine)
        return True

    async def _ambiguous(self, row: Notification) -> bool:
        assert row.number is not None and row.text is not None
        number, text = row.number.e164, row.text
        return await self._store.read(lambda tx: tx.is_unsettled(number, text, row.id))

    async def _listed(self, row: Notification) -> list[ListedMessage] | None:
        """What the gateway lists to this number around that hour; None when it cannot be asked."""
        error = self._gateway.ahead
        found = await self._to_the_number(row, error)
        if abs(self._gateway.ahead - error) > _AROUND / 3:  # we asked for other days than we meant
            found = await self._to_the_number(row, self._gateway.ahead)
        return found

    async def _to_the_number(self, row: Notification, error: timedelta) -> list[ListedMessage] | None:
        """As above, where our clock is so far ahead of the gateway's."""
        assert row.number is not None and row.lost_at is not None
        criteria: Mapping[str, str] = {
            "to": row.number.digits,
            "campaignCreateTsFrom": (row.lost_at - error - _AROUND).strftime(_TIME),
            "campaignCreateTsTo": (self._clock.now() - error + _AROUND).strftime(_TIME),
        }
        found: list[ListedMessage] = []
        for page in range(_MOST_PAGES):
            answer = await self._gateway.messages(
                MessageQuery(criteria, page=page, page_size=_PAGE, sort={"campaignId": "DESC"})
            )
            if not isinstance(answer, MessagePage):
                log.warning("a lost SMS could not be looked up", extra={"notification": row.id})
                return None
            found += answer.items
            if not answer.items or len(found) >= answer.total:
                break
        return [sms for sms in found if _digits(sms.to) == row.number.digits]  # the criterion is a substring


def _by_reference(row: Notification, listed: Iterable[ListedMessage], known: Mapping[str, int]) -> list[ListedMessage]:
    """Those listed under one of our attempts, the newest attempt first."""
    mine = [sms for sms in listed if sms.campaign_name in known]
    return sorted(mine, key=lambda sms: -known[sms.campaign_name or ""])


def _by_text(row: Notification, listed: Iterable[ListedMessage]) -> list[ListedMessage]:
    """Those without a name that carry exactly this text: all there is to go by when names are not listed."""
    return [sms for sms in listed if not sms.campaign_name and sms.text == row.text]


def _digits(written: str) -> str:
    return "".join(sign for sign in written if sign.isdigit())
