"""How updates come in and are worked off: polling, webhook, bad ones, failures, pressed buttons."""

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import cast

import pytest

from bot.app import TelegramBot
from bot.voice import Words
from bridge.config import TelegramSettings
from bridge.demo.telegram import SimulatedTelegram
from bridge.dispatcher import Accepted, Denied
from bridge.domain.secret import Secret
from bridge.metrics import Metrics
from bridge.ports import Live, NotStored, Place, QuestionView, TelegramUpdate
from tests.edges.bot_scene import AIGERIM, EVE, HOUSE, OPS, Answers, Door, FakeStore, Scene, a_scene, typed_sms
from tests.edges.test_cards import a_question
from tests.fakes import FakeClock

SMS = "/sms +77010000001 Hi"
TOKEN = "987654:canary-token-that-nobody-may-ever-see"
WEBHOOK_SECRET = "a-webhook-secret"
URL = "https://sms.example.net/telegram/x"


# --- polling -----------------------------------------------------------------------------------------


async def test_an_update_is_kept_before_telegram_hears_that_we_have_it() -> None:
    async with a_scene() as scene:
        scene.telegram.type(AIGERIM, OPS, SMS)
        scene.store.kept.full = True
        with pytest.raises(NotStored):
            await scene.bot.poller.poll_once(0)

        scene.store.kept.full = False
        await scene.hear()  # Telegram still has it

        assert len(scene.door.requests) == 1


async def test_polling_again_after_a_lost_answer_runs_nothing_twice() -> None:
    async with a_scene() as scene:
        await scene.say(SMS)
        update = json.loads(scene.store.kept.waiting[0].body)
        scene.telegram.put("message", update["message"])
        await scene.bot.poller.poll_once(0)
        await scene.bot.poller.poll_once(0)
        await scene.handle()

        assert len(scene.store.kept.waiting) == 2  # another update id is another update
        assert await scene.bot.poller.poll_once(0) == 0


async def test_what_was_kept_is_not_asked_for_again() -> None:
    async with a_scene() as scene:
        await scene.say(SMS)

        assert await scene.bot.poller.poll_once(0) == 0
        scene.telegram.type(AIGERIM, OPS, "hello")
        assert await scene.bot.poller.poll_once(0) == 1


async def test_a_poison_update_is_set_aside_and_the_next_one_runs() -> None:
    async with a_scene() as scene:
        scene.telegram.poison()
        scene.telegram.put("message", {"text": SMS})
        scene.telegram.put("something_new", {"id": 1})
        await scene.say(SMS)

        assert len(scene.door.requests) == 1
        bad = scene.outcomes[:3]
        assert [outcome.partition(":")[0] for outcome in bad] == ["bad", "bad", "bad"]
        assert "sender_user_name" in bad[0] and "typed again" in scene.door.troubles["update", ""]
        assert scene.outcomes[3] == "done"


async def test_a_handler_that_fails_blocks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with a_scene() as scene:
        scene.door.says = RuntimeError("a bug")
        await scene.say(SMS)
        scene.telegram.blocks_the_bot(OPS)
        await scene.say("/help")
        scene.door.says = Accepted(typed_sms())
        await scene.say(SMS)

        assert scene.outcomes == ["failed: RuntimeError", "failed: TelegramForbiddenError", "done"]
        assert len(scene.door.requests) == 1
        assert list(scene.door.troubles) == [("update", "")]  # somebody's command went unanswered
    told = [record.levelno for record in caplog.records if record.name in ("bot.app", "bot.voice")]
    assert told == [logging.ERROR] * 2


async def test_an_answer_that_breaks_us_is_told_and_the_next_one_is_said() -> None:
    async with a_scene() as scene:
        update = TelegramUpdate(1, 99, scene.clock.now(), b"{}")
        scene.bot.voice.answer(update, cast("Words", ["no request to Telegram"]))
        await scene.say("/help")
        await scene.handle()

        assert sorted(scene.outcomes) == ["done", "failed: a mistake of ours"]
        assert "please report it" in scene.door.troubles["update", ""]
        assert len(scene.replies()) == 1


