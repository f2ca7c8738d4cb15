"""A notification: our promise to tell one recipient one text, and every state it may be in."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any

from bridge.domain.phone import PhoneNumber


class InvalidTransition(Exception):
    """A state was asked to change in a way that its table does not have: a mistake of ours."""


class State(StrEnum):
    """Where a notification is, and what that means outside."""

    PLANNED = "planned"  # ours to send at due_at
    SENDING = "sending"  # a request may be on the wire
    UNCERTAIN = "uncertain"  # it left, no answer came
    SUBMITTED = "submitted"  # the gateway took it and gave a message id
    DELIVERED = "delivered"  # on the handset
    UNDELIVERED = "undelivered"  # the operator gave up
    FAILED = "failed"  # never submitted, and never will be
    CANCELLED = "cancelled"  # nobody wants it any more

    @property
    def is_final(self) -> bool:
        return not TRANSITIONS[self]


class Event(StrEnum):
    """What may happen to a notification."""

    CLAIMED = "claimed"  # we are about to send it
    SHOWN = "shown"  # it is for a chat, and rings there
    SUBMITTED = "submitted"  # the gateway gave a message id
    REFUSED = "refused"  # the gateway will never take it
    UNREACHABLE = "unreachable"  # it did not reach the gateway
    POSTPONED = "postponed"  # the gateway wants us to come later
    LOST = "lost"  # it may have reached the gateway; nobody told us
    FOUND = "found"  # the gateway lists it after all
    NOT_SEEN_YET = "not_seen_yet"  # not listed so far
    MISSING = "missing"  # not listed in any look
    LEFT = "left"  # a person chose to let it be
    GAVE_UP = "gave_up"  # out of attempts, of time or of anybody to call
    CANCELLED = "cancelled"  # nobody wants it any more
    DELIVERED = "delivered"  # the operator says it is on the handset
    UNDELIVERED = "undelivered"  # the operator says it never will be


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.PLANNED: {
        Event.CLAIMED: State.SENDING,
        Event.SHOWN: State.DELIVERED,
        Event.CANCELLED: State.CANCELLED,
        Event.GAVE_UP: State.FAILED,
    },
    State.SENDING: {
        Event.SUBMITTED: State.SUBMITTED,
        Event.REFUSED: State.FAILED,
        Event.UNREACHABLE: State.PLANNED,
        Event.POSTPONED: State.PLANNED,
        Event.CANCELLED: State.CANCELLED,  # it did not leave, and nobody wants it any more
        Event.LOST: State.UNCERTAIN,
        Event.FOUND: State.SUBMITTED,  # looked for before it was sent: an earlier life had sent it
    },
    State.UNCERTAIN: {
        Event.SUBMITTED: State.SUBMITTED,  # the answer came after all, late; the next three likewise
        Event.REFUSED: State.FAILED,
        Event.UNREACHABLE: State.PLANNED,
        Event.POSTPONED: State.PLANNED,
        Event.FOUND: State.SUBMITTED,
        Event.NOT_SEEN_YET: State.UNCERTAIN,
        Event.MISSING: State.PLANNED,
        Event.CANCELLED: State.CANCELLED,
        Event.LEFT: State.FAILED,
        Event.GAVE_UP: State.FAILED,
    },
    State.SUBMITTED: {Event.DELIVERED: State.DELIVERED, Event.UNDELIVERED: State.UNDELIVERED},
    State.DELIVERED: {},
    State.UNDELIVERED: {},
    State.FAILED: {},
    State.CANCELLED: {},
}


def lost_token(row: "Notification") -> str:
    """What the buttons under a lost SMS carry: of this attempt only, and not to be guessed."""
    return (row.reference or "")[2:18]


def after(state: State, event: Event) -> State:
    """The state that follows; raises InvalidTransition where the table has no arrow."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise InvalidTransition(f"a {state} notification cannot be {event}") from None


WATCH = "watch"
"""Who "asked" for an SMS about the bridge itself."""


class Priority(IntEnum):
    """Who goes out first when many are due."""

    CRITICAL = 0
    NORMAL = 1
    TYPED = 2


class Purpose(StrEnum):
    """What an SMS about an incident says."""

    PAGE = "page"  # it fires, and you are asked to take it
    TAKEN = "taken"  # somebody else has it
    OVER = "over"  # it is over


