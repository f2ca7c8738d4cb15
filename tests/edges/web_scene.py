"""A bridge's HTTP edge on loopback, with a door and inquiries that only remember what they were asked."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application

from bridge.config import (
    ApiToken,
    Config,
    Credentials,
    MobizonSettings,
    ServerSettings,
    SourceSettings,
    StorageSettings,
    TelegramSettings,
)
from bridge.dispatcher import Accepted, Answered, Asked, Asker, Denied, Dispatcher, Foreseen, LinkView, SmsRequest, Verb
from bridge.domain.costs import Amount, Bill, By, Prices, Spending, bill
from bridge.domain.house import ChatPlace, House, Person, Role, SourceRules
from bridge.domain.incident import Incident, IncidentState
from bridge.domain.notification import Notification, State
from bridge.domain.phone import PhoneNumber
from bridge.domain.secret import Secret
from bridge.inquiries import Inquiries, Money, Ours, Status
from bridge.metrics import Metrics
from bridge.ports import Balance, Failure, Live, NotStored, Receipt, Store
from bridge.web import build_apps
from tests.fakes import START, FakeClock

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"
ALICE = PhoneNumber("+77010000001")
STRANGER = PhoneNumber("+77010000002")

HOUSE = House(
    people={"aigerim": Person("aigerim", ALICE)},
    chats={"ops": ChatPlace("ops", -100, topic=7)},
    sources={
        "am": SourceRules("am", "alertmanager"),
        "bounded": SourceRules("bounded", "generic", routes=frozenset({"rest"})),
    },
)
CONFIG = Config(
    house=HOUSE,
    server=ServerSettings(public_listen=("127.0.0.1", 0), max_body=1000),
    storage=StorageSettings(Path("bridge.db")),
    mobizon=MobizonSettings("https://api.mobizon.kz", Secret("k"), report_token=Secret("report-token")),
    telegram=TelegramSettings(
        Secret("1:t"), updates="webhook", webhook_path="updates", webhook_secret=Secret("telegram-secret")
    ),
    sources={
        "am": SourceSettings("am", "alertmanager", Credentials(tokens=(Secret("am-token"),))),
        "basic": SourceSettings("basic", "alertmanager", Credentials(basic=(("am", Secret("am-password")),))),
        "bounded": SourceSettings("bounded", "generic", Credentials(tokens=(Secret("bounded-token"),))),
        "open": SourceSettings("open", "generic", Credentials(open=True)),
    },
    api_tokens={
        role.name.lower(): ApiToken(role.name.lower(), Secret(f"{role.name.lower()}-token"), role) for role in Role
    },
)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def notification(row_id: int = 1042, **changes: Any) -> Notification:
    row = Notification(
        id=row_id, target="aigerim", due_at=START, created_at=START, person="aigerim", number=ALICE, text="Hello"
    )
    return replace(row, **changes)


@dataclass
class Door:
    """The dispatcher as the web sees it; `calls` holds (verb, arguments)."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    stores: bool = True
    answer: Accepted | Answered | Asked | Denied | None = None
    behind: LinkView | None = None

    async def keep_webhook(self, source: str, route: str | None, headers: Mapping[str, str], body: bytes) -> int:
        self._call("keep_webhook", source, route, headers, body)
        return 7

    async def keep_dead_letter(self, source: str, body: bytes, why: str) -> None:
        self._call("keep_dead_letter", source, body, why)

    async def source_refused(self, source: str) -> None:
        self._call("source_refused", source)

    async def begin_trouble(self, kind: str, subject: str, text: str) -> None:
        self._call("begin_trouble", kind, subject, text)

    async def replay(self, receipt_id: int) -> int | Denied | None:
        self._call("replay", receipt_id)
        if receipt_id == 6:
            return Denied("only its own beats are signs of life")
        return 8 if receipt_id == 7 else None

    async def acknowledge(self, incident_id: int, by: Asker, via: str) -> Answered | Denied:
        return self._answered("acknowledge", incident_id, by, via)

    async def resolve(self, incident_id: int, by: Asker, via: str) -> Answered | Denied:
        return self._answered("resolve", incident_id, by, via)

    async def answer_by_link(self, token: str, verb: Verb, called: int) -> LinkView | None:
        self._call("answer_by_link", token, verb, called)
        return self.behind

    async def send_sms(self, request: SmsRequest) -> Accepted | Asked | Denied:
        self._call("send_sms", request)
        assert not isinstance(self.answer, Answered)
        return self.answer or Accepted(notification(asked_by=request.asker.name))

    async def foresee_sms(self, request: SmsRequest) -> Foreseen | Denied:
        self._call("foresee_sms", request)
        row = notification(0, text=request.text, sender_id="MyAlpha")
        closed = self.answer if isinstance(self.answer, Denied) else None
        return Foreseen(row, closed) if closed is None or closed.opens_at else closed

    def _answered(self, verb: str, incident_id: int, by: Asker, via: str) -> Answered | Denied:
        self._call(verb, incident_id, by, via)
        assert not isinstance(self.answer, Accepted | Asked)
        return self.answer or Denied(f"There is no incident #{incident_id}.")

    def verbs(self) -> list[str]:
        return [call[0] for call in self.calls]

    def _call(self, *call: Any) -> None:
        self.calls.append(call)
        if not self.stores:
            raise NotStored("the disk is full")


