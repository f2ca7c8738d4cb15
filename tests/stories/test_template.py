"""A team's own words for its pages: made when the page leaves, frozen, and never a reason for no page."""

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.domain.house import House
from bridge.outbox import Outbox
from bridge.sender import Sender
from tests.stories.broken import FragileOutbox, HalfCharacters, HalfCharactersStopAll
from tests.world import World, a_world, alert, firing, group, resolved

ROUTE = "policy: critical, chat: ops, "
STEPS = "steps: [{notify: [aigerim, jonas]}]"
ALONE = "steps: [{notify: [aigerim], wait: 5m}]"


def templated(template: str) -> tuple[str, str]:
    """The same config, whose pages of route critical are in these words."""
    return ROUTE, f"{ROUTE}template: '{template}', "


def sure_to_fail(world: World) -> None:
    """A template that fails on what no sample had; how, is not the story's business."""
    house: House = world.bridge.house.value
    world.bridge.house.value = replace(house, sms=replace(house.sms, template="{{ 1 / (firing - firing) }}"))


async def test_a_page_is_in_the_words_of_its_route(tmp_path: Path) -> None:
    words = (
        '{{ commonLabels.alertname }} {{ alerts | map(attribute="labels.instance") | map("brief") | join(" ") }}'
        " ({{ severity }}) since {{ since }} to {{ person }}, {{ receiver }} {{ groupLabels.alertname }}"
    )
    async with a_world(tmp_path, changes=[templated(words)]) as world:
        await world.post("alertmanager", firing("db1", "db2"))
        text = "HostOutOfDiskSpace db1 db2 (critical) since 08:09 to {}, bridge HostOutOfDiskSpace #1"
        assert world.phone("aigerim").texts == [text.format("Aigerim")]
        assert world.phone("jonas").texts == [text.format("Jonas")]
        assert world.watch.cards == []


async def test_the_template_of_the_house_is_for_routes_without_one_and_not_for_what_people_page(
    tmp_path: Path,
) -> None:
    changes = [
        ("sms: {", "sms: {template: 'house: {{ title }}', "),
        (
            "{name: rest, chat: ops, silent: true}",
            "{name: rest, policy: one, chat: ops, template: 'rest: {{ title }}'}",
        ),
        ("ops: {id", "ops: {page: one, id"),
    ]
    async with a_world(tmp_path, changes=changes) as world:
        await world.post("alertmanager", firing("db1"))
        await world.post("alertmanager", firing("db2", name="Slow", severity="info"))
        await world.types("/page the shop is down")
        await world.advance(minutes=1)
        texts = world.phone("aigerim").texts
        assert texts[:2] == ["house: HostOutOfDiskSpace #1", "rest: Slow #4"]
        assert texts[2].startswith("the shop is down")


async def test_the_text_is_made_of_what_fires_when_it_leaves(tmp_path: Path) -> None:
    """Alerts that joined meanwhile are in it, those that ended say so, and a restart forgets nothing."""
    words = "{% for a in alerts %}{{ a.place | brief }} {{ a.status }} {{ a.annotations.summary }}, {% endfor %}"
    changes = [templated(words), (STEPS, f"{ALONE}\n    delay: 2m")]
    async with a_world(tmp_path, changes=changes) as world:
        await world.post("alertmanager", firing("db1"))
        await world.sleeps()
        await world.wakes()
        await world.post("alertmanager", group([alert("db1", status="resolved"), alert("db2")]))
        await world.advance(minutes=3)
        said = (
            "db2 firing Host out of disk space (instance db2), db1 resolved Host out of disk space (instance db1), #1"
        )
        assert world.phone("aigerim").texts == [said]


async def test_what_every_page_says_stands_around_them(tmp_path: Path) -> None:
    """How often everybody was called, the number, and the link, which is not cut whatever a template makes."""
    changes = [
        templated("{{ title }} " + "words " * 60),
        (
            'listen: "127.0.0.1:0"',
            'listen: "127.0.0.1:0", public_listen: "127.0.0.1:0", public_url: https://sms.example.net',
        ),
        (STEPS, f"{ALONE}\n    repeat: 1"),
    ]
    async with a_world(tmp_path, changes=changes) as world:
        await world.post("alertmanager", firing("db1"))
        await world.advance(minutes=6)
        first, second = world.phone("aigerim").texts
        assert first.startswith("HostOutOfDiskSpace words") and second.startswith("2nd call. HostOutOfDiskSpace words")
        for text in (first, second):
            assert len(text) <= 160
            assert text[: text.index("#1")].rstrip().endswith("...")
            assert "... #1 https://sms.example.net/a/" in text


async def comes_whatever_its_template(world: World) -> None:
    """The page, in our own words, and the watch chat and the card's timeline say why."""
    await world.post("alertmanager", firing("db1"))
    for name in ("aigerim", "jonas"):
        (text,) = world.phone(name).texts
        assert text.startswith("HostOutOfDiskSpace db1") and "Disk is almost full" in text


