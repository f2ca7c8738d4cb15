"""The bot, assembled: updates come in by polling or webhook, wait in the store, and are handled one by one."""

import json
import logging
from contextlib import suppress
from typing import Any, Self

import aiogram
from aiogram.exceptions import AiogramError, TelegramNetworkError, TelegramRetryAfter, TelegramServerError
from aiogram.types import BotCommand, Update
from aiogram.types.update import UpdateTypeLookupError
from pydantic import ValidationError

from bot.buttons import Buttons
from bot.chat import TelegramChat, open_bot, reason_of
from bot.commands import MENU, Commands
from bot.patience import Patience
from bot.poller import Poller
from bot.posted import Posted
from bot.reach import Reach
from bot.voice import MISTAKE, Voice, Words
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
_FLOOD = "flood"
_FLOOD_AFTER = 45.0  # seconds: one wait is rarely longer, and rings nobody
_FLOOD_WORDS = "Telegram asks for patience (429): cards and answers wait until it listens again, SMS go on"


class TelegramBot:
    """Everything the program needs of Telegram: `chat` shows cards, `poller` fetches, `handle_waiting` is the tick.

    An update is kept before Telegram hears that we have it, and marked after it was handled and answered. Dying in
    between repeats it; what changes anything carries the update as its cause, so the repeat changes nothing.
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
        self._patience = Patience(clock)
        self._bot = open_bot(settings, metrics, self._patience)
        self._router = _router(Commands(dispatcher, inquiries, store, clock, house), Buttons(dispatcher, house))
        self._flood_told = False
        self._flood_may_stand = True  # the process before us may have rung, and ended before it was over
        self.chat = TelegramChat(self._bot)
        reach = Reach(dispatcher, clock)
        self.poller = Poller(self._bot, dispatcher, clock, reach)
        self.posted = Posted(self._bot, reach, clock, settings.webhook_secret)
        self.voice = Voice(self._bot, self._patience, clock, self._finish)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.voice.close()
        await self._bot.session.close()

    async def handle_waiting(self) -> int:
        """Handle every kept update, one by one; how many. Raises NotStored when it cannot be noted.

        What is to be answered, `voice` says. An update that itself needs an answer of Telegram's waits for it, and
        holds up no other.
        """
        handled = 0
        postponed: set[int] = set()
        try:
            while waiting := await self._not_yet_handled(postponed):
                for update in waiting:
                    try:
                        outcome, words = await self._handle(update)
                    except (TelegramRetryAfter, TelegramNetworkError, TelegramServerError):
                        postponed.add(update.update_id)
                        continue
                    handled += 1
                    if words:
                        self.voice.answer(update, words)
                    else:
                        await self._finish(update, outcome)
        finally:
            self.voice.speak()
        await self._tell_of_the_flood()
        return handled

    async def _not_yet_handled(self, postponed: set[int]) -> list[TelegramUpdate]:
        limit = _BATCH + len(self.voice) + len(postponed)
        waiting = await self._store.read(lambda tx: tx.updates_waiting(limit))
        return [update for update in waiting if not self.voice.holds(update) and update.update_id not in postponed]

    async def receive_webhook(self, secret_header: str | None, body: bytes) -> int:
        """Keep an update that Telegram posted; the HTTP status to answer: 200 once it is kept, 401, 400 or 503."""
        secret = self._settings.webhook_secret
        if secret is None or secret_header is None or not secret.matches(secret_header):
            return 401
        update_id = _number_of(body)
        try:
            if update_id is None:
                await self._set_aside("bad", "no update")
                return 400
            await self._dispatcher.receive_updates([TelegramUpdate(self._bot.id, update_id, self._clock.now(), body)])
        except NotStored:
            return 503
        return 200

    async def offer_commands(self) -> bool:
        """Put our commands behind the slash in every chat; False: not now. Nothing depends on it."""
        with suppress(AiogramError):
            await self._bot.me()  # remembered: `/sms@our_name` needs it, perhaps in a flood
        menu = [BotCommand(command=name, description=words[:_MENU_LINE]) for name, words in MENU.items()]
        return await self._tell(aiogram.methods.SetMyCommands(commands=menu))

    async def _tell(self, method: aiogram.methods.TelegramMethod[bool]) -> bool:
        try:
            return await self._bot(method)
        except AiogramError as error:
            log.warning("Telegram was told in vain", extra={"method": method.__api_method__, "why": reason_of(error)})
            return False

    async def _handle(self, kept: TelegramUpdate) -> tuple[str, Words]:
        """What became of it, and what to answer. Telegram's passing troubles go through: nothing was done yet."""
        ids = {"update_id": kept.update_id}
        try:
            update = Update.model_validate(json.loads(kept.body), context={"bot": self._bot})
            kind = update.event_type
        except ValidationError as error:
            # Its own words would quote the update: the places of the faults are enough.
            places = {".".join(str(part) for part in fault["loc"]) for fault in error.errors(include_input=False)}
            log.error("Telegram update set aside: not as its documentation says", extra=ids)
            return await self._set_aside("bad", ", ".join(sorted(places))[:200])
        except (ValueError, RecursionError, UpdateTypeLookupError) as error:
            log.warning("Telegram update set aside", extra=ids | {"error": type(error).__name__})
            return await self._set_aside("bad", type(error).__name__)
        try:
            said = await self._router.feed_update(self._bot, update, cause=f"telegram:{kept.bot_id}:{kept.update_id}")
        except (NotStored, TelegramRetryAfter, TelegramNetworkError, TelegramServerError):
            raise  # nothing was changed: it stays waiting
        except Exception as error:
            log.exception("Telegram update failed", extra=ids | {"kind": kind})
            return await self._set_aside("failed", type(error).__name__)
        return "done", said if isinstance(said, list) else []

    async def _set_aside(self, became: str, why: str) -> tuple[str, Words]:
        """It will never be handled, and whoever sent it gets no answer: somebody has to hear of that."""
        text = f"what Telegram sent was set aside ({became}: {why}); if it was a command, it has to be typed again"
        await self._dispatcher.begin_trouble("update", "", text)
        return f"{became}: {why}", []

    async def _tell_of_the_flood(self) -> None:
        """A flood wait of seconds is ordinary; one that does not end silences every chat, and people are texted."""
        if self._patience.lasting >= _FLOOD_AFTER and not self._flood_told:
            await self._dispatcher.begin_trouble("telegram", _FLOOD, _FLOOD_WORDS, by_sms=True)
            self._flood_told = self._flood_may_stand = True
        elif self._flood_may_stand and self._patience.got_through and not self._patience.lasting:
            await self._dispatcher.end_trouble("telegram", _FLOOD)
            self._flood_told = self._flood_may_stand = False

    async def _finish(self, update: TelegramUpdate, outcome: str) -> None:
        if outcome == MISTAKE:
            text = "an answer in the chat was lost by a mistake of ours; what was asked for was done; please report it"
            await self._dispatcher.begin_trouble("update", "", text)
        now = self._clock.now()
        await self._store.write(lambda tx: tx.finish_update(update.bot_id, update.update_id, outcome, now))


def _number_of(body: bytes) -> int | None:
    """The update's own number, if it has one that can be kept."""
    try:
        number = json.loads(body)["update_id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    whole = isinstance(number, int) and not isinstance(number, bool)
    return number if whole and 0 <= number <= _HIGHEST_ID else None


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
