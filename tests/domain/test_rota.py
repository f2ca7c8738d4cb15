"""Who is on call: turns on the wall clock through every clock change, swaps laid over them, gaps seen ahead."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.rota import FOREVER, Booked, FromCalendar, Override, Roster, Rota, Turn, Unit, clear, roster

BERLIN, NEW_YORK, ALMATY = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("Asia/Almaty")
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
A, J, D = "aigerim", "jonas", "dana"
PRIMARY = Rota((A, J), date(2026, 11, 23), time(9), zone=BERLIN)
EVERYBODY = frozenset({A, J, D})


def utc(written: str) -> datetime:
    return datetime.fromisoformat(written).replace(tzinfo=UTC)


def on(written: str, zone: ZoneInfo, fold: int = 0) -> datetime:
    return datetime.fromisoformat(written).replace(tzinfo=zone, fold=fold).astimezone(UTC)


def house(*overrides: Override, rota: Rota | Booked = PRIMARY) -> Roster:
    return Roster({"primary": rota}, EVERYBODY, overrides)


# --- turns ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instant", "person"),
    [
        ("2026-11-23T08:59:59", J),  # before the first turn the order runs backwards
        ("2026-11-23T09:00", A),
        ("2026-11-30T08:59:59", A),
        ("2026-11-30T09:00", J),
        ("2026-12-07T09:00", A),
        ("2027-03-29T08:59", J),  # the week in which the clock goes forward ends at 09:00 as well
        ("2027-03-29T09:00", A),
    ],
)
def test_a_turn_lasts_from_handover_to_handover(instant: str, person: str) -> None:
    assert house().who("primary", on(instant, BERLIN)) == person


@pytest.mark.parametrize(
    ("every", "unit", "starts"),
    [
        # Counted on the wall clock, the turn of the change is an hour shorter; counted in hours, handovers move.
        (1, Unit.DAYS, ["2027-03-27T09:00", "2027-03-28T09:00", "2027-03-29T09:00"]),
        (24, Unit.HOURS, ["2027-03-27T09:00", "2027-03-28T10:00", "2027-03-29T10:00"]),
        (12, Unit.HOURS, ["2027-03-27T09:00", "2027-03-27T21:00", "2027-03-28T10:00", "2027-03-28T22:00"]),
        (2, Unit.WEEKS, ["2027-03-27T09:00", "2027-04-10T09:00"]),
    ],
)
def test_days_keep_their_hour_and_hours_their_length(every: int, unit: Unit, starts: list[str]) -> None:
    rota = Rota((A, J, D), date(2027, 3, 27), time(9), every, unit, BERLIN)
    turns = [rota.at(on(start, BERLIN)) for start in starts]
    assert [turn.start for turn in turns] == [on(start, BERLIN) for start in starts]
    assert [turn.person for turn in turns] == [A, J, D, A][: len(starts)]


@pytest.mark.parametrize(
    ("zone", "day", "at", "begins"),
    [
        (BERLIN, "2027-03-28", "02:30", "2027-03-28T01:30"),  # skipped: 03:30 of the new time
        (BERLIN, "2027-03-28", "02:00", "2027-03-28T01:00"),
        (BERLIN, "2027-10-31", "02:30", "2027-10-31T00:30"),  # shown twice: the first
        (NEW_YORK, "2027-03-14", "02:30", "2027-03-14T07:30"),
        (NEW_YORK, "2027-11-07", "01:00", "2027-11-07T05:00"),
        (ZoneInfo("Australia/Lord_Howe"), "2027-10-03", "02:15", "2027-10-02T15:45"),  # half an hour
        (ALMATY, "2024-02-29", "23:30", "2024-02-29T17:30"),  # once only: the zone moved for good
    ],
)
def test_a_handover_that_the_clock_skips_or_repeats_happens_once(
    zone: ZoneInfo, day: str, at: str, begins: str
) -> None:
    rota = Rota((A, J), date(2020, 1, 1), time.fromisoformat(at), 1, Unit.DAYS, zone)
    begun = utc(begins)
    assert rota.at(begun).start == begun
    assert rota.at(begun - timedelta.resolution).end == begun
    assert rota.at(begun + 2 * HOUR).start == begun
    assert begun.astimezone(zone).date() == date.fromisoformat(day)


@dataclass(frozen=True)
class Change:
    """A zone's clock goes from one offset to another at an instant."""

    zone: ZoneInfo
    at: datetime
    before: timedelta
    after: timedelta

    def shows(self) -> tuple[datetime, datetime]:
        """The wall clock just before, if it went on, and just after."""
        naive = self.at.replace(tzinfo=None)
        return naive + self.before, naive + self.after


