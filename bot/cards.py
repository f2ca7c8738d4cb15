"""What a chat shows: a view becomes text and buttons. Pure; plain text, since alerts hold every sign there is.

The words are honest ones: *accepted by Mobizon* is not *on the handset*, and nothing here rounds up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import assert_never
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from bot import silence_buttons
from bridge.domain.house import House
from bridge.domain.incident import Incident, IncidentState
from bridge.domain.notification import Notification, State, lost_token
from bridge.domain.phone import PhoneNumber, region_name
from bridge.domain.retry import LOOKS
from bridge.ports import (
    IncidentView,
    NoteView,
    Question,
    QuestionView,
    RecipientLine,
    RingView,
    SmsView,
    TimelineEntry,
    TroubleView,
    View,
)
from bridge.requests import Answered
from bridge.texts import length

LONGEST = 4096
"""UTF-16 units in one message: Telegram refuses the whole of a longer one."""

_FACT_LENGTH = 600
_PLACES_SHOWN = 6
_LINES_SHOWN = 30
_LONGEST_URL = 1500

_MARKS = {
    State.PLANNED: "→",
    State.SENDING: "→",
    State.SUBMITTED: "→",
    State.DELIVERED: "✓",
    State.UNDELIVERED: "✗",
    State.FAILED: "✗",
    State.UNCERTAIN: "?",
    State.CANCELLED: "–",
}
_COLOURS = {
    IncidentState.TRIGGERED: "🔴",
    IncidentState.ACKNOWLEDGED: "🟡",
    IncidentState.RESOLVED: "🟢",
}
_ON_ITS_WAY = {State.SENDING, State.UNCERTAIN, State.SUBMITTED}
_ENDS = {"EXPIRED": "expired", "REJECTD": "rejected by the operator", "UNDELIV": "the operator gave up"}


@dataclass(frozen=True, slots=True)
class Button:
    """One button: it either sends `data` back to us or opens `url`."""

    label: str
    data: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message as Telegram takes it: at most LONGEST units, buttons in rows."""

    text: str
    buttons: tuple[tuple[Button, ...], ...] = ()


def render(view: View) -> Rendered:
    """How this view looks in a chat."""
    match view:
        case IncidentView():
            return _incident(view)
        case RingView():
            return _ring(view)
        case SmsView():
            return Rendered(clip(_sms(view)), _about_lost(view.notification))
        case QuestionView():
            return _question(view)
        case TroubleView():
            return Rendered(clip(_trouble(view)))
        case NoteView(text):
            return Rendered(clip(text))
        case _:
            assert_never(view)


def with_timeline(view: IncidentView | SmsView, timeline: Iterable[TimelineEntry]) -> Rendered:
    """The card, and below it what happened when."""
    card = render(view)
    told = [
        f"{stamp(entry.at, view.zone, view.now, seconds=True)}  {entry.what}{f', {entry.who}' if entry.who else ''}"
        for entry in timeline
    ]
    return Rendered(clip("\n".join((card.text, *(["", *told] if told else [])))), card.buttons)


def history_line(n: Notification, zone: ZoneInfo, now: datetime, *, whole: bool) -> str:
    """One notification in one line; `whole` numbers are for private chats only."""
    number = _number(n)
    shown = ("" if number is None else number.whole if whole else number.masked) or spoken(n.target)
    who = f"{spoken(n.person)} {shown}" if n.person and number else shown
    asked = f" · asked by {spoken(n.asked_by)}" if n.asked_by else f" · page of #{n.incident_id}" if n.is_page else ""
    return f"{_MARKS[n.state]} #{n.id} {stamp(n.created_at, zone, now)} {who} · {_became(n, zone, now)}{asked}"


def question_data(question: Question, *, send: bool) -> str:
    """What the button of a question sends back: `q:ID:TOKEN:y`, within Telegram's 64 bytes."""
    return f"q:{question.id}:{question.token}:{'y' if send else 'n'}"


def spoken(name: str) -> str:
    """A person's name as cards write it."""
    return name[:1].upper() + name[1:]


