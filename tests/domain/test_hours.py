"""Alertmanager's time intervals: what they contain, when that changes, how they are written, what a route does."""

import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.domain import hours
from bridge.domain.hours import BadInterval, Hours, Range, RouteHours, TimeInterval

BERLIN, SYDNEY, ALMATY = ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Sydney"), ZoneInfo("Asia/Almaty")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NIGHT = Hours(times=((22 * 60, 24 * 60), (0, 6 * 60)))


def utc(written: str) -> datetime:
    return datetime.fromisoformat(written).replace(tzinfo=UTC)


def interval(*entries: Hours) -> TimeInterval:
    return TimeInterval("hours", entries)


# --- what it contains -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        # 2026-11-22 is a Sunday.
        (Hours(), ["2026-11-22T00:00", "1999-01-01T12:34:56"], []),
        (
            Hours(times=((9 * 60, 17 * 60),)),
            ["2026-11-22T09:00", "2026-11-22T16:59:59.999999"],
            ["2026-11-22T08:59:59.999999", "2026-11-22T17:00"],
        ),
        (
            NIGHT,
            ["2026-11-22T23:59:59", "2026-11-22T00:00", "2026-11-22T05:59"],
            ["2026-11-22T06:00", "2026-11-22T21:59"],
        ),
        (
            Hours(weekdays=((1, 5), (6, 6))),
            ["2026-11-23T00:00", "2026-11-27T23:59:59", "2026-11-28T12:00"],
            ["2026-11-22T12:00", "2026-11-29T00:00"],
        ),
        (
            Hours(days_of_month=((1, 5),)),
            ["2026-11-01T00:00", "2026-11-05T23:59"],
            ["2026-11-06T00:00", "2026-11-30T12:00"],
        ),
        (
            Hours(days_of_month=((-3, -1),)),
            ["2026-02-26T00:00", "2026-02-28T23:59", "2028-02-29T12:00", "2026-11-30T12:00"],
            ["2026-02-25T23:59", "2028-02-26T12:00", "2026-03-01T00:00"],
        ),
        (
            Hours(days_of_month=((31, 31),)),
            ["2026-12-31T12:00"],
            ["2026-11-30T12:00", "2026-12-01T12:00"],
        ),  # no clamping
        (Hours(days_of_month=((29, 31),)), ["2026-11-30T12:00"], ["2026-02-28T12:00", "2026-03-01T12:00"]),
        (
            Hours(days_of_month=((-31, -30),)),
            ["2026-12-01T12:00", "2026-12-02T12:00"],
            ["2026-02-01T12:00", "2026-12-03T12:00"],
        ),
        (Hours(days_of_month=((10, -10),)), ["2026-11-21T12:00"], ["2026-11-22T12:00", "2026-11-09T12:00"]),
        (
            Hours(days_of_month=((-1, -1),), zone=BERLIN),
            ["2027-03-31T12:00"],
            ["2027-03-30T12:00"],
        ),  # 31 days less an hour
        (
            Hours(months=((5, 8), (12, 12))),
            ["2026-05-01T00:00", "2026-08-31T23:59", "2026-12-24T12:00"],
            ["2026-09-01T00:00"],
        ),
        (
            Hours(years=((2026, 2028),)),
            ["2026-01-01T00:00", "2028-12-31T23:59"],
            ["2025-12-31T23:59", "2029-01-01T00:00"],
        ),
        (  # all fields at once
            Hours(times=((0, 60),), weekdays=((0, 0),), months=((11, 11),)),
            ["2026-11-22T00:30"],
            ["2026-11-22T01:00", "2026-11-23T00:30", "2026-12-06T00:30"],
        ),
        (  # read off the wall clock of the location, its days included
            Hours(times=((0, 60),), weekdays=((1, 1),), zone=ALMATY),
            ["2026-11-22T19:00", "2026-11-22T19:59"],
            ["2026-11-22T18:59", "2026-11-22T20:00", "2026-11-23T00:30"],
        ),
        # The hour that is shown twice is inside twice, the skipped one never.
        (
            Hours(times=((120, 180),), zone=BERLIN),
            ["2027-10-31T00:00", "2027-10-31T01:59"],
            ["2027-10-31T02:00", "2027-03-28T00:59", "2027-03-28T01:00"],
        ),
    ],
)
def test_an_entry_contains_what_alertmanager_says(entry: Hours, inside: list[str], outside: list[str]) -> None:
    assert [when for when in inside if not entry.contains(utc(when))] == []
    assert [when for when in outside if entry.contains(utc(when))] == []


