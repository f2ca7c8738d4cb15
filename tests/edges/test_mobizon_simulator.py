"""The simulated Mobizon by itself, asked by a plain HTTP client: what others measure themselves against."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from yarl import URL

from bridge.clock import SystemClock
from bridge.demo.mobizon import Happening, SimulatedMobizon
from tests.fakes import FakeClock

AIGERIM, JONAS = "77010000001", "77010000002"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def sim(clock: FakeClock) -> AsyncIterator[SimulatedMobizon]:
    async with SimulatedMobizon(clock) as sim:
        yield sim


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


class Asking:
    """Asks with the right key, form-encoded, unless told otherwise."""

    def __init__(self, http: aiohttp.ClientSession, sim: SimulatedMobizon) -> None:
        self._http, self._sim = http, sim

    async def __call__(self, method: str, **parameters: Any) -> Any:
        return await self.form(method, parameters)

    async def form(self, method: str, form: Mapping[str, Any], key: str = "demo") -> Any:
        async with self._http.post(f"{self._sim.base_url}/service/{method}", data={"apiKey": key, **form}) as answer:
            assert answer.status == 200
            return await answer.json()

    async def send(self, to: str = AIGERIM, text: str = "hello", **parameters: str) -> str:
        answer = await self("Message/SendSmsMessage", recipient=to, text=text, **parameters)
        assert answer["code"] == 0, answer
        message_id: str = answer["data"]["messageId"]
        return message_id

    async def status(self, message_id: str) -> str:
        answer = await self("message/getsmsstatus", ids=message_id)
        status: str = answer["data"][0]["status"]
        return status

    async def listed(self, **form: str) -> list[str]:
        answer = await self.form("message/list", {name.replace("__", "[") + "]": v for name, v in form.items()})
        return [item["id"] for item in answer["data"]["items"]]


@pytest.fixture
def ask(http: aiohttp.ClientSession, sim: SimulatedMobizon) -> Asking:
    return Asking(http, sim)


# --- the envelope and its types


async def test_the_answer_to_a_send_has_the_recorded_types(ask: Asking) -> None:
    answer = await ask("message/SENDSMSMESSAGE", recipient="+" + AIGERIM, text="hi")
    assert answer == {
        "code": 0,
        "data": {"campaignId": "200000001", "messageId": "800000001", "status": 2},
        "message": "",
    }


@pytest.mark.parametrize(
    "query",
    [
        "ids=800000001,800000002",
        "ids[0]=800000001&ids[1]=800000002",
        "ids%5B%5D=800000001&ids%5B%5D=800000002",
        "ids[]=800000001&ids[]=800000002",
    ],
)
async def test_ids_come_in_every_spelling(
    ask: Asking, http: aiohttp.ClientSession, sim: SimulatedMobizon, query: str
) -> None:
    await ask.send()
    await ask.send()
    url = URL(f"{sim.base_url}/service/Message/GetSMSStatus?apiKey=demo&{query}", encoded=True)
    async with http.get(url) as answer:
        rows = (await answer.json())["data"]
    assert [(row["id"], row["segNum"]) for row in rows] == [("800000001", "1"), ("800000002", "1")]


async def test_a_json_body_is_understood(sim: SimulatedMobizon, http: aiohttp.ClientSession) -> None:
    url = f"{sim.base_url}/service/message/sendSmsMessage?apiKey=demo"
    body = {"recipient": AIGERIM, "text": "hi", "from": None, "params": {"name": "ref", "validity": 60}}
    async with http.post(url, json=body) as answer:
        assert (await answer.json())["code"] == 0
    assert (sim.sent[0].reference, sim.sent[0].validity) == ("ref", timedelta(hours=1))


@pytest.mark.parametrize(
    ("method", "form", "code"),
    [
        ("Nonsense/List", {}, 4),
        ("Message/Nonsense", {}, 5),
        ("Message/List", {"output": "yaml"}, 6),
        ("Message/List", {"apiKey": "wrong"}, 8),
        ("Message/GetSMSStatus", {}, 2),
        ("Message/GetSMSStatus", {"ids": ",".join(map(str, range(101)))}, 12),
        ("Message/SendSmsMessage", {"text": "hi"}, 1),
        ("Message/SendSmsMessage", {"recipient": AIGERIM}, 1),
        ("Message/SendSmsMessage", {"recipient": AIGERIM, "text": "hi", "params[validity]": "4321"}, 1),
        ("Message/SendSmsMessage", {"recipient": AIGERIM, "text": "hi", "params[mclass]": "4"}, 1),
        ("Message/SendSmsMessage", {"recipient": AIGERIM, "text": "hi", "params[deferredToTs]": "tomorrow"}, 1),
        (
            "Message/SendSmsMessage",
            {"recipient": AIGERIM, "text": "hi", "params[deferredToTs]": "2026-11-20 03:30:00"},
            1,
        ),
    ],
)
async def test_errors_come_as_codes_under_http_200(ask: Asking, method: str, form: dict[str, str], code: int) -> None:
    assert (await ask.form(method, form))["code"] == code


async def test_unknown_ids_are_silently_missing(ask: Asking) -> None:
    assert (await ask("message/getsmsstatus", ids="1,2"))["data"] == []


async def test_the_wrong_site_says_where_the_account_lives(ask: Asking, sim: SimulatedMobizon) -> None:
    sim.account_lives_at = "api.mobizon.kz"
    answer = await ask("user/getownbalance")
    assert (answer["code"], answer["data"]) == (13, "api.mobizon.kz")


async def test_too_many_calls_of_one_method_get_code_30(ask: Asking, sim: SimulatedMobizon, clock: FakeClock) -> None:
    sim.throttle = (2, timedelta(seconds=1))
    codes = [(await ask("user/getownbalance"))["code"] for _ in range(3)]
    assert codes == [0, 0, 30]
    assert (await ask("message/list"))["code"] == 0
    clock.advance(1)
    assert (await ask("user/getownbalance"))["code"] == 0


# --- money and senders


async def test_each_segment_costs_and_a_poor_account_sends_nothing(ask: Asking, sim: SimulatedMobizon) -> None:
    sim.balance = Decimal("50")
    await ask.send(text="я" * 71)
    assert (await ask("user/getownbalance"))["data"] == {"balance": "9.0000", "currency": "KZT"}
    assert (await ask("message/sendsmsmessage", recipient=AIGERIM, text="hi"))["code"] == 15
    assert len(sim.sent) == 1


async def test_an_unknown_sender_is_replaced_or_refused(ask: Asking, sim: SimulatedMobizon) -> None:
    await ask.send(**{"from": "MyAlpha"})
    await ask.send(**{"from": "Typo"})
    assert [sms.sender for sms in sim.sent] == ["MyAlpha", "Service"]
    sim.refuses_unknown_senders = True
    answer = await ask.form("message/sendsmsmessage", {"recipient": AIGERIM, "text": "hi", "from": "Typo"})
    assert (answer["code"], list(answer["data"])) == (1, ["from"])


# --- the way to the handset


async def test_an_sms_moves_with_the_clock(ask: Asking, clock: FakeClock) -> None:
    message_id = await ask.send()
    seen = [await ask.status(message_id)]
    for _ in range(3):
        clock.advance(1)
        seen.append(await ask.status(message_id))
    assert seen == ["ENQUEUD", "ACCEPTD", "ACCEPTD", "DELIVRD"]


async def test_a_phone_that_comes_back_in_time_gets_it_and_one_that_does_not_never(
    ask: Asking, sim: SimulatedMobizon, clock: FakeClock
) -> None:
    for number in (AIGERIM, JONAS):
        sim.phone(number).turns_off()
    back, gone = [await ask.form("message/sendsmsmessage", form(number, "60")) for number in (AIGERIM, JONAS)]
    clock.advance(3500)
    sim.phone(AIGERIM).turns_on()
    clock.advance(3500)
    assert await ask.status(back["data"]["messageId"]) == "DELIVRD"
    assert await ask.status(gone["data"]["messageId"]) == "EXPIRED"
    assert sim.phone(AIGERIM).texts == ["hello"]
    assert sim.phone(JONAS).texts == []


def form(number: str, validity: str) -> dict[str, str]:
    return {"recipient": number, "text": "hello", "params[validity]": validity}


async def test_landlines_and_blacklisted_numbers_never_get_it(
    ask: Asking, sim: SimulatedMobizon, clock: FakeClock
) -> None:
    sim.phone(AIGERIM).is_landline()
    sim.phone(JONAS).is_blacklisted()
    sent = [await ask.send(number) for number in (AIGERIM, JONAS)]
    clock.advance(5)
    assert [await ask.status(message_id) for message_id in sent] == ["UNDELIV", "REJECTD"]


async def test_a_slow_network_takes_its_time(ask: Asking, sim: SimulatedMobizon, clock: FakeClock) -> None:
    sim.phone(AIGERIM).is_slow(300)
    message_id = await ask.send()
    clock.advance(300)
    assert await ask.status(message_id) == "ACCEPTD"
    clock.advance(1)
    assert await ask.status(message_id) == "DELIVRD"


async def test_moderation_holds_until_a_person_has_read_it(
    ask: Asking, sim: SimulatedMobizon, clock: FakeClock
) -> None:
    sim.moderates = True
    approved, declined = await ask.send(), await ask.send()
    clock.advance(900)
    assert await ask.status(approved) == "NEW"
    sim.approves(approved)
    sim.declines(declined)
    clock.advance(3)
    assert [await ask.status(approved), await ask.status(declined)] == ["DELIVRD", "NEW"]
    assert len(sim.phone(AIGERIM).messages) == 1


async def test_a_deferred_sms_leaves_when_it_is_time(ask: Asking, clock: FakeClock) -> None:
    message_id = await ask.send(**{"params[deferredToTs]": "2026-11-20 05:10:00"})
    clock.advance(7199)
    assert await ask.status(message_id) == "NEW"
    clock.advance(4)
    assert await ask.status(message_id) == "DELIVRD"


# --- the list


async def test_the_list_finds_by_part_of_a_number_and_by_the_whole_text(ask: Asking) -> None:
    first, second = await ask.send(AIGERIM, "DB down"), await ask.send(JONAS, "DB down again")
    assert await ask.listed(criteria__to="7701000000") == [second, first]
    assert await ask.listed(criteria__to=AIGERIM) == [first]
    assert await ask.listed(criteria__text="DB down") == [first]
    assert await ask.listed(criteria__status="DELIVRD") == []
    assert await ask.listed(sort__to="ASC") == [first, second]


async def test_old_sms_are_hidden_unless_a_range_or_campaigns_are_named(ask: Asking, clock: FakeClock) -> None:
    message_id = await ask.send()
    clock.advance(3 * 86400)
    assert await ask.listed(criteria__to=AIGERIM) == []
    assert await ask.listed(criteria__campaignIds="200000001") == [message_id]
    assert await ask.listed(criteria__campaignCreateTsFrom="2026-11-20 03:10:00") == [message_id]
    assert await ask.listed(criteria__campaignCreateTsFrom="2026-11-20 03:10:01") == []


async def test_pages_count_from_0(ask: Asking) -> None:
    sent = [await ask.send() for _ in range(30)]
    answer = await ask.form("message/list", {"pagination[currentPage]": "1", "sort[id]": "ASC"})
    assert [item["id"] for item in answer["data"]["items"]] == sent[25:]
    assert answer["data"]["totalItemCount"] == "30"


async def test_the_list_lags_when_told_to(ask: Asking, sim: SimulatedMobizon, clock: FakeClock) -> None:
    sim.list_lag = timedelta(minutes=2)
    message_id = await ask.send()
    clock.advance(119)
    assert await ask.listed() == []
    clock.advance(1)
    assert await ask.listed() == [message_id]


async def test_the_operator_is_only_named_when_asked_for(ask: Asking) -> None:
    await ask.send()
    plain = await ask("message/list")
    told = await ask("message/list", withNumberInfo="1")
    assert [a["data"]["items"][0]["countryA2"] for a in (plain, told)] == [None, "KZ"]


# --- faults


async def test_a_late_application_makes_an_sms_nobody_asked_for_any_more(
    ask: Asking, sim: SimulatedMobizon, clock: FakeClock
) -> None:
    sim.applies_late(600, times=1)
    with pytest.raises(aiohttp.ClientError):
        await ask.send()
    clock.advance(599)
    assert await ask.listed() == []
    clock.advance(1)
    assert len(await ask.listed()) == 1
    assert len(sim.phone(AIGERIM).messages) == 1


async def test_passing_faults_come_one_after_another_before_the_newest_lasting_one(
    ask: Asking, sim: SimulatedMobizon
) -> None:
    sim.answers(14)
    sim.answers(8)
    sim.answers(30, times=2)
    sim.answers(3, times=1, method="list")
    assert [(await ask("user/getownbalance"))["code"] for _ in range(3)] == [30, 30, 8]
    assert [(await ask("message/list"))["code"] for _ in range(2)] == [3, 8]
    sim.recovers()
    assert (await ask("user/getownbalance"))["code"] == 0


async def test_it_stops_although_a_request_is_held_and_comes_back_on_the_same_port(
    ask: Asking, sim: SimulatedMobizon
) -> None:
    address = sim.base_url
    sim.hangs(times=1)
    held = asyncio.create_task(ask.send())
    await sim.holding()
    await sim.stop()
    with pytest.raises(aiohttp.ClientError):
        await held
    with pytest.raises(aiohttp.ClientConnectorError):
        await ask.send()
    with pytest.raises(OSError, match="in use"), socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
        pass  # another test's would get our SMS
    await sim.start()
    assert sim.base_url == address
    await ask.send()


async def test_listeners_hear_of_each_sms_as_it_moves(clock: FakeClock, http: aiohttp.ClientSession) -> None:
    heard = asyncio.Queue[Happening]()
    async with SimulatedMobizon(clock, on_event=heard.put_nowait) as sim:
        await Asking(http, sim).send()
        await clock.waiting()
        clock.advance(10)
        happenings = [await heard.get() for _ in range(3)]
    assert [(h.what, h.at - happenings[0].at) for h in happenings] == [
        ("accepted", timedelta(0)),
        ("at the operator", timedelta(seconds=1)),
        ("on the handset", timedelta(seconds=3)),
    ]


async def test_it_runs_on_the_machines_own_clock() -> None:
    async with SimulatedMobizon(SystemClock()) as sim, aiohttp.ClientSession() as http:
        assert await Asking(http, sim).send()
