"""What people type: our numbers, times and how far back."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import typer

from bridge.domain.wall import next_reading

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_YEARS = range(2000, 2100)
_LONGEST_HOUR = len("18:00")


def our_number(written: str) -> int:
    """`1042` or `#1042`."""
    digits = written.removeprefix("#")
    if not digits.isdecimal():
        raise typer.BadParameter(f"{written!r} is no number of ours; write 1042 or #1042")
    return int(digits)


def ago(written: str, zone: ZoneInfo, now: datetime) -> datetime:
    """`7d` ago, a date, or a date with a time; without a zone it is read in ours."""
    amount, unit = written[:-1], written[-1:]
    if amount.isdecimal() and unit in _UNITS:
        try:
            return now - timedelta(**{_UNITS[unit]: int(amount)})
        except OverflowError as error:
            raise typer.BadParameter(f"{written!r} is longer ago than there are dates") from error
    return _date(written, zone, "7d, 2026-11-22 or 2026-11-22T18:00")


def ahead(written: str, zone: ZoneInfo, now: datetime) -> datetime:
    """`18:00`, tomorrow when that is past today, or a date with a time; without a zone it is read in ours."""
    if len(written) > _LONGEST_HOUR:
        return _date(written, zone, "18:00 or 2026-11-22T18:00")
    try:
        hour, minute = (int(part) for part in written.split(":"))
        reading = time(hour, minute)
    except ValueError as error:
        raise typer.BadParameter(f"{written!r} is no time; write 18:00 or 2026-11-22T18:00") from error
    return next_reading(reading, zone, now).astimezone(zone)


def some_day(written: str, zone: ZoneInfo, now: datetime) -> datetime:
    """The same, of any day that calendars and rules can be asked about."""
    moment = ahead(written, zone, now)
    if moment.year not in _YEARS:
        raise typer.BadParameter(f"{written!r} is too far away; write a day of these years, like 2026-12-24T03:00")
    return moment.astimezone(UTC)


def since(written: str | None, zone: ZoneInfo, now: datetime) -> dict[str, str]:
    """The API's parameter for how far back."""
    return {"since": ago(written, zone, now).astimezone(UTC).isoformat()} if written is not None else {}


def _date(written: str, zone: ZoneInfo, right: str) -> datetime:
    try:
        moment = datetime.fromisoformat(written)
    except ValueError as error:
        raise typer.BadParameter(f"{written!r} is no time; write {right}") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
