"""Small rules, as tables: states, matchers, routes, waits, windows."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.house import House, Person, SmsRules
from bridge.domain.notification import TRANSITIONS, Event, InvalidTransition, Notification, State, after
from bridge.domain.retry import first_price, next_attempt, next_poll, next_price
from bridge.domain.routing import BadMatcher, Route, matching, parse_matcher
from bridge.domain.throttle import AnyWindow, Limits, Month, Window, opens_at

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


@pytest.mark.parametrize(
    ("age", "pause"),
    [
        (timedelta(0), timedelta(minutes=5)),
        (timedelta(minutes=59), timedelta(minutes=5)),
        (HOUR, HOUR),
        (24 * HOUR, 6 * HOUR),
        (71 * HOUR, 6 * HOUR),
    ],
)
def test_a_price_is_asked_for_less_and_less_often(age: timedelta, pause: timedelta) -> None:
    assert next_price(NOW - age, NOW) == NOW + pause


def test_a_price_is_first_asked_for_when_others_may_have_ended_too_and_given_up_after_three_days() -> None:
    assert first_price(NOW) == NOW + timedelta(seconds=30)
    assert next_price(NOW - 72 * HOUR, NOW) is None


class Had:
    """What was reserved, one by one, the oldest first."""

    def __init__(self, reserved: Iterable[tuple[datetime, int]]) -> None:
        self._reserved = sorted(reserved)

    def reserved(self, since: datetime) -> int:
        return sum(segments for at, segments in self._reserved if at >= since)

    def reached(self, since: datetime, segments: int) -> datetime:
        found = [(at, added) for at, added in self._reserved if at >= since]
        sums = accumulate(added for _, added in found)
        return next(at for (at, _), summed in zip(found, sums, strict=True) if summed >= segments)


@pytest.mark.parametrize(
    ("zone", "now", "since", "frees"),
    [
        ("UTC", "2026-02-28T23:59:59Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"),
        ("UTC", "2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("Asia/Almaty", "2026-11-30T18:59:59Z", "2026-10-31T19:00:00Z", "2026-11-30T19:00:00Z"),
        ("Asia/Almaty", "2026-11-30T19:00:00Z", "2026-11-30T19:00:00Z", "2026-12-31T19:00:00Z"),
        # An hour less, an hour more, within the month.
        ("Europe/Berlin", "2026-03-29T12:00:00Z", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"),
        ("Europe/Berlin", "2026-10-25T12:00:00Z", "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z"),
        ("Asia/Kathmandu", "2026-11-30T18:15:00Z", "2026-11-30T18:15:00Z", "2026-12-31T18:15:00Z"),
        # The first of April 2005 had no midnight there: the clock went from 00:00 to 01:00.
        ("Asia/Amman", "2005-03-31T22:00:00Z", "2005-03-31T22:00:00Z", "2005-04-30T21:00:00Z"),
        # The first of November 2009 had two midnights there: from 00:01 back to 23:01 of October.
        ("America/St_Johns", "2009-11-01T02:30:30Z", "2009-10-01T02:30:00Z", "2009-11-01T03:30:00Z"),
        ("America/St_Johns", "2009-11-01T03:29:59Z", "2009-10-01T02:30:00Z", "2009-11-01T03:30:00Z"),
        ("America/St_Johns", "2009-11-01T03:30:00Z", "2009-11-01T03:30:00Z", "2009-12-01T03:30:00Z"),
    ],
)
def test_a_month_begins_and_ends_by_the_calendar_of_its_zone(zone: str, now: str, since: str, frees: str) -> None:
    month, at = Month(1, ZoneInfo(zone)), datetime.fromisoformat(now)
    assert month.since(at) == datetime.fromisoformat(since)
    assert month.frees(at) == datetime.fromisoformat(frees)


@given(st.timezones(), st.integers(631152000, 2114380800).map(lambda second: datetime.fromtimestamp(second, UTC)))
def test_every_moment_is_in_one_month(zone: ZoneInfo, now: datetime) -> None:
    month = Month(1, zone)
    begins, ends = month.since(now), month.frees(now)
    assert begins <= now < ends
    assert timedelta(days=27) < ends - begins < timedelta(days=32)
    assert month.since(begins) == begins
    assert month.since(ends - timedelta(microseconds=1)) == begins
    assert month.since(ends) == ends


def test_a_window_opens_when_enough_of_it_is_old() -> None:
    window = Window(5 * MINUTE, 5)
    had = Had((NOW - MINUTE * minutes, 2) for minutes in (4, 2))
    assert opens_at(had, window, 1, NOW) is None
    assert opens_at(had, window, 2, NOW) == NOW + MINUTE
    assert opens_at(had, window, 9, NOW) == NOW + 3 * MINUTE  # larger than the window: once it is empty


@given(
    st.lists(st.tuples(st.integers(0, 7200), st.integers(1, 6)), max_size=40),
    st.integers(1, 6),
    st.one_of(
        st.builds(Window, st.integers(60, 7200).map(lambda seconds: timedelta(seconds=seconds)), st.integers(6, 20)),
        st.builds(Month, st.integers(6, 20), st.sampled_from([ZoneInfo("UTC"), ZoneInfo("Asia/Almaty")])),
    ),
)
def test_after_the_opening_it_fits_and_before_it_does_not(
    history: list[tuple[int, int]], wanted: int, window: AnyWindow
) -> None:
    had = Had((NOW - timedelta(seconds=ago), segments) for ago, segments in history)

    def fits(at: datetime) -> bool:
        return had.reserved(window.since(at)) + min(wanted, window.segments) <= window.segments

    opens = opens_at(had, window, wanted, NOW)
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
    ("limits", "own", "critical", "most"),
    [
        (Limits(), (), False, 4),
        (Limits(per_person=(Window(HOUR, 9), Window(MINUTE, 3))), (), False, 3),
        (Limits(total=(Window(HOUR, 4),), critical_share=0.5), (), False, 2),
        (Limits(total=(Window(HOUR, 4),), critical_share=0.5), (), True, 4),
        (Limits(), (Window(HOUR, 2), Window(24 * HOUR, 3)), True, 2),
        (Limits(per_person=(Window(HOUR, 1),)), (Window(HOUR, 2),), False, 1),
    ],
)
def test_a_page_is_never_longer_than_what_fits_an_empty_limit(
    limits: Limits, own: tuple[AnyWindow, ...], critical: bool, most: int
) -> None:
    routes = (Route("db", max_segments=4, limits=own, critical=critical), Route("rest"))
    house = House(routes=routes, limits=limits)
    assert house.texting("db", None).max_segments == most
    assert house.texting("rest", None).max_segments == 1


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
