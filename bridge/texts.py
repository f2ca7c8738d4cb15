"""The words of an SMS: what broke, where, how bad, since when, and the number to name it by.

All of it is GSM-7 unless the alert's own words are not. Shortened by meaning: the name, the first
places, the clock and the number stay; the fact gives way first.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from bridge.domain import sms
from bridge.domain.alert import Alert
from bridge.domain.house import House, SmsRules
from bridge.domain.incident import Incident
from bridge.domain.rota import FOREVER, Roster

_ADDRESS = re.compile(r"^[\d.:]+$")
_ASIDE = re.compile(r"\s*\((?:instance|on|host) [^)]*\)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s|\n")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
_LATE = re.compile(r"LATE \d+m\. ")
_LINK = re.compile(r" (https?://\S+/a/)([1-9A-HJ-NP-Za-km-z]{11})$")
_FILLERS = {"on", "at", "in", "of", "is", "the", "a", "for", "instance", "host", "job"}
_PLACES_NAMED = 6
_LEAST_FACT = 20  # characters; a shorter stump tells nothing
_LEAST_OF_OWN = 40  # characters of a team's own words; a link is not worth more than these


def fact(alert: Alert, where: str) -> str:
    """The first sentence that says more than the alert's name and place: of the description, else the summary."""
    known = _words(" ".join((alert.name, where, *alert.labels.values()))) | _FILLERS
    for text in (alert.description, alert.summary):
        sentence = _SENTENCE_END.split(text.strip(), maxsplit=1)[0]
        sentence = " ".join(_ASIDE.sub("", sentence).split())
        if _words(sentence) - known:
            return sentence
    return " ".join(alert.summary.split())


def page(
    incident: Incident,
    rules: SmsRules,
    zone: ZoneInfo,
    *,
    late: timedelta | None = None,
    call: int = 1,
    again: bool = False,
    link: str = "",
) -> str:
    """The SMS that pages somebody, in at most `rules.max_segments`; never fails for its length.

    `call` counts how often the whole plan has been climbed; `again`: it goes to who had it before. `link` is never
    cut: the fact gives way to it, and it to the name, the first place, the hour and the number.
    """
    front = _front(incident, late, call, again)
    tail = f" {hour(incident.started_at, incident.opened_at, zone)} #{incident.id}"
    places = [sms.plain(name, rules.alphabet) for name in incident.places]
    title, told = (sms.plain(text, rules.alphabet) for text in (incident.title, incident.fact))
    briefer = [_brief(name) for name in places]
    least = f"{front}{title}{_where(incident, briefer[:1])}"
    if link and sms.measure(f"{least}{tail} {link}").segments <= rules.max_segments:
        tail += f" {link}"
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
    text = sms.shorten(_joined(least, told), rules.max_segments, tail)
    return text if text.startswith(least) else sms.shorten(least, rules.max_segments, tail)


def own(
    body: str,
    incident: Incident,
    rules: SmsRules,
    *,
    late: timedelta | None = None,
    call: int = 1,
    again: bool = False,
    link: str = "",
) -> str:
    """The SMS that pages somebody in a team's own words, in at most `rules.max_segments`.

    What has to be known of any page stands in front of them, as in `page`, and its number and link behind: by these a
    page is found again, and answered. They give way to the link as long as something of them is left.
    """
    tail = f" #{incident.id}"
    said = _front(incident, late, call, again) + sms.plain(body.removesuffix(tail), rules.alphabet)
    if link:
        text = sms.shorten(said, rules.max_segments, f"{tail} {link}")
        if len(text) - len(tail) - len(link) > min(len(said), _LEAST_OF_OWN):
            return text
    return sms.shorten(said, rules.max_segments, tail)


def _front(incident: Incident, late: timedelta | None, call: int, again: bool) -> str:
    front = "TEST, nothing is broken. " if incident.test else ""
    if call > 1:
        front += f"{ordinal(call)} call. "
    if again:
        front += "Back to you: "
    return front + _lateness(late)


def digest(incidents: Sequence[Incident], rules: SmsRules, *, late: timedelta | None = None) -> str:
    """One SMS for several that waited: as many by name as there is room for, the rest counted."""
    told = [sms.plain(f"{_named(incident)} #{incident.id}", rules.alphabet) for incident in incidents]
    head = f"{_lateness(late)}{len(told)} incidents: "
    for named in range(len(told), 0, -1):
        rest = f" +{len(told) - named} more" if named < len(told) else ""
        text = head + ", ".join(told[:named]) + rest
        if sms.measure(text).segments <= rules.max_segments:
            return text
    return sms.shorten(head + told[0], rules.max_segments, f" +{len(told) - 1} more")


