"""What webhooks mean together: twins that lag, backlogs understood out of order, groups that end and begin again."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.admission import Parsed
from bridge.ports import Card, CardKind
from bridge.sources import parse
from tests.world import World, a_world, alert, firing, group

FIRST, SECOND = "2026-11-20T03:05:00Z", "2026-11-20T03:09:30Z"
LOG_FIRST = "  - {name: log, policy: one, chat: watch, continue: true}\n  - {name: critical"
ONE_FOR_WARNINGS = "  - {name: dbs, matchers: ['severity=\"warning\"'], policy: one, chat: ops}\n  - {name: rest"


async def keep(world: World, *bodies: dict[str, Any], source: str = "alertmanager") -> None:
    """Receive webhooks that nobody has understood yet, a second apart."""
    for body in bodies:
        await world.bridge.dispatcher.keep_webhook(source, None, {}, json.dumps(body).encode())
        world.clock.advance(1)


async def waiting(world: World) -> list[Parsed]:
    receipts = await world.bridge.store.read(lambda tx: tx.receipts_waiting(10))
    return [Parsed(receipt, parse("alertmanager", receipt.body, receipt.received_at)) for receipt in receipts]


async def open_groups(world: World) -> set[str]:
    return {incident.group_key for incident in await world.bridge.inquiries.incidents(limit=1000)}


def said(key: str, status: str = "firing") -> dict[str, Any]:
    return {"message": f"trouble {key}", "key": key, "status": status}


@pytest.mark.parametrize("year", ["9999", "2027", "0002", "1999"])
async def test_a_start_that_no_clock_would_say_is_no_start(world: World, year: str) -> None:
    await world.post("alertmanager", group([alert("db1", starts_at=f"{year}-12-31T23:59:59Z")]))

    assert world.phone("aigerim").texts[0].endswith(" 08:10 #1")
    await world.advance(seconds=10)
    assert "HostOutOfDiskSpace" in world.card.text


async def test_alerts_of_one_group_on_two_routes_are_told_to_a_person_apart(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[("  - {name: rest", ONE_FOR_WARNINGS)]) as world:
        await world.mobizon.stop()
        both = [alert("db1"), alert("web1", severity="warning")]
        await world.post("alertmanager", group(both))
        await world.post("alertmanager", group([alert("db1", status="resolved"), both[1]]))
        await world.mobizon.start()
        await world.advance(minutes=10)

        (text,) = world.phone("aigerim").texts
        assert "web1" in text
        assert world.phone("jonas").texts == []


async def test_an_incident_with_more_alerts_is_told_beside_the_one_with_fewer(tmp_path: Path) -> None:
    only_db1 = "  - {name: log, matchers: ['instance=~\"db1.*\"'], policy: one, chat: watch, continue: true}\n"
    async with a_world(tmp_path, changes=[("  - {name: critical", only_db1 + "  - {name: critical")]) as world:
        await world.post("alertmanager", firing("db1", "db2"))
        assert len(world.phone("aigerim").texts) == 2


async def test_one_sms_for_two_incidents_lives_as_long_as_either_wants(tmp_path: Path) -> None:
    short = LOG_FIRST.replace("chat: watch", "chat: watch, ttl: 1m")
    async with a_world(tmp_path, changes=[("  - {name: critical", short)]) as world:
        await world.mobizon.stop()
        await world.post("alertmanager", firing("db1"))
        await world.advance(minutes=5)
        await world.mobizon.start()
        await world.advance(minutes=10)
        assert [len(world.phone(name).texts) for name in ("aigerim", "jonas")] == [1, 1]


async def test_one_sms_for_two_incidents_is_as_urgent_as_either(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[("  - {name: critical", LOG_FIRST)]) as world:
        await world.mobizon.stop()
        await world.post("alertmanager", firing("db1"))
        rows = await world.bridge.store.read(lambda tx: tx.notifications_of([1, 2]))
        assert [row.target for row in rows].count("aigerim") == 1
        assert {row.priority.name for row in rows} == {"CRITICAL"}


async def test_a_late_twin_does_not_put_an_older_outbreak_over_a_newer_one(world: World) -> None:
    db2 = alert("db2", starts_at=FIRST)
    early, early_over = (alert("db1", starts_at=FIRST, status=status) for status in ("firing", "resolved"))
    for db1 in (early, early_over, alert("db1", starts_at=SECOND), early, early_over):
        await world.post("alertmanager", group([db1, db2]))

    (incident,) = await world.bridge.inquiries.incidents()
    assert incident.firing == 2


async def test_a_resolve_before_its_firing_counts_though_an_earlier_outbreak_is_known(world: World) -> None:
    for starts_at in (FIRST, SECOND):
        over = group([alert("db1", starts_at=starts_at, status="resolved")]) | {"status": "resolved"}
        if starts_at == FIRST:
            await world.post("alertmanager", group([alert("db1", starts_at=starts_at)]))
        await world.post("alertmanager", over)
    await world.post("alertmanager", group([alert("db1", starts_at=SECOND)]))

    assert await open_groups(world) == set()
    assert len(world.mobizon.sent) == 2


async def test_a_group_that_is_over_with_no_alerts_is_over(world: World) -> None:
    await world.post("alertmanager", firing("db1", "db2"))
    await world.post("alertmanager", group([]) | {"status": "resolved"})
    await world.advance(seconds=5)
    assert "over" in world.card.text
    assert await open_groups(world) == set()


async def test_a_group_may_end_and_begin_again_in_one_breath(world: World) -> None:
    await world.post("alertmanager", group([alert("db1", starts_at=FIRST)]))
    over = group([alert("db1", starts_at=FIRST, status="resolved")]) | {"status": "resolved"}
    again = group([alert("db1", starts_at=SECOND)])
    await keep(world, over, again)
    await world.bridge.dispatcher.accept(await waiting(world))
    await world.settle()

    receipts = await world.bridge.store.read(lambda tx: tx.receipts(world.clock.now().replace(hour=0), 10))
    newest, middle, _ = (receipt.result["incidents"] for receipt in receipts)
    assert ([one["what"] for one in newest], [one["what"] for one in middle]) == (["opened again"], ["resolved"])
    assert len(world.mobizon.sent) == 4


async def test_a_backlog_ends_with_what_was_said_last(world: World) -> None:
    """Half of what waits is the newest: it is understood before what came earlier."""
    await keep(world, said("over"), said("fires"), *(said(f"old {n}") for n in range(130)), source="generic")
    await keep(world, said("fires", "resolved"), said("lapsed"), source="generic")
    await keep(world, *(said(f"mid {n}") for n in range(120)), source="generic")
    ends = [said("fires"), said("over", "resolved"), said("lapsed", "resolved")]
    await keep(world, *ends, source="generic")
    await world.settle()

    assert {"over", "fires", "lapsed"} & await open_groups(world) == {"fires"}


async def test_what_is_understood_late_does_not_undo_what_a_whole_group_said_later(world: World) -> None:
    """The end names nobody, and what fired is understood only after it."""
    start = firing("db1", "db2")
    await keep(world, *(said(f"old {n}") for n in range(120)), source="generic")
    await keep(world, start)
    await keep(world, *(said(f"mid {n}") for n in range(120)), source="generic")
    await keep(world, group([]) | {"status": "resolved"})
    await world.settle()

    assert start["groupKey"] not in await open_groups(world)
    assert world.mobizon.sent == []


async def test_a_clock_that_is_set_back_makes_no_old_news(world: World) -> None:
    body = {"message": "Disk is full", "severity": "critical", "key": "disk"}
    await world.post("generic", body)
    await world.post("generic", body | {"status": "resolved"})
    world.clock.jump(-3600)
    await world.post("generic", body)
    assert await open_groups(world) == {"disk"}
    await world.post("generic", body | {"status": "resolved"})
    assert await open_groups(world) == set()


async def test_how_many_a_sender_leaves_out_is_its_latest_word(world: World) -> None:
    await keep(world, firing("db1"), firing("db1", truncatedAlerts=3))
    await world.bridge.dispatcher.accept((await waiting(world))[::-1])

    (incident,) = await world.bridge.inquiries.incidents()
    assert incident.truncated == 3


async def test_a_repeat_changes_when_it_was_seen_and_a_new_word_changes_the_card(world: World) -> None:
    def told(summary: str) -> dict[str, Any]:
        return group([alert("db1", severity="info") | {"annotations": {"summary": summary}}])  # its plan moves nothing

    async def cards() -> list[Card]:
        (incident,) = await world.bridge.inquiries.incidents()
        return list(await world.bridge.store.read(lambda tx: tx.cards_of(CardKind.INCIDENT, incident.id)))

    await world.post("alertmanager", told("the disk is full"))
    (first,), before = await world.bridge.inquiries.incidents(), await cards()
    await world.advance(minutes=1)
    await world.post("alertmanager", told("the disk is full"))

    (again,) = await world.bridge.inquiries.incidents()
    assert first.last_seen is not None and again == replace(first, last_seen=first.last_seen + timedelta(minutes=1))
    assert await cards() == before

    await world.post("alertmanager", told("the disk is full and smoke comes out"))
    await world.advance(seconds=5)
    assert "smoke" in world.card.text


async def test_two_prometheis_that_disagree_by_seconds_are_one_outbreak(world: World) -> None:
    first, second = ("2026-11-20T03:09:00Z", "2026-11-20T03:09:30Z")
    await world.post("alertmanager", group([alert("db1", starts_at=second)]))
    await world.post("alertmanager", group([alert("db1", starts_at=first)]))  # the other one tells: moved back
    await world.post("alertmanager", group([alert("db1", starts_at=first, status="resolved")]) | {"status": "resolved"})
    await world.advance(seconds=5)
    assert "over" in world.card.text
    assert len(world.mobizon.sent) == 2


async def test_the_end_of_a_flap_told_twice_ends_only_its_own_outbreak(world: World) -> None:
    first, second = ("2026-11-20T03:09:00Z", "2026-11-20T03:10:00Z")
    over = group([alert("db1", starts_at=first, status="resolved")]) | {"status": "resolved"}
    await world.post("alertmanager", group([alert("db1", starts_at=first)]))
    await world.post("alertmanager", over)
    await world.post("alertmanager", group([alert("db1", starts_at=second)]))
    await world.post("alertmanager", over)  # its answer was lost on the way
    await world.advance(seconds=5)
    assert "over" not in world.card.text
    assert len(world.mobizon.sent) == 4


REMINDED = ("steps: [{notify: [aigerim, jonas]}]", "steps: [{notify: [aigerim]}]\n    remind: true")


async def test_a_reminder_calls_once_more_where_the_policy_says_so(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[REMINDED]) as world:
        await world.post("alertmanager", firing("db1"))
        await world.post("alertmanager", firing("db1"))  # a retry is no reminder
        await world.advance(hours=4)
        assert len(world.phone("aigerim").texts) == 1
        await world.post("alertmanager", firing("db1"))
        assert len(world.phone("aigerim").texts) == 2
        await world.advance(seconds=15)
        await world.post("alertmanager", firing("db1", notification_reason="repeat_interval"))  # its twin's word
        assert len(world.phone("aigerim").texts) == 2
        await world.advance(hours=4)

        await world.press("Acknowledge")
        await world.post("alertmanager", firing("db1"))
        assert len(world.phone("aigerim").texts) == 2  # somebody has it
        timeline = (await world.api("GET", "/incidents/1"))["timeline"]
        assert [entry["what"] for entry in timeline].count("its source reminds of it") == 1


async def test_its_sender_may_say_that_it_reminds(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[REMINDED]) as world:
        await world.post("alertmanager", firing("db1"))
        await world.advance(minutes=10)
        await world.post("alertmanager", firing("db1", notification_reason="repeat_interval"))
        assert len(world.phone("aigerim").texts) == 2


async def test_what_a_webhook_names_and_nobody_knows_lands_on_the_default_with_a_note(world: World) -> None:
    await world.post("alertmanager", firing("db1"), route="no-such-route")
    await world.advance(seconds=5)
    assert 'no route is called "no-such-route"' in world.watch.last.text
    await world.post("alertmanager", firing("db2", name="Odd", severity="odd", receiver="nobody knows this one"))
    await world.advance(seconds=5)
    assert "Odd db2" in world.card.text  # a receiver is only Alertmanager's name for us: labels decide
    assert world.mobizon.sent == []
