"""`/oncall take …`: how people write from when until when, and what the clock makes of it."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.oncall import Unclear, read_when
from tests.fakes import START

ALMATY, BERLIN = ZoneInfo("Asia/Almaty"), ZoneInfo("Europe/Berlin")
FRIDAY = "2026-11-20 08:10"  # in Almaty


def _read(words: str, zone: ZoneInfo, now: datetime) -> tuple[str, str]:
    start, end = (f"{at.astimezone(zone):%Y-%m-%d %H:%M%z}"[:-5] for at in read_when(words.split(), zone, now))
    return start, end


@pytest.mark.parametrize(
    ("words", "start", "end"),
    [
        ("2d", FRIDAY, "2026-11-22 08:10"),
        ("8h", FRIDAY, "2026-11-20 16:10"),
        ("90m", FRIDAY, "2026-11-20 09:40"),
        ("1w", FRIDAY, "2026-11-27 08:10"),
        ("until 18:00", FRIDAY, "2026-11-20 18:00"),
        ("until 8:00", FRIDAY, "2026-11-21 08:00"),
        ("fri 18:00 sun 18:00", "2026-11-20 18:00", "2026-11-22 18:00"),
        ("from Friday 07:00 to Sunday 18:00", "2026-11-27 07:00", "2026-11-29 18:00"),
        ("sat 9:00 2d", "2026-11-21 09:00", "2026-11-23 09:00"),
        ("22:00 06:00", "2026-11-20 22:00", "2026-11-21 06:00"),
        ("2026-11-27 18:00 2026-11-29 18:00", "2026-11-27 18:00", "2026-11-29 18:00"),
        ("2026-11-27T18:00 8h", "2026-11-27 18:00", "2026-11-28 02:00"),
        ("2026-11-27T13:00Z 8h", "2026-11-27 18:00", "2026-11-28 02:00"),
    ],
)
def test_times_as_people_write_them(words: str, start: str, end: str) -> None:
    assert _read(words, ALMATY, START) == (start, end)


@pytest.mark.parametrize(
    ("now", "words", "hours"),
    [
        ("2027-03-27 12:00", "1d", 23),  # the night the clock skips an hour
        ("2027-03-27 12:00", "24h", 24),
        ("2026-10-24 12:00", "1d", 25),  # the night it shows one twice
        ("2026-10-24 12:00", "sun 12:00", 25),
        ("2027-03-27 12:00", "sun 02:30", 14.5),  # is not there: 03:30 it is
        ("2026-10-24 12:00", "sun 02:30", 14.5),  # the first of two
    ],
)
def test_days_are_counted_on_the_clock_and_hours_as_they_pass(now: str, words: str, hours: float) -> None:
    there = datetime.fromisoformat(now).replace(tzinfo=BERLIN)
    start, end = read_when(words.split(), BERLIN, there)
    assert (end - start).total_seconds() / 3600 == hours


@pytest.mark.parametrize(
    "words",
    [
        "",
        "until",
        "soon",
        "fri",
        "fri 25:00",
        "fri 18",
        "2026-13-01 18:00",
        "2026-11-27",
        "0d",
        "8h 9h",
        "18:00 8h x",
        "٣h",
        "1_0:00",
        "9999-12-31T23:59 2d",
        "9999-12-31 23:00 fri 18:00",
        "9999-12-31T23:00 23:30",
    ],
)
def test_what_is_no_time_is_refused_in_words(words: str) -> None:
    with pytest.raises(Unclear, match=r"Try |try "):
        read_when(words.split(), ALMATY, START)


@given(
    words=st.lists(
        st.sampled_from(
            [
                "mon",
                "friday",
                "18:00",
                "02:30",
                "2d",
                "8h",
                "1w",
                "until",
                "2027-03-28",
                "9999-12-31",
                "2026-10-25T02:30",
            ]
        )
        | st.text(max_size=12),
        max_size=5,
    ),
    now=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)).map(lambda at: at.replace(tzinfo=BERLIN)),  # noqa: DTZ001
)
def test_whatever_is_typed_is_a_time_or_refused_and_what_names_no_date_lies_ahead(
    words: list[str], now: datetime
) -> None:
    try:
        start, end = read_when(words, BERLIN, now)
    except Unclear as unclear:
        assert len(str(unclear)) < 200
        return
    if not any(sign in word for word in words for sign in "-T"):
        assert now <= start < end
        assert end - now < timedelta(days=7 * 100_000)
