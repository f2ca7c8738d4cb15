"""How reports become incidents, plans and cards: many in one transaction, in few statements.

The rules, in short: an incident is one group of one source on one route. A firing that we know only
touches it; one that we do not know joins it, or opens it, or opens it again soon after its end. Somebody has
it and more joins: then it is nobody's again. A resolve is matched over every open incident
of its group, whatever the routes say by now. What no route wants is shown in the watch chat. So many at once
that they are a storm are called about and shown as one. After a long silence the newest webhooks are understood
before the older ones: the order of receipts decides what is news.
"""

import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from bridge import beats, escalator, links, storms, templates, texts, watch
from bridge.domain import escalation, places
from bridge.domain import storm as storm_rules
from bridge.domain.alert import NO_START, Alert, AlertStatus, Report
from bridge.domain.escalation import Policy
from bridge.domain.house import House, SourceRules
from bridge.domain.incident import STALE_WITHIN, AlertRecord, Incident, IncidentState, is_over
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


Tally = Counter[tuple[str, ...]]
"""What is to be counted once it is committed: ("suppressed", why) or ("alerts", source, status)."""

_TWIN = timedelta(minutes=1)  # the other one of a pair may say the same reminder, 15 s later
_NOWHERE = Route(name="")
_NO_POLICY = Policy("", ())
_TOKEN_BYTES = 8
_WHOLE_GROUP = ""  # the fingerprint under which the end of a whole group is remembered


@dataclass(slots=True)
class _Group:
    """What is known of one group: incidents by route, alerts by incident and the other way round."""

    open: dict[str, Incident] = field(default_factory=dict)
    ended: dict[str, Incident] = field(default_factory=dict)  # lately; the last of each route
    of_incident: defaultdict[int, dict[str, AlertRecord]] = field(default_factory=lambda: defaultdict(dict))
    of_alert: defaultdict[str, dict[int, AlertRecord]] = field(default_factory=lambda: defaultdict(dict))

    def know(self, record: AlertRecord) -> None:
        self.of_incident[record.incident_id][record.fingerprint] = record
        self.of_alert[record.fingerprint][record.incident_id] = record

    def ends(self, fingerprint: str) -> list[AlertRecord]:
        """What ended of this alert."""
        return [record for record in self.of_alert[fingerprint].values() if not record.is_firing]

    def ended_by_hand(self) -> list[AlertRecord]:
        """What a person ended while its source goes on about it."""
        return [record for records in self.of_incident.values() for record in records.values() if record.by_hand]


@dataclass(slots=True)
class _Book:
    """What one transaction has read and is about to write. Numbers from `first` on are used, and taken at the end."""

    first: int
    numbers: Iterator[int]
    groups: defaultdict[tuple[str, str], _Group] = field(default_factory=lambda: defaultdict(_Group))  # by source, key
    identities: dict[int, str] = field(default_factory=dict)  # of reports, by receipt
    last_seen: dict[tuple[str, str], datetime] = field(default_factory=dict)
    opened: dict[int, Incident] = field(default_factory=dict)
    changed: dict[int, Incident] = field(default_factory=dict)
    repeated: dict[int, Incident] = field(default_factory=dict)  # seen once more, and nothing else
    plans: dict[int, list[Notification]] = field(default_factory=dict)
    again: dict[int, str] = field(default_factory=dict)  # incidents that are triggered once more, and why
    nobody: dict[int, datetime] = field(default_factory=dict)  # incidents without an SMS, and when their chat rings
    spared: list[tuple[int, Notification]] = field(default_factory=list)  # SMS that another incident's stands for
    reminded: list[int] = field(default_factory=list)
    written: dict[tuple[int, str, str, str], AlertRecord] = field(default_factory=dict)
    timeline: list[TimelineEntry] = field(default_factory=list)
    ended: list[Incident] = field(default_factory=list)
    raging: dict[int, Incident] = field(default_factory=dict)  # storms that take in what happens to those in them
    receipts: list[Receipt] = field(default_factory=list)
    beats: dict[str, datetime] = field(default_factory=dict)  # when sources that have to be heard were
    tally: Tally = field(default_factory=Counter)

    def put(self, incident: Incident) -> None:
        """Keep an incident as it is now, new or changed."""
        group = self.groups[incident.source, incident.group_key]
        if incident.is_open:
            group.open[incident.route] = incident
            group.ended.pop(incident.route, None)
        else:
            group.open.pop(incident.route, None)
            group.ended[incident.route] = incident
        (self.opened if incident.id in self.opened else self.changed)[incident.id] = incident

    def put_again(self, incident: Incident) -> None:
        """Keep an open incident that was seen once more and reads as before: its card has nothing new to show."""
        if incident.id in self.opened or incident.id in self.changed:
            self.put(incident)
        else:
            self.groups[incident.source, incident.group_key].open[incident.route] = incident
            self.repeated[incident.id] = incident

    def note(self, record: AlertRecord) -> None:
        self.groups[record.source, record.group_key].know(record)
        self.written[record.incident_id, record.source, record.group_key, record.fingerprint] = record


