"""What is fed with anything: one function for each parser, quiet for every input while its promises hold.

A promise that breaks leaves as an exception. Targets share no state that an earlier input could have spoilt.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.exceptions import TelegramBadRequest
from aiogram.methods import TelegramMethod
from aiogram.types import Chat, Message, User

from bot.app import TelegramBot
from bot.commands import Misread, read_command, read_sms
from bridge.config import ApiToken, ConfigError, Credentials, MobizonSettings, TelegramSettings, describe, load_config
from bridge.domain.alert import Report
from bridge.domain.house import House, Role
from bridge.domain.phone import BadNumber, PhoneNumber, parse_phone, why_not_textable
from bridge.domain.secret import Secret
from bridge.metrics import Metrics
from bridge.mobizon import Mobizon
from bridge.ports import (
    Balance,
    Live,
    Lost,
    MessagePage,
    MessageQuery,
    Outgoing,
    Refused,
    Statuses,
    Submitted,
    Unreachable,
)
from bridge.sources import PayloadError, parse, reading
from bridge.web import credentials
from tests.edges.bot_scene import HOUSE, Answers, Door, FakeStore
from tests.fakes import START, FakeClock

Target = Callable[[bytes], object]
PAYLOADS = Path(__file__).parents[1] / "sources" / "payloads"
ALMATY = ZoneInfo("Asia/Almaty")
KEY = "kz0canary0canary0canary0canary0canary0ca"
RIGHT = "the-right-token"
_LARGEST_INTEGER = 2**63  # of a database

# --- webhooks


def alertmanager(data: bytes) -> None:
    _webhook("alertmanager", data)


def generic(data: bytes) -> None:
    _webhook("generic", data)


def _webhook(kind: str, data: bytes) -> None:
    """PayloadError or a report: of bounded length, fit for a database, with hours that every zone has."""
    try:
        report = parse(kind, data, START)
    except PayloadError as error:
        assert len(str(error)) < 1000, "an error that quotes its payload"
        return
    assert len(report.group_key) <= reading.LONGEST_KEY
    assert 0 <= report.truncated <= 10**9
    for text, longest in _texts(report):
        assert len(text) <= longest
        assert "\0" not in text
        text.encode()
    for alert in report.alerts:
        for at in filter(None, (alert.starts_at, alert.ends_at)):
            assert at.tzinfo is UTC
            assert at <= START + timedelta(days=1)


def _texts(report: Report) -> list[tuple[str, int]]:
    found = [(report.group_key, 500), (report.receiver, 1000), (report.notification_reason, 1000)]
    for alert in report.alerts:
        found += [(alert.fingerprint, 100), (alert.name, 4000), (alert.summary, 4000), (alert.description, 4000)]
        found += [(alert.source_url, 2000), (alert.runbook_url, 2000)]
        found += [(part, 1000) for label in alert.labels.items() for part in label]
    return found


# --- Mobizon


class _Answering(Mobizon):
    """A client whose wire says what the test says, so that everything behind the wire runs."""

    said: tuple[int, bytes, bytes] = (200, b"", b"")

    async def _exchange(self, *_: Any) -> Any:
        status, after, body = self.said
        return self._understood(status, httpx.Headers([(b"Retry-After", after)] if after else []), body)


@cache
def _mobizon() -> tuple[asyncio.AbstractEventLoop, _Answering]:
    loop = asyncio.new_event_loop()

    async def open_it() -> _Answering:
        settings = MobizonSettings("http://127.0.0.1:1", Secret(KEY), sender_id="MyAlpha")
        return await _Answering(settings, FakeClock(), Metrics()).__aenter__()

    return loop, loop.run_until_complete(open_it())


def mobizon(data: bytes) -> None:
    """`STATUS, Retry-After, BODY`, a line each: an outcome for every answer to every method, in short words."""
    first, _, rest = data.partition(b"\n")
    after, _, body = rest.partition(b"\n")
    loop, client = _mobizon()
    status = int(first) if re.fullmatch(rb"[1-5][0-9]{2}", first) else 200
    client.said = (status, after, body)
    number = PhoneNumber("+77010000001")

    async def ask() -> list[object]:
        return [
            await client.send(Outgoing(number, "hello", "sb0123456789abcdef0123")),
            await client.statuses(["1", "2"]),
            await client.messages(MessageQuery({"to": number.digits})),
            await client.balance(),
        ]

    sent, told, listed, money = loop.run_until_complete(ask())
    assert isinstance(sent, Submitted | Refused | Unreachable | Lost)
    assert isinstance(told, Statuses | Refused | Unreachable | Lost)
    assert isinstance(listed, MessagePage | Refused | Unreachable | Lost)
    assert isinstance(money, Balance | Refused | Unreachable | Lost)
    for outcome in (sent, told, listed, money):
        if isinstance(outcome, Unreachable) and outcome.wait is not None:
            assert timedelta(0) <= outcome.wait <= timedelta(hours=1)
        if isinstance(outcome, Refused | Unreachable | Lost):
            words = outcome.reason + (getattr(outcome, "advice", None) or "")
            assert len(words) < 1500, "a whole answer on a card"
            assert KEY not in words
            assert not re.search(r"\d{9}", words), "words that may hold a number"


# --- Telegram


class _Deaf(BaseSession):
    """Answers every call of the Bot API at once, and lets none out."""

    async def close(self) -> None:
        """Nothing is open."""

    async def make_request(self, bot: Bot, method: TelegramMethod[Any], timeout: int | None = None) -> Any:  # noqa: ASYNC109
        if method.__api_method__ == "sendMessage":
            # Telegram itself refuses what no chat has room for.
            text = getattr(method, "text", "")
            if not text or len(text.encode("utf-16-le")) // 2 > 4096:
                raise TelegramBadRequest(method, "message is too long")
            return Message(message_id=1, date=START, chat=Chat(id=1, type="private"))
        if method.__api_method__ == "getMe":
            return User(id=42, is_bot=True, first_name="B", username="sms_bridge_bot")
        return True

    async def stream_content(self, *_: Any, **__: Any) -> AsyncGenerator[bytes, None]:
        yield b""


class _Bounded(Door):
    """The database's own bound: a number that no column holds is no update."""

    async def receive_updates(self, updates: Any) -> None:
        if not all(0 <= update.update_id < _LARGEST_INTEGER for update in updates):
            raise OverflowError("Python int too large to convert to SQLite INTEGER")
        await super().receive_updates(updates)


