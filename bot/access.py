"""Who may speak: a Telegram user id of the config, in a chat of the config or privately. Pure."""

from dataclasses import dataclass

from aiogram.types import Chat, Message, User

from bridge.domain.house import NOT_PEOPLE, ChatPlace, House, Person


@dataclass(frozen=True, slots=True)
class Known:
    """A person of the config; `chat` is None in a private chat that the config does not name."""

    person: Person
    chat: ChatPlace | None


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody with a Telegram id. In a chat of the config they are told why they are refused, elsewhere only /id."""

    telegram_id: int
    chat: ChatPlace | None


@dataclass(frozen=True, slots=True)
class Nobody:
    """Not a person's own words: a bot, a channel, an anonymous admin, a forwarded message."""


Speaker = Known | Stranger | Nobody


def speaker(message: Message, house: House) -> Speaker:
    """Who says this, by user id alone; what could be put into somebody's mouth is nobody's word."""
    borrowed = (
        message.sender_chat,  # a channel or an anonymous admin
        message.forward_origin,  # somebody had them forward a prepared command
        message.forward_date,  # the same, from a Bot API server of before 2024
        message.via_bot,
        message.is_automatic_forward,
    )
    if message.from_user is None or any(borrowed):
        return Nobody()
    topic = message.message_thread_id if message.is_topic_message else None
    return who(message.from_user, message.chat, topic, house)


def who(user: User, chat: Chat, topic: int | None, house: House) -> Speaker:
    """Who this user is in this chat; for a pressed button, which has no message of theirs."""
    if user.is_bot or user.id in NOT_PEOPLE:
        return Nobody()
    place = house.chat_at(chat.id, topic)
    person = house.person_by_telegram(user.id)
    if person is not None and (place is not None or chat.type == "private"):
        return Known(person, place)
    return Stranger(user.id, place)
