"""The plan: every SMS a policy may cause, each with its hour, written the moment an incident opens.

Nothing else escalates. What happens to one row moves the rows behind it: a late rung shifts them, a hopeless
one pulls them near, an answer tears them up.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby

from bridge.domain.hours import RouteHours
from bridge.domain.incident import Incident
from bridge.domain.notification import Held, Notification, Priority, State
from bridge.domain.routing import Route

CHAT = "chat"
"""The target that is the incident's chat: it costs nothing."""
EVERYONE = "everyone on call"
"""The target that is whoever is on call, of every rota."""
ROTA = "rota "
"""How a target begins that names a rota: whoever it is when the row is due."""

USUAL_WAIT = timedelta(minutes=5)
USUAL_DELIVERY = timedelta(minutes=2)
IN_MODERATION = timedelta(minutes=2)
"""An SMS that people at the gateway read for so long is one that does not arrive."""
_RINGS = (timedelta(minutes=5), timedelta(minutes=10), timedelta(minutes=20), timedelta(minutes=40))
_RING_HOURLY = timedelta(hours=1)


Moves = Sequence[tuple[Notification, Notification]]
"""Rows as they become, each with how it was."""


@dataclass(frozen=True, slots=True)
class Step:
    """One rung: whom to notify, and how long they have before the next is called.

    A target is a person's name, `rota NAME`, `everyone on call`, or `chat`. `deliver_within`: nobody of the rung
    has it on the handset by then, so the next rung is called at once; None: not looked at.
    """

    notify: tuple[str, ...]
    wait: timedelta = USUAL_WAIT
    deliver_within: timedelta | None = USUAL_DELIVERY

    def targets(self, rotas: Collection[str]) -> tuple[str, ...]:
        """Each target once; everyone on call is each rota's turn."""
        turns = tuple(f"{ROTA}{name}" for name in rotas)
        each = (turns if written == EVERYONE else (written,) for written in self.notify)
        return tuple(dict.fromkeys(target for targets in each for target in targets))


@dataclass(frozen=True, slots=True)
class Policy:
    """Ordered rungs, climbed `repeat` times more; `delay` before the first SMS.

    `ack_for`: how long an acknowledgement holds while it still fires. `resolved_sms` and `taken_sms`: those who
    were paged hear that it is over, or who has it. `remind`: a reminder of the source climbs once more.
    `reopen_within`: what fires again so soon after its end is the same incident.
    """

    name: str
    steps: tuple[Step, ...]
    repeat: int = 0
    delay: timedelta = timedelta(0)
    ack_for: timedelta | None = None
    resolved_sms: bool = False
    taken_sms: bool = False
    remind: bool = False
    reopen_within: timedelta = timedelta(minutes=10)

    @property
    def is_chat_only(self) -> bool:
        """It calls no phone, so nobody is missed when no phone is answered."""
        return all(target == CHAT for step in self.steps for target in step.notify)


def plan(
    policy: Policy,
    incident: Incident,
    now: datetime,
    *,
    rotas: Collection[str] = (),
    expires_at: datetime | None = None,
    first: str | None = None,
    without: Collection[str] = (),
) -> list[Notification]:
    """Every SMS this policy may cause from now on, in order; the rows carry no number (id 0) and no text yet.

    `first` is told alone before all others, and has the first rung's wait to answer: who had it last time.
    `without` are the targets of who gave it back: they are left out of the first climb, which begins without the
    delay. Rounds are counted on from `incident.first_round`. A chat in the very first rung is the card itself, which
    rings when it opens. A test of the source calls the first rung, and no other.
    """
    rows: list[Notification] = []
    due_at = now if without else now + policy.delay

    def add(target: str, round_: int, number: int, step: Step) -> None:
        rows.append(
            Notification(
                id=0,
                target=target,
                due_at=due_at,
                created_at=now,
                incident_id=incident.id,
                round=round_,
                step=number,
                priority=Priority.CRITICAL if incident.critical else Priority.NORMAL,
                chat=incident.chat,
                expires_at=expires_at,
                wait=step.wait,
                deliver_within=step.deliver_within,
            )
        )

    if first is not None:
        due_at = now
        add(first, incident.first_round, 0, policy.steps[0])
        due_at += policy.steps[0].wait
    for climb in range(policy.repeat + 1):
        for number, step in enumerate(policy.steps, start=1):
            targets = step.targets(rotas)
            if climb == 0 and without and set(targets) & set(without):
                targets = tuple(target for target in targets if target not in without)
                if not targets:
                    continue  # nobody to wait for either
            for target in targets:
                if target != CHAT or climb or number > 1 or first is not None:
                    add(target, incident.first_round + climb, number, step)
            due_at += step.wait
        if not rows:
            due_at = max(due_at, now + policy.steps[0].wait)  # all were left out: they get a moment
    return [row for row in rows if rung_of(row) == rung_of(rows[0])] if incident.test else rows


