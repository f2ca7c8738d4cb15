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
from bridge.domain.costs import Amount, Prices, cost_of
from bridge.domain.escalation import CHAT, has_begun, in_flight, next_rung, rung_of, why_hopeless
from bridge.domain.house import House, Person
from bridge.domain.incident import Incident, IncidentState
from bridge.domain.notification import Notification, Purpose, State, lost_token
from bridge.domain.phone import PhoneNumber, region_name
from bridge.domain.preview import preview
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
from bridge.previews import after, before, counted
from bridge.requests import Answered, Denied
from bridge.texts import length, ordinal

LONGEST = 4096
"""UTF-16 units in one message: Telegram refuses the whole of a longer one."""

_FACT_LENGTH = 600
_NAME_LENGTH = 60
_LINE_LENGTH = 300
_TITLE_IN_LIST = 80
_PLACES_SHOWN = 6
_LINES_SHOWN = 30
_TOLD_SHOWN = 10
_TOLD_LENGTH = 150
_LISTED = 20
_SMS_NAMED = 2  # of those to one person, the latest
_STAGES_NAMED = 2  # of what comes after the next rung
_LONGEST_URL = 1500
_CARD_ABOVE_TIMELINE = 2500
_ENTRIES_SHOWN = 60

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
class Mention:
    """A name in a text that calls this user; `start` and `length` count UTF-16 units, as Telegram does."""

    start: int
    length: int
    name: str
    telegram_id: int


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message as Telegram takes it: at most LONGEST units, buttons in rows."""

    text: str
    buttons: tuple[tuple[Button, ...], ...] = ()
    mentions: tuple[Mention, ...] = ()


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
    """The card, and below it what happened when: where that is too much, the latest of it."""
    card = render(view)
    shown = clip(card.text, _CARD_ABOVE_TIMELINE)
    entries = list(timeline)
    told = [
        clip(f"{stamp(at, view.zone, view.now, seconds=True)}  {what}{f', {who}' if who else ''}", _LINE_LENGTH)
        for at, what, who in ((entry.at, entry.what, entry.who) for entry in entries[-_ENTRIES_SHOWN:])
    ]
    text = shown
    while told:
        left_out = [f"… {len(entries) - len(told)} earlier"] if len(told) < len(entries) else []
        text = "\n".join((shown, "", *left_out, *told))
        if _units(text) <= LONGEST:
            break
        del told[0]
    return Rendered(text, card.buttons)


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


def refused(denied: Denied, person: Person) -> str:
    """Why not, in a sentence; where it is for the role, with id and role of whoever asked."""
    reason = spoken(denied.reason).removesuffix(".") + "."
    who = f" You are {person.spoken}, id {person.telegram_id}, {person.role.name.lower()}." if denied.forbidden else ""
    return reason + who


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


def _units(text: str) -> int:
    """How long Telegram finds it."""
    return len(text.encode("utf-16-le", "replace")) // 2


def clip(text: str, longest: int = LONGEST) -> str:
    """The text, or its beginning and a mark where Telegram would refuse the whole."""
    units = text.encode("utf-16-le", "replace")
    if len(units) <= 2 * longest:
        return text
    return units[: 2 * (longest - 2)].decode("utf-16-le", "ignore").rstrip() + " …"


# --- an incident -------------------------------------------------------------------------------------


def _incident(view: IncidentView) -> Rendered:
    incident = view.incident
    top = [_incident_head(view)]
    if incident.test:
        top.append("TEST, nothing is broken.")
    if incident.fact:
        top.append(clip(incident.fact, _FACT_LENGTH))
    if incident.asked_by:
        top.append(f"opened by {spoken(incident.asked_by)}")
    top += filter(None, (_counted(incident), clip(incident.note, _FACT_LENGTH)))
    opens = view.hours.pages_at(view.now)
    if opens > view.now and incident.policy and incident.state is IncidentState.TRIGGERED:
        top.append(f"Its route calls nobody until {stamp(opens, view.zone, view.now)}.")
    top += silence_buttons.told(view, lambda at: stamp(at, view.zone, view.now))
    match incident.state:
        case IncidentState.TRIGGERED:
            text = _fitted([*top, *_passed(view), *_on_call(view)], _who_hears(view), _what_next(view))
        case IncidentState.ACKNOWLEDGED:
            text = _fitted([*top, _who_has_it(view)], [*_on_their_way(view), *_who_heard(view)], _told(view, _TAKEN))
        case IncidentState.RESOLVED:
            text = _fitted([*top, *_how_it_ended(view)], [], _told(view, _OVER))
        case _:
            assert_never(incident.state)
    links = (_link("Source", incident.source_url), _link("Runbook", incident.runbook_url))
    quiet = tuple(Button(label, data=incident_data(incident, verb)) for label, verb in silence_buttons.buttons(view))
    rows = (_answers(view), quiet, tuple(button for button in links if button))
    return Rendered(text, tuple(row for row in rows if row), _mentions(text, view))


def incident_list(views: Sequence[IncidentView]) -> str:
    """Open incidents, a line each."""
    lines = [
        " · ".join((_incident_head(view, _TITLE_IN_LIST), *(" ".join(stage.split()) for stage in _what_next(view)[:1])))
        for view in views[:_LISTED]
    ]
    lines = [clip(line, LONGEST // (_LISTED + 1) - 1) for line in lines]
    if len(views) > _LISTED:
        lines.append(f"… and {len(views) - _LISTED} more")
    return "\n".join(lines) or "Nothing is open."


def incident_data(incident: Incident, verb: str) -> str:
    """What a button under an incident sends back: `i:ID:TOKEN:VERB`, within Telegram's 64 bytes.

    *Pass on* names the rung that it calls (`p3.2`), so that two presses at once call one.
    """
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


def _answers(view: IncidentView) -> tuple[Button, ...]:
    """What may be answered to it as it stands; nothing where no policy calls anybody, nor to what is over."""
    incident = view.incident
    verbs: list[tuple[str, str]]
    match incident.state:
        case IncidentState.TRIGGERED:
            verbs = [("Acknowledge", "a")]
            upcoming = next_rung(line.notification for line in _in_force(view))
            if upcoming and view.hours.pages_at(view.now) <= view.now:
                verbs.append(("Pass on", "p{}.{}".format(*upcoming)))
        case IncidentState.ACKNOWLEDGED:
            verbs = [("Resolve", "r"), ("Hand back", "h")]
        case IncidentState.RESOLVED:
            verbs = []
        case _:
            assert_never(incident.state)
    return tuple(Button(label, data=incident_data(incident, verb)) for label, verb in verbs if incident.policy)


def _ring(view: RingView) -> Rendered:
    """A new message about an incident; without a reason it says who was called in vain, until somebody has it."""
    about, incident = view.about, view.about.incident
    name = clip(" ".join((incident.title or "an alert without a name", *incident.places[:1])), _FACT_LENGTH)
    if incident.state is not IncidentState.TRIGGERED:
        return Rendered(clip("\n".join(filter(None, (_incident_head(about), view.why)))))
    buttons = (answers[:1],) if (answers := _answers(about)) else ()
    if view.why:
        text = clip("\n".join((f"{_COLOURS[incident.state]} #{incident.id} {name}", view.why, *_on_call(about))))
        return Rendered(text, buttons, _mentions(text, about))
    head = f"🆘 #{incident.id} NOBODY HAS IT · {name} · {length(incident.lasted(about.now))}"
    text = _fitted([head, *_how_often(about)], _tried(about), [*_on_call(about), _WHOEVER])
    return Rendered(text, buttons, _mentions(text, about))


def _on_call(view: IncidentView) -> list[str]:
    named = ", ".join(clip(person.spoken, _NAME_LENGTH) for person in view.on_call)
    return [f"{_ON_CALL}{named}"] if named else []


_ON_CALL = "On call: "


def _mentions(text: str, view: IncidentView) -> tuple[Mention, ...]:
    """The names of those on call, where the text has room for their line."""
    lines = _on_call(view)
    at = text.rfind(f"\n{lines[0]}") if lines else -1
    if at < 0:
        return ()
    at += len(f"\n{_ON_CALL}")
    found = []
    for person in view.on_call:
        name = clip(person.spoken, _NAME_LENGTH)
        if person.telegram_id is not None:
            found.append(Mention(_units(text[:at]), _units(name), name, person.telegram_id))
        at += len(f"{name}, ")
    return tuple(found)


_WHOEVER = "Everyone here: whoever reads this first, take it."


def _how_often(view: IncidentView) -> list[str]:
    called = {line.notification.round for line in _in_force(view) if has_begun(line.notification)}
    often = {0: "Nobody could be called.", 1: "Called once.", 2: "Called twice."}
    return [often.get(len(called), f"Called {len(called)} times.")]


def _tried(view: IncidentView) -> list[str]:
    """Who was called, and what became of it: a line for each."""
    told = []
    for name, rows in _by_name(line for line in _in_force(view) if has_begun(line.notification)).items():
        arrived = [row.ended_at for row in rows if row.state is State.DELIVERED and row.ended_at]
        if arrived:
            times = " and ".join(stamp(at, view.zone, view.now) for at in arrived[-_SMS_NAMED:])
            told.append(f"{name}: on the handset {times}, no answer")
        else:
            told.append(f"{name}: never on the handset; {_became(rows[-1], view.zone, view.now)}")
    return told


def _incident_head(view: IncidentView, longest: int = _FACT_LENGTH) -> str:
    incident = view.incident
    where = list(incident.places[:_PLACES_SHOWN])
    if len(incident.places) > _PLACES_SHOWN:
        where.append(f"+{len(incident.places) - _PLACES_SHOWN}")
    test = "TEST " if incident.test else ""
    title = clip(" ".join((incident.title or "an alert without a name", *where)), longest)
    head = f"{_COLOURS[incident.state]} {test}#{incident.id} {title}"
    if not incident.is_open:
        return f"{head} · over after {length(incident.lasted(view.now))}"
    if incident.state is IncidentState.ACKNOWLEDGED:
        return f"{head} · {clip(view.holder, _NAME_LENGTH)} has it"
    parts = [head, clip(incident.severity, _NAME_LENGTH), f"since {stamp(incident.started_at, view.zone, view.now)}"]
    if incident.outbreaks > 1:
        parts.append(f"{ordinal(incident.outbreaks)} time")
    parts.append(_progress(view))
    return " · ".join(filter(None, parts))


def _counted(incident: Incident) -> str:
    """How many alerts there are, where one line could hide it."""
    parts = []
    if incident.is_open and incident.total > 1:
        parts.append(f"{incident.firing} of {incident.total} alerts fire")
    if incident.truncated:
        parts.append(f"{incident.truncated} more were left out by {incident.source}")
    return ", ".join(parts)


# --- who is called, and who is next


def _in_force(view: IncidentView) -> list[RecipientLine]:
    """The climb under way: pages alone, those of plans before it left out."""
    lines = (line for line in view.lines if line.notification.is_page)
    return [line for line in lines if line.notification.round >= view.incident.first_round]


def _by_name(lines: Iterable[RecipientLine]) -> dict[str, list[Notification]]:
    """The SMS to each, in the order of the plan."""
    found: dict[str, list[Notification]] = {}
    for line in lines:
        found.setdefault(clip(_whom(line), _NAME_LENGTH), []).append(line.notification)
    return found


def _whom(line: RecipientLine) -> str:
    return "this chat" if line.notification.target == CHAT else line.name


def _progress(view: IncidentView) -> str:
    """How far the plan is, once it is beyond its first rung."""
    rows = [line.notification for line in _in_force(view)]
    climbed = any(has_begun(row) and rung_of(row) > min(map(rung_of, rows)) for row in rows)
    if view.incident.rings:
        return "nobody has it"
    if not climbed:
        return ""
    return "calling the next" if in_flight(rows) else "everybody was called"


def _who_hears(view: IncidentView) -> list[str]:
    lines = [line for line in _in_force(view) if not _is_ahead(line.notification, view.now)]
    last = max((rung_of(line.notification) for line in lines if has_begun(line.notification)), default=(0, 0))
    return [
        f"{_mark(rows, last, view.now)} {name}  {_history(rows, last, view)}" for name, rows in _by_name(lines).items()
    ]


def _mark(rows: Sequence[Notification], last: tuple[int, int], now: datetime) -> str:
    """One sign for all SMS to one person: what arrived counts most, then what did not."""
    states = {row.state for row in rows}
    if State.DELIVERED in states:
        return _MARKS[State.DELIVERED]
    if states & {State.UNDELIVERED, State.FAILED} or any(_moved_on(row, last, now) for row in rows):
        return _MARKS[State.FAILED]
    return _MARKS[State.CANCELLED] if states == {State.CANCELLED} else "•"


def _history(rows: Sequence[Notification], last: tuple[int, int], view: IncidentView) -> str:
    """What became of the SMS to one person: the latest ones, and which they are."""
    told = []
    for number, row in enumerate(rows, start=1):
        became = _became(row, view.zone, view.now)
        match _moved_on(row, last, view.now):
            case "late" if row.deliver_within:
                became += f", not on the handset in {length(row.deliver_within)}: moved on"
            case "moderated":
                became += ": moved on"
        told.append(f"{ordinal(number)} SMS {became}" if number > 1 else became)
    return "; ".join(told[-_SMS_NAMED:])


def _moved_on(row: Notification, last: tuple[int, int], now: datetime) -> str:
    """Why the plan did not wait for this one, if it did not."""
    return why_hopeless([row], now) if row.state is State.SUBMITTED and rung_of(row) < last else ""


def _what_next(view: IncidentView) -> list[str]:
    """Who is called next and when, and what comes then."""
    lines = _in_force(view)
    begun = [line.notification for line in lines if has_begun(line.notification)]
    ahead = sorted(
        (line for line in lines if _is_ahead(line.notification, view.now)),
        key=lambda line: (rung_of(line.notification), line.notification.due_at),
    )
    if not ahead:
        return _who_rings(view, [line.notification for line in lines])
    here = max((row.round for row in begun), default=ahead[0].notification.round)
    stages: list[str] = []
    for round_, climb in groupby(ahead, key=lambda line: line.notification.round):
        if round_ > here:
            again = "all steps once more" if not stages else "once more"
            stages.append(f"{again} {stamp(next(climb).notification.due_at, view.zone, view.now)}")
            continue
        for _, rung in groupby(climb, key=lambda line: line.notification.step):
            called = list(rung)
            due_at = stamp(called[0].notification.due_at, view.zone, view.now)
            stages.append(f"{', '.join(_by_name(called))} {due_at}")
    sooner = _sooner(begun, ahead[0].notification.due_at, view)
    first = f"  next  {stages[0]}{f'; {sooner}' if sooner else ''}"
    if not stages[1:] and not sooner:
        return [f"{first}, then this chat rings"]
    left_out = [f"{len(stages) - _STAGES_NAMED - 1} more steps"] if len(stages) > _STAGES_NAMED + 1 else []
    return [first, f"  then  {'; '.join((*stages[1 : _STAGES_NAMED + 1], *left_out, 'this chat rings'))}"]


def _sooner(begun: Sequence[Notification], next_due: datetime, view: IncidentView) -> str:
    """When the next is called though its hour has not come: if nobody of the rung before has it by then."""
    last = max(map(rung_of, begun), default=None)
    rung = [row for row in begun if rung_of(row) == last]
    waits = [row.submitted_at + row.deliver_within for row in rung if row.submitted_at and row.deliver_within]
    if len(waits) < len(rung) or not waits or any(row.state is not State.SUBMITTED for row in rung):
        return ""
    at = max(waits)
    return f"at {stamp(at, view.zone, view.now)} if it is not on the handset" if view.now < at < next_due else ""


def _who_rings(view: IncidentView, rows: Sequence[Notification]) -> list[str]:
    """Everybody was called: the chat is next."""
    if view.incident.state is not IncidentState.TRIGGERED or not rows or in_flight(rows):
        return []
    if view.incident.rings:
        return ["  next  this chat rings again, until somebody takes it"]
    last = max(map(rung_of, rows))
    began = [row.submitted_at or row.lost_at or row.ended_at for row in rows if rung_of(row) == last]
    at = view.hours.pages_at(min((at for at in began if at), default=view.now) + rows[-1].wait)
    return [f"  next  this chat rings{f' {stamp(at, view.zone, view.now)}' if at > view.now else ''}"]


# --- who has it, who had it, who heard of it


def _passed(view: IncidentView) -> list[str]:
    """Who called the next, or gave it back."""
    if view.passed is None:
        return []
    how = view.passed.what[:1].upper() + view.passed.what[1:]
    return [clip(f"{how} by {view.passed.who}, {stamp(view.passed.at, view.zone, view.now)}.", _FACT_LENGTH)]


def _who_has_it(view: IncidentView) -> str:
    incident = view.incident
    taken = stamp(incident.acknowledged_at or view.now, view.zone, view.now)
    via = f" {incident.acknowledged_via}" if incident.acknowledged_via else ""
    asks = (
        f"; asks again {stamp(view.asks_again_at, view.zone, view.now)} if it still fires" if view.asks_again_at else ""
    )
    return f"Acknowledged {taken}{via}. Nobody else will be called{asks}."


def _on_their_way(view: IncidentView) -> list[str]:
    """SMS that nobody can call back any more, to others than who has it."""
    flying = (line for line in view.lines if line.notification.is_page and line.notification.state in _ON_ITS_WAY)
    told = []
    for name, rows in _by_name(flying).items():
        if name == view.holder:
            continue
        where = "at the operator" if all(row.at_operator for row in rows) else "on the way"
        ends = [row.submitted_at + timedelta(minutes=row.validity) for row in rows if row.submitted_at and row.validity]
        until = max(ends, default=view.now)
        may = f", may arrive until {stamp(until, view.zone, view.now)}" if until > view.now else ""
        told.append(f"{name}: {len(rows)} SMS {where} cannot be recalled{may}")
    return told


def _who_heard(view: IncidentView) -> list[str]:
    settled = (State.DELIVERED, State.UNDELIVERED, State.FAILED)
    lines = (line for line in view.lines if line.notification.is_page and line.notification.state in settled)
    return [f"{_mark(rows, (0, 0), view.now)} {name}  {_outcome(rows, view)}" for name, rows in _by_name(lines).items()]


def _how_it_ended(view: IncidentView) -> list[str]:
    incident = view.incident
    began, ended = (stamp(at, view.zone, view.now) for at in (incident.started_at, incident.ended_at or view.now))
    by = f", resolved by {clip(incident.ended_by, _NAME_LENGTH)}" if incident.ended_by else ""
    since = f" from {stamp(incident.acknowledged_at, view.zone, view.now)}" if incident.acknowledged_at else ""
    holder = clip(view.holder, _NAME_LENGTH)
    had = f". {holder} had it{since}" if holder and holder != incident.ended_by else ""
    return [f"{began}–{ended}{by}{had}", *_who_was_paged(view)]


def _who_was_paged(view: IncidentView) -> list[str]:
    """Who heard of it, once it is over, and what it cost; what was called off is nobody's news."""
    left = [line for line in view.lines if line.notification.state is not State.CANCELLED]
    paged = _by_name(line for line in left if line.notification.is_page)
    if not paged:
        return []
    words = [clip(f"{name} {_outcome(rows, view)}", _TOLD_LENGTH) for name, rows in paged.items()]
    if len(words) > _TOLD_SHOWN:
        words = [*words[:_TOLD_SHOWN], f"{len(words) - _TOLD_SHOWN} more"]
    return ["Told: " + " · ".join(filter(None, (*words, _bill(left, view.prices))))]


