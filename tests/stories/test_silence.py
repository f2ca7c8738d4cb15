"""Silence from the chat: asked for once, made once, ended once; and nobody is forgotten when it is over."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.domain.incident import Incident
from bridge.domain.silence import Silence
from bridge.ports import Lost, NotStored, Refused, Silencer
from bridge.requests import Asker
from bridge.silences import Alertmanager
from bridge.silencing import Silencing
from tests.quiet import QuietAlertmanager, quiet_alertmanager
from tests.stories.broken import FullDisk
from tests.world import AIGERIM, CONFIG, DANA, JONAS, World, alert, firing, group, resolved

CLIMB = """policies:
  critical:
    steps:
      - {notify: [aigerim], wait: 5m}
      - {notify: [jonas], wait: 10m, deliver_within: "off"}
    ack_for: 30m
"""
PLAIN = "policies:\n  critical:\n    steps: [{notify: [aigerim, jonas]}]\n"


class Town(World):
    """A town whose Alertmanager can be kept quiet."""

    am: QuietAlertmanager

    def fires(self, *places: str) -> None:
        """What the Alertmanager's list says."""
        self.am.alerts = [alert(place) for place in places]

    def texts(self) -> dict[str, int]:
        return {name: len(self.phone(name).texts) for name in ("aigerim", "jonas")}

    @property
    def incident_card(self) -> str:
        return self.ops.cards[0].text

    def put_in(self, silencer: Silencer | None = None, store: Any = None) -> Silencing:
        """Another tick in the place of the good one."""
        bridge = self.bridge
        other = Silencing(store or bridge.store, silencer or Alertmanager(bridge.config), bridge.clock, bridge.house)
        bridge.ticks[:] = [other if tick.name == other.name else tick for tick in bridge.ticks]
        return other


@asynccontextmanager
async def a_town(folder: Path, config: str) -> AsyncIterator[Town]:
    """A town that is awake, and the Alertmanager that its config names."""
    world = Town(folder, config)
    async with quiet_alertmanager(world.clock) as world.am:
        world.config_text = config.replace(
            "{token: am-secret}", f'{{token: am-secret, api_url: "{world.am.url}/", api_token: am-api}}'
        )
        await world.telegram.start()
        try:
            async with world.mobizon:
                await world.wakes()
                try:
                    yield world
                finally:
                    await world.sleeps()
        finally:
            await world.telegram.stop()


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with a_town(tmp_path, CONFIG.replace(PLAIN, CLIMB)) as world:
        yield world


async def test_silence_is_made_once_for_this_group_and_whoever_pressed_has_it(town: Town) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.advance(seconds=5)
    assert town.card.buttons == ["Acknowledge", "Pass on", "Silence 1h", "Silence 4h", "Source"]
    pressed = await town.press("Silence 1h", by=JONAS)
    await town.advance(seconds=5)

    (silence,) = town.am.silences
    assert pressed.toast == "Asking for 1 h of silence; the card tells the answer."
    assert silence["matchers"] == [
        {"name": name, "value": value, "isRegex": False, "isEqual": True}
        for name, value in alert("db1")["labels"].items()
    ]
    assert silence["createdBy"] == "Jonas via sms-bridge" and "#1" in silence["comment"]
    assert datetime.fromisoformat(silence["endsAt"]) - datetime.fromisoformat(silence["startsAt"]) == timedelta(hours=1)
    assert "Jonas has it" in town.card.text and "Silenced until 09:10 by Jonas." in town.card.text
    assert "asks again 09:10" in town.card.text
    assert town.card.buttons == ["Resolve", "Hand back", "Undo silence", "Source"]

    await town.advance(minutes=50)  # longer than ack_for: the silence decides
    assert town.texts() == {"aigerim": 1, "jonas": 0}
    again = await town.press("Undo silence", by=AIGERIM)
    town.fires("db1")
    await town.advance(seconds=5)
    assert again.toast == "Ending the silence; the card tells how it went."
    assert len(town.am.silences) == 1 and town.am.in_force == []


