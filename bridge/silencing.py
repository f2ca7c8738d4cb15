"""Silence from the chat: somebody keeps the source of an incident quiet for a while, and answers for it meanwhile.

The wish is kept first, and a tick carries it out: so a crash in between changes nothing, and Telegram's patience with a
press does not depend on another program. A muted alert ends unheard, for its source tells nobody, and may fire anew
unheard as well. So the incident stays open and somebody's for as long as the silence lasts; then its source is asked
whether any of it fires. Fires it, or does nobody say, it is nobody's again and climbs, first to who had it.
"""

import logging
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from bridge import answering, escalator, storms
from bridge.clock import Clock
from bridge.domain.alert import AlertStatus
from bridge.domain.house import House
from bridge.domain.incident import Incident, IncidentState
from bridge.domain.silence import LOOK_AGAIN, PATIENCE, Silence, SilenceState
from bridge.ports import CardKind, Live, Lost, Refused, Silencer, Store, TimelineEntry, Timer, Transaction
from bridge.requests import Answered, Denied
from bridge.texts import length

log = logging.getLogger(__name__)

_REFERENCE_BYTES = 8
_A_ROUND = 50


def may_silence(house: House, incident: Incident) -> bool:
    """Whether its source can be kept quiet about it, and about nothing else."""
    rules = house.sources.get(incident.source)
    return bool(rules and rules.silences and incident.shares_a_name)


def wish(for_: timedelta) -> answering.Answer:
    """*Silence*: nobody has to have it yet, whoever presses does then."""

    def ask(tx: Transaction, house: House, incident: Incident, by: str, via: str, now: datetime) -> Answered | Denied:
        if not incident.is_open:
            return Denied(f"#{incident.id} is over already.")
        if not may_silence(house, incident):
            return Denied(f"#{incident.id} cannot be silenced from here.")
        known = tx.silence(incident.id)
        if known is not None and known.holds:
            return Denied(f"#{incident.id} is silenced already; Undo comes first.")
        if known is not None and known.state is SilenceState.UNWANTED:
            return Denied(f"The silence of #{incident.id} is just being ended; try again in a moment.")
        if incident.policy and incident.state is IncidentState.TRIGGERED:
            taken = answering.acknowledge(tx, house, incident, by, via, now)
            if isinstance(taken, Denied):
                return taken
            incident = taken.incident
        incident = storms.left(tx, house, incident, by, now)  # its end is asked for alone, and told of alone
        tx.drop_timer(escalator.ACK_OVER, str(incident.id))  # the end of the silence asks
        reference = secrets.token_hex(_REFERENCE_BYTES)
        tx.save_silence(Silence(incident.id, SilenceState.WANTED, by, now, now + for_, reference, now))
        _note(tx, incident.id, f"asked for {length(for_)} of silence", now, by)
        tx.wake("silences")
        return Answered(incident)

    return ask


def undo(tx: Transaction, house: House, incident: Incident, by: str, via: str, now: datetime) -> Answered | Denied:
    """*Undo*: its source notifies again; who has it keeps it."""
    known = tx.silence(incident.id)
    if known is None or not known.holds:
        return Denied(f"#{incident.id} is not silenced.")
    tx.save_silence(known.undo(by, now))
    _note(tx, incident.id, " ".join(filter(None, ("took the silence back", via))), now, by)
    tx.wake("silences")
    return Answered(incident)


class Silencing:
    """Tick: what silences need of their sources, one after the other."""

    name = "silences"

    def __init__(self, store: Store, silencer: Silencer, clock: Clock, house: Live[House]) -> None:
        self._store = store
        self._silencer = silencer
        self._clock = clock
        self._house = house

    async def run(self) -> None:
        """Until none is due; each step is written down before the next one is begun."""
        while True:
            now = self._clock.now()
            due = await self._store.read(lambda tx: tx.silences_due(now, _A_ROUND))  # noqa: B023 - read at once
            if not due:
                return
            for silence in due:
                incident = await self._store.read(lambda tx: tx.incident(silence.incident_id))  # noqa: B023 - the same
                if incident is None:
                    await self._store.write(lambda tx: tx.save_silence(silence.settled()))  # noqa: B023 - the same
                else:
                    await self._step(silence, incident)

    async def _step(self, silence: Silence, incident: Incident) -> None:
        match silence.state:
            case SilenceState.WANTED:
                by = self._house.value.spoken(silence.asked_by)
                made = await self._silencer.create(silence, incident, by)
                await self._record(silence, lambda tx, now, house: _created(tx, house, silence, made, now), made)
            case SilenceState.ACTIVE:
                await self._record(silence, lambda tx, now, house: tx.save_silence(silence.ended(now)))
            case SilenceState.UNWANTED:
                left = await self._silencer.end(silence, incident)
                await self._record(silence, lambda tx, now, house: _ended(tx, silence, left, now))
            case SilenceState.ASKING:
                group = [(incident.source, incident.group_key)]
                now = self._clock.now()
                known = await self._store.read(lambda tx: tx.alert_records(group, now))
                own = {record.fingerprint for record in known if record.incident_id == incident.id and record.is_firing}
                fires = await self._silencer.fires(incident, own)
                await self._record(silence, lambda tx, now, house: _asked(tx, house, silence, fires, now))
            case SilenceState.OVER | SilenceState.FAILED:
                raise AssertionError("a settled silence is never due")

    async def _record(
        self,
        before: Silence,
        then: Callable[[Transaction, datetime, House], None],
        made: str | Refused | Lost | None = None,
    ) -> None:
        """What came of a step. Somebody may have changed their mind meanwhile: then only what was made is kept."""
        house, now = self._house.value, self._clock.now()

        def record(tx: Transaction) -> None:
            found = tx.silence(before.incident_id)
            if found == before:
                then(tx, now, house)
                tx.bump_cards(CardKind.INCIDENT, [before.incident_id], now, urgent=True)
                tx.wake("reporter", "silences")
            elif found and isinstance(made, str):
                tx.save_silence(found.created(made))

        await self._store.write(record)


