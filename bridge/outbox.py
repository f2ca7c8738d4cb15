"""The outbox: claims rows under a lease, and records what became of them.

A row is claimed before it is sent: if we die in between, the lease runs out and the row is uncertain,
never "not sent". Sending first and recording after would page people twice.
"""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, assert_never
from zoneinfo import ZoneInfo

from bridge import duty, escalator, links, storms, texts, watch
from bridge.budget import TOKEN, Budget, Closed
from bridge.clock import Clock
from bridge.domain import sms
from bridge.domain.costs import Amount, plain
from bridge.domain.escalation import CHAT, ROTA
from bridge.domain.house import House, Person, Role
from bridge.domain.incident import AlertRecord, Incident, IncidentState
from bridge.domain.notification import Event, Held, Notification, Purpose, State
from bridge.domain.phone import why_not_textable
from bridge.domain.retry import LOOKS, UNKNOWN_AFTER, first_price, next_attempt, next_look, next_poll, next_price
from bridge.domain.storm import next_page
from bridge.metrics import Metrics
from bridge.ports import (
    Card,
    CardKind,
    DeliveryReport,
    ListedMessage,
    Live,
    Lost,
    NotStored,
    Refused,
    SendOutcome,
    Store,
    Submitted,
    TimelineEntry,
    Transaction,
    Unreachable,
    Verdict,
)
from bridge.templates import TemplateFailed, data, render

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
OPERATOR_WAIT = timedelta(minutes=1)
"""How often a send is tried again while an operator has something to mend."""
_FIRST_POLL = timedelta(seconds=1)
_LATER_ATTEMPTS = 100  # hours of trying, at five minutes each
_CLAIM_ROUNDS = 20  # in one transaction: rows that limits postpone must not hold up those behind them
_MOST_TOLD = 200  # pages that waited, looked through for those that one SMS may tell of
_COST_IS_NEWS = timedelta(days=1)
_ASKS_AGAIN = timedelta(hours=1)
_GIVEN_UP_ON = 3  # status answers in a row that leave an id out before the card says so


