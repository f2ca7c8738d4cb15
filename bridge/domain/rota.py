"""Who is on call: turns counted from a date or booked in a calendar, with what people swapped laid over them.

Days and weeks are counted on the wall clock: a handover at 09:00 stays at 09:00 when the clocks change, and that
turn is an hour longer or shorter. Hours are counted as they pass: "8h" promises that nobody is awake for longer,
and a turn of one hour would vanish in the hour that a clock change skips. The price: handovers of such a rota
move on the wall clock when it changes.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import islice, pairwise
from typing import Protocol
from zoneinfo import ZoneInfo

_MOMENT = timedelta.resolution


@dataclass(frozen=True, slots=True)
class Turn:
    """From `start` up to, but not at, `end` it is this person's turn; nobody's, where `person` is None."""

    person: str | None
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Override:
    """Somebody takes, or is given, a stretch of time on a rota, whosever turn it was. `by` is who said so."""

    rota: str
    person: str
    start: datetime
    end: datetime
    by: str

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError("an override ends after it starts")

    def covers(self, instant: datetime) -> bool:
        return self.start <= instant < self.end


def clear(overrides: Iterable[Override], rota: str, now: datetime, *, by: str | None = None) -> tuple[Override, ...]:
    """The rota as planned from now on: what runs ends now, what has not begun is gone, the past stays as it was.

    `by` bounds it to what that person said.
    """
    others = [
        (override, override.rota == rota and override.end > now and by in (None, override.by)) for override in overrides
    ]
    return tuple(
        replace(override, end=now) if ahead else override
        for override, ahead in others
        if not ahead or override.start < now
    )


class Timetable(Protocol):
    """Whose turn it is when nobody swapped. It knows nothing from `known_until` on (None: it always knows)."""

    @property
    def known_until(self) -> datetime | None: ...

    def at(self, instant: datetime) -> Turn: ...


class Unit(StrEnum):
    """What the length of a turn is counted in."""

    HOURS = "h"
    DAYS = "d"
    WEEKS = "w"


_LENGTH = {Unit.HOURS: timedelta(hours=1), Unit.DAYS: timedelta(days=1), Unit.WEEKS: timedelta(weeks=1)}


@dataclass(frozen=True, slots=True)
class Rota:
    """People in turn. The first one's turn begins on the day `since` at `handover`; before it the order runs backwards.

    A handover that the local clock shows twice happens at the first of the two, one that it skips happens as long
    after the change as it was meant to be after the last full hour before: 02:30 becomes 03:30. iCalendar
    (RFC 5545, 3.3.5) has the same rule, so a rota and a calendar that say the same mean the same.
    """

    people: tuple[str, ...]
    since: date
    handover: time = time(9)
    every: int = 1
    unit: Unit = Unit.WEEKS
    zone: ZoneInfo = ZoneInfo("UTC")

    def __post_init__(self) -> None:
        if not self.people or self.every < 1:
            raise ValueError("a rota has people, and turns that last")

    @property
    def known_until(self) -> datetime | None:
        return None

    def at(self, instant: datetime) -> Turn:
        """The one turn that covers the instant."""
        number = self._about(instant)
        while self._begins(number) > instant:
            number -= 1
        while (end := self._begins(number + 1)) <= instant:
            number += 1
        return Turn(self.people[number % len(self.people)], self._begins(number), end)

    @property
    def _first(self) -> datetime:
        return datetime.combine(self.since, self.handover)

    @property
    def _length(self) -> timedelta:
        return self.every * _LENGTH[self.unit]

    def _about(self, instant: datetime) -> int:
        """The turn's number, give or take what a clock change moves."""
        local = instant.astimezone(self.zone).replace(tzinfo=None)
        return (local - self._first) // self._length

    def _begins(self, number: int) -> datetime:
        if self.unit is Unit.HOURS:
            return self._exact(self._first) + number * self._length
        return self._exact(self._first + number * self._length)

    def _exact(self, local: datetime) -> datetime:
        return local.replace(tzinfo=self.zone, fold=0).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class FromCalendar:
    """A rota whose turns are booked in an iCalendar file or feed; `zone` is for events that name none."""

    zone: ZoneInfo = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class Booked:
    """Turns read from a calendar, one after the other, complete from `known_from` to `known_until`."""

    turns: tuple[Turn, ...]
    known_from: datetime
    known_until: datetime

    @classmethod
    def of(cls, events: Iterable[Turn], known_from: datetime, known_until: datetime) -> "Booked":
        """Lay events over each other as people mean them: what starts later lies on top, for as long as it lasts.

        So a swap is one more event over a long one, which comes back when the swap is over. Of two that start
        together the one that ends sooner lies on top. One person has it at a time: a second on call is a second rota.
        """
        ordered = sorted(events, key=lambda e: (e.start, -e.end.timestamp(), e.person or ""))
        inside = [e for e in ordered if e.start < known_until and e.end > known_from]
        edges = sorted({min(max(edge, known_from), known_until) for e in inside for edge in (e.start, e.end)})
        laid: list[tuple[int, Turn]] = []
        running: list[int] = []
        upcoming = 0
        for start, end in pairwise(edges):
            while upcoming < len(inside) and inside[upcoming].start <= start:
                running.append(upcoming)
                upcoming += 1
            while running and inside[running[-1]].end <= start:
                running.pop()
            if not running:
                continue
            top = running[-1]
            if laid and laid[-1][0] == top and laid[-1][1].end == start:
                laid[-1] = top, replace(laid[-1][1], end=end)
            else:
                laid.append((top, Turn(inside[top].person, start, end)))
        return cls(tuple(turn for _, turn in laid), known_from, known_until)

    def at(self, instant: datetime) -> Turn:
        """The turn that covers the instant, or the gap around it."""
        after = bisect_right(self.turns, instant, key=lambda turn: turn.start)
        before = self.turns[after - 1] if after else None
        if before and before.end > instant:
            return before
        since, until = _EVER
        return Turn(
            None, before.end if before else since, self.turns[after].start if after < len(self.turns) else until
        )


