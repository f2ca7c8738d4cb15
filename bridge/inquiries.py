"""Questions that change nothing: what a card, a command, the API or a verb wants to know."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from bridge import costs, duty, links, storms
from bridge.clock import Clock
from bridge.domain.costs import Bill, By, Prices, bill
from bridge.domain.house import House
from bridge.domain.incident import Incident, IncidentState
from bridge.domain.notification import Notification, State
from bridge.domain.phone import BadNumber, parse_phone
from bridge.domain.rota import Roster
from bridge.ports import (
    Balance,
    CardKind,
    Failure,
    IncidentView,
    Live,
    QuestionView,
    Receipt,
    SmsGateway,
    SmsView,
    Store,
    TimelineEntry,
    Transaction,
    TroubleView,
)
from bridge.requests import LinkView
from bridge.views import incident_view, sms_view


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose things may be seen: a chat's (by its name in the config), a person's own, or all (both None).

    One's own is what one asked for, and an incident that one has, had, or is in the plan of.
    """

    chat: str | None = None
    own: str | None = None

    def covers(self, chat: str | None, owners: Collection[str | None]) -> bool:
        """Whether something of this chat and of these people may be seen."""
        return (self.chat is None or self.chat == chat) and (self.own is None or self.own in owners)


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


@dataclass(frozen=True, slots=True)
class Ours:
    """Mobizon's ids of what we sent, and the references of what may have left and has no id (yet)."""

    ids: Sequence[str]
    in_doubt: Sequence[str] = ()


_AROUND = timedelta(days=3)  # what Mobizon lists in a month may have left in another, by our clock
_PACE = timedelta(days=30)  # how far back the pace of spending is looked at
_MOST_OPEN = 100  # incidents that one answer may be about


