"""When to try again, and when to ask again."""

from datetime import datetime, timedelta

_FIRST_WAIT = timedelta(seconds=5)
_LONGEST_WAIT = timedelta(minutes=5)
_ASK_AFTER_VALIDITY = timedelta(hours=24)
DEFAULT_VALIDITY = 1440
"""Minutes the gateway tries when nobody said otherwise (its own default)."""

# How old an SMS is → how long until the next question about it. Most arrive within seconds, and the
# card in the chat is watched then; an hour later nobody stares at it.
_CADENCE = (
    (timedelta(seconds=20), timedelta(seconds=2)),
    (timedelta(minutes=2), timedelta(seconds=5)),
    (timedelta(minutes=10), timedelta(seconds=20)),
    (timedelta(hours=1), timedelta(minutes=1)),
    (timedelta(hours=6), timedelta(minutes=5)),
)
_SLOWEST = timedelta(minutes=20)

# How long ago an SMS ended → how long until its price is asked for again. The list shows most at once.
_PRICED_AFTER = timedelta(seconds=30)
_PRICE_CADENCE = (
    (timedelta(hours=1), timedelta(minutes=5)),
    (timedelta(days=1), timedelta(hours=1)),
    (timedelta(days=3), timedelta(hours=6)),
)

_LOOKS = (timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=5))
LOOKS = len(_LOOKS)
"""Answered looks before a lost SMS counts as not listed."""
_STILL_ASKING = timedelta(minutes=30)
UNKNOWN_AFTER = timedelta(hours=24)
"""How long the chat is asked what to do about a lost SMS."""


def next_look(lost_at: datetime, looks: int, now: datetime) -> datetime:
    """When to look for a lost SMS in the gateway's list: 30 s, 2 and 5 minutes after, then now and then."""
    return max(lost_at + _LOOKS[looks], now) if looks < LOOKS else now + _STILL_ASKING


def next_attempt(failures: int, now: datetime) -> datetime:
    """When to try a send that did not reach the gateway again: 5 s, 10 s, 20 s … at most 5 minutes."""
    doubled: timedelta = _FIRST_WAIT * 2 ** min(max(failures - 1, 0), 10)
    return now + min(doubled, _LONGEST_WAIT)


def next_poll(submitted_at: datetime, validity: int | None, now: datetime) -> datetime | None:
    """When to ask what became of a submitted SMS; None once its validity and a day are over.

    `validity` is in minutes. The last question is asked at the very end.
    """
    end = submitted_at + timedelta(minutes=validity or DEFAULT_VALIDITY) + _ASK_AFTER_VALIDITY
    if now >= end:
        return None
    age = now - submitted_at
    pause = next((pause for young, pause in _CADENCE if age < young), _SLOWEST)
    return min(now + pause, end)


def first_price(now: datetime) -> datetime:
    """When to ask what an SMS cost that ended now: so soon that others can be asked about along with it."""
    return now + _PRICED_AFTER


def next_price(ended_at: datetime, now: datetime) -> datetime | None:
    """When to ask again what an SMS cost that the gateway did not price; None after three days."""
    age = now - ended_at
    pause = next((pause for young, pause in _PRICE_CADENCE if age < young), None)
    return now + pause if pause else None