def stamp(at: datetime, zone: ZoneInfo, now: datetime, *, seconds: bool = False) -> str:
    """The chat's clock; the date goes in front when it is not today's."""
    try:
        local = at.astimezone(zone)
    except OverflowError:  # an alert may claim to have begun at the end of time: then UTC has to do
        local = at
    words = f"{local:%H:%M:%S}" if seconds else f"{local:%H:%M}"
    return words if local.date() == now.astimezone(zone).date() else f"{local:%a} {local.day} {local:%b} {words}"


def clip(text: str, longest: int = LONGEST) -> str:
    """The text, or its beginning and a mark where Telegram would refuse the whole."""
    units = text.encode("utf-16-le", "replace")
    if len(units) <= 2 * longest:
        return text
    return units[: 2 * (longest - 2)].decode("utf-16-le", "ignore").rstrip() + " …"


# --- an incident -------------------------------------------------------------------------------------


def _incident(view: IncidentView) -> Rendered:
    incident = view.incident
    body = [_incident_head(view)]
    if incident.test:
        body.append("TEST, nothing is broken.")
    if incident.fact:
        body.append(clip(incident.fact, _FACT_LENGTH))
    body += filter(None, (_counted(incident), incident.note))
    match incident.state:
        case IncidentState.TRIGGERED:
            body += _who_hears(view)
        case IncidentState.ACKNOWLEDGED:
            body += _who_has_it(view)
        case IncidentState.RESOLVED:
            body += _how_it_ended(view)
        case _:
            assert_never(incident.state)
    body += silence_buttons.told(view, lambda at: stamp(at, view.zone, view.now))
    links = (_link("Source", incident.source_url), _link("Runbook", incident.runbook_url))
    quiet = tuple(Button(label, data=incident_data(incident, verb)) for label, verb in silence_buttons.buttons(view))
    rows = (_answers(incident), quiet, tuple(button for button in links if button))
    return Rendered(clip("\n".join(body)), tuple(row for row in rows if row))


def incident_data(incident: Incident, verb: str) -> str:
    """What a button under an incident sends back: `i:ID:TOKEN:VERB`, within Telegram's 64 bytes."""
    return f"i:{incident.id}:{incident.token}:{verb}"


def answered(said: Answered, by: str, house: House) -> str:
    """What whoever answered is told, on their own screen."""
    incident = said.incident
    match incident.state:
        case IncidentState.ACKNOWLEDGED if incident.acknowledged_by == by:
            return f"You have #{incident.id}." if said.changed else f"You have #{incident.id} already."
        case IncidentState.ACKNOWLEDGED:
            return f"{house.spoken(incident.acknowledged_by)} has #{incident.id}."
        case IncidentState.RESOLVED:
            return f"#{incident.id} is over." if said.changed else f"#{incident.id} was over already."
        case IncidentState.TRIGGERED:
            return f"#{incident.id}: calling the next."
        case _:
            assert_never(incident.state)


def _answers(incident: Incident) -> tuple[Button, ...]:
    """What may be answered to it as it stands; nothing where no policy calls anybody, nor to what is over."""
    verbs: tuple[tuple[str, str], ...]
    match incident.state:
        case IncidentState.TRIGGERED:
            verbs = (("Acknowledge", "a"), ("Pass on", "p"))
        case IncidentState.ACKNOWLEDGED:
            verbs = (("Resolve", "r"), ("Hand back", "h"))
        case IncidentState.RESOLVED:
            verbs = ()
        case _:
            assert_never(incident.state)
    return tuple(Button(label, data=incident_data(incident, verb)) for label, verb in verbs if incident.policy)


def _ring(view: RingView) -> Rendered:
    """A new message about an incident; without a reason it says who was called in vain."""
    about, incident = view.about, view.about.incident
    name = " ".join((incident.title or "an alert without a name", *incident.places[:1]))
    buttons = (answers[:1],) if (answers := _answers(incident)) else ()
    if view.why:
        return Rendered(clip(f"{_COLOURS[incident.state]} #{incident.id} {name}\n{view.why}"), buttons)
    lasted = length(incident.lasted(about.now))
    body = (f"🆘 #{incident.id} NOBODY HAS IT · {name} · {lasted}", *_tried(about), _WHOEVER)
    return Rendered(clip("\n".join(body)), buttons)


_WHOEVER = "Everyone here: whoever reads this first, take it."


