"""Whatever is asked, answered, lost, restarted and reloaded: no window ever holds more than its limit.

The model is a ledger of what may have reached Mobizon: every claim, less those that Mobizon certainly did not take.
A text larger than a whole window is the one exception that the limits make: it goes alone.
"""

import asyncio
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from bridge.budget import TOKEN, Budget, Closed
from bridge.dispatcher import Accepted, Asker, Denied, Dispatcher, SmsRequest
from bridge.domain.house import House, Person, Role, SmsRules
from bridge.domain.incident import Incident
from bridge.domain.notification import WATCH, Event, Held, Notification, Priority, State
from bridge.domain.phone import PhoneNumber
from bridge.domain.routing import Route
from bridge.domain.throttle import AnyWindow, Limits, Month, Scope, Window
from bridge.metrics import Metrics
from bridge.outbox import Outbox
from bridge.ports import ListedMessage, Live, Lost, Refused, SendOutcome, Store, Submitted, Transaction, Unreachable
from storage import migrate, open_store
from storage.transaction import SqlTransaction
from tests.fakes import FakeClock
from tests.faults.tracing import LONG

T = TypeVar("T")
EXAMPLES, STEPS = (20_000, 60) if LONG else (25, 40)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ZONE = ZoneInfo("Asia/Almaty")
NAMES = ("aigerim", "dana", "magnum")
PEOPLE = {name: Person(name, PhoneNumber(f"+7701000000{n}"), n, Role.OPERATOR) for n, name in enumerate(NAMES, start=1)}
ASKERS = ("dana", "aigerim", f"{TOKEN}scripts")
LIMITS = (
    Limits((Window(5 * MINUTE, 3), Window(HOUR, 7)), (Window(HOUR, 10), Window(DAY, 20)), 0.7),
    Limits((Window(5 * MINUTE, 2),), (Window(HOUR, 4),), 0.5),
    Limits((Window(HOUR, 1),), (Window(10 * MINUTE, 3),), 1.0),
    Limits((Window(HOUR, 4), Month(12, ZONE)), (Window(HOUR, 8), Month(20, ZONE)), per_asker=(Window(HOUR, 2),)),
    Limits((Window(HOUR, 9),), (Window(HOUR, 12),), soft=0.3),
    Limits((Window(HOUR, 9),), (Window(HOUR, 40),), per_asker=(Window(10 * MINUTE, 1), Month(5, ZONE))),
)
ROUTES = (
    (Route("db"), Route("web"), Route("core", critical=True)),
    (Route("db", limits=(Window(HOUR, 2),)), Route("web", limits=(Month(6, ZONE),)), Route("core", critical=True)),
    (Route("db"), Route("web", limits=(Window(DAY, 5),)), Route("core", critical=True, limits=(Window(HOUR, 3),))),
)


Config = tuple[Limits, tuple[Route, ...]]
WIDE = Limits((Window(HOUR, 99),), (Window(HOUR, 99),), 1.0, soft=1.0)
FEW = (Route("db", limits=(Window(HOUR, 2),)), Route("web", limits=(Window(HOUR, 2),)), Route("core", critical=True))


