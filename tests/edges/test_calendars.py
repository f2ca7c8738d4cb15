"""Rotas from iCalendar: whose turn it is, through clock changes and swaps, and what a bad calendar cannot do."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest

from bridge.calendars import fetch, read_calendar, work_out
from bridge.config import CalendarSettings
from bridge.domain.rota import Rota, Unit
from bridge.domain.secret import Secret
from bridge.ports import BadCalendar, Reading

BERLIN = ZoneInfo("Europe/Berlin")
PEOPLE = {"aigerim", "jonas", "dana", "dana-2"}
SINCE, UNTIL = datetime(2026, 11, 1, tzinfo=UTC), datetime(2027, 11, 15, tzinfo=UTC)
FEED = CalendarSettings(url=Secret("https://calendar.example.net/private-5ecr3t/basic.ics"))


def calendar(*events: str) -> bytes:
    """Events written `title | start | end | more lines`, as a calendar."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//nobody//EN"]
    for number, event in enumerate(events):
        title, start, end, *more = (part.strip() for part in event.split("|"))
        uid = [] if any(line.startswith("UID") for line in more) else [f"UID:{number}"]
        lines += ["BEGIN:VEVENT", *uid, f"SUMMARY:{title}", f"DTSTART{start}", f"DTEND{end}", *more, "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""]).encode()


def at(day: str, hour: str = "0900") -> str:
    return f";TZID=Europe/Berlin:{day}T{hour}00"


ONE_DAY = f"{at('20261123')} | {at('20261124')}"


def read(content: bytes) -> Reading:
    return work_out(content, PEOPLE, BERLIN, SINCE, UNTIL)


def turns(content: bytes) -> list[str]:
    """Whose turns, from when until when on the clocks of Berlin."""
    reading = read(content)
    assert reading.problems == ()
    return [
        f"{turn.person} {turn.start.astimezone(BERLIN):%m-%d %H:%M}–{turn.end.astimezone(BERLIN):%m-%d %H:%M}"
        for turn in reading.booked.turns
    ]


# --- what it says -----------------------------------------------------------------------------------------


def test_a_weekly_calendar_says_what_a_weekly_rota_says() -> None:
    reading = read(
        calendar(
            f"Aigerim | {at('20261123')} | {at('20261130')} | RRULE:FREQ=WEEKLY;INTERVAL=2",
            f"Jonas | {at('20261130')} | {at('20261207')} | RRULE:FREQ=WEEKLY;INTERVAL=2",
        )
    )
    rota = Rota(("aigerim", "jonas"), SINCE.date().replace(day=23), zone=BERLIN, unit=Unit.WEEKS)
    whole = reading.booked.turns[:-1]  # the last one is cut where we stop looking
    assert len(whole) > 48
    assert [turn for turn in whole if rota.at(turn.start) != turn] == []


@pytest.mark.parametrize(
    ("event", "turn"),
    [
        (f"Jonas | {ONE_DAY}", "jonas 11-23 09:00–11-24 09:00"),
        ("Jonas | :20261123T090000Z | :20261124T090000Z", "jonas 11-23 10:00–11-24 10:00"),
        ("Jonas | :20261123T090000 | :20261124T090000", "jonas 11-23 09:00–11-24 09:00"),  # the rota's own zone
        ("Jonas | ;VALUE=DATE:20261224 | ;VALUE=DATE:20261227", "jonas 12-24 00:00–12-27 00:00"),
        (f"Jonas | {at('20270328', '0230')} | {at('20270328', '0600')}", "jonas 03-28 03:30–03-28 06:00"),
        (f"On call: JONAS (primary) | {ONE_DAY}", "jonas 11-23 09:00–11-24 09:00"),
        (f"jonas.meier@example.net | {ONE_DAY}", "jonas 11-23 09:00–11-24 09:00"),
        (f"Dana-2 | {ONE_DAY}", "dana-2 11-23 09:00–11-24 09:00"),
        (
            f"On call | {ONE_DAY} | ATTENDEE:mailto:dana@example.net",
            "dana 11-23 09:00–11-24 09:00",
        ),
        (
            f"On call | {ONE_DAY} | ATTENDEE;CN=Jonas M:mailto:jm@example.net",
            "jonas 11-23 09:00–11-24 09:00",
        ),
        (
            f"Jonas | {ONE_DAY} | ATTENDEE:mailto:dana@example.net",
            "jonas 11-23 09:00–11-24 09:00",
        ),
    ],
)
def test_an_event_is_somebodys_turn(event: str, turn: str) -> None:
    assert turns(calendar(event)) == [turn]


def test_a_swap_lies_over_a_long_turn_and_a_moved_one_is_moved() -> None:
    assert turns(
        calendar(
            f"Aigerim | {at('20261123')} | {at('20261130')} | UID:week | RRULE:FREQ=WEEKLY;COUNT=2",
            f"Jonas | {at('20261130')} | {at('20261206')} | UID:week | RECURRENCE-ID{at('20261130')}",
            f"Dana | {at('20261125')} | {at('20261126')}",
            f"Jonas | {at('20261127')} | {at('20261128')} | STATUS:CANCELLED",
        )
    ) == [
        "aigerim 11-23 09:00–11-25 09:00",
        "dana 11-25 09:00–11-26 09:00",
        "aigerim 11-26 09:00–11-30 09:00",
        "jonas 11-30 09:00–12-06 09:00",
    ]


def test_what_was_taken_out_of_a_rule_is_a_gap() -> None:
    reading = read(calendar(f"Aigerim | {ONE_DAY} | RRULE:FREQ=DAILY;COUNT=3 | EXDATE{at('20261124')}"))
    gap = reading.booked.at(datetime(2026, 11, 24, 12, tzinfo=UTC))
    assert (gap.person, gap.end - gap.start) == (None, timedelta(days=1))


# --- what somebody should look at -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "problem", "whose"),
    [
        (
            f"Summer party | {ONE_DAY}",
            "the event of 2026-11-23 names nobody of the config, so it is nobody's turn",
            [],
        ),
        (
            f"Danae | {ONE_DAY}",
            "the event of 2026-11-23 names nobody of the config, so it is nobody's turn",
            [],
        ),
        (
            f"Jonas instead of Aigerim | {ONE_DAY}",
            "the event of 2026-11-23 names jonas and aigerim; jonas has it",
            ["jonas"],
        ),
        (
            "Jonas | ;TZID=Nowhere/Special:20261123T090000 | ;TZID=Nowhere/Special:20261124T090000",
            "a time zone in it is not known; such times are read in Europe/Berlin",
            ["jonas"],
        ),
        (
            f"Jonas | :soon | {at('20261124')}",
            "an event in it cannot be read and is left out",
            [],
        ),
        (
            f"Jonas | {ONE_DAY} | RRULE:FREQ=SOMETIMES",
            "an event in it cannot be read and is left out",
            [],
        ),
        (
            f"Jonas | {at('20261123')} | :99991231T235959Z",
            "the event of 2026-11-23 cannot be worked out and is left out",
            [],
        ),
        (
            "Jonas | ;VALUE=DATE:20261123 | ;VALUE=DATE:99991231",
            "the event of 2026-11-23 cannot be worked out and is left out",
            [],
        ),
        (
            "Jonas | :00010101T000000Z | :20271231T000000Z",
            "the event of 0001-01-01 cannot be worked out and is left out",
            [],
        ),
        (
            f"Jonas | {ONE_DAY} | DTSTART{at('20261125')}",
            "the event of two days at once cannot be worked out and is left out",
            [],
        ),
        (
            "Jonas | :20261123T090000Z\r\nBEGIN:VEVENT\r\nSUMMARY:no start\r\nEND:VEVENT | :20261124T090000Z",
            "an event in it cannot be read and is left out",
            ["jonas"],
        ),
    ],
)
def test_what_cannot_be_taken_as_meant_is_told(event: str, problem: str, whose: list[str]) -> None:
    good = f"Aigerim | {at('20270101')} | {at('20270102')}"
    reading = read(calendar(event, good))
    assert reading.problems == (problem,)
    assert [turn.person for turn in reading.booked.turns] == [*whose, "aigerim"]


