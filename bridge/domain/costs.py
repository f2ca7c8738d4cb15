"""What SMS cost: the price of a segment by country, what a text will cost, and what was spent.

Money is Decimal from the gateway's answer to the last line of a bill: a float would lose a tiyn here and there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from bridge.domain.notification import Notification, State
from bridge.domain.phone import PhoneNumber

_PLACES = 2
_DAY = timedelta(days=1)


def plain(value: Decimal) -> str:
    """As a bill writes it: two decimals, more only where there are more."""
    return f"{value:.{_places(value)}f}"


def _places(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(_PLACES, -exponent) if isinstance(exponent, int) else _PLACES


@dataclass(frozen=True, slots=True)
class Amount:
    """So much money. `str` is for people: `12 345.60 KZT`."""

    value: Decimal
    currency: str

    def __str__(self) -> str:
        return f"{self.value:,.{_places(self.value)}f} {self.currency}".replace(",", " ").rstrip()

    def __mul__(self, times: int) -> "Amount":
        return Amount(self.value * times, self.currency)


@dataclass(frozen=True, slots=True)
class Prices:
    """What one segment costs, by country (ISO 3166 letters)."""

    of: Mapping[str, Amount] = field(default_factory=dict)

    def estimate(self, number: PhoneNumber | None, segments: int | None) -> Amount | None:
        """What so many segments to this number will cost; None where no price is known."""
        price = self.of.get(number.region) if number and segments else None
        return price * segments if price and segments else None

    def expected(self, row: Notification) -> Amount | None:
        """What this one will have cost; None once it is known, where no price is, or where nothing is to be paid."""
        if row.cost is not None or row.is_carried or row.state in (State.FAILED, State.CANCELLED):
            return None
        return self.estimate(row.number, row.segments)


def cost_of(row: Notification) -> Amount | None:
    """What it was billed; None while that is not known."""
    return Amount(Decimal(row.cost), row.currency or "") if row.cost is not None else None


@dataclass(frozen=True, slots=True)
class Spending:
    """An SMS that the gateway took, as far as money goes. `at` is when it left; numbers and texts may be forgotten."""

    id: int
    message_id: str
    at: datetime
    segments: int
    state: State
    incident: int | None
    route: str | None  # None: typed
    title: str | None
    person: str | None
    asked_by: str | None
    number: PhoneNumber | None
    cost: Amount | None  # None: not known yet, or never


@dataclass(frozen=True, slots=True)
class Part:
    """So many SMS, and what they cost by currency: an account has one, unless it was changed."""

    sms: int = 0
    segments: int = 0
    money: Mapping[str, Decimal] = field(default_factory=dict)

    def __add__(self, other: "Part") -> "Part":
        currencies = sorted({*self.money, *other.money})
        money = {c: self.money.get(c, Decimal(0)) + other.money.get(c, Decimal(0)) for c in currencies}
        return Part(self.sms + other.sms, self.segments + other.segments, money)

    @property
    def amounts(self) -> list[Amount]:
        return [Amount(value, currency) for currency, value in self.money.items()]


@dataclass(frozen=True, slots=True)
class Tally:
    """What a heap of SMS came to. Each is in one of these: paid for and delivered (or on its way), paid for and not
    delivered, or without a cost so far, whose money is an estimate where a price is known.
    """

    arrived: Part = Part()
    undelivered: Part = Part()
    unpriced: Part = Part()

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.arrived + other.arrived, self.undelivered + other.undelivered, self.unpriced + other.unpriced)

    @property
    def paid(self) -> Part:
        return self.arrived + self.undelivered

    @property
    def all(self) -> Part:
        return self.paid + self.unpriced


def tally(rows: Iterable[Spending], prices: Prices) -> Tally:
    """Add these up; each counts once."""
    total = Tally()
    for row in rows:
        total += _alone(row, prices)
    return total


def _alone(row: Spending, prices: Prices) -> Tally:
    if row.cost is None:
        estimate = prices.estimate(row.number, row.segments)
        return Tally(unpriced=Part(1, row.segments, {estimate.currency: estimate.value} if estimate else {}))
    part = Part(1, row.segments, {row.cost.currency: row.cost.value})
    return Tally(undelivered=part) if row.state is State.UNDELIVERED else Tally(arrived=part)


def per_day(spent: Decimal, since: datetime, first: datetime, now: datetime) -> Decimal:
    """What a day costs at the pace of the time `since` then; `first` is when anything was spent at all.

    A bridge of an hour has not shown its pace yet: less than a day counts as one.
    """
    seconds = int(max(_DAY, now - max(since, first)).total_seconds())
    return spent * 86_400 / seconds