async def test_undone_whoever_has_it_keeps_it_as_long_as_ever(town: Town) -> None:
    town.fires("db1")
    await town.post("alertmanager", firing("db1"))
    await town.press("Silence 4h", by=JONAS)
    await town.advance(minutes=1)
    await town.press("Undo silence", by=JONAS)
    await town.advance(minutes=1)
    assert "Jonas has it" in town.card.text and "ilence" not in town.card.text
    assert town.card.buttons[2:4] == ["Silence 1h", "Silence 4h"]
    assert town.texts() == {"aigerim": 1, "jonas": 0}

    await town.advance(minutes=29)  # ack_for, from when he took it
    assert town.texts() == {"aigerim": 1, "jonas": 1}
    assert "still fires" in town.ops.cards[-1].text


async def test_what_still_fires_when_the_silence_is_over_goes_first_to_who_had_it_and_climbs(town: Town) -> None:
    town.fires("db1")
    await town.post("alertmanager", firing("db1"))
    await town.press("Silence 1h", by=JONAS)
    await town.advance(minutes=59)
    assert town.texts() == {"aigerim": 1, "jonas": 0}
    await town.advance(minutes=2)
    assert town.texts() == {"aigerim": 1, "jonas": 1}
    assert "the silence is over, and it still fires" in town.ops.cards[-1].text
    await town.advance(minutes=6)
    assert town.texts() == {"aigerim": 2, "jonas": 1}


async def test_what_ended_in_silence_is_over_and_wakes_nobody(town: Town) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.press("Silence 1h", by=JONAS)
    await town.advance(hours=1, minutes=1)
    assert "lists none of it" in town.incident_card
    await town.advance(minutes=5)
    assert "resolved by alertmanager" in town.incident_card and "Jonas had it" in town.incident_card
    await town.advance(hours=1)
    assert town.texts() == {"aigerim": 1, "jonas": 0}
    assert len(town.ops.cards) == 1


async def test_an_alertmanager_that_lost_its_alerts_in_a_restart_ends_nothing(town: Town) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.press("Silence 1h", by=JONAS)
    await town.advance(hours=1, minutes=1)
    town.fires("db1")  # Prometheus told it again
    await town.advance(minutes=5)
    assert town.texts() == {"aigerim": 1, "jonas": 1}


@pytest.mark.parametrize("answers", [[500], [401], [302]])
async def test_whether_it_fires_counts_as_yes_when_nobody_says(town: Town, answers: list[int]) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.press("Silence 1h", by=JONAS)
    town.am.answers = answers
    await town.advance(hours=1, minutes=1)
    assert town.texts() == {"aigerim": 1, "jonas": 1}
    assert "whether it fires alertmanager does not say" in town.ops.cards[-1].text


async def test_an_alert_of_the_group_that_began_in_silence_keeps_it_open(town: Town) -> None:
    await town.post("alertmanager", firing("db1", "db2"))
    await town.press("Silence 1h", by=JONAS)
    names = {matcher["name"] for matcher in town.am.silences[0]["matchers"]}
    assert names == {"alertname", "severity"}  # what both have
    town.fires("db3")
    await town.advance(hours=1, minutes=1)
    assert town.texts() == {"aigerim": 1, "jonas": 1}


async def test_what_joined_narrows_a_later_silence_and_never_widens_the_group(town: Town) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.post(
        "alertmanager", group([alert("db1"), alert("db2") | {"labels": {"alertname": "HostOutOfDiskSpace"}}])
    )
    incidents = {incident.route: incident.labels for incident in await town.bridge.inquiries.incidents()}
    assert incidents == {"critical": alert("db1")["labels"], "rest": {"alertname": "HostOutOfDiskSpace"}}
    await town.post("alertmanager", firing("db1", "db2"))
    (critical, _) = sorted(await town.bridge.inquiries.incidents(), key=lambda incident: incident.route)
    assert critical.labels == {"alertname": "HostOutOfDiskSpace", "severity": "critical"}


