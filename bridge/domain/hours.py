"""Hours of the week and of the year as Alertmanager writes them (`time_intervals`), and what a route does in them.

Meaning, as Alertmanager documents it: an interval is a list of entries and contains an instant when any entry does;
an entry contains it when each field that stands there does; a field does when any of its ranges does. Ranges include
both their ends, but `end_time` is the first minute outside. Everything is read off the wall clock of `location`,
which is UTC when it is not given.

Where a clock change shows an hour twice, both are inside; where it skips one, nothing is.
"""

import re
from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_DAY = timedelta(days=1)
_MINUTES = 24 * 60
# Leap years come eight years apart at most, so what has not changed by then depends on rarer things than we look for.
_FARTHEST = 12 * 366

Range = tuple[int, int]


class BadInterval(ValueError):
    """What is wrong with a range of an interval, and what would be right."""


@dataclass(frozen=True, slots=True)
class Hours:
    """One entry of an interval: all its fields hold at once; an empty one does not restrict.

    `times` are minutes of the day, the second outside; the others include both ends. Weekdays count from Sunday, 0;
    days of the month from the end when negative, -1 the last.
    """

    times: tuple[Range, ...] = ()
    weekdays: tuple[Range, ...] = ()
    days_of_month: tuple[Range, ...] = ()
    months: tuple[Range, ...] = ()
    years: tuple[Range, ...] = ()
    zone: ZoneInfo = ZoneInfo("UTC")

    def contains(self, instant: datetime) -> bool:
        local = instant.astimezone(self.zone)
        return self.on(local.date()) and _within_times(self.times, local.hour * 60 + local.minute)

    def on(self, day: date) -> bool:
        """Whether that local day has any of it."""
        return (
            _within(self.weekdays, day.isoweekday() % 7)
            and _within(self.months, day.month)
            and _within(self.years, day.year)
            and (not self.days_of_month or _within_month(self.days_of_month, day))
        )


@dataclass(frozen=True, slots=True)
class TimeInterval:
    """A name for hours: inside when any of its entries is."""

    name: str
    entries: tuple[Hours, ...]

    def contains(self, instant: datetime) -> bool:
        return any(entry.contains(instant) for entry in self.entries)

    def next_change(self, instant: datetime) -> datetime | None:
        """The first instant after this one where it begins or ends; None when it does neither for twelve years."""
        return next_change((self,), instant)

    @property
    def never_ends(self) -> bool:
        """Whether it is all of time, as far as anybody could tell."""
        return self.contains(_LONG_AGO) and self.next_change(_LONG_AGO) is None


_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def next_change(intervals: Sequence[TimeInterval], instant: datetime) -> datetime | None:
    """The first instant after this one at which being in any of the intervals, or in none, changes."""
    entries = [entry for interval in intervals for entry in interval.entries]

    def inside(when: datetime) -> bool:
        return any(entry.contains(when) for entry in entries)

    before = inside(instant)
    day = _midnight(instant)
    for _ in range(_FARTHEST):
        if not _same_all_day(entries, day.date(), before):
            for edge in _edges(entries, day):
                if edge > instant and inside(edge) != before:
                    return edge
        day += _DAY
    return None


def _midnight(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _same_all_day(entries: Sequence[Hours], day: date, inside: bool) -> bool:
    """Whether a day (of UTC, so three local days at most) can hold no change: nothing in it, or one entry all of it."""
    around = (day - _DAY, day, day + _DAY)
    if inside:
        return any(not entry.times and all(map(entry.on, around)) for entry in entries)
    return not any(entry.on(local) for entry in entries for local in around)


def _same(entry: Hours, day: date) -> bool:
    """Whether an entry neither begins nor ends on a day of UTC, nor on the first moment of the next."""
    around = [entry.on(local) for local in (day - _DAY, day, day + _DAY)]
    return not any(around) or (all(around) and not entry.times)


def _edges(entries: Sequence[Hours], day: datetime) -> list[datetime]:
    """Every instant of a day of UTC at which one of the entries can begin or end, in order."""
    edges: set[datetime] = set()
    for entry in entries:
        offsets = {_offset(entry.zone, day), _offset(entry.zone, day + _DAY)}
        if len(offsets) > 1:
            edges.add(_clock_change(entry.zone, day))
        minutes = {0, *(minute for times in entry.times for minute in times)}
        for offset in offsets:
            midnight = (day + offset).replace(hour=0, minute=0, second=0)
            for local in (midnight, midnight + _DAY):
                edges.update(local - offset + timedelta(minutes=minute) for minute in minutes)
    return sorted(edge for edge in edges if day <= edge < day + _DAY)


def _clock_change(zone: ZoneInfo, day: datetime) -> datetime:
    """The minute of that day at which the zone's clock changes."""
    low, high = 0, _MINUTES
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, day + timedelta(minutes=middle)) == _offset(zone, day):
            low = middle
        else:
            high = middle
    return day + timedelta(minutes=high)


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta(0)


def _within(ranges: Sequence[Range], value: int) -> bool:
    return not ranges or any(first <= value <= last for first, last in ranges)


def _within_times(ranges: Sequence[Range], minute: int) -> bool:
    return not ranges or any(start <= minute < end for start, end in ranges)


def _within_month(ranges: Sequence[Range], day: date) -> bool:
    """As documented: a range past the end of a short month does not reach into the next one."""
    length = _days_in(day.year, day.month)
    return any(_counted(first, length) <= day.day <= _counted(last, length) for first, last in ranges)


