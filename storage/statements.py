"""Every statement the store runs, by name. What is built once is compiled once."""

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Delete,
    Insert,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    literal_column,
    null,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert as upserting  # the one construct that dialects do not share
from sqlalchemy.sql.dml import ReturningUpdate

from bridge.domain.incident import MOST_ROUNDS, NO_BEAT, STORM, IncidentState
from bridge.domain.notification import Held, Priority, Purpose, State
from bridge.domain.silence import SilenceState
from bridge.domain.throttle import Scope
from bridge.ports import CardKind, ReceiptState
from storage.tables import (
    Instant,
    alert,
    card,
    card_behind,
    card_single,
    incident,
    incident_open,
    meta,
    not_final,
    notification,
    planned,
    price,
    question,
    receipt,
    said,
    sending,
    sequence,
    silence,
    silence_goes_on,
    spending,
    submitted,
    telegram_update,
    timeline,
    timer,
    trouble,
    trouble_open,
    uncertain,
    unpriced,
    update_waiting,
)

_now = bindparam("now", type_=Instant())
_limit: BindParameter[int] = bindparam("limit")


def _listed(name: str) -> Any:
    return bindparam(name, expanding=True)


def _upsert(table: Table) -> Insert:
    """Insert, or replace all but the key."""
    statement = upserting(table)
    keys = [column.name for column in table.primary_key]
    rest = {c.name: statement.excluded[c.name] for c in table.c if c.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=rest)


# --- meta and numbers ----------------------------------------------------------------------------------

# What the bridge remembers of itself, by key.
meta_value: Select[str] = select(meta.c.value).where(meta.c.key == bindparam("key"))
set_meta: Insert = _upsert(meta)
# The number after the last one taken, once `count` are taken.
take_numbers: ReturningUpdate[int] = (
    update(sequence).values(next=sequence.c.next + bindparam("count")).returning(sequence.c.next)
)

# --- receipts ------------------------------------------------------------------------------------------

add_receipt: Insert = insert(receipt)
newest_receipt: Select[int | None] = select(func.max(receipt.c.id))


@cache
def add_receipts(count: int) -> str:
    """So many whole rows in one statement, for the driver: one statement a receipt costs ten times as much."""
    insert_into, values, row = str(add_receipt.compile(dialect=sqlite.dialect())).partition(" VALUES ")
    return insert_into + values + ", ".join([row] * count)


receipt_by_id: Select[Any] = select(receipt).where(receipt.c.id == bindparam("row_id"))
_waiting = receipt.c.state == said(ReceiptState.STORED)
# Both ends of what is not yet understood: a long backlog must not hide what is wrong now.
oldest_waiting: Select[Any] = select(receipt).where(_waiting).order_by(receipt.c.id).limit(_limit)
newest_waiting: Select[Any] = (
    select(receipt).where(_waiting, receipt.c.id > bindparam("after")).order_by(receipt.c.id.desc()).limit(_limit)
)
# Whether anything of a source is not yet understood.
receipt_waits: Select[Any] = (
    select(literal(1)).where(_waiting, receipt.c.source == bindparam("of_source")).limit(literal(1))
)
# What intake found out; the body is never written again.
save_receipts: Update = (
    update(receipt)
    .where(receipt.c.id == bindparam("row_id"))
    .values(state=bindparam("state"), identity=bindparam("identity"), result=bindparam("result"))
)
# For a list of receipts, without their bodies.
receipts_since: Select[Any] = (
    select(*(literal(b"").label("body") if c is receipt.c.body else c for c in receipt.c))
    .where(receipt.c.received_at >= bindparam("since"))
    .order_by(receipt.c.received_at.desc(), receipt.c.id.desc())
    .limit(_limit)
)
# A sender that repeats the same broken bytes is told of once.
same_dead_letter: Select[Any] = (
    select(receipt.c.id)
    .where(
        receipt.c.source == bindparam("source"),
        receipt.c.identity == bindparam("identity"),
        receipt.c.state == said(ReceiptState.DEAD),
        receipt.c.received_at > bindparam("since"),
    )
    .limit(1)
)
# When the same report was last taken, to tell a retry from a reminder.
last_seen: Select[str, datetime] = (
    select(receipt.c.identity, func.max(receipt.c.received_at, type_=Instant()).label("at"))
    .where(
        receipt.c.source == bindparam("source"),
        receipt.c.identity.in_(_listed("identities")),
        receipt.c.state == said(ReceiptState.UNDERSTOOD),
    )
    .group_by(receipt.c.identity)
)

