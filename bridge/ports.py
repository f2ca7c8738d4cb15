"""What the services need from the edges, and the values that pass between them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar
from zoneinfo import ZoneInfo

from bridge.domain.costs import Amount, Prices, Spending
from bridge.domain.hours import RouteHours
from bridge.domain.house import Person
from bridge.domain.incident import AlertRecord, Incident, IncidentState
from bridge.domain.notification import Notification, State
from bridge.domain.phone import PhoneNumber
from bridge.domain.rota import Booked
from bridge.domain.silence import Silence
from bridge.domain.throttle import Scope, Spent

T = TypeVar("T")


class Live(Generic[T]):
    """The value in force: a reload puts a new one in, whoever asks next sees it."""

    def __init__(self, value: T) -> None:
        self.value = value


# --- the gateway -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One SMS, ready for the wire. `reference` is kept by the gateway as the campaign's name."""

    number: PhoneNumber
    text: str = field(repr=False)
    reference: str
    sender_id: str | None = None
    validity: int | None = None  # minutes
    mclass: int | None = None  # 0 flash, 1 inbox, 2 SIM, 3 SIM toolkit; None: the gateway's default
    shorten_links: bool = False
    defer_to: datetime | None = None  # aware; the gateway sends it then


@dataclass(frozen=True, slots=True)
class Submitted:
    """Taken. `moderated`: held until a person at the gateway has read it. `without_sender`: `from` was refused."""

    message_id: str
    campaign_id: str | None = None
    moderated: bool = False
    without_sender: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The gateway will never take this one; nothing was sent."""

    reason: str
    code: int | None = None
    field: str | None = None  # "recipient", "text", … when it named one


@dataclass(frozen=True, slots=True)
class Unreachable:
    """Nothing was sent, and it may be tried again: no connection, a throttle, or trouble with our account.

    `needs_operator`: trying again is in vain until somebody acts; `advice` says on what.
    `wait`: the gateway asked for so much patience.
    """

    reason: str
    code: int | None = None
    needs_operator: bool = False
    wait: timedelta | None = None
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Lost:
    """It may have been sent: the answer did not come, or made no sense."""

    reason: str
    code: int | None = None


SendOutcome = Submitted | Refused | Unreachable | Lost
Failure = Refused | Unreachable | Lost


class Verdict(StrEnum):
    """What a gateway's status word means."""

    PENDING = "pending"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What the gateway says of one SMS. The two times are its own words: no zone is known for them."""

    message_id: str
    status: str
    verdict: Verdict
    reason: str = ""  # for people, when it was not delivered
    segments: int | None = None
    start_sent: str | None = None
    status_updated: str | None = None


@dataclass(frozen=True, slots=True)
class Statuses:
    """The answer to a status question: reports by message id, and the ids that the answer left out."""

    reports: Mapping[str, DeliveryReport]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Balance:
    """Money left in the account."""

    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """A question to the gateway's list of SMS. `criteria` are its own names, `sort` field → ASC or DESC.

    Pages count from 0 and hold 25, 50 or 100.
    """

    criteria: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    page: int = 0
    page_size: int = 25
    sort: Mapping[str, str] = field(default_factory=dict)
    number_info: bool = False


@dataclass(frozen=True, slots=True)
class ListedMessage:
    """One SMS as the gateway lists it; `raw` holds every field it gave, `campaign` the nested one."""

    id: str
    campaign_id: str | None
    to: str = field(repr=False)
    text: str = field(repr=False)
    status: str
    sender_id: str | None
    segments: int | None
    segment_price: Decimal | None
    start_sent: str | None
    status_updated: str | None
    country: str | None
    operator: str | None
    campaign_name: str | None  # our reference, on what we sent
    campaign_created: str | None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    campaign: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class MessagePage:
    """One page of the gateway's list."""

    items: tuple[ListedMessage, ...]
    total: int


class SmsGateway(Protocol):
    """Who carries our SMS. Outcomes are values: no method raises for what a gateway may do."""

    @property
    def ahead(self) -> timedelta:
        """How far our clock was ahead of the gateway's when it last said the hour; zero before that."""
        ...

    async def send(self, outgoing: Outgoing, *, not_after: float | None = None) -> SendOutcome:
        """Hand one SMS over, once. After `not_after` (the clock's `elapsed`) not a byte leaves: Unreachable."""
        ...

    async def statuses(self, message_ids: Sequence[str]) -> Statuses | Failure:
        """What became of these, any number; asked 100 at a time."""
        ...

    async def messages(self, query: MessageQuery) -> MessagePage | Failure:
        """A page of what the gateway lists."""
        ...

    async def balance(self) -> Balance | Failure:
        """Money left."""
        ...


