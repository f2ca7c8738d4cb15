"""From the file's tables to a Config: each section read by one function, then held against the others."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from bridge import templates
from bridge.clock import SystemClock
from bridge.config import scalars
from bridge.config.document import Findings, Table, read_document, shown, shown_path
from bridge.config.scalars import Wrong, brief, choice, duration, flag, near, number, text
from bridge.config.schema import ALPHABETS, FILE, HEARTBEAT, KEY_PLACES, KINDS, PRIORITIES, ROLES, UPDATES
from bridge.config.section import Section, Surroundings, override
from bridge.config.values import (
    ApiToken,
    CalendarSettings,
    Config,
    ConfigError,
    Credentials,
    MobizonSettings,
    ServerSettings,
    SourceSettings,
    StorageSettings,
    TelegramSettings,
)
from bridge.domain import hours
from bridge.domain.escalation import CHAT, EVERYONE, ROTA, Policy, Step
from bridge.domain.hours import Hours, RouteHours, TimeInterval
from bridge.domain.house import ChatPlace, House, Person, Role, SmsRules, SourceRules, Watch
from bridge.domain.incident import MOST_ROUNDS
from bridge.domain.phone import BadNumber, PhoneNumber, parse_phone, why_not_textable
from bridge.domain.rota import FOREVER, FromCalendar, Rota, Unit, roster
from bridge.domain.routing import Route
from bridge.domain.secret import Secret
from bridge.domain.storm import StormRules
from bridge.domain.throttle import AnyWindow, Limits, Month, Window
from bridge.texts import moment

_LARGEST_FILE = 1024 * 1024
_READABLE_BY_ALL = 0o004
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_LATER_KINDS = [
    "grafana",
    "uptime-kuma",
    "gatus",
    "healthchecks",
    "zabbix",
    "sentry",
    "github",
    "pagerduty",
]
_RESERVED_PEOPLE = (CHAT, "rota", "everyone", "oncall")
_WORDS_OF_ONCALL = ("next", "take", "clear")  # /oncall reads them before it looks for a rota


def load_config(path: Path, environ: Mapping[str, str] | None = None, now: datetime | None = None) -> Config:
    """Read the file, its secrets and the environment's overrides. Raises ConfigError with every problem.

    `now`: from when on hours have to come and to end; without it, today.
    """
    environ = os.environ if environ is None else environ
    findings = Findings(str(path))
    start = findings.at(1)
    written, exposed = _read_file(path, findings)
    root = read_document(written, findings) if written is not None else None
    if root is None:
        raise ConfigError(findings.problems)
    override(root, FILE, environ, findings)
    around = Surroundings(path.parent, environ, exposed, findings, now or SystemClock().now())
    config = _config(Section(around, Table(root.entries, start), "", FILE))
    if findings.problems:
        raise ConfigError(findings.problems)
    return replace(config, warnings=tuple(findings.warnings))


def describe(config: Config, path: Path, now: datetime) -> str:
    """The line for a good config, and what to do next. Who is on call it says by the config alone."""
    people, routes = len(config.house.people), len(config.house.routes)
    told = [f"{people} {'person' if people == 1 else 'people'}", *_on_call(config.house, now)]
    told.append(f"{routes} route{'s' * (routes != 1)}")
    return f"{path}: good. {', '.join(told)}. Next: sms-bridge doctor --config {path}"


def _on_call(house: House, now: datetime) -> Iterator[str]:
    known = roster(house.rotas, {}, house.textable)
    for name, rota in house.rotas.items():
        which = f"on call now{f' in rota {name}' if len(house.rotas) > 1 else ''}"
        if isinstance(rota, FromCalendar):
            yield f"{which}: as its calendar says"
            continue
        turn, _ = known.stretch(name, now)
        until = f" until {moment(turn.end, house.time_zone)}" if turn.end < FOREVER else ""
        yield f"{which}: {turn.person}{until}"


def _read_file(path: Path, findings: Findings) -> tuple[str | None, bool]:
    """The file's text, and whether everybody on this machine can read it."""
    start = findings.at(1)
    try:
        with path.open("rb") as file:
            exposed = bool(os.fstat(file.fileno()).st_mode & _READABLE_BY_ALL)
            content = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        findings.problem(start, "", f"cannot be read ({reason}); name the config file with --config")
        return None, False
    if len(content) > _LARGEST_FILE:
        findings.problem(start, "", "larger than 1 MiB; this is no config of ours")
        return None, exposed
    try:
        return content.decode("utf-8-sig"), exposed
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        findings.problem(findings.at(line), "", "not UTF-8; save the file as UTF-8")
        return None, exposed


