"""Pages answer what, where, how bad and since when, in one segment."""

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
from bridge.domain.sms import measure, plain

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
    name = "A" * 120
    assert page(replace(DISK, title=name), link=LINK) == f"{name} db1: Disk is almost full... 03:10 #1042"
    assert page(replace(DISK, title="Диск переполнен"), link=LINK) == f"Диск переполнен db1 03:10 #1042 {LINK}"
    assert "https" not in page(replace(DISK, title="На диске почти нет места"), link=LINK)  # 70 signs are few


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
            where = f" {texts._brief(plain(places[0], alphabet))}" if places else ""
            assert text.startswith(plain(title, alphabet) + where)
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
        ("", "Host out of disk space (instance db1)", "Host out of disk space (instance db1)"),
        ("Host out of disk space on db1. Clean up /var now.", "Only 2 GB left", "Only 2 GB left"),
        ("", "", ""),
    ],
)
def test_the_fact_is_the_first_sentence_that_says_more(description: str, summary: str, fact: str) -> None:
    labels = {"alertname": "HostOutOfDiskSpace", "instance": "db1:9100"}
    alert = Alert("f", AlertStatus.FIRING, BEGAN, "HostOutOfDiskSpace", labels, summary, description)
    assert texts.fact(alert, "db1") == fact


@pytest.mark.parametrize(
    ("labels", "place"),
    [
        ({"instance": "db1.example.net:9100"}, "db1.example.net"),
        ({"pod": "web-7f"}, "web-7f"),
        ({"instance": "", "job": "node"}, "node"),
        ({"instance": "[2001:db8::1]:9100"}, "[2001:db8::1]:9100"),
        ({}, ""),
    ],
)
def test_the_place_is_the_first_label_that_says_which_one(labels: dict[str, str], place: str) -> None:
    assert place_of(labels, ("instance", "host", "pod", "job")) == place


@pytest.mark.parametrize("started_at", [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)])
@pytest.mark.parametrize("zone", ["Asia/Almaty", "America/New_York"])
def test_no_kept_hour_keeps_a_page_from_being_made(started_at: datetime, zone: str) -> None:
    assert texts.page(replace(DISK, started_at=started_at), SmsRules(), ZoneInfo(zone)).endswith(" #1042")
