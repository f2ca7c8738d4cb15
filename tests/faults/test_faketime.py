"""A real process whose clock is set back and forth, with a failing Mobizon and kill -9: nothing lost, nothing twice."""

from pathlib import Path

import pytest

from tests.faults.faketime import WALL_LEASES, in_mid_send, library, restless
from tests.faults.tracing import LONG

MESSAGES, KILLS = (20_000, 500) if LONG else (200, 3)
LIBRARY = library()
pytestmark = [
    pytest.mark.timeout(2 * 3600 if LONG else 240),
    pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed"),
]


async def test_a_clock_that_is_set_while_a_process_works_loses_and_doubles_nothing(tmp_path: Path) -> None:
    assert LIBRARY is not None
    tally, settings = await restless(tmp_path, LIBRARY, MESSAGES, KILLS)
    print(f"the clock was set {settings} times; {tally}")
    assert tally.is_clean, tally
    assert tally.accepted == MESSAGES
    assert tally.uncertain and settings > KILLS


async def test_a_clock_that_is_set_in_the_middle_of_a_send_ends_no_lease(tmp_path: Path) -> None:
    assert LIBRARY is not None
    tally = await in_mid_send(tmp_path, LIBRARY)
    assert tally.is_clean, tally


async def test_it_shows_leases_that_believe_any_clock(tmp_path: Path) -> None:
    assert LIBRARY is not None
    tally = await in_mid_send(tmp_path, LIBRARY, *WALL_LEASES)
    print(tally)
    assert tally.twice
