"""The plan: every SMS a policy may cause, each with its hour, written the moment an incident opens."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.domain.incident import Incident
from bridge.domain.notification import Notification, Priority


@dataclass(frozen=True, slots=True)
class Step:
    """One rung: whom to notify, and how long to wait afterwards before the next.

    A target is a person's name, or `chat` for the incident's card, which costs nothing.
    """

    notify: tuple[str, ...]
    wait: timedelta = timedelta(0)

    @property
    def by_sms(self) -> tuple[str, ...]:
        """Whom this step sends SMS to, each once."""
        return tuple(dict.fromkeys(target for target in self.notify if target != CHAT))


CHAT = "chat"


@dataclass(frozen=True, slots=True)
class Policy:
    """Ordered rungs."""

    name: str
    steps: tuple[Step, ...]


def plan(policy: Policy, incident: Incident, now: datetime, expires_at: datetime | None = None) -> list[Notification]:
    """Every SMS this policy may cause, in order; the rows carry no number (id 0) and no text yet."""
    planned: list[Notification] = []
    due_at = now
    for number, step in enumerate(policy.steps, start=1):
        planned += [
            Notification(
                id=0,
                target=target,
                due_at=due_at,
                created_at=now,
                incident_id=incident.id,
                step=number,
                priority=Priority.CRITICAL if incident.critical else Priority.NORMAL,
                chat=incident.chat,
                expires_at=expires_at,
            )
            for target in step.by_sms
        ]
        due_at += step.wait
    return planned
