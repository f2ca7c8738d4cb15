"""Which end is the end of which outbreak."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.domain.alert import NO_START, AlertStatus
from bridge.domain.incident import AlertRecord, is_over

NOW = datetime(2026, 11, 20, 3, 10, tzinfo=UTC)
EARLY, LATE = NOW - timedelta(hours=2), NOW - timedelta(hours=1)
FIRING = AlertRecord(1, "shop", "g", "f1", EARLY, AlertStatus.FIRING, "DiskFull", "db1", "", "", NOW, receipt=10)
END = replace(FIRING, incident_id=0, status=AlertStatus.RESOLVED, receipt=11, ended_at=NOW)


@pytest.mark.parametrize(
    ("begun", "ended", "after", "over"),
    [
        (EARLY, EARLY, -1, True),
        (EARLY, LATE, -1, True),
        (LATE, EARLY, -1, False),  # the end of an earlier outbreak
        (LATE, LATE - timedelta(seconds=30), -1, True),  # two Prometheis, one outbreak
        (LATE, LATE - timedelta(seconds=30), 1, False),
        (EARLY, EARLY, 1, True),  # a twin that lags
        (EARLY, EARLY, 5, False),
        (LATE, EARLY, 1, False),
        (NO_START, NO_START, -1, True),
        (NO_START, NO_START, 1, False),  # it may have begun again
        (NO_START, LATE, -1, True),
        (LATE, NO_START, -1, True),
        (LATE, NO_START, 1, False),
    ],
)
def test_an_end_ends_what_came_before_it(begun: datetime, ended: datetime, after: int, over: bool) -> None:
    """`after`: how many minutes after the end the firing was received; before it for less than 0."""
    firing = replace(FIRING, starts_at=begun, last_seen=NOW + timedelta(minutes=after), receipt=11 + after)
    assert is_over(firing, replace(END, starts_at=ended)) is over


def test_the_end_of_a_group_is_no_twin_of_what_fires_in_it_later() -> None:
    whole = replace(END, fingerprint="")
    assert is_over(FIRING, whole)
    assert not is_over(replace(FIRING, receipt=12), whole)


def test_the_order_of_receipts_counts_when_the_clock_was_set_back() -> None:
    before, after = (replace(FIRING, starts_at=NO_START, receipt=number) for number in (10, 12))
    end = replace(END, starts_at=NO_START, last_seen=NOW + timedelta(hours=1))
    assert (is_over(before, end), is_over(after, end)) == (True, False)


def test_what_ended_remembers_the_latest_of_all_it_was_told() -> None:
    late = replace(END, starts_at=LATE, last_seen=NOW + timedelta(minutes=1), receipt=12)
    for ended in (FIRING.ended(END).ended(late), FIRING.ended(late).ended(END)):
        assert (ended.starts_at, ended.receipt, ended.ended_at) == (LATE, 12, late.last_seen)
        assert not ended.is_firing
