"""The Chat port on aiogram: shows a view, and sorts everything Telegram may say into six outcomes."""

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.middlewares.base import BaseRequestMiddleware, NextRequestMiddlewareType
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    AiogramError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.methods import Response, TelegramMethod
from aiogram.methods.base import TelegramType
from aiogram.types import (
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LinkPreviewOptions,
    MessageEntity,
    ReplyParameters,
    User,
)

from bot.cards import Rendered, render
from bot.patience import Patience
from bridge.config import TelegramSettings
from bridge.metrics import Metrics
from bridge.ports import ChatOutcome, Closed, Later, Moved, Place, Shown, Unshowable, Vanished, View

log = logging.getLogger(__name__)

REQUEST_TIMEOUT = 10.0
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)

_SOON = timedelta(seconds=5)
_TOKEN_WAIT = timedelta(minutes=1)
# Telegram has no error codes for these, only sentences.
_UNCHANGED = "message is not modified"
_GONE = ("message to edit not found", "message can't be edited", "message_id_invalid", "message identifier")
# What is wrong with a chat for every card there; any other refusal is about the one card.
_SHUT = (
    "chat not found",
    "topic_closed",
    "topic_deleted",
    "message thread not found",
    "not enough rights",
    "have no rights",
    "need administrator rights",
    "chat_write_forbidden",
    "chat_restricted",
    "chat_admin_required",
    "channel_private",
    "peer_id_invalid",
    "user_is_blocked",
    "deactivated",
)
_BAD_URL = ("button_url_invalid", "wrong http url", "invalid http url", "inline keyboard button url")


class TelegramChat:
    """Shows cards through one bot."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot

    async def show(
        self,
        place: Place,
        view: View,
        *,
        message_id: int | None = None,
        reply_to: int | None = None,
        ring: bool = False,
    ) -> ChatOutcome:
        """Send a new message, or edit `message_id` in place. `ring`: with sound."""
        card = render(view)
        try:
            try:
                shown = await self._put(place, card, message_id, reply_to, ring)
            except TelegramBadRequest as error:
                if not _says(error, *_BAD_URL):
                    raise
                # An address that Telegram dislikes must not cost the whole card.
                shown = await self._put(place, _without_links(card), message_id, reply_to, ring)
        except AiogramError as error:
            return _sorted(error, message_id)
        return Shown(shown)

    async def _put(self, place: Place, card: Rendered, message_id: int | None, reply_to: int | None, ring: bool) -> int:
        if message_id is not None:
            await self._bot.edit_message_text(
                card.text,
                chat_id=place.chat_id,
                message_id=message_id,
                entities=_entities(card),
                reply_markup=keyboard(card),
                link_preview_options=NO_PREVIEW,
            )
            return message_id
        reply = ReplyParameters(message_id=reply_to, allow_sending_without_reply=True) if reply_to else None
        sent = await self._bot.send_message(
            place.chat_id,
            card.text,
            message_thread_id=place.topic,
            entities=_entities(card),
            reply_markup=keyboard(card),
            reply_parameters=reply,
            disable_notification=not ring,
            link_preview_options=NO_PREVIEW,
        )
        return sent.message_id


def keyboard(card: Rendered) -> InlineKeyboardMarkup | None:
    """The buttons as Telegram takes them."""
    rows = [
        [InlineKeyboardButton(text=button.label, callback_data=button.data, url=button.url) for button in row]
        for row in card.buttons
    ]
    return InlineKeyboardMarkup(inline_keyboard=rows) if rows else None


def _entities(card: Rendered) -> list[MessageEntity] | None:
    """Whom a message calls by name: their phone says so, also where the group is muted."""
    named = [
        MessageEntity(
            type="text_mention",
            offset=mention.start,
            length=mention.length,
            user=User(id=mention.telegram_id, is_bot=False, first_name=mention.name),
        )
        for mention in card.mentions
    ]
    return named or None


def open_bot(settings: TelegramSettings, metrics: Metrics, patience: Patience) -> Bot:
    """A bot with a session of its own; close it with `bot.session.close()`. Raises ValueError for a bad token."""
    session = AiohttpSession(api=TelegramAPIServer.from_base(settings.api_url), timeout=REQUEST_TIMEOUT)
    session.middleware(patience)  # the outermost: what it holds back is no request
    session.middleware(_Counting(metrics))
    return Bot(settings.token.reveal(), session=session)


def reason_of(error: AiogramError) -> str:
    """What went wrong, in our own words: Telegram's may quote a text, and a client's may quote the token's URL."""
    match error:
        case TelegramRetryAfter(retry_after=seconds):
            return f"Telegram asks for {seconds} s of patience"
        case TelegramUnauthorizedError() | TelegramNotFound():
            return "Telegram refuses our token; put the right one into telegram.token"
        case TelegramConflictError():
            return "another program uses our Telegram token"
        case _:
            return f"Telegram cannot be reached ({type(error).__name__})"


def _sorted(error: AiogramError, message_id: int | None) -> ChatOutcome:
    match error:
        case TelegramRetryAfter(retry_after=seconds):
            return Later(timedelta(seconds=seconds), reason_of(error), whole_bot=True)
        case TelegramMigrateToChat(migrate_to_chat_id=chat_id):
            return Moved(chat_id)
        case TelegramUnauthorizedError() | TelegramNotFound():
            return Later(_TOKEN_WAIT, reason_of(error), whole_bot=True)
        case TelegramBadRequest() if message_id is not None and _says(error, _UNCHANGED):
            return Shown(message_id)
        case TelegramBadRequest() if message_id is not None and _says(error, *_GONE):
            return Vanished()
        case TelegramForbiddenError():
            return Closed(_words(error))
        case TelegramBadRequest():
            return Closed(_words(error)) if _says(error, *_SHUT) else Unshowable(_words(error))
        case _:
            return Later(_SOON, reason_of(error))


def _words(error: TelegramBadRequest | TelegramForbiddenError) -> str:
    """What Telegram says, without its HTTP word in front."""
    return error.message.partition(": ")[2] or error.message


def _says(error: TelegramBadRequest, *sentences: str) -> bool:
    said = error.message.casefold()
    return any(sentence in said for sentence in sentences)


def _without_links(card: Rendered) -> Rendered:
    rows = (tuple(button for button in row if button.url is None) for row in card.buttons)
    return replace(card, buttons=tuple(row for row in rows if row))


class _Counting(BaseRequestMiddleware):
    """Counts every request by method and result."""

    def __init__(self, metrics: Metrics) -> None:
        self._requests = metrics.telegram_requests

    async def __call__(
        self,
        make_request: NextRequestMiddlewareType[TelegramType],
        bot: Bot,
        method: TelegramMethod[TelegramType],
    ) -> Response[TelegramType]:
        name: Any = method.__api_method__
        try:
            response = await make_request(bot, method)
        except AiogramError as error:
            self._requests.labels(name, type(error).__name__.removeprefix("Telegram")).inc()
            raise
        self._requests.labels(name, "ok").inc()
        return response