class Admission:
    """Decides for the door what a batch of webhooks comes to."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def admit(self, tx: Transaction, house: House, arrived: Sequence[Parsed], now: datetime) -> Tally:
        """Write everything that these reports cause; what to `count` once that is committed."""
        book = _read(tx, house, arrived, now)
        for parsed in arrived:
            if parsed.report is None:
                _unreadable(book, parsed)
            else:
                _understand(book, house, parsed.receipt, parsed.report, now)
        _write(tx, book, house, now)
        for source, at in book.beats.items():
            beats.heard(tx, house, source, at, now)
        for parsed in arrived:
            if parsed.report is None:
                _complain(tx, house, parsed, now)
        return book.tally

    def count(self, tally: Tally) -> None:
        """A transaction may run twice, but it is committed once."""
        for (name, *labels), times in tally.items():
            (self._metrics.alerts if name == "alerts" else self._metrics.suppressed).labels(*labels).inc(times)


def foresee(
    house: House, receipt: Receipt, report: Report, now: datetime, number: int
) -> list[tuple[Incident, list[Notification], list[AlertRecord]]]:
    """The incidents that this report would open where nothing is known yet, each with its plan and what it remembers
    of its alerts; nothing is written.

    `number` is that of the first; their rows are numbered on from there.
    """
    book = _Book(number, count(number))
    _Hearing(book, house, receipt, report, now).hear()
    known = book.groups[receipt.source, report.group_key].of_incident
    return [
        (incident, book.plans.get(incident.id, []), list(known[incident.id].values()))
        for incident in book.opened.values()
    ]


def _unreadable(book: _Book, parsed: Parsed) -> None:
    book.tally["suppressed", "unreadable"] += 1
    result = {"problem": parsed.problem}
    book.receipts.append(replace(parsed.receipt, state=ReceiptState.UNREADABLE, result=result))


def _complain(tx: Transaction, house: House, parsed: Parsed, now: datetime) -> None:
    receipt = parsed.receipt
    text = f"{receipt.source} sent what I cannot read: {parsed.problem} (receipt {receipt.id}); nobody was paged"
    watch.begin(tx, house, "unreadable", text, now, subject=receipt.source)


def _understand(book: _Book, house: House, receipt: Receipt, report: Report, now: datetime) -> None:
    identity = book.identities[receipt.id]
    before = book.last_seen.get((receipt.source, identity))
    hearing = _Hearing(book, house, receipt, report, now)
    hearing.hear()
    touched = [{"id": number, "what": what} for number, what in hearing.touched.items()]
    result: dict[str, object] = {"alerts": len(report.alerts), "incidents": touched}
    rules = house.sources.get(receipt.source)
    beats_at_all = rules is not None and rules.every is not None
    if beats_at_all and not report.alerts:
        result["beat"] = report.whole_group_over
        if report.whole_group_over:
            last = book.beats.get(receipt.source, receipt.received_at)
            book.beats[receipt.source] = max(last, receipt.received_at)
    news = {"opened", "opened again", "joined", "resolved"}.intersection(hearing.touched.values())
    if before is not None and not news and not beats_at_all:
        result["repeated"] = repeated = _kind_of_repeat(house, receipt, report, receipt.received_at - before)
        book.tally["suppressed", repeated] += 1
        if repeated == "reminder":
            book.reminded += hearing.touched
    book.tally.update(("alerts", receipt.source, alert.status) for alert in report.alerts)
    book.tally["suppressed", "stale"] += hearing.stale
    book.tally["suppressed", "told_elsewhere"] += hearing.told_elsewhere
    book.last_seen[receipt.source, identity] = max(before or receipt.received_at, receipt.received_at)
    book.receipts.append(replace(receipt, state=ReceiptState.UNDERSTOOD, identity=identity, result=result))


def _kind_of_repeat(house: House, receipt: Receipt, report: Report, since: timedelta) -> str:
    """A retry or an HA twin comes soon; a reminder comes after the window, or its sender says so."""
    rules = house.sources.get(receipt.source)
    window = rules.dedup_window if rules else SourceRules("", "").dedup_window
    reminds = "repeat" in report.notification_reason and since > _TWIN
    return "reminder" if reminds or since > window else "duplicate"


class _Hearing:
    """One report against the book. `touched` tells what became of each incident it concerns."""

    def __init__(self, book: _Book, house: House, receipt: Receipt, report: Report, now: datetime) -> None:
        self._book, self._house, self._receipt, self._report, self._now = book, house, receipt, report, now
        self._at = receipt.received_at
        self._group = book.groups[receipt.source, report.group_key]
        self._heard = {alert.fingerprint: self._record(alert) for alert in report.alerts if alert.is_firing}
        self._spoken_of = set(list(self._heard)[: templates.MOST_ALERTS])  # by a template, should a route have one
        self._told: list[tuple[Notification, frozenset[str], int]] = []  # first rungs: of which alerts, which incident
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
        self._end([alert for alert in self._report.alerts if not alert.is_firing])

    def _fire(self, route: Route, note: str, alerts: Sequence[Alert]) -> None:
        fresh = [alert for alert in alerts if not self._is_old_news(self._heard[alert.fingerprint])]
        self.stale += len(alerts) - len(fresh)
        incident = self._group.open.get(route.name)
        if incident is not None:
            self._join(incident, fresh)
        elif fresh and (ended := self._ended_lately(route)):
            self._open_again(ended, fresh)
        elif fresh:
            self._open(route, note, fresh)

    def _is_old_news(self, heard: AlertRecord) -> bool:
        own = self._group.ends(heard.fingerprint)
        told = max((end.receipt for end in own), default=0)
        whole = [end for end in self._group.ends(_WHOLE_GROUP) if end.receipt > told]  # it does not name this alert
        return any(is_over(heard, end) for end in own + whole)

    def _ended_lately(self, route: Route) -> Incident | None:
        """The incident of this route that ended so lately that what fires now is the same trouble."""
        ended = self._group.ended.get(route.name)
        if ended is None or ended.ended_at is None or ended.test is not self._report.test:
            return None
        policy = self._house.policies.get(ended.policy or "", _NO_POLICY)
        return ended if self._at - ended.ended_at <= policy.reopen_within else None

    def _open_again(self, ended: Incident, alerts: Sequence[Alert]) -> None:
        book = self._book
        for alert in alerts:
            if before := self._group.of_incident[ended.id].get(alert.fingerprint):
                self._remember_end(before)
            book.note(self._of(ended, alert))
        again = replace(ended.reopen(), truncated=self._report.truncated, last_seen=self._at, storm=None)
        again = again.sharing((alert.labels for alert in alerts), afresh=True)
        storm = book.raging.get(ended.storm or 0)
        if storm is not None:
            again = storm_rules.joined(again, storm)
        if storm is not None and again.told_by_storm:
            pass  # it counts there
        elif ended.id in book.opened:  # it began and ended in this very batch: the plan it has is as good as new
            again = replace(again, first_round=ended.first_round)
        else:
            often = f"{texts.ordinal(again.outbreaks)} time in {_minutes(self._now - again.opened_at)}"
            book.again[ended.id] = f"it fires again, {often}"
        book.ended = [incident for incident in book.ended if incident.id != ended.id]
        book.put(again.describing(self._group.of_incident[ended.id].values()))
        self.touched[ended.id] = "opened again"

    def _remember_end(self, ended: AlertRecord) -> None:
        """Its place is taken by the next outbreak of the same alert: told again, this end must not end that one."""
        known = self._group.of_alert[ended.fingerprint].get(0)
        end = replace(ended, incident_id=0, by_hand=False)
        self._book.note(known.ended(end) if known else end)

    def _open(self, route: Route, note: str, alerts: Sequence[Alert]) -> None:
        book, now = self._book, self._now
        begins = route.hours.pages_at(now)
        incident = Incident(
            id=next(book.numbers),
            source=self._receipt.source,
            group_key=self._report.group_key,
            route=route.name,
            opened_at=now,
            started_at=min((alert.starts_at for alert in alerts if alert.starts_at > NO_START), default=self._at),
            policy=route.hours.policy(route.policy, begins),
            chat=route.chat,
            critical=route.critical,
            truncated=self._report.truncated,
            test=self._report.test,
            note=note,
            source_url=alerts[0].source_url,
            runbook_url=alerts[0].runbook_url,
            last_seen=self._at,
            token=secrets.token_hex(_TOKEN_BYTES),
        ).sharing((alert.labels for alert in alerts), afresh=True)
        for alert in alerts:
            book.note(self._of(incident, alert))
        book.opened[incident.id] = incident = incident.describing(self._group.of_incident[incident.id].values())
        book.put(incident)
        self.touched[incident.id] = "opened"
        policy = self._house.policies.get(incident.policy or "")
        if policy is not None:
            expires_at = max(self._at, begins) + route.ttl if route.ttl else None
            rotas = tuple(self._house.rotas)
            plan = escalation.plan(policy, incident, begins, rotas=rotas, expires_at=expires_at)
            self._plan(incident, alerts, escalation.in_hours(plan, route, now))

    def _plan(self, incident: Incident, alerts: Sequence[Alert], plan: Sequence[Notification]) -> None:
        """The plan, without the first SMS to whoever another incident of this webhook tells of all its alerts."""
        about = frozenset(alert.fingerprint for alert in alerts)
        kept: list[Notification] = []
        told: dict[int, list[str]] = {}
        for row in plan:
            teller = self._teller(row, about)
            if teller is None:
                kept.append(row)
            else:
                self._tell_for_both(teller, row)
                self._book.spared.append((teller, row))
                told.setdefault(teller, []).append(row.target)
        self._told += [(row, about, incident.id) for row in kept if (row.round, row.step) == (1, 1)]
        self._book.plans[incident.id] = links.numbered(kept, self._book.numbers)
        if not kept:  # nobody of its own is ever called
            self._book.nobody[incident.id] = max((row.due_at + row.wait for row in plan), default=self._now)
        for teller, targets in told.items():
            what = f"{', '.join(sorted(targets))} told by #{teller}"
            self._book.timeline.append(TimelineEntry(incident.id, self._now, what))
            self.told_elsewhere += len(targets)

    def _teller(self, row: Notification, about: frozenset[str]) -> int | None:
        """The incident whose first SMS says all that this one would, no later."""
        if (row.round, row.step) != (1, 1):
            return None
        return next(
            (
                number
                for told, told_of, number in self._told
                if told.target == row.target and told.due_at <= row.due_at and about <= told_of
            ),
            None,
        )

    def _tell_for_both(self, teller: int, spared: Notification) -> None:
        """One SMS stands for two: as urgent as the more urgent one, worth sending as long as the longer one.

        A source cannot take it back from one of them alone: the teller has all alerts of the other, and an alert
        ends in both at once. A person who ends the teller by hand before it left spares this SMS for both.
        """
        self._book.plans[teller] = [
            replace(
                row,
                priority=min(row.priority, spared.priority),
                expires_at=max(row.expires_at, spared.expires_at) if row.expires_at and spared.expires_at else None,
            )
            if (row.round, row.step, row.target) == (1, 1, spared.target)
            else row
            for row in self._book.plans[teller]
        ]

    def _join(self, incident: Incident, alerts: Sequence[Alert]) -> None:
        known = self._group.of_incident[incident.id]
        seen = self._seen(incident, self._report.truncated)  # before this webhook's own alerts are noted
        before_it, incident = incident, incident.sharing(alert.labels for alert in alerts)
        joined, the_same = False, incident == before_it
        for alert in alerts:
            heard = self._of(incident, alert)
            before = known.get(alert.fingerprint)
            if before is None or not before.is_firing or heard.starts_at > before.starts_at:
                joined = True
            elif (heard.starts_at, heard.receipt) < (before.starts_at, before.receipt):
                continue  # an HA twin that lags behind, or an older webhook understood late
            the_same = the_same and before is not None and heard.describes_as(before)
            self._book.note(heard)
        if joined and incident.state is IncidentState.ACKNOWLEDGED and not self._in_raging_storm(incident):
            incident = replace(incident.trigger_again(), storm=None)
            self._book.again[incident.id] = "more has joined it"
        if the_same and seen["truncated"] == incident.truncated and incident.firing == _firing(known):
            self._book.put_again(replace(incident, last_seen=seen["last_seen"]))
        else:
            self._book.put(incident.describing(known.values(), **seen))
        self.touched[incident.id] = "joined" if joined else "repeated"
        if joined:
            what = f"{_firing(known)} firing now"
            self._book.timeline.append(TimelineEntry(incident.id, self._now, what, incident.source))

    def _in_raging_storm(self, incident: Incident) -> bool:
        """Whether whoever has it has a storm that it is part of, and knows that it grows."""
        return incident.told_by_storm and incident.storm in self._book.raging

    def _end(self, over: Sequence[Alert]) -> None:
        """Match resolves over every open incident of the group, whatever the routes say by now."""
        whole = self._report.whole_group_over
        if not over and not whole:
            return
        ends = {alert.fingerprint: self._end_of(alert.fingerprint, alert.starts_at) for alert in over}
        if whole:
            latest = max((alert.starts_at for alert in over), default=NO_START)
            ends[_WHOLE_GROUP] = self._end_of(_WHOLE_GROUP, latest)
        for incident in list(self._group.open.values()):
            firing = [record for record in self._group.of_incident[incident.id].values() if record.is_firing]
            seen = self._seen(incident, 0 if whole else self._report.truncated)
            ended = 0
            for record in firing:
                end = ends.get(record.fingerprint) or ends.get(_WHOLE_GROUP)
                if end is not None and is_over(record, end) and not self._is_echo(end, record):
                    self._book.note(record.ended(end))
                    ended += 1
            if ended or (whole and not firing):
                self._ease(incident, seen)
        for record in self._group.ended_by_hand():
            if end := ends.get(record.fingerprint) or ends.get(_WHOLE_GROUP):
                self._book.note(record.ended(end))
        for end in ends.values():
            known = self._group.ends(end.fingerprint)
            if not any(record.starts_at >= end.starts_at and record.receipt >= end.receipt for record in known):
                # It came without its firing: should the firing come late, it is old news.
                before = self._group.of_alert[end.fingerprint].get(end.incident_id)
                self._book.note(before.ended(end) if before else end)

    def _is_echo(self, end: AlertRecord, record: AlertRecord) -> bool:
        """Whether an end that is a moment too early was heard before, and so is about an earlier outbreak."""
        early = NO_START < end.starts_at < record.starts_at
        return early and any(known.starts_at >= end.starts_at for known in self._group.ends(end.fingerprint))

    def _seen(self, incident: Incident, truncated: int) -> dict[str, Any]:
        """What changes of an incident that is seen once more.

        A webhook understood late does not say how many the sender leaves out now.
        """
        known = self._group.of_incident[incident.id].values()
        late = any(record.receipt > self._receipt.id for record in known)
        last_seen = max(incident.last_seen or self._at, self._at)
        return {"last_seen": last_seen, "truncated": incident.truncated if late else truncated}

    def _ease(self, incident: Incident, seen: dict[str, Any]) -> None:
        """Some of it ended: all of it, when nothing fires and the sender left nothing out."""
        left = incident.describing(self._group.of_incident[incident.id].values(), **seen)
        if left.firing or left.truncated:
            self._book.put(left)
            if self.touched.get(incident.id) != "joined":
                self.touched[incident.id] = "eased"
            what = f"{left.firing} firing still"
            self._book.timeline.append(TimelineEntry(incident.id, self._now, what, incident.source))
        else:
            left = left.resolve(incident.source, self._at)
            self._book.put(left)
            self.touched[incident.id] = "resolved"
            self._book.ended.append(left)

    def _of(self, incident: Incident, alert: Alert) -> AlertRecord:
        """A firing alert as it is remembered of this incident: with its words where its route's template needs them."""
        heard = replace(self._heard[alert.fingerprint], incident_id=incident.id)
        if not self._house.template_of(incident.route) or alert.fingerprint not in self._spoken_of:
            return heard
        report = self._report
        group = {"receiver": report.receiver, "groupLabels": dict(report.group_labels), "externalURL": report.url}
        return replace(heard, told=templates.kept(alert.labels, alert.annotations, group, alert.source_url))

    def _record(self, alert: Alert) -> AlertRecord:
        """A firing alert as it is remembered, as yet of no incident."""
        which = places.telling(alert.labels, self._house.sms.where)
        place = next(map(places.without_port, which.values()), "")
        return AlertRecord(
            incident_id=0,
            source=self._receipt.source,
            group_key=self._report.group_key,
            fingerprint=alert.fingerprint,
            starts_at=alert.starts_at,
            status=AlertStatus.FIRING,
            name=alert.name,
            place=place,
            fact=texts.fact(alert, place),
            severity=alert.severity,
            last_seen=self._at,
            receipt=self._receipt.id,
            which=which,
        )

    def _end_of(self, fingerprint: str, starts_at: datetime) -> AlertRecord:
        """That an alert ended, as it is remembered when its firing is not known; or what a whole group had by then."""
        return AlertRecord(
            incident_id=0,
            source=self._receipt.source,
            group_key=self._report.group_key,
            fingerprint=fingerprint,
            starts_at=starts_at,
            status=AlertStatus.RESOLVED,
            name="",
            place="",
            fact="",
            severity="",
            last_seen=self._at,
            ended_at=self._at,
            receipt=self._receipt.id,
        )


