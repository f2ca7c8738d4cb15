"""A restart forgets nothing, and repeats nothing."""

from tests.world import World, firing


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
