"""What a webhook would do: the real intake, door and outbox on a database that is thrown away, and no gateway.

The plan is played to its end as if every SMS arrived and nobody took it.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from zoneinfo import ZoneInfo

from bridge import escalator
from bridge.calendars import fetch, read_calendar
from bridge.config import Config
from bridge.dispatcher import Dispatcher
from bridge.domain import rota
from bridge.domain.alert import Alert, Report
from bridge.domain.costs import Prices
from bridge.domain.escalation import CHAT, ROTA, Policy, rung_of
from bridge.domain.house import House
from bridge.domain.incident import Incident
from bridge.domain.notification import Notification, State
from bridge.domain.preview import Preview
from bridge.explain_rules import looked_at
from bridge.intake import Intake
from bridge.metrics import Metrics
from bridge.outbox import Outbox
from bridge.ports import BadCalendar, Live, Receipt, Store, Submitted, Transaction
from bridge.sources import HEARTBEAT, NotJson, parse, read_json
from storage import open_store

# Numbers are said in every SMS: one of four digits makes its length the usual one.
_NUMBERS_BEFORE = 1041
_MOST_ROWS = 10_000
_LOOK_AHEAD = timedelta(days=60)  # how far calendars are read, and timers looked for


class CannotExplain(Exception):
    """The webhook would be refused at the door; one sentence."""


@dataclass(frozen=True, slots=True)
class ExplainedAlert:
    """One alert of the webhook, and the routes it takes; an empty name stands for "no route matched"."""

    alert: Alert
    routes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hours:
    """What the route's hours make of its pages now. `usual`: its policy at other hours."""

    muted: bool = False
    held: bool = False
    until: datetime | None = None  # of both: when its pages leave
    other_policy: bool = False
    usual: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A page as it would leave: how it is billed and what of it is written otherwise; what it leaves out, in words."""

    seen: Preview
    dropped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExplainedIncident:
    """An incident it would open, with its whole plan in order: every SMS as it would leave, every ring of the chat.

    `rotas`: the rota that a row was planned for, by the row's number. `nobody_at`: when the chat rings because
    nobody has it. `told` looks at the texts, by the row's number.
    """

    incident: Incident
    planned: tuple[Notification, ...]
    zone: ZoneInfo
    policy: Policy | None = None
    hours: Hours = Hours()
    rotas: Mapping[int, str] = field(default_factory=dict)
    nobody_at: datetime | None = None
    told: Mapping[int, Told] = field(default_factory=dict)
    prices: Prices = Prices()

    @property
    def rungs(self) -> list[tuple[Notification, ...]]:
        return [tuple(rows) for _, rows in groupby(self.planned, key=rung_of)]

    @property
    def sms(self) -> list[Notification]:
        return [row for row in self.planned if row.target != CHAT]

    @property
    def rings(self) -> list[Notification]:
        """The chat's own turns; one that is too late for its route's ttl does not come."""
        return [row for row in self.planned if row.target == CHAT and row.state is State.DELIVERED]

    @property
    def ack_for(self) -> timedelta | None:
        return self.policy.ack_for if self.policy else None

    @property
    def told_by_sms(self) -> list[str]:
        """What else those who were paged hear of it."""
        policy = self.policy
        told = {"when somebody has it": policy and policy.taken_sms, "when it is over": policy and policy.resolved_sms}
        return [what for what, wanted in told.items() if wanted]

    def call_of(self, row: Notification) -> int:
        """How often all steps have been called by then, this time included."""
        return row.round - self.incident.first_round + 1

    def next_at(self, row: Notification) -> datetime | None:
        """When the rung behind this one is called if this one is on no handset; None: not before its hour."""
        if row.submitted_at is None or row.deliver_within is None:
            return None
        at = row.submitted_at + row.deliver_within
        behind = [other for other in self.planned if rung_of(other) > rung_of(row)]
        return at if any(hour_of(other) > at for other in behind) else None


def hour_of(row: Notification) -> datetime:
    """When it leaves or rings, or would have."""
    return row.claimed_at or row.ended_at or row.due_at


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would happen. `problem`: the webhook cannot be read, and nobody would be paged.

    `unknown`: what could not be found out about who is on call; one sentence each. `silence` is how long a heartbeat
    source may be silent: the incident is the one that would open then. `beat`: whether the webhook is a beat of it.
    """

    source: str
    at: datetime
    zone: ZoneInfo
    alerts: tuple[ExplainedAlert, ...] = ()
    group_key: str = ""
    incidents: tuple[ExplainedIncident, ...] = ()
    problem: str = ""
    unknown: tuple[str, ...] = ()
    silence: timedelta | None = None
    beat: bool = False


