"""Cards: a view and its exact words, and the laws that hold for all of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cards import LONGEST, Button, clip, question_data, render, stamp
from bridge.domain.incident import Incident, IncidentState
from bridge.domain.notification import Notification, State
from bridge.domain.phone import PhoneNumber
from bridge.ports import IncidentView, NoteView, Question, QuestionView, RecipientLine, SmsView, Trouble, TroubleView
from bridge.texts import length
from tests.edges.bot_scene import ALMATY, typed_sms
from tests.fakes import START

NOW = START + timedelta(minutes=21)


def an_incident(**changes: Any) -> Incident:
    incident = Incident(
        id=1042,
        source="alertmanager",
        group_key="{}",
        route="critical",
        opened_at=START,
        started_at=START,
        title="HostOutOfDiskSpace",
        places=("db1",),
        fact="Disk is almost full (< 10% left)",
        severity="critical",
        firing=1,
        total=1,
    )
    return replace(incident, **changes)


def a_question(**changes: Any) -> Question:
    question = Question(
        id=1043,
        telegram_id=111,
        asked_by="aigerim",
        number=PhoneNumber("+77010000001"),
        target="+77010000001",
        text="Ваш заказ 118 готов, ждём вас до 20:00 на Абая 10",
        alphabet="unicode",
        segments=1,
        token="f00d",
        created_at=START,
        expires_at=START + timedelta(minutes=10),
        chat="ops",
        why="first time from here",
        sender_id="MyAlpha",
    )
    return replace(question, **changes)


def a_page(name: str, **changes: Any) -> RecipientLine:
    page = Notification(
        id=1044, target=name, due_at=START, created_at=START, incident_id=1042, person=name,
        number=PhoneNumber("+77010000001"),
    )  # fmt: skip
    return RecipientLine(name, replace(page, **changes))


def incident_card(incident: Incident, *lines: RecipientLine) -> str:
    return render(IncidentView(incident, lines, ALMATY, NOW)).text


def sms_card(**changes: Any) -> str:
    return render(SmsView(typed_sms(**changes), "Aigerim", ALMATY, NOW)).text


# --- incidents ---------------------------------------------------------------------------------------


def test_an_open_incident_says_what_who_and_what_comes_next() -> None:
    card = incident_card(
        an_incident(),
        a_page("aigerim", state=State.SUBMITTED, submitted_at=START + timedelta(seconds=4), message_id="1"),
        a_page("jonas", due_at=NOW + timedelta(minutes=5)),
        a_page("dana", due_at=NOW + timedelta(minutes=5)),
        a_page("aigerim", due_at=NOW + timedelta(minutes=15)),
    )

    assert card == (
        "🔴 #1042 HostOutOfDiskSpace db1 · critical · since 08:10\n"
        "Disk is almost full (< 10% left)\n"
        "• Aigerim  accepted by Mobizon 08:10:04\n"
        "  next  Jonas, Dana 08:36; Aigerim 08:46"
    )


def test_several_alerts_are_counted_and_places_shortened() -> None:
    card = incident_card(
        an_incident(places=tuple(f"db{n}" for n in range(9)), firing=7, total=9, truncated=3, note="route was unknown")
    )

    assert card.splitlines() == [
        "🔴 #1042 HostOutOfDiskSpace db0 db1 db2 db3 db4 db5 +3 · critical · since 08:10",
        "Disk is almost full (< 10% left)",
        "7 of 9 alerts fire, 3 more were left out by alertmanager",
        "route was unknown",
    ]


def test_a_resolved_incident_says_how_long_and_who_was_told() -> None:
    card = incident_card(
        an_incident(state=IncidentState.RESOLVED, ended_at=NOW, ended_by="alertmanager", firing=0),
        a_page(
            "jonas", state=State.DELIVERED, ended_at=START + timedelta(seconds=9), claimed_at=START, message_id="1",
            cost="20.50", currency="KZT",
        ),
        a_page("aigerim", state=State.UNDELIVERED, gateway_status="EXPIRED", message_id="2", cost="41.00",
               currency="KZT"),
        a_page("dana", state=State.CANCELLED),
    )  # fmt: skip

    assert card.splitlines() == [
        "🟢 #1042 HostOutOfDiskSpace db1 · over after 21 min",
        "Disk is almost full (< 10% left)",
        "08:10–08:31, resolved by alertmanager",
        "Told: Jonas on the handset 08:10:09, after 9 s · Aigerim not delivered: expired · 2 SMS, 61.50 KZT",
    ]


def test_a_test_is_marked_as_one() -> None:
    card = incident_card(an_incident(test=True))

    assert card.startswith("🔴 TEST #1042 ")
    assert "TEST, nothing is broken." in card


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://grafana.example.net/d/1", True),
        ("http://10.0.0.7:9090/graph?g0.expr=up", True),
        ("javascript:alert(1)", False),
        ("tg://resolve?domain=x", False),
        ("http://prometheus:9090/graph", False),  # Telegram would refuse the whole card
        ("http://localhost/", False),
        ("https://user:password@example.net/", False),
        ("https://example.net/" + "x" * 3000, False),
        ("https://[broken", False),
        ("https://example.net/a b\n", False),
        ("", False),
    ],
)
def test_only_addresses_that_telegram_takes_become_buttons(url: str, shown: bool) -> None:
    card = render(IncidentView(an_incident(runbook_url=url), (), ALMATY, NOW))

    assert card.buttons == (((Button("Runbook", url=url),),) if shown else ())


# --- typed SMS ---------------------------------------------------------------------------------------

AT = START + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "→ #1043 +7 701 ••• •• 01 · queued"),
        (
            {"due_at": NOW + timedelta(hours=20)},
            "→ #1043 +7 701 ••• •• 01 · waits until Sat 21 Nov 04:31",
        ),
        (
            {"due_at": NOW + timedelta(minutes=1), "failures": 2, "reason": "Mobizon cannot be reached"},
            "→ #1043 +7 701 ••• •• 01 · queued: Mobizon cannot be reached; next try 08:32",
        ),
        ({"state": State.SENDING}, "→ #1043 +7 701 ••• •• 01 · queued, being handed to Mobizon"),
        (
            {"state": State.SUBMITTED, "submitted_at": AT},
            "→ #1043 +7 701 ••• •• 01 · accepted by Mobizon 08:11:00",
        ),
        (
            {"state": State.SUBMITTED, "submitted_at": AT, "moderated": True},
            "→ #1043 +7 701 ••• •• 01 · waiting for moderation since 08:11, people read it at Mobizon",
        ),
        (
            {"state": State.SUBMITTED, "submitted_at": AT, "moderated": True, "gateway_status": "ACCEPTD",
             "status_at": AT},
            "→ #1043 +7 701 ••• •• 01 · at the operator since 08:11",
        ),
        (
            {"state": State.DELIVERED, "claimed_at": AT, "ended_at": AT + timedelta(seconds=5), "message_id": "1",
             "cost": "20.50", "currency": "KZT"},
            "✓ #1043 +7 701 ••• •• 01 · on the handset 08:11:05, after 5 s · 1 segment, 20.50 KZT · asked by Aigerim",
        ),
        (
            {"state": State.UNDELIVERED, "ended_at": NOW, "gateway_status": "EXPIRED", "validity": 60,
             "message_id": "1"},
            "✗ #1043 +7 701 ••• •• 01 · not delivered: expired 08:31. Phone off or out of reach for the 1 h we asked"
            " for · 1 segment · asked by Aigerim",
        ),
        (
            {"state": State.FAILED, "reason": "Mobizon: wrong number"},
            "✗ #1043 +7 701 ••• •• 01 · not sent: Mobizon: wrong number · asked by Aigerim",
        ),
        (
            {"state": State.CANCELLED, "reason": "taken back by aigerim"},
            "– #1043 +7 701 ••• •• 01 · cancelled: taken back by aigerim · asked by Aigerim",
        ),
        (
            {"state": State.UNCERTAIN},
            "? #1043 +7 701 ••• •• 01 · uncertain: looking it up, 1 of 3. "
            "The answer was cut off; nothing is sent again meanwhile.",
        ),
        ({"target": "magnum", "person": "magnum", "number": None}, "→ #1043 Magnum · queued"),
        ({"number": None}, "→ #1043 +7 701 ••• •• 01 · queued"),
    ],
)  # fmt: skip
def test_an_sms_card_says_no_more_than_is_known(changes: dict[str, Any], words: str) -> None:
    assert sms_card(**changes) == words


@pytest.mark.parametrize("state", State)
def test_no_card_of_a_typed_sms_shows_its_number_or_text(state: State) -> None:
    for person in (None, "magnum"):
        card = sms_card(state=state, person=person, message_id="1", ended_at=NOW)
        assert "0000001" not in card.replace(" ", "")
        assert "Backup" not in card
        assert "#1043" in card


# --- questions ---------------------------------------------------------------------------------------


def test_the_question_alone_shows_number_and_text() -> None:
    card = render(QuestionView(a_question(), ALMATY, START))

    assert card.text == (
        "Send this? #1043 to +7 701 000 00 01 · Kazakhstan, mobile · first time from here\n"
        '"Ваш заказ 118 готов, ждём вас до 20:00 на Абая 10"   unicode, 49 characters, 1 segment, from MyAlpha\n'
        "only Aigerim can press, until 08:20"
    )
    assert card.buttons == ((Button("Send", data="q:1043:f00d:y"), Button("Don't send", data="q:1043:f00d:n")),)


def test_the_question_names_every_option() -> None:
    options = {"send_at": (START + timedelta(days=1)).isoformat(), "flash": True, "validity": 90}
    card = render(QuestionView(a_question(options=options), ALMATY, START))

    assert "from MyAlpha, at Sat 21 Nov 08:10, flash, tried for 1 h 30 min" in card.text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("sent", "→ #1043 +7 701 ••• •• 01 · queued"),
        ("dropped", "– #1043 +7 701 ••• •• 01 · not sent: Aigerim pressed Don't send"),
        ("expired", "– #1043 +7 701 ••• •• 01 · not sent: nobody pressed Send until 08:20"),
    ],
)
def test_an_answered_question_edits_number_text_and_buttons_away(answer: str, words: str) -> None:
    card = render(QuestionView(a_question(answer=answer), ALMATY, NOW))

    assert (card.text, card.buttons) == (words, ())


@given(st.integers(1, 10**12), st.text("abcdef0123456789", min_size=16, max_size=43))
def test_button_data_fits_telegram(number: int, token: str) -> None:
    assert len(question_data(a_question(id=number, token=token), send=True).encode()) <= 64


# --- the bridge about itself -------------------------------------------------------------------------


def test_a_trouble_says_since_when_how_often_and_that_it_is_over() -> None:
    trouble = Trouble(1, "telegram", "conflict", "another program fetches", START, START + timedelta(minutes=3), 4)

    assert render(TroubleView(trouble, ALMATY, NOW)).text == (
        "⚠️ another program fetches\nsince 08:10 · 4 times, last 08:13"
    )
    over = replace(trouble, over_at=START + timedelta(minutes=20))
    assert render(TroubleView(over, ALMATY, NOW)).text == ("🟢 over after 20 min: another program fetches\n08:10–08:30")


def test_a_note_is_said_as_it_is() -> None:
    assert render(NoteView("1.4.0 up: 2 open, 0 uncertain, 0 late.")).text == "1.4.0 up: 2 open, 0 uncertain, 0 late."


# --- laws --------------------------------------------------------------------------------------------

_words = st.text(max_size=5000)


@given(_words, _words, st.lists(st.text(max_size=300), max_size=20), st.integers(0, 60))
def test_every_card_fits_into_one_message(title: str, fact: str, places: list[str], people: int) -> None:
    incident = an_incident(title=title, fact=fact, places=tuple(places), note=fact)
    lines = [a_page(f"person {n}", state=State.FAILED, reason=fact[:200]) for n in range(people)]
    for one in (incident, replace(incident, state=IncidentState.RESOLVED)):
        card = incident_card(one, *lines)
        assert len(card.encode("utf-16-le", "replace")) <= 2 * LONGEST
        assert "#1042" in card


@given(_words)
def test_clipping_keeps_the_beginning_and_never_breaks_a_sign(text: str) -> None:
    clipped = clip("😀" + text, 100)

    assert len(clipped.encode("utf-16-le", "replace")) <= 200
    assert clipped == "😀" + text or clipped.endswith(" …")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (7500, "2 h 5 min"),
        (86400, "1 d"), (100_000, "1 d 3 h"), (-5, "0 s"),
    ],
)  # fmt: skip
def test_spans_are_said_as_people_say_them(seconds: int, words: str) -> None:
    assert length(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("at", "zone", "words"),
    [
        (
            datetime(9999, 12, 31, 23, 59, tzinfo=UTC),
            "Asia/Almaty",
            "Fri 31 Dec 23:59",
        ),  # in UTC: that evening has no Almaty
        (datetime(9999, 12, 31, 23, 59, tzinfo=UTC), "America/New_York", "Fri 31 Dec 18:59"),
        (datetime(1, 1, 1, tzinfo=UTC), "America/New_York", "Mon 1 Jan 00:00"),  # in UTC
    ],
)
def test_the_first_and_the_last_instant_have_a_stamp(at: datetime, zone: str, words: str) -> None:
    assert stamp(at, ZoneInfo(zone), START) == words


@given(at=st.datetimes(timezones=st.just(UTC)))
def test_every_instant_has_a_stamp(at: datetime) -> None:
    assert stamp(at, ALMATY, START)
