"""The door: everything that changes what we owe anybody goes through here, one transaction each."""

import logging
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from bridge import answering, beats, duty, escalator, links, previews, silencing, storms, watch
from bridge.admission import Admission, Parsed, Tally
from bridge.budget import Budget
from bridge.clock import Clock
from bridge.domain import sms
from bridge.domain.house import House, Person, Role
from bridge.domain.incident import Incident
from bridge.domain.notification import Event, Notification, Priority, State, lost_token
from bridge.domain.phone import BadNumber, PhoneNumber, parse_phone, why_not_textable
from bridge.metrics import Metrics
from bridge.ports import Card, CardKind, Live, Question, Store, TelegramUpdate, TimelineEntry, Timer, Transaction
from bridge.requests import (
    Accepted,
    Answered,
    Asked,
    Asker,
    Denied,
    Foreseen,
    LinkView,
    PageRequest,
    Pressed,
    SmsRequest,
    Swapped,
    SwapRequest,
    Verb,
)

__all__ = [
    "Accepted",
    "Answered",
    "Asked",
    "Asker",
    "Denied",
    "Dispatcher",
    "Foreseen",
    "LinkView",
    "PageRequest",
    "Pressed",
    "SmsRequest",
    "SwapRequest",
    "Swapped",
    "Verb",
]

log = logging.getLogger(__name__)

QUESTION_OPEN = timedelta(minutes=10)
"""How long *Send* may be pressed."""
FARTHEST = timedelta(days=14)
"""How far ahead an SMS may be deferred."""
WORTH_TRYING = timedelta(hours=24)
"""How long a typed SMS is tried while the gateway cannot be used."""
_FEW = 16  # webhooks; so few cost little, and share a commit with whatever waits
_TOKEN_BYTES = 8
_LINK = "from the SMS link"
_BY_LINK = {
    Verb.ACKNOWLEDGE: answering.acknowledge,
    Verb.TAKE_OVER: answering.acknowledge,
    Verb.PASS_ON: answering.pass_on,
    Verb.RESOLVE: answering.resolve,
    Verb.HAND_BACK: answering.hand_back,
}
_NO_BUTTON = "This button is no longer in use."
_LONGEST_VALIDITY = 4320  # minutes, the documented maximum
_LONGEST_SENDER = 15  # digits of a number; a name has at most 11 letters


