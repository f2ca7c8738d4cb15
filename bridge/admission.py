"""How reports become incidents, plans and cards: many in one transaction, in few statements.

The rules, in short: an incident is one group of one source on one route. A firing that we know only
touches it; one that we do not know joins it, or opens it. A resolve is matched over every open incident
of its group, whatever the routes say by now. What no route wants is shown in the watch chat.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bridge import texts, watch
from bridge.domain import escalation
from bridge.domain.alert import NO_START, Alert, AlertStatus, Report
from bridge.domain.house import House, SourceRules
from bridge.domain.incident import STALE_WITHIN, AlertRecord, Incident, is_stale
from bridge.domain.notification import Notification
from bridge.domain.routing import Route, matching
from bridge.metrics import Metrics
from bridge.ports import Card, CardKind, Place, Receipt, ReceiptState, TimelineEntry, Transaction


@dataclass(frozen=True, slots=True)
class Parsed:
    """A receipt, and what it says: a report, or why it could not be read."""

    receipt: Receipt
    report: Report | None
    problem: str = ""


Group = tuple[str, str]  # source, group_key
_NOWHERE = Route(name="")


@dataclass(slots=True)
class _Book:
    """What one transaction has read and is about to write. New incidents have negative ids until the end."""

    open: dict[Group, dict[str, Incident]]
    records: dict[Group, dict[tuple[int, str], AlertRecord]]
    last_seen: dict[tuple[str, str], datetime]
    opened: dict[int, Incident] = field(default_factory=dict)
    changed: dict[int, Incident] = field(default_factory=dict)
    plans: dict[int, list[Notification]] = field(default_factory=dict)
    written: dict[tuple[int, Group, str], AlertRecord] = field(default_factory=dict)
    timeline: list[TimelineEntry] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)

    def put(self, incident: Incident) -> None:
        """Keep an incident as it is now, new or changed."""
        group = (incident.source, incident.group_key)
        if incident.is_open:
            self.open[group][incident.route] = incident
        else:
            self.open[group].pop(incident.route, None)
        (self.opened if incident.id < 0 else self.changed)[incident.id] = incident

    def note(self, record: AlertRecord) -> None:
        group = (record.source, record.group_key)
        self.records[group][record.incident_id, record.fingerprint] = record
        self.written[record.incident_id, group, record.fingerprint] = record

    def of(self, incident: Incident) -> list[AlertRecord]:
        group = (incident.source, incident.group_key)
        return [r for (number, _), r in self.records[group].items() if number == incident.id]


class Admission:
    """Decides for the door what a batch of webhooks comes to."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def admit(self, tx: Transaction, house: House, arrived: Sequence[Parsed], now: datetime) -> None:
        """Write everything that these reports cause."""
        book = _read(tx, arrived, now)
        for parsed in arrived:
            if parsed.report is None:
                self._unreadable(tx, book, house, parsed, now)
            else:
                self._understand(book, house, parsed.receipt, parsed.report, now)
        _write(tx, book, house, now)

    def _unreadable(self, tx: Transaction, book: _Book, house: House, parsed: Parsed, now: datetime) -> None:
        receipt = parsed.receipt
        self._metrics.suppressed.labels("unreadable").inc()
        book.receipts.append(replace(receipt, state=ReceiptState.UNREADABLE, result={"problem": parsed.problem}))
        text = f"{receipt.source} sent what I cannot read: {parsed.problem} (receipt {receipt.id}); nobody was paged"
        watch.begin(tx, house, "unreadable", text, now, subject=receipt.source)

    def _understand(self, book: _Book, house: House, receipt: Receipt, report: Report, now: datetime) -> None:
        for alert in report.alerts:
            self._metrics.alerts.labels(receipt.source, alert.status).inc()
        before = book.last_seen.get((receipt.source, report.identity))
        hearing = _Hearing(book, house, receipt, report, now)
        hearing.hear()
        self._metrics.suppressed.labels("stale").inc(hearing.stale)
        self._metrics.suppressed.labels("told_elsewhere").inc(hearing.told_elsewhere)
        result: dict[str, object] = {"alerts": len(report.alerts), "incidents": hearing.touched}
        news = {"opened", "joined", "resolved"}.intersection(hearing.touched.values())
        if before is not None and not news:
            result["repeated"] = _kind_of_repeat(house, receipt, report, now - before)
            self._metrics.suppressed.labels(result["repeated"]).inc()
        book.last_seen[receipt.source, report.identity] = now
        book.receipts.append(replace(receipt, state=ReceiptState.UNDERSTOOD, identity=report.identity, result=result))