def test_an_interval_contains_what_any_entry_does() -> None:
    either = interval(NIGHT, Hours(weekdays=((6, 6),)))
    assert either.contains(utc("2026-11-28T12:00"))
    assert either.contains(utc("2026-11-27T23:00"))
    assert not either.contains(utc("2026-11-27T12:00"))
    assert not interval().contains(utc("2026-11-27T12:00"))


# --- when that changes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "now", "change"),
    [
        ([NIGHT], "2026-11-22T12:00", "2026-11-22T22:00"),
        ([NIGHT], "2026-11-22T22:00", "2026-11-23T06:00"),  # midnight is no change
        ([NIGHT], "2026-11-23T05:59:59", "2026-11-23T06:00"),
        ([Hours(weekdays=((1, 5),)), Hours(weekdays=((6, 6),))], "2026-11-23T12:00", "2026-11-29T00:00"),
        ([Hours(days_of_month=((29, 29),), months=((2, 2),))], "2026-11-22T12:00", "2028-02-29T00:00"),
        ([Hours(years=((2030, 2030),))], "2026-11-22T12:00", "2030-01-01T00:00"),
        ([Hours(years=((2020, 2020),))], "2026-11-22T12:00", None),
        ([Hours()], "2026-11-22T12:00", None),
        ([Hours(times=((0, 1440),))], "2026-11-22T12:00", None),
        ([], "2026-11-22T12:00", None),
        ([Hours(times=((120, 180),), zone=BERLIN)], "2027-03-27T12:00", "2027-03-29T00:00"),  # skipped on the 28th
        ([Hours(times=((90, 150),), zone=BERLIN)], "2027-03-28T00:30", "2027-03-28T01:00"),  # cut short by the change
        ([Hours(times=((150, 200),), zone=BERLIN)], "2027-10-31T00:30", "2027-10-31T01:00"),  # 02:30, and back to 02:00
        ([Hours(times=((120, 180),), zone=BERLIN)], "2027-10-31T00:00", "2027-10-31T02:00"),  # both hours
        ([NIGHT, Hours(times=((0, 1440),), zone=SYDNEY)], "2026-11-22T12:00", None),
    ],
)
def test_the_next_change_is_exact(entries: list[Hours], now: str, change: str | None) -> None:
    assert interval(*entries).next_change(utc(now)) == (utc(change) if change else None)


@pytest.mark.parametrize(
    ("entries", "never"),
    [
        ([Hours()], True),
        ([Hours(times=((0, 1440),))], True),
        ([Hours(weekdays=((0, 3),)), Hours(weekdays=((4, 6),))], True),
        ([Hours(times=((0, 720),)), Hours(times=((720, 1440),))], True),
        ([Hours(days_of_month=((1, 31),)), NIGHT], True),
        ([Hours(days_of_month=((1, 30),))], False),
        ([Hours(times=((0, 1439),))], False),
        ([Hours(years=((2027, 2027),))], False),
        ([], False),
    ],
)
def test_hours_that_are_always_are_known(entries: list[Hours], never: bool) -> None:
    assert interval(*entries).never_ends is never


ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "Pacific/Chatham",
        "Africa/Casablanca",
        "Pacific/Apia",
    ]
).map(ZoneInfo)


def ranges(low: int, high: int) -> st.SearchStrategy[tuple[Range, ...]]:
    pair = st.tuples(st.integers(low, high), st.integers(low, high)).map(lambda ends: (min(ends), max(ends)))
    return st.lists(pair, max_size=2).map(tuple)


TIMES = st.lists(
    st.tuples(st.integers(0, 1439), st.integers(1, 1440)).filter(lambda ends: ends[0] < ends[1]), max_size=2
).map(tuple)
ENTRIES = st.builds(
    Hours, times=TIMES, weekdays=ranges(0, 6), days_of_month=ranges(1, 31), months=ranges(1, 12), zone=ZONES
)
# Days on which some of those clocks change, and days around the ends of months.
DAYS = st.sampled_from(
    ["2027-03-14", "2027-03-27", "2027-03-28", "2027-04-03", "2027-10-02", "2027-10-31", "2028-02-28"]
)
NOWS = st.builds(lambda day, minute: utc(day) + minute * MINUTE, DAYS, st.integers(0, 1439))


