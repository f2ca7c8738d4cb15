"""What a source reports, after its own format has been understood."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

NO_START = datetime(1970, 1, 1, tzinfo=UTC)
"""What stands for the start of an alert whose source gave none: the same for every repeat."""

_SEVERITIES = (
    {"critical", "disaster", "emergency", "fatal", "page"},
    {"error", "high", "major"},
    {"warning", "warn", "average", "medium"},
    {"minor", "low"},
    {"info", "information", "none", "debug"},
)
_UNKNOWN = 2  # a word of the house's own is no reason to look away


class AlertStatus(StrEnum):
    """What a source says of one alert."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that is wrong, or over. All text is sanitised: no NUL, no lone surrogates.

    `fingerprint` tells alerts of a group apart; with `starts_at` it tells one outbreak from the next.
    """

    fingerprint: str
    status: AlertStatus
    starts_at: datetime
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""
    description: str = ""
    ends_at: datetime | None = None
    source_url: str = ""
    runbook_url: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def severity(self) -> str:
        return self.labels.get("severity", "")

    @property
    def is_firing(self) -> bool:
        return self.status is AlertStatus.FIRING


@dataclass(frozen=True, slots=True)
class Report:
    """One webhook, understood: the alerts of one group of one source.

    `group_key` is what the source groups by (Alertmanager's groupKey, another source's dedup key).
    `whole_group_over` says that everything in the group ended, also what the sender left out;
    `truncated` counts the alerts that it left out. `test` marks a source's own test button.
    `notification_reason` is the sender's own word for why it notifies, where it has one. `group_labels` are those
    that it groups by, `url` is where it is to be looked at.
    """

    group_key: str
    alerts: Sequence[Alert]
    receiver: str = ""
    truncated: int = 0
    whole_group_over: bool = False
    notification_reason: str = ""
    test: bool = False
    group_labels: Mapping[str, str] = field(default_factory=dict)
    url: str = ""

    @property
    def identity(self) -> str:
        """The same for retries, HA twins and reminders of one notification, whatever their `externalURL`.

        Made of the group and the sorted (fingerprint, status, starts_at) of its alerts.
        """
        parts = sorted(f"{a.fingerprint} {a.status} {a.starts_at.isoformat()}" for a in self.alerts)
        told = "\n".join((self.receiver, self.group_key, *parts))
        return hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()


def badness(severity: str) -> int:
    """The rank of a severity by the words that monitoring systems use; 0 is the worst."""
    word = severity.casefold()
    return next((rank for rank, words in enumerate(_SEVERITIES) if word in words), _UNKNOWN)