def in_hours(rows: Iterable[Notification], route: Route | None, now: datetime) -> list[Notification]:
    """These rows of one plan, none due while its route pages nobody: such a rung waits for its hours.

    Those behind it are called no sooner after it than they would have been. What waited is not too old: its ttl
    counts from then on.
    """
    kept: list[Notification] = []
    earliest, opened = now, None
    for _, each in groupby(sorted(rows, key=rung_of), key=rung_of):
        rung = list(each)
        first = min(row.due_at for row in rung)
        due = max(first, earliest)
        opens = route.hours.pages_at(due) if route else due
        opened = opens if opens > due else opened
        if opened is None or route is None:
            kept += rung
            continue
        expires_at = opened + route.ttl if route.ttl else None
        kept += [replace(row, due_at=row.due_at + (opens - first), expires_at=expires_at) for row in rung]
        earliest = opens + rung[0].wait
    return kept


def waits_for_hours(rows: Iterable[Notification], hours: RouteHours, by: timedelta, now: datetime) -> bool:
    """Whether one of these waits for its route to page; `by` so much they were moved since they were dated."""
    return any(row.created_at > now or _is_kept(row, hours, by, now) for row in rows)


def dated_anew(rows: Sequence[Notification], hours: RouteHours, by: timedelta, now: datetime) -> Moves:
    """The turn of what waits for hours, by the hours and the clock of now; `by` as above.

    A plan that has yet to begin begins when its route pages. Later, a rung that waits is due as if the one before it
    had been called just now.
    """
    planned = [row for row in rows if row.state is State.PLANNED]
    begins = max((row.created_at for row in planned), default=now)
    if begins > now:
        early = begins - hours.pages_at(now)
        return [(replace(row, created_at=row.created_at - early, due_at=row.due_at - early), row) for row in planned]
    dated: list[tuple[Notification, Notification]] = []
    due = now + max((row.wait for row in rows if has_begun(row)), default=timedelta(0))
    for _, each in groupby(sorted(planned, key=rung_of), key=rung_of):
        rung = list(each)
        if not _is_kept(rung[0], hours, by, now):
            due = rung[0].due_at
        dated += [(replace(row, due_at=due), row) for row in rung]
        due += rung[0].wait
    return dated


def _is_kept(row: Notification, hours: RouteHours, by: timedelta, now: datetime) -> bool:
    return row.due_at > now and hours.open_at(row.due_at - by)


# --- what a change of one row does to the rows behind it ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reaction:
    """What follows: rows that move, and what is to be looked at when.

    `hastened` says why the next rung is called at once. `nobody_at`: if nobody has it by then, the chat rings.
    """

    moves: Moves = ()
    hastened: str = ""
    deadline: datetime | None = None
    nobody_at: datetime | None = None


def in_flight(rows: Iterable[Notification]) -> bool:
    """Whether an SMS of these is still to leave, one that waits for its phone's limit left out."""
    return any(row.state in (State.PLANNED, State.SENDING) and not _is_held(row) for row in rows)


def rung_of(row: Notification) -> tuple[int, int]:
    """Where in the climb a row stands; rungs are called in this order."""
    return row.round, row.step


def has_begun(row: Notification) -> bool:
    """Whether its rung was called, as far as this row is concerned."""
    return row.state not in (State.PLANNED, State.CANCELLED) or row.attempt > 0 or _is_held(row)


def react(rows: Sequence[Notification], row: Notification, was: Notification, now: datetime) -> Reaction:
    """What a new state of `row` means for the plan it belongs to; `rows` is all of it, `row` included.

    The first of a rung that the gateway has answered for starts the rung's wait: a rung that left late shifts
    all behind it. When each of the rung is hopeless, the rungs behind it move nearer, so that the next is now;
    once, for what becomes of a rung after the next has begun is old news.
    """
    rung = [other for other in rows if rung_of(other) == rung_of(row)]
    ahead = _ahead(rows, row)
    if any(rung_of(other) > rung_of(row) and has_begun(other) for other in rows):
        return Reaction()
    if hopeless := why_hopeless(rung, now):
        if ahead:
            return Reaction(_moved(ahead, min(now - _next_due(ahead), timedelta(0))), hopeless)
        began = min((_settled_at(other) or now for other in rung if _is_settled(other)), default=now - row.wait)
        return Reaction(hastened=hopeless, nobody_at=now if _nobody_reached(rows) else min(began, now) + row.wait)
    deadline = _hopeless_at(rung)
    called_late = row.resent or row.held is Held.PHONE  # the next was called instead
    begins = _is_settled(row) and not _is_settled(was) and not called_late
    # Several may be settled in one transaction: each begins the rung, and the second finds all done.
    if not begins or any(_is_settled(other) and (_settled_at(other) or now) < now for other in rung):
        return Reaction(deadline=deadline)
    if not ahead:
        return Reaction(deadline=deadline, nobody_at=now + row.wait)
    late = max(now + row.wait - _next_due(ahead), timedelta(0))
    return Reaction(_moved(ahead, late), deadline=deadline)


