"""Small rules, as tables: states, matchers, routes, waits, windows."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.house import House, Person, SmsRules
from bridge.domain.notification import TRANSITIONS, Event, InvalidTransition, Notification, State, after
from bridge.domain.retry import next_attempt, next_poll
from bridge.domain.routing import BadMatcher, Route, matching, parse_matcher
from bridge.domain.throttle import Limits, Spent, Window, opens_at

NOW = datetime(2026, 11, 20, 3, 10, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.mark.parametrize("state", list(State))
def test_a_final_state_has_no_way_out(state: State) -> None:
    ways_out = [event for event in Event if event in TRANSITIONS[state]]
    assert state.is_final == (not ways_out)
    for event in set(Event) - set(ways_out):
        with pytest.raises(InvalidTransition, match=f"a {state} notification cannot be {event}"):
            after(state, event)


def test_what_may_have_left_goes_back_to_planned_only_after_looks_or_a_late_proof() -> None:
    back = {event for state in (State.UNCERTAIN, State.SUBMITTED) for event, to in TRANSITIONS[state].items()
            if to is State.PLANNED}  # fmt: skip
    assert back == {Event.MISSING, Event.UNREACHABLE, Event.POSTPONED}
    assert after(State.SENDING, Event.LOST) is State.UNCERTAIN


def test_the_table_and_the_row_agree() -> None:
    row = Notification(1, "aigerim", NOW, NOW).becomes(Event.CLAIMED, attempt=1)
    assert (row.state, row.attempt) == (State.SENDING, 1)


@pytest.mark.parametrize(
    ("matcher", "labels", "matches"),
    [
        ('severity="critical"', {"severity": "critical"}, True),
        ("severity=critical", {"severity": "critical"}, True),
        ('severity!="critical"', {}, True),
        ('team=""', {}, True),
        ('team=~"db|web"', {"team": "web"}, True),
        ('team=~"db|web"', {"team": "webshop"}, False),  # anchored, as Alertmanager's are
        ('team!~"db.*"', {"team": "db1"}, False),
        (r'path="C:\\\"x\""', {"path": 'C:\\"x"'}, True),
    ],
)
def test_matchers_mean_what_alertmanagers_mean(matcher: str, labels: dict[str, str], matches: bool) -> None:
    assert parse_matcher(matcher).matches(labels) is matches


@pytest.mark.parametrize("written", ["severity", '="critical"', 'a=~"("', 'a="b', "a = b c"])
def test_a_matcher_that_cannot_be_read_is_told(written: str) -> None:
    with pytest.raises(BadMatcher):
        parse_matcher(written)


def test_the_first_match_wins_unless_it_says_continue() -> None:
    critical = (parse_matcher("severity=critical"),)
    routes = [Route("log", continues=True), Route("page", critical), Route("rest")]
    assert [r.name for r in matching(routes, {"severity": "critical"})] == ["log", "page"]
    assert [r.name for r in matching(routes, {})] == ["log", "rest"]


@pytest.mark.parametrize(("failures", "seconds"), [(1, 5), (2, 10), (3, 20), (7, 300), (1000, 300)])
def test_patience_doubles_up_to_five_minutes(failures: int, seconds: int) -> None:
    assert next_attempt(failures, NOW) == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("age", "pause"),
    [
        (timedelta(0), timedelta(seconds=2)),
        (timedelta(seconds=30), timedelta(seconds=5)),
        (5 * MINUTE, timedelta(seconds=20)),
        (30 * MINUTE, MINUTE),
        (3 * HOUR, 5 * MINUTE),
        (12 * HOUR, 20 * MINUTE),
    ],
)
def test_questions_come_seconds_apart_while_fresh_and_minutes_when_old(age: timedelta, pause: timedelta) -> None:
    assert next_poll(NOW - age, 1440, NOW) == NOW + pause


def test_asking_ends_a_day_after_the_validity() -> None:
    assert next_poll(NOW - 25 * HOUR + timedelta(seconds=1), 60, NOW) == NOW + timedelta(seconds=1)
    assert next_poll(NOW - 25 * HOUR, 60, NOW) is None


def test_a_window_opens_when_enough_of_it_is_old() -> None:
    windows = [Window(5 * MINUTE, 5)]
    spent = [Spent("+77010000001", NOW - MINUTE * minutes, 2) for minutes in (4, 2)]
    assert opens_at(spent, windows, 1, NOW) is None
    assert opens_at(spent, windows, 2, NOW) == NOW + MINUTE
    assert opens_at(spent, windows, 9, NOW) == NOW + 3 * MINUTE  # larger than the window: once it is empty


@given(
    st.lists(st.tuples(st.integers(0, 7200), st.integers(1, 6)), max_size=40),
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(60, 7200), st.integers(6, 20)), min_size=1, max_size=3),
)
def test_after_the_opening_it_fits_and_before_it_does_not(
    history: list[tuple[int, int]], wanted: int, shape: list[tuple[int, int]]
) -> None:
    spent = [Spent("+77010000001", NOW - timedelta(seconds=ago), segments) for ago, segments in history]
    windows = [Window(timedelta(seconds=length), segments) for length, segments in shape]

    def fits(at: datetime) -> bool:
        return all(
            sum(s.segments for s in spent if s.at > at - w.length) + min(wanted, w.segments) <= w.segments
            for w in windows
        )

    opens = opens_at(spent, windows, wanted, NOW)
    assert fits(opens or NOW)
    if opens is not None:
        assert not fits(opens - timedelta(microseconds=1))


def test_typed_sms_have_their_share_of_the_house() -> None:
    assert [w.segments for w in Limits(total=(Window(HOUR, 60),), typed_share=0.7).typed_total] == [42]
    assert [w.segments for w in Limits(total=(Window(HOUR, 60),), typed_share=1.0).typed_total] == [54]
    assert [w.segments for w in Limits(total=(Window(HOUR, 60), Window(HOUR, 4))).normal_total] == [54, 4]
    assert [w.segments for w in Limits(total=(Window(HOUR, 1),), typed_share=0.1).typed_total] == [1]


@pytest.mark.parametrize(
    ("person", "route", "house", "alphabet", "may_spell"),
    [
        (None, None, "auto", "auto", False),
        (None, None, "gsm7", "gsm7", False),
        (None, "auto", "auto", "auto", True),
        (None, "gsm7", "auto", "gsm7", False),
        ("auto", None, "unicode", "auto", True),
        ("unicode", "auto", "gsm7", "unicode", False),
        ("gsm7", "unicode", "auto", "gsm7", False),
    ],
)
def test_a_person_s_alphabet_counts_before_the_route_s_and_that_before_the_house_s(
    person: str | None, route: str | None, house: str, alphabet: str, may_spell: bool
) -> None:
    people = {"dana": Person("dana", alphabet=person)}
    routes = (Route("critical", alphabet=route, max_segments=2), Route("rest"))
    told = House(people=people, routes=routes, sms=SmsRules(alphabet=house))
    rules = told.texting("critical", "dana")
    assert (rules.alphabet, rules.may_spell, rules.max_segments) == (alphabet, may_spell, 2)
    assert told.texting("rest", None).max_segments == 1
    assert told.texting("gone from the config", "nobody") == told.sms


@pytest.mark.parametrize(
    ("matcher", "critical", "severity", "implied"),
    [
        ('severity="critical"', False, "critical", True),
        ('severity="critical"', False, "warning", False),
        ('severity=~"critical|page"', False, "critical", False),
        ('severity!="info"', False, "warning", False),
        ('team="db"', True, "critical", True),
        ('team="critical"', False, "critical", False),
    ],
)
def test_a_route_implies_the_severity_that_it_asks_for(
    matcher: str, critical: bool, severity: str, implied: bool
) -> None:
    assert Route("r", (parse_matcher(matcher),), critical=critical).implies(severity) == implied