class Outbox:
    """Every change to a row of the outbox, each with what else has to change along with it."""

    def __init__(self, store: Store, clock: Clock, house: Live[House], metrics: Metrics) -> None:
        self._store = store
        self._clock = clock
        self._house = house
        self._metrics = metrics

    # --- claiming ----------------------------------------------------------------------------------

    async def claim(self, limit: int) -> list[Notification]:
        """Take up to `limit` due rows: resolve whom they are for, freeze the text, reserve the budget."""
        house, now = self._house.value, self._clock.now()
        claimed: list[Notification] = []

        def claim(tx: Transaction) -> None:
            claimed.clear()  # it may run twice
            for _ in range(_CLAIM_ROUNDS):
                rows = tx.claimable(now, limit - len(claimed)) if len(claimed) < limit else []
                if not rows:
                    return
                claimed.extend(self._claim(tx, house, rows, now))
            tx.wake("sender")  # others may be due behind so many that do not leave

        try:
            await self._store.write(claim)
        except NotStored:
            # Was it committed after all, and only the answer lost? Nothing has been sent yet, so what is ours may go.
            ours = {row.reference for row in claimed}
            if not ours:
                raise
            return [row for row in await self._store.read(lambda tx: tx.sending()) if row.reference in ours]
        return claimed

    def _claim(self, tx: Transaction, house: House, rows: Sequence[Notification], now: datetime) -> list[Notification]:
        budget = self._budget(tx, house, now)
        stay = escalator.keep_hours(tx, house, rows, now)
        rows = [row for row in rows if row.id not in stay]
        so_far = _Claim(
            installation=tx.meta("installation") or "",
            budget=budget,
            company=_Company(tx, house, rows, now),
            paged=_Paged(tx, house, now),
            told=duty.told_already(tx, rows) if house.rotas else {},
        )
        for row in rows:
            if row.id in so_far.company.gone:
                continue
            so_far.company.gone.add(row.id)
            try:
                self._turn(tx, house, row, so_far, now)
            except Exception as error:
                so_far.pairs.append((self._given_up(tx, house, row, error, now), row))
        for nearly in budget.nearly_spent():
            watch.begin(tx, house, "limit", nearly.text, now, subject=nearly.subject, over_at=nearly.over_at)
        mine = self._saved(tx, house, so_far.pairs, now)
        return [row for row in so_far.claimed if row.id in mine]

    def _turn(self, tx: Transaction, house: House, row: Notification, so_far: "_Claim", now: datetime) -> None:
        """Whether this row leaves, and with whom. Room is taken last: a mistake before that takes none."""
        budget, company, paged, told = so_far.budget, so_far.company, so_far.paged, so_far.told
        incident = company.incidents.get(row.incident_id or 0)
        ready = self._ready(tx, row, incident, house, now)
        if _is_told(ready, told):
            reason = f"{house.spoken(ready.person)} is told already"
            ready = row.becomes(Event.CANCELLED, ended_at=now, reason=reason)
        others: list[tuple[Notification, Notification]] = []
        if ready.state is State.PLANNED and incident is not None and ready.is_page:
            if until := paged.gathers_until(ready, incident):
                ready = replace(row, due_at=until, held=Held.GATHER, reason="waits for more of the same route")
                so_far.pairs.append((ready, row))
                return
            others = [(self._ready(tx, one, about, house, now), one) for one, about in company.of(row)]
            so_far.pairs += [(one, was) for one, was in others if row.resent and one.state is not State.PLANNED]
            others = [(one, was) for one, was in others if _leaves_with(one, ready)]
            if house.rotas and not row.resent:
                told |= duty.told_already(tx, [one for one, _ in others])
                others = _each_once(ready, others, told)
            ready = _digest(ready, row, [one for one, _ in others], company.incidents, house, now)
        if ready.state is State.PLANNED and ready.is_news and (full := budget.no_room_for_news(ready, incident)):
            self._metrics.suppressed.labels("limit").inc()
            ready = row.becomes(Event.CANCELLED, person=ready.person, ended_at=now, reason=full)
        elif ready.state is State.PLANNED and (closed := budget.closed(ready, incident)):
            self._metrics.suppressed.labels("limit").inc()
            ready = _held(row, closed, house.zone_of(row.chat), now)
        elif ready.state is State.PLANNED and (closed := budget.gathers(ready, incident)):
            self._metrics.suppressed.labels("soft_limit").inc()
            ready = _held(row, closed, house.zone_of(row.chat), now)
        elif ready.state is State.PLANNED:
            ready = _leaving(ready, so_far.installation, now)
            along = [(_taken_along(one, ready), was) for one, was in others]
            budget.reserve(ready, incident)
            paged.leaves(ready, incident)
            so_far.claimed.append(ready)
            told |= {_telling(one): one.id for one in (ready, *(one for one, _ in others))}
            so_far.pairs += along
            company.gone.update(was.id for _, was in others)
        so_far.pairs.append((ready, row))

    def _budget(self, tx: Transaction, house: House, now: datetime) -> Budget:
        return Budget(tx, house, now)

    def _saved(
        self, tx: Transaction, house: House, pairs: Sequence[tuple[Notification, Notification]], now: datetime
    ) -> set[int]:
        """Write down each as it is now beside what it was; those that nobody had changed meanwhile."""
        kept = tx.save_notifications(pairs)
        mine = {ready.id for (ready, _), held in zip(pairs, kept, strict=True) if held}
        for ready, row in pairs:
            if ready.id in mine and ready.state is not State.SENDING and _differs(ready, row):
                self._tell(tx, house, ready, row, now)
        return mine

    def _ready(
        self, tx: Transaction, row: Notification, incident: Incident | None, house: House, now: datetime
    ) -> Notification:
        """As `_ready` below; a row that cannot even be thought about must not hold up the others."""
        try:
            whom = duty.whom(tx, house, row, now)
            ready = _ready(
                row, incident, house, whom, now, own_words=self._own_words(tx, row, incident, house, whom, now)
            )
            if whom is None and ready.state is State.FAILED:
                duty.mind_gap(tx, house, duty.roster(tx, house), row.target.removeprefix(ROTA), now)
            return ready
        except Exception as error:
            return self._given_up(tx, house, row, error, now)

    def _given_up(
        self, tx: Transaction, house: House, row: Notification, error: Exception, now: datetime
    ) -> Notification:
        """The row as it is after a mistake of ours: the others go on, and people are told of this one."""
        log.error("a notification could not be made ready", extra={"notification": row.id}, exc_info=error)
        what = f"a mistake of ours ({type(error).__name__}); please report it"
        watch.begin(tx, house, "mistake", f"#{row.incident_id or row.id} was not sent: {what}", now)
        return row.becomes(Event.GAVE_UP, ended_at=now, reason=what)

    def _own_words(
        self,
        tx: Transaction,
        row: Notification,
        incident: Incident | None,
        house: House,
        whom: str | None,
        now: datetime,
    ) -> str:
        """What the template of its route makes of a page; empty where there is none, or it fails."""
        if incident is None or incident.is_storm or incident.asked_by or row.target == CHAT:
            return ""
        template = house.template_of(incident.route) if row.purpose is Purpose.PAGE else ""
        if not template or _unwanted(row, incident, now):
            return ""
        alerts = tx.alert_records([(incident.source, incident.group_key)], now)
        try:
            return written(template, incident, alerts, row, house, whom)
        except Exception as error:  # no page dies of a template, nor of a mistake of ours while it is filled
            if not isinstance(error, TemplateFailed):
                log.exception(
                    "a template could not be filled", extra={"incident": incident.id, "route": incident.route}
                )
            what = f"the template of route {incident.route} failed on #{incident.id}: {error}"
            watch.begin(tx, house, "template", f"{what}; our own words stand in for it", now, subject=incident.route)
            entry = TimelineEntry(incident.id, now, f"the template failed ({error}); our own words stand in for it")
            if all(told.what != entry.what for told in tx.timeline(incident.id)):
                tx.add_timeline([entry])
            return ""

    # --- what the gateway said of a send ------------------------------------------------------------

    async def record(self, sent: Notification, outcome: SendOutcome) -> Notification:
        """Write down what became of one attempt; an answer is never thrown away, however late."""
        house, now = self._house.value, self._clock.now()
        return await self._store.write(lambda tx: self._record(tx, house, sent, outcome, now))

    def _record(
        self, tx: Transaction, house: House, sent: Notification, outcome: SendOutcome, now: datetime
    ) -> Notification:
        row = tx.notification(sent.id)
        assert row is not None
        if row.attempt != sent.attempt or row.state not in (State.SENDING, State.UNCERTAIN):
            return self._late_answer(tx, row, sent, outcome, now)
        match outcome:
            case Submitted():
                changed = _submitted(tx, row, outcome, now)
            case Refused(reason):
                changed = row.becomes(Event.REFUSED, ended_at=now, reason=reason, claimed_at=None)
            case Unreachable():
                changed = self._not_sent(tx, row, outcome, now)
            case Lost(reason):
                changed = _lost(row, reason, now) if row.state is State.SENDING else row
            case _:
                assert_never(outcome)
        if not tx.save_notification(changed, row):
            return row
        self._count(row, changed, now)
        self._troubles(tx, house, changed, outcome, now)
        self._tell(tx, house, changed, row, now)
        return changed

    def _late_answer(
        self, tx: Transaction, row: Notification, sent: Notification, outcome: SendOutcome, now: datetime
    ) -> Notification:
        """The row went on without this answer; a message id that it brings is kept where people can see it."""
        if isinstance(outcome, Submitted) and outcome.message_id != row.message_id:
            what = f"Mobizon took attempt {sent.attempt} as well: message {outcome.message_id}, a duplicate"
            tx.add_timeline([TimelineEntry(row.id, now, what)])
            self._metrics.uncertain.labels("duplicate").inc()
            log.error("a late answer shows a duplicate", extra={"notification": row.id, "attempt": sent.attempt})
        return row

    def _not_sent(self, tx: Transaction, row: Notification, outcome: Unreachable, now: datetime) -> Notification:
        """It did not reach the gateway: back to planned, if anybody still wants it."""
        incident = tx.incident(row.incident_id) if row.incident_id is not None else None
        if row.incident_id is not None and (unwanted := _unwanted(row, incident, now)):
            return row.becomes(Event.CANCELLED, ended_at=now, reason=unwanted, claimed_at=None)
        failures = row.failures + 1
        again = next_attempt(failures, now)
        if outcome.needs_operator:
            again = now + OPERATOR_WAIT
        elif outcome.wait is not None:
            again = max(again, now + outcome.wait)
        event = Event.POSTPONED if outcome.wait is not None else Event.UNREACHABLE
        reason = outcome.reason
        # claimed_at goes: nothing was sent, so nothing is reserved.
        return row.becomes(
            event, due_at=again, failures=failures, reason=reason, claimed_at=None, lease_until=None, carried_by=None
        )

    async def expire_leases(self) -> int:
        """Rows whose lease ran out are uncertain: nobody knows whether they left. How many there were."""
        house, now = self._house.value, self._clock.now()
        if not await self._store.read(lambda tx: tx.leases_over(now)):
            return 0
        return await self._store.write(lambda tx: self._uncertain(tx, house, tx.leases_over(now), now))

    async def recover(self) -> int:
        """At start, whatever was on the wire when we died is uncertain. How many there were."""
        house, now = self._house.value, self._clock.now()
        return await self._store.write(lambda tx: self._uncertain(tx, house, tx.sending(), now))

    def _uncertain(self, tx: Transaction, house: House, rows: Sequence[Notification], now: datetime) -> int:
        for row in rows:
            if row.is_carried:
                continue  # it goes where its carrier goes
            lost = _lost(row, "we stopped while it was being sent", now)
            if tx.save_notification(lost, row):
                self._count(row, lost, now)
                self._tell(tx, house, lost, row, now)
        return len(rows)

    # --- while an answer is lost ---------------------------------------------------------------------

    async def looked(self, looked_for: Notification, listed: Sequence[ListedMessage]) -> bool:
        """One look was answered: `listed` is what the gateway has of this row, the best match first.

        Whether it was found. A row that is about to be sent may be looked for too; not found, it stays so.
        """
        house, now = self._house.value, self._clock.now()
        return await self._store.write(lambda tx: self._looked(tx, house, looked_for, listed, now))

    def _looked(
        self,
        tx: Transaction,
        house: House,
        looked_for: Notification,
        listed: Sequence[ListedMessage],
        now: datetime,
    ) -> bool:
        row = tx.notification(looked_for.id)
        if row is None or row.state is not looked_for.state or row.attempt != looked_for.attempt:
            return False
        others = tx.by_message_id([sms.id for sms in listed])
        mine = [sms for sms in listed if sms.id not in others]
        if not mine and row.state is State.SENDING:
            return False
        changed = _found(tx, row, mine[0], now) if mine else self._not_found(tx, row, now)
        if not tx.save_notification(changed, row):
            return False
        if len(mine) > 1:
            self._report_duplicates(tx, house, row, mine[1:], now)
        if changed.state is State.SUBMITTED:
            self._metrics.uncertain.labels("found").inc()
        elif changed.resent and not row.resent:
            self._metrics.uncertain.labels("resent").inc()
        self._count(row, changed, now)
        self._tell(tx, house, changed, row, now)
        tx.wake("sender", "tracker")
        return bool(mine)

    def _not_found(self, tx: Transaction, row: Notification, now: datetime) -> Notification:
        """Not listed so far; after the last look a page goes out once more and a typed SMS asks."""
        assert row.lost_at is not None
        looks = row.looks + 1
        waiting = replace(row, looks=looks, next_look_at=next_look(row.lost_at, looks, now))
        if looks < LOOKS:
            return waiting.becomes(Event.NOT_SEEN_YET)
        incident = tx.incident(row.incident_id) if row.incident_id is not None else None
        if unwanted := _unwanted(row, incident, now) if row.resends_itself else "":
            return row.becomes(Event.CANCELLED, ended_at=now, reason=unwanted)
        if row.resends_itself and not row.resent:
            return _once_more(row, now, "Mobizon does not list it, so it goes out once more")
        if row.resends_itself or now >= row.lost_at + UNKNOWN_AFTER:
            reason = "its answer was lost and Mobizon does not list it; whether it left is not known"
            return row.becomes(Event.GAVE_UP, ended_at=now, reason=reason)
        return waiting.becomes(Event.NOT_SEEN_YET, asked_at=row.asked_at or now)

    def _report_duplicates(
        self, tx: Transaction, house: House, row: Notification, more: Sequence[ListedMessage], now: datetime
    ) -> None:
        ids = ", ".join(sms.id for sms in more)
        tx.add_timeline([TimelineEntry(row.incident_id or row.id, now, f"sent twice: Mobizon lists {ids} as well")])
        text = f"#{row.incident_id or row.id} was sent twice: Mobizon lists message {ids} as well"
        watch.begin(tx, house, "duplicate", text, now, subject=f"#{row.id}")
        self._metrics.uncertain.labels("duplicate").inc(len(more))

    async def answers_lost(self, in_a_row: int, reason: str) -> None:
        """So many answers in a row were lost: the sender only probes, and the watch chat hears of it."""
        house, now = self._house.value, self._clock.now()

        def tell(tx: Transaction) -> None:
            uncertain = tx.outbox_counts().get(State.UNCERTAIN, 0)
            text = f"Mobizon's answers get lost ({in_a_row} in a row, last: {reason}). {uncertain} SMS are uncertain"
            watch.begin(tx, house, "mobizon", text, now)

        await self._store.write(tell)

    # --- what the gateway says later ------------------------------------------------------------------

    async def report(
        self, asked: Sequence[Notification], reports: dict[str, DeliveryReport], missing: Sequence[str]
    ) -> None:
        """Write down a status answer; `asked` are the rows it was asked for."""
        house, now = self._house.value, self._clock.now()
        await self._store.write(lambda tx: self._report(tx, house, asked, reports, set(missing), now))

    def _report(
        self,
        tx: Transaction,
        house: House,
        asked: Sequence[Notification],
        reports: dict[str, DeliveryReport],
        missing: set[str],
        now: datetime,
    ) -> None:
        current = tx.notifications_by_id([row.id for row in asked])
        pairs = []
        for row in current.values():
            if row.state is State.SUBMITTED and row.message_id is not None:
                if report := reports.get(row.message_id):
                    pairs.append((_reported(row, report, now), row))
                elif row.message_id in missing:
                    pairs.append((_unlisted(row, now), row))
        kept = tx.save_notifications(pairs)
        for (changed, row), held in zip(pairs, kept, strict=True):
            if not held:
                continue
            if changed.state is not row.state:
                self._count(row, changed, now)
            if row.moderated and not changed.moderated and not _others_moderated(tx, changed):
                watch.end(tx, "moderation", now, subject=f"#{row.incident_id or row.id}")
            if _differs(changed, row):
                self._tell(tx, house, changed, row, now)

    async def price(self, asked: Sequence[Notification], listed: Sequence[ListedMessage], currency: str) -> None:
        """Write down what these cost, as the gateway lists them; each is counted once."""
        now = self._clock.now()
        by_id = {sms.id: sms for sms in listed}
        for cost in await self._store.write(lambda tx: self._price(tx, asked, by_id, currency, now)):
            self._metrics.cost.labels(cost.currency).inc(float(cost.value))

    def _price(
        self,
        tx: Transaction,
        asked: Sequence[Notification],
        listed: Mapping[str, ListedMessage],
        currency: str,
        now: datetime,
    ) -> list[Amount]:
        current = tx.notifications_by_id([row.id for row in asked])
        costs, pairs = [], []
        for row in current.values():
            if row.cost is not None or row.next_price_at is None:
                continue  # a cost is counted once
            sms = listed.get(row.message_id or "")
            if sms is None or sms.segment_price is None or sms.segment_price < 0:
                again = next_price(row.ended_at or row.claimed_at or row.created_at, now)
                pairs.append((replace(row, next_price_at=again), row))
                continue
            price = Amount(sms.segment_price, currency)
            cost = price * (sms.segments or row.segments or 1)
            costs.append(cost)
            pairs.append((replace(row, cost=plain(cost.value), currency=currency, next_price_at=None), row))
            if row.number is not None and price.value > 0:  # a gift says nothing of what the next one costs
                tx.save_price(row.number.region, price, row.claimed_at or row.created_at)
        tx.save_notifications(pairs)
        _show_costs(tx, [changed for changed, _ in pairs if changed.cost is not None], now)
        return costs

    # --- what goes along with every change --------------------------------------------------------------

    def _tell(self, tx: Transaction, house: House, row: Notification, was: Notification, now: datetime) -> None:
        """Let the plan and the cards know, and ring when a typed SMS failed."""
        urgent = row.state.is_final or row.state is State.UNCERTAIN
        kind, subject = (CardKind.SMS, row.id) if row.incident_id is None else (CardKind.INCIDENT, row.incident_id)
        tx.bump_cards(kind, [subject], now, urgent=urgent)
        if row.target == CHAT and row.state is State.DELIVERED:
            self._ring_again(tx, house, row, now)
            escalator.follow(tx, house, row, was, now, self._metrics)
            return
        what = f"{_said(row)}: {row.reason}" if row.reason else _said(row)
        tx.add_timeline([TimelineEntry(subject, now, what, row.person or "")])
        if row.incident_id is None and row.state in (State.FAILED, State.UNDELIVERED):
            for card in tx.cards_of(CardKind.SMS, row.id):
                failed = Card(0, CardKind.FAILED, row.id, card.place, reply_to=card.message_id, ring=True)
                tx.add_card(replace(failed, urgent=True, changed_at=now))
        if row.is_page and row.state is State.UNCERTAIN and row.lost_at == now:
            self._ring_for_lost_page(tx, house, row, now)
        escalator.follow(tx, house, row, was, now, self._metrics)
        if was.carried_by == was.id:
            self._tell_of_carried(tx, house, row, was, now)
        tx.wake("reporter")

    def _tell_of_carried(
        self, tx: Transaction, house: House, row: Notification, was: Notification, now: datetime
    ) -> None:
        """What one SMS tells of goes where that one goes, each plan for itself."""
        others = tx.carried_by(was.id)
        incidents = tx.incidents_by_id({other.incident_id for other in others if other.incident_id is not None})
        pairs = [(_carried(o, row, was, incidents.get(o.incident_id or 0), now), o) for o in others]
        for (changed, other), held in zip(pairs, tx.save_notifications(pairs), strict=True):
            if held:
                self._tell(tx, house, changed, other, now)

    def _ring_again(self, tx: Transaction, house: House, row: Notification, now: datetime) -> None:
        """The chat's own turn in the climb."""
        incident = tx.incident(row.incident_id) if row.incident_id is not None else None
        if incident is not None:
            escalator.ring(tx, house, incident, now, "still nobody has it")
            tx.add_timeline([TimelineEntry(incident.id, now, "the chat rings")])

    def _ring_for_lost_page(self, tx: Transaction, house: House, row: Notification, now: datetime) -> None:
        """A page that may not have left must not keep somebody else from looking: the chat rings."""
        incident = tx.incident(row.incident_id) if row.incident_id is not None else None
        if incident is not None and incident.state is IncidentState.TRIGGERED:
            person = house.people.get(row.person or row.target)
            who = person.spoken if person else row.target
            escalator.ring(tx, house, incident, now, f"the SMS to {who} may not have left; looking it up")

    def _troubles(self, tx: Transaction, house: House, row: Notification, outcome: SendOutcome, now: datetime) -> None:
        """Trouble with the account is the bridge's own, told once whatever the number of rows."""
        match outcome:
            case Submitted():
                watch.end(tx, "mobizon", now)
                if outcome.moderated:
                    text = f"Mobizon holds #{row.incident_id or row.id} until somebody there has read it"
                    watch.begin(tx, house, "moderation", text, now, subject=f"#{row.incident_id or row.id}")
                if outcome.without_sender:
                    text = "Mobizon refuses our sender ID (mobizon.sender_id); SMS go out under its own name meanwhile"
                    watch.begin(tx, house, "sender_id", text, now)
            case Unreachable(needs_operator=True):
                waiting = tx.outbox_counts().get(State.PLANNED, 0)
                text = (
                    f"Mobizon refuses us (code {outcome.code}): {outcome.advice or outcome.reason}. {waiting} SMS wait"
                )
                watch.begin(tx, house, "mobizon", text, now)
            case Unreachable() if row.failures >= _GIVEN_UP_ON:
                waiting = tx.outbox_counts().get(State.PLANNED, 0)
                watch.begin(tx, house, "mobizon", f"Mobizon cannot be used: {outcome.reason}. {waiting} SMS wait", now)
            case _:
                pass

    def _count(self, was: Notification, row: Notification, now: datetime) -> None:
        metrics = self._metrics
        if row.state is State.SUBMITTED and was.state is not State.SUBMITTED:
            metrics.segments.labels(row.alphabet).inc(row.segments or 0)
            metrics.notification_latency.observe((now - row.created_at).total_seconds())
        if row.state is State.UNCERTAIN and was.state is not State.UNCERTAIN:
            metrics.uncertain.labels("open").inc()
        if row.state.is_final and not was.state.is_final:
            metrics.notifications.labels(row.state).inc()
            if row.submitted_at is not None and row.gateway_status:
                metrics.delivery.labels(row.gateway_status).observe((now - row.submitted_at).total_seconds())
        log.info(
            f"notification {row.state}",
            extra={"notification": row.id, "incident": row.incident_id, "attempt": row.attempt},
        )


