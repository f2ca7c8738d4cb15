"""Whose turn it is: the rotas of the config, what their calendars say, and what people swapped.

What the config does not say is kept in the database: the last good copy of each calendar, and the swaps. `roster`
puts it together inside any transaction, so that who is paged is who has the turn at that very moment.
"""

import json
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from bridge import texts, watch
from bridge.domain import rota as rotas
from bridge.domain.escalation import ROTA
from bridge.domain.house import House, Person, Role
from bridge.domain.incident import Incident
from bridge.domain.notification import Notification, State
from bridge.domain.rota import FOREVER, LONG_AGO, Booked, FromCalendar, Override, Roster, Turn
from bridge.ports import CardKind, Place, Reading, Transaction
from bridge.requests import Denied, SmsRequest, Swapped, SwapRequest

log = logging.getLogger(__name__)

ON_CALL = "oncall"
"""Who an SMS is for, as people write it: whoever is on call here."""
_FARTHEST = timedelta(days=366)  # ahead; a turn given away for longer belongs into the config
_MOST_SWAPS = 200
_SWAPS_KEPT = timedelta(days=8)  # after their end: handovers are told of the newest past
_HEARD_KEPT = timedelta(days=2)  # Telegram brings no command back after a day
_GAP_AHEAD = timedelta(days=7)
_UNREAD_FOR = timedelta(hours=1)  # before a calendar that cannot be read is anybody's trouble
_SHOWN = 100  # open incidents; their cards name who is next
_SWAPS, _CALENDARS, _GAPS = "swaps", "calendars", "gaps"  # where in the database


def roster(tx: Transaction, house: House) -> Roster:
    """Every rota as it is by now. Only people with a phone can have a turn."""
    booked = {name: copy.booked for name, copy in _copies(tx, house).items() if copy.booked}
    return rotas.roster(house.rotas, booked, house.textable, _swaps(tx).overrides)


# --- whom an SMS is for ---------------------------------------------------------------------------------------


def whom(tx: Transaction, house: House, row: Notification, now: datetime) -> str | None:
    """Whom a row of the outbox is for at this moment: its target, or who has the turn of that rota; None: nobody.

    Once an attempt may have left it stays with that person, who may have it already.
    """
    if not _asks_its_rota(row):
        return row.person if row.target.startswith(ROTA) else row.target
    return roster(tx, house).who(row.target.removeprefix(ROTA), now)


def names(tx: Transaction, house: House, rows: Collection[Notification], now: datetime) -> list[str]:
    """Whom each row is for, as people write it; a rota's row still ahead names who has the turn when it is due."""
    known = roster(tx, house) if any(_asks_its_rota(row) for row in rows) else None
    return [_name(house, known, row, now) for row in rows]


def on_call(tx: Transaction, house: House, incident: Incident, now: datetime) -> tuple[Person, ...]:
    """Whose turn it is on the rotas that its policy asks, or else on its chat's; each once."""
    policy = house.policies.get(incident.policy or "")
    targets = [target for step in policy.steps for target in step.targets(tuple(house.rotas))] if policy else []
    asked = [target.removeprefix(ROTA) for target in targets if target.startswith(ROTA)]
    if not asked and (meant := house.rota_meant(house.chats.get(incident.chat or ""))):
        asked = [meant]
    known = roster(tx, house) if asked else None
    names = dict.fromkeys(known.who(rota, now) for rota in asked) if known else {}
    return tuple(house.people[name] for name in names if name)


def targets_of(tx: Transaction, house: House, person: str, now: datetime) -> frozenset[str]:
    """Every target of a policy that means this person right now."""
    known = roster(tx, house)
    return frozenset({person, *(f"{ROTA}{name}" for name in house.rotas if known.who(name, now) == person)})


Rung = tuple[int, int, int]
"""Which rung of which incident: incident, round, step."""


def rung_of(row: Notification) -> Rung:
    return row.incident_id or 0, row.round, row.step


def told_already(tx: Transaction, rows: Iterable[Notification]) -> dict[tuple[Rung, str], int]:
    """Who of the rungs that these rows stand in has an SMS of it, or may have; and which row that was."""
    pages = {row.incident_id for row in rows if row.is_page and row.incident_id is not None}
    return {
        (rung_of(row), row.person): row.id
        for row in (tx.notifications_of(pages) if pages else ())
        if row.is_page and row.person and row.state not in (State.PLANNED, State.CANCELLED, State.FAILED)
    }


