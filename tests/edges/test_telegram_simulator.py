"""The simulated Telegram: as strict as the real one where our code would notice."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from bridge.demo.telegram import SimulatedMessage, SimulatedTelegram
from tests.fakes import START, FakeClock

GROUP, USER = -1001, 111

Call = Callable[..., Awaitable[tuple[int, Any]]]


@pytest.fixture
async def telegram() -> AsyncIterator[SimulatedTelegram]:
    simulated = SimulatedTelegram(clock=FakeClock())
    await simulated.start()
    yield simulated
    await simulated.stop()


@pytest.fixture
async def call(telegram: SimulatedTelegram) -> AsyncIterator[Call]:
    """Any method of the Bot API; the status, and the result or the description."""
    async with aiohttp.ClientSession() as http:

        async def ask(method: str, token: str = telegram.token, **parameters: Any) -> tuple[int, Any]:
            async with http.post(f"{telegram.url}/bot{token}/{method}", json=parameters) as response:
                answer = await response.json()
                assert answer["ok"] == (response.status == 200)
                return response.status, answer.get("result", answer.get("description"))

        yield ask


async def test_it_knows_its_token_and_its_methods(call: Call) -> None:
    assert (await call("getMe"))[1]["username"] == "sms_bridge_bot"
    assert await call("getMe", token="1:wrong") == (401, "Unauthorized")
    assert await call("sendPigeon") == (404, "Not Found")
    assert (await call("getChatMember", chat_id=GROUP, user_id=123456))[1]["user"]["is_bot"]
    assert (await call("getChat", chat_id=GROUP))[1]["id"] == GROUP


async def test_what_is_typed_waits_until_a_higher_offset_confirms_it(telegram: SimulatedTelegram, call: Call) -> None:
    telegram.type(USER, GROUP, "one")
    telegram.type(USER, USER, "two")

    _, first = await call("getUpdates")
    _, again = await call("getUpdates")
    _, rest = await call("getUpdates", offset=first[0]["update_id"] + 1)
    _, nothing = await call("getUpdates", offset=first[1]["update_id"] + 1)

    assert [update["message"]["text"] for update in first] == ["one", "two"]
    assert first == again
    assert [update["message"]["chat"]["type"] for update in rest] == ["private"]
    assert nothing == []
    assert first[0]["message"]["date"] == int(START.timestamp())


async def test_a_long_poll_wakes_when_something_is_typed(telegram: SimulatedTelegram, call: Call) -> None:
    polling = asyncio.ensure_future(call("getUpdates", timeout=50))
    await telegram.polled()
    telegram.type(USER, GROUP, "wake up")

    _, updates = await polling
    assert len(updates) == 1


async def test_a_second_poller_ends_the_first(telegram: SimulatedTelegram, call: Call) -> None:
    first = asyncio.ensure_future(call("getUpdates", timeout=50))
    await telegram.polled()
    second = asyncio.ensure_future(call("getUpdates", timeout=50))

    assert (await first)[0] == 409
    telegram.type(USER, GROUP, "for the second")
    assert len((await second)[1]) == 1


async def test_stopping_ends_a_long_poll_and_the_same_port_serves_again(
    telegram: SimulatedTelegram, call: Call
) -> None:
    polling = asyncio.ensure_future(call("getUpdates", timeout=50))
    await telegram.polled()
    url = telegram.url
    await telegram.stop()
    assert await polling == (200, [])

    await telegram.start(port=int(url.rpartition(":")[2]))
    assert telegram.url == url
    assert (await call("getMe"))[0] == 200


async def test_a_webhook_and_polling_exclude_each_other(call: Call) -> None:
    await call("setWebhook", url="https://sms.example.net/telegram/x")
    assert (await call("getUpdates"))[0] == 409
    assert (await call("getWebhookInfo"))[1]["url"] == "https://sms.example.net/telegram/x"

    await call("deleteWebhook")
    assert (await call("getUpdates"))[0] == 200


async def test_a_message_remembers_every_text_it_had() -> None:
    heard: list[tuple[str, str]] = []
    telegram = SimulatedTelegram(on_event=lambda what, message: heard.append((what, message.text)))
    await telegram.start()
    try:
        async with aiohttp.ClientSession() as http:
            keyboard = {"inline_keyboard": [[{"text": "Send", "callback_data": "x"}]]}
            form = {"chat_id": str(GROUP), "text": "one", "reply_markup": json.dumps(keyboard)}
            await http.post(f"{telegram.url}/bot{telegram.token}/sendMessage", data=form)
            (message,) = telegram.chat(GROUP).cards
            assert (message.buttons, message.silent) == (["Send"], False)

            edit = {"chat_id": GROUP, "message_id": message.id, "text": "two"}
            await http.post(f"{telegram.url}/bot{telegram.token}/editMessageText", json=edit)
            async with http.post(f"{telegram.url}/bot{telegram.token}/editMessageText", json=edit) as response:
                assert "message is not modified" in await response.text()
    finally:
        await telegram.stop()

    assert (message.text, message.revisions, message.buttons) == ("two", ["one", "two"], [])
    assert heard == [("sent", "one"), ("edited", "two")]


async def _sent(telegram: SimulatedTelegram, call: Call, **parameters: Any) -> SimulatedMessage:
    status, _ = await call("sendMessage", **({"chat_id": GROUP, "text": "hello"} | parameters))
    assert status == 200
    return telegram.chat(GROUP).last


@pytest.mark.parametrize(
    ("parameters", "description"),
    [
        ({"text": " "}, "message text is empty"),
        ({"text": "x" * 4097}, "message is too long"),
        ({"text": "😀" * 2049}, "message is too long"),
        ({"reply_parameters": {"message_id": 77}}, "message to be replied not found"),
        ({"message_thread_id": 9}, "TOPIC_CLOSED"),
        ({"reply_markup": {"inline_keyboard": [[{"text": "x", "callback_data": "x" * 65}]]}}, "BUTTON_DATA_INVALID"),
        ({"reply_markup": {"inline_keyboard": [[{"text": "x", "url": "http://prometheus:9090/"}]]}}, "Wrong HTTP URL"),
    ],
)
async def test_it_refuses_what_the_real_one_refuses(
    telegram: SimulatedTelegram, call: Call, parameters: dict[str, Any], description: str
) -> None:
    telegram.closes_topic(GROUP, 9)
    status, said = await call("sendMessage", **({"chat_id": GROUP, "text": "hello"} | parameters))

    assert status == 400
    assert description in said
    assert telegram.chat(GROUP).messages == []


async def test_chats_can_be_blocked_lost_and_moved(telegram: SimulatedTelegram, call: Call) -> None:
    telegram.blocks_the_bot(USER)
    telegram.loses_chat(-5)
    telegram.becomes_supergroup(-6, -1006)

    assert await call("sendMessage", chat_id=USER, text="x") == (403, "Forbidden: bot was blocked by the user")
    assert await call("sendMessage", chat_id=-5, text="x") == (400, "Bad Request: chat not found")
    assert (await call("sendMessage", chat_id=-6, text="x"))[0] == 400
    _, updates = await call("getUpdates")
    assert [sorted(set(update["message"]) & {"migrate_to_chat_id", "migrate_from_chat_id"}) for update in updates] == [
        ["migrate_to_chat_id"],
        ["migrate_from_chat_id"],
    ]


async def test_a_press_is_an_update_and_its_toast_is_shown_once(telegram: SimulatedTelegram, call: Call) -> None:
    keyboard = {"inline_keyboard": [[{"text": "Send", "callback_data": "q:1:t:y"}]]}
    message = await _sent(telegram, call, reply_markup=keyboard)
    press = telegram.press("Send", by=USER, chat_id=GROUP)

    _, (update,) = await call("getUpdates")
    assert update["callback_query"]["data"] == "q:1:t:y"
    assert update["callback_query"]["message"]["message_id"] == message.id
    assert (await call("answerCallbackQuery", callback_query_id=press.id, text="Done"))[0] == 200
    assert (await call("answerCallbackQuery", callback_query_id=press.id, text="Again"))[0] == 400
    assert press.toast == "Done"
    with pytest.raises(LookupError, match="'Nope'"):
        telegram.press("Nope", by=USER, chat_id=GROUP)


async def test_what_is_deleted_is_gone_for_everybody(telegram: SimulatedTelegram, call: Call) -> None:
    message = await _sent(telegram, call)
    await call("deleteMessage", chat_id=GROUP, message_id=message.id)

    assert telegram.chat(GROUP).messages == []
    assert telegram.chat(GROUP).history == [message]
    assert (await call("editMessageText", chat_id=GROUP, message_id=message.id, text="x"))[0] == 400
    assert (await call("deleteMessage", chat_id=GROUP, message_id=message.id))[0] == 400


async def test_nobody_edits_what_people_wrote(telegram: SimulatedTelegram, call: Call) -> None:
    typed = telegram.type(USER, GROUP, "mine")

    assert (await call("editMessageText", chat_id=GROUP, message_id=typed.id, text="yours"))[0] == 400


async def test_faults_end_when_it_recovers(telegram: SimulatedTelegram, call: Call) -> None:
    telegram.is_down()
    assert (await call("getUpdates"))[0] == 502
    telegram.floods(35)
    assert (await call("sendMessage", chat_id=GROUP, text="x"))[0] == 429
    telegram.has_another_poller()
    assert (await call("getUpdates"))[0] == 409
    assert (await call("getMe"))[0] == 200
    telegram.hangs_up()
    with pytest.raises(aiohttp.ClientError):
        await call("getMe")

    telegram.recovers()
    assert (await call("sendMessage", chat_id=GROUP, text="x"))[0] == 200


async def test_a_slow_answer_comes_when_the_clock_has_moved() -> None:
    clock = FakeClock()
    telegram = SimulatedTelegram(clock=clock)
    await telegram.start()
    telegram.is_slow(5)
    try:
        async with aiohttp.ClientSession() as http:
            asking = asyncio.ensure_future(http.get(f"{telegram.url}/bot{telegram.token}/getMe"))
            await clock.waiting()
            assert not asking.done()
            clock.advance(5)
            assert (await asking).status == 200
    finally:
        await telegram.stop()