class Held(StrEnum):
    """What an SMS had to wait for. Pages that waited for the same person leave as one."""

    PHONE = "phone"  # the limit of one phone: its climb goes on without it
    HOUSE = "house"  # the limit of the house: nobody else can be called either
    GATHER = "gather"  # more of the same route
    ROUTE = "route"  # the limit of its route: nobody else can be called about it either
    ASKER = "asker"  # the limit of whoever typed it
    SOFT = "soft"  # others to leave with, for most of a limit is used


@dataclass(frozen=True, slots=True)
class Notification:
    """One row of the outbox. Times are aware UTC.

    `target` is whom it is for, as planned: a person of the config or a number; the claim turns it into
    `person` and `number` and freezes `text`. A page (`incident_id` is set) has no text before that.
    `attempt` counts claims and fences late answers; `reference` is what the gateway lists the attempt under.
    """

    id: int
    target: str
    due_at: datetime
    created_at: datetime
    state: State = State.PLANNED
    priority: Priority = Priority.NORMAL
    incident_id: int | None = None
    round: int = 1
    step: int = 1

    person: str | None = None
    number: PhoneNumber | None = None
    text: str | None = field(default=None, repr=False)
    alphabet: str | None = None
    segments: int | None = None

    # how it is to be sent
    sender_id: str | None = None
    validity: int | None = None  # minutes the operator may try
    flash: bool = False
    shorten_links: bool = False
    gateway_defer: datetime | None = None  # let the gateway hold it until then
    expires_at: datetime | None = None  # after this it is no longer worth sending

    # who asked, and where the answer is shown
    asked_by: str | None = None
    chat: str | None = None
    cause: str | None = None  # unique: one Telegram update or idempotency key makes one notification

    # the attempt under way
    attempt: int = 0
    failures: int = 0  # attempts that did not reach the gateway
    reference: str | None = None
    lease_until: datetime | None = None
    claimed_at: datetime | None = None

    # while its answer is lost
    lost_at: datetime | None = None
    looks: int = 0  # answered looks at the gateway's list that did not show it
    next_look_at: datetime | None = None
    asked_at: datetime | None = None  # since when the chat is asked whether to send it again
    resent: bool = False  # it was sent once more because the gateway did not list it

    # what became of it
    submitted_at: datetime | None = None
    message_id: str | None = None
    campaign_id: str | None = None
    moderated: bool = False  # held until a person at the gateway has read it
    gateway_status: str | None = None  # the gateway's own word
    status_at: datetime | None = None  # when we first saw that word
    unlisted: int = 0  # status answers in a row that did not name it
    next_poll_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str | None = None  # why it is where it is, in words for people
    cost: str | None = None  # decimal, in the account's currency
    currency: str | None = None

    # its place in the climb
    purpose: Purpose = Purpose.PAGE
    wait: timedelta = timedelta(0)  # how long its rung has before the next is called
    deliver_within: timedelta | None = None
    link_token: str | None = field(default=None, repr=False)  # of the page behind the link in its text
    carried_by: int | None = None  # the SMS that tells of this one and others, itself among them
    held: Held | None = None  # what it waited for before it left

    next_price_at: datetime | None = None  # when the gateway is asked what it cost; None: not yet, or no more

    def becomes(self, event: Event, **changes: Any) -> "Notification":
        """This notification after `event`, with what else changed; raises InvalidTransition."""
        return replace(self, state=after(self.state, event), **changes)

    @property
    def is_page(self) -> bool:
        return self.incident_id is not None and self.purpose is Purpose.PAGE

    @property
    def is_news(self) -> bool:
        """That somebody has an incident, or that it is over: good to know, and never at the cost of a page."""
        return self.incident_id is not None and self.purpose is not Purpose.PAGE

    @property
    def resends_itself(self) -> bool:
        """Not listed after all looks, it goes out once more; a typed SMS asks first."""
        about_us = self.asked_by == WATCH and self.priority is not Priority.TYPED
        return self.incident_id is not None or about_us

    @property
    def at_operator(self) -> bool:
        """The gateway handed it on; the phone has not confirmed yet."""
        return self.gateway_status in ("ACCEPTD", "PDLIVRD")

    @property
    def waited(self) -> bool:
        """It could have left before, and did not. What may have left goes once more as it was."""
        return (self.failures > 0 or self.held is not None) and not self.resent

    @property
    def is_carried(self) -> bool:
        """Another row's SMS tells of it: it goes where that one goes."""
        return self.carried_by is not None and self.carried_by != self.id

    def handset_delay(self) -> timedelta | None:
        """From the first attempt's claim to the handset, once it is there."""
        if self.state is not State.DELIVERED or self.ended_at is None or self.claimed_at is None:
            return None
        return self.ended_at - self.claimed_at
