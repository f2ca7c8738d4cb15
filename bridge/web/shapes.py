"""The JSON of the API: what comes in, checked field by field, and what goes out."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from bridge import previews, texts
from bridge.domain.costs import Bill, Line, Part, Prices, plain
from bridge.domain.notification import Notification, State
from bridge.domain.phone import PhoneNumber
from bridge.domain.preview import preview
from bridge.inquiries import Money, Ours
from bridge.requests import Foreseen
from bridge.web.problems import Problem

FLAG = ("1", "true", "0", "false")
"""How a query says yes, twice, and no."""

_DURATION = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(written: str) -> timedelta | None:
    """`30s 5m 1h 7d`, as the config writes them; None when it is not one."""
    found = _DURATION.fullmatch(written)
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


def _minutes(value: Any) -> Any:
    length = duration(value) if isinstance(value, str) else None
    return value if length is None else int(length.total_seconds() // 60)


Words = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
Minutes = Annotated[
    int,
    BeforeValidator(_minutes),
    Field(ge=1, le=4320),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 4320}, {"type": "string"}]}),
]


class NewSms(BaseModel):
    """An SMS to send: `to` a person of the config or a number, `text` as it shall arrive."""

    model_config = ConfigDict(extra="forbid", strict=True)

    to: Words = Field(max_length=100)
    text: Words = Field(max_length=10_000)
    chat: Words | None = Field(None, description="A chat of the config that shows a card for it.")
    sender_id: Words | None = Field(None, max_length=100)
    send_at: AwareDatetime | None = Field(None, description="At most 14 days ahead.")
    validity: Minutes | None = Field(None, description='How long the operator may try: minutes, or "60m", "24h".')
    flash: bool = False
    shorten_links: bool = False
    idempotency_key: Words | None = Field(None, max_length=200, description="The same key never makes a second SMS.")


class TimelineItem(BaseModel):
    """Something that happened."""

    model_config = ConfigDict(from_attributes=True)

    at: datetime
    what: str
    who: str


class Sms(BaseModel):
    """A notification. `text` and the whole number are shown to operators and to the token that asked."""

    id: int
    state: State
    to: str
    person: str | None
    incident: int | None
    text: str | None
    alphabet: str | None
    segments: int | None
    created_at: datetime
    due_at: datetime
    submitted_at: datetime | None
    ended_at: datetime | None
    mobizon_id: str | None
    moderated: bool
    gateway_status: str | None
    reason: str | None
    cost: str | None
    currency: str | None
    estimate: str | None = Field(description="What it will have cost, while `cost` is null and a price is known.")
    asked_by: str | None
    chat: str | None


class Swap(BaseModel):
    """One sign, and what stands for it."""

    sign: str
    by: str


class CulpritItem(BaseModel):
    """A sign that GSM-7 lacks: `at` counts the characters from 1 to the first one, `times` all of them."""

    sign: str
    code: str
    name: str
    at: int
    times: int


class Billed(BaseModel):
    """How a text is billed."""

    alphabet: str
    characters: int
    segments: int


class Cheaper(Billed):
    """A text with signs that look alike."""

    text: str
    replaced: list[Swap]


class SmsPreview(Billed):
    """What would be sent; a typed text goes as it is, so nothing of it is `replaced`.

    `parts` are its segments as the network cuts them; the last has room for `units_left` more, and `too_long_by`
    characters less would save one. `culprits` make it unicode; `instead` and `without_culprits` would be cheaper.
    `estimate` is about what it will cost, where that is known. `opens_at`: a limit is reached (`limit`), and this is
    when it opens again; null when it could leave when it is due.
    """

    to: str
    person: str | None
    text: str
    units: int
    units_left: int
    parts: list[str]
    too_long_by: int
    culprits: list[CulpritItem]
    replaced: list[Swap]
    instead: Cheaper | None
    without_culprits: Billed | None
    advice: list[str]
    sender_id: str | None
    due_at: datetime
    opens_at: datetime | None
    limit: str | None
    estimate: str | None
    currency: str | None


class SmsWhole(Sms):
    """A notification, and what happened to it."""

    timeline: list[TimelineItem]


class SmsPage(BaseModel):
    """The newest first; `next` goes into `cursor` for the page after this one, null on the last."""

    items: list[Sms]
    next: str | None


class IncidentItem(BaseModel):
    """A trouble people answer for. `started_at` is null when the source did not say."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    state: str
    source: str
    route: str
    title: str
    severity: str
    fact: str
    places: list[str]
    firing: int
    total: int
    truncated: int
    opened_at: datetime
    started_at: datetime
    last_seen: datetime | None
    ended_at: datetime | None
    ended_by: str | None
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    acknowledged_via: str
    policy: str | None
    chat: str | None
    critical: bool
    test: bool
    note: str
    source_url: str
    runbook_url: str


