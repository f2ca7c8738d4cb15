"""What a webhook would do: the real intake, door and outbox on a database that is thrown away, and no gateway."""

import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from bridge.config import Config
from bridge.dispatcher import Dispatcher
from bridge.domain.alert import Alert, Report
from bridge.domain.house import House
from bridge.domain.incident import Incident
from bridge.domain.notification import Notification, State
from bridge.intake import Intake
from bridge.metrics import Metrics
from bridge.outbox import Outbox
from bridge.ports import Live, Receipt, Store, Submitted, Transaction
from bridge.sources import NotJson, parse, read_json
from storage import open_store

# Numbers are said in every SMS: one of four digits makes its length the usual one.
_NUMBERS_BEFORE = 1041
_MOST_ROWS = 10_000


class CannotExplain(Exception):
    """The webhook would be refused at the door; one sentence."""


@dataclass(frozen=True, slots=True)
class ExplainedAlert:
    """One alert of the webhook, and the routes it takes; an empty name stands for "no route matched"."""

    alert: Alert
    routes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExplainedIncident:
    """An incident it would open, with every SMS of its plan, each as it would leave."""

    incident: Incident
    planned: tuple[Notification, ...]
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would happen. `problem`: the webhook cannot be read, and nobody would be paged."""

    source: str
    alerts: tuple[ExplainedAlert, ...] = ()
    group_key: str = ""
    incidents: tuple[ExplainedIncident, ...] = ()
    problem: str = ""


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
    """Rehearse this webhook on an empty history. Raises CannotExplain when it would not even be kept."""
    house = config.house
    rules = house.sources.get(source)
    if rules is None:
        raise CannotExplain(f"no source is called {source}; there are: {', '.join(house.sources) or 'none'}")
    if route is not None and rules.routes and route not in rules.routes:
        raise CannotExplain(f"source {source} may not name route {route} (403); sources.{source}.routes bounds it")
    if len(body) > config.server.max_body:
        raise CannotExplain(f"larger than server.max_body, {config.server.max_body} bytes (413)")
    try:
        read_json(body)
    except NotJson as error:
        raise CannotExplain(f"not JSON (400): {error}") from error
    with tempfile.TemporaryDirectory(prefix="sms-bridge-explain-") as folder:
        return await _Rehearsal(house, now).play(Path(folder) / "explain.db", source, body, route)


class _Rehearsal:
    def __init__(self, house: House, now: datetime) -> None:
        self._house = house
        self._clock = _TimeTravel(now)
        self._report: Report | None = None

    async def play(self, path: Path, source: str, body: bytes, route: str | None) -> Explanation:
        house, metrics = Live(self._house), Metrics()
        async with open_store(path) as store:
            await store.write(lambda tx: tx.numbers(_NUMBERS_BEFORE))
            dispatcher = Dispatcher(store, self._clock, house, metrics)
            receipt = await dispatcher.keep_webhook(source, route, {}, body)
            await Intake(store, dispatcher, self._parse, house, self._clock).run()
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
            for row in await outbox.claim(_MOST_ROWS):
                await outbox.record(row, Submitted(f"rehearsal {row.id}"))

    def _seen(self, tx: Transaction, number: int) -> Explanation:
        receipt = tx.receipt(number)
        assert receipt is not None
        report = self._report
        if report is None or "problem" in receipt.result:
            return Explanation(receipt.source, problem=str(receipt.result["problem"]))
        incidents = {one.id: one for one in tx.incidents(open_only=False, limit=_MOST_ROWS)}
        routes: dict[str, list[str]] = {}
        for record in tx.alert_records([(receipt.source, report.group_key)], receipt.received_at):
            if record.incident_id in incidents:
                routes.setdefault(record.fingerprint, []).append(incidents[record.incident_id].route)
        alerts = tuple(ExplainedAlert(alert, tuple(routes.get(alert.fingerprint, ()))) for alert in report.alerts)
        opened = tuple(
            ExplainedIncident(one, tuple(tx.notifications_of([one.id])), self._house.zone_of(one.chat))
            for _, one in sorted(incidents.items())
        )
        return Explanation(receipt.source, alerts, report.group_key, opened)
