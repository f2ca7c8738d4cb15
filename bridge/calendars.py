"""Rotas from iCalendar: fetches a file or a feed, and works out whose turn it is when.

Whose turn an event is, its title (SUMMARY) says: the first name of the config that stands in it as a word, in any
case, so "Jonas", "On call: jonas" and "jonas.meier@example.net" are all Jonas. When the title names nobody, its
ATTENDEEs are asked, name and address alike. A cancelled event is not there. A whole day is one from midnight to
midnight in the rota's zone, and a time without a zone is read in it.

A calendar is somebody else's input, and a rule in it can ask for endless work: it is worked out in a process of its
own with little time and memory. That costs half a second for each reading, a few times an hour.
"""

import asyncio
import contextlib
import json
import re
import resource
import sys
from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from bridge.config import CalendarSettings
from bridge.domain.rota import Booked, Turn
from bridge.ports import BadCalendar, Reading

_LARGEST = 2 * 1024 * 1024
_MOST_EVENTS = 5000
_MOST_PROBLEMS = 10
_MEMORY = 512 * 1024 * 1024
_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_PATIENCE = 20.0  # seconds for a whole feed, and for the whole of working it out
_DAY = timedelta(days=1)  # a time without a zone is found by its clock, up to a day away
_HOME = Path(__file__).parents[1]


async def fetch(
    where: CalendarSettings, transport: httpx.AsyncBaseTransport | None = None, patience: float = _PATIENCE
) -> bytes:
    """The calendar as it is now. Raises BadCalendar; whoever calls keeps the last good one, and goes on with it."""
    if where.path is not None:
        return await asyncio.to_thread(_from_file, where.path)
    assert where.url is not None, "a calendar is a file or a feed"
    try:
        async with asyncio.timeout(patience):
            return await _from_feed(where.url.reveal(), transport)
    except TimeoutError as error:
        raise BadCalendar(f"the feed took longer than {patience:.0f} s") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise BadCalendar(f"the feed did not answer ({type(error).__name__})") from error


def _from_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise BadCalendar(f"the file cannot be read ({error.strerror})") from error
    return _bounded(content)


async def _from_feed(url: str, transport: httpx.AsyncBaseTransport | None) -> bytes:
    # Unpacked, a small answer could be a huge one; wherever a redirect points, it would be shown a secret address.
    plain = {"Accept-Encoding": "identity", "Accept": "text/calendar"}
    async with (
        httpx.AsyncClient(
            timeout=_TIMEOUT, trust_env=False, follow_redirects=False, headers=plain, transport=transport
        ) as http,
        http.stream("GET", url) as answer,
    ):
        if answer.is_redirect:
            raise BadCalendar("the feed has moved; put its new address into calendar_url")
        if not answer.is_success:
            raise BadCalendar(f"the feed answered {answer.status_code}")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise BadCalendar("the feed answers compressed only")
        content = b""
        async for chunk in answer.aiter_raw():
            content = _bounded(content + chunk)
        return content


def _bounded(content: bytes) -> bytes:
    if len(content) > _LARGEST:
        raise BadCalendar("larger than 2 MiB; this is no calendar of turns")
    return content


async def read_calendar(
    content: bytes,
    people: Collection[str],
    zone: ZoneInfo,
    known_from: datetime,
    known_until: datetime,
    patience: float = _PATIENCE,
) -> Reading:
    """Whose turn it is between two instants, whatever stands in the calendar. Raises BadCalendar."""
    question = {
        "people": sorted(people),
        "zone": zone.key,
        "from": known_from.isoformat(),
        "until": known_until.isoformat(),
        "seconds": int(patience) + 1,
    }
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge.calendars"),
        cwd=_HOME,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(patience):
            said, _ = await worker.communicate(json.dumps(question).encode() + b"\n" + content)
    except TimeoutError as error:
        raise BadCalendar(f"a rule in it cannot be worked out within {patience:.0f} s") from error
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
    if worker.returncode:
        raise BadCalendar("working it out takes too much time or memory")
    answer = json.loads(said)
    if "bad" in answer:
        raise BadCalendar(answer["bad"])
    turns = tuple(
        Turn(who, datetime.fromisoformat(start), datetime.fromisoformat(end)) for who, start, end in answer["turns"]
    )
    return Reading(Booked(turns, known_from, known_until), tuple(answer["problems"]))


# --- in the process of its own ----------------------------------------------------------------------------


def main() -> None:
    """One question on stdin, one answer on stdout."""
    question = json.loads(sys.stdin.buffer.readline())
    resource.setrlimit(resource.RLIMIT_CPU, (question["seconds"], question["seconds"]))
    with contextlib.suppress(ValueError, OSError):  # macOS refuses it, and where less is allowed less is enough
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    known_from, known_until = (datetime.fromisoformat(question[key]) for key in ("from", "until"))
    answer: dict[str, Any]
    try:
        content = sys.stdin.buffer.read()
        reading = work_out(content, question["people"], ZoneInfo(question["zone"]), known_from, known_until)
        turns = [(turn.person, turn.start.isoformat(), turn.end.isoformat()) for turn in reading.booked.turns]
        answer = {"turns": turns, "problems": reading.problems}
    except BadCalendar as error:
        answer = {"bad": str(error)}
    json.dump(answer, sys.stdout)