def hasten(rows: Sequence[Notification], now: datetime) -> Moves:
    """The next rung is now, by somebody's wish; nothing where none is ahead, or it is being called already."""
    ahead = [row for row in rows if row.state is State.PLANNED and not (row.resent or _is_held(row))]
    return _moved(ahead, min(now - _next_due(ahead), timedelta(0))) if ahead else ()


def next_rung(rows: Iterable[Notification]) -> tuple[int, int] | None:
    """The rung that is called next; None when nobody is left to call but whose phone has had its share."""
    return min((rung_of(row) for row in rows if row.state is State.PLANNED and not _is_held(row)), default=None)


def is_last(rows: Iterable[Notification], row: Notification) -> bool:
    """Whether nobody is called after it; `rows` is all of its plan, or of its incident."""
    return not _ahead(rows, row)


def why_hopeless(rung: Iterable[Notification], now: datetime) -> str:
    """Why nobody of this rung will have it on the handset in time; empty while somebody may.

    A chat that rang is no handset: it holds nobody back, and alone it is not hopeless.
    """
    rung = list(rung)
    people = [row for row in rung if row.target != CHAT]
    wanted = [row for row in people or rung if row.state is not State.CANCELLED]
    if not wanted:
        return "expired" if rung else ""
    reasons = [_why_lost(row, now) for row in wanted]
    return reasons[0] if all(reasons) else ""


def ring_again(rings: int, now: datetime) -> datetime:
    """When a chat in which nobody has it rings once more: after 5, 10, 20, 40 minutes, then hourly."""
    return now + (_RINGS[rings] if rings < len(_RINGS) else _RING_HOURLY)


def _why_lost(row: Notification, now: datetime) -> str:
    match row.state:
        case State.PLANNED if _is_held(row):
            return "limit"
        case State.FAILED | State.UNDELIVERED | State.UNCERTAIN:
            return str(row.state)
        case State.SUBMITTED if (by := _patience(row)) is not None and now >= by:
            return "moderated" if row.moderated else "late"
    return ""


def _hopeless_at(rung: Iterable[Notification]) -> datetime | None:
    """When this rung will have waited long enough for its last handset; None while that depends on other news."""
    open_ = [row for row in rung if row.target != CHAT and not _is_given_up(row)]
    waits = [_patience(row) if row.state is State.SUBMITTED else None for row in open_]
    arrived = any(row.state is State.DELIVERED for row in rung if row.target != CHAT)
    return None if arrived or None in waits else max((by for by in waits if by is not None), default=None)


def _is_given_up(row: Notification) -> bool:
    return row.state.is_final or row.state is State.UNCERTAIN or _is_held(row)


def _patience(row: Notification) -> datetime | None:
    """How long we wait for the handset of what the gateway has; None: for ever."""
    spans = [span for span in (IN_MODERATION if row.moderated else None, row.deliver_within) if span is not None]
    return row.submitted_at + min(spans) if spans and row.submitted_at else None


def _is_held(row: Notification) -> bool:
    """Its phone has had its share: nobody is kept waiting for when it may have more."""
    return row.state is State.PLANNED and row.held is Held.PHONE


def _is_settled(row: Notification) -> bool:
    """The gateway has answered for it, or nobody knows: either way its rung has begun."""
    return row.state not in (State.PLANNED, State.SENDING, State.CANCELLED)


def _settled_at(row: Notification) -> datetime | None:
    return min((at for at in (row.submitted_at, row.lost_at, row.ended_at) if at), default=None)


def _nobody_reached(rows: Iterable[Notification]) -> bool:
    return not any(row.state is State.DELIVERED and row.target != CHAT for row in rows)


def _ahead(rows: Iterable[Notification], row: Notification) -> list[Notification]:
    return [o for o in rows if o.state is State.PLANNED and not _is_held(o) and rung_of(o) > rung_of(row)]


def _next_due(ahead: Sequence[Notification]) -> datetime:
    return min(row.due_at for row in ahead)


def _moved(ahead: Sequence[Notification], by: timedelta) -> Moves:
    if not by:
        return ()
    return tuple((replace(row, due_at=row.due_at + by), row) for row in ahead)
