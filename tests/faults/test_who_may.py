"""Who may: every user in every chat with every command said in every way, and every press of a button."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from bridge.domain.notification import State
from tests.world import AIGERIM, DANA, JONAS, OPS, STRANGER, TOPIC, WATCH, World, a_world

pytestmark = pytest.mark.timeout(180)
UNKNOWN = -1007770000000
ANONYMOUS, CHANNEL, TELEGRAM, ROBOT = 1087968824, 136817688, 777000, 987654321
USERS = {AIGERIM: 2, JONAS: 1, DANA: 0, STRANGER: None, ANONYMOUS: None, CHANNEL: None, TELEGRAM: None, ROBOT: None}
"""Whoever may speak, by what they may: 0 see, 1 text people, 2 text any number; None: nothing."""
NOBODIES = {ANONYMOUS, CHANNEL, TELEGRAM, ROBOT}
WAYS: dict[str, dict[str, Any]] = {
    "typed": {},
    "anonymous": {"sender_chat": {"id": OPS, "type": "supergroup", "title": "Ops"}},
    "as a channel": {"sender_chat": {"id": -1008880000000, "type": "channel", "title": "News"}},
    "forwarded": {"forward_origin": {"type": "hidden_user", "date": 1, "sender_user_name": "Boss"}},
    "forwarded, long ago": {"forward_date": 1_700_000_000},
    "via a bot": {"via_bot": {"id": ROBOT, "is_bot": True, "first_name": "Helper"}},
    "from a linked channel": {"is_automatic_forward": True},
    "edited": {},
}
COMMANDS = ("/sms jonas hello", "/sms +77010000009 hello", "/cancel 1", "/history", "/status 1", "/balance",
            "/costs", "/help", "/start", "/id", "/incidents", "/ack 1", "/page help")  # fmt: skip


def expected(user: int, chat: int, way: str, command: str) -> str:
    """What has to come of it: "sent", "asked", or only words; "" is silence."""
    if user in NOBODIES or way not in ("typed", "edited"):
        return ""
    role, private, ours = USERS[user], chat == user, chat in (OPS, WATCH)
    known = role is not None and (private or ours)
    if way == "edited":
        return "Edits are not read" if known else ""
    if command == "/id":
        return f"telegram_id: {user}"
    if not known:
        return f"nobody in people has telegram_id: {user}" if ours else ""
    assert role is not None
    if command.startswith("/sms"):
        if role < 1:
            return "takes the role responder"
        if "+" in command and role < 2:
            return "take the role operator"
        return "asked" if "+" in command else "sent"
    if command == "/cancel 1":
        return "or an operator, can take it back"
    if command == "/incidents":
        return "Nothing is open."
    if command == "/page help":
        return "from a private chat" if private else "no policy to page by" if role else "takes the role responder"
    if command == "/ack 1":
        return "#1 is an SMS" if chat == OPS or (private and role == 2) else "There is no #1"
    if command == "/status 1":
        return "#1" if chat == OPS or (private and role == 2) else "There is no #1"
    return " "


@pytest.mark.parametrize("where", ["ops", "watch", "private", "unknown"])
async def test_who_may_what_where_and_said_how(tmp_path: Path, where: str) -> None:
    async with a_world(tmp_path) as world:
        await _defers(world)
        updates: dict[tuple[int, int, str, str], tuple[str, int]] = {}
        for user, way, command in product(USERS, WAYS, COMMANDS):
            if user == AIGERIM and way == "typed" and command == "/cancel 1":
                continue  # she may, as the next test says
            chat = {"ops": OPS, "watch": WATCH, "private": user, "unknown": UNKNOWN}[where]
            updates[user, chat, way, command] = _says(world, user, chat, way, command)
        await world.settle()

        for case, (cause, message_id) in updates.items():
            want = expected(*case)
            said = [card.text for card in world.telegram.chat(case[1]).cards if card.reply_to == message_id]
            row, question = await _became(world, cause)
            assert (row is not None, question is not None) == (want == "sent", want == "asked"), case
            if not row and not question:
                assert len(said) == (want != ""), (case, said)
                assert all(want in text for text in said), (case, said)
        allowed = 0 if where == "unknown" else 2
        assert world.phone("jonas").texts == ["hello"] * allowed and len(world.mobizon.sent) == allowed
        assert (await _first(world)).state is State.PLANNED


async def _became(world: World, cause: str) -> tuple[Any, Any]:
    """The SMS and the question that an update made."""
    return await world.bridge.store.read(lambda tx: (tx.notification_by_cause(cause), tx.question_by_cause(cause)))


async def _defers(world: World) -> None:
    """Aigerim has an SMS wait for its hour: #1."""
    await world.types("/sms jonas at=23:00 later")
    assert (await _first(world)).text == "later"


async def _first(world: World) -> Any:
    return await world.bridge.store.read(lambda tx: tx.notification(1))


def _says(world: World, user: int, chat: int, way: str, command: str) -> tuple[str, int]:
    """The cause that this update is, and the message that an answer would answer."""
    topic = TOPIC if chat == OPS else None
    fields: dict[str, Any] = {
        "from": {"id": user, "is_bot": user == ROBOT, "first_name": "X", "username": "aigerim"},
        **WAYS[way],
    }
    before = world.telegram.type(user, chat, "hm", topic=topic) if way == "edited" else None
    message = world.telegram.type(user, chat, command, topic=topic, edited=before, **fields)
    bot_id = world.telegram.token.partition(":")[0]
    return f"telegram:{bot_id}:{world.telegram.last_update}", message.id