def work_out(
    content: bytes, people: Collection[str], zone: ZoneInfo, known_from: datetime, known_until: datetime
) -> Reading:
    """What `read_calendar` answers, in this process and however long it takes."""
    # Imported here: only this process pays for them.
    import icalendar  # noqa: PLC0415

    try:
        calendar = icalendar.Calendar.from_ical(content.decode("utf-8-sig"))
    except (ValueError, IndexError, KeyError) as error:  # UnicodeDecodeError is a ValueError
        raise BadCalendar("not iCalendar; it begins with BEGIN:VCALENDAR") from error
    problems = _unknown_zones(content.decode("utf-8-sig"), calendar, zone)
    for event in calendar.walk("VEVENT"):
        if event.errors or event.get("DTSTART") is None:
            for part in calendar.walk():  # it may stand inside of another
                part.subcomponents = [inner for inner in part.subcomponents if inner is not event]
            problems.append("an event in it cannot be read and is left out")
    found, left_out = _occurrences(calendar, zone, known_from - _DAY, known_until + _DAY)
    problems += [f"the event of {day} cannot be worked out and is left out" for day in left_out]
    if len(found) > _MOST_EVENTS:
        raise BadCalendar(f"more than {_MOST_EVENTS} events in the time we look at; this is no calendar of turns")
    turns: list[Turn] = []
    for start, end, event in sorted(found, key=lambda occurrence: occurrence[0]):
        if end <= start or str(event.get("STATUS", "")).upper() == "CANCELLED":
            continue
        names = _named(str(event.get("SUMMARY", "")), people)
        names = names or [name for who in _attendees(event) for name in _named(who, people)]
        on_day = f"{start.astimezone(zone):%Y-%m-%d}"
        if len(set(names)) > 1:
            problems.append(f"the event of {on_day} names {' and '.join(dict.fromkeys(names))}; {names[0]} has it")
        if names:
            turns.append(Turn(names[0], start, end))
        else:
            problems.append(f"the event of {on_day} names nobody of the config, so it is nobody's turn")
    told = list(dict.fromkeys(problems))
    more = [f"and {len(told) - _MOST_PROBLEMS} more"] if len(told) > _MOST_PROBLEMS else []
    return Reading(Booked.of(turns, known_from, known_until), (*told[:_MOST_PROBLEMS], *more))


def _occurrences(
    calendar: Any, zone: ZoneInfo, since: datetime, until: datetime
) -> tuple[list[tuple[datetime, datetime, Any]], list[str]]:
    """From when until when each event is, once for each time it comes; and the days of those that nobody can tell of.

    One that ends in the year 9999, as programs write what has no end, must not take the others with it.
    """
    import recurring_ical_events  # noqa: PLC0415

    def worked_out() -> list[tuple[datetime, datetime, Any]]:
        found = recurring_ical_events.of(calendar).between(since, until)
        return [(_instant(event.start, zone), _instant(event.end, zone), event) for event in found]

    try:
        return worked_out(), []
    except Exception:  # noqa: S110 - the library meets whatever somebody wrote; its complaints have no common kind
        pass
    events: dict[Any, list[Any]] = {}
    for event in calendar.walk("VEVENT"):
        events.setdefault(str(event.get("UID") or id(event)), []).append(event)  # with what was moved of it
    zones = calendar.walk("VTIMEZONE")
    found: list[tuple[datetime, datetime, Any]] = []
    left_out: list[str] = []
    for same in events.values():
        calendar.subcomponents = [*zones, *same]
        try:
            found += worked_out()
        except Exception:  # the same
            starts = same[0]["DTSTART"]
            left_out.append(starts.dt.isoformat()[:10] if hasattr(starts, "dt") else "two days at once")
    if len(left_out) == len(events):
        raise BadCalendar("no event in it can be worked out")
    return found, left_out


def _instant(when: date, zone: ZoneInfo) -> datetime:
    if not isinstance(when, datetime):
        when = datetime.combine(when, time(0))
    return (when if when.tzinfo else when.replace(tzinfo=zone)).astimezone(UTC)


def _named(text: str, people: Iterable[str]) -> list[str]:
    """The people named in a text, in its order; of two that begin together the longer name is meant."""
    found: list[tuple[int, int, str]] = []
    for name in people:
        word = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE)
        if word:
            found.append((word.start(), word.end(), name))
    covered = [
        (start, end, name)
        for start, end, name in found
        if not any(a <= start and end <= b and (a, b) != (start, end) for a, b, _ in found)
    ]
    return [name for _, _, name in sorted(covered)]


def _attendees(event: Any) -> list[str]:
    there = event.get("ATTENDEE", [])
    each = there if isinstance(there, list) else [there]
    return [f"{who.params.get('CN', '')} {str(who).removeprefix('mailto:').split('@')[0]}" for who in each]


def _unknown_zones(text: str, calendar: Any, zone: ZoneInfo) -> list[str]:
    """The library reads a time of a zone that it does not know as one without a zone; say so."""
    from icalendar.timezone import tzp  # noqa: PLC0415

    unfolded = re.sub(r"\r?\n[ \t]", "", text)
    named = {name.strip('"') for name in re.findall(r";TZID=([^:;\r\n]+)", unfolded)}
    described = {str(part.get("TZID")) for part in calendar.walk("VTIMEZONE")}
    strange = [name for name in named - described if tzp.timezone(name) is None]
    return [f"a time zone in it is not known; such times are read in {zone.key}"] if strange else []


if __name__ == "__main__":
    main()