class Dispatcher:
    """Load, decide, save. Every method raises NotStored when the database could not keep it.

    `on_accept` is called when alerts are about to be written: what is done then in the store shares their commit.
    """

    def __init__(self, store: Store, clock: Clock, house: Live[House], metrics: Metrics) -> None:
        self._store = store
        self._clock = clock
        self._house = house
        self._metrics = metrics
        self._admission = Admission(metrics)
        self.on_accept = _nobody

    # --- webhooks ----------------------------------------------------------------------------------

    async def keep_webhook(self, source: str, route: str | None, headers: Mapping[str, str], body: bytes) -> int:
        """Keep a webhook's raw body; the receipt's number, once it is durable."""
        now = self._clock.now()

        def keep(tx: Transaction) -> int:
            tx.wake("intake")
            return tx.keep_receipt(source, route, headers, body, now)

        return await self._store.write(keep)

    async def keep_dead_letter(self, source: str, body: bytes, why: str) -> None:
        """Keep what can never be understood (not JSON), and tell the watch chat; the same bytes once an hour."""
        house, now = self._house.value, self._clock.now()

        def keep(tx: Transaction) -> None:
            if (receipt := tx.keep_dead_letter(source, body, why, now)) is not None:
                text = f"{source} sent something that is not JSON ({why}); kept as receipt {receipt}, nobody was paged"
                watch.begin(tx, house, "dead_letter", text, now, subject=source)

        await self._store.write(keep)

    async def accept(self, arrived: Sequence[Parsed]) -> None:
        """Let what webhooks said become incidents, plans and cards: all of them in one transaction."""
        house, now = self._house.value, self._clock.now()
        self.on_accept()
        heavy = len(arrived) > _FEW
        tally = await self._store.write(lambda tx: self._admission.admit(tx, house, arrived, now), heavy=heavy)
        self._admission.count(tally)

    async def beat_is_due(self, source: str) -> None:
        """This source had its time to beat: unless it was heard meanwhile, its silence becomes an incident."""
        house, now = self._house.value, self._clock.now()

        def admit(tx: Transaction) -> Tally:
            missed = beats.missed(tx, house, source, now)
            return self._admission.admit(tx, house, [Parsed(*missed)], now) if missed else Tally()

        self._admission.count(await self._store.write(admit))

    async def make_up_for(self, away: timedelta) -> None:
        """For so long up to now nobody could have been heard: no source has to answer for that."""
        now = self._clock.now()
        await self._store.write(lambda tx: beats.make_up_for(tx, away, now))

    async def follow_beats(self) -> None:
        """The sources that have to beat are those of the config in force."""
        house, now = self._house.value, self._clock.now()
        await self._store.write(lambda tx: beats.follow(tx, house, now))

    async def replay(self, receipt_id: int) -> int | Denied | None:
        """Put a stored webhook through again, as a new receipt; None when there is no such receipt."""
        house, now = self._house.value, self._clock.now()

        def again(tx: Transaction) -> int | Denied | None:
            old = tx.receipt(receipt_id)
            if old is None:
                return None
            rules = house.sources.get(old.source)
            if rules is not None and rules.every is not None:
                return Denied(f"{old.source} is a heartbeat, and only its own beats are signs of life")
            tx.wake("intake")
            return tx.keep_receipt(old.source, old.route, old.headers, old.body, now)

        return await self._store.write(again)

    async def source_refused(self, source: str) -> None:
        """A known source came with a wrong credential: tell the watch chat; a new message at most once an hour."""
        house, now = self._house.value, self._clock.now()
        known = await self._store.read(lambda tx: tx.open_trouble("source_refused", source))
        if known and now - known.seen_at < timedelta(minutes=1):
            return  # a sender that hammers must not make us write at its pace
        text = f"{source} was refused: its credential is missing or wrong, so its alerts page nobody"
        await self._store.write(lambda tx: watch.begin(tx, house, "source_refused", text, now, subject=source))

    # --- typed SMS -----------------------------------------------------------------------------------

    async def send_sms(self, request: SmsRequest) -> Accepted | Asked | Denied:
        """Put a typed SMS into the outbox, or ask first, or say why not."""
        house, now = self._house.value, self._clock.now()

        def send(tx: Transaction) -> Accepted | Asked | Denied:
            if request.cause and (known := tx.notification_by_cause(request.cause)):
                return Accepted(known, repeated=True)
            if request.cause and (asked := tx.question_by_cause(request.cause)):
                return Asked(asked)
            row = _wanted(tx, house, request, now)
            if isinstance(row, Denied):
                return row
            if request.send_at is None and (denied := _over_limit(tx, house, row, now)):
                return denied
            why = _why_ask(tx, house, request, row) if request.may_ask else ""
            if why and request.asker.telegram_id is not None:
                return Asked(_ask(tx, request, row, why, now))
            row = replace(row, id=tx.numbers(1)[0])
            _enter(tx, row, now)
            if request.place:
                _open_card(tx, row.id, request, now)
            return Accepted(row)

        return await self._store.write(send)

    async def foresee_sms(self, request: SmsRequest) -> Foreseen | Denied:
        """What `send_sms` would make of it now: nothing is kept or sent, and its cause is not looked at."""
        house, now = self._house.value, self._clock.now()

        def look(tx: Transaction) -> Foreseen | Denied:
            row = _wanted(tx, house, request, now)
            if isinstance(row, Denied):
                return row
            closed = _over_limit(tx, house, row, now) if request.send_at is None else None
            return Foreseen(replace(row, sender_id=row.sender_id or house.sms.sender_id), closed)

        return await self._store.read(look)

    async def answer_question(
        self, question_id: int, token: str, telegram_id: int, chat_id: int, *, send: bool
    ) -> Accepted | Denied | None:
        """*Send* or *Don't send* was pressed. None: it was dropped as asked. Denied: not theirs, or too late."""
        house, now = self._house.value, self._clock.now()

        def answer(tx: Transaction) -> Accepted | Denied | None:
            question = tx.question(question_id)
            if question is None or not secrets.compare_digest(question.token, token):
                return Denied(_NO_BUTTON)
            if not _stands_in(tx, question_id, chat_id, telegram_id):
                return Denied(_NO_BUTTON)
            if question.telegram_id != telegram_id:
                return Denied(f"Only {_spoken(house, question.asked_by)} can press this.", forbidden=True)
            if question.answer is not None or now >= question.expires_at:
                return Denied("Too late: this question was closed. Type the command again.")
            if send and (barred := _no_longer_allowed(house, question)):
                return barred
            tx.answer_question(question_id, "sent" if send else "dropped")
            tx.drop_timer("question", str(question_id))
            tx.bump_cards(CardKind.SMS, [question_id], now, urgent=True)
            tx.wake("reporter")
            if not send:
                return None
            row = _from_question(question, now)
            _enter(tx, row, now)
            return Accepted(row)

        return await self._store.write(answer)

    async def expire_question(self, question_id: int) -> None:
        """Nobody pressed in time: the question is closed, nothing is sent."""
        now = self._clock.now()

        def expire(tx: Transaction) -> None:
            if tx.answer_question(question_id, "expired"):
                tx.bump_cards(CardKind.SMS, [question_id], now, urgent=True)
                tx.wake("reporter")

        await self._store.write(expire)

    async def settle_lost(
        self, number: int, token: str, telegram_id: int, chat_id: int, *, again: bool
    ) -> Notification | Denied:
        """*Send again* or *Leave it* was pressed under an SMS whose answer was lost and that is not listed."""
        house, now = self._house.value, self._clock.now()

        def settle(tx: Transaction) -> Notification | Denied:
            row = tx.notification(number)
            person = house.person_by_telegram(telegram_id)
            if row is None or not secrets.compare_digest(lost_token(row), token):
                return Denied(_NO_BUTTON)
            if not _stands_in(tx, number, chat_id, telegram_id):
                return Denied(_NO_BUTTON)
            if row.state is not State.UNCERTAIN or row.asked_at is None:
                return Denied("Too late: that is settled.")
            if person is None or person.role < (Role.RESPONDER if row.person else Role.OPERATOR):
                return Denied("Your role does not let you settle this.", forbidden=True)
            if again:
                reason = f"sent again by {person.name}"
                settled = row.becomes(
                    Event.MISSING, due_at=now, resent=True, claimed_at=None, next_look_at=None, asked_at=None,
                    expires_at=now + WORTH_TRYING, reason=reason,
                )  # fmt: skip
            else:
                reason = f"left as it is by {person.name}; whether it left is not known"
                settled = row.becomes(Event.LEFT, ended_at=now, next_look_at=None, asked_at=None, reason=reason)
            if not tx.save_notification(settled, row):
                return Denied("Too late: that is settled.")
            tx.add_timeline([TimelineEntry(number, now, reason.partition(";")[0], person.name)])
            tx.bump_cards(CardKind.SMS, [number], now, urgent=True)
            tx.wake("sender", "reporter")
            return settled

        return await self._store.write(settle)

    async def cancel_sms(self, number: int, asker: Asker) -> Notification | Denied:
        """Take back a deferred SMS that has not left."""
        now = self._clock.now()

        def cancel(tx: Transaction) -> Notification | Denied:
            row = tx.notification(number)
            if row is None or row.incident_id is not None:
                return Denied(f"There is no SMS #{number} to take back.")
            if row.asked_by != asker.name and asker.role < Role.OPERATOR:
                return Denied(f"Only who asked for #{number}, or an operator, can take it back.", forbidden=True)
            if row.state is not State.PLANNED:
                return Denied(f"#{number} is {row.state} already; it cannot be taken back.")
            gone = row.becomes(Event.CANCELLED, ended_at=now, reason=f"taken back by {asker.name}")
            tx.save_notification(gone, row)
            tx.add_timeline([TimelineEntry(number, now, "taken back", asker.name)])
            tx.bump_cards(CardKind.SMS, [number], now, urgent=True)
            tx.wake("reporter")
            return gone

        return await self._store.write(cancel)

    # --- answering for an incident ---------------------------------------------------------------------

    async def acknowledge(
        self, incident_id: int, by: Asker, via: str = "", *, pressed: Pressed | None = None, cause: str | None = None
    ) -> Answered | Denied:
        """Somebody has it: nobody else is called. `via` says from where, when not in the chat.

        For this and the next five: `pressed` is the button, which does nothing elsewhere than at its card, nor to
        what has changed since the card showed it; asked for without one, an acknowledgement takes over. The same
        `cause`, a Telegram update, never changes anything twice.
        """
        answer = answering.acknowledge if pressed is None else answering.acknowledge_unless_taken
        return await self._answer(answer, incident_id, by, via, pressed, cause)

    async def resolve(
        self, incident_id: int, by: Asker, via: str = "", *, pressed: Pressed | None = None, cause: str | None = None
    ) -> Answered | Denied:
        """It is over, says a person; it stays over while its source repeats what it said before."""
        return await self._answer(answering.resolve, incident_id, by, via, pressed, cause)

    async def pass_on(
        self, incident_id: int, by: Asker, via: str = "", *, pressed: Pressed | None = None, cause: str | None = None
    ) -> Answered | Denied:
        """The next rung is called now."""
        answer = partial(answering.pass_on, shown=pressed.rung if pressed else None)
        return await self._answer(answer, incident_id, by, via, pressed, cause)

    async def hand_back(
        self, incident_id: int, by: Asker, via: str = "", *, pressed: Pressed | None = None, cause: str | None = None
    ) -> Answered | Denied:
        """Who has it gives it back: the plan begins now, with somebody else."""
        return await self._answer(answering.hand_back, incident_id, by, via, pressed, cause)

    async def silence(
        self,
        incident_id: int,
        by: Asker,
        via: str = "",
        *,
        for_: timedelta,
        pressed: Pressed | None = None,
        cause: str | None = None,
    ) -> Answered | Denied:
        """Its source is to say nothing of it for so long; who asks has it, unless somebody has it already."""
        return await self._answer(silencing.wish(for_), incident_id, by, via, pressed, cause)

    async def unsilence(
        self, incident_id: int, by: Asker, via: str = "", *, pressed: Pressed | None = None, cause: str | None = None
    ) -> Answered | Denied:
        """Its source is to speak again."""
        return await self._answer(silencing.undo, incident_id, by, via, pressed, cause)

    async def _answer(
        self,
        answer: answering.Answer,
        incident_id: int,
        by: Asker,
        via: str,
        pressed: Pressed | None,
        cause: str | None,
    ) -> Answered | Denied:
        house, now = self._house.value, self._clock.now()

        def decide(tx: Transaction) -> Answered | Denied:
            incident = tx.incident(incident_id)
            if pressed is not None and not (incident and _is_its_button(tx, house, incident, pressed, by)):
                return Denied(_NO_BUTTON)
            if by.role < Role.RESPONDER:
                reason = f"{by.name} is an observer; answering for an incident takes the role responder"
                return Denied(reason, forbidden=True)
            if incident is None:
                return Denied(f"There is no incident #{incident_id}.")
            update = _update_of(cause) if cause else None
            if update is not None and tx.is_update_done(*update):
                return Answered(incident)
            said = answer(tx, house, incident, by.name, via, now)
            if update is not None and isinstance(said, Answered):
                tx.do_update(*update)
            return said

        return await self._store.write(decide)

    async def answer_by_link(self, token: str, verb: Verb, called: int) -> LinkView | None:
        """A button of the page behind a link was pressed; the page as it is then, None when the link leads nowhere.

        Whoever was paged may answer, whatever their role: to be called is to be asked, and a contact without Telegram
        has no other way to say "I have it". What the page no longer offers, for it was old, changes nothing.
        """
        house, now = self._house.value, self._clock.now()

        def decide(tx: Transaction) -> LinkView | None:
            found = links.behind(tx, house, token, now)
            if found is None:
                return None
            person, incident = found
            before = links.view(tx, house, person, incident, now)
            if verb not in before.verbs:
                return before
            if verb is Verb.PASS_ON and called != before.called:
                return replace(before, problem="The next is being called already.")
            said = _BY_LINK[verb](tx, house, incident, person.name, _LINK, now)
            if isinstance(said, Denied):
                return replace(before, problem=said.reason)
            return links.view(tx, house, person, said.incident, now)

        return await self._store.write(decide)

    async def page(self, request: PageRequest) -> Answered | Denied:
        """Open an incident by hand, on the policy of the chat it was asked in."""
        house, now = self._house.value, self._clock.now()
        return await self._store.write(lambda tx: answering.open_by_hand(tx, house, request, now))

    async def deadline(self, subject: str) -> None:
        """A rung's time to be on somebody's handset is over; `subject` is incident:round:step."""
        house, now = self._house.value, self._clock.now()
        await self._store.write(lambda tx: escalator.deadline(tx, house, subject, now, self._metrics))

    async def nobody_has_it(self, incident_id: int) -> None:
        """The last rung's time to answer is over."""
        house, now = self._house.value, self._clock.now()
        await self._store.write(lambda tx: escalator.nobody(tx, house, incident_id, now))

    async def acknowledgement_over(self, incident_id: int) -> None:
        """It was taken long ago and still fires."""
        house, now = self._house.value, self._clock.now()
        await self._store.write(lambda tx: answering.acknowledgement_over(tx, house, incident_id, now))

    # --- whose turn it is ------------------------------------------------------------------------------

    async def swap(self, request: SwapRequest) -> Swapped | Denied:
        """A turn is taken, given to somebody, or the rota is as planned again; kept once this returns."""
        house, now = self._house.value, self._clock.now()
        return await self._store.write(lambda tx: duty.swap(tx, house, request, now))

    async def storm_is_calm(self, storm_id: int) -> None:
        """Nothing has joined this storm for so long."""
        house, now = self._house.value, self._clock.now()
        await self._store.write(lambda tx: storms.calm(tx, house, storm_id, now))

    async def dissolved_storm_asks(self, storm_id: int) -> None:
        """Somebody ended this storm so long ago, and has had what fired in it since."""
        house, now = self._house.value, self._clock.now()
        await self._store.write(lambda tx: storms.ask_again(tx, house, storm_id, now), heavy=True)

    async def ask_limits_anew(self) -> None:
        """What a limit holds is looked at by the limits of the config in force, and so is how much of them is left."""
        house, now = self._house.value, self._clock.now()

        def ask(tx: Transaction) -> None:
            near = {nearly.subject for nearly in Budget(tx, house, now).all_nearly_spent()}
            for trouble in tx.open_troubles():
                if trouble.kind == "limit" and trouble.subject not in near:
                    watch.end(tx, "limit", now, subject=trouble.subject)
            if tx.release_held(now):
                tx.wake("sender")

        await self._store.write(ask)

    # --- hints and troubles ----------------------------------------------------------------------------

    async def receive_updates(self, updates: Sequence[TelegramUpdate]) -> None:
        """Keep Telegram updates; those already known change nothing."""

        def keep(tx: Transaction) -> None:
            tx.keep_updates(updates)
            tx.wake("bot")

        await self._store.write(keep)

    async def delivery_hint(self, message_ids: Collection[str]) -> int:
        """Mobizon's own webhook names these: ask about them at once. How many we know."""
        now = self._clock.now()

        def hint(tx: Transaction) -> int:
            tx.wake("tracker")
            return tx.poll_now(message_ids, now)

        return await self._store.write(hint)

    async def chat_moved(self, old_chat_id: int, new_chat_id: int) -> None:
        """A group became a supergroup, says Telegram. If it is one of ours, all that held for it holds there."""
        house, now = self._house.value, self._clock.now()
        if house.chats_by_id(old_chat_id):
            await self._store.write(lambda tx: watch.chat_moved(tx, house, old_chat_id, new_chat_id, now))
            self._house.value = self._house.value.moved({old_chat_id: new_chat_id})
            log.warning("a chat of the config became a supergroup", extra={"old": old_chat_id, "new": new_chat_id})

    async def follow_moves(self, configured: House) -> None:
        """This config is in force from now on, with its chats where they live by now."""
        now = self._clock.now()
        self._house.value = await self._store.read(lambda tx: configured.moved(watch.moves(tx)))
        await self._store.write(lambda tx: watch.forget_moves(tx, configured, now))

    async def keep_hours(self) -> None:
        """What waits for the hours of its route waits for those of the config in force."""
        house, now = self._house.value, self._clock.now()
        await self._store.write(lambda tx: escalator.date_anew(tx, house, now))

    async def begin_trouble(self, kind: str, subject: str, text: str, *, by_sms: bool = False) -> None:
        """Something is wrong with the bridge: rings once in the watch chat, then is only edited."""
        house, now = self._house.value, self._clock.now()
        await self._store.write(lambda tx: watch.begin(tx, house, kind, text, now, subject=subject, by_sms=by_sms))

    async def end_trouble(self, kind: str, subject: str = "") -> None:
        """It is over: the message in the watch chat says so."""
        now = self._clock.now()
        if await self._store.read(lambda tx: tx.open_trouble(kind, subject)):
            await self._store.write(lambda tx: watch.end(tx, kind, now, subject=subject))

    async def say(self, text: str) -> None:
        """One silent line in the watch chat."""
        house, now = self._house.value, self._clock.now()
        await self._store.write(lambda tx: watch.tell(tx, house, text, now))


