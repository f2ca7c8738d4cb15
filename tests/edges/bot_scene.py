"""A bot on a simulated Telegram, with a door that only writes down what it is asked."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar, cast
from zoneinfo import ZoneInfo

from bot.app import TelegramBot
from bridge.clock import Clock
from bridge.config import TelegramSettings
from bridge.demo.telegram import SimulatedMessage, SimulatedTelegram
from bridge.dispatcher import Accepted, Asked, Asker, Denied, Dispatcher, SmsRequest
from bridge.domain.house import ChatPlace, House, Person, Role, SmsRules
from bridge.domain.notification import Notification, Priority
from bridge.domain.phone import PhoneNumber
from bridge.domain.secret import Secret
from bridge.inquiries import EVERYTHING, Inquiries, Money, Scope, Status
from bridge.metrics import Metrics
from bridge.ports import Failure, Live, NotStored, Question, TelegramUpdate, Transaction, Unreachable
from tests.fakes import START, FakeClock

T = TypeVar("T")

AIGERIM, JONAS, DANA, EVE = 111, 222, 333, 666
OPS, QUIET, FORUM, ELSEWHERE = -1001, -1002, -1003, -1666
ALMATY = ZoneInfo("Asia/Almaty")

HOUSE = House(
    time_zone=ALMATY,
    people={
        "aigerim": Person("aigerim", PhoneNumber("+77010000001"), AIGERIM, Role.OPERATOR),
        "jonas": Person("jonas", PhoneNumber("+4915112345678"), JONAS, Role.RESPONDER),
        "dana": Person("dana", PhoneNumber("+77010000004"), DANA, Role.OBSERVER),
        "magnum": Person("magnum", PhoneNumber("+77010000003")),
    },
    chats={
        "ops": ChatPlace("ops", OPS),
        "quiet": ChatPlace("quiet", QUIET, delete_commands=True),
        "night": ChatPlace("night", FORUM, topic=7, time_zone=ZoneInfo("Europe/Berlin")),
    },
    sms=SmsRules(default_region="KZ", allowed_regions=frozenset({"KZ", "DE"})),
)


def typed_sms(**changes: object) -> Notification:
    """A typed SMS as the outbox has it."""
    sms = Notification(
        id=1043,
        target="+77010000001",
        due_at=START,
        created_at=START,
        priority=Priority.TYPED,
        number=PhoneNumber("+77010000001"),
        text="Backup is done",
        alphabet="gsm7",
        segments=1,
        asked_by="aigerim",
        chat="ops",
    )
    return replace(sms, **changes)  # type: ignore[arg-type]  # tests name the fields


class Kept:
    """What the fake store holds, and the few transaction verbs that the bot uses."""

    def __init__(self) -> None:
        self.waiting: list[TelegramUpdate] = []
        self.outcomes: dict[int, str] = {}
        self.causes: set[str] = set()
        self.full = False

    def updates_waiting(self, limit: int) -> list[TelegramUpdate]:
        return [update for update in self.waiting if update.update_id not in self.outcomes][:limit]

    def finish_update(self, bot_id: int, update_id: int, outcome: str, now: datetime) -> bool:
        new = update_id not in self.outcomes
        self.outcomes[update_id] = outcome
        return new

    def notification_by_cause(self, cause: str) -> Notification | None:
        return typed_sms() if cause in self.causes else None

    def question_by_cause(self, cause: str) -> Question | None:
        return None


class FakeStore:
    """bridge.ports.Store over lists."""

    def __init__(self) -> None:
        self.kept = Kept()

    async def write(self, fn: Callable[[Transaction], T], **turn: bool) -> T:
        if self.kept.full:
            raise NotStored("the disk is full")
        return fn(cast("Transaction", self.kept))

    async def read(self, fn: Callable[[Transaction], T]) -> T:
        return fn(cast("Transaction", self.kept))

    def on_commit(self, hook: Callable[[Collection[str]], None]) -> None:
        """Nobody waits for commits here."""


class Door(Dispatcher):
    """Writes down requests; answers what the test put in."""

    def __init__(self, store: FakeStore, clock: Clock, house: Live[House]) -> None:
        super().__init__(store, clock, house, Metrics())
        self.kept = store.kept
        self.requests: list[SmsRequest] = []
        self.answers: list[tuple[int, str, int, int, bool]] = []
        self.cancelled: list[tuple[int, Asker]] = []
        self.troubles: dict[tuple[str, str], str] = {}
        self.received = asyncio.Event()
        self.over: list[tuple[str, str]] = []
        self.moved: list[tuple[int, int]] = []
        self.says: Accepted | Asked | Denied | Exception = Accepted(typed_sms())
        self.answers_with: Accepted | Denied | None = None

    async def receive_updates(self, updates: Sequence[TelegramUpdate]) -> None:
        if self.kept.full:
            raise NotStored("the disk is full")
        known = {update.update_id for update in self.kept.waiting}
        self.kept.waiting += [update for update in updates if update.update_id not in known]
        self.received.set()

    async def send_sms(self, request: SmsRequest) -> Accepted | Asked | Denied:
        if isinstance(self.says, Exception):
            raise self.says
        self.requests.append(request)
        return self.says

    async def answer_question(
        self, question_id: int, token: str, telegram_id: int, chat_id: int, *, send: bool
    ) -> Accepted | Denied | None:
        self.answers.append((question_id, token, telegram_id, chat_id, send))
        return self.answers_with

    async def cancel_sms(self, number: int, asker: Asker) -> Notification | Denied:
        self.cancelled.append((number, asker))
        return Denied(f"#{number} has left already.")

    async def begin_trouble(self, kind: str, subject: str, text: str, *, by_sms: bool = False) -> None:
        self.troubles[kind, subject] = text + (" [and by SMS]" if by_sms else "")

    async def chat_moved(self, old_chat_id: int, new_chat_id: int) -> None:
        self.moved.append((old_chat_id, new_chat_id))

    async def end_trouble(self, kind: str, subject: str = "") -> None:
        if self.troubles.pop((kind, subject), None):
            self.over.append((kind, subject))


@dataclass
class Answers(Inquiries):
    """Knows what the test put in."""

    found: dict[int, Status] = field(default_factory=dict)
    latest: list[Notification] = field(default_factory=list)
    account: Money | Failure = field(default_factory=lambda: Unreachable("no connection"))
    asked: list[tuple[object, ...]] = field(default_factory=list)

    async def status(self, number: int, scope: Scope = EVERYTHING) -> Status | None:
        self.asked.append((number, scope))
        return self.found.get(number)

    async def history(
        self, scope: Scope = EVERYTHING, *, person: str | None = None, limit: int = 10
    ) -> list[Notification]:
        self.asked.append((person, scope))
        return self.latest

    async def money(self) -> Money | Failure:
        return self.account


@dataclass
class Scene:
    """A test's hand on everything."""

    telegram: SimulatedTelegram
    clock: FakeClock
    store: FakeStore
    door: Door
    inquiries: Answers
    house: Live[House]
    metrics: Metrics
    bot: TelegramBot

    async def hear(self) -> None:
        """Whatever was typed or pressed is fetched and handled."""
        await self.bot.poller.poll_once(0)
        await self.handle()

    async def handle(self) -> None:
        """Whatever is kept is handled, and what can be answered now is."""
        await self.bot.handle_waiting()
        await self.bot.voice.silent()

    async def say(self, text: str, by: int = AIGERIM, chat: int = OPS, **how: object) -> SimulatedMessage:
        """Somebody types; it is heard."""
        message = self.telegram.type(by, chat, text, **how)  # type: ignore[arg-type]  # fields of the Bot API
        await self.hear()
        return message

    def replies(self, chat: int = OPS) -> list[str]:
        return [message.text for message in self.telegram.chat(chat).cards]

    @property
    def outcomes(self) -> list[str]:
        return list(self.store.kept.outcomes.values())


@asynccontextmanager
async def a_scene(house: House = HOUSE) -> AsyncIterator[Scene]:
    """A bot that polls a simulated Telegram on loopback."""
    clock, store, metrics, live = FakeClock(), FakeStore(), Metrics(), Live(house)
    door, inquiries = Door(store, clock, live), Answers()
    telegram = SimulatedTelegram(clock=clock)
    try:
        settings = TelegramSettings(token=Secret(telegram.token), api_url=await telegram.start())
        async with TelegramBot(settings, door, inquiries, store, clock, live, metrics) as bot:
            yield Scene(telegram, clock, store, door, inquiries, live, metrics, bot)
    finally:
        await telegram.stop()
