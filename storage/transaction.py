"""The verbs of one transaction: values in, values out, on a connection that somebody else begins and commits."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Executable, Table

from bridge.domain.incident import AlertRecord, Incident
from bridge.domain.notification import Notification, State
from bridge.domain.throttle import Spent
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
from storage.tables import as_json, microseconds

T = TypeVar("T")
Rows = CursorResult[*tuple[Any, ...]]

_SAME_DEAD_LETTER = timedelta(hours=1)
_STORED = ReceiptState.STORED.value
_AT_ONCE = 32  # receipts in one statement; SQLite keeps each length prepared


class SqlTransaction:
    """ports.Transaction on SQLAlchemy Core. `wakes` gathers the ticks that the commit should start.

    Receipts are gathered too, under the numbers they will have; whatever else is asked of the database, and the
    commit by calling `finish`, writes them first.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.wakes: set[str] = set()
        self._kept: list[tuple[Any, ...]] = []

    def finish(self) -> None:
        """Write what is gathered: a commit is next."""
        for start in range(0, len(self._kept), _AT_ONCE):
            rows = self._kept[start : start + _AT_ONCE]
            self.connection.exec_driver_sql(sql.add_receipts(len(rows)), tuple(chain.from_iterable(rows)))
        self._kept.clear()

    def wake(self, *ticks: str) -> None:
        self.wakes.update(ticks)

    def numbers(self, count: int) -> range:
        after = self._run(sql.take_numbers, count=count).scalar_one()
        return range(after - count, after)

    def meta(self, key: str) -> str | None:
        return self._run(sql.meta_value, key=key).scalar()

    def set_meta(self, key: str, value: str) -> None:
        self._run(sql.set_meta, key=key, value=value)

    # receipts

    def keep_receipt(
        self, source: str, route: str | None, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> int:
        # Nobody else writes, so the next numbers are ours.
        newest = self._kept[-1][0] if self._kept else self._run(sql.newest_receipt).scalar() or 0
        self._kept.append((newest + 1, source, microseconds(now), body, route, as_json(headers), _STORED, None, "{}"))
        return int(newest + 1)

    def keep_dead_letter(self, source: str, body: bytes, why: str, now: datetime) -> int | None:
        digest = hashlib.sha256(body).hexdigest()
        since = now - _SAME_DEAD_LETTER
        if self._run(sql.same_dead_letter, source=source, identity=digest, since=since).first():
            return None
        values = {
            "source": source,
            "received_at": now,
            "body": body,
            "headers": {},
            "state": ReceiptState.DEAD,
            "identity": digest,
            "result": {"problem": why},
        }
        return self._insert(sql.add_receipt, values)

    def receipts_waiting(self, limit: int) -> list[Receipt]:
        newest_half = limit // 2
        oldest_half = limit - newest_half
        oldest = self._all(Receipt, sql.oldest_waiting, limit=oldest_half)
        if len(oldest) < oldest_half:
            return oldest
        newest = self._all(Receipt, sql.newest_waiting, after=oldest[-1].id, limit=newest_half)
        return oldest + newest[::-1]

    def save_receipts(self, receipts: Iterable[Receipt]) -> None:
        self._run_many(
            sql.save_receipts,
            [{"row_id": r.id, "state": r.state, "identity": r.identity, "result": r.result} for r in receipts],
        )

    def receipt(self, receipt_id: int) -> Receipt | None:
        return self._first(Receipt, sql.receipt_by_id, row_id=receipt_id)

    def receipts(self, since: datetime, limit: int) -> list[Receipt]:
        return self._all(Receipt, sql.receipts_since, since=since, limit=limit)

    def last_seen(self, source: str, identities: Collection[str]) -> dict[str, datetime]:
        found = self._run(sql.last_seen, source=source, identities=list(identities))
        return {row.identity: row.at for row in found}

    # incidents

    def open_incidents(self, groups: Collection[tuple[str, str]]) -> list[Incident]:
        return [
            found
            for source, keys in _by_source(groups)
            for found in self._all(Incident, sql.open_incidents, of_source=source, group_keys=keys)
        ]

    def alert_records(self, groups: Collection[tuple[str, str]], ended_after: datetime) -> list[AlertRecord]:
        asked = {"ended_after": ended_after}
        return [
            found
            for source, keys in _by_source(groups)
            for found in self._all(AlertRecord, sql.alert_records, of_source=source, group_keys=keys, **asked)
        ]

    def save_alerts(self, records: Iterable[AlertRecord]) -> None:
        self._run_many(sql.save_alerts, [_values(tables.alert, record) for record in records])

    def add_incidents(self, incidents: Iterable[Incident]) -> None:
        self._run_many(sql.add_incidents, [_values(tables.incident, incident) for incident in incidents])

    def save_incidents(self, incidents: Iterable[Incident]) -> None:
        self._run_many(
            sql.save_incidents, [_values(tables.incident, incident, row_id=incident.id) for incident in incidents]
        )

    def incident(self, incident_id: int) -> Incident | None:
        return self.incidents_by_id([incident_id]).get(incident_id)

    def incidents_by_id(self, incident_ids: Collection[int]) -> dict[int, Incident]:
        return {found.id: found for found in self._all(Incident, sql.incidents_by_id, ids=list(incident_ids))}

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

    # the outbox

    def add_notifications(self, notifications: Iterable[Notification]) -> None:
        self._run_many(sql.add_notifications, [_values(tables.notification, new) for new in notifications])

    def notification(self, notification_id: int) -> Notification | None:
        return self.notifications_by_id([notification_id]).get(notification_id)

    def notification_by_cause(self, cause: str) -> Notification | None:
        return self._first(Notification, sql.notification_by_cause, cause=cause)

    def notifications_by_id(self, ids: Collection[int]) -> dict[int, Notification]:
        return {found.id: found for found in self._all(Notification, sql.notifications_by_id, ids=list(ids))}

    def notifications_of(self, incident_ids: Collection[int]) -> list[Notification]:
        return self._all(Notification, sql.notifications_of, incident_ids=list(incident_ids))

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

    def save_notification(self, changed: Notification, was: Notification) -> bool:
        return self._run(sql.save_notification, **_moved(changed, was)).rowcount == 1

    def save_notifications(self, pairs: Sequence[tuple[Notification, Notification]]) -> list[bool]:
        rows = self._run(sql.fences, ids=[was.id for _, was in pairs])
        fences = {row_id: (state, attempt) for row_id, state, attempt in rows}
        saved: list[bool] = []
        for changed, was in pairs:
            ours = fences.get(was.id) == (was.state, was.attempt)
            if ours:  # a second change of the same row, further down, starts from this one
                fences[was.id] = (changed.state, changed.attempt)
            saved.append(ours)
        ours_to_move = [_moved(*pair) for pair, ours in zip(pairs, saved, strict=True) if ours]
        self._run_many(sql.save_notification, ours_to_move)
        return saved

    def cancel_planned(self, incident_ids: Collection[int], reason: str, now: datetime) -> int:
        return self._run(sql.cancel_planned, incident_ids=list(incident_ids), why=reason, now=now).rowcount

    def leases_over(self, now: datetime) -> list[Notification]:
        return self._all(Notification, sql.leases_over, now=now)

    def sending(self) -> list[Notification]:
        return self._all(Notification, sql.all_sending)

    def polls_due(self, now: datetime, limit: int) -> list[Notification]:
        return self._all(Notification, sql.polls_due, now=now, limit=limit)

    def looks_due(self, now: datetime, limit: int) -> list[Notification]:
        return self._all(Notification, sql.looks_due, now=now, limit=limit)

    def is_unsettled(self, number: str, text: str, other_than: int) -> bool:
        found = self._run(sql.unsettled, number=number, text=text, other_than=other_than)
        return found.first() is not None

    def poll_now(self, message_ids: Collection[str], now: datetime) -> int:
        return self._run(sql.poll_now, message_ids=list(message_ids), now=now).rowcount

    def by_message_id(self, message_ids: Collection[str]) -> dict[str, Notification]:
        known = self._all(Notification, sql.by_message_id, message_ids=list(message_ids))
        return {found.message_id: found for found in known if found.message_id}

    def spent(self, since: datetime) -> list[Spent]:
        return [Spent(number.e164, at, segments) for number, at, segments in self._run(sql.spent, since=since)]

    def reserved(self, after: datetime) -> dict[str, int]:
        return {number.e164: segments for number, segments in self._run(sql.reserved, after=after)}

    def was_sent_to(self, number: str, chat: str | None) -> bool:
        return self._run(sql.was_sent_to, number=number, chat=chat).first() is not None

    def outbox_counts(self) -> dict[State, int]:
        counted = {row.state: row.rows for row in self._run(sql.outbox_counts)}
        return {state: counted.get(state, 0) for state in State if not state.is_final}

    def oldest_due(self, now: datetime) -> datetime | None:
        oldest: datetime | None = self._run(sql.oldest_due, now=now).scalar()
        return oldest

    # questions

    def add_question(self, question: Question) -> None:
        self._run(sql.add_question, **_values(tables.question, question))

    def question(self, question_id: int) -> Question | None:
        return self._first(Question, sql.question_by_id, row_id=question_id)

    def question_by_cause(self, cause: str) -> Question | None:
        return self._first(Question, sql.question_by_cause, cause=cause)

    def answer_question(self, question_id: int, answer: str) -> bool:
        return self._run(sql.answer_question, row_id=question_id, said=answer).rowcount == 1

    # cards and troubles

    def add_card(self, card: Card) -> None:
        self._run(sql.add_card, **_card_values(card))

    def bump_cards(self, kind: CardKind, subjects: Collection[int], now: datetime, *, urgent: bool = False) -> None:
        self._run(sql.bump_cards, card_kind=kind, subjects=list(subjects), now=now, at_once=urgent)

    def cards_behind(self, now: datetime, limit: int, leave_out: Collection[int] = ()) -> list[Card]:
        # No chat is 0; an empty list would become a subquery.
        return self._all(_card, sql.cards_behind, now=now, limit=limit, leave_out=[0, *leave_out])

    def save_card(self, card: Card) -> None:
        self._run(
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
        self._run(sql.move_chat, old=old_chat_id, new=new_chat_id)

    def open_trouble(self, kind: str, subject: str) -> Trouble | None:
        return self._first(Trouble, sql.open_trouble, of_kind=kind, of_subject=subject)

    def open_troubles(self) -> list[Trouble]:
        return self._all(Trouble, sql.open_troubles)

    def add_trouble(self, kind: str, subject: str, text: str, now: datetime) -> Trouble:
        new = Trouble(0, kind, subject, text, began_at=now, seen_at=now)
        values = _values(tables.trouble, new)
        del values["id"]  # the database gives it
        return replace(new, id=self._insert(sql.add_trouble, values))

    def save_trouble(self, trouble: Trouble) -> None:
        self._run(sql.save_trouble, **_values(tables.trouble, trouble, row_id=trouble.id))

    def trouble(self, trouble_id: int) -> Trouble | None:
        return self._first(Trouble, sql.trouble_by_id, row_id=trouble_id)

    def add_timeline(self, entries: Iterable[TimelineEntry]) -> None:
        self._run_many(
            sql.add_timeline, [{"subject": e.subject, "at": e.at, "what": e.what, "who": e.who} for e in entries]
        )

    def timeline(self, subject: int) -> list[TimelineEntry]:
        return self._all(TimelineEntry, sql.timeline_of, of_subject=subject)

    # Telegram

    def keep_updates(self, updates: Iterable[TelegramUpdate]) -> int:
        new = [
            {"bot_id": u.bot_id, "update_id": u.update_id, "received_at": u.received_at, "body": u.body}
            for u in updates
        ]
        return len(self.connection.execute(sql.keep_updates, new).all()) if new else 0

    def updates_waiting(self, limit: int) -> list[TelegramUpdate]:
        return self._all(TelegramUpdate, sql.updates_waiting, limit=limit)

    def finish_update(self, bot_id: int, update_id: int, outcome: str, now: datetime) -> bool:
        done = self._run(sql.finish_update, bot=bot_id, number=update_id, became=outcome, now=now)
        return done.rowcount == 1

    def forget(self, before: datetime, now: datetime, limit: int) -> int:
        times = {"before": before, "week_ago": now - timedelta(days=7), "day_ago": now - timedelta(days=1)}
        gone = 0
        for statement in sql.forget:
            wanted = statement.compile().params.keys()
            given = {"limit": limit, **times}
            gone += self._run(statement, **{name: given[name] for name in wanted if name in given}).rowcount
        return gone

    # timers

    def set_timer(self, timer: Timer) -> None:
        self._run(sql.set_timer, **_values(tables.timer, timer))

    def drop_timer(self, kind: str, subject: str, due_at: datetime | None = None) -> bool:
        return self._run(sql.drop_timer, of_kind=kind, of_subject=subject, seen=due_at).rowcount == 1

    def timers_due(self, now: datetime, limit: int) -> list[Timer]:
        return self._all(Timer, sql.timers_due, now=now, limit=limit)

    def next_due(self) -> dict[str, datetime]:
        planned, leased, finder, tracker, reporter, timers = self._run(sql.next_due).one()
        sender = min((at for at in (planned, leased) if at), default=None)
        due = {"sender": sender, "finder": finder, "tracker": tracker, "reporter": reporter, "timers": timers}
        return {tick: at for tick, at in due.items() if at}

    def _run(self, statement: Executable, **values: Any) -> Rows:
        if self._kept:
            self.finish()
        return self.connection.execute(statement, values)

    def _run_many(self, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> None:
        if self._kept:
            self.finish()
        if rows:
            self.connection.execute(statement, rows)

    def _insert(self, statement: Executable, values: Mapping[str, Any]) -> int:
        key = self._run(statement, **values).inserted_primary_key
        assert key is not None
        return int(key[0])

    def _all(self, make: Callable[..., T], statement: Executable, **values: Any) -> list[T]:
        return [make(*row) for row in self._run(statement, **values)]

    def _first(self, make: Callable[..., T], statement: Executable, **values: Any) -> T | None:
        row = self._run(statement, **values).first()
        return make(*row) if row else None


def _values(table: Table, value: Any, **more: Any) -> dict[str, Any]:
    """A row for this value: a column for every field."""
    return {column.name: getattr(value, column.name) for column in table.c} | more


def _moved(changed: Notification, was: Notification) -> dict[str, Any]:
    return _values(tables.notification, changed, row_id=was.id, was_state=was.state, was_attempt=was.attempt)


def _by_source(groups: Collection[tuple[str, str]]) -> Iterable[tuple[str, list[str]]]:
    keys: dict[str, list[str]] = {}
    for source, group_key in groups:
        keys.setdefault(source, []).append(group_key)
    return keys.items()


def _card_values(card: Card) -> dict[str, Any]:
    return {
        "kind": card.kind,
        "subject": card.subject,
        "chat_id": card.place.chat_id,
        "topic": card.place.topic,
        "wanted": card.wanted,
        "shown": card.shown,
        "message_id": card.message_id,
        "reply_to": card.reply_to,
        "ring": card.ring,
        "urgent": card.urgent,
        "changed_at": card.changed_at,
        "shown_at": card.shown_at,
        "retry_at": card.retry_at,
        "closed": card.closed,
        "text": card.text,
    }


def _card(id_: int, kind: CardKind, subject: int, chat_id: int, topic: int | None, *rest: Any) -> Card:
    return Card(id_, kind, subject, Place(chat_id, topic), *rest)
