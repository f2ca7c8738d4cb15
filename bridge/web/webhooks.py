"""Where alert sources knock: route, credential, size, body, receipt; only then 202.

What the body means is intake's business. Nothing here redirects, not even for a trailing slash:
Alertmanager follows a 301 with a GET, and takes its 200 for delivered.
"""

import asyncio
import logging
from typing import NoReturn

from aiohttp import web
from prometheus_client import Counter

from bridge.clock import Clock
from bridge.config import Config, SourceSettings
from bridge.dispatcher import Dispatcher
from bridge.metrics import Metrics
from bridge.ports import Live, NotStored
from bridge.sources import HEARTBEAT, NotJson, check_json, clean, read_json
from bridge.web import credentials, problems
from bridge.web.bodies import Garbled, TooBig, read_body
from bridge.web.credentials import LastUse
from bridge.web.problems import Problem

log = logging.getLogger(__name__)

_KEPT_HEADERS = ("Content-Type", "User-Agent")
_LONGEST_HEADER = 200
_LONGEST_ROUTE = 200
_BIG = 256 * 1024  # bytes; checking more than this in the event loop would hold up every other request


class Webhooks:
    """The handler of `/webhooks/{source}` and `/webhooks/{source}/{route}`, for every method."""

    def __init__(
        self, config: Live[Config], dispatcher: Dispatcher, clock: Clock, metrics: Metrics, last_use: LastUse
    ) -> None:
        self._last_use = last_use
        self._config = config
        self._dispatcher = dispatcher
        self._clock = clock
        self._metrics = metrics
        self._counters: dict[tuple[str, int], Counter] = {}  # finding one by its labels costs more than counting

    async def receive(self, request: web.Request) -> web.StreamResponse:
        response = await problems.answer(self._receive, request)
        name = request.match_info["source"]
        # Strangers choose the name in the URL: only ours become label values.
        known = name if name in self._config.value.sources else "unknown"
        counter = self._counters.get((known, response.status))
        if counter is None:
            counter = self._metrics.webhook_requests.labels(known, str(response.status))
            self._counters[known, response.status] = counter
        counter.inc()
        return response

    async def _receive(self, request: web.Request) -> web.Response:
        config = self._config.value
        source = config.sources.get(request.match_info["source"])
        if source is None:
            raise Problem(404, "no source of this name; sources in the config has those there are")
        if request.method != "POST":
            raise Problem(405, "webhooks are sent with POST", headers={"Allow": "POST"})
        if not source.credentials.open:
            secret = credentials.opened_by(source.credentials, request.headers.getall("Authorization", ()))
            if secret is None:
                await self._refuse(source)
            self._last_use.note(f"sources.{source.name}", secret)
        route = self._route(config, source, request)
        body = await self._body(source, request, config.server.max_body)
        told = request.headers
        headers = {
            name: clean(value, _LONGEST_HEADER) for name in _KEPT_HEADERS if (value := told.get(name)) is not None
        }
        receipt = await self._dispatcher.keep_webhook(source.name, route, headers, body)
        log.info("webhook stored", extra={"source": source.name, "route": route, "receipt": receipt})
        return web.Response(body=b'{"receipt": %d}' % receipt, status=202, content_type="application/json")

    async def _refuse(self, source: SourceSettings) -> NoReturn:
        try:
            await self._dispatcher.source_refused(source.name)
        except NotStored:  # still a 401: sending it again with the same credential helps nobody
            log.exception("a refused credential could not be reported", extra={"source": source.name})
        raise Problem(
            401,
            f"no or a wrong credential for source {source.name}",
            headers={"WWW-Authenticate": credentials.challenge(source.credentials)},
        )

    @staticmethod
    def _route(config: Config, source: SourceSettings, request: web.Request) -> str | None:
        """The route named in the URL. One that the config does not have is intake's to tell of."""
        named = request.match_info.get("route")
        if named is None:
            return None
        rules = config.house.sources.get(source.name)
        if rules is not None and rules.routes and named not in rules.routes:
            raise Problem(403, f"source {source.name} may not name this route; sources.{source.name}.routes bounds it")
        return clean(named, _LONGEST_ROUTE)

    async def _body(self, source: SourceSettings, request: web.Request, limit: int) -> bytes:
        """Raw, and certainly JSON unless it is a beat; what is neither is a dead letter, or told of when too large."""
        try:
            body = await read_body(request, limit, self._clock)
        except TooBig:
            text = f"source {source.name} sent more than server.max_body ({limit} bytes); that webhook was not taken"
            await self._dispatcher.begin_trouble("too_big", source.name, text)
            raise
        except Garbled as error:
            await self._dispatcher.keep_dead_letter(source.name, b"", error.detail)
            raise
        if source.kind == HEARTBEAT:
            return body
        try:
            if len(body) <= _BIG:
                read_json(body)
            else:
                await asyncio.to_thread(check_json, body)
        except NotJson as error:
            await self._dispatcher.keep_dead_letter(source.name, body, str(error))
            raise Problem(400, str(error), errors=[("body", str(error))]) from error
        return body