def _read(tx: Transaction, house: House, arrived: Sequence[Parsed], now: datetime) -> _Book:
    first = tx.numbers(0).start
    book = _Book(first, count(first))
    groups: set[tuple[str, str]] = set()
    identities: dict[str, set[str]] = defaultdict(set)
    for parsed in arrived:
        if parsed.report:
            groups.add((parsed.receipt.source, parsed.report.group_key))
            book.identities[parsed.receipt.id] = identity = parsed.report.identity
            identities[parsed.receipt.source].add(identity)
    for incident in tx.open_incidents(groups):
        book.groups[incident.source, incident.group_key].open[incident.route] = incident
    oldest = min(parsed.receipt.received_at for parsed in arrived)
    longest = max(policy.reopen_within for policy in (_NO_POLICY, *house.policies.values()))
    for incident in tx.ended_incidents(groups, oldest - longest):
        book.groups[incident.source, incident.group_key].ended[incident.route] = incident
    known = [one for group in book.groups.values() for one in (*group.open.values(), *group.ended.values())]
    book.raging = storms.raging(tx, house, known, now)
    for record in tx.alert_records(groups, oldest - max(STALE_WITHIN, longest)):
        book.groups[record.source, record.group_key].know(record)
    for source, wanted in identities.items():
        book.last_seen.update({(source, key): at for key, at in tx.last_seen(source, wanted).items()})
    return book


