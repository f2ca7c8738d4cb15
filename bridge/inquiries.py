"""Questions that change nothing: what a card, a command, the API or a verb wants to know."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bridge.clock import Clock
from bridge.domain.house import House
from bridge.domain.incident import Incident
from bridge.domain.notification import Notification, State
from bridge.ports import (
    Balance,
    Failure,
    IncidentView,
    Live,
    QuestionView,
    Receipt,
    SmsGateway,
    SmsView,
    Store,
    TimelineEntry,
    TroubleView,
)


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose things may be seen: a chat's (by its name in the config), a person's own, or all (both None)."""

    chat: str | None = None
    asked_by: str | None = None


EVERYTHING = Scope()


@dataclass(frozen=True, slots=True)
class Status:
    """One number, whole: the card's view of it, and what happened when."""

    view: IncidentView | SmsView | QuestionView
    timeline: Sequence[TimelineEntry]


@dataclass(frozen=True, slots=True)
class Money:
    """The balance; how many one-segment SMS it buys and how many days it lasts, where that can be said."""

    balance: Balance
    sms_left: int | None = None
    days_left: int | None = None


class Inquiries:
    """Reads the store and the gateway, never writes."""

    def __init__(self, store: Store, gateway: SmsGateway, clock: Clock, house: Live[House]) -> None:
        self._store = store
        self._gateway = gateway
        self._clock = clock
        self._house = house

    async def status(self, number: int, scope: Scope = EVERYTHING) -> Status | None:
        """An incident, SMS or open question of ours; None when there is none in this scope."""
        raise NotImplementedError

    async def history(
        self, scope: Scope = EVERYTHING, *, person: str | None = None, limit: int = 10
    ) -> list[Notification]:
        """The newest notifications first; those of one person or number if named."""
        raise NotImplementedError

    async def notifications(
        self, *, state: State | None = None, to: str | None = None, before: int | None = None, limit: int = 50
    ) -> list[Notification]:
        """For the API: the newest first, `before` an id to page on from; `to` a person's name or a number."""
        raise NotImplementedError

    async def incidents(
        self, *, open_only: bool = True, since: datetime | None = None, limit: int = 100
    ) -> list[Incident]:
        raise NotImplementedError

    async def receipt(self, receipt_id: int) -> Receipt | None:
        raise NotImplementedError

    async def receipts(self, since: datetime, limit: int = 200) -> list[Receipt]:
        raise NotImplementedError

    async def money(self) -> Money | Failure:
        """Asks Mobizon."""
        raise NotImplementedError

    async def troubles(self) -> list[TroubleView]:
        """What is wrong with the bridge right now."""
        raise NotImplementedError
