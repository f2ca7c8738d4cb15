"""Pages that had to wait leave as one SMS, and each plan follows what becomes of it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.world import JONAS, World, a_world, firing, resolved

PLAIN = "policies:\n  critical:\n    steps: [{notify: [aigerim, jonas]}]\n"
CLIMB = "policies:\n  critical:\n    steps: [{notify: [aigerim], wait: 5m}, {notify: [jonas], wait: 20m}]\n"


OFF = 'storm: "off"\n'


def _limited(limits: str) -> tuple[str, str]:
    return "watch: {chat", f"limits: {limits}\nwatch: {{chat"


def _trouble(number: int) -> dict[str, Any]:
    return firing(f"db{number}", name=f"Trouble{number}")


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path, changes=[(PLAIN, CLIMB)]) as world:
        yield world


async def test_after_an_outage_one_sms_tells_of_all_that_still_fires(town: World) -> None:
    await town.mobizon.stop()
    for number in range(1, 5):
        await town.post("alertmanager", _trouble(number))
    await town.advance(minutes=19)
    await town.post("alertmanager", resolved("db2", name="Trouble2"))
    await town.mobizon.start()
    await town.advance(minutes=6)

    (text,) = town.phone("aigerim").texts
    assert text.startswith("LATE ") and "3 incidents: Trouble1 db1 #1, Trouble3 db3 #" in text
    assert "Trouble2" not in text
    shown = [card.text for card in town.ops.cards if "Aigerim  on the handset" in card.text]
    assert len(shown) == 3  # the card of each says that it arrived
    assert town.phone("jonas").texts == []
    await town.advance(minutes=6)
    assert len(town.phone("jonas").texts) == 3  # critical pages that did not wait leave singly


async def test_that_it_is_over_is_told_on_half_of_a_phones_limit_and_never_instead_of_a_page(tmp_path: Path) -> None:
    one = PLAIN.replace("aigerim, jonas", "aigerim").rstrip() + "\n    resolved_sms: true\n"
    async with a_world(tmp_path, changes=[(PLAIN, one)]) as town:
        for number in range(1, 6):
            await town.post("alertmanager", _trouble(number))
        await town.advance(minutes=6)
        for number in range(1, 6):
            await town.post("alertmanager", resolved(f"db{number}", name=f"Trouble{number}"))
        await town.advance(seconds=30)
        assert len([text for text in town.phone("aigerim").texts if text.startswith("OK ")]) == 2
        ended = (await town.api("GET", "/incidents?all=true"))["items"]
        lines = [(await town.api("GET", f"/incidents/{one['id']}"))["timeline"] for one in ended]
        left_out = {"what": "cancelled: the limit of this phone is kept for pages", "who": "aigerim"}
        assert [left_out.items() <= timeline[-1].items() for timeline in lines].count(True) == 3

        before = len(town.phone("aigerim").texts)
        for number in range(6, 9):
            await town.post("alertmanager", _trouble(number))
        await town.advance(seconds=30)
        assert len(town.phone("aigerim").texts) == before + 3  # what is left of five in five minutes


async def test_after_a_refused_key_one_sms_tells_of_what_was_never_tried(town: World) -> None:
    town.mobizon.answers(code=8, message="bad key")
    for number in range(1, 5):
        await town.post("alertmanager", _trouble(number))
        await town.advance(minutes=2)
    town.mobizon.recovers()
    await town.advance(minutes=2)
    late = town.phone("aigerim").texts
    assert len(late) == 1 and "4 incidents" in late[0]


async def _arrives(world: World, number: int) -> None:
    """Understood, and not yet on its way."""
    body = json.dumps(_trouble(number)).encode()
    await world.bridge.dispatcher.keep_webhook("alertmanager", None, {}, body)
    await next(tick for tick in world.bridge.ticks if tick.name == "intake").run()


NORMAL = [
    (", priority: critical}", "}"),
    (PLAIN, CLIMB),
    _limited("{per_person: {1h: 100}, total: {1d: 1000}}"),
    ("watch: {chat", OFF + "watch: {chat"),
]


async def test_what_leaves_by_itself_is_not_told_of_once_more(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=NORMAL) as world:
        await world.mobizon.stop()
        await world.post("alertmanager", _trouble(1))
        await world.mobizon.start()
        world.clock.advance(4)
        await _arrives(world, 2)
        world.clock.advance(2)  # the first is due once more, and the second was due before it
        await world.advance(minutes=1)
        told = " ".join(world.phone("aigerim").texts)
        assert [told.count(f"Trouble{number}") for number in (1, 2)] == [1, 1]


async def test_without_storms_what_comes_at_one_moment_leaves_singly(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=NORMAL) as world:
        for number in range(1, 4):
            await _arrives(world, number)
        await world.settle()
        assert len(world.phone("aigerim").texts) == 3


async def test_each_plan_goes_on_when_the_one_sms_does_not_arrive(town: World) -> None:
    town.phone("aigerim").refusal = "UNDELIV"
    await town.mobizon.stop()
    for number in range(1, 4):
        await town.post("alertmanager", _trouble(number))
    await town.advance(minutes=8)
    await town.mobizon.start()
    await town.advance(minutes=6)
    assert [sms.to for sms in town.mobizon.sent].count("77010000001") == 1
    assert len(town.phone("jonas").texts) == 3


async def test_a_lost_answer_about_the_one_sms_is_found_once_for_all(town: World) -> None:
    await town.mobizon.stop()
    for number in range(1, 4):
        await town.post("alertmanager", _trouble(number))
    await town.advance(minutes=4)
    await town.mobizon.start()
    town.mobizon.drops_after_accepting(times=1)
    await town.advance(minutes=30)
    assert len(town.phone("aigerim").texts) == 1
    rows = await town.bridge.store.read(lambda tx: tx.find_notifications(target="aigerim"))
    assert {row.state for row in rows} == {"delivered"}
    assert len([row for row in rows if row.message_id]) == 1


async def test_what_is_taken_or_over_while_the_one_sms_cannot_leave_is_left_out_of_it(town: World) -> None:
    await town.mobizon.stop()
    for number in range(1, 4):
        await town.post("alertmanager", _trouble(number))
    await town.advance(minutes=2)
    await town.press("Acknowledge", by=JONAS)  # the newest card
    await town.advance(minutes=1)
    await town.post("alertmanager", resolved("db1", name="Trouble1"))
    await town.mobizon.start()
    await town.advance(minutes=6)
    (text,) = town.phone("aigerim").texts
    assert "incidents" not in text and "Trouble2 db2" in text


async def test_over_the_limit_of_a_phone_the_next_is_called_at_once_and_one_sms_follows(tmp_path: Path) -> None:
    async with a_world(
        tmp_path, changes=[(PLAIN, CLIMB), _limited("{per_person: {10m: 2}, total: {1d: 100}}")]
    ) as town:
        for number in range(1, 3):
            await town.post("alertmanager", _trouble(number))
        assert [len(town.phone(name).texts) for name in ("aigerim", "jonas")] == [2, 0]
        await town.post("alertmanager", _trouble(3))
        await town.post("alertmanager", _trouble(4))
        await town.advance(seconds=5)
        assert [len(town.phone(name).texts) for name in ("aigerim", "jonas")] == [2, 2]
        timeline = (await town.api("GET", "/incidents/7"))["timeline"]
        assert any("has had its share" in entry["what"] for entry in timeline)
        assert "aigerim has had 2 of 2 SMS segments in 10 min" in " ".join(card.text for card in town.watch.cards)

        await town.advance(minutes=10, seconds=5)
        assert len(town.phone("aigerim").texts) == 3
        assert "2 incidents: Trouble3 db3 #7, Trouble4 db4 #10" in town.phone("aigerim").texts[2]


async def test_at_the_end_of_the_houses_limit_the_chat_rings_with_names(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[(PLAIN, CLIMB), _limited("{total: {1h: 2}}")]) as town:
        for number in range(1, 5):
            await town.post("alertmanager", _trouble(number))
        await town.advance(seconds=30)
        rung = [card.text for card in town.ops.cards if "Call them yourselves: Aigerim, Jonas" in card.text]
        assert len(rung) == 2
        assert len(town.mobizon.sent) == 2
        assert "2 of 2 SMS segments in 1 h are used" in " ".join(card.text for card in town.watch.cards)
        await town.advance(minutes=30)
        assert sum("Call them yourselves" in card.text for card in town.ops.cards) <= 4
        await town.advance(minutes=31)
        assert any("2 incidents: Trouble3" in text for text in town.phone("aigerim").texts)


async def test_two_who_cannot_be_called_are_named_at_once(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[_limited("{total: {1h: 2}}")]) as town:
        for number in range(1, 3):
            await town.post("alertmanager", _trouble(number))
        await town.advance(seconds=30)
        (rung,) = [card.text for card in town.ops.cards if "Call them yourselves" in card.text]
        assert "Call them yourselves: Aigerim, Jonas" in rung
        assert len(town.mobizon.sent) == 2


async def test_a_restart_while_the_one_sms_is_on_the_wire_sends_it_once(town: World) -> None:
    await town.mobizon.stop()
    for number in range(1, 4):
        await town.post("alertmanager", _trouble(number))
    await town.advance(minutes=4)
    await town.mobizon.start()
    await town.advance(seconds=100)
    await town.sleeps()
    town.clock.advance(120)
    await town.wakes()
    await town.advance(minutes=3)
    assert len(town.phone("aigerim").texts) == 1