def slowly(entries: list[Hours], now: datetime) -> datetime | None:
    """The next change within three days, found by looking at every minute."""
    before = any(entry.contains(now) for entry in entries)
    minutes = (now.replace(second=0) + n * MINUTE for n in range(1, 3 * 1440))
    return next((when for when in minutes if any(entry.contains(when) for entry in entries) != before), None)


@settings(max_examples=100, deadline=None)
@given(st.lists(ENTRIES, max_size=3), NOWS)
def test_the_next_change_is_what_a_look_at_every_minute_finds(entries: list[Hours], now: datetime) -> None:
    slow, quick = slowly(entries, now), interval(*entries).next_change(now)
    if slow is None:
        assert quick is None or quick >= now + 3 * DAY - MINUTE
    else:
        assert quick == slow


def documented(entry: Hours, when: datetime) -> bool:
    """The rules read the other way round: every day and minute that is meant, listed."""
    local = when.astimezone(entry.zone)
    last = (local.replace(day=28) + 4 * DAY).replace(day=1) - DAY
    days = {
        day
        for first, final in entry.days_of_month
        for day in range(1, last.day + 1)
        if day
        in range(first if first > 0 else last.day + 1 + first, (final if final > 0 else last.day + 1 + final) + 1)
    }
    return (
        (not entry.times or local.hour * 60 + local.minute in {m for s, e in entry.times for m in range(s, e)})
        and (not entry.weekdays or int(f"{local:%w}") in {d for s, e in entry.weekdays for d in range(s, e + 1)})
        and (not entry.months or local.month in {m for s, e in entry.months for m in range(s, e + 1)})
        and (not entry.years or local.year in {y for s, e in entry.years for y in range(s, e + 1)})
        and (not entry.days_of_month or local.day in days)
    )


WRITTEN_DAYS = st.tuples(st.integers(-31, 31).filter(bool), st.integers(-31, 31).filter(bool))


@given(
    st.builds(
        Hours,
        times=TIMES,
        weekdays=ranges(0, 6),
        days_of_month=st.lists(WRITTEN_DAYS, max_size=2).map(tuple),
        months=ranges(1, 12),
        years=ranges(2026, 2028),
        zone=ZONES,
    ),
    st.integers(0, 3 * 365 * 1440).map(lambda minutes: utc("2026-01-01") + minutes * MINUTE),
)
def test_an_entry_contains_what_the_rules_list(entry: Hours, when: datetime) -> None:
    assert entry.contains(when) == documented(entry, when)


# --- how it is written ----------------------------------------------------------------------------------

