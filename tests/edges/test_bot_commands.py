"""Commands over a simulated Telegram: what is understood, what the door is asked, what is answered."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands import Misread, read_at, read_command, read_sms
from bridge.dispatcher import Accepted, Denied
from bridge.domain.notification import State
from bridge.domain.phone import PhoneNumber
from bridge.inquiries import EVERYTHING, Money, Scope, Status
from bridge.ports import Balance, Place, Question, QuestionView, SmsView, TimelineEntry
from tests.edges.bot_scene import (
    AIGERIM,
    ALMATY,
    DANA,
    ELSEWHERE,
    EVE,
    FORUM,
    HOUSE,
    JONAS,
    OPS,
    QUIET,
    a_scene,
    typed_sms,
)
from tests.fakes import START

NUMBER = "+77010000001"


@pytest.mark.parametrize(
    ("words", "to", "text"),
    [
        ("+77010000001 Backup is done", "+77010000001", "Backup is done"),
        ("+7 701 000 00 01 Backup is done", "+7 701 000 00 01", "Backup is done"),
        ("8 (701) 000-00-01 Backup", "8 (701) 000-00-01", "Backup"),
        ("0049 1511 234-56-78 Hallo", "0049 1511 234-56-78", "Hallo"),
        ("+7 701 000 00 01 24 people wait", "+7 701 000 00 01", "24 people wait"),
        ("+4915112345678 24 people wait", "+4915112345678", "24 people wait"),
        ("+77010000001\n24 people wait", "+77010000001", "24 people wait"),
        ("+77010000001", "+77010000001", ""),
        ("+7701000000 text", "+7701000000", "text"),
        ("AIGERIM line one\nline two", "aigerim", "line one\nline two"),
        ("jonas\nline one", "jonas", "line one"),
        ("nobody hello", "nobody", "hello"),
    ],
)
def test_recipient_and_text_part_where_a_reader_would_part_them(words: str, to: str, text: str) -> None:
    typed = read_sms(words, HOUSE, ALMATY, START)

    assert (typed.to, typed.text) == (to, text)


def test_options_stand_before_the_text_and_nowhere_else() -> None:
    typed = read_sms("jonas at=18:00 FLASH validity=2h from=Alpha Call at=9 flash", HOUSE, ALMATY, START)

    assert typed.text == "Call at=9 flash"
    assert (typed.flash, typed.validity, typed.sender_id) == (True, 120, "Alpha")
    assert typed.send_at == datetime(2026, 11, 20, 13, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("18:00", datetime(2026, 11, 20, 13, 0, tzinfo=UTC)),
        ("9:30", datetime(2026, 11, 20, 4, 30, tzinfo=UTC)),
        ("08:10", datetime(2026, 11, 21, 3, 10, tzinfo=UTC)),  # this very minute is over
        ("07:00", datetime(2026, 11, 21, 2, 0, tzinfo=UTC)),
        ("2026-11-23T18:00", datetime(2026, 11, 23, 13, 0, tzinfo=UTC)),
        ("2026-11-23T18:00+01:00", datetime(2026, 11, 23, 17, 0, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_on_the_chats_clock_and_is_always_ahead(written: str, at: datetime) -> None:
    assert read_at(written, ALMATY, START) == at


@pytest.mark.parametrize(
    "words", ["jonas at=noon x", "jonas at=25:00 x", "jonas at=2020-01-01T10:00 x", "jonas validity=soon x"]
)
def test_what_makes_no_sense_is_answered_with_what_would(words: str) -> None:
    with pytest.raises(Misread, match="write"):
        read_sms(words, HOUSE, ALMATY, START)


@given(st.text(max_size=300))
def test_reading_a_command_never_crashes_and_loses_no_text(text: str) -> None:
    command = read_command("/sms " + text)
    assert command is not None
    if command.words:
        try:
            typed = read_sms(command.words, HOUSE, ALMATY, START)
        except Misread:
            return
        assert command.words.endswith(typed.text)


async def test_sms_asks_the_door_and_leaves_the_answer_to_the_card() -> None:
    async with a_scene() as scene:
        typed = await scene.say(f"/sms {NUMBER} Backup is done")

        (request,) = scene.door.requests
        assert (request.to, request.text, request.may_ask) == (NUMBER, "Backup is done", True)
        assert (request.asker.name, request.asker.telegram_id) == ("aigerim", AIGERIM)
        assert request.chat is HOUSE.chats["ops"]
        assert (request.place, request.reply_to) == (Place(OPS), typed.id)
        assert request.cause == f"telegram:123456:{scene.store.kept.waiting[0].update_id}"
        assert scene.replies() == []
        assert scene.outcomes == ["done"]


async def test_in_a_topic_the_card_goes_to_that_topic() -> None:
    async with a_scene() as scene:
        await scene.say(f"/sms {NUMBER} Hi", chat=FORUM, topic=7)

        assert scene.door.requests[0].place == Place(FORUM, 7)


async def test_as_a_reply_the_other_messages_text_is_sent() -> None:
    async with a_scene() as scene:
        order = scene.telegram.type(JONAS, OPS, "Your order 118 is ready")
        await scene.say("/sms jonas", reply_to=order)
        await scene.say("/sms jonas My own words", reply_to=order)
        await scene.say("/sms jonas")

        assert [request.text for request in scene.door.requests] == ["Your order 118 is ready", "My own words"]
        assert scene.replies()[0].startswith("Whom, and what?")


async def test_a_refusal_names_id_and_role_and_says_when_a_limit_opens() -> None:
    async with a_scene() as scene:
        scene.door.says = Denied("other numbers take the role operator", forbidden=True)
        await scene.say(f"/sms {NUMBER} Hi", by=JONAS)
        scene.door.says = Denied("the house has had its share", opens_at=START + timedelta(minutes=10))
        await scene.say(f"/sms {NUMBER} Hi", by=JONAS)

        assert scene.replies() == [
            "Other numbers take the role operator. You are Jonas, id 222, responder.",
            "The house has had its share. It opens again at 08:20.",
        ]


async def test_a_command_for_another_bot_is_left_to_it() -> None:
    async with a_scene() as scene:
        await scene.say(f"/sms@other_bot {NUMBER} Hi")
        assert scene.door.requests == []

        await scene.say(f"/sms@SMS_bridge_bot {NUMBER} Hi")
        assert len(scene.door.requests) == 1


async def test_an_old_command_changes_nothing_and_says_so() -> None:
    async with a_scene() as scene:
        scene.telegram.type(AIGERIM, OPS, "/cancel 7")
        scene.clock.advance(121)
        await scene.hear()

        assert scene.door.cancelled == []
        assert scene.replies() == ["This reached me 2 min late, so it was not run. Send it again if it still holds."]


async def test_an_old_sms_asks_before_it_goes() -> None:
    async with a_scene() as scene:
        scene.telegram.type(AIGERIM, OPS, f"/sms {NUMBER} Hi")
        scene.clock.advance(600)
        await scene.hear()

        assert [request.late for request in scene.door.requests] == ["typed 10 min ago"]


async def test_a_crash_between_doing_and_marking_repeats_with_the_same_cause() -> None:
    async with a_scene() as scene:
        await scene.say(f"/sms {NUMBER} Hi")
        scene.store.kept.outcomes.clear()
        await scene.handle()

        first, again = scene.door.requests
        assert first.cause == again.cause


async def test_the_command_is_deleted_where_the_config_says_so() -> None:
    async with a_scene() as scene:
        await scene.say(f"/sms {NUMBER} Hi", chat=QUIET)

        assert scene.telegram.chat(QUIET).messages == []
        assert scene.door.requests[0].reply_to is None  # there is nothing left to reply to


async def test_an_edited_command_is_not_run_and_gets_one_reply() -> None:
    async with a_scene() as scene:
        typed = await scene.say("hello")
        for text in (f"/sms {NUMBER} one", f"/sms {NUMBER} two", "never mind"):
            await scene.say(text, edited=typed)

        assert scene.door.requests == []
        assert scene.replies() == ["Edits are not read; send it again."]


@pytest.mark.parametrize(
    ("by", "chat", "answer"),
    [
        (EVE, OPS, "/sms needs the role responder; nobody in people has telegram_id: 666"),
        (EVE, EVE, None),
        (EVE, ELSEWHERE, None),
        (AIGERIM, ELSEWHERE, None),
    ],
)
async def test_who_may_not_speak_sends_nothing(by: int, chat: int, answer: str | None) -> None:
    async with a_scene() as scene:
        await scene.say(f"/sms {NUMBER} Hi", by=by, chat=chat)
        await scene.say("/status 1", by=by, chat=ELSEWHERE)

        assert scene.door.requests == []
        assert scene.inquiries.asked == []
        assert scene.replies(chat) == ([answer] if answer else [])


async def test_a_forwarded_command_is_nobodys_word() -> None:
    async with a_scene() as scene:
        await scene.say(f"/sms {NUMBER} Hi", forward=True)

        assert scene.door.requests == []
        assert scene.replies() == []


async def test_id_answers_strangers_too_with_nothing_but_ids() -> None:
    async with a_scene() as scene:
        await scene.say("/id", by=EVE, chat=ELSEWHERE)
        await scene.say("/id", by=EVE, chat=EVE)
        hello = scene.telegram.type(JONAS, FORUM, "hello", topic=7)
        await scene.say("/id", chat=FORUM, topic=7, reply_to=hello)

        you = "people:\n  NAME: {telegram_id: 666}  # you"
        assert scene.replies(ELSEWHERE) == [f"{you}\nchats:\n  NAME: {{id: -1666}}"]
        assert scene.replies(EVE) == [you]
        assert scene.replies(FORUM) == [
            "people:\n  NAME: {telegram_id: 111}  # you\n  NAME: {telegram_id: 222}  # who you replied to\n"
            "chats:\n  NAME: {id: -1003, topic: 7}"
        ]


async def test_what_is_not_built_yet_or_unknown_says_so() -> None:
    async with a_scene() as scene:
        for text in ("/test jonas", "/nonsense", "/nonsense@sms_bridge_bot"):
            await scene.say(text)

        assert scene.replies() == [
            "/test is not built yet in this version.",
            "There is no /nonsense; /help lists what there is.",
        ]


async def test_help_and_start_introduce() -> None:
    async with a_scene() as scene:
        await scene.say("/start", chat=AIGERIM)
        await scene.say("/help", chat=AIGERIM)

        greeting, commands = scene.replies(AIGERIM)
        assert greeting == "Hello Aigerim. Your role here is operator; /help lists what I do."
        assert "/sms <number, person or oncall> <text>" in commands


@pytest.mark.parametrize(
    ("by", "chat", "scope"),
    [
        (AIGERIM, OPS, Scope(chat="ops")),
        (DANA, OPS, Scope(chat="ops")),
        (AIGERIM, AIGERIM, EVERYTHING),
        (JONAS, JONAS, Scope(own="jonas")),
    ],
)
async def test_a_group_sees_its_own_things_and_a_person_theirs(by: int, chat: int, scope: Scope) -> None:
    async with a_scene() as scene:
        await scene.say("/status #1043", by=by, chat=chat)
        await scene.say("/history Jonas", by=by, chat=chat)

        assert scene.inquiries.asked == [(1043, scope), ("jonas", scope)]


async def test_status_shows_the_card_afresh_with_its_timeline() -> None:
    async with a_scene() as scene:
        sms = typed_sms(state=State.SUBMITTED, submitted_at=START, message_id="1")
        told = [TimelineEntry(1043, START, "asked for", "aigerim")]
        scene.inquiries.found[1043] = Status(SmsView(sms, "Aigerim", ALMATY, START), told)
        await scene.say("/status 1043")
        await scene.say("/status what")

        assert scene.replies() == [
            "→ #1043 +7 701 ••• •• 01 · accepted by Mobizon 08:10:00 · gsm7, 1 segment\n\n08:10:00  asked for, Aigerim",
            "Which one? Try /status 1042",
        ]


async def test_status_of_an_open_question_repeats_neither_number_nor_text() -> None:
    async with a_scene() as scene:
        number = PhoneNumber(NUMBER)
        until = START + timedelta(minutes=10)
        asked = Question(
            1043, AIGERIM, "aigerim", number, NUMBER, "Secret text", "gsm7", 1, "f00d", START, until, chat="ops"
        )
        scene.inquiries.found[1043] = Status(QuestionView(asked, ALMATY, START), [])
        await scene.say("/status 1043")

        assert scene.replies() == ["#1043 waits for an answer to its question, until 08:20."]


async def test_history_masks_numbers_in_groups_only() -> None:
    async with a_scene() as scene:
        scene.inquiries.latest = [typed_sms(), typed_sms(id=1042, target="jonas", person="jonas")]
        await scene.say("/history")
        await scene.say("/history", chat=AIGERIM)

        assert scene.replies() == [
            "→ #1043 08:10 +7 701 ••• •• 01 · queued · asked by Aigerim\n"
            "→ #1042 08:10 Jonas +7 701 ••• •• 01 · queued · asked by Aigerim"
        ]
        assert "+7 701 000 00 01" in scene.replies(AIGERIM)[0]


async def test_balance_says_what_the_money_buys_or_why_it_is_not_known() -> None:
    async with a_scene() as scene:
        await scene.say("/balance")
        scene.inquiries.account = Money(Balance(Decimal("12345.6"), "KZT"), sms_left=602, days_left=41)
        await scene.say("/balance")

        assert scene.replies() == [
            "Mobizon did not say: no connection",
            "12 345.60 KZT, about 602 SMS, 41 days at this month's pace",
        ]


async def test_cancel_takes_an_id_and_speaks_a_refusal() -> None:
    async with a_scene() as scene:
        await scene.say("/cancel #1043", by=JONAS)

        ((number, asker),) = scene.door.cancelled
        assert (number, asker.name) == (1043, "jonas")
        assert scene.replies() == ["#1043 has left already."]


async def test_both_messages_about_a_supergroup_reach_the_door() -> None:
    async with a_scene() as scene:
        scene.telegram.becomes_supergroup(OPS, -1009999)
        await scene.hear()

        assert scene.door.moved == [(OPS, -1009999)] * 2


async def test_the_door_saying_it_is_done_already_stays_silent() -> None:
    async with a_scene() as scene:
        scene.door.says = Accepted(typed_sms(), repeated=True)
        await scene.say(f"/sms {NUMBER} Hi")

        assert scene.replies() == []
