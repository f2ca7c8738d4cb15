"""A Mobizon of our own on loopback: for the demo, and for tests that want to know what really happened.

Faithful where Mobizon is documented or was recorded; where nobody knows, an attribute says what it does.
Its clock moves the deliveries, its ledger (`sent`, `phone(…)`, `requests`) is the truth that tests compare with.
"""

import asyncio
import re
import socket
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from functools import partial
from heapq import heappop, heappush
from types import TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo

import orjson
from aiohttp import web

from bridge.clock import Clock
from bridge.domain.phone import BadNumber, PhoneNumber, parse_phone
from bridge.domain.sms import measure

_TO_OPERATOR = timedelta(seconds=1)
_TO_HANDSET = timedelta(seconds=2)
_FINAL = {"DELIVRD", "UNDELIV", "REJECTD", "EXPIRED", "DELETED"}
_METHODS = {"message": {"sendsmsmessage", "getsmsstatus", "list"}, "user": {"getownbalance"}}
_TIME = "%Y-%m-%d %H:%M:%S"


@dataclass(slots=True)
class SimulatedSms:
    """One accepted SMS, as the ledger keeps it. `reference` is `params[name]`, `sender` the one really used."""

    id: str
    campaign_id: str
    reference: str
    to: str  # digits, as Mobizon writes it
    text: str
    asked_sender: str
    sender: str
    created_at: datetime
    released_at: datetime | None  # None: in moderation, or declined
    validity: timedelta
    mclass: str
    shorten_links: bool
    segments: int
    price: Decimal  # of one segment
    status: str = "NEW"
    declined: bool = False
    start_sent: datetime | None = None
    updated: datetime | None = None


