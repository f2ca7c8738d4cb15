"""`/oncall`: whose turn it is, who is next, and turns taken, given away and cleared."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bot.cards import clip
from bridge import texts
from bridge.dispatcher import Denied, Dispatcher, Swapped, SwapRequest
from bridge.domain.house import House
from bridge.domain.rota import Roster
from bridge.domain.wall import instants, next_reading
from bridge.inquiries import Inquiries

if TYPE_CHECKING:
    from bot.commands import Heard

USAGE = "[rota] [next | take 8h | dana fri 18:00 sun 18:00 | clear]: whose turn it is; change it"
_NEXT = 8
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SPAN = re.compile(r"(\d{1,5})([mhdw])", re.ASCII)
_ELAPSES = {"m": timedelta(minutes=1), "h": timedelta(hours=1)}
_WALL_DAYS = {"d": 1, "w": 7}
_FILLERS = {"at", "for", "from", "on", "till", "to", "until"}


class Unclear(Exception):
    """What was typed after /oncall makes no sense; the words say what would."""


async def answer(dispatcher: Dispatcher, inquiries: Inquiries, heard: "Heard") -> str | Denied:
    """Do what was asked of the rotas, and say how it is."""
    house, words = heard.house, heard.command.words.split()
    if not house.rotas:
        return "There are no rotas in the config."
    rota = house.rota_called(words[0]) if words else None
    words = words[1:] if rota else words
    rota = rota or house.rota_meant(heard.known.chat)
    known = await inquiries.roster()
    if not words:
        shown = [rota] if rota else list(house.rotas)
        return "\n".join(texts.on_call(house, known, name, heard.zone, heard.now) for name in shown)
    if rota is None:
        return f"Which rota? Its name goes first, as in /oncall {next(iter(house.rotas))} next; {_there(house)}"
    if [word.casefold() for word in words] == ["next"]:
        return _coming(house, known, rota, heard)
    try:
        given = _given(words, heard)
    except Unclear as unclear:
        return str(unclear)
    said = await dispatcher.swap(SwapRequest(rota, heard.asker, heard.cause, given, heard.place))
    if isinstance(said, Denied):
        return said
    known = await inquiries.roster()
    return _swapped(said, house, heard, texts.on_call(house, known, rota, heard.zone, heard.now))


def _there(house: House) -> str:
    return f"there are: {', '.join(house.rotas)}"


def _given(words: Sequence[str], heard: "Heard") -> tuple[str, datetime, datetime] | None:
    """Who gets it from when until when; None: clear."""
    first = words[0].casefold()
    if first == "clear" and len(words) == 1:
        return None
    name = next((name for name in heard.house.people if name.casefold() == first), None)
    if first == "take":
        name = heard.known.person.name
    if name is None:
        meant = f"next, take, clear, somebody's name, or first a rota ({_there(heard.house)})"
        raise Unclear(f'"{clip(words[0], 40)}" is nobody\'s name and no rota. After /oncall goes {meant}')
    return (name, *read_when(words[1:], heard.zone, heard.now))


def read_when(words: Sequence[str], zone: ZoneInfo, now: datetime) -> tuple[datetime, datetime]:
    """`8h`, `fri 18:00`, `fri 18:00 sun 18:00` or `fri 18:00 2d`, on this zone's clock. Raises Unclear.

    One moment alone is the end. Days and weeks are counted on the clock, hours and minutes as they pass.
    """
    left = [word.casefold() for word in words if word.casefold() not in _FILLERS]
    if not left:
        raise Unclear("For how long? Try 8h, 2d, or fri 18:00 sun 18:00")
    if span := _SPAN.fullmatch(left[0]):
        start, end, left = now, _later(now, span, zone), left[1:]
    else:
        start, end = now, _moment(left, zone, now)
        if left:
            start = end
            span = _SPAN.fullmatch(left[0])
            end = _later(start, span, zone) if span else _moment(left, zone, start)
            left = left[1:] if span else left
    if left:
        raise Unclear(f'"{clip(" ".join(left), 40)}" is too much. Try 8h, 2d, or fri 18:00 sun 18:00')
    return start, end


def _later(start: datetime, span: re.Match[str], zone: ZoneInfo) -> datetime:
    count, unit = int(span[1]), span[2]
    if count == 0:
        raise Unclear(f"{span[0]} is no time at all. Try 8h or 2d")
    try:
        if unit in _ELAPSES:
            return start + count * _ELAPSES[unit]
        local = start.astimezone(zone)
        return instants(local.date() + timedelta(days=count * _WALL_DAYS[unit]), local.time(), zone)[0]
    except OverflowError:
        raise Unclear(f"{span[0]} is longer than calendars reach. Try 8h or 2d") from None


def _moment(left: list[str], zone: ZoneInfo, after: datetime) -> datetime:
    """The first of `left` as an instant, and it is taken from there: the next such one, or a date's own."""
    word = left.pop(0)
    try:
        if "t" in word and word[0].isdigit():
            there = datetime.fromisoformat(word.upper())
            return there.astimezone(UTC) if there.tzinfo else _first(there.date(), there.time(), zone, after)
        if ":" in word:
            return next_reading(_clock(word), zone, after)
        weekday = next((number for number, day in enumerate(_DAYS) if len(word) > 2 and day.startswith(word)), None)
        day = date.fromisoformat(word) if weekday is None else None
    except (ValueError, OverflowError):
        raise Unclear(f'"{clip(word, 40)}" is not a time. Try 8h, 2d, fri 18:00 or 2026-11-27 18:00') from None
    try:
        reading = _clock(left.pop(0) if left else "")
    except ValueError:
        raise Unclear(f"At what time? Try {word} 18:00") from None
    if day is not None:
        return _first(day, reading, zone, after)
    try:
        today = after.astimezone(zone).date()
        ahead = [today + timedelta(days=days) for days in range(8)]
        return next(at for d in ahead if d.weekday() == weekday for at in instants(d, reading, zone) if at > after)
    except OverflowError:
        raise Unclear("That is farther than calendars reach. Try 2d or fri 18:00 sun 18:00") from None


def _first(day: date, reading: time, zone: ZoneInfo, after: datetime) -> datetime:
    """Of an hour that the clock shows twice the first to come; what is over stays over."""
    try:
        meant = instants(day, reading, zone)
    except OverflowError:
        raise Unclear(f"{day} is farther than calendars reach. Try 2d or 2026-11-27 18:00") from None
    return next((at for at in meant if at > after), meant[-1])


def _clock(word: str) -> time:
    hour, colon, minute = word.partition(":")
    if not (colon and hour.isascii() and hour.isdigit() and len(hour) <= 2 and len(minute) == 2):
        raise ValueError(word)
    return time.fromisoformat(f"{hour:0>2}:{minute}")


def _coming(house: House, known: Roster, rota: str, heard: "Heard") -> str:
    turns = known.next_turns(rota, heard.now, _NEXT)
    coming = (f"{texts.moment(turn.start, heard.zone)}  {house.spoken(turn.person) or 'nobody'}" for turn in turns)
    return "\n".join((texts.on_call(house, known, rota, heard.zone, heard.now), *coming))


def _swapped(said: Swapped, house: House, heard: "Heard", stands: str) -> str:
    taken = said.taken
    if taken is None:
        return f"{'Cleared' if said.changed else 'Nothing to clear'}. {stands}"
    if taken.start <= heard.now:
        return stands
    span = f"from {texts.moment(taken.start, heard.zone)} until {texts.moment(taken.end, heard.zone)}"
    return f"{house.spoken(taken.person)} has it {span}. {stands}"
