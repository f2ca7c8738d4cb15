"""The steady clock: nobody sees the machine's clock being set before it is adopted."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.clock import SteadyClock, SystemClock, moment_in
from tests.fakes import FakeClock

SPANS = st.floats(0, 1e6)
JUMPS = st.floats(-1e7, 1e7)


@given(st.lists(st.tuples(SPANS, JUMPS), max_size=20))
def test_time_goes_on_at_its_own_pace_until_a_jump_is_adopted(steps: list[tuple[float, float]]) -> None:
    machine = FakeClock()
    steady = SteadyClock(machine)
    for passes, jumps in steps:
        before = steady.now()
        machine.jump(jumps)
        machine.advance(passes)
        assert abs(steady.now() - before - timedelta(seconds=passes)) <= timedelta(seconds=4)
        steady.adopt(steady.jump())
        assert steady.jump() == timedelta(0)
        assert steady.now() == machine.now()


@given(st.floats(-1.99, 1.99))
def test_what_is_slewed_is_followed(by: float) -> None:
    machine = FakeClock()
    steady = SteadyClock(machine)
    machine.jump(by)
    assert (steady.jump(), steady.now()) == (timedelta(0), machine.now())


def test_small_steps_add_up() -> None:
    machine = FakeClock()
    steady = SteadyClock(machine)
    for _ in range(3):
        machine.jump(-0.9)
    assert steady.jump() == timedelta(seconds=-2.7)


def test_the_machines_own_clocks() -> None:
    clock = SystemClock()
    began, steady = clock.elapsed(), SteadyClock(clock)
    assert clock.elapsed() >= began
    assert steady.jump() == timedelta(0)
    assert abs(steady.now() - clock.now()) < timedelta(seconds=2)


@pytest.mark.parametrize("damaged", [None, "", "2026-11-20T73:10:00+00:00", "2026-11-20T03:10:00", "none"])
def test_what_a_damaged_file_has_in_place_of_a_moment_is_none(damaged: str | None) -> None:
    assert moment_in(damaged) is None
    assert moment_in("2026-11-20T03:10:00+00:00") == datetime(2026, 11, 20, 3, 10, tzinfo=UTC)