def _config(file: Section) -> Config:
    zone = file.get("time_zone", scalars.zone, House().time_zone)
    server, sender = _server(file.section("server")), file.section("mobizon")
    mobizon = _mobizon(sender, "mobizon" in file)
    texts = file.section("sms")
    rules = _sms(texts, mobizon.sender_id)
    rota_entries = dict(file.named("rotas"))
    policy_entries = dict(file.named("policies"))
    chats = {name: _chat(name, section, rota_entries, policy_entries) for name, section in file.named("chats")}
    entries = dict(file.named("people"))
    unsure = rules.default_region is None and ("default_region" in texts or not rules.allowed_regions)
    people = _people(entries, rules, unsure)
    known = _Known(chats, people, {name for name, entry in entries.items() if "phone" not in entry}, rota_entries)
    rotas, calendars = _rotas(rota_entries, known, zone)
    policies = {name: _policy(name, section, known) for name, section in policy_entries.items()}
    storage = _storage(file.section("storage"))
    limits = _limits(file.section("limits"), zone, storage.keep)
    route_entries = file.sections("routes")
    routes = _routes(route_entries, policies, known, _intervals(file, zone), (limits, zone))
    sources = {name: _source(name, section, routes) for name, section in file.named("sources")}
    _look_for_dead_ends(route_entries, routes, {rules.route for _, rules in sources.values()})
    _look_at_sizes(texts, rules, limits)
    watch, heartbeat_url = _watch(file.section("watch"), known)
    _look_for_gaps(file, routes, watch)
    if "chats" in file and "telegram" not in file:
        file.warn("there is no bot to write there; add telegram: {token_file: FILE}", "chats")
    tokens = _api_tokens(file.section("api"))
    house = House(
        time_zone=zone,
        people=people,
        chats=chats,
        rotas=rotas,
        policies=policies,
        routes=routes,
        sources={name: known_rules for name, (_, known_rules) in sources.items()},
        sms=rules,
        limits=limits,
        watch=watch,
        public_url=server.public_url,
        storm=_storm(file),
        scripts={name: token.role for name, token in tokens.items()},
    )
    return Config(
        house=house,
        server=server,
        storage=storage,
        mobizon=mobizon,
        telegram=_telegram(file.section("telegram"), server) if "telegram" in file else None,
        sources={name: settings for name, (settings, _) in sources.items()},
        api_tokens=tokens,
        calendars=calendars,
        heartbeat_url=heartbeat_url,
    )


class _Known(NamedTuple):
    """The names that other sections may use."""

    chats: Iterable[str]
    people: Iterable[str]
    phoneless: set[str]
    rotas: Collection[str]

    def chat(self, written: str) -> str:
        return _one_of(written, self.chats, "chat")

    def textable(self, written: str) -> str:
        person = _one_of(written, self.people, "person")
        if person in self.phoneless:
            raise Wrong(f"{shown(person)} has no phone; give people.{shown(person)}.phone")
        return person

    def target(self, written: str) -> str:
        if written == EVERYONE and not self.rotas:
            raise Wrong("there are no rotas, so it is nobody; add rotas, or write names of people")
        if written in (CHAT, EVERYONE):
            return written
        if written.lower().startswith(ROTA):
            name = written[len(ROTA) :].strip()
            if name not in self.rotas:
                raise Wrong(f'no rota is called "{shown(name)}"; {near(name, self.rotas)}')
            return f"{ROTA}{name}"
        if written in self.rotas:
            raise Wrong(f"that is a rota; write it as {ROTA}{written}")
        return self.textable(written)


def _one_of(written: str, names: Iterable[str], what: str) -> str:
    if written not in names:
        raise Wrong(f'no {what} is called "{shown(written)}"; {near(written, names)}')
    return written


def _server(section: Section) -> ServerSettings:
    usual = ServerSettings()
    settings = ServerSettings(
        listen=section.get("listen", scalars.address, usual.listen),
        public_listen=section.get("public_listen", scalars.address),
        public_url=section.get("public_url", scalars.url),
        max_body=section.get("max_body", scalars.size, usual.max_body),
        allow_plain=section.get("allow_plain", flag, usual.allow_plain),
    )
    behind_tls = (settings.public_url or "").startswith("https:")
    for key, address, covered in (
        ("listen", settings.listen, False),
        ("public_listen", settings.public_listen, behind_tls),
    ):
        if address and not scalars.is_loopback(address[0]) and not covered and not settings.allow_plain:
            section.problem(
                "others can reach it and read tokens off the wire; listen on 127.0.0.1 behind a TLS proxy, "
                "or say allow_plain: true",
                key,
            )
    if settings.public_listen == settings.listen and settings.listen[1] != 0:
        section.problem("the same address as listen; take another port", "public_listen")
    return settings


def _storage(section: Section) -> StorageSettings:
    path = section.get("url", scalars.database, "data/bridge.db")
    usual = StorageSettings(section.around.folder / path)
    return replace(usual, keep=section.get("keep", duration(_DAY), usual.keep))


