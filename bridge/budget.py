"""What the limits still allow: asked before a typed SMS is taken on, and in the transaction that claims any SMS.

What is claimed stands in the database's sums with the commit, and in this budget's own until then; so no two rows are
given the same room, whoever claims them.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil

from bridge import texts
from bridge.domain import escalation
from bridge.domain.house import House
from bridge.domain.incident import Incident
from bridge.domain.notification import Held, Notification, Priority
from bridge.domain.throttle import INSTANT, TOGETHER, AnyWindow, Scope, Window, falls_at, opens_at
from bridge.ports import Transaction

log = logging.getLogger(__name__)

TOKEN = "api:"  # noqa: S105 - how a row says that an API token asked for it
_NEARLY = 0.8  # of a limit: time to tell somebody
_KEYS = {
    Scope.PHONE: "limits.per_person",
    Scope.ASKER: "limits.per_asker",
    Scope.HOUSE: "limits.total",
}


@dataclass(frozen=True, slots=True)
class Closed:
    """There is no room now: until when, whose limit it is, and which one in words."""

    opens_at: datetime
    held: Held
    why: str


@dataclass(frozen=True, slots=True)
class Nearly:
    """Little is left of a limit: its name, a sentence, and when that is over if nothing is added."""

    subject: str
    text: str
    over_at: datetime


class Budget:
    """The limits of a house in one transaction."""

    def __init__(self, tx: Transaction, house: House, now: datetime) -> None:
        self._tx = tx
        self._house = house
        self._now = now
        self._purses: dict[tuple[Scope, str], _Purse] = {}
        limits = house.limits
        self._total = {
            Priority.CRITICAL: limits.total,
            Priority.NORMAL: limits.normal_total,
            Priority.TYPED: limits.typed_total,
        }

    def closed(self, row: Notification, incident: Incident | None) -> Closed | None:
        """Why this SMS may not leave now; None: it may."""
        assert row.segments is not None
        found: list[Closed] = []
        for purse in self._purses_of(row, incident):
            windows = self._total[row.priority] if purse.scope is Scope.HOUSE else purse.windows
            for whole, window in zip(purse.windows, windows, strict=True):
                if opens := opens_at(purse, window, row.segments, self._now):
                    found.append(Closed(opens, Held(purse.scope.value), _why(purse, row, window, whole)))
        if not found:
            return None
        last = max(found, key=lambda closed: closed.opens_at)
        # Over the limit of a phone the next are called, whatever else is closed: it comes first.
        return Closed(last.opens_at, found[0].held, last.why)

    def never_fits(self, row: Notification) -> str:
        """Why what was typed is refused, however empty its limits are: one is smaller than it. Empty: none is.

        The limit of a phone spares the person, not the money: once it is empty, one long text goes there.
        """
        assert row.segments is not None
        for purse in self._purses_of(row, None):
            if purse.scope is Scope.PHONE:
                continue
            windows = self._total[row.priority] if purse.scope is Scope.HOUSE else purse.windows
            for whole, window in zip(purse.windows, windows, strict=True):
                if row.segments > window.segments:
                    most = f"{_size(window, whole)} may go out ({_KEYS[purse.scope]})"
                    return f"the text takes {row.segments} segments; {most}"
        return ""

    def gathers(self, row: Notification, incident: Incident | None) -> Closed | None:
        """Until when a normal page waits for others to the same person, for most of a limit is used; None: it leaves.

        The first leaves at once, those after it together a quarter of an hour later. What has waited leaves, whatever
        it waited for but more of its route; so does a test, and what somebody asked for by hand. What would be too old
        by then leaves now, and so does what would find its route paging nobody: a dear page is better than none. While
        others are to be called after it, it leaves too: their turn counts from it, whether it arrives or not.
        """
        if incident is None or not row.is_page or row.priority is not Priority.NORMAL or row.resent or row.failures:
            return None
        if row.held not in (None, Held.GATHER) or incident.test or incident.asked_by:
            return None
        soft = self._soft(row, incident)
        if soft is None:
            return None
        assert row.number is not None
        phone = self._purse(Scope.PHONE, row.number.e164)
        last = phone.paged or self._tx.last_normal_page(phone.subject, self._now - TOGETHER + INSTANT)
        if last is None:
            return None
        leaves = last + TOGETHER
        if row.expires_at is not None and row.expires_at <= leaves:
            return None
        if self._house.pages_at(incident.route, leaves) > leaves:
            return None
        if not escalation.is_last(self._tx.notifications_of([incident.id]), row):
            return None
        return Closed(leaves, Held.SOFT, f"{soft}, so pages to one person leave together")

    def _soft(self, row: Notification, incident: Incident | None) -> str | None:
        """Which limit of its route or the house has so little left that pages leave together only."""
        for purse in self._purses_of(row, incident):
            for window in purse.windows if self._is_soft(purse) else ():
                if purse.reserved(window.since(self._now)) >= _share(window, self._house.limits.soft):
                    return f"most of {_limit(purse)} is used, {window.segments} {_span(window)}"
        return None

    def no_room_for_news(self, row: Notification, incident: Incident | None) -> str:
        """Why this one is left out; empty when it leaves now and leaves half of each window of its phone to pages."""
        assert row.number is not None and row.segments is not None
        phone = self._purse(Scope.PHONE, row.number.e164)
        for window in phone.windows:
            news = self._tx.reserved_by_news(phone.subject, window.since(self._now)) + phone.news
            if news + row.segments > window.segments // 2:
                return "the limit of this phone is kept for pages"
        if row.priority is Priority.NORMAL and (soft := self._soft(row, incident)):
            return f"{soft}, the rest is kept for pages"
        closed = self.closed(row, incident)
        return closed.why if closed else ""

    def reserve(self, row: Notification, incident: Incident | None) -> None:
        """This one goes out now."""
        assert row.segments is not None
        for purse in self._purses_of(row, incident):
            purse.added += row.segments
            purse.news += row.segments * row.is_news
            purse.person = row.person or ""
            if row.is_page and row.priority is Priority.NORMAL:
                purse.paged = self._now

    def nearly_spent(self) -> Iterator[Nearly]:
        """Limits of which little is left after what was reserved here."""
        return self._nearly(purse for purse in self._purses.values() if purse.added)

    def all_nearly_spent(self) -> Iterator[Nearly]:
        """Of all limits that the config names, those of which little is left."""
        for person in self._house.people.values():
            if person.number:
                self._purse(Scope.PHONE, person.number.e164).person = person.name
        askers = (*self._house.people, *(f"{TOKEN}{name}" for name in self._house.scripts))
        routes = (route.name for route in self._house.routes)
        for scope, subjects in ((Scope.ASKER, askers), (Scope.ROUTE, routes), (Scope.HOUSE, ("",))):
            for subject in subjects:
                self._purse(scope, subject)
        return self._nearly(self._purses.values())

    def _nearly(self, purses: "Iterable[_Purse]") -> Iterator[Nearly]:
        for purse in purses:
            if purse.scope is Scope.PHONE and not purse.person:
                continue
            for window in purse.windows:
                used, most = purse.reserved(window.since(self._now)), _share(window, _NEARLY)
                soft = _share(window, self._house.limits.soft) if self._is_soft(purse) else window.segments + 1
                if used >= min(most, soft):
                    over_at = falls_at(purse, window, min(most, soft) - 1, self._now)
                    assert over_at is not None
                    name, sentence = _nearly(purse, f"{used} of {window.segments} SMS segments {_span(window)}")
                    if used >= soft:
                        sentence += f"; normal pages leave together now, every {texts.length(TOGETHER)}"
                    yield Nearly(f"{name} {_length(window)}", sentence, over_at)

    def _is_soft(self, purse: "_Purse") -> bool:
        if self._house.limits.soft >= 1 or purse.scope not in (Scope.ROUTE, Scope.HOUSE):
            return False
        route = self._house.route(purse.subject)
        return route is None or not route.critical

    def _purses_of(self, row: Notification, incident: Incident | None) -> "Iterator[_Purse]":
        """All that have to have room for this row. What tells of several incidents is paid for by its own route."""
        assert row.number is not None
        yield self._purse(Scope.PHONE, row.number.e164)
        if row.priority is Priority.TYPED and row.asked_by:
            yield self._purse(Scope.ASKER, row.asked_by)
        if incident is not None:
            yield self._purse(Scope.ROUTE, incident.route)
        yield self._purse(Scope.HOUSE, "")

    def _purse(self, scope: Scope, subject: str) -> "_Purse":
        if (scope, subject) not in self._purses:
            windows = self._windows(scope, subject)
            self._purses[scope, subject] = _Purse(self._tx, self._now, scope, subject, windows)
        return self._purses[scope, subject]

    def _windows(self, scope: Scope, subject: str) -> tuple[AnyWindow, ...]:
        match scope:
            case Scope.HOUSE:
                return self._house.limits.total
            case Scope.PHONE:
                return self._house.limits.per_person
            case Scope.ASKER:
                return self._house.limits.per_asker
            case Scope.ROUTE:
                route = self._house.route(subject)
                return route.limits if route else ()


@dataclass(eq=False)
class _Purse:
    """What one scope has had: what the database knows, asked once for each moment, and what was let out since."""

    tx: Transaction
    now: datetime
    scope: Scope
    subject: str
    windows: tuple[AnyWindow, ...]  # whole, before anything of them is kept for others
    added: int = 0
    news: int = 0
    person: str = ""  # whose phone it is
    paged: datetime | None = None  # by what was let out here, when it was a normal page
    known: dict[datetime, int] = field(default_factory=dict)
    moments: dict[tuple[datetime, int], datetime] = field(default_factory=dict)

    def reserved(self, since: datetime) -> int:
        if since not in self.known:
            self.known[since] = self.tx.reserved(self.scope, self.subject, since)
        return self.known[since] + self.added

    def reached(self, since: datetime, segments: int) -> datetime:
        if segments > self.known[since]:
            return self.now
        if (since, segments) not in self.moments:  # a crowd before a closed limit asks the same again and again
            self.moments[since, segments] = self._reached(since, segments)
        return self.moments[since, segments]

    def _reached(self, since: datetime, segments: int) -> datetime:
        try:
            return self.tx.reached(self.scope, self.subject, since, segments)
        except LookupError:
            # Sums that drifted from the rows are wrong, but a claim that dies of it sends nothing to anybody. As if all
            # had been reserved now: what is over the limit asks again within the hour.
            log.exception("the sums of a limit are not those of its rows", extra={"scope": self.scope})
            return self.now


def _why(purse: _Purse, row: Notification, window: AnyWindow, whole: AnyWindow) -> str:
    """Which limit is closed."""
    had = _size(window, whole)
    match purse.scope:
        case Scope.PHONE:
            return f"this phone has had its share of SMS, {had} (limits.per_person)"
        case Scope.ASKER:
            return f"{_asker(purse.subject)} has sent all they may, {had} (limits.per_asker)"
        case Scope.ROUTE:
            return f"route {purse.subject} has had its share of SMS, {had} (its limits)"
        case Scope.HOUSE if row.priority is Priority.TYPED:
            return f"typed SMS have used their share of the house's limit, {had} (limits.total)"
        case Scope.HOUSE:
            return f"the house has had its share of SMS, {had} (limits.total)"


def _size(window: AnyWindow, whole: AnyWindow) -> str:
    size = f"{window.segments} of {whole.segments}" if window.segments < whole.segments else f"{window.segments}"
    return f"{size} {_span(window)}"


def _nearly(purse: _Purse, used: str) -> tuple[str, str]:
    """A limit's name, and how much of it is used."""
    match purse.scope:
        case Scope.PHONE:
            return purse.person, f"{purse.person} has had {used} (limits.per_person)"
        case Scope.ASKER:
            return f"asker {purse.subject}", f"{_asker(purse.subject)} has sent {used} (limits.per_asker)"
        case Scope.ROUTE:
            return f"route {purse.subject}", f"route {purse.subject} has had {used} (its limits)"
        case Scope.HOUSE:
            return "total", f"{used} are used (limits.total)"


def _limit(purse: _Purse) -> str:
    return f"the limit of route {purse.subject}" if purse.scope is Scope.ROUTE else "limits.total"


def _asker(name: str) -> str:
    return f"the API token {name.removeprefix(TOKEN)}" if name.startswith(TOKEN) else name


def _share(window: AnyWindow, share: float) -> int:
    """How many segments are so much of it; at least one."""
    return max(1, ceil(round(window.segments * share, 6)))  # 0.07 * 100 is 7.000000000000001


def _span(window: AnyWindow) -> str:
    return f"in {_length(window)}" if isinstance(window, Window) else "this month"


def _length(window: AnyWindow) -> str:
    return texts.length(window.length) if isinstance(window, Window) else "month"
