"""Cards: a view and its exact words, and the laws that hold for all of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.cards import LONGEST, Button, Rendered, clip, incident_list, question_data, render, stamp, with_timeline
from bridge.domain.house import Person
from bridge.domain.incident import Incident, IncidentState
from bridge.domain.notification import Notification, Purpose, State
from bridge.domain.phone import PhoneNumber
from bridge.ports import (
    IncidentView,
    NoteView,
    Question,
    QuestionView,
    RecipientLine,
    RingView,
    SmsView,
    TimelineEntry,
    Trouble,
    TroubleView,
    View,
)
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
    return RecipientLine(name.capitalize(), replace(page, **changes))


def incident_card(incident: Incident, *lines: RecipientLine) -> str:
    return render(IncidentView(incident, lines, ALMATY, NOW)).text


def sms_card(**changes: Any) -> str:
    return render(SmsView(typed_sms(**changes), "Aigerim", ALMATY, NOW)).text


# --- incidents ---------------------------------------------------------------------------------------


def test_an_open_incident_says_what_who_and_what_comes_next() -> None:
    called = {"state": State.SUBMITTED, "submitted_at": START + timedelta(seconds=4), "message_id": "1"}
    later = {"due_at": NOW + timedelta(minutes=5), "step": 2}
    lines = [
        a_page("aigerim", **called, deliver_within=timedelta(minutes=22)),
        a_page("jonas", **later),
        a_page("dana", **later),
        a_page("aigerim", due_at=NOW + timedelta(minutes=15), step=3),
    ]

    assert incident_card(an_incident(), *lines) == (
        "🔴 #1042 HostOutOfDiskSpace db1 · critical · since 08:10\n"
        "Disk is almost full (< 10% left)\n"
        "• Aigerim  accepted by Mobizon 08:10:04\n"
        "  next  Jonas, Dana 08:36; at 08:32 if it is not on the handset\n"
        "  then  Aigerim 08:46; this chat rings"
    )


MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([a_page("jonas", due_at=NOW + MINUTE)], ["  next  Jonas 08:32, then this chat rings"]),
        ([a_page("chat", target="chat", person=None, due_at=NOW + MINUTE)],
         ["  next  this chat 08:32, then this chat rings"]),
        (
            [a_page("jonas", state=State.DELIVERED, ended_at=START, deliver_within=MINUTE),
             a_page("jonas", round=2, due_at=NOW + MINUTE), a_page("dana", round=2, step=2, due_at=NOW + 6 * MINUTE),
             a_page("jonas", round=3, due_at=NOW + 11 * MINUTE)],
            ["  next  all steps once more 08:32", "  then  once more 08:42; this chat rings"],
        ),
        (
            [a_page("jonas", step=n, due_at=NOW + n * MINUTE) for n in range(1, 6)],
            ["  next  Jonas 08:32", "  then  Jonas 08:33; Jonas 08:34; 2 more steps; this chat rings"],
        ),
        ([a_page("jonas", state=State.DELIVERED, submitted_at=NOW, ended_at=NOW, wait=5 * MINUTE)],
         ["  next  this chat rings 08:36"]),
        ([a_page("jonas", state=State.SENDING)], []),
        ([], []),
    ],
)  # fmt: skip
def test_the_card_says_who_is_next_and_when(lines: list[RecipientLine], words: list[str]) -> None:
    card = incident_card(an_incident(), *lines).splitlines()
    assert [line for line in card if line.startswith("  ")] == words


def test_what_became_of_each_call_is_told_a_line_a_person() -> None:
    minutes = [START + n * MINUTE for n in range(9)]
    at_operator = {
        "state": State.SUBMITTED,
        "gateway_status": "ACCEPTD",
        "message_id": "1",
        "deliver_within": 2 * MINUTE,
    }
    card = incident_card(
        an_incident(outbreaks=3, first_round=11),
        a_page("dana", state=State.DELIVERED, ended_at=START),  # of the plan before
        a_page("aigerim", round=11, submitted_at=START, status_at=minutes[0], **at_operator),
        a_page("jonas", round=11, step=2, state=State.DELIVERED, ended_at=minutes[2], message_id="2"),
        a_page("aigerim", round=11, step=2, submitted_at=NOW, status_at=NOW, **at_operator),
        a_page("magnum", round=11, step=2, state=State.FAILED, reason="no phone"),
    )

    assert card.splitlines() == [
        "🔴 #1042 HostOutOfDiskSpace db1 · critical · since 08:10 · 3rd time · everybody was called",
        "Disk is almost full (< 10% left)",
        "✗ Aigerim  at the operator since 08:10, not on the handset in 2 min: moved on; "
        "2nd SMS at the operator since 08:31",
        "✓ Jonas  on the handset 08:12:00",
        "✗ Magnum  not sent: no phone",
        "  next  this chat rings",
    ]


def test_who_has_it_is_told_with_what_cannot_be_recalled() -> None:
    flying = {"state": State.SUBMITTED, "gateway_status": "ACCEPTD", "submitted_at": NOW, "validity": 60}
    taken = an_incident(
        state=IncidentState.ACKNOWLEDGED, acknowledged_by="jonas", acknowledged_at=NOW,
        acknowledged_via="from his SMS link",
    )  # fmt: skip
    lines = (
        a_page("aigerim", **flying), a_page("aigerim", round=2, **flying), a_page("jonas", **flying),
        a_page("dana", state=State.DELIVERED, ended_at=NOW),
        a_page("aigerim", purpose=Purpose.TAKEN, state=State.DELIVERED, ended_at=NOW),
    )  # fmt: skip
    view = IncidentView(taken, lines, ALMATY, NOW, holder="Jonas", asks_again_at=NOW + 120 * MINUTE)

    assert render(view).text.splitlines() == [
        "🟡 #1042 HostOutOfDiskSpace db1 · Jonas has it",
        "Disk is almost full (< 10% left)",
        "Acknowledged 08:31 from his SMS link. Nobody else will be called; asks again 10:31 if it still fires.",
        "Aigerim: 2 SMS at the operator cannot be recalled, may arrive until 09:31",
        "✓ Dana  on the handset 08:31:00",
        "Told who has it: ✓ Aigerim",
    ]


def test_that_nobody_has_it_names_everybody_and_what_became_of_each() -> None:
    lines = (
        a_page("jonas", state=State.DELIVERED, ended_at=START + 2 * MINUTE),
        a_page("aigerim", state=State.UNDELIVERED, gateway_status="EXPIRED", ended_at=START + 3 * MINUTE),
        a_page("jonas", round=2, state=State.DELIVERED, ended_at=START + 14 * MINUTE),
    )
    about = IncidentView(an_incident(rings=1, policy="critical", token="f00d"), lines, ALMATY, NOW)
    ring = render(RingView(about))

    assert ring.text.splitlines() == [
        "🆘 #1042 NOBODY HAS IT · HostOutOfDiskSpace db1 · 21 min",
        "Called twice.",
        "Jonas: on the handset 08:12 and 08:24, no answer",
        "Aigerim: never on the handset; not delivered: expired 08:13",
        "Everyone here: whoever reads this first, take it.",
    ]
    assert ring.buttons == ((Button("Acknowledge", data="i:1042:f00d:a"),),)
    taken = replace(about, holder="Dana", incident=replace(about.incident, state=IncidentState.ACKNOWLEDGED))
    assert render(RingView(taken)) == Rendered("🟡 #1042 HostOutOfDiskSpace db1 · Dana has it")


def test_those_on_call_are_named_so_that_their_phones_ring() -> None:
    people = (Person("ляйля", None, 7), Person("a𐀀", None), Person("jonas", None, 8))
    view = IncidentView(an_incident(fact="𐀀 On call: nobody"), (), ALMATY, NOW, on_call=people)
    for card in (render(view), render(RingView(view, "still nobody has it")), render(RingView(view))):
        units = card.text.encode("utf-16-le")
        named = {units[2 * m.start : 2 * (m.start + m.length)].decode("utf-16-le"): m for m in card.mentions}
        assert {name: m.telegram_id for name, m in named.items()} == {"Ляйля": 7, "Jonas": 8}
        assert all(m.name == name for name, m in named.items()) and "\nOn call: Ляйля, A𐀀, Jonas" in card.text


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
        a_page("jonas", purpose=Purpose.OVER, state=State.SUBMITTED, submitted_at=NOW),
    )  # fmt: skip

    assert card.splitlines() == [
        "🟢 #1042 HostOutOfDiskSpace db1 · over after 21 min",
        "Disk is almost full (< 10% left)",
        "08:10–08:31, resolved by alertmanager",
        "Told: Jonas on the handset 08:10:09, after 9 s · Aigerim not delivered: expired · 2 SMS, 61.50 KZT",
        "Told that it is over: → Jonas",
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
        ({}, "→ #1043 +7 701 ••• •• 01 · queued · gsm7, 1 segment"),
        (
            {"due_at": NOW + timedelta(hours=20)},
            "→ #1043 +7 701 ••• •• 01 · waits until Sat 21 Nov 04:31 · gsm7, 1 segment",
        ),
        (
            {"due_at": NOW + timedelta(minutes=1), "failures": 2, "reason": "Mobizon cannot be reached"},
            "→ #1043 +7 701 ••• •• 01 · queued: Mobizon cannot be reached; next try 08:32 · gsm7, 1 segment",
        ),
        ({"state": State.SENDING}, "→ #1043 +7 701 ••• •• 01 · queued, being handed to Mobizon · gsm7, 1 segment"),
        (
            {"state": State.SUBMITTED, "submitted_at": AT},
            "→ #1043 +7 701 ••• •• 01 · accepted by Mobizon 08:11:00 · gsm7, 1 segment",
        ),
        (
            {"state": State.SUBMITTED, "submitted_at": AT, "moderated": True},
            "→ #1043 +7 701 ••• •• 01 · waiting for moderation since 08:11, people read it at Mobizon · gsm7,"
            " 1 segment",
        ),
        (
            {"state": State.SUBMITTED, "submitted_at": AT, "moderated": True, "gateway_status": "ACCEPTD",
             "status_at": AT},
            "→ #1043 +7 701 ••• •• 01 · at the operator since 08:11 · gsm7, 1 segment",
        ),
        (
            {"state": State.DELIVERED, "claimed_at": AT, "ended_at": AT + timedelta(seconds=5), "message_id": "1",
             "cost": "20.50", "currency": "KZT"},
            "✓ #1043 +7 701 ••• •• 01 · on the handset 08:11:05, after 5 s · gsm7, 1 segment, 20.50 KZT · asked by"
            " Aigerim",
        ),
        (
            {"state": State.UNDELIVERED, "ended_at": NOW, "gateway_status": "EXPIRED", "validity": 60,
             "message_id": "1"},
            "✗ #1043 +7 701 ••• •• 01 · not delivered: expired 08:31. Phone off or out of reach for the 1 h we asked"
            " for · gsm7, 1 segment · asked by Aigerim",
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
        ({"target": "magnum", "person": "magnum", "number": None}, "→ #1043 Magnum · queued · gsm7, 1 segment"),
        ({"number": None}, "→ #1043 +7 701 ••• •• 01 · queued · gsm7, 1 segment"),
    ],
)  # fmt: skip
def test_an_sms_card_says_no_more_than_is_known(changes: dict[str, Any], words: str) -> None:
    assert sms_card(**changes) == words


@pytest.mark.parametrize("state", [State.SUBMITTED, State.UNCERTAIN, State.DELIVERED])
def test_an_sms_card_says_what_made_it_dear(state: State) -> None:
    text = "The “north” desk is closed from 20:00. Please call the south desk until tomorrow."
    first, *more = sms_card(state=state, text=text, alphabet="unicode", segments=2).splitlines()
    assert "north" not in first
    assert more == [
        "unicode because of “ (left double quotation mark, U+201C) at 5, ” (right double quotation mark, U+201D) at 11"
        '; with " for “ ”: gsm7, 1 segment'
    ]


def test_an_sms_card_says_nothing_more_of_a_text_that_was_not_sent_or_is_forgotten() -> None:
    for changes in ({"state": State.CANCELLED}, {"state": State.FAILED}, {"text": None}):
        assert "\n" not in sms_card(**{"text": f"{'a' * 100}“", "alphabet": "unicode", "segments": 2, **changes})


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("text", ["Да", "Код 4711", "“Backup”", "я" * 300])
def test_no_card_repeats_a_text_in_the_names_of_its_signs(state: State, text: str) -> None:
    card = sms_card(state=state, text=text, alphabet="unicode", segments=1)
    assert not any(sign.isalpha() and f" {sign} (" in card for sign in text)


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


def test_the_question_says_what_makes_it_dear_and_where_it_is_cut() -> None:
    text = "“" + "b" * 140
    card = render(QuestionView(a_question(text=text, segments=3, why="3 segments"), ALMATY, START))

    assert card.text.splitlines()[1:] == [
        f'"{text}"   unicode, 141 characters, 3 segments, from MyAlpha',
        "unicode because of “ (left double quotation mark, U+201C) at 1",
        'with " for “: gsm7, 1 segment',
        'segments begin: 2 at 68 "bbbbbbbbbbbb", 3 at 135 "bbbbbbb"',
        "7 characters too long for 2 segments",
        "only Aigerim can press, until 08:20",
    ]


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


_times = st.one_of(st.just(NOW), st.datetimes(timezones=st.just(UTC)))
_short = st.text(max_size=300)
_spans = st.timedeltas(timedelta(0), timedelta(days=9))
_numbers = st.integers(0, 10**15 - 1)
_tokens = st.text("0123456789abcdef", min_size=16, max_size=16)
_rows = st.builds(
    Notification,
    id=_numbers, target=st.sampled_from(["aigerim", "chat", "rota primary", "+77010000001"]), due_at=_times,
    created_at=_times, state=st.sampled_from(State), incident_id=st.just(1042), round=st.integers(1, 999_999),
    step=st.integers(0, 9999), purpose=st.sampled_from(Purpose), reason=st.none() | _short, number=st.none(),
    text=st.none(), submitted_at=st.none() | _times, ended_at=st.none() | _times, lost_at=st.none() | _times,
    claimed_at=st.none() | _times, status_at=st.none() | _times, validity=st.none() | st.integers(1, 4320),
    gateway_status=st.sampled_from([None, "ACCEPTD", "EXPIRED", "ODD"]), moderated=st.booleans(), wait=_spans,
    deliver_within=st.none() | _spans, failures=st.integers(0, 2), attempt=st.integers(0, 2),
    message_id=st.sampled_from([None, "1"]), cost=st.sampled_from([None, "20.50"]), link_token=st.none(),
    reference=st.none() | st.text("sb0123456789abcdef", min_size=22, max_size=22), asked_at=st.none() | _times,
)  # fmt: skip
_incidents = st.builds(
    an_incident,
    id=_numbers, title=_words, fact=_words, note=_words, severity=_short, source=_short, ended_by=st.none() | _short,
    places=st.lists(_short, max_size=20).map(tuple), state=st.sampled_from(IncidentState), firing=_numbers,
    total=_numbers, truncated=_numbers, policy=st.sampled_from([None, "critical"]), test=st.booleans(),
    source_url=st.sampled_from(["", "https://example.net/" + "x" * 900]), ended_at=st.none() | _times,
    acknowledged_at=st.none() | _times, acknowledged_via=_short, asked_by=st.none() | _short,
    first_round=st.integers(1, 999_999), rings=st.integers(0, 9), outbreaks=st.integers(1, 999), token=_tokens,
)  # fmt: skip
_incident_views = st.builds(
    IncidentView, _incidents,
    st.lists(st.builds(RecipientLine, _short, _rows), max_size=12).map(tuple), st.just(ALMATY), _times,
    holder=_short, asks_again_at=st.none() | _times,
    passed=st.none() | st.builds(TimelineEntry, st.just(1), _times, _words, _short),
    on_call=st.lists(st.builds(Person, _short.filter(bool), st.none(), st.integers(1)), max_size=12).map(tuple),
)  # fmt: skip
_views = st.one_of(
    _incident_views,
    st.builds(RingView, _incident_views, _words),
    st.builds(SmsView, _rows, _short, st.just(ALMATY), _times, name=st.none() | _short, problem=st.none() | _words),
    st.builds(
        QuestionView,
        st.builds(a_question, id=_numbers, text=_words, why=_words, token=_tokens,
                  answer=st.sampled_from([None, "sent", "dropped", "expired"])),
        st.just(ALMATY), _times,
    ),
    st.builds(
        TroubleView,
        st.builds(Trouble, st.just(1), _short, _short, _words, _times, _times, over_at=st.none() | _times),
        st.just(ALMATY), _times,
    ),
    st.builds(NoteView, _words),
)  # fmt: skip


def _fits(card: Rendered) -> None:
    assert len(card.text.encode("utf-16-le", "replace")) <= 2 * LONGEST
    buttons = [button for row in card.buttons for button in row]
    assert all((button.data is None) is not (button.url is None) and button.label for button in buttons)
    assert all(len(button.data.encode()) <= 64 for button in buttons if button.data)
    units = card.text.encode("utf-16-le", "replace")
    for mention in card.mentions:
        named = units[2 * mention.start : 2 * (mention.start + mention.length)]
        assert named.decode("utf-16-le") == mention.name != ""


@settings(deadline=None)
@given(_views)
def test_every_view_fits_into_one_message_with_buttons_that_telegram_takes(view: View) -> None:
    _fits(render(view))
    if isinstance(view, IncidentView | SmsView):
        _fits(with_timeline(view, [TimelineEntry(1, NOW, "something happened " * 20, "aigerim")] * 99))
    if isinstance(view, IncidentView):
        assert f"#{view.incident.id}" in render(view).text
        assert len(incident_list([view] * 50).encode("utf-16-le", "replace")) <= 2 * LONGEST


@pytest.mark.parametrize("state", IncidentState)
def test_a_hundred_people_leave_room_for_what_comes_next(state: IncidentState) -> None:
    ended = {"state": State.FAILED, "reason": "Mobizon: " + "x" * 400}
    lines = [a_page(f"person {n}", **ended) for n in range(99)]
    lines.append(a_page("jonas", step=2, due_at=NOW + MINUTE))
    card = incident_card(
        an_incident(title="x" * 900, fact="y" * 900, note="z" * 900, state=state, policy="one"), *lines
    )

    assert len(card.encode("utf-16-le")) <= 2 * LONGEST
    assert state is not IncidentState.TRIGGERED or card.endswith("\n  next  Jonas 08:32, then this chat rings")
    assert "more" in card


def test_a_list_of_long_lines_fits_and_says_how_many_are_left_out() -> None:
    called = a_page("jonas", state=State.FAILED, ended_at=NOW)
    long = an_incident(title="x" * 900, severity="y" * 900, outbreaks=99, rings=1, policy="one")
    told = incident_list([IncidentView(long, (called,), ALMATY, NOW + 9 * 24 * 60 * MINUTE)] * 50)
    assert len(told) <= LONGEST and told.count("#1042") == 20 and told.endswith("… and 30 more")


def test_a_long_timeline_keeps_what_came_last() -> None:
    entries = [TimelineEntry(1042, START + n * MINUTE, f"step {n} " + "x" * 90, "aigerim") for n in range(300)]
    told = with_timeline(IncidentView(an_incident(), (), ALMATY, NOW), entries).text

    assert "earlier\n" in told and "step 299 " in told and "step 1 " not in told


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