class _TimeTravel:
    """The clock of the rehearsal: stands still, and is moved from one due time to the next."""

    def __init__(self, now: datetime) -> None:
        self.at = now

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0

    def elapsed(self) -> float:
        return 0.0

    async def wait(self, seconds: float) -> None:
        """Nothing in a rehearsal is worth waiting for."""


async def explain(config: Config, source: str, body: bytes, now: datetime, *, route: str | None = None) -> Explanation:
    """Rehearse this webhook on an empty history, as if it came now. Raises CannotExplain when it would not be kept.

    Who is on call is read from the rotas of the config and their calendars; swaps are known to a running bridge only.
    """
    house = config.house
    rules = house.sources.get(source)
    if rules is None:
        raise CannotExplain(f"no source is called {source}; there are: {', '.join(house.sources) or 'none'}")
    if route is not None and rules.routes and route not in rules.routes:
        raise CannotExplain(f"source {source} may not name route {route} (403); sources.{source}.routes bounds it")
    if len(body) > config.server.max_body:
        raise CannotExplain(f"larger than server.max_body, {config.server.max_body} bytes (413)")
    try:
        if rules.kind != HEARTBEAT:
            read_json(body)
    except NotJson as error:
        raise CannotExplain(f"not JSON (400): {error}") from error
    roster, unknown = await _roster(config, now)
    with tempfile.TemporaryDirectory(prefix="sms-bridge-explain-") as folder:
        found = await _Rehearsal(house, roster, now).play(Path(folder) / "explain.db", source, body, route)
    return replace(found, unknown=unknown)


async def _roster(config: Config, now: datetime) -> tuple[rota.Roster, tuple[str, ...]]:
    """Whose turn it is when, and what there is to say about the calendars that were read for it."""
    people = [person.name for person in config.house.people.values() if person.number]
    booked: dict[str, rota.Booked] = {}
    said: list[str] = []
    for name, where in config.calendars.items():
        try:
            content, zone = await fetch(where), config.house.rotas[name].zone
            reading = await read_calendar(content, people, zone, now - timedelta(days=1), now + _LOOK_AHEAD)
        except BadCalendar as error:
            said.append(f"rota {name}: {error}; whose turn it is is not known here")
            continue
        booked[name] = reading.booked
        said += [f"rota {name}: {problem}" for problem in reading.problems]
    return rota.roster(config.house.rotas, booked, people), tuple(said)


