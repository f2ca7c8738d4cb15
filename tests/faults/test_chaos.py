"""Through a Mobizon that fails in every way it can, each SMS arrives once, or somebody is told why not."""

import os
from pathlib import Path

import pytest

from tests.faults.chaos import torment

LONG = os.environ.get("SMS_BRIDGE_TORTURE") == "long"
MESSAGES = 100_000 if LONG else 2000 if os.environ.get("CI") else 500


@pytest.mark.timeout(4 * 3600 if LONG else 180)
async def test_a_failing_mobizon_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    tally = await torment(tmp_path, MESSAGES)
    print(tally)
    assert tally.wrong == []
    assert len(tally.page_twice) <= tally.performed_late
    assert tally.found and tally.resent and tally.asked  # every way out was taken, or little was tried
    assert len(tally.faults) >= 13


async def test_a_planted_bug_is_found(tmp_path: Path) -> None:
    tally = await torment(tmp_path, 120, hasty=True)
    print(tally)
    assert any("came 2 times" in wrong for wrong in tally.wrong)
