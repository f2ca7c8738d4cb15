"""A heartbeat: whatever comes is a sign of life, an empty body and what is no JSON included.

One thing is none: a webhook of Alertmanager's in which nothing fires any more. Prometheus, or its rule, ended there.
"""

from typing import Any

from bridge.domain.alert import AlertStatus, Report
from bridge.domain.incident import NO_BEAT
from bridge.sources import reading
from bridge.sources.reading import NotJson, PayloadError


def understand(body: bytes) -> Report:
    """That its source was heard, which ends its silence; a report of nothing when this is no sign of life."""
    return Report(group_key=NO_BEAT, alerts=(), whole_group_over=not _is_resolved(body))


def _is_resolved(body: bytes) -> bool:
    try:
        match reading.read_json(body):
            case {"alerts": [_, *_] as alerts} as told:
                return all(_ended(alert, told.get("status")) for alert in alerts)
            case {"alerts": [], "status": status}:
                return _ended({}, status)
    except NotJson:
        pass
    return False


def _ended(alert: Any, group: Any) -> bool:
    """Whether an alert is over: by its own word, else by its group's. What makes no sense is no end."""
    said = alert.get("status") if isinstance(alert, dict) else None
    try:
        return reading.status(said if said is not None else group, "status") is AlertStatus.RESOLVED
    except PayloadError:
        return False
