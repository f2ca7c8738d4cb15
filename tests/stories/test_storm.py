"""Many incidents at once are one storm: two SMS a person and step, one card, one answer."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.dispatcher import Answered, Asker
from bridge.domain.house import Role
from tests.world import AIGERIM, JONAS, World, a_world, alert, firing, group, resolved

ROUTE = "  - {name: critical, matchers: ['severity=\"critical\"'], policy: critical, chat: ops, priority: critical}\n"
NORMAL = ROUTE.replace(", priority: critical", "")
POLICIES = "policies:\n  critical:\n    steps: [{notify: [aigerim, jonas]}]\n"
CLIMB = """policies:
  critical:
    steps: [{notify: [aigerim], wait: 20m}, {notify: [jonas], wait: 20m}]
    ack_for: 2h
"""
FEW = ("watch: {chat", "storm: {alerts: 5}\nwatch: {chat")
TO_CLIMB = [(ROUTE, NORMAL), (POLICIES, CLIMB)]


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[World]:
    """A town with a route whose pages are not critical: Aigerim is called, twenty minutes later Jonas."""
    async with a_world(tmp_path, changes=[*TO_CLIMB, FEW]) as world:
        yield world


def _trouble(number: int, **more: Any) -> dict[str, Any]:
    return firing(f"db{number}", name=f"Trouble{number % 3}", groupKey=f"group {number}", **more)


def _over(number: int) -> dict[str, Any]:
    return resolved(f"db{number}", name=f"Trouble{number % 3}", groupKey=f"group {number}")


async def _breaks_out(world: World, count: int = 8, first: int = 1) -> None:
    for number in range(first, first + count):
        await world.post("alertmanager", _trouble(number))


async def _storms(world: World) -> list[Any]:
    found = (await world.api("GET", "/incidents?all=true"))["items"]
    return [one for one in found if one["source"] == "(storm)"]


async def _storm(world: World) -> Any:
    (storm,) = await _storms(world)
    return storm


async def test_a_storm_is_two_sms_to_a_person_and_one_card(town: World) -> None:
    await _breaks_out(town)
    await town.advance(minutes=1)
    first, second = town.phone("aigerim").texts
    assert first.startswith("Trouble1 db1")
    assert second.startswith("8 alerts on 8 hosts, worst: Trouble0 db3")
    assert "Trouble1 3, Trouble2 3, Trouble0 2" in second
    storm = await _storm(town)
    card = next(card.text for card in town.ops.cards if f"#{storm['id']} 8 alerts" in card.text)
    assert "Worst: Trouble0 db3" in card
    assert len(town.ops.cards) == 5  # the storm's, and four before it was one

    await town.advance(minutes=18)
    assert town.phone("jonas").texts == []
    await town.advance(minutes=2)
    assert [len(town.phone(name).texts) for name in ("aigerim", "jonas")] == [2, 1]
    await town.advance(minutes=40)
    assert [len(town.phone(name).texts) for name in ("aigerim", "jonas")] == [2, 1]
    ringing = [card.text for card in town.ops.cards if "NOBODY HAS IT" in card.text]
    assert ringing and all("8 alerts on 8 hosts" in text for text in ringing)


async def test_a_storm_is_counted_in_incidents_and_not_in_alerts(town: World) -> None:
    await town.post("alertmanager", firing(*(f"db{number}" for number in range(20))))
    assert await _storms(town) == []
    for number in range(3):
        await town.post("alertmanager", _trouble(number))
    assert await _storms(town) == []
    await town.post("alertmanager", _trouble(3))
    assert len(await _storms(town)) == 1


async def test_slow_troubles_are_no_storm(town: World) -> None:
    for number in range(8):
        await town.post("alertmanager", _trouble(number))
        await town.advance(seconds=16)
    assert await _storms(town) == []


async def test_pages_of_one_route_wait_a_moment_for_each_other(town: World) -> None:
    await town.post("alertmanager", _trouble(1))
    await town.advance(seconds=3)
    await town.post("alertmanager", _trouble(2))
    await town.post("alertmanager", _trouble(3))
    await town.advance(seconds=6)
    assert len(town.phone("aigerim").texts) == 1
    await town.advance(seconds=2)
    _, digest = town.phone("aigerim").texts
    assert digest.startswith("2 incidents: Trouble2 db2 #")
    assert "Trouble0 db3 #" in digest
    await town.advance(minutes=22)
    assert len(town.phone("jonas").texts) == 2


async def test_critical_troubles_page_singly_and_at_once(tmp_path: Path) -> None:
    room = ("watch: {chat", "limits: {per_person: {1h: 100}, total: {1d: 300}}\nwatch: {chat")
    async with a_world(tmp_path, changes=[room, FEW, (POLICIES, CLIMB)]) as world:
        await _breaks_out(world, 8)
        assert len(world.phone("aigerim").texts) == 9
        assert sum("5 alerts on 5 hosts" in text for text in world.phone("aigerim").texts) == 1


async def test_one_acknowledgement_holds_for_all_of_it(town: World) -> None:
    await _breaks_out(town, 6)
    storm = await _storm(town)
    await town.advance(minutes=1)
    pressed = await town.press("Acknowledge", by=JONAS)
    assert pressed.toast == f"You have #{storm['id']}."
    counts = await town.bridge.store.read(lambda tx: tx.incident_counts())
    assert sorted(counts.values()) == [0, 7]

    await town.advance(seconds=1)
    await _breaks_out(town, 3, first=100)  # what joins is theirs as well
    await town.advance(minutes=4)
    counts = await town.bridge.store.read(lambda tx: tx.incident_counts())
    assert sorted(counts.values()) == [0, 10]
    assert [len(town.phone(name).texts) for name in ("aigerim", "jonas")] == [2, 0]

    await _breaks_out(town, 3, first=200)  # as many again: nobody took that
    await town.advance(seconds=5)
    assert [len(town.phone(name).texts) for name in ("aigerim", "jonas")] == [2, 1]
    assert town.phone("jonas").texts[0].startswith("Back to you: 12 alerts")
    assert len(await _storms(town)) == 1


async def test_an_sms_that_was_to_tell_of_two_leaves_for_the_one_outside_the_storm(tmp_path: Path) -> None:
    first = NORMAL.replace("chat: ops", "chat: ops, continue: true")
    vault = "  - {name: vault, matchers: ['instance=~\"db9.*\"'], policy: critical, chat: watch, priority: critical}\n"
    async with a_world(tmp_path, changes=[(ROUTE, first + vault), (POLICIES, CLIMB), FEW]) as town:
        await _breaks_out(town, 6)
        await town.advance(minutes=1)
        await town.press("Acknowledge", by=JONAS)
        before = len(town.phone("aigerim").texts)
        await town.post("alertmanager", _trouble(9))  # somebody has the storm that it joins, and nobody this
        await town.advance(seconds=5)
        (text,) = town.phone("aigerim").texts[before:]
        assert text.startswith("Trouble0 db9")


async def test_an_acknowledgement_that_is_over_asks_once_for_all(town: World) -> None:
    await _breaks_out(town, 6)
    await town.advance(minutes=1)
    await town.press("Acknowledge", by=JONAS)
    await town.advance(hours=2, minutes=1)
    assert len(town.phone("jonas").texts) == 1
    counts = await town.bridge.store.read(lambda tx: tx.incident_counts())
    assert sorted(counts.values()) == [0, 7]
    await town.advance(minutes=21)
    assert len(town.phone("aigerim").texts) == 3


async def test_what_ends_counts_down_and_the_last_one_ends_the_storm(town: World) -> None:
    await _breaks_out(town, 6)
    for number in range(1, 6):
        await town.post("alertmanager", _over(number))
    await town.advance(seconds=20)
    storm = await _storm(town)
    assert (storm["state"], storm["firing"]) == ("triggered", 1)
    assert storm["title"] == "1 alert on 1 host, worst: Trouble0 db6.example.net"
    await town.post("alertmanager", _over(6))
    await town.advance(hours=1)
    assert (await _storm(town))["state"] == "resolved"
    notes = [card.text for card in town.ops.cards if "is over after" in card.text and "The storm" in card.text]
    assert len(notes) == 1 and "all 6 alerts are over" in notes[0]
    assert [len(town.phone(name).texts) for name in ("aigerim", "jonas")] == [2, 0]


async def test_after_a_calm_one_note_says_what_still_fires(town: World) -> None:
    await _breaks_out(town, 6)
    await town.advance(minutes=1)
    await town.press("Acknowledge", by=JONAS)
    for number in range(1, 5):
        await town.post("alertmanager", _over(number))
    await town.advance(minutes=30)
    notes = [card.text for card in town.ops.cards if card.text.startswith("The storm")]
    assert len(notes) == 1
    assert "2 of 6 alerts still fire, Jonas has it" in notes[0] and "Trouble2 db5" in notes[0]

    await town.post("alertmanager", _trouble(500))  # what comes after it is nobody's yet
    assert town.phone("aigerim").texts[-1].startswith("Trouble2 db500")
    more = [alert("db5", name="Trouble2"), alert("web1", name="Trouble2")]
    await town.post("alertmanager", group(more, name="Trouble2") | {"groupKey": "group 5"})
    assert town.phone("jonas").texts[-1].startswith("Back to you: Trouble2 x2")


async def test_a_second_wave_is_the_same_storm(town: World) -> None:
    await _breaks_out(town, 6)
    await town.advance(minutes=1)
    await town.press("Acknowledge", by=JONAS)
    await town.advance(minutes=10)
    await _breaks_out(town, 6, first=100)
    assert len(await _storms(town)) == 1
    await town.advance(seconds=20)
    assert any("it storms again" in card.text for card in town.ops.cards)
    assert sum(text.startswith("Back to you") for text in town.phone("jonas").texts) == 1


async def test_a_second_wave_of_a_storm_that_nobody_took_climbs_anew(town: World) -> None:
    await _breaks_out(town, 6)
    await town.advance(minutes=50)
    assert any("NOBODY HAS IT" in card.text for card in town.ops.cards)
    before = {name: len(town.phone(name).texts) for name in ("aigerim", "jonas")}
    await _breaks_out(town, 6, first=100)
    await town.advance(minutes=21)
    single, storm = town.phone("aigerim").texts[before["aigerim"] :]
    assert single.startswith("Trouble1 db100") and storm.startswith("12 alerts")
    (called,) = town.phone("jonas").texts[before["jonas"] :]
    assert called.startswith("12 alerts")
    assert len(await _storms(town)) == 1


async def test_waves_do_not_keep_a_climb_from_its_second_rung(town: World) -> None:
    await _breaks_out(town, 6)
    for wave in range(1, 4):
        await town.advance(minutes=6)
        await _breaks_out(town, 6, first=100 * wave)
    await town.advance(minutes=3)
    assert [text[:9] for text in town.phone("jonas").texts] == ["24 alerts"]
    assert any("it storms again" in card.text for card in town.ops.cards)


NIGHT = """time_intervals:
  - {name: night, time_intervals: [{times: [{start_time: "%s", end_time: "%s"}]}]}