@dataclass(frozen=True, slots=True)
class _Recipient:
    """Whom a typed SMS goes to; `person` when the config knows the number."""

    number: PhoneNumber
    person: Person | None


def _wanted(tx: Transaction, house: House, request: SmsRequest, now: datetime) -> Notification | Denied:
    """The row that was asked for, all but its number; limits apart."""
    to = duty.recipient(tx, house, request, now)
    recipient = to if isinstance(to, Denied) else _recipient(replace(request, to=to), house)
    if isinstance(recipient, Denied):
        return recipient
    if why := previews.why_not_typed(request.text, house.sms.typed_max_segments):
        return Denied(why, field="text")
    if wrong := _wrong_options(request, now):
        return wrong
    row = _planned(request, recipient, now)
    if never := Budget(tx, house, now).never_fits(row):
        return Denied(never, field="text")
    return row


def _recipient(request: SmsRequest, house: House) -> _Recipient | Denied:
    """Who `to` is, and whether this asker may text them."""
    asker = request.asker
    if asker.role < Role.RESPONDER:
        return Denied(f"{asker.name} is an observer; sending SMS takes the role responder", forbidden=True)
    wanted = request.to.strip()
    person = next((p for name, p in house.people.items() if name.casefold() == wanted.casefold()), None)
    if person is None:
        if not any(sign.isdigit() for sign in wanted):
            known = ", ".join(sorted(house.people)) or "nobody yet"
            return Denied(f'nobody is called "{wanted[:40]}"; there are: {known}', field="to")
        try:
            number = parse_phone(wanted, house.sms.default_region)
        except BadNumber as error:
            return Denied(str(error), field="to")
        person = house.person_by_number(number)
    elif person.number is None:
        return Denied(f"{person.name} has no phone in the config", field="to")
    else:
        number = person.number
    if barred := why_not_textable(number, house.sms.allowed_regions, known=person is not None):
        return Denied(barred, field="to")
    if person is None and asker.role < Role.OPERATOR:
        return Denied(
            f"{asker.name} is a responder and may text people of the config; other numbers take the role operator",
            forbidden=True,
        )
    return _Recipient(number, person)


