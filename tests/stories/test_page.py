"""A webhook becomes one SMS per person and one card, and both tell the truth to the end."""

from pathlib import Path

import pytest

from tests.world import World, a_world, alert, firing, group, resolved

FIRST_TEXT = "HostOutOfDiskSpace db1.example.net: Disk is almost full (< 10% left) 08:09 #1"


async def test_an_alert_reaches_its_people_and_the_card_shows_it_arrive(world: World) -> None:
    told = await world.post("alertmanager", firing("db1"))

    assert world.phone("aigerim").texts == [FIRST_TEXT]
    assert world.phone("jonas").texts == [FIRST_TEXT]
    assert "HostOutOfDiskSpace db1" in world.card.text
    receipt = await world.api("GET", f"/receipts/{told['receipt']}")
    assert receipt["result"]["incidents"] == [{"id": 1, "what": "opened"}]

    await world.advance(seconds=30)
    assert world.card.text.count("on the handset") == 2

    await world.post("alertmanager", resolved("db1"))
    await world.advance(seconds=5)
    assert "over" in world.card.text and "resolved by alertmanager" in world.card.text
    assert len(world.ops.cards) == 1
    assert len(world.mobizon.sent) == 2


async def test_retries_twins_and_reminders_page_nobody_again(world: World) -> None:
    first = await world.post("alertmanager", firing("db1"))
    retry = await world.post("alertmanager", firing("db1"))
    twin = await world.post("alertmanager", firing("db1", externalURL="http://other-alertmanager.example.net"))
    await world.advance(hours=4)
    reminder = await world.post("alertmanager", firing("db1"))

    said = [(await world.api("GET", f"/receipts/{r['receipt']}"))["result"].get("repeated")
            for r in (first, retry, twin, reminder)]  # fmt: skip
    assert said == [None, "duplicate", "duplicate", "reminder"]
    assert len(world.mobizon.sent) == 2
    assert [card.text[:3] for card in world.ops.cards if "NOBODY" not in card.text] == ["🔴 #"]


async def test_alerts_that_join_change_only_the_card(world: World) -> None:
    await world.post("alertmanager", firing("db1"))
    await world.post("alertmanager", firing("db1", "db2", "db3"))
    await world.advance(seconds=10)

    assert "db2" in world.card.text and "3" in world.card.text
    assert len(world.mobizon.sent) == 2

    both = [alert("db1", status="resolved"), alert("db2"), alert("db3")]
    await world.post("alertmanager", group(both))
    await world.advance(seconds=10)
    assert "over" not in world.card.text  # a mixed group still fires

    await world.post("alertmanager", resolved("db1", "db2", "db3"))
    await world.advance(seconds=5)
    assert "over" in world.card.text
    assert len(world.mobizon.sent) == 2


async def test_what_ends_before_it_was_sent_wakes_nobody(world: World) -> None:
    await world.mobizon.stop()
    await world.post("alertmanager", firing("db1"))
    await world.advance(seconds=20)
    await world.post("alertmanager", resolved("db1"))
    await world.mobizon.start()
    await world.advance(minutes=30)

    assert world.mobizon.sent == []
    assert "over" in world.ops.cards[0].text


async def test_a_mobizon_that_is_away_delays_a_page_and_never_doubles_it(world: World) -> None:
    await world.mobizon.stop()
    await world.post("alertmanager", firing("db1"))
    await world.advance(minutes=10)
    assert "Mobizon cannot be used" in world.watch.last.text
    await world.mobizon.start()
    await world.advance(minutes=10)

    assert [len(world.phone(name).texts) for name in ("aigerim", "jonas")] == [1, 1]
    assert world.phone("aigerim").texts[0].startswith("LATE 1")
    assert "over" in world.watch.last.text


async def test_a_firing_that_lags_behind_its_own_resolve_is_old_news(world: World) -> None:
    await world.post("alertmanager", firing("db1"))
    await world.post("alertmanager", resolved("db1"))
    await world.post("alertmanager", firing("db1"))  # an HA twin that woke up late
    assert len(world.mobizon.sent) == 2

    await world.post("alertmanager", resolved("db9"))
    await world.post("alertmanager", firing("db9"))  # its resolve came first
    assert len(world.mobizon.sent) == 2

    again = group([alert("db1", starts_at="2026-11-20T03:10:00Z")])
    await world.post("alertmanager", again)  # another outbreak
    assert len(world.mobizon.sent) == 4


async def test_routes_choose_by_matchers_and_the_rest_only_shows(world: World) -> None:
    await world.post("alertmanager", firing("web1", name="HighLatency", severity="warning"))

    assert world.mobizon.sent == []
    assert "HighLatency" in world.card.text
    assert world.card.silent


async def test_a_route_in_the_address_replaces_matching(world: World) -> None:
    await world.post("alertmanager", firing("web1", severity="warning"), route="critical")
    assert len(world.mobizon.sent) == 2

    await world.post("alertmanager", firing("web2", name="Odd"), route="no-such-route")
    assert len(world.mobizon.sent) == 2
    assert 'no route is called "no-such-route"' in world.watch.last.text


async def test_what_no_route_wants_is_shown_in_the_watch_chat(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[("  - {name: rest, chat: ops, silent: true}\n", "")]) as world:
        await world.post("alertmanager", firing("web1", severity="warning"))
        assert "no route matched" in world.watch.last.text
        assert world.mobizon.sent == []