async def test_a_template_that_fails_gives_way_to_our_own_words_and_says_so_once(world: World) -> None:
    sure_to_fail(world)
    await comes_whatever_its_template(world)
    (card,) = world.watch.cards
    assert "the template of route critical failed on #1: division by zero" in card.text
    told = (await world.api("GET", "/incidents/1"))["timeline"]
    assert [one["what"] for one in told if "template" in one["what"]] == [
        "the template failed (division by zero (ZeroDivisionError)); our own words stand in for it"
    ]
    await world.post("alertmanager", firing("db2", name="Another"))
    await world.advance(minutes=1)
    assert len(world.phone("aigerim").texts) == 2
    assert len(world.watch.cards) == 1 and "#4" in world.watch.last.text  # edited, it rings no more
    await world.advance(hours=2)
    assert "over" in world.watch.last.text


async def test_a_template_that_renders_nothing_gives_way_too(tmp_path: Path) -> None:
    template = "{{ person }}{{ commonLabels.team }}"  # on the samples it says something
    async with a_world(tmp_path, changes=[templated(template)]) as world:
        house = world.bridge.house.value
        routes = tuple(replace(route, template="{{ commonLabels.team }}") for route in house.routes)
        world.bridge.house.value = replace(house, routes=routes)
        await comes_whatever_its_template(world)
        assert "it makes no text at all" in world.watch.last.text


async def test_were_a_template_to_kill_the_page_it_would_be_seen(world: World) -> None:
    claims_with(world, FragileOutbox)
    with pytest.raises((AssertionError, ValueError)):
        await comes_whatever_its_template(world)


def claims_with(world: World, outbox: type[Outbox]) -> None:
    bridge = world.bridge
    broken = outbox(bridge.store, bridge.clock, bridge.house, bridge.metrics)
    sender = Sender(broken, bridge.gateway, bridge.clock, slots=16)
    bridge.ticks[:] = [sender if tick is bridge.sender else tick for tick in bridge.ticks]
    bridge.sender = sender


async def stops_nobody_elses_page(world: World) -> None:
    """One page cannot be made ready: it gives up and says so, and whoever else is called hears of it."""
    await world.post("alertmanager", firing("db1"))
    await world.advance(seconds=5)
    assert world.phone("aigerim").texts == []
    assert len(world.phone("jonas").texts) == 1
    assert "a mistake of ours (UnicodeEncodeError)" in world.watch.last.text


async def test_a_page_that_cannot_be_made_ready_stops_no_other(world: World) -> None:
    claims_with(world, HalfCharacters)
    await stops_nobody_elses_page(world)


async def test_were_one_page_to_stop_the_others_it_would_be_seen(world: World) -> None:
    claims_with(world, HalfCharactersStopAll)
    with pytest.raises((AssertionError, UnicodeEncodeError)):
        await stops_nobody_elses_page(world)


async def test_of_many_alerts_twenty_are_kept_and_the_rest_counted(tmp_path: Path) -> None:
    words = "{{ alerts | length }} of {{ firing }}, {{ truncatedAlerts }} not shown, {{ alerts[19].labels.instance }}"
    async with a_world(tmp_path, changes=[templated(words)]) as world:
        places = [f"db{n:02}" for n in range(45)]
        await world.post("alertmanager", firing(*places, truncatedAlerts=3))
        assert world.phone("aigerim").texts == ["20 of 45, 28 not shown, db19.example.net:9100 #1"]
        key = [("alertmanager", '{}:{alertname="HostOutOfDiskSpace"}')]
        records = await world.bridge.store.read(lambda tx: tx.alert_records(key, world.clock.now()))
        assert sum(bool(record.told) for record in records) == 20


async def test_a_house_without_templates_keeps_no_more_than_it_did(world: World) -> None:
    await world.post("alertmanager", firing("db1"))
    key = [("alertmanager", '{}:{alertname="HostOutOfDiskSpace"}')]
    (record,) = await world.bridge.store.read(lambda tx: tx.alert_records(key, world.clock.now()))
    assert record.told == {}


async def test_the_end_is_told_in_our_own_words(tmp_path: Path) -> None:
    changes = [templated("pager: {{ title }}"), (STEPS, f"{ALONE}\n    resolved_sms: true")]
    async with a_world(tmp_path, changes=changes) as world:
        await world.post("alertmanager", firing("db1"))
        await world.advance(minutes=1)
        await world.post("alertmanager", resolved("db1"))
        await world.advance(minutes=1)
        page, end = world.phone("aigerim").texts
        assert page == "pager: HostOutOfDiskSpace #1"
        assert end.startswith("OK HostOutOfDiskSpace")
