"""What the people and machines that run the bridge ask: alive, ready, reload, metrics."""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from bridge.clock import Clock
from bridge.domain.incident import IncidentState
from bridge.domain.notification import State
from bridge.metrics import Metrics
from bridge.ports import NotStored, Store, Transaction
from bridge.web.problems import Problem

log = logging.getLogger(__name__)

Reload = Callable[[], Awaitable[list[str]]]
"""Reads the config again; the problems that kept the old one in force, or none."""
Ready = Callable[[], Awaitable[str | None]]
"""Why nothing can be accepted right now; None when it can."""


class Operations:
    """Health, readiness, reload and metrics."""

    def __init__(self, store: Store, clock: Clock, metrics: Metrics, reload: Reload, ready: Ready) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._reload = reload
        self._ready = ready
        self._expose = make_aiohttp_handler(metrics.registry)

    async def healthy(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "healthy"})

    async def ready(self, request: web.Request) -> web.Response:
        """The database can be written and a config is loaded; Mobizon's health is no part of it."""
        why_not = await self._ready()
        if why_not is not None:
            raise Problem(503, why_not)
        return web.json_response({"status": "ready"})

    async def reload(self, request: web.Request) -> web.Response:
        problems = await self._reload()
        if problems:
            raise Problem(500, "the config was not changed: " + "; ".join(problems))
        return web.json_response({"status": "reloaded"})

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        await self._count_outbox()
        return await self._expose(request)

    async def _count_outbox(self) -> None:
        """Gauges over the outbox are counted when somebody looks; without a database the rest is still shown."""
        now = self._clock.now()

        def count(tx: Transaction) -> tuple[dict[State, int], datetime | None, dict[IncidentState, int]]:
            return tx.outbox_counts(), tx.oldest_due(now), tx.incident_counts()

        try:
            waiting, oldest, incidents = await self._store.read(count)
        except NotStored:
            log.exception("the outbox could not be counted")
            return
        for state in State:
            if not state.is_final:
                self._metrics.outbox_depth.labels(state).set(waiting.get(state, 0))
        self._metrics.outbox_oldest.set((now - oldest).total_seconds() if oldest else 0)
        for standing, how_many in incidents.items():
            self._metrics.incidents.labels(standing).set(how_many)