_MOST_ALIKE = 100  # turns in a row of one person: who has it for so long has it for good
FOREVER = datetime.max.replace(tzinfo=UTC)
LONG_AGO = datetime.min.replace(tzinfo=UTC)
_EVER = LONG_AGO, FOREVER


class OnCall(Protocol):
    """What an escalation asks when a step for a rota is due."""

    def who(self, rota: str, now: datetime) -> str | None: ...

    def everyone(self, now: datetime) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Roster:
    """Every rota with its overrides, in the order they were made: the last one made counts.

    `people` are those who can be paged. An override for anybody else is as if it were not there; a turn of
    anybody else is a gap.
    """

    rotas: Mapping[str, Timetable]
    people: Collection[str]
    overrides: tuple[Override, ...] = field(default=())

    def who(self, rota: str, now: datetime) -> str | None:
        """Who is paged for this rota now; None is a gap, and so is a rota that nobody knows."""
        if rota not in self.rotas:
            return None
        piece, _ = self._piece(rota, now)  # not the whole turn: an hourly rota swapped for a year has thousands
        return piece.person

    def everyone(self, now: datetime) -> tuple[str, ...]:
        """Everyone on call, over all rotas, each once."""
        return tuple(dict.fromkeys(person for rota in self.rotas if (person := self.who(rota, now))))

    def turn(self, rota: str, now: datetime) -> Turn:
        """Who has it, since when and until when. The same answer at every instant of the turn."""
        turn, laid_over = self._piece(rota, now)
        start, end, last = turn.start, turn.end, laid_over
        while end < FOREVER:
            after, is_laid_over = self._piece(rota, end)
            if not _goes_on(turn, last, after, is_laid_over):
                break
            end, last = after.end, is_laid_over
        last = laid_over
        while start > LONG_AGO:
            before, is_laid_over = self._piece(rota, start - _MOMENT)
            if not _goes_on(turn, last, before, is_laid_over):
                break
            start, last = before.start, is_laid_over
        return Turn(turn.person, start, end)

    def turns(self, rota: str, now: datetime) -> Iterator[Turn]:
        """The turn of now and all that follow, without end unless the timetable has one."""
        turn = self.turn(rota, now)
        yield turn
        while turn.end < FOREVER:
            turn = self.turn(rota, turn.end)
            yield turn

    def stretch(self, rota: str, now: datetime) -> tuple[Turn, Turn | None]:
        """Who has it until somebody else gets it, or nobody; and that turn, where one is known."""
        known_until = self.rotas[rota].known_until
        coming = self.turns(rota, now)
        turn = next(coming)
        for following in islice(coming, _MOST_ALIKE):
            if known_until and following.start >= known_until:
                return replace(turn, end=following.start), None
            if following.person != turn.person:
                return replace(turn, end=following.start), following
        return replace(turn, end=FOREVER), None

    def next_turns(self, rota: str, now: datetime, count: int) -> tuple[Turn, ...]:
        """The next so many turns after the one of now, gaps between them included."""
        known_until = self.rotas[rota].known_until
        coming = self.turns(rota, now)
        next(coming)
        found = []
        for _, turn in zip(range(count), coming, strict=False):
            if known_until and turn.start >= known_until:
                break
            found.append(turn)
        return tuple(found)

    def handovers(self, rota: str, after: datetime, until: datetime) -> tuple[Turn, ...]:
        """The turns that begin after one instant and not after the other, where somebody else gets it, or nobody.

        Asked for one stretch after the other, each handover is told exactly once.
        """
        found: list[Turn] = []
        had = None
        for turn in self.turns(rota, after):
            if turn.start > until:
                break
            if turn.start > after and had and turn.person != had.person:
                found.append(turn)
            had = turn
        return tuple(found)

    def gap_ahead(self, rota: str, now: datetime, horizon: timedelta) -> Turn | None:
        """The first stretch, from now to the horizon, when nobody can be paged; what is not known yet is no gap.

        Its end is the next turn of anybody, or the end of time where none is known.
        """
        until = now + horizon
        known_until = self.rotas[rota].known_until
        if known_until:
            until = min(until, known_until)
        for turn in self.turns(rota, now):
            if turn.start >= until:
                return None
            if turn.person is None:
                return turn
        return None

    def _piece(self, rota: str, instant: datetime) -> tuple[Turn, bool]:
        """What counts at the instant, between the nearest edges around it; and whether an override is why."""
        base = self.rotas[rota].at(instant)
        person, laid_over = base.person if base.person in self.people else None, False
        start, end = base.start, base.end
        for override in self.overrides:
            if override.rota != rota or override.person not in self.people:
                continue
            if override.covers(instant):
                person, laid_over = override.person, True
            for edge in (override.start, override.end):
                if edge <= instant:
                    start = max(start, edge)
                else:
                    end = min(end, edge)
        return Turn(person, start, end), laid_over


def _goes_on(turn: Turn, laid_over: bool, neighbour: Turn, is_laid_over: bool) -> bool:
    """Whether two pieces that touch are one turn: the same person, and no handover of the timetable between them."""
    return turn.person == neighbour.person and (laid_over or is_laid_over)


def roster(
    rotas: Mapping[str, Rota | FromCalendar],
    booked: Mapping[str, Booked],
    people: Collection[str],
    overrides: tuple[Override, ...] = (),
) -> Roster:
    """The rotas of the config with what was read from their calendars; a calendar never read yet is one long gap."""
    tables: dict[str, Timetable] = {}
    for name, rota in rotas.items():
        tables[name] = rota if isinstance(rota, Rota) else booked.get(name, Booked((), *_EVER))
    return Roster(tables, people, overrides)
