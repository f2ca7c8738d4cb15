"""A Telegram that is away, flooded, poisoned, shared or shut: the SMS go on, and the chats catch up."""

import random
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.patience import Patience
from bridge import watch
from bridge.demo.telegram import SimulatedMessage, SimulatedTelegram
from bridge.ports import Chat, ChatOutcome, Closed, Later, Place, View
from bridge.reporter import Reporter
from tests.world import AIGERIM, OPS, TOPIC, WATCH, World, a_world, firing


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as world:
        yield world


@pytest.mark.parametrize("fault", [SimulatedTelegram.is_down, SimulatedTelegram.hangs_up])
async def test_two_hours_without_telegram(world: World, fault: Callable[[SimulatedTelegram], None]) -> None:
    fault(world.telegram)
    world.telegram.type(AIGERIM, OPS, "/sms jonas hello", topic=TOPIC)
    for hour in range(6):
        await world.post("alertmanager", firing(f"db{hour}", name=f"Trouble{hour}"))
        for _ in range(20):
            world.clock.advance(60)
            await world.settle()
    pages = [text for text in world.phone("aigerim").texts if "sms-bridge" not in text]
    alarms = [text for text in world.phone("aigerim").texts if "sms-bridge" in text]
    assert (len(pages), len(alarms), len(world.phone("jonas").texts)) == (6, 1, 6)
    assert world.ops.cards == world.watch.cards == []

    world.telegram.recovers()
    await world.advance(minutes=2)
    assert len(world.mobizon.sent) == 13  # an old command asks first
    incidents = _cards(world, "Trouble")
    assert len(incidents) == 6
    assert all(card.text.count("on the handset") == 2 and len(card.revisions) == 1 for card in incidents)
    assert len(world.ops.cards) == 6 + 1 + 6, "and the chat rings once for each, not for every time it could not"
    assert len(world.watch.cards) == 1 and "over" in world.watch.last.text
    await world.press("Send")
    assert world.phone("jonas").texts[-1] == "hello"
    assert len(world.mobizon.sent) == 14


async def test_a_flood_wait_silences_the_whole_bot_and_one_message_tells_all_of_it_afterwards(world: World) -> None:
    assert await _requests_in_a_flood(world) == 1
    assert len(world.mobizon.sent) == 6

    world.telegram.recovers()
    await world.advance(seconds=20)
    incidents = [card for card in world.ops.cards if "Trouble" in card.text]
    assert len(incidents) == 3
    assert all(card.text.count("on the handset") == 2 and len(card.revisions) == 1 for card in incidents)


async def test_a_bug_planted_in_the_cards_is_found(world: World) -> None:
    bot = world.bridge.bot
    assert bot is not None
    _loses_patience(world)
    deaf = Reporter(world.bridge.store, OneCardWaits(bot.chat), world.clock, world.bridge.house)
    world.bridge.ticks[-1] = deaf
    assert await _requests_in_a_flood(world) > 1


def _loses_patience(world: World) -> None:
    """The planted bug: no place that every request passes knows of the flood."""
    assert world.bridge.bot is not None
    sessions = world.bridge.bot._bot.session.middleware
    sessions.unregister(next(one for one in sessions if isinstance(one, Patience)))