def _show_costs(tx: Transaction, rows: Sequence[Notification], now: datetime) -> None:
    """On the cards that tell what was spent; one of long ago nobody looks at for that."""
    fresh = [row for row in rows if row.ended_at is not None and now - row.ended_at < _COST_IS_NEWS]
    tx.bump_cards(CardKind.SMS, [row.id for row in fresh if row.incident_id is None], now)
    incidents = tx.incidents_by_id({row.incident_id for row in fresh if row.incident_id is not None})
    tx.bump_cards(CardKind.INCIDENT, [one.id for one in incidents.values() if not one.is_open], now)
    tx.wake("reporter")


def _said(row: Notification) -> str:
    """Where it is now, in the words of the card."""
    match row.state:
        case State.SUBMITTED if row.moderated:
            return "waiting for moderation"
        case State.SUBMITTED if row.at_operator:
            return "at the operator"
        case State.SUBMITTED:
            return "accepted by Mobizon"
        case State.DELIVERED:
            return "on the handset"
        case State.UNDELIVERED:
            return "not delivered"
        case _:
            return str(row.state)


def _ready(
    row: Notification, incident: Incident | None, house: House, whom: str | None, now: datetime, *, own_words: str = ""
) -> Notification:
    """The row with its person, number and text settled for now; or ended, when it may not or need not go.

    `whom` it is for: a person, a number, or nobody when it is for a rota with a gap. `own_words` are those that the
    template of its route made.
    """
    if unwanted := _unwanted(row, incident, now):
        event = Event.GAVE_UP if row.incident_id is None else Event.CANCELLED
        return row.becomes(event, ended_at=now, reason=unwanted)
    if row.target == CHAT:
        return row.becomes(Event.SHOWN, ended_at=now)
    if whom is None:
        return row.becomes(Event.GAVE_UP, ended_at=now, person=None, reason="nobody is on call")
    person = house.people.get(whom)
    # A person who left the config is paged no more, though the row may know their number from an earlier attempt.
    number = person.number if person else None if row.resends_itself else row.number
    if number is None:
        return row.becomes(Event.GAVE_UP, ended_at=now, reason=f"{whom} has no phone in the config any more")
    if barred := why_not_textable(number, house.sms.allowed_regions, known=person is not None):
        return row.becomes(Event.GAVE_UP, ended_at=now, reason=barred)
    if _asker_lost_the_right(row, house, person):
        return row.becomes(Event.CANCELLED, ended_at=now, reason=f"{row.asked_by} may no longer send this")
    text, validity = row.text, row.validity
    if incident is not None:
        row = replace(row, person=person.name if person else None)
        if not (row.resent and text):  # sent once more, it keeps its words: the first may yet be found by them
            text = wording(incident, row, house, now, own_words=own_words)
        validity = house.sms.page_validity
    assert text is not None
    size = sms.measure(text)
    return replace(
        row,
        person=person.name if person else None,
        number=number,
        text=text,
        alphabet=size.alphabet,
        segments=size.segments,
        validity=validity,
        sender_id=row.sender_id or house.sms.sender_id,
        carried_by=None,
    )


