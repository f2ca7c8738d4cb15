"""Values to store, with everything said that a test does not care about."""

from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.domain.alert import AlertStatus
from bridge.domain.incident import AlertRecord, Incident
from bridge.domain.notification import Event, Notification, Priority
from bridge.domain.phone import PhoneNumber
from bridge.domain.silence import Silence, SilenceState
from bridge.ports import Card, CardKind, Place, Question

NOW = datetime(2026, 11, 23, 3, 30, 0, 123457, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NUMBER = PhoneNumber("+77010000001")


def incident(number: int, /, **said: Any) -> Incident:
    given: dict[str, Any] = {
        "source": "alertmanager",
        "group_key": f"group {number}",
        "route": "critical",
        "opened_at": NOW,
        "started_at": NOW,
    }
    return Incident(number, **(given | said))


def silence(incident_id: int, /, **said: Any) -> Silence:
    given: dict[str, Any] = {
        "state": SilenceState.WANTED,
        "asked_by": "jonas",
        "asked_at": NOW,
        "ends_at": NOW + HOUR,
        "reference": "0123456789abcdef",
        "next_at": NOW,
    }
    return Silence(incident_id, **(given | said))


def alert(incident_id: int, fingerprint: str = "f1", **said: Any) -> AlertRecord:
    given: dict[str, Any] = {
        "source": "alertmanager",
        "group_key": f"group {incident_id}",
        "starts_at": NOW,
        "status": AlertStatus.FIRING,
        "name": "DiskFull",
        "place": "db1",
        "fact": "3 % left",
        "severity": "critical",
        "last_seen": NOW,
    }
    return AlertRecord(incident_id, fingerprint=fingerprint, **(given | said))


def page(number: int, incident_id: int, /, **said: Any) -> Notification:
    given: dict[str, Any] = {"target": "jonas", "due_at": NOW, "created_at": NOW}
    return Notification(number, incident_id=incident_id, **(given | said))


def typed(number: int, /, **said: Any) -> Notification:
    given: dict[str, Any] = {
        "target": NUMBER.e164,
        "due_at": NOW,
        "created_at": NOW,
        "priority": Priority.TYPED,
        "number": NUMBER,
        "text": "hello",
        "segments": 1,
        "asked_by": "aigerim",
        "chat": "ops",
    }
    return Notification(number, **(given | said))


def claimed(row: Notification, at: datetime = NOW) -> Notification:
    return row.becomes(
        Event.CLAIMED, attempt=row.attempt + 1, claimed_at=at, lease_until=at + MINUTE, number=NUMBER, segments=1
    )


def submitted(row: Notification, message_id: str, at: datetime = NOW) -> Notification:
    return row.becomes(Event.SUBMITTED, message_id=message_id, submitted_at=at, next_poll_at=at + 2 * SECOND)


def question(number: int, /, **said: Any) -> Question:
    given: dict[str, Any] = {
        "telegram_id": 111111111,
        "asked_by": "aigerim",
        "number": NUMBER,
        "target": NUMBER.e164,
        "text": "hello",
        "alphabet": "gsm7",
        "segments": 1,
        "token": "t0ken",
        "created_at": NOW,
        "expires_at": NOW + 10 * MINUTE,
    }
    return Question(number, **(given | said))


def card(subject: int, kind: CardKind = CardKind.SMS, chat_id: int = -1001, **said: Any) -> Card:
    given: dict[str, Any] = {"changed_at": NOW}
    return Card(0, kind, subject, Place(chat_id, 7), **(given | said))