def _kind_of_repeat(house: House, receipt: Receipt, report: Report, since: timedelta) -> str:
    """A retry or an HA twin comes soon; a reminder comes after the window, or its sender says so."""
    rules = house.sources.get(receipt.source)
    window = rules.dedup_window if rules else SourceRules("", "").dedup_window
    return "reminder" if "repeat" in report.notification_reason or since > window else "duplicate"


class _Hearing:
    """One report against the book. `touched` tells what became of each incident it concerns."""

    def __init__(self, book: _Book, house: House, receipt: Receipt, report: Report, now: datetime) -> None:
        self._book, self._house, self._receipt, self._report, self._now = book, house, receipt, report, now
        self._group = (receipt.source, report.group_key)
        self._paged: set[str] = set()  # with `continue`, one receipt texts a person once
        self.touched: dict[int, str] = {}
        self.stale = 0
        self.told_elsewhere = 0

    def hear(self) -> None:
        taken: dict[str, tuple[Route, str, list[Alert]]] = {}
        for alert in self._report.alerts:
            if alert.is_firing:
                for route, note in _routes(self._house, self._receipt, alert):
                    taken.setdefault(route.name, (route, note, []))[2].append(alert)
        for route, note, alerts in taken.values():
            self._fire(route, note, alerts)
        if over := [alert for alert in self._report.alerts if not alert.is_firing]:
            self._end(over)

    def _fire(self, route: Route, note: str, alerts: Sequence[Alert]) -> None:
        known = list(self._book.records[self._group].values())
        fresh = [a for a in alerts if not is_stale(a.starts_at, _of_alert(known, a), self._now)]
        self.stale += len(alerts) - len(fresh)
        incident = self._book.open[self._group].get(route.name)
        if incident is not None:
            self._join(incident, fresh)
        elif fresh:
            self._open(route, note, fresh)

    def _open(self, route: Route, note: str, alerts: Sequence[Alert]) -> None:
        book, now = self._book, self._now
        incident = Incident(
            id=-(len(book.opened) + 1),
            source=self._receipt.source,
            group_key=self._report.group_key,
            route=route.name,
            opened_at=now,
            started_at=min((alert.starts_at for alert in alerts if alert.starts_at > NO_START), default=now),
            policy=route.policy,
            chat=route.chat,
            critical=route.critical,
            truncated=self._report.truncated,
            test=self._report.test,
            note=note,
            source_url=alerts[0].source_url,
            runbook_url=alerts[0].runbook_url,
            last_seen=now,
        )
        for alert in alerts:
            book.note(_record(incident, alert, self._house, now))
        incident = incident.describing(book.of(incident))
        book.put(incident)
        self.touched[incident.id] = "opened"
        policy = self._house.policies.get(route.policy or "")
        if policy is not None:
            expires_at = self._receipt.received_at + route.ttl if route.ttl else None
            self._plan(incident, escalation.plan(policy, incident, now, expires_at))

    def _plan(self, incident: Incident, plan: Sequence[Notification]) -> None:
        kept = [row for row in plan if row.step > 1 or row.target not in self._paged]
        if told := sorted({row.target for row in plan} - {row.target for row in kept}):
            what = f"{', '.join(told)} told by another incident of the same webhook"
            self._book.timeline.append(TimelineEntry(incident.id, self._now, what))
            self.told_elsewhere += len(told)
        self._paged.update(row.target for row in kept if row.step == 1)
        self._book.plans[incident.id] = kept

    def _join(self, incident: Incident, alerts: Sequence[Alert]) -> None:
        book, now = self._book, self._now
        records = {record.fingerprint: record for record in book.of(incident)}
        joined = False
        for alert in alerts:
            known = records.get(alert.fingerprint)
            joined = joined or known is None or not known.is_firing or alert.starts_at > known.starts_at
            book.note(_record(incident, alert, self._house, now))
        seen = replace(incident, last_seen=now, truncated=self._report.truncated).describing(book.of(incident))
        book.put(seen)
        self.touched[incident.id] = "joined" if joined else "repeated"
        if joined:
            book.timeline.append(TimelineEntry(incident.id, now, f"{seen.firing} firing now", incident.source))

    def _end(self, over: Sequence[Alert]) -> None:
        """Match resolves over every open incident of the group, whatever the routes say by now."""
        whole, now = self._report.whole_group_over, self._now
        latest = max(alert.starts_at for alert in over)
        for incident in list(self._book.open[self._group].values()):
            firing = {record.fingerprint: record for record in self._book.of(incident) if record.is_firing}
            ended = [firing[a.fingerprint] for a in over if a.fingerprint in firing and _ends(a, firing[a.fingerprint])]
            if whole:
                ended = [record for record in firing.values() if record.starts_at <= latest or latest == NO_START]
            for record in ended:
                self._book.note(replace(record, status=AlertStatus.RESOLVED, ended_at=now, last_seen=now))
            if ended or whole:
                self._ease(replace(incident, last_seen=now, truncated=0 if whole else self._report.truncated))
        for alert in over:
            if not _of_alert(self._book.records[self._group].values(), alert):
                self._book.note(_tombstone(self._receipt.source, self._report.group_key, alert, now))

    def _ease(self, incident: Incident) -> None:
        """Some of it ended: all of it, when nothing fires and the sender left nothing out."""
        left = incident.describing(self._book.of(incident))
        if left.firing or left.truncated:
            self._book.put(left)
            if self.touched.get(incident.id) != "joined":
                self.touched[incident.id] = "eased"
            what = f"{left.firing} firing still"
            self._book.timeline.append(TimelineEntry(incident.id, self._now, what, incident.source))
        else:
            self._book.put(left.resolve(incident.source, self._now))
            self.touched[incident.id] = "resolved"
            self._book.ended.append(incident.id)


