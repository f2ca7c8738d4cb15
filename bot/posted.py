"""Updates that Telegram posts to us: asks it whether it still does, and can.

https://core.telegram.org/bots/api#getwebhookinfo
"""

import logging
from datetime import timedelta

from aiogram import Bot
from aiogram.exceptions import AiogramError, ClientDecodeError, TelegramRetryAfter
from aiogram.methods import GetWebhookInfo, SetWebhook
from aiogram.types import WebhookInfo

from bot.chat import reason_of
from bot.poller import UPDATE_KINDS
from bot.reach import CONFLICT, DOWN, Reach
from bridge.clock import Clock
from bridge.domain.secret import Secret
from bridge.ports import NotStored

log = logging.getLogger(__name__)

_EVERY = 30.0  # seconds
_LATELY = timedelta(minutes=1)
_TAKEN = (
    "another program took this bot's updates away, so commands get lost: stop it, "
    "or make a new token if nobody knows what it is"
)


class Posted:
    """Nobody hears of a Telegram that posts nothing unless somebody asks it."""

    def __init__(self, bot: Bot, reach: Reach, clock: Clock, secret: Secret | None) -> None:
        self._bot = bot
        self._reach = reach
        self._clock = clock
        self._secret = secret
        self._ours = False

    async def look_after(self, url: str) -> None:
        """Until cancelled: have updates posted there, and see that they are."""
        while True:
            await self.look(url)
            await self._clock.wait(_EVERY)

    async def look(self, url: str) -> None:
        """One look; whatever Telegram says is told by `reach` and raises nothing."""
        try:
            if not self._ours:  # a life before us may have registered it with another secret
                await self._register(url)
            info = await self._bot(GetWebhookInfo())
            if info.url != url:
                await self._reach.failed(CONFLICT, _TAKEN)
                await self._register(url)
            elif words := self._in_vain(info):
                await self._reach.failed(DOWN, f"Telegram cannot post to {url}: {words}")
            else:
                await self._reach.well()
        except TelegramRetryAfter as error:
            log.warning("Telegram asked for patience", extra={"seconds": error.retry_after})
        except (AiogramError, ClientDecodeError) as error:
            await self._reach.failed(DOWN, reason_of(error))
        except NotStored:
            log.error("what Telegram said of its posting could not be kept")
        except Exception as error:
            log.exception("asking Telegram whether it posts failed")
            await self._reach.failed(DOWN, f"a mistake of ours ({type(error).__name__}); please report it")

    async def _register(self, url: str) -> None:
        secret = self._secret.reveal() if self._secret else None
        await self._bot(SetWebhook(url=url, secret_token=secret, allowed_updates=UPDATE_KINDS))
        self._ours = True

    def _in_vain(self, info: WebhookInfo) -> str:
        """Why what waits there was not taken lately; empty while all is well."""
        lately = info.last_error_date is not None and self._clock.now() - info.last_error_date < _LATELY
        return info.last_error_message or "no reason given" if lately and info.pending_update_count else ""
