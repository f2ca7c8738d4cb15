"""Commands: what was typed becomes a question or a request to the door, and the answer becomes words.

The answer to what changes something is its card, which the reporter shows; here only refusals are spoken.
"""

import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from aiogram.methods import SendMessage
from aiogram.types import Message, ReplyParameters

from bot import costs, oncall
from bot.access import Known, Nobody, Stranger, speaker
from bot.cards import (
    Rendered,
    answered,
    clip,
    history_line,
    incident_list,
    refused,
    render,
    stamp,
    with_timeline,
)
from bot.chat import NO_PREVIEW, keyboard
from bot.voice import Words
from bridge.clock import Clock
from bridge.dispatcher import Answered, Asker, Denied, Dispatcher, PageRequest, SmsRequest
from bridge.domain.costs import By
from bridge.domain.escalation import ROTA
from bridge.domain.house import House, Role
from bridge.domain.phone import BadNumber, parse_phone, why_not_textable
from bridge.domain.wall import instants, next_reading
from bridge.inquiries import EVERYTHING, Inquiries, Money, Scope
from bridge.ports import IncidentView, Live, NoteView, Place, QuestionView, Store
from bridge.texts import length

log = logging.getLogger(__name__)

OLD_AFTER = timedelta(minutes=2)
"""Telegram hands over what was typed during an outage, up to a day later; a command that old is not just run."""

_COMMAND = re.compile(r"/([A-Za-z0-9_]{1,32})(?:@([A-Za-z0-9_]+))?(?:\s+(.*))?", re.DOTALL)
_NUMBER_PART = re.compile(r"\+?[()\d./-]+", re.ASCII)
_OPTION = re.compile(r"(?:(at|validity|from)=(\S+)|(flash))(?:\s+|$)", re.IGNORECASE)
_SPAN = re.compile(r"(\d{1,5})(m|h|d)")
_MINUTES = {"m": 1, "h": 60, "d": 1440}
_SMS_USAGE = "Whom, and what? Try /sms +7 701 000 00 01 The text, or reply to a message with /sms and a name or number."
_PAGE_USAGE = "What should I tell them? Try /page checkout is down"


@dataclass(frozen=True, slots=True)
class Command:
    """A command as typed: `/name@mention words`."""

    name: str
    mention: str | None
    words: str


@dataclass(frozen=True, slots=True)
class TypedSms:
    """`/sms` understood: whom for, what, and the options before the text."""

    to: str
    text: str
    sender_id: str | None = None
    send_at: datetime | None = None
    validity: int | None = None
    flash: bool = False


class Misread(Exception):
    """What was typed makes no sense; the words say what would."""


def read_command(text: str | None) -> Command | None:
    """The command that a message begins with, if it does."""
    found = _COMMAND.fullmatch(text or "")
    if found is None:
        return None
    name, mention, words = found.groups()
    return Command(name.lower(), mention, (words or "").strip())


def read_sms(words: str, house: House, zone: ZoneInfo, now: datetime) -> TypedSms:
    """Split `/sms` words into recipient, options and text. Raises Misread.

    A number may hold spaces; the text may begin with digits. So of all leading runs that look like a number
    the longest that a mobile phone could have is it, else the longest that is possible at all.
    """
    to, rest = _recipient(words, house)
    options: dict[str, str] = {}
    while option := _OPTION.match(rest):
        key, value, flash = option.groups()
        options[(key or flash).lower()] = value or ""
        rest = rest[option.end() :]
    return TypedSms(
        to=to,
        text=rest,
        sender_id=options.get("from"),
        send_at=read_at(options["at"], zone, now) if "at" in options else None,
        validity=_read_validity(options["validity"]) if "validity" in options else None,
        flash="flash" in options,
    )