class IncidentWhole(IncidentItem):
    """An incident with its plan and its timeline."""

    notifications: list[Sms]
    timeline: list[TimelineItem]


class IncidentList(BaseModel):
    """The newest first."""

    items: list[IncidentItem]


class ReceiptItem(BaseModel):
    """A stored webhook, and what became of it. Its body stays inside: payloads hold what nobody meant to publish."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    source: str
    route: str | None
    received_at: datetime
    state: str
    result: dict[str, Any]


class ReceiptList(BaseModel):
    """The newest first."""

    items: list[ReceiptItem]


class ReceiptKept(BaseModel):
    """The receipt's number, once the body is stored for good."""

    receipt: int


class BalanceNow(BaseModel):
    """Money left at Mobizon; how many one-segment SMS it buys and days it lasts, where that can be said."""

    amount: str
    currency: str
    sms_left: int | None
    days_left: int | None


class CredentialUse(BaseModel):
    """One credential of the config, by where it stands there, and when a request last showed it."""

    model_config = ConfigDict(from_attributes=True)

    owner: str
    which: str
    last_used: datetime | None


class CredentialList(BaseModel):
    """Of every credential that senders show. `since`: when this process began to watch."""

    since: datetime
    items: list[CredentialUse]


class Sum(BaseModel):
    """So much money, in decimals."""

    amount: str
    currency: str


class BillPart(BaseModel):
    """Some of the SMS of a line. `cost` has a sum for each currency, and is an estimate of what has no cost so far."""

    sms: int
    segments: int
    cost: list[Sum]


class BillLine(BaseModel):
    """What came to one name. `sms` and `segments` are all of it; `cost` is what Mobizon took, for what was not
    delivered too. `incident` is its number, among the dearest.
    """

    name: str
    incident: int | None
    sms: int
    segments: int
    cost: list[Sum]
    undelivered: BillPart
    unpriced: BillPart


class BillOfMonth(BaseModel):
    """What a month cost, by the time an SMS left; the dearest lines first, days in their order.

    `mobizon_ids` are those of its SMS and of the days around it, when they were asked for; `in_doubt` are the names of
    campaigns under which Mobizon may list SMS that are looked for still, whose id is not known.
    """

    month: str
    time_zone: str
    since: datetime
    until: datetime
    by: str
    currency: str | None
    total: BillLine
    lines: list[BillLine]
    dearest: list[BillLine]
    mobizon_ids: list[str] | None
    in_doubt: list[str] | None


class FieldProblem(BaseModel):
    """One field, and what is wrong with it."""

    field: str
    problem: str


