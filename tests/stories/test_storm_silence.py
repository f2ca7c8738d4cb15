"""One of many in a storm is silenced: from then on it has an end, and somebody, of its own."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.domain.house import Role
from bridge.requests import Answered, Asker
from tests.stories.test_silence import Town, a_town
from tests.world import AIGERIM, CONFIG, JONAS, firing, resolved

CHANGES = (
    (", priority: critical}", "}"),
    (
        "    steps: [{notify: [aigerim, jonas]}]\n",
        "    steps: [{notify: [aigerim], wait: 20m}, {notify: [jonas], wait: 20m}]\n    ack_for: 2h\n",
    ),
    ("watch: {chat", "storm: {alerts: 5}\nwatch: {chat"),
)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """Aigerim has a storm of eight, and Jonas has silenced the first of them for an hour."""
    config = CONFIG
    for old, new in CHANGES:
        config = config.replace(old, new)
    async with a_town(tmp_path, config) as world:
        await _a_storm_with_one_silenced(world)
        yield world


def _trouble(number: int) -> dict[str, Any]:
    return firing(f"db{number}", groupKey=f"group {number}")


async def _a_storm_with_one_silenced(world: Town) -> None:
    for number in range(1, 9):
        await world.post("alertmanager", _trouble(number))
    await world.advance(seconds=20)
    storm = await _storm(world)
    aigerim, jonas = Asker("aigerim", Role.OPERATOR, AIGERIM), Asker("jonas", Role.RESPONDER, JONAS)
    assert isinstance(await world.bridge.dispatcher.acknowledge(storm["id"], aigerim), Answered)
    assert isinstance(await world.bridge.dispatcher.silence(1, jonas, for_=timedelta(hours=1)), Answered)
    await world.advance(minutes=10)
    assert len(world.am.in_force) == 1


async def _storm(world: Town) -> Any:
    found = (await world.api("GET", "/incidents?all=true"))["items"]
    return next(one for one in found if one["source"] == "(storm)")


async def test_one_that_still_fires_after_its_silence_calls_somebody(town: Town) -> None:
    town.am.alerts = _trouble(1)["alerts"]
    before = town.texts()
    await town.advance(minutes=55)
    assert (await town.api("GET", "/incidents/1"))["state"] == "triggered"
    assert town.phone("aigerim").texts[-1].startswith("Back to you: HostOutOfDiskSpace db1")
    await town.advance(minutes=25)
    assert town.texts() == {"aigerim": before["aigerim"] + 2, "jonas": before["jonas"]}
    await town.advance(minutes=20)
    assert town.texts() == {"aigerim": before["aigerim"] + 2, "jonas": before["jonas"] + 1}
    assert (await _storm(town))["state"] == "acknowledged"


async def test_a_storm_whose_last_one_is_silenced_is_over_and_stays_so(town: Town) -> None:
    for number in range(2, 9):
        await town.post("alertmanager", resolved(f"db{number}", groupKey=f"group {number}"))
    assert (await _storm(town))["state"] == "resolved"
    before = town.texts()
    await town.advance(hours=4)
    assert (await town.api("GET", "/incidents/1"))["state"] == "resolved"
    assert town.texts() == before
    assert not any("NOBODY HAS IT" in card.text for card in town.ops.cards)