def written(
    template: str,
    incident: Incident,
    alerts: Iterable[AlertRecord],
    row: Notification,
    house: House,
    whom: str | None,
) -> str:
    """The body of this page by this template. Raises TemplateFailed."""
    mine = [alert for alert in alerts if alert.incident_id == incident.id]
    since = texts.hour(incident.started_at, incident.opened_at, house.zone_of(incident.chat))
    call = row.round - incident.first_round + 1
    return render(template, data(incident, mine, since=since, call=call, person=house.spoken(whom)))


def wording(incident: Incident, row: Notification, house: House, now: datetime, *, own_words: str = "") -> str:
    """The SMS about an incident, as it has to read now for this row's person."""
    zone, rules = house.zone_of(incident.chat), house.texting(incident.route, row.person)
    match row.purpose:
        case Purpose.TAKEN:
            return texts.taken(incident, rules, house.spoken(incident.acknowledged_by))
        case Purpose.OVER:
            return texts.over(incident, rules, zone, house.spoken(incident.acknowledged_by))
        case Purpose.PAGE:
            call, link = row.round - incident.first_round + 1, links.address(house, row)
            route, late = house.route(incident.route), _lateness(row, incident, now)
            again, implied = row.step == 0, route is not None and route.implies(incident.severity)
            if own_words:
                return texts.own(own_words, incident, rules, late=late, call=call, again=again, link=link)
            return texts.page(incident, rules, zone, late=late, call=call, again=again, link=link, implied=implied)
        case _:
            assert_never(row.purpose)