def _wrong_options(request: SmsRequest, now: datetime) -> Denied | None:
    if request.validity is not None and not 1 <= request.validity <= _LONGEST_VALIDITY:
        return Denied(f"validity is in minutes, 1 to {_LONGEST_VALIDITY}", field="validity")
    if request.sender_id is not None and not 1 <= len(request.sender_id) <= _LONGEST_SENDER:
        return Denied(f"a sender ID has 1 to {_LONGEST_SENDER} characters", field="sender_id")
    if request.send_at is not None and not now - timedelta(minutes=1) <= request.send_at <= now + FARTHEST:
        return Denied("an SMS can wait at most 14 days, and not for the past", field="send_at")
    return None


def _planned(request: SmsRequest, recipient: _Recipient, now: datetime) -> Notification:
    """The row of the outbox, all but its number."""
    size = sms.measure(request.text)
    due_at = max(request.send_at or now, now)
    return Notification(
        id=0,
        target=recipient.person.name if recipient.person else recipient.number.e164,
        due_at=due_at,
        created_at=now,
        priority=Priority.TYPED,
        person=recipient.person.name if recipient.person else None,
        number=recipient.number,
        text=request.text,
        alphabet=size.alphabet,
        segments=size.segments,
        sender_id=request.sender_id,
        validity=request.validity,
        flash=request.flash,
        shorten_links=request.shorten_links,
        expires_at=due_at + WORTH_TRYING,
        asked_by=request.asker.name,
        chat=request.chat.name if request.chat else None,
        cause=request.cause,
    )


