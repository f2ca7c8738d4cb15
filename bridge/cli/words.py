"""How the verbs speak: lines, tables, JSON, and a line of progress where somebody watches."""

# ruff: noqa: PLC0415 - imports wait inside, so that --help is quick

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import typer

if TYPE_CHECKING:
    from bridge.domain.notification import Notification
    from bridge.domain.preview import Preview
    from bridge.explain import ExplainedIncident, Explanation, Told
    from bridge.explain_rules import Reading


def say(line: str) -> None:
    """One line on stdout."""
    typer.echo(clean(line))


def clean(text: str) -> str:
    """One line for a terminal: what others wrote must not move its cursor."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def say_json(value: object) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], if_empty: str) -> None:
    """Drawn on a terminal; elsewhere aligned columns, for grep and awk."""
    cells = [[clean(cell) for cell in row] for row in rows]
    if not cells:
        typer.echo(if_empty, err=True)
    elif sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*columns)
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))
        Console().print(table)
    else:
        widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
        for row in [list(columns), *cells]:
            typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A line that changes in place, on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda line: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status("asked for") as line:
        yield lambda text: line.update(Text(clean(text)))


def local(written: str | None, zone: ZoneInfo) -> str:
    """The API's time on the clock of the config; empty for none."""
    return f"{datetime.fromisoformat(written).astimezone(zone):%Y-%m-%d %H:%M:%S}" if written else ""


def name_of(sms: Mapping[str, Any]) -> str:
    """Number and recipient of an SMS."""
    return f"#{sms['id']} {_recipient(sms['to'])}"


def _recipient(to: str) -> str:
    """A name, or a number as strangers may see it."""
    from bridge.domain.phone import PhoneNumber

    return PhoneNumber(to).masked if to.startswith("+") and to[1:].isdecimal() else to


def fate(sms: Mapping[str, Any]) -> str:
    """Where an SMS is, in honest words."""
    reason = f": {sms['reason']}" if sms["reason"] else ""
    match sms["state"]:
        case "planned":
            return f"queued{reason}"
        case "sending":
            return "being handed to Mobizon"
        case "uncertain":
            return "uncertain: looking it up"
        case "submitted" if sms.get("moderated"):
            return "waiting for moderation at Mobizon"
        case "submitted" if sms["gateway_status"] in ("ACCEPTD", "PDLIVRD"):
            return "at the operator"
        case "submitted":
            return f"accepted by Mobizon{reason}"
        case "delivered":
            return "on the handset"
        case "undelivered":
            return f"not delivered{reason}"
        case other:
            return f"{other}{reason}"


def sms_line(sms: Mapping[str, Any], zone: ZoneInfo) -> str:
    """An SMS in one line, as its card would say it."""
    from bridge.previews import counted

    ended = f" {local(sms['ended_at'], zone)}" if sms["ended_at"] else ""
    billed = f" · {sms['alphabet']}, {counted(sms['segments'], 'segment')}" if sms["segments"] else ""
    cost = f", {told}" if (told := _cost(sms)) else ""
    return f"{name_of(sms)} · {fate(sms)}{ended}{billed}{cost}"


def _cost(sms: Mapping[str, Any]) -> str:
    """What it was billed, or about what it will be; empty where nobody knows."""
    known, about = sms["cost"], sms["estimate"]
    return f"{known or f'about {about}'} {sms['currency'] or ''}".strip() if known or about else ""


def say_incident(incident: Mapping[str, Any], zone: ZoneInfo) -> None:
    what = " ".join([incident["title"], *incident["places"][:6]])
    heading = [f"#{incident['id']} {what}", incident["state"], incident["severity"], f"from {incident['source']}"]
    heading.append(f"route {incident['route']}" if incident["route"] else incident["note"])
    say(" · ".join(part for part in heading if part))
    if incident["fact"]:
        say(incident["fact"])
    began = local(incident["started_at"] or incident["opened_at"], zone)
    over = f", over {local(incident['ended_at'], zone)} by {incident['ended_by']}" if incident["ended_at"] else ""
    say(f"since {began}{over}; {incident['firing']} of {incident['total']} alerts fire")
    if incident["acknowledged_by"]:
        via = f" {incident['acknowledged_via']}" if incident["acknowledged_via"] else ""
        verb = "has it" if incident["state"] == "acknowledged" else "had it"
        say(f"{incident['acknowledged_by']} {verb}, taken {local(incident['acknowledged_at'], zone)}{via}")
    ahead = [row for row in incident["notifications"] if row["state"] == "planned"]
    if ahead:
        rungs = groupby(sorted(ahead, key=itemgetter("due_at")), key=itemgetter("due_at"))
        say(
            "next "
            + "; ".join(f"{', '.join(_recipient(r['to']) for r in rung)} {local(at, zone)}" for at, rung in rungs)
        )
    say("")
    say_notifications(incident["notifications"], zone)