def _lateness(row: Notification, incident: Incident, now: datetime) -> timedelta | None:
    """How late a page is that should have been the first; later rungs have no hour of their own to be late for."""
    delayed = row.failures or row.held not in (None, Held.GATHER)
    is_first = (row.round, row.step) <= (incident.first_round, 1)
    return texts.late_by(row.created_at, now) if is_first and delayed else None


def _telling(row: Notification) -> tuple[duty.Rung, str]:
    return duty.rung_of(row), row.person or ""


def _is_told(row: Notification, told: Mapping[tuple[duty.Rung, str], int]) -> bool:
    """Whether they have it by their own name or by their rota: in one rung one SMS is enough."""
    return row.is_page and bool(row.person) and told.get(_telling(row), row.id) != row.id


def _each_once(
    row: Notification,
    others: Sequence[tuple[Notification, Notification]],
    told: Mapping[tuple[duty.Rung, str], int],
) -> list[tuple[Notification, Notification]]:
    """Those that the SMS of this row is to tell of, none of a rung that this person is told of anyway."""
    seen = {**told, _telling(row): row.id}
    return [(one, was) for one, was in others if seen.setdefault(_telling(one), one.id) == one.id]


def _leaves_with(row: Notification, carrier: Notification) -> bool:
    """Whether one SMS may tell of both."""
    return row.state is State.PLANNED and row.is_page and row.number == carrier.number


