"""Laws of admission: whatever order webhooks are understood in, the newest knowledge wins and nobody is told twice."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.admission import Admission, Parsed
from bridge.domain.alert import NO_START, Alert, AlertStatus, Report
from bridge.domain.escalation import Policy, Step
from bridge.domain.house import House
from bridge.domain.incident import AlertRecord
from bridge.domain.routing import Route, parse_matcher
from bridge.metrics import Metrics
from bridge.ports import Receipt
from storage import migrate
from storage.transaction import SqlTransaction
from tests.fakes import START

HOUSE = House(
    policies={"all": Policy("all", (Step(("jonas", "dana")),)), "a": Policy("a", (Step(("jonas",)),))},
    routes=(
        Route("all", policy="all", continues=True),
        Route("a", (parse_matcher("which=a"),), policy="a"),
        Route("rest"),
    ),
)
FIRING, RESOLVED = AlertStatus.FIRING, AlertStatus.RESOLVED
ROUTES = {"all": {"a", "b"}, "a": {"a"}, "rest": {"b"}}  # which alerts take them
GROUP = ("shop", "g")

Word = dict[str, tuple[AlertStatus, int]]  # what one webhook says: of each alert, whether it fires, and which outbreak
timed = st.dictionaries(
    st.sampled_from("ab"), st.tuples(st.sampled_from(AlertStatus), st.integers(1, 3)), min_size=1, max_size=2
)
untimed = st.sampled_from(AlertStatus).map(lambda status: {"a": (status, 0)})


@dataclass
class History:
    """Webhooks in the order they were received, and the order and company in which they are understood."""

    words: list[Word]
    order: list[int]
    together: int


@st.composite
def histories(draw: st.DrawFn) -> History:
    words: list[Word] = draw(st.lists(draw(st.sampled_from([timed, untimed])), min_size=1, max_size=8))
    words += draw(st.lists(st.sampled_from(words), max_size=2))  # twins and retries
    return History(words, list(draw(st.permutations(range(len(words))))), draw(st.integers(1, 4)))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("laws") / "bridge.db"
    migrate(path)
    with closing(sqlite3.connect(path)) as connection:
        yield connection


BEFORE_IT_ENDED = History([{"a": (FIRING, 2), "b": (FIRING, 3)}, {"a": (RESOLVED, 1), "b": (RESOLVED, 3)}], [1, 0], 1)
AN_OLDER_END_AFTER = History([{"a": (RESOLVED, 3)}, {"a": (RESOLVED, 1)}, {"a": (FIRING, 2)}], [0, 1, 2], 1)
A_LATE_TWIN = History([{"a": (FIRING, 2)}, {"a": (FIRING, 1)}, {"a": (RESOLVED, 1)}], [0, 1, 2], 1)


@example(BEFORE_IT_ENDED)
@example(AN_OLDER_END_AFTER)
@example(A_LATE_TWIN)
@settings(max_examples=150, deadline=None)
@given(history=histories())
def test_in_any_order_the_newest_knowledge_wins_and_nobody_is_told_twice(
    database: sqlite3.Connection, history: History
) -> None:
    try:
        tx = SqlTransaction(database)
        understand(tx, history)
        fires = {alert for alert in "ab" if fires_still(alert, history.words)}

        open_now = tx.open_incidents([GROUP])
        assert sorted(incident.route for incident in open_now) == sorted(r for r in ROUTES if ROUTES[r] & fires)

        everyone = {incident.id: incident for incident in tx.incidents(open_only=False)}
        about: dict[int, list[AlertRecord]] = defaultdict(list)
        for record in tx.alert_records([GROUP], START - timedelta(days=1)):
            if record.incident_id:
                about[record.incident_id].append(record)
        outbreaks = Counter(
            (everyone[number].route, record.fingerprint, record.starts_at)
            for number, records in about.items()
            for record in records
            if record.starts_at > NO_START
        )
        assert set(outbreaks.values()) <= {1}

        rows = tx.notifications_of(list(everyone))
        assert set(Counter((row.incident_id, row.round, row.target) for row in rows).values()) <= {1}
        told = {row.incident_id for row in rows if row.target == "jonas"}
        unspoken = [i for i in everyone.values() if i.policy and i.id not in told]
        assert all(any(other.id in told and other.route == "all" for other in everyone.values()) for _ in unspoken)
    finally:
        database.rollback()


def understand(tx: SqlTransaction, history: History) -> None:
    """Let all of it through the door, some webhooks in each transaction."""
    admission = Admission(Metrics())
    now = START + timedelta(minutes=30)
    arrived = []
    for number, word in enumerate(history.words, start=1):
        at = START + timedelta(seconds=20 * number)  # all within the five minutes that a twin may lag
        receipt = Receipt(tx.keep_receipt(GROUP[0], None, {}, b"", at), GROUP[0], at, b"")
        arrived.append(Parsed(receipt, report(word)))
    in_order = [arrived[n] for n in history.order]
    for start in range(0, len(in_order), history.together):
        admission.admit(tx, HOUSE, in_order[start : start + history.together], now)


def report(word: Word) -> Report:
    alerts = tuple(
        Alert(name, status, START - timedelta(hours=4 - outbreak) if outbreak else NO_START, name, {"which": name})
        for name, (status, outbreak) in word.items()
    )
    over = all(status is RESOLVED for status, _ in word.values())
    everything = over and (len(word) == 2 or word.get("a") == (RESOLVED, 0))
    return Report(GROUP[1], alerts, whole_group_over=everything)


def fires_still(alert: str, words: list[Word]) -> bool:
    """By the newest knowledge: its latest outbreak was not resolved; without hours, by the latest webhook."""
    told = [word[alert] for word in words if alert in word]
    begun = [outbreak for status, outbreak in told if status is FIRING]
    if not begun:
        return False
    if max(begun) == 0:
        return told[-1][0] is FIRING
    return not any(status is RESOLVED and outbreak >= max(begun) for status, outbreak in told)