class Inquiries:
    """Reads the store and the gateway, never writes."""

    def __init__(self, store: Store, gateway: SmsGateway, clock: Clock, house: Live[House]) -> None:
        self._store = store
        self._gateway = gateway
        self._clock = clock
        self._house = house

    async def status(self, number: int, scope: Scope = EVERYTHING) -> Status | None:
        """An incident, SMS or open question of ours; None when there is none in this scope."""
        house, now = self._house.value, self._clock.now()

        def look(tx: Transaction) -> Status | None:
            view = _view(tx, house, number, now)
            return Status(view, tx.timeline(number)) if view and scope.covers(*_owner(view)) else None

        return await self._store.read(look)

    async def behind_link(self, token: str) -> LinkView | None:
        """The page behind the link of an SMS; None when it leads nowhere, or no longer."""
        house, now = self._house.value, self._clock.now()

        def look(tx: Transaction) -> LinkView | None:
            found = links.behind(tx, house, token, now)
            return links.view(tx, house, *found, now) if found else None

        return await self._store.read(look)

    async def history(
        self, scope: Scope = EVERYTHING, *, person: str | None = None, limit: int = 10
    ) -> list[Notification]:
        """The newest notifications first; those of one person or number if named."""
        target, number = self._recipient(person)
        return await self._store.read(
            lambda tx: tx.find_notifications(
                target=target, number=number, chat=scope.chat, asked_by=scope.own, limit=limit
            )
        )

    async def notifications(
        self, *, state: State | None = None, to: str | None = None, before: int | None = None, limit: int = 50
    ) -> list[Notification]:
        """For the API: the newest first, `before` an id to page on from; `to` a person's name or a number."""
        target, number = self._recipient(to)
        return await self._store.read(
            lambda tx: tx.find_notifications(state=state, target=target, number=number, before=before, limit=limit)
        )

    async def incidents(
        self, *, open_only: bool = True, since: datetime | None = None, limit: int = 100
    ) -> list[Incident]:
        """The newest first."""

        def look(tx: Transaction) -> list[Incident]:
            found = tx.incidents(open_only=open_only, since=since, limit=limit)
            return [storms.describe(tx, one) if one.is_open else one for one in found]

        return await self._store.read(look)

    async def open_incidents(self, scope: Scope = EVERYTHING) -> list[IncidentView]:
        """What is open in this scope: first what nobody has, each the newest first."""
        house, now = self._house.value, self._clock.now()

        def look(tx: Transaction) -> list[IncidentView]:
            found = tx.incidents(chat=scope.chat, limit=_MOST_OPEN)
            views = [incident_view(tx, house, incident, now) for incident in found]
            mine = [view for view in views if scope.covers(*_owner(view))]
            return sorted(mine, key=lambda view: view.incident.state is not IncidentState.TRIGGERED)

        return await self._store.read(look)

    async def has_card_in(self, chat_id: int, incident_id: int) -> bool:
        """Whether a chat shows this incident."""
        cards = await self._store.read(lambda tx: tx.cards_of(CardKind.INCIDENT, incident_id))
        return any(card.place.chat_id == chat_id and card.closed is None for card in cards)

    async def roster(self) -> Roster:
        """Whose turn it is, now and later."""
        house = self._house.value
        return await self._store.read(lambda tx: duty.roster(tx, house))

    async def receipt(self, receipt_id: int) -> Receipt | None:
        """A stored webhook and what became of it."""
        return await self._store.read(lambda tx: tx.receipt(receipt_id))

    async def receipts(self, since: datetime, limit: int = 200) -> list[Receipt]:
        """What arrived since then, the newest first."""
        return await self._store.read(lambda tx: tx.receipts(since, limit))

    async def prices(self) -> Prices:
        """What a segment costs by country, as far as anybody told."""
        house = self._house.value
        return await self._store.read(lambda tx: costs.prices(tx, house))

    async def bill(self, since: datetime, until: datetime, by: By, zone: ZoneInfo, scope: Scope = EVERYTHING) -> Bill:
        """What was spent in that time, of one's own by who asked for it; days are the zone's."""
        house = self._house.value

        def look(tx: Transaction) -> Bill:
            rows = tx.spendings(since, until, chat=scope.chat, asked_by=scope.own)
            return bill(rows, costs.prices(tx, house), by, zone, since, until)

        return await self._store.read(look)

    async def ours_at_mobizon(self, since: datetime, until: datetime) -> Ours:
        """How to know in its list what left in that time, and some days around it: its clock is not ours."""

        def look(tx: Transaction) -> Ours:
            rows = tx.spendings(since - _AROUND, until + _AROUND)
            return Ours([row.message_id for row in rows], tx.in_doubt())

        return await self._store.read(look)

    async def currency(self) -> str | None:
        """The account's, once Mobizon said it."""
        return await self._store.read(lambda tx: tx.meta(costs.CURRENCY))

    async def money(self) -> Money | Failure:
        """Asks Mobizon for the balance. How far it reaches: by what was spent lately, else by the price at home."""
        balance = await self._gateway.balance()
        if not isinstance(balance, Balance):
            return balance
        house, now = self._house.value, self._clock.now()
        pace = await self._store.read(lambda tx: costs.pace(tx, house, balance.currency, _PACE, now))
        price = (await self.prices()).of.get(house.sms.default_region or "")
        a_segment = pace.a_segment if pace else price.value if price and price.currency == balance.currency else None
        left = int(max(balance.amount, Decimal(0)) / a_segment) if a_segment else None
        return Money(balance, left, pace.days(balance) if pace else None)

    async def troubles(self) -> list[TroubleView]:
        """What is wrong with the bridge right now."""
        house, now = self._house.value, self._clock.now()
        zone = house.zone_of(house.watch.chat)
        return [TroubleView(t, zone, now) for t in await self._store.read(lambda tx: tx.open_troubles())]

    def _recipient(self, written: str | None) -> tuple[str | None, str | None]:
        """A person's name, or a number in E.164; what is neither finds nothing."""
        if written is None:
            return None, None
        house = self._house.value
        name = next((name for name in house.people if name.casefold() == written.strip().casefold()), None)
        if name is not None:
            return name, None
        try:
            return None, parse_phone(written, house.sms.default_region).e164
        except BadNumber:
            return written, None


def _view(tx: Transaction, house: House, number: int, now: datetime) -> IncidentView | SmsView | QuestionView | None:
    if incident := tx.incident(number):
        return incident_view(tx, house, incident, now)
    row = tx.notification(number)
    if row is not None and row.incident_id is not None and (owner := tx.incident(row.incident_id)):
        return incident_view(tx, house, owner, now)
    return sms_view(tx, house, number, now)


def _owner(view: IncidentView | SmsView | QuestionView) -> tuple[str | None, set[str | None]]:
    """The chat it belongs to, and whose it is."""
    match view:
        case IncidentView(incident, lines):
            called = (name for line in lines for name in (line.notification.person, line.notification.target))
            return incident.chat, {incident.asked_by, incident.acknowledged_by, *called}
        case SmsView():
            return view.notification.chat, {view.notification.asked_by}
        case QuestionView():
            return view.question.chat, {view.question.asked_by}
