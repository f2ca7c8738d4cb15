"""What the senders' own bodies come to: each payload file beside the report it has to become."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.domain.alert import Report
from bridge.sources import parse

PAYLOADS = Path(__file__).parent / "payloads"
CASES = sorted(path for path in PAYLOADS.glob("*/*.json") if not path.name.endswith(".report.json"))
NOW = datetime(2026, 11, 20, 3, 32, tzinfo=UTC)


@pytest.mark.parametrize("payload", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_payload_becomes_its_report(payload: Path) -> None:
    report = parse(payload.parent.name, payload.read_bytes(), NOW)
    expected = json.loads(payload.with_suffix(".report.json").read_text())
    assert as_json(report) == expected


def test_every_report_has_its_payload() -> None:
    wanted = {case.with_suffix(".report.json") for case in CASES}
    assert wanted == set(PAYLOADS.glob("*/*.report.json"))


@pytest.mark.parametrize("payload", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_number_of_a_payload_reaches_its_report(payload: Path) -> None:
    assert "77010000009" not in json.dumps(as_json(parse(payload.parent.name, payload.read_bytes(), NOW)))


def as_json(report: Report) -> object:
    return json.loads(json.dumps(asdict(report), default=lambda value: value.isoformat()))