watch: {chat"""


def _with_a_night(begins: str, ends: str, of_the_route: str) -> list[tuple[str, str]]:
    """The town again, with hours of UTC in which its route is another one."""
    route = NORMAL.replace("chat: ops", f"chat: ops, {of_the_route}")
    return [(ROUTE, route), (POLICIES, CLIMB), FEW, ("watch: {chat", NIGHT % (begins, ends))]


async def test_what_joins_a_quiet_storm_by_day_pages_for_all_of_it(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=_with_a_night("03:00", "03:12", "mute_time_intervals: [night]")) as town:
        await _breaks_out(town)
        assert town.phone("aigerim").texts == []
        town.clock.advance(121)  # its route pages now, and this comes before anything else
        await town.post("alertmanager", _trouble(100))
        await town.advance(minutes=21)
        for name in ("aigerim", "jonas"):
            (text,) = town.phone(name).texts
            assert " alerts on " in text


async def test_a_storm_over_the_edge_of_quiet_hours_pages(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=_with_a_night("03:11", "04:00", "mute_time_intervals: [night]")) as town:
        await town.advance(seconds=50)
        await _breaks_out(town, 3)
        await town.advance(seconds=15)
        await _breaks_out(town, 4, first=50)
        await town.advance(minutes=75)
        assert town.phone("aigerim").texts[-1].startswith("7 alerts")
        assert [text[:8] for text in town.phone("jonas").texts] == ["7 alerts"]


async def test_a_second_wave_pages_by_the_policy_of_its_own_hours(tmp_path: Path) -> None:
    changes = _with_a_night("03:00", "03:40", "policy_at: {night: night}")
    by_night = (POLICIES, CLIMB + "  night:\n    steps: [{notify: [dana]}]\n")
    async with a_world(tmp_path, changes=[*changes[:1], by_night, *changes[2:]]) as town:
        await _breaks_out(town)
        await town.advance(minutes=40)
        assert [len(town.phone(name).texts) for name in ("dana", "aigerim", "jonas")] == [2, 0, 0]
        await _breaks_out(town, first=100)
        await town.advance(minutes=21)
        assert town.phone("aigerim").texts[-1].startswith("16 alerts")
        assert [text[:9] for text in town.phone("jonas").texts] == ["16 alerts"]


async def test_who_says_that_a_storm_is_over_has_what_still_fires(town: World) -> None:
    await _breaks_out(town, 6)
    await town.advance(minutes=1)
    storm = await _storm(town)
    await town.press("Acknowledge", by=AIGERIM)
    for number in range(1, 4):
        await town.post("alertmanager", _over(number))
    await town.advance(seconds=5)
    await town.press("Resolve", by=AIGERIM)
    found = (await town.api("GET", "/incidents"))["items"]
    assert [(one["title"], one["state"]) for one in found] == [
        (f"Trouble{number % 3}", "acknowledged") for number in (6, 5, 4)
    ]
    assert (await _storm(town))["state"] == "resolved"
    assert storm["id"] not in {one["id"] for one in found}
    await town.advance(hours=2, minutes=1)  # they still fire, and ack_for holds for each
    assert sum("Trouble" in text for text in town.phone("aigerim").texts[2:]) >= 1


async def test_what_still_fires_of_a_storm_that_somebody_ended_asks_once_for_all(town: World) -> None:
    await _breaks_out(town, 9)
    await town.advance(minutes=1)
    await town.press("Acknowledge", by=JONAS)
    await town.advance(seconds=5)
    await town.press("Resolve", by=JONAS)
    taken = await town.bridge.store.read(lambda tx: tx.incidents(limit=1))
    said = await town.bridge.dispatcher.acknowledge(taken[0].id, Asker("aigerim", Role.OPERATOR))
    assert isinstance(said, Answered) and said.changed
    await town.post("alertmanager", _over(1))
    await town.advance(hours=1, minutes=58)
    messages = len(town.ops.cards)
    await town.advance(minutes=3)
    assert [text.split(",")[0] for text in town.phone("jonas").texts] == ["Back to you: 7 alerts on 7 hosts"]
    (rang,) = town.ops.cards[messages:]
    assert "7 alerts on 7 hosts" in rang.text
    assert not any("Jonas has it" in card.text for card in town.ops.cards if card.text.startswith("🟡"))
    await town.advance(minutes=20)
    assert "7 alerts on 7 hosts" in town.phone("aigerim").texts[-1]
    assert sum(card.text.startswith("The storm") for card in town.ops.cards) == 1


async def test_a_storm_that_begins_again_soon_after_somebody_ended_it_asks_for_all_of_it(town: World) -> None:
    await _breaks_out(town, 6)
    await town.advance(minutes=1)
    await town.press("Acknowledge", by=JONAS)
    await town.advance(seconds=5)
    await town.press("Resolve", by=JONAS)
    await town.advance(minutes=5)
    await _breaks_out(town, 6, first=100)
    counts = await town.bridge.store.read(lambda tx: tx.incident_counts())
    assert sorted(counts.values()) == [0, 13]
    assert len(await _storms(town)) == 1
    await town.advance(minutes=1)
    assert town.phone("jonas").texts[-1].startswith("Back to you: 11 alerts")  # the sixth came after it


async def test_whoever_takes_one_of_many_takes_it_out_of_the_storm(town: World) -> None:
    await _breaks_out(town, 6)
    await town.advance(minutes=1)
    taken = await town.bridge.store.read(lambda tx: tx.members((tx.open_incidents([("(storm)", "critical")]))[0].id))
    said = await town.bridge.dispatcher.acknowledge(taken[0], Asker("jonas", Role.RESPONDER))
    assert isinstance(said, Answered) and said.incident.storm is None
    assert (await _storm(town))["firing"] == 5
    assert (await _storm(town))["state"] == "triggered"


async def test_a_restart_in_the_middle_of_a_storm_changes_nothing(town: World) -> None:
    await _breaks_out(town, 6)
    await town.sleeps()
    await town.wakes()
    await _breaks_out(town, 4, first=100)
    assert len(await _storms(town)) == 1
    await town.advance(minutes=1)
    assert town.phone("aigerim").texts[-1].startswith("10 alerts")
    await town.sleeps()
    town.clock.advance(900)
    await town.wakes()
    await town.advance(minutes=10)
    assert sum(card.text.startswith("The storm") for card in town.ops.cards) == 1
    assert [len(town.phone(name).texts) for name in ("aigerim", "jonas")] == [2, 1]


async def test_a_clock_set_back_does_not_make_a_calm_storm_grow(town: World) -> None:
    await _breaks_out(town, 6)
    await town.advance(minutes=1)
    await town.press("Acknowledge", by=JONAS)
    await town.post("alertmanager", _over(1))
    town.clock.jump(-7200)
    await town.advance(minutes=20)
    before = [len(town.phone(name).texts) for name in ("aigerim", "jonas")]
    await town.post("alertmanager", _trouble(77))
    await town.advance(minutes=1)
    assert [len(town.phone(name).texts) for name in ("aigerim", "jonas")] == [before[0] + 1, before[1]]
    assert town.phone("aigerim").texts[-1].startswith("Trouble2 db77")
    assert (await _storm(town))["state"] == "acknowledged"


async def test_a_clock_set_back_makes_no_storm_of_slow_troubles(town: World) -> None:
    for number in range(8):
        await town.post("alertmanager", _trouble(number))
        await town.advance(seconds=16)
    await town.post("alertmanager", _over(1))
    town.clock.jump(-3600)
    await town.advance(minutes=5)
    await town.post("alertmanager", _trouble(77))
    assert await _storms(town) == []


async def test_storms_may_be_switched_off(tmp_path: Path) -> None:
    off = [("watch: {chat", 'storm: "off"\nlimits: {per_person: {1h: 100}}\nwatch: {chat')]
    async with a_world(tmp_path, changes=[*TO_CLIMB, *off]) as world:
        await _breaks_out(world, 21)
        assert len(world.phone("aigerim").texts) == 21