class Silencer(Protocol):
    """Who can keep a source quiet. Outcomes are values; Refused is its last word, Lost: nobody knows."""

    async def create(self, silence: Silence, incident: Incident, by: str) -> str | Refused | Lost:
        """Make it, or find that it was made before; what the source calls it."""
        ...

    async def end(self, silence: Silence, incident: Incident) -> Refused | Lost | None:
        """End it wherever it is listed; None: it holds no longer."""
        ...

    async def fires(self, incident: Incident, fingerprints: Collection[str]) -> bool | Refused | Lost:
        """Whether any of these alerts, or any other with the incident's labels, fires: silenced or not."""
        ...


# --- calendars ---------------------------------------------------------------------------------------


class BadCalendar(Exception):
    """The calendar could not be had or understood; one sentence that names no address, title or person in it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a calendar says, and what in it somebody should look at."""

    booked: Booked
    problems: tuple[str, ...] = ()


# --- the chat ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """Where in Telegram: a chat id, and a topic in it."""

    chat_id: int
    topic: int | None = None


@dataclass(frozen=True, slots=True)
class RecipientLine:
    """One notification as a card shows it."""

    name: str  # the person as cards write them, or a masked number
    notification: Notification


@dataclass(frozen=True, slots=True)
class IncidentView:
    """All a card says about an incident. `zone` is how this chat reads clocks.

    `holder` is who has it, as people call them; `asks_again_at` when that acknowledgement is over.
    `silenced_by` asked for its `silence`; `may_silence`: its source can be kept quiet from here. `hours` are those
    of its route. `passed` is how it was passed on or handed back last, while nobody has it; `on_call` are to be
    named, where a step calls the chat. `prices` say about what its SMS cost, until that is known.
    """

    incident: Incident
    lines: tuple[RecipientLine, ...]
    zone: ZoneInfo
    now: datetime
    silent: bool = False
    holder: str = ""
    asks_again_at: datetime | None = None
    silence: Silence | None = None
    silenced_by: str = ""
    may_silence: bool = False
    hours: RouteHours = RouteHours()
    passed: "TimelineEntry | None" = None
    on_call: tuple[Person, ...] = ()
    prices: Prices = Prices()


@dataclass(frozen=True, slots=True)
class RingView:
    """A new message about an incident that has its card elsewhere. No `why`: nobody has it."""

    about: IncidentView
    why: str = ""


@dataclass(frozen=True, slots=True)
class SmsView:
    """All a card says about a typed SMS. `ring` makes it the new message that says it failed."""

    notification: Notification
    asked_by: str
    zone: ZoneInfo
    now: datetime
    name: str | None = None  # of the person it goes to, when the config knows them
    ring: bool = False
    problem: str | None = None  # why it waits: "Mobizon cannot be reached", a limit …
    estimate: Amount | None = None  # what it will have cost, until that is known


@dataclass(frozen=True, slots=True)
class QuestionView:
    """The question before sending; the only place in a group where number and text stand in full."""

    question: "Question"
    zone: ZoneInfo
    now: datetime
    estimate: Amount | None = None


@dataclass(frozen=True, slots=True)
class TroubleView:
    """A trouble of the bridge itself."""

    trouble: "Trouble"
    zone: ZoneInfo
    now: datetime


@dataclass(frozen=True, slots=True)
class NoteView:
    """A plain line, said once."""

    text: str


View = IncidentView | RingView | SmsView | QuestionView | TroubleView | NoteView


@dataclass(frozen=True, slots=True)
class Shown:
    """The chat shows it, in this message."""

    message_id: int


