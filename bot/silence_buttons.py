"""Silence from the chat: the line on the card that says how it stands, the buttons below it, and the toasts."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from bridge.dispatcher import Answered, Asker, Denied, Dispatcher, Pressed
from bridge.domain.silence import SilenceState
from bridge.ports import IncidentView

HOURS = {"1": 1, "4": 4}
"""How long, by the verb that a button carries."""
UNDO = "u"
VERBS = "".join(HOURS) + UNDO


def buttons(view: IncidentView) -> tuple[tuple[str, str], ...]:
    """(label, verb) of what may be pressed as it stands."""
    if not view.incident.is_open:
        return ()
    if view.silence is not None and view.silence.holds:
        return (("Undo silence", UNDO),)
    if not view.may_silence or (view.silence is not None and view.silence.state is SilenceState.UNWANTED):
        return ()
    return tuple((f"Silence {hours}h", verb) for verb, hours in HOURS.items())


def told(view: IncidentView, at: Callable[[datetime], str]) -> list[str]:
    """How its silence stands, in at most one line; `at` writes an hour as this chat reads it."""
    silence, source = view.silence, view.incident.source
    if silence is None:
        return []
    until = at(silence.ends_at)
    match silence.state:
        case SilenceState.WANTED if silence.problem:
            return [f"Not silenced yet: {source}: {silence.problem}; next try {at(silence.next_at or view.now)}"]
        case SilenceState.WANTED:
            return [f"Asking {source} for silence until {until}."]
        case SilenceState.ACTIVE:
            return [f"Silenced until {until} by {view.silenced_by}."]
        case SilenceState.UNWANTED if silence.problem:
            return [f"Still silenced, until {until} at most: {source}: {silence.problem}"]
        case SilenceState.UNWANTED:
            return ["Ending the silence."]
        case SilenceState.ASKING if silence.gone_since:
            return [
                f"The silence is over; {source} lists none of it, and is asked again {at(silence.next_at or view.now)}."
            ]
        case SilenceState.ASKING:
            return [f"The silence is over; asking {source} whether it still fires."]
        case SilenceState.FAILED if view.incident.is_open:
            return [f"Not silenced: {source}: {silence.problem}"]
        case _:
            return []


async def answer(dispatcher: Dispatcher, number: int, asker: Asker, verb: str, pressed: Pressed, cause: str) -> str:
    """Do what was pressed; the toast to show. What the source says to it, the card tells."""
    do = dispatcher.unsilence if verb == UNDO else partial(dispatcher.silence, for_=timedelta(hours=HOURS[verb]))
    match await do(number, asker, pressed=pressed, cause=cause):
        case Denied(reason):
            return reason
        case Answered() if verb == UNDO:
            return "Ending the silence; the card tells how it went."
        case Answered():
            return f"Asking for {HOURS[verb]} h of silence; the card tells the answer."