def _tried(view: IncidentView) -> list[str]:
    """Who was called, and what became of it: a line for each."""
    calls: dict[str, list[Notification]] = {}
    for line in view.lines:
        n = line.notification
        if n.is_page and n.state not in (State.PLANNED, State.CANCELLED):
            calls.setdefault(spoken(line.name), []).append(n)
    told = []
    for name, rows in calls.items():
        arrived = [stamp(n.ended_at, view.zone, view.now) for n in rows if n.state is State.DELIVERED and n.ended_at]
        if arrived:
            told.append(f"{name}: on the handset {' and '.join(arrived)}, no answer")
        else:
            told.append(f"{name}: {_became(rows[-1], view.zone, view.now)}")
    return told


def _incident_head(view: IncidentView) -> str:
    incident = view.incident
    where = list(incident.places[:_PLACES_SHOWN])
    if len(incident.places) > _PLACES_SHOWN:
        where.append(f"+{len(incident.places) - _PLACES_SHOWN}")
    test = "TEST " if incident.test else ""
    title = clip(" ".join((incident.title or "an alert without a name", *where)), _FACT_LENGTH)
    head = f"{_COLOURS[incident.state]} {test}#{incident.id} {title}"
    if not incident.is_open:
        return f"{head} · over after {length(incident.lasted(view.now))}"
    if incident.state is IncidentState.ACKNOWLEDGED:
        return f"{head} · {view.holder} has it"
    severity = f" · {incident.severity}" if incident.severity else ""
    return f"{head}{severity} · since {stamp(incident.started_at, view.zone, view.now)}"


def _counted(incident: Incident) -> str:
    """How many alerts there are, where one line could hide it."""
    parts = []
    if incident.is_open and incident.total > 1:
        parts.append(f"{incident.firing} of {incident.total} alerts fire")
    if incident.truncated:
        parts.append(f"{incident.truncated} more were left out by {incident.source}")
    return ", ".join(parts)


def _who_hears(view: IncidentView) -> list[str]:
    begun = [line for line in view.lines if not _is_ahead(line.notification, view.now)]
    shown = [
        f"{'•' if not line.notification.state.is_final else _MARKS[line.notification.state]} {spoken(line.name)}  "
        f"{_became(line.notification, view.zone, view.now)}"
        for line in begun[:_LINES_SHOWN]
    ]
    if len(begun) > _LINES_SHOWN:
        shown.append(f"… and {len(begun) - _LINES_SHOWN} more")
    ahead = sorted(
        (line for line in view.lines if _is_ahead(line.notification, view.now)), key=lambda x: x.notification.due_at
    )
    rungs = [
        f"{', '.join(spoken(line.name) for line in rung)} {stamp(due_at, view.zone, view.now)}"
        for due_at, rung in groupby(ahead, key=lambda line: line.notification.due_at)
    ]
    if rungs:
        left_out = f"; {len(rungs) - 3} more steps" if len(rungs) > 3 else ""
        shown.append(f"  next  {'; '.join(rungs[:3])}{left_out}")
    return shown


def _who_has_it(view: IncidentView) -> list[str]:
    incident = view.incident
    taken = stamp(incident.acknowledged_at or view.now, view.zone, view.now)
    via = f" {incident.acknowledged_via}" if incident.acknowledged_via else ""
    asks = (
        f"; asks again {stamp(view.asks_again_at, view.zone, view.now)} if it still fires" if view.asks_again_at else ""
    )
    shown = [f"Acknowledged {taken}{via}. Nobody else will be called{asks}."]
    lines = [line for line in view.lines if line.notification.is_page]
    shown += [
        f"{spoken(line.name)}: an SMS on its way cannot be called back"
        for line in lines
        if line.notification.state in _ON_ITS_WAY and line.name != view.holder
    ]
    shown += [
        f"{_MARKS[line.notification.state]} {spoken(line.name)}  {_became(line.notification, view.zone, view.now)}"
        for line in lines
        if line.notification.state in (State.DELIVERED, State.UNDELIVERED, State.FAILED)
    ]
    return shown[:_LINES_SHOWN]


