"""What people and scripts ask of the door, and what it answers."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from bridge.domain.house import ChatPlace, Role
from bridge.domain.incident import Incident
from bridge.domain.notification import Notification
from bridge.domain.rota import Override
from bridge.ports import Place, Question


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: a person of the config (their Telegram user id is known), or an API token."""

    name: str
    role: Role
    telegram_id: int | None = None


@dataclass(frozen=True, slots=True)
class SmsRequest:
    """A typed SMS, as asked for. `to` is a person's name, a number as people write it, `oncall`, or `rota NAME`.

    `chat` is the chat of the config it was asked in; `place` is where its card goes (None: no card).
    `cause` makes it unique: the same cause never makes a second SMS. `may_ask`: a question may be put
    in the chat before sending; the API never asks. `validity` is in minutes. `late` says why it must be
    asked about: it was typed long before it reached us.
    """

    to: str
    text: str
    asker: Asker
    chat: ChatPlace | None = None
    place: Place | None = None
    reply_to: int | None = None
    cause: str | None = None
    may_ask: bool = False
    sender_id: str | None = None
    send_at: datetime | None = None
    validity: int | None = None
    flash: bool = False
    shorten_links: bool = False
    late: str = ""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """An incident opened by hand: `/page`. `cause` makes it unique, as for an SMS."""

    text: str
    asker: Asker
    chat: ChatPlace
    place: Place
    cause: str
    reply_to: int | None = None


@dataclass(frozen=True, slots=True)
class Pressed:
    """A button under an incident's card: what it carried, and the chat it was pressed in.

    `rung` is the next one as the card showed it, for a button that calls it.
    """

    token: str
    chat_id: int
    rung: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class SwapRequest:
    """Turns of a rota, changed by hand: `given` to a person from one instant to another, or all swaps cleared (None).

    `cause` makes it unique, as for an SMS; `place` is where it was asked, and needs no news of it.
    """

    rota: str
    asker: Asker
    cause: str
    given: tuple[str, datetime, datetime] | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Swapped:
    """The turns are as asked. `taken` is what was given; `changed`: not by this very request, they had been so."""

    taken: Override | None = None
    changed: bool = True


@dataclass(frozen=True, slots=True)
class Accepted:
    """It is in the outbox. `repeated`: it was before, the same cause came again."""

    notification: Notification
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """The chat shows a question first."""

    question: Question


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What would go into the outbox; nothing did. Its number is 0.

    `closed`: a limit holds it up for now, with its hour.
    """

    notification: Notification
    closed: "Denied | None" = None


@dataclass(frozen=True, slots=True)
class Denied:
    """Nothing was done. `field` names what was wrong with the request; `forbidden`: the role is too low.

    `opens_at`: a limit is reached, and this is when it opens again.
    """

    reason: str
    field: str | None = None
    forbidden: bool = False
    opens_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The incident as it is now. `changed`: not by this very request, when it had been so before."""

    incident: Incident
    changed: bool = True


class Verb(StrEnum):
    """What may be answered on the page behind the link in an SMS."""

    ACKNOWLEDGE = "acknowledge"
    TAKE_OVER = "take_over"
    PASS_ON = "pass_on"  # noqa: S105 - a verb
    RESOLVE = "resolve"
    HAND_BACK = "hand_back"


@dataclass(frozen=True, slots=True)
class LinkView:
    """What the page behind a link shows. `mine`: whoever it was texted to has it, or had it last."""

    incident: Incident
    mine: bool
    holder: str
    verbs: tuple[Verb, ...]
    called: int  # SMS of the plan that are no longer ahead; *Pass on* on an old page calls nobody twice
    zone: ZoneInfo
    now: datetime
    problem: str = ""  # why what was pressed could not be done
