"""How many segments a phone, a route, somebody who sends, and the house may get in a window."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Protocol
from zoneinfo import ZoneInfo

TOGETHER = timedelta(minutes=15)
"""How long pages to one person wait for each other once most of a limit is used."""
INSTANT = timedelta(microseconds=1)


class Scope(StrEnum):
    """Whose segments are added up."""

    HOUSE = "house"  # all there are
    ROUTE = "route"  # those about incidents of one route
    ASKER = "asker"  # those that a person, or an API token, typed
    PHONE = "phone"  # those to one number


@dataclass(frozen=True, slots=True)
class Window:
    """At most so many segments in any stretch of this length."""

    length: timedelta
    segments: int

    def since(self, now: datetime) -> datetime:
        """The first instant that counts at `now`."""
        return now - self.length + INSTANT

    def frees(self, reserved_at: datetime) -> datetime:
        """When what was reserved then counts no more."""
        return reserved_at + self.length


@dataclass(frozen=True, slots=True)
class Month:
    """At most so many segments in a calendar month of this zone, as bills are made."""

    segments: int
    zone: ZoneInfo
    length: ClassVar[timedelta] = timedelta(days=31)  # at most, for whoever compares windows

    def since(self, now: datetime) -> datetime:
        """The first instant that counts at `now`: the month's first, as its zone reads it."""
        local = now.astimezone(self.zone)
        begins = _first(local.year, local.month, self.zone)
        # A clock that is set back over the first midnight of a month reads the new month, then the old one again.
        return begins if begins <= now else self.since(begins - timedelta(days=1))

    def frees(self, reserved_at: datetime) -> datetime:
        """When what was reserved then counts no more: the first of the next month."""
        local = self.since(reserved_at).astimezone(self.zone)
        year, month = divmod(local.year * 12 + local.month, 12)
        return _first(year, month + 1, self.zone)


def _first(year: int, month: int, zone: ZoneInfo) -> datetime:
    """When a month begins there: the later instant, where a changed clock reads that midnight twice or skips it."""
    midnight = datetime(year, month, 1, tzinfo=zone)
    return max(midnight.astimezone(UTC), midnight.replace(fold=1).astimezone(UTC))


AnyWindow = Window | Month


@dataclass(frozen=True, slots=True)
class Limits:
    """The house's caps. Of `total`, /sms and the API may use `typed_share`, and `critical_share` is kept for critical
    pages; both from 0 to 1. From `soft` of a house's or a route's window on, normal pages leave together only.
    """

    per_person: tuple[AnyWindow, ...] = (Window(timedelta(minutes=5), 5), Window(timedelta(hours=1), 11))
    total: tuple[AnyWindow, ...] = (Window(timedelta(hours=1), 60), Window(timedelta(days=1), 200))
    typed_share: float = 0.7
    critical_share: float = 0.1
    per_asker: tuple[AnyWindow, ...] = ()
    soft: float = 0.8

    @property
    def normal_total(self) -> tuple[AnyWindow, ...]:
        """The house windows as pages see them that are not critical: a flood of them leaves room for what is."""
        return tuple(
            replace(w, segments=max(1, w.segments - int(w.segments * self.critical_share))) for w in self.total
        )

    @property
    def typed_total(self) -> tuple[AnyWindow, ...]:
        """The house windows as typed texts see them; at least one segment, or nothing could ever be typed."""
        typed = (max(1, int(w.segments * self.typed_share)) for w in self.total)
        both = zip(self.normal_total, typed, strict=True)
        return tuple(replace(w, segments=min(w.segments, own)) for w, own in both)


@dataclass(frozen=True, slots=True)
class Spent:
    """Segments that were reserved for one number at one time."""

    number: str
    at: datetime
    segments: int


def longest(windows: Iterable[AnyWindow]) -> timedelta:
    """How far back the windows that slide with the clock reach; a month stands where the calendar has it."""
    return max((window.length for window in windows if isinstance(window, Window)), default=timedelta(0))


class History(Protocol):
    """What was reserved in one scope, up to now."""

    def reserved(self, since: datetime) -> int:
        """Segments, from that instant on."""
        ...

    def reached(self, since: datetime, segments: int) -> datetime:
        """When they had become so many, counted from that instant on; there are as many."""
        ...


def opens_at(history: History, window: AnyWindow, wanted: int, now: datetime) -> datetime | None:
    """When `wanted` more segments fit into the window; None when they fit now.

    A text larger than a whole window fits once that window is empty: nothing waits for ever.
    """
    return falls_at(history, window, window.segments - min(wanted, window.segments), now)


def falls_at(history: History, window: AnyWindow, segments: int, now: datetime) -> datetime | None:
    """When no more than so many segments are left in the window, if none are added; None when there are no more now."""
    since = window.since(now)
    over = history.reserved(since) - segments
    return window.frees(history.reached(since, over)) if over > 0 else None
