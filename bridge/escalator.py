"""How a plan follows what happens: rungs move, chats ring, those who were paged hear how it went on.

Each works inside the transaction of what caused it, so a plan never lags behind its rows.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from bridge.domain import escalation
from bridge.domain.escalation import CHAT, Policy
from bridge.domain.house import House
from bridge.domain.incident import Incident, IncidentState
from bridge.domain.notification import Held, Notification, Purpose, State
from bridge.metrics import Metrics
from bridge.ports import Card, CardKind, TimelineEntry, Timer, Transaction

DEADLINE = "deadline"
"""The timer of a rung that has to be on somebody's handset; its subject is incident:round:step."""
NOBODY = "nobody"
"""The timer after the last rung; its subject is the incident."""
ACK_OVER = "ack_over"
"""The timer of an acknowledgement that holds for so long; its subject is the incident."""
_STUCK_AFTER = 3  # attempts that did not reach the gateway before the chat hears that nobody can be called

_WHY_NEXT = {
    "failed": "the SMS could not be sent",
    "undelivered": "not delivered",
    "uncertain": "whether the SMS left is not known",
    "moderated": "people at Mobizon still read the SMS",
    "late": "not on the handset in time",
    "limit": "that phone has had its share of SMS",
}


def policy_of(house: House, incident: Incident) -> Policy | None:
    """The policy it pages by; None when nobody is paged, or the config has lost it."""
    return house.policies.get(incident.policy or "")


def begin(
    tx: Transaction,
    house: House,
    incident: Incident,
    now: datetime,
    *,
    first: str | None = None,
    without: str | None = None,
) -> None:
    """Write a new plan for an incident that is triggered once more."""
    policy = policy_of(house, incident)
    if policy is None:
        return
    first = first if first in house.people else None
    route = house.route(incident.route)
    begins = (route.hours.pages_at(now) if route else now) or now
    expires_at = begins + route.ttl if route and route.ttl else None
    plan = escalation.plan(
        policy, incident, begins, rotas=tuple(house.rotas), expires_at=expires_at, first=first, without=without
    )
    rows = [replace(row, id=number) for row, number in zip(plan, tx.numbers(len(plan)), strict=True)]
    tx.add_notifications(rows)
    if not rows:
        tx.set_timer(Timer(NOBODY, str(incident.id), now))
        tx.wake("timers")
    tx.wake("sender")


def follow(
    tx: Transaction, house: House, row: Notification, was: Notification, now: datetime, metrics: Metrics
) -> None:
    """The plan of a row that has changed its state moves along."""
    newly_held = row.state is State.PLANNED and row.held is not was.held
    if not row.is_page or row.incident_id is None or (row.state is was.state and not newly_held):
        return
    if newly_held and row.held is Held.HOUSE:
        _call_them_yourselves(tx, house, row, now, lambda other: other.held is Held.HOUSE)
    if was.failures < row.failures == _STUCK_AFTER:
        _call_them_yourselves(tx, house, row, now, lambda other: other.failures >= _STUCK_AFTER)
    incident = tx.incident(row.incident_id)
    if incident is None or not _climbs(incident) or row.round < incident.first_round:
        return
    reaction = escalation.react(in_force(tx, incident), row, was, now)
    if reaction.deadline is not None:
        tx.set_timer(Timer(DEADLINE, f"{incident.id}:{row.round}:{row.step}", reaction.deadline))
    _apply(tx, incident, reaction, now, metrics)


def deadline(tx: Transaction, subject: str, now: datetime, metrics: Metrics) -> None:
    """A rung's time to be on somebody's handset is over."""
    number, round_, step = (int(part) for part in subject.split(":"))
    incident = tx.incident(number)
    if incident is None or not _climbs(incident):
        return
    rows = in_force(tx, incident)
    rung = next((row for row in rows if (row.round, row.step) == (round_, step)), None)
    if rung is not None:
        _apply(tx, incident, escalation.react(rows, rung, rung, now), now, metrics)


def nobody(tx: Transaction, house: House, incident_id: int, now: datetime) -> None:
    """Everybody was called and nobody took it: the chat rings, and again with growing gaps."""
    incident = tx.incident(incident_id)
    if incident is None or not _climbs(incident):
        return
    if escalation.in_flight(in_force(tx, incident)):
        return
    tx.set_timer(Timer(NOBODY, str(incident_id), escalation.ring_again(incident.rings, now)))
    incident = replace(incident, rings=incident.rings + 1)
    tx.save_incidents([incident])
    tx.add_timeline([TimelineEntry(incident_id, now, "nobody has it: the chat rings")])
    ring(tx, house, incident, now)


