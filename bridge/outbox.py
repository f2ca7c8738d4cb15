"""The outbox: claims rows under a lease, and records what became of them.

A row is claimed before it is sent: if we die in between, the lease runs out and the row is uncertain,
never "not sent". Sending first and recording after would page people twice.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from bridge import duty, escalator, links, texts, watch
from bridge.clock import Clock
from bridge.domain import sms
from bridge.domain.escalation import CHAT, ROTA
from bridge.domain.house import House, Person, Role
from bridge.domain.incident import Incident, IncidentState
from bridge.domain.notification import Event, Notification, Priority, Purpose, State
from bridge.domain.phone import why_not_textable
from bridge.domain.retry import LOOKS, UNKNOWN_AFTER, next_attempt, next_look, next_poll
from bridge.domain.throttle import Limits, Spent, opens_at
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

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
OPERATOR_WAIT = timedelta(minutes=1)
"""How often a send is tried again while an operator has something to mend."""
_TOKEN = "api:"  # noqa: S105 - how a row says that an API token asked for it
_FIRST_POLL = timedelta(seconds=1)
_LATER_ATTEMPTS = 100  # hours of trying, at five minutes each
_CLAIM_ROUNDS = 20  # in one transaction: rows that limits postpone must not hold up those behind them
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
        incidents = tx.incidents_by_id({row.incident_id for row in rows if row.incident_id is not None})
        installation = tx.meta("installation") or ""
        budget = _Budget(tx, house.limits, now)
        told = duty.told_already(tx, rows) if house.rotas else {}
        claimed, pairs = [], []
        for row in rows:
            ready = self._ready(tx, row, incidents.get(row.incident_id or 0), house, now)
            if ready.is_page and ready.person and told.get((duty.rung_of(row), ready.person), row.id) != row.id:
                # By their own name and by their rota in one rung: one SMS is enough.
                reason = f"{house.spoken(ready.person)} is told already"
                ready = row.becomes(Event.CANCELLED, ended_at=now, reason=reason)
            if ready.state is State.PLANNED and (opens := budget.opens_at(ready)):
                self._metrics.suppressed.labels("limit").inc()
                ready = replace(row, due_at=opens, reason="a limit is reached (limits in the config)")
            elif ready.state is State.PLANNED:
                ready = _leaving(ready, installation, now)
                budget.reserve(ready)
                claimed.append(ready)
                told[duty.rung_of(ready), ready.person or ""] = ready.id
            pairs.append((ready, row))
        kept = tx.save_notifications(pairs)
        mine = {ready.id for (ready, _), held in zip(pairs, kept, strict=True) if held}
        for ready, row in pairs:
            if ready.id in mine and ready.state is not State.SENDING and _differs(ready, row):
                self._tell(tx, house, ready, row, now)
        return [row for row in claimed if row.id in mine]

    def _ready(
        self, tx: Transaction, row: Notification, incident: Incident | None, house: House, now: datetime
    ) -> Notification:
        """As `_ready` below; a row that cannot even be thought about must not hold up the others."""
        try:
            whom = duty.whom(tx, house, row, now)
            ready = _ready(row, incident, house, whom, now)
            if whom is None and ready.state is State.FAILED:
                duty.mind_gap(tx, house, duty.roster(tx, house), row.target.removeprefix(ROTA), now)
            return ready
        except Exception as error:
            log.exception("a notification could not be made ready", extra={"notification": row.id})
            what = f"a mistake of ours ({type(error).__name__}); please report it"
            watch.begin(tx, house, "mistake", f"#{row.incident_id or row.id} was not sent: {what}", now)
            return row.becomes(Event.GAVE_UP, ended_at=now, reason=what)

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
        return row.becomes(event, due_at=again, failures=failures, reason=reason, claimed_at=None, lease_until=None)

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
        tx.wake("reporter")

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


def _ready(row: Notification, incident: Incident | None, house: House, whom: str | None, now: datetime) -> Notification:
    """The row with its person, number and text settled for now; or ended, when it may not or need not go.

    `whom` it is for: a person, a number, or nobody when it is for a rota with a gap.
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
        text = _about(incident, row, house, now)
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
    )


