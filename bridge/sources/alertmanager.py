"""Alertmanager's webhook, version 4, as Alertmanager, vmalert and people with curl send it.

Each alert's own status decides: a group that still fires also lists its resolved alerts, and the firing
ones again. Fields come and go between versions, so only `alerts` is required.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.domain.alert import NO_START, Alert, AlertStatus, Report
from bridge.sources import reading
from bridge.sources.reading import PayloadError


def understand(value: Any, now: datetime) -> Report:
    """The group in this body. `externalURL` is no part of its key: the two of an HA pair differ in it."""
    body = reading.an_object(value, "the body")
    group = _Group(
        status=reading.status(body.get("status"), "status"),
        labels=reading.labels(body.get("commonLabels"), "commonLabels"),
        annotations=_optional_object(body.get("commonAnnotations"), "commonAnnotations"),
        url=reading.url(body.get("externalURL")),
    )
    listed = reading.a_list(body.get("alerts"), "alerts")
    alerts = _distinct([_alert(alert, f"alerts[{n}]", group, now) for n, alert in enumerate(listed)])
    if not alerts and group.status is AlertStatus.FIRING:
        raise PayloadError("alerts: an empty list; at least one alert would be right")
    receiver = reading.line(body.get("receiver"), "receiver")
    group_key = reading.line(body.get("groupKey"), "groupKey", reading.LONGEST_TEXT)
    return Report(
        group_key=reading.key(group_key or _made_up_key(body, receiver, alerts)),
        alerts=alerts,
        receiver=receiver,
        truncated=reading.count(body.get("truncatedAlerts")),
        whole_group_over=group.status is AlertStatus.RESOLVED and not any(a.is_firing for a in alerts),
        notification_reason=reading.line(body.get("notification_reason"), "notification_reason"),
        group_labels=reading.texts(body.get("groupLabels")),
        url=group.url,
    )


@dataclass(frozen=True, slots=True)
class _Group:
    """What alerts inherit when they do not say it themselves, as in bodies written by hand."""

    status: AlertStatus
    labels: dict[str, str]
    annotations: dict[str, Any]
    url: str


def _alert(value: Any, path: str, group: _Group, now: datetime) -> Alert:
    told = reading.an_object(value, path)
    labels = group.labels | reading.labels(told.get("labels"), f"{path}.labels")
    annotations = group.annotations | _optional_object(told.get("annotations"), f"{path}.annotations")
    status = reading.status(told.get("status"), f"{path}.status", otherwise=group.status)
    ended = reading.instant(told.get("endsAt"), now) or now
    return Alert(
        fingerprint=reading.line(told.get("fingerprint"), f"{path}.fingerprint", 100) or reading.fingerprint(labels),
        status=status,
        starts_at=reading.instant(told.get("startsAt"), now) or NO_START,
        name=labels.get("alertname") or "unnamed alert",
        labels=labels,
        summary=reading.words(annotations.get("summary"), f"{path}.annotations.summary"),
        description=reading.words(annotations.get("description"), f"{path}.annotations.description"),
        ends_at=ended if status is AlertStatus.RESOLVED else None,
        source_url=reading.url(told.get("generatorURL")) or group.url,
        runbook_url=reading.url(annotations.get("runbook_url")),
        annotations=reading.texts(annotations),
    )


def _optional_object(value: Any, path: str) -> dict[str, Any]:
    return {} if value is None else reading.an_object(value, path)


def _distinct(alerts: Sequence[Alert]) -> tuple[Alert, ...]:
    """One alert per fingerprint; should a body contradict itself, what fires wins."""
    kept: dict[str, Alert] = {}
    for alert in alerts:
        other = kept.get(alert.fingerprint)
        if other is None or (alert.is_firing, alert.starts_at) > (other.is_firing, other.starts_at):
            kept[alert.fingerprint] = alert
    return tuple(kept.values())


def _made_up_key(body: dict[str, Any], receiver: str, alerts: Sequence[Alert]) -> str:
    """Without a groupKey: the receiver and what groups these alerts, or else what they have in common."""
    shared = reading.labels(body.get("groupLabels"), "groupLabels")
    if not shared and alerts:
        shared = dict(set.intersection(*(set(alert.labels.items()) for alert in alerts)))
    return f"{receiver}:{reading.fingerprint(shared)}"
