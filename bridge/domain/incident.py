"""An incident: the trouble people answer for, from the first firing alert to its end."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any

from bridge.domain.alert import NO_START, AlertStatus, badness
from bridge.domain.places import apart

STALE_WITHIN = timedelta(minutes=5)
"""A firing this soon after its own resolve, with the same start, is an old news item, not a new outbreak."""


STORM = "(storm)"
"""The source of an incident that stands for many; no source of a config can be called so."""
NO_BEAT = "(no beat)"
"""The group of the incident that the silence of a heartbeat source is: one a source, and part of no storm."""
ONE_OUTBREAK = timedelta(minutes=2)
"""Two Prometheis see one outbreak begin a moment apart, and Alertmanager moves its start back when the second tells."""


class IncidentState(StrEnum):
    """Whose turn it is to act."""

    TRIGGERED = "triggered"  # nobody has it yet
    ACKNOWLEDGED = "acknowledged"  # somebody has it
    RESOLVED = "resolved"  # it is over


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """What we remember of one alert of one incident (incident 0: a resolve that came without its firing).

    `receipt` is the newest webhook that told of it, `last_seen` when that was received. News is put in order by
    these numbers: webhooks may be understood in another order, and clocks are set back. `which` are the labels that
    may tell it from the others, the most telling first. `told` is what the template of its route may speak of, and
    nothing where it has none.
    """

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
    receipt: int = 0
    by_hand: bool = False  # a person ended it; its source goes on saying that it fires
    which: Mapping[str, str] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_firing(self) -> bool:
        return self.status is AlertStatus.FIRING

    def describes_as(self, other: "AlertRecord") -> bool:
        """Whether an incident reads the same with the one as with the other: they differ by when they were heard."""
        return _described_by(self) == _described_by(other)

    def ended(self, end: "AlertRecord") -> "AlertRecord":
        """Over, as `end` says; what either knows of later is kept."""
        return replace(
            self,
            status=AlertStatus.RESOLVED,
            starts_at=max(self.starts_at, end.starts_at),
            last_seen=max(self.last_seen, end.last_seen),
            ended_at=max(self.ended_at or end.last_seen, end.last_seen),
            receipt=max(self.receipt, end.receipt),
            by_hand=False,
        )


_described_by = attrgetter("status", "starts_at", "name", "place", "fact", "severity", "which")


@dataclass(frozen=True, slots=True)
class Incident:
    """One Alertmanager group (another source's dedup key) on one route of one source.

    `title`, `places`, `within`, `fact` and `severity` describe what fires now, or fired last: `places` are the first
    few that tell its alerts apart, `within` what all of these are in, `severity` the worst; `firing` counts all.
    `test` marks what a source's own test button made. `asked_by` opened it by hand. `first_round` is where the plan
    in force begins; plans before it are torn up. `rings` counts how often the chat was told that nobody has it,
    `outbreaks` how often it began. `labels` are what all its alerts have. `storm` is the incident that it is one of
    many in; of a storm, `last_seen` is when it last grew.
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
    asked_by: str | None = None
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    acknowledged_via: str = ""  # "from the SMS link"; empty: in the chat
    first_round: int = 1
    rings: int = 0
    outbreaks: int = 1
    token: str = field(default="", repr=False)  # what its buttons carry: not to be guessed, and of this database only
    labels: Mapping[str, str] = field(default_factory=dict)
    storm: int | None = None
    within: str = ""

    @property
    def is_open(self) -> bool:
        return self.state is not IncidentState.RESOLVED

    @property
    def is_storm(self) -> bool:
        return self.source == STORM

    @property
    def is_silence(self) -> bool:
        """Whether it is about a source that is not heard any more."""
        return self.group_key == NO_BEAT

    @property
    def shares_a_name(self) -> bool:
        """Whether all its alerts are called the same. Labels without a name, a severity say, are everybody's."""
        return "alertname" in self.labels

    @property
    def told_by_storm(self) -> bool:
        """Nobody is called about it alone; what is critical pages singly all the same."""
        return self.storm is not None and not self.critical

    def describing(self, alerts: Iterable[AlertRecord], **also: Any) -> "Incident":
        """This incident, described by all its alerts: by those that fire, or when none does, by all.

        `also` changes with it.
        """
        everything = list(alerts)
        firing = [alert for alert in everything if alert.is_firing]
        shown = sorted(firing or everything, key=lambda a: (a.starts_at, a.name, a.place))
        if not shown:
            return replace(self, **also)
        names = list(dict.fromkeys(alert.name for alert in shown))
        places, within = apart([alert.which or {"place": alert.place} for alert in shown if alert.which or alert.place])
        return replace(
            self,
            title=names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more",
            places=places[:PLACES_KEPT],
            within=within,
            fact=shown[0].fact,
            severity=min((alert.severity for alert in shown), key=badness),
            firing=len(firing),
            total=len(everything),
            started_at=min([self.started_at, *(a.starts_at for a in everything if a.starts_at > NO_START)]),
            **also,
        )

    def sharing(self, alerts: Iterable[Mapping[str, str]], *, afresh: bool = False) -> "Incident":
        """With the labels that these alerts have too, all of the same value; `afresh`: whatever it had before."""
        shared = None if afresh else dict(self.labels)
        for labels in alerts:
            if shared is None:
                shared = {name: value for name, value in labels.items() if value}
            elif shared:
                shared = {name: value for name, value in shared.items() if labels.get(name) == value}
        return replace(self, labels=shared or {})

    def acknowledge(self, by: str, now: datetime, via: str = "") -> "Incident":
        """Somebody has it, or somebody else takes it over; what is over stays over."""
        if not self.is_open or (self.state is IncidentState.ACKNOWLEDGED and self.acknowledged_by == by):
            return self
        return replace(
            self,
            state=IncidentState.ACKNOWLEDGED,
            acknowledged_by=by,
            acknowledged_at=now,
            acknowledged_via=via,
            rings=0,
        )

    def trigger_again(self) -> "Incident":
        """Nobody has it any more: a new plan begins, with rounds of its own."""
        return replace(self, state=IncidentState.TRIGGERED, first_round=self.first_round + MOST_ROUNDS, rings=0)

    def reopen(self) -> "Incident":
        """It fires again soon after its end: the same trouble, told as one."""
        return replace(self.trigger_again(), ended_at=None, ended_by=None, outbreaks=self.outbreaks + 1)

    def resolve(self, by: str, now: datetime) -> "Incident":
        """Over; resolving twice changes nothing."""
        if not self.is_open:
            return self
        return replace(self, state=IncidentState.RESOLVED, ended_at=now, ended_by=by)

    def lasted(self, now: datetime) -> timedelta:
        """From the first outbreak to the end, or so far."""
        return (self.ended_at or now) - self.started_at


MOST_ROUNDS = 10
"""A plan climbs at most so often, so its rounds never meet those of the plan after it."""
PLACES_KEPT = 20
"""How many places an incident remembers by name; the rest are counted."""


def is_over(firing: AlertRecord, end: AlertRecord) -> bool:
    """Whether this end is the end of this outbreak, in whichever order we came to know of them.

    An end is of no outbreak that began later, a moment excepted. It ends what was received before it, and what
    an HA twin says minutes after it of the same outbreak. A source that gives no start cannot tell one outbreak
    from the next: there only the order of receipts counts.
    """
    if end.by_hand and firing.fingerprint == end.fingerprint:
        return firing.starts_at - end.starts_at <= ONE_OUTBREAK  # its source knows of no end: the next start is news
    timed = NO_START not in (firing.starts_at, end.starts_at)
    if timed and end.starts_at < firing.starts_at:
        return firing.starts_at - end.starts_at <= ONE_OUTBREAK and end.receipt > firing.receipt
    lags = timed and firing.fingerprint == end.fingerprint and firing.last_seen - end.last_seen < STALE_WITHIN
    return end.receipt > firing.receipt or lags