@pytest.mark.parametrize(("by", "chat", "may"), [
    (AIGERIM, OPS, True), (AIGERIM, AIGERIM, True), (AIGERIM, UNKNOWN, False), (JONAS, OPS, False), (DANA, OPS, False),
])  # fmt: skip
async def test_an_sms_is_taken_back_by_who_asked_or_an_operator(tmp_path: Path, by: int, chat: int, may: bool) -> None:
    async with a_world(tmp_path) as world:
        await _defers(world)
        await world.types("/cancel 1", by=by, chat=chat)
        assert (await _first(world)).state is (State.CANCELLED if may else State.PLANNED)


async def test_a_question_is_answered_by_who_was_asked_where_it_stands_and_once(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.types("/sms +77010000009 hello")
        question = world.card
        data = question.keyboard[0][0]["callback_data"]
        for user, chat in product(USERS, (OPS, WATCH, UNKNOWN, "private")):
            here = user if chat == "private" else chat
            assert isinstance(here, int)
            if user == AIGERIM and here in (OPS, AIGERIM):
                continue
            press = world.telegram.press_data(data, user, _below(world, here))
            await world.settle()
            assert press.toast and world.mobizon.sent == [], (user, chat, press.toast)
        for wrong in ("q:1:0000000000000000:y", data.replace(":1:", ":2:"), "l" + data[1:], data[:-2] + ":n:y"):
            press = world.telegram.press_data(wrong, AIGERIM, question)
            await world.settle()
            assert press.toast == "This button is no longer in use." and world.mobizon.sent == []

        assert (await world.press("Send")).toast == "On its way."
        assert world.phone("+77010000009").texts == ["hello"]
        for replayed in (data, data[:-1] + "n"):
            press = world.telegram.press_data(replayed, AIGERIM, question)
            await world.settle()
            assert press.toast and "Too late" in press.toast and len(world.mobizon.sent) == 1


async def test_buttons_expire_with_their_time_and_with_their_database(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.types("/sms +77010000009 hello")
        data, old = world.card.keyboard[0][0]["callback_data"], world.card
        token = data.split(":")[2]
        assert len(bytes.fromhex(token)) >= 8
        world.clock.advance(600)
        press = world.telegram.press_data(data, AIGERIM, old)
        await world.settle()
        assert press.toast and "Too late" in press.toast and world.mobizon.sent == []

        await world.sleeps()
        (world.folder / "bridge.db").unlink()
        await world.wakes()
        await world.types("/sms +77010000009 hello")
        assert world.card.keyboard[0][0]["callback_data"].split(":")[1] == data.split(":")[1]  # the same number again
        press = world.telegram.press_data(data, AIGERIM, old)
        await world.settle()
        assert press.toast == "This button is no longer in use." and world.mobizon.sent == []


def _below(world: World, chat: int) -> Any:
    """A message of the bot in that chat, to which a client may say a button belonged."""
    there = world.telegram.chat(chat).cards
    return there[-1] if there else world.telegram._add(None, chat, "hello")


@pytest.mark.parametrize("lost", ["removed", "demoted"])
async def test_who_loses_the_right_before_it_leaves_sends_nothing_and_the_card_says_so(
    tmp_path: Path, lost: str
) -> None:
    async with a_world(tmp_path) as world:
        await world.types("/sms aigerim at=08:20 hello", by=JONAS)
        here = '  jonas: {phone: "+4915112345678", telegram_id: 222222222, role: responder}\n'
        now = "" if lost == "removed" else here.replace("responder", "observer")
        await _reloads(world, (here, now), ("[aigerim, jonas]", "[aigerim]"))
        await world.advance(minutes=12)
        assert world.mobizon.sent == []
        assert "cancelled: jonas may no longer send this" in world.ops.cards[0].text


async def test_a_token_called_like_a_person_who_left_does_not_speak_for_them(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[("scripts: {token: api-secret", "jonas: {token: api-secret")]) as world:
        await world.types("/sms aigerim at=08:20 from the person", by=JONAS)
        at = world.clock.now().replace(minute=20).isoformat()
        await world.api("POST", "/sms", {"to": "aigerim", "text": "from the token", "send_at": at}, status=202)
        here = '  jonas: {phone: "+4915112345678", telegram_id: 222222222, role: responder}\n'
        await _reloads(world, (here, ""), ("[aigerim, jonas]", "[aigerim]"))
        await world.advance(minutes=12)
        assert world.phone("aigerim").texts == ["from the token"]


async def test_a_person_called_watch_is_a_person(tmp_path: Path) -> None:
    async with a_world(
        tmp_path, changes=[("  dana:", "  watch:"), ("333333333}", "333333333, role: responder}")]
    ) as world:
        await world.types("/sms aigerim at=08:20 hello", by=DANA)
        await _reloads(world, ("333333333, role: responder}", "333333333}"))
        await world.advance(minutes=12)
        assert world.mobizon.sent == []


async def _reloads(world: World, *changes: tuple[str, str]) -> None:
    text = world.config_file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    world.config_file.write_text(text)
    assert await world.bridge.reload() == []
