"""What `doctor` finds, and what it tells people to do about it."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.checkup import check_telegram
from bridge.clock import SystemClock
from bridge.config import CalendarSettings, Config, TelegramSettings, load_config
from bridge.demo.mobizon import SimulatedMobizon
from bridge.demo.telegram import BOT_TOKEN, SimulatedTelegram
from bridge.doctor import Finding, Mark, examine
from bridge.domain.house import ChatPlace, House, Person
from bridge.domain.rota import FromCalendar
from bridge.domain.secret import Secret
from storage import head_revision
from tests.edges.cli_scene import a_config, a_terminal
from tests.fakes import FakeClock
from tests.quiet import quiet_alertmanager
from tests.world import CONFIG, OPS, WATCH, World, firing

NOBODY = "http://127.0.0.1:9"


async def test_all_is_well(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        said = await terminal.types("doctor")
    assert said.code == 0, said.out
    assert "✗" not in said.out
    for told in (
        "✓ Mobizon: the key is good",
        "✓ money left: 10000 KZT",
        "✓ clock: within",
        "✓ Telegram: the token is good, the bot is @sms_bridge_bot",
        "✓ chat ops, topic 7: the bot may write",
        "✓ aigerim in Telegram: has pressed Start",
        f"schema {head_revision()}, the newest",
        "✓ time zone: Asia/Almaty",
        "✓ bridge: running and ready",
    ):
        assert told in said.out
    assert "+7701" not in said.out


def _wrong_token(world: World) -> None:
    world.telegram.token = "654321:another-telegram-token-00000000000"


@pytest.mark.parametrize(
    ("goes_wrong", "told"),
    [
        (lambda world: world.mobizon.answers(8), "✗ Mobizon: Mobizon refuses our key; put a valid key into"),
        (
            lambda world: setattr(world.mobizon, "account_lives_at", "api.mobizon.com.br"),
            "your account lives at api.mobizon.com.br: set mobizon.base_url to https://api.mobizon.com.br",
        ),
        (lambda world: world.mobizon.answers(14), "✗ Mobizon: the Mobizon account is blocked or deleted; ask Mobizon"),
        (lambda world: setattr(world.mobizon, "balance", Decimal(0)), "✗ money left: 0 KZT; top the account up"),
        (_wrong_token, "✗ Telegram; Telegram refuses our token"),
        (lambda world: world.telegram.hangs_up(), "✗ Telegram; Telegram cannot be reached"),
        (lambda world: world.telegram.loses_chat(WATCH), "✗ chat watch; chat not found; the bot has to be in it"),
        (lambda world: world.telegram.blocks_the_bot(OPS), "✗ chat ops, topic 7; bot was kicked"),
        (
            lambda world: world.telegram.becomes_supergroup(WATCH, -1005555555555),
            "✗ chat watch; it became a supergroup: set chats.watch.id to -1005555555555",
        ),
        (
            lambda world: world.telegram.loses_chat(111111111),
            "✗ aigerim in Telegram; chat not found; Aigerim has to open https://t.me/sms_bridge_bot and press Start",
        ),
    ],
)
async def test_what_is_wrong_is_named_with_what_to_do(
    tmp_path: Path, goes_wrong: Callable[[World], None], told: str
) -> None:
    async with a_terminal(tmp_path) as terminal:
        goes_wrong(terminal.world)
        said = await terminal.types("doctor")
        terminal.world.telegram.recovers()
    assert told in said.out
    assert said.code == 1
    assert "api-secret" not in said.everything
    assert "simulated-telegram-token" not in said.everything


async def test_json_for_scripts(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        terminal.world.mobizon.answers(8)
        said = await terminal.types("doctor", "-o", "json")
    assert said.code == 1
    assert [one["what"] for one in said.json if one["mark"] == "bad"] == ["Mobizon: Mobizon refuses our key"]


# --- what lies outside of both simulators


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Config]:
    """A config with a Mobizon, without Telegram, and whose bridge does not run."""
    async with SimulatedMobizon(SystemClock()) as mobizon:
        text = CONFIG.replace("MOBIZON", mobizon.base_url).replace("TELEGRAM", NOBODY).replace("TOKEN", BOT_TOKEN)
        yield replace(load_config(a_config(tmp_path, text)), telegram=None)


async def found(config: Config, clock: Any = None) -> list[Finding]:
    return [one async for one in examine(config, clock or SystemClock(), NOBODY)]


async def test_which_credential_is_still_shown_is_told(tmp_path: Path) -> None:
    two = "{token_file: tokens}"
    tokens = tmp_path / "tokens"
    tokens.write_text("old-secret\nam-secret\n")
    tokens.chmod(0o600)
    async with a_terminal(tmp_path, CONFIG.replace("{token: am-secret}", two)) as terminal:
        world = terminal.world
        url = f"http://127.0.0.1:{world.bridge.ports[0]}"
        await world.post("alertmanager", firing("db1"))
        await world.advance(minutes=10)
        config = load_config(terminal.config)

        findings = [one async for one in examine(config, world.clock, url)]
        assert about(findings, "sources.alertmanager, token 2 of 2").what.endswith("last used 10 min ago")
        assert about(findings, "sources.alertmanager, token 1 of 2").what.endswith("since the bridge began, 10 min ago")
        assert about(findings, "api.tokens.scripts").what.endswith("last used 0 s ago")

        world.clock.advance(86400)
        findings = [one async for one in examine(config, world.clock, url)]
        old = about(findings, "sources.alertmanager, token 1 of 2")
        assert old.mark is Mark.NOTE and "remove it" in old.to_do and old.what.endswith("not used in 1 d")
        assert "secret" not in repr(findings)


async def test_without_a_token_when_credentials_were_used_is_not_known(tmp_path: Path) -> None:
    no_tokens = CONFIG[: CONFIG.index("api:")]
    async with a_terminal(tmp_path, no_tokens) as terminal:
        said = await terminal.types("doctor")
    assert "! credentials: when they were last used is not known" in said.out
    assert said.code == 0


def about(findings: list[Finding], what: str) -> Finding:
    """The one finding that begins so."""
    (one,) = [finding for finding in findings if finding.what.startswith(what)]
    return one


async def test_a_machine_before_its_first_run_is_well(alone: Config) -> None:
    findings = await found(alone)

    assert [one for one in findings if one.mark is Mark.BAD] == []
    assert about(findings, "database").what.endswith("not there yet, the first run makes it")
    assert about(findings, "bridge: not running").mark is Mark.NOTE
    assert about(findings, "Telegram: not set up").mark is Mark.NOTE


_TURNS = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//nobody//EN\r\n{}END:VCALENDAR\r\n"
_TURN = "BEGIN:VEVENT\r\nUID:1\r\nSUMMARY:{}\r\nDTSTART:20261101T000000Z\r\nDTEND:{}\r\nEND:VEVENT\r\n"


@pytest.mark.parametrize(
    ("calendar", "mark", "told"),
    [
        (_TURNS.format(_TURN.format("Jonas", "20301101T000000Z")), Mark.GOOD, "rota night: On call: Jonas until"),
        (_TURNS.format(_TURN.format("Jonas", "20261122T000000Z")), Mark.NOTE, "rota night: On call: Jonas until"),
        (_TURNS.format(""), Mark.BAD, "rota night: Nobody is on call."),
        ("nonsense", Mark.BAD, "the calendar of rota night: not iCalendar"),
    ],
)
async def test_calendars_are_read_and_say_whose_turn_it_is(
    alone: Config, tmp_path: Path, calendar: str, mark: Mark, told: str
) -> None:
    file = tmp_path / "turns.ics"
    file.write_text(calendar)
    house = replace(alone.house, rotas={"night": FromCalendar(alone.house.time_zone)})
    config = replace(alone, house=house, calendars={"night": CalendarSettings(path=file)})
    findings = await found(config, FakeClock())
    finding = next(one for one in findings if "rota night" in one.what)
    assert (finding.mark, finding.what.startswith(told)) == (mark, True)


@pytest.mark.parametrize(
    ("minutes", "mark", "told"),
    [(2, Mark.BAD, "s ahead of Mobizon's"), (-2, Mark.BAD, "s behind Mobizon's"), (0, Mark.GOOD, "within")],
)
async def test_a_clock_that_is_off_is_found(alone: Config, minutes: int, mark: Mark, told: str) -> None:
    finding = about(await found(alone, FakeClock(SystemClock().now() + timedelta(minutes=minutes))), "clock")

    assert finding.mark is mark
    assert told in finding.what


async def test_a_mobizon_that_is_away_tells_no_time(alone: Config) -> None:
    findings = await found(replace(alone, mobizon=replace(alone.mobizon, base_url=NOBODY)))

    assert about(findings, "Mobizon: no connection").to_do == f"check that {NOBODY} answers"
    assert about(findings, "clock").mark is Mark.NOTE


async def test_little_money_is_worth_a_note(alone: Config) -> None:
    watch = replace(alone.house.watch, balance_below=20000)
    findings = await found(replace(alone, house=replace(alone.house, watch=watch)))

    assert about(findings, "money left") == Finding(
        Mark.NOTE, "money left: 10000 KZT", "top the account up: watch.balance_below is 20000"
    )


@pytest.mark.parametrize(
    ("url", "mark"),
    [
        ("https://sms.example.net", Mark.GOOD),
        ("http://127.0.0.1:9878", Mark.GOOD),
        ("http://sms.example.net", Mark.BAD),
    ],
)
async def test_a_public_url_is_https(alone: Config, url: str, mark: Mark) -> None:
    findings = await found(replace(alone, server=replace(alone.server, public_url=url)))

    assert about(findings, "public URL").mark is mark


@pytest.mark.parametrize(
    ("version", "mark", "what"),
    [("0000", Mark.NOTE, "schema 0000"), ("9999", Mark.BAD, "newer than this program's")],
)
async def test_a_database_of_another_version_is_told(alone: Config, version: str, mark: Mark, what: str) -> None:
    with closing(sqlite3.connect(alone.storage.path)) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES (?)", (version,))
        database.commit()
    finding = about(await found(alone), "database")

    assert finding.mark is mark
    assert what in finding.what


@pytest.mark.parametrize(
    ("path", "told"),
    [("/am", "answers, Alertmanager 0.0.1"), ("/other", "it answered 404"), ("/am/api/v2/silences?", "is no Alert")],
)
async def test_an_alertmanager_that_is_to_be_silenced_is_asked(alone: Config, path: str, told: str) -> None:
    async with quiet_alertmanager(SystemClock()) as there:
        url = there.url.removesuffix("/am") + path
        source = replace(alone.sources["alertmanager"], api_url=url)
        finding = about(await found(replace(alone, sources={"alertmanager": source})), "source alertmanager: http")
    assert told in finding.what
    assert (finding.mark is Mark.GOOD) is ("answers, A" in told)


async def test_a_file_that_is_no_database_is_told(alone: Config) -> None:
    alone.storage.path.write_bytes(b"not a database at all" * 100)
    (finding,) = [one for one in await found(alone) if one.mark is Mark.BAD]

    assert finding.to_do == "put a backup in its place"


# --- what may keep the bot from writing


class StrictTelegram(SimulatedTelegram):
    """Knows who is a member as what, and tries whether a message would be let through."""

    def __init__(self) -> None:
        super().__init__()
        self.bot_is: dict[str, Any] = {"status": "member"}
        self.barred: str | None = None

    def _methods(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        return super()._methods() | {"sendchataction": self._type}

    def _type(self, parameters: dict[str, Any]) -> bool:
        if self.barred is not None:
            self.chat(int(parameters["chat_id"])).refusal = (400, f"Bad Request: {self.barred}", {})
        self._reachable(parameters)
        return True

    def _get_member(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return super()._get_member(parameters) | self.bot_is


_RIGHTS = (
    *("messages", "audios", "documents", "photos", "videos", "video_notes", "voice_notes", "polls"),
    *("other_messages",),
)
MUTED = {
    "status": "restricted",
    "is_member": True,
    "until_date": 0,
    "can_add_web_page_previews": False,
    "can_react_to_messages": False,
    "can_edit_tag": False,
    "can_change_info": False,
    "can_invite_users": False,
    "can_pin_messages": False,
    "can_manage_topics": False,
} | {f"can_send_{right}": False for right in _RIGHTS}


@pytest.mark.parametrize(
    ("bot_is", "barred", "problem"),
    [
        ({"status": "member"}, None, ""),
        ({"status": "left"}, None, "the bot is not in it; add it to the group"),
        ({"status": "kicked", "until_date": 0}, None, "the bot is not in it; add it to the group"),
        (MUTED, None, "the bot may not write there; let it, in the group's permissions"),
        ({"status": "member"}, "message thread not found", "message thread not found; the bot has to be in it"),
    ],
)
async def test_a_chat_where_the_bot_cannot_write(bot_is: dict[str, Any], barred: str | None, problem: str) -> None:
    telegram = StrictTelegram()
    telegram.bot_is, telegram.barred = bot_is, barred
    house = House(chats={"ops": ChatPlace("ops", OPS, topic=7)})
    await telegram.start()
    try:
        settings = TelegramSettings(Secret(telegram.token), api_url=telegram.url)
        _, chat = [check async for check in check_telegram(settings, house)]
    finally:
        await telegram.stop()
    assert chat.problem.startswith(problem)
    assert bool(chat.problem) == bool(problem)
    assert telegram.chat(OPS).history == []


async def test_a_person_seen_in_a_group_has_not_pressed_start_by_that() -> None:
    telegram = StrictTelegram()
    telegram.barred = "bot can't initiate conversation with a user"
    house = House(people={"aigerim": Person("aigerim", telegram_id=111111111)})
    await telegram.start()
    try:
        settings = TelegramSettings(Secret(telegram.token), api_url=telegram.url)
        _, person = [check async for check in check_telegram(settings, house)]
    finally:
        await telegram.stop()
    assert "Aigerim has to open https://t.me/sms_bridge_bot and press Start" in person.problem


# --- the test SMS


async def test_a_test_sms_is_followed_to_the_handset(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        said = await terminal.types("doctor", "--sms", "magnum")
        assert terminal.world.phone("magnum").texts == ["TEST, nothing is broken. sms-bridge doctor"]
    assert said.code == 0, said.out
    assert "test SMS #1 to magnum: on the handset after" in said.out
    assert "✓ sender MyAlpha, 1 segment, 20.5" in said.out


async def test_a_sender_that_was_not_used_is_told(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        terminal.world.mobizon.senders.clear()
        said = await terminal.types("doctor", "--sms", "magnum")
    assert "! sender Service, 1 segment, 20.5; mobizon.sender_id MyAlpha was not used" in said.out


async def test_a_test_sms_that_does_not_arrive_is_bad(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        terminal.world.phone("magnum").is_blacklisted()
        said = await terminal.types("doctor", "--sms", "magnum")
    assert said.code == 1
    assert "✗ test SMS #1 to magnum: undelivered; the operator rejected" in said.out


async def test_a_test_sms_needs_somebody_of_the_config(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        said = await terminal.types("doctor", "--sms", "bob")
        assert terminal.world.mobizon.sent == []
    assert said.code == 2
    assert "nobody is called bob; there are: aigerim, jonas, dana, magnum" in said.err


async def test_a_test_sms_needs_a_running_bridge(tmp_path: Path) -> None:
    async with a_terminal(tmp_path) as terminal:
        away = terminal.config.read_text()
        port = terminal.world.bridge.ports[0]
        terminal.config.write_text(away.replace(f"127.0.0.1:{port}", "127.0.0.1:9"))
        said = await terminal.types("doctor", "--sms", "magnum")
    assert said.code == 1
    assert "no sms-bridge answers at http://127.0.0.1:9; start it with sms-bridge run" in said.everything