def _mobizon(section: Section, there: bool) -> MobizonSettings:
    usual = MobizonSettings("", Secret(""))
    if not there:
        section.problem("not there, so nothing can be sent; add base_url and api_key_file below it")
        return usual
    key = section.secret("api_key", required="no key, so nothing can be sent; add api_key_file: FILE")
    zone = section.get("time_zone", scalars.zone)
    return MobizonSettings(
        base_url=section.need("base_url", scalars.mobizon_url, "https://api.mobizon.kz") or "",
        api_key=key or usual.api_key,
        sender_id=section.get("sender_id", scalars.sender_id),
        api_key_in=section.get("api_key_in", choice(*KEY_PLACES), usual.api_key_in),
        time_zone=zone.key if zone else None,
        report_token=section.secret("report_token"),
        key_file=section.file_of("api_key") if key else None,
        concurrency=section.get("concurrency", number(1, 16), usual.concurrency),
    )


def _telegram(section: Section, server: ServerSettings) -> TelegramSettings:
    token = section.secret("token", required="no token, so the bot cannot speak; add token_file: FILE")
    usual = TelegramSettings(token or Secret(""))
    settings = TelegramSettings(
        token=usual.token,
        api_url=section.get("api_url", scalars.url, usual.api_url),
        updates=section.get("updates", choice(*UPDATES), usual.updates),
        webhook_path=section.get("webhook_path", scalars.path_part, "updates"),
        webhook_secret=section.secret("webhook_secret"),
    )
    if settings.updates != "webhook":
        return replace(settings, webhook_path=None)
    if "webhook_secret" not in section and "webhook_secret_file" not in section:
        section.problem(
            "webhook without a secret: anybody could speak as Telegram; add webhook_secret_file: FILE", "updates"
        )
    if server.public_url is None:
        section.problem("webhook needs an address that Telegram can reach; set server.public_url", "updates")
    return settings


def _chat(name: str, section: Section, rotas: Iterable[str], policies: Iterable[str]) -> ChatPlace:
    return ChatPlace(
        name=name,
        id=section.need("id", scalars.chat_id, "-1001234567890, which /id tells in the chat") or 0,
        topic=section.get("topic", number(1)),
        time_zone=section.get("time_zone", scalars.zone),
        delete_commands=section.get("delete_commands", flag, False),
        rota=section.get("rota", lambda written: _one_of(written, rotas, "rota")),
        page=section.get("page", lambda written: _one_of(written, policies, "policy")),
    )


def _people(sections: Mapping[str, Section], rules: SmsRules, unsure: bool) -> dict[str, Person]:
    """Everybody. `unsure`: no default region is known, so a number without a country is not looked at."""
    people: dict[str, Person] = {}
    numbers: dict[PhoneNumber, str] = {}
    ids: dict[int, str] = {}
    for name, section in sections.items():
        if name.lower() in _RESERVED_PEOPLE:
            section.problem("a word with a meaning of its own; call this person something else")
        if name.lower() in (other.lower() for other in people):
            section.problem("only its capitals differ from somebody above; /sms could not tell them apart")
        if "phone" not in section and "telegram_id" not in section:
            section.problem("neither a phone nor a telegram_id; add the one they are reached by")
        person = people[name] = Person(
            name=name,
            number=_phone(section, rules, unsure),
            telegram_id=section.get("telegram_id", scalars.telegram_id),
            role=_role(section),
            alphabet=section.get("alphabet", choice(*ALPHABETS)),
        )
        if person.number and numbers.setdefault(person.number, name) != name:
            section.problem(f"the same number as {shown(numbers[person.number])}; one person, one entry", "phone")
        if person.telegram_id and ids.setdefault(person.telegram_id, name) != name:
            section.problem(f"the same id as {shown(ids[person.telegram_id])}; one person, one entry", "telegram_id")
    return people


def _phone(section: Section, rules: SmsRules, unsure: bool) -> PhoneNumber | None:
    def read(written: str) -> PhoneNumber | None:
        if unsure and not written.startswith(("+", "00")):
            return None
        try:
            phone = parse_phone(written, rules.default_region)
        except BadNumber as error:
            raise Wrong(str(error)) from error
        refused = rules.allowed_regions and why_not_textable(phone, rules.allowed_regions, known=True)
        if refused:
            raise Wrong(f"{refused}; write a mobile number of an allowed country")
        if rules.allowed_regions and why_not_textable(phone, rules.allowed_regions):
            section.warn("in no range that we know of; check the digits. SMS go there all the same", "phone")
        return phone

    return section.get("phone", read)


def _role(section: Section) -> Role:
    return Role[section.get("role", choice(*ROLES), ROLES[0]).upper()]