def recipient(tx: Transaction, house: House, request: SmsRequest, now: datetime) -> str | Denied:
    """Who a typed SMS is for: as written, or who is on call when it is to leave, as far as that is known."""
    written = request.to.strip()
    if written.casefold() == ON_CALL:
        rota = house.rota_meant(request.chat)
        if rota is None and house.rotas:
            return Denied(f"which rota? Write rota NAME for oncall; there are: {', '.join(house.rotas)}", field="to")
    elif written.casefold().startswith(ROTA):
        rota = house.rota_called(written[len(ROTA) :].strip())
    else:
        return request.to
    if rota is None:
        return Denied(f"there is no such rota; there are: {', '.join(house.rotas) or 'none'}", field="to")
    person = roster(tx, house).who(rota, max(request.send_at or now, now))
    return person or Denied(f"nobody is on call in rota {rota} then; name a person or a number", field="to")


def _asks_its_rota(row: Notification) -> bool:
    return row.target.startswith(ROTA) and row.state is State.PLANNED and not (row.resent and row.person)


def _name(house: House, known: Roster | None, row: Notification, now: datetime) -> str:
    if known and _asks_its_rota(row):
        person = known.who(row.target.removeprefix(ROTA), max(row.due_at, now))
        return house.spoken(person) if person else f"nobody ({row.target})"
    if person_told := house.people.get(row.person or row.target):
        return person_told.spoken
    return row.number.masked if row.number else row.target


# --- swaps ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Swaps:
    """What people said of turns, in that order; and what each command did that may come back (None: it cleared)."""

    overrides: tuple[Override, ...] = ()
    heard: Mapping[str, tuple[datetime, Override | None]] = field(default_factory=dict)


def swap(tx: Transaction, house: House, request: SwapRequest, now: datetime) -> Swapped | Denied:
    """Take a turn, give it to somebody, or let the rota be as it was planned. The same cause changes nothing again."""
    swaps = _swaps(tx)
    if request.cause in swaps.heard:
        return Swapped(swaps.heard[request.cause][1], changed=False)
    if request.rota not in house.rotas:
        return Denied(f"there is no rota {request.rota} any more")
    asker = request.asker
    if asker.role < Role.RESPONDER:
        return Denied(f"{asker.name} is an observer; taking turns takes the role responder", forbidden=True)
    if request.given is None:
        decided = _cleared(house, swaps.overrides, request, now)
    else:
        decided = _given(house, swaps.overrides, request, request.given, now)
    if isinstance(decided, Denied):
        return decided
    taken = decided[-1] if request.given else None
    _keep_swaps(tx, _Swaps(decided, {**swaps.heard, request.cause: (now, taken)}), now)
    if decided == swaps.overrides:
        return Swapped(changed=False)
    what = "given" if taken else "cleared"
    log.info("turns were %s", what, extra={"rota": request.rota, "by": asker.name})
    if taken is None or taken.start > now:  # a handover of now is told as one
        _tell_of_swap(tx, house, request, taken, now)
    cards_change(tx, now)
    tx.wake("handovers", "reporter")
    return Swapped(taken)


Overrides = tuple[Override, ...]


def _cleared(house: House, swaps: Overrides, request: SwapRequest, now: datetime) -> Overrides | Denied:
    """An operator clears what anybody said, a responder what they said themselves."""
    asker = request.asker
    left = rotas.clear(swaps, request.rota, now, by=None if asker.role >= Role.OPERATOR else asker.name)
    others = [override.by for override in left if override.rota == request.rota and override.end > now]
    if others and left == swaps:
        reason = f"{house.spoken(others[-1])} said so; what others said takes the role operator to clear"
        return Denied(reason, forbidden=True)
    return left


def _given(
    house: House, swaps: Overrides, request: SwapRequest, given: tuple[str, datetime, datetime], now: datetime
) -> Overrides | Denied:
    """A responder takes turns, an operator also gives them to others."""
    asker, (name, start, end) = request.asker, given
    start = max(start, now)  # the past stays as it was
    person = house.people.get(name)
    if person is None:
        return Denied(f"nobody is called {name} any more")
    if name != asker.name and asker.role < Role.OPERATOR:
        reason = f"{asker.name} is a responder; giving a turn to somebody else takes the role operator"
        return Denied(reason, forbidden=True)
    if person.number is None:
        return Denied(f"{name} has no phone in the config, so no page would reach them")
    if end <= start:
        return Denied("that ends before it begins, or is over already")
    if end > now + _FARTHEST:
        return Denied("turns are given away for a year ahead at most; what is for good belongs into the config")
    if len([override for override in swaps if override.rota == request.rota and override.end > now]) >= _MOST_SWAPS:
        return Denied(f"{_MOST_SWAPS} swaps of rota {request.rota} lie ahead; clear them, or change the config")
    return (*swaps, Override(request.rota, name, start, end, asker.name))


