"""Whatever is asked, answered, lost, restarted and reloaded: no window ever holds more than its limit.

The model is a ledger of what may have reached Mobizon: every claim, less those that Mobizon certainly did not take.
A text larger than a whole window is the one exception that the limits make: it goes alone.
"""

import asyncio
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from bridge.dispatcher import Accepted, Asker, Denied, Dispatcher, SmsRequest
from bridge.domain.house import House, Person, Role, SmsRules
from bridge.domain.notification import WATCH, Event, Notification, Priority, State
from bridge.domain.phone import PhoneNumber
from bridge.domain.throttle import Limits, Spent, Window
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
NAMES = ("aigerim", "dana", "magnum")
PEOPLE = {name: Person(name, PhoneNumber(f"+7701000000{n}"), n, Role.OPERATOR) for n, name in enumerate(NAMES, start=1)}
LIMITS = (
    Limits((Window(5 * MINUTE, 3), Window(HOUR, 7)), (Window(HOUR, 10), Window(DAY, 20)), 0.7),
    Limits((Window(5 * MINUTE, 2),), (Window(HOUR, 4),), 0.5),
    Limits((Window(HOUR, 1),), (Window(10 * MINUTE, 3),), 1.0),
)


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


@dataclass(frozen=True)
class Entry:
    """One SMS that may have reached Mobizon."""

    at: datetime
    number: str
    segments: int


class Traffic(RuleBasedStateMachine):
    """People type, incidents page, Mobizon answers as it likes, and time goes on."""

    connection: sqlite3.Connection
    outbox_of: type[Outbox] = Outbox

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock, self.metrics = FakeClock(), Metrics()
        self.house = Live(House(people=PEOPLE, sms=SmsRules(allowed_regions=frozenset({"KZ"})), limits=LIMITS[0]))
        self.connection.execute("BEGIN")
        self.store = Inline(self.connection)
        self.door = Dispatcher(self.store, self.clock, self.house, self.metrics)
        self.outbox = self.outbox_of(self.store, self.clock, self.house, self.metrics)
        self.ledger: dict[int, Entry] = {}
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

    @rule(who=st.sampled_from(NAMES), segments=st.integers(1, 4))
    def somebody_types(self, who: str, segments: int) -> None:
        asker = Asker("dana", Role.OPERATOR, 2)
        said = self.do(self.door.send_sms(SmsRequest(who, text_of(segments), asker)))
        if isinstance(said, Denied):
            assert said.opens_at is not None, said
            assert said.opens_at > self.clock.now()
            assert "limit" in said.reason, "refused, and nobody sees why"
        else:
            assert isinstance(said, Accepted)
            self.fits(self.limits.typed_total, self.limits.per_person, also=said.notification)

    @rule(who=st.sampled_from(NAMES), segments=st.integers(1, 2), critical=st.booleans())
    def an_incident_pages(self, who: str, segments: int, critical: bool) -> None:
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
            assert row.number is not None
            assert row.segments is not None
            self.ledger[row.id] = Entry(self.clock.now(), row.number.e164, row.segments)
            self.flying.append(row)
        if any(row.priority is Priority.TYPED for row in claimed):
            self.fits(self.limits.typed_total, self.limits.per_person)
        elif claimed:
            self.fits(self.limits.total, self.limits.per_person)
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

    @rule(minutes=st.sampled_from([0.5, 1, 3, 5, 10, 31, 60, 24 * 60]))
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

    @rule(limits=st.sampled_from(LIMITS))
    def the_config_changes(self, limits: Limits) -> None:
        self.house.value = replace(self.house.value, limits=limits)
        self.clock.advance(1)  # what left under the old limits is not judged by the new ones

    # --- what holds

    def fits(self, total: Collection[Window], per_person: Collection[Window], also: Notification | None = None) -> None:
        """What has just left (or may, `also`) fits every window that ends now."""
        now, entries = self.clock.now(), list(self.ledger.values())
        if also is not None:
            assert also.number is not None
            assert also.segments is not None
            entries.append(Entry(now, also.number.e164, also.segments))
        just_now = {entry.number for entry in entries if entry.at == now}
        for windows, group in [(total, entries)] + [
            (per_person, [e for e in entries if e.number == n]) for n in just_now
        ]:
            for window in windows:
                inside = [entry.segments for entry in group if entry.at > now - window.length]
                assert sum(inside) <= window.segments or len(inside) == 1, f"{inside} in {window}"

    def what_stays_says_why(self) -> None:
        rows = self.do(self.store.read(lambda tx: tx.find_notifications(limit=1000)))
        for row in rows:
            if row.state is State.PLANNED:
                assert row.due_at > self.clock.now(), "due, with a free slot, and not claimed"
                assert row.reason, "it waits, and nobody sees why"

    @invariant()
    def the_database_counts_as_much(self) -> None:
        spent: list[Spent] = self.do(self.store.read(lambda tx: tx.spent(self.clock.now() - DAY)))
        recent = [entry for entry in self.ledger.values() if entry.at >= self.clock.now() - DAY]
        assert sum(s.segments for s in spent) == sum(entry.segments for entry in recent)


