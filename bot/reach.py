"""Whether Telegram reaches us, and what is told when it does not for a while."""

import logging

from bridge.clock import Clock
from bridge.dispatcher import Dispatcher
from bridge.ports import NotStored

log = logging.getLogger(__name__)

CONFLICT, DOWN = "conflict", "down"
_TROUBLE_AFTER = 30.0  # a deploy or a blip is shorter, and rings nobody
_CALM = {CONFLICT: 60.0, DOWN: 0.0}  # two pollers take turns: one good answer between them proves nothing


class Reach:
    """Told of each try; the watch chat rings and people get an SMS once the tries have failed for half a minute."""

    def __init__(self, dispatcher: Dispatcher, clock: Clock) -> None:
        self._dispatcher = dispatcher
        self._clock = clock
        self._failing: dict[str, tuple[float, float]] = {}  # kind of failure → first and last seen, monotonic
        self._told: set[str] = set()
        # What may stand in the watch chat: the process before us may have rung, and ended before it was over.
        self._began = clock.monotonic()
        self._may_stand = set(_CALM)

    async def failed(self, kind: str, words: str) -> None:
        now = self._clock.monotonic()
        since, _ = self._failing.get(kind, (now, now))
        self._failing[kind] = (since, now)
        log.warning("Telegram updates do not come", extra={"reason": words, "for_seconds": round(now - since)})
        if kind not in self._told and now - since >= _TROUBLE_AFTER:
            try:
                await self._dispatcher.begin_trouble("telegram", kind, words, by_sms=True)
                self._told.add(kind)
                self._may_stand.add(kind)
            except NotStored:
                log.error("a trouble could not be kept", extra={"reason": words})

    async def well(self) -> None:
        now = self._clock.monotonic()
        for kind, calm in _CALM.items():
            _, last = self._failing.get(kind, (self._began, self._began))
            if now - last < calm:
                continue
            if kind in self._may_stand:
                await self._dispatcher.end_trouble("telegram", kind)
            self._may_stand.discard(kind)
            self._told.discard(kind)
            self._failing.pop(kind, None)
