"""The bot, assembled: updates come in by polling or webhook, wait in the store, and are handled one by one."""

import json
import logging
from typing import Any, Self

import aiogram
from aiogram.exceptions import AiogramError
from aiogram.types import BotCommand, Update
from aiogram.types.update import UpdateTypeLookupError
from pydantic import ValidationError

from bot.buttons import Buttons
from bot.chat import TelegramChat, open_bot, reason_of
from bot.commands import MENU, Commands
from bot.poller import UPDATE_KINDS, Poller
from bridge.clock import Clock
from bridge.config import TelegramSettings
from bridge.dispatcher import Dispatcher
from bridge.domain.house import House
from bridge.inquiries import Inquiries
from bridge.metrics import Metrics
from bridge.ports import Live, NotStored, Store, TelegramUpdate

log = logging.getLogger(__name__)

_BATCH = 100
_HIGHEST_ID = 2**63 - 1  # that a database numbers rows with
_MENU_LINE = 100  # characters that fit on a phone


class TelegramBot:
    """Everything the program needs of Telegram: `chat` shows cards, `poller` fetches, `handle_waiting` is the tick.

    An update is kept before Telegram hears that we have it, and marked after it was handled. Dying in between
    repeats it; what changes anything carries the update as its cause, so the repeat changes nothing.
    """

    def __init__(
        self,
        settings: TelegramSettings,
        dispatcher: Dispatcher,
        inquiries: Inquiries,
        store: Store,
        clock: Clock,
        house: Live[House],
        metrics: Metrics,
    ) -> None:
        if settings.updates == "webhook" and settings.webhook_secret is None:
            raise ValueError("telegram.updates: webhook needs telegram.webhook_secret, or anybody could send commands")
        self._settings = settings
        self._dispatcher = dispatcher
        self._store = store
        self._clock = clock
        self._bot = open_bot(settings, metrics)
        self._router = _router(Commands(dispatcher, inquiries, store, clock, house), Buttons(dispatcher, house))
        self.chat = TelegramChat(self._bot)
        self.poller = Poller(self._bot, dispatcher, clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._bot.session.close()

    async def handle_waiting(self) -> int:
        """Handle every kept update, one by one; how many. Raises NotStored when it cannot be noted."""
        handled = 0
        while waiting := await self._store.read(lambda tx: tx.updates_waiting(_BATCH)):
            for update in waiting:
                outcome = await self._handle(update)
                await self._finish(update, outcome)
            handled += len(waiting)
        return handled

    async def receive_webhook(self, secret_header: str | None, body: bytes) -> int:
        """Keep an update that Telegram posted; the HTTP status to answer: 200 once it is kept, 401, 400 or 503."""
        secret = self._settings.webhook_secret
        if secret is None or secret_header is None or not secret.matches(secret_header):
            return 401
        try:
            update_id = json.loads(body)["update_id"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return 400
        if not isinstance(update_id, int) or isinstance(update_id, bool) or not 0 <= update_id <= _HIGHEST_ID:
            return 400
        try:
            await self._dispatcher.receive_updates([TelegramUpdate(self._bot.id, update_id, self._clock.now(), body)])
        except NotStored:
            return 503
        return 200

    async def register_webhook(self, url: str) -> bool:
        """Ask Telegram to post updates to this URL; False: not now, ask again later."""
        secret = self._settings.webhook_secret
        return await self._tell(
            aiogram.methods.SetWebhook(
                url=url, secret_token=secret.reveal() if secret else None, allowed_updates=UPDATE_KINDS
            )
        )

    async def offer_commands(self) -> bool:
        """Put our commands behind the slash in every chat; False: not now. Nothing depends on it."""
        menu = [BotCommand(command=name, description=words[:_MENU_LINE]) for name, words in MENU.items()]
        return await self._tell(aiogram.methods.SetMyCommands(commands=menu))

    async def _tell(self, method: aiogram.methods.TelegramMethod[bool]) -> bool:
        try:
            return await self._bot(method)
        except AiogramError as error:
            log.warning("Telegram was told in vain", extra={"method": method.__api_method__, "why": reason_of(error)})
            return False

    async def _handle(self, kept: TelegramUpdate) -> str:
        ids = {"update_id": kept.update_id}
        try:
            update = Update.model_validate(json.loads(kept.body), context={"bot": self._bot})
            kind = update.event_type
        except ValidationError as error:
            # Its own words would quote the update: the places of the faults are enough.
            places = {".".join(str(part) for part in fault["loc"]) for fault in error.errors(include_input=False)}
            log.error("Telegram update set aside: not as its documentation says", extra=ids)
            return f"bad: {', '.join(sorted(places))[:200]}"
        except (ValueError, RecursionError, UpdateTypeLookupError) as error:
            log.warning("Telegram update set aside", extra=ids | {"error": type(error).__name__})
            return f"bad: {type(error).__name__}"
        try:
            await self._router.feed_update(self._bot, update, cause=f"telegram:{kept.bot_id}:{kept.update_id}")
        except NotStored:
            raise  # nothing was changed: it stays waiting
        except AiogramError as error:
            log.error("Telegram update failed", extra=ids | {"kind": kind, "why": reason_of(error)})
            return f"failed: {type(error).__name__}"
        except Exception as error:
            log.exception("Telegram update failed", extra=ids | {"kind": kind})
            return f"failed: {type(error).__name__}"
        return "done"

    async def _finish(self, update: TelegramUpdate, outcome: str) -> None:
        now = self._clock.now()
        await self._store.write(lambda tx: tx.finish_update(update.bot_id, update.update_id, outcome, now))


def _router(commands: Commands, buttons: Buttons) -> aiogram.Dispatcher:
    router = aiogram.Dispatcher(disable_fsm=True)
    heard: dict[str, Any] = {
        "message": commands.hear,
        "edited_message": commands.hear_edit,
        "callback_query": buttons.hear,
    }
    for kind, handler in heard.items():
        router.observers[kind].register(handler)
    return router
