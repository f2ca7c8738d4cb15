"""Tick: tells of handovers, silently and each once, and of gaps before they come."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bridge import duty, texts, watch
from bridge.clock import Clock
from bridge.domain.house import House
from bridge.domain.rota import Roster
from bridge.ports import Live, Store, Transaction

TOLD = "handovers_told"
"""In the database: who of each rota was told of last, and when."""
_LOOKS_BACK = timedelta(days=1)  # so that a rota of short turns is not counted from last year each time


class Handovers:
    """What was told is kept with the telling: a restart tells nothing twice, and of a long sleep only the newest."""

    name = "handovers"

    def __init__(self, store: Store, clock: Clock, house: Live[House]) -> None:
        self._store = store
        self._clock = clock
        self._house = house
        self._had_rotas = True  # the life before may have had some

    async def run(self) -> None:
        """Whose turn it is now, against what was told. A commit that changes nothing costs the disk nothing."""
        house, now = self._house.value, self._clock.now()
        if house.rotas or self._had_rotas:
            await self._store.write(lambda tx: _look(tx, house, now))
            self._had_rotas = bool(house.rotas)


def _look(tx: Transaction, house: House, now: datetime) -> None:
    known = duty.roster(tx, house)
    told = json.loads(tx.meta(TOLD) or "{}")
    stands = {}
    for rota in house.rotas:
        before = told.get(rota)
        if not duty.was_tried(tx, house, rota):
            stands[rota] = before
            continue
        duty.mind_gap(tx, house, known, rota, now)
        person = known.who(rota, now)
        stands[rota] = {"person": person, "at": now.isoformat()}
        if before is None:
            continue  # a new rota: nobody handed over
        if person != before["person"] or _handed_over(known, rota, before, now):
            _tell(tx, house, known, rota, now)
        elif now - datetime.fromisoformat(before["at"]) < _LOOKS_BACK:
            stands[rota] = before
    if stands != told:
        tx.set_meta(TOLD, json.dumps(stands))
    duty.forget(tx, house, now)


def _handed_over(known: Roster, rota: str, before: Mapping[str, Any], now: datetime) -> bool:
    return bool(known.handovers(rota, datetime.fromisoformat(before["at"]), now))


def _tell(tx: Transaction, house: House, known: Roster, rota: str, now: datetime) -> None:
    for place, chat in duty.places(house, rota).items():
        watch.tell(tx, house, texts.on_call(house, known, rota, house.zone_of(chat), now), now, place=place)
    duty.cards_change(tx, now)