async def test_what_cannot_be_stored_stays_waiting() -> None:
    async with a_scene() as scene:
        scene.door.says = NotStored("the disk is full")
        scene.telegram.type(AIGERIM, OPS, SMS)
        with pytest.raises(NotStored):
            await scene.hear()
        scene.door.says = Accepted(typed_sms())
        await scene.handle()

        assert len(scene.door.requests) == 1
        assert scene.outcomes == ["done"]


async def _fails_for(scene: Scene, seconds: int) -> None:
    for _ in range(seconds // 10 + 1):
        await scene.bot.poller.poll_patiently(0)
        scene.clock.advance(10)


async def test_another_poller_rings_after_half_a_minute_and_is_over_when_it_is_gone() -> None:
    async with a_scene() as scene:
        scene.telegram.has_another_poller()
        await _fails_for(scene, 20)
        assert scene.door.troubles == {}

        await _fails_for(scene, 30)
        assert list(scene.door.troubles) == [("telegram", "conflict")]

        scene.telegram.recovers()
        await scene.bot.poller.poll_patiently(0)
        assert scene.door.over == []  # two pollers take turns: one good answer proves nothing

        scene.clock.advance(60)
        await scene.bot.poller.poll_patiently(0)
        assert scene.door.over == [("telegram", "conflict")]


async def test_what_rang_before_a_restart_is_over_with_the_first_good_answers_after_it() -> None:
    async with a_scene() as scene:
        scene.door.troubles = {("telegram", "down"): "away", ("telegram", "conflict"): "another one"}
        await scene.bot.poller.poll_patiently(0)
        assert scene.door.over == [("telegram", "down")]

        scene.clock.advance(60)
        await scene.bot.poller.poll_patiently(0)
        assert scene.door.over == [("telegram", "down"), ("telegram", "conflict")]


@pytest.mark.parametrize("fault", ["is_down", "hangs_up"])
async def test_telegram_away_rings_by_sms_too_and_is_over_with_the_first_answer(fault: str) -> None:
    async with a_scene() as scene:
        getattr(scene.telegram, fault)()
        await _fails_for(scene, 40)
        assert scene.door.troubles["telegram", "down"].endswith("[and by SMS]")

        scene.telegram.recovers()
        scene.telegram.type(AIGERIM, OPS, SMS)
        assert await scene.bot.poller.poll_patiently(0) == 0
        assert scene.door.over == [("telegram", "down")]
        assert len(scene.store.kept.waiting) == 1


async def test_the_poller_waits_longer_each_time_and_as_long_as_it_is_told() -> None:
    async with a_scene() as scene:
        scene.telegram.is_down()
        waits = [await scene.bot.poller.poll_patiently(0) for _ in range(7)]
        assert waits == [1, 2, 4, 8, 16, 30, 30]

        scene.telegram.floods(retry_after=35, fetching=True)
        assert await scene.bot.poller.poll_patiently(0) == 35


async def test_a_flood_holds_up_no_poll() -> None:
    async with a_scene() as scene:
        await scene.bot.posted.look(URL)
        scene.telegram.webhook = {}
        scene.telegram.floods()
        scene.telegram.type(AIGERIM, OPS, SMS)

        assert await scene.bot.poller.poll_patiently(0) == 0
        assert len(scene.store.kept.waiting) == 1


async def test_a_telegram_that_hangs_while_we_answer_holds_up_no_command() -> None:
    async with a_scene() as scene:
        for text in ("/help", SMS, "/start"):
            scene.telegram.type(AIGERIM, OPS, text)
        await scene.bot.poller.poll_once(0)
        scene.telegram.is_slow(60)
        await scene.bot.handle_waiting()
        await scene.clock.waiting()  # for the answer to /help
        assert len(scene.door.requests) == 1 and scene.outcomes == ["done"]

        scene.telegram.type(AIGERIM, OPS, SMS)
        scene.telegram.recovers()
        await scene.bot.poller.poll_once(0)
        await scene.bot.handle_waiting()
        assert len(scene.door.requests) == 2

        scene.clock.advance(60)
        await scene.bot.voice.silent()
        assert [reply.partition(" ")[0] for reply in scene.replies()] == ["/sms", "Hello"]
        assert scene.outcomes == ["done"] * 4


@pytest.mark.parametrize(("mended", "said", "outcome"), [(30, 1, "done"), (300, 0, "failed: TelegramServerError")])
async def test_an_answer_that_cannot_be_said_is_tried_again_for_a_minute(mended: int, said: int, outcome: str) -> None:
    async with a_scene() as scene:
        scene.telegram.type(AIGERIM, OPS, "/help")
        await scene.bot.poller.poll_once(0)
        scene.telegram.is_down()
        for second in range(0, 600, 5):
            if second == mended:
                scene.telegram.recovers()
            await scene.handle()
            scene.clock.advance(5)

        assert len(scene.replies()) == said and scene.outcomes == [outcome]


async def test_an_answered_update_that_cannot_be_marked_is_answered_once() -> None:
    async with a_scene() as scene:
        scene.telegram.type(AIGERIM, OPS, "/help")
        await scene.bot.poller.poll_once(0)
        scene.store.kept.full = True
        for _ in range(3):
            await scene.handle()
        assert len(scene.replies()) == 1 and scene.outcomes == []

        scene.store.kept.full = False
        await scene.handle()
        assert len(scene.replies()) == 1 and scene.outcomes == ["done"]


async def test_a_command_that_needs_our_name_waits_for_telegram_and_holds_up_no_other() -> None:
    async with a_scene() as scene:
        scene.telegram.floods(retry_after=35)
        await scene.say("/sms@sms_bridge_bot +77010000001 Hi")
        await scene.say(SMS)
        assert len(scene.door.requests) == 1 and scene.outcomes == ["done"]

        scene.telegram.recovers()
        await scene.handle()
        assert len(scene.door.requests) == 1  # the 35 s are not over
        scene.clock.advance(35)
        await scene.handle()
        assert len(scene.door.requests) == 2 and scene.outcomes == ["done"] * 2


async def test_our_name_is_learnt_before_there_is_a_flood() -> None:
    async with a_scene() as scene:
        await scene.bot.offer_commands()
        scene.telegram.floods()
        await scene.say("/sms@sms_bridge_bot +77010000001 Hi")
        assert len(scene.door.requests) == 1


async def test_a_webhook_left_behind_is_removed_before_polling() -> None:
    async with a_scene() as scene:
        await scene.bot.posted.look(URL)
        assert scene.telegram.webhook["url"] == URL
        scene.telegram.type(AIGERIM, OPS, SMS)
        await scene.bot.poller.poll_patiently(0)

        assert scene.telegram.webhook == {}
        assert len(scene.store.kept.waiting) == 1


async def test_polling_for_ever_hears_at_once_and_ends_when_cancelled() -> None:
    async with a_scene() as scene:
        polling = asyncio.create_task(scene.bot.poller.poll_forever())
        scene.telegram.is_down()
        await scene.clock.waiting()
        scene.telegram.recovers()
        scene.telegram.type(AIGERIM, OPS, SMS)
        scene.clock.advance(1)
        await scene.door.received.wait()
        polling.cancel()
        with suppress(asyncio.CancelledError):
            await polling


async def test_commands_are_offered_behind_the_slash() -> None:
    async with a_scene() as scene:
        assert await scene.bot.offer_commands()
        assert {"command": "balance", "description": "money left"} in scene.telegram.menu

        scene.telegram.is_down()
        assert not await scene.bot.offer_commands()


# --- webhook -----------------------------------------------------------------------------------------


def _a_bot(
    secret: str | None, updates: str = "webhook", clock: FakeClock | None = None
) -> tuple[TelegramBot, FakeStore]:
    clock, store, live = clock or FakeClock(), FakeStore(), Live(HOUSE)
    settings = TelegramSettings(
        token=Secret(TOKEN),
        api_url="http://127.0.0.1:1",
        updates=updates,
        webhook_secret=Secret(secret) if secret else None,
    )
    return TelegramBot(settings, Door(store, clock, live), Answers(), store, clock, live, Metrics()), store


def _is_down(telegram: SimulatedTelegram, now: datetime) -> None:
    telegram.is_down()


def _is_taken(telegram: SimulatedTelegram, now: datetime) -> None:
    telegram.webhook = {"url": "https://other.example.net"}


def _cannot_post(telegram: SimulatedTelegram, now: datetime) -> None:
    telegram.type(AIGERIM, OPS, SMS)
    telegram.post_error = now, "Connection refused"


@pytest.mark.parametrize(
    ("fails", "kind", "says"),
    [
        (_is_down, "down", "cannot be reached"),
        (_is_taken, "conflict", "another program took"),
        (_cannot_post, "down", f"cannot post to {URL}: Connection refused"),
    ],
)
async def test_updates_that_are_not_posted_ring_by_sms_too_and_are_over(
    fails: Callable[[SimulatedTelegram, datetime], None], kind: str, says: str
) -> None:
    async with a_scene() as scene:
        await scene.bot.posted.look(URL)
        for _ in range(2):
            assert scene.door.troubles == {}
            fails(scene.telegram, scene.clock.now())
            await scene.bot.posted.look(URL)
            scene.clock.advance(30)
        assert says in scene.door.troubles["telegram", kind]
        assert scene.door.troubles["telegram", kind].endswith("[and by SMS]")

        scene.telegram.recovers()
        scene.telegram.post_error = None
        scene.clock.advance(60)
        await scene.bot.posted.look(URL)
        assert scene.telegram.webhook["url"] == URL
        assert scene.door.over == [("telegram", kind)]


async def test_a_mistake_of_ours_while_asking_whether_updates_are_posted_rings_too() -> None:
    async with a_scene() as scene:
        for _ in range(2):
            await scene.bot.posted.look(cast("str", None))
            scene.clock.advance(30)
        assert "please report it" in scene.door.troubles["telegram", "down"]


async def test_what_is_posted_is_looked_after_until_the_end() -> None:
    async with a_scene() as scene:
        looking = asyncio.create_task(scene.bot.posted.look_after(URL))
        await scene.clock.waiting()
        scene.telegram.webhook = {}
        for _ in range(2):
            scene.clock.advance(30)
            await scene.clock.waiting()
        assert scene.telegram.webhook["url"] == URL
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


def test_a_webhook_without_a_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="webhook_secret"):
        _a_bot(secret=None)