@dataclass(frozen=True, slots=True)
class Later:
    """Not now: flood wait or a passing fault. `whole_bot`: every chat has to wait."""

    wait: timedelta
    reason: str
    whole_bot: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """Never in this chat as things are: blocked, kicked, topic closed, chat not found."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unshowable:
    """The chat is open, but it does not take this card as it is: too long, a button it dislikes."""

    reason: str


@dataclass(frozen=True, slots=True)
class Moved:
    """The group became a supergroup and lives under this id now."""

    chat_id: int


@dataclass(frozen=True, slots=True)
class Vanished:
    """The message to edit is gone or may not be edited any more; a new one is needed."""


ChatOutcome = Shown | Later | Closed | Unshowable | Moved | Vanished


class Chat(Protocol):
    """Where cards are shown. Outcomes are values."""

    async def show(
        self,
        place: Place,
        view: View,
        *,
        message_id: int | None = None,
        reply_to: int | None = None,
        ring: bool = False,
    ) -> ChatOutcome:
        """Send a new message, or edit `message_id` in place. `ring`: with sound."""
        ...


# --- what the store keeps ------------------------------------------------------------------------------


class ReceiptState(StrEnum):
    """How far a stored webhook has come."""

    STORED = "stored"  # kept, not yet understood
    UNDERSTOOD = "understood"  # its alerts went through the door
    UNREADABLE = "unreadable"  # JSON, but not what its source sends
    DEAD = "dead"  # not JSON at all: a dead letter


@dataclass(frozen=True, slots=True)
class Receipt:
    """A stored webhook. `route` is the one named in the URL; `result` says what became of it."""

    id: int
    source: str
    received_at: datetime
    body: bytes = field(repr=False)
    route: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    state: ReceiptState = ReceiptState.STORED
    identity: str | None = None
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """An SMS that waits for *Send* under its card. Its id becomes the notification's.

    `token` goes into the buttons; only `telegram_id` may press, until `expires_at`.
    """

    id: int
    telegram_id: int
    asked_by: str
    number: PhoneNumber
    target: str
    text: str = field(repr=False)
    alphabet: str
    segments: int
    token: str = field(repr=False)
    created_at: datetime
    expires_at: datetime
    chat: str | None = None
    cause: str | None = None
    why: str = ""  # "first time from here", "3 segments"
    sender_id: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # due_at, flash, validity: as Notification has them
    answer: str | None = None  # None: open; "sent", "dropped", "expired"


class CardKind(StrEnum):
    """What a card shows; its subject is that thing's id."""

    INCIDENT = "incident"
    SMS = "sms"  # a typed SMS, or the question before it
    TROUBLE = "trouble"
    FAILED = "failed"  # the ringing message that a typed SMS failed
    NOTE = "note"  # a plain line; `text` holds it
    RING = "ring"  # a new message about an incident, as often as it takes; `text` says why