def read_at(written: str, zone: ZoneInfo, now: datetime) -> datetime:
    """`18:00` on the chat's clock, tomorrow when today's is over; or a whole date and time. Raises Misread."""
    try:
        if "T" in written.upper():
            moment = datetime.fromisoformat(written)
            meant = [moment.astimezone(UTC)] if moment.tzinfo else instants(moment.date(), moment.time(), zone)
            at = next((at for at in meant if at > now), meant[-1])
        else:
            reading = time.fromisoformat(written if len(written.partition(":")[0]) == 2 else f"0{written}")
            at = next_reading(reading.replace(tzinfo=None), zone, now)
    except (ValueError, OverflowError):
        raise Misread(f"at={clip(written, 40)} is not a time; write at=18:00 or at=2026-11-23T18:00") from None
    if at <= now:
        raise Misread(f"at={written} is over; write a time to come, or at=18:00 for the next 18:00")
    return at


def _read_validity(written: str) -> int:
    found = _SPAN.fullmatch(written.lower())
    if found is None:
        raise Misread(f"validity={clip(written, 40)} is not a time span; write validity=60m or validity=4h")
    return int(found[1]) * _MINUTES[found[2]]


def _recipient(words: str, house: House) -> tuple[str, str]:
    parts = list(re.finditer(r"\S+", words.partition("\n")[0]))
    run = 0
    while run < len(parts) and _NUMBER_PART.fullmatch(parts[run].group()):
        run += 1
    if run == 0:
        name = parts[0].group()
        if f"{name.casefold()} " == ROTA and len(parts) > 1:
            return words[: parts[1].end()], words[parts[1].end() :].strip()
        return _person(name, house) or name, words[len(name) :].strip()
    possible = 0
    for count in range(run, 0, -1):
        try:
            number = parse_phone(words[: parts[count - 1].end()], house.sms.default_region)
        except BadNumber:
            continue
        possible = possible or count
        if house.person_by_number(number) or why_not_textable(number, {number.region}) is None:
            possible = count
            break
    end = parts[(possible or run) - 1].end()
    return words[:end], words[end:].strip()


def _person(written: str, house: House) -> str | None:
    return next((name for name in house.people if name.casefold() == written.casefold()), None)


@dataclass(frozen=True, slots=True)
class Heard:
    """A command, who gave it and where: all a handler needs."""

    command: Command
    message: Message
    known: Known
    place: Place
    cause: str
    house: House
    zone: ZoneInfo
    now: datetime

    @property
    def late(self) -> str:
        """How long ago it was typed, when that is too long to just do it."""
        age = self.now - self.message.date
        return f"typed {length(age)} ago" if age > OLD_AFTER else ""

    @property
    def asker(self) -> Asker:
        person = self.known.person
        return Asker(person.name, person.role, person.telegram_id)

    @property
    def reply_to(self) -> int | None:
        """The message that a card answers, if it stays there."""
        deletes = self.known.chat is not None and self.known.chat.delete_commands
        return None if deletes else self.message.message_id

    @property
    def replied_text(self) -> str:
        """The text of the message that this one replies to."""
        replied = self.message.reply_to_message
        return (replied and (replied.text or replied.caption)) or ""

    @property
    def private(self) -> bool:
        return self.message.chat.type == "private"

    @property
    def scope(self) -> Scope:
        """In a chat of the config that chat's things; privately one's own, and for operators all."""
        if self.known.chat is not None:
            return Scope(chat=self.known.chat.name)
        return EVERYTHING if self.known.person.role >= Role.OPERATOR else Scope(own=self.known.person.name)

    @property
    def here(self) -> str:
        return "here" if self.known.chat else "of yours"


Answer = Rendered | str | None
Handler = Callable[[Heard], Awaitable[Answer]]

_HELP = {
    "sms": (
        Role.RESPONDER,
        "<number, person or oncall> <text>: one SMS; first at=18:00, flash, validity=60m, from=Alpha",
    ),
    "page": (Role.RESPONDER, "<text>: open an incident by hand and call who is on this chat's policy"),
    "incidents": (Role.OBSERVER, "what is open, and who has it"),
    "ack": (Role.RESPONDER, "[id]: I have it; nobody else is called"),
    "resolve": (Role.RESPONDER, "<id>: it is over"),
    "status": (Role.OBSERVER, "<id>: that card afresh, with its timeline"),
    "history": (Role.OBSERVER, "[person]: the latest SMS"),
    "cancel": (Role.RESPONDER, "<id>: take back an SMS that waits for its time"),
    "oncall": (Role.OBSERVER, oncall.USAGE),
    "balance": (Role.OBSERVER, "money left"),
    "costs": (Role.OBSERVER, "[day, week or month]: what was spent here, and on what"),
    "id": (Role.OBSERVER, "the ids of you and this chat; as a reply, that person's"),
    "help": (Role.OBSERVER, "this list"),
    "start": (Role.OBSERVER, "who you are here"),
}
_NOT_BUILT = {
    "test": Role.RESPONDER,
}
MENU: Mapping[str, str] = {name: words for name, (_, words) in _HELP.items() if name != "start"}
"""What Telegram offers behind the slash."""


