"""Telegram's own webhook: the secret header, the body, and on to the bot that knows what it means."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from bridge.clock import Clock
from bridge.config import Config
from bridge.ports import Live
from bridge.web.bodies import read_body
from bridge.web.problems import Problem

UpdateReceiver = Callable[[str | None, bytes], Awaitable[int]]
"""Takes the secret header and a body, keeps the update, answers with an HTTP status."""

_SECRET = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name
_LARGEST_UPDATE = 1024 * 1024


class TelegramWebhook:
    """The handler of `/telegram/{path}`."""

    def __init__(self, config: Live[Config], clock: Clock, receiver: UpdateReceiver) -> None:
        self._config = config
        self._clock = clock
        self._receiver = receiver

    async def receive(self, request: web.Request) -> web.Response:
        settings = self._config.value.telegram
        if settings is None or request.match_info["path"] != settings.webhook_path:
            raise Problem(404, "nothing is received here")
        shown, secret = request.headers.get(_SECRET), settings.webhook_secret
        if secret is None or shown is None or not secret.matches(shown):
            raise Problem(401, f"no or a wrong {_SECRET}")
        body = await read_body(request, _LARGEST_UPDATE, self._clock)
        return web.Response(status=await self._receiver(shown, body))
