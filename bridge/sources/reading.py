"""How every format reads JSON: leniently in what may be missing, by name in what is wrong."""

import hashlib
import json
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import orjson

from bridge.domain.alert import AlertStatus

LONGEST_LABEL = 1000
LONGEST_TEXT = 4000
LONGEST_KEY = 500
_MOST_LABELS = 100
_LONGEST_URL = 2000
_LONGEST_INT = 20  # digits; int() refuses 4300, and no label means a number of more than these

# A start in the year 9999 has no local time in half of the world's zones, and no later outbreak could follow it.
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_FARTHEST_AHEAD = timedelta(days=1)

_BOM = b"\xef\xbb\xbf"
_CONTROL = re.compile(r"[\x01-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
# NUL, and the marks that turn the direction of writing: in a name they would turn round what we say after it.
_NOTHING = re.compile(r"[\0\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_FIRING = {"firing", "alerting", "alert", "triggered", "trigger", "problem", "open", "down", "fail", "failed"}
_RESOLVED = {"resolved", "resolve", "ok", "recovered", "recovery", "normal", "closed", "close", "up"}


class PayloadError(ValueError):
    """What is wrong with a payload: where, what was found, what would be right."""


class NotJson(PayloadError):
    """It is no JSON at all: nothing will ever be understood of it."""


def read_json(body: bytes) -> Any:
    """The value in `body`, whose NUL and lone surrogates are still in it. Raises NotJson.

    orjson is strict and quick; the standard library also reads lone surrogates, NaN and numbers of any
    length, which real senders emit and which are no reason to lose an alert.
    """
    body = body.removeprefix(_BOM)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body.decode(), parse_int=_number)
    except RecursionError:
        raise NotJson("nested too deeply; no sender needs a thousand levels") from None
    except UnicodeDecodeError as error:
        raise NotJson(f"not UTF-8 at byte {error.start}; JSON is always UTF-8") from error
    except ValueError as error:
        where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise NotJson(f"not JSON{where}") from error


def check_json(body: bytes) -> None:
    """What `read_json` would say of a large body, without holding up other threads or making millions of objects.

    Python's parsers keep the interpreter to themselves until they are through: 7 ms a megabyte, during which nobody
    else is answered. SQLite's does not. It stops at a NUL, and is stricter than we are about NaN: what it does not
    vouch for, `read_json` decides. What is nested deeper than a thousand levels may pass, and is unreadable later.
    """
    try:
        text = body.removeprefix(_BOM).decode()
        with closing(sqlite3.connect(":memory:")) as parser:
            vouched = "\0" not in text and parser.execute("SELECT json_valid(?)", (text,)).fetchone() == (1,)
    except (UnicodeDecodeError, sqlite3.Error):
        vouched = False
    if not vouched:
        read_json(body)


def clean(text: str, longest: int = LONGEST_TEXT) -> str:
    """Fit for a database and a screen: no NUL, no lone surrogate, no marks of direction, controls as spaces.

    Line ends stay.
    """
    text = text[:longest]
    if text.isprintable():
        return text
    return _CONTROL.sub(" ", _SURROGATE.sub("\ufffd", _NOTHING.sub("", text).replace("\r\n", "\n"))).strip()


def an_object(value: Any, path: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise _wrong(value, path, "an object")


def a_list(value: Any, path: str) -> list[Any]:
    if isinstance(value, list):
        return value
    raise _wrong(value, path, "a list")


def words(value: Any, path: str, longest: int = LONGEST_TEXT) -> str:
    """A string, cleaned; missing and null are empty, numbers and booleans as JSON writes them."""
    match value:
        case None:
            return ""
        case str():
            return clean(value, longest)
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
    raise _wrong(value, path, "a string")


def line(value: Any, path: str, longest: int = LONGEST_LABEL) -> str:
    """`words` on one line."""
    return words(value, path, longest).replace("\n", " ")


def labels(value: Any, path: str) -> dict[str, str]:
    """An object of strings; missing is empty."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(value, path, "an object of strings")
    told = list(value.items())[:_MOST_LABELS]
    return {
        clean(name, LONGEST_LABEL): clean(label, LONGEST_LABEL).replace("\n", " ")
        if isinstance(label, str)
        else line(label, f"{path}.{clean(name, 60)}")
        for name, label in told
    }


def texts(value: Any) -> dict[str, str]:
    """What of this object is text, cleaned; the rest is left out, for nothing depends on it."""
    if not isinstance(value, dict):
        return {}
    told = ((name, text) for name, text in value.items() if isinstance(text, str))
    return {clean(name, LONGEST_LABEL): clean(text, LONGEST_LABEL) for name, text in islice(told, _MOST_LABELS)}


def status(value: Any, path: str, otherwise: AlertStatus = AlertStatus.FIRING) -> AlertStatus:
    """Firing or resolved, in the words that senders have for it."""
    word = line(value, path).strip().casefold()
    if not word:
        return otherwise
    if word in _FIRING:
        return AlertStatus.FIRING
    if word in _RESOLVED:
        return AlertStatus.RESOLVED
    raise PayloadError(f'{path}: "{word[:30]}"; firing or resolved would be right')


def instant(value: Any, received: datetime) -> datetime | None:
    """An RFC 3339 time, UTC where it names no zone. None for none, and for what is no time: an alert is not
    lost for its clock. Go's zero time is none, and so is what lies beyond any clock's error."""
    if not isinstance(value, str):
        return None
    try:
        read = datetime.fromisoformat(value.strip())
        at = read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return at if _EARLIEST <= at <= received + _FARTHEST_AHEAD else None


def url(value: Any) -> str:
    """A web address, or nothing: a button with anything else makes Telegram refuse the whole card."""
    if not isinstance(value, str) or not value.lower().startswith(("http://", "https://")):
        return ""
    return value if len(value) <= _LONGEST_URL and value.isprintable() and " " not in value else ""


def count(value: Any) -> int:
    """A whole number from 0 up to a billion; anything else counts as 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 10**9 else 0


def fingerprint(told: Mapping[str, str]) -> str:
    """Tells sets of labels apart when the sender brings no fingerprint of its own."""
    return digest(json.dumps(sorted(told.items())))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def key(text: str) -> str:
    """A dedup key of bounded length; what is cut off still tells keys apart."""
    return text if len(text) <= LONGEST_KEY else f"{text[: LONGEST_KEY - 17]}…{digest(text)}"


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INT else float(digits)


def _wrong(value: Any, path: str, right: str) -> PayloadError:
    match value:
        case None:
            found = "missing"
        case bool():
            found = "true or false"
        case str():
            found = "a string"
        case int() | float():
            found = "a number"
        case list():
            found = "a list"
        case _:
            found = "an object"
    return PayloadError(f"{path}: {found}; {right} would be right")
