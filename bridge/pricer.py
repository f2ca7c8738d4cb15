"""Tick: asks the gateway's list what SMS cost that have ended, a hundred a call.

Nobody waits for it and nobody is alarmed: while the gateway cannot be asked, SMS go out and arrive without a price.
"""

from collections.abc import Sequence
from datetime import timedelta

from bridge import costs
from bridge.clock import Clock
from bridge.domain.notification import Notification
from bridge.outbox import Outbox
from bridge.ports import (
    Balance,
    Failure,
    ListedMessage,
    MessagePage,
    MessageQuery,
    Refused,
    SmsGateway,
    Store,
    Transaction,
)

_A_CALL = 100
_CALLS = 10  # in one run, and then others may ask: a long backlog has time
_ALONE = 10  # of those that have to be asked about one by one
_REFUSED = 10  # in a row: seven lead to one bad id among a hundred, so it is not about an id
_TOGETHER = timedelta(seconds=30)  # what is due so soon is asked about along with what is due now
_AGAIN = timedelta(minutes=5)  # when the gateway could not be asked
_AROUND = timedelta(hours=36)  # the list's clock has no zone
_TIME = "%Y-%m-%d %H:%M:%S"


class Pricer:
    """Learns what each SMS cost, and so what a segment costs in each country."""

    name = "pricer"

    def __init__(self, store: Store, outbox: Outbox, gateway: SmsGateway, clock: Clock) -> None:
        self._store = store
        self._outbox = outbox
        self._gateway = gateway
        self._clock = clock
        self._refused = 0  # in a row

    async def run(self) -> None:
        """Until nothing is due, something is being sent, or the gateway cannot be asked or was asked often enough."""
        for _ in range(_CALLS):
            due = await self._due()
            if not due:
                return
            if failure := await self._ask(due):
                wait = getattr(failure, "wait", None) or _AGAIN
                until = self._clock.now() + wait
                await self._store.write(lambda tx: tx.put_off_prices(until))  # noqa: B023 - written at once
                return

    async def _due(self) -> list[Notification]:
        now = self._clock.now()

        def look(tx: Transaction) -> list[Notification]:
            # A call takes one of the few lines to the gateway, and of those an SMS may have each.
            if not tx.prices_due(now, 1) or tx.sending():
                return []
            return tx.prices_due(now + _TOGETHER, _A_CALL)

        return await self._store.read(look)

    async def _ask(self, rows: Sequence[Notification]) -> Failure | None:
        """Ask about these and record the answer."""
        self._refused = 0
        currency = await self._currency()
        if not isinstance(currency, str):
            return currency
        campaigns = [row for row in rows if row.campaign_id is not None]
        if campaigns and (failure := await self._ask_for(campaigns, currency)):
            return failure
        for row in [row for row in rows if row.campaign_id is None][:_ALONE]:
            if failure := await self._ask_for([row], currency):
                return failure
        return None

    async def _ask_for(self, rows: Sequence[Notification], currency: str) -> Failure | None:
        """As above; a refused question is halved until it is the one bad id, which has no price then.

        Where one after the other is refused, the list itself is: that is asked again later, and not about each.
        """
        answer = await self._gateway.messages(_query(rows))
        self._refused = self._refused + 1 if isinstance(answer, Refused) else 0
        listed: Sequence[ListedMessage] = ()
        if isinstance(answer, MessagePage):
            listed = answer.items
        elif not isinstance(answer, Refused) or self._refused >= _REFUSED:
            return answer
        elif len(rows) > 1:
            half = len(rows) // 2
            return await self._ask_for(rows[:half], currency) or await self._ask_for(rows[half:], currency)
        await self._outbox.price(rows, listed, currency)
        return None

    async def _currency(self) -> str | Failure:
        """The account's; asked for once, for the list does not say it."""
        known = await self._store.read(lambda tx: tx.meta(costs.CURRENCY))
        if known is not None:
            return known
        balance = await self._gateway.balance()
        if not isinstance(balance, Balance):
            return balance
        await self._store.write(lambda tx: costs.learn_currency(tx, balance))
        return balance.currency


def _query(rows: Sequence[Notification]) -> MessageQuery:
    """What lists these: by their campaigns, which each SMS has to itself, or the one that has none by its own id."""
    ids = [row.campaign_id for row in rows if row.campaign_id is not None]
    if ids:
        return MessageQuery({"campaignIds": ids}, page_size=_A_CALL)
    (row,) = rows
    assert row.message_id is not None
    left = row.claimed_at or row.created_at
    around = {
        "campaignCreateTsFrom": (left - _AROUND).strftime(_TIME),
        "campaignCreateTsTo": (left + _AROUND).strftime(_TIME),
    }
    return MessageQuery({"id": row.message_id, **around}, page_size=_A_CALL)