def text_of(segments: int) -> str:
    return "x" * (160 if segments == 1 else 153 * segments)


@contextmanager
def a_database() -> Iterator[sqlite3.Connection]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bridge.db")
        migrate(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            yield connection


def run_traffic(outbox: type[Outbox], examples: int = EXAMPLES, phases: Collection[Phase] = tuple(Phase)) -> None:
    with a_database() as database:
        machine = type("Traffic", (Traffic,), {"connection": database, "outbox_of": outbox})
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
        run_traffic(broken, 100, (Phase.generate,))


# --- a race for the last segments

CLAIMERS, ROWS, CAP = 8, (8000 if LONG else 400), 100


class Stale:
    """Planted: a store whose claims are told what was spent when the race began, not what is spent now."""

    def __init__(self, store: Store, spent: dict[timedelta, dict[str, int]], now: datetime) -> None:
        self._store = store
        self._told = (spent, now)

    async def write(self, fn: Callable[[Transaction], T], **turn: bool) -> T:
        spent, now = self._told
        return await self._store.write(lambda tx: fn(cast("Transaction", _Told(tx, spent, now))))

    async def read(self, fn: Callable[[Transaction], T]) -> T:
        return await self._store.read(fn)

    def on_commit(self, hook: Callable[[Collection[str]], None]) -> None:
        self._store.on_commit(hook)


@dataclass
class _Told:
    tx: Transaction
    spent_before: dict[timedelta, dict[str, int]]
    now: datetime

    def reserved(self, after: datetime) -> dict[str, int]:
        return self.spent_before[self.now - after]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tx, name)


async def race(folder: Path, *, stale: bool) -> int:
    """How many segments eight claimers got out of a house that may send a hundred."""
    people = {f"p{n}": Person(f"p{n}", PhoneNumber(f"+7701{n:07d}")) for n in range(1, ROWS + 1)}
    limits = Limits((Window(HOUR, 5),), (Window(HOUR, CAP),), typed_share=1.0, critical_share=0.0)
    house = Live(House(people=people, sms=SmsRules(allowed_regions=frozenset({"KZ"})), limits=limits))
    clock = FakeClock()
    now = clock.now()
    rows = [
        Notification(n, name, now, now, number=person.number, text="x", asked_by=WATCH)
        for n, (name, person) in enumerate(people.items(), start=1)
    ]
    async with open_store(folder / "bridge.db") as store:
        await store.write(lambda tx: tx.add_notifications(rows))
        lengths = {window.length for window in (*limits.per_person, *limits.total)}
        told: Store = Stale(store, {length: {} for length in lengths}, now) if stale else store
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


async def test_limits_that_are_looked_at_before_the_claim_are_found_too_weak(tmp_path: Path) -> None:
    assert await race(tmp_path, stale=True) > CAP
