"""Pages answer what, where, how bad and since when, in one segment."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import texts
from bridge.domain.alert import Alert, AlertStatus
from bridge.domain.house import SmsRules
from bridge.domain.incident import Incident
from bridge.domain.places import place as place_of
from bridge.domain.sms import measure, plain, shorten

BEGAN = datetime(2026, 11, 19, 22, 10, tzinfo=UTC)
ALMATY = ZoneInfo("Asia/Almaty")
DISK = Incident(
    1042,
    "am",
    "g",
    "critical",
    BEGAN,
    BEGAN,
    title="HostOutOfDiskSpace",
    places=("db1",),
    fact="Disk is almost full (< 10% left)",
    firing=1,
)


def page(incident: Incident, **how: Any) -> str:
    return texts.page(incident, SmsRules(), ALMATY, **how)


def test_one_alert_names_the_place_the_fact_the_hour_and_the_number() -> None:
    assert page(DISK) == "HostOutOfDiskSpace db1: Disk is almost full (< 10% left) 03:10 #1042"


def test_many_alerts_name_the_first_places_and_count_the_rest() -> None:
    seven = replace(DISK, places=("db1", "db2", "db3", "web1", "web2", "web3", "web4"), firing=7)
    text = "HostOutOfDiskSpace x7: db1 db2 db3 web1 web2 web3 +1. Disk is almost full (< 10% left) 03:10 #1042"
    assert page(seven) == text


def test_a_late_page_says_how_late() -> None:
    assert page(DISK, late=timedelta(minutes=20, seconds=3)).startswith("LATE 20m. HostOutOfDiskSpace db1")


def test_a_trouble_of_another_day_says_which() -> None:
    assert page(replace(DISK, started_at=BEGAN - timedelta(days=2))).endswith(" 18.11 03:10 #1042")


def test_long_host_names_give_way_before_the_fact_does() -> None:
    places = tuple(f"db{n}.very-long-data-centre-name.prod.example.net" for n in range(1, 6))
    text = page(replace(DISK, places=places, firing=5))
    assert "db1 db2 db3 db4 db5" in text and "Disk is almost full" in text


@given(
    st.text(max_size=200),
    st.lists(st.text(min_size=1, max_size=80), max_size=20),
    st.text(max_size=500),
    st.integers(0, 20_000),
    st.sampled_from(["auto", "gsm7", "unicode"]),
)
def test_a_page_never_fails_for_its_text(title: str, places: list[str], fact: str, firing: int, alphabet: str) -> None:
    incident = replace(DISK, title=title, places=tuple(places), fact=fact, firing=firing)
    text = texts.page(incident, SmsRules(alphabet=alphabet), ALMATY)
    assert measure(text).segments == 1
    assert text.endswith(" 03:10 #1042")


LINK = "https://sms.example.net/a/7fKq2MZp9Wd"
OTHER = "https://sms.example.net/a/GnRJ1RR9vxA"


def test_the_link_stands_last() -> None:
    text = "HostOutOfDiskSpace db1: Disk is almost full (< 10% left) 03:10 #1042 https://sms.example.net/a/7fKq2MZp9Wd"
    assert page(DISK, link=LINK) == text and len(text) == 106
    seven = replace(DISK, places=("db1", "db2", "db3", "web1", "web2", "web3", "web4"), firing=7)
    assert page(seven, link=LINK) == (
        f"HostOutOfDiskSpace x7: db1 db2 db3 web1 web2 web3 +1. Disk is almost full (< 10% left) 03:10 #1042 {LINK}"
    )


def test_the_fact_gives_way_to_the_link_and_the_link_to_the_name() -> None:
    long = "The disk of the primary database will be full in a few minutes at the pace of the last hour, please look"
    assert page(replace(DISK, fact=long), link=LINK) == (
        "HostOutOfDiskSpace db1: The disk of the primary database will be full in a few minutes at the pace of the... "
        f"03:10 #1042 {LINK}"
    )
    name = "A" * 119
    assert page(replace(DISK, title=name), link=LINK) == f"{name} db1: Disk is... (< 10% left) 03:10 #1042"
    assert page(replace(DISK, title="Диск переполнен"), link=LINK) == f"Диск переполнен db1 03:10 #1042 {LINK}"
    assert "https" not in page(replace(DISK, title="На диске почти нет места"), link=LINK)  # 70 signs are few


PODS = tuple(f"checkout-7c9f6d9b5d-{end}" for end in ("x2x8l", "9kq4z", "h7wvd", "b5fgt", "zz2mp", "q8sjn", "4ltxc"))
RUSSIAN = "На разделе /var осталось 3.2% свободного места, очистите его поскорее"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"severity": "warning"}, "HostOutOfDiskSpace db1 (warning): Disk is almost full (< 10% left) 03:10 #1042"),
        (
            {"places": PODS, "firing": 7, "severity": "warning"},
            "HostOutOfDiskSpace x7 (warning): checkout-7c9f6d9b5d-x2x8l -9kq4z -h7wvd -b5fgt -zz2mp -q8sjn +1. "
            "Disk is almost full (< 10% left) 03:10 #1042",
        ),
        (
            {"places": ("sda", "sdb"), "within": "db1.example.net", "firing": 2},
            "HostOutOfDiskSpace db1.example.net x2: sda sdb. Disk is almost full (< 10% left) 03:10 #1042",
        ),
        # All at one place, and some without any.
        ({"firing": 3}, "HostOutOfDiskSpace x3: db1. Disk is almost full (< 10% left) 03:10 #1042"),
        ({"firing": 3, "places": ()}, "HostOutOfDiskSpace x3: Disk is almost full (< 10% left) 03:10 #1042"),
        # Cyrillic has 70 characters, of which its number is worth the most; with a group, none is left.
        ({"fact": RUSSIAN}, "HostOutOfDiskSpace db1: На разделе /var… 3.2% свободного… 03:10 #1042"),
        (
            {"fact": RUSSIAN, "firing": 3, "places": PODS[:3]},
            f"HostOutOfDiskSpace x3: {PODS[0]} -9kq4z -h7wvd 03:10 #1042",
        ),
        ({"fact": "Host is out of disk space."}, "HostOutOfDiskSpace db1 03:10 #1042"),
        ({"title": "Память\n\tкончилась", "fact": ""}, "Память кончилась db1 03:10 #1042"),
    ],
)
def test_a_page_says_which_ones_and_how_bad(changes: dict[str, Any], text: str) -> None:
    assert page(replace(DISK, **changes)) == text


def test_the_severity_that_the_route_implies_is_not_told() -> None:
    assert page(replace(DISK, severity="critical"), implied=True) == page(DISK)


def test_cyrillic_is_spelled_in_latin_where_that_saves_a_segment_and_may_be() -> None:
    told = replace(DISK, fact=RUSSIAN)
    latin = "HostOutOfDiskSpace db1: Na razdele /var ostalos 3.2% svobodnogo mesta, ochistite ego poskoree 03:10 #1042"
    assert texts.page(told, SmsRules(may_spell=True), ALMATY) == latin
    brief = replace(DISK, fact="Диск полон")
    assert texts.page(brief, SmsRules(may_spell=True), ALMATY) == "HostOutOfDiskSpace db1: Диск полон 03:10 #1042"


@pytest.mark.parametrize("length", range(80, 170))
def test_a_number_is_kept_whole_or_left_out(length: int) -> None:
    fact = "Replication of the primary database lags by 12345 seconds behind what its readers may expect"
    text = page(replace(DISK, title="A" * length, fact=fact))
    assert "12345 seconds" in text or not re.search(r"12|345", text.removesuffix(" 03:10 #1042"))


@pytest.mark.parametrize("length", range(60, 165))
def test_an_address_is_whole_or_left_out(length: int) -> None:
    address = "2001:db8:85a3:1234:5678:8a2e:0370:7334"
    text = page(replace(DISK, title="A" * length, places=(address,)))
    assert f" {address}" in text or ("2001" not in text and "7334" not in text)


def test_as_many_incidents_are_spelled_as_there_could_be_room_for() -> None:
    """Two hundred may wait for one SMS: the last of them is not even looked at."""
    many = [replace(DISK, id=n, title="Диск полон " * 30) for n in range(1000, 1199)]
    unread = replace(DISK, id=1199, title="\u78c1\u76d8")  # Chinese: if it counted, nothing were spelled
    text = texts.digest([*many, unread], SmsRules(may_spell=True))
    assert text.startswith("200 incidents: Disk polon Disk polon") and text.endswith(" #1000 +199 more")
    assert measure(text).segments == 1


def test_a_name_too_long_for_any_sms_leaves_hour_and_number() -> None:
    for title in ("A" * 10**6, "слово " * 10**5, "e" + "\u0301" * 10**6, "🇰🇿" * 10**5):
        text = page(replace(DISK, title=title, places=("x" * 10**6,), fact="1 " * 10**6), call=3, again=True)
        assert measure(text).segments == 1 and text.endswith(" 03:10 #1042")


WORDS = st.lists(
    st.sampled_from(["Disk{}", "(<", "{}%", "щека{}", "e\u0301{}", "👩‍💻{}", "{}" + "ab." * 15]), max_size=40
)


@st.composite
def incidents(draw: st.DrawFn) -> Incident:
    """With a number of its own in every word and name, by which it is recognised."""
    numbers = iter(range(2000, 9000))
    told = [word.format(next(numbers)) for word in draw(WORDS)]
    title = " ".join(word.format(next(numbers)) for word in draw(WORDS)[: draw(st.integers(0, 4))])
    kinds = ["db{}.prod.example.net", "checkout-7c9f6d-{}", "10.{}.3.17", "узел{}", "x" * 60 + "-{}"]
    places = tuple(draw(st.sampled_from(kinds)).format(next(numbers)) for _ in range(draw(st.integers(0, 8))))
    severity = draw(st.sampled_from(["", "critical", "warning", "P1"]))
    firing = max(1, len(places)) + draw(st.integers(0, 1))
    return replace(
        DISK,
        title=f"Trouble {title}",
        places=places,
        fact=" ".join(told),
        severity=severity,
        firing=firing,
        total=firing,
    )


RULES = st.builds(SmsRules, alphabet=st.sampled_from(["auto", "gsm7", "unicode"]), may_spell=st.booleans())
TELLINGS: dict[str, Callable[[Incident, SmsRules], str]] = {
    "page": lambda incident, rules: texts.page(incident, rules, ALMATY),
    "page with a link": lambda incident, rules: texts.page(incident, rules, ALMATY, link=LINK),
    "late page": lambda incident, rules: texts.page(
        incident, rules, ALMATY, late=timedelta(hours=1), call=2, again=True
    ),
    "taken": lambda incident, rules: texts.taken(incident, rules, "Jonas"),
    "over": lambda incident, rules: texts.over(replace(incident, ended_at=BEGAN), rules, ALMATY, "Jonas"),
    "digest": lambda incident, rules: texts.digest([incident, DISK, incident, DISK], rules),
}


@pytest.mark.parametrize("kind", TELLINGS)
@given(incident=incidents(), rules=RULES)
def test_texts_fit_and_more_room_never_shows_less(kind: str, incident: Incident, rules: SmsRules) -> None:
    obeys(TELLINGS[kind], incident, rules)


def obeys(told: Callable[[Incident, SmsRules], str], incident: Incident, rules: SmsRules) -> None:
    shown: set[str] = set()
    for segments in (1, 2, 3, 5):
        text = told(incident, replace(rules, max_segments=segments))
        assert measure(text).segments <= segments
        assert "#1042" in text and "Troub" in text
        assert shorten(text, segments) == text
        now = {*re.findall(r"\d{4}", text), *re.findall("https|crit|warn|P1|over at|after|had it", text)}
        assert shown <= now, (segments, text)
        shown = now
        for torn in (r"👩(?!‍💻)", r"(?<!👩‍)💻", "e(?!\u0301)\\d", r"\d\u0301"):
            assert not re.search(torn, text) or rules.alphabet == "gsm7" or rules.may_spell


def _in_full(incident: Incident, rules: SmsRules) -> str:
    return texts.page(incident, replace(rules, max_segments=9), ALMATY)


@pytest.mark.parametrize(
    "broken",
    [
        _in_full,
        lambda incident, rules: _in_full(incident, rules)[: 160 * rules.max_segments],
        lambda incident, rules: _in_full(incident, rules)[: 60 * rules.max_segments] + " 03:10 #1042",
        lambda incident, rules: texts.page(incident, replace(rules, max_segments=1 + rules.max_segments % 2), ALMATY),
    ],
)
def test_cutting_by_characters_and_showing_less_for_more_are_noticed(broken: Callable[..., str]) -> None:
    told = " ".join(f"👩‍💻{number} слово{number + 1}" for number in range(2000, 2100, 2))
    incident = replace(DISK, title="Trouble", fact=told)
    obeys(TELLINGS["page"], incident, SmsRules())
    with pytest.raises(AssertionError):
        obeys(broken, incident, SmsRules())


@given(
    st.text(max_size=120),
    st.lists(st.text(min_size=1, max_size=40), max_size=8),
    st.text(max_size=300),
    st.sampled_from(["auto", "gsm7", "unicode"]),
    st.integers(1, 3),
)
def test_a_link_is_whole_or_absent_and_costs_no_segment(
    title: str, places: list[str], fact: str, alphabet: str, segments: int
) -> None:
    incident = replace(DISK, title=title, places=tuple(places), fact=fact)
    rules = SmsRules(alphabet=alphabet, max_segments=segments)
    texts_made = [texts.page(incident, rules, ALMATY, link=link) for link in (LINK, OTHER)]
    for text, link in zip(texts_made, (LINK, OTHER), strict=True):
        assert measure(text).segments <= segments
        assert text.endswith((f" 03:10 #1042 {link}", " 03:10 #1042"))
        if text.endswith(link):
            name = " ".join(plain(" ".join(title.split()), alphabet).split())
            assert text.startswith(name)
    # Two lives of a database draw two tokens, and recognise each other's SMS all the same.
    assert texts.lasting(texts_made[0]) == texts.lasting(texts_made[1])
    assert (texts_made[0] == texts_made[1]) == (not texts_made[0].endswith(LINK))


@pytest.mark.parametrize(
    ("description", "summary", "fact"),
    [
        (
            "Disk is almost full (< 10% left)\n  VALUE = 3",
            "Host out of disk space (instance db1)",
            "Disk is almost full (< 10% left)",
        ),
        ("", "Host out of disk space (instance db1)", "Host out of disk space"),
        ("Host out of disk space on db1. Clean up /var now.", "Only 2 GB left", "Only 2 GB left"),
        ("", "", ""),
        ("MySQL is down on db1:9100.", "", "MySQL is down on db1:9100."),
    ],
)
def test_the_fact_is_the_first_sentence_that_says_more(description: str, summary: str, fact: str) -> None:
    labels = {"alertname": "HostOutOfDiskSpace", "instance": "db1:9100"}
    alert = Alert("f", AlertStatus.FIRING, BEGAN, "HostOutOfDiskSpace", labels, summary, description)
    assert texts.fact(alert, "db1") == fact


@pytest.mark.parametrize(
    ("fact", "told"),
    [
        ("MySQL is down on db1:9100.", "MySQL is down."),
        ("Certificate of Envoy on db1 expires in 7 days", "Certificate of Envoy expires in 7 days"),
        ("Outdated snapshots on db1:9100: 3 days", "Outdated snapshots: 3 days"),
        ("Отставание на db1 растёт", "Отставание растёт"),
        ("Узел db1 не отвечает, и на сервере db1 занято", "Узел не отвечает, и на сервере db1 занято"),
        ("Replica is late on host db1 again", "Replica is late again"),
        ("Failover to db1 failed", "Failover to db1 failed"),
        ("Fails over from db1-old to db1.example.net", "Fails over from db1-old to db1.example.net"),
        ("Fails over from db1.example.net: now", "Fails over from db1.example.net: now"),
    ],
)
def test_the_sentence_does_not_name_the_place_once_more(fact: str, told: str) -> None:
    assert texts.told(replace(DISK, fact=fact)) == told
    assert texts.told(replace(DISK, fact=fact, places=())) == fact


@pytest.mark.parametrize(
    ("fact", "told"),
    [
        ("db1:9100 is 5m behind its primary", "is 5m behind its primary"),
        ("db1: replication is broken", "replication is broken"),
        ("db1 не отвечает", "не отвечает"),
        ("db1 and db2 are late", "db1 and db2 are late"),
        ("db1 to db2: no link", "db1 to db2: no link"),
        ("db1's disk is full", "db1's disk is full"),
        ("db1-old is late", "db1-old is late"),
        ("db1.example.net is late", "db1.example.net is late"),
        ("db1 (replica) is late", "db1 (replica) is late"),
    ],
)
def test_a_sentence_about_the_place_goes_on_behind_it(fact: str, told: str) -> None:
    assert texts.told(replace(DISK, fact=fact)) == told
    assert texts.told(replace(DISK, fact=fact, places=("db1", "db2"), firing=2)) == fact  # it is said of one of them


def test_an_ipv6_address_is_left_out_with_brackets_and_port() -> None:
    late = replace(DISK, places=("2001:db8::1",), fact="PostgreSQL is late on [2001:db8::1]:9187 again")
    assert texts.told(late) == "PostgreSQL is late again"


def test_only_a_place_that_the_page_names_is_left_out_of_its_sentence() -> None:
    fact = "Container restarts too often in pod web-1"
    group = replace(DISK, title="Restarts", fact=fact, severity="critical", places=("app", "istio"), firing=2)
    assert page(group) == f"Restarts x2 (critical): app istio. {fact} 03:10 #1042"
    within = replace(group, within="web-1")
    assert page(within) == "Restarts web-1 x2 (critical): app istio. Container restarts too often 03:10 #1042"
    assert texts.told(replace(group, fact="Disk full on istio")) == "Disk full on istio"  # it is the second one's
    assert texts.told(replace(within, firing=1)) == fact


@pytest.mark.parametrize(
    ("labels", "place"),
    [
        ({"instance": "db1.example.net:9100"}, "db1.example.net"),
        ({"pod": "web-7f"}, "web-7f"),
        ({"instance": "", "job": "node"}, "node"),
        ({"instance": "[2001:db8::1]:9100"}, "2001:db8::1"),
        ({"instance": "[2001:db8::1]"}, "2001:db8::1"),
        ({"instance": "2001:db8::1"}, "2001:db8::1"),
        ({}, ""),
    ],
)
def test_the_place_is_the_first_label_that_says_which_one(labels: dict[str, str], place: str) -> None:
    assert place_of(labels, ("instance", "host", "pod", "job")) == place


@pytest.mark.parametrize("started_at", [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)])
@pytest.mark.parametrize("zone", ["Asia/Almaty", "America/New_York"])
def test_no_kept_hour_keeps_a_page_from_being_made(started_at: datetime, zone: str) -> None:
    assert texts.page(replace(DISK, started_at=started_at), SmsRules(), ZoneInfo(zone)).endswith(" #1042")
