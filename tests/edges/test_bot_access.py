"""Who may speak: every mix of user, chat and way of saying it."""

from typing import Any

import pytest
from aiogram.types import Message

from bot.access import Known, Nobody, Speaker, Stranger, speaker
from tests.edges.bot_scene import AIGERIM, ELSEWHERE, EVE, FORUM, HOUSE, JONAS, OPS

OTHER_BOT = {"id": 987, "is_bot": True, "first_name": "Helper"}


def said(by: int = AIGERIM, chat: int = OPS, **fields: Any) -> Speaker:
    kind = "private" if chat > 0 else "supergroup"
    body: dict[str, Any] = {
        "message_id": 1,
        "date": 1_700_000_000,
        "chat": {"id": chat, "type": kind},
        "from": {"id": by, "is_bot": False, "first_name": "X", "username": "aigerim"},
        "text": "/sms +77010000001 Hi",
    }
    return speaker(Message.model_validate(body | fields), HOUSE)


@pytest.mark.parametrize("by", [AIGERIM, JONAS])
@pytest.mark.parametrize("chat", [OPS, FORUM])
def test_a_person_of_the_config_speaks_in_a_chat_of_the_config(by: int, chat: int) -> None:
    known = said(by, chat)

    assert isinstance(known, Known)
    assert (known.person.telegram_id, known.chat and known.chat.id) == (by, chat)


def test_a_person_of_the_config_speaks_privately() -> None:
    assert said(AIGERIM, AIGERIM) == Known(HOUSE.people["aigerim"], None)


@pytest.mark.parametrize(
    ("by", "chat", "in_chat"),
    [(EVE, OPS, "ops"), (EVE, EVE, None), (EVE, ELSEWHERE, None), (AIGERIM, ELSEWHERE, None)],
)
def test_everybody_and_everywhere_else_is_a_stranger_whatever_the_user_name(
    by: int, chat: int, in_chat: str | None
) -> None:
    stranger = said(by, chat)

    assert isinstance(stranger, Stranger)
    assert (stranger.chat.name if stranger.chat else None) == in_chat


@pytest.mark.parametrize(
    "fields",
    [
        {
            "from": {"id": 1087968824, "is_bot": True, "first_name": "Group"},
            "sender_chat": {"id": OPS, "type": "group"},
        },
        {"from": {"id": 1087968824, "is_bot": False, "first_name": "Group"}},
        {"from": {"id": 136817688, "is_bot": False, "first_name": "Channel"}},
        {"from": {"id": 777000, "is_bot": False, "first_name": "Telegram"}},
        {"sender_chat": {"id": -1005, "type": "channel"}},
        {"is_automatic_forward": True},
        {"forward_origin": {"type": "hidden_user", "date": 1, "sender_user_name": "Boss"}},
        {"forward_origin": {"type": "user", "date": 1, "sender_user": OTHER_BOT}},
        {"forward_date": 1_700_000_000},
        {"via_bot": OTHER_BOT},
        {"from": OTHER_BOT},
        {"from": None},
    ],
)
def test_what_could_be_put_into_somebodys_mouth_is_nobodys_word(fields: dict[str, Any]) -> None:
    assert said(**fields) == Nobody()


def test_the_topic_tells_chats_apart() -> None:
    known = said(chat=FORUM, message_thread_id=7, is_topic_message=True)

    assert isinstance(known, Known)
    assert known.chat is HOUSE.chats["night"]
