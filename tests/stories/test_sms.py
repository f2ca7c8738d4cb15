"""`/sms` in a chat becomes one SMS, and one card follows it to the handset."""

from pathlib import Path

import pytest

from tests.world import AIGERIM, DANA, JONAS, OPS, STRANGER, TOPIC, World, a_world


async def test_a_typed_sms_reaches_a_person_and_the_card_follows_it(world: World) -> None:
    await world.types("/sms jonas the build is red")
    assert world.phone("jonas").texts == ["the build is red"]

    await world.advance(seconds=30)
    assert "on the handset" in world.card.text and "asked by Aigerim" in world.card.text
    assert len(world.ops.cards) == 1
    assert world.card.topic == TOPIC
    assert "the build is red" not in world.card.text and "+49 1511" not in world.card.text
    assert not {"queued", "on the handset"} <= {world.card.revisions[0]}
    assert len(world.mobizon.sent) == 1


async def test_a_number_seen_for_the_first_time_is_asked_about(world: World) -> None:
    await world.types("/sms 8 701 000 00 09 Ваш заказ готов")
    assert world.mobizon.sent == []
    assert "+7 701 000 00 09" in world.card.text and "Ваш заказ готов" in world.card.text
    assert world.card.buttons == ["Send", "Don't send"]

    refused = await world.press("Send", by=JONAS)
    assert refused.toast is not None and "Only Aigerim" in refused.toast
    assert world.mobizon.sent == []

    await world.press("Send")
    await world.advance(seconds=30)
    assert world.phone("+77010000009").texts == ["Ваш заказ готов"]
    assert "on the handset" in world.card.text
    assert "000 00 09" not in world.card.text and "заказ" not in world.card.text
    assert len(world.ops.cards) == 1

    await world.types("/sms +77010000009 second time")
    assert len(world.phone("+77010000009").texts) == 2


async def test_dont_send_and_silence_both_send_nothing(world: World) -> None:
    await world.types("/sms +77010000009 one")
    await world.press("Don't send")
    await world.advance(seconds=2)
    assert world.card.buttons == []

    await world.types("/sms +77010000009 two")
    await world.advance(minutes=11)
    assert world.card.buttons == []
    assert world.mobizon.sent == []


async def test_a_card_says_how_its_text_is_billed_and_what_made_it_dear(world: World) -> None:
    await world.types("/sms jonas the build is red")
    assert world.card.text.endswith("· gsm7, 1 segment")

    text = "The “north” desk is closed from 20:00. Please call the south desk until tomorrow."
    await world.types(f"/sms jonas {text}")
    await world.advance(seconds=30)
    assert world.phone("jonas").texts[-1] == text  # as it was typed
    assert "unicode, 2 segments" in world.card.text
    assert "because of “ (left double quotation mark, U+201C) at 5" in world.card.text
    assert 'with " for “ ”: gsm7, 1 segment' in world.card.text
    assert not any(word in revision for card in world.ops.cards for revision in card.revisions for word in ("north",))


async def test_a_question_says_where_a_long_text_is_cut_and_is_edited_away(world: World) -> None:
    text = "The gate is closed — " + "please use the door on the north side. " * 4
    await world.types(f"/sms jonas {text}")
    assert "3 segments" in world.card.text and text.strip() in world.card.text
    assert "— (em dash, U+2014) at 20" in world.card.text and "with - for —: gsm7, 2 segments" in world.card.text
    assert 'segments begin: 2 at 68 "' in world.card.text and "characters too long for 2 segments" in world.card.text

    await world.press("Send")
    await world.advance(seconds=30)
    assert world.phone("jonas").texts == [text.strip()]
    assert "on the handset" in world.card.text and "unicode, 3 segments" in world.card.text
    assert "em dash" in world.card.text and "north" not in world.card.text and "begin" not in world.card.text


async def test_a_text_that_is_refused_is_told_what_would_shorten_it(world: World) -> None:
    await world.types("/sms jonas —" + "z" * 402)
    assert "403 characters in unicode" in world.card.text and "with - for —: gsm7, 3 segments" in world.card.text
    assert "zz" not in world.card.text
    assert world.mobizon.sent == []