def _how_it_ended(view: IncidentView) -> list[str]:
    incident = view.incident
    began, ended = (stamp(at, view.zone, view.now) for at in (incident.started_at, incident.ended_at or view.now))
    by = f", resolved by {incident.ended_by}" if incident.ended_by else ""
    since = f" from {stamp(incident.acknowledged_at, view.zone, view.now)}" if incident.acknowledged_at else ""
    had = f". {view.holder} had it{since}" if view.holder and view.holder != incident.ended_by else ""
    return [f"{began}–{ended}{by}{had}", *_told(view)]


def _told(view: IncidentView) -> list[str]:
    """Who heard of it, once it is over; what was called off is nobody's news."""
    told = [line for line in view.lines if line.notification.state is not State.CANCELLED]
    if not told:
        return []
    words = [f"{spoken(x.name)} {_became(x.notification, view.zone, view.now)}" for x in told[:_LINES_SHOWN]]
    if len(told) > _LINES_SHOWN:
        words.append(f"{len(told) - _LINES_SHOWN} more")
    return ["Told: " + " · ".join(filter(None, (*words, _bill(told))))]


def _bill(told: Sequence[RecipientLine]) -> str:
    left = [line.notification for line in told if line.notification.message_id]
    if not left:
        return ""
    money = [(Decimal(n.cost), n.currency or "") for n in left if n.cost is not None]
    currencies = {currency for _, currency in money}
    cost = f", {sum(amount for amount, _ in money)} {currencies.pop()}" if len(currencies) == 1 else ""
    return f"{len(left)} SMS{cost.rstrip() if len(money) == len(left) else ''}"


def _link(label: str, url: str) -> Button | None:
    """Telegram refuses a message for a button to a host without a dot (`http://prometheus:9090`): no button then."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and "." in (parts.hostname or "") and not parts.username
    except ValueError:
        return None
    return Button(label, url=url) if fits and url.isprintable() and len(url) <= _LONGEST_URL else None


# --- a typed SMS ---------------------------------------------------------------------------------------


def _sms(view: SmsView) -> str:
    n = view.notification
    number = _number(n)
    known = view.name or n.person or ("" if number else n.target)
    who = " ".join(filter(None, (spoken(known), number.masked if number else "")))
    parts = [f"{_MARKS[n.state]} #{n.id} {who}", _became(n, view.zone, view.now, view.problem) + _hint(n)]
    if n.state.is_final:
        parts += filter(None, (_size(n), f"asked by {spoken(view.asked_by)}"))
    return " · ".join(parts)


def _about_lost(n: Notification) -> tuple[tuple[Button, ...], ...]:
    """What to press when a lost SMS is not listed; `l:ID:TOKEN:y`, within Telegram's 64 bytes."""
    if n.state is not State.UNCERTAIN or n.asked_at is None or n.resends_itself:
        return ()
    data = f"l:{n.id}:{lost_token(n)}"
    return ((Button("Send again", data=f"{data}:y"), Button("Leave it", data=f"{data}:n")),)


def _uncertain(n: Notification, zone: ZoneInfo, now: datetime) -> str:
    if n.asked_at is not None:
        return "uncertain: Mobizon does not list it. It most likely never left; sending again can, rarely, make two."
    following = f", next {stamp(n.next_look_at, zone, now)}" if n.next_look_at else ""
    return (
        f"uncertain: looking it up, {n.looks + 1} of {LOOKS}{following}. "
        "The answer was cut off; nothing is sent again meanwhile."
    )