def _over_limit(tx: Transaction, house: House, row: Notification, now: datetime) -> Denied | None:
    """Typed SMS stop at their share; pages may use the rest."""
    closed = Budget(tx, house, now).closed(row, None)
    return Denied(closed.why, opens_at=closed.opens_at) if closed else None


def _why_ask(tx: Transaction, house: House, request: SmsRequest, row: Notification) -> str:
    assert row.number is not None and row.segments is not None
    if request.late:
        return request.late
    if row.segments > house.sms.confirm_above_segments:
        return f"{row.segments} segments"
    if row.person is None and not tx.was_sent_to(row.number.e164, row.chat):
        return "first time from here"
    return ""


def _ask(tx: Transaction, request: SmsRequest, row: Notification, why: str, now: datetime) -> Question:
    assert request.asker.telegram_id is not None and row.number is not None
    assert row.text is not None and row.alphabet is not None and row.segments is not None
    question = Question(
        id=tx.numbers(1)[0],
        telegram_id=request.asker.telegram_id,
        asked_by=request.asker.name,
        number=row.number,
        target=row.target,
        text=row.text,
        alphabet=row.alphabet,
        segments=row.segments,
        token=secrets.token_hex(_TOKEN_BYTES),
        created_at=now,
        expires_at=now + QUESTION_OPEN,
        chat=row.chat,
        cause=row.cause,
        why=why,
        sender_id=row.sender_id,
        options={
            "send_at": request.send_at.isoformat() if request.send_at else None,
            "validity": row.validity,
            "flash": row.flash,
            "shorten_links": row.shorten_links,
            "person": row.person,
        },
    )
    tx.add_question(question)
    tx.set_timer(Timer("question", str(question.id), question.expires_at))
    _open_card(tx, question.id, request, now)
    return question


