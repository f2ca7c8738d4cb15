"""What is answered to an update: said beside the work, and later when Telegram does not listen now."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiogram import Bot
from aiogram.exceptions import (
    AiogramError,
    ClientDecodeError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import SendMessage, TelegramMethod

from bot.chat import reason_of
from bot.patience import Patience
from bridge.clock import Clock
from bridge.ports import NotStored, TelegramUpdate

log = logging.getLogger(__name__)

MISTAKE = "failed: a mistake of ours"
"""What became of an update whose answer broke us."""
Words = list[TelegramMethod[Any]]
"""Requests to Telegram that answer one update, in their order."""

# Any of these tries may have been heard, and only its answer lost: there can be as many answers as tries.
_AGAIN_AFTER = (5.0, 15.0, 60.0)


@dataclass(slots=True)
class _Unsaid:
    update: TelegramUpdate
    words: Words
    outcome: str = "done"
    tries: int = 0
    not_before: float = 0.0


class Voice:
    """Answers updates in a task of its own: a Telegram that hangs or floods holds up no command.

    An update is `finish`ed once its answer was said, or cannot be. If we die before that, it is handled again:
    what it changed it does not change twice, and what it answers is said then.
    """

    def __init__(
        self, bot: Bot, patience: Patience, clock: Clock, finish: Callable[[TelegramUpdate, str], Awaitable[None]]
    ) -> None:
        self._bot = bot
        self._patience = patience
        self._clock = clock
        self._finish = finish
        self._unsaid: dict[tuple[int, int], _Unsaid] = {}
        self._speaking: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._unsaid)

    def holds(self, update: TelegramUpdate) -> bool:
        """Whether this one was handled, and its answer is still to be said."""
        return (update.bot_id, update.update_id) in self._unsaid

    def answer(self, update: TelegramUpdate, words: Words) -> None:
        """Say this as soon as Telegram listens."""
        self._unsaid[update.bot_id, update.update_id] = _Unsaid(update, words)

    def speak(self) -> None:
        """Say what may be said now; the next call says the rest."""
        if self._unsaid and (self._speaking is None or self._speaking.done()):
            self._speaking = asyncio.create_task(self._say_all(), name="voice")

    async def silent(self) -> None:
        """Return once nothing is being said."""
        if self._speaking is not None:
            await asyncio.wait({self._speaking})

    async def close(self) -> None:
        """Stop in the middle of a word; the next life says it."""
        if self._speaking is not None:
            self._speaking.cancel()
            await asyncio.wait({self._speaking})

    async def _say_all(self) -> None:
        tried: set[tuple[int, int]] = set()
        while (key := next((key for key in self._unsaid if key not in tried), None)) and not self._patience.left:
            tried.add(key)
            unsaid = self._unsaid[key]
            try:
                if self._clock.monotonic() >= unsaid.not_before and await self._say(unsaid):
                    await self._finish(unsaid.update, unsaid.outcome)
                    del self._unsaid[key]
            except NotStored:
                log.error("an answered update could not be marked; trying again")
            except Exception:
                log.exception("an answer to Telegram failed", extra={"update_id": unsaid.update.update_id})
                unsaid.words.clear()
                unsaid.outcome = MISTAKE

    async def _say(self, unsaid: _Unsaid) -> bool:
        """Say what is left of it; False: another time."""
        while unsaid.words:
            try:
                await self._bot(unsaid.words[0])
            except TelegramRetryAfter:
                return False
            except (TelegramNetworkError, TelegramServerError, ClientDecodeError) as error:
                if unsaid.tries < len(_AGAIN_AFTER):
                    unsaid.not_before = self._clock.monotonic() + _AGAIN_AFTER[unsaid.tries]
                    unsaid.tries += 1
                    return False
                self._give_up(unsaid, error)
            except AiogramError as error:
                # A late toast, or a command that may not be deleted: what was asked for is done all the same.
                if isinstance(unsaid.words[0], SendMessage):
                    self._give_up(unsaid, error)
            unsaid.words = unsaid.words[1:]
        return True

    def _give_up(self, unsaid: _Unsaid, error: AiogramError) -> None:
        ids = {"update_id": unsaid.update.update_id, "why": reason_of(error)}
        log.error("an answer to Telegram could not be said", extra=ids)
        unsaid.outcome = f"failed: {type(error).__name__}"