def _tell_of_swap(tx: Transaction, house: House, request: SwapRequest, taken: Override | None, now: datetime) -> None:
    by = house.spoken(request.asker.name)
    for place, chat in places(house, request.rota).items():
        if place == request.place:
            continue  # the answer says it there
        zone = house.zone_of(chat)
        if taken is None:
            said = f"{by} cleared the swaps of rota {request.rota}"
        else:
            span = f"from {texts.moment(taken.start, zone)} until {texts.moment(taken.end, zone)}"
            said = f"{house.spoken(taken.person)} has rota {request.rota} {span}, says {by}"
        watch.tell(tx, house, f"{said}.", now, place=place)


def places(house: House, rota: str) -> dict[Place, str | None]:
    """Where people hear of a rota, each with the chat it is: the watch chat, and those whose rota it is."""
    chats = [house.chats.get(house.watch.chat or ""), *(chat for chat in house.chats.values() if chat.rota == rota)]
    found: dict[Place, str | None] = {}
    for chat in chats:
        if chat is not None:
            found.setdefault(Place(chat.id, chat.topic), chat.name)
    return found


def cards_change(tx: Transaction, now: datetime) -> None:
    """The cards of what is open name who is next, and that is somebody else now."""
    if open_now := tx.incidents(limit=_SHOWN):
        tx.bump_cards(CardKind.INCIDENT, [incident.id for incident in open_now], now)


def _swaps(tx: Transaction) -> _Swaps:
    kept = json.loads(tx.meta(_SWAPS) or "{}")
    return _Swaps(
        tuple(_override(said) for said in kept.get("overrides", ())),
        {
            cause: (datetime.fromisoformat(at), _override(said) if said else None)
            for cause, at, said in kept.get("heard", ())
        },
    )


def _keep_swaps(tx: Transaction, swaps: _Swaps, now: datetime) -> None:
    kept = {
        "overrides": [_written(said) for said in swaps.overrides if said.end > now - _SWAPS_KEPT],
        "heard": [
            (cause, at.isoformat(), _written(said) if said else None)
            for cause, (at, said) in swaps.heard.items()
            if at > now - _HEARD_KEPT
        ],
    }
    tx.set_meta(_SWAPS, json.dumps(kept))


def _written(override: Override) -> tuple[str, str, str, str, str]:
    return override.rota, override.person, override.start.isoformat(), override.end.isoformat(), override.by


def _override(written: tuple[str, str, str, str, str]) -> Override:
    rota, person, start, end, by = written
    return Override(rota, person, datetime.fromisoformat(start), datetime.fromisoformat(end), by)


# --- calendars ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Copy:
    """The last good copy of a calendar, None before the first; and since when it cannot be read."""

    booked: Booked | None = None
    failing_since: datetime | None = None


def was_tried(tx: Transaction, house: House, rota: str) -> bool:
    """Whether a rota's calendar was ever read or found unreadable; before that nobody can say whose turn it is."""
    return not isinstance(house.rotas[rota], FromCalendar) or rota in _copies(tx, house)


def calendar_read(tx: Transaction, house: House, rota: str, reading: Reading, now: datetime) -> None:
    """A calendar as it is now; what in it somebody should look at is told once, while it lasts."""
    _keep_copy(tx, house, rota, _Copy(reading.booked))
    watch.end(tx, "calendar", now, subject=rota)
    odd = f"the calendar of rota {rota}: {'; '.join(reading.problems)}" if reading.problems else ""
    watch.keep(tx, house, "calendar_says", odd, now, subject=rota)