@dataclass
class Shelf:
    """The inquiries as the web sees them, answering from what a test laid out."""

    statuses: dict[int, Status] = field(default_factory=dict)
    behind: dict[str, LinkView] = field(default_factory=dict)
    reads: bool = True
    rows: Sequence[Notification] = ()
    open_incidents: Sequence[Incident] = ()
    kept: Sequence[Receipt] = ()
    spendings: Sequence[Spending] = ()
    purse: Money | Failure = Money(Balance(Decimal("1234.50"), "KZT"), sms_left=60, days_left=9)
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    async def status(self, number: int) -> Status | None:
        return self.statuses.get(number)

    async def behind_link(self, token: str) -> LinkView | None:
        if not self.reads:
            raise NotStored("the database is gone")
        return self.behind.get(token)

    async def notifications(
        self, *, state: State | None = None, to: str | None = None, before: int | None = None, limit: int = 50
    ) -> list[Notification]:
        self.asked.append((state, to, before))
        return [row for row in self.rows if before is None or row.id < before][:limit]

    async def incidents(self, *, open_only: bool = True, since: datetime | None = None) -> list[Incident]:
        self.asked.append((open_only, since))
        return list(self.open_incidents)

    async def receipt(self, receipt_id: int) -> Receipt | None:
        return next((receipt for receipt in self.kept if receipt.id == receipt_id), None)

    async def receipts(self, since: datetime) -> list[Receipt]:
        self.asked.append((since,))
        return list(self.kept)

    async def prices(self) -> Prices:
        return Prices({"KZ": Amount(Decimal("20.50"), "KZT")})

    async def bill(self, since: datetime, until: datetime, by: By, zone: ZoneInfo) -> Bill:
        self.asked.append((since, until, by))
        return bill(self.spendings, await self.prices(), by, zone, since, until)

    async def ours_at_mobizon(self, since: datetime, until: datetime) -> Ours:
        return Ours([row.message_id for row in self.spendings], ["sb0123456789abcdef0123"])

    async def currency(self) -> str | None:
        return "KZT"

    async def money(self) -> Money | Failure:
        return self.purse


class Outbox:
    """The store, as far as `/metrics` counts it."""

    stores = True

    async def read(self, fn: Callable[[Any], Any]) -> Any:
        if not self.stores:
            raise NotStored("the database is gone")
        return fn(self)

    def outbox_counts(self) -> dict[State, int]:
        return {State.PLANNED: 3}

    def oldest_due(self, now: datetime) -> datetime | None:
        return now

    def incident_counts(self) -> dict[IncidentState, int]:
        return {IncidentState.TRIGGERED: 1, IncidentState.ACKNOWLEDGED: 0}


@dataclass
class Edge:
    """Everything around one running HTTP edge."""

    door: Door
    shelf: Shelf
    outbox: Outbox
    clock: FakeClock
    metrics: Metrics
    config: Live[Config]
    inside: Application
    client: TestClient[Any, Any]
    public: TestClient[Any, Any] | None
    updates: list[tuple[str | None, bytes]]
    not_ready: list[str]
    reload_problems: list[str]

    def counted(self, source: str, code: int) -> float:
        labels = {"source": source, "code": str(code)}
        return self.metrics.registry.get_sample_value("sms_bridge_webhook_requests_total", labels) or 0


@asynccontextmanager
async def served(config: Config = CONFIG) -> AsyncIterator[Edge]:
    """The edge of this config, listening on loopback until the block ends."""
    door, shelf, outbox, clock, metrics, live = Door(), Shelf(), Outbox(), FakeClock(), Metrics(), Live(config)
    updates: list[tuple[str | None, bytes]] = []
    not_ready: list[str] = []
    problems: list[str] = []

    async def reload() -> list[str]:
        return problems

    async def ready() -> str | None:
        return not_ready[0] if not_ready else None

    async def receive(secret: str | None, body: bytes) -> int:
        updates.append((secret, body))
        return 200

    inside, outside = build_apps(
        live,
        cast("Dispatcher", door),
        cast("Inquiries", shelf),
        cast("Store", outbox),
        clock,
        metrics,
        reload=reload,
        ready=ready,
        telegram_webhook=receive,
    )
    async with TestClient(TestServer(inside)) as client:
        public = TestClient(TestServer(outside)) if outside is not None else None
        if public is not None:
            await public.start_server()
        try:
            yield Edge(door, shelf, outbox, clock, metrics, live, inside, client, public, updates, not_ready, problems)
        finally:
            if public is not None:
                await public.close()
