"""Our Mobizon client, over a real socket, against the simulated Mobizon: what we say, and what we make of answers."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest

from bridge.config import MobizonSettings
from bridge.demo.mobizon import SimulatedMobizon
from bridge.domain.phone import PhoneNumber
from bridge.domain.secret import Secret
from bridge.metrics import Metrics
from bridge.mobizon import CRITERIA, SORT_FIELDS, Mobizon
from bridge.ports import (
    Balance,
    DeliveryReport,
    Lost,
    MessagePage,
    MessageQuery,
    Outgoing,
    Refused,
    SendOutcome,
    Statuses,
    Submitted,
    Unreachable,
    Verdict,
)
from tests.fakes import FakeClock

KEY = "kz0canary0canary0canary0canary0canary0ca"
AIGERIM = "+77010000001"
PAGE = Outgoing(PhoneNumber(AIGERIM), "DB down 03:10 #1042", "sb0123456789abcdef0123")
CONCURRENCY = 4


def settings_for(sim: SimulatedMobizon, **changes: Any) -> MobizonSettings:
    return replace(MobizonSettings(sim.base_url, Secret(KEY), concurrency=CONCURRENCY), **changes)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def sim(clock: FakeClock) -> AsyncIterator[SimulatedMobizon]:
    async with SimulatedMobizon(clock, api_key=KEY) as sim:
        yield sim


@pytest.fixture
async def mobizon(sim: SimulatedMobizon, clock: FakeClock, metrics: Metrics) -> AsyncIterator[Mobizon]:
    async with Mobizon(settings_for(sim), clock, metrics) as mobizon:
        yield mobizon


async def ids_of(mobizon: Mobizon, count: int) -> list[str]:
    outcomes = [await mobizon.send(PAGE) for _ in range(count)]
    return [outcome.message_id for outcome in outcomes if isinstance(outcome, Submitted)]


# --- what we say


async def test_an_sms_goes_out_as_the_documentation_wants_it(mobizon: Mobizon, sim: SimulatedMobizon) -> None:
    outcome = await mobizon.send(PAGE)

    assert outcome == Submitted(sim.sent[0].id, sim.sent[0].campaign_id)
    assert sim.phone(AIGERIM).texts == [PAGE.text]
    assert sim.requests[0].parameters == {
        "output": "json",
        "api": "v1",
        "recipient": "77010000001",
        "text": PAGE.text,
        "params[name]": PAGE.reference,
    }


async def test_every_parameter_arrives(sim: SimulatedMobizon, clock: FakeClock, metrics: Metrics) -> None:
    everything = replace(
        PAGE,
        text="50% ☕ & a+b? / \\ [x]=1",
        sender_id="MyAlpha",
        validity=60,
        mclass=0,
        shorten_links=True,
        defer_to=clock.now() + timedelta(hours=2),
    )
    async with Mobizon(settings_for(sim, time_zone="Asia/Almaty"), clock, metrics) as mobizon:
        await mobizon.send(everything)

    said = sim.requests[0].parameters
    assert said["text"] == everything.text
    assert said["from"] == "MyAlpha"
    assert said["params[validity]"] == "60"
    assert said["params[mclass]"] == "0"
    assert said["params[shortenLinks]"] == "1"
    assert said["params[deferredToTs]"] == "2026-11-20 10:10:00"  # 05:10 in UTC, as Almaty's clocks show it


async def test_the_accounts_sender_id_is_used_when_none_is_asked_for(
    sim: SimulatedMobizon, clock: FakeClock, metrics: Metrics
) -> None:
    async with Mobizon(settings_for(sim, sender_id="MyAlpha"), clock, metrics) as mobizon:
        await mobizon.send(PAGE)
    assert sim.sent[0].sender == "MyAlpha"


@pytest.mark.parametrize("place", ["query", "body"])
async def test_the_key_travels_where_the_config_says(
    sim: SimulatedMobizon, clock: FakeClock, metrics: Metrics, place: str
) -> None:
    async with Mobizon(settings_for(sim, api_key_in=place), clock, metrics) as mobizon:
        assert isinstance(await mobizon.send(PAGE), Submitted)
    assert sim.requests[0].key_in == place


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"defer_to": timedelta(minutes=59)}, "deferredToTs"),
        ({"defer_to": timedelta(days=14, seconds=1)}, "deferredToTs"),
        ({"mclass": 4}, "mclass"),
        ({"mclass": -1}, "mclass"),
        ({"validity": 0}, "validity"),
        ({"validity": 4321}, "validity"),
    ],
)
async def test_what_is_out_of_range_is_refused_before_a_byte_leaves(
    mobizon: Mobizon, sim: SimulatedMobizon, clock: FakeClock, change: dict[str, Any], field: str
) -> None:
    if "defer_to" in change:
        change = {"defer_to": clock.now() + change["defer_to"]}

    outcome = await mobizon.send(replace(PAGE, **change))

    assert isinstance(outcome, Refused)
    assert outcome.field == field
    assert not sim.requests


@pytest.mark.parametrize("change", [{"validity": 1}, {"validity": 4320}, {"mclass": 0}, {"mclass": 3}])
async def test_the_ends_of_the_ranges_are_inside(mobizon: Mobizon, change: dict[str, Any]) -> None:
    assert isinstance(await mobizon.send(replace(PAGE, **change)), Submitted)


async def test_what_waits_for_a_person_at_mobizon_is_said_to(mobizon: Mobizon, sim: SimulatedMobizon) -> None:
    sim.moderates = True
    outcome = await mobizon.send(PAGE)
    assert isinstance(outcome, Submitted)
    assert outcome.moderated


async def test_a_refused_sender_id_is_left_out_and_one_sms_goes(mobizon: Mobizon, sim: SimulatedMobizon) -> None:
    sim.refuses_unknown_senders = True

    outcome = await mobizon.send(replace(PAGE, sender_id="Typo"))

    assert isinstance(outcome, Submitted)
    assert outcome.without_sender
    assert len(sim.sent) == 1
    assert ["from" in request.parameters for request in sim.requests] == [True, False]


async def test_a_sender_id_refused_together_with_the_number_is_not_tried_again(
    mobizon: Mobizon, sim: SimulatedMobizon
) -> None:
    sim.refuses_unknown_senders = True
    outcome = await mobizon.send(replace(PAGE, sender_id="Typo", number=PhoneNumber("+7701")))
    assert isinstance(outcome, Refused)
    assert outcome.field == "recipient"
    assert len(sim.requests) == 1


# --- what they say

REFUSED = {2, 11, 12}
NEEDS_OPERATOR = {1, 4, 5, 6, 8, 9, 13, 14}


async def test_every_code_there_can_be_is_sorted(mobizon: Mobizon, sim: SimulatedMobizon) -> None:
    for code in range(1000):
        sim.answers(code, times=1)
        outcome = await mobizon.send(PAGE)
        match outcome:
            case Refused():
                assert code in REFUSED
            case Unreachable(needs_operator=True):
                assert code in NEEDS_OPERATOR
                assert outcome.advice
            case Unreachable():
                assert code == 30
                assert outcome.wait
            case Lost():
                assert code not in REFUSED | NEEDS_OPERATOR | {30}
            case Submitted():
                raise AssertionError(f"code {code} came without an id")
        assert outcome.code == code
    assert len(sim.requests) == 1000  # nothing was tried twice
    assert not sim.sent


@pytest.mark.parametrize(
    ("data", "outcome", "field"),
    [
        ({"recipient": "no way to send there"}, Refused, "recipient"),
        ({"recipient": ["no way", "to send there"]}, Refused, "recipient"),
        ({"text": {"0": "too long"}}, Refused, "text"),
        ({"params": {"validity": ["wrong"]}}, Refused, "validity"),
        ({"params[deferredToTs]": "wrong"}, Refused, "deferredToTs"),
        ({"from": "no", "recipient": "no"}, Refused, "recipient"),
        ({"from": "no"}, Unreachable, None),  # we sent none, so leaving it out cannot help
        ({"tariff": "no"}, Unreachable, None),
        ({"recipient": []}, Unreachable, None),
        ([], Unreachable, None),
        (None, Unreachable, None),
        ("wrong", Unreachable, None),
    ],
)
async def test_code_1_is_sorted_by_the_fields_it_names(
    mobizon: Mobizon, sim: SimulatedMobizon, data: Any, outcome: type[SendOutcome], field: str | None
) -> None:
    sim.answers(1, data)
    found = await mobizon.send(PAGE)
    assert type(found) is outcome
    assert getattr(found, "field", None) == field
    assert len(sim.requests) == 1


@pytest.mark.parametrize("data", ["api.mobizon.kz", ["api.mobizon.kz"], {"domain": "https://api.mobizon.kz/"}])
async def test_another_home_of_the_account_is_reported_and_never_followed(
    mobizon: Mobizon, sim: SimulatedMobizon, data: Any
) -> None:
    sim.answers(13, data)
    outcome = await mobizon.send(PAGE)
    assert isinstance(outcome, Unreachable)
    assert outcome.advice == "your account lives at api.mobizon.kz: set mobizon.base_url to https://api.mobizon.kz"


async def test_a_redirect_is_not_followed(mobizon: Mobizon, sim: SimulatedMobizon, clock: FakeClock) -> None:
    async with SimulatedMobizon(clock, api_key=KEY) as elsewhere:
        there = f"{elsewhere.base_url}/service/Message/SendSmsMessage?apiKey={KEY}"
        sim.answers_http(307, b"", headers={"Location": there})
        assert isinstance(await mobizon.send(PAGE), Lost)
        assert not elsewhere.requests


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"[]", b"{}", b"0", b'"0"', b"<html>", b"\xff\xfe", b"[" * 100_000, b'{"code":0'),
        *(b'{"code":null}', b'{"code":true}', b'{"code":"x"}', b'{"code":0}', b'{"code":0,"data":null}'),
        *(b'{"code":0,"data":[]}', b'{"code":0,"data":{"messageId":null}}', b'{"code":0,"data":{"messageId":""}}'),
        *(b'{"code":0,"data":{"messageId":0}}', b'{"code":0,"data":{"messageId":false}}', b'{"code":1e400}'),
        *(
            b'{"code":0,"data":{"messageId":[1]}}',
            b'{"code":0,"data":"800000001"}',
            b'{"code":-1}',
            b'{"code":0,"data":{"messageId":"9"}}' + b" " * 5_000_000,
        ),
    ],
    ids=lambda body: body[:36].decode("latin-1"),
)
async def test_an_answer_without_sense_may_hide_a_sent_sms(
    mobizon: Mobizon, sim: SimulatedMobizon, body: bytes
) -> None:
    sim.answers_http(200, body)
    assert isinstance(await mobizon.send(PAGE), Lost)


@pytest.mark.parametrize(
    "body",
    [
        b'{"code":0,"data":{"campaignId":"7","messageId":"9","status":1},"message":""}',
        b'{"code":"0","data":{"campaignId":7,"messageId":9,"status":"1"}}',
    ],
)
async def test_strings_and_numbers_are_the_same_to_us(mobizon: Mobizon, sim: SimulatedMobizon, body: bytes) -> None:
    sim.answers_http(200, body)
    assert await mobizon.send(PAGE) == Submitted("9", "7", moderated=True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ENVELOPES = st.fixed_dictionaries(
    {"code": st.integers(-2, 1001) | st.sampled_from([0, 1, 13, 30, "0", None])},
    optional={
        "data": JSON
        | st.dictionaries(st.sampled_from(["messageId", "campaignId", "items", "balance", "recipient", "from"]), JSON),
        "message": JSON,
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(envelope=ENVELOPES | JSON)
async def test_no_answer_raises_and_only_code_0_with_an_id_is_an_sms(
    mobizon: Mobizon, sim: SimulatedMobizon, envelope: Any
) -> None:
    sim.recovers()
    sim.answers_http(200, orjson.dumps(envelope))
    outcome = await mobizon.send(PAGE)
    if isinstance(outcome, Submitted):
        assert envelope["code"] in (0, "0")
        assert envelope["data"]["messageId"]
    assert isinstance(await mobizon.statuses(["1"]), Statuses | Refused | Unreachable | Lost)
    assert isinstance(await mobizon.messages(MessageQuery()), MessagePage | Refused | Unreachable | Lost)
    assert isinstance(await mobizon.balance(), Balance | Refused | Unreachable | Lost)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 500, 502, 503, 504])
async def test_an_http_error_alone_proves_nothing(mobizon: Mobizon, sim: SimulatedMobizon, status: int) -> None:
    sim.answers_http(status)
    assert isinstance(await mobizon.send(PAGE), Lost)


async def test_the_code_counts_even_under_an_http_error(mobizon: Mobizon, sim: SimulatedMobizon) -> None:
    sim.answers_http(500, b'{"code":8,"data":[],"message":"failed.api.auth"}')
    outcome = await mobizon.send(PAGE)
    assert isinstance(outcome, Unreachable)
    assert outcome.needs_operator


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("35", 35), ("Fri, 20 Nov 2026 03:12:00 GMT", 120), ("99999999999", 3600), ("soon", 10), ("", 10)],
)
async def test_a_throttle_is_waited_out_as_long_as_it_asks(
    mobizon: Mobizon, sim: SimulatedMobizon, retry_after: str, seconds: int
) -> None:
    sim.answers_http(429, b"slow down", headers={"Retry-After": retry_after})
    outcome = await mobizon.send(PAGE)
    assert isinstance(outcome, Unreachable)
    assert outcome.wait == timedelta(seconds=seconds)


# --- when the wire breaks


async def test_no_connection_means_nothing_was_sent(mobizon: Mobizon, sim: SimulatedMobizon) -> None:
    await sim.stop()
    assert isinstance(await mobizon.send(PAGE), Unreachable)

    await sim.start()
    assert isinstance(await mobizon.send(PAGE), Submitted)
    assert len(sim.sent) == 1


async def test_a_lost_answer_is_lost_and_nothing_is_repeated(mobizon: Mobizon, sim: SimulatedMobizon) -> None:
    sim.drops_after_accepting()
    assert isinstance(await mobizon.send(PAGE), Lost)
    assert len(sim.requests) == 1
    assert len(sim.phone(AIGERIM).messages) == 1


async def test_a_connection_that_breaks_before_anything_was_taken_looks_the_same(
    mobizon: Mobizon, sim: SimulatedMobizon
) -> None:
    sim.drops()
    assert isinstance(await mobizon.send(PAGE), Lost)
    assert not sim.sent


async def test_a_hang_ends_at_the_deadline_and_the_next_request_works(
    mobizon: Mobizon, sim: SimulatedMobizon, clock: FakeClock
) -> None:
    sim.hangs_after_accepting(times=1)
    send = asyncio.create_task(mobizon.send(PAGE))
    await sim.holding()

    clock.advance(19.9)
    assert await mobizon.balance() == Balance(Decimal("9979.5000"), "KZT")
    assert not send.done()

    clock.advance(0.1)
    assert isinstance(await send, Lost)
    assert isinstance(await mobizon.send(PAGE), Submitted)


@pytest.mark.parametrize("part", ["body", "headers"])
async def test_a_dripping_answer_ends_at_the_deadline(
    mobizon: Mobizon, sim: SimulatedMobizon, clock: FakeClock, part: str
) -> None:
    sim.drips(part, times=1)
    send = asyncio.create_task(mobizon.send(PAGE))
    for _ in range(20):
        await clock.waiting(2)  # our deadline, and the server's next byte
        clock.advance(1)
    assert isinstance(await send, Lost)
    assert isinstance(await mobizon.send(PAGE), Submitted)


async def test_a_gateway_that_hangs_does_not_use_the_client_up(
    mobizon: Mobizon, sim: SimulatedMobizon, clock: FakeClock
) -> None:
    for wave in range(1, 4):
        sim.hangs(times=CONCURRENCY)
        sends = [asyncio.create_task(mobizon.send(PAGE)) for _ in range(3 * CONCURRENCY)]
        await sim.holding(wave * CONCURRENCY)
        clock.advance(20)
        outcomes = await asyncio.gather(*sends)
        # Those that found no free connection never left, and never will.
        assert sum(isinstance(outcome, Lost) for outcome in outcomes) == CONCURRENCY
        assert sum(isinstance(outcome, Unreachable) for outcome in outcomes) == 2 * CONCURRENCY
        # The others still hang there, and nobody has to wait for them.
        assert isinstance(await mobizon.send(PAGE), Submitted)
    sim.recovers()
    assert isinstance(await mobizon.balance(), Balance)
    assert len(sim.sent) == 3
    assert len(sim.requests) == 3 * (CONCURRENCY + 1) + 1


async def test_whoever_stops_waiting_does_not_cut_the_request(mobizon: Mobizon, sim: SimulatedMobizon) -> None:
    for _ in range(2 * CONCURRENCY):
        sim.hangs(times=1)
        send = asyncio.create_task(mobizon.send(PAGE))
        await sim.holding()
        send.cancel()
        with pytest.raises(asyncio.CancelledError):
            await send
        assert isinstance(await mobizon.balance(), Balance)
        sim.answers_held()
        assert isinstance(await mobizon.balance(), Balance)
    assert sim.hung_up == 0
    assert len(sim.sent) == 2 * CONCURRENCY


async def test_after_its_time_not_a_byte_leaves(mobizon: Mobizon, sim: SimulatedMobizon, clock: FakeClock) -> None:
    for _ in range(2 * CONCURRENCY):
        assert isinstance(await mobizon.send(PAGE, not_after=clock.monotonic() - 0.1), Unreachable)
    assert not sim.requests

    assert isinstance(await mobizon.send(PAGE, not_after=clock.monotonic()), Submitted)


async def test_time_runs_out_while_waiting_for_a_free_connection(
    mobizon: Mobizon, sim: SimulatedMobizon, clock: FakeClock
) -> None:
    sim.hangs(times=CONCURRENCY)
    busy = [asyncio.create_task(mobizon.send(PAGE)) for _ in range(CONCURRENCY)]
    await sim.holding(CONCURRENCY)
    late = asyncio.create_task(mobizon.send(PAGE, not_after=clock.monotonic() + 5))
    await clock.waiting(CONCURRENCY + 1)

    clock.advance(6)
    sim.answers_held()

    assert isinstance(await late, Unreachable)
    assert all(isinstance(outcome, Submitted) for outcome in await asyncio.gather(*busy))
    assert len(sim.sent) == CONCURRENCY


# --- the key


async def test_the_key_is_seen_nowhere(
    sim: SimulatedMobizon, clock: FakeClock, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    secret_settings = settings_for(sim, sender_id="Typo")
    async with Mobizon(secret_settings, clock, metrics) as mobizon:
        for logger in ("", "httpx", "httpcore"):
            caplog.set_level(logging.DEBUG, logger or None)
        echo = orjson.dumps({"code": 1, "data": {"text": f"key {KEY}"}, "message": f"key {KEY} {AIGERIM}"})
        said: list[Any] = [mobizon, secret_settings, await mobizon.send(PAGE)]
        sim.refuses_unknown_senders = True
        said.append(await mobizon.send(PAGE))
        for status, body in [(200, echo), (307, b""), (502, KEY.encode()), (200, b"[]"), (200, echo[:9])]:
            sim.answers_http(status, body, times=1, headers={"Location": f"/?apiKey={KEY}", "X-Echo": KEY})
            said.append(await mobizon.send(PAGE))
        for code in (8, 9, 13, 15, 30):
            sim.answers(code, {"key": KEY}, f"{KEY} is wrong", times=1)
            said.append(await mobizon.send(PAGE))
        sim.drops(times=1)
        said.append(await mobizon.send(PAGE))
        sim.hangs(times=1)
        hanging = asyncio.create_task(mobizon.send(PAGE))
        await sim.holding()
        clock.advance(20)
        said += [await hanging, await mobizon.statuses(["1"])]
        await mobizon.messages(MessageQuery())
        await sim.stop()
        said.append(await mobizon.balance())
    # The moments and the ids that logging itself adds are long numbers that can hold any digits by chance.
    numbered = {"created", "msecs", "relativeCreated", "thread", "process"}
    records = [{name: held for name, held in vars(record).items() if name not in numbered} for record in caplog.records]
    shown = "\n".join([repr(said), caplog.text, repr(records)])
    shown += generate_latest(metrics.registry).decode()

    assert "send_request_headers.started" in shown  # the loudest logs were really on
    assert "canary" not in shown
    assert re.search(r"7701\d{7}", shown) is None


async def test_a_new_key_is_used_at_once(mobizon: Mobizon, sim: SimulatedMobizon) -> None:
    sim.api_key = "another"
    refused = await mobizon.send(PAGE)
    assert isinstance(refused, Unreachable)
    assert refused.code == 8
    assert "api_key_file" in refused.advice

    mobizon.set_key(Secret("another"))

    assert isinstance(await mobizon.send(PAGE), Submitted)


# --- questions


async def test_statuses_are_asked_a_hundred_at_a_time_and_the_missing_are_named(
    mobizon: Mobizon, sim: SimulatedMobizon
) -> None:
    known = await ids_of(mobizon, 130)
    asked_before = len(sim.requests)

    answer = await mobizon.statuses([*known, "1", known[0]])

    assert isinstance(answer, Statuses)
    assert list(answer.reports) == known
    assert answer.missing == ("1",)
    assert len(sim.requests) - asked_before == 2


async def test_an_sms_is_followed_to_the_handset(mobizon: Mobizon, clock: FakeClock) -> None:
    (message_id,) = await ids_of(mobizon, 1)
    seen = []
    for seconds in (0, 1, 2):
        clock.advance(seconds)
        answer = await mobizon.statuses([message_id])
        assert isinstance(answer, Statuses)
        seen.append(answer.reports[message_id])
    assert [report.status for report in seen] == ["ENQUEUD", "ACCEPTD", "DELIVRD"]
    assert seen[0].start_sent is None
    assert seen[2] == DeliveryReport(
        message_id, "DELIVRD", Verdict.DELIVERED, "", 1, "2026-11-20 03:10:01", "2026-11-20 03:10:03"
    )


@pytest.mark.parametrize(
    ("said", "status", "verdict"),
    [
        *((word, word, Verdict.PENDING) for word in ("NEW", "ENQUEUD", "ACCEPTD", "PDLIVRD", "UNKNOWN", "SCHEDUL")),
        ("DELIVRD", "DELIVRD", Verdict.DELIVERED),
        *((word, word, Verdict.UNDELIVERED) for word in ("UNDELIV", "REJECTD", "EXPIRED", "DELETED")),
        ("EXPIRD", "EXPIRED", Verdict.UNDELIVERED),
        ("delivrd", "DELIVRD", Verdict.DELIVERED),
        ("BRANDNEW", "BRANDNEW", Verdict.PENDING),
        (None, "UNKNOWN", Verdict.PENDING),
        (5, "5", Verdict.PENDING),
    ],
)
async def test_every_status_word_has_its_meaning(
    mobizon: Mobizon, sim: SimulatedMobizon, said: Any, status: str, verdict: Verdict
) -> None:
    sim.answers(0, [{"id": 7, "status": said, "segNum": "2", "startSendTs": "", "statusUpdateTs": None}])
    answer = await mobizon.statuses(["7"])
    assert isinstance(answer, Statuses)
    report = answer.reports["7"]
    assert (report.status, report.verdict, report.segments) == (status, verdict, 2)
    assert bool(report.reason) == (verdict is Verdict.UNDELIVERED)
    assert report.start_sent is None


async def test_no_ids_are_no_question(mobizon: Mobizon, sim: SimulatedMobizon) -> None:
    assert await mobizon.statuses([]) == Statuses({})
    assert not sim.requests


async def test_a_lost_sms_is_found_by_its_reference(mobizon: Mobizon, sim: SimulatedMobizon) -> None:
    sim.drops_after_accepting(times=1)
    await mobizon.send(PAGE)

    page = await mobizon.messages(
        MessageQuery({"to": PAGE.number.digits, "campaignCreateTsFrom": "2026-11-19 00:00:00"}, number_info=True)
    )

    assert isinstance(page, MessagePage)
    assert page.total == 1
    (item,) = page.items
    assert (item.id, item.campaign_name, item.text) == (sim.sent[0].id, PAGE.reference, PAGE.text)
    assert (item.segments, item.segment_price, item.country) == (1, Decimal("20.5"), "KZ")
    assert item.campaign_created == "2026-11-20 03:10:00"
    assert item.campaign["extra"]["mclass"] == "1"


async def test_every_criterion_and_sort_field_travels(mobizon: Mobizon, sim: SimulatedMobizon) -> None:
    criteria: dict[str, Any] = dict.fromkeys(CRITERIA, "1") | {"campaignIds": ["1", "2"]}
    await mobizon.messages(MessageQuery(criteria, 3, 50, dict.fromkeys(SORT_FIELDS, "asc"), number_info=True))

    said = sim.requests[0].parameters
    for name in CRITERIA:
        assert said["criteria[campaignIds][1]" if name == "campaignIds" else f"criteria[{name}]"]
    assert all(said[f"sort[{name}]"] == "ASC" for name in SORT_FIELDS)
    assert (said["pagination[currentPage]"], said["pagination[pageSize]"]) == ("3", "50")
    assert said["withNumberInfo"] == "1"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (MessageQuery({"recipient": "7"}), "there are: id, campaignId"),
        (MessageQuery(sort={"price": "ASC"}), "there are: id, campaignId"),
        (MessageQuery(sort={"id": "up"}), "ASC or DESC"),
        (MessageQuery(page_size=10), "25, 50 or 100"),
        (MessageQuery(page=-1), "from 0"),
        (MessageQuery({"campaignIds": ["1"] * 101}), "first 100"),
    ],
)
async def test_what_mobizon_would_silently_ignore_is_an_error(
    mobizon: Mobizon, sim: SimulatedMobizon, query: MessageQuery, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        await mobizon.messages(query)
    assert not sim.requests


async def test_a_bare_item_is_enough(mobizon: Mobizon, sim: SimulatedMobizon) -> None:
    sim.answers(0, {"items": {"3": {"id": 7, "campaign": [], "segNum": 2, "segUserBuy": 0.5}}})
    page = await mobizon.messages(MessageQuery())
    assert isinstance(page, MessagePage)
    assert (page.total, page.items[0].id, page.items[0].segment_price) == (1, "7", Decimal("0.5"))
    assert page.items[0].campaign == {}
    assert page.items[0].campaign_name is None


@pytest.mark.parametrize("data", [None, [], {}, {"items": "none"}, {"items": [None]}, {"items": [{"status": "NEW"}]}])
async def test_half_a_list_does_not_prove_that_an_sms_is_missing(
    mobizon: Mobizon, sim: SimulatedMobizon, data: Any
) -> None:
    sim.answers(0, data)
    assert isinstance(await mobizon.messages(MessageQuery()), Lost)


@pytest.mark.parametrize("data", [None, [], {"balance": ""}, {"balance": "NaN"}, {"balance": True}])
async def test_a_balance_without_a_number_is_none(mobizon: Mobizon, sim: SimulatedMobizon, data: Any) -> None:
    sim.answers(0, data)
    assert isinstance(await mobizon.balance(), Lost)


async def test_requests_are_counted_by_method_and_code(
    mobizon: Mobizon, sim: SimulatedMobizon, metrics: Metrics
) -> None:
    await mobizon.send(PAGE)
    sim.answers(8, times=1)
    await mobizon.send(PAGE)
    sim.drops(times=1)
    await mobizon.balance()
    counted = {
        tuple(sample.labels.values()): sample.value
        for sample in next(iter(metrics.mobizon_requests.collect())).samples
        if sample.name.endswith("_total")
    }
    assert counted == {
        ("Message/SendSmsMessage", "0"): 1,
        ("Message/SendSmsMessage", "8"): 1,
        ("User/GetOwnBalance", "lost"): 1,
    }
