"""Rows that may not go, rows that cannot be thought about, and what is behind them in the queue."""

from pathlib import Path

from tests.world import World, a_world, firing


async def test_who_left_the_config_is_paged_no_more(world: World) -> None:
    await world.mobizon.stop()
    await world.post("alertmanager", firing("db1"))
    await world.advance(seconds=10)
    text = world.config_file.read_text()
    gone = text.replace('  jonas: {phone: "+4915112345678", telegram_id: 222222222, role: responder}\n', "")
    world.config_file.write_text(gone.replace("[aigerim, jonas]", "[aigerim]"))
    assert await world.bridge.reload() == []
    await world.mobizon.start()
    await world.advance(minutes=5)
    assert world.phone("jonas").texts == []
    assert len(world.phone("aigerim").texts) == 1
    assert "no phone in the config any more" in world.card.text


async def test_a_typed_sms_that_could_not_leave_for_a_day_rings(world: World) -> None:
    await world.mobizon.stop()
    await world.types("/sms jonas hello")
    await world.advance(hours=25)
    assert "too old" in world.ops.cards[0].text
    assert len(world.ops.cards) == 2 and not world.ops.cards[1].silent
    await world.mobizon.start()
    await world.advance(hours=1)
    assert world.mobizon.sent == []


async def test_a_token_taken_away_sends_nothing_that_it_had_deferred(world: World) -> None:
    at = "2026-11-20T04:00:00Z"
    await world.api("POST", "/sms", {"to": "jonas", "text": "later", "send_at": at}, status=202)
    text = world.config_file.read_text()
    world.config_file.write_text(text.replace("scripts: {token: api-secret, role: operator}, ", ""))
    assert await world.bridge.reload() == []
    await world.advance(hours=2)
    assert world.mobizon.sent == []


async def test_rows_that_limits_hold_back_do_not_hold_up_the_rest(tmp_path: Path) -> None:
    limits = [
        ("watch: {chat", 'storm: "off"\nlimits: {per_person: {1h: 3}, total: {1d: 1000}}\nwatch: {chat'),
        ("  - {name: rest", "  - {name: one, matchers: [one=yes], policy: one, chat: ops}\n  - {name: rest"),
    ]
    async with a_world(tmp_path, changes=limits) as world:
        for number in range(60):
            await world.bridge.dispatcher.keep_webhook(
                "generic", "one", {}, f'{{"message": "trouble {number}", "key": "{number}"}}'.encode()
            )
        await world.post("generic", {"message": "urgent", "severity": "critical"})
        assert len(world.phone("aigerim").texts) == 3
        assert "urgent" in " ".join(world.phone("jonas").texts)


async def test_two_pages_in_moderation_ring_once(world: World) -> None:
    world.mobizon.moderates = True
    await world.post("alertmanager", firing("db1"))
    await world.advance(seconds=10)
    assert len(world.watch.cards) == 1 and not world.watch.last.silent
    world.mobizon.approves(world.mobizon.sent[0].id)
    await world.advance(minutes=1)
    assert "over" not in world.watch.last.text
    world.mobizon.approves(world.mobizon.sent[1].id)
    await world.advance(minutes=1)
    assert "over" in world.watch.last.text


async def test_a_flood_of_normal_pages_leaves_room_for_a_critical_one(tmp_path: Path) -> None:
    changes = [
        ("watch: {chat", 'storm: "off"\nlimits: {per_person: {1h: 100}, total: {1h: 20}, soft: 100%}\nwatch: {chat'),
        ("{name: rest, chat: ops, silent: true}", "{name: rest, policy: one, chat: ops, silent: true}"),
    ]
    async with a_world(tmp_path, changes=changes) as world:
        for number in range(30):
            await world.post("alertmanager", firing("db1", name=f"Noise{number}", severity="warning"))
        assert len(world.mobizon.sent) == 18
        await world.post("alertmanager", firing("db1"))
        assert len(world.mobizon.sent) == 20
        assert all("HostOutOfDiskSpace" in sms.text for sms in world.mobizon.sent[18:])