# --- incidents -----------------------------------------------------------------------------------------

# Groups are asked for source by source: SQLite would scan the table for a list of (source, group_key) pairs.
_incident_group = and_(incident.c.source == bindparam("of_source"), incident.c.group_key.in_(_listed("group_keys")))
_alert_group = and_(alert.c.source == bindparam("of_source"), alert.c.group_key.in_(_listed("group_keys")))

add_incidents: Insert = insert(incident)
save_incidents: Update = update(incident).where(incident.c.id == bindparam("row_id"))
touch_incidents: Update = update(incident).where(incident.c.id == bindparam("row_id"))
open_incidents: Select[Any] = select(incident).where(incident_open, _incident_group)
ended_incidents: Select[Any] = (
    select(incident)
    .where(_incident_group, incident.c.ended_at > bindparam("after", type_=Instant()))
    .order_by(incident.c.ended_at, incident.c.id)
)
incidents_by_id: Select[Any] = select(incident).where(incident.c.id.in_(_listed("ids")))
# What is known of these groups: all of what is open, what ended so lately that old news may still come, and
# what a person ended while its source goes on about it.
alert_records: Select[Any] = (
    select(alert)
    .outerjoin(incident, incident.c.id == alert.c.incident_id)
    .where(_alert_group, or_(incident_open, alert.c.ended_at > bindparam("ended_after"), alert.c.by_hand))
    .order_by(alert.c.incident_id, alert.c.fingerprint)
)
save_alerts: Insert = _upsert(alert)

# What a route opened lately, to tell a storm by.
opened_alone: Select[Any] = (
    select(incident)
    .where(
        incident.c.opened_at > bindparam("after"),
        incident.c.route == bindparam("on_route"),
        incident.c.storm.is_(None),
        incident.c.asked_by.is_(None),
        incident.c.source != literal(STORM),
        incident.c.group_key != literal(NO_BEAT),
        ~incident.c.test,
    )
    .order_by(incident.c.id)
)
_in_storm = incident.c.storm == bindparam("of_storm")
members: Select[Any] = select(incident.c.id).where(_in_storm, incident_open).order_by(incident.c.id).limit(_limit)
_at = bindparam("at", type_=Instant())
members_about: Select[Any] = select(
    func.sum(case((incident.c.opened_at <= _at, 1), else_=0)), func.sum(case((incident.c.opened_at > _at, 1), else_=0))
).where(_in_storm)
alerts_in_storm: Select[Any] = (
    select(alert)
    .join(
        incident,
        and_(
            alert.c.source == incident.c.source,
            alert.c.group_key == incident.c.group_key,
            alert.c.incident_id == incident.c.id,
        ),
    )
    .where(_in_storm)
)
# One answer for all of a storm: those that nobody has, and those that were taken with it before.
_was = bindparam("was", type_=Instant())
take_members: Update = (
    update(incident)
    .where(
        _in_storm,
        or_(
            incident.c.state == said(IncidentState.TRIGGERED),
            and_(incident.c.state == said(IncidentState.ACKNOWLEDGED), incident.c.acknowledged_at == _was),
        ),
    )
    .values(
        state=IncidentState.ACKNOWLEDGED,
        acknowledged_by=bindparam("by"),
        acknowledged_at=_at,
        acknowledged_via=bindparam("via"),
        rings=0,
    )
)
cancel_members: Update = (
    update(notification)
    .where(
        planned,
        notification.c.incident_id.in_(
            select(incident.c.id).where(
                _in_storm, incident.c.state == said(IncidentState.ACKNOWLEDGED), incident.c.acknowledged_at == _at
            )
        ),
    )
    .values(state=State.CANCELLED, reason=bindparam("why"), ended_at=_now)
)
free_members: Update = (
    update(incident)
    .where(_in_storm, incident.c.state == said(IncidentState.ACKNOWLEDGED), incident.c.acknowledged_at == _at)
    .values(state=IncidentState.TRIGGERED, rings=0, first_round=incident.c.first_round + MOST_ROUNDS)
)
bump_members: Update = (
    update(card)
    .where(card.c.kind == said(CardKind.INCIDENT), card.c.subject.in_(select(incident.c.id).where(_in_storm)))
    .values(wanted=card.c.wanted + 1, changed_at=_now)
)
empty_storm: Update = update(incident).where(_in_storm, incident_open).values(storm=None)