def test_what_was_moved_of_an_event_is_left_out_or_kept_with_it() -> None:
    reading = read(
        calendar(
            f"Aigerim | {at('20261123')} | {at('20261130')} | UID:week | RRULE:FREQ=WEEKLY;COUNT=2",
            f"Jonas | {at('20261130')} | {at('20261206')} | UID:week | RECURRENCE-ID{at('20261130')}",
            f"Dana | {at('20261101')} | :99991231T235959Z | UID:ever",
            f"Dana | {at('20261108')} | {at('20261109')} | UID:ever | RECURRENCE-ID{at('20261101')}",
        )
    )
    assert [turn.person for turn in reading.booked.turns] == ["aigerim", "jonas"]
    assert reading.problems == ("the event of 2026-11-01 cannot be worked out and is left out",)


def test_many_problems_are_told_briefly() -> None:
    reading = read(calendar(f"Party | {ONE_DAY} | RRULE:FREQ=DAILY;COUNT=30"))
    assert len(reading.problems) == 11
    assert reading.problems[-1] == "and 20 more"


async def test_a_process_of_its_own_says_the_same() -> None:
    content = calendar(
        f"Aigerim | {ONE_DAY} | RRULE:FREQ=DAILY", f"Jonas | {at('20270101')} | {at('20270109')}", f"Party | {ONE_DAY}"
    )
    assert await read_calendar(content, PEOPLE, BERLIN, SINCE, UNTIL) == read(content)
    with pytest.raises(BadCalendar, match=r"^not iCalendar"):
        await read_calendar(b"<html>", PEOPLE, BERLIN, SINCE, UNTIL)


