"""How incidents become a storm, and what its people answer holds for all of them.

A storm is an incident with its own plan, card and acknowledgement; the incidents in it keep their alerts and
their ends, but nobody is called about them alone. Each function works inside the transaction of what caused it.
"""

import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bridge import escalator, texts
from bridge.domain import escalation
from bridge.domain import storm as rules
from bridge.domain.house import House
from bridge.domain.incident import STORM, Incident, IncidentState
from bridge.domain.storm import StormRules
from bridge.ports import Card, CardKind, Place, TimelineEntry, Timer, Transaction

CALM = "storm_calm"
"""The timer of a storm that takes in what opens; its subject is the storm. While it is set, the note is owed."""
DISSOLVED = "storm_dissolved"
"""The timer of a storm that a person ended, while what fires in it is theirs; its subject is the storm."""
_TOKEN_BYTES = 8
_WEEK = timedelta(days=7)  # no storm is called the same after so long, whatever its policy says


@dataclass(slots=True)
class Gathered:
    """What a batch of new incidents came to: its members of storms by number, and the storms that grew."""

    members: dict[int, Incident] = field(default_factory=dict)
    grown: dict[int, Incident] = field(default_factory=dict)
    opened: dict[int, Incident] = field(default_factory=dict)
    again: dict[int, str] = field(default_factory=dict)  # storms that page once more, and why


def gather(tx: Transaction, house: House, opened: Iterable[Incident], now: datetime) -> Gathered:
    """Which of these new incidents are part of a storm; opens the storms. The caller writes the incidents."""
    found = Gathered()
    by_route: defaultdict[str, list[Incident]] = defaultdict(list)
    for incident in opened:
        if incident.is_open and not incident.test and not incident.is_silence:
            by_route[incident.route].append(incident)
    if house.storm is None or not by_route:
        return found
    groups = [(STORM, route) for route in by_route]
    storms = {storm.route: storm for storm in tx.open_incidents(groups)}
    for route, news in by_route.items():
        storm = storms.get(route)
        if storm is None or not rules.takes_in(storm, house.storm, now):
            storm = _breaks_out(tx, house, house.storm, storm, news, found, now)
        elif storm.policy is None and (policy := _policy_of(news)):
            storm = replace(storm, policy=policy)
            if storm.state is IncidentState.TRIGGERED:
                storm = storm.trigger_again()
                found.again[storm.id] = "its route pages somebody now"
        if storm is not None:
            found.grown[storm.id] = storm = replace(storm, last_seen=now)
            tx.save_incidents([storm])
            tx.set_timer(Timer(CALM, str(storm.id), now + house.storm.calm))
            found.members |= {member.id: rules.joined(member, storm) for member in news}
    tx.wake("timers")
    return found


def _breaks_out(
    tx: Transaction,
    house: House,
    limits: StormRules,
    storm: Incident | None,
    news: Sequence[Incident],
    found: Gathered,
    now: datetime,
) -> Incident | None:
    """The storm that these and what was opened shortly before are; None while they are too few."""
    before = tx.opened_alone(news[0].route, now - limits.within)
    if len(before) + len(news) < limits.alerts:
        return None
    policy = _policy_of((*news, *before))
    if storm is None:
        reopened = _reopened(tx, house, news[0].route, policy, found, now)
        storm = reopened or _opened(tx, house, news[0], policy, found, now)
    else:
        storm = _storms_again(tx, house, storm, policy, found, now)
    taken_in = [rules.joined(one, storm) for one in before if one.state is IncidentState.TRIGGERED]
    tx.save_incidents(taken_in)
    tx.cancel_planned([one.id for one in taken_in if one.told_by_storm], f"part of storm #{storm.id}", now)
    tx.bump_cards(CardKind.INCIDENT, [one.id for one in taken_in], now)
    return storm


def _policy_of(incidents: Iterable[Incident]) -> str | None:
    """By what these page, the first that pages at all; None when nobody is called about any of them."""
    return next((incident.policy for incident in incidents if incident.policy is not None), None)


def _storms_again(
    tx: Transaction, house: House, storm: Incident, policy: str | None, found: Gathered, now: datetime
) -> Incident:
    """A second wave of a storm that was calm: nobody took that, whoever took the first. It pages as the wave would.

    A climb that has still somebody to call goes on, and the chat rings: begun anew with each wave, it would never come
    to its second rung.
    """
    why = "it storms again"
    nobodys = storm.state is IncidentState.TRIGGERED
    storm = replace(storm, policy=policy or storm.policy)
    if nobodys and escalation.in_flight(escalator.in_force(tx, storm)):
        tx.add_timeline([TimelineEntry(storm.id, now, why)])
        escalator.ring(tx, house, storm, now, why)
        return storm
    if nobodys:  # who had it once did not answer for it since: no reason to call them first
        storm = replace(storm, acknowledged_by=None, acknowledged_at=None, acknowledged_via="")
    free(tx, storm, now)
    found.again[storm.id] = why
    return storm.trigger_again()


