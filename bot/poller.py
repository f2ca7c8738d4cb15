"""Fetches updates: a getUpdates loop of our own, since aiogram's tells Telegram "have it" before we do.

Updates stay plain dicts here: one that aiogram cannot read must not take the whole batch with it.
"""

import json
import logging
from contextlib import suppress
from typing import Any

from aiogram import Bot
from aiogram.exceptions import (
    AiogramError,
    ClientDecodeError,
    TelegramConflictError,
    TelegramRetryAfter,
)
from aiogram.methods import TelegramMethod

from bot.chat import REQUEST_TIMEOUT, reason_of
from bot.reach import CONFLICT, DOWN, Reach
from bridge.clock import Clock
from bridge.dispatcher import Dispatcher
from bridge.ports import NotStored, TelegramUpdate

log = logging.getLogger(__name__)

UPDATE_KINDS = ["message", "edited_message", "callback_query"]
"""What we ask Telegram for; the rest would only be thrown away."""

_LONG_POLL = 25
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0
_CONFLICT_WAIT = 5.0
_CONFLICT_WORDS = (
    "another program fetches this bot's updates, so commands get lost: stop it, "
    "or make a new token if nobody knows what it is"
)


class _GetRawUpdates(TelegramMethod[list[dict[str, Any]]]):
    __returning__ = list[dict[str, Any]]
    __api_method__ = "getUpdates"

    offset: int | None = None
    timeout: int = 0
    limit: int = 100
    allowed_updates: list[str] = UPDATE_KINDS


class Poller:
    """One poller per token: Telegram gives each update to whoever asks first."""

    def __init__(self, bot: Bot, dispatcher: Dispatcher, clock: Clock, reach: Reach) -> None:
        self._bot = bot
        self._dispatcher = dispatcher
        self._clock = clock
        self._reach = reach
        self._offset: int | None = None
        self._webhook_gone = False
        self._wait = _FIRST_WAIT

    async def poll_once(self, timeout: int = 0) -> int:  # noqa: ASYNC109 - Telegram's own parameter
        """Fetch what waits, at most `timeout` seconds long, and keep it; only then is Telegram told. How many."""
        updates = await self._bot(
            _GetRawUpdates(offset=self._offset, timeout=timeout), request_timeout=int(timeout + REQUEST_TIMEOUT)
        )
        now = self._clock.now()
        kept = [
            TelegramUpdate(self._bot.id, update["update_id"], now, json.dumps(update).encode())
            for update in updates
            if isinstance(update.get("update_id"), int)  # without its number there is nothing to say "have it" with
        ]
        if kept:
            await self._dispatcher.receive_updates(kept)
        # After a quiet week Telegram numbers afresh, perhaps lower; with nothing unconfirmed no offset is needed.
        self._offset = kept[-1].update_id + 1 if kept else None
        return len(kept)

    async def poll_forever(self) -> None:
        """Fetch until cancelled, patiently: a Telegram that is away, in conflict or angry is waited for."""
        while True:
            await self._clock.wait(await self.poll_patiently())

    async def poll_patiently(self, timeout: int = _LONG_POLL) -> float:  # noqa: ASYNC109 - the same
        """One long poll that never raises; how many seconds to wait before the next."""
        try:
            if not self._webhook_gone:
                with suppress(TelegramRetryAfter):  # in a flood it is asked again with the next poll
                    await self._bot.delete_webhook()  # while one is set, getUpdates is refused
                    self._webhook_gone = True
            await self.poll_once(timeout)
            await self._reach.well()
            self._wait = _FIRST_WAIT
            return 0
        except TelegramRetryAfter as error:
            log.warning("Telegram asked for patience", extra={"seconds": error.retry_after})
            return float(error.retry_after)
        except TelegramConflictError:
            await self._reach.failed(CONFLICT, _CONFLICT_WORDS)
            return _CONFLICT_WAIT
        except (AiogramError, ClientDecodeError) as error:
            await self._reach.failed(DOWN, reason_of(error))
        except NotStored:
            log.error("Telegram updates could not be kept; asking for them again")
        except Exception:
            log.exception("polling Telegram failed")
        return self._back_off()

    def _back_off(self) -> float:
        wait = self._wait
        self._wait = min(wait * 2, _LONGEST_WAIT)
        return wait