def _mixed() -> dict[str, Any]:
    """A group by severity: its alerts have nothing else in common."""
    return group([alert("db1", name="DiskFull"), alert("web7", name="Latency")])


async def test_what_shares_a_severity_only_is_not_silenced_by_it(town: Town) -> None:
    await town.post("alertmanager", firing("db1", name="DiskFull", groupKey=_mixed()["groupKey"]))
    await town.advance(seconds=5)
    old = next(button["callback_data"] for row in town.card.keyboard for button in row if "Silence" in button["text"])
    await town.post("alertmanager", _mixed())
    await town.advance(seconds=5)
    (incident,) = await town.bridge.inquiries.incidents()
    assert incident.labels == {"severity": "critical"}
    assert town.incident_card and not any("Silence" in label for label in town.ops.cards[0].buttons)
    press = town.telegram.press_data(old, JONAS, town.ops.cards[0])
    await town.advance(hours=1)
    assert press.toast == "#1 cannot be silenced from here." and town.am.silences == []


async def test_what_joins_while_its_silence_is_asked_for_never_widens_it(town: Town) -> None:
    town.am.away = True
    await town.post("alertmanager", firing("db1", name="DiskFull", groupKey=_mixed()["groupKey"]))
    await town.press("Silence 1h", by=JONAS)
    await town.post("alertmanager", _mixed())
    town.am.away = False
    await town.advance(minutes=1)
    assert town.am.silences == []
    assert "Not silenced: alertmanager: its alerts are not called the same any more" in town.incident_card


async def test_a_refused_silence_is_told_to_who_pressed_and_they_still_have_it(town: Town) -> None:
    await town.post("alertmanager", firing("db1"))
    town.am.answers = [400]
    await town.press("Silence 1h", by=JONAS)
    await town.advance(seconds=10)
    told = "Jonas: alertmanager is not silenced, it answered 400: not today"
    assert told in town.ops.cards[-1].text
    assert "Not silenced: alertmanager: it answered 400: not today" in town.incident_card
    assert "Jonas has it" in town.incident_card and "Silence 1h" in town.ops.cards[0].buttons
    await town.advance(minutes=29)
    assert town.texts() == {"aigerim": 1, "jonas": 0}
    await town.advance(minutes=2)  # ack_for
    assert town.texts() == {"aigerim": 1, "jonas": 1}


async def test_an_alertmanager_that_is_away_is_asked_again_and_given_up_after_ten_minutes(town: Town) -> None:
    await town.post("alertmanager", firing("db1"))
    town.am.away = True
    await town.press("Silence 1h", by=JONAS)
    await town.advance(seconds=20)
    assert "Not silenced yet: alertmanager: it did not answer" in town.card.text
    town.am.away = False
    await town.advance(minutes=1)
    assert len(town.am.in_force) == 1 and "Silenced until 09:10" in town.card.text

    await town.press("Undo silence", by=JONAS)
    await town.advance(seconds=5)
    town.am.away = True
    await town.press("Silence 4h", by=JONAS)
    await town.advance(minutes=16)
    assert "for 1" in town.ops.cards[-1].text and "is not silenced" in town.ops.cards[-1].text
    town.am.away = False
    await town.advance(hours=1)
    assert town.am.in_force == []


class Forgetful(Alertmanager):
    """A planted mistake: it makes what it is asked for without looking whether it was made before."""

    async def _ours(self, *asked: Any, **how: Any) -> dict[str, str]:
        return {}