def _write(tx: Transaction, book: _Book, house: House, now: datetime) -> None:
    taken = tx.numbers(next(book.numbers) - book.first)
    assert taken.start == book.first, "somebody else took numbers in this transaction"
    if book.changed:
        tx.save_incidents(book.changed.values())  # first: what ended makes room for what opens with the same key
    tx.touch_incidents(one for number, one in book.repeated.items() if number not in book.changed)
    gathered = storms.gather(tx, house, book.opened.values(), now)
    book.opened |= gathered.members
    rows = [row for number, plan in book.plans.items() if not book.opened[number].told_by_storm for row in plan]
    # The SMS that was to tell of it never leaves, and a storm may be somebody's already.
    alone = [row for teller, row in book.spared if book.opened[teller].told_by_storm]
    alone = [row for row in alone if not book.opened[row.incident_id or 0].told_by_storm]
    rows += links.numbered(alone, tx.numbers(len(alone)))
    if book.opened:
        tx.add_incidents(book.opened.values())
    if book.written:
        tx.save_alerts(book.written.values())
    if rows:
        tx.add_notifications(rows)
        tx.wake("sender")
    for number, at in book.nobody.items():
        if not book.opened[number].told_by_storm:
            escalator.ring_at(tx, house, book.opened[number], at)
    single = [incident for incident in book.opened.values() if incident.storm is None]
    tx.add_cards(_cards(house, single, now))
    storms.show(tx, house, gathered, now)
    ended = {incident.id: incident.source for incident in book.ended}
    if ended:
        tx.cancel_planned(ended, "over before it was sent", now)
        tx.bump_cards(CardKind.INCIDENT, ended, now, urgent=True)
        told = [incident for incident in book.ended if incident.id in book.changed]
        for rung in (incident for incident in told if incident.rings):
            escalator.quiet(tx, rung.id)
        escalator.let_speak(tx, ended, now)
        escalator.tell_of_end(tx, house, told, now)
    if shown := [number for number in book.changed if number not in ended]:
        tx.bump_cards(CardKind.INCIDENT, shown, now)
    grouped = {one.storm for one in (*book.changed.values(), *book.opened.values()) if one.storm is not None}
    storms.settle(tx, house, grouped, next(iter(ended.values()), ""), now)
    for number, why in book.again.items():
        _once_more(tx, house, book.changed[number], why, now)
    for number in dict.fromkeys(book.reminded):
        _remind(tx, house, number, now)
    entries = [TimelineEntry(incident.id, now, "opened", incident.source) for incident in book.opened.values()]
    entries += book.timeline
    entries += [TimelineEntry(number, now, "over", source) for number, source in ended.items()]
    if entries:
        tx.add_timeline(entries)
    tx.save_receipts(book.receipts)
    tx.wake("reporter")


