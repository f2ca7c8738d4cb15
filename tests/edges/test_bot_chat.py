"""The Chat port: what Telegram may say, sorted."""

from datetime import timedelta

import aiohttp
import pytest
from aioresponses import aioresponses

from bot.chat import TelegramChat, open_bot
from bot.patience import Patience
from bridge.config import TelegramSettings
from bridge.domain.secret import Secret
from bridge.metrics import Metrics
from bridge.ports import (
    ChatOutcome,
    Closed,
    IncidentView,
    Later,
    Moved,
    NoteView,
    Place,
    Shown,
    Unshowable,
    Vanished,
)
from tests.edges.bot_scene import ALMATY, FORUM, OPS, a_scene
from tests.edges.test_cards import an_incident
from tests.fakes import START, FakeClock

TOKEN = "123456:canary-token-canary-token-canary"
API = f"https://api.telegram.org/bot{TOKEN}"


async def test_a_card_is_sent_once_and_then_edited_in_place() -> None:
    async with a_scene() as scene:
        chat = scene.bot.chat
        first = await chat.show(Place(OPS), NoteView("one"))
        assert isinstance(first, Shown)
        edited = await chat.show(Place(OPS), NoteView("two"), message_id=first.message_id)
        unchanged = await chat.show(Place(OPS), NoteView("two"), message_id=first.message_id)

        (card,) = scene.telegram.chat(OPS).messages
        assert (edited, unchanged) == (first, first)
        assert card.revisions == ["one", "two"]
        assert scene.metrics.telegram_requests.labels("sendMessage", "ok")._value.get() == 1
        assert scene.metrics.telegram_requests.labels("editMessageText", "BadRequest")._value.get() == 1


async def test_only_what_rings_rings() -> None:
    async with a_scene() as scene:
        await scene.bot.chat.show(Place(OPS), NoteView("quiet"))
        await scene.bot.chat.show(Place(OPS), NoteView("loud"), ring=True)

        assert [message.silent for message in scene.telegram.chat(OPS).messages] == [True, False]


async def test_a_card_lands_in_its_topic_below_what_it_answers_even_if_that_is_gone() -> None:
    async with a_scene() as scene:
        typed = scene.telegram.type(111, FORUM, "/sms …", topic=7)
        await scene.bot.chat.show(Place(FORUM, 7), NoteView("here"), reply_to=typed.id)
        scene.telegram.delete(typed)
        await scene.bot.chat.show(Place(FORUM, 7), NoteView("still here"), reply_to=typed.id)

        first, second = scene.telegram.chat(FORUM).messages
        assert (first.topic, first.reply_to) == (7, typed.id)
        assert (second.topic, second.reply_to) == (7, None)


@pytest.mark.parametrize("text", ["<b>*_[`", "a & b < c > d", "{{7*7}} %s \\", "# not a heading"])
async def test_foreign_text_is_shown_as_it_is(text: str) -> None:
    async with a_scene() as scene:
        await scene.bot.chat.show(Place(OPS), NoteView(text))

        assert scene.telegram.chat(OPS).last.text == text
        assert "parse_mode" not in scene.telegram.requests[-1][1]


async def test_a_link_that_telegram_dislikes_to_the_last_costs_the_card_and_not_the_chat() -> None:
    disliked = "Bad Request: BUTTON_URL_INVALID"
    async with aioresponses_of(
        ("sendMessage", 400, {"description": disliked}), ("sendMessage", 400, {"description": disliked})
    ) as chat:
        assert await chat.show(Place(OPS), NoteView("hello")) == Unshowable("BUTTON_URL_INVALID")


async def test_a_link_that_telegram_dislikes_does_not_cost_the_card() -> None:
    async with aioresponses_of(
        ("sendMessage", 400, {"description": "Bad Request: BUTTON_URL_INVALID"}),
        ("sendMessage", 200, {"result": {"message_id": 5, "date": 1, "chat": {"id": OPS, "type": "group"}}}),
    ) as chat:
        view = IncidentView(an_incident(source_url="https://grafana.example.net/x"), (), ALMATY, START)
        assert await chat.show(Place(OPS), view) == Shown(5)


