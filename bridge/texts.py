"""The words of an SMS: what broke, where, how bad, since when, and the number to name it by.

All of it is GSM-7 unless the alert's own words are not. Shortened by meaning: the fact gives way first, then places
beyond the first, the link and the severity; the name, the first place, the hour and the number stay longest.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple
from zoneinfo import ZoneInfo

from bridge.domain import sms
from bridge.domain.alert import Alert
from bridge.domain.house import House, SmsRules
from bridge.domain.incident import Incident
from bridge.domain.letters import GSM7
from bridge.domain.places import heads, is_address, tails
from bridge.domain.rota import FOREVER, Roster
from bridge.domain.shortening import Sentence, first_that_fits, squeezed

_ASIDE = re.compile(r"\s*\((?:instance|on|host) [^)]*\)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s|\n")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
_LATE = re.compile(r"LATE \d+m\. ")
_LINK = re.compile(r" (https?://\S+/a/)([1-9A-HJ-NP-Za-km-z]{11})$")
_KINDS = "instance|node|host|server|machine|target|pod|узел|сервер|хост"
_BEFORE_PLACE = re.compile(
    rf"(\s(?:on|at|in|from|for|of|на|в|у|с)(?:\s(?:{_KINDS}))?|\b(?:{_KINDS}))\s$", re.IGNORECASE
)
_AFTER_PLACE = re.compile(r"(?::\d{1,5})?(?![\w-]|[.:]\w)")
# Where the place is what a sentence begins with, the rest is said of it, "is 5m late"; unless it goes on as a pair or
# with what belongs to the name, "db1 and db2", "db1 to db2", "checkout of orders".
_SAID_OF_IT = re.compile(
    r"(?::\d{1,5})?(?::\s|\s(?!(?:and|or|to|of|for|with|from|via|vs|in|on|by|at|и|или|к|из|с|от|на|в|для)\b)(?=[^\W\d_]))",
    re.IGNORECASE,
)
_LOOK_BACK = 30  # characters before a place, for the words that lead to it
_FILLERS = {"on", "at", "in", "of", "is", "the", "a", "for", "instance", "host", "job"}
_PLACES_NAMED = 6
_LEAST_OF_OWN = 40  # characters of a team's own words; a link is not worth more than these
_SHORT = {"critical": "crit", "warning": "warn", "information": "info", "emergency": "emerg"}

# No source is trusted to be brief: what is longer than this is cut before anybody looks at it.
_READ = 4000  # characters of a description, for its first sentence
_LONGEST_OWN = 2000  # characters of a team's own words, and of names in a digest; ten segments show 1530
_LONGEST_FACT = 400
_LONGEST_TITLE = 400
_LONGEST_SEVERITY = 20
_SHORT_TITLE = 24  # characters of a name that is too long, while there is a place to name as well
_LABELS_KNOWN = 64


def fact(alert: Alert, where: str) -> str:
    """The first sentence that says more than the alert's name and place: of the description, else the summary."""
    labels = (value[:_LONGEST_FACT] for value in list(alert.labels.values())[:_LABELS_KNOWN])
    known = _words(" ".join((alert.name[:_LONGEST_FACT], where, *labels))) | _FILLERS
    for text in (alert.description, alert.summary):
        sentence = _SENTENCE_END.split(text[:_READ].strip(), maxsplit=1)[0]
        sentence = _clean(_ASIDE.sub("", _clean(sentence, _LONGEST_FACT)))
        if _words(sentence) - known:
            return sentence
    return _clean(_ASIDE.sub("", _clean(alert.summary, _LONGEST_FACT)))


def told(incident: Incident) -> str:
    """What its page says beside name and place: its fact without "on db1:9100", where the page names that place.

    Of one alert "db1 is late" is told as "is late": the place stands right before it. Nothing where the fact only
    repeats the name.
    """
    name, sentence = _clean(incident.title), _clean(incident.fact)
    shown = [*incident.places[:1], *([incident.within] if incident.firing > 1 else ())]
    for place in filter(None, map(_clean, shown)):
        sentence = _without_place(_without_place(sentence, f"[{place}]"), place)
        if incident.firing <= 1 and sentence.startswith(place) and ":" not in place:
            after = _SAID_OF_IT.match(sentence, len(place))
            sentence = sentence[after.end() :] if after else sentence
    if len(sentence) <= 2 * len(name) and not _words(sentence) - _words(name) - _FILLERS:
        return ""
    return sentence


