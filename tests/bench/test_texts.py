"""The yardstick of the README's table of texts: what it calls intact, and what the neighbours would send."""

from dataclasses import replace

import pytest

from bridge.explain_rules import Reading, read_rules
from bridge.rules import Rule, firing, read
from tests.bench import texts
from tests.edges.test_rules import EXAMPLES, MANIFESTS

RULE = Rule("HostDown", "up == 0", {"severity": "warning"}, {"summary": "Host {{ $labels.instance }} is down"}, "", 1)
GROUP = [
    {"alertname": "HostDown", "severity": "warning", "job": "node", "instance": f"db-{n}.example.net:9100"}
    for n in (1, 2, 12)
]
PODS = [
    {"alertname": "HostDown", "severity": "warning", "pod": f"checkout-7c9f6d9b5d-{end}", "namespace": "shop"}
    for end in ("x2x8l", "9kq4z")
]
LONG = [
    {"alertname": "HostDown", "severity": "warning", "instance": f"app-server-prod-{n:04}.example.net"}
    for n in (17, 18)
]
ADDRESSES = [{"alertname": "HostDown", "severity": "warning", "instance": f"10.0.3.{n}:9100"} for n in (1, 17)]
ALONE = GROUP[:1]


@pytest.fixture
def reading() -> Reading:
    (one,) = read_rules([RULE], texts.HOUSE, texts.NOW)
    return one


@pytest.mark.parametrize(
    ("alerts", "text", "lost"),
    [
        (ALONE, "HostDown db-1.example.net warning: it is down 03:10 #1042", ""),
        (ALONE, "HostDown db-1 warn 03:10 #1042", ""),
        (ALONE, "HostDown db-1: it is down", "severity"),
        (ALONE, "HostDown db-... warning", "place"),
        (ALONE, "HostDown example.net warning", "place"),
        (ALONE, "HostDown db-12 warning", "place"),
        (ALONE, "HostDow... db-1 warning", "name"),
        (ALONE, "OK HostDown db-1 warning: over at 03:31", "status"),
        (GROUP, "HostDown x3: db-1 db-2 db-12 warning", ""),
        (GROUP, "HostDown x3: db-1 +2 warning", ""),
        (GROUP, "3 HostDown warning: db-2", ""),
        (GROUP, "HostDown warning: db-1 db-2 db-12", "status"),
        (GROUP, "HostDown x3 warning: example.net", "place"),
        (GROUP, "HostDown x3 warning: db-...", "place"),
        (PODS, "HostDown x2 warning: x2x8l 9kq4z", ""),
        (PODS, "HostDown x2 warning: checkout-...-x2x8l", ""),
        (PODS, "HostDown x2 warning: checkout-7c9f6d9b5d", "place"),
        (PODS, "HostDown x2 warning: shop/checkout", "place"),
        (LONG, "HostDown x2 warning: app-server...0017 +1", ""),
        (LONG, "HostDown x2 warning: 0017 0018", ""),
        (LONG, "HostDown x2 warning: app-server-prod", "place"),
        (LONG[:1], "HostDown warning app-server-prod-0017", ""),
        (LONG[:1], "HostDown warning app...0017", ""),
        (LONG[:1], "HostDown warning 0017", "place"),
        (ADDRESSES, "HostDown x2 warning: 10.0.3.1 10.0.3.17", ""),
        (ADDRESSES, "HostDown x2 warning: 10.0.3.17", ""),
        (ADDRESSES[1:], "HostDown warning 3.17", "place"),
        (ADDRESSES[:1], "HostDown warning 10.0.3.17", "place"),
        (
            [{"alertname": "HostDown", "severity": "warning", "job": "node", "topic": "orders"}],
            "HostDown node warn",
            "",
        ),
        ([{"alertname": "HostDown", "severity": "warning", "topic": "orders"}], "HostDown warn", "place"),
        ([{"alertname": "HostDown", "severity": "warning"}], "HostDown warn", ""),
        ([{"alertname": "HostDown", "severity": "warning", "instance": "серв-1"}], "HostDown serv-1 warn", ""),
    ],
)
def test_a_text_is_intact_when_all_can_be_read_from_it(
    reading: Reading, alerts: list[dict[str, str]], text: str, lost: str
) -> None:
    seen = texts.judge(replace(reading, text=text), alerts, texts.HOUSE)
    assert [what for what in ("status", "name", "severity", "place") if not getattr(seen, what)] == lost.split()
    assert seen.intact is not bool(lost)


def test_a_route_that_pages_for_one_severity_alone_implies_it(reading: Reading) -> None:
    alert = ALONE[0] | {"severity": "critical"}
    told = replace(reading, text="HostDown db-1: it is down")
    assert texts.judge(replace(told, route="critical"), [alert], texts.HOUSE).severity
    assert not texts.judge(replace(told, route="rest"), [alert], texts.HOUSE).severity


def test_every_rule_is_measured_on_every_kind_of_place() -> None:
    rules = read([EXAMPLES, MANIFESTS]).rules
    rows = {(row.letters, row.size): row for row in texts.table(rules)}
    spoken = ("Latin", "Cyrillic", "Cyrillic, `alphabet: auto`")
    assert {(letters, size) for letters in spoken for size in texts.SIZES} == rows.keys()
    assert rows[spoken[1], 1].all.telling < rows[spoken[2], 1].all.telling  # spelled in Latin, more of it fits
    assert rows["Latin", 1].all.texts == len(rules) * len(texts.PLACES) == 13 * 4
    twenty = rows["Cyrillic", 20].all
    assert twenty.texts == 13 * 4 and twenty.promtotwilio == 2 * 20 * twenty.texts
    assert all(row.all.parts == row.all.texts for row in rows.values())  # sms.max_segments is 1
    assert texts.line(rows["Latin", 1]).count("|") == texts.HEAD.splitlines()[0].count("|")


def test_the_neighbours_send_what_they_send() -> None:
    alone = firing(RULE, texts.NOW)
    assert texts.sachet(alone) == [
        "FIRING \nalertname= HostDown\ninstance= db-1.example.net:9100\njob= node\nseverity= warning"
    ]
    assert texts.promtotwilio(alone) == [
        '[HostDown] "Host db-1.example.net:9100 is down" alert starts at Sun, 22 Nov 2026 03:10:00 UTC'
    ]
    two = firing(replace(RULE, annotations={"summary": "Д" * 80}), texts.NOW, count=2)
    assert texts.sachet(two) == [
        "Firing: \nHostDown @db-1.example.net:9100\nHostDown @db-2.example.net:9100\n",
    ]
    assert texts.promtotwilio(two) == ['[HostDown] "' + "Д" * 67 + "�..."] * 2