def _from_question(question: Question, now: datetime) -> Notification:
    options = question.options
    send_at = datetime.fromisoformat(options["send_at"]) if options["send_at"] else now
    due_at = max(send_at, now)
    return Notification(
        id=question.id,
        target=question.target,
        due_at=due_at,
        created_at=now,
        priority=Priority.TYPED,
        person=options["person"],
        number=question.number,
        text=question.text,
        alphabet=question.alphabet,
        segments=question.segments,
        sender_id=question.sender_id,
        validity=options["validity"],
        flash=options["flash"],
        shorten_links=options["shorten_links"],
        expires_at=due_at + WORTH_TRYING,
        asked_by=question.asked_by,
        chat=question.chat,
        cause=question.cause,
    )


def _no_longer_allowed(house: House, question: Question) -> Denied | None:
    """The config may have changed since the question was put."""
    person = house.person_by_telegram(question.telegram_id)
    wanted = Role.RESPONDER if question.options["person"] in house.people else Role.OPERATOR
    if person is None or person.role < wanted:
        return Denied("You may no longer send this.", forbidden=True)
    if barred := why_not_textable(question.number, house.sms.allowed_regions, known=wanted is Role.RESPONDER):
        return Denied(barred)
    return None


def _stands_in(
    tx: Transaction, number: int, chat_id: int, telegram_id: int | None, kind: CardKind = CardKind.SMS
) -> bool:
    """Whether a button of this card can be pressed there: in its card's chat, or below one's own private /status.

    Not the message but the chat, for a lost answer can leave a second card, and both work.
    """
    return chat_id == telegram_id or any(card.place.chat_id == chat_id for card in tx.cards_of(kind, number))