incident_counts: Select[IncidentState, int] = (
    select(incident.c.state, func.count().label("rows")).where(incident_open).group_by(incident.c.state)
)


def incidents(*, open_only: bool, since: datetime | None, chat: str | None, limit: int) -> Select[Any]:
    """A list of incidents for people, the newest first."""
    wanted: list[ColumnElement[bool]] = []
    if open_only:
        wanted.append(incident_open)
    if since is not None:
        wanted.append(incident.c.opened_at >= since)
    if chat is not None:
        wanted.append(incident.c.chat == chat)
    return select(incident).where(*wanted).order_by(incident.c.id.desc()).limit(limit)


# --- silences ------------------------------------------------------------------------------------------

silences_of: Select[Any] = select(silence).where(silence.c.incident_id.in_(_listed("incident_ids")))
save_silence: Insert = _upsert(silence)
silences_due: Select[Any] = (
    select(silence).where(silence.c.next_at <= _now).order_by(silence.c.next_at, silence.c.incident_id).limit(_limit)
)

# --- the outbox ----------------------------------------------------------------------------------------

add_notifications: Insert = insert(notification)
notifications_by_id: Select[Any] = select(notification).where(notification.c.id.in_(_listed("ids")))
notification_by_cause: Select[Any] = select(notification).where(notification.c.cause == bindparam("cause"))
notification_by_link: Select[Any] = select(notification).where(notification.c.link_token == bindparam("token"))
notifications_of: Select[Any] = (
    select(notification)
    .where(notification.c.incident_id.in_(_listed("incident_ids")))
    .order_by(notification.c.incident_id, notification.c.round, notification.c.step, notification.c.id)
)
_earlier = notification.alias("earlier")
_carrier = notification.alias("carrier")
# Of the plan a row is in: what is on the wire of a plan before it holds up nobody.
_first_round = (notification.c.round - 1) // MOST_ROUNDS * MOST_ROUNDS + 1
# What may be sent now: due, and no earlier rung of the same climb is still to leave.
# The ranks are spelled out so that the index gives the rows in this order and the search stops at the limit.
claimable: Select[Any] = (
    select(notification)
    .where(
        planned,
        notification.c.priority.in_(list(Priority)),
        notification.c.due_at <= _now,
        # What another row's SMS tells of leaves with that one, unless that one was called off.
        ~exists().where(
            _carrier.c.id == notification.c.carried_by,
            _carrier.c.id != notification.c.id,
            _carrier.c.state == said(State.PLANNED),
        ),
        ~exists().where(
            _earlier.c.incident_id == notification.c.incident_id,
            _earlier.c.round.between(_first_round, notification.c.round),
            or_(_earlier.c.round < notification.c.round, _earlier.c.step < notification.c.step),
            _earlier.c.purpose == said(Purpose.PAGE),
            _earlier.c.state.in_([said(State.PLANNED), said(State.SENDING)]),
            # What waits for its phone's limit is called late; the next are called meanwhile.
            or_(_earlier.c.state == said(State.SENDING), _earlier.c.held.is_distinct_from(said(Held.PHONE))),
        ),
    )
    .order_by(notification.c.priority, notification.c.due_at, notification.c.id)
    .limit(_limit)
)
# What may leave together with what leaves now, if it is for the same person.
waiting: Select[Any] = (
    select(notification)
    .where(
        planned,
        notification.c.incident_id.is_not(None),
        notification.c.purpose == said(Purpose.PAGE),
        or_(notification.c.failures > literal(0), notification.c.held.is_not(None)),
        ~notification.c.resent,
    )
    .order_by(notification.c.due_at, notification.c.id)
    .limit(_limit)
)
carried_by: Select[Any] = (
    select(notification)
    .where(notification.c.carried_by == bindparam("carrier"), notification.c.id != bindparam("carrier"))
    .order_by(notification.c.id)
)
# Whoever moved the row meanwhile (another state, another attempt) keeps it.
save_notification: Update = update(notification).where(
    notification.c.id == bindparam("row_id"),
    notification.c.state == bindparam("was_state"),
    notification.c.attempt == bindparam("was_attempt"),
)
# Where rows stand, held until the commit.
fences: Select[int, State, int] = (
    select(notification.c.id, notification.c.state, notification.c.attempt)
    .where(notification.c.id.in_(_listed("ids")))
    .with_for_update()
)
# An incident that is over owes nobody anything further.
cancel_planned: Update = (
    update(notification)
    .where(planned, notification.c.incident_id.in_(_listed("incident_ids")))
    .values(state=State.CANCELLED, reason=bindparam("why"), ended_at=_now)
)
leases_over: Select[Any] = (
    select(notification).where(sending, notification.c.lease_until <= _now).order_by(notification.c.lease_until)
)
all_sending: Select[Any] = select(notification).where(sending).order_by(notification.c.lease_until)
polls_due: Select[Any] = (
    select(notification)
    .where(submitted, notification.c.next_poll_at <= _now)
    .order_by(notification.c.next_poll_at, notification.c.id)
    .limit(_limit)
)
looks_due: Select[Any] = (
    select(notification)
    .where(uncertain, notification.c.next_look_at <= _now)
    .order_by(notification.c.next_look_at, notification.c.id)
    .limit(_limit)
)
# Whether text and number could mean another row as well.
unsettled: Select[Any] = (
    select(notification.c.id)
    .where(
        or_(sending, uncertain),
        notification.c.number == bindparam("number"),
        notification.c.text == bindparam("text"),
        notification.c.id != bindparam("other_than"),
    )
    .limit(1)
)
# Under what the gateway may list SMS whose id nobody knows.
in_doubt: Select[Any] = (
    select(notification.c.reference)
    .where(or_(sending, uncertain), notification.c.reference.is_not(None))
    .order_by(notification.c.id)
)
# The gateway hinted at these. Rows at an end are left as they are, but count as known.
poll_now: Update = (
    update(notification)
    .where(notification.c.message_id.in_(_listed("message_ids")))
    .values(next_poll_at=case((submitted, _now), else_=notification.c.next_poll_at))
)
by_message_id: Select[Any] = select(notification).where(notification.c.message_id.in_(_listed("message_ids")))
# What counts against the limits: what was claimed and is not known to have stayed here, whatever became of it then.
# Who learns that it stayed takes `claimed_at` away.
_reserved = and_(
    notification.c.number.is_not(None),
    notification.c.segments.is_not(None),
)
_counts = and_(
    notification.c.segments.is_not(None), notification.c.claimed_at >= bindparam("since", type_=Instant())
)  # with or without a number: that is forgotten sooner than a month may be over
spent: Select[Any] = select(notification.c.number, notification.c.claimed_at, notification.c.segments).where(
    notification.c.claimed_at >= bindparam("since"), _reserved
)
_before_then = notification.c.claimed_at < bindparam("until", type_=Instant())
_sums, _moments = func.sum(notification.c.segments), (notification.c.claimed_at, notification.c.segments)
_subject: BindParameter[str] = bindparam("of_subject")
_of_route = select(*_moments).join(incident, incident.c.id == notification.c.incident_id)
# One by one, the first one first: between two moments, in each scope. Of a phone they are read by its number.
reserved_in: dict[Scope, Select[Any]] = {
    Scope.HOUSE: select(*_moments).where(_counts, _before_then),
    Scope.ROUTE: _of_route.where(_counts, _before_then, incident.c.route == _subject),
    Scope.ASKER: select(*_moments).where(
        _counts,
        _before_then,
        notification.c.incident_id.is_(None),
        notification.c.priority == literal(Priority.TYPED.value),
        notification.c.asked_by == _subject,
    ),
    Scope.PHONE: select(*_moments).where(_counts, _before_then, notification.c.number == _subject),
}
reserved_in = {scope: found.order_by(notification.c.claimed_at) for scope, found in reserved_in.items()}
# The same, added up.
reserved: dict[Scope, Select[Any]] = {
    scope: found.with_only_columns(_sums).order_by(None) for scope, found in reserved_in.items()
}
_slots = and_(
    spending.c.scope == bindparam("of_scope", type_=spending.c.scope.type),
    spending.c.subject == _subject,
    spending.c.slot >= bindparam("first"),
)
spent_in_slots: Select[Any] = select(func.sum(spending.c.segments)).where(_slots)
slots: Select[Any] = select(spending.c.slot, spending.c.segments).where(_slots).order_by(spending.c.slot)
_to_phone = notification.c.number == bindparam("number")
reserved_by_news: Select[Any] = select(_sums).where(_counts, _to_phone, notification.c.purpose != said(Purpose.PAGE))
last_normal_page: Select[Any] = select(func.max(notification.c.claimed_at, type_=Instant())).where(
    _counts,
    _to_phone,
    notification.c.incident_id.is_not(None),
    notification.c.purpose == said(Purpose.PAGE),
    notification.c.priority == literal(Priority.NORMAL.value),
)
# What a limit holds, made due: the claim holds it once more, or lets it out. What gathers for a soft limit has not
# waited its time yet, so it is as if it had never been held.
release_held: Update = (
    update(notification)
    .where(
        planned,
        notification.c.due_at > _now,
        notification.c.held.in_([Held.PHONE, Held.HOUSE, Held.ROUTE, Held.ASKER, Held.SOFT]),
    )
    .values(due_at=_now, held=case((notification.c.held == said(Held.SOFT), null()), else_=notification.c.held))
)
# Whether this number is new to this chat; pages do not count, nobody typed their number.
was_sent_to: Select[Any] = (
    select(notification.c.id)
    .where(
        notification.c.number == bindparam("number"),
        notification.c.incident_id.is_(None),
        notification.c.chat.is_not_distinct_from(bindparam("chat")),
        notification.c.state.in_([State.SUBMITTED, State.DELIVERED, State.UNDELIVERED]),
    )
    .limit(1)
)
outbox_counts: Select[State, int] = (
    select(notification.c.state, func.count().label("rows")).where(not_final).group_by(notification.c.state)
)
oldest_due: Select[Any] = select(func.min(notification.c.due_at, type_=Instant())).where(
    planned, notification.c.due_at <= _now
)


