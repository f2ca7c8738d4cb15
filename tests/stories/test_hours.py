"""A route that pages nobody at this hour keeps its pages until it does: none is lost, and none leaves meanwhile.

It is Friday, 08:10 in Almaty, when the town wakes; all hours here are read there.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.world import AIGERIM, CONFIG, World, a_world, alert, firing, group, resolved

POLICIES = """policies:
  critical:
    steps:
      - {notify: [aigerim], wait: 5m}
      - {notify: [jonas], wait: 10m}
    ack_for: 2h
  other:
    steps: [{notify: [dana]}]
"""
PLAIN = CONFIG[CONFIG.index("policies:\n") : CONFIG.index("sources:\n")]
ROUTE = "policy: critical, chat: ops"


def _town(folder: Path, route: str, **intervals: str) -> AbstractAsyncContextManager[World]:
    """A town whose critical route has these keys, by intervals of a day such as "08:00-09:00"."""
    named = "".join(
        f"  - {{name: {name}, time_intervals: [{{location: Asia/Almaty, times: "
        f"[{{start_time: '{hours[:5]}', end_time: '{hours[6:]}'}}]}}]}}\n"
        for name, hours in intervals.items()
    )
    changes = [(PLAIN, f"time_intervals:\n{named}{POLICIES}"), (ROUTE, f"{ROUTE}, {route}")]
    return a_world(folder, changes=changes)


def _texts(world: World) -> dict[str, int]:
    return {name: len(world.phone(name).texts) for name in ("aigerim", "jonas", "dana")}


def _called(world: World, **times: int) -> bool:
    return _texts(world) == {"aigerim": 0, "jonas": 0, "dana": 0} | times


async def _changes(world: World, old: str, new: str) -> None:
    """Another config, and a new start with it."""
    assert old in world.config_text
    world.config_text = world.config_text.replace(old, new)
    await _restarts(world)


async def _restarts(world: World) -> None:
    await world.sleeps()
    await world.wakes()


QUIET = {
    "mute": "mute_time_intervals: [quiet]",
    "hold": "hold_time_intervals: [quiet]",
    "active": "active_time_intervals: [loud]",
}


@asynccontextmanager
async def _until_nine(folder: Path, key: str) -> AsyncIterator[World]:
    hours = {"loud": "09:00-24:00"} if key == "active" else {"quiet": "08:00-09:00"}
    async with _town(folder, QUIET[key], **hours) as world:
        yield world


# --- what opens while nobody is to be called ----------------------------------------------------------------


@pytest.mark.parametrize("restarts", [False, True], ids=["", "restarts"])
@pytest.mark.parametrize("key", QUIET)
async def test_what_still_fires_when_the_mute_ends_is_paged_then(tmp_path: Path, key: str, restarts: bool) -> None:
    async with _until_nine(tmp_path, key) as town:
        await town.post("alertmanager", firing("db1"))
        assert "calls nobody until 09:00" in town.card.text and "next  Aigerim 09:00" in town.card.text
        await town.advance(minutes=49)
        if restarts:
            await _restarts(town)
        await town.advance(seconds=59)
        assert _called(town)
        await town.advance(seconds=2)
        assert _called(town, aigerim=1)
        await town.advance(seconds=20)
        assert "calls nobody" not in town.card.text and "Acknowledge" in town.card.buttons
        await town.advance(minutes=5)
        assert _called(town, aigerim=1, jonas=1)
        await town.advance(minutes=10)
        assert "NOBODY HAS IT" in town.card.text


async def test_what_is_over_before_the_mute_ends_calls_nobody(tmp_path: Path) -> None:
    async with _until_nine(tmp_path, "mute") as town:
        await town.post("alertmanager", firing("db1"))
        await town.advance(minutes=30)
        await town.post("alertmanager", resolved("db1"))
        await town.advance(hours=3)
        assert _called(town) and len(town.ops.cards) == 1


async def test_who_takes_it_while_it_is_muted_spares_the_page(tmp_path: Path) -> None:
    async with _until_nine(tmp_path, "mute") as town:
        await town.post("alertmanager", firing("db1"))
        assert "Pass on" not in town.card.buttons  # nobody is called at this hour, by hand neither
        await town.types("/ack 1", by=AIGERIM)
        await town.advance(hours=1)
        assert _called(town)


async def test_what_joins_while_it_is_muted_changes_the_card_and_no_hour(tmp_path: Path) -> None:
    async with _until_nine(tmp_path, "mute") as town:
        await town.post("alertmanager", firing("db1"))
        await town.advance(minutes=20)
        await town.post("alertmanager", group([alert("db1"), alert("db2")]))
        assert _called(town)
        await town.advance(minutes=31)
        assert _called(town, aigerim=1)
        assert "db2" in town.phone("aigerim").texts[0]


# --- what climbs into such hours ------------------------------------------------------------------------------


@pytest.mark.parametrize("restarts", [False, True], ids=["", "restarts"])
async def test_a_climb_that_comes_to_the_mute_goes_on_after_it(tmp_path: Path, restarts: bool) -> None:
    async with _town(tmp_path, "mute_time_intervals: [quiet]", quiet="08:12-10:00") as town:
        await town.post("alertmanager", firing("db1"))
        assert _called(town, aigerim=1)
        assert "next  Jonas 10:00" in town.card.text  # as soon as it is known
        await town.advance(hours=1)
        if restarts:
            await _restarts(town)
        await town.advance(minutes=49)
        assert _called(town, aigerim=1) and len(town.ops.cards) == 1
        await town.advance(minutes=2)
        assert _called(town, aigerim=1, jonas=1)
        await town.advance(minutes=10)
        assert "NOBODY HAS IT" in town.card.text


async def test_rungs_keep_their_distance_behind_a_mute(tmp_path: Path) -> None:
    async with _town(tmp_path, "mute_time_intervals: [quiet]", quiet="08:12-10:00") as town:
        await _changes(town, "wait: 10m}", "wait: 10m}\n      - {notify: [dana], wait: 5m}")
        await town.post("alertmanager", firing("db1"))
        await town.advance(hours=1, minutes=59)
        assert _called(town, aigerim=1, jonas=1)
        await town.advance(minutes=2)
        assert _called(town, aigerim=1, jonas=1, dana=1)


async def test_an_sms_that_does_not_arrive_hastens_nobody_into_the_mute(tmp_path: Path) -> None:
    async with _town(tmp_path, "mute_time_intervals: [quiet]", quiet="08:11-10:00") as town:
        town.phone("aigerim").turns_off()
        await town.post("alertmanager", firing("db1"))
        await town.advance(hours=1, minutes=49)
        assert _called(town)  # the one to Aigerim has expired
        assert "next  Jonas 10:00" in town.card.text
        await town.advance(minutes=2)
        assert _called(town, jonas=1)


async def test_what_the_gateway_kept_waiting_does_not_leave_in_the_mute(tmp_path: Path) -> None:
    """Nor is it too old then: nobody could be called before."""
    route = "ttl: 30m, mute_time_intervals: [quiet]"
    async with _town(tmp_path, route, quiet="08:15-10:00") as town:
        await town.mobizon.stop()
        await town.post("alertmanager", firing("db1"))
        await town.advance(minutes=10)
        await town.mobizon.start()
        await town.advance(hours=1, minutes=39)
        assert _called(town)
        await town.advance(minutes=2)
        assert _called(town, aigerim=1)
        await town.advance(minutes=5)
        assert _called(town, aigerim=1, jonas=1)


async def test_the_chat_does_not_ring_for_nobody_inside_the_mute(tmp_path: Path) -> None:
    async with _town(tmp_path, "mute_time_intervals: [quiet]", quiet="08:20-10:00") as town:
        await town.post("alertmanager", firing("db1"))
        await town.advance(hours=1, minutes=49)
        assert _called(town, aigerim=1, jonas=1) and len(town.ops.cards) == 1
        assert "this chat rings 10:00" in town.card.text
        await town.advance(minutes=2)
        assert "NOBODY HAS IT" in town.card.text


async def test_an_acknowledgement_that_runs_out_in_the_mute_holds_until_its_end(tmp_path: Path) -> None:
    async with _town(tmp_path, "mute_time_intervals: [quiet]", quiet="10:00-12:00") as town:
        await town.post("alertmanager", firing("db1"))
        await town.types("/ack 1", by=AIGERIM)
        await town.advance(seconds=20)
        assert "asks again 12:00" in town.ops.cards[0].text
        await town.advance(hours=3, minutes=49)
        assert _called(town, aigerim=1)
        await town.advance(minutes=2)
        assert _called(town, aigerim=2)
        await town.advance(minutes=5)
        assert _called(town, aigerim=3)  # the plan anew


# --- both, and the policy of the hour ---------------------------------------------------------------------------


async def test_a_page_that_was_held_does_not_leave_into_a_mute(tmp_path: Path) -> None:
    route = "hold_time_intervals: [night], mute_time_intervals: [meeting]"
    async with _town(tmp_path, route, night="08:00-09:00", meeting="09:00-10:30") as town:
        await town.post("alertmanager", firing("db1"))
        assert "calls nobody until 10:30" in town.card.text
        await town.advance(hours=2, minutes=19)
        assert _called(town)
        await town.advance(minutes=2)
        assert _called(town, aigerim=1)


async def test_the_policy_of_the_hour_at_which_it_leaves_decides(tmp_path: Path) -> None:
    route = "hold_time_intervals: [night], policy_at: {night: other}"
    async with _town(tmp_path, route, night="08:00-09:00") as town:
        await town.post("alertmanager", firing("db1"))
        await town.advance(minutes=51)
        assert _called(town, aigerim=1)


@pytest.mark.parametrize("key", ["hold_time_intervals", "mute_time_intervals"])
async def test_hours_with_no_end_in_sight_lose_no_page(tmp_path: Path, key: str) -> None:
    async with _town(tmp_path, f"{key}: [{key[:4]}]", **{key[:4]: "08:00-09:00"}) as town:
        await _changes(town, "times: [{start_time: '08:00', end_time: '09:00'}]", "years: [2026:2099]")
        await town.post("alertmanager", firing("db1"))
        assert _called(town, aigerim=1)
        await town.advance(minutes=6)
        assert _called(town, aigerim=1, jonas=1)


async def test_a_plan_that_begins_anew_is_that_of_its_hour(tmp_path: Path) -> None:
    async with _town(tmp_path, "policy_at: {night: other}", night="08:00-09:00") as town:
        await town.advance(minutes=45)
        await town.post("alertmanager", firing("db1"))
        assert _called(town, dana=1)
        await town.post("alertmanager", resolved("db1"))
        await town.advance(minutes=7)
        await town.post("alertmanager", group([alert("db1", starts_at="2026-11-20T04:01:00Z")]))
        assert _called(town, dana=1, aigerim=1)


async def test_what_leaves_takes_nothing_along_that_its_route_keeps(tmp_path: Path) -> None:
    """After an outage one SMS tells of all that waited, but of what is muted by then."""
    async with _town(tmp_path, "mute_time_intervals: [quiet]", quiet="08:15-10:00") as town:
        town.config_text = town.config_text.replace(
            "{name: rest, chat: ops", "{name: rest, policy: critical, chat: ops"
        )
        await _restarts(town)
        await town.mobizon.stop()
        await town.post("alertmanager", firing("db1"))
        await town.post("alertmanager", firing("web1", name="Slow", severity="warning"))
        await town.advance(minutes=10)
        await town.mobizon.start()
        await town.advance(minutes=4)
        (text,) = town.phone("aigerim").texts
        assert "Slow" in text and "HostOutOfDiskSpace" not in text
        await town.advance(hours=1, minutes=40)
        assert "HostOutOfDiskSpace" in town.phone("aigerim").texts[-1]


async def test_a_storm_inside_the_mute_pages_once_at_its_end(tmp_path: Path) -> None:
    async with _town(tmp_path, "mute_time_intervals: [quiet]", quiet="08:00-09:00") as town:
        await _changes(town, "priority: critical}", "priority: normal}")
        await _changes(town, "sms: {", "storm: {alerts: 4}\nsms: {")
        for number in range(6):
            await town.post("alertmanager", firing(f"db{number}", name=f"Down{number}"))
        await town.advance(minutes=49)
        assert _called(town)
        await town.post("alertmanager", firing("db9", name="Down9"))
        await town.advance(minutes=2)
        assert 1 <= _texts(town)["aigerim"] <= 2
        await town.advance(minutes=6)
        assert 1 <= _texts(town)["jonas"] <= 2


async def test_what_a_storm_left_to_whoever_ended_it_asks_after_the_mute(tmp_path: Path) -> None:
    async with _town(tmp_path, "mute_time_intervals: [quiet]", quiet="10:00-11:00") as town:
        await _changes(town, "priority: critical}", "priority: normal}")
        await _changes(town, "sms: {", "storm: {alerts: 4}\nsms: {")
        for number in range(6):
            await town.post("alertmanager", firing(f"db{number}", name=f"Down{number}"))
        await town.advance(seconds=20)
        await town.press("Acknowledge")
        await town.advance(seconds=5)
        await town.press("Resolve")
        await town.advance(hours=1, minutes=55)  # two hours are over at 10:10
        before, messages = _texts(town), len(town.ops.cards)
        await town.advance(minutes=50)
        assert (_texts(town), len(town.ops.cards)) == (before, messages)
        await town.advance(minutes=10)
        assert _texts(town) != before and len(town.ops.cards) > messages


# --- it is still a promise of the chat --------------------------------------------------------------------------


async def test_nobody_is_called_by_hand_in_the_mute_and_who_asks_is_told(tmp_path: Path) -> None:
    async with _town(tmp_path, "mute_time_intervals: [quiet]", quiet="08:12-10:00") as town:
        await town.post("alertmanager", firing("db1"))
        card = town.card
        assert "Pass on" in card.buttons
        await town.advance(minutes=3)
        press = await town.press("Pass on")
        assert "calls nobody at this hour; /page" in (press.toast or "")
        assert _called(town, aigerim=1)


# --- the config is changed --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hours", "minutes"), [("08:00-08:30", 20), ("08:00-10:00", 110), ("22:00-23:00", 0)])
@pytest.mark.parametrize("restarts", [False, True], ids=["reload", "restart"])
async def test_other_hours_count_for_what_waits(tmp_path: Path, hours: str, minutes: int, restarts: bool) -> None:
    async with _until_nine(tmp_path, "hold") as town:
        await town.post("alertmanager", firing("db1"))
        old, new = (f"start_time: '{each[:5]}', end_time: '{each[6:]}'" for each in ("08:00-09:00", hours))
        if restarts:
            await _changes(town, old, new)
        else:
            town.config_file.write_text(town.config_file.read_text().replace(old, new))
            assert await town.bridge.reload() == []
        if minutes:
            await town.advance(minutes=minutes - 1)
            assert _called(town)
        await town.advance(minutes=2)
        assert _called(town, aigerim=1)
        await town.advance(minutes=5)
        assert _called(town, aigerim=1, jonas=1)


# --- the clock is set -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("by", "left"), [(-3600, 0), (600, 39), (3600, 0)], ids=["back", "forward", "beyond"])
async def test_what_is_held_is_held_by_the_wall_when_the_clock_is_set(tmp_path: Path, by: int, left: int) -> None:
    """At 08:10 it is held until 09:00. By the clocks of then it may be day already: then it is not held at all."""
    async with _town(tmp_path, "hold_time_intervals: [night]", night="08:00-09:00") as town:
        await town.post("alertmanager", firing("db1"))
        town.clock.jump(by)
        await town.settle()
        if left:
            await town.advance(minutes=left)
            assert _called(town)
        await town.advance(minutes=2)
        assert _called(town, aigerim=1)
        await town.advance(minutes=5)
        assert _called(town, aigerim=1, jonas=1)


@pytest.mark.parametrize("by", [-1200, 1200])
async def test_a_night_stays_a_night_when_the_clock_is_set(tmp_path: Path, by: int) -> None:
    """A climb waits for half past nine by the wall, set back or forward by 20 minutes."""
    async with _town(tmp_path, "mute_time_intervals: [night]", night="08:12-09:30") as town:
        await town.post("alertmanager", firing("db1"))
        await town.advance(minutes=25)
        town.clock.jump(by)
        await town.settle()
        await town.advance(minutes=54, seconds=-by)
        assert _called(town, aigerim=1)
        await town.advance(minutes=2)
        assert _called(town, aigerim=1, jonas=1)


async def test_a_ring_that_waits_for_the_morning_waits_for_it_by_the_wall(tmp_path: Path) -> None:
    async with _town(tmp_path, "mute_time_intervals: [night]", night="08:20-10:00") as town:
        await town.post("alertmanager", firing("db1"))
        await town.advance(minutes=20)
        town.clock.jump(1200)
        await town.advance(minutes=69)
        assert _called(town, aigerim=1, jonas=1) and len(town.ops.cards) == 1
        await town.advance(minutes=2)
        assert "NOBODY HAS IT" in town.card.text
