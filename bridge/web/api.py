"""The API for scripts: send an SMS, ask what became of it, see incidents, receipts and the balance."""

import re
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from math import ceil
from typing import assert_never
from zoneinfo import ZoneInfo

from aiohttp import web
from pydantic import BaseModel

from bridge.clock import Clock
from bridge.config import ApiToken, Config
from bridge.dispatcher import Accepted, Answered, Asked, Asker, Denied, Dispatcher, SmsRequest
from bridge.domain.costs import By, Prices, month_of
from bridge.domain.house import ChatPlace, Role
from bridge.domain.notification import Notification, State
from bridge.inquiries import Inquiries, Money
from bridge.ports import IncidentView, Live, Place, SmsView
from bridge.web import shapes
from bridge.web.bodies import read_body
from bridge.web.credentials import LastUse
from bridge.web.problems import Problem

TOKEN = web.RequestKey("token", ApiToken)
"""Whose token the request showed; the guard in front of every handler puts it there."""

_LARGEST_REQUEST = 64 * 1024
_PAGE = 50
_DAY = timedelta(days=1)
_VIA = "through the API"
_MONTH = re.compile(r"\d{4}-\d{2}", re.ASCII)
_YEARS = range(2000, 2100)
_ID = re.compile(r"\d{1,18}", re.ASCII)


