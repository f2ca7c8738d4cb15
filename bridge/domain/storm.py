"""A storm: many incidents opened on one route at once, paged, shown and answered for as one."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bridge.domain.alert import NO_START, badness
from bridge.domain.incident import AlertRecord, Incident, IncidentState

_NAMES_SHOWN = 8
_WORST_SHOWN = 10
_FEW = 4  # fewer incidents than that are best told of at once
_OF_A_STORM = 5  # of its incidents, a fifth is enough to expect the rest


@dataclass(frozen=True, slots=True)
class StormRules:
    """So many incidents opened `within` on one route are a storm, until none is opened for `calm`.

    `gather`: after a page to somebody, the next ones about the same route wait so long for each other, see `next_page`.
    """

    alerts: int = 20
    within: timedelta = timedelta(minutes=1)
    gather: timedelta = timedelta(seconds=10)
    calm: timedelta = timedelta(minutes=5)


def takes_in(storm: Incident, rules: StormRules, now: datetime) -> bool:
    """Whether what opens now on its route is part of it: it grew lately."""
    return storm.is_open and storm.last_seen is not None and now < storm.last_seen + rules.calm


def next_page(rules: StormRules, before: Sequence[datetime], opened: int) -> datetime:
    """When somebody may be paged who was paged about the same route at these times `before`, all of them lately.

    After a `gather`. After two pages `within`, or while so many incidents `opened` within it that a storm may come of
    them, not before it is over: a storm that begins slowly is told by its own SMS, and not by many before it.
    """
    brewing = opened >= max(_FEW, rules.alerts // _OF_A_STORM)
    patience = rules.within if brewing or len(before) > 1 else timedelta(0)
    return max(before[-1] + rules.gather, before[0] + patience)


def outgrew(then: int, since: int) -> bool:
    """Whether so much has joined since it was taken that whoever took it did not know what they took.

    Doubling: a storm that goes on asks again, and the more there is the more rarely.
    """
    return since >= max(then, 1)


def joined(member: Incident, storm: Incident) -> Incident:
    """An incident as part of a storm: who has the storm has it, unless it pages singly."""
    member = replace(member, storm=storm.id)
    if storm.state is not IncidentState.ACKNOWLEDGED or member.critical:
        return member
    return replace(
        member,
        state=IncidentState.ACKNOWLEDGED,
        acknowledged_by=storm.acknowledged_by,
        acknowledged_at=storm.acknowledged_at,
        acknowledged_via=storm.acknowledged_via,
    )


def described(storm: Incident, alerts: Iterable[AlertRecord]) -> Incident:
    """The storm, told by counts: of what fires, or when nothing does, of all there was."""
    everything = list(alerts)
    firing = [alert for alert in everything if alert.is_firing]
    shown = sorted(firing or everything, key=lambda a: (badness(a.severity), a.starts_at, a.name, a.place))
    if not shown:
        return storm
    named = dict.fromkeys(" ".join(filter(None, (alert.name, alert.place))) for alert in shown)
    hosts = len({alert.place for alert in shown if alert.place})
    names = Counter(alert.name for alert in shown).most_common()
    unnamed = len(names) - _NAMES_SHOWN
    counts = ", ".join(f"{name} {count}" for name, count in names[:_NAMES_SHOWN])
    where = f" on {_counted(hosts, 'host')}" if hosts else ""
    worst = list(named)[:_WORST_SHOWN]
    starts = [alert.starts_at for alert in everything if alert.starts_at > NO_START]
    return replace(
        storm,
        title=f"{_counted(len(shown), 'alert')}{where}, worst: {worst[0]}",
        fact=counts + (f" and {unnamed} more names" if unnamed > 0 else ""),
        note=f"Worst: {', '.join(worst)}" if len(worst) > 1 else "",
        severity=shown[0].severity,
        firing=len(firing),
        total=len(everything),
        started_at=min([storm.started_at, *starts]),
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