def _rotas(
    sections: Mapping[str, Section], known: _Known, zone: ZoneInfo
) -> tuple[dict[str, Rota | FromCalendar], dict[str, CalendarSettings]]:
    rotas: dict[str, Rota | FromCalendar] = {}
    calendars: dict[str, CalendarSettings] = {}
    people = {person.lower() for person in known.people}
    for name, section in sections.items():
        if name.lower() in _WORDS_OF_ONCALL or name.lower() in people:
            section.problem("/oncall reads that word as something else; call this rota something else")
        if name.lower() in (other.lower() for other in rotas):
            section.problem("only its capitals differ from a rota above; /oncall could not tell them apart")
        there = section.get("time_zone", scalars.zone, zone)
        booked = [key for key in ("calendar", "calendar_url", "calendar_url_file") if key in section]
        if booked:
            calendars[name] = _calendar(section, booked)
            rotas[name] = FromCalendar(there)
        else:
            rotas[name] = _turns(section, known, there)
    return rotas, calendars


def _calendar(section: Section, booked: list[str]) -> CalendarSettings:
    for key in ("people", "every", "since", "handover"):
        if key in section:
            section.problem(f"the turns come from {booked[0]}; keep one of the two", key)
    if "calendar" in booked and len(booked) > 1:
        section.problem("a second calendar; one rota has one", booked[1])

    def file(written: str) -> Path:
        path = section.around.folder / written if "\0" not in written else None
        if path is None or not path.is_file():
            raise Wrong(f"{shown_path(written)} is not there; export the calendar to it, or use calendar_url")
        return path

    url = section.secret("calendar_url")
    if url:
        try:
            scalars.any_url(url.reveal())
        except Wrong as error:
            section.problem(str(error), "calendar_url" if "calendar_url" in section else "calendar_url_file")
    return CalendarSettings(section.get("calendar", file), url)


def _turns(section: Section, known: _Known, zone: ZoneInfo) -> Rota:
    """A rota of people in turn; where something is wrong and noted, one that only takes its place."""
    nobody = "nobody in it; write who takes turns, like [aigerim, jonas]"
    people = section.texts("people", known.textable, if_empty=nobody)
    if "people" not in section:
        section.problem("no people; write them like people: [aigerim, jonas], or name a calendar")
    every, unit = section.get("every", scalars.turn_length, (1, Unit.WEEKS))
    weekday, at = section.get("handover", scalars.handover, (None, time(9)))
    since = section.need("since", scalars.day, "2026-11-23, the day the first one's turn began")
    whole_weeks = unit is Unit.WEEKS or (unit is Unit.DAYS and every % 7 == 0)
    if weekday and not whole_weeks:
        section.problem("turns of this length do not all begin on one weekday; write the time alone", "handover")
    elif weekday and since and scalars.WEEKDAYS[since.weekday()] != weekday:
        before = since - _DAY * ((since.weekday() - scalars.WEEKDAYS.index(weekday)) % 7)
        section.problem(
            f"a {scalars.WEEKDAYS[since.weekday()]}, but turns begin on {weekday}; "
            f"write {before} or {before + 7 * _DAY}",
            "since",
        )
    return Rota(tuple(people or ("nobody",)), since or date(2026, 1, 1), at, every, unit, zone)


def _intervals(file: Section, zone: ZoneInfo) -> dict[str, TimeInterval]:
    intervals: dict[str, TimeInterval] = {}
    for section in file.sections("time_intervals"):
        name = section.need("name", scalars.name, "night") or ""
        if name in intervals:
            section.problem(f'a second interval called "{shown(name)}"; routes could not tell them apart', "name")
        entries, problems = section.sections("time_intervals"), len(file.around.findings.problems)
        if not entries:
            section.problem("no hours in it; write time_intervals: [{weekdays: [saturday]}]")
        interval = TimeInterval(name, tuple(_hours(entry, zone) for entry in entries))
        if interval.never_ends and len(file.around.findings.problems) == problems:
            section.problem("never ends; narrow it, or leave it out")
        is_good = len(file.around.findings.problems) == problems
        intervals[name] = interval if is_good else TimeInterval(name, ())
    return intervals


def _hours(section: Section, zone: ZoneInfo) -> Hours:
    def ranges(key: str, read: Callable[[str], hours.Range]) -> tuple[hours.Range, ...]:
        return tuple(section.texts(key, scalars.ranged(read), if_empty=_NO_RANGE) or ())

    if "location" not in section and zone.key != "UTC":
        section.warn(f"read in UTC, as Alertmanager does; if you mean local time, add location: {zone.key}")
    return Hours(
        times=_times(section),
        weekdays=ranges("weekdays", hours.read_weekdays),
        days_of_month=ranges("days_of_month", hours.read_days_of_month),
        months=ranges("months", hours.read_months),
        years=ranges("years", hours.read_years),
        zone=section.get("location", scalars.zone, ZoneInfo("UTC")),
    )


_NO_RANGE = "nothing in it, so it would never be; remove the key to leave it open"


