"""Hours as people say them, on a clock that is set twice a year."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def instants(day: date, reading: time, zone: ZoneInfo) -> list[datetime]:
    """When the clock there reads so on that day, in UTC: twice when it is set back over that hour.

    An hour that it is set forward over comes as much later: 02:30, where it goes from 02:00 to 03:00, is 03:30.
    """
    first, second = (datetime.combine(day, reading.replace(fold=fold), zone).astimezone(UTC) for fold in (0, 1))
    return [first, second] if second > first else [first]


def next_reading(reading: time, zone: ZoneInfo, now: datetime) -> datetime:
    """The next time that the clock there reads so, in UTC; today's, else tomorrow's."""
    today = now.astimezone(zone).date()
    ahead = [at for day in (0, 1) for at in instants(today + timedelta(days=day), reading, zone) if at > now]
    return ahead[0]