# --- what it costs ---

prices: Select[str, str, str] = select(price.c.country, price.c.amount, price.c.currency)
_new_price = upserting(price)
save_price: Insert = _new_price.on_conflict_do_update(
    index_elements=[price.c.country],
    set_={name: _new_price.excluded[name] for name in ("amount", "currency", "seen_at")},
    where=_new_price.excluded.seen_at >= price.c.seen_at,
)
prices_due: Select[Any] = (
    select(notification)
    .where(unpriced, notification.c.next_price_at <= _now)
    .order_by(notification.c.next_price_at, notification.c.id)
    .limit(_limit)
)
_taken = and_(notification.c.claimed_at.is_not(None), notification.c.message_id.is_not(None))
first_sent: Select[Any] = select(notification.c.claimed_at).where(_taken).order_by(notification.c.claimed_at).limit(1)


def spendings(*, since: datetime, until: datetime, chat: str | None, asked_by: str | None) -> Select[Any]:
    """What the gateway took in that time, in the order in which it left."""
    n = notification.c
    asker = func.coalesce(n.asked_by, incident.c.asked_by)
    wanted = [_taken, n.claimed_at >= since, n.claimed_at < until]
    if chat is not None:
        wanted.append(n.chat == chat)
    if asked_by is not None:
        wanted.append(asker == asked_by)
    mine = (n.id, n.message_id, n.claimed_at, n.segments, n.state, n.incident_id)
    return (
        select(*mine, incident.c.route, incident.c.title, n.person, asker, n.number, n.cost, n.currency)
        .select_from(notification.outerjoin(incident, incident.c.id == n.incident_id))
        .where(*wanted)
        .order_by(n.claimed_at, n.id)
    )