async def test_a_failure_rings_in_the_same_chat_and_topic(world: World) -> None:
    world.phone("jonas").is_blacklisted()
    await world.types("/sms jonas hello")
    await world.advance(seconds=30)

    card, ring = world.ops.cards
    assert "not delivered" in card.text
    assert "not delivered" in ring.text and not ring.silent
    assert (ring.topic, ring.reply_to) == (TOPIC, card.id)


async def test_what_mobizon_refuses_is_told_and_not_tried_again(world: World) -> None:
    world.mobizon.answers(code=1, data={"recipient": ["this direction is not served"]}, method="sendsmsmessage")
    await world.types("/sms jonas hello")
    await world.advance(minutes=30)

    assert "this direction is not served" in world.ops.cards[0].text
    sends = [r for r in world.mobizon.requests if r.method.endswith("sendsmsmessage")]
    assert len(sends) == 1


async def test_a_hanging_mobizon_is_given_up_on_and_frees_its_slot(world: World) -> None:
    world.mobizon.hangs_after_accepting(times=1)
    await world.types("/sms jonas hello")
    await world.advance(seconds=25)
    assert "uncertain" in world.card.text

    await world.types("/sms jonas again")
    await world.advance(seconds=30)
    assert "on the handset" in world.card.text
    assert world.phone("jonas").texts == ["hello", "again"]


async def test_an_sms_that_people_at_mobizon_have_to_read_says_so(world: World) -> None:
    world.mobizon.moderates = True
    await world.types("/sms jonas hello")
    await world.advance(seconds=10)
    assert "waiting for moderation" in world.card.text
    assert "until somebody there has read it" in world.watch.last.text

    world.mobizon.approves(world.mobizon.sent[0].id)
    await world.advance(minutes=1)
    assert "on the handset" in world.card.text
    assert "over" in world.watch.last.text


@pytest.mark.parametrize(
    ("typed", "by", "told"),
    [
        ("/sms", AIGERIM, "/sms"),
        ("/sms jonas", AIGERIM, "text"),
        ("/sms nobody hello", AIGERIM, 'nobody is called "nobody"'),
        ("/sms +7701000000 hello", AIGERIM, "one digit short for Kazakhstan"),
        ("/sms +12025550100 hello", AIGERIM, "United States is not allowed"),
        ("/sms +493023125000 hello", AIGERIM, "a landline"),
        ("/sms jonas " + "я" * 403, AIGERIM, "segments"),
        ("/sms jonas validity=9000m hello", AIGERIM, "4320"),
        ("/sms +77010000009 hello", JONAS, "operator"),
        ("/sms jonas hello", DANA, "responder"),
        ("/sms jonas hello", STRANGER, "999999999"),
        ("/smss jonas hello", AIGERIM, None),
    ],
)
async def test_what_cannot_be_sent_is_told_and_changes_nothing(
    world: World, typed: str, by: int, told: str | None
) -> None:
    await world.types(typed, by=by)
    await world.advance(minutes=1)

    assert world.mobizon.sent == []
    assert [card.text for card in world.ops.cards if "#" in card.text] == []
    if told is None:
        assert world.ops.cards == []
    else:
        assert told.casefold() in world.card.text.casefold()


async def test_a_stranger_learns_nothing_but_ids(world: World) -> None:
    for text in ("/sms jonas hi", "/status 1", "/history", "/balance", "/help", "/start"):
        await world.types(text, by=STRANGER, chat=STRANGER)
    assert world.telegram.chat(STRANGER).cards == []

    await world.types("/id", by=STRANGER, chat=STRANGER)
    assert "999999999" in world.telegram.chat(STRANGER).last.text
    await world.types("/sms jonas hi", by=AIGERIM, chat=-100777)
    assert world.telegram.chat(-100777).cards == []
    assert world.mobizon.sent == []


async def test_one_update_is_one_sms_however_often_telegram_brings_it(world: World) -> None:
    await world.types("/sms jonas hello")
    world.telegram.type(AIGERIM, OPS, "/sms jonas hello", topic=TOPIC)
    await world.settle()
    assert len(world.mobizon.sent) == 2  # typed twice: two

    world.telegram._next_update -= 1  # the same update once more, as after a crash
    world.telegram.type(AIGERIM, OPS, "/sms jonas hello", topic=TOPIC)
    await world.settle()
    assert len(world.mobizon.sent) == 2


