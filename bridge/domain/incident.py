"""An incident: the trouble people answer for, from the first firing alert to its end."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from bridge.domain.alert import NO_START, AlertStatus

STALE_WITHIN = timedelta(minutes=5)
"""A firing this soon after its own resolve, with the same start, is an old news item, not a new outbreak."""


class IncidentState(StrEnum):
    """Whose turn it is to act."""

    TRIGGERED = "triggered"  # nobody has it yet
    ACKNOWLEDGED = "acknowledged"  # somebody has it
    RESOLVED = "resolved"  # it is over


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """What we remember of one alert of one incident (incident 0: a resolve that came without its firing)."""

    incident_id: int
    source: str
    group_key: str
    fingerprint: str
    starts_at: datetime
    status: AlertStatus
    name: str
    place: str
    fact: str
    severity: str
    last_seen: datetime
    ended_at: datetime | None = None

    @property
    def is_firing(self) -> bool:
        return self.status is AlertStatus.FIRING


@dataclass(frozen=True, slots=True)
class Incident:
    """One Alertmanager group (another source's dedup key) on one route of one source.

    `title`, `places`, `fact` and `severity` describe what fires now, or fired last. `places` are the
    first few; `firing` counts all. `test` marks what a source's own test button made.
    """

    id: int
    source: str
    group_key: str
    route: str
    opened_at: datetime
    started_at: datetime
    state: IncidentState = IncidentState.TRIGGERED
    title: str = ""
    places: tuple[str, ...] = ()
    fact: str = ""
    severity: str = ""
    firing: int = 0
    total: int = 0
    truncated: int = 0
    policy: str | None = None
    chat: str | None = None
    critical: bool = False
    test: bool = False
    note: str = ""  # something odd about how it got here, shown on the card
    source_url: str = ""
    runbook_url: str = ""
    last_seen: datetime | None = None
    ended_at: datetime | None = None
    ended_by: str | None = None

    @property
    def is_open(self) -> bool:
        return self.state is not IncidentState.RESOLVED

    def describing(self, alerts: Iterable[AlertRecord]) -> "Incident":
        """This incident, described by all its alerts: by those that fire, or when none does, by all."""
        everything = list(alerts)
        firing = [alert for alert in everything if alert.is_firing]
        shown = sorted(firing or everything, key=lambda a: (a.starts_at, a.name, a.place))
        if not shown:
            return self
        names = list(dict.fromkeys(alert.name for alert in shown))
        places = tuple(dict.fromkeys(alert.place for alert in shown if alert.place))
        return replace(
            self,
            title=names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more",
            places=places[:PLACES_KEPT],
            fact=shown[0].fact,
            severity=shown[0].severity,
            firing=len(firing),
            total=len(everything),
            started_at=min([self.started_at, *(a.starts_at for a in everything if a.starts_at > NO_START)]),
        )

    def resolve(self, by: str, now: datetime) -> "Incident":
        """Over; resolving twice changes nothing."""
        if not self.is_open:
            return self
        return replace(self, state=IncidentState.RESOLVED, ended_at=now, ended_by=by)

    def lasted(self, now: datetime) -> timedelta:
        """From the first outbreak to the end, or so far."""
        return (self.ended_at or now) - self.started_at


PLACES_KEPT = 20
"""How many places an incident remembers by name; the rest are counted."""


def is_stale(starts_at: datetime, known: Sequence[AlertRecord], now: datetime) -> bool:
    """Whether a firing is old news: the same outbreak was resolved minutes ago (an HA twin lags behind).

    A source that gives no start cannot tell one outbreak from the next; its firing is always news.
    """
    return starts_at > NO_START and any(
        not record.is_firing
        and record.starts_at >= starts_at
        and record.ended_at is not None
        and now - record.ended_at < STALE_WITHIN
        for record in known
    )
