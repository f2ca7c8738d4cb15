"""Laws of the climb: whatever happens, in whatever order, each rung is called in its turn and somebody always has it.

The model knows the policy, what people and sources did and what Mobizon said. It knows nothing of due times,
timers and rounds: it only says who must have been called by now, and who must not.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from typing import Any, TypeVar, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bridge import escalator
from bridge.admission import Parsed
from bridge.dispatcher import Answered, Asker, Dispatcher
from bridge.domain import escalation
from bridge.domain.alert import Alert, AlertStatus, Report
from bridge.domain.escalation import CHAT, EVERYONE, ROTA, Policy, Step
from bridge.domain.house import ChatPlace, House, Person, Role, SmsRules
from bridge.domain.incident import MOST_ROUNDS
from bridge.domain.notification import Notification, State
from bridge.domain.phone import PhoneNumber
from bridge.domain.rota import Rota, Unit
from bridge.domain.routing import Route
from bridge.domain.storm import StormRules
from bridge.domain.throttle import Limits, Window
from bridge.metrics import Metrics
from bridge.outbox import Outbox
from bridge.ports import (
    CardKind,
    DeliveryReport,
    ListedMessage,
    Live,
    Lost,
    Receipt,
    Refused,
    SendOutcome,
    Submitted,
    Timer,
    Transaction,
    Unreachable,
    Verdict,
)
from bridge.requests import Swapped, SwapRequest
from bridge.timers import Timers
from storage.transaction import SqlTransaction
from tests.fakes import START, FakeClock
from tests.faults.tracing import LONG
from tests.fuzz.test_limits import a_database

T = TypeVar("T")
EXAMPLES, STEPS = (20_000, 60) if LONG else (120, 40)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
NAMES = ("aigerim", "dana", "jonas")
PEOPLE = {
    name: Person(name, PhoneNumber(f"+7701000000{n}"), n, Role.RESPONDER) for n, name in enumerate(NAMES, start=1)
}
ROTAS = {"primary": ("aigerim", "jonas"), "backup": ("dana", "aigerim")}
"""Who takes turns, by the day; the first of each begins."""
GROUP = ("shop", "g")
FIRING, RESOLVED = AlertStatus.FIRING, AlertStatus.RESOLVED
IN_MODERATION = 2 * MINUTE
LONGEST_GAP = 60 * MINUTE
"""Between two rings of a chat in which nobody has it."""
MOODS = ("arrives", "silent", "fails", "moderated", "refused", "unreachable", "lost, listed", "lost", "slow")
"""What becomes of an SMS to somebody."""

steps = st.builds(
    Step,
    st.lists(st.sampled_from([*NAMES, CHAT, "rota primary", EVERYONE]), min_size=1, max_size=3, unique=True).map(tuple),
    wait=st.sampled_from([2, 5, 10]).map(lambda minutes: minutes * MINUTE),
    deliver_within=st.sampled_from([None, 1, 3]).map(lambda minutes: minutes and minutes * MINUTE),
)
policies = st.builds(
    Policy,
    st.just("climb"),
    st.lists(steps, min_size=1, max_size=3).map(tuple),
    repeat=st.integers(0, 1),
    delay=st.sampled_from([0, 3]).map(lambda minutes: minutes * MINUTE),
    ack_for=st.sampled_from([None, 30]).map(lambda minutes: minutes and minutes * MINUTE),
    resolved_sms=st.booleans(),
    taken_sms=st.booleans(),
).filter(lambda policy: any(target != CHAT for step in policy.steps for target in step.notify))


class Inline:
    """A Store on one connection, without threads, in a transaction that is never committed; `tamper` plants bugs."""

    def __init__(self, connection: sqlite3.Connection, tamper: Callable[[Transaction], Transaction]) -> None:
        self._connection = connection
        self._tamper = tamper

    async def write(self, fn: Callable[[Transaction], T], **turn: bool) -> T:
        tx = SqlTransaction(self._connection)
        result = fn(self._tamper(tx))
        tx.finish()
        return result

    async def read(self, fn: Callable[[Transaction], T]) -> T:
        return fn(SqlTransaction(self._connection))

    def on_commit(self, hook: Callable[[Collection[str]], None]) -> None:
        """Nobody waits here."""


@dataclass
class Row:
    """What the model knows of one SMS, or one turn of the chat."""

    target: str
    tried: bool = False
    left: int = 0  # times that it may have reached Mobizon
    settled_at: datetime | None = None  # Mobizon answered, or nobody knows, or nobody is there to be called
    lost: bool = False
    delivered: bool = False
    submitted_at: datetime | None = None
    moderated: bool = False
    cancelled: bool = False
    on_the_wire: bool = False


@dataclass
class Rung:
    """Those who are called together, and how long they have."""

    targets: tuple[str, ...]
    wait: timedelta
    within: timedelta | None
    rows: dict[int, Row] = field(default_factory=dict)
    was_hopeless: bool = False

    @property
    def begun_at(self) -> datetime | None:
        return min((row.settled_at for row in self.rows.values() if row.settled_at), default=None)

    @property
    def is_called(self) -> bool:
        return any(row.tried or row.settled_at for row in self.rows.values())

    def lost_at(self, row: Row) -> datetime | None:
        """Since when, or from when on, this one counts as not arriving; None: not as things are."""
        if row.lost and row.settled_at:
            return row.settled_at
        if row.submitted_at is None or row.delivered:
            return None
        spans = [IN_MODERATION] if row.moderated else []
        spans += [self.within] if self.within else []
        return row.submitted_at + min(spans) if spans else None

    def hopeless_at(self) -> datetime | None:
        people = [row for row in self.rows.values() if row.target != CHAT and not row.cancelled]
        each = [self.lost_at(row) for row in people]
        return max((at for at in each if at), default=None) if each and all(each) else None


def targets_of(step: Step) -> list[str]:
    each = ([f"{ROTA}{name}" for name in ROTAS] if written == EVERYONE else [written] for written in step.notify)
    return list(dict.fromkeys(target for targets in each for target in targets))


@dataclass
class Climb:
    """One plan, from what made it nobody's incident to what ends that."""

    rungs: list[Rung]
    earliest: datetime
    passed_on: set[int] = field(default_factory=set)  # rungs after which somebody asked for the next
    rings: list[datetime] = field(default_factory=list)

    @classmethod
    def of(
        cls, policy: Policy | None, now: datetime, first: str | None = None, without: Collection[str] = ()
    ) -> "Climb":
        rungs: list[Rung] = []
        if policy is None:
            return cls(rungs, now)
        earliest = now if first or without else now + policy.delay
        if first:
            rungs.append(Rung((first,), policy.steps[0].wait, policy.steps[0].deliver_within))
        spared = timedelta(0)
        for climb in range(policy.repeat + 1):
            for number, step in enumerate(policy.steps):
                left = [target for target in targets_of(step) if not (climb == 0 and target in without)]
                wanted = left
                if climb == 0 and number == 0 and not rungs:
                    wanted = [target for target in wanted if target != CHAT]  # the card itself
                if wanted:
                    earliest += spared if not rungs else timedelta(0)
                    rungs.append(Rung(tuple(wanted), step.wait, step.deliver_within))
                elif left:
                    spared += step.wait
            if not rungs:  # nobody else is there to be called first
                spared = max(spared, policy.steps[0].wait)
        return cls(rungs, earliest)

    def row(self, number: int) -> tuple[int, Row]:
        return next((k, rung.rows[number]) for k, rung in enumerate(self.rungs) if number in rung.rows)

    @property
    def last_called(self) -> int:
        """The highest rung that was called; -1: none."""
        return max((k for k, rung in enumerate(self.rungs) if rung.is_called), default=-1)


