"""Is all well? One finding a line, each with what to do. Asks, and changes nothing; only `--sms` sends one test."""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bridge import calendars
from bridge.client import CannotAsk, Client, api_token, clock_difference
from bridge.clock import Clock
from bridge.config import Config
from bridge.config.values import SourceSettings
from bridge.domain.house import House, Role
from bridge.domain.rota import Booked, FromCalendar, roster
from bridge.metrics import Metrics
from bridge.mobizon import Mobizon
from bridge.ports import (
    BadCalendar,
    Balance,
    ListedMessage,
    Lost,
    MessagePage,
    MessageQuery,
    NotStored,
    Refused,
    Unreachable,
)
from bridge.silences import call
from bridge.texts import length, on_call
from storage import current_revision, head_revision, library_advice

TEST_TEXT = "TEST, nothing is broken. sms-bridge doctor"
_CLOCK_MAY_DIFFER = timedelta(seconds=30)
_DAY, _WEEK, _BOOKED = timedelta(days=1), timedelta(days=7), timedelta(days=90)


class Mark(StrEnum):
    """How it stands."""

    GOOD = "good"
    NOTE = "note"  # worth knowing; the check passes
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and what to do about it."""

    mark: Mark
    what: str
    to_do: str = ""


async def examine(config: Config, clock: Clock, url: str) -> AsyncIterator[Finding]:
    """Everything, one after another; `url` is where our own bridge should answer."""
    for warning in config.warnings:
        yield Finding(Mark.NOTE, warning)
    async for finding in _mobizon(config, clock):
        yield finding
    yield await _clock(config, clock)
    async for finding in _telegram(config):
        yield finding
    for source in config.sources.values():
        if source.api_url is not None:
            yield await api_of(source)
    for finding in _database(config.storage.path):
        yield finding
    yield _time_zones(config.house, clock)
    for rota in config.house.rotas:
        async for finding in _rota(config, rota, clock):
            yield finding
    if config.server.public_url is not None:
        yield _public_url(config.server.public_url)
    running = await _bridge(url)
    yield running
    if running.mark is Mark.GOOD:
        async for finding in _credentials(config, clock, url):
            yield finding


async def send_test(
    config: Config, clock: Clock, client: Client, person: str, tell: Callable[[Mapping[str, Any]], None]
) -> list[Finding]:
    """One marked test through the running bridge, followed to the handset; `tell` hears of every look."""
    try:
        asked = await client.post("/api/v1/sms", {"to": person, "text": TEST_TEXT})
        began, moderated = clock.monotonic(), False

        def look(sms: Mapping[str, Any]) -> None:
            nonlocal moderated
            moderated = moderated or bool(sms.get("moderated"))
            tell(sms)

        sms = await client.follow(asked["id"], clock, look)
    except CannotAsk as error:
        return [Finding(Mark.BAD, f"test SMS to {person}", str(error))]
    seconds = round(clock.monotonic() - began)
    if sms["state"] != "delivered":
        return [Finding(Mark.BAD, f"test SMS #{sms['id']} to {person}: {sms['state']}", sms["reason"] or "")]
    findings = [Finding(Mark.GOOD, f"test SMS #{sms['id']} to {person}: on the handset after {seconds} s")]
    if moderated:
        findings.append(
            Finding(Mark.NOTE, "Mobizon held it for moderation", "ask their support to let your texts pass at once")
        )
    findings.append(await _as_listed(config, clock, sms["mobizon_id"]))
    return findings


async def _mobizon(config: Config, clock: Clock) -> AsyncIterator[Finding]:
    async with Mobizon(config.mobizon, clock, Metrics()) as gateway:
        balance = await gateway.balance()
    if not isinstance(balance, Balance):
        advice = balance.advice if isinstance(balance, Unreachable) else ""
        yield Finding(Mark.BAD, f"Mobizon: {balance.reason}", advice or f"check that {config.mobizon.base_url} answers")
        return
    yield Finding(Mark.GOOD, f"Mobizon: the key is good at {config.mobizon.base_url}")
    money = f"money left: {balance.amount.normalize():f} {balance.currency}"
    least = config.house.watch.balance_below
    if balance.amount <= 0:
        yield Finding(Mark.BAD, money, "top the account up: nothing can be sent")
    elif least is not None and balance.amount < least:
        yield Finding(Mark.NOTE, money, f"top the account up: watch.balance_below is {least:g}")
    else:
        yield Finding(Mark.GOOD, money)


async def _clock(config: Config, clock: Clock) -> Finding:
    ahead = await clock_difference(config.mobizon.base_url, clock)
    if ahead is None:
        return Finding(Mark.NOTE, "clock: not compared, Mobizon did not tell the time")
    seconds = round(ahead.total_seconds())
    if abs(ahead) <= _CLOCK_MAY_DIFFER:
        return Finding(Mark.GOOD, f"clock: within {max(1, abs(seconds))} s of Mobizon's")
    told = f"clock: {abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} Mobizon's"
    return Finding(Mark.BAD, told, "set this machine's clock, and let NTP keep it: pages would leave at wrong times")


async def _telegram(config: Config) -> AsyncIterator[Finding]:
    if config.telegram is None:
        yield Finding(Mark.NOTE, "Telegram: not set up", "add telegram: {token_file: FILE} to see cards in a chat")
        return
    from bot.checkup import check_telegram  # noqa: PLC0415 - aiogram takes 2 s to import

    async for check in check_telegram(config.telegram, config.house):
        yield Finding(Mark.BAD if check.problem else Mark.GOOD, check.what, check.problem)


async def api_of(source: SourceSettings) -> Finding:
    what = f"source {source.name}: {source.api_url}"
    status = await call(source, "GET", "/status")
    match status:
        case Refused(reason) | Lost(reason):
            return Finding(
                Mark.BAD, f"{what}: {reason}", f"check sources.{source.name}.api_url: silences are made there"
            )
        case {"versionInfo": {"version": str(version)}}:
            return Finding(Mark.GOOD, f"{what} answers, Alertmanager {version[:40]}")
        case _:
            return Finding(
                Mark.BAD, f"{what} is no Alertmanager", f"put its address into sources.{source.name}.api_url"
            )


def _database(path: Path) -> list[Finding]:
    found = [_schema(path)]
    if advice := library_advice():
        found.append(Finding(Mark.NOTE, advice))
    return found


def _schema(path: Path) -> Finding:
    what = f"database {path}"
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding(Mark.BAD, f"{what}: its folder cannot be written", f"let this user write to {folder}")
    if not path.exists():
        return Finding(Mark.GOOD, f"{what}: not there yet, the first run makes it")
    if not os.access(path, os.R_OK | os.W_OK):
        return Finding(Mark.BAD, f"{what}: cannot be written", "give the file to the user that runs the bridge")
    try:
        revision = current_revision(path)
    except NotStored as error:
        return Finding(Mark.BAD, str(error), "put a backup in its place")
    head = head_revision()
    if revision == head:
        return Finding(Mark.GOOD, f"{what}: schema {revision}, the newest")
    if (revision or "") > head:  # versions are counted: 0001, 0002 …
        return Finding(
            Mark.BAD, f"{what}: schema {revision}, newer than this program's {head}", "run the newer program"
        )
    return Finding(Mark.NOTE, f"{what}: schema {revision or 'none yet'}", f"run, or migrate, brings it to {head}")


def _time_zones(house: House, clock: Clock) -> Finding:
    zones = dict.fromkeys([house.time_zone, *(chat.time_zone or house.time_zone for chat in house.chats.values())])
    told = ", ".join(f"{zone.key} (now {clock.now().astimezone(zone):%H:%M})" for zone in zones)
    return Finding(Mark.GOOD, f"time zone{'s' * (len(zones) > 1)}: {told}")


async def _rota(config: Config, name: str, clock: Clock) -> AsyncIterator[Finding]:
    """Whose turn it is, by the config and the calendar as it is now; swaps are the running bridge's."""
    house, now = config.house, clock.now()
    rota, booked = house.rotas[name], dict[str, Booked]()
    if isinstance(rota, FromCalendar):
        try:
            content = await calendars.fetch(config.calendars[name])
            reading = await calendars.read_calendar(content, house.people, rota.zone, now - _DAY, now + _BOOKED)
        except BadCalendar as bad:
            yield Finding(Mark.BAD, f"the calendar of rota {name}: {bad}", "until it can be read its last copy stands")
            return
        for problem in reading.problems:
            yield Finding(Mark.NOTE, f"the calendar of rota {name}: {problem}")
        booked[name] = reading.booked
    known = roster(house.rotas, booked, house.textable)
    told = f"rota {name}: {on_call(house, known, name, house.time_zone, now)}"
    if known.who(name, now) is None:
        yield Finding(Mark.BAD, told, "pages for it go on to the next of the policy; book somebody, or /oncall take 8h")
    elif known.gap_ahead(name, now, _WEEK):
        yield Finding(Mark.NOTE, told, "nobody is on call for a part of the week ahead; /oncall next says when")
    else:
        yield Finding(Mark.GOOD, told)