@pytest.mark.parametrize(
    ("status", "description", "outcome"),
    [
        (403, "Forbidden: bot was blocked by the user", Closed("bot was blocked by the user")),
        (403, "Forbidden: bot was kicked from the group chat", Closed("bot was kicked from the group chat")),
        (400, "Bad Request: chat not found", Closed("chat not found")),
        (400, "Bad Request: TOPIC_CLOSED", Closed("TOPIC_CLOSED")),
        (
            400,
            "Bad Request: not enough rights to send text messages to the chat",
            Closed("not enough rights to send text messages to the chat"),
        ),
        (400, "Bad Request: message thread not found", Closed("message thread not found")),
        (400, "Bad Request: message is too long", Unshowable("message is too long")),
        (400, "Bad Request: BUTTON_DATA_INVALID", Unshowable("BUTTON_DATA_INVALID")),
        (400, "Bad Request: something new", Unshowable("something new")),
        (401, "Unauthorized", Later(timedelta(minutes=1), "Telegram refuses our token", whole_bot=True)),
        (500, "Internal Server Error", Later(timedelta(seconds=5), "Telegram cannot be reached (TelegramServerError)")),
    ],
)
async def test_a_refused_card_is_sorted_by_what_can_be_done(
    status: int, description: str, outcome: ChatOutcome
) -> None:
    async with aioresponses_of(("sendMessage", status, {"description": description})) as chat:
        said = await chat.show(Place(OPS), NoteView("hello"))

    match said, outcome:
        case Later(), Later():
            assert (said.wait, said.whole_bot) == (outcome.wait, outcome.whole_bot)
            assert said.reason.startswith(outcome.reason)
        case _:
            assert said == outcome


@pytest.mark.parametrize(
    "description",
    [
        "Bad Request: message to edit not found",
        "Bad Request: message can't be edited",
        "Bad Request: MESSAGE_ID_INVALID",
    ],
)
async def test_a_message_that_cannot_be_edited_any_more_has_vanished(description: str) -> None:
    async with aioresponses_of(("editMessageText", 400, {"description": description})) as chat:
        assert await chat.show(Place(OPS), NoteView("hello"), message_id=5) == Vanished()


async def test_a_flood_pauses_the_whole_bot_for_as_long_as_asked() -> None:
    async with a_scene() as scene:
        scene.telegram.floods(retry_after=35)
        said = await scene.bot.chat.show(Place(OPS), NoteView("hello"))

        assert said == Later(timedelta(seconds=35), "Telegram asks for 35 s of patience", whole_bot=True)


async def test_a_group_that_moved_says_where_to() -> None:
    async with a_scene() as scene:
        scene.telegram.becomes_supergroup(OPS, -1009999)

        assert await scene.bot.chat.show(Place(OPS), NoteView("hello")) == Moved(-1009999)


@pytest.mark.parametrize("fault", ["hangs_up", "is_down"])
async def test_a_telegram_that_is_away_is_tried_later(fault: str) -> None:
    async with a_scene() as scene:
        getattr(scene.telegram, fault)()
        said = await scene.bot.chat.show(Place(OPS), NoteView("hello"))

        assert isinstance(said, Later)
        assert not said.whole_bot


@pytest.mark.parametrize("body", ["<html>502</html>", "[]", "null", '{"ok": true, "result": {"message_id": "x"}}', ""])
async def test_garbage_for_an_answer_is_tried_later(body: str) -> None:
    async with aioresponses_of(("sendMessage", 200, body)) as chat:
        assert isinstance(await chat.show(Place(OPS), NoteView("hello")), Later)


async def test_no_outcome_shows_the_token() -> None:
    url_error = aiohttp.InvalidURL(f"{API}/sendMessage")
    async with aioresponses_of(("sendMessage", 0, url_error)) as chat:
        said = await chat.show(Place(OPS), NoteView("hello"))

    assert isinstance(said, Later)
    assert "canary" not in repr(said)


class aioresponses_of:  # noqa: N801 - reads like the function it stands for
    """A TelegramChat whose requests are answered with these (method, status, body or error), in order."""

    def __init__(self, *answers: tuple[str, int, dict[str, object] | str | Exception]) -> None:
        self._answers = answers
        self._mock = aioresponses()
        self._bot = open_bot(TelegramSettings(token=Secret(TOKEN)), Metrics(), Patience(FakeClock()))

    async def __aenter__(self) -> TelegramChat:
        self._mock.start()
        for method, status, answer in self._answers:
            url = f"{API}/{method}"
            if isinstance(answer, Exception):
                self._mock.post(url, exception=answer)
            elif isinstance(answer, str):
                self._mock.post(url, status=status, body=answer)
            else:
                self._mock.post(url, status=status, payload={"ok": status == 200, "error_code": status} | answer)
        return TelegramChat(self._bot)

    async def __aexit__(self, *_: object) -> None:
        self._mock.stop()
        await self._bot.session.close()