def say_notifications(rows: Iterable[Mapping[str, Any]], zone: ZoneInfo) -> None:
    columns = ("SMS", "to", "state", "asked", "accepted", "handset", "Mobizon id", "segments", "cost")
    cells = [
        (
            f"#{row['id']}",
            _recipient(row["to"]),
            f"{fate(row)}, due {local(row['due_at'], zone)}" if row["state"] == "planned" else fate(row),
            local(row["created_at"], zone),
            local(row["submitted_at"], zone),
            local(row["ended_at"], zone) if row["state"] == "delivered" else "",
            row["mobizon_id"] or "",
            str(row["segments"] or ""),
            _cost(row),
        )
        for row in rows
    ]
    table(columns, cells, "no SMS")


def outcome(result: Mapping[str, Any]) -> str:
    """What became of a receipt, in words."""
    if "problem" in result:
        return str(result["problem"])
    if not result:
        return "waits to be understood"
    if "beat" in result:
        ended = [f"#{one['id']} {one['what']}" for one in result.get("incidents", ())]
        return ", ".join(["a beat" if result["beat"] else "no beat: all of it is resolved", *ended])
    told = [f"#{one['id']} {one['what']}" for one in result.get("incidents", ())]
    if "repeated" in result:
        told.append(str(result["repeated"]))
    return f"{_alerts(result.get('alerts', 0))}: {', '.join(told) or 'changed nothing'}"


def _alerts(count: int) -> str:
    return f"{count} alert{'s' * (count != 1)}"


def say_explanation(found: "Explanation", watch_chat: str | None) -> None:
    if found.problem:
        told = f"; {watch_chat} is told" if watch_chat else ""
        say(f"{found.source} would not be understood: {found.problem}{told}. Nobody would be paged.")
        return
    at = f"{found.at.astimezone(found.zone):%a %d %b %Y %H:%M} {found.zone.key}"
    if found.silence is not None:
        from bridge.texts import length

        what = "a beat" if found.beat else "no sign of life, for all of it is resolved"
        say(f"{found.source}, {at}: {what}; it pages nobody. Without another beat for {length(found.silence)}:")
    else:
        say(f"{found.source}, {at}: {_alerts(len(found.alerts))}, group {found.group_key}")
    for one in found.alerts:
        alert = one.alert
        routes = ", ".join(f"route {route}" if route else "no route" for route in one.routes)
        taken = routes or ("nothing to end" if not alert.is_firing else "changes nothing")
        say("  " + " · ".join(part for part in (str(alert.status), alert.name, alert.severity, taken) if part))
    if any(not one.alert.is_firing for one in found.alerts):
        say("A resolve ends what fires in its group by then; here the history is empty.")
    for opened in found.incidents:
        say("")
        _say_planned(opened, watch_chat, found.at)
    if found.incidents:
        say("")
        say("Nothing was sent. The numbers (#…) stand for those it would get.")
    if any(opened.planned for opened in found.incidents):
        say("This is how it goes if every SMS arrives and nobody takes it.")
    if any(opened.rotas for opened in found.incidents):
        say("Who is on call is by the config; what was swapped with /oncall only the running bridge knows.")
    for sentence in found.unknown:
        say(sentence)


def _say_planned(opened: "ExplainedIncident", watch_chat: str | None, now: datetime) -> None:
    from bridge.texts import length, ordinal

    incident = opened.incident
    what = " ".join([incident.title, *incident.places[:3]])
    if not incident.route:
        where = f"shown in {watch_chat} only" if watch_chat else "shown nowhere; set watch.chat"
        say(f"{what}: {incident.note}, so it would be {where}, and nobody would get an SMS")
        return
    say(f"incident {what} · route {incident.route} · key {incident.source}, {incident.group_key}, {incident.route}")
    told = [f"card in {incident.chat}" if incident.chat else "no card"]
    told.append(f"policy {incident.policy}" if incident.policy else "no policy, so no SMS")
    say("  " + ", ".join(told))
    for sentence in _hours_in_force(opened, now):
        say(f"  {sentence}")
    called = 1
    for rung in opened.rungs:
        if (call := opened.call_of(rung[0])) != called:
            called = call
            say(f"  {ordinal(call)} call")
        for row in rung:
            _say_row(opened, row, now)
        if nexts := [after for row in rung if (after := opened.next_at(row))]:
            say(f"            the next at {_hour(max(nexts), opened.zone, now)} if it is on no handset by then")
    if opened.nobody_at is not None:
        rings = f"{incident.chat} rings, and again after 5, 10, 20, 40 minutes, then hourly" if incident.chat else ""
        at = _hour(opened.nobody_at, opened.zone, now)
        say(f"  {at}  nobody has it: {rings or 'there is no chat to ring in; give the route one'}")
    if opened.planned and opened.ack_for:
        say(f"  taken, it asks again after {length(opened.ack_for)} if it still fires")
    if opened.planned and opened.told_by_sms:
        say(f"  those who were paged get an SMS {' and '.join(opened.told_by_sms)}")