@dataclass(slots=True)
class Commands:
    """Hears messages and says what to answer. `hear` is given each with its cause, `telegram:BOT:UPDATE`."""

    dispatcher: Dispatcher
    inquiries: Inquiries
    store: Store
    clock: Clock
    house: Live[House]
    _edits_answered: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=200))

    async def hear(self, message: Message, cause: str) -> Words:
        """Run a command; what to answer. Anything else is left alone."""
        if message.migrate_to_chat_id or message.migrate_from_chat_id:
            await self._follow(message)
            return []
        command = read_command(message.text)
        if command is None or not await _is_ours(command, message):
            return []
        said_by = speaker(message, self.house.value)
        match said_by:
            case Nobody():
                log.info("command ignored: not a person's own words", extra={"command": command.name})
            case Stranger() | Known() if command.name == "id":
                return [_reply(message, _ids(message))]
            case Stranger(telegram_id, chat):
                if chat is not None and (role := _role_needed(command.name)) is not None:
                    return [_reply(message, _refusal(command.name, telegram_id, role))]
            case Known():
                return await self._run(command, message, said_by, cause)
        return []

    async def hear_edit(self, message: Message) -> Words:
        """An edited command is never run; whoever may speak is told so, once."""
        command = read_command(message.text)
        here = (message.chat.id, message.message_id)
        if command is None or here in self._edits_answered or not await _is_ours(command, message):
            return []
        if not isinstance(speaker(message, self.house.value), Known):
            return []
        self._edits_answered.append(here)
        return [_reply(message, "Edits are not read; send it again.")]

    async def _run(self, command: Command, message: Message, known: Known, cause: str) -> Words:
        house, now = self.house.value, self.clock.now()
        topic = message.message_thread_id if message.is_topic_message else None
        zone = house.zone_of(known.chat.name if known.chat else None)
        heard = Heard(command, message, known, Place(message.chat.id, topic), cause, house, zone, now)
        answer: Answer
        if heard.late and command.name != "sms":
            answer = self._too_old(heard)
        elif handler := self._handlers().get(command.name):
            try:
                answer = await handler(heard)
            except Misread as misread:
                answer = str(misread)
        elif command.name in _NOT_BUILT:
            answer = f"/{command.name} is not built yet in this version."
        elif heard.private or command.mention:
            answer = f"There is no /{command.name}; /help lists what there is."
        else:
            return []
        words: Words = [] if answer is None else [_reply(message, answer)]
        if known.chat and known.chat.delete_commands:
            words.append(message.delete())
        return words

    def _handlers(self) -> dict[str, Handler]:
        return {
            "sms": self._sms,
            "page": self._page,
            "incidents": self._incidents,
            "ack": self._acknowledge,
            "resolve": self._resolve,
            "status": self._status,
            "history": self._history,
            "cancel": self._cancel,
            "oncall": self._oncall,
            "balance": self._balance,
            "costs": self._costs,
            "help": self._help,
            "start": self._start,
        }

    def _too_old(self, heard: Heard) -> Answer:
        age = length(heard.now - heard.message.date)
        return f"This reached me {age} late, so it was not run. Send it again if it still holds."

    async def _sms(self, heard: Heard) -> Answer:
        """/sms <number or person> [options] <text>"""
        if not heard.command.words:
            return _SMS_USAGE
        typed = read_sms(heard.command.words, heard.house, heard.zone, heard.now)
        text = typed.text or heard.replied_text
        if not text:
            return _SMS_USAGE
        said = await self.dispatcher.send_sms(
            SmsRequest(
                to=typed.to,
                text=text,
                asker=heard.asker,
                chat=heard.known.chat,
                place=heard.place,
                reply_to=heard.reply_to,
                cause=heard.cause,
                may_ask=True,
                sender_id=typed.sender_id,
                send_at=typed.send_at,
                validity=typed.validity,
                flash=typed.flash,
                late=heard.late,
            )
        )
        return _denied(said, heard) if isinstance(said, Denied) else None

    async def _page(self, heard: Heard) -> Answer:
        """/page <text>"""
        chat = heard.known.chat
        if chat is None:
            return "I cannot page from a private chat: the card belongs where everybody sees it. Type /page there."
        text = heard.command.words or heard.replied_text
        if not text:
            return _PAGE_USAGE
        request = PageRequest(text, heard.asker, chat, heard.place, heard.cause, heard.reply_to)
        said = await self.dispatcher.page(request)
        return _denied(said, heard) if isinstance(said, Denied) else None

    async def _incidents(self, heard: Heard) -> Answer:
        """/incidents"""
        return incident_list(await self.inquiries.open_incidents(heard.scope))

    async def _acknowledge(self, heard: Heard) -> Answer:
        """/ack [id]"""
        if heard.command.words:
            number = await self._incident_given(heard)
        else:
            found = await self.inquiries.open_incidents(heard.scope)
            if len(found) != 1:
                return (
                    f"{incident_list(found)}\nWhich one? Try /ack {found[0].incident.id}"
                    if found
                    else "Nothing is open."
                )
            number = found[0].incident.id
        said = await self.dispatcher.acknowledge(number, heard.asker, cause=heard.cause)
        return await self._answered(said, heard)

    async def _resolve(self, heard: Heard) -> Answer:
        """/resolve <id>"""
        number = await self._incident_given(heard)
        return await self._answered(await self.dispatcher.resolve(number, heard.asker, cause=heard.cause), heard)

    async def _incident_given(self, heard: Heard) -> int:
        """The incident that was named, by its own number or by an SMS of its. Raises Misread."""
        number = _number_given(heard)
        status = await self.inquiries.status(number, heard.scope)
        if status is None:
            raise Misread(f"There is no #{number} {heard.here}.")
        if not isinstance(status.view, IncidentView):
            raise Misread(f"#{number} is an SMS, not an incident; /incidents lists those that are open.")
        return status.view.incident.id

    async def _answered(self, said: Answered | Denied, heard: Heard) -> Answer:
        """What changed is shown by the card; in words only where that is elsewhere, or nothing changed."""
        if isinstance(said, Denied):
            return _denied(said, heard)
        if said.changed and await self.inquiries.has_card_in(heard.place.chat_id, said.incident.id):
            return None
        return answered(said, heard.known.person.name, heard.house)

    async def _cancel(self, heard: Heard) -> Answer:
        """/cancel <id>"""
        said = await self.dispatcher.cancel_sms(_number_given(heard), heard.asker)
        return _denied(said, heard) if isinstance(said, Denied) else None

    async def _status(self, heard: Heard) -> Answer:
        """/status <id>"""
        number = _number_given(heard)
        status = await self.inquiries.status(number, heard.scope)
        if status is None:
            return f"There is no #{number} {heard.here}."
        if isinstance(status.view, QuestionView):
            # Number and text stand in full on the question alone, which is edited away.
            question = status.view.question
            if question.answer is None:
                until = stamp(question.expires_at, heard.zone, heard.now)
                return f"#{number} waits for an answer to its question, until {until}."
            return render(status.view)
        told = [replace(entry, who=heard.house.spoken(entry.who)) for entry in status.timeline]
        return with_timeline(status.view, told)

    async def _history(self, heard: Heard) -> Answer:
        """/history [person]"""
        written = heard.command.words
        person = (_person(written, heard.house) or written) if written else None
        latest = await self.inquiries.history(heard.scope, person=person)
        lines = [history_line(n, heard.zone, heard.now, whole=heard.private) for n in latest]
        return "\n".join(lines) or "Nothing yet."

    async def _oncall(self, heard: Heard) -> Answer:
        """/oncall [rota] [next | take … | NAME … | clear]"""
        said = await oncall.answer(self.dispatcher, self.inquiries, heard)
        return _denied(said, heard) if isinstance(said, Denied) else said

    async def _balance(self, heard: Heard) -> Answer:
        """/balance"""
        money = await self.inquiries.money()
        if not isinstance(money, Money):
            return f"Mobizon did not say: {money.reason}"
        parts = [f"{money.balance.amount:,.2f} {money.balance.currency}".replace(",", " ")]
        if money.sms_left is not None:
            parts.append(f"about {money.sms_left} SMS")
        if money.days_left is not None:
            parts.append(f"{money.days_left} days at this month's pace")
        return ", ".join(parts)

    async def _costs(self, heard: Heard) -> Answer:
        """/costs [day|week|month]"""
        span = heard.command.words.casefold() or "week"
        if span not in costs.SPANS:
            raise Misread("Of when? Try /costs day, /costs week or /costs month")
        since = costs.began(span, heard.zone, heard.now)
        bill = await self.inquiries.bill(since, heard.now, By.DAY, heard.zone, heard.scope)
        return costs.spoken(bill, span, heard.zone)

    async def _help(self, heard: Heard) -> Answer:
        """/help"""
        return "\n".join(f"/{name} {words}" for name, (_, words) in _HELP.items())

    async def _start(self, heard: Heard) -> Answer:
        """/start"""
        person = heard.known.person
        return f"Hello {person.spoken}. Your role here is {person.role.name.lower()}; /help lists what I do."

    async def _follow(self, message: Message) -> None:
        """A group became a supergroup, says one of Telegram's two service messages."""
        old, new = message.chat.id, message.migrate_to_chat_id
        if new is None:
            old, new = message.migrate_from_chat_id or 0, message.chat.id
        await self.dispatcher.chat_moved(old, new)