def _became(n: Notification, zone: ZoneInfo, now: datetime, problem: str | None = None) -> str:
    """Where it is, in words that claim no more than is known."""

    def at(moment: datetime | None) -> str:
        return stamp(moment, zone, now, seconds=True) if moment else ""

    def since(moment: datetime | None) -> str:
        return f" since {stamp(moment, zone, now)}" if moment else ""

    match n.state:
        case State.PLANNED:
            why = problem or n.reason
            if why:
                again = f"; next try {stamp(n.due_at, zone, now)}" if n.due_at > now else ""
                return f"queued: {why}{again}"
            return f"waits until {stamp(n.due_at, zone, now)}" if n.due_at > now else "queued"
        case State.SENDING:
            return "queued, being handed to Mobizon"
        case State.UNCERTAIN:
            return _uncertain(n, zone, now)
        case State.SUBMITTED if n.at_operator:
            return f"at the operator{since(n.status_at)}"
        case State.SUBMITTED if n.moderated:
            return f"waiting for moderation{since(n.submitted_at)}, people read it at Mobizon"
        case State.SUBMITTED:
            return f"accepted by Mobizon {at(n.submitted_at)}".rstrip()
        case State.DELIVERED:
            delay = n.handset_delay()
            return f"on the handset {at(n.ended_at)}".rstrip() + (f", after {length(delay)}" if delay else "")
        case State.UNDELIVERED:
            word = _ENDS.get(n.gateway_status or "", n.reason or "no reason given")
            when = f" {stamp(n.ended_at, zone, now)}" if n.ended_at else ""
            return f"not delivered: {word}{when}"
        case State.FAILED:
            return f"not sent: {n.reason or 'no reason given'}"
        case State.CANCELLED:
            return f"cancelled{f': {n.reason}' if n.reason else ''}"
        case _:
            assert_never(n.state)


def _hint(n: Notification) -> str:
    """What an end most likely means."""
    if n.state is not State.UNDELIVERED or n.gateway_status != "EXPIRED":
        return ""
    asked_for = f" for the {length(timedelta(minutes=n.validity))} we asked for" if n.validity else ""
    return f". Phone off or out of reach{asked_for}"


def _size(n: Notification) -> str:
    """What it was billed as; nothing where nobody told."""
    if not n.message_id or not n.segments:
        return ""
    cost = f", {n.cost} {n.currency or ''}".rstrip() if n.cost is not None else ""
    return f"{_segments(n.segments)}{cost}"


def _segments(count: int) -> str:
    return f"{count} segment{'' if count == 1 else 's'}"


def _number(n: Notification) -> PhoneNumber | None:
    return n.number or (PhoneNumber(n.target) if n.target.startswith("+") else None)


def _is_ahead(n: Notification, now: datetime) -> bool:
    return n.state is State.PLANNED and n.due_at > now and not n.failures and not n.reason


# --- the question before it --------------------------------------------------------------------------


def _question(view: QuestionView) -> Rendered:
    q = view.question
    until = stamp(q.expires_at, view.zone, view.now)
    asker = spoken(q.asked_by)
    masked = f"#{q.id} {q.number.masked}"
    match q.answer:
        case None:
            head = f"Send this? #{q.id} to {q.number.whole} · {region_name(q.number.region)}, {q.number.kind}"
            text = f'"{q.text}"   {", ".join(_how(view))}'
            words = "\n".join((f"{head} · {q.why}" if q.why else head, text, f"only {asker} can press, until {until}"))
            row = (
                Button("Send", data=question_data(q, send=True)),
                Button("Don't send", data=question_data(q, send=False)),
            )
            return Rendered(clip(words), (row,))
        case "sent":
            return Rendered(f"→ {masked} · queued")
        case "expired":
            return Rendered(f"– {masked} · not sent: nobody pressed Send until {until}")
        case _:
            return Rendered(f"– {masked} · not sent: {asker} pressed Don't send")


def _how(view: QuestionView) -> list[str]:
    q = view.question
    how = [q.alphabet, f"{len(q.text)} characters", _segments(q.segments)]
    if q.sender_id:
        how.append(f"from {q.sender_id}")
    if q.options.get("send_at"):
        how.append(f"at {stamp(datetime.fromisoformat(q.options['send_at']), view.zone, view.now)}")
    if q.options.get("flash"):
        how.append("flash")
    if q.options.get("validity"):
        how.append(f"tried for {length(timedelta(minutes=q.options['validity']))}")
    return how


# --- the bridge about itself -------------------------------------------------------------------------


def _trouble(view: TroubleView) -> str:
    trouble = view.trouble
    began = stamp(trouble.began_at, view.zone, view.now)
    if trouble.over_at is not None:
        ended = stamp(trouble.over_at, view.zone, view.now)
        return f"🟢 over after {length(trouble.over_at - trouble.began_at)}: {trouble.text}\n{began}–{ended}"
    often = f" · {trouble.count} times, last {stamp(trouble.seen_at, view.zone, view.now)}" if trouble.count > 1 else ""
    return f"⚠️ {trouble.text}\nsince {began}{often}"