async def test_where_the_system_refuses_the_memory_limit_it_says_the_same() -> None:
    question = {"people": ["jonas"], "zone": BERLIN.key, "from": SINCE.isoformat(), "until": UNTIL.isoformat()}
    content = calendar(f"Jonas | {ONE_DAY}")
    worker = await asyncio.create_subprocess_exec(
        *("sh", "-c", 'ulimit -v 450000 && exec "$0" -m bridge.calendars', sys.executable),  # it cannot be raised
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await worker.communicate(json.dumps(question | {"seconds": 20}).encode() + b"\n" + content)
    assert worker.returncode == 0 and [turn[0] for turn in json.loads(said)["turns"]] == ["jonas"]


# --- what a bad calendar cannot do ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not iCalendar; it begins with BEGIN:VCALENDAR"),
        (b"<html>Sign in</html>", "not iCalendar; it begins with BEGIN:VCALENDAR"),
        (b"\xff\xfe\x00", "not iCalendar; it begins with BEGIN:VCALENDAR"),
        (
            calendar(f"Jonas | {at('20261123')} | {at('20261123', '0901')} | RRULE:FREQ=MINUTELY;COUNT=6000"),
            "more than 5000 events in the time we look at; this is no calendar of turns",
        ),
        (calendar(f"Jonas | {at('20261123')} | :99991231T235959Z"), "no event in it can be worked out"),
    ],
)
def test_what_is_no_calendar_of_turns_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(BadCalendar) as refused:
        read(content)
    assert str(refused.value) == why


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;INTERVAL=0",  # for ever the same day
        "FREQ=SECONDLY",
    ],
)
async def test_a_rule_that_never_ends_costs_a_process_and_not_the_bridge(rule: str) -> None:
    endless = calendar(f"Jonas | :19700101T090000Z | :19700101T090001Z | RRULE:{rule}")
    with pytest.raises(BadCalendar, match=r"cannot be worked out within 3 s|too much time or memory"):
        await read_calendar(endless, PEOPLE, BERLIN, SINCE, UNTIL, patience=3)


# --- fetching it ------------------------------------------------------------------------------------------


def feed(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.MockTransport:
    return httpx.MockTransport(answer)


async def test_a_file_and_a_feed_are_fetched_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "oncall.ics"
    file.write_bytes(b"BEGIN:VCALENDAR")
    assert await fetch(CalendarSettings(path=file)) == b"BEGIN:VCALENDAR"

    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, stream=httpx.ByteStream(b"BEGIN:VCALENDAR"))

    assert await fetch(FEED, feed(answer)) == b"BEGIN:VCALENDAR"
    assert (asked[0].headers["Accept-Encoding"], asked[0].url.path) == ("identity", "/private-5ecr3t/basic.ics")


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 65536


def _away(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no route to host", request=request)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (_away, "the feed did not answer (ConnectError)"),
        (lambda _: httpx.Response(404), "the feed answered 404"),
        (lambda _: httpx.Response(500), "the feed answered 500"),
        (
            lambda _: httpx.Response(302, headers={"Location": "https://elsewhere.example/"}),
            "the feed has moved; put its new address into calendar_url",
        ),
        (lambda _: httpx.Response(200, content=_endless()), "larger than 2 MiB; this is no calendar of turns"),
        (
            lambda _: httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"\x1f\x8b")),
            "the feed answers compressed only",
        ),
    ],
)
async def test_a_feed_that_fails_says_why_and_keeps_its_address_to_itself(
    answer: Callable[[httpx.Request], httpx.Response], why: str
) -> None:
    with pytest.raises(BadCalendar) as refused:
        await fetch(FEED, feed(answer))
    assert str(refused.value) == why
    assert "5ecr3t" not in repr(refused.value) + repr(FEED)


async def test_a_file_that_is_gone_or_huge_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadCalendar, match=r"^the file cannot be read \(No such file or directory\)$"):
        await fetch(CalendarSettings(path=tmp_path / "gone.ics"))
    huge = tmp_path / "huge.ics"
    huge.write_bytes(b"x" * (2 * 1024 * 1024 + 1))
    with pytest.raises(BadCalendar, match=r"^larger than 2 MiB"):
        await fetch(CalendarSettings(path=huge))
