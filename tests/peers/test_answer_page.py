"""The page behind a page's link in a real browser, as wide as a phone, without JavaScript."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.peers.chromium import a_phone
from tests.world import World, a_world, firing

CHANGES = [
    ("steps: [{notify: [aigerim, jonas]}]", "steps: [{notify: [magnum], wait: 5m}, {notify: [jonas]}]"),
    ('listen: "127.0.0.1:0"', 'listen: "127.0.0.1:0", public_url: "https://sms.example.net"'),
]


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "town").mkdir()
    async with a_world(tmp_path / "town", changes=CHANGES) as world:
        await world.post("alertmanager", firing("db1"))
        yield world


def address(world: World) -> str:
    found = re.search(r"https://sms\.example\.net(/a/\w+)$", world.phone("magnum").texts[0])
    assert found
    return f"http://127.0.0.1:{world.bridge.ports[0]}{found[1]}"


async def state(world: World) -> str:
    return str((await world.api("GET", "/incidents/1"))["state"])


@pytest.mark.timeout(200)
async def test_a_press_in_a_real_browser_takes_it_and_a_look_does_not(town: World, tmp_path: Path) -> None:
    async with a_phone(tmp_path / "chromium", dark=True) as phone:
        await phone.goes_to(address(town))
        await phone.pictured(tmp_path / "nobody.png")
        assert "Nobody has it yet" in await phone.html()
        assert await phone.width() <= 390
        for button in ("acknowledge", "pass_on"):
            left, top, width, height = await phone.box(f"button[value={button}]")
            assert width >= 300 and height >= 56, "a thumb at night"
            assert left >= 0 and top + height <= 844, "seen without scrolling"
        await town.advance(seconds=30)
        assert await state(town) == "triggered"

        left, top, width, height = await phone.box("button[value=acknowledge]")
        thumb = top + height  # its lowest point
        await phone.presses("button[value=acknowledge]")
        await town.settle()
        await phone.pictured(tmp_path / "mine.png")
        assert "You have it" in await phone.html()
        assert await state(town) == "acknowledged"
        for button in ("resolve", "hand_back"):
            left, top, width, height = await phone.box(f"button[value={button}]")
            assert top > thumb, "a second tap in the same place presses nothing"
            assert top + height <= 844

        await phone.presses("button[value=resolve]")
        await town.settle()
        await phone.pictured(tmp_path / "over.png")
        assert "resolved by Magnum" in await phone.html()
    await town.advance(minutes=10)
    assert town.phone("jonas").texts == []


@pytest.mark.timeout(200)
async def test_the_style_passes_its_own_policy_in_the_light_too(town: World, tmp_path: Path) -> None:
    async with a_phone(tmp_path / "chromium", width=320, height=568) as phone:
        await phone.goes_to(address(town))
        await phone.pictured(tmp_path / "small.png")
        assert await phone.width() <= 320
        _, _, width, _ = await phone.box("button[value=acknowledge]")
        assert width == 320 - 2 * 20, "as wide as the style makes it; unstyled it is as wide as its word"
        await phone.goes_to(re.sub(r"\w+$", "7fKq2MZp9Wd", address(town)))
        await phone.pictured(tmp_path / "nowhere.png")
        assert "This link leads nowhere" in await phone.html()