@cache
def _bot() -> tuple[asyncio.AbstractEventLoop, TelegramBot, FakeStore]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    clock, store, live = FakeClock(), FakeStore(), Live(HOUSE)
    door = _Bounded(store, clock, live)
    settings = TelegramSettings(Secret("42:canary"), webhook_secret=Secret(RIGHT))
    bot = TelegramBot(settings, door, Answers(), store, clock, live, Metrics())
    bot._bot.session = _Deaf()
    return loop, bot, store


def telegram(data: bytes) -> None:
    """An update is kept or refused with a status, and once kept it is handled or set aside; no handler breaks."""
    loop, bot, store = _bot()
    store.kept.waiting.clear()
    store.kept.outcomes.clear()

    async def receive() -> int:
        status = await bot.receive_webhook(RIGHT, data)
        await bot.handle_waiting()
        return status

    status = loop.run_until_complete(receive())
    assert status in (200, 400)
    for outcome in store.kept.outcomes.values():
        assert outcome == "done" or outcome.startswith("bad: "), outcome
    assert (status == 200) == bool(store.kept.outcomes)


def update_text(data: bytes) -> None:
    """What a person of the config may type, through the same door as `telegram`."""
    text = data.decode(errors="replace")
    user = {"id": 111, "is_bot": False, "first_name": "A"}
    message = {"message_id": 1, "date": int(START.timestamp()), "chat": {"id": -1001, "type": "group", "title": "ops"}}
    telegram(json.dumps({"update_id": 1, "message": {**message, "from": user, "text": text}}).encode())