@pytest.mark.parametrize(
    ("header", "body", "status"),
    [
        (WEBHOOK_SECRET, b'{"update_id": 7}', 200),
        ("a-webhook-secreT", b'{"update_id": 7}', 401),
        ("", b'{"update_id": 7}', 401),
        ("ключ", b'{"update_id": 7}', 401),
        (None, b'{"update_id": 7}', 401),
        (WEBHOOK_SECRET, b"not json", 400),
        (WEBHOOK_SECRET, b"\xff\xfe\xff", 400),
        (WEBHOOK_SECRET, b"[" * 100_000, 400),
        (WEBHOOK_SECRET, b"[]", 400),
        (WEBHOOK_SECRET, b'{"update_id": "7"}', 400),
        (WEBHOOK_SECRET, b"{}", 400),
    ],
)
async def test_a_posted_update_needs_the_secret_and_an_id(header: str | None, body: bytes, status: int) -> None:
    bot, store = _a_bot(WEBHOOK_SECRET)

    assert await bot.receive_webhook(header, body) == status
    assert [update.body for update in store.kept.waiting] == ([body] if status == 200 else [])


async def test_somebody_hears_of_a_posted_update_that_is_none() -> None:
    bot, _ = _a_bot(WEBHOOK_SECRET)
    assert await bot.receive_webhook("a guess", b"not json") == 401
    door = bot._dispatcher
    assert isinstance(door, Door) and door.troubles == {}

    assert await bot.receive_webhook(WEBHOOK_SECRET, b"not json") == 400
    assert list(door.troubles) == [("update", "")]