class Nights(RuleBasedStateMachine):
    """One group of alerts, three people, and everything that can happen to them."""

    connection: sqlite3.Connection
    outbox_of: type[Outbox] = Outbox
    tamper: Callable[[Transaction], Transaction] = staticmethod(lambda tx: tx)

    @initialize(policy=policies)
    def a_policy(self, policy: Policy) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock, self.metrics = FakeClock(), Metrics()
        self.policy = policy
        self.house = Live(
            House(
                people=PEOPLE,
                chats={"ops": ChatPlace("ops", -100)},
                policies={policy.name: policy},
                routes=(Route("all", policy=policy.name, chat="ops"),),
                rotas={n: Rota(people, START.date(), time(0), unit=Unit.DAYS) for n, people in ROTAS.items()},
                sms=SmsRules(allowed_regions=frozenset({"KZ"})),
                limits=Limits((), (Window(60 * MINUTE, 10**6),), 1.0),
                storm=StormRules(gather=timedelta(0)),  # who waits for a page of another incident is not told of here
            )
        )
        self.connection.execute("BEGIN")
        self.store = Inline(self.connection, self.tamper)
        self.door = Dispatcher(self.store, self.clock, self.house, self.metrics)
        self.timers = Timers(self.store, self.door, self.clock)
        self.outbox = self.outbox_of(self.store, self.clock, self.house, self.metrics)
        self.moods = dict.fromkeys(NAMES, "arrives")
        self.swaps: list[tuple[str, str, datetime, datetime]] = []  # rota, who, from, until; the last said holds
        self.flying: dict[int, Notification] = {}
        self.messages = 0
        self.alerts: dict[str, tuple[datetime, str]] = {}  # begun when; fires, over, or ended by a person
        self.incident = 0
        self.state = "over"  # nobody, taken
        self.ended_at: datetime | None = None
        self.holder: str | None = None
        self.asks_again_at: datetime | None = None
        self.climb: Climb | None = None
        self.pages: bool = False  # the incident has a policy
        self.all_rows: dict[int, Row] = {}
        self.rung_before = 0

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.connection.execute("ROLLBACK")
            self.loop.close()

    def do(self, what: Awaitable[T]) -> T:
        return self.loop.run_until_complete(cast("Coroutine[Any, Any, T]", what))

    def read(self, fn: Callable[[Transaction], T]) -> T:
        return self.do(self.store.read(fn))

    @property
    def now(self) -> datetime:
        return self.clock.now()

    @property
    def is_policy_there(self) -> bool:
        return self.policy.name in self.house.value.policies

    # --- what sources say

    @rule(which=st.sets(st.sampled_from("abc"), min_size=1), anew=st.booleans())
    def it_fires(self, which: set[str], anew: bool) -> None:
        self.hear([self.firing(which, anew=anew)])

    @rule(which=st.sets(st.sampled_from("abc"), min_size=1))
    def it_is_over(self, which: set[str]) -> None:
        self.hear([self.resolving(which)])

    @rule(which=st.sets(st.sampled_from("abc"), min_size=1))
    def it_is_over_and_fires_in_one_batch(self, which: set[str]) -> None:
        self.hear([self.resolving(set(self.alerts)), self.firing(which, anew=True)])

    def firing(self, which: Collection[str], *, anew: bool) -> list[Alert]:
        """The alerts of a webhook; an outbreak begins now, unless one began a moment ago."""
        said = []
        for name in sorted(which):
            begun, how = self.alerts.get(name, (None, "over"))
            if begun is None or (self.now - begun > 3 * MINUTE and (anew or how == "over")):
                said.append(Alert(name, FIRING, self.now, name, {"which": name}))
            elif how != "over":
                said.append(Alert(name, FIRING, begun, name, {"which": name}))
        return said

    def resolving(self, which: Collection[str]) -> list[Alert]:
        return [
            Alert(name, RESOLVED, self.alerts[name][0], name, {"which": name})
            for name in sorted(which)
            if name in self.alerts and self.alerts[name][1] != "over"
        ]

    def hear(self, words: Sequence[Sequence[Alert]]) -> None:
        parsed = []
        for alerts in filter(None, words):
            number = self.do(self.door.keep_webhook(GROUP[0], None, {}, b""))
            parsed.append(Parsed(Receipt(number, GROUP[0], self.now, b""), Report(GROUP[1], tuple(alerts))))
        if not parsed:
            return
        self.do(self.door.accept(parsed))
        before = self.state
        for alerts in filter(None, words):
            for alert in alerts:
                self.understand(alert)
            if self.state != "over" and not any(how == "fires" for _, how in self.alerts.values()):
                self.over()
        if before == "over" and self.state == "over":
            self.climb = None  # it came and went: nobody was called
        self.settle()

    def understand(self, alert: Alert) -> None:
        begun, _ = self.alerts.get(alert.fingerprint, (None, "over"))
        if not alert.is_firing:
            self.alerts[alert.fingerprint] = (alert.starts_at, "over")
        elif alert.starts_at != begun:  # else a repeat, or old news
            self.alerts[alert.fingerprint] = (alert.starts_at, "fires")
            if self.state == "taken":
                self.nobodys(first=self.holder)
            elif self.state == "over":
                soon = self.ended_at is not None and self.now - self.ended_at < self.policy.reopen_within
                if soon:
                    self.nobodys(first=self.holder)
                else:
                    self.incident, self.holder = 0, None
                    self.pages = self.is_policy_there
                    self.nobodys()

    # --- what people say

    @precondition(lambda self: self.incident)
    @rule(who=st.sampled_from(NAMES))
    def somebody_takes_it(self, who: str) -> None:
        said = self.do(self.door.acknowledge(self.incident, asker(who)))
        if self.state == "over":
            assert not isinstance(said, Answered)
        elif (self.state, self.holder) != ("taken", who):
            self.state, self.holder, self.climb = "taken", who, None
            there = self.pages and self.is_policy_there and self.policy.ack_for
            self.asks_again_at = self.now + there if there else None
        self.settle()

    @precondition(lambda self: self.incident)
    @rule(who=st.sampled_from(NAMES))
    def somebody_ends_it(self, who: str) -> None:
        self.do(self.door.resolve(self.incident, asker(who)))
        if self.state != "over":
            self.alerts = {
                name: (begun, "by hand" if how == "fires" else how) for name, (begun, how) in self.alerts.items()
            }
            self.over()
        self.settle()

    @precondition(lambda self: self.incident)
    @rule(who=st.sampled_from(NAMES))
    def somebody_passes_it_on(self, who: str) -> None:
        said = self.do(self.door.pass_on(self.incident, asker(who)))
        if self.state == "nobody" and self.climb:
            if self.climb.last_called + 1 < len(self.climb.rungs):
                assert isinstance(said, Answered) or "is being called" in said.reason, said
                self.climb.passed_on.add(self.climb.last_called)
        else:
            assert not isinstance(said, Answered)
        self.settle()

    @precondition(lambda self: self.incident)
    @rule(who=st.sampled_from(NAMES))
    def somebody_hands_it_back(self, who: str) -> None:
        said = self.do(self.door.hand_back(self.incident, asker(who)))
        assert isinstance(said, Answered) == (self.state == "taken")
        if self.state == "taken":
            without, self.holder = self.holder, None
            self.nobodys(without=without)
        self.settle()

    # --- what Mobizon says

    @rule(who=st.sampled_from(NAMES), mood=st.sampled_from(MOODS))
    def a_phone_changes(self, who: str, mood: str) -> None:
        self.moods[who] = mood

    @rule(mood=st.sampled_from(MOODS))
    def all_phones_change(self, mood: str) -> None:
        self.moods = dict.fromkeys(NAMES, mood)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), mood=st.sampled_from([mood for mood in MOODS if mood != "slow"]))
    def a_slow_answer_comes(self, data: st.DataObject, mood: str) -> None:
        row = self.flying[data.draw(st.sampled_from(sorted(self.flying)))]
        self.answer(row, mood)
        self.settle()

    @rule(data=st.data(), status=st.sampled_from(["DELIVRD", "UNDELIV", "REJECTD", "EXPIRED", "ACCEPTD"]))
    def an_operator_reports(self, data: st.DataObject, status: str) -> None:
        rows = self.read(lambda tx: tx.find_notifications(state=State.SUBMITTED, limit=100))
        if rows:
            self.report(data.draw(st.sampled_from(rows)), status)
            self.settle()

    # --- what happens to us

    @rule(minutes=st.sampled_from([0.5, 1, 2, 3, 5, 10, 31, 61]))
    def time_passes(self, minutes: float) -> None:
        end = self.now + minutes * MINUTE
        while self.now < end:
            due = [at for at in self.read(lambda tx: tx.next_due()).values() if at > self.now]
            self.clock.advance((min([end, *due, *self.instants()]) - self.now).total_seconds())
            self.settle()

    @rule(minutes=st.sampled_from([0, 1, 4, 90]))
    def it_stops_and_starts_again(self, minutes: float) -> None:
        self.clock.advance(60 * minutes)
        self.outbox = self.outbox_of(self.store, self.clock, self.house, self.metrics)
        self.do(self.outbox.recover())
        for row in self.flying.values():
            self.is_lost(row)
        self.flying.clear()
        self.was_away = minutes * MINUTE
        self.settle()

    @rule(who=st.sampled_from(NAMES), there=st.booleans())
    def people_come_and_go(self, who: str, there: bool) -> None:
        kept = {n: p for n, p in PEOPLE.items() if (there if n == who else n in self.house.value.people)}
        self.house.value = replace(self.house.value, people=kept)

    @rule(there=st.booleans())
    def the_policy_comes_and_goes(self, there: bool) -> None:
        name = self.policy.name
        route = Route("all", policy=name if there else None, chat="ops")
        self.house.value = replace(self.house.value, policies={name: self.policy} if there else {}, routes=(route,))

    @rule(rota=st.sampled_from(sorted(ROTAS)), who=st.sampled_from(NAMES), minutes=st.sampled_from([2, 20, 600]))
    def somebody_takes_a_turn(self, rota: str, who: str, minutes: int) -> None:
        given, cause = (who, self.now, self.now + minutes * MINUTE), f"swap {len(self.swaps)}"
        said = self.do(self.door.swap(SwapRequest(rota, Asker("dana", Role.OPERATOR, 3), cause, given)))
        assert isinstance(said, Swapped) == (who in self.house.value.people)
        if isinstance(said, Swapped):
            self.swaps.append((rota, *given))
        self.settle()

    def on_call(self, rota: str) -> str | None:
        """Who has the turn now; None: nobody who could be called."""
        there = self.house.value.people
        said = [who for name, who, begins, ends in self.swaps if name == rota and begins <= self.now < ends]
        day = (self.now.date() - START.date()).days
        planned = ROTAS[rota][day % len(ROTAS[rota])]
        return next((who for who in (*reversed(said), planned) if who in there), None)

    # --- how it goes on by itself

    def settle(self) -> None:
        """Let everything that is due now happen."""
        self.observe()
        while True:
            if self.state == "taken" and self.asks_again_at and self.now >= self.asks_again_at:
                self.nobodys(first=self.holder)
            self.do(self.timers.run())
            self.observe()
            claimed = self.do(self.outbox.claim(20))
            self.observe(claimed)
            for row in claimed:
                self.called(row)
                self.flying[row.id] = row
            for row in claimed:
                if (mood := self.moods[row.person or ""]) != "slow":
                    self.answer(row, mood)
            for row in [row for row in self.flying.values() if row.lease_until and row.lease_until <= self.now]:
                self.is_lost(self.flying.pop(row.id))
            expired = self.do(self.outbox.expire_leases())
            looked = self.read(lambda tx: tx.looks_due(self.now, 50))
            for row in looked:
                self.look(row)
            timers = self.read(lambda tx: tx.timers_due(self.now, 50))
            if not (claimed or expired or looked or timers):
                break
        self.everybody_was_called()

    def look(self, row: Notification) -> None:
        self.messages += 1
        listed = self.moods[row.person or ""] == "lost, listed"
        found = ListedMessage(f"f{self.messages}", None, "", "", "NEW", *[None] * 9)  # type: ignore[arg-type]
        self.do(self.outbox.looked(row, [found] if listed else []))
        if listed and row.id in self.all_rows:
            mine = self.all_rows[row.id]
            mine.lost, mine.submitted_at = False, self.now

    def answer(self, row: Notification, mood: str) -> None:
        self.flying.pop(row.id, None)
        self.messages += 1
        outcomes: dict[str, SendOutcome] = {
            "refused": Refused("no"),
            "unreachable": Unreachable("no way"),
            "lost": Lost("cut off"),
            "lost, listed": Lost("cut off"),
            "moderated": Submitted(str(self.messages), moderated=True),
        }
        outcome = outcomes.get(mood, Submitted(str(self.messages)))
        became = self.do(self.outbox.record(row, outcome))
        mine = self.all_rows.get(row.id)
        if mine is not None:
            mine.on_the_wire = False
            match outcome:
                case Submitted():
                    mine.submitted_at, mine.moderated = self.now, mood == "moderated"
                    mine.settled_at = mine.settled_at or self.now
                    mine.lost = False
                case Refused():
                    mine.left -= 1
                    mine.lost, mine.settled_at = True, mine.settled_at or self.now
                case Unreachable():
                    mine.left -= 1
                case Lost():
                    mine.lost, mine.settled_at = True, mine.settled_at or self.now
        if mood in ("arrives", "fails"):
            self.report(became, "DELIVRD" if mood == "arrives" else "UNDELIV")

    def is_lost(self, row: Notification) -> None:
        if mine := self.all_rows.get(row.id):
            mine.on_the_wire = False
            mine.lost, mine.settled_at = True, mine.settled_at or self.now

    def report(self, row: Notification, status: str) -> None:
        assert row.message_id is not None
        verdict = {"DELIVRD": Verdict.DELIVERED, "ACCEPTD": Verdict.PENDING}.get(status, Verdict.UNDELIVERED)
        self.do(self.outbox.report([row], {row.message_id: DeliveryReport(row.message_id, status, verdict)}, []))
        if mine := self.all_rows.get(row.id):
            mine.moderated = False
            mine.delivered = mine.delivered or verdict is Verdict.DELIVERED
            mine.lost = mine.lost or verdict is Verdict.UNDELIVERED

    # --- the model

    def over(self) -> None:
        self.state, self.climb, self.ended_at = "over", None, self.now

    def nobodys(self, first: str | None = None, without: str | None = None) -> None:
        """From now on it is nobody's, and a climb begins."""
        self.state, self.asks_again_at = "nobody", None
        first = first if first in self.house.value.people else None
        policy = self.policy if self.pages and self.is_policy_there else None
        left_out = {without, *(f"{ROTA}{name}" for name in ROTAS if self.on_call(name) == without)} if without else ()
        self.climb = Climb.of(policy, self.now, first, cast("Collection[str]", left_out)) if self.pages else None

    def observe(self, claimed: Sequence[Notification] = ()) -> None:
        """Compare what is written with what the model expects, and take over what needs no Mobizon."""
        open_now = self.read(lambda tx: tx.incidents(open_only=False, limit=10))
        newest = max(open_now, key=lambda incident: incident.id, default=None)
        if newest is None:
            return
        self.incident = newest.id
        names = {"triggered": "nobody", "acknowledged": "taken", "resolved": "over"}
        assert names[newest.state] == self.state, f"it is {newest.state}, and should be {self.state}"
        rows = [row for row in self.read(lambda tx: tx.notifications_of([newest.id])) if row.is_page]
        new = [row for row in rows if row.id not in self.all_rows]
        if new and self.climb is None and self.state == "over" and newest.outbreaks == 1:
            new = []  # opened and over in one batch
        if self.climb and not any(rung.rows for rung in self.climb.rungs):
            self.written(new)
        else:
            assert not new or self.state == "over", "a plan that nothing asked for"
        self.all_rows.update({row.id: Row(row.target) for row in rows if row.id not in self.all_rows})
        for row in rows:
            mine = self.all_rows[row.id]
            if row.state is State.CANCELLED:
                if not mine.cancelled and self.climb and self.state == "nobody":
                    self.is_told_already(row, rows)
                mine.cancelled = True
            elif row.state is State.FAILED and row.attempt == 0 and not mine.settled_at:
                mine.lost, mine.settled_at = True, self.now
                self.in_its_turn(row)
            elif row.state is State.FAILED:  # a lost one that was given up
                mine.lost = True
            elif row.target == CHAT and row.state is State.DELIVERED and not mine.settled_at:
                mine.settled_at = self.now
                self.in_its_turn(row)
        rings = [card for card in self.read(lambda tx: tx.cards_of(CardKind.RING, newest.id)) if not card.text]
        if len(rings) > self.rung_before:
            assert self.climb is not None, f"the chat rings, and it is {self.state}"
            assert len(rings) == self.rung_before + 1, "rings at once"
            assert self.climb.last_called == len(self.climb.rungs) - 1, "rings, and somebody is still to be called"
            self.climb.rings.append(self.now)
        self.rung_before = len(rings)

    def is_told_already(self, row: Notification, rows: Sequence[Notification]) -> None:
        """Nobody is left out while it is nobody's, but who hears of this rung by another name."""
        assert self.climb is not None
        if not any(row.id in rung.rows for rung in self.climb.rungs):
            return  # of a plan before this one
        rota = row.target.removeprefix(ROTA)
        who = self.on_call(rota) if row.target.startswith(ROTA) else row.target
        others = [other for other in rows if (other.round, other.step) == (row.round, row.step) and other.id != row.id]
        assert any(other.person == who and other.attempt for other in others), "cancelled, and not told"

    def written(self, new: Sequence[Notification]) -> None:
        """A plan is written: every rung of the policy, in its order, and nobody else."""
        assert self.climb is not None
        rungs: dict[tuple[int, int], list[Notification]] = {}
        for row in new:
            rungs.setdefault((row.round, row.step), []).append(row)
        told = [sorted(row.target for row in rungs[key]) for key in sorted(rungs)]
        assert told == [sorted(rung.targets) for rung in self.climb.rungs]
        for key, rung in zip(sorted(rungs), self.climb.rungs, strict=True):
            rung.rows = {row.id: self.all_rows.setdefault(row.id, Row(row.target)) for row in rungs[key]}

    def called(self, row: Notification) -> None:
        """One was just claimed."""
        if not row.is_page:
            return
        mine = self.all_rows[row.id]
        if row.target.startswith(ROTA) and not row.resent:
            assert row.person == self.on_call(row.target.removeprefix(ROTA)), "not whose turn it is"
        mine.tried, mine.left, mine.on_the_wire = True, mine.left + 1, True
        assert mine.left <= (2 if row.resent else 1), "twice"
        self.in_its_turn(row)

    def in_its_turn(self, row: Notification) -> None:
        assert self.climb is not None, f"called, and it is {self.state}"
        k, _ = self.climb.row(row.id)
        for before in self.climb.rungs[:k]:
            assert before.is_called or all(other.cancelled for other in before.rows.values()), "a rung was skipped"
        if row.resent or row.attempt > 1:
            return
        if k == 0:
            assert self.now >= self.climb.earliest or -1 in self.climb.passed_on, "called too early"
            return
        before = self.climb.rungs[k - 1]
        asked = before.was_hopeless or self.is_hopeless(before) or k - 1 in self.climb.passed_on
        waited = before.begun_at is not None and self.now >= before.begun_at + before.wait
        assert asked or waited, "the next rung was called too early"

    def is_hopeless(self, rung: Rung) -> bool:
        at = rung.hopeless_at()
        return at is not None and self.now >= at

    def instants(self) -> list[datetime]:
        """When the model wants to look."""
        ahead = [self.asks_again_at] if self.asks_again_at else []
        if self.climb:
            ahead += [self.climb.earliest]
            ahead += [rung.begun_at + rung.wait for rung in self.climb.rungs if rung.begun_at]
            ahead += [at for rung in self.climb.rungs if (at := rung.hopeless_at())]
        return [at for at in ahead if at > self.now]

    def everybody_was_called(self) -> None:
        """Nobody who should have been called by now was not, and somebody always has it."""
        climb = self.climb
        if climb is None:
            return
        rows = [row for row in self.read(lambda tx: tx.notifications_of([self.incident])) if row.is_page]
        in_flight = {row.id for row in rows if row.state in (State.PLANNED, State.SENDING)}
        last = climb.last_called
        waiting = any(number in in_flight for rung in climb.rungs[: last + 1] for number in rung.rows)
        for rung in climb.rungs:
            rung.was_hopeless = rung.was_hopeless or (rung.is_called and self.is_hopeless(rung))
        if last < 0 and climb.rungs:
            assert self.now < climb.earliest, "nobody was called"
            assert -1 not in climb.passed_on, "passed on, and nobody was called"
        if waiting or (last < 0 and climb.rungs):
            return
        called = climb.rungs[last] if climb.rungs else None
        over = called is None or (called.begun_at is not None and self.now >= called.begun_at + called.wait)
        hopeless = called is None or called.was_hopeless
        if last + 1 < len(climb.rungs):
            assert not over, "their time to answer is over, and the next was not called"
            assert not hopeless, "none of them will have it in time, and the next was not called"
            assert last not in climb.passed_on, "passed on, and the next was not called"
            return
        timers = [t for t in self.timers_of(escalator.NOBODY) if t.due_at > self.now]
        assert timers, "nobody has it, and nothing is ahead"
        assert timers[0].due_at <= self.now + LONGEST_GAP
        reached = any(row.delivered for rung in climb.rungs for row in rung.rows.values() if row.target != CHAT)
        if over or (hopeless and not reached):
            assert climb.rings, "nobody has it, and the chat has not rung"
        for earlier, later in zip(climb.rings, climb.rings[1:], strict=False):
            assert later - earlier >= 5 * MINUTE, "the chat rings too often"

    def timers_of(self, kind: str) -> list[Timer]:
        return [t for t in self.read(lambda tx: tx.timers_due(self.now + timedelta(days=9), 50)) if t.kind == kind]

    @invariant()
    def nothing_is_left_for_what_somebody_has(self) -> None:
        if getattr(self, "incident", 0) and self.state != "nobody":
            rows = self.read(lambda tx: tx.notifications_of([self.incident]))
            assert not [row for row in rows if row.is_page and row.state is State.PLANNED], f"{self.state}, and planned"


