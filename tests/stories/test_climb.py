"""Somebody always has it: a page climbs until it is taken, and whoever takes it stops it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.world import AIGERIM, DANA, JONAS, World, a_world, alert, firing, group, resolved

CLIMB = """policies:
  critical:
    steps:
      - {notify: [aigerim], wait: 5m}
      - {notify: [jonas], wait: 10m, deliver_within: "off"}
    repeat: 1
    ack_for: 2h
"""
PLAIN = "policies:\n  critical:\n    steps: [{notify: [aigerim, jonas]}]\n"
TO_ALL = (PLAIN, CLIMB)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[World]:
    """A town whose pages climb: Aigerim, five minutes later Jonas, and all of it once more."""
    async with a_world(tmp_path, changes=[TO_ALL]) as world:
        yield world


def _texts(world: World) -> dict[str, int]:
    return {name: len(world.phone(name).texts) for name in ("aigerim", "jonas")}


async def test_a_page_that_nobody_takes_climbs_step_by_step_and_then_the_chat_rings(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    assert _texts(town) == {"aigerim": 1, "jonas": 0}
    assert "next" in town.card.text and "Jonas 08:" in town.card.text

    await town.advance(minutes=4, seconds=50)
    assert _texts(town) == {"aigerim": 1, "jonas": 0}
    await town.advance(seconds=15)
    assert _texts(town) == {"aigerim": 1, "jonas": 1}

    await town.advance(minutes=10)
    assert _texts(town) == {"aigerim": 2, "jonas": 1}
    assert town.phone("aigerim").texts[1].startswith("2nd call. HostOutOfDiskSpace db1")
    await town.advance(minutes=5)
    assert _texts(town) == {"aigerim": 2, "jonas": 2}

    await town.advance(minutes=10)
    rung = town.ops.cards[-1].text
    assert "NOBODY HAS IT" in rung and "Aigerim: on the handset" in rung and "Jonas: on the handset" in rung
    rings = len(town.ops.cards)
    await town.advance(hours=2)
    assert _texts(town) == {"aigerim": 2, "jonas": 2}
    assert len(town.ops.cards) == rings + 4  # 5, 15, 35 and 75 minutes later


async def test_an_acknowledgement_tears_up_what_is_left_and_says_who_has_it(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.advance(minutes=1)
    pressed = await town.press("Acknowledge", by=JONAS)
    await town.advance(hours=1)

    assert pressed.toast == "You have #1."
    assert _texts(town) == {"aigerim": 1, "jonas": 0}
    assert "Jonas has it" in town.card.text
    assert town.card.buttons[:2] == ["Resolve", "Hand back"]

    again = await town.press("Resolve", by=AIGERIM)
    await town.advance(hours=5)
    assert again.toast == "#1 is over."
    assert "resolved by Aigerim" in town.card.text and "Jonas had it" in town.card.text
    assert _texts(town) == {"aigerim": 1, "jonas": 0}


async def test_who_may_not_answer_changes_nothing(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    pressed = await town.press("Acknowledge", by=DANA)  # an observer
    await town.advance(minutes=6)
    assert "role responder" in (pressed.toast or "")
    assert _texts(town) == {"aigerim": 1, "jonas": 1}


@pytest.mark.parametrize("becomes", ["UNDELIV", "REJECTD", "EXPIRED", "DELETED"])
async def test_an_sms_that_does_not_arrive_calls_the_next_at_once(town: World, becomes: str) -> None:
    town.phone("aigerim").refusal = becomes
    await town.post("alertmanager", firing("db1"))
    await town.advance(minutes=1)
    assert _texts(town)["jonas"] == 1
    await town.advance(minutes=9)
    assert _texts(town)["jonas"] == 1  # once a rung


async def test_a_phone_that_stays_silent_calls_the_next_after_deliver_within(town: World) -> None:
    town.phone("aigerim").turns_off()
    await town.post("alertmanager", firing("db1"))
    await town.advance(minutes=1, seconds=50)
    assert _texts(town)["jonas"] == 0
    await town.advance(seconds=15)
    assert _texts(town)["jonas"] == 1
    timeline = (await town.api("GET", "/incidents/1"))["timeline"]
    assert any("not on the handset in time" in entry["what"] for entry in timeline)


async def test_passing_on_calls_the_next_now(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    pressed = await town.press("Pass on", by=AIGERIM)
    assert pressed.toast == "#1: calling the next."
    assert _texts(town) == {"aigerim": 1, "jonas": 1}
    await town.advance(seconds=5)
    assert "\nPassed on by Aigerim, 08:10." in town.card.text
    await town.press("Acknowledge", by=JONAS)
    await town.advance(hours=3)  # longer than ack_for
    assert "Jonas has it" not in town.ops.cards[0].text and "Passed on" not in town.ops.cards[0].text


async def test_handing_back_calls_somebody_else_now(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.press("Acknowledge", by=AIGERIM)
    await town.advance(seconds=2)
    await town.press("Hand back", by=AIGERIM)
    await town.advance(seconds=2)
    assert _texts(town) == {"aigerim": 1, "jonas": 1}
    assert "Aigerim handed it back" in town.ops.cards[-1].text
    await town.advance(seconds=5)
    assert "\nHanded back by Aigerim, 08:10." in town.ops.cards[0].text


async def test_what_joins_after_it_was_taken_makes_it_nobodys_again_and_tells_its_holder_first(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.press("Acknowledge", by=JONAS)
    await town.advance(minutes=1)
    await town.post("alertmanager", firing("db1", "db2"))

    assert _texts(town) == {"aigerim": 1, "jonas": 1}
    assert town.phone("jonas").texts[0].startswith("Back to you: HostOutOfDiskSpace x2")
    await town.advance(minutes=5, seconds=15)
    assert _texts(town) == {"aigerim": 2, "jonas": 1}  # the plan starts over after the first wait


async def test_repeats_of_what_was_taken_wake_nobody(town: World) -> None:
    await town.post("alertmanager", firing("db1", "db2"))
    await town.press("Acknowledge", by=JONAS)
    await town.post("alertmanager", firing("db1", "db2"))
    await town.advance(minutes=30)
    await town.post("alertmanager", firing("db2"))
    assert _texts(town) == {"aigerim": 1, "jonas": 0}


async def test_an_acknowledgement_does_not_last_for_ever(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.press("Acknowledge", by=AIGERIM)
    await town.advance(hours=1, minutes=59)
    assert _texts(town) == {"aigerim": 1, "jonas": 0}
    await town.advance(minutes=2)
    assert _texts(town) == {"aigerim": 2, "jonas": 0}
    assert "still fires" in town.ops.cards[-1].text
    await town.advance(minutes=5)
    assert _texts(town) == {"aigerim": 3, "jonas": 0}


async def test_a_persons_end_holds_against_repeats_but_not_against_news(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.press("Acknowledge", by=AIGERIM)
    await town.advance(seconds=2)
    await town.press("Resolve", by=AIGERIM)
    for _ in range(3):
        await town.advance(minutes=20)
        await town.post("alertmanager", firing("db1"))
    assert _texts(town) == {"aigerim": 1, "jonas": 0}
    assert len((await town.api("GET", "/incidents?all=true"))["items"]) == 1

    await town.post("alertmanager", group([alert("db1", starts_at="2026-11-20T05:00:00Z")]))
    assert _texts(town) == {"aigerim": 2, "jonas": 0}


async def test_what_its_source_ended_after_a_person_did_may_fire_anew(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.press("Acknowledge", by=AIGERIM)
    await town.advance(seconds=2)
    await town.press("Resolve", by=AIGERIM)
    await town.post("alertmanager", resolved("db1"))
    await town.advance(minutes=30)
    await town.post("alertmanager", group([alert("db1", starts_at="2026-11-20T03:10:30Z")]))
    assert _texts(town)["aigerim"] == 2


async def test_what_fires_again_soon_is_the_same_card_and_goes_first_to_who_had_it(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.press("Acknowledge", by=JONAS)
    await town.post("alertmanager", resolved("db1"))
    await town.advance(minutes=4)
    await town.post("alertmanager", group([alert("db1", starts_at="2026-11-20T03:20:00Z")]))

    assert _texts(town) == {"aigerim": 1, "jonas": 1}
    assert [incident["id"] for incident in (await town.api("GET", "/incidents?all=true"))["items"]] == [1]
    assert "2nd time" in town.ops.cards[-1].text
    await town.advance(minutes=6)
    assert _texts(town) == {"aigerim": 2, "jonas": 1}


async def test_while_mobizon_is_away_the_plan_stands_still_and_the_chat_names_everybody(town: World) -> None:
    await town.mobizon.stop()
    await town.post("alertmanager", firing("db1"))
    await town.advance(minutes=20)
    rung = [card.text for card in town.ops.cards if "Call them yourselves" in card.text]
    assert len(rung) == 1 and "Aigerim, Jonas" in rung[0]

    await town.mobizon.start()
    await town.advance(minutes=4)
    assert _texts(town) == {"aigerim": 1, "jonas": 0}
    assert town.phone("aigerim").texts[0].startswith("LATE 2")
    await town.advance(minutes=6)
    assert _texts(town) == {"aigerim": 1, "jonas": 1}


async def test_a_restart_in_the_middle_of_a_climb_skips_and_repeats_nothing(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.advance(minutes=3)
    await town.sleeps()
    town.clock.advance(240)
    await town.wakes()
    await town.settle()
    assert _texts(town) == {"aigerim": 1, "jonas": 1}
    await town.advance(minutes=9)
    assert _texts(town) == {"aigerim": 1, "jonas": 1}
    await town.advance(minutes=2)
    assert _texts(town) == {"aigerim": 2, "jonas": 1}


async def test_those_who_were_paged_hear_who_has_it_and_that_it_is_over(tmp_path: Path) -> None:
    both = CLIMB.replace("    repeat: 1\n", "    taken_sms: true\n    resolved_sms: true\n")
    async with a_world(tmp_path, changes=[(PLAIN, both)]) as world:
        await world.post("alertmanager", firing("db1"))
        await world.advance(minutes=6)
        await world.press("Acknowledge", by=JONAS)
        await world.advance(minutes=1)
        assert world.phone("aigerim").texts[1] == "Jonas has HostOutOfDiskSpace db1 #1"
        assert len(world.phone("jonas").texts) == 1

        await world.post("alertmanager", resolved("db1"))
        await world.advance(minutes=1)
        assert world.phone("aigerim").texts[2].startswith("OK HostOutOfDiskSpace db1: over at ")
        assert world.phone("jonas").texts[1].endswith("Jonas had it. #1")


async def test_the_chat_first_and_a_phone_only_if_nobody_reacts(tmp_path: Path) -> None:
    policy = "policies:\n  critical:\n    steps: [{notify: [chat], wait: 2m}, {notify: [aigerim]}, {notify: [chat]}]\n"
    async with a_world(tmp_path, changes=[(PLAIN, policy)]) as world:
        await world.post("alertmanager", firing("db1"))
        await world.advance(minutes=1)
        assert _texts(world) == {"aigerim": 0, "jonas": 0}
        await world.advance(minutes=1, seconds=5)
        assert _texts(world) == {"aigerim": 1, "jonas": 0}
        await world.advance(minutes=5, seconds=5)
        assert "still nobody has it" in world.ops.cards[-1].text


async def test_a_delay_lets_the_chat_go_first(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[(PLAIN, CLIMB + "    delay: 3m\n")]) as world:
        await world.post("alertmanager", firing("db1"))
        await world.advance(minutes=2)
        await world.press("Acknowledge", by=AIGERIM)
        await world.advance(minutes=10)
        assert _texts(world) == {"aigerim": 0, "jonas": 0}
