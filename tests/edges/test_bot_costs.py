"""How /costs reads: money, what did not arrive, the dearest incidents, a bar a day."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from bot.costs import began, spoken
from bridge.domain.costs import Amount, By, Prices, Spending, bill, midnight, month_of
from bridge.domain.notification import State
from bridge.domain.phone import PhoneNumber

ALMATY = ZoneInfo("Asia/Almaty")
NOW = datetime(2026, 11, 23, 3, 30, tzinfo=UTC)  # Monday 08:30 in Almaty
PRICES = Prices({"KZ": Amount(Decimal("20.5"), "KZT")})
HOME, ABROAD = PhoneNumber("+77010000001"), PhoneNumber("+4915112345678")


def sms(
    cost: str | None = "20.50", ago: timedelta = timedelta(0), incident: int | None = None, **said: object
) -> Spending:
    given: dict[str, object] = {"segments": 1, "state": State.DELIVERED, "person": "jonas", "asked_by": "aigerim"}
    given |= {"number": HOME, "route": "critical" if incident else None, "title": "HostDown" if incident else None}
    amount = Amount(Decimal(cost), "KZT") if cost else None
    return Spending(1, "m1", NOW - ago, incident=incident, cost=amount, **(given | said))  # type: ignore[arg-type]


def told(span: str, *rows: Spending, prices: Prices = PRICES) -> list[str]:
    since = began(span, ALMATY, NOW)
    return spoken(bill(rows, prices, By.DAY, ALMATY, since, NOW), span, ALMATY).splitlines()


def days(count: int) -> timedelta:
    return timedelta(days=count)


def test_a_week_has_a_bar_for_each_day() -> None:
    rows = [sms(), sms("20.50", days(1)), sms("41.00", days(1), 7), sms("246.00", days(3), 8), sms("1.00", days(6))]
    assert told("week", *rows) == [
        "The last 7 days: 329.00 KZT, 5 SMS, 5 segments",
        "Dearest: #8 HostDown 246.00 KZT · #7 HostDown 41.00 KZT",
        "",
        "Tue 17 ▏ 1.00 KZT",
        "Wed 18 –",
        "Thu 19 –",
        "Fri 20 ██████████ 246.00 KZT",
        "Sat 21 –",
        "Sun 22 ██▌ 61.50 KZT",
        "Mon 23 ▊ 20.50 KZT",
    ]


def test_what_did_not_arrive_and_what_has_no_cost_is_said() -> None:
    rows = [sms(), sms(state=State.UNDELIVERED), sms(None, segments=2), sms(None, number=ABROAD)]
    assert told("day", *rows) == [
        "Today: about 82.00 KZT, 4 SMS, 5 segments",
        "Of these not delivered: 20.50 KZT, 1 SMS, 1 segment",
        "Of these without a cost so far: 2 SMS",
    ]


def test_where_no_price_is_known_segments_make_the_bars() -> None:
    rows = [sms(None, days(1), segments=4), sms(None, incident=7)]
    assert told("week", *rows, prices=Prices()) == [
        "The last 7 days: 2 SMS, 5 segments",
        "Of these without a cost so far: 2 SMS",
        "Dearest: #7 HostDown 1 SMS",
        "",
        *(f"{day} –" for day in ("Tue 17", "Wed 18", "Thu 19", "Fri 20", "Sat 21")),
        "Sun 22 ██████████ 1 SMS",
        "Mon 23 ██▌ 1 SMS",
    ]


@pytest.mark.parametrize(
    ("span", "said"),
    [("day", "Today: no SMS."), ("week", "The last 7 days: no SMS."), ("month", "This month: no SMS.")],
)
def test_nothing_is_said_in_a_sentence(span: str, said: str) -> None:
    assert told(span) == [said]


def test_days_are_those_of_the_chat() -> None:
    assert began("day", ALMATY, NOW) == datetime(2026, 11, 22, 19, tzinfo=UTC)
    assert began("week", ALMATY, NOW) == datetime(2026, 11, 16, 19, tzinfo=UTC)
    assert began("month", ALMATY, NOW) == datetime(2026, 10, 31, 19, tzinfo=UTC)
    late = told("week", sms("1.00", timedelta(hours=8, minutes=31)))  # 23:59 of the day before
    assert late[-2:] == ["Sun 22 ██████████ 1.00 KZT", "Mon 23 –"]


@pytest.mark.parametrize(
    ("day", "first", "following"),
    [
        (date(2026, 11, 30), date(2026, 11, 1), date(2026, 12, 1)),
        (date(2026, 12, 1), date(2026, 12, 1), date(2027, 1, 1)),
        (date(2028, 2, 29), date(2028, 2, 1), date(2028, 3, 1)),
    ],
)
def test_a_month_goes_from_midnight_to_midnight(day: date, first: date, following: date) -> None:
    assert month_of(day, ALMATY) == (midnight(first, ALMATY), midnight(following, ALMATY))


def test_a_month_in_which_the_clocks_change_is_an_hour_shorter_or_longer() -> None:
    since, until = month_of(date(2026, 10, 25), ZoneInfo("Europe/Berlin"))
    assert until - since == timedelta(days=31, hours=1)


def test_a_month_of_storms_fits_into_one_message() -> None:
    rows = [sms("1234567.8901", days(n), n + 1, title="x" * 500) for n in range(31)]
    text = spoken(bill(rows, PRICES, By.DAY, ALMATY, NOW - days(30), NOW), "month", ALMATY)
    assert len(text.splitlines()) == 3 + 31 and len(text) < 3000