def _read(tx: Transaction, arrived: Sequence[Parsed], now: datetime) -> _Book:
    groups: set[Group] = set()
    identities: dict[str, set[str]] = defaultdict(set)
    for parsed in arrived:
        if parsed.report:
            groups.add((parsed.receipt.source, parsed.report.group_key))
            identities[parsed.receipt.source].add(parsed.report.identity)
    book = _Book(open={group: {} for group in groups}, records={group: {} for group in groups}, last_seen={})
    for incident in tx.open_incidents(groups):
        book.open[incident.source, incident.group_key][incident.route] = incident
    for record in tx.alert_records(groups, now - STALE_WITHIN):
        book.records[record.source, record.group_key][record.incident_id, record.fingerprint] = record
    for source, wanted in identities.items():
        book.last_seen.update({(source, key): at for key, at in tx.last_seen(source, wanted).items()})
    return book


def _write(tx: Transaction, book: _Book, house: House, now: datetime) -> None:
    """New incidents and their plans get their numbers here, each incident's before its SMS."""
    numbers = iter(tx.numbers(len(book.opened) + sum(len(plan) for plan in book.plans.values())))
    real: dict[int, int] = {}
    rows: list[Notification] = []
    for temporary in book.opened:
        real[temporary] = next(numbers)
        rows += [replace(row, id=next(numbers), incident_id=real[temporary]) for row in book.plans.get(temporary, ())]
    opened = [replace(incident, id=real[temporary]) for temporary, incident in book.opened.items()]
    if opened:
        tx.add_incidents(opened)
    if book.changed:
        tx.save_incidents(book.changed.values())
    if book.written:
        tx.save_alerts(replace(r, incident_id=real.get(r.incident_id, r.incident_id)) for r in book.written.values())
    if rows:
        tx.add_notifications(rows)
        tx.wake("sender")
    for incident in opened:
        if place := _place(house, incident):
            route = house.route(incident.route)
            silent = route is not None and route.silent
            tx.add_card(
                Card(
                    0,
                    CardKind.INCIDENT,
                    incident.id,
                    place,
                    ring=not silent,
                    urgent=not incident.is_open,
                    changed_at=now,
                )
            )
    ended = [real.get(number, number) for number in book.ended]
    if ended:
        tx.cancel_planned(ended, "over before it was sent", now)
        tx.bump_cards(CardKind.INCIDENT, ended, now, urgent=True)
    if shown := [number for number in book.changed if number not in ended]:
        tx.bump_cards(CardKind.INCIDENT, shown, now)
    entries = [TimelineEntry(incident.id, now, "opened", incident.source) for incident in opened]
    entries += [replace(entry, subject=real.get(entry.subject, entry.subject)) for entry in book.timeline]
    entries += [TimelineEntry(number, now, "over", _source(book, real, number)) for number in ended]
    if entries:
        tx.add_timeline(entries)
    tx.save_receipts(replace(receipt, result=_renumbered(receipt.result, real)) for receipt in book.receipts)
    tx.wake("reporter")