def _once_more(tx: Transaction, house: House, incident: Incident, why: str, now: datetime) -> None:
    """A new plan, first to who had it, and a message that rings."""
    if not incident.is_open:
        return  # the same batch said that it is over
    tx.cancel_planned([incident.id], why, now)
    tx.add_timeline([TimelineEntry(incident.id, now, why, incident.source)])
    escalator.begin(tx, house, incident, now, first=incident.acknowledged_by)
    escalator.ring(tx, house, incident, now, why)


def _remind(tx: Transaction, house: House, number: int, now: datetime) -> None:
    """Its source reminds of it: where the policy says so, it climbs once more."""
    incident = tx.incident(number)
    if incident is None or incident.state is not IncidentState.TRIGGERED or incident.told_by_storm:
        return
    policy = escalator.policy_of(house, incident)
    if policy is None or not policy.remind or escalation.in_flight(escalator.in_force(tx, incident)):
        return
    again = incident.trigger_again()
    tx.save_incidents([again])
    tx.add_timeline([TimelineEntry(number, now, "its source reminds of it", incident.source)])
    escalator.begin(tx, house, again, now)


def _firing(records: Mapping[str, AlertRecord]) -> int:
    return sum(record.is_firing for record in records.values())


def _minutes(span: timedelta) -> str:
    return f"{max(1, round(span / timedelta(minutes=1)))} min"


def _cards(house: House, opened: Iterable[Incident], now: datetime) -> Iterator[Card]:
    """One for every incident that has a chat to be shown in."""
    for incident in opened:
        if place := _place(house, incident):
            route = house.route(incident.route)
            silent, over = route is not None and route.silent, not incident.is_open
            yield Card(0, CardKind.INCIDENT, incident.id, place, ring=not silent, urgent=over, changed_at=now)


def _routes(house: House, receipt: Receipt, alert: Alert) -> list[tuple[Route, str]]:
    """Which routes an alert takes, each with a note when something about that is odd."""
    rules = house.sources.get(receipt.source)
    bounded = rules.routes if rules else frozenset[str]()
    if receipt.route is not None:
        if named := house.route(receipt.route):
            return [(named, "")]
        note = f'no route is called "{receipt.route}"'
    else:
        if taken := [r for r in matching(house.routes, alert.labels) if not bounded or r.name in bounded]:
            return [(route, "") for route in taken]
        note = "no route matched"
    return [(replace(_NOWHERE, chat=house.watch.chat), note)]


def _place(house: House, incident: Incident) -> Place | None:
    chat = house.chats.get(incident.chat or "")
    return Place(chat.id, chat.topic) if chat else None
