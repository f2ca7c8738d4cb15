"""The words of an SMS: what broke, where, how bad, since when, and the number to name it by.

All of it is GSM-7 unless the alert's own words are not. Shortened by meaning: the name, the first
places, the clock and the number stay; the fact gives way first.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from bridge.domain import sms
from bridge.domain.alert import Alert
from bridge.domain.house import SmsRules
from bridge.domain.incident import Incident

_PORT = re.compile(r":\d{1,5}$")
_ADDRESS = re.compile(r"^[\d.:]+$")
_ASIDE = re.compile(r"\s*\((?:instance|on|host) [^)]*\)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s|\n")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
_LATE = re.compile(r"LATE \d+m\. ")
_FILLERS = {"on", "at", "in", "of", "is", "the", "a", "for", "instance", "host", "job"}
_PLACES_NAMED = 6
_LEAST_FACT = 20  # characters; a shorter stump tells nothing


def place(labels: Mapping[str, str], where: Sequence[str]) -> str:
    """Which one: the first of the `where` labels that is there, without its port."""
    found = next((labels[label] for label in where if labels.get(label)), "")
    return _PORT.sub("", found) if found.count(":") == 1 else found


def fact(alert: Alert, where: str) -> str:
    """The first sentence that says more than the alert's name and place: of the description, else the summary."""
    known = _words(" ".join((alert.name, where, *alert.labels.values()))) | _FILLERS
    for text in (alert.description, alert.summary):
        sentence = _SENTENCE_END.split(text.strip(), maxsplit=1)[0]
        sentence = " ".join(_ASIDE.sub("", sentence).split())
        if _words(sentence) - known:
            return sentence
    return " ".join(alert.summary.split())


def page(incident: Incident, rules: SmsRules, zone: ZoneInfo, *, late: timedelta | None = None) -> str:
    """The SMS that pages somebody, in at most `rules.max_segments`; never fails for its length."""
    front = "TEST, nothing is broken. " if incident.test else ""
    if late is not None:
        front += f"LATE {int(late.total_seconds() // 60)}m. "
    tail = f" {_clock(incident.started_at, incident.opened_at, zone)} #{incident.id}"
    places = [sms.plain(name, rules.alphabet) for name in incident.places]
    title, told = (sms.plain(text, rules.alphabet) for text in (incident.title, incident.fact))
    briefer = [name if _ADDRESS.match(name) else name.split(".")[0] for name in places]
    most = min(len(places), _PLACES_NAMED)
    for named in (places[:most], briefer[:most]):
        whole = _joined(f"{front}{title}{_where(incident, named)}", told)
        if sms.measure(whole + tail).segments <= rules.max_segments:
            return whole + tail
    for count in range(most, 0, -1):
        head = f"{front}{title}{_where(incident, briefer[:count])}"
        text = sms.shorten(_joined(head, told), rules.max_segments, tail)
        if len(text) - len(tail) - len(head) >= _LEAST_FACT:
            return text
    return sms.shorten(_joined(f"{front}{title}{_where(incident, briefer[:1])}", told), rules.max_segments, tail)


def without_lateness(text: str) -> str:
    """The page without the mark that says how late it is."""
    return _LATE.sub("", text)


def late_by(planned_for: datetime, now: datetime) -> timedelta | None:
    """How late a page is, once it is late enough to say so."""
    late = now - planned_for
    return late if late >= timedelta(minutes=2) else None


def _where(incident: Incident, named: Sequence[str]) -> str:
    """` db1`, or ` x7: db1 db2 +5` when several fire."""
    if incident.firing <= 1:
        return f" {named[0]}" if named else ""
    unnamed = max(len(incident.places), incident.firing) - len(named) if named else 0
    listed = " ".join(named) + (f" +{unnamed}" if unnamed > 0 else "")
    return f" x{incident.firing}: {listed}".rstrip(": ")


def _joined(head: str, told: str) -> str:
    if not told:
        return head
    return f"{head}{'.' if ':' in head else ':'} {told}"


def _clock(started_at: datetime, opened_at: datetime, zone: ZoneInfo) -> str:
    """The hour it began, with the date when that was not the day it reached us."""
    opened = opened_at.astimezone(zone)
    try:
        began = started_at.astimezone(zone)
    except OverflowError:  # the year 9999 or 1, kept before such a start was refused: no reason to page nobody
        began = opened
    return began.strftime("%H:%M" if began.date() == opened.date() else "%d.%m %H:%M")


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}