def _digest(
    row: Notification,
    was: Notification,
    others: Sequence[Notification],
    incidents: dict[int, Incident],
    house: House,
    now: datetime,
) -> Notification:
    """This row as the SMS that tells of the others as well, when there are any."""
    if not others:
        return row
    if was.resent:
        return _as_before(row, was)
    rows = [row, *others]
    told = {one.incident_id: incidents[one.incident_id] for one in rows if one.incident_id is not None}
    if len(told) == 1:
        return replace(row, carried_by=row.id)
    order = sorted(told.values(), key=lambda incident: (not incident.critical, not incident.is_storm, incident.id))
    lates = (_lateness(one, told[one.incident_id], now) for one in rows if one.incident_id is not None)
    late = max((late for late in lates if late), default=None)
    text = texts.digest(order, house.texting(order[0].route, row.person), late=late)
    size = sms.measure(text)
    return replace(row, carried_by=row.id, text=text, alphabet=size.alphabet, segments=size.segments)


def _as_before(row: Notification, was: Notification) -> Notification:
    """The same words once more: the first may be on a phone by now, and both are known by them."""
    return replace(
        row, text=was.text, alphabet=was.alphabet, segments=sms.measure(was.text or "").segments, carried_by=row.id
    )


def _taken_along(row: Notification, carrier: Notification) -> Notification:
    """On the wire in the words of another: nothing of its own to be billed, found or asked about."""
    return replace(
        _without_attempt(row).becomes(Event.CLAIMED),
        attempt=row.attempt + 1,
        claimed_at=carrier.claimed_at,
        carried_by=carrier.id,
        reason=None,
    )


def _carried(
    row: Notification, carrier: Notification, was: Notification, incident: Incident | None, now: datetime
) -> Notification:
    """A row that another one's SMS tells of, once that one has gone somewhere."""
    if carrier.state not in (State.PLANNED, State.CANCELLED):
        return replace(
            row,
            state=carrier.state,
            submitted_at=carrier.submitted_at,
            lost_at=carrier.lost_at,
            looks=carrier.looks,
            moderated=carrier.moderated,
            gateway_status=carrier.gateway_status,
            status_at=carrier.status_at,
            ended_at=carrier.ended_at,
            reason=carrier.reason,
        )
    if carrier.state is State.PLANNED and carrier.carried_by is not None:
        return replace(row, state=State.PLANNED, due_at=carrier.due_at, resent=True, reason=carrier.reason)
    # It did not leave, so each is on its own again.
    row = replace(_without_attempt(row), lost_at=None, looks=0)
    if unwanted := _unwanted(row, incident, now):
        return replace(row, state=State.CANCELLED, ended_at=now, reason=unwanted)
    due_at = carrier.due_at if carrier.state is State.PLANNED else now
    failures = row.failures + carrier.failures - was.failures
    return replace(row, state=State.PLANNED, due_at=due_at, failures=failures, reason=carrier.reason)


def _without_attempt(row: Notification) -> Notification:
    return replace(
        row,
        text=None,
        alphabet=None,
        segments=None,
        reference=None,
        claimed_at=None,
        lease_until=None,
        next_look_at=None,
        carried_by=None,
    )


