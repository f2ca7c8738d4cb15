"""The link in a page: an address of one's own, behind which one press answers for the incident."""

import secrets
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from bridge.domain.house import House, Person
from bridge.domain.incident import Incident, IncidentState
from bridge.domain.notification import Notification, State
from bridge.ports import Transaction
from bridge.requests import LinkView, Verb

LIVES_ON = timedelta(hours=24)
"""How long a link shows how it ended."""
_SIGNS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"  # none that is mistaken for another when typed
_LENGTH = 11  # of 58 signs: 64 bits


def numbered(plan: Iterable[Notification], numbers: Iterable[int]) -> list[Notification]:
    """The rows of a new plan, each with its number and the token of its link: drawn once, so that a text repeated
    is the same text."""
    return [replace(row, id=number, link_token=_token()) for row, number in zip(plan, numbers, strict=False)]


def address(house: House, row: Notification) -> str:
    """What stands in the SMS; empty where the config gives us no address."""
    return f"{house.public_url}/a/{row.link_token}" if house.public_url and row.link_token else ""


def behind(tx: Transaction, house: House, token: str, now: datetime) -> tuple[Person, Incident] | None:
    """Whose link this is, and to what; None when it leads nowhere, for whatever reason.

    It is of the person it was texted to, while they are in the config and have that phone: a lost phone is locked out
    by changing the number.
    """
    row = tx.notification_by_link(token)
    if row is None or row.incident_id is None or row.number is None:
        return None
    person, incident = house.people.get(row.person or ""), tx.incident(row.incident_id)
    if person is None or person.number != row.number or incident is None:
        return None
    over_for = now - (incident.ended_at or now)
    return (person, incident) if incident.is_open or over_for < LIVES_ON else None


def view(tx: Transaction, house: House, person: Person, incident: Incident, now: datetime) -> LinkView:
    """What the page shows to this person."""
    plan = (row for row in tx.notifications_of([incident.id]) if row.is_page and row.round >= incident.first_round)
    return LinkView(
        incident,
        mine=incident.acknowledged_by == person.name,
        holder=house.spoken(incident.acknowledged_by),
        verbs=offered(incident, person.name),
        called=sum(row.state is not State.PLANNED or row.due_at <= now for row in plan),
        zone=house.zone_of(incident.chat),
        now=now,
    )


def offered(incident: Incident, name: str) -> tuple[Verb, ...]:
    """What this person may answer to it as it stands.

    Taking it from somebody is a button of its own: whoever presses *Acknowledge* on an old page means "nobody has it".
    """
    match incident.state:
        case IncidentState.TRIGGERED:
            return (Verb.ACKNOWLEDGE, Verb.PASS_ON)
        case IncidentState.ACKNOWLEDGED if incident.acknowledged_by == name:
            return (Verb.RESOLVE, Verb.HAND_BACK)
        case IncidentState.ACKNOWLEDGED:
            return (Verb.TAKE_OVER,)
        case IncidentState.RESOLVED:
            return ()


def _token() -> str:
    drawn, signs = secrets.randbelow(len(_SIGNS) ** _LENGTH), []
    for _ in range(_LENGTH):
        drawn, sign = divmod(drawn, len(_SIGNS))
        signs.append(_SIGNS[sign])
    return "".join(signs)