FIRST, LAST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2041, 1, 1, tzinfo=UTC)


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta(0)


def _changes(zone: ZoneInfo) -> Iterator[Change]:
    day, before = FIRST, _offset(zone, FIRST)
    while day < LAST:
        after = _offset(zone, day + WEEK)
        if after != before:
            low, high = day, day + WEEK
            while high - low > timedelta(seconds=1):
                middle = (low + (high - low) / 2).replace(microsecond=0)
                low, high = (middle, high) if _offset(zone, middle) == before else (low, middle)
            yield Change(zone, high, before, after)
        day, before = day + WEEK, after


@cache
def every_change() -> list[Change]:
    """Of every zone there is, each once: most names are second names."""
    known: dict[tuple[tuple[datetime, timedelta], ...], list[Change]] = {}
    for name in sorted(available_timezones()):
        changes = list(_changes(ZoneInfo(name)))
        known.setdefault(tuple((change.at, change.after) for change in changes), changes)
    return [change for changes in known.values() for change in changes]


def _walked(change: Change, wanted: datetime) -> datetime:
    """The instant of a handover, found by looking at the wall clock, without what Python calls a fold."""
    shown_before, shown_after = change.shows()
    first, second = wanted - change.before, wanted - change.after
    when = first if wanted < shown_before or shown_before <= wanted < shown_after else second
    return when.replace(tzinfo=UTC)


def _near(change: Change) -> set[time]:
    """Hours of the day that its clock shows, skips or repeats around the change."""
    shown_before, shown_after = change.shows()
    middle = shown_before + (shown_after - shown_before) / 2
    minute = timedelta(minutes=1)
    return {
        (edge + by).time().replace(second=0, microsecond=0)
        for edge in (shown_before, middle, shown_after)
        for by in (-minute, timedelta(0), minute)
    }


def test_the_walk_below_has_all_the_clock_changes_to_walk_over() -> None:
    moves = {(change.at, change.after - change.before) for change in every_change()}
    assert len(every_change()) > 1400
    assert {by for _, by in moves} >= {HOUR, -HOUR, HOUR / 2, -HOUR / 2}
    assert (utc("2027-03-28T01:00"), HOUR) in moves
    assert (utc("2040-10-28T01:00"), -HOUR) in moves
    assert (utc("2024-02-29T18:00"), -HOUR) in moves  # Almaty, for good


def _walk_over_every_change(kind: type[Rota]) -> None:
    for change in every_change():
        day = change.shows()[0].date()
        for at in _near(change):
            rota = kind((A, J, D), FIRST.date(), at, 1, Unit.DAYS, change.zone)
            instant = datetime.combine(day - 2 * DAY, time(0), tzinfo=UTC)
            turns = [rota.at(instant)]
            while turns[-1].end < instant + 4 * DAY:
                turns.append(rota.at(turns[-1].end))
            wanted = [datetime.combine(turns[0].start.astimezone(change.zone), at) + n * DAY for n in range(len(turns))]
            order = [(A, J, D)[(when.date() - FIRST.date()).days % 3] for when in wanted]
            assert [turn.start for turn in turns] == [_walked(change, when) for when in wanted], (change, at)
            assert [turn.person for turn in turns] == order, (change, at)


def test_no_clock_change_of_any_zone_until_2040_loses_or_doubles_a_handover() -> None:
    _walk_over_every_change(Rota)