class OneCardWaits:
    """The planted bug: a flood wait holds back the card that met it, and no other."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    async def show(
        self,
        place: Place,
        view: View,
        *,
        message_id: int | None = None,
        reply_to: int | None = None,
        ring: bool = False,
    ) -> ChatOutcome:
        outcome = await self._chat.show(place, view, message_id=message_id, reply_to=reply_to, ring=ring)
        return replace(outcome, whole_bot=False) if isinstance(outcome, Later) else outcome


async def _requests_in_a_flood(world: World) -> int:
    """Telegram wants 35 s of patience while three incidents open; how often it is spoken to in 34 s."""
    await world.settle()
    world.telegram.floods(retry_after=35)
    before = await _requests(world)
    for number in range(3):
        await world.post("alertmanager", firing(f"db{number}", name=f"Trouble{number}"))
        await world.advance(seconds=10)
    await world.advance(seconds=4)
    return await _requests(world) - before


async def _requests(world: World) -> int:
    """Requests to Telegram, answered or not; asking for updates is not speaking."""
    told = re.findall(r'sms_bridge_telegram_requests_total\{method="(\w+)",.*\} (\S+)', await world.metrics())
    return sum(int(float(count)) for method, count in told if method != "getUpdates")


async def test_what_is_typed_in_a_flood_is_done_at_once_and_answered_after_it(world: World) -> None:
    assert await _requests_while_people_type(world) == 1
    assert world.phone("jonas").texts == ["hello"]
    assert [card.text for card in world.ops.cards if "Send this" not in card.text] == []

    world.telegram.recovers()
    await world.advance(seconds=30)
    said = [card.text.partition("\n")[0] for card in world.ops.cards]
    assert sum("on the handset" in text for text in said) == 1
    assert sum("obody is called" in text for text in said) == 1
    assert sum("Your role here is" in text for text in said) == 1
    assert sum("Not sent" in text or "not sent" in text for text in said) == 1
    assert len(said) == 4
    assert len(world.mobizon.sent) == 1
    assert await world.bridge.store.read(lambda tx: tx.updates_waiting(10)) == []


async def test_a_bug_planted_in_the_answers_is_found(world: World) -> None:
    _loses_patience(world)
    assert await _requests_while_people_type(world) > 1


async def _requests_while_people_type(world: World) -> int:
    """A question stands, then Telegram wants 35 s of patience; how often it is spoken to in 34 s of typing."""
    await world.types("/sms +77010000009 asked first")
    world.telegram.floods(retry_after=35)
    before = await _requests(world)
    await world.press("Don't send")
    await world.types("/sms jonas hello")
    for text in ("/start", "/sms nobody hello"):
        await world.types(text)
        await world.advance(seconds=17)
    return await _requests(world) - before


async def test_a_restart_in_a_flood_answers_what_the_life_before_could_not(world: World) -> None:
    await world.settle()
    world.telegram.floods(retry_after=35)
    await world.types("/sms jonas hello")
    await world.types("/sms nobody hello")
    await world.sleeps()
    await world.wakes()
    await world.settle()
    assert world.ops.cards == []

    world.clock.advance(35)
    world.telegram.recovers()
    await world.advance(seconds=30)
    assert sorted("obody is called" in card.text for card in world.ops.cards) == [False, True]
    assert world.phone("jonas").texts == ["hello"] and len(world.mobizon.sent) == 1


async def test_a_flood_without_an_end_is_alarmed_by_sms_within_a_minute_and_stops_no_page(world: World) -> None:
    await world.settle()
    world.telegram.floods(retry_after=20)
    await world.post("alertmanager", firing("db1"))
    for _ in range(6):
        await world.advance(seconds=10)
    assert len(world.phone("jonas").texts) == 1
    assert [("patience" in text) for text in world.phone("aigerim").texts] == [False, True]

    await world.advance(minutes=10)
    assert len(world.phone("aigerim").texts) == 2
    world.telegram.recovers()
    await world.advance(minutes=2)
    assert "over" in world.watch.last.text and world.card.text.count("on the handset") == 2


async def test_short_floods_far_apart_ring_nobody(world: World) -> None:
    for number in range(5):
        world.telegram.floods(retry_after=3)
        await world.post("alertmanager", firing(f"db{number}", name=f"Trouble{number}"))
        world.telegram.recovers()
        await world.advance(minutes=5)
    assert len(world.mobizon.sent) == 10 and len(_cards(world)) == 5


async def test_bad_updates_hold_up_nobody(world: World) -> None:
    began = world.clock.now()
    world.telegram.poison()
    world.telegram.put("message", {"text": "/sms jonas hello"})
    world.telegram.put("something_new", {"id": 1})
    world.telegram.put("callback_query", {"id": "1", "data": 7})
    await world.types("/sms jonas hello")
    assert world.phone("jonas").texts == ["hello"] and world.clock.now() == began
    assert ["set aside" in card.text for card in world.watch.cards].count(True) == 1

    await world.sleeps()
    await world.wakes()
    await world.types("/sms jonas more")
    assert world.phone("jonas").texts == ["hello", "more"]
    assert await world.bridge.store.read(lambda tx: tx.updates_waiting(10)) == []


async def test_another_poller_is_alarmed_by_sms_within_a_minute_and_holds_up_no_page(world: World) -> None:
    world.telegram.has_another_poller()
    for _ in range(6):
        await world.advance(seconds=10)
    assert [("another program" in text) for text in world.phone("aigerim").texts] == [True]
    await world.post("alertmanager", firing("db1"))
    await world.advance(seconds=30)
    assert len(world.phone("jonas").texts) == 1 and world.card.text.count("on the handset") == 2

    world.telegram.recovers()
    await world.advance(minutes=3)
    assert "over" in world.watch.last.text
    assert len(world.phone("aigerim").texts) == 2  # its end is told in the chat alone


@pytest.mark.parametrize("shut", ["blocked", "lost", "topic closed"])
async def test_a_chat_that_is_shut_costs_no_sms_and_is_told_elsewhere(world: World, shut: str) -> None:
    match shut:
        case "blocked":
            world.telegram.blocks_the_bot(OPS)
        case "lost":
            world.telegram.loses_chat(OPS)
        case _:
            world.telegram.closes_topic(OPS, TOPIC)
    before = await _requests(world)
    for number in range(3):
        await world.post("alertmanager", firing(f"db{number}", name=f"Trouble{number}"))
    await world.advance(hours=1)
    assert len(world.mobizon.sent) == 6
    assert world.ops.cards == []
    assert [("write to ops" in card.text) for card in world.watch.cards] == [True]
    assert await _requests(world) - before <= 40  # tried again now and then, not at each change of a card

    world.ops.refusal = None
    world.ops.closed_topics.clear()
    await world.post("alertmanager", firing("db9", name="Trouble9"))
    await world.advance(minutes=1)
    assert any("Trouble9" in card.text and card.text.count("on the handset") == 2 for card in world.ops.cards)


async def test_a_watch_chat_that_is_shut_stops_nothing(world: World) -> None:
    world.telegram.blocks_the_bot(WATCH)
    await world.post("alertmanager", b"<html>", status=400)
    await world.post("alertmanager", firing("db1"))
    await world.advance(minutes=10)
    assert len(world.mobizon.sent) == 2 and world.card.text.count("on the handset") == 2


async def test_a_group_that_moves_while_an_sms_is_on_its_way_gets_its_end_once(world: World) -> None:
    world.phone("jonas").is_slow(60)
    await world.types("/sms jonas hello")
    new = world.telegram.chat(-1005550000000)
    world.telegram.becomes_supergroup(OPS, new.id)
    await world.advance(minutes=3)
    assert [card.text.count("on the handset") for card in new.cards] == [1]
    assert "on the handset" not in world.card.text

    await world.post("alertmanager", firing("db1"))  # the config still has the old id
    await world.advance(minutes=3)
    assert [card.text.count("on the handset") for card in new.cards] == [1, 2]
    assert len(world.mobizon.sent) == 3


MOVED = -1005550000000


@pytest.mark.parametrize("told", ["by messages", "by a refusal"])
async def test_a_group_that_moved_is_obeyed_there_at_once_after_a_restart_and_once_the_config_has_it(
    world: World, told: str
) -> None:
    if told == "by messages":
        world.telegram.becomes_supergroup(OPS, MOVED)
    else:
        words = "Bad Request: group chat was upgraded to a supergroup chat"
        world.ops.refusal = (400, words, {"migrate_to_chat_id": MOVED})
        await world.post("alertmanager", firing("db1"))
    await world.settle()
    await world.types("/sms jonas one", chat=MOVED)
    assert world.phone("jonas").texts[-1] == "one"

    await world.sleeps()
    await world.wakes()
    await world.types("/sms jonas two", chat=MOVED)
    assert world.phone("jonas").texts[-1] == "two"
    await world.advance(hours=2)
    about = [card for card in world.watch.cards if f"chats.ops.id: {MOVED}" in card.text]
    assert len(about) == 1 and "over" not in about[0].text  # it stands until the config has it
    assert await world.bridge.store.read(watch.moves) == {OPS: MOVED}

    world.config_text = world.config_text.replace(f"id: {OPS}", f"id: {MOVED}")
    world.config_file.write_text(world.config_file.read_text().replace(f"id: {OPS}", f"id: {MOVED}"))
    assert await world.bridge.reload() == []
    await world.types("/sms jonas three", chat=MOVED)
    assert world.phone("jonas").texts[-1] == "three" and "over" in about[0].text
    assert await world.bridge.store.read(watch.moves) == {}
    await world.types("/sms jonas four", chat=OPS)  # the old id is nobody's by now
    assert world.phone("jonas").texts[-1] == "three"


async def test_the_group_of_a_stranger_becomes_nothing_of_ours_by_moving(world: World) -> None:
    world.telegram.becomes_supergroup(-4567, MOVED)
    await world.settle()
    for text in ("/sms jonas hello", "/history", "/help"):
        await world.types(text, chat=MOVED)
    assert world.mobizon.sent == [] and world.telegram.chat(MOVED).cards == []
    assert await world.bridge.store.read(watch.moves) == {}


async def test_the_watch_chat_that_moves_hears_of_itself(world: World) -> None:
    world.telegram.becomes_supergroup(WATCH, MOVED)
    await world.advance(seconds=30)
    assert f"chats.watch.id: {MOVED}" in world.telegram.chat(MOVED).last.text


async def test_an_update_kept_and_not_yet_acknowledged_runs_once_in_the_next_life(world: World) -> None:
    await world.settle()
    assert world.bridge.bot is not None
    world.telegram.type(AIGERIM, OPS, "/sms jonas kept", topic=TOPIC)
    assert await world.bridge.bot.poller.poll_once(0) == 1  # kept; Telegram hears of it with the next poll only
    await world.sleeps()
    await world.wakes()
    await world.settle()
    assert world.phone("jonas").texts == ["kept"]

    world.telegram.type(AIGERIM, OPS, "/sms jonas done", topic=TOPIC)
    assert await world.bridge.bot.poller.poll_once(0) == 1
    await world.bridge.bot.handle_waiting()
    await world.sleeps()
    await world.wakes()
    await world.advance(minutes=1)
    assert world.phone("jonas").texts == ["kept", "done"]


@pytest.mark.parametrize("seed", range(2))
async def test_every_end_is_shown_on_one_card_whatever_telegram_does(world: World, seed: int) -> None:
    await _a_bad_day(world, seed)
    assert await _cards_by_number(world) == dict.fromkeys(await _numbers(world), (1, 1))


async def test_a_bug_planted_in_the_chat_is_found(world: World) -> None:
    assert world.bridge.bot is not None
    hasty = Reporter(world.bridge.store, GivesUpAtOnce(world.bridge.bot.chat), world.clock, world.bridge.house)
    world.bridge.ticks[-1] = hasty
    await _a_bad_day(world, seed=0)
    assert await _cards_by_number(world) != dict.fromkeys(await _numbers(world), (1, 1))


class GivesUpAtOnce:
    """The planted bug: what Telegram does not take now is never shown."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    async def show(self, place: Place, view: View, **how: Any) -> ChatOutcome:
        outcome = await self._chat.show(place, view, **how)
        return Closed("not now") if isinstance(outcome, Later) else outcome


