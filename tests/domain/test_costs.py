"""The arithmetic of money: exact, and written so that a spreadsheet and a person read the same."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.costs import Amount, Prices, cost_of, plain
from bridge.domain.notification import Notification, State
from bridge.domain.phone import PhoneNumber

NOW = datetime(2026, 11, 23, 3, 30, tzinfo=UTC)
HOME, ABROAD = PhoneNumber("+77010000001"), PhoneNumber("+4915112345678")
PRICES = Prices({"KZ": Amount(Decimal("20.5"), "KZT")})
SMS = Notification(1, "jonas", NOW, NOW, state=State.SUBMITTED, number=HOME, segments=2)


@pytest.mark.parametrize(
    ("value", "written", "said"),
    [
        ("20.5000", "20.50", "20.50 KZT"),
        ("41", "41.00", "41.00 KZT"),
        ("0.0735", "0.0735", "0.0735 KZT"),
        ("12345.6", "12345.60", "12 345.60 KZT"),
        ("1E+3", "1000.00", "1 000.00 KZT"),
        ("0", "0.00", "0.00 KZT"),
        ("-7.5", "-7.50", "-7.50 KZT"),
    ],
)
def test_money_has_two_decimals_or_as_many_as_it_has(value: str, written: str, said: str) -> None:
    assert plain(Decimal(value)) == written
    assert str(Amount(Decimal(value), "KZT")) == said


def test_money_without_a_currency_is_a_number() -> None:
    assert str(Amount(Decimal(3), "")) == "3.00"


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=0, max_value=10**9), st.integers(1, 50))
def test_nothing_is_lost_between_a_price_and_a_bill(price: Decimal, segments: int) -> None:
    assert Decimal(plain((Amount(price, "KZT") * segments).value)) == price * segments


@pytest.mark.parametrize(
    ("number", "segments", "cost"), [(HOME, 1, "20.5"), (HOME, 3, "61.5"), (ABROAD, 1, None), (None, 1, None)]
)
def test_an_estimate_needs_a_price_of_that_country(
    number: PhoneNumber | None, segments: int | None, cost: str | None
) -> None:
    assert PRICES.estimate(number, segments) == (Amount(Decimal(cost), "KZT") if cost else None)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (SMS, Amount(Decimal("41.0"), "KZT")),
        (replace(SMS, state=State.PLANNED), Amount(Decimal("41.0"), "KZT")),
        (replace(SMS, state=State.UNDELIVERED), Amount(Decimal("41.0"), "KZT")),
        (replace(SMS, cost="40.00", currency="KZT"), None),
        (replace(SMS, state=State.CANCELLED), None),
        (replace(SMS, state=State.FAILED), None),
        (replace(SMS, carried_by=7), None),
        (replace(SMS, carried_by=1), Amount(Decimal("41.0"), "KZT")),
        (replace(SMS, segments=None), None),
        (replace(SMS, number=None), None),
    ],
)
def test_what_is_paid_or_never_will_be_is_not_estimated(row: Notification, expected: Amount | None) -> None:
    assert PRICES.expected(row) == expected


def test_a_cost_is_read_as_it_was_written() -> None:
    assert cost_of(SMS) is None
    assert cost_of(replace(SMS, cost="48.1234", currency="KZT")) == Amount(Decimal("48.1234"), "KZT")
