"""Who and what the config names: the people, chats, routes, policies and rules that services ask about."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum
from zoneinfo import ZoneInfo

from bridge.domain.costs import Amount
from bridge.domain.escalation import Policy
from bridge.domain.phone import PhoneNumber
from bridge.domain.rota import FromCalendar, Rota
from bridge.domain.routing import Route
from bridge.domain.storm import StormRules
from bridge.domain.throttle import Limits, longest


class Role(IntEnum):
    """What somebody may do; each includes the one before."""

    OBSERVER = 0  # sees
    RESPONDER = 1  # also acknowledges, resolves, sends /sms to people in the config
    OPERATOR = 2  # also sends to any allowed number


NOT_PEOPLE = frozenset({1087968824, 136817688, 777000})
"""Telegram's ids behind which anybody may stand: the anonymous admin, a channel as a user, its own account."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in the config. Without a `telegram_id` they are a contact: they get SMS, they ask for none.

    `alphabet`: how they want to read their SMS; None leaves it to the route and the house.
    """

    name: str
    number: PhoneNumber | None = None
    telegram_id: int | None = None
    role: Role = Role.OBSERVER
    alphabet: str | None = None

    @property
    def spoken(self) -> str:
        """The name as cards write it."""
        return self.name[:1].upper() + self.name[1:]


@dataclass(frozen=True, slots=True)
class ChatPlace:
    """A chat of the config, and the topic in it; `name` is what routes call it, `rota` who "oncall" is there."""

    name: str
    id: int
    topic: int | None = None
    time_zone: ZoneInfo | None = None
    delete_commands: bool = False
    page: str | None = None  # the policy that /page climbs here
    rota: str | None = None


@dataclass(frozen=True, slots=True)
class SmsRules:
    """How texts are made and where they may go.

    `may_spell`: with `alphabet` auto, letters may be spelled in Latin ones where that saves a segment.
    """

    max_segments: int = 1
    typed_max_segments: int = 6
    alphabet: str = "auto"
    default_region: str | None = None
    allowed_regions: frozenset[str] = frozenset()
    confirm_above_segments: int = 2
    where: tuple[str, ...] = ("instance", "host", "pod", "job")
    sender_id: str | None = None
    page_validity: int = 60  # minutes: nobody is woken at 07:00 by a trouble of 02:00
    may_spell: bool = False
    prices: Mapping[str, Amount] = field(default_factory=dict)  # of one segment, by country, until the account tells
    template: str = ""  # the words of pages, where the route has none of its own; empty: ours


@dataclass(frozen=True, slots=True)
class Watch:
    """Where the bridge speaks about itself, and whom it texts when Telegram is gone."""

    chat: str | None = None
    notify: tuple[str, ...] = ()
    balance_below: float | None = None
    days_below: int = 3  # at the pace of the last week; 0: never


@dataclass(frozen=True, slots=True)
class SourceRules:
    """What services need to know of a source. `routes` bounds what it may name or match; empty: all.

    A heartbeat source has to be heard within `every`, or its silence takes its `route`; others have neither.
    """

    name: str
    kind: str
    routes: frozenset[str] = frozenset()
    dedup_window: timedelta = timedelta(minutes=20)
    silences: bool = False  # it has an API that keeps it quiet
    every: timedelta | None = None
    route: str | None = None


@dataclass(frozen=True, slots=True)
class House:
    """One config, understood; replaced whole on reload."""

    time_zone: ZoneInfo = ZoneInfo("UTC")
    people: Mapping[str, Person] = field(default_factory=dict)
    chats: Mapping[str, ChatPlace] = field(default_factory=dict)
    rotas: Mapping[str, Rota | FromCalendar] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    sources: Mapping[str, SourceRules] = field(default_factory=dict)
    sms: SmsRules = SmsRules()
    limits: Limits = Limits()
    watch: Watch = Watch()
    public_url: str | None = None  # what the world calls us; None: no link in an SMS
    storm: StormRules | None = StormRules()  # None: every incident is paged by itself
    scripts: Mapping[str, Role] = field(default_factory=dict)  # API tokens by name, and what each may do

    def person_by_telegram(self, user_id: int) -> Person | None:
        """Who this Telegram user is; user names are never looked at."""
        return next((p for p in self.people.values() if p.telegram_id == user_id), None)

    def person_by_number(self, number: PhoneNumber) -> Person | None:
        """Whose number this is, if it stands in the config."""
        return next((p for p in self.people.values() if p.number == number), None)

    def chats_by_id(self, chat_id: int) -> list[ChatPlace]:
        """The chats of the config behind one Telegram chat: several when topics are told apart."""
        return [chat for chat in self.chats.values() if chat.id == chat_id]

    def chat_at(self, chat_id: int, topic: int | None) -> ChatPlace | None:
        """The chat of the config a message came from: its own topic, else the one without a topic, else any."""
        here = self.chats_by_id(chat_id)
        same = [chat for chat in here if chat.topic == topic]
        return next(iter(same or [c for c in here if c.topic is None] or here), None)

    def spoken(self, name: str | None) -> str:
        """Somebody's name as people write it; empty for nobody."""
        person = self.people.get(name or "")
        return person.spoken if person else name or ""

    @property
    def textable(self) -> list[str]:
        """The people who have a phone: only they can have a turn."""
        return [name for name, person in self.people.items() if person.number is not None]

    def rota_called(self, written: str) -> str | None:
        """The rota of this name, in any case."""
        return next((name for name in self.rotas if name.casefold() == written.casefold()), None)

    def rota_meant(self, chat: ChatPlace | None) -> str | None:
        """The rota that is meant where none is named: the chat's, else the only one."""
        if chat is not None and chat.rota in self.rotas:
            return chat.rota
        return next(iter(self.rotas)) if len(self.rotas) == 1 else None

    def moved(self, ids: Mapping[int, int]) -> "House":
        """The same house with its chats under the ids that they have now, by the ids that they had."""
        return replace(self, chats={name: replace(c, id=ids.get(c.id, c.id)) for name, c in self.chats.items()})

    def route(self, name: str) -> Route | None:
        return next((route for route in self.routes if route.name == name), None)

    def template_of(self, route: str) -> str:
        """The template of the pages of this route; empty where they are in our own words."""
        there = self.route(route)
        return (there.template if there else "") or self.sms.template

    def texting(self, route: str, person: str | None) -> SmsRules:
        """How texts of this route are made for somebody; their own alphabet counts before the route's, and the house's.

        `auto` of a person or a route allows Latin spelling. That of the house does not: nobody has said there that
        they read it.
        """
        there, them = self.route(route), self.people.get(person or "")
        wanted = (them.alphabet if them else None) or (there.alphabet if there else None)
        return replace(
            self.sms,
            alphabet=wanted or self.sms.alphabet,
            may_spell=wanted == "auto",
            max_segments=self.most_segments(there),
        )

    def most_segments(self, route: Route | None = None) -> int:
        """How long a page may be: as its route says, or else the house, and never more than fits an empty limit."""
        most = (route.max_segments if route else None) or self.sms.max_segments
        if most == 1:  # the usual; no limit is smaller
            return most
        total = self.limits.total if route and route.critical else self.limits.normal_total
        windows = (*self.limits.per_person, *total, *(route.limits if route else ()))
        return min(most, *(window.segments for window in windows))

    @property
    def counts_back(self) -> timedelta:
        """How far back its limits count what was sent, as far as they slide with the clock."""
        limits = self.limits
        own = (window for route in self.routes for window in route.limits)
        return longest((*limits.per_person, *limits.total, *limits.per_asker, *own))

    def pages_at(self, route: str, due: datetime) -> datetime:
        """When what is due then may leave: the hours of its route decide over every page, ring and question."""
        there = self.route(route)
        return there.hours.pages_at(due) if there else due

    def closed(self, now: datetime) -> set[str]:
        """The routes that page nobody now."""
        return {route.name for route in self.routes if route.hours.pages_at(now) > now}

    def zone_of(self, chat: str | None) -> ZoneInfo:
        """The time zone a chat reads its clocks in."""
        place = self.chats.get(chat) if chat else None
        return (place.time_zone if place else None) or self.time_zone