class SecondOfTwo(Rota):
    """A planted bug: the other reading of an hour that a clock shows twice, or not at all."""

    def _exact(self, local: datetime) -> datetime:
        return local.replace(tzinfo=self.zone, fold=1).astimezone(UTC)


class Elapsed(Rota):
    """A planted bug: days of 24 hours."""

    def _begins(self, number: int) -> datetime:
        return self._exact(self._first) + number * self._length


@pytest.mark.parametrize("broken", [SecondOfTwo, Elapsed])
def test_the_walk_notices_other_readings_of_the_clock(broken: type[Rota]) -> None:
    with pytest.raises(AssertionError):
        _walk_over_every_change(broken)


INSTANTS = st.integers(0, 21 * 365 * 86400).map(lambda seconds: FIRST + timedelta(seconds=seconds))
ROTAS = st.builds(
    Rota,
    people=st.lists(st.sampled_from([A, J, D]), min_size=1, max_size=4).map(tuple),
    since=st.dates(date(2019, 1, 1), date(2041, 1, 1)),
    handover=st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    every=st.integers(1, 40),
    unit=st.sampled_from(Unit),
    zone=st.sampled_from(sorted(available_timezones())).map(ZoneInfo),
)


@given(ROTAS, INSTANTS)
def test_at_every_instant_it_is_one_persons_turn(rota: Rota, instant: datetime) -> None:
    turn = rota.at(instant)
    assert turn.start <= instant < turn.end
    assert turn.person in rota.people
    after = rota.at(turn.end)
    assert after.start == turn.end
    if rota.unit is Unit.HOURS:
        assert turn.end - turn.start == rota.every * HOUR
    for inside in (turn.start, turn.start + (turn.end - turn.start) / 2, turn.end - timedelta.resolution):
        assert rota.at(inside) == turn


@given(ROTAS, INSTANTS, st.integers(1, 30))
def test_turns_go_round_in_order(rota: Rota, instant: datetime, count: int) -> None:
    turn = rota.at(instant)
    seen = []
    for _ in range(count * len(rota.people)):
        seen.append(turn.person)
        turn = rota.at(turn.end)
    doubled = rota.people * 2
    assert any(tuple(seen[: len(rota.people)]) == doubled[n : n + len(rota.people)] for n in range(len(rota.people)))
    assert seen == seen[: len(rota.people)] * count


# --- overrides ------------------------------------------------------------------------------------------


def given_to(person: str, start: str, end: str, by: str = A) -> Override:
    return Override("primary", person, utc(start), utc(end), by)


def told(turns: tuple[Turn, ...]) -> list[tuple[str | None, str]]:
    return [(turn.person, f"{turn.start:%m-%d %H:%M}") for turn in turns]


def test_an_override_is_laid_over_the_turns_and_they_come_back() -> None:
    weekend = given_to(D, "2026-11-27T17:00", "2026-11-29T17:00")
    coming = house(weekend).next_turns("primary", utc("2026-11-24T12:00"), 4)
    assert told(coming) == [(D, "11-27 17:00"), (A, "11-29 17:00"), (J, "11-30 08:00"), (A, "12-07 08:00")]


def test_the_last_one_made_counts_where_two_overlap() -> None:
    week, night = (
        given_to(D, "2026-11-24T00:00", "2026-11-30T00:00"),
        given_to(J, "2026-11-26T20:00", "2026-11-27T08:00"),
    )
    assert house(week, night).who("primary", utc("2026-11-26T23:00")) == J
    assert house(night, week).who("primary", utc("2026-11-26T23:00")) == D


@dataclass
class Counting:
    """A timetable that counts how often it is asked."""

    rota: Rota
    known_until: datetime | None = None
    asked: int = 0

    def at(self, instant: datetime) -> Turn:
        self.asked += 1
        return self.rota.at(instant)


def test_who_is_paged_is_asked_once_however_long_a_swap_is() -> None:
    hourly = Counting(Rota((A, J), date(2026, 11, 23), unit=Unit.HOURS))
    there = Roster({"primary": hourly}, EVERYBODY, (given_to(D, "2026-11-23T00:00", "2027-11-23T00:00"),))
    now = utc("2027-05-23T12:00")
    assert (there.who("primary", now), hourly.asked) == (D, 1)
    assert there.turn("primary", now).person == D


