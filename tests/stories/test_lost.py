"""A send whose answer was lost is looked up before anything is sent again."""

from datetime import timedelta
from pathlib import Path

import pytest

from bridge.demo.mobizon import Fault
from tests.world import JONAS, World, a_world, firing, resolved


async def test_a_lost_answer_is_found_by_its_reference_and_the_sms_goes_on(world: World) -> None:
    world.mobizon.drops_after_accepting(times=1)
    await world.types("/sms jonas hello")
    await world.advance(seconds=10)
    assert "uncertain: looking it up, 1 of 3" in world.card.text

    await world.advance(minutes=1)
    assert "on the handset" in world.card.text
    assert world.phone("jonas").texts == ["hello"]
    assert 'sms_bridge_uncertain_total{resolution="found"} 1.0' in await world.metrics()


async def test_what_mobizon_does_not_list_is_asked_about_and_sent_again_on_request(world: World) -> None:
    world.mobizon.drops(times=1)
    await world.types("/sms jonas hello")
    await world.advance(minutes=6)
    assert world.mobizon.sent == []
    assert "Mobizon does not list it" in world.card.text
    assert world.card.buttons == ["Send again", "Leave it"]

    await world.press("Send again")
    await world.advance(minutes=1)
    assert world.phone("jonas").texts == ["hello"]
    assert "on the handset" in world.card.text and world.card.buttons == []


async def test_left_as_it_is_nothing_is_sent(world: World) -> None:
    world.mobizon.drops(times=1)
    await world.types("/sms jonas hello")
    await world.advance(minutes=6)
    await world.press("Leave it")
    await world.advance(hours=30)
    assert world.mobizon.sent == []
    assert "left as it is by aigerim" in world.ops.cards[0].text


async def test_only_whoever_may_send_settles_it_and_only_once(world: World) -> None:
    world.mobizon.drops(times=1)
    await world.types("/sms +77010000009 hello")
    await world.press("Send")
    await world.advance(minutes=6)
    refused = await world.press("Send again", by=JONAS)
    assert refused.toast is not None and "role" in refused.toast

    card = world.card
    await world.press("Send again")
    data = f"l:1:{'0' * 16}:y"
    forged = world.telegram.press_data(data, 111111111, card)
    await world.settle()
    assert forged.toast == "This button is no longer in use."
    await world.advance(minutes=1)
    assert len(world.mobizon.sent) == 1


async def test_nobody_answers_for_a_day_and_it_ends_visibly(world: World) -> None:
    world.mobizon.drops(times=1)
    await world.types("/sms jonas hello")
    await world.advance(hours=25)
    assert "whether it left is not known" in world.ops.cards[0].text
    assert not world.ops.cards[-1].silent  # the failure rang
    assert world.mobizon.sent == []


async def test_a_page_that_is_not_listed_goes_out_once_more_and_the_chat_rings_at_once(world: World) -> None:
    world.mobizon.drops(times=2)
    await world.post("alertmanager", firing("db1"))
    await world.advance(minutes=6)
    assert [len(world.phone(name).texts) for name in ("aigerim", "jonas")] == [1, 1]
    rings = [card for card in world.ops.cards if "may not have left" in card.text]
    assert len(rings) == 2 and not any(ring.silent for ring in rings)
    assert 'sms_bridge_uncertain_total{resolution="resent"} 2.0' in await world.metrics()


async def test_a_page_that_goes_out_once_more_keeps_its_words(world: World) -> None:
    """What has changed since is on the card; the first one may be on a phone by now, and is known by its words."""
    world.mobizon.drops(times=2)
    await world.post("alertmanager", firing("db1"))
    await world.advance(minutes=2)
    await world.post("alertmanager", firing("db1", "db2", "db3"))
    await world.advance(minutes=4)
    assert "db3" in world.ops.cards[0].text
    (text,) = world.phone("aigerim").texts
    assert text.startswith("HostOutOfDiskSpace db1.example.net: ")


async def test_a_page_is_sent_once_more_and_never_twice_more(world: World) -> None:
    world.mobizon.goes_wrong(Fault(cuts=True), method="sendsmsmessage")
    await world.post("alertmanager", firing("db1"))
    await world.advance(hours=2)
    sends = [r for r in world.mobizon.requests if r.method.endswith("sendsmsmessage")]
    assert len(sends) <= 4 and world.mobizon.sent == []
    world.mobizon.recovers()
    await world.advance(hours=2)
    assert len([r for r in world.mobizon.requests if r.method.endswith("sendsmsmessage")]) <= 4
    assert "not known" in world.ops.cards[0].text


async def test_what_is_over_meanwhile_is_not_sent_again(world: World) -> None:
    world.mobizon.drops(times=2)
    await world.post("alertmanager", firing("db1"))
    await world.advance(minutes=2)
    await world.post("alertmanager", resolved("db1"))
    await world.advance(minutes=10)
    assert world.mobizon.sent == []


async def test_a_request_performed_late_is_adopted_and_a_second_one_reported(world: World) -> None:
    world.mobizon.applies_late(180, times=1)
    await world.types("/sms jonas hello")
    await world.advance(minutes=7)
    assert world.phone("jonas").texts == ["hello"]
    assert "on the handset" in world.card.text

    world.mobizon.applies_late(600, times=2)  # after the last look: the one case that can make two
    await world.post("alertmanager", firing("db1"))
    await world.advance(minutes=20)
    assert [len(world.phone(name).texts) for name in ("aigerim", "jonas")] == [2, 3]


@pytest.mark.parametrize("lag", [20, 100, 200])
async def test_a_list_that_lags_behind_causes_no_second_sms(world: World, lag: int) -> None:
    world.mobizon.list_lag = timedelta(seconds=lag)
    world.mobizon.drops_after_accepting(times=2)
    await world.post("alertmanager", firing("db1"))
    await world.advance(minutes=8)
    assert [len(world.phone(name).texts) for name in ("aigerim", "jonas")] == [1, 1]


async def test_a_mobizon_that_cannot_be_asked_has_not_said_no(world: World) -> None:
    world.mobizon.drops_after_accepting(times=2)
    world.mobizon.answers_http(502, method="list")
    await world.post("alertmanager", firing("db1"))
    await world.advance(minutes=40)
    assert len(world.mobizon.sent) == 2

    world.mobizon.recovers()
    await world.advance(minutes=10)
    assert len(world.mobizon.sent) == 2
    assert world.ops.cards[0].text.count("on the handset") == 2


async def test_answers_that_get_lost_in_a_row_pause_the_sender_and_ring(tmp_path: Path) -> None:
    limits = [("watch: {chat", "limits: {per_person: {1h: 100}, total: {1d: 1000}}\nwatch: {chat")]
    async with a_world(tmp_path, changes=limits) as world:
        world.mobizon.answers_http(502, method="sendsmsmessage")
        for number in range(20):
            await world.api("POST", "/sms", {"to": "jonas", "text": f"text {number}"}, status=202)
        await world.advance(minutes=5)
        sends = [r for r in world.mobizon.requests if r.method.endswith("sendsmsmessage")]
        assert len(sends) <= 16 + 6
        assert "answers get lost" in world.watch.last.text

        world.mobizon.recovers()
        await world.advance(minutes=30)
        delivered = set(world.phone("jonas").texts)
        assert len(world.phone("jonas").texts) == len(delivered)  # no text twice
        assert "over" in world.watch.last.text
