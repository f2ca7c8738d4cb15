"""Telegram's flood wait, kept for the whole bot: one place that every request of ours passes."""

from math import ceil

from aiogram import Bot
from aiogram.client.session.middlewares.base import BaseRequestMiddleware, NextRequestMiddlewareType
from aiogram.exceptions import TelegramAPIError, TelegramNetworkError, TelegramRetryAfter, TelegramServerError
from aiogram.methods import Response, TelegramMethod
from aiogram.methods.base import TelegramType

from bridge.clock import Clock

# Fetching is not speaking: Telegram answers it in a flood too, and what people type must not wait.
_FETCHING = {"getUpdates", "deleteWebhook"}
_ANOTHER_FLOOD = 30.0  # seconds after a wait was over: nothing was said in between, so nobody knows


class Patience(BaseRequestMiddleware):
    """Asked once to wait, nothing is said to any chat until the wait is over: whatever would is refused here, unsent.

    aiogram only raises a flood wait and never keeps one. It is counted from the moment of the answer, on the
    monotonic clock. Speaking on meanwhile makes Telegram wait longer.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = 0.0
        self._since: float | None = None
        self.got_through = False
        """Whether Telegram has listened since we started; before that nobody knows how it was left."""

    @property
    def left(self) -> float:
        """How many seconds nothing may be said for; 0: Telegram listens."""
        return max(0.0, self._until - self._clock.monotonic())

    @property
    def lasting(self) -> float:
        """For how many seconds Telegram has asked for patience without once listening in between; 0: it listens."""
        return 0.0 if self._since is None else min(self._clock.monotonic(), self._until) - self._since

    async def __call__(
        self,
        make_request: NextRequestMiddlewareType[TelegramType],
        bot: Bot,
        method: TelegramMethod[TelegramType],
    ) -> Response[TelegramType]:
        fetching = method.__api_method__ in _FETCHING
        if self.left and not fetching:
            raise TelegramRetryAfter(method=method, message="not over yet", retry_after=ceil(self.left))
        try:
            response = await make_request(bot, method)
        except TelegramRetryAfter as error:
            now = self._clock.monotonic()
            if self._since is None or now > self._until + _ANOTHER_FLOOD:
                self._since = now
            self._until = max(self._until, now + error.retry_after)
            raise
        except (TelegramNetworkError, TelegramServerError):
            raise  # a dead Telegram says nothing about its patience
        except TelegramAPIError:
            self._listened(fetching)
            raise
        self._listened(fetching)
        return response

    def _listened(self, fetching: bool) -> None:
        if not fetching:
            self._since, self.got_through = None, True