def test_taking_what_is_ones_own_already_only_makes_the_turn_longer() -> None:
    over = given_to(A, "2026-11-29T12:00", "2026-12-01T12:00")
    turn = house(over).turn("primary", utc("2026-11-24T12:00"))
    assert turn == Turn(A, utc("2026-11-23T08:00"), utc("2026-12-01T12:00"))


def test_an_override_for_one_rota_leaves_the_others_alone() -> None:
    both = Roster(
        {"primary": PRIMARY, "backup": PRIMARY}, EVERYBODY, (given_to(D, "2026-11-24T00:00", "2026-11-25T00:00"),)
    )
    assert both.who("primary", utc("2026-11-24T12:00")) == D
    assert both.who("backup", utc("2026-11-24T12:00")) == A
    assert both.everyone(utc("2026-11-24T12:00")) == (D, A)


def test_an_override_for_somebody_who_left_hands_the_turn_back() -> None:
    gone = given_to("magnum", "2026-11-24T00:00", "2026-11-25T00:00")
    assert house(gone).turn("primary", utc("2026-11-24T12:00")) == PRIMARY.at(utc("2026-11-24T12:00"))


def test_clearing_ends_what_runs_and_forgets_what_is_to_come() -> None:
    past = given_to(D, "2026-11-20T00:00", "2026-11-21T00:00")
    runs = given_to(D, "2026-11-24T00:00", "2026-11-26T00:00")
    to_come = given_to(D, "2026-11-28T00:00", "2026-11-29T00:00")
    elsewhere = replace(runs, rota="backup")
    now = utc("2026-11-25T00:00")

    left = clear((past, runs, to_come, elsewhere), "primary", now)

    assert left == (past, replace(runs, end=now), elsewhere)
    assert house(*left).who("primary", now) == A
    assert house(*left).who("primary", now - timedelta.resolution) == D
    assert clear((replace(runs, start=now),), "primary", now) == ()


def test_clearing_may_be_bounded_to_what_one_person_said() -> None:
    mine = given_to(D, "2026-11-24T00:00", "2026-11-26T00:00")
    theirs = replace(mine, by=J)
    now = utc("2026-11-25T00:00")
    assert clear((mine, theirs), "primary", now, by=mine.by) == (replace(mine, end=now), theirs)


def test_a_stretch_lasts_until_somebody_else_has_it() -> None:
    alone = Rota((A,), date(2026, 11, 23), time(9), zone=BERLIN)
    week = utc("2026-11-25T00:00")
    assert house(rota=alone).stretch("primary", week) == (Turn(A, utc("2026-11-23T08:00"), FOREVER), None)

    swapped = house(given_to(D, "2026-12-10T00:00", "2026-12-11T00:00"), rota=alone)
    turn, following = swapped.stretch("primary", week)
    assert (turn.person, turn.end) == (A, utc("2026-12-10T00:00"))
    assert following is not None and following.person == D

    known_until = utc("2026-12-01T00:00")
    booked = Booked((Turn(A, week, known_until),), week, known_until)
    assert house(rota=booked).stretch("primary", week) == (Turn(A, week, known_until), None)


def test_an_override_that_ends_before_it_starts_cannot_be() -> None:
    with pytest.raises(ValueError, match="ends after it starts"):
        given_to(D, "2026-11-25T00:00", "2026-11-25T00:00")


SOON = st.integers(0, 21 * 24 * 60).map(lambda minutes: utc("2027-03-20T00:00") + timedelta(minutes=minutes))


@st.composite
def swaps(draw: st.DrawFn) -> Override:
    start = draw(SOON)
    length = draw(st.timedeltas(timedelta(minutes=1), 10 * DAY))
    return Override("primary", draw(st.sampled_from([A, J, D, "magnum"])), start, start + length, A)


SWAPS = st.lists(swaps(), max_size=6).map(tuple)


