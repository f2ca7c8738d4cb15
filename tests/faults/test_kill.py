"""kill -9 at random moments loses nothing that was accepted, sends nothing twice, and calls each rung in its turn."""

import os
from pathlib import Path

import pytest

from tests.faults.kill import BUGS, torture

LONG = os.environ.get("SMS_BRIDGE_TORTURE") == "long"
KILLS, MESSAGES = (1000, 20_000) if LONG else (50, 500) if os.environ.get("CI") else (25, 250)


@pytest.mark.timeout(2 * 3600 if LONG else 240)
async def test_what_was_accepted_arrives_once_however_often_the_process_is_killed(tmp_path: Path) -> None:
    tally = await torture(tmp_path, KILLS, MESSAGES)
    print(tally)
    assert tally.is_clean, tally
    assert tally.accepted == MESSAGES
    assert tally.climbed
    assert tally.repeated and tally.uncertain  # kills met requests and sends under way, or nothing was tried


@pytest.mark.parametrize(
    ("name", "kills", "found"),
    [
        ("answers-before-the-commit", 8, "lost"),
        ("sends-again-what-was-on-the-wire", 8, "twice"),
        ("climbs-from-the-top", 2, "out_of_turn"),  # of what a kill left uncertain the turns are not known
    ],
)
async def test_a_planted_bug_is_found(tmp_path: Path, name: str, kills: int, found: str) -> None:
    tally = await torture(tmp_path, kills, messages=80, bug=BUGS[name])
    print(f"{name}: {tally}")
    assert getattr(tally, found), tally