@pytest.mark.parametrize(("silencer", "made"), [(Alertmanager, 1), (Forgetful, 2)])
async def test_a_lost_answer_does_not_silence_twice(town: Town, silencer: type[Alertmanager], made: int) -> None:
    town.put_in(silencer(town.bridge.config))
    await town.post("alertmanager", firing("db1"))
    town.am.hangs_up = True
    await town.press("Silence 1h", by=JONAS)
    town.am.hangs_up = False
    await town.advance(minutes=1)
    assert len(town.am.silences) == made
    assert "Silenced until 09:10" in town.card.text


@pytest.mark.parametrize(("silencer", "made"), [(Alertmanager, 1), (Forgetful, 2)])
async def test_dying_after_it_was_made_does_not_silence_twice(
    town: Town, silencer: type[Alertmanager], made: int
) -> None:
    await town.post("alertmanager", firing("db1"))
    dying = town.put_in(store=FullDisk(town.bridge.store))
    with pytest.raises(NotStored):
        await town.press("Silence 1h", by=JONAS)
    assert dying.name and len(town.am.silences) == 1
    await town.sleeps()
    await town.wakes()
    town.put_in(silencer(town.bridge.config))
    await town.advance(minutes=1)
    assert len(town.am.silences) == made


async def test_dying_while_it_is_ended_ends_it_all_the_same(town: Town) -> None:
    town.fires("db1")
    await town.post("alertmanager", firing("db1"))
    await town.press("Silence 1h", by=JONAS)
    await town.advance(seconds=5)
    town.put_in(store=FullDisk(town.bridge.store))
    with pytest.raises(NotStored):
        await town.press("Undo silence", by=JONAS)
    await town.sleeps()
    await town.wakes()
    await town.advance(minutes=1)
    assert town.am.in_force == [] and "ilence" not in town.incident_card


def _asker(town: Town, name: str) -> Asker:
    person = town.bridge.house.value.people[name]
    return Asker(person.name, person.role, person.telegram_id)


class SlowHand(Alertmanager):
    """Somebody presses Undo while the silence is being made."""

    town: Town

    async def create(self, silence: Silence, incident: Incident, by: str) -> str | Refused | Lost:
        made = await super().create(silence, incident, by)
        said = await self.town.bridge.dispatcher.unsilence(incident.id, _asker(self.town, "jonas"))
        assert getattr(said, "changed", False)
        return made


async def test_undone_while_it_is_being_made_it_ends(town: Town) -> None:
    town.fires("db1")
    slow = SlowHand(town.bridge.config)
    slow.town = town
    town.put_in(slow)
    await town.post("alertmanager", firing("db1"))
    await town.press("Silence 1h", by=JONAS)
    await town.advance(minutes=1)
    assert len(town.am.silences) == 1 and town.am.in_force == []


async def test_undone_before_it_could_be_made_it_never_is(town: Town) -> None:
    town.fires("db1")
    await town.post("alertmanager", firing("db1"))
    town.am.away = True
    await town.press("Silence 1h", by=JONAS)
    await town.advance(seconds=10)
    await town.press("Undo silence", by=JONAS)
    town.am.away = False
    await town.advance(hours=2)
    assert town.am.silences == []


@pytest.mark.parametrize("by", ["source", "person"])
async def test_what_is_over_is_silenced_no_longer(town: Town, by: str) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.press("Silence 4h", by=JONAS)
    await town.advance(seconds=5)
    if by == "person":
        await town.press("Resolve", by=JONAS)
    else:
        await town.post("alertmanager", resolved("db1"))
    await town.advance(seconds=10)
    assert town.am.in_force == [] and "over" in town.card.text
    assert town.card.buttons == ["Source"]


async def test_taken_over_in_silence_it_is_asked_about_at_its_end(town: Town) -> None:
    town.fires("db1")
    await town.post("alertmanager", firing("db1"))
    await town.press("Silence 1h", by=JONAS)
    await town.bridge.dispatcher.acknowledge(1, _asker(town, "aigerim"))
    await town.advance(minutes=50)  # longer than ack_for
    assert town.texts() == {"aigerim": 1, "jonas": 0}
    await town.advance(minutes=11)
    assert town.texts() == {"aigerim": 2, "jonas": 0}


