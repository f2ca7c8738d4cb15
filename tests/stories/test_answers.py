"""What people answer in the chat, typed or pressed: who may, what changes, and what a late finger does not."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.dispatcher import Answered, Asker, Denied, Dispatcher, Pressed
from bridge.domain.house import Role
from bridge.ports import TelegramUpdate
from tests.world import AIGERIM, DANA, JONAS, OPS, STRANGER, TOPIC, WATCH, World, a_world, firing, resolved

PLAIN = "policies:\n  critical:\n    steps: [{notify: [aigerim, jonas]}]\n"
CLIMB = """policies:
  critical:
    steps:
      - {notify: [aigerim], wait: 5m}
      - {notify: [jonas], wait: 5m}
      - {notify: [magnum], wait: 5m}
"""
CHANGES = ((PLAIN, CLIMB), ("ops: {id: -1001234567890, topic: 7}", "ops: {id: -1001234567890, topic: 7, page: one}"))
GONE = "This button is no longer in use."


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[World]:
    """A town whose pages climb in three steps; what is typed with /page calls Aigerim alone."""
    async with a_world(tmp_path, changes=CHANGES) as world:
        yield world


def _texts(world: World) -> tuple[int, ...]:
    return tuple(len(world.phone(name).texts) for name in ("aigerim", "jonas", "magnum"))


async def _says(world: World, text: str, by: int = AIGERIM, chat: int = OPS, **how: Any) -> list[str]:
    """Type it; what the bot said to that in new messages."""
    before = len(world.telegram.chat(chat).cards)
    await world.types(text, by=by, chat=chat, **how)
    return [card.text for card in world.telegram.chat(chat).cards[before:]]


async def _card(world: World) -> str:
    """The newest card, once Telegram's pace allows what it has to say."""
    await world.advance(seconds=2)
    return world.card.text


# --- typed -------------------------------------------------------------------------------------------


