"""The arithmetic of money: exact, and written so that a spreadsheet and a person read the same."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.costs import Amount, By, Part, Prices, Spending, Tally, bar, bill, cost_of, per_day, plain, tally
from bridge.domain.notification import WATCH, Notification, State
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


ALMATY = ZoneInfo("Asia/Almaty")
ALARM = spending("20.50", incident=7, route="critical", title="HostDown", asked_by=None)


@pytest.mark.parametrize(
    ("row", "route", "person", "asker", "day"),
    [
        (ALARM, "critical", "jonas", "alerts", "2026-11-23"),
        (replace(ALARM, route=""), "no route", "jonas", "alerts", "2026-11-23"),
        (replace(ALARM, asked_by="dana"), "critical", "jonas", "dana", "2026-11-23"),
        (spending("1"), "typed", "jonas", "aigerim", "2026-11-23"),
        (spending("1", person=None, asked_by="api:scripts"), "typed", "other numbers", "api:scripts", "2026-11-23"),
        (spending("1", asked_by=WATCH), "the bridge itself", "jonas", "the bridge itself", "2026-11-23"),
        (spending("1", at=datetime(2026, 11, 22, 19, 0, tzinfo=UTC)), "typed", "jonas", "aigerim", "2026-11-23"),
        (spending("1", at=datetime(2026, 11, 22, 18, 59, tzinfo=UTC)), "typed", "jonas", "aigerim", "2026-11-22"),
    ],
)
def test_each_sms_stands_in_one_line_of_a_bill(row: Spending, route: str, person: str, asker: str, day: str) -> None:
    names = [bill([row], PRICES, by, ALMATY, NOW, NOW).lines[0].name for by in By]
    assert names == [route, person, asker, day]


rows_of_all_kinds = st.lists(
    st.builds(
        spending,
        st.none() | st.decimals(min_value=0, max_value=1000, places=4).map(str),
        st.sampled_from(["KZT", "EUR"]),
        segments=st.integers(1, 6),
        state=st.sampled_from([State.SUBMITTED, State.DELIVERED, State.UNDELIVERED]),
        incident=st.none() | st.integers(1, 9),
        route=st.sampled_from(["critical", "rest"]),
        title=st.just("HostDown"),
        person=st.none() | st.sampled_from(["jonas", "dana"]),
        asked_by=st.none() | st.sampled_from(["aigerim", WATCH]),
        number=st.none() | st.sampled_from([HOME, ABROAD]),
        at=st.timedeltas(timedelta(0), timedelta(days=30)).map(lambda ago: NOW - ago),
    ),
    max_size=40,
)


@given(rows_of_all_kinds, st.sampled_from(By))
def test_the_lines_of_a_bill_add_up_to_its_total(rows: list[Spending], by: By) -> None:
    found = bill(rows, PRICES, by, ALMATY, NOW, NOW)
    assert sum((line.tally for line in found.lines), Tally()) == found.total == tally(rows, PRICES)
    assert found.total.all.sms == len(rows)
    assert len({line.name for line in found.lines}) == len(found.lines)
    assert len(found.dearest) == min(5, len({row.incident for row in rows} - {None}))


def test_the_dearest_stand_first_and_days_in_their_order() -> None:
    rows = [replace(ALARM, incident=n, cost=Amount(Decimal(n), "KZT"), at=NOW - timedelta(days=n)) for n in range(1, 9)]
    found = bill(rows, PRICES, By.DAY, ALMATY, NOW, NOW)
    assert [line.incident for line in found.dearest] == [8, 7, 6, 5, 4]
    assert [line.name for line in found.lines] == [f"2026-11-{day}" for day in range(15, 23)]


@pytest.mark.parametrize(
    ("value", "shown"),
    [("80", "██████████"), ("40", "█████"), ("12", "█▌"), ("0.001", "▏"), ("0", ""), ("-1", "")],
)
def test_a_bar_is_as_long_as_its_share_of_the_most(value: str, shown: str) -> None:
    assert bar(Decimal(value), Decimal(80)) == shown


def test_nothing_has_no_bar() -> None:
    assert bar(Decimal(0), Decimal(0)) == ""