def _without_place(sentence: str, place: str) -> str:
    """A sentence that says "on db1" without these words, and one that says "node db1" without the name."""
    begin = sentence.find(place)
    while begin >= 0:
        before = _BEFORE_PLACE.search(sentence, max(0, begin - _LOOK_BACK), begin)
        after = _AFTER_PLACE.match(sentence, begin + len(place))
        if before and after:
            kept = "" if before[1][0].isspace() else before[1]
            sentence = sentence[: before.start()] + kept + sentence[after.end() :]
            begin = before.start()
        begin = sentence.find(place, begin + 1)
    return sentence


def page(
    incident: Incident,
    rules: SmsRules,
    zone: ZoneInfo,
    *,
    late: timedelta | None = None,
    call: int = 1,
    again: bool = False,
    link: str = "",
    implied: bool = False,
) -> str:
    """The SMS that pages somebody, in at most `rules.max_segments`; never fails for its length.

    `call` counts how often the whole plan has been climbed; `again`: it goes to who had it before. `implied`: its
    route says how bad it is, so the text does not. `link` is never cut: the fact gives way to it, and it to the name,
    the first place, the hour and the number.
    """
    front = _front(incident, late, call, again)
    clock = f" {hour(incident.started_at, incident.opened_at, zone)} #{incident.id}"
    named = (_clean(name) for name in incident.places[: _PLACES_NAMED if incident.firing > 1 else 1])
    severity = "" if implied else _clean(incident.severity, _LONGEST_SEVERITY)

    def made(parts: Sequence[str]) -> _Page:
        title, sentence, within, how_bad, *places = parts
        return _Page(incident, front, clock, link, title, sentence, within, how_bad, tuple(places))

    said = (_clean(incident.title), told(incident), _clean(incident.within), severity, *named)
    return made(_lettered(said, rules, lambda parts: made(parts).whole)).fitted(rules.max_segments)


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
    front, tail = _front(incident, late, call, again), f" #{incident.id}"
    body = body.removesuffix(tail)
    body = body if len(body) <= _LONGEST_OWN else body[:_LONGEST_OWN] + "..."
    said = front + sms.plain(body, rules.alphabet)
    if rules.may_spell and sms.is_worth_spelling(said + tail):
        said = front + sms.plain(body, sms.Alphabet.GSM7)
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
    front, numbers = f"{_lateness(late)}{len(incidents)} incidents: ", [f" #{incident.id}" for incident in incidents]

    def listed(parts: Sequence[str], named: int) -> str:
        shown = [parts[2 * n] + parts[2 * n + 1] + numbers[n] for n in range(named)]
        rest = f" +{len(numbers) - named} more" if named < len(numbers) else ""
        return front + ", ".join(shown) + rest

    said: list[str] = []
    length = 0
    for incident, number in zip(incidents, numbers, strict=True):
        names = (_clean(incident.title), _briefly_where(incident))
        said += names
        length += len("".join(names)) + len(number)
        if length > _LONGEST_OWN:  # whatever the room is: more of it never shows less
            break
    said = _lettered(said, rules, lambda parts: listed(parts, len(parts) // 2))
    text = first_that_fits(range(len(said) // 2, 0, -1), lambda named: listed(said, named), rules.max_segments)
    if sms.measure(text).segments <= rules.max_segments:
        return text
    rest = f" +{len(numbers) - 1} more" if len(numbers) > 1 else ""
    return _cut(front, said[0], "", numbers[0] + rest, rules.max_segments)


def taken(incident: Incident, rules: SmsRules, who: str) -> str:
    """The SMS to those who were paged: somebody has it."""
    return _note(incident, rules, f"{who} has ", [""])


def over(incident: Incident, rules: SmsRules, zone: ZoneInfo, who: str) -> str:
    """The SMS to those who were paged: it is over."""
    ended = incident.ended_at or incident.opened_at
    lasted = int(incident.lasted(ended) / timedelta(minutes=1))
    at, after = f": over at {hour(ended, ended, zone)}", f" after {lasted}m."
    return _note(incident, rules, "OK ", [*([f"{at}{after} {who} had it."] if who else ()), at + after, at])


def _note(incident: Incident, rules: SmsRules, before: str, news: Sequence[str]) -> str:
    """What became of an incident: the news, from the longest, and then the place give way to its name."""
    tail = f" #{incident.id}"
    said = (before, _clean(incident.title), _briefly_where(incident), *news)
    before, title, where, *news = _lettered(said, rules, lambda parts: "".join(parts[:4]) + tail)
    steps = [*(where + one for one in news), news[-1]]
    text = first_that_fits(steps, lambda step: f"{before}{title}{step}{tail}", rules.max_segments)
    if sms.measure(text).segments <= rules.max_segments:
        return text
    return _cut(before, title, news[-1], tail, rules.max_segments)


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


def _clean(text: str, longest: int = _LONGEST_TITLE) -> str:
    """On one line, and no longer than an SMS could ever show."""
    line = " ".join(text[: 2 * longest].split())
    return line if len(line) <= longest else line[:longest] + "..."


def _briefly_where(incident: Incident) -> str:
    """` db1`, or ` x7`, where there is room for little."""
    if incident.is_storm:
        return ""
    several = incident.firing if incident.is_open else incident.total
    count = f" x{several}" if several > 1 else ""
    one = incident.places[0] if len(incident.places) == 1 else incident.within
    return "".join(f" {name}" for name in heads([_clean(one)]) if name) + count


def _lettered(fields: Sequence[str], rules: SmsRules, whole: Callable[[Sequence[str]], str]) -> list[str]:
    """The parts of a text in its alphabet; `whole` says how they read together, for what all of it would cost."""
    if all(map(GSM7.issuperset, fields)):
        return list(fields)
    kept = [sms.plain(field, rules.alphabet) for field in fields]
    if rules.may_spell and sms.is_worth_spelling(whole(kept)):
        kept = [sms.plain(field, sms.Alphabet.GSM7) for field in fields]
    return [field[:_LONGEST_TITLE] for field in kept]  # an emoji has a long name


def _cut(before: str, title: str, after: str, tail: str, segments: int) -> str:
    """The text with as much of its title as there is room for."""
    words = Sentence(title, cut_words=True)
    room = before + after + tail
    text = first_that_fits(
        range(max(1, len(words))), lambda gone: f"{before}{words.without(gone, room)}{after}{tail}", segments
    )
    return text if sms.measure(text).segments <= segments else sms.shorten(before + title, segments, tail)


class _Shape(NamedTuple):
    """How much of each part of a page is shown; of the fact and the name, how many words are gone."""

    form: int = 0  # of its places: 0 in full, 1 by their heads, 2 by what differs
    places: int = _PLACES_NAMED
    severity: int = 0  # 0 in full, 1 short, 2 not at all
    fact: int = 0
    within: bool = True
    link: bool = True
    squeezed: int = 0  # characters of the only place named; 0: all of them
    title: int = 0
    front: bool = True


@dataclass(frozen=True, slots=True)
class _Page:
    """A page before it is cut to its room: its parts, each in the alphabet that it is to have."""

    incident: Incident
    front: str
    clock: str
    link: str
    title: str
    fact: str
    within: str
    severity: str
    places: tuple[str, ...]

    @property
    def whole(self) -> str:
        """All of it, however long."""
        return _Telling(self).told(_Shape())

    def fitted(self, segments: int) -> str:
        """As much of it as there is room for; no link where that would cost the name, the place, the hour or number."""
        telling = _Telling(self)

        def fits(shape: _Shape) -> bool:
            return sms.measure(telling.told(shape)).segments <= segments

        if fits(_Shape()):
            return self.whole
        steps = list(telling.steps(link=True)) if self.link else []
        if not (steps and fits(steps[-1])):
            steps = list(telling.steps(link=False))
        text = first_that_fits(steps, telling.told, segments)
        return text if sms.measure(text).segments <= segments else sms.shorten(self.title, segments, self.clock)


class _Telling:
    """The steps in which a page gives way, and how it reads at each."""

    def __init__(self, page: _Page) -> None:
        self._page = page
        self._is_plain = all(map(GSM7.issuperset, (page.front, page.title, page.severity, *page.places)))

    @cached_property
    def _title(self) -> Sentence:
        return Sentence(self._page.title, cut_words=True)

    @cached_property
    def _fact(self) -> Sentence:
        return Sentence(self._page.fact)

    @cached_property
    def _forms(self) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
        brief = heads(self._page.places)
        return self._page.places, brief, tails(brief)

    def steps(self, *, link: bool) -> Iterator[_Shape]:
        """From the whole page to its least, each step a part of the one before; those with a link keep it."""
        page, fact = self._page, self._fact
        # A fact that alone needs UCS-2 takes more than half of the room of everything else.
        dear = self._is_plain and not GSM7.issuperset(page.fact)
        shape = _Shape(places=min(len(page.places), _PLACES_NAMED), link=link)
        yield shape
        for form in (1, 2):
            shape = shape._replace(form=form)
            yield shape
        for least, places, severity in ((60, 3, 0), (40, 2, 1), (12 if dear else 20, 2, 1)):
            for gone in range(shape.fact + 1, fact.down_to(least) + 1):
                shape = shape._replace(fact=gone)
                yield shape
            while not dear and shape.places > places:
                shape = shape._replace(places=shape.places - 1)
                yield shape
            shape = shape._replace(severity=max(shape.severity, severity))
            yield shape
        shape = shape._replace(fact=len(fact))
        yield shape
        while shape.places > 1:
            shape = shape._replace(places=shape.places - 1)
            yield shape
        shape = shape._replace(within=False)
        yield shape
        shape = shape._replace(squeezed=48)
        yield shape
        if not link:
            yield from self._stumps(shape)

    def _stumps(self, shape: _Shape) -> Iterator[_Shape]:
        """What is left of a page whose name and place are too long for all else."""
        shape = shape._replace(squeezed=32)
        yield shape
        shape = shape._replace(severity=2)
        yield shape
        for gone in range(1, self._title.down_to(_SHORT_TITLE) + 1):
            shape = shape._replace(title=gone)
            yield shape
        shape = shape._replace(squeezed=20)
        yield shape
        shape = shape._replace(places=0)
        yield shape
        for gone in range(shape.title + 1, len(self._title)):
            shape = shape._replace(title=gone)
            yield shape
        yield shape._replace(front=False)

    def told(self, shape: _Shape) -> str:
        """The page in this shape."""
        page = self._page
        places = (self._forms[shape.form] if shape.form else page.places)[: shape.places]
        severity = (page.severity, _SHORT.get(page.severity.lower(), page.severity), "")[shape.severity]
        front = page.front if shape.front else "TEST. " if page.incident.test else ""
        beside = "" if self._is_plain else "".join((front, page.title, severity, *places))
        if shape.squeezed and places and not is_address(places[0]):
            places = [squeezed(places[0], shape.squeezed, sms.ellipsis_for(beside))]
        title = self._title.without(shape.title, beside) if shape.title else page.title
        fact = page.fact
        if shape.fact:
            fact = self._fact.without(shape.fact, beside) if shape.fact < len(self._fact) else ""
        head = f"{front}{title}{self._where(places, f' ({severity})' if severity else '', shape)}"
        link = f" {page.link}" if page.link and shape.link else ""
        return f"{_joined(head, fact)}{page.clock}{link}"

    def _where(self, named: Sequence[str], severity: str, shape: _Shape) -> str:
        """` db1 (warning)`, or ` x7 (warning): db1 db2 +5` when several fire."""
        incident = self._page.incident
        if incident.is_storm:
            return severity
        if incident.firing <= 1:
            return "".join(f" {name}" for name in named[:1]) + severity
        within = f" {self._page.within}" if self._page.within and shape.within else ""
        unnamed = max(len(incident.places), incident.firing if len(incident.places) != 1 else 0) - len(named)
        listed = " ".join(named) + (f" +{unnamed}" if named and unnamed > 0 else "")
        return f"{within} x{incident.firing}{severity}" + (f": {listed}" if listed else "")


def _joined(head: str, sentence: str) -> str:
    if not sentence:
        return head
    return f"{head}{'.' if ':' in head else ':'} {sentence}"


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
