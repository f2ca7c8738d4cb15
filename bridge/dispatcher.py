"""The door: everything that changes what we owe anybody goes through here, one transaction each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bridge.clock import Clock
from bridge.domain.house import ChatPlace, House, Role
from bridge.domain.notification import Notification
from bridge.ports import Live, Place, Question, Store, TelegramUpdate


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: a person of the config (their Telegram user id is known), or an API token."""

    name: str
    role: Role
    telegram_id: int | None = None


@dataclass(frozen=True, slots=True)
class SmsRequest:
    """A typed SMS, as asked for. `to` is a person's name or a number as people write it.

    `chat` is the chat of the config it was asked in; `place` is where its card goes (None: no card).
    `cause` makes it unique: the same cause never makes a second SMS. `may_ask`: a question may be put
    in the chat before sending; the API never asks.
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
class Denied:
    """Nothing was done. `field` names what was wrong with the request; `forbidden`: the role is too low.

    `opens_at`: a limit is reached, and this is when it opens again.
    """

    reason: str
    field: str | None = None
    forbidden: bool = False
    opens_at: datetime | None = None


class Dispatcher:
    """Load, decide, save. Every method raises NotStored when the database could not keep it."""

    def __init__(self, store: Store, clock: Clock, house: Live[House]) -> None:
        self._store = store
        self._clock = clock
        self._house = house

    async def keep_webhook(self, source: str, route: str | None, headers: Mapping[str, str], body: bytes) -> int:
        """Keep a webhook's raw body; the receipt's number, once it is durable."""
        raise NotImplementedError

    async def keep_dead_letter(self, source: str, body: bytes, why: str) -> None:
        """Keep what can never be understood (not JSON), and tell the watch chat."""
        raise NotImplementedError

    async def source_refused(self, source: str) -> None:
        """A known source came with a wrong credential: tell the watch chat, once an hour."""
        raise NotImplementedError

    async def receive_updates(self, updates: Sequence[TelegramUpdate]) -> None:
        """Keep Telegram updates; those already known change nothing."""
        raise NotImplementedError

    async def send_sms(self, request: SmsRequest) -> Accepted | Asked | Denied:
        """Put a typed SMS into the outbox, or ask first, or say why not."""
        raise NotImplementedError

    async def answer_question(
        self, question_id: int, token: str, telegram_id: int, *, send: bool
    ) -> Accepted | Denied | None:
        """*Send* or *Don't send* was pressed. None: it was dropped as asked. Denied: not theirs, or too late."""
        raise NotImplementedError

    async def cancel_sms(self, number: int, asker: Asker) -> Notification | Denied:
        """Take back a deferred SMS that has not left."""
        raise NotImplementedError

    async def delivery_hint(self, message_ids: Collection[str]) -> int:
        """Mobizon's own webhook names these: ask about them at once. How many we know."""
        raise NotImplementedError

    async def begin_trouble(self, kind: str, subject: str, text: str) -> None:
        """Something is wrong with the bridge: rings once in the watch chat, then is only edited."""
        raise NotImplementedError

    async def end_trouble(self, kind: str, subject: str = "") -> None:
        """It is over: the message in the watch chat says so."""
        raise NotImplementedError
