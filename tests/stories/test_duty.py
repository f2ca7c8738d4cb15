"""Whoever has the turn at that very moment is paged; turns are swapped in the chat, and handovers told once."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge import handovers
from bridge.domain.escalation import ROTA
from bridge.domain.notification import State
from bridge.ports import Transaction
from bridge.requests import Asker, Swapped, SwapRequest
from tests.world import AIGERIM, CONFIG, DANA, JONAS, World, a_world, firing

ROTAS = """rotas:
  primary: {people: [aigerim, jonas], every: 1d, since: 2026-11-19, handover: "09:00"}
policies:
  critical:
    steps:
      - {notify: [rota primary], wait: 5m}
      - {notify: [dana], wait: 5m}
      - {notify: [rota primary, aigerim], wait: 5m}
  one:
    steps: [{notify: [aigerim]}]
"""
PLAIN = CONFIG[CONFIG.index("policies:\n") : CONFIG.index("sources:\n")]
BOOKED = ROTAS.replace(
    '{people: [aigerim, jonas], every: 1d, since: 2026-11-19, handover: "09:00"}', "{calendar: turns.ics}"
)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[World]:
    """It is Friday, 08:10. Aigerim has the turn until 09:00, then Jonas for a day."""
    async with _town(tmp_path) as world:
        await world.settle()
        yield world


def _town(folder: Path, config: str = ROTAS) -> AbstractAsyncContextManager[World]:
    return a_world(folder, changes=[(PLAIN, config)])


def _texts(world: World) -> dict[str, int]:
    return {name: len(world.phone(name).texts) for name in ("aigerim", "jonas", "dana")}


def _told(world: World) -> list[str]:
    """What the watch chat heard of turns."""
    return [card.text for card in world.watch.cards if "on call" in card.text.lower()]


async def _says(world: World, text: str, by: int = AIGERIM) -> str:
    await world.types(text, by=by)
    return world.card.text


def _calendar(folder: Path, *events: tuple[str, str, str], name: str = "turns.ics") -> None:
    """A calendar of (title, from, until), hours in UTC."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//nobody//EN"]
    for title, start, end in events:
        lines += ["BEGIN:VEVENT", f"UID:{start}", f"SUMMARY:{title}", f"DTSTART:{start}", f"DTEND:{end}", "END:VEVENT"]
    (folder / name).write_text("\r\n".join([*lines, "END:VCALENDAR", ""]))


async def _reloads(world: World, old: str, new: str) -> None:
    text = world.config_file.read_text()
    assert old in text
    world.config_file.write_text(text.replace(old, new))
    world.config_text = world.config_text.replace(old, new)
    assert await world.bridge.reload() == []
    await world.settle()


# --- who is paged ---------------------------------------------------------------------------------------------


async def test_until_the_handover_it_is_the_one_and_from_then_on_the_other(town: World) -> None:
    await town.advance(minutes=49)
    await town.post("alertmanager", firing("db1", name="Before"))
    assert _texts(town) == {"aigerim": 1, "jonas": 0, "dana": 0}
    await town.advance(minutes=1)
    await town.post("alertmanager", firing("db1", name="After"))
    assert _texts(town) == {"aigerim": 1, "jonas": 1, "dana": 0}


async def _resolved_when_planned(world: World) -> None:
    """The mistake of asking the rota too early: what is planned holds a person, not a rota."""

    def name(tx: Transaction) -> None:
        rows = [row for row in tx.notifications_of([1]) if row.state is State.PLANNED and row.target.startswith(ROTA)]
        assert rows
        tx.save_notifications([(replace(row, target="aigerim"), row) for row in rows])

    await world.bridge.store.write(name)


@pytest.mark.parametrize("planted", [None, pytest.param(_resolved_when_planned, id="asked when planned")])
async def test_a_rung_asks_its_rota_when_it_is_due(town: World, planted: Callable[[World], object] | None) -> None:
    await town.advance(minutes=45)
    await town.post("alertmanager", firing("db1"))  # 08:55, its third rung at 09:05
    assert "Jonas" in town.card.text  # who will be called then
    if planted:
        await _resolved_when_planned(town)
    await town.advance(minutes=11)
    right = {"aigerim": 2, "jonas": 1, "dana": 1}
    assert (_texts(town) == right) is (planted is None)


