"""SIGTERM at random moments: what is on the wire is answered and written down, the rest waits for the next start."""

from pathlib import Path

import pytest

from tests.faults.kill import BUGS, torture
from tests.faults.tracing import LONG

STOPS, MESSAGES = (1000, 20_000) if LONG else (20, 200)


@pytest.mark.timeout(2 * 3600 if LONG else 240)
async def test_whoever_is_asked_to_stop_finishes_what_is_on_the_wire_and_loses_nothing(tmp_path: Path) -> None:
    tally = await torture(tmp_path, STOPS, MESSAGES, gently=True)
    print(tally)
    assert tally.is_clean, tally
    assert tally.accepted == MESSAGES
    assert tally.uncertain == tally.settled_by_hand == 0  # every answer was waited for
    assert tally.at_work  # or it only stopped when there was nothing to do


@pytest.mark.timeout(120)
async def test_a_planted_bug_is_found(tmp_path: Path) -> None:
    tally = await torture(tmp_path, 8, 160, bug=BUGS["stops-without-waiting-for-answers"], gently=True)
    print(tally)
    assert tally.uncertain, tally