async def test_a_posted_update_that_cannot_be_kept_is_asked_for_again() -> None:
    bot, store = _a_bot(WEBHOOK_SECRET)
    store.kept.full = True

    assert await bot.receive_webhook(WEBHOOK_SECRET, b'{"update_id": 7}') == 503


async def test_without_webhooks_nothing_posted_is_taken() -> None:
    bot, store = _a_bot(secret=None, updates="polling")

    assert await bot.receive_webhook("", b'{"update_id": 7}') == 401
    assert store.kept.waiting == []


# --- buttons -----------------------------------------------------------------------------------------


async def _asked(scene: Scene) -> None:
    view = QuestionView(a_question(token="f00d-_A"), HOUSE.time_zone, scene.clock.now())
    await scene.bot.chat.show(Place(OPS), view)


@pytest.mark.parametrize(("label", "send"), [("Send", True), ("Don't send", False)])
async def test_a_pressed_button_reaches_the_door_with_its_token(label: str, send: bool) -> None:
    async with a_scene() as scene:
        await _asked(scene)
        scene.door.answers_with = Accepted(typed_sms()) if send else None
        press = scene.telegram.press(label, by=AIGERIM, chat_id=OPS)
        await scene.hear()

        assert scene.door.answers == [(1043, "f00d-_A", AIGERIM, OPS, send)]
        assert press.toast == ("On its way." if send else "Not sent.")