async def test_a_turn_taken_while_a_page_waits_is_the_takers_page(town: World) -> None:
    await town.mobizon.stop()
    await town.post("alertmanager", firing("db1"))
    await town.types("/oncall take 2h", by=JONAS)
    await town.mobizon.start()
    await town.advance(minutes=4)
    assert _texts(town)["jonas"] == 1 and _texts(town)["aigerim"] == 0
    assert "Jonas  on the handset" in town.ops.cards[0].text.replace("• ", "").replace("✓ ", "")


async def test_what_may_have_left_stays_with_who_may_have_it(town: World) -> None:
    town.mobizon.drops(times=1)
    await town.advance(minutes=48)
    await town.post("alertmanager", firing("db1"))
    await town.advance(minutes=7)  # looked for in vain until 09:03, then sent once more
    assert await _says(town, "/oncall") == "On call: Jonas until Sat 21 Nov 09:00, then Aigerim."
    row = (await town.bridge.store.read(lambda tx: tx.notifications_of([1])))[0]
    assert (row.resent, row.person, row.state) == (True, "aigerim", State.DELIVERED)


async def test_one_person_twice_in_a_rung_gets_one_sms(town: World) -> None:
    await town.types("/oncall take 8h", by=AIGERIM)
    await town.post("alertmanager", firing("db1"))
    await town.advance(minutes=11)
    assert _texts(town) == {"aigerim": 2, "jonas": 0, "dana": 1}
    rows = await town.bridge.store.read(lambda tx: tx.notifications_of([1]))
    assert [(row.state, row.reason) for row in rows if row.reason] == [(State.CANCELLED, "Aigerim is told already")]