class Api:
    """The handlers of `/api/v1`; each understands, asks the door or the inquiries, and says the answer."""

    def __init__(
        self, config: Live[Config], dispatcher: Dispatcher, inquiries: Inquiries, clock: Clock, last_use: LastUse
    ) -> None:
        self._last_use = last_use
        self._config = config
        self._dispatcher = dispatcher
        self._inquiries = inquiries
        self._clock = clock

    async def send_sms(self, request: web.Request) -> web.Response:
        """202 with the notification; 200 when its idempotency key was seen before.

        With `preview=1` 200 with what would be sent. Any other parameter is refused: a misspelled one must not send.
        """
        token = request[TOKEN]
        only_looks = _flag(request, "preview")
        wanted = shapes.read_new_sms(await read_body(request, _LARGEST_REQUEST, self._clock))
        asked = self._asked(wanted, token)
        if only_looks:
            return await self._foreseen(asked)
        outcome = await self._dispatcher.send_sms(asked)
        match outcome:
            case Accepted(notification, repeated):
                answer = _json(
                    _sms(notification, token, await self._inquiries.prices()), status=200 if repeated else 202
                )
                answer.headers["Location"] = f"/api/v1/sms/{notification.id}"
                return answer
            case Denied():
                raise self._denied(outcome)
            case Asked():
                raise AssertionError("the door asked before an SMS of the API, which allows no questions")
            case _:
                assert_never(outcome)

    def _asked(self, wanted: shapes.NewSms, token: ApiToken) -> SmsRequest:
        chat = self._chat(wanted.chat)
        return SmsRequest(
            to=wanted.to,
            text=wanted.text,
            asker=asker(token),
            chat=chat,
            place=Place(chat.id, chat.topic) if chat else None,
            cause=f"api:{token.name}:{wanted.idempotency_key}" if wanted.idempotency_key else None,
            sender_id=wanted.sender_id,
            send_at=wanted.send_at.astimezone(UTC) if wanted.send_at else None,
            validity=wanted.validity,
            flash=wanted.flash,
            shorten_links=wanted.shorten_links,
        )

    async def _foreseen(self, asked: SmsRequest) -> web.Response:
        foreseen = await self._dispatcher.foresee_sms(asked)
        if isinstance(foreseen, Denied):
            raise self._denied(foreseen)
        return _json(shapes.sms_preview(foreseen, await self._inquiries.prices()))

    async def sms(self, request: web.Request) -> web.Response:
        number = _number(request, "no SMS has this number")
        status = await self._inquiries.status(number)
        if status is None or not isinstance(status.view, SmsView):
            raise Problem(404, f"there is no SMS #{number}")
        shown = _sms(status.view.notification, request[TOKEN], await self._inquiries.prices())
        return _json(shapes.SmsWhole(**dict(shown), timeline=_timeline(status.timeline)))

    async def list_sms(self, request: web.Request) -> web.Response:
        state, to, cursor = _query(request, "state", "to", "cursor")
        if state is not None and state not in set(State):
            raise _wrong("state", f"no such state; there are: {', '.join(State)}")
        if cursor is not None and not _ID.fullmatch(cursor):
            raise _wrong("cursor", "not a cursor; take it from `next` of the page before")
        rows = await self._inquiries.notifications(
            state=State(state) if state else None, to=to, before=int(cursor) if cursor else None, limit=_PAGE
        )
        following = str(rows[-1].id) if len(rows) == _PAGE else None
        prices = await self._inquiries.prices()
        return _json(shapes.SmsPage(items=[_sms(row, request[TOKEN], prices) for row in rows], next=following))

    async def list_incidents(self, request: web.Request) -> web.Response:
        """The open ones; with `all=true` or `since` the ended ones too."""
        everything, since = _query(request, "all", "since")
        if everything not in (None, "true", "false"):
            raise _wrong("all", "true or false would be right")
        after = self._since(since)
        found = await self._inquiries.incidents(open_only=everything != "true" and after is None, since=after)
        return _json(shapes.IncidentList(items=[shapes.IncidentItem.model_validate(one) for one in found]))

    async def incident(self, request: web.Request) -> web.Response:
        number = _number(request, "no incident has this number")
        status = await self._inquiries.status(number)
        if status is None or not isinstance(status.view, IncidentView):
            raise Problem(404, f"there is no incident #{number}")
        view, prices = status.view, await self._inquiries.prices()
        return _json(
            shapes.IncidentWhole(
                **dict(shapes.IncidentItem.model_validate(view.incident)),
                notifications=[_sms(line.notification, request[TOKEN], prices) for line in view.lines],
                timeline=_timeline(status.timeline),
            )
        )

    async def acknowledge(self, request: web.Request) -> web.Response:
        """The incident as it is then; a body is not read."""
        return await self._answer(request, self._dispatcher.acknowledge)

    async def resolve(self, request: web.Request) -> web.Response:
        return await self._answer(request, self._dispatcher.resolve)

    async def _answer(
        self, request: web.Request, answer: Callable[[int, Asker, str], Awaitable[Answered | Denied]]
    ) -> web.Response:
        number = _number(request, "no incident has this number")
        said = await answer(number, asker(request[TOKEN]), _VIA)
        if isinstance(said, Denied) and said.forbidden:
            raise self._denied(said)
        if isinstance(said, Denied):
            there = await self._inquiries.status(number)
            if there is None or not isinstance(there.view, IncidentView) or there.view.incident.id != number:
                raise Problem(404, f"there is no incident #{number}")
            raise Problem(409, said.reason)
        return await self.incident(request)

    async def list_receipts(self, request: web.Request) -> web.Response:
        """Those of the last day, or of `since`."""
        (since,) = _query(request, "since")
        found = await self._inquiries.receipts(self._since(since) or self._clock.now() - _DAY)
        return _json(shapes.ReceiptList(items=[shapes.ReceiptItem.model_validate(one) for one in found]))

    async def receipt(self, request: web.Request) -> web.Response:
        number = _number(request, "no receipt has this number")
        found = await self._inquiries.receipt(number)
        if found is None:
            raise Problem(404, f"there is no receipt {number}")
        return _json(shapes.ReceiptItem.model_validate(found))

    async def replay(self, request: web.Request) -> web.Response:
        """Put a stored webhook through again; 202 with its new receipt."""
        number = _number(request, "no receipt has this number")
        again = await self._dispatcher.replay(number)
        if again is None:
            raise Problem(404, f"there is no receipt {number}")
        if isinstance(again, Denied):
            raise Problem(409, again.reason)
        return _json(shapes.ReceiptKept(receipt=again), status=202)

    async def balance(self, request: web.Request) -> web.Response:
        money = await self._inquiries.money()
        if not isinstance(money, Money):
            raise Problem(503, f"Mobizon did not say: {money.reason}")
        return _json(shapes.balance(money))

    async def credentials(self, request: web.Request) -> web.Response:
        """Which credential of the config was last shown when; never the credential."""
        _query(request)
        used = self._last_use.of(self._config.value)
        items = [shapes.CredentialUse.model_validate(shown) for shown in used]
        return _json(shapes.CredentialList(since=self._last_use.since, items=items))

    async def bill(self, request: web.Request) -> web.Response:
        """Of this month, or of `month`; with `ids=true` how Mobizon lists what it is about."""
        month, by, ids = _query(request, "month", "by", "ids")
        if by is not None and by not in set(By):
            raise _wrong("by", f"no such lines; there are: {', '.join(By)}")
        if ids not in (None, "true", "false"):
            raise _wrong("ids", "true or false would be right")
        zone = self._config.value.house.time_zone
        since, until = month_of(self._day_in(month, zone), zone)
        found = await self._inquiries.bill(since, until, By(by or By.ROUTE), zone)
        known = await self._inquiries.ours_at_mobizon(since, until) if ids == "true" else None
        return _json(shapes.bill(found, zone, await self._inquiries.currency(), known))

    def _day_in(self, month: str | None, zone: ZoneInfo) -> date:
        """The first of that month, `2026-11`; today without one."""
        if month is None:
            return self._clock.now().astimezone(zone).date()
        try:
            first = date.fromisoformat(f"{month}-01") if _MONTH.fullmatch(month) else None
        except ValueError:
            first = None
        if first is None or first.year not in _YEARS:
            raise _wrong("month", "not a month; write it like 2026-11")
        return first

    def _chat(self, name: str | None) -> ChatPlace | None:
        chats = self._config.value.house.chats
        if name is None or name in chats:
            return chats[name] if name else None
        raise _wrong("chat", f"no chat of this name; there are: {', '.join(sorted(chats)) or 'none'}")

    def _denied(self, denied: Denied) -> Problem:
        if denied.forbidden:
            return Problem(403, denied.reason)
        if denied.opens_at is not None:
            wait = max(1, ceil((denied.opens_at - self._clock.now()).total_seconds()))
            return Problem(503, denied.reason, headers={"Retry-After": str(wait)})
        return Problem(400, denied.reason, errors=[(denied.field, denied.reason)] if denied.field else ())

    def _since(self, written: str | None) -> datetime | None:
        """`7d` ago, or an instant that names its zone."""
        if written is None:
            return None
        try:
            if (length := shapes.duration(written)) is not None:
                return self._clock.now() - length
            at = datetime.fromisoformat(written)
            if at.tzinfo is not None:
                return at.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        raise _wrong("since", "not a time; write 7d, 1h or 2026-11-22T03:10:00Z")