WRITTEN: list[tuple[str, Callable[[str], Range], str, Range | str]] = [
    ("weekdays", hours.read_weekdays, "monday:friday", (1, 5)),
    ("weekdays", hours.read_weekdays, "Saturday", (6, 6)),
    ("weekdays", hours.read_weekdays, "sunday:saturday", (0, 6)),
    ("weekdays", hours.read_weekdays, "saturday:sunday", "ends before it begins, for the week begins on sunday"),
    ("weekdays", hours.read_weekdays, "mon", "not a weekday"),
    ("weekdays", hours.read_weekdays, "1:5", "not a weekday"),
    ("weekdays", hours.read_weekdays, "monday:tuesday:friday", "not a weekday"),
    ("weekdays", hours.read_weekdays, "monday:", "not a weekday"),
    ("days_of_month", hours.read_days_of_month, "1:5", (1, 5)),
    ("days_of_month", hours.read_days_of_month, "15", (15, 15)),
    ("days_of_month", hours.read_days_of_month, "-3:-1", (-3, -1)),
    ("days_of_month", hours.read_days_of_month, "1:-1", (1, -1)),
    ("days_of_month", hours.read_days_of_month, "27:-1", (27, -1)),
    ("days_of_month", hours.read_days_of_month, "28:-1", "ends before it begins"),
    ("days_of_month", hours.read_days_of_month, "5:1", "ends before it begins"),
    ("days_of_month", hours.read_days_of_month, "-1:-3", "ends before it begins"),
    ("days_of_month", hours.read_days_of_month, "-1:5", "begins counted from the end"),
    ("days_of_month", hours.read_days_of_month, "0", "not a day of the month"),
    ("days_of_month", hours.read_days_of_month, "32", "not a day of the month"),
    ("days_of_month", hours.read_days_of_month, "1:-32", "not a day of the month"),
    ("days_of_month", hours.read_days_of_month, "first", "not a day of the month"),
    ("days_of_month", hours.read_days_of_month, "1:2:3", "not a day of the month"),
    ("months", hours.read_months, "may:August", (5, 8)),
    ("months", hours.read_months, "5:8", (5, 8)),
    ("months", hours.read_months, "may:8", (5, 8)),
    ("months", hours.read_months, "12", (12, 12)),
    ("months", hours.read_months, "november:february", "ends before it begins"),
    ("months", hours.read_months, "sept", "not a month"),
    ("years", hours.read_years, "2026:2028", (2026, 2028)),
    ("years", hours.read_years, "2026", (2026, 2026)),
    ("years", hours.read_years, "2028:2026", "ends before it begins"),
    ("years", hours.read_years, "now", "not a year"),
]
TIMES_WRITTEN: list[tuple[str, str, Range | str]] = [
    ("09:00", "17:00", (540, 1020)),
    ("00:00", "24:00", (0, 1440)),
    ("23:59", "24:00", (1439, 1440)),
    ("22:00", "06:00", "ends before it begins; past midnight it is two"),
    ("09:00", "09:00", "ends before it begins"),
    ("9:00", "17:00", "not a time of day"),
    ("09:00", "24:01", "not a time of day"),
    ("09:60", "17:00", "not a time of day"),
    ("09:00", "17:00:00", "not a time of day"),
]


@pytest.mark.parametrize(("field", "read", "written", "meant"), WRITTEN)
def test_a_range_is_read_or_refused(field: str, read: Callable[[str], Range], written: str, meant: Range | str) -> None:
    if isinstance(meant, str):
        with pytest.raises(BadInterval) as refused:
            read(written)
        assert str(refused.value).startswith(meant)
    else:
        assert read(written) == meant


@pytest.mark.parametrize(("start", "end", "meant"), TIMES_WRITTEN)
def test_times_are_read_or_refused(start: str, end: str, meant: Range | str) -> None:
    if isinstance(meant, str):
        with pytest.raises(BadInterval, match=f"^{meant}"):
            hours.times(hours.read_minute(start), hours.read_minute(end))
    else:
        assert hours.times(hours.read_minute(start), hours.read_minute(end)) == meant


@given(st.text(max_size=12))
def test_any_text_is_a_range_or_refused(written: str) -> None:
    for read in (hours.read_weekdays, hours.read_months, hours.read_days_of_month, hours.read_years, hours.read_minute):
        try:
            read(written)
        except BadInterval as refused:
            assert str(refused)


def _alertmanager_takes(amtool: str, folder: Path, field: str) -> bool:
    config = folder / "alertmanager.yml"
    config.write_text(
        "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
        f"time_intervals: [{{name: hours, time_intervals: [{{{field}}}]}}]\n",
        encoding="utf-8",
    )
    return subprocess.run([amtool, "check-config", config], capture_output=True, check=False).returncode == 0


def test_a_real_alertmanager_takes_and_refuses_the_same(tmp_path: Path) -> None:
    amtool = shutil.which("amtool")
    if not amtool:
        pytest.skip("no amtool on PATH; tests/prepare.sh installs it with Alertmanager")
    fields = [(f"{field}: ['{written}']", isinstance(meant, tuple)) for field, _, written, meant in WRITTEN]
    fields += [
        (f"times: [{{start_time: '{start}', end_time: '{end}'}}]", isinstance(meant, tuple))
        for start, end, meant in TIMES_WRITTEN
    ]
    fields += [("location: Asia/Almaty", True), ("location: Almaty", False), ("times: [{start_time: '09:00'}]", False)]
    assert [field for field, taken in fields if _alertmanager_takes(amtool, tmp_path, field) != taken] == []