def _source(book: _Book, real: dict[int, int], number: int) -> str:
    temporary = next((t for t, r in real.items() if r == number), number)
    return (book.opened.get(temporary) or book.changed[temporary]).source


def _renumbered(result: object, real: dict[int, int]) -> dict[str, object]:
    """A receipt's result with its incidents as a list of {"id", "what"}."""
    assert isinstance(result, dict)
    if "incidents" not in result:
        return result
    listed = [{"id": real.get(number, number), "what": what} for number, what in result["incidents"].items()]
    return {**result, "incidents": listed}


def _routes(house: House, receipt: Receipt, alert: Alert) -> list[tuple[Route, str]]:
    """Which routes an alert takes, each with a note when something about that is odd."""
    rules = house.sources.get(receipt.source)
    bounded = rules.routes if rules else frozenset[str]()
    astray = replace(_NOWHERE, chat=house.watch.chat)
    if receipt.route is not None:
        named = house.route(receipt.route)
        return [(named, "")] if named else [(astray, f'no route is called "{receipt.route}"')]
    taken = [r for r in matching(house.routes, dict(alert.labels)) if not bounded or r.name in bounded]
    return [(route, "") for route in taken] or [(astray, "no route matched")]


def _record(incident: Incident, alert: Alert, house: House, now: datetime) -> AlertRecord:
    place = texts.place(alert.labels, house.sms.where)
    return AlertRecord(
        incident_id=incident.id,
        source=incident.source,
        group_key=incident.group_key,
        fingerprint=alert.fingerprint,
        starts_at=alert.starts_at,
        status=AlertStatus.FIRING,
        name=alert.name,
        place=place,
        fact=texts.fact(alert, place),
        severity=alert.severity,
        last_seen=now,
    )


def _tombstone(source: str, group_key: str, alert: Alert, now: datetime) -> AlertRecord:
    """A resolve that came without its firing: should the firing come late, it is old news."""
    return AlertRecord(
        incident_id=0,
        source=source,
        group_key=group_key,
        fingerprint=alert.fingerprint,
        starts_at=alert.starts_at,
        status=AlertStatus.RESOLVED,
        name=alert.name,
        place="",
        fact="",
        severity="",
        last_seen=now,
        ended_at=now,
    )


def _of_alert(records: Iterable[AlertRecord], alert: Alert) -> list[AlertRecord]:
    return [record for record in records if record.fingerprint == alert.fingerprint]


def _ends(alert: Alert, record: AlertRecord) -> bool:
    """Whether a resolve is about this outbreak, not about an earlier one."""
    return alert.starts_at >= record.starts_at or alert.starts_at == NO_START


def _place(house: House, incident: Incident) -> Place | None:
    chat = house.chats.get(incident.chat or "")
    return Place(chat.id, chat.topic) if chat else None