def taken(incident: Incident, rules: SmsRules, who: str) -> str:
    """The SMS to those who were paged: somebody has it."""
    return sms.shorten(
        sms.plain(f"{who} has {_named(incident)}", rules.alphabet), rules.max_segments, f" #{incident.id}"
    )


def over(incident: Incident, rules: SmsRules, zone: ZoneInfo, who: str) -> str:
    """The SMS to those who were paged: it is over."""
    ended = incident.ended_at or incident.opened_at
    lasted = int(incident.lasted(ended) / timedelta(minutes=1))
    had = f" {who} had it." if who else ""
    said = f"OK {_named(incident)}: over at {hour(ended, ended, zone)} after {lasted}m.{had}"
    return sms.shorten(sms.plain(said, rules.alphabet), rules.max_segments, f" #{incident.id}")


def ordinal(count: int) -> str:
    """2nd, 3rd, 4th …"""
    ending = "th" if count % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count}{ending}"


def lasting(text: str) -> str:
    """The page without what another life of the database would have said otherwise: how late it is, and its link.

    The whole of the link: a backup may come to life on another host.
    """
    return _LINK.sub("", _LATE.sub("", text))


def link_token(text: str) -> str:
    """The token of the link that a page ends with; empty where there is none."""
    found = _LINK.search(text)
    return found[2] if found else ""


def without_key(text: str) -> str:
    """The page as others may read it: its link answers for whom it was sent to."""
    return _LINK.sub(r" \1...", text)


def late_by(planned_for: datetime, now: datetime) -> timedelta | None:
    """How late a page is, once it is late enough to say so."""
    late = now - planned_for
    return late if late >= timedelta(minutes=2) else None


def _lateness(late: timedelta | None) -> str:
    return "" if late is None else f"LATE {int(late.total_seconds() // 60)}m. "


def _brief(place: str) -> str:
    """A host without its domain; an address whole."""
    return place if _ADDRESS.match(place) else place.split(".", maxsplit=1)[0]


def _named(incident: Incident) -> str:
    """What it is called where there is room for little: its name, and the place when there is one."""
    where = _brief(incident.places[0]) if len(incident.places) == 1 else ""
    return " ".join(filter(None, (incident.title, where)))


def _where(incident: Incident, named: Sequence[str]) -> str:
    """` db1`, or ` x7: db1 db2 +5` when several fire."""
    if incident.is_storm:
        return ""
    if incident.firing <= 1:
        return f" {named[0]}" if named else ""
    unnamed = max(len(incident.places), incident.firing) - len(named) if named else 0
    listed = " ".join(named) + (f" +{unnamed}" if unnamed > 0 else "")
    return f" x{incident.firing}: {listed}".rstrip(": ")


def _joined(head: str, told: str) -> str:
    if not told:
        return head
    return f"{head}{'.' if ':' in head else ':'} {told}"


def hour(at: datetime, today: datetime, zone: ZoneInfo) -> str:
    """The hour as people there read it, with the date when that is not today's."""
    local = today.astimezone(zone)
    try:
        then = at.astimezone(zone)
    except OverflowError:  # the year 9999 or 1, kept before such a start was refused: no reason to page nobody
        then = local
    return then.strftime("%H:%M" if then.date() == local.date() else "%d.%m %H:%M")


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}


def moment(at: datetime, zone: ZoneInfo) -> str:
    """A day and hour that people plan by: `Mon 30 Nov 09:00`."""
    local = at.astimezone(zone)
    return f"{local:%a} {local.day} {local:%b %H:%M}"


def on_call(house: House, known: Roster, rota: str, zone: ZoneInfo, now: datetime) -> str:
    """`On call: Jonas until Mon 30 Nov 09:00, then Aigerim.`; of several rotas it says which."""
    turn, following = known.stretch(rota, now)
    which = f" in rota {rota}" if len(house.rotas) > 1 else ""
    who = f"On call{which}: {house.spoken(turn.person)}" if turn.person else f"Nobody is on call{which}"
    until = f" until {moment(turn.end, zone)}" if turn.end < FOREVER else ""
    then = f", then {house.spoken(following.person) or 'nobody'}" if following else ""
    return f"{who}{until}{then}."


def length(span: timedelta) -> str:
    """A span as people say it: 5 s, 21 min, 2 h 5 min, 3 d 4 h."""
    seconds = max(0, round(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