def _outcome(rows: Sequence[Notification], view: IncidentView) -> str:
    """What became of all SMS to one person: where they arrived, else how the last one ended."""
    arrived = [row.ended_at for row in rows if row.state is State.DELIVERED and row.ended_at]
    if len(arrived) > 1:
        times = " and ".join(stamp(at, view.zone, view.now) for at in arrived[-_SMS_NAMED:])
        return f"on the handset {times}"
    shown = next((row for row in rows if row.state is State.DELIVERED), rows[-1])
    return _became(shown, view.zone, view.now)


_TAKEN = (Purpose.TAKEN, "Told who has it")
_OVER = (Purpose.OVER, "Told that it is over")


def _told(view: IncidentView, news: tuple[Purpose, str]) -> list[str]:
    """Who got an SMS that pages nobody."""
    purpose, what = news
    lines = (line for line in view.lines if line.notification.purpose is purpose)
    told = _by_name(line for line in lines if line.notification.state is not State.CANCELLED)
    names = [f"{_MARKS[rows[-1].state]} {name}" for name, rows in told.items()]
    left_out = [f"{len(names) - _TOLD_SHOWN} more"] if len(names) > _TOLD_SHOWN else []
    return [f"{what}: {', '.join((*names[:_TOLD_SHOWN], *left_out))}"] if names else []