def sms_command(data: bytes) -> None:
    """Misread, or whom and what, both as typed."""
    command = read_command(data.decode(errors="replace"))
    if command is None or not command.words:
        return
    try:
        typed = read_sms(command.words, HOUSE, ALMATY, START)
    except Misread as error:
        assert len(str(error)) < 500
        return
    assert typed.to
    assert typed.text in command.words
    assert typed.send_at is None or typed.send_at > START
    assert typed.validity is None or typed.validity >= 0


# --- the config


def config(data: bytes) -> None:
    """A Config, or problems that each name the file; never the words of a secret."""
    with TemporaryDirectory(prefix="fuzz") as folder:
        file = Path(folder, "config.yaml")
        file.write_bytes(data)
        file.chmod(0o600)
        try:
            understood = load_config(file, {})
        except ConfigError as error:
            assert error.problems
            assert all(str(file) in problem for problem in error.problems)
            assert all(len(problem) < 1500 for problem in error.problems)
            return
    assert isinstance(understood.house, House)
    assert describe(understood, file, START)


# --- numbers and credentials


def phone(data: bytes) -> None:
    """BadNumber, or a number that reads the same again and whose mask hides the middle."""
    region, _, written = data.decode(errors="replace").partition("\n")
    try:
        number = parse_phone(written, region if region in ("KZ", "DE", "US", "GB") else None)
    except BadNumber as error:
        assert len(str(error)) < 300
        return
    assert re.fullmatch(r"\+[1-9]\d{1,16}", number.e164)
    assert parse_phone(number.e164) == number
    assert sum(sign.isdigit() for sign in number.masked) <= 6
    assert number.digits not in f"{number!r} {number} {number.masked}"
    assert number.whole.startswith("+")
    assert number.kind
    assert number.region
    why_not_textable(number, {"KZ"})
    why_not_textable(number, {"KZ"}, known=True)


def headers(data: bytes) -> None:
    """Whatever the Authorization headers are: only the right ones open anything."""
    # As aiohttp reads them off the wire.
    shown = [line.decode("utf-8", "surrogateescape") for line in data.split(b"\n")] if data else []
    secret = Secret(RIGHT)
    wanted = Credentials(tokens=(secret,), basic=(("am", secret),))
    opens = credentials.opened_by(wanted, shown) is not None
    token = credentials.token_of(shown, {"scripts": ApiToken("scripts", secret, Role.OPERATOR)})
    if RIGHT not in data.decode(errors="replace"):
        assert token is None
        assert not opens or b"basic" in data.lower(), "let in without the token"
    assert not (opens and len(shown) != 1)


def _as_they_are(folder: str) -> list[bytes]:
    return [f.read_bytes() for f in sorted((PAYLOADS / folder).glob("*.json")) if not f.name.endswith(".report.json")]


def _answers() -> list[bytes]:
    """What Mobizon says, well and badly."""
    sent = {"campaignId": "8", "messageId": "5", "status": 2}
    row = {"id": "1", "status": "DELIVRD", "segNum": 1, "startSendTs": "2026-11-20 03:10:00", "statusUpdateTs": None}
    listed = {**row, "to": "77010000001", "text": "hi", "campaign": {"name": "sb0123"}, "segUserBuy": "12.5"}
    datas: list[Any] = [sent, [row], {"0": row}, {"items": [listed], "totalItemCount": "1"}, {"balance": "12.50"}]
    datas += [[], None, {"recipient": ["no such number"]}, {"from": "unknown"}, {"url": "api.mobizon.uz"}]
    codes = (0, 1, 2, 8, 13, 30, 100, "0", 999)
    bodies = [json.dumps({"code": code, "data": data, "message": "so"}) for code in codes for data in datas]
    waits = ["", "5", "Fri, 20 Nov 2026 03:10:00 GMT"]
    return [f"{429 if n % 7 == 0 else 200}\n{waits[n % 3]}\n{body}".encode() for n, body in enumerate(bodies)]