def _times(section: Section) -> tuple[hours.Range, ...]:
    entries = section.sections("times")
    if "times" in section and not entries:
        section.problem('no time in it; write one like {start_time: "09:00", end_time: "17:00"}', "times")
    times = []
    for entry in entries:
        start = entry.need("start_time", scalars.ranged(hours.read_minute), '"09:00"')
        end = entry.need("end_time", scalars.ranged(hours.read_minute), '"17:00"')
        if start is not None and end is not None:
            try:
                times.append(hours.times(start, end))
            except hours.BadInterval as error:
                entry.problem(str(error), "end_time")
    return tuple(times)


def _policy(name: str, section: Section, known: _Known) -> Policy:
    if "steps" not in section:
        section.problem("no steps; write them like [{notify: [chat, NAME]}]")
    steps = section.sections("steps")
    if "steps" in section and not steps:
        section.problem("no step in it; write one like {notify: [chat, NAME]}", "steps")
    read = tuple(_step(step, known) for step in steps)
    if read and all(target == CHAT for step in read for target in step.notify):
        section.warn("nobody in it gets an SMS, only the chat rings; name people or a rota as well", "steps")
    usual = Policy(name, read)
    policy = Policy(
        name,
        read,
        repeat=section.get("repeat", number(0, MOST_ROUNDS - 1), usual.repeat),
        delay=section.get("delay", duration(), usual.delay),
        ack_for=section.get("ack_for", duration(_MINUTE)),
        resolved_sms=section.get("resolved_sms", flag, usual.resolved_sms),
        taken_sms=section.get("taken_sms", flag, usual.taken_sms),
        remind=section.get("remind", flag, usual.remind),
        reopen_within=section.get("reopen_within", duration(), usual.reopen_within),
    )
    _look_at_waits(section, steps, policy)
    return policy


def _look_at_waits(section: Section, steps: list[Section], policy: Policy) -> None:
    """Warn of times that undo each other."""
    for written, step in zip(steps, policy.steps, strict=True):
        if "deliver_within" in written and step.deliver_within and step.deliver_within >= step.wait:
            late = f"the next step is called by then anyway, after its wait of {brief(step.wait)}"
            written.warn(f"{late}; write less, or off", "deliver_within")
    if policy.repeat and not any("wait" in step for step in steps):
        every = "no step says how long it waits, so all of it is called every"
        section.warn(f"{every} {brief(Step(()).wait)}; write wait beside notify", "repeat")
    if policy.ack_for and policy.steps and policy.ack_for < policy.steps[0].wait:
        sooner = f"shorter than the wait of the first step ({brief(policy.steps[0].wait)})"
        section.warn(f"{sooner}, so taking it calls sooner than not taking it; write more, like 2h", "ack_for")


def _step(section: Section, known: _Known) -> Step:
    targets = section.texts("notify", known.target, if_empty="nobody in it; write names of people, or chat")
    if "notify" not in section:
        section.problem("no notify; write whom it reaches, like notify: [chat, NAME]")
    usual = Step(tuple(targets or ()))
    return Step(
        usual.notify,
        wait=section.get("wait", duration(), usual.wait),
        deliver_within=section.get("deliver_within", scalars.duration_or_off, usual.deliver_within),
    )


def _routes(
    sections: list[Section],
    policies: Mapping[str, Policy],
    known: _Known,
    intervals: Mapping[str, TimeInterval],
    house: tuple[Limits, ZoneInfo],
) -> tuple[Route, ...]:
    limits, zone = house
    routes: list[Route] = []
    for section in sections:
        name = section.need("name", scalars.name, "critical") or ""
        if name and name in (route.name for route in routes):
            section.problem(f'a second route called "{shown(name)}"; names are what cards and URLs tell apart', "name")
        if "policy" not in section and "chat" not in section:
            section.problem("neither policy nor chat, so nobody would hear of it; add the one or the other")
        routes.append(
            Route(
                name=name,
                matchers=tuple(section.texts("matchers", scalars.matcher) or ()),
                policy=section.get("policy", lambda written: _one_of(written, policies, "policy")),
                chat=section.get("chat", known.chat),
                critical=section.get("priority", choice(*PRIORITIES), PRIORITIES[0]) == "critical",
                continues=section.get("continue", flag, False),
                silent=section.get("silent", flag, False),
                ttl=section.get("ttl", duration()),
                template=_template(section),
                hours=_route_hours(section, policies, intervals),
                alphabet=section.get("alphabet", choice(*ALPHABETS)),
                max_segments=section.get("max_segments", number(1, 10)),
                limits=_windows(section, "limits", zone),
            )
        )
    for section, route in zip(sections, routes, strict=True):
        _look_at_its_policies(section, route, policies)
        _look_at_its_limits(section, route, limits)
        if route.limits and route.policy is None and not route.hours.policies:
            section.warn("no policy, so no SMS is sent that they could hold; remove them, or add policy", "limits")
    return tuple(routes)