def _bill(told: Sequence[RecipientLine], prices: Prices) -> str:
    """How many SMS, and what they cost; nothing of that where one of them has no price."""
    left = [line.notification for line in told if line.notification.message_id]
    if not left:
        return ""
    costs = [cost for n in left if (cost := cost_of(n) or prices.expected(n))]
    currencies = {cost.currency for cost in costs}
    if len(costs) < len(left) or len(currencies) > 1:
        return f"{len(left)} SMS"
    about = "" if all(n.cost is not None for n in left) else "about "
    return f"{len(left)} SMS, {about}{Amount(sum((cost.value for cost in costs), Decimal(0)), currencies.pop())}"


def _fitted(top: Sequence[str], people: Sequence[str], bottom: Sequence[str]) -> str:
    """All of it, or as many of the people as one message holds: what is above and below them tells more."""
    people = [clip(line, _LINE_LENGTH) for line in people]
    for shown in range(min(len(people), _LINES_SHOWN), -1, -1):
        more = [f"… and {len(people) - shown} more"] if shown < len(people) else []
        text = "\n".join((*top, *people[:shown], *more, *bottom))
        if _units(text) <= LONGEST:
            return text
    return clip(text)


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
        parts += filter(None, (_size(n, view.estimate), f"asked by {spoken(view.asked_by)}"))
    elif n.state is not State.UNCERTAIN:
        parts += filter(None, (_billed(n),))
    return "\n".join(filter(None, (" · ".join(parts), _advice(n))))


def _advice(n: Notification) -> str:
    """What made it dear; nothing of what cost nothing, nor once its text is forgotten."""
    return after(preview(n.text)) if n.text and n.state not in (State.FAILED, State.CANCELLED) else ""


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


def _size(n: Notification, estimate: Amount | None) -> str:
    """What it was billed as; nothing where nobody told."""
    if not n.message_id or not n.segments:
        return ""
    cost = cost_of(n)
    told = str(cost) if cost else f"about {estimate}" if estimate else ""
    return ", ".join(filter(None, (_billed(n), told)))


def _billed(n: Notification) -> str:
    """`gsm7, 1 segment`"""
    return ", ".join(filter(None, (n.alphabet, counted(n.segments, "segment") if n.segments else "")))


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
            asks = f"only {asker} can press, until {until}"
            words = "\n".join((f"{head} · {q.why}" if q.why else head, text, *before(preview(q.text)), asks))
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
    how = [q.alphabet, counted(len(q.text), "character"), counted(q.segments, "segment")]
    if view.estimate:
        how.append(f"about {view.estimate}")
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