def _updates() -> list[bytes]:
    user = {"id": 111, "is_bot": False, "first_name": "A"}
    message = {
        "message_id": 5, "date": int(START.timestamp()), "from": user, "text": "/sms jonas hello",
        "chat": {"id": -1003, "type": "supergroup", "title": "ops", "is_forum": True},
        "message_thread_id": 7, "is_topic_message": True,
    }  # fmt: skip
    replied = {**message, "text": "/id", "reply_to_message": {**message, "text": "the disk is full"}}
    moved = {"message_id": 6, "date": 0, "chat": {"id": -1001, "type": "group"}, "migrate_to_chat_id": -1007}
    pressed = {"id": "1", "from": user, "chat_instance": "1", "data": "q:8:abc:y", "message": message}
    kinds: list[dict[str, Any]] = [
        {"message": message},
        {"edited_message": message},
        {"callback_query": pressed},
        {"message": replied},
    ]
    kinds += [{"message": moved}, {"message": {**message, "text": "/status 7"}}, {"poll": {"id": "1"}}]
    return [json.dumps({"update_id": number, **kind}).encode() for number, kind in enumerate(kinds)]


_TYPED = [
    "/sms +7 701 000 00 01 the disk is full", "/sms jonas at=18:00 flash validity=60m from=Alpha hello",
    "/sms@sms_bridge_bot aigerim привет", "/sms 87010000001 12 disks", "/sms (701) 000-00-01\ntext",
    "/sms jonas at=2026-11-23T18:00 x", "/cancel 1042", "/status #7", "/history jonas", "/id", "/help",
]  # fmt: skip
_NUMBERS = [
    "KZ\n8 701 000 00 01",
    "DE\n01511 2345678",
    "\n+1 202-555-0100",
    "\n0049 1511 2345678",
    "\n+7(701)0000001;ext=3",
]


@dataclass(frozen=True, slots=True)
class Subject:
    """A target, what it is fed first, and the words that its inputs are made of."""

    run: Target
    seeds: list[bytes]
    words: tuple[str, ...] = ()


_JSON = ("{", "}", "[", "]", '":', "null", "true", "1e999", "-0", '"\\ud800"', "\\u0000", "NaN")


def _examples() -> list[bytes]:
    folder = Path(__file__).parents[2]
    readme = (folder / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    inline = [re.sub(r"_file: \S+", ": x", block) for block in blocks]
    return [block.encode() for block in (*blocks, *inline)]


SUBJECTS: Mapping[str, Subject] = {
    "alertmanager": Subject(
        alertmanager, _as_they_are("alertmanager"),
        (*_JSON, "alerts", "labels", "annotations", "status", "startsAt", "endsAt", "groupKey", "truncatedAlerts"),
    ),
    "generic": Subject(
        generic, _as_they_are("generic"), (*_JSON, "message", "title", "status", "key", "labels", "severity", "links")
    ),
    "mobizon": Subject(
        mobizon, _answers(), (*_JSON, "code", "data", "items", "messageId", "status", "balance", "recipient", "from")
    ),
    "telegram": Subject(
        telegram, _updates(), (*_JSON, "update_id", "message", "chat", "from", "text", "callback_query", "date")
    ),
    "update_text": Subject(update_text, [typed.encode() for typed in _TYPED], ("/sms ", "/status ", "at=", "flash")),
    "sms_command": Subject(
        sms_command, [typed.encode() for typed in _TYPED], ("/sms ", "at=", "validity=", "from=", "flash", "jonas")
    ),
    "config": Subject(
        config, _examples(), ("mobizon:", "people:", "{", "}", "[", "]", "- ", ": ", "&a", "*a", "!!", '"', "'", "|")
    ),
    "phone": Subject(phone, [number.encode() for number in _NUMBERS], ("KZ\n", "DE\n", "+", "00", "ext", ";")),
    "headers": Subject(
        headers,
        [f"Bearer {RIGHT}".encode(), b"Basic YW06dGhlLXJpZ2h0LXRva2Vu", b"bearer x", b"Basic !", b"Bearer a\nBearer b"],
        ("Bearer ", "Basic ", "\n", "="),
    ),
}  # fmt: skip
"""Every parser that strangers, senders, Mobizon or Telegram can reach."""
