"""The tables, and how our values lie in them.

Columns are named as the fields of the values they hold, and stand in the same order.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any, Generic, TypeVar

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    false,
    literal_column,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from bridge.domain.alert import AlertStatus
from bridge.domain.incident import IncidentState
from bridge.domain.notification import Held, Priority, Purpose, State
from bridge.domain.phone import PhoneNumber
from bridge.domain.silence import SilenceState
from bridge.domain.throttle import Scope
from bridge.ports import CardKind, ReceiptState

W = TypeVar("W", bound=StrEnum)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(value: datetime) -> int:
    """Since 1970 UTC. A naive datetime raises TypeError, before it can mean another hour on another machine."""
    return (value - _EPOCH) // _MICROSECOND


def as_json(value: Mapping[str, Any]) -> str:
    """A mapping, with the datetimes directly in it marked as such."""
    return orjson.dumps({k: {_TIME: v} if isinstance(v, datetime) else v for k, v in value.items()}).decode()


class Instant(TypeDecorator[datetime]):
    """An aware datetime as whole microseconds since 1970 UTC: exact, and in the right order."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else microseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


class Span(TypeDecorator[timedelta]):
    """A length of time as whole microseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: timedelta | None, dialect: Dialect) -> int | None:
        return None if value is None else value // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> timedelta | None:
        return None if value is None else timedelta(microseconds=value)


class Word(TypeDecorator[W], Generic[W]):
    """A StrEnum as its word."""

    impl = Text
    cache_ok = True

    def __init__(self, words: type[W]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: W | None, dialect: Dialect) -> str | None:
        return None if value is None else value.value

    def process_result_value(self, value: str | None, dialect: Dialect) -> W | None:
        return None if value is None else self.words(value)


class Rank(TypeDecorator[Priority]):
    """A priority as its number, which is the order of sending."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: IntEnum | None, dialect: Dialect) -> int | None:
        return None if value is None else value.value

    def process_result_value(self, value: int | None, dialect: Dialect) -> Priority | None:
        return None if value is None else Priority(value)


class E164(TypeDecorator[PhoneNumber]):
    """A phone number as E.164."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: PhoneNumber | str | None, dialect: Dialect) -> str | None:
        return value.e164 if isinstance(value, PhoneNumber) else value

    def process_result_value(self, value: str | None, dialect: Dialect) -> PhoneNumber | None:
        return None if value is None else PhoneNumber(value)


class Json(TypeDecorator[Mapping[str, Any]]):
    """A mapping as JSON. A datetime directly in it comes back as one; deeper down it becomes a string."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, Any] | None, dialect: Dialect) -> str | None:
        return None if value is None else as_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[str, Any] | None:
        if value is None:
            return None
        found = orjson.loads(value)
        return {
            k: datetime.fromisoformat(v[_TIME]) if isinstance(v, dict) and v.keys() == {_TIME} else v
            for k, v in found.items()
        }


_TIME = "$time"