def asker(token: ApiToken) -> Asker:
    """Who asks through the API; no person of the config has such a name."""
    return Asker(f"api:{token.name}", token.role)


def _sms(row: Notification, token: ApiToken, prices: Prices) -> shapes.Sms:
    return shapes.sms(row, prices, whole=token.role >= Role.OPERATOR or row.asked_by == asker(token).name)


def _timeline(entries: Iterable[object]) -> list[shapes.TimelineItem]:
    return [shapes.TimelineItem.model_validate(entry) for entry in entries]


def _json(shape: BaseModel, status: int = 200) -> web.Response:
    return web.Response(
        text=shape.model_dump_json(),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def _number(request: web.Request, otherwise: str) -> int:
    written = request.match_info["id"]
    if not _ID.fullmatch(written):
        raise Problem(404, otherwise)
    return int(written)


def _query(request: web.Request, *names: str) -> list[str | None]:
    """These query parameters, and no others; empty counts as absent."""
    for name in request.query:
        if name not in names:
            raise _wrong(name[:100], f"not a parameter of this request; there are: {', '.join(names)}")
    return [request.query.get(name) or None for name in names]


def _flag(request: web.Request, name: str) -> bool:
    """The only parameter of this request: whether it is set."""
    _query(request, name)
    written = request.query.getall(name, [])
    if len(written) > 1 or not set(written) <= set(shapes.FLAG):
        raise _wrong(name, f"{', '.join(shapes.FLAG)} would be right, once")
    return any(one in shapes.FLAG[:2] for one in written)


def _wrong(field: str, problem: str) -> Problem:
    return Problem(400, f"{field}: {problem}", errors=[(field, problem)])