def _created(tx: Transaction, house: House, silence: Silence, made: str | Refused | Lost, now: datetime) -> None:
    if isinstance(made, str):
        tx.save_silence(silence.created(made))
        _note(tx, silence.incident_id, "silenced", now, silence.asked_by)
    elif isinstance(made, Refused) or now >= min(silence.asked_at + PATIENCE, silence.ends_at):
        why = made.reason if isinstance(made, Refused) else f"{made.reason}, for {length(now - silence.asked_at)}"
        tx.save_silence(silence.settled(problem=why, failed=True))
        _note(tx, silence.incident_id, f"not silenced: {why}", now)
        incident = tx.incident(silence.incident_id)
        if incident is not None and incident.is_open:
            _holds_as_before(tx, house, incident, now)
            who = house.spoken(silence.asked_by)
            escalator.ring(tx, house, incident, now, f"{who}: {incident.source} is not silenced, {why}")
    else:
        log.warning("a source does not take a silence: %s", made.reason, extra={"incident": silence.incident_id})
        tx.save_silence(silence.put_off(made.reason, now))


def _ended(tx: Transaction, silence: Silence, left: Refused | Lost | None, now: datetime) -> None:
    if left is None or now >= silence.ends_at:
        tx.save_silence(silence.ended(now))
        _note(tx, silence.incident_id, "the silence is over", now)
    else:
        log.warning("a silence cannot be ended: %s", left.reason, extra={"incident": silence.incident_id})
        tx.save_silence(silence.put_off(left.reason, now))


def _asked(tx: Transaction, house: House, silence: Silence, fires: bool | Refused | Lost, now: datetime) -> None:
    incident = tx.incident(silence.incident_id)
    if incident is None or not incident.is_open:
        tx.save_silence(silence.settled())
    elif fires is False and (silence.gone_since is None or now < silence.gone_since + LOOK_AGAIN):
        tx.save_silence(silence.gone(now))
    elif fires is False:
        tx.save_silence(silence.settled())
        _over(tx, house, incident, now)
    else:
        tx.save_silence(silence.settled())
        if silence.undone_by or _taken_since(silence, incident):
            _holds_as_before(tx, house, incident, now)
        elif incident.state is IncidentState.ACKNOWLEDGED:
            still = "it still fires" if fires is True else f"whether it fires {incident.source} does not say"
            _nobodys_again(tx, house, incident, f"the silence is over, and {still}", now)


def _taken_since(silence: Silence, incident: Incident) -> bool:
    """Whoever took it when the silence was over knows that it fires."""
    return incident.acknowledged_at is not None and incident.acknowledged_at >= silence.ends_at


def _over(tx: Transaction, house: House, incident: Incident, now: datetime) -> None:
    """It ended while its source was kept quiet about it."""
    over = incident.resolve(incident.source, now)
    records = tx.alert_records([(incident.source, incident.group_key)], now)
    tx.save_alerts(
        replace(record, status=AlertStatus.RESOLVED, ended_at=now)
        for record in records
        if record.incident_id == incident.id and record.is_firing
    )
    tx.save_incidents([replace(over, firing=0)])
    if over.storm is not None:
        storms.settle(tx, house, [over.storm], over.source, now)
    tx.cancel_planned([incident.id], "over before it was sent", now)
    for kind in (escalator.NOBODY, escalator.ACK_OVER):
        tx.drop_timer(kind, str(incident.id))
    escalator.tell_of_end(tx, house, [over], now)
    _note(tx, incident.id, "over, in silence", now, incident.source)


def _nobodys_again(tx: Transaction, house: House, incident: Incident, why: str, now: datetime) -> None:
    again = incident.trigger_again()
    tx.save_incidents([again])
    tx.add_timeline([TimelineEntry(incident.id, now, why)])
    tx.cancel_planned([incident.id], why, now)
    tx.drop_timer(escalator.ACK_OVER, str(incident.id))
    escalator.begin(tx, house, again, now, first=incident.acknowledged_by)
    escalator.ring(tx, house, again, now, why)


def _holds_as_before(tx: Transaction, house: House, incident: Incident, now: datetime) -> None:
    """Who has it has it as if there had been no silence, but is asked no sooner than now."""
    policy = escalator.policy_of(house, incident)
    if incident.acknowledged_at and incident.state is IncidentState.ACKNOWLEDGED and policy and policy.ack_for:
        due = max(now, incident.acknowledged_at + policy.ack_for)
        tx.set_timer(Timer(escalator.ACK_OVER, str(incident.id), due))


def _note(tx: Transaction, incident_id: int, what: str, now: datetime, who: str = "") -> None:
    tx.add_timeline([TimelineEntry(incident_id, now, what, who)])
    tx.bump_cards(CardKind.INCIDENT, [incident_id], now, urgent=True)
    tx.wake("reporter")
