"""The figures of `make bench` are only as good as what measures them."""

import json
from itertools import product

import pytest

from bridge.domain.sms import measure
from tests.bench import wording
from tests.bench.bench import percentile
from tests.bench.inside import measure_elsewhere
from tests.bench.load import load, load_elsewhere, numbered, webhook
from tests.bench.programs import free_port, program


@pytest.mark.parametrize(
    ("values", "percent", "answer"),
    [([7.0], 99, 7.0), ([3.0, 1.0, 2.0], 50, 2.0), ([float(n) for n in range(1, 101)], 99, 99.0)],
)
def test_percentiles(values: list[float], percent: int, answer: float) -> None:
    assert percentile(values, percent) == answer


def test_every_webhook_is_about_an_incident_of_its_own() -> None:
    body = webhook("critical")
    one, other = json.loads(numbered(body, 1)), json.loads(numbered(body, 2))
    assert one["groupKey"] != other["groupKey"]
    assert one["alerts"][0]["fingerprint"] != other["alerts"][0]["fingerprint"]
    assert len(numbered(body, 1)) == len(body)


async def test_the_load_client_counts_every_answer() -> None:
    port = free_port()
    async with program("tests.bench.bare", str(port), port=port):
        result = await load(port, "/webhooks/any", "info", connections=4, seconds=30, first=0, most=200)
        elsewhere = await load_elsewhere(port, "/nowhere", "info", connections=2, first=0, most=10)
    assert result.statuses == {202: 200}
    assert len(result.latencies) == 200
    assert elsewhere.statuses == {404: 10}


async def test_the_backlog_is_understood_and_every_sms_asked_about() -> None:
    """The measurement itself fails when an incident, an SMS or a question is missing."""
    understood = await measure_elsewhere("understand", 20)
    assert min(understood["opened"], understood["repeated"]) > 0
    polled = await measure_elsewhere("poll", 250)
    assert (polled["calls"], polled["most"]) == (3, 100)


def test_the_texts_that_are_timed_are_texts() -> None:
    for rules in wording.RULES:
        for incident, make in product((wording.TEN, *wording.HOSTILE.values()), wording.TEXTS.values()):
            text = make(incident, rules)
            assert " #1042" in text and measure(text).segments <= rules.max_segments
