"""What people answer to an incident: I have it, it is over, call the next, take it back.

Each works inside the door's transaction and may be said twice: the second time changes nothing.
"""

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from bridge import escalator, storms
from bridge.domain import escalation
from bridge.domain.alert import AlertStatus
from bridge.domain.house import House, Role
from bridge.domain.incident import Incident, IncidentState
from bridge.domain.notification import Purpose
from bridge.ports import Card, CardKind, TimelineEntry, Timer, Transaction
from bridge.requests import Answered, Denied, PageRequest

Answer = Callable[[Transaction, House, Incident, str, str, datetime], Answered | Denied]
"""(transaction, house, incident, by whom, from where, now) → the incident as it is then."""
PASSED_ON, HANDED_BACK = "passed on", "handed back"
"""How the timeline's entries of these two answers begin."""
BY_HAND = "chat"
"""The source of incidents that people open."""
_LONGEST_TITLE = 200
_TOKEN_BYTES = 8
_WEEK = timedelta(days=7)  # Telegram brings no command back after a day


def acknowledge(
    tx: Transaction, house: House, incident: Incident, by: str, via: str, now: datetime
) -> Answered | Denied:
    """Somebody has it: what is still planned is torn up, what is on the wire cannot be called back."""
    if not incident.is_open:
        return Denied(f"#{incident.id} is over already.")
    taken = incident.acknowledge(by, now, via)
    if taken is incident:
        return Answered(incident, changed=False)
    who = house.spoken(by)
    taken = storms.left(tx, house, taken, by, now)
    tx.save_incidents([taken])
    if taken.is_storm:
        storms.take(tx, taken, incident, who, now)
    tx.cancel_planned([taken.id], f"{who} has it", now)
    tx.drop_timer(escalator.NOBODY, str(taken.id))
    policy = escalator.policy_of(house, taken)
    tx.drop_timer(escalator.ACK_OVER, str(taken.id))
    if policy and policy.ack_for:
        tx.set_timer(Timer(escalator.ACK_OVER, str(taken.id), now + policy.ack_for))
    if policy and policy.taken_sms:
        escalator.tell_those_paged(tx, [taken], Purpose.TAKEN, now, but=by)
    if incident.rings:
        escalator.quiet(tx, incident.id)
    took = "took it over" if incident.state is IncidentState.ACKNOWLEDGED else "acknowledged"
    _note(tx, taken, " ".join(filter(None, (took, via))), by, now)
    return Answered(taken)


def acknowledge_unless_taken(
    tx: Transaction, house: House, incident: Incident, by: str, via: str, now: datetime
) -> Answered | Denied:
    """As `acknowledge`, by a button of a card that showed nobody: it takes nothing away from who was quicker."""
    if incident.state is IncidentState.ACKNOWLEDGED and incident.acknowledged_by != by:
        return Denied(f"{_settled(house, incident)} /ack {incident.id} takes it over.")
    return acknowledge(tx, house, incident, by, via, now)


def resolve(tx: Transaction, house: House, incident: Incident, by: str, via: str, now: datetime) -> Answered | Denied:
    """It is over, whatever its source says: repeats of the same alerts open nothing."""
    if not incident.is_open:
        return Answered(incident, changed=False)
    over = incident.resolve(house.spoken(by), now)
    records = tx.alert_records([(incident.source, incident.group_key)], now)
    tx.save_alerts(
        replace(record, status=AlertStatus.RESOLVED, ended_at=now, by_hand=True)
        for record in records
        if record.incident_id == incident.id and record.is_firing
    )
    if over.is_storm:
        over = storms.describe(tx, over)
        storms.dissolve(tx, house, over, by, now)
    tx.save_incidents([replace(over, firing=0)])
    tx.cancel_planned([incident.id], f"{house.spoken(by)} resolved it", now)
    for kind in (escalator.NOBODY, escalator.ACK_OVER):
        tx.drop_timer(kind, str(incident.id))
    escalator.let_speak(tx, [incident.id], now)
    if over.storm is not None:
        storms.settle(tx, house, [over.storm], house.spoken(by), now)
    escalator.tell_of_end(tx, house, [over], now, but=by)
    escalator.quiet(tx, incident.id)
    _note(tx, over, " ".join(filter(None, ("resolved", via))), by, now)
    return Answered(over)


def pass_on(
    tx: Transaction,
    house: House,
    incident: Incident,
    by: str,
    via: str,
    now: datetime,
    *,
    shown: tuple[int, int] | None = None,
) -> Answered | Denied:
    """The next rung is called now; `shown` is the one that was meant, which may have been called since."""
    if incident.state is not IncidentState.TRIGGERED:
        return Denied(_settled(house, incident))
    rows = escalator.in_force(tx, incident)
    upcoming = escalation.next_rung(rows)
    if upcoming is None:
        return Denied(f"Nobody else is in the plan of #{incident.id}.")
    if shown is not None and upcoming > shown:
        return Denied(f"The next of #{incident.id} was called already.")
    if house.pages_at(incident.route, now) > now:
        return Denied(f"Route {incident.route} calls nobody at this hour; /page calls somebody all the same.")
    moves = escalation.hasten(rows, now)
    if not moves:
        return Denied(f"The next of #{incident.id} is being called.")
    escalator.move(tx, house, incident, moves, now)
    _note(tx, incident, " ".join(filter(None, (PASSED_ON, via))), by, now)
    return Answered(incident)


