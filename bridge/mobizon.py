"""Mobizon's HTTP API on httpx: send one SMS, ask what became of it, list, balance.

Every strange fact about Mobizon lives here, and every answer leaves as a value. Nothing is repeated
on its own: whether a send may be tried again is the caller's to decide, from the outcome.
"""

import asyncio
import logging
import re
import ssl
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote_plus
from zoneinfo import ZoneInfo

import httpx
import orjson

from bridge import __version__
from bridge.clock import Clock
from bridge.config import MobizonSettings
from bridge.domain.secret import Secret
from bridge.metrics import Metrics
from bridge.ports import (
    Balance,
    DeliveryReport,
    Failure,
    ListedMessage,
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

log = logging.getLogger(__name__)

_CONNECT = 5.0  # seconds
_WHOLE_CALL = 20.0  # from asking for a connection to the last byte of the answer
# A server that closes an idle connection as we write to it costs an SMS whose fate is unknown.
_KEEP_ALIVE = 3.0
_TIMEOUTS = httpx.Timeout(_WHOLE_CALL, connect=_CONNECT).as_dict()
_HEADERS = {"User-Agent": f"sms-bridge/{__version__}", "Accept-Encoding": "identity"}
_LARGEST_ANSWER = 4 * 1024 * 1024
_IDS_PER_CALL = 100
_DEFER = (timedelta(hours=1), timedelta(days=14))
_VALIDITY = range(1, 4321)  # minutes; newer documentation says 60 to 1440, the server has not been heard to refuse
_VALIDITY_NOW_DOCUMENTED = range(60, 1441)
_MCLASS = range(4)
_PAGE_SIZES = (25, 50, 100)
# Code 30 names no time, and Mobizon publishes no numbers.
_THROTTLE_PAUSE = timedelta(seconds=10)
_LONGEST_PAUSE = timedelta(hours=1)

# Both generations of the documentation; the older names still work in the field.
_RANGES = ("campaignCreateTs", "campaignSentTs", "startSendTs", "statusUpdateTs")
CRITERIA = (
    *("id", "campaignId", "campaignIds", "from", "to", "text", "status", "groups", "contentProviderId"),
    *("campaignStatus", *(f"{name}{end}" for name in _RANGES for end in ("From", "To"))),
)
SORT_FIELDS = (
    *("id", "campaignId", "from", "to", "text", "status", "groups", "contentProviderId"),
    *("startSendTs", "statusUpdateTs", "segNum"),
)


class _Means(StrEnum):
    """What a code says about the request; a code that is not in the table says nothing: Lost."""

    TAKEN = "taken"
    FIELDS = "fields"  # it depends on the fields named
    REFUSED = "refused"
    OPERATOR = "operator"  # nothing was taken, and nothing will be until somebody acts
    THROTTLED = "throttled"


# Mobizon answers HTTP 200 with a code in the body, so the status line tells us nothing.
# Left out on purpose: 3, 10, 15 and 999 (an error in the middle of something), 98, 99, 100 (done in part,
# or queued in the background), and every number it has not assigned.
_CODES: Mapping[int, tuple[_Means, str]] = {
    0: (_Means.TAKEN, "taken"),
    1: (_Means.FIELDS, "Mobizon finds a field wrong"),
    2: (_Means.REFUSED, "Mobizon has no such record"),
    4: (_Means.OPERATOR, "Mobizon knows no such module"),
    5: (_Means.OPERATOR, "Mobizon knows no such method"),
    6: (_Means.OPERATOR, "Mobizon knows no such answer format"),
    8: (_Means.OPERATOR, "Mobizon refuses our key"),
    9: (_Means.OPERATOR, "Mobizon gives our key no access"),
    11: (_Means.REFUSED, "Mobizon misses a parameter"),
    12: (_Means.REFUSED, "Mobizon finds a parameter out of its limits"),
    13: (_Means.OPERATOR, "the account lives at another Mobizon site"),
    14: (_Means.OPERATOR, "the Mobizon account is blocked or deleted"),
    30: (_Means.THROTTLED, "Mobizon asks for patience"),
}
_CHECK_URL = "check mobizon.base_url: it is the site where the account was opened, like https://api.mobizon.kz"
_ADVICE = {
    1: "look at mobizon.sender_id and at the account in Mobizon's panel",
    4: _CHECK_URL,
    5: _CHECK_URL,
    6: _CHECK_URL,
    8: "put a valid key into mobizon.api_key_file; a new one is made in Mobizon's panel, under API",
    9: "in Mobizon's panel, under API, switch the API on and allow this machine's IP address",
    13: _CHECK_URL,
    14: "ask Mobizon's support what happened to the account",
}
_PARAMS = ("name", "deferredToTs", "mclass", "validity", "shortenLinks", "params")
_FIELDS = ("recipient", "text", "from", *_PARAMS)

# Not final although it sounds so: PDLIVRD, some segments arrived. UNKNOWN is only seen as a counter of
# theirs, SCHEDUL and EXPIRD only in another client. What is not here is waited for.
_VERDICTS: Mapping[str, tuple[Verdict, str]] = {
    "NEW": (Verdict.PENDING, ""),
    "SCHEDUL": (Verdict.PENDING, ""),
    "ENQUEUD": (Verdict.PENDING, ""),
    "ACCEPTD": (Verdict.PENDING, ""),
    "PDLIVRD": (Verdict.PENDING, ""),
    "UNKNOWN": (Verdict.PENDING, ""),
    "DELIVRD": (Verdict.DELIVERED, ""),
    "UNDELIV": (Verdict.UNDELIVERED, "the operator could not deliver it; the number may be out of use"),
    "REJECTD": (Verdict.UNDELIVERED, "the operator rejected the number, the text or the sender ID"),
    "EXPIRED": (Verdict.UNDELIVERED, "expired: phone off or out of reach for as long as we asked for"),
    "DELETED": (Verdict.UNDELIVERED, "removed because of the operator's restrictions"),
}
_OTHER_SPELLINGS = {"EXPIRD": "EXPIRED"}


@dataclass(frozen=True, slots=True)
class _Answer:
    """The envelope. `message` is for people, in the account's language: never matched on."""

    code: int
    data: Any
    message: str
    patience: timedelta | None = None


class _TooLate(Exception):
    """The request may not leave any more; not a byte of it did."""


class _Fence:
    """Stands where a request's first byte would leave: holds it back when it is too late, else notes that it left.

    httpx's trace calls it right before the write, so `begun` sorts every failure.
    """

    def __init__(self, clock: Clock, not_after: float | None) -> None:
        self._clock = clock
        self._not_after = not_after
        self.line: _Line | None = None  # the one that it was given
        self.abandoned = False
        self.begun = False

    async def trace(self, event: str, _info: Mapping[str, Any]) -> None:
        if event != "http11.send_request_headers.started":
            return
        if self.abandoned or (self._not_after is not None and self._clock.elapsed() > self._not_after):
            raise _TooLate
        self.begun = True


class _Line:
    """One connection at most, kept for the next request. Each has an httpx transport to itself, for httpx's pool goes
    through all its connections whenever one of them begins or ends something.

    It is the bare transport on purpose: no redirects, for whoever is pointed at would be shown our key; and no
    cookies, for a panel session's, once taken, could expire: code 8 with a good key.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.abandoned = False  # its request was over its time; nobody else is given it
        self.http = httpx.AsyncHTTPTransport(
            verify=tls,
            trust_env=False,  # proxies and .netrc of the environment would be shown our key
            limits=httpx.Limits(max_connections=1, keepalive_expiry=_KEEP_ALIVE),
        )


class _HideKeys(logging.Filter):
    """httpx logs whole URLs, httpcore whole headers: our key leaves neither, at any level."""

    # A filter on a logger does not see its children's records, so each one that speaks has its own.
    LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy")

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[Secret] = []

    def hide(self, key: Secret) -> None:
        self._keys.append(key)

    def clean(self, text: str) -> str:
        for key in self._keys:
            text = text.replace(key.reveal(), "***").replace(quote_plus(key.reveal()), "***")
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self.clean(record.getMessage()), ()
        return True


class Mobizon:
    """The SmsGateway that Mobizon is. Use as an async context manager; cancelling a caller never cuts a request."""

    def __init__(self, settings: MobizonSettings, clock: Clock, metrics: Metrics) -> None:
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._key = settings.api_key
        self._zone = ZoneInfo(settings.time_zone or "UTC")
        self._tls = httpx.create_ssl_context(trust_env=False)
        self._hidden = _HideKeys()
        self._hidden.hide(self._key)
        self._requests: set[asyncio.Task[_Answer | Unreachable | Lost]] = set()
        # The line used last is used next: its connection is the likeliest to be still open.
        self._lines: asyncio.LifoQueue[_Line] = asyncio.LifoQueue()
        self._urls: dict[str, httpx.URL] = {}
        self.ahead = timedelta(0)

    async def __aenter__(self) -> Self:
        logging.getLogger("httpx").setLevel(logging.WARNING)
        for name in _HideKeys.LOGGERS:
            logging.getLogger(name).addFilter(self._hidden)
        for _ in range(self._settings.concurrency):
            self._lines.put_nowait(_Line(self._tls))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for request in self._requests:
            request.cancel()
        await asyncio.gather(*self._requests, return_exceptions=True)
        while not self._lines.empty():
            await self._lines.get_nowait().http.aclose()
        for name in _HideKeys.LOGGERS:
            logging.getLogger(name).removeFilter(self._hidden)

    def set_key(self, key: Secret) -> None:
        """The next request carries this key."""
        self._hidden.hide(key)
        self._key = key
        self._urls.clear()

    async def send(self, outgoing: Outgoing, *, not_after: float | None = None) -> SendOutcome:
        """Message/SendSmsMessage. Parameters out of range are Refused before a byte leaves."""
        refused = self._out_of_range(outgoing)
        if refused is not None:
            return refused
        form = self._form(outgoing)
        answer = await self._call("Message/SendSmsMessage", form, not_after)
        if isinstance(answer, _Answer) and "from" in form and self._only_sender_refused(answer):
            # Not a repetition: this code says that nothing was taken. A page from the shared sender beats none.
            log.warning("Mobizon refused the sender ID; sending without it")
            del form["from"]
            outcome = self._submitted(await self._call("Message/SendSmsMessage", form, not_after))
            return replace(outcome, without_sender=True) if isinstance(outcome, Submitted) else outcome
        return self._submitted(answer)

    async def statuses(self, message_ids: Sequence[str]) -> Statuses | Failure:
        """Message/GetSMSStatus; a failure of one call is the failure of all."""
        wanted = list(dict.fromkeys(message_ids))
        reports: dict[str, DeliveryReport] = {}
        for start in range(0, len(wanted), _IDS_PER_CALL):
            batch = wanted[start : start + _IDS_PER_CALL]
            form = {f"ids[{place}]": message_id for place, message_id in enumerate(batch)}
            answer = await self._call("Message/GetSMSStatus", form)
            if not isinstance(answer, _Answer) or answer.code != 0:
                return self._failure(answer)
            rows = _rows(answer.data)
            if rows is None:
                return Lost("Mobizon's answer holds no list of statuses")
            told = {report.message_id: report for row in rows if (report := _report(row)) is not None}
            reports |= {message_id: told[message_id] for message_id in batch if message_id in told}
        return Statuses(reports, tuple(message_id for message_id in wanted if message_id not in reports))

    async def messages(self, query: MessageQuery) -> MessagePage | Failure:
        """Message/List. ValueError for a criterion, sort field or page size that Mobizon does not have.

        Without `campaignIds` or a range of creation times Mobizon silently leaves out what is older
        than it likes: an empty page then proves nothing.
        """
        answer = await self._call("Message/List", _list_form(query))
        if not isinstance(answer, _Answer) or answer.code != 0:
            return self._failure(answer)
        rows = _rows(answer.data.get("items")) if isinstance(answer.data, dict) else None
        items = [_listed(row) for row in rows or ()]
        if rows is None or not all(item.id for item in items):
            # Somebody may be about to conclude that an SMS was never sent: half an answer is none.
            return Lost("Mobizon's answer holds no list of messages")
        total = _whole(answer.data.get("totalItemCount"))
        return MessagePage(tuple(items), len(items) if total is None else total)

    async def balance(self) -> Balance | Failure:
        """User/GetOwnBalance."""
        answer = await self._call("User/GetOwnBalance", {})
        if not isinstance(answer, _Answer) or answer.code != 0:
            return self._failure(answer)
        data = _object(answer.data)
        amount = _money(data.get("balance"))
        if amount is None:
            return Lost("Mobizon's answer holds no balance")
        return Balance(amount, _text(data.get("currency")) or "")

    # --- what we say

    def _out_of_range(self, outgoing: Outgoing) -> Refused | None:
        defer_to, validity, mclass = outgoing.defer_to, outgoing.validity, outgoing.mclass
        if defer_to is not None and not _DEFER[0] <= defer_to - self._clock.now() <= _DEFER[1]:
            return Refused("Mobizon defers by 1 hour to 14 days, no less and no more", field="deferredToTs")
        if mclass is not None and mclass not in _MCLASS:
            return Refused(f"mclass is 0, 1, 2 or 3, not {mclass}", field="mclass")
        if validity is not None and validity not in _VALIDITY:
            return Refused(f"validity is 1 to 4320 minutes, not {validity}", field="validity")
        if validity is not None and validity not in _VALIDITY_NOW_DOCUMENTED:
            log.warning(
                "validity is outside the 60 to 1440 minutes that Mobizon documents", extra={"minutes": validity}
            )
        return None

    def _form(self, outgoing: Outgoing) -> dict[str, str]:
        form = {"recipient": outgoing.number.digits, "text": outgoing.text, "params[name]": outgoing.reference}
        sender_id = outgoing.sender_id or self._settings.sender_id
        if sender_id:
            form["from"] = sender_id
        if outgoing.defer_to is not None:
            local = outgoing.defer_to.astimezone(self._zone)
            form["params[deferredToTs]"] = local.strftime("%Y-%m-%d %H:%M:%S")
        if outgoing.validity is not None:
            form["params[validity]"] = str(outgoing.validity)
        if outgoing.mclass is not None:
            form["params[mclass]"] = str(outgoing.mclass)
        if outgoing.shorten_links:
            form["params[shortenLinks]"] = "1"
        return form

    # --- the wire

    async def _call(
        self, method: str, form: Mapping[str, str], not_after: float | None = None
    ) -> _Answer | Unreachable | Lost:
        """One request, within the time for a whole call.

        The request runs in a task of its own that nobody cancels: httpx never gives back the place in its
        pool of a request that was cancelled. One that is over its time is left alone, with its line.
        """
        began = self._clock.monotonic()
        fence = _Fence(self._clock, not_after)
        request = asyncio.create_task(self._exchange(fence, method, form))
        self._requests.add(request)
        request.add_done_callback(self._requests.discard)
        deadline = asyncio.create_task(self._clock.wait(_WHOLE_CALL))
        try:
            await asyncio.wait({request, deadline}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            deadline.cancel()
            fence.abandoned = True
        if request.done():
            answer = request.result()
        else:
            self._abandon(fence.line)
            answer = Lost(_NO_ANSWER) if fence.begun else Unreachable(_NO_CONNECTION)
        self._metrics.mobizon_requests.labels(method, _label(answer)).inc()
        self._metrics.mobizon_seconds.labels(method).observe(self._clock.monotonic() - began)
        return answer

    async def _exchange(self, fence: _Fence, method: str, form: Mapping[str, str]) -> _Answer | Unreachable | Lost:
        """Every failure of httpx, sorted once: before the first byte left it is Unreachable, after it Lost."""
        line = fence.line = await self._lines.get()
        try:
            key = {"apiKey": self._key.reveal()} if self._settings.api_key_in == "body" else {}
            request = httpx.Request(
                "POST",
                self._url(method),
                headers=_HEADERS,
                data={**form, **key},
                extensions={"trace": fence.trace, "timeout": _TIMEOUTS},
            )
            response = await line.http.handle_async_request(request)
            try:
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > _LARGEST_ANSWER:
                        return Lost("Mobizon's answer is larger than any answer should be")
            finally:
                await response.aclose()
            return self._understood(response.status_code, response.headers, bytes(body))
        except _TooLate:
            return Unreachable("too late to leave: somebody else may look after it already")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Lost(_broken(error)) if fence.begun else Unreachable(_broken(error))
        finally:
            if line.abandoned:
                await line.http.aclose()
            else:
                self._lines.put_nowait(line)

    def _url(self, method: str) -> httpx.URL:
        """Put together once for every key: httpx takes longer over it than over the request's body."""
        if method not in self._urls:
            key = {} if self._settings.api_key_in == "body" else {"apiKey": self._key.reveal()}
            self._urls[method] = httpx.URL(
                f"{self._settings.base_url.rstrip('/')}/service/{method}",
                params={"output": "json", "api": "v1", **key},
            )
        return self._urls[method]

    def _abandon(self, line: _Line | None) -> None:
        """Its request ran out of time: whoever comes next is given another in its place."""
        if line is None:  # nobody was found for it
            return
        log.warning("a request to Mobizon ran out of time; a new connection takes the place of its own")
        line.abandoned = True
        self._lines.put_nowait(_Line(self._tls))

    # --- what they say

    def _understood(self, status: int, headers: httpx.Headers, body: bytes) -> _Answer | Unreachable | Lost:
        try:
            envelope = orjson.loads(body)
        except orjson.JSONDecodeError:
            envelope = None
        code = _whole(envelope.get("code")) if isinstance(envelope, dict) else None
        patience = self._patience(headers.get("Retry-After"))
        if their_now := _date(headers.get("Date")):
            self.ahead = self._clock.now() - their_now
        if status == 429 and code != 0:
            return Unreachable("Mobizon asks for patience (HTTP 429)", code, wait=patience or _THROTTLE_PAUSE)
        if code is None:
            return Lost(f"HTTP {status}, and not what Mobizon answers")
        return _Answer(code, envelope.get("data"), self._words(envelope.get("message")), patience)

    def _patience(self, retry_after: str | None) -> timedelta | None:
        if retry_after is None:
            return None
        seconds = _whole(retry_after)
        if seconds is not None:
            return timedelta(seconds=min(max(seconds, 0), _LONGEST_PAUSE.total_seconds()))
        until = _date(retry_after)
        return min(max(until - self._clock.now(), timedelta(0)), _LONGEST_PAUSE) if until else None

    def _submitted(self, answer: _Answer | Unreachable | Lost) -> SendOutcome:
        if not isinstance(answer, _Answer) or answer.code != 0:
            return self._failure(answer)
        data = _object(answer.data)
        message_id = _id(data.get("messageId"))
        if message_id is None:
            return Lost("Mobizon took it, it says, but gave no message id", code=0)
        moderated = _whole(data.get("status")) == 1
        return Submitted(message_id, _id(data.get("campaignId")), moderated=moderated)

    def _failure(self, answer: _Answer | Unreachable | Lost) -> Failure:
        """What a code other than 0 means."""
        if not isinstance(answer, _Answer):
            return answer
        code = answer.code
        means, words = _CODES.get(code, (None, "Mobizon failed in the middle, or answered what we do not know"))
        reason = f"{words}: {answer.message}" if answer.message else words
        match means:
            case _Means.REFUSED:
                return Refused(reason, code)
            case _Means.THROTTLED:
                return Unreachable(reason, code, wait=answer.patience or _THROTTLE_PAUSE)
            case _Means.OPERATOR:
                advice = _ADVICE[code]
                if code == 13 and (host := _host(answer.data)):
                    advice = f"your account lives at {host}: set mobizon.base_url to https://{host}"
                return Unreachable(reason, code, needs_operator=True, advice=advice)
            case _Means.FIELDS:
                complaints = _complaints(answer.data)
                field = next((name for name in complaints if name != "from" and name in _FIELDS), None)
                if field is not None:
                    return Refused(f"{field}: {self._words(complaints[field])}", code, field)
                named = "; ".join(
                    self._words(f"{name}: {said}") for name, said in list(complaints.items())[:_COMPLAINTS]
                )
                return Unreachable(named or reason, code, needs_operator=True, advice=_ADVICE[code])
            case _:
                return Lost(reason, code)

    def _only_sender_refused(self, answer: _Answer) -> bool:
        return answer.code == 1 and _complaints(answer.data).keys() == {"from"}

    def _words(self, said: Any) -> str:
        """Mobizon's own words, fit for a card and a log: short, one line, no number and no key in them."""
        return re.sub(r"\d[\d ()-]{5,}\d", "…", self._hidden.clean(" ".join((_text(said) or "").split())))[:200]


_NO_ANSWER = f"no answer within {_WHOLE_CALL:.0f} s"
_NO_CONNECTION = f"no free connection within {_WHOLE_CALL:.0f} s"


def _broken(error: Exception) -> str:
    """Our words for what httpx met; its own may quote the answer, and nobody knows what that quotes."""
    match error:
        case httpx.ConnectTimeout():
            return f"no connection within {_CONNECT:.0f} s"
        case httpx.PoolTimeout():
            return _NO_CONNECTION
        case httpx.ConnectError():
            return f"no connection: {error}"
        case httpx.TimeoutException():
            return _NO_ANSWER
        case httpx.DecodingError():
            return "the answer could not be unpacked"
        case httpx.InvalidURL():
            return "mobizon.base_url is not a URL; write it like https://api.mobizon.kz"
        case _:
            return "the connection broke off, or what came was not HTTP"


def _label(answer: _Answer | Unreachable | Lost) -> str:
    """What the metric counts a call under; as few values as the codes there are."""
    match answer:
        case _Answer(code=code):
            return str(code) if 0 <= code <= 999 else "other"
        case Unreachable():
            return "unreachable"
        case Lost():
            return "lost"


def _list_form(query: MessageQuery) -> dict[str, str]:
    _known(query.criteria, CRITERIA, "criterion")
    _known(query.sort, SORT_FIELDS, "sort field")
    if query.page_size not in _PAGE_SIZES:
        raise ValueError(f"Mobizon lists 25, 50 or 100 messages a page, not {query.page_size}")
    if query.page < 0:
        raise ValueError(f"pages count from 0, there is no page {query.page}")
    form = {"pagination[currentPage]": str(query.page), "pagination[pageSize]": str(query.page_size)}
    for name, value in query.criteria.items():
        if isinstance(value, str):
            form[f"criteria[{name}]"] = value
        elif len(value) > _IDS_PER_CALL:
            raise ValueError(f"Mobizon would ignore all but the first {_IDS_PER_CALL} of {len(value)} {name}")
        else:
            form |= {f"criteria[{name}][{place}]": part for place, part in enumerate(value)}
    for name, direction in query.sort.items():
        if direction.upper() not in ("ASC", "DESC"):
            raise ValueError(f"{name} is sorted ASC or DESC, not {direction}")
        form[f"sort[{name}]"] = direction.upper()
    if query.number_info:
        form["withNumberInfo"] = "1"
    return form


def _known(names: Mapping[str, Any], there_are: Sequence[str], what: str) -> None:
    unknown = [name for name in names if name not in there_are]
    if unknown:
        raise ValueError(f"no {what} is called {', '.join(unknown)}; there are: {', '.join(there_are)}")


# --- reading their JSON: numbers come as strings or numbers, empty objects as [], fields go missing


def _report(row: Mapping[str, Any]) -> DeliveryReport | None:
    message_id = _id(row.get("id"))
    if message_id is None:
        return None
    said = (_text(row.get("status")) or "UNKNOWN").upper()
    status = _OTHER_SPELLINGS.get(said, said)
    if status not in _VERDICTS:
        log.warning("Mobizon says a status that is in no table; waiting on", extra={"status": status[:20]})
    verdict, reason = _VERDICTS.get(status, (Verdict.PENDING, ""))
    return DeliveryReport(
        message_id,
        status,
        verdict,
        reason,
        segments=_whole(row.get("segNum")),
        start_sent=_text(row.get("startSendTs")),
        status_updated=_text(row.get("statusUpdateTs")),
    )


def _listed(row: Mapping[str, Any]) -> ListedMessage:
    campaign = _object(row.get("campaign"))
    return ListedMessage(
        id=_id(row.get("id")) or "",
        campaign_id=_id(row.get("campaignId")),
        to=_text(row.get("to")) or "",
        text=text if isinstance(text := row.get("text"), str) else "",
        status=(_text(row.get("status")) or "UNKNOWN").upper(),
        sender_id=_text(row.get("from")),
        segments=_whole(row.get("segNum")),
        segment_price=_money(row.get("segUserBuy")),
        start_sent=_text(row.get("startSendTs")),
        status_updated=_text(row.get("statusUpdateTs")),
        country=_text(row.get("countryA2")),
        operator=_text(row.get("operatorName")),
        campaign_name=_text(campaign.get("name")),
        campaign_created=_text(campaign.get("createTs")),
        raw=row,
        campaign=campaign,
    )


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _rows(value: Any) -> list[Mapping[str, Any]] | None:
    """A list of objects; PHP writes one with gaps in it as an object. None when it is neither."""
    rows = list(value.values()) if isinstance(value, dict) else value
    return rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else None


def _text(value: Any) -> str | None:
    """A string or number as text; blank is nothing."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value).strip() or None


def _id(value: Any) -> str | None:
    """Ids are larger than they look and only ever compared: opaque text."""
    text = _text(value)
    return None if text == "0" or isinstance(value, float) else text


def _whole(value: Any) -> int | None:
    text = _text(value)
    return int(text) if text is not None and re.fullmatch(r"-?[0-9]{1,18}", text) else None


def _money(value: Any) -> Decimal | None:
    try:
        amount = Decimal(_text(value) or "")
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


@lru_cache(maxsize=16)  # hundreds of answers have the same second
def _date(header: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(header or "")
    except (ValueError, OverflowError):  # a year of twenty digits is the latter
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_LOOKED_AT = 1000  # values of an answer; what they complain of stands in the first few
_COMPLAINTS = 5  # that a card has room for
_LONGEST_NAME = 100
_LONGEST_URL = 2000


def _leaves(data: Any) -> Iterator[tuple[str, str]]:
    """The texts in there, with the dotted path of names that leads to each; of what is endless, only the beginning."""
    pending, room = deque([("", data)]), _LOOKED_AT
    while pending:
        path, value = pending.popleft()
        inner: list[tuple[str, Any]] = []
        match value:
            case dict():
                # The end of a path says most, and paths must not grow with every level.
                inner = [
                    (f"{path[-_LONGEST_NAME:]}.{name[:_LONGEST_NAME]}", v) for name, v in islice(value.items(), room)
                ]
            case list():
                inner = [(path, v) for v in value[:room]]
            case _ if text := _text(value):
                yield path, text
        pending.extend(inner)
        room -= len(inner)


def _complaints(data: Any) -> dict[str, str]:
    """Field → what is wrong with it. Mobizon names one with a text, a list of texts, or deeper objects."""
    found: dict[str, str] = {}
    for path, said in _leaves(data):
        names = re.findall(r"[^\[\].]+", path)
        if names:
            found.setdefault(next((name for name in names[::-1] if name in _FIELDS), names[0]), said)
    return found


def _host(data: Any) -> str | None:
    """The first host name in there. It is only shown: going where an answer points would give our key away."""
    for _, text in _leaves(data):
        # A word is tried once, from its own beginning: sought anywhere, a long one would take its length squared.
        host = re.search(r"(?<![a-z0-9-])[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8}", text[:_LONGEST_URL].lower())
        if host:
            return host.group()
    return None
