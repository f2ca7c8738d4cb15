"""What the bridge knows of money: the account's currency, and what a segment costs where."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from bridge.domain.costs import Prices, per_day, tally
from bridge.domain.house import House
from bridge.ports import Balance, Transaction

CURRENCY = "currency"
"""In the database: the account's, as it was told with the balance."""


def learn_currency(tx: Transaction, balance: Balance) -> None:
    """The account's own word for its money."""
    if tx.meta(CURRENCY) != balance.currency:
        tx.set_meta(CURRENCY, balance.currency)


def prices(tx: Transaction, house: House) -> Prices:
    """What was paid last; where nothing was yet, what the config says."""
    return Prices({**house.sms.prices, **tx.prices()})


@dataclass(frozen=True, slots=True)
class Pace:
    """What was spent lately, in one currency: a day of it, and one segment on average. `known_for`: since the first."""

    a_day: Decimal
    a_segment: Decimal
    known_for: timedelta

    def days(self, balance: Balance) -> int:
        """So many whole days the money lasts."""
        return int(max(balance.amount, Decimal(0)) / self.a_day)


def pace(tx: Transaction, house: House, currency: str, over: timedelta, now: datetime) -> Pace | None:
    """How quickly money went in that time, what has no cost yet by its estimate; None where nothing is known to go."""
    first = tx.first_sent()
    if first is None:
        return None
    known = prices(tx, house)
    money = [(row.cost or known.estimate(row.number, row.segments), row) for row in tx.spendings(now - over, now)]
    total = tally((row for cost, row in money if cost and cost.currency == currency), known).all
    spent = total.money.get(currency, Decimal(0))
    if spent <= 0:
        return None
    return Pace(per_day(spent, now - over, first, now), spent / total.segments, now - first)