def asker(name: str) -> Asker:
    return Asker(name, Role.RESPONDER, PEOPLE[name].telegram_id)


# --- planted


@dataclass
class Tampered:
    """A transaction that forgets something."""

    tx: Transaction

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tx, name)


class LeavesThePlan(Tampered):
    """Planted: who takes it leaves the rest of the plan standing."""

    def cancel_planned(self, incident_ids: Collection[int], reason: str, now: datetime) -> int:
        return 0 if reason.endswith("has it") else self.tx.cancel_planned(incident_ids, reason, now)


class ShiftsNothing(Tampered):
    """Planted: what is behind a late rung keeps its hour."""

    def save_notifications(self, pairs: Sequence[tuple[Notification, Notification]]) -> list[bool]:
        def is_shift(changed: Notification, was: Notification) -> bool:
            return changed.state is was.state is State.PLANNED and changed.due_at > was.due_at

        return self.tx.save_notifications([pair for pair in pairs if not is_shift(*pair)])


class ForgetsTheLast(Tampered):
    """Planted: the last rung is hopeless, and the chat does not hear of it."""

    def set_timer(self, timer: Timer) -> None:
        if timer.kind != escalator.NOBODY:
            self.tx.set_timer(timer)


class BeginsNothing(Tampered):
    """Planted: what is triggered again has no new plan."""

    def add_notifications(self, notifications: Sequence[Notification]) -> None:
        self.tx.add_notifications([row for row in notifications if row.round <= MOST_ROUNDS or not row.is_page])