async def test_handed_back_it_goes_to_somebody_else_than_the_one_on_call(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.press("Acknowledge", by=AIGERIM)
    await town.advance(seconds=2)
    await town.press("Hand back", by=AIGERIM)
    await town.advance(seconds=5)
    assert _texts(town) == {"aigerim": 1, "jonas": 0, "dana": 1}


async def test_the_night_the_clock_skips_the_handover_comes_as_much_later(tmp_path: Path) -> None:
    in_berlin = ROTAS.replace('"09:00"', '"02:30", time_zone: Europe/Berlin')
    async with _town(tmp_path, in_berlin) as world:
        await world.settle()
        await world.sleeps()  # the winter
        until = datetime(2027, 3, 28, 1, 29, tzinfo=UTC)  # 02:00 became 03:00 at 01:00 UTC
        world.clock.advance((until - world.clock.now()).total_seconds())
        await world.wakes()
        await world.post("alertmanager", firing("db1", name="Before"))
        before = _texts(world)
        await world.advance(minutes=1)
        await world.post("alertmanager", firing("db1", name="After"))
        after = _texts(world)
    assert sorted((before["aigerim"], before["jonas"])) == [0, 1]
    assert (after["aigerim"], after["jonas"]) == (1, 1)


async def test_a_step_of_the_chat_calls_whoever_is_on_call_by_name(tmp_path: Path) -> None:
    steps = "steps: [{notify: [chat], wait: 30m}, {notify: [rota primary], wait: 30m}, {notify: [chat], wait: 5m}]"
    rota, _, others = ROTAS.partition("  critical:\n")
    chat_first = f"{rota}  critical:\n    {steps}\n{others[others.index('  one:') :]}"
    async with _town(tmp_path, chat_first) as town:
        await town.settle()
        await town.post("alertmanager", firing("db1"))
        await town.advance(seconds=5)
        assert "\nOn call: Aigerim\n" in town.card.text and town.card.mentions == {"Aigerim": AIGERIM}
        assert not town.card.silent and _texts(town) == {"aigerim": 0, "jonas": 0, "dana": 0}

        await town.advance(hours=1, minutes=1)  # Jonas has the turn by now
        assert _texts(town) == {"aigerim": 1, "jonas": 0, "dana": 0}
        assert town.card.text.endswith("still nobody has it\nOn call: Jonas")
        assert town.card.mentions == {"Jonas": JONAS} and town.ops.cards[0].mentions == {"Jonas": JONAS}
        await town.advance(minutes=10)
        assert "NOBODY HAS IT" in town.card.text and town.card.mentions == {"Jonas": JONAS}

        await town.press("Acknowledge", by=JONAS)
        await town.advance(seconds=10)
        assert [card.mentions for card in (town.ops.cards[0], town.card)] == [{}, {}]


async def test_a_policy_that_calls_phones_alone_names_nobody_on_its_card(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.advance(seconds=5)
    assert "On call" not in town.card.text and town.card.mentions == {}


# --- /oncall --------------------------------------------------------------------------------------------------


async def test_whose_turn_it_is_and_the_next_eight(town: World) -> None:
    assert await _says(town, "/oncall", DANA) == "On call: Aigerim until Fri 20 Nov 09:00, then Jonas."
    lines = (await _says(town, "/oncall next", DANA)).splitlines()
    assert lines[1:3] == ["Fri 20 Nov 09:00  Jonas", "Sat 21 Nov 09:00  Aigerim"]
    assert len(lines) == 9
    assert await _says(town, "/oncall Primary") == "On call: Aigerim until Fri 20 Nov 09:00, then Jonas."


async def test_a_turn_is_taken_and_cleared(town: World) -> None:
    assert await _says(town, "/oncall take 2d", JONAS) == "On call: Jonas until Sun 22 Nov 08:10, then Aigerim."
    await town.post("alertmanager", firing("db1"))
    assert _texts(town)["jonas"] == 1
    await town.advance(minutes=1)
    assert (await _says(town, "/oncall clear", JONAS)) == (
        "Cleared. On call: Aigerim until Fri 20 Nov 09:00, then Jonas."
    )
    await town.post("alertmanager", firing("db2", name="Later"))
    assert _texts(town)["aigerim"] == 1
    assert (await _says(town, "/oncall clear", JONAS)).startswith("Nothing to clear. On call: Aigerim")


async def test_a_turn_is_given_for_a_weekend(town: World) -> None:
    said = await _says(town, "/oncall dana fri 18:00 sun 18:00")
    assert said.startswith("Dana has it from Fri 20 Nov 18:00 until Sun 22 Nov 18:00. On call: Aigerim")
    assert _told(town) == []  # nobody handed over yet
    assert town.watch.last.text == ("Dana has rota primary from Fri 20 Nov 18:00 until Sun 22 Nov 18:00, says Aigerim.")
    assert "Fri 20 Nov 18:00  Dana\nSun 22 Nov 18:00  Jonas" in await _says(town, "/oncall next")
    await town.sleeps()
    town.clock.advance(10 * 3600)
    await town.wakes()
    await town.post("alertmanager", firing("db1"))
    assert _texts(town) == {"aigerim": 0, "jonas": 0, "dana": 1}


@pytest.mark.parametrize(
    ("typed", "by", "said"),
    [
        ("/oncall take 2h", DANA, "taking turns takes the role responder"),
        ("/oncall dana 2h", JONAS, "takes the role operator"),
        ("/oncall clear", JONAS, "Aigerim said so; what others said takes the role operator"),
        ("/oncall take", JONAS, "For how long? Try 8h"),
        ("/oncall take soon", JONAS, '"soon" is not a time. Try 8h, 2d, fri 18:00'),
        ("/oncall take 2026-11-19 18:00", JONAS, "that ends before it begins, or is over already"),
        ("/oncall take 2026-11-30", JONAS, "At what time? Try 2026-11-30 18:00"),
        ("/oncall take 8h please", JONAS, '"please" is too much'),
        ("/oncall take 0h", JONAS, "0h is no time at all"),
        ("/oncall take 60w", JONAS, "a year ahead at most"),
        ("/oncall take 999999h", JONAS, "is not a time"),
        ("/oncall take 9999-12-31 18:00 9w", JONAS, "longer than calendars reach"),
        ("/oncall take 9999-12-31 23:00 fri 18:00", JONAS, "farther than calendars reach"),
        ("/oncall bob 2h", AIGERIM, '"bob" is nobody\'s name and no rota'),
    ],
)
async def test_what_may_not_be_changes_nothing(town: World, typed: str, by: int, said: str) -> None:
    await town.types("/oncall jonas mon 18:00 2h", by=AIGERIM)
    kept = await town.bridge.store.read(lambda tx: tx.meta("swaps"))
    assert said.casefold() in (await _says(town, typed, by)).casefold()
    assert await town.bridge.store.read(lambda tx: tx.meta("swaps")) == kept


async def test_a_command_that_telegram_brings_again_changes_nothing_again(town: World) -> None:
    town.telegram.type(JONAS, -1001234567890, "/oncall take 2h", topic=7)
    await town.settle()
    update = await town.bridge.store.read(lambda tx: tx.meta("swaps"))
    assert update is not None and update.count("telegram:") == 1
    await town.types("/oncall clear", by=JONAS)
    cause = update[update.index("telegram:") :].split('"')[0]
    jonas = Asker("jonas", town.bridge.house.value.people["jonas"].role)
    given = ("jonas", town.clock.now(), town.clock.now().replace(hour=5))
    again = await town.bridge.dispatcher.swap(SwapRequest("primary", jonas, cause, given))
    assert isinstance(again, Swapped) and not again.changed
    assert (await _says(town, "/oncall")).startswith("On call: Aigerim")


async def test_of_several_rotas_the_chats_own_is_meant_or_it_is_asked(tmp_path: Path) -> None:
    two = ROTAS.replace(
        "policies:\n", "  db: {people: [dana], every: 1w, since: 2026-11-16, handover: monday 09:00}\npolicies:\n"
    )
    async with _town(tmp_path, two) as world:
        assert (await _says(world, "/oncall")).splitlines() == [
            "On call in rota primary: Aigerim until Fri 20 Nov 09:00, then Jonas.",
            "On call in rota db: Dana.",
        ]
        assert await _says(world, "/oncall take 2h") == (
            "Which rota? Its name goes first, as in /oncall primary next; there are: primary, db"
        )
        assert (await _says(world, "/sms oncall hello")).startswith("Which rota? Write rota NAME")
        await world.types("/sms rota db hello")
        assert world.phone("dana").texts == ["hello"]
        await _reloads(world, "ops: {id: -1001234567890, topic: 7}", "ops: {id: -1001234567890, topic: 7, rota: db}")
        await world.types("/sms oncall again")
        assert world.phone("dana").texts == ["hello", "again"]
        assert (await _says(world, "/oncall")) == "On call in rota db: Dana."


async def test_an_sms_for_whoever_is_on_call(town: World) -> None:
    await town.types("/sms oncall at=10:00 good morning")
    await town.types("/sms OnCall hello")
    assert town.phone("aigerim").texts == ["hello"]
    asked = await town.api("POST", "/sms", {"to": "oncall", "text": "from a script"}, status=202)
    assert asked["to"] == "aigerim"
    assert "Jonas" in town.ops.cards[0].text  # at ten it is his turn


# --- handovers ------------------------------------------------------------------------------------------------


async def _forgets_what_was_told(world: World, before: str | None) -> None:
    assert before is not None
    await world.bridge.store.write(lambda tx: tx.set_meta(handovers.TOLD, before))


@pytest.mark.parametrize("forgetful", [False, pytest.param(True, id="planted: what was told is kept elsewhere")])
async def test_each_handover_is_told_once_whatever_restarts(town: World, forgetful: bool) -> None:
    before = await town.bridge.store.read(lambda tx: tx.meta(handovers.TOLD))
    await town.advance(minutes=50)
    await town.sleeps()
    town.clock.advance(30)
    await town.wakes()
    if forgetful:
        await _forgets_what_was_told(town, before)
    await town.advance(minutes=5)
    told = _told(town)
    assert told[0] == "On call: Jonas until Sat 21 Nov 09:00, then Aigerim."
    assert (len(told) == 1) is not forgetful
    assert town.watch.last.silent


async def test_after_a_long_sleep_only_the_newest_handover_is_told(town: World) -> None:
    await town.sleeps()
    town.clock.advance(9 * 24 * 3600)
    await town.wakes()
    await town.settle()
    assert _told(town) == ["On call: Jonas until Sun 29 Nov 09:00, then Aigerim."]


async def test_a_person_who_leaves_the_config_is_paged_no_more(town: World) -> None:
    await town.types("/oncall take 8h", by=AIGERIM)
    await town.post("alertmanager", firing("db1"))
    text = town.config_file.read_text().replace("people: [aigerim, jonas], every", "people: [jonas], every")
    for without in ("[rota primary, aigerim]", "watch, notify: [aigerim]", "notify: [aigerim]"):
        assert without in text
        text = text.replace(without, without.replace("aigerim", "jonas"))
    town.config_file.write_text("\n".join(line for line in text.splitlines() if not line.startswith("  aigerim:")))
    assert await town.bridge.reload() == []
    await town.advance(minutes=11)
    assert _texts(town) == {"aigerim": 1, "jonas": 1, "dana": 1}
    assert _told(town)[-1] == "On call: Jonas."


# --- calendars and gaps ---------------------------------------------------------------------------------------


async def test_a_gap_is_told_ahead_once_and_ended_when_it_is_filled(tmp_path: Path) -> None:
    _calendar(
        tmp_path, ("Aigerim", "20261119T000000Z", "20261123T040000Z"), ("Jonas", "20261124T040000Z", "20271124T040000Z")
    )
    async with _town(tmp_path, BOOKED) as world:
        await world.advance(minutes=20)
        gap = [card for card in world.watch.cards if "nobody is on call" in card.text]
        assert len(gap) == 1
        assert gap[0].text.startswith(
            "⚠️ nobody is on call in rota primary from Mon 23 Nov 09:00 until Tue 24 Nov 09:00; "
            "fill it with /oncall primary NAME 2026-11-23 09:00 2026-11-24 09:00"
        )
        await world.sleeps()
        await world.wakes()
        await world.advance(minutes=2)
        await world.types("/oncall primary dana 2026-11-23 09:00 2026-11-24 09:00")
        await world.advance(minutes=1)
        rung = [card.text for card in world.watch.cards if "nobody is on call" in card.text]
        assert len(rung) == 1 and "over after" in rung[0]


async def test_in_a_gap_the_next_rung_is_called_at_once_and_the_watch_chat_knows(tmp_path: Path) -> None:
    _calendar(tmp_path, ("Jonas", "20261120T040000Z", "20271124T040000Z"))
    async with _town(tmp_path, BOOKED) as world:
        await world.settle()
        await world.post("alertmanager", firing("db1"))
        await world.advance(seconds=5)
        assert _texts(world) == {"aigerim": 0, "jonas": 0, "dana": 1}
        assert "nobody is on call" in world.card.text
        assert any("nobody is on call in rota primary" in card.text for card in world.watch.cards)
        await world.advance(minutes=60)
        assert _told(world)[-1].startswith("On call: Jonas until")


async def test_a_calendar_that_changes_is_read_again_and_its_copy_outlives_it(tmp_path: Path) -> None:
    _calendar(tmp_path, ("Aigerim", "20261119T000000Z", "20271123T040000Z"))
    async with _town(tmp_path, BOOKED) as world:
        await world.settle()
        assert (await _says(world, "/oncall")).startswith("On call: Aigerim")
        _calendar(tmp_path, ("Jonas", "20261119T000000Z", "20271123T040000Z"))
        await world.advance(minutes=16)
        assert (await _says(world, "/oncall")).startswith("On call: Jonas")

        _calendar(tmp_path, ("Dana", "20261119T000000Z", "20271123T040000Z"), name="other.ics")
        await _reloads(world, "turns.ics", "other.ics")
        assert (await _says(world, "/oncall")).startswith("On call: Dana")
        (tmp_path / "other.ics").write_text("not a calendar")
        await world.sleeps()
        world.clock.advance(60)
        await world.wakes()
        await world.post("alertmanager", firing("db1"))
        assert _texts(world) == {"aigerim": 0, "jonas": 0, "dana": 1}


async def test_a_calendar_that_cannot_be_read_for_an_hour_is_a_trouble_until_it_can(tmp_path: Path) -> None:
    good = ("Aigerim", "20261119T000000Z", "20271123T040000Z")
    _calendar(tmp_path, good)
    async with _town(tmp_path, BOOKED) as world:
        await world.settle()
        (tmp_path / "turns.ics").write_text("not a calendar")
        await world.advance(minutes=50)
        assert not any("cannot be read" in card.text for card in world.watch.cards)
        await world.sleeps()
        await world.wakes()
        await world.advance(minutes=50)
        told = [card for card in world.watch.cards if "cannot be read" in card.text]
        assert len(told) == 1 and not told[0].silent
        assert told[0].text.startswith(
            "⚠️ the calendar of rota primary cannot be read: not iCalendar; it begins with BEGIN:VCALENDAR; "
            "its last good copy stands"
        )
        assert (await _says(world, "/oncall")).startswith("On call: Aigerim")

        _calendar(tmp_path, good)
        await world.advance(minutes=16)
        assert "over after" in next(card.text for card in world.watch.cards if "cannot be read" in card.text)


async def test_what_is_odd_in_a_calendar_is_told_once_until_it_is_put_right(tmp_path: Path) -> None:
    week = ("Aigerim", "20261119T000000Z", "20271123T040000Z")
    _calendar(tmp_path, week, ("Bob", "20261130T040000Z", "20261130T050000Z"))
    async with _town(tmp_path, BOOKED) as world:
        await world.advance(minutes=35)
        told = [card.text for card in world.watch.cards if "the calendar of rota primary" in card.text]
        assert len(told) == 1 and "the event of 2026-11-30 names nobody of the config" in told[0]
        _calendar(tmp_path, week)
        await world.advance(minutes=16)
        told = [card.text for card in world.watch.cards if "the calendar of rota primary" in card.text]
        assert len(told) == 1 and "over after" in told[0]
