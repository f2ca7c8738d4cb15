"""How one's own alert rules would read on a phone: each as the SMS that it would become, before the first page.

A rule's alert goes the way of every webhook: it is parsed, routed, becomes an incident, and its text is made as a
claim makes it. Only the labels' values are made up, and no database is asked.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from bridge import texts
from bridge.admission import foresee
from bridge.domain import sms
from bridge.domain.escalation import Policy, Step
from bridge.domain.house import House, SmsRules, SourceRules
from bridge.domain.incident import AlertRecord, Incident
from bridge.domain.notification import Notification
from bridge.domain.preview import Preview, preview
from bridge.domain.routing import Route
from bridge.links import address
from bridge.outbox import wording, written
from bridge.ports import Receipt
from bridge.rules import MakeUp, Rule, firing
from bridge.sources import parse
from bridge.templates import TemplateFailed

ALERTMANAGER = "alertmanager"
NO_CONFIG = House(
    policies={"default": Policy("default", (Step(("somebody",)),))},
    routes=(Route("default", policy="default"),),
    sources={ALERTMANAGER: SourceRules(ALERTMANAGER, ALERTMANAGER)},
)
"""Who is asked where no config is named: one route that pages for everything."""

_LONGEST = 400  # characters of what an alert says: no page shows more
_AROUND = ".,:;"  # words that stand elsewhere in a text end with another of these
_NUMBER = 1042  # of four digits: an SMS of the usual length
_TOKEN = "7fKq2MZp9Wd"  # noqa: S105 - stands for the end of the link, which is drawn anew for each page


@dataclass(frozen=True, slots=True)
class Reading:
    """One rule on the phone. `dropped`: what its incident knows and the SMS leaves out, a few words each.

    `seen`: how the text is billed, and what of it is written otherwise than its source wrote it. `route` is empty where
    none matches; `pages`: whether anybody gets an SMS there, or only a card is shown.
    """

    rule: Rule
    labels: Mapping[str, str]
    incident: Incident
    route: str
    pages: bool
    text: str
    seen: Preview
    dropped: tuple[str, ...]

    @property
    def size(self) -> sms.Size:
        return self.seen.size


def source_of(house: House) -> str:
    """The source of this config that Alertmanager posts to."""
    return next((name for name, rules in house.sources.items() if rules.kind == ALERTMANAGER), ALERTMANAGER)


def read_rules(
    rules: Iterable[Rule],
    house: House,
    now: datetime,
    *,
    source: str | None = None,
    count: int = 1,
    make_up: MakeUp | None = None,
) -> Iterator[Reading]:
    """Each rule as the SMS it would become if `count` of its alerts began to fire now, as one group."""
    source = source or source_of(house)
    for rule in rules:
        body = json.dumps(firing(rule, now, count=count, make_up=make_up)).encode()
        receipt = Receipt(1, source, now, body)
        report = parse(ALERTMANAGER, body, now)
        # Where several routes take it (`continue`), the first that pages.
        opened = foresee(house, receipt, report, now, _NUMBER)
        incident, plan, alerts = max(opened, key=lambda one: bool(one[1]))
        row = plan[0] if plan else Notification(_NUMBER + 1, "", now, now, incident_id=incident.id)
        row = replace(row, link_token=_TOKEN, person=row.target)
        own_words, failed = _own_words(house, incident, alerts, row)
        text = wording(incident, row, house, now, own_words=own_words)
        seen, dropped = looked_at(house, incident, replace(row, text=text))
        dropped = (failed,) if failed else dropped
        labels = report.alerts[0].labels
        yield Reading(rule, labels, incident, incident.route, bool(plan), text, seen, dropped)


def looked_at(house: House, incident: Incident, row: Notification) -> tuple[Preview, tuple[str, ...]]:
    """How this page is billed, what of it is written otherwise than its source wrote it, and what it leaves out."""
    text, rules = row.text or "", house.texting(incident.route, row.person)
    # What a team's own template leaves out is left out on purpose.
    own = house.template_of(incident.route)
    dropped = () if own else tuple(_dropped(incident, house.route(incident.route), text, address(house, row)))
    return preview(text, tuple(_replaced(incident, rules, text).items())), dropped


def _replaced(incident: Incident, rules: SmsRules, text: str) -> dict[str, str]:
    """The signs of the incident's words that stand in the text as others."""
    found: dict[str, str] = {}
    words = {word.strip(_AROUND) for word in text.split()}
    said = (incident.title, *incident.places, incident.within, incident.severity, texts.told(incident))
    for field in (" ".join(one[:_LONGEST].split()) for one in said):
        for alphabet in (rules.alphabet, *((sms.Alphabet.GSM7,) if rules.may_spell else ())):
            fitted = sms.fit(field, alphabet)
            pairs = zip(field.split(), fitted.text.split(), strict=False)
            shown = "".join(word for word, now in pairs if now != word and now.strip(_AROUND) in words)
            found |= {sign: by for sign, by in fitted.replaced if sign in shown}
    return found