_until = bindparam("until", type_=Instant())
put_off_prices: Update = (
    update(notification).where(unpriced, notification.c.next_price_at < _until).values(next_price_at=_until)
)


paged_lately: Select[Any] = (
    select(notification.c.number, incident.c.route, notification.c.incident_id, notification.c.claimed_at)
    .join(incident, incident.c.id == notification.c.incident_id)
    .where(
        notification.c.claimed_at > bindparam("after", type_=Instant()),
        notification.c.purpose == said(Purpose.PAGE),
        _reserved,
    )
)


def find_notifications(
    *,
    state: State | None,
    target: str | None,
    number: str | None,
    chat: str | None,
    asked_by: str | None,
    before: int | None,
    limit: int,
) -> Select[Any]:
    """A list of notifications for people, the newest first."""
    wanted: list[ColumnElement[bool]] = []
    if state is not None:
        wanted.append(notification.c.state == state)
    if target is not None:  # planned for them, or for a rota that turned out to be them
        wanted.append(or_(notification.c.target == target, notification.c.person == target))
    if number is not None:
        wanted.append(notification.c.number == number)
    if chat is not None:
        wanted.append(notification.c.chat == chat)
    if asked_by is not None:
        wanted.append(notification.c.asked_by == asked_by)
    if before is not None:
        wanted.append(notification.c.id < before)
    return select(notification).where(*wanted).order_by(notification.c.id.desc()).limit(limit)