# --- what a route does in them --------------------------------------------------------------------------

NIGHTS = interval(NIGHT)
WEEKEND = interval(Hours(weekdays=((6, 6),)), Hours(weekdays=((0, 0),)))
SATURDAY_NIGHT, SATURDAY, MONDAY, MONDAY_NIGHT = (
    utc(when) for when in ("2026-11-28T23:00", "2026-11-28T12:00", "2026-11-23T12:00", "2026-11-23T23:00")
)


@pytest.mark.parametrize(
    ("there", "muted"),
    [
        (RouteHours(), []),
        (RouteHours(mute=(NIGHTS,)), [SATURDAY_NIGHT, MONDAY_NIGHT]),
        (RouteHours(mute=(NIGHTS, WEEKEND)), [SATURDAY_NIGHT, SATURDAY, MONDAY_NIGHT]),
        (RouteHours(active=(WEEKEND,)), [MONDAY, MONDAY_NIGHT]),
        (RouteHours(active=(WEEKEND, NIGHTS)), [MONDAY]),
        (RouteHours(mute=(NIGHTS,), active=(WEEKEND,)), [SATURDAY_NIGHT, MONDAY, MONDAY_NIGHT]),
    ],
)
def test_a_route_is_muted_inside_the_one_and_outside_the_other(there: RouteHours, muted: list[datetime]) -> None:
    assert [now for now in (SATURDAY_NIGHT, SATURDAY, MONDAY, MONDAY_NIGHT) if there.muted(now)] == muted


def test_a_held_page_leaves_when_the_last_that_holds_it_is_over() -> None:
    there = RouteHours(hold=(NIGHTS, WEEKEND))
    assert there.pages_at(MONDAY) == MONDAY
    assert there.pages_at(MONDAY_NIGHT) == utc("2026-11-24T06:00")
    assert there.pages_at(SATURDAY) == utc("2026-11-30T06:00")  # the weekend ends inside a night


def test_a_page_waits_for_the_first_moment_that_is_neither_held_nor_muted() -> None:
    days = interval(Hours(times=((6 * 60, 20 * 60),)))
    evening = interval(Hours(times=((20 * 60, 22 * 60),)))
    there = RouteHours(mute=(WEEKEND,), active=(days, evening), hold=(NIGHTS,))
    assert there.pages_at(MONDAY) == MONDAY
    assert there.pages_at(SATURDAY) == utc("2026-11-30T06:00")  # the weekend ends inside a night
    held_then_muted = RouteHours(mute=(days,), hold=(NIGHTS,))
    assert held_then_muted.pages_at(MONDAY_NIGHT) == utc("2026-11-24T20:00")


def test_with_no_end_in_sight_a_page_leaves_now() -> None:
    always, never = interval(Hours()), interval(Hours(months=((2, 2),), days_of_month=((30, 30),)))
    for there in (
        RouteHours(hold=(always,)),
        RouteHours(active=(never,)),
        RouteHours(mute=(NIGHTS,), active=(NIGHTS,)),
        RouteHours(mute=(interval(Hours(years=((2026, 2099),))),)),
    ):
        assert there.opens_at(MONDAY) is None
        assert there.pages_at(MONDAY) == MONDAY


@pytest.mark.parametrize(
    ("local", "opens"),
    [
        ("2026-03-28T12:00", "2026-03-29T01:00"),  # 02:30 is skipped: the hold ends as the clock jumps
        ("2026-10-24T12:00", "2026-10-25T00:30"),  # 02:30 comes twice: the hold ends at the first
    ],
)
def test_a_hold_ends_by_the_wall_where_the_clock_changes(local: str, opens: str) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    held = interval(Hours(times=((0, 150),), zone=berlin), Hours(times=((8 * 60, 24 * 60),), zone=berlin))
    assert RouteHours(hold=(held,)).pages_at(utc(local)) == utc(opens)


def test_the_first_policy_that_is_now_counts() -> None:
    there = RouteHours(policies=((WEEKEND, "weekend"), (NIGHTS, "night")))
    assert there.policy("usual", SATURDAY_NIGHT) == "weekend"
    assert there.policy("usual", MONDAY_NIGHT) == "night"
    assert there.policy("usual", MONDAY) == "usual"
    assert there.policy(None, MONDAY) is None