def _opened(
    tx: Transaction, house: House, like: Incident, policy: str | None, found: Gathered, now: datetime
) -> Incident:
    storm = Incident(
        id=tx.numbers(1)[0],
        source=STORM,
        group_key=like.route,
        route=like.route,
        opened_at=now,
        started_at=now,
        policy=policy,
        chat=like.chat,
        critical=like.critical,
        last_seen=now,
        acknowledged_by=like.acknowledged_by,  # of what was somebody's and is gathered once more
        acknowledged_at=like.acknowledged_at,
        acknowledged_via=like.acknowledged_via,
        token=secrets.token_hex(_TOKEN_BYTES),
    )
    tx.add_incidents([storm])
    if chat := house.chats.get(storm.chat or ""):
        on = house.route(storm.route)
        loud = on is None or not on.silent
        place = Place(chat.id, chat.topic)
        tx.add_card(Card(0, CardKind.INCIDENT, storm.id, place, ring=loud, changed_at=now))
    tx.add_timeline([TimelineEntry(storm.id, now, "opened: so many incidents at once are a storm")])
    found.opened[storm.id] = storm
    return storm


def _reopened(
    tx: Transaction, house: House, route: str, policy: str | None, found: Gathered, now: datetime
) -> Incident | None:
    """The storm of this route that ended so lately that this is the same one."""
    for ended in reversed(tx.ended_incidents([(STORM, route)], now - _WEEK)):
        before = escalator.policy_of(house, ended)
        if before is None or ended.ended_at is None or now - ended.ended_at > before.reopen_within:
            return None
        found.again[ended.id] = "it storms again"
        tx.free_members(ended.id, ended.ended_at, now)  # whoever ended it took them; the storm asks for all of it
        return replace(ended.reopen(), policy=policy or ended.policy)
    return None


def show(tx: Transaction, house: House, found: Gathered, now: datetime) -> None:
    """Once the members are written: tell of the storms that grew, and call people where that is due."""
    for storm in found.grown.values():
        if _outgrew_its_holder(tx, storm):
            free(tx, storm, now)
            storm = storm.trigger_again()  # noqa: PLW2901 - the same storm, changed
            found.again[storm.id] = "it has doubled since it was taken"
        if storm.id in found.opened or storm.id in found.again:
            storm = describe(tx, storm)  # noqa: PLW2901
        tx.save_incidents([storm])
        if storm.id in found.opened:
            escalator.begin(tx, house, storm, now, first=storm.acknowledged_by)
        elif why := found.again.get(storm.id):
            tx.drop_timer(escalator.ACK_OVER, str(storm.id))
            tx.cancel_planned([storm.id], why, now)
            tx.add_timeline([TimelineEntry(storm.id, now, why)])
            escalator.begin(tx, house, storm, now, first=storm.acknowledged_by)
            escalator.ring(tx, house, storm, now, why)
    tx.bump_cards(CardKind.INCIDENT, list(found.grown), now)


def _outgrew_its_holder(tx: Transaction, storm: Incident) -> bool:
    if storm.state is not IncidentState.ACKNOWLEDGED or storm.acknowledged_at is None:
        return False
    return rules.outgrew(*tx.members_about(storm.id, storm.acknowledged_at))


def describe(tx: Transaction, storm: Incident) -> Incident:
    """The storm as it is now; another incident as it stands."""
    return rules.described(storm, tx.alerts_in_storm(storm.id)) if storm.is_storm else storm


def raging(tx: Transaction, house: House, incidents: Iterable[Incident], now: datetime) -> dict[int, Incident]:
    """Of the storms that these are in, those that take in what happens now."""
    ids = {incident.storm for incident in incidents if incident.storm is not None}
    if house.storm is None or not ids:
        return {}
    return {
        number: storm for number, storm in tx.incidents_by_id(ids).items() if rules.takes_in(storm, house.storm, now)
    }


def settle(tx: Transaction, house: House, ids: Collection[int], by: str, now: datetime) -> None:
    """Storms in which something ended: those in which nothing is open any more are over."""
    for storm in tx.incidents_by_id(ids).values():
        if storm.is_open and not tx.members(storm.id, limit=1):
            over = describe(tx, storm).resolve(by, now)
            tx.save_incidents([over])
            tx.cancel_planned([over.id], "over before it was sent", now)
            tx.add_timeline([TimelineEntry(over.id, now, "over", by)])
            escalator.tell_of_end(tx, house, [over], now)
            note(tx, house, over, now)
            tx.bump_cards(CardKind.INCIDENT, [storm.id], now, urgent=True)
        else:
            tx.bump_cards(CardKind.INCIDENT, [storm.id], now)


