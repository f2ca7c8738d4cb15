"""The arithmetic of money: exact, and written so that a spreadsheet and a person read the same."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.costs import Amount, Part, Prices, Spending, cost_of, per_day, plain, tally
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


def spending(cost: str | None = None, currency: str = "KZT", **said: object) -> Spending:
    row = Spending(1, "m1", NOW, 1, State.DELIVERED, None, None, None, "jonas", "aigerim", HOME, None)
    return replace(row, cost=Amount(Decimal(cost), currency) if cost else None, **said)  # type: ignore[arg-type]


def test_what_did_not_arrive_and_what_has_no_cost_yet_stand_apart() -> None:
    total = tally(
        [
            spending("20.50"),
            spending("41.00", segments=2),
            spending("20.50", state=State.UNDELIVERED),
            spending(segments=3),
            spending(number=ABROAD),
            spending(number=None, state=State.UNDELIVERED),
        ],
        PRICES,
    )
    assert total.arrived == Part(2, 3, {"KZT": Decimal("61.50")})
    assert total.undelivered == Part(1, 1, {"KZT": Decimal("20.50")})
    assert total.unpriced == Part(3, 5, {"KZT": Decimal("61.5")})
    assert total.paid == Part(3, 4, {"KZT": Decimal("82.00")})
    assert (total.all.sms, total.all.segments) == (6, 9)


def test_an_account_whose_currency_was_changed_is_added_up_in_both() -> None:
    total = tally([spending("20.50"), spending("0.0735", "EUR"), spending("1", "EUR")], PRICES)
    assert [str(amount) for amount in total.paid.amounts] == ["1.0735 EUR", "20.50 KZT"]


@given(st.lists(st.decimals(min_value=0, max_value=1000, places=4), max_size=30))
def test_the_parts_of_a_bill_add_up_to_the_tiyn(costs: list[Decimal]) -> None:
    rows = [spending(plain(cost), state=(State.DELIVERED, State.UNDELIVERED)[n % 2]) for n, cost in enumerate(costs)]
    assert tally(rows, PRICES).paid.money.get("KZT", Decimal(0)) == sum(costs, Decimal(0))


@pytest.mark.parametrize(
    ("over", "first_ago", "a_day"),
    [
        (timedelta(days=7), timedelta(days=30), "10"),
        (timedelta(days=7), timedelta(days=2), "35"),
        (timedelta(days=7), timedelta(hours=1), "70"),  # it has not shown its pace yet
    ],
)
def test_a_pace_is_told_by_the_days_there_were(over: timedelta, first_ago: timedelta, a_day: str) -> None:
    assert per_day(Decimal(70), NOW - over, NOW - first_ago, NOW) == Decimal(a_day)
