"""A restart forgets nothing, and repeats nothing."""

import asyncio
import shutil

import pytest

from bridge.demo.mobizon import Fault
from tests.world import World, firing


def copied(world: World, name: str) -> None:
    """What a kill or a power cut would leave of the database now, its log included."""
    (world.folder / name).mkdir()
    for file in world.folder.glob("bridge.db*"):
        shutil.copy(file, world.folder / name)


async def wakes_on(world: World, name: str) -> None:
    """Start again on a copy: what was written after it is forgotten, as when the end of the log was lost."""
    await world.sleeps()
    for file in (world.folder / name).iterdir():
        shutil.copy(file, world.folder)
    await world.wakes()


def looks(world: World) -> int:
    return sum(seen.method == "message/list" for seen in world.mobizon.requests)


async def test_what_was_on_the_wire_at_a_crash_is_looked_up_and_never_sent_again(world: World) -> None:
    world.mobizon.hangs_after_accepting(times=1)
    await world.types("/sms jonas hello")
    for task in list(world.bridge.sender.in_flight):
        task.cancel()  # the process dies here: nobody will ever record the answer
    await world.sleeps()
    await world.wakes()

    assert "uncertain" in str([await world.bridge.store.read(lambda tx: tx.outbox_counts())])
    await world.advance(hours=1)
    assert "on the handset" in world.card.text  # found in Mobizon's list
    assert len(world.mobizon.sent) == 1


async def test_what_was_planned_leaves_after_the_restart_and_its_card_goes_on(world: World) -> None:
    await world.mobizon.stop()
    await world.post("alertmanager", firing("db1"))
    await world.advance(seconds=4)
    await world.sleeps()
    await world.mobizon.start()
    await world.wakes()
    await world.advance(minutes=1)

    assert [len(world.phone(name).texts) for name in ("aigerim", "jonas")] == [1, 1]
    assert len(world.ops.cards) == 1 and world.card.text.count("on the handset") == 2


async def test_a_webhook_that_was_answered_is_understood_after_the_restart(world: World) -> None:
    await world.bridge.dispatcher.keep_webhook("generic", None, {}, b'{"message": "x", "severity": "critical"}')
    await world.sleeps()
    await world.wakes()
    await world.settle()
    assert len(world.mobizon.sent) == 2


async def test_a_receipt_can_be_put_through_again(world: World) -> None:
    told = await world.post("generic", {"message": "x", "severity": "critical"})
    again = await world.api("POST", f"/receipts/{told['receipt']}/replay", status=202)
    assert again["receipt"] != told["receipt"]
    assert len(world.mobizon.sent) == 2


async def test_a_restored_backup_repeats_no_sms(world: World) -> None:
    await world.mobizon.stop()
    await world.post("alertmanager", firing("db1"))
    await world.types("/sms jonas hello")
    await world.advance(seconds=3)
    await world.sleeps()
    copy = (world.folder / "bridge.db").read_bytes()
    await world.wakes()
    await world.mobizon.start()
    await world.advance(minutes=5)
    assert len(world.mobizon.sent) == 3
    await world.sleeps()

    (world.folder / "bridge.db").write_bytes(copy)  # what was sent since is forgotten
    world.clock.advance(3600)
    await world.wakes()
    await world.advance(hours=1)
    assert len(world.mobizon.sent) == 3
    rows = await world.bridge.store.read(lambda tx: tx.find_notifications())
    assert {row.state for row in rows} == {"delivered"}


async def test_what_a_lost_log_forgot_is_found_at_mobizon_before_it_is_sent_again(world: World) -> None:
    await world.mobizon.stop()
    await world.post("alertmanager", firing("db1"))
    await world.types("/sms jonas hello")
    copied(world, "cut")
    await world.mobizon.start()
    await world.advance(minutes=5)
    assert len(world.mobizon.sent) == 3

    await wakes_on(world, "cut")
    await world.advance(minutes=5)
    assert len(world.mobizon.sent) == 3
    rows = await world.bridge.store.read(lambda tx: tx.find_notifications())
    assert [row.state for row in rows] == ["delivered"] * 3


async def test_a_page_that_a_lost_log_gave_another_number_is_found_too(world: World) -> None:
    await world.bridge.dispatcher.keep_webhook("generic", None, {}, b'{"message": "one", "severity": "critical"}')
    copied(world, "cut")
    await world.settle()
    assert len(world.mobizon.sent) == 2

    await wakes_on(world, "cut")
    await world.bridge.store.write(lambda tx: tx.numbers(5))  # as if five others had come first this time
    await world.advance(minutes=5)
    assert len(world.mobizon.sent) == 2
    rows = await world.bridge.store.read(lambda tx: tx.find_notifications())
    assert [row.state for row in rows] == ["delivered"] * 2


async def test_two_typed_sms_with_the_same_words_are_two(world: World) -> None:
    await world.mobizon.stop()
    await world.types("/sms jonas hello")
    copied(world, "cut")
    await world.mobizon.start()
    await world.advance(minutes=1)

    await wakes_on(world, "cut")
    await world.types("/sms jonas hello")
    await world.advance(minutes=1)
    assert world.phone("jonas").texts == ["hello", "hello"]


@pytest.mark.parametrize("bad_order", [True, False])
async def test_what_never_left_goes_at_once_whatever_the_stop_was(world: World, bad_order: bool) -> None:
    await world.mobizon.stop()
    await world.post("alertmanager", firing("db1"))
    copied(world, "cut")
    await world.mobizon.start()
    if bad_order:
        await wakes_on(world, "cut")
    else:
        await world.sleeps()
        await world.wakes()
    world.clock.advance(5)  # the pause after a send that did not reach Mobizon
    await world.settle()
    assert [len(world.phone(name).texts) for name in ("aigerim", "jonas")] == [1, 1]
    assert looks(world) == (2 if bad_order else 0)


async def test_a_list_that_does_not_come_holds_nothing_up_for_long(world: World) -> None:
    await world.mobizon.stop()
    await world.post("alertmanager", firing("db1"))
    copied(world, "cut")
    await world.mobizon.start()
    await wakes_on(world, "cut")
    world.mobizon.goes_wrong(Fault(holds=True), method="list")
    world.clock.advance(5)
    await world.settle()
    assert world.mobizon.sent == []
    world.clock.advance(10)
    await asyncio.wait(world.bridge.sender.in_flight)
    assert [len(world.phone(name).texts) for name in ("aigerim", "jonas")] == [1, 1]
    await world.post("alertmanager", firing("db2", name="Next"))  # for half a minute nobody asks again
    assert [len(world.phone(name).texts) for name in ("aigerim", "jonas")] == [2, 2]
    assert looks(world) == 2


async def test_after_a_long_stop_what_was_never_sent_still_goes(world: World) -> None:
    await world.mobizon.stop()
    await world.post("alertmanager", firing("db1"))
    await world.sleeps()
    world.clock.advance(3600)
    await world.mobizon.start()
    await world.wakes()
    await world.advance(minutes=1)
    assert [len(world.phone(name).texts) for name in ("aigerim", "jonas")] == [1, 1]
    assert "looked up before they are sent" in " ".join(card.text for card in world.watch.cards)


async def test_numbers_and_texts_are_forgotten_when_the_config_says_so(world: World) -> None:
    await world.types("/sms jonas hello")
    await world.advance(seconds=30)
    world.clock.advance(91 * 24 * 3600)
    await world.settle()
    row = await world.bridge.store.read(lambda tx: tx.notification(1))
    assert row is not None and (row.number, row.text, row.state) == (None, None, "delivered")
