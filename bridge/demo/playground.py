"""A page and three small routes to play with: type in the simulated chat, press its buttons, look at phones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from bridge.demo.mobizon import SimulatedMobizon
from bridge.demo.telegram import SimulatedMessage, SimulatedTelegram


class Playground:
    """Serves one chat, as one person of it, and the phones of everybody."""

    def __init__(
        self,
        telegram: SimulatedTelegram,
        mobizon: SimulatedMobizon,
        chat_id: int,
        user_id: int,
        phones: Mapping[str, str],
    ) -> None:
        self._telegram = telegram
        self._mobizon = mobizon
        self._chat_id = chat_id
        self._user_id = user_id
        self._names = {number.removeprefix("+"): name.capitalize() for name, number in phones.items()}
        self._runner: web.AppRunner | None = None

    async def start(self, port: int) -> int:
        """Listen on loopback, on this port or a free one; the port."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/state", self._state),
                web.get("/chat", self._chat),
                web.post("/chat", self._typed),
                web.post("/press", self._pressed),
                web.get("/phones", self._phones),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", port).start()
        except OSError:
            await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _typed(self, request: web.Request) -> web.Response:
        text = str((await request.post()).get("text", "")).strip()
        if not text:
            return web.Response(status=400, text="say what to type: curl --data-urlencode 'text=/sms jonas hello' …\n")
        self._telegram.type(self._user_id, self._chat_id, text)
        return web.Response(text=f"typed; see {request.url.origin()}/chat\n")

    async def _pressed(self, request: web.Request) -> web.Response:
        label = str((await request.post()).get("label", ""))
        try:
            self._telegram.press(label, self._user_id, self._chat_id)
        except LookupError:
            return web.Response(status=404, text="there is no such button\n")
        return web.Response(text="pressed\n")

    async def _chat(self, _: web.Request) -> web.Response:
        said = [
            f"{'sms-bridge' if message.by_bot else 'Aigerim'}: {message.text}"
            + (f"\n  [{'] ['.join(message.buttons)}]" if message.buttons else "")
            for message in self._messages()
        ]
        return web.Response(text="\n\n".join(said) + "\n")

    async def _phones(self, _: web.Request) -> web.Response:
        lines = [f"{phone['name']}\n" + "\n".join(f"  {sms}" for sms in phone["sms"]) for phone in self._handsets()]
        return web.Response(text="\n\n".join(lines) + "\n")

    async def _state(self, _: web.Request) -> web.Response:
        chat = [{"bot": m.by_bot, "text": m.text, "buttons": m.buttons} for m in self._messages()]
        return web.json_response({"chat": chat, "phones": self._handsets()})

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html")

    def _messages(self) -> list[SimulatedMessage]:
        return self._telegram.chat(self._chat_id).messages

    def _handsets(self) -> list[dict[str, Any]]:
        numbers = dict.fromkeys([*self._names, *(sms.to for sms in self._mobizon.sent)])
        return [
            {
                "name": f"{self._names.get(number, 'Somebody')} (+{number})",
                "sms": [
                    f"{sms.created_at.astimezone():%H:%M:%S} {sms.status} from {sms.sender}: {sms.text}"
                    for sms in self._mobizon.phone(number).messages
                ]
                or ["nothing yet"],
            }
            for number in numbers
        ]


_PAGE = Path(__file__).with_name("playground.html").read_text(encoding="utf-8")
