"""/costs: what was spent today, in a week or a month, as text with a small bar a day. Pure."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from bot.cards import clip
from bridge.domain.costs import Bill, Line, Part, Tally, bar, midnight

SPANS = ("day", "week", "month")
_HEADS = {"day": "Today", "week": "The last 7 days", "month": "This month"}
_TITLE = 40


def began(span: str, zone: ZoneInfo, now: datetime) -> datetime:
    """When the day, the last seven days or the month began on the chat's clock."""
    today = now.astimezone(zone).date()
    first = {"day": today, "week": today - timedelta(days=6), "month": today.replace(day=1)}[span]
    return midnight(first, zone)


def spoken(bill: Bill, span: str, zone: ZoneInfo) -> str:
    """The bill, its lines by day, as the chat reads it."""
    total = bill.total
    if not total.all.sms:
        return f"{_HEADS[span]}: no SMS."
    lines = [f"{_HEADS[span]}: {_whole(total)}"]
    if total.undelivered.sms:
        lines.append(f"Of these not delivered: {_counted(total.undelivered)}")
    if total.unpriced.sms:
        lines.append(f"Of these without a cost so far: {total.unpriced.sms} SMS")
    if bill.dearest:
        lines.append("Dearest: " + " · ".join(_incident(line) for line in bill.dearest))
    if span != "day":
        lines += ["", *_chart(bill, zone)]
    return "\n".join(lines)


def _whole(total: Tally) -> str:
    """All of it; *about* where some of it is an estimate, or not even that."""
    about = "about " if total.unpriced.sms and total.all.money else ""
    return about + _counted(total.all)


def _counted(part: Part) -> str:
    segments = f"{part.segments} segment{'s' * (part.segments != 1)}"
    return ", ".join([*map(str, part.amounts), f"{part.sms} SMS", segments])


def _incident(line: Line) -> str:
    money = ", ".join(map(str, line.tally.all.amounts))
    return f"#{line.incident} {clip(line.name, _TITLE)} {money or f'{line.tally.all.sms} SMS'}"


def _chart(bill: Bill, zone: ZoneInfo) -> Iterator[str]:
    """A line for each day so far, in money where that is known, else in segments."""
    by_day = {line.name: line.tally.all for line in bill.lines}
    in_money = bool(bill.total.all.money)
    most = max(_height(part, in_money=in_money) for part in by_day.values())
    day, last = (at.astimezone(zone).date() for at in (bill.since, bill.until))
    while day <= last:
        part = by_day.get(day.isoformat(), Part())
        told = ", ".join(map(str, part.amounts)) or (f"{part.sms} SMS" if part.sms else "–")
        yield " ".join(filter(None, (_day(day), bar(_height(part, in_money=in_money), most), told)))
        day += timedelta(days=1)


def _height(part: Part, *, in_money: bool) -> Decimal:
    return sum(part.money.values(), Decimal(0)) if in_money else Decimal(part.segments)


def _day(day: date) -> str:
    return f"{day:%a} {day.day}"
