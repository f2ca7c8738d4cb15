"""The bill of a month: what the running bridge counted, and what else Mobizon lists under the same key."""

import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from bridge.cli import words
from bridge.clock import Clock
from bridge.domain.costs import Amount, plain
from bridge.ports import Failure, ListedMessage, Lost, MessagePage, MessageQuery, SmsGateway, Unreachable

_PAGE = 100
_TIME = "%Y-%m-%d %H:%M:%S"
_PATIENCE = 10  # times that Mobizon may ask for it
_REFERENCE = re.compile(r"sb[0-9a-f]{20}")
_FORMULA = ("=", "+", "-", "@")
_COLUMNS = (
    *("what", "name", "sms", "segments", "cost", "currency"),
    *("undelivered_sms", "undelivered_cost", "unpriced_sms", "unpriced_estimate"),
)


async def listed(
    gateway: SmsGateway, clock: Clock, zone: ZoneInfo, since: datetime, until: datetime, tell: Callable[[str], None]
) -> list[ListedMessage] | Failure:
    """All that Mobizon lists as made in that time. Its clock has no zone: `zone` is how it is read."""
    criteria = {
        "campaignCreateTsFrom": since.astimezone(zone).strftime(_TIME),
        "campaignCreateTsTo": (until - timedelta(seconds=1)).astimezone(zone).strftime(_TIME),
    }
    found: dict[str, ListedMessage] = {}
    for page in count():
        # The oldest first: what comes meanwhile stands at the end, and moves nothing onto another page.
        query = MessageQuery(criteria, page, _PAGE, {"campaignId": "ASC"})
        answer = await _patiently(gateway, clock, query)
        if not isinstance(answer, MessagePage):
            return answer
        before = len(found)
        found |= {sms.id: sms for sms in answer.items}
        if not answer.items or len(found) >= answer.total:
            return list(found.values())
        if len(found) == before:
            return Lost("Mobizon lists the same page again and again")
        tell(f"{len(found)} of {answer.total} SMS in Mobizon's list")
    raise AssertionError("there is no last page")


async def _patiently(gateway: SmsGateway, clock: Clock, query: MessageQuery) -> MessagePage | Failure:
    answer = await gateway.messages(query)
    for _ in range(_PATIENCE):
        if not isinstance(answer, Unreachable) or answer.wait is None:
            break
        await clock.wait(answer.wait.total_seconds())
        answer = await gateway.messages(query)
    return answer


def others(
    found: Iterable[ListedMessage], ours: Collection[str], in_doubt: Collection[str], currency: str
) -> dict[str, Any]:
    """What of it is not ours; `bridges` are those that carry a bridge's reference, which this one does not know.

    Apart from these, what carries a reference `in_doubt`: ours, and this bridge does not know yet that it left.
    """
    rest = [sms for sms in found if sms.id not in ours]
    foreign = [sms for sms in rest if sms.campaign_name not in in_doubt]
    return {
        **_summed(foreign, currency),
        "bridges": sum(bool(_REFERENCE.fullmatch(sms.campaign_name or "")) for sms in foreign),
        "in_doubt": _summed([sms for sms in rest if sms.campaign_name in in_doubt], currency),
    }


def _summed(found: Sequence[ListedMessage], currency: str) -> dict[str, Any]:
    cost = sum(((sms.segment_price or Decimal(0)) * (sms.segments or 1) for sms in found), Decimal(0))
    return {
        "sms": len(found),
        "segments": sum(sms.segments or 1 for sms in found),
        "cost": [{"amount": plain(cost), "currency": currency}] if found else [],
    }


