"""Where a climb could end in silence, or make a noise that nobody needs."""

from pathlib import Path

from bridge.admission import Parsed
from bridge.domain.alert import Alert, AlertStatus, Report
from bridge.ports import Receipt
from tests.stories.test_climb import CLIMB, PLAIN
from tests.world import AIGERIM, JONAS, World, a_world, alert, firing, group, resolved

ROUTE = "policy: critical, chat: ops, priority: critical"


def texts(world: World) -> dict[str, int]:
    return {name: len(world.phone(name).texts) for name in ("aigerim", "jonas")}


def rings(world: World) -> int:
    return sum("NOBODY HAS IT" in card.text for card in world.ops.cards)


async def test_what_is_too_old_for_an_sms_still_rings_in_the_chat(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[(PLAIN, CLIMB), (ROUTE, f"{ROUTE}, ttl: 4m")]) as world:
        await world.post("alertmanager", firing("db1"))
        await world.advance(minutes=6)
        assert texts(world) == {"aigerim": 1, "jonas": 0}
        assert rings(world) == 1


async def test_late_reports_do_not_ring_a_chat_that_rings_already(tmp_path: Path) -> None:
    one = "policies:\n  critical:\n    steps: [{notify: [aigerim, jonas, dana]}]\n"
    async with a_world(tmp_path, changes=[(PLAIN, one)]) as world:
        for name in ("aigerim", "jonas", "dana"):
            world.phone(name).turns_off()
        await world.post("alertmanager", firing("db1"))
        await world.advance(minutes=3)
        assert rings(world) == 1
        await world.advance(minutes=90)  # each expires on its own meanwhile
        assert rings(world) == 1 + 4


async def test_the_config_loses_a_policy_and_still_somebody_has_it(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[(PLAIN, CLIMB)]) as world:
        await world.post("alertmanager", firing("db1"))
        await world.press("Acknowledge", by=JONAS)
        await world.sleeps()
        world.config_text = world.config_text.replace("critical:\n    steps", "other:\n    steps")
        world.config_text = world.config_text.replace("policy: critical", "policy: other")
        await world.wakes()
        await world.advance(hours=2, minutes=1)
        assert rings(world) == 1
        assert texts(world) == {"aigerim": 1, "jonas": 0}


async def test_what_has_no_chat_of_its_own_rings_in_the_watch_chat(tmp_path: Path) -> None:
    changes = [(PLAIN, CLIMB.replace("    repeat: 1\n", "")), (ROUTE, "policy: critical")]
    async with a_world(tmp_path, changes=changes) as world:
        await world.post("alertmanager", firing("db1"))
        await world.advance(minutes=16)
        assert [card for card in world.watch.cards if "NOBODY HAS IT" in card.text]


async def test_what_only_a_silent_chat_sees_comes_and_goes_in_silence(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[(PLAIN, CLIMB)]) as world:
        for start in ("03:10:00", "03:20:00", "03:30:00"):
            fires = group([alert("db1", severity="warning", starts_at=f"2026-11-20T{start}Z")])
            await world.post("alertmanager", fires)
            await world.advance(minutes=4)
            await world.post("alertmanager", resolved("db1", severity="warning"))
            await world.advance(minutes=4)
        assert len(world.ops.cards) == 1


async def test_one_sms_stands_for_two_incidents_only_when_it_leaves_in_time(tmp_path: Path) -> None:
    slow = "  slow:\n    steps: [{notify: [aigerim]}]\n    delay: 30m\n"
    first = "routes:\n  - {name: slow, matchers: ['severity=\"critical\"'], policy: slow, chat: ops, continue: true}\n"
    async with a_world(tmp_path, changes=[(PLAIN, CLIMB + slow), ("routes:\n", first)]) as world:
        await world.post("alertmanager", firing("db1"))
        assert texts(world) == {"aigerim": 1, "jonas": 0}
        await world.advance(minutes=29)
        assert texts(world)["aigerim"] == 2  # the second call of the one; the other is not due
        await world.advance(minutes=2)
        assert texts(world)["aigerim"] == 3


async def test_the_second_call_of_two_incidents_is_made_for_both(tmp_path: Path) -> None:
    also = (
        "routes:\n  - {name: also, matchers: ['severity=\"critical\"'], policy: critical, chat: ops, continue: true}\n"
    )
    async with a_world(tmp_path, changes=[(PLAIN, CLIMB), ("routes:\n", also)]) as world:
        await world.post("alertmanager", firing("db1"))
        await world.advance(minutes=1)
        assert texts(world) == {"aigerim": 1, "jonas": 0}
        await world.press("Acknowledge", by=JONAS)  # the newer card's
        await world.advance(minutes=16)
        assert texts(world)["aigerim"] == 2


async def test_an_incident_that_another_sms_told_of_still_ends_in_a_ring(tmp_path: Path) -> None:
    also = "routes:\n  - {name: also, matchers: ['severity=\"critical\"'], policy: one, chat: ops, continue: true}\n"
    changes = [(PLAIN, PLAIN.replace("[aigerim, jonas]", "[aigerim]")), ("routes:\n", also)]
    async with a_world(tmp_path, changes=changes) as world:
        await world.post("alertmanager", firing("db1"))
        await world.advance(minutes=6)
        assert texts(world) == {"aigerim": 1, "jonas": 0}
        assert rings(world) == 2


async def test_a_lost_answer_rings_nowhere_when_somebody_has_it(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[(PLAIN, CLIMB)]) as world:
        world.mobizon.hangs_after_accepting()
        await world.post("alertmanager", firing("db1"))
        await world.press("Acknowledge", by=AIGERIM)
        cards = len(world.ops.cards)
        world.mobizon.recovers()
        await world.advance(minutes=10)
        assert len(world.ops.cards) == cards


async def test_passing_on_twice_calls_one_and_says_so(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[(PLAIN, CLIMB)]) as world:
        world.mobizon.hangs()
        await world.post("alertmanager", firing("db1"))
        first = await world.press("Pass on", by=AIGERIM)
        second = await world.press("Pass on", by=JONAS)
        assert first.toast == "#1: calling the next."
        assert second.toast in ("#1: calling the next.", "The next of #1 is being called.")


async def test_a_test_of_the_source_wakes_one_and_climbs_no_further(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[(PLAIN, CLIMB)]) as world:
        door, now = world.bridge.dispatcher, world.clock.now()
        number = await door.keep_webhook("alertmanager", None, {}, b"")
        tried = Alert("f", AlertStatus.FIRING, now, "TestAlert", {"severity": "critical"})
        await door.accept([Parsed(Receipt(number, "alertmanager", now, b""), Report("g", (tried,), test=True))])
        await world.advance(hours=2)
        assert texts(world) == {"aigerim": 1, "jonas": 0}
        assert rings(world) == 0


async def test_an_acknowledgement_lasts_as_long_when_the_clock_is_set_back(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[(PLAIN, CLIMB)]) as world:
        await world.post("alertmanager", firing("db1"))
        await world.press("Acknowledge", by=AIGERIM)
        await world.advance(minutes=30)
        world.clock.jump(-3600)
        await world.advance(hours=1, minutes=29)
        assert texts(world)["aigerim"] == 1
        await world.advance(minutes=2)
        assert texts(world)["aigerim"] == 2
