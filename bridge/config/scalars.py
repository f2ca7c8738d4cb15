"""One scalar of the config file, from the text that stands there to what it means."""

import difflib
import re
import warnings
from collections.abc import Callable, Iterable
from datetime import date, time, timedelta
from decimal import Decimal
from functools import cache
from importlib import resources
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from bridge.config.document import shown
from bridge.config.schema import NAME
from bridge.domain.costs import Amount
from bridge.domain.hours import BadInterval
from bridge.domain.house import NOT_PEOPLE
from bridge.domain.rota import Unit
from bridge.domain.routing import BadMatcher, Matcher, parse_matcher

T = TypeVar("T")

_LONGEST_MATCHER = 500
_MOST_DIGITS = 18
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {"": 1, "KiB": 1024, "MiB": 1024**2}
# Mobizon's sites; anything else after the dot could be somebody else's machine that is handed our key.
_MOBIZON_HOST = re.compile(r"api\.mobizon\.(?:[a-z]{2,3}|com\.[a-z]{2})")


class Wrong(ValueError):
    """What is wrong with a value, and what would be right; never repeats a number or a secret."""


def near(word: str, names: Iterable[str]) -> str:
    """The right names beside a wrong one: the one that was probably meant, else all of them."""
    there = sorted(names)
    meant = difflib.get_close_matches(word, there, 1, 0.7)
    if meant:
        return f"did you mean {shown(meant[0])}?"
    return f"there are: {', '.join(map(shown, there))}" if there else "there are none"


def text(written: str) -> str:
    return written


def name(written: str) -> str:
    if not re.fullmatch(NAME, written):
        raise Wrong("not a name; write up to 40 letters, digits, _ and -, at least one of them a letter")
    return written


def choice(*words: str) -> Callable[[str], str]:
    def read(written: str) -> str:
        if written not in words:
            raise Wrong(f"not one of the words it may be; write {either(words)}")
        return written

    return read


def flag(written: str) -> bool:
    if written not in ("true", "false"):
        raise Wrong("neither yes nor no; write true or false")
    return written == "true"


def number(low: int | None = None, high: int | None = None) -> Callable[[str], int]:
    def read(written: str) -> int:
        if not re.fullmatch(rf"-?[0-9]{{1,{_MOST_DIGITS}}}", written):
            raise Wrong("not a whole number; write digits only")
        value = int(written)
        if (low is not None and value < low) or (high is not None and value > high):
            raise Wrong(f"out of range; write {low} to {high}" if high is not None else f"too small; {low} or more")
        return value

    return read


def telegram_id(written: str) -> int:
    value = number(1)(written)
    if value in NOT_PEOPLE:
        raise Wrong("Telegram's own id for anonymous admins and channels, not a person; /id tells the person's")
    return value


def chat_id(written: str) -> int:
    value = number()(written)
    if value == 0:
        raise Wrong("not a chat; the bot answers /id in the chat with its id")
    return value


def amount(written: str) -> float:
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,4})?", written):
        raise Wrong("not an amount of money; write it like 3000 or 12.50")
    return float(written)


def price(written: str) -> Amount:
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([A-Z]{3})", written)
    if not found:
        raise Wrong("not a price; write it with its currency, like 20.50 KZT")
    return Amount(Decimal(found[1]), found[2])


def share(written: str) -> float:
    if not re.fullmatch(r"[0-9]{1,3}%", written) or int(written[:-1]) > 100:
        raise Wrong("not a share; write 0% to 100%")
    return int(written[:-1]) / 100


def some_share(written: str) -> float:
    """A share that is more than nothing."""
    if not re.fullmatch(r"[0-9]{1,3}%", written) or not 1 <= int(written[:-1]) <= 100:
        raise Wrong("not a share; write 1% to 100%")
    return int(written[:-1]) / 100


def duration(
    low: timedelta = timedelta(seconds=1), high: timedelta = timedelta(days=3650)
) -> Callable[[str], timedelta]:
    def read(written: str) -> timedelta:
        found = re.fullmatch(r"([0-9]{1,9})([smhdw])", written)
        if not found:
            raise Wrong("not a duration; write 5m, 30s, 1h or 7d")
        value = timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
        if not low <= value <= high:
            raise Wrong(f"out of range; write {brief(low)} to {brief(high)}")
        return value

    return read


def window(written: str) -> timedelta:
    """The length of a limit's window; none for `month`, which is as long as the calendar says."""
    if written == "month":
        return timedelta(0)
    if not re.fullmatch("[0-9]+[smhdw]", written):
        raise Wrong("no window; write a duration like 5m, 1h or 1d, or month")
    return duration()(written)


def duration_or_off(written: str) -> timedelta | None:
    """A duration, or None for `off`."""
    return None if written == "off" else duration()(written)


