"""The laws of Alertmanager's webhook that a payload file alone does not show."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.domain.alert import AlertStatus, Report
from bridge.sources import parse

NOW = datetime(2026, 11, 20, 3, 32, tzinfo=UTC)
FIRING = json.loads((Path(__file__).parent / "payloads/alertmanager/firing.json").read_text())


def understood(body: dict[str, Any], now: datetime = NOW) -> Report:
    return parse("alertmanager", json.dumps(body).encode(), now)


def test_both_members_of_a_pair_tell_the_same() -> None:
    twin = FIRING | {"externalURL": "http://other.example.net:9093"}
    assert understood(twin).identity == understood(FIRING).identity


def test_a_later_outbreak_is_another_report() -> None:
    later = [FIRING["alerts"][0] | {"startsAt": "2026-11-20T04:10:04Z"}]
    assert understood(FIRING | {"alerts": later}).identity != understood(FIRING).identity


@pytest.mark.parametrize("body", [{"alerts": [{"labels": {"alertname": "A"}}]}, {"alerts": [{}], "receiver": "r"}])
def test_a_retry_of_a_body_without_times_is_the_same_outbreak(body: dict[str, Any]) -> None:
    assert understood(body).identity == understood(body, NOW + timedelta(minutes=5)).identity


def test_without_a_group_key_a_resolve_still_finds_its_group() -> None:
    by_hand = {"receiver": "r", "alerts": [{"labels": {"alertname": "A", "host": "db1"}}]}
    resolve = {"receiver": "r", "alerts": [{"labels": {"alertname": "A", "host": "db1"}, "status": "resolved"}]}
    assert understood(by_hand).group_key == understood(resolve).group_key
    assert understood(by_hand).alerts[0].fingerprint == understood(resolve).alerts[0].fingerprint


def test_very_long_group_keys_are_bounded_and_still_differ() -> None:
    keys = {understood(FIRING | {"groupKey": "k" * 2000 + end}).group_key for end in "ab"}
    assert len(keys) == 2
    assert all(len(key) <= 500 for key in keys)


def test_an_alert_without_a_status_has_its_groups() -> None:
    body = {"status": "resolved", "alerts": [{"labels": {"alertname": "A"}}]}
    assert understood(body).alerts[0].status is AlertStatus.RESOLVED
    assert understood(body).alerts[0].ends_at == NOW


def test_the_group_is_not_over_while_one_of_its_alerts_fires() -> None:
    contradiction = FIRING | {"status": "resolved"}
    assert not understood(contradiction).whole_group_over


def test_should_a_body_contradict_itself_what_fires_wins() -> None:
    alert = FIRING["alerts"][0]
    for alerts in ([alert, alert | {"status": "resolved"}], [alert | {"status": "resolved"}, alert]):
        assert [a.status for a in understood(FIRING | {"alerts": alerts}).alerts] == [AlertStatus.FIRING]


@pytest.mark.parametrize("address", ["javascript:alert(1)", "ftp://x", "http://a b", "http://" + "x" * 3000, 7, None])
def test_only_web_addresses_become_buttons(address: object) -> None:
    alert = FIRING["alerts"][0] | {"generatorURL": address, "annotations": {"runbook_url": address}}
    told = understood(FIRING | {"alerts": [alert], "externalURL": address}).alerts[0]
    assert (told.source_url, told.runbook_url) == ("", "")
