"""Hours on clocks that are set: each comes once a day, twice where the clock reads so twice."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.domain.wall import instants, next_reading

BERLIN, HOWE = ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe")
ZONES = st.sampled_from(sorted(available_timezones() - {"localtime"})).map(ZoneInfo)
INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
READINGS = st.builds(time, st.integers(0, 23), st.integers(0, 59))
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("reading", "zone", "now", "at"),
    [
        ("18:00", BERLIN, "2026-11-20T03:10", "2026-11-20T17:00"),
        ("02:30", BERLIN, "2026-03-28T22:00", "2026-03-29T01:30"),  # skipped: 03:30 there
        ("02:30", BERLIN, "2026-03-29T01:30", "2026-03-30T00:30"),
        ("02:30", BERLIN, "2026-10-24T22:00", "2026-10-25T00:30"),  # the first of two
        ("02:30", BERLIN, "2026-10-25T00:30", "2026-10-25T01:30"),  # the second
        ("02:30", BERLIN, "2026-10-25T01:30", "2026-10-26T01:30"),
        ("02:15", HOWE, "2026-10-03T15:00", "2026-10-03T15:45"),  # half an hour is skipped: 02:45 there
    ],
)
def test_table(reading: str, zone: ZoneInfo, now: str, at: str) -> None:
    found = next_reading(time.fromisoformat(reading), zone, datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert found == datetime.fromisoformat(at).replace(tzinfo=UTC)


@given(READINGS, ZONES, INSTANTS)
@example(time(2, 30), BERLIN, datetime(2026, 10, 25, 0, 40, tzinfo=UTC))
@example(time(2, 30), BERLIN, datetime(2026, 3, 29, 0, 59, tzinfo=UTC))
def test_it_is_ahead_and_the_clock_reads_so(reading: time, zone: ZoneInfo, now: datetime) -> None:
    at = next_reading(reading, zone, now)
    there = at.astimezone(zone)
    assert at > now
    if there.time() != reading:  # skipped, and as much later as the clock was set forward
        before, after = ((at + timedelta(hours=side)).astimezone(zone).utcoffset() for side in (-3, 0))
        assert before is not None and after is not None
        assert there.replace(tzinfo=None) - datetime.combine(there.date(), reading) == after - before


@settings(deadline=None, max_examples=30)  # it looks at each minute of up to a day
@given(READINGS, ZONES, INSTANTS)
@example(time(2, 30), BERLIN, datetime(2026, 10, 24, 20, 0, tzinfo=UTC))
def test_none_is_missed(reading: time, zone: ZoneInfo, now: datetime) -> None:
    at = next_reading(reading, zone, now)
    # Minute by minute, as somebody watching that clock would.
    watched = now.replace(second=0, microsecond=0) + MINUTE
    while watched < at:
        assert watched.astimezone(zone).time() != reading
        watched += MINUTE


@given(st.dates(date(2020, 1, 1), date(2040, 12, 31)), READINGS, ZONES)
def test_every_day_has_every_hour_once_or_where_the_clock_is_set_back_twice(
    day: date, reading: time, zone: ZoneInfo
) -> None:
    found = instants(day, reading, zone)
    assert found == sorted(set(found)) and len(found) in (1, 2)
    if len(found) == 2:
        assert [at.astimezone(zone).time() for at in found] == [reading, reading]