async def test_a_stranger_presses_in_vain() -> None:
    async with a_scene() as scene:
        await _asked(scene)
        press = scene.telegram.press("Send", by=EVE, chat_id=OPS)
        await scene.hear()

        assert scene.door.answers == []
        assert press.toast == "Not for you: nobody in people has telegram_id: 666"


async def test_the_doors_refusal_is_a_toast() -> None:
    async with a_scene() as scene:
        await _asked(scene)
        scene.door.answers_with = Denied("Only Jonas can press this.")
        press = scene.telegram.press("Send", by=AIGERIM, chat_id=OPS)
        await scene.hear()

        assert press.toast == "Only Jonas can press this."


@pytest.mark.parametrize("data", ["ack:1", "", "q:1:t", "q:x:t:y", "q:1:t:yes", "q:1:a b:y", "q:1:t:y\n", "q:１:t:y"])
async def test_a_button_nobody_made_is_no_longer_in_use(data: str) -> None:
    async with a_scene() as scene:
        await _asked(scene)
        press = scene.telegram.press_data(data, AIGERIM, scene.telegram.chat(OPS).last)
        await scene.hear()

        assert scene.door.answers == []
        assert press.toast == "This button is no longer in use."


async def test_a_toast_that_comes_too_late_fails_nothing() -> None:
    async with a_scene() as scene:
        await _asked(scene)
        scene.telegram.press("Send", by=AIGERIM, chat_id=OPS).toast = "answered already"
        await scene.hear()

        assert scene.outcomes == ["done"]


# --- secrets -----------------------------------------------------------------------------------------


async def test_the_token_and_private_words_are_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    clock = FakeClock()
    bot, store = _a_bot(WEBHOOK_SECRET, clock=clock)
    async with bot:
        await bot.poller.poll_patiently(0)
        assert not await bot.offer_commands()
        poison = {"text": "canary-text +77010000001", "chat": "not a chat"}
        await bot.receive_webhook(WEBHOOK_SECRET, json.dumps({"update_id": 7, "message": poison}).encode())
        command = {
            "message_id": 1,
            "date": int(FakeClock().now().timestamp()),
            "chat": {"id": AIGERIM, "type": "private"},
            "from": {"id": AIGERIM, "is_bot": False, "first_name": "A"},
            "text": "/help canary-text +77010000001",
        }
        await bot.receive_webhook(WEBHOOK_SECRET, json.dumps({"update_id": 8, "message": command}).encode())
        for _ in range(4):
            await bot.handle_waiting()
            await bot.voice.silent()
            clock.advance(60)

    assert list(store.kept.outcomes.values())[1] == "failed: TelegramNetworkError"
    logged = "\n".join(f"{record.getMessage()} {record.__dict__} {record.exc_text}" for record in caplog.records)
    assert "bot.reach" in logged
    for canary in ("canary", "0000001", WEBHOOK_SECRET):
        assert canary not in logged
    assert "canary" not in repr(bot.__dict__) + "".join(store.kept.outcomes.values())