@given(SWAPS, SOON)
def test_with_any_swaps_a_turn_is_the_same_from_its_start_to_its_end(made: tuple[Override, ...], now: datetime) -> None:
    there = house(*made)
    turn = there.turn("primary", now)
    assert there.who("primary", now) == turn.person
    assert turn.start <= now < turn.end
    for inside in (turn.start, turn.start + (turn.end - turn.start) / 2, turn.end - timedelta.resolution):
        assert there.turn("primary", inside) == turn
    on_top = [o.person for o in made if o.covers(now) and o.person in EVERYBODY]
    assert turn.person == (on_top[-1] if on_top else PRIMARY.at(now).person)


@given(SWAPS, st.lists(SOON, min_size=2, max_size=8))
def test_asked_stretch_by_stretch_each_handover_is_told_once(made: tuple[Override, ...], when: list[datetime]) -> None:
    there, asked = house(*made), sorted(when)
    at_once = there.handovers("primary", asked[0], asked[-1])
    piecemeal = [turn for after, until in pairwise(asked) for turn in there.handovers("primary", after, until)]
    assert piecemeal == list(at_once)
    for turn in at_once:
        assert there.who("primary", turn.start) != there.who("primary", turn.start - timedelta.resolution)


def test_one_person_alone_has_turns_and_no_handovers() -> None:
    alone = house(rota=replace(PRIMARY, people=(A,)))
    assert alone.turn("primary", utc("2026-11-24T00:00")).end == utc("2026-11-30T08:00")
    assert alone.handovers("primary", utc("2026-11-24T00:00"), utc("2027-11-24T00:00")) == ()


# --- calendars and gaps ---------------------------------------------------------------------------------

KNOWN = utc("2026-11-01T00:00"), utc("2027-11-01T00:00")


def turn(person: str | None, start: str, end: str) -> Turn:
    return Turn(person, utc(start), utc(end))


@pytest.mark.parametrize(
    ("events", "turns"),
    [
        ([], []),
        (  # a swap over a long turn, which comes back
            [turn(A, "2026-11-23T09:00", "2026-11-30T09:00"), turn(J, "2026-11-25T09:00", "2026-11-26T09:00")],
            [(A, "11-23 09:00"), (J, "11-25 09:00"), (A, "11-26 09:00")],
        ),
        (  # together at the start: the shorter lies on top
            [turn(J, "2026-11-23T09:00", "2026-11-24T09:00"), turn(A, "2026-11-23T09:00", "2026-11-30T09:00")],
            [(J, "11-23 09:00"), (A, "11-24 09:00")],
        ),
        (  # the later goes on when the earlier is over
            [turn(A, "2026-11-23T09:00", "2026-11-25T09:00"), turn(J, "2026-11-24T09:00", "2026-11-26T09:00")],
            [(A, "11-23 09:00"), (J, "11-24 09:00")],
        ),
        (  # what is hidden whole is not there
            [
                turn(A, "2026-11-23T09:00", "2026-11-30T09:00"),
                turn(J, "2026-11-24T09:00", "2026-11-27T09:00"),
                turn(D, "2026-11-24T10:00", "2026-11-29T09:00"),
            ],
            [(A, "11-23 09:00"), (J, "11-24 09:00"), (D, "11-24 10:00"), (A, "11-29 09:00")],
        ),
        ([turn(A, "2026-01-01T00:00", "2026-11-02T00:00")], [(A, "11-01 00:00")]),
        ([turn(A, "2025-01-01T00:00", "2025-11-02T00:00")], []),
    ],
)
def test_what_starts_later_lies_on_top(events: list[Turn], turns: list[tuple[str, str]]) -> None:
    assert told(Booked.of(events, *KNOWN).turns) == turns
    assert told(Booked.of(reversed(events), *KNOWN).turns) == turns


@st.composite
def events(draw: st.DrawFn) -> Turn:
    start = draw(st.integers(-20, 200))
    hours = draw(st.integers(1, 60))
    return Turn(draw(st.sampled_from([A, J, D])), KNOWN[0] + start * HOUR, KNOWN[0] + (start + hours) * HOUR)