def _hours_in_force(opened: "ExplainedIncident", now: datetime) -> Iterator[str]:
    hours = opened.hours
    if opened.incident.note:
        yield opened.incident.note
    if hours.until:
        what = "muted" if hours.muted else "held"
        yield f"{what} by the hours of its route until {_hour(hours.until, opened.zone, now)}"
    if hours.other_policy:
        yield f"by the hours of its route; at other hours {f'policy {hours.usual}' if hours.usual else 'no policy'}"


def _say_row(opened: "ExplainedIncident", row: "Notification", now: datetime) -> None:
    from bridge import previews
    from bridge.domain.escalation import CHAT, ROTA
    from bridge.explain import hour_of

    at, state = _hour(hour_of(row), opened.zone, now), str(row.state)
    if row.target == CHAT:
        rings = "rings" if state == "delivered" else f"does not ring: {row.reason}"
        say(
            f"  {at}  {opened.incident.chat} {rings}"
            if opened.incident.chat
            else f"  {at}  there is no chat to ring in"
        )
        return
    turn = f" ({rota})" if (rota := opened.rotas.get(row.id)) and rota != row.target else ""
    name = f"{row.target}{turn}{f' {row.number.masked}' if row.number else ''}"
    if row.submitted_at is None:
        gap = state == "failed" and row.target.startswith(ROTA)
        say(f"  {at}  {name}: {state}, {'nobody is on call then' if gap else row.reason}")
        return
    told = opened.told[row.id]
    about = f", about {cost}" if (cost := opened.prices.expected(row)) else ""
    say(f"  {at}  {name} · {previews.billed(told.seen.size)}{about}")
    say(f"            {row.text}")
    for sentence in _about(told.seen, told.dropped):
        say(f"            {sentence}")


def _about(seen: "Preview", dropped: Sequence[str]) -> Iterator[str]:
    """What became of a page on its way into its alphabet and its room, and what makes it dear all the same."""
    from bridge import previews

    if dropped:
        yield f"without {', '.join(dropped)}"
    if seen.replaced:
        yield f"replaced: {previews.swapped(seen.replaced)}"
    yield from filter(None, (previews.because(seen), previews.helps(seen)))


def _hour(at: datetime, zone: ZoneInfo, now: datetime) -> str:
    """The clock there; with the day, when it is another than today's."""
    there = at.astimezone(zone)
    return f"{there:%H:%M:%S}" if there.date() == now.astimezone(zone).date() else f"{there:%a %d %b %H:%M:%S}"


def explanation_json(found: "Explanation") -> dict[str, Any]:
    from bridge.domain.costs import plain
    from bridge.explain import hour_of

    return {
        "source": found.source,
        "at": _iso(found.at, found.zone),
        "problem": found.problem or None,
        "group_key": found.group_key,
        "alerts": [
            {
                "status": one.alert.status,
                "name": one.alert.name,
                "severity": one.alert.severity,
                "fingerprint": one.alert.fingerprint,
                "starts_at": one.alert.starts_at.isoformat(),
                "routes": list(one.routes),
            }
            for one in found.alerts
        ],
        "incidents": [
            {
                "source": opened.incident.source,
                "group_key": opened.incident.group_key,
                "route": opened.incident.route,
                "note": opened.incident.note,
                "title": opened.incident.title,
                "places": list(opened.incident.places),
                "policy": opened.incident.policy,
                "chat": opened.incident.chat,
                "hours": {
                    "muted": opened.hours.muted,
                    "held": opened.hours.held,
                    "until": _iso(opened.hours.until, opened.zone),
                    "other_policy": opened.hours.other_policy,
                    "usual_policy": opened.hours.usual,
                },
                "sms": [
                    {
                        "person": row.target,
                        "rota": opened.rotas.get(row.id, "").removeprefix("rota ") or None,
                        "call": opened.call_of(row),
                        "step": row.step,
                        "at": _iso(hour_of(row), opened.zone),
                        "leaves": row.submitted_at is not None,
                        "reason": row.reason,
                        "text": row.text,
                        "alphabet": row.alphabet,
                        "segments": row.segments,
                        "estimate": plain(cost.value) if (cost := opened.prices.expected(row)) else None,
                        "currency": cost.currency if cost else None,
                        **_looked_at(opened.told.get(row.id)),
                        "next_if_on_no_handset_by": _iso(opened.next_at(row), opened.zone),
                    }
                    for row in opened.sms
                ],
                "rings": [
                    {"call": opened.call_of(row), "step": row.step, "at": _iso(hour_of(row), opened.zone)}
                    for row in opened.rings
                ],
                "nobody_at": _iso(opened.nobody_at, opened.zone),
                "ack_for_seconds": lasts.total_seconds() if (lasts := opened.ack_for) else None,
                "also_told": opened.told_by_sms,
            }
            for opened in found.incidents
        ],
        "unknown": list(found.unknown),
        "beat": found.beat if found.silence is not None else None,
        "silence_seconds": found.silence.total_seconds() if found.silence is not None else None,
    }