def say(bill: Mapping[str, Any]) -> None:
    """For people."""
    total = bill["total"]
    words.say(f"{bill['month']}, {bill['time_zone']}: {_counted(total)}")
    if total["undelivered"]["sms"]:
        words.say(f"of these not delivered: {_counted(total['undelivered'])}")
    if total["unpriced"]["sms"]:
        words.say(f"of these without a cost so far: {_counted(total['unpriced'], about=True)}")
    columns = ("SMS", "segments", "cost", "not delivered", "no cost so far")
    words.say("")
    words.table((bill["by"], *columns), map(_cells, bill["lines"]), "nothing was sent")
    if bill["dearest"]:
        words.say("")
        named = ({**line, "name": _incident(line)} for line in bill["dearest"])
        words.table(("the dearest", *columns), map(_cells, named), "")
    if bill["others"] is not None:
        words.say("")
        if bill["others"]["in_doubt"]["sms"]:
            words.say(f"In doubt, and not in this bill yet: {_counted(bill['others']['in_doubt'])}, of ours.")
        words.say(_others(bill["others"]))


def _cells(line: Mapping[str, Any]) -> tuple[str, ...]:
    lost, unpriced = line["undelivered"], line["unpriced"]
    return (
        line["name"],
        str(line["sms"]),
        str(line["segments"]),
        _money(line["cost"]),
        _counted(lost) if lost["sms"] else "",
        _counted(unpriced, about=True) if unpriced["sms"] else "",
    )


def _counted(part: Mapping[str, Any], *, about: bool = False) -> str:
    money = _money(part["cost"])
    segments = f"{part['segments']} segment{'s' * (part['segments'] != 1)}"
    return ", ".join(filter(None, (f"{part['sms']} SMS", segments, f"about {money}" if about and money else money)))


def _money(sums: Iterable[Mapping[str, str]]) -> str:
    return " + ".join(str(Amount(Decimal(one["amount"]), one["currency"])) for one in sums)


def _incident(line: Mapping[str, Any]) -> str:
    return f"#{line['incident']} {line['name']}"


def _others(found: Mapping[str, Any]) -> str:
    if not found["sms"]:
        return "Mobizon lists nothing else: nobody else uses the key."
    whose = "somebody else uses the key"
    if found["bridges"]:
        whose += f" ({found['bridges']} with a bridge's reference: another sms-bridge, or this one lost track)"
    return f"Mobizon lists {_counted(found)}, that are not in this bill: {whose}."


def as_csv(bill: Mapping[str, Any]) -> str:
    """For a spreadsheet: a row for each line and currency, the total, the dearest incidents, and what is not ours."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    nothing = {"sms": 0, "segments": 0, "cost": []}
    rows = [*((bill["by"], line) for line in bill["lines"]), ("total", {**bill["total"], "name": bill["month"]})]
    rows += [("incident", {**line, "name": _incident(line)}) for line in bill["dearest"]]
    if bill["others"] is not None:
        none = {"undelivered": nothing, "unpriced": nothing}
        if bill["others"]["in_doubt"]["sms"]:
            rows.append(("others", {"name": "in doubt", **none, **bill["others"]["in_doubt"]}))
        rows.append(("others", {"name": "not ours", **none, **bill["others"]}))
    for what, line in rows:
        writer.writerows(_csv_rows(what, line))
    written = text.getvalue()
    return written if written.isascii() else "\ufeff" + written  # without it Excel takes UTF-8 for something else


def _csv_rows(what: str, line: Mapping[str, Any]) -> Iterator[list[str]]:
    parts = line, line["undelivered"], line["unpriced"]
    sums = [{one["currency"]: one["amount"] for one in part["cost"]} for part in parts]
    name = words.clean(line["name"])
    # A spreadsheet would run what begins like this.
    name = f"'{name}" if name.lstrip().startswith(_FORMULA) else name
    currencies = sorted({currency for part in sums for currency in part}) or [""]
    for place, currency in enumerate(currencies):
        # Counted in one row only, so that a column adds up.
        counts = [str(n if place == 0 else 0) for part in parts for n in (part["sms"], part["segments"])]
        paid, lost, unpriced = (part.get(currency, "0.00") for part in sums)
        yield [what, name, counts[0], counts[1], paid, currency, counts[2], lost, counts[4], unpriced]