def calm(tx: Transaction, house: House, storm_id: int, now: datetime) -> None:
    """Nothing has joined for so long: the storm is over, though what fires in it goes on with whoever has it."""
    storm = tx.incident(storm_id)
    if storm is not None and storm.is_open:
        storm = describe(tx, storm)
        tx.save_incidents([storm])
        tx.add_timeline([TimelineEntry(storm_id, now, "calm: nothing more has joined")])
        note(tx, house, storm, now)
        tx.bump_cards(CardKind.INCIDENT, [storm_id], now)


def note(tx: Transaction, house: House, storm: Incident, now: datetime) -> None:
    """The one note that a storm is over, with what still fires; nothing when it was said."""
    if not tx.drop_timer(CALM, str(storm.id)):
        return
    lasted = texts.length((storm.last_seen or now) - storm.opened_at)
    if not storm.firing:
        said = f"all {storm.total} alerts are over."
    else:
        holder = house.spoken(storm.acknowledged_by) if storm.state is not IncidentState.TRIGGERED else ""
        held = f"{holder} has it" if holder else "nobody has it yet" if storm.policy else ""
        said = ", ".join(filter(None, (f"{storm.firing} of {storm.total} alerts still fire", held)))
        said += f".\n{storm.note or storm.title}"
    text = f"The storm #{storm.id} on route {storm.route or 'none'} is over after {lasted}: {said}"
    for card in tx.cards_of(CardKind.INCIDENT, storm.id):
        tx.add_card(Card(0, CardKind.NOTE, storm.id, card.place, changed_at=now, text=text))
    tx.wake("reporter")


# --- one answer for all -----------------------------------------------------------------------------------


def take(tx: Transaction, storm: Incident, was: Incident, who: str, now: datetime) -> None:
    """Whoever has the storm has all in it, but what somebody took by itself."""
    tx.take_members(storm, was.acknowledged_at, f"{who} has storm #{storm.id}", now)


def free(tx: Transaction, storm: Incident, now: datetime) -> None:
    """Nobody has it any more: what was taken with it is nobody's again."""
    if storm.acknowledged_at is not None:
        tx.free_members(storm.id, storm.acknowledged_at, now)


def left(tx: Transaction, house: House, incident: Incident, by: str, now: datetime) -> Incident:
    """Somebody answers for one of many by itself: from then on it is an incident like any other."""
    if incident.storm is None:
        return incident
    alone = replace(incident, storm=None)
    tx.save_incidents([alone])
    settle(tx, house, [incident.storm], by, now)
    return alone


def dissolve(tx: Transaction, house: House, storm: Incident, by: str, now: datetime) -> None:
    """A person says that the storm is over. What fires in it is theirs now: it is not over because they say so.

    Their acknowledgement holds as long as one of the storm would have, and then asks once for all of it.
    """
    tx.take_members(replace(storm, acknowledged_by=by, acknowledged_at=now), storm.acknowledged_at, f"{by} has it", now)
    note(tx, house, replace(storm, state=IncidentState.ACKNOWLEDGED, acknowledged_by=by), now)
    policy = escalator.policy_of(house, storm)
    if policy and policy.ack_for:
        tx.set_timer(Timer(DISSOLVED, str(storm.id), house.pages_at(storm.route, now + policy.ack_for)))
    else:
        tx.empty_storm(storm.id)


def ask_again(tx: Transaction, house: House, storm_id: int, now: datetime) -> None:
    """Who ended this storm took what fired in it, long ago: what still fires is gathered once more, or asks alone."""
    storm = tx.incident(storm_id)
    if storm is None or storm.is_open:
        return
    members = tx.incidents_by_id(tx.members(storm_id)).values()
    still = [replace(member.trigger_again(), storm=None) for member in members]
    found = gather(tx, house, still, now)
    still = [found.members.get(member.id, member) for member in still]
    tx.save_incidents(still)
    show(tx, house, found, now)
    tx.bump_cards(CardKind.INCIDENT, [member.id for member in still], now)
    for number in found.opened:
        tx.drop_timer(CALM, str(number))  # nothing is new in it, so its calm is no news
    for member in still:
        if member.storm is None:
            why = f"{house.spoken(member.acknowledged_by)} took it long ago, and it still fires"
            tx.add_timeline([TimelineEntry(member.id, now, why)])
            escalator.begin(tx, house, member, now, first=member.acknowledged_by)
            escalator.ring(tx, house, member, now, why)