async def test_whoever_took_what_fires_anew_is_not_asked_by_the_silence_of_its_last_time(town: Town) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.press("Silence 1h", by=JONAS)
    await town.advance(seconds=30)
    town.am.away = True
    await town.bridge.dispatcher.resolve(1, _asker(town, "jonas"))
    await town.advance(minutes=1)
    again = firing("db1", "db2")
    again["alerts"][0]["startsAt"] = "2026-11-20T03:11:20Z"
    await town.post("alertmanager", again)
    await town.advance(seconds=30)
    await town.bridge.dispatcher.acknowledge(1, _asker(town, "jonas"))
    before = town.texts()
    town.am.away = False
    town.fires("db1", "db2")
    await town.advance(minutes=10)
    assert town.texts() == before and town.am.in_force == []
    await town.advance(minutes=21)  # ack_for
    assert town.texts()["jonas"] == before["jonas"] + 1


async def test_taken_after_the_silence_it_is_not_asked_about_at_once(town: Town) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.press("Silence 1h", by=JONAS)
    await town.advance(hours=1, minutes=2)
    assert "lists none of it" in town.incident_card
    await town.bridge.dispatcher.acknowledge(1, _asker(town, "aigerim"))
    town.fires("db1")  # Prometheus told it again
    await town.advance(minutes=5)
    assert town.texts() == {"aigerim": 1, "jonas": 0}
    await town.advance(minutes=26)  # ack_for
    assert town.texts()["aigerim"] == 2


async def test_who_may_not_and_who_comes_late_change_nothing(town: Town) -> None:
    await town.post("alertmanager", firing("db1"))
    barred = await town.press("Silence 1h", by=DANA)
    assert "role responder" in (barred.toast or "") and town.am.asked == []
    data = next(
        button["callback_data"] for row in town.card.keyboard for button in row if button["text"] == "Silence 4h"
    )
    await town.press("Silence 1h", by=JONAS)
    late = town.telegram.press_data(data, AIGERIM, town.card)
    await town.settle()
    assert late.toast == "#1 is silenced already; Undo comes first."
    undo = data[:-1] + "u"
    await town.post("alertmanager", resolved("db1"))
    for known, words in (
        (data, "#1 is over already."),
        (undo, "#1 is not silenced."),
        (undo.replace("1:", "1:0"), "use"),
    ):
        press = town.telegram.press_data(known, AIGERIM, town.card)
        await town.settle()
        assert words in (press.toast or "")
    assert len(town.am.silences) == 1


async def test_without_an_address_nothing_can_be_silenced(world: World) -> None:
    await world.post("alertmanager", firing("db1"))
    await world.advance(seconds=5)
    assert world.card.buttons == ["Acknowledge", "Source"]
    token = next(button["callback_data"] for row in world.card.keyboard for button in row)
    press = world.telegram.press_data(token[:-1] + "1", JONAS, world.card)
    await world.settle()
    assert press.toast == "#1 cannot be silenced from here."
    await world.post("generic", {"message": "Backup failed", "severity": "critical"})
    await world.advance(seconds=5)
    assert not any("Silence" in label for card in world.ops.cards for label in card.buttons)


class HearsNothing(Alertmanager):
    """A planted mistake: what an Alertmanager does not say is taken for an end."""

    async def fires(self, incident: Incident, fingerprints: Collection[str]) -> bool | Refused | Lost:
        return False


async def test_an_end_that_nobody_told_would_be_noticed(town: Town) -> None:
    town.put_in(HearsNothing(town.bridge.config))
    town.fires("db1")
    await town.post("alertmanager", firing("db1"))
    await town.press("Silence 1h", by=JONAS)
    await town.advance(hours=1, minutes=10)
    assert town.texts() == {"aigerim": 1, "jonas": 0}, "the stories above would be red"
