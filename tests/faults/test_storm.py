"""A storm on a real process: nothing is lost, it costs a few SMS, and a page of somebody else leaves meanwhile."""

import os
from pathlib import Path

import pytest

from tests.bench.storm import AIGERIM, CONFIG, DANA, PATIENCE, storm
from tests.faults.tracing import LONG

ALERTS = 100_000 if LONG else 10_000
REQUESTS = 100_000 if LONG else 10_000 if os.environ.get("CI") else 2000
pytestmark = pytest.mark.timeout(2 * PATIENCE)


async def test_ten_thousand_alerts_in_one_body_and_thousands_of_requests(tmp_path: Path) -> None:
    found = await storm(tmp_path, ALERTS, REQUESTS)
    print(found)
    assert found.answers == {202: 3 + REQUESTS}
    assert (found.unread, found.incidents, found.records) == (0, 3 + REQUESTS + 1, ALERTS), "and the storm"
    assert found.sms[AIGERIM] <= 3, "the body's, perhaps the first request's, and the storm's"
    assert found.sms[DANA] == 1, "the vital one"


async def test_it_shows_what_is_no_storm_to_the_bridge(tmp_path: Path) -> None:
    found = await storm(tmp_path, 20, 25, CONFIG.replace("{{1h: 5}}", "{{1h: 1000}}") + 'storm: "off"\n')
    assert found.sms[AIGERIM] > 3