async def test_ack_is_answered_by_the_card_and_stops_the_climb(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    assert await _says(town, "/ack 1", by=JONAS) == []
    assert "Jonas has it" in await _card(town)
    assert await _says(town, "/ack #1", by=JONAS) == ["You have #1 already."]
    await town.advance(hours=1)
    assert _texts(town) == (1, 0, 0)


async def test_ack_takes_over_from_who_has_it(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.press("Acknowledge", by=JONAS)
    assert await _says(town, "/ack 1") == []
    assert "Aigerim has it" in await _card(town)
    assert ("took it over", "aigerim") in await _timeline(town, 1)


async def test_ack_without_a_number_is_the_one_that_is_open(town: World) -> None:
    assert await _says(town, "/ack") == ["Nothing is open."]
    await town.post("alertmanager", firing("db1"))
    assert await _says(town, "/ack", by=JONAS) == []
    assert "Jonas has it" in await _card(town)

    await town.post("alertmanager", firing("db2", name="HostDown"))
    (asked,) = await _says(town, "/ack", by=JONAS)
    lines = asked.splitlines()
    assert lines[0].startswith("🔴 #5 HostDown db2") and "Jonas has it" in lines[1]
    assert lines[2] == "Which one? Try /ack 5"
    assert (await town.api("GET", "/incidents/5"))["state"] == "triggered"


async def test_resolve_ends_it_and_says_so_once(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    assert await _says(town, "/resolve 1", by=JONAS) == []
    assert "resolved by Jonas" in await _card(town)
    assert await _says(town, "/resolve 1") == ["#1 was over already."]
    assert await _says(town, "/ack 1") == ["#1 is over already."]
    await town.advance(hours=1)
    assert _texts(town) == (1, 0, 0)


async def test_incidents_lists_what_is_open_first_what_nobody_has(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.advance(seconds=2)
    await town.post("alertmanager", firing("db2", name="HostDown"))
    await town.press("Acknowledge", by=JONAS)  # under the newest card
    (said,) = await _says(town, "/incidents", by=DANA)
    first, second = said.splitlines()
    assert first == (
        "🔴 #1 HostOutOfDiskSpace db1.example.net · critical · since 08:09 · "
        "next Jonas 08:15; at 08:12 if it is not on the handset"
    )
    assert second == "🟡 #5 HostDown db2.example.net · Jonas has it"


@pytest.mark.parametrize(
    ("text", "by", "chat", "answer"),
    [
        ("/ack 1", DANA, OPS, "Dana is an observer; answering for an incident takes the role responder. "
                              "You are Dana, id 333333333, observer."),
        ("/resolve 1", DANA, OPS, "Dana is an observer; answering for an incident takes the role responder. "
                                  "You are Dana, id 333333333, observer."),
        ("/page all is lost", DANA, OPS, "Dana is an observer; paging takes the role responder. "
                                         "You are Dana, id 333333333, observer."),
        ("/ack 1", STRANGER, OPS, "/ack needs the role responder; nobody in people has telegram_id: 999999999"),
        ("/ack 1", AIGERIM, WATCH, "There is no #1 here."),
        ("/resolve 1", AIGERIM, WATCH, "There is no #1 here."),
        ("/ack", AIGERIM, WATCH, "Nothing is open."),
        ("/incidents", AIGERIM, WATCH, "Nothing is open."),
        ("/ack 99", AIGERIM, OPS, "There is no #99 here."),
        ("/ack now", AIGERIM, OPS, "Which one? Try /ack 1042"),
        ("/resolve", AIGERIM, OPS, "Which one? Try /resolve 1042"),
        ("/page", AIGERIM, OPS, "What should I tell them? Try /page checkout is down"),
        ("/page help", AIGERIM, AIGERIM, "I cannot page from a private chat: the card belongs where everybody sees it. "
                                         "Type /page there."),
        ("/page help", AIGERIM, WATCH, "This chat has no policy to page by; set chats.watch.page to one of policies."),
    ],
)  # fmt: skip
async def test_what_may_not_or_cannot_be_changes_nothing_and_says_why(
    town: World, text: str, by: int, chat: int, answer: str
) -> None:
    await town.post("alertmanager", firing("db1"))
    assert await _says(town, text, by=by, chat=chat) == [answer]
    assert (await town.api("GET", "/incidents?all=true"))["items"][0]["state"] == "triggered"
    assert _texts(town) == (1, 0, 0)


async def test_privately_one_answers_for_ones_own_and_operators_for_all(town: World) -> None:
    await town.post("generic", {"message": "not his", "severity": "critical"}, route="critical")
    await town.types("/page only for aigerim")
    own, all_open = [(await _says(town, "/incidents", by=who, chat=who))[0] for who in (JONAS, AIGERIM)]
    assert [line.split()[1] for line in own.splitlines()] == ["#1"]
    assert [line.split()[1] for line in all_open.splitlines()] == ["#5", "#1"]

    assert await _says(town, "/ack 5", by=JONAS, chat=JONAS) == ["There is no #5 of yours."]
    assert await _says(town, "/ack 1", by=JONAS, chat=JONAS) == ["You have #1."]
    await town.advance(seconds=2)
    assert "Jonas has it" in town.ops.cards[0].text
    assert await _says(town, "/resolve 5", chat=AIGERIM) == ["#5 is over."]


async def test_an_sms_is_not_answered_for(town: World) -> None:
    await town.types("/sms jonas at=23:00 later")
    assert await _says(town, "/ack 1") == ["#1 is an SMS, not an incident; /incidents lists those that are open."]


async def test_page_opens_an_incident_here_and_calls_whom_this_chat_says(town: World) -> None:
    await town.types("/page checkout\nis down")
    typed = town.ops.messages[0]
    assert town.card.text.startswith("🔴 #1 checkout is down · since 08:10\nopened by Aigerim\n")
    assert town.card.reply_to == typed.id and town.card.topic == TOPIC and not town.card.silent
    assert town.phone("aigerim").texts == ["checkout is down 08:10 #1"]
    await town.press("Acknowledge", by=JONAS)
    assert "Jonas has it" in await _card(town)


async def test_page_as_a_reply_tells_what_was_said_there(town: World) -> None:
    said = town.telegram.type(JONAS, OPS, "nothing works any more", topic=TOPIC)
    await town.types("/page", reply_to=said)
    assert town.phone("aigerim").texts == ["nothing works any more 08:10 #1"]


async def test_what_telegram_brings_late_is_not_run(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    for text in ("/ack 1", "/resolve 1", "/page help"):
        town.telegram.type(JONAS, OPS, text, topic=TOPIC)
    town.clock.advance(180)
    await town.settle()
    late = "This reached me 3 min late, so it was not run. Send it again if it still holds."
    assert [card.text for card in town.ops.cards].count(late) == 3
    assert [one["state"] for one in (await town.api("GET", "/incidents"))["items"]] == ["triggered"]


async def test_status_tells_the_climb_in_order(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.advance(minutes=5, seconds=10)
    await town.press("Acknowledge", by=JONAS)
    (said,) = await _says(town, "/status 1")
    told = [line.partition("  ")[2] for line in said.split("\n\n")[1].splitlines()]
    assert told[0] == "opened, alertmanager" and told[-1] == "acknowledged, Jonas"
    arrived = [line for line in told if line.startswith("on the handset")]
    assert arrived == ["on the handset, Aigerim", "on the handset, Jonas"]


# --- pressed -----------------------------------------------------------------------------------------


async def test_two_who_acknowledge_at_once_do_not_take_it_from_each_other(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    presses = [town.telegram.press("Acknowledge", who, OPS) for who in (JONAS, AIGERIM, JONAS)]
    await town.settle()
    assert [press.toast for press in presses] == [
        "You have #1.", "Jonas has #1. /ack 1 takes it over.", "You have #1 already."
    ]  # fmt: skip
    assert "Jonas has it" in await _card(town)


async def test_passing_on_twice_at_once_calls_one(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    presses = [town.telegram.press("Pass on", who, OPS) for who in (AIGERIM, AIGERIM, JONAS)]
    await town.settle()
    assert [press.toast for press in presses] == ["#1: calling the next.", *["The next of #1 is being called."] * 2]
    assert _texts(town) == (1, 1, 0)
    await town.advance(seconds=5)
    assert (await town.press("Pass on")).toast == "#1: calling the next."  # the card shows the one after
    assert _texts(town) == (1, 1, 1)
    await town.advance(seconds=5)
    assert "Pass on" not in town.card.buttons


async def test_an_old_card_passes_on_only_what_it_showed(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    old = town.card.keyboard[0][1]["callback_data"]
    await town.advance(minutes=5, seconds=10)
    press = town.telegram.press_data(old, AIGERIM, town.card)
    await town.settle()
    assert press.toast == "The next of #1 was called already."
    assert _texts(town) == (1, 1, 0)


async def test_who_does_not_have_it_may_resolve(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.press("Acknowledge", by=JONAS)
    await town.advance(seconds=2)
    assert (await town.press("Resolve")).toast == "#1 is over."
    card = await _card(town)
    assert "Jonas had it" in card and "resolved by Aigerim" in card


@pytest.mark.parametrize("verb", ["a", "p1.2", "r", "h"])
async def test_a_button_of_an_ended_incident_says_that_it_is_over(town: World, verb: str) -> None:
    await town.post("alertmanager", firing("db1"))
    card, data = town.card, town.card.keyboard[0][0]["callback_data"]
    await town.post("alertmanager", resolved("db1"))
    press = town.telegram.press_data(data[:-1] + verb, AIGERIM, card)
    await town.settle()
    assert press.toast in ("#1 is over already.", "#1 was over already.")
    assert (await town.api("GET", "/incidents/1"))["ended_by"] == "alertmanager"


async def test_a_button_works_at_its_card_only_and_says_nothing_about_what_it_is_of(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    data = town.card.keyboard[0][0]["callback_data"]
    elsewhere = town.telegram._add(None, WATCH, "something else")
    token = data.split(":")[2]
    for wrong, where in (
        (data, elsewhere), (data.replace(":1:", ":2:"), town.card), (data.replace(token, "f" * 16), town.card),
        (data[:-1] + "n", town.card), (data[:-1] + "p99999999.1", town.card), ("q" + data[1:-1] + "y", town.card),
    ):  # fmt: skip
        press = town.telegram.press_data(wrong, AIGERIM, where)
        await town.settle()
        assert press.toast == GONE, wrong
    assert (await town.api("GET", "/incidents/1"))["state"] == "triggered"

    await town.types("/status 1", by=AIGERIM, chat=AIGERIM)  # below it, in private, the same button works
    assert (await town.press("Acknowledge", chat=AIGERIM)).toast == "You have #1."


async def test_a_button_of_a_database_that_is_gone_does_nothing(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    old, data = town.card, town.card.keyboard[0][0]["callback_data"]
    await town.sleeps()
    (town.folder / "bridge.db").unlink()
    await town.wakes()
    await town.post("alertmanager", firing("db2", name="HostDown"))
    assert town.card.keyboard[0][0]["callback_data"].startswith("i:1:")  # the same number again
    press = town.telegram.press_data(data, AIGERIM, old)
    await town.settle()
    assert press.toast == GONE
    assert (await town.api("GET", "/incidents/1"))["state"] == "triggered"


async def test_who_may_not_is_told_with_id_and_role(town: World) -> None:
    await town.post("alertmanager", firing("db1"))
    for verb in ("Acknowledge", "Pass on"):
        toast = (await town.press(verb, by=DANA)).toast or ""
        assert "role responder" in toast and "You are Dana, id 333333333, observer." in toast
        assert (await town.press(verb, by=STRANGER)).toast == (
            "Not for you: nobody in people has telegram_id: 999999999"
        )
    assert _texts(town) == (1, 0, 0)


@pytest.mark.parametrize("answer", ["Acknowledge", "resolved"])
async def test_what_rang_in_vain_says_afterwards_how_it_went_on(town: World, answer: str) -> None:
    await town.post("alertmanager", firing("db1"))
    await town.advance(minutes=21)
    first, second = (card for card in town.ops.cards if "NOBODY HAS IT" in card.text)
    if answer == "resolved":
        await town.post("alertmanager", resolved("db1"))
    else:
        await town.press("Acknowledge", by=JONAS)
    await town.advance(seconds=10)
    assert "NOBODY HAS IT" in first.text  # history, and not worth an edit
    assert second.text.endswith("Jonas has it" if answer == "Acknowledge" else "over after 21 min")
    assert second.buttons == []


# --- once, whatever dies -----------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["Pass on", "Hand back"])
async def test_an_answer_that_was_not_spoken_before_we_died_changes_nothing_twice(town: World, verb: str) -> None:
    await town.post("alertmanager", firing("db1"))
    if verb == "Hand back":
        await town.press("Acknowledge", by=AIGERIM)
        await town.advance(seconds=5)
    town.telegram.floods()
    await town.press(verb)
    assert _texts(town) == (1, 1, 0)
    await town.sleeps()
    town.telegram.recovers()
    await town.wakes()
    await town.settle()
    assert town.telegram.presses[-1].toast == "#1: calling the next."
    assert _texts(town) == (1, 1, 0)
    assert len([what for what, _ in await _timeline(town, 1) if what in ("passed on", "handed back")]) == 1


class Forgetful(Dispatcher):
    """A door that does not remember what an update has done already."""

    async def pass_on(
        self, incident_id: int, by: Asker, via: str = "", *, pressed: Pressed | None = None, cause: str | None = None
    ) -> Answered | Denied:
        return await super().pass_on(incident_id, by, via, pressed=pressed)


@pytest.mark.parametrize(("door", "called"), [(Dispatcher, (1, 1, 0)), (Forgetful, (1, 1, 1))])
async def test_the_cause_is_what_makes_an_answer_count_once(
    town: World, door: type[Dispatcher], called: tuple[int, ...]
) -> None:
    await town.post("alertmanager", firing("db1"))
    bridge = town.bridge
    update = TelegramUpdate(7, 42, town.clock.now(), b"{}")
    await bridge.store.write(lambda tx: tx.keep_updates([update]))
    dispatcher = door(bridge.store, town.clock, bridge.house, bridge.metrics)
    for _ in range(2):
        said = await dispatcher.pass_on(1, Asker("aigerim", Role.OPERATOR, AIGERIM), cause="telegram:7:42")
        assert isinstance(said, Answered)
        await town.settle()
    assert _texts(town) == called


async def test_a_page_typed_once_is_one_incident(town: World) -> None:
    town.telegram.floods()
    await town.types("/page help")
    await town.sleeps()
    town.telegram.recovers()
    await town.wakes()
    await town.settle()
    assert len((await town.api("GET", "/incidents"))["items"]) == 1
    assert _texts(town) == (1, 0, 0)


async def _timeline(world: World, number: int) -> list[tuple[str, str]]:
    found = await world.api("GET", f"/incidents/{number}")
    return [(entry["what"], entry["who"]) for entry in found["timeline"]]
