"""Each page is written for whom it goes to: in their letters, and as long as its route lets it be."""

from pathlib import Path

from tests.world import World, a_world, alert, group

RUSSIAN = "На разделе /var осталось 3.2% свободного места, очистите его, пока база данных не остановилась"
_JONAS = ("  jonas: {", "  jonas: {alphabet: auto, ")
_LONG = ("priority: critical}", "priority: critical, max_segments: 2}")


async def _page(world: World) -> dict[str, str]:
    told = alert("db1")
    told["annotations"] = {"description": RUSSIAN}
    await world.post("alertmanager", group([told]))
    await world.advance(seconds=10)
    return {who: world.phone(who).texts[0] for who in ("aigerim", "jonas")}


async def test_who_reads_latin_gets_the_whole_of_it_in_one_segment(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[_JONAS]) as world:
        sent = await _page(world)
        rows = await world.bridge.store.read(lambda tx: tx.notifications_of([1]))
    assert sent["aigerim"] == "HostOutOfDiskSpace db1: На разделе /var… 3.2% свободного… 08:09 #1"
    assert sent["jonas"] == (
        "HostOutOfDiskSpace db1.example.net: Na razdele /var ostalos 3.2% svobodnogo mesta, "
        "ochistite ego, poka baza dannykh ne ostanovilas 08:09 #1"
    )
    assert {(row.person, row.alphabet, row.segments) for row in rows} == {
        ("aigerim", "unicode", 1),
        ("jonas", "gsm7", 1),
    }


async def test_a_route_may_page_at_greater_length_and_in_letters_of_its_own(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[_LONG]) as world:
        sent = await _page(world)
        assert sent["aigerim"] == f"HostOutOfDiskSpace db1: {RUSSIAN} 08:09 #1"
    changes = [
        ("priority: critical}", "priority: critical, alphabet: gsm7}"),
        ("  jonas: {", "  jonas: {alphabet: unicode, "),
    ]
    (tmp_path / "other").mkdir()
    async with a_world(tmp_path / "other", changes=changes) as world:
        sent = await _page(world)
    assert "Na razdele" in sent["aigerim"] and "На разделе" in sent["jonas"]


async def test_pods_behind_one_exporter_are_told_apart_and_how_bad_it_is(tmp_path: Path) -> None:
    anybody = ("matchers: ['severity=\"critical\"'], ", "")
    async with a_world(tmp_path, changes=[anybody]) as world:
        pods = []
        for number in range(3):
            one = alert("db1")
            one["fingerprint"] = f"pod{number}"
            one["labels"] |= {"pod": f"web-7c9f6d9b5d-x{number}x", "severity": "warning"}
            pods.append(one)
        await world.post("alertmanager", group(pods))
        await world.advance(seconds=10)
        text = world.phone("aigerim").texts[0]
    assert text.startswith("HostOutOfDiskSpace x3 (warning): web-7c9f6d9b5d-x0x web-7c9f6d9b5d-x1x web-7c9f6d9b5d-x2x.")
