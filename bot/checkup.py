"""Whether the bot can do its work: its token, each chat and topic, and who has pressed Start. For `doctor`."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiogram import Bot
from aiogram.exceptions import (
    AiogramError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNotFound,
)
from aiogram.types import (
    ChatFullInfo,
    ChatMember,
    ChatMemberAdministrator,
    ChatMemberBanned,
    ChatMemberLeft,
    ChatMemberMember,
    ChatMemberRestricted,
)

from bot.chat import open_bot, reason_of
from bot.patience import Patience
from bridge.clock import SystemClock
from bridge.config import TelegramSettings
from bridge.domain.house import ChatPlace, House, Person
from bridge.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; without a `problem` it is well. The problem says what to do."""

    what: str
    problem: str = ""


async def check_telegram(settings: TelegramSettings, house: House) -> AsyncIterator[Check]:
    """Ask Telegram about everything the config names. Nobody gets a message; "typing…" may show for a moment."""
    bot = open_bot(settings, Metrics(), Patience(SystemClock()))
    try:
        try:
            me = await bot.get_me()
        except AiogramError as error:
            yield Check("Telegram", reason_of(error))
            return
        yield Check(f"Telegram: the token is good, the bot is @{me.username}")
        for chat in house.chats.values():
            yield await _chat(bot, chat)
        for person in house.people.values():
            if person.telegram_id is not None:
                yield await _person(bot, person, person.telegram_id, str(me.username))
    finally:
        await bot.session.close()


async def _chat(bot: Bot, chat: ChatPlace) -> Check:
    what = f"chat {chat.name}" + (f", topic {chat.topic}" if chat.topic is not None else "")
    try:
        found = await bot.get_chat(chat.id)
        if barred := _cannot_write(found, await bot.get_chat_member(chat.id, bot.id)):
            return Check(what, barred)
        await _type(bot, chat.id, chat.topic)
    except TelegramMigrateToChat as error:
        return Check(what, f"it became a supergroup: set chats.{chat.name}.id to {error.migrate_to_chat_id}")
    except (TelegramBadRequest, TelegramForbiddenError) as error:
        return Check(what, f"{_said(error)}; the bot has to be in it, and /id typed there tells its ids")
    except AiogramError as error:
        return Check(what, reason_of(error))
    return Check(f"{what}: the bot may write to {found.full_name}")


def _cannot_write(found: ChatFullInfo, bot: ChatMember) -> str:
    """Why the bot cannot write there; empty when it can."""
    match bot:
        case ChatMemberLeft() | ChatMemberBanned():
            return "the bot is not in it; add it to the group"
        case ChatMemberRestricted(can_send_messages=False):
            return "the bot may not write there; let it, in the group's permissions"
        case ChatMemberMember() if found.permissions is not None and found.permissions.can_send_messages is False:
            return "only administrators may write there; make the bot one"
        case ChatMemberAdministrator(can_post_messages=False) if found.type == "channel":
            return "the bot may not post in this channel; let it, in its administrator's rights"
        case _:
            return ""


async def _person(bot: Bot, person: Person, telegram_id: int, bot_name: str) -> Check:
    try:
        await bot.get_chat(telegram_id)
        await _type(bot, telegram_id)
    except (TelegramBadRequest, TelegramForbiddenError) as error:
        how = f"{person.spoken} has to open https://t.me/{bot_name} and press Start"
        return Check(f"{person.name} in Telegram", f"{_said(error)}; {how}")
    except AiogramError as error:
        return Check(f"{person.name} in Telegram", reason_of(error))
    return Check(f"{person.name} in Telegram: has pressed Start")


async def _type(bot: Bot, chat_id: int, topic: int | None = None) -> None:
    """The one way to try whether a message would be let through, without sending one.

    getChat alone answers for people of a common group too, and knows nothing of topics.
    """
    try:
        await bot.send_chat_action(chat_id, "typing", message_thread_id=topic)
    except TelegramNotFound:
        return  # a Bot API server without this method: what getChat said has to do


def _said(error: TelegramBadRequest | TelegramForbiddenError) -> str:
    return error.message.partition(": ")[2] or error.message
