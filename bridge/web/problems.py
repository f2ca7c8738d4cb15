"""Refusals as RFC 9457 problem documents, from whatever made a handler stop."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus

import orjson
from aiohttp import web

from bridge.ports import NotStored

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

RETRY_AFTER = "5"  # seconds; senders with a back-off of their own ignore it


class Problem(Exception):
    """Why a request was refused, for whoever sent it. `errors` name fields: (path, what is wrong)."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers

    def response(self) -> web.Response:
        document: dict[str, object] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = [{"field": field, "problem": problem} for field, problem in self.errors]
        return web.Response(
            body=orjson.dumps(document),
            status=self.status,
            content_type="application/problem+json",
            headers=self.headers,
        )


async def answer(handler: Handler, request: web.Request) -> web.StreamResponse:
    """What the handler says, or the problem that stopped it. What could not be stored is 503: it may be sent again."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except NotStored:
        log.exception("a request could not be stored")
        return Problem(503, "it could not be stored; send it again", headers={"Retry-After": RETRY_AFTER}).response()
    except web.HTTPException as error:
        allow = error.headers.get("Allow")
        return Problem(error.status, error.reason, headers={"Allow": allow} if allow else None).response()


@web.middleware
async def as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    return await answer(handler, request)
