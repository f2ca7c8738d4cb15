"""Sources whose silence is the alarm: until when each has to be heard again, and what it comes to when it was not.

The due time stands in the database, so no restart forgets it; the time in which no bridge listened is added to it.
"""

import json
from dataclasses import replace
from datetime import datetime, timedelta

from bridge import answering, texts
from bridge.clock import moment_in
from bridge.domain.alert import NO_START, Alert, AlertStatus, Report
from bridge.domain.house import House
from bridge.domain.incident import NO_BEAT
from bridge.ports import Receipt, Timer, Transaction

NEXT_BEAT = "next_beat"
"""The timer of a source that has to beat by then; its subject is the source. While it is silent there is none."""
_KNOWN = "heartbeats"  # in the database: JSON, how many seconds each source has
_LAST_BEAT = "last_beat:"  # and a source: when it beat last, empty for never
_SOON = timedelta(seconds=5)


def follow(tx: Transaction, house: House, now: datetime) -> None:
    """Count for the sources that beat by this config: a new one has its time from now on.

    With another `every` the time runs from its last beat; where that is over already, once more from now. A silence
    that was called about stays, until its source beats or beats no more.
    """
    known = _known(tx)
    wanted = {name: rules.every for name, rules in house.sources.items() if rules.every is not None}
    if wanted == known:
        return
    for source, every in wanted.items():
        timer = tx.timer(NEXT_BEAT, source)
        if source not in known:
            tx.set_timer(Timer(NEXT_BEAT, source, now + every))
        elif timer is not None and every != known[source]:
            due = timer.due_at + every - known[source]
            tx.set_timer(replace(timer, due_at=due if due > now else now + every))
    for source in known.keys() - wanted.keys():
        _forget(tx, house, source, now)
    tx.set_meta(_KNOWN, json.dumps({source: every.total_seconds() for source, every in wanted.items()}))
    tx.wake("timers")


def make_up_for(tx: Transaction, away: timedelta, now: datetime) -> None:
    """Nobody could have been heard for so long up to now: that is no source's silence.

    Each has left what it had before, and never more than if it had beaten just now.
    """
    for source, every in _known(tx).items():
        if timer := tx.timer(NEXT_BEAT, source):
            tx.set_timer(replace(timer, due_at=min(timer.due_at + away, now + every)))


def expects_any(tx: Transaction) -> bool:
    """Whether any source has to beat."""
    return bool(_known(tx))


def heard(tx: Transaction, house: House, source: str, at: datetime, now: datetime) -> None:
    """It beat, and has its time again from now on: what waited to be understood is not held against it."""
    rules = house.sources.get(source)
    if rules is not None and rules.every is not None:
        tx.set_timer(Timer(NEXT_BEAT, source, now + rules.every))
        tx.set_meta(f"{_LAST_BEAT}{source}", at.isoformat())


def missed(tx: Transaction, house: House, source: str, now: datetime) -> tuple[Receipt, Report] | None:
    """What to admit as if a webhook had said that this source is silent; None when it is not."""
    rules = house.sources.get(source)
    timer = tx.timer(NEXT_BEAT, source)
    if rules is None or rules.every is None or timer is None or timer.due_at > now:
        return None
    if tx.receipt_waits(source):  # it may be the beat
        tx.set_timer(replace(timer, due_at=now + _SOON))
        return None
    tx.drop_timer(NEXT_BEAT, source)  # with what it causes: rung once more after a crash, it finds nothing due
    last = moment_in(tx.meta(f"{_LAST_BEAT}{source}"))
    then = texts.hour(last, now, house.time_zone) if last else ""
    # A receipt of its own: the order of receipts decides what is news.
    number = tx.keep_receipt(source, rules.route, {}, b"", now)
    alert = Alert(
        fingerprint=str(number),
        status=AlertStatus.FIRING,
        starts_at=NO_START,
        name=f"No beat from {source}",
        labels={"alertname": f"No beat from {source}"},
        description=f"{f'last {then}' if then else 'none yet'}, expected every {texts.length(rules.every)}",
    )
    return Receipt(number, source, now, b"", rules.route), Report(group_key=NO_BEAT, alerts=(alert,))


def _forget(tx: Transaction, house: House, source: str, now: datetime) -> None:
    """The config has it no more: nothing would ever end its silence."""
    tx.drop_timer(NEXT_BEAT, source)
    tx.set_meta(f"{_LAST_BEAT}{source}", "")
    for incident in tx.open_incidents([(source, NO_BEAT)]):
        answering.resolve(tx, house, incident, "the config", f"as {source} is no heartbeat any more", now)


def _known(tx: Transaction) -> dict[str, timedelta]:
    known = json.loads(tx.meta(_KNOWN) or "{}")
    return {source: timedelta(seconds=seconds) for source, seconds in known.items()}