def _public_url(url: str) -> Finding:
    parts = urlsplit(url)
    if parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1"):
        return Finding(Mark.GOOD, f"public URL: {url}")
    return Finding(Mark.BAD, f"public URL: {url}", "use https: what goes there must not be read on the way")


async def _bridge(url: str) -> Finding:
    async with Client(url) as client:
        try:
            await client.get("/-/healthy")
        except CannotAsk as error:
            return Finding(Mark.NOTE, "bridge: not running", str(error))
        try:
            await client.get("/-/ready")
        except CannotAsk as error:
            return Finding(Mark.BAD, f"bridge: running at {url}, but not ready", str(error))
    return Finding(Mark.GOOD, f"bridge: running and ready at {url}")


async def _credentials(config: Config, clock: Clock, url: str) -> AsyncIterator[Finding]:
    """When the running bridge was last shown each: after a rotation, whether the old one may go."""
    try:
        async with Client(url, api_token(config, Role.OBSERVER)) as client:
            told = await client.get("/api/v1/credentials")
    except CannotAsk as error:
        yield Finding(Mark.NOTE, "credentials: when they were last used is not known", str(error))
        return
    now, since = clock.now(), datetime.fromisoformat(told["since"])
    for one in told["items"]:
        what = f"{one['owner']}, {one['which']}"
        if one["last_used"] is not None:
            ago = length(now - datetime.fromisoformat(one["last_used"]))
            yield Finding(Mark.GOOD, f"{what}: last used {ago} ago")
        elif now - since < _DAY:
            yield Finding(Mark.GOOD, f"{what}: not used since the bridge began, {length(now - since)} ago")
        else:
            ago = length(now - since)
            yield Finding(Mark.NOTE, f"{what}: not used in {ago}", "remove it, if nobody is meant to show it any more")


async def _as_listed(config: Config, clock: Clock, message_id: str) -> Finding:
    """What Mobizon's own list says of it: the sender it really came from, and its price."""
    async with Mobizon(config.mobizon, clock, Metrics()) as gateway:
        page = await gateway.messages(MessageQuery({"id": message_id}))
    listed = next((one for one in page.items if one.id == message_id), None) if isinstance(page, MessagePage) else None
    if listed is None:
        return Finding(Mark.NOTE, f"sender and price: Mobizon does not list message {message_id} yet")
    wanted = config.mobizon.sender_id
    told = f"sender {listed.sender_id or 'unknown'}, {_price(listed)}"
    if wanted is not None and listed.sender_id not in (None, wanted):
        return Finding(Mark.NOTE, told, f"mobizon.sender_id {wanted} was not used: have it approved in Mobizon's panel")
    return Finding(Mark.GOOD, told)


def _price(listed: ListedMessage) -> str:
    if listed.segment_price is None:
        return "price unknown"
    segments = listed.segments or 1
    return f"{segments} segment{'s' * (segments > 1)}, {(listed.segment_price * segments).normalize():f}"
