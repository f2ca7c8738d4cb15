"""What a card shows, gathered from the store in one read."""

from dataclasses import replace
from datetime import datetime

from bridge import duty, storms
from bridge.answering import HANDED_BACK, PASSED_ON
from bridge.costs import prices
from bridge.domain.costs import Prices
from bridge.domain.escalation import CHAT
from bridge.domain.hours import RouteHours
from bridge.domain.house import House, Person
from bridge.domain.incident import Incident, IncidentState
from bridge.ports import (
    Card,
    CardKind,
    IncidentView,
    NoteView,
    QuestionView,
    RecipientLine,
    RingView,
    SmsView,
    TimelineEntry,
    Transaction,
    TroubleView,
    View,
)
from bridge.silencing import may_silence


def view_of(tx: Transaction, house: House, card: Card, now: datetime) -> View | None:
    """What this card has to show now; None when its subject is gone."""
    match card.kind:
        case CardKind.INCIDENT:
            incident = tx.incident(card.subject)
            if incident is None:
                return None
            named = _whom_the_chat_names(tx, house, incident, now, first=True)
            passed = _passed(tx, house, incident)
            return replace(incident_view(tx, house, incident, now), passed=passed, on_call=named)
        case CardKind.RING:
            incident = tx.incident(card.subject)
            if incident is None or (card.message_id is None and _came_too_late(tx, incident, card)):
                return None
            named = _whom_the_chat_names(tx, house, incident, now)
            return RingView(replace(incident_view(tx, house, incident, now), on_call=named), card.text)
        case CardKind.SMS:
            return sms_view(tx, house, card.subject, now)
        case CardKind.FAILED:
            view = sms_view(tx, house, card.subject, now, ring=True)
            return view if isinstance(view, SmsView) else None
        case CardKind.TROUBLE:
            trouble = tx.trouble(card.subject)
            return TroubleView(trouble, house.zone_of(house.watch.chat), now) if trouble else None
        case CardKind.NOTE:
            return NoteView(card.text)


def _passed(tx: Transaction, house: House, incident: Incident) -> TimelineEntry | None:
    if incident.state is not IncidentState.TRIGGERED:
        return None
    told = (entry for entry in reversed(tx.timeline(incident.id)) if entry.what.startswith((PASSED_ON, HANDED_BACK)))
    last = next(told, None)
    if last is None or last.at < (incident.acknowledged_at or last.at):  # it was taken since
        return None
    return replace(last, who=house.spoken(last.who))


def _whom_the_chat_names(
    tx: Transaction, house: House, incident: Incident, now: datetime, *, first: bool = False
) -> tuple[Person, ...]:
    """Who is on call, while nobody has it and a step of its policy is the chat; `first`: the very first one."""
    policy = house.policies.get(incident.policy or "")
    if policy is None or incident.state is not IncidentState.TRIGGERED:
        return ()
    steps = policy.steps[:1] if first else policy.steps
    return duty.on_call(tx, house, incident, now) if any(CHAT in step.notify for step in steps) else ()


def _came_too_late(tx: Transaction, incident: Incident, card: Card) -> bool:
    """Whether "nobody has it" is yet to ring, and somebody has it by now or a later message says it again.

    A chat that could not be reached for hours would ring once for each time that it was to ring.
    """
    if card.text:  # it rings for another reason, and once
        return False
    if incident.state is not IncidentState.TRIGGERED:
        return True
    rings = tx.cards_of(CardKind.RING, incident.id)
    return any(one.id > card.id and one.place.chat_id == card.place.chat_id for one in rings)


def incident_view(tx: Transaction, house: House, incident: Incident, now: datetime) -> IncidentView:
    """An incident with a line for each SMS of its plan."""
    if incident.is_storm and incident.is_open:
        incident = storms.describe(tx, incident)
    route = house.route(incident.route)
    rows = [row for row in tx.notifications_of([incident.id]) if row.target != CHAT or not row.state.is_final]
    lines = tuple(map(RecipientLine, duty.names(tx, house, rows, now), rows))
    policy = house.policies.get(incident.policy or "")
    lasts = policy.ack_for if policy else None
    asks_again_at = None
    if incident.acknowledged_at and lasts:
        asks_again_at = house.pages_at(incident.route, incident.acknowledged_at + lasts)
    silence = tx.silence(incident.id)
    return IncidentView(
        incident,
        lines,
        house.zone_of(incident.chat),
        now,
        silent=bool(route and route.silent),
        holder=house.spoken(incident.acknowledged_by),
        asks_again_at=silence.ends_at if silence and silence.holds else asks_again_at,
        silence=silence,
        silenced_by=house.spoken(silence.asked_by) if silence else "",
        may_silence=may_silence(house, incident),
        hours=route.hours if route else RouteHours(),
        prices=Prices() if incident.is_open else prices(tx, house),
    )


def sms_view(
    tx: Transaction, house: House, number: int, now: datetime, *, ring: bool = False
) -> SmsView | QuestionView | None:
    """A typed SMS, or the question that stands before it under the same number."""
    row = tx.notification(number)
    if row is None:
        question = tx.question(number)
        if question is None:
            return None
        estimate = prices(tx, house).estimate(question.number, question.segments)
        return QuestionView(question, house.zone_of(question.chat), now, estimate)
    person = house.people.get(row.person or row.target)
    asker = house.people.get(row.asked_by or "")
    return SmsView(
        row,
        asker.spoken if asker else (row.asked_by or ""),
        house.zone_of(row.chat),
        now,
        name=person.spoken if person else None,
        ring=ring,
        problem=row.reason,
        estimate=prices(tx, house).expected(row),
    )
