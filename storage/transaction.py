"""The verbs of one transaction: values in, values out, on a connection that somebody else begins and commits."""

import hashlib
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import accumulate, chain, groupby
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

from sqlalchemy import Table

from bridge.domain.costs import Amount, Spending
from bridge.domain.incident import AlertRecord, Incident, IncidentState
from bridge.domain.notification import Notification, State
from bridge.domain.silence import Silence
from bridge.domain.throttle import Scope, Spent
from bridge.ports import (
    Card,
    CardKind,
    Place,
    Question,
    Receipt,
    ReceiptState,
    TelegramUpdate,
    TimelineEntry,
    Timer,
    Trouble,
)
from storage import statements as sql
from storage import tables
from storage.prepared import Row, Sqlite, Statement
from storage.tables import as_json, microseconds

T = TypeVar("T")

_SAME_DEAD_LETTER = timedelta(hours=1)
_STORED = ReceiptState.STORED.value
_SLOT = tables.SLOT // timedelta(microseconds=1)
_AT_ONCE = 32  # receipts in one statement; SQLite keeps each length prepared


class SqlTransaction:
    """ports.Transaction on SQLite. `wakes` gathers the ticks that the commit should start.

    Receipts are gathered too, under the numbers they will have; whatever else is asked of the database, and the
    commit by calling `finish`, writes them first.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._sqlite = Sqlite(connection)
        self.connection = connection
        self.wakes: set[str] = set()
        self._kept: list[tuple[Any, ...]] = []

    def finish(self) -> None:
        """Write what is gathered: a commit is next."""
        for start in range(0, len(self._kept), _AT_ONCE):
            rows = self._kept[start : start + _AT_ONCE]
            self.connection.execute(sql.add_receipts(len(rows)), tuple(chain.from_iterable(rows)))
        self._kept.clear()

    @property
    def _db(self) -> Sqlite:
        if self._kept:
            self.finish()
        return self._sqlite

    def wake(self, *ticks: str) -> None:
        self.wakes.update(ticks)

    def numbers(self, count: int) -> range:
        ((after,),) = self._db.rows(sql.take_numbers, count=count)
        return range(after - count, after)

    def meta(self, key: str) -> str | None:
        found = self._db.row(sql.meta_value, key=key)
        return found[0] if found else None

    def set_meta(self, key: str, value: str) -> None:
        self._db.run(sql.set_meta, key=key, value=value)

    # receipts

    def keep_receipt(
        self, source: str, route: str | None, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> int:
        # Nobody else writes, so the next numbers are ours.
        newest = self._kept[-1][0] if self._kept else self._db.rows(sql.newest_receipt)[0][0] or 0
        self._kept.append((newest + 1, source, microseconds(now), body, route, as_json(headers), _STORED, None, "{}"))
        return int(newest + 1)

    def keep_dead_letter(self, source: str, body: bytes, why: str, now: datetime) -> int | None:
        digest = hashlib.sha256(body).hexdigest()
        since = now - _SAME_DEAD_LETTER
        if self._db.row(sql.same_dead_letter, source=source, identity=digest, since=since):
            return None
        cells: Row = source, now, body, None, {}, ReceiptState.DEAD, digest, {"problem": why}
        return self._db.run(sql.add_receipt, **dict(zip(_RECEIPT, cells, strict=True))).lastrowid

    def receipts_waiting(self, limit: int) -> list[Receipt]:
        newest_half = limit // 2
        oldest_half = limit - newest_half
        oldest = self._all(Receipt, sql.oldest_waiting, limit=oldest_half)
        if len(oldest) < oldest_half:
            return oldest
        newest = self._all(Receipt, sql.newest_waiting, after=oldest[-1].id, limit=newest_half)
        return oldest + newest[::-1]

    def receipt_waits(self, source: str) -> bool:
        return self._db.row(sql.receipt_waits, of_source=source) is not None

    def save_receipts(self, receipts: Iterable[Receipt]) -> None:
        names = ("row_id", "state", "identity", "result")
        self._db.many(sql.save_receipts, names, ((r.id, r.state, r.identity, r.result) for r in receipts))

    def receipt(self, receipt_id: int) -> Receipt | None:
        return self._first(Receipt, sql.receipt_by_id, row_id=receipt_id)

    def receipts(self, since: datetime, limit: int) -> list[Receipt]:
        return self._all(Receipt, sql.receipts_since, since=since, limit=limit)

    def last_seen(self, source: str, identities: Collection[str]) -> dict[str, datetime]:
        return dict(self._db.rows(sql.last_seen, source=source, identities=identities))

    # incidents

    def open_incidents(self, groups: Collection[tuple[str, str]]) -> list[Incident]:
        return [
            found
            for source, keys in _by_source(groups)
            for found in self._all(Incident, sql.open_incidents, of_source=source, group_keys=keys)
        ]

    def ended_incidents(self, groups: Collection[tuple[str, str]], after: datetime) -> list[Incident]:
        return [
            found
            for source, keys in _by_source(groups)
            for found in self._all(Incident, sql.ended_incidents, of_source=source, group_keys=keys, after=after)
        ]

    def alert_records(self, groups: Collection[tuple[str, str]], ended_after: datetime) -> list[AlertRecord]:
        asked = {"ended_after": ended_after}
        return [
            found
            for source, keys in _by_source(groups)
            for found in self._all(AlertRecord, sql.alert_records, of_source=source, group_keys=keys, **asked)
        ]

    def save_alerts(self, records: Iterable[AlertRecord]) -> None:
        self._db.many(sql.save_alerts, _ALERT.names, map(_ALERT.cells, records))

    def add_incidents(self, incidents: Iterable[Incident]) -> None:
        self._db.many(sql.add_incidents, _INCIDENT.names, map(_INCIDENT.cells, incidents))

    def save_incidents(self, incidents: Iterable[Incident]) -> None:
        names = (*_INCIDENT.names, "row_id")
        self._db.many(sql.save_incidents, names, ((*_INCIDENT.cells(incident), incident.id) for incident in incidents))

    def touch_incidents(self, incidents: Iterable[Incident]) -> None:
        names = ("row_id", "last_seen")
        self._db.many(sql.touch_incidents, names, ((incident.id, incident.last_seen) for incident in incidents))

    def incident(self, incident_id: int) -> Incident | None:
        return self.incidents_by_id([incident_id]).get(incident_id)

    def incidents_by_id(self, incident_ids: Collection[int]) -> dict[int, Incident]:
        return {found.id: found for found in self._all(Incident, sql.incidents_by_id, ids=incident_ids)}

    def incidents(
        self,
        *,
        open_only: bool = True,
        since: datetime | None = None,
        chat: str | None = None,
        limit: int = 100,
    ) -> list[Incident]:
        wanted = sql.incidents(open_only=open_only, since=since, chat=chat, limit=limit)
        return self._all(Incident, wanted)

    def opened_alone(self, route: str, after: datetime) -> list[Incident]:
        return self._all(Incident, sql.opened_alone, on_route=route, after=after)

    def members(self, storm_id: int, limit: int = 10**9) -> list[int]:
        return [number for (number,) in self._db.rows(sql.members, of_storm=storm_id, limit=limit)]

    def members_about(self, storm_id: int, at: datetime) -> tuple[int, int]:
        ((then, since),) = self._db.rows(sql.members_about, of_storm=storm_id, at=at)
        return then or 0, since or 0

    def alerts_in_storm(self, storm_id: int) -> list[AlertRecord]:
        return self._all(AlertRecord, sql.alerts_in_storm, of_storm=storm_id)

    def take_members(self, storm: Incident, was_taken_at: datetime | None, reason: str, now: datetime) -> None:
        self._db.run(
            sql.take_members,
            of_storm=storm.id,
            was=was_taken_at,
            by=storm.acknowledged_by,
            at=storm.acknowledged_at,
            via=storm.acknowledged_via,
        )
        self._db.run(sql.cancel_members, of_storm=storm.id, at=storm.acknowledged_at, why=reason, now=now)
        self._db.run(sql.bump_members, of_storm=storm.id, now=now)

    def free_members(self, storm_id: int, taken_at: datetime, now: datetime) -> None:
        self._db.run(sql.free_members, of_storm=storm_id, at=taken_at)
        self._db.run(sql.bump_members, of_storm=storm_id, now=now)

    def empty_storm(self, storm_id: int) -> None:
        self._db.run(sql.empty_storm, of_storm=storm_id)

    def incident_counts(self) -> dict[IncidentState, int]:
        counted: dict[IncidentState, int] = dict(self._db.rows(sql.incident_counts))
        return {state: counted.get(state, 0) for state in IncidentState if state is not IncidentState.RESOLVED}

    def silence(self, incident_id: int) -> Silence | None:
        return next(iter(self.silences_of([incident_id])), None)

    def silences_of(self, incident_ids: Collection[int]) -> list[Silence]:
        return self._all(Silence, sql.silences_of, incident_ids=incident_ids)

    def save_silence(self, silence: Silence) -> None:
        self._db.many(sql.save_silence, _SILENCE.names, [_SILENCE.cells(silence)])

    def silences_due(self, now: datetime, limit: int) -> list[Silence]:
        return self._all(Silence, sql.silences_due, now=now, limit=limit)

    # the outbox

    def add_notifications(self, notifications: Iterable[Notification]) -> None:
        self._db.many(sql.add_notifications, _NOTIFICATION.names, map(_NOTIFICATION.cells, notifications))

    def notification(self, notification_id: int) -> Notification | None:
        return self.notifications_by_id([notification_id]).get(notification_id)

    def notification_by_cause(self, cause: str) -> Notification | None:
        return self._first(Notification, sql.notification_by_cause, cause=cause)

    def notification_by_link(self, token: str) -> Notification | None:
        return self._first(Notification, sql.notification_by_link, token=token)

    def notifications_by_id(self, ids: Collection[int]) -> dict[int, Notification]:
        return {found.id: found for found in self._all(Notification, sql.notifications_by_id, ids=ids)}

    def notifications_of(self, incident_ids: Collection[int]) -> list[Notification]:
        return self._all(Notification, sql.notifications_of, incident_ids=incident_ids)

    def find_notifications(
        self,
        *,
        state: State | None = None,
        target: str | None = None,
        number: str | None = None,
        chat: str | None = None,
        asked_by: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[Notification]:
        wanted = sql.find_notifications(
            state=state, target=target, number=number, chat=chat, asked_by=asked_by, before=before, limit=limit
        )
        return self._all(Notification, wanted)

    def claimable(self, now: datetime, limit: int) -> list[Notification]:
        return self._all(Notification, sql.claimable, now=now, limit=limit)

    def waiting(self, limit: int) -> list[Notification]:
        return self._all(Notification, sql.waiting, limit=limit)

    def carried_by(self, notification_id: int) -> list[Notification]:
        return self._all(Notification, sql.carried_by, carrier=notification_id)

    def paged_lately(self, after: datetime) -> list[tuple[str, str, int, datetime]]:
        return [(number.e164, *rest) for number, *rest in self._db.rows(sql.paged_lately, after=after)]

    def save_notification(self, changed: Notification, was: Notification) -> bool:
        names, cells = _moved(changed, was)
        return self._db.many(sql.save_notification, names, [cells]) == 1

    def save_notifications(self, pairs: Sequence[tuple[Notification, Notification]]) -> list[bool]:
        standing = self._db.rows(sql.fences, ids=[was.id for _, was in pairs])
        fences = {row_id: (state, attempt) for row_id, state, attempt in standing}
        saved: list[bool] = []
        for changed, was in pairs:
            ours = fences.get(was.id) == (was.state, was.attempt)
            if ours:  # a second change of the same row, further down, starts from this one
                fences[was.id] = (changed.state, changed.attempt)
            saved.append(ours)
        moved = [_moved(*pair) for pair, ours in zip(pairs, saved, strict=True) if ours]
        for names, alike in groupby(moved, key=itemgetter(0)):  # in this order: one row may be moved twice
            self._db.many(sql.save_notification, names, (cells for _, cells in alike))
        return saved

    def cancel_planned(self, incident_ids: Collection[int], reason: str, now: datetime) -> int:
        return self._db.run(sql.cancel_planned, incident_ids=incident_ids, why=reason, now=now).rowcount

    def leases_over(self, now: datetime) -> list[Notification]:
        return self._all(Notification, sql.leases_over, now=now)

    def sending(self) -> list[Notification]:
        return self._all(Notification, sql.all_sending)

    def polls_due(self, now: datetime, limit: int) -> list[Notification]:
        return self._all(Notification, sql.polls_due, now=now, limit=limit)

    def looks_due(self, now: datetime, limit: int) -> list[Notification]:
        return self._all(Notification, sql.looks_due, now=now, limit=limit)

    def is_unsettled(self, number: str, text: str, other_than: int) -> bool:
        return self._db.row(sql.unsettled, number=number, text=text, other_than=other_than) is not None

    def in_doubt(self) -> list[str]:
        return [reference for (reference,) in self._db.rows(sql.in_doubt)]

    def poll_now(self, message_ids: Collection[str], now: datetime) -> int:
        return self._db.run(sql.poll_now, message_ids=message_ids, now=now).rowcount

    def by_message_id(self, message_ids: Collection[str]) -> dict[str, Notification]:
        known = self._all(Notification, sql.by_message_id, message_ids=message_ids)
        return {found.message_id: found for found in known if found.message_id}

    def spent(self, since: datetime) -> list[Spent]:
        return [Spent(number.e164, at, segments) for number, at, segments in self._db.rows(sql.spent, since=since)]

    def reserved(self, scope: Scope, subject: str, since: datetime) -> int:
        if scope is Scope.PHONE:
            return self._reserved_between(scope, subject, since, _EVER)
        slot, begins = _next_slot(since)
        summed = self._sum(sql.spent_in_slots, of_scope=scope, of_subject=subject, first=slot)
        return summed + self._reserved_between(scope, subject, since, begins)

    def _reserved_between(self, scope: Scope, subject: str, since: datetime, until: datetime) -> int:
        if since == until:
            return 0
        return self._sum(sql.reserved[scope], **_of(scope, subject), since=since, until=until)

    def reached(self, scope: Scope, subject: str, since: datetime, segments: int) -> datetime:
        if scope is Scope.PHONE:
            return self._reached_between(scope, subject, since, _EVER, segments)
        slot, begins = _next_slot(since)
        missing = segments - self._reserved_between(scope, subject, since, begins)
        if missing <= 0:
            return self._reached_between(scope, subject, since, begins, segments)
        for number, summed in self._db.rows(sql.slots, of_scope=scope, of_subject=subject, first=slot):
            if missing <= summed:
                begins, ends = _slot_begins(number), _slot_begins(number + 1)
                return self._reached_between(scope, subject, begins, ends, missing)
            missing -= summed
        raise LookupError(f"{segments} segments were not reserved since {since}")

    def _reached_between(self, scope: Scope, subject: str, since: datetime, until: datetime, segments: int) -> datetime:
        found = self._db.rows(sql.reserved_in[scope], **_of(scope, subject), since=since, until=until)
        sums = accumulate(added for _, added in found)
        for (at, _), summed in zip(found, sums, strict=True):
            if summed >= segments:
                return at  # type: ignore[no-any-return]
        raise LookupError(f"{segments} segments were not reserved from {since} to {until}")

    def reserved_by_news(self, number: str, since: datetime) -> int:
        return self._sum(sql.reserved_by_news, number=number, since=since)

    def last_normal_page(self, number: str, since: datetime) -> datetime | None:
        ((last,),) = self._db.rows(sql.last_normal_page, number=number, since=since)
        return last  # type: ignore[no-any-return]

    def _sum(self, statement: Statement, **values: Any) -> int:
        ((added,),) = self._db.rows(statement, **values)
        return added or 0

    def release_held(self, now: datetime) -> int:
        return self._db.run(sql.release_held, now=now).rowcount

    def was_sent_to(self, number: str, chat: str | None) -> bool:
        return self._db.row(sql.was_sent_to, number=number, chat=chat) is not None

    def outbox_counts(self) -> dict[State, int]:
        counted: dict[State, int] = dict(self._db.rows(sql.outbox_counts))
        return {state: counted.get(state, 0) for state in State if not state.is_final}

    def oldest_due(self, now: datetime) -> datetime | None:
        ((oldest,),) = self._db.rows(sql.oldest_due, now=now)
        return oldest  # type: ignore[no-any-return]

    # what it costs

    def prices(self) -> dict[str, Amount]:
        return {country: Amount(Decimal(value), currency) for country, value, currency in self._db.rows(sql.prices)}

    def save_price(self, country: str, price: Amount, at: datetime) -> None:
        self._db.run(sql.save_price, country=country, amount=str(price.value), currency=price.currency, seen_at=at)

    def prices_due(self, now: datetime, limit: int) -> list[Notification]:
        return self._all(Notification, sql.prices_due, now=now, limit=limit)

    def put_off_prices(self, until: datetime) -> None:
        self._db.run(sql.put_off_prices, until=until)

    def spendings(
        self, since: datetime, until: datetime, *, chat: str | None = None, asked_by: str | None = None
    ) -> list[Spending]:
        found = self._db.rows(sql.spendings(since=since, until=until, chat=chat, asked_by=asked_by))
        return [_spending(*row) for row in found]

    def first_sent(self) -> datetime | None:
        row = self._db.row(sql.first_sent)
        return row[0] if row else None

    # questions

    def add_question(self, question: Question) -> None:
        self._db.many(sql.add_question, _QUESTION.names, [_QUESTION.cells(question)])

    def question(self, question_id: int) -> Question | None:
        return self._first(Question, sql.question_by_id, row_id=question_id)

    def question_by_cause(self, cause: str) -> Question | None:
        return self._first(Question, sql.question_by_cause, cause=cause)

    def answer_question(self, question_id: int, answer: str) -> bool:
        return self._db.run(sql.answer_question, row_id=question_id, said=answer).rowcount == 1

    # cards and troubles

    def add_card(self, card: Card) -> None:
        self.add_cards([card])

    def add_cards(self, cards: Iterable[Card]) -> None:
        self._db.many(sql.add_card, _CARD, map(_card_cells, cards))

    def bump_cards(self, kind: CardKind, subjects: Collection[int], now: datetime, *, urgent: bool = False) -> None:
        self._db.run(sql.bump_cards, card_kind=kind, subjects=subjects, now=now, at_once=urgent)

    def cards_behind(self, now: datetime, limit: int, leave_out: Collection[int] = ()) -> list[Card]:
        # No chat is 0; an empty list would become a subquery.
        return self._all(_card, sql.cards_behind, now=now, limit=limit, leave_out=[0, *leave_out])

    def save_card(self, card: Card) -> None:
        self._db.run(
            sql.save_card,
            row_id=card.id,
            at_least=card.wanted,
            chat_id=card.place.chat_id,
            topic=card.place.topic,
            shown=card.shown,
            message_id=card.message_id,
            shown_at=card.shown_at,
            retry_at=card.retry_at,
            closed=card.closed,
        )

    def cards_of(self, kind: CardKind, subject: int) -> list[Card]:
        return self._all(_card, sql.cards_of, card_kind=kind, card_subject=subject)

    def card_at(self, place_chat_id: int, message_id: int) -> Card | None:
        return self._first(_card, sql.card_at, at_chat=place_chat_id, at_message=message_id)

    def move_chat(self, old_chat_id: int, new_chat_id: int) -> None:
        self._db.run(sql.move_chat, old=old_chat_id, new=new_chat_id)

    def open_trouble(self, kind: str, subject: str) -> Trouble | None:
        return self._first(Trouble, sql.open_trouble, of_kind=kind, of_subject=subject)

    def open_troubles(self) -> list[Trouble]:
        return self._all(Trouble, sql.open_troubles)

    def add_trouble(self, kind: str, subject: str, text: str, now: datetime) -> Trouble:
        # The database gives the id.
        row_id = self._db.run(
            sql.add_trouble, kind=kind, subject=subject, text=text, began_at=now, seen_at=now, count=1
        ).lastrowid
        assert row_id is not None
        return Trouble(row_id, kind, subject, text, began_at=now, seen_at=now)

    def save_trouble(self, trouble: Trouble) -> None:
        self._db.many(sql.save_trouble, (*_TROUBLE.names, "row_id"), [(*_TROUBLE.cells(trouble), trouble.id)])

    def trouble(self, trouble_id: int) -> Trouble | None:
        return self._first(Trouble, sql.trouble_by_id, row_id=trouble_id)

    def add_timeline(self, entries: Iterable[TimelineEntry]) -> None:
        names = ("subject", "at", "what", "who")
        self._db.many(sql.add_timeline, names, ((e.subject, e.at, e.what, e.who) for e in entries))

    def timeline(self, subject: int) -> list[TimelineEntry]:
        return self._all(TimelineEntry, sql.timeline_of, of_subject=subject)

    # Telegram

    def keep_updates(self, updates: Iterable[TelegramUpdate]) -> int:
        names = ("bot_id", "update_id", "received_at", "body")
        rows = ((u.bot_id, u.update_id, u.received_at, u.body) for u in updates)
        return self._db.many(sql.keep_updates, names, rows)

    def updates_waiting(self, limit: int) -> list[TelegramUpdate]:
        return self._all(TelegramUpdate, sql.updates_waiting, limit=limit)

    def do_update(self, bot_id: int, update_id: int) -> None:
        self._db.run(sql.do_update, bot=bot_id, number=update_id)

    def is_update_done(self, bot_id: int, update_id: int) -> bool:
        return bool(self._db.rows(sql.is_update_done, bot=bot_id, number=update_id))

    def finish_update(self, bot_id: int, update_id: int, outcome: str, now: datetime) -> bool:
        done = self._db.run(sql.finish_update, bot=bot_id, number=update_id, became=outcome, now=now)
        return done.rowcount == 1

    def forget(self, before: datetime, now: datetime, limit: int) -> int:
        times = {"before": before, "week_ago": now - timedelta(days=7), "day_ago": now - timedelta(days=1)}
        gone = 0
        for statement in sql.forget:
            wanted = statement.compile().params.keys()
            given = {"limit": limit, **times}
            gone += self._db.run(statement, **{name: given[name] for name in wanted if name in given}).rowcount
        return gone

    # timers

    def set_timer(self, timer: Timer) -> None:
        self._db.run(sql.set_timer, kind=timer.kind, subject=timer.subject, due_at=timer.due_at)

    def drop_timer(self, kind: str, subject: str, due_at: datetime | None = None) -> bool:
        return self._db.run(sql.drop_timer, of_kind=kind, of_subject=subject, seen=due_at).rowcount == 1

    def timer(self, kind: str, subject: str) -> Timer | None:
        return self._first(Timer, sql.timer_of, of_kind=kind, of_subject=subject)

    def timers_due(self, now: datetime, limit: int) -> list[Timer]:
        return self._all(Timer, sql.timers_due, now=now, limit=limit)

    def move_waits(self, by: timedelta, claimed_after: datetime) -> None:
        for statement in sql.move_waits:
            self._db.run(statement, by=by // timedelta(microseconds=1), claimed_after=claimed_after)

    def next_due(self) -> dict[str, datetime]:
        ((planned, leased, finder, tracker, reporter, timers, silences, pricer),) = self._db.rows(sql.next_due)
        sender = min((at for at in (planned, leased) if at), default=None)
        due = {"sender": sender, "finder": finder, "tracker": tracker, "reporter": reporter, "timers": timers}
        due |= {"silences": silences, "pricer": pricer}
        return {tick: at for tick, at in due.items() if at}

    def _all(self, make: Callable[..., T], statement: Statement, **values: Any) -> list[T]:
        return [make(*row) for row in self._db.rows(statement, **values)]

    def _first(self, make: Callable[..., T], statement: Statement, **values: Any) -> T | None:
        row = self._db.row(statement, **values)
        return make(*row) if row else None


_EVER = datetime.max.replace(tzinfo=UTC)


def _of(scope: Scope, subject: str) -> dict[str, str]:
    """What a statement about this scope is given; the house has no name."""
    return {} if scope is Scope.HOUSE else {"of_subject": subject}


def _next_slot(since: datetime) -> tuple[int, datetime]:
    """The first slot of `spending` that lies whole at or after this moment, and when it begins."""
    slot = -(-microseconds(since) // _SLOT)
    return slot, _slot_begins(slot)


def _slot_begins(slot: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + slot * tables.SLOT


class _Shape:
    """How a value lies in its table: a column for every field."""

    def __init__(self, table: Table) -> None:
        self.names = tuple(column.name for column in table.c)
        self.cells: Callable[[Any], Row] = attrgetter(*self.names)


_ALERT = _Shape(tables.alert)
_INCIDENT = _Shape(tables.incident)
_NOTIFICATION = _Shape(tables.notification)
_QUESTION = _Shape(tables.question)
_SILENCE = _Shape(tables.silence)
_TROUBLE = _Shape(tables.trouble)
_RECEIPT = tuple(column.name for column in tables.receipt.c)[1:]  # the database gives the id
_CARD = tuple(column.name for column in tables.card.c)[1:]
_CARD_FIELDS = attrgetter(*(field.name for field in fields(Card)))


def _moved(changed: Notification, was: Notification) -> tuple[tuple[str, ...], Row]:
    """The columns to set and their values: only what changed, for each index on any other is left alone then."""
    new, old = _NOTIFICATION.cells(changed), _NOTIFICATION.cells(was)
    names = [name for name, a, b in zip(_NOTIFICATION.names, new, old, strict=True) if a is not b and a != b]
    cells = [a for a, b in zip(new, old, strict=True) if a is not b and a != b]
    if not names:  # nothing to write, but whose row it is has to be told
        names, cells = ["state"], [changed.state]
    return (*names, "row_id", "was_state", "was_attempt"), (*cells, was.id, was.state, was.attempt)


def _spending(
    row_id: int, message_id: str, at: datetime, segments: int | None, state: State, incident_id: int | None, *rest: Any
) -> Spending:
    route, title, person, asked_by, number, cost, currency = rest
    amount = Amount(Decimal(cost), currency or "") if cost is not None else None
    who = route, title, person, asked_by, number
    return Spending(row_id, message_id, at, segments or 1, state, incident_id, *who, amount)


def _by_source(groups: Collection[tuple[str, str]]) -> Iterable[tuple[str, list[str]]]:
    keys: dict[str, list[str]] = {}
    for source, group_key in groups:
        keys.setdefault(source, []).append(group_key)
    return keys.items()


def _card_cells(card: Card) -> Row:
    _, kind, subject, place, *rest = _CARD_FIELDS(card)
    return (kind, subject, place.chat_id, place.topic, *rest)


def _card(id_: int, kind: CardKind, subject: int, chat_id: int, topic: int | None, *rest: Any) -> Card:
    return Card(id_, kind, subject, Place(chat_id, topic), *rest)