# --- questions -----------------------------------------------------------------------------------------

add_question: Insert = insert(question)
question_by_id: Select[Any] = select(question).where(question.c.id == bindparam("row_id"))
question_by_cause: Select[Any] = select(question).where(question.c.cause == bindparam("cause"))
# Of two presses one wins.
answer_question: Update = (
    update(question)
    .where(question.c.id == bindparam("row_id"), question.c.answer.is_(None))
    .values(answer=bindparam("said"))
)

# --- cards and troubles --------------------------------------------------------------------------------

# One card per thing and chat; asking again makes it show the thing afresh. A note may be said twice.
_new_card = upserting(card)
add_card: Insert = _new_card.on_conflict_do_update(
    index_elements=[card.c.kind, card.c.subject, card.c.chat_id],
    index_where=card_single,
    set_={
        "wanted": card.c.wanted + 1,
        "changed_at": _new_card.excluded.changed_at,
        "urgent": or_(card.c.urgent, _new_card.excluded.urgent),
    },
)
# Urgency lasts until it has been shown, whatever changes after it.
bump_cards: Update = (
    update(card)
    .where(card.c.kind == bindparam("card_kind"), card.c.subject.in_(_listed("subjects")))
    .values(
        wanted=card.c.wanted + 1,
        changed_at=_now,
        urgent=or_(bindparam("at_once"), and_(card.c.shown < card.c.wanted, card.c.urgent)),
    )
)
cards_behind: Select[Any] = (
    select(card)
    .where(
        card_behind,
        or_(card.c.retry_at.is_(None), card.c.retry_at <= _now),
        card.c.chat_id.not_in(_listed("leave_out")),
    )
    .order_by(
        case((and_(card.c.shown == 0, card.c.ring), 0), (card.c.shown == 0, 1), (card.c.urgent, 2), else_=3),
        card.c.changed_at,
        card.c.id,
    )
    .limit(_limit)
)
# What the reporter did; a change that came while it was talking to the chat stays wanted.
_wanted = bindparam("at_least", type_=card.c.wanted.type)
save_card: Update = (
    update(card)
    .where(card.c.id == bindparam("row_id"))
    .values(wanted=case((card.c.wanted < _wanted, _wanted), else_=card.c.wanted))
)
cards_of: Select[Any] = (
    select(card)
    .where(card.c.kind == bindparam("card_kind"), card.c.subject == bindparam("card_subject"))
    .order_by(card.c.id)
)
card_at: Select[Any] = (
    select(card)
    .where(card.c.chat_id == bindparam("at_chat"), card.c.message_id == bindparam("at_message"))
    .order_by(card.c.id.desc())
    .limit(1)
)
_there = card.alias("there")
# The new group counts its messages afresh: an old message id would name somebody else's message there.
# What already has its card in the new group keeps that one.
move_chat: Update = (
    update(card)
    .where(
        card.c.chat_id == bindparam("old"),
        card.c.closed.is_(None),
        or_(
            ~card_single,
            ~exists().where(
                _there.c.kind == card.c.kind, _there.c.subject == card.c.subject, _there.c.chat_id == bindparam("new")
            ),
        ),
    )
    .values(chat_id=bindparam("new"), message_id=None, reply_to=None)
)

