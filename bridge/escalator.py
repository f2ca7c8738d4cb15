"""How a plan follows what happens: rungs move, chats ring, those who were paged hear how it went on.

Each works inside the transaction of what caused it, so a plan never lags behind its rows.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bridge import duty, links
from bridge.domain import escalation
from bridge.domain.escalation import CHAT, Policy
from bridge.domain.house import House
from bridge.domain.incident import Incident, IncidentState
from bridge.domain.notification import Held, Notification, Purpose, State
from bridge.domain.silence import ITS_INCIDENT
from bridge.metrics import Metrics
from bridge.ports import Card, CardKind, Place, TimelineEntry, Timer, Transaction

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
    "expired": "too old to be worth an SMS",
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
    """Write a new plan for an incident that is triggered once more; without anybody to call, the chat rings."""
    tx.drop_timer(NOBODY, str(incident.id))
    begins = house.pages_at(incident.route, now)
    incident = _by_the_hour(tx, house, incident, begins)
    policy = policy_of(house, incident)
    if policy is None:
        if incident.policy is not None:  # the config has lost it
            ring_at(tx, house, incident, now)
        return
    first = first if first in house.people else None
    route = house.route(incident.route)
    not_to = duty.targets_of(tx, house, without, now) if without is not None else frozenset()
    expires_at = begins + route.ttl if route and route.ttl else None
    plan = escalation.plan(
        policy, incident, begins, rotas=tuple(house.rotas), expires_at=expires_at, first=first, without=not_to
    )
    rows = links.numbered(escalation.in_hours(plan, route, now), tx.numbers(len(plan)))
    tx.add_notifications(rows)
    if not rows:
        ring_at(tx, house, incident, now)
    tx.wake("sender")


def _by_the_hour(tx: Transaction, house: House, incident: Incident, begins: datetime) -> Incident:
    """By the policy that its route has at the hour at which the plan begins; what pages nobody goes on doing so."""
    route = house.route(incident.route)
    if route is None or incident.policy is None or not route.hours.policies:
        return incident
    policy = route.hours.policy(route.policy, begins)
    if policy is None or policy == incident.policy:
        return incident
    incident = replace(incident, policy=policy)
    tx.save_incidents([incident])
    return incident


def keep_hours(tx: Transaction, house: House, due: Iterable[Notification], now: datetime) -> set[int]:
    """Which of these pages stay, for their route pages nobody now: their plans wait for its hours, as a whole.

    A plan is written so that none of it is due then, but the gateway was away, the hours were changed, or a limit
    opens in the night.
    """
    kept: set[int] = set()
    closed = house.closed(now)
    wanted = {row.incident_id or 0 for row in due if row.is_page and not _is_too_old(row, now)} if closed else set()
    for incident in tx.incidents_by_id(wanted).values():
        if incident.route not in closed or not _climbs(incident):
            continue
        rows = [row for row in in_force(tx, incident) if row.state is State.PLANNED and not _is_too_old(row, now)]
        move(tx, house, incident, [(row, row) for row in rows], now)
        tx.add_timeline([TimelineEntry(incident.id, now, "waits for the hours of its route")])
        kept.update(row.id for row in rows)
    return kept


def date_anew(tx: Transaction, house: House, now: datetime, *, by: timedelta = timedelta(0)) -> None:
    """What waits for the hours of its route waits for them as they are by now.

    The config may have others; or the clock was set by so much, and all that waits was moved along.
    """
    waiting: dict[int, list[Notification]] = {}
    for row in tx.find_notifications(state=State.PLANNED, limit=_MOST_WAITING):
        if row.is_page and row.due_at > now:
            waiting.setdefault(row.incident_id or 0, []).append(row)
    for incident in tx.incidents_by_id(waiting).values():
        route = house.route(incident.route)
        if route and _climbs(incident) and escalation.waits_for_hours(waiting[incident.id], route.hours, by, now):
            dated = escalation.dated_anew(in_force(tx, incident), route.hours, by, now)
            move(tx, house, incident, dated, now)
    closed = house.closed(now)
    timers = [timer for timer in tx.timers_due(_EVER, _MOST_WAITING) if timer.kind in (NOBODY, ACK_OVER)]
    asked = tx.incidents_by_id({int(timer.subject) for timer in timers}) if closed else {}
    for timer in timers:
        about = asked.get(int(timer.subject))
        route = house.route(about.route) if about and about.route in closed else None
        if route and route.hours.open_at(timer.due_at - by):
            tx.set_timer(replace(timer, due_at=route.hours.pages_at(now)))


def follow(
    tx: Transaction, house: House, row: Notification, was: Notification, now: datetime, metrics: Metrics
) -> None:
    """The plan of a row that has changed its state moves along."""
    newly_held = row.state is State.PLANNED and row.held is not was.held
    if not row.is_page or row.incident_id is None or (row.state is was.state and not newly_held):
        return
    if newly_held and row.held in _NOBODY_LEAVES:
        # Those of one claim are all kept before any is told of: the first of them speaks for them.
        _call_them_yourselves(tx, house, row, now, lambda other: other.held in _NOBODY_LEAVES and other.id < row.id)
    if was.failures < row.failures == _STUCK_AFTER:
        _call_them_yourselves(tx, house, row, now, lambda other: other.failures >= _STUCK_AFTER)
    incident = tx.incident(row.incident_id)
    if incident is None or not _climbs(incident) or row.round < incident.first_round:
        return
    if newly_held and row.held in _NOBODY_LEAVES and not incident.rings:
        ring_at(tx, house, incident, now + _STILL_HELD)  # a month may be closed for weeks
    _apply(tx, house, incident, row, escalation.react(in_force(tx, incident), row, was, now), now, metrics)


def deadline(tx: Transaction, house: House, subject: str, now: datetime, metrics: Metrics) -> None:
    """A rung's time to be on somebody's handset is over."""
    number, round_, step = (int(part) for part in subject.split(":"))
    incident = tx.incident(number)
    if incident is None or not _climbs(incident):
        return
    rows = in_force(tx, incident)
    rung = next((row for row in rows if (row.round, row.step) == (round_, step)), None)
    if rung is not None:
        _apply(tx, house, incident, rung, escalation.react(rows, rung, rung, now), now, metrics)


def nobody(tx: Transaction, house: House, incident_id: int, now: datetime) -> None:
    """Everybody was called and nobody took it: the chat rings, and again with growing gaps."""
    incident = tx.incident(incident_id)
    if incident is None or not _climbs(incident) or incident.test:
        return
    if (policy := policy_of(house, incident)) and policy.is_chat_only:
        return
    if house.pages_at(incident.route, now) > now:
        ring_at(tx, house, incident, now)
        return
    ring_at(tx, house, incident, escalation.ring_again(incident.rings, now))
    incident = replace(incident, rings=incident.rings + 1)
    tx.save_incidents([incident])
    tx.add_timeline([TimelineEntry(incident_id, now, "nobody has it: the chat rings")])
    ring(tx, house, incident, now)


def ring(tx: Transaction, house: House, incident: Incident, now: datetime, why: str = "") -> None:
    """A new, ringing message about an incident where its card is; without a reason it says that nobody has it.

    What pages somebody and has no card rings in the watch chat. What pages nobody, on a silent route, rings nowhere.
    """
    route = house.route(incident.route)
    places = [card.place for card in tx.cards_of(CardKind.INCIDENT, incident.id)]
    if incident.policy is None and route and route.silent:
        places = []
    elif not places and (chat := house.chats.get(house.watch.chat or "")):
        places = [Place(chat.id, chat.topic)]
    for place in places:
        tx.add_card(Card(0, CardKind.RING, incident.id, place, ring=True, urgent=True, changed_at=now, text=why))
    tx.bump_cards(CardKind.INCIDENT, [incident.id], now, urgent=True)
    tx.wake("reporter")


def quiet(tx: Transaction, incident_id: int) -> None:
    """The last ringing message in each chat says how it went on, for whoever reads it late; older ones stay history."""
    newest = {card.place.chat_id: card for card in tx.cards_of(CardKind.RING, incident_id)}
    for card in newest.values():
        tx.save_card(replace(card, wanted=card.wanted + 1))


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


def let_speak(tx: Transaction, incidents: Iterable[int], now: datetime) -> None:
    """What is over needs no silence any more, and what fires after it must be heard."""
    for silence in tx.silences_of(list(incidents)):
        if silence.holds:
            tx.save_silence(silence.undo(ITS_INCIDENT, now))
            tx.wake("silences")


def _climbs(incident: Incident) -> bool:
    """Whether its own plan is to call somebody: what is one of many in a storm is called about with all of it."""
    return incident.state is IncidentState.TRIGGERED and not incident.told_by_storm


def in_force(tx: Transaction, incident: Incident) -> list[Notification]:
    """The rows of the plan in force: pages only, those of plans before it left out."""
    return [row for row in tx.notifications_of([incident.id]) if row.is_page and row.round >= incident.first_round]


def ring_at(tx: Transaction, house: House, incident: Incident, at: datetime) -> None:
    """If nobody has it by then, its chat rings; not while its route pages nobody."""
    tx.set_timer(Timer(NOBODY, str(incident.id), house.pages_at(incident.route, at)))
    tx.wake("timers")


def _is_too_old(row: Notification, now: datetime) -> bool:
    return row.expires_at is not None and now >= row.expires_at


def move(tx: Transaction, house: House, incident: Incident, moves: escalation.Moves, now: datetime) -> None:
    """Rows of its plan get other hours, none of them in which its route pages nobody."""
    was = {row.id: row for _, row in moves}
    kept = escalation.in_hours([row for row, _ in moves], house.route(incident.route), now)
    tx.save_notifications([(row, was[row.id]) for row in kept])
    tx.bump_cards(CardKind.INCIDENT, [incident.id], now)
    tx.wake("sender", "reporter")


def _apply(
    tx: Transaction,
    house: House,
    incident: Incident,
    row: Notification,
    reaction: escalation.Reaction,
    now: datetime,
    metrics: Metrics,
) -> None:
    if reaction.deadline is not None:
        tx.set_timer(Timer(DEADLINE, f"{incident.id}:{row.round}:{row.step}", reaction.deadline))
    if reaction.moves:
        move(tx, house, incident, reaction.moves, now)
    if reaction.moves and reaction.hastened:
        what = f"calling the next: {_WHY_NEXT[reaction.hastened]}"
        tx.add_timeline([TimelineEntry(incident.id, now, what)])
        metrics.escalations.labels(reaction.hastened).inc()
    if reaction.nobody_at is not None and not incident.rings:  # it rings already, at its own pace
        ring_at(tx, house, incident, reaction.nobody_at)


def _call_them_yourselves(
    tx: Transaction, house: House, row: Notification, now: datetime, stands_still: Callable[[Notification], bool]
) -> None:
    """No SMS leaves, so the plan stands still: its chat hears once who should have been called."""
    assert row.incident_id is not None
    incident = tx.incident(row.incident_id)
    if incident is None or not incident.is_open:
        return
    rows = in_force(tx, incident)
    stuck = (other for other in rows if other.id != row.id and other.state is State.PLANNED)
    if any(stands_still(other) for other in stuck):
        return
    waiting = [other for other in rows if other.state is State.PLANNED and other.target != CHAT]
    names = ", ".join(dict.fromkeys(duty.names(tx, house, waiting, now)))
    ring(tx, house, incident, now, f"no SMS leaves: {row.reason}. Call them yourselves: {names}")


_STILL_HELD = timedelta(hours=1)  # before the chat rings once more for what a limit holds
_NOBODY_LEAVES = {Held.HOUSE, Held.ROUTE}
_EVER = datetime.max.replace(tzinfo=UTC)
_MOST_WAITING = 10_000
_NEWS_FOR = timedelta(minutes=15)  # an SMS that it is over, an hour after, wakes for nothing
_MAY_HAVE_IT = {State.SENDING, State.UNCERTAIN, State.SUBMITTED, State.DELIVERED}
