"""A restart forgets nothing, and repeats nothing."""

from tests.world import World, firing


async def test_what_was_on_the_wire_at_a_crash_is_uncertain_and_never_sent_again(world: World) -> None:
    world.mobizon.hangs_after_accepting(times=1)
    await world.types("/sms jonas hello")
    for task in list(world.bridge.sender.in_flight):
        task.cancel()  # the process dies here: nobody will ever record the answer
    await world.sleeps()
    await world.wakes()

    await world.advance(hours=1)
    assert "uncertain" in world.card.text
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
