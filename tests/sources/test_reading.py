"""What every format must survive, and what it says when it cannot."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.domain.alert import Report
from bridge.sources import PARSERS, NotJson, PayloadError, check_json, clean, parse, read_json

NOW = datetime(2026, 11, 20, 3, 32, tzinfo=UTC)
KINDS = sorted(PARSERS)

any_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)


def looks_like(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects with some of these keys, each holding what belongs there or anything at all."""
    return st.fixed_dictionaries({}, optional={name: value | any_json for name, value in fields.items()})


labels = st.dictionaries(any_text | st.sampled_from(["alertname", "severity", "phone", "to"]), any_json, max_size=4)
times = st.datetimes().map(lambda at: at.isoformat()) | st.sampled_from(
    ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"]
)
statuses = st.sampled_from(["firing", "resolved", "OK", ""])
an_alert = looks_like(
    status=statuses, labels=labels, annotations=labels, startsAt=times, endsAt=times, fingerprint=any_text
)
webhooks = looks_like(
    alerts=st.lists(an_alert, max_size=4),
    status=statuses,
    groupKey=any_text,
    groupLabels=labels,
    commonLabels=labels,
    commonAnnotations=labels,
    truncatedAlerts=st.integers(),
    receiver=any_text,
    message=any_text,
    key=any_text,
    labels=labels,
    severity=any_text,
    title=any_text,
    links=st.lists(looks_like(url=any_text), max_size=2),
    to=st.just("+77010000009"),
)


@pytest.mark.parametrize("kind", KINDS)
@given(value=webhooks | any_json)
def test_any_json_is_understood_or_refused_by_name(kind: str, value: object) -> None:
    try:
        report = parse(kind, json.dumps(value).encode(), NOW)
    except PayloadError as error:
        assert not isinstance(error, NotJson)
        assert "would be right" in str(error)
        str(error).encode()
    else:
        assert_fit_for_a_database(report)


@pytest.mark.parametrize("kind", KINDS)
@given(body=st.binary(max_size=60))
def test_any_bytes_are_understood_or_refused(kind: str, body: bytes) -> None:
    try:
        parse(kind, body, NOW)
    except PayloadError as error:
        str(error).encode()


@given(text=any_text)
def test_clean_text_can_be_stored_and_shown(text: str) -> None:
    cleaned = clean(text)
    assert "\0" not in cleaned
    cleaned.encode()
    assert clean(cleaned) == cleaned


def assert_fit_for_a_database(report: Report) -> None:
    alerts = report.alerts
    assert len({alert.fingerprint for alert in alerts}) == len(alerts)
    assert all(alert.starts_at.utcoffset() == timedelta(0) for alert in alerts)
    told = [report.group_key, report.receiver, report.notification_reason]
    for alert in alerts:
        told += [alert.fingerprint, alert.name, alert.summary, alert.description, alert.source_url, alert.runbook_url]
        told += [*alert.labels, *alert.labels.values()]
    for text in told:
        text.encode()
        assert "\0" not in text
        assert len(text) <= 4000
    assert report.identity


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'"\\ud800 lone"', "\ud800 lone"),
        (b'"\\u0000"', "\0"),
        (b"1" * 5000, float("inf")),
        (b"123456789012345678", 123456789012345678),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'\n {"a": 1}\n', {"a": 1}),
    ],
)
def test_dirty_json_is_still_read(body: bytes, value: object) -> None:
    assert read_json(body) == value


def test_not_a_number_is_still_read() -> None:
    assert str(read_json(b'[NaN, Infinity, "\\udc00"]')[0]) == "nan"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not JSON at character 0"),
        (b"message=disk+full", "not JSON at character 0"),
        (b'{"message": "cut o', "not JSON at character 12"),
        (b'{"message": "\xff"}', "not UTF-8 at byte 13; JSON is always UTF-8"),
        (b"[" * 200_000, "nested too deeply; no sender needs a thousand levels"),
        (b'{"a":' * 200_000, "nested too deeply; no sender needs a thousand levels"),
    ],
)
def test_what_is_no_json_says_where(body: bytes, told: str) -> None:
    with pytest.raises(NotJson) as refused:
        read_json(body)
    assert str(refused.value) == told


@pytest.mark.parametrize(
    ("kind", "payload", "told"),
    [
        ("alertmanager", [], "the body: a list; an object would be right"),
        ("alertmanager", {}, "alerts: missing; a list would be right"),
        ("alertmanager", {"alerts": []}, "alerts: an empty list; at least one alert would be right"),
        ("alertmanager", {"alerts": [{}, 7]}, "alerts[1]: a number; an object would be right"),
        ("alertmanager", {"alerts": [{"labels": []}]}, "alerts[0].labels: a list; an object of strings would be right"),
        (
            "alertmanager",
            {"alerts": [{"labels": {"team": ["a"]}}]},
            "alerts[0].labels.team: a list; a string would be right",
        ),
        ("alertmanager", {"alerts": [{"status": "on"}]}, 'alerts[0].status: "on"; firing or resolved would be right'),
        ("generic", "disk full", "the body: a string; an object would be right"),
        ("generic", {"status": "ok"}, "message: missing or empty; a sentence saying what is wrong would be right"),
        ("generic", {"message": {"a": 1}}, "message: an object; a string would be right"),
        ("generic", {"message": "m", "status": "maybe"}, 'status: "maybe"; firing or resolved would be right'),
    ],
)
def test_a_wrong_shape_is_named(kind: str, payload: object, told: str) -> None:
    with pytest.raises(PayloadError) as refused:
        parse(kind, json.dumps(payload).encode(), NOW)
    assert str(refused.value) == told


_SCRAPS = [b"", b"\0", b"\xff", b"\xef\xbb\xbf", b"\x0b", b"\xc2\xa0", b"NaN", b"-", b"0", b".", b"e", b"+", b",", b":"]
_SCRAPS += [b"{", b"}", b"[", b"]", b'"', b"'", b"\\", b"\\ud800", b"\\x41", b"//", b"tru", b"null", b"\x01", b" "]


@given(value=any_json, cut=st.integers(0, 400), width=st.integers(0, 2), scrap=st.sampled_from(_SCRAPS))
@example(value=1, cut=1, width=0, scrap=b"\0")
@example(value="", cut=1, width=0, scrap=b"\\ud800")
@example(value="", cut=1, width=0, scrap=b"\xff")
@example(value=[1], cut=1, width=1, scrap=b"NaN")
def test_a_large_body_is_judged_as_a_small_one_is(value: object, cut: int, width: int, scrap: bytes) -> None:
    good = json.dumps(value).encode()
    body = good[:cut] + scrap + good[cut + width :]
    assert _judged(check_json, body) == _judged(read_json, body)


def test_what_is_nested_too_deeply_is_no_json_of_a_large_body_either() -> None:
    with pytest.raises(NotJson, match="nested too deeply"):
        check_json(b"[" * 200_000)


def _judged(judge: Callable[[bytes], object], body: bytes) -> str | None:
    try:
        judge(body)
    except NotJson as error:
        return str(error)
    return None