def _look_for_dead_ends(sections: list[Section], routes: Sequence[Route], of_silence: Collection[str | None]) -> None:
    """Warn of routes that no alert comes to, but for those that heartbeats name, and of a way on that leads nowhere."""
    for place, (section, route) in enumerate(zip(sections, routes, strict=True)):
        for above in routes[:place]:
            if route.name not in of_silence and not above.continues and set(above.matchers) <= set(route.matchers):
                takes = "everything" if above.catches_all else "all that this one matches"
                section.warn(
                    f"no alert comes to {shown(route.name)}: {shown(above.name)} above takes {takes} and does not "
                    "continue; move this one up, or remove it if no URL names it"
                )
                break
    if routes and routes[-1].continues:
        sections[-1].warn("no route stands below it to go on to; remove it, or move the route up", "continue")


def _look_at_its_policies(section: Section, route: Route, policies: Mapping[str, Policy]) -> None:
    """Warn of what a policy would do on this route and cannot."""
    for name in dict.fromkeys((route.policy, *(policy for _, policy in route.hours.policies))):
        policy = policies.get(name or "")
        if policy is None or not policy.steps:
            continue
        if route.chat is None and any(CHAT in step.notify for step in policy.steps):
            section.warn(f"policy {shown(policy.name)} calls the chat, and this route has none; add chat")
        if route.ttl is None:
            continue
        second = policy.delay + policy.steps[0].wait
        if route.ttl <= policy.delay:
            begins = f"over before policy {shown(policy.name)} sends its first SMS, after {brief(policy.delay)}"
            section.warn(f"{begins}: nobody would be paged; write more", "ttl")
        elif route.ttl <= second and (policy.repeat or len(policy.steps) > 1):
            climbs = f"over before policy {shown(policy.name)} calls its second step, after {brief(second)}"
            section.warn(f"{climbs}: only the first ever is; write more", "ttl")


def _route_hours(section: Section, policies: Iterable[str], intervals: Mapping[str, TimeInterval]) -> RouteHours:
    def interval(written: str) -> TimeInterval:
        return intervals[_one_of(written, intervals, "interval")]

    def named(key: str) -> tuple[TimeInterval, ...]:
        return tuple(section.texts(key, interval, if_empty="no interval in it; remove the key") or ())

    changes = section.pairs(
        "policy_at",
        interval,
        lambda written: _one_of(written, policies, "policy"),
        if_empty="no interval in it; write it like {night: POLICY}",
    )
    there = RouteHours(
        mute=named("mute_time_intervals"),
        active=named("active_time_intervals"),
        hold=named("hold_time_intervals"),
        policies=tuple(changes or ()),
    )
    if all(interval.entries for interval in (*there.mute, *there.active, *there.hold)):
        _look_for_ends(section, there)
    given = [key for key in (*_QUIET, "policy_at") if key in section]
    if "policy" not in section and "policy_at" not in section and given:
        section.problem("no policy, so it pages nobody at any hour; remove this, or add policy", given[0])
    return there


def _look_for_ends(section: Section, there: RouteHours) -> None:
    """Hours that keep pages have to end, and hours of paging to come: from today on, as far as anybody can see.

    What depends on the year is a warning, for a config that was good must not be refused because time went by.
    """
    now = section.around.now
    keys = dict(zip(_QUIET, (there.mute, there.active, there.hold), strict=True))
    passing = any(entry.years for intervals in keys.values() for one in intervals for entry in one.entries)
    say, so = section.problem, "so nobody would ever be paged"
    if passing:
        say, so = section.warn, "so nothing waits for it, and pages leave at once"
    alone = (RouteHours(mute=there.mute), RouteHours(active=there.active), RouteHours(hold=there.hold))
    never = [key for key, kept in zip(_QUIET, alone, strict=True) if kept.opens_at(now) is None]
    for key in never:
        what = "none of them comes" if key == _QUIET[1] else "together they never end"
        say(f"{what}, {so}; change one of them", key)
    if not never and there.opens_at(now) is None:
        first, *others = [key for key, intervals in keys.items() if intervals]
        say(f"with {' and '.join(others)} it leaves no hour to page in, {so}; change one of them", first)
    for key in ("mute_time_intervals", "hold_time_intervals"):
        for interval in () if never else keys[key]:
            begins = now if interval.contains(now) else interval.next_change(now)
            if begins and interval.next_change(begins) is None:
                section.warn(f"{interval.name} never ends once it has begun, and pages leave at once then; end it", key)


_QUIET = ("mute_time_intervals", "active_time_intervals", "hold_time_intervals")


def _look_for_gaps(file: Section, routes: tuple[Route, ...], watch: Watch) -> None:
    """Warn of alerts that would reach nobody by SMS."""
    lands = f"show in {watch.chat} only" if watch.chat else "be shown nowhere; set watch.chat"
    if not routes:
        file.warn(f"no routes, so every alert would {lands}", "routes")
    elif not any(route.catches_all for route in routes):
        file.warn(f"no route catches everything; what none matches would {lands}", "routes")


_NO_ROUTE = "no route in it; name some, or remove the key to allow all"