class ProblemDocument(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = []


def read_new_sms(body: bytes) -> NewSms:
    """The body understood; raises a 400 that names every wrong field."""
    try:
        return NewSms.model_validate_json(body)
    except ValidationError as error:
        errors = [
            _field_problem(found["loc"], found["type"], found["msg"]) for found in error.errors(include_url=False)
        ]
        told = "; ".join(f"{field}: {problem}" for field, problem in errors)
        raise Problem(400, told, errors=errors) from error


def _field_problem(where: tuple[int | str, ...], kind: str, message: str) -> tuple[str, str]:
    field = ".".join(map(str, where)) or "body"
    match kind:
        case "missing":
            return field, "missing"
        case "extra_forbidden":
            return field[:100], f"not a key of this request; there are: {', '.join(NewSms.model_fields)}"
        case "string_pattern_mismatch":
            return field, "holds a NUL character"
    return field, message


def sms(row: Notification, prices: Prices, *, whole: bool) -> Sms:
    """`whole`: whoever asks may see the number and the text."""
    expected = prices.expected(row)
    return Sms(
        id=row.id,
        state=row.state,
        to=_recipient(row, whole=whole),
        person=row.person,
        incident=row.incident_id,
        text=_text(row) if whole else None,
        alphabet=row.alphabet,
        segments=row.segments,
        created_at=row.created_at,
        due_at=row.due_at,
        submitted_at=row.submitted_at,
        ended_at=row.ended_at,
        mobizon_id=row.message_id,
        moderated=row.moderated,
        gateway_status=row.gateway_status,
        reason=row.reason,
        cost=row.cost,
        currency=expected.currency if expected else row.currency,
        estimate=plain(expected.value) if expected else None,
        asked_by=row.asked_by,
        chat=row.chat,
    )


def sms_preview(foreseen: Foreseen, prices: Prices) -> SmsPreview:
    """For whoever asked: the number is theirs already."""
    row, closed = foreseen.notification, foreseen.closed
    assert row.text is not None
    seen, expected = preview(row.text), prices.expected(row)
    return SmsPreview(
        to=_recipient(row, whole=True),
        person=row.person,
        **previews.as_json(seen),
        advice=previews.before(seen),
        sender_id=row.sender_id,
        due_at=row.due_at,
        opens_at=closed.opens_at if closed else None,
        limit=closed.reason if closed else None,
        estimate=plain(expected.value) if expected else None,
        currency=expected.currency if expected else None,
    )


def _text(row: Notification) -> str | None:
    return texts.without_key(row.text) if row.text and row.is_page else row.text


def balance(money: Money) -> BalanceNow:
    left = money.balance
    return BalanceNow(
        amount=str(left.amount), currency=left.currency, sms_left=money.sms_left, days_left=money.days_left
    )


def bill(found: Bill, zone: ZoneInfo, currency: str | None, ours: Ours | None) -> BillOfMonth:
    """A month's; `zone` is whose month it is."""
    month = f"{found.since.astimezone(zone):%Y-%m}"
    return BillOfMonth(
        month=month,
        time_zone=zone.key,
        since=found.since,
        until=found.until,
        by=found.by,
        currency=currency,
        total=_bill_line(Line(month, found.total)),
        lines=list(map(_bill_line, found.lines)),
        dearest=list(map(_bill_line, found.dearest)),
        mobizon_ids=list(ours.ids) if ours else None,
        in_doubt=list(ours.in_doubt) if ours else None,
    )


def _bill_line(line: Line) -> BillLine:
    tally = line.tally
    return BillLine(
        name=line.name,
        incident=line.incident,
        sms=tally.all.sms,
        segments=tally.all.segments,
        cost=_sums(tally.paid),
        undelivered=_bill_part(tally.undelivered),
        unpriced=_bill_part(tally.unpriced),
    )


def _bill_part(part: Part) -> BillPart:
    return BillPart(sms=part.sms, segments=part.segments, cost=_sums(part))


def _sums(part: Part) -> list[Sum]:
    return [Sum(amount=plain(one.value), currency=one.currency) for one in part.amounts]


def _recipient(row: Notification, *, whole: bool) -> str:
    """The person's name; else the number, masked for those who may not see it."""
    if row.person:
        return row.person
    number = row.number or (PhoneNumber(row.target) if row.target.startswith("+") else None)
    if number is None:
        return row.target
    return number.e164 if whole else number.masked