def _counted(day: int, length: int) -> int:
    return length + day + 1 if day < 0 else day


@cache
def _days_in(year: int, month: int) -> int:
    return monthrange(year, month)[1]


# --- how ranges are written --------------------------------------------------------------------------------


def read_weekdays(written: str) -> Range:
    """`monday:friday` or `saturday`; the week begins on sunday. Raises BadInterval, as all of these do."""
    first, last = (_named(part, _WEEKDAYS, 0) for part in _ends(written))
    if first is None or last is None:
        raise BadInterval("not a weekday; write monday:friday, or saturday")
    if first > last:
        raise BadInterval("ends before it begins, for the week begins on sunday; write it as two")
    return first, last


def read_months(written: str) -> Range:
    """`may:august`, `5:8` or `may`."""
    first, last = (_named(part, _MONTHS, 1) or _whole(part) for part in _ends(written))
    if first is None or last is None or not (1 <= first <= 12 and 1 <= last <= 12):
        raise BadInterval("not a month; write may:august, 5:8 or may")
    if first > last:
        raise BadInterval("ends before it begins; write it as two, one to december and one from january")
    return first, last


def read_days_of_month(written: str) -> Range:
    """`1:5`, `15`, or `-3:-1` for the last three days."""
    first, last = (_whole(part) for part in _ends(written))
    if first is None or last is None or not (1 <= abs(first) <= 31 and 1 <= abs(last) <= 31):
        raise BadInterval("not a day of the month; write 1:5, 15, or -3:-1 for the last three days")
    if first < 0 < last:
        raise BadInterval("begins counted from the end of the month but ends counted from its start; count both alike")
    if _counted(first, 27) > _counted(last, 27):  # even in the shortest month, by Alertmanager's count
        raise BadInterval("ends before it begins; write it as two")
    return first, last


def read_years(written: str) -> Range:
    """`2026:2028` or `2026`."""
    first, last = (_whole(part) for part in _ends(written))
    if first is None or last is None or not (1 <= first <= 9999 and 1 <= last <= 9999):
        raise BadInterval("not a year; write 2026:2028, or 2026")
    if first > last:
        raise BadInterval("ends before it begins; write the earlier year first")
    return first, last


def read_minute(written: str) -> int:
    """`HH:MM`, as the minute of the day; `24:00` is its end."""
    if written == "24:00":
        return _MINUTES
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", written):
        raise BadInterval("not a time of day; write it like 09:00, or 24:00 for the end of the day")
    return int(written[:2]) * 60 + int(written[3:])


def times(start: int, end: int) -> Range:
    """From one minute of the day to another."""
    if start >= end:
        raise BadInterval("ends before it begins; past midnight it is two: 22:00 to 24:00, and 00:00 to 06:00")
    return start, end


def _ends(written: str) -> Iterator[str]:
    first, colon, last = written.lower().partition(":")
    yield first
    yield last if colon else first


def _named(part: str, names: Sequence[str], base: int) -> int | None:
    return names.index(part) + base if part in names else None


def _whole(part: str) -> int | None:
    return int(part) if re.fullmatch(r"[+-]?[0-9]{1,4}", part) else None


# --- what a route does in them --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RouteHours:
    """When a route pages, and by which policy.

    `mute` and `active` mean what Alertmanager's `mute_time_intervals` and `active_time_intervals` do: muted inside
    any of the first, or outside all of the second if there are any. What is muted, and what falls into `hold`, is
    not lost: it waits for the first moment in which neither is so, and leaves then if it still fires.
    `policies` are tried in order; the first that is now counts.
    """

    mute: tuple[TimeInterval, ...] = ()
    active: tuple[TimeInterval, ...] = ()
    hold: tuple[TimeInterval, ...] = ()
    policies: tuple[tuple[TimeInterval, str], ...] = ()

    def muted(self, now: datetime) -> bool:
        return _any(self.mute, now) or (bool(self.active) and not _any(self.active, now))

    def pages(self, now: datetime) -> bool:
        """Whether a page may leave now."""
        return not (self.muted(now) or _any(self.hold, now))

    def opens_at(self, now: datetime) -> datetime | None:
        """When a page may leave: now, or the first moment after; None: no such moment is in sight."""
        if self.pages(now):
            return now
        entries = [entry for interval in (*self.mute, *self.active, *self.hold) for entry in interval.entries]
        day = _midnight(now)
        for _ in range(_FARTHEST):
            if not all(_same(entry, day.date()) for entry in entries):
                for edge in _edges(entries, day):
                    if edge > now and self.pages(edge):
                        return edge
            day += _DAY
        return None

    def pages_at(self, now: datetime) -> datetime:
        """As `opens_at`; with no end in sight it is now, for a page too many is better than one too few."""
        return self.opens_at(now) or now

    def open_at(self, instant: datetime) -> bool:
        """Whether it is the very moment at which this route begins to page."""
        return self.pages(instant) and not self.pages(instant - _MOMENT)

    def policy(self, usual: str | None, now: datetime) -> str | None:
        return next((policy for interval, policy in self.policies if interval.contains(now)), usual)


_MOMENT = timedelta(microseconds=1)


def _any(intervals: Sequence[TimeInterval], now: datetime) -> bool:
    return any(interval.contains(now) for interval in intervals)