def _looked_at(told: "Told | None") -> dict[str, Any]:
    """What there is to say of a text; of one that never leaves nothing."""
    from bridge import previews

    seen = previews.as_json(told.seen) if told else {}
    return {
        "characters": seen.get("characters"),
        "parts": seen.get("parts", []),
        "culprits": seen.get("culprits", []),
        "replaced": seen.get("replaced", []),
        "dropped": list(told.dropped) if told else [],
    }


def _iso(at: datetime | None, zone: ZoneInfo) -> str | None:
    return at.astimezone(zone).isoformat() if at else None


def say_preview(seen: "Preview") -> None:
    """The text as it would be cut, what it is billed as, and what there is to say about it."""
    from bridge import previews

    for number, part in enumerate(seen.parts, start=1):
        say(f"  {number}  {part}" if seen.size.segments > 1 else f"  {part}")
    left = f"room for {seen.units_left} more" + (" in the last" if seen.size.segments > 1 else "")
    say(f"{previews.billed(seen.size)}, {left}")
    if seen.replaced:
        say(f"replaced: {previews.swapped(seen.replaced)}")
    for sentence in filter(None, (previews.because(seen), previews.helps(seen), previews.too_long(seen))):
        say(sentence)


def say_readings(readings: Sequence["Reading"], *, has_config: bool) -> None:
    """Each rule's name and file, then its SMS, what it is billed as and what it leaves out; all of it at a glance."""
    from bridge.explain_rules import summary

    for one in readings:
        where = f"{one.rule.file}:{one.rule.line}"
        route = f"route {one.route}" if one.route else "no route matched"
        say(" · ".join([one.rule.name, where, route if one.pages else f"{route}: only a card"]))
        say(f"    {one.text}")
        about = "".join(f"; {sentence}" for sentence in _about(one.seen, one.dropped))
        say(f"    {one.size.alphabet}, {one.size.characters} characters, {_parts(one.size.segments)}{about}")
    if not readings:
        return
    whole = summary(readings)
    say("")
    one_part = _share(whole.in_one_part, whole.texts)
    say(f"{whole.texts} alert rule{'s' * (whole.texts != 1)}. In one part: {one_part}; {whole.parts:.2f} parts each.")
    alphabets = (f"{alphabet} {_share(number, whole.texts)}" for alphabet, number in sorted(whole.alphabets.items()))
    say(f"Alphabets: {', '.join(alphabets)}. Nothing left out: {_share(whole.whole, whole.texts)}.")
    if whole.card_only:
        say(f"{whole.card_only} page nobody: their route has no policy, or none matched. This is how they would read.")
    if whole.worst:
        say("Most left out:")
    for one in whole.worst:
        say(f"  {one.rule.name}, {_parts(one.size.segments)}: {', '.join(one.dropped)}")
    if not has_config:
        say("Without --config: one route for all, and no link at the end.")
    say("Labels and values are made up; what the rules themselves say is theirs.")


def _parts(count: int) -> str:
    return f"{count} part{'s' * (count != 1)}"


def _share(some: int, of: int) -> str:
    return f"{some} of {of} ({100 * some / of:.1f} %)"


def readings_json(readings: Sequence["Reading"], problems: Sequence[str]) -> dict[str, Any]:
    from bridge import previews
    from bridge.explain_rules import summary

    whole = summary(readings)
    return {
        "texts": [
            {
                "alert": one.rule.name,
                "file": one.rule.file,
                "line": one.rule.line,
                "labels": dict(one.labels),
                "route": one.route or None,
                "pages": one.pages,
                "text": one.text,
                "alphabet": one.size.alphabet,
                "segments": one.size.segments,
                "dropped": list(one.dropped),
                "replaced": previews.replaced_json(one.seen.replaced),
            }
            for one in readings
        ],
        "summary": {
            "texts": whole.texts,
            "in_one_segment": whole.in_one_part,
            "mean_segments": round(whole.parts, 4),
            "alphabets": dict(whole.alphabets),
            "nothing_dropped": whole.whole,
            "card_only": whole.card_only,
            "worst": [one.rule.name for one in whole.worst],
        },
        "problems": list(problems),
    }
