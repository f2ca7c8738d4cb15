"""Which one it is: what differs, named as short as it can be told."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.alert import AlertStatus
from bridge.domain.incident import AlertRecord, Incident
from bridge.domain.places import apart, heads, tails, telling

WHERE = ("instance", "host", "pod", "job")
KSM = {"instance": "10.0.3.17:8080"}  # the exporter that tells of a whole cluster
EU_US = ("eu", "us")
NOW = datetime(2026, 11, 19, 22, 10, tzinfo=UTC)


def told(*alerts: dict[str, str]) -> tuple[tuple[str, ...], str]:
    return apart([telling(labels, WHERE) for labels in alerts])


@pytest.mark.parametrize(
    ("alerts", "places", "within"),
    [
        ([], (), ""),
        ([{"alertname": "A"}], (), ""),
        ([{"instance": "db1:9100", "mountpoint": "/var"}], ("db1",), ""),
        ([{"instance": "db1:9100"}, {"instance": "db2:9100"}], ("db1", "db2"), ""),
        ([{"instance": "db1:9100"}, {"instance": "db1:9200"}], ("db1:9100", "db1:9200"), ""),
        ([{"instance": f"[2001:db8::{n}]:1"} for n in (1, 2)], ("2001:db8::1", "2001:db8::2"), ""),
        ([{"instance": f"[2001:db8::1]:{n}"} for n in (1, 2)], ("[2001:db8::1]:1", "[2001:db8::1]:2"), ""),
        # All of it comes from one exporter, so that says nothing.
        ([{"instance": "10.0.3.17:8080", "pod": "a"}, {"instance": "10.0.3.17:8080", "pod": "b"}], ("a", "b"), ""),
        # Two exporters tell of twenty pods.
        ([{"instance": f"10.0.3.{n % 2}:80", "pod": f"p{n}"} for n in range(6)], tuple(f"p{n}" for n in range(6)), ""),
        # Disks are of a machine.
        ([{"instance": "db1:1", "device": "sda"}, {"instance": "db1:1", "device": "sdb"}], ("sda", "sdb"), "db1"),
        ([{"instance": "db1"}, {"instance": "db1"}], ("db1",), ""),
        ([{"job": "node", "queue": "q1"}, {"job": "node", "queue": "q2"}], ("q1", "q2"), "node"),
        ([{"queue": "mail", "severity": "page", "team": "db", "cluster": "eu"}], ("mail",), ""),
        ([{"cluster": "eu", "severity": "page"}], ("eu",), ""),
        # What is in one pod or machine is told with that.
        ([{"pod": "web-1", "container": "app"}, {"pod": "web-1", "container": "istio"}], ("app", "istio"), "web-1"),
        ([{**KSM, "pod": "p", "container": "app"}, {**KSM, "pod": "p", "container": "istio"}], ("app", "istio"), "p"),
        ([{"instance": "db1:1", "job": "node"}, {"instance": "db1:1", "job": "pg"}], ("node", "pg"), "db1"),
        ([{"instance": "db1", "service": "nginx"}, {"instance": "db1", "service": "pg"}], ("nginx", "pg"), "db1"),
        ([{"instance": "db1", "endpoint": "a"}, {"instance": "db1", "endpoint": "b"}], ("a", "b"), "db1"),
        ([{**KSM, "deployment": "web", "cluster": "eu"}, {**KSM, "deployment": "web", "cluster": "us"}], EU_US, "web"),
        ([{**KSM, "namespace": "a"}, {**KSM, "namespace": "b"}], ("a", "b"), ""),
        # Each has labels of its own.
        ([{"instance": "db1"}, {"other": "x"}], ("db1", "x"), ""),
        ([{"instance": "db1"}, {"service": "checkout"}, {"pod": "web-1"}], ("db1", "checkout", "web-1"), ""),
        ([{"instance": "db1", "job": "a"}, {"instance": "db2", "job": "a"}, {"job": "b"}], ("db1", "db2", "b"), ""),
        ([{"instance": "db1", "device": "sda"}, {"instance": "db1"}], ("sda",), "db1"),
        ([{**KSM, "pod": "a"}, KSM], ("a",), "10.0.3.17"),
    ],
)
def test_places_are_what_differs(alerts: list[dict[str, str]], places: tuple[str, ...], within: str) -> None:
    assert told(*alerts) == (places, within)


def test_the_labels_of_the_config_come_first_and_all_of_it_is_bounded() -> None:
    labels = {f"label{n}": "x" * 1000 for n in range(100)} | {"pod": "p", "team": "db"}
    found = telling(labels, ("team", "label7"))
    assert list(found)[:3] == ["team", "label7", "pod"]
    assert len(found) == 8 and max(map(len, found.values())) == 200


@pytest.mark.parametrize(
    ("names", "brief"),
    [
        (["db1.prod.example.net", "db2.prod.example.net"], ["db1", "db2"]),
        (["db1.prod.example.net", "db1.dev.example.net", "web.dev.example.net"], ["db1.prod", "db1.dev", "web"]),
        (["db1", "db1.prod"], ["db1", "db1.prod"]),
        (["www.example.net"], ["www.example.net"]),
        (["10.0.3.17", "10.0.3.18"], ["10.0.3.17", "10.0.3.18"]),
        (["2001:db8::1", "[2001:db8::1]:9100", "fe80::1"], ["2001:db8::1", "[2001:db8::1]:9100", "fe80::1"]),
        (["https://shop.example.net/cart/"], ["shop.example.net/cart"]),
        (["/var/lib/docker"], ["/var/lib/docker"]),
        (["a.b", "a.b"], ["a.b", "a.b"]),
        ([], []),
    ],
)
def test_a_host_is_named_by_its_head_where_that_tells_it_apart(names: list[str], brief: list[str]) -> None:
    assert heads(names) == brief


@pytest.mark.parametrize(
    ("names", "brief"),
    [
        (["web-7c9f6d9b5d-x2x8l", "web-7c9f6d9b5d-z9k2p"], ["web-7c9f6d9b5d-x2x8l", "-z9k2p"]),
        (["ip-10-0-3-17", "ip-10-0-3-18"], ["ip-10-0-3-17", "-18"]),
        (["db1", "db2"], ["db1", "db2"]),
        (["10.0.3.17", "10.0.3.18"], ["10.0.3.17", "10.0.3.18"]),
        (["/var/lib/docker", "/var/lib/kubelet"], ["/var/lib/docker", "/var/lib/kubelet"]),
        (["web", "web-1"], ["web", "web-1"]),
        (["x"], ["x"]),
    ],
)
def test_names_that_begin_alike_are_told_by_what_differs(names: list[str], brief: list[str]) -> None:
    assert tails(names) == brief


@given(st.lists(st.text(st.sampled_from("ab1-.:_/"), min_size=1, max_size=12), unique=True, max_size=8))
def test_two_places_never_get_one_name(names: list[str]) -> None:
    brief = heads(names)
    if len({name.rstrip("./").removeprefix("a://") for name in names}) == len(names):
        assert len(set(brief)) == len(names)
    assert len(tails(brief)) == len(names) and all(tails(brief))


def test_an_incident_is_described_by_what_differs_and_the_worst_of_it() -> None:
    one = AlertRecord(1, "am", "g", "f1", NOW, AlertStatus.FIRING, "Full", "db1", "", "warning", NOW)
    disks = [
        replace(one, fingerprint=f"f{n}", severity=severity, which={"instance": "db1:9100", "device": f"sd{n}"})
        for n, severity in enumerate(("warning", "critical", "info"))
    ]
    incident = Incident(1, "am", "g", "r", NOW, NOW).describing(disks)
    assert (incident.places, incident.within, incident.severity) == (("sd0", "sd1", "sd2"), "db1", "critical")
    # Written down by an earlier version.
    old = Incident(1, "am", "g", "r", NOW, NOW).describing([replace(d, which={}) for d in disks])
    assert (old.places, old.within) == (("db1",), "")
