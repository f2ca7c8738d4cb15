"""What SMS cost: the price of a segment by country, what a text will cost, and what was spent.

Money is Decimal from the gateway's answer to the last line of a bill: a float would lose a tiyn here and there.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from bridge.domain.notification import WATCH, Notification, State
from bridge.domain.phone import PhoneNumber

_PLACES = 2
_DAY = timedelta(days=1)
_NOTHING = Decimal(0)
_DEAREST = 5  # incidents that a bill names


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
    """An SMS that the gateway took, as far as money goes. `at` is when it left; numbers and texts may be forgotten.

    `asked_by` is who typed it, or who opened its incident by hand.
    """

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


class _Heap:
    """A tally that is still being added to: a year's SMS one by one, and no new object for each."""

    __slots__ = ("arrived", "undelivered", "unpriced")

    def __init__(self) -> None:
        self.arrived, self.undelivered, self.unpriced = _Pile(), _Pile(), _Pile()

    def add(self, row: Spending, prices: Prices) -> None:
        if row.cost is None:
            self.unpriced.add(row.segments, prices.estimate(row.number, row.segments))
        elif row.state is State.UNDELIVERED:
            self.undelivered.add(row.segments, row.cost)
        else:
            self.arrived.add(row.segments, row.cost)

    def tally(self) -> Tally:
        return Tally(self.arrived.part(), self.undelivered.part(), self.unpriced.part())


class _Pile:
    """A part that is still being added to."""

    __slots__ = ("money", "segments", "sms")

    def __init__(self) -> None:
        self.sms = self.segments = 0
        self.money: dict[str, Decimal] = {}

    def add(self, segments: int, cost: Amount | None) -> None:
        self.sms += 1
        self.segments += segments
        if cost is not None:
            self.money[cost.currency] = self.money.get(cost.currency, _NOTHING) + cost.value

    def part(self) -> Part:
        return Part(self.sms, self.segments, dict(sorted(self.money.items())))


def tally(rows: Iterable[Spending], prices: Prices) -> Tally:
    """Add these up; each counts once."""
    total = _Heap()
    for row in rows:
        total.add(row, prices)
    return total.tally()


def per_day(spent: Decimal, since: datetime, first: datetime, now: datetime) -> Decimal:
    """What a day costs at the pace of the time `since` then; `first` is when anything was spent at all.

    A bridge of an hour has not shown its pace yet: less than a day counts as one.
    """
    seconds = int(max(_DAY, now - max(since, first)).total_seconds())
    return spent * 86_400 / seconds


class By(StrEnum):
    """What the lines of a bill stand for."""

    ROUTE = "route"
    PERSON = "person"
    ASKER = "asker"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Line:
    """What came to one name; of an incident, `incident` is its number."""

    name: str
    tally: Tally
    incident: int | None = None


@dataclass(frozen=True, slots=True)
class Bill:
    """What was spent from one moment until before another: all of it, line by line, and the dearest incidents.

    Lines stand the dearest first, those of days in their order.
    """

    since: datetime
    until: datetime
    by: By
    total: Tally
    lines: tuple[Line, ...]
    dearest: tuple[Line, ...]


def bill(rows: Sequence[Spending], prices: Prices, by: By, zone: ZoneInfo, since: datetime, until: datetime) -> Bill:
    """Add up what left in that time; days are the zone's."""
    lines: defaultdict[str, _Heap] = defaultdict(_Heap)
    incidents: defaultdict[int, _Heap] = defaultdict(_Heap)
    titles: dict[int, str] = {}
    for row in rows:
        lines[_name(row, by, zone)].add(row, prices)
        if row.incident is not None:
            incidents[row.incident].add(row, prices)
            titles.setdefault(row.incident, row.title or "")
    found = [Line(name, heap.tally()) for name, heap in lines.items()]
    total = sum((line.tally for line in found), Tally())
    dearest = [Line(titles[number], heap.tally(), number) for number, heap in incidents.items()]
    found.sort(key=(lambda line: line.name) if by is By.DAY else _dear)
    return Bill(since, until, by, total, tuple(found), tuple(sorted(dearest, key=_dear)[:_DEAREST]))


def _dear(line: Line) -> tuple[Decimal, int, str, int]:
    """The dearest first; where nothing is known of the cost, the longest."""
    whole = line.tally.all
    return -sum(whole.money.values(), Decimal(0)), -whole.segments, line.name, -(line.incident or 0)


def _name(row: Spending, by: By, zone: ZoneInfo) -> str:
    match by:
        case By.ROUTE if row.incident is not None:
            return row.route or "no route"
        case By.ROUTE:
            return "the bridge itself" if row.asked_by == WATCH else "typed"
        case By.PERSON:
            return row.person or "other numbers"
        case By.ASKER:
            return "the bridge itself" if row.asked_by == WATCH else row.asked_by or "alerts"
        case By.DAY:
            return row.at.astimezone(zone).date().isoformat()


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """When that day begins there, in UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def month_of(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """When that day's month begins there, and the next one."""
    first = day.replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return midnight(first, zone), midnight(following, zone)


def bar(value: Decimal, most: Decimal, width: int = 10) -> str:
    """So long beside `most`, to an eighth of a character; whatever is more than nothing shows."""
    if value <= 0 or most <= 0:
        return ""
    eighths = max(1, int(value * width * 8 / most))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8]


_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")