class Words(TypeDecorator[tuple[str, ...]]):
    """A tuple of strings as a JSON list."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str | None:
        return None if value is None else orjson.dumps(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...] | None:
        return None if value is None else tuple(orjson.loads(value))


def said(word: StrEnum) -> ColumnElement[Any]:
    """A word written into the SQL itself: a partial index is only used where its condition can be read there."""
    return literal_column(f"'{word.value}'")


Id = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER is SQLite's own row id
metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# One row: the next number that an incident or a notification gets.
sequence = Table(
    "sequence",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("next", BigInteger, nullable=False),
)

receipt = Table(
    "receipt",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source", Text, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("route", Text),
    Column("headers", Json, nullable=False),
    Column("state", Word(ReceiptState), nullable=False),
    Column("identity", Text),  # of a dead letter: the hash of its bytes
    Column("result", Json, nullable=False),
)
_stored = receipt.c.state == said(ReceiptState.STORED)
Index("receipt_waiting", receipt.c.id, sqlite_where=_stored, postgresql_where=_stored)
Index("receipt_identity", receipt.c.source, receipt.c.identity, receipt.c.received_at)
Index("receipt_received", receipt.c.received_at)

incident = Table(
    "incident",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("source", Text, nullable=False),
    Column("group_key", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("state", Word(IncidentState), nullable=False),
    Column("title", Text, nullable=False),
    Column("places", Words, nullable=False),
    Column("fact", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("firing", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("truncated", Integer, nullable=False),
    Column("policy", Text),
    Column("chat", Text),
    Column("critical", Boolean, nullable=False),
    Column("test", Boolean, nullable=False),
    Column("note", Text, nullable=False),
    Column("source_url", Text, nullable=False),
    Column("runbook_url", Text, nullable=False),
    Column("last_seen", Instant),
    Column("ended_at", Instant),
    Column("ended_by", Text),
    Column("asked_by", Text),
    Column("acknowledged_by", Text),
    Column("acknowledged_at", Instant),
    Column("acknowledged_via", Text, nullable=False, server_default=""),
    Column("first_round", Integer, nullable=False, server_default="1"),
    Column("rings", Integer, nullable=False, server_default="0"),
    Column("outbreaks", Integer, nullable=False, server_default="1"),
    Column("token", Text, nullable=False, server_default=""),
    Column("labels", Json, nullable=False, server_default="{}"),
    Column("storm", BigInteger),
    Column("within", Text, nullable=False, server_default=""),
)
incident_open = incident.c.state != said(IncidentState.RESOLVED)
# One open incident per key is the database's promise.
Index(
    "incident_open",
    incident.c.source,
    incident.c.group_key,
    incident.c.route,
    unique=True,
    sqlite_where=incident_open,
    postgresql_where=incident_open,
)
_ended = incident.c.ended_at.is_not(None)
Index(
    "incident_ended",
    incident.c.source,
    incident.c.group_key,
    incident.c.ended_at,
    sqlite_where=_ended,
    postgresql_where=_ended,
)
Index("incident_open_newest", incident.c.id, sqlite_where=incident_open, postgresql_where=incident_open)
Index("incident_opened", incident.c.opened_at)
_in_storm = incident.c.storm.is_not(None)
Index("incident_storm", incident.c.storm, incident.c.opened_at, sqlite_where=_in_storm, postgresql_where=_in_storm)

alert = Table(
    "alert",
    metadata,
    Column("incident_id", BigInteger, nullable=False),  # 0: a resolve that came without its firing
    Column("source", Text, nullable=False),
    Column("group_key", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("starts_at", Instant, nullable=False),
    Column("status", Word(AlertStatus), nullable=False),
    Column("name", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("fact", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("last_seen", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("receipt", BigInteger, nullable=False),
    Column("by_hand", Boolean, nullable=False, server_default=false()),
    Column("which", Json, nullable=False, server_default="{}"),
    Column("told", Json, nullable=False, server_default="{}"),
    PrimaryKeyConstraint("source", "group_key", "fingerprint", "incident_id"),
)

notification = Table(
    "notification",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("target", Text, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("state", Word(State), nullable=False),
    Column("priority", Rank, nullable=False),
    Column("incident_id", BigInteger, ForeignKey("incident.id")),
    Column("round", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("person", Text),
    Column("number", E164),
    Column("text", Text),
    Column("alphabet", Text),
    Column("segments", Integer),
    Column("sender_id", Text),
    Column("validity", Integer),
    Column("flash", Boolean, nullable=False),
    Column("shorten_links", Boolean, nullable=False),
    Column("gateway_defer", Instant),
    Column("expires_at", Instant),
    Column("asked_by", Text),
    Column("chat", Text),
    Column("cause", Text),
    Column("attempt", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("reference", Text),
    Column("lease_until", Instant),
    Column("claimed_at", Instant),
    Column("lost_at", Instant),
    Column("looks", Integer, nullable=False),
    Column("next_look_at", Instant),
    Column("asked_at", Instant),
    Column("resent", Boolean, nullable=False),
    Column("submitted_at", Instant),
    Column("message_id", Text),
    Column("campaign_id", Text),
    Column("moderated", Boolean, nullable=False),
    Column("gateway_status", Text),
    Column("status_at", Instant),
    Column("unlisted", Integer, nullable=False),
    Column("next_poll_at", Instant),
    Column("ended_at", Instant),
    Column("reason", Text),
    Column("cost", Text),
    Column("currency", Text),
    Column("purpose", Word(Purpose), nullable=False, server_default=Purpose.PAGE.value),
    Column("wait", Span, nullable=False, server_default="0"),
    Column("deliver_within", Span),
    Column("link_token", Text),
    Column("carried_by", BigInteger),
    Column("held", Word(Held)),
    Column("next_price_at", Instant),
)
planned = notification.c.state == said(State.PLANNED)
sending = notification.c.state == said(State.SENDING)
uncertain = notification.c.state == said(State.UNCERTAIN)
submitted = notification.c.state == said(State.SUBMITTED)
not_final = notification.c.state.in_([said(state) for state in State if not state.is_final])
_page = notification.c.incident_id.is_not(None)
_claimed = notification.c.claimed_at.is_not(None)
_numbered = notification.c.number.is_not(None)
_named = notification.c.message_id.is_not(None)
Index(
    "notification_claimable",
    notification.c.priority,
    notification.c.due_at,
    notification.c.id,
    sqlite_where=planned,
    postgresql_where=planned,
)
Index("notification_due", notification.c.due_at, sqlite_where=planned, postgresql_where=planned)
Index("notification_leased", notification.c.lease_until, sqlite_where=sending, postgresql_where=sending)
Index("notification_looks", notification.c.next_look_at, sqlite_where=uncertain, postgresql_where=uncertain)
Index("notification_polls", notification.c.next_poll_at, sqlite_where=submitted, postgresql_where=submitted)
Index("notification_not_final", notification.c.state, sqlite_where=not_final, postgresql_where=not_final)
Index(
    "notification_plan",
    notification.c.incident_id,
    notification.c.round,
    notification.c.step,
    sqlite_where=_page,
    postgresql_where=_page,
)
# All that the limits ask of a row, so that an hour of them is added up from the index alone.
Index(
    "notification_claimed",
    notification.c.claimed_at,
    notification.c.state,
    notification.c.number,
    notification.c.segments,
    sqlite_where=_claimed,
    postgresql_where=_claimed,
)
# All that the limits of one phone ask.
Index(
    "notification_number",
    notification.c.number,
    notification.c.claimed_at,
    notification.c.segments,
    sqlite_where=_numbered,
    postgresql_where=_numbered,
)
Index("notification_cause", notification.c.cause, unique=True)
unpriced = notification.c.next_price_at.is_not(None)
Index("notification_prices", notification.c.next_price_at, sqlite_where=unpriced, postgresql_where=unpriced)
_linked = notification.c.link_token.is_not(None)
Index("notification_link", notification.c.link_token, unique=True, sqlite_where=_linked, postgresql_where=_linked)
_carried = notification.c.carried_by.is_not(None)
Index("notification_carried", notification.c.carried_by, sqlite_where=_carried, postgresql_where=_carried)
# A message id that we know is never adopted twice.
Index("notification_message", notification.c.message_id, unique=True, sqlite_where=_named, postgresql_where=_named)

# What was reserved, added up by quarters of an hour: a month of a hundred thousand SMS is a sum of a few rows.
# The database keeps it by its triggers, so that no way of changing a notification can be left out. Of another scope
# than a phone's, whose sums would keep a number for ever.
spending = Table(
    "spending",
    metadata,
    Column("scope", Word(Scope), nullable=False),
    Column("subject", Text, nullable=False),  # a route, or who asked; empty for the house
    Column("slot", BigInteger, nullable=False),
    Column("segments", BigInteger, nullable=False),
    PrimaryKeyConstraint("scope", "subject", "slot"),
    sqlite_with_rowid=False,
)
SLOT = timedelta(minutes=15)
"""Its slots are numbered since 1970 UTC, and every zone begins its months with one."""
TRIGGERS = {
    "spending_of_new": "6a8fa54f21f33ee0081c52c2261f9988df69cf6fb5d730ec343b8ae1ba329c03",
    "spending_of_changed": "7b474ef02f71860c18f4bd48c238b1f9cc4bb27156c8ce23d8e1d25c33faabc3",
}
"""The sha256 of each, as the migrations write it: a damaged one would add up something else."""

question = Table(
    "question",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("telegram_id", BigInteger, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("number", E164, nullable=False),
    Column("target", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("alphabet", Text, nullable=False),
    Column("segments", Integer, nullable=False),
    Column("token", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("chat", Text),
    Column("cause", Text),
    Column("why", Text, nullable=False),
    Column("sender_id", Text),
    Column("options", Json, nullable=False),
    Column("answer", Text),
)
Index("question_cause", question.c.cause, unique=True)

card = Table(
    "card",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", Word(CardKind), nullable=False),
    Column("subject", BigInteger, nullable=False),
    Column("chat_id", BigInteger, nullable=False),
    Column("topic", BigInteger),
    Column("wanted", Integer, nullable=False),
    Column("shown", Integer, nullable=False),
    Column("message_id", BigInteger),
    Column("reply_to", BigInteger),
    Column("ring", Boolean, nullable=False),
    Column("urgent", Boolean, nullable=False),
    Column("changed_at", Instant),
    Column("shown_at", Instant),
    Column("retry_at", Instant),
    Column("closed", Text),
    Column("text", Text, nullable=False),
)
card_single = card.c.kind.not_in([said(CardKind.NOTE), said(CardKind.RING)])
card_behind = card.c.closed.is_(None) & (card.c.shown < card.c.wanted)
_posted = card.c.message_id.is_not(None)
Index(
    "card_single",
    card.c.kind,
    card.c.subject,
    card.c.chat_id,
    unique=True,
    sqlite_where=card_single,
    postgresql_where=card_single,
)
Index("card_subject", card.c.kind, card.c.subject)
Index("card_behind", card.c.id, sqlite_where=card_behind, postgresql_where=card_behind)
Index("card_message", card.c.chat_id, card.c.message_id, sqlite_where=_posted, postgresql_where=_posted)

trouble = Table(
    "trouble",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("began_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("count", Integer, nullable=False),
    Column("over_at", Instant),
    Column("texted_at", Instant),
)
trouble_open = trouble.c.over_at.is_(None)
Index(
    "trouble_open",
    trouble.c.kind,
    trouble.c.subject,
    unique=True,
    sqlite_where=trouble_open,
    postgresql_where=trouble_open,
)

timeline = Table(
    "timeline",
    metadata,
    Column("id", Id, primary_key=True),
    Column("subject", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
    Column("what", Text, nullable=False),
    Column("who", Text, nullable=False),
)
Index("timeline_subject", timeline.c.subject)

# A handled update stays without its body: Telegram may bring it again.
telegram_update = Table(
    "telegram_update",
    metadata,
    Column("bot_id", BigInteger, primary_key=True, autoincrement=False),
    Column("update_id", BigInteger, primary_key=True, autoincrement=False),
    Column("received_at", Instant, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("outcome", Text),
    Column("done_at", Instant),
)
update_waiting = telegram_update.c.done_at.is_(None)
Index(
    "telegram_update_waiting",
    telegram_update.c.received_at,
    telegram_update.c.update_id,
    sqlite_where=update_waiting,
    postgresql_where=update_waiting,
)

timer = Table(
    "timer",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("due_at", Instant, nullable=False),
)
Index("timer_due", timer.c.due_at)

silence = Table(
    "silence",
    metadata,
    Column("incident_id", Id, primary_key=True, autoincrement=False),
    Column("state", Word(SilenceState), nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("reference", Text, nullable=False),
    Column("next_at", Instant),
    Column("source_id", Text),
    Column("undone_by", Text),
    Column("failures", Integer, nullable=False),
    Column("problem", Text, nullable=False),
    Column("gone_since", Instant),
)
silence_goes_on = silence.c.next_at.is_not(None)
Index("silence_due", silence.c.next_at, sqlite_where=silence_goes_on, postgresql_where=silence_goes_on)

# What one segment cost last, by country.
price = Table(
    "price",
    metadata,
    Column("country", Text, primary_key=True),
    Column("amount", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("seen_at", Instant, nullable=False),
)
