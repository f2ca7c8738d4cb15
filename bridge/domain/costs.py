"""What SMS cost: the price of a segment by country, what a text will cost, and what was spent.

Money is Decimal from the gateway's answer to the last line of a bill: a float would lose a tiyn here and there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from bridge.domain.notification import Notification, State
from bridge.domain.phone import PhoneNumber

_PLACES = 2


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