add_trouble: Insert = insert(trouble)
save_trouble: Update = update(trouble).where(trouble.c.id == bindparam("row_id"))
trouble_by_id: Select[Any] = select(trouble).where(trouble.c.id == bindparam("row_id"))
open_trouble: Select[Any] = select(trouble).where(
    trouble_open, trouble.c.kind == bindparam("of_kind"), trouble.c.subject == bindparam("of_subject")
)
open_troubles: Select[Any] = select(trouble).where(trouble_open).order_by(trouble.c.began_at, trouble.c.id)

add_timeline: Insert = insert(timeline)
timeline_of: Select[Any] = (
    select(timeline.c.subject, timeline.c.at, timeline.c.what, timeline.c.who)
    .where(timeline.c.subject == bindparam("of_subject"))
    .order_by(timeline.c.at, timeline.c.id)
)

# --- Telegram ------------------------------------------------------------------------------------------

# Telegram brings an update until it has heard that we have it; one id is kept once.
keep_updates: Insert = upserting(telegram_update).on_conflict_do_nothing()
updates_waiting: Select[Any] = (
    select(telegram_update.c.bot_id, telegram_update.c.update_id, telegram_update.c.received_at, telegram_update.c.body)
    .where(update_waiting)
    .order_by(telegram_update.c.received_at, telegram_update.c.update_id)
    .limit(_limit)
)
# The id is remembered, what was said is not.
finish_update: Update = (
    update(telegram_update)
    .where(
        telegram_update.c.bot_id == bindparam("bot"),
        telegram_update.c.update_id == bindparam("number"),
        update_waiting,
    )
    .values(outcome=bindparam("became"), done_at=_now, body=b"")
)
_this_update = and_(telegram_update.c.bot_id == bindparam("bot"), telegram_update.c.update_id == bindparam("number"))
# What it asked for is done, though its answer may still have to be said.
do_update: Update = update(telegram_update).where(_this_update, update_waiting).values(outcome="done")
is_update_done: Select[Any] = select(telegram_update.c.outcome).where(
    _this_update, telegram_update.c.outcome.is_not(None)
)

# --- timers --------------------------------------------------------------------------------------------

set_timer: Insert = _upsert(timer)
_seen = bindparam("seen", type_=Instant())
timer_of: Select[Any] = select(timer).where(
    timer.c.kind == bindparam("of_kind"), timer.c.subject == bindparam("of_subject")
)
drop_timer: Delete = delete(timer).where(
    timer.c.kind == bindparam("of_kind"),
    timer.c.subject == bindparam("of_subject"),
    or_(_seen.is_(None), timer.c.due_at == _seen),
)
timers_due: Select[Any] = (
    select(timer).where(timer.c.due_at <= _now).order_by(timer.c.due_at, timer.c.kind, timer.c.subject).limit(_limit)
)

_by: BindParameter[int] = bindparam("by", type_=BigInteger())


def _moved(table: Table, *names: str) -> dict[str, ColumnElement[Any]]:
    return {name: type_coerce(table.c[name], BigInteger) + _by for name in names}


