"""Roles as a state machine: people join, leave, are promoted and demoted between a command, a press and a claim."""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.world import AIGERIM, CONFIG, DANA, JONAS, OPS, STRANGER, WATCH, World, a_world

ELSEWHERE = -1005554440000
PEOPLE = {"aigerim": AIGERIM, "jonas": JONAS, "dana": DANA}
ROLES = ("observer", "responder", "operator")
CHATS = {"ops": OPS, "watch": WATCH, "else": ELSEWHERE}
UNKNOWN = "+77010000009"
NEEDED = {"magnum": 1, UNKNOWN: 2}  # whom to text, and the least role for it
_WIDE = "limits: {per_person: {1h: 10000}, total: {1h: 10000, 1d: 10000}}\n"

people, users = st.sampled_from(sorted(PEOPLE)), st.sampled_from([*PEOPLE.values(), STRANGER])


class Roles(RuleBasedStateMachine):
    """Whatever order things happen in: an SMS leaves only for somebody who at that moment may send it.

    Commands, presses and claims are steps of their own here, each with the config of its moment. `may` is what the
    config says, worked out again from scratch: who is in it, with which role, and which chats it names.
    """

    def __init__(self) -> None:
        super().__init__()
        self.role: dict[str, str | None] = {"aigerim": "operator", "jonas": "responder", "dana": "observer"}
        self.chats = {"ops", "watch"}
        self.asked: dict[str, tuple[str, str, bool]] = {}  # text → person, whom it goes to, allowed when it was typed
        self.seen = 0
        self.runner = asyncio.Runner()
        self.life = AsyncExitStack()
        self.world: World

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    @initialize()
    def wakes(self) -> None:
        folder = Path(self.life.enter_context(tempfile.TemporaryDirectory(prefix="roles-")))
        changes = [
            ("watch: {chat", f"{_WIDE}watch: {{chat"),
            ("ops: {id: -1001234567890, topic: 7}", f"ops: {{id: {OPS}}}"),
        ]
        self.world = self.run(self.life.enter_async_context(a_world(folder, changes=changes)))
        self.put_to_work(self.world)

    def put_to_work(self, world: World) -> None:
        """A place for a bug."""

    # --- what the config says

    @rule(name=people, role=st.sampled_from([None, *ROLES]))
    def changes_role(self, name: str, role: str | None) -> None:
        self.role[name] = role
        self.reloads()

    @rule(chat=st.sampled_from(sorted(CHATS)))
    def appears_or_disappears(self, chat: str) -> None:
        if chat != "watch":
            self.chats ^= {chat}
            self.reloads()

    def reloads(self) -> None:
        lines = [f"  {chat}: {{id: {CHATS[chat]}}}" for chat in sorted(self.chats)]
        text = CONFIG[: CONFIG.index("chats:")] + "chats:\n" + "\n".join(lines) + "\npeople:\n"
        for name, role in self.role.items():
            if role is not None:
                number = f"+7701000000{1 + sorted(PEOPLE).index(name)}"
                text += f'  {name}: {{phone: "{number}", telegram_id: {PEOPLE[name]}, role: {role}}}\n'
        text += '  magnum: {phone: "+77010000008"}\nroutes: [{name: rest, chat: watch}]\n'
        text += "sources: {generic: {token: generic-secret}}\nsms: {default_region: KZ, allowed_regions: [KZ, DE]}\n"
        text += f"{_WIDE}watch: {{chat: watch}}\n"
        for old, new in (("MOBIZON", self.world.mobizon.base_url), ("TELEGRAM", self.world.telegram.url)):
            text = text.replace(old, new)
        self.world.config_file.write_text(text.replace("TOKEN", self.world.telegram.token))
        assert self.run(self.world.bridge.reload()) == []

    def level(self, name: str) -> int:
        role = self.role[name]
        return -1 if role is None else ROLES.index(role)

    # --- what people do

    @rule(user=users, chat=st.sampled_from([*CHATS, "private"]), to=st.sampled_from(sorted(NEEDED)))
    def types(self, user: int, chat: str, to: str) -> None:
        text = f"text {len(self.asked)}"
        where = user if chat == "private" else CHATS[chat]
        name = next((name for name, known in PEOPLE.items() if known == user), None)
        heard = name is not None and (chat == "private" or chat in self.chats)
        self.asked[text] = (name or "", to, heard and name is not None and self.level(name) >= NEEDED[to])
        self.world.telegram.type(user, where, f"/sms {to} {text}")
        self.run(self.hears())

    @rule(name=people, role=st.sampled_from([None, *ROLES]))
    def types_and_becomes_somebody_else(self, name: str, role: str | None) -> None:
        self.types(PEOPLE[name], "private", "magnum")
        self.changes_role(name, role)

    @rule(number=st.integers(0, 30), user=users, answer=st.sampled_from("yyn"))
    def presses(self, number: int, user: int, answer: str) -> None:
        self.run(self.shows())
        buttons = [
            (button["callback_data"], card)
            for chat in self.world.telegram.chats.values()
            for card in chat.cards
            for button in (button for row in card.keyboard for button in row)
            if button.get("callback_data", "").endswith(answer)
        ]
        if buttons:
            data, card = buttons[number % len(buttons)]
            self.world.telegram.press_data(data, user, card)
            self.run(self.hears())

    @rule(seconds=st.sampled_from([1, 60, 700]))
    def time_passes(self, seconds: int) -> None:
        self.world.clock.advance(seconds)

    @rule()
    def claims(self) -> None:
        self.run(self.sends())

    # --- what must hold

    @invariant()
    def nobody_sends_who_may_not(self) -> None:
        if not hasattr(self, "world"):
            return
        for sms in self.world.mobizon.sent[self.seen :]:
            name, to, allowed = self.asked[sms.text]
            assert allowed, f"{sms.text!r} of {name or 'a stranger'} to {to} was never allowed"
            assert self.level(name) >= NEEDED[to], f"{sms.text!r} left although {name} is {self.role[name]} by now"
        self.seen = len(self.world.mobizon.sent)
        texts = [sms.text for sms in self.world.mobizon.sent]
        assert len(texts) == len(set(texts))

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self.claims()
                self.nobody_sends_who_may_not()
        finally:
            self.run(self.life.aclose())
            self.runner.close()

    # --- ticks, one at a time

    async def hears(self) -> None:
        bot = self.world.bridge.bot
        assert bot is not None
        await bot.poller.poll_once(0)
        await bot.handle_waiting()
        await bot.voice.silent()

    async def shows(self) -> None:
        for _ in range(5):
            self.world.clock.advance(4)
            await self.tick("reporter")

    async def sends(self) -> None:
        await self.tick("sender")
        await self.world.bridge.sender.drain()

    async def tick(self, name: str) -> None:
        await next(tick for tick in self.world.bridge.ticks if tick.name == name).run()
