"""A source whose silence is the alarm: it opens in time, ends with the next beat, and no restart makes or hides one."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.domain.house import Role
from bridge.requests import Asker
from bridge.timers import Timers
from tests.stories.test_restart import copied, wakes_on
from tests.world import CONFIG, World, a_world, alert, firing, group

SOURCE = "  watchdog: {kind: heartbeat, token: dog-secret, every: 5m, route: critical}\n"
WITH_A_DOG = CONFIG.replace("sources:\n", "sources:\n" + SOURCE).replace("\nwatch:", "\nstorm: {alerts: 5}\nwatch:")
TOLD = CONFIG[CONFIG.index("  critical:\n") : CONFIG.index("  one:\n")]


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[World]:
    """A town with a watchdog that beats every minute and may be silent for five."""
    async with a_world(tmp_path, WITH_A_DOG) as world:
        yield world


async def _beats(world: World, body: Any = b"", **how: Any) -> Any:
    return await world.post("watchdog", body, token="dog-secret", **how)


async def _beats_for(world: World, minutes: int) -> None:
    for _ in range(minutes):
        await _beats(world)
        await world.advance(minutes=1)


async def _reloads(world: World, old: str, new: str) -> None:
    text = world.config_file.read_text()
    assert old in text
    world.config_file.write_text(text.replace(old, new))
    assert await world.bridge.reload() == []
    await world.settle()


async def _incidents(world: World, *, ended: bool = True) -> list[Any]:
    found: list[Any] = (await world.api("GET", "/incidents?all=true"))["items"]
    return [one for one in found if ended or one["state"] != "resolved"]


def _told(world: World) -> list[str]:
    return world.phone("aigerim").texts


async def test_silence_pages_and_the_next_beat_ends_it(town: World) -> None:
    await _beats_for(town, 3)
    await town.advance(minutes=3, seconds=59)
    assert _told(town) == []
    await town.advance(seconds=1)
    assert _told(town) == ["No beat from watchdog: last 08:12, expected every 5 min 08:17 #1"]
    assert town.phone("jonas").texts == _told(town)
    assert "No beat from watchdog" in town.card.text and len(town.ops.cards) == 1

    await town.advance(minutes=20)
    assert len(_told(town)) == 1  # one silence, however long
    told = await _beats(town)
    (incident,) = await _incidents(town)
    assert (incident["state"], incident["ended_by"]) == ("resolved", "watchdog")
    result = (await town.api("GET", f"/receipts/{told['receipt']}"))["result"]
    assert result == {"alerts": 0, "incidents": [{"id": 1, "what": "resolved"}], "beat": True}

    await town.advance(minutes=4, seconds=59)
    assert await _incidents(town, ended=False) == []
    await town.advance(seconds=1)  # so soon that it is the same trouble
    (again,) = await _incidents(town, ended=False)
    assert again["id"] == 1 and "2nd time" in town.ops.last.text and len(_told(town)) == 2


async def test_a_silence_is_told_though_the_hour_of_the_last_beat_is_damaged(town: World) -> None:
    await _beats(town)
    await town.bridge.store.write(lambda tx: tx.set_meta("last_beat:watchdog", "2026-11-20T73:10:00+00:00"))
    await town.advance(minutes=6)
    assert [told[:22] for told in _told(town)] == ["No beat from watchdog:"]


async def test_those_who_were_paged_hear_that_it_is_over(tmp_path: Path) -> None:
    changes = [(TOLD, TOLD + "    resolved_sms: true\n")]
    async with a_world(tmp_path, WITH_A_DOG, changes=changes) as world:
        await world.advance(minutes=15)
        await _beats(world)
        assert _told(world) == [
            "No beat from watchdog: none yet, expected every 5 min 08:15 #1",
            "OK No beat from watchdog: over at 08:25 after 10m. #1",
        ]


async def test_whatever_comes_with_its_credential_is_a_beat(town: World) -> None:
    for body in (b"", b"{}", b"state=ok&n=1", b"\xff\x00", b'"resolved"', b"[" * 10_000, firing("db1"), {"alerts": 7}):
        await _beats(town, body)
        await town.advance(minutes=4)
    assert _told(town) == [] and town.watch.cards == []


@pytest.mark.parametrize(
    "body",
    [
        group([alert("a", status="resolved"), alert("b", status="resolved")]) | {"status": "resolved"},
        group([]) | {"status": "resolved"},
        group([{"labels": {}}]) | {"status": "resolved"},
    ],
)
async def test_a_watchdog_alert_that_has_ended_is_no_sign_of_life(town: World, body: Any) -> None:
    await _beats(town)
    await town.advance(minutes=3)
    told = await _beats(town, body)
    assert (await town.api("GET", f"/receipts/{told['receipt']}"))["result"]["beat"] is False
    await town.advance(minutes=2)
    assert len(_told(town)) == 1


async def test_who_shows_the_wrong_credential_is_not_heard(town: World) -> None:
    for _ in range(5):
        await town.advance(minutes=1)
        await town.post("watchdog", b"", token="wrong", status=401)
    assert len(_told(town)) == 1


async def test_its_address_names_no_other_route_and_takes_posts_only(town: World) -> None:
    await _beats(town, route="rest", status=403)
    await _beats(town, route="critical")
    async with town.http.get("/webhooks/watchdog", headers={"Authorization": "Bearer dog-secret"}) as answer:
        assert answer.status == 405


async def test_many_beats_are_one_timer_and_no_incident(town: World) -> None:
    for _ in range(300):
        await town.bridge.dispatcher.keep_webhook("watchdog", None, {}, b"")
    await town.settle()
    timers = await town.bridge.store.read(lambda tx: tx.timers_due(town.clock.now().replace(year=2030), 100))
    assert [(timer.kind, timer.subject) for timer in timers] == [("next_beat", "watchdog")]
    assert 'sms_bridge_suppressed_total{reason="duplicate"}' not in await town.metrics()
    await town.advance(minutes=4, seconds=59)
    assert _told(town) == []


async def test_a_beat_that_waits_to_be_understood_is_not_held_against_its_source(town: World) -> None:
    timers = next(tick for tick in town.bridge.ticks if tick.name == "timers")
    await town.bridge.dispatcher.keep_webhook("watchdog", None, {}, b"")
    for _ in range(10):
        town.clock.advance(30)
        await timers.run()  # before intake came to it
    await town.settle()
    assert _told(town) == []
    await town.advance(minutes=5)
    assert len(_told(town)) == 1


async def test_a_person_ends_it_and_it_stays_over_until_the_source_was_heard(town: World) -> None:
    await town.advance(minutes=5)
    aigerim = Asker("aigerim", Role.OPERATOR)
    await town.bridge.dispatcher.resolve(1, aigerim)
    await town.advance(hours=2)
    assert len(_told(town)) == 1
    await _beats(town)
    await town.advance(minutes=5)
    assert len(_told(town)) == 2


async def test_a_storm_around_it_hides_it_from_nobody(tmp_path: Path) -> None:
    async with a_world(tmp_path, WITH_A_DOG, changes=[(", priority: critical", "")]) as world:
        await world.advance(minutes=4, seconds=50)
        for number in range(8):
            await world.post("alertmanager", firing(f"db{number}", name=f"Trouble{number}", groupKey=f"g{number}"))
        await world.advance(minutes=1)
        (silence,) = [one for one in await _incidents(world) if one["source"] == "watchdog"]
        assert silence["state"] == "triggered"
        assert sum("No beat from watchdog" in text for text in _told(world)) == 1
        assert [one["total"] for one in await _incidents(world) if one["source"] == "(storm)"] == [8]
        await _beats(world)
        assert [one["source"] for one in await _incidents(world) if one["state"] == "resolved"] == ["watchdog"]


async def test_silences_are_no_storm_by_themselves(tmp_path: Path) -> None:
    dogs = "".join(SOURCE.replace("watchdog", f"dog{number}") for number in range(7))
    async with a_world(tmp_path, WITH_A_DOG, changes=[(SOURCE, dogs)]) as world:
        await world.advance(minutes=6)
        assert sorted(one["source"] for one in await _incidents(world)) == [f"dog{number}" for number in range(7)]


# --- stops and starts


async def test_a_silence_goes_on_over_a_restart(town: World) -> None:
    await _beats(town)
    await town.advance(minutes=3)
    await town.sleeps()
    await town.wakes()
    await town.advance(minutes=1, seconds=59)
    assert _told(town) == []
    await town.advance(seconds=1)
    assert _told(town) == ["No beat from watchdog: last 08:10, expected every 5 min 08:15 #1"]


async def test_restarts_again_and_again_put_it_off_for_no_longer_than_they_took(town: World) -> None:
    await _beats(town)
    for _ in range(4):
        await town.advance(minutes=1)
        await town.sleeps()
        town.clock.advance(10)
        await town.wakes()
    await town.advance(seconds=59)
    assert _told(town) == []
    await town.advance(seconds=1)
    assert len(_told(town)) == 1


async def test_a_source_that_never_beat_is_waited_for_from_when_it_was_first_known(town: World) -> None:
    await town.advance(minutes=4)
    await town.sleeps()
    await town.wakes()
    await town.advance(minutes=1)
    assert _told(town) == ["No beat from watchdog: none yet, expected every 5 min 08:15 #1"]


async def test_a_long_stop_of_ours_is_no_silence_of_anybody(town: World) -> None:
    await _beats(town)
    await town.advance(minutes=1)
    await town.sleeps()
    town.clock.advance(8 * 3600)
    await town.wakes()
    await town.settle()
    assert _told(town) == []
    await town.advance(minutes=3, seconds=59)
    assert _told(town) == []
    await town.advance(seconds=1)  # what it had left; the hour says how long it was not heard
    assert _told(town) == ["No beat from watchdog: last 08:10, expected every 5 min 16:15 #1"]


@pytest.mark.parametrize("minute", [1, 4])
async def test_after_a_crash_it_has_never_more_than_its_time(town: World, minute: int) -> None:
    """When the bridge died is known to a few seconds: they are given to the source, as is the time until the start."""
    await town.advance(minutes=10)
    await _beats(town)
    for passed in range(minute):
        await town.looks_after_itself()
        await town.advance(minutes=1)
        if passed == minute - 1:
            copied(town, "crash")
    town.clock.advance(3600)
    await wakes_on(town, "crash")
    told = len(_told(town))
    await town.advance(minutes=5 - minute, seconds=-1)
    assert len(_told(town)) == told
    await town.advance(seconds=1 + 5)  # of its last seconds before the crash nothing is known
    assert len(_told(town)) == told + 1


class SaysNothing(Timers):
    """Planted: only the caretaker says, once a minute, that the bridge is alive."""

    async def say_alive(self) -> None:
        pass


async def _dies_and_dies(world: World, timers: type[Timers]) -> list[str]:
    """Who is told of a silence by a bridge that is killed every 50 seconds and is back at once."""
    await _beats(world)
    for life in range(8):
        bridge = world.bridge
        planted = timers(bridge.store, bridge.dispatcher, bridge.clock)
        bridge.ticks[:] = [planted if tick.name == planted.name else tick for tick in bridge.ticks]
        await world.looks_after_itself()
        await world.advance(seconds=50)
        copied(world, f"life {life}")
        await wakes_on(world, f"life {life}")
    return _told(world)


async def test_lives_too_short_to_look_after_themselves_hide_no_silence(town: World) -> None:
    (text,) = await _dies_and_dies(town, Timers)
    assert text.startswith("No beat from watchdog: last 08:10, expected every 5 min")


async def test_a_bridge_that_does_not_say_it_lived_is_found(town: World) -> None:
    assert await _dies_and_dies(town, SaysNothing) == []


@pytest.mark.parametrize("asleep", [30, 80])
async def test_a_short_sleep_is_no_silence_of_who_beats_often(tmp_path: Path, asleep: int) -> None:
    async with a_world(tmp_path, WITH_A_DOG.replace("every: 5m", "every: 30s")) as world:
        await _beats(world)
        await world.advance(seconds=1)
        world.clock.advance(asleep)
        await world.settle()
        await world.advance(seconds=28)
        assert _told(world) == []
        await world.advance(seconds=5)
        assert len(_told(world)) == 1


async def test_a_machine_that_slept_heard_nobody(town: World) -> None:
    await _beats(town)
    await town.advance(minutes=1)
    town.clock.advance(8 * 3600)
    await town.settle()
    await town.advance(minutes=3, seconds=59)
    assert _told(town) == []
    await town.advance(seconds=1)
    assert len(_told(town)) == 1


async def test_a_silence_that_was_told_is_told_once_over_a_restart_and_ends_with_the_beat(town: World) -> None:
    await town.advance(minutes=5)
    await town.sleeps()
    town.clock.advance(600)
    await town.wakes()
    await town.advance(minutes=10)
    assert len(await _incidents(town, ended=False)) == 1
    assert len([text for text in _told(town) if "2nd" not in text]) == 1
    await _beats(town)
    assert await _incidents(town, ended=False) == []


async def test_a_beat_that_was_stored_before_the_stop_counts_after_it(town: World) -> None:
    await town.advance(minutes=4)
    await town.bridge.dispatcher.keep_webhook("watchdog", None, {}, b"")
    await town.sleeps()
    town.clock.advance(7200)
    await town.wakes()
    await town.settle()
    await town.advance(minutes=4, seconds=59)
    assert _told(town) == []


@pytest.mark.parametrize("hours", [-3, 3])
async def test_a_clock_that_is_set_makes_no_silence_and_hides_none(town: World, hours: int) -> None:
    await _beats(town)
    await town.advance(minutes=2)
    town.clock.jump(hours * 3600)
    await town.settle()
    assert _told(town) == []
    await _beats(town)
    await town.advance(minutes=4, seconds=59)
    assert _told(town) == []
    await town.advance(seconds=1)
    assert len(_told(town)) == 1
    await _beats(town)
    town.clock.jump(-hours * 3600)
    await town.settle()
    await town.advance(minutes=5)
    assert len(await _incidents(town, ended=False)) == 1


# --- another config


async def test_a_source_that_is_added_has_its_time_from_the_reload_on(town: World) -> None:
    await _reloads(town, SOURCE, SOURCE + SOURCE.replace("watchdog", "backup").replace("5m", "10m"))
    await _beats_for(town, 9)
    assert _told(town) == []
    await _beats_for(town, 1)
    assert _told(town) == ["No beat from backup: none yet, expected every 10 min 08:20 #1"]


async def test_a_source_that_is_removed_is_waited_for_no_more(town: World) -> None:
    await _beats(town)
    await _reloads(town, SOURCE, "")
    await town.advance(hours=1)
    assert _told(town) == []
    await _reloads(town, "sources:\n", "sources:\n" + SOURCE)
    await town.advance(minutes=4, seconds=59)
    assert _told(town) == []
    await town.advance(seconds=1)
    assert _told(town) == ["No beat from watchdog: none yet, expected every 5 min 09:15 #1"]


@pytest.mark.parametrize("instead", ["", "  watchdog: {kind: generic, token: dog-secret}\n"])
async def test_the_silence_of_what_beats_no_more_ends_with_a_note(town: World, instead: str) -> None:
    await town.advance(minutes=5)
    await _reloads(town, SOURCE, instead)
    (incident,) = await _incidents(town)
    assert (incident["state"], incident["ended_by"]) == ("resolved", "the config")
    whole = await town.api("GET", "/incidents/1")
    assert "resolved as watchdog is no heartbeat any more" in [entry["what"] for entry in whole["timeline"]]
    await _reloads(town, "sources:\n" + instead, "sources:\n" + SOURCE)
    await town.advance(minutes=5)
    assert len(await _incidents(town, ended=False)) == 1


async def test_another_every_counts_from_the_last_beat(town: World) -> None:
    await _beats(town)
    await town.advance(minutes=3)
    await _reloads(town, "every: 5m", "every: 10m")
    await town.advance(minutes=6, seconds=59)
    assert _told(town) == []
    await town.advance(seconds=1)
    assert len(_told(town)) == 1


async def test_a_shorter_every_calls_nobody_at_the_reload(town: World) -> None:
    await _beats(town)
    await town.advance(minutes=3)
    await _reloads(town, "every: 5m", "every: 2m")
    await town.advance(minutes=1, seconds=59)
    assert _told(town) == []
    await town.advance(seconds=1)
    assert _told(town) == ["No beat from watchdog: last 08:10, expected every 2 min 08:15 #1"]


async def test_a_reload_that_changes_nothing_about_it_puts_nothing_off(town: World) -> None:
    await _beats(town)
    for _ in range(4):
        await town.advance(minutes=1)
        assert await town.bridge.reload() == []
    await town.advance(minutes=1)
    assert len(_told(town)) == 1


async def test_a_beat_cannot_be_put_through_again(town: World) -> None:
    told = await _beats(town)
    await town.advance(minutes=1)
    await town.api("POST", f"/receipts/{told['receipt']}/replay", status=409)
    await town.advance(minutes=4)
    assert len(_told(town)) == 1