# All that says when something was or will be, but for `gateway_defer`, which a person named: so every span between
# two of them stays what it was.
_instants = (
    *("due_at", "created_at", "expires_at", "lease_until", "claimed_at", "lost_at", "next_look_at", "asked_at"),
    *("submitted_at", "status_at", "next_poll_at", "ended_at"),
)
# Deferred by whoever typed it, and not tried yet: due at an hour on the wall.
_named_by_a_person = and_(
    notification.c.incident_id.is_(None),
    notification.c.attempt == literal(0),
    notification.c.reason.is_(None),
    notification.c.due_at > notification.c.created_at,
)
# The clock was set.
move_waits: tuple[Update, ...] = (
    update(notification).where(not_final, ~_named_by_a_person).values(_moved(notification, *_instants)),
    update(notification)
    .where(~not_final, notification.c.claimed_at > bindparam("claimed_after", type_=Instant()))
    .values(_moved(notification, *_instants)),
    update(notification).where(unpriced).values(_moved(notification, "next_price_at")),
    update(card).where(card_behind).values(_moved(card, "changed_at", "retry_at")),
    update(question).where(question.c.answer.is_(None)).values(_moved(question, "expires_at")),
    update(timer).values(_moved(timer, "due_at")),
    # A storm is told by what opened lately, and by what joined since it grew or was taken: all of it moves as one.
    update(incident)
    .where(or_(incident_open, incident.c.opened_at > bindparam("claimed_after", type_=Instant())))
    .values(_moved(incident, "opened_at", "last_seen", "acknowledged_at")),
    update(trouble).where(trouble_open).values(_moved(trouble, "seen_at")),
    # When a silence ends is told to its source as an hour, and so stays one.
    update(silence)
    .where(silence_goes_on, silence.c.state != said(SilenceState.ACTIVE))
    .values(_moved(silence, "asked_at", "next_at", "gone_since")),
)


def _earliest(column: ColumnElement[Any], *where: ColumnElement[bool]) -> Any:
    return select(func.min(column, type_=Instant())).where(*where).scalar_subquery()


# When the next thing is due, for whoever moves a clock. A card that was never dated is due since ever.
next_due: Select[Any] = select(
    _earliest(notification.c.due_at, planned).label("planned"),
    _earliest(notification.c.lease_until, sending).label("leased"),
    _earliest(notification.c.next_look_at, uncertain).label("finder"),
    _earliest(notification.c.next_poll_at, submitted).label("tracker"),
    _earliest(func.coalesce(card.c.retry_at, card.c.changed_at, literal_column("0")), card_behind).label("reporter"),
    _earliest(timer.c.due_at).label("timers"),
    _earliest(silence.c.next_at, silence_goes_on).label("silences"),
    _earliest(notification.c.next_price_at, unpriced).label("pricer"),
)


# --- what is forgotten ---


def _some(table: Table, *where: ColumnElement[bool]) -> ColumnElement[bool]:
    """Up to `limit` rows: a long sleep must not make one endless transaction."""
    key = next(iter(table.primary_key.columns))
    return key.in_(select(key).where(*where).limit(_limit))


_before = bindparam("before", type_=Instant())
_week_ago = bindparam("week_ago", type_=Instant())
_day_ago = bindparam("day_ago", type_=Instant())
_ended_long_ago = notification.c.ended_at < _before
# Numbers and texts go; times, counts and cost stay. Each line says what stands for what is gone.
_says_something = or_(
    notification.c.number.is_not(None), notification.c.text.is_not(None), notification.c.link_token.is_not(None)
)
forget: tuple[Update | Delete, ...] = (
    delete(receipt).where(
        _some(receipt, receipt.c.received_at < _before, receipt.c.state != said(ReceiptState.STORED))
    ),
    update(notification)
    .where(_some(notification, _ended_long_ago, _says_something))
    .values(number=None, text=None, link_token=None, target=func.coalesce(notification.c.person, literal("forgotten"))),
    update(incident)
    .where(_some(incident, incident.c.ended_at < _before, incident.c.fact != literal("")))
    .values(fact="", places=(), within="", labels={}),
    delete(question).where(_some(question, question.c.expires_at < _before, question.c.answer.is_not(None))),
    delete(card).where(_some(card, card.c.changed_at < _before, ~card_single)),
    delete(alert).where(alert.c.last_seen < _before, alert.c.ended_at.is_not(None)),
    delete(alert).where(
        alert.c.incident_id == literal(0), alert.c.last_seen < _day_ago
    ),  # tombstones serve for minutes
    delete(silence).where(silence.c.ends_at < _before, silence.c.next_at.is_(None)),
    delete(trouble).where(trouble.c.over_at < _before),
    delete(telegram_update).where(telegram_update.c.done_at < _week_ago),  # Telegram brings none back after a day
)