def _source(name: str, section: Section, routes: Iterable[Route]) -> tuple[SourceSettings, SourceRules]:
    kind = section.get("kind", text, name)
    if kind in _LATER_KINDS:
        section.problem(f"sources of kind {kind} come in a later version; there are now: {', '.join(KINDS)}", "kind")
    elif kind not in KINDS:
        section.problem(f"no kind of that name; write kind: {scalars.either(KINDS)}", "kind")
    usual, names = SourceRules(name, kind), [route.name for route in routes]
    bounds = section.texts("routes", lambda written: _one_of(written, names, "route"), if_empty=_NO_ROUTE)
    rules = replace(
        usual,
        routes=frozenset(bounds or ()),
        dedup_window=section.get("dedup_window", duration(), usual.dedup_window),
    )
    api_url, api_token = section.get("api_url", _api_url), section.secret("api_token")
    given = [key for key in ("api_url", "api_token", "api_token_file") if key in section]
    if given and kind != "alertmanager":
        section.problem("only an Alertmanager can be silenced; remove it", given[0])
    elif given and "api_url" not in section:
        section.problem("nobody is shown this token; add api_url: http://alertmanager.example:9093", given[0])
    rules = replace(rules, silences=api_url is not None)
    if kind == HEARTBEAT:
        rules = _heartbeat(section, rules, routes)
    for key in ("every", "route"):
        if kind != HEARTBEAT and key in section:
            section.problem("only a heartbeat has it; remove it, or write kind: heartbeat", key)
    return SourceSettings(name, kind, _credentials(section), api_url, api_token), rules


def _heartbeat(section: Section, rules: SourceRules, routes: Iterable[Route]) -> SourceRules:
    by_name = {route.name: route for route in routes}
    every = section.need("every", duration(timedelta(seconds=30), 7 * _DAY), "5m")
    route = section.need("route", lambda written: _one_of(written, by_name, "route"), next(iter(by_name), "critical"))
    if "routes" in section:
        section.problem("a heartbeat has one route; write it as route, and remove this", "routes")
    if "dedup_window" in section:
        section.problem("each beat counts; remove it", "dedup_window")
    if route and by_name[route].policy is None and not by_name[route].hours.policies:
        section.warn(f"{shown(route)} has no policy, so its silence would page nobody; name a route that has", "route")
    return replace(rules, every=every, route=route, routes=frozenset({route} if route else ()))


def _api_url(written: str) -> str:
    address = scalars.url(written)
    if address.endswith("/api/v2"):
        raise Wrong("we add /api/v2 ourselves; leave it out")
    return address


def _credentials(section: Section) -> Credentials:
    tokens = section.secrets("token")
    basic: tuple[tuple[str, Secret], ...] = ()
    if "basic" in section:
        pair = section.section("basic")
        user = pair.need("user", text, "backup") or ""
        passwords = pair.secrets("password")
        if "password" not in pair and "password_file" not in pair:
            pair.problem("no password; add password_file: FILE")
        basic = tuple((user, password) for password in passwords)
    is_open = section.get("open", flag, False)
    given = [key for key in ("token", "token_file", "basic") if key in section]
    if is_open and given:
        section.problem(f"open to anybody although there is {given[0]}; keep one of the two", "open")
    if not is_open and not given:
        section.problem(
            "no credential, so anyone who finds the address can page you; add token_file: FILE, or say open: true"
        )
    return Credentials(tokens, basic, is_open)