def _is_its_button(tx: Transaction, house: House, incident: Incident, pressed: Pressed, by: Asker) -> bool:
    """Whether an incident's card has this button, in the chat where it was pressed."""
    if not secrets.compare_digest(incident.token, pressed.token):
        return False
    home = house.chats.get(incident.chat or "")
    here = home is not None and home.id == pressed.chat_id
    return here or _stands_in(tx, incident.id, pressed.chat_id, by.telegram_id, CardKind.INCIDENT)


def _update_of(cause: str) -> tuple[int, int]:
    """The bot and the update that a cause names: telegram:BOT:UPDATE."""
    _, bot_id, update_id = cause.split(":")
    return int(bot_id), int(update_id)


def _enter(tx: Transaction, row: Notification, now: datetime) -> None:
    tx.add_notifications([row])
    tx.add_timeline([TimelineEntry(row.id, now, "asked for", row.asked_by or "")])
    tx.wake("sender", "reporter")


def _open_card(tx: Transaction, number: int, request: SmsRequest, now: datetime) -> None:
    assert request.place is not None
    tx.add_card(
        Card(0, CardKind.SMS, number, request.place, reply_to=request.reply_to, ring=True, urgent=True, changed_at=now)
    )
    tx.wake("reporter")


def _spoken(house: House, name: str) -> str:
    person = house.people.get(name)
    return person.spoken if person else name


def _nobody() -> None:
    """Who is told of alerts until the ticker is there."""