async def test_a_command_from_before_an_outage_asks_first(world: World) -> None:
    world.telegram.type(AIGERIM, OPS, "/sms jonas hello", topic=TOPIC)
    world.telegram.type(AIGERIM, OPS, "/cancel 1", topic=TOPIC)
    world.clock.advance(180)
    await world.advance(seconds=3)
    assert world.mobizon.sent == []
    assert any("not run" in card.text for card in world.ops.cards)
    assert any("typed 3 min ago" in card.text for card in world.ops.cards)

    await world.press("Send")
    assert world.phone("jonas").texts == ["hello"]


async def test_a_deferred_sms_leaves_at_its_hour_unless_taken_back(world: World) -> None:
    await world.types("/sms jonas at=08:30 good morning")  # it is 08:10 in Almaty
    await world.types("/sms jonas at=08:30 not this one")
    await world.advance(minutes=10)
    assert world.mobizon.sent == []
    assert "08:30" in world.card.text

    await world.types("/cancel 2")
    await world.advance(minutes=15)
    assert world.phone("jonas").texts == ["good morning"]


async def test_options_reach_mobizon(world: World) -> None:
    await world.types("/sms jonas flash validity=90m from=Other hello")
    sent = world.mobizon.requests[0].parameters
    assert (sent["params[mclass]"], sent["params[validity]"], sent["from"]) == ("0", "90", "Other")
    assert sent["recipient"] == "4915112345678"


async def test_a_reply_sends_the_message_it_answers(world: World) -> None:
    said = world.telegram.type(JONAS, OPS, "the lift is stuck", topic=TOPIC)
    await world.types("/sms jonas", reply_to=said)
    assert world.phone("jonas").texts == ["the lift is stuck"]


async def test_questions_are_answered_and_show_only_what_is_theirs(world: World) -> None:
    await world.types("/sms jonas hello")
    await world.advance(seconds=30)
    for text, told in [
        ("/status 1", "on the handset"),
        ("/history", "#1"),
        ("/balance", "KZT"),
        ("/help", "/sms"),
        ("/start", "/help"),
        ("/id", "-1001234567890"),
        ("/status 99", "99"),
    ]:
        await world.types(text)
        assert told in world.card.text, text

    await world.types("/history", by=JONAS, chat=JONAS)
    assert "#1" not in world.telegram.chat(JONAS).last.text  # he did not ask for it


async def test_commands_disappear_where_the_chat_wants_it(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[("topic: 7}", "topic: 7, delete_commands: true}")]) as world:
        await world.types("/sms jonas hello")
        assert [message.text for message in world.ops.messages if not message.by_bot] == []
        assert len(world.mobizon.sent) == 1


async def test_telegram_down_stops_no_sms_and_the_card_catches_up(world: World) -> None:
    await world.types("/sms jonas hello")
    world.telegram.is_down()
    await world.types("/sms jonas more")  # typed, but Telegram does not bring it yet
    await world.api("POST", "/sms", {"to": "aigerim", "text": "by the API"}, status=202)
    assert world.phone("aigerim").texts == ["by the API"]
    await world.advance(seconds=30)

    world.telegram.recovers()
    await world.advance(minutes=1)
    assert world.phone("jonas").texts == ["hello", "more"]
    assert all("on the handset" in card.text for card in world.ops.cards)


async def test_mobizons_own_report_only_makes_us_ask_sooner(tmp_path: Path) -> None:
    async with a_world(tmp_path, changes=[("api_key: demo,", "api_key: demo, report_token: hint,")]) as world:
        world.phone("jonas").is_slow(3000)
        await world.types("/sms jonas hello")
        await world.advance(minutes=30)
        (sms,) = world.mobizon.sent
        asked = len(world.mobizon.requests)
        lie = {"data": {"messageId": int(sms.id), "status": "DELIVRD"}}
        for address, status in (("wrong", 401), ("hint", 200)):
            async with world.http.post(f"/delivery-reports/mobizon/{address}", json=lie) as answer:
                assert answer.status == status
            await world.settle()
        assert len(world.mobizon.requests) == asked + 1
        assert "on the handset" not in world.card.text  # the report said so; Mobizon, asked, did not