def calendar_failed(tx: Transaction, house: House, rota: str, why: str, now: datetime) -> bool:
    """It cannot be read now: the last good copy stays in force, and after an hour somebody hears. Whether there is one.

    A calendar is a file or feed of somebody else's: an hour without it hurts nobody who has its copy.
    """
    copy = _copies(tx, house).get(rota, _Copy())
    since = copy.failing_since or now
    _keep_copy(tx, house, rota, replace(copy, failing_since=since))
    if now - since >= _UNREAD_FOR:
        stands = "its last good copy stands" if copy.booked else "so nobody is on call in it"
        text = f"the calendar of rota {rota} cannot be read: {why}; {stands}"
        watch.keep(tx, house, "calendar", text, now, subject=rota)
    return copy.booked is not None


def _copies(tx: Transaction, house: House) -> dict[str, _Copy]:
    ours = [name for name, rota in house.rotas.items() if isinstance(rota, FromCalendar)]
    kept = json.loads(tx.meta(_CALENDARS) or "{}") if ours else {}
    return {name: _copy(kept[name]) for name in ours if name in kept}


def _keep_copy(tx: Transaction, house: House, rota: str, copy: _Copy) -> None:
    kept = {**_copies(tx, house), rota: copy}
    tx.set_meta(_CALENDARS, json.dumps({name: _copy_written(one) for name, one in kept.items()}))
    tx.wake("handovers")


def _copy_written(copy: _Copy) -> dict[str, Any]:
    booked, since = copy.booked, copy.failing_since
    return {
        "failing_since": since.isoformat() if since else None,
        "booked": booked
        and {
            "turns": [(turn.person, turn.start.isoformat(), turn.end.isoformat()) for turn in booked.turns],
            "from": booked.known_from.isoformat(),
            "until": booked.known_until.isoformat(),
        },
    }


def _copy(written: Mapping[str, Any]) -> _Copy:
    since, told = written["failing_since"], written["booked"]
    at = datetime.fromisoformat
    booked = told and Booked(
        tuple(Turn(person, at(start), at(end)) for person, start, end in told["turns"]),
        at(told["from"]),
        at(told["until"]),
    )
    return _Copy(booked, at(since) if since else None)


# --- gaps -----------------------------------------------------------------------------------------------------


def mind_gap(tx: Transaction, house: House, known: Roster, rota: str, now: datetime) -> None:
    """When nobody has a turn, now or within a week, the watch chat rings: once a gap, until it is filled."""
    if rota not in known.rotas:
        return
    gaps = json.loads(tx.meta(_GAPS) or "{}")
    gap = known.gap_ahead(rota, now, _GAP_AHEAD)
    before = [datetime.fromisoformat(edge) for edge in gaps.get(rota, ())]
    if before and not (gap and gap.start < before[1] and before[0] < gap.end):
        watch.end(tx, "gap", now, subject=rota)
    stands = {**gaps, rota: [gap.start.isoformat(), gap.end.isoformat()]} if gap else _without(gaps, rota)
    if stands != gaps:
        tx.set_meta(_GAPS, json.dumps(stands))
    if gap:
        watch.keep(tx, house, "gap", _gap(rota, gap, house), now, subject=rota)


def forget(tx: Transaction, house: House, now: datetime) -> None:
    """The config has rotas no more, or no calendar for them: no trouble is left about what is gone."""
    for trouble in tx.open_troubles():
        rota = house.rotas.get(trouble.subject)
        gone = rota is None or (trouble.kind != "gap" and not isinstance(rota, FromCalendar))
        if trouble.kind in ("gap", "calendar", "calendar_says") and gone:
            watch.end(tx, trouble.kind, now, subject=trouble.subject)
    gaps = json.loads(tx.meta(_GAPS) or "{}")
    if gaps.keys() - house.rotas.keys():
        tx.set_meta(_GAPS, json.dumps(_without(gaps, *(gaps.keys() - house.rotas.keys()))))


def _without(gaps: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: gap for name, gap in gaps.items() if name not in names}


def _gap(rota: str, gap: Turn, house: House) -> str:
    zone = house.zone_of(house.watch.chat)
    begins = f" from {texts.moment(gap.start, zone)}" if gap.start > LONG_AGO else ""
    ends = f" until {texts.moment(gap.end, zone)}" if gap.end < FOREVER else ""
    span = " 2d"
    if begins and ends:
        span = "".join(f" {edge.astimezone(zone):%Y-%m-%d %H:%M}" for edge in (gap.start, gap.end))
    return f"nobody is on call in rota {rota}{begins}{ends}; fill it with /oncall {rota} NAME{span}"