def brief(length: timedelta) -> str:
    """A duration as the file writes it."""
    seconds = int(length.total_seconds())
    unit = next(unit for unit in "dhms" if seconds % _SECONDS[unit] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"


def turn_length(written: str) -> tuple[int, Unit]:
    found = re.fullmatch(r"([1-9][0-9]{0,2})([hdw])", written)
    if not found:
        raise Wrong("not the length of a turn; write it like 1w, 2d or 12h")
    return int(found[1]), Unit(found[2])


def day(written: str) -> date:
    wrong = Wrong("not a day; write it like 2026-11-23")
    try:
        value = date.fromisoformat(written) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", written) else None
    except ValueError as error:
        raise wrong from error
    if value is None:
        raise wrong
    if not 1970 <= value.year <= 2100:
        raise Wrong("too far away; write a day of these years, like 2026-11-23")
    return value


WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def handover(written: str) -> tuple[str | None, time]:
    """A weekday, if one is given, and the time of day."""
    found = re.fullmatch(r"(?:([a-z]+) +)?([01][0-9]|2[0-3]):([0-5][0-9])", written.lower())
    if not found or found[1] not in (None, *WEEKDAYS):
        raise Wrong("not a handover; write it like monday 09:00, or 09:00")
    return found[1], time(int(found[2]), int(found[3]))


def ranged(read: Callable[[str], T]) -> Callable[[str], T]:
    """A range of an interval, or a minute of it."""

    def reader(written: str) -> T:
        try:
            return read(written)
        except BadInterval as error:
            raise Wrong(str(error)) from error

    return reader


def size(written: str) -> int:
    found = re.fullmatch(r"([0-9]{1,9}) ?(KiB|MiB)?", written)
    value = int(found[1]) * _BYTES[found[2] or ""] if found else 0
    if not 1024 <= value <= 1024**3:
        raise Wrong("not a size; write it like 32MiB, from 1KiB to 1024MiB")
    return value


def zone(written: str) -> ZoneInfo:
    known = _zones()
    if written not in known:
        cities = {name.rsplit("/", 1)[-1].lower(): name for name in sorted(known)}
        city = written.strip().replace(" ", "_").lower().rsplit("/", 1)[-1]
        meant = difflib.get_close_matches(city, cities, 1, 0.7)
        hint = f"did you mean {cities[meant[0]]}?" if meant else "write it like Asia/Almaty"
        raise Wrong(f"no such time zone; {hint}")
    return ZoneInfo(written)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def region(written: str) -> str:
    code = written.upper()
    if code not in _regions():
        raise Wrong("not a country code; write two letters like KZ or DE (ISO 3166)")
    return code


@cache
def _regions() -> frozenset[str]:
    table = resources.files("tzdata.zoneinfo").joinpath("iso3166.tab").read_text("utf-8")
    return frozenset(line[:2] for line in table.splitlines() if line and not line.startswith("#"))


def matcher(written: str) -> Matcher:
    if len(written) > _LONGEST_MATCHER:
        raise Wrong(f"longer than {_LONGEST_MATCHER} characters; split it into several matchers")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what a later Python reads differently is a mistake today
            return parse_matcher(written)
    except BadMatcher as error:
        if error.__cause__ is not None:
            raise Wrong("not a regular expression; Python's re has to understand it") from error
        raise Wrong('not a matcher; write it like severity="critical", with = != =~ or !~') from error
    except (OverflowError, RecursionError, Warning) as error:
        raise Wrong("not a regular expression to rely on; write it plainer") from error


def address(written: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([\w.-]+)):([0-9]{1,5})", written, re.ASCII)
    if not found:
        raise Wrong("not an address; write HOST:PORT like 127.0.0.1:9877")
    if int(found[3]) > 65535:
        raise Wrong("no such port; write one from 1 to 65535")
    return found[1] or found[2], int(found[3])


def is_loopback(host: str | None) -> bool:
    """Whether only this machine reaches that host."""
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def url(written: str) -> str:
    """An http(s) address of a server: no user, no query, no slash at its end."""
    parts = _split(written)
    if parts.query or parts.fragment or parts.username is not None:
        raise Wrong("more than an address; write it like https://host.example without user, ? or #")
    return written.rstrip("/")


def any_url(written: str) -> str:
    """An http(s) address, whatever stands after the host."""
    _split(written)
    return written


def mobizon_url(written: str) -> str:
    base = url(written)
    parts = urlsplit(base)
    if is_loopback(parts.hostname):
        return base
    if not _MOBIZON_HOST.fullmatch(parts.hostname or "") or parts.path or parts.port not in (None, 443):
        raise Wrong("not a Mobizon API; write https://api.mobizon.kz, or the account's own site")
    if parts.scheme != "https":
        raise Wrong("not encrypted, and the key travels in it; write https://")
    return base


def database(written: str) -> str:
    """The file named by `sqlite:PATH`."""
    if re.match(r"postgres(ql)?(\+\w+)?:", written):
        raise Wrong("PostgreSQL comes in a later version; write sqlite:data/bridge.db")
    scheme, _, path = written.partition(":")
    if scheme != "sqlite" or not path or path.startswith(("//", ":")) or "\0" in path:
        raise Wrong("not a database; write sqlite:PATH like sqlite:data/bridge.db")
    return path


def path_part(written: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", written):
        raise Wrong("not a part of a path; write letters, digits, _ and -")
    return written


def sender_id(written: str) -> str:
    """What may stand as `from`; whether it is approved only Mobizon knows."""
    if not re.fullmatch(r"[ -~]{1,15}", written):
        raise Wrong("not a sender ID; write up to 11 Latin letters and digits, as approved at Mobizon")
    return written


def _split(written: str) -> SplitResult:
    wrong = Wrong("not a web address; write it like https://host.example")
    try:
        parts = urlsplit(written)
        _ = parts.port
    except ValueError as error:
        raise wrong from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not re.fullmatch(r"[!-~]+", written):
        raise wrong
    return parts


def either(words: Iterable[str]) -> str:
    """Words to choose from, as people list them."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last
