"""Cards reach the chat whatever happens to one of them, to the disk, to the clock or to the chat."""

import json
import logging

import pytest

from bridge.demo.telegram import SimulatedChat
from bridge.reporter import Reporter
from tests.stories.broken import ClumsyChat, FullDisk
from tests.world import OPS, TOPIC, World, firing, resolved


async def _many_incidents(world: World, count: int) -> None:
    for number in range(count):
        body = json.dumps({"message": f"m {number}", "key": str(number)}).encode()
        await world.bridge.dispatcher.keep_webhook("generic", None, {}, body)
    await next(tick for tick in world.bridge.ticks if tick.name == "intake").run()


def _a_reporter(world: World, **instead: object) -> Reporter:
    """The world's reporter, with another store or chat; it takes the place of the first one."""
    assert world.bridge.bot is not None
    parts = {"store": world.bridge.store, "chat": world.bridge.bot.chat} | instead
    reporter = Reporter(clock=world.clock, house=world.bridge.house, **parts)  # type: ignore[arg-type]  # named above
    world.bridge.ticks[:] = [reporter if tick.name == "reporter" else tick for tick in world.bridge.ticks]
    return reporter


async def test_a_card_that_breaks_us_is_told_of_and_silences_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    assert world.bridge.bot is not None
    _a_reporter(world, chat=ClumsyChat(world.bridge.bot.chat, breaks_on=1))
    await _many_incidents(world, 3)
    await world.advance(minutes=1)

    assert [card.text.split()[1] for card in world.ops.cards] == ["#2", "#3"]
    assert len(world.watch.cards) == 1
    assert "a mistake of ours (OverflowError)" in world.watch.last.text
    assert sum("broke the reporter" in record.message for record in caplog.records) == 1


async def test_a_card_that_broke_us_is_shown_once_it_can_be(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    assert world.bridge.bot is not None
    clumsy = ClumsyChat(world.bridge.bot.chat, breaks_on=1)
    _a_reporter(world, chat=clumsy)
    await world.post("alertmanager", firing("db1"))
    clumsy.breaks_on = 0
    await world.advance(minutes=11)

    assert "#1" in world.card.text
    await world.advance(hours=1)
    assert "over after" in world.watch.last.text


async def test_what_happened_at_the_end_of_time_is_shown(world: World) -> None:
    body = firing("db1")
    body["alerts"][0]["startsAt"] = "9999-12-31T23:59:59Z"
    body["alerts"][0]["labels"]["severity"] = "info"  # the chat only
    await world.post("alertmanager", body)

    assert "db1" in world.card.text
    assert world.watch.cards == []


async def test_a_full_disk_makes_no_card_twice(world: World) -> None:
    disk = FullDisk(world.bridge.store)
    reporter = _a_reporter(world, store=disk)
    await _many_incidents(world, 2)
    for _ in range(30):
        with pytest.raises(Exception, match="the disk is full"):
            await reporter.run()
        world.clock.advance(1)
    assert len(world.ops.cards) == 1  # posted, and not yet written down

    disk.full = False
    await world.advance(minutes=1)
    assert len(world.ops.cards) == 2
    await world.post("generic", {"message": "m 0", "key": "0", "status": "resolved"})
    await world.advance(minutes=1)
    assert ["over" in card.text for card in world.ops.cards] == [True, False]


async def test_a_clock_set_back_freezes_no_card(world: World) -> None:
    await world.post("alertmanager", firing("db1"))
    await world.advance(seconds=30)
    world.clock.jump(-7200)
    await world.post("alertmanager", resolved("db1"))
    await world.advance(minutes=1)

    assert "over after" in world.card.text


async def test_a_change_dated_before_the_clock_was_set_back_is_shown(world: World) -> None:
    world.phone("jonas").is_slow(60)
    await world.types("/sms jonas hello")
    assert "queued" in world.card.text  # it was accepted since, too fresh to be shown
    world.clock.jump(-7200)
    await world.advance(minutes=3)

    assert "accepted by Mobizon" in world.card.text


async def test_a_backlog_of_cards_is_looked_through_once_a_beat(world: World) -> None:
    disk = FullDisk(world.bridge.store, full=False)
    reporter = _a_reporter(world, store=disk)
    await _many_incidents(world, 400)
    await reporter.run()
    assert len(world.ops.cards) == 1

    disk.reads = 0
    await reporter.run()  # the chat has had its share for this second
    assert (disk.reads, len(world.ops.cards)) == (1, 1)


async def test_a_crowded_chat_takes_nothing_from_another(world: World) -> None:
    reporter = _a_reporter(world)
    await _many_incidents(world, 200)
    await world.bridge.dispatcher.say("hello")
    await reporter.run()

    assert (len(world.ops.cards), len(world.watch.cards)) == (1, 1)


# --- chats that are closed for a while -----------------------------------------------------------------


def _throw_out(chat: SimulatedChat) -> None:
    chat.refusal = (403, "Forbidden: bot was kicked from the group chat", {})


def _let_in(chat: SimulatedChat) -> None:
    chat.refusal = None
    chat.closed_topics.clear()


async def test_a_chat_that_opens_again_gets_the_card_of_what_is_still_open(world: World) -> None:
    _throw_out(world.ops)
    await world.post("alertmanager", firing("db1"))
    await world.advance(minutes=1)
    assert "does not let me write to ops" in world.watch.last.text

    _let_in(world.ops)
    await world.advance(minutes=10)
    assert "#1" in world.card.text
    assert "over after" in world.watch.last.text
    assert len(world.watch.cards) == 1


async def test_the_chat_stays_told_of_as_closed_for_as_long_as_it_is(world: World) -> None:
    world.telegram.closes_topic(OPS, TOPIC)
    await world.post("alertmanager", firing("db1"))
    await world.advance(hours=3)
    assert "over after" not in world.watch.last.text
    assert len(world.watch.cards) == 1


async def test_a_closed_chat_never_hears_of_what_is_over_by_then(world: World) -> None:
    _throw_out(world.ops)
    await world.post("alertmanager", firing("db1"))
    await world.post("alertmanager", resolved("db1"))
    await world.advance(minutes=11)
    _let_in(world.ops)
    await world.advance(hours=1)

    assert world.ops.cards == []


async def test_a_card_that_telegram_dislikes_does_not_make_its_chat_a_closed_one(world: World) -> None:
    world.ops.refusal = (400, "Bad Request: message is too long", {})
    await world.post("alertmanager", firing("db1"))
    assert len(world.watch.cards) == 1
    assert "a card cannot be shown (incident 1): message is too long" in world.watch.last.text

    _let_in(world.ops)
    await world.advance(minutes=11)
    assert "#1" in world.card.text
