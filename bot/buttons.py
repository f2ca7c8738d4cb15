"""Buttons: a press becomes a request to the door, and the answer a toast on that one phone."""

import logging
import re
from dataclasses import dataclass

from aiogram.types import CallbackQuery, Message

from bot import silence_buttons
from bot.access import Known, who
from bot.cards import answered, clip, refused
from bot.voice import Words
from bridge.dispatcher import Accepted, Asker, Denied, Dispatcher, Pressed
from bridge.domain.house import House, Person
from bridge.ports import Live

log = logging.getLogger(__name__)

_PRESS = re.compile(r"([qli]):(\d{1,15}):([A-Za-z0-9_-]{1,43}):([ynaprh14u])(?:(\d{1,6})\.(\d{1,4}))?", re.ASCII)
_LONGEST_TOAST = 200


@dataclass(frozen=True, slots=True)
class Buttons:
    """Hears presses. What a button carries is only a claim: the door compares token, person and time."""

    dispatcher: Dispatcher
    house: Live[House]

    async def hear(self, press: CallbackQuery, cause: str) -> Words:
        """Do what was pressed; the toast to show."""
        return [press.answer(clip(await self._heard(press, cause), _LONGEST_TOAST))]

    async def _heard(self, press: CallbackQuery, cause: str) -> str:
        found = _PRESS.fullmatch(press.data or "")
        if found is None or press.message is None:
            return "This button is no longer in use."
        message = press.message
        topic = message.message_thread_id if isinstance(message, Message) and message.is_topic_message else None
        speaker = who(press.from_user, message.chat, topic, self.house.value)
        if not isinstance(speaker, Known):
            return f"Not for you: nobody in people has telegram_id: {press.from_user.id}"
        kind, number, token, answer, round_, step = found.groups()
        if kind == "l":
            return await self._settle_lost(int(number), token, press.from_user.id, message.chat.id, again=answer == "y")
        if kind == "i":
            pressed = Pressed(token, message.chat.id, (int(round_), int(step)) if round_ else None)
            return await self._answer(int(number), pressed, speaker.person, answer, cause)
        said = await self.dispatcher.answer_question(
            int(number), token, press.from_user.id, message.chat.id, send=answer == "y"
        )
        match said:
            case Accepted():
                return "On its way."
            case Denied(reason):
                return reason
            case None:
                return "Not sent."

    async def _answer(self, number: int, pressed: Pressed, person: Person, verb: str, cause: str) -> str:
        """A press under an incident's card."""
        asker = Asker(person.name, person.role, person.telegram_id)
        if verb in silence_buttons.VERBS:
            return await silence_buttons.answer(self.dispatcher, number, asker, verb, pressed, cause)
        verbs = {
            "a": self.dispatcher.acknowledge,
            "p": self.dispatcher.pass_on,
            "r": self.dispatcher.resolve,
            "h": self.dispatcher.hand_back,
        }
        if verb not in verbs:
            return "This button is no longer in use."
        said = await verbs[verb](number, asker, pressed=pressed, cause=cause)
        if isinstance(said, Denied):
            return refused(said, person)
        return answered(said, person.name, self.house.value)

    async def _settle_lost(self, number: int, token: str, telegram_id: int, chat_id: int, *, again: bool) -> str:
        said = await self.dispatcher.settle_lost(number, token, telegram_id, chat_id, again=again)
        if isinstance(said, Denied):
            return said.reason
        return "On its way once more." if again else "Left as it is."