@dataclass(frozen=True, slots=True)
class Card:
    """A chat message that has to show the newest state. It is behind while `shown` < `wanted`."""

    id: int
    kind: CardKind
    subject: int
    place: Place
    wanted: int = 1
    shown: int = 0
    message_id: int | None = None
    reply_to: int | None = None
    ring: bool = False
    urgent: bool = False  # the newest change is one to show at once: an end, a question
    changed_at: datetime | None = None
    shown_at: datetime | None = None
    retry_at: datetime | None = None
    closed: str | None = None  # why this chat will not show it
    text: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something wrong with the bridge itself; one row per outbreak of (kind, subject)."""

    id: int
    kind: str
    subject: str
    text: str
    began_at: datetime
    seen_at: datetime
    count: int = 1
    over_at: datetime | None = None
    texted_at: datetime | None = None  # when people were told by SMS as well


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """What happened to an incident or SMS, when, by whom."""

    subject: int
    at: datetime
    what: str
    who: str = ""


@dataclass(frozen=True, slots=True)
class TelegramUpdate:
    """A Telegram update as it came, kept until it was handled."""

    bot_id: int
    update_id: int
    received_at: datetime
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Timer:
    """A due time with an owner; unique on (kind, subject)."""

    kind: str
    subject: str
    due_at: datetime


class Duplicate(Exception):
    """The database already holds something with this unique key; the transaction did nothing."""


class NotStored(Exception):
    """The database could not keep it (full, locked, gone); nothing was changed."""


class Transaction(Protocol):
    """What may be done to the store in one transaction. Synchronous: it runs whole on one thread.

    Verbs that take many write them in one statement. Times are aware UTC. `wake` names the ticks that
    the commit should start at once.
    """

    def wake(self, *ticks: str) -> None: ...
    def numbers(self, count: int) -> range:
        """So many new numbers from the one sequence that incidents and notifications share."""
        ...

    def meta(self, key: str) -> str | None: ...
    def set_meta(self, key: str, value: str) -> None: ...

    # receipts
    def keep_receipt(
        self, source: str, route: str | None, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> int: ...
    def keep_dead_letter(self, source: str, body: bytes, why: str, now: datetime) -> int | None:
        """Keep what can never be understood; None when the same bytes were kept within the hour."""
        ...

    def receipts_waiting(self, limit: int) -> list[Receipt]:
        """Stored, not yet understood: half the oldest, half the newest, when there are more than `limit`."""
        ...

    def receipt_waits(self, source: str) -> bool:
        """Whether something of this source is stored and not yet understood."""
        ...

    def save_receipts(self, receipts: Iterable[Receipt]) -> None:
        """Write state, identity and result of receipts."""
        ...

    def receipt(self, receipt_id: int) -> Receipt | None: ...
    def receipts(self, since: datetime, limit: int) -> list[Receipt]:
        """The newest first; bodies are left out."""
        ...

    def last_seen(self, source: str, identities: Collection[str]) -> dict[str, datetime]:
        """When a report of this identity was last received, among those already understood."""
        ...

    # incidents
    def open_incidents(self, groups: Collection[tuple[str, str]]) -> list[Incident]:
        """Unresolved incidents of these (source, group_key)."""
        ...

    def ended_incidents(self, groups: Collection[tuple[str, str]], after: datetime) -> list[Incident]:
        """Incidents of these (source, group_key) that ended after that, the oldest first."""
        ...

    def alert_records(self, groups: Collection[tuple[str, str]], ended_after: datetime) -> list[AlertRecord]:
        """Alerts of these (source, group_key): of open incidents all, else what ended after that, or by hand."""
        ...

    def save_alerts(self, records: Iterable[AlertRecord]) -> None:
        """Insert or replace, by (incident_id, source, group_key, fingerprint)."""
        ...

    def add_incidents(self, incidents: Iterable[Incident]) -> None: ...
    def save_incidents(self, incidents: Iterable[Incident]) -> None: ...
    def touch_incidents(self, incidents: Iterable[Incident]) -> None:
        """Save when these were last seen, and nothing else of them."""

    def incident(self, incident_id: int) -> Incident | None: ...
    def incidents_by_id(self, incident_ids: Collection[int]) -> dict[int, Incident]: ...
    def incidents(
        self,
        *,
        open_only: bool = True,
        since: datetime | None = None,
        chat: str | None = None,
        limit: int = 100,
    ) -> list[Incident]:
        """The newest first."""
        ...

    # storms
    def opened_alone(self, route: str, after: datetime) -> list[Incident]:
        """What was opened on a route after that and is part of no storm: by alerts, and no tests."""
        ...

    def members(self, storm_id: int, limit: int = 10**9) -> list[int]:
        """The incidents of a storm that are still open."""
        ...

    def members_about(self, storm_id: int, at: datetime) -> tuple[int, int]:
        """How many were opened up to then, and how many since."""
        ...

    def alerts_in_storm(self, storm_id: int) -> list[AlertRecord]: ...
    def take_members(self, storm: Incident, was_taken_at: datetime | None, reason: str, now: datetime) -> None:
        """Who has the storm has all in it that nobody has by itself; what was planned for those is cancelled."""
        ...

    def free_members(self, storm_id: int, taken_at: datetime, now: datetime) -> None:
        """What was taken with the storm is nobody's again."""
        ...

    def empty_storm(self, storm_id: int) -> None:
        """What is open in it is an incident like any other."""
        ...

    def incident_counts(self) -> dict[IncidentState, int]:
        """How many are open, by state."""
        ...

    def silence(self, incident_id: int) -> Silence | None:
        """The newest of this incident."""
        ...

    def silences_of(self, incident_ids: Collection[int]) -> list[Silence]: ...
    def save_silence(self, silence: Silence) -> None:
        """Insert or replace, by incident."""
        ...

    def silences_due(self, now: datetime, limit: int) -> list[Silence]:
        """Those whose next step is due, the longest overdue first."""
        ...

    # the outbox
    def add_notifications(self, notifications: Iterable[Notification]) -> None:
        """Raises Duplicate when one's `cause` is known."""
        ...

    def notification(self, notification_id: int) -> Notification | None: ...
    def notification_by_cause(self, cause: str) -> Notification | None: ...
    def notification_by_link(self, token: str) -> Notification | None: ...
    def notifications_by_id(self, ids: Collection[int]) -> dict[int, Notification]: ...
    def notifications_of(self, incident_ids: Collection[int]) -> list[Notification]:
        """Of these incidents, in the order of their plan."""
        ...

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
        """The newest first; `before` is an id to page on from; `target` a person's name."""
        ...

    def claimable(self, now: datetime, limit: int) -> list[Notification]:
        """Planned and due, by priority, then due time; no row while an earlier rung of its climb is still to leave."""
        ...

    def waiting(self, limit: int) -> list[Notification]:
        """Planned pages that could have left before and did not: what is due first comes first."""
        ...

    def carried_by(self, notification_id: int) -> list[Notification]:
        """The other rows that this one's SMS tells of."""
        ...

    def paged_lately(self, after: datetime) -> list[tuple[str, str, int, datetime]]:
        """Pages that left after then: number, route, incident, when."""
        ...

    def save_notification(self, changed: Notification, was: Notification) -> bool:
        """Write `changed` if the row still has the state and attempt of `was`; False: somebody else moved it."""
        ...

    def save_notifications(self, pairs: Sequence[tuple[Notification, Notification]]) -> list[bool]:
        """`save_notification` for many (changed, was)."""
        ...

    def cancel_planned(self, incident_ids: Collection[int], reason: str, now: datetime) -> int:
        """An incident that is over owes nobody anything further. How many were cancelled."""
        ...

    def leases_over(self, now: datetime) -> list[Notification]:
        """Sending, and nobody answers for them any more."""
        ...

    def sending(self) -> list[Notification]: ...
    def polls_due(self, now: datetime, limit: int) -> list[Notification]:
        """Submitted rows whose `next_poll_at` has come, the longest overdue first."""
        ...

    def looks_due(self, now: datetime, limit: int) -> list[Notification]:
        """Uncertain rows whose `next_look_at` has come, the longest overdue first."""
        ...

    def is_unsettled(self, number: str, text: str, other_than: int) -> bool:
        """Whether another row with this number and text is sending or uncertain: then text tells nothing."""
        ...

    def in_doubt(self) -> list[str]:
        """The references of SMS that may have left, and of which no id is known (yet)."""
        ...

    def poll_now(self, message_ids: Collection[str], now: datetime) -> int:
        """The gateway hinted at these: ask at once. How many we know."""
        ...

    def by_message_id(self, message_ids: Collection[str]) -> dict[str, Notification]: ...
    def spent(self, since: datetime) -> list[Spent]:
        """Segments reserved since then: rows claimed and not released."""
        ...

    def reserved(self, scope: Scope, subject: str, since: datetime) -> int:
        """Segments that were reserved from then on: of the house, a route, who asked, or a number.

        Also when the number of a row is forgotten since, but for that of the number itself. An SMS that tells of
        several incidents counts once, for the route of the row that left.
        """
        ...

    def reached(self, scope: Scope, subject: str, since: datetime, segments: int) -> datetime:
        """When they had become so many, counted from then on; LookupError where there are not as many."""
        ...

    def reserved_by_news(self, number: str, since: datetime) -> int:
        """Of those of a number, what told people that an incident is taken, or over."""
        ...

    def last_normal_page(self, number: str, since: datetime) -> datetime | None:
        """When this number was paged last from then on, by a route that is not critical; None: not at all."""
        ...

    def release_held(self, now: datetime) -> int:
        """Make due what waits for a limit to open; how many rows that are."""
        ...

    def was_sent_to(self, number: str, chat: str | None) -> bool:
        """Whether a typed SMS from this chat has gone to this number before."""
        ...

    def outbox_counts(self) -> dict[State, int]: ...
    def oldest_due(self, now: datetime) -> datetime | None: ...

    # what it costs
    def prices(self) -> dict[str, Amount]:
        """What one segment cost last, by country."""
        ...

    def save_price(self, country: str, price: Amount, at: datetime) -> None:
        """An SMS that left then cost so much a segment; one that left later knows better."""
        ...

    def prices_due(self, now: datetime, limit: int) -> list[Notification]:
        """Rows whose `next_price_at` has come, the longest overdue first."""
        ...

    def put_off_prices(self, until: datetime) -> None:
        """Nobody is asked for a price before then."""
        ...

    def spendings(
        self, since: datetime, until: datetime, *, chat: str | None = None, asked_by: str | None = None
    ) -> list[Spending]:
        """What the gateway took from then until before then, in the order in which it left."""
        ...

    def first_sent(self) -> datetime | None:
        """When the gateway first took anything."""
        ...

    # questions
    def add_question(self, question: Question) -> None:
        """Raises Duplicate when its `cause` is known."""
        ...

    def question(self, question_id: int) -> Question | None: ...
    def question_by_cause(self, cause: str) -> Question | None: ...
    def answer_question(self, question_id: int, answer: str) -> bool:
        """Close an open question; False: it was closed already."""
        ...

    # cards and troubles
    def add_card(self, card: Card) -> None: ...
    def add_cards(self, cards: Iterable[Card]) -> None:
        """One per (kind, subject, chat_id): an existing one is bumped instead."""
        ...

    def bump_cards(self, kind: CardKind, subjects: Collection[int], now: datetime, *, urgent: bool = False) -> None:
        """What these cards show has changed."""
        ...

    def cards_behind(self, now: datetime, limit: int, leave_out: Collection[int] = ()) -> list[Card]:
        """Behind, not closed, and past their retry_at: rings, then new ones, then urgent edits, then others.

        Cards of the chats to `leave_out` (by id) are not looked at.
        """
        ...

    def save_card(self, card: Card) -> None:
        """Write what the reporter knows (shown, message, retry, closed, place); `wanted` is never lowered."""
        ...

    def cards_of(self, kind: CardKind, subject: int) -> list[Card]: ...
    def card_at(self, place_chat_id: int, message_id: int) -> Card | None: ...
    def move_chat(self, old_chat_id: int, new_chat_id: int) -> None:
        """A group became a supergroup: its cards live under the new id."""
        ...

    def open_trouble(self, kind: str, subject: str) -> Trouble | None: ...
    def open_troubles(self) -> list[Trouble]: ...
    def add_trouble(self, kind: str, subject: str, text: str, now: datetime) -> Trouble: ...
    def save_trouble(self, trouble: Trouble) -> None: ...
    def trouble(self, trouble_id: int) -> Trouble | None: ...

    def add_timeline(self, entries: Iterable[TimelineEntry]) -> None: ...
    def timeline(self, subject: int) -> list[TimelineEntry]: ...

    # Telegram
    def keep_updates(self, updates: Iterable[TelegramUpdate]) -> int:
        """Keep those not yet known by (bot_id, update_id); how many were new."""
        ...

    def updates_waiting(self, limit: int) -> list[TelegramUpdate]: ...
    def do_update(self, bot_id: int, update_id: int) -> None:
        """What it asks for is done, with this transaction; it goes on waiting until it is answered."""
        ...

    def is_update_done(self, bot_id: int, update_id: int) -> bool: ...

    def finish_update(self, bot_id: int, update_id: int, outcome: str, now: datetime) -> bool:
        """Mark one handled ("done", "bad: …"); False: it was already."""
        ...

    def forget(self, before: datetime, now: datetime, limit: int) -> int:
        """Let go of numbers, texts and bodies of what ended before that, some at a time; how many rows it was."""
        ...

    # timers
    def set_timer(self, timer: Timer) -> None: ...
    def drop_timer(self, kind: str, subject: str, due_at: datetime | None = None) -> bool:
        """Whether it was there to drop; with `due_at`, only while it is still due then."""
        ...

    def timer(self, kind: str, subject: str) -> Timer | None: ...
    def timers_due(self, now: datetime, limit: int) -> list[Timer]: ...
    def move_waits(self, by: timedelta, claimed_after: datetime) -> None:
        """The clock was set: whatever waits by our own choice waits as long as before.

        Times that a person named, and what is over, stay; but what was claimed after `claimed_after` moves whole,
        because the limits count it, and so does when an incident opened after it, because storms are told by that.
        """
        ...

    def next_due(self) -> dict[str, datetime]:
        """Per tick ("sender", "finder", "tracker" …), the earliest due time still ahead or missed."""
        ...


class Store(Protocol):
    """The database. A transaction is one synchronous function, run whole; `write` returns after the commit."""

    async def write(self, fn: Callable[[Transaction], T], *, heavy: bool = False, in_turn: bool = False) -> T:
        """Run and commit; several may share a commit, each sees only whole ones. Raises NotStored.

        What is `heavy` has a commit to itself, and what was asked for after it may be committed before it: nobody's
        answer waits because it began at the same moment. What is `in_turn` is committed after all that was asked for
        before it, and before all that is asked for after it.
        """
        ...

    async def read(self, fn: Callable[[Transaction], T]) -> T:
        """Run on a read-only snapshot."""
        ...

    def on_commit(self, hook: Callable[[Collection[str]], None]) -> None:
        """Call `hook` with the ticks that committed transactions asked to wake."""
        ...