@given(st.lists(events(), max_size=12))
def test_laid_events_say_at_each_hour_what_a_slow_look_says(made: list[Turn]) -> None:
    booked = Booked.of(made, KNOWN[0], KNOWN[0] + 240 * HOUR)
    assert all(turn.start < turn.end for turn in booked.turns)
    assert all(before.end <= after.start for before, after in pairwise(booked.turns))
    for hour in range(240):
        now = KNOWN[0] + hour * HOUR
        there = [e for e in made if e.start <= now < e.end]
        top = max(there, key=lambda e: (e.start, -e.end.timestamp(), e.person or "")) if there else None
        found = booked.at(now)
        assert found.start <= now < found.end
        assert found.person == (top.person if top else None)


def test_a_gap_in_a_calendar_is_seen_ahead() -> None:
    booked = Booked.of(
        [turn(A, "2026-11-23T09:00", "2026-11-30T09:00"), turn(J, "2026-12-01T09:00", "2026-12-24T18:00")], *KNOWN
    )
    there, now = house(rota=booked), utc("2026-11-24T00:00")
    assert there.gap_ahead("primary", now, WEEK) == turn(None, "2026-11-30T09:00", "2026-12-01T09:00")
    assert there.gap_ahead("primary", now, 6 * DAY) is None
    assert there.who("primary", utc("2026-11-30T12:00")) is None
    swap = given_to(D, "2026-11-30T09:00", "2026-12-01T09:00")
    covered = house(swap, rota=booked).gap_ahead("primary", now, 60 * DAY)
    assert covered is not None
    assert (covered.person, covered.start) == (None, utc("2026-12-24T18:00"))


def test_a_gap_may_begin_now_and_its_end_is_told() -> None:
    booked = Booked.of([turn(A, "2026-12-23T09:00", "2026-12-30T09:00")], *KNOWN)
    gap = house(rota=booked).gap_ahead("primary", utc("2026-11-24T00:00"), HOUR)
    assert gap is not None
    assert (gap.person, gap.end) == (None, utc("2026-12-23T09:00"))


def test_what_a_calendar_does_not_know_yet_is_no_gap() -> None:
    booked = Booked.of([turn(A, "2026-11-01T00:00", "2028-01-01T00:00")], *KNOWN)
    assert house(rota=booked).gap_ahead("primary", utc("2027-10-01T00:00"), 60 * DAY) is None
    assert house(rota=booked).next_turns("primary", utc("2027-10-01T00:00"), 8) == ()


def test_a_turn_of_somebody_without_a_phone_is_a_gap() -> None:
    there = Roster({"primary": PRIMARY}, {A})
    assert there.who("primary", utc("2026-12-01T00:00")) is None
    assert there.gap_ahead("primary", utc("2026-11-24T00:00"), 30 * DAY) == turn(
        None, "2026-11-30T08:00", "2026-12-07T08:00"
    )
    nobody = Roster({"primary": PRIMARY}, ())
    assert nobody.gap_ahead("primary", utc("2026-11-24T00:00"), HOUR) is not None
    assert nobody.everyone(utc("2026-11-24T00:00")) == ()


def test_turns_written_here_have_no_gap() -> None:
    assert house().gap_ahead("primary", utc("2026-11-24T00:00"), 3650 * DAY) is None


def test_a_calendar_never_read_is_one_long_gap() -> None:
    there = roster({"primary": PRIMARY, "holidays": FromCalendar(BERLIN)}, {}, EVERYBODY)
    now = utc("2026-11-24T00:00")
    assert (there.who("primary", now), there.who("holidays", now), there.who("nowhere", now)) == (A, None, None)
    assert there.gap_ahead("holidays", now, HOUR) is not None
    read = roster(
        {"holidays": FromCalendar(BERLIN)},
        {"holidays": Booked.of([turn(D, "2026-11-24T00:00", "2026-11-25T00:00")], *KNOWN)},
        EVERYBODY,
    )
    assert read.everyone(now) == (D,)
