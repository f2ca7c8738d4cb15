"""How many segments a number, and the house, may get in a window."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Window:
    """At most so many segments in any stretch of this length."""

    length: timedelta
    segments: int


@dataclass(frozen=True, slots=True)
class Limits:
    """The house's caps. Of `total`, /sms and the API may use `typed_share`, and `critical_share` is kept for critical
    pages; both from 0 to 1.
    """

    per_person: tuple[Window, ...] = (Window(timedelta(minutes=5), 5), Window(timedelta(hours=1), 11))
    total: tuple[Window, ...] = (Window(timedelta(hours=1), 60), Window(timedelta(days=1), 200))
    typed_share: float = 0.7
    critical_share: float = 0.1

    @property
    def longest(self) -> timedelta:
        """How far back sends have to be remembered."""
        return max((window.length for window in (*self.per_person, *self.total)), default=timedelta(0))

    @property
    def normal_total(self) -> tuple[Window, ...]:
        """The house windows as pages see them that are not critical: a flood of them leaves room for what is."""
        return tuple(Window(w.length, max(1, w.segments - int(w.segments * self.critical_share))) for w in self.total)

    @property
    def typed_total(self) -> tuple[Window, ...]:
        """The house windows as typed texts see them; at least one segment, or nothing could ever be typed."""
        typed = (max(1, int(w.segments * self.typed_share)) for w in self.total)
        return tuple(Window(w.length, min(w.segments, own)) for w, own in zip(self.normal_total, typed, strict=True))


@dataclass(frozen=True, slots=True)
class Spent:
    """Segments that were reserved for one number at one time."""

    number: str
    at: datetime
    segments: int


def opens_at(spent: Iterable[Spent], windows: Sequence[Window], wanted: int, now: datetime) -> datetime | None:
    """When `wanted` more segments fit into every window; None when they fit now.

    A text larger than a whole window fits once that window is empty: nothing waits for ever.
    """
    history = sorted(spent, key=lambda s: s.at)
    latest: datetime | None = None
    for window in windows:
        inside = [s for s in history if s.at > now - window.length]
        used = sum(s.segments for s in inside)
        room_needed = min(wanted, window.segments)
        for oldest in inside:
            if used + room_needed <= window.segments:
                break
            used -= oldest.segments
            frees = oldest.at + window.length
            latest = frees if latest is None else max(latest, frees)
    return latest
