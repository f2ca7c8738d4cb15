"""The bridge speaks about itself: each trouble rings once, is edited while it lasts, and ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from bridge.caretaker import Caretaker
from bridge.demo.mobizon import SimulatedMobizon
from bridge.dispatcher import Dispatcher
from bridge.metrics import Metrics
from bridge.ports import Timer
from bridge.ticker import Ticker
from bridge.timers import Timers
from tests.stories.broken import BreakingTick, FullDisk
from tests.world import OPS, World, a_world, firing


async def test_a_refused_key_rings_once_and_mending_the_file_is_the_whole_repair(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("wrong\n")
    key_file.chmod(0o600)
    async with a_world(tmp_path, changes=[("api_key: demo", f"api_key_file: {key_file}")]) as world:
        await world.post("alertmanager", firing("db1"))
        await world.advance(minutes=5)
        assert world.mobizon.sent == []
        assert len(world.watch.cards) == 1 and not world.watch.last.silent
        assert "code 8" in world.watch.last.text and "2 SMS wait" in world.watch.last.text

        key_file.write_text("demo\n")
        await world.looks_after_itself()
        await world.advance(minutes=3)
        assert len(world.mobizon.sent) == 2
        assert len(world.watch.cards) == 1 and "over" in world.watch.last.text


async def test_an_account_that_lives_elsewhere_is_told_and_never_followed(world: World) -> None:
    async with SimulatedMobizon(world.clock) as elsewhere:
        world.mobizon.account_lives_at = elsewhere.base_url.removeprefix("http://")
        await world.types("/sms jonas hello")
        await world.advance(minutes=2)
        assert "mobizon.base_url" in world.watch.last.text
        assert elsewhere.requests == []
    assert world.mobizon.sent == []


async def test_while_mobizon_refuses_us_one_probe_a_minute_is_enough(world: World) -> None:
    world.mobizon.answers(code=14)
    for number in range(10):
        await world.api("POST", "/sms", {"to": "jonas", "text": f"text {number}"}, status=202)
    tries = len(world.mobizon.requests)
    await world.advance(minutes=10)
    assert len(world.mobizon.requests) - tries <= 11


async def test_a_sender_with_a_wrong_credential_is_told_once(world: World) -> None:
    for _ in range(20):
        await world.post("alertmanager", firing("db1"), token="wrong", status=401)
    assert len(world.watch.cards) == 1 and "alertmanager was refused" in world.watch.last.text
    assert world.mobizon.sent == []


async def test_what_is_not_json_ends_as_a_dead_letter_that_somebody_hears_about(world: World) -> None:
    for _ in range(5):
        await world.post("alertmanager", b"<html>", status=400)
    assert len(world.watch.cards) == 1 and "not JSON" in world.watch.last.text


async def test_what_is_json_but_nothing_we_know_is_kept_and_told(world: World) -> None:
    told = await world.post("alertmanager", {"alerts": "no"})
    receipt = await world.api("GET", f"/receipts/{told['receipt']}")
    assert receipt["state"] == "unreadable" and "alerts" in receipt["result"]["problem"]
    assert "cannot read" in world.watch.last.text

    await world.post("alertmanager", firing("db1"))  # the next one is none the worse
    assert len(world.mobizon.sent) == 2


async def test_little_money_is_told_before_it_is_none(tmp_path: Path) -> None:
    async with a_world(
        tmp_path, changes=[("notify: [aigerim]}\napi", "notify: [aigerim], balance_below: 3000}\napi")]
    ) as world:
        await world.looks_after_itself()
        assert world.watch.cards == []
        world.mobizon.balance -= 9000
        await world.advance(minutes=11)
        await world.looks_after_itself()
        assert "1 000.00 KZT left, less than 3000: top it up" in world.watch.last.text
        assert 'sms_bridge_balance{currency="KZT"} 1000.0' in await world.metrics()


async def test_a_disk_that_fills_up_rings_once_while_there_is_room_to_say_so(world: World) -> None:
    shares = iter((0.051, 0.049, 0.052, 0.012, 0.012, 0.06))

    async def disk_left() -> float:
        return next(shares)

    async def heartbeat() -> None:
        pass

    bridge = world.bridge
    caretaker = Caretaker(
        *(bridge.store, bridge.dispatcher, bridge.gateway, bridge.clock, bridge.house),
        stuck=bridge.stuck,
        heartbeat=heartbeat,
        read_key=bridge.read_key,
        report_balance=lambda _: None,
        disk_left=disk_left,
    )
    bridge.ticks[:] = [caretaker if tick.name == caretaker.name else tick for tick in bridge.ticks]
    await world.looks_after_itself()
    assert world.watch.cards == []
    for free in (5, 6, 2, 2):
        await world.looks_after_itself()
        await world.advance(minutes=1)
        assert f"less than {free} % of the disk that holds the database is free" in world.watch.last.text
    await world.looks_after_itself()
    await world.advance(seconds=10)
    assert len(world.watch.cards) == 1 and "over" in world.watch.last.text


async def test_a_dead_telegram_is_alarmed_by_sms(world: World) -> None:
    world.telegram.is_down()
    for _ in range(10):
        await world.advance(seconds=10)
    assert len(world.phone("aigerim").texts) == 1
    assert "sms-bridge" in world.phone("aigerim").texts[0]


async def test_a_group_that_became_a_supergroup_is_followed(world: World) -> None:
    await world.types("/sms jonas hello")
    world.telegram.becomes_supergroup(OPS, -1005550000000)
    await world.advance(seconds=30)
    moved = world.telegram.chat(-1005550000000)
    assert any("on the handset" in card.text for card in (*moved.cards, *world.ops.cards))
    assert "-1005550000000" in world.watch.last.text


async def test_a_bad_config_is_refused_and_the_old_one_stays(world: World) -> None:
    good = world.config_file.read_text()
    world.config_file.write_text(good.replace("policy: critical", "policy: critcal"))
    assert any("critcal" in problem for problem in await world.bridge.reload())
    await world.settle()
    assert "the new config is refused" in world.watch.last.text
    await world.post("alertmanager", firing("db1"))
    assert len(world.mobizon.sent) == 2

    world.config_file.write_text(good.replace("policy: critical", "policy: one"))
    assert await world.bridge.reload() == []
    await world.post("alertmanager", firing("db1", name="Another"))
    assert len(world.mobizon.sent) == 3


async def test_what_only_happened_is_over_when_it_does_not_happen_again(world: World) -> None:
    await world.post("alertmanager", b"<html>", status=400)
    await world.advance(minutes=61)
    assert "over" in world.watch.last.text
    assert len(world.watch.cards) == 1


# --- Telegram away -------------------------------------------------------------------------------------


async def _telegram_is_away(world: World) -> None:
    world.telegram.is_down()
    for _ in range(10):
        await world.advance(seconds=10)


async def test_telegram_that_is_back_after_our_restart_is_told_as_over_and_alarms_again(world: World) -> None:
    await _telegram_is_away(world)
    await world.sleeps()
    await world.wakes()
    world.telegram.recovers()
    await world.advance(minutes=2)
    assert "over after" in world.watch.last.text

    await world.advance(hours=24)
    await _telegram_is_away(world)
    assert len(world.phone("aigerim").texts) == 2


async def test_an_alarm_by_sms_that_could_not_leave_in_time_does_not_come_when_all_is_well(world: World) -> None:
    await world.mobizon.stop()
    await _telegram_is_away(world)
    world.telegram.recovers()
    await world.advance(minutes=20)
    await world.mobizon.start()
    await world.advance(hours=1)
    assert world.phone("aigerim").texts == []


# --- the config ----------------------------------------------------------------------------------------


async def test_a_start_from_a_good_config_ends_the_trouble_about_a_bad_one(world: World) -> None:
    world.config_file.write_text("bad: [")
    await world.bridge.reload()
    await world.settle()
    await world.sleeps()
    await world.wakes()  # on a good one
    await world.advance(seconds=10)
    assert "over after" in world.watch.last.text


@pytest.mark.parametrize("good", [True, False])
async def test_a_reload_on_a_full_disk_does_what_it_can(world: World, good: bool) -> None:
    written = world.config_file.read_text()
    world.config_file.write_text("bad: [")
    await world.bridge.reload()
    disk = FullDisk(world.bridge.store)
    world.bridge.dispatcher = Dispatcher(disk, world.clock, world.bridge.house, Metrics())

    if good:
        world.config_file.write_text(written)
    assert (await world.bridge.reload() == []) is good


# --- its own ticks -------------------------------------------------------------------------------------


@dataclass
class Outside:
    """Who hears the heartbeat."""

    url: str = ""
    beats: list[str] = field(default_factory=list)

    async def hear(self, request: web.Request) -> web.Response:
        self.beats.append(request.path)
        return web.Response()


@asynccontextmanager
async def _somebody_outside() -> AsyncIterator[Outside]:
    outside = Outside()
    app = web.Application()
    app.router.add_get("/beat", outside.hear)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        outside.url = f"http://127.0.0.1:{runner.addresses[0][1]}/beat"
        yield outside
    finally:
        await runner.cleanup()


async def test_while_the_intake_is_dead_there_is_no_heartbeat_and_people_are_told(tmp_path: Path) -> None:
    async with (
        _somebody_outside() as outside,
        a_world(tmp_path, changes=[("watch: {chat", f'watch: {{heartbeat_url: "{outside.url}", chat')]) as world,
    ):
        intake = BreakingTick("intake")
        ticker = world.bridge.ticker = Ticker([intake], {}, world.clock, world.bridge.metrics)
        await ticker.run_once(intake)
        await world.looks_after_itself()
        assert len(outside.beats) == 1

        intake.broken = True
        world.clock.advance(119)
        await ticker.run_once(intake)
        await world.looks_after_itself()
        assert len(outside.beats) == 2  # once is no trouble yet

        world.clock.advance(1)
        for _ in range(3):
            await ticker.run_once(intake)
            await world.looks_after_itself()
        await world.advance(seconds=10)
        assert len(outside.beats) == 2
        assert len(world.watch.cards) == 1 and not world.watch.last.silent
        assert "the intake of this bridge does not work" in world.watch.last.text
        assert len(world.phone("aigerim").texts) == 1

        intake.broken = False
        await ticker.run_once(intake)
        await world.looks_after_itself()
        await world.advance(seconds=10)
        assert len(outside.beats) == 3
        assert "over after" in world.watch.last.text


async def test_a_tick_that_hangs_is_as_dead_as_one_that_fails(world: World) -> None:
    ticker = Ticker([BreakingTick("sender")], {"sender": timedelta(hours=1)}, world.clock, world.bridge.metrics)
    ticker.start()
    assert ticker.stuck() == set()
    world.clock.advance(120)  # its first run has not even begun
    assert ticker.stuck() == {"sender"}
    await ticker.stop(within=25)


# --- timers --------------------------------------------------------------------------------------------


def _timers(world: World, dispatcher: Dispatcher) -> Timers:
    return Timers(world.bridge.store, dispatcher, world.clock)


class Breaking(Dispatcher):
    """A door that breaks when a question expires, so many times."""

    broken = 1

    async def expire_question(self, question_id: int) -> None:
        if self.broken:
            self.broken -= 1
            raise RuntimeError("a mistake of ours")
        await super().expire_question(question_id)


class Hasty(Dispatcher):
    """A door at which a trouble begins again while its end is being rung."""

    async def end_trouble(self, kind: str, subject: str = "") -> None:
        await super().end_trouble(kind, subject)
        await self.begin_trouble(kind, subject, "it came again")


async def test_a_timer_of_a_version_to_come_holds_up_no_other(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await world.bridge.store.write(lambda tx: tx.set_timer(Timer("from_the_future", "1", world.clock.now())))
    await world.types("/sms +77010000009 hello")
    await world.advance(minutes=11)
    assert "nobody pressed Send" in world.card.text
    assert sum("unknown kind" in record.message for record in caplog.records) == 1


async def test_a_timer_that_breaks_holds_up_no_other_and_rings_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    timers = _timers(world, Breaking(world.bridge.store, world.clock, world.bridge.house, Metrics()))
    await world.types("/sms +77010000009 hello")
    await world.types("/sms +77010000010 hello")
    world.clock.advance(700)
    await timers.run()
    await world.settle()
    assert ["nobody pressed Send" in card.text for card in world.ops.cards] == [False, True]
    assert "a timer broke while it rang" in caplog.text

    world.clock.advance(300)
    await timers.run()
    await world.settle()
    assert ["nobody pressed Send" in card.text for card in world.ops.cards] == [True, True]


async def test_a_timer_set_again_while_it_rings_rings_again(world: World) -> None:
    await world.bridge.dispatcher.begin_trouble("unreadable", "x", "it came")
    world.clock.advance(3601)
    await _timers(world, Hasty(world.bridge.store, world.clock, world.bridge.house, Metrics())).run()
    assert len(await world.bridge.store.read(lambda tx: tx.open_troubles())) == 1

    await world.advance(minutes=61)
    assert await world.bridge.store.read(lambda tx: tx.open_troubles()) == []