async def _is_ours(command: Command, message: Message) -> bool:
    """`/sms@other_bot` is for somebody else."""
    if command.mention is None:
        return True
    me = await message.bot.me() if message.bot else None
    return me is not None and command.mention.casefold() == (me.username or "").casefold()


def _reply(message: Message, answer: Rendered | str) -> SendMessage:
    rendered = render(NoteView(answer)) if isinstance(answer, str) else answer
    return message.answer(
        rendered.text,
        reply_markup=keyboard(rendered),
        link_preview_options=NO_PREVIEW,
        reply_parameters=ReplyParameters(message_id=message.message_id, allow_sending_without_reply=True),
    )


def _number_given(heard: Heard) -> int:
    written = heard.command.words.removeprefix("#")
    if not (written.isascii() and written.isdigit() and len(written) < 16):
        raise Misread(f"Which one? Try /{heard.command.name} 1042")
    return int(written)


def _denied(denied: Denied, heard: Heard) -> str:
    opens = f" It opens again at {stamp(denied.opens_at, heard.zone, heard.now)}." if denied.opens_at else ""
    return refused(denied, heard.known.person) + opens


def _role_needed(name: str) -> Role | None:
    return _HELP[name][0] if name in _HELP else _NOT_BUILT.get(name)


def _refusal(name: str, telegram_id: int, role: Role) -> str:
    return f"/{name} needs the role {role.name.lower()}; nobody in people has telegram_id: {telegram_id}"


def _ids(message: Message) -> str:
    """Ids and the config keys they belong to, ready to paste; nothing of what the config holds."""
    people = [message.from_user] if message.from_user else []
    replied = message.reply_to_message
    if replied and replied.from_user and replied.from_user.id not in (p.id for p in people):
        people.append(replied.from_user)
    lines = ["people:"]
    for user, whose in zip(people, ("you", "who you replied to"), strict=False):
        lines.append(f"  NAME: {{telegram_id: {user.id}}}  # {whose}")
    if message.chat.type != "private":
        topic = f", topic: {message.message_thread_id}" if message.is_topic_message else ""
        lines += ["chats:", f"  NAME: {{id: {message.chat.id}{topic}}}"]
    return "\n".join(lines)