class Inline:
    """A Store on one connection, without threads, in a transaction that is never committed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def write(self, fn: Callable[[Transaction], T], **turn: bool) -> T:
        tx = SqlTransaction(self._connection)
        result = fn(tx)
        tx.finish()
        return result

    async def read(self, fn: Callable[[Transaction], T]) -> T:
        return fn(SqlTransaction(self._connection))

    def on_commit(self, hook: Callable[[Collection[str]], None]) -> None:
        """Nobody waits here."""


class ForgetsTheLost(Outbox):
    """Planted: an SMS whose answer was lost no longer counts."""

    def _record(self, tx: Transaction, house: House, sent: Notification, outcome: SendOutcome, now: datetime) -> Any:
        row = super()._record(tx, house, sent, outcome, now)
        if row.state is State.UNCERTAIN:
            tx.save_notification(replace(row, claimed_at=None), row)
        return row


class CountsOnlyWhatArrived(Outbox):
    """Planted: what is on the wire takes no room yet."""

    async def claim(self, limit: int) -> list[Notification]:
        claimed = await super().claim(limit)
        for row in claimed:
            later = replace(row, claimed_at=None)
            await self._store.write(lambda tx, row=row, later=later: tx.save_notification(later, row))  # type: ignore[misc]
        return claimed


class Misjudges(Outbox):
    """Planted below: an outbox that sees other limits, or other purses, than there are."""

    def _budget(self, tx: Transaction, house: House, now: datetime) -> Budget:
        return Budget(tx, self.seen(house), now)

    def seen(self, house: House) -> House:
        routes = tuple(replace(route, limits=self.windows(route.limits)) for route in house.routes)
        limits = replace(house.limits, total=self.windows(house.limits.total))
        return replace(house, limits=replace(limits, per_asker=self.windows(limits.per_asker)), routes=routes)

    def windows(self, windows: tuple[AnyWindow, ...]) -> tuple[AnyWindow, ...]:
        return windows


class ForgetsTheMonth(Misjudges):
    def windows(self, windows: tuple[AnyWindow, ...]) -> tuple[AnyWindow, ...]:
        return tuple(window for window in windows if isinstance(window, Window))


class LetsOneMoreOut(Misjudges):
    """By one part: in the windows of routes alone."""

    def seen(self, house: House) -> House:
        more = [replace(r, limits=tuple(replace(w, segments=w.segments + 1) for w in r.limits)) for r in house.routes]
        return replace(house, routes=tuple(more))


class ForgetsWhoAsks(Misjudges):
    def seen(self, house: House) -> House:
        return replace(house, limits=replace(house.limits, per_asker=()))


class ForgetsWhatItLetOut(Misjudges):
    """Each of one claim is shown the same room: what they take is known with the commit only."""

    def _budget(self, tx: Transaction, house: House, now: datetime) -> Budget:
        class Forgetful(Budget):
            def reserve(self, row: Notification, incident: Incident | None) -> None:
                """Left out."""

        return Forgetful(tx, house, now)


class DigestsForNothing(Misjudges):
    """What tells of several incidents asks no route."""

    def _budget(self, tx: Transaction, house: House, now: datetime) -> Budget:
        class Generous(Budget):
            def closed(self, row: Notification, incident: Incident | None) -> Closed | None:
                return super().closed(row, None if row.carried_by else incident)

        return Generous(tx, house, now)


class HurriesOn(Misjudges):
    """A soft limit holds nobody."""

    def _budget(self, tx: Transaction, house: House, now: datetime) -> Budget:
        return Budget(tx, replace(house, limits=replace(house.limits, soft=1.0)), now)


@dataclass(frozen=True)
class Entry:
    """One SMS that may have reached Mobizon."""

    at: datetime
    number: str
    segments: int
    route: str | None = None
    asker: str | None = None
    normal: bool = False  # a page, and not critical


class Traffic(RuleBasedStateMachine):
    """People type, incidents page, Mobizon answers as it likes, and time goes on."""

    connection: sqlite3.Connection
    outbox_of: type[Outbox] = Outbox
    begins_with: Config = LIMITS[0], ROUTES[0]
    is_settled = False

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock, self.metrics = FakeClock(), Metrics()
        sms, scripts = SmsRules(allowed_regions=frozenset({"KZ"})), {"scripts": Role.OPERATOR}
        self.house = Live(House(people=PEOPLE, sms=sms, scripts=scripts))
        limits, routes = self.begins_with
        self.house.value = replace(self.house.value, limits=limits, routes=routes)
        self.connection.execute("BEGIN")
        self.store = Inline(self.connection)
        self.door = Dispatcher(self.store, self.clock, self.house, self.metrics)
        self.outbox = self.outbox_of(self.store, self.clock, self.house, self.metrics)
        self.ledger: dict[int, Entry] = {}
        self.routes: dict[int, str] = {}  # what rows of the outbox are about
        self.flying: list[Notification] = []
        self.lost: list[Notification] = []
        self.messages = 0

    def teardown(self) -> None:
        self.connection.execute("ROLLBACK")
        self.loop.close()

    def do(self, what: Awaitable[T]) -> T:
        return self.loop.run_until_complete(cast("Coroutine[Any, Any, T]", what))

    @property
    def limits(self) -> Limits:
        return self.house.value.limits

    # --- what happens

    @rule(who=st.sampled_from(NAMES), segments=st.integers(1, 4), by=st.sampled_from(ASKERS))
    def somebody_types(self, who: str, segments: int, by: str) -> None:
        asker = Asker(by, Role.OPERATOR)
        said = self.do(self.door.send_sms(SmsRequest(who, text_of(segments), asker)))
        if isinstance(said, Denied) and said.field == "text":
            windows = (*self.limits.typed_total, *self.limits.per_asker)
            assert any(window.segments < segments for window in windows), "refused for ever, though it would fit"
        elif isinstance(said, Denied):
            assert said.opens_at is not None, said
            assert said.opens_at > self.clock.now()
            assert "limit" in said.reason, "refused, and nobody sees why"
        else:
            assert isinstance(said, Accepted)
            self.fits(self.limits.typed_total, also=self.entry(said.notification))

    @rule(who=st.sampled_from(NAMES), route=st.sampled_from(["db", "web", "core"]), some=st.integers(1, 3))
    def incidents_page(self, who: str, route: str, some: int) -> None:
        now, critical = self.clock.now(), route == "core"

        def plan(tx: Transaction) -> None:
            for number in tx.numbers(some):
                opened = Incident(number, "am", f"group {number}", route, now, now, title=f"T{number}")
                tx.add_incidents([replace(opened, critical=critical, policy="gone")])
                (row_id,) = tx.numbers(1)
                priority = Priority.CRITICAL if critical else Priority.NORMAL
                tx.add_notifications([Notification(row_id, who, now, now, incident_id=number, priority=priority)])
                self.routes[row_id] = route

        self.do(self.store.write(plan))

    @rule(who=st.sampled_from(NAMES), segments=st.integers(1, 2), critical=st.booleans())
    def the_bridge_pages(self, who: str, segments: int, critical: bool) -> None:
        now = self.clock.now()

        def plan(tx: Transaction) -> None:
            row = Notification(
                tx.numbers(1)[0], who, now, now, priority=Priority.CRITICAL if critical else Priority.NORMAL,
                text=text_of(segments), asked_by=WATCH, number=PEOPLE[who].number,
            )  # fmt: skip
            tx.add_notifications([row])

        self.do(self.store.write(plan))

    @rule(count=st.integers(1, 8))
    def the_sender_claims(self, count: int) -> None:
        claimed = self.do(self.outbox.claim(count))
        for row in claimed:
            self.is_patient(row)
            self.ledger[row.id] = self.entry(row)
            self.flying.append(row)
        windows = {
            Priority.TYPED: self.limits.typed_total,
            Priority.NORMAL: self.limits.normal_total,
            Priority.CRITICAL: self.limits.total,
        }
        if claimed:
            self.fits(windows[max(row.priority for row in claimed)])
        if len(claimed) < count:
            self.what_stays_says_why()

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), kind=st.sampled_from(["submitted", "refused", "unreachable", "postponed", "lost"]))
    def mobizon_answers(self, data: st.DataObject, kind: str) -> None:
        row = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        self.messages += 1
        outcomes: dict[str, SendOutcome] = {
            "submitted": Submitted(str(self.messages)),
            "refused": Refused("no"),
            "unreachable": Unreachable("no way"),
            "postponed": Unreachable("wait", 30, wait=MINUTE),
            "lost": Lost("cut off"),
        }
        self.do(self.outbox.record(row, outcomes[kind]))
        if kind in ("refused", "unreachable", "postponed"):
            del self.ledger[row.id]  # Mobizon certainly has not got it
        if kind == "lost":
            self.lost.append(row)

    @precondition(lambda self: self.lost)
    @rule(data=st.data(), listed=st.booleans())
    def a_look_is_answered(self, data: st.DataObject, listed: bool) -> None:
        row = data.draw(st.sampled_from(self.lost))
        self.messages += 1
        found = ListedMessage(f"f{self.messages}", None, "", "", "NEW", *[None] * 9)  # type: ignore[arg-type]
        self.do(self.outbox.looked(row, [found] if listed else []))
        now = self.do(self.store.read(lambda tx: tx.notification(row.id)))
        assert now is not None
        if now.state is State.PLANNED:
            del self.ledger[row.id]  # not listed in any look: it goes once more, and counts anew
        if now.state is not State.UNCERTAIN:
            self.lost.remove(row)

    @precondition(lambda self: self.lost)
    @rule(data=st.data())
    def somebody_lets_it_be(self, data: st.DataObject) -> None:
        """*Leave it*: whether it left is not known, so it goes on counting."""
        row = self.lost.pop(data.draw(st.integers(0, len(self.lost) - 1)))

        def leave(tx: Transaction) -> None:
            was = tx.notification(row.id)
            assert was is not None
            tx.save_notification(was.becomes(Event.LEFT, ended_at=self.clock.now(), next_look_at=None), was)

        self.do(self.store.write(leave))

    @rule(minutes=st.sampled_from([0.5, 1, 3, 5, 10, 31, 60, 24 * 60, 9 * 24 * 60]))
    def time_passes(self, minutes: float) -> None:
        self.clock.advance(60 * minutes)
        gone = self.do(self.outbox.expire_leases())
        if gone:
            self.lost += self.flying
            self.flying = []

    @rule()
    def it_starts_again(self) -> None:
        self.outbox = self.outbox_of(self.store, self.clock, self.house, self.metrics)
        self.do(self.outbox.recover())
        self.lost += self.flying
        self.flying = []

    @precondition(lambda self: not self.is_settled)
    @rule(limits=st.sampled_from(LIMITS), routes=st.sampled_from(ROUTES))
    def the_config_changes(self, limits: Limits, routes: tuple[Route, ...]) -> None:
        self.house.value = replace(self.house.value, limits=limits, routes=routes)
        self.clock.advance(1)  # what left under the old limits is not judged by the new ones

    # --- what holds

    def entry(self, row: Notification) -> Entry:
        assert row.number is not None
        assert row.segments is not None
        asker = row.asked_by if row.priority is Priority.TYPED else None
        route, normal = self.routes.get(row.id), row.is_page and row.priority is Priority.NORMAL
        return Entry(self.clock.now(), row.number.e164, row.segments, route, asker, normal)

    def fits(self, total: Collection[AnyWindow], also: Entry | None = None) -> None:
        """What has just left (or may, `also`) fits every window that is open now."""
        now, entries = self.clock.now(), [*self.ledger.values(), *([also] if also else [])]
        just_now = [entry for entry in entries if entry.at == now]
        self.hold(total, entries)
        for number in {entry.number for entry in just_now}:
            self.hold(self.limits.per_person, [entry for entry in entries if entry.number == number])
        for route in self.house.value.routes:
            if any(entry.route == route.name for entry in just_now):
                self.hold(route.limits, [entry for entry in entries if entry.route == route.name])
        for asker in {entry.asker for entry in just_now if entry.asker}:
            self.hold(self.limits.per_asker, [entry for entry in entries if entry.asker == asker])

    def is_patient(self, row: Notification) -> None:
        """From the soft limits on, what is neither critical nor has waited leaves only where nothing left lately."""
        here = self.entry(row)
        if (
            self.limits.soft == 1.0
            or not here.normal
            or row.held not in (None, Held.GATHER)
            or row.failures
            or row.resent
        ):
            return
        entries, now = list(self.ledger.values()), self.clock.now()
        purses = [(self.limits.total, entries)]
        purses += [
            (route.limits, [entry for entry in entries if entry.route == route.name])
            for route in self.house.value.routes
            if route.name == here.route
        ]
        soft = [
            f"{used} in {window}"
            for windows, group in purses
            for window in windows
            if (used := sum(entry.segments for entry in group if is_inside(window, entry.at, now)))
            >= window.segments * self.limits.soft
        ]
        lately = [e for e in entries if e.normal and e.number == here.number and e.at > now - 15 * MINUTE]
        assert not (soft and lately), f"left singly with {soft}"

    def hold(self, windows: Collection[AnyWindow], entries: Collection[Entry]) -> None:
        for window in windows:
            inside = [entry.segments for entry in entries if is_inside(window, entry.at, self.clock.now())]
            assert sum(inside) <= window.segments or len(inside) == 1, f"{inside} in {window}"

    def what_stays_says_why(self) -> None:
        rows = self.do(self.store.read(lambda tx: tx.find_notifications(limit=1000)))
        for row in rows:
            if row.state is State.PLANNED and not row.is_carried:
                assert row.due_at > self.clock.now(), "due, with a free slot, and not claimed"
                assert row.reason, "it waits, and nobody sees why"

    @invariant()
    def the_database_counts_as_much(self) -> None:
        since = self.clock.now() - DAY
        recent = [entry for entry in self.ledger.values() if entry.at >= since]
        kept: Counter[tuple[Scope, str]] = Counter()
        for e in recent:
            kept[Scope.HOUSE, ""] += e.segments
            kept[Scope.PHONE, e.number] += e.segments
            kept[Scope.ROUTE, e.route or "none"] += e.segments if e.route else 0
            kept[Scope.ASKER, e.asker or "none"] += e.segments if e.asker else 0
        found = self.do(self.store.read(lambda tx: {one: tx.reserved(*one, since) for one in kept}))
        assert found == kept


def is_inside(window: AnyWindow, at: datetime, now: datetime) -> bool:
    """Told apart from the windows' own arithmetic."""
    if isinstance(window, Window):
        return at > now - window.length
    then, today = at.astimezone(window.zone), now.astimezone(window.zone)
    return (then.year, then.month) == (today.year, today.month)