class SimulatedPhone:
    """A handset, reachable unless told otherwise."""

    def __init__(self, mobizon: "SimulatedMobizon", digits: str) -> None:
        self.digits = digits
        self.on_since: datetime | None = datetime.min.replace(tzinfo=UTC)  # None: off
        self.refusal = ""  # the status that every SMS to it ends in, if it takes none
        self.delay = _TO_HANDSET
        self._mobizon = mobizon

    @property
    def messages(self) -> list[SimulatedSms]:
        """What is on it or on its way to it."""
        self._mobizon.settle()
        lost = _FINAL - {"DELIVRD"}
        return [s for s in self._mobizon.sent if s.to == self.digits and s.status not in lost and not s.declined]

    @property
    def texts(self) -> list[str]:
        return [sms.text for sms in self.messages]

    def turns_off(self) -> None:
        self._mobizon.rearrange()
        self.on_since = None

    def turns_on(self) -> None:
        self.on_since = self._mobizon.rearrange()

    def is_landline(self) -> None:
        self._mobizon.rearrange()
        self.refusal = "UNDELIV"

    def is_blacklisted(self) -> None:
        self._mobizon.rearrange()
        self.refusal = "REJECTD"

    def is_slow(self, seconds: float) -> None:
        self._mobizon.rearrange()
        self.delay = timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request that reached us, its parameters without the key."""

    at: datetime
    method: str  # "message/sendsmsmessage"
    key_in: str  # "query", "body", or "" when it came without one
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Happening:
    """Something happened to an SMS: "accepted", "in moderation", "at the operator", "on the handset" …"""

    at: datetime
    what: str
    sms: SimulatedSms


_HAPPENINGS = {
    "ACCEPTD": "at the operator",
    "DELIVRD": "on the handset",
    "UNDELIV": "not delivered",
    "REJECTD": "rejected by the operator",
    "EXPIRED": "expired",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """How requests go wrong. `carries_out`: what was asked for happens all the same, unseen by whoever asked."""

    carries_out: bool = False
    holds: bool = False  # no answer until `recovers` (cut off) or `answers_held`
    cuts: bool = False  # the connection is reset instead of an answer
    late: timedelta | None = None  # carried out so much later
    drips: str = ""  # "headers" or "body": from there on, a byte a second
    status: int = 200
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


_FINE = Fault(carries_out=True)


class Refusal(Exception):
    """An API error: code, data, message."""

    def __init__(self, code: int, data: Any = None, message: str = "") -> None:
        super().__init__(code, message)
        self.code, self.data, self.message = code, data, message


class SimulatedMobizon:
    """Use as an async context manager, or `start` and `stop`; then `base_url` is what a client needs."""

    def __init__(
        self,
        clock: Clock,
        *,
        api_key: str = "demo",
        balance: Decimal = Decimal("10000"),
        time_zone: str = "UTC",
        on_event: Callable[[Happening], None] | None = None,
    ) -> None:
        self.api_key = api_key
        self.balance = balance
        self.price = Decimal("20.5")  # of one segment, where `prices` does not name the country
        self.prices: dict[str, Decimal] = {}  # by ISO 3166 letters
        self.currency = "KZT"
        self.senders = {"MyAlpha"}
        self.refuses_unknown_senders = False  # else it substitutes the service's own, as documented
        self.service_sender = "Service"
        self.moderates = False
        self.account_lives_at: str | None = None  # another host: code 13
        self.too_poor_code = 15  # nobody knows the real one
        self.list_lag = timedelta(0)
        self.list_window = timedelta(days=1)  # what List looks back without being told; the real one is not known
        self.throttle: tuple[int, timedelta] | None = None  # so many calls of one method in so long, else code 30
        self.latency = 0.0  # seconds of the clock before each answer
        self.away = timedelta(0)  # from the clock: when that is set, Mobizon's goes on
        self.sent: list[SimulatedSms] = []
        self.requests: list[SeenRequest] = []
        self.held = 0
        self.hung_up = 0  # held requests whose client did not stay for the answer
        self._clock = clock
        self._zone = ZoneInfo(time_zone)
        self._on_event = on_event
        self._phones: dict[str, SimulatedPhone] = {}
        self._passing: list[tuple[Fault, str | None]] = []
        self._lasting: list[tuple[Fault, str | None]] = []
        self._later: list[tuple[datetime, Mapping[str, str]]] = []
        self._by_id: dict[str, SimulatedSms] = {}
        self._to: defaultdict[str, list[SimulatedSms]] = defaultdict(list)
        self._due: list[tuple[datetime, int, SimulatedSms]] = []  # a heap: when to look at which one again
        self._calls: dict[str, deque[datetime]] = {}
        self._next_id = 800_000_001
        self._news = asyncio.Condition()
        self._release: asyncio.Future[bool] | None = None
        self._moved = asyncio.Event()
        self._mover: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._any_port = True
        self._held_port: socket.socket | None = None

    # --- coming and going

    async def start(self, port: int = 0) -> None:
        """Listen on loopback; after a `stop` the same port again unless told another."""
        app = web.Application()
        app.router.add_route("*", "/service/{module}/{method}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
        await self._runner.setup()
        self._any_port = not port
        site = web.TCPSite(self._runner, "127.0.0.1", port or self._port, reuse_port=self._any_port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self._release_port()
        if self._on_event is not None:
            self._mover = asyncio.create_task(self._move())

    async def stop(self) -> None:
        """Refuse connections from now on; whoever still waits for an answer is cut off."""
        if self._mover is not None:
            self._mover.cancel()
            await asyncio.gather(self._mover, return_exceptions=True)
            self._mover = None
        self._let_go(answered=False)
        if self._runner is not None:
            if self._any_port:
                self._hold_port()
            await self._runner.cleanup()
            self._runner = None

    def _hold_port(self) -> None:
        """Let nobody else listen where our clients still knock: they would hand our SMS to them."""
        self._held_port = socket.socket()
        self._held_port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._held_port.bind(("127.0.0.1", self._port))

    def _release_port(self) -> None:
        if self._held_port is not None:
            self._held_port.close()
            self._held_port = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        self._release_port()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    # --- what tests arrange

    def recovers(self) -> None:
        """All is well from now on; requests that are held are cut off without an answer."""
        self._passing.clear()
        self._lasting.clear()
        self._let_go(answered=False)

    def answers_held(self) -> None:
        """Requests that are held get their true answers now, late."""
        self._let_go(answered=True)

    def goes_wrong(self, fault: Fault, times: int | None = None, method: str | None = None) -> None:
        """The next requests (to one method, like `list`) go wrong like this.

        Those with a number of `times` come first, one after another; of the lasting ones the newest counts.
        """
        if times is None:
            self._lasting.insert(0, (fault, method))
        else:
            self._passing += [(fault, method)] * times

    def hangs(self, times: int | None = None) -> None:
        self.goes_wrong(Fault(holds=True), times)

    def hangs_after_accepting(self, times: int | None = None) -> None:
        self.goes_wrong(Fault(carries_out=True, holds=True), times, "sendsmsmessage")

    def drops_after_accepting(self, times: int | None = None) -> None:
        self.goes_wrong(Fault(carries_out=True, cuts=True), times, "sendsmsmessage")

    def drops(self, times: int | None = None) -> None:
        self.goes_wrong(Fault(cuts=True), times)

    def drips(self, part: str = "body", times: int | None = None) -> None:
        """Accepts, then answers a byte a second of its clock, from the `body` or from the `headers` on."""
        self.goes_wrong(Fault(carries_out=True, drips=part), times)

    def applies_late(self, seconds: float, times: int | None = None) -> None:
        """Cuts the answer off, and accepts the SMS only so much later."""
        self.goes_wrong(Fault(cuts=True, late=timedelta(seconds=seconds)), times, "sendsmsmessage")

    def answers(
        self, code: int, data: Any = None, message: str = "", times: int | None = None, method: str | None = None
    ) -> None:
        """Nothing is carried out, this code is the answer."""
        self.goes_wrong(Fault(body=_envelope(code, data, message)), times, method)

    def answers_http(
        self,
        status: int,
        body: bytes = b"<html><h1>Bad Gateway</h1></html>",
        times: int | None = None,
        *,
        method: str | None = None,
        carries_out: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """This and nothing else is the answer."""
        fault = Fault(carries_out=carries_out, status=status, body=body, headers=headers or {})
        self.goes_wrong(fault, times, method)

    def throttles(self, retry_after: int, times: int | None = None) -> None:
        self.answers_http(429, b"slow down", times, headers={"Retry-After": str(retry_after)})

    def approves(self, message_id: str) -> None:
        """A person at Mobizon read it and let it go."""
        self._by_id[message_id].released_at = self.rearrange()

    def declines(self, message_id: str) -> None:
        """A person at Mobizon read it and keeps it: it stays NEW for ever."""
        self.rearrange()
        self._by_id[message_id].declined = True

    def somebody_else_sends(self, number: str, text: str, name: str = "") -> None:
        """Somebody else has the key."""
        self._send({"recipient": number.removeprefix("+"), "text": text, "params[name]": name})

    # --- what tests ask

    def phone(self, number: str) -> SimulatedPhone:
        """The handset with this number."""
        digits = number.removeprefix("+")
        return self._phones.setdefault(digits, SimulatedPhone(self, digits))

    async def holding(self, count: int = 1) -> None:
        """Return once so many requests are at the server, held."""
        async with self._news:
            await self._news.wait_for(lambda: self.held >= count)

    async def has_seen(self, count: int) -> None:
        """Return once so many requests have arrived, all told."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.requests) >= count)

    # --- the wire

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        method = f"{request.match_info['module']}/{request.match_info['method']}".lower()
        parameters = dict(await _parameters(request))
        shown = {name: value for name, value in parameters.items() if name != "apiKey"}
        key_in = "query" if "apiKey" in request.query else "body" if "apiKey" in parameters else ""
        self.requests.append(SeenRequest(self._now(), method, key_in, shown))
        async with self._news:
            self._news.notify_all()
        fault = self._fault(method)
        if fault.late is not None:
            self._later.append((self._now() + fault.late, parameters))
        answer = self._answer(method, parameters) if fault.carries_out else b""
        if fault.holds:
            answered = await self._hold()
            self.hung_up += request.transport is None or request.transport.is_closing()
            if not answered:
                return _cut(request)
            answer = answer or self._answer(method, parameters)
        await self._clock.wait(self.latency)
        if fault.cuts:
            return _cut(request)
        if fault.drips:
            return await self._drip(request, answer, fault.drips)
        body = answer if fault.body is None else fault.body
        response = web.Response(status=fault.status, body=body, headers=fault.headers)
        response.headers.setdefault("Content-Type", "application/json; charset=utf-8")
        response.headers.setdefault("Date", format_datetime(self._now(), usegmt=True))
        return response

    def _now(self) -> datetime:
        return self._clock.now() + self.away

    async def _hold(self) -> bool:
        if self._release is None:
            self._release = asyncio.get_running_loop().create_future()
        release = self._release
        self.held += 1
        async with self._news:
            self._news.notify_all()
        answered = await release
        self.held -= 1
        return answered

    def _let_go(self, *, answered: bool) -> None:
        if self._release is not None:
            self._release.set_result(answered)
            self._release = None

    async def _drip(self, request: web.Request, answer: bytes, part: str) -> web.Response:
        """Written past aiohttp, which knows no half headers."""
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
        at_once, slowly = (head, answer) if part == "body" else (b"", head + answer)
        transport = request.transport
        if transport is not None:
            transport.write(at_once)
        for byte in slowly:
            if transport is None or transport.is_closing():
                break
            transport.write(bytes([byte]))
            await self._clock.wait(1)
        if transport is not None:
            transport.close()
        return web.Response()

    def _fault(self, method: str) -> Fault:
        due = [f for f in self._passing + self._lasting if f[1] is None or method.endswith(f"/{f[1].lower()}")]
        if not due:
            return _FINE
        if due[0] in self._passing:
            self._passing.remove(due[0])
        return due[0][0]

    def _answer(self, method: str, parameters: Mapping[str, str]) -> bytes:
        self.settle()
        try:
            return _envelope(0, self._carry_out(method, parameters), "")
        except Refusal as refusal:
            return _envelope(refusal.code, refusal.data, refusal.message)

    def _carry_out(self, method: str, parameters: Mapping[str, str]) -> Any:
        module, name = method.split("/")
        if module not in _METHODS:
            raise Refusal(4, None, "failed.api.module")
        if name not in _METHODS[module]:
            raise Refusal(5, None, "failed.api.method")
        if parameters.get("output", "json") != "json":
            raise Refusal(6, None, "failed.api.output")
        if parameters.get("apiKey") != self.api_key:
            raise Refusal(8, [], "failed.api.auth")
        if self.account_lives_at is not None:
            raise Refusal(13, self.account_lives_at, "failed.api.server")
        self._count_call(method)
        match name:
            case "sendsmsmessage":
                return self._send(parameters)
            case "getsmsstatus":
                return self._statuses(parameters)
            case "list":
                return self._list(parameters)
            case _:
                return {"balance": f"{self.balance:.4f}", "currency": self.currency}

    def _count_call(self, method: str) -> None:
        if self.throttle is None:
            return
        most, period = self.throttle
        now, calls = self._now(), self._calls.setdefault(method, deque())
        while calls and calls[0] <= now - period:
            calls.popleft()
        if len(calls) >= most:
            raise Refusal(30, None, "failed.api.tooManyRequests")
        calls.append(now)

    # --- the methods

    def _send(self, parameters: Mapping[str, str]) -> Mapping[str, Any]:
        now = self._now()
        params = {name[7:-1]: value for name, value in parameters.items() if name.startswith("params[")}
        wrong: dict[str, Any] = {}
        number = _number(parameters.get("recipient", ""))
        if number is None:
            wrong["recipient"] = "отсутствует возможность отправки"  # recorded as a plain text, unlike the others
        text = parameters.get("text", "")
        if not text.strip():
            wrong["text"] = ["text cannot be blank"]
        asked_sender = parameters.get("from", "")
        known_sender = asked_sender in self.senders
        if asked_sender and not known_sender and self.refuses_unknown_senders:
            wrong["from"] = ["sender signature is not allowed"]
        validity = params.get("validity", "1440")
        mclass = params.get("mclass", "1")
        defer_to = self._read_time(params["deferredToTs"]) if params.get("deferredToTs") else now
        bad_params = {
            "validity": not (validity.isdecimal() and 1 <= int(validity) <= 4320),
            "mclass": mclass not in {"0", "1", "2", "3"},
            "deferredToTs": defer_to is None
            or (defer_to != now and not timedelta(minutes=59) < defer_to - now <= timedelta(days=14)),
        }
        if any(bad_params.values()):
            wrong["params"] = {name: ["invalid value"] for name, bad in bad_params.items() if bad}
        if wrong or number is None or defer_to is None:
            raise Refusal(1, wrong, "one or more fields contain wrong data")
        segments = measure(text).segments
        price = self.prices.get(number.region, self.price)
        if self.balance < segments * price:
            raise Refusal(self.too_poor_code, None, "not enough money")
        self.balance -= segments * price
        sms = SimulatedSms(
            id=str(self._next_id),
            campaign_id=str(self._next_id - 600_000_000),
            reference=params.get("name", ""),
            to=number.digits,
            text=text,
            asked_sender=asked_sender,
            sender=asked_sender if known_sender else self.service_sender,
            created_at=now,
            released_at=None if self.moderates else defer_to,
            validity=timedelta(minutes=int(validity)),
            mclass=mclass,
            shorten_links=params.get("shortenLinks") == "1",
            segments=segments,
            price=price,
        )
        self._next_id += 1
        self.sent.append(sms)
        self._by_id[sms.id] = sms
        self._to[sms.to].append(sms)
        self._tell("in moderation" if self.moderates else "accepted", sms)
        self._look_again(sms)
        return {"campaignId": sms.campaign_id, "messageId": sms.id, "status": 1 if self.moderates else 2}

    def _statuses(self, parameters: Mapping[str, str]) -> list[Mapping[str, Any]]:
        ids = _many(parameters, "ids")
        if not ids:
            raise Refusal(2, None, "no message ids")
        if len(ids) > 100:
            raise Refusal(12, None, "more than 100 message ids")
        return [
            {
                "id": sms.id,
                "status": sms.status,
                "segNum": str(sms.segments),
                "startSendTs": self._write_time(sms.start_sent),
                "statusUpdateTs": self._write_time(sms.updated),
            }
            for sms in map(self._by_id.get, dict.fromkeys(ids))
            if sms is not None
        ]

    def _list(self, parameters: Mapping[str, str]) -> Mapping[str, Any]:
        criteria = {hit[1]: value for name, value in parameters.items() if (hit := _CRITERION.fullmatch(name))}
        campaigns = _many(parameters, "criteria[campaignIds]")[:100]
        now = self._now()
        found = self.sent
        if to := criteria.pop("to", ""):  # the one criterion that narrows a long ledger
            found = [sms for number, theirs in self._to.items() if to in number for sms in theirs]
        found = [sms for sms in found if sms.created_at <= now - self.list_lag]
        if campaigns:
            found = [sms for sms in found if sms.campaign_id in campaigns]
        elif not {"campaignCreateTsFrom", "campaignCreateTsTo"} & criteria.keys():
            found = [sms for sms in found if sms.created_at >= now - self.list_window]
        times = {name: self._read_time(value) for name, value in criteria.items() if name.endswith(("From", "To"))}
        found = [sms for sms in found if all(self._meets(sms, *asked, times) for asked in criteria.items())]
        found.sort(key=lambda sms: -int(sms.id))
        for name, direction in reversed(list(parameters.items())):
            if name.startswith("sort[") and name[5:-1] in _SORTABLE:
                found.sort(key=partial(_rank, name[5:-1]), reverse=direction.upper() == "DESC")
        size = _number_or(parameters.get("pagination[pageSize]"), 25)
        size = size if size in (25, 50, 100) else 25
        start = _number_or(parameters.get("pagination[currentPage]"), 0) * size
        with_info = parameters.get("withNumberInfo") == "1"
        items = [self._item(sms, with_info=with_info) for sms in found[start : start + size]]
        return {"items": items, "totalItemCount": str(len(found))}

    def _meets(self, sms: SimulatedSms, criterion: str, value: str, times: Mapping[str, datetime | None]) -> bool:
        moment = self._ranged(sms, criterion)
        if moment is not None:
            limit = times[criterion]
            at = moment[0]
            return limit is not None and at is not None and (at >= limit if criterion.endswith("From") else at <= limit)
        match criterion:
            case "text":
                return value == sms.text
            case "from":
                return value == sms.asked_sender
            case "status":
                return value == sms.status
            case "id":
                return value == sms.id
            case "campaignId":
                return value == sms.campaign_id
            case "campaignStatus":
                return value == _campaign_status(sms)
            case "groups" | "contentProviderId":
                return not value
            case _:
                return True  # what it does not know it ignores

    def _ranged(self, sms: SimulatedSms, criterion: str) -> tuple[datetime | None] | None:
        match criterion.removesuffix("From").removesuffix("To"):
            case "campaignCreateTs":
                return (sms.created_at.replace(microsecond=0),)
            case "campaignSentTs" | "startSendTs":
                return (sms.start_sent,)
            case "statusUpdateTs":
                return (sms.updated,)
            case _:
                return None

    def _item(self, sms: SimulatedSms, *, with_info: bool) -> dict[str, Any]:
        return {
            "id": sms.id,
            "campaignId": sms.campaign_id,
            "segNum": str(sms.segments),
            "segUserBuy": f"{sms.price:.4f}",
            "from": sms.sender,
            "to": sms.to,
            "text": sms.text,
            "status": sms.status,
            "groups": "",
            "uuid": f"simulated-{sms.id}",
            "countryA2": PhoneNumber(f"+{sms.to}").region if with_info else None,
            "operatorName": "Simulated" if with_info else None,
            "contentProviderId": "1",
            "startSendTs": self._write_time(sms.start_sent),
            "statusUpdateTs": self._write_time(sms.updated),
            "campaign": {
                "id": sms.campaign_id,
                "name": sms.reference,
                "from": sms.asked_sender,
                "text": sms.text,
                "type": "1",
                "commonStatus": _campaign_status(sms),
                "createTs": self._write_time(sms.created_at),
                "deferredToTs": None,
                "globalComment": None,
                "groupsList": [],
                "extra": {"validity": str(int(sms.validity.total_seconds() // 60)), "mclass": sms.mclass},
            },
        }

    # --- the way to the handset

    def _next_move(self, sms: SimulatedSms) -> tuple[datetime, str] | None:
        """What happens to it next, and when, if nothing else changes."""
        if sms.released_at is None or sms.declined or sms.status in _FINAL:
            return None
        if sms.status == "NEW":
            return sms.released_at, "ENQUEUD"
        if sms.status == "ENQUEUD":
            return sms.released_at + _TO_OPERATOR, "ACCEPTD"
        phone = self.phone(sms.to)
        accepted = sms.released_at + _TO_OPERATOR
        expires = accepted + sms.validity
        if phone.refusal:
            return accepted + _TO_HANDSET, phone.refusal
        if phone.on_since is None:
            return expires, "EXPIRED"
        arrives = max(accepted + phone.delay, phone.on_since)
        return (arrives, "DELIVRD") if arrives <= expires else (expires, "EXPIRED")

    def settle(self) -> datetime:
        """Let everything happen that is due by now, in the order of time; returns now."""
        now = self._now()
        for late in [late for late in self._later if late[0] <= now]:
            self._later.remove(late)
            with suppress(Refusal):
                self._carry_out("message/sendsmsmessage", late[1])
        while self._due and self._due[0][0] <= now:
            looked_at, _, sms = heappop(self._due)
            move = self._next_move(sms)
            if move is not None and move[0] <= looked_at:
                at, sms.status = move
                sms.updated = at
                if sms.status == "ACCEPTD":
                    sms.start_sent = at
                if sms.status in _HAPPENINGS:
                    self._tell(_HAPPENINGS[sms.status], sms, at)
            self._look_again(sms)
        return now

    def rearrange(self) -> datetime:
        """Something about phones or people is about to change: what was due before it happens first; returns now."""
        now = self.settle()
        for sms in self.sent:
            if sms.status not in _FINAL:
                heappush(self._due, (now, int(sms.id), sms))
        self._moved.set()
        return now

    def _look_again(self, sms: SimulatedSms) -> None:
        move = self._next_move(sms)
        if move is not None:
            heappush(self._due, (move[0], int(sms.id), sms))
            self._moved.set()

    async def _move(self) -> None:
        """Makes things happen when nobody asks, for whoever listens to events."""
        while True:
            self._moved.clear()
            self.settle()
            upcoming = [late[0] for late in self._later] + [due[0] for due in self._due[:1]]
            waits: list[asyncio.Task[Any]] = [asyncio.create_task(self._moved.wait())]
            if upcoming:
                pause = (min(upcoming) - self._now()).total_seconds()
                waits.append(asyncio.create_task(self._clock.wait(max(pause, 0))))
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    def _tell(self, what: str, sms: SimulatedSms, at: datetime | None = None) -> None:
        if self._on_event is not None:
            self._on_event(Happening(at or self._now(), what, sms))

    def _write_time(self, moment: datetime | None) -> str | None:
        return None if moment is None else moment.astimezone(self._zone).strftime(_TIME)

    def _read_time(self, written: str) -> datetime | None:
        try:
            return datetime.strptime(written, _TIME).replace(tzinfo=self._zone)
        except ValueError:
            return None


_CRITERION = re.compile(r"criteria\[(\w+)\]")


def _envelope(code: int, data: Any, message: str) -> bytes:
    return orjson.dumps({"code": code, "data": data, "message": message})


def _cut(request: web.Request) -> web.Response:
    """Reset the connection; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _parameters(request: web.Request) -> list[tuple[str, str]]:
    """Query, form and JSON body, all the same to Mobizon; JSON objects become bracket names."""
    pairs = list(request.query.items())
    if request.content_type == "application/json":
        pairs += _flat("", orjson.loads(await request.read() or b"{}"))
    else:
        pairs += [(name, value) for name, value in (await request.post()).items() if isinstance(value, str)]
    numbered = []
    for place, (name, value) in enumerate(pairs):  # `ids[]` may come many times
        numbered.append((f"{name[:-2]}[{place}]" if name.endswith("[]") else name, value))
    return numbered


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    match value:
        case None:
            return
        case dict():
            for key, inner in value.items():
                yield from _flat(f"{name}[{key}]" if name else str(key), inner)
        case list():
            for place, inner in enumerate(value):
                yield from _flat(f"{name}[{place}]", inner)
        case _:
            yield name, str(value)


def _many(parameters: Mapping[str, str], name: str) -> list[str]:
    """A list, written as `ids[0]=…`, `ids[]=…` or with commas."""
    values = [value for key, value in parameters.items() if key == name or key.startswith(f"{name}[")]
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def _number(written: str) -> PhoneNumber | None:
    try:
        return parse_phone("+" + written.strip().removeprefix("+"))
    except BadNumber:
        return None


def _number_or(written: str | None, otherwise: int) -> int:
    return int(written) if written is not None and written.isdecimal() else otherwise


_SORTABLE: dict[str, Callable[[SimulatedSms], str]] = {
    "id": lambda sms: sms.id,
    "campaignId": lambda sms: sms.campaign_id,
    "from": lambda sms: sms.sender,
    "to": lambda sms: sms.to,
    "text": lambda sms: sms.text,
    "status": lambda sms: sms.status,
    "groups": lambda _: "",
    "contentProviderId": lambda _: "1",
    "startSendTs": lambda sms: _second(sms.start_sent),
    "statusUpdateTs": lambda sms: _second(sms.updated),
    "segNum": lambda sms: str(sms.segments),
}


def _rank(by: str, sms: SimulatedSms) -> tuple[int, str]:
    """Numbers by size, texts by letter."""
    text = _SORTABLE[by](sms)
    return (len(text), text) if text.isdecimal() else (0, text)


def _second(moment: datetime | None) -> str:
    return moment.replace(microsecond=0).isoformat() if moment else ""


def _campaign_status(sms: SimulatedSms) -> str:
    if sms.declined:
        return "DECLINED"
    if sms.released_at is None:
        return "MODERATION"
    if sms.status in _FINAL:
        return "DONE"
    return "SENT" if sms.status == "ACCEPTD" else "READY_FOR_SEND"
