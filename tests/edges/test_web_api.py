"""The API on the wire: what a script may ask, and what it is told when it asks wrongly."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import openapi_spec_validator
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.dispatcher import Accepted, Answered, Asker, Denied, SmsRequest
from bridge.domain.costs import Amount, By, Spending
from bridge.domain.house import Role
from bridge.domain.incident import Incident
from bridge.domain.notification import State
from bridge.inquiries import Money, Status
from bridge.ports import (
    Balance,
    IncidentView,
    Place,
    Receipt,
    ReceiptState,
    RecipientLine,
    SmsView,
    TimelineEntry,
    Unreachable,
)
from bridge.web.openapi import document
from tests.edges.web_scene import ALICE, HOUSE, STRANGER, Edge, bearer, notification, served
from tests.fakes import START

OBSERVER, RESPONDER, OPERATOR = (bearer(f"{role}-token") for role in ("observer", "responder", "operator"))
ZONE = ZoneInfo("UTC")
HELLO = {"to": "aigerim", "text": "Hello"}


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with served() as edge:
        yield edge


async def post(edge: Edge, body: object, headers: dict[str, str] = RESPONDER) -> tuple[int, Any]:
    answer = await edge.client.post("/api/v1/sms", json=body, headers=headers)
    return answer.status, await answer.json(content_type=None)


async def get(edge: Edge, path: str, headers: dict[str, str] = OBSERVER) -> tuple[int, Any]:
    answer = await edge.client.get(f"/api/v1{path}", headers=headers)
    return answer.status, await answer.json(content_type=None)


async def test_an_sms_is_handed_to_the_door(edge: Edge) -> None:
    status, sms = await post(edge, HELLO)
    assert status == 202
    assert sms["id"] == 1042
    assert sms["state"] == "planned"
    assert sms["due_at"] == "2026-11-20T03:10:00Z"
    assert edge.door.calls == [("send_sms", SmsRequest("aigerim", "Hello", Asker("api:responder", Role.RESPONDER)))]


async def test_every_option_reaches_the_door(edge: Edge) -> None:
    body = HELLO | {
        "chat": "ops",
        "sender_id": "MyAlpha",
        "send_at": "2026-11-20T18:00:00+05:00",
        "validity": "1h",
        "flash": True,
        "shorten_links": True,
        "idempotency_key": "order-118",
    }
    assert (await post(edge, body))[0] == 202
    assert edge.door.calls[0][1] == SmsRequest(
        "aigerim",
        "Hello",
        Asker("api:responder", Role.RESPONDER),
        chat=HOUSE.chats["ops"],
        place=Place(-100, 7),
        cause="api:responder:order-118",
        sender_id="MyAlpha",
        send_at=datetime(2026, 11, 20, 13, tzinfo=UTC),
        validity=60,
        flash=True,
        shorten_links=True,
    )


async def test_a_repeated_key_answers_with_the_first_sms(edge: Edge) -> None:
    edge.door.answer = Accepted(notification(state=State.DELIVERED), repeated=True)
    status, sms = await post(edge, HELLO | {"idempotency_key": "k"})
    assert (status, sms["id"]) == (200, 1042)


@pytest.mark.parametrize(
    ("body", "field", "told"),
    [
        ({"text": "x"}, "to", "missing"),
        ({"to": "aigerim"}, "text", "missing"),
        (HELLO | {"to": ""}, "to", "at least 1 character"),
        (HELLO | {"to": 77010000001}, "to", "valid string"),
        (HELLO | {"text": "x" * 10_001}, "text", "at most 10000 characters"),
        (HELLO | {"text": "a\0b"}, "text", "holds a NUL character"),
        (HELLO | {"recipient": "x"}, "recipient", "not a key of this request; there are: to, text, chat"),
        (HELLO | {"flash": "yes"}, "flash", "valid boolean"),
        (HELLO | {"send_at": "tomorrow"}, "send_at", "valid datetime"),
        (HELLO | {"send_at": "2026-11-20T18:00:00"}, "send_at", "timezone"),
        (HELLO | {"validity": 0}, "validity", "greater than or equal to 1"),
        (HELLO | {"validity": "soon"}, "validity", "valid integer"),
        (HELLO | {"chat": "dev"}, "chat", "no chat of this name; there are: ops"),
        ([], "body", "object"),
    ],
)
async def test_a_wrong_field_is_named(edge: Edge, body: object, field: str, told: str) -> None:
    status, problem = await post(edge, body)
    assert status == 400
    assert [found["field"] for found in problem["errors"]] == [field]
    assert told in problem["errors"][0]["problem"]
    assert edge.door.calls == []


async def test_all_wrong_fields_are_named_at_once(edge: Edge) -> None:
    _, problem = await post(edge, {"flash": 1})
    assert {found["field"] for found in problem["errors"]} == {"to", "text", "flash"}


@pytest.mark.parametrize("body", [b"", b"{", b'{"to": "\\ud800", "text": "x"}', b"[" * 60_000])
async def test_a_body_that_is_no_json_is_refused(edge: Edge, body: bytes) -> None:
    answer = await edge.client.post("/api/v1/sms", data=body, headers=RESPONDER)
    assert answer.status == 400
    assert edge.door.calls == []


async def test_too_large_a_request_is_refused(edge: Edge) -> None:
    answer = await edge.client.post("/api/v1/sms", data=b"x" * 70_000, headers=RESPONDER)
    assert answer.status == 413


async def test_what_the_door_denies_is_told_by_kind(edge: Edge) -> None:
    edge.door.answer = Denied("nobody is called dana", field="to")
    status, problem = await post(edge, HELLO)
    assert (status, problem["errors"]) == (400, [{"field": "to", "problem": "nobody is called dana"}])

    edge.door.answer = Denied("other numbers take the role operator", forbidden=True)
    assert (await post(edge, HELLO))[0] == 403

    edge.door.answer = Denied("the limit is reached", opens_at=START + timedelta(seconds=90, milliseconds=1))
    answer = await edge.client.post("/api/v1/sms", json=HELLO, headers=RESPONDER)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "91")


async def test_what_could_not_be_stored_may_be_sent_again(edge: Edge) -> None:
    edge.door.stores = False
    assert (await post(edge, HELLO))[0] == 503


@pytest.mark.parametrize("yes", ["1", "true"])
async def test_a_preview_says_what_would_be_sent(edge: Edge, yes: str) -> None:
    body = HELLO | {"text": "see “north”", "idempotency_key": "k"}
    answer = await edge.client.post(f"/api/v1/sms?preview={yes}", json=body, headers=RESPONDER)
    seen = await answer.json()
    assert answer.status == 200
    assert (seen["to"], seen["person"], seen["sender_id"]) == ("aigerim", "aigerim", "MyAlpha")
    assert (seen["text"], seen["alphabet"], seen["segments"]) == ("see “north”", "unicode", 1)
    assert (seen["units_left"], seen["parts"], seen["replaced"]) == (59, ["see “north”"], [])
    assert [(one["sign"], one["at"]) for one in seen["culprits"]] == [("“", 5), ("”", 11)]
    assert (seen["instead"]["text"], seen["instead"]["alphabet"]) == ('see "north"', "gsm7")
    assert seen["advice"][1] == 'with " for “ ”: gsm7, 1 segment'
    assert (seen["opens_at"], seen["limit"]) == (None, None)
    assert edge.door.verbs() == ["foresee_sms"]


async def test_a_preview_of_what_a_limit_holds_says_when_it_opens(edge: Edge) -> None:
    edge.door.answer = Denied("the limit is reached", opens_at=START + timedelta(minutes=5))
    answer = await edge.client.post("/api/v1/sms?preview=1", json=HELLO, headers=RESPONDER)
    seen = await answer.json()
    assert (answer.status, seen["opens_at"], seen["limit"]) == (200, "2026-11-20T03:15:00Z", "the limit is reached")


@pytest.mark.parametrize(
    ("denied", "status"),
    [(Denied("nobody is called dana", field="to"), 400), (Denied("takes the role operator", forbidden=True), 403)],
)
async def test_a_preview_is_refused_as_the_sms_would_be(edge: Edge, denied: Denied, status: int) -> None:
    edge.door.answer = denied
    answer = await edge.client.post("/api/v1/sms?preview=1", json=HELLO, headers=RESPONDER)
    assert (answer.status, (await answer.json())["detail"]) == (status, denied.reason)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("preview=yes", "preview: 1, true, 0, false would be right, once"),
        ("preview=", "preview: 1, true, 0, false would be right, once"),
        ("preview", "preview: 1, true, 0, false would be right, once"),
        ("preview=0&preview=1", "preview: 1, true, 0, false would be right, once"),
        ("previw=1", "previw: not a parameter of this request; there are: preview"),
    ],
)
async def test_what_was_meant_to_be_a_preview_is_never_sent(edge: Edge, query: str, told: str) -> None:
    answer = await edge.client.post(f"/api/v1/sms?{query}", json=HELLO, headers=RESPONDER)
    assert (answer.status, (await answer.json())["detail"]) == (400, told)
    assert edge.door.calls == []


@pytest.mark.parametrize("no", ["0", "false"])
async def test_no_preview_sends(edge: Edge, no: str) -> None:
    answer = await edge.client.post(f"/api/v1/sms?preview={no}", json=HELLO, headers=RESPONDER)
    assert (answer.status, edge.door.verbs()) == (202, ["send_sms"])


@pytest.mark.parametrize(
    ("asked_by", "headers", "to", "text"),
    [
        ("api:responder", RESPONDER, "+77010000002", "Hello"),
        ("api:other", RESPONDER, "+7 701 ••• •• 02", None),
        ("responder", RESPONDER, "+7 701 ••• •• 02", None),
        ("api:other", OBSERVER, "+7 701 ••• •• 02", None),
        ("api:other", OPERATOR, "+77010000002", "Hello"),
    ],
)
@pytest.mark.parametrize("claimed", [True, False])
async def test_number_and_text_are_for_operators_and_whoever_asked(
    edge: Edge, asked_by: str, headers: dict[str, str], to: str, text: str | None, claimed: bool
) -> None:
    row = notification(asked_by=asked_by, person=None, target=STRANGER.e164, number=STRANGER if claimed else None)
    edge.shelf.rows = [row]
    edge.shelf.statuses[1042] = Status(SmsView(row, asked_by, ZONE, START), [])
    _, listed = await get(edge, "/sms", headers)
    _, alone = await get(edge, "/sms/1042", headers)
    for sms in (listed["items"][0], alone):
        assert (sms["to"], sms["text"]) == (to, text)


async def test_one_sms_comes_with_its_timeline(edge: Edge) -> None:
    row = notification(message_id="9", state=State.SUBMITTED, submitted_at=START, cost="20.50", currency="KZT")
    edge.shelf.statuses[1042] = Status(SmsView(row, "x", ZONE, START), [TimelineEntry(1042, START, "asked", "x")])
    status, sms = await get(edge, "/sms/1042/")
    assert status == 200
    assert sms["timeline"] == [{"at": "2026-11-20T03:10:00Z", "what": "asked", "who": "x"}]
    assert (sms["mobizon_id"], sms["cost"], sms["currency"]) == ("9", "20.50", "KZT")


async def test_notifications_are_listed_by_the_page(edge: Edge) -> None:
    edge.shelf.rows = [notification(number) for number in range(120, 0, -1)]
    seen, cursor = [], ""
    while cursor is not None:
        _, page = await get(edge, f"/sms?cursor={cursor}&state=planned&to=aigerim")
        seen += [sms["id"] for sms in page["items"]]
        cursor = page["next"]
    assert seen == list(range(120, 0, -1))
    assert edge.shelf.asked[0] == (State.PLANNED, "aigerim", None)


INCIDENT = Incident(17, "am", "g", "critical", START, START, title="HostDown", places=("db1",), firing=1, total=2)


async def test_incidents_are_listed_and_shown_whole(edge: Edge) -> None:
    view = IncidentView(INCIDENT, (RecipientLine("Aigerim", notification(18, incident_id=17)),), ZONE, START)
    edge.shelf.statuses[17] = Status(view, [TimelineEntry(17, START, "opened")])
    edge.shelf.open_incidents = [INCIDENT]
    _, listed = await get(edge, "/incidents")
    _, whole = await get(edge, "/incidents/17")
    assert listed["items"][0] == {name: whole[name] for name in listed["items"][0]}
    assert (whole["title"], whole["places"]) == ("HostDown", ["db1"])
    assert [sms["id"] for sms in whole["notifications"]] == [18]
    assert [entry["what"] for entry in whole["timeline"]] == ["opened"]


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", (True, None)),
        ("?all=false", (True, None)),
        ("?all=true", (False, None)),
        ("?since=7d", (False, START - timedelta(days=7))),
        ("?since=2026-11-19T00:00:00Z", (False, datetime(2026, 11, 19, tzinfo=UTC))),
    ],
)
async def test_ended_incidents_are_shown_when_asked_for(edge: Edge, query: str, asked: tuple[object, ...]) -> None:
    assert (await get(edge, f"/incidents{query}"))[0] == 200
    assert edge.shelf.asked == [asked]


@pytest.mark.parametrize("verb", ["acknowledge", "resolve"])
@pytest.mark.parametrize("body", [None, b"", b"{}", b"not JSON"])
async def test_an_incident_is_answered_for_and_shown_as_it_is_then(edge: Edge, verb: str, body: bytes | None) -> None:
    edge.door.answer = Answered(INCIDENT)
    edge.shelf.statuses[17] = Status(IncidentView(INCIDENT, (), ZONE, START), [])
    answer = await edge.client.post(f"/api/v1/incidents/17/{verb}", data=body, headers=RESPONDER)
    assert (answer.status, (await answer.json())["id"]) == (200, 17)
    assert edge.door.calls == [(verb, 17, Asker("api:responder", Role.RESPONDER), "through the API")]


async def test_what_cannot_be_answered_for_is_told_by_kind(edge: Edge) -> None:
    edge.shelf.statuses[17] = Status(IncidentView(INCIDENT, (), ZONE, START), [])
    edge.shelf.statuses[1042] = Status(SmsView(notification(), "", ZONE, START), [])
    for denied, number, status in (
        (Denied("#17 is over already."), 17, 409),
        (Denied("There is no incident #18."), 18, 404),
        (Denied("There is no incident #1042."), 1042, 404),
        (Denied("an observer by now", forbidden=True), 17, 403),
    ):
        edge.door.answer = denied
        answer = await edge.client.post(f"/api/v1/incidents/{number}/acknowledge", headers=RESPONDER)
        assert (answer.status, answer.content_type) == (status, "application/problem+json")


async def test_receipts_say_what_became_of_them_but_not_what_they_held(edge: Edge) -> None:
    result = {"incidents": [17]}
    edge.shelf.kept = [Receipt(7, "am", START, b"secret", state=ReceiptState.UNDERSTOOD, result=result)]
    _, listed = await get(edge, "/receipts")
    _, alone = await get(edge, "/receipts/7")
    assert listed["items"] == [alone]
    assert alone == {
        "id": 7,
        "source": "am",
        "route": None,
        "received_at": "2026-11-20T03:10:00Z",
        "state": "understood",
        "result": result,
    }
    assert edge.shelf.asked == [(START - timedelta(days=1),)]


async def test_an_operator_replays_a_receipt(edge: Edge) -> None:
    answer = await edge.client.post("/api/v1/receipts/7/replay", headers=OPERATOR)
    assert (answer.status, await answer.json()) == (202, {"receipt": 8})
    assert (await edge.client.post("/api/v1/receipts/9/replay", headers=OPERATOR)).status == 404
    assert (await edge.client.post("/api/v1/receipts/6/replay", headers=OPERATOR)).status == 409


async def test_the_balance_is_told_or_why_not(edge: Edge) -> None:
    assert await get(edge, "/balance") == (
        200,
        {"amount": "1234.50", "currency": "KZT", "sms_left": 60, "days_left": 9},
    )
    edge.shelf.purse = Money(Balance(Decimal(0), "KZT"))
    assert (await get(edge, "/balance"))[1]["sms_left"] is None
    edge.shelf.purse = Unreachable("no connection")
    assert (await get(edge, "/balance"))[0] == 503


async def test_the_bill_of_a_month_is_one_of_the_time_zone(edge: Edge) -> None:
    house = replace(edge.config.value.house, time_zone=ZoneInfo("Asia/Almaty"))
    edge.config.value = replace(edge.config.value, house=house)
    price = Amount(Decimal("20.50"), "KZT")
    sms = Spending(7, "m7", START, 1, State.DELIVERED, 6, "critical", "HostDown", "jonas", None, None, price)
    lost = replace(sms, id=8, message_id="m8", state=State.UNDELIVERED, incident=None, route=None, title=None)
    edge.shelf.spendings = [sms, lost, replace(lost, id=9, message_id="m9", cost=None, number=ALICE)]

    status, told = await get(edge, "/bill?month=2026-11&ids=true")
    assert status == 200
    since, until = datetime(2026, 10, 31, 19, tzinfo=UTC), datetime(2026, 11, 30, 19, tzinfo=UTC)
    assert edge.shelf.asked == [(since, until, By.ROUTE)]
    assert (told["month"], told["time_zone"], told["by"], told["currency"]) == (
        "2026-11",
        "Asia/Almaty",
        "route",
        "KZT",
    )
    one = [{"amount": "20.50", "currency": "KZT"}]
    nothing = {"sms": 0, "segments": 0, "cost": []}
    critical = {"sms": 1, "segments": 1, "cost": one, "undelivered": nothing, "unpriced": nothing}
    part = {"sms": 1, "segments": 1, "cost": one}
    assert told["lines"] == [
        {
            "name": "typed",
            "incident": None,
            "sms": 2,
            "segments": 2,
            "cost": one,
            "undelivered": part,
            "unpriced": part,
        },
        {"name": "critical", "incident": None, **critical},
    ]
    assert told["dearest"] == [{"name": "HostDown", "incident": 6, **critical}]
    assert told["total"]["cost"] == [{"amount": "41.00", "currency": "KZT"}]
    assert (told["mobizon_ids"], told["in_doubt"]) == (["m7", "m8", "m9"], ["sb0123456789abcdef0123"])
    unasked = (await get(edge, "/bill?by=day"))[1]
    assert (unasked["mobizon_ids"], unasked["in_doubt"]) == (None, None)


@pytest.mark.parametrize(
    "path", ["/sms/1", "/sms/x", "/sms/-1", "/sms/٣", "/incidents/1", "/receipts/99", "/sms/" + "9" * 30]
)
async def test_what_there_is_not_is_not_found(edge: Edge, path: str) -> None:
    assert (await get(edge, path))[0] == 404


async def test_an_incident_is_no_sms_and_the_other_way_round(edge: Edge) -> None:
    edge.shelf.statuses[17] = Status(IncidentView(INCIDENT, (), ZONE, START), [])
    edge.shelf.statuses[18] = Status(SmsView(notification(18), "x", ZONE, START), [])
    assert (await get(edge, "/sms/17"))[0] == 404
    assert (await get(edge, "/incidents/18"))[0] == 404


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/sms?state=lost", "state"),
        ("/sms?cursor=x", "cursor"),
        ("/sms?page=2", "page"),
        ("/incidents?all=yes", "all"),
        ("/incidents?since=yesterday", "since"),
        ("/receipts?since=2026-11-19T00:00:00", "since"),
        ("/receipts?since=999999d", "since"),
        ("/bill?month=2026", "month"),
        ("/bill?month=2026-13", "month"),
        ("/bill?month=0001-01", "month"),
        ("/bill?month=٢٠٢٦-١١", "month"),
        ("/bill?by=country", "by"),
        ("/bill?ids=yes", "ids"),
        ("/bill?year=2026", "year"),
    ],
)
async def test_a_wrong_parameter_is_named(edge: Edge, path: str, field: str) -> None:
    status, problem = await get(edge, path)
    assert status == 400
    assert problem["errors"][0]["field"] == field


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
fields = ["to", "text", "chat", "sender_id", "send_at", "validity", "flash", "shorten_links", "idempotency_key"]


@settings(max_examples=30, deadline=None)
@given(bodies=st.lists(st.dictionaries(st.sampled_from(fields), any_json), min_size=5, max_size=5))
async def test_no_request_makes_the_api_fail(bodies: list[object]) -> None:
    async with served() as edge:
        for body in bodies:
            assert (await post(edge, body))[0] in (202, 400)


def test_the_description_is_valid_openapi() -> None:
    openapi_spec_validator.validate(document())