def _sms(section: Section, sender_id: str | None) -> SmsRules:
    usual = SmsRules()
    home = section.get("default_region", scalars.region)
    nowhere = "no country in it; write the ones you text, like [KZ]"
    regions = section.texts("allowed_regions", scalars.region, if_empty=nowhere)
    if "allowed_regions" not in section and "default_region" not in section:
        section.problem("no country is allowed, so nothing could be sent; add default_region: KZ, or allowed_regions")
    validity = section.get("validity", duration(_MINUTE, 72 * _HOUR), timedelta(minutes=usual.page_validity))
    if not _HOUR <= validity <= _DAY:
        section.warn("some operators ignore what is not between 60m and 24h", "validity")
    prices = dict(section.pairs("prices", scalars.region, scalars.price, if_empty=_NO_PRICE) or ())
    if len({price.currency for price in prices.values()}) > 1:
        section.problem("several currencies; an account has one, the one that sms-bridge balance tells", "prices")
    return SmsRules(
        max_segments=section.get("max_segments", number(1, 10), usual.max_segments),
        typed_max_segments=section.get("typed_max_segments", number(1, 10), usual.typed_max_segments),
        alphabet=section.get("alphabet", choice(*ALPHABETS), usual.alphabet),
        default_region=home,
        allowed_regions=frozenset(regions or ({home} if home else ())),
        confirm_above_segments=section.get("confirm_above_segments", number(1, 10), usual.confirm_above_segments),
        where=tuple(section.texts("where", text) or usual.where),
        sender_id=sender_id,
        page_validity=int(validity.total_seconds() // 60),
        prices=prices,
        template=_template(section),
    )


def _template(section: Section) -> str:
    """The words of pages; a problem where they make no text of some sample of what comes at night."""
    source = section.template()
    key = "template" if "template" in section else "template_file"
    try:
        if source and (doubt := templates.try_out(source)):
            section.warn(doubt, key)
    except templates.BadTemplate as error:
        section.problem(str(error), key)
        return ""
    return source


_NO_PRICE = "no price in it; write it like {KZ: 20.50 KZT}"


def _windows(section: Section, key: str, zone: ZoneInfo, default: tuple[AnyWindow, ...] = ()) -> tuple[AnyWindow, ...]:
    """Windows by their lengths, the shortest first; `month` is a calendar month of the zone."""
    pairs = section.pairs(key, scalars.window, number(1), if_empty="no window in it; write it like {1h: 11}")
    if pairs is None:
        return default
    windows = (Window(length, segments) if length else Month(segments, zone) for length, segments in pairs)
    return tuple(sorted(windows, key=lambda window: window.length))


def _key_of(window: AnyWindow) -> str:
    return brief(window.length) if isinstance(window, Window) else "month"


def _look_at_its_limits(section: Section, route: Route, limits: Limits) -> None:
    """Warn of windows that never hold: the house sends no more than that anyway."""
    for window in route.limits:
        for whole in limits.total:
            if window.segments > whole.segments and window.length <= whole.length:
                house = f"the house may send {whole.segments} ({_key_of(whole)} of limits.total)"
                section.warn(f"{_key_of(window)}: {window.segments} never holds, for {house}; write less", "limits")
                break


def _look_at_sizes(section: Section, rules: SmsRules, limits: Limits) -> None:
    """Warn of texts that somebody allowed to be longer than a whole limit: none so long ever leaves."""
    named = (("per_asker", limits.per_asker), ("total", limits.typed_total))
    for key, windows in named:
        for window in windows:
            if "typed_max_segments" in section and rules.typed_max_segments > window.segments:
                most = f"limits.{key} lets {window.segments} out in {_key_of(window)}"
                section.warn(f"longer texts are refused, for {most}; write less", "typed_max_segments")
                return


def _limits(section: Section, zone: ZoneInfo, keep: timedelta) -> Limits:
    usual = Limits()
    limits = Limits(
        per_person=_windows(section, "per_person", zone, usual.per_person),
        total=_windows(section, "total", zone, usual.total),
        typed_share=section.get("typed_share", scalars.share, usual.typed_share),
        critical_share=section.get("critical_share", scalars.share, usual.critical_share),
        per_asker=_windows(section, "per_asker", zone, usual.per_asker),
        soft=section.get("soft", scalars.some_share, usual.soft),
    )
    if forgotten := [window for window in limits.per_person if window.length > keep and "per_person" in section]:
        what = f"numbers are forgotten after storage.keep ({brief(keep)}), so {_key_of(forgotten[0])} cannot be counted"
        section.problem(f"{what}; write less, or keep them for longer", "per_person")
    return limits


def _storm(file: Section) -> StormRules | None:
    if file.is_text("storm"):
        file.get("storm", choice("off"))
        return None
    usual, section = StormRules(), file.section("storm")
    rules = StormRules(
        alerts=section.get("alerts", number(2), usual.alerts),
        within=section.get("within", duration(high=_HOUR), usual.within),
        gather=section.get("gather", duration(high=10 * _MINUTE), usual.gather),
        calm=section.get("calm", duration(_MINUTE, _DAY), usual.calm),
    )
    if rules.gather > rules.within:
        section.warn("longer than within: what waits so long is counted no more when it may leave", "gather")
    return rules


def _watch(section: Section, known: _Known) -> tuple[Watch, Secret | None]:
    heartbeat = section.secret("heartbeat_url")
    if heartbeat:
        try:
            scalars.any_url(heartbeat.reveal())
        except Wrong as error:
            section.problem(str(error), "heartbeat_url" if "heartbeat_url" in section else "heartbeat_url_file")
    watch = Watch(
        chat=section.get("chat", known.chat),
        notify=tuple(dict.fromkeys(section.texts("notify", known.textable) or ())),
        balance_below=section.get("balance_below", scalars.amount),
        days_below=section.get("days_below", number(0, 365), Watch().days_below),
    )
    return watch, heartbeat


def _api_tokens(section: Section) -> dict[str, ApiToken]:
    tokens: dict[str, ApiToken] = {}
    for name, entry in section.named("tokens"):
        secret = entry.secret("token", required="no token; add token_file: FILE")
        if secret and secret in (other.secret for other in tokens.values()):
            entry.problem("the same token as one above, so nobody could tell whose role counts; make a new one")
        tokens[name] = ApiToken(name, secret or Secret(""), _role(entry))
    return tokens