def _unwanted(row: Notification, incident: Incident | None, now: datetime) -> str:
    """Why nobody wants this any more; empty while somebody does."""
    if row.is_page and (incident is None or incident.state is not IncidentState.TRIGGERED):
        return "over before it was sent" if incident is None or not incident.is_open else "somebody has it"
    if row.is_page and incident is not None and incident.told_by_storm:
        return f"part of storm #{incident.storm}"
    if row.is_page and incident is not None and row.round < incident.first_round:
        return "a newer plan has taken its place"
    if row.purpose is Purpose.TAKEN and incident is not None and incident.state is not IncidentState.ACKNOWLEDGED:
        return "nobody has it any more"
    if row.purpose is Purpose.OVER and incident is not None and incident.is_open:
        return "it fires again"
    if row.expires_at is not None and now >= row.expires_at:
        return "too old to be worth sending"
    return ""


def _asker_lost_the_right(row: Notification, house: House, recipient: Person | None) -> bool:
    """Roles, of people and of API tokens, are checked when it was typed and once more here."""
    if row.resends_itself or not row.asked_by:
        return False
    role: Role | None
    if row.asked_by.startswith(TOKEN):  # a token called like a person who left speaks for itself alone
        role = house.scripts.get(row.asked_by.removeprefix(TOKEN))
    else:
        role = house.people[row.asked_by].role if row.asked_by in house.people else None
    return role is None or role < (Role.RESPONDER if recipient else Role.OPERATOR)


@dataclass
class _Claim:
    """What one claim knows, and has come to so far: whom it takes, and each row it changes beside what that was."""

    installation: str
    budget: Budget
    company: "_Company"
    paged: "_Paged"
    told: dict[tuple[duty.Rung, str], int]
    claimed: list[Notification] = field(default_factory=list)
    pairs: list[tuple[Notification, Notification]] = field(default_factory=list)


class _Company:
    """Whom the rows of one claim may leave with. `gone` are those whose turn is over: they left, wait, or were taken
    along, and no other SMS of this claim may tell of them once more."""

    def __init__(self, tx: Transaction, house: House, rows: Sequence[Notification], now: datetime) -> None:
        self._tx = tx
        self._closed = house.closed(now)
        self._rows = rows
        self._now = now
        self._together = house.storm is not None
        self._waited: list[Notification] | None = None
        self.gone: set[int] = set()
        self.incidents: dict[int, Incident] = {}
        self._learn(rows)

    def of(self, row: Notification) -> list[tuple[Notification, Incident]]:
        """The others that waited as this one did, or are due by now; but what is critical and fresh leaves singly.

        For one that did not wait: those of its route that are due with it. What goes out once more has the company
        it had.
        """
        if row.resent:
            before = [other for other in self._tx.carried_by(row.id) if other.state is State.PLANNED]
            self._learn(before)
            return [(other, self.incidents[other.incident_id or 0]) for other in before]
        mine = self.incidents[row.incident_id or 0]
        if mine.test or not (row.waited or self._together):
            return []
        if row.waited and self._waited is None:
            self._waited = self._tx.waiting(_MOST_TOLD) + self._tx.claimable(self._now, _MOST_TOLD)
            self._learn(self._waited)
        them = {one.id: one for one in (*self._rows, *(self._waited or ()))}
        found = [(one, self.incidents.get(one.incident_id or 0)) for one in them.values()]
        return [
            (one, incident)
            for one, incident in found
            if incident is not None
            and not (incident.test or one.resent)
            and incident.route not in self._closed
            and (row.waited or not (mine.critical or incident.route != mine.route))
            and (one.waited or not incident.critical or self._now - one.due_at >= OPERATOR_WAIT)
            and one.id not in self.gone
        ]

    def _learn(self, rows: Sequence[Notification]) -> None:
        new = {row.incident_id for row in rows if row.incident_id is not None} - self.incidents.keys()
        self.incidents |= {n: storms.describe(self._tx, one) for n, one in self._tx.incidents_by_id(new).items()}


class _Paged:
    """Who was paged lately about which route: the next pages there wait for each other, see `storm.next_page`."""

    def __init__(self, tx: Transaction, house: House, now: datetime) -> None:
        self._tx = tx
        self._rules = house.storm if house.storm and house.storm.gather else None
        self._now = now
        self._last: dict[tuple[str, str], int] = {}
        self._times: defaultdict[tuple[str, str], list[datetime]] = defaultdict(list)
        self._opened: dict[str, int] = {}
        if self._rules:
            lately = now - max(self._rules.within, self._rules.gather)
            for number, route, incident, at in sorted(tx.paged_lately(lately), key=lambda page: page[3]):
                self._last[number, route] = incident
                self._times[number, route].append(at)

    def gathers_until(self, row: Notification, incident: Incident) -> datetime | None:
        """Until when this page waits; None: it leaves. What is critical never waits, and a storm is worth a `gather`.

        What has waited a `gather` may wait once more after the same page; what waited for anything else leaves.
        """
        if self._rules is None or incident.critical or row.number is None:
            return None
        to = row.number.e164, incident.route
        before = self._times.get(to)
        if not before or self._last[to] == row.incident_id:
            return None
        soonest = before[-1] + self._rules.gather
        if row.waited and (row.failures or row.held is not Held.GATHER or row.due_at != soonest):
            return None
        until = soonest if incident.is_storm else next_page(self._rules, before, self._opened_lately(incident.route))
        return until if until > self._now else None

    def _opened_lately(self, route: str) -> int:
        if self._rules and route not in self._opened:
            self._opened[route] = len(self._tx.opened_alone(route, self._now - self._rules.within))
        return self._opened[route]

    def leaves(self, row: Notification, incident: Incident | None) -> None:
        if incident is not None and row.is_page and row.number is not None:
            self._last[row.number.e164, incident.route] = incident.id
            self._times[row.number.e164, incident.route].append(self._now)