async def test_a_lost_answer_leaves_at_most_two_cards_and_the_end_on_one(world: World) -> None:
    await world.settle()
    world.telegram.loses_answers()
    await world.types("/sms jonas hello")
    await world.post("alertmanager", firing("db1"))
    await world.advance(minutes=2)
    (sms, page) = (await _cards_by_number(world)).values()
    assert (sms, page) == ((2, 1), (1, 1))


async def _a_bad_day(world: World, seed: int) -> None:
    """Commands and alerts between faults of every kind; then Telegram is well, and minutes pass."""
    chance = random.Random(seed)
    telegram = world.telegram
    faults = [telegram.is_down, telegram.hangs_up, lambda: telegram.floods(chance.choice([3, 20])), telegram.recovers]
    for number in range(8):
        chance.choice(faults)()
        if number % 2:
            await world.types(f"/sms jonas hello {number}")
        else:
            await world.post("alertmanager", firing(f"db{number}", name=f"Trouble{number}"))
        await world.advance(seconds=chance.choice([1, 5, 20]))
    telegram.recovers()
    await world.advance(minutes=4)
    while any(card.buttons for card in world.ops.cards if "Send this" in card.text):  # typed in an outage: it asks
        await world.press("Send")
    await world.advance(minutes=2)


def _cards(world: World, about: str = "") -> list[SimulatedMessage]:
    """Without the messages beside a card that ring because nobody has it."""
    return [card for card in world.ops.cards if about in card.text and "NOBODY HAS IT" not in card.text]


async def _numbers(world: World) -> set[int]:
    """The incidents and typed SMS there are."""
    rows = await world.bridge.store.read(lambda tx: tx.find_notifications(limit=1000))
    return {row.incident_id or row.id for row in rows if row.is_page or row.asked_by == "aigerim"}


async def _cards_by_number(world: World) -> dict[int, tuple[int, int]]:
    """Per incident and typed SMS: how many cards it has, and how many of them show how all of its SMS ended."""
    rows = await world.bridge.store.read(lambda tx: tx.find_notifications(limit=1000))
    shown = {}
    for number in sorted(await _numbers(world)):
        cards = [card.text for card in _cards(world) if re.search(rf"#{number}\b", card.text)]
        owed = sum(number in (row.incident_id, row.id) for row in rows)
        shown[number] = (len(cards), sum(text.count("on the handset") == owed for text in cards))
    return shown