def ring(tx: Transaction, house: House, incident: Incident, now: datetime, why: str = "") -> None:
    """A new, ringing message about an incident where its card is; without a reason it says that nobody has it."""
    for card in tx.cards_of(CardKind.INCIDENT, incident.id):
        tx.add_card(Card(0, CardKind.RING, incident.id, card.place, ring=True, urgent=True, changed_at=now, text=why))
    tx.bump_cards(CardKind.INCIDENT, [incident.id], now, urgent=True)
    tx.wake("reporter")


def tell_those_paged(
    tx: Transaction, incidents: Iterable[Incident], purpose: Purpose, now: datetime, *, but: str | None = None
) -> None:
    """One SMS to each who was paged about it and may have it on the phone: that somebody has it, or that it is over."""
    by_id = {incident.id: incident for incident in incidents}
    told: dict[tuple[int, str], Notification] = {}
    for row in tx.notifications_of(by_id):
        if row.is_page and row.person and row.person != but and row.state in _MAY_HAVE_IT:
            told.setdefault((row.incident_id or 0, row.person), row)
    rows = [
        Notification(
            id=number,
            target=person,
            due_at=now,
            created_at=now,
            incident_id=incident_id,
            round=page.round,
            step=page.step,
            priority=page.priority,
            chat=page.chat,
            expires_at=now + _NEWS_FOR,
            purpose=purpose,
        )
        for ((incident_id, person), page), number in zip(told.items(), tx.numbers(len(told)), strict=True)
    ]
    tx.add_notifications(rows)
    tx.wake("sender")


def tell_of_end(
    tx: Transaction, house: House, incidents: Iterable[Incident], now: datetime, *, but: str | None = None
) -> None:
    """Those who were paged hear that it is over, where its policy says so."""
    wanted = [incident for incident in incidents if (policy := policy_of(house, incident)) and policy.resolved_sms]
    if wanted:
        tell_those_paged(tx, wanted, Purpose.OVER, now, but=but)


def _climbs(incident: Incident) -> bool:
    """Whether its own plan is to call somebody: what is one of many in a storm is called about with all of it."""
    return incident.state is IncidentState.TRIGGERED and not incident.told_by_storm


def in_force(tx: Transaction, incident: Incident) -> list[Notification]:
    """The rows of the plan in force: pages only, those of plans before it left out."""
    return [row for row in tx.notifications_of([incident.id]) if row.is_page and row.round >= incident.first_round]


def _apply(tx: Transaction, incident: Incident, reaction: escalation.Reaction, now: datetime, metrics: Metrics) -> None:
    if reaction.moves:
        tx.save_notifications(reaction.moves)
        tx.bump_cards(CardKind.INCIDENT, [incident.id], now)
        tx.wake("sender", "reporter")
    if reaction.moves and reaction.hastened:
        what = f"calling the next: {_WHY_NEXT[reaction.hastened]}"
        tx.add_timeline([TimelineEntry(incident.id, now, what)])
        metrics.escalations.labels(reaction.hastened).inc()
    if reaction.nobody_at is not None:
        tx.set_timer(Timer(NOBODY, str(incident.id), reaction.nobody_at))
        tx.wake("timers")


def _call_them_yourselves(
    tx: Transaction, house: House, row: Notification, now: datetime, stands_still: Callable[[Notification], bool]
) -> None:
    """No SMS leaves, so the plan stands still: its chat hears once who should have been called."""
    assert row.incident_id is not None
    incident = tx.incident(row.incident_id)
    if incident is None or not incident.is_open:
        return
    rows = in_force(tx, incident)
    if any(stands_still(other) for other in rows if other.id != row.id):
        return
    waiting = dict.fromkeys(other.target for other in rows if other.state is State.PLANNED and other.target != CHAT)
    names = ", ".join(house.spoken(name) for name in waiting)
    ring(tx, house, incident, now, f"no SMS leaves: {row.reason}. Call them yourselves: {names}")


_NEWS_FOR = timedelta(minutes=15)  # an SMS that it is over, an hour after, wakes for nothing
_MAY_HAVE_IT = {State.SENDING, State.UNCERTAIN, State.SUBMITTED, State.DELIVERED}
