"""What is a sign of life, and the one thing that is none."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.incident import NO_BEAT
from bridge.sources import HEARTBEAT, parse
from tests.fakes import START

FIRING, RESOLVED = {"status": "firing"}, {"status": "resolved"}


@pytest.mark.parametrize(
    ("body", "beats"),
    [
        ({"alerts": [FIRING]}, True),
        ({"alerts": [FIRING, RESOLVED]}, True),
        ({"alerts": [RESOLVED, RESOLVED]}, False),
        ({"alerts": [RESOLVED], "status": "firing"}, False),
        ({"alerts": [{"status": "Resolved "}]}, False),
        ({"alerts": [{}], "status": "resolved"}, False),
        ({"alerts": [{}, FIRING], "status": "resolved"}, True),
        ({"alerts": [{}]}, True),
        ({"alerts": []}, True),
        ({"alerts": [], "status": "firing"}, True),
        ({"alerts": [], "status": "resolved"}, False),
        ({"alerts": [{"status": "later"}]}, True),
        ({"alerts": [{"status": []}]}, True),
        ({"alerts": ["resolved"]}, True),
        ({"alerts": "resolved"}, True),
        ({"status": "resolved"}, True),
        ([], True),
        ("resolved", True),
        (None, True),
    ],
)
def test_only_a_webhook_in_which_all_is_over_is_no_beat(body: Any, beats: bool) -> None:
    report = parse(HEARTBEAT, json.dumps(body).encode(), START)
    assert (report.group_key, report.alerts, report.whole_group_over) == (NO_BEAT, (), beats)


@pytest.mark.parametrize("body", [b"", b"state=ok", b"\xff\x00", b"{", b"[" * 100_000, b"\xef\xbb\xbf"])
def test_what_is_no_json_is_a_beat(body: bytes) -> None:
    assert parse(HEARTBEAT, body, START).whole_group_over


@given(st.binary(max_size=60) | st.recursive(
    st.none() | st.integers() | st.text(max_size=9) | st.just("resolved"),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["alerts", "status", "labels"]), inner, max_size=3),
    max_leaves=9,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_nothing_is_unreadable(body: bytes) -> None:
    report = parse(HEARTBEAT, body, START)
    assert report.whole_group_over or b"resolved" in body