class HastensTwice(Outbox):
    """Planted: old news of a rung calls the one after the next."""

    def _tell(self, tx: Transaction, house: House, row: Notification, was: Notification, now: datetime) -> None:
        super()._tell(tx, house, row, was, now)
        incident = tx.incident(row.incident_id or 0)
        if incident and row.is_page and row.state in (State.FAILED, State.UNDELIVERED, State.UNCERTAIN):
            tx.save_notifications(escalation.hasten(escalator.in_force(tx, incident), now))


def run_nights(
    outbox: type[Outbox] = Outbox,
    tamper: Callable[[Transaction], Any] = lambda tx: tx,
    examples: int = EXAMPLES,
) -> None:
    with a_database() as database:
        parts = {"connection": database, "outbox_of": outbox, "tamper": staticmethod(tamper)}
        machine = type("Nights", (Nights,), parts)
        how = settings(
            max_examples=examples, phases=(Phase.generate,), stateful_step_count=STEPS, deadline=None, database=None,
            suppress_health_check=list(HealthCheck), derandomize=not LONG, report_multiple_bugs=False,
        )  # fmt: skip
        run_state_machine_as_test(machine, settings=how)


@pytest.mark.timeout(7200 if LONG else 240)
def test_each_rung_is_called_in_its_turn_and_somebody_always_has_it() -> None:
    run_nights()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("broken", [LeavesThePlan, ShiftsNothing, ForgetsTheLast, BeginsNothing])
def test_a_plan_that_forgets_something_is_found(broken: type[Tampered]) -> None:
    with pytest.raises(AssertionError):
        run_nights(tamper=broken, examples=1000)  # it ends with the first that is found


@pytest.mark.timeout(240)
def test_a_rung_that_is_hastened_by_old_news_is_found() -> None:
    with pytest.raises(AssertionError):
        run_nights(HastensTwice, examples=300)