def _own_words(house: House, incident: Incident, alerts: Iterable[AlertRecord], row: Notification) -> tuple[str, str]:
    """What the template of its route makes of it, where there is one; else why it fails."""
    template = house.template_of(incident.route)
    try:
        return (written(template, incident, alerts, row, house, row.target) if template else ""), ""
    except TemplateFailed as error:
        return "", f"the route's template: {error}"


def _dropped(incident: Incident, route: Route | None, text: str, link: str) -> Iterator[str]:
    told = folded(text)
    if folded(incident.title) not in told:
        yield "a part of the name"
    if shortened := [place for place in incident.places if folded(place) not in told and folded(_head(place)) in told]:
        yield f"the end of {_listed(shortened)}"
    if gone := [place for place in incident.places if folded(_head(place)) not in told]:
        yield _listed(gone)
    sentence = texts.told(incident)
    fact = folded(sentence).split()
    kept = next((n for n in range(len(fact), 0, -1) if " ".join(fact[:n]) in told), 0)
    if kept < len(fact):
        words = sentence.split()
        yield f'"{" ".join(words[kept:])}"' if len(words) == len(fact) else "the end of what it says"
    if folded(incident.severity)[:4] not in told and not (route and route.implies(incident.severity)):
        yield f"severity {incident.severity}"
    if link and link not in text:
        yield "the link"


def folded(text: str) -> str:
    """For comparing what stands in a text with where it comes from: Latin, small, one space."""
    return " ".join(sms.plain(text, "gsm7").casefold().split())


def _head(place: str) -> str:
    return place.split(".", maxsplit=1)[0]


def _listed(places: list[str]) -> str:
    return places[0] if len(places) == 1 else f"{places[0]} and {len(places) - 1} more"


@dataclass(frozen=True, slots=True)
class Summary:
    """All of them at a glance. `parts` is the mean."""

    texts: int
    in_one_part: int
    parts: float
    alphabets: Mapping[str, int]
    whole: int
    card_only: int
    worst: tuple[Reading, ...]


_WORST = 5


def summary(readings: Iterable[Reading]) -> Summary:
    """What to know of them all; `worst` are the longest of those that lose something."""
    them = list(readings)
    alphabets: dict[str, int] = {}
    for one in them:
        alphabets[one.size.alphabet] = alphabets.get(one.size.alphabet, 0) + 1
    return Summary(
        texts=len(them),
        in_one_part=sum(one.size.segments == 1 for one in them),
        parts=sum(one.size.segments for one in them) / len(them) if them else 0.0,
        alphabets=alphabets,
        whole=sum(not one.dropped for one in them),
        card_only=sum(not one.pages for one in them),
        worst=tuple(sorted((one for one in them if one.dropped), key=_loss, reverse=True)[:_WORST]),
    )


def _loss(one: Reading) -> tuple[int, int, int]:
    return one.size.segments, len(one.dropped), sum(map(len, one.dropped))
