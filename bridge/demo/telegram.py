"""A Telegram of our own on loopback: the Bot API methods we use, with chats one can look into and faults to order.

Sentences and codes are the real server's; what the real one does over hours (keeping updates for a day) is left out.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web

from bridge.clock import Clock, SystemClock

BOT_TOKEN = "123456:simulated-telegram-token-000000000"  # noqa: S105 - opens nothing but this simulator
BOT_NAME = "sms_bridge_bot"


@dataclass(slots=True, eq=False)
class SimulatedMessage:
    """One message as the chat shows it now; `revisions` are all its texts, oldest first."""

    id: int
    chat_id: int
    sender: int | None  # a user id; None: the bot
    text: str
    date: int
    topic: int | None = None
    reply_to: int | None = None
    silent: bool = False
    keyboard: list[list[dict[str, Any]]] = field(default_factory=list)
    mentions: dict[str, int] = field(default_factory=dict)  # names in the text that call a user
    revisions: list[str] = field(default_factory=list)
    deleted: bool = False

    @property
    def by_bot(self) -> bool:
        return self.sender is None

    @property
    def buttons(self) -> list[str]:
        """The labels below it, row by row."""
        return [button["text"] for row in self.keyboard for button in row]


@dataclass(slots=True, eq=False)
class SimulatedChat:
    """One chat; `history` keeps what was deleted too."""

    id: int
    history: list[SimulatedMessage] = field(default_factory=list)
    refusal: tuple[int, str, dict[str, Any]] | None = None  # what every request to it is answered with
    closed_topics: set[int] = field(default_factory=set)

    @property
    def messages(self) -> list[SimulatedMessage]:
        """What stands in it now, people's and the bot's, in order."""
        return [message for message in self.history if not message.deleted]

    @property
    def cards(self) -> list[SimulatedMessage]:
        """What the bot said and still stands."""
        return [message for message in self.messages if message.by_bot]

    @property
    def last(self) -> SimulatedMessage:
        """What the bot said last."""
        return self.cards[-1]

    def message(self, message_id: int) -> SimulatedMessage | None:
        return next((message for message in self.messages if message.id == message_id), None)


@dataclass(slots=True, eq=False)
class Press:
    """A pressed button, and the toast it was answered with."""

    id: str
    toast: str | None = None


class _Refused(Exception):
    def __init__(self, code: int, description: str, parameters: Mapping[str, Any] | None = None) -> None:
        super().__init__(description)
        self.answer: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
        if parameters:
            self.answer["parameters"] = dict(parameters)


class SimulatedTelegram:
    """A Bot API server for one bot. `on_event(what, message)` hears "typed", "sent", "edited" and "deleted"."""

    def __init__(
        self,
        token: str = BOT_TOKEN,
        *,
        clock: Clock | None = None,
        on_event: Callable[[str, SimulatedMessage], None] | None = None,
    ) -> None:
        self.token = token
        self.chats: dict[int, SimulatedChat] = {}
        self.presses: list[Press] = []
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.menu: list[dict[str, Any]] = []
        self.webhook: dict[str, Any] = {}
        self.post_error: tuple[datetime, str] | None = None  # when Telegram last posted in vain, and why
        self._clock = clock or SystemClock()
        self._on_event = on_event
        self._updates: list[dict[str, Any]] = []
        self._next_update = 1000
        self._next_message = 1
        self._fault: Callable[[str], None] | None = None
        self._hangs_up = False
        self._answers_lost = 0
        self._delay = 0.0
        self._poller: asyncio.Event | None = None  # set: this long poll has to end
        self._changed = asyncio.Event()
        self._polled = asyncio.Event()
        self._stopping = False
        self._runner: web.AppRunner | None = None
        self._port = 0

    # --- its life ---

    async def start(self, port: int = 0) -> str:
        """Listen on loopback; the address for `telegram.api_url`."""
        app = web.Application()
        app.router.add_route("*", "/bot{token}/{method}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        self._stopping = False
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self._port = self._runner.addresses[0][1]
        return self.url

    async def polled(self) -> None:
        """Return once a long poll waits here."""
        await self._polled.wait()

    async def stop(self) -> None:
        """Answer the long poll that waits, then close."""
        self._stopping = True
        self._wake()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def last_update(self) -> int:
        """The id of the newest update."""
        return self._next_update

    # --- what people do ---

    def chat(self, chat_id: int) -> SimulatedChat:
        """The chat with this id; groups have negative ids, as in life."""
        return self.chats.setdefault(chat_id, SimulatedChat(chat_id))

    def type(
        self,
        user_id: int,
        chat_id: int,
        text: str,
        topic: int | None = None,
        reply_to: SimulatedMessage | None = None,
        forward: bool = False,
        edited: SimulatedMessage | None = None,
        **fields: Any,
    ) -> SimulatedMessage:
        """Somebody writes, forwards or edits; `fields` go into the Bot API message as they are."""
        now = int(self._clock.now().timestamp())
        if edited is not None:
            edited.text = text
            edited.revisions.append(text)
            self.put("edited_message", self._json(edited) | {"edit_date": now} | fields)
            return edited
        message = self._add(user_id, chat_id, text, topic=topic, reply_to=reply_to.id if reply_to else None)
        if forward:
            origin = {"type": "user", "date": now, "sender_user": {"id": 5, "is_bot": False, "first_name": "E"}}
            fields = {"forward_origin": origin} | fields
        self.put("message", self._json(message) | fields)
        self._tell("typed", message)
        return message

    def press(self, label: str, by: int, chat_id: int) -> Press:
        """Somebody presses the newest button of that label."""
        for message in reversed(self.chat(chat_id).cards):
            for button in (button for row in message.keyboard for button in row):
                if button["text"] == label:
                    return self.press_data(button.get("callback_data", ""), by, message)
        shown = [message.buttons for message in self.chat(chat_id).cards]
        raise LookupError(f"no button {label!r} in chat {chat_id}; its messages have {shown}")

    def press_data(self, data: str, by: int, message: SimulatedMessage) -> Press:
        """A press as a client could make it up."""
        press = Press(id=str(9000 + len(self.presses)))
        self.presses.append(press)
        callback = {
            "id": press.id,
            "from": self._user(by),
            "chat_instance": "1",
            "data": data,
            "message": self._json(message),
        }
        self.put("callback_query", callback)
        return press

    def delete(self, message: SimulatedMessage) -> None:
        """Somebody removes a message: it can no longer be edited."""
        message.deleted = True
        self._tell("deleted", message)

    def put(self, kind: str, content: Mapping[str, Any]) -> int:
        """Any update at all, and its id; whoever polls gets it at once."""
        self._next_update += 1
        self._updates.append({"update_id": self._next_update, kind: dict(content)})
        self._wake()
        return self._next_update

    def poison(self) -> int:
        """An update that its own documentation does not allow (a hidden forwarder without a name)."""
        message = self._json(self._add(1, -1, "/sms"))
        return self.put("message", message | {"forward_origin": {"type": "hidden_user", "date": 1}})

    # --- faults to order; `recovers` ends those that concern the whole server ---

    def is_down(self) -> None:
        """Every request gets a 502."""
        self._fault = lambda method: _raise(_Refused(502, "Bad Gateway"))

    def hangs_up(self) -> None:
        """Every connection is cut without an answer."""
        self._hangs_up = True

    def loses_answers(self, count: int = 1) -> None:
        """So many requests are performed and never answered; asking for updates is not among them."""
        self._answers_lost = count

    def floods(self, retry_after: int = 35, *, fetching: bool = False) -> None:
        """Every request is one too many; asking for updates only if `fetching`."""

        def fault(method: str) -> None:
            if fetching or method != "getUpdates":
                raise _Refused(429, f"Too Many Requests: retry after {retry_after}", {"retry_after": retry_after})

        self._fault = fault

    def has_another_poller(self) -> None:
        """Somebody else polls with the same token."""

        def fault(method: str) -> None:
            if method == "getUpdates":
                raise _Refused(
                    409,
                    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
                )

        self._fault = fault

    def is_slow(self, seconds: float) -> None:
        """Every answer takes so long on the simulator's clock."""
        self._delay = seconds

    def recovers(self) -> None:
        self._fault = None
        self._hangs_up = False
        self._answers_lost = 0
        self._delay = 0.0

    def blocks_the_bot(self, chat_id: int) -> None:
        """The person, or the group, throws the bot out."""
        words = "bot was blocked by the user" if chat_id > 0 else "bot was kicked from the group chat"
        self.chat(chat_id).refusal = (403, f"Forbidden: {words}", {})

    def loses_chat(self, chat_id: int) -> None:
        """Nobody ever let the bot in there."""
        self.chat(chat_id).refusal = (400, "Bad Request: chat not found", {})

    def closes_topic(self, chat_id: int, topic: int) -> None:
        self.chat(chat_id).closed_topics.add(topic)

    def becomes_supergroup(self, chat_id: int, new_chat_id: int) -> None:
        """The group's id changes; both service messages are sent."""
        old = self.chat(chat_id)
        old.refusal = (
            400,
            "Bad Request: group chat was upgraded to a supergroup chat",
            {"migrate_to_chat_id": new_chat_id},
        )
        left = self._json(self._add(1, chat_id, ""))
        came = self._json(self._add(1, new_chat_id, ""))
        self.put("message", left | {"migrate_to_chat_id": new_chat_id})
        self.put("message", came | {"migrate_from_chat_id": chat_id})

    # --- the server ---

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self._hangs_up and request.transport is not None:
            request.transport.abort()
            return web.Response()
        if self._delay:
            await self._clock.wait(self._delay)
        method = request.match_info["method"]
        try:
            if request.match_info["token"] != self.token:
                raise _Refused(401, "Unauthorized")
            handler = self._methods().get(method.casefold())
            if handler is None:
                raise _Refused(404, "Not Found")
            parameters = await _parameters(request)
            if self._fault is not None:
                self._fault(method)
            if method.casefold() == "getupdates":
                return web.json_response({"ok": True, "result": await self._get_updates(parameters)})
            self.requests.append((method, parameters))
            result = handler(parameters)
            if self._answers_lost and request.transport is not None:
                self._answers_lost -= 1
                request.transport.abort()
            return web.json_response({"ok": True, "result": result})
        except _Refused as refused:
            return web.json_response(refused.answer, status=refused.answer["error_code"])

    def _methods(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        return {
            "getme": lambda parameters: self._bot() | {"can_join_groups": True},
            "getupdates": lambda parameters: [],
            "sendmessage": self._send_message,
            "sendchataction": self._show_typing,
            "editmessagetext": self._edit_message,
            "deletemessage": self._delete_message,
            "answercallbackquery": self._answer_press,
            "setmycommands": self._set_menu,
            "getchat": self._get_chat,
            "getchatmember": self._get_member,
            "setwebhook": self._set_webhook,
            "deletewebhook": lambda parameters: self._set_webhook({"url": ""}),
            "getwebhookinfo": lambda parameters: self._webhook_info(),
        }

    async def _get_updates(self, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        if self.webhook.get("url"):
            raise _Refused(409, "Conflict: can't use getUpdates method while webhook is active")
        if self._poller is not None:
            self._poller.set()
            self._wake()
        superseded = self._poller = asyncio.Event()
        offset = int(parameters.get("offset", 0))
        if offset:
            self._updates = [update for update in self._updates if update["update_id"] >= offset]
        try:
            async with asyncio.timeout(int(parameters.get("timeout", 0))):
                while not self._updates and not self._stopping and not superseded.is_set():
                    self._changed = asyncio.Event()
                    self._polled.set()
                    await self._changed.wait()
        except TimeoutError:
            pass
        finally:
            if self._poller is superseded:
                self._poller = None
                self._polled.clear()
        if superseded.is_set():
            raise _Refused(
                409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
            )
        return self._updates[: int(parameters.get("limit", 100))]

    def _show_typing(self, parameters: dict[str, Any]) -> bool:
        self._open_topic(parameters)
        return True

    def _open_topic(self, parameters: dict[str, Any]) -> tuple[SimulatedChat, int | None]:
        chat = self._reachable(parameters)
        topic = int(parameters["message_thread_id"]) if "message_thread_id" in parameters else None
        if topic in chat.closed_topics:
            raise _Refused(400, "Bad Request: TOPIC_CLOSED")
        return chat, topic

    def _send_message(self, parameters: dict[str, Any]) -> dict[str, Any]:
        chat, topic = self._open_topic(parameters)
        reply = parameters.get("reply_parameters") or {}
        reply_to = reply.get("message_id")
        if reply_to is not None and chat.message(reply_to) is None:
            if not reply.get("allow_sending_without_reply"):
                raise _Refused(400, "Bad Request: message to be replied not found")
            reply_to = None
        text, keyboard = _text(parameters), _keyboard(parameters)
        message = self._add(None, chat.id, text, topic=topic, reply_to=reply_to)
        message.silent = parameters.get("disable_notification") in (True, "true", "True")
        message.keyboard, message.mentions = keyboard, _mentions(parameters)
        self._tell("sent", message)
        return self._json(message)

    def _edit_message(self, parameters: dict[str, Any]) -> dict[str, Any]:
        chat = self._reachable(parameters)
        message = chat.message(int(parameters["message_id"]))
        if message is None:
            raise _Refused(400, "Bad Request: message to edit not found")
        if not message.by_bot:
            raise _Refused(400, "Bad Request: message can't be edited")
        text, keyboard = _text(parameters), _keyboard(parameters)
        if (text, keyboard) == (message.text, message.keyboard):
            raise _Refused(
                400,
                "Bad Request: message is not modified: specified new message content and reply markup are exactly "
                "the same as a current content and reply markup of the message",
            )
        message.text, message.keyboard, message.mentions = text, keyboard, _mentions(parameters)
        message.revisions.append(text)
        self._tell("edited", message)
        return self._json(message)

    def _delete_message(self, parameters: dict[str, Any]) -> bool:
        message = self._reachable(parameters).message(int(parameters["message_id"]))
        if message is None:
            raise _Refused(400, "Bad Request: message to delete not found")
        self.delete(message)
        return True

    def _answer_press(self, parameters: dict[str, Any]) -> bool:
        press = next((press for press in self.presses if press.id == parameters["callback_query_id"]), None)
        if press is None or press.toast is not None:
            raise _Refused(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
        press.toast = parameters.get("text", "")
        return True

    def _set_menu(self, parameters: dict[str, Any]) -> bool:
        self.menu = parameters["commands"]
        return True

    def _get_chat(self, parameters: dict[str, Any]) -> dict[str, Any]:
        chat = self._reachable(parameters)
        gifts = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")
        extras = {"accent_color_id": 0, "max_reaction_count": 1, "accepted_gift_types": dict.fromkeys(gifts, False)}
        return self._place(chat.id) | extras

    def _get_member(self, parameters: dict[str, Any]) -> dict[str, Any]:
        self._reachable(parameters)
        user_id = int(parameters["user_id"])
        return {"status": "member", "user": self._bot() if str(user_id) == self._bot_id else self._user(user_id)}

    def _webhook_info(self) -> dict[str, Any]:
        info = {
            "url": self.webhook.get("url", ""),
            "has_custom_certificate": False,
            "pending_update_count": len(self._updates),
        }
        if self.post_error is not None:
            at, words = self.post_error
            info |= {"last_error_date": int(at.timestamp()), "last_error_message": words}
        return info

    def _set_webhook(self, parameters: dict[str, Any]) -> bool:
        self.webhook = parameters if parameters.get("url") else {}
        return True

    # --- helpers ---

    def _reachable(self, parameters: dict[str, Any]) -> SimulatedChat:
        chat = self.chat(int(parameters["chat_id"]))
        if chat.refusal is not None:
            raise _Refused(*chat.refusal)
        return chat

    def _add(
        self, sender: int | None, chat_id: int, text: str, topic: int | None = None, reply_to: int | None = None
    ) -> SimulatedMessage:
        date = int(self._clock.now().timestamp())
        message = SimulatedMessage(self._next_message, chat_id, sender, text, date, topic, reply_to, revisions=[text])
        self._next_message += 1
        self.chat(chat_id).history.append(message)
        return message

    def _json(self, message: SimulatedMessage, *, with_reply: bool = True) -> dict[str, Any]:
        told: dict[str, Any] = {
            "message_id": message.id,
            "date": message.date,
            "chat": self._place(message.chat_id),
            "from": self._bot() if message.sender is None else self._user(message.sender),
            "text": message.text,
        }
        if message.topic is not None:
            told |= {"message_thread_id": message.topic, "is_topic_message": True}
        replied = self.chat(message.chat_id).message(message.reply_to) if with_reply and message.reply_to else None
        if replied is not None:
            told["reply_to_message"] = self._json(replied, with_reply=False)
        if message.keyboard:
            told["reply_markup"] = {"inline_keyboard": message.keyboard}
        return told

    def _place(self, chat_id: int) -> dict[str, Any]:
        if chat_id > 0:
            return {"id": chat_id, "type": "private", "first_name": f"Person {chat_id}"}
        kind = "supergroup" if str(chat_id).startswith("-100") else "group"
        return {"id": chat_id, "type": kind, "title": f"Group {-chat_id}"}

    def _user(self, user_id: int) -> dict[str, Any]:
        return {"id": user_id, "is_bot": False, "first_name": f"Person {user_id}"}

    def _bot(self) -> dict[str, Any]:
        return {"id": int(self._bot_id), "is_bot": True, "first_name": "sms-bridge", "username": BOT_NAME}

    @property
    def _bot_id(self) -> str:
        return self.token.partition(":")[0]

    def _wake(self) -> None:
        self._changed.set()

    def _tell(self, what: str, message: SimulatedMessage) -> None:
        if self._on_event is not None:
            self._on_event(what, message)


def _raise(refused: _Refused) -> None:
    raise refused


async def _parameters(request: web.Request) -> dict[str, Any]:
    """As the real server takes them: query, form or JSON; objects inside a form are JSON texts."""
    if request.content_type == "application/json":
        return dict(await request.json())
    found: dict[str, Any] = {**request.query, **(await request.post())}
    for name in ("reply_markup", "reply_parameters", "commands", "allowed_updates", "link_preview_options", "entities"):
        if name in found:
            found[name] = json.loads(found[name])
    return found


def _text(parameters: dict[str, Any]) -> str:
    text = str(parameters.get("text", ""))
    if not text.strip():
        raise _Refused(400, "Bad Request: message text is empty")
    if len(text.encode("utf-16-le")) > 2 * 4096:
        raise _Refused(400, "Bad Request: message is too long")
    return text


def _mentions(parameters: dict[str, Any]) -> dict[str, int]:
    units = str(parameters.get("text", "")).encode("utf-16-le")
    found: dict[str, int] = {}
    for entity in parameters.get("entities") or []:
        start, end = 2 * entity["offset"], 2 * (entity["offset"] + entity["length"])
        if entity["type"] != "text_mention" or not start < end <= len(units):
            raise _Refused(400, "Bad Request: can't parse entities")
        found[units[start:end].decode("utf-16-le")] = entity["user"]["id"]
    return found


def _keyboard(parameters: dict[str, Any]) -> list[list[dict[str, Any]]]:
    rows: list[list[dict[str, Any]]] = (parameters.get("reply_markup") or {}).get("inline_keyboard", [])
    for button in (button for row in rows for button in row):
        if len(button.get("callback_data", "").encode()) > 64:
            raise _Refused(400, "Bad Request: BUTTON_DATA_INVALID")
        if "url" in button and "." not in button["url"].partition("://")[2].partition("/")[0]:
            raise _Refused(400, f"Bad Request: inline keyboard button URL '{button['url']}' is invalid: Wrong HTTP URL")
    return rows