def text_of(segments: int) -> str:
    return "x" * (160 if segments == 1 else 153 * segments)


@contextmanager
def a_database() -> Iterator[sqlite3.Connection]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bridge.db")
        migrate(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            yield connection


def run_traffic(
    outbox: type[Outbox],
    examples: int = EXAMPLES,
    phases: Collection[Phase] = tuple(Phase),
    *,
    config: Config | None = None,
    spoil: str = "",
) -> None:
    with a_database() as database:
        database.execute(spoil)
        settled = {"begins_with": config, "is_settled": True} if config else {}
        machine = type("Traffic", (Traffic,), {"connection": database, "outbox_of": outbox, **settled})
        how = settings(
            max_examples=examples, phases=phases, stateful_step_count=STEPS, deadline=None, database=None,
            suppress_health_check=list(HealthCheck), derandomize=not LONG,
        )  # fmt: skip
        run_state_machine_as_test(machine, settings=how)


@pytest.mark.timeout(7200 if LONG else 240)
def test_no_window_ever_holds_more_than_its_limit() -> None:
    run_traffic(Outbox)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("broken", [ForgetsTheLost, CountsOnlyWhatArrived])
def test_a_reservation_that_is_let_go_too_early_is_found(broken: type[Outbox]) -> None:
    with pytest.raises(AssertionError):
        run_traffic(broken, 2000, (Phase.generate,))  # it ends with the first that is found


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("broken", "config"),
    [
        (ForgetsTheMonth, (replace(WIDE, total=(Month(5, ZONE),)), ROUTES[0])),
        (ForgetsTheMonth, (WIDE, tuple(replace(route, limits=(Month(2, ZONE),)) for route in FEW))),
        (LetsOneMoreOut, (WIDE, FEW)),
        (ForgetsWhoAsks, (replace(WIDE, per_asker=(Window(HOUR, 3),)), ROUTES[0])),
        (ForgetsWhatItLetOut, (replace(WIDE, total=(Window(HOUR, 5),)), ROUTES[0])),
        (DigestsForNothing, (WIDE, FEW)),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_one_part_too_many_is_found(broken: type[Outbox], config: Config) -> None:
    with pytest.raises(AssertionError, match=r"\] in (Window|Month)"):
        run_traffic(broken, 2000, (Phase.generate,), config=config)


@pytest.mark.timeout(240)
def test_pages_that_do_not_wait_for_each_other_are_found() -> None:
    few = replace(WIDE, total=(Window(HOUR, 8),), soft=0.25)
    with pytest.raises(AssertionError, match="left singly with"):
        run_traffic(HurriesOn, 200, (Phase.generate,), config=(few, ROUTES[0]))


@pytest.mark.timeout(240)
def test_sums_that_nobody_keeps_are_found() -> None:
    with pytest.raises(AssertionError):
        run_traffic(Outbox, 2000, (Phase.generate,), spoil="DROP TRIGGER spending_of_changed")


# --- a race for the last segments

CLAIMERS, ROWS, CAP = 8, (8000 if LONG else 400), 100


class Stale:
    """Planted: a store whose claims are told what was spent when the race began: nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def write(self, fn: Callable[[Transaction], T], **turn: bool) -> T:
        return await self._store.write(lambda tx: fn(cast("Transaction", _Told(tx))))

    async def read(self, fn: Callable[[Transaction], T]) -> T:
        return await self._store.read(fn)

    def on_commit(self, hook: Callable[[Collection[str]], None]) -> None:
        self._store.on_commit(hook)


@dataclass
class _Told:
    tx: Transaction

    def reserved(self, scope: Scope, subject: str, since: datetime) -> int:
        return 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tx, name)


async def race(folder: Path, *, stale: bool, routes: tuple[Route, ...] = (), months: bool = False) -> int:
    """How many segments eight claimers got out of a house that may send a hundred; of its routes, if it has any."""
    people = {f"p{n}": Person(f"p{n}", PhoneNumber(f"+7701{n:07d}")) for n in range(1, ROWS + 1)}
    total: AnyWindow = Month(CAP, ZONE) if months else Window(HOUR, CAP)
    limits = Limits((Window(HOUR, 5),), (total,), typed_share=1.0, critical_share=0.0, soft=1.0)
    sms = SmsRules(allowed_regions=frozenset({"KZ"}))
    house = Live(House(people=people, sms=sms, limits=limits, routes=routes, storm=None))
    clock = FakeClock()
    now = clock.now()
    rows = [
        Notification(n, name, now, now, number=person.number, text="x", asked_by=WATCH)
        for n, (name, person) in enumerate(people.items(), start=1)
    ]
    about = [Incident(ROWS + n, "am", f"group {n}", route.name, now, now) for n, route in enumerate(routes, start=1)]
    if about:
        rows = [replace(row, incident_id=about[row.id % len(about)].id, asked_by=None) for row in rows]
    async with open_store(folder / "bridge.db") as store:
        await store.write(lambda tx: tx.add_incidents(about))
        await store.write(lambda tx: tx.add_notifications(rows))
        told: Store = Stale(store) if stale else store
        outboxes = [Outbox(told, clock, house, Metrics()) for _ in range(CLAIMERS)]
        claimed = await asyncio.gather(
            *(outbox.claim(20) for outbox in outboxes for _ in range(ROWS // CLAIMERS // 20 + 2))
        )
    ids = [row.id for some in claimed for row in some]
    assert len(ids) == len(set(ids))
    return sum(row.segments or 0 for some in claimed for row in some)


@pytest.mark.timeout(3600 if LONG else 60)
async def test_a_race_of_eight_for_a_hundred_segments_ends_at_exactly_a_hundred(tmp_path: Path) -> None:
    assert await race(tmp_path, stale=False) == CAP


@pytest.mark.timeout(3600 if LONG else 60)
async def test_a_race_for_a_month_ends_at_exactly_its_segments(tmp_path: Path) -> None:
    assert await race(tmp_path, stale=False, months=True) == CAP


@pytest.mark.timeout(3600 if LONG else 60)
async def test_a_race_for_two_routes_ends_at_exactly_their_segments(tmp_path: Path) -> None:
    routes = (Route("db", limits=(Window(HOUR, 37),)), Route("web", limits=(Month(21, ZONE),)))
    assert await race(tmp_path, stale=False, routes=routes) == 37 + 21


async def test_limits_that_are_looked_at_before_the_claim_are_found_too_weak(tmp_path: Path) -> None:
    assert await race(tmp_path, stale=True) > CAP