async def test_with_continue_one_webhook_texts_a_person_once(tmp_path: Path) -> None:
    first = "  - {name: first, policy: one, chat: watch, continue: true}\n  - {name: critical"
    async with a_world(tmp_path, changes=[("  - {name: critical", first)]) as world:
        await world.post("alertmanager", firing("db1"))
        assert [len(world.phone(name).texts) for name in ("aigerim", "jonas")] == [1, 1]
        assert "HostOutOfDiskSpace" in world.watch.last.text and "HostOutOfDiskSpace" in world.card.text
        second, first_told = (await world.api("GET", "/incidents"))["items"]
        timeline = (await world.api("GET", f"/incidents/{second['id']}"))["timeline"]
        assert f"aigerim told by #{first_told['id']}" in [line["what"] for line in timeline]


async def test_a_page_too_old_for_its_route_is_not_sent(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[("priority: critical", "priority: critical, ttl: 5m")]) as world:
        await world.mobizon.stop()
        await world.post("alertmanager", firing("db1"))
        await world.advance(minutes=6)
        await world.mobizon.start()
        await world.advance(minutes=10)
        assert world.mobizon.sent == []
        assert "too old" in world.ops.cards[0].text
        assert "NOBODY HAS IT" in world.card.text


async def test_alerts_the_sender_left_out_keep_an_incident_open(world: World) -> None:
    await world.post("alertmanager", firing("db1", "db2", truncatedAlerts=3))
    listed = [alert("db1", status="resolved"), alert("db2", status="resolved")]
    await world.post("alertmanager", group(listed) | {"truncatedAlerts": 3})
    await world.advance(seconds=10)
    assert "over" not in world.card.text

    await world.post("alertmanager", resolved("db1", "db2", truncatedAlerts=3))
    await world.advance(seconds=10)
    assert "over" in world.card.text


async def test_anything_with_curl_can_page(world: World) -> None:
    await world.post("generic", {"message": "Disk is full on db1", "severity": "critical", "key": "disk-db1"})
    assert len(world.mobizon.sent) == 2
    assert "Disk is full on db1" in world.phone("aigerim").texts[0]

    await world.post("generic", {"message": "Disk is full on db1", "severity": "critical", "key": "disk-db1"})
    assert len(world.mobizon.sent) == 2

    await world.post("generic", {"message": "fine again", "key": "disk-db1", "status": "resolved"})
    await world.advance(seconds=5)
    assert "over" in world.card.text


async def test_a_payload_never_says_whom_to_call(world: World) -> None:
    numbers = {"to": ["+77010000009"], "phone": "+77010000009", "recipient": "+77010000009"}
    await world.post("generic", {"message": "x", "severity": "critical", **numbers, "labels": numbers | {"to": "x"}})
    assert {sms.to for sms in world.mobizon.sent} == {"77010000001", "4915112345678"}


async def test_a_refused_number_fails_alone(world: World) -> None:
    world.mobizon.answers(code=1, data={"recipient": "no way to send there"}, times=1, method="sendsmsmessage")
    await world.post("alertmanager", firing("db1"))
    await world.advance(seconds=30)

    assert len(world.mobizon.sent) == 1
    assert "no way to send there" in world.card.text and "on the handset" in world.card.text


@pytest.mark.parametrize(
    ("arrange", "words"),
    [("turns_off", "expired"), ("is_blacklisted", "rejected"), ("is_landline", "not delivered")],
)
async def test_the_card_says_why_an_sms_did_not_arrive(world: World, arrange: str, words: str) -> None:
    getattr(world.phone("jonas"), arrange)()
    await world.post("alertmanager", firing("db1"))
    await world.advance(hours=2)
    assert words in world.card.text
    assert "on the handset" in world.card.text  # the other one


async def test_a_storm_of_typed_and_paged_sms_stops_at_the_limits(tmp_path: Path) -> None:
    limits = [("watch: {chat", "limits: {per_person: {1h: 3}, total: {1d: 100}}\nwatch: {chat")]
    async with a_world(tmp_path, changes=limits) as world:
        for number in range(6):
            await world.post("alertmanager", firing(f"db{number}", name=f"Trouble{number}"))
        await world.advance(seconds=20)
        assert len(world.phone("aigerim").texts) == 3
        waiting = [card.text for card in world.ops.cards if "has had its share of SMS" in card.text]
        assert sum("NOBODY HAS IT" not in text for text in waiting) == 3
        assert sum("NOBODY HAS IT" in text for text in waiting) == 3  # no phone is left to call

        await world.advance(hours=1)
        assert len(world.phone("aigerim").texts) == 4
        assert "3 incidents: Trouble3 db3" in world.phone("aigerim").texts[3]


async def test_a_source_without_hours_of_its_own_may_fire_again_at_once(world: World) -> None:
    body = {"message": "Disk is full on db1", "severity": "critical", "key": "disk-db1"}
    for round_ in (1, 2, 3):
        await world.post("generic", body)
        assert len(world.mobizon.sent) == 2 * round_
        await world.post("generic", body | {"status": "resolved"})
        await world.advance(minutes=1)
    assert world.phone("aigerim").texts[0].endswith("08:10 #1")