def _about(incident: Incident, row: Notification, house: House, now: datetime) -> str:
    """The SMS about an incident, as it has to read now."""
    zone = house.zone_of(incident.chat)
    match row.purpose:
        case Purpose.TAKEN:
            return texts.taken(incident, house.sms, house.spoken(incident.acknowledged_by))
        case Purpose.OVER:
            return texts.over(incident, house.sms, zone, house.spoken(incident.acknowledged_by))
        case Purpose.PAGE:
            call, link = row.round - incident.first_round + 1, links.address(house, row)
            late = texts.late_by(row.created_at, now) if (call, row.step) <= (1, 1) and row.failures else None
            return texts.page(incident, house.sms, zone, late=late, call=call, again=row.step == 0, link=link)
        case _:
            assert_never(row.purpose)


def _unwanted(row: Notification, incident: Incident | None, now: datetime) -> str:
    """Why nobody wants this any more; empty while somebody does."""
    if row.is_page and (incident is None or incident.state is not IncidentState.TRIGGERED):
        return "over before it was sent" if incident is None or not incident.is_open else "somebody has it"
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
    if row.asked_by.startswith(_TOKEN):  # a token called like a person who left speaks for itself alone
        role = house.scripts.get(row.asked_by.removeprefix(_TOKEN))
    else:
        role = house.people[row.asked_by].role if row.asked_by in house.people else None
    return role is None or role < (Role.RESPONDER if recipient else Role.OPERATOR)


class _Budget:
    """What the limits still allow in one claim.

    The sends of a window are added up by the database; one by one they are only read once a limit is reached.
    """

    def __init__(self, tx: Transaction, limits: Limits, now: datetime) -> None:
        self._tx = tx
        self._limits = limits
        self._now = now
        self._claimed: list[Spent] = []
        self._windows = {
            Priority.CRITICAL: limits.total,
            Priority.NORMAL: limits.normal_total,
            Priority.TYPED: limits.typed_total,
        }
        lengths = {window.length for window in (*limits.per_person, *limits.total)}
        self._reserved = {length: Counter(tx.reserved(now - length)) for length in lengths}

    def opens_at(self, row: Notification) -> datetime | None:
        """When the limits let this one out; None: now."""
        assert row.number is not None and row.segments is not None
        number, per_person = row.number.e164, self._limits.per_person
        total = self._windows[row.priority]
        used = [(window, self._reserved[window.length][number]) for window in per_person]
        used += [(window, self._reserved[window.length].total()) for window in total]
        if all(segments + min(row.segments, window.segments) <= window.segments for window, segments in used):
            return None
        spent = self._tx.spent(self._now - self._limits.longest) + self._claimed
        theirs = [s for s in spent if s.number == number]
        waits = [opens_at(theirs, per_person, row.segments, self._now), opens_at(spent, total, row.segments, self._now)]
        return max((wait for wait in waits if wait), default=None)

    def reserve(self, row: Notification) -> None:
        """This one goes out now."""
        assert row.number is not None and row.segments is not None
        self._claimed.append(Spent(row.number.e164, self._now, row.segments))
        for reserved in self._reserved.values():
            reserved[row.number.e164] += row.segments


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
        Event.MISSING, due_at=now, reason=reason, resent=True, claimed_at=None, next_look_at=None, asked_at=None
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
            return row.becomes(Event.DELIVERED, **told, ended_at=now)
        case Verdict.UNDELIVERED:
            return row.becomes(Event.UNDELIVERED, **told | {"ended_at": now, "reason": report.reason})
        case Verdict.PENDING:
            return replace(row, **told | _asked_again(row, now))


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
        return {"next_poll_at": None, "reason": "no final report came from the operator; no longer asking"}
    return {"next_poll_at": again}