def _held(row: Notification, closed: Closed, zone: ZoneInfo, now: datetime) -> Notification:
    """The row until there may be room for it.

    A month is long, and what was reserved may be released, or the limit raised: it asks again within the hour.
    """
    what = "leaves" if closed.held is Held.SOFT else "opens"
    reason = f"{closed.why}; {what} at {texts.hour(closed.opens_at, now, zone)}"
    return replace(row, due_at=min(closed.opens_at, now + _ASKS_AGAIN), held=closed.held, reason=reason)


def _leaving(row: Notification, installation: str, now: datetime) -> Notification:
    """Claimed: the next attempt, its lease, and the reference that Mobizon will list it under."""
    attempt = row.attempt + 1
    reference = _reference(row, attempt, installation)
    return row.becomes(
        Event.CLAIMED, attempt=attempt, reference=reference, claimed_at=now, lease_until=now + LEASE, reason=None
    )


def references(row: Notification, installation: str) -> dict[str, int]:
    """What the gateway may list this row under, and which attempt that was.

    Earlier attempts count too, one of them may be performed late; and later ones, which a life of this database
    may have made that a restored backup knows nothing of.
    """
    return {_reference(row, attempt, installation): attempt for attempt in range(1, row.attempt + _LATER_ATTEMPTS)}


def _reference(row: Notification, attempt: int, installation: str) -> str:
    """Survives a restored backup and matches nothing else: made of who we are, what it says and to whom."""
    assert row.number is not None
    text = row.text or ""
    if row.is_page:  # a life of this database that was less late, or had another link, sent the same page
        text = texts.lasting(text)
    told = "|".join((installation, str(row.id), str(attempt), row.number.e164, text))
    return "sb" + hashlib.sha256(told.encode()).hexdigest()[:20]


def _lost(row: Notification, reason: str, now: datetime) -> Notification:
    return row.becomes(
        Event.LOST, reason=reason, lease_until=None, lost_at=now, looks=0, next_look_at=next_look(now, 0, now)
    )


def _found(tx: Transaction, row: Notification, sms: ListedMessage, now: datetime) -> Notification:
    token = texts.link_token(sms.text) if row.is_page else ""
    # What another life sent carries that life's token, and its link is the one on the phone.
    adopted = token if token and tx.notification_by_link(token) is None else row.link_token
    return row.becomes(
        Event.FOUND,
        submitted_at=now,
        message_id=sms.id,
        campaign_id=sms.campaign_id,
        next_poll_at=now,
        lease_until=None,
        next_look_at=None,
        asked_at=None,
        reason=None,
        link_token=adopted,
    )


def _once_more(row: Notification, now: datetime, reason: str) -> Notification:
    """Back to planned; its budget is freed, and the claim takes it anew."""
    return row.becomes(
        Event.MISSING,
        due_at=now,
        reason=reason,
        resent=True,
        claimed_at=None,
        next_look_at=None,
        asked_at=None,
    )


def _differs(changed: Notification, row: Notification) -> bool:
    """Whether people would see a difference."""
    return (changed.state, changed.gateway_status, changed.reason) != (row.state, row.gateway_status, row.reason)


def _others_moderated(tx: Transaction, row: Notification) -> bool:
    """Whether another SMS of the same incident is still being read at the gateway."""
    if row.incident_id is None:
        return False
    return any(other.moderated and other.id != row.id for other in tx.notifications_of([row.incident_id]))


def _submitted(tx: Transaction, row: Notification, outcome: Submitted, now: datetime) -> Notification:
    if outcome.message_id in tx.by_message_id([outcome.message_id]):
        reason = "Mobizon answered with the id of another message"
        return _lost(row, reason, now) if row.state is State.SENDING else row
    return row.becomes(
        Event.SUBMITTED,
        submitted_at=now,
        message_id=outcome.message_id,
        campaign_id=outcome.campaign_id,
        moderated=outcome.moderated,
        next_poll_at=now + _FIRST_POLL,
        lease_until=None,
        next_look_at=None,
        asked_at=None,
        reason=None,
    )


def _reported(row: Notification, report: DeliveryReport, now: datetime) -> Notification:
    assert row.submitted_at is not None
    new_word = report.status != row.gateway_status
    told: dict[str, Any] = {
        "gateway_status": report.status,
        "status_at": now if new_word else row.status_at,
        "unlisted": 0,
        "moderated": row.moderated and report.status == "NEW",
        "segments": report.segments or row.segments,
        "reason": None,
        "next_poll_at": None,
    }
    match report.verdict:
        case Verdict.DELIVERED:
            return row.becomes(Event.DELIVERED, **told, ended_at=now, next_price_at=_to_be_priced(row, now))
        case Verdict.UNDELIVERED:
            ended = {"ended_at": now, "reason": report.reason, "next_price_at": _to_be_priced(row, now)}
            return row.becomes(Event.UNDELIVERED, **told | ended)
        case Verdict.PENDING:
            return replace(row, **told | _asked_again(row, now))


def _to_be_priced(row: Notification, now: datetime) -> datetime | None:
    """When to ask what it cost: an SMS that was given up, priced, and arrives after all, is not paid twice."""
    return first_price(now) if row.cost is None else None


def _unlisted(row: Notification, now: datetime) -> Notification:
    told: dict[str, Any] = {"unlisted": row.unlisted + 1}
    if told["unlisted"] >= _GIVEN_UP_ON:
        told["reason"] = "Mobizon took it but does not name it when asked"
    return replace(row, **told | _asked_again(row, now))


def _asked_again(row: Notification, now: datetime) -> dict[str, Any]:
    """What changes of a row that is asked about again later, or no longer."""
    assert row.submitted_at is not None
    again = next_poll(row.submitted_at, row.validity, now)
    if again is None:
        reason = "no final report came from the operator; no longer asking"
        return {"next_poll_at": None, "next_price_at": _to_be_priced(row, now), "reason": reason}
    return {"next_poll_at": again}