def hand_back(tx: Transaction, house: House, incident: Incident, by: str, via: str, now: datetime) -> Answered | Denied:
    """Who has it gives it back: a new plan begins now, with somebody else first."""
    if incident.state is not IncidentState.ACKNOWLEDGED:
        return Denied(_settled(house, incident))
    storms.free(tx, incident, now)
    again = replace(incident.trigger_again(), acknowledged_by=None, acknowledged_at=None, acknowledged_via="")
    again = storms.left(tx, house, again, by, now)
    tx.save_incidents([again])
    tx.drop_timer(escalator.ACK_OVER, str(incident.id))
    escalator.begin(tx, house, again, now, without=incident.acknowledged_by)
    _note(tx, again, " ".join(filter(None, (HANDED_BACK, via))), by, now)
    escalator.ring(tx, house, again, now, f"{house.spoken(by)} handed it back")
    return Answered(again)


def acknowledgement_over(tx: Transaction, house: House, incident_id: int, now: datetime) -> None:
    """It was taken so long ago and still fires: who has it hears first, then the plan begins anew."""
    incident = tx.incident(incident_id)
    if incident is None or incident.state is not IncidentState.ACKNOWLEDGED or incident.acknowledged_at is None:
        return
    policy = escalator.policy_of(house, incident)
    if policy is not None and policy.ack_for is None:
        return
    if any(not silence.is_settled for silence in tx.silences_of([incident_id])):
        return  # the end of its silence asks
    due = incident.acknowledged_at + policy.ack_for if policy and policy.ack_for else now
    due = house.pages_at(incident.route, max(due, now))
    if due > now:  # the config lets it last longer by now, or its route pages nobody at this hour
        tx.set_timer(Timer(escalator.ACK_OVER, str(incident_id), due))
        return
    storms.free(tx, incident, now)
    again = incident.trigger_again()
    tx.save_incidents([again])
    why = f"{house.spoken(incident.acknowledged_by)} took it long ago, and it still fires"
    tx.add_timeline([TimelineEntry(incident_id, now, why)])
    escalator.begin(tx, house, again, now, first=incident.acknowledged_by)
    escalator.ring(tx, house, again, now, why)


def open_by_hand(tx: Transaction, house: House, request: PageRequest, now: datetime) -> Answered | Denied:
    """An incident with no source but a person."""
    text = " ".join(request.text.split())
    if request.asker.role < Role.RESPONDER:
        return Denied(f"{request.asker.name} is an observer; paging takes the role responder", forbidden=True)
    if not text:
        return Denied("there is no text to page with", field="text")
    if request.chat.page not in house.policies:
        return Denied(f"this chat has no policy to page by; set chats.{request.chat.name}.page to one of policies")
    group = [(BY_HAND, request.cause)]
    for known in (*tx.open_incidents(group), *tx.ended_incidents(group, now - _WEEK)):
        return Answered(known, changed=False)
    opened = Incident(
        id=tx.numbers(1)[0],
        source=BY_HAND,
        group_key=request.cause,
        route="",
        opened_at=now,
        started_at=now,
        title=text[:_LONGEST_TITLE],
        firing=1,
        total=1,
        policy=request.chat.page,
        chat=request.chat.name,
        critical=True,
        asked_by=request.asker.name,
        last_seen=now,
        token=secrets.token_hex(_TOKEN_BYTES),
    )
    tx.add_incidents([opened])
    tx.add_card(
        Card(0, CardKind.INCIDENT, opened.id, request.place, reply_to=request.reply_to, ring=True, changed_at=now)
    )
    escalator.begin(tx, house, opened, now)
    _note(tx, opened, "opened by hand", request.asker.name, now)
    return Answered(opened)


def _settled(house: House, incident: Incident) -> str:
    match incident.state:
        case IncidentState.RESOLVED:
            return f"#{incident.id} is over already."
        case IncidentState.ACKNOWLEDGED:
            return f"{house.spoken(incident.acknowledged_by)} has #{incident.id}."
        case IncidentState.TRIGGERED:
            return f"Nobody has #{incident.id} yet."


def _note(tx: Transaction, incident: Incident, what: str, who: str, now: datetime) -> None:
    tx.add_timeline([TimelineEntry(incident.id, now, what, who)])
    tx.bump_cards(CardKind.INCIDENT, [incident.id], now, urgent=True)
    tx.wake("reporter")