class _Rehearsal:
    def __init__(self, house: House, roster: rota.Roster, now: datetime) -> None:
        self._house = house
        self._roster = roster
        self._now = now
        self._clock = _TimeTravel(now)
        self._report: Report | None = None
        self._rotas: dict[int, str] = {}

    async def play(self, path: Path, source: str, body: bytes, route: str | None) -> Explanation:
        house, metrics = Live(self._house), Metrics()
        async with open_store(path) as store:
            await store.write(lambda tx: tx.numbers(_NUMBERS_BEFORE))
            dispatcher = Dispatcher(store, self._clock, house, metrics)
            receipt = await dispatcher.keep_webhook(source, route, {}, body)
            await dispatcher.follow_beats()
            await Intake(store, dispatcher, self._parse, house, self._clock).run()
            if silence := self._house.sources[source].every:
                self._clock.at += silence
                await dispatcher.beat_is_due(source)
            await self._send_all(store, Outbox(store, self._clock, house, metrics))
            return await store.read(lambda tx: self._seen(tx, receipt))

    def _parse(self, kind: str, receipt: Receipt) -> Report:
        self._report = parse(kind, receipt.body, receipt.received_at)
        return self._report

    async def _send_all(self, store: Store, outbox: Outbox) -> None:
        """Every SMS leaves at its hour, and nobody acknowledges: a text is only made when its row is claimed."""
        before: list[Notification] = []
        while planned := await store.read(lambda tx: tx.find_notifications(state=State.PLANNED, limit=_MOST_ROWS)):
            if planned == before:  # nothing more leaves at this hour
                ahead = [row.due_at for row in planned if row.due_at > self._clock.at]
                if not ahead:
                    return
                self._clock.at = min(ahead)
            before = planned
            await store.write(self._call_who_is_on_duty)
            for row in await outbox.claim(_MOST_ROWS):
                await outbox.record(row, Submitted(f"rehearsal {row.id}"))

    def _call_who_is_on_duty(self, tx: Transaction) -> None:
        """What is due for a rota is for whoever has its turn at this hour."""
        moved = []
        for row in tx.find_notifications(state=State.PLANNED, limit=_MOST_ROWS):
            planned_for = self._rotas.get(row.id, row.target)
            if row.due_at <= self._clock.at and planned_for.startswith(ROTA):
                self._rotas[row.id] = planned_for
                person = self._roster.who(planned_for.removeprefix(ROTA), self._clock.at)
                moved.append((replace(row, target=person or planned_for), row))
        tx.save_notifications(moved)

    def _seen(self, tx: Transaction, number: int) -> Explanation:
        receipt = tx.receipt(number)
        assert receipt is not None
        report = self._report
        if report is None or "problem" in receipt.result:
            problem = str(receipt.result["problem"])
            return Explanation(receipt.source, self._now, self._house.time_zone, problem=problem)
        incidents = {one.id: one for one in tx.incidents(open_only=False, limit=_MOST_ROWS)}
        routes: dict[str, list[str]] = {}
        for record in tx.alert_records([(receipt.source, report.group_key)], receipt.received_at):
            if record.incident_id in incidents:
                routes.setdefault(record.fingerprint, []).append(incidents[record.incident_id].route)
        alerts = tuple(ExplainedAlert(alert, tuple(routes.get(alert.fingerprint, ()))) for alert in report.alerts)
        opened = tuple(self._opened(tx, one) for _, one in sorted(incidents.items()))
        return Explanation(
            receipt.source,
            self._now,
            self._house.time_zone,
            alerts,
            report.group_key,
            opened,
            silence=self._house.sources[receipt.source].every,
            beat=bool(receipt.result.get("beat")),
        )

    def _opened(self, tx: Transaction, incident: Incident) -> ExplainedIncident:
        house, route = self._house, self._house.route(incident.route)
        hours = Hours()
        if route is not None:
            at = incident.opened_at
            begins, muted = route.hours.pages_at(at), route.hours.muted(at)
            waits, other = begins > at, route.policy != incident.policy
            hours = Hours(waits and muted, waits and not muted, begins if waits else None, other, route.policy)
        timers = tx.timers_due(self._clock.at + _LOOK_AHEAD, _MOST_ROWS)
        rings = {timer.subject: timer.due_at for timer in timers if timer.kind == escalator.NOBODY}
        planned = tuple(sorted(tx.notifications_of([incident.id]), key=lambda row: (rung_of(row), row.id)))
        told = {row.id: Told(*looked_at(house, incident, row)) for row in planned if row.text and row.is_page}
        return ExplainedIncident(
            incident,
            planned,
            house.zone_of(incident.chat),
            escalator.policy_of(house, incident),
            hours,
            self._rotas,
            rings.get(str(incident.id)),
            told,
            prices=Prices(house.sms.prices),
        )
